//! B11: endpoints that lie, against a small server in this process. Whatever one of them says, either the truth of the
//! other comes out, or nothing does.
#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

use dsm_bridge::prove::{self, Trust};
use dsm_bridge::rpc::{FinalityMode, Patience, RpcEvm};
use dsm_bridge::{Address, Bridge, Evm as _, EvmError, Header, OpenError, ServiceConfig, Word};
use dsm_core::{BridgeConfig, Finality};
use dsm_crypto::Secp256k1Key;
use dsm_evm_proof::{
    EMPTY_OMMERS, ExtraData, Lock, LockKind, QbftHeader, keccak256, lock_storage_key, rlp, word,
};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const CHAIN: u64 = 138;
const CONTRACT: Address = [0xcc; 20];
const HEIGHT: u64 = 1000;
const TIME_S: u64 = 1_800_000_000;

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn key(number: u8) -> Secp256k1Key {
    let mut bytes = [0; 32];
    bytes[31] = number;
    Secp256k1Key::from_secret_bytes(&bytes).unwrap()
}

fn validators() -> Vec<Address> {
    (1..=4).map(|number| key(number).address()).collect()
}

fn lock(amount: u128) -> Lock {
    Lock {
        nonce: 0,
        kind: LockKind::Native,
        asset: [0; 20],
        sender: [0x5e; 20],
        token: [0x70; 32],
        recipient: [0xac; 32],
        amount,
        deadline_s: TIME_S + 7200,
    }
}

/// A trie of one leaf: its root and its only node.
fn trie(key: &[u8], value: &[u8]) -> (Word, Vec<u8>) {
    let mut path = vec![0x20];
    path.extend(keccak256(&[key]));
    let node = rlp::write_list(|leaf| _ = leaf.bytes(&path).bytes(value));
    (keccak256(&[&node]), node)
}

fn string(content: &[u8]) -> Vec<u8> {
    let list = rlp::write_list(|list| _ = list.bytes(content));
    list[if list.len() > 56 { 2 } else { 1 }..].to_vec()
}

/// A chain whose contract holds one lock, as an honest endpoint tells it.
#[derive(Clone)]
struct Chain {
    block: Value,
    log: Value,
    proof: Value,
}

impl Chain {
    fn new(lock: &Lock, height: u64, seals: u8) -> Chain {
        let slot = lock_storage_key(0, &[0; 32]);
        let commitment = lock.commitment(CHAIN, &CONTRACT);
        let (storage_root, storage) = trie(&slot, &string(&commitment));
        let account = rlp::write_list(|account| {
            account.number(1).number(0).bytes(&storage_root).bytes(&[0xcd; 32]);
        });
        let (state_root, account) = trie(&CONTRACT, &account);
        let header = dsm_evm_proof::Header {
            parent_hash: [1; 32],
            ommers_hash: EMPTY_OMMERS,
            beneficiary: [2; 20],
            state_root,
            transactions_root: [3; 32],
            receipts_root: [4; 32],
            logs_bloom: Box::new([0; 256]),
            difficulty: 1,
            number: height,
            gas_limit: 30_000_000,
            gas_used: 21_000,
            timestamp: TIME_S,
            extra_data: Vec::new(),
            mix_hash: [0; 32],
            nonce: [0; 8],
            base_fee: Some(7),
            withdrawals_root: None,
            blob_gas: None,
            parent_beacon_root: None,
            requests_hash: None,
        };
        let extra =
            ExtraData { vanity: [0; 32], validators: validators(), vote: None, round: 1, seals: Vec::new() };
        let header = QbftHeader::build(header, extra);
        let seals = (1..=seals).map(|number| key(number).sign_prehash(&header.commit_hash())).collect();
        let header = header.with_seals(seals);
        let fields = header.header();
        let block = json!({
            "hash": hex0x(&header.block_hash()),
            "parentHash": hex0x(&fields.parent_hash),
            "sha3Uncles": hex0x(&fields.ommers_hash),
            "miner": hex0x(&fields.beneficiary),
            "stateRoot": hex0x(&fields.state_root),
            "transactionsRoot": hex0x(&fields.transactions_root),
            "receiptsRoot": hex0x(&fields.receipts_root),
            "logsBloom": hex0x(fields.logs_bloom.as_slice()),
            "difficulty": "0x1",
            "number": format!("{height:#x}"),
            "gasLimit": format!("{:#x}", fields.gas_limit),
            "gasUsed": format!("{:#x}", fields.gas_used),
            "timestamp": format!("{:#x}", fields.timestamp),
            "extraData": hex0x(&fields.extra_data),
            "mixHash": hex0x(&fields.mix_hash),
            "nonce": hex0x(&fields.nonce),
            "baseFeePerGas": "0x7",
        });
        let event = "Locked(uint256,bytes32,bytes32,uint8,address,address,uint256,uint64,bytes32)";
        let mut sender = [0; 32];
        sender[12..].copy_from_slice(&lock.sender);
        let data = [word(1), [0; 32], sender, word(lock.amount), word(lock.deadline_s.into()), commitment];
        let log = json!({
            "address": hex0x(&CONTRACT),
            "topics": [
                hex0x(&keccak256(&[event.as_bytes()])), hex0x(&word(0)), hex0x(&lock.token), hex0x(&lock.recipient)
            ],
            "data": hex0x(data.as_flattened()),
            "blockNumber": format!("{height:#x}"),
            "transactionHash": hex0x(&[9; 32]),
            "removed": false,
        });
        let proof = json!({
            "address": hex0x(&CONTRACT),
            "accountProof": [hex0x(&account)],
            "storageProof": [{ "key": hex0x(&slot), "value": "0x1", "proof": [hex0x(&storage)] }],
        });
        Chain { block, log, proof }
    }

    fn answer(&self, method: &str) -> Value {
        match method {
            "eth_chainId" => json!(format!("{CHAIN:#x}")),
            "eth_blockNumber" => self.block["number"].clone(),
            "eth_getBlockByNumber" => self.block.clone(),
            "eth_getLogs" => json!([self.log]),
            "eth_getProof" => self.proof.clone(),
            other => panic!("nobody asks for {other}"),
        }
    }
}

/// What an endpoint does instead of answering truly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    InventedLock,
    OtherLog,
    TwoLogs,
    AlteredProof,
    ProofOfOther,
    EmptyProof,
    HalfProof,
    StaleHead,
    OtherChainId,
    UnsealedHead,
    HeaderHash,
    StateRoot,
    Null,
    HalfAnswer,
    TooMany,
    Unavailable,
    Huge,
    Slow,
    WrongId,
    Garbage,
    Empty,
    Error,
    Redirect,
    Silence,
}

const LIES: [Lie; 24] = [
    Lie::InventedLock,
    Lie::OtherLog,
    Lie::TwoLogs,
    Lie::AlteredProof,
    Lie::ProofOfOther,
    Lie::EmptyProof,
    Lie::HalfProof,
    Lie::StaleHead,
    Lie::OtherChainId,
    Lie::UnsealedHead,
    Lie::HeaderHash,
    Lie::StateRoot,
    Lie::Null,
    Lie::HalfAnswer,
    Lie::TooMany,
    Lie::Unavailable,
    Lie::Huge,
    Lie::Slow,
    Lie::WrongId,
    Lie::Garbage,
    Lie::Empty,
    Lie::Error,
    Lie::Redirect,
    Lie::Silence,
];

/// The bytes with which an endpoint answers; none at all for silence.
fn lie(lie: Lie, method: &str, id: &Value) -> Option<Vec<u8>> {
    let truth = Chain::new(&lock(70), HEIGHT, 3);
    let invented = Chain::new(&lock(1_000_000), HEIGHT, 3);
    let mut result = truth.answer(method);
    let mut id = id.clone();
    let mut status = "200 OK";
    let mut extra = "";
    match (lie, method) {
        // The event of a lock that nobody made; the proof is the true one.
        (Lie::InventedLock, "eth_getLogs") => result = json!([invented.log]),
        (Lie::OtherLog, "eth_getLogs") => result[0]["topics"][1] = json!(hex0x(&word(5))),
        (Lie::TwoLogs, "eth_getLogs") => result = json!([truth.log, invented.log]),
        (Lie::AlteredProof, "eth_getProof") => {
            let node = result["storageProof"][0]["proof"][0].as_str().unwrap().to_owned();
            let last = if node.ends_with('0') { '1' } else { '0' };
            let altered = format!("{}{last}", &node[..node.len() - 1]);
            result["storageProof"][0]["proof"][0] = json!(altered);
        }
        // A sound proof under another state, with the event that fits it.
        (Lie::ProofOfOther, "eth_getProof") => result = invented.proof,
        (Lie::ProofOfOther, "eth_getLogs") => result = json!([invented.log]),
        (Lie::EmptyProof, "eth_getProof") => {
            result = json!({ "accountProof": [], "storageProof": [{ "proof": [] }] });
        }
        (Lie::HalfProof, "eth_getProof") => result["storageProof"][0]["proof"] = json!([]),
        (Lie::StaleHead, "eth_getBlockByNumber") => result = Chain::new(&lock(70), HEIGHT - 900, 3).block,
        (Lie::OtherChainId, "eth_chainId") => result = json!("0x1"),
        // A whole chain of one's own, sealed by two of four.
        (Lie::UnsealedHead, _) => result = Chain::new(&lock(1_000_000), HEIGHT + 5, 2).answer(method),
        (Lie::HeaderHash, "eth_getBlockByNumber") => result["hash"] = json!(hex0x(&[7; 32])),
        (Lie::StateRoot, "eth_getBlockByNumber") => result["stateRoot"] = invented.block["stateRoot"].clone(),
        (Lie::Null, _) if method != "eth_chainId" => result = Value::Null,
        (Lie::TooMany, _) => (status, extra) = ("429 Too Many Requests", "Retry-After: 1\r\n"),
        (Lie::Unavailable, _) => status = "503 Service Unavailable",
        (Lie::Redirect, _) => (status, extra) = ("302 Found", "Location: http://127.0.0.1:1/\r\n"),
        (Lie::WrongId, _) => id = json!(999_999),
        (Lie::Silence, _) => return None,
        _ => {}
    }
    let body = match lie {
        Lie::Garbage => b"<html>not here</html>".to_vec(),
        Lie::Empty => Vec::new(),
        Lie::Error => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": "no" } })
            .to_string()
            .into_bytes(),
        Lie::Huge => {
            let mut body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":\"").into_bytes();
            body.resize(5 << 20, b'0');
            body
        }
        _ => json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string().into_bytes(),
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{extra}\r\n");
    if lie == Lie::HalfAnswer {
        return Some([answer.as_bytes(), &body[..length / 2]].concat());
    }
    Some([answer.as_bytes(), &body].concat())
}

/// An endpoint on the loopback address.
struct Endpoint {
    kind: Lie,
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Endpoint {
    fn start(kind: Lie) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        let server = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                // A client that has gone is its own matter.
                std::thread::spawn(move || drop(serve(stream, kind)));
            }
        });
        Endpoint { kind, address, ended, server: Some(server) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

fn serve(mut stream: TcpStream, kind: Lie) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let body = loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if request.len() >= end + 4 + length {
            break request[end + 4..].to_vec();
        }
    };
    let request: Value = serde_json::from_slice(&body)?;
    if kind == Lie::Slow {
        // Until the client hangs up: slower than its patience, whatever that is.
        while stream.read(&mut buffer)? > 0 {}
    }
    if let Some(answer) = lie(kind, request["method"].as_str().unwrap(), &request["id"]) {
        stream.write_all(&answer)?;
    }
    Ok(())
}

fn terms() -> BridgeConfig {
    BridgeConfig {
        network: dsm_abi::NetworkId([0x4e; 32]),
        chain_id: CHAIN,
        contract: CONTRACT,
        outbox_slot: [0; 32],
        finality: Finality::Qbft {
            validators: validators(),
            height: 0,
            trusting_period_s: 0,
            clock_drift_s: 60,
        },
        salt: [0; 32],
    }
}

/// The EVM side over these endpoints. It waits for as long as an honest one can need on a machine that is busy with other
/// things, and a while for an endpoint of which a test knows that it never answers.
fn evm(endpoints: &[&Endpoint]) -> RpcEvm {
    let slow = endpoints.iter().any(|endpoint| endpoint.kind == Lie::Slow);
    let urls: Vec<String> = endpoints.iter().map(|endpoint| endpoint.url()).collect();
    let patience = Patience {
        request: Duration::from_secs(if slow { 10 } else { 60 }),
        rest: Duration::from_millis(1),
        penalty: Duration::from_secs(600),
        rest_max: Duration::from_secs(600),
        identity: Duration::from_secs(30),
    };
    RpcEvm::new(&urls, CHAIN, CONTRACT, FinalityMode::Sealed, 1, patience).unwrap()
}

/// What a relayer does with a lock: the newest believable header, a hint, the proof. A hint that was a lie names its
/// giver and is asked for again.
fn carry(evm: &RpcEvm) -> Result<(Header, Lock), String> {
    let trust = Trust::first(&terms(), TIME_S).unwrap();
    let (header, advances) = prove::newest(evm, &trust, TIME_S).map_err(|error| error.to_string())?;
    assert!(advances.is_empty());
    for _ in 0..=evm.sources() {
        let hint = evm.lock_hint(0, 0).map_err(|error| error.to_string())?.ok_or("no hint")?;
        match prove::prove_lock(evm, &terms(), &header, &hint.lock) {
            Ok(proof) => {
                let shown = proof.verify(&header.state_root, &CONTRACT, &[0; 32], CHAIN).unwrap();
                assert!(matches!(shown, dsm_evm_proof::Shown::Present(_)));
                return Ok((header, proof.lock));
            }
            Err(prove::ProveError::OtherLock { .. }) => evm.distrust(hint.source, "it invented a lock"),
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("nobody tells the truth".to_owned())
}

#[test]
fn b11_the_truth_of_one_endpoint_comes_out_whatever_the_other_says() {
    let honest = Endpoint::start(Lie::None);
    assert_eq!(carry(&evm(&[&honest])).unwrap().1, lock(70));
    for kind in LIES {
        let liar = Endpoint::start(kind);
        let evm = evm(&[&liar, &honest]);
        let carried = carry(&evm);
        let (header, found) = carried.unwrap_or_else(|reason| panic!("{kind:?}: {reason}"));
        assert_eq!((header.number, found), (HEIGHT, lock(70)), "{kind:?}");
    }
}

#[test]
fn b11_a_liar_alone_proves_nothing() {
    for kind in LIES {
        let liar = Endpoint::start(kind);
        match carry(&evm(&[&liar])) {
            // An old head is true, and only old: whoever is behind proves what was there by then.
            Ok((header, found)) => {
                assert_eq!((kind, header.number, found), (Lie::StaleHead, HEIGHT - 900, lock(70)));
            }
            Err(reason) => assert!(!reason.is_empty(), "{kind:?}"),
        }
    }
}

#[test]
fn b11_whoever_contradicts_is_named_and_rests() {
    let honest = Endpoint::start(Lie::None);
    let caught = [
        Lie::InventedLock,
        Lie::TwoLogs,
        Lie::AlteredProof,
        Lie::HalfProof,
        Lie::OtherChainId,
        Lie::UnsealedHead,
        Lie::HeaderHash,
        Lie::StateRoot,
    ];
    for kind in caught {
        let liar = Endpoint::start(kind);
        let evm = evm(&[&liar, &honest]);
        carry(&evm).unwrap();
        let view = &evm.views()[0];
        assert_eq!(view.contradictions, 1, "{kind:?}: {view:?}");
        assert!(
            view.resting.as_ref().is_some_and(|reason| reason.contains("contradiction")),
            "{kind:?}: {view:?}"
        );
        assert_eq!(evm.views()[1].contradictions, 0, "{kind:?}");
    }
}

#[test]
fn where_no_seals_decide_enough_endpoints_have_to_agree() {
    let honest = [Endpoint::start(Lie::None), Endpoint::start(Lie::None)];
    let liar = Endpoint::start(Lie::UnsealedHead);
    let urls = |endpoints: &[&Endpoint]| endpoints.iter().map(|one| one.url()).collect::<Vec<_>>();
    let open = |endpoints: &[&Endpoint], agreement| {
        let mode = FinalityMode::Confirmations(2);
        RpcEvm::new(&urls(endpoints), CHAIN, CONTRACT, mode, agreement, Patience::default())
    };
    // These blocks are QBFT's, so their hashes are not those of whole headers: nothing counts without seals.
    let outcome = open(&[&honest[0], &honest[1], &liar], 2).unwrap().newest();
    assert!(matches!(outcome, Err(EvmError::NoAnswer(_))), "{outcome:?}");
    assert!(open(&[&honest[0]], 2).is_err(), "two cannot agree where there is one");
    assert!(open(&[], 1).is_err());
}

/// Asks a service: the status and the body.
fn ask(address: SocketAddr, request: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn post(path: &str, token: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn config(folder: &std::path::Path, endpoint: &Endpoint) -> ServiceConfig {
    // Nobody listens on port 1: the core node is away.
    let mut config = ServiceConfig::new(folder, "http://127.0.0.1:1", terms());
    config.ethereum_rpc = vec![endpoint.url()];
    config.admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.admin_token = Some("0123456789abcdef".to_owned());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_another_chain_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(Lie::OtherChainId);
    match Bridge::open(config(folder.path(), &endpoint)).await {
        Err(error @ OpenError::OtherChain { expected: 138, got: 1, .. }) => {
            assert!(error.to_string().contains("chain 1,") && error.to_string().contains("chain 138"));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_answers_with_problems_that_have_codes_and_obeys_its_admin_alone() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(Lie::None);
    let bridge = Bridge::open(config(folder.path(), &endpoint)).await.unwrap();
    let (open, admin) = (bridge.local_addr(), bridge.admin_addr().unwrap());
    let token = "0123456789abcdef";
    let large = "0".repeat(2_000_000);
    let rows = [
        (open, get("/v1/health"), 200, ""),
        (open, get("/v1/ready"), 200, ""),
        (open, get("/v1/status"), 200, ""),
        (open, get("/v1/locks"), 200, ""),
        (open, get("/v1/locks/0"), 404, "not_found"),
        (open, get("/v1/locks/x"), 400, "malformed_request"),
        (open, get("/v1/locks?form=1"), 400, "malformed_request"),
        (open, get("/v1/outbox/0"), 404, "not_found"),
        (open, get("/v1/checkpoints"), 200, ""),
        (open, get("/v1/checkpoints/1"), 404, "not_found"),
        (open, get("/v1/transfers?state=seen"), 200, ""),
        (open, get("/v1/alarms"), 200, ""),
        (open, get("/v1/pause"), 404, "unknown_route"),
        (open, get("/v1/proofs/evm"), 405, "method_not_allowed"),
        (open, post("/v1/proofs/evm", "", "{\"proof\":\"00\"}"), 400, "malformed_bytes"),
        (open, post("/v1/proofs/evm", "", "{\"prof\":\"00\"}"), 400, "malformed_request"),
        (open, post("/v1/proofs/evm", "", "{"), 400, "malformed_request"),
        (open, post("/v1/withdrawals", "", "{\"signed\":\"00\"}"), 400, "malformed_bytes"),
        (open, post("/v1/attestations", "", "{\"checkpoint\":\"00\",\"set_id\":1}"), 400, "malformed_bytes"),
        (admin, post("/v1/pause", "", ""), 401, "unauthorized"),
        (admin, post("/v1/pause", "0123456789abcdeg", ""), 401, "unauthorized"),
        (admin, get("/v1/alarms"), 401, "unauthorized"),
        (admin, post("/v1/pause", token, ""), 200, ""),
        (open, get("/v1/ready"), 503, "paused"),
        (admin, post("/v1/resume", token, ""), 200, ""),
        (open, get("/v1/ready"), 200, ""),
        (admin, post("/v1/retry", token, ""), 200, ""),
        (admin, post("/v1/unfreeze", token, ""), 200, ""),
        (admin, post("/v1/mint", token, ""), 404, "unknown_route"),
    ];
    let asked = tokio::task::spawn_blocking(move || {
        for (address, request, status, code) in rows {
            let first = request.lines().next().unwrap().to_owned();
            let (found, body) = ask(address, &request);
            assert_eq!((found, body["code"].as_str().unwrap_or_default()), (status, code), "{first}: {body}");
        }
        let declared = format!(
            "POST /v1/proofs/evm HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            large.len()
        );
        assert_eq!(ask(open, &declared).0, 413);
        let (_, status) = ask(open, &get("/v1/status"));
        assert_eq!((status["trust_level"].as_str(), status["chain_id"].as_u64()), (Some("qbft"), Some(138)));
    });
    asked.await.unwrap();
    bridge.close().await;
    // The same folder belongs to the same bridge for good.
    let mut other = config(folder.path(), &endpoint);
    other.terms.salt = [1; 32];
    assert!(matches!(Bridge::open(other).await, Err(OpenError::OtherBridge(_))));
}

#[test]
fn another_chain_is_found_out_before_anything_is_asked() {
    let (other, honest) = (Endpoint::start(Lie::OtherChainId), Endpoint::start(Lie::None));
    let found = evm(&[&other, &honest]).identify();
    assert_eq!(found.iter().map(|one| one.chain_id.clone()).collect::<Vec<_>>(), [Ok(1), Ok(138)]);
}
