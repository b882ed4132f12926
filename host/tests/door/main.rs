//! The door of the API over real HTTP: who gets in, how often, from which page, and what is written down about it; and
//! the operator's side of it with the real binary.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

#[path = "../node/world.rs"]
#[allow(dead_code)] // the world of another test, which uses more of it
mod world;

mod audit;
mod http;
mod operator;
mod rules;
mod server;
mod tls;
