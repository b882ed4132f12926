//! Hashes and signatures that a policy asks for through `dsm1.hash` and `dsm1.verify`.

use crate::{keccak_256, recover_address, verify};
use dsm_abi::import::{hash_alg, verify_alg};

/// The digest of `bytes` by one of [`hash_alg`]; `None` for an unknown number, which is the guest's fault.
pub fn hash_guest(algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
    match algorithm {
        hash_alg::BLAKE3 => Some(*blake3::hash(bytes).as_bytes()),
        hash_alg::SHA256 => {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
            digest.as_ref().try_into().ok()
        }
        hash_alg::KECCAK256 => Some(keccak_256(bytes)),
        _ => None,
    }
}

/// Whether `signature` by `key` over `message` verifies under one of [`verify_alg`]; `None` for an unknown number,
/// which is the guest's fault. Malformed keys and signatures are `Some(false)`.
pub fn verify_guest(algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    match algorithm {
        verify_alg::ML_DSA_65 => Some(verify::ml_dsa_65(key, message, signature).is_ok()),
        verify_alg::ED25519 => Some(verify::ed25519(key, message, signature).is_ok()),
        verify_alg::SECP256K1_RECOVER => Some(ethereum_signer(message, signature).is_some_and(|a| a == key)),
        _ => None,
    }
}

/// The address that signed `digest` (32 bytes) with `signature` (r ‖ s ‖ v, 65 bytes), under [`recover_address`]'s rule.
fn ethereum_signer(digest: &[u8], signature: &[u8]) -> Option<[u8; 20]> {
    recover_address(digest.try_into().ok()?, signature.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k256::ecdsa::SigningKey;

    fn hex32(text: &str) -> [u8; 32] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        // BLAKE3's and SHA-256's empty input from their specifications, Keccak-256's from the Ethereum yellow paper.
        let rows = [
            (hash_alg::BLAKE3, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (hash_alg::SHA256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (hash_alg::KECCAK256, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        ];
        for (algorithm, digest) in rows {
            assert_eq!(hash_guest(algorithm, b""), Some(hex32(digest)));
        }
        assert_eq!(hash_guest(3, b""), None);
    }

    #[test]
    fn an_ethereum_signature_verifies_against_its_address_and_nothing_else() {
        // Private key 1: its address is known to everyone.
        let address = hex::decode("7e5f4552091a69125d5dfcb7b8c2659029395bdf").unwrap();
        let key = SigningKey::from_slice(&hex32(
            "0000000000000000000000000000000000000000000000000000000000000001",
        ))
        .unwrap();
        let verify = |key: &[u8], digest: &[u8], signature: &[u8]| {
            verify_guest(verify_alg::SECP256K1_RECOVER, key, digest, signature)
        };
        for n in 0..20u8 {
            let digest = keccak_256(&[n]);
            let (signature, v) = key.sign_prehash_recoverable(&digest);
            let mut good = signature.to_bytes().to_vec();
            good.push(v.to_byte());
            assert_eq!(verify(&address, &digest, &good), Some(true));

            let mut high = k256::ecdsa::Signature::from_scalars(*signature.r(), -*signature.s())
                .unwrap()
                .to_bytes()
                .to_vec();
            high.push(v.to_byte() ^ 1);
            assert_eq!(verify(&address, &digest, &high), Some(false), "high s");
            let mut as_27 = good.clone();
            as_27[64] += 27;
            assert_eq!(verify(&address, &digest, &as_27), Some(false), "v as 27 or 28");
            for bad in [&good[..64], &[&good[..], &[0]].concat(), &[0; 65], &[0xff; 65], b""] {
                assert_eq!(verify(&address, &digest, bad), Some(false));
            }
            assert_eq!(verify(&address, &digest[..31], &good), Some(false));
            assert_eq!(verify(&address[1..], &digest, &good), Some(false));
            assert_eq!(verify(&[0; 20], &digest, &good), Some(false));
            for at in 0..good.len() {
                let mut flipped = good.clone();
                flipped[at] ^= 0x01;
                assert_eq!(verify(&address, &digest, &flipped), Some(false), "byte {at}");
            }
        }
        assert_eq!(verify_guest(3, &address, &[0; 32], &[0; 65]), None);
    }
}
