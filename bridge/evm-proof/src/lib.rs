//! What an EVM chain can prove: strict RLP, Merkle-Patricia proofs, QBFT headers, locks, and the outbox tree.
//!
//! Everything here is a function of its arguments: no clock, no socket, no key. Signers are recovered by the caller
//! through [`RecoverSigner`], time is a parameter, and what a function returns is the permission for the next:
//! bytes → [`QbftHeader`] → [`SealedHeader`] → [`ProvenLock`]. A question about a chain has three answers, never two:
//! proven present, proven absent, or not shown; whoever treats the third as the second loses money.
//!
//! Left out: receipts and logs (they cannot prove absence), fork choice, and every opinion about which chain matters.
#![no_std]
extern crate alloc;

mod bounded;
mod file;
mod header;
mod lock;
mod mpt;
mod outbox;
mod qbft;
pub mod rlp;

pub use file::{
    CHECKPOINT_BYTES_MAX, CONFIG_BYTES_MAX, Check, FileError, HEADERS_MAX, LockFile, OutboxFile, Outcome,
    PROOF_FILE_BYTES_MAX, ProofFile, Report,
};
pub use header::{EMPTY_OMMERS, HEADER_BYTES_MAX, Header, HeaderError};
pub use lock::{
    ATTESTATION_BYTES_MAX, ATTESTATIONS_MAX, EvmLockProof, LOCK_PROOF_BYTES_MAX, LOCK_TAG, Lock, LockError,
    LockKind, ProvenLock, lock_storage_key,
};
pub use mpt::{
    Account, EMPTY_CODE, EMPTY_ROOT, NODE_BYTES_MAX, NODES_MAX, NotShown, Path, Shown, prove, prove_account,
    prove_storage,
};
pub use outbox::{
    Checkpoint, Entry, LANE_EVM, OUTBOX_TAG, OutboxError, OutboxFrontier, OutboxTree, PAYLOAD_BYTES_MAX,
    Payload, REFUND_TAG, RELEASE_TAG, Refund, Release, ReleaseKind, SIBLINGS_MAX, verify_consistency,
    verify_inclusion,
};
pub use qbft::{
    Advance, Equivocation, ExtraData, Mode, QbftError, QbftHeader, RecoverSigner, Rules, SealedHeader,
    TrustedSet, VALIDATORS_MAX, ValidatorContract, ValidatorSetProof, Vote, overlap, quorum,
};

/// The 20 bytes that name an account of an EVM chain.
pub type Address = [u8; 20];
/// 32 bytes: a Keccak-256 hash, or a word of the EVM.
pub type Hash = [u8; 32];
/// A seal or signature on secp256k1: `r`, `s`, and the recovery id 0 or 1.
pub type Seal = [u8; 65];

/// Keccak-256 as Ethereum has it, of `parts` one after another.
pub fn keccak256(parts: &[&[u8]]) -> Hash {
    use sha3::Digest as _;
    let mut hasher = sha3::Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// A word that holds a number: big-endian, zeros in front.
pub fn word(number: u128) -> Hash {
    let mut word = [0; 32];
    word[16..].copy_from_slice(&number.to_be_bytes());
    word
}

/// A word that holds an address: twelve zeros in front.
pub fn address_word(address: &Address) -> Hash {
    let mut word = [0; 32];
    word[12..].copy_from_slice(address);
    word
}

/// The address that a word holds, if its first twelve bytes are zero.
fn word_address(word: &Hash) -> Option<Address> {
    let (zeros, address) = word.split_at(12);
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    address.try_into().ok()
}

/// The number that a word holds, if it has at most 16 bytes.
fn word_number(word: &Hash) -> Option<u128> {
    let (zeros, number) = word.split_at(16);
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    number.try_into().ok().map(u128::from_be_bytes)
}

/// 32 bytes written as 64 hexadecimal digits, for constants.
const fn hex32(text: &str) -> Hash {
    let text = text.as_bytes();
    assert!(text.len() == 64, "64 digits");
    let mut hash = [0; 32];
    let mut at = 0;
    while at < 32 {
        hash[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
        at += 1;
    }
    hash
}

const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => panic!("a hexadecimal digit"),
    }
}
