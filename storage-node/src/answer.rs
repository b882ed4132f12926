//! Answers to questions of other nodes, from what is durable here and hashed again for each answer.

use crate::handle::Shared;
use dsm_abi::Digest;
use dsm_proto::fetch::{Answer, NodeStatus, Query};
use dsm_proto::{Record, limit};
use dsm_store::{BlobError, LogError};

/// Bytes of records in one answer, whatever was asked for; a longer record comes alone.
const RECORDS_BYTES_MAX: usize = 4 << 20;

/// The answer to `query`.
pub(crate) fn answer(shared: &Shared, query: &Query) -> Answer {
    match query {
        Query::Status => {
            let (first, head) = shared.durable();
            let promise = shared.promise.read().clone();
            let network = promise.as_ref().map(|promise| promise.topology.topology.network());
            Answer::Status(NodeStatus {
                network,
                promise: promise.map(|promise| (*promise).clone()),
                first,
                head,
            })
        }
        Query::Records { from, bytes_max } => records(shared, *from, *bytes_max as usize),
        Query::Blob { digest, bytes_max } => match shared.vault.blobs.get(&digest.0) {
            Ok(bytes) if bytes.len() <= *bytes_max as usize => Answer::Blob(bytes),
            Ok(_) | Err(BlobError::NotFound) => Answer::NotFound,
            Err(error) => {
                tracing::warn!(%error, "a blob cannot be served");
                suspect(shared)
            }
        },
        Query::DigestAt { position } => {
            let Some(reader) = shared.vault.reader() else { return Answer::Damaged };
            match reader.digest_at(*position) {
                Ok(digest) => Answer::Digest(Digest(digest)),
                Err(error) => unreadable(shared, &error),
            }
        }
        Query::BlobRange(query) => Answer::BlobRange(shared.vault.range(query)),
    }
}

fn records(shared: &Shared, from: u64, bytes_max: usize) -> Answer {
    let Some(reader) = shared.vault.reader() else { return Answer::Damaged };
    if from == reader.durable().0 + 1 {
        return Answer::Records(Vec::new());
    }
    match reader.read_range(from, bytes_max.min(RECORDS_BYTES_MAX)) {
        Ok(found) => {
            let found = found.into_iter().take(limit::FRAME_RECORDS_MAX);
            Answer::Records(
                found.map(|record| Record { kind: record.kind, payload: record.payload }).collect(),
            )
        }
        Err(error) => unreadable(shared, &error),
    }
}

fn unreadable(shared: &Shared, error: &LogError) -> Answer {
    match error {
        LogError::NotDurable { .. } => Answer::NotFound,
        error => {
            tracing::warn!(%error, "a record cannot be served");
            suspect(shared)
        }
    }
}

fn suspect(shared: &Shared) -> Answer {
    shared.suspicion.notify_one();
    Answer::Damaged
}
