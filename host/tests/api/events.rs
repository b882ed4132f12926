//! The event stream: every durable record once and in order, from wherever the client stopped.

use crate::http::{OCTETS, connect, head};
use crate::server::Server;
use crate::world::sign;
use dsm_abi::AccountId;
use dsm_sdk::api::{EntryView, LogEvent};
use dsm_sdk::client::EventFilter;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The stream as bytes on the wire, without the framing of chunks.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn open(server: &Server, path: &str, headers: &[(&str, &str)]) -> Wire {
        let mut stream = connect(server.address);
        stream.write_all(head("GET", path, headers).as_bytes()).unwrap();
        let mut wire = Wire(BufReader::new(stream));
        assert!(wire.line().starts_with("HTTP/1.1 200"));
        let mut kind = String::new();
        loop {
            let line = wire.line().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-type: ") {
                kind = value.to_owned();
            }
        }
        assert_eq!(kind, "text/event-stream");
        wire
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next event, its three lines compared with one another.
    fn event(&mut self) -> LogEvent {
        let id = loop {
            if let Some(id) = self.line().strip_prefix("id: ") {
                break id.parse::<u64>().unwrap();
            }
        };
        let word = self.line().strip_prefix("event: ").unwrap().to_owned();
        let event: LogEvent = serde_json::from_str(self.line().strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((event.position, event.entry.word()), (id, word.as_str()));
        assert_eq!(self.line(), "", "an event ends with an empty line");
        event
    }
}

fn moves(event: &LogEvent, account: AccountId) -> bool {
    let EntryView::Transition(view) = &event.entry else { return false };
    view.accounts.iter().any(|head| head.account == account)
        || view.credits.iter().any(|credit| credit.to == account)
}

#[test]
fn the_stream_gives_all_records_in_order_and_goes_on_where_the_client_stopped() {
    let server = Server::new();
    let world = &server.world;
    for amount in 1..=70 {
        world.accept(sign(world.transfer(amount % 9 + 1), &[&world.alice]));
    }
    let last = world.node.status().position;
    assert!(last > 64, "more than the node reads at once");
    let mut wire = Wire::open(&server, "/v1/events?from=1", &[]);
    let all: Vec<_> = (1..=last).map(|_| wire.event()).collect();
    assert_eq!(all.iter().map(|event| event.position).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    assert!(matches!(all[0].entry, EntryView::Genesis(_)));

    let mut resumed = Wire::open(&server, "/v1/events?from=1", &[("last-event-id", "20")]);
    let rest: Vec<_> = (21..=last).map(|_| resumed.event()).collect();
    assert_eq!(rest, all[20..]);
    let filter = EventFilter { from: Some(last - 1), ..EventFilter::default() };
    let by_client: Vec<_> =
        server.client().events(&filter).unwrap().take(2).map(|event| event.unwrap()).collect();
    assert_eq!(by_client, all[all.len() - 2..]);

    let bob = world.bob.account;
    let expected: Vec<_> = all.iter().filter(|event| moves(event, bob)).cloned().collect();
    assert!(expected.len() > 70 && expected.len() < all.len());
    let filter = EventFilter { from: Some(1), account: Some(bob), ..EventFilter::default() };
    let found: Vec<_> = server.client().events(&filter).unwrap().take(expected.len()).collect();
    assert_eq!(found.into_iter().map(|event| event.unwrap()).collect::<Vec<_>>(), expected);
}

#[test]
fn a_record_arrives_when_it_has_become_durable() {
    let server = Server::new();
    let world = &server.world;
    let last = world.node.status().position;
    let mut live = Wire::open(&server, "/v1/events", &[]);
    let beyond = u64::MAX.to_string();
    let mut never = Wire::open(&server, "/v1/events", &[("last-event-id", &beyond)]);
    never.0.get_ref().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut tokens = Wire::open(&server, &format!("/v1/events?token={}", world.token), &[]);
    let receipt = server.client().submit(&sign(world.transfer(10), &[&world.alice])).unwrap();
    let event = live.event();
    assert_eq!((event.position, receipt.position), (last + 1, last + 1));
    let EntryView::Transition(view) = &event.entry else { panic!("{event:?}") };
    assert_eq!(view.transition, receipt.transition);
    assert_eq!(tokens.event(), event);
    let taken = server.client().take_checkpoint().unwrap();
    let event = live.event();
    assert_eq!((event.position, event.entry), (last + 2, EntryView::Checkpoint(taken)));
    // Heartbeats may come; nothing lies behind the last position there is.
    let mut line = String::new();
    while never.0.read_line(&mut line).is_ok() {
        assert!(line.trim_end().is_empty() || line.starts_with(':'), "{line}");
        line.clear();
    }
}

#[test]
fn streams_end_and_idle_connections_close_when_the_node_stops() {
    let mut server = Server::new();
    let mut live = Wire::open(&server, "/v1/events", &[]);
    let idle = connect(server.address);
    let mut kept = connect(server.address);
    kept.write_all(b"GET /v1/health HTTP/1.1\r\nhost: dsm\r\n\r\n").unwrap();
    assert!(BufReader::new(&kept).lines().next().unwrap().unwrap().starts_with("HTTP/1.1 200"));
    server.stop();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut live.0, &mut rest).unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(!rest.contains("data:"));
    assert!(rest.ends_with("0\r\n\r\n"), "it ended in order, and was not cut when the time was up: {rest:?}");
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
    // Both are closed long before the door's patience with them ends.
    for mut stream in [idle, kept] {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        std::io::Read::read_to_end(&mut stream, &mut Vec::new()).unwrap();
    }
}

#[test]
fn clients_that_stall_do_not_keep_a_node_from_stopping() {
    let mut server = Server::new();
    let world = &server.world;
    for amount in 1..=100 {
        world.accept(sign(world.transfer(amount % 4 + 1), &[&world.alice]));
    }
    // Each asks for the whole log and reads none of it, until the socket's buffers are full.
    let deaf: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = connect(server.address);
            let ask = head("GET", "/v1/events?from=1", &[]);
            stream.write_all(ask.as_bytes()).unwrap();
            stream
        })
        .collect();
    let mut half = connect(server.address);
    half.write_all(b"GET /v1/health HTTP/1.1\r\nho").unwrap();
    let mut silent = connect(server.address);
    let ask = head("POST", "/v1/transitions", &[("content-type", OCTETS), ("content-length", "9000")]);
    silent.write_all(ask.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.stop();
    drop((deaf, half, silent));
}
