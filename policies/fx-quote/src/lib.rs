//! A desk that exchanges two currencies with its clients, as a sequence that nobody can leave.
//!
//! The token that this policy governs is the desk itself, for one pair: it has no units, its methods are the work
//! and its state holds the quotes. Each quote goes one way only:
//!
//! ```text
//! request (client) → lock (desk, at the feed's rate) → book (client) → settle (both pay) → reconcile (controller)
//! ```
//!
//! A quote that is not carried on in time ends by itself: there are no timers, a late step is refused. A quote's
//! number is never used again. The rate is read from a token under `oracle-feed` and refused if it is stale.
//! Settlement is accepted only if the same transition moves exactly the quoted amounts, both ways.
//!
//! *Rounding*: the amount in the quote currency is rounded once, up if the client pays it and down if the client
//! receives it, so it is off by less than one base unit, in favour of the desk.
//!
//! Left out on purpose: netting, partial settlement, and cancellation: an unwanted quote expires.
#![no_std]
extern crate alloc;

use alloc::vec::Vec;
use dsm_policy::feed::Latest;
use dsm_policy::math::{self, Rounding, mul_div};
use dsm_policy::{
    AccountId, Action, BorshDeserialize, BorshSerialize, Context, Denials, Deny, Digest, Fields, Key, KeyId,
    Outcome, Params, State, TokenId, View, borsh, ensure, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one desk: one pair of currencies.
#[derive(Debug, Clone, Params)]
pub struct FxQuote {
    /// The account that quotes and pays.
    pub desk: AccountId,
    /// The keys that admit clients and reconcile, 1 to 32; not the desk's own.
    pub controllers: Vec<KeyId>,
    /// How many distinct controller keys admit a client, at least 1; one reconciles.
    pub threshold: u64,
    /// The token that is bought and sold.
    pub base: TokenId,
    /// Decimal places of the base token, at most 18.
    pub base_decimals: u64,
    /// The token that pays for it.
    pub quote: TokenId,
    /// Decimal places of the quote token, at most 18.
    pub quote_decimals: u64,
    /// The token of the feed: the price of one whole base token in whole quote tokens.
    pub feed: TokenId,
    /// How old an observation behind the rate may be, in ms; the feed's heartbeat counts besides.
    pub rate_age_ms_max: u64,
    /// What the desk earns on either side, in hundredths of a percent of the rate, below 10,000.
    pub spread_bps: u64,
    /// How long a request waits for the desk and a locked quote for the client, in ms.
    pub lock_ms: u64,
    /// How long a booked quote waits for settlement, in ms.
    pub settle_ms: u64,
    /// Base units that all clients together may book on one UTC day.
    pub daily_max: u128,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// The account is not a client of this desk.
    NotClient = 100,
    /// Only the desk does this.
    NotDesk = 101,
    /// Too few of the controllers' keys signed.
    NotController = 102,
    /// The client has used this number before.
    NumberUsed = 103,
    /// The client has no quote of this number.
    NoQuote = 104,
    /// The quote is at another step.
    WrongStep = 105,
    /// The quote has expired.
    Expired = 106,
    /// The feed has no rate.
    NoRate = 107,
    /// The rate is stale.
    StaleRate = 108,
    /// The rate is not above zero.
    BadRate = 109,
    /// The amount is zero, or so small that nothing would be paid for it.
    TooSmall = 110,
    /// The pair's limit of the day is used up.
    OverPairLimit = 111,
    /// The client's limit of the day is used up.
    OverClientLimit = 112,
    /// The transition does not pay exactly the quoted amount of the base token.
    BaseNotPaid = 113,
    /// The transition does not pay exactly the quoted amount of the quote token.
    QuoteNotPaid = 114,
    /// A transition settles one quote: one payment must not answer two.
    OneSettlement = 115,
    /// Only the two parties of a quote settle it.
    NotParty = 116,
    /// The terms need 1 to 32 distinct controller keys and a threshold between 1 and their number, two different
    /// tokens of at most 18 decimals, a spread below 10,000, and times and a limit above zero.
    BadTerms = 117,
}

/// What the desk keeps of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Client {
    /// Base units that it may book on one UTC day.
    pub daily_max: u128,
}

/// How far a quote has come. There is one way through, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub enum Step {
    /// The client asked.
    Requested,
    /// The desk named its price.
    Locked,
    /// The client took it.
    Booked,
    /// Both paid.
    Settled,
    /// A controller found it in the books.
    Reconciled,
}

/// One quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Quote {
    /// How far it has come.
    pub step: Step,
    /// Whether the client buys the base token; otherwise it sells.
    pub buys: bool,
    /// Base units of the base token.
    pub base: u128,
    /// Base units of the quote token; 0 until locked.
    pub quote: u128,
    /// The feed's answer that the price rests on; 0 until locked.
    pub rate: i128,
    /// The feed's round that the price rests on; 0 until locked.
    pub round: u64,
    /// Until when the next step may be taken, that instant included, in ms since the Unix epoch. From settlement on it
    /// says nothing.
    pub until_ms: u64,
    /// What the controller reconciled with; zero until then.
    pub statement: Digest,
}

/// Base units booked on one UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Volume {
    /// Days since the Unix epoch.
    pub day: u64,
    /// Base units.
    pub base: u128,
}

const CONTROLLERS_MAX: usize = 32;
const DECIMALS_MAX: u64 = 18;
/// Hundredths of a percent in one, and the power of ten that this is.
const BPS: u64 = 10_000;
const BPS_DECIMALS: u32 = 4;
const DAY_MS: u64 = 86_400_000;
/// The position of the feed among the foreign reads.
const FEED: u8 = 0;
/// Base units that all clients have booked today.
pub(crate) const PAIR: [u8; 1] = *b"v";

pub(crate) fn client_key(client: AccountId) -> Key {
    Key::new(b'c').account(client)
}

pub(crate) fn volume_key(client: AccountId) -> Key {
    Key::new(b'v').account(client)
}

pub(crate) fn quote_key(client: AccountId, number: u64) -> Key {
    Key::new(b'q').account(client).number(number)
}

#[policy(
    name = "fx-quote",
    summary = "A currency desk for one pair: request, lock, book, settle both legs, reconcile, and no other path.",
    denials = Denied,
    foreign = [(feed, 0)]
)]
impl FxQuote {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let count = self.controllers.len();
        let distinct = (1..count).all(|i| !self.controllers[..i].contains(&self.controllers[i]));
        let reachable = (1..=count as u64).contains(&self.threshold);
        let tokens = self.base != self.quote && ![self.base, self.quote, self.feed].contains(&TokenId::NONE);
        let decimals = self.base_decimals <= DECIMALS_MAX && self.quote_decimals <= DECIMALS_MAX;
        let times = self.rate_age_ms_max > 0 && self.lock_ms > 0 && self.settle_ms > 0;
        let limits = self.spread_bps < BPS && self.daily_max > 0;
        let keys = count <= CONTROLLERS_MAX && distinct && reachable;
        ensure(keys && tokens && decimals && times && limits, Denied::BadTerms)
    }

    /// Makes an account a client that may book so many base units on one UTC day, or changes that limit; 0 ends it.
    /// Needs the controllers.
    #[method]
    fn admit(&self, context: &mut Context<'_>, client: AccountId, daily_max: u128) -> Outcome {
        self.controlled(context, self.threshold)?;
        if client == self.desk {
            return Err(Denied::NotClient.because("the desk does not deal with itself").field("client"));
        }
        if daily_max == 0 {
            client_of(&context.state(), client, "client")?;
            context.delete(client_key(client));
        } else {
            context.set(client_key(client), &Client { daily_max });
        }
        Ok(())
    }

    /// Asks for a price: `buys` is whether the client buys the base token, `amount` how many base units of it. By a
    /// client, under a number of its own that it has never used.
    #[method]
    fn request(&self, context: &mut Context<'_>, number: u64, buys: bool, amount: u128) -> Outcome {
        let (client, state) = (context.actor(), context.state());
        let standing = client_of(&state, client, "actor")?;
        let unused = !state.has(quote_key(client, number));
        ensure(unused, Denied::NumberUsed.field("number").hint("take the next number"))?;
        ensure(amount > 0, Denied::TooSmall.field("amount"))?;
        if amount > standing.daily_max {
            return Err(over(Denied::OverClientLimit, amount, standing.daily_max));
        }
        let until_ms = context.time_ms().saturating_add(self.lock_ms);
        let (quote, rate, round, statement) = (0, 0, 0, Digest([0; 32]));
        let step = Step::Requested;
        write(
            context,
            client,
            number,
            Quote { step, buys, base: amount, quote, rate, round, until_ms, statement },
        );
        Ok(())
    }

    /// Prices a request at the feed's rate and the desk's spread, and binds the desk to it for a while. By the desk.
    #[method]
    fn lock(&self, context: &mut Context<'_>, client: AccountId, number: u64) -> Outcome {
        ensure(context.actor() == self.desk, Denied::NotDesk.field("actor"))?;
        let quote = at_step(context, client, number, Step::Requested)?;
        let latest = self.rate(context)?;
        let price = self.price(quote.buys, quote.base, &latest)?;
        ensure(price > 0, Denied::TooSmall.because("at this rate nothing would be paid").field("number"))?;
        let until_ms = context.time_ms().saturating_add(self.lock_ms);
        let (rate, round) = (latest.answer, latest.round);
        let locked = Quote { step: Step::Locked, quote: price, rate, round, until_ms, ..quote };
        write(context, client, number, locked);
        Ok(())
    }

    /// Takes the locked price. From here on both parties owe. By the client, within both limits of the day.
    #[method]
    fn book(&self, context: &mut Context<'_>, number: u64) -> Outcome {
        let client = context.actor();
        let state = context.state();
        let standing = client_of(&state, client, "actor")?;
        let quote = at_step(context, client, number, Step::Locked)?;
        let day = context.time_ms() / DAY_MS;
        let pair = math::add(booked_on(&state, PAIR, day), quote.base)?;
        if pair > self.daily_max {
            return Err(over(Denied::OverPairLimit, pair, self.daily_max));
        }
        let own = math::add(booked_on(&state, volume_key(client), day), quote.base)?;
        if own > standing.daily_max {
            return Err(over(Denied::OverClientLimit, own, standing.daily_max));
        }
        context.set(PAIR, &Volume { day, base: pair });
        context.set(volume_key(client), &Volume { day, base: own });
        let until_ms = context.time_ms().saturating_add(self.settle_ms);
        write(context, client, number, Quote { step: Step::Booked, until_ms, ..quote });
        Ok(())
    }

    /// Settles a booked quote: the same transition pays exactly the quoted amounts, both ways. By the client or the
    /// desk.
    #[method]
    fn settle(&self, context: &mut Context<'_>, client: AccountId, number: u64) -> Outcome {
        ensure([client, self.desk].contains(&context.actor()), Denied::NotParty.field("actor"))?;
        let alone = !context.siblings().any(|leg| settles(&leg.action));
        ensure(
            alone,
            Denied::OneSettlement.field("method").hint("settle each quote in a transition of its own"),
        )?;
        let quote = at_step(context, client, number, Step::Booked)?;
        let (seller, buyer) = if quote.buys { (self.desk, client) } else { (client, self.desk) };
        paid(context, self.base, seller, buyer, quote.base, Denied::BaseNotPaid)?;
        paid(context, self.quote, buyer, seller, quote.quote, Denied::QuoteNotPaid)?;
        write(context, client, number, Quote { step: Step::Settled, ..quote });
        Ok(())
    }

    /// Confirms that a settled quote stands in the books, by the digest of the statement that shows it. Needs one
    /// controller; nothing follows.
    #[method]
    fn reconcile(
        &self,
        context: &mut Context<'_>,
        client: AccountId,
        number: u64,
        statement: Digest,
    ) -> Outcome {
        self.controlled(context, 1)?;
        let quote = at_step(context, client, number, Step::Settled)?;
        write(context, client, number, Quote { step: Step::Reconciled, statement, ..quote });
        Ok(())
    }

    /// A quote: how far it has come, `expired` if it can go no further, how many steps were taken, what each side pays,
    /// and at which rate.
    #[query]
    fn quote(&self, view: &View<'_>, client: AccountId, number: u64) -> Result<Fields, Deny> {
        let quote = quote_of(&view.state(), client, number)?;
        let step = if expired(&quote, view.time_ms()) { "expired" } else { word(quote.step) };
        Ok(Fields::new()
            .with("step", alloc::string::String::from(step))
            .with("steps", steps(quote.step))
            .with("buys", quote.buys)
            .with("base", quote.base)
            .with("quote", quote.quote)
            .with("rate", quote.rate)
            .with("round", quote.round)
            .with("until_ms", quote.until_ms)
            .with("statement", quote.statement))
    }

    /// What a client and all clients together have booked today (UTC), and what the limits leave the client.
    #[query]
    fn limits(&self, view: &View<'_>, client: AccountId) -> Fields {
        let (state, day) = (view.state(), view.time_ms() / DAY_MS);
        let standing: Option<Client> = state.get(client_key(client));
        let (pair, own) = (booked_on(&state, PAIR, day), booked_on(&state, volume_key(client), day));
        let own_left = standing.map_or(0, |client| client.daily_max.saturating_sub(own));
        Fields::new()
            .with("client", standing.is_some())
            .with("booked", own)
            .with("booked_by_all", pair)
            .with("left", own_left.min(self.daily_max.saturating_sub(pair)))
    }

    fn controlled(&self, context: &Context<'_>, threshold: u64) -> Outcome {
        let signed = context.signed_by_keys(&self.controllers);
        if signed < threshold {
            let reason = text![signed, " of ", threshold, " controller keys signed"];
            return Err(Denied::NotController.because(reason).field("signers"));
        }
        Ok(())
    }

    /// The feed's newest round, if it may be relied on now.
    fn rate(&self, context: &Context<'_>) -> Result<Latest, Deny> {
        let now = context.time_ms();
        let latest = Latest::of(context, FEED).ok_or_else(|| Denied::NoRate.field("feed"))?;
        let hint = "wait for the feed's next round";
        if !latest.fresh(now) {
            let reason = text!["the feed's heartbeat after round ", latest.round, " has passed"];
            return Err(Denied::StaleRate.because(reason).field("feed").hint(hint));
        }
        let age = latest.age_ms(now);
        if age > self.rate_age_ms_max {
            let reason = text![
                "round ",
                latest.round,
                " rests on what was seen ",
                age,
                " ms ago, the limit is ",
                self.rate_age_ms_max
            ];
            return Err(Denied::StaleRate.because(reason).field("feed").hint(hint));
        }
        ensure(latest.answer > 0, Denied::BadRate.field("feed"))?;
        Ok(latest)
    }

    /// Base units of the quote token for `base` units of the base token. One division, rounded once: up if the client
    /// pays, down if the client receives.
    fn price(&self, buys: bool, base: u128, latest: &Latest) -> Result<u128, Deny> {
        let (share, rounding) = if buys {
            (BPS + self.spread_bps, Rounding::Up)
        } else {
            (BPS - self.spread_bps, Rounding::Down)
        };
        let rate = mul_div(latest.answer.unsigned_abs(), u128::from(share), 1, Rounding::Down)?;
        // amount · rate · 10^quote decimals / 10^(base decimals + the rate's decimals): the shares of the spread
        // are four more. Powers of ten that do not fit have no exact result.
        let up = self.quote_decimals as u32;
        let down = self.base_decimals as u32 + u32::from(latest.decimals) + BPS_DECIMALS;
        let power = |exponent| 10_u128.checked_pow(exponent).ok_or(math::MathError::OutOfRange);
        let rate = mul_div(rate, power(up.saturating_sub(down))?, 1, Rounding::Down)?;
        Ok(mul_div(base, rate, power(down.saturating_sub(up))?, rounding)?)
    }
}

fn client_of(state: &State<'_>, client: AccountId, field: &str) -> Result<Client, Deny> {
    state.get(client_key(client)).ok_or_else(|| {
        let reason = text!["account ", client, ".. is not a client of this desk"];
        Denied::NotClient.because(reason).field(field).hint("the controllers admit it with `admit`")
    })
}

fn quote_of(state: &State<'_>, client: AccountId, number: u64) -> Result<Quote, Deny> {
    state.get(quote_key(client, number)).ok_or_else(|| {
        let reason = text!["account ", client, ".. has no quote number ", number];
        Denied::NoQuote.because(reason).field("number")
    })
}

/// The quote, if it stands at `step` and has not expired: the only way to a quote that is to be changed.
fn at_step(context: &Context<'_>, client: AccountId, number: u64, step: Step) -> Result<Quote, Deny> {
    let quote = quote_of(&context.state(), client, number)?;
    if quote.step != step {
        let reason = text!["the quote is ", word(quote.step), "; this step needs one that is ", word(step)];
        return Err(Denied::WrongStep.because(reason).field("number"));
    }
    if expired(&quote, context.time_ms()) {
        let late = context.time_ms() - quote.until_ms;
        let reason = text!["the quote was ", word(step), " and expired ", late, " ms ago"];
        return Err(Denied::Expired.because(reason).field("number").hint("request a new quote"));
    }
    Ok(quote)
}

/// Whether the quote can go no further. What is settled waits for its controller as long as it takes.
fn expired(quote: &Quote, now_ms: u64) -> bool {
    matches!(quote.step, Step::Requested | Step::Locked | Step::Booked) && now_ms > quote.until_ms
}

fn write(context: &mut Context<'_>, client: AccountId, number: u64, quote: Quote) {
    context.set(quote_key(client, number), &quote);
    let payload = borsh::to_vec(&(client, number, quote)).unwrap_or_default();
    context.event(word(quote.step), payload);
}

/// Whether the other legs pay exactly `amount`: neither less nor more.
fn paid(
    context: &Context<'_>,
    token: TokenId,
    from: AccountId,
    to: AccountId,
    amount: u128,
    denied: Denied,
) -> Outcome {
    let less = !context.sibling_pays(token, from, to, amount);
    let more = amount.checked_add(1).is_some_and(|above| context.sibling_pays(token, from, to, above));
    if less || more {
        let how = if less { "less than " } else { "more than " };
        let reason = text!["the transition pays ", how, amount, " from ", from, ".. to ", to, ".."];
        let hint = text!["add a transfer of exactly ", amount, " base units of token ", token, ".."];
        return Err(denied.because(reason).field("amount").hint(hint));
    }
    Ok(())
}

/// Whether the leg settles a quote of any desk: desks of one bank could ask for the same payment.
fn settles(action: &Action) -> bool {
    matches!(action, Action::Invoke { method, .. } if method == "settle")
}

fn booked_on(state: &State<'_>, key: impl AsRef<[u8]>, day: u64) -> u128 {
    state.get(key).map_or(0, |volume: Volume| if volume.day == day { volume.base } else { 0 })
}

fn over(denied: Denied, wanted: u128, max: u128) -> Deny {
    let reason = text![wanted, " base units on this day exceed the limit of ", max];
    denied.because(reason).field("amount")
}

/// How many steps were taken up to this one.
fn steps(step: Step) -> u64 {
    match step {
        Step::Requested => 1,
        Step::Locked => 2,
        Step::Booked => 3,
        Step::Settled => 4,
        Step::Reconciled => 5,
    }
}

fn word(step: Step) -> &'static str {
    match step {
        Step::Requested => "requested",
        Step::Locked => "locked",
        Step::Booked => "booked",
        Step::Settled => "settled",
        Step::Reconciled => "reconciled",
    }
}
