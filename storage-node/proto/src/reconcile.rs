//! Which blobs two nodes do not share, found by fingerprints of ranges.

use crate::frame::{FrameError, at_most};
use crate::limit;
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::Digest;

/// A range of digests: all that begin with the first `bits` bits of `prefix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct RangeQuery {
    /// The prefix; bits behind `bits` are zero.
    pub prefix: Digest,
    /// How many bits count: 0 is the whole set.
    pub bits: u8,
}

/// What a node has in a range.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RangeAnswer {
    /// Few: all of them, strictly sorted.
    Digests(Vec<Digest>),
    /// Many: the fingerprints of the sixteen parts, by the next four bits.
    Parts(Vec<Fingerprint>),
}

/// What a range holds, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fingerprint {
    /// How many digests.
    pub count: u64,
    /// `H("range", the digests in order)`.
    pub digest: Digest,
}

impl RangeAnswer {
    pub(crate) fn check(&self) -> Result<(), FrameError> {
        let found = match self {
            RangeAnswer::Digests(digests) => digests.len(),
            RangeAnswer::Parts(parts) => parts.len(),
        };
        at_most("a range", found, limit::RANGE_ITEMS_MAX)
    }
}
