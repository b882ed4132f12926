//! Token chains: a token's unchanging terms and its shared state.

use crate::{Compact, Trie, hash, tag};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{AccountId, Digest, PolicyId, TokenId, TokenStateId, TokenView, TransitionId, Value, encode};

/// The state of one policy of one token: an ordered space of keys and values.
pub type StateSpace = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a token is, for good. If `upgrades` allows it, other policies than these may judge it by now:
/// [`Token::bound`].
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TokenTerms {
    /// The account that created it.
    pub issuer: AccountId,
    /// The policies that judge it, in order; all must accept.
    pub policies: Vec<PolicyId>,
    /// For each policy its parameters.
    pub params: Vec<Vec<Value>>,
    /// Display name.
    pub name: String,
    /// Display symbol.
    pub symbol: String,
    /// Decimal places of the display unit.
    pub decimals: u8,
    /// Base units that may ever exist at once.
    pub cap: Option<u128>,
    /// Lets one issuer create several tokens under the same policies.
    pub salt: [u8; 32],
    /// Who may replace its policies, and how slowly. `None`: nobody ever.
    pub upgrades: Option<UpgradeTerms>,
}

/// Who may replace the policies of a token, and how slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpgradeTerms {
    /// The position of the policy that may schedule an upgrade and take it back.
    pub by: u8,
    /// How long an upgrade is public before it can be put in force, in ms: 1 to
    /// [`limit::UPGRADE_DELAY_MS_MAX`](crate::limit::UPGRADE_DELAY_MS_MAX).
    pub delay_ms: u64,
}

/// A policy in its place in a token's list.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bound {
    /// The policy.
    pub policy: PolicyId,
    /// Its parameters, in the order of its description.
    pub params: Vec<Value>,
}

/// A policy that is to take a place in a token's list.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Upgrade {
    /// The policy that comes, with its parameters.
    pub to: Bound,
    /// From when on it may be put in force, in ms since the Unix epoch.
    pub due_ms: u64,
}

impl TokenTerms {
    /// The token's id: issuer, policies and salt hashed, so that it can be computed before creation.
    pub fn token(&self) -> TokenId {
        TokenId(hash(tag::TOKEN, &[&encode(&(self.issuer, &self.policies, self.salt))]).0)
    }

    /// The digest of the terms; token states carry it.
    pub fn id(&self) -> Digest {
        hash(tag::TOKEN_TERMS, &[&encode(self)])
    }
}

/// One state of a token chain. The chain moves when supply, policy state or frozen accounts change.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TokenState {
    /// The token.
    pub token: TokenId,
    /// 0 for the first state, then one more each time.
    pub height: u64,
    /// The state before, or [`TokenStateId::NONE`].
    pub parent: TokenStateId,
    /// The transition that led here.
    pub transition: TransitionId,
    /// [`TokenTerms::id`].
    pub terms: Digest,
    /// The policies that judge it now, in order.
    pub policies: Vec<PolicyId>,
    /// Base units that exist.
    pub supply: u128,
    /// Root over the policies' states, the frozen accounts, the upgrades that wait and those in force.
    pub state_root: Digest,
}

impl TokenState {
    /// The id: the digest of these bytes.
    pub fn id(&self) -> TokenStateId {
        TokenStateId(hash(tag::TOKEN_STATE, &[&encode(self)]).0)
    }
}

/// Stands in place of a policy's index for the accounts that policies froze.
const FROZEN_SPACE: u8 = 0xff;
/// The same for upgrades that wait, by position.
const UPGRADE_SPACE: u8 = 0xfe;
/// The same for policies that took the place of others, by position.
const BOUND_SPACE: u8 = 0xfd;

/// A token at its head.
#[derive(Debug, Clone)]
pub struct Token {
    pub(crate) state: TokenState,
    pub(crate) terms: Arc<TokenTerms>,
    pub(crate) bound: Vec<Bound>,
    pub(crate) upgrades: BTreeMap<u8, Upgrade>,
    /// What judged it once: whoever judges its past again needs what these read.
    pub(crate) replaced: Vec<Bound>,
    pub(crate) spaces: Vec<Arc<StateSpace>>,
    pub(crate) frozen: BTreeSet<AccountId>,
    pub(crate) leaves: Trie<Compact>,
}

impl Token {
    pub(crate) fn new(terms: TokenTerms) -> Token {
        let state = TokenState {
            token: terms.token(),
            height: 0,
            parent: TokenStateId::NONE,
            transition: TransitionId::default(),
            terms: terms.id(),
            policies: terms.policies.clone(),
            supply: 0,
            state_root: Digest::default(),
        };
        let spaces = terms.policies.iter().map(|_| Arc::default()).collect();
        let bound = terms.policies.iter().zip(&terms.params);
        Token {
            state,
            bound: bound.map(|(policy, params)| Bound { policy: *policy, params: params.clone() }).collect(),
            terms: Arc::new(terms),
            upgrades: BTreeMap::new(),
            replaced: Vec::new(),
            spaces,
            frozen: BTreeSet::new(),
            leaves: Trie::default(),
        }
    }

    /// The head's content.
    pub fn state(&self) -> &TokenState {
        &self.state
    }

    /// The head.
    pub fn head(&self) -> TokenStateId {
        self.state.id()
    }

    /// What the token is, for good.
    pub fn terms(&self) -> &Arc<TokenTerms> {
        &self.terms
    }

    /// The policies that judge it now, in order.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// The upgrades that wait, by the position that they are for.
    pub fn upgrades(&self) -> &BTreeMap<u8, Upgrade> {
        &self.upgrades
    }

    /// The state of the policy at `index`.
    pub fn space(&self, index: u8) -> Option<&Arc<StateSpace>> {
        self.spaces.get(usize::from(index))
    }

    /// Whether a policy froze `account` for this token.
    pub fn is_frozen(&self, account: &AccountId) -> bool {
        self.frozen.contains(account)
    }

    /// The token as its policies see it.
    pub fn view(&self) -> TokenView {
        TokenView {
            id: self.state.token,
            height: self.state.height,
            issuer: self.terms.issuer,
            supply: self.state.supply,
            cap: self.terms.cap,
            decimals: self.terms.decimals,
        }
    }

    pub(crate) fn write(&mut self, index: u8, key: Vec<u8>, value: Option<Vec<u8>>) {
        let leaf_key = state_key(index, &key);
        let space = Arc::make_mut(&mut self.spaces[usize::from(index)]);
        match value {
            Some(value) => {
                self.leaves.insert(leaf_key.0, hash(tag::STATE_VALUE, &[&value]));
                space.insert(key, value);
            }
            None => {
                self.leaves.remove(&leaf_key.0);
                space.remove(&key);
            }
        }
    }

    /// Schedules an upgrade, or takes it back.
    pub(crate) fn set_upgrade(&mut self, index: u8, upgrade: Option<Upgrade>) {
        let leaf_key = state_key(UPGRADE_SPACE, &[index]);
        match upgrade {
            Some(upgrade) => {
                self.leaves.insert(leaf_key.0, hash(tag::STATE_VALUE, &[&encode(&upgrade)]));
                self.upgrades.insert(index, upgrade);
            }
            None => {
                self.leaves.remove(&leaf_key.0);
                self.upgrades.remove(&index);
            }
        }
    }

    /// Puts the scheduled upgrade of `index` in force, if there is one.
    pub(crate) fn upgrade(&mut self, index: u8) {
        let Some(Upgrade { to, .. }) = self.upgrades.get(&index).cloned() else { return };
        self.set_upgrade(index, None);
        self.leaves.insert(state_key(BOUND_SPACE, &[index]).0, hash(tag::STATE_VALUE, &[&encode(&to)]));
        self.state.policies[usize::from(index)] = to.policy;
        let from = core::mem::replace(&mut self.bound[usize::from(index)], to);
        self.replaced.push(from);
    }

    pub(crate) fn set_frozen(&mut self, account: AccountId, frozen: bool) {
        let leaf_key = state_key(FROZEN_SPACE, &account.0);
        if frozen {
            self.leaves.insert(leaf_key.0, hash(tag::STATE_VALUE, &[]));
            self.frozen.insert(account);
        } else {
            self.leaves.remove(&leaf_key.0);
            self.frozen.remove(&account);
        }
    }
}

fn state_key(index: u8, key: &[u8]) -> Digest {
    hash(tag::STATE_KEY, &[&[index], key])
}
