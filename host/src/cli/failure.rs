//! Why a verb did not do what it was asked: one sentence, a way out, a stable code, an exit code.

use super::show::safe;
use dsm_host::node::{NodeError, OpenError, StageError, SubmitError, replay::ReplayError};
use dsm_sdk::api::Problem;
use dsm_sdk::client::ClientError;
use dsm_sdk::draft::DraftError;
use serde::Serialize;
use std::fmt;

/// What the shell is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A check failed or somebody refused.
    Refused = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The node does not answer, or does not take submissions now.
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
    /// What the node said, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Box<Problem>>,
    /// Everything that the static gate found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<String>,
    #[serde(skip)]
    pub(crate) exit: Exit,
    /// The answer on stdout says it already: nothing is left but the exit code.
    #[serde(skip)]
    pub(crate) told: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl fmt::Display) -> Failure {
        Failure {
            code: code.to_owned(),
            message: message.to_string(),
            help: None,
            problem: None,
            findings: Vec::new(),
            exit,
            told: false,
        }
    }

    /// A check that failed, whose answer is on stdout.
    pub(crate) fn told() -> Failure {
        Failure { told: true, ..Failure::refused("check_failed", "the answer tells which") }
    }

    pub(crate) fn refused(code: &str, message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Refused, code, message)
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn integrity(code: &str, message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Integrity, code, message)
    }

    /// The same failure under a code of its own.
    #[must_use]
    pub(crate) fn with_code(self, code: &str) -> Failure {
        Failure { code: code.to_owned(), ..self }
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
        for finding in &self.findings {
            writeln!(f, "  - {}", safe(finding))?;
        }
        match &self.help {
            Some(help) => writeln!(f, "help: {}", safe(help)),
            None => Ok(()),
        }
    }
}

/// HTTP statuses below 500 that say nothing about the transition: too slow, too many.
const TRY_AGAIN: [u16; 2] = [408, 429];

impl Failure {
    /// Whether the node judged the transition and will not accept it as things stand.
    pub(crate) fn is_judgement(&self) -> bool {
        self.exit == Exit::Refused && self.problem.as_ref().is_some_and(|problem| problem.shortfall.is_none())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let (code, message) = (error.code().to_owned(), error.to_string());
        match error {
            ClientError::Unreachable { url, reason } => {
                let message = format!("no node answers at {url} ({reason})");
                Failure::new(Exit::Unreachable, &code, message)
                    .help("start one with `dsm node`, or name another with --node URL or DSM_NODE")
            }
            ClientError::Problem(problem) => from_problem(problem),
            ClientError::Protocol(_) => Failure::integrity(&code, message)
                .help("check that --node is a DSM node of this version: `dsm status`"),
        }
    }
}

fn from_problem(problem: Box<Problem>) -> Failure {
    let try_again = problem.status >= 500 || TRY_AGAIN.contains(&problem.status);
    // It stands, on fewer nodes than asked: a failed check, nothing to try again.
    let stands = problem.shortfall.is_some();
    let exit = if try_again && !stands { Exit::Unreachable } else { Exit::Refused };
    let message = match &problem.denial {
        Some(denial) => format!("the policy refuses with {}: {}", denial.code, denial.reason),
        None => problem.detail.clone(),
    };
    let help = match (&problem.denial, problem.code.as_str()) {
        (Some(denial), _) if !denial.hint.is_empty() => denial.hint.clone(),
        (Some(denial), _) => format!("`dsm policy inspect {}` lists its codes", denial.policy),
        (None, "not_replicated") => {
            "it stands; `dsm tx receipt ID` tells the level reached by now, `dsm topology matrix` who is behind"
                .to_owned()
        }
        (None, "fenced") => {
            "another node writes this history now; name it with --node, and do not start this one again".to_owned()
        }
        (None, "no_credentials" | "bad_credentials") => {
            "name a file with a key by --api-key-file or DSM_API_KEY_FILE; the node's operator makes keys with \
             `dsm access key new`"
                .to_owned()
        }
        (None, "scope_missing") => {
            "the node's operator gives a key scopes with `dsm access key new NAME --scopes ...`".to_owned()
        }
        (None, "stale_parent") => "the account has moved; run the command again".to_owned(),
        (None, "conflict") => "`dsm account history` shows the evidence that the node keeps".to_owned(),
        (None, "insufficient_funds") => {
            "`dsm account show` lists balances, `dsm inbox` what can be claimed".to_owned()
        }
        (None, "no_upgrade" | "upgrade_not_due") => {
            "`dsm token show` tells what waits, and from when on it can be put in force".to_owned()
        }
        (None, "policy_exists") => {
            "use it as it is; a new version has another `version` in Cargo.toml, another author another key".to_owned()
        }
        (None, "upgrade_not_alone") => {
            "put it in force by a transition of its own: `dsm token upgrade`".to_owned()
        }
        (None, "under_hold") => {
            "`dsm account show` lists the holds; their beneficiaries can release them".to_owned()
        }
        _ if exit == Exit::Unreachable => "wait a moment and run the command again".to_owned(),
        _ => "`dsm status` tells how the node is".to_owned(),
    };
    let findings = problem.findings.clone();
    let code = problem.code.clone();
    Failure { code, message, help: Some(help), problem: Some(problem), findings, exit, told: false }
}

impl From<DraftError> for Failure {
    fn from(error: DraftError) -> Failure {
        Failure::new(Exit::Usage, error.code(), error)
    }
}

impl From<dsm_crypto::KeystoreError> for Failure {
    fn from(error: dsm_crypto::KeystoreError) -> Failure {
        use dsm_crypto::KeystoreError as Error;
        match error {
            Error::Refused => {
                Failure::refused("passphrase", error).help("check the file that --passphrase-file names")
            }
            Error::Io { .. } | Error::Shared { .. } => Failure::new(Exit::Usage, "key_file", error),
            _ => Failure::integrity("key_file", error),
        }
    }
}

impl From<dsm_crypto::LastSignedError> for Failure {
    fn from(error: dsm_crypto::LastSignedError) -> Failure {
        use dsm_crypto::LastSignedError as Error;
        match error {
            Error::InUse(_) => {
                Failure::refused("wallet_in_use", error).help("wait for the other command to end")
            }
            Error::Behind { .. } | Error::Conflict { .. } => Failure::refused("would_equivocate", error)
                .help("this wallet is older than what it signed; restore the newest copy of it"),
            Error::Corrupt(_) | Error::Broken | Error::Io { .. } => Failure::integrity("last_signed", error)
                .help("restore the wallet's folder from a copy that is whole"),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let exit = match error {
            OpenError::Directory { .. }
            | OpenError::InUse(_)
            | OpenError::Thread(_)
            | OpenError::Engine(_) => Exit::Refused,
            _ => Exit::Integrity,
        };
        let help = match error {
            OpenError::InUse(_) => "stop the other node, or choose another --data",
            OpenError::Directory { .. } => "check that --data is a directory that this user may write",
            OpenError::Log(_) => {
                "`dsm repair --data DIR` fetches what is damaged from the storage nodes; `dsm restore` makes a new directory"
            }
            _ => "`dsm replay --verify --data DIR` names the first record that does not fit",
        };
        Failure::new(exit, error.code(), &error).help(help)
    }
}

impl From<dsm_logs::LogError> for Failure {
    fn from(error: dsm_logs::LogError) -> Failure {
        Failure::new(Exit::Refused, error.code(), &error)
            .help("check that --log-file is a file that this user may write")
    }
}

impl From<dsm_host::api::AuditOpenError> for Failure {
    fn from(error: dsm_host::api::AuditOpenError) -> Failure {
        use dsm_host::api::AuditOpenError as Error;
        match &error {
            Error::Damaged { path, .. } => {
                let help = format!(
                    "`dsm audit verify {0}` names the line; keep a copy, move {0} away, and the node begins a new log",
                    path.display()
                );
                Failure::integrity(error.code(), &error).help(help)
            }
            Error::Io { .. } | Error::Thread(_) => Failure::refused(error.code(), &error)
                .help("check that --data is a directory that this user may write"),
        }
    }
}

impl From<dsm_host::api::AccessError> for Failure {
    fn from(error: dsm_host::api::AccessError) -> Failure {
        Failure::new(Exit::Usage, error.code(), &error)
            .help("`dsm node --help` tells what --allow-methods and --api-keys take")
    }
}

impl From<dsm_host::replicate::ReplicationError> for Failure {
    fn from(error: dsm_host::replicate::ReplicationError) -> Failure {
        let exit = match error.code() {
            "topology_damaged" | "node_key" => Exit::Integrity,
            _ => Exit::Refused,
        };
        let help = match error.code() {
            "p2p" => {
                "choose another address with --p2p HOST:PORT; port 0 picks a free one, none does without"
            }
            _ => "`dsm topology list` tells who keeps the log",
        };
        Failure::new(exit, error.code(), &error).help(help)
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Failure {
        match error {
            ReplayError::Open(error) => error.into(),
            other => Failure::integrity(other.code(), &other)
                .help("the records before this one agree; restore the rest from a copy"),
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Failure {
        Failure::new(Exit::Integrity, error.code(), error)
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Failure {
        Failure::refused(error.code(), error)
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Failure {
        Failure::refused(error.code(), error)
    }
}

/// A file that could not be read or written.
pub(crate) fn file_failure(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display())).help("check the path and its permissions")
}
