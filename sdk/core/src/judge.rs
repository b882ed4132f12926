//! Asking the policies: every leg of a transition is judged by all policies of its token, each against the same
//! frozen state. What a policy requests besides becomes further legs for the token's other policies.

use crate::{
    Bound, Ledger, OperationKind, Refusal, SignedBy, StateSpace, Token, TokenTerms, Upgrade,
    VerifiedTransition,
};
use alloc::{string::String, sync::Arc, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{
    ABI_VERSION, AccountId, Action, Denial, Description, Digest, Effect, Evidence, EvidenceKind,
    ForeignBalance, ForeignTarget, Input, KeyId, Leg, Party, PolicyId, Signer, TokenId, Value, limit,
};

/// A policy's answer about one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It may happen, with these effects.
    Accept(Vec<Effect>),
    /// It may not.
    Reject(Denial),
    /// The policy failed, in the engine's stable word. Refuses.
    Fault(String),
}

/// The host could not run a policy to an end, through no fault of the policy. Nobody may conclude anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoVerdict(pub String);

/// Runs policies.
pub trait Judge {
    /// What the policy's package says: its module, its author and its description; `None` if this node has not
    /// admitted the package.
    fn describe(&self, policy: &PolicyId) -> Option<(Digest, KeyId, Arc<Description>)>;

    /// Runs `policy` on `input`. `foreign` holds the state spaces of the description's foreign reads, in order;
    /// a token that does not exist has an empty one.
    ///
    /// # Errors
    /// [`NoVerdict`] if the host failed, not the policy.
    fn judge(
        &mut self,
        policy: &PolicyId,
        input: &Input,
        state: &Arc<StateSpace>,
        foreign: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict>;
}

/// The effects that one policy gave to one leg.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PolicyEffects {
    /// The leg.
    pub leg: u8,
    /// The token.
    pub token: TokenId,
    /// The policy's position in the token's list.
    pub policy_index: u8,
    /// Never empty.
    pub effects: Vec<Effect>,
}

/// A transition that continues its chains and that every policy accepted.
#[derive(Debug, Clone)]
pub struct Approved {
    pub(crate) verified: VerifiedTransition,
    pub(crate) time_ms: u64,
    pub(crate) legs: Vec<Leg>,
    pub(crate) effects: Vec<PolicyEffects>,
    pub(crate) published: Vec<Description>,
}

/// A query to one of a token's policies, with all that it may read.
#[derive(Debug, Clone)]
pub struct ViewCall {
    /// The policy.
    pub policy: PolicyId,
    /// The argument of `dsm_view`.
    pub input: dsm_abi::ViewInput,
    /// The policy's state.
    pub state: Arc<StateSpace>,
    /// The states of its foreign reads, in order.
    pub foreign: Vec<Arc<StateSpace>>,
}

/// What every call about one transition shares.
struct Frame<'a> {
    verified: &'a VerifiedTransition,
    time_ms: u64,
    signers: Vec<Signer>,
}

impl Ledger {
    /// Whether another transition, or this one, already took its place on a signer's chain.
    pub fn is_stale(&self, verified: &VerifiedTransition) -> bool {
        verified.signers().iter().any(|signer| {
            let parent = verified.transition().parent_of(&signer.account);
            let head = self.account(&signer.account).map(|found| found.head());
            head.is_some_and(|head| Some(head) != parent)
        })
    }

    /// Checks the link and asks every policy.
    ///
    /// # Errors
    /// [`Refusal`]; the ledger is unchanged.
    pub fn judge(
        &self,
        verified: VerifiedTransition,
        time_ms: u64,
        judge: &mut dyn Judge,
    ) -> Result<Approved, Refusal> {
        self.check_link(&verified, time_ms)?;
        let published = self.check_publications(&verified, judge)?;
        let mut legs = self.resolve_legs(&verified)?;
        let signers = verified
            .signers()
            .iter()
            .filter(|signer| signer.by == SignedBy::Keys)
            .map(|signer| Signer { account: signer.account, keys: signer.keys.clone() })
            .collect();
        let frame = Frame { verified: &verified, time_ms, signers };
        let mut effects = Vec::new();
        for leg in 0..legs.len() {
            self.judge_leg(&frame, &legs, leg, None, judge, &mut effects)?;
        }
        let direct = legs.len();
        let requested = requested_legs(verified.transition(), &legs, &effects);
        if requested.len() > limit::DERIVED_LEGS_MAX {
            let (_, _, token, policy_index) = requested[0];
            let what = "more requests than a transition may have";
            return Err(Refusal::EffectNotPermitted { token, policy_index, what });
        }
        legs.extend(requested.iter().map(|(leg, ..)| leg.clone()));
        for (offset, (_, _, _, requester)) in requested.iter().enumerate() {
            self.judge_leg(&frame, &legs, direct + offset, Some(*requester), judge, &mut effects)?;
        }
        let nested = effects.iter().find(|given| {
            usize::from(given.leg) >= direct && given.effects.iter().any(|effect| request(effect).is_some())
        });
        if let Some(given) = nested {
            let (token, policy_index) = (given.token, given.policy_index);
            let what = "a request about a request";
            return Err(Refusal::EffectNotPermitted { token, policy_index, what });
        }
        Ok(Approved { verified, time_ms, legs, effects, published })
    }

    fn check_publications(
        &self,
        verified: &VerifiedTransition,
        judge: &dyn Judge,
    ) -> Result<Vec<Description>, Refusal> {
        let mut published: Vec<(PolicyId, Description)> = Vec::new();
        for operation in &verified.transition().operations {
            let OperationKind::Publish { policy, module, author } = &operation.kind else { continue };
            let known = published.iter().any(|(earlier, _)| earlier == policy);
            if self.policy(policy).is_some() || known {
                return Err(Refusal::PolicyExists(*policy));
            }
            let (packed, signer, description) =
                judge.describe(policy).ok_or(Refusal::PolicyMissing(*policy))?;
            if (packed, signer) != (*module, *author) {
                return Err(Refusal::PublicationMismatch(*policy));
            }
            published.push((*policy, (*description).clone()));
        }
        Ok(published.into_iter().map(|(_, description)| description).collect())
    }

    /// The legs of the operations, with ids of credits and holds replaced by what they name.
    pub(crate) fn resolve_legs(&self, verified: &VerifiedTransition) -> Result<Vec<Leg>, Refusal> {
        let transition = verified.transition();
        let legs = transition
            .operations
            .iter()
            .map(|operation| {
                let (token, action) = self.resolve(transition, operation)?;
                Ok(Leg { token, actor: operation.actor, action })
            })
            .collect::<Result<Vec<Leg>, Refusal>>()?;
        let upgrades = legs.iter().filter(|leg| matches!(leg.action, Action::Upgrade { .. }));
        for Leg { token, .. } in upgrades {
            if legs.iter().filter(|other| other.token == *token).count() > 1 {
                return Err(Refusal::UpgradeNotAlone(*token));
            }
        }
        Ok(legs)
    }

    fn resolve(
        &self,
        transition: &crate::Transition,
        operation: &crate::Operation,
    ) -> Result<(TokenId, Action), Refusal> {
        let known = |token: &TokenId| match self.token(token) {
            Some(_) => Ok(*token),
            None => Err(Refusal::UnknownToken(*token)),
        };
        Ok(match &operation.kind {
            OperationKind::CreateAccount { .. }
            | OperationKind::RotateKeys { .. }
            | OperationKind::Precommit { .. }
            | OperationKind::Recover { .. }
            | OperationKind::Revoke
            | OperationKind::Publish { .. }
            | OperationKind::OpenBridge { .. }
            | OperationKind::AdvanceBridge { .. }
            | OperationKind::ConvictBridge { .. }
            | OperationKind::Emit { .. } => (TokenId::NONE, Action::Other),
            OperationKind::CreateToken { .. } => {
                let terms = terms_of(operation).expect("matched as CreateToken");
                let token = terms.token();
                if self.token(&token).is_some() {
                    return Err(Refusal::TokenExists(token));
                }
                self.check_params(&terms)?;
                (token, Action::Create)
            }
            OperationKind::Mint { token, to, amount } => {
                (known(token)?, Action::Mint { to: *to, amount: *amount })
            }
            OperationKind::Burn { token, amount } => (known(token)?, Action::Burn { amount: *amount }),
            OperationKind::Transfer { token, to, amount, memo: _ } => {
                let bilateral = transition.parent_of(to).is_some();
                (known(token)?, Action::Transfer { to: *to, amount: *amount, bilateral })
            }
            OperationKind::Claim { credit } => {
                let found = self.credit(credit).ok_or(Refusal::UnknownCredit(*credit))?;
                if found.to != operation.actor {
                    return Err(Refusal::NotRecipient(*credit));
                }
                (found.token, Action::Claim { credit: *credit, from: found.from, amount: found.amount })
            }
            OperationKind::Hold { token, amount, beneficiary, kind, expires_ms } => (
                known(token)?,
                Action::Hold {
                    beneficiary: *beneficiary,
                    amount: *amount,
                    kind: *kind,
                    expires_ms: *expires_ms,
                },
            ),
            OperationKind::Release { hold } => {
                let hold = *self.hold(hold).ok_or(Refusal::UnknownHold(*hold))?;
                (hold.token, Action::Release { hold })
            }
            OperationKind::Execute { hold } => {
                let hold = *self.hold(hold).ok_or(Refusal::UnknownHold(*hold))?;
                (hold.token, Action::Execute { hold })
            }
            OperationKind::Invoke { token, policy_index, method, args } => {
                let found = self.token(token).ok_or(Refusal::UnknownToken(*token))?;
                if usize::from(*policy_index) >= found.bound.len() {
                    return Err(Refusal::UnknownPolicyIndex { token: *token, index: *policy_index });
                }
                let (method, args) = (method.clone(), args.clone());
                (*token, Action::Invoke { policy_index: *policy_index, method, args })
            }
            OperationKind::Upgrade { token, policy_index } => {
                let (token, index) = (*token, *policy_index);
                let found = self.token(&token).ok_or(Refusal::UnknownToken(token))?;
                let unknown = Refusal::UnknownPolicyIndex { token, index };
                let from = found.bound.get(usize::from(index)).ok_or(unknown)?.policy;
                (token, Action::Upgrade { policy_index: index, from })
            }
        })
    }

    fn check_params(&self, terms: &TokenTerms) -> Result<(), Refusal> {
        let mut bound = terms.policies.iter().zip(&terms.params).enumerate();
        bound.try_for_each(|(index, (policy, params))| self.check_bound(index, policy, params))
    }

    /// Whether `policy` is published and its parameters fit its description.
    pub(crate) fn check_bound(
        &self,
        policy_index: usize,
        policy: &PolicyId,
        given: &[Value],
    ) -> Result<(), Refusal> {
        let record = self.policy(policy).ok_or(Refusal::PolicyMissing(*policy))?;
        let params = &record.description.params;
        if params.len() != given.len() {
            let (expected, found) = (params.len(), given.len());
            return Err(Refusal::ParameterCount { policy_index, expected, found });
        }
        let unfit = params.iter().zip(given).find(|(param, value)| param.value_type != value.value_type());
        match unfit {
            Some((param, _)) => {
                let (name, expected) = (param.name.clone(), param.value_type);
                Err(Refusal::BadParameter { policy_index, name, expected })
            }
            None => Ok(()),
        }
    }

    /// The upgrade that waits for `policy_index` and may be put in force.
    pub(crate) fn due_upgrade(
        &self,
        token: TokenId,
        policy_index: u8,
        time_ms: u64,
    ) -> Result<&Upgrade, Refusal> {
        let found = self.token(&token).ok_or(Refusal::UnknownToken(token))?;
        let none = Refusal::NoUpgrade { token, policy_index };
        let upgrade = found.upgrades.get(&policy_index).ok_or(none)?;
        let due_ms = upgrade.due_ms;
        if time_ms < due_ms {
            return Err(Refusal::UpgradeNotDue { token, policy_index, due_ms, time_ms });
        }
        Ok(upgrade)
    }

    /// Asks all policies of the leg's token, but for the one that requested it. Of an upgrade only the incoming policy
    /// is asked.
    fn judge_leg(
        &self,
        frame: &Frame<'_>,
        legs: &[Leg],
        leg: usize,
        requester: Option<u8>,
        judge: &mut dyn Judge,
        effects: &mut Vec<PolicyEffects>,
    ) -> Result<(), Refusal> {
        let token = legs[leg].token;
        if token == TokenId::NONE {
            return Ok(());
        }
        let created;
        let found = match self.token(&token) {
            Some(found) => found,
            None => {
                let operations = &frame.verified.transition().operations;
                let terms = operations.iter().filter_map(terms_of).find(|terms| terms.token() == token);
                created = Token::new(terms.ok_or(Refusal::UnknownToken(token))?);
                &created
            }
        };
        let incoming = match &legs[leg].action {
            Action::Upgrade { policy_index, .. } => {
                Some((*policy_index, &self.due_upgrade(token, *policy_index, frame.time_ms)?.to))
            }
            _ => None,
        };
        let indices =
            (0..).zip(&found.bound).filter(|(index, _)| incoming.is_none() && requester != Some(*index));
        for (policy_index, bound) in indices.chain(incoming) {
            let input = self.input(frame, legs, leg, found, policy_index, bound)?;
            let foreign = self.foreign_spaces(bound)?;
            let policy = bound.policy;
            let judgement = judge
                .judge(&policy, &input, &found.spaces[usize::from(policy_index)], &foreign)
                .map_err(|NoVerdict(reason)| Refusal::NoVerdict(reason))?;
            match judgement {
                Judgement::Accept(given) if given.is_empty() => {}
                Judgement::Accept(given) => {
                    effects.push(PolicyEffects { leg: leg as u8, token, policy_index, effects: given });
                }
                Judgement::Reject(denial) => {
                    return Err(Refusal::Denied { token, policy, policy_index, leg, denial });
                }
                Judgement::Fault(fault) => {
                    return Err(Refusal::Fault { token, policy, policy_index, leg, fault });
                }
            }
        }
        Ok(())
    }

    fn input(
        &self,
        frame: &Frame<'_>,
        legs: &[Leg],
        leg: usize,
        token: &Token,
        policy_index: u8,
        bound: &Bound,
    ) -> Result<Input, Refusal> {
        let description = self.description(&bound.policy)?;
        let accounts = parties_of(&legs[leg]);
        let parties = accounts.iter().map(|account| self.party(token, *account, frame.time_ms)).collect();
        let evidence = frame
            .verified
            .evidence()
            .iter()
            .filter(|evidence| description.evidence.contains(&kind_of(&evidence.view)))
            .map(|evidence| evidence.view.clone())
            .collect();
        Ok(Input {
            abi: ABI_VERSION,
            policy_index,
            leg: leg as u8,
            time_ms: frame.time_ms,
            network: self.network(),
            token: token.view(),
            legs: legs.to_vec(),
            signers: frame.signers.clone(),
            parties,
            params: bound.params.clone(),
            evidence,
            foreign: self.foreign_balances(bound, &accounts, frame.time_ms)?,
        })
    }

    fn description(&self, policy: &PolicyId) -> Result<&Arc<Description>, Refusal> {
        Ok(&self.policy(policy).ok_or(Refusal::PolicyMissing(*policy))?.description)
    }

    fn party(&self, token: &Token, account: AccountId, time_ms: u64) -> Party {
        let id = token.state().token;
        let frozen = token.is_frozen(&account);
        match self.account(&account) {
            None => Party { account, balance: 0, available: 0, frozen, holds: Vec::new() },
            Some(found) => Party {
                account,
                balance: found.balance(&id),
                available: found.available(&id, time_ms),
                frozen,
                holds: found.live_holds(id, time_ms).copied().collect(),
            },
        }
    }

    /// The tokens and positions whose state the policy reads, in the order of its description.
    pub(crate) fn foreign_tokens(&self, bound: &Bound) -> Result<Vec<(TokenId, u8)>, Refusal> {
        Ok(foreign_reads_of(self.description(&bound.policy)?, &bound.params).collect())
    }

    pub(crate) fn foreign_spaces(&self, bound: &Bound) -> Result<Vec<Arc<StateSpace>>, Refusal> {
        Ok(self
            .foreign_tokens(bound)?
            .into_iter()
            .map(|(token, index)| {
                self.token(&token).and_then(|token| token.space(index)).cloned().unwrap_or_default()
            })
            .collect())
    }

    fn foreign_balances(
        &self,
        bound: &Bound,
        accounts: &[AccountId],
        time_ms: u64,
    ) -> Result<Vec<ForeignBalance>, Refusal> {
        let mut balances = Vec::new();
        for (read, (token, _)) in self.foreign_tokens(bound)?.into_iter().enumerate() {
            for account in accounts {
                let found = self.account(account);
                balances.push(ForeignBalance {
                    read: read as u8,
                    token,
                    account: *account,
                    balance: found.map_or(0, |found| found.balance(&token)),
                    available: found.map_or(0, |found| found.available(&token, time_ms)),
                });
            }
        }
        Ok(balances)
    }

    /// The input of `dsm_view` for one of a token's policies.
    ///
    /// # Errors
    /// [`Refusal::UnknownToken`], [`Refusal::UnknownPolicyIndex`].
    pub fn view_call(
        &self,
        token: &TokenId,
        policy_index: u8,
        query: String,
        args: Vec<Value>,
    ) -> Result<ViewCall, Refusal> {
        let found = self.token(token).ok_or(Refusal::UnknownToken(*token))?;
        let unknown = Refusal::UnknownPolicyIndex { token: *token, index: policy_index };
        let bound = found.bound.get(usize::from(policy_index)).ok_or(unknown)?;
        let input = dsm_abi::ViewInput {
            abi: ABI_VERSION,
            policy_index,
            time_ms: self.time_ms(),
            network: self.network(),
            token: found.view(),
            params: bound.params.clone(),
            query,
            args,
        };
        let state = Arc::clone(&found.spaces[usize::from(policy_index)]);
        let foreign = self.foreign_spaces(bound)?;
        Ok(ViewCall { policy: bound.policy, input, state, foreign })
    }
}

pub(crate) fn terms_of(operation: &crate::Operation) -> Option<TokenTerms> {
    match &operation.kind {
        OperationKind::CreateToken { policies, params, name, symbol, decimals, cap, salt, upgrades } => {
            Some(TokenTerms {
                issuer: operation.actor,
                policies: policies.clone(),
                params: params.clone(),
                name: name.clone(),
                symbol: symbol.clone(),
                decimals: *decimals,
                cap: *cap,
                salt: *salt,
                upgrades: *upgrades,
            })
        }
        _ => None,
    }
}

/// The movements that policies requested: the leg, the leg it came from, the token and the requester.
pub(crate) fn requested_legs(
    transition: &crate::Transition,
    legs: &[Leg],
    effects: &[PolicyEffects],
) -> Vec<(Leg, u8, TokenId, u8)> {
    let mut requested = Vec::new();
    for given in effects {
        let actor = legs[usize::from(given.leg)].actor;
        for (from, mut action) in given.effects.iter().filter_map(request) {
            if let Action::Transfer { to, bilateral, .. } = &mut action {
                *bilateral = transition.parent_of(to).is_some();
            }
            let leg = Leg { token: given.token, actor: from.unwrap_or(actor), action };
            requested.push((leg, given.leg, given.token, given.policy_index));
        }
    }
    requested
}

/// The movement that an effect requests, with the account it takes from.
fn request(effect: &Effect) -> Option<(Option<AccountId>, Action)> {
    match effect {
        Effect::Mint { to, amount } => Some((None, Action::Mint { to: *to, amount: *amount })),
        Effect::Burn { from, amount } => Some((Some(*from), Action::Burn { amount: *amount })),
        Effect::Transfer { from, to, amount } => {
            Some((Some(*from), Action::Transfer { to: *to, amount: *amount, bilateral: false }))
        }
        Effect::SetState { .. }
        | Effect::DeleteState { .. }
        | Effect::CreateHold { .. }
        | Effect::ExtendHold { .. }
        | Effect::ReleaseHold { .. }
        | Effect::ExecuteHold { .. }
        | Effect::Event { .. }
        | Effect::Freeze { .. }
        | Effect::Unfreeze { .. }
        | Effect::Emit { .. }
        | Effect::ScheduleUpgrade { .. }
        | Effect::CancelUpgrade { .. } => None,
    }
}

fn kind_of(evidence: &Evidence) -> EvidenceKind {
    match evidence {
        Evidence::Credential { .. } => EvidenceKind::Credential,
        Evidence::HashPreimage { .. } => EvidenceKind::HashPreimage,
        Evidence::Attestation { .. } => EvidenceKind::Attestation,
        Evidence::BridgeProof { .. } => EvidenceKind::BridgeProof,
        Evidence::OracleRound { .. } => EvidenceKind::OracleRound,
    }
}

/// The tokens and positions whose state a policy with these parameters reads, in the order of its description. A
/// parameter that names no token reads [`TokenId::NONE`], which keeps nothing.
pub fn foreign_reads_of<'a>(
    about: &'a Description,
    params: &'a [Value],
) -> impl Iterator<Item = (TokenId, u8)> + 'a {
    let named = move |name: &String| about.params.iter().zip(params).find(|(param, _)| param.name == *name);
    about.foreign_reads.iter().map(move |read| {
        let target = match &read.target {
            ForeignTarget::Token(token) => *token,
            ForeignTarget::Parameter(name) => match named(name) {
                Some((_, Value::Token(token))) => *token,
                Some(_) | None => TokenId::NONE,
            },
        };
        (target, read.policy_index)
    })
}

/// The accounts that a leg names, each once, the actor first: those whose balances and holds its policies are shown.
pub fn parties_of(leg: &Leg) -> Vec<AccountId> {
    let other = match &leg.action {
        Action::Mint { to, .. } | Action::Transfer { to, .. } => [Some(*to), None],
        Action::Claim { from, .. } => [Some(*from), None],
        Action::Hold { beneficiary, .. } => [Some(*beneficiary), None],
        Action::Release { hold } | Action::Execute { hold } => [Some(hold.owner), Some(hold.beneficiary)],
        Action::Create
        | Action::Burn { .. }
        | Action::Invoke { .. }
        | Action::Other
        | Action::Upgrade { .. } => [None, None],
    };
    let mut parties = alloc::vec![leg.actor];
    for account in other.into_iter().flatten() {
        if !parties.contains(&account) {
            parties.push(account);
        }
    }
    parties
}
