//! Bad input: each row is refused with its own stable code and changes nothing (THREATS C1, C2, C3, C4, C5, C6, C7).

use crate::world::{START_MS, World, genesis, operation, sign, sign_anything, submit};
use dsm_abi::{HoldKind, NetworkId, StateId, Suite, encode};
use dsm_core::{OperationKind, SignedTransition, Transition};
use dsm_crypto::{SecretKey, Verifier};
use dsm_host::node::SubmitError;
use std::sync::atomic::Ordering;

/// The body of a good transfer, altered.
fn altered(world: &World, alter: impl FnOnce(&mut Transition)) -> Vec<u8> {
    let mut transition = world.transfer(10).transition().clone();
    alter(&mut transition);
    encode(&sign_anything(transition, &world.alice.key))
}

/// A good signed transfer, altered after it was signed.
fn tampered(world: &World, alter: impl FnOnce(&mut SignedTransition)) -> Vec<u8> {
    let mut signed = sign(world.transfer(10), &[&world.alice]);
    alter(&mut signed);
    encode(&signed)
}

fn with_amount(world: &World, amount: u128) -> Vec<u8> {
    altered(world, |transition| {
        let to = world.bob.account;
        let kind = OperationKind::Transfer { token: world.token, to, amount, memo: vec![] };
        transition.operations = vec![operation(world.alice.account, kind)];
    })
}

fn rows(world: &World) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let (alice, bob, token) = (&world.alice, &world.bob, world.token);
    let good = encode(&sign(world.transfer(10), &[alice]));
    let other_key = SecretKey::ml_dsa_65(&[77; 32]).unwrap();
    let mut trailing = good.clone();
    trailing.push(0);
    let overflow = |kind: OperationKind| {
        let twice = vec![operation(alice.account, kind.clone()), operation(alice.account, kind)];
        altered(world, |transition| transition.operations = twice)
    };
    let mint = |amount| OperationKind::Mint { token, to: bob.account, amount };
    let one =
        |kind| altered(world, |transition| transition.operations = vec![operation(alice.account, kind)]);
    let without_authority = {
        let mut transition = world.by(bob).mint(bob.account, token, bob.account, 1).transition().clone();
        transition.entropy = [3; 32];
        encode(&sign_anything(transition, &bob.key))
    };
    let everything = OperationKind::Transfer { token, to: bob.account, amount: u128::MAX, memo: vec![] };
    vec![
        (
            "C1 a forged signature",
            tampered(world, |s| s.signatures[0].bytes = vec![5; 3309]),
            "bad_signature",
        ),
        (
            "C1 a truncated signature",
            tampered(world, |s| s.signatures[0].bytes.truncate(3308)),
            "bad_signature",
        ),
        ("C1 an extended signature", tampered(world, |s| s.signatures[0].bytes.push(0)), "bad_signature"),
        ("C1 one bit flipped", tampered(world, |s| s.signatures[0].bytes[1000] ^= 4), "bad_signature"),
        (
            "C1 another key",
            encode(&sign_anything(world.transfer(10).transition().clone(), &other_key)),
            "bad_signature",
        ),
        ("C1 no signature", tampered(world, |s| s.signatures.clear()), "missing_signature"),
        (
            "C1 one signature twice",
            tampered(world, |s| s.signatures.push(s.signatures[0].clone())),
            "signature_order",
        ),
        ("C1 a key that is not there", tampered(world, |s| s.signatures[0].key = 7), "unknown_key"),
        (
            "C1 Dilithium3 claimed",
            tampered(world, |s| s.signatures[0].suite = Suite::Dilithium3),
            "wrong_suite",
        ),
        (
            "C1 the hybrid claimed",
            tampered(world, |s| s.signatures[0].suite = Suite::Ed25519MlDsa65),
            "wrong_suite",
        ),
        ("C1 an unknown suite", unknown_suite(&good), "malformed_bytes"),
        (
            "C5 a body changed after signing",
            tampered(world, |s| s.transition.valid_until_ms += 1),
            "bad_signature",
        ),
        ("C5 another network", altered(world, |t| t.network = NetworkId([1; 32])), "wrong_network"),
        ("C7 a parent that never was", altered(world, |t| t.parents[0].1 = StateId([4; 32])), "stale_parent"),
        (
            "an account that does not exist",
            altered(world, |t| {
                t.parents[0].0 = dsm_abi::AccountId([8; 32]);
                t.operations[0].actor = t.parents[0].0;
            }),
            "unknown_account",
        ),
        (
            "an expired window",
            altered(world, |t| {
                (t.valid_from_ms, t.valid_until_ms) = (START_MS - 10, START_MS - 5);
            }),
            "expired",
        ),
        (
            "a window in the future",
            altered(world, |t| {
                (t.valid_from_ms, t.valid_until_ms) = (START_MS + 5_000, START_MS + 9_000);
            }),
            "not_yet_valid",
        ),
        (
            "a window of a week",
            altered(world, |t| t.valid_until_ms = START_MS + 7 * 86_400_000),
            "window_malformed",
        ),
        ("C6 an amount of zero", with_amount(world, 0), "zero_amount"),
        ("C6 more than there is", with_amount(world, 1_001), "insufficient_funds"),
        ("C6 the largest amount", with_amount(world, u128::MAX), "insufficient_funds"),
        ("C6 a sum that overflows", overflow(everything), "amount_overflow"),
        ("C6 a mint that overflows", overflow(mint(u128::MAX)), "policy_denied"),
        ("a mint over the cap", one(mint(501)), "over_cap"),
        ("a mint without authority", without_authority, "policy_denied"),
        (
            "17 operations",
            altered(world, |t| t.operations = vec![t.operations[0].clone(); 17]),
            "operation_count",
        ),
        ("no operation", altered(world, |t| t.operations.clear()), "operation_count"),
        ("trailing bytes", trailing, "malformed_bytes"),
        ("nothing", vec![], "malformed_bytes"),
        ("half", good[..good.len() / 2].to_vec(), "malformed_bytes"),
        ("an oversize body", vec![0; 200 * 1024], "too_long"),
        (
            "a transfer to oneself",
            one(OperationKind::Transfer { token, to: alice.account, amount: 1, memo: vec![] }),
            "transfer_to_self",
        ),
        (
            "a recipient that does not exist",
            one(OperationKind::Transfer { token, to: dsm_abi::AccountId([6; 32]), amount: 1, memo: vec![] }),
            "unknown_account",
        ),
        (
            "an actor who does not sign",
            altered(world, |t| t.operations[0].actor = bob.account),
            "actor_not_signer",
        ),
    ]
}

fn unknown_suite(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let suite = bytes.len() - 3309 - 4 - 1;
    assert_eq!(bytes[suite], Suite::MlDsa65 as u8);
    bytes[suite] = 0x7f;
    bytes
}

#[test]
fn bad_input_is_refused_with_its_code_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let before = world.fingerprint();
    for (name, bytes, code) in rows(&world) {
        let error = submit(&world.node, bytes).expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
        assert_eq!(world.fingerprint(), before, "{name}");
    }
    world.accept(sign(world.transfer(10), &[&world.alice]));
}

#[test]
fn every_single_byte_of_a_signed_transition_matters() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let before = world.fingerprint();
    let good = encode(&sign(world.transfer(10), &[&world.alice]));
    let body = encode(world.transfer(10).transition()).len();
    for at in (0..body).chain((body..good.len()).step_by(61)) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let error = submit(&world.node, bytes).expect_err("a flipped byte");
        assert!(!error.code().is_empty(), "byte {at}");
    }
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn c3_a_replay_gets_the_original_receipt_and_moves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let signed = sign(world.transfer(10), &[&world.alice]);
    let receipt = world.accept(signed.clone());
    let after = world.fingerprint();
    for _ in 0..3 {
        assert_eq!(submit(&world.node, encode(&signed)).unwrap(), receipt);
    }
    // Another signature of the same body is the same transition: ids never include signatures (C2).
    let again = sign_anything(signed.transition.clone(), &world.alice.key);
    assert_ne!(again.signatures, signed.signatures);
    assert_eq!(submit(&world.node, encode(&again)).unwrap(), receipt);
    assert_eq!(world.fingerprint(), after);
}

#[test]
fn c3_ten_thousand_concurrent_duplicates_change_the_state_once() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let bytes = encode(&sign(world.transfer(10), &[&world.alice]));
    let position = world.node.status().position;
    let (sender, answers) = std::sync::mpsc::channel();
    let mut receipts = Vec::new();
    for _ in 0..10 {
        for _ in 0..1_000 {
            let sender = sender.clone();
            world.node.submit_with(bytes.clone(), move |answer| sender.send(answer).unwrap());
        }
        receipts.extend((0..1_000).map(|_| answers.recv().unwrap().unwrap()));
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(world.node.status().position, position + 1);
}

#[test]
fn c4_a_second_successor_is_a_conflict_and_its_proof_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let (first, second) = (world.transfer(10), world.transfer(11));
    world.accept(sign(first, &[&world.alice]));
    let moved = world.fingerprint();
    let error = submit(&world.node, encode(&sign(second.clone(), &[&world.alice]))).unwrap_err();
    let SubmitError::Conflict(proof) = error else { panic!("{error}") };
    proof.verify(&Verifier::new()).unwrap();
    assert_eq!(proof.account(), world.alice.account);
    let now = world.fingerprint();
    assert_eq!((now.0, now.1, now.2), (moved.0, moved.1, moved.2));
    assert_eq!(world.node.equivocations(&world.alice.account).unwrap(), vec![*proof]);
    // A second try adds nothing.
    let again = submit(&world.node, encode(&sign(second, &[&world.alice]))).unwrap_err();
    assert_eq!(again.code(), "conflict");
    assert_eq!(world.node.equivocations(&world.alice.account).unwrap().len(), 1);
    // It is still there after a restart, and Alice's chain goes on.
    world.node.clone().close().unwrap();
    let World { node, clock, alice, .. } = world;
    drop(node);
    let node = dsm_host::node::Node::open(crate::world::config(data.path(), clock)).unwrap();
    assert_eq!(node.equivocations(&alice.account).unwrap().len(), 1);
}

#[test]
fn c4_a_double_spend_behind_a_rotation_of_keys_is_proven_too() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let double_spend = sign(world.transfer(10), &[&world.alice]);
    let new_key = SecretKey::ml_dsa_65(&[50; 32]).unwrap();
    let keys = genesis(world.node.network(), &new_key).keys;
    let rotation = OperationKind::RotateKeys { keys };
    let draft = world.by(&world.alice).operation(world.alice.account, rotation);
    world.accept(sign(draft, &[&world.alice]));
    let error = submit(&world.node, encode(&double_spend)).unwrap_err();
    let SubmitError::Conflict(proof) = error else { panic!("{error}") };
    proof.verify(&Verifier::new()).unwrap();
    // The old key signs nothing any more.
    let error = submit(&world.node, encode(&sign(world.transfer(10), &[&world.alice]))).unwrap_err();
    assert_eq!(error.code(), "bad_signature");
}

#[test]
fn spending_under_a_hold_is_refused_until_the_pledgee_releases_it() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let (alice, bob) = (&world.alice, &world.bob);
    let hold = OperationKind::Hold {
        token: world.token,
        amount: 995,
        beneficiary: bob.account,
        kind: HoldKind::Pledge,
        expires_ms: None,
    };
    let receipt = world.accept(sign(world.by(alice).operation(alice.account, hold), &[alice]));
    let before = world.fingerprint();
    let refused = |bytes, code: &str| {
        let error = submit(&world.node, bytes).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(world.fingerprint(), before);
    };
    refused(encode(&sign(world.transfer(10), &[alice])), "under_hold");
    let own = world.by(alice).release(alice.account, receipt.holds[0]);
    refused(encode(&sign(own, &[alice])), "hold_not_permitted");
    let released = world.by(bob).release(bob.account, receipt.holds[0]);
    let receipt = world.accept(sign(released, &[bob]));
    // Alice's chain moved although only Bob signed: her hold was her consent.
    assert_eq!(receipt.accounts.len(), 2);
    world.accept(sign(world.transfer(10), &[alice]));
}

#[test]
fn o6_a_clock_that_jumps_back_does_not_take_time_with_it() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let two_years = 2 * 365 * 86_400_000;
    world.clock.0.store(START_MS - two_years, Ordering::Relaxed);
    let mut transition = world.transfer(10).transition().clone();
    (transition.valid_from_ms, transition.valid_until_ms) = (START_MS, START_MS + 1_000);
    let receipt = submit(&world.node, encode(&sign_anything(transition, &world.alice.key))).unwrap();
    assert_eq!(receipt.time_ms, START_MS);
}
