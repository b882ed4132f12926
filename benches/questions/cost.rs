//! Does a record cost the same when there are many? Append in groups of 64 with one fsync each, add to the index, and
//! read back by id, after 10⁴, 10⁵ and 10⁶ records. The figures are medians, and ratios within one run.

use dsm_store::{Appended, Index, IndexConfig, IndexEntry, Log, LogConfig, RealDisk};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Small, so that the sizes differ in the number of records and not in gigabytes.
const PAYLOAD_BYTES: usize = 1000;
/// Records that share an fsync.
const GROUP: u64 = 64;
/// Records measured after each size.
const MEASURED: u64 = 64 * 150;
/// Accounts that the records belong to in turn.
const CHAINS: u64 = 1000;
/// Reads measured after each size.
const READS: u64 = 2000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let disk = Arc::new(RealDisk::open(&directory.path().join("log"))?);
    let (log, _) = Log::open(disk, LogConfig::new(1))?;
    let config = IndexConfig { batch_records: 1 << 12, ..IndexConfig::default() };
    let (index, _) = Index::open(&directory.path().join("index.redb"), config, log.reader())?;
    println!("{:>10} {:>16} {:>8} {:>14} {:>8}", "records", "append µs", "ratio", "read by id µs", "ratio");
    let mut first = None;
    for records in [10_000u64, 100_000, 1_000_000] {
        let missing = records - log.head().0;
        append(&log, &index, missing)?;
        let append_us = median_us(append(&log, &index, MEASURED)?, GROUP);
        // The first visit of a segment looks for the starts of its records.
        read(&log, &index)?;
        let read_us = median_us(read(&log, &index)?, 1);
        let (append_first, read_first) = *first.get_or_insert((append_us, read_us));
        println!(
            "{records:>10} {append_us:>16.1} {:>8.2} {read_us:>14.1} {:>8.2}",
            append_us / append_first,
            read_us / read_first
        );
    }
    index.close()?;
    Ok(())
}

/// The median time of a record, from the times of so many together: one slow fsync of a busy machine is no cost of ours.
fn median_us(mut times: Vec<Duration>, together: u64) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6 / together as f64
}

/// Appends, syncs and indexes `count` more records; the time of each group.
fn append(log: &Log, index: &Index, count: u64) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let mut payload = vec![0; PAYLOAD_BYTES];
    let mut group: Vec<Appended> = Vec::new();
    let mut times = Vec::new();
    let mut start = Instant::now();
    for nth in 1..=count {
        payload[..8].copy_from_slice(&(log.head().0 + 1).to_le_bytes());
        group.push(log.append(1, &payload)?);
        if nth % GROUP == 0 || nth == count {
            log.sync()?;
            for appended in group.drain(..) {
                let position = appended.position;
                let link = (id(position % CHAINS), position / CHAINS);
                let entry = IndexEntry { ids: vec![id(position)], links: vec![link] };
                index.add(position, appended.digest, &entry)?;
            }
            times.push(start.elapsed());
            start = Instant::now();
        }
    }
    Ok(times)
}

/// Finds records all over the log by their ids and hashes them again; the time of each.
fn read(log: &Log, index: &Index) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let head = log.head().0;
    (0..READS)
        .map(|nth| {
            let start = Instant::now();
            // A stride that is prime to every head visits positions in no order.
            let position = nth * 7_368_787 % head + 1;
            let found = index.position_of(&id(position))?.ok_or("every record is in the index")?;
            assert_eq!(log.read(found)?.position, position);
            Ok(start.elapsed())
        })
        .collect()
}

/// An id as random as a hash.
fn id(number: u64) -> [u8; 32] {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}
