//! The doctor, the inventory and the gate.

use crate::Desk;
use crate::program::RunningNode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

/// An address where nothing listens, which no other test is given.
const NOWHERE: &str = "http://127.0.0.1:1";

/// The worst state of each check, and the commands that mend.
fn findings(told: &Value) -> BTreeMap<String, (String, Vec<String>)> {
    let mut found = BTreeMap::<String, (String, Vec<String>)>::new();
    for one in told["findings"].as_array().unwrap() {
        let (check, state) = (one["check"].as_str().unwrap(), one["state"].as_str().unwrap());
        let place = found.entry(check.to_owned()).or_insert_with(|| ("ok".to_owned(), Vec::new()));
        if state != "ok" {
            assert!(one["mend"].is_string(), "{one}");
            place.1.push(one["mend"].as_str().unwrap().to_owned());
        }
        if state == "bad" || place.0 == "ok" {
            state.clone_into(&mut place.0);
        }
    }
    found
}

#[test]
fn o12_the_doctor_names_what_is_wrong_and_the_command_that_mends_it() {
    let volume = tempfile::tempdir().unwrap();
    let data = volume.path().join("data");
    let node = RunningNode::start(&data);
    let desk = Desk::new(&node, &data);
    let doctor = |rest: &str| {
        let (exit, told) = desk.run(&format!("doctor --clock 600000 --ports 1 {rest}"));
        let found = findings(&told);
        assert_eq!(exit == 0, found.values().all(|(state, _)| state != "bad"), "{told:#}");
        found
    };
    let well = doctor("");
    for check in ["api", "clock", "versions", "standing", "durability", "settings", "key", "lock"] {
        assert_eq!(well[check].0, "ok", "{check}: {well:#?}");
    }
    // How full this machine's disk is, is not what this test is about.
    assert_ne!(well["volumes"].0, "bad", "{well:#?}");
    assert_eq!((well["backup"].0.as_str(), &well["backup"].1[0][..]), ("warn", "dsm backup create FILE"));
    assert_eq!(well["replication"].0, "warn", "no storage nodes");

    desk.ok("backup create first");
    assert_eq!(doctor("")["backup"].0, "ok");
    assert_eq!(doctor("--backup first --backup-age 1")["backup"].0, "ok");
    let mut bytes = std::fs::read(desk.path("first")).unwrap();
    bytes[200] ^= 1;
    std::fs::write(desk.path("damaged"), bytes).unwrap();
    assert_eq!(doctor("--backup damaged")["backup"].0, "bad");
    assert_eq!(doctor("--backup nowhere")["backup"].0, "warn");

    desk.ok("config set --failover=9000");
    assert_eq!(doctor("")["settings"].0, "warn", "waits for a restart");
    desk.ok("config set --durability=replicated:2");
    assert_eq!(doctor("")["durability"].0, "bad");
    desk.ok("config set --durability=local");

    assert_eq!(doctor(&format!("--storage {NOWHERE}"))["services"].0, "bad");
    let packages = data.join("policies");
    std::fs::rename(&packages, data.join("unmounted")).unwrap();
    assert_eq!(doctor("")["volumes"].0, "bad", "a volume that is not mounted");
    std::fs::rename(data.join("unmounted"), &packages).unwrap();

    let key = data.join("node.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let shown = doctor("");
    assert_eq!(shown["key"], ("bad".to_owned(), vec![format!("chmod 600 {}", key.display())]));
    assert!(desk.text("doctor --ports 1").contains("BAD   key"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();

    let elsewhere = Desk { url: NOWHERE.to_owned(), ..desk };
    let (exit, told) = elsewhere.run("doctor --ports 1");
    let found = findings(&told);
    assert_eq!((exit, found["api"].0.as_str()), (1, "bad"), "{told:#}");
    assert!(found["api"].1[0].contains("dsm node"));
    assert_eq!(found["lock"].0, "warn", "a process has it open, and it is not the one asked: {told:#}");
}

#[test]
fn o12_the_inventory_s_exit_code_says_whether_something_critical_fails() {
    let volume = tempfile::tempdir().unwrap();
    let data = volume.path().join("data");
    let node = RunningNode::start(&data);
    let desk = Desk::new(&node, &data);
    let found = desk.ok("discover");
    let core = &found["services"][0];
    assert_eq!((core["name"].as_str(), core["state"].as_str()), (Some("core"), Some("ready")));
    assert_eq!(core["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(found["critical"], Value::Array(Vec::new()));
    let page = desk.text("discover --markdown");
    assert!(page.starts_with("# DSM services\n") && page.contains("| core | http://"), "{page}");

    // Nobody stops because Prometheus is down.
    let found = desk.ok(&format!("discover --prometheus {NOWHERE}"));
    assert_eq!(found["services"][1]["state"], "silent");
    assert_eq!(found["dependencies"][0]["to"], "core");
    for (flag, name) in [("storage", "storage "), ("bridge", "bridge")] {
        let (exit, found) = desk.run(&format!("discover --{flag} {NOWHERE}"));
        assert_eq!((exit, found["services"][1]["state"].as_str()), (1, Some("silent")), "{found:#}");
        assert!(found["services"][1]["name"].as_str().unwrap().starts_with(name));
        assert_eq!(found["critical"].as_array().unwrap().len(), 1);
    }
    desk.fails("discover --storage ftp://nowhere", 2, "usage");
    node.kill();
    let (exit, found) = desk.run("discover");
    assert_eq!((exit, found["services"][0]["state"].as_str()), (1, Some("silent")), "{found:#}");
    assert!(desk.text("discover").contains("critical: the core node takes no transitions"));
}

#[test]
fn o7_the_gate_tries_everything_on_the_running_node() {
    let volume = tempfile::tempdir().unwrap();
    let data = volume.path().join("data");
    let node = RunningNode::start(&data);
    let desk = Desk::new(&node, &data);
    // How fast this machine is today is not what this test is about.
    let levels = ["p95 of receipts", "p95 of HTTP requests"];
    for round in ["the first publishes the policy", "the second finds it"] {
        let (exit, told) = desk.run(&format!("gate --scratch {}", desk.folder.path().display()));
        let checks = told["checks"].as_array().unwrap();
        for one in checks {
            let judged = !levels.contains(&one["check"].as_str().unwrap());
            assert!(one["ok"] == true || !judged, "{round}: {one:#}");
        }
        assert_eq!((checks.len(), told["all"].as_u64()), (14, Some(14)), "{told:#}");
        assert_eq!(exit == 0, told["passed"] == told["all"], "{told:#}");
    }
    assert_eq!(desk.ok("status")["policies"], 1);
    let left: Vec<_> =
        std::fs::read_dir(desk.folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("dsm-gate")), "{left:?}");

    // A level that is out of reach fails every check that builds on it, and says so.
    let (exit, told) = desk.run("gate --durability replicated:2");
    assert_eq!(exit, 1);
    let failed =
        told["checks"].as_array().unwrap().iter().find(|one| one["check"] == "accounts opened").unwrap();
    assert!(failed["detail"].as_str().unwrap().starts_with("too_few_storage_nodes"), "{failed}");
    let text = desk.text(&format!("gate --p95 0 --scratch {}", desk.folder.path().display()));
    assert!(text.contains("FAILED  p95 of receipts") && text.trim_end().ends_with("/14"), "{text}");
}
