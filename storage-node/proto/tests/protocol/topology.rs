//! Documents, chains, and when a restored core may lead.

use crate::world::{NETWORK, Notary, core_key, head, member, node, record, signed, topology};
use dsm_proto::fetch::NodeStatus;
use dsm_proto::restore::{Readiness, Restore};
use dsm_proto::search::{CommonSearch, Found};
use dsm_proto::{Head, Promise, Topology, TopologyError};
use std::sync::Arc;

#[test]
fn the_chain_is_that_of_the_store() {
    let disk = Arc::new(dsm_store::disk::MemoryDisk::new());
    let (log, _) = dsm_store::Log::open(disk, dsm_store::LogConfig::new(7)).unwrap();
    let mut here = Head::EMPTY;
    for number in 1..20 {
        let record = record(number * 1000);
        let there = log.append(record.kind, &record.payload).unwrap();
        here = here.after(&record).unwrap();
        assert_eq!((here.position, here.digest.0), (there.position, there.digest));
    }
}

#[test]
fn o8_a_topology_changes_by_one_thing_and_its_epoch_rises() {
    let old = topology(5, 1, 3);
    let two_more = topology(6, 1, 5);
    let moved = |primary: u8, members: u8| {
        Topology::new(NETWORK, 6, [1; 32], node(primary), (1..=members).map(member).collect()).unwrap()
    };
    let rows = [
        ("another primary", old.promoted(node(2), [2; 32]).unwrap(), Ok(())),
        ("one more", old.with(member(4), [2; 32]).unwrap(), Ok(())),
        ("one less", old.without(node(3), [2; 32]).unwrap(), Ok(())),
        ("two more", two_more, Err(TopologyError::Step)),
        ("one more and another primary", moved(2, 4), Err(TopologyError::Step)),
        ("the same epoch", topology(5, 2, 3), Err(TopologyError::Epoch)),
        ("a lower epoch", topology(4, 2, 3), Err(TopologyError::Epoch)),
    ];
    for (name, next, expected) in rows {
        assert_eq!(old.check_next(&next), expected, "{name}");
    }
    assert_eq!(old.without(node(1), [2; 32]), Err(TopologyError::Primary), "the primary is replaced first");
    assert_eq!(old.without(node(9), [2; 32]), Err(TopologyError::Step), "no such member");
    assert_eq!(old.with(member(2), [2; 32]), Err(TopologyError::Order), "a member already");
}

#[test]
fn any_two_logs_are_compared_in_few_steps() {
    for floor in 0..4u64 {
        for top in floor..40 {
            for common in floor.saturating_sub(1)..=top {
                let mut search = CommonSearch::new(floor, top).unwrap();
                let mine = |position: u64| head(position).digest;
                let theirs =
                    |position| if position <= common { mine(position) } else { dsm_abi::Digest([1; 32]) };
                let mut steps = 0;
                let found = loop {
                    match search.next() {
                        Found::Compare(position) => {
                            search.compared(position, mine(position), theirs(position))
                        }
                        found => break found,
                    }
                    steps += 1;
                    assert!(steps <= 8, "{floor} {top} {common}");
                };
                let expected = if common < floor { Found::Nothing } else { Found::Common(head(common)) };
                assert_eq!(found, expected);
                assert_eq!(search.is_fork(), common < top);
            }
        }
    }
    assert_eq!(CommonSearch::new(5, 4), None);
}

fn status(epoch: u64, term: u8, position: u64) -> NodeStatus {
    let promise = Promise { topology: signed(topology(epoch, term, 3)), since: 0 };
    NodeStatus { network: Some(NETWORK), promise: Some(promise), first: 1, head: head(position) }
}

/// Whom a restored core would fetch from, or `None` if it has to wait, after these answers.
fn source(answers: &[(u8, NodeStatus)]) -> Option<(u8, u64)> {
    let mut restore = Restore::new(NETWORK, core_key());
    for (number, status) in answers {
        restore.handle_status(node(*number), status.clone(), &Notary).unwrap();
    }
    match restore.readiness() {
        Readiness::Ready { sources, epoch, .. } => {
            (1..=9).find(|number| node(*number) == sources[0].0).map(|number| (number, epoch))
        }
        Readiness::NoTopology | Readiness::Waiting { .. } => None,
    }
}

#[test]
fn o10_a_restored_core_hears_the_primary_and_a_majority_first() {
    let promoted = |position| {
        let next = signed(topology(5, 1, 3).promoted(node(2), [1; 32]).unwrap());
        NodeStatus { promise: Some(Promise { topology: next, since: 0 }), ..status(6, 1, position) }
    };
    type Row = (&'static str, Vec<(u8, NodeStatus)>, Option<(u8, u64)>);
    let rows: [Row; 8] = [
        ("nobody", vec![], None),
        ("the primary alone", vec![(1, status(5, 1, 9))], None),
        ("a majority without the primary", vec![(2, status(5, 1, 9)), (3, status(5, 1, 9))], None),
        ("both", vec![(1, status(5, 1, 9)), (2, status(5, 1, 30))], Some((1, 6))),
        ("another primary since", vec![(1, status(5, 1, 9)), (3, promoted(20))], None),
        ("and it answers", vec![(1, status(5, 1, 9)), (2, promoted(20))], Some((2, 7))),
        ("two writers of one epoch", vec![(1, status(5, 1, 9)), (2, status(5, 2, 9))], None),
        (
            "and a majority for one",
            vec![(1, status(5, 1, 9)), (2, status(5, 2, 9)), (3, status(5, 2, 9))],
            Some((1, 6)),
        ),
    ];
    for (name, answers, expected) in rows {
        assert_eq!(source(&answers), expected, "{name}");
    }
}

#[test]
fn s3_a_topology_that_the_core_never_signed_does_not_count() {
    let mut restore = Restore::new(NETWORK, core_key());
    let mut forged = status(50, 1, 9);
    if let Some(promise) = &mut forged.promise {
        promise.topology.signature[0] ^= 1;
    }
    assert!(restore.handle_status(node(1), forged, &Notary).is_err());
    assert_eq!(restore.readiness(), Readiness::NoTopology);
}
