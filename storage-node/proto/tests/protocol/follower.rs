//! What a storage node answers, and what it refuses.

use crate::world::{NETWORK, Notary, ack, bent, core_key, head, hello, ms, node, record, signed, topology};
use dsm_abi::NetworkId;
use dsm_proto::{
    Append, AppendFailure, ConnectionId, Evidence, Follower, FollowerConfig, FollowerOutput, Frame, Head,
    Hello, Promise, Refusal, limit,
};

const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);

struct Node(Follower);

impl Node {
    /// Node 1, having promised epoch 5 with the log 1 to `position`, of which those behind `since` are of epoch 5.
    fn new(position: u64, since: u64) -> Node {
        let promise = Promise { topology: signed(topology(5, 1, 3)), since };
        let config = FollowerConfig::new(node(1), core_key(), Some(NETWORK));
        let mut follower = Follower::new(config, Some(promise), 1, head(position));
        follower.handle_connected(A, ms(0));
        follower.handle_connected(B, ms(0));
        Node(follower)
    }

    fn hear(&mut self, from: ConnectionId, frame: Frame) -> Vec<FollowerOutput> {
        self.0.handle_frame(from, frame, ms(1), &Notary);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<FollowerOutput> {
        std::iter::from_fn(|| self.0.poll()).collect()
    }

    fn append(
        &mut self,
        epoch: u64,
        after: Head,
        records: std::ops::RangeInclusive<u64>,
    ) -> Vec<FollowerOutput> {
        self.hear(A, Frame::Append(Append { epoch, after, records: records.map(record).collect() }))
    }
}

fn frames(outputs: &[FollowerOutput]) -> Vec<&'static str> {
    let sent = outputs.iter().filter_map(|output| match output {
        FollowerOutput::Send { frame, .. } => Some(frame.name()),
        _ => None,
    });
    sent.collect()
}

fn refusal(outputs: &[FollowerOutput]) -> Option<Refusal> {
    outputs.iter().find_map(|output| match output {
        FollowerOutput::Send { frame: Frame::Refuse(refusal), .. } => Some(refusal.clone()),
        _ => None,
    })
}

#[test]
fn s7_who_does_not_belong_here_is_refused() {
    let held = signed(topology(5, 1, 3));
    let of = |version, network, topology| Frame::Hello(Hello { version, network, greeting: 1, topology });
    let other = NetworkId([8; 32]);
    let mut unsigned = signed(topology(6, 1, 3));
    unsigned.signature[0] ^= 1;
    let without =
        signed(topology(6, 1, 3).promoted(node(2), [1; 32]).unwrap().without(node(1), [1; 32]).unwrap());
    let taken = signed(topology(5, 2, 3));
    let rows = [
        (of(2, NETWORK, held.clone()), Refusal::Version { supported: limit::VERSION }),
        (of(1, other, held.clone()), Refusal::Network),
        (of(1, NETWORK, unsigned), Refusal::Topology),
        (of(1, NETWORK, without), Refusal::NotAMember),
        (hello(signed(topology(4, 1, 3)), 1), Refusal::StaleEpoch(held.clone())),
        (hello(taken, 1), Refusal::EpochTaken(held)),
    ];
    for (frame, expected) in rows {
        let mut node = Node::new(3, 3);
        let outputs = node.hear(A, frame);
        assert_eq!(refusal(&outputs), Some(expected.clone()));
        assert_eq!(node.0.epoch(), 5);
        let closed =
            outputs.iter().any(|output| matches!(output, FollowerOutput::Disconnect { connection: A, .. }));
        assert!(closed, "{expected}");
        let witnessed = outputs
            .iter()
            .any(|output| matches!(output, FollowerOutput::Evidence(Evidence::TwoTopologies { .. })));
        assert_eq!(witnessed, matches!(expected, Refusal::EpochTaken(_)));
    }
}

#[test]
fn o8_a_higher_epoch_is_durable_before_it_is_answered_and_fences_the_old_writer() {
    let mut node = Node::new(3, 3);
    assert_eq!(frames(&node.hear(A, hello(signed(topology(5, 1, 3)), 1))), ["welcome"]);
    let outputs = node.hear(B, hello(signed(topology(6, 2, 3)), 1));
    assert!(matches!(&outputs[..], [FollowerOutput::Persist(promise)] if promise.since == 3), "{outputs:?}");
    // Nothing is said to either before that.
    assert_eq!(node.append(5, head(3), 4..=4), []);
    node.0.handle_persisted(6);
    assert_eq!(frames(&node.outputs()), ["welcome"]);
    let outputs = node.append(5, head(3), 4..=4);
    assert_eq!(refusal(&outputs), Some(Refusal::StaleEpoch(signed(topology(6, 2, 3)))));
}

#[test]
fn s6_an_ack_follows_the_sync_and_not_the_write() {
    let mut node = Node::new(3, 3);
    node.hear(A, hello(signed(topology(5, 1, 3)), 1));
    let outputs = node.append(5, head(3), 4..=6);
    assert!(matches!(&outputs[0], FollowerOutput::Append { records, .. } if records.len() == 3));
    // The tail was found to be part of the leader's log, so what is durable of it is acked.
    assert_eq!(outputs[1], FollowerOutput::SignAck { network: NETWORK, epoch: 5, head: head(3) });
    node.0.handle_signed(ack(1, 5, head(3)));
    assert_eq!(frames(&node.outputs()), ["ack"]);
    node.0.handle_appended(head(5));
    assert_eq!(node.outputs(), [], "not the end of what was handed out");
    node.0.handle_appended(bent(head(6)));
    assert_eq!(node.outputs(), [], "not what was handed out");
    node.0.handle_appended(head(6));
    assert_eq!(node.outputs(), [FollowerOutput::SignAck { network: NETWORK, epoch: 5, head: head(6) }]);
    node.0.handle_signed(ack(1, 5, bent(head(6))));
    assert_eq!(node.outputs(), [], "not what was to be signed");
    node.0.handle_signed(ack(1, 5, head(6)));
    assert_eq!(frames(&node.outputs()), ["ack"]);
}

#[test]
fn overlaps_are_cut_off_and_gaps_are_nacked() {
    let mut node = Node::new(3, 3);
    node.hear(A, hello(signed(topology(5, 1, 3)), 1));
    let outputs = node.append(5, head(1), 2..=5);
    assert!(matches!(&outputs[0], FollowerOutput::Append { after, records, head: end }
        if *after == head(3) && *records == [record(4), record(5)] && *end == head(5)));
    assert_eq!(frames(&node.append(5, head(7), 8..=8)), ["nack"]);
    // All of it is there already.
    assert_eq!(frames(&node.append(5, head(1), 2..=3)), Vec::<&str>::new());
}

#[test]
fn s8_nacks_have_a_budget() {
    let mut node = Node::new(3, 3);
    node.hear(A, hello(signed(topology(5, 1, 3)), 1));
    let nacks: usize = (0..1000).map(|_| frames(&node.append(5, head(7), 8..=8)).len()).sum();
    assert_eq!(nacks, 8);
}

#[test]
fn a_tail_of_another_history_is_set_aside_only_for_a_higher_epoch() {
    for (since, refused) in [(9, false), (5, true)] {
        let mut node = Node::new(9, since);
        node.hear(A, hello(signed(topology(5, 1, 3)), 1));
        // Records that do not follow the tail are never appended.
        let outputs = node.append(5, bent(head(9)), 10..=10);
        assert!(!outputs.iter().any(|output| matches!(output, FollowerOutput::Append { .. })));
        assert_eq!(refusal(&outputs).is_some(), refused);
        if refused {
            let seen = outputs
                .iter()
                .any(|output| matches!(output, FollowerOutput::Evidence(Evidence::TwoRecords { .. })));
            assert!(seen);
            node.0.handle_connected(A, ms(2));
            node.hear(A, hello(signed(topology(5, 1, 3)), 2));
        }
        let outputs = node.hear(A, Frame::SetAside { epoch: 5, keep: head(6) });
        assert_eq!(refusal(&outputs), refused.then_some(Refusal::Diverged { position: 7 }));
        if !refused {
            assert_eq!(outputs, [FollowerOutput::SetAside { keep: head(6) }]);
            node.0.handle_set_aside(Some(head(6)));
            // What comes now is of this epoch, and that has to be durable first.
            let outputs = node.outputs();
            assert!(matches!(&outputs[..], [FollowerOutput::Persist(promise)] if promise.since == 6));
            node.0.handle_persisted(5);
            assert_eq!(frames(&node.outputs()), ["welcome"]);
        }
    }
}

#[test]
fn only_an_empty_log_begins_behind_a_checkpoint() {
    let begin = Frame::Begin { epoch: 5, base: head(8), checkpoint: vec![1] };
    let mut full = Node::new(3, 3);
    full.hear(A, hello(signed(topology(5, 1, 3)), 1));
    assert_eq!(refusal(&full.hear(A, begin.clone())), Some(Refusal::Begin));
    let mut empty = Node::new(0, 0);
    empty.hear(A, hello(signed(topology(5, 1, 3)), 1));
    assert!(matches!(&empty.hear(A, begin)[..], [FollowerOutput::Begin { base, .. }] if *base == head(8)));
    empty.0.handle_began(Some(head(8)));
    assert_eq!(frames(&empty.outputs()), ["welcome"]);
    assert_eq!(empty.0.status().first, 9);
}

#[test]
fn o4_a_full_disk_is_said_and_the_rest_is_forgotten() {
    let mut node = Node::new(3, 3);
    node.hear(A, hello(signed(topology(5, 1, 3)), 1));
    node.append(5, head(3), 4..=6);
    node.0.handle_append_failed(&AppendFailure::Full);
    let outputs = node.outputs();
    assert_eq!(refusal(&outputs), Some(Refusal::Full));
    node.0.handle_appended(head(6));
    assert_eq!(node.outputs(), [], "what was discarded is never acked");
    assert_eq!(node.0.status().tail, head(3));
}

#[test]
fn o3_after_a_failed_sync_nothing_is_acked_any_more() {
    let mut node = Node::new(3, 3);
    node.hear(A, hello(signed(topology(5, 1, 3)), 1));
    node.append(5, head(3), 4..=6);
    node.0.handle_append_failed(&AppendFailure::Poisoned);
    node.outputs();
    node.0.handle_appended(head(6));
    node.0.handle_connected(A, ms(3));
    let outputs = node.outputs();
    assert!(
        matches!(&outputs[..], [FollowerOutput::Disconnect { reason: Refusal::Stopping, .. }]),
        "{outputs:?}"
    );
}

#[test]
fn s4_s5_connections_are_few_and_silent_ones_are_closed() {
    let mut node = Node::new(3, 3);
    for number in 10..200 {
        node.0.handle_connected(ConnectionId(number), ms(1));
    }
    assert_eq!(node.0.status().connections, limit::CONNECTIONS_MAX);
    assert!(node.0.poll_timeout().is_some_and(|at| at <= ms(15_001)));
    node.0.handle_timeout(ms(20_000));
    assert_eq!(node.0.status().connections, 0);
}
