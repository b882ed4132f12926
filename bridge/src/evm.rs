//! The EVM side as the relayer sees it: answers of couriers, each with the name of who gave it.
//!
//! Nothing here is believed because it was answered. A header counts once its seals or enough couriers agree, a lock
//! once its storage proof hangs from such a header; hints only say where to look. Whoever was caught is named with
//! [`Evm::distrust`], and the next question goes to somebody else.

/// An address of the chain.
pub type Address = [u8; 20];
/// 32 bytes: a hash, a slot, a word of the ABI.
pub type Word = [u8; 32];

/// Which courier gave an answer: its position in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(pub usize);

/// A block header whose fields hash to its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its height.
    pub number: u64,
    /// Its hash, computed here.
    pub hash: Word,
    /// The hash of the block before.
    pub parent: Word,
    /// The root of all accounts.
    pub state_root: Word,
    /// Seconds since the Unix epoch.
    pub time_s: u64,
    /// Wei that a unit of gas costs at least; `None` before London.
    pub base_fee: Option<u128>,
    /// The header's RLP, seals in place.
    pub rlp: Vec<u8>,
    /// Who gave it.
    pub source: Source,
}

/// A lock as an event tells it: where to look, never more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHint {
    /// The lock's preimage.
    pub lock: dsm_evm_proof::Lock,
    /// The block that is said to have it.
    pub block: u64,
    /// The transaction that is said to have made it.
    pub transaction: Word,
    /// Who says so.
    pub source: Source,
}

/// The answer to a question for a proof, checked against the header's state root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The slot holds this value.
    Present {
        /// The value.
        value: Word,
        /// Nodes of the account proof.
        account: Vec<Vec<u8>>,
        /// Nodes of the storage proof.
        storage: Vec<Vec<u8>>,
        /// Who gave it.
        source: Source,
    },
    /// The slot is empty in that block.
    Absent,
}

/// What the contract is said to hold. Hints: each decision that costs something is checked otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContractView {
    /// Locks so far; the next nonce.
    pub outbox_size: u64,
    /// The newest epoch that the contract knows, 0 before the first.
    pub epoch: u64,
    /// The outbox leaves under that epoch's root.
    pub size: u64,
    /// That root; zero before the first.
    pub root: Word,
    /// The set of attestors that counts.
    pub set_id: u64,
    /// How many of them have to sign.
    pub threshold: u8,
    /// Whether locks are refused.
    pub deposits_paused: bool,
    /// Whether releases are refused.
    pub withdrawals_paused: bool,
}

/// What became of one leaf on the EVM side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Nothing yet.
    No,
    /// It waits for its delay, until this second.
    Queued {
        /// From when on it may be executed, in seconds since the Unix epoch.
        ready_s: u64,
    },
    /// Paid out, or vetoed: it can never be paid again.
    Yes,
}

/// A call of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The contract.
    pub to: Address,
    /// Selector and arguments.
    pub data: Vec<u8>,
}

/// What gas costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// Wei for a unit of gas at most.
    pub max: u128,
    /// Wei of it for the block's maker; `None`: the chain has legacy transactions only.
    pub tip: Option<u128>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxReceipt {
    /// The block.
    pub block: u64,
    /// Whether it did what it was for; else it was reverted.
    pub success: bool,
    /// Gas that it took.
    pub gas: u64,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvmError {
    /// No courier gave a usable answer; the reasons, one a courier.
    #[error("no endpoint answers: {0}")]
    NoAnswer(String),
    /// Too few couriers agree.
    #[error("{agreed} of {needed} endpoints agree on block {height}")]
    NoAgreement {
        /// The height asked for.
        height: u64,
        /// How many gave the most frequent answer.
        agreed: usize,
        /// How many have to.
        needed: usize,
    },
    /// The chain would refuse the transaction.
    #[error("the contract refuses: {0}")]
    Reverted(String),
    /// The chain has this transaction, or another of this nonce.
    #[error("the transaction is not taken: {0}")]
    NotTaken(String),
}

impl EvmError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            EvmError::NoAnswer(_) => "evm_unreachable",
            EvmError::NoAgreement { .. } => "evm_disagreement",
            EvmError::Reverted(_) => "evm_reverted",
            EvmError::NotTaken(_) => "evm_not_taken",
        }
    }
}

/// The EVM side. `RpcEvm` asks endpoints over JSON-RPC; tests bring a chain of their own.
pub trait Evm: Send + Sync {
    /// How many couriers there are.
    fn sources(&self) -> usize;

    /// This courier was caught: it is left alone for a while.
    fn distrust(&self, source: Source, reason: &str);

    /// The newest block that the mode of finality lets count, or that a courier claims where seals decide.
    ///
    /// # Errors
    /// [`EvmError`].
    fn newest(&self) -> Result<Header, EvmError>;

    /// The block at a height.
    ///
    /// # Errors
    /// [`EvmError`].
    fn header(&self, number: u64) -> Result<Header, EvmError>;

    /// A hint to the lock of this nonce, searched from `from_block` on.
    ///
    /// # Errors
    /// [`EvmError`].
    fn lock_hint(&self, nonce: u64, from_block: u64) -> Result<Option<LockHint>, EvmError>;

    /// The lock's slot under a header's state root.
    ///
    /// # Errors
    /// [`EvmError`]; an answer that proves nothing is no answer.
    fn prove(&self, header: &Header, address: Address, slot: Word) -> Result<Shown, EvmError>;

    /// What the contract holds.
    ///
    /// # Errors
    /// [`EvmError`].
    fn contract(&self) -> Result<ContractView, EvmError>;

    /// What became of a leaf.
    ///
    /// # Errors
    /// [`EvmError`].
    fn spent(&self, index: u64) -> Result<Spent, EvmError>;

    /// What gas costs.
    ///
    /// # Errors
    /// [`EvmError`].
    fn fees(&self) -> Result<Fees, EvmError>;

    /// The next nonce of an address, by mined transactions alone.
    ///
    /// # Errors
    /// [`EvmError`].
    fn account_nonce(&self, address: Address) -> Result<u64, EvmError>;

    /// The gas that a call takes.
    ///
    /// # Errors
    /// [`EvmError::Reverted`] if the chain would refuse it.
    fn estimate(&self, from: Address, call: &Call) -> Result<u64, EvmError>;

    /// Hands in a signed transaction.
    ///
    /// # Errors
    /// [`EvmError::NotTaken`] if it is known already or its nonce is used.
    fn send(&self, raw: &[u8]) -> Result<(), EvmError>;

    /// The receipt of a transaction.
    ///
    /// # Errors
    /// [`EvmError`].
    fn receipt(&self, hash: Word) -> Result<Option<TxReceipt>, EvmError>;
}
