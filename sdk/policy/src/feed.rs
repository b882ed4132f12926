//! What a token under the standard policy `oracle-feed` keeps for others to read, and how a consumer reads it.
//!
//! A consumer declares a foreign read of the feed's token. A round that nobody renewed is worth nothing: ask
//! [`Latest::fresh`] before using the answer, and refuse if it says no.

use crate::Context;
use borsh::{BorshDeserialize, BorshSerialize};

/// The state key under which a feed keeps its newest round.
pub const LATEST: [u8; 1] = *b"l";

/// The newest round of a feed.
///
/// ```
/// use dsm_policy::feed::Latest;
/// let (observed_ms, updated_ms, heartbeat_ms) = (9_000, 10_000, 60_000);
/// let latest = Latest { round: 7, answer: 108_250, decimals: 5, observed_ms, updated_ms, heartbeat_ms };
/// assert!(latest.fresh(70_000));
/// assert!(!latest.fresh(70_001));
/// assert_eq!(latest.age_ms(70_000), 61_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Latest {
    /// The round's number; greater than that of every earlier round.
    pub round: u64,
    /// The answer, in units of 10^-decimals.
    pub answer: i128,
    /// Decimal places of the answer.
    pub decimals: u8,
    /// When the oldest observation that counts was made, in ms since the Unix epoch.
    pub observed_ms: u64,
    /// The time of the transition that brought the round, in ms since the Unix epoch.
    pub updated_ms: u64,
    /// How long the answer may be used after that, in ms.
    pub heartbeat_ms: u64,
}

impl Latest {
    /// The newest round of the feed that the policy reads at position `read` of its foreign reads; `None` if the
    /// feed has no round yet, or if the token is no feed. An undeclared position is a fault.
    pub fn of(context: &Context<'_>, read: u8) -> Option<Latest> {
        context.foreign_get(read, LATEST)
    }

    /// Whether the answer may still be used at `now_ms`: until its heartbeat has passed, that instant included.
    pub const fn fresh(&self, now_ms: u64) -> bool {
        now_ms <= self.updated_ms.saturating_add(self.heartbeat_ms)
    }

    /// How old the oldest observation is at `now_ms`, in ms; 0 if it was made later.
    pub const fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.observed_ms)
    }
}
