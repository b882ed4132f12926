//! Where a log stands, the records in it, who keeps it, and what time is.

use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::Digest;
use dsm_core::{hash, tag};

/// Microseconds since a moment that the caller chose; monotone, and only compared with its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Micros(pub u64);

impl Micros {
    /// That many milliseconds.
    pub const fn from_millis(millis: u64) -> Micros {
        Micros(millis * 1000)
    }

    /// This time and `span` later.
    pub const fn plus(self, span: Micros) -> Micros {
        Micros(self.0.saturating_add(span.0))
    }

    /// The time from `earlier` to this, zero if that is later.
    pub const fn since(self, earlier: Micros) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

/// A storage node: `H("node", its ML-DSA-65 public key)`. TLS authenticates with the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The id of the node with this raw ML-DSA-65 public key.
    pub fn of(public_key: &[u8]) -> NodeId {
        NodeId(hash(tag::NODE, &[public_key]).0)
    }
}

impl core::fmt::Display for NodeId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        Digest(self.0).fmt(f)
    }
}

impl core::fmt::Debug for NodeId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// The end of a log or of a part of it: two equal heads have equal records before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct Head {
    /// The position of the last record, 0 for the empty log.
    pub position: u64,
    /// The chain digest through it, zero for the empty log.
    pub digest: Digest,
}

impl Head {
    /// The empty log.
    pub const EMPTY: Head = Head { position: 0, digest: Digest([0; 32]) };

    /// The head after one more record: `H("log", digest ‖ position ‖ kind ‖ BLAKE3(payload))`, the rule of the
    /// store's log. `None` if positions are used up.
    pub fn after(&self, record: &Record) -> Option<Head> {
        let position = self.position.checked_add(1)?;
        let payload = blake3::hash(&record.payload);
        let parts: [&[u8]; 4] = [&self.digest.0, &position.to_le_bytes(), &[record.kind], payload.as_bytes()];
        Some(Head { position, digest: hash(tag::LOG, &parts) })
    }

    /// The head after all of `records`. `None` if positions are used up.
    pub fn after_all(&self, records: &[Record]) -> Option<Head> {
        records.iter().try_fold(*self, |head, record| head.after(record))
    }
}

/// One record of the log: opaque bytes with their kind.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// The writer's kind.
    pub kind: u8,
    /// At most [`crate::limit::RECORD_BYTES_MAX`] bytes.
    pub payload: Vec<u8>,
}

/// The bytes that count against windows.
pub(crate) fn weight(records: &[Record]) -> usize {
    records.iter().map(|record| record.payload.len() + 64).sum()
}
