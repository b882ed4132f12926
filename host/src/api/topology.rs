//! The topology: who keeps the log besides this node, how far each is, and how an operator changes it.

use super::Api;
use super::body::{from_json, json, read};
use super::problem::Failure;
use crate::replicate::{Replication, ReplicationError};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use dsm_sdk::api::{AddPeerRequest, PeerRequest, limit};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;

type Answer = Result<Response, Failure>;

/// Between two events of a stream whose storage nodes move all the time.
const EVENT_PAUSE: Duration = Duration::from_millis(200);
/// Between two signs of life on a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

fn replication(api: &Api) -> Result<Replication, Failure> {
    Ok(api.node.replication().ok_or(ReplicationError::Off)?)
}

async fn body<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Failure> {
    let (_, bytes) = read(request, 0, limit::JSON_BYTES_MAX).await?;
    from_json(&bytes)
}

pub(super) async fn list(State(api): State<Api>) -> Answer {
    json(&replication(&api)?.topology()?)
}

pub(super) async fn matrix(State(api): State<Api>) -> Answer {
    json(&replication(&api)?.matrix().await?)
}

pub(super) async fn add(State(api): State<Api>, request: Request) -> Answer {
    let AddPeerRequest { address, key } = body(request).await?;
    json(&replication(&api)?.add(&address, key.map(|key| key.0)).await?)
}

pub(super) async fn remove(State(api): State<Api>, request: Request) -> Answer {
    let PeerRequest { node, force } = body(request).await?;
    json(&replication(&api)?.remove(node, force).await?)
}

pub(super) async fn promote(State(api): State<Api>, request: Request) -> Answer {
    let PeerRequest { node, force } = body(request).await?;
    json(&replication(&api)?.promote(node, force).await?)
}

/// Follows the storage nodes: an event with all of them whenever one has moved.
pub(super) async fn events(State(api): State<Api>, stopped: watch::Receiver<bool>) -> Answer {
    let replication = replication(&api)?;
    let changes = replication.watch();
    let begin = (replication, changes, stopped, None::<String>);
    let body = Body::from_stream(futures_util::stream::unfold(begin, |mut state| async move {
        let chunk = next_event(&mut state).await?;
        Some((Ok::<Bytes, Infallible>(Bytes::from(chunk)), state))
    }));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, body).into_response())
}

type Stream = (Replication, watch::Receiver<crate::replicate::State>, watch::Receiver<bool>, Option<String>);

async fn next_event((replication, changes, stopped, told): &mut Stream) -> Option<String> {
    loop {
        if *stopped.borrow() {
            return None;
        }
        let view = serde_json::to_string(&replication.view()?).ok()?;
        if told.as_ref() != Some(&view) {
            let event = format!("event: replication\ndata: {view}\n\n");
            *told = Some(view);
            return Some(event);
        }
        tokio::time::sleep(EVENT_PAUSE).await;
        tokio::select! {
            changed = changes.changed() => changed.ok()?,
            changed = stopped.changed() => changed.ok()?,
            () = tokio::time::sleep(HEARTBEAT) => return Some(": alive\n\n".to_owned()),
        }
    }
}
