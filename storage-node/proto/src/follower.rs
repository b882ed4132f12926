//! A storage node's side: promise an epoch, append what the leader ships, ack what is durable.

use crate::frame::{Ack, Append, Evidence, Frame, Hello, Nack, Refusal, Welcome};
use crate::head::weight;
use crate::topology::Budget;
use crate::{Head, Micros, NodeId, Promise, Record, SignedTopology, limit};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use dsm_abi::{Digest, NetworkId, VerifySignature};
use dsm_core::PublicKey;

/// A connection, numbered by the shell and never reused. Two writers may be connected at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How a follower behaves.
#[derive(Debug, Clone)]
pub struct FollowerConfig {
    /// This node.
    pub node: NodeId,
    /// The core node's key, which signs topologies.
    pub core: PublicKey,
    /// The network; `None` takes that of the first topology that the core node signed.
    pub network: Option<NetworkId>,
    /// How much may be on its way to the disk.
    pub pending_bytes_max: usize,
    /// A connection that has been silent for so long is closed.
    pub silence: Micros,
    /// At most so many nacks, and so many repeated acks, per connection and interval.
    pub repeats_max: u32,
    /// The interval.
    pub repeat_interval: Micros,
}

impl FollowerConfig {
    /// 32 MiB on their way (four windows of a leader), 15 s of silence (QUIC's idle timeout), 8 repeats a second.
    pub fn new(node: NodeId, core: PublicKey, network: Option<NetworkId>) -> FollowerConfig {
        FollowerConfig {
            node,
            core,
            network,
            pending_bytes_max: 32 << 20,
            silence: Micros::from_millis(15_000),
            repeats_max: 8,
            repeat_interval: Micros::from_millis(1000),
        }
    }
}

/// Why records handed out by [`FollowerOutput::Append`] did not become durable. None of those handed out and not
/// yet reported durable may become so later: the shell discards them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendFailure {
    /// The disk is full; the log stays usable.
    Full,
    /// A record failed the shell's check of signatures.
    BadRecord {
        /// Its position.
        position: u64,
    },
    /// A write or sync failed: nothing more is acked until the node is opened again.
    Poisoned,
}

/// What the shell has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerOutput {
    /// Send a frame.
    Send {
        /// Where.
        to: ConnectionId,
        /// What.
        frame: Frame,
    },
    /// Make the promise durable, then call [`Follower::handle_persisted`]. If that fails, stop the node.
    Persist(Promise),
    /// Check the records, append and sync them (one sync for many outputs), then call
    /// [`Follower::handle_appended`] with the last `head` that is durable, or [`Follower::handle_append_failed`].
    Append {
        /// The head that they follow.
        after: Head,
        /// The records.
        records: Vec<Record>,
        /// The head after them.
        head: Head,
    },
    /// Set aside what lies behind `keep`, durably, checking its digest; then [`Follower::handle_set_aside`].
    SetAside {
        /// The last record kept.
        keep: Head,
    },
    /// Verify the checkpoint (signature of the core node, position and digest of `base`) and begin an empty log
    /// behind it; then [`Follower::handle_began`].
    Begin {
        /// The head that the checkpoint names.
        base: Head,
        /// A signed checkpoint, canonical bytes.
        checkpoint: Vec<u8>,
    },
    /// Sign [`Ack::signing_message`] with the node's key, then [`Follower::handle_signed`].
    SignAck {
        /// The network.
        network: NetworkId,
        /// The epoch.
        epoch: u64,
        /// The head.
        head: Head,
    },
    /// Look the digest up, then [`Follower::handle_digest`].
    ReadDigest {
        /// Who asks.
        to: ConnectionId,
        /// The position.
        position: u64,
    },
    /// Close the connection, after what was sent on it.
    Disconnect {
        /// Which.
        connection: ConnectionId,
        /// Why, for the log.
        reason: Refusal,
    },
    /// Store this.
    Evidence(Evidence),
    /// A leader of this epoch may now write here.
    Following {
        /// Its connection.
        connection: ConnectionId,
        /// The epoch.
        epoch: u64,
    },
}

/// Where a follower stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerStatus {
    /// The network, once known.
    pub network: Option<NetworkId>,
    /// The durable promise.
    pub promise: Option<Promise>,
    /// The first position kept.
    pub first: u64,
    /// Durable through here.
    pub durable: Head,
    /// Handed out to be appended through here.
    pub tail: Head,
    /// The end of the leader's log by its last heartbeat.
    pub leader_head: Option<Head>,
    /// The connection that may write.
    pub writer: Option<ConnectionId>,
    /// Bytes on their way to the disk.
    pub pending_bytes: usize,
    /// Connections, greeted or not.
    pub connections: usize,
}

/// A storage node's side of replication.
#[derive(Debug)]
pub struct Follower {
    config: FollowerConfig,
    network: Option<NetworkId>,
    promise: Option<Promise>,
    persisting: Option<Promise>,
    first: u64,
    durable: Head,
    tail: Head,
    pending: VecDeque<(Head, usize)>,
    pending_bytes: usize,
    /// A set-aside or a beginning is under way.
    changing: bool,
    stopping: bool,
    sessions: BTreeMap<ConnectionId, Session>,
    writer: Option<ConnectionId>,
    signing: Option<(u64, Head)>,
    last_ack: Option<Ack>,
    leader_head: Option<Head>,
    outputs: VecDeque<FollowerOutput>,
    evidence: usize,
    #[cfg(feature = "sim")]
    planted: Option<crate::sim::Bug>,
}

#[derive(Debug)]
struct Session {
    heard: Micros,
    greeting: u64,
    /// A welcome is owed, and sent when nothing is on its way any more.
    welcome_due: bool,
    /// The leader has sent something that follows the tail, so the tail is part of its log.
    confirmed: bool,
    repeats: Budget,
}

impl Follower {
    /// A follower whose durable log keeps `first` to `head` and that has promised `promise`.
    pub fn new(config: FollowerConfig, promise: Option<Promise>, first: u64, head: Head) -> Follower {
        let network = promise.as_ref().map(|held| held.topology.topology.network()).or(config.network);
        Follower {
            config,
            network,
            promise,
            persisting: None,
            first,
            durable: head,
            tail: head,
            pending: VecDeque::new(),
            pending_bytes: 0,
            changing: false,
            stopping: false,
            sessions: BTreeMap::new(),
            writer: None,
            signing: None,
            last_ack: None,
            leader_head: None,
            outputs: VecDeque::new(),
            evidence: 0,
            #[cfg(feature = "sim")]
            planted: None,
        }
    }

    /// Switches a bug on.
    #[cfg(feature = "sim")]
    pub(crate) fn plant(&mut self, bug: Option<crate::sim::Bug>) {
        self.planted = bug;
    }

    /// Somebody authenticated and opened a stream.
    pub fn handle_connected(&mut self, connection: ConnectionId, now: Micros) {
        if self.stopping || self.sessions.len() >= limit::CONNECTIONS_MAX {
            let reason = if self.stopping { Refusal::Stopping } else { Refusal::Busy };
            self.outputs.push_back(FollowerOutput::Disconnect { connection, reason });
            return;
        }
        let session = Session {
            heard: now,
            greeting: 0,
            welcome_due: false,
            confirmed: false,
            repeats: Budget::new(now),
        };
        self.sessions.insert(connection, session);
    }

    /// The connection is gone.
    pub fn handle_disconnected(&mut self, connection: ConnectionId) {
        self.sessions.remove(&connection);
        if self.writer == Some(connection) {
            self.writer = None;
        }
    }

    /// A frame came.
    pub fn handle_frame(
        &mut self,
        from: ConnectionId,
        frame: Frame,
        now: Micros,
        verifier: &dyn VerifySignature,
    ) {
        let Some(session) = self.sessions.get_mut(&from) else { return };
        session.heard = now;
        if frame.check().is_err() {
            return self.refuse(from, Refusal::Busy);
        }
        match frame {
            Frame::Hello(hello) => self.greet(from, hello, verifier),
            Frame::Append(append) => {
                if self.may_write(from, append.epoch) {
                    self.append(from, append, now);
                }
            }
            Frame::DigestAt { epoch, position } => {
                if self.may_write(from, epoch) {
                    self.outputs.push_back(FollowerOutput::ReadDigest { to: from, position });
                }
            }
            Frame::SetAside { epoch, keep } => {
                if self.may_write(from, epoch) {
                    self.set_aside(from, epoch, keep);
                }
            }
            Frame::Begin { epoch, base, checkpoint } => {
                if self.may_write(from, epoch) {
                    self.begin(from, base, checkpoint);
                }
            }
            Frame::Heartbeat { epoch, head, acked } => {
                if self.may_write(from, epoch) {
                    self.leader_head = Some(head);
                    self.send(from, Frame::Alive { epoch, head: self.durable });
                    if self.last_ack.as_ref().is_some_and(|ack| ack.head.position > acked) {
                        self.repeat_ack(from, now);
                    }
                }
            }
            // Frames that only followers send, and questions, which have streams of their own.
            Frame::Welcome(_)
            | Frame::Ack(_)
            | Frame::Refuse(_)
            | Frame::Nack(_)
            | Frame::Digest { .. }
            | Frame::Alive { .. }
            | Frame::Fetch(_)
            | Frame::Fetched(_) => self.refuse(from, Refusal::Busy),
        }
    }

    /// The promise of this epoch is durable.
    pub fn handle_persisted(&mut self, epoch: u64) {
        if self.persisting.as_ref().is_none_or(|promise| promise.topology.topology.epoch() != epoch) {
            return;
        }
        self.promise = self.persisting.take();
        self.settle();
    }

    /// The log is durable through `head`, the end of one of the outputs. Anything else is ignored.
    pub fn handle_appended(&mut self, head: Head) {
        let Some(index) = self.pending.iter().position(|(end, _)| *end == head) else { return };
        for (_, bytes) in self.pending.drain(..=index) {
            self.pending_bytes -= bytes;
        }
        self.durable = head;
        self.settle();
    }

    /// What was handed out and not reported durable never will be.
    pub fn handle_append_failed(&mut self, failure: &AppendFailure) {
        self.tail = self.durable;
        self.pending.clear();
        self.pending_bytes = 0;
        let refusal = match failure {
            AppendFailure::Full => Refusal::Full,
            AppendFailure::BadRecord { position } => Refusal::BadRecord { position: *position },
            AppendFailure::Poisoned => return self.stop(),
        };
        if let Some(writer) = self.writer {
            self.refuse(writer, refusal);
        }
        self.settle();
    }

    /// The diverging tail is set aside and the log ends at `Some(head)`; `None`: it could not be done.
    pub fn handle_set_aside(&mut self, head: Option<Head>) {
        self.changed(head, Refusal::Damaged);
    }

    /// The empty log begins behind `Some(base)`; `None`: the checkpoint does not verify.
    pub fn handle_began(&mut self, base: Option<Head>) {
        if let Some(base) = base {
            self.first = base.position.saturating_add(1);
        }
        self.changed(base, Refusal::Begin);
    }

    fn changed(&mut self, head: Option<Head>, otherwise: Refusal) {
        self.changing = false;
        match (head, self.writer) {
            (Some(head), _) => {
                self.tail = head;
                self.durable = head;
                if let Some(session) = self.writer.and_then(|writer| self.sessions.get_mut(&writer)) {
                    session.welcome_due = true;
                }
            }
            (None, Some(writer)) => self.refuse(writer, otherwise),
            (None, None) => {}
        }
        self.settle();
    }

    /// The node's signature for a [`FollowerOutput::SignAck`].
    pub fn handle_signed(&mut self, ack: Ack) {
        if self.signing != Some((ack.epoch, ack.head)) {
            return;
        }
        self.signing = None;
        let current = self.epoch() == ack.epoch && self.persisting.is_none();
        self.last_ack = Some(ack.clone());
        if current && let Some(writer) = self.confirmed_writer() {
            self.send(writer, Frame::Ack(ack));
        }
        self.settle();
    }

    /// The answer to a [`FollowerOutput::ReadDigest`]; `None` if the position is not kept.
    pub fn handle_digest(&mut self, to: ConnectionId, position: u64, digest: Option<Digest>) {
        if self.writer == Some(to) {
            let epoch = self.epoch();
            self.send(to, Frame::Digest { epoch, position, digest });
        }
    }

    /// Old records were removed: `first` is the first position kept now.
    pub fn handle_pruned(&mut self, first: u64) {
        self.first = first;
    }

    /// The node stops: everything on its way is finished by the shell, nothing new is taken.
    pub fn stop(&mut self) {
        self.stopping = true;
        let open: Vec<ConnectionId> = self.sessions.keys().copied().collect();
        for connection in open {
            self.refuse(connection, Refusal::Stopping);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Micros) {
        let silence = self.config.silence;
        let silent: Vec<ConnectionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| now.since(session.heard) >= silence)
            .map(|(connection, _)| *connection)
            .collect();
        for connection in silent {
            self.refuse(connection, Refusal::Busy);
        }
    }

    /// When [`Follower::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Micros> {
        self.sessions.values().map(|session| session.heard.plus(self.config.silence)).min()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<FollowerOutput> {
        self.outputs.pop_front()
    }

    /// Where this node stands.
    pub fn status(&self) -> FollowerStatus {
        FollowerStatus {
            network: self.network,
            promise: self.promise.clone(),
            first: self.first,
            durable: self.durable,
            tail: self.tail,
            leader_head: self.leader_head,
            writer: self.writer,
            pending_bytes: self.pending_bytes,
            connections: self.sessions.len(),
        }
    }

    /// The promised epoch, 0 for none.
    pub fn epoch(&self) -> u64 {
        self.promise.as_ref().map_or(0, |promise| promise.topology.topology.epoch())
    }

    fn send(&mut self, to: ConnectionId, frame: Frame) {
        self.outputs.push_back(FollowerOutput::Send { to, frame });
    }

    /// Says why, and closes.
    fn refuse(&mut self, connection: ConnectionId, reason: Refusal) {
        self.send(connection, Frame::Refuse(reason.clone()));
        self.outputs.push_back(FollowerOutput::Disconnect { connection, reason });
        self.handle_disconnected(connection);
    }

    fn witness(&mut self, evidence: Evidence) {
        if self.evidence < limit::EVIDENCE_MAX {
            self.evidence += 1;
            self.outputs.push_back(FollowerOutput::Evidence(evidence));
        }
    }

    /// Fencing: only the connection that greeted last in the promised epoch writes, and never while a higher
    /// promise is on its way to the disk.
    fn may_write(&mut self, from: ConnectionId, epoch: u64) -> bool {
        let Some(promise) = &self.promise else { return false };
        if self.persisting.is_some() && !planted!(self, AnswersBeforePersisting) {
            return false;
        }
        let promised = promise.topology.topology.epoch();
        if epoch < promised && !planted!(self, LostFence) {
            let held = promise.topology.clone();
            self.refuse(from, Refusal::StaleEpoch(held));
            return false;
        }
        epoch <= promised && (self.writer == Some(from) || planted!(self, LostFence))
    }

    fn greet(&mut self, from: ConnectionId, hello: Hello, verifier: &dyn VerifySignature) {
        if hello.version != limit::VERSION {
            return self.refuse(from, Refusal::Version { supported: limit::VERSION });
        }
        if self.network.is_some_and(|network| network != hello.network) {
            return self.refuse(from, Refusal::Network);
        }
        if hello.topology.verify(hello.network, &self.config.core, verifier).is_err() {
            return self.refuse(from, Refusal::Topology);
        }
        if hello.topology.topology.member(self.config.node).is_none() {
            return self.refuse(from, Refusal::NotAMember);
        }
        let overtaken = self.sessions.get(&from).is_some_and(|session| session.greeting > hello.greeting);
        if self.persisting.is_some() || overtaken {
            // The leader greets again after a while, or has done so.
            return;
        }
        let offered = hello.topology.topology.epoch();
        match self.promise.as_ref().map(|promise| &promise.topology) {
            Some(held) if held.topology.epoch() > offered && !planted!(self, LostFence) => {
                let held = held.clone();
                return self.refuse(from, Refusal::StaleEpoch(held));
            }
            Some(held) if held.topology.epoch() == offered && held.topology != hello.topology.topology => {
                let held = held.clone();
                self.witness(Evidence::TwoTopologies { held: held.clone(), other: hello.topology });
                return self.refuse(from, Refusal::EpochTaken(held));
            }
            Some(held) if held.topology.epoch() >= offered => {}
            Some(_) | None => self.promise(hello.topology),
        }
        self.follow(from, hello.greeting);
        self.settle();
    }

    fn promise(&mut self, topology: SignedTopology) {
        self.network = Some(topology.topology.network());
        let promise = Promise { topology, since: self.tail.position };
        self.outputs.push_back(FollowerOutput::Persist(promise.clone()));
        self.persisting = Some(promise);
    }

    fn follow(&mut self, from: ConnectionId, greeting: u64) {
        let same = self.writer == Some(from);
        if let Some(session) = self.sessions.get_mut(&from) {
            // The same greeting once more asks for the same answer; what was confirmed since stays so.
            session.confirmed &= same && session.greeting == greeting;
            session.greeting = greeting;
            session.welcome_due = true;
        }
        self.writer = Some(from);
    }

    /// Does what had to wait for something else.
    fn settle(&mut self) {
        let held_back = self.persisting.is_some() && !planted!(self, AnswersBeforePersisting);
        if held_back || self.changing || self.stopping {
            return;
        }
        self.welcome();
        self.sign();
    }

    fn welcome(&mut self) {
        let Some(writer) = self.writer else { return };
        let Some(session) = self.sessions.get(&writer).filter(|session| session.welcome_due) else { return };
        if self.tail != self.durable {
            return;
        }
        let greeting = session.greeting;
        let Some(promise) = self.persisting.as_ref().or(self.promise.as_ref()) else { return };
        let epoch = promise.topology.topology.epoch();
        if promise.since > self.tail.position {
            // The log was cut since: what follows will be of this epoch, and must be known to be.
            let promise = Promise { topology: promise.topology.clone(), since: self.tail.position };
            self.outputs.push_back(FollowerOutput::Persist(promise.clone()));
            self.persisting = Some(promise);
            return;
        }
        if let Some(session) = self.sessions.get_mut(&writer) {
            session.welcome_due = false;
        }
        let welcome = Welcome { epoch, greeting, first: self.first, head: self.durable };
        self.send(writer, Frame::Welcome(welcome));
        self.outputs.push_back(FollowerOutput::Following { connection: writer, epoch });
    }

    fn confirmed_writer(&self) -> Option<ConnectionId> {
        self.writer.filter(|writer| self.sessions.get(writer).is_some_and(|session| session.confirmed))
    }

    /// Asks for a signature of the durable head, one at a time.
    fn sign(&mut self) {
        let epoch = self.epoch();
        let acked = self.last_ack.as_ref().is_some_and(|ack| ack.epoch == epoch && ack.head == self.durable);
        let Some(network) = self.network else { return };
        if self.signing.is_some() || acked || self.confirmed_writer().is_none() {
            return;
        }
        self.signing = Some((epoch, self.durable));
        self.outputs.push_back(FollowerOutput::SignAck { network, epoch, head: self.durable });
    }

    fn repeat_ack(&mut self, to: ConnectionId, now: Micros) {
        let (max, span) = (self.config.repeats_max, self.config.repeat_interval);
        let epoch = self.epoch();
        let Some(ack) = self.last_ack.clone().filter(|ack| ack.epoch == epoch) else { return };
        let Some(session) = self.sessions.get_mut(&to).filter(|session| session.confirmed) else { return };
        if session.repeats.take(max, span, now) {
            self.send(to, Frame::Ack(ack));
        }
    }

    fn nack(&mut self, to: ConnectionId, now: Micros) {
        let (max, span) = (self.config.repeats_max, self.config.repeat_interval);
        let Some(session) = self.sessions.get_mut(&to) else { return };
        if session.repeats.take(max, span, now) || planted!(self, NackStorm) {
            let (epoch, tail) = (self.epoch(), self.tail);
            self.send(to, Frame::Nack(Nack { epoch, tail }));
        }
    }

    fn is_welcomed(&self, connection: ConnectionId) -> bool {
        self.sessions.get(&connection).is_some_and(|session| !session.welcome_due) && !self.changing
    }

    fn append(&mut self, from: ConnectionId, append: Append, now: Micros) {
        if !self.is_welcomed(from) {
            return;
        }
        let Append { after, mut records, .. } = append;
        if after.position > self.tail.position {
            return self.nack(from, now);
        }
        let behind = if planted!(self, AppendsTwice) { 0 } else { self.tail.position - after.position };
        let overlap = usize::try_from(behind).unwrap_or(usize::MAX);
        if overlap > records.len() {
            // All of it is here already, unless the leader is on another history: what it sent does not tell.
            let confirmed = self.sessions.get(&from).is_some_and(|session| session.confirmed);
            return if confirmed { self.repeat_ack(from, now) } else { self.nack(from, now) };
        }
        let fresh = records.split_off(overlap);
        let Some(reached) = after.after_all(&records) else { return };
        if reached != self.tail && !planted!(self, AppendsTwice) {
            return self.diverged(from, reached, now);
        }
        let bytes = weight(&fresh);
        if !self.pending.is_empty() && self.pending_bytes + bytes > self.config.pending_bytes_max {
            return self.nack(from, now);
        }
        let Some(head) = self.tail.after_all(&fresh) else { return };
        if let Some(session) = self.sessions.get_mut(&from) {
            session.confirmed = true;
        }
        if fresh.is_empty() {
            self.repeat_ack(from, now);
        } else {
            self.pending.push_back((head, bytes));
            self.pending_bytes += bytes;
            self.outputs.push_back(FollowerOutput::Append { after: self.tail, records: fresh, head });
            self.tail = head;
        }
        self.settle();
    }

    /// Records up to `since` may be set aside by the leader; those behind it were written in its own epoch, and
    /// another record for such a position is a second writer's.
    fn diverged(&mut self, from: ConnectionId, offered: Head, now: Micros) {
        if self.promise.as_ref().is_some_and(|promise| self.tail.position > promise.since) {
            let (epoch, held) = (self.epoch(), self.tail);
            self.witness(Evidence::TwoRecords { epoch, held, offered });
            self.refuse(from, Refusal::Diverged { position: offered.position });
        } else {
            self.nack(from, now);
        }
    }

    fn set_aside(&mut self, from: ConnectionId, epoch: u64, keep: Head) {
        if !self.is_welcomed(from) || self.tail != self.durable || keep.position > self.tail.position {
            return;
        }
        if keep == self.tail {
            // Done before; the answer was lost.
            if let Some(session) = self.sessions.get_mut(&from) {
                session.welcome_due = true;
            }
            return self.settle();
        }
        let own_epoch = self.promise.as_ref().is_none_or(|promise| self.tail.position > promise.since);
        if own_epoch && !planted!(self, SetsAsideItsOwnEpoch) {
            self.witness(Evidence::TwoRecords { epoch, held: self.tail, offered: keep });
            return self.refuse(from, Refusal::Diverged { position: keep.position.saturating_add(1) });
        }
        if keep.position.saturating_add(1) < self.first {
            return self.refuse(from, Refusal::Diverged { position: keep.position });
        }
        self.changing = true;
        self.outputs.push_back(FollowerOutput::SetAside { keep });
    }

    fn begin(&mut self, from: ConnectionId, base: Head, checkpoint: Vec<u8>) {
        if !self.is_welcomed(from) || self.tail != self.durable {
            return;
        }
        if self.tail == base {
            if let Some(session) = self.sessions.get_mut(&from) {
                session.welcome_due = true;
            }
            return self.settle();
        }
        if self.tail != Head::EMPTY || self.first != 1 || base.position == 0 {
            return self.refuse(from, Refusal::Begin);
        }
        self.changing = true;
        self.outputs.push_back(FollowerOutput::Begin { base, checkpoint });
    }
}
