//! Every refusal by a concrete transition: rows of a code and what brings it about. After each row the whole
//! ledger is what it was before.

use crate::world::{
    ABSENT, FastSignatures, Native, PREMINT, Refused, SCRIPT, WATCH, World, author, creation, effects,
    entries, invoke, key, key_of, key_set, module, policy, publish, sign_as, sign_bytes, signature, token_of,
    transfer,
};
use dsm_abi::{
    AccountId, CreditId, Digest, Effect, HoldId, HoldKind, NetworkId, StateId, Suite, TokenId, Value, encode,
    limit as abi_limit,
};
use dsm_core::{
    AdmitError, Attestation, Credential, CredentialPresentation, EvidenceProof, Genesis, HashPreimage,
    KeySet, Operation, OperationKind, Refusal, ShapeError, SignKind, Transition, limit, signing_message,
};
use std::collections::BTreeSet;

type Row = (&'static str, &'static str, fn(&mut World) -> Refused);

/// What no transition reaches, and why.
const UNREACHABLE: &[(&str, &str)] =
    &[("conservation", "each leg adds what it takes; the check stands behind all others")];

#[test]
fn every_refusal_has_a_transition_and_changes_nothing() {
    let world = World::new();
    let (mut refusals, mut shapes, mut admissions) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (code, what, row) in [ADMISSIONS, SHAPES, LINKS, TOKENS, HOLDS, AMOUNTS, POLICIES].concat() {
        let refused = row(&mut world.clone());
        assert_eq!(refused.code(), code, "{what}: {refused:?}");
        match &refused {
            Refused::Refusal(refusal) => drop(refusals.insert(refusal_index(refusal))),
            Refused::Admit(AdmitError::Shape(shape)) => drop(shapes.insert(shape_index(shape))),
            Refused::Admit(error) => drop(admissions.insert(admit_index(error))),
        }
    }
    let unreachable = UNREACHABLE.len();
    assert_eq!(refusals.len() + unreachable, REFUSALS, "not seen: {:?}", missing(&refusals, REFUSALS));
    assert_eq!(shapes.len(), SHAPE_ERRORS, "not seen: {:?}", missing(&shapes, SHAPE_ERRORS));
    assert_eq!(admissions.len(), ADMIT_ERRORS, "not seen: {:?}", missing(&admissions, ADMIT_ERRORS));
}

fn missing(seen: &BTreeSet<usize>, count: usize) -> Vec<usize> {
    (0..count).filter(|index| !seen.contains(index)).collect()
}

const REFUSALS: usize = 35;
const SHAPE_ERRORS: usize = 11;
const ADMIT_ERRORS: usize = 12;
/// What only a bridge brings about; its rows stand in the tests of bridges.
const BRIDGES: usize = usize::MAX;
/// What only an upgrade brings about; its rows stand in the tests of upgrades.
const UPGRADES: usize = usize::MAX;

/// A new variant does not compile until it has a number here, and then the test asks for its row.
fn refusal_index(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::NotYetValid { .. } => 0,
        Refusal::Expired { .. } => 1,
        Refusal::UnknownAccount(_) => 2,
        Refusal::AccountExists(_) => 3,
        Refusal::Revoked(_) => 4,
        Refusal::StaleParent { .. } => 5,
        Refusal::KeysChanged(_) => 6,
        Refusal::Precommitted { .. } => 7,
        Refusal::EvidenceExpired { .. } => 8,
        Refusal::EvidenceConsumed { .. } => 9,
        Refusal::UnknownToken(_) => 10,
        Refusal::TokenExists(_) => 11,
        Refusal::PolicyMissing(_) => 12,
        Refusal::PolicyExists(_) => 13,
        Refusal::PublicationMismatch(_) => 14,
        Refusal::UnknownPolicyIndex { .. } => 15,
        Refusal::BadParameter { .. } => 16,
        Refusal::ParameterCount { .. } => 17,
        Refusal::UnknownCredit(_) => 18,
        Refusal::NotRecipient(_) => 19,
        Refusal::UnknownHold(_) => 20,
        Refusal::HoldNotPermitted(_) => 21,
        Refusal::UsedTwice => 22,
        Refusal::TooManyHolds { .. } => 23,
        Refusal::Frozen { .. } => 24,
        Refusal::InsufficientFunds { .. } => 25,
        Refusal::UnderHold { .. } => 26,
        Refusal::Overflow(_) => 27,
        Refusal::OverCap { .. } => 28,
        Refusal::WriteConflict { .. } => 29,
        Refusal::EffectNotPermitted { .. } => 30,
        Refusal::Denied { .. } => 31,
        Refusal::Fault { .. } => 32,
        Refusal::NoVerdict(_) => 33,
        Refusal::Conservation(_) => 34,
        Refusal::NoUpgrade { .. } | Refusal::UpgradeNotDue { .. } | Refusal::UpgradeNotAlone(_) => UPGRADES,
        Refusal::UnknownBridge(_)
        | Refusal::BridgeExists(_)
        | Refusal::BridgeFrozen(_)
        | Refusal::BridgeMoved(_)
        | Refusal::BridgeExpired { .. }
        | Refusal::BlockFromFuture { .. }
        | Refusal::BlockNotNewer { .. }
        | Refusal::LockUnanswered { .. }
        | Refusal::LockAnsweredTwice { .. }
        | Refusal::LockPastDeadline { .. }
        | Refusal::LockNotDue { .. }
        | Refusal::RefundWithoutProof(_) => BRIDGES,
    }
}

fn shape_index(error: &ShapeError) -> usize {
    match error {
        ShapeError::Operations { .. } => 0,
        ShapeError::Parents => 1,
        ShapeError::ActorNotSigner { .. } => 2,
        ShapeError::ZeroAmount { .. } => 3,
        ShapeError::Window => 4,
        ShapeError::Keys { .. } => 5,
        ShapeError::Genesis { .. } => 6,
        ShapeError::NotAlone { .. } => 7,
        ShapeError::Field { .. } => 8,
        ShapeError::Evidence { .. } => 9,
        ShapeError::ToSelf { .. } => 10,
        ShapeError::Bridge { .. } => BRIDGES,
    }
}

fn admit_index(error: &AdmitError) -> usize {
    match error {
        AdmitError::Decode(dsm_abi::DecodeError::TooLong { .. }) => 0,
        AdmitError::Decode(dsm_abi::DecodeError::Malformed) => 1,
        AdmitError::Shape(_) => unreachable!("counted apart"),
        AdmitError::WrongNetwork { .. } => 2,
        AdmitError::UnknownAccount(_) => 3,
        AdmitError::SignatureOrder => 4,
        AdmitError::UnknownKey { .. } => 5,
        AdmitError::WrongSuite { .. } => 6,
        AdmitError::Signature { source: dsm_abi::SignatureError::SuiteOff, .. } => 7,
        AdmitError::Signature { .. } => 8,
        AdmitError::MissingSignature { .. } => 9,
        AdmitError::NoRecovery(_) => 10,
        AdmitError::Evidence { .. } => 11,
        AdmitError::Bridge { .. } => BRIDGES,
    }
}

/// A transfer of one gold from Alice to Bob, changed before it is signed.
fn changed(world: &mut World, change: fn(&World, &mut Transition)) -> Refused {
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
    let mut draft = world.draft(&[world.alice], operations);
    change(world, &mut draft);
    let signed = world.sign(draft);
    world.refuse_signed(&signed)
}

/// A transfer of one gold from Alice to Bob with other signatures.
fn resigned(world: &mut World, change: fn(&mut dsm_core::SignedTransition)) -> Refused {
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
    let mut signed = world.signed(&[world.alice], operations);
    change(&mut signed);
    world.refuse_signed(&signed)
}

/// Bytes that are refused before anything of them is believed.
fn undecoded(world: &mut World, change: fn(&mut Vec<u8>)) -> Refused {
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
    let mut bytes = encode(&world.signed(&[world.alice], operations));
    change(&mut bytes);
    let error = dsm_core::SignedTransition::decode(&bytes).expect_err("must be refused");
    Refused::Admit(error.into())
}

fn with_evidence(world: &mut World, evidence: Vec<EvidenceProof>) -> dsm_core::SignedTransition {
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
    let mut draft = world.draft(&[world.alice], operations);
    draft.evidence = evidence;
    world.sign(draft)
}

fn preimage(bytes: &[u8]) -> EvidenceProof {
    let digest = Digest(*blake3::hash(bytes).as_bytes());
    EvidenceProof::HashPreimage(HashPreimage { algorithm: 0, digest, preimage: bytes.to_vec() })
}

fn attestation(world: &World, name: &str, account: AccountId) -> EvidenceProof {
    let attestation = Attestation { account, topic: "t".into(), payload: vec![1], nonce: [1; 32] };
    let network = world.ledger.network();
    let message = signing_message(Suite::MlDsa65, network, SignKind::Attestation, &encode(&attestation));
    let signature = sign_bytes(&key(name), &message);
    EvidenceProof::Attestation { attestation, key: 0, suite: Suite::MlDsa65, signature }
}

fn credential(world: &World, expires_ms: u64) -> EvidenceProof {
    let credential = Credential {
        issuer: world.carol,
        subject: world.alice,
        schema: "kyc/1".into(),
        serial: Digest([1; 32]),
        expires_ms,
        claims: 0,
        claims_root: Digest::default(),
    };
    let network = world.ledger.network();
    let message = signing_message(Suite::MlDsa65, network, SignKind::Credential, &encode(&credential));
    let signature = sign_bytes(&key("carol"), &message);
    let (key, suite, disclosed) = (0, Suite::MlDsa65, Vec::new());
    EvidenceProof::Credential(CredentialPresentation { credential, key, suite, signature, disclosed })
}

/// Verified by the keys of now, judged when they have changed.
fn judged_later(world: &mut World, signed: dsm_core::SignedTransition, meanwhile: fn(&mut World)) -> Refused {
    let verified = signed.verify(world.ledger.network(), &world.ledger, &FastSignatures).unwrap();
    meanwhile(world);
    let before = crate::world::fingerprint(&world.ledger);
    let refusal = world.ledger.judge(verified, world.time_ms, &mut Native).map(|_| ()).unwrap_err();
    assert_eq!(crate::world::fingerprint(&world.ledger), before);
    Refused::Refusal(refusal)
}

/// Opens an account with these keys, which its own test signs for.
fn open_with(world: &mut World, keys: KeySet) -> AccountId {
    let genesis = Genesis { network: world.ledger.network(), keys, salt: [1; 32] };
    let account = genesis.account();
    world.accept_one(account, OperationKind::CreateAccount { genesis });
    account
}

const ADMISSIONS: &[Row] = &[
    ("too_long", "more bytes than a transition may have", |w| {
        undecoded(w, |bytes| bytes.resize(limit::SIGNED_BYTES_MAX + 1, 0))
    }),
    ("malformed_bytes", "a trailing byte", |w| undecoded(w, |bytes| bytes.push(0))),
    ("malformed_bytes", "a missing byte", |w| undecoded(w, |bytes| bytes.truncate(bytes.len() - 1))),
    ("malformed_bytes", "an unknown suite", |w| {
        undecoded(w, |bytes| {
            let at = bytes.len() - 3309 - 4 - 1;
            assert_eq!(bytes[at], Suite::MlDsa65 as u8);
            bytes[at] = 0x21;
        })
    }),
    ("wrong_network", "another network", |w| changed(w, |_, t| t.network = NetworkId([1; 32]))),
    ("unknown_account", "a signer that does not exist", |w| {
        let nobody = AccountId([1; 32]);
        w.refuse_one(nobody, OperationKind::Revoke)
    }),
    ("signature_order", "one signature twice", |w| {
        resigned(w, |s| s.signatures.push(s.signatures[0].clone()))
    }),
    ("signature_order", "more signatures than there may be", |w| {
        resigned(w, |s| {
            let one = s.signatures[0].clone();
            s.signatures = (0..=limit::SIGNATURES_MAX as u8)
                .map(|key| dsm_core::Signature { key, bytes: vec![], ..one.clone() })
                .collect();
        })
    }),
    ("unknown_key", "a key beyond the set", |w| resigned(w, |s| s.signatures[0].key = 1)),
    ("unknown_key", "a signer beyond the parents", |w| resigned(w, |s| s.signatures[0].account = 1)),
    ("wrong_suite", "a Dilithium3 signature by an ML-DSA-65 key", |w| {
        resigned(w, |s| s.signatures[0].suite = Suite::Dilithium3)
    }),
    ("wrong_suite", "a hybrid signature by an ML-DSA-65 key", |w| {
        resigned(w, |s| s.signatures[0].suite = Suite::Ed25519MlDsa65)
    }),
    ("suite_off", "a Dilithium3 key on a node that does not accept it", |w| {
        let keys = KeySet::single(key_of(Suite::Dilithium3, "old"));
        let genesis = Genesis { network: w.ledger.network(), keys, salt: [0; 32] };
        w.refuse_one(genesis.account(), OperationKind::CreateAccount { genesis })
    }),
    ("bad_signature", "a flipped bit", |w| resigned(w, |s| s.signatures[0].bytes[3308] ^= 1)),
    ("bad_signature", "a signature cut short", |w| resigned(w, |s| s.signatures[0].bytes.truncate(3_308))),
    ("bad_signature", "a signature made longer", |w| resigned(w, |s| s.signatures[0].bytes.push(0))),
    ("bad_signature", "no bytes", |w| resigned(w, |s| s.signatures[0].bytes.clear())),
    ("bad_signature", "another's key", |w| {
        resigned(w, |s| s.signatures[0] = signature(&s.transition, 0, 0, &key("bob")))
    }),
    ("bad_signature", "a parent changed after signing", |w| {
        resigned(w, |s| s.transition.parents[0].1.0[0] ^= 1)
    }),
    ("bad_signature", "a token changed after signing", |w| {
        resigned(w, |s| {
            if let OperationKind::Transfer { token, .. } = &mut s.transition.operations[0].kind {
                token.0[0] ^= 1;
            }
        })
    }),
    ("bad_signature", "an amount changed after signing", |w| {
        resigned(w, |s| {
            if let OperationKind::Transfer { amount, .. } = &mut s.transition.operations[0].kind {
                *amount = 2;
            }
        })
    }),
    ("bad_signature", "the old key after a rotation", |w| {
        w.accept_one(w.alice, OperationKind::RotateKeys { keys: key_set("alice 2") });
        resigned(w, |s| s.signatures[0] = signature(&s.transition, 0, 0, &key("alice")))
    }),
    ("bad_signature", "the account's key where the recovery key is needed", |w| {
        let operations = w.ops(w.alice, vec![OperationKind::Revoke]);
        let mut signed = w.signed(&[w.alice], operations);
        signed.signatures[0] = signature(&signed.transition, 0, 0, &key("alice"));
        w.refuse_signed(&signed)
    }),
    ("bad_signature", "the recovery key where the account's key is needed", |w| {
        resigned(w, |s| s.signatures[0] = signature(&s.transition, 0, 0, &key("alice recovery")))
    }),
    ("missing_signature", "none", |w| resigned(w, |s| s.signatures.clear())),
    ("missing_signature", "one of two", |w| {
        let keys = KeySet { keys: entries(&[key("one"), key("two")]), threshold: 2, recovery: None };
        let board = open_with(w, keys);
        let operations = w.ops(board, vec![invoke(w.gold, 0, "signers")]);
        let mut signed = w.signed(&[board], operations);
        assert_eq!(signed.signatures.len(), 2);
        signed.signatures.pop();
        w.refuse_signed(&signed)
    }),
    ("missing_signature", "a cosigner that did not sign", |w| {
        let operations = w.ops(w.alice, vec![transfer(w.gold, w.bob, 1)]);
        let mut signed = w.signed(&[w.alice, w.bob], operations);
        signed.signatures.pop();
        w.refuse_signed(&signed)
    }),
    ("no_recovery_keys", "an account without them", |w| {
        let account = open_with(w, KeySet::single(key("single")));
        w.refuse_one(account, OperationKind::Revoke)
    }),
    ("bad_evidence", "a preimage of another digest", |w| {
        let mut proof = preimage(b"x");
        if let EvidenceProof::HashPreimage(found) = &mut proof {
            found.preimage.push(0);
        }
        let signed = with_evidence(w, vec![proof]);
        w.refuse_signed(&signed)
    }),
    ("bad_evidence", "an attestation by another's key", |w| {
        let proof = attestation(w, "bob", w.carol);
        let signed = with_evidence(w, vec![proof]);
        w.refuse_signed(&signed)
    }),
];

const SHAPES: &[Row] = &[
    ("operation_count", "none", |w| changed(w, |_, t| t.operations.clear())),
    ("operation_count", "seventeen", |w| {
        changed(w, |_, t| t.operations = vec![t.operations[0].clone(); abi_limit::OPERATIONS_MAX + 1])
    }),
    ("parents_malformed", "none", |w| changed(w, |_, t| t.parents.clear())),
    ("parents_malformed", "one account twice", |w| changed(w, |_, t| t.parents.push(t.parents[0]))),
    ("parents_malformed", "not in order", |w| {
        changed(w, |w, t| {
            t.parents.push((w.bob, w.ledger.account(&w.bob).unwrap().head()));
            t.parents.sort();
            t.parents.reverse();
        })
    }),
    ("actor_not_signer", "acting for another", |w| changed(w, |w, t| t.operations[0].actor = w.bob)),
    ("zero_amount", "a transfer", |w| w.refuse_one(w.alice, transfer(w.gold, w.bob, 0))),
    ("zero_amount", "a mint", |w| {
        w.refuse_one(w.alice, OperationKind::Mint { token: w.gold, to: w.bob, amount: 0 })
    }),
    ("zero_amount", "a burn", |w| w.refuse_one(w.alice, OperationKind::Burn { token: w.gold, amount: 0 })),
    ("zero_amount", "a hold", |w| {
        let (token, beneficiary) = (w.gold, w.bob);
        let kind = HoldKind::Lock;
        w.refuse_one(w.alice, OperationKind::Hold { token, amount: 0, beneficiary, kind, expires_ms: None })
    }),
    ("window_malformed", "empty", |w| changed(w, |_, t| t.valid_until_ms = t.valid_from_ms)),
    ("window_malformed", "backwards", |w| changed(w, |_, t| t.valid_until_ms = t.valid_from_ms - 1)),
    ("window_malformed", "too long", |w| {
        changed(w, |_, t| t.valid_until_ms = t.valid_from_ms + limit::WINDOW_MS_MAX + 1)
    }),
    ("key_set_malformed", "no keys", |w| {
        let keys = KeySet { keys: vec![], threshold: 1, recovery: None };
        w.refuse_one(w.alice, OperationKind::RotateKeys { keys })
    }),
    ("key_set_malformed", "a threshold above the keys", |w| {
        let keys = KeySet { threshold: 2, ..KeySet::single(key("x")) };
        w.refuse_one(w.alice, OperationKind::RotateKeys { keys })
    }),
    ("key_set_malformed", "one key twice", |w| {
        let keys = KeySet { keys: entries(&[key("x"), key("x")]), threshold: 1, recovery: None };
        w.refuse_one(w.alice, OperationKind::RotateKeys { keys })
    }),
    ("key_set_malformed", "a key cut short", |w| {
        let mut short = key("x");
        short.bytes.pop();
        w.refuse_one(w.alice, OperationKind::RotateKeys { keys: KeySet::single(short) })
    }),
    ("genesis_mismatch", "another's genesis", |w| {
        let genesis = w.account_genesis("erin");
        w.refuse_one(w.alice, OperationKind::CreateAccount { genesis })
    }),
    ("genesis_mismatch", "of another network", |w| {
        let genesis = Genesis { network: NetworkId([1; 32]), keys: key_set("erin"), salt: [0; 32] };
        w.refuse_one(genesis.account(), OperationKind::CreateAccount { genesis })
    }),
    ("operation_not_alone", "a rotation and a transfer", |w| {
        let rotate = OperationKind::RotateKeys { keys: key_set("alice 2") };
        let operations = w.ops(w.alice, vec![rotate, transfer(w.gold, w.bob, 1)]);
        w.refuse(&[w.alice], operations)
    }),
    ("field_malformed", "a memo of 257 bytes", |w| {
        let memo = vec![0; limit::MEMO_BYTES_MAX + 1];
        w.refuse_one(w.alice, OperationKind::Transfer { token: w.gold, to: w.bob, amount: 1, memo })
    }),
    ("field_malformed", "a right-to-left override in a name", |w| named(w, "GO\u{202e}LD", "G")),
    ("field_malformed", "a zero-width space in a name", |w| named(w, "GO\u{200b}LD", "G")),
    ("field_malformed", "a homoglyph in a name", |w| named(w, "G\u{41e}LD", "G")),
    ("field_malformed", "two spaces in a name", |w| named(w, "G  D", "G")),
    ("field_malformed", "a name that ends in a space", |w| named(w, "GOLD ", "G")),
    ("field_malformed", "a control character in a name", |w| named(w, "GO\nLD", "G")),
    ("field_malformed", "a lower-case symbol", |w| named(w, "GOLD", "gold")),
    ("field_malformed", "no symbol", |w| named(w, "GOLD", "")),
    ("field_malformed", "no policy", |w| w.refuse_one(w.alice, creation("X", &[], None))),
    ("field_malformed", "a cap of zero", |w| {
        w.refuse_one(w.alice, creation("X", &[(SCRIPT, vec![])], Some(0)))
    }),
    ("field_malformed", "no method", |w| w.refuse_one(w.alice, invoke(w.gold, 0, ""))),
    ("evidence_count", "seventeen", |w| {
        changed(w, |_, t| t.evidence = vec![preimage(b"x"); abi_limit::EVIDENCE_MAX + 1])
    }),
    ("transfer_to_self", "to oneself", |w| w.refuse_one(w.alice, transfer(w.gold, w.alice, 1))),
];

fn named(world: &mut World, name: &str, symbol: &str) -> Refused {
    let mut kind = creation("X", &[(SCRIPT, vec![])], None);
    if let OperationKind::CreateToken { name: found_name, symbol: found_symbol, .. } = &mut kind {
        (*found_name, *found_symbol) = (name.into(), symbol.into());
    }
    world.refuse_one(world.alice, kind)
}

const LINKS: &[Row] = &[
    ("not_yet_valid", "a window that has not begun", |w| {
        changed(w, |_, t| (t.valid_from_ms, t.valid_until_ms) = (t.valid_from_ms + 1, t.valid_until_ms + 1))
    }),
    ("expired", "a window that ends now", |w| {
        w.time_ms += 1;
        changed(w, |w, t| (t.valid_from_ms, t.valid_until_ms) = (w.time_ms - 1, w.time_ms))
    }),
    ("unknown_account", "a payment to nobody", |w| {
        w.refuse_one(w.alice, transfer(w.gold, AccountId([1; 32]), 1))
    }),
    ("unknown_account", "a hold for nobody", |w| {
        let (token, beneficiary) = (w.gold, AccountId([1; 32]));
        let kind = HoldKind::Lock;
        w.refuse_one(w.alice, OperationKind::Hold { token, amount: 1, beneficiary, kind, expires_ms: None })
    }),
    ("account_exists", "opened twice", |w| {
        let genesis = w.account_genesis("alice");
        let operations = w.ops(w.alice, vec![OperationKind::CreateAccount { genesis }]);
        let mut draft = w.draft(&[w.alice], operations);
        draft.parents[0].1 = StateId::NONE;
        let signed = w.sign(draft);
        w.refuse_signed(&signed)
    }),
    ("account_revoked", "a closed account signs", |w| {
        w.accept_one(w.alice, OperationKind::Revoke);
        w.refuse_one(w.alice, transfer(w.gold, w.bob, 1))
    }),
    ("account_revoked", "a payment to a closed account", |w| {
        w.accept_one(w.bob, OperationKind::Revoke);
        w.refuse_one(w.alice, transfer(w.gold, w.bob, 1))
    }),
    ("stale_parent", "a replay", |w| {
        let operations = w.ops(w.alice, vec![transfer(w.gold, w.bob, 1)]);
        let signed = w.signed(&[w.alice], operations);
        w.submit(&signed).unwrap();
        w.refuse_signed(&signed)
    }),
    ("stale_parent", "a second successor of one state", |w| {
        let operations = w.ops(w.alice, vec![transfer(w.gold, w.bob, 1)]);
        let second = w.signed(&[w.alice], w.ops(w.alice, vec![transfer(w.gold, w.carol, 1)]));
        w.accept(&[w.alice], operations);
        w.refuse_signed(&second)
    }),
    ("stale_parent", "a state that never was", |w| changed(w, |_, t| t.parents[0].1.0[0] ^= 1)),
    ("stale_parent", "no parent", |w| changed(w, |_, t| t.parents[0].1 = StateId::NONE)),
    ("keys_changed", "an attester's keys, between verification and judgement", |w| {
        let proof = attestation(w, "carol", w.carol);
        let signed = with_evidence(w, vec![proof]);
        judged_later(w, signed, |w| {
            w.accept_one(w.carol, OperationKind::RotateKeys { keys: key_set("carol 2") });
        })
    }),
    ("precommitted", "another shape", |w| {
        let until_ms = w.time_ms + 1;
        w.accept_one(w.alice, OperationKind::Precommit { shape: Digest([1; 32]), until_ms });
        w.refuse_one(w.alice, transfer(w.gold, w.bob, 1))
    }),
    ("evidence_expired", "a credential that ends now", |w| {
        let proof = credential(w, w.time_ms);
        let signed = with_evidence(w, vec![proof]);
        w.refuse_signed(&signed)
    }),
    ("evidence_consumed", "a preimage in two transitions", |w| {
        let signed = with_evidence(w, vec![preimage(b"x")]);
        w.submit(&signed).unwrap();
        let again = with_evidence(w, vec![preimage(b"x")]);
        w.refuse_signed(&again)
    }),
    ("evidence_consumed", "an attestation twice in one transition", |w| {
        let proof = attestation(w, "carol", w.carol);
        let signed = with_evidence(w, vec![proof.clone(), proof]);
        w.refuse_signed(&signed)
    }),
];

const TOKENS: &[Row] = &[
    ("unknown_token", "a token changed before signing", |w| {
        let mut token = w.gold;
        token.0[0] ^= 1;
        w.refuse_one(w.alice, transfer(token, w.bob, 1))
    }),
    ("unknown_token", "no token", |w| w.refuse_one(w.alice, invoke(TokenId::NONE, 0, "signers"))),
    ("token_exists", "created before", |w| w.refuse_one(w.root, creation("GOLD", &[(SCRIPT, vec![])], None))),
    ("token_exists", "created twice in one transition", |w| {
        let operations = w.ops(w.root, vec![creation("X", &[(SCRIPT, vec![])], None); 2]);
        w.refuse(&[w.root], operations)
    }),
    ("policy_missing", "a token under a policy that is not published", |w| {
        w.refuse_one(w.root, creation("X", &[(ABSENT, vec![])], None))
    }),
    ("policy_missing", "a publication of a package that the node does not hold", |w| {
        w.refuse_one(w.root, publish(ABSENT))
    }),
    ("policy_exists", "published before", |w| w.refuse_one(w.root, publish(SCRIPT))),
    ("publication_mismatch", "another module", |w| {
        unpublished(w, |w| {
            let (policy, module) = (policy(PREMINT), module(SCRIPT));
            w.refuse_one(w.root, OperationKind::Publish { policy, module, author: author() })
        })
    }),
    ("publication_mismatch", "another author", |w| {
        unpublished(w, |w| {
            let (policy, module) = (policy(PREMINT), module(PREMINT));
            w.refuse_one(w.root, OperationKind::Publish { policy, module, author: key("thief").id() })
        })
    }),
    ("unknown_policy_index", "a policy beyond the list", |w| w.refuse_one(w.root, invoke(w.gold, 1, "x"))),
    ("bad_parameter", "a text for an amount", |w| {
        w.refuse_one(w.root, creation("X", &[(WATCH, vec![Value::Text("1".into())])], None))
    }),
    ("parameter_count", "none for one", |w| w.refuse_one(w.root, creation("X", &[(WATCH, vec![])], None))),
    ("parameter_count", "one for none", |w| {
        w.refuse_one(w.root, creation("X", &[(SCRIPT, vec![Value::Bool(true)])], None))
    }),
    ("unknown_credit", "a credit that never was", |w| {
        w.refuse_one(w.bob, OperationKind::Claim { credit: CreditId([1; 32]) })
    }),
    ("unknown_credit", "claimed before", |w| {
        let credit = w.accept_one(w.alice, transfer(w.gold, w.bob, 1)).credits[0].id;
        w.accept_one(w.bob, OperationKind::Claim { credit });
        w.refuse_one(w.bob, OperationKind::Claim { credit })
    }),
    ("not_recipient", "claimed by another", |w| {
        let credit = w.accept_one(w.alice, transfer(w.gold, w.bob, 1)).credits[0].id;
        w.refuse_one(w.carol, OperationKind::Claim { credit })
    }),
    ("used_twice", "claimed twice in one transition", |w| {
        let credit = w.accept_one(w.alice, transfer(w.gold, w.bob, 1)).credits[0].id;
        let operations = w.ops(w.bob, vec![OperationKind::Claim { credit }; 2]);
        w.refuse(&[w.bob], operations)
    }),
];

/// The same world without a publication of [`PREMINT`].
fn unpublished(world: &mut World, row: fn(&mut World) -> Refused) -> Refused {
    let mut fresh = World { ledger: dsm_core::Ledger::new(&world.genesis), log: Vec::new(), ..world.clone() };
    fresh.root = fresh.open("root");
    row(&mut fresh)
}

const HOLDS: &[Row] = &[
    ("unknown_hold", "a hold that never was", |w| {
        w.refuse_one(w.bob, OperationKind::Release { hold: HoldId([1; 32]) })
    }),
    ("unknown_hold", "executed when it has ended", |w| {
        let hold = w.hold(1, HoldKind::Pledge, Some(w.time_ms + 1));
        w.time_ms += 1;
        w.refuse_one(w.bob, OperationKind::Execute { hold })
    }),
    ("unknown_hold", "released before", |w| {
        let hold = w.hold(1, HoldKind::Pledge, None);
        w.accept_one(w.bob, OperationKind::Release { hold });
        w.refuse_one(w.bob, OperationKind::Release { hold })
    }),
    ("hold_not_permitted", "released by its owner", |w| {
        let hold = w.hold(1, HoldKind::Pledge, None);
        w.refuse_one(w.alice, OperationKind::Release { hold })
    }),
    ("hold_not_permitted", "a policy of another token", |w| {
        let hold = w.hold(1, HoldKind::Pledge, None);
        w.refuse_one(w.bob, effects(w.silver, 0, &[Effect::ReleaseHold { hold }]))
    }),
    ("hold_not_permitted", "a policy executes a lock", |w| {
        let hold = w.hold(1, HoldKind::Lock, None);
        w.refuse_one(w.bob, effects(w.gold, 0, &[Effect::ExecuteHold { hold }]))
    }),
    ("used_twice", "released and executed in one transition", |w| {
        let hold = w.hold(1, HoldKind::Pledge, None);
        let kinds = vec![OperationKind::Release { hold }, OperationKind::Execute { hold }];
        let operations = w.ops(w.bob, kinds);
        w.refuse(&[w.bob], operations)
    }),
    ("used_twice", "extended by a policy and released in one transition", |w| {
        let hold = w.hold(1, HoldKind::Pledge, Some(w.time_ms + 10));
        let extend = Effect::ExtendHold { hold, expires_ms: None };
        let kinds = vec![OperationKind::Release { hold }, effects(w.gold, 0, &[extend])];
        let operations = w.ops(w.bob, kinds);
        w.refuse(&[w.bob], operations)
    }),
    ("too_many_holds", "the sixty-fifth", |w| {
        for _ in 0..4 {
            let hold = held(w, 1);
            let operations = w.ops(w.alice, vec![hold; 16]);
            w.accept(&[w.alice], operations);
        }
        w.refuse_one(w.alice, held(w, 1))
    }),
    ("account_frozen", "sends", |w| {
        let freeze = Effect::Freeze { account: w.alice };
        w.accept_one(w.bob, effects(w.gold, 0, &[freeze]));
        w.refuse_one(w.alice, transfer(w.gold, w.bob, 1))
    }),
    ("account_frozen", "receives", |w| {
        let freeze = Effect::Freeze { account: w.bob };
        w.accept_one(w.bob, effects(w.gold, 0, &[freeze]));
        w.refuse_one(w.alice, transfer(w.gold, w.bob, 1))
    }),
    ("account_frozen", "claims", |w| {
        let credit = w.accept_one(w.alice, transfer(w.gold, w.bob, 1)).credits[0].id;
        w.accept_one(w.carol, effects(w.gold, 0, &[Effect::Freeze { account: w.bob }]));
        w.refuse_one(w.bob, OperationKind::Claim { credit })
    }),
    ("under_hold", "spends what is held", |w| {
        w.hold(901, HoldKind::Lien, None);
        w.refuse_one(w.alice, transfer(w.gold, w.bob, 100))
    }),
    ("under_hold", "holds what is held", |w| {
        w.hold(1_000, HoldKind::Lien, None);
        w.refuse_one(w.alice, held(w, 1))
    }),
    ("under_hold", "spends what the same transition releases", |w| {
        let hold = w.hold(1_000, HoldKind::Lien, None);
        let mut operations = w.ops(w.bob, vec![OperationKind::Release { hold }]);
        operations.extend(w.ops(w.alice, vec![transfer(w.gold, w.bob, 1)]));
        w.refuse(&[w.alice, w.bob], operations)
    }),
];

fn held(world: &World, amount: u128) -> OperationKind {
    let (token, beneficiary, kind) = (world.gold, world.bob, HoldKind::Lock);
    OperationKind::Hold { token, amount, beneficiary, kind, expires_ms: None }
}

fn mint(world: &World, amount: u128) -> OperationKind {
    OperationKind::Mint { token: world.gold, to: world.bob, amount }
}

const AMOUNTS: &[Row] = &[
    ("insufficient_funds", "one too many", |w| w.refuse_one(w.alice, transfer(w.gold, w.bob, 1_001))),
    ("insufficient_funds", "2^64", |w| w.refuse_one(w.alice, transfer(w.gold, w.bob, 1 << 64))),
    ("insufficient_funds", "2^128-1", |w| w.refuse_one(w.alice, transfer(w.gold, w.bob, u128::MAX))),
    ("insufficient_funds", "two operations that overdraw together", |w| {
        let operations = w.ops(w.alice, vec![transfer(w.gold, w.bob, 501), transfer(w.gold, w.carol, 500)]);
        w.refuse(&[w.alice], operations)
    }),
    ("insufficient_funds", "a transfer and a hold that overdraw together", |w| {
        let operations = w.ops(w.alice, vec![transfer(w.gold, w.bob, 501), held(w, 500)]);
        w.refuse(&[w.alice], operations)
    }),
    ("insufficient_funds", "spends what the same transition brings", |w| {
        let mut operations = w.ops(w.alice, vec![transfer(w.gold, w.bob, 5)]);
        operations.extend(w.ops(w.bob, vec![transfer(w.gold, w.carol, 5)]));
        w.refuse(&[w.alice, w.bob], operations)
    }),
    ("insufficient_funds", "burns more than there is", |w| {
        w.refuse_one(w.alice, OperationKind::Burn { token: w.gold, amount: 1_001 })
    }),
    ("amount_overflow", "debits", |w| {
        let operations = w.ops(w.alice, vec![transfer(w.gold, w.bob, u128::MAX), transfer(w.gold, w.bob, 1)]);
        w.refuse(&[w.alice], operations)
    }),
    ("amount_overflow", "debits and holds", |w| {
        let operations = w.ops(w.alice, vec![transfer(w.gold, w.bob, u128::MAX), held(w, 1)]);
        w.refuse(&[w.alice], operations)
    }),
    ("amount_overflow", "mints", |w| {
        let operations = w.ops(w.alice, vec![mint(w, u128::MAX), mint(w, 1)]);
        w.refuse(&[w.alice], operations)
    }),
    ("amount_overflow", "a mint and the supply", |w| w.refuse_one(w.alice, mint(w, u128::MAX - 999))),
    ("amount_overflow", "a mint that the same transition burns", |w| {
        let burn = OperationKind::Burn { token: w.gold, amount: 1 };
        let operations = w.ops(w.alice, vec![mint(w, u128::MAX - 999), burn]);
        w.refuse(&[w.alice], operations)
    }),
    ("amount_overflow", "burns", |w| {
        let burn = |amount| OperationKind::Burn { token: w.gold, amount };
        let operations = w.ops(w.alice, vec![burn(u128::MAX), burn(1)]);
        w.refuse(&[w.alice], operations)
    }),
    ("over_cap", "two mints that go over together", |w| {
        let mint = OperationKind::Mint { token: w.silver, to: w.bob, amount: 4_751 };
        let operations = w.ops(w.root, vec![mint; 2]);
        w.refuse(&[w.root], operations)
    }),
    ("over_cap", "a policy's request", |w| {
        let mints = vec![Effect::Mint { to: w.bob, amount: 4_751 }; 2];
        w.refuse_one(w.root, effects(w.silver, 0, &mints))
    }),
];

fn set(value: u8) -> Effect {
    Effect::SetState { key: vec![1], value: vec![value] }
}

const POLICIES: &[Row] = &[
    ("write_conflict", "two legs write one key", |w| {
        let operations = w.ops(w.alice, vec![effects(w.gold, 0, &[set(1)]), effects(w.gold, 0, &[set(1)])]);
        w.refuse(&[w.alice], operations)
    }),
    ("write_conflict", "a leg writes and another deletes", |w| {
        let delete = Effect::DeleteState { key: vec![1] };
        let operations = w.ops(w.alice, vec![effects(w.gold, 0, &[set(1)]), effects(w.gold, 0, &[delete])]);
        w.refuse(&[w.alice], operations)
    }),
    ("write_conflict", "freezes and unfreezes", |w| {
        let account = w.bob;
        let both = [Effect::Freeze { account }, Effect::Unfreeze { account }];
        w.refuse_one(w.alice, effects(w.gold, 0, &both))
    }),
    ("effect_not_permitted", "no key", |w| asked(w, Effect::DeleteState { key: vec![] })),
    ("effect_not_permitted", "a key of 65 bytes", |w| asked(w, Effect::DeleteState { key: vec![0; 65] })),
    ("effect_not_permitted", "a value of 4,097 bytes", |w| {
        asked(w, Effect::SetState { key: vec![1], value: vec![0; 4_097] })
    }),
    ("effect_not_permitted", "a hold on who did not sign", |w| {
        let (owner, beneficiary, amount, kind) = (w.alice, w.bob, 1, HoldKind::Lock);
        asked(w, Effect::CreateHold { owner, beneficiary, amount, kind, expires_ms: None })
    }),
    ("effect_not_permitted", "a transfer of who did not sign", |w| {
        asked(w, Effect::Transfer { from: w.alice, to: w.bob, amount: 1 })
    }),
    ("effect_not_permitted", "a burn of who did not sign", |w| {
        asked(w, Effect::Burn { from: w.alice, amount: 1 })
    }),
    ("effect_not_permitted", "a mint of zero", |w| asked(w, Effect::Mint { to: w.bob, amount: 0 })),
    ("effect_not_permitted", "a hold that would end earlier", |w| {
        let hold = w.hold(1, HoldKind::Pledge, Some(w.time_ms + 10));
        asked(w, Effect::ExtendHold { hold, expires_ms: Some(w.time_ms + 9) })
    }),
    ("effect_not_permitted", "a hold that has ended", |w| {
        let hold = w.hold(1, HoldKind::Pledge, Some(w.time_ms + 10));
        w.time_ms += 10;
        asked(w, Effect::ExtendHold { hold, expires_ms: None })
    }),
    ("effect_not_permitted", "seventeen requests", |w| {
        let mints = vec![Effect::Mint { to: w.bob, amount: 1 }; abi_limit::DERIVED_LEGS_MAX + 1];
        w.refuse_one(w.carol, effects(w.gold, 0, &mints))
    }),
    ("effect_not_permitted", "a request about a request", |w| {
        let send = Effect::Transfer { from: w.alice, to: w.bob, amount: 1 };
        w.refuse_one(w.alice, effects(w.copper, 1, &[send]))
    }),
    ("policy_denied", "above the limit", |w| {
        w.refuse_one(w.root, OperationKind::Mint { token: w.silver, to: w.bob, amount: 5_001 })
    }),
    ("policy_denied", "what another policy requests", |w| {
        let refused =
            w.refuse_one(w.root, effects(w.silver, 0, &[Effect::Mint { to: w.bob, amount: 5_001 }]));
        assert!(matches!(refused, Refused::Refusal(Refusal::Denied { policy_index: 1, leg: 1, .. })));
        refused
    }),
    ("policy_denied", "an unknown method", |w| w.refuse_one(w.root, invoke(w.gold, 0, "x"))),
    ("policy_fault", "a trap", |w| w.refuse_one(w.root, invoke(w.gold, 0, "fault"))),
    ("no_verdict", "a watchdog", |w| w.refuse_one(w.root, invoke(w.gold, 0, "no_verdict"))),
];

/// Carol calls gold's policy, which asks for this.
fn asked(world: &mut World, effect: Effect) -> Refused {
    world.refuse_one(world.carol, effects(world.gold, 0, &[effect]))
}

/// Who may end a hold how: kind × who × what × whether it has ended.
#[test]
fn the_table_of_holds() {
    for kind in [HoldKind::Pledge, HoldKind::Lien, HoldKind::Lock, HoldKind::Escrow] {
        for (who, expired, execute) in (0..3)
            .flat_map(|who| [(who, false, false), (who, false, true), (who, true, false), (who, true, true)])
        {
            let mut world = World::new();
            let hold = world.hold(100, kind, Some(world.time_ms + 10));
            world.time_ms += if expired { 10 } else { 9 };
            let actor = [world.alice, world.bob, world.carol][who];
            let (owner, beneficiary) = (who == 0, who == 1);
            let operation = match execute {
                true => OperationKind::Execute { hold },
                false => OperationKind::Release { hold },
            };
            let expected = match (execute, kind) {
                (false, _) if beneficiary => "ok",
                (true, HoldKind::Pledge | HoldKind::Lien) if beneficiary => "live",
                (true, HoldKind::Escrow) if owner => "live",
                (_, _) => "hold_not_permitted",
            };
            let expected = match (expected, expired) {
                ("live", true) => "unknown_hold",
                ("live", false) => "ok",
                (other, _) => other,
            };
            let row = format!("{kind:?} who {who} expired {expired} execute {execute}");
            if expected != "ok" {
                assert_eq!(world.refuse_one(actor, operation).code(), expected, "{row}");
                continue;
            }
            world.accept_one(actor, operation);
            world.check_totals();
            let alice = world.ledger.account(&world.alice).unwrap();
            let left = if execute { 900 } else { 1_000 };
            assert_eq!(alice.available(&world.gold, world.time_ms), left, "{row}");
            assert!(alice.holds().is_empty() && world.ledger.hold(&hold).is_none(), "{row}");
        }
    }
}

/// The lattice of amounts: what is accepted at the very edge.
#[test]
fn amounts_at_the_edge_are_exact() {
    let mut world = World::new();
    let rest = u128::MAX - 1_000;
    world.accept_one(world.alice, mint(&world, rest));
    world.check_totals();
    assert_eq!(world.ledger.totals(&world.gold).supply, u128::MAX);
    assert_eq!(world.refuse_one(world.alice, mint(&world, 1)).code(), "amount_overflow");
    let credit = world.ledger.inbox(world.bob, None).next().unwrap().id;
    let mut operations = world.ops(world.bob, vec![OperationKind::Claim { credit }]);
    operations.extend(world.ops(world.alice, vec![transfer(world.gold, world.bob, 1_000)]));
    world.accept(&[world.alice, world.bob], operations);
    assert_eq!(world.ledger.account(&world.bob).unwrap().balance(&world.gold), u128::MAX);
    let burn = OperationKind::Burn { token: world.gold, amount: u128::MAX };
    world.accept_one(world.bob, burn);
    world.check_totals();
    assert_eq!(world.ledger.totals(&world.gold), dsm_core::Totals::default());
}

/// Recovery replaces the keys; the old ones are worth nothing afterwards, the new ones everything.
#[test]
fn recovered_and_rotated_keys_take_over_at_once() {
    for rotate in [false, true] {
        let mut world = World::new();
        let before = world.ledger.clone();
        let keys = key_set("alice 2");
        world.accept_one(
            world.alice,
            if rotate { OperationKind::RotateKeys { keys } } else { OperationKind::Recover { keys } },
        );
        let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
        let draft = world.draft(&[world.alice], operations);
        let old = sign_as(&before, draft.clone());
        assert_eq!(world.refuse_signed(&old).code(), "bad_signature");
        let new = world.sign(draft);
        world.submit(&new).unwrap();
    }
}

/// A precommitted account signs the bound shape, or anything when the time is over.
#[test]
fn a_precommitment_lets_its_own_shape_through() {
    let mut world = World::new();
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
    let shape = world.draft(&[world.alice], operations.clone()).shape();
    let until_ms = world.time_ms + 1;
    world.accept_one(world.alice, OperationKind::Precommit { shape, until_ms });
    assert_eq!(world.refuse_one(world.alice, transfer(world.gold, world.bob, 2)).code(), "precommitted");
    world.accept(&[world.alice], operations);
    world.accept_one(world.alice, transfer(world.gold, world.bob, 2));
}

/// A thief of the signing keys precommitted the account to a shape that nobody knows, for good. Recovery keys are
/// not bound by it.
#[test]
fn a_precommitment_does_not_lock_out_the_recovery_keys() {
    let mut world = World::new();
    let shape = dsm_abi::Digest([7; 32]);
    world.accept_one(world.alice, OperationKind::Precommit { shape, until_ms: u64::MAX });
    assert_eq!(world.refuse_one(world.alice, transfer(world.gold, world.bob, 2)).code(), "precommitted");
    world.accept_one(world.alice, OperationKind::Recover { keys: key_set("alice 2") });
    world.accept_one(world.alice, transfer(world.gold, world.bob, 2));
}

/// A set of legs of which the last fails does nothing of the first.
#[test]
fn a_set_is_all_or_nothing() {
    let mut world = World::new();
    let mut operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1); 15]);
    operations.push(Operation { actor: world.bob, kind: transfer(world.gold, world.carol, 1) });
    assert_eq!(world.refuse(&[world.alice, world.bob], operations.clone()).code(), "insufficient_funds");
    operations.pop();
    world.accept(&[world.alice, world.bob], operations);
    assert_eq!(world.ledger.account(&world.bob).unwrap().balance(&world.gold), 15);
    let created = creation("LAST", &[(SCRIPT, vec![])], None);
    let token = token_of(world.root, &created);
    let operations = world.ops(world.root, vec![created, invoke(world.gold, 0, "fault")]);
    assert_eq!(world.refuse(&[world.root], operations).code(), "policy_fault");
    assert!(world.ledger.token(&token).is_none());
}
