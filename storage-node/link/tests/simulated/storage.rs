//! A storage node of the simulation: the follower of `dsm-proto`, a log of `dsm-store`, and the real link.

use crate::network::{config, endpoint};
use crate::world::{Event, Outbox, PROMISE, Planted, World, carry, name, network, now, until};
use dsm_crypto::{Signer as _, Verifier};
use dsm_link::{Pins, TransportKey};
use dsm_proto::{Ack, ConnectionId, Follower, FollowerConfig, FollowerOutput, Frame, Head, Micros};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

pub(crate) async fn run(world: World, host: usize) -> turmoil::Result {
    let (disks, log, head, mut chance) = world.started(host);
    let pins = Pins::new();
    pins.allow(TransportKey::ml_dsa_65(&world.keys[0])?.public_key())?;
    let seed = world.seed ^ (world.state().starts[host] << 8 | host as u64);
    let link = endpoint(&world.keys[host], &pins, &world.weather, seed, config()).await;
    let (events, mut incoming) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 0.. {
            let Some(connection) = link.accept().await else { return };
            let events = events.clone();
            tokio::spawn(async move {
                if let Ok(stream) = connection.accept_stream().await {
                    carry(ConnectionId(number), connection, stream.split(), events).await;
                }
            });
        }
    });

    let settings = FollowerConfig::new(world.node(host), world.core(), Some(network()));
    let mut follower = Follower::new(settings, disks.read(PROMISE), 1, head);
    let mut outboxes: BTreeMap<ConnectionId, Outbox> = BTreeMap::new();
    let mut unsynced: Option<Head> = None;
    let mut sync_at: Option<Micros> = None;
    loop {
        while let Some(output) = follower.poll() {
            match output {
                FollowerOutput::Send { to, frame } => {
                    if let Some(outbox) = outboxes.get(&to) {
                        outbox.send(&frame);
                    }
                }
                FollowerOutput::Persist(promise) => {
                    match world.planted {
                        Planted::PromiseInMemory => {}
                        Planted::NameNotSynced => disks.write_unnamed(PROMISE, &promise),
                        Planted::Nothing | Planted::AckBeforeSync => disks.write(PROMISE, &promise),
                    }
                    follower.handle_persisted(promise.topology.topology.epoch());
                }
                FollowerOutput::Append { records, head, .. } => {
                    for record in &records {
                        log.append(record.kind, &record.payload)?;
                    }
                    unsynced = Some(head);
                    sync_at = sync_at.or(Some(now().plus(Micros::from_millis(chance.between(1, 12)))));
                    if world.planted == Planted::AckBeforeSync {
                        follower.handle_appended(head);
                    }
                }
                FollowerOutput::SignAck { network, epoch, head } => {
                    let message = Ack::signing_message(network, epoch, &head);
                    follower.handle_signed(Ack { epoch, head, signature: world.keys[host].sign(&message)? });
                }
                FollowerOutput::ReadDigest { to, position } => {
                    let digest = log.reader().digest_at(position).ok().map(dsm_abi::Digest);
                    follower.handle_digest(to, position, digest);
                }
                FollowerOutput::Disconnect { connection, .. } => {
                    if let Some(outbox) = outboxes.remove(&connection) {
                        outbox.close();
                    }
                }
                FollowerOutput::Following { .. } => {}
                unwanted @ (FollowerOutput::SetAside { .. }
                | FollowerOutput::Begin { .. }
                | FollowerOutput::Evidence(_)) => {
                    // One writer, whose disk keeps what it synced: no history ever differs.
                    world.violated(format!("{} is to do {unwanted:?}", name(host)));
                    follower.stop();
                }
            }
        }
        let event = tokio::select! {
            biased;
            event = incoming.recv() => event,
            () = until([follower.poll_timeout(), sync_at, None]) => None,
        };
        match event {
            Some(Event::Connected(_, id, outbox)) => {
                outboxes.insert(id, outbox);
                follower.handle_connected(id, now());
            }
            Some(Event::Frame(_, id, bytes)) => match Frame::decode(&bytes) {
                Ok(frame) => follower.handle_frame(id, frame, now(), &Verifier::new()),
                Err(error) => world.violated(format!("{} got a frame that is none: {error}", name(host))),
            },
            Some(Event::Disconnected(_, id)) => {
                outboxes.remove(&id);
                follower.handle_disconnected(id);
            }
            None => {}
        }
        if sync_at.is_some_and(|at| at <= now()) {
            sync_at = None;
            log.sync()?;
            if let Some(head) = unsynced.take() {
                world.state().heads[host] = head;
                follower.handle_appended(head);
            }
        }
        follower.handle_timeout(now());
    }
}
