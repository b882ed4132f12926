//! Signatures, key encapsulation, sealed payloads and keys at rest: the only crate that names cryptography crates.
//!
//! ML-DSA-65 and ML-KEM-768 come from `aws-lc-rs`, Ed25519 from `ed25519-dalek` under its strict rule, SLH-DSA from
//! `fips205`, secp256k1 from `k256`; `SECURITY.md` beside this crate gives the measurements behind the choice. Signatures take and give raw bytes
//! with a [`dsm_abi::Suite`]; what the bytes of a signed message are is the state machine's business.
//!
//! Left out on purpose: what is signed, transport, and batches of signatures (single and batched Ed25519 disagree
//! on edge cases, so two nodes could disagree on one signature).

mod file;
mod guest;
mod kem;
mod keystore;
mod last_signed;
mod random;
mod seal;
mod secp256k1;
mod secret;
mod verify;

pub use guest::{hash_guest, verify_guest};
pub use kem::{Kem, KemKeyError, KemPublicKey, KemSecretKey};
pub use keystore::{KdfCost, Keystore, KeystoreError};
pub use last_signed::{LastSigned, LastSignedError, SignedRecord};
pub use random::{RandomError, fill_random};
pub use seal::{OpenError, SEALED_OVERHEAD_BYTES, SEALED_PLAINTEXT_BYTES_MAX, SealError, open, seal};
pub use secp256k1::{Recover, Secp256k1Error, Secp256k1Key, keccak_256, recover_address};
pub use secret::{SecretKey, SecretKeyError, SignError, Signer};
pub use verify::Verifier;
pub use zeroize::Zeroizing;
