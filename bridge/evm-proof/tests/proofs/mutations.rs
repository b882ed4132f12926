//! What becomes of proofs that were changed: every bit of every byte, whole nodes, and bytes that never were a proof.
//! Nothing panics, nothing that was changed says what the original said, and nothing is shown absent that is there.

use crate::support::{
    BRIDGE, CHAIN, NOW_S, RULES, Recover, Validator, World, extra, nibbles, plain_header, seal, slot,
    trusted, validators, world,
};
use dsm_evm_proof::rlp::{self, Writer};
use dsm_evm_proof::{
    Advance, Entry, EvmLockProof, ExtraData, Header, LockError, NODES_MAX, OutboxFrontier, Path, Payload,
    ProofFile, ProvenLock, QbftHeader, Shown, TrustedSet, ValidatorSetProof, keccak256, prove, prove_account,
    prove_storage,
};
use proptest::prelude::*;
use std::sync::LazyLock;

fn verify(world: &World, proof: &EvmLockProof) -> Result<Shown<ProvenLock>, LockError> {
    proof.verify(&world.state.root(), &BRIDGE, &slot(), CHAIN)
}

/// BNB and others: a node was believed although one of its bytes was another.
#[test]
fn b1_bnb_every_flipped_bit_of_every_node_changes_the_answer() {
    // A world for each shape: one leaf; a few nodes; branches with embedded and hashed children.
    for (accounts, locks) in [(0, 1), (2, 2), (40, 30)] {
        let world = world(accounts, locks);
        for nonce in [0, locks] {
            let honest = world.proof(nonce);
            let root = world.state.root();
            let answer = verify(&world, &honest).unwrap();
            assert_eq!(answer == Shown::Absent, nonce == locks);
            let places = |nodes: &[Vec<u8>]| -> Vec<(usize, usize)> {
                nodes
                    .iter()
                    .enumerate()
                    .flat_map(|(at, node)| (0..node.len()).map(move |byte| (at, byte)))
                    .collect()
            };
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                for (node, byte) in places(&honest.account) {
                    let mut forged = honest.clone();
                    forged.account[node][byte] ^= flip;
                    let verdict = forged.verify(&root, &BRIDGE, &slot(), CHAIN);
                    assert!(
                        matches!(verdict, Err(LockError::Account(_))),
                        "account node {node}, byte {byte}"
                    );
                }
                for (node, byte) in places(&honest.storage) {
                    let mut forged = honest.clone();
                    forged.storage[node][byte] ^= flip;
                    let verdict = forged.verify(&root, &BRIDGE, &slot(), CHAIN);
                    assert!(
                        matches!(verdict, Err(LockError::Storage(_))),
                        "storage node {node}, byte {byte}"
                    );
                }
            }
        }
    }
}

#[test]
fn b1_spare_missing_repeated_and_swapped_nodes_show_nothing() {
    let world = world(60, 40);
    for nonce in [7, 40] {
        let honest = world.proof(nonce);
        assert!(verify(&world, &honest).is_ok());
        let mut forged = Vec::new();
        for of_account in [true, false] {
            let nodes = if of_account { &honest.account } else { &honest.storage };
            let with = |nodes: Vec<Vec<u8>>| match of_account {
                true => EvmLockProof { account: nodes, ..honest.clone() },
                false => EvmLockProof { storage: nodes, ..honest.clone() },
            };
            for at in 0..nodes.len() {
                let (start, end) = nodes.split_at(at);
                forged.push(with([start, &end[1..]].concat()));
                forged.push(with([start, &end[..1], end].concat()));
                forged.push(with([start, &[vec![0x80]], end].concat()));
                forged.push(with([start, &[vec![]], end].concat()));
            }
            for other in 1..nodes.len() {
                let mut swapped = nodes.clone();
                swapped.swap(0, other);
                forged.push(with(swapped));
            }
            forged.push(with([nodes.as_slice(), &[nodes[0].clone()]].concat()));
            forged.push(with(nodes.iter().rev().cloned().collect()));
        }
        forged.push(EvmLockProof {
            account: honest.storage.clone(),
            storage: honest.account.clone(),
            ..honest
        });
        for proof in forged {
            assert!(verify(&world, &proof).is_err());
        }
    }
}

/// Three of four seals are exactly enough, so that a change of any byte leaves too few, or another header.
#[test]
fn b12_every_flipped_bit_of_a_sealed_header_is_refused() {
    let all = validators(1, 4);
    let header = Header { withdrawals_root: Some([5; 32]), ..plain_header(300, [3; 32]) };
    let honest = seal(QbftHeader::build(header, ExtraData { round: 1, ..extra(&all) }), &all[..3]).encode();
    let set = trusted(&all);
    let judge = |bytes: &[u8]| {
        QbftHeader::decode(bytes).and_then(|header| set.verify_header(&RULES, header, NOW_S, &Recover))
    };
    assert!(judge(&honest).is_ok());
    for at in 0..honest.len() {
        for bit in 0..8 {
            let mut forged = honest.clone();
            forged[at] ^= 1 << bit;
            assert!(judge(&forged).is_err(), "byte {at}, bit {bit}");
        }
        assert!(judge(&honest[..at]).is_err(), "cut at {at}");
    }
    assert!(judge(&[honest.as_slice(), &[0]].concat()).is_err());
}

/// What the mutated proofs below start from, and how many locks it holds: nonces 0 to 29.
static WORLD: LazyLock<(World, Vec<Validator>)> = LazyLock::new(|| (world(50, LOCKS), validators(1, 4)));
const LOCKS: u64 = 30;

#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Repeat(usize, usize),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 1..=255_u8).prop_map(|(at, flip)| Change::Flip(at, flip)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<usize>().prop_map(Change::Remove),
        (any::<usize>(), 1..64_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        any::<usize>().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let length = bytes.len().max(1);
    match *change {
        Change::Flip(at, flip) => bytes.iter_mut().skip(at % length).take(1).for_each(|byte| *byte ^= flip),
        Change::Insert(at, byte) => bytes.insert(at % length, byte),
        Change::Remove(at) => {
            _ = bytes.drain((at % length).min(bytes.len())..bytes.len().min(at % length + 1))
        }
        Change::Repeat(at, more) => {
            let start = at % length;
            let part = bytes[start.min(bytes.len())..bytes.len().min(start + more)].to_vec();
            bytes.extend(part);
        }
        Change::Cut(at) => bytes.truncate(at % length),
    }
}

/// Items in items, as deep as a decoder might follow them.
fn any_rlp() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(vec![]),
        prop::collection::vec(any::<u8>(), 32),
        prop::collection::vec(any::<u8>(), 0..40),
        Just(vec![0x20]),
        Just(vec![0x00, 0x12]),
    ];
    let leaf = leaf.prop_map(|content| {
        let mut writer = Writer::new();
        writer.bytes(&content);
        writer.finish()
    });
    leaf.prop_recursive(4, 40, 17, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2),
            prop::collection::vec(inner.clone(), 17),
            prop::collection::vec(inner, 0..6),
        ]
        .prop_map(|items| rlp::write_list(|list| items.iter().for_each(|item| _ = list.raw(item))))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A changed proof file either is not read, or shows nothing, or is the original, or shows an absence that is true: the
    /// nodes that show one lock absent do so for each lock whose key ends in the same empty place.
    #[test]
    fn a_changed_proof_never_says_what_is_not_so(changes in prop::collection::vec(change(), 1..4), nonce in 28_u64..32) {
        let (world, _) = &*WORLD;
        let honest = world.proof(nonce);
        let answer = verify(world, &honest).unwrap();
        let mut bytes = honest.encode();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        if let Some(proof) = EvmLockProof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
            match verify(world, &proof) {
                // Header and attestations are judged elsewhere; an absence holds whatever else the lock would have said.
                Ok(Shown::Absent) => {
                    prop_assert!(proof.lock.nonce >= LOCKS);
                    prop_assert_eq!(proof.account, honest.account);
                }
                Ok(shown) => {
                    prop_assert_eq!(shown, answer);
                    prop_assert_eq!(proof.account, honest.account);
                    prop_assert_eq!(proof.storage, honest.storage);
                    prop_assert_eq!(proof.lock.nonce, honest.lock.nonce);
                }
                Err(error) => prop_assert!(!error.code().is_empty()),
            }
        }
    }

    #[test]
    fn a_changed_header_is_refused(changes in prop::collection::vec(change(), 1..4)) {
        let (world, all) = &*WORLD;
        let honest = seal(QbftHeader::build(plain_header(9, world.state.root()), extra(all)), &all[..3]).encode();
        let mut bytes = honest.clone();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        let verdict = QbftHeader::decode(&bytes)
            .and_then(|header| trusted(all).verify_header(&RULES, header, NOW_S, &Recover));
        prop_assert_eq!(verdict.is_ok(), bytes == honest);
    }

    /// Whatever arrives: an answer or a refusal, and what is read is written the same.
    #[test]
    fn no_decoder_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        _ = rlp::item(&bytes);
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes.clone());
        }
        _ = QbftHeader::decode(&bytes);
        _ = ExtraData::decode(&bytes);
        _ = Payload::decode(&bytes);
        _ = EvmLockProof::decode(&bytes);
        _ = ProofFile::decode(&bytes);
        _ = ProofFile::decode(&[b"DSMproof\x01".as_slice(), &bytes].concat());
        _ = borsh::from_slice::<TrustedSet>(&bytes);
        _ = borsh::from_slice::<Advance>(&bytes);
        _ = borsh::from_slice::<ValidatorSetProof>(&bytes);
        _ = borsh::from_slice::<Entry>(&bytes);
        _ = borsh::from_slice::<OutboxFrontier>(&bytes);
    }

    /// Nodes that an enemy wrote himself, under the root that he has for them.
    #[test]
    fn no_node_makes_the_walk_panic(nodes in prop::collection::vec(any_rlp(), 1..4), key in any::<[u8; 32]>()) {
        let root = keccak256(&[&nodes[0]]);
        _ = prove(&root, &Path::hashed(&key), &nodes);
        _ = prove(&root, &Path::plain(&key[..2]), &nodes);
        _ = prove(&root, &Path::plain(&[]), &nodes);
        _ = prove_storage(&root, &key, &nodes);
        _ = prove_account(&root, &[1; 20], &nodes);
        nodes.iter().for_each(|node| _ = ExtraData::decode(node));
    }

    /// A chain of nodes as long as the limit allows, each the only way on.
    #[test]
    fn a_deep_path_ends(depth in 1_usize..=NODES_MAX, key in any::<[u8; 32]>()) {
        let path = nibbles(&keccak256(&[&key]));
        let mut nodes: Vec<Vec<u8>> = Vec::new();
        let mut child: Vec<u8> = vec![0x80];
        for at in (0..depth).rev() {
            let node = rlp::write_list(|list| {
                for nibble in 0..16 {
                    let here = nibble == usize::from(path[at % 64]);
                    list.raw(if here { &child } else { &[0x80] });
                }
                list.bytes(&[]);
            });
            let mut filled = rlp::list(&node).unwrap();
            let mut items: Vec<Vec<u8>> = (0..17).map(|_| filled.item().unwrap().1.to_vec()).collect();
            let spare = [&[0xa0][..], &[7; 32]].concat();
            let free: Vec<usize> = (0..16).filter(|slot| *slot != usize::from(path[at % 64])).take(2).collect();
            free.iter().for_each(|slot| items[*slot].clone_from(&spare));
            let node = rlp::write_list(|list| items.iter().for_each(|item| _ = list.raw(item)));
            child = [&[0xa0][..], &keccak256(&[&node])].concat();
            nodes.insert(0, node);
        }
        let root = keccak256(&[&nodes[0]]);
        prop_assert_eq!(prove(&root, &Path::hashed(&key), &nodes), Ok(Shown::Absent));
        let cut = &nodes[..depth - 1];
        prop_assert!(prove(&root, &Path::hashed(&key), cut).is_err());
    }
}
