//! A real node with a real disk and its storage nodes, driven from inside the process.

use super::cast::Actor;
use super::keepers::{self, Keeper};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::Session;
use dsm_abi::{AccountId, StateId, TokenId, TokenStateId, encode};
use dsm_core::SignedTransition;
use dsm_host::node::replay::{ReplayError, ReplayReport, verify};
use dsm_host::node::{Node, NodeConfig, OpenError, SubmitError};
use dsm_host::replicate::{Replication, ReplicationConfig, RestoreConfig, RestoreReport, restore};
use dsm_sdk::draft::{Draft, Window};
use dsm_sdk::receipt::{Durability, Receipt};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the threads of a dropped node may take to let go of the directory.
const LET_GO: Duration = Duration::from_secs(30);

/// Where every chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heads {
    pub(super) accounts: BTreeMap<AccountId, StateId>,
    pub(super) tokens: BTreeMap<TokenId, TokenStateId>,
}

/// The node of the demonstration.
pub(super) struct Stage {
    pub(super) node: Node,
    pub(super) config: NodeConfig,
    pub(super) keepers: Vec<Keeper>,
    replication: Option<Replication>,
    runtime: tokio::runtime::Handle,
}

impl Stage {
    /// Opens the node, and the storage nodes in folders beside its own if there are to be any.
    pub(super) fn open(
        config: NodeConfig,
        runtime: tokio::runtime::Handle,
        beside: Option<&Path>,
    ) -> Result<Stage, Failure> {
        let keepers = match beside {
            Some(folder) => {
                let core = dsm_host::node::public_key(&config.data)?;
                keepers::start(&runtime, folder, &core)?
            }
            None => Vec::new(),
        };
        Stage::begin(config, runtime, keepers)
    }

    /// Opens the node between storage nodes that run, and waits until it leads.
    fn begin(
        config: NodeConfig,
        runtime: tokio::runtime::Handle,
        keepers: Vec<Keeper>,
    ) -> Result<Stage, Failure> {
        let node = opened(&config)?;
        let replication = if keepers.is_empty() {
            None
        } else {
            let _inside = runtime.enter();
            Some(Replication::start(&node, replication_config(&config.data, &keepers))?)
        };
        let begun = Instant::now();
        while node.ready().is_err() && begun.elapsed() < LET_GO {
            std::thread::sleep(Duration::from_millis(2));
        }
        node.ready()?;
        Ok(Stage { node, config, keepers, replication, runtime })
    }

    /// Ends the replication and lets go of the node; what is left can be opened or restored.
    fn end(self) -> (Node, NodeConfig, Vec<Keeper>, tokio::runtime::Handle) {
        let Stage { node, config, keepers, replication, runtime } = self;
        if let Some(replication) = replication {
            runtime.block_on(replication.close());
        }
        (node, config, keepers, runtime)
    }

    /// Ends everything in order.
    pub(super) fn close(self) -> Result<(), Failure> {
        let (node, _, mut keepers, runtime) = self.end();
        keepers.iter_mut().for_each(|keeper| keeper.stop(&runtime));
        Ok(node.close()?)
    }

    /// Stops a storage node.
    pub(super) fn stop(&mut self, keeper: usize) {
        if let Some(keeper) = self.keepers.get_mut(keeper) {
            keeper.stop(&self.runtime);
        }
    }

    /// Starts a storage node again and waits until it has acknowledged the whole log; how long that took.
    pub(super) fn start_again(&mut self, keeper: usize) -> Result<Duration, Failure> {
        let begun = Instant::now();
        if let Some(keeper) = self.keepers.get_mut(keeper) {
            keeper.start_again(&self.runtime)?;
        }
        let replication = self.replication.clone().ok_or_else(|| differs("there are no storage nodes"))?;
        loop {
            let view = replication.topology()?;
            if view.members.iter().all(|one| one.acked >= view.position) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > LET_GO {
                return Err(differs("a storage node does not catch up"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Loses the core node's directory, all of it, and restores it from the storage nodes and the copy of its key.
    pub(super) fn lose_and_restore(self, copy: &Path) -> Result<(Stage, RestoreReport), Failure> {
        let lost = |error: std::io::Error| file_failure(copy, &error);
        std::fs::copy(self.config.data.join("node.key"), copy).map_err(lost)?;
        let (node, config, keepers, runtime) = self.end();
        node.close()?;
        std::fs::remove_dir_all(&config.data).map_err(|error| file_failure(&config.data, &error))?;
        let restoration = RestoreConfig {
            from: keepers.iter().map(|keeper| keeper.peer.clone()).collect(),
            key: copy.to_path_buf(),
            node: config.clone(),
            replication: ReplicationConfig::new(&config.data),
            force: false,
        };
        let report = runtime.block_on(restore(restoration, |_, _| {})).map_err(differs)?;
        Ok((Stage::begin(config, runtime, keepers)?, report))
    }

    /// Waits for an answer of the node.
    pub(super) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    pub(super) fn draft(&self) -> Result<Draft, Failure> {
        Ok(Draft::new(self.node.network(), Window::around(Session::now_ms()), Session::random()?))
    }

    /// The head of an account, or where its chain begins.
    pub(super) fn head(&self, actor: &Actor) -> StateId {
        let (head, _) = self.node.read(|ledger| ledger.account(&actor.account).map(dsm_core::Account::head));
        head.unwrap_or(StateId::NONE)
    }

    /// Signs with the first keys of each actor, as many as stand beside it, on the actors' present heads.
    pub(super) fn sign(
        &self,
        actors: &[(&Actor, usize)],
        build: impl FnOnce(Draft) -> Draft,
    ) -> Result<SignedTransition, Failure> {
        let draft = self.draft()?;
        let draft =
            actors.iter().fold(draft, |draft, (actor, _)| draft.signer(actor.account, self.head(actor)));
        let signers: Vec<_> = actors.iter().flat_map(|(actor, keys)| actor.signers(*keys)).collect();
        Ok(build(draft).sign_with(&signers)?)
    }

    pub(super) fn submit(&self, signed: &SignedTransition) -> Result<Receipt, SubmitError> {
        self.wait(self.node.submit(encode(signed)))
    }

    /// Signs and submits what must be accepted, and waits for a level of durability.
    pub(super) fn accept_at(
        &self,
        level: Durability,
        actors: &[(&Actor, usize)],
        build: impl FnOnce(Draft) -> Draft,
    ) -> Result<Receipt, Failure> {
        let signed = self.sign(actors, build)?;
        Ok(self.wait(self.node.submit_at(encode(&signed), Some(level)))?)
    }

    /// Signs and submits what must be accepted.
    pub(super) fn accept(
        &self,
        actors: &[(&Actor, usize)],
        build: impl FnOnce(Draft) -> Draft,
    ) -> Result<Receipt, Failure> {
        Ok(self.submit(&self.sign(actors, build)?)?)
    }

    /// Submits what must be refused and must not move any head.
    pub(super) fn refuse(&self, signed: &SignedTransition) -> Result<SubmitError, Failure> {
        let before = self.heads();
        match self.submit(signed) {
            Ok(receipt) => Err(differs(format!("transition {} was accepted", receipt.transition))),
            Err(_) if self.heads() != before => Err(differs("a refused transition moved a head")),
            Err(error) => Ok(error),
        }
    }

    /// Base units of a token that an account owns.
    pub(super) fn balance(&self, actor: &Actor, token: TokenId) -> u128 {
        let (balance, _) = self
            .node
            .read(|ledger| ledger.account(&actor.account).map_or(0, |account| account.balance(&token)));
        balance
    }

    pub(super) fn heads(&self) -> Heads {
        let (heads, _) = self.node.read(|ledger| Heads {
            accounts: ledger.accounts().map(|(id, account)| (*id, account.head())).collect(),
            tokens: ledger.tokens().map(|(id, token)| (*id, token.state().id())).collect(),
        });
        heads
    }

    /// Drops the node without closing it, replays its log believing nothing, and opens the directory again.
    pub(super) fn reopen(self) -> Result<(Stage, ReplayReport), Failure> {
        let (node, config, keepers, runtime) = self.end();
        drop(node);
        let report = replay(&config)?;
        Ok((Stage::begin(config, runtime, keepers)?, report))
    }
}

/// The first two storage nodes are the first topology; a later start finds the topology that there is.
fn replication_config(data: &Path, keepers: &[Keeper]) -> ReplicationConfig {
    ReplicationConfig {
        first: keepers.iter().map(|keeper| keeper.peer.clone()).collect(),
        lead_wait: None,
        ..ReplicationConfig::new(data)
    }
}

/// Opens the node as soon as the threads of the one before let go of the directory.
fn opened(config: &NodeConfig) -> Result<Node, Failure> {
    let start = Instant::now();
    loop {
        match Node::open(config.clone()) {
            Err(OpenError::InUse(_) | OpenError::Directory { .. }) if start.elapsed() < LET_GO => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return Ok(result?),
        }
    }
}

/// Replays the log as soon as the threads of the dropped node let go of the directory.
fn replay(config: &NodeConfig) -> Result<ReplayReport, Failure> {
    let start = Instant::now();
    loop {
        match verify(config) {
            Err(ReplayError::Open(OpenError::InUse(_) | OpenError::Directory { .. }))
                if start.elapsed() < LET_GO =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return Ok(result?),
        }
    }
}

/// The story went otherwise than told.
pub(super) fn differs(what: impl std::fmt::Display) -> Failure {
    Failure::refused("demo_differs", format!("the demonstration went otherwise than told: {what}"))
        .help("please report this with the output of `dsm demo --exit --json`")
}
