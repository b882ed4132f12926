//! A core node as storage nodes see one: the real protocol over the real link, with a chronicle for a log.

use super::chronicle::{Chronicle, RECORD_KIND};
use dsm_abi::Digest;
use dsm_core::PublicKey;
use dsm_crypto::{SecretKey, Signer as _, Verifier};
use dsm_link::{Connection, Endpoint, FrameReceiver, FrameSender, LinkConfig, Pins, TransportKey};
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::reconcile::BlobSet;
use dsm_proto::{
    Evidence, Frame, Head, Leader, LeaderConfig, LeaderOutput, Member, Micros, NodeId, PeerState, PeerStatus,
    Record, SignedTopology, Start, Topology, limit,
};
use dsm_storage_node::StorageNode;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Longer than anything takes on a machine that is busy with other things; only a hanging test waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// What the test sees of replication.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) peers: Vec<PeerStatus>,
    /// The states in which peers were let go, each once.
    pub(crate) let_go: Vec<PeerState>,
    /// Whether a higher epoch exists.
    pub(crate) fenced: bool,
}

enum Event {
    Connected(NodeId, u64, mpsc::UnboundedSender<Frame>),
    Frame(NodeId, u64, Frame),
    Gone(NodeId, u64),
    Written,
    Switch(SignedTopology),
}

/// A running test leader.
pub(crate) struct Core {
    chronicle: Arc<Mutex<Chronicle>>,
    events: mpsc::UnboundedSender<Event>,
    view: watch::Receiver<View>,
    pub(crate) topology: SignedTopology,
    endpoint: Endpoint,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

fn head(chronicle: &Chronicle) -> Head {
    let (position, digest) = chronicle.head();
    Head { position, digest: Digest(digest) }
}

/// A member as a topology names it.
pub(crate) fn member(node: &StorageNode) -> Member {
    Member::new(node.public_key().bytes.clone(), node.local_addr().to_string()).unwrap()
}

/// A topology of this network, signed by its core node.
pub(crate) fn topology(chronicle: &Chronicle, epoch: u64, members: Vec<Member>) -> SignedTopology {
    let primary = members[0].node();
    let topology = Topology::new(chronicle.network(), epoch, [epoch as u8; 32], primary, members).unwrap();
    sign(chronicle, topology)
}

pub(crate) fn sign(chronicle: &Chronicle, topology: Topology) -> SignedTopology {
    let message = topology.signing_message(chronicle.node.suite());
    SignedTopology { topology, signature: chronicle.node.sign(&message).unwrap() }
}

/// An endpoint that speaks with these members.
pub(crate) fn endpoint(key: &SecretKey, members: &[Member]) -> Endpoint {
    let pins = Pins::new();
    for member in members {
        pins.allow(member.key()).unwrap();
    }
    let frame_bytes_max = limit::FRAME_BYTES_MAX as u32;
    let config = LinkConfig {
        frame_bytes_max,
        frames_underway_bytes_max: 2 * frame_bytes_max,
        ..LinkConfig::default()
    };
    let transport = TransportKey::ml_dsa_65(key).unwrap();
    Endpoint::bind("127.0.0.1:0".parse().unwrap(), &transport, pins, config).unwrap()
}

/// Asks one question on a stream of its own.
pub(crate) async fn ask(connection: &Connection, query: Query) -> Answer {
    let mut stream = connection.open_stream().await.unwrap();
    stream.send(Frame::Fetch(query).encode()).await.unwrap();
    match Frame::decode(&stream.recv_within(DEADLINE).await.unwrap()).unwrap() {
        Frame::Fetched(answer) => answer,
        other => panic!("{other:?} is no answer"),
    }
}

impl Core {
    /// Ships the chronicle to the members of the topology.
    pub(crate) fn start(chronicle: Chronicle, topology: SignedTopology) -> Core {
        Core::start_behind(chronicle, topology, Start::default())
    }

    /// The same, of a chronicle whose records up to the start are not kept any more.
    pub(crate) fn start_behind(chronicle: Chronicle, topology: SignedTopology, start: Start) -> Core {
        let endpoint = endpoint(&chronicle.node, topology.topology.members());
        Core::start_over(endpoint, chronicle, topology, start, |_, _| ())
    }

    /// The same over an endpoint of the caller's. `acked` hears of every ack when it comes.
    pub(crate) fn start_over(
        endpoint: Endpoint,
        chronicle: Chronicle,
        topology: SignedTopology,
        start: Start,
        acked: impl Fn(NodeId, Head) + Send + 'static,
    ) -> Core {
        let members = topology.topology.members().to_vec();
        let core: PublicKey = chronicle.node_key();
        let config = LeaderConfig { failover: None, ..LeaderConfig::new(core) };
        let leader = Leader::new(config, topology.clone(), start, head(&chronicle), Micros(0));
        let chronicle = Arc::new(Mutex::new(chronicle));
        let (events, received) = mpsc::unbounded_channel();
        let (shown, view) = watch::channel(View::default());
        let turning = Turning {
            leader,
            chronicle: Arc::clone(&chronicle),
            lines: BTreeMap::new(),
            shown,
            acked: Box::new(acked),
            started: Instant::now(),
        };
        let mut tasks = vec![tokio::spawn(turning.run(received))];
        for member in members {
            let (endpoint, events) = (endpoint.clone(), events.clone());
            tasks.push(tokio::spawn(connect(endpoint, member, Arc::clone(&chronicle), events)));
        }
        Core { chronicle, events, view, topology, endpoint, tasks }
    }

    pub(crate) fn chronicle(&self) -> MutexGuard<'_, Chronicle> {
        self.chronicle.lock().unwrap()
    }

    /// Changes the chronicle and ships what is new.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Chronicle) -> T) -> T {
        let result = change(&mut self.chronicle());
        drop(self.events.send(Event::Written));
        result
    }

    /// Takes another topology over.
    pub(crate) fn switch(&mut self, topology: SignedTopology) {
        self.topology = topology.clone();
        drop(self.events.send(Event::Switch(topology)));
    }

    /// Waits until what the leader sees is as wanted.
    pub(crate) async fn wait(&mut self, what: &str, wanted: impl FnMut(&View) -> bool) -> View {
        match tokio::time::timeout(DEADLINE, self.view.wait_for(wanted)).await {
            Ok(Ok(view)) => return view.clone(),
            Ok(Err(_)) => panic!("the leader is gone"),
            Err(_) => {}
        }
        panic!("{what}: {:#?}", *self.view.borrow())
    }

    /// Waits until every member has acknowledged everything.
    pub(crate) async fn all_acked(&mut self) -> Head {
        let head = head(&self.chronicle());
        let count = self.topology.topology.members().len();
        self.wait("everything is acknowledged", |view| {
            view.peers.len() == count && view.peers.iter().all(|peer| peer.durable == head)
        })
        .await;
        head
    }

    /// Ends; gives the chronicle back.
    pub(crate) async fn stop(self) -> Chronicle {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        self.endpoint.close().await;
        drop((self.events, self.view));
        let mut chronicle = self.chronicle;
        loop {
            match Arc::try_unwrap(chronicle) {
                Ok(found) => return found.into_inner().unwrap(),
                Err(shared) => chronicle = shared,
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

struct Turning {
    leader: Leader,
    chronicle: Arc<Mutex<Chronicle>>,
    lines: BTreeMap<NodeId, (u64, mpsc::UnboundedSender<Frame>)>,
    shown: watch::Sender<View>,
    acked: Box<dyn Fn(NodeId, Head) + Send>,
    started: Instant,
}

impl Turning {
    fn now(&self) -> Micros {
        Micros(self.started.elapsed().as_micros() as u64)
    }

    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        loop {
            let due = self.leader.poll_timeout().map(|at| self.started + Duration::from_micros(at.0));
            let due = due.unwrap_or_else(|| Instant::now() + Duration::from_millis(100));
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.handle(event),
                    None => return,
                },
                () = tokio::time::sleep_until(due) => {
                    let now = self.now();
                    self.leader.handle_timeout(now);
                }
            }
            self.outputs();
            let peers = self.leader.status();
            self.shown.send_modify(|view| view.peers = peers);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Connected(node, line, frames) => {
                self.lines.insert(node, (line, frames));
                self.leader.handle_connected(node, now);
            }
            Event::Frame(node, line, frame) => {
                if self.lines.get(&node).is_some_and(|(current, _)| *current == line) {
                    self.leader.handle_frame(node, frame, now, &Verifier::new());
                }
            }
            Event::Gone(node, line) => {
                if self.lines.get(&node).is_some_and(|(current, _)| *current == line) {
                    self.lines.remove(&node);
                    self.leader.handle_disconnected(node);
                }
            }
            Event::Written => {
                let head = head(&self.chronicle.lock().unwrap());
                self.leader.handle_appended(head, now);
            }
            Event::Switch(topology) => self.leader.handle_forced_topology(topology, now).unwrap(),
        }
    }

    fn outputs(&mut self) {
        while let Some(output) = self.leader.poll() {
            let now = self.now();
            match output {
                LeaderOutput::Send { to, frame } => {
                    if let Some((_, frames)) = self.lines.get(&to) {
                        drop(frames.send(frame));
                    }
                }
                LeaderOutput::Read { peer, id, after, bytes_max } => {
                    let records = read(&self.chronicle.lock().unwrap(), after + 1, bytes_max);
                    self.leader.handle_records(peer, id, Ok(records), now);
                }
                LeaderOutput::ReadDigest { peer, position } => {
                    let digest = digest_at(&self.chronicle.lock().unwrap(), position);
                    self.leader.handle_digest(peer, position, digest, now);
                }
                LeaderOutput::Disconnect { peer, state } => {
                    self.lines.remove(&peer);
                    self.leader.handle_disconnected(peer);
                    self.shown.send_modify(|view| {
                        if !view.let_go.contains(&state) {
                            view.let_go.push(state);
                        }
                    });
                }
                // Two documents of one epoch convict this leader itself.
                LeaderOutput::Evidence(Evidence::TwoTopologies { .. }) => {}
                LeaderOutput::Evidence(evidence) => panic!("evidence against an honest node: {evidence:?}"),
                LeaderOutput::Fenced { .. } => self.shown.send_modify(|view| view.fenced = true),
                LeaderOutput::Acked { peer, head } => (self.acked)(peer, head),
                LeaderOutput::Behind { .. }
                | LeaderOutput::PromotionNeeded { .. }
                | LeaderOutput::Established { .. }
                | LeaderOutput::CatchUp { .. }
                | LeaderOutput::OwnLogDiffers { .. } => {}
            }
        }
    }
}

fn read(chronicle: &Chronicle, from: u64, bytes_max: usize) -> Vec<Record> {
    let mut bytes = 0;
    let records = chronicle.records.iter().skip(from as usize - 1);
    let fitting = records.enumerate().take_while(|(nth, payload)| {
        bytes += payload.len();
        *nth == 0 || bytes <= bytes_max
    });
    fitting.map(|(_, payload)| Record { kind: RECORD_KIND, payload: payload.clone() }).collect()
}

fn digest_at(chronicle: &Chronicle, position: u64) -> Option<Digest> {
    match position.checked_sub(1) {
        None => Some(Digest([0; 32])),
        Some(index) => chronicle.digests.get(index as usize).map(|digest| Digest(*digest)),
    }
}

/// Connects to one member again and again.
async fn connect(
    endpoint: Endpoint,
    member: Member,
    chronicle: Arc<Mutex<Chronicle>>,
    events: mpsc::UnboundedSender<Event>,
) {
    let (node, address) = (member.node(), member.address().parse().unwrap());
    for line in 0.. {
        if let Ok(connection) = endpoint.connect(address, Digest(node.0)).await {
            let stream = connection.open_stream().await;
            if let Ok(stream) = stream {
                let (sender, receiver) = stream.split();
                let (frames, outgoing) = mpsc::unbounded_channel();
                drop(events.send(Event::Connected(node, line, frames)));
                tokio::select! {
                    () = send(sender, outgoing) => {}
                    () = receive(receiver, node, line, &events) => {}
                    () = serve(&connection, &chronicle) => {}
                }
                drop(events.send(Event::Gone(node, line)));
            }
            connection.close(0, "");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn send(mut sender: FrameSender, mut frames: mpsc::UnboundedReceiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if sender.send(frame.encode()).await.is_err() {
            return;
        }
    }
}

async fn receive(
    mut receiver: FrameReceiver,
    node: NodeId,
    line: u64,
    events: &mpsc::UnboundedSender<Event>,
) {
    while let Ok(bytes) = receiver.recv().await {
        let frame = Frame::decode(&bytes).unwrap();
        drop(events.send(Event::Frame(node, line, frame)));
    }
}

/// Answers what the member asks.
async fn serve(connection: &Connection, chronicle: &Arc<Mutex<Chronicle>>) {
    while let Ok(mut stream) = connection.accept_stream().await {
        let chronicle = Arc::clone(chronicle);
        tokio::spawn(async move {
            let Ok(bytes) = stream.recv().await else { return };
            let Ok(Frame::Fetch(query)) = Frame::decode(&bytes) else { return };
            let answer = answer(&chronicle.lock().unwrap(), &query);
            drop(stream.send(Frame::Fetched(answer).encode()).await);
            stream.finish();
        });
    }
}

fn answer(chronicle: &Chronicle, query: &Query) -> Answer {
    let packages =
        || chronicle.packages.values().map(|bytes| (Digest(*blake3::hash(bytes).as_bytes()), bytes));
    match query {
        Query::Status => Answer::Busy,
        Query::Records { from, bytes_max } => Answer::Records(read(chronicle, *from, *bytes_max as usize)),
        Query::DigestAt { position } => {
            digest_at(chronicle, *position).map_or(Answer::NotFound, Answer::Digest)
        }
        Query::Blob { digest, .. } => {
            let found = packages().find(|(name, _)| name == digest);
            found.map_or(Answer::NotFound, |(_, bytes)| Answer::Blob(bytes.clone()))
        }
        Query::BlobRange(range) => {
            let set: BlobSet = packages().map(|(name, _)| name).collect();
            Answer::BlobRange(set.answer(range))
        }
    }
}
