//! SLH-DSA-SHA2-128s: NIST's vectors, and a second implementation that has to agree.

mod common;

use common::{bytes, list, number, vectors};
use dsm_abi::{SignatureError, Suite, VerifySignature as _};
use dsm_crypto::{SecretKey, Signer as _, Verifier};
use fips205::slh_dsa_sha2_128s as first;
use fips205::traits::{SerDes as _, Signer as _, Verifier as _};
use serde_json::Value;
use slh_dsa::{Sha2_128s, Signature, SigningKey, VerifyingKey};

const SUITE: Suite = Suite::SlhDsaSha2128s;

fn ours(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    Verifier::new().verify_signature(SUITE, key, message, signature).is_ok()
}

/// The crate that we do not use.
fn reference(key: &[u8], message: &[u8], context: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) =
        (VerifyingKey::<Sha2_128s>::try_from(key), Signature::<Sha2_128s>::try_from(signature))
    else {
        return false;
    };
    key.try_verify_with_context(message, context, &signature).is_ok()
}

/// The crate that we use, with a context, which our suite leaves empty.
fn with_context(key: &[u8], message: &[u8], context: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = signature.try_into() else { return false };
    let key = first::PublicKey::try_from_bytes(key.try_into().expect("32 bytes")).expect("a key");
    key.verify(message, signature, context)
}

#[test]
fn acvp_key_generation() {
    let file = vectors("acvp/slh-dsa-sha2-128s-key-gen.json");
    let tests = list(&file["tests"]);
    for test in tests {
        let seed = [bytes(&test["skSeed"]), bytes(&test["skPrf"]), bytes(&test["pkSeed"])].concat();
        let key = SecretKey::slh_dsa_sha2_128s(&seed.clone().try_into().unwrap());
        assert_eq!(key.public_key(), bytes(&test["pk"]), "case {}", number(&test["tcId"]));
        assert_eq!(key.to_secret_bytes()[..], seed);
    }
    assert_eq!(tests.len(), 10);
}

/// Both crates make exactly NIST's signatures; where the context is empty, the suite's verifier accepts them.
#[test]
fn acvp_signing() {
    let file = vectors("acvp/slh-dsa-sha2-128s-sig-gen.json");
    let (mut count, mut empty) = (0, 0);
    for test in list(&file["tests"]) {
        let [secret, key, message, context, signature] = case(test);
        let ours_signs = first::PrivateKey::try_from_bytes(secret[..].try_into().unwrap()).unwrap();
        assert_eq!(ours_signs.try_sign(&message, &context, false).unwrap()[..], signature);
        let other = SigningKey::<Sha2_128s>::try_from(&secret[..]).unwrap();
        let theirs = other.try_sign_with_context(&message, &context, None).unwrap();
        assert_eq!(theirs.to_bytes()[..], signature, "case {}", number(&test["tcId"]));
        assert_eq!(ours(&key, &message, &signature), context.is_empty(), "case {}", number(&test["tcId"]));
        count += 1;
        empty += u32::from(context.is_empty());
    }
    assert_eq!((count, empty), (7, 1));
}

#[test]
fn acvp_verification() {
    let file = vectors("acvp/slh-dsa-sha2-128s-sig-ver.json");
    let (mut count, mut valid) = (0, 0);
    for test in list(&file["tests"]) {
        let [_, key, message, context, signature] = case(test);
        let expected = test["testPassed"] == true;
        let name = format!("case {}: {}", number(&test["tcId"]), test["reason"]);
        assert_eq!(with_context(&key, &message, &context, &signature), expected, "{name}");
        assert_eq!(reference(&key, &message, &context, &signature), expected, "{name}");
        assert_eq!(ours(&key, &message, &signature), expected && context.is_empty(), "{name}");
        count += 1;
        valid += u32::from(expected);
    }
    assert_eq!((count, valid), (14, 2));
}

fn case(test: &Value) -> [Vec<u8>; 5] {
    let part = |name: &str| test.get(name).map(bytes).unwrap_or_default();
    ["sk", "pk", "message", "context", "signature"].map(part)
}

#[test]
fn shared_signatures_verify() {
    let file = vectors("slh-dsa/signatures.json");
    assert_eq!(list(&file).len(), 5);
    for row in list(&file) {
        let part = |name: &str| hex::decode(row[name].as_str().unwrap().trim_start_matches("0x")).unwrap();
        let (key, message, signature) = (part("pk"), part("msg"), part("sig"));
        assert!(ours(&key, &message, &signature) && reference(&key, &message, b"", &signature));
    }
}

/// What either implementation signs, the other accepts; signing is hedged; a context is another message.
#[test]
fn each_accepts_what_the_other_signs() {
    for n in 0..3u8 {
        let key = SecretKey::slh_dsa_sha2_128s(&[n; 48]);
        let message = vec![n; usize::from(n) * 100];
        let (one, other) = (key.sign(&message).unwrap(), key.sign(&message).unwrap());
        assert_ne!(one, other, "hedged");
        for signature in [one, other] {
            assert!(ours(key.public_key(), &message, &signature));
            assert!(reference(key.public_key(), &message, b"", &signature));
        }
        let theirs = SigningKey::<Sha2_128s>::slh_keygen_internal(&[n; 16], &[n; 16], &[n; 16]);
        let signature = theirs.try_sign_with_context(&message, b"", Some(&[9; 16])).unwrap().to_bytes();
        assert!(ours(key.public_key(), &message, &signature));
        let under_context = theirs.try_sign_with_context(&message, b"x", None).unwrap().to_bytes();
        assert!(!ours(key.public_key(), &message, &under_context));
    }
}

/// C1. A changed byte in the signature (at least one in every hash value of 16 bytes), the message or the key is
/// refused by both implementations; so is every other length.
#[test]
fn c1_any_changed_byte_is_refused() {
    let key = SecretKey::slh_dsa_sha2_128s(&[5; 48]);
    let message = b"DSM/sign\x20 a rotation of keys";
    let signature = key.sign(message).unwrap();
    let verify = |public: &[u8], message: &[u8], signature: &[u8]| {
        Verifier::new().verify_signature(SUITE, public, message, signature)
    };
    verify(key.public_key(), message, &signature).unwrap();
    for at in (0..signature.len()).step_by(13) {
        let mut flipped = signature.clone();
        flipped[at] ^= 1 << (at % 8);
        let verdict = verify(key.public_key(), message, &flipped);
        assert_eq!(verdict, Err(SignatureError::BadSignature), "signature byte {at}");
        assert!(!reference(key.public_key(), message, b"", &flipped), "signature byte {at}");
    }
    for at in 0..message.len() {
        let mut flipped = message.to_vec();
        flipped[at] ^= 1 << (at % 8);
        assert!(verify(key.public_key(), &flipped, &signature).is_err(), "message byte {at}");
    }
    for at in 0..32 {
        let mut flipped = key.public_key().to_vec();
        flipped[at] ^= 1 << (at % 8);
        assert!(verify(&flipped, message, &signature).is_err(), "key byte {at}");
    }
    for length in [0, 1, 16, 7855] {
        let verdict = verify(key.public_key(), message, &signature[..length]);
        assert_eq!(verdict, Err(SignatureError::BadSignature), "{length} bytes");
    }
    let longer = [&signature[..], &[0]].concat();
    assert_eq!(verify(key.public_key(), message, &longer), Err(SignatureError::BadSignature));
    for length in [0, 16, 31] {
        let verdict = verify(&key.public_key()[..length], message, &signature);
        assert_eq!(verdict, Err(SignatureError::BadKey));
    }
}
