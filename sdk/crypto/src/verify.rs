//! Verification of signatures by suite.

use aws_lc_rs::signature::{ML_DSA_65, UnparsedPublicKey};
use dsm_abi::{SignatureError, Suite, VerifySignature};

/// Bytes of an Ed25519 public key.
const ED25519_KEY_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
const ED25519_SIGNATURE_BYTES: usize = 64;

/// Verifies the signatures of every suite that this node accepts. It holds no keys and costs nothing to copy:
/// parsing an ML-DSA-65 key is 0.2 µs of the 35 µs of a verification, so there is no cache of parsed keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verifier {
    legacy: bool,
}

impl Verifier {
    /// Accepts the standard suites; [`Suite::Dilithium3`] is off.
    pub const fn new() -> Verifier {
        Verifier { legacy: false }
    }

    /// Accepts [`Suite::Dilithium3`] besides, for keys older than the standard.
    #[cfg(feature = "legacy")]
    pub const fn accepting_legacy() -> Verifier {
        Verifier { legacy: true }
    }

    /// Whether signatures of `suite` are looked at.
    pub const fn accepts(&self, suite: Suite) -> bool {
        match suite {
            Suite::MlDsa65 | Suite::Ed25519MlDsa65 | Suite::SlhDsaSha2128s => true,
            Suite::Dilithium3 => self.legacy,
        }
    }
}

impl VerifySignature for Verifier {
    fn digest(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        crate::hash_guest(algorithm, bytes)
    }

    fn recover(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<[u8; 20]> {
        crate::recover_address(digest, signature)
    }

    fn verify_signature(
        &self,
        suite: Suite,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if !self.accepts(suite) {
            return Err(SignatureError::SuiteOff);
        }
        if public_key.len() != suite.public_key_bytes() {
            return Err(SignatureError::BadKey);
        }
        if signature.len() != suite.signature_bytes() {
            return Err(SignatureError::BadSignature);
        }
        match suite {
            Suite::MlDsa65 => ml_dsa_65(public_key, message, signature),
            Suite::Ed25519MlDsa65 => {
                let (ed25519_key, ml_dsa_key) = public_key.split_at(ED25519_KEY_BYTES);
                let (ed25519_signature, ml_dsa_signature) = signature.split_at(ED25519_SIGNATURE_BYTES);
                ed25519(ed25519_key, message, ed25519_signature)?;
                ml_dsa_65(ml_dsa_key, message, ml_dsa_signature)
            }
            Suite::Dilithium3 => dilithium3(public_key, message, signature),
            Suite::SlhDsaSha2128s => slh_dsa_sha2_128s(public_key, message, signature),
        }
    }
}

/// ML-DSA.Verify (FIPS 204 algorithm 3) with an empty context.
pub(crate) fn ml_dsa_65(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    // aws-lc-rs takes a raw key or an X.509 one; the length keeps the second out.
    if key.len() != Suite::MlDsa65.public_key_bytes() {
        return Err(SignatureError::BadKey);
    }
    UnparsedPublicKey::new(&ML_DSA_65, key)
        .verify(message, signature)
        .map_err(|_| SignatureError::BadSignature)
}

/// SLH-DSA.Verify (FIPS 205 algorithm 24) with an empty context. Each 32 bytes are a public key, and each 7,856 bytes
/// a signature: nothing in either can be malformed but the length.
fn slh_dsa_sha2_128s(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    use fips205::slh_dsa_sha2_128s::{PK_LEN, PublicKey, SIG_LEN};
    use fips205::traits::{SerDes as _, Verifier as _};
    let key: [u8; PK_LEN] = key.try_into().map_err(|_| SignatureError::BadKey)?;
    let key = PublicKey::try_from_bytes(key).map_err(|_| SignatureError::BadKey)?;
    let signature: &[u8; SIG_LEN] = signature.try_into().map_err(|_| SignatureError::BadSignature)?;
    if key.verify(message, signature, b"") { Ok(()) } else { Err(SignatureError::BadSignature) }
}

/// Ed25519 under one rule for ever: `verify_strict` (no point of small order, cofactorless equation, s < L) and,
/// besides, a canonical encoding of the key (RFC 8032 section 5.1.3), which `verify_strict` leaves open.
pub(crate) fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let key: &[u8; ED25519_KEY_BYTES] = key.try_into().map_err(|_| SignatureError::BadKey)?;
    if !is_canonical_y(key) {
        return Err(SignatureError::BadKey);
    }
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| SignatureError::BadKey)?;
    let signature: &[u8; ED25519_SIGNATURE_BYTES] =
        signature.try_into().map_err(|_| SignatureError::BadSignature)?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
        .map_err(|_| SignatureError::BadSignature)
}

/// Whether the y coordinate, without the sign bit, is less than p = 2^255 − 19.
fn is_canonical_y(encoded: &[u8; 32]) -> bool {
    let high = encoded[31] & 0x7f;
    !(encoded[0] >= 0xed && encoded[1..31].iter().all(|byte| *byte == 0xff) && high == 0x7f)
}

/// Only `Verifier::accepting_legacy` leads here. The crate is built without its `avx2` feature, whose code accepts
/// invalid signatures; a test over the resolved features keeps it so.
#[cfg(feature = "legacy")]
fn dilithium3(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    use pqcrypto_dilithium::dilithium3;
    use pqcrypto_traits::sign::{DetachedSignature as _, PublicKey as _};
    let key = dilithium3::PublicKey::from_bytes(key).map_err(|_| SignatureError::BadKey)?;
    let signature =
        dilithium3::DetachedSignature::from_bytes(signature).map_err(|_| SignatureError::BadSignature)?;
    dilithium3::verify_detached_signature(&signature, message, &key).map_err(|_| SignatureError::BadSignature)
}

#[cfg(not(feature = "legacy"))]
fn dilithium3(_: &[u8], _: &[u8], _: &[u8]) -> Result<(), SignatureError> {
    Err(SignatureError::SuiteOff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_whose_y_is_not_reduced_is_refused() {
        // p + 3 names the same point as 3, and that point is not of small order: strict verification alone would
        // let one key have two encodings.
        let mut reduced = [0; 32];
        reduced[0] = 3;
        let mut unreduced = [0xff; 32];
        (unreduced[0], unreduced[31]) = (0xf0, 0x7f);
        let parse = |bytes: &[u8; 32]| ed25519_dalek::VerifyingKey::from_bytes(bytes).unwrap();
        assert_eq!(parse(&reduced).to_edwards(), parse(&unreduced).to_edwards());
        assert_eq!(ed25519(&reduced, b"", &[0; 64]), Err(SignatureError::BadSignature));
        assert_eq!(ed25519(&unreduced, b"", &[0; 64]), Err(SignatureError::BadKey));
        assert!(is_canonical_y(&{
            let mut largest = [0xff; 32];
            (largest[0], largest[31]) = (0xec, 0xff);
            largest
        }));
    }
}
