//! S2, S4: streams of a node that is pinned and hostile all the same. It loses its connection; others keep theirs.

use crate::nodes::{
    HONEST, Intruder, SERVER, Scene, TRAITOR, exchange, id, impatient, loopback, node, pins, soon, until,
};
use dsm_link::{Closed, Endpoint, FrameError, LinkConfig, LinkMetrics, close};
use std::time::Duration;

/// What an intruder does on a stream.
enum Does {
    /// Writes these bytes, then keeps the stream open.
    Writes(Vec<u8>),
    /// Writes these bytes, then finishes the stream.
    Ends(Vec<u8>),
    /// Writes these bytes, then one more now and then: three before the frame's time is up.
    Trickles(Vec<u8>),
}

fn announcing(length: u32, bytes: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), bytes].concat()
}

#[tokio::test]
async fn s2_s4_frames_that_break_a_rule_cost_their_sender_the_connection() {
    let config = impatient();
    let (max, deadline) = (config.frame_bytes_max, config.frame_deadline);
    let scene = Scene::new(config).await;
    let too_long: fn(&LinkMetrics) -> u64 = |metrics| metrics.frames_too_long;
    let malformed: fn(&LinkMetrics) -> u64 = |metrics| metrics.frames_malformed;
    let too_slow: fn(&LinkMetrics) -> u64 = |metrics| metrics.frames_too_slow;
    let rows = [
        ("one byte too long", Does::Writes(announcing(max + 1, &[])), close::BAD_FRAME, too_long),
        ("four gigabytes", Does::Writes(announcing(u32::MAX, b"abc")), close::BAD_FRAME, too_long),
        ("an HTTP request", Does::Writes(b"GET / HTTP/1.1\r\n\r\n".to_vec()), close::BAD_FRAME, too_long),
        ("nothing announced", Does::Writes(announcing(0, &[])), close::BAD_FRAME, malformed),
        ("ends in the length", Does::Ends(vec![9, 0]), close::BAD_FRAME, malformed),
        ("ends in the frame", Does::Ends(announcing(10, b"nine byte")), close::BAD_FRAME, malformed),
        ("ends before the frame", Does::Ends(announcing(10, &[])), close::BAD_FRAME, malformed),
        ("a whole frame, then half a one", Does::Ends(announcing(1, b"a\x05")), close::BAD_FRAME, malformed),
        ("stops in the length", Does::Writes(vec![9]), close::TOO_SLOW, too_slow),
        ("stops in the frame", Does::Writes(announcing(max, &[1; 5000])), close::TOO_SLOW, too_slow),
        ("one byte after the other", Does::Trickles(announcing(60, &[])), close::TOO_SLOW, too_slow),
        ("the length in bytes", Does::Trickles(Vec::new()), close::TOO_SLOW, too_slow),
    ];
    for (name, does, code, counter) in rows {
        let before = counter(&scene.server.metrics());
        let (_endpoint, connection) = Intruder::default().connect(scene.address()).await.unwrap();
        let (mut send, _recv) = soon("a stream", connection.open_bi()).await.unwrap();
        match does {
            Does::Writes(bytes) => send.write_all(&bytes).await.unwrap(),
            Does::Ends(bytes) => {
                send.write_all(&bytes).await.unwrap();
                send.finish().unwrap();
            }
            Does::Trickles(bytes) => {
                send.write_all(&bytes).await.unwrap();
                let trickle = async {
                    while send.write_all(&[1]).await.is_ok() {
                        tokio::time::sleep(deadline * 2 / 5).await;
                    }
                };
                soon("the trickle to be cut", trickle).await;
            }
        }
        let end = soon(name, connection.closed()).await;
        let quinn::ConnectionError::ApplicationClosed(end) = end else { panic!("{name}: {end:?}") };
        assert_eq!(end.error_code, code.into(), "{name}");
        until(name, &scene.server, |now| counter(now) == before + 1).await;
        soon("the honest node meanwhile", exchange(&scene.connection, name.as_bytes())).await;
    }
    scene.still_works().await;
}

/// S4: takes no byte of what it asked for. The sender's window fills up, then its patience ends.
#[tokio::test]
async fn s4_a_peer_that_never_reads_is_cut() {
    let config = LinkConfig { connection_window_bytes: 1 << 20, ..impatient() };
    let scene = Scene::new(config).await;
    let (_endpoint, connection) = Intruder::default().connect(scene.address()).await.unwrap();
    connection.set_receive_window(100_000_u32.into());
    let (mut send, _recv) = soon("a stream", connection.open_bi()).await.unwrap();
    let feed = async {
        let frame = announcing(500_000, &vec![1; 500_000]);
        while send.write_all(&frame).await.is_ok() {}
    };
    soon("being cut", feed).await;
    let end = soon("the end", connection.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(end) = end else { panic!("{end:?}") };
    assert_eq!(end.error_code, close::TOO_SLOW.into());
    until("counted", &scene.server, |now| now.frames_too_slow == 1).await;
    scene.still_works().await;
}

/// Two nodes of ours, the first of which is called.
async fn two(config: LinkConfig) -> (Endpoint, Endpoint, dsm_link::Connection, dsm_link::Connection) {
    let server = node(SERVER, &[HONEST], config.clone());
    let client = node(HONEST, &[SERVER], config);
    let (made, accepted) = tokio::join!(
        soon("connect", client.connect(server.local_addr().unwrap(), id(SERVER))),
        soon("accept", server.accept())
    );
    (server, client, made.unwrap(), accepted.unwrap())
}

/// S2: an answer of another length than allowed is not even begun by an honest sender.
#[tokio::test]
async fn s2_a_sender_keeps_to_its_own_limits() {
    let (_server, _client, connection, other) = two(impatient()).await;
    let max = impatient().frame_bytes_max as usize;
    let mut stream = connection.open_stream().await.unwrap();
    let refused = stream.send(vec![0; max + 1]).await.unwrap_err();
    assert_eq!(refused, FrameError::TooLong { length: max + 1, max });
    assert_eq!(stream.send(Vec::new()).await.unwrap_err(), FrameError::Empty);
    let longest = vec![5; max];
    stream.send(longest.clone()).await.unwrap();
    stream.send(vec![6]).await.unwrap();
    stream.finish();
    let mut received = soon("a stream", other.accept_stream()).await.unwrap();
    assert!(soon("the longest", received.recv()).await.unwrap() == longest);
    assert_eq!(soon("the shortest", received.recv()).await.unwrap(), [6]);
    assert_eq!(soon("the end", received.recv()).await.unwrap_err(), FrameError::Finished);
    assert!(!other.is_closed(), "finishing is no offence");
    assert_eq!(other.peer(), id(HONEST));
    assert_eq!(connection.peer(), id(SERVER));
}

/// Waiting for a first byte may be given up and taken up again, also within a frame: nothing is lost.
#[tokio::test]
async fn a_receiver_that_is_interrupted_loses_nothing() {
    let config = LinkConfig { stream_window_bytes: 40_000, ..LinkConfig::default() };
    let (_server, _client, connection, other) = two(config).await;
    let (mut sender, _receiver) = connection.open_stream().await.unwrap().split();
    let frames: Vec<Vec<u8>> = (1..=40_usize).map(|n| vec![n as u8; n * n * 90]).collect();
    let sent = frames.clone();
    let sending = tokio::spawn(async move {
        for frame in sent {
            sender.send(frame).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        sender
    });
    let (_sender, mut receiver) = soon("a stream", other.accept_stream()).await.unwrap().split();
    let mut interrupted = 0;
    for expected in &frames {
        let frame = loop {
            tokio::select! {
                biased;
                frame = receiver.recv() => break frame.unwrap(),
                () = std::future::ready(()) => interrupted += 1,
            }
            tokio::task::yield_now().await;
        };
        assert!(frame == *expected);
    }
    assert!(interrupted > 100, "{interrupted} interruptions test nothing");
    let nothing = receiver.recv_within(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(nothing, FrameError::TooSlow);
    assert!(!other.is_closed(), "silence between frames is no offence");
    drop(soon("the sender", sending).await.unwrap());
    assert!(receiver.recv().await.is_err());
}

/// A send that is dropped halfway must not let the next frame be read as the rest of it.
#[tokio::test]
async fn a_frame_abandoned_halfway_ends_its_stream() {
    let config = LinkConfig { stream_window_bytes: 10_000, ..LinkConfig::default() };
    let (_server, _client, connection, _other) = two(config).await;
    let mut stream = connection.open_stream().await.unwrap();
    let abandoned = tokio::time::timeout(Duration::from_millis(50), stream.send(vec![1; 60_000])).await;
    assert!(abandoned.is_err(), "nobody reads, so it cannot be through");
    assert_eq!(stream.send(vec![2]).await.unwrap_err(), FrameError::Abandoned);
}

#[tokio::test]
async fn a_stream_given_up_says_so_to_both_ends() {
    let (_server, _client, connection, other) = two(LinkConfig::default()).await;
    let (mut sender, _receiver) = connection.open_stream().await.unwrap().split();
    sender.send(vec![1]).await.unwrap();
    let (_back, mut receiver) = soon("a stream", other.accept_stream()).await.unwrap().split();
    assert_eq!(soon("a frame", receiver.recv()).await.unwrap(), [1]);
    sender.give_up(300);
    assert_eq!(soon("the end", receiver.recv()).await.unwrap_err(), FrameError::GivenUp(300));

    let (mut sender, _receiver) = connection.open_stream().await.unwrap().split();
    sender.send(vec![1]).await.unwrap();
    let (_back, mut receiver) = soon("a stream", other.accept_stream()).await.unwrap().split();
    receiver.give_up(301);
    let refused = async {
        loop {
            if let Err(error) = sender.send(vec![1; 1000]).await {
                return error;
            }
        }
    };
    assert_eq!(soon("the other end to hear of it", refused).await, FrameError::GivenUp(301));
}

#[tokio::test]
async fn a_connection_is_closed_with_a_code_and_a_reason() {
    let (_server, _client, connection, other) = two(LinkConfig::default()).await;
    connection.close(close::PROTOCOL + 7, "a reason");
    let closed = soon("the end", other.closed()).await;
    assert_eq!(closed, Closed::ByPeer { code: close::PROTOCOL + 7, reason: "a reason".to_owned() });
}

/// A dropped connection is closed, and both ends count it as gone.
#[tokio::test]
async fn a_dropped_connection_is_closed() {
    let (server, client, connection, other) = two(LinkConfig::default()).await;
    assert_eq!((client.metrics().open, server.metrics().open), (1, 1));
    let stream = connection.open_stream().await.unwrap();
    drop(connection);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!other.is_closed(), "a stream keeps it");
    drop(stream);
    let closed = soon("the end", other.closed()).await;
    assert!(matches!(closed, Closed::ByPeer { code: close::DONE, .. }), "{closed:?}");
    until("gone", &server, |metrics| metrics.open == 0).await;
    until("gone", &client, |metrics| metrics.open == 0).await;
}

/// O9: a peer that hears nothing any more notices, and so does the other one.
#[tokio::test]
async fn o7_silence_ends_a_connection_and_keep_alives_keep_one() {
    let config = LinkConfig {
        keep_alive: Duration::from_millis(250),
        idle_timeout: Duration::from_secs(5),
        ..LinkConfig::default()
    };
    let (_server, _client, connection, _other) = two(config.clone()).await;
    tokio::time::sleep(2 * config.idle_timeout).await;
    assert!(!connection.is_closed(), "idle, and kept alive");

    let relay = crate::path::Relay::between(loopback(), |_| crate::path::Fate::Passes).await;
    let server =
        Endpoint::bind(loopback(), &crate::nodes::key(SERVER), pins(&[TRAITOR]), config.clone()).unwrap();
    relay.forward_to(server.local_addr().unwrap());
    let client = node(TRAITOR, &[SERVER], config);
    let connection = soon("connect", client.connect(relay.address(), id(SERVER))).await.unwrap();
    relay.cut();
    assert_eq!(soon("the end", connection.closed()).await, Closed::TimedOut);
    until("the other end", &server, |metrics| metrics.open == 0).await;
}
