//! Bridges, locks and the outbox over HTTP, through the client that ships with the SDK.

use crate::bridged::Bridged;
use crate::server::Server;
use crate::world::sign;
use dsm_abi::{BridgeId, Digest, Trust};
use dsm_crypto::Verifier;
use dsm_evm_proof::{verify_consistency, verify_inclusion};
use dsm_sdk::api::{EffectView, EvidenceView, LockState, OperationKindView};

#[test]
fn a_bridge_its_locks_and_the_outbox_are_shown_and_proven() {
    let server = Server::new();
    let (world, client) = (&server.world, server.client());
    let mut bridged = Bridged::new(world);
    let nonce = bridged.lock(world, 500);
    let view = client.bridge(&bridged.bridge).unwrap();
    assert_eq!((view.bridge, view.trust, view.height), (bridged.bridge, Trust::Qbft, 100));
    assert_eq!(view.decode().unwrap().validators, bridged.chain.addresses());
    assert_eq!(client.bridges(None, 10).unwrap().bridges.as_slice(), std::slice::from_ref(&view));
    assert!(client.bridges(Some(bridged.bridge), 10).unwrap().bridges.is_empty());
    assert_eq!(client.bridge(&BridgeId([1; 32])).unwrap_err().code(), "not_found");
    assert_eq!(client.lock(&bridged.bridge, nonce).unwrap().state, LockState::Unknown);
    assert_eq!(client.lock(&BridgeId([1; 32]), nonce).unwrap_err().code(), "not_found");
    let empty = client.outbox(0, 10).unwrap();
    assert_eq!((empty.size, empty.root, empty.next), (0, Digest::default(), None));

    let receipt = bridged.credit(world, nonce);
    let lock = client.lock(&bridged.bridge, nonce).unwrap();
    assert_eq!((lock.state, lock.transition), (LockState::Credited, Some(receipt.transition)));
    assert_eq!((lock.token, lock.trust), (Some(bridged.token), Trust::Qbft));
    let shown = client.transition(&receipt.transition).unwrap();
    let [EvidenceView::Bridge { bridge, amount, .. }] = shown.evidence.as_slice() else {
        panic!("{shown:?}")
    };
    assert_eq!((*bridge, amount.0), (bridged.bridge, 500));

    let receipt = bridged.withdraw(world, [0x70; 20], 120);
    let bob = world.bob.account;
    for amount in [1, 2] {
        let more = world.by(&world.bob).withdraw(bob, bridged.token, 0, [0x70; 20], amount);
        world.accept(sign(more, &[&world.bob]));
    }
    world.accept(sign(world.by(&world.bob).emit(bob, 7, vec![1, 2, 3]), &[&world.bob]));
    let shown = client.transition(&receipt.transition).unwrap();
    let emitted = shown.effects.iter().flat_map(|given| &given.effects);
    assert_eq!(emitted.filter(|effect| matches!(effect, EffectView::Emit { lane: 1, .. })).count(), 1);
    let page = client.outbox(0, 3).unwrap();
    assert_eq!((page.entries.len(), page.next, page.size), (3, Some(3), 4));
    let rest = client.outbox(3, 3).unwrap();
    assert_eq!((rest.entries.len(), rest.next), (1, None));
    assert_eq!((rest.entries[0].lane, &rest.entries[0].payload.0[..]), (7, &[1u8, 2, 3][..]));
    let said = client.transition(&rest.entries[0].transition).unwrap();
    assert!(matches!(said.operations[0].kind, OperationKindView::Emit { lane: 7, .. }));
    let of = client.outbox_of(&receipt.transition).unwrap();
    assert_eq!(of.entries, page.entries[..1]);
    assert_eq!(client.outbox_entry(0).unwrap(), page.entries[0]);
    assert_eq!(client.outbox_entry(4).unwrap_err().code(), "not_found");

    assert_eq!(client.prove_outbox(0).unwrap_err().code(), "no_checkpoint");
    let checkpoint = client.take_checkpoint().unwrap();
    assert_eq!((checkpoint.checkpoint.outbox_size, checkpoint.checkpoint.outbox_root), (4, page.root));
    for index in 0..4 {
        let view = client.prove_outbox(index).unwrap();
        let proof = view.decode().unwrap();
        let entry = proof.verify(&world.node.genesis().node, &Verifier::new()).unwrap();
        assert_eq!((entry.index, view.epoch), (index, checkpoint.checkpoint.epoch));
        for size in index + 1..=4 {
            let path = client.outbox_path(index, size).unwrap();
            let siblings: Vec<_> = path.siblings.iter().map(|one| one.0).collect();
            verify_inclusion(&path.entry.leaf.0, index, size, &siblings, &path.root.0).unwrap();
        }
    }
    assert_eq!(client.prove_outbox(4).unwrap_err().code(), "not_in_outbox");
    assert_eq!(client.outbox_path(0, 5).unwrap_err().code(), "not_in_outbox");
    world.accept(sign(world.by(&world.bob).emit(bob, 7, vec![4]), &[&world.bob]));
    assert_eq!(client.prove_outbox(4).unwrap_err().code(), "not_checkpointed");
    let view = client.outbox_consistency(2, 5).unwrap();
    let hashes: Vec<_> = view.hashes.iter().map(|one| one.0).collect();
    verify_consistency(2, &view.from_root.0, 5, &view.to_root.0, &hashes).unwrap();
    assert_eq!(client.outbox_consistency(5, 2).unwrap_err().code(), "not_in_outbox");
    assert_eq!(client.outbox_consistency(0, 5).unwrap_err().code(), "not_in_outbox");

    let metrics = client.metrics().unwrap();
    for line in [
        r#"dsm_bridge_locks_total{outcome="credited"} 1"#,
        "dsm_bridge_emissions_total 5",
        "dsm_bridge_outbox_size 5",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    for bad in ["/v1/outbox/x", "/v1/outbox/0/path", "/v1/outbox?size=1", "/v1/bridges/00/locks/0"] {
        assert_eq!(server.get(bad).status, 400, "{bad}");
    }
}
