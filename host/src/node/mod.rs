//! The core node: orders transitions, judges them, applies them, makes them durable, and answers what it knows.
//!
//! The way of a transition: `intake` (decode and verify, in parallel) → `sequencer` (one thread: time, link,
//! policies, rules, new heads) → `committer` (one thread: log, one fsync for many, receipts). Nothing is answered
//! before it is durable: receipts leave the committer after the fsync, and reads wait for the state they saw.
//!
//! Left out on purpose: HTTP, JSON, command lines, WASM (that is `engine`).

mod admission;
mod adopt;
pub mod backup;
mod clock;
mod committer;
mod config;
mod error;
mod evidence;
mod history;
mod identity;
mod intake;
mod metrics;
pub(crate) mod offline;
mod open;
mod prove;
mod read;
pub mod replay;
mod replicas;
mod sequencer;
mod shelf;

pub use admission::Place;
pub use clock::{Clock, SystemClock};
pub use config::NodeConfig;
pub use error::{NodeError, OpenError, StageError, SubmitError, ViewError};
pub use evidence::EvidenceCutError;
pub use identity::public_key;
pub use metrics::{BUCKETS_US, Histogram, Metrics, Operations, VERDICTS, Verdicts};
pub use read::Status;
pub use replicas::{Replicas, Standing};

pub(crate) use adopt::Adopted;
pub(crate) use replicas::Holdings;
pub use shelf::Shelf;

use crate::engine::Engine;
use dsm_abi::NetworkId;
use dsm_core::{Ledger, NetworkGenesis, SignedCheckpoint, Snapshot};
use dsm_sdk::receipt::{Durability, Receipt};
use dsm_store::LogReader;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A running core node. Clones share it; it stops when [`Node::close`] is called or the last clone is dropped.
#[derive(Clone)]
pub struct Node(Arc<Running>);

struct Running {
    shared: Arc<Shared>,
    intake: intake::Intake,
    admission: admission::Admission,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the node's threads and its readers share.
struct Shared {
    genesis: NetworkGenesis,
    /// The genesis's digest: everyone who signs names it, so it is not hashed each time.
    network: NetworkId,
    ledger: RwLock<Ledger>,
    /// How many changes of the ledger the sequencer has made; written under the ledger's write lock.
    version: std::sync::atomic::AtomicU64,
    progress: committer::Progress,
    last_checkpoint: RwLock<Option<(SignedCheckpoint, Arc<Snapshot>)>>,
    /// The last checkpoint in the log when the node was opened: the outbox can be proven under it.
    earlier_checkpoint: Option<SignedCheckpoint>,
    history: history::History,
    shelf: Arc<Shelf>,
    metrics: Metrics,
    replicas: Replicas,
    replication: Mutex<Option<crate::replicate::Replication>>,
    /// The level that a submission waits for if it asks for none, and how long it waits.
    durability: RwLock<(Durability, std::time::Duration)>,
    started: std::time::Instant,
}

impl Running {
    fn turned_away(&self, submissions: usize) {
        let metrics = &self.shared.metrics;
        for counter in [&metrics.submitted, &metrics.overloaded] {
            counter.fetch_add(submissions as u64, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// What happens with the answer to a submission.
type Respond = Box<dyn FnOnce(Result<Receipt, SubmitError>) + Send>;

impl Node {
    /// Submits canonical bytes of a signed transition and waits until it is durable, as far as this node's
    /// configuration says, or refused. A transition that was accepted before gets its original receipt.
    ///
    /// # Errors
    /// As [`Node::submit_at`].
    pub async fn submit(&self, bytes: Vec<u8>) -> Result<Receipt, SubmitError> {
        self.submit_at(bytes, None).await
    }

    /// Submits and waits for a level of durability; without one, for the level of this node's configuration.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was changed, except that with [`SubmitError::NotReplicated`] the transition stands
    /// and asking again tells the level reached by then.
    pub async fn submit_at(&self, bytes: Vec<u8>, level: Option<Durability>) -> Result<Receipt, SubmitError> {
        self.submit_from(None, bytes, level).await
    }

    /// Whether there would be a place in line for a submission, before anything of it is read.
    ///
    /// # Errors
    /// How long it would wait, which is too long.
    pub fn check_line(&self) -> Result<(), std::time::Duration> {
        self.0.admission.check().inspect_err(|_| self.0.turned_away(1))
    }

    /// A place in line for so many submissions, before they are verified. Holding it is voluntary: whoever shares the
    /// process bounds what is on its way by itself.
    ///
    /// # Errors
    /// How long they would wait, which is too long.
    pub fn line_up(&self, submissions: usize) -> Result<Place, std::time::Duration> {
        self.0.admission.enter(submissions).inspect_err(|_| self.0.turned_away(submissions))
    }

    /// As [`Node::submit_at`], from a place in line that others get as soon as the transition is durable here.
    ///
    /// # Errors
    /// As [`Node::submit_at`].
    pub async fn submit_from(
        &self,
        place: Option<Place>,
        bytes: Vec<u8>,
        level: Option<Durability>,
    ) -> Result<Receipt, SubmitError> {
        let level = level.unwrap_or_else(|| self.default_durability());
        self.0.shared.replicas.check(level)?;
        let receipt = self.submit_local(bytes).await?;
        drop(place);
        self.reach(receipt, Some(level)).await
    }

    /// Waits until a transition that this node has made durable has reached a level, as [`Node::submit_at`] does.
    ///
    /// # Errors
    /// [`SubmitError::NotReplicated`].
    pub async fn reach(&self, receipt: Receipt, level: Option<Durability>) -> Result<Receipt, SubmitError> {
        let shared = &self.0.shared;
        let (default, wait) = *shared.durability.read();
        shared.replicas.reach(receipt, level.unwrap_or(default), wait).await
    }

    /// Refuses a level that this node cannot reach with the storage nodes that it has.
    ///
    /// # Errors
    /// [`SubmitError::TooFewStorageNodes`].
    pub fn check_level(&self, level: Option<Durability>) -> Result<(), SubmitError> {
        self.0.shared.replicas.check(level.unwrap_or_else(|| self.default_durability()))
    }

    /// The level that a submission waits for if it asks for none.
    pub fn default_durability(&self) -> Durability {
        self.0.shared.durability.read().0
    }

    /// Changes the level that a submission waits for if it asks for none, and how long any of them waits.
    pub fn set_durability(&self, level: Durability, wait: std::time::Duration) {
        *self.0.shared.durability.write() = (level, wait);
    }

    /// Replication to storage nodes, if it was started.
    pub fn replication(&self) -> Option<crate::replicate::Replication> {
        self.0.shared.replication.lock().clone()
    }

    /// The replication of this node, or that there is none any more.
    pub(crate) fn attach(&self, replication: Option<crate::replicate::Replication>) {
        *self.0.shared.replication.lock() = replication;
    }

    /// Reads the durable log.
    pub(crate) fn log(&self) -> LogReader {
        self.0.shared.history.reader()
    }

    /// What the node knows of its storage nodes.
    pub fn replicas(&self) -> &Replicas {
        &self.0.shared.replicas
    }

    async fn submit_local(&self, bytes: Vec<u8>) -> Result<Receipt, SubmitError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.submit_with(bytes, move |answer| {
            // The client may have gone away; its transition stands all the same.
            drop(sender.send(answer));
        });
        receiver.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Submits and hands the answer to `respond`, from a thread of the node, as soon as it is durable here.
    pub fn submit_with(
        &self,
        bytes: Vec<u8>,
        respond: impl FnOnce(Result<Receipt, SubmitError>) + Send + 'static,
    ) {
        self.0.intake.submit(&self.0.shared, bytes, Box::new(respond));
    }

    /// The engine that runs policies.
    pub fn engine(&self) -> &Engine {
        self.0.shared.shelf.engine()
    }

    /// The policies that this node holds.
    pub fn shelf(&self) -> &Shelf {
        &self.0.shared.shelf
    }

    /// The policies, for a task of its own.
    pub(crate) fn shelf_handle(&self) -> Arc<Shelf> {
        Arc::clone(&self.0.shared.shelf)
    }

    /// What the node counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.shared.metrics
    }

    /// Takes no more submissions, finishes those on their way, writes the index and waits for the threads.
    ///
    /// # Errors
    /// [`NodeError`] if the log failed.
    pub fn close(self) -> Result<(), NodeError> {
        self.0.stop();
        self.0.shared.history.close()?;
        match self.0.shared.progress.failure() {
            Some(reason) => Err(NodeError::Stopped(reason)),
            None => Ok(()),
        }
    }
}

impl Running {
    fn stop(&self) {
        self.intake.close();
        for thread in self.threads.lock().drain(..) {
            thread.join().expect("the node's threads do not panic");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.intake.close();
    }
}
