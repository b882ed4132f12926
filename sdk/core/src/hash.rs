//! Tagged hashing: every kind of thing has its own tag, and all tags stand here.

use dsm_abi::Digest;

/// `BLAKE3-256("DSM/" ‖ tag ‖ 0x00 ‖ parts…)`. Parts are concatenated; where their lengths vary the caller
/// passes canonical bytes, which carry lengths.
pub fn hash(tag: &str, parts: &[&[u8]]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"DSM/");
    hasher.update(tag.as_bytes());
    hasher.update(&[0]);
    for part in parts {
        hasher.update(part);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// All tags.
pub mod tag {
    /// A network's genesis.
    pub const NETWORK: &str = "network";
    /// The ML-DSA-65 key by which a node is known to other nodes.
    pub const NODE: &str = "node";
    /// An account's genesis.
    pub const ACCOUNT: &str = "account";
    /// A state of an account chain.
    pub const STATE: &str = "state";
    /// Issuer, policies and salt of a token.
    pub const TOKEN: &str = "token";
    /// A token's unchanging terms.
    pub const TOKEN_TERMS: &str = "token-terms";
    /// A state of a token chain.
    pub const TOKEN_STATE: &str = "token-state";
    /// The unsigned body of a transition.
    pub const TRANSITION: &str = "transition";
    /// The operations of a transition, for a precommitment.
    pub const SHAPE: &str = "shape";
    /// A public key with its suite.
    pub const KEY: &str = "key";
    /// A set of keys.
    pub const KEY_SET: &str = "key-set";
    /// A credit: transition and index.
    pub const CREDIT: &str = "credit";
    /// The content of a credit, as a leaf.
    pub const CREDIT_LEAF: &str = "credit-leaf";
    /// A hold: transition and index.
    pub const HOLD: &str = "hold";
    /// The content of a hold, as a leaf.
    pub const HOLD_LEAF: &str = "hold-leaf";
    /// A balance, as a leaf.
    pub const ASSET_LEAF: &str = "asset-leaf";
    /// A key of a policy's state.
    pub const STATE_KEY: &str = "state-key";
    /// A value of a policy's state.
    pub const STATE_VALUE: &str = "state-value";
    /// A leaf of a compact trie.
    pub const TRIE_LEAF: &str = "trie-leaf";
    /// An inner node of a compact trie.
    pub const TRIE_NODE: &str = "trie-node";
    /// A leaf of the relationship map.
    pub const SMT_LEAF: &str = "smt-leaf";
    /// An inner node of the relationship map.
    pub const SMT_NODE: &str = "smt-node";
    /// The key of a pair of accounts.
    pub const SMT_KEY: &str = "smt-key";
    /// The tip of a relationship.
    pub const TIP: &str = "tip";
    /// A checkpoint.
    pub const CHECKPOINT: &str = "checkpoint";
    /// What makes one-time evidence one-time.
    pub const NULLIFIER: &str = "nullifier";
    /// A leaf of an append-only Merkle tree.
    pub const MERKLE_LEAF: &str = "merkle-leaf";
    /// An inner node of an append-only Merkle tree.
    pub const MERKLE_NODE: &str = "merkle-node";
    /// A link of the log's chain; the store, which knows none of our crates, states it once more.
    pub const LOG: &str = "log";
    /// The canonical backup of a log and its blobs; `dsm-store` computes it.
    pub const ARCHIVE: &str = "archive";
    /// A topology.
    pub const TOPOLOGY: &str = "topology";
    /// The digests in a range of blobs.
    pub const RANGE: &str = "range";
    /// A bridge's configuration.
    pub const BRIDGE: &str = "bridge";
    /// Where a bridge stands.
    pub const BRIDGE_STATE: &str = "bridge-state";
    /// A bridge's trusted set.
    pub const BRIDGE_SET: &str = "bridge-set";
    /// A name in a case file, by its kind.
    pub const CASE_NAME: &str = "case-name";
    /// The name of a feed.
    pub const FEED: &str = "feed";
}

/// Merkle trees of the shape of RFC 6962 section 2.1, with tagged BLAKE3 in place of prefixed SHA-256.
pub mod merkle {
    use super::{Digest, hash, tag};
    use alloc::vec::Vec;

    /// The hash of a leaf.
    pub fn leaf(bytes: &[u8]) -> Digest {
        hash(tag::MERKLE_LEAF, &[bytes])
    }

    fn node(left: &Digest, right: &Digest) -> Digest {
        hash(tag::MERKLE_NODE, &[&left.0, &right.0])
    }

    /// The largest power of two smaller than `n`; `n` is at least 2.
    fn split(n: usize) -> usize {
        1 << (usize::BITS - 1 - (n - 1).leading_zeros())
    }

    /// The root over `leaves`; zero for none.
    pub fn root(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::default(),
            [only] => *only,
            many => {
                let (left, right) = many.split_at(split(many.len()));
                node(&root(left), &root(right))
            }
        }
    }

    /// The siblings from leaf `index` to the root, nearest first.
    pub fn path(leaves: &[Digest], index: usize) -> Vec<Digest> {
        if leaves.len() < 2 {
            return Vec::new();
        }
        let middle = split(leaves.len());
        let (left, right) = leaves.split_at(middle);
        let (mut siblings, other) = if index < middle {
            (path(left, index), root(right))
        } else {
            (path(right, index - middle), root(left))
        };
        siblings.push(other);
        siblings
    }

    /// The root that `leaf` at `index` of `size` leaves has with these siblings, or `None` if their number
    /// does not fit.
    pub fn root_of(leaf: Digest, index: usize, size: usize, siblings: &[Digest]) -> Option<Digest> {
        if index >= size {
            return None;
        }
        if size == 1 {
            return siblings.is_empty().then_some(leaf);
        }
        let (last, rest) = siblings.split_last()?;
        let middle = split(size);
        if index < middle {
            Some(node(&root_of(leaf, index, middle, rest)?, last))
        } else {
            Some(node(last, &root_of(leaf, index - middle, size - middle, rest)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn merkle_paths_prove_every_leaf_of_every_size() {
        for size in 1..40usize {
            let leaves: Vec<Digest> = (0..size).map(|n| merkle::leaf(&[n as u8])).collect();
            let root = merkle::root(&leaves);
            for index in 0..size {
                let path = merkle::path(&leaves, index);
                assert_eq!(merkle::root_of(leaves[index], index, size, &path), Some(root));
                assert_ne!(merkle::root_of(merkle::leaf(b"other"), index, size, &path), Some(root));
                assert_ne!(merkle::root_of(leaves[index], index + 1, size, &path), Some(root));
            }
        }
    }
}
