//! What a policy is shown: one leg to judge, its siblings, and the frozen state before the transition.

use crate::{AccountId, CreditId, Evidence, HoldId, KeyId, NetworkId, PolicyId, TokenId, Value};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

/// The argument of `dsm_evaluate`. All values are those before the transition; every leg is judged against
/// the same frozen state, so verdicts do not depend on the order of legs.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Input {
    /// [`crate::ABI_VERSION`].
    pub abi: u8,
    /// The position of this policy in the token's list.
    pub policy_index: u8,
    /// The leg to judge: an index into `legs`.
    pub leg: u8,
    /// The time that the sequencer gave this transition, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The network.
    pub network: NetworkId,
    /// The token whose policy this is.
    pub token: TokenView,
    /// All legs of the transition, in order; those derived from a policy's requests stand at the end.
    pub legs: Vec<Leg>,
    /// The accounts that signed, with the keys that did.
    pub signers: Vec<Signer>,
    /// The positions in this token of the accounts that the judged leg names.
    pub parties: Vec<Party>,
    /// The token's parameters for this policy, in the order of its description.
    pub params: Vec<Value>,
    /// The evidence that came with the transition, of the kinds that this policy declared.
    pub evidence: Vec<Evidence>,
    /// Balances of the parties in the tokens that this policy declared as foreign reads.
    pub foreign: Vec<ForeignBalance>,
}

/// The argument of `dsm_view`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewInput {
    /// [`crate::ABI_VERSION`].
    pub abi: u8,
    /// The position of this policy in the token's list.
    pub policy_index: u8,
    /// The time of the last transition, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The network.
    pub network: NetworkId,
    /// The token.
    pub token: TokenView,
    /// The token's parameters for this policy.
    pub params: Vec<Value>,
    /// The query's name.
    pub query: String,
    /// The query's arguments.
    pub args: Vec<Value>,
}

/// A token as its policies see it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TokenView {
    /// The token.
    pub id: TokenId,
    /// The height of its chain.
    pub height: u64,
    /// The account that created it.
    pub issuer: AccountId,
    /// Base units that exist.
    pub supply: u128,
    /// Base units that may ever exist at once, if declared.
    pub cap: Option<u128>,
    /// Decimal places of the display unit, 0 to 18.
    pub decimals: u8,
}

/// One operation of the transition, resolved: ids of credits and holds are replaced by what they name.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Leg {
    /// The token that the operation concerns, or [`TokenId::NONE`].
    pub token: TokenId,
    /// The account that acts.
    pub actor: AccountId,
    /// What it does.
    pub action: Action,
}

/// What a leg does.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Action {
    /// The token is created.
    Create,
    /// New units for `to`.
    Mint {
        /// Receives.
        to: AccountId,
        /// Base units.
        amount: u128,
    },
    /// Units of the actor are destroyed.
    Burn {
        /// Base units.
        amount: u128,
    },
    /// Units move from the actor to `to`: at once if `to` signed too, else as a credit to be claimed.
    Transfer {
        /// Receives.
        to: AccountId,
        /// Base units.
        amount: u128,
        /// Whether `to` signed too.
        bilateral: bool,
    },
    /// The actor takes a credit out of its inbox.
    Claim {
        /// The credit.
        credit: CreditId,
        /// Who sent or minted it.
        from: AccountId,
        /// Base units.
        amount: u128,
    },
    /// The actor puts a hold on its own units.
    Hold {
        /// Who may release or execute it.
        beneficiary: AccountId,
        /// Base units.
        amount: u128,
        /// What the hold permits.
        kind: HoldKind,
        /// When it ends by itself, in ms since the Unix epoch.
        expires_ms: Option<u64>,
    },
    /// The actor ends a hold in the owner's favour.
    Release {
        /// The hold.
        hold: Hold,
    },
    /// The actor ends a hold by moving the amount to the beneficiary.
    Execute {
        /// The hold.
        hold: Hold,
    },
    /// The actor calls a method of one of the token's policies.
    Invoke {
        /// The position of the policy that is called. The others accept or refuse the call as bystanders.
        policy_index: u8,
        /// The method's name.
        method: String,
        /// Its arguments.
        args: Vec<Value>,
    },
    /// An operation that concerns no token, such as a rotation of keys.
    Other,
    /// A policy takes the place of another and finds its state. Only the incoming policy is asked.
    Upgrade {
        /// The position that it takes.
        policy_index: u8,
        /// The policy that it replaces.
        from: PolicyId,
    },
}

/// An account that signed, with the verified keys.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signer {
    /// The account.
    pub account: AccountId,
    /// Distinct keys whose signatures verified; at least the account's threshold.
    pub keys: Vec<SignedKey>,
}

/// A key whose signature verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedKey {
    /// The key.
    pub key: KeyId,
    /// The role that the account's key set gives it.
    pub role: u8,
}

/// The position of one account in the judged token.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Party {
    /// The account.
    pub account: AccountId,
    /// Base units owned, held ones included.
    pub balance: u128,
    /// Base units owned and not held.
    pub available: u128,
    /// Whether a policy froze the account for this token.
    pub frozen: bool,
    /// Its live holds in this token.
    pub holds: Vec<Hold>,
}

/// A balance in another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ForeignBalance {
    /// The position in the description's list of foreign reads.
    pub read: u8,
    /// The token.
    pub token: TokenId,
    /// The account.
    pub account: AccountId,
    /// Base units owned.
    pub balance: u128,
    /// Base units owned and not held.
    pub available: u128,
}

/// Part of a balance that its owner cannot move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hold {
    /// The hold.
    pub id: HoldId,
    /// The token.
    pub token: TokenId,
    /// Whose units are held.
    pub owner: AccountId,
    /// Who may release or execute it.
    pub beneficiary: AccountId,
    /// Base units.
    pub amount: u128,
    /// What the hold permits.
    pub kind: HoldKind,
    /// When it ends by itself, in ms since the Unix epoch. There are no timers: from then on it does not count.
    pub expires_ms: Option<u64>,
}

impl Hold {
    /// Whether the hold still counts at `time_ms`.
    pub const fn is_live(&self, time_ms: u64) -> bool {
        match self.expires_ms {
            Some(end) => time_ms < end,
            None => true,
        }
    }
}

/// What a hold permits to the accounts that sign. The token's own policies may release any hold and execute any but
/// a lock, because they are the law of the token.
///
/// | kind | released by | executed by |
/// |---|---|---|
/// | pledge | beneficiary | beneficiary |
/// | lien | beneficiary | beneficiary |
/// | lock | beneficiary | nobody |
/// | escrow | beneficiary | owner |
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum HoldKind {
    /// Security for a debt, given by the owner.
    Pledge,
    /// A claim on the units by law or contract.
    Lien,
    /// Units that rest until released or expired.
    Lock,
    /// Units set aside to pay the beneficiary when the owner agrees.
    Escrow,
}
