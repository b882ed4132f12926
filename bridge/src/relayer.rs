//! The relayer: one thread that looks at both chains, takes what is due one step further, and comes back.
//!
//! A turn has parts, and each part small steps; a part that fails is tried again in the next turn, and its reason is
//! shown. Every step is idempotent and asks the chains first: a lock that anybody credited is credited, a leaf that
//! anybody released is released. So two relayers race harmlessly, and a crash between any two steps costs nothing.
//!
//! | part | what |
//! |---|---|
//! | `repair` | once: what was written down is compared with the chains |
//! | `head` | the newest believable header; reorganisations; the trusted set on DSM |
//! | `convict` | two sealed headers of one height, handed to the ledger |
//! | `locks` | discover, prove, credit, refund |
//! | `queue` | transactions under way: receipts, higher fees |
//! | `outbox` | leaves, checkpoints with their attestations, releases |

mod gas;
mod head;
mod locks;
mod outbox;
#[cfg(test)]
mod tests;

pub(crate) use gas::Gas;
pub(crate) use locks::check_proof;

use crate::attest::{AttestError, Attestors, Outbox};
use crate::dsm::{Dsm, DsmError};
use crate::evm::{ContractView, Evm, EvmError, Header, Source};
use crate::prove::{ProveError, Trust};
use crate::state::{Brakes, Retry, StateError, Store};
use crate::writer::{WriteError, Writer};
use dsm_abi::BridgeId;
use dsm_core::{BridgeConfig, PublicKey};
use dsm_evm_proof::EvmLockProof;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Locks that one turn takes further.
const LOCKS_PER_TURN: usize = 32;
/// Leaves that one turn takes further.
const LEAVES_PER_TURN: usize = 32;
/// Rows that one turn looks at.
const ROWS_PER_TURN: usize = 1024;
/// Rows that are compared with the chains at start.
const ROWS_REPAIRED: u64 = 256;

/// Why a part of a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stall {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("{0}")]
    Evm(#[from] EvmError),
    #[error("{0}")]
    Dsm(#[from] DsmError),
    #[error("{0}")]
    Prove(#[from] ProveError),
    #[error("{0}")]
    Write(WriteError),
    #[error("{0}")]
    Wait(String),
}

impl From<AttestError> for Stall {
    fn from(error: AttestError) -> Stall {
        match error {
            AttestError::State(error) => Stall::State(error),
            other => Stall::Wait(other.to_string()),
        }
    }
}

impl From<WriteError> for Stall {
    fn from(error: WriteError) -> Stall {
        match error {
            WriteError::State(error) => Stall::State(error),
            WriteError::Dsm(error) => Stall::Dsm(error),
            other => Stall::Write(other),
        }
    }
}

/// Where the service stands, for those who ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// Turns that came to their end.
    pub(crate) turns: u64,
    /// When the last one did, in ms since the Unix epoch.
    pub(crate) last_turn_ms: u64,
    /// The newest believable header: height, hash, time.
    pub(crate) head: Option<(u64, [u8; 32], u64)>,
    /// The contract's own words.
    pub(crate) contract: Option<ContractView>,
    /// DSM's newest checkpoint: epoch and outbox size.
    pub(crate) checkpoint: Option<(u64, u64)>,
    /// The height of the set that the ledger trusts, and how many validators it has.
    pub(crate) trusted: Option<(u64, usize)>,
    /// Parts that did not come to their end, and why.
    pub(crate) stalls: BTreeMap<&'static str, String>,
    /// What was done since the start.
    pub(crate) done: BTreeMap<&'static str, u64>,
}

/// What the relayer is made of.
pub(crate) struct Relayer {
    pub(crate) evm: Arc<dyn Evm>,
    pub(crate) dsm: Arc<dyn Dsm>,
    pub(crate) store: Arc<Store>,
    pub(crate) attestors: Arc<dyn Attestors>,
    pub(crate) terms: BridgeConfig,
    pub(crate) writer: Writer,
    pub(crate) gas: Gas,
    pub(crate) release: bool,
    pub(crate) first_block: u64,
    pub(crate) progress: Arc<Mutex<Progress>>,
    pub(crate) outbox: Arc<Outbox>,
    bridge: BridgeId,
    node_key: Option<PublicKey>,
    /// The newest believable header of this turn, and what makes it so.
    head: Option<Header>,
    trust: Option<Trust>,
    view: Option<ContractView>,
    /// Who gave the hints of locks that are not proven yet.
    hints: BTreeMap<u64, Source>,
    /// Locks that no endpoint could be found to tell of.
    missing: BTreeMap<u64, Retry>,
    checkpoint_retry: Retry,
    /// How often in a row the contract's root was not DSM's.
    root_doubts: u32,
    /// Transactions that were sent since the start.
    sent: BTreeSet<u64>,
    repaired: bool,
}

/// What a relayer is made from.
pub(crate) struct RelayerParts {
    pub(crate) evm: Arc<dyn Evm>,
    pub(crate) dsm: Arc<dyn Dsm>,
    pub(crate) store: Arc<Store>,
    pub(crate) attestors: Arc<dyn Attestors>,
    pub(crate) terms: BridgeConfig,
    pub(crate) writer: Writer,
    pub(crate) gas: Gas,
    pub(crate) release: bool,
    pub(crate) first_block: u64,
    pub(crate) progress: Arc<Mutex<Progress>>,
    pub(crate) outbox: Arc<Outbox>,
}

impl Relayer {
    pub(crate) fn new(parts: RelayerParts) -> Relayer {
        Relayer {
            bridge: parts.terms.id(),
            evm: parts.evm,
            dsm: parts.dsm,
            store: parts.store,
            attestors: parts.attestors,
            terms: parts.terms,
            writer: parts.writer,
            gas: parts.gas,
            release: parts.release,
            first_block: parts.first_block,
            progress: parts.progress,
            outbox: parts.outbox,
            node_key: None,
            head: None,
            trust: None,
            view: None,
            hints: BTreeMap::new(),
            missing: BTreeMap::new(),
            checkpoint_retry: Retry::default(),
            root_doubts: 0,
            repaired: false,
            sent: BTreeSet::new(),
        }
    }

    /// One turn. Only the own state can end it: everything else is tried again.
    pub(crate) fn turn(&mut self, now_ms: u64) -> Result<(), StateError> {
        if !self.repaired {
            let outcome = self.repair(now_ms);
            self.repaired = outcome.is_ok();
            self.part("repair", outcome)?;
        }
        let outcome = self.look(now_ms);
        self.part("head", outcome)?;
        let outcome = self.convict(now_ms);
        self.part("convict", outcome)?;
        let outcome = self.carry_locks(now_ms);
        self.part("locks", outcome)?;
        let outcome = self.drive_queue(now_ms);
        self.part("queue", outcome)?;
        let outcome = self.carry_outbox(now_ms);
        self.part("outbox", outcome)?;
        let mut progress = self.progress.lock();
        progress.turns += 1;
        progress.last_turn_ms = now_ms;
        Ok(())
    }

    /// At start the chains decide: what this service wrote down is compared with them.
    fn repair(&mut self, now_ms: u64) -> Result<(), Stall> {
        self.writer.settle(self.dsm.as_ref(), &self.store)?;
        let view = self.evm.contract()?;
        let known = self.store.locks_known()?.unwrap_or(0);
        if view.outbox_size < known {
            return Err(Stall::Wait(format!(
                "the contract counts {} locks, and {known} were seen: an endpoint is behind",
                view.outbox_size
            )));
        }
        if self.dsm.bridge()?.is_some() {
            self.repair_locks(now_ms)?;
        }
        self.repair_leaves()
    }

    /// Credits a lock whose proof somebody brought, as far as it can be done now.
    pub(crate) fn credit(&mut self, now_ms: u64, proof: &EvmLockProof) -> Result<(), StateError> {
        let outcome = self.take_proof(now_ms, proof);
        self.part("locks", outcome)
    }

    fn part(&mut self, name: &'static str, outcome: Result<(), Stall>) -> Result<(), StateError> {
        let mut progress = self.progress.lock();
        match outcome {
            Ok(()) => {
                progress.stalls.remove(name);
                Ok(())
            }
            Err(Stall::State(error)) => Err(error),
            Err(stall) => {
                let reason = stall.to_string();
                if progress.stalls.get(name) != Some(&reason) {
                    tracing::warn!(part = name, reason, "stalled");
                }
                progress.stalls.insert(name, reason);
                Ok(())
            }
        }
    }

    fn did(&self, what: &'static str) {
        *self.progress.lock().done.entry(what).or_default() += 1;
    }

    fn brakes(&self) -> Result<Brakes, StateError> {
        Ok(self.store.brakes()?.unwrap_or_default())
    }

    /// Whether anything may be written to either chain.
    fn may_write(&self) -> Result<bool, StateError> {
        let brakes = self.brakes()?;
        Ok(brakes.frozen.is_none() && !brakes.paused)
    }

    /// The contract as it says it stands, asked once a turn.
    fn view(&mut self) -> Result<ContractView, Stall> {
        if let Some(view) = self.view {
            return Ok(view);
        }
        let view = self.evm.contract()?;
        self.progress.lock().contract = Some(view);
        self.view = Some(view);
        Ok(view)
    }
}
