//! What storage nodes may ask this node: records, digests and policy packages. Every answer is bounded, and read
//! away from the threads that carry connections.

use crate::node::Node;
use dsm_abi::Digest;
use dsm_link::{Connection, FrameStream};
use dsm_proto::fetch::{Answer, NodeStatus, Query};
use dsm_proto::reconcile::BlobSet;
use dsm_proto::{Frame, Head, Promise, Record, SignedTopology, limit};
use dsm_store::{BlobError, LogError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Questions answered at the same time, of all nodes together; further ones are answered `Busy`.
const ANSWERS_MAX: usize = 32;
/// How long a question may take to come.
const QUESTION_TIME: Duration = Duration::from_secs(10);

/// Where answers come from.
pub(super) struct Source {
    node: Node,
    topology: watch::Receiver<Option<SignedTopology>>,
    places: Arc<Semaphore>,
}

impl Source {
    pub(super) fn new(node: Node, topology: watch::Receiver<Option<SignedTopology>>) -> Source {
        Source { node, topology, places: Arc::new(Semaphore::new(ANSWERS_MAX)) }
    }
}

/// Answers every stream that the other end opens, until the connection ends.
pub(super) async fn serve(connection: &Connection, source: &Arc<Source>) {
    let mut answering = JoinSet::new();
    while let Ok(stream) = connection.accept_stream().await {
        answering.spawn(answer_one(stream, Arc::clone(source)));
        while answering.try_join_next().is_some() {}
    }
}

async fn answer_one(mut stream: FrameStream, source: Arc<Source>) {
    let Ok(question) = stream.recv_within(QUESTION_TIME).await else { return };
    let Ok(Frame::Fetch(query)) = Frame::decode(&question) else { return };
    let answer = match Arc::clone(&source.places).try_acquire_owned() {
        Ok(place) => {
            let answered = tokio::task::spawn_blocking(move || {
                let _place = place;
                source.answer(&query)
            });
            answered.await.unwrap_or(Answer::Busy)
        }
        Err(_) => Answer::Busy,
    };
    // Whoever asked may have gone away.
    if stream.send(Frame::Fetched(answer).encode()).await.is_ok() {
        stream.finish();
    }
}

impl Source {
    fn answer(&self, query: &Query) -> Answer {
        let log = self.node.log();
        match query {
            Query::Status => Answer::Status(self.status()),
            Query::Records { from, bytes_max } => {
                let bytes_max = (*bytes_max as usize).min(limit::RECORD_BYTES_MAX);
                match log.read_range(*from, bytes_max) {
                    Ok(records) => Answer::Records(
                        records
                            .into_iter()
                            .take(limit::FRAME_RECORDS_MAX)
                            .map(|one| Record { kind: one.kind, payload: one.payload })
                            .collect(),
                    ),
                    Err(LogError::NotDurable { .. }) => Answer::NotFound,
                    Err(_) => Answer::Damaged,
                }
            }
            Query::DigestAt { position } => match log.digest_at(*position) {
                Ok(digest) => Answer::Digest(Digest(digest)),
                Err(LogError::NotDurable { .. }) => Answer::NotFound,
                Err(_) => Answer::Damaged,
            },
            Query::Blob { digest, bytes_max } => match self.node.shelf().blob(digest) {
                Ok(bytes) if bytes.len() <= *bytes_max as usize => Answer::Blob(bytes),
                Ok(_) | Err(BlobError::NotFound) => Answer::NotFound,
                Err(_) => Answer::Damaged,
            },
            Query::BlobRange(range) => {
                let mut published = BlobSet::default();
                for digest in self.node.shelf().readable() {
                    published.insert(digest);
                }
                Answer::BlobRange(published.answer(range))
            }
        }
    }

    fn status(&self) -> NodeStatus {
        let log = self.node.log();
        let (position, digest) = log.durable();
        let promise = self.topology.borrow().clone();
        NodeStatus {
            network: Some(self.node.network()),
            promise: promise.map(|topology| Promise { topology, since: 0 }),
            first: log.first(),
            head: Head { position, digest: Digest(digest) },
        }
    }
}
