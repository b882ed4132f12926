//! A JSON-RPC client of the node behind the proxies, and of the proxies in tests.

use serde_json::{Value, json};
use std::time::Duration;

/// Bytes of an answer: a block full of logs, with room.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long an answer may take: anvil answers at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// Nobody answers, or not in HTTP.
    #[error("{url}: {reason}")]
    Unreachable {
        /// Who should answer.
        url: String,
        /// What the transport says.
        reason: String,
    },
    /// The node answers with an error.
    #[error("{method}: {error}")]
    Refused {
        /// What was called.
        method: String,
        /// The error as the node gave it.
        error: Value,
    },
    /// The answer is not what was expected.
    #[error("{0}")]
    Unexpected(String),
}

/// One endpoint.
#[derive(Debug, Clone)]
pub struct Rpc {
    url: String,
    agent: ureq::Agent,
}

impl Rpc {
    /// Speaks to this URL.
    pub fn new(url: &str) -> Rpc {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_idle_connections(0)
            .build();
        Rpc { url: url.to_owned(), agent: config.into() }
    }

    /// Where it speaks to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts these bytes; the answer's bytes, whatever its status.
    ///
    /// # Errors
    /// [`RpcError::Unreachable`].
    pub fn post(&self, body: &[u8]) -> Result<Vec<u8>, RpcError> {
        let unreachable =
            |error: ureq::Error| RpcError::Unreachable { url: self.url.clone(), reason: error.to_string() };
        let request = self.agent.post(&self.url).content_type("application/json");
        let mut response = request.send(body).map_err(unreachable)?;
        response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`RpcError`].
    pub fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.post(request.to_string().as_bytes())?;
        let mut answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| RpcError::Unexpected(format!("{method}: not JSON: {error}")))?;
        match answer.get("error") {
            Some(error) if !error.is_null() => {
                Err(RpcError::Refused { method: method.to_owned(), error: error.clone() })
            }
            _ => Ok(answer["result"].take()),
        }
    }
}
