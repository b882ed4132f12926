//! Storage nodes: the shell around a [`Follower`], and how a liar changes what it says.

use super::disk::Disk;
use super::network::Actor;
use super::world::{Event, NETWORK, Notary, World, sign};
use super::{Bug, Lie};
use crate::fetch::{Answer, FetchConfig, FetchOutput, Fetched, Fetcher, JobId, NodeStatus, Query, Want};
use crate::{
    Ack, AppendFailure, ConnectionId, Follower, FollowerConfig, FollowerOutput, Frame, Head, Member, Micros,
    NodeId, Refusal,
};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub(super) struct Node {
    pub(super) index: usize,
    pub(super) id: NodeId,
    pub(super) member: Member,
    pub(super) disk: Disk,
    pub(super) follower: Option<Follower>,
    life: u64,
    /// Counts what makes a sync under way worthless.
    syncs: u64,
    pub(super) paused_until: Micros,
    pub(super) slow_until: Micros,
    pub(super) full_until: Micros,
    pub(super) fail_sync: bool,
    syncing: bool,
    pub(super) lie: Option<Lie>,
    /// Whether it ever may have lied.
    pub(super) lie_told: bool,
    fetcher: Fetcher,
    /// Records that are being fetched, by the heads that they have to reach.
    repairs: BTreeMap<JobId, Head>,
}

impl Node {
    pub(super) fn new(index: usize, member: Member, liar: Option<usize>) -> Node {
        Node {
            index,
            id: member.node(),
            member,
            disk: Disk::default(),
            follower: None,
            life: 0,
            syncs: 0,
            paused_until: Micros(0),
            slow_until: Micros(0),
            full_until: Micros(0),
            fail_sync: false,
            syncing: false,
            lie: None,
            lie_told: liar == Some(index),
            fetcher: Fetcher::new(FetchConfig::default()),
            repairs: BTreeMap::new(),
        }
    }

    pub(super) fn up(&self) -> bool {
        self.follower.is_some()
    }
}

impl World {
    fn has(&self, bug: Bug) -> bool {
        self.options.bug == Some(bug)
    }

    pub(super) fn start_node(&mut self, index: usize) {
        if self.nodes[index].up() {
            return;
        }
        let keeps_torn_tail = self.has(Bug::KeepsTornTail);
        let lie = self.options.faults.liar.filter(|_| self.nodes[index].lie_told && !self.healed);
        let (bug, core) = (self.options.bug, self.core_key.clone());
        let others: Vec<NodeId> =
            self.nodes.iter().filter(|node| node.index != index).map(|node| node.id).collect();
        let node = &mut self.nodes[index];
        if !keeps_torn_tail {
            node.disk.open();
        }
        node.lie = lie;
        node.syncing = false;
        node.fail_sync = false;
        let mut config = FollowerConfig::new(node.id, core, Some(NETWORK));
        config.pending_bytes_max = 64 << 10;
        let head = node.disk.end();
        let mut follower = Follower::new(config, node.disk.cached_promise().cloned(), 1, head);
        follower.plant(bug);
        node.follower = Some(follower);
        node.fetcher = Fetcher::new(FetchConfig::default());
        node.fetcher.plant(bug);
        node.fetcher.set_peers(&others);
        node.repairs.clear();
        self.drain_node(index);
    }

    /// Whether it was up.
    pub(super) fn crash_node(&mut self, index: usize) -> bool {
        let node = &mut self.nodes[index];
        if node.follower.take().is_none() {
            return false;
        }
        node.life += 1;
        node.syncs += 1;
        node.disk.crash(&mut self.random);
        self.drop_connections(Actor::Node(index));
        true
    }

    fn disk_delay(&mut self, index: usize) -> Micros {
        let slow = self.nodes[index].slow_until > self.now;
        Micros(if slow { self.random.between(50_000, 800_000) } else { self.random.between(200, 3000) })
    }

    pub(super) fn tick_node(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let Some(follower) = &mut node.follower else { return };
        if follower.poll_timeout().is_some_and(|at| at <= now) {
            follower.handle_timeout(now);
            let again = follower.poll_timeout().is_some_and(|at| at <= now);
            self.oracle.demand(!again, || alloc::format!("node {index} wants to be woken at once, again"));
        }
        let node = &mut self.nodes[index];
        if node.fetcher.poll_timeout().is_some_and(|at| at <= now) {
            node.fetcher.handle_timeout(now);
        }
        // The scrub: one record at a time.
        if let Some(position) = node.disk.rotten.first().copied()
            && node.repairs.is_empty()
            && let (Some(after), Some(until)) = (node.disk.head_at(position - 1), node.disk.head_at(position))
        {
            let want = Want::Records { after, until, bytes_max: 1 << 20 };
            if let Some(job) = node.fetcher.start(want, &[], now) {
                node.repairs.insert(job, until);
            }
        }
        self.drain_node(index);
    }

    pub(super) fn node_connected(&mut self, index: usize, connection: u64) {
        let now = self.now;
        if let Some(follower) = &mut self.nodes[index].follower {
            follower.handle_connected(ConnectionId(connection), now);
        }
        self.drain_node(index);
    }

    pub(super) fn node_disconnected(&mut self, index: usize, connection: u64) {
        if let Some(follower) = &mut self.nodes[index].follower {
            follower.handle_disconnected(ConnectionId(connection));
        }
        self.drain_node(index);
    }

    pub(super) fn node_frame(&mut self, index: usize, connection: u64, frame: Frame) {
        let lie = self.nodes[index].lie;
        match (lie, &frame) {
            (Some(Lie::NacksAll), Frame::Append(append)) => {
                for _ in 0..4 {
                    let nack = crate::Nack { epoch: append.epoch, tail: Head::EMPTY };
                    self.send(connection, false, Frame::Nack(nack));
                }
            }
            (Some(Lie::ClaimsEpoch), Frame::Hello(hello)) => {
                let topology = hello.topology.topology.promoted(self.nodes[index].id, [9; 32]);
                if let Ok(topology) = topology {
                    let key = self.nodes[index].member.key();
                    let signature = sign(key, &topology.signing_message(self.core_key.suite));
                    let held = crate::SignedTopology { topology, signature };
                    self.send(connection, false, Frame::Refuse(Refusal::StaleEpoch(held)));
                }
            }
            _ => {}
        }
        let now = self.now;
        if let Some(follower) = &mut self.nodes[index].follower {
            follower.handle_frame(ConnectionId(connection), frame, now, &Notary);
        }
        self.drain_node(index);
    }

    pub(super) fn node_persisted(&mut self, index: usize, life: u64, epoch: u64) {
        let without_sync = self.has(Bug::PromisesWithoutSync);
        let node = &mut self.nodes[index];
        let Some(follower) = node.follower.as_mut().filter(|_| node.life == life) else { return };
        if !without_sync {
            node.disk.sync_promise();
        }
        follower.handle_persisted(epoch);
        self.drain_node(index);
    }

    pub(super) fn node_synced(&mut self, index: usize, life: u64, len: usize) {
        let retries = self.has(Bug::RetriesFsync);
        let node = &mut self.nodes[index];
        let Some(follower) = node.follower.as_mut().filter(|_| node.syncs == life && node.syncing) else {
            return;
        };
        node.syncing = false;
        if core::mem::take(&mut node.fail_sync) {
            node.disk.fail_sync();
            if !retries {
                follower.handle_append_failed(&AppendFailure::Poisoned);
                self.drain_node(index);
                return self.crash(Actor::Node(index));
            }
        }
        node.disk.sync(len);
        if let Some(head) = node.disk.head_at(len as u64) {
            follower.handle_appended(head);
        }
        self.node_start_sync(index);
        self.drain_node(index);
    }

    fn node_start_sync(&mut self, index: usize) {
        let node = &self.nodes[index];
        let (len, life) = (node.disk.len(), node.syncs);
        if !node.syncing && len as u64 > node.disk.synced() {
            self.nodes[index].syncing = true;
            let delay = self.disk_delay(index);
            self.after(delay, Event::Synced { actor: Actor::Node(index), life, len });
        }
    }

    pub(super) fn node_signed(&mut self, index: usize, life: u64, ack: Ack) {
        let node = &mut self.nodes[index];
        if let Some(follower) = node.follower.as_mut().filter(|_| node.life == life) {
            follower.handle_signed(ack);
            self.drain_node(index);
        }
    }

    pub(super) fn node_set_aside(&mut self, index: usize, life: u64, keep: Head) {
        let node = &mut self.nodes[index];
        let Some(follower) = node.follower.as_mut().filter(|_| node.life == life) else { return };
        let tail = node.disk.set_aside(&keep);
        follower.handle_set_aside(tail.is_some().then_some(keep));
        for head in tail.into_iter().flatten() {
            let lost = self.oracle.was_acknowledged(&head);
            self.oracle.demand(!lost, || {
                alloc::format!("node {index} set aside the acknowledged record at {}", head.position)
            });
        }
        self.report.set_aside += 1;
        self.drain_node(index);
    }

    /// What the node answers to a question; `None` if it is down.
    pub(super) fn node_answer(&mut self, index: usize, query: &Query) -> Option<Answer> {
        let serves_rotten = self.has(Bug::ServesRotten);
        let node = &self.nodes[index];
        let follower = node.follower.as_ref()?;
        let mut answer = match query {
            Query::Status => Answer::Status(NodeStatus {
                network: Some(NETWORK),
                promise: follower.status().promise,
                first: 1,
                head: follower.status().durable,
            }),
            Query::Records { from, .. } if serves_rotten => {
                Answer::Records(node.disk.read_blindly(from.saturating_sub(1), 16))
            }
            Query::Records { from, .. } => match node.disk.read(from.saturating_sub(1), 16) {
                Some(records) if records.is_empty() => Answer::NotFound,
                Some(records) => Answer::Records(records),
                // One at a time, the sound ones can still be had.
                None => match node.disk.read(from.saturating_sub(1), 1) {
                    Some(records) => Answer::Records(records),
                    None => Answer::Damaged,
                },
            },
            Query::DigestAt { position } => {
                node.disk.digest_at(*position).map_or(Answer::NotFound, Answer::Digest)
            }
            Query::Blob { .. } | Query::BlobRange(_) => Answer::NotFound,
        };
        match (node.lie, &mut answer) {
            (Some(Lie::WrongContent), Answer::Records(records)) => {
                for record in records {
                    record.payload[0] ^= 1;
                }
            }
            (Some(Lie::DeniesAll), _) => answer = Answer::NotFound,
            (Some(Lie::Mute), _) => return None,
            _ => {}
        }
        Some(answer)
    }

    pub(super) fn node_answered(
        &mut self,
        index: usize,
        life: u64,
        job: Option<JobId>,
        from: usize,
        answer: Answer,
    ) {
        let (peer, now) = (self.nodes[from].id, self.now);
        let node = &mut self.nodes[index];
        if let Some(job) = job.filter(|_| node.life == life) {
            node.fetcher.handle_answer(peer, job, answer, now);
            self.drain_node(index);
        }
    }

    pub(super) fn drain_node(&mut self, index: usize) {
        while let Some(output) = self.nodes[index].follower.as_mut().and_then(Follower::poll) {
            self.node_output(index, output);
        }
        while let Some(output) = self.nodes[index].fetcher.poll() {
            self.node_fetches(index, output);
        }
    }

    fn node_output(&mut self, index: usize, output: FollowerOutput) {
        let life = self.nodes[index].life;
        match output {
            FollowerOutput::Send { to, frame } => self.node_sends(index, to.0, frame),
            FollowerOutput::Persist(promise) => {
                let epoch = promise.topology.topology.epoch();
                self.nodes[index].disk.write_promise(promise);
                let delay = self.disk_delay(index);
                self.after(delay, Event::Persisted { node: index, life, epoch });
            }
            FollowerOutput::Append { after, records, head } => self.node_appends(index, after, records, head),
            FollowerOutput::SetAside { keep } => {
                let delay = self.disk_delay(index);
                self.after(delay, Event::SetAside { node: index, life, keep });
            }
            FollowerOutput::Begin { .. } => {
                self.oracle
                    .fail(alloc::format!("node {index} is told to begin though the core has everything"));
            }
            FollowerOutput::SignAck { network, epoch, head } => {
                let signature =
                    sign(self.nodes[index].member.key(), &Ack::signing_message(network, epoch, &head));
                let ack = Ack { epoch, head, signature };
                let delay = Micros(self.random.between(60, 300));
                self.after(delay, Event::Signed { node: index, life, ack });
            }
            FollowerOutput::ReadDigest { to, position } => {
                let node = &mut self.nodes[index];
                let rotten = node.disk.rotten.contains(&position);
                let digest = node.disk.digest_at(position).filter(|_| !rotten);
                if let Some(follower) = &mut node.follower {
                    follower.handle_digest(to, position, digest);
                }
            }
            FollowerOutput::Disconnect { connection, .. } => self.close(connection.0, true),
            FollowerOutput::Evidence(evidence) => {
                let (liar, two) = (self.liar(), self.cores.len() > 1);
                self.oracle.evidence(&evidence, liar, two);
            }
            FollowerOutput::Following { .. } => {}
        }
        let pending =
            self.nodes[index].follower.as_ref().map_or(0, |follower| follower.status().pending_bytes);
        self.oracle.demand(pending <= 80 << 10, || {
            alloc::format!("{pending} bytes wait for the disk of node {index}")
        });
    }

    fn node_appends(&mut self, index: usize, after: Head, records: Vec<crate::Record>, head: Head) {
        let (early, now) = (self.has(Bug::AcksBeforeSync), self.now);
        let node = &mut self.nodes[index];
        let Some(follower) = &mut node.follower else { return };
        if node.full_until > now {
            node.disk.discard_unsynced();
            node.syncing = false;
            node.syncs += 1;
            return follower.handle_append_failed(&AppendFailure::Full);
        }
        let fits = node.disk.end() == after;
        if fits {
            for record in records {
                node.disk.append(record);
            }
        }
        let follows = fits && node.disk.end() == head;
        if early {
            follower.handle_appended(head);
        }
        self.oracle.demand(follows, || {
            alloc::format!("node {index} is to append behind {after:?} what does not lead to {head:?}")
        });
        self.node_start_sync(index);
        if let Some(Lie::AcksNothing) = self.nodes[index].lie {
            let epoch = self.nodes[index].follower.as_ref().map_or(0, Follower::epoch);
            let signature =
                sign(self.nodes[index].member.key(), &Ack::signing_message(NETWORK, epoch, &head));
            let writer = self.nodes[index].follower.as_ref().and_then(|follower| follower.status().writer);
            if let Some(writer) = writer {
                self.send(writer.0, false, Frame::Ack(Ack { epoch, head, signature }));
            }
        }
    }

    /// The oracle reads what an honest node says; a liar changes it on its way.
    fn node_sends(&mut self, index: usize, connection: u64, mut frame: Frame) {
        if self.has(Bug::AcksAnotherHash)
            && let Frame::Ack(ack) = &mut frame
            && self.random.one_in(50)
        {
            *ack = self.bent(index, ack.clone());
        }
        let node = &self.nodes[index];
        let promised = node.disk.promise().map_or(0, |promise| promise.topology.topology.epoch());
        match (&frame, node.lie) {
            (Frame::Ack(ack), None) => {
                self.report.acks += 1;
                let durable = node.disk.is_durable(&ack.head);
                let head = ack.head;
                self.oracle
                    .demand(durable, || alloc::format!("node {index} acks {head:?}, which is not durable"));
                let epoch = ack.epoch;
                self.oracle.demand(epoch == promised, || {
                    alloc::format!("node {index} acks in epoch {epoch}, having promised {promised}")
                });
                if !node.lie_told {
                    self.oracle.ack(index, epoch, head);
                }
            }
            (Frame::Welcome(welcome), None) => {
                let epoch = welcome.epoch;
                self.oracle.demand(epoch == promised, || {
                    alloc::format!("node {index} welcomes epoch {epoch}; durably promised is {promised}")
                });
            }
            _ => {}
        }
        let Some(lie) = self.nodes[index].lie else { return self.send(connection, false, frame) };
        match (lie, frame) {
            // Liars are honest at first.
            (_, Frame::Ack(ack)) if ack.head.position < 20 => self.send(connection, false, Frame::Ack(ack)),
            (Lie::AcksOther, Frame::Ack(ack)) => {
                let ack = self.bent(index, ack);
                self.send(connection, false, Frame::Ack(ack));
            }
            (Lie::AcksTwice, Frame::Ack(ack)) => {
                let other = self.bent(index, ack.clone());
                self.send(connection, false, Frame::Ack(ack));
                self.send(connection, false, Frame::Ack(other));
            }
            (Lie::Forges, Frame::Ack(mut ack)) => {
                ack.signature = sign(&self.core_key.bytes, b"something else");
                self.send(connection, false, Frame::Ack(ack));
            }
            (Lie::ClaimsMore, Frame::Welcome(mut welcome)) => {
                welcome.head.position += 5;
                welcome.head.digest.0[3] ^= 1;
                self.send(connection, false, Frame::Welcome(welcome));
            }
            (Lie::Mute, _) => {}
            (_, frame) => self.send(connection, false, frame),
        }
    }

    fn bent(&self, index: usize, mut ack: Ack) -> Ack {
        ack.head.digest.0[0] ^= 1;
        let message = Ack::signing_message(NETWORK, ack.epoch, &ack.head);
        ack.signature = sign(self.nodes[index].member.key(), &message);
        ack
    }

    fn node_fetches(&mut self, index: usize, output: FetchOutput) {
        let life = self.nodes[index].life;
        match output {
            FetchOutput::Ask { peer, job, query } => {
                if let Some(to) = self.node_index(peer) {
                    self.ask(Actor::Node(index), life, Some(job), to, query);
                }
            }
            FetchOutput::Done { job, fetched: Fetched::Records(records), .. } => {
                let Node { disk, repairs, .. } = &mut self.nodes[index];
                let wanted = repairs.remove(&job);
                // If another history stands there meanwhile, nothing is to be repaired.
                let wanted = wanted.filter(|until| disk.head_at(until.position) == Some(*until));
                if let (Some(until), Some(record)) = (wanted, records.first()) {
                    let position = until.position;
                    let equal = disk.repair(position, record);
                    self.report.repaired += 1;
                    self.oracle.demand(equal, || {
                        alloc::format!("node {index} repaired {position} with other bytes")
                    });
                }
            }
            FetchOutput::Done { job, .. } | FetchOutput::Failed { job } => {
                self.nodes[index].repairs.remove(&job);
            }
            FetchOutput::Fault { peer, fault } => self.fault_found(peer, fault),
        }
    }
}
