//! Account chains: what an account's head says, and what hangs from it.

use crate::{Compact, KeySet, KeySetId, Relationship, Trie, hash, tag};
use alloc::{collections::BTreeMap, sync::Arc};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{AccountId, Digest, Hold, HoldId, KeyId, StateId, TokenId, TransitionId, encode};

/// Whether an account can still sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Status {
    /// It can.
    Active,
    /// Its recovery keys closed it for good.
    Revoked,
}

/// A binding to a future transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Precommitment {
    /// [`crate::Transition::shape`] of the transition that alone may follow.
    pub shape: Digest,
    /// When the binding ends, in ms since the Unix epoch.
    pub until_ms: u64,
}

/// One state of an account chain.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AccountState {
    /// The account.
    pub account: AccountId,
    /// 0 for the first state, then one more each time.
    pub height: u64,
    /// The state before, or [`StateId::NONE`].
    pub parent: StateId,
    /// The transition that led here.
    pub transition: TransitionId,
    /// The digest of the key set.
    pub keys: KeySetId,
    /// Root over the balances: token → amount.
    pub assets_root: Digest,
    /// Root over the holds.
    pub holds_root: Digest,
    /// Root of the relationship map (256-level sparse Merkle tree).
    pub relationships_root: Digest,
    /// Whether it can still sign.
    pub status: Status,
    /// A binding to a future transition.
    pub precommitment: Option<Precommitment>,
}

impl AccountState {
    /// The id: the digest of these bytes.
    pub fn id(&self) -> StateId {
        StateId(hash(tag::STATE, &[&encode(self)]).0)
    }
}

/// An account at its head, with everything that the head's roots commit to.
#[derive(Debug, Clone)]
pub struct Account {
    pub(crate) state: AccountState,
    pub(crate) head: StateId,
    pub(crate) keys: Arc<KeySet>,
    /// The ids of the keys, in order: hashing 2 KB for each signature would show.
    pub(crate) key_ids: Arc<[KeyId]>,
    pub(crate) balances: BTreeMap<TokenId, u128>,
    pub(crate) holds: BTreeMap<HoldId, Hold>,
    pub(crate) tips: BTreeMap<Digest, Digest>,
    pub(crate) assets: Trie<Compact>,
    pub(crate) hold_leaves: Trie<Compact>,
    pub(crate) relationships: Trie<Relationship>,
}

impl Account {
    /// The head's content.
    pub fn state(&self) -> &AccountState {
        &self.state
    }

    /// The head.
    pub fn head(&self) -> StateId {
        self.head
    }

    /// The keys that speak for the account.
    pub fn keys(&self) -> &Arc<KeySet> {
        &self.keys
    }

    /// All balances in base units, held ones included.
    pub fn balances(&self) -> &BTreeMap<TokenId, u128> {
        &self.balances
    }

    /// All holds, expired ones included until the account next moves.
    pub fn holds(&self) -> &BTreeMap<HoldId, Hold> {
        &self.holds
    }

    /// The tips of bilateral relationships, by [`crate::relationship_key`].
    pub fn tips(&self) -> &BTreeMap<Digest, Digest> {
        &self.tips
    }

    /// Base units of `token` that the account owns.
    pub fn balance(&self, token: &TokenId) -> u128 {
        self.balances.get(token).copied().unwrap_or(0)
    }

    /// The holds in `token` that count at `time_ms`.
    pub fn live_holds(&self, token: TokenId, time_ms: u64) -> impl Iterator<Item = &Hold> {
        self.holds.values().filter(move |hold| hold.token == token && hold.is_live(time_ms))
    }

    /// Base units of `token` that the account can move at `time_ms`.
    pub fn available(&self, token: &TokenId, time_ms: u64) -> u128 {
        let held: u128 = self.live_holds(*token, time_ms).map(|hold| hold.amount).sum();
        self.balance(token).checked_sub(held).expect("settle keeps live holds within the balance")
    }

    pub(crate) fn set_balance(&mut self, token: TokenId, amount: u128) {
        if amount == 0 {
            self.balances.remove(&token);
            self.assets.remove(&token.0);
        } else {
            self.balances.insert(token, amount);
            self.assets.insert(token.0, asset_leaf(&token, amount));
        }
    }

    pub(crate) fn set_hold(&mut self, hold: Hold) {
        self.hold_leaves.insert(hold.id.0, hash(tag::HOLD_LEAF, &[&encode(&hold)]));
        self.holds.insert(hold.id, hold);
    }

    pub(crate) fn remove_hold(&mut self, hold: &HoldId) {
        self.hold_leaves.remove(&hold.0);
        self.holds.remove(hold);
    }

    pub(crate) fn set_tip(&mut self, key: Digest, tip: Digest) {
        self.relationships.insert(key.0, tip);
        self.tips.insert(key, tip);
    }
}

/// The leaf that commits to a balance.
pub(crate) fn asset_leaf(token: &TokenId, amount: u128) -> Digest {
    hash(tag::ASSET_LEAF, &[&token.0, &amount.to_le_bytes()])
}
