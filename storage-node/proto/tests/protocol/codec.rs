//! Frames: one encoding each, bounded, and nothing else decodes.

use crate::world::{ack, head, hello, member, node, record, signed, topology};
use dsm_abi::{DecodeError, Digest, encode};
use dsm_proto::fetch::{Answer, NodeStatus, Query};
use dsm_proto::reconcile::{Fingerprint, RangeAnswer, RangeQuery};
use dsm_proto::{Ack, Append, Frame, FrameError, Head, Nack, Promise, Record, Refusal, Welcome, limit};

fn one_of_each() -> Vec<Frame> {
    let held = signed(topology(4, 1, 3));
    let promise = Promise { topology: held.clone(), since: 7 };
    let status = NodeStatus { network: None, promise: Some(promise), first: 1, head: head(3) };
    let fingerprint = Fingerprint { count: 300, digest: Digest([1; 32]) };
    vec![
        hello(held.clone(), 9),
        Frame::Welcome(Welcome { epoch: 4, greeting: 9, first: 1, head: head(3) }),
        Frame::Append(Append { epoch: 4, after: head(2), records: vec![record(3), record(4)] }),
        Frame::Ack(ack(1, 4, head(3))),
        Frame::Refuse(Refusal::StaleEpoch(held.clone())),
        Frame::Refuse(Refusal::EpochTaken(held)),
        Frame::Refuse(Refusal::Diverged { position: 8 }),
        Frame::Nack(Nack { epoch: 4, tail: head(3) }),
        Frame::DigestAt { epoch: 4, position: 2 },
        Frame::Digest { epoch: 4, position: 2, digest: Some(head(2).digest) },
        Frame::SetAside { epoch: 4, keep: head(2) },
        Frame::Begin { epoch: 4, base: head(2), checkpoint: vec![1; 100] },
        Frame::Heartbeat { epoch: 4, head: head(3), acked: 2 },
        Frame::Alive { epoch: 4, head: head(3) },
        Frame::Fetch(Query::Records { from: 1, bytes_max: 1000 }),
        Frame::Fetch(Query::BlobRange(RangeQuery::ALL)),
        Frame::Fetched(Answer::Status(status)),
        Frame::Fetched(Answer::Blob(vec![5; 20])),
        Frame::Fetched(Answer::BlobRange(RangeAnswer::Parts(vec![fingerprint; 16]))),
    ]
}

#[test]
fn frames_read_back_and_neither_shorter_nor_longer_bytes_do() {
    for frame in one_of_each() {
        let bytes = frame.encode();
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(&frame));
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 400) {
            assert!(Frame::decode(&bytes[..end]).is_err(), "{} cut at {end}", frame.name());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(
            Frame::decode(&longer),
            Err(FrameError::Decode(DecodeError::Malformed)),
            "{}",
            frame.name()
        );
    }
}

#[test]
fn a_flipped_byte_is_another_frame_or_none_and_never_a_panic() {
    for frame in one_of_each() {
        let bytes = frame.encode();
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 400) {
            let mut other = bytes.clone();
            other[at] ^= 0x81;
            if let Ok(decoded) = Frame::decode(&other) {
                assert_ne!(decoded, frame);
                assert_eq!(decoded.encode(), other, "one encoding for each frame");
            }
        }
    }
}

#[test]
fn s2_s5_fields_longer_than_their_limits_are_refused() {
    let long = |payload: usize| Record { kind: 1, payload: vec![0; payload] };
    let append = |records| Frame::Append(Append { epoch: 1, after: Head::EMPTY, records });
    let rows = [
        (
            "a signature",
            Frame::Ack(Ack { epoch: 1, head: head(1), signature: vec![0; limit::SIGNATURE_BYTES_MAX + 1] }),
        ),
        ("a list of records", append(vec![long(0); limit::FRAME_RECORDS_MAX + 1])),
        ("a record", append(vec![long(limit::RECORD_BYTES_MAX + 1)])),
        (
            "a checkpoint",
            Frame::Begin { epoch: 1, base: head(1), checkpoint: vec![0; limit::CHECKPOINT_BYTES_MAX + 1] },
        ),
        ("a blob", Frame::Fetched(Answer::Blob(vec![0; limit::RECORD_BYTES_MAX + 1]))),
        ("a range", Frame::Fetched(Answer::BlobRange(RangeAnswer::Digests(vec![Digest::default(); 257])))),
    ];
    for (name, frame) in rows {
        match Frame::decode(&frame.encode()) {
            Err(FrameError::Limit { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let endless = vec![0; limit::FRAME_BYTES_MAX + 1];
    let limit = limit::FRAME_BYTES_MAX;
    assert_eq!(
        Frame::decode(&endless),
        Err(FrameError::Decode(DecodeError::TooLong { limit, found: limit + 1 }))
    );
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // An append that claims four billion records, and one whose record claims four billion bytes.
    for start in [vec![2u8], [&[2u8][..], &[0; 48], &[1, 0, 0, 0, 1]].concat()] {
        let mut bytes = start;
        bytes.resize(bytes.len().max(49), 0);
        bytes.extend([0xff; 4]);
        assert!(Frame::decode(&bytes).is_err());
    }
}

#[test]
fn a_document_that_breaks_a_rule_does_not_decode() {
    let good = topology(2, 1, 3);
    let parts = |epoch: u64, primary, members: &[u8]| {
        let members: Vec<_> = members.iter().map(|number| member(*number)).collect();
        encode(&(good.network(), epoch, good.term(), primary, members))
    };
    let order: Vec<u8> = (1..=3).collect();
    let sorted: Vec<u8> = {
        let mut sorted = order;
        sorted.sort_by_key(|number| node(*number));
        sorted
    };
    let reversed: Vec<u8> = sorted.iter().rev().copied().collect();
    let twice = [sorted[0], sorted[0]];
    let many: Vec<u8> = {
        let mut many: Vec<u8> = (1..=17).collect();
        many.sort_by_key(|number| node(*number));
        many
    };
    let decoded = |bytes: Vec<u8>| dsm_abi::decode::<dsm_proto::Topology>(&bytes, 1 << 20);
    assert_eq!(decoded(parts(2, node(1), &sorted)), Ok(good.clone()));
    let rows = [
        ("unsorted", parts(2, node(1), &reversed)),
        ("a member twice", parts(2, node(sorted[0]), &twice)),
        ("a primary that is no member", parts(2, node(9), &sorted)),
        ("epoch 0", parts(0, node(1), &sorted)),
        ("no member", parts(2, node(1), &[])),
        ("seventeen members", parts(2, node(1), &many)),
    ];
    for (name, bytes) in rows {
        assert!(decoded(bytes).is_err(), "{name}");
    }
}
