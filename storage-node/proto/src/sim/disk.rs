//! A simulated disk: what is written is lost in a crash unless a sync came after it, and what is durable can rot.

use super::random::Random;
use crate::{Head, Promise, Record};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use dsm_abi::Digest;

#[derive(Debug, Default, Clone)]
pub(super) struct Disk {
    log: Vec<(Record, Head)>,
    /// Records that survive a crash for certain.
    synced: usize,
    /// A sync failed here: the pages behind are marked clean and never reach the medium.
    hole: Option<usize>,
    /// Positions whose bytes rotted.
    pub(super) rotten: BTreeSet<u64>,
    promise: Option<Promise>,
    unsynced_promise: Option<Promise>,
}

impl Disk {
    pub(super) fn end(&self) -> Head {
        self.log.last().map_or(Head::EMPTY, |(_, head)| *head)
    }

    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    pub(super) fn synced(&self) -> u64 {
        self.synced as u64
    }

    pub(super) fn synced_head(&self) -> Head {
        self.head_at(self.synced as u64).unwrap_or(Head::EMPTY)
    }

    /// The head at a position written, durable or not.
    pub(super) fn head_at(&self, position: u64) -> Option<Head> {
        match position.checked_sub(1) {
            None => Some(Head::EMPTY),
            Some(index) => self.log.get(usize::try_from(index).ok()?).map(|(_, head)| *head),
        }
    }

    pub(super) fn digest_at(&self, position: u64) -> Option<Digest> {
        self.head_at(position).map(|head| head.digest)
    }

    /// Whether the log is durable through `head`.
    pub(super) fn is_durable(&self, head: &Head) -> bool {
        head.position <= self.synced() && self.head_at(head.position) == Some(*head)
    }

    pub(super) fn record_at(&self, position: u64) -> Option<&Record> {
        let index = usize::try_from(position.checked_sub(1)?).ok()?;
        self.log.get(index).map(|(record, _)| record)
    }

    /// The records behind `after` that are durable, up to the number; `None` if one of them is rotten.
    pub(super) fn read(&self, after: u64, records_max: usize) -> Option<Vec<Record>> {
        let from = usize::try_from(after).ok()?.min(self.synced);
        let to = (from + records_max).min(self.synced);
        let rotten = (from..to).any(|index| self.rotten.contains(&(index as u64 + 1)));
        (!rotten).then(|| self.log[from..to].iter().map(|(record, _)| record.clone()).collect())
    }

    /// As [`Disk::read`] without a look at the hashes.
    pub(super) fn read_blindly(&self, after: u64, records_max: usize) -> Vec<Record> {
        let from = usize::try_from(after).unwrap_or(usize::MAX).min(self.synced);
        let to = (from + records_max).min(self.synced);
        let record = |index: usize| {
            let mut record = self.log[index].0.clone();
            if self.rotten.contains(&(index as u64 + 1)) {
                record.payload[0] ^= 1;
            }
            record
        };
        (from..to).map(record).collect()
    }

    pub(super) fn append(&mut self, record: Record) -> Head {
        let head = self.end().after(&record).expect("positions of a run are few");
        self.log.push((record, head));
        head
    }

    /// A sync that began when the log had `len` records has ended.
    pub(super) fn sync(&mut self, len: usize) {
        let reached = len.min(self.log.len()).min(self.hole.unwrap_or(usize::MAX));
        self.synced = self.synced.max(reached);
    }

    /// A sync failed, and nobody will know what became of the pages.
    pub(super) fn fail_sync(&mut self) {
        self.hole = Some(self.hole.unwrap_or(usize::MAX).min(self.synced));
    }

    pub(super) fn discard_unsynced(&mut self) {
        self.log.truncate(self.synced);
    }

    /// Sets the tail behind `keep` aside; what was there.
    pub(super) fn set_aside(&mut self, keep: &Head) -> Option<Vec<Head>> {
        if self.head_at(keep.position) != Some(*keep) {
            return None;
        }
        let keep = usize::try_from(keep.position).ok()?;
        let tail = self.log.split_off(keep);
        self.synced = keep;
        self.rotten.retain(|position| *position <= keep as u64);
        Some(tail.into_iter().map(|(_, head)| head).collect())
    }

    pub(super) fn wipe(&mut self) {
        *self = Disk::default();
    }

    /// Replaces the bytes of a record; whether they are those that were written first.
    pub(super) fn repair(&mut self, position: u64, record: &Record) -> bool {
        self.rotten.remove(&position);
        self.record_at(position) == Some(record)
    }

    pub(super) fn write_promise(&mut self, promise: Promise) {
        self.unsynced_promise = Some(promise);
    }

    pub(super) fn sync_promise(&mut self) {
        if let Some(promise) = self.unsynced_promise.take() {
            self.promise = Some(promise);
        }
    }

    /// What survives a crash for certain.
    pub(super) fn promise(&self) -> Option<&Promise> {
        self.promise.as_ref()
    }

    /// What is read as long as there is no crash.
    pub(super) fn cached_promise(&self) -> Option<&Promise> {
        self.unsynced_promise.as_ref().or(self.promise.as_ref())
    }

    /// The power goes: of what was not synced, a part from the front may be there.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let unsynced = (self.log.len() - self.synced) as u64;
        let kept = if self.hole.is_some() { 0 } else { random.between(0, unsynced) as usize };
        self.log.truncate(self.synced + kept);
        self.hole = None;
        if random.one_in(2) {
            self.sync_promise();
        }
        self.unsynced_promise = None;
    }

    /// Opening writes the last batch once more and syncs it, so all that is there is durable.
    pub(super) fn open(&mut self) {
        self.synced = self.log.len();
    }
}
