//! A log equals a vector, under any order of appending, syncing, discarding, crashing and reopening (O1, O2).
#![allow(clippy::unwrap_used)] // in a test that is the failure

mod common;

use std::sync::Arc;

use common::config;
use dsm_store::disk::{Crash, MemoryDisk};
use dsm_store::{Log, LogConfig};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Append { kind: u8, length: usize },
    Sync,
    Discard,
    Reopen,
    Crash(Crash),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), 0usize..900).prop_map(|(kind, length)| Step::Append { kind, length }),
        3 => Just(Step::Sync),
        1 => Just(Step::Discard),
        1 => Just(Step::Reopen),
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
}

fn open(disk: &MemoryDisk, segment_bytes: u64) -> Log {
    let config = LogConfig { segment_bytes, ..config() };
    Log::open(Arc::new(disk.clone()), config).unwrap().0
}

fn check(log: &Log, model: &Model) {
    let found: Vec<_> = log.iter(1).unwrap().map(|record| record.unwrap()).collect();
    assert_eq!(found.len(), model.durable);
    for (record, expected) in found.iter().zip(&model.records) {
        assert_eq!((record.kind, &record.payload), (expected.0, &expected.1));
        assert_eq!(&log.read(record.position).unwrap(), record);
    }
    assert_eq!(log.head().0, model.records.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

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
