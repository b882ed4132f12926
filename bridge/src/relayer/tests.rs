//! The relayer against scripted chains: crashes at every point, rivals, reorganisations, fees.

mod world;

use super::*;
use crate::state::{LockState, OutState, Purpose};
use std::sync::atomic::{AtomicUsize, Ordering};
use world::{Desk, World, key};

/// Turns after which everything that can happen has happened.
const ENOUGH: usize = 12;

/// Dies at the n-th point that is reached.
struct Countdown(AtomicUsize);

impl crate::state::Faults for Countdown {
    fn dies_at(&self, _: &'static str) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 0
    }
}

/// Counts points and never dies.
struct Counter(AtomicUsize);

impl crate::state::Faults for Counter {
    fn dies_at(&self, _: &'static str) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        false
    }
}

/// One lock to credit, one that is late and has to be refunded, one withdrawal.
fn story(world: &World) {
    world.lock(70, world.now_s() + 7200);
    world.lock(5, world.now_s() - 10);
    world.withdraw(30);
    world.mine();
}

fn check_story(world: &World, context: &str) {
    assert_eq!(world.credited(), [(0, 1)], "credited once: {context}");
    assert_eq!(world.refunded(), [(1, 1)], "refunded once: {context}");
    // The withdrawal and the refund's leaf.
    assert_eq!(world.paid(), [(0, 1), (1, 1)], "paid once: {context}");
}

#[test]
fn a_lock_is_credited_a_late_one_refunded_and_a_withdrawal_released() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    story(&world);
    desk.turns(ENOUGH);
    check_story(&world, "no crash");
    assert!(desk.progress().stalls.is_empty(), "{:?}", desk.progress().stalls);
    let store = desk.store();
    assert!(matches!(store.lock(0).unwrap().unwrap().state, LockState::Credited { under: Some(_), .. }));
    assert!(matches!(store.lock(1).unwrap().unwrap().state, LockState::Refunded { .. }));
    assert_eq!(store.out(0).unwrap().unwrap().state, OutState::Released);
    assert_eq!(store.queue(0, 10).unwrap(), []);
    assert_eq!((store.locks_done().unwrap(), store.outs_done().unwrap()), (Some(2), Some(2)));
}

/// B9: killed between any two steps, and started again, the service credits once, refunds once and releases once.
#[test]
fn b9_a_kill_at_any_point_costs_nothing() {
    let counter = Arc::new(Counter(AtomicUsize::new(0)));
    let world = World::sealed();
    let mut desk = Desk::with_faults(&world, 1, counter.clone());
    story(&world);
    desk.turns(ENOUGH);
    let points = counter.0.load(Ordering::SeqCst);
    assert!(points > 40, "only {points} points: the story is too short");
    for point in 0..points {
        let world = World::sealed();
        let mut desk = Desk::with_faults(&world, 1, Arc::new(Countdown(AtomicUsize::new(point))));
        story(&world);
        let killed = (0..ENOUGH).find_map(|_| desk.turn().err());
        let Some(StateError::Killed(at)) = killed else {
            panic!("point {point} was not reached: {killed:?}")
        };
        desk.restart();
        desk.turns(ENOUGH + 2);
        check_story(&world, at);
        assert_eq!(desk.store().pending().unwrap().flatten(), None, "{at}");
        assert_eq!(desk.store().queue(0, 10).unwrap(), [], "{at}");
    }
}

/// B9: two relayers race; each lock and each leaf is still used once, and both come to rest.
#[test]
fn b9_two_relayers_race_harmlessly() {
    let world = World::sealed();
    let (mut one, mut two) = (Desk::new(&world, 1), Desk::new(&world, 2));
    story(&world);
    for _ in 0..ENOUGH {
        // Both see the same chain before either's transactions are mined.
        one.turn().unwrap();
        two.turn().unwrap();
        world.mine();
        world.wait(400_000);
    }
    check_story(&world, "two relayers");
    for desk in [&one, &two] {
        assert_eq!(desk.store().locks_done().unwrap(), Some(2));
        assert_eq!(desk.store().outs_done().unwrap(), Some(2));
        assert_eq!(desk.store().queue(0, 10).unwrap(), []);
    }
}

/// Kelp, B11: an endpoint tells of a lock that nobody made, or of a real one with another amount. The storage proof
/// says otherwise; the endpoint is named, and the true lock is credited.
#[test]
fn b11_kelp_an_invented_lock_is_never_credited() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    world.lock(70, world.now_s() + 7200);
    world.invent(0, 1_000_000);
    world.invent(1, 1_000_000);
    world.count_locks(2);
    world.mine();
    desk.turns(ENOUGH);
    assert_eq!(world.credited(), [(0, 1)]);
    assert!(
        world.distrusted().iter().all(|reason| reason.contains("invented lock")),
        "{:?}",
        world.distrusted()
    );
    assert!(!world.distrusted().is_empty());
    assert!(desk.progress().stalls["locks"].contains("lock 1"));
    assert_eq!(desk.store().lock(1).unwrap(), None);
}

#[test]
fn b11_a_head_without_seals_is_not_believed() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    desk.turns(2);
    world.lock(70, world.now_s() + 7200);
    world.mine_sealed_by(2);
    desk.turn().unwrap();
    assert_eq!(world.credited(), []);
    assert!(desk.progress().stalls["head"].contains("sealed"), "{:?}", desk.progress().stalls);
    assert!(!world.distrusted().is_empty());
    // The chain goes on with enough seals, and so does the service.
    world.mine();
    desk.turns(ENOUGH);
    assert_eq!(world.credited(), [(0, 1)]);
}

/// A set that changes step by step is followed by headers; each step is shown to the ledger first.
#[test]
fn the_trusted_set_moves_with_the_chain() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    for set in [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 8], [7, 8, 9, 10]] {
        world.validators(&set);
        for _ in 0..3 {
            world.mine();
        }
    }
    world.lock(70, world.now_s() + 7200);
    world.mine();
    desk.turns(ENOUGH);
    assert_eq!(world.credited(), [(0, 1)]);
    assert!(desk.progress().done["advances"] >= 1);
    assert_eq!(desk.progress().stalls.get("head"), None);
}

/// B12 of the bridge's chain: one validator of four cannot make the service believe a set of its own.
#[test]
fn yui_a_set_that_the_trusted_validators_did_not_seal_is_not_followed() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    desk.turn().unwrap();
    world.validators(&[1, 21, 22, 23]);
    world.lock(70, world.now_s() + 7200);
    world.mine();
    desk.turns(3);
    assert_eq!(world.credited(), []);
    assert!(desk.progress().stalls.contains_key("head"));
    assert_eq!(desk.progress().done.get("advances"), None);
}

/// B10: two sealed blocks of one height: frozen, an alarm, and the ledger is told. A restart does not forget it.
#[test]
fn b10_two_sealed_blocks_of_one_height_convict() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    story(&world);
    desk.turns(3);
    world.twin(desk.head());
    desk.turns(2);
    assert!(world.is_frozen(), "the ledger was told");
    let codes: Vec<String> =
        desk.store().alarms(0, 10).unwrap().into_iter().map(|(_, row)| row.code).collect();
    assert_eq!(codes, ["equivocation"]);
    desk.restart();
    world.lock(9, world.now_s() + 7200);
    world.mine();
    let before = world.credited();
    desk.turns(ENOUGH);
    assert_eq!(world.credited(), before, "nothing is credited after that");
    assert!(desk.store().brakes().unwrap().unwrap().frozen.is_some());
}

/// B10: where no seals decide, a reorganisation before the credit is undone silently.
#[test]
fn b10_a_reorganisation_before_the_credit_is_undone() {
    let world = World::attested();
    let mut desk = Desk::new(&world, 1);
    world.lock(70, world.now_s() + 7200);
    world.mine();
    world.refuse_credits(true);
    desk.turns(2);
    assert_eq!(desk.store().lock(0).unwrap().unwrap().lock.amount, 70);
    world.reorganise(1, |world| world.lock(8, world.now_s() + 7200));
    world.refuse_credits(false);
    world.wait(400_000);
    desk.turns(ENOUGH);
    assert_eq!(world.credited(), [(0, 1)]);
    assert_eq!(desk.store().lock(0).unwrap().unwrap().lock.amount, 8, "the lock of the new chain");
    assert_eq!(desk.store().alarms(0, 10).unwrap(), []);
    assert_eq!(desk.store().brakes().unwrap().unwrap_or_default(), Brakes::default());
}

/// B10: below a credited lock it freezes the service; only the admin ends that.
#[test]
fn b10_a_reorganisation_below_a_credited_lock_freezes() {
    let world = World::attested();
    let mut desk = Desk::new(&world, 1);
    world.lock(70, world.now_s() + 7200);
    world.mine();
    desk.turns(ENOUGH);
    assert_eq!(world.credited(), [(0, 1)]);
    world.reorganise(1, |world| world.lock(8, world.now_s() + 7200));
    desk.turns(2);
    let frozen = |desk: &Desk| desk.store().brakes().unwrap().unwrap().frozen;
    assert!(frozen(&desk).unwrap().contains("lock 0"));
    assert_eq!(desk.store().alarms(0, 10).unwrap()[0].1.code, "reorg_below_credit");
    desk.restart();
    world.lock(9, world.now_s() + 7200);
    world.mine();
    desk.turns(ENOUGH);
    assert!(frozen(&desk).is_some(), "a restart does not forget it");
    assert_eq!(world.credited(), [(0, 1)]);
    let thaw = |step: &mut crate::state::Step<'_>| step.put_brakes(&Brakes::default());
    desk.store().step("thaw.before", "thaw.after", thaw).unwrap();
    desk.turns(ENOUGH);
    assert_eq!(world.credited(), [(0, 1), (1, 1)]);
}

#[test]
fn a_fee_that_nobody_takes_is_raised_by_an_eighth_until_it_is_taken() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    world.withdraw(30);
    world.mine();
    // The chain wants more than it says.
    world.price(1_000);
    world.take_from(1_300);
    desk.turns(2);
    let row = |desk: &Desk| desk.store().queue(0, 10).unwrap()[0].1.clone();
    let first = row(&desk);
    assert_eq!((first.nonce, first.hashes.len()), (0, 1));
    let mut last = first;
    for versions in 2..=3 {
        world.wait(31_000);
        desk.turns(1);
        let next = row(&desk);
        assert_eq!((next.nonce, next.hashes.len()), (0, versions));
        assert!(next.fee * 8 >= last.fee * 9, "{} after {}", next.fee, last.fee);
        last = next;
    }
    world.take_from(0);
    desk.turns(ENOUGH);
    assert_eq!(world.paid(), [(0, 1)]);
    assert!(desk.progress().done["fee_bumps"] >= 2);
}

#[test]
fn gas_that_costs_more_than_allowed_is_not_bought() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    world.withdraw(30);
    world.mine();
    world.price(u128::MAX / 4);
    desk.turns(3);
    assert!(desk.progress().stalls["outbox"].contains("gas costs"), "{:?}", desk.progress().stalls);
    assert_eq!(desk.store().queue(0, 10).unwrap(), []);
    world.price(1_000);
    world.wait(400_000);
    desk.turns(ENOUGH);
    assert_eq!(world.paid(), [(0, 1)]);
}

/// Somebody else used the gas account's key: the transaction is given up, an alarm says so, and it is made again.
#[test]
fn a_nonce_that_somebody_else_used_is_noticed() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    world.withdraw(30);
    world.mine();
    world.take_from(u128::MAX);
    desk.turns(2);
    assert_eq!(desk.store().queue(0, 10).unwrap()[0].1.purpose.word(), "checkpoint");
    world.foreign_transaction(&key(101).address());
    world.take_from(0);
    world.wait(31_000);
    desk.turns(1);
    assert_eq!(desk.store().alarms(0, 10).unwrap()[0].1.code, "foreign_nonce");
    world.wait(400_000);
    desk.turns(ENOUGH);
    assert_eq!(world.paid(), [(0, 1)]);
}

#[test]
fn a_large_release_is_executed_after_its_delay() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    world.queue_above(10);
    world.withdraw(30);
    world.mine();
    desk.turns(6);
    assert_eq!(world.paid(), []);
    assert!(matches!(desk.store().out(0).unwrap().unwrap().state, OutState::Queued { .. }));
    assert!(!desk.relayer().is_queued(&Purpose::Execute { index: 0 }).unwrap());
    world.wait(3_700_000);
    world.mine();
    desk.turns(ENOUGH);
    assert_eq!(world.paid(), [(0, 1)]);
}

#[test]
fn a_paused_service_observes_and_writes_nothing() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    desk.turns(2);
    let pause =
        |paused| move |step: &mut crate::state::Step<'_>| step.put_brakes(&Brakes { paused, frozen: None });
    desk.store().step("pause.before", "pause.after", pause(true)).unwrap();
    story(&world);
    desk.turns(ENOUGH);
    assert_eq!((world.credited(), world.paid()), (vec![], vec![]));
    assert_eq!(desk.store().locks_known().unwrap(), Some(2));
    desk.store().step("pause.before", "pause.after", pause(false)).unwrap();
    desk.turns(ENOUGH);
    check_story(&world, "resumed");
}

/// The chains decide: rows that say more than they do are corrected at start.
#[test]
fn at_start_the_chains_decide() {
    let world = World::sealed();
    let mut desk = Desk::new(&world, 1);
    story(&world);
    desk.turns(ENOUGH);
    check_story(&world, "before");
    // A copy of the state from a chain on which more had happened.
    world.lock(11, world.now_s() + 7200);
    world.withdraw(3);
    world.mine();
    desk.turns(1);
    let store = desk.store();
    let mut leaf = store.out(2).unwrap().unwrap();
    leaf.state = OutState::Released;
    store
        .step("forge.before", "forge.after", |step| {
            step.put_out(2, &leaf)?;
            step.put_outs_done(&3)
        })
        .unwrap();
    drop(store);
    desk.restart();
    desk.turns(ENOUGH);
    assert_eq!(world.credited(), [(0, 1), (2, 1)]);
    assert_eq!(world.paid(), [(0, 1), (1, 1), (2, 1)]);
}

/// Wormhole, Nomad, Ronin and the like end at the contract; an attestor refuses to be the one who lets them try.
#[test]
fn an_attestor_signs_one_checkpoint_of_an_epoch_and_only_growth() {
    let world = World::sealed();
    let folder = tempfile::tempdir().unwrap();
    world.withdraw(30);
    let first = world.checkpoint();
    let attestor = world.attestor(folder.path());
    let set_id = 1;
    let ask = |checkpoint: &dsm_core::SignedCheckpoint, set_id| crate::attest::AttestationRequest {
        checkpoint: checkpoint.clone(),
        set_id,
    };
    let view = attestor.attest(&ask(&first, set_id)).unwrap();
    assert_eq!(attestor.attest(&ask(&first, set_id)).unwrap(), view, "the same again is the same");
    let code = |attestor: &crate::attest::Attestor, request| match attestor.attest(&request) {
        Ok(_) => "signed".to_owned(),
        Err(error) => error.code().to_owned(),
    };
    drop(attestor);
    // A restart forgets nothing.
    let attestor = world.attestor(folder.path());
    assert_eq!(attestor.attest(&ask(&first, set_id)).unwrap().digest, view.digest);
    let other_position = world.signed(|checkpoint| {
        *checkpoint = first.checkpoint.clone();
        checkpoint.log_position += 1;
    });
    assert_eq!(code(&attestor, ask(&other_position, set_id)), "would_equivocate");
    world.withdraw(1);
    let second = world.checkpoint();
    let rows: [(&str, dsm_core::SignedCheckpoint, u64); 7] = [
        ("other_set", second.clone(), 2),
        ("other_network", world.signed(|one| one.network = dsm_abi::NetworkId([9; 32])), 1),
        ("outbox_empty", world.signed(|one| one.outbox_size = 0), 1),
        ("outbox_empty", world.signed(|one| one.outbox_root = dsm_abi::Digest([0; 32])), 1),
        ("outbox_rewritten", world.signed(|one| one.outbox_root = dsm_abi::Digest([7; 32])), 1),
        ("checkpoint_not_signed", world.signed_by_stranger(), 1),
        ("checkpoint_not_signed", world.altered(), 1),
    ];
    for (expected, checkpoint, set_id) in rows {
        assert_eq!(code(&attestor, ask(&checkpoint, set_id)), expected);
    }
    assert_eq!(code(&attestor, ask(&second, set_id)), "signed");
    assert_eq!(code(&attestor, ask(&first, set_id)), "outbox_rewritten", "sizes never fall");
    let older = world.signed(|one| one.epoch = first.checkpoint.epoch - 1);
    assert_eq!(code(&attestor, ask(&older, set_id)), "signed_before");
}
