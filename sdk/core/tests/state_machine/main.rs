//! The tests of the state machine: one binary, one module per question.

mod codec;
mod equivocation;
mod golden;
mod order;
mod proofs;
mod properties;
mod records;
mod refusals;
mod regressions;
mod tries;
mod world;
