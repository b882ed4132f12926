//! The trusted set moves by seals alone, and two sealed blocks of one height freeze the bridge.

use crate::town::Town;
use dsm_core::FinalHeader;
use dsm_qbft_shim::{Anvil, Seals};
use std::time::{Duration, Instant};

/// How long nothing must happen.
const QUIET: Duration = Duration::from_secs(3);

#[test]
fn b12_the_set_moves_one_by_one_and_strangers_move_nothing() {
    if !Anvil::for_test("validators that rotate") {
        return;
    }
    let mut town = Town::build();
    let courier = town.courier(1);
    let bridge = town.terms.id();
    // Each new set shares three of four with the one before; in the end nobody of the first is left.
    for set in [[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6], [4, 5, 6, 7]] {
        let from = town.shim.rotate(set.to_vec()).unwrap();
        town.lock_ether(1_000);
        town.wait_for_credits();
        let trusted = town.client.bridge(&bridge).unwrap().decode().unwrap();
        assert_eq!(trusted.validators, town.shim.validators(from));
        assert!(trusted.height >= from);
    }
    // One of the trusted set, three strangers, sealed by all of them but by too few of the trusted: nothing.
    town.shim.rotate(vec![7, 10, 11, 12]).unwrap();
    let nonce = town.lock_ether(5_000);
    let begun = Instant::now();
    while begun.elapsed() < QUIET {
        assert!(!town.is_credited(nonce), "one trusted validator of four moved the set");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The trusted set again, with a seal too few, and then with enough.
    town.shim.rotate(vec![4, 5, 6, 7]).unwrap();
    town.shim.set_seals(Seals::Exactly(2)).unwrap();
    town.chain.mine(1).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(!town.is_credited(nonce), "two seals of four were enough");
    town.shim.set_seals(Seals::Quorum).unwrap();
    town.chain.mine(1).unwrap();
    town.wait_for_credits();
    assert_eq!(town.supply(town.ether), 9_000);
    town.assert_equation();
    courier.kill();

    // B10: two blocks of one height, sealed by the trusted set, are the end of trust.
    let height = town.chain.height().unwrap();
    let late = town.lock_ether(7_000);
    let sealed = |header| FinalHeader { header, attestations: Vec::new() };
    let (a, b) = (sealed(town.shim.header(height).unwrap()), sealed(town.shim.twin(height).unwrap()));
    let same = a.clone();
    let none = town.refused(|draft, account| draft.convict_bridge(account, bridge, a.clone(), same));
    assert_eq!(none, "no_conviction");
    town.step(|draft, account| draft.convict_bridge(account, bridge, a, b));
    assert!(town.client.bridge(&bridge).unwrap().frozen.is_some());
    let courier = town.courier(1);
    std::thread::sleep(QUIET);
    assert!(!town.is_credited(late), "a frozen bridge credited a lock");
    drop(courier);
}
