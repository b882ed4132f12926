//! Why a verb did not do what it was asked: one sentence, a way out, a stable code, an exit code.

use dsm_bridge::OpenError;
use serde::Serialize;
use std::fmt;

/// What the shell is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A check failed or somebody refused.
    Refused = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The service does not answer.
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
            OpenError::Disk { .. } => {
                (Exit::Refused, "check that --data is a directory that this user may write, with room left")
            }
            OpenError::State(_) => (
                Exit::Integrity,
                "if another service has the directory open, stop it; if the file is damaged, move everything but keys and attestor state away: the chains decide",
            ),
            OpenError::OtherBridge(_) => {
                (Exit::Refused, "one data directory belongs to one bridge: choose another --data")
            }
            OpenError::Record(_) => (
                Exit::Integrity,
                "restore relayer.last-signed from the newest copy; without it the account could sign twice",
            ),
            OpenError::Terms(_) | OpenError::Setting(_) => {
                (Exit::Usage, "`dsm-bridge run --help` lists the settings")
            }
            OpenError::OtherChain { .. } => {
                (Exit::Refused, "correct the endpoint or --chain-id: the bridge believes one chain alone")
            }
            OpenError::Core(_) => (Exit::Usage, "give --core as http://host:port"),
            OpenError::Listen { .. } => (Exit::Refused, "choose another address; port 0 picks a free one"),
            OpenError::Thread(_) => (Exit::Refused, "the system gives no more threads"),
        };
        Failure::new(exit, error.code(), &error).help(help)
    }
}
