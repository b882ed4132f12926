//! The attestation verifiers in an EVM: who counts, who does not (B12), how sets succeed each other, and what it costs.

mod evm;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use dsm_contracts::attestation::{
    EcdsaRecord, HybridRecord, SlhDsaRecord, ecdsa_keys, encode_ecdsa, encode_hybrid, encode_slh_dsa,
    hybrid_keys, rotation_digest, slh_dsa_keys, threshold_fits,
};
use dsm_contracts::{DsmBridge, EcdsaQuorum, Scheme, SolError as _, bridge_init_code, verifier_init_code};
use dsm_crypto::{Secp256k1Key, SecretKey, Signer as _};
use evm::{BIRTH, CHAIN, Done, Evm};

const SCHEMES: [Scheme; 3] = [Scheme::Ecdsa, Scheme::SlhDsa, Scheme::Hybrid];
const DAY: u64 = 24 * 60 * 60;

/// Attestors with the keys that the scheme asks for, and addresses in any case.
struct Committee {
    scheme: Scheme,
    threshold: u8,
    ecdsa: Vec<Secp256k1Key>,
    slh_dsa: Vec<SecretKey>,
}

/// One attestor's word on one digest.
#[derive(Clone)]
struct Word {
    index: u8,
    ecdsa: [u8; 65],
    slh_dsa: Vec<u8>,
}

impl Committee {
    /// Keys from a number, so that committees of other numbers are others.
    fn new(scheme: Scheme, number: u8, size: u8, threshold: u8) -> Committee {
        let seed = |index: u8| [number, index + 1].repeat(24);
        let members = 0..size;
        // Forty milliseconds each.
        let hashing = if scheme == Scheme::Ecdsa { 0..0 } else { 0..size };
        Committee {
            scheme,
            threshold,
            ecdsa: members
                .map(|at| Secp256k1Key::from_secret_bytes(&seed(at)[..32]).expect("a scalar"))
                .collect(),
            slh_dsa: hashing
                .map(|at| SecretKey::slh_dsa_sha2_128s(&seed(at).try_into().expect("48 bytes")))
                .collect(),
        }
    }

    fn keys(&self) -> Vec<u8> {
        let addresses: Vec<_> = self.ecdsa.iter().map(Secp256k1Key::address).collect();
        let words: Vec<[u8; 32]> =
            self.slh_dsa.iter().map(|key| key.public_key().try_into().expect("32 bytes")).collect();
        match self.scheme {
            Scheme::Ecdsa => ecdsa_keys(&addresses),
            Scheme::SlhDsa => slh_dsa_keys(&words),
            Scheme::Hybrid => hybrid_keys(&addresses.into_iter().zip(words).collect::<Vec<_>>()),
        }
    }

    fn deploy(&self, evm: &mut Evm) -> Address {
        let sender = evm.account(1);
        evm.deploy(sender, verifier_init_code(self.scheme, &self.keys(), self.threshold))
    }

    /// Signs with what the scheme asks for.
    fn word(&self, index: u8, digest: &[u8; 32]) -> Word {
        let at = usize::from(index);
        let signs = self.scheme != Scheme::Ecdsa;
        let slh_dsa = if signs { self.slh_dsa[at].sign(digest).expect("signed") } else { Vec::new() };
        Word { index, ecdsa: self.ecdsa[at].sign_prehash(digest), slh_dsa }
    }

    fn words(&self, indices: &[u8], digest: &[u8; 32]) -> Vec<Word> {
        indices.iter().map(|index| self.word(*index, digest)).collect()
    }

    /// Words by the first attestors, as many as it takes.
    fn attest(&self, digest: &[u8; 32]) -> Vec<u8> {
        let indices: Vec<u8> = (0..self.threshold).collect();
        encode(self.scheme, &self.words(&indices, digest))
    }
}

/// By the encoder that the service uses.
fn encode(scheme: Scheme, words: &[Word]) -> Vec<u8> {
    let encoded = match scheme {
        Scheme::Ecdsa => encode_ecdsa(
            &words
                .iter()
                .map(|word| EcdsaRecord { index: word.index, signature: word.ecdsa })
                .collect::<Vec<_>>(),
        ),
        Scheme::SlhDsa => encode_slh_dsa(
            &words
                .iter()
                .map(|word| SlhDsaRecord { index: word.index, signature: word.slh_dsa.clone() })
                .collect::<Vec<_>>(),
        ),
        Scheme::Hybrid => encode_hybrid(
            &words
                .iter()
                .map(|word| HybridRecord {
                    index: word.index,
                    ecdsa: word.ecdsa,
                    slh_dsa: word.slh_dsa.clone(),
                })
                .collect::<Vec<_>>(),
        ),
    };
    encoded.expect("in order")
}

/// As `encode`, in any order and number: what an enemy would send.
fn records(scheme: Scheme, words: &[Word]) -> Vec<u8> {
    words.iter().flat_map(|word| encode(scheme, std::slice::from_ref(word))).collect()
}

/// What the verifier answers; a revert is a refusal too.
fn verify(evm: &mut Evm, at: Address, digest: &[u8; 32], set: u64, attestation: &[u8]) -> bool {
    let call = verify_call(digest, set, attestation);
    let done = evm.ask(at, dsm_contracts::SolCall::abi_encode(&call));
    done.ok && done.output[..] == B256::with_last_byte(1)[..]
}

fn verify_call(digest: &[u8; 32], set: u64, attestation: &[u8]) -> EcdsaQuorum::verifyCall {
    let attestation = Bytes::copy_from_slice(attestation);
    EcdsaQuorum::verifyCall { digest: B256::from(*digest), setId: set, attestation }
}

/// B12. Exactly `threshold` records by present attestors, strictly ascending, whole, over this digest, under this set.
#[test]
fn b12_a_bad_committee_is_refused() {
    let digest = keccak256(b"a checkpoint").0;
    for scheme in SCHEMES {
        let (ours, theirs) = (Committee::new(scheme, 1, 4, 3), Committee::new(scheme, 2, 4, 3));
        let mut evm = Evm::new();
        let at = ours.deploy(&mut evm);
        let words = ours.words(&[0, 1, 2, 3], &digest);
        let of = |indices: &[usize]| -> Vec<u8> {
            records(scheme, &indices.iter().map(|at| words[*at].clone()).collect::<Vec<_>>())
        };
        for good in [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]] {
            assert!(verify(&mut evm, at, &digest, 1, &of(&good)), "{scheme:?} {good:?}");
        }
        let whole = of(&[0, 1, 2]);
        let renamed = |from: usize, to: u8| {
            let mut words = vec![words[0].clone(), words[1].clone(), words[2].clone()];
            words[from].index = to;
            records(scheme, &words)
        };
        let mut rows: Vec<(&str, Vec<u8>)> = vec![
            ("nothing at all", Vec::new()),
            ("one too few", of(&[0, 1])),
            ("one too many", of(&[0, 1, 2, 3])),
            ("one attestor three times", of(&[0, 0, 0])),
            ("one attestor twice", of(&[0, 1, 1])),
            ("one attestor twice, not side by side", of(&[0, 1, 0])),
            ("unsorted", of(&[1, 0, 2])),
            ("descending", of(&[2, 1, 0])),
            ("one under another's name", renamed(2, 3)),
            ("twice, the second time under another's name", {
                let mut words = vec![words[0].clone(), words[1].clone(), words[1].clone()];
                words[2].index = 2;
                records(scheme, &words)
            }),
            ("an attestor of another set", {
                let stranger = theirs.word(2, &digest);
                records(scheme, &[words[0].clone(), words[1].clone(), stranger])
            }),
            ("over another digest", {
                let other = ours.word(2, &keccak256(b"another checkpoint").0);
                records(scheme, &[words[0].clone(), words[1].clone(), other])
            }),
            ("without its last byte", whole[..whole.len() - 1].to_vec()),
            ("with a byte more", [&whole[..], &[0]].concat()),
            ("with a byte in front", [&[0], &whole[..]].concat()),
            ("as many zeros", vec![0; whole.len()]),
        ];
        // Out of the set: the byte that a set of four does not have.
        for index in [4, 15] {
            rows.push(("an attestor beyond the set", renamed(2, index)));
        }
        let mut wide = whole.clone();
        let last = whole.len() / 3 * 2;
        wide[last] = 255;
        rows.push(("attestor 255", wide));
        // One flipped bit in each record: its name, the first signature, the last byte.
        let record = whole.len() / 3;
        for start in [0, record, 2 * record] {
            for offset in [0, 1, 32, 33, 64, record - 1] {
                let mut flipped = whole.clone();
                flipped[start + offset] ^= 0x80;
                rows.push(("a flipped bit", flipped));
            }
        }
        for (name, attestation) in rows {
            assert!(!verify(&mut evm, at, &digest, 1, &attestation), "{scheme:?}: {name}");
        }
        for set in [0, 2, 3, u64::MAX] {
            assert!(!verify(&mut evm, at, &digest, set, &whole), "{scheme:?}: set {set}");
        }
        for other in [[0; 32], keccak256(b"another checkpoint").0] {
            assert!(!verify(&mut evm, at, &other, 1, &whole), "{scheme:?}: another digest");
        }
    }
}

/// B12. The twin of a signature (high s), v outside 27 and 28, and whatever makes the precompile recover nothing.
#[test]
fn b12_ecdsa_is_read_strictly() {
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let digest = keccak256(b"a checkpoint").0;
    let one = Committee::new(Scheme::Ecdsa, 1, 1, 1);
    let mut evm = Evm::new();
    let at = one.deploy(&mut evm);
    let good = one.attest(&digest);
    assert!(verify(&mut evm, at, &digest, 1, &good));
    let order = alloy_primitives::U256::from_str_radix(ORDER, 16).expect("hex");
    let s = alloy_primitives::U256::from_be_slice(&good[33..65]);
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let mut twin = changed(33, &(order - s).to_be_bytes::<32>());
    twin[65] = 27 + 28 - twin[65];
    let mut rows = vec![("high s", twin)];
    for v in [0, 1, 26, 29, 155, 255] {
        rows.push(("v", changed(65, &[v])));
    }
    rows.push(("the other v", changed(65, &[27 + 28 - good[65]])));
    for scalar in [[0; 32], order.to_be_bytes::<32>(), [0xff; 32]] {
        rows.push(("r", changed(1, &scalar)));
        rows.push(("s", changed(33, &scalar)));
    }
    for (name, attestation) in rows {
        assert!(!verify(&mut evm, at, &digest, 1, &attestation), "{name}: {}", hex::encode(&attestation));
    }
}

/// Breaking one scheme, or stealing one of an attestor's keys, is not enough: both words, by the same attestor.
#[test]
fn b12_a_hybrid_attestor_signs_with_both_keys() {
    let (digest, scheme) = (keccak256(b"a checkpoint").0, Scheme::Hybrid);
    let (ours, theirs) = (Committee::new(scheme, 1, 4, 3), Committee::new(scheme, 2, 4, 3));
    let mut evm = Evm::new();
    let at = ours.deploy(&mut evm);
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|index| ours.word(index, &digest));
    let stranger = theirs.word(2, &digest);
    let with = |ecdsa: &Word, slh_dsa: &Word| {
        let word = Word { index: 2, ecdsa: ecdsa.ecdsa, slh_dsa: slh_dsa.slh_dsa.clone() };
        records(scheme, &[first.clone(), second.clone(), word])
    };
    assert!(verify(&mut evm, at, &digest, 1, &with(&third, &third)));
    for (name, attestation) in [
        ("SLH-DSA by a stranger", with(&third, &stranger)),
        ("ECDSA by a stranger", with(&stranger, &third)),
        ("SLH-DSA by another attestor", with(&third, &fourth)),
        ("ECDSA by another attestor", with(&fourth, &third)),
        ("both by another attestor", with(&fourth, &fourth)),
    ] {
        assert!(!verify(&mut evm, at, &digest, 1, &attestation), "{name}");
    }
}

/// Ronin, Harmony, Orbit: more than two thirds, distinct keys, none of them zero, 1 to 16 attestors.
#[test]
fn b12_a_set_that_is_no_quorum_is_never_made() {
    let mut evm = Evm::new();
    let sender = evm.account(1);
    let mut create = |scheme: Scheme, keys: &[u8], threshold: u8| {
        let to = verifier_init_code(scheme, keys, threshold);
        evm.create(sender, to)
    };
    let address = |number: u8| [number; 20];
    for size in 0..=17u8 {
        let keys: Vec<u8> = (1..=size).flat_map(address).collect();
        for threshold in (0..=size + 1).chain([255]) {
            let made = create(Scheme::Ecdsa, &keys, threshold).ok;
            assert_eq!(made, threshold_fits(usize::from(size), threshold), "{threshold} of {size}");
        }
    }
    let word = |number: u8| [number; 32];
    let pair = |one: u8, other: u8| [&address(one)[..], &word(other)].concat();
    let rows: [(&str, Scheme, Vec<u8>); 12] = [
        ("a byte short", Scheme::Ecdsa, vec![1; 59]),
        ("a byte long", Scheme::Ecdsa, vec![1; 61]),
        ("a zero address", Scheme::Ecdsa, [address(1), address(0), address(3)].concat()),
        ("one address twice", Scheme::Ecdsa, [address(1), address(2), address(1)].concat()),
        ("a byte short", Scheme::SlhDsa, vec![1; 95]),
        ("a zero key", Scheme::SlhDsa, [word(1), word(2), word(0)].concat()),
        ("one key twice", Scheme::SlhDsa, [word(1), word(2), word(2)].concat()),
        ("a byte long", Scheme::Hybrid, vec![1; 157]),
        ("a zero address", Scheme::Hybrid, [pair(1, 1), pair(0, 2), pair(3, 3)].concat()),
        ("a zero key", Scheme::Hybrid, [pair(1, 1), pair(2, 0), pair(3, 3)].concat()),
        ("one address twice", Scheme::Hybrid, [pair(1, 1), pair(2, 2), pair(1, 3)].concat()),
        ("one SLH-DSA key twice", Scheme::Hybrid, [pair(1, 1), pair(2, 2), pair(3, 1)].concat()),
    ];
    for (name, scheme, keys) in rows {
        assert!(!create(scheme, &keys, 3).ok, "{scheme:?}: {name}");
    }
    for (scheme, keys) in [
        (Scheme::Ecdsa, [address(1), address(2), address(3)].concat()),
        (Scheme::SlhDsa, [word(1), word(2), word(3)].concat()),
        (Scheme::Hybrid, [pair(1, 1), pair(2, 2), pair(3, 3)].concat()),
    ] {
        assert!(create(scheme, &keys, 3).ok, "{scheme:?}");
    }
}

fn propose(evm: &mut Evm, at: Address, next: &Committee, attestation: &[u8]) -> Done {
    let sender = evm.account(3);
    let call = EcdsaQuorum::proposeRotationCall {
        keys: next.keys().into(),
        threshold: next.threshold,
        attestation: Bytes::copy_from_slice(attestation),
    };
    evm.send(sender, at, 0, &call)
}

fn execute(evm: &mut Evm, at: Address) -> Done {
    let sender = evm.account(4);
    evm.send(sender, at, 0, &EcdsaQuorum::executeRotationCall {})
}

fn rotation(at: Address, set: u64, round: u64, next: &Committee) -> [u8; 32] {
    rotation_digest(CHAIN, at.into_array(), set, round, &next.keys(), next.threshold)
}

/// A set names its successor; a day later, and no sooner, the successor counts and the former set does not.
#[test]
fn a_set_is_succeeded_by_the_one_that_it_attests() {
    let digest = keccak256(b"a checkpoint").0;
    for scheme in SCHEMES {
        let (old, new) = (Committee::new(scheme, 1, 4, 3), Committee::new(scheme, 2, 5, 4));
        let mut evm = Evm::new();
        let at = old.deploy(&mut evm);
        assert_eq!(evm.view(at, &EcdsaQuorum::presentKeysCall {})[..], old.keys());
        let named = rotation(at, 2, 0, &new);
        let call = EcdsaQuorum::rotationDigestCall { setId: 2, keys: new.keys().into(), threshold: 4 };
        assert_eq!(evm.view(at, &call), B256::from(named), "one digest in Rust and in Solidity");
        let (by_old, by_new) = (old.attest(&digest), new.attest(&digest));

        // Nobody but the present set: not the successor itself, and not two of four.
        assert!(!propose(&mut evm, at, &new, &new.attest(&named)).ok);
        let short = encode(scheme, &old.words(&[0, 1], &named));
        assert!(!propose(&mut evm, at, &new, &short).ok);
        assert_eq!(
            execute(&mut evm, at).expect_refused()[..4],
            EcdsaQuorum::NoRotation::SELECTOR,
            "nothing was proposed"
        );

        let attested = old.attest(&named);
        let proposed = propose(&mut evm, at, &new, &attested).expect_ok();
        assert_eq!(proposed.logs.len(), 1);
        assert!(!propose(&mut evm, at, &new, &attested).ok, "one attestation proposes once");
        for waited in [0, DAY - 1] {
            evm.time_s = BIRTH + waited;
            assert_eq!(execute(&mut evm, at).expect_refused()[..4], EcdsaQuorum::TooEarly::SELECTOR);
            assert!(verify(&mut evm, at, &digest, 1, &by_old), "the present set counts on");
            assert!(!verify(&mut evm, at, &digest, 2, &by_new), "a set that waits does not count");
            assert!(!verify(&mut evm, at, &digest, 1, &by_new));
        }
        evm.time_s = BIRTH + DAY;
        execute(&mut evm, at).expect_ok();
        assert_eq!(evm.view(at, &EcdsaQuorum::currentSetIdCall {}), 2);
        let quorum = evm.view(at, &EcdsaQuorum::quorumCall {});
        assert_eq!((quorum.size, quorum.threshold), (5, 4));
        assert_eq!(evm.view(at, &EcdsaQuorum::presentKeysCall {})[..], new.keys());
        assert!(verify(&mut evm, at, &digest, 2, &by_new));
        for (set, attestation) in [(1, &by_old), (2, &by_old), (1, &by_new), (3, &by_new), (0, &by_new)] {
            assert!(!verify(&mut evm, at, &digest, set, attestation), "{scheme:?}: set {set}");
        }
        assert!(!execute(&mut evm, at).ok, "once");
    }
}

/// The former set's keys, stolen later, are worth nothing; neither is what it attested before.
#[test]
fn a_former_set_names_no_successor() {
    let [first, second, third] = [1, 2, 3].map(|number| Committee::new(Scheme::Ecdsa, number, 4, 3));
    let mut evm = Evm::new();
    let at = first.deploy(&mut evm);
    let unused = first.attest(&rotation(at, 3, 1, &third));
    propose(&mut evm, at, &second, &first.attest(&rotation(at, 2, 0, &second))).expect_ok();
    evm.pass(DAY);
    execute(&mut evm, at).expect_ok();
    assert!(!propose(&mut evm, at, &third, &unused).ok);
    assert!(!propose(&mut evm, at, &third, &first.attest(&rotation(at, 2, 1, &third))).ok);
    propose(&mut evm, at, &third, &second.attest(&rotation(at, 3, 1, &third))).expect_ok();
    evm.pass(DAY);
    execute(&mut evm, at).expect_ok();
    assert_eq!(evm.view(at, &EcdsaQuorum::presentKeysCall {})[..], third.keys());
}

/// Attestations are public. If one of them could propose again and again, anybody could start the delay anew each day
/// and keep a set in place for ever, or flip between two successors that were both attested.
#[test]
fn an_attested_rotation_proposes_once() {
    let [old, mistaken, right] = [1, 2, 3].map(|number| Committee::new(Scheme::Ecdsa, number, 4, 3));
    let mut evm = Evm::new();
    let at = old.deploy(&mut evm);
    let first = old.attest(&rotation(at, 2, 0, &mistaken));
    propose(&mut evm, at, &mistaken, &first).expect_ok();
    // Withdrawn by another: the round before is over.
    evm.pass(DAY - 1);
    let second = old.attest(&rotation(at, 2, 1, &right));
    propose(&mut evm, at, &right, &second).expect_ok();
    evm.pass(1);
    assert_eq!(
        execute(&mut evm, at).expect_refused()[..4],
        EcdsaQuorum::TooEarly::SELECTOR,
        "the delay began anew"
    );
    for (committee, attestation) in [(&mistaken, &first), (&right, &second)] {
        let refused = propose(&mut evm, at, committee, attestation).expect_refused();
        assert_eq!(refused[..4], EcdsaQuorum::NotAttested::SELECTOR);
    }
    evm.pass(DAY - 1);
    execute(&mut evm, at).expect_ok();
    assert_eq!(evm.view(at, &EcdsaQuorum::presentKeysCall {})[..], right.keys());
}

/// Rotation checks a set as the constructor does, and what was attested for another chain, verifier, set, threshold or
/// list of keys is no attestation.
#[test]
fn b12_a_rotation_is_bound_to_its_place_and_words() {
    let old = Committee::new(Scheme::Ecdsa, 1, 4, 3);
    let mut evm = Evm::new();
    let (at, elsewhere) = (old.deploy(&mut evm), old.deploy(&mut evm));
    for (size, threshold) in [(4, 2), (3, 2), (4, 0), (4, 5), (16, 10)] {
        let unfit = Committee::new(Scheme::Ecdsa, 2, size, threshold);
        let refused =
            propose(&mut evm, at, &unfit, &old.attest(&rotation(at, 2, 0, &unfit))).expect_refused();
        assert_eq!(refused[..4], EcdsaQuorum::ThresholdUnfit::SELECTOR, "{threshold} of {size}");
    }
    let (next, other) = (Committee::new(Scheme::Ecdsa, 2, 4, 3), Committee::new(Scheme::Ecdsa, 3, 4, 3));
    let keys = next.keys();
    let rows = [
        ("another chain", rotation_digest(1, at.into_array(), 2, 0, &keys, 3)),
        ("another verifier", rotation_digest(CHAIN, elsewhere.into_array(), 2, 0, &keys, 3)),
        ("the present set's number", rotation_digest(CHAIN, at.into_array(), 1, 0, &keys, 3)),
        ("a later set's number", rotation_digest(CHAIN, at.into_array(), 3, 0, &keys, 3)),
        ("another round", rotation_digest(CHAIN, at.into_array(), 2, 1, &keys, 3)),
        ("another threshold", rotation_digest(CHAIN, at.into_array(), 2, 0, &keys, 4)),
        ("other keys", rotation(at, 2, 0, &other)),
    ];
    for (name, digest) in rows {
        let refused = propose(&mut evm, at, &next, &old.attest(&digest)).expect_refused();
        assert_eq!(refused[..4], EcdsaQuorum::NotAttested::SELECTOR, "{name}");
    }
    propose(&mut evm, at, &next, &old.attest(&rotation(at, 2, 0, &next))).expect_ok();
    // A chain that forked off has another id, and what was attested here says nothing there.
    evm.chain_id = CHAIN + 1;
    assert!(!propose(&mut evm, elsewhere, &next, &old.attest(&rotation(elsewhere, 2, 0, &next))).ok);
}

/// Gas starvation through the quorum, which keeps a 64th of the gas when the verifier that it calls runs dry.
#[test]
fn b12_a_starved_quorum_never_answers() {
    let digest = keccak256(b"a checkpoint").0;
    for scheme in SCHEMES {
        let committee = Committee::new(scheme, 1, 4, 3);
        let mut evm = Evm::new();
        let at = committee.deploy(&mut evm);
        let data =
            |attestation: &[u8]| dsm_contracts::SolCall::abi_encode(&verify_call(&digest, 1, attestation));
        let good = data(&committee.attest(&digest));
        let (full, intrinsic) = (
            evm.ask(at, good.clone()).expect_ok().gas,
            evm.ask(Address::repeat_byte(9), good.clone()).expect_ok().gas,
        );
        for n in 0..200 {
            evm.gas_limit = intrinsic + (full - intrinsic) * n / 200;
            let done = evm.ask(at, good.clone());
            assert!(!done.ok && done.output.is_empty(), "{scheme:?}, {} of {full}: {done:?}", evm.gas_limit);
        }
    }
}

/// What a verification and a checkpoint cost. A checkpoint is what all releases under its root share.
#[test]
fn gas_of_verification_and_checkpoint() {
    let rows = [
        (Scheme::Ecdsa, 7, 5, 45_000, 150_000),
        (Scheme::SlhDsa, 4, 3, 2_100_000, 2_500_000),
        (Scheme::Hybrid, 4, 3, 2_150_000, 2_700_000),
    ];
    for (scheme, size, threshold, verify_max, checkpoint_max) in rows {
        let committee = Committee::new(scheme, 1, size, threshold);
        let mut evm = Evm::new();
        let at = committee.deploy(&mut evm);
        let digest = keccak256(b"a checkpoint").0;
        let data = dsm_contracts::SolCall::abi_encode(&verify_call(&digest, 1, &committee.attest(&digest)));
        let own = evm.ask(Address::repeat_byte(9), data.clone()).expect_ok().gas;
        let verification = evm.ask(at, data).expect_ok().gas - own;

        let sender = evm.account(2);
        let network = B256::repeat_byte(0x0d);
        let config = DsmBridge::Config {
            network,
            verifier: at,
            admin: Address::repeat_byte(0xad),
            guardian: Address::repeat_byte(0x6a),
            delay: DAY,
            queueDelay: 6 * 60 * 60,
        };
        let bridge = evm.deploy(sender, bridge_init_code(config, Vec::new(), Vec::new()));
        let mut submit = |epoch: u64| {
            let root = keccak256([epoch as u8]);
            let checkpoint = DsmBridge::Checkpoint {
                epoch,
                size: epoch,
                root,
                setId: 1,
                network,
                position: 1_000 * epoch,
            };
            let digest =
                evm.view(bridge, &DsmBridge::checkpointDigestCall { checkpoint: checkpoint.clone() });
            let attestation = committee.attest(&digest.0).into();
            let done =
                evm.send(sender, bridge, 0, &DsmBridge::submitCheckpointCall { checkpoint, attestation });
            done.expect_ok().gas
        };
        submit(1);
        let checkpoint = submit(2);
        println!(
            "{scheme:?} {threshold} of {size}: verification {verification} gas, checkpoint {checkpoint} gas"
        );
        assert!(verification < verify_max, "{scheme:?}: verification {verification}");
        assert!(checkpoint < checkpoint_max, "{scheme:?}: checkpoint {checkpoint}");
    }
}
