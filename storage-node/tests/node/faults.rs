//! Devices that fail, and records that their authors did not sign.

use super::chronicle::Chronicle;
use super::leader::{Core, ask, endpoint, member, sign, topology};
use super::{config, reopen, until};
use dsm_abi::{Digest, NetworkId};
use dsm_core::{KeySet, OperationKind};
use dsm_crypto::SecretKey;
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::{PeerState, Refusal, Topology};
use dsm_storage_node::{Ended, State, Storage, StorageConfig, StorageNode};
use dsm_store::Disk as _;
use dsm_store::disk::{Crash, FaultyDisk, MemoryDisk};
use std::path::Path;
use std::sync::Arc;

/// A node whose log lies on a disk that fails on demand.
fn on_faulty_disk(data: &Path, chronicle: &Chronicle, log: &FaultyDisk) -> StorageConfig {
    let mut config = config(data, chronicle);
    config.storage = Storage::Disks {
        log: Arc::new(log.clone()),
        blobs: Arc::new(MemoryDisk::new()),
        state: Arc::new(MemoryDisk::new()),
        keys: Arc::new(MemoryDisk::new()),
        key: data.to_path_buf(),
    };
    config
}

/// The bytes on a disk.
fn used(disk: &MemoryDisk) -> u64 {
    disk.list().unwrap().iter().map(|name| disk.open(name).unwrap().size().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_record_that_its_author_did_not_sign_is_refused_and_the_log_goes_on_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(21);
    chronicle.write_some(10);
    let honest = chronicle.head().0;
    let mut other = chronicle.fork();
    let node = StorageNode::open(config(folder.path(), &chronicle)).await.unwrap();
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology.clone());
    core.all_acked().await;
    core.write(|chronicle| {
        chronicle.open();
        let kind = OperationKind::RotateKeys { keys: KeySet::single(chronicle.node_key()) };
        let signed = chronicle.signed(0, kind);
        let mut accepted = chronicle.accept(signed);
        accepted.signed.signatures[0].bytes[9] ^= 1;
        chronicle.push(&dsm_core::Entry::Accepted(Box::new(accepted)));
    });
    let bad = honest + 2;
    let refused = |state: &PeerState| *state == PeerState::Refused(Refusal::BadRecord { position: bad });
    core.wait("the record is refused", |view| view.let_go.iter().any(refused)).await;
    core.stop().await;
    let status = node.status();
    assert!(status.head < bad, "{} was appended", status.head);
    assert!(status.refused["bad_record"] > 0);
    // An honest core node goes on from there.
    other.rotate(0);
    other.write_some(10);
    let promoted = topology.topology.promoted(node.node(), [2; 32]).unwrap();
    let next = sign(&other, promoted);
    let mut core = Core::start(other, next);
    let head = core.all_acked().await;
    assert_eq!(node.status().digest, head.digest.to_string());
    core.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o4_a_full_device_refuses_records_serves_what_it_has_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(22);
    chronicle.write_some(10);
    let log = FaultyDisk::new();
    let node = StorageNode::open(on_faulty_disk(folder.path(), &chronicle, &log)).await.unwrap();
    let address = node.local_addr();
    let key = SecretKey::from_secret_bytes(
        dsm_crypto::Signer::suite(&chronicle.node),
        &chronicle.node.to_secret_bytes(),
    );
    let asker = endpoint(&key.unwrap(), &[member(&node)]);
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology);
    let before = core.all_acked().await;
    log.memory().set_capacity(Some(used(log.memory()) + 5_000));
    core.write(|chronicle| chronicle.write_some(30));
    let full = |state: &PeerState| *state == PeerState::Refused(Refusal::Full);
    core.wait("the leader is told", |view| view.let_go.iter().any(full)).await;
    let status = until(&node, "it says so", |status| status.state == State::Full).await;
    assert!(status.head >= before.position && status.lag > 0);
    let connection = asker.connect(address, Digest(node.node().0)).await.unwrap();
    let Answer::Records(records) = ask(&connection, Query::Records { from: 1, bytes_max: 1 << 20 }).await
    else {
        panic!("a full device still serves");
    };
    assert!(records.len() as u64 >= before.position);
    log.memory().set_capacity(None);
    let head = core.all_acked().await;
    let status = until(&node, "it recovers", |status| status.state == State::Serving).await;
    assert_eq!((status.head, status.lag), (head.position, 0));
    core.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o3_after_a_failed_sync_nothing_is_acknowledged_and_the_node_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(23);
    chronicle.write_some(10);
    let log = FaultyDisk::new();
    let config = on_faulty_disk(folder.path(), &chronicle, &log);
    let node = StorageNode::open(config.clone()).await.unwrap();
    let address = node.local_addr();
    let topology = topology(&chronicle, 1, vec![member(&node)]);
    let mut core = Core::start(chronicle, topology);
    let before = core.all_acked().await;
    log.fail_syncs(1);
    core.write(|chronicle| chronicle.write_some(5));
    let Ended::Failed(reason) = node.ended().await else { panic!("it ended as if asked to") };
    assert!(reason.contains("sync"), "{reason}");
    let status = node.status();
    assert_eq!((status.state, status.stopped), (State::Stopped, Some(reason)));
    let view = core.wait("it is gone", |view| view.peers[0].state != PeerState::Shipping).await;
    assert_eq!(view.peers[0].durable, before, "what was not synced was not acknowledged");
    drop(node);
    // Opened again over what really is on the disk, it takes up from there.
    let mut survived = config;
    let Storage::Disks { log: on_disk, .. } = &mut survived.storage else { unreachable!("made above") };
    *on_disk = Arc::new(log.memory().crash(Crash::LostUnsynced));
    let node = reopen(survived, address).await;
    assert!(node.status().head >= before.position);
    let head = core.all_acked().await;
    assert_eq!(node.status().head, head.position);
    core.stop().await;
    node.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_a_log_of_another_network_than_the_topology_names_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(24);
    chronicle.write_some(10);
    let node = StorageNode::open(config(folder.path(), &chronicle)).await.unwrap();
    let elsewhere = NetworkId([9; 32]);
    let lying = Topology::new(elsewhere, 1, [1; 32], node.node(), vec![member(&node)]).unwrap();
    let lying = sign(&chronicle, lying);
    let mut core = Core::start(chronicle, lying);
    let refused = |state: &PeerState| *state == PeerState::Refused(Refusal::BadRecord { position: 1 });
    core.wait("the genesis is refused", |view| view.let_go.iter().any(refused)).await;
    assert_eq!(node.status().head, 0);
    core.stop().await;
    node.close().await;
}
