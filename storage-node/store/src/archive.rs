//! The canonical backup of a log and blobs: one stream of bytes that depends on nothing but the records and blobs.
//!
//! Two stores with the same first and last position, the same history and the same blobs write the same bytes,
//! whatever their segments, batches and salts are. All integers are little-endian; `H("archive", x)` is the rule of
//! the log's chain digest with another tag. An archive starts with its manifest:
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 8 | `DSM-ARC\n` |
//! | 8 | 4 | version, 1 |
//! | 12 | 8 | the position of the first record |
//! | 20 | 32 | the chain digest before it |
//! | 52 | 8 | the position of the last record, or the one before the first |
//! | 60 | 32 | the chain digest through it |
//! | 92 | 8 | the number of blobs |
//! | 100 | 32 | check: `H("archive", the 100 bytes before)` |
//!
//! The records follow in order, each as kind (1), length (4) and payload, then the blobs in the order of their
//! hashes, each as hash (32), length (8) and content. These bytes are cut into chunks of 1 MiB, the last of which may
//! be shorter, and an empty chunk ends them. Each chunk is written as its length (4), its check `H("archive",
//! manifest's check ‖ number of the chunk, from 0 (8) ‖ bytes)`, and its bytes. Nothing follows.
//!
//! **Restoring** is marked by a file `restoring` beside the segments, durable before the first of them and removed
//! when all is durable. Until then [`Log::open`] refuses, because a part of a log looks like an older log.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use crate::blobs::{BlobError, Blobs};
use crate::digest::{self, Digest};
use crate::disk::{self, Disk};
use crate::log::{Log, LogConfig, LogError, LogReader, RESTORING};

const MAGIC: &[u8; 8] = b"DSM-ARC\n";
const VERSION: u32 = 1;
const MANIFEST: usize = 132;
/// Bytes of a chunk: what is held in memory, and how exactly a damaged place is told.
const CHUNK: usize = 1 << 20;
/// Bytes of log read at a time, and written between two syncs of a restore.
const READ_BYTES: usize = 4 << 20;

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
    /// A disk to restore into holds something.
    #[error("a disk to restore into is not empty: it holds {name}")]
    NotEmpty {
        /// A file on it.
        name: String,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The stream, or a disk that is being restored into.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the stream answered.
        source: io::Error,
    },
}

fn io_error(doing: &'static str) -> impl Fn(io::Error) -> ArchiveError {
    move |source| ArchiveError::Io { doing, source }
}

/// Writes what is durable now, while the log goes on.
///
/// # Errors
/// [`ArchiveError::Log`] and [`ArchiveError::Blob`] if anything is damaged, or pruned meanwhile: an archive is whole
/// or not made. [`ArchiveError::Io`] from `out`.
pub fn write(log: &LogReader, blobs: &Blobs, out: &mut dyn Write) -> Result<Manifest, ArchiveError> {
    let (head, _) = log.durable();
    // Listed after the head was taken: what a record names was stored before the record.
    write_through(log, head, blobs, blobs.list()?, out)
}

/// Writes the records through `head`, which is durable, and these blobs, while the log goes on.
///
/// # Errors
/// As [`write()`].
pub fn write_through(
    log: &LogReader,
    head: u64,
    blobs: &Blobs,
    mut names: Vec<Digest>,
    out: &mut dyn Write,
) -> Result<Manifest, ArchiveError> {
    names.sort_unstable();
    names.dedup();
    let first = log.first();
    let prev = log.digest_at(first - 1)?;
    let digest = log.digest_at(head)?;
    let manifest = Manifest { first, prev, head, digest, blobs: names.len() as u64 };
    let (bytes, check) = manifest.encode();
    out.write_all(&bytes).map_err(io_error("writing the archive"))?;
    let mut chunks = ChunkWriter { out, check, number: 0, chunk: Vec::with_capacity(CHUNK) };
    let mut next = first;
    while next <= head {
        for record in log.read_range(next, READ_BYTES)? {
            if record.position > head {
                break;
            }
            let length = u32::try_from(record.payload.len()).expect("the log stores lengths in 32 bits");
            chunks.add(&[record.kind])?;
            chunks.add(&length.to_le_bytes())?;
            chunks.add(&record.payload)?;
            next = record.position + 1;
        }
    }
    for name in names {
        let content = blobs.get(&name)?;
        chunks.add(&name)?;
        chunks.add(&(content.len() as u64).to_le_bytes())?;
        chunks.add(&content)?;
    }
    chunks.end()?;
    Ok(manifest)
}

/// Checks all of an archive, keeping nothing of it.
///
/// # Errors
/// [`ArchiveError`], with the place.
pub fn verify(input: &mut dyn Read, limits: ArchiveLimits) -> Result<Manifest, ArchiveError> {
    read(input, limits, |_| Ok(Nowhere))
}

/// Restores an archive into two empty disks. A restore that was interrupted, or that met a damaged archive, is
/// started again from the beginning: its disks count as empty.
///
/// # Errors
/// [`ArchiveError`], with the place; [`ArchiveError::NotEmpty`], nothing changed.
pub fn restore(
    input: &mut dyn Read,
    log: Arc<dyn Disk>,
    config: LogConfig,
    blobs: Arc<dyn Disk>,
    blob_bytes_max: usize,
) -> Result<Manifest, ArchiveError> {
    let limits = ArchiveLimits { payload_bytes_max: config.payload_bytes_max, blob_bytes_max };
    let doing = io_error("restoring an archive");
    mark(log.as_ref(), blobs.as_ref())?;
    let manifest = read(input, limits, |manifest| {
        let (opened, _) = Log::begin_prepared(Arc::clone(&log), config, manifest.first - 1, manifest.prev)?;
        Ok(Stores { log: opened, blobs: Blobs::open(Arc::clone(&blobs), blob_bytes_max)?, waiting: 0 })
    })?;
    log.remove(RESTORING).map_err(&doing)?;
    log.sync_dir().map_err(doing)?;
    Ok(manifest)
}

/// Marks the log's disk as being restored into; both disks are empty afterwards, but for the mark.
fn mark(log: &dyn Disk, blobs: &dyn Disk) -> Result<(), ArchiveError> {
    let doing = io_error("preparing a restore");
    let names = log.list().map_err(&doing)?;
    let old_blobs = blobs.list().map_err(&doing)?;
    if names.iter().any(|name| name == RESTORING) {
        for name in names.iter().filter(|name| *name != RESTORING) {
            log.remove(name).map_err(&doing)?;
        }
        for name in &old_blobs {
            blobs.remove(name).map_err(&doing)?;
        }
        log.sync_dir().map_err(&doing)?;
        return blobs.sync_dir().map_err(doing);
    }
    if let Some(name) = names.into_iter().chain(old_blobs).next() {
        return Err(ArchiveError::NotEmpty { name });
    }
    let created = log.create(RESTORING).map_err(|error| match disk::is_full(&error) {
        true => ArchiveError::Log(LogError::DiskFull),
        false => doing(error),
    })?;
    created.sync_data().map_err(&doing)?;
    log.sync_dir().map_err(doing)
}

/// Where the pieces of an archive go.
trait Sink {
    fn record(&mut self, kind: u8, payload: &[u8]) -> Result<(), ArchiveError>;
    fn blob(&mut self, content: &[u8]) -> Result<(), ArchiveError>;
    fn end(self) -> Result<(), ArchiveError>;
}

struct Nowhere;

impl Sink for Nowhere {
    fn record(&mut self, _: u8, _: &[u8]) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn blob(&mut self, _: &[u8]) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn end(self) -> Result<(), ArchiveError> {
        Ok(())
    }
}

struct Stores {
    log: Log,
    blobs: Blobs,
    /// Bytes of payloads that were not synced.
    waiting: usize,
}

impl Sink for Stores {
    fn record(&mut self, kind: u8, payload: &[u8]) -> Result<(), ArchiveError> {
        if self.waiting > 0 && self.waiting + payload.len() > READ_BYTES {
            self.log.sync()?;
            self.waiting = 0;
        }
        self.log.append(kind, payload)?;
        self.waiting += payload.len();
        Ok(())
    }

    fn blob(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        self.blobs.put(content)?;
        Ok(())
    }

    fn end(self) -> Result<(), ArchiveError> {
        self.log.sync()?;
        Ok(())
    }
}

fn read<S: Sink>(
    input: &mut dyn Read,
    limits: ArchiveLimits,
    begin: impl FnOnce(&Manifest) -> Result<S, ArchiveError>,
) -> Result<Manifest, ArchiveError> {
    let mut input = Counted { input, offset: 0 };
    let mut bytes = [0; MANIFEST];
    input.fill(&mut bytes)?;
    let (manifest, check) = Manifest::decode(&bytes)?;
    let mut sink = begin(&manifest)?;
    let mut chunks =
        ChunkReader { input, check, number: 0, start: MANIFEST as u64, chunk: Vec::new(), at: 0 };
    let mut digest = manifest.prev;
    for position in manifest.first..=manifest.head {
        let [kind] = chunks.take::<1>()?;
        let length = u64::from(u32::from_le_bytes(chunks.take()?));
        let payload = chunks.take_long(length, limits.payload_bytes_max)?;
        digest = digest::chain(&digest, position, kind, &digest::of(&payload));
        sink.record(kind, &payload)?;
    }
    if digest != manifest.digest {
        return Err(chunks.damaged());
    }
    let mut before = None;
    for _ in 0..manifest.blobs {
        let name: Digest = chunks.take()?;
        let length = u64::from_le_bytes(chunks.take()?);
        let content = chunks.take_long(length, limits.blob_bytes_max)?;
        if before.is_some_and(|before| before >= name) || digest::of(&content) != name {
            return Err(chunks.damaged());
        }
        sink.blob(&content)?;
        before = Some(name);
    }
    chunks.end()?;
    sink.end()?;
    Ok(manifest)
}

impl Manifest {
    fn encode(&self) -> ([u8; MANIFEST], Digest) {
        let mut bytes = [0; MANIFEST];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first.to_le_bytes());
        bytes[20..52].copy_from_slice(&self.prev);
        bytes[52..60].copy_from_slice(&self.head.to_le_bytes());
        bytes[60..92].copy_from_slice(&self.digest);
        bytes[92..100].copy_from_slice(&self.blobs.to_le_bytes());
        let check = digest::archive(&[&bytes[..100]]);
        bytes[100..].copy_from_slice(&check);
        (bytes, check)
    }

    fn decode(bytes: &[u8; MANIFEST]) -> Result<(Manifest, Digest), ArchiveError> {
        let damaged = || ArchiveError::Damaged { offset: 0 };
        if &bytes[..8] != MAGIC || bytes[8..12] != VERSION.to_le_bytes() {
            return Err(ArchiveError::NotAnArchive);
        }
        let long = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).map_err(|_| damaged());
        let hash = |at: usize| bytes[at..at + 32].try_into().map_err(|_| damaged());
        let check: Digest = hash(100)?;
        let manifest = Manifest {
            first: long(12)?,
            prev: hash(20)?,
            head: long(52)?,
            digest: hash(60)?,
            blobs: long(92)?,
        };
        let Manifest { first, prev, head, digest, .. } = manifest;
        let possible = first > 0
            && head >= first - 1
            && head < u64::MAX
            && (first > 1 || prev == digest::EMPTY)
            && (head >= first || digest == prev);
        if !possible || digest::archive(&[&bytes[..100]]) != check {
            return Err(damaged());
        }
        Ok((manifest, check))
    }
}

struct ChunkWriter<'a> {
    out: &'a mut dyn Write,
    check: Digest,
    number: u64,
    chunk: Vec<u8>,
}

impl ChunkWriter<'_> {
    fn add(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            if self.chunk.len() == CHUNK {
                self.put()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), ArchiveError> {
        let doing = io_error("writing the archive");
        let check = check(&self.check, self.number, &self.chunk);
        self.out.write_all(&(self.chunk.len() as u32).to_le_bytes()).map_err(&doing)?;
        self.out.write_all(&check).map_err(&doing)?;
        self.out.write_all(&self.chunk).map_err(doing)?;
        self.number += 1;
        self.chunk.clear();
        Ok(())
    }

    fn end(mut self) -> Result<(), ArchiveError> {
        if !self.chunk.is_empty() {
            self.put()?;
        }
        self.put()?;
        self.out.flush().map_err(io_error("writing the archive"))
    }
}

fn check(manifest: &Digest, number: u64, bytes: &[u8]) -> Digest {
    digest::archive(&[manifest, &number.to_le_bytes(), bytes])
}

/// The stream, and how far it was read.
struct Counted<'a> {
    input: &'a mut dyn Read,
    offset: u64,
}

impl Counted<'_> {
    fn fill(&mut self, mut bytes: &mut [u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            match self.read_some(bytes)? {
                0 => return Err(ArchiveError::Truncated { offset: self.offset }),
                count => bytes = &mut bytes[count..],
            }
        }
        Ok(())
    }

    fn read_some(&mut self, bytes: &mut [u8]) -> Result<usize, ArchiveError> {
        loop {
            match self.input.read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("reading the archive")(error)),
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
            }
        }
    }
}

struct ChunkReader<'a> {
    input: Counted<'a>,
    check: Digest,
    number: u64,
    /// Where the chunk at hand starts in the archive.
    start: u64,
    chunk: Vec<u8>,
    /// How much of the chunk was taken.
    at: usize,
}

impl ChunkReader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn take_long(&mut self, length: u64, limit: usize) -> Result<Vec<u8>, ArchiveError> {
        if length > limit as u64 {
            return Err(ArchiveError::TooLong { limit, found: length });
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, mut bytes: &mut [u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            if self.at == self.chunk.len() && self.next()? == 0 {
                return Err(self.damaged());
            }
            let count = bytes.len().min(self.chunk.len() - self.at);
            let (now, later) = bytes.split_at_mut(count);
            now.copy_from_slice(&self.chunk[self.at..self.at + count]);
            self.at += count;
            bytes = later;
        }
        Ok(())
    }

    /// Reads and checks a chunk. Answers its length, 0 at the end.
    fn next(&mut self) -> Result<usize, ArchiveError> {
        let was_last = self.number > 0 && self.chunk.len() < CHUNK;
        self.start = self.input.offset;
        let mut head = [0; 36];
        self.input.fill(&mut head)?;
        let (length, stated) = head.split_at(4);
        let length = length.try_into().map_or(usize::MAX, |length| u32::from_le_bytes(length) as usize);
        if length > CHUNK || (was_last && length > 0) {
            return Err(self.damaged());
        }
        self.chunk.resize(length, 0);
        self.at = 0;
        self.input.fill(&mut self.chunk)?;
        if check(&self.check, self.number, &self.chunk) != stated {
            return Err(self.damaged());
        }
        self.number += 1;
        Ok(length)
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        if self.at < self.chunk.len() || self.next()? > 0 {
            return Err(self.damaged());
        }
        let offset = self.input.offset;
        match self.input.read_some(&mut [0])? {
            0 => Ok(()),
            _ => Err(ArchiveError::Trailing { offset }),
        }
    }

    fn damaged(&self) -> ArchiveError {
        ArchiveError::Damaged { offset: self.start }
    }
}
