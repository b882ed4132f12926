//! The rules that the host keeps whatever a policy says: from an approved transition to the changes it makes.
//!
//! Everything is checked against the state before the transition: what leaves an account or is newly held in it
//! must be available beforehand, so the order of operations never matters.

use crate::bridge::BridgeVerdict;
use crate::judge::terms_of;
use crate::{
    Approved, Bound, BridgeState, Conviction, Credit, Genesis, KeySet, Ledger, LockUse, Operation,
    OperationKind, PolicyEffects, PolicyRecord, Precommitment, Refusal, SignedBy, Status, TokenTerms,
    Upgrade, UsedLock, VerifiedTransition, hash, relationship_key, tag,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::cmp::Ordering;
use dsm_abi::{
    AccountId, Action, BridgeId, CreditId, Digest, Effect, Evidence, Hold, HoldId, HoldKind, Leg, PolicyId,
    TokenId, TransitionId, encode, lane, limit,
};
use dsm_evm_proof::{Payload, REFUND_TAG, Refund};

/// An entry of the event stream that a policy added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The token.
    pub token: TokenId,
    /// The policy's position.
    pub policy_index: u8,
    /// What it is about.
    pub topic: String,
    /// The content.
    pub payload: Vec<u8>,
}

/// What an account's move consists of.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccountChange {
    /// Whether the account itself signed; others move it when they end or extend its holds.
    pub(crate) signed: bool,
    pub(crate) created: Option<Genesis>,
    pub(crate) keys: Option<KeySet>,
    pub(crate) status: Option<Status>,
    pub(crate) precommitment: Option<Precommitment>,
    /// Taken from what is available.
    pub(crate) debits: BTreeMap<TokenId, u128>,
    /// Taken out of a hold that ends.
    pub(crate) executed: BTreeMap<TokenId, u128>,
    pub(crate) credits: BTreeMap<TokenId, u128>,
    pub(crate) new_holds: Vec<Hold>,
    pub(crate) extended_holds: Vec<Hold>,
    pub(crate) ended_holds: BTreeSet<HoldId>,
    pub(crate) tips: BTreeMap<Digest, Digest>,
}

/// What a token's move consists of.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenChange {
    pub(crate) created: Option<TokenTerms>,
    pub(crate) minted: u128,
    pub(crate) burned: u128,
    pub(crate) writes: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>>,
    pub(crate) frozen: BTreeMap<AccountId, bool>,
    /// What policies scheduled or, `None`, took back.
    pub(crate) scheduled: BTreeMap<u8, Option<Upgrade>>,
    /// The position whose scheduled upgrade comes into force.
    pub(crate) upgraded: Option<u8>,
}

/// Everything that a transition changes; only [`Ledger::commit`] can use it.
#[derive(Debug, Clone)]
pub struct Changes {
    pub(crate) verified: VerifiedTransition,
    pub(crate) time_ms: u64,
    pub(crate) effects: Vec<PolicyEffects>,
    pub(crate) published: Vec<PolicyRecord>,
    pub(crate) accounts: BTreeMap<AccountId, AccountChange>,
    pub(crate) tokens: BTreeMap<TokenId, TokenChange>,
    pub(crate) new_credits: Vec<Credit>,
    pub(crate) claimed: BTreeSet<CreditId>,
    pub(crate) nullifiers: Vec<Digest>,
    pub(crate) events: Vec<Event>,
    pub(crate) bridges: BTreeMap<BridgeId, BridgeState>,
    pub(crate) locks: Vec<UsedLock>,
    pub(crate) emissions: Vec<Emission>,
}

/// An entry for the outbox that has no place there yet.
#[derive(Debug, Clone)]
pub(crate) struct Emission {
    pub(crate) lane: u32,
    pub(crate) token: TokenId,
    pub(crate) actor: AccountId,
    pub(crate) payload: Vec<u8>,
}

impl Ledger {
    /// Works out what the transition changes and checks the host's rules.
    ///
    /// # Errors
    /// [`Refusal`]; the ledger is unchanged.
    pub fn settle(&self, approved: Approved) -> Result<Changes, Refusal> {
        let Approved { verified, time_ms, legs, effects, published } = approved;
        let mut settlement = Settlement::new(self, &verified, time_ms);
        let mut descriptions = published.into_iter();
        for (operation, leg) in verified.transition().operations.iter().zip(&legs) {
            if let OperationKind::Publish { policy, module, author } = &operation.kind {
                let description = descriptions.next().ok_or(Refusal::PolicyMissing(*policy))?;
                let record = PolicyRecord::new(*policy, *module, *author, operation.actor, description);
                settlement.publish(record)?;
            } else {
                settlement.operation(operation, leg)?;
            }
        }
        for found in verified.bridge_moves() {
            settlement.move_bridge(found.bridge, found.verdict.clone())?;
        }
        for given in &effects {
            let actor = settlement.author(given, &legs)?;
            for effect in &given.effects {
                settlement.effect(given, actor, effect)?;
            }
        }
        settlement.check_sums()?;
        let direct = &legs[..verified.transition().operations.len()];
        let locks = Answers::of(direct, &effects).check(&verified, time_ms)?;
        let Settlement {
            published, accounts, tokens, new_credits, claimed, events, bridges, emissions, ..
        } = settlement;
        let nullifiers = verified.evidence().iter().filter_map(|evidence| evidence.nullifier).collect();
        Ok(Changes {
            verified,
            time_ms,
            effects,
            published,
            accounts,
            tokens,
            new_credits,
            claimed,
            nullifiers,
            events,
            bridges,
            locks,
            emissions,
        })
    }
}

struct Settlement<'a> {
    ledger: &'a Ledger,
    id: TransitionId,
    time_ms: u64,
    signers: Vec<AccountId>,
    /// The signers whose signatures let policies take units from them: not those that used recovery keys.
    consenting: Vec<AccountId>,
    entropy: [u8; 32],
    published: Vec<PolicyRecord>,
    accounts: BTreeMap<AccountId, AccountChange>,
    tokens: BTreeMap<TokenId, TokenChange>,
    new_credits: Vec<Credit>,
    claimed: BTreeSet<CreditId>,
    ended: BTreeSet<HoldId>,
    holds: u16,
    events: Vec<Event>,
    bridges: BTreeMap<BridgeId, BridgeState>,
    emissions: Vec<Emission>,
}

impl<'a> Settlement<'a> {
    fn new(ledger: &'a Ledger, verified: &VerifiedTransition, time_ms: u64) -> Self {
        let signers: Vec<AccountId> = verified.signers().iter().map(|signer| signer.account).collect();
        let by_keys = verified.signers().iter().filter(|signer| signer.by == SignedBy::Keys);
        let consenting = by_keys.map(|signer| signer.account).collect();
        let signed = AccountChange { signed: true, ..AccountChange::default() };
        Settlement {
            ledger,
            id: verified.id(),
            time_ms,
            entropy: verified.transition().entropy,
            accounts: signers.iter().map(|account| (*account, signed.clone())).collect(),
            signers,
            consenting,
            published: Vec::new(),
            tokens: BTreeMap::new(),
            new_credits: Vec::new(),
            claimed: BTreeSet::new(),
            ended: BTreeSet::new(),
            holds: 0,
            events: Vec::new(),
            bridges: BTreeMap::new(),
            emissions: Vec::new(),
        }
    }

    fn publish(&mut self, record: PolicyRecord) -> Result<(), Refusal> {
        let policy: PolicyId = record.policy;
        if self.ledger.policy(&policy).is_some() {
            return Err(Refusal::PolicyExists(policy));
        }
        self.published.push(record);
        Ok(())
    }

    fn operation(&mut self, operation: &Operation, leg: &Leg) -> Result<(), Refusal> {
        let actor = operation.actor;
        let token = leg.token;
        match &leg.action {
            Action::Other => self.own_account(operation),
            Action::Create => {
                let terms = terms_of(operation).ok_or(Refusal::UnknownToken(token))?;
                if self.tokens.contains_key(&token) {
                    return Err(Refusal::TokenExists(token));
                }
                self.tokens.insert(token, TokenChange { created: Some(terms), ..TokenChange::default() });
                Ok(())
            }
            Action::Mint { to, amount } => self.mint(token, actor, *to, *amount),
            Action::Burn { amount } => self.burn(token, actor, *amount),
            Action::Transfer { to, amount, bilateral } => {
                let OperationKind::Transfer { memo, .. } = &operation.kind else {
                    return Err(Refusal::UsedTwice);
                };
                self.debit(actor, token, *amount)?;
                if *bilateral {
                    self.advance_tip(actor, *to, operation);
                }
                self.pay(token, actor, *to, *amount, memo.clone())
            }
            Action::Claim { credit, amount, from: _ } => {
                if !self.claimed.insert(*credit) {
                    return Err(Refusal::UsedTwice);
                }
                self.credit(actor, token, *amount)
            }
            Action::Hold { beneficiary, amount, kind, expires_ms } => {
                self.hold(token, actor, *beneficiary, *amount, *kind, *expires_ms)
            }
            Action::Release { hold } => {
                if actor != hold.beneficiary {
                    return Err(Refusal::HoldNotPermitted(hold.id));
                }
                self.end_hold(hold)
            }
            Action::Execute { hold } => {
                let executor = match hold.kind {
                    HoldKind::Pledge | HoldKind::Lien => Some(hold.beneficiary),
                    HoldKind::Escrow => Some(hold.owner),
                    HoldKind::Lock => None,
                };
                if executor != Some(actor) {
                    return Err(Refusal::HoldNotPermitted(hold.id));
                }
                self.execute_hold(hold)
            }
            Action::Invoke { .. } => Ok(()),
            Action::Upgrade { policy_index, .. } => {
                self.ledger.due_upgrade(token, *policy_index, self.time_ms)?;
                self.token(token).upgraded = Some(*policy_index);
                Ok(())
            }
        }
    }

    /// Operations about the acting account itself.
    fn own_account(&mut self, operation: &Operation) -> Result<(), Refusal> {
        let change = self.account(operation.actor);
        match &operation.kind {
            OperationKind::CreateAccount { genesis } => change.created = Some(genesis.clone()),
            OperationKind::RotateKeys { keys } | OperationKind::Recover { keys } => {
                change.keys = Some(keys.clone());
            }
            OperationKind::Precommit { shape, until_ms } => {
                change.precommitment = Some(Precommitment { shape: *shape, until_ms: *until_ms });
            }
            OperationKind::Revoke => change.status = Some(Status::Revoked),
            OperationKind::OpenBridge { config } => {
                let state = BridgeState::new(config.clone(), self.time_ms);
                return self.set_bridge(config.id(), state, false);
            }
            OperationKind::Emit { lane, payload } => {
                return self.emit(TokenId::NONE, 0, operation.actor, *lane, payload);
            }
            OperationKind::Publish { .. }
            | OperationKind::CreateToken { .. }
            | OperationKind::Mint { .. }
            | OperationKind::Burn { .. }
            | OperationKind::Transfer { .. }
            | OperationKind::Claim { .. }
            | OperationKind::Hold { .. }
            | OperationKind::Release { .. }
            | OperationKind::Execute { .. }
            | OperationKind::Invoke { .. }
            | OperationKind::Upgrade { .. }
            // What their headers say is applied at once for all operations.
            | OperationKind::AdvanceBridge { .. }
            | OperationKind::ConvictBridge { .. } => {}
        }
        Ok(())
    }

    /// The actor of the leg that the effects belong to. `judge` pairs effects, leg and policy; a damaged record
    /// may not.
    fn author(&self, given: &PolicyEffects, legs: &[Leg]) -> Result<AccountId, Refusal> {
        let PolicyEffects { leg, token, policy_index, .. } = *given;
        let policies = match (self.ledger.token(&token), self.tokens.get(&token)) {
            (Some(found), _) => found.terms().policies.len(),
            (None, Some(TokenChange { created: Some(terms), .. })) => terms.policies.len(),
            (None, _) => 0,
        };
        let refuse = |what| Err(Refusal::EffectNotPermitted { token, policy_index, what });
        match legs.get(usize::from(leg)) {
            Some(leg) if leg.token == token && usize::from(policy_index) < policies => {
                if let Action::Upgrade { policy_index: incoming, .. } = leg.action {
                    if incoming != policy_index {
                        return refuse("effects on an upgrade by a policy that does not come");
                    }
                    if !given.effects.iter().all(is_migration) {
                        return refuse("more than its own state and events in an upgrade");
                    }
                }
                Ok(leg.actor)
            }
            Some(_) | None => refuse("effects on a leg or by a policy that is not there"),
        }
    }

    fn effect(&mut self, given: &PolicyEffects, actor: AccountId, effect: &Effect) -> Result<(), Refusal> {
        let (token, policy_index) = (given.token, given.policy_index);
        let refuse = |what| Refusal::EffectNotPermitted { token, policy_index, what };
        let signed = |settlement: &Self, account: &AccountId| {
            if settlement.consenting.contains(account) {
                Ok(())
            } else {
                Err(refuse("an account that did not sign"))
            }
        };
        let nonzero = |amount: u128| if amount == 0 { Err(refuse("an amount of zero")) } else { Ok(()) };
        match effect {
            Effect::SetState { key, value } => self.write(given, key, Some(value.clone())),
            Effect::DeleteState { key } => self.write(given, key, None),
            Effect::CreateHold { owner, beneficiary, amount, kind, expires_ms } => {
                nonzero(*amount)?;
                signed(self, owner)?;
                self.hold(token, *owner, *beneficiary, *amount, *kind, *expires_ms)
            }
            Effect::ExtendHold { hold, expires_ms } => {
                let mut hold = *self.own_hold(hold, token)?;
                let later = match (hold.expires_ms, expires_ms) {
                    (Some(now), Some(then)) => then >= &now,
                    (_, None) => true,
                    (None, Some(_)) => false,
                };
                if !later || !hold.is_live(self.time_ms) {
                    return Err(refuse("an extension that does not extend a live hold"));
                }
                if !self.ended.insert(hold.id) {
                    return Err(Refusal::UsedTwice);
                }
                hold.expires_ms = *expires_ms;
                self.account(hold.owner).extended_holds.push(hold);
                Ok(())
            }
            Effect::ReleaseHold { hold } => self.end_hold(&self.own_hold(hold, token)?.clone()),
            Effect::ExecuteHold { hold } => self.execute_hold(&self.own_hold(hold, token)?.clone()),
            Effect::Event { topic, payload } => {
                let (topic, payload) = (topic.clone(), payload.clone());
                self.events.push(Event { token, policy_index, topic, payload });
                Ok(())
            }
            Effect::Emit { lane, payload } => self.emit(token, policy_index, actor, *lane, payload),
            Effect::Freeze { account } => self.freeze(given, *account, true),
            Effect::Unfreeze { account } => self.freeze(given, *account, false),
            Effect::Mint { to, amount } => {
                nonzero(*amount)?;
                self.mint(token, actor, *to, *amount)
            }
            Effect::Burn { from, amount } => {
                nonzero(*amount)?;
                signed(self, from)?;
                self.burn(token, *from, *amount)
            }
            Effect::Transfer { from, to, amount } => {
                nonzero(*amount)?;
                signed(self, from)?;
                self.debit(*from, token, *amount)?;
                self.pay(token, *from, *to, *amount, Vec::new())
            }
            Effect::ScheduleUpgrade { policy_index: index, policy, params, due_ms } => {
                let to = Bound { policy: *policy, params: params.clone() };
                self.change_upgrade(given, *index, Some(Upgrade { to, due_ms: *due_ms }))
            }
            Effect::CancelUpgrade { policy_index: index } => self.change_upgrade(given, *index, None),
        }
    }

    /// Lets an upgrade wait or, without one, ends the one that waits: if the token's terms let this policy.
    fn change_upgrade(
        &mut self,
        given: &PolicyEffects,
        index: u8,
        change: Option<Upgrade>,
    ) -> Result<(), Refusal> {
        let (token, policy_index) = (given.token, given.policy_index);
        let refuse = |what| Refusal::EffectNotPermitted { token, policy_index, what };
        let found = self.ledger.token(&token);
        let found = found.ok_or_else(|| refuse("an upgrade of a token that is only being created"))?;
        let terms = found.terms().upgrades.filter(|terms| terms.by == policy_index);
        let terms =
            terms.ok_or_else(|| refuse("an upgrade that the token's terms do not let it schedule"))?;
        let waits = found.upgrades().contains_key(&index);
        match &change {
            None if !waits => return Err(refuse("the end of an upgrade that does not wait")),
            None => {}
            Some(upgrade) => {
                if usize::from(index) >= found.bound().len() {
                    return Err(Refusal::UnknownPolicyIndex { token, index });
                }
                if upgrade.due_ms < self.time_ms.saturating_add(terms.delay_ms) {
                    return Err(refuse("an upgrade sooner than the token's terms allow"));
                }
                if waits {
                    return Err(refuse("an upgrade while another one waits"));
                }
                if !crate::shape::fits(&upgrade.to.params) {
                    return Err(refuse("an upgrade with parameters that are too long"));
                }
                self.ledger.check_bound(usize::from(index), &upgrade.to.policy, &upgrade.to.params)?;
            }
        }
        match self.token(token).scheduled.insert(index, change) {
            None => Ok(()),
            Some(_) => Err(Refusal::WriteConflict { token, policy_index }),
        }
    }

    fn emit(
        &mut self,
        token: TokenId,
        policy_index: u8,
        actor: AccountId,
        lane: u32,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let refuse = |what| Refusal::EffectNotPermitted { token, policy_index, what };
        if payload.len() > limit::EMIT_BYTES_MAX {
            return Err(refuse("an outbox entry that is too long"));
        }
        if self.emissions.len() == crate::limit::EMISSIONS_MAX {
            return Err(refuse("more outbox entries than a transition may make"));
        }
        self.emissions.push(Emission { lane, token, actor, payload: payload.to_vec() });
        Ok(())
    }

    /// What verified headers say of a bridge; the link check has found that they still count.
    fn move_bridge(&mut self, bridge: BridgeId, verdict: BridgeVerdict) -> Result<(), Refusal> {
        let mut state = self.ledger.bridge_state(&bridge).ok_or(Refusal::UnknownBridge(bridge))?.clone();
        match verdict {
            BridgeVerdict::Advance { first, last, time_s, validators } => {
                if first <= state.height {
                    return Err(Refusal::BlockNotNewer { bridge, height: state.height, found: first });
                }
                state.height = last;
                state.trusted_ms = state.trusted_ms.max(time_s.saturating_mul(1000));
                state.validators = validators;
            }
            BridgeVerdict::Convict { height, a, b } => {
                state.frozen = Some(Conviction { height, a, b, transition: self.id });
            }
        }
        self.set_bridge(bridge, state, true)
    }

    fn set_bridge(&mut self, bridge: BridgeId, state: BridgeState, exists: bool) -> Result<(), Refusal> {
        match self.ledger.bridge_state(&bridge) {
            None if exists => return Err(Refusal::UnknownBridge(bridge)),
            Some(_) if !exists => return Err(Refusal::BridgeExists(bridge)),
            None | Some(_) => {}
        }
        match self.bridges.insert(bridge, state) {
            None => Ok(()),
            Some(_) => Err(Refusal::UsedTwice),
        }
    }

    fn own_hold(&self, hold: &HoldId, token: TokenId) -> Result<&'a Hold, Refusal> {
        let found = self.ledger.hold(hold).ok_or(Refusal::UnknownHold(*hold))?;
        if found.token == token { Ok(found) } else { Err(Refusal::HoldNotPermitted(*hold)) }
    }

    fn account(&mut self, account: AccountId) -> &mut AccountChange {
        self.accounts.entry(account).or_default()
    }

    fn token(&mut self, token: TokenId) -> &mut TokenChange {
        self.tokens.entry(token).or_default()
    }

    fn mint(
        &mut self,
        token: TokenId,
        minter: AccountId,
        to: AccountId,
        amount: u128,
    ) -> Result<(), Refusal> {
        let minted = &mut self.token(token).minted;
        *minted = minted.checked_add(amount).ok_or(Refusal::Overflow(token))?;
        self.pay(token, minter, to, amount, Vec::new())
    }

    fn burn(&mut self, token: TokenId, from: AccountId, amount: u128) -> Result<(), Refusal> {
        let burned = &mut self.token(token).burned;
        *burned = burned.checked_add(amount).ok_or(Refusal::Overflow(token))?;
        self.debit(from, token, amount)
    }

    fn debit(&mut self, account: AccountId, token: TokenId, amount: u128) -> Result<(), Refusal> {
        self.check_not_frozen(account, token)?;
        add(&mut self.account(account).debits, token, amount)
    }

    fn credit(&mut self, account: AccountId, token: TokenId, amount: u128) -> Result<(), Refusal> {
        self.check_not_frozen(account, token)?;
        add(&mut self.account(account).credits, token, amount)
    }

    fn check_not_frozen(&self, account: AccountId, token: TokenId) -> Result<(), Refusal> {
        let frozen = self.ledger.token(&token).is_some_and(|token| token.is_frozen(&account));
        if frozen { Err(Refusal::Frozen { account, token }) } else { Ok(()) }
    }

    /// Gives units to `to`: at once if it signed, else as a credit in its inbox.
    fn pay(
        &mut self,
        token: TokenId,
        from: AccountId,
        to: AccountId,
        amount: u128,
        memo: Vec<u8>,
    ) -> Result<(), Refusal> {
        if self.signers.contains(&to) {
            return self.credit(to, token, amount);
        }
        self.check_not_frozen(to, token)?;
        match self.ledger.account(&to) {
            None => return Err(Refusal::UnknownAccount(to)),
            Some(found) if found.state().status == Status::Revoked => return Err(Refusal::Revoked(to)),
            Some(_) => {}
        }
        let index = self.new_credits.len() as u16;
        let id = CreditId(hash(tag::CREDIT, &[&self.id.0, &index.to_le_bytes()]).0);
        self.new_credits.push(Credit { id, token, from, to, amount, memo, time_ms: self.time_ms });
        Ok(())
    }

    fn hold(
        &mut self,
        token: TokenId,
        owner: AccountId,
        beneficiary: AccountId,
        amount: u128,
        kind: HoldKind,
        expires_ms: Option<u64>,
    ) -> Result<(), Refusal> {
        self.check_not_frozen(owner, token)?;
        if self.ledger.account(&beneficiary).is_none() {
            return Err(Refusal::UnknownAccount(beneficiary));
        }
        let id = HoldId(hash(tag::HOLD, &[&self.id.0, &self.holds.to_le_bytes()]).0);
        self.holds += 1;
        let hold = Hold { id, token, owner, beneficiary, amount, kind, expires_ms };
        self.account(owner).new_holds.push(hold);
        Ok(())
    }

    fn end_hold(&mut self, hold: &Hold) -> Result<(), Refusal> {
        if !self.ended.insert(hold.id) {
            return Err(Refusal::UsedTwice);
        }
        self.account(hold.owner).ended_holds.insert(hold.id);
        Ok(())
    }

    fn execute_hold(&mut self, hold: &Hold) -> Result<(), Refusal> {
        if hold.kind == HoldKind::Lock {
            return Err(Refusal::HoldNotPermitted(hold.id));
        }
        if !hold.is_live(self.time_ms) {
            return Err(Refusal::UnknownHold(hold.id));
        }
        self.end_hold(hold)?;
        self.check_not_frozen(hold.owner, hold.token)?;
        add(&mut self.account(hold.owner).executed, hold.token, hold.amount)?;
        self.pay(hold.token, hold.owner, hold.beneficiary, hold.amount, Vec::new())
    }

    /// Moves the tip of a relationship in both maps:
    /// `H("tip", lp(parent tip) ‖ lp(operation) ‖ lp(entropy))`, where `lp` puts a little-endian u32 length before.
    fn advance_tip(&mut self, one: AccountId, other: AccountId, operation: &Operation) {
        let key = relationship_key(&one, &other);
        let parent = self
            .accounts
            .get(&one)
            .and_then(|change| change.tips.get(&key))
            .copied()
            .or_else(|| self.ledger.account(&one).and_then(|account| account.tips().get(&key)).copied());
        let parent: Vec<u8> = parent.map(|tip| tip.0.to_vec()).unwrap_or_default();
        let tip = hash(tag::TIP, &[&encode(&(parent, encode(operation), self.entropy.to_vec()))]);
        self.account(one).tips.insert(key, tip);
        self.account(other).tips.insert(key, tip);
    }

    fn write(&mut self, given: &PolicyEffects, key: &[u8], value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let (token, policy_index) = (given.token, given.policy_index);
        let fits = !key.is_empty()
            && key.len() <= limit::STATE_KEY_BYTES_MAX
            && value.as_ref().is_none_or(|value| value.len() <= limit::STATE_VALUE_BYTES_MAX);
        if !fits {
            let what = "a state key or value that is too long";
            return Err(Refusal::EffectNotPermitted { token, policy_index, what });
        }
        match self.token(token).writes.insert((policy_index, key.to_vec()), value) {
            None => Ok(()),
            Some(_) => Err(Refusal::WriteConflict { token, policy_index }),
        }
    }

    fn freeze(&mut self, given: &PolicyEffects, account: AccountId, frozen: bool) -> Result<(), Refusal> {
        let (token, policy_index) = (given.token, given.policy_index);
        match self.token(token).frozen.insert(account, frozen) {
            None => Ok(()),
            Some(_) => Err(Refusal::WriteConflict { token, policy_index }),
        }
    }

    /// What every account and token must satisfy once all legs are added up.
    fn check_sums(&self) -> Result<(), Refusal> {
        for (account, change) in &self.accounts {
            self.check_account(*account, change)?;
        }
        let mut net: BTreeMap<TokenId, (u128, u128)> = BTreeMap::new();
        for (token, change) in &self.tokens {
            self.check_supply(*token, change)?;
            count(&mut net, *token, change.minted, change.burned)?;
        }
        for change in self.accounts.values() {
            for (token, amount) in change.debits.iter().chain(&change.executed) {
                count(&mut net, *token, *amount, 0)?;
            }
            for (token, amount) in &change.credits {
                count(&mut net, *token, 0, *amount)?;
            }
        }
        for credit in &self.new_credits {
            count(&mut net, credit.token, 0, credit.amount)?;
        }
        for credit in &self.claimed {
            let credit = self.ledger.credit(credit).ok_or(Refusal::UnknownCredit(*credit))?;
            count(&mut net, credit.token, credit.amount, 0)?;
        }
        match net.iter().find(|(_, (sources, uses))| sources != uses) {
            Some((token, _)) => Err(Refusal::Conservation(*token)),
            None => Ok(()),
        }
    }

    fn check_account(&self, account: AccountId, change: &AccountChange) -> Result<(), Refusal> {
        let mut needs = change.debits.clone();
        for hold in &change.new_holds {
            add(&mut needs, hold.token, hold.amount)?;
        }
        let found = self.ledger.account(&account);
        for (token, needed) in &needs {
            let (token, needed) = (*token, *needed);
            let balance = found.map_or(0, |found| found.balance(&token));
            let available = found.map_or(0, |found| found.available(&token, self.time_ms));
            if needed > balance {
                return Err(Refusal::InsufficientFunds { account, token, balance, needed });
            }
            if needed > available {
                return Err(Refusal::UnderHold { account, token, available, needed });
            }
        }
        for hold in &change.new_holds {
            let token = hold.token;
            let before = found.map_or(0, |found| found.live_holds(token, self.time_ms).count());
            let added = change.new_holds.iter().filter(|other| other.token == token).count();
            if before + added > limit::HOLDS_MAX {
                return Err(Refusal::TooManyHolds { account, token });
            }
        }
        Ok(())
    }

    fn check_supply(&self, token: TokenId, change: &TokenChange) -> Result<(), Refusal> {
        let found = self.ledger.token(&token);
        let supply = found
            .map_or(0, |found| found.state().supply)
            .checked_add(change.minted)
            .and_then(|supply| supply.checked_sub(change.burned))
            .ok_or(Refusal::Overflow(token))?;
        let cap = match found {
            Some(found) => found.terms().cap,
            None => change.created.as_ref().and_then(|terms| terms.cap),
        };
        match cap {
            Some(cap) if supply > cap => Err(Refusal::OverCap { token, supply, cap }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether a policy that takes over may have this effect: it brings the state that it finds into its own form.
fn is_migration(effect: &Effect) -> bool {
    matches!(effect, Effect::SetState { .. } | Effect::DeleteState { .. } | Effect::Event { .. })
}

/// What a transition does that can answer a proven lock.
struct Answers {
    /// Mints, of operations and of requests.
    mints: BTreeMap<(TokenId, AccountId, u128), usize>,
    /// Refunds that policies emit, by token and payload.
    refunds: BTreeMap<(TokenId, Vec<u8>), usize>,
}

impl Answers {
    fn of(direct: &[Leg], effects: &[PolicyEffects]) -> Answers {
        let mut answers = Answers { mints: BTreeMap::new(), refunds: BTreeMap::new() };
        for leg in direct {
            if let Action::Mint { to, amount } = leg.action {
                *answers.mints.entry((leg.token, to, amount)).or_default() += 1;
            }
        }
        for given in effects {
            for effect in &given.effects {
                match effect {
                    Effect::Mint { to, amount } => {
                        *answers.mints.entry((given.token, *to, *amount)).or_default() += 1;
                    }
                    Effect::Emit { lane: lane::EVM, payload } if is_refund(payload) => {
                        *answers.refunds.entry((given.token, payload.clone())).or_default() += 1;
                    }
                    _ => {}
                }
            }
        }
        answers
    }

    /// Demands of each proven lock that the transition credits it exactly once or, from its deadline on, refunds it
    /// exactly once, and of each refund that it belongs to a proven lock. Evidence is used up with the transition, so
    /// otherwise a stranger could burn a lock, or a fool his own.
    fn check(mut self, verified: &VerifiedTransition, time_ms: u64) -> Result<Vec<UsedLock>, Refusal> {
        let mut used = Vec::new();
        let mut due: BTreeMap<(TokenId, AccountId, u128), usize> = BTreeMap::new();
        let locks =
            || verified.evidence().iter().enumerate().filter_map(|(index, one)| Lock::of(index, &one.view));
        for lock in locks().filter(|lock| time_ms < lock.deadline_ms) {
            *due.entry(lock.credit).or_default() += 1;
        }
        for lock in locks() {
            let Lock { index, credit, deadline_ms, .. } = lock;
            let minted = self.mints.get(&credit).copied().unwrap_or(0);
            let due = due.get(&credit).copied().unwrap_or(0);
            let refunded = self.refunds.remove(&(credit.0, lock.refund)).unwrap_or(0);
            let credited = time_ms < deadline_ms;
            let answers = if credited {
                if refunded > 0 {
                    return Err(Refusal::LockNotDue { index, deadline_ms, time_ms });
                }
                minted.cmp(&due)
            } else {
                if minted > due {
                    return Err(Refusal::LockPastDeadline { index, deadline_ms, time_ms });
                }
                refunded.cmp(&1)
            };
            match answers {
                Ordering::Less => return Err(Refusal::LockUnanswered { index }),
                Ordering::Greater => return Err(Refusal::LockAnsweredTwice { index }),
                Ordering::Equal => {}
            }
            let (token, commitment) = (credit.0, lock.commitment);
            let use_of = LockUse { credited, token, commitment, transition: verified.id() };
            used.push(UsedLock { bridge: lock.bridge, nonce: lock.nonce, use_of });
        }
        match self.refunds.pop_first() {
            Some(((token, _), _)) => Err(Refusal::RefundWithoutProof(token)),
            None => Ok(used),
        }
    }
}

/// A proven lock, as the host rule sees it.
struct Lock {
    index: usize,
    bridge: BridgeId,
    nonce: u64,
    deadline_ms: u64,
    commitment: Digest,
    /// The token, the recipient and the amount of the mint that credits it.
    credit: (TokenId, AccountId, u128),
    /// The payload that refunds it.
    refund: Vec<u8>,
}

impl Lock {
    fn of(index: usize, evidence: &Evidence) -> Option<Lock> {
        let Evidence::BridgeProof {
            bridge,
            chain_id,
            contract,
            nonce,
            token,
            recipient,
            amount,
            deadline_ms,
            commitment,
            ..
        } = evidence
        else {
            return None;
        };
        Some(Lock {
            index,
            bridge: *bridge,
            nonce: *nonce,
            deadline_ms: *deadline_ms,
            commitment: *commitment,
            credit: (*token, *recipient, *amount),
            refund: refund_payload(*chain_id, *contract, *nonce, commitment.0),
        })
    }
}

fn refund_payload(chain_id: u64, bridge: [u8; 20], nonce: u64, commitment: [u8; 32]) -> Vec<u8> {
    Payload::Refund(Refund { chain_id, bridge, nonce, commitment }).encode()
}

/// Whether a contract could read the payload as a refund.
fn is_refund(payload: &[u8]) -> bool {
    payload.starts_with(&REFUND_TAG)
}

fn add(sums: &mut BTreeMap<TokenId, u128>, token: TokenId, amount: u128) -> Result<(), Refusal> {
    let sum = sums.entry(token).or_insert(0);
    *sum = sum.checked_add(amount).ok_or(Refusal::Overflow(token))?;
    Ok(())
}

/// Adds to what comes into a transition's sum (`sources`) and what goes out of it (`uses`).
fn count(
    net: &mut BTreeMap<TokenId, (u128, u128)>,
    token: TokenId,
    sources: u128,
    uses: u128,
) -> Result<(), Refusal> {
    let sums = net.entry(token).or_insert((0, 0));
    sums.0 = sums.0.checked_add(sources).ok_or(Refusal::Overflow(token))?;
    sums.1 = sums.1.checked_add(uses).ok_or(Refusal::Overflow(token))?;
    Ok(())
}

impl PolicyRecord {
    fn new(
        policy: PolicyId,
        module: Digest,
        author: dsm_abi::KeyId,
        publisher: AccountId,
        description: dsm_abi::Description,
    ) -> PolicyRecord {
        PolicyRecord { policy, module, author, publisher, description: Arc::new(description) }
    }
}
