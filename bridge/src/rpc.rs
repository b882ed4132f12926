//! EVM JSON-RPC over HTTP: the only module that knows it. Endpoints are couriers that may lie, stall and disagree.
//!
//! Every answer has a limit in bytes and in time, is checked for version, id and shape, and is used only for what it
//! proves. An endpoint that fails rests for a while that doubles; one that contradicts itself or a proof rests longer,
//! and the status says why. `null` is "unknown", never "absent".
//!
//! Left out on purpose: TLS (put a terminating proxy beside the bridge, or use a node on its network), subscriptions,
//! retries inside a call (the relayer comes back by itself), and every method that the bridge does not need.

mod block;
mod chain;
mod json;

pub use chain::{EndpointView, FinalityMode, Finding, RpcEvm};

use parking_lot::Mutex;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::tls::TlsConfig;

/// Bytes of an answer: a page of logs; a proof has some kilobytes, a block without transactions one.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Where Debian and its images keep the authorities that they trust.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Bytes of an error's text that are kept.
const REASON_CHARS_MAX: usize = 200;
/// Endpoints in a configuration.
pub(crate) const ENDPOINTS_MAX: usize = 16;
/// The longest rest of an endpoint that asked for one itself.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// How patient the bridge is with endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long one request may take in all.
    pub request: Duration,
    /// The first rest after a failure; each further one is twice as long.
    pub rest: Duration,
    /// The first rest after a contradiction.
    pub penalty: Duration,
    /// The longest rest.
    pub rest_max: Duration,
    /// How often an endpoint is asked again which chain it serves.
    pub identity: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            request: Duration::from_secs(10),
            rest: Duration::from_millis(500),
            penalty: Duration::from_secs(10),
            rest_max: Duration::from_secs(300),
            identity: Duration::from_secs(30),
        }
    }
}

/// Why one endpoint gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// No connection, or it broke, or time was up.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It asks for a pause.
    #[error("busy (HTTP {status})")]
    Busy {
        /// 429 or 503.
        status: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// An answer that is no JSON-RPC answer to this request.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// It says that it does not know, or says nothing.
    #[error("no answer: {0}")]
    Unknown(&'static str),
    /// A JSON-RPC error.
    #[error("error {code}: {message}")]
    Refused {
        /// The error's code.
        code: i64,
        /// Its text, shortened.
        message: String,
    },
    /// It contradicts itself, the configuration or a proof.
    #[error("contradiction: {0}")]
    Contradiction(String),
    /// It rests.
    #[error("resting: {0}")]
    Resting(String),
}

/// How one endpoint does.
#[derive(Debug, Default)]
struct Health {
    /// It is not asked before.
    rests_until: Option<Instant>,
    /// Why it rests.
    reason: String,
    /// Failures in a row.
    failures: u32,
    /// Contradictions since the start.
    contradictions: u32,
    /// When it last said which chain it serves.
    identified: Option<Instant>,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    url: String,
    /// Scheme, host and port: paths and queries of such URLs often hold keys.
    shown: String,
    agent: Agent,
    patience: Patience,
    next_id: AtomicU64,
    health: Mutex<Health>,
    asked: AtomicU64,
    failed: AtomicU64,
}

impl Endpoint {
    /// An endpoint at a URL such as `http://127.0.0.1:8545/key`.
    pub(crate) fn new(url: &str, patience: Patience) -> Result<Endpoint, String> {
        let shown = shown(url)?;
        let tls = if url.starts_with("https://") { authorities()? } else { TlsConfig::default() };
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(patience.request))
            .user_agent(concat!("dsm-bridge/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Endpoint {
            url: url.to_owned(),
            shown,
            agent,
            patience,
            next_id: AtomicU64::new(1),
            health: Mutex::default(),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// What people see of its URL.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Requests and how many of them failed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.asked.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Why it is not asked at present.
    pub(crate) fn resting(&self) -> Option<String> {
        let health = self.health.lock();
        health.rests_until.filter(|until| *until > Instant::now()).map(|_| health.reason.clone())
    }

    /// How often it was caught.
    pub(crate) fn contradictions(&self) -> u32 {
        self.health.lock().contradictions
    }

    /// Whether it has to say again which chain it serves.
    fn is_unidentified(&self) -> bool {
        let identified = self.health.lock().identified;
        identified.is_none_or(|when| when.elapsed() > self.patience.identity)
    }

    fn identified(&self) {
        self.health.lock().identified = Some(Instant::now());
    }

    /// One question. The caller judges the answer and says so with [`Endpoint::praise`] or [`Endpoint::blame`].
    pub(crate) fn ask(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        if let Some(reason) = self.resting() {
            return Err(RpcError::Resting(reason));
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.exchange(method, params)
    }

    /// A question was answered as it should be.
    pub(crate) fn praise(&self) {
        self.health.lock().failures = 0;
    }

    /// Lets the endpoint rest for what it did.
    pub(crate) fn blame(&self, error: &RpcError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut health = self.health.lock();
        let rest = match error {
            // It does not know this one thing; it may well know the next.
            RpcError::Unknown(_) | RpcError::Refused { .. } | RpcError::Resting(_) => return,
            RpcError::Busy { retry_after: Some(wait), .. } => (*wait).min(RETRY_AFTER_MAX),
            RpcError::Contradiction(_) => {
                health.contradictions = health.contradictions.saturating_add(1);
                health.identified = None;
                self.doubled(self.patience.penalty, health.contradictions - 1)
            }
            RpcError::Unreachable(_) | RpcError::Malformed(_) | RpcError::Busy { retry_after: None, .. } => {
                health.failures = health.failures.saturating_add(1);
                health.identified = None;
                self.doubled(self.patience.rest, health.failures - 1)
            }
        };
        tracing::warn!(endpoint = self.shown, %error, rest_ms = rest.as_millis() as u64, "an endpoint rests");
        health.rests_until = Some(Instant::now() + rest);
        health.reason = error.to_string();
    }

    fn doubled(&self, first: Duration, times: u32) -> Duration {
        first.saturating_mul(1 << times.min(16)).min(self.patience.rest_max)
    }

    fn exchange(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let unreachable = |error: ureq::Error| RpcError::Unreachable(short(&error.to_string()));
        let answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(request.to_string())
            .map_err(unreachable)?;
        let status = answer.status().as_u16();
        if status == 429 || status == 503 {
            let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let retry_after = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            return Err(RpcError::Busy { status, retry_after });
        }
        if status != 200 {
            return Err(RpcError::Malformed(format!("HTTP {status}")));
        }
        let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => RpcError::Malformed("longer than an answer may be".into()),
            other => unreachable(other),
        })?;
        let answer = serde_json::from_slice(&body)
            .map_err(|error| RpcError::Malformed(format!("no JSON: {}", short(&error.to_string()))))?;
        unwrap_answer(answer, id)
    }
}

/// The result inside an answer to the request `id`.
fn unwrap_answer(answer: Value, id: u64) -> Result<Value, RpcError> {
    let malformed = |reason: &str| RpcError::Malformed(reason.to_owned());
    let Value::Object(mut answer) = answer else { return Err(malformed("not an object")) };
    if answer.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(malformed("not JSON-RPC 2.0"));
    }
    if answer.get("id").and_then(Value::as_u64) != Some(id) {
        return Err(malformed("the id is another request's"));
    }
    match (answer.remove("result"), answer.remove("error")) {
        (Some(result), None | Some(Value::Null)) => Ok(result),
        (None, Some(error)) => {
            let code = error.get("code").and_then(Value::as_i64);
            let message = error.get("message").and_then(Value::as_str);
            let (Some(code), Some(message)) = (code, message) else {
                return Err(malformed("an error without code and message"));
            };
            // Contracts name their errors in `data`.
            let data = error.get("data").and_then(Value::as_str).unwrap_or_default();
            let message = if data.is_empty() { short(message) } else { short(&format!("{message} {data}")) };
            Err(RpcError::Refused { code, message })
        }
        (None, None) => Err(malformed("neither result nor error")),
        (Some(_), Some(_)) => Err(malformed("both result and error")),
    }
}

/// What a stranger wrote, without control characters and not too long.
fn short(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(REASON_CHARS_MAX).collect()
}

/// The certificate authorities that the system trusts, or those in the file that `SSL_CERT_FILE` names, as OpenSSL's
/// programs have it. An endpoint is believed nothing for its certificate: TLS keeps keys in URLs and who asks private.
fn authorities() -> Result<TlsConfig, String> {
    let file = std::env::var_os("SSL_CERT_FILE").unwrap_or_else(|| AUTHORITIES.into());
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", Path::new(&file).display());
    let pem = std::fs::read(&file).map_err(|error| failed(&error))?;
    dsm_link::trusting(&pem).map_err(|error| failed(&error))
}

/// Scheme, host and port of an endpoint's URL.
fn shown(url: &str) -> Result<String, String> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) | None => return Err("an endpoint is of the form http(s)://host:port[/path]".to_owned()),
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let plain = !host.is_empty() && url.bytes().all(|byte| byte.is_ascii_graphic());
    if plain {
        Ok(format!("{scheme}://{host}"))
    } else {
        Err("an endpoint's URL has a host and no spaces".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_urls_are_not_shown() {
        assert_eq!(
            shown("http://user:word@node.example:8545/v3/secret?key=1").unwrap(),
            "http://node.example:8545"
        );
        for wrong in ["", "node:8545", "https://", "ws://node", "http://", "http:///x", "http://a b"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn b11_only_a_whole_answer_to_this_request_counts() {
        let rows = [
            json!(null),
            json!([]),
            json!({}),
            json!({ "jsonrpc": "2.0", "id": 7 }),
            json!({ "jsonrpc": "2.0", "id": 8, "result": 1 }),
            json!({ "jsonrpc": "2.0", "id": "7", "result": 1 }),
            json!({ "jsonrpc": "2.0", "id": null, "result": 1 }),
            json!({ "jsonrpc": "1.0", "id": 7, "result": 1 }),
            json!({ "id": 7, "result": 1 }),
            json!({ "jsonrpc": "2.0", "id": 7, "error": {} }),
            json!({ "jsonrpc": "2.0", "id": 7, "error": null }),
            json!({ "jsonrpc": "2.0", "id": 7, "result": 1, "error": { "code": 1, "message": "both" } }),
        ];
        for row in rows {
            assert!(matches!(unwrap_answer(row.clone(), 7), Err(RpcError::Malformed(_))), "{row}");
        }
        assert_eq!(unwrap_answer(json!({ "jsonrpc": "2.0", "id": 7, "result": null }), 7), Ok(Value::Null));
        let refused = json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": 3, "message": "reverted", "data": "0x01" } });
        let refused = unwrap_answer(refused, 7);
        assert_eq!(refused, Err(RpcError::Refused { code: 3, message: "reverted 0x01".into() }));
    }
}
