//! Which blobs two nodes do not share, found by fingerprints of ranges.
//!
//! The asker walks down from the whole set: where the fingerprints of a sixteenth differ it asks about that sixteenth,
//! until the other side lists what it has. Equal sets cost one question; one difference among `n` costs `O(log n)`.

use crate::frame::{FrameError, at_most};
use crate::limit;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use core::ops::RangeInclusive;
use dsm_abi::Digest;
use dsm_core::{hash, tag};

/// A range of digests: all that begin with the first `nibbles` half-bytes of `prefix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct RangeQuery {
    /// The prefix; what stands behind `nibbles` does not count.
    pub prefix: Digest,
    /// How many half-bytes count, at most 64: 0 is the whole set.
    pub nibbles: u8,
}

impl RangeQuery {
    /// The whole set.
    pub const ALL: RangeQuery = RangeQuery { prefix: Digest([0; 32]), nibbles: 0 };

    fn bounds(&self) -> RangeInclusive<Digest> {
        let (mut low, mut high) = (self.prefix, self.prefix);
        for nibble in usize::from(self.nibbles.min(64))..64 {
            let mask = if nibble % 2 == 0 { 0xf0 } else { 0x0f };
            low.0[nibble / 2] &= !mask;
            high.0[nibble / 2] |= mask;
        }
        low..=high
    }

    /// One of the sixteen parts; `None` below the last half-byte.
    fn part(&self, index: u8) -> Option<RangeQuery> {
        let at = usize::from(self.nibbles);
        if at >= 64 {
            return None;
        }
        let mut prefix = *self.bounds().start();
        prefix.0[at / 2] |= if at.is_multiple_of(2) { index << 4 } else { index };
        Some(RangeQuery { prefix, nibbles: self.nibbles + 1 })
    }
}

/// What a node has in a range.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RangeAnswer {
    /// Few: all of them, strictly sorted.
    Digests(Vec<Digest>),
    /// Many: the fingerprints of the sixteen parts, by the next half-byte.
    Parts(Vec<Fingerprint>),
}

/// What a range holds, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fingerprint {
    /// How many digests.
    pub count: u64,
    /// `H("range", the digests in order)`.
    pub digest: Digest,
}

impl RangeAnswer {
    pub(crate) fn check(&self) -> Result<(), FrameError> {
        match self {
            RangeAnswer::Digests(digests) => at_most("a range", digests.len(), limit::RANGE_ITEMS_MAX),
            RangeAnswer::Parts(parts) => at_most("the parts of a range", parts.len(), 16),
        }
    }
}

/// The digests of the blobs that a node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobSet {
    digests: BTreeSet<Digest>,
}

impl BlobSet {
    /// Adds one; `false` if it was there.
    pub fn insert(&mut self, digest: Digest) -> bool {
        self.digests.insert(digest)
    }

    /// Removes one; `false` if it was not there.
    pub fn remove(&mut self, digest: &Digest) -> bool {
        self.digests.remove(digest)
    }

    /// Whether it is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// What this node has in the range.
    pub fn answer(&self, query: &RangeQuery) -> RangeAnswer {
        let in_range = || self.digests.range(query.bounds());
        if in_range().take(limit::RANGE_ITEMS_MAX + 1).count() <= limit::RANGE_ITEMS_MAX {
            return RangeAnswer::Digests(in_range().copied().collect());
        }
        let parts = (0..16).filter_map(|index| query.part(index));
        RangeAnswer::Parts(parts.map(|part| self.fingerprint(&part)).collect())
    }

    /// The fingerprint of a range.
    pub fn fingerprint(&self, query: &RangeQuery) -> Fingerprint {
        let digests: Vec<&[u8]> = self.digests.range(query.bounds()).map(|digest| &digest.0[..]).collect();
        Fingerprint { count: digests.len() as u64, digest: hash(tag::RANGE, &digests) }
    }
}

impl FromIterator<Digest> for BlobSet {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> BlobSet {
        BlobSet { digests: digests.into_iter().collect() }
    }
}

/// Why a comparison with a peer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The answer does not fit the question: not sorted, out of the range, or not sixteen parts.
    #[error("the answer does not fit the question")]
    Misfit,
    /// More questions than any honest difference costs.
    #[error("more than {0} questions")]
    TooMany(usize),
}

/// One comparison with one peer: ask [`Reconcile::next`], hand in the answer, until there is no next.
#[derive(Debug, Clone)]
pub struct Reconcile {
    open: VecDeque<RangeQuery>,
    asked: usize,
    questions_max: usize,
    missing: Vec<Digest>,
    surplus: Vec<Digest>,
}

impl Reconcile {
    /// A comparison of the whole sets that asks at most `questions_max` times.
    pub fn new(questions_max: usize) -> Reconcile {
        let open = VecDeque::from([RangeQuery::ALL]);
        Reconcile { open, asked: 0, questions_max, missing: Vec::new(), surplus: Vec::new() }
    }

    /// What to ask next; `None` when all differences are known.
    pub fn next(&self) -> Option<RangeQuery> {
        self.open.front().copied()
    }

    /// The peer's answer to [`Reconcile::next`].
    ///
    /// # Errors
    /// [`ReconcileError`]; the peer is at fault and the comparison over.
    pub fn handle_answer(&mut self, own: &BlobSet, answer: &RangeAnswer) -> Result<(), ReconcileError> {
        let Some(query) = self.open.pop_front() else { return Err(ReconcileError::Misfit) };
        self.asked += 1;
        match answer {
            RangeAnswer::Digests(theirs) => {
                let sorted = theirs.is_sorted_by(|a, b| a < b);
                if !sorted || theirs.iter().any(|digest| !query.bounds().contains(digest)) {
                    return Err(ReconcileError::Misfit);
                }
                self.missing.extend(theirs.iter().filter(|digest| !own.contains(digest)));
                let mine = own.digests.range(query.bounds());
                self.surplus.extend(mine.filter(|digest| theirs.binary_search(digest).is_err()));
            }
            RangeAnswer::Parts(parts) => {
                if parts.len() != 16 {
                    return Err(ReconcileError::Misfit);
                }
                for (index, theirs) in (0..16).zip(parts) {
                    let part = query.part(index).ok_or(ReconcileError::Misfit)?;
                    if own.fingerprint(&part) != *theirs {
                        self.open.push_back(part);
                    }
                }
            }
        }
        let whole = self.asked + self.open.len();
        if whole > self.questions_max { Err(ReconcileError::TooMany(self.questions_max)) } else { Ok(()) }
    }

    /// What the peer has and we lack.
    pub fn missing(&self) -> &[Digest] {
        &self.missing
    }

    /// What we have and the peer lacks.
    pub fn surplus(&self) -> &[Digest] {
        &self.surplus
    }
}
