//! Restart: what was acknowledged is there, and a replay that believes nothing agrees (THREATS O1).

use crate::world::{World, config, sign};
use dsm_crypto::Verifier;
use dsm_host::node::{Node, replay};
use std::sync::Arc;

#[test]
fn a_reopened_node_has_the_same_heads_and_replays_to_the_same_roots() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let receipts: Vec<_> =
        (1..20).map(|amount| world.accept(sign(world.transfer(amount), &[&world.alice]))).collect();
    let claim = world.by(&world.bob).claim(world.bob.account, world.credit(&world.bob));
    world.accept(sign(claim, &[&world.bob]));
    let before = world.fingerprint();
    let clock = Arc::clone(&world.clock);
    world.node.close().unwrap();
    let report = replay::verify(&config(data.path(), Arc::clone(&clock))).unwrap();
    assert_eq!(
        (report.accounts_root, report.tokens_root, report.credits_root),
        (before.0, before.1, before.2)
    );
    assert_eq!(report.position, before.3);
    assert!(report.evaluations > 20);
    std::fs::remove_file(data.path().join("index.redb")).unwrap();
    let node = Node::open(config(data.path(), clock)).unwrap();
    for receipt in receipts {
        assert_eq!(node.receipt(&receipt.transition).unwrap(), Some(receipt));
    }
}

#[test]
fn a_checkpoint_proves_heads_and_balances() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let signed = runtime.block_on(world.node.checkpoint()).unwrap();
    let (trusted, verifier) = (&world.node.genesis().node, Verifier::new());
    signed.verify(trusted, &verifier).unwrap();
    let proof = world.node.prove_asset(&world.alice.account, &world.token).unwrap();
    assert_eq!(proof.verify(trusted, &verifier), Ok(1_000));
    let proof = world.node.prove_account(&dsm_abi::AccountId([1; 32])).unwrap();
    assert_eq!(proof.verify(trusted, &verifier), Ok(None));
    let proof = world.node.prove_token(&world.token).unwrap();
    assert_eq!(proof.verify(trusted, &verifier).unwrap().unwrap().supply, 1_000);
    // Nothing moved: the same checkpoint.
    assert_eq!(runtime.block_on(world.node.checkpoint()).unwrap(), signed);
    world.accept(sign(world.transfer(1), &[&world.alice]));
    let error = world.node.prove_asset(&world.alice.account, &world.token).unwrap_err();
    assert_eq!(error.code(), "moved_since_checkpoint");
    let next = runtime.block_on(world.node.checkpoint()).unwrap();
    assert_eq!(next.checkpoint.parent, signed.checkpoint.id());
    world.node.close().unwrap();
    let report = replay::verify(&config(data.path(), Arc::clone(&world.clock))).unwrap();
    assert_eq!(report.checkpoints, 2);
}

#[test]
fn o12_a_directory_in_use_is_refused_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let Err(error) = Node::open(config(data.path(), Arc::clone(&world.clock))) else {
        panic!("opened twice")
    };
    assert_eq!(error.code(), "data_in_use");
}

#[test]
fn a_changed_byte_anywhere_in_the_log_is_found() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let clock = Arc::clone(&world.clock);
    world.node.close().unwrap();
    let log = data.path().join("log");
    let segment = std::fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let good = std::fs::read(&segment).unwrap();
    for at in (0..good.len()).step_by(good.len() / 40) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&segment, &bad).unwrap();
        let error = replay::verify(&config(data.path(), Arc::clone(&clock))).expect_err("a changed byte");
        assert!(["log_damaged", "log_inconsistent"].contains(&error.code()), "byte {at}: {error}");
    }
    std::fs::write(&segment, &good).unwrap();
    replay::verify(&config(data.path(), clock)).unwrap();
}
