//! The policy engine against honest and hostile modules. One binary, because each links a compiler.
// What helpers of tests cannot unwrap fails the test, which is what it should do.
#![allow(clippy::unwrap_used)]

mod authors;
mod c;
mod cache;
mod compiler;
mod corpus;
mod depth;
mod gate;
mod guest;
mod imports;
mod pace;
mod pricing;
mod verdicts;
