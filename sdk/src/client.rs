//! A blocking client of a node's HTTP API: one method for each route.
//!
//! Nothing that the node says is believed because it says so: whoever needs certainty decodes the canonical
//! bytes of a proof and verifies them under a key that it trusts. Every answer is bounded in size and time.
//!
//! Left out on purpose: a limit on the silence of an event stream (`ureq` limits bodies as a whole), retries (the caller knows what
//! may be repeated; submissions may).

use crate::api::{
    AccountProofView, AccountView, AccountsPage, AddPeerRequest, AssetProofView, BatchAnswer, BatchResult,
    BridgeView, BridgesPage, ChangedSettings, ChangedTopology, CheckpointView, ConfigRequest, ConfigView,
    ConsistencyView, EquivocationsAnswer, EvidenceRequest, FieldView, HealthView, Hex, HistoryPage,
    InboxPage, LockView, LogEvent, MatrixView, OutboxEntryView, OutboxPage, OutboxPathView, OutboxProofView,
    PeerRequest, PoliciesPage, PolicyCid, PolicyInfo, PolicyStatePage, Problem, ReadyView, StagedPolicy,
    StatusView, TokenInfo, TokenProofView, TokensPage, TopologyView, TransitionView, ViewAnswer, ViewRequest,
    limit,
};
use crate::receipt::{Durability, Receipt};
use dsm_abi::{AccountId, BridgeId, CreditId, Digest, PolicyId, TokenId, TransitionId, Value, encode};
use dsm_core::SignedTransition;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;
use ureq::http::{Response, header};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, RequestBuilder};

/// Bytes of an answer: a page of the largest transitions, decoded.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of one line of the event stream.
const EVENT_LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long a request may take in all, in ms: the node's own limit and the way there and back.
const REQUEST_MS_MAX: u64 = 60_000;
/// How long a connection may take to stand, in ms.
const CONNECT_MS_MAX: u64 = 5_000;

const OCTETS: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node could not be reached, or the connection broke. A submission may have been accepted all the same:
    /// submit the same bytes again.
    #[error("{url}: {reason}")]
    Unreachable {
        /// Where the node should be.
        url: String,
        /// What the transport says.
        reason: String,
    },
    /// The node refused.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The answer is not what this program understands.
    #[error("unexpected answer: {0}")]
    Protocol(String),
}

impl ClientError {
    /// The stable code: the node's, or `unreachable`, or `protocol`.
    pub fn code(&self) -> &str {
        match self {
            ClientError::Unreachable { .. } => "unreachable",
            ClientError::Problem(problem) => &problem.code,
            ClientError::Protocol(_) => "protocol",
        }
    }
}

/// Which records the event stream shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventFilter {
    /// The first position; without it the stream starts with what becomes durable from now on.
    pub from: Option<u64>,
    /// Only transitions that moved this account or made it a credit, and evidence that it signed two successors.
    pub account: Option<AccountId>,
    /// Only transitions that name this token, move its chain, or make credits or holds in it. A claim, release or
    /// execution names no token: follow the account for these.
    pub token: Option<TokenId>,
}

/// A client of one node.
#[derive(Clone)]
pub struct Client {
    base: String,
    agent: Agent,
    /// What the `Authorization` header says.
    authorization: Option<String>,
}

impl Client {
    /// A client of the node at `base_url`, such as `http://127.0.0.1:7545`. Connects when first used.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] if the URL is not `http://host[:port]`.
    pub fn new(base_url: &str) -> Result<Client, ClientError> {
        Client::open(base_url, "http://", None)
    }

    /// A client of the node at `base_url`, such as `https://node.example:7545`, over TLS. What it trusts, and with which
    /// cryptography, the caller says: `dsm_link::trusting` makes such a configuration from certificates in PEM.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] if the URL is not `https://host[:port]`.
    pub fn over_tls(base_url: &str, tls: TlsConfig) -> Result<Client, ClientError> {
        Client::open(base_url, "https://", Some(tls))
    }

    fn open(base_url: &str, scheme: &str, tls: Option<TlsConfig>) -> Result<Client, ClientError> {
        let base = base_url.trim_end_matches('/');
        let plain = base.strip_prefix(scheme).is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte))
        });
        if !plain {
            return Err(ClientError::Protocol(format!("{base_url} is not of the form {scheme}host:port")));
        }
        let agent = Agent::config_builder()
            .https_only(tls.is_some())
            .tls_config(tls.unwrap_or_default())
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(Duration::from_millis(CONNECT_MS_MAX)))
            .user_agent(concat!("dsm/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Client { base: base.to_owned(), agent, authorization: None })
    }

    /// The same client, who shows an API key or a bearer token with each request.
    #[must_use]
    pub fn with_credential(mut self, credential: &str) -> Client {
        self.authorization = Some(format!("Bearer {credential}"));
        self
    }

    /// Where the node is.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// Submits a transition and waits until it is durable. The same transition always gets the same receipt.
    ///
    /// # Errors
    /// [`ClientError`]; a refusal is a [`ClientError::Problem`].
    pub fn submit(&self, signed: &SignedTransition) -> Result<Receipt, ClientError> {
        self.submit_bytes(&encode(signed))
    }

    /// Submits the canonical bytes of a transition.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn submit_bytes(&self, signed: &[u8]) -> Result<Receipt, ClientError> {
        self.submit_bytes_at(signed, None)
    }

    /// Submits the canonical bytes of a transition and waits until it is durable as far as asked; without a level,
    /// as far as the node's configuration says.
    ///
    /// # Errors
    /// As [`Client::submit`]. With the code `not_replicated` the transition stands: the problem's `shortfall` carries
    /// its receipt.
    pub fn submit_bytes_at(&self, signed: &[u8], level: Option<Durability>) -> Result<Receipt, ClientError> {
        let query = level.map(|level| format!("?durability={level}")).unwrap_or_default();
        self.post(&format!("/v1/transitions{query}"), OCTETS, signed)
    }

    /// Submits at most [`limit::BATCH_ITEMS_MAX`] transitions; each is accepted or refused by itself.
    ///
    /// # Errors
    /// [`ClientError`] if the batch as a whole was refused.
    pub fn submit_batch(&self, signed: &[Vec<u8>]) -> Result<Vec<BatchResult>, ClientError> {
        let answer: BatchAnswer = self.post("/v1/transitions/batch", OCTETS, &encode(&signed))?;
        if answer.results.len() != signed.len() {
            return Err(ClientError::Protocol("a batch is answered item by item".to_owned()));
        }
        Ok(answer.results)
    }

    /// An accepted transition.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn transition(&self, transition: &TransitionId) -> Result<TransitionView, ClientError> {
        self.get(&format!("/v1/transitions/{transition}"))
    }

    /// The canonical bytes of an accepted transition.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Protocol`] if the bytes are another transition's.
    pub fn signed_transition(&self, transition: &TransitionId) -> Result<SignedTransition, ClientError> {
        let bytes = self.get_bytes(&format!("/v1/transitions/{transition}"))?;
        match SignedTransition::decode(&bytes) {
            Ok(signed) if signed.transition.id() == *transition => Ok(signed),
            Ok(_) | Err(_) => Err(ClientError::Protocol("these are not the transition's bytes".to_owned())),
        }
    }

    /// The receipt of an accepted transition.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn receipt(&self, transition: &TransitionId) -> Result<Receipt, ClientError> {
        self.get(&format!("/v1/transitions/{transition}/receipt"))
    }

    /// Some accounts, in order, after `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn accounts(&self, after: Option<AccountId>, limit: usize) -> Result<AccountsPage, ClientError> {
        self.get(&page("/v1/accounts", "after", after, limit))
    }

    /// An account at its head.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn account(&self, account: &AccountId) -> Result<AccountView, ClientError> {
        self.get(&format!("/v1/accounts/{account}"))
    }

    /// The moves of an account from `from_height` on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn history(
        &self,
        account: &AccountId,
        from_height: u64,
        limit: usize,
    ) -> Result<HistoryPage, ClientError> {
        self.get(&page(&format!("/v1/accounts/{account}/history"), "from", Some(from_height), limit))
    }

    /// The credits that wait for an account, after `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn inbox(
        &self,
        account: &AccountId,
        after: Option<CreditId>,
        limit: usize,
    ) -> Result<InboxPage, ClientError> {
        self.get(&page(&format!("/v1/accounts/{account}/inbox"), "after", after, limit))
    }

    /// The evidence of equivocation against an account.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn equivocations(&self, account: &AccountId) -> Result<EquivocationsAnswer, ClientError> {
        self.get(&format!("/v1/accounts/{account}/equivocations"))
    }

    /// Some tokens, in order, after `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn tokens(&self, after: Option<TokenId>, limit: usize) -> Result<TokensPage, ClientError> {
        self.get(&page("/v1/tokens", "after", after, limit))
    }

    /// A token at its head.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn token(&self, token: &TokenId) -> Result<TokenInfo, ClientError> {
        self.get(&format!("/v1/tokens/{token}"))
    }

    /// Some entries of what a policy of a token keeps, in the order of their keys, behind the key `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn policy_state(
        &self,
        token: &TokenId,
        policy_index: u8,
        after: Option<&Hex>,
        limit: usize,
    ) -> Result<PolicyStatePage, ClientError> {
        self.get(&page(&format!("/v1/tokens/{token}/policies/{policy_index}/state"), "after", after, limit))
    }

    /// Asks one of a token's policies.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn view(
        &self,
        token: &TokenId,
        policy_index: u8,
        query: &str,
        args: Vec<Value>,
    ) -> Result<Vec<FieldView>, ClientError> {
        let args = args.into_iter().map(Into::into).collect();
        let request = ViewRequest { query: query.to_owned(), args };
        let path = format!("/v1/tokens/{token}/policies/{policy_index}/view");
        let answer: ViewAnswer = self.post(&path, JSON, &json(&request)?)?;
        Ok(answer.fields)
    }

    /// Gives the node a policy's package, so that a transition can publish it.
    ///
    /// # Errors
    /// [`ClientError`]; what the static gate found stands in the problem's `findings`.
    pub fn stage(&self, package: &[u8]) -> Result<StagedPolicy, ClientError> {
        self.post("/v1/policies", OCTETS, package)
    }

    /// Some published policies, in order, after `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn policies(&self, after: Option<PolicyId>, limit: usize) -> Result<PoliciesPage, ClientError> {
        self.get(&page("/v1/policies", "after", after.map(PolicyCid), limit))
    }

    /// A published policy.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn policy(&self, policy: &PolicyId) -> Result<PolicyInfo, ClientError> {
        self.get(&format!("/v1/policies/{}", PolicyCid(*policy)))
    }

    /// The package of a policy that the node holds. The caller checks it: its bytes are content-addressed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn package(&self, policy: &PolicyId) -> Result<Vec<u8>, ClientError> {
        self.get_bytes(&format!("/v1/policies/{}/package", PolicyCid(*policy)))
    }

    /// The bytes of an evidence package about these transitions, under the node's last checkpoint. The caller verifies
    /// them: `dsm evidence verify`.
    ///
    /// # Errors
    /// [`ClientError`]; the code `not_checkpointed` if a transition is newer than the last checkpoint.
    pub fn evidence(&self, transitions: &[TransitionId], whole: bool) -> Result<Vec<u8>, ClientError> {
        let request = EvidenceRequest { transitions: transitions.to_vec(), whole };
        self.send("/v1/evidence", JSON, OCTETS, &json(&request)?)
    }

    /// A proof of an account's head at the last checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn prove_account(&self, account: &AccountId) -> Result<AccountProofView, ClientError> {
        self.get(&format!("/v1/proofs/accounts/{account}"))
    }

    /// A proof of an account's balance at the last checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn prove_asset(&self, account: &AccountId, token: &TokenId) -> Result<AssetProofView, ClientError> {
        self.get(&format!("/v1/proofs/accounts/{account}/assets/{token}"))
    }

    /// A proof of a token's head at the last checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn prove_token(&self, token: &TokenId) -> Result<TokenProofView, ClientError> {
        self.get(&format!("/v1/proofs/tokens/{token}"))
    }

    /// The last checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn latest_checkpoint(&self) -> Result<CheckpointView, ClientError> {
        self.get("/v1/checkpoints/latest")
    }

    /// Has the node take a checkpoint now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn take_checkpoint(&self) -> Result<CheckpointView, ClientError> {
        self.post("/v1/checkpoints", JSON, b"{}")
    }

    /// Some bridges, in order, after `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn bridges(&self, after: Option<BridgeId>, limit: usize) -> Result<BridgesPage, ClientError> {
        self.get(&page("/v1/bridges", "after", after, limit))
    }

    /// Where a bridge stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn bridge(&self, bridge: &BridgeId) -> Result<BridgeView, ClientError> {
        self.get(&format!("/v1/bridges/{bridge}"))
    }

    /// What became of a lock of a bridge.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn lock(&self, bridge: &BridgeId, nonce: u64) -> Result<LockView, ClientError> {
        self.get(&format!("/v1/bridges/{bridge}/locks/{nonce}"))
    }

    /// Some entries of the outbox from `from` on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn outbox(&self, from: u64, limit: usize) -> Result<OutboxPage, ClientError> {
        self.get(&page("/v1/outbox", "from", Some(from), limit))
    }

    /// The entries of the outbox that a transition made.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn outbox_of(&self, transition: &TransitionId) -> Result<OutboxPage, ClientError> {
        self.get(&format!("/v1/outbox?transition={transition}"))
    }

    /// An entry of the outbox.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn outbox_entry(&self, index: u64) -> Result<OutboxEntryView, ClientError> {
        self.get(&format!("/v1/outbox/{index}"))
    }

    /// A proof of an entry of the outbox at the last checkpoint, which must cover it.
    ///
    /// # Errors
    /// [`ClientError`]; the code `not_checkpointed` until a checkpoint covers the entry.
    pub fn prove_outbox(&self, index: u64) -> Result<OutboxProofView, ClientError> {
        self.get(&format!("/v1/outbox/{index}/proof"))
    }

    /// The way from an entry to the root of the outbox of `size` entries, such as the size of an accepted checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn outbox_path(&self, index: u64, size: u64) -> Result<OutboxPathView, ClientError> {
        self.get(&format!("/v1/outbox/{index}/path?size={size}"))
    }

    /// The hashes that show that the outbox of `to` entries continues that of `from`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn outbox_consistency(&self, from: u64, to: u64) -> Result<ConsistencyView, ClientError> {
        self.get(&format!("/v1/outbox/consistency?from={from}&to={to}"))
    }

    /// Who keeps the log besides the core node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn topology(&self) -> Result<TopologyView, ClientError> {
        self.get("/v1/topology")
    }

    /// Asks each storage node how far it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn topology_matrix(&self) -> Result<MatrixView, ClientError> {
        self.get("/v1/topology/matrix")
    }

    /// Adds a storage node, by its address and its ML-DSA-65 public key; without a key the core node must know it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn add_peer(&self, address: &str, key: Option<Vec<u8>>) -> Result<ChangedTopology, ClientError> {
        let request = AddPeerRequest { address: address.to_owned(), key: key.map(Hex) };
        self.post("/v1/topology/peers", JSON, &json(&request)?)
    }

    /// Removes a storage node; its log stays as it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn remove_peer(&self, node: Digest, force: bool) -> Result<ChangedTopology, ClientError> {
        self.post("/v1/topology/remove", JSON, &json(&PeerRequest { node, force })?)
    }

    /// Makes a storage node the primary, once it has the whole log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn promote(&self, node: Digest, force: bool) -> Result<ChangedTopology, ClientError> {
        self.post("/v1/topology/promote", JSON, &json(&PeerRequest { node, force })?)
    }

    /// The node's settings, each with where it came from.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn config(&self) -> Result<ConfigView, ClientError> {
        self.get("/v1/config")
    }

    /// Changes settings for good, and in force at once where that is possible. Keys and secrets are read again.
    ///
    /// # Errors
    /// [`ClientError`]; nothing was changed.
    pub fn set_config(&self, request: &ConfigRequest) -> Result<ChangedSettings, ClientError> {
        self.post("/v1/config", JSON, &json(request)?)
    }

    /// The canonical archive of everything durable now, to be read as it comes. Check it: only its end says that it is
    /// whole.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn backup(&self) -> Result<impl Read + use<>, ClientError> {
        let request = self.agent.get(format!("{}/v1/backup", self.base));
        let request =
            request.config().timeout_recv_response(Some(Duration::from_millis(REQUEST_MS_MAX))).build();
        let answer = self.signed_in(request.header(header::ACCEPT, OCTETS)).call();
        let answer = self.check(answer.map_err(|error| self.unreachable(&error))?)?;
        Ok(answer.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// How the node does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&self) -> Result<StatusView, ClientError> {
        self.get("/v1/status")
    }

    /// Whether the process answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn health(&self) -> Result<HealthView, ClientError> {
        self.get("/v1/health")
    }

    /// Whether the node accepts transitions; if not, the problem says why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ready(&self) -> Result<ReadyView, ClientError> {
        self.get("/v1/ready")
    }

    /// The node's metrics, as OpenMetrics text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn metrics(&self) -> Result<String, ClientError> {
        self.get_text("/metrics", "application/openmetrics-text")
    }

    /// The API's OpenAPI document, as JSON text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn openapi(&self) -> Result<String, ClientError> {
        self.get_text("/v1/openapi.json", JSON)
    }

    /// Follows the log: one item for each durable record, until the connection ends.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn events(&self, filter: &EventFilter) -> Result<Events, ClientError> {
        let mut query = Vec::new();
        query.extend(filter.from.map(|from| format!("from={from}")));
        query.extend(filter.account.map(|account| format!("account={account}")));
        query.extend(filter.token.map(|token| format!("token={token}")));
        let url = format!("{}/v1/events?{}", self.base, query.join("&"));
        let answer = self
            .agent
            .get(&url)
            .config()
            .timeout_recv_response(Some(Duration::from_millis(REQUEST_MS_MAX)))
            .build()
            .header(header::ACCEPT, "text/event-stream");
        let answer = self.signed_in(answer).call().map_err(|error| self.unreachable(&error))?;
        let answer = self.check(answer)?;
        let lines = BufReader::new(answer.into_body().into_with_config().limit(u64::MAX).reader());
        Ok(Events { base: self.base.clone(), lines: Box::new(lines), ended: false })
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let text = self.get_text(path, JSON)?;
        serde_json::from_str(&text).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    fn get_text(&self, path: &str, accept: &str) -> Result<String, ClientError> {
        let bytes = self.fetch(path, accept)?;
        String::from_utf8(bytes).map_err(|_| ClientError::Protocol("the answer is not UTF-8".to_owned()))
    }

    fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.fetch(path, OCTETS)
    }

    fn fetch(&self, path: &str, accept: &str) -> Result<Vec<u8>, ClientError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.config().timeout_global(Some(Duration::from_millis(REQUEST_MS_MAX))).build();
        let answer = self.signed_in(request.header(header::ACCEPT, accept)).call();
        self.read(answer.map_err(|error| self.unreachable(&error))?)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, kind: &str, body: &[u8]) -> Result<T, ClientError> {
        let bytes = self.send(path, kind, JSON, body)?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    fn send(&self, path: &str, kind: &str, accept: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.config().timeout_global(Some(Duration::from_millis(REQUEST_MS_MAX))).build();
        let request = request.header(header::ACCEPT, accept).header(header::CONTENT_TYPE, kind);
        let answer = self.signed_in(request).send(body);
        self.read(answer.map_err(|error| self.unreachable(&error))?)
    }

    fn signed_in<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        }
    }

    fn read(&self, answer: Response<Body>) -> Result<Vec<u8>, ClientError> {
        let answer = self.check(answer)?;
        let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        body.map_err(|error| self.unreachable(&error))
    }

    /// The answer, if it is one; else the problem that it states.
    fn check(&self, answer: Response<Body>) -> Result<Response<Body>, ClientError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.into_body().into_with_config().limit(limit::JSON_BYTES_MAX as u64).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(ClientError::Protocol(format!("HTTP {status} without a problem document"))),
        }
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> ClientError {
        ClientError::Unreachable { url: self.base.clone(), reason: error.to_string() }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The credential stays out of logs.
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

fn page<T: std::fmt::Display>(path: &str, name: &str, start: Option<T>, limit: usize) -> String {
    match start {
        Some(start) => format!("{path}?{name}={start}&limit={limit}"),
        None => format!("{path}?limit={limit}"),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(value).map_err(|error| ClientError::Protocol(error.to_string()))
}

/// The records of the event stream, in order. Ends when the node closes the stream or goes away: resume with
/// `from` one above the last position seen.
pub struct Events {
    base: String,
    lines: Box<dyn BufRead + Send>,
    ended: bool,
}

impl Iterator for Events {
    type Item = Result<LogEvent, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.next_event().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

impl Events {
    fn next_event(&mut self) -> Result<Option<LogEvent>, ClientError> {
        let mut data = Vec::new();
        loop {
            let Some(line) = self.next_line()? else { return Ok(None) };
            if line.is_empty() && !data.is_empty() {
                let event = serde_json::from_slice(&data);
                return event.map(Some).map_err(|error| ClientError::Protocol(error.to_string()));
            }
            if let Some(part) = line.strip_prefix(b"data:") {
                data.extend_from_slice(part.strip_prefix(b" ").unwrap_or(part));
            }
        }
    }

    /// One line without its end; `None` at the end of the stream.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.lines).take(EVENT_LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line).map_err(|error| ClientError::Unreachable {
            url: self.base.clone(),
            reason: error.to_string(),
        })?;
        match line.strip_suffix(b"\n") {
            Some(line) => Ok(Some(line.to_vec())),
            None if read as u64 == EVENT_LINE_BYTES_MAX => {
                Err(ClientError::Protocol("a line of the event stream is too long".to_owned()))
            }
            None => Ok(None),
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("base", &self.base).field("ended", &self.ended).finish_non_exhaustive()
    }
}
