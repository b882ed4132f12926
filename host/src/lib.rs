//! The core node: policy engine, sequencer, durable log, HTTP API and the command line.

pub mod engine;
pub mod node;
