//! Real storage nodes inside turmoil: one thread, virtual time, the real link over a network that loses packets and
//! parts, disks that lose what was not synced when the power fails.
//!
//! At every ack the disk of who gave it is asked whether it would still have the records if the power failed now.

use super::chronicle::Chronicle;
use super::leader::{Core, topology};
use super::network::{Chance, PORT, Weather, config as link_config, endpoint};
use dsm_crypto::{KdfCost, Keystore, SecretKey, Signer as _};
use dsm_link::Pins;
use dsm_proto::{Head, Member, NodeId, Start};
use dsm_storage_node::{Storage, StorageConfig, StorageNode};
use dsm_store::disk::{Crash, MemoryDisk};
use dsm_store::{Log, LogConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NODES: [&str; 2] = ["storage-1", "storage-2"];
/// Virtual milliseconds of faults.
const FAULTS_MS: u64 = 10_000;
/// Seeds of a normal run; `DSM_STORAGE_SEEDS=0..1000` asks for others.
const SEEDS: std::ops::Range<u64> = 0..4;

/// The disks of a node; they outlive it.
#[derive(Clone, Default)]
struct Disks {
    log: MemoryDisk,
    blobs: MemoryDisk,
    state: MemoryDisk,
    keys: MemoryDisk,
}

impl Disks {
    fn crash(&self, crash: Crash) -> Disks {
        let [log, blobs, state, keys] =
            [&self.log, &self.blobs, &self.state, &self.keys].map(|disk| disk.crash(crash));
        Disks { log, blobs, state, keys }
    }

    /// Whether the records up to `head` would survive a loss of power.
    fn holds(&self, head: &Head) -> bool {
        let log = Log::open(Arc::new(self.log.crash(Crash::LostUnsynced)), LogConfig::new(1)).unwrap().0;
        log.reader().digest_at(head.position).is_ok_and(|digest| digest == head.digest.0)
    }
}

struct World {
    seed: u64,
    weather: Weather,
    disks: Mutex<[Disks; 2]>,
    acks: AtomicU64,
    starts: AtomicU64,
    violations: Mutex<Vec<String>>,
}

/// A storage node on the current host, from its start to its crash.
async fn storage(
    world: Arc<World>,
    number: usize,
    chronicle: Arc<Chronicle>,
    key: PathBuf,
) -> turmoil::Result {
    let start = world.starts.fetch_add(1, Ordering::Relaxed);
    let disks = world.disks.lock().unwrap()[number].clone();
    let secret = Keystore::read(&key.join("storage.key"))?.unlock(b"")?;
    let seed = world.seed ^ (start << 8 | number as u64);
    let link = endpoint(&secret, &Pins::new(), &world.weather, seed, link_config()).await;
    let mut config = StorageConfig::new(&key, Some(chronicle.node_key()));
    config.storage = Storage::Disks {
        log: Arc::new(disks.log),
        blobs: Arc::new(disks.blobs),
        state: Arc::new(disks.state),
        keys: Arc::new(disks.keys),
        key,
    };
    config.endpoint = Some(link);
    config.one_thread = true;
    config.upkeep.anti_entropy_interval = Duration::from_secs(1);
    let node = StorageNode::open(config).await?;
    let ended = node.ended().await;
    Err(format!("nobody asked it to end: {ended:?}").into())
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    acks: u64,
    restarts: u64,
    packets: u64,
    fingerprint: String,
}

fn run(seed: u64) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let mut chance = Chance::new(seed, "faults");
    let mut builder = turmoil::Builder::new();
    builder.rng_seed(seed).simulation_duration(Duration::from_secs(900)).udp_capacity(1 << 16);
    builder.min_message_latency(Duration::from_millis(1));
    builder.max_message_latency(Duration::from_millis(chance.between(2, 30)));
    let mut sim = builder.build();
    let world = Arc::new(World {
        seed,
        weather: Weather::new(seed),
        disks: Mutex::default(),
        acks: AtomicU64::new(0),
        starts: AtomicU64::new(0),
        violations: Mutex::default(),
    });
    let mut chronicle = Chronicle::new(91);
    chronicle.write_some(5);
    chronicle.publish(0, 500);
    let known = Arc::new(chronicle.fork());
    let mut members = Vec::new();
    for (number, name) in NODES.into_iter().enumerate() {
        let key = SecretKey::ml_dsa_65(&[number as u8 + 1; 32]).unwrap();
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let keystore = Keystore::lock(&key, b"", KdfCost::DEMONSTRATION).unwrap();
        keystore.create(&path.join("storage.key")).unwrap();
        let address = SocketAddr::new(sim.lookup(name), PORT).to_string();
        members.push(Member::new(key.public_key().to_vec(), address).unwrap());
        let (world, known) = (Arc::clone(&world), Arc::clone(&known));
        sim.host(name, move || storage(Arc::clone(&world), number, Arc::clone(&known), path.clone()));
    }
    let nodes: Vec<NodeId> = members.iter().map(Member::node).collect();
    let shared = Arc::clone(&world);
    sim.client("core", async move {
        let pins = Pins::new();
        for member in &members {
            pins.allow(member.key())?;
        }
        let link = endpoint(&chronicle.node, &pins, &shared.weather, seed ^ 0xc0de, link_config()).await;
        let document = topology(&chronicle, 1, members);
        let checking = Arc::clone(&shared);
        let acked = move |node: NodeId, head: Head| {
            checking.acks.fetch_add(1, Ordering::Relaxed);
            let number = nodes.iter().position(|known| *known == node).unwrap();
            if !checking.disks.lock().unwrap()[number].holds(&head) {
                checking.violations.lock().unwrap().push(format!("{node} acked {head:?} and may lose it"));
            }
        };
        let mut core = Core::start_over(link, chronicle, document, Start::default(), acked);
        for _ in 0..FAULTS_MS / 250 {
            core.write(|chronicle| chronicle.write_some(2));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        core.all_acked().await;
        Ok(())
    });
    let mut down = [None; 2];
    let mut next_fault = chance.between(100, 1000);
    for step in 0.. {
        if step == next_fault && step < FAULTS_MS {
            next_fault = step + chance.between(50, 900);
            let number = chance.below(2) as usize;
            match chance.below(6) {
                0 => sim.partition("core", NODES[number]),
                1 => sim.partition_oneway(NODES[number], "core"),
                2 => NODES.into_iter().for_each(|name| sim.repair("core", name)),
                3 => world.weather.set(chance.below(120) as u32, chance.below(100) as u32),
                _ if down[number].is_none() => {
                    sim.crash(NODES[number]);
                    let crash = match chance.below(3) {
                        0 => Crash::LostUnsynced,
                        1 => Crash::Torn { seed: chance.below(u64::MAX) },
                        _ => Crash::Subset { seed: chance.below(u64::MAX) },
                    };
                    let mut disks = world.disks.lock().unwrap();
                    disks[number] = disks[number].crash(crash);
                    down[number] = Some(step + chance.between(50, 2000));
                }
                _ => {}
            }
        }
        if step == FAULTS_MS {
            NODES.into_iter().for_each(|name| sim.repair("core", name));
            world.weather.set(0, 0);
        }
        for (number, until) in down.iter_mut().enumerate() {
            if until.is_some_and(|until| until <= step || step >= FAULTS_MS) {
                *until = None;
                sim.bounce(NODES[number]);
            }
        }
        let finished = sim.step().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let violations = world.violations.lock().unwrap();
        assert!(violations.is_empty(), "seed {seed}: {violations:?}");
        world.weather.note(&[step, world.acks.load(Ordering::Relaxed)]);
        if finished {
            break;
        }
    }
    // Everybody has everything, to the byte.
    let disks = world.disks.lock().unwrap();
    let digests = disks.each_ref().map(|disks| {
        Log::open(Arc::new(disks.log.crash(Crash::LostUnsynced)), LogConfig::new(1)).unwrap().0.head()
    });
    assert_eq!(digests[0], digests[1], "seed {seed}");
    let (packets, fingerprint) = world.weather.fingerprint();
    let (acks, starts) = (world.acks.load(Ordering::Relaxed), world.starts.load(Ordering::Relaxed));
    Outcome { acks, restarts: starts - 2, packets, fingerprint }
}

#[test]
fn o1_o2_o7_s6_what_real_nodes_acknowledge_survives_crashes_partitions_and_loss() {
    let asked = std::env::var("DSM_STORAGE_SEEDS").ok().map(|text| {
        let (first, end) = text.split_once("..").expect("a range like 0..1000");
        first.parse().unwrap()..end.parse().unwrap()
    });
    let (mut acks, mut restarts) = (0, 0);
    for seed in asked.unwrap_or(SEEDS) {
        let outcome = run(seed);
        println!("seed {seed}: {outcome:?}");
        acks += outcome.acks;
        restarts += outcome.restarts;
    }
    println!("{acks} acks checked, {restarts} restarts");
    assert!(acks > 50 && restarts > 3, "{acks} acks and {restarts} restarts test nothing");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(run(2), run(2));
}
