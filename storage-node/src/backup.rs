//! Backups: the canonical archive of a log and its blobs. Two nodes with one head write the same bytes.
//!
//! A running node writes one while it goes on: everything that was durable when the archive began. Keys, topology and
//! evidence are not part of it: they belong to one node, an archive to none.

use crate::authors::RECORD_BYTES_MAX;
use crate::disks::{self, Disks};
use crate::status::ScrubView;
use crate::{OpenError, Storage};
use dsm_sdk::package::PACKAGE_BYTES_MAX;
use dsm_store::archive::{self, ArchiveError, ArchiveLimits, Manifest};
use dsm_store::{Blobs, Log, LogError};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The first record.
    pub first: u64,
    /// The last record.
    pub head: u64,
    /// The chain digest through it.
    pub digest: String,
    /// Policy packages.
    pub blobs: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// The BLAKE3-256 of the archive: equal for equal heads.
    pub archive: String,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl BackupError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            BackupError::Archive(ArchiveError::NotEmpty { .. }) => "not_empty",
            BackupError::Archive(ArchiveError::Io { .. }) => "file",
            BackupError::Archive(ArchiveError::Log(_) | ArchiveError::Blob(_)) | BackupError::Log(_) => {
                "storage"
            }
            BackupError::Archive(_) => "bad_archive",
            BackupError::Open(error) => error.code(),
        }
    }

    /// Whether bytes are not what they should be, rather than out of reach.
    pub fn is_integrity(&self) -> bool {
        match self {
            BackupError::Archive(ArchiveError::NotEmpty { .. } | ArchiveError::Io { .. }) => false,
            BackupError::Archive(_) | BackupError::Log(_) => true,
            BackupError::Open(error) => {
                !matches!(error, OpenError::InUse(_) | OpenError::Disk { .. } | OpenError::Thread(_))
            }
        }
    }
}

const LIMITS: ArchiveLimits =
    ArchiveLimits { payload_bytes_max: RECORD_BYTES_MAX, blob_bytes_max: PACKAGE_BYTES_MAX };

/// Hashes what goes through.
struct Hashing<T> {
    inner: T,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Hashing<T> {
        Hashing { inner, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    fn took(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn report(&self, manifest: &Manifest) -> BackupReport {
        BackupReport {
            first: manifest.first,
            head: manifest.head,
            digest: hex::encode(manifest.digest),
            blobs: manifest.blobs,
            bytes: self.bytes,
            archive: hex::encode(self.hasher.finalize().as_bytes()),
        }
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.took(&buffer[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.took(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Checks an archive from its first byte to its last.
///
/// # Errors
/// [`BackupError`].
pub fn verify(input: &mut dyn Read) -> Result<BackupReport, BackupError> {
    let mut input = Hashing::new(input);
    let manifest = archive::verify(&mut input, LIMITS)?;
    Ok(input.report(&manifest))
}

/// Fills an empty directory from an archive.
///
/// # Errors
/// [`BackupError`]; [`ArchiveError::NotEmpty`] if the directory holds a log or blobs.
pub fn restore(input: &mut dyn Read, data: &Path) -> Result<BackupReport, BackupError> {
    let disks = open(data)?;
    let mut input = Hashing::new(input);
    let config = disks::log_config()?;
    let manifest = archive::restore(
        &mut input,
        Arc::clone(&disks.log),
        config,
        Arc::clone(&disks.blobs),
        PACKAGE_BYTES_MAX,
    )?;
    Ok(input.report(&manifest))
}

/// Writes the archive of a directory that no node has open.
///
/// # Errors
/// [`BackupError`].
pub fn write_directory(data: &Path, out: &mut dyn Write) -> Result<BackupReport, BackupError> {
    let (log, blobs, _disks) = open_stopped(data)?;
    let mut out = Hashing::new(out);
    let manifest = archive::write(&log.reader(), &blobs, &mut out)?;
    Ok(out.report(&manifest))
}

/// Hashes everything in a directory that no node has open. Nothing is repaired.
///
/// # Errors
/// [`BackupError`]; damage that can be read around is no error.
pub fn scrub_directory(data: &Path) -> Result<ScrubView, BackupError> {
    let (log, blobs, _disks) = open_stopped(data)?;
    let reader = log.reader();
    let records = reader.scrub(reader.first())?;
    let blobs = blobs.scrub().map_err(ArchiveError::Blob)?;
    Ok(ScrubView {
        records: records.records,
        record_bytes: records.payload_bytes,
        blobs: blobs.blobs,
        blob_bytes: blobs.bytes,
        damaged: records.damaged + blobs.damaged.len() as u64,
        repaired: 0,
    })
}

fn open(data: &Path) -> Result<Disks, BackupError> {
    Ok(Disks::open(&Storage::Directory(data.to_path_buf()))?)
}

fn open_stopped(data: &Path) -> Result<(Log, Blobs, Disks), BackupError> {
    let disks = open(data)?;
    let (log, _) = Log::open(Arc::clone(&disks.log), disks::log_config()?)?;
    let blobs = Blobs::open(Arc::clone(&disks.blobs), PACKAGE_BYTES_MAX).map_err(ArchiveError::Blob)?;
    Ok((log, blobs, disks))
}
