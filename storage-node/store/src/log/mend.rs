//! The repair of damaged segments: what of their bytes can still be proven, and how records of a peer fill the gaps.
//!
//! Records are accepted only if the chain says that they are the right ones: linked to the sound record before the
//! gap, they must end in the digest that the record after it, the next segment's head, or the log's durable head
//! names. A repaired segment is written whole under a temporary name, synced, and renamed over the old one: whatever
//! a crash leaves under the segment's name is the old segment or the repaired one. A record that was filled in names
//! itself as its batch, because all before it was durable.

use std::io;
use std::sync::Arc;

use super::frame::{self, Frame, Head, SEGMENT_HEAD, SegmentHead};
use super::salvage::Stretch;
use super::{Log, LogError, TEMPORARY, Writer, io_error, lock, segment_name};
use crate::digest::Digest;
use crate::disk::{self, Disk, DiskFile};

/// A record as a peer offers it: its kind and its payload.
pub type Offered = (u8, Vec<u8>);

/// Why records do not repair a log.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The chain says that other records belong there: whoever supplied these has another log, or lies.
    #[error("the records offered for {first} to {last} are not those of this log")]
    Wrong {
        /// The first position that was to be repaired.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// These records can only be proven together, and not all were offered.
    #[error("the records {first} to {last} can only be repaired together")]
    Incomplete {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// What remains cannot be proven before the caller says which head it trusts.
    #[error("the log's end is damaged from {first} on: say first which head is to be trusted")]
    HeadUnknown {
        /// The first position that cannot be served.
        first: u64,
    },
    /// The head given lies before sound records, or is not theirs.
    #[error("the head at {position} is not that of the sound records")]
    WrongHead {
        /// The position given.
        position: u64,
    },
    /// The log or its device.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What is known of a segment from elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) base: u64,
    /// Unknown if the segment's head is lost.
    pub(super) salt: Option<u32>,
    /// The chain digest before the first record.
    pub(super) prev: Option<Digest>,
    /// The position after the last record.
    pub(super) until: Option<u64>,
    /// The chain digest through the last record.
    pub(super) digest: Option<Digest>,
}

/// A record whose every byte was checked, and where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) position: u64,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) prev: Digest,
    pub(super) digest: Digest,
}

/// Bytes in which records are not to be found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub(super) first: u64,
    /// Unknown at the end of a segment whose end is unknown.
    pub(super) last: Option<u64>,
    pub(super) start: usize,
    end: usize,
    /// The chain digest before and after the gap.
    pub(super) prev: Option<Digest>,
    pub(super) digest: Option<Digest>,
}

/// What can still be proven of a segment.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) bounds: Bounds,
    pub(super) found: Vec<Found>,
    pub(super) gaps: Vec<Gap>,
}

impl Survey {
    pub(super) fn new(bytes: &[u8], bounds: Bounds) -> Survey {
        let found = find(bytes, &bounds);
        let mut survey = Survey { bounds, found, gaps: Vec::new() };
        survey.gaps = survey.find_gaps(bytes.len());
        survey
    }

    /// The position and chain digest through the last sound record, or before the first.
    pub(super) fn last(&self) -> (u64, Option<Digest>) {
        let before = (self.bounds.base - 1, self.bounds.prev);
        self.found.last().map_or(before, |last| (last.position, Some(last.digest)))
    }

    /// Where the sound record at `position` lies.
    pub(super) fn record(&self, position: u64) -> Option<Found> {
        let nth = self.found.binary_search_by_key(&position, |found| found.position).ok()?;
        Some(self.found[nth])
    }

    fn find_gaps(&self, size: usize) -> Vec<Gap> {
        let Bounds { base, until, digest, .. } = self.bounds;
        let mut gaps = Vec::new();
        let mut gap =
            Gap { first: base, last: None, start: SEGMENT_HEAD, end: 0, prev: self.bounds.prev, digest };
        for found in &self.found {
            if found.position > gap.first {
                let last = Some(found.position - 1);
                gaps.push(Gap { last, end: found.start, digest: Some(found.prev), ..gap });
            }
            gap = Gap { first: found.position + 1, start: found.end, prev: Some(found.digest), ..gap };
        }
        let missing = until.map_or(gap.start < size, |until| gap.first < until);
        if missing {
            gaps.push(Gap { last: until.map(|until| until - 1), end: size.max(gap.start), ..gap });
        }
        gaps
    }

    /// The segment with `head`, its gaps filled as far as `records` from position `from` on cover them. Also the
    /// number of records filled in.
    pub(super) fn mend(
        &self,
        bytes: &[u8],
        head: &SegmentHead,
        from: u64,
        records: &[Offered],
    ) -> Result<(Vec<u8>, u64), RepairError> {
        let mut mended = head.encode().to_vec();
        mended.reserve(bytes.len());
        let (mut filled, mut copied) = (0, 0);
        for gap in &self.gaps {
            let (before, _) =
                self.found.split_at(self.found.partition_point(|found| found.position < gap.first));
            self.copy(&mut mended, bytes, head, &before[copied..]);
            copied = before.len();
            match gap.stretch().part(from, records)? {
                None => mended.extend_from_slice(bytes.get(gap.start..gap.end).unwrap_or_default()),
                Some(_) if gap.digest.is_none() => {
                    return Err(RepairError::HeadUnknown { first: gap.first });
                }
                Some(records) => {
                    gap.fill(&mut mended, head, records)?;
                    filled += records.len() as u64;
                }
            }
        }
        self.copy(&mut mended, bytes, head, &self.found[copied..]);
        Ok((mended, filled))
    }

    fn copy(&self, mended: &mut Vec<u8>, bytes: &[u8], head: &SegmentHead, found: &[Found]) {
        for found in found {
            let start = mended.len();
            mended.extend_from_slice(&bytes[found.start..found.end]);
            if self.bounds.salt != Some(head.salt) {
                frame::restamp(&mut mended[start..], head.salt);
            }
        }
    }
}

impl Gap {
    pub(super) fn stretch(&self) -> Stretch {
        Stretch { first: self.first, last: self.last }
    }

    /// Adds `records`, if they continue the chain before the gap and end in the digest after it.
    fn fill(&self, mended: &mut Vec<u8>, head: &SegmentHead, records: &[Offered]) -> Result<(), RepairError> {
        let last = self.first + records.len() as u64 - 1;
        let wrong = RepairError::Wrong { first: self.first, last };
        let mut digest = match (self.prev, self.first == head.base) {
            (Some(prev), _) => prev,
            (None, true) => head.prev,
            (None, false) => return Err(wrong),
        };
        for (position, (kind, payload)) in (self.first..).zip(records) {
            let Ok(length) = u32::try_from(payload.len()) else { return Err(wrong) };
            let start = mended.len();
            digest = frame::push(mended, position, *kind, &digest, payload, length);
            frame::stamp(&mut mended[start..], position, head.salt);
        }
        if self.digest == Some(digest) { Ok(()) } else { Err(wrong) }
    }
}

/// The sound records of a segment, each linked to the one before it where that is sound.
fn find(bytes: &[u8], bounds: &Bounds) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut at = SEGMENT_HEAD;
    let mut position = bounds.base;
    let mut prev = bounds.prev;
    while at < bytes.len() && bounds.until.is_none_or(|until| position < until) {
        let frame = match bounds.salt {
            Some(salt) => Frame::decode(&bytes[at..], salt),
            None => Frame::decode_unsalted(&bytes[at..]),
        };
        let linked = |frame: &Frame| {
            frame.head.position == position && prev.is_none_or(|prev| prev == frame.head.prev)
        };
        if let Some(frame) = frame.filter(linked) {
            let end = at + frame.head.record_bytes();
            found.push(Found { position, start: at, end, prev: frame.head.prev, digest: frame.digest });
            (at, position, prev) = (end, position + 1, Some(frame.digest));
            continue;
        }
        let wanted =
            |head: &Head| head.position > position && bounds.until.is_none_or(|until| head.position < until);
        // Without the salt, a payload could pass for a record.
        let next = bounds.salt.and_then(|salt| frame::find_head(bytes, at + 1, salt, wanted));
        let Some((offset, head)) = next else { break };
        (at, position, prev) = (offset, head.position, None);
    }
    let is_wrong_end = |last: &Found| {
        bounds.until == Some(last.position + 1) && bounds.digest.is_some_and(|digest| digest != last.digest)
    };
    if found.last().is_some_and(is_wrong_end) {
        found.pop();
    }
    found
}

/// The bytes of a segment; none if its file is lost.
pub(super) fn read_segment(disk: &dyn Disk, base: u64) -> io::Result<Vec<u8>> {
    let read = disk.open(&segment_name(base)).and_then(|file| disk::read_what_is_left(file.as_ref()));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// Puts a file with these bytes in the place of `name`, durably: whatever happens, the name has the old bytes or
/// the new ones.
pub(super) fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<Arc<dyn DiskFile>, LogError> {
    let doing = io_error("writing a repaired segment");
    let temporary = format!("{TEMPORARY}{name}");
    let written = disk.create(&temporary).and_then(|file| file.write_at(bytes, 0).map(|()| file));
    let file = super::unless_full(disk, &temporary, written)?.map_err(&doing)?;
    file.sync_data().map_err(&doing)?;
    disk.rename(&temporary, name).map_err(&doing)?;
    disk.sync_dir().map_err(&doing)?;
    Ok(file)
}

impl Log {
    /// Repairs the segment with the base `segment`: its head and length, and its damaged records as far as `records`
    /// (from position `from` on, without gaps) cover all of a stretch
    /// ([`super::LogReader::stretch`]) and the chain proves them. Sound positions among them are left as they are.
    /// Returns how many records were repaired. A crash leaves the old segment or the repaired one; readers see the
    /// damage or the right bytes.
    ///
    /// # Errors
    /// [`RepairError::Wrong`] and [`RepairError::Incomplete`], nothing changed. [`LogError::MissingSegment`] if the
    /// log has no such segment. [`LogError::DiskFull`], nothing changed. [`LogError::Io`], after which the log is
    /// poisoned. [`LogError::Poisoned`].
    pub fn repair(&self, segment: u64, from: u64, records: &[Offered]) -> Result<u64, RepairError> {
        let mut writer = lock(&self.writer);
        self.refuse_if_poisoned()?;
        let outcome = self.repair_segment(&mut writer, segment, from, records);
        if matches!(outcome, Err(RepairError::Log(LogError::Io { .. }))) {
            self.poison();
        }
        outcome
    }

    fn repair_segment(
        &self,
        writer: &mut Writer,
        segment: u64,
        from: u64,
        records: &[Offered],
    ) -> Result<u64, RepairError> {
        let (head, survey, bytes) = self.shared.survey(segment)?;
        let (mended, filled) = survey.mend(&bytes, &head, from, records)?;
        if mended == bytes {
            return Ok(0);
        }
        let file = replace(self.shared.disk(), &segment_name(segment), &mended)?;
        if segment == writer.head.base {
            let mended_survey = Survey::new(&mended, survey.bounds);
            writer.file = Arc::clone(&file);
            writer.len = mended.len() as u64;
            self.shared.replace_last(file, &mended_survey, mended.len());
        } else {
            self.shared.replaced(segment);
        }
        Ok(filled)
    }
}
