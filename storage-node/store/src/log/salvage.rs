//! A log that cannot be opened because its last segment, the head of a segment, or a whole segment is damaged: what
//! can still be proven of it, and its repair with records of a peer.
//!
//! A segment's head can be written anew from what stands around it: its base from the file's name, the digest before
//! it from its first record or from the segment before. Only the salt is lost, so its records get the configured one;
//! until then they are recognised by their hashes alone, one behind the other. A missing segment is known by the head
//! of its successor.
//!
//! Left out on purpose: damage inside sealed segments whose heads are sound. It does not keep a log from being
//! opened; [`super::LogReader::scrub`] finds it and [`Log::repair`] mends it.

use std::sync::Arc;

use super::frame::{BadSegmentHead, Frame, SEGMENT_HEAD, SegmentHead};
use super::mend::{self, Bounds, Gap, Offered, Survey};
use super::reader::{Record, record_of};
use super::tail::{self, Rest};
use super::{
    Log, LogConfig, LogError, RecoveryReport, RepairError, io_error, prepare, segment_base, segment_name,
};
use crate::digest::{self, Digest};
use crate::disk::Disk;

/// Segments without a head that are looked at, and held in memory: 1 GiB of 64 MiB each. A log with more of them is
/// restored, not repaired.
const HEADLESS_MAX: usize = 16;

/// Records that have to be fetched from a peer, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first of them.
    pub first: u64,
    /// The last of them. Unknown at the damaged end of a log; the caller names a head that it trusts
    /// ([`Salvage::expect_head`]).
    pub last: Option<u64>,
}

/// A log that [`Log::open`] refuses as damaged.
pub struct Salvage {
    disk: Arc<dyn Disk>,
    config: LogConfig,
    segments: Vec<Segment>,
    /// The first position that the log has to have, and the chain digest before it.
    start: (u64, Digest),
    expected: Option<(u64, Digest)>,
}

struct Segment {
    base: u64,
    /// Absent if it is damaged or the file is missing.
    head: Option<SegmentHead>,
    /// The chain digest before `base` as records fetched from a peer have proven it.
    proven: Option<Digest>,
    /// Absent for a segment that opening does not look into either.
    content: Option<Content>,
}

struct Content {
    bytes: Vec<u8>,
    survey: Survey,
}

impl Salvage {
    /// Looks at the log on `disk`. What an interrupted cut or copy left is finished or removed, as [`Log::open`]
    /// does; otherwise nothing is changed. A log that could be opened is taken too.
    ///
    /// # Errors
    /// [`LogError::UnknownVersion`], [`LogError::RestoreInterrupted`], [`LogError::Io`];
    /// [`LogError::Damaged`] for segments that cannot belong to one log, or more than 16 without a head.
    pub fn open(disk: Arc<dyn Disk>, config: LogConfig) -> Result<Salvage, LogError> {
        prepare(disk.as_ref())?;
        let start = super::start(disk.as_ref())?;
        let segments = find_segments(disk.as_ref(), start.0)?;
        let mut salvage = Salvage { disk, config, segments, start, expected: None };
        let count = salvage.segments.len();
        let mut headless = salvage.segments.iter().filter(|segment| segment.head.is_none());
        if let Some(Segment { base, .. }) = headless.nth(HEADLESS_MAX) {
            return Err(LogError::Damaged { segment: *base, offset: 0, position: *base });
        }
        for nth in 0..count {
            let headless = |nth: usize| salvage.segments.get(nth).is_some_and(|found| found.head.is_none());
            if headless(nth) || headless(nth + 1) || nth + 1 == count {
                let bytes = mend::read_segment(salvage.disk.as_ref(), salvage.segments[nth].base)
                    .map_err(io_error("reading a damaged segment"))?;
                let survey = Survey::new(&[], salvage.bounds(nth));
                salvage.segments[nth].content = Some(Content { bytes, survey });
            }
        }
        salvage.survey();
        Ok(salvage)
    }

    /// The last position up to which the log is proven to be whole, as far as it was looked at, and the chain digest
    /// through it; `None` if the log's beginning is lost.
    pub fn head(&self) -> Option<(u64, Digest)> {
        if let Some(gap) = self.gaps().next() {
            return gap.prev.map(|prev| (gap.first - 1, prev));
        }
        let Some(content) = self.segments.last().and_then(|last| last.content.as_ref()) else {
            return Some((self.start.0 - 1, self.start.1));
        };
        let (position, digest) = content.survey.last();
        digest.map(|digest| (position, digest))
    }

    /// What has to be fetched before the log can be opened.
    pub fn wanted(&self) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for gap in self.gaps() {
            match stretches.last_mut().filter(|before| before.last.is_some_and(|last| last + 1 == gap.first))
            {
                // Between the two lies the start of a segment: what stands there may prove them one by one.
                Some(before) if gap.prev.is_none() => before.last = gap.last,
                _ => stretches.push(gap.stretch()),
            }
        }
        stretches
    }

    /// The sound record at `position`, hashed again. Reads the whole segment: this is for looking, not for serving.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::NotDurable`], [`LogError::Io`].
    pub fn read(&self, position: u64) -> Result<Record, LogError> {
        let first = self.segments.first().map_or(1, |first| first.base);
        let durable = self.head().map_or(first - 1, |(position, _)| position);
        let nth = self.segments.partition_point(|segment| segment.base <= position);
        let Some(nth) = nth.checked_sub(1) else {
            return Err(LogError::NotDurable { position, first, durable });
        };
        let segment = &self.segments[nth];
        let loaded;
        let content = match &segment.content {
            Some(content) => content,
            None => {
                let bytes = mend::read_segment(self.disk.as_ref(), segment.base)
                    .map_err(io_error("reading a segment"))?;
                let survey = Survey::new(&bytes, self.bounds(nth));
                loaded = Content { bytes, survey };
                &loaded
            }
        };
        let Content { bytes, survey } = content;
        let found = survey.record(position);
        if found.is_none() && !survey.gaps.iter().any(|gap| gap.stretch().contains(position)) {
            return Err(LogError::NotDurable { position, first, durable });
        }
        let damaged = LogError::Damaged { segment: segment.base, offset: 0, position };
        let Some(found) = found else { return Err(damaged) };
        let bytes = &bytes[found.start..found.end];
        record_of(bytes, survey.bounds.salt).ok_or(damaged)
    }

    /// Says which head the log has to have, as the caller knows from somebody it trusts: the damaged end of the last
    /// segment is repaired up to it, and damaged bytes behind it are cut. Without it, nothing behind the last sound
    /// record can be proven.
    ///
    /// # Errors
    /// [`RepairError::WrongHead`] if sound records contradict it or follow it.
    pub fn expect_head(&mut self, position: u64, digest: Digest) -> Result<(), RepairError> {
        let content = self.segments.last().and_then(|last| last.content.as_ref());
        let (last, known) =
            content.map_or((self.start.0 - 1, Some(self.start.1)), |content| content.survey.last());
        if position < last || (position == last && known.is_some_and(|known| known != digest)) {
            return Err(RepairError::WrongHead { position });
        }
        self.expected = Some((position, digest));
        self.survey();
        Ok(())
    }

    /// Repairs the stretches that `records` (from position `from` on, without gaps) cover, durably.
    /// Returns how many records were repaired.
    ///
    /// # Errors
    /// As [`Log::repair`], and [`RepairError::HeadUnknown`]. After [`LogError::Io`] the log has to be looked at
    /// again.
    pub fn repair(&mut self, from: u64, records: &[Offered]) -> Result<u64, RepairError> {
        self.prove_borders(from, records)?;
        let mut repaired = 0;
        for nth in 0..self.segments.len() {
            repaired += self.mend(nth, from, records)?;
        }
        Ok(repaired)
    }

    /// Opens the log, all of whose stretches have been repaired.
    ///
    /// # Errors
    /// [`RepairError::Incomplete`] and [`RepairError::HeadUnknown`] if something is still wanted; otherwise as
    /// [`Log::open`].
    pub fn finish(mut self) -> Result<(Log, RecoveryReport), RepairError> {
        if let Some(Stretch { first, last }) = self.wanted().first().copied() {
            return Err(match last {
                Some(last) => RepairError::Incomplete { first, last },
                None => RepairError::HeadUnknown { first },
            });
        }
        for nth in 0..self.segments.len() {
            self.mend(nth, 0, &[])?;
        }
        Ok(Log::open(self.disk, self.config)?)
    }

    fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.segments
            .iter()
            .filter_map(|segment| segment.content.as_ref())
            .flat_map(|content| &content.survey.gaps)
    }

    /// What the log says of a segment from outside its records.
    fn bounds(&self, nth: usize) -> Bounds {
        let segment = &self.segments[nth];
        let next = self.segments.get(nth + 1);
        let (until, digest) = match (next, self.expected) {
            (Some(next), _) => (Some(next.base), self.stated_prev(nth + 1)),
            (None, Some((position, digest))) => (Some(position + 1), Some(digest)),
            (None, None) => (None, None),
        };
        let salt = segment.head.map(|head| head.salt);
        Bounds { base: segment.base, salt, prev: self.prev(nth), until, digest }
    }

    /// The chain digest before a segment: as it says itself, or else through the last record of the one before.
    fn prev(&self, nth: usize) -> Option<Digest> {
        let before = || {
            let (last, digest) = self.segments.get(nth.checked_sub(1)?)?.content.as_ref()?.survey.last();
            digest.filter(|_| last + 1 == self.segments[nth].base)
        };
        self.stated_prev(nth).or_else(before)
    }

    /// The chain digest before a segment, not taken from the segment before, whose own end it has to prove.
    fn stated_prev(&self, nth: usize) -> Option<Digest> {
        let segment = &self.segments[nth];
        let start = || (segment.base == self.start.0).then_some(self.start.1);
        let expected = || self.expected.filter(|(position, _)| position + 1 == segment.base);
        segment.stated_prev().or_else(start).or_else(|| expected().map(|(_, digest)| digest))
    }

    fn survey(&mut self) {
        for nth in 0..self.segments.len() {
            let bounds = self.bounds(nth);
            if let Some(content) = &mut self.segments[nth].content {
                content.survey = Survey::new(&content.bytes, bounds);
                drop_torn(content);
            }
        }
    }

    /// Where a stretch goes on in the next segment and nothing there says what the digest between them is, records
    /// that cover all of it and end in the right digest say so.
    fn prove_borders(&mut self, from: u64, records: &[Offered]) -> Result<(), RepairError> {
        let gaps: Vec<Gap> = self.gaps().copied().collect();
        for stretch in self.wanted() {
            let parts: Vec<&Gap> = gaps.iter().filter(|gap| stretch.contains(gap.first)).collect();
            let (Some(last), [start, .., end]) = (stretch.last, parts.as_slice()) else { continue };
            let Some(records) = stretch.part(from, records)? else { continue };
            let wrong = RepairError::Wrong { first: stretch.first, last };
            let mut digest = start.prev.ok_or(RepairError::Incomplete { first: stretch.first, last })?;
            let mut borders = Vec::new();
            for (position, (kind, payload)) in (stretch.first..).zip(records) {
                if parts.iter().any(|gap| gap.first == position) {
                    borders.push((position, digest));
                }
                digest = digest::chain(&digest, position, *kind, &digest::of(payload));
            }
            if end.digest != Some(digest) {
                return Err(wrong);
            }
            for segment in &mut self.segments {
                let border = borders.iter().find(|(base, _)| *base == segment.base);
                segment.proven = border.map(|(_, digest)| *digest).or(segment.proven);
            }
        }
        self.survey();
        Ok(())
    }

    /// Writes a segment that was looked into anew, if that changes it.
    fn mend(&mut self, nth: usize, from: u64, records: &[Offered]) -> Result<u64, RepairError> {
        let segment = &self.segments[nth];
        let Some(content) = &segment.content else { return Ok(0) };
        let head = match (segment.head, self.prev(nth)) {
            (Some(head), _) => head,
            (None, Some(prev)) => {
                let previous = nth.checked_sub(1).map_or(0, |before| self.segments[before].base);
                SegmentHead { salt: self.config.salt, base: segment.base, previous, prev }
            }
            (None, None) if content.survey.gaps.is_empty() => {
                // Nothing says where the chain was: not even that a head was here.
                return Err(RepairError::HeadUnknown { first: segment.base });
            }
            (None, None) => return Ok(0),
        };
        let (mended, filled) = content.survey.mend(&content.bytes, &head, from, records)?;
        if segment.head.is_none() && filled == 0 && !content.survey.gaps.is_empty() {
            // Its records are found by their hashes as long as the head is not written anew.
            return Ok(0);
        }
        if mended != content.bytes {
            mend::replace(self.disk.as_ref(), &segment_name(segment.base), &mended)?;
            let segment = &mut self.segments[nth];
            segment.head = Some(head);
            if let Some(content) = &mut segment.content {
                content.bytes = mended;
            }
            self.survey();
        }
        Ok(filled)
    }
}

impl Segment {
    /// The chain digest before the segment, from itself or from what was proven.
    fn stated_prev(&self) -> Option<Digest> {
        let first = || {
            let frame = Frame::decode_unsalted(self.content.as_ref()?.bytes.get(SEGMENT_HEAD..)?)?;
            (frame.head.position == self.base).then_some(frame.head.prev)
        };
        self.head.map(|head| head.prev).or(self.proven).or_else(first)
    }
}

impl Stretch {
    pub(super) fn contains(&self, position: u64) -> bool {
        self.first <= position && self.last.is_none_or(|last| position <= last)
    }

    /// The part of `records`, from position `from` on, that lies in this stretch, if any does; then it must be all
    /// of it.
    pub(super) fn part<'a>(
        &self,
        from: u64,
        records: &'a [Offered],
    ) -> Result<Option<&'a [Offered]>, RepairError> {
        let until = from.saturating_add(records.len() as u64);
        if until <= self.first || self.last.is_some_and(|last| from > last) || records.is_empty() {
            return Ok(None);
        }
        let Some(last) = self.last else { return Err(RepairError::HeadUnknown { first: self.first }) };
        if from > self.first || until <= last {
            return Err(RepairError::Incomplete { first: self.first, last });
        }
        Ok(Some(&records[(self.first - from) as usize..=(last - from) as usize]))
    }
}

/// Forgets the gap at the end of a last segment that a crash explains: opening cuts it.
fn drop_torn(content: &mut Content) {
    let Content { bytes, survey } = content;
    let Some(gap) = survey.gaps.last().filter(|gap| gap.last.is_none()) else { return };
    let torn = |salt| tail::judge_rest(bytes, gap.start, gap.first, salt) == Rest::Torn;
    if survey.bounds.salt.is_some_and(torn) {
        survey.gaps.pop();
    }
}

/// The segments on the disk, and those that are missing between them and before them.
fn find_segments(disk: &dyn Disk, start: u64) -> Result<Vec<Segment>, LogError> {
    let doing = io_error("listing the segments");
    let names = disk.list().map_err(&doing)?;
    let bases: Vec<u64> = names.iter().filter_map(|name| segment_base(name)).collect();
    let mut segments: Vec<Segment> = Vec::new();
    for base in &bases {
        let file = disk.open(&segment_name(*base)).map_err(&doing)?;
        let size = file.size().map_err(&doing)?;
        let mut bytes = vec![0; SEGMENT_HEAD.min(usize::try_from(size).unwrap_or(SEGMENT_HEAD))];
        if file.read_at(&mut bytes, 0).is_err() {
            bytes.fill(0xff);
        }
        if Some(base) == bases.last() && super::is_unfinished(&bytes, size) {
            break;
        }
        let head = match SegmentHead::decode(&bytes) {
            Ok(head) if head.base == *base => Some(head),
            Ok(_) | Err(BadSegmentHead::Damaged) => None,
            Err(BadSegmentHead::Version(version)) => {
                return Err(LogError::UnknownVersion { segment: *base, version });
            }
        };
        let segment = |base: u64, head| Segment { base, head, proven: None, content: None };
        if segments.is_empty() && *base > start {
            segments.push(segment(start, None));
        }
        if let (Some(head), Some(before)) = (head, segments.last().map(|before| before.base))
            && head.previous != before
        {
            if head.previous <= before || head.previous >= *base {
                return Err(LogError::Damaged { segment: *base, offset: 0, position: *base });
            }
            segments.push(segment(head.previous, None));
        }
        segments.push(segment(*base, head));
    }
    Ok(segments)
}
