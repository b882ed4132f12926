//! Bridges on a real node: real seals, the shipped policy, the log, and a start from nothing but the log.

use crate::bridged::Bridged;
use crate::world::{START_MS, World, config, sign, submit};
use dsm_abi::{Value, encode};
use dsm_core::OperationKind;
use dsm_crypto::Verifier;
use dsm_evm_proof::{Payload, Release, ReleaseKind};
use dsm_host::node::{Node, replay};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const TO: [u8; 20] = [0x70; 20];

fn supply(world: &World, bridged: &Bridged) -> u128 {
    world.node.read(|ledger| ledger.token(&bridged.token).unwrap().state().supply).0
}

fn checkpoint(node: &Node) -> dsm_core::SignedCheckpoint {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(node.checkpoint()).unwrap()
}

#[test]
fn what_is_locked_is_credited_once_and_what_is_withdrawn_is_released_once() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let mut bridged = Bridged::new(&world);
    let (one, two) = (bridged.lock(&world, 500), bridged.lock(&world, 40));
    let receipt = bridged.credit(&world, one);
    assert_eq!((receipt.credits[0].to, receipt.credits[0].amount.0), (world.bob.account, 500));
    assert_eq!(supply(&world, &bridged), 500);
    // Another relayer, with another transition.
    let again = world.by(&world.bob).credit_lock(world.bob.account, bridged.bridge, bridged.chain.proof(one));
    let refused = submit(&world.node, encode(&sign(again, &[&world.bob]))).unwrap_err();
    assert_eq!(refused.code(), "evidence_consumed");
    // The issuer mints nothing that is not locked, and nobody burns without a release.
    let alice = world.alice.account;
    let refused = [
        world.by(&world.alice).mint(alice, bridged.token, alice, 1),
        world.by(&world.alice).invoke(alice, bridged.token, 0, "refund", vec![Value::U64(two)]),
    ];
    for draft in refused {
        assert_eq!(
            submit(&world.node, encode(&sign(draft, &[&world.alice]))).unwrap_err().code(),
            "policy_denied"
        );
    }
    let withdrawn = bridged.withdraw(&world, TO, 120);
    assert_eq!(supply(&world, &bridged), 380);
    let bob = world.bob.account;
    let burn = OperationKind::Burn { token: bridged.token, amount: 1 };
    let burn = sign(world.by(&world.bob).operation(bob, burn), &[&world.bob]);
    assert_eq!(submit(&world.node, encode(&burn)).unwrap_err().code(), "policy_denied");
    let too_much = sign(world.by(&world.bob).withdraw(bob, bridged.token, 0, TO, 381), &[&world.bob]);
    assert_eq!(submit(&world.node, encode(&too_much)).unwrap_err().code(), "insufficient_funds");
    // The second lock is nobody's until its deadline, then it is paid back.
    let refund = || {
        let draft = world.by(&world.alice).refund_lock(alice, 0, bridged.bridge, bridged.chain.proof(two));
        sign(draft, &[&world.alice])
    };
    let refused = submit(&world.node, encode(&refund())).unwrap_err();
    assert_eq!(refused.code(), "policy_denied");
    world.clock.0.store(START_MS + 60_000, Ordering::Relaxed);
    let late = world.by(&world.alice).credit_lock(alice, bridged.bridge, bridged.chain.proof(two));
    assert_eq!(
        submit(&world.node, encode(&sign(late, &[&world.alice]))).unwrap_err().code(),
        "policy_denied"
    );
    world.accept(refund());

    let outbox = world.node.read(|ledger| ledger.outbox().clone()).0;
    let payloads: Vec<_> =
        outbox.entries_from(0).map(|entry| Payload::decode(&entry.payload).unwrap()).collect();
    let (chain_id, bridge) = (bridged.chain.chain_id, bridged.chain.contract);
    let release =
        Release { chain_id, bridge, kind: ReleaseKind::Erc20, asset: [0xaa; 20], to: TO, amount: 120 };
    assert_eq!(payloads[0], Payload::Release(release));
    let Payload::Refund(refunded) = payloads[1] else { panic!("{payloads:?}") };
    let commitment = bridged.chain.locks[&two].commitment(chain_id, &bridge);
    assert_eq!((refunded.nonce, refunded.commitment), (two, commitment));
    let first = outbox.entry(0).unwrap();
    assert_eq!((first.token, first.actor, first.transition), (bridged.token, bob, withdrawn.transition));
    let metrics = world.node.metrics();
    let counts = [&metrics.locks_credited, &metrics.locks_refunded, &metrics.emissions];
    assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [1, 1, 2]);
}

/// A start from the log alone has the same bridges, uses of locks and outbox, proves under the last checkpoint of the
/// time before, and a replay that believes nothing agrees.
#[test]
fn b9_a_restarted_node_credits_nothing_twice_and_proves_the_same_outbox() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let mut bridged = Bridged::new(&world);
    let nonce = bridged.lock(&world, 500);
    let alice = world.alice.account;
    let credit = world.by(&world.alice).credit_lock(alice, bridged.bridge, bridged.chain.proof(nonce));
    let credit = encode(&sign(credit, &[&world.alice]));
    let credited = submit(&world.node, credit.clone()).unwrap();
    assert_eq!(world.node.prove_outbox(0).unwrap_err().code(), "not_in_outbox");
    bridged.withdraw(&world, TO, 120);
    assert_eq!(world.node.prove_outbox(0).unwrap_err().code(), "no_checkpoint");
    let signed = checkpoint(&world.node);
    assert_eq!(signed.checkpoint.outbox_size, 1);
    let bob = world.bob.account;
    let second = world.by(&world.bob).withdraw(bob, bridged.token, 0, TO, 1);
    world.accept(sign(second, &[&world.bob]));
    assert_eq!(world.node.prove_outbox(1).unwrap_err().code(), "not_checkpointed");
    let proof = world.node.prove_outbox(0).unwrap();
    assert_eq!(proof.verify(&world.node.genesis().node, &Verifier::new()), Ok(&proof.entry));

    let before = world.node.read(|ledger| ledger.clone().checkpoint(None, 0, Default::default()).0).0;
    let World { node, clock, .. } = world;
    node.close().unwrap();
    let report = replay::verify(&config(data.path(), Arc::clone(&clock))).unwrap();
    assert_eq!((report.bridges_root, report.outbox_root), (before.bridges_root, before.outbox_root));
    std::fs::remove_file(data.path().join("index.redb")).unwrap();
    let node = Node::open(config(data.path(), clock)).unwrap();
    let after = node.read(|ledger| ledger.clone().checkpoint(None, 0, Default::default()).0).0;
    assert_eq!(after, before);
    assert_eq!(node.prove_outbox(0).unwrap(), proof);
    assert_eq!(submit(&node, credit).unwrap(), credited);
    let used = node.read(|ledger| *ledger.lock_use(&bridged.bridge, nonce).unwrap()).0;
    assert_eq!((used.credited, used.transition), (true, credited.transition));
}

/// B10: who submits an accepted credit again gets its receipt, also when its evidence counts no more.
#[test]
fn a_credit_that_was_accepted_keeps_its_receipt_when_the_bridge_freezes() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let mut bridged = Bridged::new(&world);
    let (one, two) = (bridged.lock(&world, 500), bridged.lock(&world, 501));
    let alice = world.alice.account;
    let by_alice = |nonce| {
        let draft = world.by(&world.alice).credit_lock(alice, bridged.bridge, bridged.chain.proof(nonce));
        encode(&sign(draft, &[&world.alice]))
    };
    let credit = by_alice(one);
    let receipt = submit(&world.node, credit.clone()).unwrap();
    let mut other = bridged.chain.clone();
    other.locks.clear();
    let (a, b) = (bridged.chain.finality(&[1, 2, 3]), other.finality(&[2, 3, 4]));
    let convict = world.by(&world.bob).convict_bridge(world.bob.account, bridged.bridge, a, b);
    world.accept(sign(convict, &[&world.bob]));
    assert_eq!(submit(&world.node, credit).unwrap(), receipt);
    assert_eq!(submit(&world.node, by_alice(two)).unwrap_err().code(), "bridge_frozen");
}
