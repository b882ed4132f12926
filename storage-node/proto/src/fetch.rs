//! Questions that any node answers, and how the asker checks, scores and goes on to the next peer.

use crate::frame::{FrameError, at_most, check_records, check_signature};
use crate::reconcile::{RangeAnswer, RangeQuery};
use crate::{Head, Promise, Record, limit};
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{Digest, NetworkId};

/// A question. Each names how much the asker is willing to read.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Query {
    /// Where do you stand?
    Status,
    /// Records from this position on.
    Records {
        /// The first position wanted.
        from: u64,
        /// The most bytes of payloads wanted; one longer record may come alone.
        bytes_max: u32,
    },
    /// The content with this BLAKE3-256 digest.
    Blob {
        /// Its address.
        digest: Digest,
        /// Longer content is not wanted.
        bytes_max: u32,
    },
    /// The chain digest at this position.
    DigestAt {
        /// The position.
        position: u64,
    },
    /// What you have in this range of blob digests.
    BlobRange(RangeQuery),
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// To [`Query::Status`].
    Status(NodeStatus),
    /// To [`Query::Records`].
    Records(Vec<Record>),
    /// To [`Query::Blob`].
    Blob(Vec<u8>),
    /// To [`Query::DigestAt`].
    Digest(Digest),
    /// To [`Query::BlobRange`].
    BlobRange(RangeAnswer),
    /// Not kept here.
    NotFound,
    /// Kept, but damaged and being repaired.
    Damaged,
    /// Too much to do; ask again later.
    Busy,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NodeStatus {
    /// The network; `None` before the first hello.
    pub network: Option<NetworkId>,
    /// The highest topology it promised.
    pub promise: Option<Promise>,
    /// The first position kept.
    pub first: u64,
    /// The end of its durable log.
    pub head: Head,
}

impl Answer {
    pub(crate) fn check(&self) -> Result<(), FrameError> {
        match self {
            Answer::Status(status) => {
                status.promise.iter().try_for_each(|held| check_signature(&held.topology.signature))
            }
            Answer::Records(records) => check_records(records),
            Answer::Blob(bytes) => at_most("a blob", bytes.len(), limit::RECORD_BYTES_MAX),
            Answer::BlobRange(answer) => answer.check(),
            Answer::Digest(_) | Answer::NotFound | Answer::Damaged | Answer::Busy => Ok(()),
        }
    }
}
