//! What an endpoint counts.

use crate::error::Refusal;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Refusals that are kept with their address, for whoever looks for the cause; a flood overwrites its own.
const RECENT_MAX: usize = 64;

/// What an endpoint has counted since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkMetrics {
    /// Connections that others made.
    pub accepted: u64,
    /// Connections that this end made.
    pub connected: u64,
    /// Connections that are open.
    pub open: u64,
    /// Handshakes refused, by reason; every reason has a row.
    pub refused: Vec<(Refusal, u64)>,
    /// Clients that were asked to prove their address.
    pub retries: u64,
    /// Attempts of this end that failed.
    pub connect_failed: u64,
    /// Frames sent whole.
    pub frames_sent: u64,
    /// Bytes of these.
    pub frame_bytes_sent: u64,
    /// Frames received whole.
    pub frames_received: u64,
    /// Bytes of these.
    pub frame_bytes_received: u64,
    /// Frames, in or out, that took longer than their time.
    pub frames_too_slow: u64,
    /// Frames that announced more than allowed.
    pub frames_too_long: u64,
    /// Frames that announced nothing, or ended early.
    pub frames_malformed: u64,
    /// Connections closed because their peer was forgotten.
    pub unpinned: u64,
    /// Connections closed because their peer made newer ones.
    pub superseded: u64,
}

impl LinkMetrics {
    /// How often handshakes were refused for this reason.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused.iter().find(|(row, _)| *row == reason).map_or(0, |(_, count)| *count)
    }
}

/// A handshake that was refused lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentRefusal {
    /// Where it came from; an address that proved nothing may be anybody's.
    pub address: SocketAddr,
    /// Why.
    pub reason: Refusal,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) connect_failed: AtomicU64,
    pub(crate) frames_sent: AtomicU64,
    pub(crate) frame_bytes_sent: AtomicU64,
    pub(crate) frames_received: AtomicU64,
    pub(crate) frame_bytes_received: AtomicU64,
    pub(crate) frames_too_slow: AtomicU64,
    pub(crate) frames_too_long: AtomicU64,
    pub(crate) frames_malformed: AtomicU64,
    pub(crate) unpinned: AtomicU64,
    pub(crate) superseded: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    recent: Mutex<VecDeque<RecentRefusal>>,
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(crate) fn refuse(&self, address: SocketAddr, reason: Refusal) {
        count(&self.refused[reason as usize]);
        tracing::debug!(%address, reason = reason.code(), "handshake refused");
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(RecentRefusal { address, reason });
    }

    pub(crate) fn recent(&self) -> Vec<RecentRefusal> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    pub(crate) fn read(&self) -> LinkMetrics {
        let refused =
            Refusal::ALL.iter().map(|reason| (*reason, self.refused[*reason as usize].load(Relaxed)));
        LinkMetrics {
            accepted: self.accepted.load(Relaxed),
            connected: self.connected.load(Relaxed),
            open: self.open.load(Relaxed),
            refused: refused.collect(),
            retries: self.retries.load(Relaxed),
            connect_failed: self.connect_failed.load(Relaxed),
            frames_sent: self.frames_sent.load(Relaxed),
            frame_bytes_sent: self.frame_bytes_sent.load(Relaxed),
            frames_received: self.frames_received.load(Relaxed),
            frame_bytes_received: self.frame_bytes_received.load(Relaxed),
            frames_too_slow: self.frames_too_slow.load(Relaxed),
            frames_too_long: self.frames_too_long.load(Relaxed),
            frames_malformed: self.frames_malformed.load(Relaxed),
            unpinned: self.unpinned.load(Relaxed),
            superseded: self.superseded.load(Relaxed),
        }
    }
}
