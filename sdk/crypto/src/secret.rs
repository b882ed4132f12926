//! Secret signing keys, kept as seeds.

use crate::{RandomError, fill_random};
use aws_lc_rs::signature::{KeyPair as _, ML_DSA_65_SIGNING, PqdsaKeyPair};
use dsm_abi::Suite;
use fips205::slh_dsa_sha2_128s as slh_dsa;
use fips205::traits::{KeyGen as _, SerDes as _, Signer as _};
use zeroize::Zeroizing;

/// Bytes of a seed of ML-DSA-65 (FIPS 204's ξ) and of Ed25519 (RFC 8032's secret key).
const SEED_BYTES: usize = 32;
/// Bytes of SLH-DSA-SHA2-128s' seed: SK.seed ‖ SK.prf ‖ PK.seed, n = 16 bytes each (FIPS 205 algorithm 18).
const SLH_DSA_SEED_BYTES: usize = 3 * slh_dsa::N;
/// Bytes of Dilithium3's expanded secret key; it has no seed form.
#[cfg(feature = "legacy")]
const DILITHIUM3_SECRET_BYTES: usize = 4032;

/// Whatever can sign: a key in memory, or later a device.
pub trait Signer {
    /// The suite of the key.
    fn suite(&self) -> Suite;

    /// The public key, [`Suite::public_key_bytes`] long.
    fn public_key(&self) -> &[u8];

    /// Signs exactly `message`, which already carries suite, network and kind. Two calls give two signatures.
    ///
    /// # Errors
    /// [`SignError`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// The signature could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature could not be made")]
pub struct SignError;

/// Why there is no secret key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// The bytes have the wrong length for the suite.
    #[error("a secret key of {suite:?} has {expected} bytes, not {found}")]
    Length {
        /// The suite.
        suite: Suite,
        /// What it needs.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// The bytes are not a key pair.
    #[error("these bytes are not a key pair of {0:?}")]
    Invalid(Suite),
    /// This program was built without the suite.
    #[error("this program was built without {0:?}")]
    SuiteOff(Suite),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// A secret signing key. Its seeds are erased when it is dropped, and it prints as its suite only.
///
/// Signing with ML-DSA-65 and SLH-DSA is hedged: FIPS 204's `rnd` and FIPS 205's `opt_rand` come from the operating
/// system for each signature.
pub struct SecretKey {
    parts: Parts,
    public_key: Vec<u8>,
}

enum Parts {
    MlDsa65(MlDsa65),
    /// The Ed25519 half erases itself (`ZeroizeOnDrop`).
    Ed25519MlDsa65(Box<ed25519_dalek::SigningKey>, MlDsa65),
    /// The expanded secret key.
    #[cfg(feature = "legacy")]
    Dilithium3(Zeroizing<Vec<u8>>),
    SlhDsa(SlhDsa),
}

struct MlDsa65 {
    seed: Zeroizing<[u8; SEED_BYTES]>,
    /// aws-lc erases it when it frees it.
    pair: PqdsaKeyPair,
}

struct SlhDsa {
    seed: Zeroizing<[u8; SLH_DSA_SEED_BYTES]>,
    /// It erases itself (`ZeroizeOnDrop`).
    key: Box<slh_dsa::PrivateKey>,
}

impl SecretKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`SecretKeyError::Random`], or [`SecretKeyError::SuiteOff`] in a build without the suite.
    pub fn generate(suite: Suite) -> Result<SecretKey, SecretKeyError> {
        match suite {
            Suite::MlDsa65 => SecretKey::ml_dsa_65(&*random_seed()?),
            Suite::Ed25519MlDsa65 => SecretKey::ed25519_ml_dsa_65(&*random_seed()?, &*random_seed()?),
            Suite::Dilithium3 => generate_dilithium3(),
            Suite::SlhDsaSha2128s => Ok(SecretKey::slh_dsa_sha2_128s(&*random_seed()?)),
        }
    }

    /// The ML-DSA-65 key of a seed.
    ///
    /// # Errors
    /// [`SecretKeyError::Invalid`] if the key cannot be expanded.
    pub fn ml_dsa_65(seed: &[u8; SEED_BYTES]) -> Result<SecretKey, SecretKeyError> {
        let half = MlDsa65::expand(seed, Suite::MlDsa65)?;
        let public_key = half.pair.public_key().as_ref().to_vec();
        Ok(SecretKey { parts: Parts::MlDsa65(half), public_key })
    }

    /// The hybrid key of two seeds, which must be independent.
    ///
    /// # Errors
    /// [`SecretKeyError::Invalid`] if the key cannot be expanded.
    pub fn ed25519_ml_dsa_65(
        ed25519_seed: &[u8; SEED_BYTES],
        ml_dsa_seed: &[u8; SEED_BYTES],
    ) -> Result<SecretKey, SecretKeyError> {
        let first = Box::new(ed25519_dalek::SigningKey::from_bytes(ed25519_seed));
        let second = MlDsa65::expand(ml_dsa_seed, Suite::Ed25519MlDsa65)?;
        let mut public_key = first.verifying_key().to_bytes().to_vec();
        public_key.extend_from_slice(second.pair.public_key().as_ref());
        Ok(SecretKey { parts: Parts::Ed25519MlDsa65(first, second), public_key })
    }

    /// The SLH-DSA-SHA2-128s key of SK.seed ‖ SK.prf ‖ PK.seed (16 bytes each), which must be independent.
    pub fn slh_dsa_sha2_128s(seed: &[u8; SLH_DSA_SEED_BYTES]) -> SecretKey {
        let half = SlhDsa::expand(seed);
        let public_key = half.key.get_public_key().into_bytes().to_vec();
        SecretKey { parts: Parts::SlhDsa(half), public_key }
    }

    /// The key that [`SecretKey::to_secret_bytes`] wrote.
    ///
    /// # Errors
    /// [`SecretKeyError::Length`], [`SecretKeyError::Invalid`], or [`SecretKeyError::SuiteOff`] in a build without
    /// the suite.
    pub fn from_secret_bytes(suite: Suite, bytes: &[u8]) -> Result<SecretKey, SecretKeyError> {
        match suite {
            Suite::MlDsa65 => SecretKey::ml_dsa_65(seed_at(suite, bytes, 0, 1)?),
            Suite::Ed25519MlDsa65 => {
                SecretKey::ed25519_ml_dsa_65(seed_at(suite, bytes, 0, 2)?, seed_at(suite, bytes, 1, 2)?)
            }
            Suite::Dilithium3 => dilithium3_from_bytes(bytes),
            Suite::SlhDsaSha2128s => {
                let (expected, found) = (SLH_DSA_SEED_BYTES, bytes.len());
                let seed = bytes.try_into().map_err(|_| SecretKeyError::Length { suite, expected, found })?;
                Ok(SecretKey::slh_dsa_sha2_128s(seed))
            }
        }
    }

    /// The ML-DSA-65 key inside: of suite 0x01 the key itself, of suite 0x02 its second half; the others have none.
    /// Transport authenticates with it, for TLS knows ML-DSA-65 and no hybrid.
    ///
    /// # Errors
    /// [`SecretKeyError::Invalid`] if the key cannot be expanded a second time.
    pub fn ml_dsa_65_half(&self) -> Result<Option<SecretKey>, SecretKeyError> {
        match &self.parts {
            Parts::MlDsa65(half) | Parts::Ed25519MlDsa65(_, half) => {
                SecretKey::ml_dsa_65(&half.seed).map(Some)
            }
            #[cfg(feature = "legacy")]
            Parts::Dilithium3(_) => Ok(None),
            Parts::SlhDsa(_) => Ok(None),
        }
    }

    /// What is kept at rest: the seed (32 bytes), the Ed25519 and the ML-DSA-65 seed (64 bytes), SLH-DSA's three seeds
    /// (48 bytes), or Dilithium3's expanded secret key and public key (4,032 + 1,952 bytes).
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * SEED_BYTES));
        match &self.parts {
            Parts::MlDsa65(half) => bytes.extend_from_slice(&half.seed[..]),
            Parts::Ed25519MlDsa65(first, second) => {
                bytes.extend_from_slice(first.as_bytes());
                bytes.extend_from_slice(&second.seed[..]);
            }
            #[cfg(feature = "legacy")]
            Parts::Dilithium3(secret) => {
                // Sized once: growing would leave a copy behind that nobody erases.
                bytes = Zeroizing::new(Vec::with_capacity(secret.len() + self.public_key.len()));
                bytes.extend_from_slice(secret);
                bytes.extend_from_slice(&self.public_key);
            }
            Parts::SlhDsa(half) => bytes.extend_from_slice(&half.seed[..]),
        }
        bytes
    }
}

impl Signer for SecretKey {
    fn suite(&self) -> Suite {
        match &self.parts {
            Parts::MlDsa65(_) => Suite::MlDsa65,
            Parts::Ed25519MlDsa65(..) => Suite::Ed25519MlDsa65,
            #[cfg(feature = "legacy")]
            Parts::Dilithium3(_) => Suite::Dilithium3,
            Parts::SlhDsa(_) => Suite::SlhDsaSha2128s,
        }
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.parts {
            Parts::MlDsa65(half) => half.sign(message),
            Parts::Ed25519MlDsa65(first, second) => {
                use ed25519_dalek::Signer as _;
                let mut signature = first.try_sign(message).map_err(|_| SignError)?.to_bytes().to_vec();
                signature.extend_from_slice(&second.sign(message)?);
                Ok(signature)
            }
            #[cfg(feature = "legacy")]
            Parts::Dilithium3(secret) => dilithium3_sign(secret, message),
            Parts::SlhDsa(half) => half.sign(message),
        }
    }
}

impl core::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SecretKey({:?})", self.suite())
    }
}

impl MlDsa65 {
    fn expand(seed: &[u8; SEED_BYTES], suite: Suite) -> Result<MlDsa65, SecretKeyError> {
        let pair =
            PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, seed).map_err(|_| SecretKeyError::Invalid(suite))?;
        Ok(MlDsa65 { seed: Zeroizing::new(*seed), pair })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = vec![0; ML_DSA_65_SIGNING.signature_len()];
        let written = self.pair.sign(message, &mut signature).map_err(|_| SignError)?;
        if written == signature.len() { Ok(signature) } else { Err(SignError) }
    }
}

impl SlhDsa {
    fn expand(seed: &[u8; SLH_DSA_SEED_BYTES]) -> SlhDsa {
        let mut parts = Zeroizing::new([[0; slh_dsa::N]; 3]);
        parts.as_flattened_mut().copy_from_slice(seed);
        let [sk_seed, sk_prf, pk_seed] = &*parts;
        let (_, key) = slh_dsa::KG::keygen_from_seed(sk_seed, sk_prf, pk_seed);
        SlhDsa { seed: Zeroizing::new(*seed), key: Box::new(key) }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        // Hedged: opt_rand comes from the operating system.
        let signature = self.key.try_sign(message, b"", true).map_err(|_| SignError)?;
        Ok(signature.to_vec())
    }
}

fn random_seed<const N: usize>() -> Result<Zeroizing<[u8; N]>, RandomError> {
    let mut seed = Zeroizing::new([0; N]);
    fill_random(&mut seed[..])?;
    Ok(seed)
}

/// The seed at position `at` of `bytes`, which hold exactly `count` seeds.
fn seed_at(suite: Suite, bytes: &[u8], at: usize, count: usize) -> Result<&[u8; SEED_BYTES], SecretKeyError> {
    match bytes.as_chunks::<SEED_BYTES>() {
        (seeds, []) if seeds.len() == count => Ok(&seeds[at]),
        _ => Err(SecretKeyError::Length { suite, expected: count * SEED_BYTES, found: bytes.len() }),
    }
}

#[cfg(feature = "legacy")]
fn generate_dilithium3() -> Result<SecretKey, SecretKeyError> {
    use pqcrypto_traits::sign::{PublicKey as _, SecretKey as _};
    let (public, secret) = pqcrypto_dilithium::dilithium3::keypair();
    let secret = Zeroizing::new(secret.as_bytes().to_vec());
    Ok(SecretKey { parts: Parts::Dilithium3(secret), public_key: public.as_bytes().to_vec() })
}

#[cfg(feature = "legacy")]
fn dilithium3_from_bytes(bytes: &[u8]) -> Result<SecretKey, SecretKeyError> {
    use dsm_abi::VerifySignature as _;
    let suite = Suite::Dilithium3;
    let expected = DILITHIUM3_SECRET_BYTES + suite.public_key_bytes();
    if bytes.len() != expected {
        return Err(SecretKeyError::Length { suite, expected, found: bytes.len() });
    }
    let (secret, public_key) = bytes.split_at(DILITHIUM3_SECRET_BYTES);
    let secret = Zeroizing::new(secret.to_vec());
    // Nothing re-derives this public key, so the pair has to show that it fits.
    let probe = b"do these two halves belong together";
    let signature = dilithium3_sign(&secret, probe).map_err(|_| SecretKeyError::Invalid(suite))?;
    crate::Verifier::accepting_legacy()
        .verify_signature(suite, public_key, probe, &signature)
        .map_err(|_| SecretKeyError::Invalid(suite))?;
    Ok(SecretKey { parts: Parts::Dilithium3(secret), public_key: public_key.to_vec() })
}

#[cfg(feature = "legacy")]
fn dilithium3_sign(secret: &[u8], message: &[u8]) -> Result<Vec<u8>, SignError> {
    use pqcrypto_dilithium::dilithium3;
    use pqcrypto_traits::sign::{DetachedSignature as _, SecretKey as _};
    let secret = dilithium3::SecretKey::from_bytes(secret).map_err(|_| SignError)?;
    Ok(dilithium3::detached_sign(message, &secret).as_bytes().to_vec())
}

#[cfg(not(feature = "legacy"))]
fn generate_dilithium3() -> Result<SecretKey, SecretKeyError> {
    Err(SecretKeyError::SuiteOff(Suite::Dilithium3))
}

#[cfg(not(feature = "legacy"))]
fn dilithium3_from_bytes(_: &[u8]) -> Result<SecretKey, SecretKeyError> {
    Err(SecretKeyError::SuiteOff(Suite::Dilithium3))
}
