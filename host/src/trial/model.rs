//! A small world on the ledger that a node keeps: accounts, one token with the policy, and steps that people write
//! with names. Conservation, holds and credits are the ledger's; signatures count as made, evidence as verified.

use super::run::Trial;
use crate::engine::{Fault, HostFault, State};
use dsm_abi::{
    ABI_VERSION, AccountId, Action, Answer, Description, Digest, Effect, Evidence, EvidenceKind, HoldId,
    Input, KeyId, Leg, PolicyId, SignatureError, StateId, StateMap, Suite, TokenId, Value, Verdict,
    VerifySignature, encode,
};
use dsm_core::{
    Genesis, Judge, Judgement, KeyEntry, KeySet, Ledger, NetworkGenesis, NoVerdict, Operation, OperationKind,
    PublicKey, Refusal, Signature, SignedTransition, StateSpace, TokenTerms, Transition, UpgradeTerms,
};
use dsm_sdk::cases::{
    Came, CaseFile, CaseText, Condition, FuzzText, LegText, Names, Resolver, StepText, Table, Toml,
    UpgradesText, World,
};
use dsm_sdk::draft::NewToken;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stepped {
    /// It happened.
    Accepted,
    /// The policy refused it with this code.
    Denied(u16),
    /// The host refused it, in its stable word.
    Refused(String),
    /// The policy faulted.
    Faulted(Fault),
}

/// An account of the model.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) account: AccountId,
    /// Names with roles, in the order of the key set.
    pub(super) keys: Vec<(String, u8)>,
}

/// The policy under trial.
const POLICY: PolicyId = PolicyId([0xb0; 32]);
/// Its position in the token's list.
const INDEX: u8 = 0;
/// A policy beside it that lets anybody schedule its upgrades and take them back, and refuses nothing: whether an
/// upgrade is bearable is then for the policy under trial alone to say.
const RULER: PolicyId = PolicyId([0xb1; 32]);
/// The ruler's position.
const RULER_INDEX: u8 = 1;
/// The steps, and the ruler's methods, that do so.
pub(super) const SCHEDULE: &str = "schedule_upgrade";
pub(super) const CANCEL: &str = "cancel_upgrade";

/// How the policy may succeed itself.
#[derive(Debug, Clone)]
pub(super) struct Upgrades {
    /// Whether the policy schedules by its own methods, and not the ruler.
    pub(super) by_itself: bool,
    delay_ms: u64,
    /// What to try in place of the start's parameters; whatever comes if empty.
    pub(super) params: Vec<Table>,
}

impl Upgrades {
    fn read(written: &UpgradesText, resolver: &Resolver<'_>) -> Result<Upgrades, String> {
        let by_itself = match written.by.as_deref() {
            Some("itself") => true,
            None | Some("ruler") => false,
            Some(other) => return Err(format!("{other:?} rules no upgrades: write itself or ruler")),
        };
        let delay_ms = resolver.span(written.delay.as_deref().unwrap_or("1h"))?;
        Ok(Upgrades { by_itself, delay_ms, params: tables(written.params.iter().flatten())? })
    }

    fn terms(&self) -> UpgradeTerms {
        UpgradeTerms { by: if self.by_itself { INDEX } else { RULER_INDEX }, delay_ms: self.delay_ms }
    }
}

fn tables<'t>(written: impl Iterator<Item = &'t Toml>) -> Result<Vec<Table>, String> {
    let table = |one: &Toml| one.as_table().cloned().ok_or("params: write tables by name".to_owned());
    written.map(table).collect()
}

fn ruler() -> Description {
    Description {
        abi: ABI_VERSION,
        name: "ruler".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        params: Vec::new(),
        methods: Vec::new(),
        queries: Vec::new(),
        denials: Vec::new(),
        evidence: Vec::new(),
        foreign_reads: Vec::new(),
    }
}

/// What the ruler says.
fn rule(input: &Input, delay_ms: u64) -> Vec<Effect> {
    let Some(Leg { action: Action::Invoke { policy_index: RULER_INDEX, method, args }, .. }) =
        input.legs.get(usize::from(input.leg))
    else {
        return Vec::new();
    };
    match (method.as_str(), args.as_slice()) {
        (SCHEDULE, [Value::Bytes(params)]) => dsm_abi::decode(params, params.len()).map_or_else(
            |_| Vec::new(),
            |params| {
                let due_ms = input.time_ms.saturating_add(delay_ms);
                vec![Effect::ScheduleUpgrade { policy_index: INDEX, policy: POLICY, params, due_ms }]
            },
        ),
        (CANCEL, []) => vec![Effect::CancelUpgrade { policy_index: INDEX }],
        _ => Vec::new(),
    }
}

/// The world.
pub struct Model<'a> {
    trial: &'a Trial,
    about: Arc<Description>,
    names: Names,
    start: CaseText,
    start_ms: u64,
    pub(super) members: Vec<Member>,
    token: TokenId,
    upgrades: Option<Upgrades>,
    foreign: Vec<StateMap>,
    base: Standing,
}

/// What steps change.
#[derive(Debug, Clone)]
struct Standing {
    ledger: Ledger,
    time_ms: u64,
    used: BTreeSet<Vec<u8>>,
    serial: u64,
}

/// One run of steps from the model's start.
#[derive(Debug, Clone)]
pub(super) struct Play {
    world: Standing,
}

/// Whoever is said to have signed has signed.
struct Trusting;

impl VerifySignature for Trusting {
    fn verify_signature(&self, _: Suite, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), SignatureError> {
        Ok(())
    }
}

/// Asks the module, and shows it what the ledger does not know of.
struct Asking<'m> {
    model: &'m Model<'m>,
    siblings: Vec<Leg>,
    evidence: Vec<Evidence>,
    fault: Option<Fault>,
    host: Option<HostFault>,
}

impl Judge for Asking<'_> {
    fn describe(&self, policy: &PolicyId) -> Option<(Digest, KeyId, Arc<Description>)> {
        let about = match *policy {
            POLICY => Arc::clone(&self.model.about),
            RULER => Arc::new(ruler()),
            _ => return None,
        };
        Some((Digest::default(), KeyId::default(), about))
    }

    fn judge(
        &mut self,
        policy: &PolicyId,
        input: &Input,
        state: &Arc<StateSpace>,
        foreign: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict> {
        if let (RULER, Some(upgrades)) = (*policy, &self.model.upgrades) {
            return Ok(Judgement::Accept(rule(input, upgrades.delay_ms)));
        }
        let mut input = input.clone();
        input.legs.extend(self.siblings.iter().cloned());
        let shown = self.evidence.iter().filter(|one| self.model.about.evidence.contains(&kind_of(one)));
        input.evidence.extend(shown.cloned());
        let own: State = Arc::clone(state) as State;
        let foreign: Vec<State> = foreign
            .iter()
            .enumerate()
            .map(|(at, space)| match self.model.foreign.get(at) {
                Some(given) => Arc::new(given.clone()) as State,
                None => Arc::clone(space) as State,
            })
            .collect();
        let ran = self.model.trial.judge(&input, &own, &foreign).map_err(|fault| {
            let words = fault.to_string();
            self.host = Some(fault);
            NoVerdict(words)
        })?;
        self.fault = ran.fault;
        Ok(match ran.came {
            Came::Verdict(Verdict::Accept(effects)) => Judgement::Accept(effects),
            Came::Verdict(Verdict::Reject(denial)) => Judgement::Reject(denial),
            Came::Answer(_) | Came::Fault(_) => Judgement::Fault("fault".into()),
        })
    }
}

impl<'a> Model<'a> {
    /// The world that `file` describes in its parts `start` and `fuzz`, after its setup.
    ///
    /// # Errors
    /// A sentence.
    pub fn new(trial: &'a Trial, file: &CaseFile) -> Result<Model<'a>, String> {
        let fuzz = file.fuzz().cloned().ok_or("the file has no [fuzz]: it names the accounts that act")?;
        let start = file.start().clone();
        let about = Arc::new(trial.about().clone());
        if let Some(name) = file.policy().filter(|name| *name != about.name) {
            return Err(format!("the file is for the policy {name}, the module is {}", about.name));
        }
        let mut names = file.names(Names::default()).map_err(|error| error.to_string())?;
        let start_ms = {
            let resolver = Resolver::new(&about, &names, &CaseText::default())?;
            start.time.as_ref().map_or_else(|| resolver.time(&"+0ms".into()), |time| resolver.time(time))?
        };
        let node = PublicKey { suite: Suite::SlhDsaSha2128s, bytes: vec![0xdd; 32] };
        let genesis = NetworkGenesis { name: "trial".into(), created_ms: start_ms, node, salt: [0; 32] };
        let ledger = Ledger::new(&genesis);
        let (members, geneses) = members(&fuzz, &mut names, &ledger)?;
        let issuer = match &fuzz.issuer {
            Some(name) => members.iter().find(|one| one.name == *name).ok_or("the issuer is no account")?,
            None => members.first().ok_or("[fuzz].accounts is empty")?,
        };
        let upgrades = {
            let resolver = Resolver::new(&about, &names, &CaseText::default())?;
            let read = fuzz.upgrades.as_ref().map(|written| Upgrades::read(written, &resolver));
            read.transpose().map_err(|error| format!("upgrades: {error}"))?
        };
        if upgrades.is_some() {
            names.bind_policy("policy", POLICY);
        }
        let ruled = upgrades.as_ref().is_some_and(|upgrades| !upgrades.by_itself);
        let policies = if ruled { vec![POLICY, RULER] } else { vec![POLICY] };
        let cap = fuzz.cap.as_ref();
        let empty = CaseText::default();
        let mut terms = TokenTerms {
            issuer: issuer.account,
            params: vec![Vec::new(); policies.len()],
            policies: policies.clone(),
            name: "Trial".into(),
            symbol: "TRIAL".into(),
            decimals: start.token.as_ref().and_then(|token| token.decimals).unwrap_or(2),
            cap: cap.map(|cap| Resolver::new(&about, &names, &empty)?.amount(cap)).transpose()?,
            salt: [0; 32],
            upgrades: upgrades.as_ref().map(Upgrades::terms),
        };
        let token = terms.token();
        names.bind_token("token", token);
        let (params, foreign) = {
            let resolver = Resolver::new(&about, &names, &start)?.at(token, start_ms);
            let params =
                start.params.as_ref().map_or_else(|| Ok(Vec::new()), |params| resolver.params(params));
            let query =
                CaseText { query: Some(String::new()), fault: Some(String::new()), ..CaseText::default() };
            let foreign = resolver.case(&start, &query).map(|case| case.foreign)?;
            (params.map_err(|error| format!("params: {error}"))?, foreign)
        };
        terms.params[usize::from(INDEX)] = params;
        let foreign = if start.foreign.is_some() { foreign } else { Vec::new() };
        let base = Standing { ledger, time_ms: start_ms, used: BTreeSet::new(), serial: 0 };
        let mut model =
            Model { trial, about, names, start, start_ms, members, token, upgrades, foreign, base };
        for params in model.upgrades.iter().flat_map(|upgrades| &upgrades.params) {
            let params = Toml::Table(model.params_with(Some(params))?);
            model
                .resolver(start_ms)?
                .params(&params)
                .map_err(|error| format!("upgrades: params: {error}"))?;
        }
        let mut play = model.play();
        for (member, genesis) in model.members.iter().zip(geneses) {
            let kind = OperationKind::CreateAccount { genesis };
            model.founds(&mut play, member, kind)?;
        }
        let issuer = model.member(issuer_name(&fuzz, &model.members))?.clone();
        for policy in policies {
            let publish =
                OperationKind::Publish { policy, module: Digest::default(), author: KeyId::default() };
            model.founds(&mut play, &issuer, publish)?;
        }
        model.founds(&mut play, &issuer, NewToken { terms }.operation())?;
        for (number, step) in fuzz.setup.iter().flatten().enumerate() {
            match model.step(&mut play, step)? {
                Stepped::Accepted => {}
                other => return Err(format!("step {} of the setup is not accepted: {other:?}", number + 1)),
            }
        }
        model.base = play.world;
        Ok(model)
    }

    /// What the policy says of itself.
    pub(super) fn about(&self) -> &Description {
        &self.about
    }

    /// How the policy may succeed itself, if the file lets it.
    pub(super) fn upgrades(&self) -> Option<&Upgrades> {
        self.upgrades.as_ref()
    }

    /// How long until the upgrade that waits is due, in ms, if one waits.
    pub(super) fn due_in_ms(&self, play: &Play) -> Option<u64> {
        let waits = play.world.ledger.token(&self.token)?.upgrades().get(&INDEX)?;
        Some(waits.due_ms.saturating_sub(play.world.time_ms))
    }

    /// The start's parameters by name, with those of `changed` in their place.
    pub(super) fn params_with(&self, changed: Option<&Table>) -> Result<Table, String> {
        let mut params = match &self.start.params {
            None => Table::new(),
            Some(Toml::Table(named)) => named.clone(),
            Some(Toml::Array(list)) => {
                let names = self.about.params.iter().map(|param| param.name.clone());
                names.zip(list.iter().cloned()).collect()
            }
            Some(_) => return Err("params: write a table by name, or a list".into()),
        };
        params.extend(changed.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        Ok(params)
    }

    /// A run from the start.
    pub(super) fn play(&self) -> Play {
        Play { world: self.base.clone() }
    }

    fn member(&self, name: &str) -> Result<&Member, String> {
        self.members
            .iter()
            .find(|one| one.name == name)
            .ok_or_else(|| format!("{name:?} is no account of [fuzz]"))
    }

    fn resolver(&self, time_ms: u64) -> Result<Resolver<'_>, String> {
        Ok(Resolver::new(&self.about, &self.names, &self.start)?.at(self.token, time_ms))
    }

    /// One operation that must be accepted.
    fn founds(&self, play: &mut Play, member: &Member, kind: OperationKind) -> Result<(), String> {
        let operation = Operation { actor: member.account, kind };
        let signers = BTreeMap::from([(member.account, (0..member.keys.len() as u8).collect())]);
        match self.submit(play, vec![operation], &signers, Vec::new(), Vec::new())? {
            Stepped::Accepted => Ok(()),
            other => Err(format!("the model's start is not accepted: {other:?}")),
        }
    }

    /// Tries a step.
    ///
    /// # Errors
    /// A sentence, if it cannot be read or the host fails.
    pub(super) fn step(&self, play: &mut Play, step: &StepText) -> Result<Stepped, String> {
        if let Some(wait) = &step.wait {
            let later = self.resolver(self.start_ms)?.span(wait)?;
            play.world.time_ms = play.world.time_ms.saturating_add(later);
        }
        let resolver = self.resolver(play.world.time_ms)?;
        let (mut operations, mut siblings) = (Vec::new(), Vec::new());
        let mut signers: BTreeMap<AccountId, Vec<u8>> = BTreeMap::new();
        let whole = |member: &Member| (member.account, (0..member.keys.len() as u8).collect());
        for leg in step.legs.iter().flatten() {
            if leg.token.as_deref().is_some_and(|token| token != "token") {
                siblings.push(resolver.leg(leg, 0)?);
                continue;
            }
            let actor = self.member(leg.by.as_deref().ok_or("by is missing")?)?;
            signers.extend([whole(actor)]);
            if leg.bilateral == Some(true) {
                signers.extend([whole(self.member(leg.to.as_deref().ok_or("to is missing")?)?)]);
            }
            match self.operation(play, &resolver, leg)? {
                Some(kind) => operations.push(Operation { actor: actor.account, kind }),
                None => return Ok(Stepped::Refused("nothing_there".into())),
            }
        }
        for signer in step.signers.iter().flatten() {
            let member = self.member(signer.account.as_deref().ok_or("account is missing")?)?;
            let position = |name: &String| {
                let found = member
                    .keys
                    .iter()
                    .position(|(key, _)| key == name || name.starts_with(&format!("{key}:")));
                found.map(|at| at as u8).ok_or_else(|| format!("{name:?} is no key of {}", member.name))
            };
            let keys = signer.keys.iter().flatten().map(position).collect::<Result<BTreeSet<u8>, _>>()?;
            signers.insert(member.account, keys.into_iter().collect());
        }
        let evidence = resolver.evidences(step.evidence.as_ref())?;
        if let Some(word) = self.refused_evidence(play, &evidence) {
            return Ok(Stepped::Refused(word.into()));
        }
        if operations.is_empty() {
            return Ok(Stepped::Refused("nothing_there".into()));
        }
        let marks: Vec<Vec<u8>> = evidence.iter().filter_map(nullifier).collect();
        let stepped = self.submit(play, operations, &signers, siblings, evidence)?;
        if stepped == Stepped::Accepted {
            play.world.used.extend(marks);
        }
        Ok(stepped)
    }

    /// What the host would have refused about evidence before any policy saw it.
    fn refused_evidence(&self, play: &Play, evidence: &[Evidence]) -> Option<&'static str> {
        let marks: Vec<Vec<u8>> = evidence.iter().filter_map(nullifier).collect();
        let distinct: BTreeSet<&Vec<u8>> = marks.iter().collect();
        if distinct.len() != marks.len() || marks.iter().any(|mark| play.world.used.contains(mark)) {
            return Some("evidence_consumed");
        }
        let expired = |one: &Evidence| matches!(one, Evidence::Credential { expires_ms, .. } if *expires_ms <= play.world.time_ms);
        evidence.iter().any(expired).then_some("credential_expired")
    }

    /// The operation that a leg stands for, or `None` if there is nothing to pick.
    fn operation(
        &self,
        play: &Play,
        resolver: &Resolver<'_>,
        leg: &LegText,
    ) -> Result<Option<OperationKind>, String> {
        let token = self.token;
        let act = leg.act.as_deref().ok_or("do is missing")?;
        let ledger = &play.world.ledger;
        let pick = leg.pick.unwrap_or_default() as usize;
        if act == "claim" {
            let actor = self.member(leg.by.as_deref().ok_or("by is missing")?)?.account;
            let waiting: Vec<_> = ledger.inbox(actor, None).filter(|credit| credit.token == token).collect();
            let picked = waiting.get(pick % waiting.len().max(1));
            return Ok(picked.map(|credit| OperationKind::Claim { credit: credit.id }));
        }
        if act == "upgrade" {
            return Ok(Some(OperationKind::Upgrade { token, policy_index: INDEX }));
        }
        if act == SCHEDULE || act == CANCEL {
            if self.upgrades.as_ref().is_none_or(|upgrades| upgrades.by_itself) {
                return Err(format!("{act:?} is for sequences whose upgrades a ruler schedules"));
            }
            let args = if act == SCHEDULE {
                let changed = tables(leg.params.iter())?;
                let params = resolver.params(&Toml::Table(self.params_with(changed.first())?))?;
                vec![Value::Bytes(encode(&params))]
            } else {
                Vec::new()
            };
            return Ok(Some(OperationKind::Invoke {
                token,
                policy_index: RULER_INDEX,
                method: act.into(),
                args,
            }));
        }
        if act == "release" || act == "execute" {
            let live = self.live_holds(play);
            let picked = live.get(pick % live.len().max(1)).copied();
            return Ok(picked.map(|hold| match act {
                "release" => OperationKind::Release { hold },
                _ => OperationKind::Execute { hold },
            }));
        }
        Ok(Some(match resolver.leg(&LegText { token: None, ..leg.clone() }, 0)?.action {
            Action::Mint { to, amount } => OperationKind::Mint { token, to, amount },
            Action::Burn { amount } => OperationKind::Burn { token, amount },
            Action::Transfer { to, amount, .. } => {
                OperationKind::Transfer { token, to, amount, memo: Vec::new() }
            }
            Action::Hold { beneficiary, amount, kind, expires_ms } => {
                OperationKind::Hold { token, amount, beneficiary, kind, expires_ms }
            }
            Action::Invoke { policy_index, method, args } => {
                OperationKind::Invoke { token, policy_index, method, args }
            }
            Action::Create
            | Action::Claim { .. }
            | Action::Release { .. }
            | Action::Execute { .. }
            | Action::Other
            | Action::Upgrade { .. } => {
                return Err(format!("{act:?} is nothing that a step of a sequence does"));
            }
        }))
    }

    /// The live holds of the token, in the order of their accounts and ids.
    pub(super) fn live_holds(&self, play: &Play) -> Vec<HoldId> {
        let (ledger, time_ms) = (&play.world.ledger, play.world.time_ms);
        ledger
            .accounts()
            .flat_map(|(_, account)| account.live_holds(self.token, time_ms))
            .map(|hold| hold.id)
            .collect()
    }

    /// Whether units wait for an account.
    pub(super) fn has_credit(&self, play: &Play, member: &Member) -> bool {
        play.world.ledger.inbox(member.account, None).any(|credit| credit.token == self.token)
    }

    /// What an account can move now.
    pub(super) fn available(&self, play: &Play, member: &Member) -> u128 {
        let account = play.world.ledger.account(&member.account);
        account.map_or(0, |account| account.available(&self.token, play.world.time_ms))
    }

    fn submit(
        &self,
        play: &mut Play,
        operations: Vec<Operation>,
        signers: &BTreeMap<AccountId, Vec<u8>>,
        siblings: Vec<Leg>,
        evidence: Vec<Evidence>,
    ) -> Result<Stepped, String> {
        let Standing { ledger, time_ms, serial, .. } = &mut play.world;
        *serial += 1;
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&serial.to_le_bytes());
        let head = |account: &AccountId| ledger.account(account).map_or(StateId::NONE, |found| found.head());
        let transition = Transition {
            network: ledger.network(),
            parents: signers.keys().map(|account| (*account, head(account))).collect(),
            operations,
            evidence: Vec::new(),
            valid_from_ms: *time_ms,
            valid_until_ms: *time_ms + 1,
            memo_digest: Digest::default(),
            entropy,
        };
        let signature = |(account, keys): (usize, &Vec<u8>)| {
            let one = move |key: &u8| Signature {
                account: account as u8,
                key: *key,
                suite: Suite::SlhDsaSha2128s,
                bytes: Vec::new(),
            };
            keys.iter().map(one).collect::<Vec<_>>()
        };
        let signatures = signers.values().enumerate().flat_map(signature).collect();
        let signed = SignedTransition { transition, signatures };
        let verified = match signed.verify(ledger.network(), &*ledger, &Trusting) {
            Ok(verified) => verified,
            Err(error) => return Ok(Stepped::Refused(error.code().into())),
        };
        let mut asking = Asking { model: self, siblings, evidence, fault: None, host: None };
        let judged =
            ledger.judge(verified, *time_ms, &mut asking).and_then(|approved| ledger.settle(approved));
        match judged {
            Ok(changes) => {
                ledger.commit(changes);
                Ok(Stepped::Accepted)
            }
            Err(Refusal::Denied { denial, .. }) => Ok(Stepped::Denied(denial.code)),
            Err(Refusal::Fault { .. }) => Ok(Stepped::Faulted(asking.fault.unwrap_or(Fault::HostPanic))),
            Err(Refusal::NoVerdict(reason)) => Err(format!("the host failed: {reason}")),
            Err(refusal) => Ok(Stepped::Refused(refusal.code().into())),
        }
    }

    /// What the host's own rules demand of the ledger, if they are broken.
    pub(super) fn broken_rule(&self, play: &Play) -> Option<String> {
        let totals = play.world.ledger.totals(&self.token);
        let (sum, overflow) = totals.balances.overflowing_add(totals.inbox);
        if overflow || sum != totals.supply {
            return Some(format!("{} units exist, {} are somewhere", totals.supply, sum));
        }
        (totals.held > totals.balances).then(|| "more is held than owned".to_owned())
    }

    /// A digest of everything that a refusal must not change.
    pub(super) fn mark(&self, play: &Play) -> Vec<u8> {
        let ledger = &play.world.ledger;
        let accounts: Vec<StateId> = ledger.accounts().map(|(_, account)| account.head()).collect();
        encode(&(accounts, ledger.token(&self.token).map(|token| token.head())))
    }

    /// The value of a condition, for one account if it is about accounts; `None` if a query has no answer to it.
    ///
    /// # Errors
    /// A sentence, if the condition cannot be read here or a query faults.
    pub(super) fn value(
        &self,
        play: &Play,
        condition: &Condition,
        of: Option<&Member>,
    ) -> Result<Option<i128>, String> {
        let silent = std::cell::Cell::new(false);
        let scene = Scene { model: self, play, of, silent: &silent };
        match condition.value(&scene) {
            Ok(value) => Ok(Some(value)),
            Err(_) if silent.get() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn issuer_name<'n>(fuzz: &'n FuzzText, members: &'n [Member]) -> &'n str {
    fuzz.issuer.as_deref().unwrap_or_else(|| members.first().map_or("", |one| &one.name))
}

fn members(
    fuzz: &FuzzText,
    names: &mut Names,
    ledger: &Ledger,
) -> Result<(Vec<Member>, Vec<Genesis>), String> {
    let (mut members, mut geneses) = (Vec::new(), Vec::new());
    for (name, keys) in fuzz.accounts.iter().flatten() {
        let list =
            keys.as_array().filter(|list| !list.is_empty()).ok_or_else(|| format!("{name} needs keys"))?;
        let (mut entries, mut known) = (Vec::new(), Vec::new());
        for key in list {
            let text = key.as_str().ok_or_else(|| format!("a key of {name} is no name"))?;
            let (text, role) = match text.rsplit_once(':') {
                Some((text, role)) => (text, role.parse().map_err(|_| format!("{role:?} is not a role"))?),
                None => (text, 0),
            };
            let bytes = blake3::hash(text.as_bytes()).as_bytes().to_vec();
            let key = PublicKey { suite: Suite::SlhDsaSha2128s, bytes };
            names.bind_key(text, key.id());
            entries.push(KeyEntry { key, role });
            known.push((text.to_owned(), role));
        }
        let keys = KeySet { keys: entries, threshold: 1, recovery: None };
        let salt = *blake3::hash(name.as_bytes()).as_bytes();
        let genesis = Genesis { network: ledger.network(), keys, salt };
        let account = genesis.account();
        names.bind_account(name, account);
        members.push(Member { name: name.clone(), account, keys: known });
        geneses.push(genesis);
    }
    Ok((members, geneses))
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

/// What makes one-time evidence one-time, as the host sees it.
fn nullifier(evidence: &Evidence) -> Option<Vec<u8>> {
    match evidence {
        Evidence::Credential { .. } => None,
        Evidence::BridgeProof { bridge, nonce, .. } => Some(encode(&(bridge, nonce))),
        Evidence::HashPreimage { .. } | Evidence::Attestation { .. } | Evidence::OracleRound { .. } => {
            Some(encode(evidence))
        }
    }
}

/// What a condition is read over: the ledger, and the policy's answers.
struct Scene<'m> {
    model: &'m Model<'m>,
    play: &'m Play,
    of: Option<&'m Member>,
    /// Set where a query refused to answer: then there is nothing to compare.
    silent: &'m std::cell::Cell<bool>,
}

impl Scene<'_> {
    fn account(&self, name: &str) -> Result<AccountId, String> {
        match self.of {
            Some(member) if name == "account" => Ok(member.account),
            _ => self.model.member(name).map(|member| member.account),
        }
    }
}

impl World for Scene<'_> {
    fn name(&self, name: &str) -> Result<i128, String> {
        let (model, ledger) = (self.model, &self.play.world.ledger);
        if let Some(param) = name.strip_prefix("param.") {
            // Those in force, which an upgrade may have changed.
            let bound = ledger.token(&model.token).and_then(|token| token.bound().get(usize::from(INDEX)));
            let params = &bound.ok_or("the token is gone")?.params;
            let at = model.about.params.iter().position(|one| one.name == param);
            let value = at.and_then(|at| params.get(at)).ok_or_else(|| format!("no parameter {param:?}"))?;
            return number(value).ok_or_else(|| format!("parameter {param} is no number"));
        }
        let totals = ledger.totals(&model.token);
        let token = ledger.token(&model.token).ok_or("the token is gone")?;
        Ok(match name {
            "supply" => clip(totals.supply),
            "balances" => clip(totals.balances),
            "inbox" => clip(totals.inbox),
            "held" => clip(totals.held),
            "cap" => clip(token.terms().cap.unwrap_or(u128::MAX)),
            "time" => i128::from(self.play.world.time_ms),
            _ => return Err(format!("{name:?} is nothing that a condition knows")),
        })
    }

    fn call(&self, query: &str, args: &[String], field: Option<&str>) -> Result<i128, String> {
        let (model, ledger, time_ms) = (self.model, &self.play.world.ledger, self.play.world.time_ms);
        if matches!(query, "balance" | "available" | "held" | "inbox") && field.is_none() {
            let [name] = args else { return Err(format!("{query} takes one account")) };
            let id = self.account(name)?;
            let account = ledger.account(&id).ok_or("the account is gone")?;
            let (balance, free) = (account.balance(&model.token), account.available(&model.token, time_ms));
            let waiting = ledger.inbox(id, None).filter(|credit| credit.token == model.token);
            return Ok(clip(match query {
                "balance" => balance,
                "available" => free,
                "held" => balance - free,
                _ => waiting.map(|credit| credit.amount).sum(),
            }));
        }
        let described = model.about.queries.iter().find(|one| one.name == query);
        let described = described.ok_or_else(|| format!("the policy has no query {query:?}"))?;
        if described.args.len() != args.len() {
            return Err(format!("{query} takes {} arguments, not {}", described.args.len(), args.len()));
        }
        let resolver = model.resolver(time_ms)?;
        let value = |(arg, text): (&dsm_abi::Argument, &String)| match (self.account(text), arg.value_type) {
            (Ok(account), dsm_abi::ValueType::Account) => Ok(Value::Account(account)),
            (_, value_type) => {
                let digits = text.parse::<i64>().map(toml_of_number);
                resolver.value(&digits.unwrap_or_else(|_| text.as_str().into()), value_type)
            }
        };
        let args = described.args.iter().zip(args).map(value).collect::<Result<Vec<_>, _>>()?;
        let call = ledger
            .view_call(&model.token, INDEX, query.to_owned(), args)
            .map_err(|error| error.to_string())?;
        let mut input = call.input;
        input.time_ms = time_ms;
        let own: State = call.state as State;
        let foreign: Vec<State> = call
            .foreign
            .iter()
            .enumerate()
            .map(|(at, space)| match model.foreign.get(at) {
                Some(given) => Arc::new(given.clone()) as State,
                None => Arc::clone(space) as State,
            })
            .collect();
        let ran = model.trial.answer(&input, &own, &foreign).map_err(|fault| fault.to_string())?;
        match ran.came {
            Came::Answer(Answer::Fields(fields)) => {
                let wanted =
                    field.ok_or_else(|| format!("{query}(…) needs a field, as in {query}(…).name"))?;
                let found = fields.iter().find(|one| one.name == wanted);
                let found = found.ok_or_else(|| format!("{query} answers no field {wanted:?}"))?;
                number(&found.value).ok_or_else(|| format!("field {wanted} of {query} is no number"))
            }
            Came::Answer(Answer::Reject(denial)) => {
                self.silent.set(true);
                Err(denial.reason)
            }
            Came::Fault(word) => Err(format!("query {query} faults: {word}")),
            Came::Verdict(_) => Err(format!("query {query} gives a verdict")),
        }
    }
}

fn toml_of_number(number: i64) -> Toml {
    Toml::Integer(number)
}

fn clip(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(value) => Some(i128::from(*value)),
        Value::U64(value) => Some(i128::from(*value)),
        Value::U128(value) => Some(clip(*value)),
        Value::I128(value) => Some(*value),
        Value::Accounts(list) => Some(clip(list.len() as u128)),
        Value::Keys(list) => Some(clip(list.len() as u128)),
        Value::Texts(list) => Some(clip(list.len() as u128)),
        _ => None,
    }
}

/// Kinds of holds that a step may ask for.
pub(super) const HOLD_KINDS: [&str; 4] = ["pledge", "lien", "lock", "escrow"];
