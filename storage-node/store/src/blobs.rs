//! Files named by the hash of their content.
//!
//! A blob is written under a temporary name, synced, renamed to the 64 hexadecimal digits of its BLAKE3-256,
//! and the directory synced; so a name that is there has its whole content. It is hashed again whenever it is
//! read.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::digest::{self, Digest};
use crate::disk::{self, Disk};

const TEMPORARY: &str = "tmp-";

/// Why a blob cannot be stored or served.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The content is longer than allowed.
    #[error("a blob of {found} bytes where at most {limit} are allowed")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
        /// The length, in bytes.
        found: u64,
    },
    /// There is no such blob.
    #[error("no such blob")]
    NotFound,
    /// The content no longer has the hash that names it.
    #[error("blob {} is damaged", hex(.id))]
    Damaged {
        /// The blob's name.
        id: Digest,
    },
    /// What was offered to repair a blob has another hash.
    #[error("the content offered for blob {} is another", hex(.id))]
    WrongContent {
        /// The blob's name.
        id: Digest,
    },
    /// The device is full. Nothing of the blob is left.
    #[error("the device is full")]
    DiskFull,
    /// A sync failed earlier, so what is durable is unknown until the blobs are opened again.
    #[error("an earlier sync failed; the blobs must be opened again")]
    Poisoned,
    /// The device failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the device answered.
        source: io::Error,
    },
}

fn io_error(doing: &'static str) -> impl Fn(io::Error) -> BlobError {
    move |source| BlobError::Io { doing, source }
}

/// What a scrub of the blobs found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobScrub {
    /// Blobs found sound.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs whose content no longer has the hash that names them.
    pub damaged: Vec<Digest>,
}

/// Content-addressed files on a disk of their own.
pub struct Blobs {
    disk: Arc<dyn Disk>,
    blob_bytes_max: usize,
    poisoned: AtomicBool,
    /// One blob is stored at a time.
    storing: Mutex<()>,
}

impl Blobs {
    /// Opens the blobs on `disk`, none longer than `blob_bytes_max`, and removes what an interrupted
    /// [`Blobs::put`] left.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn open(disk: Arc<dyn Disk>, blob_bytes_max: usize) -> Result<Blobs, BlobError> {
        let doing = io_error("opening the blobs");
        for name in disk.list().map_err(&doing)? {
            if name.starts_with(TEMPORARY) {
                disk.remove(&name).map_err(&doing)?;
            }
        }
        disk.sync_dir().map_err(&doing)?;
        Ok(Blobs { disk, blob_bytes_max, poisoned: AtomicBool::new(false), storing: Mutex::new(()) })
    }

    /// Stores `content` durably and returns its name. Storing it again changes nothing, except that a damaged
    /// copy is replaced.
    ///
    /// # Errors
    /// [`BlobError::TooLong`]; [`BlobError::DiskFull`], after which nothing of it is left;
    /// [`BlobError::Io`], after which the blobs are poisoned; [`BlobError::Poisoned`].
    pub fn put(&self, content: &[u8]) -> Result<Digest, BlobError> {
        if content.len() > self.blob_bytes_max {
            return Err(BlobError::TooLong { limit: self.blob_bytes_max, found: content.len() as u64 });
        }
        let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.poisoned.load(Ordering::SeqCst) {
            return Err(BlobError::Poisoned);
        }
        let id = digest::of(content);
        if self.get(&id).is_ok() {
            return Ok(id);
        }
        let outcome = self.store(&id, content);
        if matches!(outcome, Err(BlobError::Io { .. })) {
            self.poisoned.store(true, Ordering::SeqCst);
        }
        outcome.map(|()| id)
    }

    /// Stores `content`, fetched from a peer, as the blob `id`: a missing or damaged copy is replaced.
    ///
    /// # Errors
    /// [`BlobError::WrongContent`] if it is not that blob; otherwise as [`Blobs::put`].
    pub fn repair(&self, id: &Digest, content: &[u8]) -> Result<(), BlobError> {
        if digest::of(content) != *id {
            return Err(BlobError::WrongContent { id: *id });
        }
        self.put(content).map(|_| ())
    }

    /// The content of `id`, hashed again.
    ///
    /// # Errors
    /// [`BlobError::NotFound`]; [`BlobError::Damaged`] if the content has another hash or is longer than any
    /// blob may be; [`BlobError::Io`].
    pub fn get(&self, id: &Digest) -> Result<Vec<u8>, BlobError> {
        let file = self.disk.open(&hex(id)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => BlobError::NotFound,
            _ => BlobError::Io { doing: "opening a blob", source: error },
        })?;
        let doing = io_error("reading a blob");
        if file.size().map_err(&doing)? > self.blob_bytes_max as u64 {
            return Err(BlobError::Damaged { id: *id });
        }
        let content = disk::read_all(file.as_ref()).map_err(doing)?;
        if digest::of(&content) == *id { Ok(content) } else { Err(BlobError::Damaged { id: *id }) }
    }

    /// The names of all blobs, in order. Files with other names are not blobs.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn list(&self) -> Result<Vec<Digest>, BlobError> {
        let names = self.disk.list().map_err(io_error("listing the blobs"))?;
        Ok(names.iter().filter_map(|name| unhex(name)).collect())
    }

    /// Hashes every blob again. Damage is reported, not repaired.
    ///
    /// # Errors
    /// [`BlobError::Io`] if the device cannot be read; damage is no error here.
    pub fn scrub(&self) -> Result<BlobScrub, BlobError> {
        let mut scrub = BlobScrub::default();
        for id in self.list()? {
            match self.get(&id) {
                Ok(content) => {
                    scrub.blobs += 1;
                    scrub.bytes += content.len() as u64;
                }
                Err(BlobError::Damaged { id }) => scrub.damaged.push(id),
                Err(error) => return Err(error),
            }
        }
        Ok(scrub)
    }

    fn store(&self, id: &Digest, content: &[u8]) -> Result<(), BlobError> {
        let doing = io_error("storing a blob");
        let name = hex(id);
        let temporary = format!("{TEMPORARY}{name}");
        let written = self.disk.create(&temporary).and_then(|file| file.write_at(content, 0).map(|()| file));
        let file = match written {
            Ok(file) => file,
            Err(error) if disk::is_full(&error) => {
                if self.disk.list().map_err(&doing)?.contains(&temporary) {
                    self.disk.remove(&temporary).map_err(&doing)?;
                }
                return Err(BlobError::DiskFull);
            }
            Err(error) => return Err(doing(error)),
        };
        file.sync_data().map_err(&doing)?;
        self.disk.rename(&temporary, &name).map_err(&doing)?;
        self.disk.sync_dir().map_err(doing)
    }
}

/// 64 lower-case hexadecimal digits.
pub(crate) fn hex(id: &Digest) -> String {
    id.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// The digest that [`hex`] writes as `text`, and no other spelling of it.
pub(crate) fn unhex(text: &str) -> Option<Digest> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut id = [0; 32];
    for (byte, pair) in id.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(id)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
