//! What does replication cost, how far behind are the storage nodes under load, and how fast does an empty one catch up?
//!
//! Core node, primary and replica share one process and its cores; every node verifies every signature, so with two
//! cores replication at best leaves a third of the local rate. All figures of a line belong to one run; the raw link is
//! measured in the same run.

use dsm_benches::{Bank, link::Wire};
use dsm_host::replicate::{KnownPeer, Replication, ReplicationConfig};
use dsm_sdk::receipt::Durability;
use dsm_storage_node::{StorageConfig, StorageNode};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Accounts, each with one transfer on its way at most.
const ACCOUNTS: usize = 2048;
/// Transfers on their way.
const WINDOW: usize = 2048;
/// Transfers of each measurement.
const TRANSFERS: usize = 60_000;
/// How often the lag is looked at.
const LAG_SAMPLE: Duration = Duration::from_millis(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let core = directory.path().join("core");
    let mut bank = Bank::open(&core, ACCOUNTS, cores);
    let runtime = Runtime::new()?;

    let local = rate(&mut bank, &runtime, Durability::Local);
    let storages: Vec<StorageNode> = ["primary", "replica"]
        .iter()
        .map(|name| storage(&runtime, &directory.path().join(name), &bank))
        .collect::<Result<_, _>>()?;
    let mut config = ReplicationConfig::new(&core);
    config.first = storages.iter().map(known).collect();
    let replication = {
        let _inside = runtime.enter();
        Replication::start(&bank.node, config)?
    };
    wait(&replication, replication.topology()?.position, 2);

    let lags = Lags::watch(&replication);
    let acknowledged = rate(&mut bank, &runtime, Durability::Replicated(2));
    let lags = lags.finish();
    println!("{cores} cores, transfers a second with signature, policy and fsync:");
    println!(
        "  local durable {local:.0}, replicated to 2 and durable there {acknowledged:.0}, ratio {:.2}",
        acknowledged / local
    );
    println!(
        "  lag of the slower storage node under that load: p50 {} records, p99 {} records ({:.0} ms at that rate)",
        percentile(&lags, 50),
        percentile(&lags, 99),
        percentile(&lags, 99) as f64 / acknowledged * 1000.0
    );

    let position = replication.topology()?.position;
    // The network began in this process, so this is the whole log.
    let bytes = bank.node.metrics().log_bytes.load(Ordering::Relaxed);
    let start = Instant::now();
    let empty = storage(&runtime, &directory.path().join("empty"), &bank)?;
    let KnownPeer { address, key } = known(&empty);
    runtime.block_on(replication.add(&address, Some(key)))?;
    wait(&replication, position, 3);
    let catch_up = bytes as f64 / start.elapsed().as_secs_f64() / MIB;
    let frames = 512;
    let raw = (frames << 20) as f64 / Wire::new().pour(frames, 1 << 20).as_secs_f64() / MIB;
    println!(
        "catch-up of an empty storage node, {position} records, {:.0} MiB: {catch_up:.0} MiB/s with every signature verified; the raw link {raw:.0} MiB/s, ratio {:.2}",
        bytes as f64 / MIB,
        catch_up / raw
    );

    runtime.block_on(async {
        replication.close().await;
        for node in storages.into_iter().chain([empty]) {
            node.close().await;
        }
    });
    bank.node.close()?;
    Ok(())
}

const MIB: f64 = (1 << 20) as f64;

/// Transfers a second that reach a level.
fn rate(bank: &mut Bank, runtime: &Runtime, level: Durability) -> f64 {
    let transfers = bank.transfers(TRANSFERS);
    let start = Instant::now();
    bank.run_at(runtime, transfers, WINDOW, level);
    TRANSFERS as f64 / start.elapsed().as_secs_f64()
}

fn storage(runtime: &Runtime, data: &Path, bank: &Bank) -> Result<StorageNode, Box<dyn std::error::Error>> {
    let config = StorageConfig::new(data, Some(bank.node.genesis().node.clone()));
    Ok(runtime.block_on(StorageNode::open(config))?)
}

fn known(node: &StorageNode) -> KnownPeer {
    KnownPeer { address: node.local_addr().to_string(), key: node.public_key().bytes.clone() }
}

/// Waits until so many storage nodes have acknowledged the log through `position`.
fn wait(replication: &Replication, position: u64, nodes: usize) {
    loop {
        let view = replication.topology().expect("it runs");
        if view.members.iter().filter(|member| member.acked >= position).count() >= nodes {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Samples of how many records the slower storage node lacks.
struct Lags {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<u64>>,
}

impl Lags {
    fn watch(replication: &Replication) -> Lags {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, replication) = (Arc::clone(&stop), replication.clone());
        let thread = std::thread::spawn(move || {
            let mut lags = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let view = replication.topology().expect("it runs");
                lags.extend(
                    view.members.iter().map(|member| view.position.saturating_sub(member.acked)).max(),
                );
                std::thread::sleep(LAG_SAMPLE);
            }
            lags
        });
        Lags { stop, thread }
    }

    fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut lags = self.thread.join().expect("it does not panic");
        lags.sort_unstable();
        lags
    }
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
