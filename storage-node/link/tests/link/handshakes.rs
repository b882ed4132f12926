//! S7: who is not known, or does not keep to the protocol, is refused with a word; honest nodes are served meanwhile.

use crate::nodes::{
    AnyClient, HONEST, Intruder, SERVER, STRANGER, Scene, Shows, TRAITOR, certified, exchange, id, key,
    loopback, node, pins, provider, secret, soon, until,
};
use dsm_link::{Closed, ConnectError, Endpoint, KeyError, LinkConfig, Pins, Refusal, TransportKey, close};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::crypto::aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn s7_an_unknown_key_is_refused_and_told_so() {
    let scene = Scene::new(LinkConfig::default()).await;
    let stranger = node(STRANGER, &[SERVER], LinkConfig::default());
    let refused = soon("refusal", stranger.connect(scene.address(), id(SERVER))).await.unwrap_err();
    assert_eq!(refused, ConnectError::UnknownThere);
    assert_eq!(stranger.metrics().connect_failed, 1);
    scene.refused(Refusal::UnknownKey, 1).await;
    let recent = scene.server.recent_refusals();
    assert_eq!(recent.last().unwrap().address.port(), stranger.local_addr().unwrap().port());
    scene.still_works().await;
}

#[tokio::test]
async fn s7_another_node_at_the_address_is_not_taken_for_the_expected_one() {
    let scene = Scene::new(LinkConfig::default()).await;
    let refused = soon("refusal", scene.honest.connect(scene.address(), id(TRAITOR))).await.unwrap_err();
    assert_eq!(refused, ConnectError::WrongKey(id(TRAITOR)), "pinned, but not the one that answers there");
    let refused = soon("refusal", scene.honest.connect(scene.address(), id(STRANGER))).await.unwrap_err();
    assert_eq!(refused, ConnectError::NotPinned(id(STRANGER)), "not even tried");
    scene.refused(Refusal::Aborted, 1).await;
    scene.still_works().await;
}

/// Each row: an intruder that breaks one rule, and the word for it.
#[tokio::test]
async fn s7_intruders_that_break_one_rule_each_are_refused_by_name() {
    let scene = Scene::new(LinkConfig::default()).await;
    let rows = [
        ("X25519 only", Intruder { group: X25519, ..Intruder::default() }, Refusal::NoCommonGroup),
        ("TLS without keys", Intruder { shows: Shows::NoExtension, ..Intruder::default() }, Refusal::NoKey),
        ("a key promised", Intruder { shows: Shows::Nothing, ..Intruder::default() }, Refusal::NoKey),
        ("an old protocol", Intruder { protocol: b"dsm/0", ..Intruder::default() }, Refusal::OtherProtocol),
        ("another protocol", Intruder { protocol: b"h3", ..Intruder::default() }, Refusal::OtherProtocol),
        (
            "a stranger's key",
            Intruder { shows: Shows::Key(STRANGER, STRANGER), ..Intruder::default() },
            Refusal::UnknownKey,
        ),
        (
            "a pinned key, signed by another",
            Intruder { shows: Shows::Key(HONEST, STRANGER), ..Intruder::default() },
            Refusal::BadHandshake,
        ),
    ];
    for (name, intruder, reason) in rows {
        let before = scene.server.metrics();
        let end = intruder.thrown_out(scene.address()).await;
        assert!(matches!(end, quinn::ConnectionError::ConnectionClosed(_)), "{name}: {end:?}");
        until(name, &scene.server, |now| now.refused(reason) == before.refused(reason) + 1).await;
        assert_eq!(scene.server.metrics().accepted, before.accepted, "{name}");
        scene.still_works().await;
    }
}

/// The counter-check of the rows above: the same client, breaking no rule, is let in.
#[tokio::test]
async fn an_intruder_that_breaks_no_rule_is_let_in() {
    let scene = Scene::new(LinkConfig::default()).await;
    let (_endpoint, connection) = Intruder::default().connect(scene.address()).await.unwrap();
    let mut greeting = soon("a greeting", connection.accept_uni()).await.unwrap();
    assert_eq!(soon("its byte", greeting.read_to_end(16)).await.unwrap(), [1]);
    until("accepted", &scene.server, |metrics| metrics.accepted >= 3).await;
}

#[tokio::test]
async fn s7_early_data_and_tickets_do_not_exist() {
    let scene = Scene::new(LinkConfig::default()).await;
    let intruder = Intruder { early_data: true, ..Intruder::default() };
    let config = intruder.config();
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    for round in 0..3 {
        let connecting = endpoint.connect_with(config.clone(), scene.address(), "dsm").unwrap();
        // A ticket of the round before would let this begin with early data.
        let Err(connecting) = connecting.into_0rtt() else {
            panic!("round {round}: early data was possible")
        };
        let connection = soon("handshake", connecting).await.unwrap();
        let mut greeting = soon("greeting", connection.accept_uni()).await.unwrap();
        soon("its byte", greeting.read_to_end(16)).await.unwrap();
        assert_eq!(connection.max_datagram_size(), None, "QUIC datagrams are off");
        connection.close(0_u32.into(), b"");
    }
    scene.still_works().await;
}

/// A server with a pinned key that does something else than a DSM node would.
fn foreign_server(
    number: u8,
    group: &'static dyn rustls::crypto::SupportedKxGroup,
    protocol: &[u8],
) -> (quinn::Endpoint, SocketAddr) {
    let key = Arc::new(rustls::server::AlwaysResolvesServerRawPublicKeys::new(certified(number, number)));
    let mut tls = rustls::ServerConfig::builder_with_provider(provider(group))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(AnyClient))
        .with_cert_resolver(key);
    tls.alpn_protocols = vec![protocol.to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::server(config, loopback()).unwrap();
    let address = endpoint.local_addr().unwrap();
    (endpoint, address)
}

#[tokio::test]
async fn s7_servers_without_the_group_or_the_protocol_are_refused() {
    let config = LinkConfig { handshake_timeout: Duration::from_secs(20), ..LinkConfig::default() };
    let honest = node(HONEST, &[SERVER], config);
    let (classical, address) = foreign_server(SERVER, X25519, b"dsm/1");
    tokio::spawn(async move {
        while let Some(incoming) = classical.accept().await {
            drop(incoming.await)
        }
    });
    let refused = soon("refusal", honest.connect(address, id(SERVER))).await.unwrap_err();
    assert_eq!(refused, ConnectError::Incompatible);
    let (old, address) = foreign_server(SERVER, X25519MLKEM768, b"dsm/0");
    tokio::spawn(async move {
        while let Some(incoming) = old.accept().await {
            drop(incoming.await)
        }
    });
    let refused = soon("refusal", honest.connect(address, id(SERVER))).await.unwrap_err();
    assert_eq!(refused, ConnectError::OtherProtocol);
}

/// TLS 1.3 tells a client that it is connected before the server has looked at its key: only the greeting counts.
#[tokio::test]
async fn s7_a_handshake_without_the_servers_first_byte_is_no_connection() {
    let config = LinkConfig { handshake_timeout: Duration::from_millis(1500), ..LinkConfig::default() };
    let honest = node(HONEST, &[SERVER], config);
    let (silent, address) = foreign_server(SERVER, X25519MLKEM768, b"dsm/1");
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Some(incoming) = silent.accept().await {
            held.push(incoming.await);
        }
    });
    let refused = soon("refusal", honest.connect(address, id(SERVER))).await.unwrap_err();
    assert_eq!(refused, ConnectError::TimedOut);
    held.abort();

    let honest = node(HONEST, &[SERVER], LinkConfig::default());
    let (rude, address) = foreign_server(SERVER, X25519MLKEM768, b"dsm/1");
    tokio::spawn(async move {
        while let Some(incoming) = rude.accept().await {
            let connection = incoming.await.unwrap();
            let mut first = connection.open_uni().await.unwrap();
            first.write_all(b"\x02").await.unwrap();
            first.finish().unwrap();
            connection.closed().await;
        }
    });
    let refused = soon("refusal", honest.connect(address, id(SERVER))).await.unwrap_err();
    assert_eq!(refused, ConnectError::OtherProtocol);
}

#[tokio::test]
async fn s7_forgetting_a_key_closes_its_connections_and_refuses_new_ones() {
    let scene = Scene::new(LinkConfig::default()).await;
    let other = node(TRAITOR, &[SERVER], LinkConfig::default());
    let connection = soon("connect", other.connect(scene.address(), id(SERVER))).await.unwrap();
    soon("exchange", exchange(&connection, b"before")).await;

    assert!(scene.server.pins().forget(&id(TRAITOR)));
    assert!(!scene.server.pins().forget(&id(TRAITOR)), "once");
    let closed = soon("closing", connection.closed()).await;
    assert_eq!(closed, Closed::ByPeer { code: close::UNPINNED, reason: "unpinned".to_owned() });
    let refused = soon("refusal", other.connect(scene.address(), id(SERVER))).await.unwrap_err();
    assert_eq!(refused, ConnectError::UnknownThere);
    assert_eq!(scene.server.metrics().unpinned, 1);
    scene.still_works().await;

    scene.server.pins().allow(key(TRAITOR).public_key()).unwrap();
    let connection = soon("connect", other.connect(scene.address(), id(SERVER))).await.unwrap();
    soon("exchange", exchange(&connection, b"after")).await;
}

#[tokio::test]
async fn a_node_that_connects_too_often_loses_its_oldest_connections() {
    let scene = Scene::new(LinkConfig { connections_per_peer_max: 2, ..LinkConfig::default() }).await;
    let other = node(TRAITOR, &[SERVER], LinkConfig::default());
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(soon("connect", other.connect(scene.address(), id(SERVER))).await.unwrap());
    }
    for superseded in &connections[..2] {
        let closed = soon("closing", superseded.closed()).await;
        assert_eq!(closed, Closed::ByPeer { code: close::SUPERSEDED, reason: "superseded".to_owned() });
    }
    for kept in &connections[2..] {
        soon("exchange", exchange(kept, b"kept")).await;
    }
    assert_eq!(scene.server.metrics().superseded, 2);
    soon("the honest node's connection", exchange(&scene.connection, b"untouched")).await;
}

#[tokio::test]
async fn connections_that_nobody_takes_are_closed_and_counted() {
    let server = node(SERVER, &[HONEST], LinkConfig { accept_queue_max: 1, ..LinkConfig::default() });
    let honest = node(HONEST, &[SERVER], LinkConfig::default());
    let address = server.local_addr().unwrap();
    let taken = soon("connect", honest.connect(address, id(SERVER))).await.unwrap();
    let refused = soon("refusal", honest.connect(address, id(SERVER))).await.unwrap_err();
    assert_eq!(refused, ConnectError::Busy);
    assert_eq!(server.metrics().refused(Refusal::NotTaken), 1);
    assert!(!taken.is_closed());
    assert!(soon("the first", server.accept()).await.is_some());
    soon("connect", honest.connect(address, id(SERVER))).await.expect("there is room again");
}

#[tokio::test]
async fn a_closed_endpoint_says_so_and_a_dropped_one_is_gone() {
    let scene = Scene::new(LinkConfig::default()).await;
    scene.server.close().await;
    let closed = soon("closing", scene.connection.closed()).await;
    assert!(matches!(closed, Closed::ByPeer { code: close::SHUT_DOWN, .. }), "{closed:?}");
    assert!(scene.server.accept().await.is_none());

    let alone = node(SERVER, &[HONEST], LinkConfig::default());
    let address = alone.local_addr().unwrap();
    drop(alone);
    let bind_again = async {
        while Endpoint::bind(address, &key(SERVER), Pins::new(), LinkConfig::default()).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the address to be free again", bind_again).await;
}

/// A hybrid key authenticates with its ML-DSA-65 half, so both nodes are one.
#[tokio::test]
async fn a_hybrid_key_connects_as_its_ml_dsa_65_half() {
    let hybrid = dsm_crypto::SecretKey::ed25519_ml_dsa_65(&[9; 32], &[HONEST; 32]).unwrap();
    let hybrid = TransportKey::ml_dsa_65(&hybrid).unwrap();
    assert_eq!(hybrid.node(), id(HONEST));
    assert!(!format!("{hybrid:?}").contains(&"02".repeat(16)), "no seed in sight");
    let scene = Scene::new(LinkConfig::default()).await;
    let core = Endpoint::bind(loopback(), &hybrid, pins(&[SERVER]), LinkConfig::default()).unwrap();
    let connection = soon("connect", core.connect(scene.address(), id(SERVER))).await.unwrap();
    soon("exchange", exchange(&connection, b"core")).await;
}

#[test]
fn only_ml_dsa_65_keys_are_pinned_and_not_too_many() {
    let pins = Pins::new();
    for length in [0, 32, 1951, 1953, 1984] {
        assert_eq!(pins.allow(&vec![1; length]), Err(KeyError::Length(length)));
    }
    for n in 0..64 {
        pins.allow(&[n; 1952]).unwrap();
    }
    assert_eq!(pins.allow(&[64; 1952]), Err(KeyError::TooMany(64)));
    pins.allow(&[3; 1952]).expect("it is in already");
    let dilithium = dsm_crypto::SecretKey::generate(dsm_abi::Suite::Dilithium3).unwrap();
    let refused = TransportKey::ml_dsa_65(&dilithium).unwrap_err();
    assert_eq!(refused, KeyError::Suite(dsm_abi::Suite::Dilithium3));
    assert_eq!(TransportKey::ml_dsa_65(&secret(1)).unwrap().node(), id(1));
}

#[tokio::test]
async fn o12_a_port_in_use_and_a_senseless_configuration_fail_with_the_reason() {
    let first = node(SERVER, &[], LinkConfig::default());
    let address = first.local_addr().unwrap();
    let again = Endpoint::bind(address, &key(SERVER), Pins::new(), LinkConfig::default()).unwrap_err();
    assert!(again.to_string().contains(&address.to_string()), "{again}");
    type Change = fn(&mut LinkConfig);
    let rows: [(&str, Change); 6] = [
        ("frame_bytes_max", |config| config.frame_bytes_max = 0),
        ("frame_bytes_max", |config| config.frame_bytes_max = u32::MAX),
        ("frames_underway_bytes_max", |config| config.frames_underway_bytes_max = 1),
        ("keep_alive", |config| config.keep_alive = config.idle_timeout),
        ("streams_max", |config| config.streams_max = 0),
        ("rate_bytes_per_second_min", |config| config.rate_bytes_per_second_min = 0),
    ];
    for (field, change) in rows {
        let mut config = LinkConfig::default();
        change(&mut config);
        assert_eq!(config.check().unwrap_err().field, field);
        assert!(Endpoint::bind(loopback(), &key(SERVER), Pins::new(), config).is_err(), "{field}");
    }
}
