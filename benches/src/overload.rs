//! The harness of the bench `overload`: a node process, a fleet of clients, and the report.

mod fleet;
mod node;
mod report;

pub use fleet::{Fleet, Load, Manner};
pub use node::{Histogram, NodeProcess};
pub use report::{Report, Stretch};

use std::time::Instant;

/// What became of a request, a batch as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in it is accepted and durable.
    Accepted,
    /// Answered `overloaded`, as a whole.
    Refused,
    /// Anything else, a broken connection included.
    Failed,
    /// Due, and never sent: all connections were busy for too long.
    Unsent,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// When it was to be sent.
    pub due: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was there.
    pub done: Instant,
    /// What became of it.
    pub outcome: Outcome,
}

/// What the node's process used by a moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The moment.
    pub at: Instant,
    /// Resident bytes.
    pub resident_bytes: u64,
    /// Seconds of processor time since its start.
    pub cpu_s: f64,
    /// The same of the clients' process.
    pub clients_cpu_s: f64,
}
