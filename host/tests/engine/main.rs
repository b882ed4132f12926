//! The policy engine against honest and hostile modules. One binary, because each links a compiler.

mod guest;
mod verdicts;
