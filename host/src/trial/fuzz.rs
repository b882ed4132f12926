//! Random sequences of operations against what must always hold. The same seed gives the same sequences everywhere;
//! a sequence that breaks something is made as short as it can be and given back as steps that people can read.

use super::model::{CANCEL, HOLD_KINDS, Member, Model, Play, SCHEDULE, Stepped};
use dsm_abi::{EvidenceKind, ValueType};
use dsm_sdk::cases::{
    AttestationText, CaseFile, Condition, CredentialText, EvidenceText, FuzzText, InvariantText, LegText,
    ObservationText, RoundText, SequenceText, SignerText, StepText, Table, Toml,
};
use std::collections::BTreeMap;

/// Steps of one sequence.
const STEPS: u64 = 40;
/// Accepted steps that are remembered, to be tried again with changes.
const REMEMBERED_MAX: usize = 256;
/// Runs that making a sequence shorter may take.
const SHORTENING_RUNS_MAX: usize = 400;

/// A sequence that breaks something.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// The invariant's name, or what always holds.
    pub invariant: String,
    /// What came instead, for people.
    pub came: String,
    /// The steps, as few as were found.
    pub sequence: SequenceText,
}

/// What fuzzing did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FuzzReport {
    /// Sequences.
    pub sequences: u64,
    /// Steps.
    pub steps: u64,
    /// Steps that happened.
    pub accepted: u64,
    /// Steps that the policy refused, by code.
    pub denied: BTreeMap<u16, u64>,
    /// Steps that the host refused, by its word.
    pub refused: BTreeMap<String, u64>,
    /// What was accepted, by the word for it.
    pub happened: BTreeMap<String, u64>,
    /// What broke, at most one.
    pub broken: Option<Broken>,
}

/// An invariant that was read.
struct Invariant {
    name: String,
    each: bool,
    rule: Rule,
}

enum Rule {
    Holds(Condition),
    NeverFalls(Condition),
    NeverRises { what: Condition, beyond: Condition },
}

/// Makes sequences for one model.
pub struct Fuzzer<'a> {
    model: Model<'a>,
    plan: FuzzText,
    invariants: Vec<Invariant>,
    given: Vec<SequenceText>,
    token_names: Vec<String>,
    digest_names: Vec<String>,
}

/// The values of what never falls or rises, by invariant and account.
type Levels = BTreeMap<(usize, usize), i128>;

impl<'a> Fuzzer<'a> {
    /// Reads the plan and the invariants of `file`.
    ///
    /// # Errors
    /// A sentence, with the line of what cannot be read.
    pub fn new(model: Model<'a>, file: &CaseFile) -> Result<Fuzzer<'a>, String> {
        let mut invariants = Vec::new();
        for (line, text) in file.invariants() {
            invariants.push(invariant(text).map_err(|error| format!("line {line}: {error}"))?);
        }
        let plan = file.fuzz().cloned().unwrap_or_default();
        let (mut token_names, mut digest_names) =
            (plan.tokens.clone().unwrap_or_default(), plan.digests.clone().unwrap_or_default());
        // What the terms name is what legs and evidence are about.
        if let Some(Toml::Table(params)) = &file.start().params {
            for param in &model.about().params {
                let name = params.get(&param.name).and_then(Toml::as_str).map(str::to_owned);
                match param.value_type {
                    ValueType::Token => token_names.extend(name),
                    ValueType::Digest => digest_names.extend(name),
                    _ => {}
                }
            }
        }
        if model.upgrades().is_some_and(|upgrades| upgrades.by_itself) {
            digest_names.push("policy".into());
        }
        let given = file.sequences().map(|(_, sequence)| sequence.clone()).collect();
        Ok(Fuzzer { model, plan, invariants, given, token_names, digest_names })
    }

    /// Tries the sequences that the file states, then random ones from `seed` while `again` says so.
    ///
    /// # Errors
    /// A sentence, if the host fails or a condition cannot be read over this policy.
    pub fn run(&self, seed: u64, mut again: impl FnMut(&FuzzReport) -> bool) -> Result<FuzzReport, String> {
        let mut report = FuzzReport::default();
        for given in &self.given {
            let steps = given.steps.clone().unwrap_or_default();
            let mut next = steps.iter().cloned();
            if let Some(broken) = self.sequence(&mut report, &mut Vec::new(), |_| next.next())? {
                let name = given.name.clone().unwrap_or_default();
                let sequence = SequenceText { name: Some(name), steps: Some(broken.2) };
                report.broken = Some(Broken { invariant: broken.0, came: broken.1, sequence });
                return Ok(report);
            }
        }
        let mut known: Vec<StepText> = self.plan.setup.clone().unwrap_or_default();
        known.extend(self.given.iter().flat_map(|given| given.steps.iter().flatten().cloned()));
        let mut number = 0;
        while again(&report) {
            let mut random = Random(seed ^ number_of(number));
            let mut left = STEPS;
            // Half of the sequences follow one that is known to lead somewhere, and stray from it.
            let guide = random.pick(&self.given).filter(|_| random.one_in(2));
            let mut guide = guide.and_then(|given| given.steps.clone()).unwrap_or_default().into_iter();
            let mut accepted = Vec::new();
            let found = self.sequence(&mut report, &mut accepted, |play| {
                left = left.checked_sub(1)?;
                let guided = if random.one_in(4) { None } else { guide.next() };
                Some(guided.unwrap_or_else(|| match random.pick(&known) {
                    Some(step) if random.one_in(3) => self.changed(step.clone(), play, &mut random),
                    _ => self.step(play, &mut random),
                }))
            })?;
            for step in accepted {
                if known.len() < REMEMBERED_MAX {
                    known.push(step);
                } else {
                    let place = random.below(REMEMBERED_MAX as u64) as usize;
                    known[place] = step;
                }
            }
            if let Some((invariant, came, steps)) = found {
                let steps = self.shorten(&invariant, steps)?;
                let name = format!("breaks: {invariant} (seed {seed}, sequence {number})");
                let sequence = SequenceText { name: Some(name), steps: Some(steps) };
                report.broken = Some(Broken { invariant, came, sequence });
                return Ok(report);
            }
            number += 1;
        }
        Ok(report)
    }

    /// Plays one sequence. What it breaks, what came, and the steps that led there.
    fn sequence(
        &self,
        report: &mut FuzzReport,
        accepted: &mut Vec<StepText>,
        mut next: impl FnMut(&Play) -> Option<StepText>,
    ) -> Result<Option<(String, String, Vec<StepText>)>, String> {
        let mut play = self.model.play();
        let mut steps = Vec::new();
        let mut levels = Levels::new();
        report.sequences += 1;
        if let Some((invariant, came)) = self.check(&play, &mut levels)? {
            return Ok(Some((invariant, came, steps)));
        }
        while let Some(step) = next(&play) {
            report.steps += 1;
            steps.push(step);
            let step = steps.last().expect("pushed in the line above");
            let before = self.model.mark(&play);
            let stepped = self.model.step(&mut play, step)?;
            if stepped != Stepped::Accepted && self.model.mark(&play) != before {
                return Ok(Some(("a refusal changes nothing".into(), "the state moved".into(), steps)));
            }
            match stepped {
                Stepped::Accepted => {
                    report.accepted += 1;
                    accepted.push(step.clone());
                    for leg in step.legs.iter().flatten() {
                        let word = leg.method.clone().or_else(|| leg.act.clone()).unwrap_or_default();
                        *report.happened.entry(word).or_default() += 1;
                    }
                    if let Some((invariant, came)) = self.check(&play, &mut levels)? {
                        return Ok(Some((invariant, came, steps)));
                    }
                }
                Stepped::Denied(code) => *report.denied.entry(code).or_default() += 1,
                Stepped::Refused(word) => *report.refused.entry(word).or_default() += 1,
                Stepped::Faulted(fault) => {
                    return Ok(Some(("the policy never faults".into(), fault.to_string(), steps)));
                }
            }
        }
        Ok(None)
    }

    fn check(&self, play: &Play, levels: &mut Levels) -> Result<Option<(String, String)>, String> {
        if let Some(broken) = self.model.broken_rule(play) {
            return Ok(Some(("the host keeps the sums".into(), broken)));
        }
        for (at, invariant) in self.invariants.iter().enumerate() {
            let everybody: Vec<Option<&Member>> =
                if invariant.each { self.model.members.iter().map(Some).collect() } else { vec![None] };
            for (who, member) in everybody.into_iter().enumerate() {
                let of = member.map_or_else(String::new, |member| format!(" for {}", member.name));
                let wrong = |error: String| format!("invariant {:?}: {error}", invariant.name);
                match &invariant.rule {
                    Rule::Holds(condition) => {
                        if self.model.value(play, condition, member).map_err(wrong)? == Some(0) {
                            return Ok(Some((invariant.name.clone(), format!("it does not hold{of}"))));
                        }
                    }
                    Rule::NeverFalls(condition) => {
                        let Some(now) = self.model.value(play, condition, member).map_err(wrong)? else {
                            continue;
                        };
                        if let Some(before) = levels.insert((at, who), now).filter(|before| now < *before) {
                            return Ok(Some((invariant.name.clone(), format!("{before} fell to {now}{of}"))));
                        }
                    }
                    Rule::NeverRises { what, beyond } => {
                        let Some(now) = self.model.value(play, what, member).map_err(wrong)? else {
                            continue;
                        };
                        // What is beyond already, because the limit fell below it, may stay where it is.
                        let rose = levels.insert((at, who), now).is_none_or(|before| before < now);
                        let limit = self.model.value(play, beyond, member).map_err(wrong)?;
                        if let Some(limit) = limit.filter(|limit| rose && *limit < now) {
                            let came = format!("it rose to {now}, beyond {limit}{of}");
                            return Ok(Some((invariant.name.clone(), came)));
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Leaves out steps, and legs of steps, without which the same thing still breaks.
    fn shorten(&self, invariant: &str, mut steps: Vec<StepText>) -> Result<Vec<StepText>, String> {
        let mut runs = 0;
        let mut breaks = |steps: &[StepText]| -> Result<bool, String> {
            runs += 1;
            let mut next = steps.iter().cloned();
            let found = self.sequence(&mut FuzzReport::default(), &mut Vec::new(), |_| next.next())?;
            Ok(runs <= SHORTENING_RUNS_MAX && found.is_some_and(|(broken, _, _)| broken == invariant))
        };
        let mut chunk = steps.len().div_ceil(2);
        while chunk > 0 {
            let mut start = 0;
            while start < steps.len() {
                let mut fewer = steps.clone();
                let removed: Vec<StepText> = fewer.drain(start..(start + chunk).min(steps.len())).collect();
                if !removed.is_empty() && breaks(&fewer)? {
                    steps = fewer;
                } else {
                    start += chunk;
                }
            }
            chunk /= 2;
        }
        for at in 0..steps.len() {
            let legs = steps[at].legs.as_ref().map_or(0, Vec::len);
            for leg in (0..legs).rev() {
                let mut fewer = steps.clone();
                if let Some(legs) = fewer[at].legs.as_mut().filter(|legs| legs.len() > 1) {
                    legs.remove(leg);
                    if breaks(&fewer)? {
                        steps = fewer;
                    }
                }
            }
            for without in
                [|step: &mut StepText| step.wait = None, |step: &mut StepText| step.evidence = None]
            {
                let mut fewer = steps.clone();
                without(&mut fewer[at]);
                if fewer[at] != steps[at] && breaks(&fewer)? {
                    steps = fewer;
                }
            }
        }
        Ok(steps)
    }

    fn step(&self, play: &Play, random: &mut Random) -> StepText {
        if let Some(step) = self.succession(play, random) {
            return step;
        }
        let about = self.model.about();
        let mut legs = vec![self.leg(play, random)];
        if random.one_in(5) {
            legs.push(self.leg(play, random));
        }
        for _ in 0..2 {
            if !self.token_names.is_empty() && random.one_in(3) {
                let token = random.pick(&self.token_names).cloned();
                let mut leg = self.movement("transfer", play, random);
                leg.token = token;
                legs.push(leg);
            }
        }
        let signers = match random.below(10) {
            // Everybody with all keys: whatever needs a quorum has it.
            0..4 => self.model.members.iter().map(|member| self.signer(member, None)).collect(),
            4..7 => Vec::new(),
            _ => {
                let some: Vec<&Member> = self.model.members.iter().filter(|_| random.one_in(2)).collect();
                some.into_iter().map(|member| self.signer(member, Some(random))).collect()
            }
        };
        let waits = self.plan.waits.clone().unwrap_or_default();
        let wait = match random.pick(&waits) {
            Some(wait) if random.one_in(3) => wait.clone(),
            _ => "1ms".to_owned(),
        };
        let mut evidence = Vec::new();
        if !about.evidence.is_empty() && !random.one_in(4) {
            for _ in 0..=random.below(2) {
                evidence.push(self.evidence(play, random));
            }
        }
        StepText {
            wait: Some(wait),
            legs: Some(legs),
            signers: (!signers.is_empty()).then_some(signers),
            evidence: (!evidence.is_empty()).then_some(evidence),
        }
    }

    /// Now and then a step towards an upgrade, if there may be any: it is scheduled, taken back, put in force when it
    /// is due, or tried out of turn.
    fn succession(&self, play: &Play, random: &mut Random) -> Option<StepText> {
        let upgrades = self.model.upgrades().filter(|_| random.one_in(5))?;
        let (due_in_ms, turn) = (self.model.due_in_ms(play), random.below(8));
        let act = match due_in_ms {
            _ if turn == 0 => "upgrade",
            Some(_) if turn == 1 && !upgrades.by_itself => CANCEL,
            Some(_) => "upgrade",
            None if !upgrades.by_itself => SCHEDULE,
            // Nobody but the policy's own methods can make one wait.
            None => return None,
        };
        let wait = due_in_ms.filter(|_| act == "upgrade" && turn > 1).unwrap_or_default().max(1);
        let leg = LegText {
            by: Some(self.member(random).name.clone()),
            act: Some(act.into()),
            params: (act == SCHEDULE).then(|| Toml::Table(self.other_params(play, random))),
            ..LegText::default()
        };
        Some(StepText { wait: Some(format!("{wait}ms")), legs: Some(vec![leg]), ..StepText::default() })
    }

    /// Parameters for a successor, where they differ from the start's.
    fn other_params(&self, play: &Play, random: &mut Random) -> Table {
        let given = self.model.upgrades().map(|upgrades| upgrades.params.as_slice()).unwrap_or_default();
        if random.one_in(8) {
            return Table::new();
        }
        if let Some(stated) = random.pick(given) {
            return stated.clone();
        }
        let Some(param) = random.pick(&self.model.about().params) else { return Table::new() };
        let value = self.value(param.value_type, play, self.member(random), random);
        Table::from_iter([(param.name.clone(), value)])
    }

    /// A step that was accepted before, with something else in it.
    fn changed(&self, mut step: StepText, play: &Play, random: &mut Random) -> StepText {
        let actor = self.member(random);
        let about = self.model.about();
        for leg in step.legs.iter_mut().flatten() {
            if random.one_in(4) {
                leg.by = Some(actor.name.clone());
            }
            if leg.amount.is_some() && random.one_in(3) {
                leg.amount = Some(self.amount(play, actor, random));
            }
            if leg.to.is_some() && random.one_in(4) {
                leg.to = Some(self.member(random).name.clone());
            }
            if leg.params.is_some() && random.one_in(2) {
                leg.params = Some(Toml::Table(self.other_params(play, random)));
            }
            let method = about.methods.iter().find(|one| Some(&one.name) == leg.method.as_ref());
            let (Some(method), Some(Toml::Table(args))) = (method, &mut leg.args) else { continue };
            if let Some(arg) = random.pick(&method.args).filter(|_| random.one_in(2)) {
                args.insert(arg.name.clone(), self.value(arg.value_type, play, actor, random));
            }
        }
        if random.one_in(3) {
            step.wait = random.pick(self.plan.waits.as_deref().unwrap_or_default()).cloned();
        }
        if random.one_in(6) {
            step.signers = None;
        }
        if !about.evidence.is_empty() && random.one_in(4) {
            step.evidence = Some(vec![self.evidence(play, random)]);
        }
        step
    }

    fn signer(&self, member: &Member, random: Option<&mut Random>) -> SignerText {
        let all = || member.keys.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let keys = match random {
            None => all(),
            Some(random) => {
                let some: Vec<String> = all().into_iter().filter(|_| random.one_in(2)).collect();
                if some.is_empty() { all().into_iter().take(1).collect() } else { some }
            }
        };
        SignerText { account: Some(member.name.clone()), keys: Some(keys) }
    }

    fn leg(&self, play: &Play, random: &mut Random) -> LegText {
        let methods = &self.model.about().methods;
        let invoked = !methods.is_empty() && random.below(10) < 6;
        if !invoked {
            let acts =
                ["transfer", "transfer", "claim", "claim", "mint", "burn", "hold", "release", "execute"];
            return self.movement(random.pick(&acts).copied().unwrap_or("transfer"), play, random);
        }
        let Some(method) = random.pick(methods) else { return self.movement("transfer", play, random) };
        let actor = self.member(random);
        let args = method.args.iter().map(|arg| {
            let value = self.value(arg.value_type, play, actor, random);
            (arg.name.clone(), value)
        });
        LegText {
            by: Some(actor.name.clone()),
            act: Some("invoke".into()),
            method: Some(method.name.clone()),
            args: Some(Toml::Table(args.collect::<Table>())),
            ..LegText::default()
        }
    }

    fn movement(&self, act: &str, play: &Play, random: &mut Random) -> LegText {
        let holds = !self.model.live_holds(play).is_empty();
        let waiting: Vec<&Member> =
            self.model.members.iter().filter(|member| self.model.has_credit(play, member)).collect();
        // What has nothing to act on becomes what makes it.
        let (act, actor) = match act {
            "claim" => match random.pick(&waiting) {
                Some(member) => ("claim", *member),
                None => ("transfer", self.member(random)),
            },
            "release" | "execute" if !holds => ("hold", self.member(random)),
            other => (other, self.member(random)),
        };
        let others: Vec<&Member> =
            self.model.members.iter().filter(|member| member.name != actor.name).collect();
        let other = random.pick(&others).map_or_else(|| actor.name.clone(), |member| member.name.clone());
        let mut leg = LegText { by: Some(actor.name.clone()), act: Some(act.into()), ..LegText::default() };
        let amount = self.amount(play, actor, random);
        match act {
            "transfer" | "mint" => (leg.to, leg.amount) = (Some(other), Some(amount)),
            "burn" => leg.amount = Some(amount),
            "hold" => {
                (leg.beneficiary, leg.amount) = (Some(other), Some(amount));
                leg.kind = random.pick(&HOLD_KINDS).map(|kind| (*kind).to_owned());
                leg.expires = random.one_in(2).then(|| Toml::String("+1d".into()));
            }
            _ => leg.pick = Some(random.below(4)),
        }
        leg
    }

    fn member(&self, random: &mut Random) -> &Member {
        let members = &self.model.members;
        random.pick(members).unwrap_or(&members[0])
    }

    fn amount(&self, play: &Play, actor: &Member, random: &mut Random) -> Toml {
        let available = self.model.available(play, actor);
        let given = self.plan.amounts.clone().unwrap_or_default();
        let number = |amount: u128| match i64::try_from(amount) {
            Ok(small) => Toml::Integer(small),
            Err(_) => Toml::String(amount.to_string()),
        };
        match random.below(12) {
            0 => Toml::Integer(1),
            1 => number(available),
            2 => number(available.saturating_add(1)),
            3 if random.one_in(6) => Toml::String("max".into()),
            3 | 4 => number(u128::from(random.below(2_000)) + 1),
            _ => random.pick(&given).cloned().unwrap_or_else(|| number(u128::from(random.below(200)) + 1)),
        }
    }

    fn value(&self, value_type: ValueType, play: &Play, actor: &Member, random: &mut Random) -> Toml {
        let name = |random: &mut Random| Toml::String(self.member(random).name.clone());
        let key = |random: &mut Random| {
            let member = self.member(random);
            Toml::String(random.pick(&member.keys).map_or_else(String::new, |(key, _)| key.clone()))
        };
        let texts = self.plan.texts.clone().unwrap_or_default();
        let text = |random: &mut Random| {
            Toml::String(random.pick(&texts).cloned().unwrap_or_else(|| format!("text-{}", random.below(3))))
        };
        match value_type {
            ValueType::Bool => Toml::Boolean(random.one_in(2)),
            ValueType::U64 => match random.below(8) {
                // A time, for what takes one: soon, or long gone.
                0 => Toml::String(if random.one_in(2) { "+1h" } else { "-1h" }.into()),
                1 => Toml::String(u64::MAX.to_string()),
                2 => Toml::Integer(random.below(4) as i64),
                _ => self.number(random),
            },
            ValueType::I128 => match random.below(8) {
                0 => Toml::String(i128::MIN.to_string()),
                1 => Toml::String(i128::MAX.to_string()),
                2 => Toml::Integer(-1),
                _ => self.number(random),
            },
            ValueType::U128 if random.one_in(12) => Toml::Integer(0),
            ValueType::U128 => self.amount(play, actor, random),
            ValueType::Text => text(random),
            ValueType::Bytes if self.schedules_itself() && random.one_in(2) => {
                let params = self.model.params_with(Some(&self.other_params(play, random)));
                let piece = Table::from_iter([("params".into(), Toml::Table(params.unwrap_or_default()))]);
                Toml::Array(vec![Toml::Table(piece)])
            }
            ValueType::Bytes => {
                let given = self.plan.bytes.clone().unwrap_or_default();
                random.pick(&given).cloned().unwrap_or_else(|| Toml::String("00ff".into()))
            }
            ValueType::Digest => {
                let holds = self.model.live_holds(play);
                match random.pick(&holds) {
                    Some(hold) if random.one_in(2) => Toml::String(hold.to_string()),
                    _ => self.digest(random),
                }
            }
            ValueType::Account => name(random),
            ValueType::Token => {
                Toml::String(random.pick(&self.token_names).cloned().unwrap_or_else(|| "token".into()))
            }
            ValueType::Key => key(random),
            ValueType::Accounts => Toml::Array((0..random.below(4)).map(|_| name(random)).collect()),
            ValueType::Keys => Toml::Array((0..random.below(4)).map(|_| key(random)).collect()),
            ValueType::Texts => Toml::Array((0..random.below(4)).map(|_| text(random)).collect()),
        }
    }

    fn schedules_itself(&self) -> bool {
        self.model.upgrades().is_some_and(|upgrades| upgrades.by_itself)
    }

    fn number(&self, random: &mut Random) -> Toml {
        let given = self.plan.numbers.clone().unwrap_or_default();
        random.pick(&given).cloned().unwrap_or_else(|| Toml::Integer(random.below(5) as i64))
    }

    fn digest(&self, random: &mut Random) -> Toml {
        let name = random.pick(&self.digest_names).cloned();
        Toml::String(name.unwrap_or_else(|| format!("digest-{}", random.below(3))))
    }

    /// A piece of evidence: one that the plan states, or one made up of a kind that the policy looks at.
    fn evidence(&self, play: &Play, random: &mut Random) -> EvidenceText {
        let given = self.plan.evidence.clone().unwrap_or_default();
        if let Some(stated) = random.pick(&given).filter(|_| random.below(10) < 7) {
            return stated.clone();
        }
        let member = self.member(random);
        let (account, key) = (member.name.clone(), member.keys[0].0.clone());
        let texts = self.plan.texts.clone().unwrap_or_default();
        let text = random.pick(&texts).cloned().unwrap_or_else(|| "text".into());
        let digest = self.digest(random).as_str().map(str::to_owned);
        let mut evidence = EvidenceText::default();
        match random.pick(&self.model.about().evidence) {
            Some(EvidenceKind::Credential) => {
                evidence.credential = Some(CredentialText {
                    issuer: Some(account),
                    subject: Some(self.member(random).name.clone()),
                    schema: Some(text),
                    serial: digest,
                    expires: Some(Toml::String("+1h".into())),
                    claims: None,
                });
            }
            Some(EvidenceKind::Attestation) => {
                let payload = self.value(ValueType::Bytes, play, member, random);
                evidence.attestation = Some(AttestationText {
                    account: Some(account),
                    key: Some(key),
                    role: Some(member.keys[0].1),
                    topic: Some(text),
                    payload: Some(payload),
                });
            }
            Some(EvidenceKind::OracleRound) => {
                let observers: Vec<&Member> =
                    self.model.members.iter().filter(|_| !random.one_in(4)).collect();
                let observation = |member: &Member, random: &mut Random| ObservationText {
                    account: Some(member.name.clone()),
                    key: Some(member.keys[0].0.clone()),
                    role: Some(member.keys[0].1),
                    answer: Some(self.number(random)),
                    observed: Some(Toml::String(if random.one_in(6) { "-1h" } else { "-1ms" }.into())),
                };
                let observations = observers.into_iter().map(|member| observation(member, random)).collect();
                let round = self.number(random);
                evidence.round = Some(RoundText {
                    feed: digest,
                    round: Some(if random.one_in(2) {
                        Toml::Integer(random.below(12) as i64)
                    } else {
                        round
                    }),
                    decimals: Some(2),
                    observations: Some(observations),
                });
            }
            // A preimage and a lock mean nothing unless the plan states them.
            Some(EvidenceKind::HashPreimage | EvidenceKind::BridgeProof) | None => match given.first() {
                Some(stated) => return stated.clone(),
                None => {
                    evidence.attestation = Some(AttestationText {
                        account: Some(account),
                        key: Some(key),
                        topic: Some(text),
                        ..AttestationText::default()
                    });
                }
            },
        }
        evidence
    }
}

fn invariant(text: &InvariantText) -> Result<Invariant, String> {
    let name = text.name.clone().ok_or("an invariant needs a name")?;
    let each = match text.each.as_deref() {
        None => false,
        Some("account") => true,
        Some(other) => return Err(format!("{name:?} is for {other:?}: only \"account\" is known")),
    };
    let read = |condition: &String| Condition::read(condition).map_err(|error| format!("{name:?}: {error}"));
    let rule = match (&text.holds, &text.never_falls, &text.never_rises, &text.beyond) {
        (Some(condition), None, None, None) => Rule::Holds(read(condition)?),
        (None, Some(condition), None, None) => Rule::NeverFalls(read(condition)?),
        (None, None, Some(what), Some(beyond)) => {
            Rule::NeverRises { what: read(what)?, beyond: read(beyond)? }
        }
        _ => return Err(format!("{name:?} has either holds or never_falls, or never_rises with beyond")),
    };
    Ok(Invariant { name, each, rule })
}

/// Numbers that look random and follow from a seed: splitmix64.
struct Random(u64);

fn number_of(at: u64) -> u64 {
    at.wrapping_mul(0xd134_2543_de82_ef95)
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is small: the bias of a remainder does not matter here.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'t, T>(&mut self, list: &'t [T]) -> Option<&'t T> {
        if list.is_empty() { None } else { list.get(self.below(list.len() as u64) as usize) }
    }
}
