//! What the node answers without changing anything. Nobody is shown what is not durable: a value read from the
//! ledger comes with the version it reflects, and [`Node::durable`] waits until that version is on disk.

use super::{Node, NodeError, StageError, SubmitError, ViewError};
use crate::engine::{State, ViewOutcome};
use dsm_abi::{AccountId, Answer, Digest, Field, NetworkId, PolicyId, TokenId, TransitionId, Value};
use dsm_core::{Accepted, Entry, EquivocationProof, Ledger, NetworkGenesis, SignedCheckpoint};
use dsm_sdk::receipt::Receipt;
use serde::Serialize;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// How the node is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The network.
    pub network: NetworkId,
    /// Its name.
    pub network_name: String,
    /// The version of this program.
    pub version: &'static str,
    /// The profile of the policy engine: nodes with another one may not share verdicts.
    pub engine_profile: Digest,
    /// The last durable record.
    pub position: u64,
    /// The time of the last transition, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The epoch of the last checkpoint since the node started.
    pub checkpoint_epoch: Option<u64>,
    /// Accounts.
    pub accounts: usize,
    /// Tokens.
    pub tokens: usize,
    /// Published policies.
    pub policies: usize,
    /// Submissions that wait for verification.
    pub waiting: usize,
    /// Transitions accepted since the node started.
    pub accepted: u64,
    /// Compiled policies in the cache.
    pub cached_modules: usize,
    /// Seconds since the node started.
    pub uptime_s: u64,
    /// Whether the device is full.
    pub storage_full: bool,
    /// Why the node acknowledges nothing any more.
    pub stopped: Option<String>,
}

impl Node {
    /// The network.
    pub fn network(&self) -> NetworkId {
        self.0.shared.network
    }

    /// How the network began.
    pub fn genesis(&self) -> &NetworkGenesis {
        &self.0.shared.genesis
    }

    /// Reads the ledger. The number is the version that was read; show nothing of it before
    /// [`Node::durable`] has returned for it.
    pub fn read<R>(&self, ask: impl FnOnce(&Ledger) -> R) -> (R, u64) {
        let ledger = self.0.shared.ledger.read();
        let version = self.0.shared.version.load(Ordering::Acquire);
        (ask(&ledger), version)
    }

    /// Waits until a version is durable.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] if it will never be.
    pub async fn durable(&self, version: u64) -> Result<(), NodeError> {
        let progress = &self.0.shared.progress;
        let mut watch = progress.version.subscribe();
        loop {
            if *watch.borrow_and_update() >= version {
                return Ok(());
            }
            if let Some(reason) = progress.failure() {
                return Err(NodeError::Stopped(reason));
            }
            if watch.changed().await.is_err() {
                return Err(NodeError::Stopped("the node is closed".into()));
            }
        }
    }

    /// Follows the position of the last durable record.
    pub fn watch_durable(&self) -> watch::Receiver<u64> {
        self.0.shared.progress.position.subscribe()
    }

    /// Why the node acknowledges nothing any more, if so.
    pub fn failure(&self) -> Option<String> {
        self.0.shared.progress.failure()
    }

    /// The receipt of an accepted transition, with the level of durability reached by now.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn receipt(&self, id: &TransitionId) -> Result<Option<Receipt>, NodeError> {
        let mut receipt = self.0.shared.history.receipt(id)?;
        if let Some(receipt) = &mut receipt {
            self.0.shared.replicas.stamp(receipt);
        }
        Ok(receipt)
    }

    /// An accepted transition with its position in the log.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn transition(&self, id: &TransitionId) -> Result<Option<(u64, Accepted)>, NodeError> {
        self.0.shared.history.transition(id)
    }

    /// At most `limit` records that moved an account, from a height on.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn history(
        &self,
        account: &AccountId,
        from_height: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Accepted)>, NodeError> {
        let mut found = Vec::new();
        for height in from_height..from_height.saturating_add(limit as u64) {
            match self.0.shared.history.at_height(&account.0, height)? {
                Some(record) => found.push(record),
                None => break,
            }
        }
        Ok(found)
    }

    /// At most `limit` durable records from position `from` on.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn entries(&self, from: u64, limit: usize) -> Result<Vec<(u64, Entry)>, NodeError> {
        self.0.shared.history.entries(from, limit)
    }

    /// The proofs of equivocation kept about an account.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn equivocations(&self, account: &AccountId) -> Result<Vec<EquivocationProof>, NodeError> {
        self.0.shared.history.equivocations(account)
    }

    /// Verifies a package, admits its module and stores it, so that a transition can publish it.
    ///
    /// # Errors
    /// [`StageError`]; nothing was stored.
    pub fn stage(&self, package: &[u8]) -> Result<PolicyId, StageError> {
        self.0.shared.shelf.stage(package)
    }

    /// The canonical bytes of a policy's package.
    ///
    /// # Errors
    /// [`StageError::Blob`] if it cannot be read or its hash is wrong.
    pub fn package(&self, policy: &PolicyId) -> Result<Option<Vec<u8>>, StageError> {
        Ok(self.0.shared.shelf.package(policy)?)
    }

    /// Asks one of a token's policies.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn view(
        &self,
        token: &TokenId,
        policy_index: u8,
        query: String,
        args: Vec<Value>,
    ) -> Result<Vec<Field>, ViewError> {
        let call = self.0.shared.ledger.read().view_call(token, policy_index, query, args)?;
        let shelf = &self.0.shared.shelf;
        let (module, fuel_limit) = shelf.runnable(&call.policy).map_err(ViewError::NoVerdict)?;
        let state: State = call.state;
        let foreign: Vec<State> = call.foreign.into_iter().map(|space| space as State).collect();
        let view = shelf
            .engine()
            .view(&module, &call.input, &state, &foreign, fuel_limit)
            .map_err(|fault| ViewError::NoVerdict(fault.to_string()))?;
        match view.outcome {
            ViewOutcome::Answer(Answer::Fields(fields)) => Ok(fields),
            ViewOutcome::Answer(Answer::Reject(denial)) => Err(ViewError::Denied(denial)),
            ViewOutcome::Fault(fault) => Err(ViewError::Fault(fault.code().into())),
        }
    }

    /// Takes a checkpoint, or gives the last one if nothing moved since, and waits until it is durable.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, NodeError> {
        let stopped = || NodeError::Stopped(self.failure().unwrap_or_else(|| "the node is closed".into()));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        if !self.0.intake.send(super::sequencer::Event::Checkpoint(sender)) {
            return Err(stopped());
        }
        receiver.await.map_err(|_| stopped())
    }

    /// The last checkpoint since the node started.
    pub fn last_checkpoint(&self) -> Option<SignedCheckpoint> {
        self.0.shared.last_checkpoint.read().as_ref().map(|(signed, _)| signed.clone())
    }

    /// How the node is.
    pub fn status(&self) -> Status {
        let shared = &self.0.shared;
        let ledger = shared.ledger.read();
        Status {
            network: ledger.network(),
            network_name: shared.genesis.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            engine_profile: shared.shelf.engine().profile(),
            position: shared.history.durable(),
            time_ms: ledger.time_ms(),
            checkpoint_epoch: self.last_checkpoint().map(|signed| signed.checkpoint.epoch),
            accounts: ledger.accounts().len(),
            tokens: ledger.tokens().len(),
            policies: ledger.policies().len(),
            waiting: self.0.intake.waiting(),
            accepted: shared.metrics.accepted.load(Ordering::Relaxed),
            cached_modules: shared.shelf.cache_stats().modules,
            uptime_s: shared.started.elapsed().as_secs(),
            storage_full: shared.progress.is_full(),
            stopped: shared.progress.failure(),
        }
    }

    /// Whether the node takes submissions now, or why not.
    ///
    /// # Errors
    /// What a submission would be answered.
    pub fn ready(&self) -> Result<(), SubmitError> {
        let progress = &self.0.shared.progress;
        if progress.failure().is_some() || !self.0.intake.is_open() {
            Err(SubmitError::Stopped)
        } else if progress.is_full() {
            Err(SubmitError::StorageFull)
        } else {
            self.0.shared.replicas.standing().refusal().map_or(Ok(()), Err)
        }
    }
}
