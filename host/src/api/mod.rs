//! The HTTP API: JSON faces and canonical bytes over HTTP/1.1, problem details for errors, an event stream.
//!
//! One table of routes makes both the router and the OpenAPI document. Reads wait until what they saw is durable,
//! so nothing is shown that a crash could take back.
//!
//! Left out on purpose: TLS, API keys and rate limits per client (a gateway stands before this), cookies, CORS,
//! decompression of bodies.

mod body;
mod events;
mod ledger;
mod listen;
mod metrics;
mod openapi;
mod problem;
mod routes;
mod submit;
mod topology;

use crate::node::Node;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use listen::Door;
use metrics::HttpMetrics;
use problem::Failure;
use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once: below the 1,024 open files that systems allow by default. Further ones wait.
const CONNECTIONS_MAX: usize = 900;
/// How long a connection may take nothing of an answer: more than a request takes, several heartbeats of a stream.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(60);
/// Requests handled at once; a further one is answered `overloaded`. Fewer than there are connections.
const REQUESTS_MAX: usize = 800;
/// Batches handled at once; a further one is answered `overloaded`. Their bodies are up to a hundred times as long as
/// others, so they have few places of their own, and whoever holds all of these keeps nobody from submitting singly.
const BATCHES_MAX: usize = 8;
/// How long a request may take in all. The event stream, once begun, may go on.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a stopping node waits for clients: a submission is durable long before, and a client that reads nothing
/// would keep it for ever.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(3);

/// What all handlers share.
#[derive(Clone)]
struct Api {
    node: Node,
    http: Arc<HttpMetrics>,
    slots: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

/// Serves the API on `listener` until `shutdown` ends, then finishes the requests on their way, for 3 s at most.
///
/// # Errors
/// What the listener gives.
pub async fn serve(
    node: Node,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let slots = Arc::new(Semaphore::new(REQUESTS_MAX));
    let batches = Arc::new(Semaphore::new(BATCHES_MAX));
    let api = Api { node, http: Arc::default(), slots, batches };
    let door = Door::new(listener, CONNECTIONS_MAX, CONNECTION_PATIENCE);
    let mut begun = stopped.clone();
    let served = axum::serve(door, router(api, stopped)).with_graceful_shutdown(async move {
        shutdown.await;
        // Event streams have no end of their own.
        stopping.send_replace(true);
    });
    let drained = async move {
        let asked = begun.wait_for(|stopping| *stopping).await.is_ok();
        if !asked {
            return std::future::pending().await;
        }
        tokio::time::sleep(DRAIN_TIME_MAX).await;
    };
    tokio::select! {
        served = served.into_future() => served,
        () = drained => Ok(()),
    }
}

fn router(api: Api, stopped: tokio::sync::watch::Receiver<bool>) -> Router {
    let router = routes::ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, routes::method_router(route, stopped.clone()))
    });
    router
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "unknown_route", "there is no such route") })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the route has other methods")
        })
        .layer(from_fn_with_state(api.clone(), guard))
        .with_state(api)
}

/// Bounds how many requests run and how long, and counts them.
async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Ok(_slot) = api.slots.try_acquire() else {
        return Failure::overloaded(1000, "too many requests are being answered").into_response();
    };
    let start = Instant::now();
    let answer = match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            Failure::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long").into_response()
        }
    };
    api.http.observe(answer.status(), start.elapsed());
    answer
}
