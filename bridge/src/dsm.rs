//! The DSM side as the service sees it: a core node's answers, of which it believes what is proven.
//!
//! The core node verifies every proof again before it credits anything; what is asked here decides what is worth
//! submitting. A checkpoint counts with the signature of the network's own key.

mod http;

pub use http::HttpDsm;

use crate::evm::Word;
use dsm_abi::{AccountId, StateId, TokenId};
use dsm_core::{BridgeState, PublicKey, SignedCheckpoint};
use dsm_evm_proof::Entry;

/// What became of a lock on the DSM side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockUse {
    /// Whether it was credited; otherwise it was refunded.
    pub credited: bool,
    /// The transition that used it.
    pub transition: Word,
}

/// What an accepted transition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The transition.
    pub transition: Word,
    /// Its place in the log.
    pub position: u64,
}

/// Why the core node does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsmError {
    /// It could not be reached; a submission may have been accepted all the same.
    #[error("the core node does not answer: {0}")]
    Unreachable(String),
    /// It cannot just now.
    #[error("the core node is busy: {code}: {detail}")]
    Busy {
        /// Its stable code.
        code: String,
        /// Its words.
        detail: String,
    },
    /// It refuses, by the rules.
    #[error("the core node refuses: {code}: {detail}")]
    Refused {
        /// Its stable code.
        code: String,
        /// Its words.
        detail: String,
    },
    /// Its answer is none.
    #[error("the core node answers what cannot be: {0}")]
    Protocol(String),
}

impl DsmError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            DsmError::Unreachable(_) => "dsm_unreachable",
            DsmError::Busy { code, .. } | DsmError::Refused { code, .. } => code,
            DsmError::Protocol(_) => "dsm_protocol",
        }
    }
}

/// The DSM side. `HttpDsm` asks a core node; tests bring a ledger of their own.
pub trait Dsm: Send + Sync {
    /// The key that signs the network's checkpoints, shown by the network's genesis.
    ///
    /// # Errors
    /// [`DsmError`].
    fn node_key(&self) -> Result<PublicKey, DsmError>;

    /// The bridge, if it has been opened.
    ///
    /// # Errors
    /// [`DsmError`].
    fn bridge(&self) -> Result<Option<BridgeState>, DsmError>;

    /// What became of a lock.
    ///
    /// # Errors
    /// [`DsmError`].
    fn lock_use(&self, nonce: u64) -> Result<Option<LockUse>, DsmError>;

    /// The newest checkpoint, if there is one.
    ///
    /// # Errors
    /// [`DsmError`].
    fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, DsmError>;

    /// Has the core node take a checkpoint now, if it lets anybody.
    ///
    /// # Errors
    /// [`DsmError`].
    fn take_checkpoint(&self) -> Result<(), DsmError>;

    /// Entries of the outbox from an index on.
    ///
    /// # Errors
    /// [`DsmError`].
    fn outbox(&self, from: u64, limit: usize) -> Result<Vec<Entry>, DsmError>;

    /// The hashes that show that the tree of `new` entries continues that of `old`.
    ///
    /// # Errors
    /// [`DsmError`].
    fn outbox_consistency(&self, old: u64, new: u64) -> Result<Vec<Word>, DsmError>;

    /// The place of the policy `wrapped` among a token's policies.
    ///
    /// # Errors
    /// [`DsmError`]; [`DsmError::Refused`] if there is no such token or it has no such policy.
    fn wrapped_policy(&self, token: &TokenId) -> Result<u8, DsmError>;

    /// An account's head and height, if it has been opened.
    ///
    /// # Errors
    /// [`DsmError`].
    fn account(&self, account: &AccountId) -> Result<Option<(StateId, u64)>, DsmError>;

    /// Submits the canonical bytes of a signed transition. The same bytes always get the same answer.
    ///
    /// # Errors
    /// [`DsmError`].
    fn submit(&self, signed: &[u8]) -> Result<Accepted, DsmError>;
}
