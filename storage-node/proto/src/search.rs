//! The last position that two logs share, found by comparing digests: binary search between one known to be equal
//! and one known to differ.

use crate::Head;
use dsm_abi::Digest;

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Compare the digests at this position next.
    Compare(u64),
    /// The last position that is equal in both logs.
    Common(Head),
    /// Even the lowest position differs.
    Nothing,
}

/// The search. `O(log n)` comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonSearch {
    /// Not lower than this: below it, one side keeps nothing.
    floor: u64,
    /// Equal here.
    equal: Option<Head>,
    /// Different here, and everywhere above.
    differs: Option<u64>,
    /// Not higher than this.
    top: u64,
}

impl CommonSearch {
    /// A search between two positions that both logs have. `None` if there is no such position.
    pub fn new(floor: u64, top: u64) -> Option<CommonSearch> {
        (floor <= top).then_some(CommonSearch { floor, equal: None, differs: None, top })
    }

    /// What to do next.
    pub fn next(&self) -> Found {
        let Some(differs) = self.differs else {
            return match self.equal {
                Some(head) if head.position == self.top => Found::Common(head),
                _ => Found::Compare(self.top),
            };
        };
        match self.equal {
            None if differs == self.floor => Found::Nothing,
            None => Found::Compare(self.floor),
            Some(head) if head.position + 1 == differs => Found::Common(head),
            Some(head) => Found::Compare(head.position + (differs - head.position) / 2),
        }
    }

    /// Whether a difference was seen. Without one, the common part ends where the search was told to end.
    pub fn is_fork(&self) -> bool {
        self.differs.is_some()
    }

    /// Both digests at `position`, which [`CommonSearch::next`] asked for.
    pub fn compared(&mut self, position: u64, mine: Digest, theirs: Digest) {
        if self.next() != Found::Compare(position) {
            return;
        }
        if mine == theirs {
            self.equal = Some(Head { position, digest: mine });
        } else {
            self.differs = Some(position);
        }
    }
}
