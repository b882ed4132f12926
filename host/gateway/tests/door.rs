//! Requests at the door, as rows: what is asked, by whom, and what becomes of it.
#![allow(clippy::unwrap_used)]

use dsm_gateway::{
    Class, Client, Facts, Gateway, GatewayConfig, GatewayError, KeyRing, Limits, Network, NewKey, Origins,
    Peers, Refused, Scope, Scopes, Tokens, WINDOW_MS,
};
use std::net::IpAddr;

const SECRET: &[u8] = b"thirty-two bytes of a secret, at least";
const NOW_S: u64 = 1_800_000_000;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn bank() -> NewKey {
    NewKey::make("bank", Scopes::of(&[Scope::Read, Scope::Submit]), 2, [1, 2, 3, 4], [7; 32])
}

fn auditor() -> NewKey {
    NewKey::make("auditor", Scopes::of(&[Scope::Read]), 1, [5, 6, 7, 8], [9; 32])
}

fn ring(keys: &[NewKey]) -> KeyRing {
    let kept: Vec<_> = keys.iter().map(|key| &key.kept).collect();
    KeyRing::parse(&serde_json::to_string(&kept).unwrap()).unwrap()
}

fn gateway(anonymous: Scopes) -> Gateway {
    let config = GatewayConfig {
        anonymous,
        keys: ring(&[bank(), auditor()]),
        tokens: Some(Tokens::new(SECRET).unwrap()),
        origins: Origins::parse(["https://desk.example", "http://localhost:3000"]).unwrap(),
        proxies: Peers::trusting(vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.7".parse().unwrap()]),
        limits: Limits { default: 6, simulation: 3, chain_read: 3, events: 2 },
    };
    Gateway::new(config, address("0.0.0.0")).unwrap()
}

fn facts<'a>() -> Facts<'a> {
    Facts {
        peer: address("203.0.113.9"),
        forwarded_for: &[],
        relayed: false,
        origin: None,
        host: None,
        authorization: None,
        api_key: None,
        needs: Some(Scope::Read),
        class: Class::Default,
    }
}

#[test]
fn who_shows_what_gets_400_401_403_or_an_answer() {
    let tokens = Tokens::new(SECRET).unwrap();
    let others = Tokens::new(b"another secret of thirty-two bytes, no less").unwrap();
    let token = |tokens: &Tokens, scopes, until| {
        format!("Bearer {}", tokens.make("desk", Scopes::of(scopes), until).unwrap())
    };
    let good = token(&tokens, &[Scope::Read], NOW_S + 60);
    let expired = token(&tokens, &[Scope::Read], NOW_S);
    let forged = token(&others, &[Scope::Read, Scope::Admin], NOW_S + 60);
    let unsigned = format!(
        "Bearer {}",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJkZXNrIiwiYXVkIjoiZHNtIiwiZXhwIjo5OTk5OTk5OTk5LCJzY29wZSI6ImFkbWluIn0."
    );
    let (bank, auditor) = (bank().text, auditor().text);
    let other_secret = format!("{}0", &bank[..bank.len() - 1]);
    let bearer_key = format!("Bearer {bank}");
    // Expected: the client, or the status with the code.
    type Outcome = Result<&'static str, (u16, &'static str)>;
    let rows: &[(&str, Facts<'_>, Outcome)] = &[
        ("nobody", facts(), Err((401, "no_credentials"))),
        ("nobody asks for health", Facts { needs: None, ..facts() }, Ok("address:203.0.113.9")),
        ("a key", Facts { api_key: Some(&bank), ..facts() }, Ok("key:bank")),
        ("a key as a bearer", Facts { authorization: Some(&bearer_key), ..facts() }, Ok("key:bank")),
        (
            "a key submits",
            Facts { api_key: Some(&bank), needs: Some(Scope::Submit), ..facts() },
            Ok("key:bank"),
        ),
        (
            "a reader submits",
            Facts { api_key: Some(&auditor), needs: Some(Scope::Submit), ..facts() },
            Err((403, "scope_missing")),
        ),
        (
            "a bank administers",
            Facts { api_key: Some(&bank), needs: Some(Scope::Admin), ..facts() },
            Err((403, "scope_missing")),
        ),
        (
            "the right id, another secret",
            Facts { api_key: Some(&other_secret), ..facts() },
            Err((401, "bad_credentials")),
        ),
        ("rubbish", Facts { api_key: Some("dsm_"), ..facts() }, Err((401, "bad_credentials"))),
        ("an empty key", Facts { api_key: Some(""), ..facts() }, Err((401, "bad_credentials"))),
        ("a token", Facts { authorization: Some(&good), ..facts() }, Ok("subject:desk")),
        (
            "a token beyond its scope",
            Facts { authorization: Some(&good), needs: Some(Scope::Events), ..facts() },
            Err((403, "scope_missing")),
        ),
        (
            "an expired token",
            Facts { authorization: Some(&expired), ..facts() },
            Err((401, "bad_credentials")),
        ),
        ("a forged token", Facts { authorization: Some(&forged), ..facts() }, Err((401, "bad_credentials"))),
        (
            "algorithm none",
            Facts { authorization: Some(&unsigned), ..facts() },
            Err((401, "bad_credentials")),
        ),
        (
            "basic authentication",
            Facts { authorization: Some("Basic ZGVzazpkZXNr"), ..facts() },
            Err((401, "bad_credentials")),
        ),
        (
            "both",
            Facts { api_key: Some(&bank), authorization: Some(&good), ..facts() },
            Err((401, "bad_credentials")),
        ),
        (
            "bad credentials where none are needed",
            Facts { api_key: Some("dsm_"), needs: None, ..facts() },
            Err((401, "bad_credentials")),
        ),
        (
            "a good page",
            Facts { origin: Some("https://desk.example"), api_key: Some(&bank), ..facts() },
            Ok("key:bank"),
        ),
        (
            "another page",
            Facts { origin: Some("https://evil.example"), api_key: Some(&bank), ..facts() },
            Err((400, "origin_not_allowed")),
        ),
        (
            "a page whose name begins alike",
            Facts { origin: Some("https://desk.example.evil"), api_key: Some(&bank), ..facts() },
            Err((400, "origin_not_allowed")),
        ),
        (
            "the page over http",
            Facts { origin: Some("http://desk.example"), api_key: Some(&bank), ..facts() },
            Err((400, "origin_not_allowed")),
        ),
        (
            "no page",
            Facts { origin: Some("null"), api_key: Some(&bank), ..facts() },
            Err((400, "origin_not_allowed")),
        ),
    ];
    for (name, facts, expected) in rows {
        let (client, outcome) = gateway(Scopes::NONE).decide(facts, 0, NOW_S);
        let found = match &outcome {
            Ok(_) => Ok(client.to_string()),
            Err(refused) => Err((refused.status(), refused.code())),
        };
        assert_eq!(found, expected.map(str::to_owned), "{name}");
    }
}

#[test]
fn exactly_the_limit_in_any_minute_and_another_client_is_free() {
    let mut gateway = gateway(Scopes::ALL);
    let other = Facts { peer: address("203.0.113.10"), ..facts() };
    let times = [0, 10_000, 20_000, 30_000, 40_000, 50_000];
    for (index, time) in times.into_iter().enumerate() {
        let admitted = gateway.decide(&facts(), time, NOW_S).1.unwrap();
        assert_eq!((admitted.limit, admitted.remaining as usize), (Some(6), 5 - index));
    }
    assert_eq!(
        gateway.decide(&facts(), 59_000, NOW_S).1,
        Err(Refused::TooMany { retry_after_ms: 1000, limit: 6 }),
        "request n+1 is told when to come again"
    );
    assert!(gateway.decide(&other, 59_000, NOW_S).1.is_ok());
    let events = Facts { class: Class::Events, ..facts() };
    assert!(gateway.decide(&events, 59_000, NOW_S).1.is_ok(), "other classes have windows of their own");
    assert!(gateway.decide(&facts(), WINDOW_MS - 1, NOW_S).1.is_err());
    assert!(gateway.decide(&facts(), WINDOW_MS, NOW_S).1.is_ok());
    assert!(
        gateway.decide(&facts(), WINDOW_MS + 1, NOW_S).1.is_err(),
        "one left, one came: no burst at the full minute"
    );
}

#[test]
fn a_key_has_its_own_limit_wherever_it_is_used() {
    let mut gateway = gateway(Scopes::ALL);
    let bank = bank().text;
    for n in 0..12u8 {
        let facts = Facts { peer: IpAddr::from([203, 0, 113, n]), api_key: Some(&bank), ..facts() };
        assert!(gateway.decide(&facts, 5, NOW_S).1.is_ok(), "request {n} of twice six");
    }
    let facts = Facts { peer: address("198.51.100.1"), api_key: Some(&bank), ..facts() };
    assert!(gateway.decide(&facts, 5, NOW_S).1.is_err());
}

#[test]
fn whoever_guesses_credentials_runs_out() {
    let mut gateway = gateway(Scopes::NONE);
    let statuses: Vec<u16> = (0..8)
        .map(|n| {
            let guess = format!("dsm_01020304_{n:064}");
            let facts = Facts { api_key: Some(&guess), ..facts() };
            gateway.decide(&facts, n, NOW_S).1.unwrap_err().status()
        })
        .collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429, 429]);
}

#[test]
fn a_forged_forwarded_for_is_no_new_client() {
    let rows: &[(&str, &str, &[&str], &str)] = &[
        ("no proxy: the header is the client's own word", "203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
        ("one proxy", "10.1.1.1", &["198.51.100.1"], "198.51.100.1"),
        ("one proxy, a forged entry before", "10.1.1.1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("two headers", "10.1.1.1", &["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        ("two proxies", "192.0.2.7", &["198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("a proxy without the header", "10.1.1.1", &[], "10.1.1.1"),
        ("rubbish", "10.1.1.1", &["198.51.100.1, unknown"], "10.1.1.1"),
        (
            "a hundred hops",
            "10.1.1.1",
            &[
                "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,198.51.100.1",
            ],
            "198.51.100.1",
        ),
        ("a port behind it", "10.1.1.1", &["198.51.100.1:50312"], "198.51.100.1"),
        ("IPv6", "10.1.1.1", &["2001:db8::1"], "2001:db8::1"),
        ("IPv6 in brackets", "10.1.1.1", &["[2001:db8::1]"], "2001:db8::1"),
        ("IPv6 with a port", "10.1.1.1", &["[2001:db8::1]:443"], "2001:db8::1"),
        ("IPv4 in IPv6", "::ffff:10.1.1.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ("all are proxies", "10.1.1.1", &["10.2.2.2"], "10.2.2.2"),
    ];
    for (name, peer, forwarded_for, client) in rows {
        let mut gateway = gateway(Scopes::ALL);
        let facts = Facts { peer: address(peer), forwarded_for, ..facts() };
        let (found, admitted) = gateway.decide(&facts, 0, NOW_S);
        assert!(admitted.is_ok(), "{name}");
        assert_eq!(found, Client::Address(address(client)), "{name}");
    }
    // The same address behind ever new forged entries uses up one window.
    let mut gateway = gateway(Scopes::ALL);
    let refused = (0..10u8)
        .filter(|n| {
            let forged = format!("9.9.9.{n}");
            let facts = Facts { forwarded_for: &[&forged], ..facts() };
            gateway.decide(&facts, 0, NOW_S).1.is_err()
        })
        .count();
    assert_eq!(refused, 4);
}

/// Whoever has one IPv6 address has 2^64: each was a client of its own.
#[test]
fn addresses_of_one_ipv6_network_are_one_client() {
    let mut gateway = gateway(Scopes::ALL);
    let ask = |gateway: &mut Gateway, from: &str| {
        let facts = Facts { peer: address(from), ..facts() };
        gateway.decide(&facts, 0, NOW_S)
    };
    let admitted = (0..20).filter(|n| ask(&mut gateway, &format!("2001:db8:0:1::{n:x}")).1.is_ok()).count();
    assert_eq!(admitted, 6);
    let (client, refused) = ask(&mut gateway, "2001:db8:0:1:ffff::1");
    assert!(refused.is_err());
    assert_eq!(client.to_string(), "address:2001:db8:0:1:ffff::1", "logs have the whole address");
    assert!(ask(&mut gateway, "2001:db8:0:2::1").1.is_ok(), "another network is free");
    assert!(ask(&mut gateway, "::ffff:203.0.113.1").1.is_ok());
    assert!(ask(&mut gateway, "::ffff:203.0.113.2").1.is_ok(), "IPv4 addresses are clients each");
}

/// A crowd of addresses filled all places, and whoever came with a key shared the crowd's one window.
#[test]
fn a_crowd_of_strangers_takes_no_place_of_those_with_credentials() {
    let mut gateway = gateway(Scopes::ALL);
    for n in 0..10_000u32 {
        let peer = IpAddr::from((0x0100_0000 + n).to_be_bytes());
        drop(gateway.decide(&Facts { peer, ..facts() }, 0, NOW_S));
    }
    let stranger = Facts { peer: address("198.51.100.77"), ..facts() };
    assert_eq!(gateway.decide(&stranger, 0, NOW_S).1.unwrap_err().code(), "rate_limited");
    let auditor = auditor().text;
    for n in 0..6 {
        let known = Facts { api_key: Some(&auditor), ..stranger };
        assert!(gateway.decide(&known, 0, NOW_S).1.is_ok(), "request {n}");
    }
}

/// The proxy of the README in front of the units of the README published an API without keys to everybody.
#[test]
fn a_door_without_keys_answers_whoever_comes_directly_and_nobody_that_a_proxy_brings() {
    let open = |anonymous, proxies: &[&str]| {
        let config = GatewayConfig {
            anonymous,
            keys: ring(&[bank()]),
            tokens: None,
            origins: Origins::default(),
            proxies: Peers::trusting(proxies.iter().map(|text| text.parse().unwrap()).collect()),
            limits: Limits::NONE,
        };
        Gateway::new(config, address("127.0.0.1")).unwrap()
    };
    let here = Facts { peer: address("127.0.0.1"), host: Some("127.0.0.1:7545"), ..facts() };
    let brought = Facts { forwarded_for: &["198.51.100.1"], relayed: true, ..here };
    let bank = bank().text;
    // What strangers may, proxies that were named, what is asked, and what becomes of it.
    type Row<'a> = (&'a str, Scopes, &'a [&'a str], Facts<'a>, Result<(), &'a str>);
    let rows: &[Row<'_>] = &[
        ("who sits here", Scopes::ALL, &[], here, Ok(())),
        ("by another name of it", Scopes::ALL, &[], Facts { host: Some("localhost:7545"), ..here }, Ok(())),
        (
            "by IPv6",
            Scopes::ALL,
            &[],
            Facts { peer: address("::1"), host: Some("[::1]:7545"), ..here },
            Ok(()),
        ),
        (
            "by a name that no stranger has",
            Scopes::ALL,
            &[],
            Facts { host: Some("node:7545"), ..here },
            Ok(()),
        ),
        ("without a name", Scopes::ALL, &[], Facts { host: None, ..here }, Ok(())),
        ("an unknown proxy", Scopes::ALL, &[], brought, Err("no_credentials")),
        ("to look at health", Scopes::ALL, &[], Facts { needs: None, ..brought }, Ok(())),
        ("with a key", Scopes::ALL, &[], Facts { api_key: Some(&bank), ..brought }, Ok(())),
        (
            "a page on a name that leads here",
            Scopes::ALL,
            &[],
            Facts { host: Some("rebound.example:7545"), ..here },
            Err("no_credentials"),
        ),
        (
            "a name that begins alike",
            Scopes::ALL,
            &[],
            Facts { host: Some("localhost.example"), ..here },
            Err("no_credentials"),
        ),
        ("where reading is all that strangers may", Scopes::of(&[Scope::Read]), &[], brought, Ok(())),
        ("a proxy that was named", Scopes::ALL, &["127.0.0.0/8"], brought, Ok(())),
        (
            "a proxy on another machine",
            Scopes::ALL,
            &[],
            Facts { peer: address("192.0.2.1"), ..brought },
            Ok(()),
        ),
    ];
    for (name, anonymous, proxies, facts, expected) in rows {
        let decided = open(*anonymous, proxies).decide(facts, 0, NOW_S).1;
        assert_eq!(decided.map(drop).map_err(|refused| refused.code()), *expected, "{name}");
    }
}

#[test]
fn an_open_door_without_a_secret_does_not_open() {
    let config = |keys, tokens| GatewayConfig {
        anonymous: Scopes::ALL,
        keys,
        tokens,
        origins: Origins::default(),
        proxies: Peers::default(),
        limits: Limits::default(),
    };
    let none = || config(KeyRing::default(), None);
    for (listen, fits) in
        [("127.0.0.1", true), ("::1", true), ("0.0.0.0", false), ("192.0.2.1", false), ("::", false)]
    {
        let opened = Gateway::new(none(), address(listen));
        assert_eq!(opened.is_ok(), fits, "{listen}");
        assert!(fits || opened.unwrap_err() == GatewayError::NoSecret);
        assert!(Gateway::new(config(ring(&[bank()]), None), address(listen)).is_ok());
        assert!(Gateway::new(config(KeyRing::default(), Tokens::new(SECRET).ok()), address(listen)).is_ok());
    }
    assert!(Tokens::new(&SECRET[..31]).is_err());
}

#[test]
fn key_files_networks_and_origins_are_read_strictly() {
    let kept = bank().kept;
    let one = serde_json::to_string(&kept).unwrap();
    let rows = [
        ("not JSON", "[".to_owned()),
        ("one key twice", format!("[{one},{one}]")),
        ("an unknown scope", format!("[{}]", one.replace("read submit", "read everything"))),
        ("a short digest", format!("[{}]", one.replace(&kept.digest, "00"))),
        ("an unknown field", format!("[{}]", one.replace("\"name\"", "\"owner\":\"x\",\"name\""))),
    ];
    for (name, json) in rows {
        assert!(KeyRing::parse(&json).is_err(), "{name}");
    }
    assert!(!one.contains(&bank().text[13..]), "the secret is not kept");
    for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "proxy", "10.0.0.0/-1"] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
    for text in ["*", "desk.example", "https://", "ftp://desk.example", "https://desk.example/path", "null"] {
        assert!(Origins::parse([text]).is_err(), "{text}");
    }
}

#[test]
fn a_page_of_the_server_itself_may_ask_where_nobody_else_can_have_its_name() {
    let rows = [
        ("http://127.0.0.1:7545", Some("127.0.0.1:7545"), true),
        ("http://[::1]:7545", Some("[::1]:7545"), true),
        ("http://localhost:7545", Some("localhost:7545"), true),
        ("https://192.0.2.1", Some("192.0.2.1"), true),
        ("http://127.0.0.1:7545", Some("127.0.0.1:7546"), false),
        ("http://127.0.0.1:7545", None, false),
        ("http://rebound.evil.example:7545", Some("rebound.evil.example:7545"), false),
        ("http://localhost.evil.example", Some("localhost.evil.example"), false),
        ("null", Some("null"), false),
    ];
    for (origin, host, allowed) in rows {
        assert_eq!(Origins::default().allows(origin, host, false), allowed, "{origin} of {host:?}");
    }
    let own = Some("node.example:7545");
    assert!(
        Origins::default().allows("http://node.example:7545", own, true),
        "nothing to gain without credentials"
    );
    assert!(!Origins::default().allows("http://other.example:7545", own, true));
}

#[test]
fn other_rules_count_from_now_on_and_the_last_minute_still_counts() {
    let listen = address("0.0.0.0");
    let mut gateway = gateway(Scopes::ALL);
    for _ in 0..6 {
        assert!(gateway.decide(&facts(), 0, NOW_S).1.is_ok());
    }
    let rules = |keys, limits| GatewayConfig {
        anonymous: Scopes::ALL,
        keys,
        tokens: None,
        origins: Origins::default(),
        proxies: Peers::default(),
        limits,
    };
    let seven = Limits { default: 7, ..Limits::default() };
    gateway.configure(rules(ring(&[auditor()]), seven), listen).unwrap();
    let bank = bank().text;
    let revoked = Facts { api_key: Some(&bank), peer: address("203.0.113.77"), ..facts() };
    assert_eq!(gateway.decide(&revoked, 1, NOW_S).1.unwrap_err().code(), "bad_credentials");
    assert!(gateway.decide(&facts(), 1, NOW_S).1.is_ok(), "the seventh");
    assert!(gateway.decide(&facts(), 1, NOW_S).1.is_err());
    assert_eq!(gateway.configure(rules(KeyRing::default(), seven), listen), Err(GatewayError::NoSecret));
    assert!(gateway.decide(&facts(), 1, NOW_S).1.is_err(), "the old rules stay");
    gateway.configure(rules(ring(&[auditor()]), Limits::NONE), listen).unwrap();
    assert_eq!(gateway.decide(&facts(), 1, NOW_S).1.unwrap().limit, None);
}
