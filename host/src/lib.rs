//! The core node: policy engine, sequencer, durable log, HTTP API and the command line.

pub mod api;
pub mod engine;
pub mod evidence;
pub mod node;
pub mod replicate;
pub mod trial;
