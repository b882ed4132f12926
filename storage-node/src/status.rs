//! What a storage node says of itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its log or blobs are damaged and are fetched again from other members; it acknowledges nothing until then.
    Mending,
    /// It appends what the core node ships.
    Serving,
    /// The device is full: it appends nothing, and serves what it has.
    Full,
    /// It was told to end and takes nothing new.
    Draining,
    /// What is durable is unknown after a failed write: it has to be opened again.
    Stopped,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Mending => "mending",
            State::Serving => "serving",
            State::Full => "full",
            State::Draining => "draining",
            State::Stopped => "stopped",
        }
    }
}

/// A member of the topology as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its node id, 64 hexadecimal digits.
    pub node: String,
    /// Where it listens.
    pub address: String,
    /// Whether it is the primary.
    pub primary: bool,
    /// Whether it is this node.
    pub this: bool,
}

/// What the last scrub found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubView {
    /// Records found sound.
    pub records: u64,
    /// Bytes of their payloads.
    pub record_bytes: u64,
    /// Blobs found sound.
    pub blobs: u64,
    /// Bytes of them.
    pub blob_bytes: u64,
    /// Records and blobs found damaged.
    pub damaged: u64,
    /// How many of them were fetched from another member and written again.
    pub repaired: u64,
}

/// Something that convicts a peer, kept for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// What kind, a stable word.
    pub kind: String,
    /// One sentence.
    pub summary: String,
    /// The canonical bytes, in hexadecimal digits; they stand alone.
    pub bytes: String,
}

/// How a storage node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its node id, 64 hexadecimal digits.
    pub node: String,
    /// The version of this program.
    pub version: String,
    /// What it is doing.
    pub state: State,
    /// Why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// The network, once known.
    pub network: Option<String>,
    /// The highest epoch promised; 0 for none.
    pub epoch: u64,
    /// The members of the promised topology.
    pub members: Vec<MemberView>,
    /// Whether the core node is connected.
    pub core_connected: bool,
    /// The first record kept.
    pub first: u64,
    /// The last durable record.
    pub head: u64,
    /// The chain digest through it.
    pub digest: String,
    /// The core node's last durable record, as it last said.
    pub core_head: u64,
    /// How many records are missing here.
    pub lag: u64,
    /// Segments of the log.
    pub segments: usize,
    /// Policy packages kept.
    pub blobs: usize,
    /// Published policies whose package is not here yet.
    pub policies_missing: usize,
    /// Transitions appended whose authors' keys are older than this log.
    pub unchecked: u64,
    /// Pieces of evidence kept.
    pub evidence: usize,
    /// Connections refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// The last scrub.
    pub scrub: Option<ScrubView>,
    /// How long records are kept.
    pub retention: String,
    /// Seconds since the start.
    pub uptime_s: u64,
}
