//! The API over TLS: a client that trusts the certificate, one that trusts another, and one that speaks none.

use crate::server::{Server, bank, rules};
use dsm_gateway::Limits;
use dsm_link::{Acceptor, trusting};
use dsm_sdk::client::{Client, ClientError};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const CERTIFICATE: &[u8] = include_bytes!("fixtures/certificate.pem");
const KEY: &[u8] = include_bytes!("fixtures/key.pem");
const OTHER: &[u8] = include_bytes!("fixtures/other.pem");

#[test]
fn who_trusts_the_certificate_is_answered_and_nobody_else_sends_a_key() {
    let server = Server::over_tls(rules(Limits::default()), Acceptor::from_pem(CERTIFICATE, KEY).unwrap());
    let url = format!("https://localhost:{}", server.address.port());
    let client = |trusted| Client::over_tls(&url, trusting(trusted).unwrap()).unwrap();
    let bank = bank().text;
    let known = client(CERTIFICATE).with_credential(&bank);
    assert_eq!(known.status().unwrap().network.network, server.node.network());
    assert_eq!(known.health().unwrap().status, "alive");
    assert_eq!(client(CERTIFICATE).status().unwrap_err().code(), "no_credentials", "rules hold over TLS too");
    let refused = client(OTHER).with_credential(&bank).status().unwrap_err();
    assert!(matches!(refused, ClientError::Unreachable { .. }), "{refused}");
    let elsewhere = format!("https://127.0.0.2:{}", server.address.port());
    assert!(
        Client::over_tls(&elsewhere, trusting(CERTIFICATE).unwrap()).unwrap().health().is_err(),
        "another name"
    );
    // A client that speaks no TLS is hung up on, and others go on meanwhile.
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    plain.write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let silent = TcpStream::connect(server.address).unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(known.health().is_ok());
    drop(silent);
    assert!(Client::new(&url).is_err(), "without certificates there is no https");
    assert!(Client::over_tls("http://localhost:1", trusting(CERTIFICATE).unwrap()).is_err());
}

#[test]
fn o12_certificates_and_keys_that_make_no_sense_are_refused() {
    let rows: &[(&[u8], &[u8], &str)] = &[
        (b"", KEY, "tls_certificate"),
        (KEY, KEY, "tls_certificate"),
        (CERTIFICATE, b"rubbish", "tls_key"),
        (CERTIFICATE, CERTIFICATE, "tls_key"),
        (OTHER, KEY, "tls_pair"),
    ];
    for (certificate, key, code) in rows {
        assert_eq!(Acceptor::from_pem(certificate, key).unwrap_err().code(), *code);
    }
    for pem in [&b""[..], b"rubbish", KEY] {
        assert_eq!(trusting(pem).map(drop).unwrap_err().code(), "tls_certificate");
    }
}
