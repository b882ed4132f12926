//! A connection between two nodes that have proved their keys to each other.

use crate::config::LinkConfig;
use crate::error::{Closed, FrameError, close};
use crate::frames::FrameStream;
use crate::metrics::{Counters, count};
use crate::pins::Pins;
use dsm_abi::Digest;
use quinn::Runtime;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// A connection to a node that proved its key. Clones are one connection; when the last one and the last of its
/// streams are dropped, it is closed.
#[derive(Debug, Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    quic: quinn::Connection,
    peer: Digest,
    pub(crate) config: Arc<LinkConfig>,
    pub(crate) counters: Arc<Counters>,
    /// Bytes of frames that may be put together at the same time.
    pub(crate) underway: Arc<Semaphore>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close(close::DONE, "");
    }
}

impl Shared {
    pub(crate) fn close(&self, code: u32, reason: &str) {
        self.quic.close(code.into(), reason.as_bytes());
    }
}

impl Connection {
    /// Wraps a connection whose peer is known, and closes it as soon as that peer is forgotten or has made newer ones.
    pub(crate) fn new(
        quic: quinn::Connection,
        peer: Digest,
        pins: &Pins,
        superseded: Option<oneshot::Receiver<()>>,
        config: Arc<LinkConfig>,
        counters: Arc<Counters>,
        runtime: &dyn Runtime,
    ) -> Connection {
        count(&counters.open);
        runtime.spawn(Box::pin(guard(quic.clone(), peer, pins.clone(), superseded, counters.clone())));
        let underway = Arc::new(Semaphore::new(config.frames_underway_bytes_max as usize));
        Connection { shared: Arc::new(Shared { quic, peer, config, counters, underway }) }
    }

    /// The node at the other end.
    pub fn peer(&self) -> Digest {
        self.shared.peer
    }

    /// Where the other end is.
    pub fn remote_address(&self) -> SocketAddr {
        self.shared.quic.remote_address()
    }

    /// The current estimate of a round trip.
    pub fn round_trip(&self) -> Duration {
        self.shared.quic.rtt()
    }

    /// Opens a stream. The other end sees it with the first frame.
    ///
    /// # Errors
    /// [`FrameError::NoStream`] if the other end leaves no room for `frame_deadline`, [`FrameError::Closed`].
    pub async fn open_stream(&self) -> Result<FrameStream, FrameError> {
        let opened =
            tokio::time::timeout(self.shared.config.frame_deadline, self.shared.quic.open_bi()).await;
        let (send, recv) = opened.map_err(|_| FrameError::NoStream)?.map_err(Closed::from)?;
        Ok(FrameStream::new(send, recv, self.shared.clone()))
    }

    /// The next stream that the other end opens; waits as long as it takes.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn accept_stream(&self) -> Result<FrameStream, Closed> {
        let (send, recv) = self.shared.quic.accept_bi().await?;
        Ok(FrameStream::new(send, recv, self.shared.clone()))
    }

    /// Closes the connection with a code of [`close`] or, from [`close::PROTOCOL`] on, of the protocol.
    ///
    /// The code is a courtesy: quinn sends it only if the congestion window has room at this moment. Otherwise the
    /// other end learns by [`Closed::Reset`] or [`Closed::TimedOut`].
    pub fn close(&self, code: u32, reason: &str) {
        self.shared.close(code, reason);
    }

    /// Why the connection is no more, once it is.
    pub async fn closed(&self) -> Closed {
        self.shared.quic.closed().await.into()
    }

    /// Whether the connection is no more.
    pub fn is_closed(&self) -> bool {
        self.shared.quic.close_reason().is_some()
    }
}

/// Lives as long as the connection; ends it when its peer is forgotten or has made newer ones.
async fn guard(
    quic: quinn::Connection,
    peer: Digest,
    pins: Pins,
    superseded: Option<oneshot::Receiver<()>>,
    counters: Arc<Counters>,
) {
    let superseded = async {
        let told = match superseded {
            Some(superseded) => superseded.await.is_ok(),
            None => false,
        };
        if !told {
            std::future::pending::<()>().await;
        }
    };
    // In order, not by lot: a simulation has to take the same branch each time.
    tokio::select! {
        biased;
        _ = quic.closed() => {}
        () = pins.forgotten(peer) => {
            count(&counters.unpinned);
            quic.close(close::UNPINNED.into(), b"unpinned");
        }
        () = superseded => {
            count(&counters.superseded);
            quic.close(close::SUPERSEDED.into(), b"superseded");
        }
    }
    counters.open.fetch_sub(1, Relaxed);
}
