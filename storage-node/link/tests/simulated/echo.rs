//! Reconnecting: a client asks, through partitions and restarts of the server, until it has every answer.

use crate::network::{PORT, Weather, config, endpoint};
use dsm_crypto::SecretKey;
use dsm_crypto::Signer as _;
use dsm_link::{ConnectError, Endpoint, FrameError, Pins, node_of};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const FRAMES: u64 = 300;

fn secret(number: u8) -> SecretKey {
    SecretKey::ml_dsa_65(&[number; 32]).unwrap()
}

fn pins(number: u8) -> Pins {
    let pins = Pins::new();
    pins.allow(secret(number).public_key()).unwrap();
    pins
}

fn frame(number: u64) -> Vec<u8> {
    let length = 8 + (number * 797 % 6000) as usize;
    number.to_le_bytes().iter().copied().cycle().take(length).collect()
}

async fn serve(server: Endpoint) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(async move {
            while let Ok(mut stream) = connection.accept_stream().await {
                while let Ok(frame) = stream.recv().await {
                    if stream.send(frame).await.is_err() {
                        break;
                    }
                }
            }
        });
    }
}

#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

async fn ask(client: &Endpoint, address: SocketAddr, answered: &AtomicU64) -> Result<(), Interrupted> {
    let connection = client.connect(address, node_of(secret(1).public_key())).await?;
    let mut stream = connection.open_stream().await?;
    while answered.load(Relaxed) < FRAMES {
        let next = answered.load(Relaxed);
        stream.send(frame(next)).await?;
        assert_eq!(stream.recv().await?, frame(next));
        answered.fetch_add(1, Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// What a run comes to: packets, fingerprint, connections that the client made.
fn run(seed: u64) -> (u64, String, u64) {
    let weather = Weather::new(seed);
    weather.set(20, 10);
    let (answered, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(120))
        .udp_capacity(4096)
        .enable_random_order();
    builder.min_message_latency(Duration::from_millis(1)).max_message_latency(Duration::from_millis(8));
    let mut sim = builder.build();
    let sky = weather.clone();
    sim.host("server", move || {
        let sky = sky.clone();
        async move {
            serve(endpoint(&secret(1), &pins(2), &sky, seed, config()).await).await;
            Ok(())
        }
    });
    let (sky, count, made) = (weather.clone(), answered.clone(), connections.clone());
    sim.client("client", async move {
        let client = endpoint(&secret(2), &pins(1), &sky, seed, config()).await;
        let address = SocketAddr::new(turmoil::lookup("server"), PORT);
        while ask(&client, address, &count).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        made.store(client.metrics().connected, Relaxed);
        Ok(())
    });
    for step in 0_u64.. {
        match step {
            700 => sim.partition("client", "server"),
            4200 => sim.repair("client", "server"),
            5500 => sim.crash("server"),
            5800 => sim.bounce("server"),
            6500 => sim.partition_oneway("server", "client"),
            7000 => sim.repair_oneway("server", "client"),
            _ => {}
        }
        weather.note(&[step, answered.load(Relaxed)]);
        if sim.step().unwrap() {
            break;
        }
    }
    assert_eq!(answered.load(Relaxed), FRAMES);
    let (packets, fingerprint) = weather.fingerprint();
    (packets, fingerprint, connections.load(Relaxed))
}

#[test]
fn o7_every_question_is_answered_through_partitions_restarts_and_loss() {
    for seed in 1..=5 {
        let (packets, fingerprint, connections) = run(seed);
        println!("seed {seed}: {packets} packets, {connections} connections, {fingerprint}");
        assert!(connections >= 2, "seed {seed}: {connections} connections test no reconnecting");
    }
}

#[test]
fn the_same_seed_gives_the_same_packets_and_another_one_others() {
    let first = run(11);
    assert_eq!(first, run(11));
    assert_ne!(first.1, run(12).1);
}
