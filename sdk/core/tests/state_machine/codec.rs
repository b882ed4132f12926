//! Canonical bytes: what is decoded encodes to the same bytes, and anything else is an error.

use crate::world::{World, effects, key, key_set, transfer};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{
    AccountId, Action, CreditId, DecodeError, Denial, Description, Digest, Effect, Evidence, Field, HoldId,
    HoldKind, Input, KeyId, Leg, NetworkId, Party, PolicyId, SignedKey, Signer, StateId, Suite, TokenId,
    TokenView, Value, Verdict, decode, encode,
};
use dsm_core::{
    Accepted, AccountProof, Attestation, CheckpointSignature, Entry, EvidenceProof, Genesis, HashPreimage,
    Operation, OperationKind, Signature, SignedCheckpoint, SignedObservation, SignedTransition, Transition,
    UpgradeTerms, limit,
};
use proptest::prelude::*;
use std::fmt::Debug;
use std::time::{Duration, Instant};

const BYTES_MAX: usize = 1 << 20;

/// Everything that holds for the encoding of one value: identity, no byte more, no byte less, and any flipped bit
/// is an error or another value's canonical encoding.
fn check<T>(value: &T, cuts: &[usize], flips: &[(usize, u8)])
where
    T: BorshSerialize + BorshDeserialize + PartialEq + Debug,
{
    let bytes = encode(value);
    assert_eq!(decode::<T>(&bytes, BYTES_MAX).as_ref(), Ok(value));
    assert_eq!(
        decode::<T>(&bytes, bytes.len() - 1),
        Err(DecodeError::TooLong { limit: bytes.len() - 1, found: bytes.len() })
    );
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(decode::<T>(&longer, BYTES_MAX), Err(DecodeError::Malformed));
    for cut in cuts {
        let length = cut % bytes.len();
        assert_eq!(decode::<T>(&bytes[..length], BYTES_MAX), Err(DecodeError::Malformed), "cut at {length}");
    }
    for (at, flip) in flips {
        let mut flipped = bytes.clone();
        flipped[at % bytes.len()] ^= flip;
        if let Ok(other) = decode::<T>(&flipped, BYTES_MAX) {
            assert_eq!(encode(&other), flipped, "{at} ^ {flip}");
            assert_ne!(&other, value);
        }
    }
}

fn id() -> impl Strategy<Value = [u8; 32]> {
    any::<u8>().prop_map(|byte| [byte; 32])
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..12)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::U64),
        any::<u128>().prop_map(Value::U128),
        any::<i128>().prop_map(Value::I128),
        ".{0,8}".prop_map(Value::Text),
        bytes().prop_map(Value::Bytes),
        id().prop_map(|id| Value::Digest(Digest(id))),
        id().prop_map(|id| Value::Account(AccountId(id))),
        id().prop_map(|id| Value::Token(TokenId(id))),
        id().prop_map(|id| Value::Key(KeyId(id))),
        prop::collection::vec(id().prop_map(AccountId), 0..3).prop_map(Value::Accounts),
        prop::collection::vec(id().prop_map(KeyId), 0..3).prop_map(Value::Keys),
        prop::collection::vec(".{0,4}", 0..3).prop_map(Value::Texts),
    ]
}

fn hold_kind() -> impl Strategy<Value = HoldKind> {
    prop::sample::select(vec![HoldKind::Pledge, HoldKind::Lien, HoldKind::Lock, HoldKind::Escrow])
}

fn operation() -> impl Strategy<Value = Operation> {
    let values = || prop::collection::vec(value(), 0..3);
    let ends = || prop::option::of(any::<u64>());
    let upgrades = || {
        let terms = (any::<u8>(), any::<u64>());
        prop::option::of(terms.prop_map(|(by, delay_ms)| UpgradeTerms { by, delay_ms }))
    };
    let kind = prop_oneof![
        id().prop_map(|id| OperationKind::CreateAccount {
            genesis: Genesis { network: NetworkId(id), keys: key_set("k"), salt: id }
        }),
        Just(OperationKind::RotateKeys { keys: key_set("r") }),
        Just(OperationKind::Recover { keys: key_set("r") }),
        Just(OperationKind::Revoke),
        (id(), any::<u64>())
            .prop_map(|(id, until_ms)| OperationKind::Precommit { shape: Digest(id), until_ms }),
        id().prop_map(|id| OperationKind::Publish {
            policy: PolicyId(id),
            module: Digest(id),
            author: KeyId(id)
        }),
        (id(), values(), ".{0,6}", any::<u8>(), prop::option::of(any::<u128>()), upgrades()).prop_map(
            |(id, params, name, decimals, cap, upgrades)| OperationKind::CreateToken {
                policies: vec![PolicyId(id)],
                params: vec![params],
                symbol: name.clone(),
                name,
                decimals,
                cap,
                salt: id,
                upgrades,
            }
        ),
        (id(), any::<u128>(), bytes()).prop_map(|(id, amount, memo)| OperationKind::Transfer {
            token: TokenId(id),
            to: AccountId(id),
            amount,
            memo,
        }),
        (id(), any::<u128>()).prop_map(|(id, amount)| OperationKind::Mint {
            token: TokenId(id),
            to: AccountId(id),
            amount
        }),
        (id(), any::<u128>()).prop_map(|(id, amount)| OperationKind::Burn { token: TokenId(id), amount }),
        id().prop_map(|id| OperationKind::Claim { credit: CreditId(id) }),
        (id(), any::<u128>(), hold_kind(), ends()).prop_map(|(id, amount, kind, expires_ms)| {
            OperationKind::Hold { token: TokenId(id), amount, beneficiary: AccountId(id), kind, expires_ms }
        }),
        id().prop_map(|id| OperationKind::Release { hold: HoldId(id) }),
        id().prop_map(|id| OperationKind::Execute { hold: HoldId(id) }),
        (id(), any::<u8>(), ".{0,6}", values()).prop_map(|(id, policy_index, method, args)| {
            OperationKind::Invoke { token: TokenId(id), policy_index, method, args }
        }),
        (id(), any::<u8>())
            .prop_map(|(id, policy_index)| OperationKind::Upgrade { token: TokenId(id), policy_index }),
    ];
    (id(), kind).prop_map(|(actor, kind)| Operation { actor: AccountId(actor), kind })
}

fn suite() -> impl Strategy<Value = Suite> {
    prop::sample::select(vec![
        Suite::MlDsa65,
        Suite::Ed25519MlDsa65,
        Suite::Dilithium3,
        Suite::SlhDsaSha2128s,
    ])
}

fn evidence() -> impl Strategy<Value = EvidenceProof> {
    prop_oneof![
        (any::<u32>(), id(), bytes()).prop_map(|(algorithm, id, preimage)| {
            EvidenceProof::HashPreimage(HashPreimage { algorithm, digest: Digest(id), preimage })
        }),
        (id(), ".{0,6}", bytes(), suite()).prop_map(|(id, topic, payload, suite)| {
            let signature = payload.clone();
            let attestation = Attestation { account: AccountId(id), topic, payload, nonce: id };
            EvidenceProof::Attestation { attestation, key: 1, suite, signature }
        }),
        (id(), any::<(u64, u8, i128)>(), bytes(), suite()).prop_map(
            |(id, (round, decimals, answer), signature, suite)| {
                let one = SignedObservation {
                    account: AccountId(id),
                    key: decimals,
                    suite,
                    signature,
                    answer,
                    observed_ms: round,
                };
                let observations = vec![one; usize::from(decimals % 3)];
                EvidenceProof::OracleRound { feed: Digest(id), round, decimals, observations }
            }
        ),
    ]
}

fn signed() -> impl Strategy<Value = SignedTransition> {
    let operations = prop::collection::vec(operation(), 0..4);
    let signatures = prop::collection::vec((any::<u8>(), any::<u8>(), suite(), bytes()), 0..3);
    let evidence = prop::collection::vec(evidence(), 0..3);
    (id(), operations, evidence, any::<(u64, u64)>(), signatures).prop_map(
        |(id, operations, evidence, window, signatures)| SignedTransition {
            transition: Transition {
                network: NetworkId(id),
                parents: operations.iter().map(|operation| (operation.actor, StateId(id))).collect(),
                operations,
                evidence,
                valid_from_ms: window.0,
                valid_until_ms: window.1,
                memo_digest: Digest(id),
                entropy: id,
            },
            signatures: signatures
                .into_iter()
                .map(|(account, key, suite, bytes)| Signature { account, key, suite, bytes })
                .collect(),
        },
    )
}

fn effect() -> impl Strategy<Value = Effect> {
    let account = || id().prop_map(AccountId);
    prop_oneof![
        (bytes(), bytes()).prop_map(|(key, value)| Effect::SetState { key, value }),
        bytes().prop_map(|key| Effect::DeleteState { key }),
        (account(), any::<u128>(), hold_kind(), prop::option::of(any::<u64>())).prop_map(
            |(owner, amount, kind, expires_ms)| {
                Effect::CreateHold { owner, beneficiary: owner, amount, kind, expires_ms }
            }
        ),
        (id(), prop::option::of(any::<u64>()))
            .prop_map(|(id, expires_ms)| Effect::ExtendHold { hold: HoldId(id), expires_ms }),
        id().prop_map(|id| Effect::ReleaseHold { hold: HoldId(id) }),
        id().prop_map(|id| Effect::ExecuteHold { hold: HoldId(id) }),
        (".{0,6}", bytes()).prop_map(|(topic, payload)| Effect::Event { topic, payload }),
        account().prop_map(|account| Effect::Freeze { account }),
        account().prop_map(|account| Effect::Unfreeze { account }),
        (account(), any::<u128>()).prop_map(|(to, amount)| Effect::Mint { to, amount }),
        (account(), any::<u128>()).prop_map(|(from, amount)| Effect::Burn { from, amount }),
        (account(), account(), any::<u128>()).prop_map(|(from, to, amount)| Effect::Transfer {
            from,
            to,
            amount
        }),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        prop::collection::vec(effect(), 0..5).prop_map(Verdict::Accept),
        (any::<u16>(), ".{0,9}").prop_map(|(code, reason)| {
            Verdict::Reject(Denial { code, field: reason.clone(), hint: reason.clone(), reason })
        }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let n = (any::<u8>(), any::<u64>(), any::<u128>(), prop::option::of(any::<u128>()));
    (id(), n, prop::collection::vec(value(), 0..4), ".{0,6}").prop_map(
        |(id, (n, time_ms, amount, cap), params, name)| {
            let (account, token, digest) = (AccountId(id), TokenId(id), Digest(id));
            let claims =
                params.iter().map(|value| Field { name: name.clone(), value: value.clone() }).collect();
            let (issuer, subject, serial) = (account, account, digest);
            let schema = name.clone();
            let action = Action::Invoke { policy_index: n, method: name, args: params.clone() };
            Input {
                abi: 1,
                policy_index: n,
                leg: n,
                time_ms,
                network: NetworkId(id),
                token: TokenView { id: token, height: time_ms, issuer, supply: amount, cap, decimals: n },
                legs: vec![
                    Leg { token, actor: account, action },
                    Leg { token, actor: account, action: Action::Create },
                ],
                signers: vec![Signer { account, keys: vec![SignedKey { key: KeyId(id), role: n }] }],
                parties: vec![Party {
                    account,
                    balance: amount,
                    available: amount,
                    frozen: n & 1 == 1,
                    holds: vec![],
                }],
                params,
                evidence: vec![Evidence::Credential {
                    issuer,
                    subject,
                    schema,
                    serial,
                    expires_ms: time_ms,
                    claims,
                }],
                foreign: vec![],
            }
        },
    )
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 12)
}

fn flips() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop::collection::vec((any::<usize>(), 1u8..), 24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn signed_transitions(value in signed(), cuts in cuts(), flips in flips()) {
        check(&value, &cuts, &flips);
    }

    #[test]
    fn verdicts(value in verdict(), cuts in cuts(), flips in flips()) {
        check(&value, &cuts, &flips);
    }

    #[test]
    fn inputs(value in input(), cuts in cuts(), flips in flips()) {
        check(&value, &cuts, &flips);
    }

    /// The records of a real log, and a proof and a checkpoint of it, damaged at random places.
    #[test]
    fn records_and_proofs(which in any::<prop::sample::Index>(), cuts in cuts(), flips in flips()) {
        let mut world = World::new();
        let kind = effects(world.gold, 0, &[Effect::Event { topic: "t".into(), payload: vec![1] }]);
        world.accept_one(world.alice, kind);
        world.accept_one(world.alice, transfer(world.gold, world.bob, 1));
        let record: &Accepted = which.get(&world.log);
        check(record, &cuts, &flips);
        check(&Entry::Accepted(Box::new(record.clone())), &cuts, &flips);
        check(&Entry::Genesis(world.genesis.clone()), &cuts, &flips);
        let (checkpoint, snapshot) = world.ledger.checkpoint(None, 1, Digest([1; 32]));
        let signatures = vec![CheckpointSignature { key: key("node"), bytes: vec![1, 2, 3] }];
        let checkpoint = SignedCheckpoint { checkpoint, signatures };
        check(&Entry::Checkpoint(Box::new(checkpoint.clone())), &cuts, &flips);
        let (account, path) = (world.alice, snapshot.prove_account(&world.alice).1);
        let state = world.ledger.account(&account).map(|found| found.state().clone());
        check(&AccountProof { checkpoint, account, state, path }, &cuts, &flips);
    }

    /// Bytes of nobody decode to nothing or to themselves.
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fn same<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> bool {
            decode::<T>(bytes, 400).map_or(true, |value| encode(&value) == bytes)
        }
        prop_assert!(same::<SignedTransition>(&bytes));
        prop_assert!(same::<Verdict>(&bytes) && same::<Input>(&bytes) && same::<Entry>(&bytes));
    }
}

/// Every length of a real signed transition, not a sample.
#[test]
fn every_truncation_is_refused() {
    let mut world = World::new();
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
    let bytes = encode(&world.signed(&[world.alice], operations));
    for length in 0..bytes.len() {
        assert_eq!(SignedTransition::decode(&bytes[..length]), Err(DecodeError::Malformed), "{length}");
    }
}

#[test]
fn tags_and_texts_have_one_form() {
    assert_eq!(decode::<Value>(&encode(&Value::Bool(true)), 9), Ok(Value::Bool(true)));
    for byte in 2..=255u8 {
        assert!(decode::<Value>(&[0, byte], 9).is_err(), "bool {byte}");
        assert!(decode::<Option<u8>>(&[byte, 0], 9).is_err(), "option {byte}");
        let known = [Suite::MlDsa65, Suite::Ed25519MlDsa65, Suite::Dilithium3, Suite::SlhDsaSha2128s];
        let known = known.map(|suite| suite as u8);
        assert_eq!(decode::<Suite>(&[byte], 9).is_ok(), known.contains(&byte), "suite {byte}");
        assert_eq!(decode::<HoldKind>(&[byte], 9).is_ok(), byte < 4, "hold kind {byte}");
    }
    for text in [&[0xff][..], &[0xc0, 0x80], &[0xed, 0xa0, 0x80], &[0xf4, 0x90, 0x80, 0x80]] {
        let mut bytes = vec![4];
        bytes.extend(encode(&text.to_vec()));
        assert_eq!(decode::<Value>(&bytes, 99), Err(DecodeError::Malformed), "{text:?}");
    }
    assert!(decode::<Value>(&[4, 5, 0, 0, 0, b'a'], 99).is_err());
}

/// A length is believed only as far as bytes follow: 2^32 elements promised by a few bytes cost nothing.
#[test]
fn promised_lengths_cost_nothing() {
    let started = Instant::now();
    for byte in [0xff, 0x7f, 0x01] {
        let hostile = vec![byte; limit::SIGNED_BYTES_MAX];
        assert!(SignedTransition::decode(&hostile).is_err());
        assert!(decode::<Input>(&hostile, hostile.len()).is_err());
        assert!(decode::<Verdict>(&hostile, hostile.len()).is_err());
        assert!(decode::<Description>(&hostile, hostile.len()).is_err());
        assert!(decode::<Entry>(&hostile, hostile.len()).is_err());
        assert!(decode::<Vec<Vec<Vec<Vec<u8>>>>>(&hostile, hostile.len()).is_err());
    }
    let mut parents = vec![0; 32];
    parents.extend([0xff; 4]);
    assert!(SignedTransition::decode(&parents).is_err());
    // What was promised would take minutes, if there were room for it.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}
