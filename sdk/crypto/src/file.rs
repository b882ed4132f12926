//! Small private files that are either the old bytes or the new ones, whatever happens in between.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Readable and writable by the owner alone.
const PRIVATE_MODE: u32 = 0o600;

/// Makes `path` hold `bytes`, replacing what was there, durably: temporary file, fsync, rename, fsync of the folder.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, bytes)?;
    std::fs::rename(&temporary, path).inspect_err(|_| discard(&temporary))?;
    sync_folder(path)
}

/// Makes `path` hold `bytes`, durably, and fails with [`io::ErrorKind::AlreadyExists`] if anything is there.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, bytes)?;
    // A rename would replace; a hard link does not, and is as atomic.
    let linked = std::fs::hard_link(&temporary, path);
    discard(&temporary);
    linked?;
    sync_folder(path)
}

/// The mode bits of an open file that grant anything to group or others.
pub(crate) fn shared_mode(file: &File) -> io::Result<u32> {
    Ok(file.metadata()?.permissions().mode() & 0o077)
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut nonce = [0; 8];
    crate::fill_random(&mut nonce).map_err(io::Error::other)?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}.tmp", hex::encode(nonce)));
    let temporary = path.with_file_name(temporary_name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_MODE).open(&temporary)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| discard(&temporary))?;
    Ok(temporary)
}

/// Removes a temporary file. A failure leaves a private stray file and changes nothing else.
fn discard(temporary: &Path) {
    drop(std::fs::remove_file(temporary));
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
