//! The event loop: everything that can happen to replication is in [`Event`], and the leader decides what follows.
//!
//! It reads the log on threads of its own, signs topologies, keeps evidence, and publishes what others may see. It
//! waits for nothing but its events, so a slow storage node slows nobody else.

use super::document::Documents;
use super::peer::Peer;
use super::serve::Source;
use super::view::{Counts, Line, State};
use super::{ReplicationConfig, ReplicationError, packages};
use crate::node::{Adopted, Holdings, Node, Standing};
use dsm_abi::{Digest, encode};
use dsm_crypto::Verifier;
use dsm_link::{Connection, Endpoint};
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::{
    Ack, Evidence, Fault, Frame, Head, Leader, LeaderConfig, LeaderOutput, Level, Member, Micros, NodeId,
    PeerState, ReadFailure, ReadId, Record, SignedTopology, Start, TopologyError, limit,
};
use dsm_sdk::api::ChangedTopology;
use dsm_store::LogError;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Events handled before what follows is published.
const TOGETHER_MAX: usize = 64;
/// Between two tries to fetch what is missing.
const SEARCH_PAUSE: Duration = Duration::from_secs(2);
/// What others see is told at most so often.
const TELL_PAUSE: Duration = Duration::from_millis(50);
/// Acks are written down at most so often.
const NOTE_PAUSE: Duration = Duration::from_secs(1);
/// The loop looks around at least so often.
const TICK: Duration = Duration::from_millis(250);

/// Everything that can happen.
pub(super) enum Event {
    /// A connection stands.
    Connected { node: NodeId, line: u64, connection: Connection, outgoing: mpsc::Sender<Frame> },
    /// It is gone.
    Disconnected { node: NodeId, line: u64, why: String },
    /// There is none.
    Unreachable { node: NodeId, why: String },
    /// A frame came.
    Frame { node: NodeId, line: u64, frame: Frame },
    /// Records were read from the own log.
    Read { peer: NodeId, id: ReadId, records: Result<Vec<Record>, ReadFailure> },
    /// A digest was read from the own log.
    DigestRead { peer: NodeId, position: u64, digest: Option<Digest> },
    /// What a storage node holds more than this node was fetched and adopted, or not.
    CaughtUp { peer: NodeId, outcome: Result<u64, CatchUpError> },
    /// Missing packages were looked for.
    Searched(packages::Searched),
    /// An operator wants something.
    Order(Order),
    /// The end.
    Close,
}

/// A change of the topology.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Add(Member),
    Remove(NodeId, bool),
    Promote(NodeId, bool),
}

impl Change {
    fn node(&self) -> NodeId {
        match self {
            Change::Add(member) => member.node(),
            Change::Remove(node, _) | Change::Promote(node, _) => *node,
        }
    }
}

/// An operator's order and where its outcome goes.
pub(super) struct Order {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<ChangedTopology, ReplicationError>>,
    pub(super) deadline: Instant,
}

/// An order that waits: for the candidate of a promotion, or for promises of the epoch.
struct Waiting {
    order: Order,
    since: Instant,
    /// The epoch that carries it out, once it is signed.
    epoch: Option<u64>,
}

/// Why this node did not catch up.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum CatchUpError {
    /// The storage node did not answer.
    #[error("{0}")]
    Silent(String),
    /// It sent what does not follow from this node's history.
    #[error("{0}")]
    Lie(String),
}

/// A storage node that is a member.
struct Link {
    dismissed: watch::Sender<bool>,
    line: u64,
    connection: Option<Connection>,
    outgoing: Option<mpsc::Sender<Frame>>,
    told: Line,
    /// The ack that came last, until the leader has verified it.
    offered: Option<Ack>,
    /// The last one that counts, until it is written down.
    recorded: Option<Ack>,
}

/// The loop's own state.
pub(super) struct Shell {
    node: Node,
    config: ReplicationConfig,
    documents: Documents,
    endpoint: Endpoint,
    events: mpsc::Sender<Event>,
    publish: watch::Sender<State>,
    topology: watch::Sender<Option<SignedTopology>>,
    source: Arc<Source>,
    leader: Option<Leader>,
    links: BTreeMap<NodeId, Link>,
    waiting: Vec<Waiting>,
    verifier: Verifier,
    counts: Counts,
    began: Instant,
    /// This start has heard from enough storage nodes to write.
    heard: bool,
    catching_up: bool,
    searching: bool,
    searched: Option<Instant>,
    evidence: u64,
    told: Instant,
    noted: Instant,
    urgent: bool,
    tasks: JoinSet<()>,
}

impl Shell {
    pub(super) fn new(
        node: Node,
        config: ReplicationConfig,
        documents: Documents,
        endpoint: Endpoint,
        events: mpsc::Sender<Event>,
        publish: watch::Sender<State>,
    ) -> Shell {
        let topology = watch::Sender::new(documents.current().cloned());
        let source = Arc::new(Source::new(node.clone(), topology.subscribe()));
        let verifier = node.shelf().verifier();
        let mut shell = Shell {
            node,
            config,
            documents,
            endpoint,
            events,
            publish,
            topology,
            source,
            leader: None,
            links: BTreeMap::new(),
            waiting: Vec::new(),
            verifier,
            counts: Counts::default(),
            began: Instant::now(),
            heard: false,
            catching_up: false,
            searching: false,
            searched: None,
            evidence: 0,
            told: Instant::now(),
            noted: Instant::now(),
            urgent: true,
            tasks: JoinSet::new(),
        };
        // Before anybody may submit: what levels there can be, and that nobody was heard yet.
        if let Some(topology) = shell.documents.current().cloned() {
            shell.lead(topology.clone());
            shell.take_members(&topology);
            shell.count_holdings();
        }
        shell.stand();
        shell.tell();
        shell
    }

    fn now(&self) -> Micros {
        Micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn head(&self) -> Head {
        let (position, digest) = self.node.log().durable();
        Head { position, digest: Digest(digest) }
    }

    /// Runs until it is closed or the node's log ends.
    pub(super) async fn run(mut self, mut arriving: mpsc::Receiver<Event>) {
        let mut durable = self.node.watch_durable();
        self.tasks.spawn(accept(self.endpoint.clone(), Arc::clone(&self.source)));
        self.settle();
        'running: loop {
            let wake = self.wake();
            tokio::select! {
                event = arriving.recv() => {
                    let Some(event) = event else { break };
                    let mut next = Some(event);
                    let mut handled = 0;
                    while let Some(event) = next {
                        if matches!(event, Event::Close) {
                            break 'running;
                        }
                        self.handle(event);
                        handled += 1;
                        next = if handled < TOGETHER_MAX { arriving.try_recv().ok() } else { None };
                    }
                }
                changed = durable.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    durable.mark_unchanged();
                    let (head, now) = (self.head(), self.now());
                    if let Some(leader) = &mut self.leader {
                        leader.handle_appended(head, now);
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    let now = self.now();
                    if let Some(leader) = &mut self.leader {
                        leader.handle_timeout(now);
                    }
                }
                () = self.node.shelf().lost() => {}
            }
            self.settle();
        }
        self.tasks.shutdown().await;
    }

    fn wake(&self) -> Instant {
        let tick = Instant::now() + TICK;
        let asked = self.leader.as_ref().and_then(Leader::poll_timeout);
        let tick = tick.min(self.told + TELL_PAUSE.max(Duration::from_millis(1)));
        asked.map_or(tick, |at| tick.min(self.began + Duration::from_micros(at.0)))
    }

    /// Does what the leader wants, then tells everybody what came of it.
    fn settle(&mut self) {
        while let Some(output) = self.leader.as_mut().and_then(Leader::poll) {
            self.act(output);
        }
        self.catch_up_with_the_next();
        self.stand();
        self.count_holdings();
        self.answer_orders();
        self.search_packages();
        self.tell();
    }

    /// Begins to lead in a topology.
    fn lead(&mut self, signed: SignedTopology) {
        let mut config = LeaderConfig::new(self.node.genesis().node.clone());
        config.failover = self.config.failover.map(|span| Micros(span.as_micros() as u64));
        let mut leader = Leader::new(config, signed, Start::default(), self.head(), self.now());
        if self.documents.established() {
            leader.assume_established();
        }
        self.leader = Some(leader);
    }

    /// Starts a task for each new member, and ends those of who left.
    fn take_members(&mut self, signed: &SignedTopology) {
        self.topology.send_replace(Some(signed.clone()));
        let left: Vec<NodeId> =
            self.links.keys().filter(|node| signed.topology.member(**node).is_none()).copied().collect();
        for node in left {
            if let Some(link) = self.links.remove(&node) {
                link.dismissed.send_replace(true);
            }
            self.endpoint.pins().forget(&Digest(node.0));
        }
        for member in signed.topology.members() {
            let node = member.node();
            if self.links.contains_key(&node) {
                continue;
            }
            // A topology has fewer members than there can be pins.
            let _ = self.endpoint.pins().allow(member.key());
            let (dismissed, watched) = watch::channel(false);
            let peer = Peer {
                node,
                address: member.address().to_owned(),
                endpoint: self.endpoint.clone(),
                source: Arc::clone(&self.source),
                events: self.events.clone(),
                dismissed: watched,
            };
            self.tasks.spawn(peer.run());
            let link = Link {
                dismissed,
                line: 0,
                connection: None,
                outgoing: None,
                told: Line::default(),
                offered: None,
                recorded: None,
            };
            self.links.insert(node, link);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        self.urgent |= !matches!(event, Event::Frame { .. } | Event::Read { .. } | Event::DigestRead { .. });
        match event {
            Event::Connected { node, line, connection, outgoing } => {
                let Some(link) = self.links.get_mut(&node) else { return };
                (link.line, link.connection, link.outgoing) = (line, Some(connection), Some(outgoing));
                link.told.connections += 1;
                link.told.trouble = None;
                tracing::info!(%node, "a storage node is connected");
                if let Some(leader) = &mut self.leader {
                    leader.handle_connected(node, now);
                }
            }
            Event::Disconnected { node, line, why } => {
                let Some(link) = self.links.get_mut(&node).filter(|link| link.line == line) else { return };
                (link.connection, link.outgoing) = (None, None);
                tracing::warn!(%node, why, "the connection to a storage node ended");
                link.told.trouble = Some(why).filter(|why| !why.is_empty());
                if let Some(leader) = &mut self.leader {
                    leader.handle_disconnected(node);
                }
            }
            Event::Unreachable { node, why } => {
                if let Some(link) = self.links.get_mut(&node) {
                    if link.told.trouble.as_ref() != Some(&why) {
                        tracing::warn!(%node, why, "a storage node cannot be reached");
                    }
                    link.told.trouble = Some(why);
                }
            }
            Event::Frame { node, line, frame } => {
                let link = self.links.get_mut(&node).filter(|link| link.line == line);
                let current = link.is_some();
                if let (Some(link), Frame::Ack(ack)) = (link, &frame) {
                    link.offered = Some(ack.clone());
                }
                if let Some(leader) = self.leader.as_mut().filter(|_| current) {
                    leader.handle_frame(node, frame, now, &self.verifier);
                }
            }
            Event::Read { peer, id, records } => {
                if let Some(leader) = &mut self.leader {
                    leader.handle_records(peer, id, records, now);
                }
            }
            Event::DigestRead { peer, position, digest } => {
                if let Some(leader) = &mut self.leader {
                    leader.handle_digest(peer, position, digest, now);
                }
            }
            Event::CaughtUp { peer, outcome } => self.caught_up(peer, outcome),
            Event::Searched(searched) => {
                self.searching = false;
                self.counts.packages += searched.found.len() as u64;
                self.counts.lies += searched.liars.len() as u64;
                for (peer, lie) in searched.liars {
                    if let Some(link) = self.links.get_mut(&peer) {
                        link.told.trouble = Some(lie);
                    }
                }
            }
            Event::Order(order) => self.order(order),
            // Handled where events are received.
            Event::Close => {}
        }
    }

    fn act(&mut self, output: LeaderOutput) {
        let quiet = matches!(
            output,
            LeaderOutput::Send { .. }
                | LeaderOutput::Read { .. }
                | LeaderOutput::ReadDigest { .. }
                | LeaderOutput::Acked { .. }
        );
        self.urgent |= !quiet;
        match output {
            LeaderOutput::Send { to, frame } => self.send(to, frame),
            LeaderOutput::Read { peer, id, after, bytes_max } => self.read(peer, id, after, bytes_max),
            LeaderOutput::ReadDigest { peer, position } => {
                let (log, events) = (self.node.log(), self.events.clone());
                tokio::spawn(async move {
                    let read = tokio::task::spawn_blocking(move || log.digest_at(position).ok()).await;
                    let digest = read.ok().flatten().map(Digest);
                    // The loop has ended if nobody listens.
                    drop(events.send(Event::DigestRead { peer, position, digest }).await);
                });
            }
            LeaderOutput::Disconnect { peer, state } => {
                if let Some(link) = self.links.get_mut(&peer) {
                    if let PeerState::Refused(refusal) = &state {
                        tracing::warn!(node = %peer, %refusal, "a storage node refuses");
                    }
                    // What waits to be sent is sent; then the task closes the connection and begins anew.
                    link.outgoing = None;
                }
            }
            LeaderOutput::Acked { peer, head } => {
                self.counts.acks += 1;
                if let Some(link) = self.links.get_mut(&peer) {
                    link.told.acks += 1;
                    if let Some(ack) = link.offered.take_if(|ack| ack.head == head) {
                        link.recorded = Some(ack);
                    }
                }
            }
            LeaderOutput::Fenced { topology } => self.fenced(&topology),
            LeaderOutput::Behind { peer, head } => self.catch_up(peer, head),
            LeaderOutput::Evidence(evidence) => self.keep(&evidence),
            LeaderOutput::PromotionNeeded { candidate } => self.promote(candidate),
            LeaderOutput::Established { epoch } => {
                tracing::info!(epoch, "the primary and a majority have promised the epoch");
                if let Err(error) = self.documents.set_established() {
                    tracing::error!(%error, "that the epoch is promised could not be written down");
                }
            }
            LeaderOutput::CatchUp { peer, from, head } => {
                let behind = head.position.saturating_sub(from.position);
                tracing::info!(node = %peer, from = from.position, head = head.position, behind, "shipping");
                if let Some(link) = self.links.get_mut(&peer) {
                    link.told.began = from.position;
                }
            }
            LeaderOutput::OwnLogDiffers { position } => {
                tracing::error!(position, "the own log is damaged; nothing is shipped from there on");
            }
        }
    }

    fn send(&mut self, to: NodeId, frame: Frame) {
        if let Frame::Append(append) = &frame {
            self.counts.appends += 1;
            self.counts.records += append.records.len() as u64;
            let bytes: usize = append.records.iter().map(|record| record.payload.len()).sum();
            self.counts.record_bytes += bytes as u64;
        }
        let Some(link) = self.links.get_mut(&to) else { return };
        let Some(outgoing) = &link.outgoing else { return };
        if outgoing.try_send(frame).is_err() {
            // It takes nothing: the connection is given up, and the leader begins anew with the next one.
            link.outgoing = None;
        }
    }

    fn read(&self, peer: NodeId, id: ReadId, after: u64, bytes_max: usize) {
        let (log, events) = (self.node.log(), self.events.clone());
        tokio::spawn(async move {
            let read = tokio::task::spawn_blocking(move || log.read_range(after + 1, bytes_max)).await;
            let records = match read {
                Ok(Ok(records)) => Ok(records
                    .into_iter()
                    .take(limit::FRAME_RECORDS_MAX)
                    .map(|one| Record { kind: one.kind, payload: one.payload })
                    .collect()),
                Ok(Err(LogError::Damaged { .. })) => Err(ReadFailure::Damaged),
                Ok(Err(_)) | Err(_) => Err(ReadFailure::Failed),
            };
            // The loop has ended if nobody listens.
            drop(events.send(Event::Read { peer, id, records }).await);
        });
    }

    /// Another node writes: this directory never does again.
    fn fenced(&mut self, by: &SignedTopology) {
        let epoch = by.topology.epoch();
        tracing::error!(epoch, "fenced: the storage nodes have promised a higher epoch to another node");
        self.node.replicas().set_standing(Standing::Fenced { epoch });
        if let Err(error) = self.documents.set_fenced(by) {
            tracing::error!(%error, "that this node is fenced could not be written down");
        }
    }

    /// Whether this node may write now.
    fn stand(&mut self) {
        let replicas = self.node.replicas();
        if let Some(by) = self.documents.fenced() {
            return replicas.set_standing(Standing::Fenced { epoch: by.topology.epoch() });
        }
        let Some(leader) = &self.leader else {
            // Before the first member there is nobody to hear from.
            let standing =
                if self.documents.current().is_none() { Standing::Leading } else { Standing::Waiting };
            return replicas.set_standing(standing);
        };
        let standing = leader.standing();
        if let Some((_, head)) = standing.behind {
            return replicas.set_standing(Standing::Behind { position: head.position });
        }
        if !self.heard {
            let trusted = self.documents.trusted();
            let patient = !trusted || self.config.lead_wait.is_none_or(|wait| self.began.elapsed() < wait);
            let placed = |peer: &&dsm_proto::PeerStatus| peer.state == PeerState::Shipping;
            let peers = leader.status();
            let primary = peers.iter().filter(placed).any(|peer| peer.primary);
            let majority = peers.iter().filter(placed).count() >= leader.topology().topology.majority();
            if !standing.confirmed && patient && !(trusted && (primary || majority)) {
                return replicas.set_standing(Standing::Waiting);
            }
            if !(primary || majority) {
                tracing::warn!("no storage node was heard in time; this node writes all the same");
            }
            self.heard = true;
        }
        if standing.confirmed {
            self.documents.confirm();
        }
        replicas.set_standing(Standing::Leading);
    }

    fn count_holdings(&mut self) {
        let Some(leader) = &self.leader else { return };
        let peers = leader.status();
        let counts = |position: u64| position > 0 && leader.level_of(position) != Level::Local;
        let convicted = |state: &PeerState| matches!(state, PeerState::Convicted(_));
        let durable = |peer: &&dsm_proto::PeerStatus| !convicted(&peer.state);
        let holdings = Holdings {
            primary: Some(Digest(leader.topology().topology.primary().0)),
            // Levels count through an ack of the primary, and during a promotion of the candidate: one of these.
            counted: peers
                .iter()
                .map(|peer| peer.durable.position)
                .filter(|one| counts(*one))
                .max()
                .unwrap_or(0),
            members: peers
                .iter()
                .map(|peer| (Digest(peer.node.0), if durable(&peer) { peer.durable.position } else { 0 }))
                .collect(),
        };
        self.node.replicas().set_holdings(holdings);
    }

    /// Carries an order out as far as it goes at once.
    fn order(&mut self, order: Order) {
        let since = Instant::now();
        let held = self.documents.current().map(|held| (held.topology.epoch(), held.topology.primary()));
        let done = match (&order.change, held) {
            _ if self.documents.fenced().is_some() => Err(self.fenced_error()),
            (Change::Add(_), None) => self.reshape(&order.change).map(Some),
            (Change::Promote(node, _) | Change::Remove(node, _), None) => {
                Err(ReplicationError::UnknownKey(node.to_string()))
            }
            (Change::Promote(node, _), Some((epoch, primary))) if *node == primary => Ok(Some(epoch)),
            (Change::Promote(candidate, false), Some(_)) => {
                let now = self.now();
                let asked = self.leader.as_mut().map(|leader| leader.handle_promote(*candidate, now));
                // The epoch follows when the candidate holds everything.
                asked.unwrap_or(Ok(())).map(|()| None).map_err(ReplicationError::from)
            }
            (Change::Add(_) | Change::Remove(..) | Change::Promote(_, true), Some(_)) => {
                self.reshape(&order.change).map(Some)
            }
        };
        match done {
            Ok(epoch) => self.waiting.push(Waiting { order, since, epoch }),
            // Whoever ordered it may have gone away.
            Err(error) => drop(order.reply.send(Err(error))),
        }
    }

    fn fenced_error(&self) -> ReplicationError {
        ReplicationError::Fenced(self.documents.fenced().map_or(0, |by| by.topology.epoch()))
    }

    /// Signs a topology with one member more or less, or by force with another primary, and leads in it. Whatever
    /// can be refused is refused before it is signed.
    fn reshape(&mut self, change: &Change) -> Result<u64, ReplicationError> {
        let held = self.documents.current().map(|held| held.topology.clone());
        let mut members = held.as_ref().map(|held| held.members().to_vec()).unwrap_or_default();
        let is_member = members.iter().any(|one| one.node() == change.node());
        let mut primary = held.as_ref().map_or(change.node(), |held| held.primary());
        let force = match change {
            Change::Add(member) if is_member => {
                return Err(ReplicationError::PeerExists(Digest(member.node().0)));
            }
            Change::Remove(node, _) | Change::Promote(node, _) if !is_member => {
                return Err(ReplicationError::UnknownKey(node.to_string()));
            }
            Change::Add(member) => {
                members.push(member.clone());
                false
            }
            Change::Remove(node, force) => {
                members.retain(|one| one.node() != *node);
                if *force && primary == *node {
                    primary = self.most_advanced(&members).ok_or(TopologyError::Members)?;
                }
                *force
            }
            Change::Promote(node, force) => {
                primary = *node;
                *force
            }
        };
        if let Some(leader) = self.leader.as_ref().filter(|_| !force) {
            let (standing, needed) = (leader.standing(), leader.topology().topology.majority());
            if !standing.established {
                return Err(ReplicationError::NotEstablished { promised: standing.promised, needed });
            }
        }
        if members.is_empty() {
            return Err(TopologyError::Members.into());
        }
        if members.iter().all(|one| one.node() != primary) {
            return Err(TopologyError::Primary.into());
        }
        let signed = self.documents.follow(primary, members, 0, force)?;
        self.switch(signed, force)
    }

    /// The member that has acknowledged most.
    fn most_advanced(&self, members: &[Member]) -> Option<NodeId> {
        let peers = self.leader.as_ref().map(Leader::status).unwrap_or_default();
        let acked = |node: NodeId| {
            peers.iter().find(|peer| peer.node == node).map_or(0, |peer| peer.durable.position)
        };
        members.iter().map(Member::node).max_by_key(|node| acked(*node))
    }

    /// Leads in a topology that is signed and durable.
    fn switch(&mut self, signed: SignedTopology, force: bool) -> Result<u64, ReplicationError> {
        let (epoch, now) = (signed.topology.epoch(), self.now());
        match &mut self.leader {
            Some(leader) if !force => {
                leader.handle_topology(signed.clone(), now)?;
                self.take_members(&signed);
            }
            // By force everything begins anew: what counted before counts again when it is acknowledged again.
            held => {
                // Before the first topology there was nobody who could be ahead.
                self.heard |= held.is_none();
                self.lead(signed.clone());
                self.take_members(&signed);
                let connected = self.links.iter().filter(|(_, link)| link.outgoing.is_some());
                let leader = self.leader.as_mut();
                leader.into_iter().for_each(|leader| {
                    connected.clone().for_each(|(node, _)| leader.handle_connected(*node, now));
                });
            }
        }
        tracing::info!(epoch, "a new topology");
        Ok(epoch)
    }

    /// The candidate holds everything that was acknowledged: the next topology makes it the primary.
    fn promote(&mut self, candidate: NodeId) {
        let Some(held) = self.documents.current().map(|held| held.topology.clone()) else { return };
        let established = self.leader.as_ref().is_some_and(|leader| leader.standing().established);
        if held.primary() == candidate || self.documents.fenced().is_some() || !established {
            return;
        }
        let ordered = |waiting: &Waiting| {
            waiting.epoch.is_none()
                && matches!(&waiting.order.change, Change::Promote(node, _) if *node == candidate)
        };
        let planned = self.waiting.iter().any(ordered);
        let signed = self.documents.follow(candidate, held.members().to_vec(), 0, false);
        match signed.and_then(|signed| self.switch(signed, false)) {
            Ok(epoch) => {
                if !planned {
                    self.counts.failovers += 1;
                    tracing::warn!(node = %candidate, epoch, "the primary was silent; another one takes over");
                }
                self.waiting.iter_mut().filter(|one| ordered(one)).for_each(|one| one.epoch = Some(epoch));
            }
            Err(error) => tracing::error!(%error, node = %candidate, "the promotion failed"),
        }
    }

    /// Answers orders whose epoch is promised, or whose time is over.
    fn answer_orders(&mut self) {
        let Some(leader) = &self.leader else { return };
        let (standing, topology) = (leader.standing(), leader.topology().topology.clone());
        let peers = leader.status();
        let now = Instant::now();
        let mut left = Vec::new();
        for one in std::mem::take(&mut self.waiting) {
            let node = one.order.change.node();
            let promised = match &one.order.change {
                Change::Remove(..) => true,
                Change::Add(_) | Change::Promote(..) => {
                    peers.iter().any(|peer| peer.node == node && peer.promised)
                }
            };
            let answer = match one.epoch {
                _ if standing.fenced.is_some() => {
                    Err(ReplicationError::Fenced(standing.fenced.unwrap_or_default()))
                }
                Some(epoch) if epoch <= standing.epoch && standing.established && promised => {
                    Ok(ChangedTopology {
                        epoch,
                        primary: Digest(topology.primary().0),
                        node: Digest(node.0),
                        took_ms: u64::try_from(one.since.elapsed().as_millis()).unwrap_or(u64::MAX),
                    })
                }
                Some(epoch) if now >= one.order.deadline => Err(ReplicationError::NotPromised(epoch)),
                None if now >= one.order.deadline => Err(ReplicationError::NotPromoted(
                    "the candidate did not reach what was acknowledged in time".into(),
                )),
                _ => {
                    left.push(one);
                    continue;
                }
            };
            // Whoever ordered it may have gone away.
            drop(one.order.reply.send(answer));
        }
        self.waiting = left;
    }

    /// Fetches and adopts what a storage node holds more than this node.
    fn catch_up(&mut self, peer: NodeId, head: Head) {
        let connection = self.links.get(&peer).and_then(|link| link.connection.clone());
        let Some(connection) = connection.filter(|_| !self.catching_up) else { return };
        self.catching_up = true;
        tracing::warn!(node = %peer, position = head.position, "a storage node is ahead; catching up");
        let (node, events) = (self.node.clone(), self.events.clone());
        tokio::spawn(async move {
            let outcome = adopt_from(&node, &connection, head).await;
            // The loop has ended if nobody listens.
            drop(events.send(Event::CaughtUp { peer, outcome }).await);
        });
    }

    /// Several may be ahead, and one further than another: each is caught up with in turn.
    fn catch_up_with_the_next(&mut self) {
        let behind = self.leader.as_ref().and_then(|leader| leader.standing().behind);
        if let Some((peer, head)) = behind.filter(|(_, head)| head.position > self.head().position) {
            self.catch_up(peer, head);
        }
    }

    fn caught_up(&mut self, peer: NodeId, outcome: Result<u64, CatchUpError>) {
        self.catching_up = false;
        match outcome {
            Ok(adopted) => {
                self.counts.adopted += adopted;
                tracing::info!(node = %peer, adopted, "caught up with a storage node");
            }
            Err(error) => {
                tracing::warn!(node = %peer, %error, "catching up with a storage node failed");
                if let Some(link) = self.links.get_mut(&peer) {
                    link.told.trouble = Some(error.to_string());
                    // It is greeted again with the next connection, and found ahead again if it is.
                    link.outgoing = None;
                }
                if let (CatchUpError::Lie(_), Some(leader)) = (&error, &mut self.leader) {
                    self.counts.lies += 1;
                    leader.handle_fault(peer, Fault::FalseHead);
                }
            }
        }
    }

    /// Stores a piece of evidence in a file of its own.
    fn keep(&mut self, evidence: &Evidence) {
        self.counts.evidence += 1;
        tracing::error!(?evidence, "evidence of a fault was stored");
        let folder = self.config.data.join("evidence");
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.evidence += 1;
        let name = format!("{}-{}", since.as_millis(), self.evidence);
        if let Err(error) = store_evidence(&folder, &name, &encode(evidence)) {
            tracing::error!(%error, "evidence could not be stored");
        }
    }

    /// Looks for missing packages where storage nodes are connected.
    fn search_packages(&mut self) {
        let rested = self.searched.is_none_or(|last| last.elapsed() >= SEARCH_PAUSE);
        if self.searching || !rested || self.node.shelf().missing().is_empty() {
            return;
        }
        let placed = self.leader.iter().flat_map(Leader::status);
        let placed = placed.filter(|peer| peer.state == PeerState::Shipping);
        let mut order: Vec<_> = placed.map(|peer| (!peer.primary, peer.node)).collect();
        order.sort_unstable();
        let link = |(_, node)| Some((node, self.links.get(&node)?.connection.clone()?));
        let connections: Vec<_> = order.into_iter().filter_map(link).collect();
        if connections.is_empty() {
            return;
        }
        self.searching = true;
        self.searched = Some(Instant::now());
        let (shelf, events) = (self.node.shelf_handle(), self.events.clone());
        tokio::spawn(async move {
            let searched = packages::search(&shelf, connections).await;
            // The loop has ended if nobody listens.
            drop(events.send(Event::Searched(searched)).await);
        });
    }

    /// Writes down the acks that came since the last time, on a thread of its own.
    fn note_acks(&mut self) {
        self.noted = Instant::now();
        let acks: Vec<(NodeId, Ack)> =
            self.links.iter_mut().filter_map(|(node, link)| Some((*node, link.recorded.take()?))).collect();
        if acks.is_empty() {
            return;
        }
        let folder = self.config.data.join("acks");
        self.tasks.spawn_blocking(move || {
            if let Err(error) = write_acks(&folder, &acks) {
                tracing::warn!(%error, "acknowledgements could not be written down");
            }
        });
        while self.tasks.try_join_next().is_some() {}
    }

    fn tell(&mut self) {
        if self.told.elapsed() < TELL_PAUSE && !self.urgent {
            return;
        }
        self.urgent = false;
        self.told = Instant::now();
        if self.noted.elapsed() >= NOTE_PAUSE {
            self.note_acks();
        }
        for link in self.links.values_mut() {
            link.told.round_trip = link.connection.as_ref().map(Connection::round_trip);
            link.told.connection.clone_from(&link.connection);
        }
        let standing = self.leader.as_ref().map(Leader::standing);
        let state = State {
            topology: self.documents.current().cloned(),
            peers: self.leader.as_ref().map(Leader::status).unwrap_or_default(),
            lines: self.links.iter().map(|(node, link)| (*node, link.told.clone())).collect(),
            counts: self.counts.clone(),
            confirmed: standing.is_some_and(|standing| standing.confirmed && standing.fenced.is_none()),
            fenced: self.documents.fenced().map(|by| by.topology.epoch()),
        };
        self.publish.send_replace(state);
    }
}

/// Keeps the last ack of each storage node: a signed statement of what it holds, for whoever has to prove it. Not
/// synced, because an ack proves what it says and not that it is the last.
fn write_acks(folder: &Path, acks: &[(NodeId, Ack)]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    acks.iter().try_for_each(|(node, ack)| {
        let temporary = folder.join(format!("{node}.new"));
        std::fs::write(&temporary, encode(ack))?;
        std::fs::rename(temporary, folder.join(node.to_string()))
    })
}

/// Serves storage nodes that connect by themselves; they ask, and ship nothing.
async fn accept(endpoint: Endpoint, source: Arc<Source>) {
    let mut served = JoinSet::new();
    while let Some(connection) = endpoint.accept().await {
        let source = Arc::clone(&source);
        served.spawn(async move { super::serve::serve(&connection, &source).await });
        while served.try_join_next().is_some() {}
    }
}

/// Bytes of records fetched at once.
const CATCH_UP_BYTES: u32 = 4 << 20;

/// Fetches records behind the own head up to `head` and has the node adopt them; tells how many.
async fn adopt_from(node: &Node, connection: &Connection, head: Head) -> Result<u64, CatchUpError> {
    let (position, digest) = node.log().durable();
    let mut reached = Head { position, digest: Digest(digest) };
    let begun = reached.position;
    while reached.position < head.position {
        let query = Query::Records { from: reached.position + 1, bytes_max: CATCH_UP_BYTES };
        let answer = super::fetch::ask(connection, query).await;
        let mut records = match answer.map_err(|error| CatchUpError::Silent(error.to_string()))? {
            Answer::Records(records) if !records.is_empty() => records,
            Answer::Busy | Answer::Damaged => return Err(CatchUpError::Silent("it has no time".into())),
            other => {
                let word = super::fetch::word(&other);
                return Err(CatchUpError::Lie(format!("it answered {word} where it must have records")));
            }
        };
        let left = head.position - reached.position;
        records.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let next = reached.after_all(&records).ok_or_else(|| CatchUpError::Lie("positions".into()))?;
        if next.position == head.position && next != head {
            return Err(CatchUpError::Lie(format!("its records do not lead to {}", head.digest)));
        }
        let adopted = node.adopt(in_place(reached, records)).await;
        adopted.map_err(|error| CatchUpError::Lie(error.to_string()))?;
        reached = next;
    }
    Ok(reached.position - begun)
}

/// Each record with the head that it follows.
fn in_place(mut after: Head, records: Vec<Record>) -> Vec<Adopted> {
    let mut placed = Vec::with_capacity(records.len());
    for record in records {
        let Some(next) = after.after(&record) else { break };
        let before = (after.position, after.digest);
        placed.push(Adopted { kind: record.kind, payload: record.payload, after: before });
        after = next;
    }
    placed
}

fn store_evidence(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    super::document::write_durably(&folder.join(name), bytes)
}
