//! A running node: one event loop around the protocol's follower, and the tasks and threads that feed it.

use crate::authors::{Authors, transport_half};
use crate::config::{StorageConfig, Upkeep};
use crate::disks::{self, Disks};
use crate::handle::{Handle, Shared, describe};
use crate::keeper::{Done, Job, Keeping, Note, Stages, State as KeeperState};
use crate::mend::{Mender, NotReady, Prepared, prepare};
use crate::metrics::Metrics;
use crate::peers::{Outgoing, Peers, blocking};
use crate::small::{self, Journal};
use crate::status::{EvidenceView, ScrubView, Status};
use crate::vault::Vault;
use crate::{OpenError, TOPOLOGY_FILE, http, identity};
use dsm_abi::{Digest, Suite, decode};
use dsm_core::{PublicKey, SignedCheckpoint};
use dsm_crypto::{SecretKey, Signer as _, Verifier};
use dsm_link::{BindError, Endpoint, LinkConfig, Pins, TransportKey};
use dsm_proto::{
    Ack, AppendFailure, ConnectionId, Follower, FollowerConfig, FollowerOutput, Frame, Head, Micros, NodeId,
    Promise, Refusal, limit,
};
use dsm_store::{Disk, LogConfig};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Frames of one stream that wait for the event loop.
pub(crate) const FRAMES_WAITING_MAX: usize = 4;
/// Pieces of evidence kept; more would only repeat the point.
const EVIDENCE_PIECES_MAX: usize = 256;
/// Bytes of a kept topology with the core node's key.
const TOPOLOGY_BYTES_MAX: usize = 256 * 1024;
/// How long a node that ends waits for what is on its way: to the disk, then to its peers.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two looks at whether the directory has been let go.
const RELEASE_POLL: Duration = Duration::from_millis(2);
/// Tries to find a port that is free for QUIC and for HTTP.
const PORT_TRIES: usize = 16;
/// Scrubs that wait for the one that runs.
const SCRUBS_MAX: usize = 8;

/// Everything that can happen to a running node.
pub(crate) enum Event {
    /// The core node opened a replication stream.
    Opened { connection: ConnectionId, outgoing: mpsc::Sender<Outgoing> },
    /// A frame came on it; `_place` is given back when the frame has been handled.
    Frame { connection: ConnectionId, frame: Box<Frame>, _place: OwnedSemaphorePermit },
    /// The stream is gone.
    Gone { connection: ConnectionId },
    /// The keeper is done with something.
    Done(Done),
    /// Something that was durable is damaged.
    Damaged,
    /// Take nothing new, finish, end.
    Drain,
    /// What is durable is unknown.
    Failed(String),
}

/// How a node ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Asked,
    /// What is durable is unknown; it has to be opened again.
    Failed(String),
}

/// A running storage node. Dropping it ends it as a crash would; [`StorageNode::close`] ends it in order.
pub struct StorageNode {
    handle: Handle,
    address: SocketAddr,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl StorageNode {
    /// Opens a node and starts it on the current tokio runtime. If its log is damaged, it starts all the same, repairs
    /// it from other members, and acknowledges nothing until then.
    ///
    /// # Errors
    /// [`OpenError`], with the reason.
    pub async fn open(config: StorageConfig) -> Result<StorageNode, OpenError> {
        let disks = Disks::open(&config.storage)?;
        let key = identity::open_or_create(&disks.key)?;
        let kept = kept_promise(disks.state.as_ref())?;
        let core = match (&kept, config.core_key.clone()) {
            (Some((_, kept)), Some(given)) if *kept != given => return Err(OpenError::OtherCoreKey),
            (Some((_, kept)), _) => kept.clone(),
            (None, Some(given)) => given,
            (None, None) => return Err(OpenError::NoCoreKey),
        };
        let promise = kept.map(|(promise, _)| promise);
        let verifier = if config.accept_dilithium3 { Verifier::accepting_legacy() } else { Verifier::new() };
        if let Some(held) = &promise {
            let topology = &held.topology;
            let checked = topology.verify(topology.topology.network(), &core, &verifier);
            checked.map_err(|error| OpenError::Topology(error.to_string()))?;
        }
        let (endpoint, listener) = bind(&config, &key, &core, promise.as_ref()).await?;
        let address = endpoint.local_addr().map_err(|error| listen_error(&config, &error))?;
        let one_thread = config.one_thread;
        let (log_disk, blob_disk) = (Arc::clone(&disks.log), Arc::clone(&disks.blobs));
        let opened = blocking(one_thread, move || Vault::open(log_disk, blob_disk, verifier)).await;
        let (vault, damaged_blobs) = opened.ok_or(OpenError::Thread("interrupted".into()))??;
        let (journal, evidence) = Journal::open(disks.state.as_ref(), EVIDENCE_PIECES_MAX)
            .map_err(|source| OpenError::Disk { path: "state".into(), source })?;
        let (events, received) = mpsc::unbounded_channel();
        let (scrubs, scrubs_asked) = mpsc::channel(SCRUBS_MAX);
        let transport = transport_half(&core).ok_or(OpenError::NoCoreKey)?.to_vec();
        let shared = Arc::new(Shared {
            node: NodeId::of(key.public_key()),
            public_key: PublicKey { suite: Suite::MlDsa65, bytes: key.public_key().to_vec() },
            core: NodeId::of(&transport),
            upkeep: watch::Sender::new(config.upkeep),
            log_config: LogConfig { segment_bytes: config.segment_bytes, ..disks::log_config()? },
            vault,
            endpoint,
            metrics: Metrics::default(),
            keeper: KeeperState::default(),
            promise: RwLock::new(promise.map(Arc::new)),
            evidence: RwLock::new(evidence),
            core_head: AtomicU64::new(0),
            core_connected: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            damaged: watch::Sender::new(false),
            ended: watch::Sender::new(None),
            scrub: Mutex::new(None),
            faults: Mutex::default(),
            wanted: Notify::new(),
            suspicion: Notify::new(),
            events,
            scrubs,
            started: std::time::Instant::now(),
        });
        let network = shared.promise.read().as_ref().map(|promise| promise.topology.topology.network());
        let threads = if one_thread { 1 } else { config.verifiers };
        let older = Arc::clone(&disks.keys);
        let authors = move || {
            let mut authors = Authors::new(verifier, threads, Some(transport.clone()), Arc::clone(&older));
            if let Some(network) = network {
                authors.trust(network);
            }
            authors
        };
        let (first_try, first_authors) = (Arc::clone(&shared), authors());
        let prepared = blocking(one_thread, move || prepare(&first_try, first_authors, u64::MAX)).await;
        let prepared = match prepared.ok_or(OpenError::Thread("interrupted".into()))? {
            Ok(prepared) if damaged_blobs.is_empty() => Some(prepared),
            // Opened again once everything is whole.
            Ok(_) => None,
            Err(NotReady::Damaged(error)) => {
                tracing::warn!(%error, "the log is damaged: it is repaired from others before anything is served");
                None
            }
            Err(NotReady::Failed(error)) => return Err(error),
        };
        let handle = Handle(Arc::clone(&shared));
        let tasks: Arc<Mutex<JoinSet<()>>> = Arc::default();
        let node = StorageNode { handle: handle.clone(), address, tasks: Arc::clone(&tasks) };
        let (stopping, stopped) = watch::channel(false);
        if let Some(listener) = listener {
            tasks.lock().spawn(http::serve(handle, listener, stopped));
        }
        let running = Running {
            peers: Peers::new(Arc::clone(&shared), one_thread),
            shared,
            config,
            core,
            key,
            verifier,
            disks,
            journal,
            received,
            scrubs_asked,
            stopping,
        };
        running.shared.damage(prepared.is_none());
        tasks.lock().spawn(running.run(prepared, authors, damaged_blobs));
        Ok(node)
    }

    /// Where the node listens: QUIC, and HTTP on the TCP port of the same number.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The node's id.
    pub fn node(&self) -> NodeId {
        self.handle.node
    }

    /// The node's public key, which the topology names.
    pub fn public_key(&self) -> &PublicKey {
        &self.handle.0.public_key
    }

    /// How the node is.
    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// What it holds against its peers.
    pub fn evidence(&self) -> Vec<EvidenceView> {
        self.handle.evidence()
    }

    /// The counters as OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.handle.metrics_page()
    }

    /// Writes the canonical archive of everything durable now, while the node goes on.
    ///
    /// # Errors
    /// What the log or `out` says. What was written until then is no archive.
    pub fn write_archive(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        self.handle.write_archive(out)
    }

    /// Hashes everything again, and repairs from other members what is damaged.
    ///
    /// # Errors
    /// In words, if the device cannot be read or the node has ended.
    pub async fn scrub(&self) -> Result<ScrubView, String> {
        self.handle.scrub().await
    }

    /// Has the node do by itself what this says from now on: records that are older than the new retention go at once,
    /// and intervals count from when the last run ended.
    pub fn set_upkeep(&self, upkeep: Upkeep) {
        self.handle.upkeep.send_replace(upkeep);
    }

    /// Takes nothing new, lets acks go out, tells the core node, and ends.
    pub fn drain(&self) {
        self.handle.drain();
    }

    /// Waits until the node has ended.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.handle.ended.subscribe();
        let found = ended.wait_for(Option::is_some).await.map(|ended| ended.clone());
        found.ok().flatten().unwrap_or(Ended::Asked)
    }

    /// Drains the node and waits until it has ended.
    pub async fn close(self) -> Ended {
        self.drain();
        let ended = self.ended().await;
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        let shared = Arc::downgrade(&self.handle.0);
        drop(self);
        let released = async {
            while tasks.join_next().await.is_some() {}
            // Streams of a closed endpoint end one by one; the last lets go of the directory.
            loop {
                let last = shared.strong_count() == 0;
                // Once more after the count has gone to zero: then the files are being closed.
                tokio::time::sleep(RELEASE_POLL).await;
                if last {
                    break;
                }
            }
        };
        // What does not end by itself is not waited for.
        drop(tokio::time::timeout(CLOSING_TIME_MAX, released).await);
        ended
    }
}

/// The promise that was made last, and the core node's key.
fn kept_promise(state: &dyn Disk) -> Result<Option<(Promise, PublicKey)>, OpenError> {
    let content =
        small::read(state, TOPOLOGY_FILE).map_err(|error| OpenError::Topology(error.to_string()))?;
    let Some(content) = content else { return Ok(None) };
    let kept =
        decode(&content, TOPOLOGY_BYTES_MAX).map_err(|error| OpenError::Topology(error.to_string()))?;
    Ok(Some(kept))
}

fn listen_error(config: &StorageConfig, reason: &dyn std::fmt::Display) -> OpenError {
    OpenError::Listen { address: config.listen, reason: reason.to_string() }
}

/// A QUIC endpoint, and for HTTP the TCP port of the same number.
async fn bind(
    config: &StorageConfig,
    key: &SecretKey,
    core: &PublicKey,
    promise: Option<&Promise>,
) -> Result<(Endpoint, Option<TcpListener>), OpenError> {
    let own = NodeId::of(key.public_key());
    let pins = config.endpoint.as_ref().map_or_else(Pins::new, |endpoint| endpoint.pins().clone());
    let half = transport_half(core).ok_or(OpenError::NoCoreKey)?;
    let members = promise.iter().flat_map(|promise| promise.topology.topology.members());
    let keys = members.filter(|member| member.node() != own).map(|member| member.key());
    for pinned in keys.chain([half]) {
        pins.allow(pinned).map_err(|error| OpenError::Topology(error.to_string()))?;
    }
    if let Some(endpoint) = &config.endpoint {
        let other = || OpenError::Key("the endpoint has another key".into());
        return (endpoint.node().0 == own.0).then(|| (endpoint.clone(), None)).ok_or_else(other);
    }
    let transport = TransportKey::ml_dsa_65(key).map_err(|error| OpenError::Key(error.to_string()))?;
    let frame_bytes_max = limit::FRAME_BYTES_MAX as u32;
    let link = LinkConfig {
        frame_bytes_max,
        frames_underway_bytes_max: 2 * frame_bytes_max,
        ..LinkConfig::default()
    };
    let mut tries = 0;
    loop {
        let listener = match config.http {
            true => {
                Some(TcpListener::bind(config.listen).await.map_err(|error| listen_error(config, &error))?)
            }
            false => None,
        };
        let address = match &listener {
            Some(listener) => listener.local_addr().map_err(|error| listen_error(config, &error))?,
            None => config.listen,
        };
        let bound = Endpoint::bind(address, &transport, pins.clone(), link.clone());
        tries += 1;
        match bound {
            Ok(endpoint) => return Ok((endpoint, listener)),
            // The free TCP port was somebody's UDP port: another one.
            Err(BindError::Socket { .. }) if config.listen.port() == 0 && tries < PORT_TRIES => {}
            Err(error) => return Err(listen_error(config, &error)),
        }
    }
}

/// A node that has been opened, on its way to its event loop.
struct Running {
    shared: Arc<Shared>,
    peers: Arc<Peers>,
    config: StorageConfig,
    core: PublicKey,
    key: SecretKey,
    verifier: Verifier,
    disks: Disks,
    journal: Journal,
    received: mpsc::UnboundedReceiver<Event>,
    scrubs_asked: mpsc::Receiver<oneshot::Sender<Result<ScrubView, String>>>,
    stopping: watch::Sender<bool>,
}

impl Running {
    /// Repairs what has to be repaired, serves, and ends.
    async fn run(
        mut self,
        prepared: Option<Prepared>,
        authors: impl Fn() -> Authors + Clone + Send + 'static,
        damaged_blobs: Vec<dsm_store::Digest>,
    ) {
        let (shared, one_thread) = (Arc::clone(&self.shared), self.config.one_thread);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&self.peers).accept());
        let mender = Mender::new(Arc::clone(&shared), Arc::clone(&self.peers), one_thread);
        let prepared = match prepared {
            Some(prepared) => Ok(prepared),
            None => tokio::select! {
                biased;
                repaired = mender.salvage(authors, damaged_blobs) => {
                    repaired.map_err(|error| Ended::Failed(error.to_string()))
                }
                ended = told_to_end(&mut self.received) => Err(ended),
            },
        };
        let stopping = self.stopping.clone();
        let ended = match prepared {
            Ok(prepared) => self.serve(prepared, &mender, &mut tasks).await,
            Err(ended) => ended,
        };
        tracing::info!(?ended, "the node ends");
        tasks.shutdown().await;
        stopping.send_replace(true);
        drop(tokio::time::timeout(CLOSING_TIME_MAX, shared.endpoint.close()).await);
        shared.ended.send_replace(Some(ended));
    }

    async fn serve(self, prepared: Prepared, mender: &Arc<Mender>, tasks: &mut JoinSet<()>) -> Ended {
        let Running {
            shared,
            peers,
            config,
            core,
            key,
            verifier,
            disks,
            journal,
            received,
            scrubs_asked,
            ..
        } = self;
        tasks.spawn(Arc::clone(mender).gather());
        tasks.spawn(Arc::clone(mender).watch(scrubs_asked));
        let (first, durable) = shared.durable();
        let promise = shared.promise.read().as_ref().map(|promise| (**promise).clone());
        let follower_config = FollowerConfig::new(shared.node, core.clone(), prepared.authors.network());
        let follower = Follower::new(follower_config, promise, first, durable);
        let (jobs, jobs_sent) = mpsc::unbounded_channel();
        let (notes, notes_sent) = mpsc::unbounded_channel();
        let (alive, mut working) = mpsc::channel(1);
        let keeping = Keeping { core: core.clone(), state: Arc::clone(&disks.state), journal, _alive: alive };
        let stages = Stages::new(Arc::clone(&shared), prepared, keeping);
        if let Err(error) = stages.run(jobs_sent, notes_sent, config.one_thread) {
            return Ended::Failed(format!("threads could not be started: {error}"));
        }
        let turning = Loop {
            shared: Arc::clone(&shared),
            follower,
            sessions: BTreeMap::new(),
            closing: Vec::new(),
            jobs,
            notes,
            generation: 1,
            core,
            key,
            verifier,
            started: Instant::now(),
            draining: false,
        };
        peers.open();
        shared.wanted.notify_one();
        let ended = turning.run(received).await;
        // Both stages end with their channels; what they have in hand is finished first.
        drop(tokio::time::timeout(CLOSING_TIME_MAX, working.recv()).await);
        ended
    }
}

/// Waits for an event that ends a node which does not serve yet.
async fn told_to_end(events: &mut mpsc::UnboundedReceiver<Event>) -> Ended {
    loop {
        match events.recv().await {
            Some(Event::Drain) | None => return Ended::Asked,
            Some(Event::Failed(reason)) => return Ended::Failed(reason),
            Some(_) => {}
        }
    }
}

/// The event loop.
struct Loop {
    shared: Arc<Shared>,
    follower: Follower,
    sessions: BTreeMap<ConnectionId, mpsc::Sender<Outgoing>>,
    /// Streams on which the last words are on their way.
    closing: Vec<mpsc::Sender<Outgoing>>,
    jobs: mpsc::UnboundedSender<Job>,
    notes: mpsc::UnboundedSender<Note>,
    /// Counts what was handed out since the last failure.
    generation: u64,
    core: PublicKey,
    key: SecretKey,
    verifier: Verifier,
    started: Instant,
    draining: bool,
}

impl Loop {
    fn now(&self) -> Micros {
        Micros(self.started.elapsed().as_micros() as u64)
    }

    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) -> Ended {
        let mut patience = Instant::now() + Duration::from_secs(u64::from(u32::MAX));
        loop {
            let due = self.follower.poll_timeout().map(|at| self.started + Duration::from_micros(at.0));
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = tokio::time::sleep_until(due.unwrap_or(patience).min(patience)) => {
                    let now = self.now();
                    self.follower.handle_timeout(now);
                    self.outputs();
                    None
                }
            };
            let failed = event.and_then(|event| self.handle(event));
            self.outputs();
            if let Some(reason) = failed {
                self.follower.handle_append_failed(&AppendFailure::Poisoned);
                self.outputs();
                self.farewell().await;
                return Ended::Failed(reason);
            }
            if !self.draining {
                continue;
            }
            if !self.shared.draining.swap(true, Ordering::Relaxed) {
                patience = Instant::now() + CLOSING_TIME_MAX;
            }
            // What was durable has been acknowledged: acks are signed in this loop.
            if self.follower.status().pending_bytes == 0 || Instant::now() >= patience {
                self.follower.stop();
                self.outputs();
                self.farewell().await;
                return Ended::Asked;
            }
        }
    }

    /// Waits until the last words have gone out.
    async fn farewell(&mut self) {
        let closing = std::mem::take(&mut self.closing);
        let gone = async {
            for outgoing in &closing {
                outgoing.closed().await;
            }
        };
        drop(tokio::time::timeout(CLOSING_TIME_MAX, gone).await);
    }

    /// Gives the reason if the node cannot go on.
    fn handle(&mut self, event: Event) -> Option<String> {
        let now = self.now();
        match event {
            Event::Opened { connection, outgoing } => {
                self.sessions.insert(connection, outgoing);
                self.follower.handle_connected(connection, now);
                self.shared.core_connected.store(true, Ordering::Relaxed);
            }
            Event::Frame { connection, frame, _place } => self.frame(connection, *frame, now),
            Event::Gone { connection } => {
                self.sessions.remove(&connection);
                self.follower.handle_disconnected(connection);
                self.shared.core_connected.store(!self.sessions.is_empty(), Ordering::Relaxed);
            }
            Event::Done(done) => self.done(done),
            Event::Damaged => {
                let open: Vec<ConnectionId> = self.sessions.keys().copied().collect();
                open.into_iter().for_each(|connection| self.refuse(connection, Refusal::Damaged));
            }
            Event::Drain => self.draining = true,
            Event::Failed(reason) => return Some(reason),
        }
        None
    }

    fn frame(&mut self, connection: ConnectionId, frame: Frame, now: Micros) {
        // Nothing new while draining; what came before is finished and acknowledged.
        if self.draining && matches!(frame, Frame::Append(_) | Frame::SetAside { .. } | Frame::Begin { .. }) {
            return;
        }
        match &frame {
            Frame::Heartbeat { head, .. } => self.shared.core_head.store(head.position, Ordering::Relaxed),
            Frame::Append(append) => {
                let end = append.after.position.saturating_add(append.records.len() as u64);
                self.shared.core_head.fetch_max(end, Ordering::Relaxed);
            }
            _ => {}
        }
        self.follower.handle_frame(connection, frame, now, &self.verifier);
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Appended(head) => self.follower.handle_appended(head),
            Done::Failed { generation, failure } => {
                if generation == self.generation {
                    self.generation += 1;
                    self.follower.handle_append_failed(&failure);
                }
            }
            Done::Promised(promise) => {
                let epoch = promise.topology.topology.epoch();
                self.pin(&promise);
                *self.shared.promise.write() = Some(Arc::new(*promise));
                self.follower.handle_persisted(epoch);
            }
            Done::SetAside(kept) => self.follower.handle_set_aside(kept),
            Done::Began(base) => self.follower.handle_began(base),
            Done::Old(from) => drop(self.jobs.send(Job::Retire { from })),
            Done::Pruned(first) => self.follower.handle_pruned(first),
        }
    }

    /// Speaks with the members of the new topology and no longer with those who left it.
    fn pin(&self, promise: &Promise) {
        let pins = self.shared.endpoint.pins();
        let topology = &promise.topology.topology;
        if let Some(before) = self.shared.promise.read().as_ref() {
            let members = before.topology.topology.members().iter();
            let left = members.filter(|member| topology.member(member.node()).is_none());
            for member in left.filter(|member| member.node() != self.shared.core) {
                pins.forget(&Digest(member.node().0));
            }
        }
        for member in topology.members().iter().filter(|member| member.node() != self.shared.node) {
            if let Err(error) = pins.allow(member.key()) {
                tracing::warn!(member = %member.node(), %error, "a member cannot be pinned");
            }
        }
    }

    fn refuse(&mut self, connection: ConnectionId, reason: Refusal) {
        self.send(connection, Outgoing::Frame(Frame::Refuse(reason.clone())));
        self.send(connection, Outgoing::Close(reason));
        self.sessions.remove(&connection);
        self.follower.handle_disconnected(connection);
        self.shared.core_connected.store(!self.sessions.is_empty(), Ordering::Relaxed);
    }

    fn send(&mut self, connection: ConnectionId, outgoing: Outgoing) {
        let Some(session) = self.sessions.get(&connection) else { return };
        if session.try_send(outgoing).is_err() {
            // It takes nothing, or is gone: without its sender the stream ends.
            self.shared.fault("not_reading");
            self.sessions.remove(&connection);
            self.follower.handle_disconnected(connection);
        }
    }

    /// Does what the follower wants done.
    fn outputs(&mut self) {
        while let Some(output) = self.follower.poll() {
            match output {
                FollowerOutput::Send { to, frame } => {
                    if matches!(frame, Frame::Ack(_)) {
                        self.shared.metrics.acks.one();
                    }
                    self.send(to, Outgoing::Frame(frame));
                }
                FollowerOutput::Persist(promise) => {
                    // The stages are gone only after they have said why.
                    drop(self.notes.send(Note::Promise(Box::new(promise))));
                }
                FollowerOutput::Append { after, records, head } => {
                    let generation = self.generation;
                    drop(self.jobs.send(Job::Append { generation, after, records, head }));
                }
                FollowerOutput::SetAside { keep } => drop(self.jobs.send(Job::SetAside { keep })),
                FollowerOutput::Begin { base, checkpoint } => {
                    if self.is_checkpoint_of(&base, &checkpoint) {
                        drop(self.jobs.send(Job::Begin { base }));
                    } else {
                        self.shared.fault("bad_checkpoint");
                        self.follower.handle_began(None);
                    }
                }
                FollowerOutput::SignAck { network, epoch, head } => {
                    match self.key.sign(&Ack::signing_message(network, epoch, &head)) {
                        Ok(signature) => self.follower.handle_signed(Ack { epoch, head, signature }),
                        Err(error) => self.shared.fail(error.to_string()),
                    }
                }
                FollowerOutput::ReadDigest { to, position } => {
                    let digest = self.digest_at(position);
                    self.follower.handle_digest(to, position, digest);
                }
                FollowerOutput::Disconnect { connection, reason } => {
                    tracing::info!(?connection, %reason, "a replication stream is closed");
                    self.shared.fault(word(&reason));
                    self.send(connection, Outgoing::Close(reason));
                    self.closing.retain(|session| !session.is_closed());
                    self.closing.extend(self.sessions.remove(&connection));
                    self.shared.core_connected.store(!self.sessions.is_empty(), Ordering::Relaxed);
                }
                FollowerOutput::Evidence(evidence) => {
                    let (kind, summary) = describe(&evidence);
                    tracing::warn!(kind, %summary, "evidence");
                    drop(self.notes.send(Note::Evidence(evidence)));
                }
                FollowerOutput::Following { connection, epoch } => {
                    tracing::info!(?connection, epoch, "following the core node");
                }
            }
        }
    }

    fn digest_at(&self, position: u64) -> Option<Digest> {
        match self.shared.vault.reader()?.digest_at(position) {
            Ok(digest) => Some(Digest(digest)),
            Err(dsm_store::LogError::NotDurable { .. }) => None,
            Err(error) => {
                tracing::warn!(position, %error, "a digest cannot be read");
                self.shared.suspicion.notify_one();
                None
            }
        }
    }

    /// Whether these bytes are a checkpoint that the core node signed and that names this head.
    fn is_checkpoint_of(&self, base: &Head, bytes: &[u8]) -> bool {
        let Ok(signed) = decode::<SignedCheckpoint>(bytes, limit::CHECKPOINT_BYTES_MAX) else { return false };
        let Ok(checkpoint) = signed.verify(&self.core, &self.verifier) else { return false };
        let network = self.follower.status().network;
        network == Some(checkpoint.network)
            && checkpoint.log_position == base.position
            && checkpoint.log_digest == base.digest
    }
}

/// The stable word for a refusal.
fn word(reason: &Refusal) -> &'static str {
    match reason {
        Refusal::Version { .. } => "version",
        Refusal::Network => "network",
        Refusal::Topology => "topology",
        Refusal::NotAMember => "not_a_member",
        Refusal::StaleEpoch(_) => "stale_epoch",
        Refusal::EpochTaken(_) => "epoch_taken",
        Refusal::Diverged { .. } => "diverged",
        Refusal::BadRecord { .. } => "bad_record",
        Refusal::Full => "storage_full",
        Refusal::Damaged => "damaged",
        Refusal::Stopping => "stopping",
        Refusal::Busy => "busy",
        Refusal::Begin => "begin",
    }
}
