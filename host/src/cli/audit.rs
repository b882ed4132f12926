//! `dsm audit`: whether an audit log is as it was written.

use super::failure::{Failure, file_failure};
use super::session::Session;
use super::show::{Show, rows};
use dsm_gateway::Auditor;
use serde::Serialize;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Bytes of a line.
const LINE_BYTES_MAX: u64 = 16 * 1024;

const HELP: &str = "the lines before it are as they were written; compare with a copy that is kept elsewhere";

/// What is done with an audit log.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AuditVerb {
    /// Hash every line again; an edited, removed or inserted one is named
    Verify {
        /// The log [default: audit.log in the data directory]
        file: Option<PathBuf>,
        /// A hash that was seen before, as in `dsm status`: it has to be an entry of this log, or the log is another one
        #[arg(long, value_name = "HASH")]
        contains: Option<String>,
        /// The data directory
        #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
        data: PathBuf,
    },
}

/// A log that holds.
#[derive(Serialize)]
struct Verified {
    file: PathBuf,
    entries: u64,
    last: String,
    /// Bytes behind the last whole line: a line that is being written, or that a crash tore.
    torn_bytes: u64,
}

impl Show for Verified {
    fn text(&self) -> String {
        let torn = if self.torn_bytes == 0 { String::new() } else { format!("{} bytes", self.torn_bytes) };
        rows([
            ("file", self.file.display().to_string()),
            ("entries", format!("{}, each as it was written", self.entries)),
            ("last", self.last.clone()),
            ("torn", torn),
        ])
    }
}

pub(crate) fn run(session: &Session, verb: &AuditVerb) -> Result<(), Failure> {
    let AuditVerb::Verify { file, contains, data } = verb;
    let file = file.clone().unwrap_or_else(|| data.join("audit.log"));
    session.show(&verify(&file, contains.as_deref())?)
}

fn verify(path: &Path, contains: Option<&str>) -> Result<Verified, Failure> {
    let failed = |error: std::io::Error| file_failure(path, &error);
    let mut lines = BufReader::with_capacity(1 << 20, std::fs::File::open(path).map_err(failed)?);
    let mut auditor = Auditor::default();
    let mut found = contains.is_none();
    let torn_bytes = loop {
        let mut line = Vec::new();
        let read = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)? as u64;
        let Some(whole) = line.strip_suffix(b"\n") else {
            if read == LINE_BYTES_MAX {
                return Err(refused(
                    path,
                    "audit_malformed",
                    &format!("line {} is longer than any entry", auditor.sequence() + 1),
                ));
            }
            break read;
        };
        let text = String::from_utf8_lossy(whole);
        auditor.check(&text).map_err(|error| refused(path, error.code(), &error))?;
        found |= contains == Some(auditor.last());
    };
    if !found {
        let why = "the log holds together, and has no entry of that hash: it is shorter than it was, or another one";
        return Err(Failure::integrity("audit_other", format!("{}: {why}", path.display())).help(HELP));
    }
    Ok(Verified {
        file: path.to_path_buf(),
        entries: auditor.sequence(),
        last: auditor.last().to_owned(),
        torn_bytes,
    })
}

fn refused(path: &Path, code: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::integrity(code, format!("{}: {why}", path.display())).help(HELP)
}
