//! The tests of the state machine: one binary, one module per question.
#![allow(clippy::unwrap_used, reason = "all of this is tests; clippy sees only the functions marked so")]

mod bridge;
mod chain;
mod codec;
mod equivocation;
mod golden;
mod order;
mod proofs;
mod properties;
mod records;
mod refusals;
mod regressions;
mod rounds;
mod shown;
mod slices;
mod tries;
mod upgrades;
mod world;
