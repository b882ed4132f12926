//! A secret key at rest: a JSON file under a passphrase.
//!
//! ```json
//! { "v": 1, "algorithm": "ml-dsa-65", "public_key": "…hex…",
//!   "kdf":  { "name": "argon2id", "m_kib": 65536, "t": 3, "p": 4, "salt": "…16 bytes…" },
//!   "aead": { "name": "xchacha20poly1305", "nonce": "…24 bytes…" },
//!   "ct": "…encrypted seed and 16-byte tag…" }
//! ```
//!
//! Only the seed is encrypted; every other field is authenticated with it (as canonical bytes, so that spacing and
//! the order of fields do not matter). The key's id is left out: it follows from algorithm and public key.

use crate::{
    Kem, KemKeyError, KemSecretKey, RandomError, Secp256k1Error, Secp256k1Key, SecretKey, SecretKeyError,
    Signer as _, file, fill_random,
};
use borsh::BorshSerialize;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use dsm_abi::Suite;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const VERSION: u32 = 1;
const KDF_NAME: &str = "argon2id";
const AEAD_NAME: &str = "xchacha20poly1305";
/// Bytes of the longest file that is read: Dilithium3's expanded key in hex, and room.
const FILE_BYTES_MAX: u64 = 32 * 1024;

/// What it costs to try one passphrase (Argon2id, RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl KdfCost {
    /// RFC 9106's second recommended option: 64 MiB, 3 passes, 4 lanes; about 0.2 s.
    pub const DEFAULT: KdfCost = KdfCost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// Next to nothing, for tests and for demonstration keys that guard no value.
    pub const DEMONSTRATION: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };
    /// The most that a file may ask of its reader: four times the default memory, about 3 s.
    pub const MAX: KdfCost = KdfCost { memory_kib: 256 * 1024, passes: 10, lanes: 16 };
}

impl Default for KdfCost {
    fn default() -> KdfCost {
        KdfCost::DEFAULT
    }
}

/// Why a key was not written, read or unlocked.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// Reading or writing failed; [`io::ErrorKind::AlreadyExists`] if a key file is there already.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody besides the owner can read or write the file.
    #[error("{path} is open to group or others (mode bits {bits:03o}): chmod 600")]
    Shared {
        /// The file.
        path: PathBuf,
        /// The offending mode bits.
        bits: u32,
    },
    /// Not a key file.
    #[error("not a key file: {0}")]
    Malformed(String),
    /// A version, algorithm, KDF or AEAD that this program does not know.
    #[error("unknown {field} {found:?} in a key file")]
    Unknown {
        /// The field.
        field: &'static str,
        /// What stands in it.
        found: String,
    },
    /// The KDF's cost is outside what is computed for a file ([`KdfCost::MAX`]).
    #[error("the key file asks for {0:?}, which is out of bounds")]
    CostOutOfBounds(KdfCost),
    /// The passphrase is wrong or the file was altered; which of these cannot be told.
    #[error("wrong passphrase, or the key file was altered")]
    Refused,
    /// The secret belongs to another public key than the file names.
    #[error("the secret does not belong to the public key in the file")]
    OtherPublicKey,
    /// A key file of another kind: say, signing where encapsulation was wanted.
    #[error("a key file of another kind: {0}")]
    OtherKind(&'static str),
    /// The secret is not a signing key.
    #[error(transparent)]
    SecretKey(#[from] SecretKeyError),
    /// The secret is not a KEM key.
    #[error(transparent)]
    KemKey(#[from] KemKeyError),
    /// The secret is not a secp256k1 key.
    #[error(transparent)]
    Secp256k1(#[from] Secp256k1Error),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What a key file's secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Signature(Suite),
    Kem(Kem),
    Secp256k1,
}

/// A locked key. Until it is unlocked, what it says of itself is a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keystore {
    algorithm: Algorithm,
    public_key: Vec<u8>,
    cost: KdfCost,
    salt: [u8; 16],
    nonce: [u8; 24],
    ciphertext: Vec<u8>,
}

/// Every field but the ciphertext, as the AEAD authenticates them.
#[derive(BorshSerialize)]
struct AssociatedData<'a> {
    version: u32,
    algorithm: &'a str,
    public_key: &'a [u8],
    kdf: &'a str,
    cost: [u32; 3],
    salt: [u8; 16],
    aead: &'a str,
    nonce: [u8; 24],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Face {
    v: u32,
    algorithm: String,
    public_key: String,
    kdf: KdfFace,
    aead: AeadFace,
    ct: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KdfFace {
    name: String,
    m_kib: u32,
    t: u32,
    p: u32,
    salt: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AeadFace {
    name: String,
    nonce: String,
}

impl Keystore {
    /// Locks a signing key under a passphrase.
    ///
    /// # Errors
    /// [`KeystoreError::CostOutOfBounds`], [`KeystoreError::Random`].
    pub fn lock(secret: &SecretKey, passphrase: &[u8], cost: KdfCost) -> Result<Keystore, KeystoreError> {
        let algorithm = Algorithm::Signature(secret.suite());
        encrypt(algorithm, secret.public_key(), &secret.to_secret_bytes(), passphrase, cost)
    }

    /// Locks a KEM key under a passphrase.
    ///
    /// # Errors
    /// As [`Keystore::lock`].
    pub fn lock_kem(
        secret: &KemSecretKey,
        passphrase: &[u8],
        cost: KdfCost,
    ) -> Result<Keystore, KeystoreError> {
        let public_key = secret.public_key();
        let algorithm = Algorithm::Kem(public_key.kem());
        encrypt(algorithm, public_key.as_bytes(), &secret.to_secret_bytes(), passphrase, cost)
    }

    /// Locks a secp256k1 key under a passphrase.
    ///
    /// # Errors
    /// As [`Keystore::lock`].
    pub fn lock_secp256k1(
        secret: &Secp256k1Key,
        passphrase: &[u8],
        cost: KdfCost,
    ) -> Result<Keystore, KeystoreError> {
        let public_key = secret.public_key();
        encrypt(Algorithm::Secp256k1, &public_key, &secret.to_secret_bytes(), passphrase, cost)
    }

    /// The signing key, after its public key has been derived again and compared.
    ///
    /// # Errors
    /// [`KeystoreError::Refused`] for a wrong passphrase or an altered file, [`KeystoreError::OtherPublicKey`],
    /// [`KeystoreError::OtherKind`], [`KeystoreError::SecretKey`].
    pub fn unlock(&self, passphrase: &[u8]) -> Result<SecretKey, KeystoreError> {
        let Algorithm::Signature(suite) = self.algorithm else {
            return Err(KeystoreError::OtherKind(self.algorithm.word()));
        };
        let secret = SecretKey::from_secret_bytes(suite, &self.decrypt(passphrase)?)?;
        if secret.public_key() == self.public_key { Ok(secret) } else { Err(KeystoreError::OtherPublicKey) }
    }

    /// The KEM key, after its public key has been derived again and compared.
    ///
    /// # Errors
    /// As [`Keystore::unlock`].
    pub fn unlock_kem(&self, passphrase: &[u8]) -> Result<KemSecretKey, KeystoreError> {
        let Algorithm::Kem(kem) = self.algorithm else {
            return Err(KeystoreError::OtherKind(self.algorithm.word()));
        };
        let secret = KemSecretKey::from_secret_bytes(kem, &self.decrypt(passphrase)?)?;
        let same = secret.public_key().as_bytes() == self.public_key;
        if same { Ok(secret) } else { Err(KeystoreError::OtherPublicKey) }
    }

    /// The secp256k1 key, after its public key has been derived again and compared.
    ///
    /// # Errors
    /// As [`Keystore::unlock`].
    pub fn unlock_secp256k1(&self, passphrase: &[u8]) -> Result<Secp256k1Key, KeystoreError> {
        if self.algorithm != Algorithm::Secp256k1 {
            return Err(KeystoreError::OtherKind(self.algorithm.word()));
        }
        let secret = Secp256k1Key::from_secret_bytes(&self.decrypt(passphrase)?)?;
        let same = secret.public_key()[..] == self.public_key[..];
        if same { Ok(secret) } else { Err(KeystoreError::OtherPublicKey) }
    }

    /// The suite that the file claims; `None` for a KEM or secp256k1 key.
    pub fn suite(&self) -> Option<Suite> {
        match self.algorithm {
            Algorithm::Signature(suite) => Some(suite),
            Algorithm::Kem(_) | Algorithm::Secp256k1 => None,
        }
    }

    /// The public key that the file claims.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Writes the file, mode 0600, durably. A file that is there is never replaced.
    ///
    /// # Errors
    /// [`KeystoreError::Io`].
    pub fn create(&self, path: &Path) -> Result<(), KeystoreError> {
        file::create(path, self.to_json().as_bytes()).map_err(|source| at(path, source))
    }

    /// Reads a file that only its owner can read.
    ///
    /// # Errors
    /// [`KeystoreError::Io`], [`KeystoreError::Shared`], and as [`Keystore::from_json`].
    pub fn read(path: &Path) -> Result<Keystore, KeystoreError> {
        let file = File::open(path).map_err(|source| at(path, source))?;
        let bits = file::shared_mode(&file).map_err(|source| at(path, source))?;
        if bits != 0 {
            return Err(KeystoreError::Shared { path: path.to_path_buf(), bits });
        }
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(|source| at(path, source))?;
        Keystore::from_json(&text)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        let face = Face {
            v: VERSION,
            algorithm: self.algorithm.word().to_owned(),
            public_key: hex::encode(&self.public_key),
            kdf: KdfFace {
                name: KDF_NAME.to_owned(),
                m_kib: self.cost.memory_kib,
                t: self.cost.passes,
                p: self.cost.lanes,
                salt: hex::encode(self.salt),
            },
            aead: AeadFace { name: AEAD_NAME.to_owned(), nonce: hex::encode(self.nonce) },
            ct: hex::encode(&self.ciphertext),
        };
        let mut text = serde_json::to_string_pretty(&face).expect("strings and numbers always serialize");
        text.push('\n');
        text
    }

    /// The locked key in a file's text. The KDF's cost is bounded here, before anything is computed.
    ///
    /// # Errors
    /// [`KeystoreError::Malformed`], [`KeystoreError::Unknown`], [`KeystoreError::CostOutOfBounds`].
    pub fn from_json(text: &[u8]) -> Result<Keystore, KeystoreError> {
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(KeystoreError::Malformed(format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        let face: Face =
            serde_json::from_slice(text).map_err(|error| KeystoreError::Malformed(error.to_string()))?;
        if face.v != VERSION {
            return Err(KeystoreError::Unknown { field: "version", found: face.v.to_string() });
        }
        expect_name("kdf", face.kdf.name, KDF_NAME)?;
        expect_name("aead", face.aead.name, AEAD_NAME)?;
        let cost = KdfCost { memory_kib: face.kdf.m_kib, passes: face.kdf.t, lanes: face.kdf.p };
        argon2_params(cost)?;
        Ok(Keystore {
            algorithm: Algorithm::from_word(face.algorithm)?,
            public_key: from_hex("public_key", &face.public_key)?,
            cost,
            salt: array_from_hex("salt", &face.kdf.salt)?,
            nonce: array_from_hex("nonce", &face.aead.nonce)?,
            ciphertext: from_hex("ct", &face.ct)?,
        })
    }

    fn decrypt(&self, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let cipher = cipher(passphrase, &self.salt, self.cost)?;
        let payload = Payload { msg: &self.ciphertext, aad: &self.associated_data() };
        let secret =
            cipher.decrypt(&XNonce::from(self.nonce), payload).map_err(|_| KeystoreError::Refused)?;
        Ok(Zeroizing::new(secret))
    }

    fn associated_data(&self) -> Vec<u8> {
        dsm_abi::encode(&AssociatedData {
            version: VERSION,
            algorithm: self.algorithm.word(),
            public_key: &self.public_key,
            kdf: KDF_NAME,
            cost: [self.cost.memory_kib, self.cost.passes, self.cost.lanes],
            salt: self.salt,
            aead: AEAD_NAME,
            nonce: self.nonce,
        })
    }
}

impl Algorithm {
    const ALL: [Algorithm; 7] = [
        Algorithm::Signature(Suite::MlDsa65),
        Algorithm::Signature(Suite::Ed25519MlDsa65),
        Algorithm::Signature(Suite::Dilithium3),
        Algorithm::Signature(Suite::SlhDsaSha2128s),
        Algorithm::Kem(Kem::MlKem768),
        Algorithm::Kem(Kem::Kyber768),
        Algorithm::Secp256k1,
    ];

    const fn word(self) -> &'static str {
        match self {
            Algorithm::Signature(Suite::MlDsa65) => "ml-dsa-65",
            Algorithm::Signature(Suite::Ed25519MlDsa65) => "ed25519+ml-dsa-65",
            Algorithm::Signature(Suite::Dilithium3) => "dilithium3",
            Algorithm::Signature(Suite::SlhDsaSha2128s) => "slh-dsa-sha2-128s",
            Algorithm::Kem(kem) => kem.word(),
            Algorithm::Secp256k1 => "secp256k1",
        }
    }

    fn from_word(word: String) -> Result<Algorithm, KeystoreError> {
        let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.word() == word);
        known.ok_or(KeystoreError::Unknown { field: "algorithm", found: word })
    }
}

fn encrypt(
    algorithm: Algorithm,
    public_key: &[u8],
    secret: &[u8],
    passphrase: &[u8],
    cost: KdfCost,
) -> Result<Keystore, KeystoreError> {
    let (mut salt, mut nonce) = ([0; 16], [0; 24]);
    fill_random(&mut salt)?;
    fill_random(&mut nonce)?;
    let public_key = public_key.to_vec();
    let mut keystore = Keystore { algorithm, public_key, cost, salt, nonce, ciphertext: Vec::new() };
    let payload = Payload { msg: secret, aad: &keystore.associated_data() };
    keystore.ciphertext = cipher(passphrase, &salt, cost)?
        .encrypt(&XNonce::from(nonce), payload)
        .expect("a secret is far shorter than the cipher's limit of 256 GiB");
    Ok(keystore)
}

fn cipher(passphrase: &[u8], salt: &[u8], cost: KdfCost) -> Result<XChaCha20Poly1305, KeystoreError> {
    let params = argon2_params(cost)?;
    let mut key = Zeroizing::new([0; 32]);
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut key[..])
        .map_err(|_| KeystoreError::Refused)?;
    Ok(XChaCha20Poly1305::new_from_slice(&key[..]).expect("32 bytes, as declared above"))
}

fn argon2_params(cost: KdfCost) -> Result<argon2::Params, KeystoreError> {
    let max = KdfCost::MAX;
    if cost.memory_kib > max.memory_kib || cost.passes > max.passes || cost.lanes > max.lanes {
        return Err(KeystoreError::CostOutOfBounds(cost));
    }
    argon2::Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| KeystoreError::CostOutOfBounds(cost))
}

fn expect_name(field: &'static str, found: String, name: &str) -> Result<(), KeystoreError> {
    if found == name { Ok(()) } else { Err(KeystoreError::Unknown { field, found }) }
}

fn from_hex(field: &str, text: &str) -> Result<Vec<u8>, KeystoreError> {
    hex::decode(text).map_err(|error| KeystoreError::Malformed(format!("{field}: {error}")))
}

fn array_from_hex<const N: usize>(field: &str, text: &str) -> Result<[u8; N], KeystoreError> {
    let bytes = from_hex(field, text)?;
    bytes.try_into().map_err(|_| KeystoreError::Malformed(format!("{field}: not {N} bytes")))
}

fn at(path: &Path, source: io::Error) -> KeystoreError {
    KeystoreError::Io { path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const COST: KdfCost = KdfCost::DEMONSTRATION;

    fn suites() -> Vec<Suite> {
        let mut suites = vec![Suite::MlDsa65, Suite::Ed25519MlDsa65, Suite::SlhDsaSha2128s];
        if cfg!(feature = "legacy") {
            suites.push(Suite::Dilithium3);
        }
        suites
    }

    #[test]
    fn a_key_survives_the_file_and_only_its_passphrase_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        for suite in suites() {
            let path = folder.path().join(format!("{suite:?}.key"));
            let secret = SecretKey::generate(suite).unwrap();
            Keystore::lock(&secret, b"correct horse", COST).unwrap().create(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let keystore = Keystore::read(&path).unwrap();
            assert_eq!(keystore.suite(), Some(suite));
            assert_eq!(keystore.public_key(), secret.public_key());
            let again = keystore.unlock(b"correct horse").unwrap();
            assert_eq!(again.to_secret_bytes(), secret.to_secret_bytes());
            assert!(matches!(keystore.unlock(b"correct horsf"), Err(KeystoreError::Refused)));
            assert!(matches!(keystore.unlock(b""), Err(KeystoreError::Refused)));
            assert!(matches!(keystore.unlock_kem(b"correct horse"), Err(KeystoreError::OtherKind(_))));
        }
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), suites().len(), "no temporary file is left: {left:?}");
    }

    #[test]
    fn a_kem_key_survives_the_file() {
        for kem in [Kem::MlKem768, Kem::Kyber768].into_iter().take(1 + usize::from(cfg!(feature = "legacy")))
        {
            let secret = KemSecretKey::generate(kem).unwrap();
            let text = Keystore::lock_kem(&secret, b"pass", COST).unwrap().to_json();
            let keystore = Keystore::from_json(text.as_bytes()).unwrap();
            assert_eq!(keystore.suite(), None);
            let again = keystore.unlock_kem(b"pass").unwrap();
            assert_eq!(again.public_key(), secret.public_key());
            assert!(matches!(keystore.unlock_kem(b"other"), Err(KeystoreError::Refused)));
            assert!(matches!(keystore.unlock(b"pass"), Err(KeystoreError::OtherKind(_))));
        }
    }

    #[test]
    fn a_secp256k1_key_survives_the_file() {
        let secret = Secp256k1Key::generate().unwrap();
        let keystore = Keystore::lock_secp256k1(&secret, b"pass", COST).unwrap();
        let read = Keystore::from_json(keystore.to_json().as_bytes()).unwrap();
        assert_eq!((read.suite(), read.public_key()), (None, &secret.public_key()[..]));
        let again = read.unlock_secp256k1(b"pass").unwrap();
        assert_eq!((again.address(), again.to_secret_bytes()), (secret.address(), secret.to_secret_bytes()));
        assert!(matches!(read.unlock_secp256k1(b"other"), Err(KeystoreError::Refused)));
        assert!(matches!(read.unlock(b"pass"), Err(KeystoreError::OtherKind(_))));
        assert!(matches!(read.unlock_kem(b"pass"), Err(KeystoreError::OtherKind(_))));

        let other = Secp256k1Key::generate().unwrap().public_key();
        let forged = encrypt(Algorithm::Secp256k1, &other, &secret.to_secret_bytes(), b"pass", COST).unwrap();
        assert!(matches!(forged.unlock_secp256k1(b"pass"), Err(KeystoreError::OtherPublicKey)));
        let zero = encrypt(Algorithm::Secp256k1, &other, &[0; 32], b"pass", COST).unwrap();
        let refused = zero.unlock_secp256k1(b"pass");
        assert!(matches!(refused, Err(KeystoreError::Secp256k1(Secp256k1Error::Invalid))));
    }

    #[test]
    fn the_default_cost_is_that_of_the_design() {
        let secret = SecretKey::ml_dsa_65(&[1; 32]).unwrap();
        let keystore = Keystore::lock(&secret, b"pass", KdfCost::DEFAULT).unwrap();
        let face: serde_json::Value = serde_json::from_str(&keystore.to_json()).unwrap();
        assert_eq!(
            (&face["kdf"]["m_kib"], &face["kdf"]["t"], &face["kdf"]["p"]),
            (&65536.into(), &3.into(), &4.into())
        );
        keystore.unlock(b"pass").unwrap();
    }

    #[test]
    fn a_file_is_never_replaced_and_never_read_when_others_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let keystore = Keystore::lock(&SecretKey::ml_dsa_65(&[1; 32]).unwrap(), b"pass", COST).unwrap();
        keystore.create(&path).unwrap();
        assert!(matches!(
            keystore.create(&path),
            Err(KeystoreError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists
        ));
        for mode in [0o640, 0o604, 0o620, 0o610, 0o644, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(Keystore::read(&path), Err(KeystoreError::Shared { .. })), "mode {mode:o}");
        }
        for mode in [0o600, 0o400] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Keystore::read(&path).unwrap();
        }
    }

    #[test]
    fn every_field_is_authenticated() {
        let secret = SecretKey::ml_dsa_65(&[1; 32]).unwrap();
        let other = SecretKey::ml_dsa_65(&[2; 32]).unwrap();
        let keystore = Keystore::lock(&secret, b"pass", COST).unwrap();
        let flip = |bytes: &[u8]| {
            let mut flipped = bytes.to_vec();
            flipped[0] ^= 1;
            flipped
        };
        let altered = [
            Keystore { algorithm: Algorithm::Signature(Suite::Ed25519MlDsa65), ..keystore.clone() },
            Keystore { algorithm: Algorithm::Signature(Suite::Dilithium3), ..keystore.clone() },
            Keystore { public_key: other.public_key().to_vec(), ..keystore.clone() },
            Keystore { cost: KdfCost { memory_kib: 128, ..COST }, ..keystore.clone() },
            Keystore { cost: KdfCost { passes: 2, ..COST }, ..keystore.clone() },
            Keystore { salt: flip(&keystore.salt).try_into().unwrap(), ..keystore.clone() },
            Keystore { nonce: flip(&keystore.nonce).try_into().unwrap(), ..keystore.clone() },
            Keystore { ciphertext: flip(&keystore.ciphertext), ..keystore.clone() },
            Keystore { ciphertext: Vec::new(), ..keystore.clone() },
        ];
        for altered in altered {
            let read = Keystore::from_json(altered.to_json().as_bytes()).unwrap();
            assert!(matches!(read.unlock(b"pass"), Err(KeystoreError::Refused)), "{altered:?}");
        }
        // Even with the passphrase, a secret cannot pass under another public key.
        let forged =
            encrypt(keystore.algorithm, other.public_key(), &secret.to_secret_bytes(), b"pass", COST);
        assert!(matches!(forged.unwrap().unlock(b"pass"), Err(KeystoreError::OtherPublicKey)));
    }

    #[test]
    fn a_file_cannot_make_its_reader_work_or_guess() {
        let keystore = Keystore::lock(&SecretKey::ml_dsa_65(&[1; 32]).unwrap(), b"pass", COST).unwrap();
        let text = keystore.to_json();
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Keystore::from_json(text.replacen(from, to, 1).as_bytes()).unwrap_err()
        };
        for (from, to) in [
            ("\"m_kib\": 64", "\"m_kib\": 4294967295"),
            ("\"m_kib\": 64", "\"m_kib\": 262145"),
            ("\"m_kib\": 64", "\"m_kib\": 0"),
            ("\"t\": 1", "\"t\": 11"),
            ("\"t\": 1", "\"t\": 0"),
            ("\"p\": 1", "\"p\": 17"),
            ("\"p\": 1", "\"p\": 0"),
        ] {
            assert!(matches!(refused(from, to), KeystoreError::CostOutOfBounds(_)), "{to}");
        }
        for (from, to) in [
            ("\"v\": 1", "\"v\": 2"),
            ("argon2id", "argon2i"),
            ("xchacha20poly1305", "chacha20poly1305"),
            ("ml-dsa-65", "ml-dsa-87"),
        ] {
            assert!(matches!(refused(from, to), KeystoreError::Unknown { .. }), "{to}");
        }
        for (from, to) in [
            ("\"v\": 1", "\"v\": 1, \"v\": 1"),
            ("\"v\": 1", "\"v\": 1, \"hint\": \"x\""),
            ("\"salt\": \"", "\"salt\": \"00"),
            ("\"ct\": \"", "\"ct\": \"zz"),
            ("{", "{{"),
        ] {
            assert!(matches!(refused(from, to), KeystoreError::Malformed(_)), "{to}");
        }
        assert!(matches!(Keystore::from_json(&vec![b' '; 40_000]), Err(KeystoreError::Malformed(_))));
    }
}
