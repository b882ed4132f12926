//! A log that cannot be opened because its last segment, the head of a segment, or a whole segment is damaged: a
//! view of what can still be proven, and its repair.

use std::sync::Arc;

use super::reader::Record;
use super::{Log, LogConfig, LogError, RecoveryReport, RepairError};
use crate::digest::Digest;
use crate::disk::Disk;

/// Records that have to be fetched from a peer, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first of them.
    pub first: u64,
    /// The last of them. Unknown at the damaged end of a log; the caller names a head that it trusts.
    pub last: Option<u64>,
}

/// A log that [`Log::open`] refuses as damaged.
pub struct Salvage {
    _disk: Arc<dyn Disk>,
}

impl Salvage {
    /// Looks at the log on `disk` without changing what it holds. A log that [`Log::open`] would open is taken too.
    ///
    /// # Errors
    /// [`LogError::UnknownVersion`], [`LogError::RestoreInterrupted`], [`LogError::Io`].
    pub fn open(disk: Arc<dyn Disk>, config: LogConfig) -> Result<Salvage, LogError> {
        let _ = config;
        Ok(Salvage { _disk: disk })
    }

    /// The last position and its chain digest up to which the log is proven to be whole, as far as it was looked at.
    pub fn head(&self) -> (u64, Digest) {
        unimplemented!()
    }

    /// What has to be fetched before the log can be opened. Sealed segments are not looked at: see
    /// [`super::LogReader::scrub`].
    pub fn wanted(&self) -> Vec<Stretch> {
        unimplemented!()
    }

    /// The sound record at `position`, hashed again.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::NotDurable`], [`LogError::Io`].
    pub fn read(&self, position: u64) -> Result<Record, LogError> {
        let _ = position;
        unimplemented!()
    }

    /// Says which head the log has to have, as the caller knows from somebody it trusts: the end of a damaged last
    /// segment is repaired up to it. Without it nothing behind the last sound record can be proven.
    ///
    /// # Errors
    /// [`RepairError::WrongHead`] if sound records contradict it.
    pub fn expect_head(&mut self, position: u64, digest: Digest) -> Result<(), RepairError> {
        let _ = (position, digest);
        unimplemented!()
    }

    /// Repairs what `records` (kind and payload, from position `from` on, without gaps) cover. Returns how many
    /// records were repaired.
    ///
    /// # Errors
    /// As [`Log::repair`], and [`RepairError::HeadUnknown`].
    pub fn repair(&mut self, from: u64, records: &[(u8, Vec<u8>)]) -> Result<u64, RepairError> {
        let _ = (from, records);
        unimplemented!()
    }

    /// Opens the log, all of whose stretches have been repaired.
    ///
    /// # Errors
    /// [`RepairError::Incomplete`], [`RepairError::HeadUnknown`]; otherwise as [`Log::open`].
    pub fn finish(self) -> Result<(Log, RecoveryReport), RepairError> {
        unimplemented!()
    }
}
