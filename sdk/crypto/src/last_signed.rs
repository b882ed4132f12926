//! The last-signed record: what a key has put its name to, on disk before the signature leaves.
//!
//! ```text
//! file (81 bytes) = "DSMSIGN1" ‖ 0 or 1: anything signed ‖ sequence (u64 LE) ‖ digest (32)
//!                   ‖ BLAKE3 derive_key("DSM 2026-11 last-signed record v1", the bytes before)
//! ```
//!
//! A restart, a restored wallet or a second process must not lead a key to sign two things for one sequence. The
//! checksum finds torn and rotten files; it does not keep an attacker with write access out.

use crate::file;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"DSMSIGN1";
const BODY_BYTES: usize = 8 + 1 + 8 + 32;
const FILE_BYTES: usize = BODY_BYTES + 32;
const CHECKSUM_CONTEXT: &str = "DSM 2026-11 last-signed record v1";

/// What was signed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedRecord {
    /// The height or sequence.
    pub sequence: u64,
    /// The digest of what was signed.
    pub digest: [u8; 32],
}

/// Why a claim or the record itself is refused.
#[derive(Debug, thiserror::Error)]
pub enum LastSignedError {
    /// A higher sequence has been signed.
    #[error("sequence {claimed} is below {signed}, which has been signed")]
    Behind {
        /// The sequence asked for.
        claimed: u64,
        /// The sequence signed last.
        signed: u64,
    },
    /// This sequence has been signed for something else: signing would be equivocation.
    #[error("sequence {sequence} has been signed for something else")]
    Conflict {
        /// The sequence.
        sequence: u64,
        /// The digest signed for it.
        signed: [u8; 32],
    },
    /// The file is torn or rotten. What was signed is unknown, so nothing can be signed.
    #[error("{0} is not a whole last-signed record")]
    Corrupt(PathBuf),
    /// Another process holds the record.
    #[error("{0} is in use")]
    InUse(PathBuf),
    /// An earlier write failed, so it is unknown what the disk holds. Open the record again.
    #[error("an earlier write of the last-signed record failed")]
    Broken,
    /// Reading or writing failed; [`io::ErrorKind::NotFound`] if there is no record, [`io::ErrorKind::AlreadyExists`]
    /// if one was to be created where one is.
    #[error("last-signed record {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The open record. It holds a lock, so that one process signs at a time.
#[derive(Debug)]
pub struct LastSigned {
    path: PathBuf,
    record: Option<SignedRecord>,
    broken: bool,
    /// Locked as long as this lives. A file of its own, because the record's file is replaced with every claim.
    _lock: Lock,
}

impl LastSigned {
    /// Creates the record of a key that has signed nothing. Do this once, when the key is made.
    ///
    /// # Errors
    /// [`LastSignedError::Io`], also if there is a record already; [`LastSignedError::InUse`].
    pub fn create(path: &Path) -> Result<LastSigned, LastSignedError> {
        let lock = lock(path)?;
        file::create(path, &encode(None)).map_err(|source| at(path, source))?;
        Ok(LastSigned { path: path.to_path_buf(), record: None, broken: false, _lock: lock })
    }

    /// Opens the record. A missing or damaged one is an error, never an empty one.
    ///
    /// # Errors
    /// [`LastSignedError::Io`], [`LastSignedError::Corrupt`], [`LastSignedError::InUse`].
    pub fn open(path: &Path) -> Result<LastSigned, LastSignedError> {
        let lock = lock(path)?;
        let mut bytes = Vec::with_capacity(FILE_BYTES + 1);
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(|source| at(path, source))?;
        let record = decode(&bytes).ok_or_else(|| LastSignedError::Corrupt(path.to_path_buf()))?;
        Ok(LastSigned { path: path.to_path_buf(), record, broken: false, _lock: lock })
    }

    /// What was signed last.
    pub fn record(&self) -> Option<SignedRecord> {
        self.record
    }

    /// Claims `sequence` for `digest`. After `Ok`, and only then, the signature may be made: the claim is on disk.
    /// The claim made last can be made again, for a signature that got lost.
    ///
    /// # Errors
    /// [`LastSignedError::Behind`] and [`LastSignedError::Conflict`] leave everything as it was. After
    /// [`LastSignedError::Io`] every further claim is [`LastSignedError::Broken`].
    pub fn claim(&mut self, sequence: u64, digest: [u8; 32]) -> Result<(), LastSignedError> {
        if self.broken {
            return Err(LastSignedError::Broken);
        }
        if let Some(signed) = self.record {
            if sequence < signed.sequence {
                return Err(LastSignedError::Behind { claimed: sequence, signed: signed.sequence });
            }
            if sequence == signed.sequence {
                return if digest == signed.digest {
                    Ok(())
                } else {
                    Err(LastSignedError::Conflict { sequence, signed: signed.digest })
                };
            }
        }
        let record = Some(SignedRecord { sequence, digest });
        file::replace(&self.path, &encode(record)).map_err(|source| {
            self.broken = true;
            at(&self.path, source)
        })?;
        self.record = record;
        Ok(())
    }
}

/// A locked file.
#[derive(Debug)]
struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Not left to the closing of the file: a child process that is being started has it open, too, until it runs its own
        // program, and the lock would last for as long. If this fails, closing is what is left.
        drop(self.file.unlock());
    }
}

fn lock(path: &Path) -> Result<Lock, LastSignedError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.with_file_name(name))
        .map_err(|source| at(path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { file }),
        Err(TryLockError::WouldBlock) => Err(LastSignedError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(at(path, source)),
    }
}

fn at(path: &Path, source: io::Error) -> LastSignedError {
    LastSignedError::Io { path: path.to_path_buf(), source }
}

fn encode(record: Option<SignedRecord>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.push(u8::from(record.is_some()));
    let record = record.unwrap_or(SignedRecord { sequence: 0, digest: [0; 32] });
    bytes.extend_from_slice(&record.sequence.to_le_bytes());
    bytes.extend_from_slice(&record.digest);
    let checksum = blake3::derive_key(CHECKSUM_CONTEXT, &bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// `None` for anything that [`encode`] would not have written.
fn decode(bytes: &[u8]) -> Option<Option<SignedRecord>> {
    let bytes: &[u8; FILE_BYTES] = bytes.try_into().ok()?;
    let record = SignedRecord {
        sequence: u64::from_le_bytes(bytes[9..17].try_into().ok()?),
        digest: bytes[17..BODY_BYTES].try_into().ok()?,
    };
    let record = (bytes[8] == 1).then_some(record);
    (encode(record) == bytes).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that was let go of was still in use while another thread of the process started a child: until such a
    /// child runs its own program, it has every file of its parent's open.
    #[test]
    fn a_record_is_free_when_it_is_dropped_whoever_has_its_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.signed");
        let record = LastSigned::create(&path).unwrap();
        let _child = record._lock.file.try_clone().unwrap();
        assert!(matches!(LastSigned::open(&path), Err(LastSignedError::InUse(_))));
        drop(record);
        LastSigned::open(&path).unwrap();
    }

    #[test]
    fn a_sequence_is_signed_for_one_thing_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.signed");
        assert!(matches!(
            LastSigned::open(&path),
            Err(LastSignedError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound
        ));
        let mut record = LastSigned::create(&path).unwrap();
        assert_eq!(record.record(), None);
        record.claim(0, [1; 32]).unwrap();
        assert!(matches!(record.claim(0, [2; 32]), Err(LastSignedError::Conflict { sequence: 0, .. })));
        record.claim(7, [3; 32]).unwrap();
        drop(record);

        let mut record = LastSigned::open(&path).unwrap();
        assert_eq!(record.record(), Some(SignedRecord { sequence: 7, digest: [3; 32] }));
        record.claim(7, [3; 32]).unwrap();
        assert!(matches!(record.claim(7, [4; 32]), Err(LastSignedError::Conflict { sequence: 7, .. })));
        assert!(matches!(record.claim(6, [3; 32]), Err(LastSignedError::Behind { claimed: 6, signed: 7 })));
        record.claim(u64::MAX, [5; 32]).unwrap();
        assert!(record.claim(8, [6; 32]).is_err());
        drop(record);
        assert!(matches!(
            LastSigned::create(&path),
            Err(LastSignedError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists
        ));
        assert_eq!(LastSigned::open(&path).unwrap().record().unwrap().sequence, u64::MAX);
    }

    #[test]
    fn a_torn_or_rotten_file_is_an_error_and_not_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.signed");
        LastSigned::create(&path).unwrap().claim(3, [9; 32]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), FILE_BYTES);
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
        damaged.extend((0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        }));
        damaged.push([&whole[..], &[0]].concat());
        for bytes in damaged {
            std::fs::write(&path, &bytes).unwrap();
            assert!(matches!(LastSigned::open(&path), Err(LastSignedError::Corrupt(_))), "{bytes:?}");
        }
        std::fs::write(&path, &whole).unwrap();
        LastSigned::open(&path).unwrap();
    }

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.signed");
        let held = LastSigned::create(&path).unwrap();
        assert!(matches!(LastSigned::open(&path), Err(LastSignedError::InUse(_))));
        drop(held);
        LastSigned::open(&path).unwrap();
    }

    #[test]
    fn a_claim_that_could_not_be_written_ends_signing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("keys");
        std::fs::create_dir(&inner).unwrap();
        let mut record = LastSigned::create(&inner.join("node.signed")).unwrap();
        std::fs::remove_dir_all(&inner).unwrap();
        assert!(matches!(record.claim(1, [1; 32]), Err(LastSignedError::Io { .. })));
        std::fs::create_dir(&inner).unwrap();
        assert!(matches!(record.claim(1, [1; 32]), Err(LastSignedError::Broken)));
        assert_eq!(record.record(), None);
    }
}
