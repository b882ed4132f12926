//! Bit rot: every byte of a small store flipped, one at a time, is detected and never served (O5).
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::sync::Arc;

use common::{config, fill, kind, open, payload};
use dsm_store::disk::{Crash, Disk, MemoryDisk};
use dsm_store::{BlobError, Blobs, Log, LogConfig, LogError};

/// The records of the store: a good 8 KiB.
const LAST: u64 = 45;

fn store(segment_bytes: u64) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let config = LogConfig { segment_bytes, ..config() };
    let (log, _) = Log::open(Arc::new(disk.clone()), config).unwrap();
    assert_eq!(fill(&log, LAST), LAST);
    disk
}

fn bytes_of(disk: &MemoryDisk) -> Vec<(String, usize)> {
    let size = |name: &String| disk.open(name).unwrap().size().unwrap() as usize;
    disk.list().unwrap().into_iter().map(|name| (name.clone(), size(&name))).collect()
}

/// O5, found on opening or on reading: in one segment opening refuses; in several, opening refuses for the
/// last and for every head, and reading refuses exactly the record that is damaged.
#[test]
fn o5_every_flipped_byte_is_detected_and_never_served() {
    for segment_bytes in [1 << 20, 2 << 10] {
        let disk = store(segment_bytes);
        let files = bytes_of(&disk);
        assert_eq!(files.len() == 1, segment_bytes == 1 << 20);
        assert!(files.iter().map(|(_, size)| size).sum::<usize>() >= 8 << 10);
        for (name, size) in &files {
            for offset in 0..*size {
                let rotten = disk.crash(Crash::Process);
                rotten.flip(name, offset, 1 << (offset % 8));
                match open(&rotten) {
                    Err(LogError::Damaged { .. }) => {}
                    Err(error) => panic!("{name} {offset}: {error}"),
                    Ok((log, report)) => {
                        assert_eq!((report.head, report.cut), (LAST, None), "{name} {offset}");
                        assert_ne!(name, &files.last().unwrap().0, "{name} {offset}: not detected");
                        check_one_record_refused(&log, &format!("{name} {offset}"));
                    }
                }
            }
        }
    }
}

fn check_one_record_refused(log: &Log, place: &str) {
    let mut refused = Vec::new();
    for position in 1..=LAST {
        match log.read(position) {
            Ok(record) => {
                assert_eq!((record.kind, record.payload), (kind(position), payload(position)), "{place}");
            }
            Err(LogError::Damaged { position: found, .. }) => refused.push(found),
            Err(error) => panic!("{place}: {error}"),
        }
    }
    assert_eq!(refused.len(), 1, "{place}");
    let read = log.iter(1).unwrap().take_while(Result::is_ok).count() as u64;
    assert_eq!(read, refused[0] - 1, "{place}");
    let scrub = log.reader().scrub(1).unwrap();
    assert_eq!((scrub.damaged, scrub.places[0].position), (1, refused[0]), "{place}");
    assert_eq!(scrub.records, LAST - 1, "{place}");
}

/// O5: a store that is open when the bytes rot: whatever was read before, the damage is not served after.
#[test]
fn o5_rot_under_an_open_log_is_detected_by_read_and_scrub() {
    let disk = store(2 << 10);
    for (name, size) in bytes_of(&disk) {
        for offset in 0..size {
            let rotten = disk.crash(Crash::Process);
            let (log, _) = open(&rotten).unwrap();
            assert_eq!(log.iter(1).unwrap().filter(Result::is_ok).count(), LAST as usize);
            rotten.flip(&name, offset, 0x80);
            let scrub = log.reader().scrub(1).unwrap();
            assert!(scrub.damaged >= 1, "{name} {offset}");
            for position in 1..=LAST {
                if let Ok(record) = log.read(position) {
                    assert_eq!(record.payload, payload(position), "{name} {offset}");
                }
            }
        }
    }
}

/// O5: a sealed segment that is missing, and one with bytes behind its last record.
#[test]
fn o5_missing_and_extended_segments_are_detected() {
    let disk = store(2 << 10);
    let names = disk.list().unwrap();
    assert!(names.len() > 3);
    let without = disk.crash(Crash::Process);
    without.remove(&names[1]).unwrap();
    assert!(matches!(open(&without), Err(LogError::MissingSegment { .. })));

    let (log, _) = open(&disk).unwrap();
    let file = disk.open(&names[1]).unwrap();
    file.write_at(b"more", file.size().unwrap()).unwrap();
    assert_eq!(log.reader().scrub(1).unwrap().damaged, 1);
    disk.remove(&names[2]).unwrap();
    assert_eq!(log.reader().scrub(1).unwrap().damaged, 2);
}

/// Rows: what stands at the end of the last segment, and what opening makes of it.
#[test]
fn a_torn_tail_is_cut_and_damage_is_not() {
    let zeros = [0u8; 600];
    #[rustfmt::skip]
    let rows: [(&str, &[u8], bool); 5] = [
        ("half a head", &[0xd5, 1, 9, 0, 0], true),
        ("a length that was made durable without the bytes", &zeros, true),
        ("an end of file inside the first bytes", &[0xd5], true),
        ("bytes that no crash leaves", &[0xee; 600], false),
        ("a head's worth of rubbish", &[0x11; 91], false),
    ];
    for (name, tail, is_cut) in rows {
        let disk = store(1 << 20);
        let segment = &disk.list().unwrap()[0];
        let file = disk.open(segment).unwrap();
        let end = file.size().unwrap();
        file.write_at(tail, end).unwrap();
        match open(&disk) {
            Ok((log, report)) => {
                assert!(is_cut, "{name}");
                let cut = report.cut.unwrap();
                let expected = (1, end, LAST + 1, tail.len() as u64);
                assert_eq!((cut.segment, cut.offset, cut.position, cut.bytes), expected, "{name}");
                assert_eq!(fill(&log, LAST + 7), LAST + 7);
                drop(log);
                assert_eq!(open(&disk).unwrap().1.cut, None, "{name}");
            }
            Err(LogError::Damaged { segment: 1, offset, position }) if !is_cut => {
                assert_eq!((offset, position), (end, LAST + 1), "{name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

/// O5: a sector that was durable and reads as zeros looks torn; the batches written after it show that it was
/// not. Only inside the last batch (records 43 to 45) can it be taken for a crash.
#[test]
fn o5_a_lost_sector_before_the_last_batch_is_damage() {
    let disk = store(1 << 20);
    let (name, size) = bytes_of(&disk).remove(0);
    let mut damaged = 0;
    for sector in (512..size).step_by(512) {
        let rotten = disk.crash(Crash::Process);
        rotten.open(&name).unwrap().write_at(&vec![0; 512.min(size - sector)], sector as u64).unwrap();
        match open(&rotten) {
            Err(LogError::Damaged { position, .. }) => {
                assert!(position <= LAST);
                damaged += 1;
            }
            Err(error) => panic!("{sector}: {error}"),
            Ok((_, report)) => {
                assert!(report.head >= 42 && report.cut.is_some(), "{sector}: acknowledged records cut");
            }
        }
    }
    assert!(damaged > 12, "{damaged}");
}

/// A client puts bytes that look like a record of a later batch into a payload, and the record with it is
/// torn: recovery takes them for payload, because the client does not know the salt.
#[test]
fn a_payload_that_contains_a_record_does_not_turn_a_torn_tail_into_damage() {
    let forger = MemoryDisk::new();
    let config = LogConfig { salt: 0x600d, ..config() };
    let (log, _) = Log::open(Arc::new(forger.clone()), config).unwrap();
    for _ in 0..9 {
        log.append(1, b"forged").unwrap();
        log.sync().unwrap();
    }
    let name = &forger.list().unwrap()[0];
    let file = forger.open(name).unwrap();
    let mut forged = vec![0; file.size().unwrap() as usize];
    file.read_at(&mut forged, 0).unwrap();

    let disk = MemoryDisk::new();
    let (log, _) = open(&disk).unwrap();
    log.append(1, b"durable").unwrap();
    log.sync().unwrap();
    let mut payload = vec![1; 700];
    payload.extend_from_slice(&forged);
    let end = disk.open(name).unwrap().size().unwrap();
    log.append(2, &payload).unwrap();
    log.sync().unwrap();
    drop(log);
    let lost = 512 - end as usize;
    disk.open(name).unwrap().write_at(&vec![0; lost], end).unwrap();
    let (_, report) = open(&disk).unwrap();
    assert_eq!(report.head, 1);
    assert!(report.cut.is_some());
}

/// O5 for blobs, and a damaged blob stored again is whole again.
#[test]
fn o5_every_flipped_byte_of_a_blob_is_detected() {
    let disk = MemoryDisk::new();
    let blobs = Blobs::open(Arc::new(disk.clone()), 4096).unwrap();
    let content: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
    let id = blobs.put(&content).unwrap();
    let name = disk.list().unwrap().pop().unwrap();
    for offset in 0..content.len() {
        disk.flip(&name, offset, 4);
        assert!(matches!(blobs.get(&id), Err(BlobError::Damaged { .. })), "{offset}");
        assert_eq!(blobs.scrub().unwrap().damaged, [id]);
        disk.flip(&name, offset, 4);
    }
    assert_eq!(blobs.get(&id).unwrap(), content);
    disk.flip(&name, 5, 1);
    assert_eq!(blobs.put(&content).unwrap(), id);
    assert_eq!(blobs.get(&id).unwrap(), content);
    assert!(matches!(blobs.get(&[0; 32]), Err(BlobError::NotFound)));
}
