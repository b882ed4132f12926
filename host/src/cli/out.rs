//! Files that verbs write where the command line says: never over one that is there, unless it says that too.

use super::failure::{Failure, file_failure};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

/// Where a verb's file goes.
#[derive(Debug, clap::Args)]
pub(crate) struct OutArgs {
    /// Where the file goes
    #[arg(long = "out", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

impl OutArgs {
    /// Refuses if the file is there and nobody said to write over it: before anything is asked, unlocked or signed.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.file.symlink_metadata() {
            Ok(_) if !self.force => Err(self.exists()),
            _ => Ok(()),
        }
    }

    /// Writes the file. Without `--force` it is made new, also if one has appeared since [`OutArgs::check`].
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let written = if self.force {
            std::fs::write(&self.file, bytes)
        } else {
            let new = std::fs::OpenOptions::new().write(true).create_new(true).open(&self.file);
            new.and_then(|mut file| file.write_all(bytes))
        };
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => self.exists(),
            _ => file_failure(&self.file, &error),
        })
    }

    fn exists(&self) -> Failure {
        Failure::refused(
            "file_exists",
            format!("{} is there already; nothing was written", self.file.display()),
        )
        .help("choose another name with --out, or write over it with --force")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_over_only_if_told() {
        let folder = tempfile::tempdir().unwrap();
        let out = |name: &str, force| OutArgs { file: folder.path().join(name), force };
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let (careful, forced) = (out("a", false), out("a", true));
        careful.check().unwrap();
        careful.write(b"one").unwrap();
        for refused in [careful.check(), careful.write(b"two")] {
            let failure = refused.unwrap_err();
            assert_eq!((failure.code.as_str(), failure.help.is_some()), ("file_exists", true));
        }
        assert_eq!(text("a"), "one");
        forced.check().unwrap();
        forced.write(b"3").unwrap();
        assert_eq!(text("a"), "3");
        // A link to nowhere is something that is there.
        std::os::unix::fs::symlink(folder.path().join("nowhere"), folder.path().join("link")).unwrap();
        assert_eq!(out("link", false).check().unwrap_err().code, "file_exists");
        assert_eq!(out("link", false).write(b"x").unwrap_err().code, "file_exists");
        assert!(!folder.path().join("nowhere").exists());
        assert_eq!(out("no-folder/a", true).write(b"x").unwrap_err().code, "usage");
    }
}
