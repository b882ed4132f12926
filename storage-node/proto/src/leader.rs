//! The core node's side: greet every storage node, find where its log stands, ship what it lacks, count acks.

use crate::frame::{Ack, Append, Evidence, Frame, Hello, Nack, Refusal, Welcome};
use crate::head::weight;
use crate::search::{CommonSearch, Found};
use crate::topology::Budget;
use crate::{Head, Micros, NodeId, Record, SignedTopology, TopologyError, limit};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use dsm_abi::{Digest, NetworkId, VerifySignature};
use dsm_core::PublicKey;

/// Names one read of the leader's own log; a result with another id is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// How a leader behaves.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// The core node's own key, which signs topologies.
    pub core: PublicKey,
    /// Most bytes sent to one peer and not yet acked.
    pub window_bytes: usize,
    /// Most bytes of records in one frame; one longer record goes alone.
    pub append_bytes_max: usize,
    /// A peer to which nothing was sent for so long gets a heartbeat.
    pub heartbeat: Micros,
    /// A peer that was silent for so long is disconnected.
    pub silence: Micros,
    /// What is not answered within this time is sent again.
    pub answer_timeout: Micros,
    /// At most so many resends per peer and interval, whoever asks for them.
    pub resends_max: u32,
    /// The interval.
    pub resend_interval: Micros,
    /// A primary silent for so long is replaced, with three members or more; `None`: never by itself.
    pub failover: Option<Micros>,
}

impl LeaderConfig {
    /// 8 MiB in flight, 1 MiB per frame, heartbeats every 500 ms, 4 s of silence, 2 s for an answer, 8 resends in 5 s,
    /// failover after 2 s.
    pub fn new(core: PublicKey) -> LeaderConfig {
        LeaderConfig {
            core,
            window_bytes: 8 << 20,
            append_bytes_max: 1 << 20,
            heartbeat: Micros::from_millis(500),
            silence: Micros::from_millis(4000),
            answer_timeout: Micros::from_millis(2000),
            resends_max: 8,
            resend_interval: Micros::from_millis(5000),
            failover: Some(Micros::from_millis(2000)),
        }
    }
}

/// Where the leader's log begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// The head before the first record kept; [`Head::EMPTY`] if the log is whole.
    pub base: Head,
    /// The signed checkpoint that names `base`, for empty followers; empty if the log is whole.
    pub checkpoint: Vec<u8>,
}

/// What a receipt can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Durable at the core node.
    Local,
    /// And at the primary.
    Primary,
    /// Durable on so many storage nodes, two or more, the primary among them.
    Replicated(u16),
}

/// What a peer was caught at. It is never counted again in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It acked a digest that the log does not have.
    OtherAck,
    /// It acked two digests for one position.
    TwoAcks,
    /// Its ack is not signed by its key.
    BadSignature,
    /// It claimed a longer log that turned out not to be a continuation of ours.
    FalseHead,
}

/// Where the replication to one peer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerState {
    /// No connection.
    Disconnected,
    /// Greeted; its welcome is awaited.
    Greeting,
    /// The last common record is searched.
    Comparing,
    /// It sets aside what differs.
    SettingAside,
    /// It begins behind a checkpoint.
    Beginning,
    /// Records flow.
    Shipping,
    /// It has records that we lack, behind equal ones.
    Ahead,
    /// Its log ends before ours begins, or shares nothing with it; an operator has to decide.
    Unreachable,
    /// It refused.
    Refused(Refusal),
    /// It lied.
    Convicted(Fault),
}

/// One peer, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// The node.
    pub node: NodeId,
    /// Whether it is the primary.
    pub primary: bool,
    /// Where it stands.
    pub state: PeerState,
    /// Acked through here.
    pub durable: Head,
    /// Records that it lacks.
    pub lag: u64,
    /// Bytes sent and not acked.
    pub in_flight_bytes: usize,
    /// Whether it promised this epoch.
    pub promised: bool,
    /// Resends so far.
    pub resends: u64,
    /// When it was last heard.
    pub heard: Option<Micros>,
}

/// What the leader may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The epoch.
    pub epoch: u64,
    /// Members that promised it.
    pub promised: usize,
    /// Whether a majority has promised this epoch and the primary's log was found to be part of ours, now or ever:
    /// only then levels count and the topology may change.
    pub established: bool,
    /// Whether the primary and a majority promised, and none of those that did is ahead. A restored core accepts
    /// nothing before this is true; one whose log was never lost need not wait.
    pub confirmed: bool,
    /// Somebody has a longer log of the same history: fetch it first, accept nothing.
    pub behind: Option<(NodeId, Head)>,
    /// A higher epoch exists: this leader is finished.
    pub fenced: Option<u64>,
}

/// Why a new topology cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// It does not follow the one in force.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The new primary lacks records that were acknowledged at a level with the old one.
    #[error("the candidate has not reached position {granted}, which was acknowledged")]
    NotCaughtUp {
        /// The last position acknowledged with the old primary.
        granted: u64,
    },
    /// A higher epoch exists.
    #[error("a higher epoch exists: {0}")]
    Fenced(u64),
    /// No such member.
    #[error("not a member")]
    NotAMember,
    /// Too few members promised the topology in force; one more would let a restored core overlook both.
    #[error("only {promised} of {needed} members have promised the topology in force")]
    NotEstablished {
        /// Members that promised.
        promised: usize,
        /// Members that have to.
        needed: usize,
    },
}

/// Why a read of the leader's own log failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFailure {
    /// The record is damaged and being repaired; it is asked for again later.
    Damaged,
    /// The disk failed.
    Failed,
}

/// What the shell has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderOutput {
    /// Send a frame.
    Send {
        /// Where.
        to: NodeId,
        /// What.
        frame: Frame,
    },
    /// Read records behind position `after` of the own durable log, at least one and at most `bytes_max` bytes if
    /// more than one; then [`Leader::handle_records`].
    Read {
        /// For whom.
        peer: NodeId,
        /// The read.
        id: ReadId,
        /// The position before the first record wanted.
        after: u64,
        /// Bytes.
        bytes_max: usize,
    },
    /// Look up the own chain digest; then [`Leader::handle_digest`].
    ReadDigest {
        /// For whom.
        peer: NodeId,
        /// The position.
        position: u64,
    },
    /// Close the connection to this peer; connect again after a pause.
    Disconnect {
        /// The peer.
        peer: NodeId,
        /// The state in which it remains until then.
        state: PeerState,
    },
    /// A peer's log is now known to be durable through here; levels may have risen.
    Acked {
        /// The peer.
        peer: NodeId,
        /// Through here.
        head: Head,
    },
    /// A higher epoch exists. Accept nothing any more.
    Fenced {
        /// Its topology, verified.
        topology: SignedTopology,
    },
    /// The peer has a longer log of the same history. Accept nothing; fetch what is missing, check it, append it if
    /// the own log still ends where it did. Said of the primary before all others, and again after a while.
    Behind {
        /// The peer.
        peer: NodeId,
        /// Its head, as it claims.
        head: Head,
    },
    /// Store this.
    Evidence(Evidence),
    /// Make `candidate` the primary: sign the next topology, make it durable, then [`Leader::handle_topology`].
    /// The candidate holds everything acknowledged. Said again after a while if nothing happens.
    PromotionNeeded {
        /// The new primary.
        candidate: NodeId,
    },
    /// A majority has promised this epoch and the primary's log is part of ours: levels count from now on. The shell remembers it
    /// durably with the topology, for [`Leader::assume_established`]: after a restart the primary alone is enough.
    Established {
        /// The epoch.
        epoch: u64,
    },
    /// Records go to this peer from `from` on; `head` is the end of our log.
    CatchUp {
        /// The peer.
        peer: NodeId,
        /// Its head.
        from: Head,
        /// Ours.
        head: Head,
    },
    /// The own log gives other records for the same positions: it is damaged. Nothing is shipped from it.
    OwnLogDiffers {
        /// Found reading up to this position.
        position: u64,
    },
}

/// The core node's side of replication.
#[derive(Debug)]
pub struct Leader {
    config: LeaderConfig,
    network: NetworkId,
    topology: SignedTopology,
    start: Start,
    head: Head,
    peers: BTreeMap<NodeId, Peer>,
    /// The highest position for which a level with a primary was granted, or may have been before a restart.
    granted: u64,
    promotion: Option<Promotion>,
    /// The primary was heard, or made primary, then.
    primary_heard: Micros,
    /// When to look after the primary next.
    look: Micros,
    established: bool,
    fenced: Option<u64>,
    greetings: u64,
    reads: u64,
    evidence: usize,
    outputs: VecDeque<LeaderOutput>,
    #[cfg(feature = "sim")]
    planted: Option<crate::sim::Bug>,
}

#[derive(Debug, Clone, Copy)]
struct Promotion {
    candidate: NodeId,
    /// Whether the silence of the primary asked for it; then its return calls it off.
    automatic: bool,
    /// When it was last asked for. From then on levels need both primaries.
    asked: Option<Micros>,
    /// When it was first asked for: if nothing comes of it, it is called off after a while.
    first_asked: Option<Micros>,
}

#[derive(Debug)]
struct Peer {
    key: PublicKey,
    state: PeerState,
    connected: bool,
    promised: bool,
    convicted: Option<Fault>,
    greeting: u64,
    heard: Option<Micros>,
    said: Micros,
    /// When the last step was taken that an answer is due to.
    step: Micros,
    /// What the welcome said.
    first: u64,
    reported: Head,
    /// Its log continues ours up to here, by its own word; known until it disconnects or is placed otherwise.
    ahead: Option<Head>,
    /// Acked through here, in this run.
    durable: Head,
    last_ack: Option<Ack>,
    /// Known to be common when shipping began.
    common: Head,
    /// The end of what was sent since the last rewind.
    cursor: Head,
    /// The ends of the frames sent and not acked, and their bytes.
    sent: VecDeque<(Head, usize)>,
    in_flight: usize,
    reading: Option<ReadId>,
    search: Option<Search>,
    /// An ack whose digest is being looked up.
    unchecked: Option<Ack>,
    resends: Budget,
    resends_total: u64,
}

#[derive(Debug)]
struct Search {
    search: CommonSearch,
    position: u64,
    mine: Option<Digest>,
    theirs: Option<Digest>,
}

impl Peer {
    fn new(key: PublicKey, now: Micros) -> Peer {
        Peer {
            key,
            state: PeerState::Disconnected,
            connected: false,
            promised: false,
            convicted: None,
            greeting: 0,
            heard: None,
            said: now,
            step: now,
            first: 1,
            reported: Head::EMPTY,
            ahead: None,
            durable: Head::EMPTY,
            last_ack: None,
            common: Head::EMPTY,
            cursor: Head::EMPTY,
            sent: VecDeque::new(),
            in_flight: 0,
            reading: None,
            search: None,
            unchecked: None,
            resends: Budget::new(now),
            resends_total: 0,
        }
    }

    /// Goes back to `head`: what was sent behind it will be read and sent again.
    fn rewind(&mut self, head: Head) {
        self.cursor = head;
        self.sent.clear();
        self.in_flight = 0;
        self.reading = None;
    }

    /// From where to send again: acked, or found to be common.
    fn floor(&self) -> Head {
        if self.durable.position > self.common.position { self.durable } else { self.common }
    }

    /// The digest at `position` if this peer's own bookkeeping knows it.
    fn known(&self, position: u64) -> Option<Digest> {
        let heads = self.sent.iter().map(|(head, _)| head).chain([&self.cursor, &self.durable, &self.common]);
        heads.into_iter().find(|head| head.position == position).map(|head| head.digest)
    }
}

impl Leader {
    /// A leader in the epoch of `topology`, which the shell has signed and made durable, over a log that is durable
    /// through `head`.
    pub fn new(
        config: LeaderConfig,
        topology: SignedTopology,
        start: Start,
        head: Head,
        now: Micros,
    ) -> Leader {
        let network = topology.topology.network();
        let mut leader = Leader {
            config,
            network,
            topology,
            start,
            head,
            peers: BTreeMap::new(),
            granted: head.position,
            promotion: None,
            primary_heard: now,
            look: now,
            established: false,
            fenced: None,
            greetings: 0,
            reads: 0,
            evidence: 0,
            outputs: VecDeque::new(),
            #[cfg(feature = "sim")]
            planted: None,
        };
        leader.take_members(now);
        leader
    }

    /// Switches a bug on.
    #[cfg(feature = "sim")]
    pub(crate) fn plant(&mut self, bug: Option<crate::sim::Bug>) {
        self.planted = bug;
    }

    /// The shell remembers an earlier [`LeaderOutput::Established`] for this very topology.
    pub fn assume_established(&mut self) {
        self.established = true;
    }

    /// The members of the topology become the peers; who left is disconnected.
    fn take_members(&mut self, now: Micros) {
        let members = self.topology.topology.members();
        let mut peers = BTreeMap::new();
        for member in members {
            let node = member.node();
            let peer = self.peers.remove(&node).unwrap_or_else(|| Peer::new(member.public_key(), now));
            peers.insert(node, peer);
        }
        let left = core::mem::replace(&mut self.peers, peers);
        for (peer, _) in left.into_iter().filter(|(_, peer)| peer.connected) {
            self.outputs.push_back(LeaderOutput::Disconnect { peer, state: PeerState::Disconnected });
        }
    }

    /// The connection to `peer` stands; both ends have authenticated.
    pub fn handle_connected(&mut self, node: NodeId, now: Micros) {
        let fenced = self.fenced.is_some();
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.convicted.is_none() && !fenced) else {
            let state = self.peers.get(&node).map_or(PeerState::Disconnected, |peer| peer.state.clone());
            self.outputs.push_back(LeaderOutput::Disconnect { peer: node, state });
            return;
        };
        peer.connected = true;
        peer.heard = Some(now);
        self.greet(node, now);
    }

    /// The connection to `peer` is gone.
    pub fn handle_disconnected(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.connected = false;
            peer.ahead = None;
            peer.search = None;
            peer.unchecked = None;
            peer.common = Head::EMPTY;
            peer.rewind(Head::EMPTY);
            if !matches!(peer.state, PeerState::Refused(_) | PeerState::Convicted(_)) {
                peer.state = PeerState::Disconnected;
            }
        }
    }

    /// A frame came from `peer`.
    pub fn handle_frame(&mut self, from: NodeId, frame: Frame, now: Micros, verifier: &dyn VerifySignature) {
        let epoch = self.epoch();
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.connected) else { return };
        if self.fenced.is_some() || frame.check().is_err() {
            return;
        }
        peer.heard = Some(now);
        match frame {
            Frame::Welcome(welcome) => {
                let awaited = [PeerState::Greeting, PeerState::SettingAside, PeerState::Beginning]
                    .contains(&peer.state);
                if welcome.epoch == epoch && welcome.greeting == peer.greeting && awaited {
                    self.welcomed(from, welcome, now);
                }
            }
            Frame::Ack(ack) => {
                if ack.epoch == epoch && peer.state == PeerState::Shipping {
                    self.acked(from, ack, now, verifier);
                }
            }
            Frame::Nack(nack) => {
                if nack.epoch == epoch && peer.state == PeerState::Shipping {
                    self.nacked(from, nack, now);
                }
            }
            Frame::Digest { epoch: asked, position, digest } => {
                if asked == epoch && peer.state == PeerState::Comparing {
                    self.compared(from, position, None, Some(digest), now);
                }
            }
            Frame::Alive { epoch: asked, head } => {
                if asked == epoch {
                    peer.reported = head;
                    if planted!(self, TrustsHeartbeats) {
                        peer.durable = peer.cursor;
                        self.outputs.push_back(LeaderOutput::Acked { peer: from, head });
                    }
                }
            }
            Frame::Refuse(refusal) => self.refused(from, refusal, verifier),
            // Frames that only leaders send, and questions, which have streams of their own.
            Frame::Hello(_)
            | Frame::Append(_)
            | Frame::DigestAt { .. }
            | Frame::SetAside { .. }
            | Frame::Begin { .. }
            | Frame::Heartbeat { .. }
            | Frame::Fetch(_)
            | Frame::Fetched(_) => self.disconnect(from, PeerState::Refused(Refusal::Busy)),
        }
    }

    /// The own log is durable through `head`.
    pub fn handle_appended(&mut self, head: Head, now: Micros) {
        self.head = head;
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            let ahead = |peer: &Peer| peer.connected && peer.state == PeerState::Ahead;
            if self.peers.get(&node).is_some_and(ahead) {
                self.greet(node, now);
            }
            self.pump(node);
        }
    }

    /// The records of a [`LeaderOutput::Read`].
    pub fn handle_records(
        &mut self,
        node: NodeId,
        id: ReadId,
        records: Result<Vec<Record>, ReadFailure>,
        now: Micros,
    ) {
        let (epoch, head) = (self.epoch(), self.head);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.reading != Some(id) {
            return;
        }
        peer.reading = None;
        // What could not be read is asked for again with the next heartbeat.
        let Ok(mut records) = records else { return };
        let left = head.position.saturating_sub(peer.cursor.position);
        records.truncate(left.min(limit::FRAME_RECORDS_MAX as u64) as usize);
        let after = peer.cursor;
        let Some(end) = after.after_all(&records).filter(|_| !records.is_empty()) else { return };
        if end.position == head.position && end != head {
            self.outputs.push_back(LeaderOutput::OwnLogDiffers { position: end.position });
            return;
        }
        let bytes = weight(&records);
        if peer.sent.is_empty() {
            peer.step = now;
        }
        peer.sent.push_back((end, bytes));
        peer.in_flight += bytes;
        peer.cursor = end;
        self.send(node, Frame::Append(Append { epoch, after, records }), now);
        self.pump(node);
    }

    /// The digest of a [`LeaderOutput::ReadDigest`]; `None` if the position is not kept.
    pub fn handle_digest(&mut self, node: NodeId, position: u64, digest: Option<Digest>, now: Micros) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.unchecked.as_ref().is_some_and(|ack| ack.head.position == position) {
            if let (Some(ack), Some(digest)) = (peer.unchecked.take(), digest) {
                self.judge_ack(node, ack, digest, now);
            }
            return;
        }
        if peer.state == PeerState::Comparing {
            self.compared(node, position, Some(digest), None, now);
        }
    }

    /// A new topology, signed and durable here.
    ///
    /// # Errors
    /// [`SwitchError`]; nothing changed.
    pub fn handle_topology(&mut self, next: SignedTopology, now: Micros) -> Result<(), SwitchError> {
        if let Some(epoch) = self.fenced {
            return Err(SwitchError::Fenced(epoch));
        }
        self.topology.topology.check_next(&next.topology)?;
        if !self.established {
            let (promised, needed) = (self.standing().promised, self.topology.topology.majority());
            return Err(SwitchError::NotEstablished { promised, needed });
        }
        self.switch(next, now)
    }

    /// A new topology by an operator's word that no other core node leads or is being restored: it may change as much
    /// as it likes, and the one in force need not be established. For two members of which the primary is lost.
    ///
    /// # Errors
    /// [`SwitchError`]; nothing changed.
    pub fn handle_forced_topology(&mut self, next: SignedTopology, now: Micros) -> Result<(), SwitchError> {
        if let Some(epoch) = self.fenced {
            return Err(SwitchError::Fenced(epoch));
        }
        match self.topology.topology.check_next(&next.topology) {
            Ok(()) | Err(TopologyError::Step) => self.switch(next, now),
            Err(error) => Err(error.into()),
        }
    }

    fn switch(&mut self, next: SignedTopology, now: Micros) -> Result<(), SwitchError> {
        let primary = next.topology.primary();
        if primary != self.topology.topology.primary() {
            let granted = self.granted;
            if self.durable(primary) < granted && !planted!(self, PromotesTooEarly) {
                return Err(SwitchError::NotCaughtUp { granted });
            }
            self.promotion = None;
            self.primary_heard = now;
        }
        self.topology = next;
        self.established = false;
        self.take_members(now);
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.promised = false;
                if peer.connected {
                    self.greet(node, now);
                }
            }
        }
        Ok(())
    }

    /// An operator wants `candidate` to be the primary: [`LeaderOutput::PromotionNeeded`] follows as soon as it holds
    /// what was acknowledged.
    ///
    /// # Errors
    /// [`SwitchError::NotAMember`] and [`SwitchError::Fenced`].
    pub fn handle_promote(&mut self, candidate: NodeId, now: Micros) -> Result<(), SwitchError> {
        if let Some(epoch) = self.fenced {
            return Err(SwitchError::Fenced(epoch));
        }
        if !self.peers.contains_key(&candidate) {
            return Err(SwitchError::NotAMember);
        }
        if candidate != self.topology.topology.primary() {
            self.promotion = Some(Promotion { candidate, automatic: false, asked: None, first_asked: None });
            self.note_granted();
            self.promote(now);
        }
        Ok(())
    }

    /// The shell found a peer out, for example at a head that it could not back with records.
    pub fn handle_fault(&mut self, node: NodeId, fault: Fault) {
        self.convict(node, fault);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Micros) {
        if self.fenced.is_some() {
            return;
        }
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            self.peer_timeout(node, now);
        }
        self.watch_primary(now);
        self.promote(now);
    }

    fn peer_timeout(&mut self, node: NodeId, now: Micros) {
        let (epoch, head) = (self.epoch(), self.head);
        let LeaderConfig { silence, answer_timeout, heartbeat, .. } = self.config;
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.connected) else { return };
        if peer.heard.is_none_or(|heard| now.since(heard) >= silence) {
            return self.disconnect(node, PeerState::Disconnected);
        }
        let late = now.since(peer.step) >= answer_timeout;
        let said = peer.said;
        match peer.state {
            PeerState::Greeting
            | PeerState::Comparing
            | PeerState::SettingAside
            | PeerState::Beginning
            | PeerState::Ahead
                if late =>
            {
                self.greet(node, now);
            }
            PeerState::Shipping if late && !peer.sent.is_empty() => {
                peer.step = now;
                let back = peer.floor();
                self.resend(node, back, now);
            }
            _ => {}
        }
        if now.since(said) >= heartbeat
            && let Some(peer) = self.peers.get(&node)
        {
            let acked = peer.durable.position;
            let after = peer.cursor;
            let unacked = peer.state == PeerState::Shipping && peer.sent.is_empty() && acked < after.position;
            self.send(node, Frame::Heartbeat { epoch, head, acked }, now);
            if unacked {
                // The question for an ack was lost, or its answer.
                self.send(node, Frame::Append(Append { epoch, after, records: Vec::new() }), now);
            }
            self.pump(node);
        }
    }

    /// When [`Leader::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Micros> {
        if self.fenced.is_some() {
            return None;
        }
        let peers = self.peers.values().filter(|peer| peer.connected).map(|peer| {
            let beat = peer.said.plus(self.config.heartbeat);
            let silence = peer.heard.unwrap_or_default().plus(self.config.silence);
            let waits = match peer.state {
                PeerState::Shipping => !peer.sent.is_empty(),
                PeerState::Greeting
                | PeerState::Comparing
                | PeerState::SettingAside
                | PeerState::Beginning
                | PeerState::Ahead => true,
                _ => false,
            };
            let step = waits.then(|| peer.step.plus(self.config.answer_timeout));
            step.into_iter().fold(beat.min(silence), Micros::min)
        });
        let watch = (self.config.failover.is_some() || self.promotion.is_some()).then_some(self.look);
        peers.chain(watch).min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<LeaderOutput> {
        self.outputs.pop_front()
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.topology.topology.epoch()
    }

    /// The topology in force.
    pub fn topology(&self) -> &SignedTopology {
        &self.topology
    }

    /// The own durable head.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Every peer.
    pub fn status(&self) -> Vec<PeerStatus> {
        let primary = self.topology.topology.primary();
        let status = |(node, peer): (&NodeId, &Peer)| PeerStatus {
            node: *node,
            primary: *node == primary,
            state: peer.state.clone(),
            durable: peer.durable,
            lag: self.head.position.saturating_sub(peer.durable.position.max(peer.reported.position)),
            in_flight_bytes: peer.in_flight,
            promised: peer.promised,
            resends: peer.resends_total,
            heard: peer.heard,
        };
        self.peers.iter().map(status).collect()
    }

    /// What this leader may claim.
    pub fn standing(&self) -> Standing {
        let topology = &self.topology.topology;
        let counted = || self.peers.iter().filter(|(_, peer)| peer.promised && peer.convicted.is_none());
        let promised = counted().count();
        let mut ahead = counted().filter_map(|(node, peer)| Some((*node, peer.ahead?)));
        let behind = ahead.next();
        let placed = counted().filter(|(_, peer)| peer.state == PeerState::Shipping);
        let placed_primary = placed.clone().any(|(node, _)| *node == topology.primary());
        Standing {
            epoch: topology.epoch(),
            promised,
            established: self.established,
            confirmed: behind.is_none() && placed_primary && placed.count() >= topology.majority(),
            behind,
            fenced: self.fenced,
        }
    }

    /// The level that the record at `position` has reached. Never counts a peer that was caught lying, nor anything
    /// before enough members promised this epoch.
    pub fn level_of(&self, position: u64) -> Level {
        if self.primary_position() < position || position > self.head.position {
            return Level::Local;
        }
        match self.durable_on(position).len() {
            0 | 1 => Level::Primary,
            many => Level::Replicated(many.min(limit::MEMBERS_MAX) as u16),
        }
    }

    /// The storage nodes known to be durable through `position`.
    pub fn durable_on(&self, position: u64) -> Vec<NodeId> {
        let nodes = self.peers.keys().copied();
        nodes.filter(|node| self.durable(*node) >= position.max(1)).collect()
    }

    /// Through which position the level is [`Level::Primary`] or higher.
    pub fn primary_position(&self) -> u64 {
        let established = self.established || planted!(self, CountsBeforeEstablished);
        if self.fenced.is_some() || !established {
            return 0;
        }
        let primary = self.durable(self.topology.topology.primary());
        match self.promotion {
            Some(Promotion { candidate, asked: Some(_), .. }) => primary.min(self.durable(candidate)),
            _ => primary,
        }
    }

    fn durable(&self, node: NodeId) -> u64 {
        let counted =
            self.peers.get(&node).filter(|peer| peer.convicted.is_none() || planted!(self, CountsLiars));
        counted.map_or(0, |peer| peer.durable.position)
    }

    fn send(&mut self, to: NodeId, frame: Frame, now: Micros) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.said = now;
        }
        self.outputs.push_back(LeaderOutput::Send { to, frame });
    }

    fn disconnect(&mut self, node: NodeId, state: PeerState) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.state = state.clone();
        }
        self.handle_disconnected(node);
        self.outputs.push_back(LeaderOutput::Disconnect { peer: node, state });
    }

    fn witness(&mut self, evidence: Evidence) {
        if self.evidence < limit::EVIDENCE_MAX {
            self.evidence += 1;
            self.outputs.push_back(LeaderOutput::Evidence(evidence));
        }
    }

    fn convict(&mut self, node: NodeId, fault: Fault) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.convicted = Some(fault);
            self.disconnect(node, PeerState::Convicted(fault));
        }
    }

    fn greet(&mut self, node: NodeId, now: Micros) {
        self.greetings += 1;
        let hello = Hello {
            version: limit::VERSION,
            network: self.network,
            greeting: self.greetings,
            topology: self.topology.clone(),
        };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.state = PeerState::Greeting;
        peer.greeting = hello.greeting;
        peer.search = None;
        peer.unchecked = None;
        peer.step = now;
        peer.common = Head::EMPTY;
        peer.rewind(Head::EMPTY);
        self.send(node, Frame::Hello(hello), now);
    }

    /// Finds out from where to ship.
    fn welcomed(&mut self, node: NodeId, welcome: Welcome, now: Micros) {
        let (own, base) = (self.head, self.start.base);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.promised = true;
        peer.first = welcome.first;
        peer.reported = welcome.head;
        peer.step = now;
        if welcome.head.position < peer.durable.position {
            let acked = peer.last_ack.take();
            peer.durable = Head::EMPTY;
            if let Some(acked) = acked {
                self.witness(Evidence::RolledBack { node, acked, head: welcome.head });
            }
        }
        self.establish();
        let floor = base.position.max(welcome.first.saturating_sub(1));
        let top = own.position.min(welcome.head.position);
        match CommonSearch::new(floor, top) {
            Some(search) => {
                let search = Search { search, position: 0, mine: None, theirs: None };
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.state = PeerState::Comparing;
                    peer.search = Some(search);
                }
                self.search(node, now);
            }
            None if welcome.head == Head::EMPTY && base.position > 0 => {
                let (epoch, checkpoint) = (self.epoch(), self.start.checkpoint.clone());
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.state = PeerState::Beginning;
                }
                self.send(node, Frame::Begin { epoch, base, checkpoint }, now);
            }
            None => self.set_state(node, PeerState::Unreachable),
        }
    }

    /// The epoch counts from the moment when a majority has promised it and the primary's log is part of ours: before
    /// that, the primary may hold what another writer acknowledged and we never saw.
    fn establish(&mut self) {
        let topology = &self.topology.topology;
        let promised = |(_, peer): &(&NodeId, &Peer)| peer.promised && peer.convicted.is_none();
        let primary = self.peers.get(&topology.primary());
        let unseen = planted!(self, CountsUnseenPrimary);
        let placed =
            primary.is_some_and(|peer| peer.promised && (peer.state == PeerState::Shipping || unseen));
        let enough = self.peers.iter().filter(promised).count() >= topology.majority();
        if placed && enough && !self.established {
            self.established = true;
            // Whatever the primary holds may have been acknowledged, by us or by a writer before us.
            let held = primary.map_or(0, |peer| peer.common.position);
            if !planted!(self, ForgetsOldGrants) {
                self.granted = self.granted.max(held);
            }
            self.outputs.push_back(LeaderOutput::Established { epoch: topology.epoch() });
            // Acks that came before begin to count with it.
            self.note_granted();
        }
    }

    /// Remembers what a receipt may say now. Called wherever that can rise: with an ack, when an epoch is
    /// established, when a promotion is called off.
    fn note_granted(&mut self) {
        self.granted = self.granted.max(self.primary_position());
    }

    fn set_state(&mut self, node: NodeId, state: PeerState) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.state = state;
        }
    }

    /// Takes the next step of the search for the last common record.
    fn search(&mut self, node: NodeId, now: Micros) {
        let (own, base, epoch) = (self.head, self.start.base, self.epoch());
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(search) = &mut peer.search else { return };
        peer.step = now;
        match search.search.next() {
            Found::Compare(position) => {
                search.position = position;
                let known = [own, base, Head::EMPTY].into_iter().find(|head| head.position == position);
                search.mine = known.map(|head| head.digest);
                let known = [peer.reported, Head::EMPTY].into_iter().find(|head| head.position == position);
                search.theirs = known.map(|head| head.digest);
                let (mine, theirs) = (search.mine, search.theirs);
                if mine.is_none() {
                    self.outputs.push_back(LeaderOutput::ReadDigest { peer: node, position });
                }
                if theirs.is_none() {
                    self.send(node, Frame::DigestAt { epoch, position }, now);
                }
                if mine.is_some() && theirs.is_some() {
                    self.decide(node, now);
                }
            }
            Found::Common(head) => {
                let fork = search.search.is_fork();
                self.place(node, head, fork, now);
            }
            Found::Nothing => {
                peer.search = None;
                peer.state = PeerState::Unreachable;
            }
        }
    }

    /// One of the two digests that the search waits for.
    fn compared(
        &mut self,
        node: NodeId,
        position: u64,
        mine: Option<Option<Digest>>,
        theirs: Option<Option<Digest>>,
        now: Micros,
    ) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(search) = peer.search.as_mut().filter(|search| search.position == position) else { return };
        if mine == Some(None) || theirs == Some(None) {
            // Pruned meanwhile; the next greeting starts with what is kept then.
            return;
        }
        search.mine = search.mine.or(mine.flatten());
        search.theirs = search.theirs.or(theirs.flatten());
        self.decide(node, now);
    }

    fn decide(&mut self, node: NodeId, now: Micros) {
        let Some(search) = self.peers.get_mut(&node).and_then(|peer| peer.search.as_mut()) else { return };
        if let (Some(mine), Some(theirs)) = (search.mine, search.theirs) {
            search.search.compared(search.position, mine, theirs);
            self.search(node, now);
        }
    }

    /// The logs are equal through `common`. Behind it they differ, if it is a fork; otherwise one of them ended there
    /// when the search began.
    fn place(&mut self, node: NodeId, common: Head, fork: bool, now: Micros) {
        let (own, epoch) = (self.head, self.epoch());
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.search = None;
        if peer.reported.position == common.position {
            peer.ahead = None;
        }
        if peer.reported.position > common.position {
            let grew = !fork && own.position > common.position;
            if grew && !planted!(self, ForgetsThatItGrew) {
                // Ours has grown during the search: what lies behind was not compared yet.
                return self.greet(node, now);
            }
            if !fork && !grew {
                peer.state = PeerState::Ahead;
                let head = peer.reported;
                peer.ahead = Some(head);
                // Others may continue our log with what a fenced writer left behind; what was acknowledged is at the
                // primary, so its log comes first.
                if node == self.topology.topology.primary() || self.established {
                    self.outputs.push_back(LeaderOutput::Behind { peer: node, head });
                }
                return;
            }
            peer.ahead = None;
            peer.state = PeerState::SettingAside;
            if peer.durable.position > common.position {
                peer.durable = common;
                peer.last_ack = None;
            }
            return self.send(node, Frame::SetAside { epoch, keep: common }, now);
        }
        peer.state = PeerState::Shipping;
        if peer.durable.position > common.position {
            peer.durable = common;
        }
        peer.common = common;
        peer.rewind(common);
        self.establish();
        self.outputs.push_back(LeaderOutput::CatchUp { peer: node, from: common, head: own });
        // An empty append asks for an ack of what is there, so that it counts.
        let append = Append { epoch, after: common, records: Vec::new() };
        self.send(node, Frame::Append(append), now);
        self.pump(node);
    }

    /// Reads the next records for a peer, if its window has room.
    fn pump(&mut self, node: NodeId) {
        let (window, frame) = (self.config.window_bytes, self.config.append_bytes_max);
        let head = self.head;
        let unbounded = planted!(self, IgnoresTheWindow);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let full = peer.in_flight >= window && !unbounded;
        let idle = peer.state == PeerState::Shipping && peer.reading.is_none();
        if !idle || full || peer.cursor.position >= head.position {
            return;
        }
        self.reads += 1;
        let id = ReadId(self.reads);
        peer.reading = Some(id);
        let bytes_max = frame.min(window.saturating_sub(peer.in_flight)).max(1);
        let after = peer.cursor.position;
        self.outputs.push_back(LeaderOutput::Read { peer: node, id, after, bytes_max });
    }

    /// Sends again from `back` on, if this interval's budget allows it.
    fn resend(&mut self, node: NodeId, back: Head, now: Micros) {
        let (max, span) = (self.config.resends_max, self.config.resend_interval);
        let unbounded = planted!(self, ResendStorm);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.resends.take(max, span, now) || unbounded {
            peer.resends_total += 1;
            peer.rewind(back);
            self.pump(node);
        }
    }

    fn nacked(&mut self, node: NodeId, nack: Nack, now: Micros) {
        let (max, span) = (self.config.resends_max, self.config.resend_interval);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match peer.known(nack.tail.position) {
            Some(digest) if digest == nack.tail.digest => self.resend(node, nack.tail, now),
            Some(_) if peer.resends.take(max, span, now) => self.greet(node, now),
            None if nack.tail.position < peer.cursor.position => {
                let back = peer.floor();
                self.resend(node, back, now);
            }
            // It is ahead of all that was sent: where its log stands has to be found again.
            None if peer.resends.take(max, span, now) => self.greet(node, now),
            // No budget.
            Some(_) | None => {}
        }
    }

    fn acked(&mut self, node: NodeId, ack: Ack, now: Micros, verifier: &dyn VerifySignature) {
        let (network, own) = (self.network, self.head);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let repeated =
            peer.last_ack.as_ref().is_some_and(|last| last.epoch == ack.epoch && last.head == ack.head);
        if repeated || ack.head.position < peer.durable.position {
            return;
        }
        if !ack.is_signed_by(network, &peer.key, verifier) && !planted!(self, SkipsSignatures) {
            return self.convict(node, Fault::BadSignature);
        }
        if let Some(first) = &peer.last_ack
            && first.epoch == ack.epoch
            && first.head.position == ack.head.position
        {
            let first = first.clone();
            self.witness(Evidence::TwoAcks { node, first, other: ack });
            return self.convict(node, Fault::TwoAcks);
        }
        if ack.head.position > own.position {
            self.witness(Evidence::OtherAck { node, ack, log: None });
            return self.convict(node, Fault::OtherAck);
        }
        match peer.known(ack.head.position) {
            Some(digest) => self.judge_ack(node, ack, digest, now),
            None => {
                let position = ack.head.position;
                peer.unchecked = Some(ack);
                self.outputs.push_back(LeaderOutput::ReadDigest { peer: node, position });
            }
        }
    }

    /// `ack` is signed; `digest` is what the own log has there.
    fn judge_ack(&mut self, node: NodeId, ack: Ack, digest: Digest, now: Micros) {
        let log = Head { position: ack.head.position, digest };
        if ack.head != log && !planted!(self, IgnoresTheDigest) {
            self.witness(Evidence::OtherAck { node, ack, log: Some(log) });
            return self.convict(node, Fault::OtherAck);
        }
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.durable = log;
        peer.step = now;
        peer.last_ack = Some(ack);
        while let Some((head, bytes)) = peer.sent.front().copied() {
            if head.position > log.position {
                break;
            }
            peer.sent.pop_front();
            peer.in_flight -= bytes;
        }
        if peer.cursor.position < log.position {
            peer.rewind(log);
        }
        self.outputs.push_back(LeaderOutput::Acked { peer: node, head: log });
        self.note_granted();
        self.pump(node);
        self.promote(now);
    }

    fn refused(&mut self, node: NodeId, refusal: Refusal, verifier: &dyn VerifySignature) {
        let (Refusal::StaleEpoch(held) | Refusal::EpochTaken(held)) = &refusal else {
            return self.disconnect(node, PeerState::Refused(refusal));
        };
        // Believed only with the core node's signature: a liar must not be able to fence anybody.
        let genuine = held.verify(self.network, &self.config.core, verifier).is_ok();
        let same = held.topology.epoch() == self.epoch() && *held != self.topology;
        if genuine && (held.topology.epoch() > self.epoch() || same) {
            let held = held.clone();
            if same {
                let mine = self.topology.clone();
                self.witness(Evidence::TwoTopologies { held: mine, other: held.clone() });
            }
            return self.fence(held);
        }
        self.disconnect(node, PeerState::Refused(refusal));
    }

    fn fence(&mut self, topology: SignedTopology) {
        self.fenced = Some(topology.topology.epoch());
        self.promotion = None;
        self.outputs.push_back(LeaderOutput::Fenced { topology });
        let open: Vec<NodeId> =
            self.peers.iter().filter(|(_, peer)| peer.connected).map(|(node, _)| *node).collect();
        for node in open {
            self.disconnect(node, PeerState::Disconnected);
        }
    }

    /// Failover: with three members or more, a silent primary is replaced by the most advanced follower, if a
    /// majority answers.
    fn watch_primary(&mut self, now: Micros) {
        if now < self.look {
            return;
        }
        self.look = now.plus(self.config.heartbeat);
        let Some(span) = self.config.failover else { return };
        let primary = self.topology.topology.primary();
        let is_live = |peer: &Peer| {
            peer.connected
                && peer.convicted.is_none()
                && peer.heard.is_some_and(|heard| now.since(heard) < span)
        };
        if let Some(peer) = self.peers.get(&primary).filter(|peer| is_live(peer)) {
            self.primary_heard = peer.heard.unwrap_or(now);
            if self.promotion.is_some_and(|promotion| promotion.automatic) {
                self.promotion = None;
                self.note_granted();
            }
            return;
        }
        let silent = now.since(self.primary_heard) >= span;
        if !silent || self.peers.len() < 3 || self.promotion.is_some() {
            return;
        }
        let live = self.peers.iter().filter(|(_, peer)| is_live(peer));
        if live.clone().count() < self.topology.topology.majority() {
            return;
        }
        let shipping = live.filter(|(_, peer)| peer.state == PeerState::Shipping);
        let best = shipping.max_by_key(|(node, peer)| (peer.durable.position, core::cmp::Reverse(**node)));
        if let Some((candidate, _)) = best {
            self.promotion =
                Some(Promotion { candidate: *candidate, automatic: true, asked: None, first_asked: None });
        }
    }

    /// Asks for the promotion under way once the candidate holds everything acknowledged.
    fn promote(&mut self, now: Micros) {
        let Some(promotion) = self.promotion else { return };
        let answer_timeout = self.config.answer_timeout;
        let given_up = |first: Micros| now.since(first) >= Micros(answer_timeout.0.saturating_mul(5));
        if promotion.first_asked.is_some_and(given_up) || !self.peers.contains_key(&promotion.candidate) {
            self.promotion = None;
            return self.note_granted();
        }
        let again = self.config.failover.unwrap_or(answer_timeout);
        if !self.established {
            return;
        }
        let ready = self.durable(promotion.candidate) >= self.granted || planted!(self, PromotesTooEarly);
        if ready && promotion.asked.is_none_or(|asked| now.since(asked) >= again) {
            let first_asked = promotion.first_asked.or(Some(now));
            self.promotion = Some(Promotion { asked: Some(now), first_asked, ..promotion });
            self.outputs.push_back(LeaderOutput::PromotionNeeded { candidate: promotion.candidate });
        }
    }
}
