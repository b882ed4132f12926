//! The door of the API: facts read off a request, the decision of `dsm-gateway`, headers for either outcome, the audit
//! log, the request's id.
//!
//! What a route needs stands in one `match` over the names of routes, so a new route must take a stand before it
//! compiles.

use super::audit::{Audit, Kind};
use super::body::unread;
use super::problem::Failure;
use super::routes::{Name, ROUTES};
use super::{Api, REQUEST_TIME_MAX};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use dsm_gateway::{
    Admitted, Class, Client, Facts, Gateway, GatewayConfig, GatewayError, KeyRing, Limits, Origins, Peers,
    Refused, Scope, Scopes, Told,
};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Characters of a request id that a client may choose: it stands in logs and answers.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// How long a browser may remember what a page may ask, in seconds.
const PREFLIGHT_AGE_S: u32 = 600;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What proxies set about whom they speak for, besides [`FORWARDED_FOR`].
const RELAYED: [HeaderName; 5] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

tokio::task_local! {
    /// The id of the request that this task answers.
    static REQUEST: Arc<str>;
}

/// The id of the request that is being answered here, for logs.
pub fn request_id() -> Option<Arc<str>> {
    REQUEST.try_with(Arc::clone).ok()
}

/// What a route needs and how it is counted. `None` is for what everybody may see.
pub(super) fn stand(name: Name) -> (Option<Scope>, Class) {
    use Class::{ChainRead, Default, Simulation};
    use Scope::{Admin, Events, Read, Simulate, Submit};
    match name {
        Name::Submit | Name::Batch | Name::Stage => (Some(Submit), Default),
        Name::Transition
        | Name::Receipt
        | Name::History
        | Name::Inbox
        | Name::Equivocations
        | Name::Refusals
        | Name::Refusal
        | Name::PolicyState
        | Name::Outbox
        | Name::OutboxEntry
        | Name::OutboxPath
        | Name::OutboxConsistency
        | Name::Evidence
        | Name::Matrix => (Some(Read), ChainRead),
        Name::Accounts
        | Name::Account
        | Name::Tokens
        | Name::Token
        | Name::Policies
        | Name::Policy
        | Name::Package
        | Name::ProveAccount
        | Name::ProveAsset
        | Name::ProveToken
        | Name::ProveOutbox
        | Name::Bridges
        | Name::Bridge
        | Name::Lock
        | Name::LatestCheckpoint
        | Name::Topology
        | Name::Status
        | Name::Metrics => (Some(Read), Default),
        Name::View => (Some(Simulate), Simulation),
        Name::Events | Name::TopologyEvents => (Some(Events), Class::Events),
        Name::Checkpoint
        | Name::AddPeer
        | Name::RemovePeer
        | Name::Promote
        | Name::Config
        | Name::SetConfig
        | Name::Backup => (Some(Admin), Default),
        Name::Health | Name::Ready | Name::OpenApi => (None, Default),
    }
}

/// Where the door's time comes from.
pub trait Watch: Send + Sync {
    /// Milliseconds that never run backwards, for limits.
    fn steady_ms(&self) -> u64;
    /// Milliseconds since the Unix epoch, for bearer tokens and the audit log.
    fn unix_ms(&self) -> u64;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemWatch(Instant);

impl Default for SystemWatch {
    fn default() -> SystemWatch {
        SystemWatch(Instant::now())
    }
}

impl Watch for SystemWatch {
    fn steady_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// How the door is kept.
#[derive(Debug)]
pub struct Rules {
    /// Who may do what, how often, from which page.
    pub gateway: GatewayConfig,
    /// The routes that are served, by the `operationId` of the OpenAPI document; all of them without a list. Health
    /// and readiness always are.
    pub methods: Option<BTreeSet<String>>,
}

impl Rules {
    /// Everybody may everything, as often as they like; fit for a loopback address alone.
    pub fn open() -> Rules {
        let gateway = GatewayConfig {
            anonymous: Scopes::ALL,
            keys: KeyRing::default(),
            tokens: None,
            origins: Origins::default(),
            proxies: Peers::default(),
            limits: Limits::NONE,
        };
        Rules { gateway, methods: None }
    }
}

/// Why a door is not kept as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// See [`GatewayError`].
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// No route has this name.
    #[error("no route is called {0:?}; the OpenAPI document has their names as operationId")]
    UnknownMethod(String),
}

impl AccessError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            AccessError::Gateway(error) => error.code(),
            AccessError::UnknownMethod(_) => "unknown_method",
        }
    }
}

/// The door. Clones share it.
#[derive(Clone)]
pub struct Access(Arc<Kept>);

struct Kept {
    listen: IpAddr,
    gateway: Mutex<Gateway>,
    methods: RwLock<Option<BTreeSet<Name>>>,
    routes: BTreeMap<(&'static str, &'static str), Name>,
    watch: Box<dyn Watch>,
    audit: Option<Audit>,
    refused: [AtomicU64; REFUSALS.len()],
    /// Ids of requests: a random beginning and a count.
    start: u64,
    count: AtomicU64,
}

/// The codes with which the door refuses.
const REFUSALS: [&str; 6] = [
    "origin_not_allowed",
    "no_credentials",
    "bad_credentials",
    "scope_missing",
    "rate_limited",
    "not_served",
];

impl Access {
    /// A door for an API that listens on `listen`.
    ///
    /// # Errors
    /// [`AccessError`]: other machines reach it and nobody could show who they are, or a route does not exist.
    pub fn new(
        rules: Rules,
        listen: IpAddr,
        watch: impl Watch + 'static,
        audit: Option<Audit>,
    ) -> Result<Access, AccessError> {
        let methods = names(rules.methods)?;
        let gateway = Gateway::new(rules.gateway, listen)?;
        let mut start = [0; 8];
        // Ids only have to differ from those of other starts; without randomness the time has to do.
        if dsm_crypto::fill_random(&mut start).is_err() {
            start = watch.unix_ms().to_le_bytes();
        }
        let operations = ROUTES.iter().flat_map(|route| route.operations.iter().map(|one| (route.path, one)));
        Ok(Access(Arc::new(Kept {
            listen,
            gateway: Mutex::new(gateway),
            methods: RwLock::new(methods),
            routes: operations.map(|(path, one)| ((path, one.method), one.name)).collect(),
            watch: Box::new(watch),
            audit,
            refused: Default::default(),
            start: u64::from_le_bytes(start),
            count: AtomicU64::new(0),
        })))
    }

    /// A door without rules, for a loopback address.
    pub fn open() -> Access {
        Access::new(Rules::open(), Ipv4Addr::LOCALHOST.into(), SystemWatch::default(), None)
            .expect("loopback addresses need no secret")
    }

    /// Keeps the door by other rules from now on; what was asked in the last minute still counts.
    ///
    /// # Errors
    /// As [`Access::new`]; the old rules stay.
    pub fn configure(&self, rules: Rules) -> Result<(), AccessError> {
        let methods = names(rules.methods)?;
        self.0.gateway.lock().configure(rules.gateway, self.0.listen)?;
        *self.0.methods.write() = methods;
        Ok(())
    }

    /// The audit log, if there is one.
    pub fn audit(&self) -> Option<&Audit> {
        self.0.audit.as_ref()
    }

    /// Whether many clients may come from this address: this machine, or a proxy that was named.
    pub(super) fn brings_many(&self, address: IpAddr) -> bool {
        address.to_canonical().is_loopback() || self.0.gateway.lock().is_proxy(address)
    }

    /// Requests that the door refused, by code.
    pub(super) fn refused(&self) -> Vec<(&'static str, &AtomicU64)> {
        REFUSALS.into_iter().zip(&self.0.refused).collect()
    }

    fn is_served(&self, name: Name) -> bool {
        matches!(name, Name::Health | Name::Ready)
            || self.0.methods.read().as_ref().is_none_or(|names| names.contains(&name))
    }

    /// The client's id for its request, if it can stand in a log line, or a new one.
    fn request_id(&self, headers: &HeaderMap) -> Arc<str> {
        let plain = |id: &&str| {
            !id.is_empty()
                && id.len() <= REQUEST_ID_CHARS_MAX
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        match headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain) {
            Some(id) => Arc::from(id),
            None => {
                let count = self.0.count.fetch_add(1, Ordering::Relaxed);
                Arc::from(format!("{:016x}-{count:x}", self.0.start))
            }
        }
    }

    fn decide(&self, asked: &Asked, headers: &HeaderMap) -> (Client, Result<Admitted, Refused>) {
        let forwarded = headers.get_all(FORWARDED_FOR);
        // A header that is no text names nobody.
        let forwarded: Vec<&str> = forwarded.iter().map(|value| value.to_str().unwrap_or("?")).collect();
        let (needs, class) = asked.stand;
        let facts = Facts {
            peer: asked.peer,
            forwarded_for: &forwarded,
            relayed: !forwarded.is_empty() || RELAYED.iter().any(|name| headers.contains_key(name)),
            origin: only(headers, &header::ORIGIN),
            host: only(headers, &header::HOST),
            authorization: only(headers, &header::AUTHORIZATION),
            api_key: only(headers, &API_KEY),
            needs,
            class,
        };
        let now_s = self.0.watch.unix_ms() / 1000;
        self.0.gateway.lock().decide(&facts, self.0.watch.steady_ms(), now_s)
    }
}

fn names(methods: Option<BTreeSet<String>>) -> Result<Option<BTreeSet<Name>>, AccessError> {
    let find = |word: String| {
        let mut all = ROUTES.iter().flat_map(|route| route.operations).map(|one| one.name);
        all.find(|name| format!("{name:?}").eq_ignore_ascii_case(&word))
            .ok_or(AccessError::UnknownMethod(word))
    };
    methods.map(|words| words.into_iter().map(find).collect()).transpose()
}

/// The header's value; one that is no text, or stands twice, is an empty one, which counts for nothing.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { "" } else { first.to_str().unwrap_or("") })
}

/// The address at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, super::listen::Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, super::listen::Door>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// What is asked, without who asks.
struct Asked {
    peer: IpAddr,
    method: Method,
    path: String,
    /// The pattern that the path matches.
    matched: Option<MatchedPath>,
    name: Option<Name>,
    stand: (Option<Scope>, Class),
    /// A browser asks whether a page may ask.
    preflight: bool,
}

impl Asked {
    fn of(access: &Access, request: &Request) -> Asked {
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        // Nobody serves without saying where from; an address that is never trusted is the safe answer.
        let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(Peer(address))| address.ip());
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let preflight = method == Method::OPTIONS
            && request.headers().contains_key(header::ORIGIN)
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let word = match method {
            Method::GET | Method::HEAD => "get",
            Method::POST => "post",
            _ => "",
        };
        let name = matched.as_ref().and_then(|path| access.0.routes.get(&(path.as_str(), word)).copied());
        let stand = match name {
            Some(name) => stand(name),
            // The node's page, no route at all, or not this method: everybody may be told.
            None => (None, Class::Default),
        };
        let path = request.uri().path().to_owned();
        Asked { peer, method, path, matched, name, stand, preflight }
    }

    /// Whether the audit log tells it whatever comes of it.
    fn is_told(&self) -> bool {
        matches!(self.stand.0, Some(Scope::Submit | Scope::Admin))
    }

    /// What a page may do here.
    fn methods(&self) -> String {
        let path = self.matched.as_ref().map(MatchedPath::as_str);
        let route = ROUTES.iter().find(|route| Some(route.path) == path);
        let methods = route.map(|route| route.operations.iter().map(|one| one.method.to_ascii_uppercase()));
        methods.map(|methods| methods.collect::<Vec<_>>().join(", ")).unwrap_or_default()
    }
}

/// Lets in who may, bounds how many requests run and how long, and counts and tells what came of them.
pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = api.access.request_id(request.headers());
    REQUEST.scope(Arc::clone(&id), answer(api, request, next, id)).await
}

async fn answer(api: Api, request: Request, next: Next, id: Arc<str>) -> Response {
    let start = Instant::now();
    let asked = Asked::of(&api.access, &request);
    let mut origin = request.headers().get(header::ORIGIN).cloned();
    let (client, decided) = api.access.decide(&asked, request.headers());
    let mut kind = if asked.is_told() { Kind::Told } else { Kind::Passed };
    let mut answer = match decided {
        Err(refused) => {
            kind = Kind::Refused;
            // A page that may not ask is not even allowed to read that.
            origin = origin.filter(|_| refused != Refused::Origin);
            refusal(&refused)
        }
        Ok(admitted) => {
            let mut answer = if asked.preflight {
                preflight(&asked)
            } else if asked.name.is_some_and(|name| !api.access.is_served(name)) {
                kind = Kind::Refused;
                Failure::new(StatusCode::FORBIDDEN, "not_served", "this node does not serve this route")
                    .into_response()
            } else if let Err(wait) = check_line(&api, &asked) {
                // Like refusals of the door these come in floods.
                kind = Kind::Refused;
                api.http.turned_away(start.elapsed());
                unread(request, Failure::long_line(wait).into_response())
            } else {
                run(&api, request, next).await
            };
            if let Some(limit) = admitted.limit {
                rate(answer.headers_mut(), limit, admitted.remaining);
            }
            answer
        }
    };
    if let Some(origin) = origin {
        let expose = "retry-after, ratelimit-limit, ratelimit-remaining, x-request-id";
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(expose));
    }
    let taken = start.elapsed();
    api.http.observe(answer.status(), taken);
    tell(&api.access, &asked, &client, kind, &id, taken, &answer);
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    answer
}

/// Whether the node's line has a place, for a request that submits.
fn check_line(api: &Api, asked: &Asked) -> Result<(), Duration> {
    if matches!(asked.name, Some(Name::Submit | Name::Batch)) { api.node.check_line() } else { Ok(()) }
}

/// Runs the handler, if there is a place, for as long as a request may take.
async fn run(api: &Api, request: Request, next: Next) -> Response {
    let Ok(_slot) = api.slots.try_acquire() else {
        let failure = Failure::overloaded(1000, "too many requests are being answered");
        return unread(request, failure.into_response());
    };
    match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            Failure::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long").into_response()
        }
    }
}

/// Counts, logs and audits what came of a request.
fn tell(
    access: &Access,
    asked: &Asked,
    client: &Client,
    kind: Kind,
    id: &str,
    taken: Duration,
    answer: &Response,
) {
    let status = answer.status().as_u16();
    let code = answer.extensions().get::<Code>().map(|Code(code)| code.clone());
    if kind == Kind::Refused
        && let Some(index) = REFUSALS.iter().position(|one| code.as_deref() == Some(one))
    {
        access.0.refused[index].fetch_add(1, Ordering::Relaxed);
    }
    tracing::debug!(
        client = %client,
        method = %asked.method,
        path = asked.path,
        status,
        code,
        micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    if let Some(audit) = &access.0.audit
        && kind != Kind::Passed
    {
        let told = Told {
            time_ms: access.0.watch.unix_ms(),
            request: id.to_owned(),
            client: client.to_string(),
            method: asked.method.to_string(),
            path: shortened(&asked.path),
            status,
            code,
            times: 1,
        };
        audit.tell(kind, told);
    }
}

/// A path as the audit log has it: strangers choose it, so only so much of it is kept.
fn shortened(path: &str) -> String {
    const CHARS_MAX: usize = 200;
    path.chars().take(CHARS_MAX).collect()
}

/// The stable code of an answer, beside its body.
#[derive(Debug, Clone)]
pub(super) struct Code(pub(super) String);

fn refusal(refused: &Refused) -> Response {
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::FORBIDDEN);
    let mut failure = Failure::new(status, refused.code(), refused.to_string());
    if let Refused::TooMany { retry_after_ms, .. } = refused {
        failure.0.retry_after_ms = Some(*retry_after_ms);
    }
    let mut answer = failure.into_response();
    let challenge = match refused {
        Refused::NoCredentials(_) => Some("Bearer realm=\"dsm\"".to_owned()),
        Refused::BadCredentials(_) => Some("Bearer realm=\"dsm\", error=\"invalid_token\"".to_owned()),
        Refused::Forbidden(scope) => {
            Some(format!("Bearer realm=\"dsm\", error=\"insufficient_scope\", scope=\"{scope}\""))
        }
        Refused::TooMany { limit, .. } => {
            rate(answer.headers_mut(), *limit, 0);
            None
        }
        Refused::Origin => None,
    };
    if let Some(challenge) = challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

fn rate(headers: &mut HeaderMap, limit: u32, remaining: u32) {
    headers.insert(RATE_LIMIT, HeaderValue::from(limit));
    headers.insert(RATE_REMAINING, HeaderValue::from(remaining));
}

fn preflight(asked: &Asked) -> Response {
    let allowed = "accept, authorization, content-type, last-event-id, x-api-key, x-request-id";
    let mut answer = StatusCode::NO_CONTENT.into_response();
    let headers = answer.headers_mut();
    if let Ok(methods) = HeaderValue::from_str(&asked.methods()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(PREFLIGHT_AGE_S));
    answer
}
