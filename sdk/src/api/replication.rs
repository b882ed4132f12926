//! Faces of the topology: who keeps the log besides the core node, and how far each is.

use super::Hex;
use crate::receipt::Durability;
use dsm_abi::{Digest, NetworkId};
use serde::{Deserialize, Serialize};

/// Who keeps the log of this network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyView {
    /// The network.
    pub network: NetworkId,
    /// The id of the core node.
    pub node: Digest,
    /// The core node's ML-DSA-65 public key, which storage nodes pin.
    pub key: Hex,
    /// Where the core node listens for storage nodes.
    pub listen: String,
    /// `leading`, `waiting`, `behind` or `fenced`.
    pub standing: String,
    /// The level of durability of submissions that ask for none.
    pub durability: Durability,
    /// The topology's epoch; 0 if there is none.
    pub epoch: u64,
    /// The primary.
    pub primary: Option<Digest>,
    /// The end of the core node's durable log.
    pub position: u64,
    /// The storage nodes.
    pub members: Vec<MemberView>,
    /// The canonical bytes of the signed topology.
    pub signed: Option<Hex>,
}

/// A storage node, as the core node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its id.
    pub node: Digest,
    /// Host and port.
    pub address: String,
    /// Its ML-DSA-65 public key.
    pub key: Hex,
    /// Whether it is the primary.
    pub primary: bool,
    /// `absent`, `greeting`, `searching`, `catching_up`, `streaming` or `refused`.
    pub state: String,
    /// Its log is durable through this position, by its own signature.
    pub acked: u64,
    /// Records that it has not acknowledged.
    pub lag: u64,
    /// Where it stood when it was greeted; how far a catch-up has come is told by this, `acked` and `lag`.
    pub began: u64,
    /// Bytes sent to it and not acknowledged.
    pub bytes_in_flight: u64,
    /// Acknowledgements verified since the core node started.
    pub acks: u64,
    /// Connections since the core node started.
    pub connections: u64,
    /// The estimate of a round trip, in µs.
    pub round_trip_us: Option<u64>,
    /// What went wrong last.
    pub trouble: Option<String>,
}

/// Who reaches whom, and how far each is: asked now, of each storage node itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixView {
    /// The core node.
    pub node: Digest,
    /// Its epoch.
    pub epoch: u64,
    /// The end of its durable log.
    pub position: u64,
    /// The chain digest there.
    pub digest: Digest,
    /// One row for each storage node.
    pub rows: Vec<ReachView>,
}

/// A storage node, by its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachView {
    /// Its id.
    pub node: Digest,
    /// Host and port.
    pub address: String,
    /// Whether it is the primary.
    pub primary: bool,
    /// Whether it answered.
    pub reached: bool,
    /// How long its answer took, in µs.
    pub answer_us: Option<u64>,
    /// The epoch that it promised.
    pub epoch: Option<u64>,
    /// The first position that it keeps.
    pub first: Option<u64>,
    /// The end of its durable log.
    pub position: Option<u64>,
    /// The chain digest there.
    pub digest: Option<Digest>,
    /// Whether that digest is the core node's at the same position; absent if the core node is not so far.
    pub agrees: Option<bool>,
    /// Why it did not answer.
    pub trouble: Option<String>,
}

/// The JSON body that adds a storage node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddPeerRequest {
    /// Host and port.
    pub address: String,
    /// Its ML-DSA-65 public key; without one the core node must have been told it in its configuration.
    #[serde(default)]
    pub key: Option<Hex>,
}

/// The JSON body that names a storage node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerRequest {
    /// Its id.
    pub node: Digest,
    /// By the operator's word that no other core node writes this history: also if too few storage nodes answer.
    #[serde(default)]
    pub force: bool,
}

/// The answer to a change of the topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedTopology {
    /// The topology's epoch from now on.
    pub epoch: u64,
    /// The primary from now on.
    pub primary: Digest,
    /// The storage node that was added, removed or promoted.
    pub node: Digest,
    /// From the order until the storage nodes had promised the epoch, in ms. Writes went on meanwhile.
    pub took_ms: u64,
}

/// Replication, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationView {
    /// `leading`, `waiting`, `behind` or `fenced`.
    pub standing: String,
    /// The topology's epoch; 0 if there is none.
    pub epoch: u64,
    /// The primary.
    pub primary: Option<Digest>,
    /// The level of durability of submissions that ask for none.
    pub durability: Durability,
    /// The storage nodes.
    pub members: Vec<MemberView>,
}
