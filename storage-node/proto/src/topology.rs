//! Who keeps the log: a document that the core node signs, one for each epoch.

use crate::{Micros, NodeId, limit};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize, io};
use dsm_abi::{Digest, NetworkId, SignatureError, Suite, VerifySignature, encode};
use dsm_core::{PublicKey, SignKind, hash, signing_message, tag};

/// A storage node that belongs to a topology.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Member {
    key: Vec<u8>,
    address: String,
}

impl Member {
    /// The node with this raw ML-DSA-65 public key, reached at `address` (host and port).
    ///
    /// # Errors
    /// [`TopologyError::Key`] and [`TopologyError::Address`].
    pub fn new(key: Vec<u8>, address: String) -> Result<Member, TopologyError> {
        if key.len() != limit::MEMBER_KEY_BYTES {
            return Err(TopologyError::Key);
        }
        let plain = address.bytes().all(|byte| byte.is_ascii_graphic());
        if address.is_empty() || address.len() > limit::ADDRESS_BYTES_MAX || !plain {
            return Err(TopologyError::Address);
        }
        Ok(Member { key, address })
    }

    /// The node's id.
    pub fn node(&self) -> NodeId {
        NodeId::of(&self.key)
    }

    /// The raw public key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The key with its suite, as signatures are verified.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { suite: Suite::MlDsa65, bytes: self.key.clone() }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Why a topology does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A member's key has the wrong length.
    #[error("a member's key is not a raw ML-DSA-65 public key")]
    Key,
    /// A member's address is empty, too long or not plain ASCII.
    #[error("a member's address is empty, too long or not plain ASCII")]
    Address,
    /// No member, or too many.
    #[error("a topology has 1 to {} members", limit::MEMBERS_MAX)]
    Members,
    /// Members are not sorted by node, or one stands there twice.
    #[error("members are not strictly sorted by node")]
    Order,
    /// The primary is not a member.
    #[error("the primary is not a member")]
    Primary,
    /// Epoch 0 stands for none.
    #[error("epoch 0 stands for no topology")]
    Epoch,
    /// It belongs to another network.
    #[error("the topology of another network")]
    Network,
    /// The core node's signature does not verify.
    #[error("the core node's signature: {0}")]
    Signature(SignatureError),
    /// The new document changes too much at once.
    #[error("a topology changes by its primary or by one member")]
    Step,
}

/// Who keeps the log of a network in one epoch. Checked whenever it is made or decoded.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Topology {
    network: NetworkId,
    epoch: u64,
    term: [u8; 32],
    primary: NodeId,
    members: Vec<Member>,
}

impl Topology {
    /// A topology; `members` are sorted here. `term` is random, so that two documents of one epoch differ.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn new(
        network: NetworkId,
        epoch: u64,
        term: [u8; 32],
        primary: NodeId,
        mut members: Vec<Member>,
    ) -> Result<Topology, TopologyError> {
        if members.is_empty() || members.len() > limit::MEMBERS_MAX {
            return Err(TopologyError::Members);
        }
        members.sort_by_cached_key(Member::node);
        let topology = Topology { network, epoch, term, primary, members };
        topology.check()?;
        Ok(topology)
    }

    fn check(&self) -> Result<(), TopologyError> {
        if self.members.is_empty() || self.members.len() > limit::MEMBERS_MAX {
            return Err(TopologyError::Members);
        }
        let nodes: Vec<NodeId> = self.members.iter().map(Member::node).collect();
        if !nodes.is_sorted_by(|a, b| a < b) {
            return Err(TopologyError::Order);
        }
        if !nodes.contains(&self.primary) {
            return Err(TopologyError::Primary);
        }
        if self.epoch == 0 { Err(TopologyError::Epoch) } else { Ok(()) }
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// 1 for the first, then always higher.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What whoever made it drew at random.
    pub fn term(&self) -> [u8; 32] {
        self.term
    }

    /// The member whose ack makes `Primary`.
    pub fn primary(&self) -> NodeId {
        self.primary
    }

    /// The members, sorted by node.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this id.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node() == node)
    }

    /// More than half of the members: so many have to promise an epoch, the primary among them, before levels count
    /// in it, and so many does a restored core have to hear. Any two majorities share a member, so of two documents
    /// of one epoch at most one ever counts.
    pub fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Equal documents have equal ids.
    pub fn id(&self) -> Digest {
        hash(tag::TOPOLOGY, &[&encode(self)])
    }

    /// The exact bytes that the core node signs, for the suite of its key.
    pub fn signing_message(&self, suite: Suite) -> Vec<u8> {
        signing_message(suite, self.network, SignKind::Topology, &encode(self))
    }

    /// The document with `primary` in the next epoch.
    ///
    /// # Errors
    /// [`TopologyError::Primary`] and [`TopologyError::Epoch`].
    pub fn promoted(&self, primary: NodeId, term: [u8; 32]) -> Result<Topology, TopologyError> {
        let epoch = self.epoch.checked_add(1).ok_or(TopologyError::Epoch)?;
        Topology::new(self.network, epoch, term, primary, self.members.clone())
    }

    /// The document with one more member in the next epoch.
    ///
    /// # Errors
    /// [`TopologyError::Members`], [`TopologyError::Order`] if it is one already, [`TopologyError::Epoch`].
    pub fn with(&self, member: Member, term: [u8; 32]) -> Result<Topology, TopologyError> {
        let epoch = self.epoch.checked_add(1).ok_or(TopologyError::Epoch)?;
        let mut members = self.members.clone();
        members.push(member);
        Topology::new(self.network, epoch, term, self.primary, members)
    }

    /// The document without `node` in the next epoch; the primary has to be replaced first.
    ///
    /// # Errors
    /// [`TopologyError::Members`], [`TopologyError::Primary`], [`TopologyError::Epoch`]; [`TopologyError::Step`]
    /// if it is no member.
    pub fn without(&self, node: NodeId, term: [u8; 32]) -> Result<Topology, TopologyError> {
        let epoch = self.epoch.checked_add(1).ok_or(TopologyError::Epoch)?;
        let members: Vec<Member> =
            self.members.iter().filter(|member| member.node() != node).cloned().collect();
        if members.len() == self.members.len() {
            return Err(TopologyError::Step);
        }
        Topology::new(self.network, epoch, term, self.primary, members)
    }

    /// Checks that `next` may replace this one: a higher epoch of the same network, and either another primary or at
    /// most one member added or removed. So whoever asks the primary and a majority of the old one meets somebody
    /// who promised the new one.
    ///
    /// # Errors
    /// [`TopologyError::Network`], [`TopologyError::Epoch`], [`TopologyError::Step`].
    pub fn check_next(&self, next: &Topology) -> Result<(), TopologyError> {
        if next.network != self.network {
            return Err(TopologyError::Network);
        }
        if next.epoch <= self.epoch {
            return Err(TopologyError::Epoch);
        }
        let added = next.members.iter().filter(|member| self.member(member.node()).is_none()).count();
        let removed = self.members.iter().filter(|member| next.member(member.node()).is_none()).count();
        let promoted = usize::from(next.primary != self.primary);
        if added + removed + promoted > 1 { Err(TopologyError::Step) } else { Ok(()) }
    }
}

impl BorshDeserialize for Member {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Member> {
        let (key, address) = BorshDeserialize::deserialize_reader(reader)?;
        Member::new(key, address).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

impl BorshDeserialize for Topology {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Topology> {
        let (network, epoch, term, primary, members) = BorshDeserialize::deserialize_reader(reader)?;
        let topology = Topology { network, epoch, term, primary, members };
        topology.check().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(topology)
    }
}

/// A topology with the core node's signature.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedTopology {
    /// The document.
    pub topology: Topology,
    /// The core node's signature over [`Topology::signing_message`].
    pub signature: Vec<u8>,
}

impl SignedTopology {
    /// Checks the signature of `core` and that the document belongs to `network`.
    ///
    /// # Errors
    /// [`TopologyError::Network`] and [`TopologyError::Signature`].
    pub fn verify(
        &self,
        network: NetworkId,
        core: &PublicKey,
        verifier: &dyn VerifySignature,
    ) -> Result<(), TopologyError> {
        if self.topology.network != network {
            return Err(TopologyError::Network);
        }
        let message = self.topology.signing_message(core.suite);
        verifier
            .verify_signature(core.suite, &core.bytes, &message, &self.signature)
            .map_err(TopologyError::Signature)
    }
}

/// What a follower made durable before it answered: it will never again answer to a lower epoch.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Promise {
    /// The highest topology seen.
    pub topology: SignedTopology,
    /// Records behind this position were written in the topology's epoch, those up to it in lower ones.
    pub since: u64,
}

/// Allows at most so many events in a span of time; the count starts again with each span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    started: Micros,
    used: u32,
}

impl Budget {
    pub(crate) fn new(now: Micros) -> Budget {
        Budget { started: now, used: 0 }
    }

    /// Takes one of `max` per `span`, or says that none is left.
    pub(crate) fn take(&mut self, max: u32, span: Micros, now: Micros) -> bool {
        if now.since(self.started) >= span {
            *self = Budget::new(now);
        }
        let left = self.used < max;
        self.used += u32::from(left);
        left
    }
}
