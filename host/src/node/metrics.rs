//! What the node counts: plain atomics, read by whoever exposes them.

use dsm_abi::PolicyId;
use dsm_core::{Judgement, NoVerdict, OperationKind};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
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

/// The words for the kinds of operations, in the order of [`OperationKind`].
const OPERATIONS: [&str; 20] = [
    "create_account",
    "rotate_keys",
    "precommit",
    "recover",
    "revoke",
    "publish",
    "create_token",
    "mint",
    "burn",
    "transfer",
    "claim",
    "hold",
    "release",
    "execute",
    "invoke",
    "open_bridge",
    "advance_bridge",
    "convict_bridge",
    "emit",
    "upgrade",
];

/// Operations of accepted transitions, by kind.
#[derive(Debug, Default)]
pub struct Operations([AtomicU64; OPERATIONS.len()]);

impl Operations {
    pub(crate) fn count(&self, kind: &OperationKind) {
        let place = match kind {
            OperationKind::CreateAccount { .. } => 0,
            OperationKind::RotateKeys { .. } => 1,
            OperationKind::Precommit { .. } => 2,
            OperationKind::Recover { .. } => 3,
            OperationKind::Revoke => 4,
            OperationKind::Publish { .. } => 5,
            OperationKind::CreateToken { .. } => 6,
            OperationKind::Mint { .. } => 7,
            OperationKind::Burn { .. } => 8,
            OperationKind::Transfer { .. } => 9,
            OperationKind::Claim { .. } => 10,
            OperationKind::Hold { .. } => 11,
            OperationKind::Release { .. } => 12,
            OperationKind::Execute { .. } => 13,
            OperationKind::Invoke { .. } => 14,
            OperationKind::OpenBridge { .. } => 15,
            OperationKind::AdvanceBridge { .. } => 16,
            OperationKind::ConvictBridge { .. } => 17,
            OperationKind::Emit { .. } => 18,
            OperationKind::Upgrade { .. } => 19,
        };
        count(&self.0[place]);
    }

    /// The words for the kinds, each with its count.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OPERATIONS.into_iter().zip(self.0.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

/// What a policy can be found to have said.
pub const VERDICTS: [&str; 4] = ["accept", "reject", "fault", "none"];

/// Policies that have counters of their own, first come, first served; the rest share one row. Whoever may publish
/// would otherwise decide how many series a scraper has to keep.
const POLICIES_MAX: usize = 32;

type Row = [AtomicU64; VERDICTS.len()];

/// Verdicts of policies: in all, and by policy as far as there is room.
#[derive(Debug, Default)]
pub struct Verdicts {
    all: Row,
    others: Row,
    rows: RwLock<BTreeMap<PolicyId, Arc<Row>>>,
}

impl Verdicts {
    pub(crate) fn count(&self, policy: &PolicyId, judged: &Result<Judgement, NoVerdict>) {
        let verdict = match judged {
            Ok(Judgement::Accept(_)) => 0,
            Ok(Judgement::Reject(_)) => 1,
            Ok(Judgement::Fault(_)) => 2,
            Err(_) => 3,
        };
        count(&self.all[verdict]);
        match self.row(policy) {
            Some(row) => count(&row[verdict]),
            None => count(&self.others[verdict]),
        }
    }

    fn row(&self, policy: &PolicyId) -> Option<Arc<Row>> {
        let rows = self.rows.read();
        if let Some(row) = rows.get(policy) {
            return Some(Arc::clone(row));
        }
        let room = rows.len() < POLICIES_MAX;
        drop(rows);
        let mut rows = room.then(|| self.rows.write())?;
        let room = rows.len() < POLICIES_MAX;
        (room || rows.contains_key(policy)).then(|| Arc::clone(rows.entry(*policy).or_default()))
    }

    /// Verdicts of all policies, in the order of [`VERDICTS`].
    pub fn in_all(&self) -> [u64; VERDICTS.len()] {
        read(&self.all)
    }

    /// Verdicts by policy; `None` is all those that have no row of their own.
    pub fn by_policy(&self) -> Vec<(Option<PolicyId>, [u64; VERDICTS.len()])> {
        let rows = self.rows.read();
        let own = rows.iter().map(|(policy, row)| (Some(*policy), read(row)));
        own.chain([(None, read(&self.others))]).collect()
    }
}

fn read(row: &Row) -> [u64; VERDICTS.len()] {
    std::array::from_fn(|verdict| row[verdict].load(Ordering::Relaxed))
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
    /// Operations of accepted transitions.
    pub operations: Operations,
    /// Verdicts of policies.
    pub verdicts: Verdicts,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thirty_third_policy_shares_a_row_and_nothing_is_lost() {
        let verdicts = Verdicts::default();
        for turn in 0..3u8 {
            for policy in 0..40u8 {
                let judged = match turn {
                    0 => Ok(Judgement::Accept(Vec::new())),
                    1 => Ok(Judgement::Fault("out_of_fuel".into())),
                    _ => Err(NoVerdict("no package".into())),
                };
                verdicts.count(&PolicyId([policy; 32]), &judged);
            }
        }
        assert_eq!(verdicts.in_all(), [40, 0, 40, 40]);
        let rows = verdicts.by_policy();
        assert_eq!(rows.len(), POLICIES_MAX + 1);
        assert!(rows[..POLICIES_MAX].iter().all(|(policy, row)| policy.is_some() && *row == [1, 0, 1, 1]));
        assert_eq!(rows[POLICIES_MAX], (None, [8, 0, 8, 8]));
    }
}
