//! Backups of a node at work, and a node from a backup.

use crate::Desk;
use crate::program::{RunningNode, replay};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The heads that a replay works out.
fn heads(report: &Value) -> Vec<Value> {
    let names = ["network", "position", "log_digest", "accounts_root", "tokens_root", "credits_root"];
    names.iter().map(|name| report[*name].clone()).collect()
}

fn flip(from: &Path, to: &Path, at: usize) {
    let mut bytes = std::fs::read(from).unwrap();
    bytes[at] ^= 1;
    std::fs::write(to, bytes).unwrap();
}

#[test]
fn o7_a_backup_under_load_brings_a_wiped_volume_back_to_the_same_heads() {
    let volume = tempfile::tempdir().unwrap();
    let data = volume.path().join("data");
    let node = RunningNode::start(&data);
    assert_eq!(node.banner["data"], data.display().to_string());
    let desk = Desk::new(&node, &data);
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/dist/fungible.wasm");
    desk.ok("key new desk");
    desk.ok("account create desk --key desk");
    desk.ok(&format!("policy publish {} --as desk --author desk", module.display()));
    // Staged and not published: no part of the history, and of no backup.
    desk.ok("account create idle --key desk");
    let cash = module.with_file_name("cash.wasm");
    desk.ok(&format!("policy publish {} --as idle --author desk --sign-to unsent", cash.display()));
    let key = desk.path("node.key.copy");
    desk.ok(&format!("node key export --to {}", key.display()));

    // Accounts are opened all the while, until the backup is there.
    let (over, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
    let backup = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let name = format!("a{}", opened.load(Ordering::Relaxed));
                desk.ok(&format!("account create {name} --key desk"));
                opened.fetch_add(1, Ordering::Relaxed);
            }
        });
        while opened.load(Ordering::Relaxed) < 3 {
            std::thread::yield_now();
        }
        let backup = desk.run("backup create under-load");
        over.store(true, Ordering::Relaxed);
        backup
    });
    assert_eq!(backup.0, 0, "{:#}", backup.1);
    assert_eq!(desk.ok("backup verify under-load"), backup.1);
    assert_eq!(backup.1["packages"], 1);

    // At rest: the archive of the running node, of its directory, and of the restored node are the same bytes.
    desk.ok("checkpoint --take");
    let running = desk.ok("backup create at-rest");
    desk.fails("backup create at-rest", 2, "usage");
    desk.fails("backup create offline --offline", 1, "data_in_use");
    assert!(!desk.path("offline").exists() && !desk.path("offline.part").exists());
    let remembered: Value =
        serde_json::from_slice(&std::fs::read(data.join("last-backup.json")).unwrap()).unwrap();
    assert_eq!(remembered["report"], running);
    assert_eq!(node.terminate(), Some(0));
    assert_eq!(desk.ok("backup create offline --offline"), running);
    let before = heads(&replay(&data));

    desk.fails(&format!("backup restore at-rest --key {}", key.display()), 1, "data_exists");
    assert_eq!(heads(&replay(&data)), before, "nothing was changed");
    std::fs::remove_dir_all(&data).unwrap();
    let restored = desk.ok(&format!("backup restore at-rest --key {}", key.display()));
    assert_eq!(restored["backup"], running);
    assert_eq!(heads(&restored["replay"]), before);

    // It goes on, and signs no epoch that the lost node can have signed.
    let node = RunningNode::start(&data);
    let desk = Desk { url: node.url.clone(), ..desk };
    assert_eq!(desk.ok("backup create again")["archive"], running["archive"]);
    desk.ok("account show a0");
    desk.ok("account create later --key desk");
    let passed = restored["checkpoints_passed"].as_u64().unwrap();
    let epoch = desk.ok("checkpoint --take")["checkpoint"]["epoch"].as_u64().unwrap();
    assert!(epoch > passed && passed > 1_000_000, "{epoch} after {passed}");
    assert_eq!(node.terminate(), Some(0));
    replay(&data);

    // The one under load is whole, too, and has some of the accounts.
    let older = volume.path().join("older");
    let line = format!("backup restore under-load --key {} --data {}", key.display(), older.display());
    assert_eq!(desk.ok(&line)["replay"]["log_digest"], backup.1["digest"]);
    // A second restoration of one archive signs above the first.
    let twice = volume.path().join("twice");
    let line = format!("backup restore at-rest --key {} --data {}", key.display(), twice.display());
    assert!(desk.ok(&line)["checkpoints_passed"].as_u64().unwrap() > epoch);
}

#[test]
fn s3_an_archive_that_is_damaged_cut_or_of_another_node_restores_nothing() {
    let volume = tempfile::tempdir().unwrap();
    let data = volume.path().join("data");
    let node = RunningNode::start(&data);
    let desk = Desk::new(&node, &data);
    desk.ok("key new desk");
    desk.ok("account create desk --key desk");
    desk.ok("backup create whole");
    let key = desk.path("node.key.copy");
    desk.ok(&format!("node key export --to {}", key.display()));
    let whole = std::fs::read(desk.path("whole")).unwrap();
    let line = |file: &str, data: &str, key: &Path| {
        format!("backup restore {file} --data {data} --key {}", key.display())
    };
    for at in [0, 12, 100, 140, whole.len() / 2, whole.len() - 1] {
        flip(&desk.path("whole"), &desk.path("flipped"), at);
        desk.fails("backup verify flipped", 4, "archive_damaged");
        desk.fails(&line("flipped", "new", &key), 4, "archive_damaged");
    }
    std::fs::write(desk.path("cut"), &whole[..whole.len() - 5]).unwrap();
    desk.fails("backup verify cut", 4, "archive_damaged");
    std::fs::write(desk.path("long"), [&whole[..], b"x"].concat()).unwrap();
    desk.fails("backup verify long", 4, "archive_damaged");
    desk.fails("backup verify nowhere", 2, "usage");
    assert!(!desk.path("new").join("log").exists(), "nothing was begun");

    // Of another network: its key is not the one that the archive's genesis names, and the directory is empty again.
    let other = volume.path().join("other");
    desk.ok(&format!("node key public --data {}", other.display()));
    let stranger = other.join("node.key");
    desk.fails(&line("whole", "new", &stranger), 4, "other_node_key");
    desk.ok(&line("whole", "new", &key));
    desk.fails(&line("whole", "new", &key), 1, "data_exists");
    // A key alone is a node, too.
    desk.fails(&line("whole", &other.display().to_string(), &key), 1, "data_exists");
}

#[test]
fn g4_who_has_no_key_of_an_admin_gets_no_backup() {
    let volume = tempfile::tempdir().unwrap();
    let data = volume.path().join("data");
    let node = RunningNode::start(&data);
    let desk = Desk::new(&node, &data);
    desk.ok("config set --anonymous=read");
    desk.ok("backup create mine");
    let stranger = Desk { folder: desk.folder, url: desk.url, data: volume.path().join("elsewhere") };
    stranger.fails("backup create stolen", 1, "no_credentials");
    assert!(!stranger.path("stolen").exists() && !stranger.path("stolen.part").exists());
    assert!(!stranger.data.exists(), "nothing is remembered where no node lives");
}
