//! The audit log: one line of JSON for each request that changes or refuses something, chained by hashes, so that an
//! edited, removed or inserted line is named.
//!
//! Whoever can write the file can cut its end off or write a whole new chain. The node that writes it knows the last
//! hash, its metrics the number of entries; whoever wants more keeps a hash elsewhere.

use serde::{Deserialize, Serialize};

/// What there is to tell about a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When it was answered, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The request's id, as in the logs.
    pub request: String,
    /// Who asked.
    pub client: String,
    /// The HTTP method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The answer's status.
    pub status: u16,
    /// The error's stable code, if it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// How many like it this line stands for, itself included.
    #[serde(skip_serializing_if = "is_one", default = "one")]
    pub times: u64,
}

fn one() -> u64 {
    1
}

fn is_one(times: &u64) -> bool {
    *times == 1
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// 1 for the first.
    pub sequence: u64,
    /// The hash of the line before, 64 zeros for the first.
    pub previous: String,
    /// What happened.
    pub told: Told,
    /// `BLAKE3("DSM/audit" ‖ 0x00 ‖ sequence ‖ previous ‖ told as it stands in the line)`.
    pub hash: String,
}

/// Where an audit log does not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// A line that is no entry.
    #[error("line {line} is no entry: {why}")]
    Malformed {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A line that was edited.
    #[error("line {line}, entry {sequence} was edited: its content does not have its hash")]
    Edited {
        /// From 1.
        line: u64,
        /// The entry.
        sequence: u64,
    },
    /// A line is missing or was inserted before this one.
    #[error(
        "line {line}, entry {sequence} does not continue the line before: one was removed, inserted or moved"
    )]
    Broken {
        /// From 1.
        line: u64,
        /// The entry.
        sequence: u64,
    },
}

impl AuditError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            AuditError::Malformed { .. } => "audit_malformed",
            AuditError::Edited { .. } => "audit_edited",
            AuditError::Broken { .. } => "audit_broken",
        }
    }
}

/// Makes lines that continue each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auditor {
    sequence: u64,
    last: String,
    /// Entries of earlier files.
    earlier: u64,
}

impl Default for Auditor {
    fn default() -> Auditor {
        Auditor { sequence: 0, last: "0".repeat(64), earlier: 0 }
    }
}

impl Auditor {
    /// Continues behind `line`, the last of a log whose other lines are not looked at.
    ///
    /// # Errors
    /// [`AuditError::Malformed`], [`AuditError::Edited`]; lines are counted from this one.
    pub fn after(line: &str) -> Result<Auditor, AuditError> {
        let entry = read(line, 1)?;
        Ok(Auditor { sequence: entry.sequence, last: entry.hash, earlier: 0 })
    }

    /// How many lines there are.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The hash of the last line.
    pub fn last(&self) -> &str {
        &self.last
    }

    /// The log goes on in another file: its lines are counted from 1 again.
    pub fn next_file(&mut self) {
        self.earlier = self.sequence;
    }

    /// Reads the next line of a whole log.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn check(&mut self, text: &str) -> Result<(), AuditError> {
        let line = self.sequence - self.earlier + 1;
        let entry = read(text, line)?;
        let sequence = entry.sequence;
        let mut next = self.clone();
        if next.line(entry.told).trim_end() != text {
            return Err(AuditError::Broken { line, sequence });
        }
        *self = next;
        Ok(())
    }

    /// The next line, with its end of line.
    pub fn line(&mut self, told: Told) -> String {
        self.sequence += 1;
        let hash = digest(self.sequence, &self.last, &told);
        let previous = std::mem::replace(&mut self.last, hash.clone());
        let entry = Entry { sequence: self.sequence, previous, told, hash };
        let mut line = serde_json::to_string(&entry).expect("strings and numbers are always JSON");
        line.push('\n');
        line
    }
}

/// Reads a whole log and gives the auditor that continues it.
///
/// # Errors
/// [`AuditError`], naming the first line that does not hold. A last line without its end was cut by a crash: the
/// caller decides, it is not passed in.
pub fn verify<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Auditor, AuditError> {
    let mut auditor = Auditor::default();
    lines.into_iter().try_for_each(|text| auditor.check(text))?;
    Ok(auditor)
}

/// An entry whose content has its hash.
fn read(text: &str, line: u64) -> Result<Entry, AuditError> {
    let entry: Entry =
        serde_json::from_str(text).map_err(|error| AuditError::Malformed { line, why: error.to_string() })?;
    let sequence = entry.sequence;
    if digest(sequence, &entry.previous, &entry.told) == entry.hash {
        Ok(entry)
    } else {
        Err(AuditError::Edited { line, sequence })
    }
}

fn digest(sequence: u64, previous: &str, told: &Told) -> String {
    let told = serde_json::to_vec(told).expect("strings and numbers are always JSON");
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"DSM/audit\0");
    hasher.update(&sequence.to_le_bytes());
    hasher.update(previous.as_bytes());
    hasher.update(&told);
    hasher.finalize().to_hex().to_string()
}
