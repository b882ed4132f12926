//! Replay: the whole state again from the log and the policy packages, believing nothing.
//!
//! Every record is hashed and chained, every signature verified, every policy run again, every head, credit,
//! checkpoint root and proof of equivocation compared with what the log says.

use super::history::decode_entry;
use super::open::{folder, lock_directory, verifier};
use super::shelf::{PolicyCrypto, Shelf};
use super::{Metrics, NodeConfig, OpenError};
use crate::engine::Engine;
use dsm_abi::{Digest, NetworkId};
use dsm_core::{Checkpoint, Entry, EquivocationError, Ledger, PublicKey, RecordError, SignedCheckpoint};
use dsm_crypto::Verifier;
use dsm_sdk::package::PACKAGE_BYTES_MAX;
use dsm_store::{Blobs, Log, LogConfig};
use serde::Serialize;
use std::sync::Arc;

/// What a replay found: everything agrees.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayReport {
    /// The network.
    pub network: NetworkId,
    /// The last record.
    pub position: u64,
    /// The log's chain digest at the last record.
    pub log_digest: Digest,
    /// Accepted transitions.
    pub transitions: u64,
    /// Checkpoints whose roots and signatures agree.
    pub checkpoints: u64,
    /// Proofs of equivocation that verify.
    pub equivocations: u64,
    /// Policies that were run again, evaluations in all.
    pub evaluations: u64,
    /// Root over the heads of all accounts.
    pub accounts_root: Digest,
    /// Root over the heads of all tokens.
    pub tokens_root: Digest,
    /// Root over all unclaimed credits.
    pub credits_root: Digest,
    /// Root over the states of all bridges.
    pub bridges_root: Digest,
    /// Root of the outbox, by keccak-256.
    pub outbox_root: Digest,
}

/// Why a replay stops.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The directory, the log or the packages cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A record does not follow from those before it.
    #[error("record {position}: {source}")]
    Record {
        /// Its position.
        position: u64,
        /// Why.
        source: RecordError,
    },
    /// A checkpoint's roots or its place are not what the replay gives.
    #[error("record {position}: the checkpoint does not agree with the replay")]
    Checkpoint {
        /// Its position.
        position: u64,
    },
    /// A checkpoint is not signed by the network's node.
    #[error("record {position}: {source}")]
    CheckpointSignature {
        /// Its position.
        position: u64,
        /// Why.
        source: dsm_core::ProofError,
    },
    /// A proof of equivocation shows none.
    #[error("record {position}: {source}")]
    Equivocation {
        /// Its position.
        position: u64,
        /// Why.
        source: EquivocationError,
    },
}

impl ReplayError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ReplayError::Open(error) => error.code(),
            ReplayError::Record { .. } => "replay_record",
            ReplayError::Checkpoint { .. } => "replay_checkpoint",
            ReplayError::CheckpointSignature { .. } => "replay_checkpoint_signature",
            ReplayError::Equivocation { .. } => "replay_equivocation",
        }
    }
}

struct Replay {
    ledger: Ledger,
    node: PublicKey,
    verifier: Verifier,
    shelf: Shelf,
    metrics: Metrics,
    last: Option<Checkpoint>,
    transitions: u64,
    checkpoints: u64,
    equivocations: u64,
}

/// Replays the log in a data directory that no node has open.
///
/// # Errors
/// [`ReplayError`], with the first record that does not agree.
pub fn verify(config: &NodeConfig) -> Result<ReplayReport, ReplayError> {
    if !config.data.join("log").is_dir() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no log in it");
        return Err(OpenError::Directory { path: config.data.clone(), source }.into());
    }
    let _lock = lock_directory(&config.data)?;
    let (log, _) = Log::open(folder(&config.data, "log")?, LogConfig::new(0)).map_err(OpenError::from)?;
    let mut records = log.iter(1).map_err(OpenError::from)?;
    let first = records.next().ok_or(OpenError::Layout(1))?.map_err(OpenError::from)?;
    let Entry::Genesis(genesis) = decode_entry(1, &first.payload).map_err(OpenError::from)? else {
        return Err(OpenError::Layout(1).into());
    };
    let verifier = verifier(config);
    let engine = Engine::new(&config.engine, Arc::new(PolicyCrypto)).map_err(OpenError::from)?;
    let blobs = Blobs::open(folder(&config.data, "policies")?, PACKAGE_BYTES_MAX).map_err(OpenError::from)?;
    let shelf = Shelf::open(engine, blobs, config, verifier).map_err(OpenError::from)?;
    let mut replay = Replay {
        ledger: Ledger::new(&genesis),
        node: genesis.node,
        verifier,
        shelf,
        metrics: Metrics::default(),
        last: None,
        transitions: 0,
        checkpoints: 0,
        equivocations: 0,
    };
    let mut before = (1, Digest(first.digest));
    for record in records {
        let record = record.map_err(OpenError::from)?;
        let entry = decode_entry(record.position, &record.payload).map_err(OpenError::from)?;
        replay.entry(entry, record.position, before)?;
        before = (record.position, Digest(record.digest));
    }
    Ok(replay.report(before))
}

impl Replay {
    fn entry(&mut self, entry: Entry, position: u64, before: (u64, Digest)) -> Result<(), ReplayError> {
        match entry {
            Entry::Genesis(_) => Err(OpenError::Layout(position).into()),
            Entry::Accepted(record) => {
                let mut judge = self.shelf.judge(&self.metrics);
                self.ledger
                    .replay_verifying(*record, &self.verifier, &mut judge)
                    .map_err(|source| ReplayError::Record { position, source })?;
                self.transitions += 1;
                Ok(())
            }
            Entry::Checkpoint(signed) => self.checkpoint(*signed, position, before),
            Entry::Equivocation(proof) => {
                proof
                    .verify(&self.verifier)
                    .map_err(|source| ReplayError::Equivocation { position, source })?;
                self.equivocations += 1;
                Ok(())
            }
        }
    }

    fn checkpoint(
        &mut self,
        signed: SignedCheckpoint,
        position: u64,
        before: (u64, Digest),
    ) -> Result<(), ReplayError> {
        signed
            .verify(&self.node, &self.verifier)
            .map_err(|source| ReplayError::CheckpointSignature { position, source })?;
        let (mut expected, _) = self.ledger.checkpoint(self.last.as_ref(), before.0, before.1);
        let found = signed.checkpoint;
        if found.epoch < expected.epoch {
            return Err(ReplayError::Checkpoint { position });
        }
        expected.epoch = found.epoch;
        if found != expected {
            return Err(ReplayError::Checkpoint { position });
        }
        self.last = Some(found);
        self.checkpoints += 1;
        Ok(())
    }

    fn report(mut self, (position, log_digest): (u64, Digest)) -> ReplayReport {
        let (roots, _) = self.ledger.checkpoint(self.last.as_ref(), position, log_digest);
        ReplayReport {
            network: self.ledger.network(),
            position,
            log_digest,
            transitions: self.transitions,
            checkpoints: self.checkpoints,
            equivocations: self.equivocations,
            evaluations: self.metrics.evaluations.load(std::sync::atomic::Ordering::Relaxed),
            accounts_root: roots.accounts_root,
            tokens_root: roots.tokens_root,
            credits_root: roots.credits_root,
            bridges_root: roots.bridges_root,
            outbox_root: roots.outbox_root,
        }
    }
}
