//! A file that others replace: whether it is still the one that was read.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A file of settings that may be replaced while a service runs.
///
/// [`SettingsFile::write`](crate::SettingsFile::write) puts a new file in the old one's place, so no two versions that
/// follow each other are the same file, however fast they do.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    /// What the last look found; nothing before the first.
    seen: Option<Version>,
}

/// What tells two versions apart: device, inode, when it was changed, length; `None` if there is no file.
type Version = Option<[u64; 5]>;

impl Watched {
    /// Watches `path`, which need not exist.
    pub fn new(path: PathBuf) -> Watched {
        Watched { path, seen: None }
    }

    /// Whether the file is another one than at the last look; the first look says so.
    pub fn is_other(&mut self) -> bool {
        let found = std::fs::metadata(&self.path).ok().map(|data| {
            let (seconds, nanoseconds) = (data.mtime().cast_unsigned(), data.mtime_nsec().cast_unsigned());
            [data.dev(), data.ino(), seconds, nanoseconds, data.len()]
        });
        let other = self.seen != Some(found);
        self.seen = Some(found);
        other
    }
}
