//! The HTTP API: what the bridge knows, proofs and withdrawals to carry, and the attestor's signatures.
//!
//! | route | what |
//! |---|---|
//! | `GET /v1/health` | 200 while the process answers |
//! | `GET /v1/ready` | 200 while the service does its work; else 503 and why |
//! | `GET /metrics` | OpenMetrics text |
//! | `GET /v1/status` | [`StatusView`] |
//! | `GET /v1/locks?from=&limit=`, `/v1/locks/{nonce}` | locks, and one with its proof |
//! | `GET /v1/outbox/{index}`, `/v1/outbox/{index}/proof` | a leaf; its siblings under the contract's root |
//! | `GET /v1/checkpoints`, `/v1/checkpoints/{epoch}` | where both sides stand; what was attested |
//! | `GET /v1/transfers?state=` | transfers both ways in one state |
//! | `GET /v1/limits?asset=` | the contract's limits |
//! | `GET /v1/alarms` | alarms, newest first |
//! | `POST /v1/proofs/evm` | verify a lock's proof and have it credited; idempotent |
//! | `POST /v1/withdrawals`, `GET /v1/withdrawals/{transition}` | relay a signed withdrawal; where it stands |
//! | `POST /v1/attestations`, `/v1/attestations/blocks` | the attestor's name |

use crate::api::{
    AlarmView, AlarmsView, AttestationBody, AttestedView, BlockAttestationBody, CheckpointsView, LimitsView,
    LockView, LocksPage, OutProofView, OutView, ProofBody, StatusView, TransfersView, WithdrawalBody,
    WithdrawalView, trust_level,
};
use crate::attest::{AttestError, AttestationRequest};
use crate::door::{Door, guard};
use crate::dsm::DsmError;
use crate::evm::Word;
use crate::metrics::page;
use crate::prove::Trust;
use crate::relayer::check_proof;
use crate::service::{Job, Shared, now_ms};
use crate::state::{StateError, WithdrawalRow};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use dsm_core::{SignedCheckpoint, SignedTransition};
use dsm_evm_proof::{EvmLockProof, LOCK_PROOF_BYTES_MAX};
use dsm_sdk::api::{Hex, Problem};
use dsm_sdk::receipt::Amount;
use serde::Deserialize;
use serde_json::json;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};

/// Bytes of a request: the largest proof in hexadecimal digits.
const BODY_BYTES_MAX: usize = 2 * LOCK_PROOF_BYTES_MAX + 4096;
/// Rows of a page.
const PAGE_MAX: usize = 100;
/// Rows that one look for transfers reads.
const ROWS_MAX: usize = 4096;
/// Leaves that are looked at for one withdrawal.
const LEAVES_MAX: usize = 4096;
/// Requests at once; further ones are told to come back.
const REQUESTS_MAX: usize = 64;
/// How long one request may take: a credit waits for the turn under way.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a stopping service waits for clients.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// Why a request is not answered as asked.
pub(crate) struct Failure {
    status: StatusCode,
    code: String,
    detail: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Failure {
        Failure { status, code: code.to_owned(), detail: detail.into() }
    }

    fn malformed(detail: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
    }

    fn not_found(what: &str) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("error");
        let body = Json(Problem::new(self.status.as_u16(), title, &self.code, self.detail));
        let kind = HeaderValue::from_static("application/problem+json");
        (self.status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "state", error.to_string())
    }
}

impl From<DsmError> for Failure {
    fn from(error: DsmError) -> Failure {
        let status = match error {
            DsmError::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            DsmError::Unreachable(_) | DsmError::Busy { .. } | DsmError::Protocol(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Failure::new(status, error.code(), error.to_string())
    }
}

impl From<AttestError> for Failure {
    fn from(error: AttestError) -> Failure {
        let status = match &error {
            AttestError::Malformed => StatusCode::BAD_REQUEST,
            AttestError::NotMine(_) => StatusCode::NOT_FOUND,
            AttestError::SignedBefore { .. }
            | AttestError::Equivocation(_)
            | AttestError::OtherSet { .. } => StatusCode::CONFLICT,
            AttestError::OtherNetwork
            | AttestError::NotSigned
            | AttestError::Empty
            | AttestError::Rewritten(_)
            | AttestError::OtherLeaves(_)
            | AttestError::OtherBlock(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AttestError::Stopped(_)
            | AttestError::NotFinal(_)
            | AttestError::Dsm(_)
            | AttestError::Evm(_)
            | AttestError::Wait(_) => StatusCode::SERVICE_UNAVAILABLE,
            AttestError::State(_) | AttestError::Sign => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, error.code(), error.to_string())
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Failure {
        let (status, code) = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "too_long"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            _ => (StatusCode::BAD_REQUEST, "malformed_request"),
        };
        Failure::new(status, code, rejection.body_text())
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Failure {
        Failure::malformed(rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Failure {
        Failure::malformed(rejection.body_text())
    }
}

type Api = State<Arc<Shared>>;
type Body<T> = Result<Json<T>, JsonRejection>;
type Answer<T> = Result<Json<T>, Failure>;

/// Serves until `stopping` turns true.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    door: Door,
    listener: TcpListener,
    stopping: watch::Receiver<bool>,
) {
    let service = router(shared, door).into_make_service_with_connect_info::<SocketAddr>();
    until(axum::serve(listener, service).into_future(), stopping).await;
}

/// Runs a server until `stopping` turns true, and then a little longer for those who are being answered.
pub(crate) async fn until(
    server: impl Future<Output = std::io::Result<()>>,
    mut stopping: watch::Receiver<bool>,
) {
    let drained = async move {
        // A sender that is gone has stopped as well.
        drop(stopping.wait_for(|stopping| *stopping).await);
        tokio::time::sleep(DRAIN_TIME_MAX.min(Duration::from_millis(100))).await;
    };
    tokio::select! {
        // The listener hands errors of accepting to nobody and goes on; there is no other way to end.
        _ = server => {}
        () = drained => {}
    }
}

fn router(shared: Arc<Shared>, door: Door) -> Router {
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    let limited = move |request: Request, next: Next| {
        let places = Arc::clone(&places);
        async move {
            let declared = request.headers().get(header::CONTENT_LENGTH);
            let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
            if declared.is_some_and(|length| length > BODY_BYTES_MAX) {
                let long = format!("a request has at most {BODY_BYTES_MAX} bytes");
                return Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", long).into_response();
            }
            let Ok(_place) = places.try_acquire() else {
                let busy =
                    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many requests at once");
                return busy.into_response();
            };
            match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
                Ok(answer) => answer,
                Err(_) => {
                    let late = "the answer took too long; ask again, nothing is done twice";
                    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", late).into_response()
                }
            }
        }
    };
    Router::new()
        .route("/v1/health", get(|| async { Json(json!({ "status": "alive" })) }))
        .route("/v1/ready", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/v1/status",
            get(|State(shared): Api| async move { Ok::<_, Failure>(Json(status(&shared)?)) }),
        )
        .route("/v1/locks", get(locks))
        .route("/v1/locks/{nonce}", get(lock))
        .route("/v1/outbox/{index}", get(leaf))
        .route("/v1/outbox/{index}/proof", get(leaf_proof))
        .route("/v1/checkpoints", get(checkpoints))
        .route("/v1/checkpoints/{epoch}", get(checkpoint))
        .route("/v1/transfers", get(transfers))
        .route("/v1/limits", get(limits))
        .route("/v1/alarms", get(alarms))
        .route("/v1/proofs/evm", post(prove))
        .route("/v1/withdrawals", post(withdraw))
        .route("/v1/withdrawals/{transition}", get(withdrawal))
        .route("/v1/attestations", post(attest))
        .route("/v1/attestations/blocks", post(attest_block))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "unknown_route", "there is no such route") })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn(limited))
        .layer(from_fn_with_state(Arc::new(door), guard))
        .layer(from_fn_with_state(Arc::clone(&shared), counted))
        .with_state(shared)
}

async fn counted(State(shared): Api, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    if let Some(counter) = shared.metrics.http.get(usize::from(answer.status().as_u16() / 100)) {
        counter.one();
    }
    answer
}

/// Work that blocks: the state, the chains, signatures.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "ended", "the work ended before its answer"))
        }
    }
}

pub(crate) fn status(shared: &Shared) -> Result<StatusView, StateError> {
    let progress = shared.progress.lock().clone();
    let counts = shared.store.counts()?;
    let brakes = shared.store.brakes()?.unwrap_or_default();
    let mut roles = Vec::new();
    if shared.jobs.is_some() {
        roles.push("relayer".to_owned());
    }
    if shared.attestor.is_some() {
        roles.push("attestor".to_owned());
    }
    let contract = progress.contract;
    Ok(StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bridge: shared.terms.id().to_string(),
        network: shared.terms.network.to_string(),
        chain_id: shared.terms.chain_id,
        contract: Hex(shared.terms.contract.to_vec()),
        trust_level: trust_level(&shared.terms).to_owned(),
        roles,
        account: shared.account.map(|account| account.to_string()),
        gas_account: shared.gas_account.map(|address| Hex(address.to_vec())),
        attestor: shared
            .attestor
            .as_ref()
            .map(|attestor| (attestor.config.index, Hex(attestor.config.ecdsa.address().to_vec()))),
        frozen: brakes.frozen,
        paused: brakes.paused,
        head: progress.head.map(|(height, ..)| height),
        head_hash: progress.head.map(|(_, hash, _)| Hex(hash.to_vec())),
        trusted_height: progress.trusted.map(|(height, _)| height),
        trusted_validators: progress.trusted.map(|(_, count)| count),
        contract_locks: contract.map(|view| view.outbox_size),
        contract_epoch: contract.map(|view| view.epoch),
        contract_size: contract.map(|view| view.size),
        locks: counts.locks,
        locks_done: shared.store.locks_done()?.unwrap_or(0),
        leaves: counts.outs,
        leaves_done: shared.store.outs_done()?.unwrap_or(0),
        transactions: counts.queued,
        alarms: counts.alarms,
        stalled: progress.stalls.into_iter().map(|(part, reason)| (part.to_owned(), reason)).collect(),
        endpoints: shared.rpc.as_ref().map(|rpc| rpc.views()).unwrap_or_default(),
        turns: progress.turns,
        last_turn_ms: progress.last_turn_ms,
        ended: shared.ended.borrow().clone(),
        uptime_s: shared.started.elapsed().as_secs(),
    })
}

/// Whether the service does its work now: the code and the sentence of what is in the way.
fn hindrance(shared: &Shared, status: &StatusView) -> Option<(&'static str, String)> {
    let stalled = ["head", "repair"].iter().find_map(|part| status.stalled.get(*part));
    let silent = shared.poll.as_millis() as u64 * 10 + 60_000;
    if let Some(reason) = &status.ended {
        Some(("ended", reason.clone()))
    } else if let Some(reason) = &status.frozen {
        Some(("frozen", reason.clone()))
    } else if status.paused {
        Some(("paused", "paused by its admin".to_owned()))
    } else if let Some(reason) = stalled {
        Some(("stalled", reason.clone()))
    } else if shared.jobs.is_some() && status.turns == 0 {
        Some(("starting", "the first turn is under way".to_owned()))
    } else if shared.jobs.is_some() && now_ms().saturating_sub(status.last_turn_ms) > silent {
        Some(("stuck", "no turn has ended for long".to_owned()))
    } else {
        None
    }
}

async fn ready(State(shared): Api) -> Result<Response, Failure> {
    blocking(move || {
        let status = status(&shared)?;
        match hindrance(&shared, &status) {
            None => {
                let level = trust_level(&shared.terms);
                Ok(Json(json!({ "status": "ready", "trust_level": level })).into_response())
            }
            Some((code, detail)) => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)),
        }
    })
    .await
}

async fn metrics(State(shared): Api) -> Result<Response, Failure> {
    let text = blocking(move || {
        let status = status(&shared)?;
        let ready = hindrance(&shared, &status).is_none();
        Ok(page(&shared.metrics, &status, &shared.progress.lock(), ready))
    })
    .await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
}

async fn locks(State(shared): Api, query: Result<Query<PageQuery>, QueryRejection>) -> Answer<LocksPage> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    blocking(move || {
        let rows = shared.store.locks(query.from, limit + 1)?;
        let next = rows.get(limit).map(|(nonce, _)| *nonce);
        let locks =
            rows.iter().take(limit).map(|(_, row)| LockView::new(row, &shared.terms, false)).collect();
        Ok(Json(LocksPage { locks, next, trust_level: trust_level(&shared.terms).to_owned() }))
    })
    .await
}

async fn lock(State(shared): Api, nonce: Result<Path<u64>, PathRejection>) -> Answer<LockView> {
    let Path(nonce) = nonce?;
    blocking(move || match shared.store.lock(nonce)? {
        Some(row) => Ok(Json(LockView::new(&row, &shared.terms, true))),
        None => Err(Failure::not_found("lock")),
    })
    .await
}

async fn leaf(State(shared): Api, index: Result<Path<u64>, PathRejection>) -> Answer<OutView> {
    let Path(index) = index?;
    blocking(move || match shared.store.out(index)? {
        Some(row) => Ok(Json(OutView::new(&row, &shared.terms))),
        None => Err(Failure::not_found("leaf")),
    })
    .await
}

async fn leaf_proof(State(shared): Api, index: Result<Path<u64>, PathRejection>) -> Answer<OutProofView> {
    let Path(index) = index?;
    blocking(move || {
        let view = shared.evm.contract().map_err(|error| {
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error.to_string())
        })?;
        let tree = shared.outbox.tree();
        let leaf = tree.leaf(index).ok_or_else(|| Failure::not_found("leaf"))?;
        let conflict = |error: dsm_evm_proof::OutboxError| {
            Failure::new(StatusCode::CONFLICT, "not_checkpointed", error.to_string())
        };
        if tree.root(view.size).map_err(conflict)? != view.root {
            let detail = "the contract's root is not that of DSM's outbox";
            return Err(Failure::new(StatusCode::CONFLICT, "foreign_root", detail));
        }
        let siblings = tree.prove_inclusion(index, view.size).map_err(conflict)?;
        Ok(Json(OutProofView {
            index,
            leaf: Hex(leaf.to_vec()),
            epoch: view.epoch,
            size: view.size,
            root: Hex(view.root.to_vec()),
            siblings: siblings.iter().map(|hash| Hex(hash.to_vec())).collect(),
            trust_level: trust_level(&shared.terms).to_owned(),
        }))
    })
    .await
}

fn attested(shared: &Shared, epoch: u64, row: &crate::state::SignedRow) -> AttestedView {
    AttestedView {
        epoch,
        digest: Hex(row.digest.to_vec()),
        size: row.size,
        root: Hex(row.root.to_vec()),
        trust_level: trust_level(&shared.terms).to_owned(),
    }
}

async fn checkpoints(State(shared): Api) -> Answer<CheckpointsView> {
    blocking(move || {
        let progress = shared.progress.lock().clone();
        let newest = shared.store.newest_signed()?.map_or(0, |(epoch, _)| epoch);
        let rows = shared.store.signed_from(newest.saturating_sub(PAGE_MAX as u64), PAGE_MAX + 1)?;
        Ok(Json(CheckpointsView {
            contract_epoch: progress.contract.map(|view| view.epoch),
            contract_size: progress.contract.map(|view| view.size),
            contract_root: progress.contract.map(|view| Hex(view.root.to_vec())),
            dsm_epoch: progress.checkpoint.map(|(epoch, _)| epoch),
            dsm_size: progress.checkpoint.map(|(_, size)| size),
            attested: rows.iter().rev().map(|(epoch, row)| attested(&shared, *epoch, row)).collect(),
            trust_level: trust_level(&shared.terms).to_owned(),
        }))
    })
    .await
}

async fn checkpoint(State(shared): Api, epoch: Result<Path<u64>, PathRejection>) -> Answer<AttestedView> {
    let Path(epoch) = epoch?;
    blocking(move || match shared.store.signed(epoch)? {
        Some(row) => Ok(Json(attested(&shared, epoch, &row))),
        None => Err(Failure::not_found("attested checkpoint")),
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransferQuery {
    state: Option<String>,
}

async fn transfers(
    State(shared): Api,
    query: Result<Query<TransferQuery>, QueryRejection>,
) -> Answer<TransfersView> {
    let Query(query) = query?;
    blocking(move || {
        let fits = |word: &str| query.state.as_deref().is_none_or(|state| state == word);
        let (locks, outs) = (shared.store.counts()?.locks, shared.outbox.tree().size());
        let rows = shared.store.locks(locks.saturating_sub(ROWS_MAX as u64), ROWS_MAX)?;
        let locks = rows.iter().rev().filter(|(_, row)| fits(row.state.word())).take(PAGE_MAX);
        let locks = locks.map(|(_, row)| LockView::new(row, &shared.terms, false)).collect();
        let rows = shared.store.outs(outs.saturating_sub(ROWS_MAX as u64), ROWS_MAX)?;
        let releases = rows.iter().rev().filter(|(_, row)| fits(row.state.word())).take(PAGE_MAX);
        let releases = releases.map(|(_, row)| OutView::new(row, &shared.terms)).collect();
        Ok(Json(TransfersView { locks, releases, trust_level: trust_level(&shared.terms).to_owned() }))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsQuery {
    asset: Option<String>,
}

async fn limits(State(shared): Api, query: Result<Query<LimitsQuery>, QueryRejection>) -> Answer<LimitsView> {
    let Query(query) = query?;
    let asset = match &query.asset {
        None => [0; 20],
        Some(text) => {
            let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok();
            let address = bytes.and_then(|bytes| <[u8; 20]>::try_from(bytes).ok());
            address.ok_or_else(|| Failure::malformed("asset: 40 hexadecimal digits"))?
        }
    };
    blocking(move || {
        let failed = |error: crate::evm::EvmError| {
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error.to_string())
        };
        let Some(rpc) = &shared.rpc else { return Err(Failure::not_found("endpoint")) };
        let limits = rpc.limits(&asset).map_err(failed)?.map(Amount);
        let view = shared.evm.contract().map_err(failed)?;
        let [transfer_max, outstanding_max, in_capacity, in_refill, out_capacity, out_refill, queue_above] =
            limits;
        Ok(Json(LimitsView {
            asset: Hex(asset.to_vec()),
            transfer_max,
            outstanding_max,
            in_capacity,
            in_refill,
            out_capacity,
            out_refill,
            queue_above,
            deposits_paused: view.deposits_paused,
            withdrawals_paused: view.withdrawals_paused,
            trust_level: trust_level(&shared.terms).to_owned(),
        }))
    })
    .await
}

async fn alarms(State(shared): Api) -> Answer<AlarmsView> {
    blocking(move || Ok(Json(all_alarms(&shared)?))).await
}

pub(crate) fn all_alarms(shared: &Shared) -> Result<AlarmsView, StateError> {
    let rows = shared.store.alarms(0, ROWS_MAX)?;
    let alarms = rows.into_iter().rev().take(PAGE_MAX).map(|(number, row)| AlarmView::new(number, row));
    Ok(AlarmsView {
        frozen: shared.store.brakes()?.unwrap_or_default().frozen,
        alarms: alarms.collect(),
        trust_level: trust_level(&shared.terms).to_owned(),
    })
}

async fn prove(State(shared): Api, body: Body<ProofBody>) -> Answer<LockView> {
    let Json(body) = body?;
    let Some(proof) = EvmLockProof::decode(&body.proof.0) else {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "malformed_bytes",
            "these bytes are no proof of a lock",
        ));
    };
    let nonce = proof.lock.nonce;
    let checked = Arc::clone(&shared);
    let verified = proof.clone();
    blocking(move || {
        // What is credited stays credited, whichever block the proof hangs from.
        let known = checked.store.lock(nonce)?;
        if known.is_some_and(|row| row.state.is_final() && row.lock == verified.lock) {
            return Ok(());
        }
        let state = checked.dsm.bridge()?;
        let now_s = now_ms() / 1000;
        let trust = match &state {
            Some(state) => Trust::of(state),
            None => Trust::first(&checked.terms, now_s),
        };
        let refused =
            |code: &str, detail: String| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        let trust = trust.map_err(|error| refused(error.code(), error.to_string()))?;
        check_proof(&checked.terms, &trust, &verified, now_s)
            .map_err(|(code, detail)| refused(code, detail))?;
        Ok(())
    })
    .await?;
    let Some(jobs) = &shared.jobs else {
        return Err(Failure::new(StatusCode::NOT_FOUND, "not_relayer", "this service carries no proofs"));
    };
    let (answer, told) = oneshot::channel();
    let busy = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many proofs wait");
    jobs.try_send(Job::Credit(Box::new(proof), answer)).map_err(|_| busy())?;
    let ended = |_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ended", "the relayer has ended");
    let outcome = told.await.map_err(ended)?;
    blocking(move || match (shared.store.lock(nonce)?, outcome) {
        (Some(row), outcome) if row.state.is_final() || outcome.is_ok() => {
            Ok(Json(LockView::new(&row, &shared.terms, false)))
        }
        (_, Err(reason)) => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not_credited_yet", reason)),
        (_, Ok(())) => Err(Failure::not_found("lock")),
    })
    .await
}

async fn withdraw(State(shared): Api, body: Body<WithdrawalBody>) -> Answer<WithdrawalView> {
    let Json(body) = body?;
    let malformed =
        |_| Failure::new(StatusCode::BAD_REQUEST, "malformed_bytes", "these bytes are no signed transition");
    let signed = SignedTransition::decode(&body.signed.0).map_err(malformed)?;
    let transition = signed.transition.id().0;
    blocking(move || {
        let known = shared.store.withdrawal(&transition)?;
        let row = match known {
            Some(row) => row,
            None => {
                let from = shared.outbox.tree().size();
                let accepted = shared.dsm.submit(&body.signed.0)?;
                let row = WithdrawalRow { time_ms: now_ms(), position: accepted.position, from };
                shared.store.step("withdraw.before", "withdraw.after", |step| {
                    step.put_withdrawal(&transition, &row)
                })?;
                row
            }
        };
        // What the outbox has by now; a failure here changes nothing about the withdrawal.
        if let Err(error) = shared.outbox.follow(None) {
            tracing::warn!(%error, "the outbox cannot be followed just now");
        }
        Ok(Json(withdrawal_view(&shared, &transition, &row)?))
    })
    .await
}

async fn withdrawal(
    State(shared): Api,
    transition: Result<Path<String>, PathRejection>,
) -> Answer<WithdrawalView> {
    let Path(text) = transition?;
    let bytes = hex::decode(&text).ok().and_then(|bytes| Word::try_from(bytes).ok());
    let transition = bytes.ok_or_else(|| Failure::malformed("a transition has 64 hexadecimal digits"))?;
    blocking(move || match shared.store.withdrawal(&transition)? {
        Some(row) => Ok(Json(withdrawal_view(&shared, &transition, &row)?)),
        None => Err(Failure::not_found("withdrawal")),
    })
    .await
}

fn withdrawal_view(
    shared: &Shared,
    transition: &Word,
    row: &WithdrawalRow,
) -> Result<WithdrawalView, StateError> {
    let rows = shared.store.outs(row.from, LEAVES_MAX)?;
    let leaves = rows.iter().filter(|(_, row)| row.entry.transition == *transition);
    Ok(WithdrawalView {
        transition: Hex(transition.to_vec()),
        position: row.position,
        leaves: leaves.map(|(_, row)| OutView::new(row, &shared.terms)).collect(),
        trust_level: trust_level(&shared.terms).to_owned(),
    })
}

async fn attest(State(shared): Api, body: Body<AttestationBody>) -> Answer<crate::api::AttestationView> {
    let Json(body) = body?;
    let checkpoint =
        dsm_abi::decode::<SignedCheckpoint>(&body.checkpoint.0, dsm_sdk::api::limit::PROOF_BYTES_MAX)
            .map_err(|_| AttestError::Malformed)?;
    blocking(move || {
        let Some(attestor) = &shared.attestor else { return Err(AttestError::NotMine("checkpoints").into()) };
        let request = AttestationRequest { checkpoint, set_id: body.set_id };
        let outcome = attestor.attest(&request);
        shared.metrics.attested(outcome.is_ok());
        Ok(Json(outcome?))
    })
    .await
}

async fn attest_block(
    State(shared): Api,
    body: Body<BlockAttestationBody>,
) -> Answer<crate::api::BlockAttestationView> {
    let Json(body) = body?;
    blocking(move || {
        let Some(attestor) = &shared.attestor else { return Err(AttestError::NotMine("blocks").into()) };
        let outcome = attestor.attest_block(&body);
        shared.metrics.attested(outcome.is_ok());
        Ok(Json(outcome?))
    })
    .await
}
