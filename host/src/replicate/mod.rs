//! The leader's shell: ships the node's log to its storage nodes and keeps the topology.
//!
//! What is decided is decided in `dsm_proto::Leader`; here are one task for each storage node (`peer`), one event
//! loop (`shell`) that reads the log and signs topologies, and the handle by which the API and the command line order
//! changes. The threads of the node know nothing of it: they read [`crate::node::Replicas`].
//!
//! Left out on purpose: QUIC itself (`dsm-link`), any judgement of what a level means (`node/replicas`).

mod backup;
mod document;
mod fetch;
mod packages;
mod peer;
mod repair;
mod restore;
mod serve;
mod shell;
mod view;

pub(crate) use view::State;

pub use backup::{Rehearsed, RestoreBackupConfig, RestoredBackup, rehearse_backup, restore_backup};
pub use repair::{RepairConfig, RepairFailed, RepairReport, repair};
pub use restore::{RestoreConfig, RestoreError, RestoreReport, restore};

use crate::node::{Node, NodeError, Standing};
use document::Documents;
use dsm_abi::Digest;
use dsm_link::{ConnectError, Endpoint, LinkConfig, Pins, TransportKey};
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::{Member, NodeId, SwitchError, TopologyError, limit};
use dsm_sdk::api::{ChangedTopology, MatrixView, ReplicationView, TopologyView};
use parking_lot::{Mutex, RwLock};
use shell::{Change, Event, Order};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Events that wait for the loop: frames of all storage nodes together, each of bounded length.
const EVENTS_MAX: usize = 64;
/// How long a change of the topology may take until the storage nodes have promised it.
const CHANGE_TIME: Duration = Duration::from_secs(25);
/// How long one storage node may take to answer for the matrix.
const MATRIX_TIME: Duration = Duration::from_secs(10);

/// A storage node that is known by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// Host and port.
    pub address: String,
    /// Its raw ML-DSA-65 public key.
    pub key: Vec<u8>,
}

/// What replication is told before it starts.
#[derive(Debug, Clone)]
pub struct ReplicationConfig {
    /// The node's data directory, which holds its key and the topology.
    pub data: PathBuf,
    /// Where to open the QUIC socket; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Storage nodes that may be added by their address alone.
    pub known: Vec<KnownPeer>,
    /// The storage nodes of a first topology, the primary first; ignored once there is a topology.
    pub first: Vec<KnownPeer>,
    /// How long the node waits for its storage nodes before it writes without having heard from them; `None` waits
    /// for ever. A restored node always does.
    pub lead_wait: Option<Duration>,
    /// A primary that was silent for so long is replaced, with three storage nodes or more; `None` never.
    pub failover: Option<Duration>,
    /// Limits and times of connections.
    pub link: LinkConfig,
}

impl ReplicationConfig {
    /// The defaults for a node in `data`.
    pub fn new(data: impl Into<PathBuf>) -> ReplicationConfig {
        ReplicationConfig {
            data: data.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            known: Vec::new(),
            first: Vec::new(),
            lead_wait: Some(Duration::from_secs(10)),
            failover: Some(Duration::from_secs(2)),
            link: LinkConfig { frame_bytes_max: limit::FRAME_BYTES_MAX as u32, ..LinkConfig::default() },
        }
    }
}

/// Why replication does not start, or a change of the topology is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// No storage node of this key is known: give its key, or name one of the topology.
    #[error("{0} is not a known key")]
    UnknownKey(String),
    /// Another key answers at the address.
    #[error("{address} answers with another key than the one given")]
    OtherKey {
        /// The address.
        address: String,
    },
    /// The storage node is a member already.
    #[error("storage node {0} is a member already")]
    PeerExists(Digest),
    /// The storage node does not answer, or is not fit to be a member.
    #[error("{address}: {reason}")]
    PeerUnfit {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
    /// The document would break a rule of topologies.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The new primary lacks records that were acknowledged with the old one.
    #[error("the candidate has not reached position {0}, which was acknowledged")]
    NotCaughtUp(u64),
    /// Too few members have promised the topology in force for another change.
    #[error("only {promised} of {needed} storage nodes have promised the topology in force")]
    NotEstablished {
        /// Members that promised.
        promised: usize,
        /// Members that have to, the primary among them.
        needed: usize,
    },
    /// Another node writes this history.
    #[error("the storage nodes have promised epoch {0} to another node")]
    Fenced(u64),
    /// The storage nodes have not promised the change in time. It stands, and they will when they are reached.
    #[error("epoch {0} stands, but the storage nodes have not promised it in time")]
    NotPromised(u64),
    /// A promotion was replaced by another, or did not come about in time.
    #[error("the promotion did not come about: {0}")]
    NotPromoted(String),
    /// The node has no replication, or it has ended.
    #[error("this node does not replicate")]
    Off,
    /// All epochs are used up.
    #[error("all epochs are used up")]
    Epochs,
    /// The node's key or its record of signed epochs cannot be used.
    #[error("the node's key: {0}")]
    Key(String),
    /// A topology file is damaged or not signed by this network's node.
    #[error("{0} is not a topology signed by this node's key")]
    Document(PathBuf),
    /// The QUIC socket cannot be opened.
    #[error("QUIC: {0}")]
    Bind(#[from] dsm_link::BindError),
    /// A file cannot be read or written.
    #[error("a topology file: {0}")]
    Io(#[from] std::io::Error),
}

impl ReplicationError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ReplicationError::UnknownKey(_) | ReplicationError::OtherKey { .. } => "unknown_key",
            ReplicationError::PeerExists(_) => "peer_exists",
            ReplicationError::PeerUnfit { .. } => "peer_unfit",
            ReplicationError::Topology(_) | ReplicationError::Epochs => "topology_refused",
            ReplicationError::NotCaughtUp(_) => "not_caught_up",
            ReplicationError::NotEstablished { .. } => "not_established",
            ReplicationError::Fenced(_) => "fenced",
            ReplicationError::NotPromised(_) => "not_promised",
            ReplicationError::NotPromoted(_) => "not_promoted",
            ReplicationError::Off => "no_replication",
            ReplicationError::Key(_) => "node_key",
            ReplicationError::Document(_) | ReplicationError::Io(_) => "topology_damaged",
            ReplicationError::Bind(_) => "p2p",
        }
    }
}

impl From<SwitchError> for ReplicationError {
    fn from(error: SwitchError) -> ReplicationError {
        match error {
            SwitchError::Topology(error) => ReplicationError::Topology(error),
            SwitchError::NotCaughtUp { granted } => ReplicationError::NotCaughtUp(granted),
            SwitchError::Fenced(epoch) => ReplicationError::Fenced(epoch),
            SwitchError::NotEstablished { promised, needed } => {
                ReplicationError::NotEstablished { promised, needed }
            }
            SwitchError::NotAMember => {
                ReplicationError::UnknownKey("a storage node that is no member".into())
            }
        }
    }
}

/// Running replication. Clones share it; it ends with [`Replication::close`].
#[derive(Clone)]
pub struct Replication(Arc<Running>);

struct Running {
    /// Let go of when this is closed: the node holds this, too.
    node: RwLock<Option<Node>>,
    shell: Mutex<Option<JoinHandle<()>>>,
    endpoint: Endpoint,
    listen: SocketAddr,
    known: Vec<KnownPeer>,
    key: Vec<u8>,
    events: mpsc::Sender<Event>,
    state: watch::Receiver<view::State>,
}

impl Replication {
    /// Opens the socket and the topology, and begins to ship. To be called within a tokio runtime, whose end ends it.
    ///
    /// # Errors
    /// [`ReplicationError`], with the reason.
    pub fn start(node: &Node, config: ReplicationConfig) -> Result<Replication, ReplicationError> {
        let core = node.genesis().node.clone();
        let mut documents = Documents::open(&config.data, node.network(), &core)?;
        let transport = TransportKey::ml_dsa_65(documents.key());
        let transport = transport.map_err(|error| ReplicationError::Key(error.to_string()))?;
        let pins = Pins::new();
        let endpoint = Endpoint::bind(config.listen, &transport, pins, config.link.clone())?;
        if documents.current().is_none() && !config.first.is_empty() {
            let members = config.first.iter().map(|one| Member::new(one.key.clone(), one.address.clone()));
            let members = members.collect::<Result<Vec<_>, _>>()?;
            documents.follow(members[0].node(), members, 0, false)?;
        }
        let (events, arriving) = mpsc::channel(EVENTS_MAX);
        let (publish, state) = watch::channel(view::State::default());
        let running = Running {
            node: RwLock::new(Some(node.clone())),
            shell: Mutex::new(None),
            listen: endpoint.local_addr()?,
            endpoint: endpoint.clone(),
            known: [config.known.clone(), config.first.clone()].concat(),
            key: transport.public_key().to_vec(),
            events: events.clone(),
            state,
        };
        let shell = shell::Shell::new(node.clone(), config, documents, endpoint, events, publish);
        *running.shell.lock() = Some(tokio::spawn(shell.run(arriving)));
        let replication = Replication(Arc::new(running));
        node.attach(Some(replication.clone()));
        Ok(replication)
    }

    /// Where the node listens for storage nodes.
    pub fn listen(&self) -> SocketAddr {
        self.0.listen
    }

    /// The node's ML-DSA-65 public key, which storage nodes pin.
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// Replication in short; `None` once it is closed.
    pub fn view(&self) -> Option<ReplicationView> {
        let node = self.node()?;
        Some(self.0.state.borrow().view(standing_word(node.replicas().standing()), node.default_durability()))
    }

    fn node(&self) -> Option<Node> {
        self.0.node.read().clone()
    }

    /// Tells of every change of what [`Replication::view`] shows.
    pub(crate) fn watch(&self) -> watch::Receiver<view::State> {
        self.0.state.clone()
    }

    /// What is counted.
    pub(crate) fn counts(&self) -> (view::Counts, dsm_link::LinkMetrics) {
        (self.0.state.borrow().counts.clone(), self.0.endpoint.metrics())
    }

    /// The topology in force, with how far everybody is.
    ///
    /// # Errors
    /// [`ReplicationError::Off`].
    pub fn topology(&self) -> Result<TopologyView, ReplicationError> {
        let node = self.node().ok_or(ReplicationError::Off)?;
        let view = self.view().ok_or(ReplicationError::Off)?;
        let signed = self.0.state.borrow().topology.as_ref().map(dsm_abi::encode);
        Ok(TopologyView {
            network: node.network(),
            node: self.0.endpoint.node(),
            key: dsm_sdk::api::Hex(self.0.key.clone()),
            listen: self.0.listen.to_string(),
            standing: view.standing,
            durability: view.durability,
            epoch: view.epoch,
            primary: view.primary,
            position: node.log().durable().0,
            members: view.members,
            signed: signed.map(dsm_sdk::api::Hex),
        })
    }

    /// Asks every storage node where it stands.
    ///
    /// # Errors
    /// [`ReplicationError::Off`].
    pub async fn matrix(&self) -> Result<MatrixView, ReplicationError> {
        let own = self.node().ok_or(ReplicationError::Off)?;
        let (position, digest) = own.log().durable();
        let topology = self.0.state.borrow().topology.clone();
        let members = topology.iter().flat_map(|signed| signed.topology.members().to_vec());
        let primary = topology.as_ref().map(|signed| signed.topology.primary());
        let asked: Vec<_> = members
            .map(|member| {
                let (endpoint, node) = (self.0.endpoint.clone(), own.clone());
                let line = self.0.state.borrow().lines.get(&member.node()).cloned().unwrap_or_default();
                let is_primary = Some(member.node()) == primary;
                tokio::spawn(async move {
                    view::reach(&endpoint, line.connection, &node, member, is_primary, MATRIX_TIME).await
                })
            })
            .collect();
        let mut rows = Vec::with_capacity(asked.len());
        for row in asked {
            rows.extend(row.await.ok());
        }
        let epoch = topology.map_or(0, |signed| signed.topology.epoch());
        Ok(MatrixView { node: self.0.endpoint.node(), epoch, position, digest: Digest(digest), rows })
    }

    /// Adds a storage node, after it has proved the key and answered that it may belong to this network.
    ///
    /// # Errors
    /// [`ReplicationError`].
    pub async fn add(
        &self,
        address: &str,
        key: Option<Vec<u8>>,
    ) -> Result<ChangedTopology, ReplicationError> {
        let known = || self.0.known.iter().find(|one| one.address == address).map(|one| one.key.clone());
        let key = key.or_else(known);
        let key = key.ok_or_else(|| ReplicationError::UnknownKey(format!("the key of {address}")))?;
        let member = Member::new(key, address.to_owned())?;
        let node = Digest(member.node().0);
        if self.is_member(member.node()) {
            return Err(ReplicationError::PeerExists(node));
        }
        let pins = self.0.endpoint.pins();
        pins.allow(member.key()).map_err(|error| ReplicationError::Key(error.to_string()))?;
        let added = match self.introduce(&member).await {
            Ok(()) => self.change(Change::Add(member)).await,
            Err(error) => Err(error),
        };
        if !self.is_member(NodeId(node.0)) && !matches!(added, Ok(_) | Err(ReplicationError::NotPromised(_)))
        {
            pins.forget(&node);
        }
        added
    }

    fn is_member(&self, node: NodeId) -> bool {
        let state = self.0.state.borrow();
        state.topology.as_ref().is_some_and(|signed| signed.topology.member(node).is_some())
    }

    /// Meets a storage node before it becomes a member.
    async fn introduce(&self, member: &Member) -> Result<(), ReplicationError> {
        let address = member.address().to_owned();
        let unfit = |reason: String| ReplicationError::PeerUnfit { address: address.clone(), reason };
        let found = peer::resolve(&address).await.map_err(&unfit)?;
        let connection = self.0.endpoint.connect(found, Digest(member.node().0)).await;
        let connection = connection.map_err(|error| match error {
            ConnectError::WrongKey(_) => ReplicationError::OtherKey { address: address.clone() },
            other => unfit(other.to_string()),
        })?;
        let answer = fetch::ask(&connection, Query::Status).await;
        let network = self.node().ok_or(ReplicationError::Off)?.network();
        match answer.map_err(|error| unfit(error.to_string()))? {
            Answer::Status(status) if status.network.is_none_or(|one| one == network) => Ok(()),
            Answer::Status(_) => Err(unfit("it belongs to another network".into())),
            other => Err(unfit(format!("it answered {}", fetch::word(&other)))),
        }
    }

    /// Removes a storage node, which is not the primary. By force also one that is, and when too few answer: by the
    /// operator's word that no other core node writes this history.
    ///
    /// # Errors
    /// [`ReplicationError`].
    pub async fn remove(&self, node: Digest, force: bool) -> Result<ChangedTopology, ReplicationError> {
        self.change(Change::Remove(NodeId(node.0), force)).await
    }

    /// Makes a storage node the primary as soon as it holds everything that was acknowledged; by force at once.
    ///
    /// # Errors
    /// [`ReplicationError`].
    pub async fn promote(&self, node: Digest, force: bool) -> Result<ChangedTopology, ReplicationError> {
        self.change(Change::Promote(NodeId(node.0), force)).await
    }

    async fn change(&self, change: Change) -> Result<ChangedTopology, ReplicationError> {
        let (reply, answer) = oneshot::channel();
        let order = Order { change, reply, deadline: tokio::time::Instant::now() + CHANGE_TIME };
        self.0.events.send(Event::Order(order)).await.map_err(|_| ReplicationError::Off)?;
        answer.await.map_err(|_| ReplicationError::Off)?
    }

    /// Waits until the node leads in an epoch that its storage nodes have promised.
    ///
    /// # Errors
    /// [`ReplicationError::Fenced`], [`ReplicationError::Off`].
    pub async fn confirmed(&self) -> Result<(), ReplicationError> {
        let mut state = self.0.state.clone();
        let done = |state: &view::State| state.confirmed || state.fenced.is_some();
        let state = state.wait_for(done).await.map_err(|_| ReplicationError::Off)?;
        state.fenced.map_or(Ok(()), |epoch| Err(ReplicationError::Fenced(epoch)))
    }

    /// Ships nothing more, closes the connections and lets go of the node.
    pub async fn close(&self) {
        // The loop may have ended already.
        drop(self.0.events.send(Event::Close).await);
        let shell = self.0.shell.lock().take();
        if let Some(shell) = shell {
            // It panicked, or it ended.
            drop(shell.await);
        }
        self.0.endpoint.close().await;
        if let Some(node) = self.0.node.write().take() {
            node.attach(None);
        }
    }
}

/// The word for a standing.
pub(crate) fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Leading => "leading",
        Standing::Waiting => "waiting",
        Standing::Behind { .. } => "behind",
        Standing::Fenced { .. } => "fenced",
    }
}

impl From<NodeError> for ReplicationError {
    fn from(error: NodeError) -> ReplicationError {
        ReplicationError::Key(error.to_string())
    }
}
