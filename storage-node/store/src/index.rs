//! The derived index: from opaque ids, and from (chain, height), to positions of the log.
//!
//! It is a redb file that can be deleted at any time: the caller feeds it again from the log. New entries
//! are answered from memory at once and written by a thread of the index in batches that are not synced;
//! only at each new segment of the log, and on closing, is a checkpoint made durable, with the position and
//! chain digest of the log that it covers. On opening, the file is taken only if it is sound and the log has
//! that digest at that position; otherwise it is deleted and starts empty.
//!
//! | table | key | value |
//! |---|---|---|
//! | `ids` | id | position |
//! | `links` | chain, height | position |
//! | `meta` | `format` | 1 |
//! | `covered` | 0 | position, chain digest through it |
//!
//! Left out on purpose: the records. redb does not check its checksums on read, so a position found here is
//! a hint: the caller reads the record from the log, which hashes it again, and compares the id.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase, StorageError, TableDefinition, WriteTransaction};

use crate::digest::Digest;
use crate::log::{LogError, LogReader};

const IDS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("ids");
const LINKS: TableDefinition<'_, (&[u8; 32], u64), u64> = TableDefinition::new("links");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const COVERED: TableDefinition<'_, u64, (u64, &[u8; 32])> = TableDefinition::new("covered");
const FORMAT: u64 = 1;

/// How the index is kept.
#[derive(Debug, Clone)]
pub struct IndexConfig {
    /// redb's page cache, in bytes.
    pub cache_bytes: usize,
    /// Records waiting in memory that wake the writing thread.
    pub batch_records: usize,
    /// Records waiting in memory at which [`Index::add`] writes them itself: the bound on memory.
    pub waiting_records_max: usize,
    /// Whether opening checks every page's checksum (one pass over the file). Without it a flipped bit may
    /// hide an entry or give a wrong hint.
    pub check_pages: bool,
}

impl Default for IndexConfig {
    /// 64 MiB of cache, batches of 32,768 records, at most 262,144 waiting (about 50 MB), pages checked. Keys are
    /// digests, so each entry of a small batch rewrites a page of its own; those of a large one share pages.
    fn default() -> IndexConfig {
        IndexConfig {
            cache_bytes: 64 << 20,
            batch_records: 1 << 15,
            waiting_records_max: 1 << 18,
            check_pages: true,
        }
    }
}

/// What one record of the log adds to the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexEntry {
    /// Ids that lead to the record.
    pub ids: Vec<[u8; 32]>,
    /// Chains, with the height on each, that lead to the record.
    pub links: Vec<([u8; 32], u64)>,
}

/// Why the index starts empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuilt {
    /// There was no file.
    Missing,
    /// The file is damaged or of another format.
    Damaged(String),
    /// The file covered a position that was set aside: the records behind `keep` are in the file of that name.
    SetAside {
        /// The last position covered.
        covered: u64,
        /// The file with what was set aside ([`crate::read_aside`]).
        name: String,
    },
    /// The log was pruned beyond the position covered, so that nothing bears the file out.
    Pruned {
        /// The last position covered.
        covered: u64,
        /// The first position kept.
        first: u64,
    },
}

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexReport {
    /// The last position that the index covers; the caller adds the records behind it. It is the one before the
    /// first kept if the index starts empty.
    pub covered: u64,
    /// Why the index starts empty, if it does.
    pub rebuilt: Option<Rebuilt>,
}

/// Why the index cannot do what was asked. None of these loses anything: the file can be deleted, though after
/// [`IndexError::AheadOfLog`] and [`IndexError::OtherLog`] that gives up the evidence that the log was changed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The engine failed.
    #[error("the index engine failed: {0}")]
    Engine(#[from] Box<redb::Error>),
    /// An earlier write failed; the index must be opened again.
    #[error("an earlier write of the index failed; it must be opened again")]
    Failed,
    /// Records are added in order and without gaps.
    #[error("position {found} was added where {expected} is next")]
    Gap {
        /// The next position.
        expected: u64,
        /// The position offered.
        found: u64,
    },
    /// The record is not durable: a checkpoint could name what the log then loses.
    #[error("position {position} was added and the log is durable to {durable}")]
    NotDurable {
        /// The position offered.
        position: u64,
        /// The last durable position of the log.
        durable: u64,
    },
    /// The index covers a position that was durable and that the log no longer has: the log has lost records.
    #[error("the index covers position {covered} and the log ends at {durable}: it has lost durable records")]
    AheadOfLog {
        /// The position covered.
        covered: u64,
        /// The last durable position of the log.
        durable: u64,
    },
    /// The log has another chain digest at the position covered: the index belongs to another log.
    #[error("the log has another digest at position {covered} than the index: it is another log")]
    OtherLog {
        /// The position covered.
        covered: u64,
    },
    /// The record covered could not be read from the log.
    #[error("the log at the position that the index covers: {0}")]
    Log(#[from] LogError),
    /// The file or the thread could not be managed by the operating system.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system answered.
        source: io::Error,
    },
}

fn engine(error: impl Into<redb::Error>) -> IndexError {
    IndexError::Engine(Box::new(error.into()))
}

/// The index. All calls are from any thread.
pub struct Index {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    database: Database,
    reader: LogReader,
    config: IndexConfig,
    recent: RwLock<Recent>,
    /// Held while a batch is written; the segments of the log at the last checkpoint, or a failure.
    writing: Mutex<Writing>,
    signal: Mutex<Signal>,
    wake: Condvar,
}

struct Writing {
    segments: usize,
    failed: bool,
}

#[derive(Default)]
struct Signal {
    batch_waits: bool,
    stop: bool,
}

/// Entries that the engine may not have yet.
struct Recent {
    added: Waiting,
    /// What is being written.
    draining: Arc<Waiting>,
    /// The last position added, and the chain digest through it.
    last: (u64, Digest),
}

#[derive(Default)]
struct Waiting {
    ids: HashMap<[u8; 32], u64>,
    links: HashMap<([u8; 32], u64), u64>,
    records: usize,
}

impl Index {
    /// Opens the index file at `path` for the log behind `reader`. If it is damaged it is deleted and
    /// the report says why; in any case the caller adds the records after [`Index::covered`].
    ///
    /// # Errors
    /// [`IndexError::AheadOfLog`] and [`IndexError::OtherLog`] if the log is not the one that was indexed,
    /// [`IndexError::Engine`] if another process has the file open or the device fails,
    /// [`IndexError::Log`] if the log cannot be read at the position covered, [`IndexError::Io`].
    pub fn open(
        path: &Path,
        config: IndexConfig,
        reader: LogReader,
    ) -> Result<(Index, IndexReport), IndexError> {
        let (database, last, rebuilt) = match load(path, &config, &reader)? {
            Ok((database, last)) => (database, last, None),
            Err(reason) => {
                if path.exists() {
                    let doing = "deleting the index";
                    std::fs::remove_file(path).map_err(|source| IndexError::Io { doing, source })?;
                }
                let start = start_of(&reader)?;
                (create(path, &config, start)?, start, Some(reason))
            }
        };
        let report = IndexReport { covered: last.0, rebuilt };
        let recent = Recent { added: Waiting::default(), draining: Arc::default(), last };
        let writing = Writing { segments: reader.segments(), failed: false };
        let inner = Arc::new(Inner {
            database,
            reader,
            config,
            recent: RwLock::new(recent),
            writing: Mutex::new(writing),
            signal: Mutex::default(),
            wake: Condvar::new(),
        });
        let drained = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("dsm-index".to_owned())
            .spawn(move || drained.drain_until_stopped())
            .map_err(|source| IndexError::Io { doing: "starting the index thread", source })?;
        Ok((Index { inner, thread: Some(thread) }, report))
    }

    /// Adds what the record at `position`, whose chain digest is `digest`, leads to. A key that is already
    /// there then leads to this record.
    ///
    /// # Errors
    /// [`IndexError::Gap`] and [`IndexError::NotDurable`], nothing added; [`IndexError::Failed`];
    /// [`IndexError::Engine`] if too much waits and cannot be written.
    pub fn add(&self, position: u64, digest: Digest, entry: &IndexEntry) -> Result<(), IndexError> {
        let (durable, _) = self.inner.reader.durable();
        let mut recent = write(&self.inner.recent);
        let expected = recent.last.0 + 1;
        if position != expected {
            return Err(IndexError::Gap { expected, found: position });
        }
        if position > durable {
            return Err(IndexError::NotDurable { position, durable });
        }
        recent.last = (position, digest);
        let added = &mut recent.added;
        added.ids.extend(entry.ids.iter().map(|id| (*id, position)));
        added.links.extend(entry.links.iter().map(|link| (*link, position)));
        added.records += 1;
        let waiting = added.records;
        drop(recent);
        if waiting == self.inner.config.batch_records {
            lock(&self.inner.signal).batch_waits = true;
            self.inner.wake.notify_one();
        }
        if waiting >= self.inner.config.waiting_records_max {
            self.inner.drain(false)?;
        }
        Ok(())
    }

    /// The position that `id` leads to.
    ///
    /// # Errors
    /// [`IndexError::Engine`].
    pub fn position_of(&self, id: &[u8; 32]) -> Result<Option<u64>, IndexError> {
        let recent = read(&self.inner.recent);
        if let Some(position) = recent.added.ids.get(id).or_else(|| recent.draining.ids.get(id)) {
            return Ok(self.inner.kept(*position));
        }
        drop(recent);
        let transaction = self.inner.database.begin_read().map_err(engine)?;
        let table = transaction.open_table(IDS).map_err(engine)?;
        Ok(table.get(id).map_err(engine)?.and_then(|position| self.inner.kept(position.value())))
    }

    /// The position that `chain` at `height` leads to.
    ///
    /// # Errors
    /// [`IndexError::Engine`].
    pub fn position_at(&self, chain: &[u8; 32], height: u64) -> Result<Option<u64>, IndexError> {
        let recent = read(&self.inner.recent);
        let link = (*chain, height);
        if let Some(position) = recent.added.links.get(&link).or_else(|| recent.draining.links.get(&link)) {
            return Ok(self.inner.kept(*position));
        }
        drop(recent);
        let transaction = self.inner.database.begin_read().map_err(engine)?;
        let table = transaction.open_table(LINKS).map_err(engine)?;
        Ok(table.get((chain, height)).map_err(engine)?.and_then(|position| self.inner.kept(position.value())))
    }

    /// The last position added.
    pub fn covered(&self) -> u64 {
        read(&self.inner.recent).last.0
    }

    /// Hands everything added so far to the engine, without making it durable.
    ///
    /// # Errors
    /// [`IndexError::Engine`], [`IndexError::Failed`].
    pub fn flush(&self) -> Result<(), IndexError> {
        self.inner.drain(false)
    }

    /// Makes everything added so far durable. The index does this itself at each new segment of the log.
    ///
    /// # Errors
    /// [`IndexError::Engine`], [`IndexError::Failed`].
    pub fn checkpoint(&self) -> Result<(), IndexError> {
        self.inner.drain(true)
    }

    /// Empties the index, for a log whose records were set aside: until the caller has added the records behind the
    /// position returned, nothing is found.
    ///
    /// # Errors
    /// [`IndexError::Engine`], [`IndexError::Failed`], [`IndexError::Log`].
    pub fn reset(&self) -> Result<u64, IndexError> {
        self.inner.reset()
    }

    /// Stops the thread and makes everything added durable.
    ///
    /// # Errors
    /// [`IndexError::Engine`], [`IndexError::Failed`].
    pub fn close(mut self) -> Result<(), IndexError> {
        self.stop();
        self.inner.drain(true)
    }

    fn stop(&mut self) {
        lock(&self.inner.signal).stop = true;
        self.inner.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in it happened under `writing`, which says so to every later call.
            drop(thread.join());
        }
    }
}

impl Drop for Index {
    /// Stops the thread. What was not checkpointed is added again after the next opening.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    /// `position`, unless its record was pruned.
    fn kept(&self, position: u64) -> Option<u64> {
        (position >= self.reader.first()).then_some(position)
    }

    /// The body of the thread. A failed write is remembered and answered to whoever calls next.
    fn drain_until_stopped(&self) {
        /// Entries wait in memory at most this long when few arrive.
        const IDLE: Duration = Duration::from_secs(2);
        loop {
            let signal = lock(&self.signal);
            let waits = |signal: &mut Signal| !signal.batch_waits && !signal.stop;
            let (mut signal, _) =
                self.wake.wait_timeout_while(signal, IDLE, waits).unwrap_or_else(PoisonError::into_inner);
            if signal.stop {
                return;
            }
            signal.batch_waits = false;
            drop(signal);
            if self.drain(false).is_err() {
                return;
            }
        }
    }

    fn drain(&self, checkpoint: bool) -> Result<(), IndexError> {
        // A panic of the engine in another thread has left the lock poisoned.
        let mut writing = self.writing.lock().map_err(|_| IndexError::Failed)?;
        if writing.failed {
            return Err(IndexError::Failed);
        }
        let segments = self.reader.segments();
        let checkpoint = checkpoint || segments != writing.segments;
        let mut recent = write(&self.recent);
        if recent.added.records == 0 && !checkpoint {
            return Ok(());
        }
        let batch = Arc::new(std::mem::take(&mut recent.added));
        recent.draining = Arc::clone(&batch);
        let last = recent.last;
        drop(recent);
        if let Err(error) = self.write_batch(&batch, last, checkpoint) {
            // The batch stays in memory, so that lookups go on being answered.
            writing.failed = true;
            return Err(error);
        }
        write(&self.recent).draining = Arc::default();
        writing.segments = segments;
        Ok(())
    }

    fn reset(&self) -> Result<u64, IndexError> {
        let mut writing = self.writing.lock().map_err(|_| IndexError::Failed)?;
        if writing.failed {
            return Err(IndexError::Failed);
        }
        let start = start_of(&self.reader)?;
        let mut recent = write(&self.recent);
        *recent = Recent { added: Waiting::default(), draining: Arc::default(), last: start };
        if let Err(error) = self.empty(start) {
            writing.failed = true;
            return Err(error);
        }
        writing.segments = self.reader.segments();
        Ok(start.0)
    }

    fn empty(&self, start: (u64, Digest)) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_write().map_err(engine)?;
        transaction.set_quick_repair(true);
        transaction.delete_table(IDS).map_err(engine)?;
        transaction.delete_table(LINKS).map_err(engine)?;
        create_tables(&transaction, start)?;
        transaction.commit().map_err(engine)
    }

    fn write_batch(&self, batch: &Waiting, last: (u64, Digest), checkpoint: bool) -> Result<(), IndexError> {
        let mut transaction = self.database.begin_write().map_err(engine)?;
        let durability = if checkpoint { Durability::Immediate } else { Durability::None };
        transaction.set_durability(durability).map_err(engine)?;
        transaction.set_quick_repair(checkpoint);
        {
            // In the order of the keys: neighbours share pages.
            let mut table = transaction.open_table(IDS).map_err(engine)?;
            for (id, position) in batch.ids.iter().collect::<BTreeMap<_, _>>() {
                table.insert(id, position).map_err(engine)?;
            }
            let mut table = transaction.open_table(LINKS).map_err(engine)?;
            for ((chain, height), position) in batch.links.iter().collect::<BTreeMap<_, _>>() {
                table.insert((chain, *height), position).map_err(engine)?;
            }
            let mut table = transaction.open_table(COVERED).map_err(engine)?;
            table.insert(0, (last.0, &last.1)).map_err(engine)?;
        }
        transaction.commit().map_err(engine)
    }
}

/// Where an empty index starts: before the first record that the log keeps.
fn start_of(reader: &LogReader) -> Result<(u64, Digest), IndexError> {
    let start = reader.first() - 1;
    Ok((start, reader.digest_at(start)?))
}

fn create(path: &Path, config: &IndexConfig, start: (u64, Digest)) -> Result<Database, IndexError> {
    let database = Database::builder().set_cache_size(config.cache_bytes).create(path).map_err(engine)?;
    let transaction = database.begin_write().map_err(engine)?;
    create_tables(&transaction, start)?;
    transaction.commit().map_err(engine)?;
    Ok(database)
}

fn create_tables(transaction: &WriteTransaction, start: (u64, Digest)) -> Result<(), IndexError> {
    transaction.open_table(IDS).map_err(engine)?;
    transaction.open_table(LINKS).map_err(engine)?;
    let mut table = transaction.open_table(META).map_err(engine)?;
    table.insert("format", FORMAT).map_err(engine)?;
    let mut table = transaction.open_table(COVERED).map_err(engine)?;
    table.insert(0, (start.0, &start.1)).map_err(engine)?;
    Ok(())
}

/// The file at `path` if it can be trusted, or why not.
#[allow(clippy::type_complexity)] // an error to stop at, a reason to start empty, or the index: used once
fn load(
    path: &Path,
    config: &IndexConfig,
    reader: &LogReader,
) -> Result<Result<(Database, (u64, Digest)), Rebuilt>, IndexError> {
    if !path.exists() {
        return Ok(Err(Rebuilt::Missing));
    }
    // redb may panic on a damaged file; a panic here says the same as an error.
    let loaded = std::panic::catch_unwind(AssertUnwindSafe(|| load_sound(path, config)));
    let (database, (covered, digest)) = match loaded {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(Refused::Damaged(reason))) => return Ok(Err(Rebuilt::Damaged(reason))),
        Ok(Err(Refused::Failed(error))) => return Err(error),
        Err(_) => return Ok(Err(Rebuilt::Damaged("the engine panicked on it".to_owned()))),
    };
    let first = reader.first();
    if covered + 1 < first {
        return Ok(Err(Rebuilt::Pruned { covered, first }));
    }
    let (durable, _) = reader.durable();
    if covered <= durable && reader.digest_at(covered)? == digest {
        return Ok(Ok((database, (covered, digest))));
    }
    if let Some(name) = set_aside(reader, covered, &digest)? {
        return Ok(Err(Rebuilt::SetAside { covered, name }));
    }
    if covered > durable {
        return Err(IndexError::AheadOfLog { covered, durable });
    }
    Err(IndexError::OtherLog { covered })
}

/// The file with records set aside in which the log had `digest` at `covered`: what the index covers was cut, not
/// lost.
fn set_aside(reader: &LogReader, covered: u64, digest: &Digest) -> Result<Option<String>, IndexError> {
    for name in reader.asides()? {
        let records = reader.read_aside(&name)?;
        if !(records.aside().keep < covered && covered <= records.aside().last) {
            continue;
        }
        let found = records.flatten().find(|record| record.position == covered);
        if found.is_some_and(|record| record.digest == *digest) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

enum Refused {
    Damaged(String),
    Failed(IndexError),
}

/// Only what says nothing about the file's content is a failure; everything else is a reason to delete it.
fn refused(error: impl Into<redb::Error>) -> Refused {
    match error.into() {
        error @ redb::Error::DatabaseAlreadyOpen => Refused::Failed(engine(error)),
        redb::Error::Io(error)
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            Refused::Failed(engine(StorageError::Io(error)))
        }
        error => Refused::Damaged(error.to_string()),
    }
}

fn load_sound(path: &Path, config: &IndexConfig) -> Result<(Database, (u64, Digest)), Refused> {
    let damaged = |reason: &str| Refused::Damaged(reason.to_owned());
    let mut database = Database::builder().set_cache_size(config.cache_bytes).open(path).map_err(refused)?;
    if config.check_pages && !database.check_integrity().map_err(refused)? {
        return Err(damaged("a page has another checksum"));
    }
    let transaction = database.begin_read().map_err(refused)?;
    let format = transaction.open_table(META).map_err(refused)?;
    let format = format.get("format").map_err(refused)?.map(|format| format.value());
    if format != Some(FORMAT) {
        return Err(damaged("another format"));
    }
    transaction.open_table(IDS).map_err(refused)?;
    transaction.open_table(LINKS).map_err(refused)?;
    let covered = transaction.open_table(COVERED).map_err(refused)?;
    let covered = covered.get(0).map_err(refused)?.map(|covered| {
        let (position, digest) = covered.value();
        (position, *digest)
    });
    let covered = covered.ok_or_else(|| damaged("no position covered"))?;
    drop(transaction);
    Ok((database, covered))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
