//! What the node knows of its storage nodes: who holds the log how far, and whether this node may lead.
//!
//! Written by `replicate` alone; read by whoever answers with a receipt, and by the intake, which takes nothing while
//! this node does not lead. A node without storage nodes leads from the start.

use super::SubmitError;
use dsm_abi::Digest;
use dsm_sdk::receipt::{Durability, Receipt};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Whether this node may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It writes.
    #[default]
    Leading,
    /// It has not heard from enough storage nodes since it started to know that nobody is ahead of it.
    Waiting,
    /// A storage node holds more of this history than this node does: it fetches that first.
    Behind {
        /// Where the storage node's log ends.
        position: u64,
    },
    /// Storage nodes have promised a higher epoch: another node writes.
    Fenced {
        /// The epoch.
        epoch: u64,
    },
}

impl Standing {
    /// What a submission is answered; nothing while the node leads.
    pub fn refusal(self) -> Option<SubmitError> {
        match self {
            Standing::Leading => None,
            Standing::Waiting => Some(SubmitError::NotLeading),
            Standing::Behind { position } => Some(SubmitError::Behind { position }),
            Standing::Fenced { epoch } => Some(SubmitError::Fenced { epoch }),
        }
    }
}

/// How far each storage node's signed acknowledgements go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Holdings {
    /// The primary.
    pub(crate) primary: Option<Digest>,
    /// Levels count through this position: the primary's word, once enough members promised the epoch.
    pub(crate) counted: u64,
    /// Every member, with the last position that it acknowledged.
    pub(crate) members: BTreeMap<Digest, u64>,
}

impl Holdings {
    fn reached(&self, position: u64) -> (Durability, Vec<Digest>) {
        let holds = |node: &Digest| self.members.get(node).is_some_and(|acked| *acked >= position);
        let primary = self.primary.filter(holds);
        let others = self.members.keys().filter(|node| Some(**node) != self.primary && holds(node));
        let nodes: Vec<Digest> = primary.into_iter().chain(others.copied()).collect();
        (Durability::of(primary.is_some() && self.counted >= position, nodes.len()), nodes)
    }
}

/// What is known of the storage nodes.
pub struct Replicas {
    leading: AtomicBool,
    standing: Mutex<Standing>,
    holdings: watch::Sender<Holdings>,
}

impl Default for Replicas {
    fn default() -> Replicas {
        Replicas {
            leading: AtomicBool::new(true),
            standing: Mutex::default(),
            holdings: watch::Sender::new(Holdings::default()),
        }
    }
}

impl Replicas {
    /// Whether this node may write.
    pub fn standing(&self) -> Standing {
        if self.leading.load(Ordering::Acquire) { Standing::Leading } else { *self.standing.lock() }
    }

    /// Lets the node write, or keeps it from it. A node that is fenced stays so.
    pub(crate) fn set_standing(&self, standing: Standing) {
        let mut held = self.standing.lock();
        if matches!(*held, Standing::Fenced { .. }) {
            return;
        }
        *held = standing;
        self.leading.store(standing == Standing::Leading, Ordering::Release);
    }

    /// What storage nodes hold from now on.
    pub(crate) fn set_holdings(&self, holdings: Holdings) {
        self.holdings.send_if_modified(|held| {
            let changed = *held != holdings;
            *held = holdings;
            changed
        });
    }

    /// Refuses a level that cannot be reached however long one waits.
    ///
    /// # Errors
    /// [`SubmitError::TooFewStorageNodes`].
    pub fn check(&self, level: Durability) -> Result<(), SubmitError> {
        let members = self.holdings.borrow().members.len();
        if level.storage_nodes() <= members {
            return Ok(());
        }
        Err(SubmitError::TooFewStorageNodes { asked: level, members })
    }

    /// Writes into a receipt how far it is durable by now.
    pub(crate) fn stamp(&self, receipt: &mut Receipt) {
        (receipt.durability, receipt.storage_nodes) = self.holdings.borrow().reached(receipt.position);
    }

    /// Waits until a transition that is durable here has reached `level`, at most `patience`.
    ///
    /// # Errors
    /// [`SubmitError::NotReplicated`]: the transition stands, and the receipt in the error says what was reached.
    pub(crate) async fn reach(
        &self,
        mut receipt: Receipt,
        level: Durability,
        patience: Duration,
    ) -> Result<Receipt, SubmitError> {
        let mut changes = self.holdings.subscribe();
        let position = receipt.position;
        let reached = changes.wait_for(|held| held.reached(position).0 >= level);
        // Whether in time or not, the receipt says what is known at its end.
        drop(tokio::time::timeout(patience, reached).await);
        self.stamp(&mut receipt);
        if receipt.durability >= level {
            return Ok(receipt);
        }
        Err(SubmitError::NotReplicated { asked: level, receipt: Box::new(receipt) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Digest = Digest([1; 32]);
    const B: Digest = Digest([2; 32]);
    const C: Digest = Digest([3; 32]);

    #[test]
    fn a_level_counts_the_primary_and_only_members_that_acked_so_far() {
        let held = |counted, members: &[(Digest, u64)]| Holdings {
            primary: Some(B),
            counted,
            members: members.iter().copied().collect(),
        };
        let rows = [
            (held(0, &[]), 1, Durability::Local, vec![]),
            (held(0, &[(A, 10)]), 10, Durability::Local, vec![A]),
            (held(5, &[(A, 10), (B, 5)]), 5, Durability::Replicated(2), vec![B, A]),
            (held(5, &[(A, 10), (B, 5), (C, 4)]), 6, Durability::Local, vec![A]),
            // Too few members promised the epoch: nothing counts, whoever holds it.
            (held(0, &[(A, 10), (B, 10)]), 5, Durability::Local, vec![B, A]),
            (held(10, &[(A, 3), (B, 10)]), 7, Durability::Primary, vec![B]),
        ];
        for (holdings, position, level, nodes) in rows {
            assert_eq!(holdings.reached(position), (level, nodes), "{holdings:?} at {position}");
        }
    }

    #[test]
    fn a_level_above_the_members_is_refused_before_anything_is_accepted() {
        let replicas = Replicas::default();
        assert!(replicas.check(Durability::Local).is_ok());
        assert!(matches!(
            replicas.check(Durability::Primary),
            Err(SubmitError::TooFewStorageNodes { members: 0, .. })
        ));
        let members = [(A, 0), (B, 0)].into_iter().collect();
        replicas.set_holdings(Holdings { primary: Some(A), counted: 0, members });
        assert!(replicas.check(Durability::Replicated(2)).is_ok());
        assert!(replicas.check(Durability::Replicated(3)).is_err());
    }

    #[test]
    fn a_fenced_node_stays_fenced() {
        let replicas = Replicas::default();
        assert_eq!(replicas.standing(), Standing::Leading);
        replicas.set_standing(Standing::Behind { position: 7 });
        assert_eq!(replicas.standing(), Standing::Behind { position: 7 });
        replicas.set_standing(Standing::Leading);
        assert_eq!(replicas.standing(), Standing::Leading);
        replicas.set_standing(Standing::Fenced { epoch: 3 });
        replicas.set_standing(Standing::Leading);
        assert_eq!(replicas.standing(), Standing::Fenced { epoch: 3 });
    }
}
