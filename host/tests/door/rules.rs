//! Strangers at the door of the API.

use crate::http::ask;
use crate::server::{NOW_S, SECRET, Server, bank, reader, root, rules};
use crate::world::{World, sign};
use dsm_abi::encode;
use dsm_gateway::{GatewayError, KeyRing, Limits, Peers, Scope, Scopes, Tokens};
use dsm_host::api::{Access, AccessError, Rules, SystemWatch};

fn roomy() -> Rules {
    rules(Limits::default())
}

#[test]
fn who_shows_what_gets_400_401_403_or_an_answer() {
    let server = Server::new(roomy());
    let (reader, bank, root) = (reader().text, bank().text, root().text);
    let tokens = Tokens::new(SECRET).unwrap();
    let bearer = |scopes: &[Scope], until| {
        format!("Bearer {}", tokens.make("desk", Scopes::of(scopes), until).unwrap())
    };
    let (good, expired) = (bearer(&[Scope::Read], NOW_S + 60), bearer(&[Scope::Read], NOW_S));
    let forged = Tokens::new(b"another secret of thirty-two bytes, or more").unwrap();
    let forged = format!("Bearer {}", forged.make("desk", Scopes::ALL, NOW_S + 60).unwrap());
    let as_bearer = format!("Bearer {bank}");
    let guess = format!("{}0", &bank[..bank.len() - 1]);
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, Option<&'a str>);
    let rows: &[Row<'_>] = &[
        ("GET", "/v1/health", &[], 200, None),
        ("GET", "/v1/ready", &[], 200, None),
        ("GET", "/v1/openapi.json", &[], 200, None),
        ("GET", "/ui", &[], 200, None),
        ("GET", "/ui/", &[], 303, None),
        ("GET", "/", &[], 303, None),
        ("GET", "/v1/nowhere", &[], 404, Some("unknown_route")),
        ("DELETE", "/v1/status", &[], 405, Some("method_not_allowed")),
        ("GET", "/v1/status", &[], 401, Some("no_credentials")),
        ("HEAD", "/v1/accounts", &[], 401, None),
        ("GET", "/metrics", &[], 401, Some("no_credentials")),
        ("POST", "/v1/transitions", &[], 401, Some("no_credentials")),
        ("GET", "/v1/status", &[("x-api-key", &reader)], 200, None),
        ("GET", "/v1/status", &[("authorization", &as_bearer)], 200, None),
        ("GET", "/v1/status", &[("authorization", &good)], 200, None),
        ("GET", "/v1/status", &[("authorization", &expired)], 401, Some("bad_credentials")),
        ("GET", "/v1/status", &[("authorization", &forged)], 401, Some("bad_credentials")),
        ("GET", "/v1/status", &[("authorization", "Basic eDp5")], 401, Some("bad_credentials")),
        ("GET", "/v1/status", &[("x-api-key", &guess)], 401, Some("bad_credentials")),
        ("GET", "/v1/health", &[("x-api-key", &guess)], 401, Some("bad_credentials")),
        (
            "GET",
            "/v1/status",
            &[("x-api-key", &bank), ("authorization", &good)],
            401,
            Some("bad_credentials"),
        ),
        ("GET", "/v1/status", &[("x-api-key", &bank), ("x-api-key", &bank)], 401, Some("bad_credentials")),
        ("POST", "/v1/transitions", &[("x-api-key", &reader)], 403, Some("scope_missing")),
        ("GET", "/v1/events", &[("x-api-key", &bank)], 403, Some("scope_missing")),
        ("POST", "/v1/checkpoints", &[("x-api-key", &bank)], 403, Some("scope_missing")),
        ("GET", "/v1/config", &[("x-api-key", &bank)], 403, Some("scope_missing")),
        ("POST", "/v1/topology/peers", &[("x-api-key", &bank)], 403, Some("scope_missing")),
        ("GET", "/v1/config", &[("x-api-key", &root)], 409, Some("no_settings")),
        ("POST", "/v1/checkpoints", &[("x-api-key", &root)], 200, None),
        ("POST", "/v1/transitions", &[("x-api-key", &bank)], 415, Some("content_type")),
        ("GET", "/v1/status", &[("x-api-key", &bank), ("origin", "https://desk.example")], 200, None),
        (
            "GET",
            "/v1/status",
            &[("x-api-key", &bank), ("origin", "https://evil.example")],
            400,
            Some("origin_not_allowed"),
        ),
        ("GET", "/v1/health", &[("origin", "null")], 400, Some("origin_not_allowed")),
    ];
    for (method, path, headers, status, code) in rows {
        let what = format!("{method} {path} {headers:?}");
        let answer = server.ask(method, path, headers);
        let found = if *method == "HEAD" { None } else { answer.code() };
        assert_eq!((answer.status, found.as_deref()), (*status, *code), "{what}: {answer:?}");
        let challenged = answer.header("www-authenticate").is_some();
        assert_eq!(challenged, matches!(status, 401 | 403), "{what}: {answer:?}");
        assert_eq!(answer.header("vary"), Some("origin"), "{what}");
        assert!(answer.header("x-request-id").is_some(), "{what}");
    }
}

#[test]
fn exactly_so_many_in_any_minute_and_a_forged_address_is_no_new_client() {
    let mut rules = rules(Limits { default: 5, simulation: 2, chain_read: 3, events: 1 });
    rules.gateway.anonymous = Scopes::of(&[Scope::Read, Scope::Events]);
    let server = Server::new(rules);
    for (n, ms) in [0, 10_000, 20_000, 30_000, 40_000].into_iter().enumerate() {
        server.watch.set(ms);
        let answer = server.get("/v1/status", &[]);
        let left = (4 - n).to_string();
        assert_eq!(answer.status, 200, "request {n}");
        assert_eq!(answer.header("ratelimit-limit"), Some("5"));
        assert_eq!(answer.header("ratelimit-remaining"), Some(left.as_str()));
    }
    server.watch.set(50_000);
    let refused = server.get("/v1/status", &[]);
    assert_eq!((refused.status, refused.code().as_deref()), (429, Some("rate_limited")));
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert_eq!(refused.problem().retry_after_ms, Some(10_000));
    assert_eq!(refused.header("ratelimit-remaining"), Some("0"));
    for n in 0..20 {
        let forged = format!("198.51.100.{n}");
        let refused = server.get("/v1/status", &[("x-forwarded-for", &forged), ("forwarded", &forged)]);
        assert_eq!(refused.status, 429, "a forged address opened a new window");
    }
    let bank = bank().text;
    assert_eq!(server.get("/v1/status", &[("x-api-key", &bank)]).status, 200, "another client is free");
    assert_eq!(server.get("/v1/events?from=x", &[]).status, 400, "events are counted apart");
    assert_eq!(server.get("/v1/events?from=x", &[]).status, 429);
    assert_eq!(server.get("/v1/outbox", &[]).status, 200, "reads of chains too");
    server.watch.set(59_999);
    assert_eq!(server.get("/v1/status", &[]).status, 429);
    server.watch.set(60_000);
    assert_eq!(server.get("/v1/status", &[]).status, 200, "the first of the window has gone");
    assert_eq!(server.get("/v1/status", &[]).status, 429, "no burst at the full minute");
}

#[test]
fn a_trusted_proxy_is_believed_about_the_nearest_address_alone() {
    let mut rules = rules(Limits { default: 2, ..Limits::default() });
    rules.gateway.proxies = Peers::trusting(vec!["127.0.0.0/8".parse().unwrap()]);
    let server = Server::new(rules);
    let status = |forwarded: &str| server.get("/v1/health", &[("x-forwarded-for", forwarded)]).status;
    assert_eq!([status("198.51.100.1"), status("198.51.100.1"), status("198.51.100.1")], [200, 200, 429]);
    assert_eq!(status("198.51.100.2"), 200, "another client of the proxy is free");
    for n in 0..10 {
        assert_eq!(status(&format!("203.0.113.{n}, 198.51.100.1")), 429, "what the client wrote before");
    }
}

#[test]
fn whoever_guesses_keys_uses_up_its_own_limit() {
    let server = Server::new(rules(Limits { default: 3, ..Limits::default() }));
    let guess = |n: u32| {
        let guess = format!("dsm_02020202_{n:064x}");
        server.get("/v1/status", &[("x-api-key", &guess)]).status
    };
    assert_eq!([guess(1), guess(2), guess(3), guess(4)], [401, 401, 401, 429]);
    assert_eq!(server.get("/v1/status", &[("x-api-key", &bank().text)]).status, 200);
}

#[test]
fn a_browser_is_told_what_a_page_may_ask() {
    let server = Server::new(roomy());
    let asks = |origin| [("origin", origin), ("access-control-request-method", "POST")];
    let told = server.ask("OPTIONS", "/v1/policies", &asks("https://desk.example"));
    assert_eq!(told.status, 204, "{told:?}");
    assert_eq!(told.header("access-control-allow-origin"), Some("https://desk.example"));
    assert_eq!(told.header("access-control-allow-methods"), Some("GET, POST"));
    assert!(told.header("access-control-allow-headers").unwrap().contains("x-api-key"));
    assert_eq!(told.header("access-control-allow-credentials"), None, "there are no cookies");
    let refused = server.ask("OPTIONS", "/v1/policies", &asks("https://evil.example"));
    assert_eq!((refused.status, refused.code().as_deref()), (400, Some("origin_not_allowed")));
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let answer = server.get("/v1/health", &[("origin", "https://desk.example")]);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://desk.example"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"));
    let refused = server.get("/v1/status", &[("origin", "https://desk.example")]);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        Some("https://desk.example"),
        "a page reads why"
    );
    let host = server.address.to_string();
    let own = format!("http://{host}");
    assert_eq!(server.get("/v1/health", &[("origin", &own), ("host", &host)]).status, 200, "its own page");
}

#[test]
fn a_page_on_a_rebound_name_gets_nothing_from_a_node_that_is_open() {
    let mut rules = roomy();
    rules.gateway.anonymous = Scopes::ALL;
    let server = Server::new(rules);
    let page = [("origin", "http://rebound.example:7545"), ("host", "rebound.example:7545")];
    assert_eq!(server.get("/v1/status", &page).code().as_deref(), Some("origin_not_allowed"));
}

/// The proxy of dockerfiles/nginx.conf before a node of dockerfiles/systemd: the API was everybody's.
#[test]
fn a_proxy_that_nobody_named_makes_nobody_an_admin_of_a_node_that_is_open() {
    let mut rules = roomy();
    rules.gateway.anonymous = Scopes::ALL;
    let server = Server::new(rules);
    let host = server.address.to_string();
    let host = host.as_str();
    let ask = |headers: &[(&str, &str)]| server.ask("POST", "/v1/checkpoints", headers);
    assert_eq!(ask(&[("host", host)]).status, 200, "who sits here");
    for proxied in [
        &[("host", host), ("x-forwarded-for", "198.51.100.1")][..],
        &[("host", host), ("forwarded", "for=198.51.100.1")],
        &[("host", host), ("x-real-ip", "198.51.100.1")],
        &[("host", host), ("x-forwarded-proto", "https")],
        &[("host", host), ("x-forwarded-host", "dsm.example.org")],
        &[("host", host), ("via", "1.1 proxy")],
        &[("host", "dsm.example.org")],
    ] {
        assert_eq!(ask(proxied).code().as_deref(), Some("no_credentials"), "{proxied:?}");
        let health = server.get("/v1/health", proxied);
        assert_eq!(health.status, 200, "whether it lives is always told: {proxied:?}");
    }
    let root = root().text;
    assert_eq!(ask(&[("x-forwarded-for", "198.51.100.1"), ("x-api-key", &root)]).status, 200);
}

#[test]
fn a_door_is_kept_by_other_rules_from_one_request_to_the_next() {
    let server = Server::new(roomy());
    let (bank, root) = (bank().text, root().text);
    let as_bank = || server.get("/v1/status", &[("x-api-key", &bank)]);
    assert_eq!(as_bank().status, 200);
    let mut revoked = roomy();
    revoked.gateway.keys = KeyRing::default().with(crate::server::root().kept).unwrap();
    server.access.configure(revoked).unwrap();
    assert_eq!(as_bank().code().as_deref(), Some("bad_credentials"), "a revoked key counts for nothing");
    let mut some = roomy();
    some.methods = Some(["status", "Receipt"].map(str::to_owned).into());
    server.access.configure(some).unwrap();
    assert_eq!(as_bank().status, 200);
    assert_eq!(server.get("/v1/accounts", &[("x-api-key", &root)]).code().as_deref(), Some("not_served"));
    assert_eq!(server.get("/v1/health", &[]).status, 200, "whether it lives is always told");
    let mut wrong = roomy();
    wrong.methods = Some(["Everything".to_owned()].into());
    assert_eq!(server.access.configure(wrong), Err(AccessError::UnknownMethod("Everything".into())));
    assert_eq!(server.get("/v1/accounts", &[("x-api-key", &root)]).status, 403, "the old rules stay");
    let open = server.access.configure(Rules::open());
    assert_eq!(open, Err(AccessError::Gateway(GatewayError::NoSecret)));
}

#[test]
fn o12_an_open_node_that_others_reach_does_not_start() {
    for (listen, opens) in [([127, 0, 0, 1], true), ([0, 0, 0, 0], false), ([192, 0, 2, 1], false)] {
        let access = Access::new(Rules::open(), listen.into(), SystemWatch::default(), None);
        assert_eq!(
            access.map(drop).map_err(|error| error.code()),
            if opens { Ok(()) } else { Err("no_secret") }
        );
    }
}

#[test]
fn requests_have_ids_that_clients_may_choose_but_not_abuse() {
    let server = Server::new(roomy());
    let id = |headers: &[(&str, &str)]| {
        let answer = server.get("/v1/accounts", headers);
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(answer.problem().request.as_deref(), Some(id.as_str()));
        id
    };
    assert_eq!(id(&[("x-request-id", "order-17.a:b_c")]), "order-17.a:b_c");
    let long = "x".repeat(65);
    let made: Vec<String> =
        ["", "a b", "\"}{", long.as_str()].iter().map(|sent| id(&[("x-request-id", sent)])).collect();
    for (index, one) in made.iter().enumerate() {
        assert!(one.len() <= 40 && !made[..index].contains(one), "{made:?}");
    }
}

#[test]
fn a_submission_is_made_once_and_a_key_against_repetition_is_its_id() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(data.path());
    let signed = sign(world.transfer(10), &[&world.alice]);
    let (id, bytes) = (signed.transition.id().to_string(), encode(&signed));
    let server = Server::around(roomy(), world.node.clone(), data, None);
    let bank = bank().text;
    let submit = |key: &[(&str, &str)]| {
        let mut headers = vec![("x-api-key", bank.as_str()), ("content-type", "application/octet-stream")];
        headers.extend(key);
        ask(server.address, "POST", "/v1/transitions", &headers, &bytes)
    };
    let refused = submit(&[("idempotency-key", "0b1d9c1e-order-17")]);
    assert_eq!((refused.status, refused.code().as_deref()), (422, Some("idempotency_key")));
    assert!(refused.problem().detail.contains(&id), "it says what the key is");
    let first = submit(&[("idempotency-key", &id)]);
    assert_eq!(first.status, 200, "{first:?}");
    for key in [&[("idempotency-key", id.as_str())][..], &[]] {
        let again = submit(key);
        assert_eq!((again.status, &again.body), (200, &first.body), "the same bytes, the same receipt");
    }
    assert!(server.node.status().accepted > 0);
}
