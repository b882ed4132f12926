//! The real link, with its TLS, streams and timers, inside turmoil: one thread, virtual time, and a network that
//! loses, doubles, delays and parts as a seed says. The same seed gives the same packets.

// What helpers of tests cannot unwrap fails the test, which is what it should do.
#![allow(clippy::unwrap_used)]

mod cluster;
mod echo;
mod leader;
mod network;
mod storage;
mod world;
