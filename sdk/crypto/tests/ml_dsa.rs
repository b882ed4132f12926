//! ML-DSA-65 against published vectors and against a second implementation.
//!
//! `aws-lc-rs`, which our verifier is made of, signs and verifies the external interface with an empty context.
//! What it cannot express (the internal interface of the ACVP signing files, contexts, the other parameter sets) runs
//! through RustCrypto's `ml-dsa`, which is the cross-check of everything else here.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod common;

use common::{bytes, list, number, vectors};
use dsm_abi::import::verify_alg;
use dsm_abi::{SignatureError, Suite, VerifySignature as _};
use dsm_crypto::{SecretKey, Signer as _, Verifier, verify_guest};
use ml_dsa::{B32, MlDsa44, MlDsa65, MlDsa87};

/// Our verdict, asked both ways that the system asks.
fn ours(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let verdict = Verifier::new().verify_signature(Suite::MlDsa65, key, message, signature).is_ok();
    assert_eq!(verify_guest(verify_alg::ML_DSA_65, key, message, signature), Some(verdict));
    verdict
}

/// RustCrypto's verdict.
fn reference(key: &[u8], message: &[u8], context: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = key.try_into() else { return false };
    let Ok(signature) = ml_dsa::Signature::<MlDsa65>::try_from(signature) else { return false };
    ml_dsa::VerifyingKey::<MlDsa65>::decode(&key).verify_with_context(message, context, &signature)
}

#[test]
fn wycheproof() {
    let file = vectors("wycheproof/mldsa_65_verify_test.json");
    let (mut accepted, mut refused, mut with_context) = (0, 0, 0);
    for group in list(&file["testGroups"]) {
        let key = bytes(&group["publicKey"]);
        for test in list(&group["tests"]) {
            let (message, signature) = (bytes(&test["msg"]), bytes(&test["sig"]));
            let context = if test["ctx"].is_null() { Vec::new() } else { bytes(&test["ctx"]) };
            let valid = test["result"] == "valid";
            let id = &test["tcId"];
            assert_eq!(reference(&key, &message, &context, &signature), valid, "ml-dsa, case {id}");
            if context.is_empty() {
                assert_eq!(ours(&key, &message, &signature), valid, "case {id}: {}", test["comment"]);
                *(if valid { &mut accepted } else { &mut refused }) += 1;
            } else {
                // A signature made under a context does not count here, valid as it may be.
                assert!(!ours(&key, &message, &signature), "case {id}");
                with_context += 1;
            }
        }
    }
    assert_eq!(accepted + refused + with_context, number(&file["numberOfTests"]));
    assert_eq!((accepted, refused, with_context), (77, 126, 7));
}

#[test]
fn acvp_key_generation() {
    let file = vectors("acvp/ml-dsa-key-gen.json");
    let mut count = 0;
    for group in list(&file["testGroups"]) {
        for test in list(&group["tests"]) {
            let seed: [u8; 32] = bytes(&test["seed"]).try_into().unwrap();
            let (public, secret) = match group["parameterSet"].as_str().unwrap() {
                "ML-DSA-44" => expand::<MlDsa44>(&seed),
                "ML-DSA-65" => {
                    let key = SecretKey::ml_dsa_65(&seed).unwrap();
                    assert_eq!(key.public_key(), bytes(&test["pk"]));
                    expand::<MlDsa65>(&seed)
                }
                "ML-DSA-87" => expand::<MlDsa87>(&seed),
                other => panic!("{other}"),
            };
            assert_eq!(public, bytes(&test["pk"]));
            assert_eq!(secret, bytes(&test["sk"]));
            count += 1;
        }
    }
    assert_eq!(count, 75);
}

/// Signing of the internal interface (the message is M′). Ours draws its own randomness and takes seeds only, so
/// `ml-dsa` repeats the vectors, and ours must refuse every signature of the internal interface as one of the external.
#[test]
fn acvp_signing() {
    let file = vectors("acvp/ml-dsa-sig-gen.json");
    let mut count = 0;
    for group in list(&file["testGroups"]) {
        for test in list(&group["tests"]) {
            let rnd = if group["deterministic"] == true { vec![0; 32] } else { bytes(&test["rnd"]) };
            let rnd = B32::try_from(rnd.as_slice()).unwrap();
            let (secret, message) = (bytes(&test["sk"]), bytes(&test["message"]));
            let signature = match group["parameterSet"].as_str().unwrap() {
                "ML-DSA-44" => sign_internal::<MlDsa44>(&secret, &message, &rnd).0,
                "ML-DSA-65" => {
                    let (signature, public) = sign_internal::<MlDsa65>(&secret, &message, &rnd);
                    assert!(!ours(&public, &message, &signature), "internal is not external");
                    signature
                }
                "ML-DSA-87" => sign_internal::<MlDsa87>(&secret, &message, &rnd).0,
                other => panic!("{other}"),
            };
            assert_eq!(signature, bytes(&test["signature"]), "case {}", test["tcId"]);
            count += 1;
        }
    }
    assert_eq!(count, 60);
}

/// Verification of the internal interface: as for [`acvp_signing`].
#[test]
fn acvp_verification() {
    let file = vectors("acvp/ml-dsa-sig-ver.json");
    let (mut count, mut valid) = (0, 0);
    for group in list(&file["testGroups"]) {
        let key = bytes(&group["pk"]);
        for test in list(&group["tests"]) {
            let (message, signature) = (bytes(&test["message"]), bytes(&test["signature"]));
            let verdict = match group["parameterSet"].as_str().unwrap() {
                "ML-DSA-44" => verify_internal::<MlDsa44>(&key, &message, &signature),
                "ML-DSA-65" => {
                    assert!(!ours(&key, &message, &signature), "internal is not external");
                    verify_internal::<MlDsa65>(&key, &message, &signature)
                }
                "ML-DSA-87" => verify_internal::<MlDsa87>(&key, &message, &signature),
                other => panic!("{other}"),
            };
            assert_eq!(verdict, test["testPassed"] == true, "case {}: {}", test["tcId"], test["reason"]);
            count += 1;
            valid += u32::from(verdict);
        }
    }
    assert_eq!(count, 45);
    assert!(valid > 0 && valid < count);
}

/// C1. A signature with any byte changed, over a message with any byte changed, or by a key with any byte changed,
/// is refused; so is every truncation. Both suites, and the second implementation agrees.
#[test]
fn c1_any_changed_byte_is_refused() {
    let message = b"DSM/sign\x01 a transition";
    let verifier = Verifier::new();
    for suite in [Suite::MlDsa65, Suite::Ed25519MlDsa65] {
        let key =
            SecretKey::from_secret_bytes(suite, &vec![5; if suite == Suite::MlDsa65 { 32 } else { 64 }])
                .unwrap();
        let signature = key.sign(message).unwrap();
        let verify = |public: &[u8], message: &[u8], signature: &[u8]| {
            verifier.verify_signature(suite, public, message, signature)
        };
        verify(key.public_key(), message, &signature).unwrap();
        for at in 0..signature.len() {
            let mut flipped = signature.clone();
            flipped[at] ^= 1 << (at % 8);
            let verdict = verify(key.public_key(), message, &flipped);
            assert_eq!(verdict, Err(SignatureError::BadSignature), "signature byte {at} of {suite:?}");
        }
        for at in 0..message.len() {
            for bit in 0..8 {
                let mut flipped = message.to_vec();
                flipped[at] ^= 1 << bit;
                let verdict = verify(key.public_key(), &flipped, &signature);
                assert_eq!(verdict, Err(SignatureError::BadSignature), "message byte {at}");
            }
        }
        for at in 0..key.public_key().len() {
            let mut flipped = key.public_key().to_vec();
            flipped[at] ^= 1 << (at % 8);
            assert!(verify(&flipped, message, &signature).is_err(), "key byte {at} of {suite:?}");
        }
        for length in (0..signature.len()).step_by(7).chain([signature.len() - 1]) {
            let verdict = verify(key.public_key(), message, &signature[..length]);
            assert_eq!(verdict, Err(SignatureError::BadSignature), "{length} bytes");
        }
        let longer = [&signature[..], &[0]].concat();
        assert_eq!(verify(key.public_key(), message, &longer), Err(SignatureError::BadSignature));
        for length in [0, 31, 32, 1951, key.public_key().len() - 1] {
            let verdict = verify(&key.public_key()[..length], message, &signature);
            assert_eq!(verdict, Err(SignatureError::BadKey));
        }
    }
}

/// 3,000 mutated signatures, most of them in the parts that implementations got wrong (z's bound, the hints' order,
/// counts and padding): both implementations give one verdict on each. Some mutations are no change, so that
/// acceptance is compared too.
#[test]
fn two_implementations_agree_on_mutated_signatures() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut refused) = (0, 0);
    for key_number in 0..6u8 {
        let key = SecretKey::ml_dsa_65(&[key_number; 32]).unwrap();
        for message_number in 0..10u8 {
            let message = [message_number; 100];
            let signature = key.sign(&message).unwrap();
            for _ in 0..50 {
                let mutated = mutate(&signature, &mut random);
                let verdict = ours(key.public_key(), &message, &mutated);
                let other = reference(key.public_key(), &message, b"", &mutated);
                assert_eq!(verdict, other, "{}", hex::encode(&mutated));
                *(if verdict { &mut accepted } else { &mut refused }) += 1;
            }
        }
    }
    assert_eq!(accepted + refused, 3_000);
    assert!(accepted >= 100, "{accepted} accepted: acceptance is compared too");
    assert!(refused >= 2_000, "{refused} refused");
}

/// Signatures of FIPS 204 section 7.2: c~ (48 bytes), z (5 polynomials of 640 bytes), hints (55 positions, 6 counts).
const HINTS_AT: usize = 48 + 5 * 640;

fn mutate(signature: &[u8], random: &mut Xorshift) -> Vec<u8> {
    let mut mutated = signature.to_vec();
    let length = mutated.len();
    match random.below(8) {
        0 => {}
        1 => mutated[random.below(length)] ^= 1 << random.below(8),
        2 => mutated[HINTS_AT + random.below(61)] = random.below(256) as u8,
        3 => {
            let at = HINTS_AT + random.below(54);
            mutated.swap(at, at + 1);
        }
        4 => mutated[HINTS_AT + 55 + random.below(6)] ^= 1 << random.below(4),
        // A coefficient at the edge: all bits one or zero is γ1 − 1 or −γ1 away from the bound.
        5 => {
            let at = 48 + random.below(5 * 640 - 5);
            mutated[at..at + 5].fill(if random.below(2) == 0 { 0xff } else { 0 });
        }
        6 => mutated[HINTS_AT + random.below(55)] = mutated[HINTS_AT + random.below(55)],
        _ => mutated[random.below(48)] = random.below(256) as u8,
    }
    mutated
}

struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// What either implementation signs, the other accepts; signing is hedged.
#[test]
fn each_accepts_what_the_other_signs() {
    for n in 0..50u8 {
        let key = SecretKey::ml_dsa_65(&[n; 32]).unwrap();
        let message = vec![n; usize::from(n) * 9];
        let (first, second) = (key.sign(&message).unwrap(), key.sign(&message).unwrap());
        assert_ne!(first, second, "hedged");
        for signature in [first, second] {
            assert!(ours(key.public_key(), &message, &signature));
            assert!(reference(key.public_key(), &message, b"", &signature));
        }
        let theirs = ml_dsa::ExpandedSigningKey::<MlDsa65>::from_seed(&[n; 32].into());
        let signature = theirs.sign_deterministic(&message, b"").unwrap().encode();
        assert!(ours(key.public_key(), &message, &signature));
        let other_context = theirs.sign_deterministic(&message, b"x").unwrap().encode();
        assert!(!ours(key.public_key(), &message, &other_context));
    }
}

#[expect(deprecated, reason = "the vectors hold expanded keys")]
mod internal {
    use ml_dsa::{B32, ExpandedSigningKey, Signature, VerifyingKey};

    pub(super) fn expand<P: ml_dsa::MlDsaParams>(seed: &[u8; 32]) -> (Vec<u8>, Vec<u8>) {
        let key = ExpandedSigningKey::<P>::from_seed(&(*seed).into());
        (key.verifying_key().encode().to_vec(), key.to_expanded().to_vec())
    }

    pub(super) fn sign_internal<P: ml_dsa::MlDsaParams>(
        secret: &[u8],
        message: &[u8],
        rnd: &B32,
    ) -> (Vec<u8>, Vec<u8>) {
        let key = ExpandedSigningKey::<P>::from_expanded(&secret.try_into().unwrap());
        let signature = key.sign_internal(&[message], rnd);
        (signature.encode().to_vec(), key.verifying_key().encode().to_vec())
    }

    pub(super) fn verify_internal<P: ml_dsa::MlDsaParams>(
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = VerifyingKey::<P>::decode(&key.try_into().unwrap());
        Signature::<P>::try_from(signature).is_ok_and(|signature| key.verify_internal(message, &signature))
    }
}

use internal::{expand, sign_internal, verify_internal};
