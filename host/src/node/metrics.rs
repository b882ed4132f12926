//! What the node counts: plain atomics, read by whoever exposes them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram's buckets, in microseconds; the last bucket has none.
pub const BUCKETS_US: [u64; 15] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 300_000, 1_000_000];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let us = duration.as_micros() as u64;
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Counts per bucket (not cumulative), the last without a bound; and the sum in seconds.
    pub fn snapshot(&self) -> ([u64; BUCKETS_US.len() + 1], f64) {
        let counts = std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed));
        (counts, self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9)
    }
}

/// What the node counts since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Transitions submitted.
    pub submitted: AtomicU64,
    /// Transitions made durable.
    pub accepted: AtomicU64,
    /// Submissions answered with an earlier receipt.
    pub duplicates: AtomicU64,
    /// Submissions that did not verify.
    pub not_admitted: AtomicU64,
    /// Transitions refused by the host's rules.
    pub refused: AtomicU64,
    /// Transitions refused by a policy.
    pub denied: AtomicU64,
    /// Policies that failed.
    pub faults: AtomicU64,
    /// Calls of policies without a verdict.
    pub no_verdicts: AtomicU64,
    /// Equivocations proven.
    pub equivocations: AtomicU64,
    /// Submissions answered `overloaded`.
    pub overloaded: AtomicU64,
    /// Policy evaluations.
    pub evaluations: AtomicU64,
    /// Fuel that policies used.
    pub fuel: AtomicU64,
    /// Checkpoints signed.
    pub checkpoints: AtomicU64,
    /// Bytes appended to the log.
    pub log_bytes: AtomicU64,
    /// Locks of bridges that were credited.
    pub locks_credited: AtomicU64,
    /// Locks of bridges that were refunded.
    pub locks_refunded: AtomicU64,
    /// Entries put into the outbox.
    pub emissions: AtomicU64,
    /// Bridges opened, moved or frozen.
    pub bridge_moves: AtomicU64,
    /// Time to verify one transition's signatures.
    pub verify: Histogram,
    /// Time of one policy evaluation.
    pub evaluate: Histogram,
    /// Time of the sequencer for one transition, policies included.
    pub sequence: Histogram,
    /// Time of one fsync.
    pub fsync: Histogram,
    /// Time from submission to receipt.
    pub receipt: Histogram,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
