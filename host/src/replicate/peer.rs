//! One task for each storage node: connect, carry frames between the connection and the event loop, serve what the
//! other end asks, and connect again.

use super::serve::{Source, serve};
use super::shell::Event;
use dsm_abi::Digest;
use dsm_link::{Connection, Endpoint, FrameReceiver, FrameSender, close};
use dsm_proto::{Frame, NodeId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Between two attempts: a storage node that restarts is back within the first few.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
const RETRY_MAX: Duration = Duration::from_millis(1000);
/// A connection that lasted so long was no refusal.
const STEADY: Duration = Duration::from_secs(2);
/// How long the name of a storage node may take to resolve.
const RESOLVE_TIME: Duration = Duration::from_secs(5);
/// Frames that wait for a connection: the leader's window bounds their bytes.
const OUTGOING_MAX: usize = 4096;

/// The task of one storage node.
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) address: String,
    pub(super) endpoint: Endpoint,
    pub(super) source: Arc<Source>,
    pub(super) events: mpsc::Sender<Event>,
    /// True once the node is no member any more.
    pub(super) dismissed: watch::Receiver<bool>,
}

impl Peer {
    /// Connects again and again until the node is dismissed or the event loop has ended.
    pub(super) async fn run(mut self) {
        let mut dismissed = self.dismissed.clone();
        tokio::select! {
            () = self.connect_for_ever() => {}
            // An error means that the event loop has ended.
            _ = dismissed.wait_for(|dismissed| *dismissed) => {}
        }
    }

    async fn connect_for_ever(&mut self) {
        let mut pause = RETRY_MIN;
        let mut line = 0;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    line += 1;
                    let begun = Instant::now();
                    if !self.carry(line, connection).await {
                        return;
                    }
                    // One that refuses at once is not asked twenty times a second.
                    if begun.elapsed() >= STEADY {
                        pause = RETRY_MIN;
                    }
                }
                Err(why) => {
                    if self.events.send(Event::Unreachable { node: self.node, why }).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let address = resolve(&self.address).await?;
        self.endpoint.connect(address, Digest(self.node.0)).await.map_err(|error| error.to_string())
    }

    /// Carries frames until the connection ends; false if the event loop has ended.
    async fn carry(&self, line: u64, connection: Connection) -> bool {
        let node = self.node;
        let stream = match connection.open_stream().await {
            Ok(stream) => stream,
            Err(error) => {
                return self.events.send(Event::Unreachable { node, why: error.to_string() }).await.is_ok();
            }
        };
        let (sender, receiver) = stream.split();
        let (outgoing, frames) = mpsc::channel(OUTGOING_MAX);
        let connected = Event::Connected { node, line, connection: connection.clone(), outgoing };
        if self.events.send(connected).await.is_err() {
            return false;
        }
        let why = tokio::select! {
            why = send(sender, frames) => why,
            why = self.receive(line, receiver) => why,
            () = serve(&connection, &self.source) => String::new(),
            closed = connection.closed() => closed.to_string(),
        };
        connection.close(close::DONE, &why);
        self.events.send(Event::Disconnected { node, line, why }).await.is_ok()
    }

    /// Hands frames to the event loop; its channel is bounded, so a node that sends faster than we work is slowed.
    async fn receive(&self, line: u64, mut receiver: FrameReceiver) -> String {
        loop {
            let bytes = match receiver.recv().await {
                Ok(bytes) => bytes,
                Err(error) => return error.to_string(),
            };
            let frame = match Frame::decode(&bytes) {
                Ok(frame) => frame,
                Err(error) => return error.to_string(),
            };
            if self.events.send(Event::Frame { node: self.node, line, frame }).await.is_err() {
                return "stopped".into();
            }
        }
    }
}

/// Sends what the event loop wants sent, in order; ends when the event loop lets go or the other end does.
async fn send(mut sender: FrameSender, mut frames: mpsc::Receiver<Frame>) -> String {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = sender.send(frame.encode()).await {
            return error.to_string();
        }
    }
    sender.finish();
    String::new()
}

/// The address of a host and port.
pub(super) async fn resolve(address: &str) -> Result<SocketAddr, String> {
    let found = tokio::time::timeout(RESOLVE_TIME, tokio::net::lookup_host(address)).await;
    match found {
        Ok(Ok(mut addresses)) => addresses.next().ok_or_else(|| format!("{address} has no address")),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address} did not resolve in time")),
    }
}
