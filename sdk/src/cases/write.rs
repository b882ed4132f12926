//! Writes cases and sequences, so that what is read again is what was written.

use super::read::{DECIMALS, ISSUER, NETWORK, START_MS, SUPPLY, TOKEN};
use super::text::{
    AttestationText, BalanceText, CaseText, CredentialText, EffectText, EntryText, EvidenceText, HoldText,
    LegText, LockText, ObservationText, PartyText, PreimageText, RoundText, SequenceText, SignerText,
    TokenText,
};
use super::{Case, Expectation, FORMAT, Wanted, time, word_of};
use dsm_abi::{
    Action, Call, Effect, Evidence, Hold, HoldKind, Leg, NetworkId, Party, SignedKey, Signer, StateMap,
    TokenView, Value,
};
use std::fmt::Write as _;
use toml::{Table, Value as Toml};

/// A case file with `cases`, as [`super::CaseFile::read`] reads it.
pub fn write_cases(policy: &str, cases: &[Case]) -> String {
    let mut file = format!("format = {FORMAT}\npolicy = {}\n", Toml::String(policy.to_owned()));
    for case in cases {
        file.push_str("\n[[case]]\n");
        lines(&mut file, &case_text(case));
    }
    file
}

/// A sequence as a part of a case file.
pub fn write_sequence(sequence: &SequenceText) -> String {
    let mut file = String::from("[[sequence]]\n");
    let name = sequence.name.clone().unwrap_or_default();
    let _infallible = write!(file, "name = {}\nsteps = [\n", Toml::String(name));
    for step in sequence.steps.iter().flatten() {
        if let Ok(step) = Toml::try_from(step) {
            let _infallible = writeln!(file, "  {step},");
        }
    }
    file.push_str("]\n");
    file
}

/// One line for each field that is stated; lists of tables have a line for each entry.
fn lines(file: &mut String, case: &CaseText) {
    let table = Table::try_from(case).unwrap_or_default();
    for (name, value) in &table {
        let _infallible = match value {
            Toml::Array(list) if list.len() > 1 && list.iter().all(Toml::is_table) => {
                let entries: String = list.iter().map(|one| format!("  {one},\n")).collect();
                write!(file, "{name} = [\n{entries}]\n")
            }
            _ => writeln!(file, "{name} = {value}"),
        };
    }
}

fn case_text(case: &Case) -> CaseText {
    let mut text = CaseText { name: Some(case.name.clone()), ..CaseText::default() };
    text.state = some(entries(&case.state));
    text.foreign = some(case.foreign.iter().map(entries).collect());
    match &case.call {
        Call::Evaluate(input) => {
            text.time = (input.time_ms != START_MS).then(|| time_text(input.time_ms));
            text.params = Some(values(&input.params));
            text.token = token(&input.token);
            text.network = network(input.network);
            text.index = (input.policy_index != 0).then_some(input.policy_index);
            text.judge = (input.leg != 0).then_some(input.leg);
            text.signers = some(input.signers.iter().map(signer).collect());
            text.parties = some(input.parties.iter().map(party).collect());
            text.evidence = some(input.evidence.iter().map(evidence).collect());
            text.legs = Some(input.legs.iter().map(|one| leg(one, input.token.id.0)).collect());
            let balances = input.foreign.iter().map(|one| BalanceText {
                read: Some(one.read),
                token: Some(id(&one.token.0)),
                account: Some(id(&one.account.0)),
                balance: Some(number(one.balance)),
                available: Some(number(one.available)),
            });
            text.foreign_balances = some(balances.collect());
        }
        Call::View(input) => {
            text.time = (input.time_ms != START_MS).then(|| time_text(input.time_ms));
            text.params = Some(values(&input.params));
            text.token = token(&input.token);
            text.network = network(input.network);
            text.index = (input.policy_index != 0).then_some(input.policy_index);
            text.query = Some(input.query.clone());
            text.args = Some(values(&input.args));
        }
    }
    match &case.expected {
        Expectation::Accept(effects) => text.accept = Some(effects.iter().map(effect).collect()),
        Expectation::AcceptWith(effects) => text.accept_with = Some(effects.iter().map(effect).collect()),
        Expectation::Refuse { code, field } => {
            (text.refuse, text.field) = (Some(Toml::Integer((*code).into())), field.clone());
        }
        Expectation::Answer(wanted) => {
            let value = |wanted: &Wanted| match wanted {
                Wanted::Value(value) => typed(value),
                Wanted::Number(digits) => Toml::String(digits.clone()),
            };
            text.answer = Some(wanted.iter().map(|(name, wanted)| (name.clone(), value(wanted))).collect());
        }
        Expectation::Fault(word) => text.fault = Some(word.clone()),
    }
    text
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn id(bytes: &[u8; 32]) -> String {
    match bytes {
        [0, ..] if *bytes == [0; 32] => "none".into(),
        [first, ..] if *bytes == [*first; 32] => format!("#{first}"),
        _ => hex::encode(bytes),
    }
}

fn number(number: u128) -> Toml {
    match i64::try_from(number) {
        Ok(small) => Toml::Integer(small),
        Err(_) if number == u128::MAX => Toml::String("max".into()),
        Err(_) => Toml::String(number.to_string()),
    }
}

fn time_text(ms: u64) -> Toml {
    Toml::String(time::written(ms).unwrap_or_else(|| ms.to_string()))
}

fn bytes(bytes: &[u8]) -> Toml {
    Toml::String(hex::encode(bytes))
}

fn network(network: NetworkId) -> Option<String> {
    (network.0 != NETWORK).then(|| id(&network.0))
}

fn token(token: &TokenView) -> Option<TokenText> {
    let text = TokenText {
        id: (token.id.0 != TOKEN).then(|| id(&token.id.0)),
        height: (token.height != 1).then(|| number(token.height.into())),
        issuer: (token.issuer.0 != ISSUER).then(|| id(&token.issuer.0)),
        supply: (token.supply != SUPPLY).then(|| number(token.supply)),
        cap: token.cap.map(number),
        decimals: (token.decimals != DECIMALS).then_some(token.decimals),
    };
    (text != TokenText::default()).then_some(text)
}

fn values(values: &[Value]) -> Toml {
    Toml::Array(values.iter().map(typed).collect())
}

fn typed(value: &Value) -> Toml {
    let list = |ids: Vec<String>| Toml::Array(ids.into_iter().map(Toml::String).collect());
    let inner = match value {
        Value::Bool(value) => Toml::Boolean(*value),
        Value::U64(value) => number((*value).into()),
        Value::U128(value) => number(*value),
        Value::I128(value) => match i64::try_from(*value) {
            Ok(small) => Toml::Integer(small),
            Err(_) => Toml::String(value.to_string()),
        },
        Value::Text(text) => Toml::String(text.clone()),
        Value::Bytes(raw) => bytes(raw),
        Value::Digest(digest) => Toml::String(id(&digest.0)),
        Value::Account(account) => Toml::String(id(&account.0)),
        Value::Token(token) => Toml::String(id(&token.0)),
        Value::Key(key) => Toml::String(id(&key.0)),
        Value::Accounts(accounts) => list(accounts.iter().map(|one| id(&one.0)).collect()),
        Value::Keys(keys) => list(keys.iter().map(|one| id(&one.0)).collect()),
        Value::Texts(texts) => list(texts.clone()),
    };
    Toml::Table(Table::from_iter([(value.value_type().word().to_owned(), inner)]))
}

fn entries(state: &StateMap) -> Vec<EntryText> {
    let entry =
        |(key, value): (&Vec<u8>, &Vec<u8>)| EntryText { key: Some(bytes(key)), value: Some(bytes(value)) };
    state.iter().map(entry).collect()
}

fn signer(signer: &Signer) -> SignerText {
    let key = |one: &SignedKey| match one.role {
        0 => id(&one.key.0),
        role => format!("{}:{role}", id(&one.key.0)),
    };
    SignerText { account: Some(id(&signer.account.0)), keys: Some(signer.keys.iter().map(key).collect()) }
}

fn party(party: &Party) -> PartyText {
    PartyText {
        account: Some(id(&party.account.0)),
        balance: Some(number(party.balance)),
        available: Some(number(party.available)),
        frozen: party.frozen.then_some(true),
        holds: some(party.holds.iter().map(hold).collect()),
    }
}

fn hold(hold: &Hold) -> HoldText {
    HoldText {
        id: Some(id(&hold.id.0)),
        token: Some(id(&hold.token.0)),
        owner: Some(id(&hold.owner.0)),
        beneficiary: Some(id(&hold.beneficiary.0)),
        amount: Some(number(hold.amount)),
        kind: Some(kind(hold.kind)),
        expires: hold.expires_ms.map(time_text),
    }
}

fn kind(kind: HoldKind) -> String {
    match kind {
        HoldKind::Pledge => "pledge",
        HoldKind::Lien => "lien",
        HoldKind::Lock => "lock",
        HoldKind::Escrow => "escrow",
    }
    .into()
}

fn leg(leg: &Leg, judged: [u8; 32]) -> LegText {
    let mut text = LegText {
        by: Some(id(&leg.actor.0)),
        act: Some(word_of(&leg.action).into()),
        token: (leg.token.0 != judged).then(|| id(&leg.token.0)),
        ..LegText::default()
    };
    match &leg.action {
        Action::Create | Action::Other => {}
        Action::Mint { to, amount } => {
            (text.to, text.amount) = (Some(id(&to.0)), Some(number(*amount)));
        }
        Action::Burn { amount } => text.amount = Some(number(*amount)),
        Action::Transfer { to, amount, bilateral } => {
            (text.to, text.amount) = (Some(id(&to.0)), Some(number(*amount)));
            text.bilateral = bilateral.then_some(true);
        }
        Action::Claim { credit, from, amount } => {
            (text.credit, text.from) = (Some(id(&credit.0)), Some(id(&from.0)));
            text.amount = Some(number(*amount));
        }
        Action::Hold { beneficiary, amount, kind: of, expires_ms } => {
            (text.beneficiary, text.amount) = (Some(id(&beneficiary.0)), Some(number(*amount)));
            (text.kind, text.expires) = (Some(kind(*of)), expires_ms.map(time_text));
        }
        Action::Release { hold: of } | Action::Execute { hold: of } => text.hold = Some(hold(of)),
        Action::Invoke { policy_index, method, args } => {
            (text.method, text.args) = (Some(method.clone()), Some(values(args)));
            text.index = Some(*policy_index);
        }
        Action::Upgrade { policy_index, from } => {
            (text.index, text.from) = (Some(*policy_index), Some(id(&from.0)));
        }
    }
    text
}

fn effect(effect: &Effect) -> EffectText {
    let mut text = EffectText::default();
    match effect {
        Effect::SetState { key, value } => (text.set, text.value) = (Some(bytes(key)), Some(bytes(value))),
        Effect::DeleteState { key } => text.delete = Some(bytes(key)),
        Effect::CreateHold { owner, beneficiary, amount, kind: of, expires_ms } => {
            (text.hold, text.owner) = (Some(number(*amount)), Some(id(&owner.0)));
            (text.beneficiary, text.kind) = (Some(id(&beneficiary.0)), Some(kind(*of)));
            text.expires = expires_ms.map(time_text);
        }
        Effect::ExtendHold { hold, expires_ms } => {
            (text.extend, text.expires) = (Some(id(&hold.0)), expires_ms.map(time_text));
        }
        Effect::ReleaseHold { hold } => text.release = Some(id(&hold.0)),
        Effect::ExecuteHold { hold } => text.execute = Some(id(&hold.0)),
        Effect::Event { topic, payload } => {
            (text.event, text.payload) = (Some(topic.clone()), Some(bytes(payload)));
        }
        Effect::Freeze { account } => text.freeze = Some(id(&account.0)),
        Effect::Unfreeze { account } => text.unfreeze = Some(id(&account.0)),
        Effect::Mint { to, amount } => (text.mint, text.to) = (Some(number(*amount)), Some(id(&to.0))),
        Effect::Burn { from, amount } => (text.burn, text.from) = (Some(number(*amount)), Some(id(&from.0))),
        Effect::Transfer { from, to, amount } => {
            (text.transfer, text.from) = (Some(number(*amount)), Some(id(&from.0)));
            text.to = Some(id(&to.0));
        }
        Effect::Emit { lane, payload } => (text.emit, text.payload) = (Some(*lane), Some(bytes(payload))),
        Effect::ScheduleUpgrade { policy_index, policy, params, due_ms } => {
            (text.schedule_upgrade, text.policy) = (Some(*policy_index), Some(id(&policy.0)));
            (text.params, text.due) = (Some(values(params)), Some(time_text(*due_ms)));
        }
        Effect::CancelUpgrade { policy_index } => text.cancel_upgrade = Some(*policy_index),
    }
    text
}

fn evidence(evidence: &Evidence) -> EvidenceText {
    let mut text = EvidenceText::default();
    match evidence {
        Evidence::Credential { issuer, subject, schema, serial, expires_ms, claims } => {
            let claims = claims.iter().map(|claim| (claim.name.clone(), typed(&claim.value)));
            text.credential = Some(CredentialText {
                issuer: Some(id(&issuer.0)),
                subject: Some(id(&subject.0)),
                schema: Some(schema.clone()),
                serial: Some(id(&serial.0)),
                expires: Some(time_text(*expires_ms)),
                claims: Some(claims.collect()),
            });
        }
        Evidence::HashPreimage { algorithm, digest, preimage } => {
            text.preimage = Some(PreimageText {
                algorithm: Some(Toml::Integer((*algorithm).into())),
                digest: Some(id(&digest.0)),
                preimage: Some(bytes(preimage)),
            });
        }
        Evidence::Attestation { account, key, role, topic, payload } => {
            text.attestation = Some(AttestationText {
                account: Some(id(&account.0)),
                key: Some(id(&key.0)),
                role: Some(*role),
                topic: Some(topic.clone()),
                payload: Some(bytes(payload)),
            });
        }
        Evidence::BridgeProof {
            bridge,
            chain_id,
            contract,
            nonce,
            kind,
            asset,
            sender,
            token,
            recipient,
            amount,
            deadline_ms,
            commitment,
            height,
            trust,
        } => {
            text.lock = Some(LockText {
                bridge: Some(id(&bridge.0)),
                chain_id: Some(number((*chain_id).into())),
                contract: Some(bytes(contract)),
                nonce: Some(number((*nonce).into())),
                kind: Some(*kind),
                asset: Some(bytes(asset)),
                sender: Some(bytes(sender)),
                token: Some(id(&token.0)),
                recipient: Some(id(&recipient.0)),
                amount: Some(number(*amount)),
                deadline: Some(time_text(*deadline_ms)),
                commitment: Some(id(&commitment.0)),
                height: Some(number((*height).into())),
                trust: Some(trust.word().into()),
            });
        }
        Evidence::OracleRound { feed, round, decimals, observations } => {
            let observation = |one: &dsm_abi::Observation| ObservationText {
                account: Some(id(&one.account.0)),
                key: Some(id(&one.key.0)),
                role: Some(one.role),
                answer: Some(Toml::String(one.answer.to_string())),
                observed: Some(time_text(one.observed_ms)),
            };
            text.round = Some(RoundText {
                feed: Some(id(&feed.0)),
                round: Some(number((*round).into())),
                decimals: Some(*decimals),
                observations: Some(observations.iter().map(observation).collect()),
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{CaseFile, Names};
    use super::*;
    use dsm_abi::{AccountId, BridgeId, Description, Digest, Input, Observation, TokenId, Trust};

    fn about() -> Description {
        Description {
            abi: dsm_abi::ABI_VERSION,
            name: "any".into(),
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

    /// A case in which every count of 64 bits is `count`.
    fn case(count: u64) -> Case {
        let account = AccountId([9; 32]);
        let token = TokenId(TOKEN);
        let lock = Evidence::BridgeProof {
            bridge: BridgeId([7; 32]),
            chain_id: count,
            contract: [1; 20],
            nonce: count,
            kind: 1,
            asset: [0; 20],
            sender: [2; 20],
            token,
            recipient: account,
            amount: u128::MAX,
            deadline_ms: count,
            commitment: Digest([3; 32]),
            height: count,
            trust: Trust::Attested,
        };
        let key = dsm_abi::KeyId([4; 32]);
        let observations = vec![Observation { account, key, role: 0, answer: i128::MIN, observed_ms: count }];
        let round = Evidence::OracleRound { feed: Digest([5; 32]), round: count, decimals: 4, observations };
        let issuer = AccountId(ISSUER);
        let input = Input {
            abi: dsm_abi::ABI_VERSION,
            policy_index: 0,
            leg: 0,
            time_ms: count,
            network: NetworkId(NETWORK),
            token: TokenView {
                id: token,
                height: count,
                issuer,
                supply: SUPPLY,
                cap: None,
                decimals: DECIMALS,
            },
            legs: vec![Leg { token, actor: account, action: Action::Burn { amount: 1 } }],
            signers: Vec::new(),
            parties: Vec::new(),
            params: Vec::new(),
            evidence: vec![lock, round],
            foreign: Vec::new(),
        };
        Case {
            name: "counts".into(),
            state: StateMap::new(),
            foreign: Vec::new(),
            call: Call::Evaluate(input),
            expected: Expectation::Accept(Vec::new()),
        }
    }

    /// A number of TOML has 63 bits. A case whose chain's id or height had 64 was left out of the file: a field that
    /// cannot be written made the whole case empty.
    #[test]
    fn counts_beyond_63_bits_are_written_and_read_back() {
        let edge = i64::MAX as u64;
        for count in [2, edge, edge + 1, u64::MAX] {
            let written = write_cases("any", &[case(count)]);
            let read = CaseFile::read(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
            let cases = read.cases(&about(), Names::default());
            let cases = cases.unwrap_or_else(|error| panic!("{error}\n{written}"));
            let (Call::Evaluate(found), Call::Evaluate(expected)) = (&cases[0].call, case(count).call) else {
                panic!("an operation");
            };
            assert_eq!(*found, expected, "{written}");
        }
    }
}
