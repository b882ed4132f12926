//! A core node's directory with damaged records or packages, made whole from its storage nodes while no node has it
//! open.
//!
//! What is fetched is proven before it is written: records by the chain of this log around them, packages by their
//! digests. Only for the damaged end of a log is there nothing behind to prove it: there a storage node's head counts,
//! if the records lead from what is whole here to it.
//!
//! Left out on purpose: whatever no storage node has. It is reported, and `dsm restore` is the way back.

use super::document;
use super::fetch::ask;
use super::restore::{Source, ask_everybody};
use super::{KnownPeer, ReplicationError};
use crate::node::{OpenError, offline};
use dsm_abi::Digest;
use dsm_core::PublicKey;
use dsm_crypto::Signer as _;
use dsm_link::{Endpoint, LinkConfig, Pins, TransportKey};
use dsm_proto::fetch::{Answer, Query};
use dsm_sdk::package::PACKAGE_BYTES_MAX;
use dsm_store::{Blobs, Log, LogConfig, LogError, RepairError, Salvage, Stretch};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of records fetched at once.
const CHUNK_BYTES: u32 = 4 << 20;
/// Damaged stretches looked at in one run: a log with more is restored.
const STRETCHES_MAX: usize = 4096;

/// What a repair is told.
#[derive(Debug, Clone)]
pub struct RepairConfig {
    /// The data directory, which no node has open.
    pub data: PathBuf,
    /// Storage nodes to ask besides those of the directory's topology.
    pub from: Vec<KnownPeer>,
    /// The address from which storage nodes are reached.
    pub listen: SocketAddr,
    /// Limits and times of connections.
    pub link: LinkConfig,
}

/// What was repaired, and what was not.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepairReport {
    /// The end of the log.
    pub position: u64,
    /// Records found sound, those repaired included.
    pub records: u64,
    /// Damaged places found in the log.
    pub damaged: u64,
    /// Packages whose content was damaged.
    pub damaged_packages: u64,
    /// What no storage node could give, in words; empty if everything is whole.
    pub left: Vec<String>,
}

/// Why a directory cannot be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairFailed {
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key, the topology or the socket.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// The log is beyond repair, or the device fails.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// The packages cannot be read or written.
    #[error(transparent)]
    Blob(#[from] dsm_store::BlobError),
}

impl RepairFailed {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RepairFailed::Open(error) => error.code(),
            RepairFailed::Replication(error) => error.code(),
            RepairFailed::Repair(_) | RepairFailed::Blob(_) => "not_repaired",
        }
    }
}

impl From<LogError> for RepairFailed {
    fn from(error: LogError) -> RepairFailed {
        RepairFailed::Repair(error.into())
    }
}

/// Repairs what is damaged.
///
/// # Errors
/// [`RepairFailed`]; what was repaired until then stays repaired. What nobody could give is no error: the report says it.
pub async fn repair(config: RepairConfig) -> Result<RepairReport, RepairFailed> {
    let _lock = offline::lock(&config.data)?;
    let key = document::read_key(&config.data.join("node.key"))?;
    let core = PublicKey { suite: key.suite(), bytes: key.public_key().to_vec() };
    let transport =
        TransportKey::ml_dsa_65(&key).map_err(|error| ReplicationError::Key(error.to_string()))?;
    let endpoint = Endpoint::bind(config.listen, &transport, Pins::new(), config.link)
        .map_err(ReplicationError::from)?;
    let mut from = config.from;
    if let Some(held) = document::held(&config.data, &core)? {
        let members = held.topology.members().iter();
        from.extend(members.map(|one| KnownPeer { address: one.address().into(), key: one.key().to_vec() }));
    }
    let (mut sources, _) = ask_everybody(&endpoint, &from, &core).await.map_err(|error| match error {
        super::RestoreError::Replication(error) => error,
        other => ReplicationError::NotPromoted(other.to_string()),
    })?;
    sources.sort_by_key(|source| std::cmp::Reverse(source.status.head.position));

    let mut report = RepairReport::default();
    if let Some(log) = open(&config.data, &sources, &mut report).await? {
        mend(&log, &sources, &mut report).await?;
    }
    packages(&config.data, &sources, &mut report).await?;
    endpoint.close().await;
    Ok(report)
}

/// Opens the log, after what kept it from being opened was repaired; nothing if that was not possible.
async fn open(
    data: &Path,
    sources: &[Source],
    report: &mut RepairReport,
) -> Result<Option<Log>, RepairFailed> {
    let disk = offline::folder(&data.join("log"))?;
    let mut salt = [0; 4];
    dsm_crypto::fill_random(&mut salt).map_err(|error| ReplicationError::Key(error.to_string()))?;
    let config = LogConfig::new(u32::from_le_bytes(salt));
    match Log::open(Arc::clone(&disk), config.clone()) {
        Ok((log, _)) => return Ok(Some(log)),
        Err(LogError::Damaged { .. } | LogError::MissingSegment { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut salvage = Salvage::open(disk, config)?;
    let wanted = salvage.wanted();
    // The head of a segment is written again from what stands around it: nothing is wanted, and it was damaged.
    report.damaged += wanted.len().max(1) as u64;
    for stretch in wanted {
        let mut given = false;
        for source in sources {
            let last = match stretch.last {
                Some(last) => last,
                // Whoever has more than is whole here may say how the log ends.
                None if source.status.head.position >= stretch.first => {
                    let head = source.status.head;
                    if salvage.expect_head(head.position, head.digest.0).is_err() {
                        continue;
                    }
                    head.position
                }
                None => continue,
            };
            let Some(records) = fetch(source, stretch.first, last).await else { continue };
            if salvage.repair(stretch.first, &records).is_ok() {
                given = true;
                break;
            }
        }
        if !given {
            report.left.push(told(stretch));
        }
    }
    match salvage.finish() {
        Ok((log, _)) => Ok(Some(log)),
        Err(RepairError::Incomplete { .. } | RepairError::HeadUnknown { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Repairs what is damaged inside a log that opens.
async fn mend(log: &Log, sources: &[Source], report: &mut RepairReport) -> Result<(), RepairFailed> {
    let reader = log.reader();
    let found = reader.scrub(reader.first())?;
    report.damaged += found.damaged;
    for place in found.places.iter().take(STRETCHES_MAX) {
        let Some(stretch) = reader.stretch(place.position)? else {
            log.repair(place.segment, place.position, &[])?;
            continue;
        };
        let Some(last) = stretch.last else { continue };
        for source in sources {
            let Some(records) = fetch(source, stretch.first, last).await else { continue };
            if log.repair(place.segment, stretch.first, &records).is_ok() {
                break;
            }
        }
    }
    let after = reader.scrub(reader.first())?;
    report.left.extend(after.places.iter().map(|place| format!("the record at {}", place.position)));
    report.records = after.records;
    report.position = reader.durable().0;
    Ok(())
}

fn told(stretch: Stretch) -> String {
    match stretch.last {
        Some(last) => format!("the records {} to {last}", stretch.first),
        None => format!("the records from {} on", stretch.first),
    }
}

/// The records `first` to `last` as a storage node gives them; the log will prove them.
async fn fetch(source: &Source, first: u64, last: u64) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut fetched = Vec::new();
    let mut from = first;
    while from <= last {
        let query = Query::Records { from, bytes_max: CHUNK_BYTES };
        let Ok(Answer::Records(records)) = ask(&source.connection, query).await else { return None };
        let wanted = usize::try_from(last - from + 1).unwrap_or(usize::MAX);
        let count = records.len().min(wanted);
        fetched.extend(records.into_iter().take(count).map(|record| (record.kind, record.payload)));
        from += count as u64;
        if count == 0 {
            return None;
        }
    }
    Some(fetched)
}

/// Fetches the packages whose content no longer has their digest.
async fn packages(data: &Path, sources: &[Source], report: &mut RepairReport) -> Result<(), RepairFailed> {
    let blobs = Blobs::open(offline::folder(&data.join("policies"))?, PACKAGE_BYTES_MAX)?;
    for id in blobs.scrub()?.damaged {
        report.damaged_packages += 1;
        let mut given = false;
        for source in sources {
            let query = Query::Blob { digest: Digest(id), bytes_max: PACKAGE_BYTES_MAX as u32 };
            if let Ok(Answer::Blob(content)) = ask(&source.connection, query).await
                && blobs.repair(&id, &content).is_ok()
            {
                given = true;
                break;
            }
        }
        if !given {
            report.left.push(format!("the package {}", Digest(id)));
        }
    }
    Ok(())
}
