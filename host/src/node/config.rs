//! What a node is told before it starts.

use super::{Clock, SystemClock};
use crate::engine::EngineConfig;
use dsm_sdk::receipt::Durability;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A node's configuration.
#[derive(Clone)]
pub struct NodeConfig {
    /// The data directory; created if it does not exist.
    pub data: PathBuf,
    /// The name of a network that this start creates; an existing one keeps its name.
    pub network_name: String,
    /// Threads that verify signatures.
    pub verifiers: usize,
    /// Transitions that may wait for verification; more are answered `overloaded`.
    pub queue_max: usize,
    /// Bytes of transitions on their way; more are answered `overloaded`.
    pub queue_bytes_max: usize,
    /// Records that one fsync makes durable at most.
    pub group_max: usize,
    /// Transitions between two checkpoints.
    pub checkpoint_transitions: u64,
    /// Compiled policies kept.
    pub policy_cache_size: usize,
    /// Seconds after which an unused compiled policy is dropped.
    pub policy_ttl_s: u64,
    /// Packages that may be staged and not yet published.
    pub staged_max: usize,
    /// How far a transition must be durable before it is answered, if the submission does not say.
    pub durability: Durability,
    /// How long a submission waits for its level before it is answered `not_replicated`.
    pub durability_wait: Duration,
    /// Whether Dilithium3 signatures count.
    pub accept_dilithium3: bool,
    /// Settings of the policy engine.
    pub engine: EngineConfig,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

impl NodeConfig {
    /// The defaults for a node in `data`.
    pub fn new(data: impl Into<PathBuf>) -> NodeConfig {
        NodeConfig {
            data: data.into(),
            network_name: "dsm".into(),
            verifiers: std::thread::available_parallelism().map_or(2, usize::from),
            queue_max: 8192,
            queue_bytes_max: 128 << 20,
            group_max: 2048,
            checkpoint_transitions: 10_000,
            policy_cache_size: 1000,
            policy_ttl_s: 3600,
            staged_max: 256,
            durability: Durability::Local,
            durability_wait: Duration::from_secs(5),
            accept_dilithium3: false,
            engine: EngineConfig::default(),
            clock: Arc::new(SystemClock),
        }
    }
}
