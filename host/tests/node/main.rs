//! The node from outside: what it accepts, what it refuses and with which code, and what survives.
// What helpers of tests cannot unwrap fails the test, which is what it should do.
#![allow(clippy::unwrap_used)]

#[path = "../engine/guest.rs"]
#[allow(dead_code)]
mod guest;

#[path = "../../../sdk/core/tests/state_machine/chain.rs"]
#[allow(dead_code)]
mod chain;

mod bridge;
mod bridged;
mod composition;
mod crash;
mod evidence;
mod pages;
mod policies;
mod refusals;
mod upgrades;
mod world;
