//! Loss and reordering in a relay between two nodes. A ClientHello with X25519MLKEM768 spans two packets, so each of
//! the first packets is dropped once.

use crate::nodes::{HONEST, SERVER, echo, exchange, id, loopback, node, soon};
use dsm_link::LinkConfig;
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
    /// From the client that came first to the target.
    pub(crate) to_server: bool,
    /// The how many-th in that direction.
    pub(crate) number: usize,
}

/// Forwards datagrams between clients and one server, as far as its rule lets them.
pub(crate) struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    cut: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) async fn between(
        address: SocketAddr,
        passes: impl Fn(Packet) -> bool + Send + Sync + 'static,
    ) -> Relay {
        let front = Arc::new(UdpSocket::bind(address).await.unwrap());
        let relay =
            Relay { address: front.local_addr().unwrap(), target: Arc::default(), cut: Arc::default() };
        let (target, cut) = (relay.target.clone(), relay.cut.clone());
        let passes = Arc::new(passes);
        let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        tokio::spawn(async move {
            let mut backs: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
            let mut buffer = [0; 65536];
            loop {
                // Errors are those of sends to sockets that are closed by now.
                let Ok((length, from)) = front.recv_from(&mut buffer).await else { continue };
                let Some(target) = *target.lock().unwrap() else { continue };
                if let Entry::Vacant(place) = backs.entry(from) {
                    let back = Arc::new(UdpSocket::bind(loopback()).await.unwrap());
                    back.connect(target).await.unwrap();
                    place.insert(back.clone());
                    let (front, cut, passes, counts) =
                        (front.clone(), cut.clone(), passes.clone(), counts.clone());
                    tokio::spawn(async move {
                        let mut buffer = [0; 65536];
                        loop {
                            let Ok(length) = back.recv(&mut buffer).await else { continue };
                            let number = counts[1].fetch_add(1, SeqCst);
                            if passes(Packet { to_server: false, number }) && !cut.load(SeqCst) {
                                let _ = front.send_to(&buffer[..length], from).await;
                            }
                        }
                    });
                }
                let number = counts[0].fetch_add(1, SeqCst);
                if passes(Packet { to_server: true, number }) && !cut.load(SeqCst) {
                    let _ = backs[&from].send(&buffer[..length]).await;
                }
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

async fn connects_through(name: &str, passes: impl Fn(Packet) -> bool + Send + Sync + 'static, bytes: usize) {
    let config = LinkConfig { handshake_timeout: Duration::from_secs(40), ..LinkConfig::default() };
    let server = node(SERVER, &[HONEST], config.clone());
    tokio::spawn(echo(server.clone()));
    let client = node(HONEST, &[SERVER], config);
    let relay = Relay::between(loopback(), passes).await;
    relay.forward_to(server.local_addr().unwrap());
    let connection = soon(name, client.connect(relay.address(), id(SERVER))).await;
    let connection = connection.unwrap_or_else(|error| panic!("{name}: {error}"));
    soon(name, exchange(&connection, &vec![3; bytes])).await;
}

#[tokio::test]
async fn each_of_the_first_packets_may_be_lost() {
    for to_server in [true, false] {
        for lost in 0..6 {
            let name = format!("packet {lost} to the {}", if to_server { "server" } else { "client" });
            let passes = move |packet: Packet| packet.to_server != to_server || packet.number != lost;
            connects_through(&name, passes, 1000).await;
        }
    }
}

#[tokio::test]
async fn both_halves_of_the_first_flight_may_be_lost_twice() {
    connects_through("both halves twice", |packet| !packet.to_server || packet.number >= 4, 1000).await;
}

#[tokio::test]
async fn a_tenth_of_all_packets_may_be_lost() {
    // Spread by a multiplication, so every run loses the same ones.
    let passes = |packet: Packet| !((packet.number * 2_654_435_761) >> 7).is_multiple_of(10);
    connects_through("a tenth", passes, 300_000).await;
}
