//! A core node and its storage nodes in one process, over real QUIC on loopback, each in a directory of its own.

use crate::world::{self, TestClock, World};
use dsm_abi::{Digest, encode};
use dsm_core::SignedTransition;
use dsm_host::node::{Node, NodeConfig, SubmitError};
use dsm_host::replicate::{KnownPeer, Replication, ReplicationConfig};
use dsm_sdk::api::ChangedTopology;
use dsm_sdk::receipt::{Durability, Receipt};
use dsm_storage_node::{StorageConfig, StorageNode};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Nothing here takes so long; it only keeps a test that hangs from hanging for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long a submission waits for a level that it does not reach: a stopped storage node never answers, and the others
/// have answered by then.
pub(crate) const SHORTFALL: Duration = Duration::from_secs(10);

/// A storage node that can be stopped and started again at the same address.
pub(crate) struct Storage {
    config: StorageConfig,
    running: Option<StorageNode>,
    pub(crate) node: Digest,
    pub(crate) peer: KnownPeer,
}

/// A core node with storage nodes.
pub(crate) struct Cluster {
    pub(crate) storages: Vec<Storage>,
    pub(crate) replication: Replication,
    pub(crate) world: World,
    pub(crate) runtime: Runtime,
    pub(crate) folder: TempDir,
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Storage {
    pub(crate) fn open(runtime: &Runtime, data: &Path, core: &dsm_core::PublicKey) -> Storage {
        let mut config = StorageConfig { verifiers: 1, ..StorageConfig::new(data, Some(core.clone())) };
        let running = runtime.block_on(StorageNode::open(config.clone())).unwrap();
        config.listen = running.local_addr();
        let key = running.public_key().bytes.clone();
        let peer = KnownPeer { address: config.listen.to_string(), key };
        Storage { config, node: Digest(running.node().0), running: Some(running), peer }
    }

    pub(crate) fn stop(&mut self, runtime: &Runtime) {
        if let Some(running) = self.running.take() {
            runtime.block_on(running.close());
        }
    }

    pub(crate) fn start(&mut self, runtime: &Runtime) {
        let begun = Instant::now();
        self.running = Some(loop {
            match runtime.block_on(StorageNode::open(self.config.clone())) {
                Ok(running) => break running,
                // The old socket and lock go with tasks that end a moment later.
                Err(error) if begun.elapsed() > PATIENCE => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        });
    }

    /// Where it keeps policy packages.
    pub(crate) fn packages(&self) -> PathBuf {
        self.data().join("policies")
    }

    pub(crate) fn data(&self) -> PathBuf {
        match &self.config.storage {
            dsm_storage_node::Storage::Directory(path) => path.clone(),
            dsm_storage_node::Storage::Disks { .. } => panic!("these nodes have directories"),
        }
    }
}

pub(crate) fn replication_config(data: &Path) -> ReplicationConfig {
    ReplicationConfig { lead_wait: None, failover: None, ..ReplicationConfig::new(data) }
}

impl Cluster {
    /// A funded world whose log goes to so many storage nodes; the first is the primary.
    pub(crate) fn new(storages: usize) -> Cluster {
        Cluster::with(storages, |_| {})
    }

    pub(crate) fn with(storages: usize, change: impl FnOnce(&mut ReplicationConfig)) -> Cluster {
        Cluster::with_core(storages, |_, _, config| change(config))
    }

    /// As [`Cluster::with`], for changes that need the core node's key.
    pub(crate) fn with_core(
        storages: usize,
        change: impl FnOnce(&dsm_core::PublicKey, &Runtime, &mut ReplicationConfig),
    ) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("core");
        let world = World::new(&core);
        let runtime = runtime();
        let genesis = world.node.genesis().node.clone();
        let open = |n: usize| Storage::open(&runtime, &folder.path().join(format!("storage-{n}")), &genesis);
        let storages: Vec<Storage> = (0..storages).map(open).collect();
        let mut config = replication_config(&core);
        config.first = storages.iter().map(|storage| storage.peer.clone()).collect();
        change(&genesis, &runtime, &mut config);
        let replication = {
            let _inside = runtime.enter();
            Replication::start(&world.node, config).unwrap()
        };
        let cluster = Cluster { storages, replication, world, runtime, folder };
        cluster.waits(PATIENCE);
        cluster.ready();
        cluster
    }

    /// From here on submissions wait so long for their level.
    pub(crate) fn waits(&self, time: Duration) {
        self.world.node.set_durability(Durability::Local, time);
    }

    pub(crate) fn core(&self) -> PathBuf {
        self.folder.path().join("core")
    }

    /// Waits until the node takes submissions.
    pub(crate) fn ready(&self) {
        eventually("the node leads", || self.world.node.ready().is_ok());
    }

    /// Waits until every running storage node has acknowledged the whole log.
    pub(crate) fn caught_up(&self) {
        eventually("everybody has the whole log", || {
            let view = self.replication.topology().unwrap();
            let running =
                |node: &Digest| self.storages.iter().any(|one| one.node == *node && one.running.is_some());
            view.members.iter().filter(|one| running(&one.node)).all(|one| one.acked >= view.position)
        });
    }

    pub(crate) fn submit(
        &self,
        signed: &SignedTransition,
        level: Option<Durability>,
    ) -> Result<Receipt, SubmitError> {
        self.runtime.block_on(self.world.node.submit_at(encode(signed), level))
    }

    /// A transfer of one unit, submitted at a level.
    pub(crate) fn pay(&self, level: Durability) -> Result<Receipt, SubmitError> {
        let signed = world::sign(self.world.transfer(1), &[&self.world.alice]);
        self.submit(&signed, Some(level))
    }

    pub(crate) fn stop(&mut self, storage: usize) {
        self.storages[storage].stop(&self.runtime);
    }

    pub(crate) fn start(&mut self, storage: usize) {
        self.storages[storage].start(&self.runtime);
    }

    pub(crate) fn promote(&self, storage: usize) -> ChangedTopology {
        let node = self.storages[storage].node;
        self.runtime.block_on(self.replication.promote(node, false)).unwrap()
    }

    /// Closes the core node and opens its directory again, or a copy of it, with another configuration.
    pub(crate) fn reopen(self, data: &Path, change: impl FnOnce(&mut ReplicationConfig)) -> Cluster {
        self.lost().reopen(data, change)
    }

    /// Closes the core node; only the storage nodes go on.
    pub(crate) fn lost(self) -> Lost {
        let Cluster { storages, replication, world, runtime, folder } = self;
        runtime.block_on(replication.close());
        let World { node, clock, token, alice, bob } = world;
        node.close().unwrap();
        Lost { storages, runtime, folder, clock, token, owners: (alice, bob) }
    }
}

/// A cluster without its core node.
pub(crate) struct Lost {
    pub(crate) storages: Vec<Storage>,
    pub(crate) runtime: Runtime,
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<TestClock>,
    token: dsm_abi::TokenId,
    owners: (world::Owner, world::Owner),
}

impl Lost {
    /// Opens a core node in a directory.
    pub(crate) fn reopen(self, data: &Path, change: impl FnOnce(&mut ReplicationConfig)) -> Cluster {
        let Lost { storages, runtime, folder, clock, token, owners: (alice, bob) } = self;
        let (node, replication) = open_core(data, &runtime, clock.clone(), change);
        let world = World { node, clock, token, alice, bob };
        Cluster { storages, replication, world, runtime, folder }
    }
}

/// Opens a core node in a directory.
pub(crate) fn open_core(
    data: &Path,
    runtime: &Runtime,
    clock: Arc<TestClock>,
    change: impl FnOnce(&mut ReplicationConfig),
) -> (Node, Replication) {
    let config: NodeConfig = world::config(data, clock);
    let begun = Instant::now();
    let node = loop {
        match Node::open(config.clone()) {
            Ok(node) => break node,
            // The threads of the one before let go of the directory a moment later.
            Err(error) if begun.elapsed() > PATIENCE => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    node.set_durability(Durability::Local, PATIENCE);
    let mut config = replication_config(data);
    change(&mut config);
    let _inside = runtime.enter();
    let replication = Replication::start(&node, config).unwrap();
    (node, replication)
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
