//! Two nodes that speak over the real link on loopback: what replication is compared with.

use crate::entropy;
use dsm_abi::Digest;
use dsm_crypto::SecretKey;
use dsm_link::{Connection, Endpoint, FrameStream, LinkConfig, Pins, TransportKey};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// What the receiving end does with the frames of a stream; the first frame says it.
const COUNT: &[u8] = b"count";
const ECHO: &[u8] = b"echo";

/// Two endpoints in one process, each with the key of the other pinned.
pub struct Wire {
    runtime: Runtime,
    client: Endpoint,
    server: Digest,
    address: SocketAddr,
    connection: Connection,
}

impl Default for Wire {
    fn default() -> Wire {
        Wire::new()
    }
}

impl Wire {
    /// Connects the two.
    pub fn new() -> Wire {
        let runtime = Runtime::new().expect("a runtime");
        let key = || {
            let seed = SecretKey::ml_dsa_65(&entropy()).expect("a key");
            TransportKey::ml_dsa_65(&seed).expect("a suite with ML-DSA-65")
        };
        let (one, other) = (key(), key());
        let bind = |key: &TransportKey, peer: &TransportKey| {
            let pins = Pins::new();
            pins.allow(peer.public_key()).expect("a key of the right length");
            Endpoint::bind(([127, 0, 0, 1], 0).into(), key, pins, LinkConfig::default()).expect("a free port")
        };
        let (client, server) = runtime.block_on(async { (bind(&one, &other), bind(&other, &one)) });
        let address = server.local_addr().expect("it is bound");
        runtime.spawn(serve(server));
        let connection = runtime.block_on(client.connect(address, other.node())).expect("both are pinned");
        Wire { runtime, client, server: other.node(), address, connection }
    }

    /// Packets that are handed to the operating system at once; 1 means that it has no segmentation offload.
    pub fn segments(&self) -> usize {
        self.client.segments()
    }

    /// The time in which so many frames of this length go through one stream, until the other end has them all.
    pub fn pour(&self, frames: u64, frame_bytes: usize) -> Duration {
        let frame = vec![7; frame_bytes];
        self.runtime.block_on(async {
            let mut stream = self.open(COUNT).await;
            let start = Instant::now();
            for _ in 0..frames {
                stream.send(frame.clone()).await.expect("sent");
            }
            stream.finish();
            let counted = stream.recv().await.expect("the count");
            assert_eq!(counted, frames.to_le_bytes(), "the other end has them all");
            start.elapsed()
        })
    }

    /// The time in which so many frames of this length go there and back on one stream, one after the other.
    pub fn turns(&self, turns: u64, frame_bytes: usize) -> Duration {
        let frame = vec![7; frame_bytes];
        self.runtime.block_on(async {
            let mut stream = self.open(ECHO).await;
            let start = Instant::now();
            for _ in 0..turns {
                stream.send(frame.clone()).await.expect("sent");
                stream.recv().await.expect("answered");
            }
            start.elapsed()
        })
    }

    /// The time in which so many connections are made, one after the other, each until the other end let it in.
    pub fn connect(&self, times: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..times {
                self.client.connect(self.address, self.server).await.expect("connected");
            }
            start.elapsed()
        })
    }

    async fn open(&self, does: &'static [u8]) -> FrameStream {
        let mut stream = self.connection.open_stream().await.expect("a stream");
        stream.send(does).await.expect("sent");
        stream
    }
}

async fn serve(server: Endpoint) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(async move {
            while let Ok(stream) = connection.accept_stream().await {
                tokio::spawn(answer(stream));
            }
        });
    }
}

async fn answer(mut stream: FrameStream) {
    let echo = stream.recv().await.is_ok_and(|does| does == ECHO);
    let mut count = 0_u64;
    while let Ok(frame) = stream.recv().await {
        count += 1;
        if echo && stream.send(frame).await.is_err() {
            return;
        }
    }
    if !echo {
        // Whoever asked may have gone; then nobody needs the count.
        let _ = stream.send(count.to_le_bytes().to_vec()).await;
        stream.finish();
    }
}
