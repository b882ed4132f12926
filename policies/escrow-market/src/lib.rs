//! Work for money that is set aside before it starts, in the token that this policy governs.
//!
//! The buyer puts the price under a hold for the seller and makes an *offer* of it; the seller *claims* the work
//! and *delivers* the digest of its result by the deadline; the buyer *pays* by executing the hold. If they
//! disagree, either opens a dispute and two of three arbiters decide. If the seller never claims or never delivers,
//! the buyer takes the money back. If nobody does anything, the hold ends by itself and the money is the buyer's.
//!
//! The money never belongs to the policy: it is the host's hold on the buyer's units from the first step to the
//! last, so every exit either executes or releases exactly this hold, once.
//!
//! Left out on purpose: the content of terms and results (the policy keeps digests), partial payments, and open
//! calls: an offer names its seller, because a hold has one beneficiary from the start.
#![no_std]
extern crate alloc;

use alloc::{string::String, vec::Vec};
use dsm_policy::{
    AccountId, Action, BorshDeserialize, BorshSerialize, Burn, Claim, Context, Denials, Deny, Digest,
    Execute, Fields, Hold, HoldId, HoldKind, Key, KeyId, Leg, Mint, NewHold, Outcome, Params, Release, State,
    Transfer, View, borsh, ensure, policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one market.
#[derive(Debug, Clone, Params)]
pub struct EscrowMarket {
    /// The keys of the three arbiters; two of them decide a dispute.
    pub arbiters: Vec<KeyId>,
    /// How long the money stays set aside after the deadline of the delivery, in ms, at least 1: the time to pay,
    /// to dispute and to decide.
    pub settle_ms: u64,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// Only the token's issuer mints.
    NotIssuer = 100,
    /// Money is set aside in escrow only; it is not pledged, locked or under a lien.
    HoldKind = 101,
    /// A hold for an offer needs an end, so that no money rests for ever.
    NoEnd = 102,
    /// Buyer and seller are one account.
    SelfDeal = 103,
    /// The caller has no live escrow hold of this id in this token.
    NoHold = 104,
    /// The hold is part of a deal.
    DealExists = 105,
    /// The deadline of the delivery lies in the past, or the hold ends before the time to settle has passed after it.
    BadDeadline = 106,
    /// No offer was made of this hold.
    UnknownDeal = 107,
    /// Only the buyer does this.
    NotBuyer = 108,
    /// Only the seller does this.
    NotSeller = 109,
    /// Only the buyer or the seller opens a dispute.
    NotParty = 110,
    /// The step does not follow the deal's last one.
    OutOfOrder = 111,
    /// The deadline of the delivery has passed.
    TooLate = 112,
    /// The seller may still deliver.
    TooEarly = 113,
    /// The hold has ended: the money is the buyer's again.
    Ended = 114,
    /// Fewer than two of the three arbiters' keys signed.
    NotArbiters = 115,
    /// The terms need three distinct arbiters and a time to settle of at least 1 ms.
    BadTerms = 116,
}

/// How far a deal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub enum Stage {
    /// The buyer offers the work.
    Offered,
    /// The seller has taken it on.
    Claimed,
    /// The seller named its result.
    Delivered,
    /// Buyer or seller called the arbiters.
    Disputed,
    /// The money went to the seller. The end.
    Paid,
    /// The money went back to the buyer. The end.
    Refunded,
}

impl Stage {
    const fn word(self) -> &'static str {
        match self {
            Stage::Offered => "offered",
            Stage::Claimed => "claimed",
            Stage::Delivered => "delivered",
            Stage::Disputed => "disputed",
            Stage::Paid => "paid",
            Stage::Refunded => "refunded",
        }
    }

    const fn is_open(self) -> bool {
        !matches!(self, Stage::Paid | Stage::Refunded)
    }
}

/// What the market keeps of a deal, under the id of its hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Deal {
    /// Pays: the owner of the hold.
    pub buyer: AccountId,
    /// Works: the beneficiary of the hold.
    pub seller: AccountId,
    /// The price in base units: the amount of the hold.
    pub amount: u128,
    /// The digest of what was agreed.
    pub terms: Digest,
    /// The result is to be named before this time, in ms since the Unix epoch.
    pub deliver_by_ms: u64,
    /// The hold ends then, in ms since the Unix epoch.
    pub ends_ms: u64,
    /// How far it is.
    pub stage: Stage,
    /// The digest of the result, once delivered.
    pub result: Option<Digest>,
}

/// How many arbiters there are, and how many of them decide.
const ARBITERS: usize = 3;
const ARBITERS_DECIDE: u64 = 2;

pub(crate) fn deal_key(hold: HoldId) -> Key {
    Key::new(b'd').hold(hold)
}

#[policy(
    name = "escrow-market",
    summary = "Work for money that is set aside first: offered, claimed, delivered, paid, or decided by arbiters.",
    denials = Denied
)]
impl EscrowMarket {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let count = self.arbiters.len();
        let distinct = (1..count).all(|i| !self.arbiters[..i].contains(&self.arbiters[i]));
        ensure(count == ARBITERS && distinct && self.settle_ms > 0, Denied::BadTerms)
    }

    fn mint(&self, context: &mut Context<'_>, _: Mint) -> Outcome {
        ensure(context.actor() == context.token().issuer, Denied::NotIssuer.field("actor"))
    }

    fn burn(&self, _: &mut Context<'_>, _: Burn) -> Outcome {
        Ok(())
    }

    fn transfer(&self, _: &mut Context<'_>, _: Transfer) -> Outcome {
        Ok(())
    }

    fn claim(&self, _: &mut Context<'_>, _: Claim) -> Outcome {
        Ok(())
    }

    /// The buyer sets the price aside for the seller. The hold's id becomes the deal's.
    fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome {
        ensure(
            hold.kind == HoldKind::Escrow,
            Denied::HoldKind.field("kind").hint("make the hold with kind `escrow`"),
        )?;
        ensure(
            hold.expires_ms.is_some(),
            Denied::NoEnd.field("expires_ms").hint("let it end after the delivery and the time to settle"),
        )?;
        ensure(hold.beneficiary != context.actor(), Denied::SelfDeal.field("beneficiary"))
    }

    /// The seller gives up: the money is the buyer's again. Also for a hold of which no offer was made.
    fn release(&self, context: &mut Context<'_>, release: Release) -> Outcome {
        ensure(context.actor() == release.hold.beneficiary, Denied::NotSeller.field("actor"))?;
        if let Some(deal) = context.state().get::<Deal>(deal_key(release.hold.id)) {
            context.set(deal_key(release.hold.id), &Deal { stage: Stage::Refunded, ..deal });
        }
        Ok(())
    }

    /// The buyer pays.
    fn execute(&self, context: &mut Context<'_>, execute: Execute) -> Outcome {
        let hold = execute.hold.id;
        let deal = open(context, hold)?;
        ensure(context.actor() == deal.buyer, Denied::NotBuyer.field("actor"))?;
        let delivered = matches!(deal.stage, Stage::Delivered | Stage::Disputed);
        ensure(delivered, out_of_order(deal.stage, "a deal is paid once its result is delivered"))?;
        context.set(deal_key(hold), &Deal { stage: Stage::Paid, ..deal });
        Ok(())
    }

    /// Offers the work whose price is set aside in `hold` to the hold's beneficiary. Needs the buyer, who owns the
    /// hold; it was made in an earlier transition.
    #[method]
    fn offer(&self, context: &mut Context<'_>, hold: Digest, terms: Digest, deliver_by_ms: u64) -> Outcome {
        let buyer = context.actor();
        let id = HoldId(hold.0);
        ensure(!context.state().has(deal_key(id)), Denied::DealExists.field("hold"))?;
        let Hold { beneficiary: seller, amount, expires_ms, .. } = own_escrow(context, id)?;
        let given_up = |leg: &Leg| matches!(&leg.action, Action::Release { hold } if hold.id == id);
        let hint = "the seller gives it up in this transition: make a new hold";
        ensure(!context.siblings().any(given_up), Denied::NoHold.field("hold").hint(hint))?;
        let ends_ms = expires_ms.ok_or_else(|| Denied::NoEnd.field("hold"))?;
        ensure(seller != buyer, Denied::SelfDeal.field("hold"))?;
        let settled_ms = deliver_by_ms.saturating_add(self.settle_ms);
        if deliver_by_ms <= context.time_ms() || settled_ms > ends_ms {
            let reason = text![
                "delivery by ",
                deliver_by_ms,
                " and ",
                self.settle_ms,
                " ms to settle; now is ",
                context.time_ms(),
                ", the hold ends at ",
                ends_ms
            ];
            let hint = "choose a deadline ahead, or make a hold that ends later";
            return Err(Denied::BadDeadline.because(reason).field("deliver_by_ms").hint(hint));
        }
        let stage = Stage::Offered;
        let deal = Deal { buyer, seller, amount, terms, deliver_by_ms, ends_ms, stage, result: None };
        context.set(deal_key(id), &deal);
        Ok(())
    }

    /// Takes the offered work on. Needs the seller.
    #[method]
    fn claim_work(&self, context: &mut Context<'_>, hold: Digest) -> Outcome {
        let deal = open(context, HoldId(hold.0))?;
        ensure(context.actor() == deal.seller, Denied::NotSeller.field("actor"))?;
        ensure(deal.stage == Stage::Offered, out_of_order(deal.stage, "an offer is claimed once"))?;
        in_time(context, &deal)?;
        context.set(deal_key(HoldId(hold.0)), &Deal { stage: Stage::Claimed, ..deal });
        Ok(())
    }

    /// Names the result of claimed work by its digest, before the deadline. Needs the seller.
    #[method]
    fn deliver(&self, context: &mut Context<'_>, hold: Digest, result: Digest) -> Outcome {
        let deal = open(context, HoldId(hold.0))?;
        ensure(context.actor() == deal.seller, Denied::NotSeller.field("actor"))?;
        ensure(deal.stage == Stage::Claimed, out_of_order(deal.stage, "claimed work is delivered once"))?;
        in_time(context, &deal)?;
        let delivered = Deal { stage: Stage::Delivered, result: Some(result), ..deal };
        context.set(deal_key(HoldId(hold.0)), &delivered);
        Ok(())
    }

    /// Takes the money back: at any time while nobody has claimed the work, and from the deadline on if nothing was
    /// delivered. Needs the buyer.
    #[method]
    fn refund(&self, context: &mut Context<'_>, hold: Digest) -> Outcome {
        let deal = open(context, HoldId(hold.0))?;
        ensure(context.actor() == deal.buyer, Denied::NotBuyer.field("actor"))?;
        let undelivered = matches!(deal.stage, Stage::Offered | Stage::Claimed);
        let hint = "pay, or call `dispute` and let the arbiters decide";
        ensure(undelivered, out_of_order(deal.stage, hint))?;
        if deal.stage == Stage::Claimed && context.time_ms() < deal.deliver_by_ms {
            let reason = text!["the seller may deliver until ", deal.deliver_by_ms];
            return Err(Denied::TooEarly.because(reason).field("hold").hint("ask again from then on"));
        }
        close(context, HoldId(hold.0), deal, false);
        Ok(())
    }

    /// Calls the arbiters about a delivered result. Needs the buyer or the seller.
    #[method]
    fn dispute(&self, context: &mut Context<'_>, hold: Digest) -> Outcome {
        let deal = open(context, HoldId(hold.0))?;
        let party = [deal.buyer, deal.seller].contains(&context.actor());
        ensure(party, Denied::NotParty.field("actor"))?;
        let hint = "a dispute is about a delivered result and is opened once";
        ensure(deal.stage == Stage::Delivered, out_of_order(deal.stage, hint))?;
        context.set(deal_key(HoldId(hold.0)), &Deal { stage: Stage::Disputed, ..deal });
        Ok(())
    }

    /// Decides a dispute: the money goes to the seller if `pay`, else back to the buyer. Needs two of the three
    /// arbiters.
    #[method]
    fn decide(&self, context: &mut Context<'_>, hold: Digest, pay: bool) -> Outcome {
        let signed = context.signed_by_keys(&self.arbiters);
        if signed < ARBITERS_DECIDE {
            let reason = text![signed, " of the three arbiters' keys signed"];
            let hint = "two of them decide together, in one transition";
            return Err(Denied::NotArbiters.because(reason).field("signers").hint(hint));
        }
        let deal = open(context, HoldId(hold.0))?;
        let hint = "the buyer or the seller calls `dispute` first";
        ensure(deal.stage == Stage::Disputed, out_of_order(deal.stage, hint))?;
        close(context, HoldId(hold.0), deal, pay);
        Ok(())
    }

    /// A deal: its stage (`lapsed` if the hold ended before anybody closed it), whether it is closed, parties, price,
    /// digests and times. The result is zero until it is delivered.
    #[query]
    fn deal(&self, view: &View<'_>, hold: Digest) -> Result<Fields, Deny> {
        let deal = find(&view.state(), HoldId(hold.0))?;
        let lapsed = deal.stage.is_open() && view.time_ms() >= deal.ends_ms;
        let stage = if lapsed { "lapsed" } else { deal.stage.word() };
        Ok(Fields::new()
            .with("stage", String::from(stage))
            .with("closed", lapsed || !deal.stage.is_open())
            .with("buyer", deal.buyer)
            .with("seller", deal.seller)
            .with("amount", deal.amount)
            .with("terms", deal.terms)
            .with("result", deal.result.unwrap_or(Digest([0; 32])))
            .with("deliver_by_ms", deal.deliver_by_ms)
            .with("ends_ms", deal.ends_ms))
    }
}

/// The caller's live escrow hold of this id, as the host keeps it.
fn own_escrow(context: &Context<'_>, id: HoldId) -> Result<Hold, Deny> {
    let holds = context.party(context.actor()).map_or(&[][..], |party| &party.holds);
    let found = holds.iter().find(|hold| hold.id == id && hold.kind == HoldKind::Escrow);
    found.copied().ok_or_else(|| {
        Denied::NoHold.field("hold").hint("set the price aside first, in a transition of its own")
    })
}

fn find(state: &State<'_>, hold: HoldId) -> Result<Deal, Deny> {
    state.get(deal_key(hold)).ok_or_else(|| Denied::UnknownDeal.field("hold").hint("call `offer` first"))
}

/// The deal of this hold, while the hold lives. A deal that is closed is no longer in order for anything.
fn open(context: &Context<'_>, hold: HoldId) -> Result<Deal, Deny> {
    let deal = find(&context.state(), hold)?;
    ensure(deal.stage.is_open(), out_of_order(deal.stage, "the deal is closed"))?;
    ensure(context.time_ms() < deal.ends_ms, Denied::Ended.field("hold"))?;
    Ok(deal)
}

fn in_time(context: &Context<'_>, deal: &Deal) -> Outcome {
    if context.time_ms() >= deal.deliver_by_ms {
        let reason = text!["the deadline was ", deal.deliver_by_ms, ", now is ", context.time_ms()];
        return Err(Denied::TooLate.because(reason).field("hold"));
    }
    Ok(())
}

fn out_of_order(stage: Stage, hint: &str) -> Deny {
    Denied::OutOfOrder.because(text!["the deal is ", stage.word()]).field("hold").hint(hint)
}

/// Ends the hold, to the seller or to the buyer, and the deal with it.
fn close(context: &mut Context<'_>, hold: HoldId, deal: Deal, pay: bool) {
    let stage = if pay { Stage::Paid } else { Stage::Refunded };
    context.set(deal_key(hold), &Deal { stage, ..deal });
    if pay {
        context.request_execute(hold);
    } else {
        context.request_release(hold);
    }
}
