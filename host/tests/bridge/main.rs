//! A bridge end to end: anvil behind the shim of test validators, `dsm node` in a process of its own, attestors, and a
//! relayer in a process of its own that is lied to, killed and raced. The oracle stands outside: what the contract
//! holds is what there is on DSM and what is on its way, and nothing is credited or released twice.
//!
//! Without anvil each test says aloud that it is skipped; `DSM_ANVIL_REQUIRED=1` makes that a failure.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

mod commands;
mod courier;
mod kills;
mod lies;
#[path = "../program/mod.rs"]
mod program;
mod replays;
mod sets;
#[path = "../../src/demo/bridge/site.rs"]
mod site;
mod town;
mod transfers;
