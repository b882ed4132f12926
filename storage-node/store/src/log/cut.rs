//! Cutting a log that has diverged: what follows the last common record is copied into a file of its own first.
//!
//! The file keeps the bytes as they were, damage included, so that what was once acknowledged stays evidence. It
//! starts with 80 bytes (integers little-endian):
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 8 | `DSM-CUT\n` |
//! | 8 | 4 | version, 1 |
//! | 12 | 8 | keep: the last position that stays in the log |
//! | 20 | 8 | the last position that was set aside |
//! | 28 | 32 | the chain digest through it |
//! | 60 | 8 | the base of the segment that was cut |
//! | 68 | 8 | the offset at which it was cut |
//! | 76 | 4 | CRC32C of the 76 bytes before |
//!
//! For each segment with records after `keep` follow the number of bytes (8) and so many bytes in the layout of a
//! segment: its head, whose base is the first position copied, and its records.
//!
//! The copy is written as `tmp-…`, synced, and renamed to `cut-<keep>-<n>`: from then on the cut is decided, and an
//! opening that finds such a file finishes it. Later segments are removed and the segment is cut to the offset; when
//! that is durable, the file gets its last name, `aside-<keep>-<n>`.

use std::sync::Arc;

use super::frame::{BadSegmentHead, SEGMENT_HEAD, SegmentHead};
use super::mend::{self, Bounds, Found, Survey};
use super::reader::{Record, record_of};
use super::{Log, LogError, TEMPORARY, Writer, io_error, lock, segment_base, segment_name, unless_full};
use crate::digest::Digest;
use crate::disk::{Disk, DiskFile};

const MAGIC: &[u8; 8] = b"DSM-CUT\n";
const VERSION: u32 = 1;
const HEAD: usize = 80;
/// Starts the name of a file whose cut is decided, and of one whose cut is done.
const DECIDED: &str = "cut-";
const DONE: &str = "aside-";

/// Records that were set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// The file's name: `aside-` + `keep` in 20 decimal digits + `-` + a number.
    pub name: String,
    /// The last position that stayed in the log.
    pub keep: u64,
    /// The last position that was set aside.
    pub last: u64,
    /// The chain digest through `last`.
    pub digest: Digest,
}

/// Where a log is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) keep: u64,
    pub(super) last: u64,
    /// The chain digest through `last`.
    pub(super) digest: Digest,
    /// The base of the segment that is cut.
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// The segment that is cut, as far as it stays.
pub(super) struct Kept {
    pub(super) head: SegmentHead,
    /// Its bytes up to the cut.
    pub(super) len: u64,
    pub(super) starts: Vec<u32>,
    /// The chain digest of the log that is kept.
    pub(super) digest: Digest,
}

impl Log {
    /// Copies the durable records after `keep` into a file of their own and cuts the log to end at `keep`. What was
    /// appended and not synced is dropped. `None` if nothing durable follows `keep`. An index that covers what was
    /// cut has to be emptied ([`crate::Index::reset`]); opening it does so by itself.
    ///
    /// # Errors
    /// [`LogError::NotDurable`] if `keep` is neither durable nor the position before the first kept;
    /// [`LogError::Damaged`] if the segment that is cut has to be repaired first; [`LogError::DiskFull`], nothing
    /// changed; [`LogError::Io`], after which the log is poisoned, and the next opening finishes the cut if the copy
    /// was complete; [`LogError::Poisoned`].
    pub fn set_aside(&self, keep: u64) -> Result<Option<Aside>, LogError> {
        let mut writer = lock(&self.writer);
        self.refuse_if_poisoned()?;
        let outcome = self.set_aside_tail(&mut writer, keep);
        self.poison_after(outcome)
    }

    fn set_aside_tail(&self, writer: &mut Writer, keep: u64) -> Result<Option<Aside>, LogError> {
        let disk = self.shared.disk();
        let (durable, digest) = self.shared.durable_head();
        let heads = self.shared.heads();
        let first = heads[0].base;
        if keep + 1 < first || keep > durable {
            return Err(LogError::NotDurable { position: keep, first, durable });
        }
        if keep < durable {
            let cut = heads.partition_point(|head| head.base <= keep + 1) - 1;
            let kept = self.kept(&heads[cut], keep)?;
            let (segment, offset) = (kept.head.base, kept.len);
            let plan = Plan { keep, last: durable, digest, segment, offset };
            let number = free_number(disk, keep)?;
            let size = writer.len;
            let decided = copy_aside(disk, &plan, &kept, &heads[cut..], size, number)?;
            let mut pending = lock(&self.pending);
            pending.batch.clear();
            (pending.head, pending.digest) = (keep, kept.digest);
            drop(pending);
            self.cut_to(writer, &plan, kept, &decided)?;
            let name = file_name(DONE, keep, number);
            return Ok(Some(Aside { name, keep, last: durable, digest }));
        }
        self.discard_pending();
        Ok(None)
    }

    /// The part of the segment with `head` up to `keep`, if it is sound: it is about to become the last segment.
    fn kept(&self, head: &SegmentHead, keep: u64) -> Result<Kept, LogError> {
        let (_, survey, bytes) = self.shared.survey(head.base)?;
        if SegmentHead::decode(&bytes) != Ok(*head) {
            return Err(LogError::Damaged { segment: head.base, offset: 0, position: head.base });
        }
        let found: Vec<&Found> = survey.found.iter().take_while(|found| found.position <= keep).collect();
        let len = found.last().map_or(SEGMENT_HEAD, |last| last.end);
        let position = head.base + found.len() as u64;
        if position != keep + 1 {
            let (position, offset) =
                survey.gaps.first().map_or((position, len), |gap| (gap.first, gap.start));
            return Err(LogError::Damaged { segment: head.base, offset: offset as u64, position });
        }
        Ok(Kept {
            head: *head,
            len: len as u64,
            starts: found.iter().map(|found| found.start as u32).collect(),
            digest: found.last().map_or(head.prev, |last| last.digest),
        })
    }

    /// Readers stop seeing what is cut before its bytes go.
    fn cut_to(&self, writer: &mut Writer, plan: &Plan, kept: Kept, decided: &str) -> Result<(), LogError> {
        let disk = self.shared.disk();
        let file = disk.open(&segment_name(plan.segment)).map_err(io_error("cutting the log"))?;
        (writer.head, writer.len, writer.file) = (kept.head, kept.len, Arc::clone(&file));
        self.shared.cut(plan.keep, kept, file);
        finish_cut(disk, decided, plan)
    }
}

/// Copies the records after `keep` out of the segments with `heads`, of which the last has `size` bytes. Returns the
/// name of the complete, durable file.
fn copy_aside(
    disk: &dyn Disk,
    plan: &Plan,
    kept: &Kept,
    heads: &[SegmentHead],
    size: u64,
    number: u32,
) -> Result<String, LogError> {
    let doing = io_error("setting records aside");
    let decided = file_name(DECIDED, plan.keep, number);
    let temporary = format!("{TEMPORARY}{decided}");
    let written = disk.create(&temporary).and_then(|file| {
        let mut at = 0;
        let mut add = |bytes: &[u8]| {
            let put = file.write_at(bytes, at);
            at += bytes.len() as u64;
            put
        };
        add(&plan.encode())?;
        for (nth, head) in heads.iter().enumerate() {
            if head.base > plan.last {
                // A last segment without records.
                break;
            }
            let read = mend::read_segment(disk, head.base)?;
            let is_last = nth + 1 == heads.len();
            // What a batch that is not durable left behind the last record is no part of the log.
            let end = if is_last { read.len().min(size as usize) } else { read.len() };
            let (start, head) = match nth {
                0 => (kept.len as usize, SegmentHead { base: plan.keep + 1, prev: kept.digest, ..*head }),
                _ => (SEGMENT_HEAD, *head),
            };
            let records = read.get(start..end).unwrap_or_default();
            add(&((SEGMENT_HEAD + records.len()) as u64).to_le_bytes())?;
            add(&head.encode())?;
            add(records)?;
        }
        Ok(file)
    });
    let file = unless_full(disk, &temporary, written)?.map_err(&doing)?;
    file.sync_data().map_err(&doing)?;
    disk.rename(&temporary, &decided).map_err(&doing)?;
    disk.sync_dir().map_err(&doing)?;
    Ok(decided)
}

/// Does what `decided` says, as often as it takes.
fn finish_cut(disk: &dyn Disk, decided: &str, plan: &Plan) -> Result<(), LogError> {
    let doing = io_error("cutting the log");
    for name in disk.list().map_err(&doing)? {
        if segment_base(&name).is_some_and(|base| base > plan.segment) {
            disk.remove(&name).map_err(&doing)?;
        }
    }
    let file = disk.open(&segment_name(plan.segment)).map_err(&doing)?;
    if file.size().map_err(&doing)? > plan.offset {
        file.truncate(plan.offset).map_err(&doing)?;
    }
    file.sync_data().map_err(&doing)?;
    disk.sync_dir().map_err(&doing)?;
    let done = format!("{DONE}{}", decided.trim_start_matches(DECIDED));
    disk.rename(decided, &done).map_err(&doing)?;
    disk.sync_dir().map_err(&doing)
}

/// Completes the cuts that were decided and interrupted.
pub(super) fn finish_cuts(disk: &dyn Disk, names: &[String]) -> Result<(), LogError> {
    for name in names.iter().filter(|name| name.starts_with(DECIDED)) {
        let file = disk.open(name).map_err(io_error("reading an interrupted cut"))?;
        let plan = read_plan(file.as_ref())?;
        finish_cut(disk, name, &plan)?;
    }
    Ok(())
}

/// The names of the files with records that were set aside.
pub(super) fn names(disk: &dyn Disk) -> Result<Vec<String>, LogError> {
    let names = disk.list().map_err(io_error("listing what was set aside"))?;
    Ok(names.into_iter().filter(|name| name.starts_with(DONE)).collect())
}

fn file_name(start: &str, keep: u64, number: u32) -> String {
    format!("{start}{keep:020}-{number}")
}

fn free_number(disk: &dyn Disk, keep: u64) -> Result<u32, LogError> {
    let names = names(disk)?;
    let is_free = |number: &u32| !names.contains(&file_name(DONE, keep, *number));
    Ok((1..=u32::MAX).find(is_free).expect("a directory has fewer files than there are numbers"))
}

impl Plan {
    fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.keep.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.last.to_le_bytes());
        bytes[28..60].copy_from_slice(&self.digest);
        bytes[60..68].copy_from_slice(&self.segment.to_le_bytes());
        bytes[68..76].copy_from_slice(&self.offset.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..76]);
        bytes[76..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEAD]) -> Option<Plan> {
        let word = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        let long = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let sound = &bytes[..8] == MAGIC
            && word(8) == Some(VERSION)
            && word(76) == Some(crc32c::crc32c(&bytes[..76]));
        sound.then_some(())?;
        Some(Plan {
            keep: long(12)?,
            last: long(20)?,
            digest: bytes[28..60].try_into().ok()?,
            segment: long(60)?,
            offset: long(68)?,
        })
    }
}

fn read_plan(file: &dyn DiskFile) -> Result<Plan, LogError> {
    let mut bytes = [0; HEAD];
    let read = file.read_at(&mut bytes, 0);
    if read.is_err() && file.size().is_ok_and(|size| size >= HEAD as u64) {
        read.map_err(io_error("reading what was set aside"))?;
    }
    Plan::decode(&bytes).ok_or(LogError::DamagedAside)
}

/// Reads the records of a file that [`Log::set_aside`] made, in order, each hashed again. A damaged record is an
/// error, after which the reading goes on.
pub struct AsideReader {
    aside: Aside,
    file: Arc<dyn DiskFile>,
    /// Where the parts begin, their bytes, and their heads.
    parts: Vec<(u64, u64, SegmentHead)>,
    part: usize,
    bytes: Vec<u8>,
    survey: Option<Survey>,
    next: u64,
}

/// Opens the file `name` that [`Log::set_aside`] made.
///
/// # Errors
/// [`LogError::DamagedAside`] if the layout of the file is damaged; [`LogError::Io`].
pub fn read_aside(disk: &dyn Disk, name: &str) -> Result<AsideReader, LogError> {
    let doing = io_error("reading what was set aside");
    let file = disk.open(name).map_err(&doing)?;
    let plan = read_plan(file.as_ref())?;
    let size = file.size().map_err(&doing)?;
    let mut parts: Vec<(u64, u64, SegmentHead)> = Vec::new();
    let mut at = HEAD as u64;
    while at < size {
        let mut head = [0; 8 + SEGMENT_HEAD];
        file.read_at(&mut head, at).map_err(|_| LogError::DamagedAside)?;
        let (length, head) = head.split_at(8);
        let length = u64::from_le_bytes(length.try_into().map_err(|_| LogError::DamagedAside)?);
        let start = at + 8;
        at = start.checked_add(length).filter(|end| *end <= size).ok_or(LogError::DamagedAside)?;
        let head = SegmentHead::decode(head).map_err(|error| match error {
            BadSegmentHead::Version(version) => LogError::UnknownVersion { segment: plan.segment, version },
            BadSegmentHead::Damaged => LogError::DamagedAside,
        })?;
        let follows =
            parts.last().map_or(head.base == plan.keep + 1, |(_, _, before)| head.base > before.base);
        if !follows || head.base > plan.last {
            return Err(LogError::DamagedAside);
        }
        parts.push((start, length, head));
    }
    let aside = Aside { name: name.to_owned(), keep: plan.keep, last: plan.last, digest: plan.digest };
    let next = plan.keep + 1;
    Ok(AsideReader { aside, file, parts, part: 0, bytes: Vec::new(), survey: None, next })
}

impl AsideReader {
    /// What the file says of itself.
    pub fn aside(&self) -> &Aside {
        &self.aside
    }

    fn load(&mut self) -> Result<(), LogError> {
        let (start, length, head) = self.parts[self.part];
        let after = self.parts.get(self.part + 1).map(|(_, _, head)| (head.base, head.prev));
        let (until, digest) = after.unwrap_or((self.aside.last + 1, self.aside.digest));
        self.bytes = vec![0; length as usize];
        self.file.read_at(&mut self.bytes, start).map_err(io_error("reading what was set aside"))?;
        let (salt, prev) = (Some(head.salt), Some(head.prev));
        let bounds = Bounds { base: head.base, salt, prev, until: Some(until), digest: Some(digest) };
        self.survey = Some(Survey::new(&self.bytes, bounds));
        Ok(())
    }

    fn read_next(&mut self) -> Result<Record, LogError> {
        let position = self.next;
        self.next += 1;
        if self.parts.get(self.part + 1).is_some_and(|(_, _, after)| after.base == position) {
            (self.part, self.survey) = (self.part + 1, None);
        }
        let Some((start, _, head)) = self.parts.get(self.part).copied() else {
            return Err(LogError::DamagedAside);
        };
        if self.survey.is_none() {
            self.load()?;
        }
        let found = self.survey.as_ref().and_then(|survey| survey.record(position));
        let record = found.and_then(|found| record_of(&self.bytes[found.start..found.end], Some(head.salt)));
        record.ok_or(LogError::Damaged { segment: head.base, offset: start, position })
    }
}

impl Iterator for AsideReader {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.next <= self.aside.last).then(|| self.read_next())
    }
}
