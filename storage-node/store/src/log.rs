//! An append-only, hash-chained log in segments: the truth from which everything else is rebuilt.
//!
//! Records get the positions 1, 2, 3, …; position 0 is the empty log. The chain digest through record `n` is
//! `H("log", digest n-1 ‖ n ‖ kind ‖ BLAKE3(payload))` with `H(tag, x) = BLAKE3("DSM/" ‖ tag ‖ 0x00 ‖ x)`; the
//! digest of the empty log is 32 zero bytes. All integers are little-endian.
//!
//! A segment is a file named `log-` + the position of its first record in 20 decimal digits:
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 8 | `DSM-LOG\n` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | salt: the initial value of the CRC of every record's head in this segment |
//! | 16 | 8 | base: the position of the first record |
//! | 24 | 8 | the base of the segment before, 0 if there was none |
//! | 32 | 32 | the chain digest of the log before `base` |
//! | 64 | 4 | CRC32C of the 64 bytes before |
//!
//! Records follow without gaps, each 91 bytes longer than its payload of `n` bytes:
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 1 | 0xD5 |
//! | 1 | 1 | kind, the caller's |
//! | 2 | 4 | n |
//! | 6 | 8 | position |
//! | 14 | 8 | batch: the first position of the group that was written and synced together |
//! | 22 | 32 | the chain digest before this record |
//! | 54 | 4 | CRC32C, started with the salt, of the 54 bytes before |
//! | 58 | n | payload |
//! | 58+n | 32 | the chain digest through this record |
//! | 90+n | 1 | 0x5A |
//!
//! A batch is one write and one sync, and lies in one segment. A segment is created, its head synced, and
//! the directory synced, before a record is written to it; all earlier segments are durable by then.
//!
//! **Recovery.** Only the last batch can be incomplete. At the first unsound record of the last segment
//! there is a *torn tail*, which is cut and reported, if no record of a later batch follows and if lost bytes
//! explain it: the file ends inside the record, or a 512-byte sector of it reads as zeros. Everything else is
//! *damage* and never cut. (Damage inside the last batch to a payload that itself contains such a sector of
//! zeros cannot be told from a torn tail; the index, whose checkpoint names a durable position, still shows
//! it.) The last batch is written once more and synced on opening, because pages that a failed sync left
//! behind read back although they are not on the medium.
//!
//! **Where a log starts.** A log that was begun behind a checkpoint, or pruned, has beside its segments an empty file
//! `first-` + its first position in 20 decimal digits + `-` + the chain digest before it in 64 hexadecimal digits. It
//! is durable before a segment is removed, or the first created; without it the log starts at 1. So a lost first
//! segment is missed, like any other that its successor names. Nothing on the disk names the last segment: that it is
//! lost shows in the index, and in what peers have acknowledged.
//!
//! **Other files.** `tmp-…` is being written and is removed on opening; `cut-…` and `aside-…` hold records that were
//! set aside (`cut.rs`); `restoring` marks a log into which an archive is being restored ([`crate::archive`]).
//!
//! Left out on purpose: what records mean, when to prune, and replication.

mod cut;
mod frame;
mod mend;
mod reader;
mod salvage;
mod tail;

pub use cut::{Aside, AsideReader, read_aside};
pub use mend::{Offered, RepairError};
pub use reader::{Damage, LogIter, LogReader, Record, Scrub};
pub use salvage::{Salvage, Stretch};

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::blobs;
use crate::digest::{self, Digest};
use crate::disk::{self, Disk, DiskFile};
use frame::{BadSegmentHead, SEGMENT_HEAD, SegmentHead};
use reader::{Segment, Shared};
use tail::{Rest, Tail};

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A segment that has reached this size gets no further batch. At most 1 GiB is honoured: offsets inside
    /// a segment are 32 bits wide and a batch comes on top.
    pub segment_bytes: u64,
    /// The longest payload accepted.
    pub payload_bytes_max: usize,
    /// How much may wait for [`Log::sync`]; at most 1 GiB is honoured.
    pub pending_bytes_max: usize,
    /// Unpredictable to whoever supplies payloads, so that nobody can put into one what recovery would take
    /// for a record. Used for the segments created from now on.
    pub salt: u32,
}

impl LogConfig {
    /// 64 MiB segments (what a replica fetches at once), payloads to 16 MiB, 256 MiB waiting.
    pub fn new(salt: u32) -> LogConfig {
        LogConfig { segment_bytes: 64 << 20, payload_bytes_max: 16 << 20, pending_bytes_max: 256 << 20, salt }
    }
}

/// Why a log cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The device failed. During a sync this poisons the log.
    #[error("{doing}: {source}")]
    Io {
        /// What the log was doing.
        doing: &'static str,
        /// What the device answered.
        source: io::Error,
    },
    /// The device is full. What was appended still waits: sync again once there is room, or discard it.
    #[error("the device is full")]
    DiskFull,
    /// A write or sync failed earlier, so what is durable is unknown until the log is opened again.
    #[error("an earlier write or sync failed; the log must be opened again")]
    Poisoned,
    /// Bytes that were durable are wrong. They are neither served nor cut.
    #[error("segment {segment} is damaged at offset {offset} (position {position})")]
    Damaged {
        /// The base of the segment, which names its file.
        segment: u64,
        /// Where in the file, in bytes.
        offset: u64,
        /// The position of the first record that cannot be served.
        position: u64,
    },
    /// A segment that its successor names is not there.
    #[error("segment {segment} is missing")]
    MissingSegment {
        /// The base of the missing segment.
        segment: u64,
    },
    /// A segment was written by a version that this one does not know.
    #[error("segment {segment} has the unknown version {version}")]
    UnknownVersion {
        /// The base of the segment.
        segment: u64,
        /// The version it states.
        version: u32,
    },
    /// There is no durable record at this position.
    #[error("position {position} is not between {first} and {durable}")]
    NotDurable {
        /// The position asked for.
        position: u64,
        /// The first position kept.
        first: u64,
        /// The last durable position.
        durable: u64,
    },
    /// The payload is longer than the configuration allows.
    #[error("a payload of {found} bytes where at most {limit} are allowed")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
        /// The payload's length, in bytes.
        found: usize,
    },
    /// A log is to begin where one with records is.
    #[error("the log is not empty: it has the positions {first} to {head}")]
    NotEmpty {
        /// The first position kept.
        first: u64,
        /// The last position.
        head: u64,
    },
    /// No log begins like this: nothing follows the last number, and position 0 has the digest of the empty log.
    #[error("no log begins behind position {base} with this digest")]
    BadStart {
        /// The position before the first record.
        base: u64,
    },
    /// An archive was being restored into this disk when it stopped. Restore it again.
    #[error("a restore into this log was interrupted; restore again")]
    RestoreInterrupted,
    /// A file with records that were set aside is damaged outside its records.
    #[error("a file with records that were set aside is damaged")]
    DamagedAside,
    /// Too much waits for a sync.
    #[error("{limit} bytes already wait for a sync")]
    PendingFull {
        /// The limit, in bytes.
        limit: usize,
    },
}

fn io_error(doing: &'static str) -> impl Fn(io::Error) -> LogError {
    move |source| LogError::Io { doing, source }
}

/// Where a record was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its position.
    pub position: u64,
    /// The chain digest through it.
    pub digest: Digest,
}

/// A torn tail that was cut on opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The base of the segment.
    pub segment: u64,
    /// Where in the file the cut was made, in bytes.
    pub offset: u64,
    /// The position that the first cut record would have had.
    pub position: u64,
    /// The bytes cut off.
    pub bytes: u64,
}

/// What [`Log::prune`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Segments removed.
    pub segments: usize,
    /// The first position kept now.
    pub first: u64,
}

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments kept.
    pub segments: usize,
    /// The first position kept (1 unless older segments were pruned).
    pub first: u64,
    /// The last position.
    pub head: u64,
    /// The chain digest through `head`.
    pub digest: Digest,
    /// The torn tail that was cut.
    pub cut: Option<Cut>,
    /// The base of a segment that was being created when the crash came, and was removed.
    pub removed: Option<u64>,
}

/// The log. One thread may append while another syncs.
pub struct Log {
    shared: Arc<Shared>,
    config: LogConfig,
    poisoned: AtomicBool,
    /// Taken before `pending` where both are needed.
    writer: Mutex<Writer>,
    pending: Mutex<Pending>,
}

/// The end of the log, durable or not, and what waits for a sync.
struct Pending {
    head: u64,
    digest: Digest,
    batch: Batch,
}

/// Records in the bytes in which they will be written, but for the stamp.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    /// The chain digest through the last of them.
    digest: Digest,
}

/// The end of the last segment.
struct Writer {
    file: Arc<dyn DiskFile>,
    head: SegmentHead,
    len: u64,
    /// Empty between syncs; its memory is reused.
    batch: Batch,
}

impl Log {
    /// Opens the log on `disk`, creating it if there is none, and makes whatever it keeps durable.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::MissingSegment`] and [`LogError::UnknownVersion`] for a log that
    /// must not be written to as it is: see [`Salvage`]. [`LogError::RestoreInterrupted`];
    /// [`LogError::DiskFull`] and [`LogError::Io`] from the device.
    pub fn open(disk: Arc<dyn Disk>, config: LogConfig) -> Result<(Log, RecoveryReport), LogError> {
        prepare(disk.as_ref())?;
        Log::open_prepared(disk, config)
    }

    fn open_prepared(disk: Arc<dyn Disk>, config: LogConfig) -> Result<(Log, RecoveryReport), LogError> {
        let doing = io_error("opening the log");
        let mut heads = read_heads(disk.as_ref())?;
        let removed = remove_unfinished(disk.as_ref(), &heads)?;
        if heads.is_empty() {
            let (base, prev) = start(disk.as_ref())?;
            let head = SegmentHead { salt: config.salt, base, previous: 0, prev };
            create_segment(disk.as_ref(), &head)?;
            heads.push(head);
        }
        let last = *heads.last().expect("one was pushed if there was none");
        let file = disk.open(&segment_name(last.base)).map_err(&doing)?;
        let bytes = disk::read_what_is_left(file.as_ref()).map_err(&doing)?;
        let tail = tail::judge(&bytes, &last);
        let head = last.base - 1 + tail.starts.len() as u64;
        if tail.rest == Rest::Damaged {
            return Err(LogError::Damaged {
                segment: last.base,
                offset: tail.end as u64,
                position: head + 1,
            });
        }
        settle(disk.as_ref(), file.as_ref(), &bytes, &tail)?;
        let cut = (tail.rest == Rest::Torn).then(|| Cut {
            segment: last.base,
            offset: tail.end as u64,
            position: head + 1,
            bytes: (bytes.len() - tail.end) as u64,
        });
        let report = RecoveryReport {
            segments: heads.len(),
            first: heads[0].base,
            head,
            digest: tail.digest,
            cut,
            removed,
        };
        let segments = heads.into_iter().map(Segment::new).collect();
        let writer =
            Writer { file: Arc::clone(&file), head: last, len: tail.end as u64, batch: Batch::default() };
        let shared = Shared::new(disk, segments, file, tail, head);
        let pending = Pending { head, digest: report.digest, batch: Batch::default() };
        let log = Log {
            shared: Arc::new(shared),
            config,
            poisoned: AtomicBool::new(false),
            writer: Mutex::new(writer),
            pending: Mutex::new(pending),
        };
        Ok((log, report))
    }

    /// Opens a log that starts behind a checkpoint: empty, its first record will be `base + 1`, and `digest` is the
    /// chain digest through `base`. The disk may hold a log that has no record, which is replaced.
    ///
    /// # Errors
    /// [`LogError::NotEmpty`] if the log on `disk` has records; [`LogError::BadStart`]; otherwise as [`Log::open`].
    pub fn begin(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        base: u64,
        digest: Digest,
    ) -> Result<(Log, RecoveryReport), LogError> {
        prepare(disk.as_ref())?;
        Log::begin_prepared(disk, config, base, digest)
    }

    /// The same for a disk into which an archive is being restored.
    pub(crate) fn begin_prepared(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        base: u64,
        digest: Digest,
    ) -> Result<(Log, RecoveryReport), LogError> {
        let starts_empty = base > 0 || digest == digest::EMPTY;
        let first = base.checked_add(1).filter(|_| starts_empty).ok_or(LogError::BadStart { base })?;
        let heads = read_heads(disk.as_ref())?;
        remove_unfinished(disk.as_ref(), &heads)?;
        if let Some(only) = heads.first() {
            let (log, report) = Log::open_prepared(Arc::clone(&disk), config.clone())?;
            if report.segments > 1 || report.head >= report.first {
                return Err(LogError::NotEmpty { first: report.first, head: report.head });
            }
            if (only.base, only.prev) == (first, digest) {
                return Ok((log, report));
            }
            let doing = io_error("replacing an empty log");
            disk.remove(&segment_name(only.base)).map_err(&doing)?;
            disk.sync_dir().map_err(&doing)?;
        }
        // The opening finds where the log is to start, and no segment.
        set_start(disk.as_ref(), first, &digest)?;
        Log::open_prepared(disk, config)
    }

    /// Adds a record to what the next [`Log::sync`] writes. Until then it is not durable and not readable.
    ///
    /// # Errors
    /// [`LogError::TooLong`], [`LogError::PendingFull`] and [`LogError::Poisoned`]; nothing was added.
    pub fn append(&self, kind: u8, payload: &[u8]) -> Result<Appended, LogError> {
        let limit = self.config.payload_bytes_max;
        let too_long = LogError::TooLong { limit, found: payload.len() };
        let Some(length) = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= limit) else {
            return Err(too_long);
        };
        let mut pending = lock(&self.pending);
        self.refuse_if_poisoned()?;
        let limit = self.config.pending_bytes_max.min(1 << 30);
        if pending.batch.bytes.len() + payload.len() + frame::OVERHEAD > limit {
            return Err(LogError::PendingFull { limit });
        }
        let Pending { head, digest, batch } = &mut *pending;
        let position = *head + 1;
        batch.starts.push(batch.bytes.len());
        *digest = frame::push(&mut batch.bytes, position, kind, digest, payload, length);
        batch.digest = *digest;
        *head = position;
        Ok(Appended { position, digest: *digest })
    }

    /// Writes everything appended so far with one write, makes it durable with one sync, and returns the
    /// last durable position. Records appended meanwhile by other threads wait for the next call.
    ///
    /// # Errors
    /// [`LogError::DiskFull`]: nothing of the batch is left in the file and the log stays usable.
    /// [`LogError::Io`]: the log is poisoned. [`LogError::Poisoned`]: it was already.
    pub fn sync(&self) -> Result<u64, LogError> {
        let mut writer = lock(&self.writer);
        self.refuse_if_poisoned()?;
        std::mem::swap(&mut writer.batch, &mut lock(&self.pending).batch);
        if writer.batch.starts.is_empty() {
            return Ok(self.shared.durable());
        }
        let outcome = self.write_batch(&mut writer);
        match &outcome {
            Ok(_) => writer.batch.clear(),
            Err(LogError::DiskFull) => self.put_back(&mut writer.batch),
            Err(_) => self.poison(),
        }
        outcome
    }

    /// Drops what was appended and not synced; the head is the last durable record again. Returns how many
    /// records were dropped. This is the way out of [`LogError::DiskFull`] for a caller that refuses the
    /// writes instead of waiting for room.
    ///
    /// # Errors
    /// [`LogError::Poisoned`].
    pub fn discard(&self) -> Result<u64, LogError> {
        let _writer = lock(&self.writer);
        self.refuse_if_poisoned()?;
        Ok(self.discard_pending())
    }

    fn discard_pending(&self) -> u64 {
        let mut pending = lock(&self.pending);
        pending.batch.clear();
        let (durable, digest) = self.shared.durable_head();
        let dropped = pending.head - durable;
        (pending.head, pending.digest) = (durable, digest);
        dropped
    }

    /// Removes the sealed segments all of whose records lie before `before`; never the last segment. Readers find
    /// the records not kept any more ([`LogError::NotDurable`]). Needs no room on the device but for
    /// a name.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]; [`LogError::DiskFull`], nothing changed; [`LogError::Io`], after which the log is
    /// poisoned.
    pub fn prune(&self, before: u64) -> Result<Pruned, LogError> {
        let _writer = lock(&self.writer);
        self.refuse_if_poisoned()?;
        let heads = self.shared.heads();
        let count = heads.iter().skip(1).take_while(|next| next.base <= before).count();
        let (pruned, kept) = heads.split_at(count);
        if count > 0 {
            let outcome = set_start(self.shared.disk(), kept[0].base, &kept[0].prev);
            self.poison_after(outcome)?;
            self.shared.prune(kept[0].base);
            let outcome = remove_oldest(self.shared.disk(), pruned);
            self.poison_after(outcome)?;
        }
        Ok(Pruned { segments: count, first: kept[0].base })
    }

    /// The last position, durable or not, and the chain digest through it.
    pub fn head(&self) -> (u64, Digest) {
        let pending = lock(&self.pending);
        (pending.head, pending.digest)
    }

    /// A handle that reads durable records from any thread, also after this log was poisoned or dropped.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    /// The durable record at `position`, hashed again.
    ///
    /// # Errors
    /// As [`LogReader::read`], and [`LogError::Poisoned`].
    pub fn read(&self, position: u64) -> Result<Record, LogError> {
        self.refuse_if_poisoned()?;
        self.reader().read(position)
    }

    /// The durable records from `from` on, each hashed again and checked against the one before.
    ///
    /// # Errors
    /// As [`LogReader::iter`], and [`LogError::Poisoned`].
    pub fn iter(&self, from: u64) -> Result<LogIter, LogError> {
        self.refuse_if_poisoned()?;
        self.reader().iter(from)
    }

    fn refuse_if_poisoned(&self) -> Result<(), LogError> {
        if self.poisoned.load(Ordering::SeqCst) { Err(LogError::Poisoned) } else { Ok(()) }
    }

    /// A device that failed while files were being changed is not written to before the log is opened again.
    fn poison_after<T>(&self, outcome: Result<T, LogError>) -> Result<T, LogError> {
        if matches!(outcome, Err(LogError::Io { .. })) {
            self.poison();
        }
        outcome
    }

    fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
    }

    /// Lets a batch that did not fit wait again, before what was appended meanwhile.
    fn put_back(&self, batch: &mut Batch) {
        let mut pending = lock(&self.pending);
        let shift = batch.bytes.len();
        batch.bytes.extend_from_slice(&pending.batch.bytes);
        batch.starts.extend(pending.batch.starts.iter().map(|start| start + shift));
        if !pending.batch.starts.is_empty() {
            batch.digest = pending.batch.digest;
        }
        std::mem::swap(&mut pending.batch, batch);
        batch.clear();
    }

    fn write_batch(&self, writer: &mut Writer) -> Result<u64, LogError> {
        let (durable, prev) = self.shared.durable_head();
        let batch_bytes = writer.batch.bytes.len() as u64;
        if writer.len > SEGMENT_HEAD as u64
            && writer.len + batch_bytes > self.config.segment_bytes.min(1 << 30)
        {
            let head =
                SegmentHead { salt: self.config.salt, base: durable + 1, previous: writer.head.base, prev };
            writer.file = create_segment(self.shared.disk(), &head)?;
            writer.head = head;
            writer.len = SEGMENT_HEAD as u64;
            self.shared.seal(head, Arc::clone(&writer.file));
        }
        let Writer { file, head, len, batch, .. } = writer;
        for start in &batch.starts {
            frame::stamp(&mut batch.bytes[*start..], durable + 1, head.salt);
        }
        if let Err(error) = file.write_at(&batch.bytes, *len) {
            return Err(undo_write(file.as_ref(), *len, error));
        }
        file.sync_data().map_err(io_error("syncing a batch"))?;
        let position = durable + batch.starts.len() as u64;
        self.shared.publish(*len, &batch.starts, batch_bytes, position, batch.digest);
        *len += batch_bytes;
        Ok(position)
    }
}

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds these locks panics halfway through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// After a failed write: nothing of it stays if the device was only full.
fn undo_write(file: &dyn DiskFile, len: u64, error: io::Error) -> LogError {
    if !disk::is_full(&error) {
        return LogError::Io { doing: "writing a batch", source: error };
    }
    // Synced, so that a crash cannot bring the part back behind a later batch.
    match file.truncate(len).and_then(|()| file.sync_data()) {
        Ok(()) => LogError::DiskFull,
        Err(source) => LogError::Io { doing: "cutting back a batch that did not fit", source },
    }
}

/// Starts the names of files that are being written and not yet used.
const TEMPORARY: &str = "tmp-";

/// Starts the name of the file that says where a log starts that does not start at 1.
const START: &str = "first-";

/// The file that is there while an archive is being restored into the log.
pub(crate) const RESTORING: &str = "restoring";

fn segment_name(base: u64) -> String {
    format!("log-{base:020}")
}

fn segment_base(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// A segment that holds no record yet, durable with its name.
fn create_segment(disk: &dyn Disk, head: &SegmentHead) -> Result<Arc<dyn DiskFile>, LogError> {
    let doing = io_error("creating a segment");
    let name = segment_name(head.base);
    let written = disk.create(&name).and_then(|file| file.write_at(&head.encode(), 0).map(|()| file));
    let file = unless_full(disk, &name, written)?.map_err(&doing)?;
    file.sync_data().map_err(&doing)?;
    disk.sync_dir().map_err(&doing)?;
    Ok(file)
}

/// What writing the new file `name` answered; if the device was full, [`LogError::DiskFull`], and without a name left
/// behind, so that the next attempt can create it again.
fn unless_full<T>(disk: &dyn Disk, name: &str, written: io::Result<T>) -> Result<io::Result<T>, LogError> {
    match written {
        Err(error) if disk::is_full(&error) => {
            let doing = io_error("removing a file that did not fit");
            if disk.list().map_err(&doing)?.iter().any(|found| found == name) {
                disk.remove(name).map_err(&doing)?;
            }
            Err(LogError::DiskFull)
        }
        other => Ok(other),
    }
}

/// The first position that the log has to have, and the chain digest before it.
fn start(disk: &dyn Disk) -> Result<(u64, Digest), LogError> {
    let names = disk.list().map_err(io_error("listing the segments"))?;
    Ok(names.iter().filter_map(|name| start_of_name(name)).max().unwrap_or((1, digest::EMPTY)))
}

fn start_of_name(name: &str) -> Option<(u64, Digest)> {
    let (base, prev) = name.strip_prefix(START)?.split_once('-')?;
    Some((base.parse().ok()?, blobs::unhex(prev)?))
}

/// Notes durably that nothing before `base` is missed.
fn set_start(disk: &dyn Disk, base: u64, prev: &Digest) -> Result<(), LogError> {
    let doing = io_error("noting where the log starts");
    let name = format!("{START}{base:020}-{}", blobs::hex(prev));
    let names = disk.list().map_err(&doing)?;
    if !names.contains(&name) {
        unless_full(disk, &name, disk.create(&name))?.map_err(&doing)?;
    }
    disk.sync_dir().map_err(&doing)?;
    for old in names.iter().filter(|old| start_of_name(old).is_some() && **old != name) {
        disk.remove(old).map_err(&doing)?;
    }
    disk.sync_dir().map_err(&doing)
}

/// Removes segments one by one, each durably: of a log whose middle is missing, nothing could be believed.
fn remove_oldest(disk: &dyn Disk, heads: &[SegmentHead]) -> Result<(), LogError> {
    let doing = io_error("pruning a segment");
    for head in heads {
        disk.remove(&segment_name(head.base)).map_err(&doing)?;
        disk.sync_dir().map_err(&doing)?;
    }
    Ok(())
}

/// The heads of all segments, in order; the last may be missing if its creation was interrupted.
fn read_heads(disk: &dyn Disk) -> Result<Vec<SegmentHead>, LogError> {
    let doing = io_error("listing the segments");
    let names = disk.list().map_err(&doing)?;
    let bases: Vec<u64> = names.iter().filter_map(|name| segment_base(name)).collect();
    let mut heads: Vec<SegmentHead> = Vec::with_capacity(bases.len());
    for (nth, base) in bases.iter().copied().enumerate() {
        let file = disk.open(&segment_name(base)).map_err(&doing)?;
        let size = file.size().map_err(&doing)?;
        let mut bytes = vec![0; SEGMENT_HEAD.min(usize::try_from(size).unwrap_or(SEGMENT_HEAD))];
        if file.read_at(&mut bytes, 0).is_err() {
            return Err(LogError::Damaged { segment: base, offset: 0, position: base });
        }
        if nth + 1 == bases.len() && is_unfinished(&bytes, size) {
            break;
        }
        let damaged = LogError::Damaged { segment: base, offset: 0, position: base };
        let head = match SegmentHead::decode(&bytes) {
            Ok(head) if head.base == base => head,
            Ok(_) | Err(BadSegmentHead::Damaged) => return Err(damaged),
            Err(BadSegmentHead::Version(version)) => {
                return Err(LogError::UnknownVersion { segment: base, version });
            }
        };
        if let Some(before) = heads.last()
            && before.base != head.previous
        {
            return Err(LogError::MissingSegment { segment: head.previous });
        }
        heads.push(head);
    }
    let (start, _) = start(disk)?;
    if let Some(first) = heads.first().filter(|first| first.base > start) {
        return Err(LogError::MissingSegment { segment: first.previous.max(start) });
    }
    Ok(heads)
}

/// Whether the creation of the last segment, whose file has `size` bytes and starts with `bytes`, was interrupted.
/// The head is synced before any record is written: an incomplete one holds nothing.
fn is_unfinished(bytes: &[u8], size: u64) -> bool {
    bytes.len() < SEGMENT_HEAD || (size == SEGMENT_HEAD as u64 && bytes.iter().all(|byte| *byte == 0))
}

/// What is done before a log is looked at: an interrupted restore is refused, what interrupted copies left is
/// removed, and an interrupted cut is finished.
fn prepare(disk: &dyn Disk) -> Result<(), LogError> {
    let doing = io_error("preparing the log");
    let names = disk.list().map_err(&doing)?;
    if names.iter().any(|name| name == RESTORING) {
        return Err(LogError::RestoreInterrupted);
    }
    for name in names.iter().filter(|name| name.starts_with(TEMPORARY)) {
        disk.remove(name).map_err(&doing)?;
    }
    cut::finish_cuts(disk, &names)
}

/// Removes the file of a segment whose creation was interrupted.
fn remove_unfinished(disk: &dyn Disk, heads: &[SegmentHead]) -> Result<Option<u64>, LogError> {
    let doing = io_error("removing an unfinished segment");
    let names = disk.list().map_err(&doing)?;
    let last = names.iter().filter_map(|name| segment_base(name)).next_back();
    let Some(base) = last.filter(|base| heads.last().is_none_or(|head| head.base != *base)) else {
        return Ok(None);
    };
    disk.remove(&segment_name(base)).map_err(&doing)?;
    Ok(Some(base))
}

/// Cuts a torn tail and makes everything that is kept durable.
fn settle(disk: &dyn Disk, file: &dyn DiskFile, bytes: &[u8], tail: &Tail) -> Result<(), LogError> {
    let doing = |error| {
        if disk::is_full(&error) {
            return LogError::DiskFull;
        }
        io_error("making the recovered log durable")(error)
    };
    if tail.end < bytes.len() {
        file.truncate(tail.end as u64).map_err(doing)?;
    }
    let last_batch = &bytes[tail.last_batch..tail.end];
    file.write_at(last_batch, tail.last_batch as u64).map_err(doing)?;
    file.sync_data().map_err(doing)?;
    disk.sync_dir().map_err(doing)
}
