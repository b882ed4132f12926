//! What the policy accepts and refuses, as data: checked natively by `cargo test`, and as WASM by `dsm policy test`.

use crate::Denied;
use alloc::{vec, vec::Vec};
use dsm_policy::bench::{Case, ISSUER, Scene, account};
use dsm_policy::{Action, Refused, Value};

/// Every acceptance and every denial of the policy.
pub fn cases() -> Vec<Case> {
    let token = || Scene::new(vec![Value::U128(100)]);
    let pay = |amount| Action::Transfer { to: account(2), amount, bilateral: true };
    let mint = || Action::Mint { to: account(1), amount: 5 };
    vec![
        token().leg(ISSUER, Action::Create).accepts("creation", vec![]),
        token().leg(ISSUER, mint()).accepts("units from the issuer", vec![]),
        token().leg(account(1), mint()).refuses("units from somebody else", Denied::NotIssuer),
        token().leg(account(1), Action::Burn { amount: 5 }).accepts("units destroyed", vec![]),
        token().leg(account(1), pay(100)).accepts("a transfer up to the limit", vec![]),
        token().leg(account(1), pay(101)).refuses("a transfer over the limit", Denied::OverLimit),
        token().leg(account(1), Action::Other).refuses("an action without a rule", Refused::UnsupportedAction),
    ]
}
