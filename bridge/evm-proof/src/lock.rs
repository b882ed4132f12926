//! Locks: value that a bridge contract holds for the ledger, and the proof of one under a state root.
//!
//! The contract writes a commitment to each lock into a mapping at a fixed slot. A proof shows the contract's account,
//! then the word of one nonce; the lock's fields are the preimage of that word, so no field can be another.

use crate::mpt::{EMPTY_CODE, NotShown, Shown, prove_account, prove_storage};
use crate::{Address, HEADER_BYTES_MAX, Hash, NODE_BYTES_MAX, NODES_MAX};
use crate::{address_word, bounded, hex32, keccak256, word};
use alloc::vec::Vec;
use borsh::io::Read;
use borsh::{BorshDeserialize, BorshSerialize};

/// keccak("DSM/lock/1").
pub const LOCK_TAG: Hash = hex32("7a4624daaec1c4e9f5d040a9359e875783c6ca1b3bc0e0a7e87a81bfd715881e");
/// Attestations beside one header.
pub const ATTESTATIONS_MAX: usize = 16;
/// Bytes of one attestation: the longest signature has 7,856.
pub const ATTESTATION_BYTES_MAX: usize = 8 * 1024;
/// Bytes of an encoded lock proof: every part at its limit.
pub const LOCK_PROOF_BYTES_MAX: usize = HEADER_BYTES_MAX
    + ATTESTATIONS_MAX * (ATTESTATION_BYTES_MAX + 5)
    + 2 * NODES_MAX * (NODE_BYTES_MAX + 4)
    + 1024;

/// What was locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum LockKind {
    /// The chain's own coin; the asset is zero.
    Native = 1,
    /// An ERC-20 token.
    Erc20 = 2,
    /// A wrapped token, which was burned.
    Burn = 3,
}

/// The fields of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Lock {
    /// Its number in the contract.
    pub nonce: u64,
    /// What was locked.
    pub kind: LockKind,
    /// The asset's contract; zero for the native coin.
    pub asset: Address,
    /// Who locked it, and who is refunded.
    pub sender: Address,
    /// The ledger's token that the asset belongs to.
    pub token: Hash,
    /// The ledger's account that is credited.
    pub recipient: Hash,
    /// What arrived, in the asset's units.
    pub amount: u128,
    /// Seconds since the Unix epoch: credited before, refunded from then on.
    pub deadline_s: u64,
}

/// Why a proof does not say what it claims about a lock: the first check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// An amount of zero.
    #[error("a lock of nothing")]
    ZeroAmount,
    /// The native coin has no contract, everything else has one.
    #[error("the asset does not fit the kind of lock")]
    Asset,
    /// The contract's account is not shown.
    #[error("the contract's account is not shown: {0}")]
    Account(NotShown),
    /// The contract does not exist in this state.
    #[error("the contract does not exist")]
    NoContract,
    /// An account without code: nobody wrote its storage by the contract's rules.
    #[error("the contract has no code")]
    NoCode,
    /// The word of the nonce is not shown.
    #[error("the lock's word is not shown: {0}")]
    Storage(NotShown),
    /// The contract committed to another lock under this nonce.
    #[error("the contract committed to another lock under this nonce")]
    Commitment,
}

impl LockError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            LockError::ZeroAmount => "lock_zero_amount",
            LockError::Asset => "lock_asset",
            LockError::Account(_) => "lock_account",
            LockError::NoContract => "lock_no_contract",
            LockError::NoCode => "lock_no_code",
            LockError::Storage(_) => "lock_storage",
            LockError::Commitment => "lock_commitment",
        }
    }

    /// The code of the check within the proof of nodes that failed, if it was one of those.
    pub fn not_shown(&self) -> Option<NotShown> {
        match self {
            LockError::Account(reason) | LockError::Storage(reason) => Some(*reason),
            LockError::ZeroAmount
            | LockError::Asset
            | LockError::NoContract
            | LockError::NoCode
            | LockError::Commitment => None,
        }
    }
}

impl Lock {
    /// Whether the contract could have made such a lock.
    ///
    /// # Errors
    /// [`LockError::ZeroAmount`], [`LockError::Asset`].
    pub fn check(&self) -> Result<(), LockError> {
        if self.amount == 0 {
            return Err(LockError::ZeroAmount);
        }
        let without_asset = self.asset == [0; 20];
        if without_asset == (self.kind == LockKind::Native) { Ok(()) } else { Err(LockError::Asset) }
    }

    /// The word that the contract at `bridge` on the chain `chain_id` stores for this lock.
    pub fn commitment(&self, chain_id: u64, bridge: &Address) -> Hash {
        keccak256(&[
            &LOCK_TAG,
            &word(chain_id.into()),
            &address_word(bridge),
            &word(self.nonce.into()),
            &word(self.kind as u128),
            &address_word(&self.asset),
            &address_word(&self.sender),
            &self.token,
            &self.recipient,
            &word(self.amount),
            &word(self.deadline_s.into()),
        ])
    }
}

/// Where the contract stores the commitment of the lock `nonce`, with its mapping at `slot`.
pub fn lock_storage_key(nonce: u64, slot: &Hash) -> Hash {
    keccak256(&[&word(nonce.into()), slot])
}

/// The proof of a lock, to be judged under a header that is trusted for another reason.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct EvmLockProof {
    /// The header's RLP, with seals in place.
    pub header: Vec<u8>,
    /// Signatures over the block's hash with the index of each signer; empty where the header is sealed.
    pub attestations: Vec<(u8, Vec<u8>)>,
    /// Nodes from the state root to the contract.
    pub account: Vec<Vec<u8>>,
    /// Nodes from the contract's storage root to the lock's word.
    pub storage: Vec<Vec<u8>>,
    /// The lock.
    pub lock: Lock,
}

impl BorshDeserialize for EvmLockProof {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<EvmLockProof> {
        let header = bounded::bytes(reader, HEADER_BYTES_MAX)?;
        let attestations = bounded::items(reader, ATTESTATIONS_MAX, |reader| {
            Ok((u8::deserialize_reader(reader)?, bounded::bytes(reader, ATTESTATION_BYTES_MAX)?))
        })?;
        let (account, storage) = (bounded::nodes(reader)?, bounded::nodes(reader)?);
        Ok(EvmLockProof { header, attestations, account, storage, lock: Lock::deserialize_reader(reader)? })
    }
}

/// A lock that a contract committed to, under a state root that was trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenLock {
    lock: Lock,
    chain_id: u64,
    contract: Address,
    commitment: Hash,
}

impl ProvenLock {
    /// The lock.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The chain.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The contract.
    pub fn contract(&self) -> Address {
        self.contract
    }

    /// The word that the contract stores.
    pub fn commitment(&self) -> Hash {
        self.commitment
    }
}

impl EvmLockProof {
    /// The proof's bytes.
    pub fn encode(&self) -> Vec<u8> {
        bounded::encode(self)
    }

    /// The proof whose canonical bytes these are.
    pub fn decode(bytes: &[u8]) -> Option<EvmLockProof> {
        bounded::decode(bytes, LOCK_PROOF_BYTES_MAX)
    }

    /// What the nodes show about the lock in the contract at `contract`, with its mapping at `slot`, on the chain
    /// `chain_id`: that it was made, or that nothing was locked under its nonce. `state_root` is trusted; the header
    /// in this proof is not looked at.
    ///
    /// # Errors
    /// [`LockError`]: neither is shown, or something else is.
    pub fn verify(
        &self,
        state_root: &Hash,
        contract: &Address,
        slot: &Hash,
        chain_id: u64,
    ) -> Result<Shown<ProvenLock>, LockError> {
        self.lock.check()?;
        let account = prove_account(state_root, contract, &self.account).map_err(LockError::Account)?;
        let Shown::Present(account) = account else { return Err(LockError::NoContract) };
        if account.code_hash == EMPTY_CODE {
            return Err(LockError::NoCode);
        }
        let key = lock_storage_key(self.lock.nonce, slot);
        let commitment = self.lock.commitment(chain_id, contract);
        match prove_storage(&account.storage_root, &key, &self.storage).map_err(LockError::Storage)? {
            Shown::Absent => Ok(Shown::Absent),
            Shown::Present(word) if word != commitment => Err(LockError::Commitment),
            Shown::Present(_) => {
                Ok(Shown::Present(ProvenLock { lock: self.lock, chain_id, contract: *contract, commitment }))
            }
        }
    }
}
