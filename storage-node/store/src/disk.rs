//! A disk as the store sees it: one flat directory of files, where every sync is a call that can fail.
//!
//! Nothing is durable before it is synced: a file's bytes by [`DiskFile::sync_data`], a file's existence
//! and name by [`Disk::sync_dir`]. Three disks implement this: [`RealDisk`] is a directory of the operating
//! system, [`MemoryDisk`] keeps apart what is visible and what would survive a loss of power, and
//! [`FaultyDisk`] adds to it the failures that tests ask for.

mod faulty;
mod memory;

pub use faulty::{CrashPoint, FaultyDisk, every_crash, every_crash_from};
pub use memory::{Crash, MemoryDisk};

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The unit, in bytes, that a disk writes whole or not at all. File lengths have no such unit.
pub const SECTOR: usize = 512;

/// One flat directory of files.
pub trait Disk: Send + Sync {
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` if there is no such file, or whatever the device answers.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates an empty file. Its name is durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, or whatever the device answers.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// Whatever the device answers.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a name. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound` if there is no such file, or whatever the device answers.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives the file `from` the name `to`, replacing what had it. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound` if there is no such file, or whatever the device answers.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes every creation, removal and renaming so far durable.
    ///
    /// # Errors
    /// Whatever the device answers. After an error nothing may be assumed about what is durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// The visible length in bytes.
    ///
    /// # Errors
    /// Whatever the device answers.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, or whatever the device answers.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, growing the file. Durable after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// `StorageFull` if the device is full, or whatever it answers; a part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the bytes and the length durable.
    ///
    /// # Errors
    /// Whatever the device answers. After an error the unsynced bytes may be lost although they still read
    /// back, and calling again proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// Sets the length in bytes. Durable after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// Whatever the device answers.
    fn truncate(&self, size: u64) -> io::Result<()>;
}

/// All bytes of `file`.
pub(crate) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.size()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// All bytes of `file`, for a reader that checks them: blocks that the device cannot read any more are filled with
/// ones. Not with zeros, which recovery takes for the work of a crash.
pub(crate) fn read_what_is_left(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    const BLOCK: usize = 4096;
    read_all(file).or_else(|_| {
        let size = usize::try_from(file.size()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; size];
        for (nth, block) in bytes.chunks_mut(BLOCK).enumerate() {
            if file.read_at(block, (nth * BLOCK) as u64).is_err() {
                block.fill(0xff);
            }
        }
        Ok(bytes)
    })
}

/// Whether `error` says that the device has no room left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A directory of the operating system, held by one owner at a time.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// Synced for [`Disk::sync_dir`]; its advisory lock keeps a second owner out.
    directory: File,
}

impl RealDisk {
    /// Opens the directory `root`, creating it (and syncing its parent) if it is missing.
    ///
    /// # Errors
    /// `ResourceBusy` if another owner, in this process or another, has it open; otherwise what the
    /// operating system answers.
    pub fn open(root: &Path) -> io::Result<RealDisk> {
        if !root.is_dir() {
            std::fs::create_dir_all(root)?;
            if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        let directory = File::open(root)?;
        directory.try_lock().map_err(|refusal| match refusal {
            std::fs::TryLockError::Error(error) => error,
            std::fs::TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, format!("{} is in use", root.display()))
            }
        })?;
        Ok(RealDisk { root: root.to_path_buf(), directory })
    }
}

impl Drop for RealDisk {
    fn drop(&mut self) {
        // Not left to the closing of the file: a child process that is being started has it open, too, until it runs its own
        // program, and the lock would last for as long. If this fails, closing is what is left.
        drop(self.directory.unlock());
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Arc::new(RealFile::new(file, &path)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Arc::new(RealFile::new(file, &path)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.root.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync_all()
    }
}

/// A file of the operating system. The whole pages of a long write go to the device directly: copying them to the
/// page cache costs more than all else that a transition needs of the log, above all where the cache's pages are
/// touched for the first time.
struct RealFile {
    file: File,
    /// The same file without page cache, and the buffer that its writes need. Absent where the file system has no
    /// such thing.
    direct: Option<Mutex<Direct>>,
}

/// What offset, length and memory of a direct write are multiples of: a page, which every device accepts.
const DIRECT_ALIGN: usize = 4096;

/// The shortest write of which a part goes directly; below it the page cache is quicker.
const DIRECT_BYTES_MIN: usize = 64 << 10;

/// The longest direct write.
const DIRECT_BYTES_MAX: usize = 1 << 20;

struct Direct {
    file: File,
    /// Empty until the first write, then [`DIRECT_BYTES_MAX`] and what alignment needs.
    buffer: Vec<u8>,
}

impl RealFile {
    fn new(file: File, path: &Path) -> RealFile {
        let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
        let direct = OpenOptions::new().write(true).custom_flags(flags).open(path).ok();
        let direct = direct.map(|file| Mutex::new(Direct { file, buffer: Vec::new() }));
        RealFile { file, direct }
    }
}

impl Direct {
    /// Writes whole pages at the start of a page.
    fn write_pages_at(&mut self, mut pages: &[u8], mut offset: u64) -> io::Result<()> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; DIRECT_BYTES_MAX + DIRECT_ALIGN];
        }
        let start = self.buffer.as_ptr().align_offset(DIRECT_ALIGN);
        let aligned = &mut self.buffer[start..start + DIRECT_BYTES_MAX];
        while !pages.is_empty() {
            let (now, later) = pages.split_at(pages.len().min(DIRECT_BYTES_MAX));
            aligned[..now.len()].copy_from_slice(now);
            self.file.write_all_at(&aligned[..now.len()], offset)?;
            (pages, offset) = (later, offset + now.len() as u64);
        }
        Ok(())
    }
}

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Some(direct) = self.direct.as_ref().filter(|_| bytes.len() >= DIRECT_BYTES_MIN) else {
            return self.file.write_all_at(bytes, offset);
        };
        let align = DIRECT_ALIGN as u64;
        let first = (offset.next_multiple_of(align) - offset) as usize;
        let whole = (bytes.len() - first) / DIRECT_ALIGN * DIRECT_ALIGN;
        let (before, rest) = bytes.split_at(first);
        let (pages, after) = rest.split_at(whole);
        self.file.write_all_at(before, offset)?;
        let start = offset + first as u64;
        let mut direct = direct.lock().unwrap_or_else(PoisonError::into_inner);
        match direct.write_pages_at(pages, start) {
            // The file system has pages of another size: through the page cache then.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.file.write_all_at(pages, start)?
            }
            other => other?,
        }
        self.file.write_all_at(after, start + whole as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that was let go of was still in use while another thread of the process started a child: until such a
    /// child runs its own program, it has every file of its parent's open.
    #[test]
    fn a_directory_is_free_when_its_disk_is_dropped_whoever_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        let _child = disk.directory.try_clone().unwrap();
        assert_eq!(RealDisk::open(folder.path()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(disk);
        RealDisk::open(folder.path()).unwrap();
    }
}
