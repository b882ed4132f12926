//! Two core nodes of one history: one writes, the other learns that it does not.

use crate::cluster::{Cluster, eventually, open_core, replication_config};
use crate::world;
use dsm_abi::encode;
use dsm_host::node::Standing;
use dsm_sdk::receipt::Durability;
use std::path::Path;

/// Copies a data directory, as somebody would who restores a backup.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn o6_an_old_core_is_fenced_and_stays_so() {
    let cluster = Cluster::new(3);
    cluster.pay(Durability::Replicated(3)).unwrap();
    let (core, old) = (cluster.core(), cluster.folder.path().join("old"));
    copy(&core, &old);
    // The other one goes on in a higher epoch.
    cluster.promote(1);
    cluster.pay(Durability::Replicated(2)).unwrap();

    let clock = cluster.world.clock.clone();
    let (node, replication) = open_core(&old, &cluster.runtime, clock.clone(), |_| {});
    eventually("the old one is fenced", || matches!(node.replicas().standing(), Standing::Fenced { .. }));
    let late = world::sign(cluster.world.transfer(1), &[&cluster.world.alice]);
    let error = cluster.runtime.block_on(node.submit(encode(&late))).unwrap_err();
    assert_eq!(error.code(), "fenced");
    let change = cluster.runtime.block_on(replication.promote(cluster.storages[2].node, false));
    assert_eq!(change.unwrap_err().code(), "fenced");
    cluster.runtime.block_on(replication.close());
    node.close().unwrap();
    // It does not forget: not even while nobody can be reached.
    let (node, replication) = open_core(&old, &cluster.runtime, clock, |config| {
        config.lead_wait = Some(std::time::Duration::ZERO);
    });
    assert!(matches!(node.replicas().standing(), Standing::Fenced { .. }));
    cluster.runtime.block_on(replication.close());
    node.close().unwrap();
    cluster.pay(Durability::Replicated(3)).unwrap();
}

#[test]
fn o6_a_core_that_is_behind_writes_nothing_before_it_has_caught_up() {
    let cluster = Cluster::new(2);
    cluster.pay(Durability::Replicated(2)).unwrap();
    let (core, old) = (cluster.core(), cluster.folder.path().join("old"));
    copy(&core, &old);
    let mut last = None;
    for _ in 0..20 {
        last = Some(cluster.pay(Durability::Replicated(2)).unwrap());
    }
    cluster.runtime.block_on(cluster.world.node.checkpoint()).unwrap();
    let last = last.unwrap();
    cluster.caught_up();
    let (fingerprint, head) = (cluster.world.fingerprint(), cluster.replication.topology().unwrap().position);
    // The disk of the core went back in time, as a snapshot of a virtual machine does.
    let behind = cluster.reopen(&old, |_| {});
    assert!(behind.world.node.ready().is_err(), "it has heard nobody yet");
    behind.ready();
    assert_eq!(behind.replication.topology().unwrap().position, head);
    assert_eq!(behind.world.fingerprint(), fingerprint, "the same heads");
    let kept = behind.world.node.receipt(&last.transition).unwrap().unwrap();
    assert_eq!((kept.position, kept.log_digest), (last.position, last.log_digest));
    let next = behind.pay(Durability::Replicated(2)).unwrap();
    assert!(next.position > head);
}

#[test]
fn o6_a_core_behind_several_catches_up_with_the_longest() {
    let mut cluster = Cluster::new(3);
    cluster.pay(Durability::Replicated(3)).unwrap();
    let (core, old) = (cluster.core(), cluster.folder.path().join("old"));
    copy(&core, &old);
    for _ in 0..5 {
        cluster.pay(Durability::Replicated(3)).unwrap();
    }
    cluster.caught_up();
    cluster.stop(2);
    for _ in 0..5 {
        cluster.pay(Durability::Replicated(2)).unwrap();
    }
    cluster.caught_up();
    cluster.stop(1);
    let last = cluster.pay(Durability::Primary).unwrap();
    let fingerprint = cluster.world.fingerprint();
    let mut lost = cluster.lost();
    for storage in [1, 2] {
        lost.storages[storage].start(&lost.runtime);
    }
    // Each of the three ends somewhere else, and the core before all of them.
    let cluster = lost.reopen(&old, |_| {});
    cluster.ready();
    eventually("the longest history", || cluster.world.fingerprint() == fingerprint);
    assert!(cluster.world.node.receipt(&last.transition).unwrap().is_some());
    cluster.pay(Durability::Replicated(3)).unwrap();
}

#[test]
fn a_core_that_hears_nobody_waits_or_goes_on_as_it_is_told() {
    let mut cluster = Cluster::new(1);
    cluster.pay(Durability::Primary).unwrap();
    let core = cluster.core();
    cluster.stop(0);
    let mut cluster = cluster.reopen(&core, |_| {});
    let error = cluster.pay(Durability::Local).unwrap_err();
    assert_eq!(error.code(), "not_leading");
    cluster.start(0);
    cluster.ready();
    cluster.pay(Durability::Primary).unwrap();
    cluster.stop(0);
    let cluster = cluster.reopen(&core, |config| config.lead_wait = Some(std::time::Duration::ZERO));
    cluster.ready();
    cluster.pay(Durability::Local).unwrap();
    assert!(replication_config(&core).lead_wait.is_none());
}
