//! What the policy accepts and refuses, as data: checked natively here and as WASM by the host.

use crate::{
    Client, DAY_MS, Denied, PAIR, Quote, Step, Volume, client_key, quote_key, steps, volume_key, word,
};
use alloc::{vec, vec::Vec};
use dsm_policy::bench::{Case, START_MS, Scene, StateMap, account, deletes, key, sets};
use dsm_policy::feed::{LATEST, Latest};
use dsm_policy::{
    AccountId, Action, CreditId, Digest, Effect, Fields, Hold, HoldId, HoldKind, KeyId, Refused, TokenId,
    Value, abi,
};

const DESK: AccountId = account(1);
const CLIENT: AccountId = account(2);
const OTHER: AccountId = account(3);
const STRANGER: AccountId = account(4);
const EUR: TokenId = TokenId([0xe0; 32]);
const USD: TokenId = TokenId([0x05; 32]);
const FEED: TokenId = TokenId([0xfe; 32]);
const LOCK_MS: u64 = 30_000;
const SETTLE_MS: u64 = 3_600_000;
const RATE_AGE_MS_MAX: u64 = 20_000;
const HEARTBEAT_MS: u64 = 60_000;
const PAIR_MAX: u128 = 5_000_000;
const CLIENT_MAX: u128 = 1_000_000;
const STATEMENT: Digest = Digest([0x5a; 32]);

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    [
        creation(),
        clients(),
        requests(),
        locks(),
        rounding(),
        bookings(),
        settlements(),
        reconciliations(),
        queries(),
    ]
    .concat()
}

fn params() -> Vec<Value> {
    vec![
        Value::Account(DESK),
        Value::Keys(vec![key(21), key(22), key(23)]),
        Value::U64(2),
        Value::Token(EUR),
        Value::U64(2),
        Value::Token(USD),
        Value::U64(2),
        Value::Token(FEED),
        Value::U64(RATE_AGE_MS_MAX),
        Value::U64(20),
        Value::U64(LOCK_MS),
        Value::U64(SETTLE_MS),
        Value::U128(PAIR_MAX),
    ]
}

/// What the feed keeps: 1.08250, seen two seconds ago.
fn rate() -> Latest {
    let (observed_ms, updated_ms) = (START_MS - 2_000, START_MS - 1_000);
    Latest { round: 7, answer: 108_250, decimals: 5, observed_ms, updated_ms, heartbeat_ms: HEARTBEAT_MS }
}

fn feed(latest: &Latest) -> StateMap {
    StateMap::from([(LATEST.to_vec(), abi::encode(latest))])
}

/// A desk for EUR against USD, 0.20 % on either side, two clients, nothing quoted, and what its feed keeps.
fn reading(feed: StateMap) -> Scene {
    let client = Client { daily_max: CLIENT_MAX };
    let scene = Scene::new(params()).foreign_state(feed);
    scene.state(client_key(CLIENT), &client).state(client_key(OTHER), &client)
}

fn desk() -> Scene {
    reading(feed(&rate()))
}

fn controllers(scene: Scene) -> Scene {
    scene.signed(STRANGER, &[key(21)]).signed(OTHER, &[key(22)])
}

/// The client's quote number 1: it buys EUR 1,000.00.
fn requested() -> Quote {
    Quote {
        step: Step::Requested,
        buys: true,
        base: 100_000,
        quote: 0,
        rate: 0,
        round: 0,
        until_ms: START_MS + LOCK_MS,
        statement: Digest([0; 32]),
    }
}

/// 1,000.00 · 1.08250 · 1.0020 = 1,084.665, rounded up for the client who pays.
fn locked() -> Quote {
    Quote { step: Step::Locked, quote: 108_467, rate: 108_250, round: 7, ..requested() }
}

fn booked() -> Quote {
    Quote { step: Step::Booked, until_ms: START_MS + SETTLE_MS, ..locked() }
}

fn settled() -> Quote {
    Quote { step: Step::Settled, ..booked() }
}

fn reconciled() -> Quote {
    Quote { step: Step::Reconciled, statement: STATEMENT, ..settled() }
}

fn with(quote: Quote) -> Scene {
    desk().state(quote_key(CLIENT, 1), &quote)
}

fn writes(number: u64, quote: Quote) -> Vec<Effect> {
    let payload = abi::encode(&(CLIENT, number, quote));
    vec![sets(quote_key(CLIENT, number), &quote), Effect::Event { topic: word(quote.step).into(), payload }]
}

fn creation() -> Vec<Case> {
    let terms = |position: usize, value: Value| {
        let scene = Scene::new(params()).foreign_state(StateMap::new());
        scene.with(|input| input.params[position] = value).leg(DESK, Action::Create)
    };
    let keys = |keys: &[u8]| Value::Keys(keys.iter().map(|n| key(*n)).collect::<Vec<KeyId>>());
    let many: Vec<u8> = (1..=33).collect();
    vec![
        terms(9, Value::U64(0)).accepts("a desk that earns nothing", vec![]),
        terms(1, keys(&[1, 2])).accepts("every controller of two", vec![]),
        terms(1, keys(&many[..32])).accepts("as many controllers as fit", vec![]),
        terms(4, Value::U64(18)).accepts("the finest base token", vec![]),
        terms(6, Value::U64(18)).accepts("the finest quote token", vec![]),
        terms(9, Value::U64(9_999)).accepts("a desk that earns all but everything", vec![]),
        terms(9, Value::U64(10_000)).refuses("a desk that pays nothing", Denied::BadTerms),
        terms(1, keys(&[])).refuses("no controller", Denied::BadTerms),
        terms(1, keys(&[1])).refuses("an unreachable threshold", Denied::BadTerms),
        terms(1, keys(&[1, 1, 2])).refuses("one controller twice", Denied::BadTerms),
        terms(1, keys(&many)).refuses("too many controllers", Denied::BadTerms),
        terms(2, Value::U64(0)).refuses("a threshold of none", Denied::BadTerms),
        terms(5, Value::Token(EUR)).refuses("a currency against itself", Denied::BadTerms),
        terms(3, Value::Token(TokenId::NONE)).refuses("no base token", Denied::BadTerms),
        terms(7, Value::Token(TokenId::NONE)).refuses("no feed", Denied::BadTerms),
        terms(4, Value::U64(19)).refuses("a base token of too many decimals", Denied::BadTerms),
        terms(6, Value::U64(19)).refuses("a quote token of too many decimals", Denied::BadTerms),
        terms(8, Value::U64(0)).refuses("rates of no age", Denied::BadTerms),
        terms(10, Value::U64(0)).refuses("no time to book", Denied::BadTerms),
        terms(11, Value::U64(0)).refuses("no time to settle", Denied::BadTerms),
        terms(12, Value::U128(0)).refuses("nothing may be booked", Denied::BadTerms),
        Scene::new(vec![])
            .foreign_state(StateMap::new())
            .leg(DESK, Action::Create)
            .refuses("no parameters", Refused::BadParameters),
        desk()
            .leg(DESK, Action::Mint { to: DESK, amount: 1 })
            .refuses("a desk has no units", Refused::UnsupportedAction),
        with(booked()).invoke(DESK, "cancel", vec![]).refuses("no way back", Refused::UnknownMethod),
    ]
}

fn clients() -> Vec<Case> {
    let args = |client, daily_max| vec![Value::Account(client), Value::U128(daily_max)];
    let one = || desk().signed(OTHER, &[key(21)]).signed(CLIENT, &[key(21)]);
    vec![
        controllers(desk())
            .invoke(OTHER, "admit", args(STRANGER, 7))
            .accepts("admit a client", vec![sets(client_key(STRANGER), &Client { daily_max: 7 })]),
        controllers(desk())
            .invoke(OTHER, "admit", args(CLIENT, 7))
            .accepts("lower a limit", vec![sets(client_key(CLIENT), &Client { daily_max: 7 })]),
        controllers(desk())
            .invoke(OTHER, "admit", args(CLIENT, 0))
            .accepts("end a relationship", vec![deletes(client_key(CLIENT))]),
        controllers(desk())
            .invoke(OTHER, "admit", args(STRANGER, 0))
            .refuses("end what never began", Denied::NotClient),
        controllers(desk())
            .invoke(OTHER, "admit", args(DESK, 7))
            .refuses("the desk as its own client", Denied::NotClient),
        one().invoke(OTHER, "admit", args(STRANGER, 7)).refuses("one key counts once", Denied::NotController),
        desk()
            .invoke(CLIENT, "admit", args(CLIENT, u128::MAX))
            .refuses("raise one's own limit", Denied::NotController),
    ]
}

fn requests() -> Vec<Case> {
    let ask = |scene: Scene, client, number, amount| {
        let args = vec![Value::U64(number), Value::Bool(true), Value::U128(amount)];
        scene.invoke(client, "request", args)
    };
    let all = Quote { base: CLIENT_MAX, ..requested() };
    let sells = Quote { buys: false, ..requested() };
    vec![
        ask(reading(StateMap::new()), CLIENT, 1, 100_000)
            .accepts("request, whatever the feed says", writes(1, requested())),
        ask(desk(), CLIENT, u64::MAX, CLIENT_MAX).accepts("all that the client may", writes(u64::MAX, all)),
        desk()
            .invoke(CLIENT, "request", vec![Value::U64(2), Value::Bool(false), Value::U128(100_000)])
            .accepts("request to sell", writes(2, sells)),
        ask(with(booked()), CLIENT, 2, 100_000).accepts("a second quote", writes(2, requested())),
        ask(with(requested()), CLIENT, 1, 100_000).refuses("a number twice (C3)", Denied::NumberUsed),
        ask(with(requested()).at(START_MS + LOCK_MS + 1), CLIENT, 1, 1)
            .refuses("an expired number is used up too", Denied::NumberUsed),
        ask(with(reconciled()), CLIENT, 1, 100_000)
            .refuses("a reconciled number is used up too", Denied::NumberUsed),
        ask(desk(), CLIENT, 1, 0).refuses("request nothing (C6)", Denied::TooSmall),
        ask(desk(), CLIENT, 1, CLIENT_MAX + 1).refuses("more than a day's limit", Denied::OverClientLimit),
        ask(desk(), CLIENT, 1, u128::MAX).refuses("all that could ever be (C6)", Denied::OverClientLimit),
        ask(desk(), STRANGER, 1, 1).refuses("request by a stranger", Denied::NotClient),
    ]
}

fn locks() -> Vec<Case> {
    let args = |number| vec![Value::Account(CLIENT), Value::U64(number)];
    let lock = |scene: Scene| scene.invoke(DESK, "lock", args(1));
    let at_rate = |latest: &Latest| lock(reading(feed(latest)).state(quote_key(CLIENT, 1), &requested()));
    let at = |time_ms, observed_ms, updated_ms| {
        let latest = Latest { observed_ms, updated_ms, ..rate() };
        let asked = Quote { until_ms: u64::MAX, ..requested() };
        lock(reading(feed(&latest)).state(quote_key(CLIENT, 1), &asked).at(time_ms))
    };
    let until = |until_ms| writes(1, Quote { until_ms, ..locked() });
    let beat = START_MS + HEARTBEAT_MS;
    let old = START_MS + RATE_AGE_MS_MAX;
    vec![
        lock(with(requested())).accepts("lock", until(START_MS + LOCK_MS)),
        lock(with(requested()).at(START_MS + 18_000))
            .accepts("lock after a while", until(START_MS + 18_000 + LOCK_MS)),
        with(requested()).invoke(CLIENT, "lock", args(1)).refuses("the client locks", Denied::NotDesk),
        with(requested()).invoke(OTHER, "lock", args(1)).refuses("a rival locks", Denied::NotDesk),
        desk().invoke(DESK, "lock", args(9)).refuses("lock what nobody asked for", Denied::NoQuote),
        lock(with(locked())).refuses("lock twice", Denied::WrongStep),
        lock(with(booked())).refuses("a better price afterwards", Denied::WrongStep),
        lock(with(requested()).at(START_MS + LOCK_MS + 1)).refuses("lock too late", Denied::Expired),
        lock(reading(StateMap::new()).state(quote_key(CLIENT, 1), &requested()))
            .refuses("a feed without a round", Denied::NoRate),
        lock(reading(StateMap::from([(LATEST.to_vec(), vec![7])])).state(quote_key(CLIENT, 1), &requested()))
            .refuses("a token that is no feed (C5)", Denied::NoRate),
        at(beat, beat, START_MS).accepts("the heartbeat's last moment", until(beat + LOCK_MS)),
        at(beat + 1, beat, START_MS)
            .refuses("stale read denied: the heartbeat has passed", Denied::StaleRate),
        at(old, START_MS, old).accepts("an observation just young enough", until(old + LOCK_MS)),
        at(old + 1, START_MS, old).refuses("stale read denied: what was seen is too old", Denied::StaleRate),
        at_rate(&Latest { answer: 0, ..rate() }).refuses("a rate of zero", Denied::BadRate),
        at_rate(&Latest { answer: -108_250, ..rate() }).refuses("a rate below zero", Denied::BadRate),
        at_rate(&Latest { answer: i128::MAX, ..rate() })
            .refuses("a rate beyond all amounts (C6)", Refused::Arithmetic),
        at_rate(&Latest { decimals: u8::MAX, ..rate() })
            .refuses("a rate finer than any number (C6)", Refused::Arithmetic),
    ]
}

/// What a request comes to, at each edge of the rounding.
fn rounding() -> Vec<Case> {
    struct Row {
        name: &'static str,
        buys: bool,
        base: u128,
        decimals: (u64, u64),
        rate: (i128, u8),
        spread_bps: u64,
        /// Base units of the quote token; `None`: too small.
        quote: Option<u128>,
    }
    let row = |name, buys, base, decimals, rate, spread_bps, quote| {
        let Row { name, buys, base, decimals, rate, spread_bps, quote } =
            Row { name, buys, base, decimals, rate, spread_bps, quote };
        let asked = Quote { buys, base, ..requested() };
        let latest = Latest { answer: rate.0, decimals: rate.1, ..self::rate() };
        let scene = reading(feed(&latest))
            .with(|input| {
                input.params[4] = Value::U64(decimals.0);
                input.params[6] = Value::U64(decimals.1);
                input.params[9] = Value::U64(spread_bps);
            })
            .state(quote_key(CLIENT, 1), &asked)
            .invoke(DESK, "lock", vec![Value::Account(CLIENT), Value::U64(1)]);
        match quote {
            None => scene.refuses(name, Denied::TooSmall),
            Some(quote) => scene.accepts(
                name,
                writes(1, Quote { step: Step::Locked, quote, rate: rate.0, round: 7, ..asked }),
            ),
        }
    };
    let cents = (2, 2);
    vec![
        row("an exact price is not rounded", true, 100_000, cents, (108_250, 5), 0, Some(108_250)),
        row("the client pays: up", true, 1, cents, (108_250, 5), 0, Some(2)),
        row("the client receives: down", false, 1, cents, (108_250, 5), 0, Some(1)),
        row("the client receives less than a cent: nothing", false, 1, cents, (99_999, 5), 0, None),
        row("the client pays at least a cent", true, 1, cents, (1, 18), 0, Some(1)),
        row(
            "the spread is for the desk when the client sells",
            false,
            100_000,
            cents,
            (108_250, 5),
            20,
            Some(108_033),
        ),
        row("rate and spread are rounded together, once", true, 3, cents, (10_001, 4), 1, Some(4)),
        row("into a finer token", true, 100, (0, 18), (15_000, 2), 0, Some(15_000 * 10_u128.pow(18))),
        row("into a coarser token", false, 10_u128.pow(18), (18, 0), (15_099, 2), 0, Some(150)),
    ]
}

fn bookings() -> Vec<Case> {
    let book = |scene: Scene, client| scene.invoke(client, "book", vec![Value::U64(1)]);
    let day = START_MS / DAY_MS;
    let volumes = |pair, own| {
        let mut effects = vec![
            sets(PAIR, &Volume { day, base: pair }),
            sets(volume_key(CLIENT), &Volume { day, base: own }),
        ];
        effects.extend(writes(1, booked()));
        effects
    };
    let used = |pair, own| {
        with(locked())
            .state(PAIR, &Volume { day, base: pair })
            .state(volume_key(CLIENT), &Volume { day, base: own })
    };
    let yesterday = with(locked())
        .state(PAIR, &Volume { day: day - 1, base: PAIR_MAX })
        .state(volume_key(CLIENT), &Volume { day: day - 1, base: CLIENT_MAX });
    let end = START_MS + LOCK_MS;
    let late = Quote { until_ms: end + SETTLE_MS, ..booked() };
    let mut at_end = volumes(100_000, 100_000);
    at_end.splice(2.., writes(1, late));
    vec![
        book(with(locked()), CLIENT).accepts("book", volumes(100_000, 100_000)),
        book(with(locked()).at(end), CLIENT).accepts("at the last moment", at_end),
        book(with(locked()).at(end + 1), CLIENT).refuses("an expired price (O6)", Denied::Expired),
        book(with(requested()), CLIENT).refuses("book without a price", Denied::WrongStep),
        book(with(booked()), CLIENT).refuses("book twice (C3)", Denied::WrongStep),
        book(with(settled()), CLIENT).refuses("book what is settled", Denied::WrongStep),
        book(with(locked()), OTHER).refuses("book another's price", Denied::NoQuote),
        book(with(locked()).state(client_key(CLIENT), &Client { daily_max: 99_999 }), CLIENT)
            .refuses("the limit was lowered meanwhile", Denied::OverClientLimit),
        book(with(locked()), STRANGER).refuses("book as a stranger", Denied::NotClient),
        book(used(PAIR_MAX - 100_000, CLIENT_MAX - 100_000), CLIENT)
            .accepts("exactly up to both limits", volumes(PAIR_MAX, CLIENT_MAX)),
        book(used(PAIR_MAX - 99_999, 0), CLIENT).refuses("over the pair's limit", Denied::OverPairLimit),
        book(used(0, CLIENT_MAX - 99_999), CLIENT)
            .refuses("over the client's limit", Denied::OverClientLimit),
        book(used(u128::MAX, 0), CLIENT).refuses("a sum beyond all amounts (C6)", Refused::Arithmetic),
        book(yesterday, CLIENT).accepts("a new day", volumes(100_000, 100_000)),
    ]
}

fn settlements() -> Vec<Case> {
    let args = || vec![Value::Account(CLIENT), Value::U64(1)];
    let settle = |scene: Scene, actor| scene.invoke(actor, "settle", args());
    let pay = |to, amount| Action::Transfer { to, amount, bilateral: true };
    let base = |scene: Scene, amount| scene.leg_of(EUR, DESK, pay(CLIENT, amount));
    let quote = |scene: Scene, amount| scene.leg_of(USD, CLIENT, pay(DESK, amount));
    let both = |scene: Scene| quote(base(scene, 100_000), 108_467);
    let due = || settle(with(booked()), CLIENT);
    let sold = Quote { buys: false, quote: 108_033, ..booked() };
    let largest = Quote { base: u128::MAX, ..booked() };
    let held = Hold {
        id: HoldId([9; 32]),
        token: USD,
        owner: CLIENT,
        beneficiary: DESK,
        amount: 108_467,
        kind: HoldKind::Escrow,
        expires_ms: None,
    };
    let second = Action::Invoke { policy_index: 0, method: "settle".into(), args: args() };
    let claim = Action::Claim { credit: CreditId([8; 32]), from: CLIENT, amount: 108_467 };
    vec![
        both(due()).accepts("settle, by the client", writes(1, settled())),
        both(settle(with(booked()), DESK)).accepts("settle, by the desk", writes(1, settled())),
        base(due(), 100_000)
            .leg_of(USD, CLIENT, Action::Execute { hold: held })
            .accepts("paid out of escrow", writes(1, settled())),
        quote(base(base(due(), 60_000), 40_000), 108_467)
            .accepts("delivered in two transfers", writes(1, settled())),
        settle(with(sold), CLIENT)
            .leg_of(EUR, CLIENT, pay(DESK, 100_000))
            .leg_of(USD, DESK, pay(CLIENT, 108_033))
            .accepts("the other way round", writes(1, Quote { step: Step::Settled, ..sold })),
        quote(base(settle(with(largest), CLIENT), u128::MAX), 108_467)
            .accepts("all that can be (C6)", writes(1, Quote { step: Step::Settled, ..largest })),
        both(settle(with(booked()).at(START_MS + SETTLE_MS), CLIENT))
            .accepts("at the last moment", writes(1, settled())),
        both(settle(with(booked()).at(START_MS + SETTLE_MS + 1), CLIENT))
            .refuses("too late", Denied::Expired),
        due().refuses("no payment at all", Denied::BaseNotPaid),
        quote(due(), 108_467).refuses("no delivery", Denied::BaseNotPaid),
        quote(base(due(), 99_999), 108_467).refuses("one unit short", Denied::BaseNotPaid),
        quote(base(due(), 100_001), 108_467).refuses("one unit too many", Denied::BaseNotPaid),
        base(due(), 100_000).refuses("no payment", Denied::QuoteNotPaid),
        quote(base(due(), 100_000), 108_466).refuses("a cent short", Denied::QuoteNotPaid),
        quote(base(due(), 100_000), 108_468).refuses("a cent too much", Denied::QuoteNotPaid),
        base(due(), 100_000)
            .leg_of(USD, OTHER, pay(DESK, 108_467))
            .refuses("paid by another", Denied::QuoteNotPaid),
        base(due(), 100_000)
            .leg_of(USD, CLIENT, pay(OTHER, 108_467))
            .refuses("paid to another", Denied::QuoteNotPaid),
        base(due(), 100_000)
            .leg_of(FEED, CLIENT, pay(DESK, 108_467))
            .refuses("paid in another token (C5)", Denied::QuoteNotPaid),
        base(due(), 100_000).leg_of(USD, DESK, claim).refuses("a claim is no payment", Denied::QuoteNotPaid),
        both(due())
            .leg_of(TokenId([0x71; 32]), CLIENT, second.clone())
            .refuses("one payment for two desks", Denied::OneSettlement),
        both(due()).leg(DESK, second).refuses("one payment for two quotes", Denied::OneSettlement),
        both(settle(with(locked()), CLIENT)).refuses("settle what is not booked", Denied::WrongStep),
        both(settle(with(requested()), CLIENT)).refuses("settle a request", Denied::WrongStep),
        both(settle(with(settled()), CLIENT)).refuses("settle twice (C3)", Denied::WrongStep),
        both(settle(with(reconciled()), CLIENT)).refuses("settle what is closed", Denied::WrongStep),
        both(settle(desk(), CLIENT)).refuses("settle nothing", Denied::NoQuote),
        both(settle(with(booked()), OTHER)).refuses("settle another's quote", Denied::NotParty),
    ]
}

fn reconciliations() -> Vec<Case> {
    let args = || vec![Value::Account(CLIENT), Value::U64(1), Value::Digest(STATEMENT)];
    let check = |scene: Scene| scene.signed(STRANGER, &[key(23)]).invoke(STRANGER, "reconcile", args());
    vec![
        check(with(settled())).accepts("reconcile", writes(1, reconciled())),
        check(with(settled()).at(u64::MAX)).accepts("years later", writes(1, reconciled())),
        check(with(booked())).refuses("reconcile what is not settled", Denied::WrongStep),
        check(with(reconciled())).refuses("another statement afterwards", Denied::WrongStep),
        check(desk()).refuses("reconcile nothing", Denied::NoQuote),
        with(settled()).invoke(DESK, "reconcile", args()).refuses("the desk itself", Denied::NotController),
    ]
}

fn queries() -> Vec<Case> {
    let args = |number| vec![Value::Account(CLIENT), Value::U64(number)];
    let of = |client| vec![Value::Account(client)];
    let shown = |step: &str, quote: Quote| {
        Fields::new()
            .with("step", alloc::string::String::from(step))
            .with("steps", steps(quote.step))
            .with("buys", quote.buys)
            .with("base", quote.base)
            .with("quote", quote.quote)
            .with("rate", quote.rate)
            .with("round", quote.round)
            .with("until_ms", quote.until_ms)
            .with("statement", quote.statement)
    };
    let step = |name: &str, quote: Quote| with(quote).answers(name, "quote", args(1), shown(name, quote));
    let late = |name: &str, quote: Quote, word| {
        with(quote).at(quote.until_ms + 1).answers(name, "quote", args(1), shown(word, quote))
    };
    let limits = |client: bool, booked: u128, all: u128, left: u128| {
        Fields::new()
            .with("client", client)
            .with("booked", booked)
            .with("booked_by_all", all)
            .with("left", left)
    };
    let day = START_MS / DAY_MS;
    let used = |pair| {
        desk()
            .state(PAIR, &Volume { day, base: pair })
            .state(volume_key(CLIENT), &Volume { day, base: 400_000 })
    };
    vec![
        step("requested", requested()),
        step("locked", locked()),
        step("booked", booked()),
        step("settled", settled()),
        step("reconciled", reconciled()),
        late("a request that nobody priced", requested(), "expired"),
        late("a price that nobody took", locked(), "expired"),
        late("a deal that nobody settled", booked(), "expired"),
        late("what is settled does not expire", settled(), "settled"),
        desk().refuses_query("no such quote", "quote", args(2), Denied::NoQuote),
        used(400_000).answers(
            "the client's limit is the nearer",
            "limits",
            of(CLIENT),
            limits(true, 400_000, 400_000, 600_000),
        ),
        used(PAIR_MAX - 1).answers(
            "the pair's limit is the nearer",
            "limits",
            of(CLIENT),
            limits(true, 400_000, PAIR_MAX - 1, 1),
        ),
        used(400_000).at(START_MS + DAY_MS).answers(
            "a new day",
            "limits",
            of(CLIENT),
            limits(true, 0, 0, CLIENT_MAX),
        ),
        desk().answers("a stranger", "limits", of(STRANGER), limits(false, 0, 0, 0)),
        desk().refuses_query("an unknown query", "price", vec![], Refused::UnknownQuery),
    ]
}
