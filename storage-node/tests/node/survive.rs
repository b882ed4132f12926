//! What no process is asked about: `kill -9` while records arrive, and a device without room.

use super::chronicle::Chronicle;
use super::leader::{Core, DEADLINE, topology};
use super::program::{PROGRAM, Program, json};
use dsm_proto::{PeerState, Refusal};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// `DSM_STORAGE_KILLS=200` asks for more.
const KILLS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn o1_nothing_acknowledged_is_lost_to_kill_9_and_both_nodes_end_with_the_same_bytes() {
    let asked = std::env::var("DSM_STORAGE_KILLS").ok().map(|text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(61);
    chronicle.write_some(10);
    chronicle.publish(0, 1_000);
    let paths = [folder.path().join("1"), folder.path().join("2")];
    // The core node's key goes to the command line only for the first start: then the directory knows it.
    let keys = chronicle.fork();
    let mut nodes: Vec<Option<Program>> =
        paths.iter().map(|path| Some(Program::start(path, &keys, "127.0.0.1:0"))).collect();
    let members: Vec<_> = nodes.iter().flatten().map(Program::member).collect();
    let addresses: Vec<String> = nodes.iter().flatten().map(|node| node.address().to_string()).collect();
    let topology = topology(&chronicle, 1, members.clone());
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    for kill in 0..asked.unwrap_or(KILLS) {
        let victim = (kill % 2) as usize;
        core.write(|chronicle| chronicle.write_some(30));
        // The oracle: what this leader has heard acknowledged by then.
        let id = members[victim].node();
        let target = core.chronicle().head().0 - 25;
        core.wait("some of it is acknowledged", |view| {
            view.peers.iter().any(|peer| peer.node == id && peer.durable.position >= target)
        })
        .await;
        nodes[victim].take().unwrap().kill();
        let node = Program::start(&paths[victim], &keys, &addresses[victim]);
        let head = node.banner["head"].as_u64().unwrap();
        assert!(head >= target, "kill {kill}: record {target} was acknowledged, {head} is the last one here");
        nodes[victim] = Some(node);
    }
    core.all_acked().await;
    let mut archives = Vec::new();
    for (nth, node) in nodes.iter().flatten().enumerate() {
        while node.status()["blobs"] != 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let file = folder.path().join(format!("backup-{nth}"));
        json(0, &["backup", "create", file.to_str().unwrap(), "--node", node.url()]);
        archives.push(std::fs::read(file).unwrap());
    }
    assert!(archives[0] == archives[1], "replicas are byte-identical at the end");
    core.stop().await;
}

/// Asks the node until it is in this state; its status then.
fn until(node: &Program, state: &str) -> Value {
    let end = Instant::now() + DEADLINE;
    loop {
        let status = node.status();
        if status["state"] == state {
            return status;
        }
        assert!(Instant::now() < end, "it is not {state}: {status:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn o4_a_node_on_a_full_tmpfs_refuses_serves_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mut chronicle = Chronicle::new(62);
    chronicle.write_some(10);
    let data = folder.path().join("small");
    std::fs::create_dir(&data).unwrap();
    // A file system of its own, seen by the node alone: no mount is left behind, whatever happens.
    let mount = "mount -t tmpfs -o size=2m tmpfs \"$0\" && fallocate -l 1m \"$0/ballast\" && exec \"$@\"";
    let probe = Command::new("unshare").args(["-m", "sh", "-c", mount]).arg(&data).arg("true").output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped: this machine lets nobody mount a tmpfs");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", mount]).arg(&data).arg(PROGRAM);
    let node = Program::wait_for(Program::arguments(&mut command, &data, &chronicle, "127.0.0.1:0"));
    let topology = topology(&chronicle, 1, vec![node.member()]);
    let mut core = Core::start(chronicle, topology);
    core.all_acked().await;
    // 1.5 MB of records for 1 MB of room.
    core.write(|chronicle| chronicle.write_some(300));
    let full = |state: &PeerState| *state == PeerState::Refused(Refusal::Full);
    core.wait("it says that it is full", |view| view.let_go.iter().any(full)).await;
    // What is smaller may find room between two refusals; then nothing does.
    let status = until(&node, "full");
    assert!(status["lag"].as_u64().unwrap() > 0);
    let before = status["head"].as_u64().unwrap();
    let file = folder.path().join("backup");
    let report = json(0, &["backup", "create", file.to_str().unwrap(), "--node", node.url()]);
    assert!(report["head"].as_u64().unwrap() >= before, "what is there is served");
    let pid = node.child.id().to_string();
    let removed =
        Command::new("nsenter").args(["-t", &pid, "-m", "rm"]).arg(data.join("ballast")).status().unwrap();
    assert!(removed.success());
    let head = core.all_acked().await;
    assert_eq!(until(&node, "serving")["head"], head.position);
    core.stop().await;
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
}
