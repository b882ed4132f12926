//! The published constants of the tag rule and the sparse tree, and a tree of 256 levels written out naively.

use crate::world::from_hex;
use dsm_abi::{AccountId, Digest};
use dsm_core::{Relationship, Rule, Trie, hash, relationship_key, tag};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn the_tag_rule_gives_the_published_digests() {
    let text = include_str!("../vectors/dsm-golden/tagged_hash_and_smt.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let tag = vector["tag"].as_str().unwrap();
        let tag = tag.strip_prefix("DSM/").and_then(|tag| tag.strip_suffix("\\0")).unwrap();
        let parts: Vec<Vec<u8>> = vector["preimage_hex"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| from_hex(part.as_str().unwrap()))
            .collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let expected: Digest = vector["digest_hex"].as_str().unwrap().parse().unwrap();
        assert_eq!(hash(tag, &parts), expected, "{}", vector["name"]);
    }
    let digest = |name: &str| -> Digest {
        let found = vectors.iter().find(|vector| vector["name"].as_str().unwrap().starts_with(name)).unwrap();
        found["digest_hex"].as_str().unwrap().parse().unwrap()
    };
    assert_eq!(Relationship::empty(256), digest("default_0"));
    assert_eq!(Relationship::empty(255), digest("default_1"));
    let (one, two) = (AccountId([1; 32]), AccountId([2; 32]));
    assert_eq!(relationship_key(&one, &two), digest("smt_key"));
    assert_eq!(relationship_key(&two, &one), digest("smt_key"));
    assert_eq!(Relationship::node(&Digest([1; 32]), &Digest([2; 32])), digest("smt_node"));
    assert_eq!(Relationship::leaf(&[0; 32], &Digest([0x42; 32]), 256), digest("smt_leaf_42"));
}

/// The root of the subtree at `depth` by the definition alone: no node is left out but equal empty ones.
fn naive(entries: &BTreeMap<[u8; 32], Digest>, depth: usize, defaults: &[Digest]) -> Digest {
    if entries.is_empty() {
        return defaults[256 - depth];
    }
    if depth == 256 {
        let value = entries.values().next().unwrap();
        return hash(tag::SMT_LEAF, &[&value.0]);
    }
    let is_right = |key: &[u8; 32]| key[depth / 8] >> (7 - depth % 8) & 1 == 1;
    let (right, left) = entries.clone().into_iter().partition(|(key, _)| is_right(key));
    hash(tag::SMT_NODE, &[&naive(&left, depth + 1, defaults).0, &naive(&right, depth + 1, defaults).0])
}

fn defaults() -> Vec<Digest> {
    let mut defaults = vec![hash(tag::SMT_LEAF, &[&[0; 32]])];
    for height in 0..256 {
        let below: Digest = defaults[height];
        defaults.push(hash(tag::SMT_NODE, &[&below.0, &below.0]));
    }
    defaults
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Keys share long prefixes often: all their bytes come from a few values.
    #[test]
    fn the_relationship_map_is_a_full_tree_of_256_levels(
        entries in prop::collection::btree_map(near_key(), 1u8.., 0..8),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let mut entries: BTreeMap<[u8; 32], Digest> =
            entries.into_iter().map(|(key, value)| (key, Digest([value; 32]))).collect();
        let mut trie = Trie::<Relationship>::default();
        for (key, value) in &entries {
            trie.insert(*key, *value);
        }
        let defaults = defaults();
        prop_assert_eq!(trie.root(), naive(&entries, 0, &defaults));
        for index in removed {
            if entries.is_empty() { break }
            let key = *index.get(&entries.keys().copied().collect::<Vec<_>>());
            entries.remove(&key);
            trie.remove(&key);
            prop_assert_eq!(trie.root(), naive(&entries, 0, &defaults));
        }
        let root = trie.root();
        for (key, value) in &entries {
            prop_assert_eq!(trie.prove(key).conclude::<Relationship>(key), Some((root, Some(*value))));
        }
        let absent = [0x55; 32];
        prop_assert_eq!(trie.prove(&absent).conclude::<Relationship>(&absent), Some((root, None)));
    }
}

/// A key that shares a prefix of any length with others of its kind.
pub(crate) fn near_key() -> impl Strategy<Value = [u8; 32]> {
    (0usize..256, any::<bool>(), any::<u8>()).prop_map(|(at, ones, last)| {
        let mut key = [if ones { 0xff } else { 0 }; 32];
        key[at / 8] ^= 1 << (7 - at % 8);
        key[31] ^= last & 3;
        key
    })
}
