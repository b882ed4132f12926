//! The C header, by a policy that uses all of it: `sdk/policy/c/everything.c`, built beside the policies in C.

use crate::guest::{engine, input};
use dsm_abi::*;
use dsm_host::engine::{Engine, Evaluation, FUEL_LIMIT_DEFAULT, Fault, Module, Outcome, State, ViewOutcome};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn everything(engine: &Engine) -> Arc<Module> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/dist-c/everything.wasm");
    engine.admit(&std::fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

fn id(n: u8) -> [u8; 32] {
    [n; 32]
}

fn values() -> Vec<Value> {
    vec![
        Value::Bool(true),
        Value::U64(u64::MAX - 1),
        Value::U128(u128::MAX - 2),
        Value::I128(-3),
        Value::Text("þorn".into()),
        Value::Bytes(vec![0, 255]),
        Value::Digest(Digest(id(6))),
        Value::Account(AccountId(id(7))),
        Value::Token(TokenId(id(8))),
        Value::Key(KeyId(id(9))),
        Value::Accounts(vec![AccountId(id(10)), AccountId(id(11))]),
        Value::Keys(vec![]),
        Value::Texts(vec!["a".into(), String::new()]),
    ]
}

fn holds() -> Vec<Hold> {
    let hold = |kind, expires_ms| Hold {
        id: HoldId(id(1)),
        token: TokenId(id(2)),
        owner: AccountId(id(3)),
        beneficiary: AccountId(id(4)),
        amount: 1 << 99,
        kind,
        expires_ms,
    };
    vec![hold(HoldKind::Pledge, None), hold(HoldKind::Escrow, Some(u64::MAX))]
}

/// An input with every action, every kind of evidence and every type of value.
fn crowded() -> Input {
    let (to, amount) = (AccountId(id(1)), u128::MAX / 3);
    let actions = vec![
        Action::Invoke { policy_index: 5, method: "mirror".into(), args: values() },
        Action::Create,
        Action::Mint { to, amount },
        Action::Burn { amount },
        Action::Transfer { to, amount, bilateral: true },
        Action::Claim { credit: CreditId(id(3)), from: to, amount },
        Action::Hold { beneficiary: to, amount, kind: HoldKind::Lien, expires_ms: Some(4) },
        Action::Hold { beneficiary: to, amount, kind: HoldKind::Lock, expires_ms: None },
        Action::Release { hold: holds()[0] },
        Action::Execute { hold: holds()[1] },
        Action::Other,
        Action::Upgrade { policy_index: 4, from: PolicyId(id(13)) },
    ];
    let (account, key) = (AccountId(id(1)), KeyId(id(2)));
    let evidence = vec![
        Evidence::Credential {
            issuer: account,
            subject: AccountId(id(12)),
            schema: "kyc/1".into(),
            serial: Digest(id(3)),
            expires_ms: 4,
            claims: values().into_iter().map(|value| Field { name: "claim".into(), value }).collect(),
        },
        Evidence::HashPreimage { algorithm: 1, digest: Digest(id(5)), preimage: vec![6] },
        Evidence::Attestation { account, key, role: 7, topic: "t".into(), payload: vec![8, 9] },
        Evidence::BridgeProof {
            bridge: BridgeId(id(1)),
            chain_id: 2,
            contract: [3; 20],
            nonce: 4,
            kind: 2,
            asset: [5; 20],
            sender: [6; 20],
            token: TokenId(id(7)),
            recipient: account,
            amount: 8,
            deadline_ms: 9,
            commitment: Digest(id(10)),
            height: 11,
            trust: Trust::Attested,
        },
        Evidence::OracleRound {
            feed: Digest(id(1)),
            round: 2,
            decimals: 8,
            observations: vec![
                Observation { account, key, role: 3, answer: i128::MIN + 4, observed_ms: 5 };
                2
            ],
        },
    ];
    let keys = vec![SignedKey { key, role: 3 }, SignedKey { key: KeyId(id(4)), role: 0 }];
    let legs =
        actions.into_iter().map(|action| Leg { token: TokenId(id(2)), actor: account, action }).collect();
    Input {
        legs,
        signers: vec![Signer { account, keys }, Signer { account: to, keys: vec![] }],
        parties: vec![Party { account, balance: 1, available: 2, frozen: true, holds: holds() }],
        params: values(),
        evidence,
        foreign: vec![ForeignBalance { read: 1, token: TokenId(id(2)), account, balance: 3, available: 4 }],
        token: TokenView { cap: Some(u128::MAX - 5), decimals: 18, ..input().token },
        time_ms: u64::MAX - 6,
        ..input()
    }
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    entries.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn evaluate(input: &Input) -> Evaluation {
    let engine = engine();
    let state: State =
        Arc::new(map(&[("k1", "one"), ("k2", "two"), ("k3", "three"), ("k4", ""), ("l", "no")]));
    let foreign: State = Arc::new(map(&[("f", "foreign")]));
    engine.evaluate(&everything(&engine), input, &state, &[foreign], FUEL_LIMIT_DEFAULT).unwrap()
}

/// The effects of the judgement of one action.
fn effects(action: Action) -> Vec<Effect> {
    match evaluate(&judging(action)).outcome {
        Outcome::Accept(effects) => effects,
        other => panic!("{other:?}"),
    }
}

fn judging(action: Action) -> Input {
    let mut input = crowded();
    input.legs[0].action = action;
    input
}

#[test]
fn every_field_is_read_and_written_back() {
    let input = crowded();
    let Outcome::Accept(effects) = evaluate(&input).outcome else { panic!("it accepts") };
    let mut bytes = Vec::new();
    for effect in effects {
        let Effect::Event { topic, payload } = effect else { panic!("{effect:?}") };
        assert_eq!(topic, "input");
        bytes.extend(payload);
    }
    assert_eq!(bytes, encode(&input));
}

#[test]
fn every_effect_is_asked_for() {
    let (actor, issuer) = (crowded().legs[0].actor, crowded().token.issuer);
    let expected = vec![
        Effect::SetState { key: b"key".to_vec(), value: b"value".to_vec() },
        Effect::DeleteState { key: b"other".to_vec() },
        Effect::CreateHold {
            owner: actor,
            beneficiary: issuer,
            amount: 3,
            kind: HoldKind::Lock,
            expires_ms: Some(9),
        },
        Effect::ExtendHold { hold: HoldId(actor.0), expires_ms: None },
        Effect::ReleaseHold { hold: HoldId(actor.0) },
        Effect::ExecuteHold { hold: HoldId(issuer.0) },
        Effect::Event { topic: "topic".into(), payload: b"payload".to_vec() },
        Effect::Freeze { account: actor },
        Effect::Unfreeze { account: issuer },
        Effect::Mint { to: actor, amount: 4 },
        Effect::Burn { from: issuer, amount: 5 },
        Effect::Transfer { from: actor, to: issuer, amount: u128::MAX },
        Effect::Emit { lane: lane::EVM, payload: b"out".to_vec() },
        Effect::ScheduleUpgrade {
            policy_index: 2,
            policy: PolicyId(actor.0),
            params: vec![Value::U64(7)],
            due_ms: 10,
        },
        Effect::CancelUpgrade { policy_index: 3 },
    ];
    assert_eq!(effects(Action::Create), expected);
}

#[test]
fn every_host_function_is_called() {
    let event = |topic: &str, payload: Vec<u8>| Effect::Event { topic: topic.into(), payload };
    let entries = vec![(b"k2".to_vec(), b"two".to_vec()), (b"k3".to_vec(), b"three".to_vec())];
    let expected = vec![
        event("scan", encode(&entries)),
        event("foreign", b"foreign".to_vec()),
        event("hash", blake3::hash(b"abc").as_bytes().to_vec()),
        event("verify", vec![1, 0]),
    ];
    let ran = evaluate(&judging(Action::Burn { amount: 1 }));
    let notes: Vec<_> = ran.notes.iter().map(|note| (note.code, note.text.as_str())).collect();
    assert_eq!((ran.outcome, &notes[..]), (Outcome::Accept(expected), &[(7, "noted")][..]));
}

#[test]
fn denials_are_cut_at_a_character_and_completed_from_the_description() {
    let refused = |action| match evaluate(&judging(action)).outcome {
        Outcome::Reject(denial) => denial,
        other => panic!("{other:?}"),
    };
    let denial = refused(Action::Mint { to: AccountId(id(1)), amount: 1 });
    let reason = format!("{}{}", u128::MAX, "€".repeat((limit::REASON_BYTES_MAX - 39) / 3));
    let expected = Denial { code: 300, reason, field: "amount".into(), hint: "less".into() };
    assert_eq!(denial, expected);
    let denial = refused(Action::Claim { credit: CreditId(id(1)), from: AccountId(id(2)), amount: 1 });
    assert_eq!((denial.code, denial.reason.as_str()), (5, "The amounts leave the range of base units."));
    assert_eq!(evaluate(&judging(Action::Other)).outcome, Outcome::Fault(Fault::Trap("unreachable")));
}

#[test]
fn values_of_every_type_are_answered() {
    let engine = engine();
    let module = everything(&engine);
    let Input { abi, policy_index, time_ms, network, token, params, .. } = crowded();
    let mut view = ViewInput {
        abi,
        policy_index,
        time_ms,
        network,
        token,
        params,
        query: "values".into(),
        args: values(),
    };
    let ask = |view: &ViewInput| {
        let state: State = Arc::new(map(&[]));
        match engine
            .view(&module, view, &state, std::slice::from_ref(&state), FUEL_LIMIT_DEFAULT)
            .unwrap()
            .outcome
        {
            ViewOutcome::Answer(answer) => answer,
            ViewOutcome::Fault(fault) => panic!("{fault}"),
        }
    };
    let field = |value: Value| Field { name: value.value_type().word().into(), value };
    assert_eq!(ask(&view), Answer::Fields(values().into_iter().map(field).collect()));
    view.query = "others".into();
    let Answer::Reject(denial) = ask(&view) else { panic!("it refuses") };
    assert_eq!((denial.code, denial.reason.as_str()), (6, "The policy has no query of this name."));
}

#[test]
fn a_description_is_written_in_all_its_parts() {
    let module = everything(&engine());
    let words: Vec<&str> = ValueType::ALL.iter().map(|one| one.word()).collect();
    let params = ValueType::ALL.iter().zip(&words);
    let args: Vec<Argument> = params
        .clone()
        .map(|(value_type, word)| Argument { name: (*word).into(), value_type: *value_type })
        .collect();
    let expected = Description {
        abi: ABI_VERSION,
        name: "everything".into(),
        version: "1.2.3".into(),
        summary: "Tries the header.".into(),
        params: params
            .map(|(value_type, word)| Parameter {
                name: (*word).into(),
                value_type: *value_type,
                doc: "d".into(),
            })
            .collect(),
        methods: vec![Method { name: "mirror".into(), args: vec![], doc: "Writes the input back.".into() }],
        queries: vec![Method { name: "values".into(), args, doc: "Gives its arguments back.".into() }],
        denials: module.description().denials.clone(),
        evidence: vec![
            EvidenceKind::Credential,
            EvidenceKind::HashPreimage,
            EvidenceKind::Attestation,
            EvidenceKind::BridgeProof,
            EvidenceKind::OracleRound,
        ],
        foreign_reads: vec![ForeignRead {
            target: ForeignTarget::Parameter("token".into()),
            policy_index: 2,
        }],
    };
    assert_eq!(module.description(), &expected);
    let codes: Vec<u16> = expected.denials.iter().map(|denial| denial.code).collect();
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 300]);
}
