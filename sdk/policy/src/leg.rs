//! What each function of a policy is given: one type per action, without what the context already knows.

use crate::abi::{AccountId, CreditId, Hold, HoldKind, PolicyId, Value};

/// New units for `to`.
///
/// ```
/// use dsm_policy::{Denials, Outcome, Refused, Mint, ensure};
///
/// fn rule(mint: Mint) -> Outcome {
///     ensure(mint.amount % 100 == 0, Refused::UnsupportedAction.field("mint"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mint {
    /// Receives.
    pub to: AccountId,
    /// Base units.
    pub amount: u128,
}

/// Units of the actor are destroyed.
///
/// ```
/// use dsm_policy::{Denials, Outcome, Refused, Burn, ensure};
///
/// fn rule(burn: Burn) -> Outcome {
///     ensure(burn.amount >= 10, Refused::UnsupportedAction.field("burn"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burn {
    /// Base units.
    pub amount: u128,
}

/// Units move from the actor to `to`.
///
/// ```
/// use dsm_policy::{Denials, Outcome, Refused, Transfer, ensure};
///
/// fn rule(transfer: Transfer) -> Outcome {
///     ensure(transfer.bilateral || transfer.amount < 1_000, Refused::UnsupportedAction.field("transfer"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Receives.
    pub to: AccountId,
    /// Base units.
    pub amount: u128,
    /// Whether `to` signed too, so that the units arrive at once instead of as a credit.
    pub bilateral: bool,
}

/// The actor takes a credit out of its inbox.
///
/// ```
/// use dsm_policy::{Denials, Outcome, Refused, Claim, ensure};
///
/// fn rule(claim: Claim) -> Outcome {
///     ensure(claim.amount > 0 && claim.from.0 != [0; 32], Refused::UnsupportedAction.field("claim"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The credit.
    pub credit: CreditId,
    /// Who sent or minted it.
    pub from: AccountId,
    /// Base units.
    pub amount: u128,
}

/// The actor puts a hold on its own units.
///
/// ```
/// use dsm_policy::{Denials, HoldKind, NewHold, Outcome, Refused, ensure};
///
/// /// Only escrow, and never without an end.
/// fn rule(hold: NewHold) -> Outcome {
///     ensure(hold.kind == HoldKind::Escrow && hold.expires_ms.is_some(), Refused::UnsupportedAction.field("kind"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewHold {
    /// Who may release or execute it.
    pub beneficiary: AccountId,
    /// Base units.
    pub amount: u128,
    /// What the hold permits.
    pub kind: HoldKind,
    /// When it ends by itself, in ms since the Unix epoch.
    pub expires_ms: Option<u64>,
}

/// The actor ends a hold in the owner's favour.
///
/// ```
/// use dsm_policy::{Denials, Outcome, Refused, Release, ensure};
///
/// fn rule(release: Release) -> Outcome {
///     ensure(release.hold.owner != release.hold.beneficiary, Refused::UnsupportedAction.field("release"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The hold.
    pub hold: Hold,
}

/// The actor ends a hold by moving the amount to the beneficiary.
///
/// ```
/// use dsm_policy::{Denials, Outcome, Refused, Execute, ensure};
///
/// fn rule(execute: Execute) -> Outcome {
///     ensure(execute.hold.amount < 1_000_000, Refused::UnsupportedAction.field("execute"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute {
    /// The hold.
    pub hold: Hold,
}

/// This policy takes the place of another in the token's list, with the parameters of the scheduled upgrade and the
/// state that the other one left. It may bring that state into its own form, and tell events; the host refuses every
/// other effect. Without a rule the upgrade is refused, so nobody becomes a successor by accident.
///
/// ```
/// use dsm_policy::{Denials, Outcome, PolicyId, Refused, Upgrade, ensure};
///
/// /// The release whose state this one understands.
/// const BEFORE: PolicyId = PolicyId([0x5b; 32]);
///
/// fn rule(upgrade: Upgrade) -> Outcome {
///     ensure(upgrade.from == BEFORE, Refused::UnsupportedAction.field("upgrade"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// The policy that it replaces.
    pub from: PolicyId,
}

/// A call of a method of another policy of the same token.
///
/// ```
/// use dsm_policy::{Denials, Invoke, Outcome, Refused, ensure};
///
/// /// A bystander that lets nobody pause the token, whatever the other policy says.
/// fn rule(call: Invoke<'_>) -> Outcome {
///     ensure(call.method != "pause", Refused::UnsupportedAction.field("method"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoke<'a> {
    /// The position of the policy that is called.
    pub policy_index: u8,
    /// The method's name.
    pub method: &'a str,
    /// Its arguments.
    pub args: &'a [Value],
}
