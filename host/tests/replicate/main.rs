//! Replication from outside: levels, topology, fencing, restoration, with real storage nodes over real QUIC.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

mod cluster;
mod fencing;
mod http;
mod levels;
mod liar;
mod packages;
mod repair;
mod restoration;
mod topology;
#[path = "../node/world.rs"]
#[allow(dead_code)] // the world of another test, which uses more of it
mod world;
