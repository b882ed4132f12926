//! A securities register, as a central securities depository keeps it.
//!
//! The registrar (a quorum of keys) admits participants, issues the security and redeems it. Participants
//! deliver units to each other. A participant marked `dvp_only` delivers and receives against payment alone:
//! each delivery needs a payment of the register's cash token from buyer to seller in the same transition.
//! A participant may pledge units or put them under a lien; they then cannot move until the pledgee releases
//! them. A pledge may be enforced by the pledgee, who takes the units; a lien cannot.
//!
//! What `dvp_only` proves is that a payment was made, not that the price was right: the price is what both
//! parties signed.
#![no_std]
extern crate alloc;

use alloc::vec::Vec;
use dsm_policy::{
    AccountId, BorshDeserialize, BorshSerialize, Burn, Claim, Context, Denials, Execute, Fields, HoldKind,
    Key, KeyId, Mint, NewHold, Outcome, Params, Release, TokenId, Transfer, View, borsh, ensure, policy,
    text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one security.
#[derive(Debug, Clone, Params)]
pub struct CsdRegister {
    /// The registrar's keys, 1 to 32.
    pub registrars: Vec<KeyId>,
    /// How many distinct registrar keys must sign, at least 1.
    pub threshold: u64,
    /// The token in which deliveries are paid; the zero id for none.
    pub cash: Option<TokenId>,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// Too few of the registrar's keys signed.
    NotRegistrar = 100,
    /// An account is not a participant of this register.
    NotParticipant = 101,
    /// A party delivers against payment only, and the transition holds no payment from buyer to seller.
    DvpRequired = 102,
    /// Units of this register can be pledged or put under a lien; locks and escrow are not kept here.
    HoldKind = 103,
    /// Only the pledgee releases or enforces a pledge.
    NotPledgee = 104,
    /// Only a pledge can be enforced; a lien ends by release.
    NotEnforceable = 105,
    /// The units are pledged or under a lien and cannot move until they are released.
    Encumbered = 106,
    /// The account does not own so many units.
    InsufficientUnits = 107,
    /// The register has no cash token, so nobody can be made to deliver against payment.
    NoCashToken = 108,
    /// The terms need 1 to 32 distinct registrar keys and a threshold between 1 and their number.
    BadTerms = 109,
}

/// What the register keeps of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Participant {
    /// Delivers and receives against payment only.
    pub dvp_only: bool,
}

const REGISTRARS_MAX: usize = 32;
/// Participants that one query lists: within the 64 reads of one call.
const PAGE: u32 = 32;
const PARTICIPANTS: Key = Key::new(b'p');

pub(crate) fn participant_key(account: AccountId) -> Key {
    PARTICIPANTS.account(account)
}

#[policy(
    name = "csd-register",
    summary = "A securities register: issued by registrars, held by participants, pledged, delivered against payment.",
    denials = Denied
)]
impl CsdRegister {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let count = self.registrars.len();
        let distinct = (1..count).all(|i| !self.registrars[..i].contains(&self.registrars[i]));
        let reachable = (1..=count as u64).contains(&self.threshold);
        ensure(count <= REGISTRARS_MAX && distinct && reachable, Denied::BadTerms)
    }

    fn mint(&self, context: &mut Context<'_>, mint: Mint) -> Outcome {
        self.registrar(context)?;
        participant(context, mint.to, "to").map(|_| ())
    }

    /// Redemption: the holder destroys units, and the registrar signs too.
    fn burn(&self, context: &mut Context<'_>, burn: Burn) -> Outcome {
        self.registrar(context)?;
        unencumbered(context, burn.amount)
    }

    fn transfer(&self, context: &mut Context<'_>, transfer: Transfer) -> Outcome {
        let seller = participant(context, context.actor(), "actor")?;
        let buyer = participant(context, transfer.to, "to")?;
        unencumbered(context, transfer.amount)?;
        if seller.dvp_only || buyer.dvp_only {
            let paid = |cash| context.sibling_pays(cash, transfer.to, context.actor(), 1);
            let hint = "add a payment in the register's cash token from buyer to seller to the transition";
            ensure(self.cash.is_some_and(paid), Denied::DvpRequired.field("to").hint(hint))?;
        }
        Ok(())
    }

    /// The sender was judged when it sent, so that its leaving the register strands nobody's units.
    fn claim(&self, context: &mut Context<'_>, _: Claim) -> Outcome {
        participant(context, context.actor(), "actor").map(|_| ())
    }

    fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome {
        ensure(
            matches!(hold.kind, HoldKind::Pledge | HoldKind::Lien),
            Denied::HoldKind.field("kind").hint("`pledge` or `lien`"),
        )?;
        participant(context, context.actor(), "actor")?;
        participant(context, hold.beneficiary, "beneficiary")?;
        unencumbered(context, hold.amount)
    }

    fn release(&self, context: &mut Context<'_>, release: Release) -> Outcome {
        ensure(context.actor() == release.hold.beneficiary, Denied::NotPledgee.field("actor"))
    }

    fn execute(&self, context: &mut Context<'_>, execute: Execute) -> Outcome {
        ensure(execute.hold.kind == HoldKind::Pledge, Denied::NotEnforceable.field("kind"))?;
        ensure(context.actor() == execute.hold.beneficiary, Denied::NotPledgee.field("actor"))?;
        participant(context, context.actor(), "actor").map(|_| ())
    }

    /// Admits a participant or changes its standing; `dvp_only` makes it deliver and receive against payment
    /// alone. Needs the registrar.
    #[method]
    fn register(&self, context: &mut Context<'_>, account: AccountId, dvp_only: bool) -> Outcome {
        self.registrar(context)?;
        ensure(!dvp_only || self.cash.is_some(), Denied::NoCashToken.field("dvp_only"))?;
        context.set(participant_key(account), &Participant { dvp_only });
        Ok(())
    }

    /// Removes a participant. Units that it still owns rest until it is registered again. Needs the registrar.
    #[method]
    fn deregister(&self, context: &mut Context<'_>, account: AccountId) -> Outcome {
        self.registrar(context)?;
        participant(context, account, "account")?;
        context.delete(participant_key(account));
        Ok(())
    }

    /// Whether an account is a participant, and whether it deals against payment only.
    #[query]
    fn participant(&self, view: &View<'_>, account: AccountId) -> Fields {
        let found: Option<Participant> = view.state().get(participant_key(account));
        Fields::new()
            .with("registered", found.is_some())
            .with("dvp_only", found.is_some_and(|participant| participant.dvp_only))
    }

    /// Up to 32 participants after the given account, in order of their ids; the zero id starts at the first.
    #[query]
    fn participants(&self, view: &View<'_>, after: AccountId) -> Fields {
        let entries = view.state().scan::<Participant>(PARTICIPANTS, participant_key(after).as_ref(), PAGE);
        let ids = entries.iter().filter_map(|(key, _)| key.get(1..)?.try_into().ok());
        Fields::new().with("accounts", ids.map(AccountId).collect::<Vec<_>>())
    }

    fn registrar(&self, context: &Context<'_>) -> Outcome {
        let signed = context.signed_by_keys(&self.registrars);
        if signed < self.threshold {
            let reason = text![signed, " of ", self.threshold, " registrar keys signed"];
            return Err(Denied::NotRegistrar.because(reason).field("signers"));
        }
        Ok(())
    }
}

fn participant(
    context: &Context<'_>,
    account: AccountId,
    field: &str,
) -> Result<Participant, dsm_policy::Deny> {
    context.state().get(participant_key(account)).ok_or_else(|| {
        let reason = text!["account ", account, ".. is not a participant"];
        Denied::NotParticipant.because(reason).field(field).hint("the registrar admits it with `register`")
    })
}

/// Whether the actor has `amount` units that are neither pledged nor under a lien.
fn unencumbered(context: &Context<'_>, amount: u128) -> Outcome {
    let (owned, free) =
        context.party(context.actor()).map_or((0, 0), |party| (party.balance, party.available));
    if owned < amount {
        let reason = text![amount, " units are wanted of ", owned];
        return Err(Denied::InsufficientUnits.because(reason).field("amount"));
    }
    if free < amount {
        let reason =
            text![amount, " units are wanted; of ", owned, " only ", free, " are free of pledges and liens"];
        let hint = "let the pledgee release its units first";
        return Err(Denied::Encumbered.because(reason).field("amount").hint(hint));
    }
    Ok(())
}
