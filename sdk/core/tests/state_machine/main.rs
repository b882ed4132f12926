//! The tests of the state machine: one binary, one module per question.

mod regressions;
mod world;
