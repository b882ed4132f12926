//! Crashes, failing syncs and full disks: what was acknowledged is there afterwards (O1, O2, O3, O4).
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{check_prefix, config, fill, open, payload};
use dsm_store::disk::{Crash, FaultyDisk, MemoryDisk, every_crash};
use dsm_store::{BlobError, Blobs, LogError};

/// O1 (the process dies) and O2 (power fails, writes are torn, lost, or kept in any subset), at every call
/// that changes the disk, recovery included.
#[test]
fn o1_o2_nothing_acknowledged_is_lost_at_any_boundary() {
    let workload = |disk: &FaultyDisk| open(disk).map_or(0, |(log, _)| fill(&log, 200));
    let mut heads = BTreeSet::new();
    let mut cuts = 0;
    let disks = every_crash(6, workload, |point, disk, acknowledged| {
        let (log, report) = open(&disk).unwrap_or_else(|error| panic!("{point:?}: {error}"));
        assert!(report.head >= *acknowledged, "{point:?}: {} < {acknowledged}", report.head);
        check_prefix(&log);
        heads.insert(report.head);
        cuts += u64::from(report.cut.is_some());
        // The log goes on, and what it recovered is durable now.
        assert_eq!(fill(&log, report.head + 5), report.head + 5);
        drop(log);
        let (log, again) = open(&disk.crash(Crash::LostUnsynced)).unwrap();
        assert_eq!((again.head, again.cut), (report.head + 5, None), "{point:?}");
        check_prefix(&log);
    });
    assert!(disks > 2000, "{disks} disks");
    assert!(cuts > 100, "{cuts} torn tails");
    assert!(heads.len() > 90, "{} different heads", heads.len());
}

/// O2: power fails again while the log recovers from a torn tail.
#[test]
fn o2_a_crash_during_recovery_loses_nothing() {
    for seed in 0..40 {
        let first = FaultyDisk::new();
        let (log, _) = open(&first).unwrap();
        let acknowledged = fill(&log, 60);
        for position in 61..80 {
            log.append(common::kind(position), &payload(position)).unwrap();
        }
        first.lose_power_at(first.boundaries());
        log.sync().unwrap_err();
        let found = first.memory().crash(Crash::Subset { seed });
        for boundary in 0..4 {
            let disk = FaultyDisk::over(found.crash(Crash::Process));
            disk.lose_power_at(boundary);
            let finished = open(&disk).is_ok();
            for crash in [Crash::LostUnsynced, Crash::Process, Crash::Torn { seed }, Crash::Subset { seed }] {
                let (log, report) = open(&disk.memory().crash(crash)).unwrap();
                assert!(report.head >= acknowledged, "seed {seed} boundary {boundary} {finished} {crash:?}");
                check_prefix(&log);
            }
        }
    }
}

/// O3: after a failed sync nothing is acknowledged any more, and the pages that it left readable are not
/// taken for durable by the next opening.
#[test]
fn o3_a_failed_sync_poisons_the_log() {
    let disk = FaultyDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, 20);
    let reader = log.reader();
    log.append(1, &payload(21)).unwrap();
    disk.fail_syncs(1);
    assert!(matches!(log.sync(), Err(LogError::Io { .. })));
    assert!(matches!(log.sync(), Err(LogError::Poisoned)));
    assert!(matches!(log.append(1, b"x"), Err(LogError::Poisoned)));
    assert!(matches!(log.discard(), Err(LogError::Poisoned)));
    assert!(matches!(log.read(1), Err(LogError::Poisoned)));
    assert!(matches!(log.iter(1), Err(LogError::Poisoned)));
    assert_eq!(reader.durable().0, 20);
    assert_eq!(reader.read(20).unwrap().payload, payload(20));
    drop(log);

    // Record 21 reads back although it never reached the medium. Opening writes it again before serving it.
    let (log, report) = open(&disk).unwrap();
    assert_eq!(report.head, 21);
    assert_eq!(log.read(21).unwrap().payload, payload(21));
    let (_, report) = open(&disk.memory().crash(Crash::LostUnsynced)).unwrap();
    assert_eq!(report.head, 21);
}

/// O3, at every sync of a workload: nothing is acknowledged after the one that fails.
#[test]
fn o3_any_failed_sync_stops_the_acknowledgements() {
    for after in 0..40 {
        let disk = FaultyDisk::new();
        let (log, _) = open(&disk).unwrap();
        let before = fill(&log, after);
        disk.fail_syncs(1);
        let acknowledged = fill(&log, 200);
        assert_eq!(acknowledged, before);
        assert!(matches!(log.sync(), Err(LogError::Poisoned)));
        let (log, report) = open(&disk.memory().crash(Crash::LostUnsynced)).unwrap();
        assert_eq!(report.head, acknowledged);
        check_prefix(&log);
    }
}

/// O4: a full disk refuses writes, serves reads, and goes on when there is room; for every number of bytes
/// that may still fit, new segments included.
#[test]
fn o4_a_full_disk_refuses_and_recovers() {
    for room in (0..12_000).step_by(97) {
        let disk = FaultyDisk::new();
        let (log, _) = open(&disk).unwrap();
        fill(&log, 30);
        disk.memory().set_capacity(Some(5_000 + room));
        let acknowledged = fill(&log, 200);
        assert!((30..200).contains(&acknowledged), "{acknowledged}");
        assert!(matches!(log.sync(), Err(LogError::DiskFull)));
        for position in 1..=acknowledged {
            assert_eq!(log.read(position).unwrap().payload, payload(position));
        }
        let (_, report) = open(&disk.memory().crash(Crash::Process)).unwrap();
        assert_eq!((report.head, report.cut), (acknowledged, None), "something half-written remains");

        if room % 2 == 0 {
            assert!(log.discard().unwrap() > 0);
            assert_eq!(log.head(), log.reader().durable());
        }
        disk.memory().set_capacity(None);
        log.sync().unwrap();
        assert_eq!(fill(&log, 200), 200);
        check_prefix(&log);
        let (log, report) = open(&disk.memory().crash(Crash::LostUnsynced)).unwrap();
        assert_eq!(report.head, 200);
        check_prefix(&log);
    }
}

/// O1, O2 for blobs: a name that is there has its whole content, and an acknowledged blob is there.
#[test]
fn o1_o2_blobs_are_whole_or_absent() {
    let contents: Vec<Vec<u8>> = (1..12).map(|n| vec![n as u8; n * 150]).collect();
    let workload = |disk: &FaultyDisk| -> Vec<[u8; 32]> {
        let Ok(blobs) = Blobs::open(Arc::new(disk.clone()), 4096) else { return Vec::new() };
        contents.iter().map_while(|content| blobs.put(content).ok()).collect()
    };
    every_crash(6, workload, |point, disk, acknowledged| {
        let blobs = Blobs::open(Arc::new(disk.clone()), 4096).unwrap();
        let scrub = blobs.scrub().unwrap();
        assert!(scrub.damaged.is_empty(), "{point:?}");
        for id in acknowledged {
            assert!(blobs.get(id).is_ok(), "{point:?}");
        }
        for content in &contents {
            blobs.put(content).unwrap();
        }
        assert_eq!(blobs.list().unwrap().len(), contents.len(), "{point:?}");
    });
}

/// O3, O4 for blobs.
#[test]
fn o3_o4_blobs_refuse_after_a_failed_sync_and_on_a_full_disk() {
    let disk = FaultyDisk::new();
    let blobs = Blobs::open(Arc::new(disk.clone()), 4096).unwrap();
    assert!(matches!(blobs.put(&[7; 4097]), Err(BlobError::TooLong { limit: 4096, found: 4097 })));
    disk.memory().set_capacity(Some(1000));
    assert!(matches!(blobs.put(&[1; 2000]), Err(BlobError::DiskFull)));
    let small = blobs.put(&[1; 900]).unwrap();
    assert_eq!(blobs.list().unwrap(), [small]);
    disk.memory().set_capacity(None);
    blobs.put(&[1; 2000]).unwrap();
    disk.fail_syncs(1);
    assert!(matches!(blobs.put(&[2; 10]), Err(BlobError::Io { .. })));
    assert!(matches!(blobs.put(&[3; 10]), Err(BlobError::Poisoned)));
    assert_eq!(blobs.get(&small).unwrap(), [1; 900]);
}

/// A config row: the salt of a segment is the one it was created with, whatever a later opening brings.
#[test]
fn a_later_salt_reads_an_earlier_segment() {
    let disk = MemoryDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, 40);
    drop(log);
    let salted = dsm_store::LogConfig { salt: 99, ..config() };
    let (log, _) = dsm_store::Log::open(Arc::new(disk.clone()), salted).unwrap();
    fill(&log, 200);
    drop(log);
    let (log, report) = open(&disk).unwrap();
    assert!(report.segments > 2);
    check_prefix(&log);
}
