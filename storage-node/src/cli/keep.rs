//! Verbs that look after a directory: the key, scrubs, backups. Of a running node through its HTTP, of a stopped one
//! directly.

use super::ask::{Asker, NodeArgs, scrub_text};
use super::failure::{Exit, Failure};
use super::{Output, rows};
use dsm_storage_node::{BackupReport, ScrubView, backup};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// Options of `key`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// Write the public key's hex digits to this file too
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// The answer of `key`.
#[derive(Serialize)]
struct Key {
    node: String,
    public_key: String,
}

pub(crate) fn key(out: Output, args: &KeyArgs, data: &Path) -> Result<(), Failure> {
    let (node, public_key) = dsm_storage_node::key(data)?;
    let key = Key { node: node.to_string(), public_key: hex::encode(&public_key.bytes) };
    if let Some(to) = &args.to {
        std::fs::write(to, &key.public_key).map_err(failed(to))?;
    }
    out.show(&key, |key| rows([("node", key.node.clone()), ("public key", key.public_key.clone())]))
}

/// Options of `scrub`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScrubArgs {
    /// Look into the directory of a node that is not running; nothing is repaired
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    node: NodeArgs,
}

pub(crate) fn scrub(out: Output, args: &ScrubArgs, data: &Path) -> Result<(), Failure> {
    let view: ScrubView = if args.offline {
        backup::scrub_directory(data)?
    } else {
        Asker::new(&args.node)?.post("/v1/scrub")?
    };
    out.show(&view, scrub_text)?;
    if view.damaged > view.repaired {
        let left = view.damaged - view.repaired;
        return Err(Failure::new(Exit::Integrity, "damaged", format!("{left} damaged places are left"))
            .help("start the node with its peers reachable: it repairs what another member has"));
    }
    Ok(())
}

/// What is done with backups.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BackupVerb {
    /// Write everything durable to one file: two nodes with one head write the same bytes
    Create {
        /// The file; it must not exist
        file: PathBuf,
        /// Read the directory of a node that is not running
        #[arg(long)]
        offline: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Hash a backup again from its first byte to its last
    Verify {
        /// The file
        file: PathBuf,
    },
    /// Fill an empty data directory from a backup; the node gets a key of its own when it starts
    Restore {
        /// The file
        file: PathBuf,
    },
}

pub(crate) fn backup(out: Output, verb: BackupVerb, data: &Path) -> Result<(), Failure> {
    let report = match verb {
        BackupVerb::Create { file, offline, node } => create(&file, offline, &node, data)?,
        BackupVerb::Verify { file } => verify(&file)?,
        BackupVerb::Restore { file } => backup::restore(&mut open(&file)?, data)?,
    };
    out.show(&report, report_text)
}

fn report_text(report: &BackupReport) -> String {
    rows([
        ("records", format!("{} to {}", report.first, report.head)),
        ("digest", report.digest.clone()),
        ("blobs", report.blobs.to_string()),
        ("bytes", report.bytes.to_string()),
        ("archive", report.archive.clone()),
    ])
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(Exit::Refused, "file", format!("{}: {error}", path.display()))
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file = File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn verify(path: &Path) -> Result<BackupReport, Failure> {
    Ok(backup::verify(&mut open(path)?)?)
}

/// Writes beside the file, checks what was written, and only then gives it its name.
fn create(path: &Path, offline: bool, node: &NodeArgs, data: &Path) -> Result<BackupReport, Failure> {
    if path.exists() {
        return Err(Failure::usage(format!("{} exists already", path.display())));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let outcome = write(&part, offline, node, data).and_then(|()| verify(&part));
    let report = outcome.inspect_err(|_| {
        // What is left of a failed backup is no backup.
        drop(std::fs::remove_file(&part));
    })?;
    std::fs::rename(&part, path).map_err(failed(path))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(path))?;
    Ok(report)
}

fn write(part: &Path, offline: bool, node: &NodeArgs, data: &Path) -> Result<(), Failure> {
    let file = File::options().write(true).create_new(true).open(part).map_err(failed(part))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    if offline {
        backup::write_directory(data, &mut file)?;
    } else {
        let mut stream = Asker::new(node)?.stream("/v1/backup")?;
        io::copy(&mut stream, &mut file).map_err(failed(part))?;
    }
    file.flush().map_err(failed(part))?;
    let file = file.into_inner().map_err(|error| failed(part)(error.into_error()))?;
    file.sync_all().map_err(failed(part))
}
