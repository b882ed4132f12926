//! The link over real sockets: what it does for honest nodes while others attack. Names carry the ids of the threats.

// What helpers of tests cannot unwrap fails the test, which is what it should do.
#![allow(clippy::unwrap_used)]

mod floods;
mod frames;
mod handshakes;
mod nodes;
mod path;
