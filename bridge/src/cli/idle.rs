//! A service without a contract: it answers that it is idle and why, so that a deployment that has no use for a bridge
//! stands, and one that has forgotten its contract says so.
//!
//! | route | answer |
//! |---|---|
//! | `GET /v1/health` | 200 |
//! | `GET /metrics` | `dsm_bridge_idle 1` and what the process uses |
//! | everything else | 503, `idle`, and what to set |

use super::failure::{Exit, Failure};
use super::live::Live;
use super::{Output, rows};
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use dsm_sdk::api::Problem;
use serde::Serialize;
use serde_json::json;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Why, and what to do about it.
const REASON: &str =
    "no contract is configured: set DSM_BRIDGE_CONTRACT, or contract in the file of settings";

/// What an idle service prints when it serves.
#[derive(Serialize)]
struct Banner {
    url: String,
    idle: &'static str,
    version: &'static str,
}

fn text(banner: &Banner) -> String {
    let lines = rows([("idle", banner.idle.to_owned()), ("HTTP", banner.url.clone())]);
    format!("DSM bridge {}\n{lines}", banner.version)
}

async fn refused() -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let title = status.canonical_reason().unwrap_or("error");
    let body = axum::Json(Problem::new(status.as_u16(), title, "idle", REASON));
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn metrics() -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let idle = "# TYPE dsm_bridge_idle gauge\n# HELP dsm_bridge_idle 1 while no contract is configured.\ndsm_bridge_idle 1\n";
    let page = format!("{idle}{}# EOF\n", dsm_sdk::process::families());
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

/// Serves until a signal ends it.
pub(crate) fn run(out: Output, listen: SocketAddr, live: &Live) -> Result<(), Failure> {
    let failed = |code: &'static str| {
        move |error: std::io::Error| Failure::new(Exit::Refused, code, format!("{listen}: {error}"))
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("thread"))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed("signal"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("signal"))?;
        let listener = TcpListener::bind(listen).await.map_err(failed("listen"))?;
        let address = listener.local_addr().map_err(failed("listen"))?;
        let banner =
            Banner { url: format!("http://{address}"), idle: REASON, version: env!("CARGO_PKG_VERSION") };
        out.show(&banner, text)?;
        tracing::warn!("idle: {REASON}");
        let app = Router::new()
            .route("/v1/health", get(|| async { axum::Json(json!({ "status": "idle" })) }))
            .route("/metrics", get(metrics))
            .fallback(refused);
        tokio::select! {
            served = axum::serve(listener, app).into_future() => served.map_err(failed("listen")),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            () = live.follow() => Ok(()),
        }
    })
}
