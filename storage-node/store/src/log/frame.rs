//! The bytes of a segment's head and of one record: written here, checked here, nowhere else.

use std::ops::Range;

use crate::digest::{self, Digest};

/// Bytes of a segment before its first record.
pub(super) const SEGMENT_HEAD: usize = 68;
/// Bytes of a record before its payload.
pub(super) const HEAD: usize = 58;
/// Bytes of a record after its payload.
const TAIL: usize = 33;
/// Bytes of a record beside its payload.
pub(super) const OVERHEAD: usize = HEAD + TAIL;

const MAGIC: &[u8; 8] = b"DSM-LOG\n";
const VERSION: u32 = 1;
const FIRST: u8 = 0xd5;
const LAST: u8 = 0x5a;

/// What stands at the start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHead {
    /// Starts the CRC of every record's head in this segment.
    pub(super) salt: u32,
    /// The position of the first record.
    pub(super) base: u64,
    /// The base of the segment before, 0 if this is the first.
    pub(super) previous: u64,
    /// The chain digest of the log before `base`.
    pub(super) prev: Digest,
}

/// Why a segment's head is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadSegmentHead {
    Damaged,
    Version(u32),
}

impl SegmentHead {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEAD] {
        let mut bytes = [0; SEGMENT_HEAD];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.previous.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.prev);
        let crc = crc32c::crc32c(&bytes[..64]);
        bytes[64..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHead, BadSegmentHead> {
        let Some(bytes) = bytes.get(..SEGMENT_HEAD) else {
            return Err(BadSegmentHead::Damaged);
        };
        if &bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..64]) != word(bytes, 64) {
            return Err(BadSegmentHead::Damaged);
        }
        let version = word(bytes, 8);
        if version != VERSION {
            return Err(BadSegmentHead::Version(version));
        }
        Ok(SegmentHead {
            salt: word(bytes, 12),
            base: long(bytes, 16),
            previous: long(bytes, 24),
            prev: digest_at(bytes, 32),
        })
    }
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) position: u64,
    /// The first position of the batch that this record was written with: everything before it was durable.
    pub(super) batch: u64,
    pub(super) prev: Digest,
    payload: u32,
}

impl Head {
    /// The head at the start of `bytes`, if there is one of a segment with this salt.
    pub(super) fn decode(bytes: &[u8], salt: u32) -> Option<Head> {
        let head = Head::decode_unchecked(bytes)?;
        (crc32c::crc32c_append(salt, &bytes[..54]) == word(bytes, 54)).then_some(head)
    }

    /// What may be a head, of whatever segment.
    fn decode_unchecked(bytes: &[u8]) -> Option<Head> {
        let bytes = bytes.get(..HEAD).filter(|bytes| bytes[0] == FIRST)?;
        Some(Head {
            kind: bytes[1],
            payload: word(bytes, 2),
            position: long(bytes, 6),
            batch: long(bytes, 14),
            prev: digest_at(bytes, 22),
        })
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        self.payload as usize + OVERHEAD
    }
}

/// A record whose every byte was checked.
pub(super) struct Frame {
    pub(super) head: Head,
    pub(super) digest: Digest,
    pub(super) payload: Range<usize>,
}

impl Frame {
    /// The record at the start of `bytes`, its payload hashed again; `None` if any byte of it is wrong.
    pub(super) fn decode(bytes: &[u8], salt: u32) -> Option<Frame> {
        Frame::decode_after(Head::decode(bytes, salt)?, bytes)
    }

    /// The same for a segment whose head, and salt with it, is lost. The digest covers every byte but the batch and
    /// the CRC; whoever calls this checks that it continues the chain.
    pub(super) fn decode_unsalted(bytes: &[u8]) -> Option<Frame> {
        Frame::decode_after(Head::decode_unchecked(bytes)?, bytes)
    }

    fn decode_after(head: Head, bytes: &[u8]) -> Option<Frame> {
        let bytes = bytes.get(..head.record_bytes())?;
        let payload = HEAD..bytes.len() - TAIL;
        let digest =
            digest::chain(&head.prev, head.position, head.kind, &digest::of(&bytes[payload.clone()]));
        let sound = bytes[payload.end..payload.end + 32] == digest && bytes[bytes.len() - 1] == LAST;
        sound.then_some(Frame { head, digest, payload })
    }
}

/// Adds a record to `buffer` and returns the chain digest through it. Its batch and CRC are set by [`stamp`].
pub(super) fn push(
    buffer: &mut Vec<u8>,
    position: u64,
    kind: u8,
    prev: &Digest,
    payload: &[u8],
    payload_bytes: u32,
) -> Digest {
    let digest = digest::chain(prev, position, kind, &digest::of(payload));
    buffer.reserve(payload.len() + OVERHEAD);
    buffer.push(FIRST);
    buffer.push(kind);
    buffer.extend_from_slice(&payload_bytes.to_le_bytes());
    buffer.extend_from_slice(&position.to_le_bytes());
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(prev);
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(payload);
    buffer.extend_from_slice(&digest);
    buffer.push(LAST);
    digest
}

/// Completes the head of a record that is about to be written with the batch starting at `batch`.
pub(super) fn stamp(record: &mut [u8], batch: u64, salt: u32) {
    record[14..22].copy_from_slice(&batch.to_le_bytes());
    let crc = crc32c::crc32c_append(salt, &record[..54]);
    record[54..58].copy_from_slice(&crc.to_le_bytes());
}

/// The same for a record that is copied into a segment with another salt: its batch stays.
pub(super) fn restamp(record: &mut [u8], salt: u32) {
    let batch = long(record, 14);
    stamp(record, batch, salt);
}

/// The offset, from `from` on, of the next head of a record after `position` that `wanted` accepts.
///
/// The salt keeps a payload that contains something like a record from being taken for one.
pub(super) fn find_head(
    bytes: &[u8],
    from: usize,
    salt: u32,
    wanted: impl Fn(&Head) -> bool,
) -> Option<(usize, Head)> {
    (from..bytes.len().saturating_sub(HEAD - 1)).find_map(|at| {
        if bytes[at] != FIRST {
            return None;
        }
        let head = Head::decode(&bytes[at..], salt)?;
        wanted(&head).then_some((at, head))
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}

fn digest_at(bytes: &[u8], at: usize) -> Digest {
    bytes[at..at + 32].try_into().expect("32 bytes were sliced")
}
