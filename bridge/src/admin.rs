//! The admin's socket: a loopback address, a token, and five commands. None of them moves funds.
//!
//! | route | what |
//! |---|---|
//! | `POST /v1/retry` | forget all waits and try everything now |
//! | `POST /v1/pause`, `/v1/resume` | write nothing to either chain; go on |
//! | `POST /v1/unfreeze` | end a freeze, after a person has looked at why |
//! | `GET /v1/alarms` | as on the open socket |

use crate::http::{Failure, all_alarms, until};
use crate::service::{Job, Shared};
use crate::state::{Brakes, StateError};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::future::IntoFuture as _;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Rows that are told to try again at once.
const ROWS_MAX: usize = 4096;

type Api = State<Arc<Shared>>;
type Answer = Result<Json<Value>, Failure>;

/// Serves until `stopping` turns true.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    token: String,
    stopping: watch::Receiver<bool>,
) {
    let token: Arc<str> = token.into();
    let guarded = move |request: Request, next: Next| {
        let token = Arc::clone(&token);
        async move { guard(&token, request, next).await }
    };
    let app = Router::new()
        .route("/v1/retry", post(retry))
        .route("/v1/pause", post(|State(shared): Api| brake(shared, |brakes| brakes.paused = true)))
        .route("/v1/resume", post(|State(shared): Api| brake(shared, |brakes| brakes.paused = false)))
        .route("/v1/unfreeze", post(|State(shared): Api| brake(shared, |brakes| brakes.frozen = None)))
        .route(
            "/v1/alarms",
            get(|State(shared): Api| async move { Ok::<_, Failure>(Json(all_alarms(&shared)?)) }),
        )
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "unknown_route", "there is no such route") })
        .layer(from_fn(guarded))
        .with_state(shared);
    until(axum::serve(listener, app).into_future(), stopping).await;
}

async fn guard(token: &str, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Digests are compared, so that the time it takes tells nothing about the token.
    if dsm_evm_proof::keccak256(&[given.as_bytes()]) != dsm_evm_proof::keccak256(&[token.as_bytes()]) {
        let detail = "the admin's token is needed: Authorization: Bearer …";
        return Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    }
    next.run(request).await
}

async fn brake(shared: Arc<Shared>, change: impl FnOnce(&mut Brakes) + Send + 'static) -> Answer {
    let work = move || -> Result<Brakes, StateError> {
        let brakes = shared.store.step("brake.before", "brake.after", |step| {
            let mut brakes = step.brakes()?;
            change(&mut brakes);
            step.put_brakes(&brakes)?;
            Ok(brakes)
        })?;
        wake(&shared);
        Ok(brakes)
    };
    let brakes = blocking(work).await?;
    Ok(Json(json!({ "paused": brakes.paused, "frozen": brakes.frozen })))
}

async fn retry(State(shared): Api) -> Answer {
    let work = move || -> Result<usize, StateError> {
        let locks = shared.store.locks(shared.store.locks_done()?.unwrap_or(0), ROWS_MAX)?;
        let outs = shared.store.outs(shared.store.outs_done()?.unwrap_or(0), ROWS_MAX)?;
        let mut count = 0;
        shared.store.step("retry.before", "retry.after", |step| {
            for (nonce, mut row) in locks.into_iter().filter(|(_, row)| row.retry.next_ms > 0) {
                row.retry.next_ms = 0;
                step.put_lock(nonce, &row)?;
                count += 1;
            }
            for (index, mut row) in outs.into_iter().filter(|(_, row)| row.retry.next_ms > 0) {
                row.retry.next_ms = 0;
                step.put_out(index, &row)?;
                count += 1;
            }
            Ok(())
        })?;
        wake(&shared);
        Ok(count)
    };
    let count = blocking(work).await?;
    Ok(Json(json!({ "retried": count })))
}

fn wake(shared: &Shared) {
    if let Some(jobs) = &shared.jobs {
        // If the queue is full the relayer is awake anyway.
        drop(jobs.try_send(Job::Turn));
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => {
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "ended", "the work ended before its answer"))
        }
    }
}
