//! The event stream: every durable record as a server-sent event whose id is its position, so a client that lost
//! the connection resumes where it stopped. Records are read from the log as the client takes them; a slow client
//! holds one page and nothing else.

use super::Api;
use super::problem::Failure;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use dsm_abi::{AccountId, TokenId};
use dsm_core::{Accepted, Entry, OperationKind};
use dsm_sdk::api::{CheckpointView, EntryView, EquivocationRef, GenesisView, LogEvent, TransitionView};
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;

/// Records read at once.
const PAGE: usize = 64;
/// Between two signs of life on a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A comment: what a quiet stream says.
const ALIVE: &[u8] = b": alive\n\n";

/// Which records are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    from: Option<u64>,
    account: Option<String>,
    token: Option<String>,
}

type FilterQuery = Result<Query<Filter>, axum::extract::rejection::QueryRejection>;

struct Stream {
    api: Api,
    next: u64,
    account: Option<AccountId>,
    token: Option<TokenId>,
    ready: VecDeque<Bytes>,
    durable: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
}

pub(super) async fn events(
    State(api): State<Api>,
    query: FilterQuery,
    headers: HeaderMap,
    stopped: watch::Receiver<bool>,
) -> Result<Response, Failure> {
    let Query(filter) = query.map_err(|error| Failure::malformed(error.body_text()))?;
    let malformed = |_| Failure::malformed("an id is 64 lower-case hex digits");
    let account = filter.account.as_deref().map(str::parse).transpose().map_err(malformed)?;
    let token = filter.token.as_deref().map(str::parse).transpose().map_err(malformed)?;
    let durable = api.node.watch_durable();
    let now = *durable.borrow();
    let seen = match headers.get("last-event-id") {
        None => None,
        Some(id) => Some(
            id.to_str()
                .ok()
                .and_then(|id| id.parse::<u64>().ok())
                .ok_or_else(|| Failure::malformed("Last-Event-ID is a position"))?,
        ),
    };
    let next = seen.map(|seen| seen.saturating_add(1)).or(filter.from).unwrap_or(now + 1);
    let stream = Stream { api, next, account, token, ready: VecDeque::new(), durable, stopped };
    let body = Body::from_stream(futures_util::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.chunk().await?;
        Some((Ok::<Bytes, Infallible>(chunk), stream))
    }));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, body).into_response())
}

impl Stream {
    /// The next piece of the stream, or its end.
    async fn chunk(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if *self.stopped.borrow() {
                return None;
            }
            let durable = *self.durable.borrow_and_update();
            if self.next <= durable {
                self.read_page().await?;
                if self.ready.is_empty() {
                    // Nothing wanted on this page: a sign of life, so that a long search is not taken for a hang.
                    return Some(Bytes::from_static(ALIVE));
                }
                continue;
            }
            tokio::select! {
                changed = self.durable.changed() => changed.ok()?,
                changed = self.stopped.changed() => changed.ok()?,
                () = tokio::time::sleep(HEARTBEAT) => return Some(Bytes::from_static(ALIVE)),
            }
        }
    }

    /// Reads on; the stream ends if the log cannot be read.
    async fn read_page(&mut self) -> Option<()> {
        let (node, next) = (self.api.node.clone(), self.next);
        let entries = tokio::task::spawn_blocking(move || node.entries(next, PAGE)).await.ok()?.ok()?;
        self.next = entries.last()?.0 + 1;
        for (position, entry) in entries {
            if self.wants(&entry) {
                self.ready.push_back(encode(position, &entry)?);
            }
        }
        Some(())
    }

    fn wants(&self, entry: &Entry) -> bool {
        if self.account.is_none() && self.token.is_none() {
            return true;
        }
        let record = match entry {
            Entry::Accepted(record) => record,
            Entry::Equivocation(proof) => {
                return self.token.is_none() && self.account == Some(proof.account());
            }
            Entry::Genesis(_) | Entry::Checkpoint(_) => return false,
        };
        self.account.is_none_or(|account| concerns_account(record, account))
            && self.token.is_none_or(|token| concerns_token(record, token))
    }
}

fn concerns_account(record: &Accepted, account: AccountId) -> bool {
    record.accounts.iter().any(|state| state.account == account)
        || record.credits.iter().any(|credit| credit.to == account)
}

fn concerns_token(record: &Accepted, token: TokenId) -> bool {
    let named = record.signed.transition.operations.iter().any(|operation| match &operation.kind {
        OperationKind::Mint { token: named, .. }
        | OperationKind::Burn { token: named, .. }
        | OperationKind::Transfer { token: named, .. }
        | OperationKind::Hold { token: named, .. }
        | OperationKind::Invoke { token: named, .. } => *named == token,
        _ => false,
    });
    named
        || record.tokens.iter().any(|state| state.token == token)
        || record.credits.iter().any(|credit| credit.token == token)
        || record.holds.iter().any(|hold| hold.token == token)
}

fn encode(position: u64, entry: &Entry) -> Option<Bytes> {
    let entry = match entry {
        Entry::Genesis(genesis) => EntryView::Genesis(GenesisView::from(genesis)),
        Entry::Accepted(record) => EntryView::Transition(Box::new(TransitionView::new(position, record))),
        Entry::Checkpoint(signed) => EntryView::Checkpoint(CheckpointView::from(&**signed)),
        Entry::Equivocation(proof) => EntryView::Equivocation(EquivocationRef::from(&**proof)),
    };
    let word = entry.word();
    let data = serde_json::to_string(&LogEvent { position, entry }).ok()?;
    Some(Bytes::from(format!("id: {position}\nevent: {word}\ndata: {data}\n\n")))
}
