//! A primary that stops for a while and goes on as if nothing had been (O9); then everybody's log is the same, and each
//! storage node alone is enough to restore the core node.

use crate::process::{DSM, Place, Process, core, peer, storage, storage_program};
use crate::writing::Writing;
use crate::{caught_up, eventually, text};
use dsm_sdk::client::Client;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const NAMES: [&str; 4] = ["core", "one", "two", "three"];

/// What the environment asks for, or a little more than a failover takes.
fn pause_s() -> u64 {
    std::env::var("DSM_PAUSE_S").map_or(4, |text| text.parse().expect("seconds"))
}

/// A core node and three storage nodes, each restarted at its port.
struct Cluster {
    folder: TempDir,
    nodes: Vec<Process>,
}

impl Cluster {
    fn start() -> Cluster {
        let (folder, here) = (tempfile::tempdir().unwrap(), Place::here());
        let data = folder.path().join(NAMES[0]);
        let key = here.run(DSM, &["node", "key", "public", "--json", "--data", text(&data)]);
        let core_key = key["public_key"].as_str().unwrap();
        let storages: Vec<Process> =
            NAMES[1..].iter().map(|name| storage(&here, 0, &folder.path().join(name), core_key)).collect();
        let peers: Vec<String> = storages.iter().map(peer).collect();
        let mut nodes = vec![core(&here, 0, &data, &peers)];
        nodes.extend(storages);
        Cluster { folder, nodes }
    }

    fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(NAMES[node])
    }

    fn client(&self) -> Client {
        Client::new(self.nodes[0].word("url")).unwrap()
    }
}

#[test]
fn o9_a_primary_that_was_paused_is_no_primary_any_more_and_nothing_is_lost() {
    let mut cluster = Cluster::start();
    let client = cluster.client();
    eventually("the core node leads", || client.ready().is_ok());
    let network = client.status().unwrap().network.network;
    let writing = Writing::start(cluster.nodes[0].word("url"), network);
    // The primary stops for a while, as a machine does whose host is busy, and goes on as if nothing had been.
    writing.more(20);
    let before = client.topology().unwrap();
    let primary = before.primary.unwrap().to_string();
    let paused = cluster.nodes.iter().skip(1).find(|node| node.word("node") == primary).unwrap();
    paused.signal("STOP");
    std::thread::sleep(Duration::from_secs(pause_s()));
    eventually("another one took over", || {
        client.topology().is_ok_and(|now| now.epoch > before.epoch && now.primary != before.primary)
    });
    writing.more(20);
    paused.signal("CONT");
    writing.more(20);

    let acknowledged = writing.stop();
    for id in &acknowledged {
        assert_eq!(client.receipt(id).unwrap().transition, *id, "acknowledged and lost");
    }
    caught_up(&client, "everybody has the whole log");
    let peers: Vec<String> = cluster.nodes[1..].iter().map(peer).collect();
    println!("{} acknowledged at replicated:2 around a pause, none lost", acknowledged.len());
    same_logs(&mut cluster, &peers);
}

/// Everybody's log replays to the same digest, and the storage nodes' archives are the same bytes.
fn same_logs(cluster: &mut Cluster, peers: &[String]) {
    let here = Place::here();
    let (key, program) = (cluster.folder.path().join("node.key"), storage_program());
    here.run(DSM, &["node", "key", "export", "--json", "--data", text(&cluster.data(0)), "--to", text(&key)]);
    cluster.nodes[0].kill();
    let replay = |data: PathBuf| -> Value {
        let report = here.run(DSM, &["replay", "--verify", "--json", "--data", text(&data)]);
        assert_eq!(report["agrees"], true);
        serde_json::json!([report["position"], report["log_digest"], report["accounts_root"]])
    };
    let expected = replay(cluster.data(0));
    for (node, peer) in peers.iter().enumerate() {
        let data = cluster.folder.path().join(format!("from-{node}"));
        let arguments =
            ["restore", "--json", "--force", "--from", peer, "--key", text(&key), "--data", text(&data)];
        here.run(DSM, &arguments);
        assert_eq!(replay(data), expected, "a core node restored from {}", NAMES[node + 1]);
    }
    let archives: Vec<Vec<u8>> = (1..4)
        .map(|node| {
            cluster.nodes[node].kill();
            let file = cluster.folder.path().join(format!("{node}.backup"));
            let data = cluster.data(node);
            let arguments = ["--json", "--data", text(&data), "backup", "create", "--offline", text(&file)];
            here.run(text(&program), &arguments);
            std::fs::read(file).unwrap()
        })
        .collect();
    assert!(archives.iter().all(|archive| *archive == archives[0]), "the storage nodes' archives differ");
}
