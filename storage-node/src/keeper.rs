//! From shipped records to durable ones: a gate that checks authors, then a keeper that appends many and syncs once.
//!
//! Both work through their jobs in order, each beside the event loop, so that one batch is verified while the one
//! before it is synced. A batch that fails takes everything handed out after it along: the loop starts a new
//! *generation* when it hears of the failure, and jobs of the old one are dropped. So nothing becomes durable that was
//! reported as failed.

use crate::TOPOLOGY_FILE;
use crate::authors::{Arrived, Authors};
use crate::handle::Shared;
use crate::mend::Prepared;
use crate::serve::Event;
use crate::small::{self, Journal};
use crate::vault::{Stamp, Stamps, checkpoint_of};
use dsm_abi::{Digest, encode};
use dsm_core::PublicKey;
use dsm_proto::{AppendFailure, Evidence, Head, Promise, Record};
use dsm_store::{Disk, Log, LogError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Bytes that one sync makes durable at most, unless one batch alone is longer.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// Between two tries to keep a promise on a full device.
const FULL_RETRY: Duration = Duration::from_millis(200);

/// What the keeper tells without being asked.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Whether the device is full.
    pub(crate) full: AtomicBool,
}

/// What the event loop hands over.
pub(crate) enum Job {
    /// Check, append, sync.
    Append { generation: u64, after: Head, records: Vec<Record>, head: Head },
    /// Keep what ends at this head and set the rest aside.
    SetAside { keep: Head },
    /// Begin the empty log behind this head; the checkpoint that names it has been verified.
    Begin { base: Head },
    /// Records before this position may go.
    Retire { from: u64 },
}

/// What the gate hands on, and what needs no gate.
enum Step {
    Append { generation: u64, records: Vec<Record>, head: Head },
    Refused { generation: u64, failure: AppendFailure },
    SetAside { keep: Head },
    Begin { base: Head },
    Retire { from: u64 },
}

/// What the event loop asks of the keeper alone.
pub(crate) enum Note {
    /// Make a promise durable.
    Promise(Box<Promise>),
    /// Store evidence.
    Evidence(Evidence),
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum Done {
    /// Durable through here.
    Appended(Head),
    /// Nothing of this generation follows.
    Failed { generation: u64, failure: AppendFailure },
    /// A promise of this epoch is durable.
    Promised(Box<Promise>),
    /// The log ends here now; `None` if it could not be done.
    SetAside(Option<Head>),
    /// The log begins behind here now; `None` if it could not be done.
    Began(Option<Head>),
    /// Retention wants nothing before this position; to be handed back as [`Job::Retire`].
    Old(u64),
    /// The log keeps records from here on.
    Pruned(u64),
}

/// The first stage: who signed this?
pub(crate) struct Gate {
    authors: Authors,
    broken: u64,
    next: mpsc::UnboundedSender<Step>,
    /// Dropped last: whoever sees that it is gone may open the directory again.
    shared: Arc<Shared>,
}

/// The second stage: append, sync, tell.
pub(crate) struct Keeper {
    keeping: Keeping,
    log: Arc<Log>,
    stamps: Stamps,
    /// A promise for which there was no room.
    promise: Option<Box<Promise>>,
    broken: u64,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// Dropped last, as the gate's.
    shared: Arc<Shared>,
}

/// A batch appended and not synced.
struct Waiting {
    generation: u64,
    head: Head,
    records: usize,
    bytes: usize,
    stamps: Vec<Stamp>,
}

/// What the keeper needs besides a prepared log.
pub(crate) struct Keeping {
    pub(crate) core: PublicKey,
    /// Where the small files lie.
    pub(crate) state: Arc<dyn Disk>,
    pub(crate) journal: Journal,
    /// Dropped when nothing more will be written.
    pub(crate) _alive: mpsc::Sender<()>,
}

/// Both stages, ready to run.
pub(crate) struct Stages {
    gate: Gate,
    keeper: Keeper,
    steps: mpsc::UnboundedReceiver<Step>,
}

impl Stages {
    pub(crate) fn new(shared: Arc<Shared>, prepared: Prepared, keeping: Keeping) -> Stages {
        let (next, steps) = mpsc::unbounded_channel();
        let Prepared { log, authors, stamps } = prepared;
        let gate = Gate { shared: Arc::clone(&shared), authors, broken: 0, next };
        let keeper = Keeper {
            shared,
            keeping,
            log,
            stamps,
            promise: None,
            broken: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
        };
        Stages { gate, keeper, steps }
    }

    /// Runs both stages: on threads of their own, or as tasks where everything has to happen in one thread.
    pub(crate) fn run(
        self,
        jobs: mpsc::UnboundedReceiver<Job>,
        notes: mpsc::UnboundedReceiver<Note>,
        one_thread: bool,
    ) -> std::io::Result<()> {
        let Stages { gate, keeper, steps } = self;
        if one_thread {
            tokio::spawn(gate.run(jobs));
            tokio::spawn(keeper.run(steps, notes));
            return Ok(());
        }
        let runtime = tokio::runtime::Handle::current();
        let second = runtime.clone();
        thread("dsm-authors", move || runtime.block_on(gate.run(jobs)))?;
        thread("dsm-keeper", move || second.block_on(keeper.run(steps, notes)))
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(|_| ())
}

impl Gate {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.recv().await {
            let step = match job {
                Job::Append { generation, .. } if generation <= self.broken => continue,
                Job::Append { generation, after, records, head } => {
                    self.check(generation, &after, records, head)
                }
                Job::SetAside { keep } => Step::SetAside { keep },
                Job::Begin { base } => {
                    self.authors.begin(base.position);
                    Step::Begin { base }
                }
                Job::Retire { from } => match self.retire(from) {
                    true => Step::Retire { from },
                    false => continue,
                },
            };
            if self.next.send(step).is_err() {
                return;
            }
        }
    }

    /// Whether everything that is needed of the records before `from` has been put elsewhere.
    fn retire(&mut self, from: u64) -> bool {
        let Some(reader) = self.shared.vault.reader() else { return false };
        match self.authors.retire(from, &reader) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                tracing::warn!(%error, "retention waits: there is no room for the keys of old accounts");
                false
            }
            Err(error) => {
                self.shared.fail(error.to_string());
                false
            }
        }
    }

    fn check(&mut self, generation: u64, after: &Head, records: Vec<Record>, head: Head) -> Step {
        let start = Instant::now();
        let Some(reader) = self.shared.vault.reader() else {
            self.broken = generation;
            return Step::Refused { generation, failure: AppendFailure::Poisoned };
        };
        let mut ends = *after;
        let mut arrived = Vec::with_capacity(records.len());
        for record in &records {
            arrived.push(Arrived {
                position: ends.position + 1,
                prev: ends.digest.0,
                payload: &record.payload,
            });
            // The follower has counted these positions before.
            ends = ends.after(record).unwrap_or(ends);
        }
        // Nothing is shipped before a topology was promised, so the network is known.
        if let Some(promise) = &*self.shared.promise.read() {
            self.authors.trust(promise.topology.topology.network());
        }
        let outcome = self.authors.check(after.position, &arrived, &reader);
        self.authors.settle(reader.durable().0);
        let metrics = &self.shared.metrics;
        metrics.verify.observe(start.elapsed());
        match outcome {
            Ok(checked) => {
                metrics.signatures.add(checked.signatures);
                metrics.unchecked.add(checked.unchecked);
                if self.shared.vault.publish(&checked.published) {
                    self.shared.wanted.notify_one();
                }
                Step::Append { generation, records, head }
            }
            Err((position, error)) => {
                tracing::warn!(position, code = error.code(), %error, "a shipped record is refused");
                metrics.bad_authors.one();
                self.broken = generation;
                Step::Refused { generation, failure: AppendFailure::BadRecord { position } }
            }
        }
    }
}

impl Keeper {
    async fn run(
        mut self,
        mut steps: mpsc::UnboundedReceiver<Step>,
        mut notes: mpsc::UnboundedReceiver<Note>,
    ) {
        let mut upkeep = self.shared.upkeep.subscribe();
        loop {
            let outcome = tokio::select! {
                biased;
                note = notes.recv() => match note {
                    Some(note) => self.note(note),
                    None => return,
                },
                step = steps.recv() => match step {
                    Some(step) => self.gather(step, &mut steps),
                    None => return,
                },
                Ok(()) = upkeep.changed() => {
                    self.retire();
                    Ok(())
                }
                () = tokio::time::sleep(FULL_RETRY), if self.promise.is_some() => {
                    self.keep_promise().map_err(|error| error.to_string())
                }
            };
            if let Err(reason) = outcome {
                tracing::error!(%reason, "what is durable is unknown: nothing is acknowledged any more");
                self.shared.fail(reason);
                return;
            }
        }
    }

    fn tell(&self, done: Done) {
        // Nobody listens any more only if the node ends.
        drop(self.shared.events.send(Event::Done(done)));
    }

    /// Appends what waits already, syncs it once, and tells.
    fn gather(&mut self, first: Step, steps: &mut mpsc::UnboundedReceiver<Step>) -> Result<(), String> {
        let mut step = Some(first);
        while let Some(now) = step {
            match now {
                Step::Append { generation, .. } if generation <= self.broken => {}
                Step::Append { generation, records, head } => {
                    self.append(generation, &records, head)?;
                    if self.waiting_bytes >= GROUP_BYTES_MAX {
                        break;
                    }
                }
                Step::Refused { generation, .. } if generation <= self.broken => {}
                Step::Refused { generation, failure } => {
                    self.sync()?;
                    // The sync itself may have failed, and said so.
                    if generation > self.broken {
                        self.give_up(generation, failure);
                    }
                }
                Step::SetAside { keep } => {
                    self.sync()?;
                    let kept = self.set_aside(keep)?;
                    self.tell(Done::SetAside(kept));
                }
                Step::Begin { base } => {
                    self.sync()?;
                    let began = self.begin(base)?;
                    self.tell(Done::Began(began));
                }
                Step::Retire { from } => {
                    self.sync()?;
                    self.prune(from)?;
                }
            }
            step = steps.try_recv().ok();
        }
        self.sync()
    }

    fn give_up(&mut self, generation: u64, failure: AppendFailure) {
        self.broken = generation;
        self.tell(Done::Failed { generation, failure });
    }

    fn append(&mut self, generation: u64, records: &[Record], head: Head) -> Result<(), String> {
        let mut bytes = 0;
        let mut stamps = Vec::new();
        let mut last = None;
        for record in records {
            last = Some(self.log.append(record.kind, &record.payload).map_err(|error| error.to_string())?);
            bytes += record.payload.len();
            stamps.extend(checkpoint_of(&record.payload));
        }
        let reached = last.map(|end| Head { position: end.position, digest: Digest(end.digest) });
        if reached != Some(head) {
            // Whoever counted positions and digests before was wrong, and nothing of this may become durable.
            return Err("records do not follow the log that they were checked against".to_owned());
        }
        self.waiting_bytes += bytes;
        self.waiting.push(Waiting { generation, head, records: records.len(), bytes, stamps });
        Ok(())
    }

    /// One sync for everything appended.
    fn sync(&mut self) -> Result<(), String> {
        let Some(last) = self.waiting.last() else { return Ok(()) };
        let (generation, head) = (last.generation, last.head);
        let start = Instant::now();
        let outcome = self.log.sync();
        self.shared.metrics.fsync.observe(start.elapsed());
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        match outcome {
            Ok(_) => {
                self.shared.keeper.full.store(false, Ordering::Relaxed);
                for done in &waiting {
                    self.shared.metrics.records.add(done.records as u64);
                    self.shared.metrics.record_bytes.add(done.bytes as u64);
                    done.stamps.iter().for_each(|stamp| self.stamps.add(*stamp));
                }
                self.tell(Done::Appended(head));
                if waiting.iter().any(|done| !done.stamps.is_empty()) {
                    self.retire();
                }
                Ok(())
            }
            Err(LogError::DiskFull) => {
                self.log.discard().map_err(|error| error.to_string())?;
                self.shared.keeper.full.store(true, Ordering::Relaxed);
                self.give_up(generation, AppendFailure::Full);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn set_aside(&mut self, keep: Head) -> Result<Option<Head>, String> {
        let reader = self.log.reader();
        if reader.digest_at(keep.position).ok() != Some(keep.digest.0) {
            tracing::warn!(position = keep.position, "the tail is not set aside: the log differs before it");
            return Ok(None);
        }
        match self.log.set_aside(keep.position) {
            Ok(aside) => {
                if let Some(aside) = aside {
                    self.shared.metrics.set_aside.one();
                    tracing::warn!(aside = %aside.name, keep = aside.keep, last = aside.last, "set a tail aside");
                }
                self.stamps.keep(self.log.reader().first(), keep.position);
                Ok(Some(keep))
            }
            Err(LogError::DiskFull) => {
                self.shared.keeper.full.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(error @ (LogError::Damaged { .. } | LogError::NotDurable { .. })) => {
                tracing::warn!(%error, "the tail is not set aside");
                Ok(None)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn begin(&mut self, base: Head) -> Result<Option<Head>, String> {
        let disk = Arc::clone(&self.shared.vault.disk);
        match Log::begin(disk, self.shared.log_config.clone(), base.position, base.digest.0) {
            Ok((log, _)) => {
                self.log = self.shared.vault.set_log(log);
                tracing::info!(position = base.position, "the log begins behind a checkpoint");
                Ok(Some(base))
            }
            Err(error @ (LogError::DiskFull | LogError::NotEmpty { .. })) => {
                tracing::warn!(%error, "the log does not begin behind the checkpoint");
                Ok(None)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn note(&mut self, note: Note) -> Result<(), String> {
        let failed = |error: std::io::Error| error.to_string();
        match note {
            Note::Promise(promise) => {
                self.promise = Some(promise);
                self.keep_promise().map_err(failed)?;
            }
            Note::Evidence(evidence) => {
                let content = encode(&evidence);
                if self.shared.evidence.read().contains(&content) {
                    return Ok(());
                }
                // A full device loses no evidence that was stored before; this piece is still in the log of events.
                let Keeping { journal, state, .. } = &mut self.keeping;
                match journal.append(state.as_ref(), &content) {
                    Ok(true) => self.shared.evidence.write().push(content),
                    Ok(false) => tracing::warn!("a piece of evidence is not stored: there are enough"),
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                        tracing::warn!(%error, "a piece of evidence is not stored");
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
        }
        Ok(())
    }

    /// Makes the promise durable that waits for it. On a full device it goes on waiting: nothing is answered until then.
    fn keep_promise(&mut self) -> std::io::Result<()> {
        let Some(promise) = self.promise.take() else { return Ok(()) };
        let content = encode(&(&*promise, &self.keeping.core));
        match small::replace(self.keeping.state.as_ref(), TOPOLOGY_FILE, &content) {
            Ok(()) => self.tell(Done::Promised(promise)),
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                self.shared.keeper.full.store(true, Ordering::Relaxed);
                self.promise = Some(promise);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Says what retention lets go: when a checkpoint has come, and when retention has changed.
    fn retire(&self) {
        let crate::Retention::Days(days) = self.shared.upkeep.borrow().retention else { return };
        let first = self.log.reader().first();
        if let Some(from) = self.stamps.keep_from(days).filter(|from| *from > first) {
            self.tell(Done::Old(from));
        }
    }

    fn prune(&mut self, from: u64) -> Result<(), String> {
        let pruned = self.log.prune(from).map_err(|error| error.to_string())?;
        if pruned.segments > 0 {
            self.shared.metrics.pruned.add(pruned.segments as u64);
            self.stamps.keep(pruned.first, u64::MAX);
            tracing::info!(segments = pruned.segments, first = pruned.first, "retention removed segments");
            self.tell(Done::Pruned(pruned.first));
        }
        Ok(())
    }
}
