//! The node's errors, one enum per operation, each with stable codes.

use crate::engine::{AdmitError as GateError, EngineError, Finding, HostFault};
use dsm_abi::Denial;
use dsm_core::{AdmitError, EquivocationProof, RecordError, Refusal};
use dsm_sdk::receipt::{Durability, Receipt};
use dsm_store::{BlobError, LogError};

/// Why a submission has no receipt.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// The bytes are not a well-formed transition with valid signatures.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The rules or a policy refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The account signed another successor of the same state, which is durable. The proof is kept.
    #[error("account {} already has another successor of state {}", .0.account(), .0.state())]
    Conflict(Box<EquivocationProof>),
    /// Too much is on its way.
    #[error("the node is overloaded; try again in {retry_after_ms} ms")]
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The device is full: not acknowledged. The same bytes may be submitted again.
    #[error("the node's storage is full")]
    StorageFull,
    /// This node has fewer storage nodes than the level asks for: nothing was accepted.
    #[error("{asked} takes {} storage nodes, and there are {members}", .asked.storage_nodes())]
    TooFewStorageNodes {
        /// The level asked for.
        asked: Durability,
        /// The storage nodes that there are.
        members: usize,
    },
    /// Accepted and durable here, but the level asked for was not reached in time. The transition stands.
    #[error("asked for {asked}, reached {} in time; the transition stands at {}", .receipt.durability, .receipt.position)]
    NotReplicated {
        /// The level asked for.
        asked: Durability,
        /// The receipt, with the level reached.
        receipt: Box<Receipt>,
    },
    /// The node has not heard from enough of its storage nodes to know that it may write.
    #[error("the node waits for its storage nodes before it writes")]
    NotLeading,
    /// A storage node holds more of the history: the node fetches it before it writes.
    #[error("a storage node holds the history up to {position}; the node catches up before it writes")]
    Behind {
        /// Where the storage node's log ends.
        position: u64,
    },
    /// Another node writes this network's history.
    #[error("the storage nodes have promised epoch {epoch} to another node")]
    Fenced {
        /// The epoch.
        epoch: u64,
    },
    /// The node stops or has stopped: not acknowledged. The same bytes may be submitted again.
    #[error("the node has stopped")]
    Stopped,
}

impl SubmitError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            SubmitError::Admit(error) => error.code(),
            SubmitError::Refused(refusal) => refusal.code(),
            SubmitError::Conflict(_) => "conflict",
            SubmitError::Overloaded { .. } => "overloaded",
            SubmitError::StorageFull => "storage_full",
            SubmitError::TooFewStorageNodes { .. } => "too_few_storage_nodes",
            SubmitError::NotReplicated { .. } => "not_replicated",
            SubmitError::NotLeading => "not_leading",
            SubmitError::Behind { .. } => "behind",
            SubmitError::Fenced { .. } => "fenced",
            SubmitError::Stopped => "stopped",
        }
    }
}

/// Why a package is not staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Not a package, wrong hash, unsigned, or signed by another key.
    #[error(transparent)]
    Package(#[from] dsm_sdk::package::PackageError),
    /// The static gate refuses the module.
    #[error("the module is refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Gate(Vec<Finding>),
    /// The module's description of itself is not the document's.
    #[error("the module describes itself otherwise than the document does")]
    DescriptionMismatch,
    /// Too many packages are staged and not published.
    #[error("{0} packages are staged and not published, the most there can be")]
    StagedFull(usize),
    /// This host could not judge the module now.
    #[error(transparent)]
    Host(HostFault),
    /// The package could not be stored.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<GateError> for StageError {
    fn from(error: GateError) -> StageError {
        match error {
            GateError::Refused { findings } => StageError::Gate(findings),
            GateError::Host(fault) => StageError::Host(fault),
        }
    }
}

impl StageError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            StageError::Package(error) => error.code(),
            StageError::Gate(_) => "module_refused",
            StageError::DescriptionMismatch => "description_mismatch",
            StageError::StagedFull(_) => "staged_full",
            StageError::Host(_) => "no_verdict",
            StageError::Blob(BlobError::DiskFull) => "storage_full",
            StageError::Blob(_) => "storage",
        }
    }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// No such token or policy.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The policy does not answer this.
    #[error("the policy refuses: {} {}", .0.code, .0.reason)]
    Denied(Denial),
    /// The policy failed.
    #[error("the policy failed: {0}")]
    Fault(String),
    /// The host failed.
    #[error("no answer: {0}")]
    NoVerdict(String),
}

impl ViewError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ViewError::Refused(refusal) => refusal.code(),
            ViewError::Denied(_) => "policy_denied",
            ViewError::Fault(_) => "policy_fault",
            ViewError::NoVerdict(_) => "no_verdict",
        }
    }
}

/// Why the node cannot answer from its history.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The index cannot be read.
    #[error("the index: {0}")]
    Index(String),
    /// A record is not what this version writes.
    #[error("record {0} cannot be decoded")]
    Record(u64),
    /// The account has moved since the last checkpoint; take one and prove again.
    #[error("the account has moved since the last checkpoint")]
    MovedSinceCheckpoint,
    /// There is no checkpoint yet.
    #[error("there is no checkpoint yet")]
    NoCheckpoint,
    /// The outbox entry is newer than the last checkpoint; take one and prove again.
    #[error("the entry is newer than the last checkpoint")]
    NotCheckpointed,
    /// The outbox has no such entry or size.
    #[error("the outbox: {0}")]
    Outbox(#[from] dsm_core::OutboxError),
    /// The node has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

impl NodeError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            NodeError::Log(_) | NodeError::Index(_) | NodeError::Record(_) => "storage",
            NodeError::MovedSinceCheckpoint => "moved_since_checkpoint",
            NodeError::NoCheckpoint => "no_checkpoint",
            NodeError::NotCheckpointed => "not_checkpointed",
            NodeError::Outbox(_) => "not_in_outbox",
            NodeError::Stopped(_) => "stopped",
        }
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error("the data directory {path}: {source}")]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses the data directory.
    #[error("the data directory {0} is in use by another process")]
    InUse(std::path::PathBuf),
    /// The log cannot be used.
    #[error("the log: {0}")]
    Log(#[from] LogError),
    /// The blobs cannot be used.
    #[error("the policy packages: {0}")]
    Blobs(#[from] BlobError),
    /// The index cannot be made.
    #[error("the index: {0}")]
    Index(String),
    /// The engine cannot be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The node's key cannot be read or made.
    #[error("the node's key: {0}")]
    Key(String),
    /// The node's key is not the one that the network's genesis names.
    #[error("the node's key is not the one that the network's genesis names")]
    OtherKey,
    /// The first record is not a genesis, or there is a second one.
    #[error("record {0} is not what belongs there")]
    Layout(u64),
    /// A record cannot be decoded.
    #[error("record {0} cannot be decoded")]
    Record(u64),
    /// A record does not follow from those before it.
    #[error("record {position}: {source}")]
    Replay {
        /// Its position.
        position: u64,
        /// Why.
        source: RecordError,
    },
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
}

impl OpenError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::Directory { .. } => "data_directory",
            OpenError::InUse(_) => "data_in_use",
            OpenError::Log(_) => "log_damaged",
            OpenError::Blobs(_) => "blobs_damaged",
            OpenError::Index(_) => "index",
            OpenError::Engine(_) => "engine",
            OpenError::Key(_) => "node_key",
            OpenError::OtherKey => "other_node_key",
            OpenError::Layout(_) | OpenError::Record(_) | OpenError::Replay { .. } => "log_inconsistent",
            OpenError::Thread(_) => "thread",
        }
    }
}
