//! Why a verified transition is not accepted. Every variant has a stable code; none changes anything.

use alloc::string::String;
use dsm_abi::{AccountId, BridgeId, CreditId, Denial, Digest, HoldId, PolicyId, StateId, TokenId, ValueType};

/// Why a verified transition is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The window has not begun.
    #[error("valid from {valid_from_ms} ms, it is {time_ms} ms")]
    NotYetValid {
        /// When it begins.
        valid_from_ms: u64,
        /// The sequencer's time.
        time_ms: u64,
    },
    /// The window has ended.
    #[error("valid until {valid_until_ms} ms, it is {time_ms} ms")]
    Expired {
        /// When it ended.
        valid_until_ms: u64,
        /// The sequencer's time.
        time_ms: u64,
    },
    /// The account does not exist.
    #[error("account {0} does not exist")]
    UnknownAccount(AccountId),
    /// The account exists already.
    #[error("account {0} exists already")]
    AccountExists(AccountId),
    /// The account was closed.
    #[error("account {0} is revoked")]
    Revoked(AccountId),
    /// The parent is not the account's head.
    #[error("the head of {account} is {head} at height {height}, not {found}")]
    StaleParent {
        /// The account.
        account: AccountId,
        /// Its head.
        head: StateId,
        /// The head's height.
        height: u64,
        /// The parent that the transition names.
        found: StateId,
    },
    /// The signatures were checked by keys that are not the account's any more.
    #[error("the keys of {0} changed while the transition was on its way")]
    KeysChanged(AccountId),
    /// The account bound itself to another transition.
    #[error("until {until_ms} ms {account} can only sign a transition of shape {shape}")]
    Precommitted {
        /// The account.
        account: AccountId,
        /// The shape.
        shape: Digest,
        /// When the binding ends.
        until_ms: u64,
    },
    /// Evidence has ended.
    #[error("evidence {index} ended at {expires_ms} ms")]
    EvidenceExpired {
        /// Its position.
        index: usize,
        /// When it ended.
        expires_ms: u64,
    },
    /// One-time evidence was used before, or stands twice.
    #[error("evidence {index} was used before")]
    EvidenceConsumed {
        /// Its position.
        index: usize,
    },
    /// The token does not exist.
    #[error("token {0} does not exist")]
    UnknownToken(TokenId),
    /// The token exists already.
    #[error("token {0} exists already")]
    TokenExists(TokenId),
    /// The policy is not published, or the node does not hold its package.
    #[error("policy {0} is missing")]
    PolicyMissing(PolicyId),
    /// The policy is published already.
    #[error("policy {0} is published already")]
    PolicyExists(PolicyId),
    /// The published module or author is not the package's.
    #[error("the publication of {0} does not match its package")]
    PublicationMismatch(PolicyId),
    /// The token has no policy at this position.
    #[error("token {token} has no policy {index}")]
    UnknownPolicyIndex {
        /// The token.
        token: TokenId,
        /// The position.
        index: u8,
    },
    /// No upgrade waits for this position.
    #[error("no upgrade of policy {policy_index} of {token} waits")]
    NoUpgrade {
        /// The token.
        token: TokenId,
        /// The position.
        policy_index: u8,
    },
    /// The delay of the upgrade has not passed.
    #[error("the upgrade of policy {policy_index} of {token} is due at {due_ms} ms, it is {time_ms} ms")]
    UpgradeNotDue {
        /// The token.
        token: TokenId,
        /// The position.
        policy_index: u8,
        /// From when on it may be put in force.
        due_ms: u64,
        /// The sequencer's time.
        time_ms: u64,
    },
    /// An upgrade stands beside another operation on its token: nobody could say which policy judges that one.
    #[error("an upgrade of {0} is the only operation on the token in its transition")]
    UpgradeNotAlone(TokenId),
    /// Parameters do not fit the policy's description.
    #[error("policy {policy_index}: parameter {name} must be {expected:?}")]
    BadParameter {
        /// The policy's position.
        policy_index: usize,
        /// The parameter.
        name: String,
        /// Its type.
        expected: ValueType,
    },
    /// The number of parameters does not fit the policy's description.
    #[error("policy {policy_index} takes {expected} parameters, not {found}")]
    ParameterCount {
        /// The policy's position.
        policy_index: usize,
        /// How many it takes.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// No such credit, or it was claimed.
    #[error("credit {0} does not exist or was claimed")]
    UnknownCredit(CreditId),
    /// The credit is somebody else's.
    #[error("credit {0} is not for this account")]
    NotRecipient(CreditId),
    /// No such hold, or it was ended.
    #[error("hold {0} does not exist or has ended")]
    UnknownHold(HoldId),
    /// The hold's kind does not let this account do this.
    #[error("this account may not do this with hold {0}")]
    HoldNotPermitted(HoldId),
    /// Two operations end or extend one hold, or claim one credit.
    #[error("two operations use one hold or credit")]
    UsedTwice,
    /// Too many live holds.
    #[error("{account} has {} live holds in {token}, the most there can be", dsm_abi::limit::HOLDS_MAX)]
    TooManyHolds {
        /// The account.
        account: AccountId,
        /// The token.
        token: TokenId,
    },
    /// A policy froze the account for this token.
    #[error("{account} is frozen for {token}")]
    Frozen {
        /// The account.
        account: AccountId,
        /// The token.
        token: TokenId,
    },
    /// The balance is too small.
    #[error("{account} has {balance} of {token} and needs {needed}")]
    InsufficientFunds {
        /// The account.
        account: AccountId,
        /// The token.
        token: TokenId,
        /// Its balance before.
        balance: u128,
        /// What the transition takes or holds in all.
        needed: u128,
    },
    /// The balance would do, but holds leave too little.
    #[error("{account} has {available} of {token} that is not held and needs {needed}")]
    UnderHold {
        /// The account.
        account: AccountId,
        /// The token.
        token: TokenId,
        /// What is not held.
        available: u128,
        /// What the transition takes or holds in all.
        needed: u128,
    },
    /// A sum leaves the range of u128.
    #[error("amounts of {0} overflow")]
    Overflow(TokenId),
    /// More units than the token's cap.
    #[error("the supply of {token} would be {supply}, its cap is {cap}")]
    OverCap {
        /// The token.
        token: TokenId,
        /// The supply it would have.
        supply: u128,
        /// The cap.
        cap: u128,
    },
    /// Two legs write one key of a policy's state.
    #[error("two operations write one key of policy {policy_index} of {token}")]
    WriteConflict {
        /// The token.
        token: TokenId,
        /// The policy's position.
        policy_index: u8,
    },
    /// A policy asked for something that the host does not allow.
    #[error("policy {policy_index} of {token} asked for what it may not: {what}")]
    EffectNotPermitted {
        /// The token.
        token: TokenId,
        /// The policy's position.
        policy_index: u8,
        /// What.
        what: &'static str,
    },
    /// A policy refused.
    #[error("policy {policy_index} of {token} refuses operation {leg}: {} {}", denial.code, denial.reason)]
    Denied {
        /// The token.
        token: TokenId,
        /// The policy.
        policy: PolicyId,
        /// Its position.
        policy_index: u8,
        /// The operation's position, or beyond for what a policy requested.
        leg: usize,
        /// The policy's words.
        denial: Denial,
    },
    /// A policy failed; that refuses too.
    #[error("policy {policy_index} of {token} failed on operation {leg}: {fault}")]
    Fault {
        /// The token.
        token: TokenId,
        /// The policy.
        policy: PolicyId,
        /// Its position.
        policy_index: u8,
        /// The operation's position.
        leg: usize,
        /// The engine's stable word for the fault.
        fault: String,
    },
    /// The node could not reach a verdict. Not a refusal of the transition: the same bytes may be tried again.
    #[error("no verdict: {0}")]
    NoVerdict(String),
    /// The bridge does not exist.
    #[error("bridge {0} does not exist")]
    UnknownBridge(BridgeId),
    /// The bridge exists already.
    #[error("bridge {0} exists already")]
    BridgeExists(BridgeId),
    /// The bridge's trusted set sealed two blocks of one height: nothing of it is believed any more.
    #[error("bridge {0} is frozen")]
    BridgeFrozen(BridgeId),
    /// The bridge's trusted set changed while the transition was on its way: prove it again.
    #[error("the trusted set of bridge {0} changed while the transition was on its way")]
    BridgeMoved(BridgeId),
    /// No newer block moved the bridge within its trusting period.
    #[error("bridge {bridge} is trusted until {until_ms} ms, it is {time_ms} ms")]
    BridgeExpired {
        /// The bridge.
        bridge: BridgeId,
        /// When its trust ended.
        until_ms: u64,
        /// The sequencer's time.
        time_ms: u64,
    },
    /// A block is further ahead of the sequencer's time than the bridge allows.
    #[error("a block of bridge {bridge} is of {block_s} s, it is {time_ms} ms")]
    BlockFromFuture {
        /// The bridge.
        bridge: BridgeId,
        /// The block's time in seconds.
        block_s: u64,
        /// The sequencer's time.
        time_ms: u64,
    },
    /// A header does not lead further than the bridge already is.
    #[error("bridge {bridge} is at block {height}, the header is of block {found}")]
    BlockNotNewer {
        /// The bridge.
        bridge: BridgeId,
        /// Where it is.
        height: u64,
        /// The header's block.
        found: u64,
    },
    /// A proven lock is answered by nothing: no mint of its token, recipient and amount, after its deadline no
    /// refund.
    #[error("evidence {index}: the transition does nothing with this lock")]
    LockUnanswered {
        /// The evidence's position.
        index: usize,
    },
    /// A proven lock is answered more than once.
    #[error("evidence {index}: the transition answers this lock more than once")]
    LockAnsweredTwice {
        /// The evidence's position.
        index: usize,
    },
    /// A lock is credited after its deadline: from then on it can only be refunded.
    #[error("evidence {index}: the lock could be credited until {deadline_ms} ms, it is {time_ms} ms")]
    LockPastDeadline {
        /// The evidence's position.
        index: usize,
        /// The deadline.
        deadline_ms: u64,
        /// The sequencer's time.
        time_ms: u64,
    },
    /// A lock is refunded before its deadline.
    #[error("evidence {index}: the lock can be refunded from {deadline_ms} ms on, it is {time_ms} ms")]
    LockNotDue {
        /// The evidence's position.
        index: usize,
        /// The deadline.
        deadline_ms: u64,
        /// The sequencer's time.
        time_ms: u64,
    },
    /// A policy emits a refund of a lock that the transition does not prove.
    #[error("a policy of {0} refunds a lock that the transition does not prove")]
    RefundWithoutProof(TokenId),
    /// The rules would have broken conservation. Never seen; checked all the same.
    #[error("conservation of {0} would break")]
    Conservation(TokenId),
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::NotYetValid { .. } => "not_yet_valid",
            Refusal::Expired { .. } => "expired",
            Refusal::UnknownAccount(_) => "unknown_account",
            Refusal::AccountExists(_) => "account_exists",
            Refusal::Revoked(_) => "account_revoked",
            Refusal::StaleParent { .. } => "stale_parent",
            Refusal::KeysChanged(_) => "keys_changed",
            Refusal::Precommitted { .. } => "precommitted",
            Refusal::EvidenceExpired { .. } => "evidence_expired",
            Refusal::EvidenceConsumed { .. } => "evidence_consumed",
            Refusal::UnknownToken(_) => "unknown_token",
            Refusal::TokenExists(_) => "token_exists",
            Refusal::PolicyMissing(_) => "policy_missing",
            Refusal::PolicyExists(_) => "policy_exists",
            Refusal::PublicationMismatch(_) => "publication_mismatch",
            Refusal::UnknownPolicyIndex { .. } => "unknown_policy_index",
            Refusal::NoUpgrade { .. } => "no_upgrade",
            Refusal::UpgradeNotDue { .. } => "upgrade_not_due",
            Refusal::UpgradeNotAlone(_) => "upgrade_not_alone",
            Refusal::BadParameter { .. } => "bad_parameter",
            Refusal::ParameterCount { .. } => "parameter_count",
            Refusal::UnknownCredit(_) => "unknown_credit",
            Refusal::NotRecipient(_) => "not_recipient",
            Refusal::UnknownHold(_) => "unknown_hold",
            Refusal::HoldNotPermitted(_) => "hold_not_permitted",
            Refusal::UsedTwice => "used_twice",
            Refusal::TooManyHolds { .. } => "too_many_holds",
            Refusal::Frozen { .. } => "account_frozen",
            Refusal::InsufficientFunds { .. } => "insufficient_funds",
            Refusal::UnderHold { .. } => "under_hold",
            Refusal::Overflow(_) => "amount_overflow",
            Refusal::OverCap { .. } => "over_cap",
            Refusal::WriteConflict { .. } => "write_conflict",
            Refusal::EffectNotPermitted { .. } => "effect_not_permitted",
            Refusal::Denied { .. } => "policy_denied",
            Refusal::Fault { .. } => "policy_fault",
            Refusal::NoVerdict(_) => "no_verdict",
            Refusal::UnknownBridge(_) => "unknown_bridge",
            Refusal::BridgeExists(_) => "bridge_exists",
            Refusal::BridgeFrozen(_) => "bridge_frozen",
            Refusal::BridgeMoved(_) => "bridge_moved",
            Refusal::BridgeExpired { .. } => "bridge_expired",
            Refusal::BlockFromFuture { .. } => "block_from_future",
            Refusal::BlockNotNewer { .. } => "block_not_newer",
            Refusal::LockUnanswered { .. } => "lock_unanswered",
            Refusal::LockAnsweredTwice { .. } => "lock_answered_twice",
            Refusal::LockPastDeadline { .. } => "lock_past_deadline",
            Refusal::LockNotDue { .. } => "lock_not_due",
            Refusal::RefundWithoutProof(_) => "refund_without_proof",
            Refusal::Conservation(_) => "conservation",
        }
    }
}
