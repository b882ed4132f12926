//! What a core node whose disk is gone has to hear before it may lead again.
//!
//! Every level above `Local` has the primary's ack, so the primary of the highest topology holds all that was ever
//! acknowledged with it. A majority is asked besides, because some member of each majority has promised the highest
//! topology that ever counted: [`crate::Topology::check_next`].

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
    /// Fetch from these, the longest log first, then lead in `epoch`.
    Ready {
        /// The members that answered, with their heads.
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
    topology: Option<SignedTopology>,
    statuses: BTreeMap<NodeId, NodeStatus>,
}

impl Restore {
    /// Nobody was asked yet.
    pub fn new(network: NetworkId, core: PublicKey) -> Restore {
        Restore { network, core, topology: None, statuses: BTreeMap::new() }
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
            let epoch = promise.topology.topology.epoch();
            if self.topology.as_ref().is_none_or(|known| known.topology.epoch() < epoch) {
                self.topology = Some(promise.topology.clone());
            }
        }
        self.statuses.insert(node, status);
        Ok(())
    }

    /// The highest topology that anybody promised.
    pub fn topology(&self) -> Option<&SignedTopology> {
        self.topology.as_ref()
    }

    /// Whether it is time to fetch.
    pub fn readiness(&self) -> Readiness {
        let Some(SignedTopology { topology, .. }) = &self.topology else { return Readiness::NoTopology };
        let members: BTreeSet<NodeId> = topology.members().iter().map(crate::Member::node).collect();
        let silent: Vec<NodeId> =
            members.iter().filter(|node| !self.statuses.contains_key(node)).copied().collect();
        let answered = members.len() - silent.len();
        let primary_silent = silent.contains(&topology.primary());
        let needed = topology.majority().saturating_sub(answered).max(usize::from(primary_silent));
        if needed > 0 {
            return Readiness::Waiting { silent, needed, primary_silent };
        }
        let heads = self.statuses.iter().map(|(node, status)| (*node, status.head));
        let mut sources: Vec<(NodeId, Head)> = heads.filter(|(node, _)| members.contains(node)).collect();
        sources.sort_by_key(|(node, head)| (core::cmp::Reverse(head.position), *node));
        Readiness::Ready { sources, epoch: topology.epoch().saturating_add(1) }
    }
}
