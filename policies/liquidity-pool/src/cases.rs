//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{
    DRAWS_MAX, Decision, Denied, Draw, Passed, RATIONALE_BYTES_MAX, SOURCES_MAX, Source, TAKEN_MAX,
    priority_key, source_key,
};
use alloc::{string::String, vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, START_MS, Scene, TOKEN, account, deletes, key, sets};
use dsm_policy::{
    AccountId, Action, CreditId, Digest, Effect, Fields, Hold, HoldId, HoldKind, KeyId, Party, Refused,
    TokenId, Value, abi,
};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const CAROL: AccountId = account(3);
const DAVE: AccountId = account(4);
const HOLD_MS_MAX: u64 = 3_600_000;
/// When the draws of these cases end, unless a case says otherwise.
const END_MS: u64 = START_MS + 60_000;
const UNTIL_MS: u64 = START_MS + 86_400_000;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [
        creation(),
        enlistments(),
        offers(),
        draws(),
        order(),
        overrides(),
        ends(),
        reclaims(),
        promises(),
        queries(),
    ]
    .concat()
}

fn terms(operators: &[u8], hold_ms_max: u64) -> Scene {
    let operators: Vec<KeyId> = operators.iter().map(|n| key(*n)).collect();
    Scene::new(vec![Value::Keys(operators), Value::U64(hold_ms_max)])
}

fn empty() -> Scene {
    terms(&[11, 12, 13], HOLD_MS_MAX)
}

fn source(line: u128) -> Source {
    let purposes = vec!["settlement".into(), "fx".into()];
    Source { purposes, draw_max: 1_000, until_ms: UNTIL_MS, line, draws: vec![] }
}

fn draw(amount: u128) -> Draw {
    Draw { beneficiary: DAVE, amount, expires_ms: END_MS }
}

fn drawn(source: &Source, amounts: &[u128]) -> Source {
    Source { draws: amounts.iter().map(|amount| draw(*amount)).collect(), ..source.clone() }
}

fn listed(scene: Scene, account: AccountId, priority: u64, source: &Source) -> Scene {
    scene.state(priority_key(account), &priority).state(source_key(priority, account), source)
}

/// Alice stands first with a line of 100, Bob second with 500. Dave draws.
fn pool() -> Scene {
    listed(listed(empty(), ALICE, 1, &source(100)), BOB, 2, &source(500))
}

fn one(scene: Scene) -> Scene {
    scene.signed(CAROL, &[key(11)])
}

fn two(scene: Scene) -> Scene {
    one(scene).signed(DAVE, &[key(12)])
}

fn sources_sign(scene: Scene) -> Scene {
    scene.signed(ALICE, &[key(1)]).signed(BOB, &[key(2)])
}

fn asks(scene: Scene, amount: u128, purpose: &str) -> Scene {
    let args =
        vec![Value::U128(amount), Value::Account(DAVE), Value::Text(purpose.into()), Value::U64(END_MS)];
    scene.invoke(CAROL, "draw", args)
}

fn holds(owner: AccountId, amount: u128) -> Effect {
    let kind = HoldKind::Pledge;
    Effect::CreateHold { owner, beneficiary: DAVE, amount, kind, expires_ms: Some(END_MS) }
}

fn decides(topic: &str, decision: &Decision) -> Effect {
    Effect::Event { topic: topic.into(), payload: abi::encode(decision) }
}

fn decision(taken: &[(AccountId, u128)], passed_over: &[(AccountId, Passed)], rationale: &str) -> Decision {
    Decision {
        beneficiary: DAVE,
        purpose: "fx".into(),
        expires_ms: END_MS,
        taken: taken.to_vec(),
        passed_over: passed_over.to_vec(),
        rationale: rationale.into(),
    }
}

/// The host's hold of a draw on Alice.
fn held(amount: u128, kind: HoldKind) -> Hold {
    let (owner, beneficiary, id) = (ALICE, DAVE, HoldId([9; 32]));
    Hold { id, token: TOKEN, owner, beneficiary, amount, kind, expires_ms: Some(END_MS) }
}

/// Alice's position: units owned, and available ones after these holds.
fn owns(scene: Scene, balance: u128, holds: Vec<Hold>) -> Scene {
    let available = holds.iter().fold(balance, |rest, hold| rest - hold.amount);
    scene.with(|input| {
        input.parties.push(Party { account: ALICE, balance, available, frozen: false, holds });
    })
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(CAROL, Action::Create);
    let many: Vec<u8> = (1..=33).collect();
    let mint = Action::Mint { to: ALICE, amount: 1_000 };
    let claim = Action::Claim { credit: CreditId([8; 32]), from: ISSUER, amount: 1_000 };
    vec![
        create(terms(&[1, 2], 1)).accepts("two operators", vec![]),
        create(terms(&many[..32], 1)).accepts("as many operators as fit", vec![]),
        create(terms(&many, 1)).refuses("more operators than fit", Denied::BadTerms),
        create(terms(&[1], 1)).refuses("one operator cannot be two", Denied::BadTerms),
        create(terms(&[1, 1], 1)).refuses("one key twice", Denied::BadTerms),
        create(terms(&[1, 2], 0)).refuses("holds of no time", Denied::BadTerms),
        create(Scene::new(vec![])).refuses("no parameters", Refused::BadParameters),
        pool().leg(ISSUER, mint.clone()).accepts("units from the issuer", vec![]),
        pool().leg(ALICE, mint).refuses("units from a source", Denied::NotIssuer),
        pool().leg(ALICE, claim).accepts("a claim", vec![]),
        pool().leg(ALICE, Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
        pool().invoke(ALICE, "lend", vec![]).refuses("an unknown method", Refused::UnknownMethod),
    ]
}

fn enlistments() -> Vec<Case> {
    let args = |account, priority, purposes: &[&str], draw_max, until_ms| {
        let purposes = purposes.iter().map(|purpose| String::from(*purpose)).collect();
        vec![
            Value::Account(account),
            Value::U64(priority),
            Value::Texts(purposes),
            Value::U128(draw_max),
            Value::U64(until_ms),
        ]
    };
    let served = ["settlement", "fx"];
    let enlist = |scene: Scene, args| scene.invoke(CAROL, "enlist", args);
    let usual = |account| args(account, 3, &served, 1_000, UNTIL_MS);
    let entered = vec![sets(priority_key(CAROL), &3_u64), sets(source_key(3, CAROL), &source(0))];
    let moved = vec![
        deletes(source_key(1, ALICE)),
        sets(priority_key(ALICE), &3_u64),
        sets(source_key(3, ALICE), &drawn(&source(100), &[40])),
    ];
    let stays = vec![
        sets(priority_key(ALICE), &1_u64),
        sets(source_key(1, ALICE), &Source { draw_max: 7, ..source(100) }),
    ];
    let busy = || listed(empty(), ALICE, 1, &drawn(&source(100), &[40]));
    let sources = |count| {
        (1..=count).fold(empty(), |scene, n| listed(scene, account(100 + n), u64::from(n), &source(1)))
    };
    let (crowd, fifteen) = (sources(SOURCES_MAX as u8), sources(SOURCES_MAX as u8 - 1));
    let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let long = "p".repeat(33);
    let widest = [&long[1..], "b", "c", "d", "e", "f", "g", "h"];
    let wide = Source { purposes: widest.map(String::from).to_vec(), ..source(0) };
    let wrong = |name: &str, purposes: &[&str]| {
        enlist(two(pool()), args(CAROL, 3, purposes, 1, UNTIL_MS)).refuses(name, Denied::BadSource)
    };
    let leave = |scene: Scene, account| scene.invoke(CAROL, "delist", vec![Value::Account(account)]);
    let same_key = pool().signed(CAROL, &[key(11)]).signed(DAVE, &[key(11)]);
    vec![
        enlist(two(pool()), usual(CAROL)).accepts("enlist", entered.clone()),
        enlist(two(busy()), usual(ALICE)).accepts("another place, the same promises", moved),
        enlist(two(busy()).at(END_MS), args(ALICE, 1, &served, 7, UNTIL_MS))
            .accepts("other terms, and what has expired is left out", stays),
        enlist(two(crowd.clone()), args(account(101), 1, &served, 1_000, UNTIL_MS)).accepts(
            "change one of as many as fit",
            vec![sets(priority_key(account(101)), &1_u64), sets(source_key(1, account(101)), &source(1))],
        ),
        enlist(two(crowd), usual(CAROL)).refuses("one more than fit", Denied::TooManySources),
        enlist(enlist(two(fifteen.clone()), usual(CAROL)), args(DAVE, 3, &served, 1, UNTIL_MS))
            .refuses("two at once where one fits", Denied::TooManySources),
        enlist(two(fifteen), usual(CAROL)).accepts("the last that fits", entered),
        enlist(two(pool()), args(CAROL, 3, &served, 1_000, START_MS)).accepts(
            "an end that is now",
            vec![
                sets(priority_key(CAROL), &3_u64),
                sets(source_key(3, CAROL), &Source { until_ms: START_MS, ..source(0) }),
            ],
        ),
        enlist(two(pool()), args(CAROL, 3, &widest, 1_000, UNTIL_MS)).accepts(
            "as many purposes as fit, one as long as fits",
            vec![sets(priority_key(CAROL), &3_u64), sets(source_key(3, CAROL), &wide)],
        ),
        enlist(two(pool()), args(CAROL, 3, &served, 1_000, START_MS - 1))
            .refuses("an end that is past", Denied::BadSource),
        enlist(two(pool()), args(CAROL, 3, &served, 0, UNTIL_MS))
            .refuses("draws of nothing", Denied::BadSource),
        wrong("no purpose", &[]),
        wrong("nine purposes", &nine),
        wrong("one purpose twice", &["fx", "fx"]),
        wrong("a purpose without a name", &[""]),
        wrong("a purpose of 33 bytes", &[&long]),
        enlist(one(pool()), usual(CAROL)).refuses("one operator", Denied::NeedsTwoOperators),
        enlist(same_key, usual(CAROL)).refuses("one operator from two accounts", Denied::NeedsTwoOperators),
        enlist(pool(), usual(CAROL)).refuses("enlist oneself", Denied::NeedsTwoOperators),
        leave(two(pool()), ALICE)
            .accepts("delist", vec![deletes(priority_key(ALICE)), deletes(source_key(1, ALICE))]),
        leave(two(busy()).at(END_MS), ALICE).accepts(
            "delist once the holds have expired",
            vec![deletes(priority_key(ALICE)), deletes(source_key(1, ALICE))],
        ),
        leave(two(busy()), ALICE).refuses("delist while units are held", Denied::HoldsLeft),
        leave(two(pool()), CAROL).refuses("delist a stranger", Denied::NotSource),
        leave(one(pool()), ALICE).refuses("delist with one operator", Denied::NeedsTwoOperators),
    ]
}

fn offers() -> Vec<Case> {
    let offer = |scene: Scene, line| scene.invoke(ALICE, "offer", vec![Value::U128(line)]);
    let owning = |balance| owns(pool(), balance, vec![]);
    let busy = |balance| {
        let scene = listed(empty(), ALICE, 1, &drawn(&source(100), &[40]));
        owns(scene, balance, vec![held(40, HoldKind::Pledge)])
    };
    let line = |line| vec![sets(source_key(1, ALICE), &source(line))];
    let pay = Action::Transfer { to: BOB, amount: 1, bilateral: true };
    let expired = owns(listed(empty(), ALICE, 1, &drawn(&source(100), &[40])), 100, vec![]).at(END_MS);
    vec![
        offer(owning(700), 700).accepts("all that it owns", line(700)),
        offer(owning(700), 0).accepts("nothing any more", line(0)),
        offer(owning(700), 701).refuses("more than it owns", Denied::LineNotCovered),
        offer(owning(700), u128::MAX).refuses("more than there is (C6)", Denied::LineNotCovered),
        offer(busy(100), 100)
            .accepts("what is held counts", vec![sets(source_key(1, ALICE), &drawn(&source(100), &[40]))]),
        offer(busy(100), 40)
            .accepts("down to what is held", vec![sets(source_key(1, ALICE), &drawn(&source(40), &[40]))]),
        offer(busy(100), 39).refuses("less than is held", Denied::HoldsLeft),
        offer(busy(100), 101).refuses("what is held is promised once", Denied::LineNotCovered),
        offer(expired, 100).accepts("what has expired is free again", line(100)),
        offer(owns(pool(), 700, vec![held(10, HoldKind::Pledge)]), 100)
            .refuses("a pledge from before", Denied::PledgeOutsidePool),
        offer(owns(pool(), 700, vec![held(10, HoldKind::Escrow)]), 690)
            .accepts("what is in escrow is not available", line(690)),
        offer(owns(pool(), 700, vec![held(10, HoldKind::Escrow)]), 691)
            .refuses("what is in escrow cannot be promised", Denied::LineNotCovered),
        offer(owning(700), 700)
            .leg(ALICE, pay.clone())
            .refuses("promise units and pay with them", Denied::OneAtATime),
        offer(owning(700), 700)
            .leg_of(TokenId([0x71; 32]), ALICE, pay.clone())
            .accepts("pay with other units", line(700)),
        owning(700)
            .leg(ALICE, pay)
            .invoke(ALICE, "offer", vec![Value::U128(0)])
            .refuses("the same from the payment's side", Denied::OneAtATime),
        pool().invoke(CAROL, "offer", vec![Value::U128(1)]).refuses("offer as a stranger", Denied::NotSource),
    ]
}

fn draws() -> Vec<Case> {
    let ready = || sources_sign(one(pool()));
    let first = |amount, line: &Source| {
        vec![
            sets(source_key(1, ALICE), &drawn(line, &[amount])),
            holds(ALICE, amount),
            decides("draw", &decision(&[(ALICE, amount)], &[], "")),
        ]
    };
    let until = |expires_ms| {
        let args =
            vec![Value::U128(1), Value::Account(DAVE), Value::Text("fx".into()), Value::U64(expires_ms)];
        ready().invoke(CAROL, "draw", args)
    };
    let latest = START_MS + HOLD_MS_MAX;
    let longest = Draw { beneficiary: DAVE, amount: 1, expires_ms: latest };
    vec![
        asks(ready(), 60, "fx").accepts("the first source suffices", first(60, &source(100))),
        asks(ready(), 100, "fx").accepts("its whole line", first(100, &source(100))),
        asks(ready(), 600, "fx").accepts(
            "all that there is, from both in order",
            vec![
                sets(source_key(1, ALICE), &drawn(&source(100), &[100])),
                holds(ALICE, 100),
                sets(source_key(2, BOB), &drawn(&source(500), &[500])),
                holds(BOB, 500),
                decides("draw", &decision(&[(ALICE, 100), (BOB, 500)], &[], "")),
            ],
        ),
        asks(ready().at(END_MS - 1), 60, "fx").accepts("a moment before its end", first(60, &source(100))),
        asks(ready(), 601, "fx").refuses("one unit more than there is", Denied::NotEnough),
        asks(ready(), u128::MAX, "fx").refuses("all that could ever be (C6)", Denied::NotEnough),
        asks(ready(), 1, "gold").refuses("a purpose that nobody serves", Denied::NotEnough),
        asks(sources_sign(one(empty())), 1, "fx").refuses("a pool without sources", Denied::NotEnough),
        asks(ready(), 0, "fx").refuses("draw nothing", Denied::ZeroAmount),
        asks(sources_sign(pool()), 1, "fx").refuses("draw without an operator", Denied::NotOperator),
        asks(one(pool()), 1, "fx").refuses("a source that has not signed", Denied::SourceNotSigned),
        asks(one(pool()).signed(ALICE, &[key(1)]), 101, "fx")
            .refuses("the second source has not signed", Denied::SourceNotSigned),
        asks(one(pool()).signed(ALICE, &[key(1)]), 100, "fx")
            .accepts("a source that gives nothing need not sign", first(100, &source(100))),
        until(latest).accepts(
            "the longest hold",
            vec![
                sets(source_key(1, ALICE), &Source { draws: vec![longest], ..source(100) }),
                Effect::CreateHold {
                    owner: ALICE,
                    beneficiary: DAVE,
                    amount: 1,
                    kind: HoldKind::Pledge,
                    expires_ms: Some(latest),
                },
                decides("draw", &Decision { expires_ms: latest, ..decision(&[(ALICE, 1)], &[], "") }),
            ],
        ),
        until(latest + 1).refuses("a longer hold", Denied::BadExpiry),
        until(START_MS).refuses("a hold that has ended (O6)", Denied::BadExpiry),
        until(u64::MAX).refuses("a hold for ever", Denied::BadExpiry),
        one(pool()).invoke(CAROL, "draw", vec![]).refuses("draw what", Refused::BadArguments),
    ]
}

/// Who pays when several could.
fn order() -> Vec<Case> {
    let ready =
        |first: Source| sources_sign(one(listed(listed(empty(), ALICE, 1, &first), BOB, 2, &source(500))));
    let second = |name: &str, first: Source, why| {
        asks(ready(first), 50, "fx").accepts(
            name,
            vec![
                sets(source_key(2, BOB), &drawn(&source(500), &[50])),
                holds(BOB, 50),
                decides("draw", &decision(&[(BOB, 50)], &[(ALICE, why)], "")),
            ],
        )
    };
    let both = |name: &str, first: Source, scene: Scene, from_first: u128| {
        asks(scene, 50, "fx").accepts(
            name,
            vec![
                sets(source_key(1, ALICE), &first),
                holds(ALICE, from_first),
                sets(source_key(2, BOB), &drawn(&source(500), &[50 - from_first])),
                holds(BOB, 50 - from_first),
                decides("draw", &decision(&[(ALICE, from_first), (BOB, 50 - from_first)], &[], "")),
            ],
        )
    };
    let full = vec![1_u128; DRAWS_MAX];
    let small = Source { draw_max: 20, ..source(100) };
    let own = {
        let scene = listed(listed(empty(), DAVE, 1, &source(100)), BOB, 2, &source(500));
        asks(sources_sign(one(scene)), 50, "fx")
    };
    let later = Draw { expires_ms: END_MS + 1, ..draw(50) };
    let freed = {
        let args =
            vec![Value::U128(100), Value::Account(DAVE), Value::Text("fx".into()), Value::U64(END_MS + 1)];
        let scene = sources_sign(one(listed(empty(), ALICE, 1, &drawn(&source(100), &[100]))));
        scene.at(END_MS).invoke(CAROL, "draw", args)
    };
    let whole = Draw { amount: 100, ..later };
    let equal = listed(listed(empty(), BOB, 1, &source(500)), ALICE, 1, &source(100));
    // As many sources as fit with the largest records: the verdict must still fit.
    let names: Vec<String> = (0..8).map(|n| alloc::format!("{n}{}", "p".repeat(31))).collect();
    let busy = vec![u128::from(u64::MAX); DRAWS_MAX - 1];
    let large = |line| Source { purposes: names.clone(), draw_max: u128::MAX, ..drawn(&source(line), &busy) };
    let line = u128::from(u64::MAX) * (DRAWS_MAX as u128 - 1) + 1;
    let crowd = (1..=SOURCES_MAX as u8).fold(one(empty()), |scene, n| {
        let own = account(100 + n);
        listed(scene, own, u64::from(n), &large(line)).signed(own, &[key(100 + n)])
    });
    let share = |n: u8| {
        let mut source = large(line);
        source.draws.push(draw(1));
        [sets(source_key(u64::from(n), account(100 + n)), &source), holds(account(100 + n), 1)]
    };
    let mut all: Vec<Effect> = (1..=TAKEN_MAX as u8).flat_map(share).collect();
    let taken: Vec<_> = (1..=TAKEN_MAX as u8).map(|n| (account(100 + n), 1)).collect();
    all.push(decides("draw", &Decision { purpose: names[0].clone(), ..decision(&taken, &[], "") }));
    vec![
        second(
            "passed over: another purpose",
            Source { purposes: vec!["gold".into()], ..source(100) },
            Passed::Purpose,
        ),
        second(
            "passed over: its term has ended",
            Source { until_ms: START_MS - 1, ..source(100) },
            Passed::Ended,
        ),
        second("passed over: its line is drawn", drawn(&source(100), &[60, 40]), Passed::LineDrawn),
        second("passed over: nothing promised", source(0), Passed::LineDrawn),
        second("passed over: too many holds", drawn(&source(100), &full), Passed::Holds),
        own.accepts(
            "passed over: units for their own owner",
            vec![
                sets(source_key(2, BOB), &drawn(&source(500), &[50])),
                holds(BOB, 50),
                decides("draw", &decision(&[(BOB, 50)], &[(DAVE, Passed::Beneficiary)], "")),
            ],
        ),
        both(
            "what is left of a line, then the next",
            drawn(&source(100), &[60, 40]),
            ready(drawn(&source(100), &[60])),
            40,
        ),
        both("a limit for one draw, then the next", drawn(&small, &[20]), ready(small.clone()), 20),
        freed.accepts(
            "an expired hold is free again, the moment it ends",
            vec![
                sets(source_key(1, ALICE), &Source { draws: vec![whole], ..source(100) }),
                Effect::CreateHold {
                    owner: ALICE,
                    beneficiary: DAVE,
                    amount: 100,
                    kind: HoldKind::Pledge,
                    expires_ms: Some(END_MS + 1),
                },
                decides("draw", &Decision { expires_ms: END_MS + 1, ..decision(&[(ALICE, 100)], &[], "") }),
            ],
        ),
        asks(
            sources_sign(one(listed(empty(), ALICE, 1, &drawn(&source(100), &[100])))).at(END_MS - 1),
            1,
            "fx",
        )
        .refuses("and not a moment before", Denied::NotEnough),
        asks(ready(Source { until_ms: START_MS, ..source(100) }), 50, "fx").accepts(
            "the last moment of a source's term",
            vec![
                sets(source_key(1, ALICE), &Source { until_ms: START_MS, ..drawn(&source(100), &[50]) }),
                holds(ALICE, 50),
                decides("draw", &decision(&[(ALICE, 50)], &[], "")),
            ],
        ),
        asks(sources_sign(one(equal)), 50, "fx").accepts(
            "equal priorities by account",
            vec![
                sets(source_key(1, ALICE), &drawn(&source(100), &[50])),
                holds(ALICE, 50),
                decides("draw", &decision(&[(ALICE, 50)], &[], "")),
            ],
        ),
        asks(crowd.clone(), TAKEN_MAX as u128, &names[0])
            .accepts("from as many sources as one draw takes", all),
        asks(crowd, TAKEN_MAX as u128 + 1, &names[0]).refuses("from more sources", Denied::NotEnough),
    ]
}

fn overrides() -> Vec<Case> {
    let args = |own, amount, beneficiary, purpose: &str, expires_ms, rationale: &str| {
        vec![
            Value::Account(own),
            Value::U128(amount),
            Value::Account(beneficiary),
            Value::Text(purpose.into()),
            Value::U64(expires_ms),
            Value::Text(rationale.into()),
        ]
    };
    let choose = |scene: Scene, args| scene.invoke(CAROL, "draw_from", args);
    let ready = || sources_sign(two(pool()));
    let usual = |amount| args(BOB, amount, DAVE, "fx", END_MS, "Alice is down");
    let with = |bob: &Source| sources_sign(two(listed(empty(), BOB, 2, bob)));
    let from_bob = |bob: &Source, amount, decision: &Decision| {
        vec![
            sets(source_key(2, BOB), &drawn(bob, &[amount])),
            holds(BOB, amount),
            decides("override", decision),
        ]
    };
    let told = |amount, rationale: &str| decision(&[(BOB, amount)], &[], rationale);
    let small = Source { purposes: vec!["gold".into()], draw_max: 1, ..source(500) };
    let full = drawn(&source(500), &[1; DRAWS_MAX]);
    let longest = "r".repeat(RATIONALE_BYTES_MAX);
    let same_key = sources_sign(pool()).signed(CAROL, &[key(11)]).signed(DAVE, &[key(11)]);
    vec![
        choose(ready(), usual(50))
            .accepts("out of order", from_bob(&source(500), 50, &told(50, "Alice is down"))),
        choose(with(&small), usual(500))
            .accepts("other purposes, above one draw", from_bob(&small, 500, &told(500, "Alice is down"))),
        choose(ready(), args(BOB, 50, DAVE, "fx", END_MS, &longest))
            .accepts("a long reason", from_bob(&source(500), 50, &told(50, &longest))),
        choose(with(&Source { until_ms: START_MS, ..source(500) }), usual(50)).accepts(
            "the last moment of a source's term",
            from_bob(&Source { until_ms: START_MS, ..source(500) }, 50, &told(50, "Alice is down")),
        ),
        choose(ready(), args(BOB, 50, DAVE, &longest[..32], END_MS, "why")).accepts(
            "any purpose of 32 bytes",
            from_bob(&source(500), 50, &Decision { purpose: longest[..32].into(), ..told(50, "why") }),
        ),
        choose(ready(), usual(501)).refuses("never above the line", Denied::OverLine),
        choose(ready(), usual(0)).refuses("override for nothing", Denied::ZeroAmount),
        choose(ready(), args(BOB, 50, DAVE, "fx", END_MS, "")).refuses("no reason", Denied::NoRationale),
        choose(ready(), args(BOB, 50, DAVE, "fx", END_MS, &"r".repeat(RATIONALE_BYTES_MAX + 1)))
            .refuses("a novel", Denied::NoRationale),
        choose(ready(), args(BOB, 50, DAVE, &"p".repeat(33), END_MS, "why"))
            .refuses("a purpose that is a novel", Denied::BadSource),
        choose(ready(), args(CAROL, 50, DAVE, "fx", END_MS, "why"))
            .refuses("a stranger's units", Denied::NotSource),
        choose(ready(), args(BOB, 50, BOB, "fx", END_MS, "why"))
            .refuses("units for their own owner", Denied::OwnBeneficiary),
        choose(ready(), args(BOB, 50, DAVE, "fx", START_MS, "why"))
            .refuses("a hold that has ended", Denied::BadExpiry),
        choose(with(&Source { until_ms: START_MS - 1, ..source(500) }), usual(50))
            .refuses("a source whose term has ended", Denied::SourceEnded),
        choose(with(&full), usual(50)).refuses("one hold too many", Denied::TooManyHolds),
        choose(two(pool()), usual(50)).refuses("never without the source", Denied::SourceNotSigned),
        choose(sources_sign(one(pool())), usual(50)).refuses("one operator", Denied::NeedsTwoOperators),
        choose(same_key, usual(50)).refuses("one key is one operator", Denied::NeedsTwoOperators),
    ]
}

fn ends() -> Vec<Case> {
    let release = |scene: Scene, hold| scene.leg(DAVE, Action::Release { hold });
    let execute = |scene: Scene, hold| scene.leg(DAVE, Action::Execute { hold });
    let with = |amounts: &[u128]| listed(empty(), ALICE, 1, &drawn(&source(100), amounts));
    let becomes = |source: &Source| vec![sets(source_key(1, ALICE), source)];
    let pledge = |amount| held(amount, HoldKind::Pledge);
    vec![
        release(with(&[40]), pledge(40)).accepts("released: the line is whole again", becomes(&source(100))),
        release(with(&[40, 60]), pledge(40))
            .accepts("one of two released", becomes(&drawn(&source(100), &[60]))),
        release(with(&[40, 40]), pledge(40))
            .accepts("one of two equal ones released", becomes(&drawn(&source(100), &[40]))),
        release(with(&[40]).at(END_MS), pledge(40)).accepts("released after its end: nothing to do", vec![]),
        execute(with(&[40]), pledge(40)).accepts("executed: the line is shorter", becomes(&source(60))),
        execute(with(&[40, 60]), pledge(60))
            .accepts("one of two executed", becomes(&drawn(&source(40), &[40]))),
        execute(with(&[]), pledge(10)).accepts("a pledge from before the pool", vec![]),
        release(with(&[40]), held(40, HoldKind::Escrow)).accepts("an escrow like a draw is none", vec![]),
        execute(with(&[40]), held(40, HoldKind::Escrow)).accepts("nor is it when executed", vec![]),
        release(with(&[40]), Hold { beneficiary: BOB, ..pledge(40) })
            .accepts("another's pledge is another draw", vec![]),
        release(with(&[40]), Hold { expires_ms: None, ..pledge(40) })
            .accepts("a pledge without an end is no draw", vec![]),
        execute(empty(), pledge(40)).accepts("a pledge of an account that is no source", vec![]),
    ]
}

fn reclaims() -> Vec<Case> {
    let busy = || listed(empty(), ALICE, 1, &drawn(&source(100), &[40, 60]));
    let position = |scene: Scene| owns(scene, 100, vec![held(40, HoldKind::Pledge)]);
    let args = |id: u8, rationale: &str| vec![Value::Digest(Digest([id; 32])), Value::Text(rationale.into())];
    let reclaim = |scene: Scene, args| scene.invoke(ALICE, "reclaim", args);
    let told = Decision { purpose: String::new(), ..decision(&[(ALICE, 40)], &[], "Dave is gone") };
    let escrow = owns(two(busy()), 100, vec![held(40, HoldKind::Escrow)]);
    vec![
        reclaim(two(position(busy())), args(9, "Dave is gone")).accepts(
            "back before its end",
            vec![
                sets(source_key(1, ALICE), &drawn(&source(100), &[60])),
                Effect::ReleaseHold { hold: HoldId([9; 32]) },
                decides("reclaim", &told),
            ],
        ),
        reclaim(two(position(busy())), args(8, "why")).refuses("a hold of another id", Denied::UnknownHold),
        reclaim(escrow, args(9, "why")).refuses("a hold of another kind", Denied::UnknownHold),
        reclaim(two(position(listed(empty(), ALICE, 1, &source(100)))), args(9, "why"))
            .refuses("a pledge that is no draw", Denied::UnknownHold),
        reclaim(two(position(busy())), args(9, "")).refuses("no reason", Denied::NoRationale),
        reclaim(two(position(empty())), args(9, "why")).refuses("a stranger's hold", Denied::NotSource),
        reclaim(one(position(busy())), args(9, "why")).refuses("one operator", Denied::NeedsTwoOperators),
        reclaim(position(busy()), args(9, "why")).refuses("the source alone", Denied::NeedsTwoOperators),
    ]
}

fn promises() -> Vec<Case> {
    let with = |scene: Scene| owns(scene, 150, vec![]);
    let pay = |amount| Action::Transfer { to: BOB, amount, bilateral: false };
    let burn = |amount| Action::Burn { amount };
    let hold = |amount, kind| Action::Hold { beneficiary: BOB, amount, kind, expires_ms: None };
    let busy = || {
        let scene = listed(empty(), ALICE, 1, &drawn(&source(100), &[40]));
        owns(scene, 150, vec![held(40, HoldKind::Pledge)])
    };
    vec![
        with(pool()).leg(ALICE, pay(50)).accepts("pay with what is not promised", vec![]),
        with(pool()).leg(ALICE, pay(51)).refuses("pay with what is promised", Denied::PromisedUnits),
        with(pool()).leg(ALICE, pay(u128::MAX)).refuses("pay more than there is (C6)", Denied::PromisedUnits),
        with(pool())
            .leg(ALICE, pay(30))
            .leg(ALICE, burn(21))
            .refuses("two legs together", Denied::PromisedUnits),
        with(pool()).leg(ALICE, pay(30)).leg(ALICE, pay(20)).accepts("two legs within it", vec![]),
        with(pool())
            .leg(ALICE, pay(1))
            .leg(ALICE, pay(u128::MAX))
            .refuses("a sum beyond all amounts (C6)", Refused::Arithmetic),
        with(pool()).leg(ALICE, pay(50)).leg(BOB, pay(9)).accepts("another's leg beside it", vec![]),
        with(pool()).leg(ALICE, burn(50)).accepts("burn what is not promised", vec![]),
        with(pool()).leg(ALICE, burn(51)).refuses("burn what is promised", Denied::PromisedUnits),
        with(pool()).leg(ALICE, hold(50, HoldKind::Escrow)).accepts("hold what is not promised", vec![]),
        with(pool())
            .leg(ALICE, hold(51, HoldKind::Lock))
            .refuses("hold what is promised", Denied::PromisedUnits),
        with(pool())
            .leg(ALICE, hold(1, HoldKind::Pledge))
            .refuses("a pledge that is no draw", Denied::PledgeOutsidePool),
        busy().leg(ALICE, pay(50)).accepts("what is held is kept by the host", vec![]),
        busy().leg(ALICE, pay(51)).refuses("what the rest of the line needs", Denied::PromisedUnits),
        owns(empty(), 150, vec![]).leg(ALICE, pay(150)).accepts("an account that is no source", vec![]),
        owns(empty(), 150, vec![])
            .leg(ALICE, hold(150, HoldKind::Pledge))
            .accepts("its pledges are its own", vec![]),
    ]
}

fn queries() -> Vec<Case> {
    let of = |account| vec![Value::Account(account)];
    let purpose = |purpose: &str| vec![Value::Text(purpose.into())];
    let shown = |held: u128, free: u128| {
        Fields::new()
            .with("priority", 1_u64)
            .with("line", 100_u128)
            .with("held", held)
            .with("free", free)
            .with("draw_max", 1_000_u128)
            .with("until_ms", UNTIL_MS)
            .with("purposes", source(0).purposes)
    };
    let all = |accounts: &[AccountId], free: u128| {
        Fields::new().with("accounts", accounts.to_vec()).with("free", free)
    };
    let busy = || listed(listed(empty(), ALICE, 1, &drawn(&source(100), &[40])), BOB, 2, &source(5_000));
    vec![
        busy().answers("a source", "source", of(ALICE), shown(40, 60)),
        busy().at(END_MS).answers("a source whose hold has ended", "source", of(ALICE), shown(0, 100)),
        busy().refuses_query("a stranger", "source", of(CAROL), Denied::NotSource),
        busy().answers("one draw's limit counts", "sources", purpose("fx"), all(&[ALICE, BOB], 1_060)),
        busy().answers("nobody serves it", "sources", purpose("gold"), all(&[ALICE, BOB], 0)),
        busy().at(UNTIL_MS + 1).answers("all have ended", "sources", purpose("fx"), all(&[ALICE, BOB], 0)),
        empty().answers("no source", "sources", purpose("fx"), all(&[], 0)),
        busy().refuses_query("an unknown query", "lines", vec![], Refused::UnknownQuery),
    ]
}
