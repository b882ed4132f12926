//! A [`MemoryDisk`] that fails where a test says, and the walk over every point where power can be lost.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::MemoryFile;
use super::{Crash, Disk, DiskFile, MemoryDisk};

/// A disk in memory with planned failures. Clones share one content and one plan.
///
/// Every call that changes something (create, write, sync, truncate, remove, rename) is one boundary,
/// counted from 0 in the order of the calls.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk {
    memory: MemoryDisk,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    boundaries: u64,
    power_lost_at: Option<u64>,
    failing_syncs: u64,
    /// Offsets that cannot be read, by the file that has them.
    unreadable: Vec<(MemoryFile, u64)>,
}

/// What the disk does at one boundary.
enum Turn {
    Go,
    /// Power is lost during this call: it has its effect, unsynced, and the caller is never told.
    Last,
    Dead,
}

impl FaultyDisk {
    /// An empty disk that does not fail.
    pub fn new() -> FaultyDisk {
        FaultyDisk::default()
    }

    /// A disk with the content of `memory` that does not fail.
    pub fn over(memory: MemoryDisk) -> FaultyDisk {
        FaultyDisk { memory, plan: Arc::default() }
    }

    /// Loses power during the call at `boundary`: it and every later one fails.
    pub fn lose_power_at(&self, boundary: u64) {
        self.plan().power_lost_at = Some(boundary);
    }

    /// Lets the next `count` syncs fail. The bytes stay readable and never become durable, which is what
    /// Linux does.
    pub fn fail_syncs(&self, count: u64) {
        self.plan().failing_syncs = count;
    }

    /// Lets every read of the byte at `offset` of the file `name` fail, as a device does with a sector that it cannot
    /// correct. A file that takes the name later can be read.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn fail_reads(&self, name: &str, offset: u64) -> io::Result<()> {
        let file = self.memory.open_file(name)?;
        self.plan().unreadable.push((file, offset));
        Ok(())
    }

    /// The number of boundaries passed so far.
    pub fn boundaries(&self) -> u64 {
        self.plan().boundaries
    }

    /// The disk below: for its capacity, its decay, and what a crash leaves of it.
    pub fn memory(&self) -> &MemoryDisk {
        &self.memory
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> Turn {
        let mut plan = self.plan();
        let now = plan.boundaries;
        plan.boundaries += 1;
        match plan.power_lost_at {
            Some(at) if now > at => Turn::Dead,
            Some(at) if now == at => Turn::Last,
            _ => Turn::Go,
        }
    }

    fn change<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.turn() {
            Turn::Go => call(),
            Turn::Last => call().and(Err(power_lost())),
            Turn::Dead => Err(power_lost()),
        }
    }

    /// A sync during which power is lost did not complete: its effect is left to the crash.
    fn sync(&self, call: impl FnOnce() -> io::Result<()>, fail: impl FnOnce()) -> io::Result<()> {
        match self.turn() {
            Turn::Go => {
                let mut plan = self.plan();
                if plan.failing_syncs > 0 {
                    plan.failing_syncs -= 1;
                    fail();
                    return Err(io::Error::other("input/output error during sync"));
                }
                drop(plan);
                call()
            }
            Turn::Last | Turn::Dead => Err(power_lost()),
        }
    }

    fn wrap(&self, file: MemoryFile) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { disk: self.clone(), file })
    }
}

fn power_lost() -> io::Error {
    io::Error::other("power lost")
}

impl Disk for FaultyDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.memory.open_file(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.change(|| self.memory.create_file(name))?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|| self.memory.remove(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|| self.memory.rename(from, to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.sync(|| self.memory.sync_dir(), || ())
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    file: MemoryFile,
}

impl DiskFile for FaultyFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let touched = |at: u64| (offset..offset + buffer.len() as u64).contains(&at);
        let plan = self.disk.plan();
        if plan.unreadable.iter().any(|(file, at)| file.is_same(&self.file) && touched(*at)) {
            return Err(io::Error::other("input/output error during read"));
        }
        drop(plan);
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.change(|| self.file.write_at(bytes, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(|| self.file.sync_data(), || self.file.drop_unsynced())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.disk.change(|| self.file.truncate(size))
    }
}

/// One way in which a workload was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    /// The call, counted from 0, during which power was lost.
    pub boundary: u64,
    /// What survived of the unsynced changes.
    pub crash: Crash,
}

/// Runs `workload` once for every boundary that it passes, losing power there, and gives `check` the disk
/// found after each kind of crash together with what the workload had returned (what it had acknowledged).
/// `seeds` is the number of torn and of subset crashes per boundary. Returns the number of disks checked.
pub fn every_crash<A>(
    seeds: u64,
    workload: impl Fn(&FaultyDisk) -> A,
    check: impl FnMut(CrashPoint, MemoryDisk, &A),
) -> u64 {
    every_crash_from(&MemoryDisk::new(), seeds, workload, check)
}

/// The same for a workload that starts with the durable content of `start`, which stays as it is.
pub fn every_crash_from<A>(
    start: &MemoryDisk,
    seeds: u64,
    workload: impl Fn(&FaultyDisk) -> A,
    mut check: impl FnMut(CrashPoint, MemoryDisk, &A),
) -> u64 {
    let whole = FaultyDisk::over(start.crash(Crash::LostUnsynced));
    workload(&whole);
    let mut checked = 0;
    for boundary in 0..=whole.boundaries() {
        let disk = FaultyDisk::over(start.crash(Crash::LostUnsynced));
        disk.lose_power_at(boundary);
        let acknowledged = workload(&disk);
        let torn = (0..seeds).map(|seed| Crash::Torn { seed: seed ^ (boundary << 16) });
        let subset = (0..seeds).map(|seed| Crash::Subset { seed: seed ^ (boundary << 16) });
        for crash in [Crash::Process, Crash::LostUnsynced].into_iter().chain(torn).chain(subset) {
            check(CrashPoint { boundary, crash }, disk.memory().crash(crash), &acknowledged);
            checked += 1;
        }
    }
    checked
}
