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
#[derive(Debug, Clone, Default)]
struct Holdings {
    primary: Option<Digest>,
    members: BTreeMap<Digest, u64>,
}

impl Holdings {
    fn reached(&self, position: u64) -> (Durability, Vec<Digest>) {
        let holds = |node: &Digest| self.members.get(node).is_some_and(|acked| *acked >= position);
        let primary = self.primary.filter(holds);
        let others = self.members.keys().filter(|node| Some(**node) != self.primary && holds(node));
        let nodes: Vec<Digest> = primary.into_iter().chain(others.copied()).collect();
        (Durability::of(primary.is_some(), nodes.len()), nodes)
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

    /// The members that there are from now on, and who of them is the primary. What was acknowledged stays.
    pub(crate) fn set_members(&self, primary: Digest, members: impl IntoIterator<Item = Digest>) {
        self.holdings.send_modify(|held| {
            let before = std::mem::take(&mut held.members);
            let acked = |node: &Digest| before.get(node).copied().unwrap_or(0);
            held.members = members.into_iter().map(|node| (node, acked(&node))).collect();
            held.primary = Some(primary);
        });
    }

    /// A member's log is durable through `position`, by its own signed word.
    pub(crate) fn acked(&self, node: &Digest, position: u64) {
        self.holdings.send_if_modified(|held| match held.members.get_mut(node) {
            Some(acked) if *acked < position => {
                *acked = position;
                true
            }
            Some(_) | None => false,
        });
    }

    /// A member's acknowledgements do not count any more: it went back behind them.
    pub(crate) fn forget(&self, node: &Digest) {
        self.holdings.send_modify(|held| {
            if let Some(acked) = held.members.get_mut(node) {
                *acked = 0;
            }
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
        let replicas = Replicas::default();
        replicas.set_members(B, [A, B, C]);
        let reached = |position| replicas.holdings.borrow().reached(position);
        assert_eq!(reached(1), (Durability::Local, vec![]));
        replicas.acked(&A, 10);
        assert_eq!(reached(10), (Durability::Local, vec![A]), "the primary has not acked");
        replicas.acked(&B, 5);
        assert_eq!(reached(5), (Durability::Replicated(2), vec![B, A]));
        assert_eq!(reached(6), (Durability::Local, vec![A]));
        replicas.acked(&B, 3);
        assert_eq!(reached(5).0, Durability::Replicated(2), "an ack does not go back");
        replicas.acked(&Digest([9; 32]), 10);
        assert_eq!(reached(5).1, vec![B, A], "a stranger's ack counts for nothing");
        replicas.set_members(A, [A, C]);
        assert_eq!(reached(10), (Durability::Primary, vec![A]));
        replicas.forget(&A);
        assert_eq!(reached(1), (Durability::Local, vec![]));
    }

    #[test]
    fn a_level_above_the_members_is_refused_before_anything_is_accepted() {
        let replicas = Replicas::default();
        assert!(replicas.check(Durability::Local).is_ok());
        assert!(matches!(
            replicas.check(Durability::Primary),
            Err(SubmitError::TooFewStorageNodes { members: 0, .. })
        ));
        replicas.set_members(A, [A, B]);
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
