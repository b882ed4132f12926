//! What was promised, seen from outside, and whether it is kept.

use crate::{Evidence, Head, Micros, NodeId};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use dsm_abi::Digest;

/// Something promised was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, {} ms: {what}", .at.0 / 1000)]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// When.
    pub at: Micros,
    /// What.
    pub what: String,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// The digest acknowledged at each position with a level above `Local`.
    acknowledged: Vec<Digest>,
    /// Where each transaction was acknowledged.
    placed: BTreeMap<u64, u64>,
    /// Acks of each node and epoch by position.
    acks: BTreeMap<(usize, u64, u64), Digest>,
    pub(super) violation: Option<String>,
}

impl Oracle {
    pub(super) fn fail(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(super) fn demand(&mut self, kept: bool, what: impl FnOnce() -> String) {
        if !kept {
            self.fail(what());
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    pub(super) fn was_acknowledged(&self, head: &Head) -> bool {
        head.position > 0 && self.acknowledged.get(head.position as usize - 1) == Some(&head.digest)
    }

    /// A receipt above `Local` for the record at `head`, which holds transaction `id`.
    pub(super) fn acknowledge(&mut self, head: Head, id: u64) {
        let index = head.position as usize - 1;
        match self.acknowledged.get(index) {
            Some(before) => {
                let equal = *before == head.digest;
                self.demand(equal, || {
                    alloc::format!("position {} was acknowledged twice: a fork", head.position)
                });
            }
            None => {
                let next = index == self.acknowledged.len();
                self.demand(next, || {
                    alloc::format!("position {} acknowledged before its predecessors", head.position)
                });
                self.acknowledged.push(head.digest);
            }
        }
        let placed = *self.placed.entry(id).or_insert(head.position);
        self.demand(placed == head.position, || {
            alloc::format!("transaction {id} stands at {placed} and at {}", head.position)
        });
    }

    /// An honest node signed this.
    pub(super) fn ack(&mut self, node: usize, epoch: u64, head: Head) {
        let first = *self.acks.entry((node, epoch, head.position)).or_insert(head.digest);
        self.demand(first == head.digest, || {
            alloc::format!("node {node} acked two digests at {} in epoch {epoch}", head.position)
        });
    }

    /// A log that was acknowledged from must have all of it, unless it is shorter for a good reason.
    pub(super) fn check_prefix(&mut self, whose: &str, digest_at: impl Fn(u64) -> Option<Digest>) {
        if let Some(last) = self.acknowledged.last() {
            let position = self.acknowledged.len() as u64;
            let kept = digest_at(position) == Some(*last);
            self.demand(kept, || {
                alloc::format!("{whose} lost what was acknowledged, up to position {position}")
            });
        }
    }

    /// Evidence must convict only who is guilty.
    pub(super) fn evidence(&mut self, evidence: &Evidence, liar: Option<NodeId>, two_writers: bool) {
        let just = match evidence {
            Evidence::TwoTopologies { .. } | Evidence::TwoRecords { .. } => two_writers,
            Evidence::TwoAcks { node, .. }
            | Evidence::OtherAck { node, .. }
            | Evidence::RolledBack { node, .. } => liar == Some(*node),
        };
        self.demand(just, || {
            let mut text = alloc::format!("evidence against the innocent: {evidence:?}");
            text.truncate(600);
            text
        });
    }
}
