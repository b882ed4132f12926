//! A core node whose disk is gone.

use crate::cluster::{Cluster, Lost, open_core, replication_config};
use crate::world;
use dsm_host::node::backup::write_stopped;
use dsm_host::replicate::{RestoreBackupConfig, RestoreConfig, restore, restore_backup};
use dsm_sdk::receipt::Durability;

fn restore_config(cluster: &Lost, data: &std::path::Path, key: &std::path::Path) -> RestoreConfig {
    RestoreConfig {
        from: vec![cluster.storages[0].peer.clone()],
        key: key.to_path_buf(),
        node: world::config(data, cluster.clock.clone()),
        replication: replication_config(data),
        force: false,
    }
}

#[test]
fn o7_a_lost_core_is_rebuilt_with_the_same_heads_and_the_old_one_is_fenced() {
    let cluster = Cluster::new(3);
    for _ in 0..10 {
        cluster.pay(Durability::Replicated(3)).unwrap();
    }
    let last = cluster.pay(Durability::Replicated(3)).unwrap();
    cluster.runtime.block_on(cluster.world.node.checkpoint()).unwrap();
    cluster.caught_up();
    let before = cluster.world.fingerprint();
    let (core, key) = (cluster.core(), cluster.folder.path().join("node.key"));
    std::fs::copy(core.join("node.key"), &key).unwrap();
    // Packages travel in the background; a node is lost after they arrived.
    crate::cluster::eventually("the packages are on every storage node", || {
        cluster
            .storages
            .iter()
            .all(|one| std::fs::read_dir(one.packages()).is_ok_and(|folder| folder.count() > 0))
    });
    let old_epoch = cluster.replication.topology().unwrap().epoch;
    let lost = cluster.folder.path().join("lost");
    let cluster = cluster.lost();
    std::fs::rename(&core, &lost).unwrap();

    let report = cluster
        .runtime
        .block_on(restore(restore_config(&cluster, &core, &key), |_, _| {}))
        .unwrap_or_else(|error| panic!("{}: {error}", error.code()));
    println!("RTO {} ms, RPO {} records", report.rto_ms, report.rpo_records);
    assert_eq!((report.rpo_records, report.rpo_ms), (0, Some(0)));
    assert!(report.epoch > old_epoch);
    assert_eq!(report.asked.len(), 3, "the topology of one names the others");
    let again = cluster.runtime.block_on(restore(restore_config(&cluster, &core, &key), |_, _| {}));
    assert_eq!(again.unwrap_err().code(), "data_exists");

    let clock = cluster.clock.clone();
    let cluster = cluster.reopen(&core, |_| {});
    cluster.ready();
    assert_eq!(cluster.world.fingerprint(), before, "the same heads at the same position");
    let kept = cluster.world.node.receipt(&last.transition).unwrap().unwrap();
    assert_eq!((kept.position, kept.log_digest), (last.position, last.log_digest));
    cluster.pay(Durability::Replicated(3)).unwrap();

    let (old, replication) = open_core(&lost, &cluster.runtime, clock, |_| {});
    crate::cluster::eventually("what is left of the old node is fenced", || {
        old.ready().is_err_and(|error| error.code() == "fenced")
    });
    cluster.runtime.block_on(replication.close());
    old.close().unwrap();
}

#[test]
fn o7_a_restoration_waits_for_the_primary_unless_it_is_said_to_be_lost() {
    let cluster = Cluster::new(3);
    cluster.pay(Durability::Replicated(3)).unwrap();
    let primary = cluster.replication.topology().unwrap().primary;
    cluster.caught_up();
    let key = cluster.folder.path().join("node.key");
    std::fs::copy(cluster.core().join("node.key"), &key).unwrap();
    let mut cluster = cluster.lost();
    let primary = cluster.storages.iter().position(|one| Some(one.node) == primary).unwrap();
    cluster.storages[primary].stop(&cluster.runtime);
    let data = cluster.folder.path().join("restored");
    let mut config = restore_config(&cluster, &data, &key);
    config.from = vec![cluster.storages[(primary + 1) % 3].peer.clone()];
    let error = cluster.runtime.block_on(restore(config.clone(), |_, _| {})).unwrap_err();
    assert_eq!(error.code(), "too_few_answers");
    assert!(!data.join("log").exists(), "nothing was begun");
    config.force = true;
    let report = cluster.runtime.block_on(restore(config, |_, _| {})).unwrap();
    assert_eq!(report.rpo_records, 0);
}

#[test]
fn o7_a_core_from_an_old_backup_fetches_what_its_storage_nodes_hold_more() {
    let cluster = Cluster::new(3);
    for _ in 0..5 {
        cluster.pay(Durability::Replicated(3)).unwrap();
    }
    let node = cluster.world.node.clone();
    let mut archive = Vec::new();
    let extent = cluster.runtime.block_on(node.backup_extent()).unwrap();
    node.write_backup(extent, &mut archive).unwrap();
    drop(node);
    let file = cluster.folder.path().join("backup");
    std::fs::write(&file, &archive).unwrap();
    for _ in 0..5 {
        cluster.pay(Durability::Replicated(3)).unwrap();
    }
    cluster.runtime.block_on(cluster.world.node.checkpoint()).unwrap();
    cluster.caught_up();
    crate::cluster::eventually("the packages are on every storage node", || {
        cluster
            .storages
            .iter()
            .all(|one| std::fs::read_dir(one.packages()).is_ok_and(|folder| folder.count() > 0))
    });
    let (before, old_epoch) = (cluster.world.fingerprint(), cluster.replication.topology().unwrap().epoch);
    let (core, key) = (cluster.core(), cluster.folder.path().join("node.key"));
    std::fs::copy(core.join("node.key"), &key).unwrap();
    let lost = cluster.folder.path().join("lost");
    let mut cluster = cluster.lost();

    // One head, one archive: a core node and a storage node write the same bytes.
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    write_stopped(&world::config(&core, cluster.clock.clone()), &mut ours).unwrap();
    cluster.storages[2].stop(&cluster.runtime);
    crate::cluster::eventually("the storage node has let go of its directory", || {
        dsm_storage_node::backup::scrub_directory(&cluster.storages[2].data()).is_ok()
    });
    dsm_storage_node::backup::write_directory(&cluster.storages[2].data(), &mut theirs).unwrap();
    assert_eq!(ours, theirs);
    assert_ne!(ours, archive);
    cluster.storages[2].start(&cluster.runtime);

    std::fs::rename(&core, &lost).unwrap();
    let node = world::config(&core, cluster.clock.clone());
    let config = RestoreBackupConfig { archive: file, key, node };
    let report = restore_backup(&config).unwrap_or_else(|error| panic!("{}: {error}", error.code()));
    assert_eq!(restore_backup(&config).unwrap_err().code(), "data_exists");
    assert!(report.topologies_passed > old_epoch);
    let (clock, peers) =
        (cluster.clock.clone(), cluster.storages.iter().map(|one| one.peer.clone()).collect());
    let cluster = cluster.reopen(&core, |config| config.first = peers);
    cluster.ready();
    assert_eq!(cluster.world.fingerprint(), before, "nothing that a storage node holds is lost");
    assert!(cluster.replication.topology().unwrap().epoch > report.topologies_passed);
    cluster.pay(Durability::Replicated(3)).unwrap();

    let (old, replication) = open_core(&lost, &cluster.runtime, clock, |_| {});
    crate::cluster::eventually("what is left of the old node is fenced", || {
        old.ready().is_err_and(|error| error.code() == "fenced")
    });
    cluster.runtime.block_on(replication.close());
    old.close().unwrap();
}
