//! A storage node: keeps a core node's log and policy packages, and gives them back to whoever may have them.
//!
//! The core node ships its log; this node promises an epoch, checks who signed each record, appends, syncs once for
//! many, and acknowledges with a signature what is durable. It compares blobs with other members, hashes everything
//! again from time to time, and repairs from others what has rotted.
//!
//! Left out on purpose: what transitions mean. No policy runs here, no balance is known; `dsm replay --verify` does
//! that. Which node leads is decided by the core node and its operator; this node only never goes back on a promise.

mod answer;
mod authors;
pub mod backup;
#[cfg(test)]
#[path = "../tests/common/chronicle.rs"]
mod chronicle;
mod config;
mod disks;
mod handle;
mod http;
mod identity;
mod keeper;
mod mend;
mod metrics;
mod peers;
mod serve;
mod small;
mod status;
mod vault;

pub use authors::AuthorError;
pub use backup::{BackupError, BackupReport};
pub use config::{Retention, Storage, StorageConfig, Upkeep};
pub use serve::{Ended, StorageNode};
pub use status::{EvidenceView, MemberView, ScrubView, State, Status};

use dsm_abi::Suite;
use dsm_core::PublicKey;
use dsm_crypto::Signer as _;
use dsm_proto::NodeId;
use dsm_store::{BlobError, LogError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The promised topology, among the small files.
const TOPOLOGY_FILE: &str = "topology";

/// Why a node is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory cannot be used.
    #[error("{}: {source}", .path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The node's key cannot be used.
    #[error("the key: {0}")]
    Key(String),
    /// Nobody said which core node is to be trusted.
    #[error("no core node is known: its public key has to be given at the first start")]
    NoCoreKey,
    /// Another core node was trusted before.
    #[error("this directory belongs to another core node")]
    OtherCoreKey,
    /// The kept topology is not what it should be. A promise that is lost could be broken, so none is made up.
    #[error("the promised topology: {0}")]
    Topology(String),
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
    /// The log.
    #[error("the log: {0}")]
    Log(#[from] LogError),
    /// The blobs.
    #[error("the policy packages: {0}")]
    Blobs(#[from] BlobError),
    /// The log is not one of this network.
    #[error("the log: {0}")]
    Authors(AuthorError),
    /// The system gives no more threads.
    #[error("threads could not be started: {0}")]
    Thread(String),
}

impl OpenError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::Disk { .. } => "directory",
            OpenError::InUse(_) => "in_use",
            OpenError::Key(_) => "key_file",
            OpenError::NoCoreKey => "no_core_key",
            OpenError::OtherCoreKey => "other_core_key",
            OpenError::Topology(_) => "topology",
            OpenError::Listen { .. } => "listen",
            OpenError::Log(_) | OpenError::Blobs(_) => "storage",
            OpenError::Authors(error) => error.code(),
            OpenError::Thread(_) => "thread",
        }
    }
}

/// The id and the public key of the node in `data`; makes the key if there is none yet. Others may have the directory
/// open meanwhile.
///
/// # Errors
/// [`OpenError::Disk`] and [`OpenError::Key`].
pub fn key(data: &Path) -> Result<(NodeId, PublicKey), OpenError> {
    std::fs::create_dir_all(data).map_err(|source| OpenError::Disk { path: data.to_path_buf(), source })?;
    let key = identity::open_or_create(data)?;
    let public_key = PublicKey { suite: Suite::MlDsa65, bytes: key.public_key().to_vec() };
    Ok((NodeId::of(&public_key.bytes), public_key))
}
