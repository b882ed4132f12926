//! Value goes over and comes back: through the service, by proof, and no unit is there twice.

use crate::program::replay;
use crate::town::Town;
use dsm_contracts::DsmBridge;
use dsm_qbft_shim::Anvil;
use std::time::Instant;

const ETHER: u128 = 1_000_000_000_000_000_000;

#[test]
fn deposits_are_credited_and_withdrawals_released() {
    if !Anvil::for_test("deposits and withdrawals") {
        return;
    }
    let mut town = Town::build();
    let courier = town.courier(1);
    let mut latencies = Vec::new();
    for round in 1..=3 {
        let before = town.chain.height().unwrap();
        let nonce = town.lock_ether(round * ETHER);
        let locked = town.chain.height().unwrap();
        assert_eq!(locked, before + 1);
        town.wait("the credit", || town.is_credited(nonce));
        latencies.push(town.chain.height().unwrap() - locked);
    }
    // The chain makes a block for each transaction alone, and a credit needs none.
    println!("latency of a deposit: {latencies:?} blocks after its own, by the seals of that block");
    town.lock_dollars(500);
    town.wait_for_credits();
    town.assert_equation();
    assert_eq!(town.supply(town.ether), 6 * ETHER);
    assert_eq!(town.supply(town.dollar), 500);

    town.claim();
    let payee = [0x99; 20];
    town.withdraw(town.ether, payee, 4 * ETHER);
    town.withdraw(town.dollar, payee, 123);
    town.assert_equation();
    let before = town.chain.height().unwrap();
    town.wait_for_releases();
    println!("blocks from the checkpoint to two releases: {}", town.chain.height().unwrap() - before);
    assert_eq!(town.chain.balance(payee).unwrap(), 4 * ETHER);
    assert_eq!(town.site.units(&town.chain, town.site.erc20, payee).unwrap(), 123);
    town.assert_equation();
    assert_eq!(town.supply(town.ether), 2 * ETHER);
    let latest = town.site.ask(&town.chain, DsmBridge::latestCall {}).unwrap();
    assert_eq!(latest.size, 2);
    assert_eq!(town.locks_made(), 4);
    courier.kill();
    // Whoever has the log alone comes to the same: every proof of a lock is verified again.
    assert_eq!(town.node.terminate(), Some(0));
    replay(&town.folder.path().join("core"));
}

/// The target chain makes a block every two seconds: how long a deposit takes there, in blocks after its own and in time
/// since the block was there.
#[test]
fn a_deposit_on_a_chain_of_two_second_blocks() {
    if !Anvil::for_test("a deposit on a chain of two-second blocks") {
        return;
    }
    let mut town = Town::build();
    let courier = town.courier(1);
    town.chain.block_every(2).unwrap();
    let mut latencies = Vec::new();
    for round in 1..=5 {
        let nonce = town.lock_ether(round * ETHER);
        let (locked, seen) = (town.chain.height().unwrap(), Instant::now());
        town.wait("the credit", || town.is_credited(nonce));
        latencies.push((town.chain.height().unwrap() - locked, seen.elapsed()));
    }
    println!(
        "latency of a deposit at two seconds a block: {latencies:?} (blocks after its own, time since it was seen)"
    );
    town.assert_equation();
    courier.kill();
}

/// B9: the same lock by two relayers, the same leaf by two relayers.
#[test]
fn b9_two_relayers_race_and_everything_happens_once() {
    if !Anvil::for_test("two relayers") {
        return;
    }
    let mut town = Town::build();
    let couriers = [town.courier(1), town.courier(2)];
    let payee = [0x98; 20];
    let mut paid = 0;
    for round in 1..=6u128 {
        town.lock_ether(round * 1_000);
        town.lock_dollars(round);
        town.wait_for_credits();
        town.claim();
        town.withdraw(town.ether, payee, round * 100);
        paid += round * 100;
        town.assert_equation();
    }
    town.wait_for_releases();
    town.assert_equation();
    assert_eq!(town.chain.balance(payee).unwrap(), paid);
    assert_eq!(town.supply(town.ether), 21_000 - paid);
    drop(couriers);
}
