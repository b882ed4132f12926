//! Files written by yesterday's version are opened by today's tests, and today's version writes the same
//! bytes. The fixtures are added to, never edited.
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::sync::Arc;

use common::{fill, kind, open, payload};
use dsm_store::disk::{Disk, MemoryDisk};
use dsm_store::{Blobs, LogError, RealDisk};

/// 40 records of the common workload in segments of 8 KiB with salt 0x5eed0001, written by version 1.
const SEGMENTS: [(&str, &[u8]); 2] = [
    ("log-00000000000000000001", include_bytes!("fixtures/v1/log-00000000000000000001")),
    ("log-00000000000000000034", include_bytes!("fixtures/v1/log-00000000000000000034")),
];
/// The chain digest through record 40, computed from the rule in the module's documentation.
const HEAD: &str = "86967e1c4f20f7d6ca22f3c514da2d51e1c9d30f5b45989e5ebc0d2c7a17f8b5";

fn on_disk(files: &[(&str, &[u8])]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (name, content) in files {
        disk.create(name).unwrap().write_at(content, 0).unwrap();
    }
    disk
}

fn content(disk: &impl Disk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_log_written_by_version_1_is_opened() {
    let disk = on_disk(&SEGMENTS);
    let (log, report) = open(&disk).unwrap();
    assert_eq!((report.segments, report.first, report.head, report.cut), (2, 1, 40, None));
    let digest: String = report.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, HEAD);
    for position in 1..=40 {
        let record = log.read(position).unwrap();
        assert_eq!((record.kind, record.payload), (kind(position), payload(position)));
    }
    assert_eq!(log.reader().scrub(1).unwrap().records, 40);
    assert_eq!(fill(&log, 60), 60);
}

#[test]
fn version_1_is_still_written_byte_for_byte() {
    let disk = MemoryDisk::new();
    let (log, _) = open(&disk).unwrap();
    assert_eq!(fill(&log, 40), 40);
    assert_eq!(disk.list().unwrap(), SEGMENTS.map(|(name, _)| name));
    for (name, expected) in SEGMENTS {
        assert_eq!(content(&disk, name), expected);
    }
}

/// The chain digest is what the documentation says, computed here from nothing but BLAKE3.
#[test]
fn the_chain_digest_follows_the_documented_rule() {
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    let mut digest = [0u8; 32];
    for position in 1u64..=10 {
        let mut hashed = b"DSM/log\0".to_vec();
        hashed.extend_from_slice(&digest);
        hashed.extend_from_slice(&position.to_le_bytes());
        hashed.push(kind(position));
        hashed.extend_from_slice(blake3::hash(&payload(position)).as_bytes());
        digest = *blake3::hash(&hashed).as_bytes();
        assert_eq!(log.append(kind(position), &payload(position)).unwrap().digest, digest);
    }
}

#[test]
fn an_unknown_version_is_refused_by_name() {
    let mut later = SEGMENTS[0].1.to_vec();
    later[8] = 2;
    let crc = crc32c::crc32c(&later[..64]);
    later[64..68].copy_from_slice(&crc.to_le_bytes());
    let disk = on_disk(&[("log-00000000000000000001", &later)]);
    assert!(matches!(open(&disk), Err(LogError::UnknownVersion { segment: 1, version: 2 })));
}

/// The operating system's disk: a log and blobs, opened again, and never by two owners at once.
#[test]
fn a_real_directory_holds_what_was_synced_and_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("log");
    let config = common::config();
    let (log, _) = dsm_store::Log::open(Arc::new(RealDisk::open(&root).unwrap()), config.clone()).unwrap();
    assert_eq!(fill(&log, 40), 40);
    for position in 41..=50 {
        log.append(kind(position), &payload(position)).unwrap();
    }
    let busy = RealDisk::open(&root).unwrap_err();
    assert_eq!(busy.kind(), std::io::ErrorKind::ResourceBusy);
    drop(log);
    for (name, expected) in SEGMENTS {
        assert_eq!(std::fs::read(root.join(name)).unwrap(), expected);
    }
    let (log, report) = dsm_store::Log::open(Arc::new(RealDisk::open(&root).unwrap()), config).unwrap();
    assert_eq!(report.head, 40);
    common::check_prefix(&log);

    let disk = || Arc::new(RealDisk::open(&directory.path().join("blobs")).unwrap());
    let blobs = Blobs::open(disk(), 1 << 20).unwrap();
    let id = blobs.put(b"policy").unwrap();
    drop(blobs);
    assert_eq!(Blobs::open(disk(), 1 << 20).unwrap().get(&id).unwrap(), b"policy");
}

/// Readers on other threads see exactly what is durable while one thread appends and another syncs.
#[test]
fn readers_follow_a_log_that_is_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(directory.path()).unwrap());
    let (log, _) = dsm_store::Log::open(disk, common::config()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for position in 1..=2000 {
                log.append(kind(position), &payload(position)).unwrap();
            }
        });
        scope.spawn(|| {
            while log.sync().unwrap() < 2000 {
                std::thread::yield_now();
            }
        });
        scope.spawn(|| {
            let reader = log.reader();
            let mut next = 1;
            while next <= 2000 {
                for record in reader.iter(next).unwrap() {
                    let record = record.unwrap();
                    assert_eq!((record.position, record.payload), (next, payload(next)));
                    next += 1;
                }
            }
            assert!(matches!(reader.read(2001), Err(LogError::NotDurable { durable: 2000, .. })));
        });
    });
    common::check_prefix(&log);
}
