//! What the API refuses: each row gets its status and its stable code as a problem document, and the ledger stays
//! as it was.

use crate::http::{JSON, OCTETS, ask, connect, head, send};
use crate::server::Server;
use crate::world::{World, operation, sign, sign_anything};
use dsm_abi::{StateId, encode};
use dsm_core::OperationKind;
use dsm_crypto::Verifier;
use dsm_sdk::api::{BatchAnswer, BatchResult, EquivocationsAnswer, limit};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const TRANSITIONS: &str = "/v1/transitions";
const BATCH: &str = "/v1/transitions/batch";
/// An id of nothing.
const NOBODY: &str = "7777777777777777777777777777777777777777777777777777777777777777";

fn good(world: &World) -> Vec<u8> {
    encode(&sign(world.transfer(10), &[&world.alice]))
}

fn submission(bytes: &[u8]) -> String {
    format!(r#"{{"signed":"{}"}}"#, hex::encode(bytes))
}

/// Bodies: what it is, where to, of which type, and how it is refused.
type BodyRow = (&'static str, &'static str, &'static str, Vec<u8>, u16, &'static str);

fn bodies(world: &World) -> Vec<BodyRow> {
    let good = good(world);
    let mut forged = sign(world.transfer(10), &[&world.alice]);
    forged.signatures[0].bytes = vec![5; 3309];
    let forged = encode(&forged);
    let trailing = [good.as_slice(), &[0]].concat();
    let hex = hex::encode(&good);
    let nested = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let named_nested = [br#"{"signed":"#.to_vec(), nested.clone(), b"}".to_vec()].concat();
    let unknown_field = format!(r#"{{"signed":"{hex}","more":1}}"#).into_bytes();
    let twice = format!(r#"{{"signed":"{hex}","signed":"{hex}"}}"#).into_bytes();
    let mut other_parent = world.transfer(10).transition().clone();
    other_parent.parents[0].1 = StateId([4; 32]);
    let stale = encode(&sign_anything(other_parent, &world.alice.key));
    let many = encode(&vec![vec![0_u8; 4]; limit::BATCH_ITEMS_MAX + 1]);
    let many_json = format!(r#"{{"signed":[{}]}}"#, vec![r#""00""#; limit::BATCH_ITEMS_MAX + 1].join(","));
    let text = |text: &str| text.as_bytes().to_vec();
    let view = "/v1/tokens/7777777777777777777777777777777777777777777777777777777777777777/policies/0/view";
    vec![
        ("trailing bytes", TRANSITIONS, OCTETS, trailing.clone(), 400, "malformed_bytes"),
        ("trailing bytes in hex", TRANSITIONS, JSON, submission(&trailing).into(), 400, "malformed_bytes"),
        ("a forged signature", TRANSITIONS, OCTETS, forged.clone(), 422, "bad_signature"),
        ("a forged signature in hex", TRANSITIONS, JSON, submission(&forged).into(), 422, "bad_signature"),
        ("a parent that never was", TRANSITIONS, OCTETS, stale, 409, "stale_parent"),
        ("nothing", TRANSITIONS, OCTETS, vec![], 400, "malformed_bytes"),
        ("no JSON", TRANSITIONS, JSON, vec![], 400, "malformed_request"),
        (
            "half of a transition",
            TRANSITIONS,
            OCTETS,
            good[..good.len() / 2].to_vec(),
            400,
            "malformed_bytes",
        ),
        ("half of a JSON body", TRANSITIONS, JSON, text(r#"{"signed":"00"#), 400, "malformed_request"),
        ("two JSON bodies", TRANSITIONS, JSON, text(r#"{"signed":"00"}{}"#), 400, "malformed_request"),
        ("10,000 nested lists", TRANSITIONS, JSON, nested, 400, "malformed_request"),
        ("10,000 nested lists in a field", TRANSITIONS, JSON, named_nested, 400, "malformed_request"),
        ("an unknown field", TRANSITIONS, JSON, unknown_field, 400, "malformed_request"),
        ("a field twice", TRANSITIONS, JSON, twice, 400, "malformed_request"),
        ("hex of half a byte", TRANSITIONS, JSON, text(r#"{"signed":"abc"}"#), 400, "malformed_request"),
        ("no hex", TRANSITIONS, JSON, text(r#"{"signed":"zz"}"#), 400, "malformed_request"),
        ("upper-case hex", TRANSITIONS, JSON, text(r#"{"signed":"AB"}"#), 400, "malformed_request"),
        ("a number for hex", TRANSITIONS, JSON, text(r#"{"signed":7}"#), 400, "malformed_request"),
        ("no UTF-8", TRANSITIONS, JSON, vec![b'{', 0xff, b'}'], 400, "malformed_request"),
        ("a form", TRANSITIONS, "application/x-www-form-urlencoded", good.clone(), 415, "content_type"),
        ("text", TRANSITIONS, "text/plain", good, 415, "content_type"),
        ("no type", TRANSITIONS, "", vec![0], 415, "content_type"),
        ("1,001 transitions", BATCH, OCTETS, many, 400, "malformed_request"),
        ("1,001 transitions in JSON", BATCH, JSON, many_json.into(), 400, "malformed_request"),
        ("a batch that is none", BATCH, OCTETS, vec![0xff; 64], 400, "malformed_request"),
        ("a package that is none", "/v1/policies", OCTETS, vec![1, 2, 3], 400, "package_malformed"),
        ("a package as JSON", "/v1/policies", JSON, text("{}"), 415, "content_type"),
        ("a query as octets", view, OCTETS, text("{}"), 415, "content_type"),
        ("a query to nobody", view, JSON, text(r#"{"query":"paused"}"#), 404, "unknown_token"),
        ("a query with more", view, JSON, text(r#"{"query":"paused","x":0}"#), 400, "malformed_request"),
    ]
}

#[test]
fn bad_bodies_are_refused_with_their_codes_and_change_nothing() {
    let server = Server::new();
    let before = server.world.fingerprint();
    for (name, path, kind, body, status, code) in bodies(&server.world) {
        let problem = server.post(path, kind, &body).refused(name, status, code);
        if code == "stale_parent" {
            let head = problem.head.expect("the answer tells the head");
            assert_eq!((head.account, head.state), {
                let alice = &server.world.alice;
                (alice.account, server.world.head(alice))
            });
        }
        assert_eq!(server.world.fingerprint(), before, "{name}");
    }
    let gzip = [("content-type", OCTETS), ("content-encoding", "gzip")];
    let answer = ask(server.address, "POST", TRANSITIONS, &gzip, &good(&server.world));
    answer.refused("a compressed body", 415, "content_encoding");
    assert_eq!(server.world.fingerprint(), before);
    assert_eq!(server.post(TRANSITIONS, OCTETS, &good(&server.world)).status, 200);
}

#[test]
fn paths_and_queries_that_name_nothing_are_refused() {
    let server = Server::new();
    let before = server.world.fingerprint();
    let account = server.world.alice.account;
    let long = "9".repeat(5_000);
    let rows: Vec<(String, u16, &str)> = vec![
        ("/nowhere".into(), 404, "unknown_route"),
        ("/v1".into(), 404, "unknown_route"),
        ("/v2/accounts".into(), 404, "unknown_route"),
        (format!("/v1/accounts/{account}/"), 404, "unknown_route"),
        ("/v1/accounts/../../etc/passwd".into(), 404, "unknown_route"),
        (TRANSITIONS.into(), 405, "method_not_allowed"),
        (BATCH.into(), 405, "method_not_allowed"),
        ("/v1/accounts/abc".into(), 400, "malformed_request"),
        (format!("/v1/accounts/{}", "A".repeat(64)), 400, "malformed_request"),
        (format!("/v1/accounts/{account}0"), 400, "malformed_request"),
        ("/v1/accounts/%ff".into(), 400, "malformed_request"),
        (format!("/v1/accounts/{long}"), 400, "malformed_request"),
        ("/v1/transitions/xyz".into(), 400, "malformed_request"),
        ("/v1/transitions/xyz/receipt".into(), 400, "malformed_request"),
        ("/v1/tokens/xyz".into(), 400, "malformed_request"),
        ("/v1/policies/xyz".into(), 400, "malformed_request"),
        ("/v1/policies/xyz/package".into(), 400, "malformed_request"),
        ("/v1/proofs/accounts/xyz".into(), 400, "malformed_request"),
        (format!("/v1/proofs/accounts/{account}/assets/xyz"), 400, "malformed_request"),
        (format!("/v1/accounts/{NOBODY}"), 404, "not_found"),
        (format!("/v1/accounts/{NOBODY}/history"), 404, "not_found"),
        (format!("/v1/accounts/{NOBODY}/inbox"), 404, "not_found"),
        (format!("/v1/accounts/{NOBODY}/equivocations"), 404, "not_found"),
        (format!("/v1/tokens/{NOBODY}"), 404, "not_found"),
        (format!("/v1/transitions/{NOBODY}"), 404, "not_found"),
        (format!("/v1/transitions/{NOBODY}/receipt"), 404, "not_found"),
        (format!("/v1/policies/{NOBODY}"), 404, "not_found"),
        (format!("/v1/policies/{NOBODY}/package"), 404, "not_found"),
        ("/v1/checkpoints/latest".into(), 409, "no_checkpoint"),
        (format!("/v1/proofs/accounts/{account}"), 409, "no_checkpoint"),
        ("/v1/accounts?limit=-1".into(), 400, "malformed_request"),
        ("/v1/accounts?limit=many".into(), 400, "malformed_request"),
        (format!("/v1/accounts?limit={long}"), 400, "malformed_request"),
        ("/v1/accounts?limit=1&limit=2".into(), 400, "malformed_request"),
        ("/v1/accounts?order=down".into(), 400, "malformed_request"),
        (format!("/v1/accounts?after={long}"), 400, "malformed_request"),
        ("/v1/policies?after=xyz".into(), 400, "malformed_request"),
        (format!("/v1/accounts/{account}/history?from=-1"), 400, "malformed_request"),
        (format!("/v1/accounts/{account}/history?from={long}"), 400, "malformed_request"),
        ("/v1/events?from=x".into(), 400, "malformed_request"),
        ("/v1/events?account=x".into(), 400, "malformed_request"),
        ("/v1/events?all=1".into(), 400, "malformed_request"),
    ];
    for (path, status, code) in rows {
        let shown: String = path.chars().take(100).collect();
        server.get(&path).refused(&shown, status, code);
    }
    for (method, path) in [("DELETE", TRANSITIONS), ("PUT", "/v1/status"), ("POST", "/metrics")] {
        ask(server.address, method, path, &[], b"").refused(method, 405, "method_not_allowed");
    }
    let resume = [("last-event-id", "yesterday")];
    let answer = ask(server.address, "GET", "/v1/events", &resume, b"");
    answer.refused("a resumption from nowhere", 400, "malformed_request");
    assert_eq!(server.world.fingerprint(), before);
}

#[test]
fn an_oversize_body_is_refused_before_it_has_come() {
    let server = Server::new();
    let before = server.world.fingerprint();
    for (path, kind, length_max) in [
        (TRANSITIONS, OCTETS, limit::TRANSITION_BYTES_MAX),
        (TRANSITIONS, JSON, limit::JSON_BYTES_MAX),
        (BATCH, OCTETS, limit::BATCH_BYTES_MAX),
        ("/v1/policies", OCTETS, limit::PACKAGE_BYTES_MAX),
    ] {
        for stated in [(length_max + 1).to_string(), (1_u64 << 40).to_string()] {
            let head = head("POST", path, &[("content-type", kind), ("content-length", &stated)]);
            send(server.address, head.as_bytes()).refused(path, 413, "too_long");
        }
    }
    // Without a length the body is cut off where the limit is: one byte too many, and more announced.
    let mut chunked =
        head("POST", TRANSITIONS, &[("content-type", OCTETS), ("transfer-encoding", "chunked")]);
    let length = limit::TRANSITION_BYTES_MAX + 1;
    chunked.push_str(&format!("{length:x}\r\n{}\r\n", "0".repeat(length)));
    send(server.address, chunked.as_bytes()).refused("a chunked body", 413, "too_long");
    assert_eq!(server.world.fingerprint(), before);
}

/// An 8 MiB batch of nothing but empty items, decoded before it was counted, took 140 MiB; eight of them in JSON at
/// once took 800 MiB and let an honest request wait for 730 ms.
#[test]
fn a_batch_is_counted_before_it_is_decoded() {
    let server = Server::new();
    let count = limit::BATCH_ITEMS_MAX as u32 + 1;
    // Were the items looked at first, these would be refused for the rubbish behind the first 1,001.
    let octets = [&count.to_le_bytes()[..], &[0xff; 9]].concat();
    let json = format!(r#"{{"signed":[{},?"#, vec![r#""""#; count as usize].join(","));
    for (kind, body) in [(OCTETS, octets), (JSON, json.into_bytes())] {
        let problem = server.post(BATCH, kind, &body).refused(kind, 400, "malformed_request");
        assert!(problem.detail.contains("at most 1000 transitions"), "{}", problem.detail);
    }
}

#[test]
fn batches_beyond_their_room_are_answered_overloaded_and_hinder_nobody_else() {
    let server = Server::new();
    let longest = limit::BATCH_BYTES_MAX.to_string();
    let ask = head("POST", BATCH, &[("content-type", OCTETS), ("content-length", &longest)]);
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = connect(server.address);
            stream.write_all(ask.as_bytes()).unwrap();
            stream
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    let refused = loop {
        let answer = server.post(BATCH, OCTETS, &[0; 4]);
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "eight of the longest batches take all room");
    };
    assert!(refused.refused("a ninth batch", 503, "overloaded").retry_after_ms.is_some());
    assert_eq!(server.post(TRANSITIONS, OCTETS, &good(&server.world)).status, 200);
    drop(waiting);
    while server.post(BATCH, OCTETS, &[0; 4]).status != 200 {
        assert!(Instant::now() < deadline, "batches that never came give their room back");
    }
}

#[test]
fn bytes_that_are_no_http_do_not_reach_the_node() {
    let server = Server::new();
    let before = server.world.fingerprint();
    for bytes in
        [b"\x16\x03\x01\x02\x00".to_vec(), vec![0; 4096], b"GET /v1/status HTTP/9.9\r\n\r\n".to_vec()]
    {
        let mut stream = connect(server.address);
        let mut answer = Vec::new();
        // The server may hang up at any byte; what matters is that it answers nothing but a refusal.
        let sent = stream.write_all(&bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        drop((sent, stream.read_to_end(&mut answer)));
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert_eq!(server.world.fingerprint(), before);
    assert_eq!(server.get("/v1/health").status, 200);
}

#[test]
fn a_fork_is_a_conflict_and_its_evidence_can_be_fetched_and_verified() {
    let server = Server::new();
    let (world, alice) = (&server.world, &server.world.alice);
    let parent = world.head(alice);
    let (first, second) = (sign(world.transfer(10), &[alice]), sign(world.transfer(11), &[alice]));
    assert_eq!(server.post(TRANSITIONS, OCTETS, &encode(&first)).status, 200);
    let stands = world.fingerprint();
    let problem = server.post(TRANSITIONS, OCTETS, &encode(&second)).refused("a fork", 409, "conflict");
    let told = problem.equivocation.expect("a conflict names its evidence");
    assert_eq!((told.account, told.parent), (alice.account, parent));
    assert_eq!((told.first, told.second), (first.transition.id(), second.transition.id()));
    let now = world.fingerprint();
    assert_eq!((now.0, now.1, now.2), (stands.0, stands.1, stands.2));
    let answer: EquivocationsAnswer =
        server.get(&format!("/v1/accounts/{}/equivocations", alice.account)).json();
    let [kept] = answer.equivocations.as_slice() else { panic!("{answer:?}") };
    assert_eq!(kept.evidence, told);
    let proof = kept.decode().unwrap();
    proof.verify(&Verifier::new()).unwrap();
    assert_eq!(proof.account(), alice.account);
}

#[test]
fn a_policy_s_words_reach_the_client() {
    let server = Server::new();
    let (world, bob) = (&server.world, &server.world.bob);
    let before = world.fingerprint();
    let mint = OperationKind::Mint { token: world.token, to: bob.account, amount: 1 };
    let mut transition = world.by(bob).transition().clone();
    transition.operations = vec![operation(bob.account, mint)];
    let bytes = encode(&sign_anything(transition, &bob.key));
    let problem = server.post(TRANSITIONS, OCTETS, &bytes).refused("no authority", 422, "policy_denied");
    let denial = problem.denial.expect("a denial carries the policy's words");
    assert_eq!((denial.token, denial.policy_index, denial.operation), (world.token, 0, Some(0)));
    assert!(!denial.reason.is_empty());
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_module_that_the_gate_refuses_is_answered_with_what_it_found() {
    let server = Server::new();
    let world = &server.world;
    let honest = include_bytes!("../../../policies/dist/fungible.wasm");
    let document = dsm_sdk::package::PolicyDocument::decode(&world.package(honest).document).unwrap();
    let float = wat::parse_str("(module (func (result f32) f32.const 1))").unwrap();
    let package = dsm_sdk::package::Package::sign(float, document, &world.alice.key).unwrap();
    let before = world.fingerprint();
    let answer = server.post("/v1/policies", OCTETS, &encode(&package));
    let problem = answer.refused("a module with floats", 422, "module_refused");
    assert!(problem.findings.iter().any(|finding| finding.starts_with("float: ")), "{:?}", problem.findings);
    let mut unsigned = world.package(honest);
    unsigned.envelope.signature.clear();
    let answer = server.post("/v1/policies", OCTETS, &encode(&unsigned));
    answer.refused("an unsigned package", 422, "policy_unsigned");
    assert_eq!(world.fingerprint(), before);
}

#[test]
fn a_batch_is_answered_item_by_item_in_order() {
    let server = Server::new();
    let world = &server.world;
    let good = sign(world.transfer(10), &[&world.alice]);
    let mut forged = good.clone();
    forged.signatures[0].bytes[7] ^= 1;
    forged.transition.entropy = [77; 32];
    let claimless =
        sign(world.by(&world.bob).claim(world.bob.account, dsm_abi::CreditId([1; 32])), &[&world.bob]);
    let items = vec![encode(&forged), vec![1, 2], encode(&good), vec![], encode(&claimless)];
    let position = world.node.status().position;
    let as_json = |items: &[Vec<u8>]| {
        let items: Vec<_> = items.iter().map(hex::encode).collect();
        serde_json::to_vec(&serde_json::json!({ "signed": items })).unwrap()
    };
    for (kind, body) in [(OCTETS, encode(&items)), (JSON, as_json(&items))] {
        let answer = server.post(BATCH, kind, &body);
        assert_eq!(answer.status, 200);
        let BatchAnswer { results } = answer.json();
        let words: Vec<_> = results
            .iter()
            .map(|result| match result {
                BatchResult::Receipt(receipt) => {
                    assert_eq!(receipt.transition, good.transition.id());
                    "receipt"
                }
                BatchResult::Problem(problem) => problem.code.as_str(),
            })
            .collect();
        let expected = ["bad_signature", "malformed_bytes", "receipt", "malformed_bytes", "unknown_credit"];
        assert_eq!(words, expected);
        assert_eq!(world.node.status().position, position + 1);
    }
    let empty: BatchAnswer = server.post(BATCH, OCTETS, &encode(&Vec::<Vec<u8>>::new())).json();
    assert!(empty.results.is_empty());
}
