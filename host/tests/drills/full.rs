//! A small disk fills up: writes are refused with a clear code, reads go on, and so do writes when there is room (O4).

use crate::process::{Place, core};
use crate::writing::open_account;
use crate::{eventually, text};
use dsm_abi::TransitionId;
use dsm_sdk::client::Client;
use dsm_sdk::receipt::Durability;
use std::path::Path;
use std::process::Command;

/// The disk, and what somebody else has on it.
const DISK: &str = "size=24m";
const BALLAST_BYTES: usize = 8 << 20;

/// A file system in memory; unmounted when this is dropped.
struct Tmpfs<'a>(&'a Path);

impl Tmpfs<'_> {
    fn mount(path: &Path) -> Tmpfs<'_> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs", text(path)]).status();
        assert!(mounted.unwrap().success(), "mount a tmpfs");
        Tmpfs(path)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        // The folder is temporary: if it stays mounted, so be it.
        drop(Command::new("umount").args(["--lazy", text(self.0)]).status());
    }
}

#[test]
#[ignore = "needs root to mount a small disk"]
fn o4_a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Tmpfs::mount(folder.path());
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![7; BALLAST_BYTES]).unwrap();
    let node = core(&Place::here(), 0, &disk.0.join("core"), &[]);
    let client = Client::new(node.word("url")).unwrap();
    eventually("the node takes requests", || client.ready().is_ok());
    let network = client.status().unwrap().network.network;

    let mut acknowledged: Vec<TransitionId> = Vec::new();
    let refusal = loop {
        match open_account(&client, network, acknowledged.len() as u64, Durability::Local) {
            Ok(id) => acknowledged.push(id),
            // The one that the disk had no room for was decided already: it waits for room, its client does not.
            Err(late) if late.code() == "timeout" => {}
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code(), "storage_full");
    println!("{} transitions, then {}", acknowledged.len(), refusal.code());
    let kept = |id: &TransitionId| client.receipt(id).unwrap().transition == *id;
    assert!(acknowledged.iter().all(kept), "what was acknowledged is read from a full disk");
    assert_eq!(client.ready().unwrap_err().code(), "storage_full");

    std::fs::remove_file(&ballast).unwrap();
    eventually("writes go on", || {
        let number = acknowledged.len() as u64;
        open_account(&client, network, number, Durability::Local).map(|id| acknowledged.push(id)).is_ok()
    });
    assert!(acknowledged.iter().all(kept), "nothing was lost");
    drop(node);
    let node = core(&Place::here(), 0, &disk.0.join("core"), &[]);
    let client = Client::new(node.word("url")).unwrap();
    assert!(acknowledged.iter().all(|id| client.receipt(id).is_ok()), "nothing was lost after a restart");
}
