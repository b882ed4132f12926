//! Repair of damaged segments with records from a peer, accepted only if the chain says that they are the right ones.

use super::{Log, LogError};

/// Why records do not repair a log.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The chain says that other records belong there: whoever supplied these has another log, or lies.
    #[error("the records offered for {first} to {last} are not those of this log")]
    Wrong {
        /// The first position that was to be repaired.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// These records can only be proven together, and not all were offered.
    #[error("the records {first} to {last} can only be repaired together")]
    Incomplete {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// What remains cannot be proven before the caller says which head it trusts.
    #[error("the log's end is damaged from {first} on: say first which head is to be trusted")]
    HeadUnknown {
        /// The first position that cannot be served.
        first: u64,
    },
    /// The head given lies before sound records, or is not theirs.
    #[error("the head at {position} is not that of the sound records")]
    WrongHead {
        /// The position given.
        position: u64,
    },
    /// The log or its device.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Log {
    /// Repairs the segment with the base `segment`: its head and length, and its damaged records as far as `records`
    /// (kind and payload, from position `from` on, without gaps) cover all of a stretch ([`super::LogReader::stretch`])
    /// and the chain proves them. Sound positions among them are left as they are. Returns how many records were
    /// repaired. The segment is written anew beside the old one and takes its name when it is durable, so that a
    /// crash leaves either; readers see the damage or the right bytes.
    ///
    /// # Errors
    /// [`RepairError::Wrong`] and [`RepairError::Incomplete`], nothing changed. [`LogError::MissingSegment`] if the
    /// log has no such segment. [`LogError::DiskFull`], nothing changed. [`LogError::Io`], after which the log is
    /// poisoned. [`LogError::Poisoned`].
    pub fn repair(&self, segment: u64, from: u64, records: &[(u8, Vec<u8>)]) -> Result<u64, RepairError> {
        let _ = (segment, from, records);
        unimplemented!()
    }
}
