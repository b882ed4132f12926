//! The outbox: what the ledger says to other chains, as an append-only tree that an EVM contract can check.
//!
//! RFC 6962's shape with Keccak-256: leaves are hashed behind 0x00, inner nodes behind 0x01, so neither can stand for
//! the other; a proof belongs to an index and a size. The root of nothing is zero and proves nothing.

use crate::{Address, Hash, address_word, bounded, hex32, keccak256, word, word_address, word_number};
use alloc::vec::Vec;
use borsh::io::Read;
use borsh::{BorshDeserialize, BorshSerialize};

/// keccak("DSM/outbox/1").
pub const OUTBOX_TAG: Hash = hex32("11321d6da7734759e110e9ed226aaf7eab343c2814ffb52d712977423939b97a");
/// keccak("DSM/release/1").
pub const RELEASE_TAG: Hash = hex32("da9f72dc6a5e63d865a2b23cff999fcd581e06a7da880168246e60f7868b3cb8");
/// keccak("DSM/refund/1").
pub const REFUND_TAG: Hash = hex32("2e214ecf77ecc83e89152650ca667f86bfa23947f4f714eb582d2b537d2b2aba");
/// keccak of the type of an EIP-712 domain with name, version, chain and contract.
const DOMAIN_TYPE: Hash = hex32("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");
/// keccak("DSM Bridge").
const DOMAIN_NAME: Hash = hex32("e1d58866208e173d4e5018aaa2dff101d32601ba5b5ac9fe8f5bba55000287cf");
/// keccak("1").
const DOMAIN_VERSION: Hash = hex32("c89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc6");
/// keccak of the checkpoint's EIP-712 type.
const CHECKPOINT_TYPE: Hash = hex32("83398ce8b18374b3a1a3ae0e38d429f6af0cd44234a2d244848a644e36a73f09");
/// The lane of EVM chains.
pub const LANE_EVM: u32 = 1;
/// Bytes of a payload.
pub const PAYLOAD_BYTES_MAX: usize = 1024;
/// Hashes of a proof: one for each level below 2^63 leaves, and one more for consistency.
pub const SIBLINGS_MAX: usize = 64;

/// An entry of the outbox; its hash is a leaf of the tree.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Entry {
    /// The ledger's network.
    pub network: Hash,
    /// Its position in the outbox.
    pub index: u64,
    /// To whom it is addressed.
    pub lane: u32,
    /// The token whose policy emitted it; zero if an account did.
    pub token: Hash,
    /// The account that acted.
    pub actor: Hash,
    /// The transition that emitted it.
    pub transition: Hash,
    /// What it says; for [`LANE_EVM`] see [`Payload`].
    pub payload: Vec<u8>,
}

impl BorshDeserialize for Entry {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Entry> {
        let (network, index, lane, token, actor, transition) = BorshDeserialize::deserialize_reader(reader)?;
        let payload = bounded::bytes(reader, PAYLOAD_BYTES_MAX)?;
        Ok(Entry { network, index, lane, token, actor, transition, payload })
    }
}

impl Entry {
    /// The leaf.
    pub fn leaf(&self) -> Hash {
        keccak256(&[
            &[0],
            &OUTBOX_TAG,
            &self.network,
            &word(self.index.into()),
            &word(self.lane.into()),
            &self.token,
            &self.actor,
            &self.transition,
            &keccak256(&[&self.payload]),
        ])
    }
}

/// What the bridge contract does with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// It pays out.
    Release(Release),
    /// It pays a lock back.
    Refund(Refund),
}

/// What is paid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ReleaseKind {
    /// The chain's own coin; the asset is zero.
    Native = 1,
    /// An ERC-20 token.
    Erc20 = 2,
    /// The wrapped token of the leaf's token is minted; the asset is zero, the contract knows it.
    Mint = 3,
}

/// Paying out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The chain.
    pub chain_id: u64,
    /// The bridge contract.
    pub bridge: Address,
    /// What is paid out.
    pub kind: ReleaseKind,
    /// The asset's contract.
    pub asset: Address,
    /// Who is paid.
    pub to: Address,
    /// How much, in the asset's units.
    pub amount: u128,
}

/// Paying a lock back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refund {
    /// The chain.
    pub chain_id: u64,
    /// The bridge contract.
    pub bridge: Address,
    /// The lock's number.
    pub nonce: u64,
    /// The lock's commitment.
    pub commitment: Hash,
}

/// Why bytes are no payload, or a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// Not as long as its kind of payload.
    #[error("a payload of {found} bytes")]
    PayloadLength {
        /// Its length.
        found: usize,
    },
    /// Neither a release nor a refund.
    #[error("a payload that is neither a release nor a refund")]
    PayloadTag,
    /// A number or an address has bytes where zeros belong, or a kind is unknown.
    #[error("word {word} of the payload is malformed")]
    PayloadWord {
        /// Its position.
        word: usize,
    },
    /// The asset does not fit the kind, the amount is zero, or nobody is paid.
    #[error("a payload that no contract would act on")]
    PayloadMeaning,
    /// A root of zero, or a tree of nothing.
    #[error("an empty tree proves nothing")]
    EmptyTree,
    /// The index is not below the size.
    #[error("index {index} in a tree of {size}")]
    Index {
        /// The index.
        index: u64,
        /// The size.
        size: u64,
    },
    /// The size is beyond what the tree holds, or sizes fall.
    #[error("a tree cannot go from {old} to {new} entries")]
    Size {
        /// The earlier size.
        old: u64,
        /// The later size.
        new: u64,
    },
    /// A proof has another number of hashes than its index and size demand.
    #[error("a proof with the wrong number of hashes")]
    ProofLength,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Root,
    /// The hashes do not lead to the earlier root.
    #[error("the proof does not lead to the earlier root")]
    OldRoot,
}

impl OutboxError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            OutboxError::PayloadLength { .. } => "outbox_payload_length",
            OutboxError::PayloadTag => "outbox_payload_tag",
            OutboxError::PayloadWord { .. } => "outbox_payload_word",
            OutboxError::PayloadMeaning => "outbox_payload_meaning",
            OutboxError::EmptyTree => "outbox_empty_tree",
            OutboxError::Index { .. } => "outbox_index",
            OutboxError::Size { .. } => "outbox_size",
            OutboxError::ProofLength => "outbox_proof_length",
            OutboxError::Root => "outbox_root",
            OutboxError::OldRoot => "outbox_old_root",
        }
    }
}

impl Payload {
    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Payload::Release(release) => [
                RELEASE_TAG,
                word(release.chain_id.into()),
                address_word(&release.bridge),
                word(release.kind as u128),
                address_word(&release.asset),
                address_word(&release.to),
                word(release.amount),
            ]
            .concat(),
            Payload::Refund(refund) => [
                REFUND_TAG,
                word(refund.chain_id.into()),
                address_word(&refund.bridge),
                word(refund.nonce.into()),
                refund.commitment,
            ]
            .concat(),
        }
    }

    /// The payload whose bytes these are.
    ///
    /// # Errors
    /// [`OutboxError`], the variants about payloads.
    pub fn decode(bytes: &[u8]) -> Result<Payload, OutboxError> {
        let (words, rest) = bytes.as_chunks::<32>();
        let wrong_length = OutboxError::PayloadLength { found: bytes.len() };
        let tag = words.first().ok_or(wrong_length)?;
        if !rest.is_empty() {
            return Err(wrong_length);
        }
        let payload = if *tag == RELEASE_TAG {
            let words: &[Hash; 7] = words.try_into().map_err(|_| wrong_length)?;
            Payload::Release(Release {
                chain_id: narrow(words, 1)?,
                bridge: address(words, 2)?,
                kind: release_kind(words)?,
                asset: address(words, 4)?,
                to: address(words, 5)?,
                amount: number(words, 6)?,
            })
        } else if *tag == REFUND_TAG {
            let words: &[Hash; 5] = words.try_into().map_err(|_| wrong_length)?;
            Payload::Refund(Refund {
                chain_id: narrow(words, 1)?,
                bridge: address(words, 2)?,
                nonce: narrow(words, 3)?,
                commitment: words[4],
            })
        } else {
            return Err(OutboxError::PayloadTag);
        };
        if payload.is_sensible() { Ok(payload) } else { Err(OutboxError::PayloadMeaning) }
    }

    fn is_sensible(&self) -> bool {
        match self {
            Payload::Release(release) => {
                let has_asset = release.asset != [0; 20];
                let somebody = release.to != [0; 20] && release.to != release.bridge;
                has_asset == (release.kind == ReleaseKind::Erc20) && somebody && release.amount > 0
            }
            Payload::Refund(refund) => refund.commitment != [0; 32],
        }
    }
}

fn number(words: &[Hash], word: usize) -> Result<u128, OutboxError> {
    word_number(&words[word]).ok_or(OutboxError::PayloadWord { word })
}

fn narrow(words: &[Hash], word: usize) -> Result<u64, OutboxError> {
    number(words, word)?.try_into().map_err(|_| OutboxError::PayloadWord { word })
}

fn address(words: &[Hash], word: usize) -> Result<Address, OutboxError> {
    word_address(&words[word]).ok_or(OutboxError::PayloadWord { word })
}

fn release_kind(words: &[Hash]) -> Result<ReleaseKind, OutboxError> {
    match number(words, 3)? {
        1 => Ok(ReleaseKind::Native),
        2 => Ok(ReleaseKind::Erc20),
        3 => Ok(ReleaseKind::Mint),
        _ => Err(OutboxError::PayloadWord { word: 3 }),
    }
}

/// What attestors sign for the contract about one of the ledger's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Checkpoint {
    /// The checkpoint's number.
    pub epoch: u64,
    /// Entries of the outbox.
    pub size: u64,
    /// The outbox's root.
    pub root: Hash,
    /// The attestors' set.
    pub set_id: u64,
    /// The ledger's network.
    pub network: Hash,
    /// The checkpoint's position in the ledger's log.
    pub position: u64,
}

impl Checkpoint {
    /// The EIP-712 digest for the contract at `bridge` on the chain `chain_id`.
    pub fn digest(&self, chain_id: u64, bridge: &Address) -> Hash {
        let domain = keccak256(&[
            &DOMAIN_TYPE,
            &DOMAIN_NAME,
            &DOMAIN_VERSION,
            &word(chain_id.into()),
            &address_word(bridge),
        ]);
        let checkpoint = keccak256(&[
            &CHECKPOINT_TYPE,
            &word(self.epoch.into()),
            &word(self.size.into()),
            &self.root,
            &word(self.set_id.into()),
            &self.network,
            &word(self.position.into()),
        ]);
        keccak256(&[&[0x19, 0x01], &domain, &checkpoint])
    }
}

/// The hash of an inner node.
fn parent(left: &Hash, right: &Hash) -> Hash {
    keccak256(&[&[1], left, right])
}

/// The root over complete subtrees that stand side by side, the largest first.
fn fold(peaks: &[Hash]) -> Hash {
    peaks.iter().rev().copied().reduce(|right, left| parent(&left, &right)).unwrap_or_default()
}

/// The tree without its past: enough to append and to know the root, at a hash for each set bit of the size.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize)]
pub struct OutboxFrontier {
    size: u64,
    /// The complete subtrees, the largest first.
    peaks: Vec<Hash>,
}

impl BorshDeserialize for OutboxFrontier {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<OutboxFrontier> {
        let size = u64::deserialize_reader(reader)?;
        let peaks = bounded::items(reader, SIBLINGS_MAX, Hash::deserialize_reader)?;
        // Below 2^63, so that the next entry has an index too.
        if peaks.len() != size.count_ones() as usize || size >> 63 != 0 {
            return Err(bounded::invalid("a peak for each set bit of the size"));
        }
        Ok(OutboxFrontier { size, peaks })
    }
}

impl OutboxFrontier {
    /// The tree of nothing.
    pub fn new() -> OutboxFrontier {
        OutboxFrontier::default()
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root; zero for nothing.
    pub fn root(&self) -> Hash {
        fold(&self.peaks)
    }

    /// Appends a leaf; answers its index.
    pub fn append(&mut self, leaf: Hash) -> u64 {
        let (index, mut node) = (self.size, leaf);
        for _ in 0..index.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each set bit of the size");
            node = parent(&left, &node);
        }
        self.peaks.push(node);
        self.size += 1;
        index
    }
}

/// The whole tree: every complete subtree by level, so that every root and proof of the past is a few look-ups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxTree {
    /// `levels[l][i]` is the root over the leaves `i * 2^l ..(i + 1) * 2^l`.
    levels: Vec<Vec<Hash>>,
}

impl OutboxTree {
    /// The tree of nothing.
    pub fn new() -> OutboxTree {
        OutboxTree::default()
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The leaf at `index`.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        self.levels.first()?.get(usize::try_from(index).ok()?).copied()
    }

    /// Appends a leaf; answers its index.
    pub fn append(&mut self, leaf: Hash) -> u64 {
        let index = self.size();
        let mut node = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(node);
            match nodes.as_chunks::<2>() {
                (pairs, []) => {
                    let [left, right] = pairs.last().expect("one was pushed");
                    node = parent(left, right);
                }
                _ => break,
            }
        }
        index
    }

    /// The root over the first `size` entries; zero for nothing.
    ///
    /// # Errors
    /// [`OutboxError::Size`] if the tree is smaller.
    pub fn root(&self, size: u64) -> Result<Hash, OutboxError> {
        if size > self.size() {
            return Err(OutboxError::Size { old: self.size(), new: size });
        }
        Ok(self.subtree(0, size))
    }

    /// The proof that the leaf at `index` is in the tree of the first `size` entries: siblings, from the leaf upwards.
    ///
    /// # Errors
    /// [`OutboxError::Size`], [`OutboxError::Index`].
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, OutboxError> {
        if size > self.size() {
            return Err(OutboxError::Size { old: self.size(), new: size });
        }
        if index >= size {
            return Err(OutboxError::Index { index, size });
        }
        let (mut start, mut end) = (0, size);
        let mut siblings = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                siblings.push(self.subtree(middle, end));
                end = middle;
            } else {
                siblings.push(self.subtree(start, middle));
                start = middle;
            }
        }
        siblings.reverse();
        Ok(siblings)
    }

    /// The proof that the tree of the first `new` entries continues that of the first `old`.
    ///
    /// # Errors
    /// [`OutboxError::Size`], [`OutboxError::EmptyTree`].
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, OutboxError> {
        if old == 0 {
            return Err(OutboxError::EmptyTree);
        }
        if old > new || new > self.size() {
            return Err(OutboxError::Size { old, new });
        }
        let (mut start, mut end) = (0, new);
        let mut hashes = Vec::new();
        // Down to the smallest subtree that ends where the old tree ended.
        while old < end {
            let middle = start + split(end - start);
            if old <= middle {
                hashes.push(self.subtree(middle, end));
                end = middle;
            } else {
                hashes.push(self.subtree(start, middle));
                start = middle;
            }
        }
        // A verifier that knows the old root knows this subtree if it is all of the old tree.
        if start > 0 {
            hashes.push(self.subtree(start, end));
        }
        hashes.reverse();
        Ok(hashes)
    }

    /// The root over the leaves `start..end`, where `start` is a multiple of the largest power of two in between.
    fn subtree(&self, start: u64, end: u64) -> Hash {
        let (mut start, mut peaks) = (start, Vec::new());
        while start < end {
            let level = (end - start).ilog2();
            peaks.push(self.levels[level as usize][(start >> level) as usize]);
            start += 1 << level;
        }
        fold(&peaks)
    }
}

/// The largest power of two below `size`, which is at least two.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// Whether `leaf` is the entry `index` of the tree of `size` entries with this root.
///
/// Size and root are trusted together, from one checkpoint: a root alone does not tell the size of its tree.
///
/// # Errors
/// [`OutboxError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    siblings: &[Hash],
    root: &Hash,
) -> Result<(), OutboxError> {
    if size == 0 || *root == [0; 32] {
        return Err(OutboxError::EmptyTree);
    }
    if index >= size {
        return Err(OutboxError::Index { index, size });
    }
    let (mut at, mut last, mut node) = (index, size - 1, *leaf);
    let mut siblings = siblings.iter();
    while last > 0 {
        // The last node of a level with an odd number of them rises alone.
        if at % 2 == 1 || at < last {
            let sibling = siblings.next().ok_or(OutboxError::ProofLength)?;
            node = if at % 2 == 1 { parent(sibling, &node) } else { parent(&node, sibling) };
        }
        at /= 2;
        last /= 2;
    }
    if siblings.next().is_some() {
        return Err(OutboxError::ProofLength);
    }
    if node == *root { Ok(()) } else { Err(OutboxError::Root) }
}

/// Whether the tree of `new` entries with `new_root` continues the tree of `old` entries with `old_root`.
///
/// # Errors
/// [`OutboxError`].
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    hashes: &[Hash],
) -> Result<(), OutboxError> {
    if old == 0 || *old_root == [0; 32] || *new_root == [0; 32] {
        return Err(OutboxError::EmptyTree);
    }
    if old > new {
        return Err(OutboxError::Size { old, new });
    }
    if old == new {
        return match hashes {
            [] if old_root == new_root => Ok(()),
            [] => Err(OutboxError::Root),
            _ => Err(OutboxError::ProofLength),
        };
    }
    // Both trees share the old tree's last complete subtree; everything to its left is in both, what is to its right
    // is only in the new one.
    let shared = old.trailing_zeros();
    let (mut at, mut last) = ((old - 1) >> shared, (new - 1) >> shared);
    let mut hashes = hashes.iter();
    let start = if at == 0 { old_root } else { hashes.next().ok_or(OutboxError::ProofLength)? };
    let (mut old_node, mut new_node) = (*start, *start);
    while last > 0 {
        if at % 2 == 1 {
            let left = hashes.next().ok_or(OutboxError::ProofLength)?;
            old_node = parent(left, &old_node);
            new_node = parent(left, &new_node);
        } else if at < last {
            let right = hashes.next().ok_or(OutboxError::ProofLength)?;
            new_node = parent(&new_node, right);
        }
        at /= 2;
        last /= 2;
    }
    if hashes.next().is_some() {
        return Err(OutboxError::ProofLength);
    }
    if old_node != *old_root {
        return Err(OutboxError::OldRoot);
    }
    if new_node == *new_root { Ok(()) } else { Err(OutboxError::Root) }
}
