//! NIST's ACVP vectors for ML-KEM (`tests/vectors/acvp`).
//!
//! ML-KEM-768: key generation and decapsulation run through our own keys; encapsulation is randomized, so RustCrypto's
//! `ml-kem` repeats the vector from its randomness `m`, and our key opens the vector's ciphertext. ML-KEM-512 and
//! ML-KEM-1024 are not offered here; their vectors run through `ml-kem` alone, which expands our seeds.
#![expect(deprecated, reason = "the vectors hold expanded keys")]

use super::{DecapsulationKey, Kem, KemPublicKey, KemSecretKey, ML_KEM_768, Zeroizing, ml_kem_768_expand};
use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{ExpandedKeyEncoding as _, ml_kem_512, ml_kem_768, ml_kem_1024};
use serde_json::Value;

fn groups(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/acvp/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(path).unwrap();
    let mut file: Value = serde_json::from_slice(&text).unwrap();
    serde_json::from_value(file["testGroups"].take()).unwrap()
}

fn tests(group: &Value) -> &[Value] {
    group["tests"].as_array().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// Our key around an expanded decapsulation key, which is all that these vectors give.
fn ours(expanded: &[u8], public: &[u8]) -> KemSecretKey {
    KemSecretKey {
        secret: Zeroizing::new(Vec::new()),
        expanded: Some(DecapsulationKey::new(&ML_KEM_768, expanded).unwrap()),
        public_key: KemPublicKey::new(Kem::MlKem768, public).unwrap(),
    }
}

macro_rules! reference {
    ($name:ident, $module:ident) => {
        mod $name {
            use super::*;

            pub(super) fn expand(seed: &[u8; 64]) -> (Vec<u8>, Vec<u8>) {
                let key = $module::DecapsulationKey::from_seed((*seed).into());
                (key.to_expanded_bytes().to_vec(), key.encapsulation_key().to_bytes().to_vec())
            }

            pub(super) fn encapsulate(key: &[u8], m: &[u8]) -> (Vec<u8>, Vec<u8>) {
                let key = $module::EncapsulationKey::new(&key.try_into().unwrap()).unwrap();
                let (c, k) = key.encapsulate_deterministic(&m.try_into().unwrap());
                (c.to_vec(), k.to_vec())
            }

            pub(super) fn decapsulate(expanded: &[u8], c: &[u8]) -> Vec<u8> {
                let expanded = expanded.try_into().unwrap();
                let key = $module::DecapsulationKey::from_expanded_bytes(&expanded).unwrap();
                key.decapsulate(&c.try_into().unwrap()).to_vec()
            }
        }
    };
}

reference!(r512, ml_kem_512);
reference!(r768, ml_kem_768);
reference!(r1024, ml_kem_1024);

#[test]
fn key_generation() {
    let mut count = 0;
    for group in groups("ml-kem-key-gen.json") {
        for test in tests(&group) {
            let seed: [u8; 64] = [bytes(&test["d"]), bytes(&test["z"])].concat().try_into().unwrap();
            let expected = (bytes(&test["dk"]), bytes(&test["ek"]));
            let expanded = match group["parameterSet"].as_str().unwrap() {
                "ML-KEM-512" => r512::expand(&seed),
                "ML-KEM-768" => {
                    let key = KemSecretKey::ml_kem_768(&seed).unwrap();
                    assert_eq!(key.public_key().as_bytes(), expected.1);
                    assert_eq!(key.expanded.unwrap().key_bytes().unwrap().as_ref(), expected.0);
                    r768::expand(&seed)
                }
                "ML-KEM-1024" => r1024::expand(&seed),
                other => panic!("{other}"),
            };
            assert!(expanded == expected, "case {}", test["tcId"]);
            count += 1;
        }
    }
    assert_eq!(count, 75);
}

#[test]
fn encapsulation_and_decapsulation() {
    let mut count = [0; 2];
    for group in groups("ml-kem-encap-decap.json") {
        let decapsulation = group["function"] == "decapsulation";
        for test in tests(&group) {
            let holder = if decapsulation { &group } else { test };
            let (dk, ek) = (bytes(&holder["dk"]), bytes(&holder["ek"]));
            let (c, k) = (bytes(&test["c"]), bytes(&test["k"]));
            type Encapsulate = fn(&[u8], &[u8]) -> (Vec<u8>, Vec<u8>);
            type Decapsulate = fn(&[u8], &[u8]) -> Vec<u8>;
            let (encapsulate, decapsulate): (Encapsulate, Decapsulate) =
                match group["parameterSet"].as_str().unwrap() {
                    "ML-KEM-512" => (r512::encapsulate, r512::decapsulate),
                    "ML-KEM-768" => {
                        assert_eq!(ours(&dk, &ek).decapsulate(&c).unwrap().as_slice(), k);
                        (r768::encapsulate, r768::decapsulate)
                    }
                    "ML-KEM-1024" => (r1024::encapsulate, r1024::decapsulate),
                    other => panic!("{other}"),
                };
            if !decapsulation {
                assert_eq!(encapsulate(&ek, &bytes(&test["m"])), (c.clone(), k.clone()));
            }
            assert_eq!(decapsulate(&dk, &c), k, "case {}", test["tcId"]);
            count[usize::from(decapsulation)] += 1;
        }
    }
    assert_eq!(count, [75, 30]);
}

#[test]
fn two_implementations_agree_on_what_our_keys_send_and_receive() {
    for n in 0..32u8 {
        let key = KemSecretKey::ml_kem_768(&[n; 64]).unwrap();
        let (expanded, public) = ml_kem_768_expand(&[n; 64]);
        let (sent, shared) = key.public_key().encapsulate().unwrap();
        assert_eq!(r768::decapsulate(&expanded, &sent), shared.as_slice());
        let (sent, shared) = r768::encapsulate(&public, &[n; 32]);
        assert_eq!(key.decapsulate(&sent).unwrap().as_slice(), shared);
        let mut altered = sent;
        altered[usize::from(n) * 30] ^= 1;
        let rejected = key.decapsulate(&altered).unwrap();
        assert_ne!(rejected.as_slice(), shared);
        assert_eq!(rejected.as_slice(), r768::decapsulate(&expanded, &altered), "implicit rejection");
    }
}
