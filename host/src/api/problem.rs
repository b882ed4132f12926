//! Errors as RFC 9457 problem details. The status of each code stands in one function.

use crate::node::{NodeError, StageError, SubmitError, ViewError};
use crate::replicate::ReplicationError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dsm_core::Refusal;
use dsm_sdk::api::{DenialView, EquivocationRef, FaultView, PolicyCid, Problem, ShortfallView};
use dsm_sdk::receipt::AccountHead;

/// A request that is not answered as asked.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Box<Problem>);

/// The HTTP status of a stable code; [`ERRORS.md`](../../ERRORS.md) has the same table for people.
pub(super) fn status_of(code: &str) -> StatusCode {
    match code {
        "malformed_bytes" | "package_malformed" => StatusCode::BAD_REQUEST,
        "too_long" => StatusCode::PAYLOAD_TOO_LARGE,
        "account_exists"
        | "stale_parent"
        | "conflict"
        | "keys_changed"
        | "token_exists"
        | "policy_exists"
        | "moved_since_checkpoint"
        | "not_checkpointed"
        | "bridge_exists"
        | "bridge_moved"
        | "no_checkpoint" => StatusCode::CONFLICT,
        "peer_exists" | "topology_refused" | "not_caught_up" | "not_established" | "not_promoted"
        | "no_replication" => StatusCode::CONFLICT,
        "overloaded" | "no_verdict" | "stopped" | "staged_full" | "not_replicated" | "not_leading"
        | "behind" | "fenced" | "not_promised" => StatusCode::SERVICE_UNAVAILABLE,
        "topology_damaged" | "node_key" => StatusCode::INTERNAL_SERVER_ERROR,
        "not_in_outbox" => StatusCode::NOT_FOUND,
        "storage_full" => StatusCode::INSUFFICIENT_STORAGE,
        "storage" | "packages_missing" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Failure {
        let title = status.canonical_reason().unwrap_or("error");
        Failure(Box::new(Problem::new(status.as_u16(), title, code, detail)))
    }

    pub(super) fn coded(code: &str, detail: &dyn std::fmt::Display) -> Failure {
        Failure::new(status_of(code), code, detail.to_string())
    }

    pub(super) fn overloaded(retry_after_ms: u64, detail: &str) -> Failure {
        let mut failure = Failure::coded("overloaded", &detail);
        failure.0.retry_after_ms = Some(retry_after_ms);
        failure
    }

    /// The line in front of the node is too long: so long would the wait be.
    pub(super) fn long_line(wait: std::time::Duration) -> Failure {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(1000);
        Failure::overloaded(ms, "submissions wait in a long line; come back later")
    }

    pub(super) fn not_found(what: &str) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let Failure(mut problem) = self;
        problem.request = super::access::request_id().map(|id| id.to_string());
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut answer = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
        if let Some(ms) = problem.retry_after_ms {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        answer.extensions_mut().insert(super::access::Code(problem.code));
        answer
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Failure {
        let mut failure = Failure::coded(error.code(), &error);
        let problem = &mut failure.0;
        match error {
            SubmitError::Refused(refusal) => return refused(refusal),
            SubmitError::Conflict(proof) => problem.equivocation = Some(EquivocationRef::from(&*proof)),
            SubmitError::Overloaded { retry_after_ms } => problem.retry_after_ms = Some(retry_after_ms),
            SubmitError::StorageFull => problem.retry_after_ms = Some(1000),
            SubmitError::NotReplicated { asked, receipt } => {
                problem.shortfall = Some(ShortfallView { asked, receipt: *receipt });
                problem.retry_after_ms = Some(1000);
            }
            SubmitError::NotLeading | SubmitError::Behind { .. } => problem.retry_after_ms = Some(1000),
            SubmitError::Admit(_)
            | SubmitError::TooFewStorageNodes { .. }
            | SubmitError::Fenced { .. }
            | SubmitError::Stopped => {}
        }
        failure
    }
}

fn refused(refusal: Refusal) -> Failure {
    let mut failure = Failure::coded(refusal.code(), &refusal);
    let problem = &mut failure.0;
    match refusal {
        Refusal::StaleParent { account, head, height, .. } => {
            problem.head = Some(AccountHead { account, height, state: head });
        }
        Refusal::Denied { token, policy, policy_index, leg, denial } => {
            let operation = Some(leg as u64);
            problem.denial = Some(DenialView::new(token, PolicyCid(policy), policy_index, operation, denial));
        }
        Refusal::Fault { token, policy, policy_index, leg, fault } => {
            let policy = PolicyCid(policy);
            problem.fault = Some(FaultView { token, policy, policy_index, operation: leg as u64, fault });
        }
        Refusal::NoVerdict(_) => problem.retry_after_ms = Some(1000),
        _ => {}
    }
    failure
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Failure {
        Failure::coded(error.code(), &error)
    }
}

impl From<ReplicationError> for Failure {
    fn from(error: ReplicationError) -> Failure {
        Failure::coded(error.code(), &error)
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Failure {
        let mut failure = Failure::coded(error.code(), &error);
        if let StageError::Gate(findings) = &error {
            failure.0.findings = findings.iter().map(ToString::to_string).collect();
        }
        failure
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Failure {
        match error {
            ViewError::Refused(refusal @ (Refusal::UnknownToken(_) | Refusal::UnknownPolicyIndex { .. })) => {
                Failure::new(StatusCode::NOT_FOUND, refusal.code(), refusal.to_string())
            }
            error => Failure::coded(error.code(), &error),
        }
    }
}
