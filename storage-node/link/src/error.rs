//! What can go wrong, each with a word that programs can rely on.

use crate::config::ConfigError;
use dsm_abi::Digest;
use std::net::SocketAddr;

/// Codes with which this crate closes connections. Those of the protocols above begin at [`close::PROTOCOL`].
pub mod close {
    /// Nothing more to say.
    pub const DONE: u32 = 0;
    /// The peer's key is no longer pinned.
    pub const UNPINNED: u32 = 1;
    /// A frame, or the room for one, did not come in time.
    pub const TOO_SLOW: u32 = 2;
    /// A frame is empty, too long, or ends early.
    pub const BAD_FRAME: u32 = 3;
    /// The peer has newer connections.
    pub const SUPERSEDED: u32 = 4;
    /// The endpoint is being closed.
    pub const SHUT_DOWN: u32 = 5;
    /// Nobody takes new connections here.
    pub const BUSY: u32 = 6;
    /// The first code that is not ours.
    pub const PROTOCOL: u32 = 256;
}

/// The endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The socket.
    #[error("{address}: {error}")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// TLS does not take this key.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Why this end could not connect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The node is not in this end's own set of pins.
    #[error("node {0} is not pinned here")]
    NotPinned(Digest),
    /// No packet can be sent there.
    #[error("cannot connect to {address}: {why}")]
    Address {
        /// Where.
        address: SocketAddr,
        /// Why not.
        why: String,
    },
    /// Another node answers there, or one that cannot prove its key.
    #[error("another key answers there than that of node {0}")]
    WrongKey(Digest),
    /// The other end does not know this end's key.
    #[error("the other end does not know this node's key")]
    UnknownThere,
    /// The other end does not speak X25519MLKEM768, or no raw ML-DSA-65 keys; TLS does not tell which.
    #[error("the other end does not take X25519MLKEM768 with raw ML-DSA-65 keys")]
    Incompatible,
    /// The other end speaks another version of the protocol.
    #[error("the other end does not speak {}", String::from_utf8_lossy(crate::tls::PROTOCOL))]
    OtherProtocol,
    /// The other end takes no connection now.
    #[error("the other end takes no connection now")]
    Busy,
    /// Nothing came in time.
    #[error("no answer in time")]
    TimedOut,
    /// The other end closed, or broke a rule.
    #[error("the connection ended while it was made: {0}")]
    Closed(#[from] Closed),
}

impl ConnectError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            ConnectError::NotPinned(_) => "not_pinned",
            ConnectError::Address { .. } => "bad_address",
            ConnectError::WrongKey(_) => "wrong_key",
            ConnectError::UnknownThere => "unknown_there",
            ConnectError::Incompatible => "incompatible",
            ConnectError::OtherProtocol => "other_protocol",
            ConnectError::Busy => "busy",
            ConnectError::TimedOut => "timed_out",
            ConnectError::Closed(closed) => closed.code(),
        }
    }
}

/// Why a connection is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// This end closed it.
    #[error("closed by this end")]
    Here,
    /// The other end closed it.
    #[error("closed by the other end: {reason} ({code})")]
    ByPeer {
        /// One of [`close`], or the protocol's.
        code: u32,
        /// In words, at most 256 bytes of it.
        reason: String,
    },
    /// Nothing was heard for the idle time-out.
    #[error("nothing heard any more")]
    TimedOut,
    /// The other end has forgotten the connection; it has probably restarted.
    #[error("forgotten by the other end")]
    Reset,
    /// A rule of QUIC or TLS was broken.
    #[error("transport: {0}")]
    Transport(String),
}

/// Bytes of a peer's reason that are kept.
const REASON_BYTES_MAX: usize = 256;

impl Closed {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Closed::Here => "closed_here",
            Closed::ByPeer { .. } => "closed_by_peer",
            Closed::TimedOut => "timed_out",
            Closed::Reset => "reset",
            Closed::Transport(_) => "transport",
        }
    }
}

impl From<quinn::ConnectionError> for Closed {
    fn from(error: quinn::ConnectionError) -> Closed {
        use quinn::ConnectionError as E;
        match error {
            E::ApplicationClosed(close) => {
                let kept = &close.reason[..close.reason.len().min(REASON_BYTES_MAX)];
                // Codes of ours are small; a larger one is somebody else's and says nothing more than "the largest".
                let code = u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX);
                let reason = String::from_utf8_lossy(kept).escape_debug().to_string();
                Closed::ByPeer { code, reason }
            }
            E::TimedOut => Closed::TimedOut,
            E::Reset => Closed::Reset,
            E::LocallyClosed => Closed::Here,
            E::VersionMismatch | E::TransportError(_) | E::ConnectionClosed(_) | E::CidsExhausted => {
                Closed::Transport(error.to_string().escape_debug().take(REASON_BYTES_MAX).collect())
            }
        }
    }
}

/// Why a frame did not come or go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The stream ended between two frames, as it should.
    #[error("the stream is finished")]
    Finished,
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Truncated,
    /// The frame announces no bytes.
    #[error("an empty frame")]
    Empty,
    /// The frame announces, or has, more bytes than allowed.
    #[error("a frame of {length} bytes, of at most {max}")]
    TooLong {
        /// Announced, or given.
        length: usize,
        /// Allowed.
        max: usize,
    },
    /// The frame took longer than its time; the connection was closed.
    #[error("a frame took longer than its time")]
    TooSlow,
    /// The other end allows no further stream.
    #[error("the other end allows no further stream")]
    NoStream,
    /// The other end gave up this stream.
    #[error("the other end gave up the stream ({0})")]
    GivenUp(u64),
    /// An earlier send on this stream was abandoned within a frame.
    #[error("an earlier frame on this stream was abandoned")]
    Abandoned,
    /// The connection is no more.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl FrameError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            FrameError::Finished => "finished",
            FrameError::Truncated => "truncated",
            FrameError::Empty => "empty_frame",
            FrameError::TooLong { .. } => "too_long",
            FrameError::TooSlow => "too_slow",
            FrameError::NoStream => "no_stream",
            FrameError::GivenUp(_) => "given_up",
            FrameError::Abandoned => "abandoned",
            FrameError::Closed(closed) => closed.code(),
        }
    }
}

/// Why a handshake that somebody began with this endpoint made no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The client proved a key that is not pinned, or showed something that is no ML-DSA-65 key.
    UnknownKey,
    /// The client shows no raw public key.
    NoKey,
    /// The client does not offer X25519MLKEM768.
    NoCommonGroup,
    /// The client speaks another protocol, or another version of it.
    OtherProtocol,
    /// The client's signature over the handshake, or another part of it, is wrong.
    BadHandshake,
    /// The client left, for instance because it does not know this node's key.
    Aborted,
    /// The client did not go on in time.
    TimedOut,
    /// Too many handshakes are under way.
    TooMany,
    /// Too many handshakes of that address failed a moment ago.
    TooManyFailures,
    /// Nobody takes the connections that are ready.
    NotTaken,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 10] = [
        Refusal::UnknownKey,
        Refusal::NoKey,
        Refusal::NoCommonGroup,
        Refusal::OtherProtocol,
        Refusal::BadHandshake,
        Refusal::Aborted,
        Refusal::TimedOut,
        Refusal::TooMany,
        Refusal::TooManyFailures,
        Refusal::NotTaken,
    ];

    /// The stable word, for instance as the label of a metric.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::UnknownKey => "unknown_key",
            Refusal::NoKey => "no_key",
            Refusal::NoCommonGroup => "no_common_group",
            Refusal::OtherProtocol => "other_protocol",
            Refusal::BadHandshake => "bad_handshake",
            Refusal::Aborted => "aborted",
            Refusal::TimedOut => "timed_out",
            Refusal::TooMany => "too_many",
            Refusal::TooManyFailures => "too_many_failures",
            Refusal::NotTaken => "not_taken",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The counters are an array in this order.
    #[test]
    fn every_refusal_has_its_place_and_its_word() {
        for (place, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place, "{reason:?}");
        }
        let words: BTreeSet<_> = Refusal::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(words.len(), Refusal::ALL.len());
    }
}
