//! A plain token, such as a loyalty point or a fund unit: issued by a group, moved freely by its holders.
//!
//! New units need the signatures of `threshold` distinct authority keys. The same quorum can pause the token in
//! an emergency and freeze single accounts. While the token is paused nothing moves, but pledges may still be
//! released, because a release moves no units. A holder may always destroy its own units unless paused.
//!
//! It can take the place of any policy: of the state that it finds it reads the pause and nothing else, so that a
//! token that is paused stays paused.
#![no_std]
extern crate alloc;

use alloc::vec::Vec;
use dsm_policy::{
    AccountId, Action, Burn, Claim, Context, Denials, Deny, Execute, Fields, Key, KeyId, Mint, NewHold,
    Outcome, Params, Release, Transfer, Upgrade, View, ensure, math, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one token.
#[derive(Debug, Clone, Params)]
pub struct Fungible {
    /// The keys that may mint, pause and freeze together, at most 32.
    pub authorities: Vec<KeyId>,
    /// How many distinct authority keys must sign, at least 1.
    pub threshold: u64,
    /// Base units that may exist at once; 0 leaves the limit to the token's own cap.
    pub supply_max: u128,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// The token is paused: nothing moves until its authorities end the pause.
    Paused = 100,
    /// Too few of the token's authority keys signed.
    NotAuthorized = 101,
    /// More units would exist than the token's terms allow.
    OverCap = 102,
    /// The terms need 1 to 32 distinct authorities and a threshold between 1 and their number.
    BadTerms = 103,
    /// The token is not paused.
    NotPaused = 104,
    /// What the policy would take over as the beginning of a pause is not a time.
    BadState = 105,
}

/// Present while the token is paused; the value is the time it began, in ms since the Unix epoch.
const PAUSED: Key = Key::new(b'p');
/// More authorities would make the quorum check the most expensive part of a transfer's life.
const AUTHORITIES_MAX: usize = 32;

#[policy(
    name = "fungible",
    summary = "A plain token: minted by m of n authority keys, paused and frozen by them, capped.",
    denials = Denied
)]
impl Fungible {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        self.check_terms()
    }

    /// Takes over from any policy that left no pause, or one as this policy keeps it.
    fn upgrade(&self, context: &mut Context<'_>, _: Upgrade) -> Outcome {
        self.check_terms()?;
        let since = context.state().bytes(PAUSED);
        ensure(since.is_none_or(|since| since.len() == size_of::<u64>()), Denied::BadState)
    }

    /// All mints of the transition count together against the limit.
    fn mint(&self, context: &mut Context<'_>, _: Mint) -> Outcome {
        self.authorized(context)?;
        running(context)?;
        let token = context.token();
        let mut supply = token.supply;
        for leg in context.legs().iter().filter(|leg| leg.token == token.id) {
            if let Action::Mint { amount, .. } = leg.action {
                supply = math::add(supply, amount)?;
            }
        }
        if self.supply_max != 0 && supply > self.supply_max {
            let reason = text![supply, " base units would exist; at most ", self.supply_max, " may"];
            return Err(Denied::OverCap.because(reason).field("amount").hint("mint less"));
        }
        Ok(())
    }

    fn burn(&self, context: &mut Context<'_>, _: Burn) -> Outcome {
        running(context)
    }

    fn transfer(&self, context: &mut Context<'_>, _: Transfer) -> Outcome {
        running(context)
    }

    fn claim(&self, context: &mut Context<'_>, _: Claim) -> Outcome {
        running(context)
    }

    fn hold(&self, context: &mut Context<'_>, _: NewHold) -> Outcome {
        running(context)
    }

    fn release(&self, _: &mut Context<'_>, _: Release) -> Outcome {
        Ok(())
    }

    fn execute(&self, context: &mut Context<'_>, _: Execute) -> Outcome {
        running(context)
    }

    /// Stops all movements until `unpause`. Needs the authorities.
    #[method]
    fn pause(&self, context: &mut Context<'_>) -> Outcome {
        self.authorized(context)?;
        running(context)?;
        let now = context.time_ms();
        context.set(PAUSED, &now);
        Ok(())
    }

    /// Ends a pause. Needs the authorities.
    #[method]
    fn unpause(&self, context: &mut Context<'_>) -> Outcome {
        self.authorized(context)?;
        ensure(context.state().has(PAUSED), Denied::NotPaused)?;
        context.delete(PAUSED);
        Ok(())
    }

    /// Stops one account from sending and receiving this token. Needs the authorities.
    #[method]
    fn freeze(&self, context: &mut Context<'_>, account: AccountId) -> Outcome {
        self.authorized(context)?;
        context.freeze(account);
        Ok(())
    }

    /// Lets a frozen account move this token again. Needs the authorities.
    #[method]
    fn unfreeze(&self, context: &mut Context<'_>, account: AccountId) -> Outcome {
        self.authorized(context)?;
        context.unfreeze(account);
        Ok(())
    }

    /// Whether the token is paused, and since when in ms since the Unix epoch (0 if it is not).
    #[query]
    fn paused(&self, view: &View<'_>) -> Fields {
        let since: Option<u64> = view.state().get(PAUSED);
        Fields::new().with("paused", since.is_some()).with("since_ms", since.unwrap_or(0))
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
            let reason = text![signed, " of ", self.threshold, " authority keys signed"];
            return Err(Denied::NotAuthorized.because(reason).field("signers"));
        }
        Ok(())
    }
}

fn running(context: &Context<'_>) -> Outcome {
    let hint = "wait until the authorities call `unpause`";
    ensure(!context.state().has(PAUSED), Deny::from(Denied::Paused).hint(hint))
}
