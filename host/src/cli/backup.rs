//! `dsm backup`: one file with everything durable of a core node, and a node from such a file.

use super::failure::{Exit, Failure, file_failure};
use super::node::compiler;
use super::session::Session;
use super::show::{Show, rows, safe};
use dsm_host::node::NodeConfig;
use dsm_host::node::backup::{BackupError, BackupReport, verify, write_stopped};
use dsm_host::replicate::{RestoreBackupConfig, RestoreError, RestoredBackup, restore_backup};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// Bytes read and written at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// Where a data directory keeps what its last backup was.
const LAST: &str = "last-backup.json";

/// What is done with backups.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BackupVerb {
    /// Write everything durable to one file, while the node goes on: storage nodes with the same head write the same
    Create {
        /// The file; it must not exist
        file: PathBuf,
        /// Read the directory of a node that is not running
        #[arg(long)]
        offline: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Hash a backup again from its first byte to its last
    Verify {
        /// The file
        file: PathBuf,
    },
    /// Make a data directory from a backup and the copy of the node's key; everything is verified again
    Restore {
        /// The file
        file: PathBuf,
        /// The copy of the lost node's `node.key`
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

/// A data directory.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// The data directory
    #[arg(long, value_name = "DIR", env = "DSM_DATA", default_value = "data")]
    data: PathBuf,
    /// The network accepts signatures of Dilithium3
    #[arg(long)]
    accept_dilithium3: bool,
}

impl Place {
    fn config(&self) -> NodeConfig {
        let mut config = NodeConfig::new(&self.data);
        config.accept_dilithium3 = self.accept_dilithium3;
        config.engine.compiler = compiler();
        config
    }
}

/// The answer of `create` and `verify`.
#[derive(Serialize)]
#[serde(transparent)]
struct Kept {
    report: BackupReport,
}

impl Show for Kept {
    fn text(&self) -> String {
        let report = &self.report;
        rows([
            ("records", format!("{} to {}", report.first, report.head)),
            ("digest", report.digest.to_string()),
            ("packages", report.packages.to_string()),
            ("bytes", report.bytes.to_string()),
            ("archive", report.archive.to_string()),
        ])
    }
}

/// The answer of `restore`.
#[derive(Serialize)]
#[serde(transparent)]
struct Restored {
    report: RestoredBackup,
}

impl Show for Restored {
    fn text(&self) -> String {
        let (report, replay) = (&self.report, &self.report.replay);
        let text = rows([
            ("network", format!("{} ({})", replay.network, safe(&report.network_name))),
            ("log", format!("{} records, digest {}", replay.position, replay.log_digest)),
            ("transitions", format!("{}, every signature and policy verified again", replay.transitions)),
            ("packages", report.backup.packages.to_string()),
            ("accounts root", replay.accounts_root.to_string()),
            ("tokens root", replay.tokens_root.to_string()),
            (
                "never signed",
                format!(
                    "checkpoints up to epoch {}, topologies up to {}",
                    report.checkpoints_passed, report.topologies_passed
                ),
            ),
        ]);
        format!(
            "{text}\nstart it with --peer for each storage node that it had: what they hold more is fetched before it writes"
        )
    }
}

/// What a data directory remembers of its last backup.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LastBackup {
    /// Where it was written.
    pub(crate) file: PathBuf,
    /// When, in ms since the Unix epoch.
    pub(crate) time_ms: u64,
    /// What it holds.
    pub(crate) report: BackupReport,
}

impl LastBackup {
    /// The last one of the node in `data`, if it was made on its machine.
    pub(crate) fn read(data: &Path) -> Option<LastBackup> {
        serde_json::from_slice(&std::fs::read(data.join(LAST)).ok()?).ok()
    }

    fn write(&self, data: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::integrity("json", error))?;
        super::door::write_private(&data.join(LAST), &text)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        let (code, message) = (error.code(), error.to_string());
        match error {
            BackupError::Open(error) => error.into(),
            BackupError::Node(error) => error.into(),
            BackupError::PackagesMissing(_) => Failure::integrity(code, message)
                .help("start the node with its storage nodes reachable: it fetches them; or `dsm repair`"),
            BackupError::NotWhole(_) => Failure::integrity(code, message)
                .help("take the backup of the core node, or of a storage node with --retention all"),
            BackupError::Archive(_) => {
                let exit = match code {
                    "archive_io" => Exit::Usage,
                    "data_exists" => Exit::Refused,
                    _ => Exit::Integrity,
                };
                Failure::new(exit, code, message).help(match code {
                    "archive_io" => "check the path and its permissions",
                    "data_exists" => "choose a directory that does not exist yet",
                    "storage" => "`dsm repair --data DIR` fetches what is damaged from the storage nodes",
                    _ => "take another copy of the backup; `dsm backup verify` names the first damaged place",
                })
            }
        }
    }
}

pub(crate) fn run(session: &Session, verb: &BackupVerb) -> Result<(), Failure> {
    match verb {
        BackupVerb::Create { file, offline, place } => {
            let session = &super::door::with_own_key(session, &place.data);
            let report = create(session, file, offline.then_some(place))?;
            remember(session, &place.data, file, &report, *offline)?;
            session.show(&Kept { report })
        }
        BackupVerb::Verify { file } => session.show(&Kept { report: checked(file)? }),
        BackupVerb::Restore { file, key, place } => {
            let config =
                RestoreBackupConfig { archive: file.clone(), key: key.clone(), node: place.config() };
            let report = restore_backup(&config).map_err(restore_failure)?;
            session.show(&Restored { report })
        }
    }
}

/// Writes it down in the data directory, if that is the node's: `dsm doctor` tells how old the last backup is.
fn remember(
    session: &Session,
    data: &Path,
    file: &Path,
    report: &BackupReport,
    offline: bool,
) -> Result<(), Failure> {
    if !offline && super::door::own_key(data, &session.globals.node).is_none() {
        return Ok(());
    }
    let file = std::path::absolute(file).map_err(|error| file_failure(file, &error))?;
    LastBackup { file, time_ms: Session::now_ms(), report: report.clone() }.write(data)
}

pub(crate) fn restore_failure(error: RestoreError) -> Failure {
    match error {
        RestoreError::Backup(error) => error.into(),
        RestoreError::Open(dsm_host::node::OpenError::OtherKey) => {
            Failure::integrity(error.code(), "the archive is of another node's network")
                .help("give the node.key of the node whose backup this is")
        }
        RestoreError::Open(error) => error.into(),
        RestoreError::Replay(error) => error.into(),
        other => {
            let help = match other.code() {
                "data_exists" => "choose a directory that holds no log, no packages and no key",
                _ => {
                    "--key is a copy that `dsm node key export` wrote; --data a directory that this user may write"
                }
            };
            Failure::refused(other.code(), &other).help(help)
        }
    }
}

/// Checks a whole file.
pub(crate) fn checked(path: &Path) -> Result<BackupReport, Failure> {
    let file = File::open(path).map_err(|error| file_failure(path, &error))?;
    Ok(verify(BufReader::with_capacity(BUFFER_BYTES, file))?)
}

/// Writes beside the file, checks what was written, and only then gives it its name. Without a place, of the node that
/// runs.
pub(crate) fn create(
    session: &Session,
    path: &Path,
    stopped: Option<&Place>,
) -> Result<BackupReport, Failure> {
    if path.exists() {
        return Err(Failure::usage(format!("{} exists already", path.display()))
            .help("backups are never replaced; choose another name"));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let outcome = write(session, &part, stopped).and_then(|()| checked(&part));
    let report = outcome.inspect_err(|_| {
        // What is left of a failed backup is no backup.
        drop(std::fs::remove_file(&part));
    })?;
    let failed = |error: io::Error| file_failure(path, &error);
    std::fs::rename(&part, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(report)
}

fn write(session: &Session, part: &Path, stopped: Option<&Place>) -> Result<(), Failure> {
    let failed = |error: io::Error| file_failure(part, &error);
    let file = File::options().write(true).create(true).truncate(true).open(part).map_err(failed)?;
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
    match stopped {
        Some(place) => write_stopped(&place.config(), &mut file)?,
        None => {
            let mut stream = session.client()?.backup()?;
            io::copy(&mut stream, &mut file).map_err(|error| {
                Failure::new(Exit::Unreachable, "unreachable", format!("the backup broke off: {error}"))
                    .help("`dsm status` tells how the node is, its log why; then run the command again")
            })?;
        }
    }
    file.flush().map_err(failed)?;
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)
}
