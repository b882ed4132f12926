//! Binary Merkle tries over 32-byte keys, most significant bit first: one structure, two hash rules.
//!
//! A leaf stands at its shortest unique prefix; an inner node stands wherever two keys share a prefix. Nodes are
//! shared, so a clone is a snapshot that costs nothing until one side changes. Hashes are computed when a root
//! is asked for, and only along the paths that changed.

use crate::{hash, tag};
use alloc::{sync::Arc, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use core::marker::PhantomData;
use dsm_abi::{AccountId, Digest};
use once_cell::race::OnceBox;

/// How nodes hash.
pub trait Rule {
    /// The hash of an empty subtree whose root is at `depth` (0 is the root, 256 a leaf).
    fn empty(depth: usize) -> Digest;
    /// The hash of a subtree at `depth` that holds one leaf only.
    fn leaf(key: &[u8; 32], value: &Digest, depth: usize) -> Digest;
    /// The hash of an inner node.
    fn node(left: &Digest, right: &Digest) -> Digest;
}

/// The rule for accounts, tokens, credits, assets, holds and policy state: a leaf's hash covers its whole key,
/// so a subtree with one leaf needs no chain of empty siblings.
#[derive(Debug, Clone)]
pub struct Compact;

impl Rule for Compact {
    fn empty(_depth: usize) -> Digest {
        Digest::default()
    }

    fn leaf(key: &[u8; 32], value: &Digest, _depth: usize) -> Digest {
        hash(tag::TRIE_LEAF, &[key, &value.0])
    }

    fn node(left: &Digest, right: &Digest) -> Digest {
        hash(tag::TRIE_NODE, &[&left.0, &right.0])
    }
}

/// The rule for relationship maps: a full 256-level sparse Merkle tree whose empty leaf is the leaf of 32 zero
/// bytes. A leaf's hash does not cover its key, its position does.
#[derive(Debug, Clone)]
pub struct Relationship;

impl Relationship {
    fn value_leaf(value: &Digest) -> Digest {
        hash(tag::SMT_LEAF, &[&value.0])
    }
}

impl Rule for Relationship {
    fn empty(depth: usize) -> Digest {
        static EMPTY: OnceBox<Vec<Digest>> = OnceBox::new();
        let by_height = EMPTY.get_or_init(|| {
            let mut by_height = Vec::with_capacity(257);
            by_height.push(Relationship::value_leaf(&Digest::default()));
            for height in 0..256 {
                let below: Digest = by_height[height];
                by_height.push(Relationship::node(&below, &below));
            }
            alloc::boxed::Box::new(by_height)
        });
        by_height[256 - depth]
    }

    fn leaf(key: &[u8; 32], value: &Digest, depth: usize) -> Digest {
        (depth..256).rev().fold(Relationship::value_leaf(value), |below, level| {
            let sibling = Self::empty(level + 1);
            if bit(key, level) { Self::node(&sibling, &below) } else { Self::node(&below, &sibling) }
        })
    }

    fn node(left: &Digest, right: &Digest) -> Digest {
        hash(tag::SMT_NODE, &[&left.0, &right.0])
    }
}

/// The key of a pair of accounts in both of their relationship maps: the same in either order.
pub fn relationship_key(one: &AccountId, other: &AccountId) -> Digest {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    hash(tag::SMT_KEY, &[&low.0, &high.0])
}

#[derive(Debug, Clone)]
enum Node {
    Leaf { key: [u8; 32], value: Digest, hash: Option<Digest> },
    Inner { children: [Link; 2], hash: Option<Digest> },
}

type Link = Option<Arc<Node>>;

/// A trie under one [`Rule`].
#[derive(Debug)]
pub struct Trie<R> {
    top: Link,
    rule: PhantomData<fn() -> R>,
}

impl<R> Clone for Trie<R> {
    fn clone(&self) -> Self {
        Trie { top: self.top.clone(), rule: PhantomData }
    }
}

impl<R> Default for Trie<R> {
    fn default() -> Self {
        Trie { top: None, rule: PhantomData }
    }
}

/// What shows that a key is present with a value, or absent.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PathProof {
    /// The siblings from the root down.
    pub siblings: Vec<Digest>,
    /// The leaf where the path ends, or nothing where it ends in an empty subtree.
    pub end: Option<(Digest, Digest)>,
}

impl<R: Rule> Trie<R> {
    /// Sets `key` to `value`.
    pub fn insert(&mut self, key: [u8; 32], value: Digest) {
        insert(&mut self.top, 0, key, value);
    }

    /// Removes `key`; an absent key stays absent.
    pub fn remove(&mut self, key: &[u8; 32]) {
        remove(&mut self.top, 0, key);
    }

    /// The root, with hashes remembered.
    pub fn root(&mut self) -> Digest {
        settle_hashes::<R>(&mut self.top, 0)
    }

    /// The value at `key`.
    pub fn get(&self, key: &[u8; 32]) -> Option<Digest> {
        let mut link = &self.top;
        let mut depth = 0;
        loop {
            match link.as_deref()? {
                Node::Leaf { key: found, value, .. } => return (found == key).then_some(*value),
                Node::Inner { children, .. } => link = &children[usize::from(bit(key, depth))],
            }
            depth += 1;
        }
    }

    /// What shows `key` present or absent under [`Trie::root`].
    pub fn prove(&self, key: &[u8; 32]) -> PathProof {
        let mut siblings = Vec::new();
        let mut link = &self.top;
        loop {
            match link.as_deref() {
                None => return PathProof { siblings, end: None },
                Some(Node::Leaf { key, value, .. }) => {
                    return PathProof { siblings, end: Some((Digest(*key), *value)) };
                }
                Some(Node::Inner { children, .. }) => {
                    let right = bit(key, siblings.len());
                    siblings.push(hash_of::<R>(&children[usize::from(!right)], siblings.len() + 1));
                    link = &children[usize::from(right)];
                }
            }
        }
    }
}

impl PathProof {
    /// The root under which this shows `key`, and the value it shows (`None`: absent); or nothing if the proof
    /// ends at a leaf that is not on the key's path.
    pub fn conclude<R: Rule>(&self, key: &[u8; 32]) -> Option<(Digest, Option<Digest>)> {
        let depth = self.siblings.len();
        if depth > 256 {
            return None;
        }
        let (end, value) = match &self.end {
            None => (R::empty(depth), None),
            Some((found, value)) => {
                let on_path = (0..depth).all(|level| bit(&found.0, level) == bit(key, level));
                if !on_path {
                    return None;
                }
                (R::leaf(&found.0, value, depth), (found.0 == *key).then_some(*value))
            }
        };
        let root = self.siblings.iter().enumerate().rev().fold(end, |below, (level, sibling)| {
            if bit(key, level) { R::node(sibling, &below) } else { R::node(&below, sibling) }
        });
        Some((root, value))
    }
}

fn bit(key: &[u8; 32], depth: usize) -> bool {
    key[depth / 8] >> (7 - depth % 8) & 1 == 1
}

fn insert(link: &mut Link, depth: usize, key: [u8; 32], value: Digest) {
    let Some(node) = link else {
        *link = Some(Arc::new(Node::Leaf { key, value, hash: None }));
        return;
    };
    let node = Arc::make_mut(node);
    match node {
        Node::Inner { children, hash } => {
            *hash = None;
            insert(&mut children[usize::from(bit(&key, depth))], depth + 1, key, value);
        }
        Node::Leaf { key: found, value: old, hash } if *found == key => {
            *old = value;
            *hash = None;
        }
        Node::Leaf { key: found, value: old, .. } => {
            let (found, old) = (*found, *old);
            let mut children = [None, None];
            insert(&mut children[usize::from(bit(&found, depth))], depth + 1, found, old);
            insert(&mut children[usize::from(bit(&key, depth))], depth + 1, key, value);
            *node = Node::Inner { children, hash: None };
        }
    }
}

fn remove(link: &mut Link, depth: usize, key: &[u8; 32]) {
    let Some(node) = link else { return };
    match node.as_ref() {
        Node::Leaf { key: found, .. } => {
            if found == key {
                *link = None;
            }
            return;
        }
        Node::Inner { .. } => {}
    }
    let Node::Inner { children, hash } = Arc::make_mut(node) else { return };
    *hash = None;
    remove(&mut children[usize::from(bit(key, depth))], depth + 1, key);
    let alone = match children {
        [None, None] => {
            *link = None;
            return;
        }
        [Some(only), None] | [None, Some(only)] => only,
        [Some(_), Some(_)] => return,
    };
    if let Node::Leaf { key, value, .. } = alone.as_ref() {
        let leaf = Node::Leaf { key: *key, value: *value, hash: None };
        *link = Some(Arc::new(leaf));
    }
}

fn settle_hashes<R: Rule>(link: &mut Link, depth: usize) -> Digest {
    let Some(node) = link else { return R::empty(depth) };
    if let Node::Leaf { hash: Some(known), .. } | Node::Inner { hash: Some(known), .. } = node.as_ref() {
        return *known;
    }
    match Arc::make_mut(node) {
        Node::Leaf { key, value, hash } => *hash.insert(R::leaf(key, value, depth)),
        Node::Inner { children: [left, right], hash } => {
            let left = settle_hashes::<R>(left, depth + 1);
            let right = settle_hashes::<R>(right, depth + 1);
            *hash.insert(R::node(&left, &right))
        }
    }
}

fn hash_of<R: Rule>(link: &Link, depth: usize) -> Digest {
    match link.as_deref() {
        None => R::empty(depth),
        Some(Node::Leaf { hash: Some(known), .. } | Node::Inner { hash: Some(known), .. }) => *known,
        Some(Node::Leaf { key, value, .. }) => R::leaf(key, value, depth),
        Some(Node::Inner { children: [left, right], .. }) => {
            R::node(&hash_of::<R>(left, depth + 1), &hash_of::<R>(right, depth + 1))
        }
    }
}
