//! The line in front of a node that stands still: whoever submits is told so before a body is read, and loses neither
//! the answer nor, where the body was sent all the same, the connection.

use crate::http::{OCTETS, connect};
use crate::server::Server;
use crate::world::sign;
use dsm_abi::encode;
use dsm_host::node::Place;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const TRANSITIONS: &str = "/v1/transitions";
const BATCH: &str = "/v1/transitions/batch";

/// Submissions that are never answered, until the node has seen for a while that they are not.
fn full(server: &Server) -> Place {
    let node = &server.world.node;
    let place = node.line_up(1000).expect("nobody knows yet how slow it is");
    let deadline = Instant::now() + Duration::from_secs(60);
    while node.check_line().is_ok() {
        assert!(Instant::now() < deadline, "the line is never too long");
        std::thread::sleep(Duration::from_millis(20));
    }
    place
}

fn head(path: &str, length: usize, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: dsm\r\ncontent-type: {OCTETS}\r\ncontent-length: {length}\r\n{more}\r\n"
    )
}

/// One answer, of a connection that may go on: its head in lower case, without its body.
fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
    head
}

fn assert_turned_away(head: &str, what: &str) {
    assert!(head.starts_with("http/1.1 503 "), "{what}: {head}");
    assert!(head.contains("\r\nretry-after: 1\r\n"), "{what}: {head}");
}

fn assert_goes_on(stream: &mut TcpStream, what: &str) {
    stream.write_all(b"GET /v1/health HTTP/1.1\r\nhost: dsm\r\n\r\n").unwrap();
    let head = answer(stream);
    assert!(head.starts_with("http/1.1 200 "), "{what}: {head}");
}

#[test]
fn a_full_line_is_told_before_the_body_and_the_connection_goes_on() {
    let server = Server::new();
    let _full = full(&server);
    for (path, length) in [(TRANSITIONS, 4_000), (BATCH, 3_000_000)] {
        let mut stream = connect(server.address);
        stream.write_all(head(path, length, "").as_bytes()).unwrap();
        assert_turned_away(&answer(&mut stream), path);
        // What it had on its way is taken, and is not the next request.
        stream.write_all(&vec![b'G'; length]).unwrap();
        assert_goes_on(&mut stream, path);
    }
}

#[test]
fn whoever_waits_to_be_asked_for_the_body_is_not_asked_while_the_line_is_full() {
    let server = Server::new();
    let place = full(&server);
    let bytes = encode(&vec![encode(&sign(server.world.transfer(10), &[&server.world.alice]))]);
    let asking = head(BATCH, bytes.len(), "expect: 100-continue\r\n");
    let mut stream = connect(server.address);
    stream.write_all(asking.as_bytes()).unwrap();
    let told = answer(&mut stream);
    assert_turned_away(&told, "a batch that waits");
    assert!(told.contains("\r\nconnection: close\r\n"), "{told}");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the connection ends in order");
    drop(place);
    let mut stream = connect(server.address);
    stream.write_all(asking.as_bytes()).unwrap();
    assert_eq!(answer(&mut stream), "http/1.1 100 continue\r\n\r\n");
    stream.write_all(&bytes).unwrap();
    let head = answer(&mut stream);
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_goes_on(&mut stream, "after the batch");
}

#[test]
fn a_line_that_fills_while_a_batch_is_on_its_way_turns_it_away_as_a_whole() {
    let server = Server::new();
    let before = server.world.fingerprint();
    let bytes = encode(&vec![encode(&sign(server.world.transfer(10), &[&server.world.alice]))]);
    let mut stream = connect(server.address);
    stream.write_all(head(BATCH, bytes.len(), "expect: 100-continue\r\n").as_bytes()).unwrap();
    assert_eq!(answer(&mut stream), "http/1.1 100 continue\r\n\r\n");
    let _full = full(&server);
    stream.write_all(&bytes).unwrap();
    assert_turned_away(&answer(&mut stream), "the batch");
    assert_eq!(server.world.fingerprint(), before);
    assert_goes_on(&mut stream, "after it");
}
