//! An endpoint: one socket, through which this node connects to others and others to it.

use crate::admission::{Admission, Decision};
use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::{BindError, Closed, ConnectError, Refusal, close};
use crate::key::TransportKey;
use crate::metrics::{Counters, LinkMetrics, RecentRefusal, count};
use crate::pins::Pins;
use crate::tls;
use dsm_abi::Digest;
use quinn::udp::{UdpSockRef, UdpSocketState};
use quinn::{AsyncUdpSocket, Runtime};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// What the operating system is asked to buffer for the socket; it may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Handshakes that nobody has looked at yet; we look at once, so this is a burst.
const INCOMING_MAX: usize = 1024;
/// Bytes that such a handshake may have sent.
const INCOMING_BYTES_MAX: u64 = 16 << 10;
/// What the server says first: that it has judged the client's key. TLS 1.3 lets a client believe so much earlier.
const GREETING: &[u8] = b"\x01";

/// One socket, through which this node connects to others and others to it. Clones are one endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
    /// Taken by whoever accepts; one at a time.
    accepted: Arc<tokio::sync::Mutex<mpsc::Receiver<Connection>>>,
}

#[derive(Debug)]
struct Shared {
    quic: quinn::Endpoint,
    runtime: Arc<dyn Runtime>,
    key: TransportKey,
    pins: Pins,
    config: Arc<LinkConfig>,
    counters: Arc<Counters>,
    admission: Mutex<Admission>,
    /// How to end the connections that each peer made, oldest first.
    peers: Mutex<BTreeMap<Digest, Vec<oneshot::Sender<()>>>>,
    segments: usize,
}

impl Endpoint {
    /// Opens a socket on `address` and listens. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(
        address: SocketAddr,
        key: &TransportKey,
        pins: Pins,
        config: LinkConfig,
    ) -> Result<Endpoint, BindError> {
        let failed = |error| BindError::Socket { address, error };
        let socket = UdpSocket::bind(address).map_err(failed)?;
        enlarge_buffers(&socket).map_err(failed)?;
        let runtime: Arc<dyn Runtime> = Arc::new(quinn::TokioRuntime);
        let socket = runtime.wrap_udp_socket(socket).map_err(failed)?;
        Endpoint::with_socket(runtime, socket, None, key, pins, config)
    }

    /// As [`Endpoint::bind`], with a runtime and a socket of the caller's; a simulation also gives a seed for
    /// quinn's own random choices.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn with_socket(
        runtime: Arc<dyn Runtime>,
        socket: Arc<dyn AsyncUdpSocket>,
        seed: Option<[u8; 32]>,
        key: &TransportKey,
        pins: Pins,
        config: LinkConfig,
    ) -> Result<Endpoint, BindError> {
        config.check()?;
        let segments = socket.max_transmit_segments();
        let mut server = tls::server(key, &pins).map_err(|error| BindError::Tls(error.to_string()))?;
        let mut no_tokens = quinn::ValidationTokenConfig::default();
        no_tokens.sent(0);
        server
            .transport_config(Arc::new(config.transport(0)))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_MAX * INCOMING_MAX as u64)
            .validation_token_config(no_tokens);
        let mut general = quinn::EndpointConfig::default();
        general.rng_seed(seed);
        let quic = quinn::Endpoint::new_with_abstract_socket(general, Some(server), socket, runtime.clone());
        let quic = quic.map_err(|error| BindError::Socket { address: ([0; 4], 0).into(), error })?;
        let (ready, accepted) = mpsc::channel(config.accept_queue_max);
        let shared = Arc::new(Shared {
            quic,
            runtime,
            key: key.clone(),
            pins,
            config: Arc::new(config),
            counters: Arc::default(),
            admission: Mutex::default(),
            peers: Mutex::default(),
            segments,
        });
        tracing::info!(node = %key.node(), segments, offload = segments > 1, "link opened");
        shared.runtime.spawn(Box::pin(listen(shared.clone(), ready)));
        Ok(Endpoint { shared, accepted: Arc::new(tokio::sync::Mutex::new(accepted)) })
    }

    /// Connects to the node that has to be `expected`, and returns when that node has accepted this one.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(&self, address: SocketAddr, expected: Digest) -> Result<Connection, ConnectError> {
        let connected =
            tokio::time::timeout(self.shared.config.handshake_timeout, self.dial(address, expected)).await;
        match connected.unwrap_or(Err(ConnectError::TimedOut)) {
            Ok(quic) => {
                count(&self.shared.counters.connected);
                Ok(self.shared.wrap(quic, expected, None))
            }
            Err(error) => {
                count(&self.shared.counters.connect_failed);
                tracing::debug!(%address, node = %expected, reason = error.code(), "connecting failed");
                Err(error)
            }
        }
    }

    async fn dial(&self, address: SocketAddr, expected: Digest) -> Result<quinn::Connection, ConnectError> {
        let Shared { quic, key, pins, config, .. } = &*self.shared;
        if !pins.contains(&expected) {
            return Err(ConnectError::NotPinned(expected));
        }
        let unreachable = |why: String| ConnectError::Address { address, why };
        let mut client = tls::client(key, pins, expected).map_err(|error| unreachable(error.to_string()))?;
        client.transport_config(Arc::new(config.transport(1)));
        let connecting = quic.connect_with(client, address, tls::SERVER_NAME);
        let connecting = connecting.map_err(|error| unreachable(error.to_string()))?;
        let failed = |error| tls::connect_error_of(error, expected);
        let connection = connecting.await.map_err(failed)?;
        let mut first = connection.accept_uni().await.map_err(failed)?;
        let greeting = first.read_to_end(GREETING.len()).await.map_err(|error| match error {
            quinn::ReadToEndError::Read(quinn::ReadError::ConnectionLost(error)) => failed(error),
            other => ConnectError::Closed(Closed::Transport(other.to_string())),
        })?;
        if greeting != GREETING {
            connection.close(close::BAD_FRAME.into(), b"not a greeting");
            return Err(ConnectError::OtherProtocol);
        }
        Ok(connection)
    }

    /// The next connection that another node made, after both ends have proved their keys. `None` once the endpoint
    /// is closed.
    pub async fn accept(&self) -> Option<Connection> {
        self.accepted.lock().await.recv().await
    }

    /// Where this endpoint listens.
    ///
    /// # Errors
    /// What the socket says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.shared.quic.local_addr()
    }

    /// The node that this endpoint is.
    pub fn node(&self) -> Digest {
        self.shared.key.node()
    }

    /// The live set of keys that this endpoint speaks with.
    pub fn pins(&self) -> &Pins {
        &self.shared.pins
    }

    /// Packets handed to the operating system at once; 1 means that segmentation offload is missing, which costs
    /// three quarters of the throughput.
    pub fn segments(&self) -> usize {
        self.shared.segments
    }

    /// What was counted so far.
    pub fn metrics(&self) -> LinkMetrics {
        self.shared.counters.read()
    }

    /// The last handshakes that were refused, oldest first.
    pub fn recent_refusals(&self) -> Vec<RecentRefusal> {
        self.shared.counters.recent()
    }

    /// Closes all connections and takes no more. Returns when the other ends were told, or after a second.
    pub async fn close(&self) {
        self.shared.quic.close(close::SHUT_DOWN.into(), b"shut down");
        // Peers that have gone do not answer; nobody waits for them.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), self.shared.quic.wait_idle()).await;
    }
}

impl Shared {
    fn wrap(
        &self,
        quic: quinn::Connection,
        peer: Digest,
        superseded: Option<oneshot::Receiver<()>>,
    ) -> Connection {
        let (config, counters) = (self.config.clone(), self.counters.clone());
        Connection::new(quic, peer, &self.pins, superseded, config, counters, &*self.runtime)
    }

    fn admission(&self) -> std::sync::MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection among those of its peer; the oldest are told to go if there are too many.
    fn enlist(&self, peer: Digest) -> oneshot::Receiver<()> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, open| {
            open.retain(|end| !end.is_closed());
            !open.is_empty()
        });
        let (end, ended) = oneshot::channel();
        let open = peers.entry(peer).or_default();
        open.push(end);
        while open.len() > self.config.connections_per_peer_max {
            // Refused only if that connection has just ended by itself.
            let _ = open.remove(0).send(());
        }
        ended
    }
}

/// Looks at every handshake that somebody begins, until the endpoint is closed or its last handle dropped.
async fn listen(shared: Arc<Shared>, ready: mpsc::Sender<Connection>) {
    loop {
        let next = tokio::select! {
            biased;
            () = ready.closed() => None,
            next = shared.quic.accept() => next,
        };
        let Some(incoming) = next else { return };
        let (address, proved) = (incoming.remote_address(), incoming.remote_address_validated());
        let (decision, ticket) =
            shared.admission().arrive(&shared.config, address.ip(), proved, Instant::now());
        match (decision, ticket) {
            (Decision::Begin, Some(ticket)) => {
                let (task, ready) = (shared.clone(), ready.clone());
                shared.runtime.spawn(Box::pin(async move {
                    let judged = judge(&task, incoming, ready).await;
                    let failed = !matches!(judged, Ok(()) | Err(Refusal::NotTaken));
                    task.admission().end(ticket, failed, Instant::now());
                    match judged {
                        Ok(()) => count(&task.counters.accepted),
                        Err(reason) => task.counters.refuse(address, reason),
                    }
                }));
            }
            (Decision::Refuse(reason), _) => {
                shared.counters.refuse(address, reason);
                incoming.refuse();
            }
            (Decision::Retry | Decision::Begin, _) => {
                count(&shared.counters.retries);
                // Refused only for who proved the address already, and those are never asked.
                let _ = incoming.retry();
            }
        }
    }
}

/// Goes through a handshake as the server: the client proves its key, then it is told so and handed over.
async fn judge(
    shared: &Shared,
    incoming: quinn::Incoming,
    ready: mpsc::Sender<Connection>,
) -> Result<(), Refusal> {
    let handshake = async {
        let failed = |error| tls::refusal_of(&error);
        let quic = incoming.accept().map_err(failed)?.await.map_err(failed)?;
        let Some(peer) = tls::peer_of(&quic) else { return Err(Refusal::UnknownKey) };
        let Ok(room) = ready.try_reserve_owned() else {
            quic.close(close::BUSY.into(), b"nobody takes connections");
            return Err(Refusal::NotTaken);
        };
        let mut first = quic.open_uni().await.map_err(failed)?;
        first.write_all(GREETING).await.map_err(|_| Refusal::Aborted)?;
        first.finish().map_err(|_| Refusal::Aborted)?;
        Ok((quic, peer, room))
    };
    let done = tokio::time::timeout(shared.config.handshake_timeout, handshake).await;
    let (quic, peer, room) = done.unwrap_or(Err(Refusal::TimedOut))?;
    let superseded = shared.enlist(peer);
    room.send(shared.wrap(quic, peer, Some(superseded)));
    Ok(())
}

fn enlarge_buffers(socket: &UdpSocket) -> std::io::Result<()> {
    let state = UdpSocketState::new(UdpSockRef::from(socket))?;
    state.set_recv_buffer_size(UdpSockRef::from(socket), SOCKET_BUFFER_BYTES)?;
    state.set_send_buffer_size(UdpSockRef::from(socket), SOCKET_BUFFER_BYTES)
}
