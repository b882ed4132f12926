//! The outbox tree beside its definition, its proofs for every index and every pair of sizes, and its payloads.

use crate::support::{Recover, validator};
use dsm_evm_proof::{
    Address, Checkpoint, Entry, Hash, LANE_EVM, OUTBOX_TAG, OutboxError, OutboxFrontier, OutboxTree, Payload,
    REFUND_TAG, RELEASE_TAG, RecoverSigner, Refund, Release, ReleaseKind, address_word, keccak256,
    verify_consistency, verify_inclusion, word,
};

const SIZE: u64 = 40;

fn leaf(index: u64) -> Hash {
    keccak256(&[b"leaf", &index.to_le_bytes()])
}

fn leaves(range: core::ops::Range<u64>) -> Vec<Hash> {
    range.map(leaf).collect()
}

fn tree(size: u64) -> OutboxTree {
    let mut tree = OutboxTree::new();
    (0..size).for_each(|index| assert_eq!(tree.append(leaf(index)), index));
    tree
}

// RFC 6962, section 2.1, word for word: MTH, PATH, SUBPROOF.

fn largest_power_below(n: usize) -> usize {
    let mut k = 1;
    while 2 * k < n {
        k *= 2;
    }
    k
}

fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => [0; 32],
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
            keccak256(&[&[1], &mth(left), &mth(right)])
        }
    }
}

fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let k = largest_power_below(leaves.len());
    let (left, right) = leaves.split_at(k);
    if m < k {
        [path(m, left), vec![mth(right)]].concat()
    } else {
        [path(m - k, right), vec![mth(left)]].concat()
    }
}

fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { vec![] } else { vec![mth(leaves)] };
    }
    let k = largest_power_below(leaves.len());
    let (left, right) = leaves.split_at(k);
    if m <= k {
        [subproof(m, left, whole), vec![mth(right)]].concat()
    } else {
        [subproof(m - k, right, false), vec![mth(left)]].concat()
    }
}

#[test]
fn every_root_and_every_proof_is_the_definitions() {
    let whole = tree(SIZE);
    let mut frontier = OutboxFrontier::new();
    assert_eq!((frontier.root(), whole.root(0)), ([0; 32], Ok([0; 32])));
    for size in 1..=SIZE {
        assert_eq!(frontier.append(leaf(size - 1)), size - 1);
        let (all, root) = (leaves(0..size), mth(&leaves(0..size)));
        assert_eq!(frontier.root(), root, "size {size}");
        assert_eq!(frontier.size(), size);
        assert_eq!(tree(size).root(size), Ok(root), "size {size}");
        assert_eq!(whole.root(size), Ok(root), "size {size} of the past");
        let stored = borsh::to_vec(&frontier).unwrap();
        assert_eq!(borsh::from_slice::<OutboxFrontier>(&stored).unwrap(), frontier);
        for index in 0..size {
            let siblings = whole.prove_inclusion(index, size).unwrap();
            assert_eq!(siblings, path(index as usize, &all), "{index} of {size}");
            assert_eq!(verify_inclusion(&leaf(index), index, size, &siblings, &root), Ok(()));
        }
        for old in 1..=size {
            let hashes = whole.prove_consistency(old, size).unwrap();
            assert_eq!(hashes, subproof(old as usize, &all, true), "{old} to {size}");
            assert_eq!(verify_consistency(old, &whole.root(old).unwrap(), size, &root, &hashes), Ok(()));
        }
    }
    assert_eq!((whole.leaf(3), whole.leaf(SIZE)), (Some(leaf(3)), None));
    for (size, peaks) in [(3_u64, 1), (4, 2), (0, 1), (u64::MAX, 64)] {
        let stored = borsh::to_vec(&(size, leaves(0..peaks))).unwrap();
        assert!(borsh::from_slice::<OutboxFrontier>(&stored).is_err(), "{size} entries, {peaks} peaks");
    }
}

/// Sizes above the powers of two, where a proof is longest and a carry goes far.
#[test]
fn large_trees_are_proven_by_a_few_hashes() {
    let size = 70_000;
    let whole = tree(size);
    for (index, size) in [(0, size), (size - 1, size), (65_535, 65_536), (65_536, 65_537), (32_768, 50_001)] {
        let (siblings, root) = (whole.prove_inclusion(index, size).unwrap(), whole.root(size).unwrap());
        assert!(siblings.len() <= 17);
        assert_eq!(verify_inclusion(&leaf(index), index, size, &siblings, &root), Ok(()));
    }
    for old in [1, 65_535, 65_536, 65_537, 69_999] {
        let (hashes, root) = (whole.prove_consistency(old, size).unwrap(), whole.root(size).unwrap());
        assert!(hashes.len() <= 18);
        assert_eq!(verify_consistency(old, &whole.root(old).unwrap(), size, &root, &hashes), Ok(()));
    }
}

/// How many hashes a proof has does not tell its index and size apart, so each is tried under all others.
#[test]
fn a_proof_holds_for_its_own_index_and_size_alone() {
    let whole = tree(SIZE);
    for size in 1..=SIZE {
        let root = whole.root(size).unwrap();
        for index in 0..size {
            let siblings = whole.prove_inclusion(index, size).unwrap();
            for other in (0..size + 2).filter(|other| *other != index) {
                assert!(verify_inclusion(&leaf(index), other, size, &siblings, &root).is_err());
            }
            for other in (0..=SIZE).filter(|other| *other != size) {
                let theirs = whole.root(other).unwrap();
                assert!(
                    verify_inclusion(&leaf(index), index, other, &siblings, &theirs).is_err()
                        || size == other
                );
            }
            assert!(verify_inclusion(&leaf(index + 1), index, size, &siblings, &root).is_err());
            let longer = [siblings.as_slice(), &[[7; 32]]].concat();
            let refused = verify_inclusion(&leaf(index), index, size, &longer, &root);
            assert_eq!(refused, Err(OutboxError::ProofLength));
            for at in 0..siblings.len() {
                let mut changed = siblings.clone();
                changed[at][at % 32] ^= 1;
                let refused = verify_inclusion(&leaf(index), index, size, &changed, &root);
                assert_eq!(refused, Err(OutboxError::Root));
                changed.remove(at);
                let refused = verify_inclusion(&leaf(index), index, size, &changed, &root);
                assert_eq!(refused, Err(OutboxError::ProofLength));
            }
        }
    }
}

#[test]
fn a_rewritten_history_is_not_consistent() {
    let whole = tree(SIZE);
    for rewritten in [0, 1, 7, 16, 30] {
        let mut other = OutboxTree::new();
        for index in 0..SIZE {
            other.append(if index == rewritten { [9; 32] } else { leaf(index) });
        }
        for (old, new) in (1..=SIZE).flat_map(|new| (1..=new).map(move |old| (old, new))) {
            let hashes = other.prove_consistency(old, new).unwrap();
            let (old_root, new_root) = (whole.root(old).unwrap(), other.root(new).unwrap());
            let verdict = verify_consistency(old, &old_root, new, &new_root, &hashes);
            assert_eq!(verdict.is_ok(), old <= rewritten, "{old} to {new}, rewritten at {rewritten}");
        }
    }
}

#[test]
fn consistency_proofs_are_exact() {
    let whole = tree(SIZE);
    for (old, new) in (1..=SIZE).flat_map(|new| (1..=new).map(move |old| (old, new))) {
        let (old_root, new_root) = (whole.root(old).unwrap(), whole.root(new).unwrap());
        let hashes = whole.prove_consistency(old, new).unwrap();
        let judge = |hashes: &[Hash]| verify_consistency(old, &old_root, new, &new_root, hashes);
        assert_eq!(judge(&[hashes.as_slice(), &[[7; 32]]].concat()), Err(OutboxError::ProofLength));
        for at in 0..hashes.len() {
            let mut changed = hashes.clone();
            changed[at][0] ^= 1;
            assert!(judge(&changed).is_err(), "{old} to {new}");
            changed.remove(at);
            assert_eq!(judge(&changed), Err(OutboxError::ProofLength), "{old} to {new}");
        }
        // Sizes that fall are refused whatever comes along.
        if old < new {
            let refused = verify_consistency(new, &new_root, old, &old_root, &hashes);
            assert_eq!(refused, Err(OutboxError::Size { old: new, new: old }));
        }
    }
}

/// Nomad: what was never set is zero, and zero was trusted.
#[test]
fn b4_nomad_nothing_proves_nothing() {
    let whole = tree(5);
    let root = whole.root(5).unwrap();
    let zero = [0; 32];
    assert_eq!(verify_inclusion(&zero, 0, 0, &[], &zero), Err(OutboxError::EmptyTree));
    assert_eq!(verify_inclusion(&zero, 0, 1, &[], &zero), Err(OutboxError::EmptyTree));
    assert_eq!(verify_inclusion(&leaf(0), 0, 0, &[], &root), Err(OutboxError::EmptyTree));
    assert_eq!(verify_inclusion(&leaf(0), 5, 5, &[], &root), Err(OutboxError::Index { index: 5, size: 5 }));
    assert_eq!(verify_consistency(0, &zero, 5, &root, &[]), Err(OutboxError::EmptyTree));
    assert_eq!(verify_consistency(0, &root, 5, &root, &[]), Err(OutboxError::EmptyTree));
    assert_eq!(verify_consistency(5, &zero, 5, &zero, &[]), Err(OutboxError::EmptyTree));
    assert_eq!(verify_consistency(5, &root, 5, &root, &[]), Ok(()));
    assert_eq!(verify_consistency(5, &root, 5, &leaf(1), &[]), Err(OutboxError::Root));
    assert_eq!(verify_inclusion(&leaf(0), u64::MAX - 1, u64::MAX, &[], &root), Err(OutboxError::ProofLength));
    assert_eq!(whole.prove_inclusion(5, 5), Err(OutboxError::Index { index: 5, size: 5 }));
    assert_eq!(whole.prove_inclusion(0, 6), Err(OutboxError::Size { old: 5, new: 6 }));
    assert_eq!(whole.prove_consistency(0, 5), Err(OutboxError::EmptyTree));
    assert_eq!(whole.prove_consistency(4, 6), Err(OutboxError::Size { old: 4, new: 6 }));
    assert_eq!(whole.root(6), Err(OutboxError::Size { old: 5, new: 6 }));
}

const BRIDGE: Address = [0xb7; 20];

fn entry() -> Entry {
    Entry {
        network: [1; 32],
        index: 3,
        lane: LANE_EVM,
        token: [2; 32],
        actor: [3; 32],
        transition: [4; 32],
        payload: b"says".to_vec(),
    }
}

/// The entries' hash is `abi.encode` behind a zero byte, written out once more as one string.
#[test]
fn a_leaf_is_the_hash_of_eight_words_behind_a_zero() {
    let entry = entry();
    assert_eq!(OUTBOX_TAG, keccak256(&[b"DSM/outbox/1"]));
    let words = [
        OUTBOX_TAG,
        entry.network,
        word(3),
        word(1),
        entry.token,
        entry.actor,
        entry.transition,
        keccak256(&[b"says"]),
    ];
    assert_eq!(entry.leaf(), keccak256(&[&[&[0][..], &words.concat()].concat()]));
    let fields = [
        Entry { network: [9; 32], ..entry.clone() },
        Entry { index: 9, ..entry.clone() },
        Entry { lane: 9, ..entry.clone() },
        Entry { token: [9; 32], ..entry.clone() },
        Entry { actor: [9; 32], ..entry.clone() },
        Entry { transition: [9; 32], ..entry.clone() },
        Entry { payload: vec![], ..entry.clone() },
    ];
    for other in fields {
        assert_ne!(other.leaf(), entry.leaf());
        let stored = borsh::to_vec(&other).unwrap();
        assert_eq!(borsh::from_slice::<Entry>(&stored).unwrap(), other);
    }
    let long = Entry { payload: vec![0; dsm_evm_proof::PAYLOAD_BYTES_MAX + 1], ..entry };
    assert!(borsh::from_slice::<Entry>(&borsh::to_vec(&long).unwrap()).is_err());
}

fn release() -> Release {
    let (chain_id, amount) = (138, 5_000_000_000_000_000_000_000);
    Release { chain_id, bridge: BRIDGE, kind: ReleaseKind::Erc20, asset: [0xa5; 20], to: [0x70; 20], amount }
}

#[test]
fn payloads_are_words_and_have_one_spelling() {
    assert_eq!(RELEASE_TAG, keccak256(&[b"DSM/release/1"]));
    assert_eq!(REFUND_TAG, keccak256(&[b"DSM/refund/1"]));
    let release = release();
    let words = [
        RELEASE_TAG,
        word(138),
        address_word(&BRIDGE),
        word(2),
        address_word(&release.asset),
        address_word(&release.to),
        word(release.amount),
    ];
    let bytes = Payload::Release(release).encode();
    assert_eq!(bytes, words.concat());
    assert_eq!(Payload::decode(&bytes), Ok(Payload::Release(release)));
    let refund = Refund { chain_id: 138, bridge: BRIDGE, nonce: 7, commitment: [5; 32] };
    let refund_bytes = Payload::Refund(refund).encode();
    assert_eq!(refund_bytes, [REFUND_TAG, word(138), address_word(&BRIDGE), word(7), [5; 32]].concat());
    assert_eq!(Payload::decode(&refund_bytes), Ok(Payload::Refund(refund)));

    let with = |at: usize, word: Hash| {
        let mut words = words;
        words[at] = word;
        Payload::decode(&words.concat())
    };
    let top = |at: usize| {
        let mut word = words[at];
        word[0] = 1;
        with(at, word)
    };
    for at in [1, 2, 3, 4, 5, 6] {
        assert_eq!(top(at), Err(OutboxError::PayloadWord { word: at }), "a byte where zeros belong");
    }
    assert_eq!(with(1, word(1 << 64)), Err(OutboxError::PayloadWord { word: 1 }));
    for kind in [0, 4, 258] {
        assert_eq!(with(3, word(kind)), Err(OutboxError::PayloadWord { word: 3 }));
    }
    assert_eq!(with(0, [9; 32]), Err(OutboxError::PayloadTag));
    assert_eq!(with(0, REFUND_TAG), Err(OutboxError::PayloadLength { found: 224 }));
    for length in [0, 31, 32, 192, 223, 225, 256] {
        let bytes: Vec<u8> = bytes.iter().copied().chain([0; 32]).take(length).collect();
        assert_eq!(Payload::decode(&bytes), Err(OutboxError::PayloadLength { found: length }));
    }
}

#[test]
fn payloads_that_no_contract_would_act_on_are_refused() {
    let rows = [
        Release { amount: 0, ..release() },
        Release { to: [0; 20], ..release() },
        Release { to: BRIDGE, ..release() },
        Release { asset: [0; 20], ..release() },
        Release { kind: ReleaseKind::Native, ..release() },
        Release { kind: ReleaseKind::Mint, ..release() },
    ];
    for row in rows {
        let bytes = Payload::Release(row).encode();
        assert_eq!(Payload::decode(&bytes), Err(OutboxError::PayloadMeaning), "{row:?}");
    }
    for kind in [ReleaseKind::Native, ReleaseKind::Mint] {
        let payload = Payload::Release(Release { kind, asset: [0; 20], ..release() });
        assert_eq!(Payload::decode(&payload.encode()), Ok(payload));
    }
    let refund = Payload::Refund(Refund { chain_id: 1, bridge: BRIDGE, nonce: 0, commitment: [0; 32] });
    assert_eq!(Payload::decode(&refund.encode()), Err(OutboxError::PayloadMeaning));
}

/// EIP-712 from its strings.
#[test]
fn the_checkpoints_digest_is_that_of_eip_712() {
    let checkpoint =
        Checkpoint { epoch: 5, size: 40, root: [6; 32], set_id: 2, network: [7; 32], position: 1 << 40 };
    let type_of = |text: &str| keccak256(&[text.as_bytes()]);
    let domain = [
        type_of("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
        type_of("DSM Bridge"),
        type_of("1"),
        word(138),
        address_word(&BRIDGE),
    ];
    let content = [
        type_of(
            "Checkpoint(uint64 epoch,uint64 size,bytes32 root,uint64 setId,bytes32 network,uint64 position)",
        ),
        word(5),
        word(40),
        [6; 32],
        word(2),
        [7; 32],
        word(1 << 40),
    ];
    let (domain, content) = (keccak256(&[&domain.concat()]), keccak256(&[&content.concat()]));
    let digest = keccak256(&[b"\x19\x01", &domain, &content]);
    assert_eq!(checkpoint.digest(138, &BRIDGE), digest);
    assert_ne!(checkpoint.digest(1, &BRIDGE), digest);
    assert_ne!(checkpoint.digest(138, &[1; 20]), digest);
}

/// Made with `cast` 1.7.1: abi-encode and keccak, and a signature over the typed data with the key 0x01…01.
#[test]
fn another_encoder_makes_the_same_leaf_payloads_and_digest() {
    let refund = Refund { chain_id: 138, bridge: BRIDGE, nonce: 7, commitment: [5; 32] };
    let rows = [
        (entry().leaf(), "41a5546a54eee49c2f71452989716a52226900e497b69a575289c4032a735194"),
        (
            keccak256(&[&Payload::Release(release()).encode()]),
            "1bfd7c38c0fcaa39d320e7d0956edf81d99e4f910b956de4c76c05ee2d8f44dc",
        ),
        (
            keccak256(&[&Payload::Refund(refund).encode()]),
            "61b2a3c71680f0bd73e79fe6cc13bb2f48dc11e2c127be8fc3b205d1bbc07ac9",
        ),
    ];
    for (hash, expected) in rows {
        assert_eq!(hex::encode(hash), expected);
    }
    let signature = "0b9c8e78c3f5f1ed24a57095fecbc6f2a7164d30a10ada351475b6c86c875419\
                     547c8c65504c17bcf97a3eb7c26dba4649e1a606082540abbed346bc73911fb21c";
    let mut signature: [u8; 65] = hex::decode(signature).unwrap().try_into().unwrap();
    signature[64] -= 27;
    let checkpoint =
        Checkpoint { epoch: 5, size: 40, root: [6; 32], set_id: 2, network: [7; 32], position: 1 << 40 };
    let signer = Recover.recover(&checkpoint.digest(138, &BRIDGE), &signature);
    assert_eq!(signer, Some(validator(1).address));
}
