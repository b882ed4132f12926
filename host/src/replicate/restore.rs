//! A core node whose disk is gone, rebuilt from its storage nodes and the copy of its key.
//!
//! All storage nodes are asked where they stand; once a majority and the primary have answered (`dsm_proto::Restore`),
//! a history whose chain leads from this key's genesis to the head that its holder claims is fetched, the primary's
//! first, with the policy packages that it publishes; then everything is replayed, believing nothing; then a majority
//! is asked for a higher epoch, which fences whatever is left of the old node. Whoever holds more of that history
//! than the one it was fetched from gives the rest before the node leads.
//!
//! What was acknowledged `local` and reached no storage node is gone. The report says what is known of it.

use super::document::{self, Documents};
use super::fetch::{ask, word};
use super::peer::resolve;
use super::{KnownPeer, Replication, ReplicationConfig, ReplicationError, packages};
use crate::node::backup::BackupError;
use crate::node::replay::{self, ReplayError};
use crate::node::{Node, NodeConfig, OpenError, offline};
use dsm_abi::{Digest, NetworkId};
use dsm_core::{Entry, PublicKey};
use dsm_crypto::{LastSigned, Signer as _, Verifier};
use dsm_link::{Connection, Endpoint, Pins, TransportKey};
use dsm_proto::fetch::{Answer, NodeStatus, Query};
use dsm_proto::restore::{Readiness, Restore};
use dsm_proto::{Head, Member, NodeId, SignedTopology};
use dsm_store::{Log, LogConfig};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of records fetched at once.
const CHUNK_BYTES: u32 = 4 << 20;
/// Epochs of checkpoints that are passed over: the lost node may have signed some that reached nobody.
pub(super) const CHECKPOINT_GAP: u64 = 1_000_000;
/// Epochs of topologies that are passed over, for the same reason.
pub(super) const TOPOLOGY_GAP: u64 = 1_000;
/// How long a majority may take to promise the epoch.
const PROMISE_TIME: Duration = Duration::from_secs(30);

/// What a restoration is told.
#[derive(Clone)]
pub struct RestoreConfig {
    /// Storage nodes to begin with; the topology that they hold names the others.
    pub from: Vec<KnownPeer>,
    /// The copy of `node.key`.
    pub key: PathBuf,
    /// The node to be: its data directory must hold no log.
    pub node: NodeConfig,
    /// How it replicates from then on.
    pub replication: ReplicationConfig,
    /// By the operator's word that the storage nodes that do not answer are lost for ever: also without the primary.
    pub force: bool,
}

/// A storage node that was asked.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Its id.
    pub node: Digest,
    /// Host and port.
    pub address: String,
    /// The end of its log, if it answered.
    pub position: Option<u64>,
    /// Why it did not answer, or why its history was not taken.
    pub trouble: Option<String>,
}

/// What was restored.
#[derive(Debug, Clone, Serialize)]
pub struct RestoreReport {
    /// The network.
    pub network: NetworkId,
    /// Its name.
    pub network_name: String,
    /// Whom the history came from.
    pub from: Digest,
    /// Everybody who was asked.
    pub asked: Vec<Asked>,
    /// The last record.
    pub position: u64,
    /// The log's chain digest there.
    pub log_digest: Digest,
    /// Accepted transitions, all verified again.
    pub transitions: u64,
    /// Policy packages fetched.
    pub packages: usize,
    /// The epoch that a majority promised.
    pub epoch: u64,
    /// Records that some reachable storage node claims to hold and that could not be verified: the measured recovery
    /// point.
    pub rpo_records: u64,
    /// How much earlier the last restored record is than the last one that any reachable storage node holds, in ms;
    /// unknown if that one could not be verified.
    pub rpo_ms: Option<u64>,
    /// The time of the last restored transition, in ms since the Unix epoch.
    pub last_ms: u64,
    /// Fetching records and packages, in ms.
    pub fetch_ms: u64,
    /// Replaying everything, in ms.
    pub replay_ms: u64,
    /// From the start until a majority had promised the new epoch, in ms: the measured recovery time.
    pub rto_ms: u64,
}

/// Why nothing was restored, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is a log in the directory already.
    #[error("{0} holds a node already")]
    DataExists(PathBuf),
    /// No storage node has a history that can be verified.
    #[error("no storage node that answers has a whole history of this key: {0}")]
    NoHistory(String),
    /// The primary, or a majority, has not answered: what only they hold would be lost.
    #[error("{needed} more storage nodes have to answer{}", if *.primary { ", the primary among them" } else { "" })]
    TooFewAnswers {
        /// How many at least.
        needed: usize,
        /// Whether the primary is silent.
        primary: bool,
    },
    /// The archive is damaged, or holds less than a whole history.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A published policy's package is nowhere.
    #[error("the packages of {0} published policies are nowhere to be found")]
    PackagesMissing(usize),
    /// The history does not replay.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The directory or the node cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key, the topology or the socket.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// The directory is complete, but too few storage nodes answered for the new epoch.
    #[error("the directory is complete, but no majority has promised epoch {0}; the node will wait for it")]
    NotConfirmed(u64),
}

impl RestoreError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RestoreError::DataExists(_) => "data_exists",
            RestoreError::NoHistory(_) => "no_history",
            RestoreError::TooFewAnswers { .. } => "too_few_answers",
            RestoreError::Backup(error) => error.code(),
            RestoreError::PackagesMissing(_) => "packages_missing",
            RestoreError::Replay(error) => error.code(),
            RestoreError::Open(error) => error.code(),
            RestoreError::Replication(error) => error.code(),
            RestoreError::NotConfirmed(_) => "not_confirmed",
        }
    }
}

impl From<std::io::Error> for RestoreError {
    fn from(error: std::io::Error) -> RestoreError {
        RestoreError::Replication(error.into())
    }
}

/// A storage node that answered.
pub(super) struct Source {
    member: Member,
    pub(super) connection: Connection,
    pub(super) status: NodeStatus,
}

/// What a history says of itself.
pub(super) struct Fetched {
    head: Head,
    pub(super) name: String,
    network: NetworkId,
    pub(super) last_checkpoint: u64,
    last_ms: u64,
}

/// Restores a node and opens it once, so that a majority promises its epoch; `tell` hears how far it is: records here
/// and records in all.
///
/// # Errors
/// [`RestoreError`]; with [`RestoreError::NotConfirmed`] the directory is complete all the same.
pub async fn restore(config: RestoreConfig, tell: impl Fn(u64, u64)) -> Result<RestoreReport, RestoreError> {
    let begun = Instant::now();
    let data = config.node.data.clone();
    if data.join("log").exists() {
        return Err(RestoreError::DataExists(data));
    }
    let key = document::read_key(&config.key)?;
    let core = PublicKey { suite: key.suite(), bytes: key.public_key().to_vec() };
    let transport =
        TransportKey::ml_dsa_65(&key).map_err(|error| ReplicationError::Key(error.to_string()))?;
    // The node's own port is for the replication that comes after.
    let asking = SocketAddr::new(config.replication.listen.ip(), 0);
    let endpoint = Endpoint::bind(asking, &transport, Pins::new(), config.replication.link.clone())
        .map_err(ReplicationError::from)?;
    let (sources, mut asked) = ask_everybody(&endpoint, &config.from, &core).await?;
    let claimed = sources.iter().map(|source| source.status.head.position).max().unwrap_or(0);
    let (held, sources) = rank(sources, &core, config.force).map_err(|error| match error {
        RestoreError::NoHistory(_) => no_history(&asked),
        other => other,
    })?;

    let mut chosen = None;
    for source in &sources {
        let log = data.join("log");
        match fetch_log(source, &log, &core, &tell).await {
            Ok(fetched) => {
                chosen = Some((source, fetched));
                break;
            }
            Err(why) => {
                std::fs::remove_dir_all(&log).or_else(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })?;
                note(&mut asked, source.member.node(), why);
            }
        }
    }
    let Some((source, fetched)) = chosen else { return Err(no_history(&asked)) };
    let found = fetch_packages(&config.node, source, &sources).await?;
    let fetch_ms = millis(begun);

    document::write_key(&data.join("node.key"), &key)?;
    pass_over(&data.join("node.last-signed"), fetched.last_checkpoint.saturating_add(CHECKPOINT_GAP))?;
    let replaying = Instant::now();
    let node_config = config.node.clone();
    let replayed = tokio::task::spawn_blocking(move || replay::verify(&node_config)).await;
    let replayed = replayed.map_err(|error| ReplicationError::Key(error.to_string()))??;
    let replay_ms = millis(replaying);

    let from = Digest(source.member.node().0);
    let topology = next_topology(&data, fetched.network, &core, &held, &sources, source)?;
    endpoint.close().await;
    drop(endpoint);
    let epoch = topology.topology.epoch();
    let (position, log_digest) = confirm(&config, epoch).await?;
    Ok(RestoreReport {
        network: fetched.network,
        network_name: fetched.name,
        from,
        asked,
        position,
        log_digest,
        transitions: replayed.transitions,
        packages: found,
        epoch,
        rpo_records: claimed.saturating_sub(position),
        rpo_ms: (claimed <= position).then_some(0),
        last_ms: fetched.last_ms,
        fetch_ms,
        replay_ms,
        rto_ms: millis(begun),
    })
}

/// Begins the record of what a key has signed whose own record is lost: everything up to `epoch`.
pub(super) fn pass_over(record: &Path, epoch: u64) -> Result<(), ReplicationError> {
    Ok(LastSigned::create(record)?.claim(epoch, [0; 32])?)
}

fn no_history(asked: &[Asked]) -> RestoreError {
    let words = asked
        .iter()
        .map(|one| format!("{}: {}", one.address, one.trouble.as_deref().unwrap_or("nothing there")));
    RestoreError::NoHistory(words.collect::<Vec<_>>().join("; "))
}

/// The topology that counts, and those who answered, best first.
fn rank(
    sources: Vec<Source>,
    core: &PublicKey,
    force: bool,
) -> Result<(SignedTopology, Vec<Source>), RestoreError> {
    let nobody = || RestoreError::NoHistory(String::new());
    let network = sources.iter().find_map(|source| source.status.network).ok_or_else(nobody)?;
    let mut asking = Restore::new(network, core.clone());
    for source in &sources {
        // Verified when it came; a node of another network does not count.
        let _ = asking.handle_status(source.member.node(), source.status.clone(), &Verifier::new());
    }
    let (topology, order) = match asking.readiness() {
        Readiness::Ready { topology, sources, .. } => (topology, sources),
        Readiness::Waiting { needed, primary_silent: primary, .. } if !force => {
            return Err(RestoreError::TooFewAnswers { needed, primary });
        }
        Readiness::NoTopology => return Err(nobody()),
        Readiness::Waiting { .. } => {
            let promised = sources.iter().filter_map(|source| source.status.promise.as_ref());
            let highest = promised.map(|held| &held.topology).max_by_key(|held| held.topology.epoch());
            let mut order: Vec<_> =
                sources.iter().map(|source| (source.member.node(), source.status.head)).collect();
            order.sort_by_key(|(_, head)| std::cmp::Reverse(head.position));
            (highest.ok_or_else(nobody)?.clone(), order)
        }
    };
    let place = |source: &Source| order.iter().position(|(node, _)| *node == source.member.node());
    let mut ranked: Vec<Source> = sources.into_iter().filter(|source| place(source).is_some()).collect();
    ranked.sort_by_key(|source| place(source));
    Ok((topology, ranked))
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn note(asked: &mut [Asked], node: NodeId, why: String) {
    tracing::warn!(%node, why, "a storage node's history was not taken");
    if let Some(one) = asked.iter_mut().find(|one| one.node.0 == node.0) {
        one.trouble = Some(why);
    }
}

/// Asks those who are known, and everybody whom the topologies that they promised name.
pub(super) async fn ask_everybody(
    endpoint: &Endpoint,
    from: &[KnownPeer],
    core: &PublicKey,
) -> Result<(Vec<Source>, Vec<Asked>), RestoreError> {
    let mut open: Vec<Member> = Vec::new();
    for one in from {
        open.push(Member::new(one.key.clone(), one.address.clone()).map_err(ReplicationError::from)?);
    }
    let (mut sources, mut asked) = (Vec::new(), BTreeMap::<NodeId, Asked>::new());
    while let Some(member) = open.pop() {
        if asked.contains_key(&member.node()) {
            continue;
        }
        let node = Digest(member.node().0);
        let mut told = Asked { node, address: member.address().to_owned(), position: None, trouble: None };
        match ask_one(endpoint, &member, core).await {
            Ok((connection, status)) => {
                told.position = Some(status.head.position);
                let promised = status.promise.iter().flat_map(|held| held.topology.topology.members());
                open.extend(promised.cloned());
                sources.push(Source { member: member.clone(), connection, status });
            }
            Err(why) => told.trouble = Some(why),
        }
        asked.insert(member.node(), told);
    }
    Ok((sources, asked.into_values().collect()))
}

async fn ask_one(
    endpoint: &Endpoint,
    member: &Member,
    core: &PublicKey,
) -> Result<(Connection, NodeStatus), String> {
    endpoint.pins().allow(member.key()).map_err(|error| error.to_string())?;
    let address = resolve(member.address()).await?;
    let connection = endpoint.connect(address, Digest(member.node().0)).await;
    let connection = connection.map_err(|error| error.to_string())?;
    let status = match ask(&connection, Query::Status).await.map_err(|error| error.to_string())? {
        Answer::Status(status) => status,
        other => return Err(format!("it answered {}", word(&other))),
    };
    let network = status.network.ok_or("it belongs to no network yet")?;
    if let Some(promise) = &status.promise {
        let genuine = promise.topology.verify(network, core, &Verifier::new());
        genuine.map_err(|error| format!("the topology that it holds: {error}"))?;
    }
    Ok((connection, status))
}

/// Fetches a whole history into `folder`; its chain must lead from this key's genesis to the head that was claimed.
async fn fetch_log(
    source: &Source,
    folder: &Path,
    core: &PublicKey,
    tell: &impl Fn(u64, u64),
) -> Result<Fetched, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let claimed = source.status.head;
    if source.status.first > 1 {
        return Err(format!("it keeps records from {} on only", source.status.first));
    }
    if claimed.position == 0 {
        return Err("its log is empty".into());
    }
    let disk = offline::folder(folder).map_err(|error| text(&error))?;
    let mut salt = [0; 4];
    dsm_crypto::fill_random(&mut salt).map_err(|error| text(&error))?;
    let (log, _) = Log::open(disk, LogConfig::new(u32::from_le_bytes(salt))).map_err(|error| text(&error))?;
    let mut reached = Head::EMPTY;
    let mut fetched = None;
    while reached.position < claimed.position {
        let query = Query::Records { from: reached.position + 1, bytes_max: CHUNK_BYTES };
        let mut records = match ask(&source.connection, query).await.map_err(|error| text(&error))? {
            Answer::Records(records) if !records.is_empty() => records,
            other => return Err(format!("it answered {} for records", word(&other))),
        };
        let left = claimed.position - reached.position;
        records.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let next = reached.after_all(&records).ok_or("positions are used up")?;
        for (position, record) in (reached.position + 1..).zip(&records) {
            let entry = offline::decode_entry(position, &record.payload).map_err(|error| text(&error))?;
            learn(&mut fetched, entry, core)?;
            log.append(record.kind, &record.payload).map_err(|error| text(&error))?;
        }
        log.sync().map_err(|error| text(&error))?;
        reached = next;
        tell(reached.position, claimed.position);
    }
    if reached != claimed {
        return Err(format!("its records lead to {}, not to {}", reached.digest, claimed.digest));
    }
    let mut fetched = fetched.ok_or("its log is empty")?;
    fetched.head = reached;
    if Some(fetched.network) != source.status.network {
        return Err("its log is of another network".into());
    }
    Ok(fetched)
}

/// What the records say of themselves; the replay will check it.
pub(super) fn learn(fetched: &mut Option<Fetched>, entry: Entry, core: &PublicKey) -> Result<(), String> {
    match (entry, fetched.as_mut()) {
        (Entry::Genesis(genesis), None) if genesis.node == *core => {
            *fetched = Some(Fetched {
                head: Head::EMPTY,
                network: genesis.network(),
                name: genesis.name,
                last_checkpoint: 0,
                last_ms: genesis.created_ms,
            });
            Ok(())
        }
        (Entry::Genesis(_), _) | (_, None) => Err("its log does not begin with this key's genesis".into()),
        (Entry::Accepted(accepted), Some(fetched)) => {
            fetched.last_ms = accepted.time_ms;
            Ok(())
        }
        (Entry::Checkpoint(signed), Some(fetched)) => {
            fetched.last_checkpoint = fetched.last_checkpoint.max(signed.checkpoint.epoch);
            Ok(())
        }
        (Entry::Equivocation(_), Some(_)) => Ok(()),
    }
}

/// Fetches the packages of all published policies, from whoever has them.
async fn fetch_packages(
    config: &NodeConfig,
    best: &Source,
    sources: &[Source],
) -> Result<usize, RestoreError> {
    let shelf = {
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || offline::shelf(&config)).await;
        Arc::new(opened.map_err(|error| ReplicationError::Key(error.to_string()))??)
    };
    let others = sources.iter().filter(|source| source.member.node() != best.member.node());
    let order = std::iter::once(best).chain(others);
    let connections = order.map(|source| (source.member.node(), source.connection.clone())).collect();
    let searched = packages::search(&shelf, connections).await;
    match shelf.missing().len() {
        0 => Ok(searched.found.len()),
        missing => Err(RestoreError::PackagesMissing(missing)),
    }
}

/// Signs the topology that fences what is left of the old node, above every epoch that anybody promised.
fn next_topology(
    data: &Path,
    network: NetworkId,
    core: &PublicKey,
    held: &SignedTopology,
    sources: &[Source],
    best: &Source,
) -> Result<SignedTopology, RestoreError> {
    document::adopt(data, held)?;
    let mut documents = Documents::open(data, network, core)?;
    let answered = |node: NodeId| sources.iter().any(|source| source.member.node() == node);
    let primary = match held.topology.primary() {
        primary if answered(primary) => primary,
        _ => best.member.node(),
    };
    let promised = sources.iter().filter_map(|source| source.status.promise.as_ref());
    let highest = promised.map(|promise| promise.topology.topology.epoch()).max().unwrap_or(0);
    let above = highest.max(held.topology.epoch()) + TOPOLOGY_GAP;
    Ok(documents.follow(primary, held.topology.members().to_vec(), above, false)?)
}

/// Opens the node once and waits until a majority has promised its epoch and nobody is ahead; where its log ends then.
async fn confirm(config: &RestoreConfig, epoch: u64) -> Result<(u64, Digest), RestoreError> {
    let node_config = config.node.clone();
    let opened = tokio::task::spawn_blocking(move || Node::open(node_config)).await;
    let node = opened.map_err(|error| ReplicationError::Key(error.to_string()))??;
    let replication = Replication::start(&node, config.replication.clone())?;
    let confirmed = tokio::time::timeout(PROMISE_TIME, replication.confirmed()).await;
    let (position, digest) = node.log().durable();
    replication.close().await;
    let closed = tokio::task::spawn_blocking(move || node.close()).await;
    match (confirmed, closed) {
        (Err(_), _) => Err(RestoreError::NotConfirmed(epoch)),
        (Ok(Err(error)), _) => Err(error.into()),
        (Ok(Ok(())), Ok(Ok(()))) => Ok((position, Digest(digest))),
        (Ok(Ok(())), Ok(Err(error))) => Err(ReplicationError::from(error).into()),
        (Ok(Ok(())), Err(error)) => Err(ReplicationError::Key(error.to_string()).into()),
    }
}
