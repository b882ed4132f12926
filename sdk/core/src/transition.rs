//! Transitions: what accounts sign to move their chains forward, and the ids that follow from the bytes.

use crate::{
    Advance, BridgeConfig, EvidenceProof, FinalHeader, KeySet, SignedBy, UpgradeTerms, hash, limit, tag,
};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{
    AccountId, BridgeId, CreditId, DecodeError, Digest, HoldId, HoldKind, KeyId, NetworkId, PolicyId,
    StateId, Suite, TokenId, TransitionId, Value, decode, encode,
};

/// The first bytes of an account; their digest is its id.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// The network that the account belongs to.
    pub network: NetworkId,
    /// The first keys.
    pub keys: KeySet,
    /// Lets one key set open several accounts.
    pub salt: [u8; 32],
}

impl Genesis {
    /// The account that begins with these bytes.
    pub fn account(&self) -> AccountId {
        AccountId(hash(tag::ACCOUNT, &[&encode(self)]).0)
    }
}

/// One thing that one account does.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Operation {
    /// The account that acts; it must be among the transition's parents.
    pub actor: AccountId,
    /// What it does.
    pub kind: OperationKind,
}

/// What an account can do. Amounts are base units and never zero.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OperationKind {
    /// Opens the acting account; its parent is [`StateId::NONE`].
    CreateAccount {
        /// Hashes to the acting account.
        genesis: Genesis,
    },
    /// Replaces the acting account's keys.
    RotateKeys {
        /// The new keys.
        keys: KeySet,
    },
    /// Binds the acting account: until `until_ms` it can only sign a transition of this shape.
    Precommit {
        /// [`Transition::shape`] of the future transition.
        shape: Digest,
        /// When the binding ends, in ms since the Unix epoch.
        until_ms: u64,
    },
    /// Replaces the acting account's keys by its recovery keys. Signed by the recovery keys.
    Recover {
        /// The new keys.
        keys: KeySet,
    },
    /// Closes the acting account for good. Signed by the recovery keys.
    Revoke,
    /// Makes a policy available to tokens. The node must have admitted its package.
    Publish {
        /// The policy.
        policy: PolicyId,
        /// BLAKE3-256 of the module's bytes.
        module: Digest,
        /// The key that signed the package.
        author: KeyId,
    },
    /// Creates a token bound to policies: for good, unless its terms allow upgrades.
    CreateToken {
        /// One to [`dsm_abi::limit::POLICIES_MAX`] published policies; all must accept every operation.
        policies: Vec<PolicyId>,
        /// For each policy its parameters, in the order of its description.
        params: Vec<Vec<Value>>,
        /// Display name: see [`limit::NAME_BYTES_MAX`].
        name: String,
        /// Display symbol: see [`limit::SYMBOL_BYTES_MAX`].
        symbol: String,
        /// Decimal places of the display unit, 0 to 18.
        decimals: u8,
        /// Base units that may ever exist at once.
        cap: Option<u128>,
        /// Lets one issuer create several tokens under the same policies.
        salt: [u8; 32],
        /// Who may replace its policies, and how slowly. `None`: nobody ever.
        upgrades: Option<UpgradeTerms>,
    },
    /// Creates units.
    Mint {
        /// The token.
        token: TokenId,
        /// Receives a credit, or the units at once if it signed.
        to: AccountId,
        /// Base units.
        amount: u128,
    },
    /// Destroys units of the acting account.
    Burn {
        /// The token.
        token: TokenId,
        /// Base units.
        amount: u128,
    },
    /// Moves units: to the recipient's inbox, or at once if the recipient signed too (bilateral).
    Transfer {
        /// The token.
        token: TokenId,
        /// Receives.
        to: AccountId,
        /// Base units.
        amount: u128,
        /// At most [`limit::MEMO_BYTES_MAX`] bytes for the recipient.
        memo: Vec<u8>,
    },
    /// Takes a credit out of the acting account's inbox.
    Claim {
        /// The credit.
        credit: CreditId,
    },
    /// Puts a hold on units of the acting account.
    Hold {
        /// The token.
        token: TokenId,
        /// Base units.
        amount: u128,
        /// Who may release or execute it.
        beneficiary: AccountId,
        /// What the hold permits.
        kind: HoldKind,
        /// When it ends by itself, in ms since the Unix epoch.
        expires_ms: Option<u64>,
    },
    /// Ends a hold in the owner's favour.
    Release {
        /// The hold.
        hold: HoldId,
    },
    /// Ends a hold by moving the amount to the beneficiary.
    Execute {
        /// The hold.
        hold: HoldId,
    },
    /// Calls a method of one of a token's policies.
    Invoke {
        /// The token.
        token: TokenId,
        /// The position of the policy in the token's list.
        policy_index: u8,
        /// The method's name.
        method: String,
        /// Its arguments.
        args: Vec<Value>,
    },
    /// Makes a bridge. Anybody may: a token names the bridge that it believes.
    OpenBridge {
        /// What it is, for good.
        config: BridgeConfig,
    },
    /// Moves a bridge's trusted set to that of newer blocks. Anybody may: the seals decide.
    AdvanceBridge {
        /// The bridge.
        bridge: BridgeId,
        /// 1 to [`limit::HEADERS_MAX`] headers of rising height.
        headers: Vec<Advance>,
    },
    /// Freezes a bridge for good: its trusted set sealed two blocks of one height.
    ConvictBridge {
        /// The bridge.
        bridge: BridgeId,
        /// The one.
        a: FinalHeader,
        /// The other.
        b: FinalHeader,
    },
    /// Appends an entry of the acting account to the outbox.
    Emit {
        /// Whom it is for: see [`dsm_abi::lane`].
        lane: u32,
        /// At most [`dsm_abi::limit::EMIT_BYTES_MAX`] bytes.
        payload: Vec<u8>,
    },
    /// Puts a scheduled upgrade in force. Anybody may once it is due; the incoming policy must accept the state that
    /// it finds. No other operation of the transition concerns the token.
    Upgrade {
        /// The token.
        token: TokenId,
        /// The position of the policy that is replaced.
        policy_index: u8,
    },
}

/// The unsigned body of a transition: atomic, all operations or none.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transition {
    /// The network.
    pub network: NetworkId,
    /// Each signer's head, in ascending order of accounts.
    pub parents: Vec<(AccountId, StateId)>,
    /// One to [`dsm_abi::limit::OPERATIONS_MAX`] operations.
    pub operations: Vec<Operation>,
    /// Evidence for the policies.
    pub evidence: Vec<EvidenceProof>,
    /// The first ms at which it may be accepted, since the Unix epoch.
    pub valid_from_ms: u64,
    /// The first ms at which it may no longer be accepted.
    pub valid_until_ms: u64,
    /// The digest of a memo that is kept elsewhere, or zero.
    pub memo_digest: Digest,
    /// Random bytes: they keep relationship tips unpredictable and equal transitions apart.
    pub entropy: [u8; 32],
}

impl Transition {
    /// The id: the digest of the unsigned body.
    pub fn id(&self) -> TransitionId {
        TransitionId(hash(tag::TRANSITION, &[&encode(self)]).0)
    }

    /// What [`OperationKind::Precommit`] binds to: the digest of the operations alone.
    pub fn shape(&self) -> Digest {
        hash(tag::SHAPE, &[&encode(&self.operations)])
    }

    /// The parent that `account` signs for.
    pub fn parent_of(&self, account: &AccountId) -> Option<StateId> {
        let index = self.parents.binary_search_by_key(account, |(account, _)| *account).ok()?;
        Some(self.parents[index].1)
    }

    /// Which keys of `account` this transition needs: the recovery keys for `Recover` and `Revoke`.
    pub fn signed_by(&self, account: &AccountId) -> SignedBy {
        let recovers = self.operations.iter().any(|operation| {
            operation.actor == *account
                && matches!(operation.kind, OperationKind::Recover { .. } | OperationKind::Revoke)
        });
        if recovers { SignedBy::Recovery } else { SignedBy::Keys }
    }

    /// The genesis by which this transition creates `account`.
    pub fn genesis_of(&self, account: &AccountId) -> Option<&Genesis> {
        self.operations.iter().find_map(|operation| match &operation.kind {
            OperationKind::CreateAccount { genesis } if operation.actor == *account => Some(genesis),
            _ => None,
        })
    }
}

/// One signature of a transition.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signature {
    /// The signer: an index into the transition's parents.
    pub account: u8,
    /// The key: an index into the account's key set, or into its recovery keys.
    pub key: u8,
    /// The suite; must be the key's.
    pub suite: Suite,
    /// The signature.
    pub bytes: Vec<u8>,
}

/// A transition with its signatures, as it travels and is stored.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedTransition {
    /// The body.
    pub transition: Transition,
    /// In ascending order of (account, key), each pair once.
    pub signatures: Vec<Signature>,
}

impl SignedTransition {
    /// Decodes canonical bytes of at most [`limit::SIGNED_BYTES_MAX`].
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<SignedTransition, DecodeError> {
        decode(bytes, limit::SIGNED_BYTES_MAX)
    }
}
