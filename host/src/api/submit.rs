//! What changes something: transitions, packages, checkpoints.

use super::Api;
use super::body::{Kind, from_json, json, read};
use super::problem::Failure;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use dsm_sdk::api::{
    BatchAnswer, BatchRequest, BatchResult, CheckpointView, Hex, PolicyCid, StagedPolicy, SubmitRequest,
    limit,
};
use dsm_sdk::receipt::Durability;
use serde::Deserialize;

type Answer = Result<Response, Failure>;

/// How far a submission wants to be durable before it is answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    durability: Option<String>,
}

/// The query string of a submission, or why it is none.
pub(super) type AskedQuery = Result<Query<Asked>, axum::extract::rejection::QueryRejection>;

fn level(query: AskedQuery) -> Result<Option<Durability>, Failure> {
    let Query(asked) = query.map_err(|error| Failure::malformed(error.body_text()))?;
    let level = asked.durability.map(|text| text.parse()).transpose();
    level.map_err(|error: dsm_sdk::receipt::DurabilityError| Failure::malformed(error.to_string()))
}

pub(super) async fn transition(State(api): State<Api>, query: AskedQuery, request: Request) -> Answer {
    let level = level(query)?;
    let bytes = match read(request, limit::TRANSITION_BYTES_MAX, limit::JSON_BYTES_MAX).await? {
        (Kind::Octets, bytes) => bytes.to_vec(),
        (Kind::Json, bytes) => from_json::<SubmitRequest>(&bytes)?.signed.0,
    };
    json(&api.node.submit_at(bytes, level).await?)
}

pub(super) async fn batch(State(api): State<Api>, query: AskedQuery, request: Request) -> Answer {
    let level = level(query)?;
    let Ok(_place) = api.batches.try_acquire() else {
        return Err(Failure::overloaded(1000, "too many batches are being answered"));
    };
    let items: Vec<Vec<u8>> = match read(request, limit::BATCH_BYTES_MAX, 2 * limit::BATCH_BYTES_MAX).await? {
        (Kind::Octets, bytes) => decode_batch(&bytes)?,
        (Kind::Json, bytes) => {
            from_json::<BatchRequest>(&bytes)?.signed.into_iter().map(|Hex(bytes)| bytes).collect()
        }
    };
    api.node.check_level(level)?;
    // All are on their way before the first is awaited, so they share fsyncs.
    let waiting: Vec<_> = items
        .into_iter()
        .map(|bytes| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            api.node.submit_with(bytes, move |answer| {
                // The client may have gone away; its transitions stand all the same.
                drop(sender.send(answer));
            });
            receiver
        })
        .collect();
    let mut results = Vec::with_capacity(waiting.len());
    for receiver in waiting {
        let answer = match receiver.await.unwrap_or(Err(crate::node::SubmitError::Stopped)) {
            Ok(receipt) => api.node.reach(receipt, level).await,
            refused => refused,
        };
        results.push(match answer {
            Ok(receipt) => BatchResult::Receipt(Box::new(receipt)),
            Err(error) => BatchResult::Problem(Failure::from(error).0),
        });
    }
    json(&BatchAnswer { results })
}

/// Decodes a batch. The count is looked at first: 8 MiB can name two million empty items.
fn decode_batch(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let count = bytes.first_chunk().map_or(0, |count| u32::from_le_bytes(*count));
    if count as usize > limit::BATCH_ITEMS_MAX {
        let detail = format!("a batch has at most {} transitions", limit::BATCH_ITEMS_MAX);
        return Err(Failure::malformed(detail));
    }
    dsm_abi::decode(bytes, limit::BATCH_BYTES_MAX)
        .map_err(|error| Failure::malformed(format!("the batch: {error}")))
}

pub(super) async fn policy(State(api): State<Api>, request: Request) -> Answer {
    let (_, bytes) = read(request, limit::PACKAGE_BYTES_MAX, 0).await?;
    let node = api.node.clone();
    let staged = blocking(move || node.stage(&bytes)).await?;
    json(&StagedPolicy { policy: PolicyCid(staged?) })
}

pub(super) async fn checkpoint(State(api): State<Api>) -> Answer {
    json(&CheckpointView::from(&api.node.checkpoint().await?))
}

/// Runs what reads the disk or compiles away from the threads that serve connections.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Failure::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    })
}
