//! The protocol from outside: what goes over the wire, and what each enemy gets.
#![allow(clippy::unwrap_used)]

mod codec;
mod fetching;
mod follower;
mod leader;
mod topology;
mod world;
