//! A proxy that lies: what a poisoned endpoint does to whoever believes it, one lie at a time, switched while it runs.

use crate::header::{bytes, hex_of, quantity};
use crate::rpc::Rpc;
use crate::serve::{Manner, Reply, Server};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many blocks a stale head is behind.
const STALE_BLOCKS: u64 = 5;
/// The other chain.
const OTHER_CHAIN: &str = "0x1";

/// What the liar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The truth, as the node behind tells it.
    None,
    /// Logs of locks that never were: each true one again with other numbers, or one of its own if there is none.
    InventedLogs,
    /// Storage, in answers and in proofs, has a value where there is none.
    InventedStorage,
    /// A byte of a node of each proof is another one; which one changes from answer to answer.
    AlteredProof,
    /// The last node of each proof is left out.
    TruncatedProof,
    /// Proofs have no nodes.
    EmptyProof,
    /// The chain ended five blocks ago.
    StaleHead,
    /// Another chain's id.
    OtherChain,
    /// Every result is null.
    Null,
    /// The connection ends in the middle of each answer.
    Half,
    /// Each answer is whole for HTTP, and half for JSON.
    HalfJson,
    /// Too many requests, always.
    TooMany,
    /// Megabytes of white space before each answer.
    Huge,
    /// Each answer comes at two bytes a second.
    Slow,
    /// Headers with another state root under the old hash.
    OtherHeader,
    /// Headers under another hash.
    OtherHash,
    /// Headers with the same seals, in a list that is too short.
    FewSeals,
    /// Every transaction failed.
    RevertedReceipts,
    /// Every log was removed by a reorganisation.
    RemovedLogs,
    /// There are no logs.
    NoLogs,
    /// An error for every call.
    Errors,
    /// A web page.
    NotJson,
    /// The connection ends before any answer.
    Closed,
    /// A whole chain of its own: another node answers, with the same chain id and other validators.
    OtherNode,
}

impl Lie {
    /// All of them; the truth is none.
    pub const ALL: [Lie; 23] = [
        Lie::InventedLogs,
        Lie::InventedStorage,
        Lie::AlteredProof,
        Lie::TruncatedProof,
        Lie::EmptyProof,
        Lie::StaleHead,
        Lie::OtherChain,
        Lie::Null,
        Lie::Half,
        Lie::HalfJson,
        Lie::TooMany,
        Lie::Huge,
        Lie::Slow,
        Lie::OtherHeader,
        Lie::OtherHash,
        Lie::FewSeals,
        Lie::RevertedReceipts,
        Lie::RemovedLogs,
        Lie::NoLogs,
        Lie::Errors,
        Lie::NotJson,
        Lie::Closed,
        Lie::OtherNode,
    ];
}

/// What the liar says now, and what it needs for it.
struct State {
    lie: Lie,
    invented: Option<Value>,
    other: Option<Rpc>,
}

/// A running liar; it ends when it is dropped.
pub struct Liar {
    state: Arc<Mutex<State>>,
    told: Arc<AtomicU64>,
    server: Server,
}

impl Liar {
    /// Stands in front of the endpoint at `upstream` and tells the truth until told otherwise.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(upstream: &str) -> std::io::Result<Liar> {
        let upstream = Rpc::new(upstream);
        let state = Arc::new(Mutex::new(State { lie: Lie::None, invented: None, other: None }));
        let told = Arc::new(AtomicU64::new(0));
        let (saying, counting) = (state.clone(), told.clone());
        let handler = move |body: &[u8]| {
            let (lie, invented, other) = {
                let state = saying.lock();
                (state.lie, state.invented.clone(), state.other.clone())
            };
            let upstream = other.as_ref().filter(|_| lie == Lie::OtherNode).unwrap_or(&upstream);
            answer(upstream, lie, invented.as_ref(), &counting, body)
        };
        let server = Server::listen("127.0.0.1:0", Arc::new(handler))?;
        Ok(Liar { state, told, server })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Says this from now on.
    pub fn tell(&self, lie: Lie) {
        self.state.lock().lie = lie;
        self.told.store(0, Ordering::SeqCst);
    }

    /// How many answers were lies since it was told what to say.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }

    /// A log for [`Lie::InventedLogs`], as JSON-RPC has it.
    pub fn invent(&self, log: Value) {
        self.state.lock().invented = Some(log);
    }

    /// Who answers under [`Lie::OtherNode`].
    pub fn other_node(&self, url: &str) {
        self.state.lock().other = Some(Rpc::new(url));
    }
}

fn answer(upstream: &Rpc, lie: Lie, invented: Option<&Value>, told: &AtomicU64, body: &[u8]) -> Reply {
    let count = || told.fetch_add(1, Ordering::SeqCst);
    let transport = |manner, status, body: Vec<u8>| {
        count();
        Reply { status, body, manner }
    };
    match lie {
        Lie::TooMany => return transport(Manner::Whole, 429, br#"{"error":"too many requests"}"#.to_vec()),
        Lie::NotJson => return transport(Manner::Whole, 200, b"<html>It works!</html>".to_vec()),
        Lie::Closed => return transport(Manner::Close, 200, Vec::new()),
        _ => {}
    }
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return Reply::json(b"{}".to_vec()) };
    let reply = match &request {
        Value::Array(requests) => {
            let each = requests.iter().map(|request| one(upstream, lie, invented, &count, request));
            each.collect::<Option<Vec<Value>>>().map(Value::Array)
        }
        request => one(upstream, lie, invented, &count, request),
    };
    let Some(reply) = reply else {
        return Reply { status: 502, body: Vec::new(), manner: Manner::Whole };
    };
    let body = reply.to_string().into_bytes();
    match lie {
        Lie::Half => transport(Manner::Half, 200, body),
        Lie::HalfJson => transport(Manner::Whole, 200, body[..body.len() / 2].to_vec()),
        Lie::Huge => transport(Manner::Endless, 200, body),
        Lie::Slow => transport(Manner::Drip, 200, body),
        _ => Reply::json(body),
    }
}

/// The answer to one request; nothing if the node behind does not answer.
fn one(
    upstream: &Rpc,
    lie: Lie,
    invented: Option<&Value>,
    count: &dyn Fn() -> u64,
    request: &Value,
) -> Option<Value> {
    let id = request["id"].clone();
    let method = request["method"].as_str().unwrap_or_default();
    let mut params = request["params"].clone();
    if lie == Lie::Errors {
        count();
        return Some(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": "busy" } }));
    }
    if lie == Lie::StaleHead
        && let Some(latest) = stale(upstream)
    {
        for param in params.as_array_mut().into_iter().flatten() {
            if param.as_str().is_some_and(|tag| ["latest", "safe", "finalized", "pending"].contains(&tag)) {
                *param = json!(latest);
                count();
            }
        }
    }
    let mut result = match upstream.call(method, params) {
        Ok(result) => result,
        Err(crate::RpcError::Refused { error, .. }) => {
            return Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        }
        Err(_) => return None,
    };
    let truth = result.clone();
    distort(upstream, lie, invented, count, method, &mut result);
    if result != truth || lie == Lie::OtherNode {
        count();
    }
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

fn stale(upstream: &Rpc) -> Option<String> {
    let head = quantity(&upstream.call("eth_blockNumber", json!([])).ok()?)?;
    Some(format!("{:#x}", head.saturating_sub(STALE_BLOCKS)))
}

fn distort(
    upstream: &Rpc,
    lie: Lie,
    invented: Option<&Value>,
    count: &dyn Fn() -> u64,
    method: &str,
    result: &mut Value,
) {
    match (lie, method) {
        (Lie::Null, _) => *result = Value::Null,
        (Lie::OtherChain, "eth_chainId") => *result = json!(OTHER_CHAIN),
        (Lie::OtherChain, "net_version") => *result = json!("1"),
        (Lie::StaleHead, "eth_blockNumber") => {
            if let Some(latest) = stale(upstream) {
                *result = json!(latest);
            }
        }
        (Lie::InventedLogs, "eth_getLogs") => invent_logs(invented, result),
        (Lie::RemovedLogs, "eth_getLogs") => {
            for log in result.as_array_mut().into_iter().flatten() {
                log["removed"] = json!(true);
            }
        }
        (Lie::NoLogs, "eth_getLogs") => *result = json!([]),
        (Lie::RevertedReceipts, "eth_getTransactionReceipt") if result.is_object() => {
            result["status"] = json!("0x0");
            result["logs"] = json!([]);
        }
        (Lie::InventedStorage, "eth_getStorageAt") => *result = json!(hex_of(&[0x5a; 32])),
        (Lie::InventedStorage, "eth_getProof") => {
            for slot in result["storageProof"].as_array_mut().into_iter().flatten() {
                slot["value"] = json!(hex_of(&[0x5a; 32]));
            }
        }
        (Lie::AlteredProof, "eth_getProof") => {
            let seed = count();
            each_proof(result, |nodes| flip(nodes, seed));
        }
        (Lie::TruncatedProof, "eth_getProof") => each_proof(result, |nodes| drop(nodes.pop())),
        (Lie::EmptyProof, "eth_getProof") => each_proof(result, Vec::clear),
        (_, "eth_getBlockByNumber" | "eth_getBlockByHash") if result.is_object() => match lie {
            Lie::OtherHeader => result["stateRoot"] = json!(hex_of(&[0x5a; 32])),
            Lie::OtherHash => result["hash"] = json!(hex_of(&[0x5a; 32])),
            Lie::FewSeals => {
                // The list of seals loses what it says it has: the bytes are cut off.
                let extra = bytes(&result["extraData"]).unwrap_or_default();
                result["extraData"] = json!(hex_of(&extra[..extra.len().saturating_sub(66)]));
            }
            _ => {}
        },
        _ => {}
    }
}

/// Each log again with numbers that nobody locked; without one, the invented one.
fn invent_logs(invented: Option<&Value>, result: &mut Value) {
    let Some(logs) = result.as_array_mut() else { return };
    let mut more: Vec<Value> = logs.clone();
    for log in &mut more {
        for at in 1..log["topics"].as_array().map_or(0, Vec::len) {
            if let Some(mut word) = bytes(&log["topics"][at])
                && let Some(last) = word.last_mut()
            {
                *last = last.wrapping_add(0x40);
                log["topics"][at] = json!(hex_of(&word));
            }
        }
    }
    if more.is_empty() {
        more.extend(invented.cloned());
    }
    logs.extend(more);
}

fn each_proof(result: &mut Value, mut change: impl FnMut(&mut Vec<Value>)) {
    if let Some(nodes) = result["accountProof"].as_array_mut() {
        change(nodes);
    }
    for slot in result["storageProof"].as_array_mut().into_iter().flatten() {
        if let Some(nodes) = slot["proof"].as_array_mut() {
            change(nodes);
        }
    }
}

/// Flips one bit of one node.
fn flip(nodes: &mut [Value], seed: u64) {
    let Some(at) = (seed as usize).checked_rem(nodes.len()) else { return };
    let Some(mut node) = bytes(&nodes[at]) else { return };
    let Some(byte) = (seed as usize * 31).checked_rem(node.len()) else { return };
    node[byte] ^= 1 << (seed % 8);
    nodes[at] = json!(hex_of(&node));
}
