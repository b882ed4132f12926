//! Backups: the canonical archive of the log and the packages of all published policies. A storage node with the same
//! head writes the same bytes.
//!
//! A running node writes its own ([`Node::backup_extent`], [`Node::write_backup`]), because nobody else can: whoever
//! opens the segments cuts what looks like a torn tail, which is what a record that is being appended looks like, and
//! the directory is locked for that reason. Its reader sees nothing but durable records, and the committer waits for no
//! reader. Keys, topology and records of what was signed last are not part of an archive: restoring them would let a
//! node sign again what it has signed.

use super::open::{folder, lock_directory};
use super::{Node, NodeConfig, NodeError, OpenError, offline};
use dsm_abi::{Digest, PolicyId};
use dsm_sdk::package::PACKAGE_BYTES_MAX;
use dsm_store::archive::{self, ArchiveError, ArchiveLimits};
use dsm_store::{Log, LogConfig};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::Path;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The first record.
    pub first: u64,
    /// The last record.
    pub head: u64,
    /// The log's chain digest through it.
    pub digest: Digest,
    /// Policy packages.
    pub packages: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// The BLAKE3-256 of the archive: equal for equal heads.
    pub archive: Digest,
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
    /// The node stops.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A published policy's package is not here: half a backup is none.
    #[error("the packages of {0} published policies are missing here")]
    PackagesMissing(usize),
    /// The archive begins in the middle of a history; a storage node that keeps only new records writes such.
    #[error("the archive begins with record {0}, and a node needs all from the first on")]
    NotWhole(u64),
}

impl BackupError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            BackupError::Archive(ArchiveError::NotEmpty { .. }) => "data_exists",
            BackupError::Archive(ArchiveError::Io { .. }) => "archive_io",
            BackupError::Archive(ArchiveError::Log(_) | ArchiveError::Blob(_)) => "storage",
            BackupError::Archive(_) => "archive_damaged",
            BackupError::Open(error) => error.code(),
            BackupError::Node(error) => error.code(),
            BackupError::PackagesMissing(_) => "packages_missing",
            BackupError::NotWhole(_) => "archive_not_whole",
        }
    }
}

/// What a backup will hold.
#[derive(Debug, Clone)]
pub struct Extent {
    head: u64,
    packages: Vec<[u8; 32]>,
}

impl Node {
    /// What a backup holds that begins now: a durable head, and the packages of what is published up to it.
    ///
    /// # Errors
    /// [`BackupError`] if a package is missing here.
    pub async fn backup_extent(&self) -> Result<Extent, BackupError> {
        let published =
            || self.read(|ledger| ledger.policies().map(|one| one.policy).collect::<Vec<PolicyId>>());
        // Nothing is published between the two looks, so the head in between has these policies and no others.
        let (mut before, version) = published();
        self.durable(version).await?;
        let head = loop {
            let head = self.log().durable().0;
            let (after, version) = published();
            if after.len() == before.len() {
                break head;
            }
            before = after;
            self.durable(version).await?;
        };
        let packages: Vec<_> = before.iter().filter_map(|policy| self.shelf().blob_name(policy)).collect();
        match before.len() - packages.len() {
            0 => Ok(Extent { head, packages }),
            missing => Err(BackupError::PackagesMissing(missing)),
        }
    }

    /// Writes a backup while the node goes on.
    ///
    /// # Errors
    /// [`BackupError`]; what was written until then is no archive.
    pub fn write_backup(&self, extent: Extent, out: &mut dyn Write) -> Result<(), BackupError> {
        archive::write_through(&self.log(), extent.head, self.shelf().blobs(), extent.packages, out)?;
        Ok(())
    }
}

/// Writes the archive of a directory that no node has open.
///
/// # Errors
/// [`BackupError`].
pub fn write_stopped(config: &NodeConfig, out: &mut dyn Write) -> Result<(), BackupError> {
    if !config.data.join("log").is_dir() {
        let source = io::Error::new(io::ErrorKind::NotFound, "there is no log in it");
        return Err(OpenError::Directory { path: config.data.clone(), source }.into());
    }
    let _lock = lock_directory(&config.data)?;
    let shelf = offline::shelf(config)?;
    match shelf.missing().len() {
        0 => {}
        missing => return Err(BackupError::PackagesMissing(missing)),
    }
    let names = shelf.readable().into_iter().map(|name| name.0).collect();
    let (log, _) = Log::open(folder(&config.data, "log")?, LogConfig::new(0)).map_err(OpenError::from)?;
    let reader = log.reader();
    archive::write_through(&reader, reader.durable().0, shelf.blobs(), names, out)?;
    Ok(())
}

/// Checks an archive from its first byte to its last.
///
/// # Errors
/// [`BackupError`].
pub fn verify(input: impl Read) -> Result<BackupReport, BackupError> {
    let payload_bytes_max = LogConfig::new(0).payload_bytes_max;
    let limits = ArchiveLimits { payload_bytes_max, blob_bytes_max: PACKAGE_BYTES_MAX };
    let mut input = Hashing { inner: input, hasher: blake3::Hasher::new(), bytes: 0 };
    let manifest = archive::verify(&mut input, limits)?;
    Ok(BackupReport {
        first: manifest.first,
        head: manifest.head,
        digest: Digest(manifest.digest),
        packages: manifest.blobs,
        bytes: input.bytes,
        archive: Digest(*input.hasher.finalize().as_bytes()),
    })
}

/// Fills the log and the packages of a directory that has neither; nothing of it was checked against a rule yet.
///
/// # Errors
/// [`BackupError`].
pub(crate) fn fill(input: &mut dyn Read, data: &Path) -> Result<(), BackupError> {
    let mut salt = [0; 4];
    dsm_crypto::fill_random(&mut salt).map_err(|error| OpenError::Key(error.to_string()))?;
    let config = LogConfig::new(u32::from_le_bytes(salt));
    archive::restore(input, folder(data, "log")?, config, folder(data, "policies")?, PACKAGE_BYTES_MAX)?;
    Ok(())
}

/// Hashes and counts what goes through.
struct Hashing<T> {
    inner: T,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
