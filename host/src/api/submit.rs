//! What changes something: transitions, packages, checkpoints.

use super::Api;
use super::body::{Kind, from_json, json, read, unread};
use super::problem::Failure;
use crate::node::{Place, SubmitError};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dsm_abi::TransitionId;
use dsm_core::SignedTransition;
use dsm_sdk::api::{
    BatchAnswer, BatchRequest, BatchResult, CheckpointView, Hex, PolicyCid, StagedPolicy, SubmitRequest,
    limit,
};
use dsm_sdk::receipt::{Durability, Receipt};
use serde::Deserialize;
use std::time::Instant;
use tokio::sync::SemaphorePermit;

/// Bytes of a batch in JSON: hex has two characters for a byte.
pub(super) const JSON_BATCH_BYTES_MAX: usize = 2 * limit::BATCH_BYTES_MAX;

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

/// A key that is sent to keep a submission from being made twice is the transition's id, or a mistake.
fn check_key(key: Option<&HeaderValue>, signed: &[u8]) -> Result<(), Failure> {
    let Some(key) = key else { return Ok(()) };
    // Bytes that are none are refused in their own words.
    let Some(id) = id_of(signed) else { return Ok(()) };
    let key = key.to_str().unwrap_or_default().trim_matches('"');
    if key == id.to_string() {
        return Ok(());
    }
    let detail = format!("the Idempotency-Key of a submission is its transition's id, {id}, or absent");
    Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key", detail))
}

/// A place in line for what has been read.
fn line_up(api: &Api, submissions: usize) -> Result<Place, Failure> {
    let read = Instant::now();
    api.node.line_up(submissions).map_err(|wait| {
        api.http.turned_away(read.elapsed());
        Failure::long_line(wait)
    })
}

pub(super) async fn transition(State(api): State<Api>, query: AskedQuery, request: Request) -> Answer {
    let level = level(query)?;
    let key = request.headers().get("idempotency-key").cloned();
    let bytes = match read(request, limit::TRANSITION_BYTES_MAX, limit::JSON_BYTES_MAX).await? {
        (Kind::Octets, bytes) => bytes.to_vec(),
        (Kind::Json, bytes) => from_json::<SubmitRequest>(&bytes)?.signed.0,
    };
    check_key(key.as_ref(), &bytes)?;
    let place = Some(line_up(&api, 1)?);
    // Kept for the list of refusals: a few thousand bytes, hardly a millionth of the time that judging takes.
    let signed = bytes.clone();
    match api.node.submit_from(place, bytes, level).await {
        Ok(receipt) => {
            accepted(&receipt);
            json(&receipt)
        }
        Err(error) => Err(failed(&api, &signed, error)),
    }
}

fn accepted(receipt: &Receipt) {
    let durability = receipt.durability;
    tracing::info!(transition = %receipt.transition, position = receipt.position, %durability, "accepted");
}

/// The id of the transition that these bytes are, if they are one.
fn id_of(signed: &[u8]) -> Option<TransitionId> {
    let decoded = dsm_abi::decode::<SignedTransition>(signed, limit::TRANSITION_BYTES_MAX);
    decoded.map(|signed| signed.transition.id()).ok()
}

/// The failure, with a line about a transition that is not accepted for a reason of its own (overload and the like say
/// nothing about it, and come in floods), remembered if it was judged.
fn failed(api: &Api, signed: &[u8], error: SubmitError) -> Failure {
    let judged = matches!(error, SubmitError::Refused(_) | SubmitError::Conflict(_));
    let told = matches!(error, SubmitError::Admit(_)) || judged;
    let failure = Failure::from(error);
    if judged || (told && tracing::enabled!(tracing::Level::INFO)) {
        let id = id_of(signed);
        let transition = id.map(tracing::field::display);
        tracing::info!(transition, code = failure.0.code, detail = failure.0.detail, "refused");
        if let (true, Some(id)) = (judged, id) {
            api.refusals.remember(id, &failure.0);
        }
    }
    failure
}

/// Room for the body of a batch, by the length that its head states; one that states none may be the longest.
fn room<'a>(api: &'a Api, request: &Request) -> Option<SemaphorePermit<'a>> {
    let stated = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let bytes = stated.and_then(|length| length.parse().ok()).unwrap_or(usize::MAX).min(JSON_BATCH_BYTES_MAX);
    // At least one, or empty batches would need none.
    let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
    api.batches_kib.try_acquire_many(kib).ok()
}

pub(super) async fn batch(State(api): State<Api>, query: AskedQuery, request: Request) -> Answer {
    let level = level(query)?;
    let Some(_room) = room(&api, &request) else {
        let failure = Failure::overloaded(1000, "too many bytes of batches are being answered");
        return Ok(unread(request, failure.into_response()));
    };
    let items: Vec<Vec<u8>> = match read(request, limit::BATCH_BYTES_MAX, JSON_BATCH_BYTES_MAX).await? {
        (Kind::Octets, bytes) => decode_batch(&bytes)?,
        (Kind::Json, bytes) => {
            from_json::<BatchRequest>(&bytes)?.signed.into_iter().map(|Hex(bytes)| bytes).collect()
        }
    };
    api.node.check_level(level)?;
    let place = line_up(&api, items.len())?;
    // All are on their way before the first is awaited, so they share fsyncs.
    let waiting: Vec<_> = items
        .into_iter()
        .map(|bytes| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let signed = bytes.clone();
            api.node.submit_with(bytes, move |answer| {
                // The client may have gone away; its transitions stand all the same.
                drop(sender.send(answer));
            });
            (signed, receiver)
        })
        .collect();
    let mut answered = Vec::with_capacity(waiting.len());
    for (signed, receiver) in waiting {
        answered.push((signed, receiver.await.unwrap_or(Err(SubmitError::Stopped))));
    }
    // Durable here: others may come in while this one waits for its level.
    drop(place);
    let mut results = Vec::with_capacity(answered.len());
    for (signed, answer) in answered {
        let answer = match answer {
            Ok(receipt) => api.node.reach(receipt, level).await,
            error => error,
        };
        results.push(match answer {
            Ok(receipt) => {
                accepted(&receipt);
                BatchResult::Receipt(Box::new(receipt))
            }
            Err(error) => BatchResult::Problem(failed(&api, &signed, error).0),
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
