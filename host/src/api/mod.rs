//! The HTTP API: JSON faces and canonical bytes over HTTP/1.1, problem details for errors, an event stream.
//!
//! One table of routes makes both the router and the OpenAPI document. Reads wait until what they saw is durable,
//! so nothing is shown that a crash could take back.
//!
//! Who may ask what, how often and from which page is decided in `access`, before a handler runs; what changed
//! something or was refused stands in the audit log.
//!
//! A submission needs no key against being made twice: its transition's id is that key, and the same bytes get the same
//! receipt for ever. A client that sends `Idempotency-Key` all the same has to send that id.
//!
//! Left out on purpose: cookies, decompression of bodies.

mod access;
mod audit;
mod backup;
mod body;
mod bridge;
mod config;
mod events;
mod evidence;
mod ledger;
mod listen;
mod metrics;
mod openapi;
mod problem;
mod refusals;
mod routes;
mod submit;
mod topology;
mod ui;

pub use access::{Access, AccessError, Rules, SystemWatch, Watch, request_id};
pub use audit::{Audit, AuditOpenError, files_aside};
pub use config::{Settings, SettingsRefused};

use crate::node::Node;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use listen::{Door, DoorConfig};
use metrics::HttpMetrics;
use problem::Failure;
use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once: below the 1,024 open files that systems allow by default. Further ones wait.
const CONNECTIONS_MAX: usize = 900;
/// Connections of one client, so that it takes four to keep all others waiting. Who comes from this machine, or from a
/// proxy that was named, may be many.
const CONNECTIONS_EACH_MAX: usize = CONNECTIONS_MAX / 4;
/// How long a connection may take nothing of an answer: more than a request takes, several heartbeats of a stream.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(60);
/// Requests handled at once; a further one is answered `overloaded`. Fewer than there are connections.
const REQUESTS_MAX: usize = 800;
/// KiB of the batches handled at once; one that does not fit is answered `overloaded`. Four of the longest, or eight in
/// canonical bytes; whoever holds all of that keeps nobody from submitting singly.
const BATCHES_KIB_MAX: usize = 4 * submit::JSON_BATCH_BYTES_MAX / 1024 + 8;
/// Backups at once: each reads the whole log.
const BACKUPS_MAX: usize = 1;
/// Evidence packages cut at once: each reads through the log.
const EVIDENCE_MAX: usize = 1;
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
    refusals: Arc<refusals::Refusals>,
    slots: Arc<Semaphore>,
    batches_kib: Arc<Semaphore>,
    backups: Arc<Semaphore>,
    evidence: Arc<Semaphore>,
    access: Access,
    settings: Option<Arc<dyn Settings>>,
}

/// What an API is told before it serves.
#[derive(Clone)]
pub struct ApiConfig {
    /// How its door is kept.
    pub access: Access,
    /// The settings that can be asked for and changed.
    pub settings: Option<Arc<dyn Settings>>,
    /// Speaks TLS with this certificate.
    pub tls: Option<dsm_link::Acceptor>,
}

impl ApiConfig {
    /// Everybody may everything: for a loopback address.
    pub fn open() -> ApiConfig {
        ApiConfig { access: Access::open(), settings: None, tls: None }
    }
}

/// Serves the API to everybody on a loopback address, as [`serve_with`] does.
///
/// # Errors
/// What the listener gives, or that other machines would reach it.
pub async fn serve(
    node: Node,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(std::io::Error::other(dsm_gateway::GatewayError::NoSecret));
    }
    serve_with(node, listener, ApiConfig::open(), shutdown).await
}

/// Serves the API on `listener` until `shutdown` ends, then finishes the requests on their way, for 3 s at most.
///
/// # Errors
/// What the listener gives.
pub async fn serve_with(
    node: Node,
    listener: TcpListener,
    config: ApiConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let slots = Arc::new(Semaphore::new(REQUESTS_MAX));
    let batches_kib = Arc::new(Semaphore::new(BATCHES_KIB_MAX));
    let backups = Arc::new(Semaphore::new(BACKUPS_MAX));
    let ApiConfig { access, settings, tls } = config;
    let many = access.clone();
    let api = Api {
        node,
        http: Arc::default(),
        refusals: Arc::default(),
        slots,
        batches_kib,
        backups,
        evidence: Arc::new(Semaphore::new(EVIDENCE_MAX)),
        access,
        settings,
    };
    let door = DoorConfig {
        connections_max: CONNECTIONS_MAX,
        each_max: CONNECTIONS_EACH_MAX,
        many: Box::new(move |address| many.brings_many(address)),
        patience: CONNECTION_PATIENCE,
        tls,
    };
    let door = Door::new(listener, door);
    let mut begun = stopped.clone();
    let service = router(api, stopped).into_make_service_with_connect_info::<access::Peer>();
    let served = axum::serve(door, service).with_graceful_shutdown(async move {
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
        .merge(ui::router())
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "unknown_route", "there is no such route") })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the route has other methods")
        })
        .layer(from_fn_with_state(api.clone(), access::guard))
        .with_state(api)
}
