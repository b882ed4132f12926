//! The real link, with its TLS, streams and timers, inside turmoil: one thread, virtual time, and a network that
//! loses, doubles, delays and parts as a seed says. The same seed gives the same packets.

mod cluster;
mod echo;
mod leader;
mod network;
mod storage;
mod world;
