//! The core node: orders transitions, judges them, applies them, makes them durable, and answers what it knows.
//!
//! The way of a transition: `intake` (decode and verify, in parallel) → `sequencer` (one thread: time, link,
//! policies, rules, new heads) → `committer` (one thread: log, one fsync for many, receipts). Nothing is answered
//! before it is durable: receipts leave the committer after the fsync, and reads wait for the state they saw.
//!
//! Left out on purpose: HTTP, JSON, command lines, WASM (that is `engine`).

mod clock;
mod committer;
mod config;
mod error;
mod history;
mod identity;
mod intake;
mod metrics;
mod open;
mod prove;
mod read;
pub mod replay;
mod sequencer;
mod shelf;

pub use clock::{Clock, SystemClock};
pub use config::NodeConfig;
pub use error::{NodeError, OpenError, StageError, SubmitError, ViewError};
pub use metrics::{BUCKETS_US, Histogram, Metrics};
pub use read::Status;
pub use shelf::Shelf;

use crate::engine::Engine;
use dsm_core::{Ledger, NetworkGenesis, SignedCheckpoint, Snapshot};
use dsm_sdk::receipt::Receipt;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A running core node. Clones share it; it stops when [`Node::close`] is called or the last clone is dropped.
#[derive(Clone)]
pub struct Node(Arc<Running>);

struct Running {
    shared: Arc<Shared>,
    intake: intake::Intake,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the node's threads and its readers share.
struct Shared {
    genesis: NetworkGenesis,
    ledger: RwLock<Ledger>,
    /// How many changes of the ledger the sequencer has made; written under the ledger's write lock.
    version: std::sync::atomic::AtomicU64,
    progress: committer::Progress,
    last_checkpoint: RwLock<Option<(SignedCheckpoint, Arc<Snapshot>)>>,
    history: history::History,
    shelf: Arc<Shelf>,
    metrics: Metrics,
    started: std::time::Instant,
}

/// What happens with the answer to a submission.
type Respond = Box<dyn FnOnce(Result<Receipt, SubmitError>) + Send>;

impl Node {
    /// Submits canonical bytes of a signed transition and waits until it is durable or refused. A transition
    /// that was accepted before gets its original receipt.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was changed.
    pub async fn submit(&self, bytes: Vec<u8>) -> Result<Receipt, SubmitError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.submit_with(bytes, move |answer| {
            // The client may have gone away; its transition stands all the same.
            drop(sender.send(answer));
        });
        receiver.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Submits and hands the answer to `respond`, from a thread of the node.
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
