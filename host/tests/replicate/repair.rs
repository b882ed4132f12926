//! Rot in a core node's directory, mended from its storage nodes (O5).

use crate::cluster::{Cluster, replication_config};
use crate::world;
use dsm_host::node::replay;
use dsm_host::replicate::{RepairConfig, repair};
use dsm_sdk::receipt::Durability;
use std::fs;
use std::path::{Path, PathBuf};

fn only_file(folder: &Path, starts: &str) -> PathBuf {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(starts)).collect();
    found.sort();
    found.remove(0)
}

/// Changes one byte; the offset is counted from the end if it is negative.
fn flip(file: &Path, offset: i64) {
    let mut bytes = fs::read(file).unwrap();
    let at = if offset < 0 { bytes.len() - offset.unsigned_abs() as usize } else { offset as usize };
    bytes[at] ^= 0x20;
    fs::write(file, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn o5_rot_in_the_core_nodes_directory_is_mended_from_its_storage_nodes() {
    let cluster = Cluster::new(2);
    for _ in 0..20 {
        cluster.pay(Durability::Replicated(2)).unwrap();
    }
    cluster.caught_up();
    crate::cluster::eventually("the packages are on every storage node", || {
        cluster.storages.iter().all(|one| fs::read_dir(one.packages()).is_ok_and(|folder| folder.count() > 0))
    });
    let (core, folder) = (cluster.core(), cluster.folder.path().to_path_buf());
    let mut lost = cluster.lost();
    let expected = replay::verify(&world::config(&core, lost.clock.clone())).unwrap();
    let config = |data: &Path| RepairConfig {
        data: data.to_path_buf(),
        from: Vec::new(),
        listen: ([127, 0, 0, 1], 0).into(),
        link: replication_config(data).link,
    };
    let rows: [(&str, &str, &[i64]); 6] = [
        ("nothing", "log", &[]),
        ("one record", "log", &[9_000]),
        ("two records apart", "log", &[9_000, 30_000]),
        ("the last record", "log", &[-40]),
        ("the segment's head", "log", &[20]),
        ("a package", "policies", &[500]),
    ];
    for (what, place, offsets) in rows {
        let data = folder.join(what);
        copy(&core, &data);
        let file = only_file(&data.join(place), if place == "log" { "log-" } else { "" });
        offsets.iter().for_each(|offset| flip(&file, *offset));
        let report =
            lost.runtime.block_on(repair(config(&data))).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(report.left.is_empty(), "{what}: {report:?}");
        assert_eq!(report.damaged + report.damaged_packages > 0, !offsets.is_empty(), "{what}: {report:?}");
        let replayed = replay::verify(&world::config(&data, lost.clock.clone()));
        let replayed = replayed.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            (replayed.position, replayed.log_digest),
            (expected.position, expected.log_digest),
            "{what}"
        );
    }

    // With nobody to ask it says so and leaves everything as it is.
    let data = folder.join("alone");
    copy(&core, &data);
    let file = only_file(&data.join("log"), "log-");
    flip(&file, 9_000);
    let rotten = fs::read(&file).unwrap();
    (0..2).for_each(|storage| lost.storages[storage].stop(&lost.runtime));
    let report = lost.runtime.block_on(repair(config(&data))).unwrap();
    assert_eq!(report.left.len(), 1, "{report:?}");
    assert_eq!(fs::read(&file).unwrap(), rotten);
}
