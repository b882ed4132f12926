//! Cutting a log that has diverged: what follows the last common record is copied into a file of its own first.

use super::reader::Record;
use super::{Log, LogError};
use crate::digest::Digest;
use crate::disk::Disk;

/// Records that were set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// The file's name: `aside-` + `keep` in 20 decimal digits + `-` + a number.
    pub name: String,
    /// The last position that stayed in the log.
    pub keep: u64,
    /// The last position that was set aside.
    pub last: u64,
    /// The chain digest through `last`.
    pub digest: Digest,
}

impl Log {
    /// Copies the durable records after `keep` into a file of their own and cuts the log to end at `keep`. What was
    /// appended and not synced is dropped. `None` if nothing durable follows `keep`.
    ///
    /// # Errors
    /// [`LogError::NotDurable`]; [`LogError::Damaged`] if records up to `keep` in its segment have to be repaired
    /// first; [`LogError::DiskFull`], nothing changed; [`LogError::Io`], after which the log is poisoned and the next
    /// opening finishes a cut whose copy is complete; [`LogError::Poisoned`].
    pub fn set_aside(&self, keep: u64) -> Result<Option<Aside>, LogError> {
        let _ = keep;
        unimplemented!()
    }
}

/// Reads the records of a file that [`Log::set_aside`] made, in order, each hashed again.
pub struct AsideReader {
    aside: Aside,
}

impl AsideReader {
    /// What the file says of itself.
    pub fn aside(&self) -> &Aside {
        &self.aside
    }
}

impl Iterator for AsideReader {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        unimplemented!()
    }
}

/// Opens the file `name` that [`Log::set_aside`] made.
///
/// # Errors
/// [`LogError::Damaged`] if its head is not one; [`LogError::Io`].
pub fn read_aside(disk: &dyn Disk, name: &str) -> Result<AsideReader, LogError> {
    let _ = (disk, name);
    unimplemented!()
}

/// Completes the cuts that were interrupted.
pub(super) fn finish_cuts(disk: &dyn Disk, names: &[String]) -> Result<(), LogError> {
    let _ = (disk, names);
    Ok(())
}
