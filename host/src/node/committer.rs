//! Durability: one thread appends records to the log, makes many durable with one fsync, and only then answers.
//!
//! After a failed fsync nothing is acknowledged any more and the node has to be opened again. On a full device
//! it keeps what it has in hand, refuses the rest and tries again.

use super::adopt::AdoptReply;
use super::history::{History, index_entry};
use super::identity::Identity;
use super::intake::Arrival;
use super::metrics::count;
use super::sequencer::CheckpointReply;
use super::{Shared, SubmitError};
use crossbeam_channel::Receiver;
use dsm_abi::{AccountId, Digest, StateId, TransitionId, encode};
use dsm_core::{
    Accepted, Applied, Checkpoint, CheckpointSignature, Entry, EquivocationProof, Refusal, SignedCheckpoint,
    SignedTransition, Snapshot,
};
use dsm_sdk::receipt::{AccountHead, Amount, Durability, NewCredit, Receipt, TokenHead};
use dsm_store::{Appended, IndexEntry, Log, LogError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The kind byte of all of this node's records; their content says what they are.
pub(super) const RECORD_KIND: u8 = 1;

/// Between two tries on a full device.
const FULL_RETRY: Duration = Duration::from_millis(200);

/// What the sequencer hands over, in order.
pub(super) enum Item {
    /// Heads moved.
    Accepted { applied: Box<Applied>, version: u64, arrival: Arrival },
    /// A transition that comes after another successor of its parent, or twice.
    Stale { signed: Box<SignedTransition>, refusal: Refusal, arrival: Arrival },
    /// Roots to be signed.
    Checkpoint { checkpoint: Box<Checkpoint>, snapshot: Arc<Snapshot>, reply: Option<CheckpointReply> },
    /// Records of this node's own history, checked, that a storage node still had.
    Adopted { adoptions: Vec<Adoption>, version: u64, reply: AdoptReply },
    /// Nothing moved since the last checkpoint.
    LastCheckpoint { reply: Option<CheckpointReply> },
}

/// A record taken over from a storage node.
pub(super) struct Adoption {
    pub(super) payload: Vec<u8>,
    /// The position before it.
    pub(super) after: u64,
    pub(super) index: IndexEntry,
    pub(super) checkpoint: Option<(Box<SignedCheckpoint>, Arc<Snapshot>)>,
    pub(super) equivocation: Option<(AccountId, StateId)>,
}

impl Item {
    /// Answers that the node has stopped.
    pub(super) fn stopped(self) {
        match self {
            Item::Accepted { arrival, .. } | Item::Stale { arrival, .. } => {
                arrival.answer(Err(SubmitError::Stopped));
            }
            Item::Checkpoint { .. } | Item::LastCheckpoint { .. } | Item::Adopted { .. } => {}
        }
    }
}

/// How far the log is durable, for everyone who waits.
pub(super) struct Progress {
    /// The last durable change of the ledger.
    pub(super) version: watch::Sender<u64>,
    /// The last durable record.
    pub(super) position: watch::Sender<u64>,
    full: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Progress {
    pub(super) fn new(position: u64) -> Progress {
        Progress {
            version: watch::Sender::new(0),
            position: watch::Sender::new(position),
            full: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Whether the device is full.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Why nothing is acknowledged any more.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }
}

/// What waits for the next fsync.
enum Waiting {
    Receipt { receipt: Box<Receipt>, version: u64, arrival: Arrival },
    Checkpoint { signed: Box<SignedCheckpoint>, snapshot: Arc<Snapshot>, reply: Option<CheckpointReply> },
    Conflict { proof: Box<EquivocationProof>, arrival: Arrival },
    Adopted { version: u64 },
}

/// A record that waits for the next fsync, with what it adds to the index.
struct Unsynced {
    appended: Appended,
    entry: IndexEntry,
    waiting: Waiting,
}

/// The committer's own state.
pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    pub(super) identity: Identity,
    pub(super) group_max: usize,
    /// The last checkpoint, durable or on its way.
    pub(super) checkpoint: Option<Checkpoint>,
}

impl Committer {
    /// Handles items until the sequencer is gone.
    pub(super) fn run(mut self, items: &Receiver<Vec<Item>>) {
        while let Ok(mut batch) = items.recv() {
            while batch.len() < self.group_max
                && let Ok(more) = items.try_recv()
            {
                batch.extend(more);
            }
            if let Err(reason) = self.commit(batch) {
                *self.shared.progress.failure.lock() = Some(reason);
                // Waiters on progress must learn of the failure too.
                self.shared.progress.version.send_modify(|_| {});
                items.iter().flatten().for_each(Item::stopped);
                return;
            }
        }
    }

    /// Makes a batch durable and answers it. An error ends the committer; whoever is not answered by then
    /// learns that the node has stopped.
    fn commit(&mut self, batch: Vec<Item>) -> Result<(), String> {
        let mut waiting = Vec::with_capacity(batch.len());
        let mut stale = Vec::new();
        let mut repeated = Vec::new();
        let mut adopters = Vec::new();
        for item in batch {
            match item {
                Item::Accepted { applied, version, arrival } => {
                    waiting.push(self.append_accepted(*applied, version, arrival)?);
                }
                Item::Checkpoint { checkpoint, snapshot, reply } => {
                    waiting.push(self.append_checkpoint(*checkpoint, snapshot, reply)?);
                }
                Item::Stale { signed, refusal, arrival } => stale.push((signed, refusal, arrival)),
                Item::LastCheckpoint { reply } => repeated.extend(reply),
                Item::Adopted { adoptions, version, reply } => {
                    for adoption in adoptions {
                        waiting.push(self.append_adopted(adoption, version)?);
                    }
                    adopters.push(reply);
                }
            }
        }
        self.sync(waiting)?;
        // Whoever asked may have gone away.
        adopters.into_iter().for_each(|reply| drop(reply.send(Ok(()))));
        let mut conflicts = Vec::new();
        for (signed, refusal, arrival) in stale {
            conflicts.extend(self.resolve_stale(*signed, refusal, arrival)?);
        }
        self.sync(conflicts)?;
        if let Some((last, _)) = &*self.shared.last_checkpoint.read() {
            for reply in repeated {
                // Whoever asked may have gone away.
                drop(reply.send(last.clone()));
            }
        }
        Ok(())
    }

    fn append(&self, entry: &Entry) -> Result<Appended, String> {
        let bytes = encode(entry);
        self.shared.metrics.log_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.log.append(RECORD_KIND, &bytes).map_err(|error| error.to_string())
    }

    fn append_accepted(&self, applied: Applied, version: u64, arrival: Arrival) -> Result<Unsynced, String> {
        let transition = applied.transition;
        let record = Accepted::from(applied);
        let mut receipt = Box::new(receipt(transition, &record));
        let entry = index_entry(&receipt, &record);
        let appended = self.append(&Entry::Accepted(Box::new(record)))?;
        (receipt.position, receipt.log_digest) = (appended.position, Digest(appended.digest));
        Ok(Unsynced { appended, entry, waiting: Waiting::Receipt { receipt, version, arrival } })
    }

    fn append_checkpoint(
        &mut self,
        checkpoint: Checkpoint,
        snapshot: Arc<Snapshot>,
        reply: Option<CheckpointReply>,
    ) -> Result<Unsynced, String> {
        let (position, digest) = self.log.head();
        let mut checkpoint = checkpoint.after(self.checkpoint.as_ref(), position, Digest(digest));
        checkpoint.epoch = self.identity.unsigned_epoch(checkpoint.epoch);
        let signature = self.identity.sign_checkpoint(&checkpoint).map_err(|error| error.to_string())?;
        let signatures =
            vec![CheckpointSignature { key: self.shared.genesis.node.clone(), bytes: signature }];
        self.checkpoint = Some(checkpoint.clone());
        let signed = Box::new(SignedCheckpoint { checkpoint, signatures });
        let appended = self.append(&Entry::Checkpoint(signed.clone()))?;
        count(&self.shared.metrics.checkpoints);
        let waiting = Waiting::Checkpoint { signed, snapshot, reply };
        Ok(Unsynced { appended, entry: IndexEntry::default(), waiting })
    }

    /// Appends the bytes that the storage node has, at the place that they have there.
    fn append_adopted(&mut self, adoption: Adoption, version: u64) -> Result<Unsynced, String> {
        let (head, _) = self.log.head();
        if head != adoption.after {
            return Err(format!("a record that follows {} was to be adopted behind {head}", adoption.after));
        }
        let appended = self.log.append(RECORD_KIND, &adoption.payload).map_err(|error| error.to_string())?;
        if let Some((account, state)) = adoption.equivocation {
            self.shared.history.add_equivocation(account, state, appended.position);
        }
        let waiting = match adoption.checkpoint {
            Some((signed, snapshot)) => {
                self.checkpoint = Some(signed.checkpoint.clone());
                Waiting::Checkpoint { signed, snapshot, reply: None }
            }
            None => Waiting::Adopted { version },
        };
        Ok(Unsynced { appended, entry: adoption.index, waiting })
    }

    /// One fsync for everything that waits, then the answers.
    fn sync(&self, unsynced: Vec<Unsynced>) -> Result<(), String> {
        if unsynced.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let position = self.sync_log()?;
        self.shared.metrics.fsync.observe(start.elapsed());
        let mut durable_version = None;
        let mut answers = Vec::with_capacity(unsynced.len());
        for Unsynced { appended, entry, waiting } in unsynced {
            self.shared.history.add(&appended, &entry).map_err(|error| error.to_string())?;
            match waiting {
                Waiting::Receipt { receipt, version, arrival } => {
                    durable_version = Some(version);
                    answers.push((arrival, receipt));
                }
                Waiting::Checkpoint { signed, snapshot, reply } => {
                    *self.shared.last_checkpoint.write() = Some(((*signed).clone(), snapshot));
                    if let Some(reply) = reply {
                        // Whoever asked may have gone away.
                        drop(reply.send(*signed));
                    }
                }
                Waiting::Adopted { version } => durable_version = Some(version),
                Waiting::Conflict { proof, arrival } => {
                    self.shared.metrics.equivocations.fetch_add(1, Ordering::Relaxed);
                    arrival.answer(Err(SubmitError::Conflict(proof)));
                }
            }
        }
        if let Some(version) = durable_version {
            self.shared.progress.version.send_replace(version);
        }
        self.shared.progress.position.send_replace(position);
        for (arrival, receipt) in answers {
            count(&self.shared.metrics.accepted);
            self.shared.metrics.receipt.observe(arrival.since.elapsed());
            arrival.answer(Ok(*receipt));
        }
        Ok(())
    }

    fn sync_log(&self) -> Result<u64, String> {
        loop {
            match self.log.sync() {
                Ok(position) => {
                    self.shared.progress.full.store(false, Ordering::Relaxed);
                    return Ok(position);
                }
                Err(LogError::DiskFull) => {
                    self.shared.progress.full.store(true, Ordering::Relaxed);
                    std::thread::sleep(FULL_RETRY);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// A transition whose parent already has a successor: the same one (its receipt), another one that the
    /// account signed (evidence), or one that it did not sign (merely stale).
    fn resolve_stale(
        &self,
        signed: SignedTransition,
        refusal: Refusal,
        arrival: Arrival,
    ) -> Result<Option<Unsynced>, String> {
        let history: &History = &self.shared.history;
        let id: TransitionId = signed.transition.id();
        let found = history.receipt(&id).map_err(|error| error.to_string())?;
        if let Some(receipt) = found {
            count(&self.shared.metrics.duplicates);
            arrival.answer(Ok(receipt));
            return Ok(None);
        }
        let proof = history.find_equivocation(signed).map_err(|error| error.to_string())?;
        let Some((proof, is_new)) = proof else {
            count(&self.shared.metrics.refused);
            arrival.answer(Err(SubmitError::Refused(refusal)));
            return Ok(None);
        };
        if !is_new {
            arrival.answer(Err(SubmitError::Conflict(proof)));
            return Ok(None);
        }
        let appended = self.append(&Entry::Equivocation(proof.clone()))?;
        history.add_equivocation(proof.account(), proof.state(), appended.position);
        let waiting = Waiting::Conflict { proof, arrival };
        Ok(Some(Unsynced { appended, entry: IndexEntry::default(), waiting }))
    }
}

/// The receipt that belongs to a record, but for its place in the log.
pub(super) fn receipt(transition: TransitionId, record: &Accepted) -> Receipt {
    let heads = record.accounts.iter();
    let tokens = record.tokens.iter();
    Receipt {
        network: record.signed.transition.network,
        transition,
        position: 0,
        log_digest: Digest::default(),
        time_ms: record.time_ms,
        durability: Durability::Local,
        storage_nodes: Vec::new(),
        accounts: heads
            .map(|state| AccountHead { account: state.account, height: state.height, state: state.id() })
            .collect(),
        tokens: tokens
            .map(|state| TokenHead { token: state.token, height: state.height, state: state.id() })
            .collect(),
        credits: record
            .credits
            .iter()
            .map(|credit| NewCredit {
                credit: credit.id,
                token: credit.token,
                to: credit.to,
                amount: Amount(credit.amount),
            })
            .collect(),
        holds: record.holds.iter().map(|hold| hold.id).collect(),
    }
}
