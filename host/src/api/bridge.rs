//! What is read of bridges and the outbox.

use super::Api;
use super::body::{Path, json};
use super::ledger::{Answer, Page, PageQuery, durable, id, paged, proof};
use super::problem::Failure;
use super::submit::blocking;
use crate::node::NodeError;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use dsm_abi::{BridgeId, TransitionId};
use dsm_core::{Ledger, OutboxError};
use dsm_sdk::api::{
    BridgeView, BridgesPage, ConsistencyView, LockView, OutboxEntryView, OutboxPage, OutboxPathView,
    OutboxProofView,
};
use serde::Deserialize;
use std::str::FromStr;

fn number<T: FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::malformed("an index or nonce is a decimal number"))
}

pub(super) async fn bridges(State(api): State<Api>, query: PageQuery) -> Answer {
    let page = Page::of(query)?;
    let (after, limit) = (page.after::<BridgeId>()?, page.limit());
    let (found, time_ms) = durable(&api, |ledger| {
        let found = ledger.bridges_after(after).take(limit + 1).map(|(_, state)| BridgeView::from(&**state));
        (found.collect::<Vec<_>>(), ledger.time_ms())
    })
    .await?;
    let (bridges, next) = paged(found, limit, |last| last.bridge);
    json(&BridgesPage { bridges, next, time_ms })
}

pub(super) async fn bridge(State(api): State<Api>, Path(text): Path<String>) -> Answer {
    let id: BridgeId = id(&text)?;
    let view = durable(&api, |ledger| ledger.bridge_state(&id).map(BridgeView::from)).await?;
    json(&view.ok_or_else(|| Failure::not_found("bridge"))?)
}

pub(super) async fn lock(State(api): State<Api>, Path((bridge, nonce)): Path<(String, String)>) -> Answer {
    let (bridge, nonce): (BridgeId, u64) = (id(&bridge)?, number(&nonce)?);
    let view = durable(&api, |ledger| {
        let trust = ledger.bridge_state(&bridge)?.config.trust();
        Some(LockView::new(bridge, nonce, trust, ledger.lock_use(&bridge, nonce), ledger.time_ms()))
    })
    .await?;
    json(&view.ok_or_else(|| Failure::not_found("bridge"))?)
}

/// Which entries of the outbox are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    from: Option<u64>,
    limit: Option<usize>,
    transition: Option<String>,
}

type EntriesQuery = Result<Query<Entries>, axum::extract::rejection::QueryRejection>;

pub(super) async fn outbox(State(api): State<Api>, query: EntriesQuery) -> Answer {
    let Query(asked) = query.map_err(|error| Failure::malformed(error.body_text()))?;
    let transition = asked.transition.as_deref().map(id::<TransitionId>).transpose()?;
    let (from, limit) = (asked.from.unwrap_or(0), Page::limited(asked.limit));
    let view = |ledger: &Ledger| {
        let (outbox, network) = (ledger.outbox(), ledger.network());
        let found: Vec<_> = match transition {
            None => outbox.entries_from(from).take(limit + 1).collect(),
            Some(transition) => {
                let made = outbox.entries_of(&transition).skip_while(|entry| entry.index < from);
                made.take(limit + 1).collect()
            }
        };
        let more = found.get(limit).map(|entry| entry.index);
        OutboxPage {
            entries: found.iter().take(limit).map(|entry| OutboxEntryView::new(network, entry)).collect(),
            next: more,
            size: outbox.size(),
            root: outbox.root(),
            time_ms: ledger.time_ms(),
        }
    };
    json(&durable(&api, view).await?)
}

pub(super) async fn entry(State(api): State<Api>, Path(text): Path<String>) -> Answer {
    let index: u64 = number(&text)?;
    let view = |ledger: &Ledger| {
        ledger.outbox().entry(index).map(|entry| OutboxEntryView::new(ledger.network(), entry))
    };
    json(&durable(&api, view).await?.ok_or_else(|| Failure::not_found("outbox entry"))?)
}

pub(super) async fn prove(State(api): State<Api>, Path(text): Path<String>, headers: HeaderMap) -> Answer {
    let index: u64 = number(&text)?;
    let shown = blocking(move || api.node.prove_outbox(index)).await??;
    proof::<_, OutboxProofView>(&headers, &shown)
}

/// The size of the outbox that a path belongs to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    size: u64,
}

type SizeQuery = Result<Query<Size>, axum::extract::rejection::QueryRejection>;

pub(super) async fn path(State(api): State<Api>, Path(text): Path<String>, query: SizeQuery) -> Answer {
    let index: u64 = number(&text)?;
    let Query(Size { size }) = query.map_err(|error| Failure::malformed(error.body_text()))?;
    let view = durable(&api, |ledger| {
        let outbox = ledger.outbox();
        let missing = || OutboxError::Index { index, size: outbox.size() };
        let entry = outbox.entry(index).ok_or_else(missing)?;
        Ok(OutboxPathView {
            siblings: outbox.prove(index, size)?,
            root: outbox.root_at(size)?,
            entry: OutboxEntryView::new(ledger.network(), entry),
            size,
        })
    })
    .await?;
    json(&view.map_err(NodeError::Outbox)?)
}

/// Two sizes of the outbox.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    from: u64,
    to: u64,
}

type SizesQuery = Result<Query<Sizes>, axum::extract::rejection::QueryRejection>;

pub(super) async fn consistency(State(api): State<Api>, query: SizesQuery) -> Answer {
    let Query(Sizes { from, to }) = query.map_err(|error| Failure::malformed(error.body_text()))?;
    let view = durable(&api, |ledger| {
        let outbox = ledger.outbox();
        let hashes = outbox.prove_consistency(from, to)?;
        let (from_root, to_root) = (outbox.root_at(from)?, outbox.root_at(to)?);
        Ok(ConsistencyView { from, to, from_root, to_root, hashes })
    })
    .await?;
    json(&view.map_err(NodeError::Outbox)?)
}
