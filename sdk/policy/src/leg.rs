//! What each function of a policy is given: one type per action, without what the context already knows.

use crate::abi::{AccountId, CreditId, Hold, HoldKind, Value};

/// New units for `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mint {
    /// Receives.
    pub to: AccountId,
    /// Base units.
    pub amount: u128,
}

/// Units of the actor are destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burn {
    /// Base units.
    pub amount: u128,
}

/// Units move from the actor to `to`.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The hold.
    pub hold: Hold,
}

/// The actor ends a hold by moving the amount to the beneficiary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute {
    /// The hold.
    pub hold: Hold,
}

/// A call of a method of another policy of the same token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoke<'a> {
    /// The position of the policy that is called.
    pub policy_index: u8,
    /// The method's name.
    pub method: &'a str,
    /// Its arguments.
    pub args: &'a [Value],
}
