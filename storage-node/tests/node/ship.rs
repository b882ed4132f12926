//! What is shipped arrives, is acknowledged when it is durable, and is the same everywhere.

use super::chronicle::Chronicle;
use super::leader::{Core, DEADLINE, ask, endpoint, member, sign, topology};
use super::{archive, config, data, open, reopen, until};
use dsm_abi::Digest;
use dsm_crypto::SecretKey;
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::{Head, Hello, PeerState, Refusal, Start};
use dsm_storage_node::{Ended, OpenError, Retention, State, StorageNode, Upkeep, backup};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shipped_is_durable_and_byte_identical_on_every_node() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(1);
    chronicle.write_some(20);
    let first = open(&folder.path().join("1"), &chronicle).await;
    let second = open(&folder.path().join("2"), &chronicle).await;
    let topology = topology(&chronicle, 1, vec![member(&first), member(&second)]);
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    core.write(|chronicle| chronicle.write_some(30));
    core.write(|chronicle| chronicle.publish(0, 50_000));
    core.write(|chronicle| chronicle.publish(1, 100));
    core.write(|chronicle| {
        let proof = chronicle.equivocation(2);
        chronicle.push(&dsm_core::Entry::Equivocation(Box::new(proof)));
    });
    let head = core.all_acked().await;
    for node in [&first, &second] {
        let status = until(node, "both packages are here", |status| status.blobs == 2).await;
        assert_eq!(status.head, head.position);
        assert_eq!(status.digest, head.digest.to_string());
        assert_eq!((status.state, status.epoch, status.policies_missing), (State::Serving, 1, 0));
        assert_eq!((status.unchecked, status.evidence), (0, 0));
        assert!(status.core_connected);
        assert_eq!(status.members.iter().filter(|member| member.this).count(), 1);
        assert!(node.metrics().contains(&format!("dsm_storage_head {}\n", head.position)));
        assert!(node.metrics().ends_with("# EOF\n"));
    }
    let (one, other) = (archive(&first), archive(&second));
    assert!(one == other, "two nodes with one head write the same bytes");
    let report = backup::verify(&mut one.as_slice()).unwrap();
    assert_eq!((report.first, report.head, report.blobs), (1, head.position, 2));
    // What was restored is a node's directory, and gives the same archive again.
    let restored = folder.path().join("restored");
    assert_eq!(backup::restore(&mut one.as_slice(), &restored).unwrap(), report);
    let mut again = Vec::new();
    assert_eq!(backup::write_directory(&restored, &mut again).unwrap(), report);
    assert!(again == one);
    assert_eq!(backup::scrub_directory(&restored).unwrap().damaged, 0);
    core.stop().await;
    assert_eq!(first.close().await, Ended::Asked);
    assert_eq!(second.close().await, Ended::Asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn o1_a_node_that_dies_again_and_again_keeps_what_it_acknowledged_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(2);
    chronicle.write_some(10);
    let config = config(folder.path(), &chronicle);
    let mut node = StorageNode::open(config.clone()).await.unwrap();
    let address = node.local_addr();
    let id = node.node();
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology);
    for _ in 0..5 {
        let acknowledged = core.all_acked().await;
        core.write(|chronicle| chronicle.write_some(40));
        // Whatever it is doing now.
        drop(node);
        node = reopen(config.clone(), address).await;
        assert_eq!(node.node(), id);
        let status = node.status();
        assert!(status.head >= acknowledged.position, "{} of {}", status.head, acknowledged.position);
        assert_eq!(status.epoch, 1, "the promise survives");
    }
    let head = core.all_acked().await;
    assert_eq!(node.status().head, head.position);
    core.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o8_an_old_epoch_is_refused_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(3);
    chronicle.write_some(10);
    let config = config(folder.path(), &chronicle);
    let node = StorageNode::open(config.clone()).await.unwrap();
    let address = node.local_addr();
    let old = topology(&chronicle, 1, vec![member(&node)]);
    let new = old.topology.promoted(node.node(), [9; 32]).unwrap();
    let new = sign(&chronicle, new);
    let mut core = Core::start(chronicle, old.clone());
    core.all_acked().await;
    core.switch(new);
    until(&node, "the new epoch is promised", |status| status.epoch == 2).await;
    core.write(|chronicle| chronicle.write_some(5));
    core.all_acked().await;
    let chronicle = core.stop().await;
    node.close().await;
    let node = reopen(config, address).await;
    let before = node.status();
    assert_eq!(before.epoch, 2);
    let mut core = Core::start(chronicle, old);
    core.write(|chronicle| chronicle.write_some(5));
    core.wait("the old writer is fenced", |view| view.fenced).await;
    let after = node.status();
    assert_eq!((after.head, after.epoch), (before.head, 2));
    assert!(after.refused["stale_epoch"] > 0);
    core.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s7_strangers_are_refused_and_members_may_ask_but_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(4);
    chronicle.write_some(10);
    let node = open(folder.path(), &chronicle).await;
    let address = node.local_addr();
    let key = SecretKey::ml_dsa_65(&[44; 32]).unwrap();
    let other = dsm_proto::Member::new(dsm_crypto::Signer::public_key(&key).to_vec(), "127.0.0.1:9".into());
    let target = Digest(node.node().0);
    // Before the topology names it, the other is a stranger.
    let dialer = endpoint(&key, &[member(&node)]);
    assert!(dialer.connect(address, target).await.is_err());
    until(&node, "the stranger is counted", |status| status.refused.contains_key("unknown_key")).await;
    let topology = topology(&chronicle, 1, vec![member(&node), other.unwrap()]);
    let hello = Hello {
        version: dsm_proto::limit::VERSION,
        network: chronicle.network(),
        topology: topology.clone(),
        greeting: 1,
    };
    let mut core = Core::start(chronicle, topology);
    let head = {
        let (position, digest) = core.chronicle().head();
        Head { position, digest: Digest(digest) }
    };
    let id = node.node();
    core.wait("the node has everything", |view| {
        view.peers.iter().any(|peer| peer.node == id && peer.durable == head)
    })
    .await;
    // Now it is a member: it may ask.
    let connection = dialer.connect(address, target).await.unwrap();
    let Answer::Records(records) = ask(&connection, Query::Records { from: 3, bytes_max: 1 << 20 }).await
    else {
        panic!("no records");
    };
    assert_eq!(records.len() as u64, head.position - 2);
    assert_eq!(
        ask(&connection, Query::DigestAt { position: head.position }).await,
        Answer::Digest(head.digest)
    );
    assert_eq!(ask(&connection, Query::Records { from: 1000, bytes_max: 1 }).await, Answer::NotFound);
    assert_eq!(
        ask(&connection, Query::Blob { digest: Digest([1; 32]), bytes_max: 9 }).await,
        Answer::NotFound
    );
    // The core node's own hello, replayed by a member, moves nothing.
    let mut stream = connection.open_stream().await.unwrap();
    stream.send(dsm_proto::Frame::Hello(hello).encode()).await.unwrap();
    tokio::time::timeout(DEADLINE, connection.closed()).await.unwrap();
    assert!(node.status().refused["not_the_core_node"] > 0);
    // Nor do bytes that are no frame.
    let connection = dialer.connect(address, target).await.unwrap();
    let mut stream = connection.open_stream().await.unwrap();
    stream.send(vec![0xee; 100]).await.unwrap();
    tokio::time::timeout(DEADLINE, connection.closed()).await.unwrap();
    assert!(node.status().refused["malformed_frame"] > 0);
    assert_eq!(node.status().head, head.position);
    core.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_belongs_to_one_core_node_and_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let (chronicle, other) = (Chronicle::new(5), Chronicle::new(6));
    let mut nobody = config(folder.path(), &chronicle);
    nobody.core_key = None;
    assert!(matches!(StorageNode::open(nobody.clone()).await, Err(OpenError::NoCoreKey)));
    let node = open(folder.path(), &chronicle).await;
    let address = node.local_addr();
    assert!(matches!(StorageNode::open(nobody.clone()).await, Err(OpenError::InUse(_))));
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    core.stop().await;
    node.close().await;
    // With the first topology the key was kept.
    let node = reopen(nobody, address).await;
    assert_eq!(node.status().epoch, 1);
    node.close().await;
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        match StorageNode::open(config(folder.path(), &other)).await {
            Err(OpenError::OtherCoreKey) => break,
            // The last one is still closing its files.
            Err(OpenError::InUse(_) | OpenError::Disk { .. }) if tokio::time::Instant::now() < end => {}
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("two core nodes share a directory"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_acknowledges_what_it_has_and_says_that_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(7);
    chronicle.write_some(10);
    let node = open(folder.path(), &chronicle).await;
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    core.write(|chronicle| chronicle.write_some(100));
    node.drain();
    assert_eq!(node.ended().await, Ended::Asked);
    let stopping = |state: &PeerState| *state == PeerState::Refused(Refusal::Stopping);
    let view = core.wait("the leader is told", |view| view.let_go.iter().any(stopping)).await;
    let status = node.status();
    assert_eq!(status.state, State::Stopped);
    assert_eq!(view.peers[0].durable.position, status.head, "everything durable was acknowledged");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_node_begins_behind_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(8);
    chronicle.write_some(20);
    let (position, digest) = chronicle.head();
    let checkpoint = chronicle.node_checkpoint();
    chronicle.checkpoint();
    chronicle.rotate(0);
    chronicle.write_some(10);
    let base = Head { position, digest: Digest(digest) };
    let config = config(folder.path(), &chronicle);
    let node = StorageNode::open(config.clone()).await.unwrap();
    let address = node.local_addr();
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    // A checkpoint that is not the core node's is refused.
    let mut forged = checkpoint.clone();
    forged[60] ^= 1;
    let lying = Start { base, checkpoint: forged };
    let mut core = Core::start_behind(chronicle, topology.clone(), lying);
    let refused = |state: &PeerState| *state == PeerState::Refused(Refusal::Begin);
    core.wait("a forged checkpoint is refused", |view| view.let_go.iter().any(refused)).await;
    let chronicle = core.stop().await;
    assert_eq!(node.status().head, 0);
    let mut core = Core::start_behind(chronicle, topology, Start { base, checkpoint });
    let head = core.all_acked().await;
    let status = node.status();
    assert_eq!((status.first, status.head), (position + 1, head.position));
    assert!(status.unchecked > 0, "the keys of old accounts are not in this log");
    core.stop().await;
    node.close().await;
    let node = reopen(config, address).await;
    assert_eq!((node.status().first, node.status().head), (position + 1, head.position));
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_diverged_is_set_aside_for_a_higher_epoch_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(9);
    chronicle.write_some(12);
    let config = config(folder.path(), &chronicle);
    let node = StorageNode::open(config.clone()).await.unwrap();
    let old = topology(&chronicle, 1, vec![member(&node)]);
    let new = sign(&chronicle, old.topology.promoted(node.node(), [2; 32]).unwrap());
    // A core node that lost its last records and wrote others since.
    let mut restored = chronicle.fork();
    let mut core = Core::start(chronicle, old);
    core.write(|chronicle| {
        chronicle.rotate(0);
        chronicle.write_some(6);
    });
    core.all_acked().await;
    core.stop().await;
    restored.write_some(9);
    restored.checkpoint();
    let mut core = Core::start(restored, new);
    let head = core.all_acked().await;
    assert_eq!(node.status().digest, head.digest.to_string());
    core.stop().await;
    node.close().await;
    let asides = std::fs::read_dir(data(&config).join("log")).unwrap();
    let names = asides.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("aside-")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_what_lies_behind_an_old_checkpoint_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(10);
    chronicle.write_some(30);
    let mut config = config(folder.path(), &chronicle);
    config.upkeep.retention = Retention::Days(2);
    config.segment_bytes = 60_000;
    let node = StorageNode::open(config.clone()).await.unwrap();
    let address = node.local_addr();
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    assert_eq!(node.status().first, 1);
    let mut checkpoints = Vec::new();
    for _ in 0..4 {
        checkpoints.push(core.write(|chronicle| {
            chronicle.write_some(20);
            chronicle.open();
            let checkpoint = chronicle.checkpoint();
            chronicle.pass_days(1);
            checkpoint
        }));
        core.all_acked().await;
    }
    // Of the four days the last is the newest, and the second is two days older.
    let status = until(&node, "something was removed", |status| status.first > checkpoints[0]).await;
    assert!(status.first <= checkpoints[1], "{} of {checkpoints:?}", status.first);
    core.write(|chronicle| chronicle.write_some(3));
    let head = core.all_acked().await;
    core.stop().await;
    let first = node.status().first;
    node.close().await;
    let node = reopen(config, address).await;
    assert_eq!((node.status().first, node.status().head), (first, head.position));
    assert_eq!(node.scrub().await.unwrap().damaged, 0);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retention_that_is_changed_is_obeyed_at_once_by_the_running_node() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(11);
    chronicle.write_some(30);
    let mut config = config(folder.path(), &chronicle);
    config.segment_bytes = 60_000;
    let node = StorageNode::open(config.clone()).await.unwrap();
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology);
    let mut checkpoints = Vec::new();
    for _ in 0..4 {
        checkpoints.push(core.write(|chronicle| {
            chronicle.write_some(20);
            chronicle.open();
            let checkpoint = chronicle.checkpoint();
            chronicle.pass_days(1);
            checkpoint
        }));
        core.all_acked().await;
    }
    assert_eq!((node.status().first, node.status().retention.as_str()), (1, "archive"));
    // Nothing is written any more: what goes, goes because of the change.
    let upkeep = Upkeep { retention: Retention::Days(2), ..config.upkeep };
    node.set_upkeep(upkeep);
    let status = until(&node, "something was removed", |status| status.first > checkpoints[0]).await;
    assert!(status.first <= checkpoints[1], "{} of {checkpoints:?}", status.first);
    assert_eq!(status.retention, "2 days");
    node.set_upkeep(Upkeep { retention: Retention::Days(1), ..upkeep });
    until(&node, "a day more was removed", |status| status.first > checkpoints[1]).await;
    node.set_upkeep(Upkeep { retention: Retention::Archive, ..upkeep });
    core.write(|chronicle| chronicle.write_some(3));
    core.all_acked().await;
    assert_eq!(node.scrub().await.unwrap().damaged, 0);
    core.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_that_is_shortened_does_not_wait_for_the_end_of_the_longer_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(12);
    chronicle.write_some(5);
    let year = Duration::from_secs(366 * 24 * 3600);
    let rarely = Upkeep { scrub_interval: year, anti_entropy_interval: year, ..Upkeep::default() };
    let mut nodes = Vec::new();
    for name in ["1", "2"] {
        let mut config = config(&folder.path().join(name), &chronicle);
        config.upkeep = rarely;
        nodes.push(StorageNode::open(config).await.unwrap());
    }
    let topology = topology(&chronicle, 1, nodes.iter().map(member).collect());
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    let [one, other] = &nodes[..] else { panic!("there are two") };
    assert_eq!(one.status().scrub, None);
    one.set_upkeep(Upkeep { scrub_interval: Duration::from_millis(20), ..rarely });
    until(one, "everything was hashed again", |status| status.scrub.is_some()).await;
    let asked = || {
        let page = other.metrics();
        let line = page.lines().find_map(|line| line.strip_prefix("dsm_storage_queries_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    // More often than what the start and the topology made it ask.
    let before = asked();
    one.set_upkeep(Upkeep { anti_entropy_interval: Duration::from_millis(20), ..rarely });
    until(one, "blobs were compared again and again", |_| asked() >= before + 10).await;
    core.stop().await;
    for node in nodes {
        node.close().await;
    }
}
