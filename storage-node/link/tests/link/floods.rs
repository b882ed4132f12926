//! S5: floods of packets, handshakes, streams. The server's memory and an honest node's service do not depend on them.

use crate::nodes::{
    HONEST, Intruder, SERVER, STRANGER, Scene, Shows, exchange, id, impatient, key, loopback, pins, soon,
    until,
};
use dsm_link::{ConnectError, Endpoint, LinkConfig, Refusal};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime as _, UdpPoller};
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes that repeat themselves nowhere and are the same in each run.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_garbage_at_the_port_is_nobodys_business() {
    let scene = Scene::new(LinkConfig::default()).await;
    let address = scene.address();
    let flood = tokio::task::spawn_blocking(move || {
        let socket = UdpSocket::bind(loopback()).unwrap();
        for n in 0..30_000_u64 {
            let length = [0, 1, 7, 21, 50, 1199, 1200, 1252, 1452, 9000][n as usize % 10];
            let mut datagram: Vec<u8> = noise(n).take(length).collect();
            // A third looks like QUIC version 1: an Initial, a Handshake, a packet of a connection.
            match (n % 9, datagram.len() >= 21) {
                (0, true) => datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]),
                (1, true) => datagram[..6].copy_from_slice(&[0xe3, 0, 0, 0, 1, 20]),
                (2, true) => datagram[0] = 0x40 | (datagram[0] & 0x3f),
                _ => {}
            }
            // The buffer may be full: the flood is then as fast as it can be.
            let _ = socket.send_to(&datagram, address);
        }
    });
    while !flood.is_finished() {
        soon("the honest node meanwhile", exchange(&scene.connection, &[8; 20_000])).await;
    }
    flood.await.unwrap();
    scene.still_works().await;
    let metrics = scene.server.metrics();
    assert_eq!(metrics.frames_malformed + metrics.frames_too_long, 0);
}

/// A socket that sends and does not hear: whoever it connects to has a half-open handshake.
#[derive(Debug)]
struct Deaf(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for Deaf {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.0.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit) -> std::io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        _: &mut Context,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

fn deaf_endpoint() -> quinn::Endpoint {
    let runtime = Arc::new(quinn::TokioRuntime);
    let socket = runtime.wrap_udp_socket(UdpSocket::bind(loopback()).unwrap()).unwrap();
    let config = quinn::EndpointConfig::default();
    quinn::Endpoint::new_with_abstract_socket(config, None, Arc::new(Deaf(socket)), runtime).unwrap()
}

/// Half-open handshakes from the honest node's own address: it is asked for proof, gives it, and is let in.
#[tokio::test]
async fn s5_half_open_handshakes_keep_nobody_out() {
    let config = LinkConfig::default();
    let share = config.handshakes_per_address_max as u64;
    let scene = Scene::new(config).await;
    let deaf = deaf_endpoint();
    let half_open: Vec<_> = (0..300)
        .map(|_| deaf.connect_with(Intruder::default().config(), scene.address(), "dsm").unwrap())
        .collect();
    until("proofs asked for", &scene.server, |metrics| metrics.retries > 100).await;
    scene.still_works().await;
    scene.refused(Refusal::TimedOut, share).await;
    assert_eq!(
        scene.server.metrics().refused(Refusal::TooMany),
        0,
        "nobody who proved an address was turned away"
    );
    drop(half_open);
    scene.still_works().await;
}

/// S7: whoever tries keys is turned away after a while; who was let in stays, and the window ends.
#[tokio::test]
async fn s7_trying_keys_closes_an_address_for_a_while() {
    let config = LinkConfig {
        failures_per_address_max: 4,
        // Long enough for four failures on a busy machine; the test waits for its end.
        failure_window: Duration::from_secs(10),
        ..LinkConfig::default()
    };
    let scene = Scene::new(config).await;
    let stranger =
        Endpoint::bind(loopback(), &key(STRANGER), pins(&[SERVER]), LinkConfig::default()).unwrap();
    let tries = async {
        while soon("an answer", stranger.connect(scene.address(), id(SERVER))).await.unwrap_err()
            == ConnectError::UnknownThere
        {}
    };
    soon("being turned away", tries).await;
    scene.refused(Refusal::TooManyFailures, 1).await;
    soon("who is in stays in", exchange(&scene.connection, b"still")).await;
    let window_ends = async {
        while scene.honest.connect(scene.address(), id(SERVER)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon("the window to end", window_ends).await;
    scene.still_works().await;
}

/// Handshakes that fail at their very end, as fast as one client can make them.
#[tokio::test]
async fn s5_a_storm_of_failing_handshakes_is_cut_short() {
    // The storm is over before its window ends, however slow the machine.
    let bound = LinkConfig { failure_window: Duration::from_secs(3600), ..LinkConfig::default() };
    let scene = Scene::new(bound.clone()).await;
    let stranger = Intruder { shows: Shows::Key(STRANGER, STRANGER), ..Intruder::default() };
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    let storm: Vec<_> = (0..400)
        .map(|_| {
            let connecting = endpoint.connect_with(stranger.config(), scene.address(), "dsm").unwrap();
            tokio::spawn(async move {
                if let Ok(connection) = connecting.await {
                    connection.closed().await;
                }
            })
        })
        .collect();
    for handshake in storm {
        soon("the end of each", handshake).await.unwrap();
    }
    soon("who is in stays in", exchange(&scene.connection, b"still")).await;
    let metrics = scene.server.metrics();
    let begun = metrics.refused(Refusal::UnknownKey);
    let most = u64::from(bound.failures_per_address_max) + bound.handshakes_unproved_max as u64 * 2;
    assert!(begun <= most, "{begun} handshakes were gone through with: {metrics:#?}");
    assert!(
        metrics.refused(Refusal::TooManyFailures) + metrics.refused(Refusal::TooMany) > 100,
        "{metrics:#?}"
    );
}

#[tokio::test]
async fn s5_streams_beyond_the_cap_are_not_granted() {
    let config = LinkConfig { streams_max: 8, ..impatient() };
    let scene = Scene::new(config).await;
    let (_endpoint, connection) = Intruder::default().connect(scene.address()).await.unwrap();
    let mut open = Vec::new();
    for n in 0..8 {
        let (mut send, recv) = soon("a stream", connection.open_bi()).await.unwrap();
        // One whole frame each: an offence to nobody, and the stream stays open.
        send.write_all(&[1, 0, 0, 0, n]).await.unwrap();
        open.push((send, recv));
    }
    let ninth = tokio::time::timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(ninth.is_err(), "granted beyond the cap");
    let uni = tokio::time::timeout(Duration::from_millis(100), connection.open_uni()).await;
    assert!(uni.is_err(), "nobody needs these");
    scene.still_works().await;
}

/// Every stream announces the longest frame and sends most of it: memory is bounded by the budget of the connection,
/// and who does not deliver is cut.
#[tokio::test]
async fn s5_frames_underway_on_all_streams_stay_within_the_budget() {
    let config = impatient();
    let max = config.frame_bytes_max;
    let scene = Scene::new(config).await;
    let (_endpoint, connection) = Intruder::default().connect(scene.address()).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..32 {
        let (mut send, recv) = soon("a stream", connection.open_bi()).await.unwrap();
        let mut bytes = max.to_le_bytes().to_vec();
        bytes.resize(100_000, 1);
        held.push((tokio::spawn(async move { (send.write_all(&bytes).await, send) }), recv));
    }
    soon("the honest node meanwhile", exchange(&scene.connection, &vec![2; 500_000])).await;
    let end = soon("being cut", connection.closed()).await;
    assert!(matches!(end, quinn::ConnectionError::ApplicationClosed(_)), "{end:?}");
    until("counted", &scene.server, |metrics| metrics.frames_too_slow >= 1).await;
    scene.still_works().await;
    assert_eq!(scene.connection.peer(), id(SERVER));
    assert_eq!(scene.honest.node(), id(HONEST));
}
