//! B8, B9: a proof is worth something once, for one chain, one contract, one bridge and one token.

use crate::town::{DAY_S, POLICY, Town};
use dsm_bridge::Evm as _;
use dsm_bridge::prove::{Trust, newest, prove_lock};
use dsm_bridge::rpc::{FinalityMode, RpcEvm};
use dsm_contracts::{DsmBridge, Outbox, SolCall as _, U256};
use dsm_core::EvmLockProof;
use dsm_evm_proof::Payload;
use dsm_host::node::{Clock as _, SystemClock};
use dsm_qbft_shim::Anvil;

/// The proof of a lock of the town's bridge, made as anybody can.
fn proof(town: &Town, nonce: u64) -> EvmLockProof {
    let evm = RpcEvm::new(
        &[town.shim.url()],
        town.terms.chain_id,
        town.terms.contract,
        FinalityMode::Sealed,
        1,
        crate::courier::patience(),
    );
    let evm = evm.unwrap();
    let state = town.client.bridge(&town.terms.id()).unwrap().decode().unwrap();
    let trust = Trust::of(&state).unwrap();
    let (header, advances) = newest(&evm, &trust, SystemClock.now_ms() / 1000).unwrap();
    assert!(advances.is_empty());
    let hint = evm.lock_hint(nonce, 0).unwrap().unwrap();
    prove_lock(&evm, &town.terms, &header, &hint.lock).unwrap()
}

#[test]
fn b9_a_proof_is_worth_something_once_and_nowhere_else() {
    if !Anvil::for_test("replays") {
        return;
    }
    let mut town = Town::build();
    let nonce = town.lock_ether(1_000);
    let genuine = proof(&town, nonce);
    let bridge = town.terms.id();

    // Another chain id, another contract, a bridge of another salt, validators of somebody's own: all are bridges that
    // anybody may open, and none of them credits this lock in this token.
    let mut other_chain = town.terms.clone();
    other_chain.chain_id = 139;
    let mut other_contract = town.terms.clone();
    other_contract.contract = [0x42; 20];
    let mut other_salt = town.terms.clone();
    other_salt.salt = [8; 32];
    let others =
        [(other_chain, "bad_lock_proof"), (other_contract, "bad_lock_proof"), (other_salt, "policy_denied")];
    for (terms, code) in others {
        let id = terms.id();
        town.step(|draft, account| draft.open_bridge(account, terms));
        let found = town.refused(|draft, account| draft.credit_lock(account, id, genuine.clone()));
        assert_eq!(found, code);
    }
    // More than was locked, somebody else's account, another token: what the proof does not say.
    let mut changed = [genuine.clone(), genuine.clone(), genuine.clone()];
    changed[0].lock.amount += 1;
    changed[1].lock.recipient = [9; 32];
    changed[2].lock.token = town.dollar.0;
    for altered in changed {
        let found = town.refused(|draft, account| draft.credit_lock(account, bridge, altered));
        assert_eq!(found, "bad_lock_proof");
    }
    // Too early to be paid back; then credited, once.
    let early = town.refused(|draft, account| draft.refund_lock(account, POLICY, bridge, genuine.clone()));
    assert!(["policy_denied", "lock_not_due"].contains(&early.as_str()), "{early}");
    town.step(|draft, account| draft.credit_lock(account, bridge, genuine.clone()));
    assert!(town.is_credited(nonce));
    let again = town.refused(|draft, account| draft.credit_lock(account, bridge, genuine.clone()));
    assert!(["evidence_consumed", "policy_denied"].contains(&again.as_str()), "{again}");
    // A later proof of the same lock is the same lock.
    town.chain.mine(3).unwrap();
    let later = proof(&town, nonce);
    assert_ne!(later.header, genuine.header);
    let again = town.refused(|draft, account| draft.credit_lock(account, bridge, later));
    assert!(["evidence_consumed", "policy_denied"].contains(&again.as_str()), "{again}");
    assert_eq!(town.supply(town.ether), 1_000);
}

#[test]
fn b9_a_leaf_pays_once_and_nothing_after_a_redeployment() {
    if !Anvil::for_test("replays of releases") {
        return;
    }
    let mut town = Town::build();
    let courier = town.courier(1);
    town.lock_ether(1_000);
    town.wait_for_credits();
    town.claim();
    let payee = [0x96; 20];
    town.withdraw(town.ether, payee, 400);
    town.wait_for_releases();
    assert_eq!(town.chain.balance(payee).unwrap(), 400);
    courier.kill();

    let latest = town.site.ask(&town.chain, DsmBridge::latestCall {}).unwrap();
    let path = town.client.outbox_path(0, latest.size).unwrap();
    let entry = path.entry.entry();
    let Payload::Release(release) = Payload::decode(&entry.payload).unwrap() else { panic!("a release") };
    let call = |epoch: u64| {
        DsmBridge::releaseCall {
            leaf: Outbox::Leaf {
                index: entry.index,
                token: entry.token.0.into(),
                actor: entry.actor.0.into(),
                transition: entry.transition.0.into(),
            },
            payment: DsmBridge::Release {
                kind: release.kind as u8,
                asset: release.asset.into(),
                to: release.to.into(),
                amount: U256::from(release.amount),
            },
            proof: path.siblings.iter().map(|one| one.0.into()).collect(),
            epoch,
        }
        .abi_encode()
    };
    let sender = town.chain.accounts()[3];
    assert!(town.chain.send(sender, Some(town.site.bridge), &call(latest.epoch), 0).is_err(), "paid twice");
    // The same contracts again, for the same network and tokens, by the same attestors' verifier: another address.
    let again = crate::site::Site::plan(&town.chain).unwrap();
    assert_ne!(again.bridge, town.site.bridge);
    let pair = crate::site::Pair {
        asset: Some([0; 20]),
        token: town.ether.0,
        name: "",
        symbol: "",
        decimals: 18,
        queue_above: 1 << 90,
    };
    let attestors = crate::site::Attestor::all().unwrap();
    again.deploy(&town.chain, town.network.0, &attestors, &[pair]).unwrap();
    // It holds something, so that there would be something to take.
    again.lock_ether(&town.chain, town.user, 10_000, town.account.0, DAY_S).unwrap();
    for epoch in [0, latest.epoch] {
        assert!(town.chain.send(sender, Some(again.bridge), &call(epoch), 0).is_err());
    }
    assert_eq!(town.chain.balance(payee).unwrap(), 400);
}
