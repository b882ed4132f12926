//! Other nodes: connections to them, questions to them, and what they may do here.
//!
//! The core node and the members of the promised topology are pinned; nobody else gets through the handshake. Each
//! stream begins with a frame that says what it is for: a question is answered and the stream ends; anything else is
//! replication, which only the core node may do.

use crate::answer;
use crate::handle::Shared;
use crate::serve::Event;
use dsm_abi::Digest;
use dsm_link::{Connection, FrameSender, FrameStream, close};
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::{ConnectionId, Frame, Member, NodeId, Refusal};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};

/// How long the first frame of a stream may take to come.
const FIRST_FRAME_TIME_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take to begin; while it arrives the link has its own deadlines.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Frames that wait for a peer that does not take them; a further one costs it the connection.
const OUTGOING_MAX: usize = 1024;
/// Questions answered at once, of all peers.
const QUERIES_MAX: usize = 16;
/// How long a refused peer may take to read why.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(2);

/// The code with which a refused connection is closed.
const REFUSED: u32 = close::PROTOCOL;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// The peer is not connected and cannot be reached.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke or was too slow.
    #[error("the connection failed: {0}")]
    Link(#[from] dsm_link::FrameError),
    /// What came is no answer to this question.
    #[error("what it says is no answer")]
    NoAnswer,
}

/// What goes out on a replication stream.
pub(crate) enum Outgoing {
    /// A frame.
    Frame(Frame),
    /// Nothing more: close, because of this.
    Close(Refusal),
}

/// Connections to other nodes.
pub(crate) struct Peers {
    shared: Arc<Shared>,
    /// The last connection with each node, whoever made it.
    links: Mutex<BTreeMap<NodeId, Connection>>,
    next: AtomicU64,
    questions: Arc<Semaphore>,
    /// Replication begins once the log is open.
    open: watch::Sender<bool>,
    one_thread: bool,
}

impl Peers {
    pub(crate) fn new(shared: Arc<Shared>, one_thread: bool) -> Arc<Peers> {
        Arc::new(Peers {
            shared,
            links: Mutex::default(),
            next: AtomicU64::new(1),
            questions: Arc::new(Semaphore::new(QUERIES_MAX)),
            open: watch::Sender::new(false),
            one_thread,
        })
    }

    /// Lets replication begin.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Takes connections until the endpoint is closed.
    pub(crate) async fn accept(self: Arc<Peers>) {
        while let Some(link) = self.shared.endpoint.accept().await {
            let node = NodeId(link.peer().0);
            self.links.lock().insert(node, link.clone());
            tokio::spawn(Arc::clone(&self).attend(link));
        }
    }

    /// Takes the streams of one connection.
    async fn attend(self: Arc<Peers>, link: Connection) {
        loop {
            match link.accept_stream().await {
                Ok(stream) => drop(tokio::spawn(Arc::clone(&self).stream(link.clone(), stream))),
                Err(reason) => {
                    tracing::debug!(peer = %link.peer(), %reason, "a connection ended");
                    return;
                }
            }
        }
    }

    async fn stream(self: Arc<Peers>, link: Connection, mut stream: FrameStream) {
        let Ok(bytes) = stream.recv_within(FIRST_FRAME_TIME_MAX).await else { return };
        match Frame::decode(&bytes) {
            Ok(Frame::Fetch(query)) => self.answer(&mut stream, query).await,
            Ok(first) if NodeId(link.peer().0) == self.shared.core => self.follow(link, stream, first).await,
            Ok(_) => {
                tracing::warn!(peer = %link.peer(), "a member that is not the core node tries to write");
                self.shared.fault("not_the_core_node");
                link.close(REFUSED, "only the core node may write here");
            }
            Err(error) => self.malformed(&link, &error),
        }
    }

    fn malformed(&self, link: &Connection, error: &dsm_proto::FrameError) {
        tracing::warn!(peer = %link.peer(), %error, "a peer sends what is no frame");
        self.shared.fault("malformed_frame");
        link.close(REFUSED, "not a frame");
    }

    async fn answer(&self, stream: &mut FrameStream, query: Query) {
        let answer = match Arc::clone(&self.questions).try_acquire_owned() {
            Err(_) => {
                self.shared.metrics.queries_refused.one();
                Answer::Busy
            }
            Ok(place) => {
                self.shared.metrics.queries.one();
                let shared = Arc::clone(&self.shared);
                let work = move || {
                    let _place = place;
                    answer::answer(&shared, &query)
                };
                blocking(self.one_thread, work).await.unwrap_or(Answer::Busy)
            }
        };
        let bytes = Frame::Fetched(answer).encode();
        self.shared.metrics.served_bytes.add(bytes.len() as u64);
        // Whoever asked may have gone away.
        drop(stream.send(bytes).await);
        stream.finish();
    }

    /// A replication stream, from its first frame to its end.
    async fn follow(self: Arc<Peers>, link: Connection, stream: FrameStream, first: Frame) {
        // A log under repair cannot say where it ends; the core node waits, or comes again.
        if *self.shared.damaged.borrow() {
            // The core node may have what nobody else has.
            self.shared.suspicion.notify_one();
        }
        let (mut open, mut damaged) = (self.open.subscribe(), self.shared.damaged.subscribe());
        let ready = async {
            open.wait_for(|open| *open).await.is_ok() && damaged.wait_for(|damaged| !damaged).await.is_ok()
        };
        let goes_on = tokio::select! {
            biased;
            _ = link.closed() => false,
            ready = ready => ready,
        };
        if !goes_on {
            return;
        }
        let connection = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, mut receiver) = stream.split();
        let (outgoing, frames) = mpsc::channel(OUTGOING_MAX);
        tokio::spawn(send(link.clone(), sender, frames));
        let events = &self.shared.events;
        if events.send(Event::Opened { connection, outgoing }).is_err() {
            return;
        }
        // The loop gives a place back for each frame that it has taken, so that little waits in memory.
        let places = Arc::new(Semaphore::new(crate::serve::FRAMES_WAITING_MAX));
        let mut next = Some(first);
        while let Some(frame) = next.take() {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            if events.send(Event::Frame { connection, frame: Box::new(frame), _place: place }).is_err() {
                return;
            }
            match receiver.recv().await {
                Ok(bytes) => match Frame::decode(&bytes) {
                    Ok(frame) => next = Some(frame),
                    Err(error) => self.malformed(&link, &error),
                },
                Err(reason) => tracing::debug!(peer = %link.peer(), %reason, "a replication stream ended"),
            }
        }
        // The loop is gone only if the node ends.
        drop(events.send(Event::Gone { connection }));
    }

    /// The nodes to ask, the core node first if it is connected, then the primary, then the others.
    pub(crate) fn candidates(&self) -> Vec<NodeId> {
        let promise = self.shared.promise.read().clone();
        let (core, own) = (self.shared.core, self.shared.node);
        let mut nodes = Vec::new();
        if self.link(core).is_some() {
            nodes.push(core);
        }
        if let Some(promise) = promise {
            let topology = &promise.topology.topology;
            let members = topology.members().iter().map(Member::node);
            let mut others: Vec<NodeId> = members.filter(|node| *node != own).collect();
            others.sort_by_key(|node| *node != topology.primary());
            nodes.extend(others);
        }
        nodes
    }

    fn link(&self, node: NodeId) -> Option<Connection> {
        let mut links = self.links.lock();
        let link = links.get(&node)?;
        if link.is_closed() {
            links.remove(&node);
            return None;
        }
        Some(link.clone())
    }

    async fn connect(self: &Arc<Peers>, node: NodeId) -> Result<Connection, AskError> {
        if let Some(link) = self.link(node) {
            return Ok(link);
        }
        let unreachable = |reason: &dyn std::fmt::Display| AskError::Unreachable(reason.to_string());
        let promise = self.shared.promise.read().clone();
        let member = promise.as_ref().and_then(|promise| promise.topology.topology.member(node));
        let address = member.ok_or_else(|| unreachable(&"no address is known"))?.address().to_owned();
        let found = tokio::net::lookup_host(&address).await.map_err(|error| unreachable(&error))?;
        let mut last = unreachable(&"the name has no address");
        for address in found {
            match self.shared.endpoint.connect(address, Digest(node.0)).await {
                Ok(link) => {
                    self.links.lock().insert(node, link.clone());
                    tokio::spawn(Arc::clone(self).attend(link.clone()));
                    return Ok(link);
                }
                Err(error) => last = unreachable(&error),
            }
        }
        Err(last)
    }

    /// Asks one node one question.
    pub(crate) async fn ask(self: &Arc<Peers>, node: NodeId, query: Query) -> Result<Answer, AskError> {
        let link = self.connect(node).await?;
        let mut stream = link.open_stream().await?;
        stream.send(Frame::Fetch(query).encode()).await?;
        let bytes = stream.recv_within(ANSWER_TIME_MAX).await?;
        match Frame::decode(&bytes) {
            Ok(Frame::Fetched(answer)) => Ok(answer),
            Ok(_) | Err(_) => {
                self.shared.fault("malformed_frame");
                Err(AskError::NoAnswer)
            }
        }
    }
}

/// Sends what the event loop says, in order, until it closes or the peer does.
async fn send(link: Connection, mut sender: FrameSender, mut frames: mpsc::Receiver<Outgoing>) {
    while let Some(outgoing) = frames.recv().await {
        match outgoing {
            Outgoing::Frame(frame) => {
                if sender.send(frame.encode()).await.is_err() {
                    return;
                }
            }
            Outgoing::Close(reason) => {
                sender.finish();
                // The peer reads why and closes; if it does not, this end does.
                drop(tokio::time::timeout(FAREWELL_TIME_MAX, link.closed()).await);
                link.close(REFUSED, &reason.to_string());
                return;
            }
        }
    }
}

/// Runs what waits for a disk beside the tasks; `None` if it panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    one_thread: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if one_thread {
        return Some(work());
    }
    tokio::task::spawn_blocking(work).await.ok()
}
