//! Evidence packages over HTTP, one at a time: each reads through the log.

use super::Api;
use super::body::{from_json, octets, read};
use super::ledger::Answer;
use super::problem::Failure;
use super::submit::blocking;
use crate::node::EvidenceCutError;
use axum::extract::{Request, State};
use dsm_sdk::api::{EvidenceRequest, limit};
use std::sync::Arc;

impl From<EvidenceCutError> for Failure {
    fn from(error: EvidenceCutError) -> Failure {
        match error {
            EvidenceCutError::Unknown(_) => Failure::not_found("accepted transition"),
            EvidenceCutError::Count(_) => Failure::malformed(error.to_string()),
            EvidenceCutError::Node(error) => error.into(),
            EvidenceCutError::Package(error) => error.into(),
            error => Failure::coded(error.code(), &error),
        }
    }
}

pub(super) async fn evidence(State(api): State<Api>, request: Request) -> Answer {
    let (_, bytes) = read(request, 0, limit::JSON_BYTES_MAX).await?;
    let EvidenceRequest { transitions, whole } = from_json(&bytes)?;
    let place = Arc::clone(&api.evidence)
        .try_acquire_owned()
        .map_err(|_| Failure::overloaded(1_000, "another evidence package is being cut"))?;
    let cut = blocking(move || {
        let _place = place;
        api.node.evidence(&transitions, whole).map(|package| package.encode())
    });
    Ok(octets(cut.await??))
}
