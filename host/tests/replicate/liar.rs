//! A storage node that replicates as it should and lies to whoever asks it for a policy package.

use dsm_abi::Digest;
use dsm_core::PublicKey;
use dsm_crypto::{SecretKey, Signer as _, Verifier};
use dsm_host::replicate::KnownPeer;
use dsm_link::{Endpoint, FrameStream, LinkConfig, Pins, TransportKey};
use dsm_proto::fetch::{Answer, Query};
use dsm_proto::reconcile::RangeAnswer;
use dsm_proto::{
    Ack, ConnectionId, Follower, FollowerConfig, FollowerOutput, Frame, Head, Micros, NodeId, limit,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;

/// What it says when it is asked for a package.
pub(crate) type Lie = fn(Query) -> Option<Answer>;

pub(crate) struct Liar {
    pub(crate) peer: KnownPeer,
    pub(crate) node: Digest,
    /// Questions that it answered with a lie.
    pub(crate) lies: Arc<Mutex<u64>>,
}

struct Mind {
    key: SecretKey,
    follower: Follower,
    digests: BTreeMap<u64, Digest>,
    lie: Lie,
    lies: Arc<Mutex<u64>>,
}

impl Liar {
    pub(crate) fn open(runtime: &Runtime, core: &PublicKey, lie: Lie) -> Liar {
        let _inside = runtime.enter();
        let key = SecretKey::ml_dsa_65(&[77; 32]).unwrap();
        let transport = TransportKey::ml_dsa_65(&key).unwrap();
        let pins = Pins::new();
        pins.allow(&core.bytes[core.bytes.len() - limit::MEMBER_KEY_BYTES..]).unwrap();
        let config = LinkConfig { frame_bytes_max: limit::FRAME_BYTES_MAX as u32, ..LinkConfig::default() };
        let endpoint = Endpoint::bind(([127, 0, 0, 1], 0).into(), &transport, pins, config).unwrap();
        let address = endpoint.local_addr().unwrap().to_string();
        let node = NodeId::of(key.public_key());
        let follower = Follower::new(FollowerConfig::new(node, core.clone(), None), None, 1, Head::EMPTY);
        let lies: Arc<Mutex<u64>> = Arc::default();
        let peer = KnownPeer { address, key: key.public_key().to_vec() };
        let mind = Mind { key, follower, digests: BTreeMap::new(), lie, lies: Arc::clone(&lies) };
        tokio::spawn(listen(endpoint, Arc::new(tokio::sync::Mutex::new(mind))));
        Liar { peer, node: Digest(node.0), lies }
    }
}

async fn listen(endpoint: Endpoint, mind: Arc<tokio::sync::Mutex<Mind>>) {
    let mut next = 0;
    while let Some(connection) = endpoint.accept().await {
        let mind = Arc::clone(&mind);
        next += 1_000;
        let mut stream_id = next;
        tokio::spawn(async move {
            while let Ok(stream) = connection.accept_stream().await {
                stream_id += 1;
                tokio::spawn(attend(stream, ConnectionId(stream_id), Arc::clone(&mind)));
            }
        });
    }
}

async fn attend(mut stream: FrameStream, id: ConnectionId, mind: Arc<tokio::sync::Mutex<Mind>>) {
    let now = || Micros(1);
    let mut begun = false;
    while let Ok(bytes) = stream.recv().await {
        let frame = Frame::decode(&bytes).unwrap();
        let mut mind = mind.lock().await;
        if let Frame::Fetch(query) = frame {
            let lied = (mind.lie)(query);
            *mind.lies.lock().unwrap() += u64::from(lied.is_some());
            let answer = lied.unwrap_or(Answer::NotFound);
            drop(stream.send(Frame::Fetched(answer).encode()).await);
            stream.finish();
            return;
        }
        if !begun {
            mind.follower.handle_connected(id, now());
            begun = true;
        }
        mind.follower.handle_frame(id, frame, now(), &Verifier::new());
        while let Some(output) = mind.follower.poll() {
            if let Some(frame) = mind.act(output) {
                drop(stream.send(frame.encode()).await);
            }
        }
    }
    mind.lock().await.follower.handle_disconnected(id);
}

impl Mind {
    fn act(&mut self, output: FollowerOutput) -> Option<Frame> {
        match output {
            FollowerOutput::Send { frame, .. } => return Some(frame),
            FollowerOutput::Persist(promise) => {
                self.follower.handle_persisted(promise.topology.topology.epoch());
            }
            FollowerOutput::Append { after, records, head } => {
                let mut at = after;
                for record in &records {
                    at = at.after(record).unwrap();
                    self.digests.insert(at.position, at.digest);
                }
                self.follower.handle_appended(head);
            }
            FollowerOutput::SignAck { network, epoch, head } => {
                let signature = self.key.sign(&Ack::signing_message(network, epoch, &head)).unwrap();
                self.follower.handle_signed(Ack { epoch, head, signature });
            }
            FollowerOutput::ReadDigest { to, position } => {
                self.follower.handle_digest(to, position, self.digests.get(&position).copied());
            }
            _ => {}
        }
        None
    }
}

const NAMED: Digest = Digest([0x5a; 32]);

/// Says that it has a package, and sends other content for it.
pub(crate) fn other_content(query: Query) -> Option<Answer> {
    match query {
        Query::BlobRange(_) => Some(Answer::BlobRange(RangeAnswer::Digests(vec![NAMED]))),
        Query::Blob { .. } => Some(Answer::Blob(b"not what was asked for".to_vec())),
        _ => None,
    }
}

/// Sends what has the right hash and is no package.
pub(crate) fn no_package(query: Query) -> Option<Answer> {
    let content = b"content of this hash, and no package".to_vec();
    match query {
        Query::BlobRange(_) => {
            let digest = Digest(*blake3::hash(&content).as_bytes());
            Some(Answer::BlobRange(RangeAnswer::Digests(vec![digest])))
        }
        Query::Blob { .. } => Some(Answer::Blob(content)),
        _ => None,
    }
}

/// Answers a range with digests that are not sorted.
pub(crate) fn unsorted(query: Query) -> Option<Answer> {
    match query {
        Query::BlobRange(_) => {
            Some(Answer::BlobRange(RangeAnswer::Digests(vec![Digest([9; 32]), Digest([1; 32])])))
        }
        _ => None,
    }
}

/// Answers another question.
pub(crate) fn misfit(query: Query) -> Option<Answer> {
    match query {
        Query::BlobRange(_) => Some(Answer::BlobRange(RangeAnswer::Digests(vec![NAMED]))),
        Query::Blob { .. } => Some(Answer::Digest(NAMED)),
        _ => None,
    }
}
