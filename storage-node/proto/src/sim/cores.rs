//! Core nodes: the shell around a [`Leader`], restoring, and what operators do.

use super::Bug;
use super::disk::Disk;
use super::network::Actor;
use super::nodes::Node;
use super::random::Random;
use super::world::{Event, NETWORK, Notary, World};
use crate::fetch::{Answer, FetchConfig, FetchOutput, Fetched, Fetcher, JobId, PeerFault, Query, Want};
use crate::restore::{Readiness, Restore};
use crate::{
    Fault, Frame, Head, Leader, LeaderConfig, LeaderOutput, Level, Micros, NodeId, PeerState, ReadFailure,
    ReadId, Record, SignedTopology, Start, Topology,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

const WINDOW: usize = 8 << 10;
const FRAME: usize = 2 << 10;

pub(super) struct Core {
    pub(super) disk: Disk,
    /// Durable together with whether a majority is known to have promised it.
    pub(super) topology: Option<SignedTopology>,
    established: bool,
    pub(super) leader: Option<Leader>,
    running: bool,
    /// Its disk is gone for good, or it was fenced by its successor.
    retired: bool,
    life: u64,
    pub(super) paused_until: Micros,
    pub(super) fail_sync: bool,
    syncing: bool,
    pub(super) connections: BTreeMap<NodeId, u64>,
    transactions: BTreeSet<u64>,
    /// Receipts were given through here in this life.
    receipts: u64,
    pub(super) restore: Option<Restore>,
    /// The topology that counts, while its primary's log is being fetched. Nobody may lead in it.
    found: Option<SignedTopology>,
    /// What the restored log has to reach.
    fetching: bool,
    /// Restored: takes nothing before it is confirmed.
    unconfirmed: bool,
    behind: bool,
    /// A claim that its peer could not back with records. Twice the same is a lie; once, its log may have changed.
    unbacked: Option<(NodeId, Head)>,
    fetcher: Fetcher,
    jobs: BTreeMap<JobId, Job>,
    asked: Micros,
}

#[derive(Clone, Copy)]
enum Job {
    Restore { epoch: u64 },
    CatchUp { peer: NodeId, after: Head, until: Head, faulty: bool },
    Repair { until: Head },
}

impl Core {
    pub(super) fn new(topology: Option<SignedTopology>) -> Core {
        Core {
            disk: Disk::default(),
            topology,
            established: false,
            leader: None,
            running: false,
            retired: false,
            life: 0,
            paused_until: Micros(0),
            fail_sync: false,
            syncing: false,
            connections: BTreeMap::new(),
            transactions: BTreeSet::new(),
            receipts: 0,
            restore: None,
            found: None,
            fetching: false,
            unconfirmed: false,
            behind: false,
            unbacked: None,
            fetcher: Fetcher::new(FetchConfig::default()),
            jobs: BTreeMap::new(),
            asked: Micros(0),
        }
    }

    pub(super) fn up(&self) -> bool {
        self.running
    }

    pub(super) fn lose(&mut self) {
        self.disk.wipe();
        self.retired = true;
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    /// Another machine with a copy of this one's disk, as it would be after a crash now.
    pub(super) fn copy(&self, random: &mut Random) -> Core {
        let mut core = Core::new(self.topology.clone());
        core.disk = self.disk.clone();
        core.disk.crash(random);
        core.established = self.established;
        core.unconfirmed = self.unconfirmed;
        core
    }

    pub(super) fn describe(&self) -> String {
        let readiness = self.restore.as_ref().map(Restore::readiness);
        alloc::format!("running {}, retired {}, restoring {readiness:?}", self.running, self.retired)
    }
}

/// A record that only the core node could have made: the transaction and a tag with the core's key.
fn record(key: &[u8], id: u64, filler: usize) -> Record {
    let mut payload = id.to_le_bytes().to_vec();
    payload.extend_from_slice(&super::world::sign(key, &payload)[..8]);
    payload.resize(16 + filler, 0);
    Record { kind: 1, payload }
}

fn transaction(key: &[u8], record: &Record) -> Option<u64> {
    let (id, rest) = record.payload.split_first_chunk::<8>()?;
    let genuine = rest.get(..8)? == &super::world::sign(key, id)[..8];
    genuine.then(|| u64::from_le_bytes(*id))
}

impl World {
    pub(super) fn start_core(&mut self, index: usize) {
        if self.cores[index].running || self.cores[index].retired {
            return;
        }
        let (bug, now, key) = (self.options.bug, self.now, self.core_key.clone());
        let peers: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        let core = &mut self.cores[index];
        core.running = true;
        core.disk.open();
        core.syncing = false;
        core.fail_sync = false;
        core.receipts = 0;
        core.jobs.clear();
        core.behind = false;
        core.fetching = false;
        core.fetcher = Fetcher::new(FetchConfig { rounds: 2, ..FetchConfig::default() });
        core.fetcher.plant(bug);
        core.fetcher.set_peers(&peers);
        core.connections.clear();
        let log = (1..=core.disk.synced()).filter_map(|position| core.disk.record_at(position));
        core.transactions = log.filter_map(|record| transaction(&key.bytes, record)).collect();
        match core.topology.clone() {
            Some(topology) => self.lead(index, topology),
            None => {
                core.restore = Some(Restore::new(NETWORK, key));
                core.asked = now;
                self.report.restores += 1;
            }
        }
        self.drain_core(index);
    }

    fn lead(&mut self, index: usize, topology: SignedTopology) {
        let mut config = LeaderConfig::new(self.core_key.clone());
        config.window_bytes = WINDOW;
        config.append_bytes_max = FRAME;
        if self.options.faults.clones {
            config.failover = None;
        }
        let core = &mut self.cores[index];
        let head = core.disk.synced_head();
        let mut leader = Leader::new(config, topology, Start::default(), head, self.now);
        leader.plant(self.options.bug);
        if core.established {
            leader.assume_established();
        }
        core.leader = Some(leader);
    }

    /// Whether it was up.
    pub(super) fn crash_core(&mut self, index: usize) -> bool {
        let core = &mut self.cores[index];
        if !core::mem::take(&mut core.running) {
            return false;
        }
        core.life += 1;
        core.leader = None;
        core.restore = None;
        core.disk.crash(&mut self.random);
        self.drop_connections(Actor::Core(index));
        self.cores[index].connections.clear();
        true
    }

    /// The higher epoch of another writer has ended this one. If it is the one that operators believe in, they restore
    /// it from the storage nodes.
    fn fenced(&mut self, index: usize) {
        self.report.fenced += 1;
        let newest = index + 1 == self.cores.len();
        self.crash_core(index);
        let core = &mut self.cores[index];
        if newest {
            core.disk.wipe();
            core.topology = None;
            core.established = false;
            self.after(Micros::from_millis(500), Event::Restart(Actor::Core(index)));
        } else {
            core.retired = true;
        }
    }

    pub(super) fn core_accepts(&self, index: usize) -> bool {
        let core = &self.cores[index];
        core.leader.is_some() && core.paused_until <= self.now && !core.unconfirmed && !core.behind
    }

    pub(super) fn core_submit(&mut self, index: usize, id: u64) {
        let filler = self.random.below(48) as usize;
        let core = &mut self.cores[index];
        if core.transactions.insert(id) {
            core.disk.append(record(&self.core_key.bytes, id, filler));
        }
    }

    pub(super) fn core_start_sync(&mut self, index: usize) {
        let core = &mut self.cores[index];
        let (len, life) = (core.disk.len(), core.life);
        if core.running && !core.syncing && len as u64 > core.disk.synced() {
            core.syncing = true;
            let delay = Micros(self.random.between(200, 4000));
            self.after(delay, Event::Synced { actor: Actor::Core(index), life, len });
        }
    }

    pub(super) fn core_synced(&mut self, index: usize, life: u64, len: usize) {
        let now = self.now;
        let core = &mut self.cores[index];
        if core.life != life {
            return;
        }
        core.syncing = false;
        if core::mem::take(&mut core.fail_sync) {
            core.disk.fail_sync();
            return self.crash(Actor::Core(index));
        }
        core.disk.sync(len);
        let head = core.disk.synced_head();
        if let Some(leader) = &mut core.leader {
            leader.handle_appended(head, now);
        }
        self.core_start_sync(index);
        self.drain_core(index);
    }

    pub(super) fn tick_core(&mut self, index: usize) {
        let now = self.now;
        if !self.cores[index].running {
            return;
        }
        if self.cores[index].restore.is_some() {
            self.restore_step(index);
        }
        let core = &mut self.cores[index];
        if let Some(leader) = &mut core.leader {
            if leader.poll_timeout().is_some_and(|at| at <= now) {
                leader.handle_timeout(now);
                let again = leader.poll_timeout().is_some_and(|at| at <= now);
                self.oracle
                    .demand(!again, || alloc::format!("core {index} wants to be woken at once, again"));
            }
            let most = leader.status().iter().map(|peer| peer.in_flight_bytes).max().unwrap_or(0);
            self.oracle
                .demand(most <= WINDOW + FRAME, || alloc::format!("{most} bytes in flight to one peer"));
            let standing = leader.standing();
            core.unconfirmed &= !standing.confirmed;
            core.behind = standing.behind.is_some();
        }
        if core.fetcher.poll_timeout().is_some_and(|at| at <= now) {
            core.fetcher.handle_timeout(now);
        }
        if let Some(position) = core.disk.rotten.first().copied()
            && core.jobs.is_empty()
            && let (Some(after), Some(until)) = (core.disk.head_at(position - 1), core.disk.head_at(position))
        {
            let want = Want::Records { after, until, bytes_max: 1 << 20 };
            if let Some(job) = core.fetcher.start(want, &[], now) {
                core.jobs.insert(job, Job::Repair { until });
            }
        }
        self.drain_core(index);
        self.dial(index);
    }

    fn dial(&mut self, index: usize) {
        let Some(leader) = &self.cores[index].leader else { return };
        let members: Vec<NodeId> = leader
            .status()
            .iter()
            .filter(|peer| !matches!(peer.state, PeerState::Convicted(_)))
            .map(|peer| peer.node)
            .collect();
        for id in members {
            let dialled = self.cores[index].connections.contains_key(&id);
            if !dialled
                && self.random.one_in(3)
                && let Some(node) = self.node_index(id)
            {
                self.connect(index, node);
            }
        }
    }

    /// Asks everybody where they stand, until it is clear from whom to fetch.
    fn restore_step(&mut self, index: usize) {
        let now = self.now;
        let core = &mut self.cores[index];
        let Some(restore) = &core.restore else { return };
        let life = core.life;
        if core.fetching {
            return;
        }
        match restore.readiness() {
            Readiness::Ready { topology, sources, epoch } => {
                core.fetching = true;
                self.restore_from(index, topology, sources, epoch);
            }
            Readiness::NoTopology | Readiness::Waiting { .. } => {
                if now.since(core.asked) >= Micros::from_millis(500) {
                    core.asked = now;
                    for to in 0..self.nodes.len() {
                        self.ask(Actor::Core(index), life, None, to, Query::Status);
                    }
                }
            }
        }
        self.drain_core(index);
    }

    fn restore_from(
        &mut self,
        index: usize,
        topology: SignedTopology,
        sources: Vec<(NodeId, Head)>,
        epoch: u64,
    ) {
        let now = self.now;
        let Some((source, until)) = sources.first().copied() else { return };
        let core = &mut self.cores[index];
        core.found = Some(topology);
        if until == Head::EMPTY {
            return self.restored(index, epoch, Vec::new());
        }
        let want = Want::Records { after: Head::EMPTY, until, bytes_max: 64 << 20 };
        if let Some(job) = core.fetcher.start(want, &[source], now) {
            core.jobs.insert(job, Job::Restore { epoch });
        }
    }

    /// The log is back: lead in a new epoch, and take nothing before a majority has promised it.
    fn restored(&mut self, index: usize, epoch: u64, records: Vec<Record>) {
        let hasty = self.options.bug == Some(Bug::LeadsUnconfirmed);
        let mut term = [0u8; 32];
        term[..8].copy_from_slice(&self.random.next().to_le_bytes());
        let key = self.core_key.clone();
        let core = &mut self.cores[index];
        let genuine: Option<BTreeSet<u64>> =
            records.iter().map(|record| transaction(&key.bytes, record)).collect();
        let (Some(transactions), Some(found)) = (genuine, core.found.take()) else {
            return self.oracle.fail(alloc::format!("core {index} restored what the core never wrote"));
        };
        core.transactions = transactions;
        for record in records {
            core.disk.append(record);
        }
        core.disk.open();
        let next =
            Topology::new(NETWORK, epoch, term, found.topology.primary(), found.topology.members().to_vec());
        let signed = self.sign_topology(next.expect("the same members as before"));
        let core = &mut self.cores[index];
        core.topology = Some(signed.clone());
        core.established = false;
        core.restore = None;
        core.fetching = false;
        core.unconfirmed = !hasty;
        self.lead(index, signed);
    }

    pub(super) fn core_connected(&mut self, index: usize, node: usize) {
        let (id, now) = (self.nodes[node].id, self.now);
        if let Some(leader) = &mut self.cores[index].leader {
            leader.handle_connected(id, now);
        }
        self.drain_core(index);
    }

    pub(super) fn core_disconnected(&mut self, index: usize, node: usize, connection: u64) {
        let id = self.nodes[node].id;
        let core = &mut self.cores[index];
        if core.connections.get(&id) == Some(&connection) {
            core.connections.remove(&id);
            if let Some(leader) = &mut core.leader {
                leader.handle_disconnected(id);
            }
        }
        self.drain_core(index);
    }

    pub(super) fn core_frame(&mut self, index: usize, node: usize, frame: Frame) {
        let (id, now) = (self.nodes[node].id, self.now);
        if let Some(leader) = &mut self.cores[index].leader {
            leader.handle_frame(id, frame, now, &Notary);
        }
        self.drain_core(index);
    }

    pub(super) fn core_read(
        &mut self,
        index: usize,
        life: u64,
        peer: NodeId,
        id: ReadId,
        after: u64,
        bytes_max: usize,
    ) {
        let (now, blind) = (self.now, self.options.bug == Some(Bug::ServesRotten));
        let core = &mut self.cores[index];
        let Some(leader) = core.leader.as_mut().filter(|_| core.life == life) else { return };
        let most = (bytes_max / 112).max(1);
        let records = if blind {
            Ok(core.disk.read_blindly(after, most))
        } else {
            let fewer = core.disk.read(after, most).or_else(|| core.disk.read(after, 1));
            fewer.ok_or(ReadFailure::Damaged)
        };
        leader.handle_records(peer, id, records, now);
        self.drain_core(index);
    }

    pub(super) fn core_switch(&mut self, index: usize, life: u64, signed: SignedTopology) {
        let now = self.now;
        let core = &mut self.cores[index];
        let Some(leader) = core.leader.as_mut().filter(|_| core.life == life) else { return };
        if leader.handle_topology(signed.clone(), now).is_ok() {
            core.topology = Some(signed);
            core.established = false;
        }
        self.drain_core(index);
    }

    pub(super) fn operator_promotes(&mut self) {
        let index = self.cores.len() - 1;
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let (id, now) = (self.nodes[node].id, self.now);
        if let Some(leader) = &mut self.cores[index].leader {
            // A refusal is an answer as well.
            let _ = leader.handle_promote(id, now);
        }
        self.drain_core(index);
    }

    pub(super) fn operator_changes_members(&mut self) {
        let index = self.cores.len() - 1;
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let term = [self.random.below(256) as u8; 32];
        let Some(leader) = &self.cores[index].leader else { return };
        let topology = &leader.topology().topology;
        let (id, member) = (self.nodes[node].id, self.nodes[node].member.clone());
        let next = if topology.member(id).is_none() {
            topology.with(member, term)
        } else if topology.members().len() > 2 && topology.primary() != id {
            topology.without(id, term)
        } else {
            return;
        };
        if let Ok(next) = next {
            let signed = self.sign_topology(next);
            let life = self.cores[index].life;
            self.core_switch(index, life, signed);
        }
    }

    pub(super) fn core_answered(
        &mut self,
        index: usize,
        life: u64,
        job: Option<JobId>,
        from: usize,
        answer: Answer,
    ) {
        let (peer, now) = (self.nodes[from].id, self.now);
        let core = &mut self.cores[index];
        if core.life != life || !core.running {
            return;
        }
        match (job, answer) {
            (Some(job), answer) => core.fetcher.handle_answer(peer, job, answer, now),
            (None, Answer::Status(status)) => {
                if let Some(restore) = &mut core.restore {
                    // Who names a topology that the core never signed is not counted.
                    let _ = restore.handle_status(peer, status, &Notary);
                }
            }
            (None, _) => {}
        }
        self.drain_core(index);
    }

    pub(super) fn drain_core(&mut self, index: usize) {
        while let Some(output) = self.cores[index].leader.as_mut().and_then(Leader::poll) {
            self.core_output(index, output);
        }
        while let Some(output) = self.cores[index].fetcher.poll() {
            self.core_fetches(index, output);
        }
    }

    fn core_output(&mut self, index: usize, output: LeaderOutput) {
        let life = self.cores[index].life;
        match output {
            LeaderOutput::Send { to, frame } => {
                if let Some(connection) = self.cores[index].connections.get(&to).copied() {
                    self.send(connection, true, frame);
                }
            }
            LeaderOutput::Read { peer, id, after, bytes_max } => {
                let delay = Micros(self.random.between(20, 200));
                self.after(delay, Event::Read { core: index, life, peer, id, after, bytes_max });
            }
            LeaderOutput::ReadDigest { peer, position } => {
                let now = self.now;
                let core = &mut self.cores[index];
                let rotten = core.disk.rotten.contains(&position);
                let digest = core.disk.digest_at(position).filter(|_| !rotten);
                if let Some(leader) = &mut core.leader {
                    leader.handle_digest(peer, position, digest, now);
                }
            }
            LeaderOutput::Disconnect { peer, state } => {
                if let PeerState::Convicted(_) = state {
                    self.report.convicted += 1;
                    let guilty = self.liar() == Some(peer);
                    self.oracle.demand(guilty, || alloc::format!("an honest peer was convicted: {state:?}"));
                }
                if let Some(connection) = self.cores[index].connections.remove(&peer) {
                    self.close(connection, false);
                }
            }
            LeaderOutput::Acked { peer, head } => {
                let lie = self.nodes.iter().find(|node| node.id == peer).and_then(|node| node.lie);
                let believed = matches!(lie, Some(super::Lie::Forges | super::Lie::AcksOther));
                let believed = believed && head.position >= 20;
                self.oracle.demand(!believed, || alloc::format!("the ack of a liar was believed: {lie:?}"));
                self.receipts(index);
            }
            LeaderOutput::Established { .. } => {
                self.cores[index].established = true;
                self.check_primary(index);
                self.receipts(index);
            }
            LeaderOutput::Fenced { .. } => {
                let expected = self.cores.len() > 1;
                self.oracle.demand(expected, || alloc::format!("core {index} was fenced by nobody"));
                self.fenced(index);
            }
            LeaderOutput::Behind { peer, head } => self.catch_up(index, peer, head),
            LeaderOutput::Evidence(evidence) => {
                let (liar, two) = (self.liar(), self.cores.len() > 1);
                self.oracle.evidence(&evidence, liar, two);
            }
            LeaderOutput::PromotionNeeded { candidate } => {
                let mut term = [0u8; 32];
                term[..8].copy_from_slice(&self.random.next().to_le_bytes());
                let next = self.cores[index]
                    .leader
                    .as_ref()
                    .map(|leader| leader.topology().topology.promoted(candidate, term));
                if let Some(Ok(next)) = next {
                    let signed = self.sign_topology(next);
                    let delay = Micros::from_millis(self.random.between(1, 20));
                    self.after(delay, Event::Switch { core: index, life, signed });
                }
            }
            LeaderOutput::CatchUp { .. } => {}
            LeaderOutput::OwnLogDiffers { position } => {
                self.oracle
                    .fail(alloc::format!("core {index} read other records at {position} than it wrote"));
            }
        }
    }

    fn catch_up(&mut self, index: usize, peer: NodeId, head: Head) {
        let now = self.now;
        let core = &mut self.cores[index];
        core.behind = true;
        if core.jobs.values().any(|job| matches!(job, Job::CatchUp { .. })) {
            return;
        }
        let after = core.disk.synced_head();
        let want = Want::Records { after, until: head, bytes_max: 64 << 20 };
        if let Some(job) = core.fetcher.start(want, &[peer], now) {
            core.jobs.insert(job, Job::CatchUp { peer, after, until: head, faulty: false });
        }
    }

    /// An epoch begins to count: its primary holds whatever was acknowledged in any before.
    fn check_primary(&mut self, index: usize) {
        let Some(leader) = &self.cores[index].leader else { return };
        let primary = leader.topology().topology.primary();
        let Some(node) = self.nodes.iter().find(|node| node.id == primary && !node.lie_told) else { return };
        if index + 1 == self.cores.len() {
            let number = node.index;
            self.oracle.check_prefix(&alloc::format!("the new primary, node {number},"), |position| {
                node.disk.digest_at(position)
            });
        }
    }

    /// Every receipt that can be given now is given, and checked.
    fn receipts(&mut self, index: usize) {
        let core = &self.cores[index];
        let Some(leader) = &core.leader else { return };
        let top = leader.primary_position();
        if top <= core.receipts {
            return;
        }
        let Some(head) = core.disk.head_at(top).filter(|head| core.disk.is_durable(head)) else {
            return self.oracle.fail(alloc::format!("core {index} acknowledges {top}, which it has not"));
        };
        let level = leader.level_of(top);
        let named = leader.durable_on(top);
        let convicted: Vec<NodeId> = leader
            .status()
            .iter()
            .filter(|peer| matches!(peer.state, PeerState::Convicted(_)))
            .map(|peer| peer.node)
            .collect();
        let topology = &leader.topology().topology;
        let (primary, epoch) = (topology.primary(), topology.epoch());
        let promised = |node: &&Node| {
            let durable = node.disk.promise().map_or(0, |promise| promise.topology.topology.epoch());
            topology.member(node.id).is_some() && durable >= epoch
        };
        let enough = self.nodes.iter().filter(promised).count() >= topology.majority();
        self.oracle
            .demand(enough, || alloc::format!("{top} acknowledged in epoch {epoch} without a majority"));
        let fits = match level {
            Level::Local => false,
            Level::Primary => named == [primary],
            Level::Replicated(n) => named.len() == usize::from(n) && named.contains(&primary),
        };
        self.oracle.demand(fits, || alloc::format!("{level:?} for {top}, durable on {named:?}"));
        for id in &named {
            let Some(node) = self.nodes.iter().find(|node| node.id == *id) else { continue };
            let durable = node.disk.is_durable(&head) || node.lie_told;
            let number = node.index;
            self.oracle.demand(durable, || {
                alloc::format!("the receipt for {top} names node {number}, where it is not durable")
            });
            let counted = convicted.contains(id);
            self.oracle.demand(!counted, || alloc::format!("the receipt for {top} counts a convicted node"));
        }
        for position in core.receipts + 1..=top {
            let placed = core.disk.head_at(position).zip(core.disk.record_at(position));
            if let Some((head, record)) = placed {
                let id = record.payload.first_chunk().map_or(0, |id| u64::from_le_bytes(*id));
                self.oracle.acknowledge(head, id);
            }
        }
        self.trace(head.digest.0[0].into());
        self.cores[index].receipts = top;
    }

    fn core_fetches(&mut self, index: usize, output: FetchOutput) {
        let (life, now) = (self.cores[index].life, self.now);
        match output {
            FetchOutput::Ask { peer, job, query } => {
                if let Some(to) = self.node_index(peer) {
                    self.ask(Actor::Core(index), life, Some(job), to, query);
                }
            }
            FetchOutput::Done { job, fetched: Fetched::Records(records), .. } => {
                match self.cores[index].jobs.remove(&job) {
                    Some(Job::Restore { epoch }) => self.restored(index, epoch, records),
                    // If the log has grown meanwhile, what came does not follow it any more.
                    Some(Job::CatchUp { after, .. }) if self.cores[index].disk.end() == after => {
                        let key = self.core_key.clone();
                        let core = &mut self.cores[index];
                        for record in records {
                            core.transactions.extend(transaction(&key.bytes, &record));
                            core.disk.append(record);
                        }
                        core.disk.open();
                        let head = core.disk.synced_head();
                        if let Some(leader) = &mut core.leader {
                            leader.handle_appended(head, now);
                        }
                    }
                    Some(Job::Repair { until })
                        if self.cores[index].disk.head_at(until.position) == Some(until) =>
                    {
                        let position = until.position;
                        let equal = records
                            .first()
                            .is_some_and(|record| self.cores[index].disk.repair(position, record));
                        self.report.repaired += 1;
                        self.oracle.demand(equal, || {
                            alloc::format!("core {index} repaired {position} with other bytes")
                        });
                    }
                    Some(Job::CatchUp { .. } | Job::Repair { .. }) | None => {}
                }
            }
            FetchOutput::Done { job, .. } | FetchOutput::Failed { job } => {
                match self.cores[index].jobs.remove(&job) {
                    Some(Job::Restore { .. }) => {
                        let core = &mut self.cores[index];
                        core.fetching = false;
                    }
                    Some(Job::CatchUp { peer, until, faulty, .. }) => {
                        let core = &mut self.cores[index];
                        if faulty && core.unbacked == Some((peer, until)) {
                            if let Some(leader) = &mut core.leader {
                                leader.handle_fault(peer, Fault::FalseHead);
                            }
                        } else if faulty {
                            core.unbacked = Some((peer, until));
                        }
                    }
                    Some(Job::Repair { .. }) | None => {}
                }
            }
            FetchOutput::Fault { peer, fault } => {
                for job in self.cores[index].jobs.values_mut() {
                    if let Job::CatchUp { peer: ahead, faulty, .. } = job {
                        *faulty |=
                            *ahead == peer && matches!(fault, PeerFault::Denied | PeerFault::WrongContent);
                    }
                }
                self.fault_found(peer, fault);
            }
        }
    }

    /// Scores may suffer by lateness; only liars send wrong things.
    pub(super) fn fault_found(&mut self, peer: NodeId, fault: PeerFault) {
        let wrong = matches!(fault, PeerFault::WrongContent | PeerFault::TooMuch | PeerFault::Misfit);
        let guilty = self.liar() == Some(peer);
        self.oracle.demand(!wrong || guilty, || alloc::format!("an honest peer sent {fault:?}"));
    }
}
