//! What a core node whose disk is gone has to hear before it may lead again.
//!
//! Every level above `Local` has the primary's ack, so the primary of the topology that counts holds all that was ever
//! acknowledged with it. A majority is asked besides: some member of it has promised that topology. Two writers may
//! have made one epoch each; then the one counts that a majority promised, and if nobody can tell, all are asked.

use crate::fetch::NodeStatus;
use crate::{Head, NodeId, SignedTopology, TopologyError};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use dsm_abi::{NetworkId, VerifySignature};
use dsm_core::PublicKey;

/// How far the asking has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Nobody has named a topology yet.
    NoTopology,
    /// More members have to answer: a majority, the primary among them.
    Waiting {
        /// Members that have not answered.
        silent: Vec<NodeId>,
        /// How many more answers are needed at least.
        needed: usize,
        /// Whether the primary is among the silent. An operator who knows that it is lost for ever may go on without
        /// it, and may lose what only the core and it had.
        primary_silent: bool,
    },
    /// Fetch the first one's log (any of the others may have it too), then lead in `epoch`.
    Ready {
        /// The topology that counts.
        topology: SignedTopology,
        /// Members that answered, with their heads: the primary first, then by promised epoch and length.
        sources: Vec<(NodeId, Head)>,
        /// The epoch to lead in: one more than the highest promised.
        epoch: u64,
    },
}

/// The asking.
#[derive(Debug, Clone)]
pub struct Restore {
    network: NetworkId,
    core: PublicKey,
    statuses: BTreeMap<NodeId, NodeStatus>,
}

impl Restore {
    /// Nobody was asked yet.
    pub fn new(network: NetworkId, core: PublicKey) -> Restore {
        Restore { network, core, statuses: BTreeMap::new() }
    }

    /// The answer of `node`, which authenticated, to [`crate::fetch::Query::Status`].
    ///
    /// # Errors
    /// [`TopologyError`] if its topology is not the core node's; the answer does not count.
    pub fn handle_status(
        &mut self,
        node: NodeId,
        status: NodeStatus,
        verifier: &dyn VerifySignature,
    ) -> Result<(), TopologyError> {
        if status.network.is_some_and(|network| network != self.network) {
            return Err(TopologyError::Network);
        }
        if let Some(promise) = &status.promise {
            promise.topology.verify(self.network, &self.core, verifier)?;
        }
        self.statuses.insert(node, status);
        Ok(())
    }

    /// The topologies of the highest epoch promised, each with how many of its members promised it. More than one is
    /// the work of two writers.
    fn highest(&self) -> Vec<(&SignedTopology, usize)> {
        let mut found: Vec<(&SignedTopology, usize)> = Vec::new();
        for (node, status) in &self.statuses {
            let Some(promise) = &status.promise else { continue };
            let (epoch, held) = (promise.topology.topology.epoch(), &promise.topology);
            let highest = found.first().map_or(0, |(known, _)| known.topology.epoch());
            if epoch > highest {
                found.clear();
            }
            if epoch >= highest {
                let member = usize::from(held.topology.member(*node).is_some());
                match found.iter_mut().find(|(known, _)| known.topology == held.topology) {
                    Some((_, count)) => *count += member,
                    None => found.push((held, member)),
                }
            }
        }
        found
    }

    /// Whether it is time to fetch.
    pub fn readiness(&self) -> Readiness {
        let highest = self.highest();
        let counts = |(known, count): &&(&SignedTopology, usize)| *count >= known.topology.majority();
        let undecided = highest.len() > 1 && !highest.iter().any(|known| counts(&known));
        let Some((signed, _)) = highest.iter().find(counts).or(highest.first()) else {
            return Readiness::NoTopology;
        };
        let topology = &signed.topology;
        let members: BTreeSet<NodeId> = topology.members().iter().map(crate::Member::node).collect();
        let silent: Vec<NodeId> =
            members.iter().filter(|node| !self.statuses.contains_key(node)).copied().collect();
        let answered = members.len() - silent.len();
        let primary_silent = silent.contains(&topology.primary());
        let asked = if undecided { members.len() } else { topology.majority() };
        let needed = asked.saturating_sub(answered).max(usize::from(primary_silent));
        if needed > 0 {
            return Readiness::Waiting { silent, needed, primary_silent };
        }
        let promised = |status: &NodeStatus| {
            status.promise.as_ref().map_or(0, |promise| promise.topology.topology.epoch())
        };
        let mut sources: Vec<(NodeId, &NodeStatus)> =
            self.statuses.iter().map(|(node, status)| (*node, status)).collect();
        sources.retain(|(node, _)| members.contains(node));
        sources.sort_by_key(|(node, status)| {
            let rank = (*node == topology.primary(), promised(status), status.head.position);
            (core::cmp::Reverse(rank), *node)
        });
        Readiness::Ready {
            topology: (*signed).clone(),
            sources: sources.into_iter().map(|(node, status)| (node, status.head)).collect(),
            epoch: topology.epoch().saturating_add(1),
        }
    }
}
