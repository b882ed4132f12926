//! Evidence packages: one file with everything that a stranger needs to judge some transitions again, without the node.
//!
//! It holds a slice of the log, the packages of all policies that the slice publishes, and what the transitions said to
//! other chains. There are no receipts in it: everything that a receipt says follows from the records and their places.
//!
//! Left out on purpose: running policies. `dsm evidence verify` does that, with the gate and the engine of a node.

use crate::package::{PACKAGE_BYTES_MAX, Package};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{DecodeError, Digest, TransitionId, encode};
use dsm_core::{LogSlice, OutboxEntry};

/// Bytes of an evidence package: what fits one answer of a node.
pub const EVIDENCE_BYTES_MAX: usize = 48 << 20;
/// Transitions that one evidence package is about.
pub const EVIDENCE_TRANSITIONS_MAX: usize = 64;
/// The first bytes of every evidence package; the last one is the version.
const MAGIC: [u8; 8] = *b"DSM-EVD\x01";

/// An entry of the outbox with its path to the root in the slice's last checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Said {
    /// The entry.
    pub entry: OutboxEntry,
    /// The siblings from the leaf upwards.
    pub siblings: Vec<Digest>,
}

/// Everything that a stranger needs to judge some transitions again.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EvidencePackage {
    magic: [u8; 8],
    /// The transitions that it is about, each once, in ascending order.
    pub transitions: Vec<TransitionId>,
    /// The records on which they depend, under checkpoints that the node signed.
    pub slice: LogSlice,
    /// What the transitions put into the outbox, in order.
    pub outbox: Vec<Said>,
    /// The canonical bytes of the packages of all policies that the slice publishes, in ascending order of policies.
    pub packages: Vec<Vec<u8>>,
}

/// Why bytes are no evidence package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFormatError {
    /// Too long, cut short, or not the canonical bytes.
    #[error("not an evidence package: {0}")]
    Malformed(#[from] DecodeError),
    /// They begin otherwise, or are of another version.
    #[error("not an evidence package of this version")]
    Magic,
    /// No transition, too many, or not in ascending order.
    #[error("an evidence package is about 1 to {EVIDENCE_TRANSITIONS_MAX} transitions, in ascending order")]
    Transitions,
    /// A value has a second spelling.
    #[error("not the canonical bytes of an evidence package")]
    NotCanonical,
}

impl EvidencePackage {
    /// A package about `transitions`, which are brought into order.
    pub fn new(
        mut transitions: Vec<TransitionId>,
        slice: LogSlice,
        outbox: Vec<Said>,
        packages: Vec<Vec<u8>>,
    ) -> EvidencePackage {
        transitions.sort_unstable();
        transitions.dedup();
        EvidencePackage { magic: MAGIC, transitions, slice, outbox, packages }
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes what [`EvidencePackage::encode`] wrote, and nothing else, of at most [`EVIDENCE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`EvidenceFormatError`].
    pub fn decode(bytes: &[u8]) -> Result<EvidencePackage, EvidenceFormatError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(EvidenceFormatError::Magic);
        }
        let package: EvidencePackage = dsm_abi::decode(bytes, EVIDENCE_BYTES_MAX)?;
        let count = package.transitions.len();
        let ascending = package.transitions.is_sorted_by(|one, next| one < next);
        if count == 0 || count > EVIDENCE_TRANSITIONS_MAX || !ascending {
            return Err(EvidenceFormatError::Transitions);
        }
        // Maps decode in any order of their keys, and have one.
        if package.encode() != bytes {
            return Err(EvidenceFormatError::NotCanonical);
        }
        if let Some(found) = package.packages.iter().map(Vec::len).find(|found| *found > PACKAGE_BYTES_MAX) {
            return Err(DecodeError::TooLong { limit: PACKAGE_BYTES_MAX, found }.into());
        }
        Ok(package)
    }

    /// The policy packages, decoded; nothing of them is verified yet.
    ///
    /// # Errors
    /// [`crate::package::PackageError`].
    pub fn decode_packages(&self) -> Result<Vec<Package>, crate::package::PackageError> {
        self.packages.iter().map(|bytes| Package::decode(bytes)).collect()
    }
}
