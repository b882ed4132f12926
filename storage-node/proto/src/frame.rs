//! What goes over the wire: one closed list of frames, decoded with every bound checked.
//!
//! The leader and a follower exchange all but the last two on one long stream; a [`Frame::Fetch`] and its
//! [`Frame::Fetched`] have a stream of their own.

use crate::fetch::{Answer, Query};
use crate::{Head, NodeId, Record, SignedTopology, limit};
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{DecodeError, Digest, NetworkId, Suite, VerifySignature, decode, encode};
use dsm_core::{PublicKey, SignKind, signing_message};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Frame {
    /// Leader: who I am and in which epoch I write. Sent first, and again with each new topology.
    Hello(Hello),
    /// Follower: I have promised that epoch durably, and here my log stands.
    Welcome(Welcome),
    /// Leader: these records follow that head.
    Append(Append),
    /// Follower: my log is durable through this head.
    Ack(Ack),
    /// Follower: no, and why. The connection is closed after it.
    Refuse(Refusal),
    /// Follower: what came does not follow my log; send from here again.
    Nack(Nack),
    /// Leader: which digest have you at this position?
    DigestAt {
        /// The leader's epoch.
        epoch: u64,
        /// The position.
        position: u64,
    },
    /// Follower: this one; `None` if the position is not kept.
    Digest {
        /// The leader's epoch.
        epoch: u64,
        /// The position.
        position: u64,
        /// The chain digest there.
        digest: Option<Digest>,
    },
    /// Leader: set aside what you have behind this head.
    SetAside {
        /// The leader's epoch.
        epoch: u64,
        /// The last common record.
        keep: Head,
    },
    /// Leader: you are empty and I no longer have the beginning; begin behind this checkpoint.
    Begin {
        /// The leader's epoch.
        epoch: u64,
        /// The head that the checkpoint names.
        base: Head,
        /// The signed checkpoint, canonical bytes; the follower's shell verifies it.
        checkpoint: Vec<u8>,
    },
    /// Leader: I am here, my log ends there, and your last ack that I have is for `acked`.
    Heartbeat {
        /// The leader's epoch.
        epoch: u64,
        /// The end of the leader's durable log.
        head: Head,
        /// The position last acked to it.
        acked: u64,
    },
    /// Follower: the answer to a heartbeat.
    Alive {
        /// The leader's epoch.
        epoch: u64,
        /// The end of the follower's durable log.
        head: Head,
    },
    /// Anyone: a question, alone on its stream.
    Fetch(Query),
    /// The answer to it.
    Fetched(Answer),
}

/// The leader's first frame.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hello {
    /// The leader's protocol version.
    pub version: u16,
    /// The network.
    pub network: NetworkId,
    /// The leader's count of greetings; the answer repeats it, so that a late answer to an earlier one is known.
    pub greeting: u64,
    /// The topology in which the leader writes; its epoch is the leader's.
    pub topology: SignedTopology,
}

/// Where a follower's log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Welcome {
    /// The epoch promised.
    pub epoch: u64,
    /// The greeting answered.
    pub greeting: u64,
    /// The first position kept.
    pub first: u64,
    /// The end of the durable log.
    pub head: Head,
}

/// Records to append.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Append {
    /// The leader's epoch.
    pub epoch: u64,
    /// The head that the first record follows.
    pub after: Head,
    /// The records; none asks for an ack of `after`.
    pub records: Vec<Record>,
}

/// A follower's signed statement that its log is durable through `head`. Two of one node and epoch with one
/// position and different digests convict it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ack {
    /// The epoch.
    pub epoch: u64,
    /// Durable through here.
    pub head: Head,
    /// The follower's signature over [`Ack::signing_message`].
    pub signature: Vec<u8>,
}

impl Ack {
    /// The exact bytes that a follower signs with its node key (suite 0x01).
    pub fn signing_message(network: NetworkId, epoch: u64, head: &Head) -> Vec<u8> {
        signing_message(Suite::MlDsa65, network, SignKind::Ack, &encode(&(epoch, *head)))
    }

    /// Whether the signature is by `key`.
    pub fn is_signed_by(&self, network: NetworkId, key: &PublicKey, verifier: &dyn VerifySignature) -> bool {
        let message = Ack::signing_message(network, self.epoch, &self.head);
        verifier.verify_signature(key.suite, &key.bytes, &message, &self.signature).is_ok()
    }
}

/// What did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Nack {
    /// The leader's epoch.
    pub epoch: u64,
    /// The end of the follower's log, durable or on its way to the disk.
    pub tail: Head,
}

/// Why a follower does not go on.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
pub enum Refusal {
    /// It speaks another version.
    #[error("the peer speaks version {supported} of the protocol")]
    Version {
        /// The version it speaks.
        supported: u16,
    },
    /// It belongs to another network.
    #[error("the peer belongs to another network")]
    Network,
    /// The topology's signature does not verify.
    #[error("the topology is not signed by the core node")]
    Topology,
    /// The topology does not name it.
    #[error("the topology does not name the peer")]
    NotAMember,
    /// It has promised a higher epoch, here with the core node's signature.
    #[error("the peer has promised epoch {}", .0.topology.epoch())]
    StaleEpoch(SignedTopology),
    /// It holds another topology of the same epoch, here with the core node's signature.
    #[error("the peer holds another topology of epoch {}", .0.topology.epoch())]
    EpochTaken(SignedTopology),
    /// Its log does not follow the same history, and the part that differs was written in this very epoch.
    #[error("the peer's log differs from position {position} on, written in this epoch")]
    Diverged {
        /// The first position that differs, as far as known.
        position: u64,
    },
    /// A record failed a check: author's signature, or node's signature of a checkpoint.
    #[error("the peer refuses the record at {position}")]
    BadRecord {
        /// Its position.
        position: u64,
    },
    /// Its disk is full. It goes on when there is room.
    #[error("the peer's disk is full")]
    Full,
    /// Its log is damaged and is being repaired.
    #[error("the peer's log is damaged")]
    Damaged,
    /// It is shutting down, or its log failed.
    #[error("the peer is stopping")]
    Stopping,
    /// Too many connections, frames, or bytes on their way.
    #[error("the peer has too much to do")]
    Busy,
    /// It cannot begin at the checkpoint offered.
    #[error("the peer cannot begin there")]
    Begin,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not canonical, or longer than any frame.
    #[error("not a frame: {0}")]
    Decode(DecodeError),
    /// A field exceeds its limit.
    #[error("{field} has {found} where at most {limit} are allowed")]
    Limit {
        /// The field.
        field: &'static str,
        /// What was found.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

impl Frame {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The frame whose canonical encoding is exactly `bytes`.
    ///
    /// # Errors
    /// [`FrameError`]; lengths are checked before anything is allocated for them.
    pub fn decode(bytes: &[u8]) -> Result<Frame, FrameError> {
        let frame: Frame = decode(bytes, limit::FRAME_BYTES_MAX).map_err(FrameError::Decode)?;
        frame.check()?;
        Ok(frame)
    }

    /// Checks every variable field against its limit.
    ///
    /// # Errors
    /// [`FrameError::Limit`].
    pub fn check(&self) -> Result<(), FrameError> {
        match self {
            Frame::Hello(hello) => check_signature(&hello.topology.signature),
            Frame::Append(append) => check_records(&append.records),
            Frame::Ack(ack) => check_signature(&ack.signature),
            Frame::Refuse(Refusal::StaleEpoch(held) | Refusal::EpochTaken(held)) => {
                check_signature(&held.signature)
            }
            Frame::Begin { checkpoint, .. } => {
                at_most("a checkpoint", checkpoint.len(), limit::CHECKPOINT_BYTES_MAX)
            }
            Frame::Fetched(answer) => answer.check(),
            Frame::Refuse(_)
            | Frame::Welcome(_)
            | Frame::Nack(_)
            | Frame::DigestAt { .. }
            | Frame::Digest { .. }
            | Frame::SetAside { .. }
            | Frame::Heartbeat { .. }
            | Frame::Alive { .. }
            | Frame::Fetch(_) => Ok(()),
        }
    }

    /// The name of the variant, for logs and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Frame::Hello(_) => "hello",
            Frame::Welcome(_) => "welcome",
            Frame::Append(_) => "append",
            Frame::Ack(_) => "ack",
            Frame::Refuse(_) => "refuse",
            Frame::Nack(_) => "nack",
            Frame::DigestAt { .. } => "digest_at",
            Frame::Digest { .. } => "digest",
            Frame::SetAside { .. } => "set_aside",
            Frame::Begin { .. } => "begin",
            Frame::Heartbeat { .. } => "heartbeat",
            Frame::Alive { .. } => "alive",
            Frame::Fetch(_) => "fetch",
            Frame::Fetched(_) => "fetched",
        }
    }
}

pub(crate) fn at_most(field: &'static str, found: usize, limit: usize) -> Result<(), FrameError> {
    if found > limit { Err(FrameError::Limit { field, found, limit }) } else { Ok(()) }
}

pub(crate) fn check_signature(signature: &[u8]) -> Result<(), FrameError> {
    at_most("a signature", signature.len(), limit::SIGNATURE_BYTES_MAX)
}

pub(crate) fn check_records(records: &[Record]) -> Result<(), FrameError> {
    at_most("a list of records", records.len(), limit::FRAME_RECORDS_MAX)?;
    let longest = records.iter().map(|record| record.payload.len()).max().unwrap_or(0);
    at_most("a record", longest, limit::RECORD_BYTES_MAX)
}

/// Something that a node did which no honest node does. The shell stores it, and never deletes it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two documents of one epoch, both signed by the core node. Convicts its key to anybody.
    TwoTopologies {
        /// The one held.
        held: SignedTopology,
        /// The other.
        other: SignedTopology,
    },
    /// Two acks of one node for one position in one epoch. Convicts the node to anybody.
    TwoAcks {
        /// The node.
        node: NodeId,
        /// The first.
        first: Ack,
        /// The other.
        other: Ack,
    },
    /// A node acked a digest that the log does not have. Convicts it to whoever has the log.
    OtherAck {
        /// The node.
        node: NodeId,
        /// Its ack.
        ack: Ack,
        /// What the log has at that position; `None` if the log is shorter.
        log: Option<Head>,
    },
    /// A node says that its log ends before what it acked. Convicts it to whoever believes the witness.
    RolledBack {
        /// The node.
        node: NodeId,
        /// What it had acked.
        acked: Ack,
        /// Where it says that it stands.
        head: Head,
    },
    /// A writer sent a second record for a position of its own epoch. Seen, not signed.
    TwoRecords {
        /// The epoch.
        epoch: u64,
        /// The end of the log that was written first.
        held: Head,
        /// The head that the writer wants instead.
        offered: Head,
    },
}

impl Evidence {
    /// Whether third parties can verify it from signatures alone.
    pub fn is_transferable(&self) -> bool {
        matches!(self, Evidence::TwoTopologies { .. } | Evidence::TwoAcks { .. })
    }
}
