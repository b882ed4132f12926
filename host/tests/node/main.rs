//! The node from outside: what it accepts, what it refuses and with which code, and what survives.

#[path = "../engine/guest.rs"]
#[allow(dead_code)]
mod guest;

mod crash;
mod policies;
mod refusals;
mod world;
