//! The HTTP API from outside: a real node on a real socket, asked with bytes that a client might send.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

#[path = "../node/world.rs"]
#[allow(dead_code)]
mod world;

#[path = "../../../sdk/core/tests/state_machine/chain.rs"]
#[allow(dead_code)]
mod chain;

#[path = "../node/bridged.rs"]
#[allow(dead_code)]
mod bridged;

mod bridge;
mod documents;
mod events;
mod evidence;
mod http;
mod ledger;
mod line;
mod refusals;
mod server;
