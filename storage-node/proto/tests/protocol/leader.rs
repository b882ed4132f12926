//! What a core node makes of its storage nodes.

use crate::world::{Core, ack, bent, head, member, ms, node, signed, topology};
use dsm_proto::{
    Append, Evidence, Fault, Frame, Head, LeaderOutput, Level, Nack, PeerState, Refusal, SwitchError, Welcome,
};

/// A leader of three over 40 records, to which the first `nodes` are connected with all of them.
fn settled(nodes: u8) -> Core {
    let mut core = Core::new(3, 40);
    for number in 1..=nodes {
        core.welcome(number, head(40), ms(0));
        core.hear(number, Frame::Ack(ack(number, 1, head(40))), ms(1));
    }
    core.outputs(ms(1));
    core
}

fn grow(core: &mut Core, position: u64) {
    core.log = position;
    core.leader.handle_appended(head(position), ms(2));
    core.outputs(ms(2));
}

fn state(core: &Core, number: u8) -> PeerState {
    core.leader.status().into_iter().find(|peer| peer.node == node(number)).unwrap().state
}

#[test]
fn levels_need_a_majority_that_promised_and_the_primary_that_acked() {
    let mut core = Core::new(3, 40);
    core.welcome(2, head(40), ms(0));
    core.hear(2, Frame::Ack(ack(2, 1, head(40))), ms(1));
    core.welcome(3, head(40), ms(0));
    core.hear(3, Frame::Ack(ack(3, 1, head(40))), ms(1));
    core.outputs(ms(1));
    assert_eq!(core.leader.level_of(40), Level::Local, "two replicas are no primary");
    core.welcome(1, head(40), ms(1));
    assert!(core.leader.standing().established);
    assert_eq!(core.leader.level_of(40), Level::Local, "a welcome is no ack");
    core.hear(1, Frame::Ack(ack(1, 1, head(40))), ms(1));
    assert_eq!(core.leader.level_of(40), Level::Replicated(3));
    assert_eq!(core.leader.level_of(41), Level::Local, "what is not durable here");
}

#[test]
fn s6_liars_are_convicted_and_not_counted() {
    let mut forged = ack(2, 1, head(41));
    forged.signature[0] ^= 1;
    let rows: [(&str, Vec<Frame>, Fault, bool); 4] = [
        ("another hash", vec![Frame::Ack(ack(2, 1, bent(head(41))))], Fault::OtherAck, true),
        (
            "two acks",
            vec![Frame::Ack(ack(2, 1, head(41))), Frame::Ack(ack(2, 1, bent(head(41))))],
            Fault::TwoAcks,
            true,
        ),
        ("more than there is", vec![Frame::Ack(ack(2, 1, head(50)))], Fault::OtherAck, true),
        ("no signature of its own", vec![Frame::Ack(forged)], Fault::BadSignature, false),
    ];
    for (name, frames, fault, evidence) in rows {
        let mut core = settled(3);
        grow(&mut core, 41);
        for frame in frames {
            core.hear(2, frame, ms(3));
        }
        let outputs = core.outputs(ms(3));
        assert_eq!(state(&core, 2), PeerState::Convicted(fault), "{name}");
        let witnessed = outputs.iter().any(|output| matches!(output, LeaderOutput::Evidence(_)));
        assert_eq!(witnessed, evidence, "{name}");
        core.hear(1, Frame::Ack(ack(1, 1, head(41))), ms(3));
        assert_eq!(core.leader.level_of(41), Level::Primary, "{name}");
        assert_eq!(core.leader.level_of(40), Level::Replicated(2), "{name}");
        // It does not come back.
        core.leader.handle_connected(node(2), ms(4));
        assert!(core.sent(2, ms(4)).is_empty(), "{name}");
    }
}

#[test]
fn s3_a_log_that_shrank_below_its_acks_is_evidence() {
    let mut core = settled(3);
    core.leader.handle_disconnected(node(2));
    core.leader.handle_connected(node(2), ms(5));
    let greeting = core.sent(2, ms(5)).into_iter().find_map(|frame| match frame {
        Frame::Hello(hello) => Some(hello.greeting),
        _ => None,
    });
    let welcome = Welcome { epoch: 1, greeting: greeting.unwrap(), first: 1, head: head(30) };
    core.hear(2, Frame::Welcome(welcome), ms(5));
    let outputs = core.outputs(ms(5));
    let seen =
        outputs.iter().any(|output| matches!(output, LeaderOutput::Evidence(Evidence::RolledBack { .. })));
    assert!(seen);
    assert_eq!(core.leader.level_of(40), Level::Replicated(2), "it is counted for what it has");
    assert_eq!(core.leader.level_of(30), Level::Replicated(2), "once it has acked that again");
}

#[test]
fn o8_only_the_core_nodes_signature_fences() {
    let higher = signed(topology(2, 9, 3));
    let mut forged = higher.clone();
    forged.signature[0] ^= 1;
    let other = signed(topology(1, 9, 3));
    let rows = [
        ("forged", Refusal::StaleEpoch(forged), None),
        ("higher", Refusal::StaleEpoch(higher), Some(2)),
        ("another of this epoch", Refusal::EpochTaken(other), Some(1)),
        ("this very one", Refusal::EpochTaken(signed(topology(1, 1, 3))), None),
    ];
    for (name, refusal, fenced) in rows {
        let mut core = settled(3);
        core.hear(2, Frame::Refuse(refusal), ms(3));
        core.outputs(ms(3));
        assert_eq!(core.leader.standing().fenced, fenced, "{name}");
        let expected = if fenced.is_some() { Level::Local } else { Level::Replicated(3) };
        assert_eq!(core.leader.level_of(40), expected, "{name}");
    }
}

#[test]
fn s8_resends_have_a_budget_whoever_asks() {
    let mut core = settled(3);
    grow(&mut core, 60);
    let mut sent = 0;
    for _ in 0..1000 {
        core.hear(2, Frame::Nack(Nack { epoch: 1, tail: head(40) }), ms(3));
        sent += core.sent(2, ms(3)).len();
    }
    assert!(sent <= 8 * 5, "{sent} frames");
}

#[test]
fn s4_a_peer_that_never_acks_holds_nobody_back() {
    let mut core = settled(3);
    for position in 41..140 {
        grow(&mut core, position);
        core.hear(1, Frame::Ack(ack(1, 1, head(position))), ms(position));
        core.hear(3, Frame::Ack(ack(3, 1, head(position))), ms(position));
        core.outputs(ms(position));
        assert_eq!(core.leader.level_of(position), Level::Replicated(2));
    }
    core.leader.handle_timeout(ms(4200));
    core.outputs(ms(4200));
    assert_eq!(state(&core, 2), PeerState::Disconnected, "nothing was heard of it for its silence");
}

#[test]
fn logs_are_compared_before_anything_is_shipped() {
    // Shorter: ships from there. Equal: asks for an ack. Different: has the difference set aside.
    let mut core = Core::new(3, 40);
    let frames = core.welcome(1, head(37), ms(0));
    assert!(
        matches!(&frames[..], [Frame::Append(first), Frame::Append(Append { after, records, .. })]
        if first.records.is_empty() && *after == head(37) && records.len() == 3),
        "{frames:?}"
    );
    let mut core = Core::new(3, 40);
    let mut frames = core.welcome(1, bent(head(40)), ms(0));
    let mut asked = 0;
    while let Some(Frame::DigestAt { epoch, position }) = frames.pop() {
        let theirs = if position <= 17 { head(position) } else { bent(head(position)) };
        core.hear(1, Frame::Digest { epoch, position, digest: Some(theirs.digest) }, ms(0));
        asked += 1;
        frames = core.sent(1, ms(0));
        if let [Frame::SetAside { keep, .. }] = &frames[..] {
            assert_eq!(*keep, head(17));
            assert!(asked <= 7);
            return;
        }
    }
    panic!("nothing was set aside");
}

#[test]
fn o10_a_shorter_leader_is_behind_and_says_so() {
    let mut core = Core::new(3, 40);
    let frames = core.welcome(1, head(50), ms(0));
    let Some(Frame::DigestAt { epoch, position: 40 }) = frames.first().cloned() else { panic!("{frames:?}") };
    core.hear(1, Frame::Digest { epoch, position: 40, digest: Some(head(40).digest) }, ms(0));
    assert!(core.outputs(ms(0)).contains(&LeaderOutput::Behind { peer: node(1), head: head(50) }));
    assert_eq!(core.leader.standing().behind, Some((node(1), head(50))));
    assert!(!core.leader.standing().confirmed);
    // What it could not back with records is forgotten with it.
    core.leader.handle_fault(node(1), Fault::FalseHead);
    assert_eq!(core.leader.standing().behind, None);
}

#[test]
fn promotion_waits_for_what_was_acknowledged() {
    let mut core = settled(3);
    grow(&mut core, 45);
    core.hear(1, Frame::Ack(ack(1, 1, head(45))), ms(3));
    core.outputs(ms(3));
    core.leader.handle_promote(node(2), ms(3)).unwrap();
    assert!(core.outputs(ms(3)).is_empty(), "node 2 has 40 of 45");
    let next = signed(topology(1, 1, 3).promoted(node(2), [2; 32]).unwrap());
    assert_eq!(
        core.leader.handle_topology(next.clone(), ms(3)),
        Err(SwitchError::NotCaughtUp { granted: 45 })
    );
    core.hear(2, Frame::Ack(ack(2, 1, head(45))), ms(4));
    assert!(core.outputs(ms(4)).contains(&LeaderOutput::PromotionNeeded { candidate: node(2) }));
    // From now on levels need both.
    grow(&mut core, 46);
    core.hear(1, Frame::Ack(ack(1, 1, head(46))), ms(5));
    assert_eq!(core.leader.level_of(46), Level::Local);
    assert_eq!(core.leader.handle_topology(next, ms(5)), Ok(()));
    assert_eq!(core.leader.level_of(45), Level::Local, "nobody has promised the new epoch");
    let more = signed(core.leader.topology().topology.with(member(4), [3; 32]).unwrap());
    let refused = SwitchError::NotEstablished { promised: 0, needed: 2 };
    assert_eq!(core.leader.handle_topology(more.clone(), ms(5)), Err(refused));
    assert_eq!(core.leader.handle_forced_topology(more, ms(5)), Ok(()), "an operator's word");
}

#[test]
fn a_silent_primary_is_replaced_if_a_majority_answers() {
    for (alive, promoted) in [(2..=3, true), (3..=3, false)] {
        let mut core = settled(3);
        core.leader.handle_disconnected(node(1));
        let mut asked = None;
        for tick in 1..40 {
            let now = ms(tick * 100);
            for number in alive.clone() {
                core.hear(number, Frame::Alive { epoch: 1, head: head(40) }, now);
            }
            core.leader.handle_timeout(now);
            let needed = core
                .outputs(now)
                .into_iter()
                .any(|output| matches!(output, LeaderOutput::PromotionNeeded { .. }));
            asked = asked.or(needed.then_some(tick * 100));
        }
        assert_eq!(asked.is_some(), promoted);
        assert!(asked.is_none_or(|after| after <= 3000), "failover after {asked:?} ms");
    }
}

#[test]
fn frames_of_another_epoch_or_connection_change_nothing() {
    let mut core = settled(3);
    grow(&mut core, 41);
    let before = core.leader.status();
    core.hear(2, Frame::Ack(ack(2, 9, head(41))), ms(0));
    core.hear(2, Frame::Nack(Nack { epoch: 9, tail: Head::EMPTY }), ms(0));
    core.hear(2, Frame::Welcome(Welcome { epoch: 1, greeting: 77, first: 1, head: Head::EMPTY }), ms(0));
    core.hear(9, Frame::Ack(ack(9, 1, head(41))), ms(0));
    assert!(core.outputs(ms(0)).is_empty());
    let durable = |status: &[dsm_proto::PeerStatus]| {
        status.iter().map(|peer| (peer.node, peer.durable)).collect::<Vec<_>>()
    };
    assert_eq!(durable(&core.leader.status()), durable(&before));
}
