//! The event heap and what happens by chance.

use super::cores::Core;
use super::network::{Actor, Network};
use super::nodes::Node;
use super::oracle::{Oracle, Violation};
use super::random::Random;
use super::{Faults, Options, Report};
use crate::fetch::{Answer, FetchConfig, JobId, Query};
use crate::{Ack, Frame, Head, Member, Micros, NodeId, ReadId, SignedTopology, Topology, limit};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};
use dsm_abi::{NetworkId, SignatureError, Suite, VerifySignature};
use dsm_core::PublicKey;

pub(super) const NETWORK: NetworkId = NetworkId([7; 32]);
const TICK: Micros = Micros::from_millis(100);
const SECOND: u64 = 1_000_000;
/// Frames in one simulated second: several times what any clean run needs.
const FRAMES_PER_SECOND_MAX: u64 = 3000;
/// Nacks that one connection may see in a second: what a follower's configuration allows.
const NACKS_MAX: u32 = 8;
/// How long a healed cluster may take until all logs are equal.
const CONVERGENCE_SECONDS: u64 = 90;

pub(super) enum Event {
    Deliver { connection: u64, to_node: bool, frame: Box<Frame> },
    Opened { connection: u64, at_node: bool },
    Closed { connection: u64, at_node: bool },
    Tick(Actor),
    Submit,
    Chaos,
    Synced { actor: Actor, life: u64, len: usize },
    Persisted { node: usize, life: u64, epoch: u64 },
    Signed { node: usize, life: u64, ack: Ack },
    SetAside { node: usize, life: u64, keep: Head },
    Read { core: usize, life: u64, peer: NodeId, id: ReadId, after: u64, bytes_max: usize },
    Question { asker: Asker, to: usize, query: Query },
    Answered { asker: Asker, from: usize, answer: Answer },
    Restart(Actor),
    Switch { core: usize, life: u64, signed: SignedTopology },
}

/// Who asked, and until when the stream with the question stays open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    actor: Actor,
    life: u64,
    job: Option<JobId>,
    until: Micros,
}

struct Entry {
    at: Micros,
    order: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A connection between a core node and a storage node. Each end learns by itself that it is gone.
pub(super) struct Connection {
    pub(super) core: usize,
    pub(super) node: usize,
    pub(super) core_open: bool,
    pub(super) node_open: bool,
}

pub(super) struct World {
    pub(super) options: Options,
    pub(super) random: Random,
    pub(super) now: Micros,
    order: u64,
    heap: BinaryHeap<Reverse<Entry>>,
    pub(super) network: Network,
    pub(super) oracle: Oracle,
    pub(super) report: Report,
    pub(super) nodes: Vec<Node>,
    pub(super) cores: Vec<Core>,
    pub(super) connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    pub(super) core_key: PublicKey,
    pub(super) healed: bool,
    next_transaction: u64,
    /// Transactions sent lately, some of which clients send again.
    lately: Vec<u64>,
    frames_this_second: (u64, u64),
    /// Two machines ran with one epoch.
    cloned: bool,
    /// Nacks of each connection in this second.
    nacks: BTreeMap<u64, u32>,
}

/// Signatures of the simulation: a keyed hash with the public key, which nobody here uses to forge.
pub(super) struct Notary;

pub(super) fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut short = [0u8; 32];
    short.copy_from_slice(&key[..32]);
    blake3::keyed_hash(&short, message).as_bytes().to_vec()
}

impl VerifySignature for Notary {
    fn verify_signature(
        &self,
        _: Suite,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if sign(key, message) == signature { Ok(()) } else { Err(SignatureError::BadSignature) }
    }
}

fn key_bytes(index: usize) -> Vec<u8> {
    let mut key = vec![0u8; limit::MEMBER_KEY_BYTES];
    let digest = blake3::hash(&index.to_le_bytes());
    key[..32].copy_from_slice(digest.as_bytes());
    key
}

impl World {
    pub(super) fn new(options: Options) -> World {
        let core_key = PublicKey { suite: Suite::Ed25519MlDsa65, bytes: key_bytes(1000) };
        let mut random = Random::new(options.seed);
        let members: Vec<Member> = (0..options.nodes)
            .map(|index| {
                let address = alloc::format!("node-{index}:8766");
                Member::new(key_bytes(index), address).expect("the key has its length, the address is plain")
            })
            .collect();
        let liar = options.faults.liar.map(|_| options.nodes - 1);
        let nodes: Vec<Node> = members
            .iter()
            .enumerate()
            .map(|(index, member)| Node::new(index, member.clone(), liar))
            .collect();
        let primary = random.below(options.nodes as u64 - liar.iter().count() as u64) as usize;
        let topology = Topology::new(NETWORK, 1, [1; 32], nodes[primary].id, members)
            .expect("the members are as many as the options say");
        let mut world = World {
            random,
            now: Micros(SECOND),
            order: 0,
            heap: BinaryHeap::new(),
            network: Network::default(),
            oracle: Oracle::default(),
            report: Report::default(),
            nodes,
            cores: Vec::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            core_key,
            healed: false,
            next_transaction: 1,
            lately: Vec::new(),
            frames_this_second: (0, 0),
            cloned: false,
            nacks: BTreeMap::new(),
            options,
        };
        let signed = world.sign_topology(topology);
        world.cores.push(Core::new(Some(signed)));
        for index in 0..world.nodes.len() {
            world.start_node(index);
            world.after(TICK, Event::Tick(Actor::Node(index)));
        }
        world.start_core(0);
        world.after(TICK, Event::Tick(Actor::Core(0)));
        world.after(Micros(0), Event::Submit);
        world.after(Micros::from_millis(2000), Event::Chaos);
        world
    }

    pub(super) fn run(mut self) -> Result<Report, Violation> {
        let fault_end = self.now.plus(Micros(self.options.seconds * SECOND));
        let mut next_look = Micros(0);
        let last = fault_end.plus(Micros(CONVERGENCE_SECONDS * SECOND));
        while let Some(Reverse(entry)) = self.heap.pop() {
            self.now = entry.at;
            if !self.healed && self.now >= fault_end {
                self.heal();
                next_look = self.now.plus(Micros(5 * SECOND));
            }
            self.report.events += 1;
            self.handle(entry.event);
            if let Some(what) = self.oracle.violation.take() {
                return Err(Violation { seed: self.options.seed, at: self.now, what });
            }
            if self.healed && self.now >= next_look {
                next_look = self.now.plus(Micros(SECOND));
                match self.apart() {
                    None => break,
                    Some(what) if self.now >= last => {
                        let what = alloc::format!("did not converge: {what}");
                        return Err(Violation { seed: self.options.seed, at: self.now, what });
                    }
                    Some(_) => {}
                }
            }
        }
        let active = self.cores.len() - 1;
        let core = &self.cores[active];
        self.oracle.check_prefix("the core node", |position| core.disk.digest_at(position));
        if let Some(what) = self.oracle.violation.take() {
            return Err(Violation { seed: self.options.seed, at: self.now, what });
        }
        self.report.simulated = self.now;
        self.report.acknowledged = self.oracle.acknowledged();
        self.report.epoch = core.topology.as_ref().map_or(0, |signed| signed.topology.epoch());
        Ok(self.report)
    }

    pub(super) fn after(&mut self, span: Micros, event: Event) {
        self.at(self.now.plus(span), event);
    }

    pub(super) fn at(&mut self, at: Micros, event: Event) {
        self.order += 1;
        self.heap.push(Reverse(Entry { at, order: self.order, event }));
    }

    pub(super) fn trace(&mut self, value: u64) {
        let mixed =
            (self.report.trace ^ value ^ self.now.0.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.report.trace = mixed ^ (mixed >> 29);
    }

    /// Who has to be awake for an event.
    fn actor_of(&self, event: &Event) -> Option<Actor> {
        match event {
            Event::Deliver { connection, to_node: at_node, .. }
            | Event::Opened { connection, at_node }
            | Event::Closed { connection, at_node } => {
                let connection = self.connections.get(connection)?;
                Some(if *at_node { Actor::Node(connection.node) } else { Actor::Core(connection.core) })
            }
            Event::Tick(actor) | Event::Synced { actor, .. } => Some(*actor),
            Event::Answered { asker, .. } => Some(asker.actor),
            Event::Persisted { node, .. }
            | Event::Signed { node, .. }
            | Event::SetAside { node, .. }
            | Event::Question { to: node, .. } => Some(Actor::Node(*node)),
            Event::Read { core, .. } | Event::Switch { core, .. } => Some(Actor::Core(*core)),
            Event::Submit | Event::Chaos | Event::Restart(_) => None,
        }
    }

    pub(super) fn paused_until(&self, actor: Actor) -> Micros {
        match actor {
            Actor::Node(node) => self.nodes[node].paused_until,
            Actor::Core(core) => self.cores[core].paused_until,
        }
    }

    fn handle(&mut self, event: Event) {
        if let Some(actor) = self.actor_of(&event) {
            let until = self.paused_until(actor);
            if until > self.now {
                return self.at(until, event);
            }
        }
        match event {
            Event::Deliver { connection, to_node, frame } => self.deliver(connection, to_node, *frame),
            Event::Opened { connection, at_node } => self.opened(connection, at_node),
            Event::Closed { connection, at_node } => self.closed(connection, at_node),
            Event::Tick(actor) => {
                match actor {
                    Actor::Node(node) => self.tick_node(node),
                    Actor::Core(core) => self.tick_core(core),
                }
                self.after(TICK, Event::Tick(actor));
            }
            Event::Submit => self.submit(),
            Event::Chaos => self.chaos(),
            Event::Synced { actor: Actor::Node(node), life, len } => self.node_synced(node, life, len),
            Event::Synced { actor: Actor::Core(core), life, len } => self.core_synced(core, life, len),
            Event::Persisted { node, life, epoch } => self.node_persisted(node, life, epoch),
            Event::Signed { node, life, ack } => self.node_signed(node, life, ack),
            Event::SetAside { node, life, keep } => self.node_set_aside(node, life, keep),
            Event::Read { core, life, peer, id, after, bytes_max } => {
                self.core_read(core, life, peer, id, after, bytes_max);
            }
            Event::Question { asker, to, query } => self.question(asker, to, &query),
            Event::Answered { asker, from, answer } => {
                let Asker { actor, life, job, until } = asker;
                match actor {
                    _ if self.now >= until => {}
                    Actor::Node(node) => self.node_answered(node, life, job, from, answer),
                    Actor::Core(core) => self.core_answered(core, life, job, from, answer),
                }
            }
            Event::Restart(Actor::Node(node)) => self.start_node(node),
            Event::Restart(Actor::Core(core)) => self.start_core(core),
            Event::Switch { core, life, signed } => self.core_switch(core, life, signed),
        }
    }

    pub(super) fn sign_topology(&self, topology: Topology) -> SignedTopology {
        let signature = sign(&self.core_key.bytes, &topology.signing_message(self.core_key.suite));
        SignedTopology { topology, signature }
    }

    pub(super) fn node_index(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    pub(super) fn liar(&self) -> Option<NodeId> {
        self.nodes.iter().find(|node| node.lie_told).map(|node| node.id)
    }

    /// Sends a frame over a connection, if its sender still has it open.
    pub(super) fn send(&mut self, connection: u64, to_node: bool, frame: Frame) {
        let Some(ends) = self.connections.get(&connection) else { return };
        let open = if to_node { ends.core_open } else { ends.node_open };
        let (core, node) = (Actor::Core(ends.core), Actor::Node(ends.node));
        let (from, to) = if to_node { (core, node) } else { (node, core) };
        if !open {
            return;
        }
        self.report.frames += 1;
        let second = self.now.0 / SECOND;
        if self.frames_this_second.0 != second {
            self.frames_this_second = (second, 0);
            self.nacks.clear();
        }
        if matches!(frame, Frame::Nack(_)) && self.nodes[ends.node].lie.is_none() {
            let nacks = self.nacks.entry(connection).or_default();
            *nacks += 1;
            // Two spans of the follower's budget may touch one second.
            let few = *nacks <= 2 * NACKS_MAX;
            self.oracle.demand(few, || alloc::format!("more than {NACKS_MAX} nacks a second"));
        }
        self.frames_this_second.1 += 1;
        let frames = self.frames_this_second.1;
        self.oracle
            .demand(frames <= FRAMES_PER_SECOND_MAX, || alloc::format!("{frames} frames in one second"));
        if self.report.frames.is_multiple_of(61) {
            let again = Frame::decode(&frame.encode());
            self.oracle
                .demand(again.as_ref() == Ok(&frame), || alloc::format!("{frame:?} reads back as {again:?}"));
        }
        let faults = self.options.faults.clone();
        if !self.network.passes(from, to, self.now) || self.random.permille(faults.loss) {
            return;
        }
        let reordering = faults.reordering && !self.healed;
        if self.random.permille(faults.duplication) {
            let at = self.network.arrival(connection, to_node, reordering, &mut self.random, self.now);
            self.at(at, Event::Deliver { connection, to_node, frame: Box::new(frame.clone()) });
        }
        let at = self.network.arrival(connection, to_node, reordering, &mut self.random, self.now);
        self.at(at, Event::Deliver { connection, to_node, frame: Box::new(frame) });
    }

    fn deliver(&mut self, connection: u64, to_node: bool, frame: Frame) {
        let Some(ends) = self.connections.get(&connection) else { return };
        let (core, node) = (ends.core, ends.node);
        let open = if to_node { ends.node_open } else { ends.core_open };
        if !open {
            return;
        }
        self.trace(connection << 8 | u64::from(to_node) << 7 | u64::from(frame.name().as_bytes()[0]));
        if to_node {
            self.node_frame(node, connection, frame);
        } else {
            self.core_frame(core, node, frame);
        }
    }

    /// A core node dials a storage node; a handshake needs both directions.
    pub(super) fn connect(&mut self, core: usize, node: usize) {
        let (from, to) = (Actor::Core(core), Actor::Node(node));
        let passes = self.network.passes(from, to, self.now) && self.network.passes(to, from, self.now);
        if !passes || !self.nodes[node].up() || self.nodes[node].paused_until > self.now {
            return;
        }
        let connection = self.next_connection;
        self.next_connection += 1;
        let ends = Connection { core, node, core_open: true, node_open: true };
        self.connections.insert(connection, ends);
        let id = self.nodes[node].id;
        self.cores[core].connections.insert(id, connection);
        let delay = self.network.delay(&mut self.random, self.now);
        self.after(delay, Event::Opened { connection, at_node: true });
        self.after(Micros(2 * delay.0), Event::Opened { connection, at_node: false });
    }

    fn opened(&mut self, connection: u64, at_node: bool) {
        let Some(ends) = self.connections.get(&connection) else { return };
        let (core, node) = (ends.core, ends.node);
        let open = if at_node { ends.node_open } else { ends.core_open };
        if open && at_node {
            self.node_connected(node, connection);
        } else if open {
            self.core_connected(core, node);
        }
    }

    /// One end closes; the other learns of it if the network lets it.
    pub(super) fn close(&mut self, connection: u64, by_node: bool) {
        let Some(ends) = self.connections.get_mut(&connection) else { return };
        let (core, node) = (Actor::Core(ends.core), Actor::Node(ends.node));
        let (from, to) = if by_node { (node, core) } else { (core, node) };
        if by_node {
            ends.node_open = false;
        } else {
            ends.core_open = false;
        }
        if !ends.node_open && !ends.core_open {
            self.connections.remove(&connection);
            return self.network.forget(connection);
        }
        let told = self.network.passes(from, to, self.now);
        // Without a word, the idle timeout of the transport tells.
        let delay = if told { Micros(1000 + self.random.below(20_000)) } else { Micros(15 * SECOND) };
        self.after(delay, Event::Closed { connection, at_node: !by_node });
    }

    fn closed(&mut self, connection: u64, at_node: bool) {
        let Some(ends) = self.connections.get_mut(&connection) else { return };
        let (core, node) = (ends.core, ends.node);
        if at_node {
            ends.node_open = false;
        } else {
            ends.core_open = false;
        }
        if !ends.node_open && !ends.core_open {
            self.connections.remove(&connection);
            self.network.forget(connection);
        }
        if at_node {
            self.node_disconnected(node, connection);
        } else {
            self.core_disconnected(core, node, connection);
        }
    }

    /// The process is gone, and with it its ends of all connections.
    pub(super) fn drop_connections(&mut self, actor: Actor) {
        let of = |ends: &Connection| match actor {
            Actor::Node(node) => ends.node == node && ends.node_open,
            Actor::Core(core) => ends.core == core && ends.core_open,
        };
        let open: Vec<u64> =
            self.connections.iter().filter(|(_, ends)| of(ends)).map(|(connection, _)| *connection).collect();
        for connection in open {
            self.close(connection, matches!(actor, Actor::Node(_)));
        }
    }

    /// Asks a storage node on a stream of its own.
    pub(super) fn ask(&mut self, from: Actor, life: u64, job: Option<JobId>, to: usize, query: Query) {
        let lost = self.random.permille(self.options.faults.loss);
        let passes = self.network.passes(from, Actor::Node(to), self.now);
        if passes && !lost && self.nodes[to].up() {
            let delay = self.network.delay(&mut self.random, self.now);
            let until = self.now.plus(FetchConfig::default().answer_timeout);
            let asker = Asker { actor: from, life, job, until };
            self.after(delay, Event::Question { asker, to, query });
        }
    }

    fn question(&mut self, asker: Asker, to: usize, query: &Query) {
        let Some(answer) = self.node_answer(to, query) else { return };
        if self.network.passes(Actor::Node(to), asker.actor, self.now) {
            let delay = self.network.delay(&mut self.random, self.now);
            self.after(delay, Event::Answered { asker, from: to, answer });
        }
    }

    /// Clients send new transactions, and sometimes one again, to whichever core node takes them.
    fn submit(&mut self) {
        let wait = self.random.between(1, 2 * self.options.submit_ms);
        self.after(Micros::from_millis(wait), Event::Submit);
        let quiet = self.healed && self.now.0 / SECOND > self.options.seconds + 4;
        let takes: Vec<usize> = (0..self.cores.len()).filter(|core| self.core_accepts(*core)).collect();
        if takes.is_empty() || quiet {
            return;
        }
        let core = takes[self.random.below(takes.len() as u64) as usize];
        for _ in 0..self.random.between(1, 6) {
            let again = !self.lately.is_empty() && self.random.one_in(10);
            let id = if again {
                self.lately[self.random.below(self.lately.len() as u64) as usize]
            } else {
                self.next_transaction += 1;
                self.next_transaction
            };
            if self.lately.len() < 64 {
                self.lately.push(id);
            } else {
                let slot = self.random.below(64) as usize;
                self.lately[slot] = id;
            }
            self.core_submit(core, id);
        }
        self.core_start_sync(core);
    }

    fn span(&mut self, low_ms: u64, high_ms: u64) -> Micros {
        Micros::from_millis(self.random.between(low_ms, high_ms))
    }

    fn some_actor(&mut self) -> Actor {
        let nodes = self.nodes.len() as u64;
        let index = self.random.below(nodes + self.cores.len() as u64);
        if index < nodes { Actor::Node(index as usize) } else { Actor::Core((index - nodes) as usize) }
    }

    /// Something goes wrong, or an operator does something.
    fn chaos(&mut self) {
        if self.healed {
            return;
        }
        let wait = self.span(20, 600);
        self.after(wait, Event::Chaos);
        let faults = self.options.faults.clone();
        let actor = self.some_actor();
        match self.random.below(12) {
            0 | 1 if faults.crashes => self.crash(actor),
            2 | 3 if faults.partitions => self.partition(faults.asymmetric),
            4 if faults.delay => {
                let until = self.now.plus(self.span(100, 3000));
                self.network.slow_down(until);
            }
            5 if faults.pauses => {
                let long = self.random.one_in(6);
                let span = if long { self.span(5000, 30_000) } else { self.span(50, 2000) };
                let until = self.now.plus(span);
                match actor {
                    Actor::Node(node) => self.nodes[node].paused_until = until,
                    Actor::Core(core) => self.cores[core].paused_until = until,
                }
            }
            6 if faults.failed_syncs => match actor {
                Actor::Node(node) => self.nodes[node].fail_sync = true,
                Actor::Core(core) => self.cores[core].fail_sync = true,
            },
            7 if faults.slow_disks || faults.full_disks => {
                let until = self.now.plus(self.span(200, 4000));
                if let Actor::Node(node) = actor {
                    let full = faults.full_disks && (!faults.slow_disks || self.random.one_in(2));
                    let node = &mut self.nodes[node];
                    if full {
                        node.full_until = until;
                    } else {
                        node.slow_until = until;
                    }
                }
            }
            8 if faults.bit_flips => self.flip(actor),
            9 if faults.promotions => self.operator_promotes(),
            10 if faults.membership => self.operator_changes_members(),
            11 if self.now.0 > 8 * SECOND => self.replace_core(&faults),
            _ => {}
        }
    }

    pub(super) fn crash(&mut self, actor: Actor) {
        let down = match actor {
            Actor::Node(node) => self.crash_node(node),
            Actor::Core(core) => self.crash_core(core),
        };
        if down {
            self.report.crashes += 1;
            let long = self.random.one_in(10);
            let wait = if long { self.span(5000, 20_000) } else { self.span(50, 3000) };
            self.after(wait, Event::Restart(actor));
        }
    }

    fn partition(&mut self, asymmetric: bool) {
        let until = self.now.plus(self.span(100, 8000));
        let actor = self.some_actor();
        let all: Vec<Actor> = (0..self.nodes.len())
            .map(Actor::Node)
            .chain((0..self.cores.len()).map(Actor::Core))
            .filter(|other| *other != actor)
            .collect();
        let isolate = self.random.one_in(2);
        let one = all[self.random.below(all.len() as u64) as usize];
        let one_way = asymmetric && self.random.one_in(2);
        for other in all.into_iter().filter(|other| isolate || *other == one) {
            self.network.cut(actor, other, until);
            if !one_way {
                self.network.cut(other, actor, until);
            }
            self.report.partitions += 1;
        }
    }

    /// A durable bit flips, but never the last good copy.
    fn flip(&mut self, actor: Actor) {
        let disk = match actor {
            Actor::Node(node) => &self.nodes[node].disk,
            Actor::Core(core) => &self.cores[core].disk,
        };
        if disk.synced() == 0 {
            return;
        }
        let position = 1 + self.random.below(disk.synced());
        let Some(head) = disk.head_at(position) else { return };
        let good = |node: &&Node| {
            node.disk.is_durable(&head) && !node.disk.rotten.contains(&position) && node.lie.is_none()
        };
        let others = self.nodes.iter().filter(|node| Actor::Node(node.index) != actor).filter(good).count();
        if others > 0 {
            match actor {
                Actor::Node(node) => self.nodes[node].disk.rotten.insert(position),
                Actor::Core(core) => self.cores[core].disk.rotten.insert(position),
            };
        }
    }

    /// Another machine comes into service: because the core node's disk is gone, because an operator believes so, or as
    /// a copy that nobody meant to run.
    fn replace_core(&mut self, faults: &Faults) {
        let active = self.cores.len() - 1;
        let settled = self.cores[active].leader.is_some() && self.oracle.acknowledged() > 0;
        if self.cores.len() >= 3 || !settled || faults.liar.is_some() || !self.random.one_in(4) {
            return;
        }
        let mut choices: Vec<u8> = Vec::new();
        choices.extend(faults.core_loss.then_some(0));
        choices.extend(faults.two_writers.then_some(1));
        choices.extend((faults.clones && self.cores.len() == 1).then_some(2));
        if choices.is_empty() {
            return;
        }
        let core = match choices[self.random.below(choices.len() as u64) as usize] {
            0 => {
                self.crash_core(active);
                self.cores[active].lose();
                Core::new(None)
            }
            1 => {
                // He believes it because the primary does not hear it any more.
                let leader = self.cores[active].leader.as_ref();
                let primary = leader.and_then(|leader| self.node_index(leader.topology().topology.primary()));
                if let Some(primary) = primary.filter(|_| self.random.one_in(2)) {
                    let until = self.now.plus(self.span(3000, 12_000));
                    self.network.cut(Actor::Core(active), Actor::Node(primary), until);
                    self.network.cut(Actor::Node(primary), Actor::Core(active), until);
                }
                Core::new(None)
            }
            _ => {
                self.cloned = true;
                self.cores[active].copy(&mut self.random)
            }
        };
        self.take_into_service(core);
    }

    fn take_into_service(&mut self, core: Core) {
        self.cores.push(core);
        let core = self.cores.len() - 1;
        self.after(TICK, Event::Tick(Actor::Core(core)));
        let wait = self.span(100, 3000);
        self.after(wait, Event::Restart(Actor::Core(core)));
    }

    /// Nothing goes wrong any more; who lied is replaced by somebody honest with the same disk.
    fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        self.options.faults.loss = 0;
        self.options.faults.duplication = 0;
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            node.paused_until = self.now;
            node.full_until = self.now;
            node.slow_until = self.now;
            node.fail_sync = false;
            if node.lie.take().is_some() || !node.up() {
                self.crash_node(index);
                self.start_node(index);
            }
        }
        if self.cloned {
            // Nobody knows any more which copy is the right one: both are stopped, and the log comes from the nodes.
            for index in 0..self.cores.len() {
                self.crash_core(index);
                self.cores[index].retire();
            }
            self.take_into_service(Core::new(None));
        }
        for index in 0..self.cores.len() {
            let core = &mut self.cores[index];
            core.paused_until = self.now;
            core.fail_sync = false;
            let convictions = self.options.faults.liar.is_some();
            if convictions || !self.cores[index].up() {
                self.crash_core(index);
                self.start_core(index);
            }
        }
    }

    /// What keeps the healed cluster from being one.
    fn apart(&self) -> Option<alloc::string::String> {
        let active = self.cores.len() - 1;
        let core = &self.cores[active];
        let Some(leader) = &core.leader else {
            return Some(alloc::format!("core {active} does not lead: {}", core.describe()));
        };
        let head = core.disk.end();
        if leader.head() != head || leader.primary_position() < head.position {
            let (standing, status) = (leader.standing(), leader.status());
            return Some(alloc::format!("{:?} of {head:?}: {standing:?} {status:?}", leader.head()));
        }
        for member in leader.topology().topology.members() {
            let node = &self.nodes[self.node_index(member.node())?];
            if node.disk.synced_head() != head {
                let found = node.disk.synced_head();
                let (rot, state) = (&core.disk.rotten, leader.status());
                let node = node.index;
                return Some(alloc::format!(
                    "node {node} is at {found:?}, the core at {head:?}: {rot:?} {state:?}"
                ));
            }
            if !node.disk.rotten.is_empty() {
                return Some(alloc::format!("node {} has not repaired {:?}", node.index, node.disk.rotten));
            }
        }
        if core.disk.rotten.is_empty() {
            None
        } else {
            Some(alloc::format!("rot at the core: {:?}", core.disk.rotten))
        }
    }
}
