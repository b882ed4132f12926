//! The guest side of a token policy: write a plain Rust `impl`, get a WASM module and a native test bench.
//!
//! [`policy`] turns an `impl` into a [`Policy`] and, on wasm32, into the exports that the host calls. A policy
//! is a pure function: it is shown one leg of a transition ([`Context`]) and the state frozen before the
//! transition, and answers with a denial or with effects. It owns no memory between calls.
//!
//! Refusal is the default: an action for which the `impl` has no function, an unknown method and arguments of
//! the wrong type are refused with the codes of [`Refused`]; a panic is a fault, which also refuses.
//!
//! Left out on purpose: floats, clocks, randomness, I/O. The host keeps balances, holds and supply.
#![no_std]
extern crate alloc;
#[cfg(not(target_arch = "wasm32"))]
extern crate std;

#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
mod context;
mod deny;
pub mod feed;
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
#[doc(hidden)]
pub mod guest;
mod leg;
pub mod math;
#[cfg(not(target_arch = "wasm32"))]
mod native;
mod run;
mod state;
mod text;
mod typed;
mod view;
mod wire;

pub use borsh;
pub use borsh::{BorshDeserialize, BorshSerialize};
pub use context::{Attestation, Context, Credential, Lock, Preimage, Round};
pub use deny::{Denials, Deny, Outcome, Refused, ensure};
pub use dsm_abi as abi;
pub use dsm_abi::{
    AccountId, Action, BridgeId, CreditId, Digest, Effect, Evidence, Field, Hold, HoldId, HoldKind, KeyId,
    Leg, NetworkId, Observation, Party, PolicyId, TokenId, Trust, Value, ValueType, Verdict,
    import::hash_alg, import::verify_alg, lane,
};
pub use dsm_policy_macros::{Denials, Params, policy};
pub use leg::{Burn, Claim, Execute, Invoke, Mint, NewHold, Release, Transfer, Upgrade};
pub use run::{Params, Policy};
pub use state::{Key, State};
pub use text::Piece;
pub use typed::{Typed, Values};
pub use view::{Fields, IntoFields, View};

/// What generated code calls. Not for authors.
#[doc(hidden)]
pub mod generated {
    pub use crate::run::{
        bad_argument_count, describe_denials, evaluate, take, unknown_method, unsupported, view,
    };
    pub use crate::view::unknown_query;
    pub use alloc::{string::String, vec, vec::Vec};
}

/// The tutorial's blocks are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Tutorial;
