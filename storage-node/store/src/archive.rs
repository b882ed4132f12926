//! The canonical backup of a log and blobs: one stream of bytes that depends on nothing but the records and blobs.

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::blobs::{BlobError, Blobs};
use crate::digest::Digest;
use crate::disk::Disk;
use crate::log::{LogConfig, LogError, LogReader};

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// The position of the first record.
    pub first: u64,
    /// The chain digest before it.
    pub prev: Digest,
    /// The position of the last record; `first - 1` if there is none.
    pub head: u64,
    /// The chain digest through it.
    pub digest: Digest,
    /// The number of blobs.
    pub blobs: u64,
}

/// The longest pieces that are accepted from an archive.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveLimits {
    /// The longest payload.
    pub payload_bytes_max: usize,
    /// The longest blob.
    pub blob_bytes_max: usize,
}

/// Why an archive cannot be written, or is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream is no archive of a version known here.
    #[error("this is not an archive of version 1")]
    NotAnArchive,
    /// The stream ends too early.
    #[error("the archive ends at byte {offset}, before its end")]
    Truncated {
        /// Where it ends.
        offset: u64,
    },
    /// Bytes are wrong.
    #[error("the archive is damaged in the part that starts at byte {offset}")]
    Damaged {
        /// Where the damaged part starts.
        offset: u64,
    },
    /// Bytes follow the end.
    #[error("bytes follow the archive's end at byte {offset}")]
    Trailing {
        /// Where the archive ends.
        offset: u64,
    },
    /// A record or blob is longer than allowed.
    #[error("a piece of {found} bytes where at most {limit} are allowed")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
        /// The piece's length, in bytes.
        found: u64,
    },
    /// The disk to restore into holds something.
    #[error("the disk to restore into is not empty")]
    NotEmpty,
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The stream.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the stream answered.
        source: io::Error,
    },
}

/// Writes what is durable now, while the log goes on. Equal heads and blobs give equal bytes.
///
/// # Errors
/// [`ArchiveError::Log`] and [`ArchiveError::Blob`] if anything is damaged: an archive is whole or not made.
/// [`ArchiveError::Io`] from `out`.
pub fn write(log: &LogReader, blobs: &Blobs, out: &mut dyn Write) -> Result<Manifest, ArchiveError> {
    let _ = (log, blobs, out);
    unimplemented!()
}

/// Checks all of an archive, keeping nothing of it.
///
/// # Errors
/// [`ArchiveError`], with the place.
pub fn verify(input: &mut dyn Read, limits: ArchiveLimits) -> Result<Manifest, ArchiveError> {
    let _ = (input, limits);
    unimplemented!()
}

/// Restores an archive into two empty disks. Until it is complete, [`crate::Log::open`] refuses the log; an
/// interrupted restore is started again from the beginning.
///
/// # Errors
/// [`ArchiveError`], with the place.
pub fn restore(
    input: &mut dyn Read,
    log: Arc<dyn Disk>,
    config: LogConfig,
    blobs: Arc<dyn Disk>,
    blob_bytes_max: usize,
) -> Result<Manifest, ArchiveError> {
    let _ = (input, log, config, blobs, blob_bytes_max);
    unimplemented!()
}
