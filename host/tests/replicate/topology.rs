//! The topology changes while the node writes.

use crate::cluster::{Cluster, PATIENCE, SHORTFALL, Storage, eventually};
use dsm_host::replicate::ReplicationError;
use dsm_sdk::receipt::Durability;
use std::time::Duration;

#[test]
fn o5_members_are_added_removed_and_promoted_live_and_the_topology_outlives_the_node() {
    let mut cluster = Cluster::new(1);
    let core = cluster.core();
    let genesis = cluster.world.node.genesis().node.clone();
    let second = Storage::open(&cluster.runtime, &cluster.folder.path().join("storage-1"), &genesis);
    let third = Storage::open(&cluster.runtime, &cluster.folder.path().join("storage-2"), &genesis);
    for one in [&second, &third] {
        let key = Some(one.peer.key.clone());
        let added =
            cluster.runtime.block_on(cluster.replication.add(&one.peer.address, key.clone())).unwrap();
        assert_eq!(added.node, one.node);
        let again = cluster.runtime.block_on(cluster.replication.add(&one.peer.address, key)).unwrap_err();
        assert_eq!(again.code(), "peer_exists");
    }
    cluster.storages.extend([second, third]);
    cluster.caught_up();
    let receipt = cluster.pay(Durability::Replicated(3)).unwrap();
    assert_eq!(receipt.storage_nodes.len(), 3);

    let promoted = cluster.promote(1);
    println!("planned promotion: {} ms", promoted.took_ms);
    assert_eq!(promoted.primary, cluster.storages[1].node);
    let receipt = cluster.pay(Durability::Primary).unwrap();
    assert_eq!(receipt.storage_nodes.first(), Some(&cluster.storages[1].node));

    let old = cluster.storages[0].node;
    let removed = cluster.runtime.block_on(cluster.replication.remove(old, false)).unwrap();
    assert_eq!(removed.epoch, promoted.epoch + 1);
    assert_eq!(cluster.pay(Durability::Replicated(3)).unwrap_err().code(), "too_few_storage_nodes");
    let refused = cluster.runtime.block_on(cluster.replication.remove(promoted.primary, false)).unwrap_err();
    assert_eq!(refused.code(), "topology_refused", "the primary has to be replaced first");

    let before = cluster.replication.topology().unwrap();
    let cluster = cluster.reopen(&core, |_| {});
    cluster.ready();
    let after = cluster.replication.topology().unwrap();
    assert_eq!((after.epoch, after.primary, after.signed), (before.epoch, before.primary, before.signed));
    cluster.pay(Durability::Replicated(2)).unwrap();
}

#[test]
fn s6_unknown_keys_are_refused() {
    let cluster = Cluster::with(1, |_| {});
    let genesis = cluster.world.node.genesis().node.clone();
    let stranger = Storage::open(&cluster.runtime, &cluster.folder.path().join("stranger"), &genesis);
    let known = cluster.storages[0].peer.key.clone();
    let before = cluster.replication.topology().unwrap();
    let ask = |address: &str, key| cluster.runtime.block_on(cluster.replication.add(address, key));
    let no_key = ask(&stranger.peer.address, None).unwrap_err();
    assert_eq!(no_key.code(), "unknown_key");
    // Another key than the one that answers there.
    let mut other = known;
    other[0] ^= 1;
    let other = ask(&stranger.peer.address, Some(other)).unwrap_err();
    assert_eq!(other.code(), "unknown_key", "{other}");
    for refused in [
        cluster.runtime.block_on(cluster.replication.promote(stranger.node, false)).unwrap_err(),
        cluster.runtime.block_on(cluster.replication.remove(stranger.node, false)).unwrap_err(),
    ] {
        assert_eq!(refused.code(), "unknown_key");
    }
    assert!(matches!(
        ask("127.0.0.1:1", Some(stranger.peer.key.clone())),
        Err(ReplicationError::PeerUnfit { .. })
    ));
    assert_eq!(cluster.replication.topology().unwrap().epoch, before.epoch, "nothing was signed");
    cluster.pay(Durability::Primary).unwrap();
}

#[test]
fn o5_a_silent_primary_is_replaced_if_a_majority_answers() {
    let mut cluster = Cluster::with(3, |config| config.failover = Some(Duration::from_millis(1500)));
    cluster.pay(Durability::Replicated(3)).unwrap();
    let old = cluster.replication.topology().unwrap();
    let primary = cluster.storages.iter().position(|one| Some(one.node) == old.primary).unwrap();
    let since = std::time::Instant::now();
    cluster.waits(SHORTFALL);
    cluster.stop(primary);
    eventually("another primary", || {
        let now = cluster.replication.topology().unwrap();
        now.primary != old.primary && now.epoch > old.epoch
    });
    // Levels count again as soon as a majority has promised.
    let begun = std::time::Instant::now();
    while let Err(error) = cluster.pay(Durability::Replicated(2)) {
        assert!(begun.elapsed() < PATIENCE, "{error}");
    }
    println!("failover: {} ms", since.elapsed().as_millis());
    cluster.waits(PATIENCE);
    cluster.start(primary);
    cluster.caught_up();
    assert_eq!(cluster.pay(Durability::Replicated(3)).unwrap().storage_nodes.len(), 3);
}

#[test]
fn o5_two_members_of_which_the_primary_is_lost_go_on_by_an_operators_word() {
    let mut cluster = Cluster::new(2);
    cluster.pay(Durability::Replicated(2)).unwrap();
    cluster.caught_up();
    let (primary, replica) = (cluster.storages[0].node, cluster.storages[1].node);
    cluster.stop(0);
    cluster.waits(SHORTFALL);
    assert_eq!(cluster.pay(Durability::Primary).unwrap_err().code(), "not_replicated");
    cluster.waits(PATIENCE);
    let remove = |force| cluster.runtime.block_on(cluster.replication.remove(primary, force));
    assert_eq!(remove(false).unwrap_err().code(), "topology_refused");
    let changed = remove(true).unwrap();
    assert_eq!(changed.primary, replica);
    let receipt = cluster.pay(Durability::Primary).unwrap();
    assert_eq!(receipt.storage_nodes, vec![replica]);
    assert_eq!(cluster.replication.topology().unwrap().members.len(), 1);
}

#[test]
fn o5_the_matrix_asks_everybody_now() {
    let mut cluster = Cluster::new(2);
    cluster.pay(Durability::Replicated(2)).unwrap();
    cluster.stop(1);
    let matrix = cluster.runtime.block_on(cluster.replication.matrix()).unwrap();
    let row =
        |storage: usize| matrix.rows.iter().find(|row| row.node == cluster.storages[storage].node).unwrap();
    assert_eq!((row(0).reached, row(0).agrees, row(0).position), (true, Some(true), Some(matrix.position)));
    assert!(!row(1).reached && row(1).trouble.is_some());
}
