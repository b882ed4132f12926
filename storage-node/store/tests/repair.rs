//! Logs damaged in many places at once, repaired from a peer: only with the right records, at every boundary where
//! power can be lost (O1, O2), with failing syncs (O3), on full disks (O4), under readers (O5), and from a peer that
//! lies (S1).
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{config, fetch, fill, heal, kind, payload, salvage};
use dsm_store::disk::{Crash, Disk, FaultyDisk, MemoryDisk, every_crash_from};
use dsm_store::{Log, LogConfig, LogError, LogReader, RecoveryReport, RepairError, Salvage, Stretch};

const LAST: u64 = 120;

/// 120 records in several segments of 4 KiB.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 4 << 10, ..config() }
}

fn open_small(disk: &(impl Disk + Clone + 'static)) -> Result<(Log, RecoveryReport), LogError> {
    Log::open(Arc::new(disk.clone()), small())
}

fn store() -> (MemoryDisk, Vec<String>) {
    let disk = MemoryDisk::new();
    assert_eq!(fill(&open_small(&disk).unwrap().0, LAST), LAST);
    let names = disk.list().unwrap();
    assert!(names.len() > 4);
    (disk.crash(Crash::LostUnsynced), names)
}

/// The same records with another salt in one segment.
fn peer() -> Log {
    peer_to(LAST)
}

fn peer_to(last: u64) -> Log {
    let (log, _) = Log::open(Arc::new(MemoryDisk::new()), LogConfig::new(77)).unwrap();
    for position in 1..=last {
        log.append(kind(position), &payload(position)).unwrap();
    }
    log.sync().unwrap();
    log
}

fn size(disk: &dyn Disk, name: &str) -> usize {
    disk.open(name).unwrap().size().unwrap() as usize
}

fn overwrite(disk: &dyn Disk, name: &str, offset: usize, byte: u8, count: usize) {
    disk.open(name).unwrap().write_at(&vec![byte; count], offset as u64).unwrap();
}

fn base(name: &str) -> u64 {
    name.strip_prefix("log-").unwrap().parse().unwrap()
}

/// The log on `disk`, repaired from `peer` whatever it takes.
fn repaired(disk: &(impl Disk + Clone + 'static), peer: &LogReader) -> Result<Log, RepairError> {
    let log = match open_small(disk) {
        Err(LogError::Damaged { .. } | LogError::MissingSegment { .. }) => salvage(disk, small(), peer)?,
        other => other?.0,
    };
    heal(&log, peer)?;
    Ok(log)
}

fn check_equal(log: &Log, peer: &LogReader, place: &str) {
    assert_eq!(log.head(), peer.durable(), "{place}");
    let scrub = log.reader().scrub(1).unwrap();
    assert_eq!((scrub.records, scrub.damaged), (LAST, 0), "{place}: {scrub:?}");
    for record in log.iter(1).unwrap() {
        let record = record.unwrap();
        assert_eq!(
            (record.kind, &record.payload),
            (kind(record.position), &payload(record.position)),
            "{place}"
        );
    }
}

type Damage = (&'static str, fn(&MemoryDisk, &[String]));

/// Rows: a name, and what happens to the segments.
const DAMAGES: &[Damage] = &[
    ("one record in the first segment", |disk, names| disk.flip(&names[0], 700, 1)),
    ("several records in one stretch", |disk, names| overwrite(disk, &names[1], 600, 0xee, 1500)),
    ("two stretches in one segment", |disk, names| {
        overwrite(disk, &names[1], 300, 0, 200);
        overwrite(disk, &names[1], 2500, 7, 600);
    }),
    ("the first record and the last of a segment", |disk, names| {
        disk.flip(&names[2], 70, 1);
        let end = size(disk, &names[2]);
        disk.flip(&names[2], end - 1, 1);
    }),
    ("all of a segment's records", |disk, names| {
        let size = size(disk, &names[1]);
        overwrite(disk, &names[1], 68, 1, size - 68);
    }),
    ("all of a segment", |disk, names| overwrite(disk, &names[1], 0, 0, size(disk, &names[1]))),
    ("a segment cut short", |disk, names| disk.open(&names[1]).unwrap().truncate(1000).unwrap()),
    ("a segment with bytes behind its end", |disk, names| {
        overwrite(disk, &names[1], size(disk, &names[1]), 9, 100);
    }),
    ("an empty segment", |disk, names| disk.open(&names[1]).unwrap().truncate(0).unwrap()),
    ("the head of the first segment", |disk, names| disk.flip(&names[0], 13, 1)),
    ("the head of a segment, and a record of it", |disk, names| {
        disk.flip(&names[1], 40, 1);
        disk.flip(&names[1], 900, 1);
    }),
    ("the head of a segment, its first record, and the record before it", |disk, names| {
        disk.flip(&names[1], 40, 1);
        disk.flip(&names[1], 80, 1);
        let end = size(disk, &names[0]);
        disk.flip(&names[0], end - 5, 1);
    }),
    ("all heads", |disk, names| names.iter().for_each(|name| disk.flip(name, 20, 1))),
    ("the file of a segment", |disk, names| disk.remove(&names[2]).unwrap()),
    ("the file of the first segment", |disk, names| disk.remove(&names[0]).unwrap()),
    ("the files of the first two segments", |disk, names| {
        disk.remove(&names[0]).unwrap();
        disk.remove(&names[1]).unwrap();
    }),
    ("the file of the first segment, and the head after it", |disk, names| {
        disk.remove(&names[0]).unwrap();
        disk.flip(&names[1], 50, 1);
    }),
    ("the files of two segments that follow each other", |disk, names| {
        disk.remove(&names[2]).unwrap();
        disk.remove(&names[3]).unwrap();
    }),
    ("the first record of the last segment", |disk, names| disk.flip(names.last().unwrap(), 100, 1)),
    ("the last record", |disk, names| {
        let name = names.last().unwrap();
        disk.flip(name, size(disk, name) - 1, 1);
    }),
    ("all of the last segment", |disk, names| {
        let name = names.last().unwrap();
        overwrite(disk, name, 0, 0xaa, size(disk, name));
    }),
    ("bytes behind the last record", |disk, names| {
        let name = names.last().unwrap();
        overwrite(disk, name, size(disk, name), 0x77, 300);
    }),
    ("a bit of everything", |disk, names| {
        for (nth, name) in names.iter().enumerate() {
            disk.flip(name, 10 + 31 * nth, 8);
            disk.flip(name, 500 + 31 * nth, 8);
        }
        disk.remove(&names[2]).unwrap();
    }),
];

#[test]
fn o5_whatever_is_damaged_is_repaired_from_a_peer() {
    let (start, names) = store();
    let peer = peer().reader();
    for (name, damage) in DAMAGES {
        let disk = start.crash(Crash::Process);
        damage(&disk, &names);
        let log = repaired(&disk, &peer).unwrap_or_else(|error| panic!("{name}: {error}"));
        check_equal(&log, &peer, name);
        drop(log);
        let (log, report) = open_small(&disk.crash(Crash::LostUnsynced)).unwrap();
        assert_eq!((report.head, report.cut), (LAST, None), "{name}");
        check_equal(&log, &peer, name);
        assert_eq!(fill(&log, LAST + 30), LAST + 30, "{name}");
    }
}

/// O1, O2: power is lost while a log is repaired. What is found is repaired again, and what was acknowledged stands.
#[test]
fn o1_o2_a_crash_during_a_repair_leaves_what_can_be_repaired() {
    let (start, names) = store();
    let peer = peer().reader();
    let mut disks = 0;
    for (name, damage) in DAMAGES {
        let rotten = start.crash(Crash::Process);
        damage(&rotten, &names);
        let rotten = rotten.crash(Crash::Process);
        let repair = |disk: &FaultyDisk| repaired(disk, &peer).map(|_| ()).is_ok();
        disks += every_crash_from(&rotten, 2, repair, |point, disk, is_repaired| {
            let place = format!("{name} {point:?}");
            if *is_repaired {
                let (log, _) = open_small(&disk).unwrap_or_else(|error| panic!("{place}: {error}"));
                check_equal(&log, &peer, &place);
            } else {
                let log = repaired(&disk, &peer).unwrap_or_else(|error| panic!("{place}: {error}"));
                check_equal(&log, &peer, &place);
            }
        });
    }
    assert!(disks > 1000, "{disks}");
}

/// O1, O2: rot under an open log, in the segment that is being written to as well.
#[test]
fn o1_o2_a_crash_during_the_repair_of_an_open_log_loses_nothing() {
    let (start, names) = store();
    let peer = peer().reader();
    let last = names.last().unwrap();
    for name in [&names[1], last] {
        let repair = |disk: &FaultyDisk| -> Option<u64> {
            let (log, _) = open_small(disk).ok()?;
            disk.memory().flip(name, 150, 1);
            assert_eq!(log.reader().scrub(1).unwrap().damaged, 1);
            let repaired = heal(&log, &peer);
            disk.memory().flip(name, 20, 0);
            repaired.ok()?;
            assert_eq!(log.reader().scrub(1).unwrap().damaged, 0);
            Some(fill(&log, LAST + 7))
        };
        let disks = every_crash_from(&start, 8, repair, |point, disk, acknowledged| {
            let last = acknowledged.unwrap_or(LAST);
            let log = repaired(&disk, &peer).unwrap_or_else(|error| panic!("{point:?}: {error}"));
            assert!(log.head().0 >= last, "{point:?}");
            let scrub = log.reader().scrub(1).unwrap();
            assert_eq!((scrub.records, scrub.damaged), (log.head().0, 0), "{point:?}");
        });
        assert!(disks > 150, "{disks}");
    }
}

/// S1: a peer with other bytes, another kind, fewer or shifted records changes nothing.
#[test]
fn s1_records_that_the_chain_does_not_name_are_refused() {
    let (disk, names) = store();
    let peer = peer().reader();
    let (log, _) = open_small(&disk).unwrap();
    overwrite(&disk, &names[1], 600, 0xee, 1500);
    let segment = base(&names[1]);
    let damage = log.reader().scrub(1).unwrap();
    let stretch = log.reader().stretch(damage.places[0].position).unwrap().unwrap();
    let Stretch { first, last: Some(last) } = stretch else { panic!("{stretch:?}") };
    assert!(last > first + 2);
    assert_eq!(log.reader().stretch(first - 1).unwrap(), None);
    let right = fetch(&peer, first, last);
    let mut wrong_byte = right.clone();
    wrong_byte[1].1[0] ^= 1;
    let mut wrong_kind = right.clone();
    wrong_kind[2].0 ^= 1;
    let mut swapped = right.clone();
    swapped.swap(0, 1);
    let mut longer = right.clone();
    longer[0].1.push(0);
    for (name, records) in
        [("byte", wrong_byte), ("kind", wrong_kind), ("order", swapped), ("length", longer)]
    {
        let refused = log.repair(segment, first, &records);
        assert!(
            matches!(refused, Err(RepairError::Wrong { first: f, last: l }) if (f, l) == (first, last)),
            "{name}"
        );
    }
    for (from, records) in [(first, &right[..2]), (first + 1, &right[1..]), (last, &right[right.len() - 1..])]
    {
        let refused = log.repair(segment, from, records);
        assert!(matches!(refused, Err(RepairError::Incomplete { .. })), "{from}");
    }
    let refused = log.repair(segment + 1, first, &right);
    assert!(matches!(refused, Err(RepairError::Log(LogError::MissingSegment { .. }))));
    assert_eq!(log.reader().scrub(1).unwrap(), damage);
    // More than is needed does no harm.
    let more = fetch(&peer, first - 2, last + 3);
    assert_eq!(log.repair(segment, first - 2, &more).unwrap(), right.len() as u64);
    assert_eq!(log.repair(segment, first - 2, &more).unwrap(), 0);
    check_equal(&log, &peer, "repaired");
}

/// S1: the same for a log that does not open; and a head that contradicts its sound records is refused.
#[test]
fn s1_a_damaged_end_is_repaired_up_to_a_trusted_head_and_no_other() {
    let (disk, names) = store();
    let peer = peer().reader();
    let last = names.last().unwrap();
    let end = size(&disk, last);
    disk.flip(last, end - 1, 1);
    let mut salvage = Salvage::open(Arc::new(disk.clone()), small()).unwrap();
    assert_eq!(salvage.wanted(), [Stretch { first: LAST, last: None }]);
    assert_eq!(salvage.head(), Some((LAST - 1, peer.digest_at(LAST - 1).unwrap())));
    for position in 1..=LAST + 1 {
        match salvage.read(position) {
            Ok(record) => assert_eq!(record, peer.read(position).unwrap()),
            // How many records stood there is not known.
            Err(LogError::Damaged { .. }) => assert!(position >= LAST),
            Err(error) => panic!("{position}: {error}"),
        }
    }
    let right = fetch(&peer, LAST, LAST);
    assert!(matches!(salvage.repair(LAST, &right), Err(RepairError::HeadUnknown { first: LAST })));
    for (position, digest) in [(LAST - 2, peer.digest_at(LAST - 2).unwrap()), (LAST - 1, [1; 32])] {
        assert!(
            matches!(salvage.expect_head(position, digest), Err(RepairError::WrongHead { .. })),
            "{position}"
        );
    }
    let (position, digest) = peer.durable();
    salvage.expect_head(position, digest).unwrap();
    assert_eq!(salvage.wanted(), [Stretch { first: LAST, last: Some(LAST) }]);
    let refused = salvage.repair(LAST, &[(9, b"another".to_vec())]);
    assert!(matches!(refused, Err(RepairError::Wrong { first: LAST, last: LAST })));
    assert_eq!(salvage.repair(LAST, &right).unwrap(), 1);
    let (log, _) = salvage.finish().unwrap();
    check_equal(&log, &peer, "repaired");
    drop(log);

    // Nothing is opened while something is wanted.
    disk.flip(last, end - 1, 1);
    let mut salvage = Salvage::open(Arc::new(disk.clone()), small()).unwrap();
    let (position, digest) = peer.durable();
    salvage.expect_head(position, digest).unwrap();
    assert!(matches!(salvage.finish().map(|_| ()), Err(RepairError::Incomplete { first: LAST, last: LAST })));
    let salvage = Salvage::open(Arc::new(disk.clone()), small()).unwrap();
    assert!(matches!(salvage.finish().map(|_| ()), Err(RepairError::HeadUnknown { first: LAST })));
    // A caller that trusts the head before the damage gives up what stood there.
    let mut salvage = Salvage::open(Arc::new(disk.clone()), small()).unwrap();
    salvage.expect_head(LAST - 1, peer.digest_at(LAST - 1).unwrap()).unwrap();
    assert_eq!(salvage.wanted(), []);
    let (log, report) = salvage.finish().unwrap();
    assert_eq!((report.head, report.cut), (LAST - 1, None));
    assert_eq!(log.append(right[0].0, &right[0].1).unwrap().digest, digest);
}

/// O5: a device that cannot read a sector any more says so instead of giving wrong bytes.
#[test]
fn o5_what_cannot_be_read_is_repaired_like_what_is_wrong() {
    let (start, names) = store();
    let peer = peer().reader();
    for name in &names {
        for offset in (0..size(&start, name)).step_by(97) {
            let place = format!("{name} {offset}");
            let disk = FaultyDisk::over(start.crash(Crash::Process));
            disk.fail_reads(name, offset as u64).unwrap();
            if let Ok((log, _)) = open_small(&disk) {
                let scrub = log.reader().scrub(1).unwrap();
                assert!(scrub.damaged >= 1, "{place}");
                let read = (1..=LAST).map(|position| log.read(position)).filter(Result::is_ok).count();
                assert_eq!(scrub.records, read as u64, "{place}");
            }
            let log = repaired(&disk, &peer).unwrap_or_else(|error| panic!("{place}: {error}"));
            check_equal(&log, &peer, &place);
            assert_eq!(fill(&log, LAST + 3), LAST + 3, "{place}");
        }
    }
}

/// What a salvage holds in memory is bounded.
#[test]
fn a_log_with_too_many_lost_heads_is_not_salvaged() {
    for lost in [16, 17] {
        let disk = MemoryDisk::new();
        let config = LogConfig { segment_bytes: 1, ..config() };
        let (log, _) = Log::open(Arc::new(disk.clone()), config.clone()).unwrap();
        assert_eq!(fill(&log, LAST), LAST);
        drop(log);
        disk.list().unwrap().iter().take(lost).for_each(|name| disk.flip(name, 5, 1));
        let salvaged = Salvage::open(Arc::new(disk), config).map(|salvage| {
            assert_eq!(salvage.wanted(), []);
            salvage.finish().unwrap().1.head
        });
        match salvaged {
            Ok(head) => assert_eq!((lost, head), (16, LAST)),
            Err(error) => assert!(lost == 17 && matches!(error, LogError::Damaged { .. }), "{error}"),
        }
    }
}

/// A sound log, an empty disk and a torn tail pass through unchanged.
#[test]
fn a_log_that_opens_needs_no_salvage() {
    let (disk, names) = store();
    let salvage = Salvage::open(Arc::new(disk.clone()), small()).unwrap();
    assert_eq!((salvage.wanted(), salvage.head()), (vec![], Some(peer().head())));
    assert_eq!(salvage.finish().unwrap().1.head, LAST);
    let last = names.last().unwrap();
    overwrite(&disk, last, size(&disk, last), 0, 700);
    let salvage = Salvage::open(Arc::new(disk.clone()), small()).unwrap();
    assert_eq!(salvage.wanted(), []);
    assert_eq!(salvage.finish().unwrap().1.head, LAST);
    let salvage = Salvage::open(Arc::new(MemoryDisk::new()), small()).unwrap();
    assert_eq!((salvage.wanted(), salvage.head()), (vec![], Some((0, [0; 32]))));
    assert_eq!(salvage.finish().unwrap().1.head, 0);
}

/// O5: a log that begins behind a checkpoint, damaged where it begins.
#[test]
fn o5_a_log_behind_a_checkpoint_is_repaired() {
    let peer = peer().reader();
    for kept in [60, LAST] {
        let disk = MemoryDisk::new();
        let start = peer.digest_at(50).unwrap();
        let (log, _) = Log::begin(Arc::new(disk.clone()), small(), 50, start).unwrap();
        assert_eq!(fill(&log, kept), kept);
        drop(log);
        let names = disk.list().unwrap();
        let name = names.iter().find(|name| name.starts_with("log-")).unwrap();
        if kept == LAST {
            let rotten = disk.crash(Crash::Process);
            rotten.remove(name).unwrap();
            let salvage = Salvage::open(Arc::new(rotten.clone()), small()).unwrap();
            assert_eq!(salvage.wanted()[0].first, 51);
            drop(salvage);
            let log = repaired(&rotten, &peer).unwrap();
            assert_eq!((log.reader().first(), log.head()), (51, peer.durable()));
            assert_eq!(log.reader().scrub(1).unwrap().damaged, 0);
        }
        for offset in [5, 30, 60] {
            let rotten = disk.crash(Crash::Process);
            rotten.flip(name, offset, 1);
            let salvage = Salvage::open(Arc::new(rotten), small()).unwrap();
            assert_eq!(salvage.wanted(), []);
            let (log, report) = salvage.finish().unwrap();
            assert_eq!((report.first, report.head), (51, kept));
            assert_eq!(log.reader().scrub(1).unwrap().damaged, 0);
        }
    }
}

/// O5, many times: any number of flips, lost sectors, cut and missing files.
#[test]
fn o5_random_damage_is_repaired_from_a_peer() {
    let (start, names) = store();
    let peer = peer().reader();
    let mut word = 7u64;
    let mut below = |bound: usize| {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (word >> 33) as usize % bound
    };
    for round in 0..2000 {
        let disk = start.crash(Crash::Process);
        for _ in 0..=below(6) {
            let name = &names[below(names.len())];
            let Ok(file) = disk.open(name) else { continue };
            let size = file.size().unwrap() as usize;
            match below(8) {
                // The last file cannot be missed: nothing names it.
                0 if name != names.last().unwrap() => disk.remove(name).unwrap(),
                1 if size > 68 && name != names.last().unwrap() => file.truncate(below(size) as u64).unwrap(),
                2 | 3 => {
                    let start = below(size + 1);
                    overwrite(&disk, name, start, below(256) as u8, below(900).min(size - start));
                }
                _ if size > 0 => disk.flip(name, below(size), 1 << below(8)),
                _ => {}
            }
        }
        let log = repaired(&disk, &peer).unwrap_or_else(|error| panic!("{round}: {error}"));
        if log.head().0 < LAST {
            // Damage in the last batch that a crash explains too is cut, and comes again with the next records.
            assert_eq!(log.head().1, peer.digest_at(log.head().0).unwrap(), "{round}");
            assert!(log.head().0 + 3 >= LAST, "{round}: {}", log.head().0);
            fill(&log, LAST);
        }
        check_equal(&log, &peer, &format!("{round}"));
    }
}

/// O3: a sync that fails during a repair poisons the log; the next opening finds the old segment or the new one.
#[test]
fn o3_a_failed_sync_stops_a_repair() {
    let (start, names) = store();
    let peer = peer().reader();
    for name in [&names[0], names.last().unwrap()] {
        let disk = FaultyDisk::over(start.crash(Crash::Process));
        let (log, _) = open_small(&disk).unwrap();
        disk.memory().flip(name, 150, 1);
        disk.fail_syncs(1);
        assert!(matches!(heal(&log, &peer), Err(RepairError::Log(LogError::Io { .. }))));
        assert!(matches!(log.repair(1, 0, &[]), Err(RepairError::Log(LogError::Poisoned))));
        assert!(matches!(log.append(1, b"x"), Err(LogError::Poisoned)));
        for crash in [Crash::LostUnsynced, Crash::Process] {
            let log = repaired(&disk.memory().crash(crash), &peer).unwrap();
            check_equal(&log, &peer, name);
        }
    }
}

/// O4: on a full disk a repair is refused, nothing is left of it, the rest is served and the log goes on.
#[test]
fn o4_a_repair_on_a_full_disk_is_refused_and_succeeds_later() {
    let (start, names) = store();
    let peer = peer().reader();
    let used: usize = names.iter().map(|name| size(&start, name)).sum();
    for name in [&names[1], names.last().unwrap()] {
        for room in [0, 1, 500, 1500] {
            let disk = start.crash(Crash::Process);
            let (log, _) = open_small(&disk).unwrap();
            disk.flip(name, 150, 1);
            disk.set_capacity(Some((used + room) as u64));
            assert!(matches!(heal(&log, &peer), Err(RepairError::Log(LogError::DiskFull))), "{name} {room}");
            assert_eq!(disk.list().unwrap(), names);
            assert_eq!(log.reader().scrub(1).unwrap().records, LAST - 1);
            disk.set_capacity(None);
            assert_eq!(heal(&log, &peer).unwrap(), 1);
            check_equal(&log, &peer, name);
            assert_eq!(fill(&log, LAST + 9), LAST + 9);
        }
    }
    // The same for a log that does not open.
    let disk = start.crash(Crash::Process);
    disk.flip(names.last().unwrap(), 150, 1);
    disk.set_capacity(Some(used as u64));
    assert!(matches!(repaired(&disk, &peer), Err(RepairError::Log(LogError::DiskFull))));
    disk.set_capacity(None);
    check_equal(&repaired(&disk, &peer).unwrap(), &peer, "the last segment");
}

/// O5: readers on another thread see damage or the right bytes, while one thread repairs and appends.
#[test]
fn o5_readers_see_damage_or_the_right_bytes_during_a_repair() {
    const ROUNDS: usize = 120;
    let (disk, names) = store();
    let peer = peer_to(LAST + ROUNDS as u64).reader();
    let (log, _) = open_small(&disk).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (reader, stopped) = (log.reader(), &stop);
        let reading = scope.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for position in 1..=LAST {
                    match reader.read(position) {
                        Ok(record) => assert_eq!(record.payload, payload(position)),
                        Err(LogError::Damaged { .. }) => {}
                        Err(error) => panic!("{position}: {error}"),
                    }
                }
            }
        });
        let mut repaired = 0;
        for round in 0..ROUNDS {
            let name = &names[round % names.len()];
            disk.flip(name, 68 + round * 17 % (size(&disk, name) - 68), 1);
            repaired += heal(&log, &peer).map_or(0, |count| count);
            fill(&log, log.head().0 + 1);
        }
        stop.store(true, Ordering::Relaxed);
        reading.join().unwrap();
        assert_eq!((repaired, log.head()), (ROUNDS as u64, peer.durable()));
    });
    drop(log);
    assert_eq!(open_small(&disk).unwrap().1.head, LAST + ROUNDS as u64);
}
