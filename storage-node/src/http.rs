//! Health, status and metrics over HTTP/1.1, and what an operator on the same machine may ask for.
//!
//! | route | who | what |
//! |---|---|---|
//! | `GET /v1/health` | anyone | 200 while the process runs |
//! | `GET /v1/ready` | anyone | 200 while it appends what is shipped; else 503 and why |
//! | `GET /v1/status` | anyone | [`crate::Status`] |
//! | `GET /v1/evidence` | anyone | [`crate::EvidenceView`]s |
//! | `GET /metrics` | anyone | OpenMetrics text |
//! | `GET /v1/backup` | loopback | the canonical archive of everything durable now |
//! | `POST /v1/scrub` | loopback | hashes everything again; [`crate::ScrubView`] |
//! | `POST /v1/drain` | loopback | takes nothing new, lets acks go out, ends |
//!
//! Left out on purpose: TLS and keys (a proxy stands before this where others may reach it), bodies of requests.

use crate::handle::Handle;
use crate::status::State;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State as Extract};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use dsm_sdk::api::Problem;
use serde_json::json;
use std::future::IntoFuture as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, Sleep};

/// Connections at once: scrapers, probes, an operator. Further ones wait in the system's backlog.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take nothing of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for connections from this machine: a scrub that somebody waits for takes its time.
const LOCAL_PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// How long a stopping node waits for clients.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);
/// Pieces of a backup that wait for the client.
const BACKUP_PIECES_MAX: usize = 8;
/// Bytes of one piece.
const BACKUP_PIECE_BYTES: usize = 256 * 1024;

/// Serves until `stopping` turns true.
pub(crate) async fn serve(handle: Handle, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
    let door = Door { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
    let app = router(handle).into_make_service_with_connect_info::<Origin>();
    let mut begun = stopping.clone();
    let served = axum::serve(door, app).with_graceful_shutdown(async move {
        // A sender that is gone has stopped as well.
        drop(stopping.wait_for(|stopping| *stopping).await);
    });
    let drained = async move {
        drop(begun.wait_for(|stopping| *stopping).await);
        tokio::time::sleep(DRAIN_TIME_MAX).await;
    };
    tokio::select! {
        // The listener hands errors of accepting to nobody and goes on; there is no other way to end.
        _ = served.into_future() => {}
        () = drained => {}
    }
}

fn router(handle: Handle) -> Router {
    let local = Router::new()
        .route("/v1/backup", get(backup))
        .route("/v1/scrub", post(scrub))
        .route("/v1/drain", post(drain))
        .layer(axum::middleware::from_fn(local_only));
    Router::new()
        .route("/v1/health", get(|| async { Json(json!({ "ok": true })) }))
        .route("/v1/ready", get(ready))
        .route("/v1/status", get(|Extract(handle): Extract<Handle>| async move { Json(handle.status()) }))
        .route("/v1/evidence", get(|Extract(handle): Extract<Handle>| async move { Json(handle.evidence()) }))
        .route("/metrics", get(metrics))
        .merge(local)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "unknown_route", "there is no such route") })
        .layer(from_fn_with_state(handle.clone(), counted))
        .with_state(handle)
}

/// An RFC 9457 problem document.
fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("error");
    let body = Json(Problem::new(status.as_u16(), title, code, detail));
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn counted(Extract(handle): Extract<Handle>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let class = usize::from(answer.status().as_u16() / 100);
    if let Some(counter) = handle.metrics().http.get(class) {
        counter.one();
    }
    answer
}

/// Refuses whoever does not come from this machine.
async fn local_only(
    ConnectInfo(Origin(address)): ConnectInfo<Origin>,
    request: Request,
    next: Next,
) -> Response {
    if !is_local(&address) {
        return problem(StatusCode::FORBIDDEN, "not_local", "only this machine may ask for that");
    }
    next.run(request).await
}

fn is_local(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

async fn ready(Extract(handle): Extract<Handle>) -> Response {
    let status = handle.status();
    match status.state {
        State::Serving if status.network.is_some() => Json(json!({ "ready": true })).into_response(),
        State::Serving => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "no_topology", "no core node has introduced itself yet")
        }
        State::Full => problem(StatusCode::INSUFFICIENT_STORAGE, "storage_full", "the device is full"),
        other => problem(StatusCode::SERVICE_UNAVAILABLE, other.word(), "the node appends nothing now"),
    }
}

async fn metrics(Extract(handle): Extract<Handle>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], handle.metrics_page()).into_response()
}

async fn scrub(Extract(handle): Extract<Handle>) -> Response {
    match handle.scrub().await {
        Ok(view) => Json(view).into_response(),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, "storage", &error),
    }
}

async fn drain(Extract(handle): Extract<Handle>) -> Response {
    handle.drain();
    (StatusCode::ACCEPTED, Json(json!({ "draining": true }))).into_response()
}

/// Streams the archive. If reading fails midway the connection breaks, so that no client takes a part for the whole.
async fn backup(Extract(handle): Extract<Handle>) -> Response {
    let (sender, pieces) = mpsc::channel(BACKUP_PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { sender, piece: Vec::with_capacity(BACKUP_PIECE_BYTES) };
        if let Err(error) = handle.write_archive(&mut pieces).and_then(|()| pieces.flush()) {
            tracing::warn!(%error, "a backup failed");
            // Nobody may be there any more.
            drop(pieces.sender.blocking_send(Err(error)));
        }
    });
    let stream =
        futures_util::stream::unfold(pieces, |mut pieces: mpsc::Receiver<io::Result<Bytes>>| async {
            let piece = pieces.recv().await?;
            Some((piece, pieces))
        });
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(stream)).into_response()
}

/// What is written goes to the client piece by piece.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= BACKUP_PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.piece, Vec::with_capacity(BACKUP_PIECE_BYTES)));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
struct Origin(SocketAddr);

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Door>> for Origin {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Door>) -> Origin {
        Origin(*stream.remote_addr())
    }
}

/// Hands out connections, never more than a number at once.
struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes the semaphore");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let patience = if is_local(&address) { LOCAL_PATIENCE } else { PATIENCE };
        let timer = Box::pin(tokio::time::sleep(patience));
        (Connection { stream, timer, patience, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that errs when nothing could be written to it for too long: one rule for clients that trickle their
/// request, that say nothing and that read nothing.
struct Connection {
    stream: TcpStream,
    timer: Pin<Box<Sleep>>,
    patience: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn impatient(&mut self, context: &mut Context<'_>) -> bool {
        self.timer.as_mut().poll(context).is_ready()
    }

    fn progress<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Pending if self.impatient(context) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(Ok(_)) => {
                let end = Instant::now() + self.patience;
                self.timer.as_mut().reset(end);
                poll
            }
            Poll::Pending | Poll::Ready(Err(_)) => poll,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.impatient(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progress(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
