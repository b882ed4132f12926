//! A disk as the store sees it: one flat directory of files, where every sync is a call that can fail.
//!
//! Nothing is durable before it is synced: a file's bytes by [`DiskFile::sync_data`], a file's existence
//! and name by [`Disk::sync_dir`]. Three disks implement this: [`RealDisk`] is a directory of the operating
//! system, [`MemoryDisk`] keeps apart what is visible and what would survive a loss of power, and
//! [`FaultyDisk`] adds to it the failures that tests ask for.

mod faulty;
mod memory;

pub use faulty::{CrashPoint, FaultyDisk, every_crash};
pub use memory::{Crash, MemoryDisk};

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.root.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.root.join(name))?;
        Ok(Arc::new(RealFile(file)))
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

struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }
}
