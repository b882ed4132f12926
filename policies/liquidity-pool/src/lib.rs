//! A pool of liquidity: units of several sources, drawn on in a fixed order and only as far as each has promised.
//!
//! The policy governs the token whose units are the liquidity, alone or beside a policy such as `cash`. Units stay
//! with their owners. Operators enlist a source with a priority, the purposes it may serve, a limit for one draw and
//! an end; the source itself offers a *line*, and from then on this policy refuses every movement that would leave it
//! unable to honour what it has promised. A draw goes through the sources in order of priority, passes over those
//! that are not eligible, and takes from the rest what it needs; each source that is drawn on signs.
//!
//! What is drawn is held by the host: a pledge of the source's units to the beneficiary, who executes it and has the
//! units, or releases it, or does nothing and it ends by itself. There are no timers: a hold that has expired no
//! longer counts, here as in the host, and the source's line is whole again from that moment on.
//!
//! Two operators together may choose a source out of order, or give a hold back before its end. Both times they say
//! why, and the event and the trace keep what they said.
//!
//! Left out on purpose: interest, fees, repayment: a payment back to the source is a plain transfer.
#![no_std]
extern crate alloc;

use alloc::{string::String, vec::Vec};
use dsm_policy::{
    AccountId, Action, BorshDeserialize, BorshSerialize, Burn, Claim, Context, Denials, Deny, Digest,
    Execute, Fields, Hold, HoldKind, Key, KeyId, Leg, Mint, NewHold, Outcome, Params, Release, State,
    Transfer, View, borsh, ensure, math, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one pool.
#[derive(Debug, Clone, Params)]
pub struct LiquidityPool {
    /// The operators' keys, 2 to 32: one of them draws, two enlist sources and override.
    pub operators: Vec<KeyId>,
    /// The longest that a draw may hold units, in ms.
    pub hold_ms_max: u64,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// No operator of the pool signed.
    NotOperator = 100,
    /// This needs the keys of two operators.
    NeedsTwoOperators = 101,
    /// The account is not a source of this pool.
    NotSource = 102,
    /// The pool has as many sources as it can go through in one draw.
    TooManySources = 103,
    /// The eligible sources have promised too little.
    NotEnough = 104,
    /// A source that is drawn on has not signed.
    SourceNotSigned = 105,
    /// The draw takes more than the source's line leaves.
    OverLine = 106,
    /// A hold ends later than now and no later than the pool allows.
    BadExpiry = 107,
    /// An override needs a reason of 1 to 256 bytes.
    NoRationale = 108,
    /// The movement would take units that the source has promised to the pool.
    PromisedUnits = 109,
    /// The source does not have the units that it would promise.
    LineNotCovered = 110,
    /// A source pledges units by draws of the pool alone.
    PledgeOutsidePool = 111,
    /// The source still has holds that have not ended.
    HoldsLeft = 112,
    /// The source has no live hold of this id that the pool made.
    UnknownHold = 113,
    /// Only the token's issuer creates units.
    NotIssuer = 114,
    /// The source has as many live holds as the pool keeps.
    TooManyHolds = 115,
    /// The source's term has ended.
    SourceEnded = 116,
    /// The amount is zero.
    ZeroAmount = 117,
    /// A source needs 1 to 8 distinct purposes of 1 to 32 bytes, a limit for one draw above zero and an end that is not
    /// past.
    BadSource = 118,
    /// The source changes its line and moves units in one transition.
    OneAtATime = 119,
    /// Units are not drawn for their own owner.
    OwnBeneficiary = 120,
    /// The terms need 2 to 32 distinct operator keys and a longest hold above zero.
    BadTerms = 121,
}

/// What the pool keeps of a source, in order of priority.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Source {
    /// What it may be drawn on for.
    pub purposes: Vec<String>,
    /// Base units that one draw may take.
    pub draw_max: u128,
    /// Until when it may be drawn on, that instant included, in ms since the Unix epoch.
    pub until_ms: u64,
    /// Base units that it has promised, those held included.
    pub line: u128,
    /// What is held. Draws that have expired no longer count and are left out at the next change.
    pub draws: Vec<Draw>,
}

/// Units of a source that the host holds for a beneficiary. The host alone knows the hold's id; of two equal draws
/// it does not matter which one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Draw {
    /// For whom.
    pub beneficiary: AccountId,
    /// Base units.
    pub amount: u128,
    /// When it ends by itself, in ms since the Unix epoch.
    pub expires_ms: u64,
}

/// What an event tells of a decision: who pays, who was passed over and why, or in whose words.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Decision {
    /// For whom.
    pub beneficiary: AccountId,
    /// What for; empty when a hold is given back.
    pub purpose: String,
    /// When the holds end by themselves, in ms since the Unix epoch.
    pub expires_ms: u64,
    /// The sources, with what each gives.
    pub taken: Vec<(AccountId, u128)>,
    /// The sources ahead in order that give nothing, with the reason.
    pub passed_over: Vec<(AccountId, Passed)>,
    /// Why two operators left the order; empty if they did not.
    pub rationale: String,
}

/// Why a source is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub enum Passed {
    /// It does not serve this purpose.
    Purpose,
    /// Its term has ended.
    Ended,
    /// Its line is drawn.
    LineDrawn,
    /// It has as many live holds as the pool keeps.
    Holds,
    /// It is the beneficiary.
    Beneficiary,
}

const OPERATORS_MAX: usize = 32;
/// Sources that one draw goes through: with their names, well within the 64 reads of one call.
const SOURCES_MAX: u32 = 16;
/// Live draws of one source: a record stays below 1.5 KiB.
const DRAWS_MAX: usize = 16;
/// Sources that one draw takes from: their records and the event fit into a verdict.
const TAKEN_MAX: usize = 8;
/// Operators that override.
const TWO: u64 = 2;
const PURPOSES_MAX: usize = 8;
const PURPOSE_BYTES_MAX: usize = 32;
const RATIONALE_BYTES_MAX: usize = 256;
/// Codes of notes: why a source was passed over, what was taken, why two operators left the order.
const NOTE_PASSED: u32 = 1;
const NOTE_TAKEN: u32 = 2;
const NOTE_RATIONALE: u32 = 3;
const SOURCES: Key = Key::new(b's');

pub(crate) fn source_key(priority: u64, account: AccountId) -> Key {
    SOURCES.number(priority).account(account)
}

pub(crate) fn priority_key(account: AccountId) -> Key {
    Key::new(b'p').account(account)
}

impl Source {
    fn live(&self, now_ms: u64) -> impl Iterator<Item = &Draw> {
        self.draws.iter().filter(move |draw| now_ms < draw.expires_ms)
    }

    /// Base units that are promised and not held. The line is never below what is held, as long as nothing else
    /// writes here.
    fn free(&self, now_ms: u64) -> Result<u128, Deny> {
        let held = self.live(now_ms).try_fold(0, |held, draw| math::add(held, draw.amount))?;
        Ok(math::sub(self.line, held)?)
    }

    /// Why nothing can be taken for this purpose and beneficiary, if so.
    fn passed(&self, own: AccountId, beneficiary: AccountId, purpose: &str, now_ms: u64) -> Option<Passed> {
        if own == beneficiary {
            Some(Passed::Beneficiary)
        } else if !self.purposes.iter().any(|served| served == purpose) {
            Some(Passed::Purpose)
        } else if now_ms > self.until_ms {
            Some(Passed::Ended)
        } else if self.live(now_ms).count() >= DRAWS_MAX {
            Some(Passed::Holds)
        } else {
            None
        }
    }

    /// Leaves out what has expired.
    fn prune(&mut self, now_ms: u64) {
        self.draws.retain(|draw| now_ms < draw.expires_ms);
    }

    /// Ends one live draw that equals the hold. Whether there was one.
    fn end(&mut self, hold: &Hold) -> bool {
        let same = |draw: &Draw| {
            (draw.beneficiary, draw.amount, Some(draw.expires_ms))
                == (hold.beneficiary, hold.amount, hold.expires_ms)
        };
        let found = self.draws.iter().position(same);
        if let Some(position) = found {
            self.draws.remove(position);
        }
        found.is_some()
    }
}

#[policy(
    name = "liquidity-pool",
    summary = "Liquidity of several sources, drawn on in order by holds that end by themselves.",
    denials = Denied
)]
impl LiquidityPool {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let count = self.operators.len();
        let distinct = (1..count).all(|i| !self.operators[..i].contains(&self.operators[i]));
        let sound = (2..=OPERATORS_MAX).contains(&count) && distinct && self.hold_ms_max > 0;
        ensure(sound, Denied::BadTerms)
    }

    fn mint(&self, context: &mut Context<'_>, _: Mint) -> Outcome {
        ensure(context.actor() == context.token().issuer, Denied::NotIssuer.field("actor"))
    }

    fn burn(&self, context: &mut Context<'_>, _: Burn) -> Outcome {
        keeps_promise(context)
    }

    fn transfer(&self, context: &mut Context<'_>, _: Transfer) -> Outcome {
        keeps_promise(context)
    }

    fn claim(&self, _: &mut Context<'_>, _: Claim) -> Outcome {
        Ok(())
    }

    /// A source may put other holds on what it has not promised; its pledges are the pool's draws.
    fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome {
        let source = find(&context.state(), context.actor()).is_some();
        ensure(!source || hold.kind != HoldKind::Pledge, Denied::PledgeOutsidePool.field("kind"))?;
        keeps_promise(context)
    }

    fn release(&self, context: &mut Context<'_>, release: Release) -> Outcome {
        ends(context, &release.hold, false)
    }

    fn execute(&self, context: &mut Context<'_>, execute: Execute) -> Outcome {
        ends(context, &execute.hold, true)
    }

    /// Makes an account a source, or changes its terms: lower priorities are drawn on first, and only for these
    /// purposes. Its line stays as it is, 0 at first. Needs two operators.
    #[method]
    fn enlist(
        &self,
        context: &mut Context<'_>,
        source: AccountId,
        priority: u64,
        purposes: Vec<String>,
        draw_max: u128,
        until_ms: u64,
    ) -> Outcome {
        self.operated(context, TWO)?;
        let (state, now) = (context.state(), context.time_ms());
        let distinct = (1..purposes.len()).all(|i| !purposes[..i].contains(&purposes[i]));
        let named = purposes.iter().all(|purpose| (1..=PURPOSE_BYTES_MAX).contains(&purpose.len()));
        let some = (1..=PURPOSES_MAX).contains(&purposes.len());
        ensure(distinct && named && some, Denied::BadSource.field("purposes"))?;
        ensure(draw_max > 0, Denied::BadSource.field("draw_max"))?;
        ensure(until_ms >= now, Denied::BadSource.field("until_ms"))?;
        let (line, draws) = match find(&state, source) {
            Some((before, mut found)) => {
                found.prune(now);
                if before != priority {
                    context.delete(source_key(before, source));
                }
                (found.line, found.draws)
            }
            None => {
                let others = state.scan::<Source>(SOURCES, &[], SOURCES_MAX).len();
                let entering = calls(context, "enlist").count();
                ensure(others + entering <= SOURCES_MAX as usize, Denied::TooManySources)?;
                (0, Vec::new())
            }
        };
        context.set(priority_key(source), &priority);
        context.set(source_key(priority, source), &Source { purposes, draw_max, until_ms, line, draws });
        Ok(())
    }

    /// Ends a source's part in the pool, once nothing of it is held. Needs two operators.
    #[method]
    fn delist(&self, context: &mut Context<'_>, source: AccountId) -> Outcome {
        self.operated(context, TWO)?;
        let (priority, found) = source_of(&context.state(), source, "source")?;
        let held = found.live(context.time_ms()).count();
        ensure(
            held == 0,
            Denied::HoldsLeft.field("source").hint("they end by release, execution or in time"),
        )?;
        context.delete(priority_key(source));
        context.delete(source_key(priority, source));
        Ok(())
    }

    /// Promises so many base units in all, those held included; a lower line takes promises back as far as nothing is
    /// held. By a source, which must own what it promises.
    #[method]
    fn offer(&self, context: &mut Context<'_>, line: u128) -> Outcome {
        let (own, now) = (context.actor(), context.time_ms());
        let (priority, mut source) = source_of(&context.state(), own, "actor")?;
        let alone = !outgoing(context).any(|_| true);
        ensure(alone, Denied::OneAtATime.field("actor").hint("make two transitions of it"))?;
        source.prune(now);
        source.line = line;
        let free = source.free(now).map_err(|_| Denied::HoldsLeft.field("line"))?;
        let party = context.party(own);
        let pledges = party.map_or(0, |party| party.holds.iter().filter(|hold| is_pledge(hold)).count());
        ensure(
            pledges == source.draws.len(),
            Denied::PledgeOutsidePool.field("actor").hint("let earlier pledges end first"),
        )?;
        let available = context.available(own);
        if available < free {
            let reason = text![free, " base units would be promised of ", available, " available"];
            return Err(Denied::LineNotCovered.because(reason).field("line"));
        }
        context.set(source_key(priority, own), &source);
        Ok(())
    }

    /// Holds units for a beneficiary, taken from the eligible sources in order of priority, until `expires_ms`. Needs
    /// one operator, and each source that is drawn on.
    #[method]
    fn draw(
        &self,
        context: &mut Context<'_>,
        amount: u128,
        beneficiary: AccountId,
        purpose: String,
        expires_ms: u64,
    ) -> Outcome {
        self.operated(context, 1)?;
        self.check_draw(context, amount, expires_ms)?;
        let now = context.time_ms();
        let (mut left, mut picks, mut passed_over) = (amount, Vec::new(), Vec::new());
        for (key, source) in context.state().scan::<Source>(SOURCES, &[], SOURCES_MAX) {
            if left == 0 || picks.len() == TAKEN_MAX {
                break;
            }
            let (priority, own) = owner(&key)?;
            let take = source.free(now)?.min(source.draw_max).min(left);
            let passed = source.passed(own, beneficiary, &purpose, now);
            if let Some(passed) = passed.or((take == 0).then_some(Passed::LineDrawn)) {
                context.note(NOTE_PASSED, &text!["source ", own, ".. passed over: ", why(passed)]);
                passed_over.push((own, passed));
                continue;
            }
            left -= take;
            picks.push((priority, own, source, take));
        }
        if left > 0 {
            let reason = text![amount - left, " of ", amount, " base units can be drawn for `", purpose, "`"];
            let hint = "draw less, or let a source offer a longer line";
            return Err(Denied::NotEnough.because(reason).field("amount").hint(hint));
        }
        let rationale = String::new();
        let mut decision =
            Decision { beneficiary, purpose, expires_ms, taken: Vec::new(), passed_over, rationale };
        for (priority, own, source, take) in picks {
            take_from(context, priority, own, source, take, &decision)?;
            decision.taken.push((own, take));
        }
        context.event("draw", borsh::to_vec(&decision).unwrap_or_default());
        Ok(())
    }

    /// Holds units of a source out of order, or for a purpose that it is not enlisted for, or more than one draw takes;
    /// never more than its line. Needs two operators, their reason, and the source.
    #[method]
    #[expect(clippy::too_many_arguments, reason = "each is a word that two operators say")]
    fn draw_from(
        &self,
        context: &mut Context<'_>,
        source: AccountId,
        amount: u128,
        beneficiary: AccountId,
        purpose: String,
        expires_ms: u64,
        rationale: String,
    ) -> Outcome {
        self.operated(context, TWO)?;
        self.check_draw(context, amount, expires_ms)?;
        reasoned(context, &rationale)?;
        let now = context.time_ms();
        let (priority, found) = source_of(&context.state(), source, "source")?;
        ensure(source != beneficiary, Denied::OwnBeneficiary.field("beneficiary"))?;
        ensure(now <= found.until_ms, Denied::SourceEnded.field("source"))?;
        ensure(purpose.len() <= PURPOSE_BYTES_MAX, Denied::BadSource.field("purpose"))?;
        ensure(found.live(now).count() < DRAWS_MAX, Denied::TooManyHolds.field("source"))?;
        let free = found.free(now)?;
        if amount > free {
            let reason = text!["the draw takes ", amount, " base units, the source's line leaves ", free];
            return Err(Denied::OverLine.because(reason).field("amount"));
        }
        let mut decision = Decision {
            beneficiary,
            purpose,
            expires_ms,
            taken: Vec::new(),
            passed_over: Vec::new(),
            rationale,
        };
        take_from(context, priority, source, found, amount, &decision)?;
        decision.taken.push((source, amount));
        context.event("override", borsh::to_vec(&decision).unwrap_or_default());
        Ok(())
    }

    /// Gives a hold of the calling source back before its end, against the beneficiary's will if need be. Needs two
    /// operators and their reason.
    #[method]
    fn reclaim(&self, context: &mut Context<'_>, hold: Digest, rationale: String) -> Outcome {
        self.operated(context, TWO)?;
        reasoned(context, &rationale)?;
        let (own, now) = (context.actor(), context.time_ms());
        let (priority, mut source) = source_of(&context.state(), own, "actor")?;
        let unknown = || Denied::UnknownHold.field("hold");
        let holds = context.party(own).map_or(&[][..], |party| &party.holds);
        let found = holds.iter().find(|held| held.id.0 == hold.0 && is_pledge(held)).ok_or_else(unknown)?;
        source.prune(now);
        ensure(source.end(found), unknown())?;
        context.set(source_key(priority, own), &source);
        context.request_release(found.id);
        let decision = Decision {
            beneficiary: found.beneficiary,
            purpose: String::new(),
            expires_ms: found.expires_ms.unwrap_or(u64::MAX),
            taken: alloc::vec![(own, found.amount)],
            passed_over: Vec::new(),
            rationale,
        };
        context.event("reclaim", borsh::to_vec(&decision).unwrap_or_default());
        Ok(())
    }

    /// A source: its place in the order, what it has promised, what of that is held and free, and its purposes.
    #[query]
    fn source(&self, view: &View<'_>, account: AccountId) -> Result<Fields, Deny> {
        let (priority, source) = source_of(&view.state(), account, "account")?;
        let free = source.free(view.time_ms())?;
        Ok(Fields::new()
            .with("priority", priority)
            .with("line", source.line)
            .with("held", math::sub(source.line, free)?)
            .with("free", free)
            .with("draw_max", source.draw_max)
            .with("until_ms", source.until_ms)
            .with("purposes", source.purposes))
    }

    /// The sources in the order in which they are drawn on, and what all of them together can give for a purpose.
    #[query]
    fn sources(&self, view: &View<'_>, purpose: String) -> Result<Fields, Deny> {
        let (mut accounts, mut free, now) = (Vec::new(), 0, view.time_ms());
        for (key, source) in view.state().scan::<Source>(SOURCES, &[], SOURCES_MAX) {
            let (_, own) = owner(&key)?;
            accounts.push(own);
            // No account of this id exists, so nobody is passed over as its own beneficiary.
            if source.passed(own, AccountId([0; 32]), &purpose, now).is_none() {
                free = math::add(free, source.free(now)?.min(source.draw_max))?;
            }
        }
        Ok(Fields::new().with("accounts", accounts).with("free", free))
    }

    fn operated(&self, context: &Context<'_>, needed: u64) -> Outcome {
        let signed = context.signed_by_keys(&self.operators);
        if signed < needed {
            let denied = if needed == 1 { Denied::NotOperator } else { Denied::NeedsTwoOperators };
            let reason = text![signed, " of ", needed, " operator keys signed"];
            return Err(denied.because(reason).field("signers"));
        }
        Ok(())
    }

    fn check_draw(&self, context: &Context<'_>, amount: u128, expires_ms: u64) -> Outcome {
        ensure(amount > 0, Denied::ZeroAmount.field("amount"))?;
        let now = context.time_ms();
        let last = now.saturating_add(self.hold_ms_max);
        if expires_ms <= now || expires_ms > last {
            let reason = text!["the hold must end after ", now, " and no later than ", last];
            return Err(Denied::BadExpiry.because(reason).field("expires_ms"));
        }
        Ok(())
    }
}

/// The priority and the account in a source's key. Only this policy writes such keys, so they have both.
fn owner(key: &[u8]) -> Result<(u64, AccountId), Deny> {
    let split = key.get(1..).and_then(|rest| rest.split_first_chunk::<8>());
    let parts = split.and_then(|(priority, account)| Some((*priority, account.try_into().ok()?)));
    let (priority, account) = parts.ok_or(Denied::NotSource)?;
    Ok((u64::from_be_bytes(priority), AccountId(account)))
}

fn find(state: &State<'_>, account: AccountId) -> Option<(u64, Source)> {
    let priority = state.get(priority_key(account))?;
    state.get(source_key(priority, account)).map(|source| (priority, source))
}

fn source_of(state: &State<'_>, account: AccountId, field: &str) -> Result<(u64, Source), Deny> {
    find(state, account).ok_or_else(|| {
        let reason = text!["account ", account, ".. is not a source of this pool"];
        Denied::NotSource.because(reason).field(field).hint("two operators enlist it with `enlist`")
    })
}

/// Records a draw and asks the host for its hold.
fn take_from(
    context: &mut Context<'_>,
    priority: u64,
    own: AccountId,
    mut source: Source,
    amount: u128,
    decision: &Decision,
) -> Outcome {
    if !context.signed(own) {
        let reason = text!["source ", own, ".. gives ", amount, " base units and has not signed"];
        let hint = "let it sign, or let two operators choose another one with `draw_from`";
        return Err(Denied::SourceNotSigned.because(reason).field("signers").hint(hint));
    }
    let Decision { beneficiary, expires_ms, .. } = *decision;
    source.prune(context.time_ms());
    source.draws.push(Draw { beneficiary, amount, expires_ms });
    context.set(source_key(priority, own), &source);
    context.request_hold(own, beneficiary, amount, HoldKind::Pledge, Some(expires_ms));
    context.note(NOTE_TAKEN, &text!["source ", own, ".. gives ", amount]);
    Ok(())
}

/// What becomes of a source's record when the beneficiary ends a pledge. Executed units leave the line with it.
fn ends(context: &mut Context<'_>, hold: &Hold, executed: bool) -> Outcome {
    let found = if is_pledge(hold) { find(&context.state(), hold.owner) } else { None };
    let Some((priority, mut source)) = found else { return Ok(()) };
    source.prune(context.time_ms());
    if !source.end(hold) {
        // It expired, or it is older than the source's part in the pool: the line never counted on its units.
        return Ok(());
    }
    if executed {
        source.line = math::sub(source.line, hold.amount)?;
    }
    context.set(source_key(priority, hold.owner), &source);
    Ok(())
}

/// Whether what the actor moves and holds in this transition leaves what it has promised.
fn keeps_promise(context: &Context<'_>) -> Outcome {
    let own = context.actor();
    let Some((_, source)) = find(&context.state(), own) else { return Ok(()) };
    let offers = calls(context, "offer").any(|leg| leg.actor == own);
    ensure(!offers, Denied::OneAtATime.field("actor").hint("make two transitions of it"))?;
    let moved = outgoing(context).try_fold(0, math::add)?;
    let free = source.free(context.time_ms())?;
    let available = context.available(own);
    if available.checked_sub(moved).is_none_or(|rest| rest < free) {
        let reason =
            text![moved, " of ", available, " available base units would leave, ", free, " are promised"];
        let hint = "lower the line with `offer` first";
        return Err(Denied::PromisedUnits.because(reason).field("amount").hint(hint));
    }
    Ok(())
}

/// What each leg of the actor takes out of its available units of this token.
fn outgoing<'a>(context: &Context<'a>) -> impl Iterator<Item = u128> + use<'a> {
    let own = context.actor();
    legs_of(context).filter(move |leg| leg.actor == own).filter_map(|leg| match &leg.action {
        Action::Transfer { amount, .. } | Action::Burn { amount } | Action::Hold { amount, .. } => {
            Some(*amount)
        }
        _ => None,
    })
}

/// The legs of this token, the judged one included.
fn legs_of<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Leg> + use<'a> {
    let token = context.token().id;
    context.legs().iter().filter(move |leg| leg.token == token)
}

/// The legs that call a method of this policy.
fn calls<'a>(context: &Context<'a>, name: &'static str) -> impl Iterator<Item = &'a Leg> + use<'a> {
    let own = context.policy_index();
    legs_of(context).filter(move |leg| {
        matches!(&leg.action, Action::Invoke { policy_index, method, .. } if *policy_index == own && method == name)
    })
}

fn reasoned(context: &Context<'_>, rationale: &str) -> Outcome {
    let fits = (1..=RATIONALE_BYTES_MAX).contains(&rationale.len());
    ensure(fits, Denied::NoRationale.field("rationale").hint("say in a sentence why the order is left"))?;
    context.note(NOTE_RATIONALE, rationale);
    Ok(())
}

fn is_pledge(hold: &Hold) -> bool {
    hold.kind == HoldKind::Pledge
}

fn why(passed: Passed) -> &'static str {
    match passed {
        Passed::Purpose => "it does not serve this purpose",
        Passed::Ended => "its term has ended",
        Passed::LineDrawn => "its line is drawn",
        Passed::Holds => "it has as many live holds as the pool keeps",
        Passed::Beneficiary => "it is the beneficiary",
    }
}
