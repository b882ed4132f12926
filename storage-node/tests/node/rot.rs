//! Bytes that rot: seen, not served, fetched again from others.

use super::chronicle::Chronicle;
use super::leader::{Core, ask, endpoint, member, topology};
use super::{archive, config, data, reopen, until};
use dsm_abi::Digest;
use dsm_crypto::SecretKey;
use dsm_proto::fetch::{Answer, Query};
use dsm_storage_node::{State, StorageConfig, StorageNode};
use std::path::{Path, PathBuf};

/// The files of a folder, sorted, without those that are not content.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Flips one bit of a file.
fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

struct Pair {
    folder: tempfile::TempDir,
    core: Core,
    first: StorageNode,
    second: StorageNode,
    configs: [StorageConfig; 2],
}

/// Two members with the same log in several segments, and a package.
async fn pair(seed: u8) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(seed);
    chronicle.write_some(12);
    chronicle.publish(0, 2_000);
    let configs = ["1", "2"].map(|name| {
        let mut config = config(&folder.path().join(name), &chronicle);
        config.segment_bytes = 80_000;
        config
    });
    let first = StorageNode::open(configs[0].clone()).await.unwrap();
    let second = StorageNode::open(configs[1].clone()).await.unwrap();
    let topology = topology(&chronicle, 1, vec![member(&first), member(&second)]);
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    // What is synced together lies in one segment.
    for _ in 0..5 {
        core.write(|chronicle| chronicle.write_some(12));
        core.all_acked().await;
    }
    for node in [&first, &second] {
        until(node, "the package is here", |status| status.blobs == 1).await;
        assert!(node.status().segments > 2);
    }
    Pair { folder, core, first, second, configs }
}

#[tokio::test(flavor = "multi_thread")]
async fn o5_a_scrub_repairs_records_and_blobs_from_others_while_the_node_runs() {
    let Pair { folder, mut core, first, second, configs } = pair(31).await;
    let whole = archive(&second);
    let segment = &files(&data(&configs[0]).join("log"))[0];
    for offset in [5_000, 20_000, 20_100, 40_000] {
        flip(segment, offset);
    }
    flip(&files(&data(&configs[0]).join("policies"))[0], 700);
    let view = first.scrub().await.unwrap();
    assert!(view.damaged >= 4, "{view:?}");
    assert_eq!(view.repaired, view.damaged);
    assert!(archive(&first) == whole);
    assert_eq!(first.status().state, State::Serving);
    assert_eq!(first.scrub().await.unwrap().damaged, 0);
    core.write(|chronicle| chronicle.write_some(5));
    core.all_acked().await;
    core.stop().await;
    first.close().await;
    second.close().await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_a_damaged_record_is_not_served_and_whoever_reads_it_sets_off_the_repair() {
    let Pair { folder, core, first, second, configs } = pair(32).await;
    let key = {
        let chronicle = core.chronicle();
        let suite = dsm_crypto::Signer::suite(&chronicle.node);
        SecretKey::from_secret_bytes(suite, &chronicle.node.to_secret_bytes()).unwrap()
    };
    let asker = endpoint(&key, &[member(&first)]);
    flip(&files(&data(&configs[0]).join("log"))[0], 30_000);
    let connection = asker.connect(first.local_addr(), Digest(first.node().0)).await.unwrap();
    let mut position = 1;
    let mut refused = false;
    while position <= first.status().head {
        match ask(&connection, Query::Records { from: position, bytes_max: 1 }).await {
            Answer::Records(records) => {
                assert_eq!(records[0].payload, core.chronicle().records[position as usize - 1]);
                position += 1;
            }
            Answer::Damaged => {
                refused = true;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refused, "the damage lies in a record");
    let none = "dsm_storage_repairs_total{what=\"record\"} 0\n";
    let repaired =
        |status: &dsm_storage_node::Status| status.state == State::Serving && !first.metrics().contains(none);
    until(&first, "it is repaired", repaired).await;
    let answer = ask(&connection, Query::Records { from: position, bytes_max: 1 }).await;
    let Answer::Records(records) = answer else { panic!("{answer:?}") };
    assert_eq!(records[0].payload, core.chronicle().records[position as usize - 1]);
    core.stop().await;
    first.close().await;
    second.close().await;
    drop(folder);
}

/// Damages the closed directory of the first node, opens it, and waits until it is as the second again.
async fn repaired_at_start(seed: u8, damage: impl Fn(&Path)) {
    let Pair { folder, core, first, second, configs } = pair(seed).await;
    let whole = archive(&second);
    let address = first.local_addr();
    let chronicle = core.stop().await;
    first.close().await;
    damage(data(&configs[0]));
    let first = reopen(configs[0].clone(), address).await;
    let status = until(&first, "it is repaired", |status| status.state == State::Serving).await;
    assert_eq!(status.head, chronicle.head().0);
    assert!(archive(&first) == whole);
    let topology = topology(&chronicle, 2, vec![member(&first), member(&second)]);
    let mut core = Core::start(chronicle, topology);
    core.write(|chronicle| chronicle.write_some(5));
    core.all_acked().await;
    core.stop().await;
    first.close().await;
    second.close().await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn o5_rot_inside_sealed_segments_is_repaired_before_the_node_serves() {
    repaired_at_start(33, |data| {
        let segments = files(&data.join("log"));
        flip(&segments[0], 30_000);
        flip(&segments[1], 50_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o5_rot_in_the_last_segment_is_repaired_before_the_node_serves() {
    repaired_at_start(34, |data| {
        let segments = files(&data.join("log"));
        flip(segments.last().unwrap(), 300);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o5_a_rotten_segment_head_a_missing_segment_and_a_rotten_blob_are_repaired() {
    repaired_at_start(35, |data| {
        let segments = files(&data.join("log"));
        flip(&segments[0], 17);
        std::fs::remove_file(&segments[1]).unwrap();
        flip(&files(&data.join("policies"))[0], 3);
    })
    .await;
}
