//! B11: an endpoint that lies in every way it can. Nothing is credited that is not locked, and the truth is enough.

use crate::town::{DAY_S, Town};
use dsm_qbft_shim::{Anvil, DevChain, Lie, Shim, ShimConfig};
use std::time::{Duration, Instant};

/// Lies of a kind that the relayer has to hear.
const HEARD: u64 = 3;
/// How long a lie is told at most: of the slow and the huge one hears few.
const TOLD: Duration = Duration::from_secs(4);

#[test]
fn b11_nothing_is_credited_that_is_not_locked_and_the_truth_is_enough() {
    if !Anvil::for_test("the lying endpoint") {
        return;
    }
    let mut town = Town::build();
    // Another chain with the same id and the same contract at the same address, where much is locked for us, sealed by
    // validators of its own.
    let elsewhere = Anvil::start().unwrap();
    let config = ShimConfig { validators: vec![10, 11, 12, 13], ..ShimConfig::default() };
    let other = Shim::start(elsewhere.url(), config).unwrap();
    let chain = DevChain::open(&other.url()).unwrap();
    let site = crate::site::Site::plan(&chain).unwrap();
    assert_eq!(site.bridge, town.site.bridge, "the same address");
    let pair = |asset, token: dsm_abi::TokenId| crate::site::Pair {
        asset: Some(asset),
        token: token.0,
        name: "",
        symbol: "",
        decimals: 18,
        queue_above: 1 << 90,
    };
    let pairs = [pair([0; 20], town.ether), pair(site.erc20, town.dollar)];
    let attestors = crate::site::Attestor::all().unwrap();
    site.deploy(&chain, town.network.0, &attestors, &pairs).unwrap();
    for _ in 0..50 {
        site.lock_ether(&chain, chain.accounts()[1], 1_000_000_000, town.account.0, DAY_S).unwrap();
    }
    town.liar.other_node(&other.url());

    let _courier = town.orders(1, &town.liar.url()).start();
    town.lock_ether(1_000);
    town.wait_for_credits();
    let mut believed = 1_000;
    for (number, lie) in Lie::ALL.into_iter().enumerate() {
        town.liar.tell(lie);
        let amount = 10 + number as u128;
        let nonce = town.lock_ether(amount);
        let begun = Instant::now();
        while town.liar.told() < HEARD && begun.elapsed() < TOLD {
            std::thread::sleep(Duration::from_millis(20));
        }
        let told = town.liar.told();
        // Some lies are none about a lock that is true: then it may be credited meanwhile. Nothing else may.
        let supply = town.supply(town.ether);
        let credited = town.is_credited(nonce);
        assert!(
            supply == believed || (supply == believed + amount && credited),
            "{lie:?}: {supply} units, {believed} are credited"
        );
        town.liar.tell(Lie::None);
        let recovering = Instant::now();
        town.wait_for_credits();
        believed += amount;
        assert_eq!(town.supply(town.ether), believed, "{lie:?}");
        println!(
            "{lie:?}: {told} lies told, {}, the truth credited after {} ms",
            if credited { "the true lock was credited meanwhile" } else { "nothing credited" },
            recovering.elapsed().as_millis()
        );
    }
    town.assert_equation();
}
