//! `dsm audit`: whether an audit log is as it was written.

use super::door::{own_key, with_own_key};
use super::failure::{Failure, file_failure};
use super::session::Session;
use super::show::{Show, rows};
use dsm_gateway::Auditor;
use dsm_host::api::files_aside;
use dsm_sdk::api::AuditView;
use serde::Serialize;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Bytes of a line.
const LINE_BYTES_MAX: u64 = 16 * 1024;

const HELP: &str = "the lines before it are as they were written; compare with a copy that is kept elsewhere";

/// What is done with an audit log.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AuditVerb {
    /// Hash every line again, over all files of the log; an edited, removed or inserted one is named, and a missing file.
    /// A node that runs in the data directory is asked which line was its last: lines taken from the end are missed
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
    /// How many files it is in: those that were set aside, and the one that is written.
    files: usize,
    entries: u64,
    last: String,
    /// Bytes behind the last whole line: a line that is being written, or that a crash tore.
    torn_bytes: u64,
    /// Entries that the running node had written; nothing if none was asked.
    entries_of_node: Option<u64>,
}

impl Show for Verified {
    fn text(&self) -> String {
        let torn = if self.torn_bytes == 0 { String::new() } else { format!("{} bytes", self.torn_bytes) };
        rows([
            ("file", self.file.display().to_string()),
            ("files", self.files.to_string()),
            ("entries", format!("{}, each as it was written", self.entries)),
            ("last", self.last.clone()),
            ("torn", torn),
            (
                "end",
                self.entries_of_node.map_or_else(
                    || "whoever took lines from it left no trace here: no running node was asked, see --contains".to_owned(),
                    |entries| format!("the running node's entry {entries} stands in it"),
                ),
            ),
        ])
    }
}

pub(crate) fn run(session: &Session, verb: &AuditVerb) -> Result<(), Failure> {
    let AuditVerb::Verify { file, contains, data } = verb;
    let path = file.clone().unwrap_or_else(|| data.join("audit.log"));
    // Before the file is read: what the node has told stands in it by then.
    let told = if file.is_none() { last_of_node(session, data) } else { None };
    session.show(&verify(&path, contains.as_deref(), told.as_ref())?)
}

/// How the log of the node that runs in the data directory stands, if one does and answers.
fn last_of_node(session: &Session, data: &Path) -> Option<AuditView> {
    own_key(data, &session.globals.node)?;
    with_own_key(session, data).client().ok()?.status().ok()?.audit
}

/// Reads the files that were set aside, the oldest first, and the one that is written: one chain.
fn verify(path: &Path, contains: Option<&str>, told: Option<&AuditView>) -> Result<Verified, Failure> {
    let mut auditor = Auditor::default();
    let mut found = contains.is_none();
    let mut ends = told.is_none_or(|told| told.entries == 0);
    let aside = files_aside(path).map_err(|error| file_failure(path, &error))?;
    let mut files: Vec<&Path> = Vec::with_capacity(aside.len() + 1);
    for (expected, (number, file)) in (1..).zip(&aside) {
        if *number != expected {
            return Err(missing(path, expected));
        }
        files.push(file);
    }
    files.push(path);
    let mut torn_bytes = 0;
    for (place, file) in files.iter().enumerate() {
        if place == aside.len() && !aside.is_empty() && !file.exists() {
            return Err(missing(path, None));
        }
        auditor.next_file();
        torn_bytes = verify_file(file, &mut auditor, |hash| {
            found |= contains == Some(hash);
            ends |= told.is_some_and(|told| told.last == hash);
        })?;
        if torn_bytes > 0 && place < aside.len() {
            return Err(refused(file, "audit_malformed", &"a file that was set aside ends within a line"));
        }
    }
    if let Some(told) = told.filter(|_| !ends) {
        let why = format!(
            "the log holds together and ends with entry {}; entry {} that the running node wrote is not in it: lines were \
             taken from its end, or it is another one",
            auditor.sequence(),
            told.entries
        );
        return Err(Failure::integrity("audit_other", format!("{}: {why}", path.display())).help(HELP));
    }
    if !found {
        let why = "the log holds together, and has no entry of that hash: it is shorter than it was, or another one";
        return Err(Failure::integrity("audit_other", format!("{}: {why}", path.display())).help(HELP));
    }
    Ok(Verified {
        file: path.to_path_buf(),
        files: files.len(),
        entries: auditor.sequence(),
        last: auditor.last().to_owned(),
        torn_bytes,
        entries_of_node: told.map(|told| told.entries),
    })
}

/// Reads one file; the bytes behind its last whole line.
fn verify_file(path: &Path, auditor: &mut Auditor, mut seen: impl FnMut(&str)) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| file_failure(path, &error);
    let mut lines = BufReader::with_capacity(1 << 20, std::fs::File::open(path).map_err(failed)?);
    loop {
        let mut line = Vec::new();
        let read = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)? as u64;
        let Some(whole) = line.strip_suffix(b"\n") else {
            if read == LINE_BYTES_MAX {
                let why = format!("a line behind entry {} is longer than any entry", auditor.sequence());
                return Err(refused(path, "audit_malformed", &why));
            }
            return Ok(read);
        };
        let text = String::from_utf8_lossy(whole);
        auditor.check(&text).map_err(|error| refused(path, error.code(), &error))?;
        seen(auditor.last());
    }
}

/// A file of the series is not there: one that was set aside, by its number, or the one that is written.
fn missing(path: &Path, number: impl Into<Option<u64>>) -> Failure {
    let number = number.into().map(|number: u64| format!(".{number}")).unwrap_or_default();
    let why = format!("{}{number} is missing, and other files of the log are there", path.display());
    Failure::integrity("audit_file_missing", why)
        .help("bring the file back from where it was moved to; the whole series is verified together")
}

fn refused(path: &Path, code: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::integrity(code, format!("{}: {why}", path.display())).help(HELP)
}
