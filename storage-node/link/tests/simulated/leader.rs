//! The core node of the simulation: the leader of `dsm-proto`, a log of `dsm-store`, a load, and the real link.

use crate::network::{PORT, config, endpoint};
use crate::world::{ESTABLISHED, Event, Outbox, STORAGE, TOPOLOGY, World, carry, name, now, until};
use dsm_abi::Digest;
use dsm_crypto::Verifier;
use dsm_link::{Endpoint, Pins};
use dsm_proto::{
    ConnectionId, Frame, Head, Leader, LeaderConfig, LeaderOutput, Level, Micros, NodeId, ReadFailure,
    Record, SignedTopology, Start,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;

pub(crate) async fn run(world: World) -> turmoil::Result {
    let (disks, log, head, mut chance) = world.started(0);
    let pins = Pins::new();
    for host in 1..=STORAGE {
        let pinned = pins.allow(dsm_crypto::Signer::public_key(&world.keys[host]))?;
        assert_eq!(pinned.0, world.node(host).0, "the link and the protocol name nodes alike");
    }
    let seed = world.seed ^ (world.state().starts[0] << 8);
    let link = endpoint(&world.keys[0], &pins, &world.weather, seed, config()).await;
    let (events, mut incoming) = mpsc::unbounded_channel();
    let numbers = Arc::new(AtomicU64::new(0));
    for host in 1..=STORAGE {
        tokio::spawn(stay_connected(link.clone(), world.clone(), host, numbers.clone(), events.clone()));
    }

    let topology: SignedTopology = disks.read(TOPOLOGY).expect("written before the first start");
    let established: Option<u64> = disks.read(ESTABLISHED);
    let known = established == Some(topology.topology.epoch());
    let mut leader = Leader::new(LeaderConfig::new(world.core()), topology, Start::default(), head, now());
    if known {
        leader.assume_established();
    }
    let mut outboxes: BTreeMap<NodeId, (ConnectionId, Outbox)> = BTreeMap::new();
    let mut append_at = Some(now());
    let mut sync_at: Option<Micros> = None;
    loop {
        while let Some(output) = leader.poll() {
            match output {
                LeaderOutput::Send { to, frame } => {
                    if let Some((_, outbox)) = outboxes.get(&to) {
                        outbox.send(&frame);
                    }
                }
                LeaderOutput::Read { peer, id, after, bytes_max } => {
                    let records = log.reader().read_range(after + 1, bytes_max);
                    let records = records.map_err(|_| ReadFailure::Failed).map(|records| {
                        let plain = records
                            .into_iter()
                            .map(|record| Record { kind: record.kind, payload: record.payload });
                        plain.collect()
                    });
                    leader.handle_records(peer, id, records, now());
                }
                LeaderOutput::ReadDigest { peer, position } => {
                    let digest = log.reader().digest_at(position).ok().map(Digest);
                    leader.handle_digest(peer, position, digest, now());
                }
                LeaderOutput::Disconnect { peer, .. } => {
                    if let Some((_, outbox)) = outboxes.remove(&peer) {
                        outbox.close();
                    }
                }
                LeaderOutput::Acked { peer, head } => {
                    world.acked(world.host(peer), head);
                    check_level(&world, &leader, head);
                }
                LeaderOutput::PromotionNeeded { candidate } => {
                    let mut term = [0; 32];
                    term[..8].copy_from_slice(&chance.below(u64::MAX).to_le_bytes());
                    let next = world.sign(leader.topology().topology.promoted(candidate, term)?);
                    disks.write(TOPOLOGY, &next);
                    match leader.handle_topology(next, now()) {
                        Ok(()) => world.state().promotions += 1,
                        // Refused: the document in force stays the one on the disk.
                        Err(_) => disks.write(TOPOLOGY, leader.topology()),
                    }
                }
                LeaderOutput::Established { epoch } => {
                    world.established(&leader.topology().topology);
                    disks.write(ESTABLISHED, &epoch);
                }
                LeaderOutput::CatchUp { .. } => {}
                unwanted @ (LeaderOutput::Fenced { .. }
                | LeaderOutput::Behind { .. }
                | LeaderOutput::Evidence(_)
                | LeaderOutput::OwnLogDiffers { .. }) => {
                    // One writer, whose disk keeps what it synced: nobody is ever ahead of it or against it.
                    world.violated(format!("the core node is told {unwanted:?}"));
                }
            }
        }
        let event = tokio::select! {
            biased;
            event = incoming.recv() => event,
            () = until([leader.poll_timeout(), append_at, sync_at]) => None,
        };
        match event {
            Some(Event::Connected(peer, id, outbox)) => {
                outboxes.insert(peer, (id, outbox));
                leader.handle_connected(peer, now());
            }
            Some(Event::Frame(peer, id, bytes)) if outboxes.get(&peer).is_some_and(|(of, _)| *of == id) => {
                match Frame::decode(&bytes) {
                    Ok(frame) => leader.handle_frame(peer, frame, now(), &Verifier::new()),
                    Err(error) => world.violated(format!("the core node got a frame that is none: {error}")),
                }
            }
            Some(Event::Disconnected(peer, id)) => {
                // Of a connection that was let go before, the leader knows already; of none in between.
                if outboxes.get(&peer).is_none_or(|(of, _)| *of == id) {
                    outboxes.remove(&peer);
                    leader.handle_disconnected(peer);
                }
            }
            Some(Event::Frame(..)) | None => {}
        }
        if append_at.is_some_and(|at| at <= now()) {
            append_at = None;
            if !world.state().quiet {
                let burst = if chance.below(20) == 0 { 30 } else { 1 };
                for _ in 0..burst {
                    let word = chance.below(u64::MAX).to_le_bytes();
                    let length = chance.between(40, 900) as usize;
                    log.append(1, &word.iter().copied().cycle().take(length).collect::<Vec<u8>>())?;
                }
                append_at = Some(now().plus(Micros::from_millis(chance.between(10, 80))));
                sync_at = sync_at.or(Some(now().plus(Micros::from_millis(chance.between(1, 12)))));
            }
        }
        if sync_at.is_some_and(|at| at <= now()) {
            sync_at = None;
            log.sync()?;
            let (position, digest) = log.head();
            let head = Head { position, digest: Digest(digest) };
            let mut state = world.state();
            state.heads[0] = head;
            state.claimed[0] = head;
            drop(state);
            leader.handle_appended(head, now());
        }
        leader.handle_timeout(now());
    }
}

/// What a receipt for the last acked record would say must be true on the disks.
fn check_level(world: &World, leader: &Leader, head: Head) {
    let level = leader.level_of(head.position);
    let needed = match level {
        Level::Local => return,
        Level::Primary => 1,
        Level::Replicated(many) => usize::from(many),
    };
    let primary = world.host(leader.topology().topology.primary());
    let holding = (1..=STORAGE).filter(|host| world.disks(*host).holds(&head)).count();
    if holding < needed || !world.disks(primary).holds(&head) || !world.disks(0).holds(&head) {
        let primary = name(primary);
        world.violated(format!("{head:?} has level {level:?}, is on {holding} disks, primary {primary}"));
    }
    let mut state = world.state();
    state.granted = state.granted.max(head.position);
}

async fn stay_connected(
    link: Endpoint,
    world: World,
    host: usize,
    numbers: Arc<AtomicU64>,
    events: mpsc::UnboundedSender<Event>,
) {
    let address = SocketAddr::new(turmoil::lookup(name(host)), PORT);
    loop {
        if let Ok(connection) = link.connect(address, Digest(world.node(host).0)).await
            && let Ok(stream) = connection.open_stream().await
        {
            let id = ConnectionId(numbers.fetch_add(1, Relaxed));
            carry(id, connection, stream.split(), events.clone()).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}
