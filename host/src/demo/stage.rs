//! A real node with a real disk, driven from inside the process.

use super::cast::Actor;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use dsm_abi::{AccountId, StateId, TokenId, TokenStateId, encode};
use dsm_core::SignedTransition;
use dsm_host::node::replay::{ReplayError, ReplayReport, verify};
use dsm_host::node::{Node, NodeConfig, OpenError, SubmitError};
use dsm_sdk::draft::{Draft, Window};
use dsm_sdk::receipt::Receipt;
use std::collections::BTreeMap;
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
    runtime: tokio::runtime::Handle,
}

impl Stage {
    pub(super) fn open(config: NodeConfig, runtime: tokio::runtime::Handle) -> Result<Stage, Failure> {
        Ok(Stage { node: Node::open(config.clone())?, config, runtime })
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
        let Stage { node, config, runtime } = self;
        drop(node);
        let report = replay(&config)?;
        Ok((Stage::open(config, runtime)?, report))
    }
}

/// Replays the log as soon as the threads of the dropped node let go of the directory.
fn replay(config: &NodeConfig) -> Result<ReplayReport, Failure> {
    let start = Instant::now();
    loop {
        match verify(config) {
            Err(ReplayError::Open(OpenError::InUse(_))) if start.elapsed() < LET_GO => {
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
