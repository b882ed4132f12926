//! The policy engine against honest and hostile modules. One binary, because each links a compiler.

mod cache;
mod corpus;
mod depth;
mod gate;
mod guest;
mod imports;
mod pricing;
mod verdicts;
