//! Records that were tampered with: a replay that believes nothing finds every change, one that believes its own
//! log finds every change of what the heads commit to.

use crate::world::{FastSignatures, Native, World, effects, fingerprint, transfer};
use dsm_abi::{Effect, HoldKind};
use dsm_core::{Accepted, RecordError};

/// A name, whether a replay that believes its own log notices too, and the change.
type Change = (&'static str, bool, fn(&mut Accepted));

/// What heads and signatures commit to. A record's time is neither's, only the log's chain of digests covers it:
/// here it is moved out of the window or before the record that came earlier.
const CHANGES: &[Change] = &[
    ("time beyond the window", true, |record| record.time_ms += 60_000),
    ("time before the last record", true, |record| record.time_ms = 999),
    ("a signature's bit", false, |record| record.signed.signatures[0].bytes[0] ^= 1),
    ("no signatures", true, |record| record.signed.signatures.clear()),
    ("entropy", true, |record| record.signed.transition.entropy[0] ^= 1),
    ("memo digest", true, |record| record.signed.transition.memo_digest.0[0] ^= 1),
    ("network", true, |record| record.signed.transition.network.0[0] ^= 1),
    ("parent", true, |record| record.signed.transition.parents[0].1.0[0] ^= 1),
    ("an operation more", true, |record| {
        let operation = record.signed.transition.operations[0].clone();
        record.signed.transition.operations.push(operation);
    }),
    ("no effects", true, |record| record.effects.clear()),
    ("a written value", true, |record| {
        record.effects[0].effects[0] = Effect::SetState { key: vec![1], value: vec![9] }
    }),
    ("an event more", false, |record| {
        record.effects[0].effects.push(Effect::Event { topic: "t".into(), payload: vec![] })
    }),
    ("effects of another leg", true, |record| record.effects[0].leg = 0),
    ("a head's height", true, |record| record.accounts[0].height += 1),
    ("a head's assets", true, |record| record.accounts[0].assets_root.0[0] ^= 1),
    ("a head's precommitment", true, |record| {
        record.accounts.iter_mut().for_each(|head| head.precommitment = None);
    }),
    ("no account heads", true, |record| record.accounts.clear()),
    ("a token's supply", true, |record| record.tokens[0].supply += 1),
    ("no token heads", true, |record| record.tokens.clear()),
];

#[test]
fn every_tampered_record_is_an_error() {
    let mut world = World::new();
    let before = world.ledger.clone();
    let shape = dsm_abi::Digest([1; 32]);
    let until_ms = world.time_ms + 5;
    let set = Effect::SetState { key: vec![1], value: vec![1] };
    let mut operations = world.ops(world.alice, vec![dsm_core::OperationKind::Precommit { shape, until_ms }]);
    operations.extend(world.ops(world.bob, vec![effects(world.gold, 0, &[set])]));
    let applied = world.accept(&[world.alice, world.bob], operations);
    let record = Accepted::from(&applied);
    let live = fingerprint(&world.ledger);
    for (what, noticed, change) in CHANGES {
        let mut tampered = record.clone();
        change(&mut tampered);
        assert_ne!(tampered, record, "{what}");
        let verified = before.clone().replay_verifying(tampered.clone(), &FastSignatures, &mut Native);
        assert!(verified.is_err(), "{what}");
        assert_eq!(before.clone().replay(tampered).is_err(), *noticed, "{what}");
    }
    for verifying in [false, true] {
        let mut ledger = before.clone();
        let replayed = match verifying {
            false => ledger.replay(record.clone()),
            true => ledger.replay_verifying(record.clone(), &FastSignatures, &mut Native),
        };
        assert_eq!(replayed.as_ref(), Ok(&applied));
        assert_eq!(fingerprint(&ledger), live);
    }
}

/// Records are a chain: none can be left out, doubled or moved when they touch one account.
#[test]
fn records_out_of_order_are_errors() {
    let mut world = World::new();
    let before = world.ledger.clone();
    let start = world.log.len();
    world.accept_one(world.alice, transfer(world.gold, world.bob, 1));
    world.hold(5, HoldKind::Pledge, None);
    world.accept_one(world.alice, transfer(world.gold, world.bob, 2));
    let [first, second, third] = &world.log[start..] else { panic!("three records") };
    let refused = |records: &[&Accepted]| {
        let mut ledger = before.clone();
        let outcome = records.iter().try_for_each(|record| ledger.replay((*record).clone()).map(|_| ()));
        matches!(outcome, Err(RecordError::Refused { .. }))
    };
    assert!(!refused(&[first, second, third]));
    assert!(refused(&[first, third]) && refused(&[second]) && refused(&[first, first]));
    assert!(refused(&[second, first, third]));
}
