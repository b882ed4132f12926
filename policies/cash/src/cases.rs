//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{DAY_MS, Denied, Outflow, outflow_key};
use alloc::{vec, vec::Vec};
use dsm_policy::bench::{Case, START_MS, Scene, TOKEN, account, key, sets};
use dsm_policy::{
    AccountId, Action, CreditId, Effect, Fields, Hold, HoldId, HoldKind, KeyId, PolicyId, Refused, TokenId,
    Value,
};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const CAROL: AccountId = account(3);
const SECURITY: TokenId = TokenId([0x5c; 32]);
const TODAY: u64 = START_MS / DAY_MS;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), succession(), authority(), payments(), days(), escrow(), queries()].concat()
}

fn terms(authorities: &[u8], threshold: u64, transfer_max: u128, daily_max: u128) -> Scene {
    let authorities: Vec<KeyId> = authorities.iter().map(|n| key(*n)).collect();
    Scene::new(vec![
        Value::Keys(authorities),
        Value::U64(threshold),
        Value::U128(transfer_max),
        Value::U128(daily_max),
    ])
}

fn currency() -> Scene {
    terms(&[11, 12], 2, 600, 1_000).party(ALICE, 900, 800).party(BOB, 0, 0)
}

fn pay(amount: u128) -> Action {
    Action::Transfer { to: BOB, amount, bilateral: true }
}

fn paid(day: u64, paid: u128) -> Vec<Effect> {
    vec![sets(outflow_key(ALICE), &Outflow { day, paid })]
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ALICE, Action::Create);
    let many: Vec<u8> = (1..=33).collect();
    vec![
        create(terms(&many[..32], 32, 0, 0)).accepts("32 of 32 authorities", vec![]),
        create(terms(&many, 1, 0, 0)).refuses("33 authorities", Denied::BadTerms),
        create(terms(&[1, 2], 0, 0, 0)).refuses("nobody need sign", Denied::BadTerms),
        create(terms(&[1, 2], 2, 0, 0)).accepts("two of two", vec![]),
        create(terms(&[], 0, 0, 0)).refuses("no authority", Denied::BadTerms),
        create(terms(&[1], 2, 0, 0)).refuses("an unreachable threshold", Denied::BadTerms),
        create(terms(&[1, 1], 1, 0, 0)).refuses("one key twice", Denied::BadTerms),
        create(Scene::new(vec![Value::Text("x".into())])).refuses("a text for keys", Refused::BadParameters),
    ]
}

/// It takes the place of another policy, most likely of itself with other keys or limits.
fn succession() -> Vec<Case> {
    let succeed =
        |scene: Scene| scene.leg(BOB, Action::Upgrade { policy_index: 0, from: PolicyId([0xf0; 32]) });
    let before = || currency().state(outflow_key(ALICE), &Outflow { day: TODAY, paid: 500 });
    let foreign = || currency().state(outflow_key(ALICE), &1_u64);
    vec![
        succeed(before()).accepts("succeed itself", vec![]),
        succeed(foreign()).accepts("succeed any policy", vec![]),
        succeed(terms(&[1], 2, 0, 0)).refuses("succeed with an unreachable threshold", Denied::BadTerms),
        before().leg(ALICE, pay(501)).refuses("what was paid that day counts on", Denied::OverDailyLimit),
        foreign()
            .leg(ALICE, pay(501))
            .accepts("what is no outflow does not count, and is replaced", paid(TODAY, 501)),
    ]
}

fn authority() -> Vec<Case> {
    let signed = || currency().signed(ALICE, &[key(11)]).signed(BOB, &[key(12)]);
    let mint = Action::Mint { to: ALICE, amount: 1 };
    vec![
        signed().leg(BOB, mint.clone()).accepts("issue", vec![]),
        currency()
            .signed(BOB, &[key(12)])
            .leg(BOB, mint)
            .refuses("issue by one of two", Denied::NotAuthority),
        signed().leg(ALICE, Action::Burn { amount: 800 }).accepts("redeem", vec![]),
        signed()
            .leg(ALICE, Action::Burn { amount: 801 })
            .refuses("redeem too much", Denied::InsufficientFunds),
        currency().leg(ALICE, Action::Burn { amount: 1 }).refuses("redeem alone", Denied::NotAuthority),
        signed().invoke(ALICE, "pause", vec![]).refuses("an unknown method", Refused::UnknownMethod),
        signed().leg(ALICE, Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
    ]
}

fn payments() -> Vec<Case> {
    let delivery = Action::Transfer { to: ALICE, amount: 5, bilateral: true };
    let poor = || terms(&[11], 1, 600, 1_000).party(ALICE, 900, 100).party(BOB, 0, 0);
    let unlimited = || terms(&[11], 1, 0, 0).party(ALICE, u128::MAX, u128::MAX).party(BOB, 0, 0);
    let claim = Action::Claim { credit: CreditId([8; 32]), from: BOB, amount: u128::MAX };
    vec![
        currency().leg(ALICE, pay(600)).accepts("a payment up to the limit", paid(TODAY, 600)),
        currency().leg(ALICE, pay(601)).refuses("a payment over the limit", Denied::OverTransferLimit),
        poor().leg(ALICE, pay(100)).accepts("the last money", paid(TODAY, 100)),
        poor().leg(ALICE, pay(101)).refuses("more than is available", Denied::InsufficientFunds),
        poor()
            .leg(ALICE, pay(500))
            .leg_of(SECURITY, BOB, delivery.clone())
            .refuses("the short cash leg of a delivery versus payment", Denied::InsufficientFunds),
        currency()
            .leg(ALICE, pay(500))
            .leg_of(SECURITY, BOB, delivery)
            .accepts("the cash leg of a delivery versus payment", paid(TODAY, 500)),
        terms(&[11], 1, 0, 0).leg(CAROL, pay(1)).refuses("a payer without money", Denied::InsufficientFunds),
        poor()
            .leg(ALICE, pay(60))
            .leg(ALICE, pay(60))
            .refuses("two payments that overdraw together", Denied::InsufficientFunds),
        unlimited().leg(ALICE, pay(u128::MAX)).accepts("any amount without limits", vec![]),
        unlimited()
            .leg(ALICE, pay(u128::MAX))
            .leg(ALICE, pay(1))
            .refuses("a total beyond 128 bits", Refused::Arithmetic),
        currency().leg(ALICE, claim).accepts("claim", vec![]),
    ]
}

fn days() -> Vec<Case> {
    let spent = |day, paid| currency().state(outflow_key(ALICE), &Outflow { day, paid });
    let second = |scene: Scene| scene.with(|input| input.leg = 1);
    let three = || currency().leg(BOB, Action::Other).leg(ALICE, pay(300)).leg(ALICE, pay(200));
    vec![
        spent(TODAY, 500).leg(ALICE, pay(500)).accepts("a day's last payment", paid(TODAY, 1_000)),
        spent(TODAY, 501).leg(ALICE, pay(500)).refuses("over the day's limit", Denied::OverDailyLimit),
        spent(TODAY - 1, 1_000).leg(ALICE, pay(500)).accepts("a new day", paid(TODAY, 500)),
        spent(TODAY, 1_000)
            .at(START_MS + DAY_MS - 1)
            .leg(ALICE, pay(1))
            .refuses("the last millisecond of the day", Denied::OverDailyLimit),
        spent(TODAY, 1_000)
            .at(START_MS + DAY_MS)
            .leg(ALICE, pay(1))
            .accepts("the first millisecond of the next", paid(TODAY + 1, 1)),
        spent(TODAY, 600)
            .leg(ALICE, pay(300))
            .leg(ALICE, pay(101))
            .refuses("two payments over the day's limit together", Denied::OverDailyLimit),
        second(three()).accepts("the first of two payments leaves the account to the last", vec![]),
        three()
            .with(|input| input.leg = 2)
            .accepts("the last of two payments accounts for both", paid(TODAY, 500)),
        currency()
            .leg(ALICE, pay(600))
            .leg_of(SECURITY, ALICE, pay(900))
            .leg(BOB, pay(900))
            .accepts("other tokens and other payers do not count", paid(TODAY, 600)),
    ]
}

fn escrow() -> Vec<Case> {
    let hold = |amount, kind| Action::Hold { beneficiary: BOB, amount, kind, expires_ms: None };
    let held = |amount| Hold {
        id: HoldId([9; 32]),
        token: TOKEN,
        owner: ALICE,
        beneficiary: BOB,
        amount,
        kind: HoldKind::Escrow,
        expires_ms: None,
    };
    let execute = |amount| Action::Execute { hold: held(amount) };
    vec![
        currency().leg(ALICE, hold(600, HoldKind::Escrow)).accepts("escrow", vec![]),
        currency()
            .leg(ALICE, hold(601, HoldKind::Escrow))
            .refuses("escrow over the payment limit", Denied::OverTransferLimit),
        terms(&[11], 1, 0, 0)
            .party(ALICE, 10, 9)
            .leg(ALICE, hold(10, HoldKind::Escrow))
            .refuses("escrow without money", Denied::InsufficientFunds),
        currency().leg(ALICE, hold(1, HoldKind::Pledge)).refuses("a pledge of cash", Denied::HoldKind),
        currency().leg(ALICE, hold(1, HoldKind::Lien)).refuses("a lien on cash", Denied::HoldKind),
        currency().leg(ALICE, hold(1, HoldKind::Lock)).refuses("a lock of cash", Denied::HoldKind),
        currency().leg(BOB, Action::Release { hold: held(1) }).accepts("release", vec![]),
        currency().leg(ALICE, execute(500)).accepts("payment out of escrow", paid(TODAY, 500)),
        currency()
            .leg(ALICE, execute(601))
            .refuses("escrow does not evade the limit", Denied::OverTransferLimit),
        currency()
            .leg(ALICE, execute(500))
            .leg(ALICE, pay(501))
            .refuses("escrow does not evade the day's limit", Denied::OverDailyLimit),
    ]
}

fn queries() -> Vec<Case> {
    let alice = || vec![Value::Account(ALICE)];
    let answer =
        |paid: u128, left: u128| Fields::new().with("day", TODAY).with("paid", paid).with("left", left);
    let spent = |day| currency().state(outflow_key(ALICE), &Outflow { day, paid: 400 });
    vec![
        spent(TODAY).answers("some paid", "outflow", alice(), answer(400, 600)),
        spent(TODAY - 1).answers("paid yesterday", "outflow", alice(), answer(0, 1_000)),
        terms(&[1], 1, 0, 0).answers("no limit", "outflow", alice(), answer(0, u128::MAX)),
        currency().refuses_query("an unknown query", "inflow", alice(), Refused::UnknownQuery),
        currency().refuses_query("a wrong argument", "outflow", vec![Value::U64(1)], Refused::BadArguments),
    ]
}
