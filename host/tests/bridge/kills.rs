//! `kill -9` of the relayer: at named points between lock and credit and between burn and release, and at any moment.

use crate::program::replay;
use crate::town::Town;
use dsm_qbft_shim::Anvil;
use std::time::{Duration, Instant};

/// Where a relayer dies: each is a step on the way of a lock or of a leaf, before or behind what makes it durable.
const POINTS: [&str; 18] = [
    "lock.before",
    "lock.seen",
    "lock.proving",
    "lock.proven",
    "credit.before",
    "credit.signed",
    "credit.sent",
    "credit.accepted",
    "credit.done",
    "locks.after",
    "leaf.before",
    "leaf.after",
    "tx.before",
    "tx.queued",
    "tx.sent",
    "tx.resolving",
    "tx.done",
    "outs.after",
];
/// Kills at any moment, besides.
const KILLS: u64 = 12;
/// How long a relayer has to reach its point: a lock and a leaf are on their way.
const REACH: Duration = Duration::from_secs(240);

/// A lock and a leaf, for the next relayer to carry.
fn traffic(town: &mut Town, round: u128, payee: [u8; 20]) -> u128 {
    town.lock_ether(1_000 + round);
    let amount = 10 + round;
    town.withdraw(town.ether, payee, amount);
    town.client.take_checkpoint().unwrap();
    amount
}

#[test]
fn b9_killed_at_every_step_credited_once_released_once() {
    if !Anvil::for_test("kills") {
        return;
    }
    let mut town = Town::build();
    let first = town.courier(1);
    town.lock_ether(1_000_000);
    town.wait_for_credits();
    town.claim();
    first.kill();
    let payee = [0x97; 20];
    let (mut paid, mut died) = (0, Vec::new());
    let orders = town.orders(1, &town.shim.url());
    for (round, point) in POINTS.iter().enumerate() {
        paid += traffic(&mut town, round as u128, payee);
        let mut courier = orders.dying_at(point).start();
        let begun = Instant::now();
        while !courier.has_ended() && begun.elapsed() < REACH {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(courier.has_ended(), "nobody came by {point}");
        died.push(*point);
    }
    // At any moment, and then the program that operators run: pauses of a linear congruence, so that a run can be
    // repeated.
    let program = town.program(2);
    let mut random = 7u64;
    for round in 0..KILLS {
        paid += traffic(&mut town, u128::from(round), payee);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (courier, banner) = program.start();
        assert_eq!(banner["bridge"], town.terms.id().to_string());
        std::thread::sleep(Duration::from_millis(random >> 33 & 0x3ff));
        courier.kill();
    }
    println!("{} kills at points, {KILLS} of dsm-bridge at any moment: {died:?}", died.len());
    let (last, _) = program.start();
    town.wait_for_credits();
    town.wait_for_releases();
    town.assert_equation();
    assert_eq!(town.chain.balance(payee).unwrap(), paid, "released once each");
    let locked: u128 = town.locks.iter().map(|lock| lock.amount).sum();
    assert_eq!(town.supply(town.ether), locked - paid, "credited once each");
    drop(last);
    // The core node dies as well; its log says the same.
    town.node.kill();
    replay(&town.folder.path().join("core"));
}
