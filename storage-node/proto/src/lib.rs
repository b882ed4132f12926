//! Replication of the log as a pure state machine: `handle_*` takes what happened, `poll` says what to do.
//!
//! One [`Leader`] (the core node) ships its records to every [`Follower`] (storage node) itself. A follower acks a
//! head, signed, when its log is durable through it. Epochs fence old writers: a follower makes the highest
//! [`Topology`] durable before it answers, and refuses every lower one from then on.
//!
//! Left out on purpose: sockets, files, clocks, randomness, threads and signature schemes. Time is an argument,
//! signatures are verified through a trait and made by the shell, reads and writes of the log are outputs whose
//! results come back as inputs. What records mean is not known here.
#![no_std]
extern crate alloc;

/// Whether a bug is switched on; without the simulator there is none.
#[cfg(feature = "sim")]
macro_rules! planted {
    ($self:expr, $bug:ident) => {
        $self.planted == Some(crate::sim::Bug::$bug)
    };
}
#[cfg(not(feature = "sim"))]
macro_rules! planted {
    ($self:expr, $bug:ident) => {
        false
    };
}

pub mod fetch;
mod follower;
mod frame;
mod head;
mod leader;
pub mod limit;
pub mod reconcile;
pub mod restore;
pub mod search;
#[cfg(feature = "sim")]
pub mod sim;
mod topology;

pub use follower::{AppendFailure, ConnectionId, Follower, FollowerConfig, FollowerOutput, FollowerStatus};
pub use frame::{Ack, Append, Evidence, Frame, FrameError, Hello, Nack, Refusal, Welcome};
pub use head::{Head, Micros, NodeId, Record};
pub use leader::{
    Fault, Leader, LeaderConfig, LeaderOutput, Level, PeerState, PeerStatus, ReadFailure, ReadId, Standing,
    Start, SwitchError,
};
pub use topology::{Member, Promise, SignedTopology, Topology, TopologyError};
