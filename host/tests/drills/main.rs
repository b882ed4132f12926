//! Drills with real processes: a core node and three storage nodes under load, paused and cut off from each other.
//!
//! Eight clients write at `replicated:2` from outside and keep every receipt; what was acknowledged must be there at the
//! end. `DSM_PAUSE_S=30` makes the pause as long as it should be once in a while. Partitions and full disks need root, so they are run
//! by name: `cargo test -p dsm-host --test drills -- --ignored --nocapture`. All need the storage node's program:
//! `cargo build --workspace --bins`, which `cargo test --workspace` does by itself. Kills are in `tests/killing`.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

mod full;
mod partition;
mod pause;
mod process;
mod writing;

use dsm_abi::Digest;
use dsm_sdk::client::Client;
use std::path::Path;
use std::time::{Duration, Instant};

/// Nothing here takes so long; it only keeps a drill that hangs from hanging for ever.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn digest(hex: &str) -> Digest {
    hex.parse().unwrap()
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until every storage node has acknowledged what the core node had when this was called.
pub(crate) fn caught_up(client: &Client, what: &str) {
    let position = client.topology().unwrap().position;
    eventually(what, || client.topology().unwrap().members.iter().all(|one| one.acked >= position));
}
