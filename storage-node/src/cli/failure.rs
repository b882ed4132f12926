//! Why a verb did not do what it was asked: one sentence, a way out, a stable code, an exit code.

use dsm_storage_node::{BackupError, OpenError};
use serde::Serialize;
use std::fmt;

/// What the shell is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A check failed or somebody refused.
    Refused = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The node does not answer.
    Unreachable = 3,
    /// Bytes are not what they should be.
    Integrity = 4,
}

/// Why a verb did not do what it was asked.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// Stable.
    pub(crate) code: String,
    /// One sentence.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
    #[serde(skip)]
    pub(crate) exit: Exit,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl fmt::Display) -> Failure {
        Failure { code: code.to_owned(), message: message.to_string(), help: None, exit }
    }

    pub(crate) fn refused(code: &str, message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Refused, code, message)
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, "usage", message)
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl fmt::Display) -> Failure {
        self.help = Some(help.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", safe(&self.code), safe(&self.message))?;
        match &self.help {
            Some(help) => writeln!(f, "help: {}", safe(help)),
            None => Ok(()),
        }
    }
}

/// Words that a stranger wrote, with everything that could steer a terminal made visible.
pub(crate) fn safe(text: &str) -> String {
    text.chars()
        .flat_map(|one| if one.is_control() { one.escape_default().collect() } else { vec![one] })
        .collect()
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let (exit, help) = match &error {
            OpenError::InUse(_) => (Exit::Refused, "stop the other node, or choose another --data"),
            OpenError::Listen { .. } => {
                (Exit::Refused, "choose another address with --listen HOST:PORT; port 0 picks a free one")
            }
            OpenError::Disk { .. } => {
                (Exit::Refused, "check that --data is a directory that this user may write, with room left")
            }
            OpenError::NoCoreKey => (
                Exit::Usage,
                "`dsm node key public --to FILE` writes the core node's key down; give the file with --core-key",
            ),
            OpenError::OtherCoreKey => (
                Exit::Usage,
                "a storage node keeps one network for good: use another --data for another core node",
            ),
            OpenError::Thread(_) => (Exit::Refused, "the system gives no more threads"),
            OpenError::Key(_) => {
                (Exit::Integrity, "restore storage.key from a copy; a new key is a new member")
            }
            OpenError::Log(_) | OpenError::Blobs(_) | OpenError::Authors(_) | OpenError::Topology(_) => {
                (Exit::Integrity, "move the data directory away and let the node fetch everything again")
            }
        };
        Failure::new(exit, error.code(), &error).help(help)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        let exit = if error.is_integrity() { Exit::Integrity } else { Exit::Refused };
        Failure::new(exit, error.code(), error)
    }
}
