//! The faces of the HTTP API: what the node writes and the client reads, in one place for both.
//!
//! Amounts, 64-bit and 128-bit values are decimal text, bytes are lower-case hex, policies are CIDs; times and
//! heights are JSON numbers. Nothing here is hashed or signed: where evidence is carried, it is carried as
//! canonical bytes, and only what is decoded from those counts. Requests refuse unknown and duplicate fields;
//! answers may gain fields, so the client passes over those it does not know.

mod bridge;
mod operation;
mod operator;
mod problem;
mod replication;
mod text;

pub use bridge::{
    BridgeConfigView, BridgeView, BridgesPage, ConsistencyView, ConvictionView, FinalityView, LockState,
    LockView, OutboxEntryView, OutboxPage, OutboxPathView, OutboxProofView,
};
pub use operation::{
    EffectView, EffectsView, EvidenceView, HoldView, KeySetView, KeyView, ObservationView, OperationKindView,
    OperationView, ParentView, RecoveryView, SignatureView, TransitionView,
};
pub use operator::{
    AuditView, ChangedSetting, ChangedSettings, ConfigRequest, ConfigView, SettingOrigin, SettingView,
};
pub use problem::{DenialView, EquivocationRef, FaultView, PROBLEM_TYPE_PREFIX, Problem, ShortfallView};
pub use replication::{
    AddPeerRequest, ChangedTopology, MatrixView, MemberView, PeerRequest, ReachView, ReplicationView,
    TopologyView,
};
pub use text::{FieldView, Hex, PolicyCid, PolicyCidError, ValueView};

pub use crate::receipt::Amount;
use crate::receipt::Receipt;
use dsm_abi::{
    AccountId, CreditId, DecodeError, Description, Digest, KeyId, NetworkId, StateId, Suite, TokenId,
    TokenStateId, TransitionId, decode,
};
use dsm_core::{
    AccountProof, AccountState, AssetProof, Checkpoint, Credit, EquivocationProof, PolicyRecord,
    SignedCheckpoint, Status as AccountStatus, TokenProof, TokenState, UpgradeTerms,
};
use serde::{Deserialize, Serialize};

/// Limits of the API that both sides keep. Where a number comes from stands beside it.
pub mod limit {
    /// Bytes of a signed transition: the state machine's limit.
    pub const TRANSITION_BYTES_MAX: usize = dsm_core::limit::SIGNED_BYTES_MAX;
    /// Transitions of one batch.
    pub const BATCH_ITEMS_MAX: usize = 1000;
    /// Bytes of a batch: 1,000 ordinary transitions of two signatures each, 8 KiB.
    pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
    /// Bytes of a policy package.
    pub use crate::package::PACKAGE_BYTES_MAX;
    /// Bytes of a JSON body.
    pub const JSON_BYTES_MAX: usize = 1024 * 1024;
    /// Items of one page, and how many there are if the request does not say.
    pub const PAGE_ITEMS_MAX: usize = 200;
    /// Items of one page if the request does not say.
    pub const PAGE_ITEMS: usize = 50;
    /// Bytes of a proof in canonical form: paths of 256 siblings and signatures under the checkpoint.
    pub const PROOF_BYTES_MAX: usize = 256 * 1024;
    /// Bytes of a proof of equivocation: two transitions, a state and a key set.
    pub const EQUIVOCATION_BYTES_MAX: usize = 2 * TRANSITION_BYTES_MAX + 64 * 1024;
}

/// The JSON body of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The canonical bytes of a signed transition.
    pub signed: Hex,
}

/// The JSON body of a request for an evidence package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRequest {
    /// 1 to [`crate::evidence::EVIDENCE_TRANSITIONS_MAX`] accepted transitions.
    pub transitions: Vec<TransitionId>,
    /// The whole log instead of the records that the transitions depend on.
    #[serde(default)]
    pub whole: bool,
}

/// The JSON body of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The canonical bytes of at most [`limit::BATCH_ITEMS_MAX`] signed transitions.
    #[serde(deserialize_with = "text::at_most_a_batch")]
    pub signed: Vec<Hex>,
}

/// What became of one transition of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchResult {
    /// It is durable.
    Receipt(Box<Receipt>),
    /// It was refused.
    Problem(Box<Problem>),
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAnswer {
    /// One result for each transition, in the order of the request.
    pub results: Vec<BatchResult>,
}

/// Why a transition that passed its signatures was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalView {
    /// The transition.
    pub transition: TransitionId,
    /// When it was refused, in ms since the Unix epoch.
    pub time_ms: u64,
    /// What the client was answered.
    pub problem: Problem,
}

/// The last refusals of a node since it started, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalsAnswer {
    /// The refusals.
    pub refusals: Vec<RefusalView>,
}

/// A balance of an account, in base units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceView {
    /// The token.
    pub token: TokenId,
    /// Owned, held ones included.
    pub balance: Amount,
    /// Owned and not held.
    pub available: Amount,
    /// Whether a policy froze the account for this token.
    pub frozen: bool,
}

/// An account at its head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The account.
    pub account: AccountId,
    /// Its head: the digest of `state`.
    pub head: StateId,
    /// The head's content.
    pub state: AccountState,
    /// The keys that speak for it.
    pub keys: KeySetView,
    /// Its balances, in order of tokens.
    pub balances: Vec<BalanceView>,
    /// Its live holds.
    pub holds: Vec<HoldView>,
    /// The time of the last transition that this reflects, in ms since the Unix epoch; all of it is durable.
    pub time_ms: u64,
}

/// An account in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSummary {
    /// The account.
    pub account: AccountId,
    /// Its height.
    pub height: u64,
    /// Its head.
    pub head: StateId,
    /// Whether it can still sign.
    pub status: AccountStatus,
}

/// Some accounts, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountsPage {
    /// The accounts.
    pub accounts: Vec<AccountSummary>,
    /// What to give as `after` for the next page, if there is one.
    pub next: Option<AccountId>,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// One move of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// The height to which the account moved.
    pub height: u64,
    /// The transition that moved it.
    pub transition: TransitionView,
}

/// Some moves of an account, by ascending height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// The moves.
    pub items: Vec<HistoryItem>,
    /// What to give as `from` for the next page, if there is one.
    pub next: Option<u64>,
}

/// A credit that waits to be claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditView {
    /// The credit.
    pub credit: CreditId,
    /// The token.
    pub token: TokenId,
    /// Who sent or minted it.
    pub from: AccountId,
    /// Who may claim it.
    pub to: AccountId,
    /// Base units.
    pub amount: Amount,
    /// The sender's memo.
    pub memo: Hex,
    /// When it was made, in ms since the Unix epoch.
    pub time_ms: u64,
}

impl From<&Credit> for CreditView {
    fn from(credit: &Credit) -> CreditView {
        CreditView {
            credit: credit.id,
            token: credit.token,
            from: credit.from,
            to: credit.to,
            amount: Amount(credit.amount),
            memo: Hex(credit.memo.clone()),
            time_ms: credit.time_ms,
        }
    }
}

/// Some credits that wait for an account, in order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxPage {
    /// The credits.
    pub credits: Vec<CreditView>,
    /// What to give as `after` for the next page, if there is one.
    pub next: Option<CreditId>,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// The evidence that an account signed two successors of one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquivocationView {
    /// Whose, at which state, and the two transitions.
    #[serde(flatten)]
    pub evidence: EquivocationRef,
    /// The canonical bytes of the [`EquivocationProof`].
    pub proof: Hex,
}

impl From<&EquivocationProof> for EquivocationView {
    fn from(proof: &EquivocationProof) -> EquivocationView {
        EquivocationView { evidence: proof.into(), proof: Hex(dsm_abi::encode(proof)) }
    }
}

impl EquivocationView {
    /// The proof itself, for checking.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no proof.
    pub fn decode(&self) -> Result<EquivocationProof, DecodeError> {
        decode(&self.proof.0, limit::EQUIVOCATION_BYTES_MAX)
    }
}

/// All evidence of equivocation that a node holds against an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquivocationsAnswer {
    /// The proofs, oldest first.
    pub equivocations: Vec<EquivocationView>,
}

/// One state of a token chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStateView {
    /// The token.
    pub token: TokenId,
    /// 0 for the first state, then one more each time.
    pub height: u64,
    /// The state before, or zero.
    pub parent: TokenStateId,
    /// The transition that led here.
    pub transition: TransitionId,
    /// The digest of the token's terms.
    pub terms: Digest,
    /// The policies that judge it in this state, in order.
    pub policies: Vec<PolicyCid>,
    /// Base units that exist.
    pub supply: Amount,
    /// Root over the policies' states, the frozen accounts, the upgrades that wait and those in force.
    pub state_root: Digest,
}

impl From<&TokenState> for TokenStateView {
    fn from(state: &TokenState) -> TokenStateView {
        TokenStateView {
            token: state.token,
            height: state.height,
            parent: state.parent,
            transition: state.transition,
            terms: state.terms,
            policies: state.policies.iter().copied().map(PolicyCid).collect(),
            supply: Amount(state.supply),
            state_root: state.state_root,
        }
    }
}

/// A policy that judges a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPolicyView {
    /// The policy.
    pub policy: PolicyCid,
    /// Its short name.
    pub name: String,
    /// The token's parameters for it, with the names that its description gives them.
    pub params: Vec<FieldView>,
}

/// A policy that is to take a place in a token's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingUpgrade {
    /// The position of the policy that it replaces.
    pub policy_index: u8,
    /// The policy that comes, with its parameters.
    #[serde(flatten)]
    pub to: TokenPolicyView,
    /// From when on anybody may put it in force, in ms since the Unix epoch.
    pub due_ms: u64,
}

/// A token at its head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// The token.
    pub token: TokenId,
    /// Display name.
    pub name: String,
    /// Display symbol.
    pub symbol: String,
    /// Decimal places of the display unit, 0 to 18.
    pub decimals: u8,
    /// The account that created it.
    pub issuer: AccountId,
    /// Base units that may ever exist at once.
    pub cap: Option<Amount>,
    /// The salt in the token's id.
    pub salt: Digest,
    /// The policies that judge it now, in order.
    pub policies: Vec<TokenPolicyView>,
    /// Who may replace them, and how slowly. `None`: nobody ever.
    pub upgrades: Option<UpgradeTerms>,
    /// The upgrades that wait, by position.
    pub waiting: Vec<WaitingUpgrade>,
    /// Its head: the digest of `state`.
    pub head: TokenStateId,
    /// The head's content.
    pub state: TokenStateView,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// A token in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSummary {
    /// The token.
    pub token: TokenId,
    /// Display name.
    pub name: String,
    /// Display symbol.
    pub symbol: String,
    /// Decimal places of the display unit.
    pub decimals: u8,
    /// The account that created it.
    pub issuer: AccountId,
    /// Base units that exist.
    pub supply: Amount,
}

/// Some tokens, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensPage {
    /// The tokens.
    pub tokens: Vec<TokenSummary>,
    /// What to give as `after` for the next page, if there is one.
    pub next: Option<TokenId>,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// A part of what a policy keeps about a token, in the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatePage {
    /// The policy that judges at this position now.
    pub policy: PolicyCid,
    /// The token's head that this reflects. Pages of one head fit together.
    pub head: TokenStateId,
    /// The entries.
    pub entries: Vec<StateEntry>,
    /// What to give as `after` for the next page, if there is one: a key.
    pub next: Option<Hex>,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// An entry of a policy's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// At most 64 bytes.
    pub key: Hex,
    /// At most 4 KiB, in the policy's own encoding.
    pub value: Hex,
}

/// A query to one of a token's policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewRequest {
    /// The query's name.
    pub query: String,
    /// Its arguments, in order.
    #[serde(default)]
    pub args: Vec<ValueView>,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewAnswer {
    /// Named values.
    pub fields: Vec<FieldView>,
}

/// The answer to a package: the node holds it and will let a transition publish it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedPolicy {
    /// The policy.
    pub policy: PolicyCid,
}

/// A published policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyInfo {
    /// The policy.
    pub policy: PolicyCid,
    /// BLAKE3-256 of the module's bytes.
    pub module: Digest,
    /// The key that signed the package.
    pub author: KeyId,
    /// The account that published it.
    pub publisher: AccountId,
    /// What it says of itself.
    pub description: Description,
    /// What its author signed besides; in the answer about one policy, by a node that has its package.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed: Option<SignedTerms>,
}

/// Where a policy comes from, as its author signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTerms {
    /// Where the source is.
    pub source: String,
    /// An SPDX expression.
    pub license: String,
    /// Fuel that one evaluation may use.
    pub fuel_limit: u64,
}

impl From<&PolicyRecord> for PolicyInfo {
    fn from(record: &PolicyRecord) -> PolicyInfo {
        PolicyInfo {
            policy: PolicyCid(record.policy),
            module: record.module,
            author: record.author,
            publisher: record.publisher,
            description: (*record.description).clone(),
            signed: None,
        }
    }
}

/// Some published policies, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliciesPage {
    /// The policies.
    pub policies: Vec<PolicyInfo>,
    /// What to give as `after` for the next page, if there is one.
    pub next: Option<PolicyCid>,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// A signature under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointSignatureView {
    /// The key.
    pub key: KeyId,
    /// Its suite.
    pub suite: Suite,
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointView {
    /// The digest of `checkpoint`.
    pub id: Digest,
    /// Where all chains stand.
    pub checkpoint: Checkpoint,
    /// Who signed it.
    pub signatures: Vec<CheckpointSignatureView>,
    /// The canonical bytes of the [`SignedCheckpoint`].
    pub signed: Hex,
}

impl From<&SignedCheckpoint> for CheckpointView {
    fn from(signed: &SignedCheckpoint) -> CheckpointView {
        let signature =
            |key: &dsm_core::PublicKey| CheckpointSignatureView { key: key.id(), suite: key.suite };
        CheckpointView {
            id: signed.checkpoint.id(),
            checkpoint: signed.checkpoint.clone(),
            signatures: signed.signatures.iter().map(|one| signature(&one.key)).collect(),
            signed: Hex(dsm_abi::encode(signed)),
        }
    }
}

impl CheckpointView {
    /// The signed checkpoint itself, for checking.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no signed checkpoint.
    pub fn decode(&self) -> Result<SignedCheckpoint, DecodeError> {
        decode(&self.signed.0, limit::PROOF_BYTES_MAX)
    }
}

macro_rules! proofs {
    ($($(#[$doc:meta])* $name:ident($proof:ident) {
        $($(#[$fdoc:meta])* $field:ident: $type:ty = |$from:ident| $value:expr,)*
    } at |$holder:ident| $checkpoint:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $type,)*
            /// The epoch of the checkpoint that it hangs from.
            pub epoch: u64,
            /// The log position of that checkpoint.
            pub log_position: u64,
            /// The canonical bytes of the proof, checkpoint included: the rest is a summary that proves nothing.
            pub proof: Hex,
        }

        impl From<&$proof> for $name {
            fn from(proof: &$proof) -> $name {
                let $holder = proof;
                let checkpoint: &Checkpoint = $checkpoint;
                $name {
                    $($field: { let $from = proof; $value },)*
                    epoch: checkpoint.epoch,
                    log_position: checkpoint.log_position,
                    proof: Hex(dsm_abi::encode(proof)),
                }
            }
        }

        impl $name {
            /// The proof itself, for checking.
            ///
            /// # Errors
            /// [`DecodeError`] if the bytes are no such proof.
            pub fn decode(&self) -> Result<$proof, DecodeError> {
                decode(&self.proof.0, limit::PROOF_BYTES_MAX)
            }
        }
    )*};
}

proofs! {
    /// Shows the head of an account, or that there is no such account.
    AccountProofView(AccountProof) {
        /// The account.
        account: AccountId = |proof| proof.account,
        /// Its head's content.
        state: Option<AccountState> = |proof| proof.state.clone(),
    } at |proof| &proof.checkpoint.checkpoint;

    /// Shows an account's balance.
    AssetProofView(AssetProof) {
        /// The account.
        account: AccountId = |proof| proof.account.account,
        /// The token.
        token: TokenId = |proof| proof.token,
        /// Base units.
        amount: Amount = |proof| Amount(proof.amount),
    } at |proof| &proof.account.checkpoint.checkpoint;

    /// Shows the head of a token, or that there is no such token.
    TokenProofView(TokenProof) {
        /// The token.
        token: TokenId = |proof| proof.token,
        /// Its head's content.
        state: Option<TokenStateView> = |proof| proof.state.as_ref().map(TokenStateView::from),
    } at |proof| &proof.checkpoint.checkpoint;
}

/// One durable record of the log, as the event stream tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// The record's position; give it as `from` plus one, or as `Last-Event-ID`, to resume behind it.
    pub position: u64,
    /// The record.
    pub entry: EntryView,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryView {
    /// The network began.
    Genesis(GenesisView),
    /// A transition moved heads.
    Transition(Box<TransitionView>),
    /// The node signed where things stand.
    Checkpoint(CheckpointView),
    /// Somebody signed two successors of one state.
    Equivocation(EquivocationRef),
}

impl EntryView {
    /// The word for this kind of record; the `event` field of the stream.
    pub fn word(&self) -> &'static str {
        match self {
            EntryView::Genesis(_) => "genesis",
            EntryView::Transition(_) => "transition",
            EntryView::Checkpoint(_) => "checkpoint",
            EntryView::Equivocation(_) => "equivocation",
        }
    }
}

/// How a network began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenesisView {
    /// The network.
    pub network: NetworkId,
    /// Its name for people.
    pub name: String,
    /// When it began, in ms since the Unix epoch.
    pub created_ms: u64,
    /// The key that signs its checkpoints.
    pub node: KeyView,
    /// The canonical bytes of the genesis; their digest is the network's id.
    pub genesis: Hex,
}

impl From<&dsm_core::NetworkGenesis> for GenesisView {
    fn from(genesis: &dsm_core::NetworkGenesis) -> GenesisView {
        GenesisView {
            network: genesis.network(),
            name: genesis.name.clone(),
            created_ms: genesis.created_ms,
            node: KeyView::new(&genesis.node, 0),
            genesis: Hex(dsm_abi::encode(genesis)),
        }
    }
}

/// How the cache of compiled policies does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheView {
    /// Modules in it.
    pub modules: u64,
    /// Calls that found their module compiled.
    pub hits: u64,
    /// Calls that had to compile.
    pub misses: u64,
    /// Modules that had to leave.
    pub evictions: u64,
}

/// How a node does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The network, with the key that signs its checkpoints.
    pub network: GenesisView,
    /// The program's version.
    pub version: String,
    /// The profile of the policy engine: nodes with another one may not share verdicts.
    pub engine_profile: Digest,
    /// The last durable record.
    pub position: u64,
    /// The time of the last transition, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The epoch of the last checkpoint since the node started.
    pub checkpoint_epoch: Option<u64>,
    /// Accounts.
    pub accounts: u64,
    /// Tokens.
    pub tokens: u64,
    /// Published policies.
    pub policies: u64,
    /// Submissions that wait for verification.
    pub waiting: u64,
    /// Transitions accepted since the node started.
    pub accepted: u64,
    /// The cache of compiled policies.
    pub policy_cache: CacheView,
    /// Seconds since the node started.
    pub uptime_s: u64,
    /// Whether the device is full.
    pub storage_full: bool,
    /// Why the node acknowledges nothing any more.
    pub stopped: Option<String>,
    /// The storage nodes; absent if this node has no replication.
    #[serde(default)]
    pub replication: Option<ReplicationView>,
    /// The audit log; absent if this node keeps none.
    #[serde(default)]
    pub audit: Option<AuditView>,
}

/// The answer of the health route: the process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// Always `alive`.
    pub status: String,
}

/// The answer of the readiness route when the node accepts transitions; otherwise a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyView {
    /// Always `ready`.
    pub status: String,
}
