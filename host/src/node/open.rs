//! Opening a node: lock the directory, read the log from its beginning, and start the threads.

use super::admission::Admission;
use super::committer::{Committer, Progress, RECORD_KIND, receipt};
use super::history::{History, decode_entry, index_entry};
use super::identity::Identity;
use super::intake::{Intake, verify_arrivals};
use super::sequencer::Sequencer;
use super::shelf::{PolicyCrypto, Shelf};
use super::{Metrics, Node, NodeConfig, NodeError, OpenError, Running, Shared};
use crate::engine::Engine;
use crossbeam_channel::bounded;
use dsm_abi::encode;
use dsm_core::{Accepted, Checkpoint, Entry, Ledger, NetworkGenesis, SignedCheckpoint};
use dsm_crypto::{Verifier, fill_random};
use dsm_sdk::package::PACKAGE_BYTES_MAX;
use dsm_store::{
    Appended, Blobs, Disk, Index, IndexConfig, IndexEntry, IndexError, Log, LogConfig, RealDisk, Record,
};
use parking_lot::{Mutex, RwLock};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Batches of items on their way to the committer: a few groups, so that the sequencer works while the disk syncs.
const COMMITTER_QUEUE: usize = 1024;

/// Records that the index gathers before it writes: keys are spread at random, so one pass for many touches each page
/// of the file once. A few MB of memory.
const INDEX_BATCH: usize = 1 << 15;

impl From<NodeError> for OpenError {
    fn from(error: NodeError) -> OpenError {
        match error {
            NodeError::Log(error) => OpenError::Log(error),
            NodeError::Record(position) => OpenError::Record(position),
            other => OpenError::Index(other.to_string()),
        }
    }
}

impl From<IndexError> for OpenError {
    fn from(error: IndexError) -> OpenError {
        OpenError::Index(error.to_string())
    }
}

/// The directory, locked against other processes for as long as this lives.
pub(crate) struct DataLock {
    file: File,
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Not left to the closing of the file: a child process that is being started has it open, too, until it runs its own
        // program, and the lock would last for as long. If this fails, closing is what is left.
        drop(self.file.unlock());
    }
}

/// Makes the directory if need be and locks it.
pub(super) fn lock_directory(data: &Path) -> Result<DataLock, OpenError> {
    let failed = |source| OpenError::Directory { path: data.to_path_buf(), source };
    std::fs::create_dir_all(data).map_err(failed)?;
    let file =
        File::options().create(true).truncate(false).write(true).open(data.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock { file }),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(data.to_path_buf())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A disk that is one folder of the data directory.
pub(super) fn folder(data: &Path, name: &str) -> Result<Arc<dyn Disk>, OpenError> {
    let path = data.join(name);
    std::fs::create_dir_all(&path)
        .and_then(|()| RealDisk::open(&path))
        .map(|disk| Arc::new(disk) as Arc<dyn Disk>)
        .map_err(|source| OpenError::Directory { path, source })
}

/// What the log says when it is read from its beginning.
struct Past {
    genesis: NetworkGenesis,
    ledger: Ledger,
    checkpoint: Option<SignedCheckpoint>,
    since_checkpoint: u64,
}

impl Node {
    /// Opens the node in its data directory, creating network and key on the first start. Every record is hashed
    /// and applied again; signatures and policies of the past are believed ([`super::replay::verify`] does not).
    ///
    /// # Errors
    /// [`OpenError`], with the reason.
    pub fn open(config: NodeConfig) -> Result<Node, OpenError> {
        let lock = lock_directory(&config.data)?;
        let identity = Identity::open_or_create(&config.data)?;
        let mut salt = [0; 4];
        fill_random(&mut salt).map_err(|error| OpenError::Key(error.to_string()))?;
        let disk = folder(&config.data, "log")?;
        let (log, report) = Log::open(disk, LogConfig::new(u32::from_le_bytes(salt)))?;
        if let Some(cut) = report.cut {
            tracing::warn!(
                segment = cut.segment,
                bytes = cut.bytes,
                "cut a torn tail that was never acknowledged"
            );
        }
        if log.head().0 == 0 {
            begin_network(&log, &identity, &config)?;
        }
        let index_path = config.data.join("index.redb");
        let (index, report) = Index::open(
            &index_path,
            IndexConfig { batch_records: INDEX_BATCH, ..IndexConfig::default() },
            log.reader(),
        )?;
        if let Some(reason) = report.rebuilt.filter(|_| log.head().0 > 1) {
            tracing::info!(?reason, "building the index anew from the log");
        }
        let history = History::new(log.reader(), index);
        let past = read_past(&log, &history, report.covered)?;
        if past.genesis.node != identity.public_key() {
            return Err(OpenError::OtherKey);
        }
        let verifier = verifier(&config);
        let engine = Engine::new(&config.engine, Arc::new(PolicyCrypto))?;
        let blobs = Blobs::open(folder(&config.data, "policies")?, PACKAGE_BYTES_MAX)?;
        let shelf = Shelf::open(engine, blobs, &config, verifier)?;
        past.ledger.policies().for_each(|record| shelf.published(&record.policy));
        start(config, lock, identity, log, history, past, shelf)
    }
}

pub(super) fn verifier(config: &NodeConfig) -> Verifier {
    if config.accept_dilithium3 { Verifier::accepting_legacy() } else { Verifier::new() }
}

fn begin_network(log: &Log, identity: &Identity, config: &NodeConfig) -> Result<(), OpenError> {
    let mut salt = [0; 32];
    fill_random(&mut salt).map_err(|error| OpenError::Key(error.to_string()))?;
    let genesis = NetworkGenesis {
        name: config.network_name.clone(),
        created_ms: config.clock.now_ms(),
        node: identity.public_key(),
        salt,
    };
    log.append(RECORD_KIND, &encode(&Entry::Genesis(genesis)))?;
    log.sync()?;
    Ok(())
}

/// Applies all records and gives the index those that it does not cover.
fn read_past(log: &Log, history: &History, covered: u64) -> Result<Past, OpenError> {
    let mut past: Option<Past> = None;
    for record in log.iter(1)? {
        let record = record?;
        let position = record.position;
        let entry = decode_entry(position, &record.payload)?;
        let found = match (entry, past.as_mut()) {
            (Entry::Genesis(genesis), None) => {
                let ledger = Ledger::new(&genesis);
                past = Some(Past { genesis, ledger, checkpoint: None, since_checkpoint: 0 });
                IndexEntry::default()
            }
            (Entry::Accepted(accepted), Some(past)) => apply(past, position, *accepted)?,
            (Entry::Checkpoint(signed), Some(past)) => {
                past.checkpoint = Some(*signed);
                past.since_checkpoint = 0;
                IndexEntry::default()
            }
            (Entry::Equivocation(proof), Some(_)) => {
                history.add_equivocation(proof.account(), proof.state(), position);
                IndexEntry::default()
            }
            (Entry::Genesis(_), Some(_)) | (_, None) => return Err(OpenError::Layout(position)),
        };
        if position > covered {
            history.add(&appended(&record), &found)?;
        }
    }
    past.ok_or(OpenError::Layout(1))
}

fn apply(past: &mut Past, position: u64, accepted: Accepted) -> Result<IndexEntry, OpenError> {
    let entry = index_entry(&receipt(accepted.signed.transition.id(), &accepted), &accepted);
    past.ledger.replay(accepted).map_err(|source| OpenError::Replay { position, source })?;
    past.since_checkpoint += 1;
    Ok(entry)
}

fn appended(record: &Record) -> Appended {
    Appended { position: record.position, digest: record.digest }
}

fn start(
    config: NodeConfig,
    lock: DataLock,
    identity: Identity,
    log: Log,
    history: History,
    past: Past,
    shelf: Shelf,
) -> Result<Node, OpenError> {
    let checkpoint: Option<Checkpoint> = past.checkpoint.as_ref().map(|signed| signed.checkpoint.clone());
    let shared = Arc::new(Shared {
        network: past.genesis.network(),
        genesis: past.genesis,
        ledger: RwLock::new(past.ledger),
        version: Default::default(),
        progress: Progress::new(log.head().0),
        // The tries of an old checkpoint are gone; the next checkpoint brings new ones.
        last_checkpoint: RwLock::new(None),
        earlier_checkpoint: past.checkpoint,
        history,
        shelf: Arc::new(shelf),
        metrics: Metrics::default(),
        replicas: Default::default(),
        replication: Default::default(),
        durability: RwLock::new((config.durability, config.durability_wait)),
        started: std::time::Instant::now(),
    });
    let (to_sequencer, events) = bounded(config.queue_max);
    let (to_committer, items) = bounded(COMMITTER_QUEUE);
    let (intake, arrivals) = Intake::new(config.queue_max, config.queue_bytes_max, to_sequencer.clone());
    let mut threads = Vec::new();
    let verifier = verifier(&config);
    for number in 0..config.verifiers.max(1) {
        let (shared, arrivals, to_sequencer) = (Arc::clone(&shared), arrivals.clone(), to_sequencer.clone());
        threads.push(spawn(format!("dsm-verify-{number}"), move || {
            step_back();
            verify_arrivals(&shared, &verifier, &arrivals, &to_sequencer);
        })?);
    }
    drop(to_sequencer);
    let sequencer = Sequencer {
        shared: Arc::clone(&shared),
        clock: Arc::clone(&config.clock),
        committer: to_committer,
        outgoing: Vec::new(),
        since_checkpoint: past.since_checkpoint,
        checkpoint_transitions: config.checkpoint_transitions,
    };
    threads.push(spawn("dsm-sequence".into(), move || sequencer.run(&events))?);
    let committer =
        Committer { shared: Arc::clone(&shared), log, identity, group_max: config.group_max, checkpoint };
    threads.push(spawn("dsm-commit".into(), move || {
        // The directory stays locked until the last record is written.
        let _lock = lock;
        committer.run(&items);
    })?);
    let admission = Admission::new();
    Ok(Node(Arc::new(Running { shared, intake, admission, threads: Mutex::new(threads) })))
}

/// By how much the verifying threads are nicer than the others.
#[cfg(target_os = "linux")]
const VERIFY_NICENESS: i32 = 10;

/// Verification is most of what a busy node does, and comes in long stretches: where processors are scarce it leaves
/// them first to the threads that sequence, commit and answer, whose work is short. On Linux niceness is a thread's own.
#[cfg(target_os = "linux")]
fn step_back() {
    if let Err(error) = rustix::process::nice(VERIFY_NICENESS) {
        tracing::debug!(%error, "verifying threads are as important as others");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

/// Threads that run policies need more native stack than the depth meter lets a guest use.
const STACK_BYTES: usize = 8 << 20;

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(body).map_err(OpenError::Thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that was let go of was still in use while another thread of the process started a child: until such a
    /// child runs its own program, it has every file of its parent's open.
    #[test]
    fn a_directory_is_free_when_its_lock_is_dropped_whoever_has_the_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let lock = lock_directory(folder.path()).unwrap_or_else(|error| panic!("{error}"));
        let _child = lock.file.try_clone().unwrap();
        assert!(matches!(lock_directory(folder.path()), Err(OpenError::InUse(_))));
        drop(lock);
        assert!(lock_directory(folder.path()).is_ok());
    }
}
