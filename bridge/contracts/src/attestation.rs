//! Attestations as `IAttestationVerifier` reads them, and what its sets sign to name their successor.
//!
//! Bytes only: who signs, and with what, is the caller's. Formats in ADR 0001.

use alloy_primitives::{Address, keccak256};
use alloy_sol_types::{SolStruct as _, eip712_domain, sol};

/// Attestors of one set.
pub const ATTESTORS_MAX: usize = 16;
/// Bytes of an ECDSA signature r ‖ s ‖ v.
pub const ECDSA_BYTES: usize = 65;
/// Bytes of an SLH-DSA-SHA2-128s signature.
pub const SLH_DSA_BYTES: usize = 7856;

/// One attestor's secp256k1 signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcdsaRecord {
    /// Which attestor of the set.
    pub index: u8,
    /// r ‖ s ‖ v with v 0 or 1; the attestation says 27 or 28.
    pub signature: [u8; ECDSA_BYTES],
}

/// One attestor's SLH-DSA-SHA2-128s signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlhDsaRecord {
    /// Which attestor of the set.
    pub index: u8,
    /// [`SLH_DSA_BYTES`].
    pub signature: Vec<u8>,
}

/// One attestor's two signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HybridRecord {
    /// Which attestor of the set.
    pub index: u8,
    /// r ‖ s ‖ v with v 0 or 1; the attestation says 27 or 28.
    pub ecdsa: [u8; ECDSA_BYTES],
    /// [`SLH_DSA_BYTES`].
    pub slh_dsa: Vec<u8>,
}

/// Why records are no attestation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// None, or more than a set has attestors.
    #[error("an attestation has 1 to {ATTESTORS_MAX} records, not {found}")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// The record's index does not lie above the one before, or in no set at all.
    #[error("record {record} names attestor {index}: indices ascend strictly and lie below {ATTESTORS_MAX}")]
    Index {
        /// Which record, from zero.
        record: usize,
        /// Its index.
        index: u8,
    },
    /// An SLH-DSA signature has the wrong length.
    #[error("record {record}: an SLH-DSA-SHA2-128s signature has {SLH_DSA_BYTES} bytes, not {found}")]
    SlhDsaLength {
        /// Which record, from zero.
        record: usize,
        /// The signature's length.
        found: usize,
    },
    /// An ECDSA signature's last byte is neither 0 nor 1.
    #[error("record {record}: v is 0 or 1, not {found}")]
    RecoveryId {
        /// Which record, from zero.
        record: usize,
        /// Its last byte.
        found: u8,
    },
}

/// What `EcdsaQuorum` reads.
///
/// # Errors
/// [`AttestationError`].
pub fn encode_ecdsa(records: &[EcdsaRecord]) -> Result<Vec<u8>, AttestationError> {
    encode(records, |record| record.index, |at, record, out| push_ecdsa(at, &record.signature, out))
}

/// What `SlhDsaQuorum` reads.
///
/// # Errors
/// [`AttestationError`].
pub fn encode_slh_dsa(records: &[SlhDsaRecord]) -> Result<Vec<u8>, AttestationError> {
    encode(records, |record| record.index, |at, record, out| push_slh_dsa(at, &record.signature, out))
}

/// What `HybridQuorum` reads.
///
/// # Errors
/// [`AttestationError`].
pub fn encode_hybrid(records: &[HybridRecord]) -> Result<Vec<u8>, AttestationError> {
    encode(
        records,
        |record| record.index,
        |at, record, out| {
            push_ecdsa(at, &record.ecdsa, out)?;
            push_slh_dsa(at, &record.slh_dsa, out)
        },
    )
}

fn encode<R>(
    records: &[R],
    index: impl Fn(&R) -> u8,
    push: impl Fn(usize, &R, &mut Vec<u8>) -> Result<(), AttestationError>,
) -> Result<Vec<u8>, AttestationError> {
    if records.is_empty() || records.len() > ATTESTORS_MAX {
        return Err(AttestationError::Count { found: records.len() });
    }
    let (mut out, mut above) = (Vec::new(), 0);
    for (at, record) in records.iter().enumerate() {
        let index = index(record);
        if usize::from(index) < above || usize::from(index) >= ATTESTORS_MAX {
            return Err(AttestationError::Index { record: at, index });
        }
        above = usize::from(index) + 1;
        out.push(index);
        push(at, record, &mut out)?;
    }
    Ok(out)
}

fn push_ecdsa(
    record: usize,
    signature: &[u8; ECDSA_BYTES],
    out: &mut Vec<u8>,
) -> Result<(), AttestationError> {
    let [scalars @ .., v] = signature;
    if *v > 1 {
        return Err(AttestationError::RecoveryId { record, found: *v });
    }
    out.extend_from_slice(scalars);
    out.push(27 + v);
    Ok(())
}

fn push_slh_dsa(record: usize, signature: &[u8], out: &mut Vec<u8>) -> Result<(), AttestationError> {
    if signature.len() != SLH_DSA_BYTES {
        return Err(AttestationError::SlhDsaLength { record, found: signature.len() });
    }
    out.extend_from_slice(signature);
    Ok(())
}

/// Whether `threshold` of `size` attestors are a quorum: 1 ≤ n ≤ 16, k ≤ n, 3k > 2n.
pub const fn threshold_fits(size: usize, threshold: u8) -> bool {
    let threshold = threshold as usize;
    1 <= size && size <= ATTESTORS_MAX && threshold <= size && 3 * threshold > 2 * size
}

/// The keys of an `EcdsaQuorum`, as its constructor and `proposeRotation` take them.
pub fn ecdsa_keys(addresses: &[[u8; 20]]) -> Vec<u8> {
    addresses.concat()
}

/// The keys of an `SlhDsaQuorum`.
pub fn slh_dsa_keys(public_keys: &[[u8; 32]]) -> Vec<u8> {
    public_keys.concat()
}

/// The keys of a `HybridQuorum`: each attestor's address and SLH-DSA public key.
pub fn hybrid_keys(attestors: &[([u8; 20], [u8; 32])]) -> Vec<u8> {
    attestors.iter().flat_map(|(address, key)| [&address[..], key].concat()).collect()
}

sol! {
    struct Rotation {
        uint64 setId;
        uint64 round;
        bytes32 setHash;
        uint8 threshold;
    }
}

/// What the present set signs to name its successor `set_id` (its own number plus one) with `keys`: EIP-712, bound to
/// the chain and the verifier's address. `round` is the verifier's `rotationRound()`.
pub fn rotation_digest(
    chain_id: u64,
    verifier: [u8; 20],
    set_id: u64,
    round: u64,
    keys: &[u8],
    threshold: u8,
) -> [u8; 32] {
    let domain = eip712_domain! {
        name: "DSM Attestors",
        version: "1",
        chain_id: chain_id,
        verifying_contract: Address::from(verifier),
    };
    Rotation { setId: set_id, round, setHash: keccak256(keys), threshold }.eip712_signing_hash(&domain).0
}
