//! The compact trie against a map: one root for one content, and proofs that never claim what is not.

use crate::golden::near_key;
use dsm_abi::{Digest, decode, encode};
use dsm_core::{Compact, PathProof, Rule, Trie};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The root by the definition: nothing, one leaf, or two halves.
fn naive(entries: &BTreeMap<[u8; 32], Digest>, depth: usize) -> Digest {
    match entries.len() {
        0 => Digest::default(),
        1 => entries.iter().map(|(key, value)| Compact::leaf(key, value, depth)).next().unwrap(),
        _ => {
            let is_right = |key: &[u8; 32]| key[depth / 8] >> (7 - depth % 8) & 1 == 1;
            let (right, left) = entries.clone().into_iter().partition(|(key, _)| is_right(key));
            Compact::node(&naive(&left, depth + 1), &naive(&right, depth + 1))
        }
    }
}

fn any_key() -> impl Strategy<Value = [u8; 32]> {
    prop_oneof![near_key(), any::<[u8; 32]>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_content_has_one_root(
        steps in prop::collection::vec((any_key(), prop::option::weighted(0.7, any::<u8>())), 0..40),
        touched in any::<prop::sample::Index>(),
    ) {
        let (mut trie, mut model) = (Trie::<Compact>::default(), BTreeMap::new());
        let known: Vec<[u8; 32]> = steps.iter().map(|(key, _)| *key).collect();
        for (key, value) in &steps {
            match value {
                Some(value) => {
                    trie.insert(*key, Digest([*value; 32]));
                    model.insert(*key, Digest([*value; 32]));
                }
                None => {
                    let key = *touched.get(&known);
                    trie.remove(&key);
                    model.remove(&key);
                    trie.root();
                }
            }
        }
        let root = trie.root();
        prop_assert_eq!(root, naive(&model, 0));
        let mut backwards = Trie::<Compact>::default();
        for (key, value) in model.iter().rev() {
            backwards.insert(*key, *value);
        }
        prop_assert_eq!(backwards.root(), root);
        for key in &known {
            prop_assert_eq!(trie.get(key), model.get(key).copied());
            prop_assert_eq!(trie.prove(key).conclude::<Compact>(key), Some((root, model.get(key).copied())));
        }
        let snapshot = trie.clone();
        trie.insert([7; 32], Digest([7; 32]));
        prop_assert_eq!(snapshot.get(&[7; 32]), model.get(&[7; 32]).copied());
    }

    #[test]
    fn an_altered_proof_never_shows_anything_else_under_the_root(
        entries in prop::collection::btree_map(any_key(), any::<u8>(), 1..20),
        asked in any_key(),
        which in any::<prop::sample::Index>(),
        present in any::<bool>(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut trie = Trie::<Compact>::default();
        for (key, value) in &entries {
            trie.insert(*key, Digest([*value; 32]));
        }
        let root = trie.root();
        let key = if present { *which.get(&entries.keys().copied().collect::<Vec<_>>()) } else { asked };
        let truth = entries.get(&key).map(|value| Digest([*value; 32]));
        let proof = trie.prove(&key);
        prop_assert_eq!(proof.conclude::<Compact>(&key), Some((root, truth)));

        let honest = |altered: &PathProof| match altered.conclude::<Compact>(&key) {
            Some((found, value)) => found != root || value == truth,
            None => true,
        };
        let mut bytes = encode(&proof);
        let index = at.index(bytes.len());
        bytes[index] ^= flip;
        if let Ok(altered) = decode::<PathProof>(&bytes, bytes.len()) {
            prop_assert!(altered.conclude::<Compact>(&key).is_none_or(|(found, _)| found != root));
        }
        let mut shorter = proof.clone();
        if shorter.siblings.pop().is_some() {
            prop_assert!(honest(&shorter));
        }
        let mut longer = proof.clone();
        longer.siblings.push(Digest::default());
        prop_assert!(honest(&longer));
        let ended = PathProof { end: None, ..proof.clone() };
        prop_assert!(honest(&ended));
        for (other, value) in &entries {
            let end = Some((Digest(*other), Digest([*value; 32])));
            let ended = PathProof { end, ..proof.clone() };
            prop_assert!(honest(&ended));
            prop_assert!(honest(&trie.prove(other)));
        }
    }
}

#[test]
fn a_proof_of_more_than_256_levels_shows_nothing() {
    let proof = PathProof { siblings: vec![Digest::default(); 257], end: None };
    assert_eq!(proof.conclude::<Compact>(&[0; 32]), None);
}
