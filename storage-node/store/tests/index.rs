//! The derived index: equal after it was deleted, taken only if the log bears it out, never an error when it
//! is damaged.
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{fill, open};
use dsm_store::disk::{Crash, MemoryDisk};
use dsm_store::{Index, IndexConfig, IndexEntry, IndexError, Log, LogReader, Rebuilt};

fn id(position: u64) -> [u8; 32] {
    let mut id = [0xaa; 32];
    id[..8].copy_from_slice(&position.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    id
}

fn link(position: u64) -> ([u8; 32], u64) {
    ([(position % 3) as u8; 32], position / 3)
}

/// What a caller does on opening: add what the index does not cover.
fn feed(index: &Index, reader: &LogReader) {
    for record in reader.iter(index.covered() + 1).unwrap() {
        let record = record.unwrap();
        let entry = IndexEntry { ids: vec![id(record.position)], links: vec![link(record.position)] };
        index.add(record.position, record.digest, &entry).unwrap();
    }
}

fn check(index: &Index, last: u64) {
    for position in 1..=last {
        assert_eq!(index.position_of(&id(position)).unwrap(), Some(position));
        let (chain, height) = link(position);
        assert_eq!(index.position_at(&chain, height).unwrap(), Some(position));
    }
    assert_eq!(index.position_of(&id(last + 1)).unwrap(), None);
    assert_eq!(index.position_at(&[9; 32], 0).unwrap(), None);
    assert_eq!(index.covered(), last);
}

fn open_index(path: &Path, reader: LogReader) -> (Index, u64, Option<Rebuilt>) {
    let config = IndexConfig { cache_bytes: 1 << 20, batch_records: 32, ..IndexConfig::default() };
    let (index, report) = Index::open(path, config, reader).unwrap();
    (index, report.covered, report.rebuilt)
}

#[test]
fn an_index_that_was_deleted_is_rebuilt_equal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    fill(&log, 500);

    let (index, covered, rebuilt) = open_index(&path, log.reader());
    assert_eq!((covered, rebuilt), (0, Some(Rebuilt::Missing)));
    feed(&index, &log.reader());
    check(&index, 500);
    index.flush().unwrap();
    check(&index, 500);
    index.close().unwrap();

    let (index, covered, rebuilt) = open_index(&path, log.reader());
    assert_eq!((covered, rebuilt), (500, None));
    check(&index, 500);
    fill(&log, 700);
    feed(&index, &log.reader());
    check(&index, 700);
    drop(index);

    std::fs::remove_file(&path).unwrap();
    let (index, covered, rebuilt) = open_index(&path, log.reader());
    assert_eq!((covered, rebuilt), (0, Some(Rebuilt::Missing)));
    feed(&index, &log.reader());
    check(&index, 700);
}

#[test]
fn entries_are_added_in_order_and_only_when_durable() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    let (index, ..) = open_index(&directory.path().join("index"), log.reader());
    let appended = log.append(1, b"not yet synced").unwrap();
    let entry = IndexEntry::default();
    let refused = index.add(1, appended.digest, &entry);
    assert!(matches!(refused, Err(IndexError::NotDurable { position: 1, durable: 0 })));
    log.sync().unwrap();
    assert!(matches!(index.add(2, appended.digest, &entry), Err(IndexError::Gap { expected: 1, found: 2 })));
    index.add(1, appended.digest, &entry).unwrap();
    assert!(matches!(index.add(1, appended.digest, &entry), Err(IndexError::Gap { expected: 2, found: 1 })));
}

/// An index that names what the log does not have is evidence: it is kept, and opening says which of the two it
/// was, a log that lost durable records or another log.
#[test]
fn an_index_that_the_log_does_not_bear_out_stops_the_opening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let disk = MemoryDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, 20);
    let older = disk.crash(Crash::Process);
    fill(&log, 60);
    let (index, ..) = open_index(&path, log.reader());
    feed(&index, &log.reader());
    index.close().unwrap();

    let (older, _) = open(&older).unwrap();
    for _ in 0..2 {
        let error = Index::open(&path, IndexConfig::default(), older.reader()).map(|_| ()).unwrap_err();
        assert!(matches!(error, IndexError::AheadOfLog { covered: 60, durable: 20 }), "{error}");
    }

    let (other, _) = open(&MemoryDisk::new()).unwrap();
    for _ in 0..30 {
        other.append(0, b"another log").unwrap();
    }
    other.sync().unwrap();
    fill(&other, 60);
    let error = Index::open(&path, IndexConfig::default(), other.reader()).map(|_| ()).unwrap_err();
    assert!(matches!(error, IndexError::OtherLog { covered: 60 }), "{error}");
}

/// O1: the process dies at any time. The copy of the file is what a killed process leaves; what it covers is
/// a checkpoint, made at a new segment of the log, and the rest is fed again.
#[test]
fn o1_an_index_of_a_killed_process_is_completed_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    let (index, ..) = open_index(&directory.path().join("index"), log.reader());
    let mut covered_before = 0;
    for last in (50..=600).step_by(50) {
        fill(&log, last);
        feed(&index, &log.reader());
        index.flush().unwrap();
        let copy = directory.path().join(format!("killed-{last}"));
        std::fs::copy(directory.path().join("index"), &copy).unwrap();
        let (killed, covered, rebuilt) = open_index(&copy, log.reader());
        assert_eq!(rebuilt, None);
        assert!(covered >= covered_before && covered <= last, "{covered_before} {covered} {last}");
        covered_before = covered;
        feed(&killed, &log.reader());
        check(&killed, last);
    }
    assert!(covered_before > 500, "no checkpoint was made at a new segment: {covered_before}");
}

/// O5: the file rots while it is closed. It is deleted and fed again, or the byte did not matter: never a
/// wrong answer, never an error.
#[test]
fn o5_a_damaged_index_is_rebuilt_and_answers_right() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    fill(&log, 300);
    let (index, ..) = open_index(&path, log.reader());
    feed(&index, &log.reader());
    index.close().unwrap();
    let sound = std::fs::read(&path).unwrap();

    let mut rebuilds = 0;
    for offset in (0..sound.len()).step_by(sound.len() / 150 + 1) {
        let mut rotten = sound.clone();
        rotten[offset] ^= 0x10;
        std::fs::write(&path, &rotten).unwrap();
        let (index, _, rebuilt) = open_index(&path, log.reader());
        rebuilds += u32::from(matches!(rebuilt, Some(Rebuilt::Damaged(_))));
        feed(&index, &log.reader());
        check(&index, 300);
    }
    assert!(rebuilds > 5, "{rebuilds} rebuilds");
    for rubbish in [Vec::new(), vec![7; 10_000], sound[..sound.len() / 2].to_vec()] {
        std::fs::write(&path, &rubbish).unwrap();
        let (index, ..) = open_index(&path, log.reader());
        feed(&index, &log.reader());
        check(&index, 300);
    }
}

#[test]
fn lookups_from_other_threads_see_every_entry_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    let (index, ..) = open_index(&directory.path().join("index"), log.reader());
    let index = Arc::new(index);
    fill(&log, 1000);
    std::thread::scope(|scope| {
        let looking = Arc::clone(&index);
        scope.spawn(move || {
            while looking.covered() < 1000 {
                let covered = looking.covered();
                if covered > 0 {
                    assert_eq!(looking.position_of(&id(covered)).unwrap(), Some(covered));
                    let early = covered / 2 + 1;
                    assert_eq!(looking.position_of(&id(early)).unwrap(), Some(early));
                }
            }
        });
        feed(&index, &log.reader());
    });
}

/// What was pruned is not found, and an index that is built anew, or that lies behind what was pruned, starts where
/// the log does.
#[test]
fn an_index_of_a_pruned_log_starts_where_the_log_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let disk = MemoryDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, 50);
    let (index, ..) = open_index(&path, log.reader());
    feed(&index, &log.reader());
    index.close().unwrap();
    std::fs::copy(&path, directory.path().join("old")).unwrap();
    fill(&log, 300);
    let (index, ..) = open_index(&path, log.reader());
    feed(&index, &log.reader());
    let first = log.prune(250).unwrap().first;
    assert!(first > 60);
    let check_kept = |index: &Index| {
        for position in 1..=300 {
            let kept = (position >= first).then_some(position);
            let (chain, height) = link(position);
            assert_eq!(index.position_of(&id(position)).unwrap(), kept);
            assert_eq!(index.position_at(&chain, height).unwrap(), kept);
        }
    };
    check_kept(&index);
    index.close().unwrap();
    let (index, covered, rebuilt) = open_index(&path, log.reader());
    assert_eq!((covered, rebuilt), (300, None));
    check_kept(&index);
    drop(index);

    let old = directory.path().join("old");
    let (index, covered, rebuilt) = open_index(&old, log.reader());
    assert_eq!((covered, rebuilt), (first - 1, Some(Rebuilt::Pruned { covered: 50, first })));
    feed(&index, &log.reader());
    check_kept(&index);
    drop(index);
    std::fs::remove_file(&path).unwrap();
    let (index, covered, rebuilt) = open_index(&path, log.reader());
    assert_eq!((covered, rebuilt), (first - 1, Some(Rebuilt::Missing)));
    feed(&index, &log.reader());
    check_kept(&index);
    index.close().unwrap();

    // A log without records behind a checkpoint has an index without entries.
    let begun = MemoryDisk::new();
    let (log, _) = Log::begin(Arc::new(begun), common::config(), 80, [3; 32]).unwrap();
    let path = directory.path().join("begun");
    for expected in [Some(Rebuilt::Missing), None] {
        let (index, covered, rebuilt) = open_index(&path, log.reader());
        assert_eq!((covered, rebuilt), (80, expected));
        index.close().unwrap();
    }
}

/// An index notices that what it covers was set aside, on opening by the file with it, and while it is open by being
/// told; then it is fed again and leads to the new records only.
#[test]
fn an_index_follows_a_log_whose_tail_was_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let (log, _) = open(&MemoryDisk::new()).unwrap();
    fill(&log, 200);
    for position in 201..=260u64 {
        log.append(7, &position.to_le_bytes()).unwrap();
    }
    log.sync().unwrap();
    let (index, ..) = open_index(&path, log.reader());
    feed(&index, &log.reader());
    index.close().unwrap();
    let aside = log.set_aside(200).unwrap().unwrap();
    for last in [200, 300] {
        fill(&log, last);
        let copy = directory.path().join(format!("copy-{last}"));
        std::fs::copy(&path, &copy).unwrap();
        let (index, covered, rebuilt) = open_index(&copy, log.reader());
        assert_eq!(
            (covered, rebuilt),
            (0, Some(Rebuilt::SetAside { covered: 260, name: aside.name.clone() }))
        );
        feed(&index, &log.reader());
        check(&index, last);
    }

    let path = directory.path().join("open");
    let (index, ..) = open_index(&path, log.reader());
    feed(&index, &log.reader());
    index.flush().unwrap();
    log.set_aside(150).unwrap().unwrap();
    assert_eq!(index.reset().unwrap(), 0);
    assert_eq!(index.position_of(&id(10)).unwrap(), None);
    feed(&index, &log.reader());
    check(&index, 150);
    fill(&log, 180);
    feed(&index, &log.reader());
    check(&index, 180);
    index.close().unwrap();
    let (index, covered, rebuilt) = open_index(&path, log.reader());
    assert_eq!((covered, rebuilt), (180, None));
    check(&index, 180);
}
