//! The key by which a node is known to others: ML-DSA-65, shown in TLS as a raw public key (RFC 7250).

use dsm_abi::{Digest, Suite};
use dsm_core::{hash, tag};
use dsm_crypto::{SecretKey, SecretKeyError, Signer as _};
use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::{CertifiedKey, SigningKey, public_key_to_spki};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;

/// The node that has this ML-DSA-65 key.
pub fn node_of(public_key: &[u8]) -> Digest {
    hash(tag::NODE, &[public_key])
}

/// Why there is no transport key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The suite has no ML-DSA-65 key inside.
    #[error("a key of {0:?} has no ML-DSA-65 half to authenticate with")]
    Suite(Suite),
    /// These bytes are no ML-DSA-65 public key.
    #[error("an ML-DSA-65 public key has 1952 bytes, not {0}")]
    Length(usize),
    /// Too many keys are pinned.
    #[error("more than {0} keys are pinned")]
    TooMany(usize),
    /// The secret key cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretKeyError),
}

/// A node's key for transport. It signs handshakes and nothing else; TLS prefixes what is signed with its own
/// context, which no signed message of ours begins with.
#[derive(Clone)]
pub struct TransportKey {
    secret: Arc<SecretKey>,
    node: Digest,
}

impl TransportKey {
    /// The ML-DSA-65 key of a node: a key of suite 0x01 itself, or that half of a hybrid key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn ml_dsa_65(key: &SecretKey) -> Result<TransportKey, KeyError> {
        let half = key.ml_dsa_65_half()?.ok_or(KeyError::Suite(key.suite()))?;
        let node = node_of(half.public_key());
        Ok(TransportKey { secret: Arc::new(half), node })
    }

    /// The node of this key.
    pub fn node(&self) -> Digest {
        self.node
    }

    /// The ML-DSA-65 public key, which the other end pins.
    pub fn public_key(&self) -> &[u8] {
        self.secret.public_key()
    }

    /// What TLS shows and signs with.
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        let spki = spki_of(self.public_key());
        let key = Arc::new(HandshakeKey(self.secret.clone()));
        Arc::new(CertifiedKey::new(vec![spki.to_vec().into()], key))
    }
}

impl std::fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TransportKey({})", self.node)
    }
}

fn spki_of(public_key: &[u8]) -> SubjectPublicKeyInfoDer<'static> {
    public_key_to_spki(&alg_id::ML_DSA_65, public_key)
}

/// The ML-DSA-65 key in a subject public key info: exactly the one encoding that there is, or nothing.
pub(crate) fn key_in_spki(spki: &[u8]) -> Option<&[u8]> {
    let start = spki.len().checked_sub(Suite::MlDsa65.public_key_bytes())?;
    let key = &spki[start..];
    (*spki_of(key) == *spki).then_some(key)
}

/// Signs handshakes with `dsm-crypto`, so the seed stays there.
#[derive(Debug)]
struct HandshakeKey(Arc<SecretKey>);

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let offered = offered.contains(&SignatureScheme::ML_DSA_65);
        offered.then(|| Box::new(HandshakeKey(self.0.clone())) as Box<dyn rustls::sign::Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(spki_of(self.0.public_key()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        // TLS 1.3 has no such number for ML-DSA; only the scheme counts.
        SignatureAlgorithm::Unknown(u8::MAX)
    }
}

impl rustls::sign::Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ML_DSA_65
    }
}
