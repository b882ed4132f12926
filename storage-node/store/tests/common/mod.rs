//! What the tests of the log share: a workload whose records can be told apart, and the check of a prefix.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part
#![allow(clippy::unwrap_used)] // in a test that is the failure

use std::sync::Arc;

use dsm_store::{Disk, Log, LogConfig, LogError, LogReader, RecoveryReport, RepairError, Salvage};

/// Small segments, so that 200 records cross several.
pub fn config() -> LogConfig {
    LogConfig { segment_bytes: 8 << 10, ..LogConfig::new(0x5eed_0001) }
}

pub fn open(disk: &(impl Disk + Clone + 'static)) -> Result<(Log, RecoveryReport), LogError> {
    Log::open(Arc::new(disk.clone()), config())
}

/// The payload at `position`: of varying length, never with a sector of zeros.
pub fn payload(position: u64) -> Vec<u8> {
    let length = (position * 37 % 331) as usize;
    (0..length).map(|at| (position as usize + at * 7) as u8 | 1).collect()
}

pub fn kind(position: u64) -> u8 {
    (position % 5) as u8
}

/// Appends records until `last`, syncing after groups of varying size. Returns what was acknowledged.
pub fn fill(log: &Log, last: u64) -> u64 {
    let mut acknowledged = log.reader().durable().0;
    for position in log.head().0 + 1..=last {
        if log.append(kind(position), &payload(position)).is_err() {
            return acknowledged;
        }
        if position % 3 == 0 || position % 7 == 0 || position == last {
            match log.sync() {
                Ok(durable) => acknowledged = durable,
                Err(_) => return acknowledged,
            }
        }
    }
    acknowledged
}

/// Every record of `log` is the one that [`fill`] wrote there.
pub fn check_prefix(log: &Log) {
    let (head, digest) = log.head();
    let mut last = (0, [0; 32]);
    for record in log.iter(1).unwrap() {
        let record = record.unwrap();
        assert_eq!(record.position, last.0 + 1);
        assert_eq!((record.kind, &record.payload), (kind(record.position), &payload(record.position)));
        last = (record.position, record.digest);
    }
    assert_eq!(last, (head, digest));
}

/// Records as a peer supplies them.
pub fn fetch(peer: &LogReader, first: u64, last: u64) -> Vec<(u8, Vec<u8>)> {
    (first..=last)
        .map(|position| peer.read(position).unwrap())
        .map(|record| (record.kind, record.payload))
        .collect()
}

/// Scrubs `log` and repairs what is damaged with records of `peer`. Returns how many records were repaired.
pub fn heal(log: &Log, peer: &LogReader) -> Result<u64, RepairError> {
    let mut repaired = 0;
    for damage in log.reader().scrub(1)?.places {
        let Some(stretch) = log.reader().stretch(damage.position)? else {
            repaired += log.repair(damage.segment, 0, &[])?;
            continue;
        };
        let records = fetch(peer, stretch.first, stretch.last.unwrap());
        repaired += log.repair(damage.segment, stretch.first, &records)?;
    }
    Ok(repaired)
}

/// Repairs a log that does not open with records of `peer`, whose head is trusted.
pub fn salvage(
    disk: &(impl Disk + Clone + 'static),
    config: LogConfig,
    peer: &LogReader,
) -> Result<Log, RepairError> {
    let mut salvage = Salvage::open(Arc::new(disk.clone()), config)?;
    let (position, digest) = peer.durable();
    salvage.expect_head(position, digest)?;
    while let Some(stretch) = salvage.wanted().first().copied() {
        let records = fetch(peer, stretch.first, stretch.last.unwrap());
        assert_eq!(salvage.repair(stretch.first, &records)?, records.len() as u64);
    }
    Ok(salvage.finish()?.0)
}
