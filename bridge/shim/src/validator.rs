//! The test validators: keys that anyone can derive from their number.

use dsm_crypto::Secp256k1Key;
use dsm_crypto::keccak_256;

/// A validator that protects nothing: its secret is the hash of a sentence and its number.
pub struct TestValidator {
    key: Secp256k1Key,
}

impl TestValidator {
    /// The validator of this number.
    ///
    /// # Panics
    /// If the hash is no secret of the curve, which has a chance of 2^-128 a number.
    pub fn new(number: u32) -> TestValidator {
        let secret = keccak_256(format!("dsm-qbft-shim: test validator {number}").as_bytes());
        let key = Secp256k1Key::from_secret_bytes(&secret).expect("a hash below the curve's order");
        TestValidator { key }
    }

    /// Its address.
    pub fn address(&self) -> [u8; 20] {
        self.key.address()
    }

    /// Its seal: r, s, and 0 or 1.
    pub(crate) fn seal(&self, commit_hash: &[u8; 32]) -> [u8; 65] {
        self.key.sign_prehash(commit_hash)
    }
}
