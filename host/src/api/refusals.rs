//! The last refusals: why a transition that passed its signatures was not accepted. In memory, bounded; refusals change
//! nothing, so nothing is lost with them.

use super::Api;
use super::body::json;
use super::ledger::id;
use super::problem::Failure;
use axum::extract::{Path, State};
use axum::response::Response;
use dsm_abi::TransitionId;
use dsm_sdk::api::{Problem, RefusalView, RefusalsAnswer, limit};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

/// Refusals that are remembered: half a megabyte.
const REFUSALS_MAX: usize = 1000;

/// The last refusals, oldest first.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<VecDeque<RefusalView>>);

impl Refusals {
    /// Remembers why this transition was refused.
    pub(super) fn remember(&self, transition: TransitionId, problem: &Problem) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let view = RefusalView {
            transition,
            time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            problem: problem.clone(),
        };
        let mut refusals = self.0.lock();
        if refusals.len() >= REFUSALS_MAX {
            refusals.pop_front();
        }
        refusals.push_back(view);
    }
}

/// The last refusals, newest first.
pub(super) async fn list(State(api): State<Api>) -> Result<Response, Failure> {
    let refusals = api.refusals.0.lock().iter().rev().take(limit::PAGE_ITEMS_MAX).cloned().collect();
    json(&RefusalsAnswer { refusals })
}

/// The last refusal of one transition.
pub(super) async fn one(State(api): State<Api>, Path(text): Path<String>) -> Result<Response, Failure> {
    let id: TransitionId = id(&text)?;
    let found = api.refusals.0.lock().iter().rev().find(|one| one.transition == id).cloned();
    json(&found.ok_or_else(|| Failure::not_found("refusal"))?)
}
