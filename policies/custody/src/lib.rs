//! A custodian's register: what was taken into custody for whom, and every step that it went through.
//!
//! An item walks one path: *registered*, *safekept*, then either *transferred* (handed over) or *serviced* (a
//! corporate action), *reconciled*, *reported*. No step is skipped, repeated or undone; what comes after the report
//! is a new item. Each step names the document behind it by its digest and keeps the time, so an item is its own
//! audit trail. Custodians make the steps; somebody else, a controller, reconciles; nothing leaves without its owner.
//!
//! Left out on purpose: units of a token. The register says what is held elsewhere, so nothing here can be sent.
#![no_std]
extern crate alloc;

use alloc::{string::String, vec, vec::Vec};
use dsm_policy::{
    AccountId, BorshDeserialize, BorshSerialize, Context, Denials, Deny, Digest, Fields, Key, KeyId, Outcome,
    Params, Refused, State, View, borsh, ensure, math, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one register.
#[derive(Debug, Clone, Params)]
pub struct Custody {
    /// The custodian's keys, 1 to 32.
    pub custodians: Vec<KeyId>,
    /// How many distinct custodian keys must sign each step, at least 1.
    pub threshold: u64,
    /// The keys that reconcile, 1 to 32; any one of them does, and none of them is a custodian's.
    pub controllers: Vec<KeyId>,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// Too few of the custodian's keys signed.
    NotCustodian = 100,
    /// No controller's key signed: whoever keeps the items does not reconcile them.
    NotController = 101,
    /// The owner did not sign: nothing leaves custody without its owner.
    OwnerMissing = 102,
    /// The register has no item of this number.
    UnknownItem = 103,
    /// The register has an item of this number.
    ItemExists = 104,
    /// The step does not follow the item's last one.
    OutOfOrder = 105,
    /// The controller counted another number of units than the register holds.
    Difference = 106,
    /// An item has at least one unit.
    NoUnits = 107,
    /// An item is handed over to another account than its owner.
    ToItself = 108,
    /// The terms need 1 to 32 distinct custodians, a threshold between 1 and their number, and 1 to 32 controllers
    /// none of whom is a custodian.
    BadTerms = 109,
}

/// What an item can have gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub enum Stage {
    /// Announced, with owner and number of units.
    Registered,
    /// Received and kept.
    Safekept,
    /// Handed over to another account; nothing is held any more.
    Transferred,
    /// Changed by a corporate action: a split, a coupon, a redemption.
    Serviced,
    /// Counted by a controller, without a difference.
    Reconciled,
    /// Reported to the owner. The end.
    Reported,
}

impl Stage {
    /// Whether `self` may be the step after `last`: the whole path.
    const fn follows(self, last: Stage) -> bool {
        matches!(
            (last, self),
            (Stage::Registered, Stage::Safekept)
                | (Stage::Safekept, Stage::Transferred | Stage::Serviced)
                | (Stage::Transferred | Stage::Serviced, Stage::Reconciled)
                | (Stage::Reconciled, Stage::Reported)
        )
    }

    const fn word(self) -> &'static str {
        match self {
            Stage::Registered => "registered",
            Stage::Safekept => "safekept",
            Stage::Transferred => "transferred",
            Stage::Serviced => "serviced",
            Stage::Reconciled => "reconciled",
            Stage::Reported => "reported",
        }
    }

    /// What people do next with an item at this stage.
    const fn next(self) -> &'static str {
        match self {
            Stage::Registered => "call `safekeep` next",
            Stage::Safekept => "call `hand_over` or `service` next",
            Stage::Transferred | Stage::Serviced => "call `reconcile` next",
            Stage::Reconciled => "call `report` next",
            Stage::Reported => "the item is closed; register a new one",
        }
    }
}

/// One step of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Step {
    /// What happened.
    pub stage: Stage,
    /// When, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The digest of the document behind it.
    pub document: Digest,
}

/// What the register keeps of an item.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Item {
    /// For whom it is kept.
    pub owner: AccountId,
    /// Units in custody now.
    pub held: u128,
    /// Its steps so far, the first being its registration: never empty, at most five.
    pub steps: Vec<Step>,
}

impl Item {
    fn stage(&self) -> Stage {
        self.steps.last().map_or(Stage::Registered, |step| step.stage)
    }
}

const KEYS_MAX: usize = 32;
/// Items on one page of a statement: each is read twice, within the 64 reads of one call.
const PAGE: u32 = 30;

pub(crate) fn item_key(item: u64) -> Key {
    Key::new(b'i').number(item)
}

/// The items of an owner, in the order of their numbers.
fn owned(owner: AccountId) -> Key {
    Key::new(b'o').account(owner)
}

pub(crate) fn owned_key(owner: AccountId, item: u64) -> Key {
    owned(owner).number(item)
}

#[policy(
    name = "custody",
    summary = "A custodian's register: items walk one path from registration to report, each step signed.",
    denials = Denied
)]
impl Custody {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let both = [self.custodians.as_slice(), self.controllers.as_slice()].concat();
        let distinct = (1..both.len()).all(|i| !both[..i].contains(&both[i]));
        let custodians = (1..=KEYS_MAX).contains(&self.custodians.len());
        let controllers = (1..=KEYS_MAX).contains(&self.controllers.len());
        let reachable = (1..=self.custodians.len() as u64).contains(&self.threshold);
        ensure(distinct && custodians && controllers && reachable, Denied::BadTerms)
    }

    /// Announces an item that is to be kept for `owner`, under a number from 1 that is not yet used. Needs the
    /// custodian.
    #[method]
    fn register(
        &self,
        context: &mut Context<'_>,
        item: u64,
        owner: AccountId,
        units: u128,
        document: Digest,
    ) -> Outcome {
        self.custodian(context)?;
        // A statement starts after the number that it is given, so 0 is before all items.
        ensure(item > 0, Refused::BadArguments.because("item numbers start at 1").field("item"))?;
        ensure(units > 0, Denied::NoUnits.field("units"))?;
        if context.state().has(item_key(item)) {
            let reason = text!["the register has an item ", item];
            return Err(Denied::ItemExists.because(reason).field("item").hint("take another number"));
        }
        let registered = Step { stage: Stage::Registered, time_ms: context.time_ms(), document };
        context.set(item_key(item), &Item { owner, held: units, steps: vec![registered] });
        context.set(owned_key(owner, item), &true);
        Ok(())
    }

    /// Confirms that a registered item was received and is kept. Needs the custodian.
    #[method]
    fn safekeep(&self, context: &mut Context<'_>, item: u64, document: Digest) -> Outcome {
        self.custodian(context)?;
        let kept = find(&context.state(), item)?;
        step(context, item, kept, Stage::Safekept, document)
    }

    /// Hands all units of a safekept item over to another account. Needs the custodian and the item's owner.
    #[method]
    fn hand_over(&self, context: &mut Context<'_>, item: u64, to: AccountId, document: Digest) -> Outcome {
        self.custodian(context)?;
        let mut kept = find(&context.state(), item)?;
        ensure(context.signed(kept.owner), Denied::OwnerMissing.field("signers"))?;
        ensure(to != kept.owner, Denied::ToItself.field("to"))?;
        kept.held = 0;
        step(context, item, kept, Stage::Transferred, document)
    }

    /// Records a corporate action on a safekept item and the units held after it. Needs the custodian.
    #[method]
    fn service(&self, context: &mut Context<'_>, item: u64, held: u128, document: Digest) -> Outcome {
        self.custodian(context)?;
        let mut kept = find(&context.state(), item)?;
        kept.held = held;
        step(context, item, kept, Stage::Serviced, document)
    }

    /// Confirms that the units counted outside are those held here. Needs a controller.
    #[method]
    fn reconcile(&self, context: &mut Context<'_>, item: u64, counted: u128, document: Digest) -> Outcome {
        ensure(
            context.signed_by_keys(&self.controllers) > 0,
            Denied::NotController.field("signers").hint("let one of the controllers' keys sign"),
        )?;
        let kept = find(&context.state(), item)?;
        if counted != kept.held {
            let reason = text![counted, " units were counted, the register holds ", kept.held];
            let hint = "find the difference outside; an item with a difference is not reconciled";
            return Err(Denied::Difference.because(reason).field("counted").hint(hint));
        }
        step(context, item, kept, Stage::Reconciled, document)
    }

    /// Closes a reconciled item with the statement that its owner got. Needs the custodian.
    #[method]
    fn report(&self, context: &mut Context<'_>, item: u64, document: Digest) -> Outcome {
        self.custodian(context)?;
        let kept = find(&context.state(), item)?;
        step(context, item, kept, Stage::Reported, document)
    }

    /// An item: its owner, its stage, the units held, how many steps it has gone through, and the time of each in ms
    /// since the Unix epoch.
    #[query]
    fn item(&self, view: &View<'_>, item: u64) -> Result<Fields, Deny> {
        let kept = find(&view.state(), item)?;
        let steps = kept.steps.iter().map(|step| text![step.stage.word(), " ", step.time_ms]);
        Ok(Fields::new()
            .with("owner", kept.owner)
            .with("stage", String::from(kept.stage().word()))
            .with("held", kept.held)
            .with("done", kept.steps.len() as u64)
            .with("steps", steps.collect::<Vec<_>>()))
    }

    /// Up to 30 items of an owner with numbers above `after`: number, stage and units held of each, and the sum of
    /// these units. Ask again from the last number while `more` is true.
    #[query]
    fn statement(&self, view: &View<'_>, owner: AccountId, after: u64) -> Result<Fields, Deny> {
        let state = view.state();
        let (mut lines, mut held) = (Vec::new(), 0);
        let entries = state.scan::<bool>(owned(owner), owned_key(owner, after).as_ref(), PAGE);
        for (key, _) in &entries {
            let number = key.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let kept = find(&state, number)?;
            held = math::add(held, kept.held)?;
            lines.push(text![number, " ", kept.stage().word(), " ", kept.held]);
        }
        let more = lines.len() == PAGE as usize;
        Ok(Fields::new()
            .with("time_ms", view.time_ms())
            .with("items", lines)
            .with("held", held)
            .with("more", more))
    }

    fn custodian(&self, context: &Context<'_>) -> Outcome {
        let signed = context.signed_by_keys(&self.custodians);
        if signed < self.threshold {
            let reason = text![signed, " of ", self.threshold, " custodian keys signed"];
            let hint = "let more of the custodian's keys sign";
            return Err(Denied::NotCustodian.because(reason).field("signers").hint(hint));
        }
        Ok(())
    }
}

fn find(state: &State<'_>, item: u64) -> Result<Item, Deny> {
    state
        .get(item_key(item))
        .ok_or_else(|| Denied::UnknownItem.because(text!["the register has no item ", item]).field("item"))
}

/// Adds a step to an item, if the path allows it.
fn step(context: &mut Context<'_>, number: u64, mut item: Item, stage: Stage, document: Digest) -> Outcome {
    let last = item.stage();
    if !stage.follows(last) {
        let reason = text!["item ", number, " is ", last.word(), " and cannot be ", stage.word(), " now"];
        return Err(Denied::OutOfOrder.because(reason).field("item").hint(last.next()));
    }
    item.steps.push(Step { stage, time_ms: context.time_ms(), document });
    context.set(item_key(number), &item);
    Ok(())
}
