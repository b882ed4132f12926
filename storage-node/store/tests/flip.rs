//! Every byte of a 64 KiB store flipped, one at a time: detected, never served, repaired from a peer (O5, S1).
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{heal, kind, salvage};
use dsm_store::disk::{Crash, Disk, MemoryDisk};
use dsm_store::{BlobError, Blobs, Log, LogConfig, LogError, LogReader};

const LAST: u64 = 70;
const BLOB_BYTES_MAX: usize = 16 << 10;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 16 << 10, ..LogConfig::new(0x5eed_0002) }
}

fn payload(position: u64) -> Vec<u8> {
    let length = (position * 397 % 1451) as usize;
    (0..length).map(|at| (position as usize + at * 7) as u8 | 1).collect()
}

fn fill(log: &Log, group: u64) {
    for position in 1..=LAST {
        log.append(kind(position), &payload(position)).unwrap();
        if position % group == 0 || position == LAST {
            log.sync().unwrap();
        }
    }
}

/// A store of at least 64 KiB with sealed segments, a last one, and blobs; and a peer with the same records in other
/// batches, segments and with another salt.
struct Stores {
    log: MemoryDisk,
    blobs: MemoryDisk,
    peer: Log,
    peer_blobs: Blobs,
}

fn stores() -> Stores {
    let (log, blobs) = (MemoryDisk::new(), MemoryDisk::new());
    fill(&Log::open(Arc::new(log.clone()), config()).unwrap().0, 3);
    let peer_config = LogConfig { segment_bytes: 5 << 10, ..LogConfig::new(0x5eed_0003) };
    let peer = Log::open(Arc::new(MemoryDisk::new()), peer_config).unwrap().0;
    fill(&peer, 7);
    let peer_blobs = Blobs::open(Arc::new(MemoryDisk::new()), BLOB_BYTES_MAX).unwrap();
    let store = Blobs::open(Arc::new(blobs.clone()), BLOB_BYTES_MAX).unwrap();
    for length in [1, 3_000, 9_000] {
        let content: Vec<u8> = (0..length).map(|at| (at * 31) as u8).collect();
        assert_eq!(store.put(&content).unwrap(), peer_blobs.put(&content).unwrap());
    }
    Stores { log, blobs, peer, peer_blobs }
}

fn files(disk: &MemoryDisk) -> Vec<(String, usize)> {
    let size = |name: &String| disk.open(name).unwrap().size().unwrap() as usize;
    disk.list().unwrap().into_iter().map(|name| (name.clone(), size(&name))).collect()
}

/// The log with one byte flipped: not opened or not read, then repaired.
fn flip_in_log(stores: &Stores, reader: &LogReader, payloads: &[Vec<u8>], name: &str, offset: usize) -> bool {
    let place = format!("{name} {offset}");
    let rotten = stores.log.crash(Crash::Process);
    rotten.flip(name, offset, 1 << (offset % 8));
    let opened = Log::open(Arc::new(rotten.clone()), config());
    let is_refused = opened.is_err();
    let log = match opened {
        Err(LogError::Damaged { .. }) => salvage(&rotten, config(), reader).expect(&place),
        Err(error) => panic!("{place}: {error}"),
        Ok((log, _)) => {
            let mut refused = 0;
            for position in 1..=LAST {
                match log.read(position) {
                    Ok(record) => assert_eq!(record.payload, payloads[position as usize], "{place}"),
                    Err(LogError::Damaged { .. }) => refused += 1,
                    Err(error) => panic!("{place}: {error}"),
                }
            }
            assert_eq!(refused, 1, "{place}: served");
            assert_eq!(heal(&log, reader).expect(&place), 1, "{place}");
            log
        }
    };
    assert_eq!(log.head(), reader.durable(), "{place}");
    let scrub = log.reader().scrub(1).unwrap();
    assert_eq!((scrub.records, scrub.damaged), (LAST, 0), "{place}");
    if offset.is_multiple_of(61) {
        let (log, report) = Log::open(Arc::new(rotten.crash(Crash::LostUnsynced)), config()).unwrap();
        assert_eq!((report.head, report.cut), (LAST, None), "{place}");
        assert_eq!(log.reader().scrub(1).unwrap(), scrub, "{place}");
    }
    is_refused
}

fn flip_in_blob(stores: &Stores, name: &str, offset: usize) {
    let rotten = stores.blobs.crash(Crash::Process);
    rotten.flip(name, offset, 1 << (offset % 8));
    let blobs = Blobs::open(Arc::new(rotten.clone()), BLOB_BYTES_MAX).unwrap();
    let damaged = blobs.scrub().unwrap().damaged;
    let [id] = damaged.as_slice() else { panic!("{name} {offset}: not detected") };
    assert!(matches!(blobs.get(id), Err(BlobError::Damaged { .. })), "{name} {offset}: served");
    let content = stores.peer_blobs.get(id).unwrap();
    assert!(matches!(blobs.repair(id, &content[1..]), Err(BlobError::WrongContent { .. })));
    blobs.repair(id, &content).unwrap();
    assert_eq!(blobs.scrub().unwrap(), stores.peer_blobs.scrub().unwrap(), "{name} {offset}");
    assert_eq!(blobs.list().unwrap(), stores.peer_blobs.list().unwrap(), "{name} {offset}");
}

#[test]
fn o5_s1_every_flipped_byte_of_a_store_is_repaired_from_a_peer() {
    let stores = stores();
    let (logs, blobs) = (files(&stores.log), files(&stores.blobs));
    assert!(logs.len() >= 4 && blobs.len() == 3, "{logs:?} {blobs:?}");
    let bytes: usize = logs.iter().chain(&blobs).map(|(_, size)| size).sum();
    assert!(bytes >= 64 << 10, "{bytes} bytes");
    let reader = stores.peer.reader();
    let payloads: Vec<Vec<u8>> = (0..=LAST).map(payload).collect();
    let (refused, flipped) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for parity in 0..2 {
            let (stores, reader, payloads) = (&stores, &reader, &payloads);
            let (refused, flipped, logs, blobs) = (&refused, &flipped, &logs, &blobs);
            scope.spawn(move || {
                for (name, size) in logs {
                    for offset in (parity..*size).step_by(2) {
                        let is_refused = flip_in_log(stores, reader, payloads, name, offset);
                        refused.fetch_add(u64::from(is_refused), Ordering::Relaxed);
                        flipped.fetch_add(1, Ordering::Relaxed);
                    }
                }
                for (name, size) in blobs {
                    for offset in (parity..*size).step_by(2) {
                        flip_in_blob(stores, name, offset);
                        flipped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(flipped.into_inner(), bytes as u64);
    let sealed = logs.len() as u64 - 1;
    let last = logs[logs.len() - 1].1 as u64;
    assert_eq!(refused.into_inner(), sealed * 68 + last, "opening refuses heads and the last segment");
}
