//! Sealed payloads: bytes that only the owner of one KEM key can read.
//!
//! ```text
//! sealed = version (1) ‖ KEM byte ‖ KEM ciphertext (1,088) ‖ XChaCha20-Poly1305 ciphertext and tag (n + 16)
//! header = version ‖ KEM byte ‖ recipient's key (1,184) ‖ KEM ciphertext ‖ length of context (u32 LE) ‖ context
//! key (32) ‖ nonce (24) = BLAKE3 derive_key("DSM 2026-11 sealed payload v1", header ‖ shared secret)
//! associated data = header
//! ```
//!
//! There is one encoding of each payload and every byte of it is authenticated. The nonce is derived, because each
//! encapsulation gives a fresh key. A sealed payload says nothing of who sealed it: sign what must have an author.

use crate::kem::{KEM_CIPHERTEXT_BYTES, Kem, KemKeyError, KemPublicKey, KemSecretKey};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 2;
const TAG_BYTES: usize = 16;
const KEY_CONTEXT: &str = "DSM 2026-11 sealed payload v1";

/// Bytes that sealing adds to a payload.
pub const SEALED_OVERHEAD_BYTES: usize = HEAD_BYTES + KEM_CIPHERTEXT_BYTES + TAG_BYTES;

/// Bytes of the longest payload: a stored blob of 4 MiB.
pub const SEALED_PLAINTEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a payload was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The recipient's key is unusable.
    #[error(transparent)]
    Key(#[from] KemKeyError),
    /// The payload is longer than [`SEALED_PLAINTEXT_BYTES_MAX`].
    #[error("{found} bytes to seal where at most {SEALED_PLAINTEXT_BYTES_MAX} are allowed")]
    TooLong {
        /// The payload's bytes.
        found: usize,
    },
}

/// Why a sealed payload was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, too long, an unknown version or an unknown KEM byte.
    #[error("not a sealed payload")]
    Malformed,
    /// Sealed under another mechanism than this key's.
    #[error("sealed with {found:?}, but the key is of {expected:?}")]
    OtherKem {
        /// The key's mechanism.
        expected: Kem,
        /// The payload's.
        found: Kem,
    },
    /// Another key, another context, or a byte was changed; which of these cannot be told.
    #[error("not sealed to this key in this context, or altered")]
    Refused,
}

/// Seals `plaintext` to `recipient`. The same `context` (what the payload belongs to; it is not secret and not
/// carried) must be given to open it.
///
/// # Errors
/// [`SealError`].
pub fn seal(recipient: &KemPublicKey, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    if plaintext.len() > SEALED_PLAINTEXT_BYTES_MAX {
        return Err(SealError::TooLong { found: plaintext.len() });
    }
    let (kem_ciphertext, shared) = recipient.encapsulate()?;
    let header = header(recipient, &kem_ciphertext, context);
    let (cipher, nonce) = cipher(&header, &shared);
    let body = cipher
        .encrypt(&nonce, Payload { msg: plaintext, aad: &header })
        .map_err(|_| SealError::TooLong { found: plaintext.len() })?;
    let mut sealed = Vec::with_capacity(SEALED_OVERHEAD_BYTES + plaintext.len());
    sealed.extend_from_slice(&[VERSION, recipient.kem() as u8]);
    sealed.extend_from_slice(&kem_ciphertext);
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

/// Opens what [`seal`] made for `secret`'s public key with the same `context`.
///
/// # Errors
/// [`OpenError`]; nothing of a payload that was altered is ever returned.
pub fn open(secret: &KemSecretKey, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    if sealed.len() < SEALED_OVERHEAD_BYTES
        || sealed.len() > SEALED_OVERHEAD_BYTES + SEALED_PLAINTEXT_BYTES_MAX
        || sealed[0] != VERSION
    {
        return Err(OpenError::Malformed);
    }
    let found = Kem::from_byte(sealed[1]).ok_or(OpenError::Malformed)?;
    let recipient = secret.public_key();
    if found != recipient.kem() {
        return Err(OpenError::OtherKem { expected: recipient.kem(), found });
    }
    let (kem_ciphertext, body) = sealed[HEAD_BYTES..].split_at(KEM_CIPHERTEXT_BYTES);
    let shared = secret.decapsulate(kem_ciphertext).map_err(|_| OpenError::Refused)?;
    let header = header(recipient, kem_ciphertext, context);
    let (cipher, nonce) = cipher(&header, &shared);
    cipher
        .decrypt(&nonce, Payload { msg: body, aad: &header })
        .map(Zeroizing::new)
        .map_err(|_| OpenError::Refused)
}

fn header(recipient: &KemPublicKey, kem_ciphertext: &[u8], context: &[u8]) -> Vec<u8> {
    let length = u32::try_from(context.len()).expect("a context is an id, far below 4 GiB");
    let mut header = vec![VERSION, recipient.kem() as u8];
    header.extend_from_slice(recipient.as_bytes());
    header.extend_from_slice(kem_ciphertext);
    header.extend_from_slice(&length.to_le_bytes());
    header.extend_from_slice(context);
    header
}

fn cipher(header: &[u8], shared: &[u8; 32]) -> (XChaCha20Poly1305, XNonce) {
    let mut output = Zeroizing::new([0; 32 + 24]);
    blake3::Hasher::new_derive_key(KEY_CONTEXT)
        .update(header)
        .update(shared)
        .finalize_xof()
        .fill(&mut output[..]);
    let (key, nonce) = output.split_at(32);
    let cipher = XChaCha20Poly1305::new_from_slice(key).expect("32 bytes, as split above");
    (cipher, XNonce::try_from(nonce).expect("24 bytes, as split above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEMS: &[Kem] =
        if cfg!(feature = "legacy") { &[Kem::MlKem768, Kem::Kyber768] } else { &[Kem::MlKem768] };

    #[test]
    fn what_is_sealed_opens_for_its_key_and_context_alone() {
        for &kem in KEMS {
            let (ours, theirs) = (KemSecretKey::generate(kem).unwrap(), KemSecretKey::generate(kem).unwrap());
            for plaintext in [&b""[..], b"a private memo", &[7; 5000]] {
                let sealed = seal(ours.public_key(), b"transition 1", plaintext).unwrap();
                assert_eq!(sealed.len(), plaintext.len() + SEALED_OVERHEAD_BYTES);
                assert_eq!(open(&ours, b"transition 1", &sealed).unwrap().as_slice(), plaintext);
                assert_eq!(open(&theirs, b"transition 1", &sealed), Err(OpenError::Refused));
                assert_eq!(open(&ours, b"transition 2", &sealed), Err(OpenError::Refused));
                assert_ne!(seal(ours.public_key(), b"transition 1", plaintext).unwrap(), sealed);
            }
        }
    }

    #[test]
    fn a_flipped_byte_anywhere_is_refused() {
        for &kem in KEMS {
            let ours = KemSecretKey::generate(kem).unwrap();
            let sealed = seal(ours.public_key(), b"", b"a private memo").unwrap();
            for at in 0..sealed.len() {
                for bit in [0x01, 0x80] {
                    let mut flipped = sealed.clone();
                    flipped[at] ^= bit;
                    assert!(open(&ours, b"", &flipped).is_err(), "byte {at} of {kem:?}");
                }
            }
            for shorter in [0, 1, SEALED_OVERHEAD_BYTES - 1, sealed.len() - 1] {
                assert!(open(&ours, b"", &sealed[..shorter]).is_err());
            }
            assert!(open(&ours, b"", &[&sealed[..], &[0]].concat()).is_err());
        }
    }

    #[cfg(feature = "legacy")]
    #[test]
    fn the_mechanism_is_bound() {
        // Both mechanisms have the same sizes: bytes of one parse as the other.
        let kyber = KemSecretKey::generate(Kem::Kyber768).unwrap();
        let mut sealed = seal(kyber.public_key(), b"", b"memo").unwrap();
        let ml_kem = KemSecretKey::generate(Kem::MlKem768).unwrap();
        assert_eq!(
            open(&ml_kem, b"", &sealed),
            Err(OpenError::OtherKem { expected: Kem::MlKem768, found: Kem::Kyber768 })
        );
        sealed[1] = Kem::MlKem768 as u8;
        assert_eq!(open(&ml_kem, b"", &sealed), Err(OpenError::Refused));
    }

    #[test]
    fn an_invalid_recipient_and_an_oversize_payload_are_refused() {
        let invalid = KemPublicKey::new(Kem::MlKem768, &[0xff; 1184]).unwrap();
        assert_eq!(seal(&invalid, b"", b""), Err(SealError::Key(KemKeyError::Invalid(Kem::MlKem768))));
        let ours = KemSecretKey::generate(Kem::MlKem768).unwrap();
        let found = SEALED_PLAINTEXT_BYTES_MAX + 1;
        assert_eq!(seal(ours.public_key(), b"", &vec![0; found]), Err(SealError::TooLong { found }));
    }
}
