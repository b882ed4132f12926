//! Rounds of feeds as evidence: what is signed and by whom, what is refused and why, and that a round counts once.

use crate::world::{
    FastSignatures, Native, Refused, World, fingerprint, invoke, key, key_of, key_set, sign_bytes, transfer,
};
use dsm_abi::{AccountId, Digest, Evidence, NetworkId, Observation, SignatureError, Suite, encode, limit};
use dsm_core::{
    AdmitError, EvidenceError, EvidenceProof, KeyEntry, KeySet, ObservationStatement, OperationKind,
    RecordError, Refusal, SignKind, SignedObservation, SignedTransition, feed_id, signing_message,
};

/// A round that a test changes before or after its observations are signed.
#[derive(Clone)]
struct Round {
    feed: Digest,
    round: u64,
    decimals: u8,
    observations: Vec<SignedObservation>,
}

impl Round {
    fn evidence(&self) -> EvidenceProof {
        let Round { feed, round, decimals, observations } = self.clone();
        EvidenceProof::OracleRound { feed, round, decimals, observations }
    }
}

/// What `name`, whose account has one ML-DSA-65 key, signs about round `round` of the feed `GOLD/EUR`.
fn observe(world: &World, name: &str, account: AccountId, round: u64, answer: i128) -> SignedObservation {
    let observed_ms = world.time_ms - 5;
    let statement =
        ObservationStatement { account, feed: feed_id("GOLD/EUR"), round, decimals: 2, answer, observed_ms };
    let network = world.ledger.network();
    let message = signing_message(Suite::MlDsa65, network, SignKind::Observation, &encode(&statement));
    let signature = sign_bytes(&key(name), &message);
    SignedObservation { account, key: 0, suite: Suite::MlDsa65, signature, answer, observed_ms }
}

/// Bob, Carol and root each observe, in the order in which they must stand.
fn three(world: &World, round: u64) -> Round {
    let accounts = [("bob", world.bob), ("carol", world.carol), ("root", world.root)];
    let answers = accounts.iter().zip([-7, 11, 12]);
    let mut observations: Vec<SignedObservation> =
        answers.map(|((name, account), answer)| observe(world, name, *account, round, answer)).collect();
    observations.sort_by_key(|one| one.account);
    Round { feed: feed_id("GOLD/EUR"), round, decimals: 2, observations }
}

/// A transfer of Alice's with this evidence.
fn carried(world: &mut World, evidence: Vec<EvidenceProof>) -> SignedTransition {
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
    let mut draft = world.draft(&[world.alice], operations);
    draft.evidence = evidence;
    world.sign(draft)
}

fn refused(world: &mut World, round: &Round) -> EvidenceError {
    let signed = carried(world, vec![round.evidence()]);
    match world.refuse_signed(&signed) {
        refused @ Refused::Admit(AdmitError::Evidence { index: 0, source }) => {
            assert_eq!(refused.code(), "bad_evidence");
            source
        }
        other => panic!("{other:?}"),
    }
}

/// C1, C5: every field under a signature, and every field that says whose signature it is, flipped one at a time.
#[test]
fn each_altered_field_is_refused_by_name() {
    let mut world = World::new();
    let honest = three(&world, 4);
    let (first, second) = (honest.observations[0].account, honest.observations[1].account);
    let bad = EvidenceError::ObservationSignature { account: first, source: SignatureError::BadSignature };
    let (no_key, stranger) = (EvidenceError::ObservationKey(first), AccountId([0; 32]));
    type Row = (&'static str, fn(&mut Round), EvidenceError);
    let rows: &[Row] = &[
        ("the feed", |r| r.feed.0[31] ^= 1, bad),
        ("another feed", |r| r.feed = feed_id("GOLD/USD"), bad),
        ("the round", |r| r.round += 1, bad),
        ("the decimals", |r| r.decimals = 3, bad),
        ("the answer", |r| r.observations[0].answer += 1, bad),
        ("the answer's sign", |r| r.observations[0].answer = -r.observations[0].answer, bad),
        ("the time", |r| r.observations[0].observed_ms += 1, bad),
        ("a bit of the signature", |r| r.observations[0].signature[7] ^= 1, bad),
        ("a signature cut short", |r| r.observations[0].signature.truncate(3_308), bad),
        ("a signature made longer", |r| r.observations[0].signature.push(0), bad),
        ("no signature", |r| r.observations[0].signature.clear(), bad),
        (
            "another observer's signature",
            |r| r.observations[0].signature = r.observations[1].signature.clone(),
            bad,
        ),
        ("a key beyond the set", |r| r.observations[0].key = 1, no_key),
        ("another suite", |r| r.observations[0].suite = Suite::Ed25519MlDsa65, no_key),
        ("a suite that is off", |r| r.observations[0].suite = Suite::Dilithium3, no_key),
        (
            "an account that does not exist",
            |r| r.observations[0].account = AccountId([0; 32]),
            EvidenceError::UnknownAccount(stranger),
        ),
        ("decimals above 18", |r| r.decimals = 19, EvidenceError::Malformed),
        ("no observations", |r| r.observations.clear(), EvidenceError::ObservationCount { found: 0 }),
        (
            "seventeen observations",
            |r| r.observations = vec![r.observations[0].clone(); limit::OBSERVATIONS_MAX + 1],
            EvidenceError::ObservationCount { found: 17 },
        ),
        (
            "one account twice",
            |r| r.observations.insert(0, r.observations[0].clone()),
            EvidenceError::ObservationOrder,
        ),
        (
            "one account twice, apart",
            |r| r.observations.push(r.observations[0].clone()),
            EvidenceError::ObservationOrder,
        ),
        ("not in order", |r| r.observations.reverse(), EvidenceError::ObservationOrder),
    ];
    for (what, change, expected) in rows {
        let mut round = honest.clone();
        change(&mut round);
        assert_eq!(refused(&mut world.clone(), &round), *expected, "{what}");
    }
    // The last observation is looked at as closely as the first.
    let mut round = honest.clone();
    round.observations[1].answer += 1;
    let error = refused(&mut world, &round);
    assert!(matches!(error, EvidenceError::ObservationSignature { account, .. } if account == second));
    world.submit(&carried(&mut world.clone(), vec![honest.evidence()])).unwrap();
}

/// C5: an observation counts for one network, and is no attestation, credential or transition.
#[test]
fn a_signature_of_another_network_or_kind_is_no_observation() {
    let mut world = World::new();
    let own = world.ledger.network();
    for (network, kind) in [
        (NetworkId([1; 32]), SignKind::Observation),
        (own, SignKind::Attestation),
        (own, SignKind::Credential),
        (own, SignKind::Transition),
        (own, SignKind::BridgeBlock),
    ] {
        let mut round = three(&world, 4);
        let given = &mut round.observations[0];
        let (account, answer, observed_ms) = (given.account, given.answer, given.observed_ms);
        let (feed, decimals) = (round.feed, round.decimals);
        let statement = ObservationStatement { account, feed, round: 4, decimals, answer, observed_ms };
        let message = signing_message(Suite::MlDsa65, network, kind, &encode(&statement));
        let name = if account == world.bob {
            "bob"
        } else if account == world.carol {
            "carol"
        } else {
            "root"
        };
        given.signature = sign_bytes(&key(name), &message);
        let error = refused(&mut world, &round);
        assert!(matches!(error, EvidenceError::ObservationSignature { .. }), "{kind:?}: {error:?}");
    }
}

/// Two accounts may have one key; a signature that it made for one of them is none of the other.
#[test]
fn one_signature_does_not_count_for_two_accounts_of_one_key() {
    let mut world = World::new();
    world.accept_one(world.carol, OperationKind::RotateKeys { keys: key_set("bob") });
    let by_bob = observe(&world, "bob", world.bob, 1, 5);
    let mut for_carol = by_bob.clone();
    for_carol.account = world.carol;
    let mut observations = vec![by_bob, for_carol];
    observations.sort_by_key(|one| one.account);
    let round = Round { feed: feed_id("GOLD/EUR"), round: 1, decimals: 2, observations };
    let expected =
        EvidenceError::ObservationSignature { account: world.carol, source: SignatureError::BadSignature };
    assert_eq!(refused(&mut world, &round), expected);
}

/// C3: the same observations again, in the same transition or a later one, whoever carries them.
#[test]
fn a_round_counts_once() {
    let mut world = World::new();
    let round = three(&world, 4);
    let twice = carried(&mut world, vec![round.evidence(), round.evidence()]);
    let Refused::Refusal(Refusal::EvidenceConsumed { index: 1 }) = world.refuse_signed(&twice) else {
        panic!("a round twice in one transition")
    };
    let first = carried(&mut world, vec![round.evidence()]);
    world.submit(&first).unwrap();
    let again = carried(&mut world, vec![round.evidence()]);
    assert_eq!(world.refuse_signed(&again).code(), "evidence_consumed");
    let operations = world.ops(world.carol, vec![invoke(world.gold, 0, "evidence")]);
    let mut draft = world.draft(&[world.carol], operations);
    draft.evidence = vec![round.evidence()];
    let by_another = world.sign(draft);
    assert_eq!(world.refuse_signed(&by_another).code(), "evidence_consumed");
    // The next round is other evidence, and so is the same round with one observation less: which round and how
    // many are the policy's to say.
    let mut fewer = round.clone();
    fewer.observations.pop();
    for other in [three(&world, 5), fewer] {
        let signed = carried(&mut world, vec![other.evidence()]);
        world.submit(&signed).unwrap();
    }
}

/// Whichever observer changes its keys or closes its account between verification and judgement, the round is
/// refused: not only the first is looked at.
#[test]
fn each_observer_still_has_its_keys_when_the_round_is_judged() {
    let world = World::new();
    for (name, account) in [("bob", world.bob), ("carol", world.carol), ("root", world.root)] {
        type Meanwhile = fn(&str) -> OperationKind;
        let rows: [(&str, Meanwhile); 2] = [
            ("keys_changed", |name| OperationKind::RotateKeys { keys: key_set(&format!("{name} 2")) }),
            ("account_revoked", |_| OperationKind::Revoke),
        ];
        for (code, meanwhile) in rows {
            let mut world = world.clone();
            let round = three(&world, 4);
            let signed = carried(&mut world, vec![round.evidence()]);
            let verified = signed.clone().verify(world.ledger.network(), &world.ledger, &FastSignatures);
            world.accept_one(account, meanwhile(name));
            let before = fingerprint(&world.ledger);
            let refusal =
                world.ledger.judge(verified.unwrap(), world.time_ms, &mut Native).map(|_| ()).unwrap_err();
            assert_eq!(refusal.code(), code, "{name}");
            assert_eq!(fingerprint(&world.ledger), before);
            // Verified after the change, the old key is no key of the account, or the account is closed.
            let late = world.refuse_signed(&signed);
            assert!(["bad_evidence", "account_revoked"].contains(&late.code()), "{name}: {late:?}");
        }
    }
}

/// A policy is shown every account, key, role, answer and time as they were signed, by any key of the account.
#[test]
fn a_policy_sees_the_round_as_it_was_verified_and_replay_agrees() {
    let mut world = World::new();
    let entries = [("first", 0), ("second", 9)]
        .map(|(name, role)| KeyEntry { key: key_of(Suite::MlDsa65, name), role })
        .to_vec();
    let keys = KeySet { keys: entries, threshold: 2, recovery: None };
    world.accept_one(world.bob, OperationKind::RotateKeys { keys });
    let mut round = three(&world, 4);
    let at = round.observations.iter().position(|one| one.account == world.bob).unwrap();
    let old = refused(&mut world, &round);
    assert!(matches!(old, EvidenceError::ObservationSignature { account, .. } if account == world.bob));
    round.observations[at] =
        SignedObservation { key: 1, ..observe(&world, "second", world.bob, 4, i128::MIN) };

    let before = world.ledger.clone();
    let operations = world.ops(world.alice, vec![invoke(world.gold, 0, "evidence")]);
    let mut draft = world.draft(&[world.alice], operations);
    draft.evidence = vec![round.evidence()];
    let signed = world.sign(draft);
    world.submit(&signed).unwrap();
    let shown = |one: &SignedObservation| {
        let (name, role) = match one.account {
            account if account == world.bob => ("second", 9),
            account if account == world.carol => ("carol", 0),
            _ => ("root", 0),
        };
        let (account, key) = (one.account, key(name).id());
        Observation { account, key, role, answer: one.answer, observed_ms: one.observed_ms }
    };
    let expected = vec![Evidence::OracleRound {
        feed: round.feed,
        round: 4,
        decimals: 2,
        observations: round.observations.iter().map(shown).collect(),
    }];
    let space = world.ledger.space(&world.gold, 0);
    assert_eq!(space.get(b"evidence".as_slice()), Some(&encode(&expected)));

    let record = world.log.last().unwrap().clone();
    let live = fingerprint(&world.ledger);
    for believing in [true, false] {
        let mut replayed = before.clone();
        let outcome = match believing {
            true => replayed.replay(record.clone()),
            false => replayed.replay_verifying(record.clone(), &FastSignatures, &mut Native),
        };
        outcome.unwrap();
        assert_eq!(fingerprint(&replayed), live);
        let again = replayed.replay(record.clone()).unwrap_err();
        assert!(matches!(again, RecordError::Refused { .. }), "{again:?}");
    }
    let mut tampered = record;
    let EvidenceProof::OracleRound { observations, .. } = &mut tampered.signed.transition.evidence[0] else {
        panic!("a round")
    };
    observations[at].signature[0] ^= 1;
    let error = before.clone().replay_verifying(tampered, &FastSignatures, &mut Native).unwrap_err();
    assert!(matches!(error, RecordError::Admit { .. }), "{error:?}");
}

/// The most that a transition may carry in one round: sixteen accounts.
#[test]
fn sixteen_accounts_may_observe() {
    let mut world = World::new();
    let names: Vec<String> = (0..limit::OBSERVATIONS_MAX).map(|n| format!("observer {n}")).collect();
    let mut observations: Vec<SignedObservation> = names
        .iter()
        .map(|name| {
            let account = world.open(name);
            observe(&world, name, account, 1, 1)
        })
        .collect();
    observations.sort_by_key(|one| one.account);
    let round = Round { feed: feed_id("GOLD/EUR"), round: 1, decimals: 2, observations };
    let signed = carried(&mut world, vec![round.evidence()]);
    world.submit(&signed).unwrap();
}

/// The bytes that are signed and the feed's id never change: observers sign them with programs of their own.
#[test]
fn the_signed_bytes_of_an_observation_are_fixed() {
    let statement = ObservationStatement {
        account: AccountId([1; 32]),
        feed: Digest([2; 32]),
        round: 3,
        decimals: 4,
        answer: -5,
        observed_ms: 6,
    };
    let mut expected = b"DSM/sign".to_vec();
    expected.push(Suite::MlDsa65 as u8);
    expected.extend_from_slice(&[7; 32]);
    expected.push(9);
    expected.extend_from_slice(&97u64.to_le_bytes());
    expected.extend_from_slice(&[1; 32]);
    expected.extend_from_slice(&[2; 32]);
    expected.extend_from_slice(&3u64.to_le_bytes());
    expected.push(4);
    expected.extend_from_slice(&(-5i128).to_le_bytes());
    expected.extend_from_slice(&6u64.to_le_bytes());
    let message =
        signing_message(Suite::MlDsa65, NetworkId([7; 32]), SignKind::Observation, &encode(&statement));
    assert_eq!(message, expected);
    let feed = blake3::hash(b"DSM/feed\0GOLD/EUR");
    assert_eq!(feed_id("GOLD/EUR").0, *feed.as_bytes());
}
