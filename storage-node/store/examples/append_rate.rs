//! A measurement: durable records per second of the log, alone and with the index, by group size.
//!
//! `cargo run --release -p dsm-store --example append_rate -- DIRECTORY` writes some GB under DIRECTORY, which
//! should be on the disk in question and not in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dsm_store::{Index, IndexConfig, IndexEntry, Log, LogConfig, RealDisk};

/// A transition with one ML-DSA-65 key and signature.
const PAYLOAD_BYTES: usize = 5_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: append_rate DIRECTORY")?;
    println!("records of {PAYLOAD_BYTES} B, records per second");
    println!("{:>6} {:>10} {:>10} {:>11} {:>14}", "group", "log", "log+index", "append, ns", "index add, ns");
    for (group, records) in [(1, 4_000), (64, 100_000), (1024, 200_000)] {
        let alone = rate(&directory.join("rate"), group, records, false)?;
        let indexed = rate(&directory.join("rate"), group, records, true)?;
        let each = |total: Duration| total.as_nanos() as f64 / records as f64;
        println!(
            "{group:>6} {:>10.0} {:>10.0} {:>11.0} {:>14.0}",
            alone.per_second,
            indexed.per_second,
            each(alone.appending),
            each(indexed.adding)
        );
    }
    Ok(())
}

struct Rate {
    per_second: f64,
    appending: Duration,
    adding: Duration,
}

fn rate(
    directory: &Path,
    group: u64,
    records: u64,
    with_index: bool,
) -> Result<Rate, Box<dyn std::error::Error>> {
    let (log, _) = Log::open(Arc::new(RealDisk::open(&directory.join("log"))?), LogConfig::new(1))?;
    let index = if with_index {
        Some(Index::open(&directory.join("index"), IndexConfig::default(), log.reader())?.0)
    } else {
        None
    };
    let mut payload = vec![0u8; PAYLOAD_BYTES];
    let mut group_entries = Vec::new();
    let (mut appending, mut adding) = (Duration::ZERO, Duration::ZERO);
    let started = Instant::now();
    for nth in 0..records {
        payload[..8].copy_from_slice(&nth.to_le_bytes());
        let append = Instant::now();
        let appended = log.append(1, &payload)?;
        appending += append.elapsed();
        let mut id = appended.digest;
        id.reverse();
        group_entries.push((appended, IndexEntry { ids: vec![id], links: vec![(id, nth)] }));
        if group_entries.len() as u64 == group {
            log.sync()?;
            let added = Instant::now();
            for (appended, entry) in group_entries.drain(..) {
                if let Some(index) = &index {
                    index.add(appended.position, appended.digest, &entry)?;
                }
            }
            adding += added.elapsed();
        }
    }
    log.sync()?;
    let per_second = records as f64 / started.elapsed().as_secs_f64();
    if let Some(index) = index {
        index.close()?;
    }
    drop(log);
    std::fs::remove_dir_all(directory)?;
    Ok(Rate { per_second, appending, adding })
}
