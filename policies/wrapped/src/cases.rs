//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{Denied, OUTSIDE, REFUND_TAG, RELEASE_TAG, Used, lock_key};
use alloc::{string::String, vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, START_MS, Scene, TOKEN, account, sets};
use dsm_policy::{
    AccountId, Action, BridgeId, CreditId, Digest, Effect, Evidence, Fields, Hold, HoldId, HoldKind, Refused,
    TokenId, Trust, Value, lane,
};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const BRIDGE: BridgeId = BridgeId([0xb1; 32]);
const CONTRACT: [u8; 20] = [0xcc; 20];
const COIN: [u8; 20] = [0; 20];
const DOLLAR: [u8; 20] = [0xdd; 20];
const TO: [u8; 20] = [0x70; 20];
const CHAIN: u64 = 138;
const COMMITMENT: Digest = Digest([0x0c; 32]);
const DUE_MS: u64 = START_MS + 1_000;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), credits(), returns(), issuance(), withdrawals(), refunds(), ordinary(), queries()].concat()
}

fn terms(home: u64, asset: [u8; 20]) -> Scene {
    Scene::new(vec![
        Value::Digest(Digest(BRIDGE.0)),
        Value::U64(home),
        Value::Bytes(asset.to_vec()),
        Value::U64(CHAIN),
        Value::Bytes(CONTRACT.to_vec()),
    ])
}

/// A lock of 70 for Bob; `kind` and `asset` are those of the side where it was made.
fn lock(nonce: u64, kind: u8, asset: [u8; 20]) -> Evidence {
    Evidence::BridgeProof {
        bridge: BRIDGE,
        chain_id: CHAIN,
        contract: CONTRACT,
        nonce,
        kind,
        asset,
        sender: [0x5e; 20],
        token: TOKEN,
        recipient: BOB,
        amount: 70,
        deadline_ms: DUE_MS,
        commitment: COMMITMENT,
        height: 9,
        trust: Trust::Qbft,
    }
}

fn dollars() -> Scene {
    terms(0, DOLLAR).evidence(lock(5, 2, DOLLAR))
}

fn mint(to: AccountId, amount: u128) -> Action {
    Action::Mint { to, amount }
}

fn used(nonce: u64, credited: bool) -> Effect {
    sets(lock_key(nonce), &Used { credited, amount: 70 })
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ISSUER, Action::Create);
    let with =
        |index: usize, value: Value| create(terms(0, DOLLAR).with(|input| input.params[index] = value));
    vec![
        create(terms(0, DOLLAR)).accepts("an ERC-20", vec![]),
        create(terms(0, COIN)).accepts("the native coin", vec![]),
        create(terms(1, COIN)).accepts("a token whose home is here", vec![]),
        create(terms(1, DOLLAR)).refuses("an asset where the home is here", Denied::BadTerms),
        create(terms(2, COIN)).refuses("a third home", Denied::BadTerms),
        with(2, Value::Bytes(vec![1; 19])).refuses("a short asset", Denied::BadTerms),
        with(3, Value::U64(0)).refuses("no chain", Denied::BadTerms),
        with(4, Value::Bytes(vec![0; 20])).refuses("no contract", Denied::BadTerms),
        with(4, Value::Bytes(vec![1; 21])).refuses("a long contract", Denied::BadTerms),
        with(0, Value::U64(1)).refuses("a number for the bridge", Refused::BadParameters),
    ]
}

/// A case with a lock of which one thing is another.
fn changed(name: &str, change: fn(&mut Evidence), denied: Denied) -> Case {
    let mut lock = lock(5, 2, DOLLAR);
    change(&mut lock);
    terms(0, DOLLAR).evidence(lock).leg(ALICE, mint(BOB, 70)).refuses(name, denied)
}

macro_rules! set {
    ($field:ident = $value:expr) => {
        |lock: &mut Evidence| {
            if let Evidence::BridgeProof { $field, .. } = lock {
                *$field = $value;
            }
        }
    };
}

fn credits() -> Vec<Case> {
    let credit = |scene: Scene| scene.invoke(ALICE, "credit", vec![Value::U64(5)]);
    let requests = || vec![used(5, true), Effect::Mint { to: BOB, amount: 70 }];
    let coins = || terms(0, COIN).evidence(lock(5, 1, COIN));
    let two = || dollars().evidence(lock(6, 2, DOLLAR));
    vec![
        dollars().leg(ALICE, mint(BOB, 70)).accepts("a mint for a proven lock", vec![used(5, true)]),
        coins().leg(ALICE, mint(BOB, 70)).accepts("a mint for locked coins", vec![used(5, true)]),
        credit(dollars()).accepts("a credit for a proven lock", requests()),
        credit(dollars().at(DUE_MS - 1)).accepts("a credit in the last moment", requests()),
        credit(two()).accepts("a credit chooses between equal locks", requests()),
        two().leg(ALICE, mint(BOB, 70)).refuses("a mint that two locks prove", Denied::Ambiguous),
        terms(0, DOLLAR).leg(ALICE, mint(BOB, 70)).refuses("a mint without a lock", Denied::NoProof),
        terms(0, DOLLAR).leg(ISSUER, mint(BOB, 70)).refuses("the issuer without a lock", Denied::NoProof),
        dollars().leg(ALICE, mint(BOB, 71)).refuses("more than was locked", Denied::NoProof),
        dollars().leg(ALICE, mint(ALICE, 70)).refuses("another recipient", Denied::NoProof),
        credit(terms(0, DOLLAR).evidence(lock(4, 2, DOLLAR))).refuses("another number", Denied::NoProof),
        dollars()
            .state(lock_key(5), &Used { credited: true, amount: 70 })
            .leg(ALICE, mint(BOB, 70))
            .refuses("a lock that was credited (B9)", Denied::LockUsed),
        credit(dollars().state(lock_key(5), &Used { credited: false, amount: 70 }))
            .refuses("a lock that was refunded (B9)", Denied::LockUsed),
        credit(dollars().at(DUE_MS)).refuses("a credit at the deadline", Denied::PastDeadline),
        dollars()
            .at(DUE_MS)
            .leg(ALICE, mint(BOB, 70))
            .refuses("a mint at the deadline", Denied::PastDeadline),
        changed("another token's lock", set!(token = TokenId([1; 32])), Denied::NoProof),
        changed("another bridge (B8)", set!(bridge = BridgeId([1; 32])), Denied::OtherLock),
        changed("another chain (B8)", set!(chain_id = 1), Denied::OtherLock),
        changed("another contract (B8)", set!(contract = [1; 20]), Denied::OtherLock),
        changed("another asset (B8)", set!(asset = [1; 20]), Denied::OtherLock),
        changed("coins for dollars (B8)", set!(asset = COIN), Denied::OtherLock),
        changed("a burn for a lock (B8)", set!(kind = 3), Denied::OtherLock),
        changed("a coin's kind with an asset (B8)", set!(kind = 1), Denied::OtherLock),
        credit(terms(0, DOLLAR).evidence(lock(5, 2, DOLLAR)).with(|input| {
            if let Evidence::BridgeProof { token, .. } = &mut input.evidence[0] {
                *token = TokenId([1; 32]);
            }
        }))
        .refuses("a credit for another token's lock", Denied::OtherLock),
    ]
}

/// Home here: units come back by a burn of wrapped ones, never more than are outside.
fn returns() -> Vec<Case> {
    let home = |outside: u128| terms(1, COIN).state(OUTSIDE, &outside).evidence(lock(5, 3, [0xee; 20]));
    let credit = |scene: Scene| scene.invoke(ALICE, "credit", vec![Value::U64(5)]);
    let left = |units: u128| vec![sets(OUTSIDE, &units), used(5, true)];
    vec![
        home(100).leg(ALICE, mint(BOB, 70)).accepts("a return", left(30)),
        home(70).leg(ALICE, mint(BOB, 70)).accepts("the last return", left(0)),
        credit(home(70))
            .accepts("a return by credit", [left(0), vec![Effect::Mint { to: BOB, amount: 70 }]].concat()),
        home(69).leg(ALICE, mint(BOB, 70)).refuses("more than is outside", Denied::ReturnExceedsOutside),
        credit(terms(1, COIN).evidence(lock(5, 3, [0xee; 20])))
            .refuses("a return when nothing is outside", Denied::ReturnExceedsOutside),
        terms(1, COIN)
            .state(OUTSIDE, &100u128)
            .evidence(lock(5, 2, DOLLAR))
            .leg(ALICE, mint(BOB, 70))
            .refuses("a lock where a burn belongs", Denied::OtherLock),
    ]
}

fn issuance() -> Vec<Case> {
    let capped = |outside: u128| {
        terms(1, COIN).state(OUTSIDE, &outside).with(|input| input.token.cap = Some(1_000_500))
    };
    vec![
        terms(1, COIN).leg(ISSUER, mint(ALICE, 500)).accepts("issuance without a cap", vec![]),
        terms(1, COIN).leg(ALICE, mint(ALICE, 500)).refuses("issuance by a stranger", Denied::NotIssuer),
        capped(0).leg(ISSUER, mint(ALICE, 500)).accepts("issuance up to the cap", vec![]),
        capped(0).leg(ISSUER, mint(ALICE, 501)).refuses("issuance over the cap", Denied::OverCap),
        capped(1)
            .leg(ISSUER, mint(ALICE, 500))
            .refuses("issuance over the cap with what is outside", Denied::OverCap),
        capped(0)
            .leg(ISSUER, mint(ALICE, 300))
            .leg(ISSUER, mint(BOB, 201))
            .refuses("issuance over the cap in two legs", Denied::OverCap),
    ]
}

fn release(kind: u8, asset: [u8; 20], amount: u128) -> Effect {
    let words = [
        RELEASE_TAG.to_vec(),
        word(&CHAIN.to_be_bytes()),
        word(&CONTRACT),
        word(&[kind]),
        word(&asset),
        word(&TO),
        word(&amount.to_be_bytes()),
    ];
    Effect::Emit { lane: lane::EVM, payload: words.concat() }
}

fn word(value: &[u8]) -> Vec<u8> {
    [&[0; 32][value.len()..], value].concat()
}

fn withdrawals() -> Vec<Case> {
    let withdraw = |scene: Scene, to: &[u8], amount: u128| {
        scene.invoke(ALICE, "withdraw", vec![Value::Bytes(to.to_vec()), Value::U128(amount)])
    };
    let burn = |amount: u128| Effect::Burn { from: ALICE, amount };
    let outside = |units: u128| terms(1, COIN).state(OUTSIDE, &units);
    vec![
        withdraw(terms(0, DOLLAR), &TO, 30)
            .accepts("a withdrawal of dollars", vec![burn(30), release(2, DOLLAR, 30)]),
        withdraw(terms(0, COIN), &TO, u128::MAX)
            .accepts("a withdrawal of coins", vec![burn(u128::MAX), release(1, COIN, u128::MAX)]),
        withdraw(terms(1, COIN), &TO, 30)
            .accepts("a withdrawal from home", vec![sets(OUTSIDE, &30u128), burn(30), release(3, COIN, 30)]),
        withdraw(outside(12), &TO, 30).accepts(
            "a second withdrawal from home",
            vec![sets(OUTSIDE, &42u128), burn(30), release(3, COIN, 30)],
        ),
        withdraw(outside(u128::MAX), &TO, 1).refuses("more than can be counted", Refused::Arithmetic),
        withdraw(terms(0, DOLLAR), &TO, 0).refuses("nothing", Denied::ZeroAmount),
        withdraw(terms(0, DOLLAR), &COIN, 1).refuses("to nobody", Denied::BadAddress),
        withdraw(terms(0, DOLLAR), &CONTRACT, 1).refuses("to the bridge itself", Denied::BadAddress),
        withdraw(terms(0, DOLLAR), &[1; 19], 1).refuses("to a short address", Denied::BadAddress),
        withdraw(terms(0, DOLLAR), &[1; 32], 1).refuses("to a long address", Denied::BadAddress),
        terms(0, DOLLAR)
            .leg(ALICE, Action::Burn { amount: 1 })
            .refuses("a burn that releases nothing", Denied::PlainBurn),
        terms(1, COIN)
            .leg(ISSUER, Action::Burn { amount: 1 })
            .refuses("the issuer's plain burn", Denied::PlainBurn),
        terms(0, DOLLAR)
            .invoke(ALICE, "withdraw", vec![Value::U128(1)])
            .refuses("a missing argument", Refused::BadArguments),
        terms(0, DOLLAR).invoke(ALICE, "pause", vec![]).refuses("an unknown method", Refused::UnknownMethod),
    ]
}

fn refunds() -> Vec<Case> {
    let refund = |scene: Scene| scene.invoke(ALICE, "refund", vec![Value::U64(5)]);
    let words = [
        REFUND_TAG.to_vec(),
        word(&CHAIN.to_be_bytes()),
        word(&CONTRACT),
        word(&5u64.to_be_bytes()),
        COMMITMENT.0.to_vec(),
    ];
    let paid_back = vec![used(5, false), Effect::Emit { lane: lane::EVM, payload: words.concat() }];
    let burned = || terms(1, COIN).state(OUTSIDE, &10u128).evidence(lock(5, 3, [0xee; 20]));
    vec![
        refund(dollars().at(DUE_MS)).accepts("a refund from the deadline on", paid_back.clone()),
        refund(burned().at(DUE_MS)).accepts("a refund of burned wrapped units", paid_back),
        refund(dollars().at(DUE_MS - 1)).refuses("a refund before the deadline", Denied::NotDue),
        refund(dollars().at(DUE_MS).state(lock_key(5), &Used { credited: true, amount: 70 }))
            .refuses("a refund of what was credited", Denied::LockUsed),
        refund(terms(0, DOLLAR).at(DUE_MS)).refuses("a refund without a lock", Denied::NoProof),
        refund(terms(0, DOLLAR).at(DUE_MS).evidence(lock(5, 1, COIN)))
            .refuses("a refund of another asset", Denied::OtherLock),
    ]
}

fn ordinary() -> Vec<Case> {
    let hold = Hold {
        id: HoldId([4; 32]),
        token: TOKEN,
        owner: ALICE,
        beneficiary: BOB,
        amount: 3,
        kind: HoldKind::Escrow,
        expires_ms: None,
    };
    let holding = Action::Hold { beneficiary: BOB, amount: 3, kind: HoldKind::Pledge, expires_ms: None };
    let does = |name: &str, action: Action| terms(0, DOLLAR).leg(ALICE, action).accepts(name, vec![]);
    vec![
        does("a transfer", Action::Transfer { to: BOB, amount: 1, bilateral: false }),
        does("a claim", Action::Claim { credit: CreditId([8; 32]), from: BOB, amount: 1 }),
        does("a hold", holding),
        does("a release of a hold", Action::Release { hold }),
        does("an execution of a hold", Action::Execute { hold }),
        terms(0, DOLLAR).leg(ALICE, Action::Other).refuses("no action", Refused::UnsupportedAction),
    ]
}

fn queries() -> Vec<Case> {
    let five = || vec![Value::U64(5)];
    let answer =
        |word: &str, amount: u128| Fields::new().with("lock", String::from(word)).with("amount", amount);
    let after = |credited| terms(0, DOLLAR).state(lock_key(5), &Used { credited, amount: 70 });
    vec![
        terms(0, DOLLAR).answers("an unknown lock", "credited", five(), answer("unknown", 0)),
        after(true).answers("a credited lock", "credited", five(), answer("credited", 70)),
        after(false).answers("a refunded lock", "credited", five(), answer("refunded", 70)),
        terms(1, COIN).answers("nothing outside", "outside", vec![], Fields::new().with("outside", 0u128)),
        terms(1, COIN).state(OUTSIDE, &9u128).answers(
            "some outside",
            "outside",
            vec![],
            Fields::new().with("outside", 9u128),
        ),
        terms(0, DOLLAR).refuses_query("an unknown query", "supply", vec![], Refused::UnknownQuery),
    ]
}
