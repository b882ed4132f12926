//! Ed25519 under the strict rule, as the hybrid suite and policies use it.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod common;

use common::{bytes, list, number, vectors};
use dsm_abi::import::verify_alg;
use dsm_abi::{SignatureError, Suite, VerifySignature as _};
use dsm_crypto::{SecretKey, Signer as _, Verifier, verify_guest};

fn ours(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    verify_guest(verify_alg::ED25519, key, message, signature).unwrap()
}

#[test]
fn wycheproof() {
    let file = vectors("wycheproof/ed25519_test.json");
    let (mut accepted, mut refused) = (0, 0);
    for group in list(&file["testGroups"]) {
        let key = bytes(&group["publicKey"]["pk"]);
        for test in list(&group["tests"]) {
            let valid = test["result"] == "valid";
            let verdict = ours(&key, &bytes(&test["msg"]), &bytes(&test["sig"]));
            assert_eq!(verdict, valid, "case {}: {}", test["tcId"], test["comment"]);
            *(if valid { &mut accepted } else { &mut refused }) += 1;
        }
    }
    assert_eq!(accepted + refused, number(&file["numberOfTests"]));
    assert_eq!((accepted, refused), (88, 63));
}

/// The twelve edge cases of "Taming the many EdDSAs". The strict rule accepts case 3 alone (mixed-order A and R that
/// satisfy the cofactorless equation); README.md beside the vectors lists what seventeen libraries do.
#[test]
fn speccheck_accepts_case_3_alone() {
    let verdicts: Vec<bool> = list(&vectors("ed25519-speccheck/cases.json"))
        .iter()
        .map(|case| ours(&bytes(&case["pub_key"]), &bytes(&case["message"]), &bytes(&case["signature"])))
        .collect();
    let expected = [false, false, false, true, false, false, false, false, false, false, false, false];
    assert_eq!(verdicts, expected);
}

/// Either half missing, foreign or over another message refuses the whole: the suite is AND, never OR.
#[test]
fn both_halves_of_the_hybrid_suite_must_verify() {
    let suite = Suite::Ed25519MlDsa65;
    let verify = |key: &[u8], message: &[u8], signature: &[u8]| {
        Verifier::new().verify_signature(suite, key, message, signature)
    };
    let key = SecretKey::ed25519_ml_dsa_65(&[1; 32], &[2; 32]).unwrap();
    let (same_first, same_second) = (
        SecretKey::ed25519_ml_dsa_65(&[1; 32], &[3; 32]).unwrap(),
        SecretKey::ed25519_ml_dsa_65(&[3; 32], &[2; 32]).unwrap(),
    );
    let signature = key.sign(b"message").unwrap();
    verify(key.public_key(), b"message", &signature).unwrap();
    for other in [&same_first, &same_second] {
        assert_eq!(
            verify(key.public_key(), b"message", &other.sign(b"message").unwrap()),
            Err(SignatureError::BadSignature)
        );
        assert_eq!(verify(other.public_key(), b"message", &signature), Err(SignatureError::BadSignature));
    }
    let other_message = key.sign(b"other").unwrap();
    let first_stale = [&other_message[..64], &signature[64..]].concat();
    let second_stale = [&signature[..64], &other_message[64..]].concat();
    for mixed in [first_stale, second_stale] {
        assert_eq!(verify(key.public_key(), b"message", &mixed), Err(SignatureError::BadSignature));
    }
    let small_order_key = [&[0; 32], &key.public_key()[32..]].concat();
    assert!(verify(&small_order_key, b"message", &signature).is_err());
}
