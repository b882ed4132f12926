//! Settlement cash: the payment leg of delivery versus payment, foreign exchange and escrow.
//!
//! The authority (a central bank, a settlement bank) issues units against money it received and destroys them
//! when it pays out. Participants pay each other within two limits: base units per payment, and base units per
//! account and UTC day. Money may be set aside in escrow; paying it out later counts as a payment of its owner
//! on that day. A payment beyond the payer's available money is refused here, with this policy's own code.
#![no_std]
extern crate alloc;

use alloc::vec::Vec;
use dsm_policy::{
    AccountId, Action, BorshDeserialize, BorshSerialize, Burn, Claim, Context, Denials, Execute, Fields,
    HoldKind, Key, KeyId, Leg, Mint, NewHold, Outcome, Params, Release, State, Transfer, Upgrade, View,
    borsh, ensure, math, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one currency.
#[derive(Debug, Clone, Params)]
pub struct Cash {
    /// The keys that issue and redeem together, 1 to 32.
    pub authorities: Vec<KeyId>,
    /// How many distinct authority keys must sign, at least 1.
    pub threshold: u64,
    /// Base units that one payment may move; 0 sets no limit.
    pub transfer_max: u128,
    /// Base units that one account may pay on one UTC day; 0 sets no limit.
    pub daily_max: u128,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// Too few keys of the issuing authority signed.
    NotAuthority = 100,
    /// The payer does not have enough available money.
    InsufficientFunds = 101,
    /// The payment is larger than one payment may be.
    OverTransferLimit = 102,
    /// The payer's payments of this UTC day would exceed the daily limit.
    OverDailyLimit = 103,
    /// Cash can be set aside in escrow only; it is not pledged, locked or under a lien.
    HoldKind = 104,
    /// The terms need 1 to 32 distinct authorities and a threshold between 1 and their number.
    BadTerms = 105,
}

/// What an account paid on one day. One record per account: an old day is overwritten, so state does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Outflow {
    /// Days since the Unix epoch, UTC.
    pub day: u64,
    /// Base units.
    pub paid: u128,
}

const AUTHORITIES_MAX: usize = 32;
const DAY_MS: u64 = 86_400_000;

pub(crate) fn outflow_key(account: AccountId) -> Key {
    Key::new(b'd').account(account)
}

#[policy(
    name = "cash",
    summary = "Settlement cash: issued and redeemed by its authority, limited per payment and per day.",
    denials = Denied
)]
impl Cash {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        self.check_terms()
    }

    /// Takes over from any policy: what is not an outflow of this form counts as nothing paid.
    fn upgrade(&self, _: &mut Context<'_>, _: Upgrade) -> Outcome {
        self.check_terms()
    }

    fn mint(&self, context: &mut Context<'_>, _: Mint) -> Outcome {
        self.authorized(context)
    }

    /// Redemption: the holder destroys units while the authority, which signs too, pays out.
    fn burn(&self, context: &mut Context<'_>, burn: Burn) -> Outcome {
        self.authorized(context)?;
        funded(context, context.actor(), burn.amount)
    }

    fn transfer(&self, context: &mut Context<'_>, transfer: Transfer) -> Outcome {
        let payer = context.actor();
        let token = context.token().id;
        let transfers = context.legs().iter().filter(|leg| leg.token == token && leg.actor == payer);
        let total = transfers.filter_map(transferred).try_fold(0, math::add)?;
        funded(context, payer, total)?;
        self.within_limits(context, payer, transfer.amount)
    }

    fn claim(&self, _: &mut Context<'_>, _: Claim) -> Outcome {
        Ok(())
    }

    fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome {
        ensure(
            hold.kind == HoldKind::Escrow,
            Denied::HoldKind.field("kind").hint("make the hold with kind `escrow`"),
        )?;
        self.small_enough(hold.amount)?;
        funded(context, context.actor(), hold.amount)
    }

    fn release(&self, _: &mut Context<'_>, _: Release) -> Outcome {
        Ok(())
    }

    fn execute(&self, context: &mut Context<'_>, execute: Execute) -> Outcome {
        self.within_limits(context, execute.hold.owner, execute.hold.amount)
    }

    /// What an account has paid today (UTC), and what the daily limit leaves; without a limit, all there is.
    #[query]
    fn outflow(&self, view: &View<'_>, account: AccountId) -> Fields {
        let day = view.time_ms() / DAY_MS;
        let paid = paid_on(&view.state(), account, day);
        let max = if self.daily_max == 0 { u128::MAX } else { self.daily_max };
        Fields::new().with("day", day).with("paid", paid).with("left", max.saturating_sub(paid))
    }

    fn check_terms(&self) -> Outcome {
        let count = self.authorities.len();
        let distinct = (1..count).all(|i| !self.authorities[..i].contains(&self.authorities[i]));
        let reachable = (1..=count as u64).contains(&self.threshold);
        ensure(count <= AUTHORITIES_MAX && distinct && reachable, Denied::BadTerms)
    }

    fn authorized(&self, context: &Context<'_>) -> Outcome {
        let signed = context.signed_by_keys(&self.authorities);
        if signed < self.threshold {
            let reason = text![signed, " of ", self.threshold, " keys of the issuing authority signed"];
            return Err(Denied::NotAuthority.because(reason).field("signers"));
        }
        Ok(())
    }

    fn small_enough(&self, amount: u128) -> Outcome {
        if self.transfer_max != 0 && amount > self.transfer_max {
            let reason = text!["the payment of ", amount, " exceeds the limit of ", self.transfer_max];
            return Err(Denied::OverTransferLimit.because(reason).field("amount").hint("split the payment"));
        }
        Ok(())
    }

    /// Both limits for one payment of `payer`. All payments of the payer in the transition count together
    /// against the day, and the last of them keeps the account of all, because two legs may not write one key. The
    /// last and not the first: a leg that another policy requests is judged after the direct ones, which do not see
    /// it. Beside a direct payment of the same payer it then writes the key twice, and the host refuses both.
    fn within_limits(&self, context: &mut Context<'_>, payer: AccountId, amount: u128) -> Outcome {
        self.small_enough(amount)?;
        if self.daily_max == 0 {
            return Ok(());
        }
        let token = context.token().id;
        let (mut total, mut last) = (0, None);
        for (index, leg) in context.legs().iter().enumerate().filter(|(_, leg)| leg.token == token) {
            if let Some(paid) = payment(leg, payer) {
                total = math::add(total, paid)?;
                last = Some(index);
            }
        }
        let day = context.time_ms() / DAY_MS;
        let paid = math::add(paid_on(&context.state(), payer, day), total)?;
        if paid > self.daily_max {
            let reason =
                text!["payments of ", paid, " on this day exceed the daily limit of ", self.daily_max];
            let hint = "pay the rest on the next UTC day";
            return Err(Denied::OverDailyLimit.because(reason).field("amount").hint(hint));
        }
        if last == Some(context.leg_index()) {
            context.set(outflow_key(payer), &Outflow { day, paid });
        }
        Ok(())
    }
}

/// Base units that the leg takes from `payer`, if it is a payment of `payer`.
fn payment(leg: &Leg, payer: AccountId) -> Option<u128> {
    match &leg.action {
        Action::Execute { hold } if hold.owner == payer => Some(hold.amount),
        _ if leg.actor == payer => transferred(leg),
        _ => None,
    }
}

fn transferred(leg: &Leg) -> Option<u128> {
    match &leg.action {
        Action::Transfer { amount, .. } => Some(*amount),
        _ => None,
    }
}

fn paid_on(state: &State<'_>, account: AccountId, day: u64) -> u128 {
    let kept = state.bytes(outflow_key(account)).and_then(|bytes| Outflow::try_from_slice(&bytes).ok());
    kept.map_or(0, |outflow| if outflow.day == day { outflow.paid } else { 0 })
}

fn funded(context: &Context<'_>, payer: AccountId, amount: u128) -> Outcome {
    let available = context.available(payer);
    if available < amount {
        let reason = text!["the payer has ", available, " available and would pay ", amount];
        let hint = "money in escrow is not available";
        return Err(Denied::InsufficientFunds.because(reason).field("amount").hint(hint));
    }
    Ok(())
}
