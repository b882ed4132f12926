//! What a storage node is told before it starts.

use dsm_core::PublicKey;
use dsm_link::Endpoint;
use dsm_store::Disk;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// For ever.
    Archive,
    /// Records behind a checkpoint that is older than this many days may go. Blobs are kept.
    Days(u32),
}

impl std::str::FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Retention, String> {
        if text == "archive" {
            return Ok(Retention::Archive);
        }
        match text.parse() {
            Ok(days) if days > 0 => Ok(Retention::Days(days)),
            Ok(_) | Err(_) => Err(format!("{text:?} is neither `archive` nor a number of days")),
        }
    }
}

impl std::fmt::Display for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Retention::Archive => f.write_str("archive"),
            Retention::Days(days) => write!(f, "{days} days"),
        }
    }
}

/// What a node does by itself as time goes by. A running one takes up another: [`StorageNode::set_upkeep`].
///
/// [`StorageNode::set_upkeep`]: crate::StorageNode::set_upkeep
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// How long records are kept.
    pub retention: Retention,
    /// Between two runs that hash everything again.
    pub scrub_interval: Duration,
    /// Between two comparisons of blobs with another member.
    pub anti_entropy_interval: Duration,
}

impl Default for Upkeep {
    fn default() -> Upkeep {
        Upkeep {
            retention: Retention::Archive,
            scrub_interval: Duration::from_secs(24 * 3600),
            anti_entropy_interval: Duration::from_secs(60),
        }
    }
}

/// Where a node keeps what it must not lose.
#[derive(Clone)]
pub enum Storage {
    /// A directory of the operating system; created if it does not exist.
    Directory(PathBuf),
    /// Disks that the caller brings, for tests and simulations: segments of the log, blobs, and the small files
    /// (key, topology, evidence). The key is kept in `key`, a directory.
    Disks {
        /// Segments of the log.
        log: Arc<dyn Disk>,
        /// Policy packages.
        blobs: Arc<dyn Disk>,
        /// Topology and evidence.
        state: Arc<dyn Disk>,
        /// With retention: keys of accounts whose records are gone.
        keys: Arc<dyn Disk>,
        /// The directory of the key file.
        key: PathBuf,
    },
}

/// A storage node's configuration.
#[derive(Clone)]
pub struct StorageConfig {
    /// Where everything is kept.
    pub storage: Storage,
    /// Where to listen: QUIC, and with [`StorageConfig::http`] HTTP on the TCP port of the same number. Port 0 picks a
    /// free one.
    pub listen: SocketAddr,
    /// Whether health, status and metrics are served over HTTP.
    pub http: bool,
    /// The core node's public key. Not needed any more once a signed topology was received: the key is kept with it.
    pub core_key: Option<PublicKey>,
    /// What it does by itself as time goes by.
    pub upkeep: Upkeep,
    /// Threads that verify signatures.
    pub verifiers: usize,
    /// Whether Dilithium3 signatures count.
    pub accept_dilithium3: bool,
    /// A segment of the log that has reached this size gets no further records; retention removes whole segments.
    pub segment_bytes: u64,
    /// Whether everything has to happen on the runtime's own thread, as a simulation needs.
    pub one_thread: bool,
    /// An endpoint to use in place of one at [`StorageConfig::listen`]. It has to have this node's key.
    pub endpoint: Option<Endpoint>,
}

impl StorageConfig {
    /// The defaults for a node in `data` that trusts `core_key`, on a free port of the loopback address.
    pub fn new(data: impl Into<PathBuf>, core_key: Option<PublicKey>) -> StorageConfig {
        StorageConfig {
            storage: Storage::Directory(data.into()),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            http: false,
            core_key,
            upkeep: Upkeep::default(),
            verifiers: std::thread::available_parallelism().map_or(2, usize::from),
            accept_dilithium3: false,
            segment_bytes: 64 << 20,
            one_thread: false,
            endpoint: None,
        }
    }
}
