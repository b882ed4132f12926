//! A token whose limits are governed: changed by quorums of two classes, after a delay, unless a third one objects.
//!
//! Three classes of keys share the power, and no key is in two of them. *Operators* mint within the limits. *Owners*
//! and operators together schedule a change of a limit; it is public at once and in force after the delay, by
//! itself. *Guardians* can veto a change until then and pause the token at any time; only owners end a pause. Each
//! class has its own quorum. The delay is itself a limit of this kind: nobody shortens it quickly.
//!
//! The same hands can exchange a policy of the token, this one included, if the token's terms let the policy at this
//! position do so: owners and operators schedule it, it is public for the delay, guardians can veto it. The host holds
//! them to the least delay of the token's terms besides. Governance can itself be what comes: `upgrade` takes over the
//! pause, the limits that were changed and the changes that wait.
#![no_std]
extern crate alloc;

use alloc::{string::String, vec::Vec};
use dsm_policy::{
    Action, BorshDeserialize, BorshSerialize, Burn, Claim, Context, Denials, Deny, Digest, Execute, Fields,
    Key, KeyId, Mint, NewHold, Outcome, Params, PolicyId, Release, State, Transfer, Upgrade, Value, View,
    borsh, ensure, math, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one token.
#[derive(Debug, Clone, Params)]
pub struct Governance {
    /// The owners' keys, 1 to 16: they decide on limits and upgrades and end a pause.
    pub owners: Vec<KeyId>,
    /// How many distinct owners must sign, at least 1.
    pub owners_min: u64,
    /// The operators' keys, 1 to 16: they mint, and decide on limits and upgrades together with the owners.
    pub operators: Vec<KeyId>,
    /// How many distinct operators must sign, at least 1.
    pub operators_min: u64,
    /// The guardians' keys, 1 to 16: they pause the token and veto changes and upgrades.
    pub guardians: Vec<KeyId>,
    /// How many distinct guardians must sign, at least 1.
    pub guardians_min: u64,
    /// How long a change or an upgrade waits before it is in force, in ms, at least 1 and at most 366 days; a limit
    /// that can change.
    pub delay_ms: u64,
    /// Base units that one transfer or hold may move; 0 sets no limit. A limit that can change.
    pub transfer_max: u128,
    /// Base units that may exist at once; 0 leaves the limit to the token's own cap. A limit that can change.
    pub supply_max: u128,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// The token is paused: nothing moves until its owners end the pause.
    Paused = 100,
    /// The token is not paused.
    NotPaused = 101,
    /// Too few of the owners' keys signed.
    OwnersMissing = 102,
    /// Too few of the operators' keys signed.
    OperatorsMissing = 103,
    /// Too few of the guardians' keys signed.
    GuardiansMissing = 104,
    /// The transfer or hold is larger than one may be.
    OverTransferLimit = 105,
    /// More units would exist than the limit allows.
    OverSupply = 106,
    /// There is no such limit.
    UnknownLimit = 107,
    /// The delay is between 1 ms and 366 days.
    BadValue = 108,
    /// A change of this limit waits for its time.
    ChangeWaits = 109,
    /// No change of this limit waits for its time.
    NoChange = 110,
    /// The terms need 1 to 16 keys in each class, none of them twice, quorums between 1 and the number of keys, and a
    /// delay between 1 ms and 366 days.
    BadTerms = 111,
    /// The position is not one of a list of policies, or the parameters are not an encoded list of values.
    BadUpgrade = 112,
    /// The state that the policy would take over is not one that it could have left.
    BadState = 113,
}

/// A limit that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    DelayMs,
    TransferMax,
    SupplyMax,
}

/// What the token keeps of a limit that was changed at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Kept {
    /// In force until the change is due.
    pub value: u128,
    /// The change that was scheduled last, unless it was vetoed.
    pub change: Option<Change>,
}

/// A scheduled change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Change {
    /// The new value.
    pub value: u128,
    /// In force from then on, in ms since the Unix epoch.
    pub due_ms: u64,
}

impl Kept {
    const fn in_force(&self, time_ms: u64) -> u128 {
        match self.change {
            Some(change) if time_ms >= change.due_ms => change.value,
            Some(_) | None => self.value,
        }
    }

    fn waiting(&self, time_ms: u64) -> Option<Change> {
        self.change.filter(|change| time_ms < change.due_ms)
    }
}

/// Present while the token is paused; the value is the time it began, in ms since the Unix epoch.
pub(crate) const PAUSED: Key = Key::new(b'p');
/// Three classes of so many keys are checked on one call.
const KEYS_MAX: usize = 16;
const DELAY_MS_MAX: u64 = 366 * 86_400_000;

pub(crate) fn limit_key(limit: Limit) -> Key {
    Key::new(b'l').bytes(&[limit as u8])
}

#[policy(
    name = "governance",
    summary = "A token whose limits change only by quorums of several classes, after a delay, with a veto.",
    denials = Denied
)]
impl Governance {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        self.check_terms()
    }

    /// Takes over from a policy whose state it can bear, most likely itself with other terms. A limit that was ever
    /// changed keeps its value and the change that waits; the new terms give the other limits.
    fn upgrade(&self, context: &mut Context<'_>, _: Upgrade) -> Outcome {
        self.check_terms()?;
        let state = context.state();
        found::<u64>(&state, PAUSED)?;
        found::<Kept>(&state, limit_key(Limit::TransferMax))?;
        found::<Kept>(&state, limit_key(Limit::SupplyMax))?;
        let delay = found::<Kept>(&state, limit_key(Limit::DelayMs))?;
        let bearable = |kept: Kept| is_delay(kept.value) && kept.change.is_none_or(|to| is_delay(to.value));
        ensure(delay.is_none_or(bearable), Denied::BadState)
    }

    /// All mints of the transition count together against the limit.
    fn mint(&self, context: &mut Context<'_>, _: Mint) -> Outcome {
        self.operators_sign(context)?;
        running(context)?;
        let token = context.token();
        let mut supply = token.supply;
        for leg in context.legs().iter().filter(|leg| leg.token == token.id) {
            if let Action::Mint { amount, .. } = leg.action {
                supply = math::add(supply, amount)?;
            }
        }
        let max = self.in_force(context, Limit::SupplyMax);
        if max != 0 && supply > max {
            let reason = text![supply, " base units would exist; at most ", max, " may"];
            let hint = "mint less, or let owners and operators schedule a higher `supply_max`";
            return Err(Denied::OverSupply.because(reason).field("amount").hint(hint));
        }
        Ok(())
    }

    fn burn(&self, context: &mut Context<'_>, _: Burn) -> Outcome {
        running(context)
    }

    fn transfer(&self, context: &mut Context<'_>, transfer: Transfer) -> Outcome {
        running(context)?;
        self.small_enough(context, transfer.amount)
    }

    fn claim(&self, context: &mut Context<'_>, _: Claim) -> Outcome {
        running(context)
    }

    fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome {
        running(context)?;
        self.small_enough(context, hold.amount)
    }

    /// A release moves no units, so it stays open while the token is paused.
    fn release(&self, _: &mut Context<'_>, _: Release) -> Outcome {
        Ok(())
    }

    /// The amount was within the limit when the hold was made; a lower limit since then strands nobody's units.
    fn execute(&self, context: &mut Context<'_>, _: Execute) -> Outcome {
        running(context)
    }

    /// Schedules a new value of `delay_ms`, `transfer_max` or `supply_max`, in force once the present delay has
    /// passed. Needs owners and operators.
    #[method]
    fn schedule(&self, context: &mut Context<'_>, limit: String, value: u128) -> Outcome {
        self.owners_sign(context)?;
        self.operators_sign(context)?;
        let limit = named(&limit)?;
        ensure(limit != Limit::DelayMs || is_delay(value), Denied::BadValue.field("value"))?;
        let now = context.time_ms();
        let kept = self.kept(&context.state(), limit);
        if let Some(change) = kept.waiting(now) {
            let reason = text!["a change to ", change.value, " waits until ", change.due_ms];
            let hint = "wait until it is in force, or let the guardians veto it";
            return Err(Denied::ChangeWaits.because(reason).field("limit").hint(hint));
        }
        let change = Change { value, due_ms: self.due_ms(context) };
        context.set(limit_key(limit), &Kept { value: kept.in_force(now), change: Some(change) });
        Ok(())
    }

    /// Cancels a scheduled change before it is in force. Needs guardians.
    #[method]
    fn veto(&self, context: &mut Context<'_>, limit: String) -> Outcome {
        self.guardians_sign(context)?;
        let limit = named(&limit)?;
        let kept = self.kept(&context.state(), limit);
        let waits = kept.waiting(context.time_ms()).is_some();
        let hint = "a change that is in force is undone by scheduling another";
        ensure(waits, Denied::NoChange.field("limit").hint(hint))?;
        context.set(limit_key(limit), &Kept { change: None, ..kept });
        Ok(())
    }

    /// Schedules another policy for a position of the token's list, to be put in force by anybody once the present
    /// delay has passed. `params` is the Borsh encoding of the policy's list of values. Needs owners and operators.
    #[method]
    fn schedule_upgrade(
        &self,
        context: &mut Context<'_>,
        policy_index: u64,
        policy: Digest,
        params: Vec<u8>,
    ) -> Outcome {
        self.owners_sign(context)?;
        self.operators_sign(context)?;
        let policy_index = position(policy_index)?;
        let params = Vec::<Value>::try_from_slice(&params).map_err(|_| {
            let hint = "the Borsh encoding of a list of values, one for each parameter of the policy";
            Denied::BadUpgrade.field("params").hint(hint)
        })?;
        let due_ms = self.due_ms(context);
        context.schedule_upgrade(policy_index, PolicyId(policy.0), params, due_ms);
        Ok(())
    }

    /// Cancels a scheduled upgrade that nobody has put in force yet. Needs guardians.
    #[method]
    fn veto_upgrade(&self, context: &mut Context<'_>, policy_index: u64) -> Outcome {
        self.guardians_sign(context)?;
        context.cancel_upgrade(position(policy_index)?);
        Ok(())
    }

    /// Stops all movements until `unpause`. Needs guardians.
    #[method]
    fn pause(&self, context: &mut Context<'_>) -> Outcome {
        self.guardians_sign(context)?;
        running(context)?;
        let now = context.time_ms();
        context.set(PAUSED, &now);
        Ok(())
    }

    /// Ends a pause. Needs owners.
    #[method]
    fn unpause(&self, context: &mut Context<'_>) -> Outcome {
        self.owners_sign(context)?;
        ensure(context.state().has(PAUSED), Denied::NotPaused)?;
        context.delete(PAUSED);
        Ok(())
    }

    /// A limit: its value now, and the change that waits, with the time from which it is in force, in ms since the
    /// Unix epoch (the same value and 0 if none waits).
    #[query]
    fn limit(&self, view: &View<'_>, limit: String) -> Result<Fields, Deny> {
        let kept = self.kept(&view.state(), named(&limit)?);
        let (now, change) = (kept.in_force(view.time_ms()), kept.waiting(view.time_ms()));
        Ok(Fields::new()
            .with("value", now)
            .with("next", change.map_or(now, |change| change.value))
            .with("due_ms", change.map_or(0, |change| change.due_ms)))
    }

    /// Whether the token is paused, and since when in ms since the Unix epoch (0 if it is not).
    #[query]
    fn paused(&self, view: &View<'_>) -> Fields {
        let since: Option<u64> = view.state().get(PAUSED);
        Fields::new().with("paused", since.is_some()).with("since_ms", since.unwrap_or(0))
    }

    fn check_terms(&self) -> Outcome {
        let classes = [
            (&self.owners, self.owners_min),
            (&self.operators, self.operators_min),
            (&self.guardians, self.guardians_min),
        ];
        let sizes = classes
            .iter()
            .all(|(keys, quorum)| keys.len() <= KEYS_MAX && (1..=keys.len() as u64).contains(quorum));
        let all = classes.map(|(keys, _)| keys.as_slice()).concat();
        let distinct = (1..all.len()).all(|i| !all[..i].contains(&all[i]));
        ensure(sizes && distinct && is_delay(self.delay_ms.into()), Denied::BadTerms)
    }

    fn owners_sign(&self, context: &Context<'_>) -> Outcome {
        quorum(context, &self.owners, self.owners_min, "owners", Denied::OwnersMissing)
    }

    fn operators_sign(&self, context: &Context<'_>) -> Outcome {
        quorum(context, &self.operators, self.operators_min, "operators", Denied::OperatorsMissing)
    }

    fn guardians_sign(&self, context: &Context<'_>) -> Outcome {
        quorum(context, &self.guardians, self.guardians_min, "guardians", Denied::GuardiansMissing)
    }

    fn small_enough(&self, context: &Context<'_>, amount: u128) -> Outcome {
        let max = self.in_force(context, Limit::TransferMax);
        if max != 0 && amount > max {
            let reason = text![amount, " base units would move; at most ", max, " may"];
            return Err(Denied::OverTransferLimit
                .because(reason)
                .field("amount")
                .hint("move less at a time"));
        }
        Ok(())
    }

    /// When what is scheduled now is in force.
    fn due_ms(&self, context: &Context<'_>) -> u64 {
        let delay = u64::try_from(self.in_force(context, Limit::DelayMs)).unwrap_or(DELAY_MS_MAX);
        context.time_ms().saturating_add(delay)
    }

    fn in_force(&self, context: &Context<'_>, limit: Limit) -> u128 {
        self.kept(&context.state(), limit).in_force(context.time_ms())
    }

    /// The limit as it is kept, or as the token was created with it.
    fn kept(&self, state: &State<'_>, limit: Limit) -> Kept {
        let value = match limit {
            Limit::DelayMs => self.delay_ms.into(),
            Limit::TransferMax => self.transfer_max,
            Limit::SupplyMax => self.supply_max,
        };
        state.get(limit_key(limit)).unwrap_or(Kept { value, change: None })
    }
}

fn quorum(context: &Context<'_>, keys: &[KeyId], min: u64, class: &str, denied: Denied) -> Outcome {
    let signed = context.signed_by_keys(keys);
    if signed < min {
        let reason = text![signed, " of the ", class, "' keys signed; ", min, " must"];
        return Err(denied.because(reason).field("signers").hint(text!["let more ", class, " sign"]));
    }
    Ok(())
}

fn named(word: &str) -> Result<Limit, Deny> {
    match word {
        "delay_ms" => Ok(Limit::DelayMs),
        "transfer_max" => Ok(Limit::TransferMax),
        "supply_max" => Ok(Limit::SupplyMax),
        _ => {
            let hint = "one of `delay_ms`, `transfer_max`, `supply_max`";
            Err(Denied::UnknownLimit.field("limit").hint(hint))
        }
    }
}

fn position(policy_index: u64) -> Result<u8, Deny> {
    u8::try_from(policy_index).map_err(|_| Denied::BadUpgrade.field("policy_index"))
}

/// What another policy may have left: bytes that are not a `T` are no fault of this one.
fn found<T: BorshDeserialize>(state: &State<'_>, key: Key) -> Result<Option<T>, Deny> {
    let value = state.bytes(key).map(|bytes| T::try_from_slice(&bytes)).transpose();
    value.map_err(|_| Denied::BadState.because("a value of the state has another form"))
}

fn is_delay(ms: u128) -> bool {
    (1..=u128::from(DELAY_MS_MAX)).contains(&ms)
}

fn running(context: &Context<'_>) -> Outcome {
    ensure(!context.state().has(PAUSED), Denied::Paused)
}
