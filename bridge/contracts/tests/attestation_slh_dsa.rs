//! SLH-DSA-SHA2-128s three times: signed by dsm-crypto, judged by dsm-crypto, by the crate `slh-dsa`, and by the Yul of
//! `SlhDsaSha2128s` in an EVM. They agree on whatever is put before them, and the Yul never answers for want of gas.

mod evm;

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall as _, sol};
use dsm_abi::{Suite, VerifySignature as _};
use dsm_crypto::{SecretKey, Signer as _, Verifier};
use evm::Evm;
use serde_json::Value;
use slh_dsa::{Sha2_128s, Signature, VerifyingKey};

sol!(SlhDsaSha2128s, "artifacts/SlhDsaSha2128s.json");

const SUITE: Suite = Suite::SlhDsaSha2128s;
/// Where the parts of a signature begin (FIPS 205 figure 17): R, then FORS of 14 trees, then 7 layers of XMSS.
const FORS_AT: usize = 16;
const LAYERS_AT: usize = FORS_AT + 14 * 13 * 16;
/// A WOTS+ signature of 35 chains, and a path of 9 nodes.
const LAYER_BYTES: usize = (35 + 9) * 16;
const SIGNATURE_BYTES: usize = LAYERS_AT + 7 * LAYER_BYTES;

/// A public key, a message and a signature, not necessarily of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    key: [u8; 32],
    message: [u8; 32],
    signature: Vec<u8>,
}

/// The Yul verifier on a chain of its own.
struct Yul {
    evm: Evm,
    at: Address,
}

impl Yul {
    fn new() -> Yul {
        let mut evm = Evm::new();
        let sender = evm.account(1);
        let at = evm.deploy(sender, SlhDsaSha2128s::BYTECODE.to_vec());
        Yul { evm, at }
    }

    fn verify(&mut self, case: &Case) -> bool {
        self.evm.view(self.at, &call(case))
    }
}

fn call(case: &Case) -> SlhDsaSha2128s::verifyCall {
    SlhDsaSha2128s::verifyCall {
        publicKey: B256::from(case.key),
        message: B256::from(case.message),
        signature: Bytes::copy_from_slice(&case.signature),
    }
}

fn ours(case: &Case) -> bool {
    Verifier::new().verify_signature(SUITE, &case.key, &case.message, &case.signature).is_ok()
}

/// The crate that dsm-crypto does not use.
fn other_crate(case: &Case) -> bool {
    let key = VerifyingKey::<Sha2_128s>::try_from(&case.key[..]).expect("32 bytes");
    let Ok(signature) = Signature::<Sha2_128s>::try_from(&case.signature[..]) else { return false };
    key.try_verify_with_context(&case.message, b"", &signature).is_ok()
}

/// The common verdict.
#[track_caller]
fn agreed(yul: &mut Yul, case: &Case, what: &str) -> bool {
    let verdicts = (ours(case), other_crate(case), yul.verify(case));
    assert!(
        matches!(verdicts, (true, true, true) | (false, false, false)),
        "{what}: (fips205, slh-dsa, Yul) = {verdicts:?}\nkey {}\nmessage {}\nsignature {}",
        hex::encode(case.key),
        hex::encode(case.message),
        hex::encode(&case.signature),
    );
    verdicts.0
}

fn signed(key_number: u8, message_number: u8) -> Case {
    let key = SecretKey::slh_dsa_sha2_128s(&[key_number; 48]);
    let message = [message_number; 32];
    let signature = key.sign(&message).expect("signed");
    Case { key: key.public_key().try_into().expect("32 bytes"), message, signature }
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

#[test]
fn shared_signatures_are_accepted_by_all_three() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/crypto/tests/vectors/slh-dsa/signatures.json");
    let file: Value =
        serde_json::from_slice(&std::fs::read(path).expect("the vectors")).expect("the vectors' JSON");
    let rows = file.as_array().expect("a list");
    assert_eq!(rows.len(), 5);
    let mut yul = Yul::new();
    for row in rows {
        let part = |name: &str| {
            let text = row[name].as_str().expect("hex");
            hex::decode(text.trim_start_matches("0x")).expect("hex")
        };
        let word = |name: &str| part(name).try_into().expect("32 bytes");
        let case = Case { key: word("pk"), message: word("msg"), signature: part("sig") };
        assert!(agreed(&mut yul, &case, "a shared signature"));
    }
}

/// C1, B12. 10,000 mutated signatures, spread over every part: the randomizer, each FORS tree, the chains and the path
/// of each hypertree layer, the public key, the message, the length, and parts of other signatures. About one in fifty
/// is left as it is, so that acceptance is compared too.
#[test]
fn three_implementations_agree_on_10_000_mutated_signatures() {
    const WORKERS: u8 = 4;
    const EACH: usize = 2_500;
    let counts = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..WORKERS).map(|worker| scope.spawn(move || mutations(worker, EACH))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no disagreement")).collect::<Vec<_>>()
    });
    let (mut accepted, mut refused, mut parts) = (0, 0, [0; PARTS]);
    for count in counts {
        accepted += count.accepted;
        refused += count.refused;
        for (sum, more) in parts.iter_mut().zip(count.parts) {
            *sum += more;
        }
    }
    assert_eq!(accepted + refused, usize::from(WORKERS) * EACH);
    assert!(accepted >= 100, "{accepted} accepted: acceptance is compared too");
    assert!(refused >= 9_000, "{refused} refused");
    assert!(parts.iter().all(|count| *count >= 60), "every part was changed: {parts:?}");
}

/// R, FORS, chains and path of each of the 7 layers, public key, message, length, splice, nothing.
const PARTS: usize = 2 + 2 * 7 + 5;

struct Counts {
    accepted: usize,
    refused: usize,
    parts: [usize; PARTS],
}

fn mutations(worker: u8, count: usize) -> Counts {
    let mut yul = Yul::new();
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15 ^ (u64::from(worker) << 32 | 1));
    let cases: Vec<_> = (0..3).map(|n| signed(worker, n)).collect();
    let mut counts = Counts { accepted: 0, refused: 0, parts: [0; PARTS] };
    for _ in 0..count {
        let which = random.below(cases.len());
        let mut case = cases[which].clone();
        // The weights give FORS and the layers what they have of the signature's bytes, roughly.
        let part = match random.below(100) {
            0..5 => 0,
            5..28 => 1,
            28..84 => 2 + random.below(14),
            84..88 => 16,
            88..92 => 17,
            92..95 => 18,
            95..98 => 19,
            _ => 20,
        };
        counts.parts[part] += 1;
        let what = mutate(&mut case, part, &cases[(which + 1) % cases.len()].signature, &mut random);
        let accepted = agreed(&mut yul, &case, &what);
        // Two signatures of one key share nodes near the root, so that even a splice can be no change.
        assert_eq!(accepted, case == cases[which], "{what}");
        *(if accepted { &mut counts.accepted } else { &mut counts.refused }) += 1;
    }
    counts
}

/// Changes one part of `case`, and tells what it did.
fn mutate(case: &mut Case, part: usize, other: &[u8], random: &mut Xorshift) -> String {
    let flip = |bytes: &mut [u8], random: &mut Xorshift| {
        let (at, bit) = (random.below(bytes.len()), random.below(8));
        bytes[at] ^= 1 << bit;
        (at, bit)
    };
    match part {
        16 => format!("public key {:?}", flip(&mut case.key, random)),
        17 => format!("message {:?}", flip(&mut case.message, random)),
        18 => {
            let length = match random.below(4) {
                0 => SIGNATURE_BYTES - 1,
                1 => SIGNATURE_BYTES + 1,
                2 => random.below(SIGNATURE_BYTES),
                _ => SIGNATURE_BYTES + 1 + random.below(64),
            };
            case.signature.resize(length, 0);
            format!("{length} bytes")
        }
        19 => {
            // A value of 16 bytes of another signature by the same key: both are chain or tree values of one key.
            let at = 16 * random.below(SIGNATURE_BYTES / 16);
            case.signature[at..at + 16].copy_from_slice(&other[at..at + 16]);
            format!("value {at} of another signature")
        }
        20 => "nothing".to_owned(),
        _ => {
            let layer = LAYERS_AT + (part.max(2) - 2) / 2 * LAYER_BYTES;
            let range = match part {
                0 => 0..FORS_AT,
                1 => FORS_AT..LAYERS_AT,
                _ if part.is_multiple_of(2) => layer..layer + 35 * 16,
                _ => layer + 35 * 16..layer + LAYER_BYTES,
            };
            let bytes = &mut case.signature[range];
            match random.below(8) {
                // A whole value, or two neighbours exchanged.
                0 => {
                    let at = 16 * random.below(bytes.len() / 16);
                    let fill = [0x00, 0xff][random.below(2)];
                    bytes[at..at + 16].fill(fill);
                    format!("part {part}: value {at} filled with {fill}")
                }
                1 if bytes.len() > 16 => {
                    let at = 16 * random.below(bytes.len() / 16 - 1);
                    bytes[at..at + 32].rotate_left(16);
                    format!("part {part}: values {at} and the next exchanged")
                }
                _ => format!("part {part}: bit {:?}", flip(bytes, random)),
            }
        }
    }
}

/// Each of the 491 values of a signature has its word: a flipped bit in any of them is refused.
#[test]
fn b12_every_value_of_a_signature_counts() {
    let mut yul = Yul::new();
    let good = signed(7, 7);
    assert!(yul.verify(&good));
    for at in (0..SIGNATURE_BYTES).step_by(16) {
        let mut case = good.clone();
        let byte = at + at / 16 % 16;
        case.signature[byte] ^= 1 << (at / 16 % 8);
        assert!(!yul.verify(&case), "byte {byte}");
    }
}

/// Gas starvation (bridge.md, section 3): a caller who chooses the gas can make a precompile call fail. Whatever the
/// limit, the verifier answers the truth or nothing.
#[test]
fn b12_starved_of_gas_it_never_answers() {
    let mut yul = Yul::new();
    let good = signed(8, 8);
    let full = yul.evm.ask(yul.at, call(&good).abi_encode()).expect_ok().gas;
    let intrinsic = yul.evm.ask(Address::repeat_byte(9), call(&good).abi_encode()).expect_ok().gas;
    let bad = {
        let mut case = good.clone();
        // The top layer's first chain: nothing but its steps stands between this value and the root.
        case.signature[SIGNATURE_BYTES - LAYER_BYTES] ^= 1;
        case
    };
    // 200 limits over the whole run, and each of the last 100, where an answer is only a few opcodes away.
    let spread = (0..200).map(|n| intrinsic + (full - intrinsic) * n / 200);
    let end = full - 100..full;
    let (mut refused, mut limits) = (0, 0);
    for limit in spread.chain(end) {
        yul.evm.gas_limit = limit;
        limits += 1;
        let done = yul.evm.ask(yul.at, call(&good).abi_encode());
        assert!(!done.ok && done.output.is_empty(), "answered with {limit} of {full}: {done:?}");
        refused += 1;
        let done = yul.evm.ask(yul.at, call(&bad).abi_encode());
        let answers_no = done.ok && SlhDsaSha2128s::verifyCall::abi_decode_returns(&done.output) == Ok(false);
        assert!(!done.ok || answers_no, "accepted a bad signature with {limit}");
    }
    assert_eq!((limits, refused), (300, 300));
    yul.evm.gas_limit = full;
    assert!(yul.verify(&good));
}

/// Gas of one verification, the transaction's own cost (21,000 and its calldata) taken off. It depends on the digits of
/// what was signed; the most would be every chain from zero.
#[test]
fn gas_of_one_verification() {
    let mut yul = Yul::new();
    let mut gas: Vec<u64> = (0..8)
        .map(|n| {
            let data = call(&signed(n, 1)).abi_encode();
            let whole = yul.evm.ask(yul.at, data.clone()).expect_ok().gas;
            whole - yul.evm.ask(Address::repeat_byte(9), data).expect_ok().gas
        })
        .collect();
    gas.sort_unstable();
    println!("SLH-DSA-SHA2-128s in Yul: {gas:?} gas");
    assert!(gas.iter().all(|gas| (530_000..720_000).contains(gas)), "{gas:?}");
}
