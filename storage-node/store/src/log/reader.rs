//! The durable part of a log as any thread may read it: nothing is served that was not hashed again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::cut::Kept;
use super::frame::{self, Frame, Head, SEGMENT_HEAD, SegmentHead};
use super::mend::{self, Bounds, Gap, Survey};
use super::tail::Tail;
use super::{LogError, io_error, lock, segment_name};
use crate::digest::Digest;
use crate::disk::{self, Disk, DiskFile};

/// Sealed segments whose file and offsets are kept at hand: 256 of 64 MiB are 16 GiB of log, and 3 MB of
/// offsets with records of 5 KB.
const OPEN_SEGMENTS_MAX: usize = 256;
/// Damaged places listed in one report; more are counted.
const DAMAGE_LISTED_MAX: usize = 1024;

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its position.
    pub position: u64,
    /// The kind given by the caller who appended it.
    pub kind: u8,
    /// The bytes appended.
    pub payload: Vec<u8>,
    /// The chain digest before it.
    pub prev: Digest,
    /// The chain digest through it, computed from what was read.
    pub digest: Digest,
}

/// A place where bytes that were durable are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The base of the segment.
    pub segment: u64,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The position of the record that cannot be served.
    pub position: u64,
}

/// What a scrub of the log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrub {
    /// Records found sound.
    pub records: u64,
    /// The bytes of their payloads.
    pub payload_bytes: u64,
    /// Damaged places in all.
    pub damaged: u64,
    /// The first 1024 of them.
    pub places: Vec<Damage>,
}

pub(super) struct Segment {
    head: SegmentHead,
}

impl Segment {
    pub(super) fn new(head: SegmentHead) -> Segment {
        Segment { head }
    }
}

/// What the log and its readers share.
pub(super) struct Shared {
    disk: Arc<dyn Disk>,
    view: RwLock<View>,
    sealed: Mutex<BTreeMap<u64, Arc<Offsets>>>,
    /// Counts the prunes, cuts and repairs. It moves before the bytes do, so a reader who finds it unmoved after
    /// reading has read what the view promised.
    changes: AtomicU64,
}

/// The durable log; the last segment is the one written to.
struct View {
    segments: Vec<Segment>,
    file: Arc<dyn DiskFile>,
    starts: Vec<u32>,
    len: u64,
    durable: u64,
    digest: Digest,
}

impl View {
    /// The head of the segment with the durable record at `position`, and the base of the segment after it.
    fn segment_of(&self, position: u64) -> Result<(SegmentHead, Option<u64>), LogError> {
        let first = self.segments[0].head.base;
        if position < first || position > self.durable {
            return Err(LogError::NotDurable { position, first, durable: self.durable });
        }
        let after = self.segments.partition_point(|segment| segment.head.base <= position);
        let next = self.segments.get(after).map(|next| next.head.base);
        Ok((self.segments[after - 1].head, next))
    }
}

/// A sealed segment: where each record starts. Behind a head that cannot be read its successors are found
/// again by their own heads; the records between are lost, and start where the damage does.
struct Offsets {
    file: Arc<dyn DiskFile>,
    starts: Vec<u32>,
    lost: BTreeSet<u64>,
    /// The offset after the last record.
    end: u64,
    size: u64,
}

/// Where one record lies.
struct Place {
    file: Arc<dyn DiskFile>,
    salt: u32,
    segment: u64,
    start: u64,
    /// The bytes that the record has if its neighbour starts where it should.
    bytes: u64,
    lost: bool,
}

/// What a segment has to hold.
struct Extent {
    head: SegmentHead,
    /// The position after its last durable record, and the chain digest through that.
    until: u64,
    digest: Digest,
    sealed: bool,
    /// The durable bytes of the last segment.
    len: u64,
}

impl Extent {
    /// Whether something of it lies at `position` or behind; the last segment always does.
    fn reaches(&self, position: u64) -> bool {
        self.until > position || !self.sealed
    }
}

/// Where some records of one segment lie, one behind the other.
struct Run {
    file: Arc<dyn DiskFile>,
    head: SegmentHead,
    start: u64,
    ends: Vec<u64>,
}

/// Records gathered for one answer.
struct Gathered {
    records: Vec<Record>,
    /// Bytes of log that may still be added.
    left: u64,
    next: u64,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        segments: Vec<Segment>,
        file: Arc<dyn DiskFile>,
        tail: Tail,
        durable: u64,
    ) -> Shared {
        let view =
            View { segments, file, starts: tail.starts, len: tail.end as u64, durable, digest: tail.digest };
        Shared { disk, view: RwLock::new(view), sealed: Mutex::default(), changes: AtomicU64::new(0) }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    pub(super) fn durable(&self) -> u64 {
        self.view().durable
    }

    pub(super) fn durable_head(&self) -> (u64, Digest) {
        let view = self.view();
        (view.durable, view.digest)
    }

    /// The segment starting at `head` takes over from the one before.
    pub(super) fn seal(&self, head: SegmentHead, file: Arc<dyn DiskFile>) {
        let mut view = self.view_mut();
        view.segments.push(Segment::new(head));
        view.file = file;
        view.starts.clear();
        view.len = SEGMENT_HEAD as u64;
    }

    /// A batch written at `offset` has become durable.
    pub(super) fn publish(&self, offset: u64, starts: &[usize], bytes: u64, durable: u64, digest: Digest) {
        let mut view = self.view_mut();
        view.starts.extend(starts.iter().map(|start| (offset + *start as u64) as u32));
        view.len = offset + bytes;
        (view.durable, view.digest) = (durable, digest);
    }

    /// No reader sees the segments before the one with the base `first` any more.
    pub(super) fn prune(&self, first: u64) {
        let mut view = self.view_mut();
        view.segments.retain(|segment| segment.head.base >= first);
        self.changed(|base| base < first);
    }

    /// What the segment with the base `segment` has to hold, if it is kept.
    fn extent(&self, segment: u64) -> Option<Extent> {
        let view = self.view();
        let nth = view.segments.binary_search_by_key(&segment, |segment| segment.head.base).ok()?;
        let head = view.segments[nth].head;
        let next = view.segments.get(nth + 1).map(|next| next.head);
        let (until, digest) = next.map_or((view.durable + 1, view.digest), |next| (next.base, next.prev));
        Some(Extent { head, until, digest, sealed: next.is_some(), len: view.len })
    }

    /// What can still be proven of the segment with the base `segment`, with its head and its bytes.
    pub(super) fn survey(&self, segment: u64) -> Result<(SegmentHead, Survey, Vec<u8>), LogError> {
        let extent = self.extent(segment).ok_or(LogError::MissingSegment { segment })?;
        let Extent { head, until, digest, .. } = extent;
        let doing = io_error("reading a segment");
        let mut bytes = mend::read_segment(self.disk(), segment).map_err(doing)?;
        if !extent.sealed {
            // A batch may be on its way behind what is durable.
            bytes.truncate(extent.len as usize);
        }
        let (salt, prev) = (Some(head.salt), Some(head.prev));
        let bounds = Bounds { base: segment, salt, prev, until: Some(until), digest: Some(digest) };
        Ok((head, Survey::new(&bytes, bounds), bytes))
    }

    /// A sealed segment was replaced.
    pub(super) fn replaced(&self, segment: u64) {
        self.changed(|base| base == segment);
    }

    /// The last segment was replaced by `file`, of `len` bytes.
    pub(super) fn replace_last(&self, file: Arc<dyn DiskFile>, survey: &Survey, len: usize) {
        let mut view = self.view_mut();
        view.file = file;
        view.len = len as u64;
        view.starts.clear();
        let base = survey.bounds.base;
        let mut end = SEGMENT_HEAD;
        for found in &survey.found {
            // What is still lost starts where the damage does.
            view.starts.resize((found.position - base) as usize, end as u32);
            view.starts.push(found.start as u32);
            end = found.end;
        }
        let count = (view.durable + 1 - base) as usize;
        view.starts.resize(count, end as u32);
        self.changed(|_| false);
    }

    /// The heads of all segments.
    pub(super) fn heads(&self) -> Vec<SegmentHead> {
        self.view().segments.iter().map(|segment| segment.head).collect()
    }

    /// The log ends at `keep` from now on, in the segment `kept`, whose file is `file`.
    pub(super) fn cut(&self, keep: u64, kept: Kept, file: Arc<dyn DiskFile>) {
        let mut view = self.view_mut();
        view.segments.retain(|segment| segment.head.base <= kept.head.base);
        (view.file, view.starts, view.len) = (file, kept.starts, kept.len);
        (view.durable, view.digest) = (keep, kept.digest);
        self.changed(|base| base >= kept.head.base);
    }

    /// Says that bytes which could be read are about to be others, or were replaced, and forgets where the records
    /// of the segments chosen by `forgotten` start.
    fn changed(&self, forgotten: impl Fn(u64) -> bool) {
        let mut sealed = lock(&self.sealed);
        sealed.retain(|base, _| !forgotten(*base));
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// What `read` answers, asked again if segments were pruned, cut or replaced meanwhile.
    fn steadily<T>(&self, read: impl Fn() -> Result<T, LogError>) -> Result<T, LogError> {
        loop {
            let before = self.changes.load(Ordering::SeqCst);
            let outcome = read();
            if self.changes.load(Ordering::SeqCst) == before {
                return outcome;
            }
        }
    }

    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, position: u64) -> Result<Place, LogError> {
        let view = self.view();
        let (head, next) = view.segment_of(position)?;
        let nth = (position - head.base) as usize;
        let Some(next) = next else {
            let start = u64::from(view.starts[nth]);
            let end = view.starts.get(nth + 1).map_or(view.len, |next| u64::from(*next));
            let file = Arc::clone(&view.file);
            return Ok(Place {
                file,
                salt: head.salt,
                segment: head.base,
                start,
                bytes: end - start,
                lost: false,
            });
        };
        drop(view);
        let offsets = self.offsets(head, next)?;
        let start = u64::from(offsets.starts[nth]);
        let end = offsets.starts.get(nth + 1).map_or(offsets.end, |next| u64::from(*next));
        Ok(Place {
            file: Arc::clone(&offsets.file),
            salt: head.salt,
            segment: head.base,
            start,
            bytes: end - start,
            lost: offsets.lost.contains(&position),
        })
    }

    /// The place of the records of one segment from `gathered.next` on that still fit, at least one if there is none
    /// yet.
    fn run(&self, gathered: &Gathered) -> Result<Run, LogError> {
        let view = self.view();
        let (head, next) = view.segment_of(gathered.next)?;
        let nth = (gathered.next - head.base) as usize;
        let ends = |starts: &[u32], end: u64| {
            let start = u64::from(starts[nth]);
            let ends = starts[nth + 1..].iter().map(|start| u64::from(*start)).chain([end]);
            let first = usize::from(gathered.records.is_empty());
            let fits = |(nth, end): &(usize, u64)| *nth < first || end - start <= gathered.left;
            (start, ends.enumerate().take_while(fits).map(|(_, end)| end).collect())
        };
        let Some(next) = next else {
            let (start, ends) = ends(&view.starts, view.len);
            return Ok(Run { file: Arc::clone(&view.file), head, start, ends });
        };
        drop(view);
        let offsets = self.offsets(head, next)?;
        let (start, ends) = ends(&offsets.starts, offsets.end);
        Ok(Run { file: Arc::clone(&offsets.file), head, start, ends })
    }

    /// The digest at `position` where it is known without reading a record: at the end and between segments.
    fn known_digest(&self, position: u64) -> Result<Option<Digest>, LogError> {
        let view = self.view();
        let first = view.segments[0].head.base;
        if position + 1 < first || position > view.durable {
            return Err(LogError::NotDurable { position, first, durable: view.durable });
        }
        if position == view.durable {
            return Ok(Some(view.digest));
        }
        let next = view.segments.binary_search_by_key(&(position + 1), |segment| segment.head.base);
        Ok(next.ok().map(|next| view.segments[next].head.prev))
    }

    fn offsets(&self, head: SegmentHead, next: u64) -> Result<Arc<Offsets>, LogError> {
        if let Some(offsets) = lock(&self.sealed).get(&head.base) {
            return Ok(Arc::clone(offsets));
        }
        let before = self.changes.load(Ordering::SeqCst);
        let offsets = Arc::new(find_offsets(self.disk.as_ref(), &head, next)?);
        let mut sealed = lock(&self.sealed);
        if self.changes.load(Ordering::SeqCst) != before {
            return Ok(offsets);
        }
        if sealed.len() >= OPEN_SEGMENTS_MAX {
            sealed.pop_first();
        }
        sealed.insert(head.base, Arc::clone(&offsets));
        Ok(offsets)
    }

    /// Forgets where the records of `segment` start, so that they are looked for again.
    fn forget(&self, segment: u64) {
        lock(&self.sealed).remove(&segment);
    }
}

fn find_offsets(disk: &dyn Disk, head: &SegmentHead, next: u64) -> Result<Offsets, LogError> {
    let doing = io_error("reading a sealed segment");
    let file = disk.open(&segment_name(head.base)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => LogError::MissingSegment { segment: head.base },
        _ => doing(error),
    })?;
    let size = file.size().map_err(&doing)?;
    let mut starts = Vec::new();
    let mut lost = BTreeSet::new();
    let mut at = SEGMENT_HEAD as u64;
    let mut position = head.base;
    while position < next {
        let mut bytes = [0; frame::HEAD];
        let fits = at + bytes.len() as u64 <= size && file.read_at(&mut bytes, at).is_ok();
        let found = Head::decode(&bytes, head.salt).filter(|found| found.position == position);
        if let Some(found) = found.filter(|_| fits) {
            starts.push(at as u32);
            at += found.record_bytes() as u64;
            position += 1;
            continue;
        }
        let bytes = disk::read_what_is_left(file.as_ref()).map_err(&doing)?;
        let wanted = |found: &Head| found.position > position && found.position < next;
        let resumed = frame::find_head(&bytes, at as usize + 1, head.salt, wanted);
        // The last head found may promise more bytes than a file that became shorter has.
        let rest = (size.max(at), next);
        let (resume, until) = resumed.map_or(rest, |(offset, found)| (offset as u64, found.position));
        for gone in position..until {
            starts.push(at as u32);
            lost.insert(gone);
        }
        (at, position) = (resume, until);
    }
    Ok(Offsets { file, starts, lost, end: at, size })
}

/// The record that `bytes` are, hashed again; without a salt, its CRC is not checked.
pub(super) fn record_of(bytes: &[u8], salt: Option<u32>) -> Option<Record> {
    let frame = salt.map_or_else(|| Frame::decode_unsalted(bytes), |salt| Frame::decode(bytes, salt));
    let Frame { head, digest, payload } = frame?;
    let Head { position, kind, prev, .. } = head;
    Some(Record { position, kind, payload: bytes[payload].to_vec(), prev, digest })
}

/// Reads durable records. Cheap to clone; every record is hashed again.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> LogReader {
        LogReader { shared }
    }

    /// The last durable position, 0 if there is none, and the chain digest through it.
    pub fn durable(&self) -> (u64, Digest) {
        self.shared.durable_head()
    }

    /// The first position kept (1 unless older segments were pruned).
    pub fn first(&self) -> u64 {
        self.shared.view().segments[0].head.base
    }

    /// The number of segments, of which the last is written to and the others are sealed.
    pub fn segments(&self) -> usize {
        self.shared.view().segments.len()
    }

    /// The durable record at `position`, hashed again.
    ///
    /// # Errors
    /// [`LogError::NotDurable`] for a position that is not kept or not yet durable; [`LogError::Damaged`] if
    /// any byte of the record is wrong or cannot be read; [`LogError::MissingSegment`] and [`LogError::Io`].
    pub fn read(&self, position: u64) -> Result<Record, LogError> {
        self.shared.steadily(|| self.read_once(position))
    }

    /// The durable records from `from` on, each hashed again and checked against the one before: as many as fit
    /// into `bytes_max` bytes of log, but at least one if `from` is durable. They end before a record that is
    /// damaged, unless that is the first.
    ///
    /// # Errors
    /// As [`LogReader::read`]; [`LogError::NotDurable`] if `from` is neither kept nor the position after the last
    /// durable one.
    pub fn read_range(&self, from: u64, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        self.shared.steadily(|| {
            let (durable, _) = self.check_start(from)?;
            let mut gathered = Gathered { records: Vec::new(), left: bytes_max as u64, next: from };
            while gathered.next <= durable {
                match self.shared.run(&gathered).and_then(|run| gathered.add(&run)) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // A file that ends too early may still have the first of the records asked for.
                    Err(LogError::Damaged { .. }) => return Ok(vec![self.read_once(from)?]),
                    Err(error) => return Err(error),
                }
            }
            Ok(gathered.records)
        })
    }

    /// The chain digest through `position`: a durable position, or the one before the first that is kept. It is
    /// known for a damaged record too, if the next one is sound.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub fn digest_at(&self, position: u64) -> Result<Digest, LogError> {
        self.shared.steadily(|| {
            if let Some(known) = self.shared.known_digest(position)? {
                return Ok(known);
            }
            match self.read_once(position) {
                Ok(record) => Ok(record.digest),
                Err(error @ LogError::Damaged { .. }) => {
                    self.read_once(position + 1).map(|next| next.prev).map_err(|_| error)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// The records that have to be fetched together to repair the one at `position`, which a [`Damage`] names; `None`
    /// if that is sound, or follows the last one: then only the segment's head or end is damaged, and
    /// [`super::Log::repair`] needs no records.
    ///
    /// # Errors
    /// [`LogError::NotDurable`], [`LogError::Io`].
    pub fn stretch(&self, position: u64) -> Result<Option<super::Stretch>, LogError> {
        self.shared.steadily(|| {
            if position == self.durable().0 + 1 {
                return Ok(None);
            }
            let (head, _) = self.shared.view().segment_of(position)?;
            let (_, survey, _) = self.shared.survey(head.base)?;
            Ok(survey.gaps.iter().map(Gap::stretch).find(|gap| gap.contains(position)))
        })
    }

    /// The names of the files that [`super::Log::set_aside`] made.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn asides(&self) -> Result<Vec<String>, LogError> {
        super::cut::names(self.shared.disk())
    }

    /// Reads a file that [`super::Log::set_aside`] made.
    ///
    /// # Errors
    /// As [`super::read_aside`].
    pub fn read_aside(&self, name: &str) -> Result<super::AsideReader, LogError> {
        super::read_aside(self.shared.disk(), name)
    }

    fn read_once(&self, position: u64) -> Result<Record, LogError> {
        let place = self.shared.place(position)?;
        let damaged = LogError::Damaged { segment: place.segment, offset: place.start, position };
        if place.lost {
            return Err(damaged);
        }
        let mut bytes = vec![0; place.bytes as usize];
        // What the device cannot read any more is as lost as what it reads wrong.
        if place.file.read_at(&mut bytes, place.start).is_err() {
            return Err(damaged);
        }
        match record_of(&bytes, Some(place.salt)) {
            Some(record) if record.position == position => Ok(record),
            _ => Err(damaged),
        }
    }

    /// The records from `from` to what is durable now, each hashed again and checked against the one before.
    /// The first error is the last item.
    ///
    /// # Errors
    /// [`LogError::NotDurable`] if `from` is neither kept nor the position after the last durable one.
    pub fn iter(&self, from: u64) -> Result<LogIter, LogError> {
        let (durable, _) = self.check_start(from)?;
        Ok(LogIter { reader: self.clone(), next: from, end: durable, prev: None })
    }

    /// The last durable position and the first kept, if reading may start at `from`.
    fn check_start(&self, from: u64) -> Result<(u64, u64), LogError> {
        let view = self.shared.view();
        let (durable, first) = (view.durable, view.segments[0].head.base);
        if from < first || from > durable + 1 {
            return Err(LogError::NotDurable { position: from, first, durable });
        }
        Ok((durable, first))
    }

    /// Hashes again every durable record from `from` on, and checks the heads and ends of the segments and
    /// the chain across them. Damage is reported, not repaired.
    ///
    /// # Errors
    /// [`LogError::Io`] if the device cannot be read; damage is no error here.
    pub fn scrub(&self, from: u64) -> Result<Scrub, LogError> {
        let mut scrub = Scrub::default();
        for SegmentHead { base, .. } in self.shared.heads() {
            let found = self.shared.steadily(|| {
                let mut found = Scrub::default();
                // One that is not there any more was pruned or cut meanwhile.
                if let Some(extent) = self.shared.extent(base).filter(|extent| extent.reaches(from)) {
                    self.scrub_segment(&mut found, &extent)?;
                }
                Ok(found)
            })?;
            scrub.merge(found);
        }
        Ok(scrub)
    }

    fn scrub_segment(&self, scrub: &mut Scrub, extent: &Extent) -> Result<(), LogError> {
        let Extent { head, until, digest, sealed, .. } = extent;
        self.shared.forget(head.base);
        let doing = io_error("scrubbing a segment");
        let damage = |offset, position| Damage { segment: head.base, offset, position };
        let file = match self.shared.disk().open(&segment_name(head.base)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                scrub.add(damage(0, head.base));
                return Ok(());
            }
            Err(error) => return Err(doing(error)),
        };
        let mut bytes = [0; SEGMENT_HEAD];
        let readable = file.read_at(&mut bytes, 0).is_ok();
        if !readable || SegmentHead::decode(&bytes) != Ok(*head) {
            scrub.add(damage(0, head.base));
        }
        let mut prev = Some(head.prev);
        for position in head.base..*until {
            match self.read_once(position) {
                Ok(record) if prev.is_none_or(|prev| prev == record.prev) => {
                    scrub.records += 1;
                    scrub.payload_bytes += record.payload.len() as u64;
                    prev = Some(record.digest);
                }
                Ok(record) => {
                    scrub.add(damage(0, position));
                    prev = Some(record.digest);
                }
                Err(LogError::Damaged { offset, .. }) => {
                    scrub.add(damage(offset, position));
                    prev = None;
                }
                Err(error) => return Err(error),
            }
        }
        if prev.is_some_and(|prev| prev != *digest) {
            scrub.add(damage(0, until - 1));
        }
        if *sealed {
            let offsets = self.shared.offsets(*head, *until)?;
            if offsets.size != offsets.end {
                scrub.add(damage(offsets.end, *until));
            }
        }
        Ok(())
    }
}

impl Gathered {
    /// Adds the records of `run`. Answers false where the answer ends: nothing fits any more, or damage.
    fn add(&mut self, run: &Run) -> Result<bool, LogError> {
        let Some(end) = run.ends.last() else { return Ok(false) };
        let mut bytes = vec![0; (end - run.start) as usize];
        let whole = run.file.read_at(&mut bytes, run.start).is_ok();
        let mut start = run.start;
        for end in &run.ends {
            let slice = (start - run.start) as usize..(*end - run.start) as usize;
            let sound = if whole { record_of(&bytes[slice], Some(run.head.salt)) } else { None };
            let prev = self.records.last().map(|record| record.digest);
            let prev = if self.next == run.head.base { Some(run.head.prev) } else { prev };
            let linked =
                |record: &Record| record.position == self.next && prev.is_none_or(|prev| prev == record.prev);
            let Some(record) = sound.filter(linked) else {
                let damaged =
                    LogError::Damaged { segment: run.head.base, offset: start, position: self.next };
                return if self.records.is_empty() { Err(damaged) } else { Ok(false) };
            };
            self.records.push(record);
            self.left = self.left.saturating_sub(*end - start);
            (start, self.next) = (*end, self.next + 1);
        }
        Ok(true)
    }
}

impl Scrub {
    fn add(&mut self, damage: Damage) {
        self.damaged += 1;
        if self.places.len() < DAMAGE_LISTED_MAX {
            self.places.push(damage);
        }
    }

    fn merge(&mut self, other: Scrub) {
        self.records += other.records;
        self.payload_bytes += other.payload_bytes;
        self.damaged += other.damaged;
        self.places.extend(other.places);
        self.places.truncate(DAMAGE_LISTED_MAX);
    }
}

/// The records from a position on, in order.
pub struct LogIter {
    reader: LogReader,
    next: u64,
    end: u64,
    prev: Option<Digest>,
}

impl Iterator for LogIter {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next > self.end {
            return None;
        }
        let position = self.next;
        let record = self.reader.read(position).and_then(|record| self.link(record));
        self.next = if record.is_ok() { position + 1 } else { u64::MAX };
        Some(record)
    }
}

impl LogIter {
    /// The record, if it follows the one before it and, at the start of a segment, the segment's head.
    fn link(&mut self, record: Record) -> Result<Record, LogError> {
        let head = {
            let view = self.reader.shared.view();
            let after = view.segments.partition_point(|segment| segment.head.base <= record.position);
            view.segments[after - 1].head
        };
        let expected = if head.base == record.position { Some(head.prev) } else { self.prev };
        let broken = expected.is_some_and(|expected| expected != record.prev)
            || self.prev.is_some_and(|prev| prev != record.prev);
        if broken {
            return Err(LogError::Damaged { segment: head.base, offset: 0, position: record.position });
        }
        self.prev = Some(record.digest);
        Ok(record)
    }
}
