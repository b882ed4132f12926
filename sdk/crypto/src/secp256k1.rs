//! secp256k1 as EVM chains have it: ECDSA over a digest, and the signer's address out of the signature.
//!
//! For what an EVM chain asks of its senders and of a bridge's attestors, never for authority on DSM: it is classical
//! and therefore no [`dsm_abi::Suite`].

use crate::{RandomError, fill_random};
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use sha3::Digest as _;
use zeroize::Zeroizing;

/// Bytes of a secret key: a scalar, big-endian.
const SECRET_BYTES: usize = 32;

/// Why there is no secp256k1 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Secp256k1Error {
    /// The bytes have the wrong length.
    #[error("a secp256k1 key has 32 bytes, not {found}")]
    Length {
        /// What was given.
        found: usize,
    },
    /// Zero, or not less than the order of the group.
    #[error("these bytes are not a scalar of secp256k1")]
    Invalid,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// A secret secp256k1 key. It is erased when it is dropped, and prints as its address only.
pub struct Secp256k1Key {
    /// It erases itself (`ZeroizeOnDrop`).
    secret: SigningKey,
    address: [u8; 20],
}

impl Secp256k1Key {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`Secp256k1Error::Random`]; [`Secp256k1Error::Invalid`] once in 2^127 calls.
    pub fn generate() -> Result<Secp256k1Key, Secp256k1Error> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        fill_random(&mut secret[..])?;
        Secp256k1Key::from_secret_bytes(&secret[..])
    }

    /// The key of a scalar, 32 bytes, big-endian.
    ///
    /// # Errors
    /// [`Secp256k1Error::Length`], [`Secp256k1Error::Invalid`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Secp256k1Key, Secp256k1Error> {
        if bytes.len() != SECRET_BYTES {
            return Err(Secp256k1Error::Length { found: bytes.len() });
        }
        let secret = SigningKey::from_slice(bytes).map_err(|_| Secp256k1Error::Invalid)?;
        let address = address_of(secret.verifying_key()).ok_or(Secp256k1Error::Invalid)?;
        Ok(Secp256k1Key { secret, address })
    }

    /// What is kept at rest: the scalar, 32 bytes.
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut scalar = self.secret.to_bytes();
        let bytes = Zeroizing::new(scalar.to_vec());
        zeroize::Zeroize::zeroize(scalar.as_mut_slice());
        bytes
    }

    /// The address on EVM chains: the last 20 bytes of the public key's Keccak-256.
    pub fn address(&self) -> [u8; 20] {
        self.address
    }

    /// The public key, SEC 1 compressed.
    pub fn public_key(&self) -> [u8; 33] {
        let point = self.secret.verifying_key().to_sec1_point(true);
        point.as_bytes().try_into().expect("a compressed point has 33 bytes")
    }

    /// Signs a digest: r ‖ s ‖ v, v 0 or 1, low s (EIP-2), the nonce by RFC 6979, so that one digest has one signature.
    pub fn sign_prehash(&self, digest: &[u8; 32]) -> [u8; 65] {
        let (signature, id) = self.secret.sign_prehash_recoverable(digest);
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = id.to_byte();
        bytes
    }
}

impl core::fmt::Debug for Secp256k1Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Secp256k1Key(0x{})", hex::encode(self.address))
    }
}

/// The address that signed `digest` with `signature` (r ‖ s ‖ v). Strict, so that nobody can turn one signature into
/// another: v is 0 or 1, r and s lie in 1..n, s is low (EIP-2). The zero address signs nothing.
pub fn recover_address(digest: &[u8; 32], signature: &[u8; 65]) -> Option<[u8; 20]> {
    let [scalars @ .., v] = signature;
    let v = match v {
        0 | 1 => RecoveryId::from_byte(*v)?,
        // k256's 2 and 3 stand for an r above n; EVM chains have no such signatures.
        _ => return None,
    };
    let signature = Signature::from_slice(scalars).ok()?;
    if signature.normalize_s() != signature {
        return None;
    }
    address_of(&VerifyingKey::recover_from_prehash(digest, &signature, v).ok()?)
}

/// [`recover_address`] for the pure rules of `dsm-evm-proof`, which bring no curve of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recover;

impl dsm_evm_proof::RecoverSigner for Recover {
    fn recover(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<[u8; 20]> {
        recover_address(digest, signature)
    }
}

/// Keccak-256 as EVM chains have it: the padding before SHA-3's.
pub fn keccak_256(bytes: &[u8]) -> [u8; 32] {
    sha3::Keccak256::digest(bytes).into()
}

fn address_of(key: &VerifyingKey) -> Option<[u8; 20]> {
    let point = key.to_sec1_point(false);
    // Without SEC 1's leading 0x04.
    let hash = keccak_256(point.as_bytes().get(1..)?);
    let address = hash[12..].try_into().ok()?;
    if address == [0; 20] { None } else { Some(address) }
}
