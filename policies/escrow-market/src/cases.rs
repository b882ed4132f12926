//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{Deal, Denied, Stage, deal_key};
use alloc::{string::String, vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, START_MS, Scene, TOKEN, account, key, sets};
use dsm_policy::{
    AccountId, Action, CreditId, Digest, Effect, Fields, Hold, HoldId, HoldKind, KeyId, Refused, Value, text,
};

const BUYER: AccountId = account(1);
const SELLER: AccountId = account(2);
const CAROL: AccountId = account(3);
const HOLD: HoldId = HoldId([0x40; 32]);
const TERMS: Digest = Digest([0x7e; 32]);
const RESULT: Digest = Digest([0x4e; 32]);
const PRICE: u128 = 300;
const SETTLE_MS: u64 = 500;
const DELIVER_BY_MS: u64 = START_MS + 1_000;
const ENDS_MS: u64 = DELIVER_BY_MS + SETTLE_MS;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), units(), offers(), work(), payment(), refunds(), disputes(), order(), ends(), queries()]
        .concat()
}

fn terms(arbiters: &[u8], settle_ms: u64) -> Scene {
    let arbiters: Vec<KeyId> = arbiters.iter().map(|n| key(*n)).collect();
    Scene::new(vec![Value::Keys(arbiters), Value::U64(settle_ms)])
}

fn market() -> Scene {
    terms(&[31, 32, 33], SETTLE_MS)
}

fn escrow() -> Hold {
    Hold {
        id: HOLD,
        token: TOKEN,
        owner: BUYER,
        beneficiary: SELLER,
        amount: PRICE,
        kind: HoldKind::Escrow,
        expires_ms: Some(ENDS_MS),
    }
}

/// The buyer has set the price aside.
fn funded(hold: Hold) -> Scene {
    market().party(BUYER, 1_000, 1_000 - PRICE).with(|input| input.parties[0].holds.push(hold))
}

fn deal(stage: Stage) -> Deal {
    let result = match stage {
        Stage::Offered | Stage::Claimed => None,
        Stage::Delivered | Stage::Disputed | Stage::Paid | Stage::Refunded => Some(RESULT),
    };
    let (buyer, seller, amount) = (BUYER, SELLER, PRICE);
    let (deliver_by_ms, ends_ms) = (DELIVER_BY_MS, ENDS_MS);
    Deal { buyer, seller, amount, terms: TERMS, deliver_by_ms, ends_ms, stage, result }
}

fn at(stage: Stage) -> Scene {
    market().state(deal_key(HOLD), &deal(stage))
}

fn arbiters(scene: Scene, keys: &[u8]) -> Scene {
    keys.iter().fold(scene, |scene, n| scene.signed(account(*n), &[key(*n)]))
}

fn hold() -> Value {
    Value::Digest(Digest(HOLD.0))
}

fn becomes(stage: Stage) -> Effect {
    sets(deal_key(HOLD), &deal(stage))
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ISSUER, Action::Create);
    vec![
        create(market()).accepts("three arbiters", vec![]),
        create(terms(&[31, 32, 33], 1)).accepts("one millisecond to settle", vec![]),
        create(terms(&[31, 32], 1)).refuses("two arbiters", Denied::BadTerms),
        create(terms(&[31, 32, 33, 34], 1)).refuses("four arbiters", Denied::BadTerms),
        create(terms(&[31, 32, 31], 1)).refuses("one arbiter twice", Denied::BadTerms),
        create(terms(&[31, 32, 33], 0)).refuses("no time to settle", Denied::BadTerms),
        create(Scene::new(vec![])).refuses("no parameters", Refused::BadParameters),
    ]
}

fn units() -> Vec<Case> {
    let set_aside =
        |beneficiary, kind, expires_ms| Action::Hold { beneficiary, amount: PRICE, kind, expires_ms };
    let mint = Action::Mint { to: BUYER, amount: PRICE };
    vec![
        market().leg(ISSUER, mint.clone()).accepts("mint by the issuer", vec![]),
        market().leg(BUYER, mint).refuses("mint by another", Denied::NotIssuer),
        market().leg(BUYER, Action::Burn { amount: 1 }).accepts("burn", vec![]),
        market()
            .leg(BUYER, Action::Transfer { to: SELLER, amount: 1, bilateral: false })
            .accepts("transfer", vec![]),
        market()
            .leg(SELLER, Action::Claim { credit: CreditId([8; 32]), from: BUYER, amount: 1 })
            .accepts("claim a credit", vec![]),
        market()
            .leg(BUYER, set_aside(SELLER, HoldKind::Escrow, Some(ENDS_MS)))
            .accepts("set the price aside", vec![]),
        market()
            .leg(BUYER, set_aside(SELLER, HoldKind::Pledge, Some(ENDS_MS)))
            .refuses("a pledge", Denied::HoldKind),
        market()
            .leg(BUYER, set_aside(SELLER, HoldKind::Lock, Some(ENDS_MS)))
            .refuses("a lock", Denied::HoldKind),
        market()
            .leg(BUYER, set_aside(SELLER, HoldKind::Escrow, None))
            .refuses("money that rests for ever", Denied::NoEnd),
        market()
            .leg(BUYER, set_aside(BUYER, HoldKind::Escrow, Some(ENDS_MS)))
            .refuses("money for oneself", Denied::SelfDeal),
        market().leg(BUYER, Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
    ]
}

fn offers() -> Vec<Case> {
    let by = |deliver_by_ms| vec![hold(), Value::Digest(TERMS), Value::U64(deliver_by_ms)];
    let offer = |scene: Scene| scene.invoke(BUYER, "offer", by(DELIVER_BY_MS));
    let kept = |hold| offer(funded(hold));
    vec![
        kept(escrow()).accepts("offer", vec![becomes(Stage::Offered)]),
        kept(Hold { expires_ms: Some(ENDS_MS - 1), ..escrow() })
            .refuses("too little time to settle", Denied::BadDeadline),
        kept(Hold { expires_ms: None, ..escrow() }).refuses("a hold without an end", Denied::NoEnd),
        kept(Hold { beneficiary: BUYER, ..escrow() }).refuses("a hold for oneself", Denied::SelfDeal),
        kept(Hold { kind: HoldKind::Pledge, ..escrow() }).refuses("a pledge is no escrow", Denied::NoHold),
        kept(Hold { id: HoldId([0x41; 32]), ..escrow() }).refuses("a hold not made", Denied::NoHold),
        offer(market()).refuses("an account without holds", Denied::NoHold),
        kept(escrow())
            .leg(SELLER, Action::Release { hold: escrow() })
            .refuses("a hold that the seller gives up at once", Denied::NoHold),
        kept(escrow())
            .leg(SELLER, Action::Release { hold: Hold { id: HoldId([0x41; 32]), ..escrow() } })
            .accepts("another hold is given up beside it", vec![becomes(Stage::Offered)]),
        funded(escrow()).invoke(CAROL, "offer", by(DELIVER_BY_MS)).refuses("another's hold", Denied::NoHold),
        funded(escrow())
            .at(DELIVER_BY_MS - 1)
            .invoke(BUYER, "offer", by(DELIVER_BY_MS))
            .accepts("one millisecond to deliver", vec![becomes(Stage::Offered)]),
        funded(escrow())
            .at(DELIVER_BY_MS)
            .invoke(BUYER, "offer", by(DELIVER_BY_MS))
            .refuses("no time to deliver", Denied::BadDeadline),
        funded(escrow())
            .invoke(BUYER, "offer", by(u64::MAX))
            .refuses("a deadline beyond all time (C6)", Denied::BadDeadline),
        offer(funded(escrow()).state(deal_key(HOLD), &deal(Stage::Refunded)))
            .refuses("offer a hold twice (C3)", Denied::DealExists),
        market().invoke(BUYER, "offer", vec![hold()]).refuses("offer without terms", Refused::BadArguments),
        market().invoke(BUYER, "haggle", vec![]).refuses("an unknown method", Refused::UnknownMethod),
    ]
}

fn work() -> Vec<Case> {
    let result = || vec![hold(), Value::Digest(RESULT)];
    vec![
        at(Stage::Offered)
            .at(DELIVER_BY_MS - 1)
            .invoke(SELLER, "claim_work", vec![hold()])
            .accepts("claim in the last moment", vec![becomes(Stage::Claimed)]),
        at(Stage::Offered)
            .at(DELIVER_BY_MS)
            .invoke(SELLER, "claim_work", vec![hold()])
            .refuses("claim at the deadline", Denied::TooLate),
        at(Stage::Offered)
            .invoke(CAROL, "claim_work", vec![hold()])
            .refuses("claim another's work", Denied::NotSeller),
        market()
            .invoke(SELLER, "claim_work", vec![hold()])
            .refuses("claim what nobody offers", Denied::UnknownDeal),
        at(Stage::Claimed)
            .at(DELIVER_BY_MS - 1)
            .invoke(SELLER, "deliver", result())
            .accepts("deliver in the last moment", vec![becomes(Stage::Delivered)]),
        at(Stage::Claimed)
            .at(DELIVER_BY_MS)
            .invoke(SELLER, "deliver", result())
            .refuses("deliver at the deadline", Denied::TooLate),
        at(Stage::Claimed)
            .invoke(BUYER, "deliver", result())
            .refuses("deliver to oneself", Denied::NotSeller),
    ]
}

fn payment() -> Vec<Case> {
    let pay = |scene: Scene, actor| scene.leg(actor, Action::Execute { hold: escrow() });
    vec![
        pay(at(Stage::Delivered), BUYER).accepts("pay", vec![becomes(Stage::Paid)]),
        pay(at(Stage::Disputed), BUYER).accepts("pay after all", vec![becomes(Stage::Paid)]),
        pay(at(Stage::Delivered).at(ENDS_MS - 1), BUYER)
            .accepts("pay in the last moment", vec![becomes(Stage::Paid)]),
        pay(at(Stage::Offered), BUYER).refuses("pay an offer", Denied::OutOfOrder),
        pay(at(Stage::Claimed), BUYER).refuses("pay before the delivery", Denied::OutOfOrder),
        pay(at(Stage::Delivered), SELLER).refuses("the seller pays itself", Denied::NotBuyer),
        pay(funded(escrow()), BUYER).refuses("pay what is no deal", Denied::UnknownDeal),
    ]
}

fn refunds() -> Vec<Case> {
    let refund = |scene: Scene, actor| scene.invoke(actor, "refund", vec![hold()]);
    let back = |stage| {
        let closed = Deal { stage: Stage::Refunded, ..deal(stage) };
        vec![sets(deal_key(HOLD), &closed), Effect::ReleaseHold { hold: HOLD }]
    };
    let give_up = |scene: Scene, actor| scene.leg(actor, Action::Release { hold: escrow() });
    let given_up = |stage| vec![sets(deal_key(HOLD), &Deal { stage: Stage::Refunded, ..deal(stage) })];
    vec![
        refund(at(Stage::Offered), BUYER).accepts("withdraw an offer", back(Stage::Offered)),
        refund(at(Stage::Claimed).at(DELIVER_BY_MS), BUYER)
            .accepts("refund at the deadline", back(Stage::Claimed)),
        refund(at(Stage::Claimed).at(DELIVER_BY_MS - 1), BUYER)
            .refuses("refund while the seller works", Denied::TooEarly),
        refund(at(Stage::Delivered).at(DELIVER_BY_MS), BUYER)
            .refuses("refund of delivered work", Denied::OutOfOrder),
        refund(at(Stage::Offered), SELLER).refuses("refund by the seller", Denied::NotBuyer),
        refund(at(Stage::Claimed).at(DELIVER_BY_MS), CAROL).refuses("refund by a stranger", Denied::NotBuyer),
        give_up(at(Stage::Offered), SELLER).accepts("decline an offer", given_up(Stage::Offered)),
        give_up(at(Stage::Claimed), SELLER).accepts("give up claimed work", given_up(Stage::Claimed)),
        give_up(at(Stage::Disputed), SELLER).accepts("give up a dispute", given_up(Stage::Disputed)),
        give_up(funded(escrow()), SELLER).accepts("decline money that was never offered", vec![]),
        give_up(at(Stage::Claimed), BUYER).refuses("the buyer releases its own hold", Denied::NotSeller),
    ]
}

fn disputes() -> Vec<Case> {
    let decide = |scene: Scene, pay| scene.invoke(CAROL, "decide", vec![hold(), Value::Bool(pay)]);
    let disputed = |keys: &[u8]| arbiters(at(Stage::Disputed), keys);
    let one_key_twice = at(Stage::Disputed).signed(BUYER, &[key(31)]).signed(CAROL, &[key(31)]);
    vec![
        at(Stage::Delivered)
            .invoke(BUYER, "dispute", vec![hold()])
            .accepts("dispute by the buyer", vec![becomes(Stage::Disputed)]),
        at(Stage::Delivered)
            .invoke(SELLER, "dispute", vec![hold()])
            .accepts("dispute by the seller", vec![becomes(Stage::Disputed)]),
        at(Stage::Delivered)
            .invoke(CAROL, "dispute", vec![hold()])
            .refuses("dispute by a stranger", Denied::NotParty),
        decide(disputed(&[31, 33]), true).accepts(
            "two of three pay the seller",
            vec![becomes(Stage::Paid), Effect::ExecuteHold { hold: HOLD }],
        ),
        decide(disputed(&[31, 32, 33]), false).accepts(
            "all three refund the buyer",
            vec![becomes(Stage::Refunded), Effect::ReleaseHold { hold: HOLD }],
        ),
        decide(disputed(&[32]), true).refuses("one arbiter alone", Denied::NotArbiters),
        decide(one_key_twice, true).refuses("one arbiter counts once", Denied::NotArbiters),
        decide(disputed(&[1, 2]), true).refuses("the parties decide", Denied::NotArbiters),
        decide(arbiters(at(Stage::Delivered), &[31, 32]), false)
            .refuses("decide without a dispute", Denied::OutOfOrder),
    ]
}

/// Every method at every stage where it has no place: nothing leaves a closed deal, and no step is taken twice.
fn order() -> Vec<Case> {
    let stages =
        [Stage::Offered, Stage::Claimed, Stage::Delivered, Stage::Disputed, Stage::Paid, Stage::Refunded];
    let calls = [
        ("claim_work", SELLER, vec![hold()], vec![Stage::Offered]),
        ("deliver", SELLER, vec![hold(), Value::Digest(RESULT)], vec![Stage::Claimed]),
        ("refund", BUYER, vec![hold()], vec![Stage::Offered, Stage::Claimed]),
        ("dispute", BUYER, vec![hold()], vec![Stage::Delivered]),
        ("decide", CAROL, vec![hold(), Value::Bool(true)], vec![Stage::Disputed]),
    ];
    let mut cases = vec![];
    for (method, actor, args, allowed) in calls {
        for stage in stages.into_iter().filter(|stage| !allowed.contains(stage)) {
            let name = text![method, " what is ", stage.word(), " (C7)"];
            let scene = arbiters(at(stage), &[31, 32]).invoke(actor, method, args.clone());
            cases.push(scene.refuses(&name, Denied::OutOfOrder));
        }
    }
    for stage in [Stage::Paid, Stage::Refunded] {
        let name = text!["pay what is ", stage.word(), " (C3)"];
        let scene = at(stage).leg(BUYER, Action::Execute { hold: escrow() });
        cases.push(scene.refuses(&name, Denied::OutOfOrder));
    }
    cases
}

/// From its end on, the hold no longer counts and the money is the buyer's: nothing is left to decide.
fn ends() -> Vec<Case> {
    let over = |stage| at(stage).at(ENDS_MS);
    let decide =
        |scene: Scene| arbiters(scene, &[31, 32]).invoke(CAROL, "decide", vec![hold(), Value::Bool(true)]);
    vec![
        over(Stage::Delivered)
            .invoke(SELLER, "dispute", vec![hold()])
            .refuses("dispute at the end", Denied::Ended),
        decide(over(Stage::Disputed)).refuses("decide at the end", Denied::Ended),
        decide(at(Stage::Disputed).at(ENDS_MS - 1)).accepts(
            "decide in the last moment",
            vec![becomes(Stage::Paid), Effect::ExecuteHold { hold: HOLD }],
        ),
        over(Stage::Claimed)
            .invoke(BUYER, "refund", vec![hold()])
            .refuses("refund what is back already", Denied::Ended),
        over(Stage::Delivered)
            .leg(BUYER, Action::Execute { hold: escrow() })
            .refuses("pay at the end", Denied::Ended),
    ]
}

fn queries() -> Vec<Case> {
    let told = |stage: &str, result| {
        Fields::new()
            .with("stage", String::from(stage))
            .with("closed", ["paid", "refunded", "lapsed"].contains(&stage))
            .with("buyer", BUYER)
            .with("seller", SELLER)
            .with("amount", PRICE)
            .with("terms", TERMS)
            .with("result", result)
            .with("deliver_by_ms", DELIVER_BY_MS)
            .with("ends_ms", ENDS_MS)
    };
    let ask = |scene: Scene, name: &str, fields| scene.answers(name, "deal", vec![hold()], fields);
    let none = Digest([0; 32]);
    vec![
        ask(at(Stage::Offered), "an offer", told("offered", none)),
        ask(at(Stage::Claimed), "claimed work", told("claimed", none)),
        ask(at(Stage::Delivered), "a delivery", told("delivered", RESULT)),
        ask(at(Stage::Disputed).at(ENDS_MS - 1), "a dispute", told("disputed", RESULT)),
        ask(at(Stage::Disputed).at(ENDS_MS), "a dispute that lapsed", told("lapsed", RESULT)),
        ask(at(Stage::Paid).at(ENDS_MS), "paid", told("paid", RESULT)),
        ask(at(Stage::Refunded), "refunded", told("refunded", RESULT)),
        market().refuses_query("a deal that is not there", "deal", vec![hold()], Denied::UnknownDeal),
        market().refuses_query("an unknown query", "price", vec![], Refused::UnknownQuery),
    ]
}
