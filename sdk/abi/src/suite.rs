//! The registry of signature suites: one byte that stands before each key and signature and is signed.

use borsh::{BorshDeserialize, BorshSerialize};

/// A signature suite. The byte is hashed into key ids and stands in every signed message, so a key or
/// signature of one suite can never pass as another's (Dilithium3 and ML-DSA-65 have equal sizes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Suite {
    /// ML-DSA-65 (FIPS 204), pure, empty context, hedged signing. The default.
    #[cfg_attr(feature = "serde", serde(rename = "ml-dsa-65"))]
    MlDsa65 = 0x01,
    /// Ed25519 **and** ML-DSA-65: both must verify.
    #[cfg_attr(feature = "serde", serde(rename = "ed25519+ml-dsa-65"))]
    Ed25519MlDsa65 = 0x02,
    /// Dilithium3 as `pqcrypto-dilithium` has it: for keys older than the standard, off unless configured.
    #[cfg_attr(feature = "serde", serde(rename = "dilithium3"))]
    Dilithium3 = 0x10,
    /// SLH-DSA-SHA2-128s (FIPS 205), pure, empty context, hedged signing: hashes alone, so that it stands if lattices
    /// fall. For keys that sign rarely (recovery, bridge attestors): a signature has 7,856 bytes and takes 0.3 s.
    #[cfg_attr(feature = "serde", serde(rename = "slh-dsa-sha2-128s"))]
    SlhDsaSha2128s = 0x20,
}

impl Suite {
    /// Bytes of a public key.
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Suite::MlDsa65 | Suite::Dilithium3 => 1952,
            Suite::Ed25519MlDsa65 => 32 + 1952,
            Suite::SlhDsaSha2128s => 32,
        }
    }

    /// Bytes of a signature.
    pub const fn signature_bytes(self) -> usize {
        match self {
            Suite::MlDsa65 | Suite::Dilithium3 => 3309,
            Suite::Ed25519MlDsa65 => 64 + 3309,
            Suite::SlhDsaSha2128s => 7856,
        }
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// The suite exists but this node does not accept it (Dilithium3 unless configured).
    SuiteOff,
    /// The public key has the wrong length or is not a valid encoding.
    BadKey,
    /// Wrong length, malformed, or it does not verify.
    BadSignature,
}

impl core::fmt::Display for SignatureError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            SignatureError::SuiteOff => "this suite is not accepted here",
            SignatureError::BadKey => "malformed public key",
            SignatureError::BadSignature => "the signature does not verify",
        })
    }
}

impl core::error::Error for SignatureError {}

/// What rules need of cryptography: a verdict on one signature over exact bytes, and hashes other than BLAKE3.
pub trait VerifySignature {
    /// The digest of `bytes` by one of [`crate::import::hash_alg`]; `None` refuses an unknown algorithm.
    fn digest(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        let _ = (algorithm, bytes);
        None
    }

    /// The EVM address whose secp256k1 key signed `digest` with `signature` (r ‖ s ‖ v, v 0 or 1, low s); `None` for
    /// whatever is malformed, and from whoever knows no such signatures.
    fn recover(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<[u8; 20]> {
        let _ = (digest, signature);
        None
    }

    /// Checks `signature` by `public_key` over `message`, which already carries the suite and the domain.
    ///
    /// # Errors
    /// [`SignatureError`]; any doubt is an error.
    fn verify_signature(
        &self,
        suite: Suite,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError>;
}
