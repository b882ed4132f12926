//! The judgement of a last segment: where its sound records end, and whether what follows was torn by a
//! crash or damaged later.

use super::frame::{self, Frame, Head, SEGMENT_HEAD, SegmentHead};
use crate::digest::Digest;
use crate::disk::SECTOR;

/// What a last segment holds.
#[derive(Debug)]
pub(super) struct Tail {
    /// The offset of each sound record.
    pub(super) starts: Vec<u32>,
    /// The offset after the last sound record.
    pub(super) end: usize,
    /// The chain digest through the last sound record.
    pub(super) digest: Digest,
    /// The first offset of the batch that was written last.
    pub(super) last_batch: usize,
    /// What follows `end`.
    pub(super) rest: Rest,
}

/// What follows the sound records.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// A batch that never became durable: it can be cut.
    Torn,
    /// Records that were durable once, or bytes that no crash leaves.
    Damaged,
}

pub(super) fn judge(bytes: &[u8], segment: &SegmentHead) -> Tail {
    let mut tail = Tail {
        starts: Vec::new(),
        end: SEGMENT_HEAD,
        digest: segment.prev,
        last_batch: 0,
        rest: Rest::Nothing,
    };
    let mut batch = 0;
    while tail.end < bytes.len() {
        let position = segment.base + tail.starts.len() as u64;
        let Some(frame) = Frame::decode(&bytes[tail.end..], segment.salt) else {
            tail.rest = judge_rest(bytes, tail.end, position, segment.salt);
            break;
        };
        if frame.head.position != position || frame.head.prev != tail.digest {
            tail.rest = Rest::Damaged;
            break;
        }
        if frame.head.batch != batch {
            batch = frame.head.batch;
            tail.last_batch = tail.end;
        }
        tail.starts.push(tail.end as u32);
        tail.end += frame.head.record_bytes();
        tail.digest = frame.digest;
    }
    tail
}

/// The record at `at`, which would have `position`, is not sound.
///
/// A later batch is written only after the batches before it were synced: if there is one, this record was
/// durable. If there is none, a crash explains the bytes only where some are missing: beyond the end of the
/// file, or a sector that still reads as zeros. A sector that is there and wrong was changed afterwards.
pub(super) fn judge_rest(bytes: &[u8], at: usize, position: u64, salt: u32) -> Rest {
    let later = |head: &Head| head.position > position && head.batch > position;
    if frame::find_head(bytes, at + 1, salt, later).is_some() {
        return Rest::Damaged;
    }
    let end = Head::decode(&bytes[at..], salt).map_or(at + frame::OVERHEAD, |head| at + head.record_bytes());
    if end > bytes.len() {
        return Rest::Torn;
    }
    let mut sector = at - at % SECTOR;
    while sector < end {
        let lost = &bytes[sector.max(at)..bytes.len().min(sector + SECTOR)];
        if lost.iter().all(|byte| *byte == 0) {
            return Rest::Torn;
        }
        sector += SECTOR;
    }
    Rest::Damaged
}
