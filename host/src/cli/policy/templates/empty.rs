//! The least that a policy can be: the issuer makes units, and they move freely.
//!
//! Say here what the policy is for. What has no function below is refused.
#![no_std]
extern crate alloc;

use dsm_policy::{Burn, Claim, Context, Denials, Mint, Outcome, Params, Transfer, ensure, policy};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one token: each field is a parameter that is given when the token is created.
#[derive(Debug, Clone, Params)]
pub struct Empty {
    /// Base units that one transfer may move; 0 sets no limit.
    pub transfer_max: u128,
}

/// Why this policy refuses. Codes are stable and start at 100; the comment is what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// Only the account that created the token issues new units.
    NotIssuer = 100,
    /// The amount is larger than one transfer may move.
    OverLimit = 101,
}

#[policy(
    name = "empty",
    summary = "Units come from the issuer and move freely, within a limit for one transfer.",
    denials = Denied
)]
impl Empty {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        Ok(())
    }

    fn mint(&self, context: &mut Context<'_>, _: Mint) -> Outcome {
        ensure(context.actor() == context.token().issuer, Denied::NotIssuer.field("actor"))
    }

    fn burn(&self, _: &mut Context<'_>, _: Burn) -> Outcome {
        Ok(())
    }

    fn transfer(&self, _: &mut Context<'_>, transfer: Transfer) -> Outcome {
        ensure(self.transfer_max == 0 || transfer.amount <= self.transfer_max, Denied::OverLimit.field("amount"))
    }

    fn claim(&self, _: &mut Context<'_>, _: Claim) -> Outcome {
        Ok(())
    }
}
