//! Where a node's bytes lie, and the lock that keeps a second process out.
//!
//! | path | what | if it is lost |
//! |---|---|---|
//! | `log/` | segments of the log, in the store's format; records that were set aside | fetched again from others |
//! | `policies/` | policy packages, named by their hash | fetched again from others |
//! | `state/` | the promised topology, evidence | **the promise must not go back**: remove the node from the topology |
//! | `keys/` | with retention: keys of accounts whose records are gone, a file for each | their transitions go unchecked |
//! | `storage.key` | the node's key, mode 0600 | a new key is a new member |
//! | `lock` | locked by the process that has the directory open | nothing |

use crate::{OpenError, Storage};
use dsm_crypto::fill_random;
use dsm_store::{Disk, LogConfig, RealDisk};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The disks of one node, locked against other processes for as long as this lives.
pub(crate) struct Disks {
    pub(crate) log: Arc<dyn Disk>,
    pub(crate) blobs: Arc<dyn Disk>,
    pub(crate) state: Arc<dyn Disk>,
    pub(crate) keys: Arc<dyn Disk>,
    /// The directory of the key file.
    pub(crate) key: PathBuf,
    _lock: Option<DataLock>,
}

/// The directory, locked against other processes for as long as this lives.
struct DataLock {
    file: File,
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Not left to the closing of the file: a child process that is being started has it open, too, until it runs its own
        // program, and the lock would last for as long. If this fails, closing is what is left.
        drop(self.file.unlock());
    }
}

impl Disks {
    pub(crate) fn open(storage: &Storage) -> Result<Disks, OpenError> {
        match storage {
            Storage::Directory(data) => {
                let lock = lock_directory(data)?;
                Ok(Disks {
                    log: folder(data, "log")?,
                    blobs: folder(data, "policies")?,
                    state: folder(data, "state")?,
                    keys: folder(data, "keys")?,
                    key: data.clone(),
                    _lock: Some(lock),
                })
            }
            Storage::Disks { log, blobs, state, keys, key } => Ok(Disks {
                log: Arc::clone(log),
                blobs: Arc::clone(blobs),
                state: Arc::clone(state),
                keys: Arc::clone(keys),
                key: key.clone(),
                _lock: None,
            }),
        }
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Disk { path: path.to_path_buf(), source }
}

/// Makes the directory if need be and locks it.
fn lock_directory(data: &Path) -> Result<DataLock, OpenError> {
    std::fs::create_dir_all(data).map_err(failed(data))?;
    let path = data.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed(data))?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock { file }),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(data.to_path_buf())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(data)(source)),
    }
}

fn folder(data: &Path, name: &str) -> Result<Arc<dyn Disk>, OpenError> {
    let path = data.join(name);
    let disk = RealDisk::open(&path).map_err(failed(&path))?;
    Ok(Arc::new(disk))
}

/// How a storage node keeps its log.
pub(crate) fn log_config() -> Result<LogConfig, OpenError> {
    let mut salt = [0; 4];
    fill_random(&mut salt).map_err(|error| OpenError::Key(error.to_string()))?;
    Ok(LogConfig::new(u32::from_le_bytes(salt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that was let go of was still in use while another thread of the process started a child: until such a
    /// child runs its own program, it has every file of its parent's open.
    #[test]
    fn a_directory_is_free_when_its_lock_is_dropped_whoever_has_the_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let lock = lock_directory(folder.path()).unwrap_or_else(|error| panic!("{error}"));
        let _child = lock.file.try_clone().unwrap();
        assert!(matches!(lock_directory(folder.path()), Err(OpenError::InUse(_))));
        drop(lock);
        assert!(lock_directory(folder.path()).is_ok());
    }
}
