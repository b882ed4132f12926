//! What is read: accounts, tokens, policies, transitions, proofs, and how the node does.

use super::Api;
use super::body::{Path, from_json, json, octets, read, typed, wants_octets};
use super::problem::Failure;
use super::submit::blocking;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use dsm_abi::{AccountId, CreditId, PolicyId, TokenId, TransitionId, encode};
use dsm_core::{Account, Bound, Ledger, Token};
use dsm_sdk::api::{
    AccountProofView, AccountSummary, AccountView, AccountsPage, Amount, AssetProofView, BalanceView,
    CacheView, CheckpointView, CreditView, EquivocationView, EquivocationsAnswer, FieldView, GenesisView,
    HealthView, Hex, HistoryItem, HistoryPage, HoldView, InboxPage, KeySetView, PoliciesPage, PolicyCid,
    PolicyInfo, PolicyStatePage, ReadyView, SignedTerms, StateEntry, StatusView, TokenInfo, TokenPolicyView,
    TokenProofView, TokenStateView, TokenSummary, TokensPage, TransitionView, ViewAnswer, ViewRequest,
    WaitingUpgrade, limit,
};
use dsm_sdk::package::parse_policy;
use serde::Deserialize;
use std::ops::Bound as Edge;
use std::str::FromStr;

pub(super) type Answer = Result<Response, Failure>;

/// Which part of a list is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    from: Option<u64>,
    limit: Option<usize>,
}

/// The query string of a list, or why it is none.
pub(super) type PageQuery = Result<Query<Page>, axum::extract::rejection::QueryRejection>;

impl Page {
    pub(super) fn of(query: PageQuery) -> Result<Page, Failure> {
        query.map(|Query(page)| page).map_err(|error| Failure::malformed(error.body_text()))
    }

    pub(super) fn limit(&self) -> usize {
        Page::limited(self.limit)
    }

    pub(super) fn limited(asked: Option<usize>) -> usize {
        asked.unwrap_or(limit::PAGE_ITEMS).clamp(1, limit::PAGE_ITEMS_MAX)
    }

    pub(super) fn after<T: FromStr>(&self) -> Result<Option<T>, Failure> {
        self.after.as_deref().map(|text| id(text)).transpose()
    }
}

pub(super) fn id<T: FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::malformed("an id is 64 lower-case hex digits"))
}

fn policy_id(text: &str) -> Result<PolicyId, Failure> {
    parse_policy(text)
        .ok_or_else(|| Failure::malformed("a policy is a CID of its document, or 64 hex digits"))
}

/// Reads the ledger and waits until what was read is durable.
pub(super) async fn durable<T>(api: &Api, ask: impl FnOnce(&Ledger) -> T) -> Result<T, Failure> {
    let (value, version) = api.node.read(ask);
    api.node.durable(version).await?;
    Ok(value)
}

/// Takes one more than a page holds, to know whether there is a next one.
pub(super) fn paged<T, N>(
    mut items: Vec<T>,
    limit: usize,
    last: impl FnOnce(&T) -> N,
) -> (Vec<T>, Option<N>) {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(last) } else { None };
    (items, next)
}

pub(super) async fn transition(
    State(api): State<Api>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let id: TransitionId = id(&text)?;
    let found = blocking(move || api.node.transition(&id)).await??;
    let (position, record) = found.ok_or_else(|| Failure::not_found("transition"))?;
    if wants_octets(&headers) {
        Ok(octets(encode(&record.signed)))
    } else {
        json(&TransitionView::new(position, &record))
    }
}

pub(super) async fn receipt(State(api): State<Api>, Path(text): Path<String>) -> Answer {
    let id: TransitionId = id(&text)?;
    let found = blocking(move || api.node.receipt(&id)).await??;
    json(&found.ok_or_else(|| Failure::not_found("transition"))?)
}

pub(super) async fn accounts(State(api): State<Api>, query: PageQuery) -> Answer {
    let page = Page::of(query)?;
    let (after, limit) = (page.after::<AccountId>()?, page.limit());
    let (found, time_ms) = durable(&api, |ledger| {
        let found = ledger.accounts_after(after).take(limit + 1).map(|(account, found)| AccountSummary {
            account: *account,
            height: found.state().height,
            head: found.head(),
            status: found.state().status,
        });
        (found.collect::<Vec<_>>(), ledger.time_ms())
    })
    .await?;
    let (accounts, next) = paged(found, limit, |last| last.account);
    json(&AccountsPage { accounts, next, time_ms })
}

pub(super) async fn account(State(api): State<Api>, Path(text): Path<String>) -> Answer {
    let id: AccountId = id(&text)?;
    let view = durable(&api, |ledger| ledger.account(&id).map(|found| account_view(ledger, found))).await?;
    json(&view.ok_or_else(|| Failure::not_found("account"))?)
}

fn account_view(ledger: &Ledger, found: &Account) -> AccountView {
    let (account, time_ms) = (found.state().account, ledger.time_ms());
    let balances = found.balances().iter().map(|(token, balance)| BalanceView {
        token: *token,
        balance: Amount(*balance),
        available: Amount(found.available(token, time_ms)),
        frozen: ledger.token(token).is_some_and(|token| token.is_frozen(&account)),
    });
    let holds = found.holds().values().filter(|hold| hold.is_live(time_ms)).map(HoldView::from);
    AccountView {
        account,
        head: found.head(),
        state: found.state().clone(),
        keys: KeySetView::from(&**found.keys()),
        balances: balances.collect(),
        holds: holds.collect(),
        time_ms,
    }
}

pub(super) async fn history(State(api): State<Api>, Path(text): Path<String>, query: PageQuery) -> Answer {
    let (account, page): (AccountId, Page) = (id(&text)?, Page::of(query)?);
    let height = api.node.read(|ledger| ledger.account(&account).map(|found| found.state().height)).0;
    let height = height.ok_or_else(|| Failure::not_found("account"))?;
    // Nothing stands above the head, however large the number asked for.
    let (from, limit) = (page.from.unwrap_or(0).min(height + 1), page.limit());
    let found = blocking(move || api.node.history(&account, from, limit + 1)).await??;
    let items = found.iter().zip(from..).map(|((position, record), height)| HistoryItem {
        height,
        transition: TransitionView::new(*position, record),
    });
    let (items, next) = paged(items.collect(), limit, |last| last.height + 1);
    json(&HistoryPage { items, next })
}

pub(super) async fn inbox(State(api): State<Api>, Path(text): Path<String>, query: PageQuery) -> Answer {
    let (account, page): (AccountId, Page) = (id(&text)?, Page::of(query)?);
    let (after, limit) = (page.after::<CreditId>()?, page.limit());
    let found = durable(&api, |ledger| {
        ledger.account(&account)?;
        let credits = ledger.inbox(account, after).take(limit + 1).map(CreditView::from);
        Some((credits.collect::<Vec<_>>(), ledger.time_ms()))
    })
    .await?;
    let (found, time_ms) = found.ok_or_else(|| Failure::not_found("account"))?;
    let (credits, next) = paged(found, limit, |last| last.credit);
    json(&InboxPage { credits, next, time_ms })
}

pub(super) async fn equivocations(State(api): State<Api>, Path(text): Path<String>) -> Answer {
    let account: AccountId = id(&text)?;
    if api.node.read(|ledger| ledger.account(&account).is_none()).0 {
        return Err(Failure::not_found("account"));
    }
    let found = blocking(move || api.node.equivocations(&account)).await??;
    json(&EquivocationsAnswer { equivocations: found.iter().map(EquivocationView::from).collect() })
}

pub(super) async fn tokens(State(api): State<Api>, query: PageQuery) -> Answer {
    let page = Page::of(query)?;
    let (after, limit) = (page.after::<TokenId>()?, page.limit());
    let (found, time_ms) = durable(&api, |ledger| {
        let found = ledger.tokens_after(after).take(limit + 1).map(|(token, found)| TokenSummary {
            token: *token,
            name: found.terms().name.clone(),
            symbol: found.terms().symbol.clone(),
            decimals: found.terms().decimals,
            issuer: found.terms().issuer,
            supply: Amount(found.state().supply),
        });
        (found.collect::<Vec<_>>(), ledger.time_ms())
    })
    .await?;
    let (tokens, next) = paged(found, limit, |last| last.token);
    json(&TokensPage { tokens, next, time_ms })
}

pub(super) async fn token(State(api): State<Api>, Path(text): Path<String>) -> Answer {
    let id: TokenId = id(&text)?;
    let view = durable(&api, |ledger| ledger.token(&id).map(|found| token_info(ledger, id, found))).await?;
    json(&view.ok_or_else(|| Failure::not_found("token"))?)
}

fn token_info(ledger: &Ledger, token: TokenId, found: &Token) -> TokenInfo {
    let terms = found.terms();
    let waiting = found.upgrades().iter().map(|(policy_index, upgrade)| WaitingUpgrade {
        policy_index: *policy_index,
        to: bound(ledger, &upgrade.to),
        due_ms: upgrade.due_ms,
    });
    TokenInfo {
        token,
        name: terms.name.clone(),
        symbol: terms.symbol.clone(),
        decimals: terms.decimals,
        issuer: terms.issuer,
        cap: terms.cap.map(Amount),
        salt: dsm_abi::Digest(terms.salt),
        policies: found.bound().iter().map(|one| bound(ledger, one)).collect(),
        upgrades: terms.upgrades,
        waiting: waiting.collect(),
        head: found.head(),
        state: TokenStateView::from(found.state()),
        time_ms: ledger.time_ms(),
    }
}

fn bound(ledger: &Ledger, bound: &Bound) -> TokenPolicyView {
    let description = ledger.policy(&bound.policy).map(|record| &record.description);
    let names = description.into_iter().flat_map(|description| &description.params);
    TokenPolicyView {
        policy: PolicyCid(bound.policy),
        name: description.map(|description| description.name.clone()).unwrap_or_default(),
        params: names
            .zip(&bound.params)
            .map(|(param, value)| dsm_abi::Field { name: param.name.clone(), value: value.clone() }.into())
            .collect(),
    }
}

pub(super) async fn view(
    State(api): State<Api>,
    Path((token, policy_index)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (token, policy_index): (TokenId, u8) = (id(&token)?, index(&policy_index)?);
    let (_, bytes) = read(request, 0, limit::JSON_BYTES_MAX).await?;
    let ViewRequest { query, args } = from_json(&bytes)?;
    let args: Vec<_> = args.into_iter().map(Into::into).collect();
    // What the policy reads must be durable before it is shown.
    let ((), version) = api.node.read(|_| ());
    let node = api.node.clone();
    let fields = blocking(move || node.view(&token, policy_index, query, args)).await??;
    let ((), seen) = api.node.read(|_| ());
    api.node.durable(version.max(seen)).await?;
    json(&ViewAnswer { fields: fields.into_iter().map(FieldView::from).collect() })
}

fn index(text: &str) -> Result<u8, Failure> {
    text.parse().map_err(|_| Failure::malformed("a policy index is a number from 0 to 255"))
}

pub(super) async fn policy_state(
    State(api): State<Api>,
    Path((token, policy_index)): Path<(String, String)>,
    query: PageQuery,
) -> Answer {
    let (token, policy_index): (TokenId, u8) = (id(&token)?, index(&policy_index)?);
    let page = Page::of(query)?;
    let after = page.after.as_deref().map(hex::decode).transpose();
    let after = after.map_err(|_| Failure::malformed("after is a key in pairs of hex digits"))?;
    let limit = page.limit();
    let found = durable(&api, |ledger| {
        let found = ledger.token(&token)?;
        let (bound, space) = (found.bound().get(usize::from(policy_index))?, found.space(policy_index)?);
        let start = after.map_or(Edge::Unbounded, Edge::Excluded);
        let behind = space.range((start, Edge::Unbounded)).take(limit + 1);
        let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| StateEntry {
            key: Hex(key.clone()),
            value: Hex(value.clone()),
        };
        let entries: Vec<StateEntry> = behind.map(entry).collect();
        Some((PolicyCid(bound.policy), found.head(), entries, ledger.time_ms()))
    })
    .await?;
    let (policy, head, entries, time_ms) = found.ok_or_else(|| Failure::not_found("policy of a token"))?;
    let (entries, next) = paged(entries, limit, |last| last.key.clone());
    json(&PolicyStatePage { policy, head, entries, next, time_ms })
}

pub(super) async fn policies(State(api): State<Api>, query: PageQuery) -> Answer {
    let page = Page::of(query)?;
    let after = page.after.as_deref().map(policy_id).transpose()?;
    let limit = page.limit();
    let (found, time_ms) = durable(&api, |ledger| {
        let behind = ledger.policies().filter(|record| after.is_none_or(|after| record.policy > after));
        (behind.take(limit + 1).map(PolicyInfo::from).collect::<Vec<_>>(), ledger.time_ms())
    })
    .await?;
    let (policies, next) = paged(found, limit, |last| last.policy);
    json(&PoliciesPage { policies, next, time_ms })
}

pub(super) async fn policy(State(api): State<Api>, Path(text): Path<String>) -> Answer {
    let id = policy_id(&text)?;
    let found = durable(&api, |ledger| ledger.policy(&id).map(PolicyInfo::from)).await?;
    let mut found = found.ok_or_else(|| Failure::not_found("published policy"))?;
    found.signed = api.node.shelf().document(&id).map(|document| SignedTerms {
        source: document.source,
        license: document.license,
        fuel_limit: document.fuel_limit,
    });
    json(&found)
}

pub(super) async fn package(State(api): State<Api>, Path(text): Path<String>) -> Answer {
    let id = policy_id(&text)?;
    let found = blocking(move || api.node.package(&id)).await??;
    Ok(octets(found.ok_or_else(|| Failure::not_found("package"))?))
}

/// A proof as bytes or as JSON.
pub(super) fn proof<P: borsh::BorshSerialize, V: serde::Serialize + for<'a> From<&'a P>>(
    headers: &HeaderMap,
    proof: &P,
) -> Answer {
    if wants_octets(headers) { Ok(octets(encode(proof))) } else { json(&V::from(proof)) }
}

pub(super) async fn prove_account(
    State(api): State<Api>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let account: AccountId = id(&text)?;
    let shown = blocking(move || api.node.prove_account(&account)).await??;
    proof::<_, AccountProofView>(&headers, &shown)
}

pub(super) async fn prove_asset(
    State(api): State<Api>,
    Path((account, token)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (account, token): (AccountId, TokenId) = (id(&account)?, id(&token)?);
    let shown = blocking(move || api.node.prove_asset(&account, &token)).await??;
    proof::<_, AssetProofView>(&headers, &shown)
}

pub(super) async fn prove_token(
    State(api): State<Api>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let token: TokenId = id(&text)?;
    let shown = blocking(move || api.node.prove_token(&token)).await??;
    proof::<_, TokenProofView>(&headers, &shown)
}

pub(super) async fn latest_checkpoint(State(api): State<Api>, headers: HeaderMap) -> Answer {
    let last = api.node.last_checkpoint().ok_or(crate::node::NodeError::NoCheckpoint)?;
    proof::<_, CheckpointView>(&headers, &last)
}

pub(super) async fn status(State(api): State<Api>) -> Answer {
    let status = api.node.status();
    let cache = api.node.shelf().cache_stats();
    json(&StatusView {
        network: GenesisView::from(api.node.genesis()),
        version: status.version.to_owned(),
        engine_profile: status.engine_profile,
        position: status.position,
        time_ms: status.time_ms,
        checkpoint_epoch: status.checkpoint_epoch,
        accounts: status.accounts as u64,
        tokens: status.tokens as u64,
        policies: status.policies as u64,
        waiting: status.waiting as u64,
        accepted: status.accepted,
        policy_cache: CacheView {
            modules: cache.modules as u64,
            hits: cache.hits,
            misses: cache.misses,
            evictions: cache.evictions,
        },
        uptime_s: status.uptime_s,
        storage_full: status.storage_full,
        stopped: status.stopped,
        replication: api.node.replication().and_then(|replication| replication.view()),
        audit: api.access.audit().map(super::audit::Audit::view),
    })
}

pub(super) async fn health() -> Answer {
    json(&HealthView { status: "alive".to_owned() })
}

pub(super) async fn ready(State(api): State<Api>) -> Answer {
    match api.node.ready() {
        Ok(()) => json(&ReadyView { status: "ready".to_owned() }),
        Err(error) => {
            let code = error.code();
            Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string()))
        }
    }
}

pub(super) async fn metrics(State(api): State<Api>) -> Answer {
    let text = super::metrics::text(&api.node, &api.http, &api.access);
    Ok(typed("application/openmetrics-text; version=1.0.0; charset=utf-8", text.into_bytes()))
}

pub(super) async fn openapi() -> Answer {
    json(&super::openapi::document())
}
