//! Storage nodes at work, in process and as processes: the real protocol over the real link, on loopback.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

#[path = "../common/chronicle.rs"]
mod chronicle;
#[path = "../common/leader.rs"]
mod leader;
#[path = "../../link/tests/simulated/network.rs"]
mod network;

mod faults;
mod liars;
mod operate;
mod program;
mod rot;
mod ship;
mod simulated;
mod survive;

use chronicle::Chronicle;
use dsm_storage_node::{OpenError, Status, Storage, StorageConfig, StorageNode};
use leader::DEADLINE;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A configuration for tests: whatever happens on an interval happens soon.
fn config(data: &Path, chronicle: &Chronicle) -> StorageConfig {
    let mut config = StorageConfig::new(data, Some(chronicle.node_key()));
    config.upkeep.anti_entropy_interval = Duration::from_millis(200);
    config
}

async fn open(data: &Path, chronicle: &Chronicle) -> StorageNode {
    StorageNode::open(config(data, chronicle)).await.unwrap()
}

/// Opens a node again at the address that the topology names, as soon as what remains of the last one has let go.
async fn reopen(mut config: StorageConfig, address: SocketAddr) -> StorageNode {
    config.listen = address;
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        match StorageNode::open(config.clone()).await {
            Ok(node) => return node,
            Err(error @ (OpenError::InUse(_) | OpenError::Disk { .. } | OpenError::Listen { .. })) => {
                assert!(tokio::time::Instant::now() < end, "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until the node's status is as wanted.
async fn until(node: &StorageNode, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let status = node.status();
        if wanted(&status) {
            return status;
        }
        assert!(tokio::time::Instant::now() < end, "{what}: {status:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The canonical archive of a node.
fn archive(node: &StorageNode) -> Vec<u8> {
    let mut bytes = Vec::new();
    node.write_archive(&mut bytes).unwrap();
    bytes
}

/// The data directory of a configuration.
fn data(config: &StorageConfig) -> &Path {
    match &config.storage {
        Storage::Directory(data) => data,
        Storage::Disks { key, .. } => key,
    }
}
