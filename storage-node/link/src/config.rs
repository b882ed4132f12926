//! Limits and times of an endpoint.

use std::time::Duration;

/// No frame is longer, whatever the configuration says: one frame must fit into memory several times.
const FRAME_BYTES_CEILING: u32 = 64 << 20;
/// quinn refuses windows and counts that do not fit its variable-length integers; ours are far below.
const WINDOW_BYTES_CEILING: u32 = 1 << 30;
/// Streams that a peer may keep open at most.
const STREAMS_CEILING: u32 = 4096;

/// Limits and times of an endpoint. Every field may be changed; [`LinkConfig::check`] says what cannot work.
///
/// Windows: a stream carries at most `stream_window_bytes` per round trip, so 8 MiB are 1 Gb/s at 64 ms. What a
/// hostile peer can make this process hold is, per connection, `connection_window_bytes` (received, unread) plus
/// `frames_underway_bytes_max` (frames being put together) plus twice the window (sent, unacknowledged).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkConfig {
    /// Longest frame, in bytes, in either direction. The default carries one longest record of the log.
    pub frame_bytes_max: u32,
    /// What a frame may take from its first byte to its last, besides its length over the minimum rate.
    pub frame_deadline: Duration,
    /// Slowest peer: a frame of n bytes may take `frame_deadline + n / rate`.
    pub rate_bytes_per_second_min: u32,
    /// Frames that arrive at the same time on one connection, in bytes; further ones wait unread.
    pub frames_underway_bytes_max: u32,
    /// Streams that a peer may have open at the same time.
    pub streams_max: u32,
    /// Flow control of one stream.
    pub stream_window_bytes: u32,
    /// Flow control of a connection.
    pub connection_window_bytes: u32,
    /// A silent connection is kept alive this often.
    pub keep_alive: Duration,
    /// A connection that hears nothing for this long is dead.
    pub idle_timeout: Duration,
    /// What connecting may take, from the first packet to the server's first byte.
    pub handshake_timeout: Duration,
    /// Handshakes under way from addresses that have proved nothing; beyond, clients have to prove theirs (`Retry`).
    pub handshakes_unproved_max: usize,
    /// Handshakes under way from addresses that have been proved; beyond, they are refused.
    pub handshakes_proved_max: usize,
    /// Handshakes under way from one address (IPv6: one /64).
    pub handshakes_per_address_max: usize,
    /// Failed handshakes of one proved address within `failure_window`; beyond, it is refused until the window ends.
    pub failures_per_address_max: u32,
    /// See `failures_per_address_max`.
    pub failure_window: Duration,
    /// Connections of one peer; a further one closes the oldest, because a node that restarted is right.
    pub connections_per_peer_max: usize,
    /// Connections that were judged and that nobody has accepted yet.
    pub accept_queue_max: usize,
}

impl Default for LinkConfig {
    fn default() -> LinkConfig {
        LinkConfig {
            frame_bytes_max: (16 << 20) + (64 << 10),
            frame_deadline: Duration::from_secs(10),
            rate_bytes_per_second_min: 64 << 10,
            frames_underway_bytes_max: 40 << 20,
            streams_max: 64,
            stream_window_bytes: 8 << 20,
            connection_window_bytes: 16 << 20,
            keep_alive: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(5),
            handshakes_unproved_max: 64,
            handshakes_proved_max: 256,
            handshakes_per_address_max: 16,
            failures_per_address_max: 64,
            failure_window: Duration::from_secs(10),
            connections_per_peer_max: 4,
            accept_queue_max: 64,
        }
    }
}

/// A configuration that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {rule}")]
pub struct ConfigError {
    /// The field of [`LinkConfig`].
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl LinkConfig {
    /// Says which field cannot work.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let windows = 1..=WINDOW_BYTES_CEILING;
        let rules = [
            ((1..=FRAME_BYTES_CEILING).contains(&self.frame_bytes_max), "frame_bytes_max", "1 to 64 MiB"),
            (self.rate_bytes_per_second_min > 0, "rate_bytes_per_second_min", "above 0"),
            (
                self.frames_underway_bytes_max >= self.frame_bytes_max,
                "frames_underway_bytes_max",
                "at least frame_bytes_max",
            ),
            (
                self.frames_underway_bytes_max <= WINDOW_BYTES_CEILING,
                "frames_underway_bytes_max",
                "at most 1 GiB",
            ),
            ((1..=STREAMS_CEILING).contains(&self.streams_max), "streams_max", "1 to 4096"),
            (windows.contains(&self.stream_window_bytes), "stream_window_bytes", "1 to 1 GiB"),
            (windows.contains(&self.connection_window_bytes), "connection_window_bytes", "1 to 1 GiB"),
            (self.keep_alive < self.idle_timeout, "keep_alive", "shorter than idle_timeout"),
            (self.idle_timeout <= Duration::from_secs(3600), "idle_timeout", "at most an hour"),
            (!self.handshake_timeout.is_zero(), "handshake_timeout", "above 0"),
            (!self.frame_deadline.is_zero(), "frame_deadline", "above 0"),
            (self.handshakes_proved_max > 0, "handshakes_proved_max", "above 0"),
            (self.handshakes_per_address_max > 0, "handshakes_per_address_max", "above 0"),
            (self.connections_per_peer_max > 0, "connections_per_peer_max", "above 0"),
            (self.accept_queue_max > 0, "accept_queue_max", "above 0"),
        ];
        match rules.into_iter().find(|(kept, ..)| !kept) {
            Some((_, field, rule)) => Err(ConfigError { field, rule }),
            None => Ok(()),
        }
    }

    /// What a frame of `bytes` may take.
    pub(crate) fn frame_time(&self, bytes: usize) -> Duration {
        // A length is below 2^26 and the rate at least 1: the product with a thousand fits 64 bits.
        let millis = bytes as u64 * 1000 / u64::from(self.rate_bytes_per_second_min);
        self.frame_deadline + Duration::from_millis(millis)
    }

    /// The settings of QUIC. Measured: segmentation offload (on by default) is worth a factor of four, packets above
    /// 1,452 bytes fall back to 1,200, and an unbounded receive window is a peer's to fill.
    pub(crate) fn transport(&self, uni_streams: u8) -> quinn::TransportConfig {
        let mut discovery = quinn::MtuDiscoveryConfig::default();
        discovery.upper_bound(1452);
        let mut transport = quinn::TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(self.streams_max.into())
            .max_concurrent_uni_streams(uni_streams.into())
            .stream_receive_window(self.stream_window_bytes.into())
            .receive_window(self.connection_window_bytes.into())
            .send_window(2 * u64::from(self.connection_window_bytes))
            .keep_alive_interval(Some(self.keep_alive))
            .max_idle_timeout(quinn::IdleTimeout::try_from(self.idle_timeout).ok())
            .mtu_discovery_config(Some(discovery))
            .congestion_controller_factory(std::sync::Arc::new(quinn::congestion::CubicConfig::default()))
            .datagram_receive_buffer_size(None)
            .enable_segmentation_offload(true);
        transport
    }
}
