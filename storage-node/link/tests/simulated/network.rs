//! quinn's runtime and socket over turmoil. quinn's next major version changes these traits; only this file knows.

use dsm_crypto::SecretKey;
use dsm_link::udp::{RecvMeta, Transmit};
use dsm_link::{AsyncTimer, AsyncUdpSocket, Endpoint, LinkConfig, Pins, Runtime, TransportKey, UdpPoller};
use std::future::Future;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Where every endpoint listens.
pub(crate) const PORT: u16 = 8766;

/// Random numbers of a simulation (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64, purpose: &str) -> Chance {
        let mixed = blake3::hash(&[&seed.to_le_bytes(), purpose.as_bytes()].concat());
        Chance(u64::from_le_bytes(mixed.as_bytes()[..8].try_into().unwrap()))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }
}

/// What the network does to every packet, and a fingerprint of all of them.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Packets in a thousand that are lost, and that are doubled.
    lost: AtomicU32,
    doubled: AtomicU32,
    state: Mutex<(Chance, blake3::Hasher, u64)>,
}

impl Weather {
    pub(crate) fn new(seed: u64) -> Weather {
        let state = Mutex::new((Chance::new(seed, "weather"), blake3::Hasher::new(), 0));
        Weather { inner: Arc::new(Inner { lost: AtomicU32::new(0), doubled: AtomicU32::new(0), state }) }
    }

    pub(crate) fn set(&self, lost_permille: u32, doubled_permille: u32) {
        self.inner.lost.store(lost_permille, Relaxed);
        self.inner.doubled.store(doubled_permille, Relaxed);
    }

    /// Something happened that has to happen again with the same seed.
    pub(crate) fn note(&self, parts: &[u64]) {
        let mut state = self.inner.state.lock().unwrap();
        parts.iter().for_each(|part| {
            state.1.update(&part.to_le_bytes());
        });
    }

    /// How often a packet arrives.
    fn send(&self, at: Duration, from: SocketAddr, to: SocketAddr, bytes: usize) -> u32 {
        let line = format!("{at:?} {from} {to} {bytes}\n");
        let mut state = self.inner.state.lock().unwrap();
        state.1.update(line.as_bytes());
        state.2 += 1;
        let dice = state.0.below(1000) as u32;
        let (lost, doubled) = (self.inner.lost.load(Relaxed), self.inner.doubled.load(Relaxed));
        if dice < lost { 0 } else { 1 + u32::from(dice < lost + doubled) }
    }

    /// Packets so far, and their fingerprint with everything noted.
    pub(crate) fn fingerprint(&self) -> (u64, String) {
        let state = self.inner.state.lock().unwrap();
        (state.2, state.1.finalize().to_hex()[..16].to_owned())
    }
}

/// An endpoint on the current host.
pub(crate) async fn endpoint(
    secret: &SecretKey,
    pins: &Pins,
    weather: &Weather,
    seed: u64,
    config: LinkConfig,
) -> Endpoint {
    let socket =
        turmoil::net::UdpSocket::bind(("0.0.0.0", PORT)).await.expect("the port is free after a crash");
    let socket = Socket { socket: Arc::new(socket), weather: weather.clone(), reading: Mutex::default() };
    let seed = *blake3::hash(&seed.to_le_bytes()).as_bytes();
    let key = TransportKey::ml_dsa_65(secret).unwrap();
    let runtime = Arc::new(Simulated);
    Endpoint::with_socket(runtime, Arc::new(socket), Some(seed), &key, pins.clone(), config).unwrap()
}

/// Times that suit seconds of virtual time.
pub(crate) fn config() -> LinkConfig {
    LinkConfig {
        keep_alive: Duration::from_millis(500),
        idle_timeout: Duration::from_secs(2),
        handshake_timeout: Duration::from_secs(2),
        frame_deadline: Duration::from_secs(3),
        ..LinkConfig::default()
    }
}

#[derive(Debug)]
struct Simulated;

impl Runtime for Simulated {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

type Readable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

struct Socket {
    socket: Arc<turmoil::net::UdpSocket>,
    weather: Weather,
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    readable: Option<Readable>,
    /// One packet was handed out in this poll; the next one waits for the next.
    handed_out: bool,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({:?})", self.socket.local_addr())
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        let from = self.socket.local_addr()?;
        let times = self.weather.send(at, from, transmit.destination, transmit.contents.len());
        for _ in 0..times {
            // A host that is down refuses nothing: packets are lost on their way, as on a real network.
            let _ = self.socket.try_send_to(transmit.contents, transmit.destination);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut reading = self.reading.lock().unwrap();
        // quinn reads until a real clock says that it took too long. One packet for each poll leaves no such choice,
        // so that a busy machine sees the same run.
        if std::mem::take(&mut reading.handed_out) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let readable = reading.readable.get_or_insert_with(|| {
                let socket = self.socket.clone();
                Box::pin(async move { socket.readable().await })
            });
            let Poll::Ready(ready) = readable.as_mut().poll(cx) else { return Poll::Pending };
            reading.readable = None;
            ready?;
            match self.socket.try_recv_from(&mut buffers[0]) {
                Ok((length, from)) => {
                    meta[0] = RecvMeta { addr: from, len: length, stride: length, ..RecvMeta::default() };
                    reading.handed_out = true;
                    return Poll::Ready(Ok(1));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
