//! A relay between two nodes that loses, changes, repeats and delays packets. A ClientHello with X25519MLKEM768 spans
//! two packets, so each of the first packets is lost once.

use crate::nodes::{HONEST, SERVER, echo, exchange, id, loopback, node, soon};
use dsm_link::{LinkConfig, LinkMetrics};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;

/// A packet on its way through the relay.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    /// From a client to the target.
    pub(crate) to_server: bool,
    /// The how many-th in that direction.
    pub(crate) number: usize,
}

/// What becomes of it.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    Passes,
    IsLost,
    /// One byte of it is another.
    IsChanged,
    /// It arrives, and once more a while later.
    IsReplayed,
    /// Later ones arrive before it.
    IsLate,
}

/// Long enough for many others to pass.
const LATER: Duration = Duration::from_millis(60);

/// Forwards datagrams between clients and one server, as its rule says.
pub(crate) struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    cut: Arc<AtomicBool>,
}

/// One direction of the relay.
#[derive(Clone)]
struct Way {
    to_server: bool,
    count: Arc<AtomicUsize>,
    cut: Arc<AtomicBool>,
    rule: Arc<dyn Fn(Packet) -> Fate + Send + Sync>,
}

impl Way {
    async fn pass(&self, packet: &[u8], socket: &Arc<UdpSocket>, to: SocketAddr) {
        let number = self.count.fetch_add(1, SeqCst);
        let fate = (self.rule)(Packet { to_server: self.to_server, number });
        if self.cut.load(SeqCst) {
            return;
        }
        // Sends fail if the other end has closed its socket: then nobody misses the packet.
        let later = |packet: Vec<u8>| {
            let socket = socket.clone();
            tokio::spawn(async move {
                tokio::time::sleep(LATER).await;
                let _ = socket.send_to(&packet, to).await;
            });
        };
        match fate {
            Fate::IsLost => {}
            Fate::Passes => _ = socket.send_to(packet, to).await,
            Fate::IsChanged => {
                let mut changed = packet.to_vec();
                let at = number * 97 % changed.len().max(1);
                changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (number % 8));
                _ = socket.send_to(&changed, to).await;
            }
            Fate::IsReplayed => {
                _ = socket.send_to(packet, to).await;
                later(packet.to_vec());
            }
            Fate::IsLate => later(packet.to_vec()),
        }
    }
}

impl Relay {
    pub(crate) async fn between(
        address: SocketAddr,
        rule: impl Fn(Packet) -> Fate + Send + Sync + 'static,
    ) -> Relay {
        let front = Arc::new(UdpSocket::bind(address).await.unwrap());
        let relay =
            Relay { address: front.local_addr().unwrap(), target: Arc::default(), cut: Arc::default() };
        let (target, cut) = (relay.target.clone(), relay.cut.clone());
        let there = Way { to_server: true, count: Arc::default(), cut, rule: Arc::new(rule) };
        let back = Way { to_server: false, count: Arc::default(), ..there.clone() };
        tokio::spawn(async move {
            let mut behind: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
            let mut buffer = [0; 65536];
            loop {
                // Errors are those of earlier sends to sockets that are closed by now.
                let Ok((length, from)) = front.recv_from(&mut buffer).await else { continue };
                let Some(target) = *target.lock().unwrap() else { continue };
                if let Entry::Vacant(place) = behind.entry(from) {
                    let socket = Arc::new(UdpSocket::bind(loopback()).await.unwrap());
                    place.insert(socket.clone());
                    let (front, back) = (front.clone(), back.clone());
                    tokio::spawn(async move {
                        let mut buffer = [0; 65536];
                        loop {
                            let Ok((length, _)) = socket.recv_from(&mut buffer).await else { continue };
                            back.pass(&buffer[..length], &front, from).await;
                        }
                    });
                }
                there.pass(&buffer[..length], &behind[&from], target).await;
            }
        });
        relay
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn forward_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = Some(target);
    }

    /// Nothing passes any more.
    pub(crate) fn cut(&self) {
        self.cut.store(true, SeqCst);
    }
}

/// Two nodes connect and exchange a frame over such a path; what the server counted then.
async fn connects_through(
    name: &str,
    rule: impl Fn(Packet) -> Fate + Send + Sync + 'static,
    bytes: usize,
) -> LinkMetrics {
    let config = LinkConfig { handshake_timeout: Duration::from_secs(40), ..LinkConfig::default() };
    let server = node(SERVER, &[HONEST], config.clone());
    tokio::spawn(echo(server.clone()));
    let client = node(HONEST, &[SERVER], config);
    let relay = Relay::between(loopback(), rule).await;
    relay.forward_to(server.local_addr().unwrap());
    let connection = soon(name, client.connect(relay.address(), id(SERVER))).await;
    let connection = connection.unwrap_or_else(|error| panic!("{name}: {error}"));
    soon(name, exchange(&connection, &vec![3; bytes])).await;
    tokio::time::sleep(2 * LATER).await;
    soon(name, exchange(&connection, b"once more")).await;
    server.metrics()
}

/// Every tenth packet but the first; spread by a multiplication, so that every run takes the same ones. (A changed
/// first packet makes the server ask for proof, and quinn's client believes no `Retry` after a changed one: that
/// attempt succeeds only when the server's window of failures ends, the next attempt at once.)
fn one_in_ten(fate: Fate) -> impl Fn(Packet) -> Fate {
    move |packet| {
        let chosen = packet.number > 0 && ((packet.number * 2_654_435_761) >> 7).is_multiple_of(10);
        if chosen { fate } else { Fate::Passes }
    }
}

#[tokio::test]
async fn each_of_the_first_packets_may_be_lost() {
    let mut rows = Vec::new();
    for to_server in [true, false] {
        for lost in 0..6 {
            let name = format!("packet {lost} to the {}", if to_server { "server" } else { "client" });
            let rule = move |packet: Packet| {
                let chosen = packet.to_server == to_server && packet.number == lost;
                if chosen { Fate::IsLost } else { Fate::Passes }
            };
            rows.push(tokio::spawn(async move { connects_through(&name, rule, 1000).await }));
        }
    }
    for row in rows {
        assert_eq!(row.await.unwrap().accepted, 1);
    }
}

#[tokio::test]
async fn both_halves_of_the_first_flight_may_be_lost_twice() {
    let rule =
        |packet: Packet| if packet.to_server && packet.number < 4 { Fate::IsLost } else { Fate::Passes };
    connects_through("both halves twice", rule, 1000).await;
}

#[tokio::test]
async fn a_tenth_of_all_packets_may_be_lost_changed_or_late() {
    let rows =
        [("lost", Fate::IsLost), ("changed", Fate::IsChanged), ("late", Fate::IsLate)].map(|(name, fate)| {
            (name, tokio::spawn(async move { connects_through(name, one_in_ten(fate), 300_000).await }))
        });
    for (name, row) in rows {
        let metrics = row.await.unwrap();
        assert_eq!((metrics.accepted, metrics.frames_received), (1, 2), "{name}");
        assert_eq!(metrics.frames_malformed + metrics.frames_too_long, 0, "{name}: a changed packet counted");
    }
}

/// S7: every packet comes twice, the whole handshake too: one connection, and each frame once.
#[tokio::test]
async fn s7_replayed_packets_are_nobodys_twice() {
    let metrics = connects_through("replayed", |_| Fate::IsReplayed, 200_000).await;
    assert_eq!((metrics.accepted, metrics.frames_received), (1, 2));
    assert_eq!(metrics.frame_bytes_received, 200_009);
}
