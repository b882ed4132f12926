//! The end-to-end story as the real binary plays it, each of its steps broken in turn, and its evidence in other hands.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

#[allow(dead_code)]
mod program;

use program::{DSM, RunningNode, replay};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs the program with `--json`; its exit code and the value that it printed.
fn dsm(words: &[&str], folder: &Path) -> (i32, Value) {
    let output = Command::new(DSM).args(words).arg("--json").current_dir(folder).output().unwrap();
    let printed = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), printed.unwrap_or_else(|error| panic!("{words:?}: {error}: {output:?}")))
}

/// What is broken, the step at which the story then ends, the stable code, and words of the reason: of a policy, its
/// own code.
const BREAKS: &[(&str, u8, &str, &str)] = &[
    ("credential-forged", 1, "bad_evidence", ""),
    ("credential-revoked", 2, "policy_denied", "102 "),
    ("credential-missing", 2, "policy_denied", "100 "),
    ("approved-twice", 3, "policy_denied", "103 "),
    ("rate-stale", 4, "policy_denied", "108 "),
    ("hold-missing", 4, "policy_denied", "113 "),
    ("payment-missing", 4, "policy_denied", "114 "),
    ("delivery-unpaid", 4, "policy_denied", "102 "),
    ("record-altered", 5, "proof_root_mismatch", ""),
    ("package-flipped", 6, "evidence_log", ""),
    ("module-exchanged", 7, "module_cid_mismatch", "step 3, policies: "),
];

#[test]
fn each_step_that_is_broken_ends_the_story_there_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let play = |(what, step, code, reason): &(&str, u8, &str, &str)| {
        let (exit, value) = dsm(&["demo", "e2e", "--exit", "--break", what], folder.path());
        let error = &value["error"];
        assert_eq!((exit, error["code"].as_str()), (1, Some(*code)), "{what}: {value:#}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("step {step}: {reason}")), "{what}: {message}");
    };
    // Two at a time: each is a node of its own, and compiles seven policies.
    std::thread::scope(|scope| {
        let rows = BREAKS.split_at(BREAKS.len() / 2);
        for rows in [rows.0, rows.1] {
            scope.spawn(move || rows.iter().for_each(play));
        }
    });
    let steps: std::collections::BTreeSet<u8> = BREAKS.iter().map(|(_, step, ..)| *step).collect();
    assert!(steps.into_iter().eq(1..=7));
}

#[test]
fn the_story_s_evidence_and_another_package_are_judged_without_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let (exit, told) = dsm(&["demo", "e2e", "--exit", "--data", "story"], folder.path());
    assert_eq!((exit, told["ok"].as_bool()), (0, Some(true)), "{told:#}");
    assert_eq!(told["steps"].as_array().unwrap().len(), 7);
    replay(&folder.path().join("story/core"));

    let judged = |words: &[&str]| dsm(&[&["evidence", "verify"], words].concat(), folder.path());
    let file = "story/evidence.dsm";
    let (exit, report) = judged(&[file, "--trust", "story/node.json"]);
    assert_eq!((exit, &report["trusted"]), (0, &Value::Bool(true)), "{report:#}");
    assert_eq!(report["network"], told["network"]);
    let steps = report["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["format", "log", "policies", "transitions", "heads", "outbox"]);
    let transitions = report["transitions"].as_array().unwrap();
    assert_eq!(transitions.len(), 13);
    assert_eq!(judged(&[file]).1["trusted"], false);

    // Another key, another file, no file.
    let stranger = format!("01{}", "07".repeat(1952));
    std::fs::write(folder.path().join("none"), "DSM-EVD").unwrap();
    let rows: [(&[&str], i32, &str); 3] = [
        (&[file, "--trust", &stranger], 4, "checkpoint_not_signed"),
        (&["none"], 4, "evidence_malformed"),
        (&["nowhere"], 2, "usage"),
    ];
    for (words, expected, code) in rows {
        let (exit, value) = judged(words);
        assert_eq!((exit, value["error"]["code"].as_str()), (expected, Some(code)), "{value:#}");
    }

    // A running node cuts another package about the last of them.
    let last = transitions.last().unwrap()["transition"].as_str().unwrap();
    let node = RunningNode::start(&folder.path().join("story/core"));
    let export = |id: &str, more: &[&str]| {
        let words = ["evidence", "export", "--node", &node.url, "--transition", id, "--out", "one.dsm"];
        dsm(&[&words[..], more].concat(), folder.path())
    };
    assert_eq!(export(last, &[]).1["error"]["code"], "no_checkpoint");
    let (exit, exported) = export(last, &["--checkpoint"]);
    assert_eq!((exit, &exported["transitions"]), (0, &Value::from(1)), "{exported:#}");
    assert_eq!(export(last, &["--checkpoint"]).1["error"]["code"], "file_exists");
    assert_eq!(export(&"7".repeat(64), &["--force"]).1["error"]["code"], "not_found");
    node.kill();
    let (exit, report) = judged(&["one.dsm", "--trust", "story/node.json"]);
    assert_eq!(exit, 0, "{report:#}");
    assert_eq!(report["transitions"][0]["transition"], last);
    assert_eq!(report["transitions"][0]["emitted"], 1);
}
