//! Partitions: every process has a network namespace of its own, and the ways between them are cut.

use crate::process::{DSM, Place, Process, core, peer, storage};
use crate::writing::{Writing, open_account};
use crate::{caught_up, digest, eventually, text};
use dsm_abi::TransitionId;
use dsm_sdk::client::Client;
use dsm_sdk::receipt::Durability;
use std::process::{Command, Stdio};
use std::time::Instant;

const BRIDGE: &str = "dsmdrill";
/// One namespace for each: the core node, three storage nodes, the second core node.
const PLACES: [&str; 5] = ["dsmcore", "dsmone", "dsmtwo", "dsmthree", "dsmagain"];

#[test]
#[ignore = "needs root and network namespaces"]
fn o7_o8_partitions_lose_nothing_and_a_second_writer_fences_the_first() {
    let field = Field::lay();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);

    let core_key = field.place(0).run(DSM, &["node", "key", "public", "--json", "--data", text(&at("core"))]);
    let core_key = core_key["public_key"].as_str().unwrap();
    let storages: Vec<Process> =
        (1..=3).map(|place| storage(&field.place(place), 8766, &at(PLACES[place]), core_key)).collect();
    let peers: Vec<String> = storages.iter().map(peer).collect();
    let nodes: Vec<String> = storages.iter().map(|one| one.word("node").to_owned()).collect();
    let core = core(&field.place(0), 7545, &at("core"), &peers);
    let client = Client::new(core.word("url")).unwrap();
    eventually("the core node leads", || client.ready().is_ok());
    let network = client.status().unwrap().network.network;
    let writing = Writing::start(core.word("url"), network);
    writing.more(50);

    // Planned promotion, under load.
    let promoted = client.promote(digest(&nodes[1]), false).unwrap();
    assert_eq!(promoted.primary.to_string(), nodes[1]);
    println!("planned promotion under load: {} ms", promoted.took_ms);
    writing.more(50);

    // The primary is cut off: another takes over by itself.
    let cut = Instant::now();
    field.pull(2);
    eventually("another primary", || client.topology().unwrap().primary.unwrap().to_string() != nodes[1]);
    let decided = cut.elapsed();
    let granted = writing.next_after(cut);
    println!(
        "failover: new primary after {} ms, next replicated receipt after {} ms",
        decided.as_millis(),
        granted.as_millis()
    );
    writing.more(50);
    field.plug(2);
    caught_up(&client, "the old primary follows");

    // One storage node hears and cannot answer.
    field.mute(3);
    writing.more(50);
    field.unmute(3);
    caught_up(&client, "the mute one follows");

    // The core node is cut off; another one is restored from the storage nodes and takes over.
    field.place(0).run(
        DSM,
        &["node", "key", "export", "--json", "--data", text(&at("core")), "--to", text(&at("node.key"))],
    );
    field.pull(0);
    writing.pause();
    let report = field.place(4).run(
        DSM,
        &[
            "restore",
            "--json",
            "--from",
            &peers.join(","),
            "--key",
            text(&at("node.key")),
            "--data",
            text(&at("again")),
        ],
    );
    println!(
        "restored {} records: RPO {} records, RTO {} ms",
        report["position"], report["rpo_records"], report["rto_ms"]
    );
    let second = crate::process::core(&field.place(4), 7545, &at("again"), &[]);
    let second_client = Client::new(second.word("url")).unwrap();
    eventually("the restored node leads", || second_client.ready().is_ok());
    let writing_again = Writing::start(second.word("url"), network);
    writing_again.more(50);

    // The first one comes back: nobody takes its records, and it stops writing.
    field.plug(0);
    eventually("the first core node is fenced", || {
        client.status().unwrap().replication.is_some_and(|view| view.standing == "fenced")
    });
    let refused = open_account(&client, network, 0, Durability::Local).unwrap_err();
    assert_eq!(refused.code(), "fenced");

    // Everything that was acknowledged is there, and everybody has the same log.
    let acknowledged: Vec<TransitionId> = [writing.stop(), writing_again.stop()].concat();
    for id in &acknowledged {
        assert_eq!(second_client.receipt(id).unwrap().transition, *id, "acknowledged and lost");
    }
    caught_up(&second_client, "all follow the second");
    let matrix = second_client.topology_matrix().unwrap();
    assert!(matrix.rows.iter().all(|row| row.reached && row.position == Some(matrix.position)), "{matrix:?}");
    println!(
        "{} transitions were acknowledged at replicated:2, none is lost; the storage nodes agree",
        acknowledged.len()
    );
    drop(second);
    let replayed = field.place(4).run(DSM, &["replay", "--verify", "--json", "--data", text(&at("again"))]);
    assert_eq!(replayed["agrees"], true);
}

/// Namespaces joined by a bridge. It is taken down when this is dropped.
struct Field;

impl Field {
    fn lay() -> Field {
        Field::clear();
        ip(&["link", "add", BRIDGE, "type", "bridge"]);
        ip(&["addr", "add", "10.77.0.254/24", "dev", BRIDGE]);
        ip(&["link", "set", BRIDGE, "up"]);
        for (place, name) in PLACES.iter().enumerate() {
            let cable = cable(place);
            ip(&["netns", "add", name]);
            ip(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", name]);
            ip(&["link", "set", &cable, "master", BRIDGE]);
            ip(&["link", "set", &cable, "up"]);
            ip(&["-n", name, "addr", "add", &format!("{}/24", address(place)), "dev", "eth0"]);
            ip(&["-n", name, "link", "set", "eth0", "up"]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        Field
    }

    fn clear() {
        for name in PLACES {
            // A namespace that is not there need not be removed.
            drop(Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status());
        }
        drop(Command::new("ip").args(["link", "del", BRIDGE]).stderr(Stdio::null()).status());
    }

    /// Nothing passes between this place and the others any more; clients, in the root namespace, still reach it.
    fn pull(&self, place: usize) {
        self.both_ways(place, "add");
    }

    fn plug(&self, place: usize) {
        self.both_ways(place, "del");
    }

    fn both_ways(&self, place: usize, verb: &str) {
        for other in (0..PLACES.len()).filter(|other| *other != place) {
            ip(&["-n", PLACES[place], "route", verb, "blackhole", &address(other)]);
            ip(&["-n", PLACES[other], "route", verb, "blackhole", &address(place)]);
        }
    }

    /// It hears the others; what it sends to them is lost.
    fn mute(&self, place: usize) {
        for other in (0..PLACES.len()).filter(|other| *other != place) {
            ip(&["-n", PLACES[place], "route", "add", "blackhole", &address(other)]);
        }
    }

    fn unmute(&self, place: usize) {
        for other in (0..PLACES.len()).filter(|other| *other != place) {
            ip(&["-n", PLACES[place], "route", "del", "blackhole", &address(other)]);
        }
    }

    fn place(&self, place: usize) -> Place {
        Place { namespace: Some(PLACES[place]), host: address(place) }
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        Field::clear();
    }
}

fn cable(place: usize) -> String {
    format!("dsmcable{place}")
}

fn address(place: usize) -> String {
    format!("10.77.0.{}", place + 1)
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {arguments:?}");
}
