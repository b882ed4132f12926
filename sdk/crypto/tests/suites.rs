//! Suites are never confused, secrets never printed, and the refused build never comes back.

use dsm_abi::{SignatureError, Suite, VerifySignature as _};
use dsm_crypto::{Kem, KemSecretKey, SecretKey, SecretKeyError, Signer as _, Verifier};

#[test]
fn secrets_print_as_their_suite_only() {
    let key = SecretKey::ml_dsa_65(&[0xab; 32]).unwrap();
    assert_eq!(format!("{key:?}"), "SecretKey(MlDsa65)");
    let key = SecretKey::ed25519_ml_dsa_65(&[0xab; 32], &[0xcd; 32]).unwrap();
    assert_eq!(format!("{key:?}"), "SecretKey(Ed25519MlDsa65)");
    let key = SecretKey::slh_dsa_sha2_128s(&[0xab; 48]);
    assert_eq!(format!("{key:?}"), "SecretKey(SlhDsaSha2128s)");
    assert_eq!(format!("{:?}", KemSecretKey::ml_kem_768(&[1; 64]).unwrap()), "KemSecretKey(MlKem768)");
}

#[test]
fn secret_bytes_of_another_length_are_refused() {
    for (suite, expected) in [(Suite::MlDsa65, 32), (Suite::Ed25519MlDsa65, 64), (Suite::SlhDsaSha2128s, 48)]
    {
        for found in [0, 31, 33, 63, 65, 4032] {
            let refused = SecretKey::from_secret_bytes(suite, &vec![1; found]).unwrap_err();
            assert_eq!(refused, SecretKeyError::Length { suite, expected, found });
        }
    }
    assert!(KemSecretKey::from_secret_bytes(Kem::MlKem768, &[1; 63]).is_err());
    assert!(KemSecretKey::from_secret_bytes(Kem::MlKem768, &[1; 2400]).is_err());
}

#[test]
fn generated_keys_differ_and_sign() {
    for suite in [Suite::MlDsa65, Suite::Ed25519MlDsa65, Suite::SlhDsaSha2128s] {
        let (one, other) = (SecretKey::generate(suite).unwrap(), SecretKey::generate(suite).unwrap());
        assert_ne!(one.to_secret_bytes(), other.to_secret_bytes());
        assert_eq!(one.public_key().len(), suite.public_key_bytes());
        let signature = one.sign(b"message").unwrap();
        assert_eq!(signature.len(), suite.signature_bytes());
        Verifier::new().verify_signature(suite, one.public_key(), b"message", &signature).unwrap();
        let again = SecretKey::from_secret_bytes(suite, &one.to_secret_bytes()).unwrap();
        assert_eq!(again.public_key(), one.public_key());
        let refused = Verifier::new().verify_signature(suite, other.public_key(), b"message", &signature);
        assert_eq!(refused, Err(SignatureError::BadSignature));
    }
}

#[test]
fn the_transport_half_is_the_ml_dsa_65_key_inside() {
    let single = SecretKey::ml_dsa_65(&[0xcd; 32]).unwrap();
    let hybrid = SecretKey::ed25519_ml_dsa_65(&[0xab; 32], &[0xcd; 32]).unwrap();
    for key in [&single, &hybrid] {
        let half = key.ml_dsa_65_half().unwrap().expect("there is one inside");
        assert_eq!((half.suite(), half.public_key()), (Suite::MlDsa65, single.public_key()));
        let signature = half.sign(b"message").unwrap();
        Verifier::new().verify_signature(Suite::MlDsa65, half.public_key(), b"message", &signature).unwrap();
    }
    assert!(SecretKey::slh_dsa_sha2_128s(&[1; 48]).ml_dsa_65_half().unwrap().is_none());
    #[cfg(feature = "legacy")]
    assert!(SecretKey::generate(Suite::Dilithium3).unwrap().ml_dsa_65_half().unwrap().is_none());
}

#[cfg(feature = "legacy")]
#[test]
fn dilithium3_is_off_unless_switched_on_and_is_not_ml_dsa_65() {
    let suite = Suite::Dilithium3;
    let key = SecretKey::generate(suite).unwrap();
    let message = b"message";
    let signature = key.sign(message).unwrap();
    assert_eq!((key.public_key().len(), signature.len()), (1952, 3309), "ML-DSA-65's sizes");
    let (default, legacy) = (Verifier::new(), Verifier::accepting_legacy());
    let refused = default.verify_signature(suite, key.public_key(), message, &signature);
    assert_eq!(refused, Err(SignatureError::SuiteOff));
    legacy.verify_signature(suite, key.public_key(), message, &signature).unwrap();

    // Equal sizes, so only the suite byte keeps the two apart.
    let as_standard = legacy.verify_signature(Suite::MlDsa65, key.public_key(), message, &signature);
    assert_eq!(as_standard, Err(SignatureError::BadSignature));
    let standard = SecretKey::generate(Suite::MlDsa65).unwrap();
    let as_legacy =
        legacy.verify_signature(suite, standard.public_key(), message, &standard.sign(message).unwrap());
    assert_eq!(as_legacy, Err(SignatureError::BadSignature));

    for at in (0..signature.len()).step_by(3) {
        let mut flipped = signature.clone();
        flipped[at] ^= 1 << (at % 8);
        let verdict = legacy.verify_signature(suite, key.public_key(), message, &flipped);
        assert_eq!(verdict, Err(SignatureError::BadSignature), "byte {at}");
    }
}

#[cfg(feature = "legacy")]
#[test]
fn a_dilithium3_secret_with_a_foreign_public_key_is_refused() {
    let (one, other) =
        (SecretKey::generate(Suite::Dilithium3).unwrap(), SecretKey::generate(Suite::Dilithium3).unwrap());
    let bytes = one.to_secret_bytes();
    SecretKey::from_secret_bytes(Suite::Dilithium3, &bytes).unwrap();
    let mixed = [&bytes[..4032], &other.to_secret_bytes()[4032..]].concat();
    assert_eq!(
        SecretKey::from_secret_bytes(Suite::Dilithium3, &mixed).unwrap_err(),
        SecretKeyError::Invalid(Suite::Dilithium3)
    );
}

/// The `avx2` feature of the `pqcrypto` crates compiles code that accepts invalid signatures (SECURITY.md). Cargo
/// unifies features: one crate anywhere in the workspace that asks for it would turn it on here.
#[test]
fn no_crate_in_the_graph_turns_avx2_on() {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), "host-tuple".to_owned()])
        .exec()
        .unwrap();
    let mut seen = 0;
    for node in &metadata.resolve.as_ref().unwrap().nodes {
        let name = metadata[&node.id].name.as_str();
        if name.starts_with("pqcrypto") {
            seen += 1;
            let on: Vec<&str> = node.features.iter().map(|feature| feature.as_ref()).collect();
            assert!(!on.contains(&"avx2") && !on.contains(&"neon"), "{name} with {on:?}");
        }
    }
    assert!(seen >= 4, "dilithium, kyber, internals and traits are looked at, not {seen} crates");
}
