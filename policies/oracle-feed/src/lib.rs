//! A feed of one quantity, such as a rate of exchange, that other policies may rely on.
//!
//! Admins (m of n keys) say which accounts are transmitters. Each transmitter signs what it observes for a round;
//! one of them brings the signed observations as evidence, and the median becomes the feed's answer. Every
//! observation that comes along has to count: of a transmitter, made lately, enough of them. A round that moves the
//! answer further than the terms allow is refused until the admins sign it too.
//!
//! The newest round stands under [`dsm_policy::feed::LATEST`], where policies of other tokens read it. There are no
//! timers: a feed that falls silent changes nothing, and whoever reads it asks whether its heartbeat has passed.
//!
//! Left out on purpose: payment of transmitters, and any opinion about the sign of an answer; rates may be negative.
#![no_std]
extern crate alloc;

use alloc::vec::Vec;
use dsm_policy::feed::{LATEST, Latest};
use dsm_policy::math::{Rounding, mul_div};
use dsm_policy::{
    AccountId, BorshDeserialize, BorshSerialize, Context, Denials, Deny, Digest, Fields, Key, KeyId, Outcome,
    Params, Round, View, borsh, ensure, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one feed.
#[derive(Debug, Clone, Params)]
pub struct OracleFeed {
    /// The feed whose rounds count: the hash of its name.
    pub feed: Digest,
    /// Decimal places of every answer, at most 18.
    pub decimals: u64,
    /// The keys that say who transmits and confirm large moves, 1 to 32.
    pub admins: Vec<KeyId>,
    /// How many distinct admin keys must sign, at least 1.
    pub threshold: u64,
    /// How many transmitters must have observed a round, 1 to 16.
    pub observers_min: u64,
    /// How long an answer may be used after its round came, in ms.
    pub heartbeat_ms: u64,
    /// The furthest that a round may move the answer without the admins, in hundredths of a percent of the last one.
    pub deviation_bps: u64,
    /// How old an observation may be when its round comes, in ms.
    pub age_ms_max: u64,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// Too few of the feed's admin keys signed.
    NotAdmin = 100,
    /// An account is not a transmitter of this feed.
    NotTransmitter = 101,
    /// The account is a transmitter of this feed already.
    AlreadyTransmitter = 102,
    /// No round of this feed with this number came with the transition.
    NoRound = 103,
    /// The round is not newer than the last one.
    RoundNotNew = 104,
    /// The round's number lies too far ahead of the last one.
    RoundTooFar = 105,
    /// The round's answers have other decimal places than the feed.
    OtherDecimals = 106,
    /// Too few transmitters observed the round.
    TooFewObservers = 107,
    /// An observation is too old.
    TooOld = 108,
    /// An observation was made later than now.
    InFuture = 109,
    /// The round moves the answer further than it may without the admins.
    Deviates = 110,
    /// The feed does not keep this round, or none yet.
    UnknownRound = 111,
    /// The terms need 1 to 32 distinct admin keys and a threshold between 1 and their number, at most 18 decimals,
    /// 1 to 16 observers, and a heartbeat, a deviation and an age above zero.
    BadTerms = 112,
}

/// What the feed keeps of a transmitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Transmitter {
    /// When the admins admitted it, in ms since the Unix epoch.
    pub since_ms: u64,
}

const ADMINS_MAX: usize = 32;
const DECIMALS_MAX: u64 = 18;
/// A round cannot hold more observations.
const OBSERVERS_MAX: u64 = 16;
/// How far the clock of a transmitter may be ahead of the sequencer's.
const AHEAD_MS_MAX: u64 = 2_000;
/// How many numbers a round may skip: rounds that failed leave gaps, but nobody may use the numbers up.
const STEP_MAX: u64 = 1_000;
/// Past rounds that are kept, so that the state stays small.
const KEPT: u64 = 64;
/// Hundredths of a percent in one.
const BPS: u128 = 10_000;
/// Transmitters that one query lists: within the 64 reads of one call.
const PAGE: u32 = 32;
const TRANSMITTERS: Key = Key::new(b't');

pub(crate) fn transmitter_key(account: AccountId) -> Key {
    TRANSMITTERS.account(account)
}

pub(crate) fn round_key(round: u64) -> Key {
    Key::new(b'r').number(round % KEPT)
}

#[policy(
    name = "oracle-feed",
    summary = "A feed of one quantity: the median of what its transmitters signed, round by round.",
    denials = Denied,
    evidence = [OracleRound]
)]
impl OracleFeed {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let count = self.admins.len();
        let distinct = (1..count).all(|i| !self.admins[..i].contains(&self.admins[i]));
        let reachable = (1..=count as u64).contains(&self.threshold);
        let observers = (1..=OBSERVERS_MAX).contains(&self.observers_min);
        let limits = self.heartbeat_ms > 0 && self.deviation_bps > 0 && self.age_ms_max > 0;
        let sound = count <= ADMINS_MAX && distinct && reachable && observers && limits;
        ensure(sound && self.decimals <= DECIMALS_MAX, Denied::BadTerms)
    }

    /// Lets an account observe rounds and bring them. Needs the admins.
    #[method]
    fn admit(&self, context: &mut Context<'_>, account: AccountId) -> Outcome {
        self.administered(context)?;
        let known = context.state().has(transmitter_key(account));
        ensure(!known, Denied::AlreadyTransmitter.field("account"))?;
        context.set(transmitter_key(account), &Transmitter { since_ms: context.time_ms() });
        Ok(())
    }

    /// Ends an account's right to observe and to bring rounds. Needs the admins.
    #[method]
    fn remove(&self, context: &mut Context<'_>, account: AccountId) -> Outcome {
        self.administered(context)?;
        transmits(context, account, "account")?;
        context.delete(transmitter_key(account));
        Ok(())
    }

    /// Adopts the round of this number, whose signed observations came with the transition. By a transmitter; a large
    /// move needs the admins too.
    #[method]
    fn transmit(&self, context: &mut Context<'_>, round: u64) -> Outcome {
        transmits(context, context.actor(), "actor")?;
        let found = self.round_of(context, round)?;
        let last: Option<Latest> = context.state().get(LATEST);
        if let Some(last) = last {
            follows(last.round, round)?;
        }
        let observed_ms = self.observed(context, &found)?;
        let answer = found.median().ok_or(Denied::TooFewObservers)?;
        if let Some(last) = last {
            self.near(context, last.answer, answer)?;
        }
        let (updated_ms, heartbeat_ms) = (context.time_ms(), self.heartbeat_ms);
        let decimals = found.decimals;
        let latest = Latest { round, answer, decimals, observed_ms, updated_ms, heartbeat_ms };
        context.set(LATEST, &latest);
        context.set(round_key(round), &latest);
        context.event("round", borsh::to_vec(&latest).unwrap_or_default());
        Ok(())
    }

    /// The newest round, and whether it may still be used.
    #[query]
    fn latest(&self, view: &View<'_>) -> Result<Fields, Deny> {
        let latest: Latest = view.state().get(LATEST).ok_or(Denied::UnknownRound)?;
        Ok(shown(&latest).with("fresh", latest.fresh(view.time_ms())))
    }

    /// An earlier round by its number, if it is among the last 64 that the feed keeps.
    #[query]
    fn round(&self, view: &View<'_>, number: u64) -> Result<Fields, Deny> {
        let kept: Option<Latest> = view.state().get(round_key(number));
        let found = kept.filter(|kept| kept.round == number);
        Ok(shown(&found.ok_or_else(|| Denied::UnknownRound.field("number"))?))
    }

    /// Up to 32 transmitters after the given account, in order of their ids; the zero id starts at the first.
    #[query]
    fn transmitters(&self, view: &View<'_>, after: AccountId) -> Fields {
        let entries = view.state().scan::<Transmitter>(TRANSMITTERS, transmitter_key(after).as_ref(), PAGE);
        let ids = entries.iter().filter_map(|(key, _)| key.get(1..)?.try_into().ok());
        Fields::new().with("accounts", ids.map(AccountId).collect::<Vec<_>>())
    }

    fn administered(&self, context: &Context<'_>) -> Outcome {
        let signed = context.signed_by_keys(&self.admins);
        if signed < self.threshold {
            let reason = text![signed, " of ", self.threshold, " admin keys signed"];
            return Err(Denied::NotAdmin.because(reason).field("signers"));
        }
        Ok(())
    }

    /// The round of this feed and number among the evidence.
    fn round_of<'a>(&self, context: &Context<'a>, number: u64) -> Result<Round<'a>, Deny> {
        let mut rounds = context.rounds().filter(|round| round.feed == self.feed && round.round == number);
        let found = rounds.next().ok_or_else(|| {
            Denied::NoRound.field("round").hint("bring the observations of this feed and round as evidence")
        })?;
        if u64::from(found.decimals) != self.decimals {
            let reason = text![
                "the answers have ",
                u64::from(found.decimals),
                " decimal places, the feed has ",
                self.decimals
            ];
            return Err(Denied::OtherDecimals.because(reason).field("round"));
        }
        Ok(found)
    }

    /// When the oldest observation of the round was made, if all of them count and they are enough.
    fn observed(&self, context: &Context<'_>, round: &Round<'_>) -> Result<u64, Deny> {
        let now = context.time_ms();
        let mut oldest = u64::MAX;
        for one in round.observations {
            transmits(context, one.account, "observations")?;
            if one.observed_ms > now.saturating_add(AHEAD_MS_MAX) {
                let reason = text![
                    "account ",
                    one.account,
                    ".. says it observed ",
                    one.observed_ms - now,
                    " ms from now"
                ];
                return Err(Denied::InFuture.because(reason).field("observations"));
            }
            let age = now.saturating_sub(one.observed_ms);
            if age > self.age_ms_max {
                let reason = text![
                    "what account ",
                    one.account,
                    ".. observed is ",
                    age,
                    " ms old, the limit is ",
                    self.age_ms_max
                ];
                let hint = "leave it out or let the account observe again";
                return Err(Denied::TooOld.because(reason).field("observations").hint(hint));
            }
            oldest = oldest.min(one.observed_ms);
        }
        let count = round.observations.len() as u64;
        if count < self.observers_min {
            let reason = text![count, " of ", self.observers_min, " transmitters observed the round"];
            return Err(Denied::TooFewObservers.because(reason).field("observations"));
        }
        Ok(oldest)
    }

    /// Whether the answer stays near enough to the last one, or the admins signed.
    fn near(&self, context: &Context<'_>, last: i128, answer: i128) -> Outcome {
        let moved = moved_bps(last, answer);
        if moved > u128::from(self.deviation_bps) && context.signed_by_keys(&self.admins) < self.threshold {
            let reason = text![
                "the answer moves by ",
                moved,
                " hundredths of a percent, the limit is ",
                self.deviation_bps
            ];
            let hint = text!["let ", self.threshold, " admin keys sign the same transition"];
            return Err(Denied::Deviates.because(reason).field("round").hint(hint));
        }
        Ok(())
    }
}

fn transmits(context: &Context<'_>, account: AccountId, field: &str) -> Outcome {
    if context.state().has(transmitter_key(account)) {
        return Ok(());
    }
    let reason = text!["account ", account, ".. is not a transmitter of this feed"];
    Err(Denied::NotTransmitter.because(reason).field(field).hint("the admins admit it with `admit`"))
}

fn follows(last: u64, round: u64) -> Outcome {
    if round <= last {
        let reason = text!["round ", round, " is not newer than round ", last];
        return Err(Denied::RoundNotNew.because(reason).field("round"));
    }
    if round - last > STEP_MAX {
        let reason = text!["round ", round, " lies more than ", STEP_MAX, " after round ", last];
        return Err(Denied::RoundTooFar.because(reason).field("round"));
    }
    Ok(())
}

/// How far `answer` lies from `last`, in hundredths of a percent of `last`, rounded up: a move of any size counts.
/// What no number expresses, such as a move away from zero, is further than every limit.
fn moved_bps(last: i128, answer: i128) -> u128 {
    match answer.abs_diff(last) {
        0 => 0,
        distance => mul_div(distance, BPS, last.unsigned_abs(), Rounding::Up).unwrap_or(u128::MAX),
    }
}

fn shown(latest: &Latest) -> Fields {
    Fields::new()
        .with("round", latest.round)
        .with("answer", latest.answer)
        .with("decimals", u64::from(latest.decimals))
        .with("observed_ms", latest.observed_ms)
        .with("updated_ms", latest.updated_ms)
        .with("heartbeat_ms", latest.heartbeat_ms)
}
