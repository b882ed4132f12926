//! A limit on how fast units may leave an account: base units per transfer, and base units per account and UTC day.
//!
//! Put it beside another policy in a token's list: it says *how much* may move and nothing about *who* may take part.
//! A transfer counts for its sender, and so does an executed hold for the owner of the hold. What is not a movement
//! away from an account stays open: claiming, releasing a hold, destroying one's own units. New units come from the
//! token's issuer alone, so that a token without another policy cannot be inflated by strangers. The limits stand in
//! the token's terms; if the terms name authorities, these may set others.
//!
//! A policy of the same token that itself executes a hold does so without this policy's judgement.
#![no_std]
extern crate alloc;

use alloc::vec::Vec;
use dsm_policy::{
    AccountId, Action, BorshDeserialize, BorshSerialize, Burn, Claim, Context, Denials, Execute, Fields, Key,
    KeyId, Leg, Mint, NewHold, Outcome, Params, Release, State, Transfer, View, borsh, ensure, math, policy,
    text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one token.
#[derive(Debug, Clone, Params)]
pub struct SpendLimit {
    /// Base units that one transfer may move; 0 sets no limit.
    pub transfer_max: u128,
    /// Base units that one account may send on one UTC day; 0 sets no limit.
    pub daily_max: u128,
    /// The keys that may set other limits together, at most 16; without any the limits are fixed.
    pub authorities: Vec<KeyId>,
    /// How many distinct authority keys must sign; 0 if there are none.
    pub threshold: u64,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// The amount is larger than one transfer may move.
    OverTransferLimit = 100,
    /// What the account sends on this UTC day would exceed the daily limit.
    OverDailyLimit = 101,
    /// Too few authority keys signed, or the terms name none and the limits are fixed.
    NotAuthorized = 102,
    /// Only the account that created the token issues new units.
    NotIssuer = 103,
    /// The terms take at most 16 distinct authorities and a threshold between 1 and their number, or neither.
    BadTerms = 104,
}

/// Limits that the authorities set; they replace those of the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Limits {
    /// Base units that one transfer may move; 0 sets no limit.
    pub transfer_max: u128,
    /// Base units that one account may send on one UTC day; 0 sets no limit.
    pub daily_max: u128,
}

/// What an account sent on one day. One record per account: an old day is overwritten, so state does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Sent {
    /// Days since the Unix epoch, UTC.
    pub day: u64,
    /// Base units.
    pub sent: u128,
}

const AUTHORITIES_MAX: usize = 16;
const DAY_MS: u64 = 86_400_000;
pub(crate) const LIMITS: &[u8] = b"l";

pub(crate) fn sent_key(account: AccountId) -> Key {
    Key::new(b'd').account(account)
}

#[policy(
    name = "spend-limit",
    summary = "Limits what one account sends, per transfer and per UTC day.",
    denials = Denied
)]
impl SpendLimit {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let count = self.authorities.len();
        let distinct = (1..count).all(|i| !self.authorities[..i].contains(&self.authorities[i]));
        let reachable = self.threshold <= count as u64 && (self.threshold == 0) == (count == 0);
        ensure(count <= AUTHORITIES_MAX && distinct && reachable, Denied::BadTerms)
    }

    fn mint(&self, context: &mut Context<'_>, _: Mint) -> Outcome {
        ensure(context.actor() == context.token().issuer, Denied::NotIssuer.field("actor"))
    }

    fn burn(&self, _: &mut Context<'_>, _: Burn) -> Outcome {
        Ok(())
    }

    fn transfer(&self, context: &mut Context<'_>, transfer: Transfer) -> Outcome {
        let sender = context.actor();
        self.within_limits(context, sender, transfer.amount)
    }

    fn claim(&self, _: &mut Context<'_>, _: Claim) -> Outcome {
        Ok(())
    }

    /// What is set aside may leave the account later, so it is no larger than a transfer may be.
    fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome {
        small_enough(self.limits(&context.state()), hold.amount)
    }

    fn release(&self, _: &mut Context<'_>, _: Release) -> Outcome {
        Ok(())
    }

    fn execute(&self, context: &mut Context<'_>, execute: Execute) -> Outcome {
        self.within_limits(context, execute.hold.owner, execute.hold.amount)
    }

    /// Sets other limits, in base units; 0 sets no limit. Needs the authorities.
    #[method]
    fn set_limits(&self, context: &mut Context<'_>, transfer_max: u128, daily_max: u128) -> Outcome {
        let signed = context.signed_by_keys(&self.authorities);
        if self.authorities.is_empty() || signed < self.threshold {
            let reason = text![signed, " of ", self.threshold, " authority keys signed"];
            return Err(Denied::NotAuthorized.because(reason).field("signers"));
        }
        context.set(LIMITS, &Limits { transfer_max, daily_max });
        Ok(())
    }

    /// The limits in force, in base units; 0 is no limit.
    #[query]
    fn limits_in_force(&self, view: &View<'_>) -> Fields {
        let limits = self.limits(&view.state());
        Fields::new().with("transfer_max", limits.transfer_max).with("daily_max", limits.daily_max)
    }

    /// What an account has sent today (UTC), and what the daily limit leaves; without a limit, all there is.
    #[query]
    fn sent(&self, view: &View<'_>, account: AccountId) -> Fields {
        let day = view.time_ms() / DAY_MS;
        let sent = sent_on(&view.state(), account, day);
        let max = self.limits(&view.state()).daily_max;
        let max = if max == 0 { u128::MAX } else { max };
        Fields::new().with("day", day).with("sent", sent).with("left", max.saturating_sub(sent))
    }

    fn limits(&self, state: &State<'_>) -> Limits {
        let terms = Limits { transfer_max: self.transfer_max, daily_max: self.daily_max };
        state.get(LIMITS).unwrap_or(terms)
    }

    /// Both limits for one movement away from `sender`. All its movements in the transition count together against
    /// the day, and the last of them keeps the account of all, because two legs may not write one key. The last, not
    /// the first: legs that policies request are judged after the others, which never saw them. If both kinds move
    /// units of one account, both write the key and the host refuses the transition; counting too little is worse.
    fn within_limits(&self, context: &mut Context<'_>, sender: AccountId, amount: u128) -> Outcome {
        let limits = self.limits(&context.state());
        small_enough(limits, amount)?;
        if limits.daily_max == 0 {
            return Ok(());
        }
        let token = context.token().id;
        let (mut total, mut last) = (0, 0);
        for (index, leg) in context.legs().iter().enumerate().filter(|(_, leg)| leg.token == token) {
            if let Some(moved) = moved(leg, sender) {
                total = math::add(total, moved)?;
                last = index;
            }
        }
        let day = context.time_ms() / DAY_MS;
        let before = sent_on(&context.state(), sender, day);
        let sent = math::add(before, total)?;
        if sent > limits.daily_max {
            let reason = text![sent, " base units on this day exceed the daily limit of ", limits.daily_max];
            let left = limits.daily_max.saturating_sub(before);
            let hint = text!["at most ", left, " can still be sent on this UTC day"];
            return Err(Denied::OverDailyLimit.because(reason).field("amount").hint(hint));
        }
        if last == context.leg_index() {
            context.set(sent_key(sender), &Sent { day, sent });
        }
        Ok(())
    }
}

fn small_enough(limits: Limits, amount: u128) -> Outcome {
    let max = limits.transfer_max;
    if max != 0 && amount > max {
        let reason = text!["the amount of ", amount, " exceeds the limit of ", max, " for one transfer"];
        let hint = text!["send at most ", max, " at once"];
        return Err(Denied::OverTransferLimit.because(reason).field("amount").hint(hint));
    }
    Ok(())
}

/// Base units that the leg moves away from `sender`, if it does.
fn moved(leg: &Leg, sender: AccountId) -> Option<u128> {
    match &leg.action {
        Action::Transfer { amount, .. } if leg.actor == sender => Some(*amount),
        Action::Execute { hold } if hold.owner == sender => Some(hold.amount),
        _ => None,
    }
}

fn sent_on(state: &State<'_>, account: AccountId, day: u64) -> u128 {
    let record: Option<Sent> = state.get(sent_key(account));
    record.filter(|record| record.day == day).map_or(0, |record| record.sent)
}
