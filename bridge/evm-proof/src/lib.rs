//! What an EVM chain can prove: strict RLP, Merkle-Patricia proofs, QBFT headers, locks, and the outbox tree.
#![no_std]
extern crate alloc;

/// Keccak-256 as Ethereum has it.
pub fn keccak256(parts: &[&[u8]]) -> [u8; 32] {
    use sha3::Digest as _;
    let mut hasher = sha3::Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
