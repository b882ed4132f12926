//! Partitions of real processes: the core node and three storage nodes, each in a network namespace of its own.
//!
//! The ways between them are cut while eight clients write and keep every receipt: planned promotion, failover, a primary that
//! comes back, a storage node that hears and cannot answer, and two core nodes of one network (O7, O8). What a receipt
//! at `replicated:2` acknowledged must be there at the end. Needs root, so it is run by name:
//! `cargo test -p dsm-host --test partition -- --ignored --nocapture`, after `cargo build --workspace --bins`.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

use dsm_abi::{Digest, NetworkId, Suite, TransitionId, encode};
use dsm_core::{Genesis, KeySet};
use dsm_crypto::SecretKey;
use dsm_host::node::{Clock as _, SystemClock};
use dsm_sdk::client::Client;
use dsm_sdk::draft::{Draft, Window, public_key};
use dsm_sdk::receipt::Durability;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const DSM: &str = env!("CARGO_BIN_EXE_dsm");
/// Nothing here takes so long; it only keeps a drill that hangs from hanging for ever.
const PATIENCE: Duration = Duration::from_secs(90);
/// Clients that write at the same time.
const WRITERS: u64 = 8;
const BRIDGE: &str = "dsmdrill";
/// One namespace for each: the core node, three storage nodes, the second core node.
const PLACES: [&str; 5] = ["dsmcore", "dsmone", "dsmtwo", "dsmthree", "dsmagain"];

#[test]
#[ignore = "needs root and network namespaces"]
fn o7_o8_partitions_lose_nothing_and_a_second_writer_fences_the_first() {
    let field = Field::lay();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);

    let core_key = field.run(0, DSM, &["node", "key", "public", "--json", "--data", text(&at("core"))]);
    let core_key = core_key["public_key"].as_str().unwrap();
    let storages: Vec<Process> = (1..=3).map(|place| storage(place, &at(PLACES[place]), core_key)).collect();
    let peers: Vec<String> =
        storages.iter().map(|one| format!("{}={}", one.word("address"), one.word("public_key"))).collect();
    let nodes: Vec<String> = storages.iter().map(|one| one.word("node").to_owned()).collect();
    let core = core(0, &at("core"), &peers);
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
    field.run(
        0,
        DSM,
        &["node", "key", "export", "--json", "--data", text(&at("core")), "--to", text(&at("node.key"))],
    );
    field.pull(0);
    writing.pause();
    let report = field.run(
        4,
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
    let second = self::core(4, &at("again"), &[]);
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
    let replayed = field.run(4, DSM, &["replay", "--verify", "--json", "--data", text(&at("again"))]);
    assert_eq!(replayed["agrees"], true);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn digest(hex: &str) -> Digest {
    hex.parse().unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until every storage node has acknowledged what the core node had when this was called.
fn caught_up(client: &Client, what: &str) {
    let position = client.topology().unwrap().position;
    eventually(what, || client.topology().unwrap().members.iter().all(|one| one.acked >= position));
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

    /// Runs a program to its end; what it prints.
    fn run(&self, place: usize, program: &str, arguments: &[&str]) -> Value {
        let output = inside(place, program).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}{}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
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

fn inside(place: usize, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", PLACES[place], program]);
    command
}

/// A node in a namespace. It is killed when this is dropped.
struct Process {
    child: Child,
    banner: Value,
}

impl Process {
    fn start(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let banner = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Process { child, banner }
    }

    fn word(&self, name: &str) -> &str {
        self.banner[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.banner))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended, or not wanted any more; either way there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn storage(place: usize, data: &Path, core_key: &str) -> Process {
    let program = PathBuf::from(DSM).with_file_name("dsm-storage-node");
    assert!(program.exists(), "build it first: cargo build --workspace --bins");
    let mut command = inside(place, text(&program));
    let listen = format!("{}:8766", address(place));
    command.args(["--json", "--data", text(data), "run", "--listen", &listen, "--core-key", core_key]);
    command.args(["--log-level", "error", "--verifiers", "1"]);
    Process::start(command)
}

fn core(place: usize, data: &Path, peers: &[String]) -> Process {
    let mut command = inside(place, DSM);
    let (api, p2p) = (format!("{}:7545", address(place)), format!("{}:8765", address(place)));
    command.args(["node", "--json", "--data", text(data), "--listen", &api, "--p2p", &p2p]);
    command.args(["--log-level", "error", "--lead-wait", "60000"]);
    for peer in peers {
        command.args(["--peer", peer]);
    }
    Process::start(command)
}

/// Clients that open accounts at `replicated:2` and keep what was acknowledged.
struct Writing {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    paused: AtomicBool,
    number: AtomicU64,
    acknowledged: Mutex<Vec<(TransitionId, Instant)>>,
}

impl Writing {
    fn start(url: &str, network: NetworkId) -> Writing {
        let shared = Arc::new(Shared::default());
        let threads = (0..WRITERS)
            .map(|_| {
                let (shared, url) = (Arc::clone(&shared), url.to_owned());
                std::thread::spawn(move || shared.write(&Client::new(&url).unwrap(), network))
            })
            .collect();
        Writing { shared, threads }
    }

    fn count(&self) -> usize {
        self.shared.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more were acknowledged.
    fn more(&self, count: usize) {
        let goal = self.count() + count;
        eventually("clients are answered", || self.count() >= goal);
    }

    /// How long after an instant the first acknowledgement came that is no leftover of before.
    fn next_after(&self, cut: Instant) -> Duration {
        let settled = self.count();
        eventually("clients are answered again", || self.count() > settled);
        let acknowledged = self.shared.acknowledged.lock().unwrap();
        acknowledged[settled].1.duration_since(cut)
    }

    fn pause(&self) {
        self.shared.paused.store(true, Ordering::Relaxed);
    }

    fn stop(self) -> Vec<TransitionId> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.shared.acknowledged.lock().unwrap().iter().map(|(id, _)| *id).collect()
    }
}

impl Shared {
    fn write(&self, client: &Client, network: NetworkId) {
        while !self.stop.load(Ordering::Relaxed) {
            if self.paused.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            // Whatever is not acknowledged may be lost: that is what the error says.
            if let Ok(id) = open_account(client, network, number, Durability::Replicated(2)) {
                self.acknowledged.lock().unwrap().push((id, Instant::now()));
            }
        }
    }
}

/// The cheapest transition: an account opens itself.
fn open_account(
    client: &Client,
    network: NetworkId,
    number: u64,
    level: Durability,
) -> Result<TransitionId, dsm_sdk::client::ClientError> {
    let key = SecretKey::generate(Suite::MlDsa65).unwrap();
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&number.to_le_bytes());
    let genesis = Genesis { network, keys: KeySet::single(public_key(&key)), salt };
    let account = genesis.account();
    let now = SystemClock.now_ms();
    let window = Window { from_ms: now - 60_000, until_ms: now + 3_600_000 };
    let draft = Draft::new(network, window, salt).open(genesis);
    let signed = draft.sign_with(&[(account, &key, 0)]).unwrap();
    let receipt = client.submit_bytes_at(&encode(&signed), Some(level))?;
    assert!(receipt.durability >= level, "never downgraded: {receipt:?}");
    Ok(receipt.transition)
}
