//! The storage nodes of the demonstration: a primary and a replica in this process, over real QUIC on loopback.

use super::stage::differs;
use crate::cli::failure::{Failure, file_failure};
use dsm_core::PublicKey;
use dsm_host::replicate::KnownPeer;
use dsm_storage_node::{StorageConfig, StorageNode};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long the threads of a node that was closed may take to let go of its directory and port.
const LET_GO: Duration = Duration::from_secs(30);
/// The primary first.
const NAMES: [&str; 2] = ["primary", "replica"];

/// A storage node that can be stopped and started again at its address.
pub(super) struct Keeper {
    pub(super) name: &'static str,
    pub(super) peer: KnownPeer,
    config: StorageConfig,
    running: Option<StorageNode>,
}

/// Starts a primary and a replica in folders beside the core node's. A second run finds them where they were.
pub(super) fn start(runtime: &Handle, data: &Path, core: &PublicKey) -> Result<Vec<Keeper>, Failure> {
    NAMES.into_iter().map(|name| Keeper::open(runtime, name, &data.join(name), core)).collect()
}

impl Keeper {
    fn open(runtime: &Handle, name: &'static str, data: &Path, core: &PublicKey) -> Result<Keeper, Failure> {
        let mut config = StorageConfig::new(data, Some(core.clone()));
        config.verifiers = 1;
        let noted: PathBuf = data.join("address");
        if let Ok(address) = std::fs::read_to_string(&noted) {
            config.listen = address.trim().parse().map_err(differs)?;
        }
        let running = runtime.block_on(StorageNode::open(config.clone())).map_err(failed)?;
        let address: SocketAddr = running.local_addr();
        std::fs::write(&noted, address.to_string()).map_err(|error| file_failure(&noted, &error))?;
        config.listen = address;
        let peer = KnownPeer { address: address.to_string(), key: running.public_key().bytes.clone() };
        Ok(Keeper { name, peer, config, running: Some(running) })
    }

    /// Ends it in order.
    pub(super) fn stop(&mut self, runtime: &Handle) {
        if let Some(running) = self.running.take() {
            runtime.block_on(running.close());
        }
    }

    /// Starts it again, as soon as what was stopped has let go.
    pub(super) fn start_again(&mut self, runtime: &Handle) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            match runtime.block_on(StorageNode::open(self.config.clone())) {
                Ok(running) => {
                    self.running = Some(running);
                    return Ok(());
                }
                Err(error) if begun.elapsed() > LET_GO => return Err(failed(error)),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

fn failed(error: dsm_storage_node::OpenError) -> Failure {
    differs(format!("a storage node does not start: {error}"))
}
