//! A disk in memory that keeps apart what is visible and what would survive a loss of power.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, SECTOR};

/// What a crash leaves of the writes and directory changes that were never synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// All of them: the process died, the machine did not.
    Process,
    /// None of them.
    LostUnsynced,
    /// A prefix: the writes before a point chosen by the seed, the one at it cut at any byte, none after it.
    Torn {
        /// Chooses the point.
        seed: u64,
    },
    /// Any subset of their sectors and directory changes, in no order; lost sectors inside a file read as
    /// zeros.
    Subset {
        /// Chooses the subset.
        seed: u64,
    },
}

/// A disk in memory. Clones share one content.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    visible: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<DirectoryChange>,
    capacity: Option<u64>,
}

#[derive(Debug, Default)]
struct Inode {
    visible: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug)]
enum DirectoryChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String, usize),
}

impl MemoryDisk {
    /// An empty disk without a size limit.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// Limits the visible bytes of all files together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Flips the bits of `mask` in the byte at `offset` of the file `name`, both visible and durable, as a
    /// decaying medium would.
    ///
    /// # Panics
    /// If there is no such file or byte: a test asked for the wrong place.
    pub fn flip(&self, name: &str, offset: usize, mask: u8) {
        let mut state = self.state();
        let inode = *state.visible.get(name).expect("the test names a file that exists");
        let inode = &mut state.inodes[inode];
        inode.visible[offset] ^= mask;
        if let Some(byte) = inode.durable.get_mut(offset) {
            *byte ^= mask;
        }
    }

    /// The disk that is found after a crash now: everything on it is visible and durable.
    pub fn crash(&self, crash: Crash) -> MemoryDisk {
        let state = self.state();
        let mut chance = Chance::new(crash);
        let mut names = state.durable.clone();
        for change in &state.unsynced {
            if chance.keeps() {
                apply_directory(&mut names, change);
            }
        }
        let mut found = State { capacity: state.capacity, ..State::default() };
        for (name, inode) in names {
            let inode = &state.inodes[inode];
            let mut content = inode.durable.clone();
            for change in &inode.unsynced {
                survive(&mut content, change, &mut chance);
            }
            found.visible.insert(name.clone(), found.inodes.len());
            found.durable.insert(name, found.inodes.len());
            found.inodes.push(Inode { visible: content.clone(), durable: content, unsynced: Vec::new() });
        }
        MemoryDisk(Arc::new(Mutex::new(found)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(self.memory_file(inode))
    }

    fn memory_file(&self, inode: usize) -> MemoryFile {
        MemoryFile { disk: self.clone(), inode }
    }

    pub(super) fn create_file(&self, name: &str) -> io::Result<MemoryFile> {
        let mut state = self.state();
        if state.visible.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.visible.insert(name.to_owned(), inode);
        state.unsynced.push(DirectoryChange::Link(name.to_owned(), inode));
        Ok(self.memory_file(inode))
    }

    pub(super) fn open_file(&self, name: &str) -> io::Result<MemoryFile> {
        let inode = *self.state().visible.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(self.memory_file(inode))
    }
}

/// Decides for each unsynced change whether it reached the medium.
struct Chance {
    crash: Crash,
    word: u64,
    /// Under [`Crash::Torn`]: the changes still to be kept whole; the next one is cut.
    whole: Option<u64>,
}

impl Chance {
    fn new(crash: Crash) -> Chance {
        let (Crash::Torn { seed } | Crash::Subset { seed }) = crash else {
            return Chance { crash, word: 0, whole: None };
        };
        let mut chance = Chance { crash, word: seed.wrapping_mul(2).wrapping_add(1), whole: None };
        if matches!(crash, Crash::Torn { .. }) {
            chance.whole = Some(chance.below(4));
        }
        chance
    }

    /// A pseudo-random number below `bound` (SplitMix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.word = self.word.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.word;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn keeps(&mut self) -> bool {
        match self.crash {
            Crash::Process => true,
            Crash::LostUnsynced => false,
            Crash::Torn { .. } | Crash::Subset { .. } => self.below(2) == 0,
        }
    }
}

fn survive(content: &mut Vec<u8>, change: &Change, chance: &mut Chance) {
    match (chance.crash, change) {
        (Crash::Torn { .. }, _) => match chance.whole {
            Some(0) => {
                chance.whole = None;
                if let Change::Write { offset, bytes } = change {
                    let kept = chance.below(bytes.len() as u64 + 1) as usize;
                    write(content, *offset, &bytes[..kept]);
                }
            }
            Some(left) => {
                chance.whole = Some(left - 1);
                apply(content, change);
            }
            None => {}
        },
        (Crash::Subset { .. }, Change::Write { offset, bytes }) => {
            let mut at = 0;
            while at < bytes.len() {
                let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                if chance.keeps() {
                    write(content, offset + at, &bytes[at..end]);
                }
                at = end;
            }
            if chance.keeps() && content.len() < offset + bytes.len() {
                content.resize(offset + bytes.len(), 0);
            }
        }
        (_, change) => {
            if chance.keeps() {
                apply(content, change);
            }
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes } => write(content, *offset, bytes),
        Change::Truncate(size) => content.resize(*size, 0),
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn apply_directory(names: &mut BTreeMap<String, usize>, change: &DirectoryChange) {
    match change {
        DirectoryChange::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        DirectoryChange::Unlink(name) => {
            names.remove(name);
        }
        DirectoryChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = *self.state().visible.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(self.file(inode))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.create_file(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().visible.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.visible.remove(name).ok_or(ErrorKind::NotFound)?;
        state.unsynced.push(DirectoryChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.visible.remove(from).ok_or(ErrorKind::NotFound)?;
        state.visible.insert(to.to_owned(), inode);
        state.unsynced.push(DirectoryChange::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.durable = state.visible.clone();
        state.unsynced.clear();
        Ok(())
    }
}

/// An open file of a [`MemoryDisk`].
#[derive(Debug, Clone)]
pub(super) struct MemoryFile {
    disk: MemoryDisk,
    inode: usize,
}

impl MemoryFile {
    /// Whether both are open files of one content.
    pub(super) fn is_same(&self, other: &MemoryFile) -> bool {
        self.inode == other.inode && Arc::ptr_eq(&self.disk.0, &other.disk.0)
    }

    /// What a failed sync does: the unsynced bytes stay visible and never reach the medium.
    pub(super) fn drop_unsynced(&self) {
        self.disk.state().inodes[self.inode].unsynced.clear();
    }
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].visible.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state();
        let visible = &state.inodes[self.inode].visible;
        let start = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(visible.get(start..end).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let used: usize = state.visible.values().map(|inode| state.inodes[*inode].visible.len()).sum();
        let capacity = state.capacity;
        let inode = &mut state.inodes[self.inode];
        let offset = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        let others = used - inode.visible.len();
        let fits = capacity.map_or(bytes.len(), |capacity| {
            // Bytes that the file has already are overwritten in place.
            let size_max = usize::try_from(capacity).unwrap_or(usize::MAX).saturating_sub(others);
            bytes.len().min(size_max.max(inode.visible.len()).saturating_sub(offset))
        });
        write(&mut inode.visible, offset, &bytes[..fits]);
        inode.unsynced.push(Change::Write { offset, bytes: bytes[..fits].to_vec() });
        if fits < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let inode = &mut state.inodes[self.inode];
        // Applied one by one: what an earlier failed sync dropped must not become durable now.
        for change in std::mem::take(&mut inode.unsynced) {
            apply(&mut inode.durable, &change);
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let inode = &mut state.inodes[self.inode];
        let size = usize::try_from(size).map_err(|_| ErrorKind::FileTooLarge)?;
        inode.visible.resize(size, 0);
        inode.unsynced.push(Change::Truncate(size));
        Ok(())
    }
}
