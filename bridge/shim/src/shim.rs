//! The proxy that reseals: everything passes through to anvil, and comes back as a chain of test validators has it.

use crate::chain::{Chain, Lists, Seals};
use crate::header::{hex_of, quantity};
use crate::rpc::{Rpc, RpcError};
use crate::serve::{Reply, Server};
use crate::validator::TestValidator;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the shim calls itself, whoever asks.
const NAME: &str = concat!("dsm-qbft-shim/", env!("CARGO_PKG_VERSION"), " (test validators, not a chain)");
/// Validators of a set: as the bridge has them at most.
const VALIDATORS_MAX: usize = 64;

/// What the shim pretends.
#[derive(Debug, Clone)]
pub struct ShimConfig {
    /// Where to listen; port 0 picks a free one.
    pub listen: String,
    /// The numbers of the test validators of the first set.
    pub validators: Vec<u32>,
    /// How many of them seal a block.
    pub seals: Seals,
    /// Whether headers list them.
    pub lists: Lists,
}

impl Default for ShimConfig {
    /// Four validators on a free port of loopback, three seals a block, lists in headers.
    fn default() -> ShimConfig {
        ShimConfig {
            listen: "127.0.0.1:0".into(),
            validators: vec![0, 1, 2, 3],
            seals: Seals::Quorum,
            lists: Lists::Headers,
        }
    }
}

/// A running shim; it ends when it is dropped.
pub struct Shim {
    chain: Arc<Mutex<Chain>>,
    server: Server,
}

impl Shim {
    /// Stands in front of the node at `upstream`.
    ///
    /// # Errors
    /// If it cannot listen, or its upstream does not answer.
    pub fn start(upstream: &str, config: ShimConfig) -> Result<Shim, RpcError> {
        let upstream = Rpc::new(upstream);
        let mut chain = Chain::new(upstream.clone(), config.validators, config.seals, config.lists);
        chain.follow()?;
        let chain = Arc::new(Mutex::new(chain));
        let answering = chain.clone();
        let handler = move |body: &[u8]| Reply::json(answer(&upstream, &answering, body));
        let server = Server::listen(&config.listen, Arc::new(handler))
            .map_err(|error| RpcError::Unexpected(format!("{}: {error}", config.listen)))?;
        Ok(Shim { chain, server })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A client of it.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(&self.url())
    }

    /// The addresses that seal a block, ascending.
    pub fn validators(&self, number: u64) -> Vec<[u8; 20]> {
        addresses(&self.chain.lock().set_at(number))
    }

    /// Changes the set from the next block on; the number of that block.
    ///
    /// # Errors
    /// [`RpcError`] of the node behind.
    pub fn rotate(&self, validators: Vec<u32>) -> Result<u64, RpcError> {
        self.chain.lock().rotate(validators)
    }

    /// Changes how many seals blocks have from the next one on.
    ///
    /// # Errors
    /// [`RpcError`] of the node behind.
    pub fn set_seals(&self, seals: Seals) -> Result<(), RpcError> {
        self.chain.lock().set_seals(seals)
    }

    /// The header of a block, RLP with seals in place.
    ///
    /// # Errors
    /// [`RpcError`] of the node behind, or if there is no such block.
    pub fn header(&self, number: u64) -> Result<Vec<u8>, RpcError> {
        self.chain.lock().header(number)
    }

    /// A second sealed header of the same height: equivocation.
    ///
    /// # Errors
    /// As [`Shim::header`].
    pub fn twin(&self, number: u64) -> Result<Vec<u8>, RpcError> {
        self.chain.lock().twin(number)
    }
}

fn addresses(validators: &[u32]) -> Vec<[u8; 20]> {
    let mut found: Vec<[u8; 20]> =
        validators.iter().map(|number| TestValidator::new(*number).address()).collect();
    found.sort_unstable();
    found
}

/// Answers one request or a batch.
fn answer(upstream: &Rpc, chain: &Mutex<Chain>, body: &[u8]) -> Vec<u8> {
    let answer = match serde_json::from_slice(body) {
        Ok(Value::Array(requests)) => {
            Value::Array(requests.into_iter().map(|request| one(upstream, chain, request)).collect())
        }
        Ok(request) => one(upstream, chain, request),
        Err(error) => failed(&Value::Null, -32700, &error.to_string()),
    };
    answer.to_string().into_bytes()
}

fn failed(id: &Value, code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

fn one(upstream: &Rpc, chain: &Mutex<Chain>, mut request: Value) -> Value {
    let id = request["id"].clone();
    let method = request["method"].as_str().unwrap_or_default().to_owned();
    let result = match own(chain, &method, &request["params"]) {
        Some(result) => result,
        None => {
            chain.lock().unsealed(&mut request["params"]);
            upstream.call(&method, request["params"].take()).and_then(|mut result| {
                chain.lock().resealed(&mut result)?;
                Ok(result)
            })
        }
    };
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(RpcError::Refused { error, .. }) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
        Err(error) => failed(&id, -32603, &error.to_string()),
    }
}

/// What the shim answers itself.
fn own(chain: &Mutex<Chain>, method: &str, params: &Value) -> Option<Result<Value, RpcError>> {
    let number = || quantity(&params[0]).ok_or_else(|| RpcError::Unexpected("expected [\"0x…\"]".into()));
    Some(match method {
        "web3_clientVersion" => Ok(json!(NAME)),
        "shim_validators" => number().map(|number| {
            let set = addresses(&chain.lock().set_at(number));
            json!({ "note": NAME, "validators": set.iter().map(|one| hex_of(one)).collect::<Vec<_>>() })
        }),
        "shim_header" => number().and_then(|number| Ok(json!(hex_of(&chain.lock().header(number)?)))),
        "shim_twin" => number().and_then(|number| Ok(json!(hex_of(&chain.lock().twin(number)?)))),
        "shim_rotate" => {
            let numbers = params[0].as_array().into_iter().flatten().map(|one| one.as_u64()?.try_into().ok());
            let numbers: Option<Vec<u32>> = numbers.collect();
            match numbers.filter(|set| (1..=VALIDATORS_MAX).contains(&set.len())) {
                Some(set) => chain.lock().rotate(set).map(|from| json!(format!("{from:#x}"))),
                None => Err(RpcError::Unexpected("expected [[numbers of validators]]".into())),
            }
        }
        _ => return None,
    })
}
