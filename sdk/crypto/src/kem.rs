//! Key encapsulation: the keys to which payloads are sealed.

use crate::{RandomError, fill_random};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use zeroize::Zeroizing;

/// Bytes of an encapsulation key, equal for both mechanisms.
pub(crate) const KEM_KEY_BYTES: usize = 1184;
/// Bytes of a ciphertext, equal for both mechanisms.
pub(crate) const KEM_CIPHERTEXT_BYTES: usize = 1088;
/// Bytes of ML-KEM's seed d ‖ z (FIPS 203).
const SEED_BYTES: usize = 64;

/// A key encapsulation mechanism. The byte stands in every sealed payload and goes into its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kem {
    /// ML-KEM-768 (FIPS 203). The default.
    MlKem768 = 0x01,
    /// Kyber768 as `pqcrypto-kyber` has it, for payloads older than the standard. Its sizes equal ML-KEM-768's.
    Kyber768 = 0x10,
}

impl Kem {
    /// The mechanism with this byte.
    pub const fn from_byte(byte: u8) -> Option<Kem> {
        match byte {
            0x01 => Some(Kem::MlKem768),
            0x10 => Some(Kem::Kyber768),
            _ => None,
        }
    }

    /// The word for it in files.
    pub const fn word(self) -> &'static str {
        match self {
            Kem::MlKem768 => "ml-kem-768",
            Kem::Kyber768 => "kyber768",
        }
    }
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KemKeyError {
    /// The bytes have the wrong length.
    #[error("a key of {kem:?} has {expected} bytes, not {found}")]
    Length {
        /// The mechanism.
        kem: Kem,
        /// What it needs.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// The bytes are not a key.
    #[error("these bytes are not a key of {0:?}")]
    Invalid(Kem),
    /// This program was built without the mechanism.
    #[error("this program was built without {0:?}")]
    KemOff(Kem),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The public half: anybody can seal to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KemPublicKey {
    kem: Kem,
    bytes: Vec<u8>,
}

impl KemPublicKey {
    /// The key with these bytes. Whether they are a valid encoding shows when something is sealed to it.
    ///
    /// # Errors
    /// [`KemKeyError::Length`].
    pub fn new(kem: Kem, bytes: &[u8]) -> Result<KemPublicKey, KemKeyError> {
        check_length(kem, bytes, KEM_KEY_BYTES)?;
        Ok(KemPublicKey { kem, bytes: bytes.to_vec() })
    }

    /// The mechanism.
    pub fn kem(&self) -> Kem {
        self.kem
    }

    /// The raw encapsulation key, 1,184 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A fresh shared secret and the ciphertext that carries it.
    ///
    /// # Errors
    /// [`KemKeyError::Invalid`] if the key fails FIPS 203's modulus check, [`KemKeyError::KemOff`] in a build
    /// without the mechanism.
    pub(crate) fn encapsulate(&self) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), KemKeyError> {
        let invalid = KemKeyError::Invalid(self.kem);
        match self.kem {
            Kem::MlKem768 => {
                let key = EncapsulationKey::new(&ML_KEM_768, &self.bytes).map_err(|_| invalid)?;
                let (ciphertext, shared) = key.encapsulate().map_err(|_| invalid)?;
                let shared = <[u8; 32]>::try_from(shared.as_ref()).map_err(|_| invalid)?;
                Ok((ciphertext.as_ref().to_vec(), Zeroizing::new(shared)))
            }
            Kem::Kyber768 => kyber768_encapsulate(&self.bytes),
        }
    }
}

/// The secret half: its owner can open. It is erased when it is dropped, and prints as its mechanism only.
pub struct KemSecretKey {
    /// ML-KEM's seed d ‖ z, or Kyber's expanded key, which has no seed form.
    secret: Zeroizing<Vec<u8>>,
    /// Expanded from the seed; aws-lc erases it when it frees it. `None` for Kyber768.
    expanded: Option<DecapsulationKey>,
    public_key: KemPublicKey,
}

impl KemSecretKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KemKeyError::Random`], or [`KemKeyError::KemOff`] in a build without the mechanism.
    pub fn generate(kem: Kem) -> Result<KemSecretKey, KemKeyError> {
        match kem {
            Kem::MlKem768 => {
                let mut seed = Zeroizing::new([0; SEED_BYTES]);
                fill_random(&mut seed[..])?;
                KemSecretKey::ml_kem_768(&seed)
            }
            Kem::Kyber768 => kyber768_generate(),
        }
    }

    /// The ML-KEM-768 key of a seed d ‖ z. aws-lc-rs cannot start from a seed, so RustCrypto's `ml-kem` expands it.
    ///
    /// # Errors
    /// [`KemKeyError::Invalid`] if the key cannot be expanded.
    pub fn ml_kem_768(seed: &[u8; SEED_BYTES]) -> Result<KemSecretKey, KemKeyError> {
        let (expanded, public_key) = ml_kem_768_expand(seed);
        let expanded = DecapsulationKey::new(&ML_KEM_768, &expanded[..])
            .map_err(|_| KemKeyError::Invalid(Kem::MlKem768))?;
        Ok(KemSecretKey {
            secret: Zeroizing::new(seed.to_vec()),
            expanded: Some(expanded),
            public_key: KemPublicKey::new(Kem::MlKem768, &public_key)?,
        })
    }

    /// The key that [`KemSecretKey::to_secret_bytes`] wrote.
    ///
    /// # Errors
    /// [`KemKeyError::Length`], [`KemKeyError::Invalid`], or [`KemKeyError::KemOff`] in a build without the
    /// mechanism.
    pub fn from_secret_bytes(kem: Kem, bytes: &[u8]) -> Result<KemSecretKey, KemKeyError> {
        match kem {
            Kem::MlKem768 => match <&[u8; SEED_BYTES]>::try_from(bytes) {
                Ok(seed) => KemSecretKey::ml_kem_768(seed),
                Err(_) => Err(KemKeyError::Length { kem, expected: SEED_BYTES, found: bytes.len() }),
            },
            Kem::Kyber768 => kyber768_from_bytes(bytes),
        }
    }

    /// What is kept at rest: ML-KEM's seed (64 bytes) or Kyber's expanded key (2,400 bytes).
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.secret.clone()
    }

    /// The public half.
    pub fn public_key(&self) -> &KemPublicKey {
        &self.public_key
    }

    /// The shared secret in `ciphertext`. A ciphertext made for another key gives an unrelated secret (implicit
    /// rejection), so only what the secret opens can tell.
    ///
    /// # Errors
    /// [`KemKeyError`] if the ciphertext has the wrong length or the key is inconsistent.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<[u8; 32]>, KemKeyError> {
        let kem = self.public_key.kem;
        check_length(kem, ciphertext, KEM_CIPHERTEXT_BYTES)?;
        match &self.expanded {
            Some(key) => {
                let shared =
                    key.decapsulate(Ciphertext::from(ciphertext)).map_err(|_| KemKeyError::Invalid(kem))?;
                let shared = <[u8; 32]>::try_from(shared.as_ref()).map_err(|_| KemKeyError::Invalid(kem))?;
                Ok(Zeroizing::new(shared))
            }
            None => kyber768_decapsulate(&self.secret, ciphertext),
        }
    }
}

impl core::fmt::Debug for KemSecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KemSecretKey({:?})", self.public_key.kem)
    }
}

fn check_length(kem: Kem, bytes: &[u8], expected: usize) -> Result<(), KemKeyError> {
    if bytes.len() == expected {
        Ok(())
    } else {
        Err(KemKeyError::Length { kem, expected, found: bytes.len() })
    }
}

/// The expanded decapsulation key and the encapsulation key of a seed.
#[expect(deprecated, reason = "the expanded form is the only one that aws-lc-rs takes")]
fn ml_kem_768_expand(seed: &[u8; SEED_BYTES]) -> (Zeroizing<Vec<u8>>, Vec<u8>) {
    use ml_kem::{ExpandedKeyEncoding as _, kem::KeyExport as _};
    let key = ml_kem::ml_kem_768::DecapsulationKey::from_seed((*seed).into());
    let mut expanded = key.to_expanded_bytes();
    let copy = Zeroizing::new(expanded.to_vec());
    zeroize::Zeroize::zeroize(expanded.as_mut_slice());
    (copy, key.encapsulation_key().to_bytes().to_vec())
}

#[cfg(feature = "legacy")]
mod kyber {
    use super::{KEM_KEY_BYTES, Kem, KemKeyError, KemPublicKey, KemSecretKey, Zeroizing, check_length};
    use pqcrypto_kyber::kyber768;
    use pqcrypto_traits::kem::{Ciphertext as _, PublicKey as _, SecretKey as _, SharedSecret as _};

    const SECRET_BYTES: usize = 2400;
    /// The expanded key holds the encapsulation key after the 1,152 bytes of the secret vector.
    const PUBLIC_KEY_AT: usize = 1152;
    const INVALID: KemKeyError = KemKeyError::Invalid(Kem::Kyber768);

    pub(super) fn kyber768_generate() -> Result<KemSecretKey, KemKeyError> {
        let (_, secret) = kyber768::keypair();
        kyber768_from_bytes(secret.as_bytes())
    }

    pub(super) fn kyber768_from_bytes(bytes: &[u8]) -> Result<KemSecretKey, KemKeyError> {
        check_length(Kem::Kyber768, bytes, SECRET_BYTES)?;
        let public_key =
            KemPublicKey::new(Kem::Kyber768, &bytes[PUBLIC_KEY_AT..PUBLIC_KEY_AT + KEM_KEY_BYTES])?;
        let key = KemSecretKey { secret: Zeroizing::new(bytes.to_vec()), expanded: None, public_key };
        // The two halves have to show that they fit: implicit rejection gives two secrets if they do not.
        let (ciphertext, sent) = key.public_key.encapsulate()?;
        if key.decapsulate(&ciphertext)? == sent { Ok(key) } else { Err(INVALID) }
    }

    pub(super) fn kyber768_encapsulate(key: &[u8]) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), KemKeyError> {
        let key = kyber768::PublicKey::from_bytes(key).map_err(|_| INVALID)?;
        let (shared, ciphertext) = kyber768::encapsulate(&key);
        let shared = <[u8; 32]>::try_from(shared.as_bytes()).map_err(|_| INVALID)?;
        Ok((ciphertext.as_bytes().to_vec(), Zeroizing::new(shared)))
    }

    pub(super) fn kyber768_decapsulate(
        secret: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, KemKeyError> {
        let secret = kyber768::SecretKey::from_bytes(secret).map_err(|_| INVALID)?;
        let ciphertext = kyber768::Ciphertext::from_bytes(ciphertext).map_err(|_| INVALID)?;
        let shared = kyber768::decapsulate(&ciphertext, &secret);
        Ok(Zeroizing::new(<[u8; 32]>::try_from(shared.as_bytes()).map_err(|_| INVALID)?))
    }
}

#[cfg(not(feature = "legacy"))]
mod kyber {
    use super::{Kem, KemKeyError, KemSecretKey, Zeroizing};

    const OFF: KemKeyError = KemKeyError::KemOff(Kem::Kyber768);

    pub(super) fn kyber768_generate() -> Result<KemSecretKey, KemKeyError> {
        Err(OFF)
    }

    pub(super) fn kyber768_from_bytes(_: &[u8]) -> Result<KemSecretKey, KemKeyError> {
        Err(OFF)
    }

    pub(super) fn kyber768_encapsulate(_: &[u8]) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), KemKeyError> {
        Err(OFF)
    }

    pub(super) fn kyber768_decapsulate(_: &[u8], _: &[u8]) -> Result<Zeroizing<[u8; 32]>, KemKeyError> {
        Err(OFF)
    }
}

use kyber::{kyber768_decapsulate, kyber768_encapsulate, kyber768_from_bytes, kyber768_generate};

#[cfg(test)]
mod vectors;
