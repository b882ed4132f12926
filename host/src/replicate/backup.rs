//! A core node from a backup: the archive is checked, written into an empty directory and replayed, believing nothing;
//! then what the lost node may have signed is passed over; the key comes last, so that a directory which is not
//! complete is one that no node opens.
//!
//! What was accepted after the backup is gone, unless a storage node has it: then the node fetches it when it starts,
//! before it writes.

use super::restore::{CHECKPOINT_GAP, Fetched, RestoreError, TOPOLOGY_GAP, learn, pass_over};
use super::{ReplicationError, document};
use crate::node::backup::{self, BackupError, BackupReport};
use crate::node::replay::{self, ReplayReport};
use crate::node::{NodeConfig, OpenError, offline};
use dsm_abi::Digest;
use dsm_core::PublicKey;
use dsm_crypto::Signer as _;
use dsm_store::archive::ArchiveError;
use dsm_store::{Log, LogConfig};
use serde::Serialize;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Files that belong to one node: where one of them is, nothing is restored.
const OWN_FILES: [&str; 5] =
    ["node.key", "node.last-signed", "node.topology-signed", "topology", "index.redb"];
/// Bytes of an archive read at a time.
const READ_BYTES: usize = 1 << 20;

/// What a restoration from a backup is told.
#[derive(Clone)]
pub struct RestoreBackupConfig {
    /// The archive.
    pub archive: PathBuf,
    /// The copy of `node.key`.
    pub key: PathBuf,
    /// The node to be: its data directory must hold neither a log nor packages nor a key.
    pub node: NodeConfig,
}

/// What was restored from a backup.
#[derive(Debug, Clone, Serialize)]
pub struct RestoredBackup {
    /// The archive.
    pub backup: BackupReport,
    /// The network's name.
    pub network_name: String,
    /// What the replay found.
    pub replay: ReplayReport,
    /// No checkpoint up to this epoch is ever signed again.
    pub checkpoints_passed: u64,
    /// No topology up to this epoch is ever signed again.
    pub topologies_passed: u64,
}

/// What a rehearsal found.
#[derive(Debug, Clone, Serialize)]
pub struct Rehearsed {
    /// The archive.
    pub backup: BackupReport,
    /// What the replay found.
    pub replay: ReplayReport,
    /// The restored log's chain digest at the position that was asked for, if it reaches so far.
    pub digest_there: Option<Digest>,
}

/// Restores a node from a backup.
///
/// # Errors
/// [`RestoreError`]. With a damaged archive, another node's key, or a directory that is not empty, nothing is left in
/// the directory that was not there.
pub fn restore_backup(config: &RestoreBackupConfig) -> Result<RestoredBackup, RestoreError> {
    let data = &config.node.data;
    let key = document::read_key(&config.key)?;
    let core = PublicKey { suite: key.suite(), bytes: key.public_key().to_vec() };
    if OWN_FILES.iter().any(|name| data.join(name).exists()) {
        return Err(RestoreError::DataExists(data.clone()));
    }
    let backup = fill(&config.archive, data)?;
    let (past, replay) =
        match learn_all(data, &core).and_then(|past| Ok((past, replay::verify(&config.node)?))) {
            Ok(found) => found,
            Err(error) => {
                empty(data)?;
                return Err(error);
            }
        };
    let now_ms = config.node.clock.now_ms();
    let topologies_passed = floor(0, TOPOLOGY_GAP, now_ms);
    let checkpoints_passed = floor(past.last_checkpoint, CHECKPOINT_GAP, now_ms);
    document::begin_after(data, topologies_passed)?;
    pass_over(&data.join("node.last-signed"), checkpoints_passed)?;
    document::write_key(&data.join("node.key"), &key)?;
    Ok(RestoredBackup { backup, network_name: past.name, replay, checkpoints_passed, topologies_passed })
}

/// Restores into a directory that nobody will open, without a key, and replays: whether a backup is good for
/// anything. `position` is one whose chain digest the caller knows.
///
/// # Errors
/// [`RestoreError`].
pub fn rehearse_backup(archive: &Path, node: &NodeConfig, position: u64) -> Result<Rehearsed, RestoreError> {
    let backup = fill(archive, &node.data)?;
    let replay = replay::verify(node)?;
    let log = offline::folder(&node.data.join("log"))?;
    let (log, _) = Log::open(log, LogConfig::new(0)).map_err(OpenError::from)?;
    let there = (position <= backup.head).then(|| log.reader().digest_at(position));
    let digest_there = there.transpose().map_err(OpenError::from)?.map(Digest);
    Ok(Rehearsed { backup, replay, digest_there })
}

/// The last epoch that is passed over. An archive does not know what its node signed afterwards, and may be restored
/// more than once: the same gap above the same epoch each time would lead two restored nodes to sign one epoch. So the
/// gap is above the time, the one number that grows from one restoration to the next without anybody remembering it.
/// Nobody reads an epoch as a time.
fn floor(known: u64, gap: u64, now_ms: u64) -> u64 {
    known.max(now_ms).saturating_add(gap)
}

/// Checks the whole archive before the first byte of it is written.
fn fill(path: &Path, data: &Path) -> Result<BackupReport, RestoreError> {
    let open = || {
        let file = File::open(path).map_err(|source| {
            BackupError::Archive(ArchiveError::Io { doing: "opening the archive", source })
        })?;
        Ok::<_, BackupError>(BufReader::with_capacity(READ_BYTES, file))
    };
    let report = backup::verify(open()?)?;
    if report.first != 1 {
        return Err(BackupError::NotWhole(report.first).into());
    }
    let _lock = offline::lock(data)?;
    match backup::fill(&mut open()?, data) {
        Err(BackupError::Archive(ArchiveError::NotEmpty { .. })) => {
            Err(RestoreError::DataExists(data.to_path_buf()))
        }
        filled => Ok(filled.map(|()| report)?),
    }
}

/// What the restored log says of itself, which must begin with this key's genesis.
fn learn_all(data: &Path, core: &PublicKey) -> Result<Fetched, RestoreError> {
    let (log, _) =
        Log::open(offline::folder(&data.join("log"))?, LogConfig::new(0)).map_err(OpenError::from)?;
    let mut past = None;
    for record in log.iter(1).map_err(OpenError::from)? {
        let record = record.map_err(OpenError::from)?;
        let entry = offline::decode_entry(record.position, &record.payload).map_err(OpenError::from)?;
        learn(&mut past, entry, core).map_err(|_| OpenError::OtherKey)?;
    }
    past.ok_or_else(|| OpenError::Layout(1).into())
}

/// Takes back what was written into a directory that was empty.
fn empty(data: &Path) -> Result<(), ReplicationError> {
    for folder in ["log", "policies"] {
        for file in std::fs::read_dir(data.join(folder))? {
            std::fs::remove_file(file?.path())?;
        }
    }
    Ok(())
}
