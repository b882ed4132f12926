//! Merkle-Patricia proofs with three answers: present, absent, not shown.
//!
//! A proof is the list of nodes from the root to where the question is decided, in order, without the nodes that are
//! embedded in their parents, and nothing else. Each rule below refuses something that a verifier elsewhere once
//! believed: a truncated path read as absence, a leaf's value followed as a reference, a spare node, a second
//! spelling. Nodes are judged whole, also where the path does not lead.

use crate::rlp::{self, Item, Items, RlpError};
use crate::{Address, Hash, hex32, keccak256};
use alloc::vec::Vec;

/// The root of the trie that holds nothing: the hash of the empty string's spelling.
pub const EMPTY_ROOT: Hash = hex32("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
/// The code hash of an account without code: the hash of nothing.
pub const EMPTY_CODE: Hash = hex32("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
/// Nodes of one proof: a path of 64 nibbles, of which a real trie branches on a dozen.
pub const NODES_MAX: usize = 64;
/// Bytes of one node: a full branch has 532.
pub const NODE_BYTES_MAX: usize = 1024;

/// What a proof shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<T> {
    /// The key has this value.
    Present(T),
    /// The key has no value.
    Absent,
}

/// Why a proof shows neither presence nor absence: the first check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// The trusted root is zero: nobody ever had such a trie.
    #[error("the root is zero")]
    ZeroRoot,
    /// No node, under a root that is not the empty trie's.
    #[error("the proof has no nodes")]
    NoNodes,
    /// More nodes than a path can have.
    #[error("more than {NODES_MAX} nodes")]
    TooManyNodes,
    /// A node is longer than any real one.
    #[error("node {node} is longer than {NODE_BYTES_MAX} bytes")]
    NodeTooLong {
        /// Its position.
        node: usize,
    },
    /// Nodes under the root of the empty trie.
    #[error("nodes under the root of the empty trie")]
    EmptyTrieWithNodes,
    /// The first node is not the root's preimage.
    #[error("the first node does not hash to the root")]
    RootHash,
    /// The next node is not the one that its parent names.
    #[error("node {node} is not the one that its parent names")]
    ChildHash {
        /// Its position.
        node: usize,
    },
    /// The path leads to a node that the proof does not hold.
    #[error("the proof ends before the question is decided: node {node} is missing")]
    MissingNode {
        /// Its position.
        node: usize,
    },
    /// Nodes are left when the question is decided.
    #[error("{spare} nodes are left over")]
    UnusedNodes {
        /// How many.
        spare: usize,
    },
    /// A node is not strict RLP.
    #[error("node {node}: {error}")]
    MalformedNode {
        /// Its position; embedded nodes count as their parent.
        node: usize,
        /// What is wrong.
        error: RlpError,
    },
    /// A node has neither 2 nor 17 items.
    #[error("node {node} has neither 2 nor 17 items")]
    Arity {
        /// Its position.
        node: usize,
    },
    /// The flag nibble is above 3, the padding is not zero, or the path is empty bytes.
    #[error("node {node}: malformed hex prefix")]
    HexPrefix {
        /// Its position.
        node: usize,
    },
    /// An extension that extends nothing.
    #[error("node {node}: an extension without a path")]
    EmptyExtension {
        /// Its position.
        node: usize,
    },
    /// Below an extension stands something else than a branch.
    #[error("node {node}: below an extension stands no branch")]
    ExtensionChild {
        /// The position of the child.
        node: usize,
    },
    /// A reference is neither a hash, nor an embedded node, nor (in a branch) empty.
    #[error("node {node}: a reference is neither a hash nor an embedded node")]
    Reference {
        /// The position of the parent.
        node: usize,
    },
    /// A node of 32 bytes or more is embedded.
    #[error("node {node} embeds a child that must be named by its hash")]
    EmbeddedTooLong {
        /// The position of the parent.
        node: usize,
    },
    /// A node of fewer than 32 bytes is named by its hash.
    #[error("node {node} must be embedded in its parent")]
    NotEmbedded {
        /// Its position.
        node: usize,
    },
    /// A branch with fewer than two occupied slots.
    #[error("node {node}: a branch with fewer than two occupied slots")]
    SparseBranch {
        /// Its position.
        node: usize,
    },
    /// A leaf without a value.
    #[error("node {node}: a leaf without a value")]
    EmptyValue {
        /// Its position.
        node: usize,
    },
    /// In a trie of hashed keys a branch has a value or a path does not end at 64 nibbles.
    #[error("node {node}: the path does not fit keys of 32 bytes")]
    KeyLength {
        /// Its position.
        node: usize,
    },
    /// The value is not an account.
    #[error("the value is not an account: {0}")]
    Account(RlpError),
    /// The value is not a storage word: not a number, or zero, which is never stored.
    #[error("the value is not a storage word")]
    StorageValue,
}

impl NotShown {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            NotShown::ZeroRoot => "mpt_zero_root",
            NotShown::NoNodes => "mpt_no_nodes",
            NotShown::TooManyNodes => "mpt_too_many_nodes",
            NotShown::NodeTooLong { .. } => "mpt_node_too_long",
            NotShown::EmptyTrieWithNodes => "mpt_empty_trie_with_nodes",
            NotShown::RootHash => "mpt_root_hash",
            NotShown::ChildHash { .. } => "mpt_child_hash",
            NotShown::MissingNode { .. } => "mpt_missing_node",
            NotShown::UnusedNodes { .. } => "mpt_unused_nodes",
            NotShown::MalformedNode { .. } => "mpt_malformed_node",
            NotShown::Arity { .. } => "mpt_arity",
            NotShown::HexPrefix { .. } => "mpt_hex_prefix",
            NotShown::EmptyExtension { .. } => "mpt_empty_extension",
            NotShown::ExtensionChild { .. } => "mpt_extension_child",
            NotShown::Reference { .. } => "mpt_reference",
            NotShown::EmbeddedTooLong { .. } => "mpt_embedded_too_long",
            NotShown::NotEmbedded { .. } => "mpt_not_embedded",
            NotShown::SparseBranch { .. } => "mpt_sparse_branch",
            NotShown::EmptyValue { .. } => "mpt_empty_value",
            NotShown::KeyLength { .. } => "mpt_key_length",
            NotShown::Account(_) => "mpt_account",
            NotShown::StorageValue => "mpt_storage_value",
        }
    }
}

/// The nibbles that lead from the root to a key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    nibbles: Vec<u8>,
    /// All keys of the trie are 64 nibbles long, so no key is the beginning of another.
    hashed: bool,
}

impl Path {
    /// The path of `key` in a trie of hashed keys: accounts and storage.
    pub fn hashed(key: &[u8]) -> Path {
        Path { nibbles: nibbles(&keccak256(&[key])), hashed: true }
    }

    /// The path of `key` in a trie whose keys are not hashed and may be beginnings of each other.
    pub fn plain(key: &[u8]) -> Path {
        Path { nibbles: nibbles(key), hashed: false }
    }
}

fn nibbles(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect()
}

/// An account as the state trie holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts made.
    pub nonce: u64,
    /// Wei, as a word.
    pub balance: Hash,
    /// The root of its storage trie.
    pub storage_root: Hash,
    /// The hash of its code.
    pub code_hash: Hash,
}

/// The account of `address` under `state_root`.
///
/// # Errors
/// [`NotShown`]: the nodes show neither an account nor its absence.
pub fn prove_account<N: AsRef<[u8]>>(
    state_root: &Hash,
    address: &Address,
    nodes: &[N],
) -> Result<Shown<Account>, NotShown> {
    match prove(state_root, &Path::hashed(address), nodes)? {
        Shown::Present(value) => Ok(Shown::Present(account(value).map_err(NotShown::Account)?)),
        Shown::Absent => Ok(Shown::Absent),
    }
}

fn account(value: &[u8]) -> Result<Account, RlpError> {
    let mut items = rlp::list(value)?;
    let account = Account {
        nonce: items.u64()?,
        balance: items.word()?,
        storage_root: items.fixed()?,
        code_hash: items.fixed()?,
    };
    items.finish()?;
    Ok(account)
}

/// The word at `key` under `storage_root`: absent is zero, and a present word never is.
///
/// # Errors
/// [`NotShown`]: the nodes show neither a word nor its absence.
pub fn prove_storage<N: AsRef<[u8]>>(
    storage_root: &Hash,
    key: &Hash,
    nodes: &[N],
) -> Result<Shown<Hash>, NotShown> {
    match prove(storage_root, &Path::hashed(key), nodes)? {
        Shown::Present(value) => {
            let content = rlp::bytes(value).map_err(|_| NotShown::StorageValue)?;
            let word = rlp::number(content).map_err(|_| NotShown::StorageValue)?;
            if word == [0; 32] { Err(NotShown::StorageValue) } else { Ok(Shown::Present(word)) }
        }
        Shown::Absent => Ok(Shown::Absent),
    }
}

/// The value at `path` under `root`, as the trie holds it.
///
/// # Errors
/// [`NotShown`]: the nodes show neither a value nor its absence.
pub fn prove<'n, N: AsRef<[u8]>>(
    root: &Hash,
    path: &Path,
    nodes: &'n [N],
) -> Result<Shown<&'n [u8]>, NotShown> {
    if *root == [0; 32] {
        return Err(NotShown::ZeroRoot);
    }
    if nodes.len() > NODES_MAX {
        return Err(NotShown::TooManyNodes);
    }
    if let Some(node) = nodes.iter().position(|node| node.as_ref().len() > NODE_BYTES_MAX) {
        return Err(NotShown::NodeTooLong { node });
    }
    if *root == EMPTY_ROOT {
        // Some nodes answer with nothing, others with the empty trie's one node.
        return match nodes {
            [] => Ok(Shown::Absent),
            [node] if node.as_ref() == [0x80] => Ok(Shown::Absent),
            _ => Err(NotShown::EmptyTrieWithNodes),
        };
    }
    let first = nodes.first().ok_or(NotShown::NoNodes)?.as_ref();
    if keccak256(&[first]) != *root {
        return Err(NotShown::RootHash);
    }
    let mut walk = Walk { nodes, used: 1 };
    let shown = walk.descend(first, path)?;
    match nodes.len() - walk.used {
        0 => Ok(shown),
        spare => Err(NotShown::UnusedNodes { spare }),
    }
}

/// A descent that has taken `used` of the nodes.
struct Walk<'n, N> {
    nodes: &'n [N],
    used: usize,
}

impl<'n, N: AsRef<[u8]>> Walk<'n, N> {
    fn descend(&mut self, root: &'n [u8], path: &Path) -> Result<Shown<&'n [u8]>, NotShown> {
        let mut rest = path.nibbles.as_slice();
        let mut raw = root;
        let mut below_extension = false;
        loop {
            let at = self.used - 1;
            let node = Node::decode(raw, at)?;
            node.check_place(at, rest.len(), path.hashed, below_extension)?;
            let child = match node {
                Node::Leaf { path, value } => {
                    return Ok(if path.is(rest) { Shown::Present(value) } else { Shown::Absent });
                }
                Node::Extension { path, child } => match path.strip_from(rest) {
                    Some(left) => {
                        rest = left;
                        child
                    }
                    None => return Ok(Shown::Absent),
                },
                Node::Branch { children, value } => match rest.split_first() {
                    Some((nibble, left)) => {
                        rest = left;
                        children[usize::from(*nibble)]
                    }
                    None if value.is_empty() => return Ok(Shown::Absent),
                    None => return Ok(Shown::Present(value)),
                },
            };
            below_extension = matches!(node, Node::Extension { .. });
            raw = match child {
                Reference::Empty => return Ok(Shown::Absent),
                Reference::Embedded(raw) => raw,
                Reference::Hash(hash) => self.next(hash)?,
            };
        }
    }

    /// The next node, which has the hash that its parent names.
    fn next(&mut self, hash: &Hash) -> Result<&'n [u8], NotShown> {
        let node = self.used;
        let raw = self.nodes.get(node).ok_or(NotShown::MissingNode { node })?.as_ref();
        if keccak256(&[raw]) != *hash {
            return Err(NotShown::ChildHash { node });
        }
        if raw.len() < 32 {
            return Err(NotShown::NotEmbedded { node });
        }
        self.used += 1;
        Ok(raw)
    }
}

/// Where a node's child is.
#[derive(Clone, Copy)]
enum Reference<'n> {
    Empty,
    Hash(&'n Hash),
    Embedded(&'n [u8]),
}

/// A node as it is written.
#[derive(Clone, Copy)]
enum Node<'n> {
    Branch { children: [Reference<'n>; 16], value: &'n [u8] },
    Extension { path: HexPath<'n>, child: Reference<'n> },
    Leaf { path: HexPath<'n>, value: &'n [u8] },
}

impl<'n> Node<'n> {
    /// Reads the node, and all nodes embedded in it. `at` is its position in the proof, for the error.
    ///
    /// An embedded node has fewer than 32 bytes, so the recursion ends soon.
    fn decode(raw: &'n [u8], at: usize) -> Result<Node<'n>, NotShown> {
        let malformed = |error| NotShown::MalformedNode { node: at, error };
        let mut items = rlp::list(raw).map_err(malformed)?;
        match count(items).map_err(malformed)? {
            2 => {
                let path = HexPath::decode(items.bytes().map_err(malformed)?, at)?;
                let (item, raw) = items.item().map_err(malformed)?;
                if path.leaf {
                    return match item {
                        Item::Bytes([]) | Item::List(_) => Err(NotShown::EmptyValue { node: at }),
                        Item::Bytes(value) => Ok(Node::Leaf { path, value }),
                    };
                }
                if path.len() == 0 {
                    return Err(NotShown::EmptyExtension { node: at });
                }
                match Reference::decode(item, raw, at)? {
                    Reference::Empty => Err(NotShown::Reference { node: at }),
                    child => Ok(Node::Extension { path, child }),
                }
            }
            17 => {
                let mut children = [Reference::Empty; 16];
                for child in &mut children {
                    let (item, raw) = items.item().map_err(malformed)?;
                    *child = Reference::decode(item, raw, at)?;
                }
                let value = items.bytes().map_err(malformed)?;
                let empty = |child: &&Reference<'_>| !matches!(child, Reference::Empty);
                if children.iter().filter(empty).count() + usize::from(!value.is_empty()) < 2 {
                    return Err(NotShown::SparseBranch { node: at });
                }
                Ok(Node::Branch { children, value })
            }
            _ => Err(NotShown::Arity { node: at }),
        }
    }

    /// Whether this node may stand where `rest` nibbles of the path are left.
    fn check_place(
        &self,
        at: usize,
        rest: usize,
        hashed: bool,
        below_extension: bool,
    ) -> Result<(), NotShown> {
        if below_extension && !matches!(self, Node::Branch { .. }) {
            return Err(NotShown::ExtensionChild { node: at });
        }
        let fits = match self {
            Node::Leaf { path, .. } => path.len() == rest,
            Node::Extension { path, .. } => path.len() < rest,
            Node::Branch { value, .. } => value.is_empty() && rest > 0,
        };
        if hashed && !fits { Err(NotShown::KeyLength { node: at }) } else { Ok(()) }
    }
}

fn count(mut items: Items<'_>) -> Result<usize, RlpError> {
    let mut count = 0;
    while !items.is_empty() {
        items.item()?;
        count += 1;
    }
    Ok(count)
}

impl<'n> Reference<'n> {
    fn decode(item: Item<'n>, raw: &'n [u8], at: usize) -> Result<Reference<'n>, NotShown> {
        match item {
            Item::Bytes([]) => Ok(Reference::Empty),
            Item::Bytes(bytes) => {
                bytes.try_into().map(Reference::Hash).map_err(|_| NotShown::Reference { node: at })
            }
            Item::List(_) if raw.len() >= 32 => Err(NotShown::EmbeddedTooLong { node: at }),
            Item::List(_) => {
                Node::decode(raw, at)?;
                Ok(Reference::Embedded(raw))
            }
        }
    }
}

/// A path in hex-prefix form.
#[derive(Clone, Copy)]
struct HexPath<'n> {
    leaf: bool,
    /// The path's first nibble stands in the low half of the first byte.
    odd: Option<u8>,
    bytes: &'n [u8],
}

impl<'n> HexPath<'n> {
    fn decode(bytes: &'n [u8], at: usize) -> Result<HexPath<'n>, NotShown> {
        let malformed = NotShown::HexPrefix { node: at };
        let (&first, bytes) = bytes.split_first().ok_or(malformed)?;
        let (flag, low) = (first >> 4, first & 15);
        match flag {
            0 | 2 if low == 0 => Ok(HexPath { leaf: flag == 2, odd: None, bytes }),
            1 | 3 => Ok(HexPath { leaf: flag == 3, odd: Some(low), bytes }),
            _ => Err(malformed),
        }
    }

    fn len(&self) -> usize {
        usize::from(self.odd.is_some()) + 2 * self.bytes.len()
    }

    fn nibbles(&self) -> impl Iterator<Item = u8> {
        self.odd.into_iter().chain(self.bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]))
    }

    fn is(&self, nibbles: &[u8]) -> bool {
        self.nibbles().eq(nibbles.iter().copied())
    }

    /// What is left of `nibbles` behind this path, if they begin with it.
    fn strip_from<'p>(&self, nibbles: &'p [u8]) -> Option<&'p [u8]> {
        let (start, rest) = nibbles.split_at_checked(self.len())?;
        self.is(start).then_some(rest)
    }
}
