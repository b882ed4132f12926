//! What the policy accepts and refuses, as data: checked natively here, as WASM of Rust and as WASM of C by the host.

use crate::{DAY_MS, Denied, LIMITS, Limits, Sent, sent_key};
use alloc::{string::String, vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, START_MS, Scene, TOKEN, account, key, sets};
use dsm_policy::{
    AccountId, Action, CreditId, Effect, Evidence, Field, Fields, Hold, HoldId, HoldKind, KeyId, PolicyId,
    Refused, TokenId, Value,
};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const OTHER: TokenId = TokenId([0x5c; 32]);
const TODAY: u64 = START_MS / DAY_MS;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), terms_of_wrong_types(), issue(), transfers(), days(), holds(), changes(), calls(), queries()]
        .concat()
}

fn terms(transfer_max: u128, daily_max: u128, authorities: &[u8], threshold: u64) -> Scene {
    let authorities: Vec<KeyId> = authorities.iter().map(|n| key(*n)).collect();
    Scene::new(vec![
        Value::U128(transfer_max),
        Value::U128(daily_max),
        Value::Keys(authorities),
        Value::U64(threshold),
    ])
}

fn limited() -> Scene {
    terms(600, 1_000, &[11, 12], 2)
}

fn send(amount: u128) -> Action {
    Action::Transfer { to: BOB, amount, bilateral: false }
}

fn counts(day: u64, sent: u128) -> Vec<Effect> {
    vec![sets(sent_key(ALICE), &Sent { day, sent })]
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ISSUER, Action::Create);
    let many: Vec<u8> = (1..=16).collect();
    let too_many: Vec<u8> = (1..=17).collect();
    vec![
        create(limited()).accepts("two of two", vec![]),
        create(terms(0, 0, &[], 0)).accepts("fixed for good", vec![]),
        create(terms(0, 0, &many, 16)).accepts("all of sixteen", vec![]),
        create(terms(0, 0, &too_many, 1)).refuses("seventeen authorities", Denied::BadTerms),
        create(terms(0, 0, &[], 1)).refuses("a threshold of nobody", Denied::BadTerms),
        create(terms(0, 0, &[1], 0)).refuses("an authority that need not sign", Denied::BadTerms),
        create(terms(0, 0, &[1], 2)).refuses("an unreachable threshold", Denied::BadTerms),
        create(terms(0, 0, &[1, 2, 1], 1)).refuses("one key twice", Denied::BadTerms),
    ]
}

fn terms_of_wrong_types() -> Vec<Case> {
    let create = |params: Vec<Value>| Scene::new(params).leg(ISSUER, Action::Create);
    let good = || vec![Value::U128(1), Value::U128(1), Value::Keys(vec![]), Value::U64(0)];
    let others = vec![
        Value::Bool(true),
        Value::U64(1),
        Value::I128(-1),
        Value::Text("x".into()),
        Value::Bytes(vec![1, 2, 3]),
        Value::Digest(dsm_policy::Digest([1; 32])),
        Value::Account(ALICE),
        Value::Token(OTHER),
        Value::Key(key(1)),
        Value::Accounts(vec![ALICE, BOB]),
        Value::Keys(vec![key(1)]),
        Value::Texts(vec!["a".into(), String::new()]),
    ];
    let mut cases: Vec<Case> = others
        .into_iter()
        .map(|other| {
            let name = ["a first term of type ", other.value_type().word()].concat();
            let params = [vec![other], good()[1..].to_vec()].concat();
            create(params).refuses(&name, Refused::BadParameters)
        })
        .collect();
    let wrong = |at: usize, value: Value| {
        let mut params = good();
        params[at] = value;
        params
    };
    cases.extend([
        create(good()).accepts("terms of the right types", vec![]),
        create(wrong(1, Value::U64(1))).refuses("a u64 for the day's limit", Refused::BadParameters),
        create(wrong(2, Value::Key(key(1)))).refuses("one key for a list", Refused::BadParameters),
        create(wrong(3, Value::U128(0))).refuses("a u128 for the threshold", Refused::BadParameters),
        create(vec![]).refuses("no terms", Refused::BadParameters),
        create(good()[..3].to_vec()).refuses("a term is missing", Refused::BadParameters),
        create([good(), good()].concat()).refuses("more terms than described", Refused::BadParameters),
    ]);
    cases
}

fn issue() -> Vec<Case> {
    let mint = || Action::Mint { to: ALICE, amount: u128::MAX };
    let claim = Action::Claim { credit: CreditId([8; 32]), from: BOB, amount: u128::MAX };
    vec![
        limited().leg(ISSUER, mint()).accepts("the issuer issues", vec![]),
        limited().leg(ALICE, mint()).refuses("a stranger issues", Denied::NotIssuer),
        limited().leg(ALICE, Action::Burn { amount: u128::MAX }).accepts("destroying one's own", vec![]),
        limited().leg(ALICE, claim).accepts("claiming", vec![]),
        limited().leg(ALICE, Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
        limited()
            .leg(ALICE, Action::Upgrade { policy_index: 0, from: PolicyId([1; 32]) })
            .refuses("taking another policy's place", Refused::UnsupportedAction),
    ]
}

fn transfers() -> Vec<Case> {
    let unlimited = || terms(0, 0, &[], 0);
    let per_transfer = || terms(600, 0, &[], 0);
    let per_day = || terms(0, u128::MAX, &[], 0);
    vec![
        limited().leg(ALICE, send(600)).accepts("up to the limit", counts(TODAY, 600)),
        limited().leg(ALICE, send(601)).refuses("one over the limit", Denied::OverTransferLimit),
        limited().leg(ALICE, send(0)).accepts("nothing", counts(TODAY, 0)),
        unlimited().leg(ALICE, send(u128::MAX)).accepts("anything without limits", vec![]),
        per_transfer().leg(ALICE, send(600)).accepts("a limit per transfer keeps no account", vec![]),
        per_transfer()
            .leg(ALICE, send(u128::MAX))
            .refuses("the largest amount there is", Denied::OverTransferLimit),
        per_day().leg(ALICE, send(u128::MAX)).accepts("the largest limit", counts(TODAY, u128::MAX)),
        per_day()
            .leg(ALICE, send(u128::MAX))
            .leg(ALICE, send(1))
            .refuses("a total beyond 128 bits", Refused::Arithmetic),
        per_day()
            .state(sent_key(ALICE), &Sent { day: TODAY, sent: 1 << 127 })
            .leg(ALICE, send(1 << 127))
            .refuses("a day beyond 128 bits", Refused::Arithmetic),
        // The reader has to step over everything that may stand before and after what it needs.
        limited()
            .with(|input| input.token.cap = Some(u128::MAX))
            .signed(ALICE, &[key(1), key(2)])
            .signed(BOB, &[])
            .party(ALICE, 900, 800)
            .with(|input| input.parties[0].holds = vec![held(5, None), held(6, Some(7))])
            .leg(ALICE, send(600))
            .leg(ALICE, Action::Release { hold: held(1, None) })
            .leg_of(OTHER, BOB, Action::Execute { hold: held(900, Some(1)) })
            .leg_of(
                OTHER,
                ALICE,
                Action::Hold { beneficiary: BOB, amount: 9, kind: HoldKind::Lien, expires_ms: Some(3) },
            )
            .invoke(BOB, "anything", vec![Value::Texts(vec!["þ".into()]), Value::I128(-1)])
            .evidence(Evidence::Credential {
                issuer: ISSUER,
                subject: ALICE,
                schema: "kyc/1".into(),
                serial: dsm_policy::Digest([7; 32]),
                expires_ms: 9,
                claims: vec![Field { name: "country".into(), value: Value::Text("IS".into()) }],
            })
            .evidence(Evidence::HashPreimage {
                algorithm: 1,
                digest: dsm_policy::Digest([8; 32]),
                preimage: vec![1, 2, 3],
            })
            .evidence(Evidence::Attestation {
                account: BOB,
                key: key(3),
                role: 1,
                topic: "audit".into(),
                payload: vec![],
            })
            .accepts("in a crowded transition", counts(TODAY, 600)),
    ]
}

fn days() -> Vec<Case> {
    let spent = |day, sent| limited().state(sent_key(ALICE), &Sent { day, sent });
    let three = || limited().leg(BOB, Action::Other).leg(ALICE, send(300)).leg(ALICE, send(200));
    vec![
        spent(TODAY, 500).leg(ALICE, send(500)).accepts("a day's last units", counts(TODAY, 1_000)),
        spent(TODAY, 501).leg(ALICE, send(500)).refuses("one over the day's limit", Denied::OverDailyLimit),
        spent(TODAY - 1, 1_000).leg(ALICE, send(500)).accepts("a new day", counts(TODAY, 500)),
        spent(TODAY + 1, 7).leg(ALICE, send(5)).accepts("a record of another day", counts(TODAY, 5)),
        spent(TODAY, 1_000)
            .at(START_MS + DAY_MS - 1)
            .leg(ALICE, send(1))
            .refuses("the last millisecond of the day", Denied::OverDailyLimit),
        spent(TODAY, 1_000)
            .at(START_MS + DAY_MS)
            .leg(ALICE, send(1))
            .accepts("the first millisecond of the next", counts(TODAY + 1, 1)),
        spent(TODAY, 600)
            .leg(ALICE, send(300))
            .leg(ALICE, send(101))
            .refuses("two transfers over the day's limit together", Denied::OverDailyLimit),
        three()
            .with(|input| input.leg = 2)
            .accepts("the last of two transfers accounts for both", counts(TODAY, 500)),
        three().with(|input| input.leg = 1).accepts("the one before leaves it to the last", vec![]),
        // The direct leg was judged without it and wrote the key, so this write makes the host refuse the transition.
        limited()
            .leg(ALICE, send(300))
            .leg(ALICE, send(200))
            .with(|input| input.leg = 1)
            .accepts("a transfer that a policy requested counts with the direct one", counts(TODAY, 500)),
        limited()
            .leg(ALICE, send(600))
            .leg_of(OTHER, ALICE, send(900))
            .leg(BOB, send(900))
            .leg(BOB, Action::Execute { hold: Hold { owner: BOB, ..held(900, None) } })
            .accepts("other tokens and other senders do not count", counts(TODAY, 600)),
        spent(TODAY, 2_000)
            .leg(ALICE, send(1))
            .refuses("after a lower limit was set", Denied::OverDailyLimit),
    ]
}

fn held(amount: u128, expires_ms: Option<u64>) -> Hold {
    let (owner, beneficiary) = (ALICE, BOB);
    Hold { id: HoldId([9; 32]), token: TOKEN, owner, beneficiary, amount, kind: HoldKind::Escrow, expires_ms }
}

fn holds() -> Vec<Case> {
    let hold = |amount| Action::Hold { beneficiary: BOB, amount, kind: HoldKind::Pledge, expires_ms: None };
    let execute = |amount| Action::Execute { hold: held(amount, Some(u64::MAX)) };
    vec![
        limited().leg(ALICE, hold(600)).accepts("set aside", vec![]),
        limited().leg(ALICE, hold(601)).refuses("more set aside than may move", Denied::OverTransferLimit),
        limited().leg(BOB, Action::Release { hold: held(900, None) }).accepts("release", vec![]),
        limited().leg(BOB, execute(500)).accepts("an executed hold counts for its owner", counts(TODAY, 500)),
        limited().leg(BOB, execute(601)).refuses("a hold evades no limit", Denied::OverTransferLimit),
        limited()
            .leg(BOB, execute(500))
            .leg(ALICE, send(501))
            .refuses("a hold evades no day's limit", Denied::OverDailyLimit),
    ]
}

fn changes() -> Vec<Case> {
    let change = |scene: Scene| scene.invoke(ALICE, "set_limits", vec![Value::U128(5), Value::U128(0)]);
    let set = |transfer_max, daily_max| limited().state(LIMITS, &Limits { transfer_max, daily_max });
    let written = vec![sets(LIMITS, &Limits { transfer_max: 5, daily_max: 0 })];
    vec![
        change(limited().signed(ALICE, &[key(11)]).signed(BOB, &[key(12)]))
            .accepts("by two authorities", written),
        change(limited().signed(ALICE, &[key(11)])).refuses("by one of two", Denied::NotAuthorized),
        change(limited().signed(ALICE, &[key(11)]).signed(BOB, &[key(11)]))
            .refuses("by one key in two accounts", Denied::NotAuthorized),
        change(limited().signed(ALICE, &[key(13), key(14)])).refuses("by strangers", Denied::NotAuthorized),
        change(limited()).refuses("by nobody", Denied::NotAuthorized),
        change(terms(1, 1, &[], 0).signed(ALICE, &[key(11)]))
            .refuses("where the limits are fixed", Denied::NotAuthorized),
        set(5, 0).leg(ALICE, send(5)).accepts("what was set holds, without a day's limit", vec![]),
        set(5, 0).leg(ALICE, send(6)).refuses("what was set, and not the terms", Denied::OverTransferLimit),
        set(0, 0).leg(ALICE, send(u128::MAX)).accepts("limits that were lifted", vec![]),
        set(0, 3).leg(ALICE, send(4)).refuses("a day's limit that was set", Denied::OverDailyLimit),
    ]
}

fn calls() -> Vec<Case> {
    let call = |method: &str, args: Vec<Value>| limited().invoke(ALICE, method, args);
    let both = || vec![Value::U128(1), Value::U128(2)];
    let long: String = core::iter::once('x').chain(core::iter::repeat_n('þ', 200)).collect();
    vec![
        call("set_limit", both()).refuses("an unknown method", Refused::UnknownMethod),
        call("", both()).refuses("a method without a name", Refused::UnknownMethod),
        call(&long, both()).refuses("a reason that is cut at a character", Refused::UnknownMethod),
        call("set_limits", vec![]).refuses("no arguments", Refused::BadArguments),
        call("set_limits", both()[..1].to_vec()).refuses("one argument", Refused::BadArguments),
        call("set_limits", vec![Value::U64(1), Value::U128(2)])
            .refuses("a first argument of another type", Refused::BadArguments),
        call("set_limits", vec![Value::U128(1), Value::Text("2".into())])
            .refuses("a second argument of another type", Refused::BadArguments),
        call("set_limits", [both(), both()].concat()).refuses("too many arguments", Refused::BadArguments),
        limited()
            .leg(ALICE, Action::Invoke { policy_index: 1, method: "pause".into(), args: both() })
            .accepts("a call of another policy", vec![]),
        limited()
            .with(|input| input.policy_index = 2)
            .leg(ALICE, Action::Invoke { policy_index: 2, method: "pause".into(), args: vec![] })
            .refuses("a call of this policy in another place", Refused::UnknownMethod),
    ]
}

fn queries() -> Vec<Case> {
    let alice = || vec![Value::Account(ALICE)];
    let sent =
        |sent: u128, left: u128| Fields::new().with("day", TODAY).with("sent", sent).with("left", left);
    let limits =
        |transfer: u128, daily: u128| Fields::new().with("transfer_max", transfer).with("daily_max", daily);
    let spent = |day, sent| limited().state(sent_key(ALICE), &Sent { day, sent });
    let set = || limited().state(LIMITS, &Limits { transfer_max: 7, daily_max: 0 });
    vec![
        spent(TODAY, 400).answers("some sent", "sent", alice(), sent(400, 600)),
        spent(TODAY - 1, 400).answers("sent yesterday", "sent", alice(), sent(0, 1_000)),
        spent(TODAY, 2_000).answers("more than is allowed by now", "sent", alice(), sent(2_000, 0)),
        terms(1, 0, &[], 0).answers("no limit", "sent", alice(), sent(0, u128::MAX)),
        limited().answers("the limits of the terms", "limits_in_force", vec![], limits(600, 1_000)),
        set().answers("the limits that were set", "limits_in_force", vec![], limits(7, 0)),
        limited().refuses_query("an unknown query", "received", alice(), Refused::UnknownQuery),
        limited().refuses_query("no argument", "sent", vec![], Refused::BadArguments),
        limited().refuses_query("a wrong argument", "sent", vec![Value::U64(1)], Refused::BadArguments),
        limited().refuses_query("an argument too many", "limits_in_force", alice(), Refused::BadArguments),
        Scene::new(vec![]).refuses_query("a query without terms", "sent", alice(), Refused::BadParameters),
    ]
}
