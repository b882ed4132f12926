//! What receipts say, and what happens when a level is not reached.

use crate::cluster::{Cluster, SHORTFALL, eventually};
use crate::world;
use dsm_abi::Suite;
use dsm_core::PublicKey;
use dsm_crypto::Verifier;
use dsm_host::node::SubmitError;
use dsm_proto::Ack;
use dsm_sdk::receipt::Durability;

#[test]
fn a_receipt_names_the_level_asked_for_and_the_storage_nodes() {
    let cluster = Cluster::new(2);
    let (primary, replica) = (cluster.storages[0].node, cluster.storages[1].node);
    let local = cluster.pay(Durability::Local).unwrap();
    assert!(local.position > 0);
    let at_primary = cluster.pay(Durability::Primary).unwrap();
    assert!(at_primary.durability >= Durability::Primary);
    assert_eq!(at_primary.storage_nodes.first(), Some(&primary), "the primary stands first");
    let replicated = cluster.pay(Durability::Replicated(2)).unwrap();
    assert_eq!(replicated.durability, Durability::Replicated(2));
    assert_eq!(replicated.storage_nodes, vec![primary, replica]);
    cluster.caught_up();
    let again = cluster.world.node.receipt(&local.transition).unwrap().unwrap();
    assert_eq!(again.durability, Durability::Replicated(2), "asking again tells the level by then");
}

#[test]
fn s5_the_acknowledgements_are_kept_and_prove_what_they_say_to_anybody() {
    let cluster = Cluster::new(2);
    let receipt = cluster.pay(Durability::Replicated(2)).unwrap();
    for storage in &cluster.storages {
        let file = cluster.core().join("acks").join(storage.node.to_string());
        let read = || {
            // The last one is written down within a second.
            cluster.replication.topology().unwrap();
            std::fs::read(&file).ok().and_then(|bytes| dsm_abi::decode::<Ack>(&bytes, 1 << 16).ok())
        };
        eventually("the ack", || read().is_some_and(|ack| ack.head.position >= receipt.position));
        let ack = read().unwrap();
        let key = PublicKey { suite: Suite::MlDsa65, bytes: storage.peer.key.clone() };
        assert!(ack.is_signed_by(cluster.world.node.network(), &key, &Verifier::new()));
    }
}

#[test]
fn o4_a_level_that_cannot_be_met_is_refused_before_anything_is_accepted() {
    let cluster = Cluster::new(2);
    let before = cluster.world.fingerprint();
    let error = cluster.pay(Durability::Replicated(3)).unwrap_err();
    assert_eq!(error.code(), "too_few_storage_nodes");
    assert_eq!(cluster.world.fingerprint(), before);
}

#[test]
fn o4_a_level_not_reached_is_an_error_the_transition_stands_and_asking_again_tells_more() {
    let mut cluster = Cluster::new(2);
    // Levels count once both have promised the first epoch.
    cluster.pay(Durability::Replicated(2)).unwrap();
    cluster.stop(1);
    cluster.waits(SHORTFALL);
    let signed = world::sign(cluster.world.transfer(1), &[&cluster.world.alice]);
    let error = cluster.submit(&signed, Some(Durability::Replicated(2))).unwrap_err();
    let SubmitError::NotReplicated { asked, receipt } = &error else { panic!("{error}") };
    assert_eq!((error.code(), *asked), ("not_replicated", Durability::Replicated(2)));
    assert_eq!(receipt.durability, Durability::Primary);
    assert_eq!(receipt.storage_nodes, vec![cluster.storages[0].node]);
    assert!(cluster.world.node.receipt(&receipt.transition).unwrap().is_some(), "it stands");
    cluster.start(1);
    cluster.caught_up();
    let again = cluster.submit(&signed, Some(Durability::Replicated(2))).unwrap();
    assert_eq!((again.position, again.transition), (receipt.position, receipt.transition));
    assert_eq!(again.durability, Durability::Replicated(2));
}
