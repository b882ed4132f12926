//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{Denied, PAUSED};
use alloc::{string::String, vec, vec::Vec};
use dsm_policy::bench::{Case, START_MS, Scene, TOKEN, account, deletes, key, sets};
use dsm_policy::{
    AccountId, Action, CreditId, Effect, Fields, Hold, HoldId, HoldKind, KeyId, PolicyId, Refused, TokenId,
    Value,
};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const OTHER: TokenId = TokenId([0x0e; 32]);

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), succession(), authority(), movements(), methods()].concat()
}

fn terms(authorities: &[u8], threshold: u64) -> Scene {
    let authorities: Vec<KeyId> = authorities.iter().map(|n| key(*n)).collect();
    Scene::new(vec![Value::Keys(authorities), Value::U64(threshold), Value::U128(2_000_000)])
}

/// Two of three authorities, one of which belongs to Bob.
fn token() -> Scene {
    terms(&[11, 12, 13], 2).party(ALICE, 500, 500).party(BOB, 0, 0)
}

fn signed() -> Scene {
    token().signed(ALICE, &[key(1), key(11)]).signed(BOB, &[key(12)])
}

fn creation() -> Vec<Case> {
    let many: Vec<u8> = (1..=33).collect();
    let wrong_type = Scene::new(vec![Value::U64(1), Value::U64(1), Value::U128(0)]);
    let short = Scene::new(vec![Value::Keys(vec![key(1)])]);
    let long = Scene::new(vec![Value::Keys(vec![key(1)]), Value::U64(1), Value::U128(0), Value::Bool(true)]);
    vec![
        terms(&[1], 1).leg(ALICE, Action::Create).accepts("one authority", vec![]),
        terms(&many[..32], 32).leg(ALICE, Action::Create).accepts("32 of 32 authorities", vec![]),
        terms(&many, 1).leg(ALICE, Action::Create).refuses("33 authorities", Denied::BadTerms),
        terms(&[], 0).leg(ALICE, Action::Create).refuses("no authority", Denied::BadTerms),
        terms(&[1, 2], 0).leg(ALICE, Action::Create).refuses("nobody need sign", Denied::BadTerms),
        terms(&[1, 2], 3).leg(ALICE, Action::Create).refuses("an unreachable threshold", Denied::BadTerms),
        terms(&[1, 2, 1], 2).leg(ALICE, Action::Create).refuses("one key twice", Denied::BadTerms),
        wrong_type.leg(ALICE, Action::Create).refuses("a count for keys", Refused::BadParameters),
        short.leg(ALICE, Action::Create).refuses("too few parameters", Refused::BadParameters),
        long.leg(ALICE, Action::Create).refuses("too many parameters", Refused::BadParameters),
    ]
}

/// It takes the place of another policy.
fn succession() -> Vec<Case> {
    let succeed =
        |scene: Scene| scene.leg(BOB, Action::Upgrade { policy_index: 0, from: PolicyId([0xf0; 32]) });
    vec![
        succeed(token()).accepts("succeed a policy without state", vec![]),
        succeed(token().state(b"l\0", &[1_u64; 9]).state(b"pa", &7_u8))
            .accepts("what other policies keep is not looked at", vec![]),
        succeed(token().state(PAUSED, &START_MS)).accepts("a pause goes on", vec![]),
        succeed(token().state(PAUSED, &1_u32)).refuses("a pause that is too short", Denied::BadState),
        succeed(token().state(PAUSED, &1_u128)).refuses("a pause that is too long", Denied::BadState),
        succeed(terms(&[1], 1)).accepts("other authorities", vec![]),
        succeed(terms(&[1, 2], 3)).refuses("succeed with an unreachable threshold", Denied::BadTerms),
        succeed(terms(&[1, 1], 2)).refuses("succeed with one key twice", Denied::BadTerms),
        succeed(Scene::new(vec![])).refuses("succeed without parameters", Refused::BadParameters),
    ]
}

fn authority() -> Vec<Case> {
    let mint = |amount| Action::Mint { to: BOB, amount };
    let one_key_twice = token().signed(ALICE, &[key(11)]).signed(BOB, &[key(11)]);
    vec![
        signed().leg(ALICE, mint(1_000_000)).accepts("mint up to the cap", vec![]),
        signed().leg(ALICE, mint(1_000_001)).refuses("mint over the cap", Denied::OverCap),
        signed()
            .leg(ALICE, mint(600_000))
            .leg(BOB, mint(400_001))
            .refuses("mint over the cap in two halves (C6)", Denied::OverCap),
        signed()
            .leg(ALICE, mint(1_000_000))
            .leg_of(OTHER, BOB, mint(1))
            .accepts("a mint of another token does not count", vec![]),
        signed().leg(ALICE, mint(u128::MAX)).refuses("mint beyond 128 bits (C6)", Refused::Arithmetic),
        token().leg(ALICE, mint(1)).refuses("mint without signatures", Denied::NotAuthorized),
        token()
            .signed(ALICE, &[key(11), key(1)])
            .leg(ALICE, mint(1))
            .refuses("one authority and a stranger's key", Denied::NotAuthorized),
        one_key_twice
            .leg(ALICE, mint(1))
            .refuses("one key by two accounts counts once", Denied::NotAuthorized),
        signed().state(PAUSED, &START_MS).leg(ALICE, mint(1)).refuses("mint while paused", Denied::Paused),
    ]
}

fn movements() -> Vec<Case> {
    let hold = Hold {
        id: HoldId([9; 32]),
        token: TOKEN,
        owner: ALICE,
        beneficiary: BOB,
        amount: 10,
        kind: HoldKind::Pledge,
        expires_ms: None,
    };
    let moves = [
        ("transfer", Action::Transfer { to: BOB, amount: 10, bilateral: false }),
        ("bilateral transfer", Action::Transfer { to: BOB, amount: 10, bilateral: true }),
        ("claim", Action::Claim { credit: CreditId([8; 32]), from: BOB, amount: 10 }),
        ("burn", Action::Burn { amount: 10 }),
        ("hold", Action::Hold { beneficiary: BOB, amount: 10, kind: HoldKind::Lock, expires_ms: None }),
        ("execution of a hold", Action::Execute { hold }),
    ];
    let paused = || token().state(PAUSED, &START_MS);
    let mut cases = vec![
        token().leg(BOB, Action::Release { hold }).accepts("release", vec![]),
        paused().leg(BOB, Action::Release { hold }).accepts("release while paused", vec![]),
        token().leg(ALICE, Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
    ];
    for (name, action) in moves {
        cases.push(token().leg(ALICE, action.clone()).accepts(name, vec![]));
        cases.push(paused().leg(ALICE, action).refuses(&while_paused(name), Denied::Paused));
    }
    cases
}

fn while_paused(name: &str) -> String {
    dsm_policy::text![name, " while paused"]
}

fn methods() -> Vec<Case> {
    let paused = || signed().state(PAUSED, &START_MS);
    let bob = || vec![Value::Account(BOB)];
    let bystander = Action::Invoke { policy_index: 1, method: "anything".into(), args: vec![] };
    vec![
        signed().invoke(ALICE, "pause", vec![]).accepts("pause", vec![sets(PAUSED, &START_MS)]),
        paused().invoke(ALICE, "pause", vec![]).refuses("pause twice", Denied::Paused),
        token().invoke(ALICE, "pause", vec![]).refuses("pause by a stranger", Denied::NotAuthorized),
        paused().invoke(ALICE, "unpause", vec![]).accepts("unpause", vec![deletes(PAUSED)]),
        signed().invoke(ALICE, "unpause", vec![]).refuses("unpause what runs", Denied::NotPaused),
        signed().invoke(ALICE, "freeze", bob()).accepts("freeze", vec![Effect::Freeze { account: BOB }]),
        token().invoke(ALICE, "freeze", bob()).refuses("freeze by a stranger", Denied::NotAuthorized),
        signed()
            .invoke(ALICE, "unfreeze", bob())
            .accepts("unfreeze", vec![Effect::Unfreeze { account: BOB }]),
        signed().invoke(ALICE, "freeze", vec![]).refuses("freeze nobody", Refused::BadArguments),
        signed()
            .invoke(ALICE, "freeze", vec![Value::U64(2)])
            .refuses("freeze a number", Refused::BadArguments),
        signed()
            .invoke(ALICE, "freeze", [bob(), bob()].concat())
            .refuses("freeze with one argument too many", Refused::BadArguments),
        signed().invoke(ALICE, "paus", vec![]).refuses("an unknown method", Refused::UnknownMethod),
        token().leg(ALICE, bystander).accepts("a call of another policy of the token", vec![]),
        token().answers(
            "not paused",
            "paused",
            vec![],
            Fields::new().with("paused", false).with("since_ms", 0_u64),
        ),
        paused().answers(
            "paused",
            "paused",
            vec![],
            Fields::new().with("paused", true).with("since_ms", START_MS),
        ),
        token().refuses_query("an unknown query", "balance", vec![], Refused::UnknownQuery),
    ]
}
