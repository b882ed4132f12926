//! Logs that begin behind a checkpoint, are pruned, or have a diverged tail set aside; at every boundary where power
//! can be lost (O1, O2), with failing syncs (O3) and on full disks (O4).
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::sync::Arc;

use common::{config, fill, kind, payload};
use dsm_store::disk::{Crash, Disk, FaultyDisk, MemoryDisk, every_crash, every_crash_from};
use dsm_store::{Aside, Digest, Log, LogConfig, LogError, LogReader, RecoveryReport, read_aside};

const LAST: u64 = 200;

/// 200 records in several segments of 4 KiB.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 4 << 10, ..config() }
}

fn open_small(disk: &(impl Disk + Clone + 'static)) -> Result<(Log, RecoveryReport), LogError> {
    Log::open(Arc::new(disk.clone()), small())
}

fn filled() -> MemoryDisk {
    let disk = MemoryDisk::new();
    assert_eq!(fill(&open_small(&disk).unwrap().0, LAST), LAST);
    disk.crash(Crash::LostUnsynced)
}

/// Every record from `first` to `last` is the one that [`fill`] writes.
fn check_records(reader: &LogReader, first: u64, last: u64) {
    assert_eq!((reader.first(), reader.durable().0), (first, last));
    for record in reader.iter(first).unwrap() {
        let record = record.unwrap();
        assert_eq!((record.kind, &record.payload), (kind(record.position), &payload(record.position)));
        assert_eq!(reader.digest_at(record.position).unwrap(), record.digest);
        assert_eq!(reader.digest_at(record.position - 1).unwrap(), record.prev);
    }
    let scrub = reader.scrub(1).unwrap();
    assert_eq!((scrub.records, scrub.damaged), (last + 1 - first, 0));
}

/// The bases of the segments.
fn bases(disk: &MemoryDisk) -> Vec<u64> {
    let names = disk.list().unwrap();
    names.iter().filter_map(|name| name.strip_prefix("log-")?.parse().ok()).collect()
}

#[test]
fn a_range_is_bounded_linked_and_never_empty() {
    let (log, _) = open_small(&filled()).unwrap();
    let reader = log.reader();
    for from in 1..=LAST {
        for bytes_max in [0, 1, 300, 1000, 5000, 1 << 20] {
            let records = reader.read_range(from, bytes_max).unwrap();
            let bytes: usize = records.iter().map(|record| record.payload.len() + 91).sum();
            assert!(bytes <= bytes_max || records.len() == 1, "{from} {bytes_max}");
            let next = from + records.len() as u64;
            let is_full = bytes + payload(next).len() + 91 > bytes_max;
            assert!(is_full || next == LAST + 1, "{from} {bytes_max}: could hold more");
            for (position, record) in (from..).zip(&records) {
                assert_eq!(record, &reader.read(position).unwrap());
            }
        }
    }
    assert_eq!(reader.read_range(LAST + 1, 1000).unwrap(), []);
    for outside in [0, LAST + 2, u64::MAX] {
        assert!(matches!(reader.read_range(outside, 9), Err(LogError::NotDurable { .. })), "{outside}");
    }
}

/// O5: a range ends before damage, and begins at damage with the error.
#[test]
fn o5_a_range_ends_before_damage() {
    let disk = filled();
    let (log, _) = open_small(&disk).unwrap();
    let reader = log.reader();
    let name = disk.list().unwrap().remove(1);
    let base: u64 = name.strip_prefix("log-").unwrap().parse().unwrap();
    disk.flip(&name, 1000, 1);
    let damage = reader.scrub(1).unwrap().places[0];
    assert!(damage.position > base);
    let records = reader.read_range(base - 3, 1 << 20).unwrap();
    assert_eq!(records.last().unwrap().position, damage.position - 1);
    let refused = reader.read_range(damage.position, 1 << 20);
    assert!(matches!(refused, Err(LogError::Damaged { position, .. }) if position == damage.position));
    assert!(reader.digest_at(damage.position).is_ok(), "the next record names it");
    // A file that has become shorter still gives what it has.
    let file = disk.open(&name).unwrap();
    file.truncate(900).unwrap();
    assert_eq!(reader.read_range(base, 1 << 20).unwrap()[0].position, base);
}

/// O1, O2: a log that begins behind a checkpoint is empty or begun, never something else.
#[test]
fn o1_o2_a_log_begins_behind_a_checkpoint() {
    let (peer, _) = open_small(&filled()).unwrap();
    let start = peer.reader().digest_at(120).unwrap();
    let begin = |disk: &FaultyDisk| {
        // A node has opened an empty log before it hears of the checkpoint.
        drop(open_small(disk).ok()?);
        let (log, report) = Log::begin(Arc::new(disk.clone()), small(), 120, start).ok()?;
        assert_eq!((report.first, report.head, report.digest), (121, 120, start));
        Some(fill(&log, 160))
    };
    let check = |acknowledged: Option<u64>, disk: &MemoryDisk| {
        let (log, report) = open_small(disk).unwrap();
        assert!(report.first == 121 || (report.first == 1 && report.head == 0));
        assert!(report.head >= acknowledged.unwrap_or(0));
        let (log, _) = if report.head <= 120 {
            drop(log);
            Log::begin(Arc::new(disk.clone()), small(), 120, start).unwrap()
        } else {
            (log, report)
        };
        assert_eq!(fill(&log, LAST), LAST);
        assert_eq!(log.head(), peer.head());
        check_records(&log.reader(), 121, LAST);
    };
    let disks = every_crash(4, begin, |_, disk, acknowledged| check(*acknowledged, &disk));
    assert!(disks > 400, "{disks}");
}

#[test]
fn a_log_with_records_does_not_begin_again() {
    let refused = Log::begin(Arc::new(filled()), small(), 500, [7; 32]).map(|_| ()).unwrap_err();
    assert!(matches!(refused, LogError::NotEmpty { first: 1, head: LAST }), "{refused}");
    for (base, digest) in [(0, [1; 32]), (u64::MAX, [0; 32])] {
        let refused = Log::begin(Arc::new(MemoryDisk::new()), small(), base, digest).map(|_| ()).unwrap_err();
        assert!(matches!(refused, LogError::BadStart { .. }), "{refused}");
    }
    let (log, report) = Log::begin(Arc::new(MemoryDisk::new()), small(), 0, [0; 32]).unwrap();
    assert_eq!((report.first, report.head), (1, 0));
    assert_eq!(fill(&log, 5), 5);
}

#[test]
fn pruning_removes_whole_sealed_segments_before_a_position() {
    let start = filled();
    let bases = bases(&start);
    assert!(bases.len() > 5);
    for before in [0, 1, bases[1] - 1, bases[1], bases[1] + 1, bases[3], LAST, LAST + 1, u64::MAX] {
        let disk = start.crash(Crash::Process);
        let (log, _) = open_small(&disk).unwrap();
        let reader = log.reader();
        let head = log.head();
        let gone = bases.iter().skip(1).filter(|base| **base <= before).count();
        let pruned = log.prune(before).unwrap();
        assert_eq!((pruned.segments, pruned.first), (gone, bases[gone]), "{before}");
        check_records(&reader, bases[gone], LAST);
        let first = bases[gone];
        for position in 0..first {
            let refused = reader.read(position);
            assert!(matches!(refused, Err(LogError::NotDurable { first: f, .. }) if f == first), "{before}");
            let known = reader.digest_at(position);
            assert_eq!(known.is_ok(), position + 1 == first, "{before} {position}");
        }
        assert_eq!(log.prune(before).unwrap().segments, 0);
        drop(log);
        let (log, report) = open_small(&disk.crash(Crash::LostUnsynced)).unwrap();
        assert_eq!((report.first, (report.head, report.digest)), (first, head));
        assert_eq!(fill(&log, LAST + 50), LAST + 50);
        check_records(&log.reader(), first, LAST + 50);
    }
}

/// O1, O2: after a crash a pruned log is whole from where it begins.
#[test]
fn o1_o2_a_crash_while_pruning_leaves_a_log_without_holes() {
    let start = filled();
    let bases = bases(&start);
    let prune = |disk: &FaultyDisk| open_small(disk).ok()?.0.prune(150).ok();
    let disks = every_crash_from(&start, 6, prune, |point, disk, pruned| {
        let (log, report) = open_small(&disk).unwrap_or_else(|error| panic!("{point:?}: {error}"));
        assert!(bases.contains(&report.first) && report.first <= 150, "{point:?}");
        assert!(pruned.is_none_or(|pruned| pruned.first == report.first), "{point:?}");
        check_records(&log.reader(), report.first, LAST);
    });
    assert!(disks > 100, "{disks}");
}

/// A log whose records after `keep` are those of another history.
fn diverged(keep: u64) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (log, _) = open_small(&disk).unwrap();
    assert_eq!(fill(&log, keep), keep);
    for position in keep + 1..=LAST {
        log.append(9, &[position as u8 | 1; 300]).unwrap();
        if position % 4 == 0 {
            log.sync().unwrap();
        }
    }
    log.sync().unwrap();
    drop(log);
    disk.crash(Crash::LostUnsynced)
}

fn check_aside(disk: &dyn Disk, aside: &Aside, keep: u64, digest: Digest) {
    assert_eq!((aside.keep, aside.last, aside.digest), (keep, LAST, digest));
    let records = read_aside(disk, &aside.name).unwrap();
    assert_eq!(records.aside(), aside);
    let mut last = (keep, [0; 32]);
    for record in records {
        let record = record.unwrap();
        assert_eq!((record.position, record.kind), (last.0 + 1, 9));
        assert_eq!(record.payload, [record.position as u8 | 1; 300]);
        assert!(last.1 == [0; 32] || last.1 == record.prev);
        last = (record.position, record.digest);
    }
    assert_eq!(last, (LAST, digest));
}

/// Positions at which a diverged log is cut: nothing kept, inside the first, a middle and the last segment, and at
/// both sides of a segment's start.
fn keeps() -> Vec<u64> {
    let base = bases(&diverged(90))[4];
    vec![0, 1, 90, base - 2, base - 1, base, LAST - 1]
}

/// O1, O2: the old log, or the cut log and the file, and never neither; then the log goes on.
#[test]
fn o1_o2_a_diverged_tail_is_set_aside_and_never_lost() {
    let mut disks = 0;
    let mut cuts = 0;
    for keep in keeps() {
        let start = diverged(keep);
        let old = open_small(&start.crash(Crash::Process)).unwrap().0.head();
        let cut = |disk: &FaultyDisk| {
            let (log, _) = open_small(disk).ok()?;
            log.append(3, b"never synced").unwrap();
            let aside = log.set_aside(keep).ok()?.unwrap();
            assert_eq!(log.head().0, keep);
            Some((aside, fill(&log, keep + 8)))
        };
        disks += every_crash_from(&start, 5, cut, |point, disk, acknowledged| {
            let (log, report) = open_small(&disk).unwrap_or_else(|error| panic!("{keep} {point:?}: {error}"));
            let asides = log.reader().asides().unwrap();
            let Some(name) = asides.first() else {
                assert!(acknowledged.is_none(), "{keep} {point:?}");
                assert_eq!((report.head, report.digest), old, "{keep} {point:?}");
                return;
            };
            cuts += 1;
            let aside = Aside { name: name.clone(), keep, last: LAST, digest: old.1 };
            check_aside(&disk, &aside, keep, old.1);
            let last = acknowledged.as_ref().map_or(keep, |(_, last)| *last);
            assert!(report.head >= last, "{keep} {point:?}");
            assert_eq!(fill(&log, LAST + 20), LAST + 20);
            check_records(&log.reader(), 1, LAST + 20);
            drop(log);
            assert_eq!(open_small(&disk.crash(Crash::LostUnsynced)).unwrap().1.head, LAST + 20);
        });
    }
    assert!(disks > 1000 && cuts > 500, "{disks} {cuts}");
}

#[test]
fn a_tail_is_set_aside_again_and_again_and_from_pruned_logs() {
    let disk = diverged(90);
    let (log, _) = open_small(&disk).unwrap();
    let reader = log.reader();
    let (_, digest) = log.head();
    assert_eq!(log.set_aside(LAST).unwrap(), None);
    assert!(matches!(log.set_aside(LAST + 1), Err(LogError::NotDurable { .. })));
    let first = log.prune(60).unwrap().first;
    assert!(matches!(log.set_aside(first - 2), Err(LogError::NotDurable { .. })));
    let mut names = Vec::new();
    for _ in 0..3 {
        let aside = log.set_aside(90).unwrap().unwrap();
        names.push(aside.name);
        assert!(matches!(reader.read(91), Err(LogError::NotDurable { durable: 90, .. })));
        for position in 91..=LAST {
            log.append(9, &[position as u8 | 1; 300]).unwrap();
        }
        log.sync().unwrap();
        assert_eq!(log.head(), (LAST, digest));
    }
    assert_eq!(reader.asides().unwrap(), names);
    for name in &names {
        check_aside(&disk, &Aside { name: name.clone(), keep: 90, last: LAST, digest }, 90, digest);
    }
    // All of it: what is left is an empty log, which may begin elsewhere.
    let start = reader.digest_at(first - 1).unwrap();
    log.set_aside(first - 1).unwrap().unwrap();
    assert_eq!(log.head(), (first - 1, start));
    drop(log);
    let (log, report) = Log::begin(Arc::new(disk.clone()), small(), 500, [5; 32]).unwrap();
    assert_eq!((report.first, report.head), (501, 500));
    assert_eq!(log.reader().asides().unwrap().len(), 4);
}

/// O5: rot in the tail does not keep it from being set aside, and is kept as it is; rot in what stays has to be
/// repaired first; rot in the file is found.
#[test]
fn o5_a_damaged_tail_is_set_aside_as_it_is() {
    let start = diverged(90);
    let names: Vec<String> = start.list().unwrap();
    let cut = bases(&start).partition_point(|base| *base <= 91) - 1;
    let disk = start.crash(Crash::Process);
    let (log, _) = open_small(&disk).unwrap();
    disk.flip(&names[cut + 1], 500, 1);
    let aside = log.set_aside(90).unwrap().unwrap();
    let damaged: Vec<_> = read_aside(&disk, &aside.name).unwrap().filter(Result::is_err).collect();
    assert_eq!(damaged.len(), 1);
    assert_eq!(read_aside(&disk, &aside.name).unwrap().count() as u64, LAST - 90);

    let disk = start.crash(Crash::Process);
    let (log, _) = open_small(&disk).unwrap();
    disk.flip(&names[cut], 100, 1);
    let head = log.head();
    assert!(matches!(log.set_aside(90), Err(LogError::Damaged { .. })));
    assert_eq!((log.head(), log.reader().asides().unwrap().len()), (head, 0));

    let disk = start.crash(Crash::Process);
    let (log, _) = open_small(&disk).unwrap();
    let name = log.set_aside(90).unwrap().unwrap().name;
    let size = disk.open(&name).unwrap().size().unwrap() as usize;
    for offset in 0..size {
        disk.flip(&name, offset, 0x20);
        let is_found = read_aside(&disk, &name).map_or(true, |mut records| records.any(|read| read.is_err()));
        assert!(is_found, "{offset}");
        disk.flip(&name, offset, 0x20);
    }
}

/// O3: the call during which a sync fails is not acknowledged, the log refuses everything after it, and the next
/// opening finds the old log or the new one.
#[test]
fn o3_a_failed_sync_stops_a_cut_and_a_prune() {
    for boundary in 0..4 {
        let disk = FaultyDisk::over(diverged(90));
        let (log, _) = open_small(&disk).unwrap();
        let old = log.head();
        for _ in 0..boundary {
            // Syncs that succeed: each pruned segment is one.
            log.prune(bases(disk.memory())[1]).unwrap();
        }
        disk.fail_syncs(1);
        assert!(matches!(log.set_aside(90), Err(LogError::Io { .. })));
        assert!(matches!(log.set_aside(90), Err(LogError::Poisoned)));
        assert!(matches!(log.prune(90), Err(LogError::Poisoned)));
        assert!(matches!(log.append(1, b"x"), Err(LogError::Poisoned)));
        let (log, _) = open_small(&disk.memory().crash(Crash::LostUnsynced)).unwrap();
        assert_eq!(log.head(), old);
    }
}

/// O4: on a full disk a cut is refused and changes nothing, a prune makes room, and then the cut succeeds.
#[test]
fn o4_on_a_full_disk_pruning_makes_room_for_a_cut() {
    let start = diverged(90);
    let used: u64 = start.list().unwrap().iter().map(|name| start.open(name).unwrap().size().unwrap()).sum();
    let mut refused = 0;
    for room in (0..60_000).step_by(777) {
        let disk = start.crash(Crash::Process);
        let (log, _) = open_small(&disk).unwrap();
        let old = log.head();
        disk.set_capacity(Some(used + room));
        match log.set_aside(90) {
            Ok(aside) => assert!(aside.is_some()),
            Err(LogError::DiskFull) => {
                refused += 1;
                assert_eq!(log.head(), old);
                assert_eq!(log.iter(1).unwrap().filter(Result::is_ok).count() as u64, LAST);
                assert!(disk.list().unwrap().iter().all(|name| name.starts_with("log-")));
                assert_eq!(open_small(&disk.crash(Crash::Process)).unwrap().0.head(), old);
                assert!(log.prune(80).unwrap().segments > 2);
                disk.set_capacity(None);
                log.set_aside(90).unwrap().unwrap();
            }
            Err(error) => panic!("{room}: {error}"),
        }
        disk.set_capacity(None);
        assert_eq!(fill(&log, 120), 120);
    }
    assert!(refused > 20, "{refused}");
}

/// Readers on other threads, while segments are pruned and tails are cut and written anew: the record that was
/// written there, or the answer that it is not there.
#[test]
fn readers_never_see_a_record_that_was_cut_as_another() {
    let disk = diverged(90);
    let (log, _) = open_small(&disk).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for start in [1, 80] {
            let (reader, stop) = (log.reader(), &stop);
            scope.spawn(move || {
                let mut position = start;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    position = if position > LAST { start } else { position + 1 };
                    match reader.read(position) {
                        Ok(record) if position > 90 => {
                            let is_old = record.payload == [position as u8 | 1; 300];
                            assert!(is_old || record.payload == payload(position));
                        }
                        Ok(record) => assert_eq!(record.payload, payload(position)),
                        Err(LogError::NotDurable { .. }) => {}
                        Err(error) => panic!("{position}: {error}"),
                    }
                    match reader.read_range(position, 2000) {
                        Ok(_) | Err(LogError::NotDurable { .. }) => {}
                        Err(error) => panic!("{position}: {error}"),
                    }
                }
            });
        }
        for round in 0..300 {
            log.set_aside(90).unwrap();
            if round % 2 == 0 {
                fill(&log, LAST);
            } else {
                for position in 91..=LAST {
                    log.append(9, &[position as u8 | 1; 300]).unwrap();
                }
                log.sync().unwrap();
            }
            let aside = log.reader().asides().unwrap().pop();
            aside.iter().for_each(|name| disk.remove(name).unwrap());
            if round == 150 {
                log.prune(60).unwrap();
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
