//! The ledger: every account and token at its head, and the one way to change them.

use crate::settle::{AccountChange, TokenChange};
use crate::{
    Account, AccountState, BridgeState, Changes, Compact, Event, KeyDirectory, KeySet, KeySetId, LockUse,
    NetworkGenesis, Outbox, OutboxEntry, PolicyEffects, SignedTransition, StateSpace, Status, Token,
    TokenState, Trie, hash, tag,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use borsh::{BorshDeserialize, BorshSerialize};
use core::ops::Bound::{Excluded, Included, Unbounded};
use dsm_abi::{
    AccountId, BridgeId, CreditId, Description, Digest, Hold, HoldId, KeyId, NetworkId, PolicyId, StateId,
    TokenId, TransitionId, encode,
};

/// Units that wait for their recipient to claim them.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Credit {
    /// The credit.
    pub id: CreditId,
    /// The token.
    pub token: TokenId,
    /// Who sent or minted it.
    pub from: AccountId,
    /// Who may claim it.
    pub to: AccountId,
    /// Base units.
    pub amount: u128,
    /// The sender's memo.
    pub memo: Vec<u8>,
    /// When it was made, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// A published policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// The policy.
    pub policy: PolicyId,
    /// BLAKE3-256 of the module's bytes.
    pub module: Digest,
    /// The key that signed the package.
    pub author: KeyId,
    /// The account that published it.
    pub publisher: AccountId,
    /// What it says of itself.
    pub description: Arc<Description>,
}

/// Where all units of a token are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// The supply that the token states.
    pub supply: u128,
    /// The sum of all balances.
    pub balances: u128,
    /// The sum of all unclaimed credits.
    pub inbox: u128,
    /// The sum of all live holds; part of the balances.
    pub held: u128,
}

/// What an accepted transition did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The transition.
    pub transition: TransitionId,
    /// The time that the sequencer gave it, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The new heads of all accounts that moved.
    pub accounts: Vec<AccountState>,
    /// The new heads of all tokens that moved.
    pub tokens: Vec<TokenState>,
    /// Credits that now wait.
    pub credits: Vec<Credit>,
    /// Credits that were claimed.
    pub claimed: Vec<CreditId>,
    /// Holds that now stand.
    pub holds: Vec<Hold>,
    /// What policies told.
    pub events: Vec<Event>,
    /// The transition with its signatures.
    pub signed: SignedTransition,
    /// What policies asked for.
    pub effects: Vec<PolicyEffects>,
    /// Descriptions of the policies it published, in the order of its operations.
    pub published: Vec<Description>,
    /// Where the bridges that it moved now stand.
    pub bridges: Vec<Arc<BridgeState>>,
    /// The locks of bridges that it used.
    pub locks: Vec<UsedLock>,
    /// What it put into the outbox.
    pub emitted: Vec<OutboxEntry>,
}

/// A lock of a bridge with what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedLock {
    /// The bridge.
    pub bridge: BridgeId,
    /// The lock's number in the bridge's contract.
    pub nonce: u64,
    /// What became of it.
    pub use_of: LockUse,
}

/// Every account and token at its head.
#[derive(Debug, Clone)]
pub struct Ledger {
    network: NetworkId,
    time_ms: u64,
    accounts: BTreeMap<AccountId, Account>,
    tokens: BTreeMap<TokenId, Token>,
    policies: BTreeMap<PolicyId, PolicyRecord>,
    credits: BTreeMap<CreditId, Credit>,
    inboxes: BTreeSet<(AccountId, CreditId)>,
    hold_owners: BTreeMap<HoldId, AccountId>,
    consumed: BTreeSet<Digest>,
    bridges: BTreeMap<BridgeId, Arc<BridgeState>>,
    bridge_states: Trie<Compact>,
    locks: BTreeMap<(BridgeId, u64), LockUse>,
    outbox: Outbox,
    account_heads: Trie<Compact>,
    token_heads: Trie<Compact>,
    credit_leaves: Trie<Compact>,
    /// What moved since the tries were last asked for. An account that moves often, or a credit that comes and
    /// goes, costs the tries one change or none.
    moved: Moved,
}

#[derive(Debug, Clone, Default)]
struct Moved {
    accounts: BTreeSet<AccountId>,
    tokens: BTreeSet<TokenId>,
    credits: BTreeSet<CreditId>,
}

impl KeyDirectory for Ledger {
    fn key_set(&self, account: &AccountId) -> Option<(KeySetId, Arc<KeySet>)> {
        let account = self.accounts.get(account)?;
        Some((account.state.keys, Arc::clone(&account.keys)))
    }

    fn key_ids(&self, account: &AccountId) -> Option<Arc<[KeyId]>> {
        Some(Arc::clone(&self.accounts.get(account)?.key_ids))
    }

    fn bridge(&self, bridge: &BridgeId) -> Option<Arc<BridgeState>> {
        self.bridges.get(bridge).cloned()
    }
}

impl Ledger {
    /// An empty ledger of the network that begins with `genesis`.
    pub fn new(genesis: &NetworkGenesis) -> Ledger {
        Ledger {
            network: genesis.network(),
            time_ms: genesis.created_ms,
            accounts: BTreeMap::new(),
            tokens: BTreeMap::new(),
            policies: BTreeMap::new(),
            credits: BTreeMap::new(),
            inboxes: BTreeSet::new(),
            hold_owners: BTreeMap::new(),
            consumed: BTreeSet::new(),
            bridges: BTreeMap::new(),
            bridge_states: Trie::default(),
            locks: BTreeMap::new(),
            outbox: Outbox::default(),
            account_heads: Trie::default(),
            token_heads: Trie::default(),
            credit_leaves: Trie::default(),
            moved: Moved::default(),
        }
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// The time of the last transition, in ms since the Unix epoch.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// An account at its head.
    pub fn account(&self, account: &AccountId) -> Option<&Account> {
        self.accounts.get(account)
    }

    /// All accounts, in order.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = (&AccountId, &Account)> {
        self.accounts.iter()
    }

    /// The accounts behind `after`, in order.
    pub fn accounts_after(&self, after: Option<AccountId>) -> impl Iterator<Item = (&AccountId, &Account)> {
        self.accounts.range((after.map_or(Unbounded, Excluded), Unbounded))
    }

    /// A token at its head.
    pub fn token(&self, token: &TokenId) -> Option<&Token> {
        self.tokens.get(token)
    }

    /// All tokens, in order.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = (&TokenId, &Token)> {
        self.tokens.iter()
    }

    /// The tokens behind `after`, in order.
    pub fn tokens_after(&self, after: Option<TokenId>) -> impl Iterator<Item = (&TokenId, &Token)> {
        self.tokens.range((after.map_or(Unbounded, Excluded), Unbounded))
    }

    /// A published policy.
    pub fn policy(&self, policy: &PolicyId) -> Option<&PolicyRecord> {
        self.policies.get(policy)
    }

    /// All published policies, in order.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &PolicyRecord> {
        self.policies.values()
    }

    /// Where a bridge stands.
    pub fn bridge_state(&self, bridge: &BridgeId) -> Option<&BridgeState> {
        self.bridges.get(bridge).map(Arc::as_ref)
    }

    /// The bridges behind `after`, in order of their ids.
    pub fn bridges_after(
        &self,
        after: Option<BridgeId>,
    ) -> impl Iterator<Item = (&BridgeId, &Arc<BridgeState>)> {
        self.bridges.range((after.map_or(Unbounded, Excluded), Unbounded))
    }

    /// What became of a lock, if a transition used it.
    pub fn lock_use(&self, bridge: &BridgeId, nonce: u64) -> Option<&LockUse> {
        self.locks.get(&(*bridge, nonce))
    }

    /// What policies and accounts said to other chains.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn bridges_root(&mut self) -> Digest {
        self.bridge_states.root()
    }

    /// A credit that waits.
    pub fn credit(&self, credit: &CreditId) -> Option<&Credit> {
        self.credits.get(credit)
    }

    /// The credits that wait for `account`, in order of their ids, after `after`.
    pub fn inbox(&self, account: AccountId, after: Option<CreditId>) -> impl Iterator<Item = &Credit> {
        let start = match after {
            Some(credit) => Excluded((account, credit)),
            None => Included((account, CreditId([0; 32]))),
        };
        self.inboxes
            .range((start, Included((account, CreditId([0xff; 32])))))
            .filter_map(|(_, credit)| self.credits.get(credit))
    }

    /// A hold, live or expired and not yet cleared.
    pub fn hold(&self, hold: &HoldId) -> Option<&Hold> {
        self.accounts.get(self.hold_owners.get(hold)?)?.holds.get(hold)
    }

    /// Whether one-time evidence was used.
    pub fn is_consumed(&self, nullifier: &Digest) -> bool {
        self.consumed.contains(nullifier)
    }

    /// Where all units of `token` are. Walks every account: for tests and audits.
    pub fn totals(&self, token: &TokenId) -> Totals {
        let holds = |account: &Account| -> u128 {
            account.live_holds(*token, self.time_ms).map(|hold| hold.amount).sum()
        };
        Totals {
            supply: self.tokens.get(token).map_or(0, |token| token.state.supply),
            balances: self.accounts.values().map(|account| account.balance(token)).sum(),
            inbox: self.credits.values().filter(|credit| credit.token == *token).map(|c| c.amount).sum(),
            held: self.accounts.values().map(holds).sum(),
        }
    }

    /// The tries over the heads of accounts, the heads of tokens and the waiting credits, brought up to date. A
    /// clone is a snapshot.
    pub(crate) fn tries(&mut self) -> (&mut Trie<Compact>, &mut Trie<Compact>, &mut Trie<Compact>) {
        let moved = core::mem::take(&mut self.moved);
        for account in moved.accounts {
            if let Some(found) = self.accounts.get(&account) {
                self.account_heads.insert(account.0, Digest(found.head.0));
            }
        }
        for token in moved.tokens {
            if let Some(found) = self.tokens.get(&token) {
                self.token_heads.insert(token.0, Digest(found.head().0));
            }
        }
        for credit in moved.credits {
            match self.credits.get(&credit) {
                Some(waiting) => self.credit_leaves.insert(credit.0, credit_leaf(waiting)),
                None => self.credit_leaves.remove(&credit.0),
            }
        }
        (&mut self.account_heads, &mut self.token_heads, &mut self.credit_leaves)
    }

    /// Moves the heads. Cannot fail: [`Ledger::settle`] checked everything against this same state.
    pub fn commit(&mut self, changes: Changes) -> Applied {
        let Changes { verified, time_ms, effects, published, accounts, tokens, locks, .. } = changes;
        let transition = verified.id();
        self.time_ms = time_ms;
        self.consumed.extend(changes.nullifiers);
        for credit in &changes.claimed {
            self.take_credit(credit);
        }
        for credit in &changes.new_credits {
            self.put_credit(credit.clone());
        }
        let holds = accounts.values().flat_map(|change| change.new_holds.iter().copied()).collect();
        let accounts = accounts
            .into_iter()
            .map(|(account, change)| self.move_account(account, change, transition))
            .collect();
        let tokens =
            tokens.into_iter().map(|(token, change)| self.move_token(token, change, transition)).collect();
        let descriptions = published.iter().map(|record| (*record.description).clone()).collect();
        self.policies.extend(published.into_iter().map(|record| (record.policy, record)));
        let bridges: Vec<_> =
            changes.bridges.into_iter().map(|(id, state)| self.move_bridge(id, state)).collect();
        for used in &locks {
            self.locks.insert((used.bridge, used.nonce), used.use_of);
        }
        let emitted: Vec<OutboxEntry> = changes
            .emissions
            .into_iter()
            .map(|emission| self.outbox.append(self.network, transition, emission))
            .collect();
        Applied {
            transition,
            time_ms,
            accounts,
            tokens,
            credits: changes.new_credits,
            claimed: changes.claimed.into_iter().collect(),
            holds,
            events: changes.events,
            signed: verified.into_signed(),
            effects,
            published: descriptions,
            bridges,
            locks,
            emitted,
        }
    }

    fn move_bridge(&mut self, id: BridgeId, state: BridgeState) -> Arc<BridgeState> {
        let state = Arc::new(state);
        self.bridge_states.insert(id.0, state.digest());
        self.bridges.insert(id, Arc::clone(&state));
        state
    }

    fn put_credit(&mut self, credit: Credit) {
        self.moved.credits.insert(credit.id);
        self.inboxes.insert((credit.to, credit.id));
        self.credits.insert(credit.id, credit);
    }

    fn take_credit(&mut self, credit: &CreditId) {
        if let Some(taken) = self.credits.remove(credit) {
            self.inboxes.remove(&(taken.to, taken.id));
            self.moved.credits.insert(*credit);
        }
    }

    fn move_account(
        &mut self,
        id: AccountId,
        change: AccountChange,
        transition: TransitionId,
    ) -> AccountState {
        let time_ms = self.time_ms;
        let created = change.created.map(|genesis| new_account(id, genesis.keys));
        let is_new = created.is_some();
        let account = match created {
            Some(account) => self.accounts.entry(id).or_insert(account),
            None => self.accounts.get_mut(&id).expect("settle found it"),
        };
        let expired: Vec<HoldId> =
            account.holds.values().filter(|hold| !hold.is_live(time_ms)).map(|hold| hold.id).collect();
        for hold in change.ended_holds.iter().chain(&expired) {
            account.remove_hold(hold);
            self.hold_owners.remove(hold);
        }
        for hold in change.new_holds.into_iter().chain(change.extended_holds) {
            self.hold_owners.insert(hold.id, id);
            account.set_hold(hold);
        }
        let touched: BTreeSet<TokenId> = [&change.debits, &change.executed, &change.credits]
            .iter()
            .flat_map(|m| m.keys().copied())
            .collect();
        for token in touched {
            let part = |sums: &BTreeMap<TokenId, u128>| sums.get(&token).copied().unwrap_or(0);
            let left = account.balance(&token) - part(&change.debits) - part(&change.executed);
            let balance = left.checked_add(part(&change.credits)).expect("no more than the supply, a u128");
            account.set_balance(token, balance);
        }
        for (key, tip) in change.tips {
            account.set_tip(key, tip);
        }
        if let Some(keys) = change.keys {
            account.state.keys = keys.id();
            account.key_ids = key_ids(&keys);
            account.keys = Arc::new(keys);
        }
        let state = &mut account.state;
        if !is_new {
            state.height += 1;
            state.parent = account.head;
        }
        state.transition = transition;
        state.assets_root = account.assets.root();
        state.holds_root = account.hold_leaves.root();
        state.relationships_root = account.relationships.root();
        state.status = change.status.unwrap_or(state.status);
        if change.signed {
            state.precommitment = change.precommitment;
        }
        account.head = state.id();
        self.moved.accounts.insert(id);
        account.state.clone()
    }

    fn move_token(&mut self, id: TokenId, change: TokenChange, transition: TransitionId) -> TokenState {
        let created = change.created.map(Token::new);
        let is_new = created.is_some();
        let token = match created {
            Some(token) => self.tokens.entry(id).or_insert(token),
            None => self.tokens.get_mut(&id).expect("settle found it"),
        };
        for ((index, key), value) in change.writes {
            token.write(index, key, value);
        }
        for (account, frozen) in change.frozen {
            token.set_frozen(account, frozen);
        }
        for (index, upgrade) in change.scheduled {
            token.set_upgrade(index, upgrade);
        }
        if let Some(index) = change.upgraded {
            token.upgrade(index);
        }
        if !is_new {
            token.state.parent = token.state.id();
            token.state.height += 1;
        }
        token.state.supply = token.state.supply + change.minted - change.burned;
        token.state.transition = transition;
        token.state.state_root = token.leaves.root();
        self.moved.tokens.insert(id);
        token.state.clone()
    }

    /// The state space of a policy of a token, or an empty one.
    pub fn space(&self, token: &TokenId, policy_index: u8) -> Arc<StateSpace> {
        self.tokens.get(token).and_then(|token| token.space(policy_index)).cloned().unwrap_or_default()
    }
}

/// The leaf that commits to a credit.
pub(crate) fn credit_leaf(credit: &Credit) -> Digest {
    hash(tag::CREDIT_LEAF, &[&encode(credit)])
}

/// An account before its first move: [`Ledger::commit`] fills in the transition, the roots and the head.
fn key_ids(keys: &KeySet) -> Arc<[KeyId]> {
    keys.keys.iter().map(|entry| entry.key.id()).collect()
}

fn new_account(account: AccountId, keys: KeySet) -> Account {
    let state = AccountState {
        account,
        height: 0,
        parent: StateId::NONE,
        transition: TransitionId::default(),
        keys: keys.id(),
        assets_root: Digest::default(),
        holds_root: Digest::default(),
        relationships_root: Digest::default(),
        status: Status::Active,
        precommitment: None,
    };
    Account {
        head: StateId::NONE,
        state,
        key_ids: key_ids(&keys),
        keys: Arc::new(keys),
        balances: BTreeMap::new(),
        holds: BTreeMap::new(),
        tips: BTreeMap::new(),
        assets: Trie::default(),
        hold_leaves: Trie::default(),
        relationships: Trie::default(),
    }
}
