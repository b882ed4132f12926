//! Connections between nodes: QUIC, TLS 1.3 with X25519MLKEM768 only, pinned ML-DSA-65 keys on both ends.
//!
//! The only crate that names quinn and rustls. A [`Connection`] exists only after both ends have proved the key by
//! which they are known ([`Pins`]), and a frame is handed out only whole, within its limit and in time. Whatever
//! does not keep to that is refused with a stable word ([`Refusal`], [`ConnectError`], [`FrameError`]) and counted
//! ([`LinkMetrics`]); nothing of it reaches the other connections.
//!
//! Beside it, for the HTTP API and its strangers, stands TLS with certificates (`https`).
//!
//! Left out on purpose: what frames mean (`dsm-proto`), reconnecting and its pauses (the shells), certificates between
//! nodes, resumption, 0-RTT and QUIC datagrams (off: early data can be replayed, tickets outlive a pin).

mod admission;
mod config;
mod connection;
mod endpoint;
mod error;
mod frames;
mod https;
mod key;
mod metrics;
mod pins;
mod tls;

pub use config::{ConfigError, LinkConfig};
pub use connection::Connection;
pub use endpoint::Endpoint;
pub use error::{BindError, Closed, ConnectError, FrameError, Refusal, close};
pub use frames::{FrameReceiver, FrameSender, FrameStream};
pub use https::{Acceptor, CertificateError, ServerStream, trusting};
pub use key::{KeyError, TransportKey, node_of};
pub use metrics::{LinkMetrics, RecentRefusal};
pub use pins::Pins;
pub use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller, udp};
