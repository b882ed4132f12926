//! Bugs that were found, one test each: the first paragraph tells what happened.

use crate::world::{
    FastSignatures, Native, PREMINT, RECOVERY, SCRIPT, World, creation, effects, invoke, key, key_set,
    sign_bytes, signature, token_of, transfer,
};
use dsm_abi::{Digest, Effect, HoldKind, Suite, Value, encode};
use dsm_core::{
    Accepted, Attestation, EquivocationError, EquivocationProof, EvidenceProof, Genesis, KeySet, Operation,
    OperationKind, PolicyEffects, RecordError, SignKind, SignedTransition, relationship_key, signing_message,
};

/// A policy that requested a mint while its token was being created made `judge` index the operations beyond
/// their end: any author could stop a node.
#[test]
fn a_policy_may_request_a_mint_when_its_token_is_created() {
    let mut world = World::new();
    let kind = creation("FIRST", &[(PREMINT, vec![Value::U128(70)]), (SCRIPT, vec![])], Some(70));
    let token = token_of(world.root, &kind);
    world.accept_one(world.root, kind);
    let totals = world.ledger.totals(&token);
    assert_eq!((totals.supply, totals.balances), (70, 70));
    let over = creation("OVER", &[(PREMINT, vec![Value::U128(71)])], Some(70));
    assert_eq!(world.refuse_one(world.root, over).code(), "over_cap");
}

/// Units paid to an account that the same transition opened were counted out of the sender and never into the
/// recipient: they vanished, and the pair's relationship tip moved on one side only.
#[test]
fn an_account_that_is_opened_and_paid_in_one_transition_has_the_units() {
    let mut world = World::new();
    let genesis = world.account_genesis("erin");
    let erin = genesis.account();
    let mut operations = world.ops(erin, vec![OperationKind::CreateAccount { genesis }]);
    operations.extend(world.ops(world.alice, vec![transfer(world.gold, erin, 40)]));
    world.accept(&[world.alice, erin], operations);
    world.check_totals();
    let (alice, erin) = (world.ledger.account(&world.alice).unwrap(), world.ledger.account(&erin).unwrap());
    assert_eq!((alice.balance(&world.gold), erin.balance(&world.gold)), (960, 40));
    let tip = relationship_key(&alice.state().account, &erin.state().account);
    assert!(alice.tips().contains_key(&tip));
    assert_eq!(alice.tips().get(&tip), erin.tips().get(&tip));
    assert_eq!((erin.state().height, erin.state().id()), (0, erin.head()));
}

/// The beneficiary of a hold moves the owner's chain when it releases the hold. That move forgot the owner's
/// precommitment, so an accomplice could free the owner from its own binding.
#[test]
fn a_move_that_the_owner_did_not_sign_keeps_its_precommitment() {
    let mut world = World::new();
    let hold = world.hold(10, HoldKind::Lock, None);
    let until_ms = world.time_ms + 10_000;
    world.accept_one(world.alice, OperationKind::Precommit { shape: Digest([7; 32]), until_ms });
    world.accept_one(world.bob, OperationKind::Release { hold });
    let refused = world.refuse_one(world.alice, transfer(world.gold, world.carol, 1));
    assert_eq!(refused.code(), "precommitted");
    world.time_ms = until_ms;
    world.accept_one(world.alice, transfer(world.gold, world.carol, 1));
    assert_eq!(world.ledger.account(&world.alice).unwrap().state().precommitment, None);
}

/// Checking one account's signature took the account's keys from any `CreateAccount` inside the transition, so
/// whoever put the victim's id and an own key set there could forge an equivocation proof against anybody.
#[test]
fn an_equivocation_proof_does_not_take_keys_from_the_transition() {
    let mut world = World::new();
    let victim = world.alice;
    let genesis =
        Genesis { network: world.ledger.network(), keys: KeySet::single(key("thief")), salt: [0; 32] };
    let mut forge = || {
        let mut draft = world.draft(&[victim], vec![]);
        let kind = OperationKind::CreateAccount { genesis: genesis.clone() };
        draft.operations = vec![Operation { actor: victim, kind }];
        let signatures = vec![signature(&draft, 0, 0, &key("thief"))];
        SignedTransition { transition: draft, signatures }
    };
    let (first, second) = (forge(), forge());
    let head = world.ledger.account(&victim).unwrap();
    let proof =
        EquivocationProof { parent: head.state().clone(), keys: (**head.keys()).clone(), first, second };
    assert!(matches!(proof.verify(&FastSignatures), Err(EquivocationError::Signature(_))));
}

/// The keys of a closed account could still sign attestations that policies believed.
#[test]
fn a_closed_account_attests_nothing() {
    let mut world = World::new();
    world.accept_one(world.carol, OperationKind::Revoke);
    let attestation =
        Attestation { account: world.carol, topic: "t".into(), payload: vec![], nonce: [1; 32] };
    let message =
        signing_message(Suite::MlDsa65, world.ledger.network(), SignKind::Attestation, &encode(&attestation));
    let evidence = EvidenceProof::Attestation {
        attestation,
        key: 0,
        suite: Suite::MlDsa65,
        signature: sign_bytes(&key("carol"), &message),
    };
    let operations = world.ops(world.alice, vec![transfer(world.gold, world.bob, 1)]);
    let mut draft = world.draft(&[world.alice], operations);
    draft.evidence = vec![evidence];
    let signed = world.sign(draft);
    assert_eq!(world.refuse_signed(&signed).code(), "account_revoked");
}

/// An account that signed with its recovery keys counted as a signer for policies: their requests could move its
/// units, and a policy that looks for an authority among the signers would have found it.
#[test]
fn recovery_keys_consent_to_nothing_but_recovery() {
    let mut world = World::new();
    let recover = OperationKind::Recover { keys: key_set("alice again") };
    let take = Effect::Transfer { from: world.alice, to: world.carol, amount: 5 };
    let mut operations = world.ops(world.alice, vec![recover.clone()]);
    operations.extend(world.ops(world.bob, vec![effects(world.gold, 0, &[take])]));
    let draft = world.draft(&[world.alice, world.bob], operations);
    assert_eq!(draft.signed_by(&world.alice), RECOVERY);
    let signed = world.sign(draft);
    assert_eq!(world.refuse_signed(&signed).code(), "effect_not_permitted");

    let mut operations = world.ops(world.alice, vec![recover]);
    operations.extend(world.ops(world.bob, vec![invoke(world.gold, 0, "signers")]));
    world.accept(&[world.alice, world.bob], operations);
    let space = world.ledger.space(&world.gold, 0);
    assert_eq!(space.get(b"signers".as_slice()), Some(&encode(&vec![world.bob])));
}

/// Replay believed the token and the policy's position that a damaged record gave to an effect, and panicked.
#[test]
fn a_record_with_effects_of_another_policy_is_an_error() {
    let mut world = World::new();
    let before = world.ledger.clone();
    let set = Effect::SetState { key: vec![1], value: vec![2] };
    let applied = world.accept_one(world.alice, effects(world.gold, 0, &[set]));
    let record = Accepted::from(&applied);
    let damage: [fn(&mut PolicyEffects); 4] = [
        |given| given.policy_index = 1,
        |given| given.policy_index = 255,
        |given| given.token.0[0] ^= 1,
        |given| given.leg = 9,
    ];
    for change in damage {
        let mut damaged = record.clone();
        change(&mut damaged.effects[0]);
        let replayed = before.clone().replay(damaged.clone());
        assert!(matches!(replayed, Err(RecordError::Refused { .. })), "{replayed:?}");
        let verified = before.clone().replay_verifying(damaged, &FastSignatures, &mut Native);
        assert!(matches!(verified, Err(RecordError::Effects(_))), "{verified:?}");
    }
    assert!(before.clone().replay(record).is_ok());
}
