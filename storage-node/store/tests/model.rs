//! A log equals a vector, under any order of appending, syncing, discarding, pruning, setting aside, repairing,
//! crashing and reopening (O1, O2, O5).
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::sync::Arc;

use common::config;
use dsm_store::disk::{Crash, Disk, MemoryDisk};
use dsm_store::{Log, LogConfig, read_aside};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        kind: u8,
        length: usize,
    },
    Sync,
    Discard,
    Reopen,
    Crash(Crash),
    /// Prunes before a position in this percentage of the log.
    Prune(u64),
    /// Keeps this percentage of the log.
    SetAside(u64),
    /// Flips a bit of the segment at this percentage of the files, at this percentage of its bytes, and repairs it.
    Rot(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), 0usize..900).prop_map(|(kind, length)| Step::Append { kind, length }),
        3 => Just(Step::Sync),
        1 => Just(Step::Discard),
        1 => Just(Step::Reopen),
        1 => (0u64..=100).prop_map(Step::Prune),
        1 => (0u64..=100).prop_map(Step::SetAside),
        1 => (0u64..100, 0u64..100).prop_map(|(file, byte)| Step::Rot(file, byte)),
        1 => prop_oneof![
            Just(Crash::Process),
            Just(Crash::LostUnsynced),
            any::<u64>().prop_map(|seed| Crash::Torn { seed }),
            any::<u64>().prop_map(|seed| Crash::Subset { seed }),
        ].prop_map(Step::Crash),
    ]
}

/// What the log should hold; what follows `durable` has not been acknowledged.
#[derive(Default)]
struct Model {
    records: Vec<(u8, Vec<u8>)>,
    durable: usize,
    /// How many records were pruned.
    pruned: usize,
}

fn open(disk: &MemoryDisk, segment_bytes: u64) -> Log {
    let config = LogConfig { segment_bytes, ..config() };
    Log::open(Arc::new(disk.clone()), config).unwrap().0
}

fn check(log: &Log, model: &Model) {
    let first = model.pruned as u64 + 1;
    assert_eq!(log.reader().first(), first);
    let found: Vec<_> = log.iter(first).unwrap().map(|record| record.unwrap()).collect();
    assert_eq!(found.len(), model.durable - model.pruned);
    for (record, expected) in found.iter().zip(&model.records[model.pruned..]) {
        assert_eq!((record.kind, &record.payload), (expected.0, &expected.1));
        assert_eq!(&log.read(record.position).unwrap(), record);
    }
    assert_eq!(log.head().0, model.records.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn o1_o2_a_log_equals_a_vector(
        steps in prop::collection::vec(step(), 1..60),
        segment_bytes in prop_oneof![Just(1u64), Just(1500), Just(1 << 20)],
    ) {
        let mut disk = MemoryDisk::new();
        let mut log = open(&disk, segment_bytes);
        let mut model = Model::default();
        for (nth, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append { kind, length } => {
                    let payload = vec![nth as u8 | 1; length];
                    let appended = log.append(kind, &payload).unwrap();
                    model.records.push((kind, payload));
                    prop_assert_eq!(appended.position, model.records.len() as u64);
                    prop_assert_eq!((appended.position, appended.digest), log.head());
                }
                Step::Sync => {
                    model.durable = model.records.len();
                    prop_assert_eq!(log.sync().unwrap(), model.durable as u64);
                }
                Step::Discard => {
                    let dropped = model.records.len() - model.durable;
                    prop_assert_eq!(log.discard().unwrap(), dropped as u64);
                    model.records.truncate(model.durable);
                }
                Step::Prune(part) => {
                    let before = model.durable as u64 * part / 100;
                    let pruned = log.prune(before).unwrap();
                    prop_assert!(pruned.first <= before.max(model.pruned as u64 + 1));
                    model.pruned = pruned.first as usize - 1;
                }
                Step::SetAside(part) => {
                    let keep = model.pruned + (model.durable - model.pruned) * part as usize / 100;
                    let aside = log.set_aside(keep as u64).unwrap();
                    prop_assert_eq!(aside.is_some(), keep < model.durable);
                    if let Some(aside) = aside {
                        let records = read_aside(&disk, &aside.name).unwrap().map(|record| record.unwrap());
                        let records: Vec<_> = records.map(|record| (record.kind, record.payload)).collect();
                        prop_assert_eq!(&records, &model.records[keep..model.durable]);
                    }
                    model.records.truncate(keep);
                    model.durable = keep;
                }
                Step::Rot(file, byte) => {
                    let names: Vec<_> = disk.list().unwrap();
                    let names: Vec<_> = names.iter().filter(|name| name.starts_with("log-")).collect();
                    let name = names[names.len() * file as usize / 100];
                    let size = disk.open(name).unwrap().size().unwrap();
                    disk.flip(name, (size * byte / 100) as usize, 1);
                    let places = log.reader().scrub(1).unwrap().places;
                    prop_assert_eq!(places.len(), 1);
                    let from = places[0].position;
                    let stretch = log.reader().stretch(from).unwrap();
                    let records = stretch.map_or(&[][..], |_| &model.records[from as usize - 1..from as usize]);
                    log.repair(places[0].segment, from, records).unwrap();
                }
                Step::Reopen | Step::Crash(_) => {
                    drop(log);
                    if let Step::Crash(crash) = step {
                        disk = disk.crash(crash);
                    }
                    log = open(&disk, segment_bytes);
                    // Nothing was being written: what was only appended is gone, the rest is there.
                    model.records.truncate(model.durable);
                }
            }
            check(&log, &model);
        }
    }
}
