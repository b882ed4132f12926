//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{AHEAD_MS_MAX, Denied, STEP_MAX, Transmitter, round_key, transmitter_key};
use alloc::{vec, vec::Vec};
use dsm_policy::bench::{Case, START_MS, Scene, account, deletes, key, sets};
use dsm_policy::feed::{LATEST, Latest};
use dsm_policy::{AccountId, Action, Digest, Effect, Fields, KeyId, Refused, Value, abi};

const ALICE: AccountId = account(1);
const BOB: AccountId = account(2);
const CAROL: AccountId = account(3);
const DAVE: AccountId = account(4);
const FEED: Digest = Digest([0xfe; 32]);
const HEARTBEAT_MS: u64 = 60_000;
const AGE_MS_MAX: u64 = 10_000;

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [creation(), transmitters(), rounds(), observations(), deviations(), queries()].concat()
}

fn terms(admins: &[u8], threshold: u64, observers_min: u64, limits: [u64; 3]) -> Scene {
    let admins: Vec<KeyId> = admins.iter().map(|n| key(*n)).collect();
    let [heartbeat_ms, deviation_bps, age_ms_max] = limits;
    Scene::new(vec![
        Value::Digest(FEED),
        Value::U64(5),
        Value::Keys(admins),
        Value::U64(threshold),
        Value::U64(observers_min),
        Value::U64(heartbeat_ms),
        Value::U64(deviation_bps),
        Value::U64(age_ms_max),
    ])
}

/// Alice, Bob and Carol transmit; two admin keys of three, two observers, moves of at most 1 %.
fn empty() -> Scene {
    let member = Transmitter { since_ms: 7 };
    let scene = terms(&[11, 12, 13], 2, 2, [HEARTBEAT_MS, 100, AGE_MS_MAX]);
    [ALICE, BOB, CAROL].into_iter().fold(scene, |scene, one| scene.state(transmitter_key(one), &member))
}

fn round(number: u64, answer: i128, observed_ms: u64) -> Latest {
    let (updated_ms, heartbeat_ms) = (START_MS, HEARTBEAT_MS);
    Latest { round: number, answer, decimals: 5, observed_ms, updated_ms, heartbeat_ms }
}

/// The feed after round 7: 1.08250, a second ago.
fn feed() -> Scene {
    let last = Latest { updated_ms: START_MS - 1_000, ..round(7, 108_250, START_MS - 2_000) };
    empty().state(LATEST, &last).state(round_key(7), &last)
}

fn admins(scene: Scene) -> Scene {
    scene.signed(ALICE, &[key(11)]).signed(DAVE, &[key(12)])
}

fn transmit(scene: Scene, number: u64) -> Scene {
    scene.invoke(ALICE, "transmit", vec![Value::U64(number)])
}

/// Alice brings round 8 with these answers, observed just now.
fn answered(scene: Scene, answers: &[(AccountId, i128)]) -> Scene {
    let answers: Vec<_> = answers.iter().map(|(account, answer)| (*account, *answer, START_MS)).collect();
    transmit(scene.round(FEED, 8, 5, &answers), 8)
}

fn adopts(latest: &Latest) -> Vec<Effect> {
    let payload = abi::encode(latest);
    vec![
        sets(LATEST, latest),
        sets(round_key(latest.round), latest),
        Effect::Event { topic: "round".into(), payload },
    ]
}

fn creation() -> Vec<Case> {
    let create = |scene: Scene| scene.leg(ALICE, Action::Create);
    let limits = [1, 1, 1];
    let many: Vec<u8> = (1..=33).collect();
    let decimals = |decimals| terms(&[1], 1, 1, limits).with(|input| input.params[1] = Value::U64(decimals));
    vec![
        create(terms(&[1, 2], 2, 16, limits)).accepts("two of two admin keys, sixteen observers", vec![]),
        create(decimals(18)).accepts("the finest answers", vec![]),
        create(decimals(19)).refuses("answers finer than any token", Denied::BadTerms),
        create(terms(&many[..32], 32, 1, limits)).accepts("as many admins as fit", vec![]),
        create(terms(&many, 1, 1, limits)).refuses("more admins than fit", Denied::BadTerms),
        create(terms(&[], 0, 1, limits)).refuses("no admin", Denied::BadTerms),
        create(terms(&[1], 0, 1, limits)).refuses("a threshold of none", Denied::BadTerms),
        create(terms(&[1], 2, 1, limits)).refuses("an unreachable threshold", Denied::BadTerms),
        create(terms(&[1, 1], 1, 1, limits)).refuses("one admin key twice", Denied::BadTerms),
        create(terms(&[1], 1, 0, limits)).refuses("nobody needs to observe", Denied::BadTerms),
        create(terms(&[1], 1, 17, limits)).refuses("more observers than a round holds", Denied::BadTerms),
        create(terms(&[1], 1, 1, [0, 1, 1])).refuses("no heartbeat", Denied::BadTerms),
        create(terms(&[1], 1, 1, [1, 0, 1])).refuses("no deviation at all", Denied::BadTerms),
        create(terms(&[1], 1, 1, [1, 1, 0])).refuses("no age at all", Denied::BadTerms),
        create(Scene::new(vec![])).refuses("no parameters", Refused::BadParameters),
        feed()
            .leg(ALICE, Action::Mint { to: ALICE, amount: 1 })
            .refuses("a feed has no units", Refused::UnsupportedAction),
        feed().invoke(ALICE, "set", vec![]).refuses("an unknown method", Refused::UnknownMethod),
    ]
}

fn transmitters() -> Vec<Case> {
    let of = |account| vec![Value::Account(account)];
    let now = Transmitter { since_ms: START_MS };
    let one_key_twice = feed().signed(ALICE, &[key(11)]).signed(BOB, &[key(11)]);
    vec![
        admins(feed())
            .invoke(ALICE, "admit", of(DAVE))
            .accepts("admit", vec![sets(transmitter_key(DAVE), &now)]),
        admins(feed())
            .invoke(ALICE, "admit", of(BOB))
            .refuses("admit a transmitter again", Denied::AlreadyTransmitter),
        one_key_twice.invoke(ALICE, "admit", of(DAVE)).refuses("one admin key counts once", Denied::NotAdmin),
        feed().invoke(DAVE, "admit", of(DAVE)).refuses("admit oneself", Denied::NotAdmin),
        admins(feed())
            .invoke(ALICE, "remove", of(BOB))
            .accepts("remove", vec![deletes(transmitter_key(BOB))]),
        admins(feed()).invoke(ALICE, "remove", of(DAVE)).refuses("remove a stranger", Denied::NotTransmitter),
        feed().invoke(ALICE, "remove", of(BOB)).refuses("remove a rival", Denied::NotAdmin),
        feed().invoke(ALICE, "remove", vec![]).refuses("remove whom", Refused::BadArguments),
    ]
}

fn rounds() -> Vec<Case> {
    let answers = [(ALICE, 108_260, START_MS), (BOB, 108_300, START_MS)];
    let numbered = |number| transmit(feed().round(FEED, number, 5, &answers), number);
    let other = Digest([0xfd; 32]);
    let first = transmit(empty().round(FEED, u64::MAX, 5, &answers), u64::MAX);
    vec![
        first.accepts("the first round has any number", adopts(&round(u64::MAX, 108_260, START_MS))),
        numbered(8).accepts("the next round", adopts(&round(8, 108_260, START_MS))),
        numbered(7 + STEP_MAX)
            .accepts("a gap after rounds that failed", adopts(&round(7 + STEP_MAX, 108_260, START_MS))),
        numbered(8 + STEP_MAX).refuses("nobody uses the numbers up (C7)", Denied::RoundTooFar),
        numbered(7).refuses("the last round again (C3)", Denied::RoundNotNew),
        numbered(6).refuses("a round that came too late (C7)", Denied::RoundNotNew),
        transmit(feed(), 8).refuses("no evidence", Denied::NoRound),
        transmit(feed().round(FEED, 9, 5, &answers), 8).refuses("evidence of another round", Denied::NoRound),
        transmit(feed().round(other, 8, 5, &answers), 8)
            .refuses("evidence of another feed (C5)", Denied::NoRound),
        transmit(feed().round(other, 8, 5, &answers).round(FEED, 8, 5, &answers), 8)
            .accepts("another feed's round beside it", adopts(&round(8, 108_260, START_MS))),
        transmit(feed().round(FEED, 8, 6, &answers), 8)
            .refuses("answers ten times as fine", Denied::OtherDecimals),
        feed()
            .round(FEED, 8, 5, &answers)
            .invoke(DAVE, "transmit", vec![Value::U64(8)])
            .refuses("a stranger picks the observations", Denied::NotTransmitter),
    ]
}

fn observations() -> Vec<Case> {
    let old = START_MS - AGE_MS_MAX;
    let ahead = START_MS + AHEAD_MS_MAX;
    let times = |one, other| {
        let answers = [(ALICE, 108_250, one), (BOB, 108_250, other)];
        transmit(feed().round(FEED, 8, 5, &answers), 8)
    };
    vec![
        answered(feed(), &[(CAROL, 108_300), (ALICE, 108_200), (BOB, 108_260)])
            .accepts("the middle one of three", adopts(&round(8, 108_260, START_MS))),
        answered(feed(), &[(ALICE, 1), (BOB, 108_260), (CAROL, i128::MAX)])
            .accepts("two liars at both ends do not move the median", adopts(&round(8, 108_260, START_MS))),
        answered(feed(), &[(ALICE, 108_250)]).refuses("one observer of two", Denied::TooFewObservers),
        answered(feed(), &[(ALICE, 108_250), (DAVE, 108_250)])
            .refuses("a stranger's observation is not left out but refused", Denied::NotTransmitter),
        times(old, START_MS).accepts("just young enough", adopts(&round(8, 108_250, old))),
        times(START_MS, old - 1).refuses("one is too old", Denied::TooOld),
        times(ahead, START_MS).accepts("a clock that is a little fast", adopts(&round(8, 108_250, START_MS))),
        times(START_MS, ahead + 1).refuses("observed tomorrow (O6)", Denied::InFuture),
        times(START_MS, u64::MAX).refuses("observed at the end of time", Denied::InFuture),
    ]
}

fn deviations() -> Vec<Case> {
    let moved = |scene: Scene, answer| answered(scene, &[(ALICE, answer), (BOB, answer)]);
    let from = |answer| empty().state(LATEST, &round(7, answer, START_MS));
    let to = |answer| adopts(&round(8, answer, START_MS));
    vec![
        moved(from(100_000), 101_000).accepts("up by exactly the limit", to(101_000)),
        moved(from(100_000), 99_000).accepts("down by exactly the limit", to(99_000)),
        moved(from(100_000), 101_001).refuses("up by more, however little", Denied::Deviates),
        moved(from(100_000), 98_999).refuses("down by more", Denied::Deviates),
        moved(admins(from(100_000)), 250_000).accepts("the admins confirm it", to(250_000)),
        moved(from(100_000).signed(ALICE, &[key(11)]), 250_000)
            .refuses("one admin of two confirms it", Denied::Deviates),
        moved(from(-100_000), -101_000).accepts("below zero the same way", to(-101_000)),
        moved(from(-100_000), 100_000).refuses("through zero", Denied::Deviates),
        moved(from(0), 0).accepts("zero stays zero", to(0)),
        moved(from(0), 1).refuses("away from zero is no percentage", Denied::Deviates),
        moved(from(i128::MIN), i128::MAX).refuses("from end to end (C6)", Denied::Deviates),
        moved(admins(from(i128::MIN)), i128::MAX).accepts("from end to end, confirmed", to(i128::MAX)),
    ]
}

fn queries() -> Vec<Case> {
    let from = |account| vec![Value::Account(account)];
    let number = |number| vec![Value::U64(number)];
    let list = |ids: &[AccountId]| Fields::new().with("accounts", ids.to_vec());
    let shown = || {
        Fields::new()
            .with("round", 7_u64)
            .with("answer", 108_250_i128)
            .with("decimals", 5_u64)
            .with("observed_ms", START_MS - 2_000)
            .with("updated_ms", START_MS - 1_000)
            .with("heartbeat_ms", HEARTBEAT_MS)
    };
    let end = START_MS - 1_000 + HEARTBEAT_MS;
    vec![
        feed().at(end).answers("the last moment", "latest", vec![], shown().with("fresh", true)),
        feed().at(end + 1).answers("a silent feed", "latest", vec![], shown().with("fresh", false)),
        empty().refuses_query("a feed without a round", "latest", vec![], Denied::UnknownRound),
        feed().answers("a round by its number", "round", number(7), shown()),
        feed().refuses_query("a round in the same place", "round", number(71), Denied::UnknownRound),
        feed().refuses_query("a round that never came", "round", number(8), Denied::UnknownRound),
        feed().answers("all of three", "transmitters", from(AccountId([0; 32])), list(&[ALICE, BOB, CAROL])),
        feed().answers("those after Bob", "transmitters", from(BOB), list(&[CAROL])),
        feed().refuses_query("an unknown query", "price", vec![], Refused::UnknownQuery),
    ]
}
