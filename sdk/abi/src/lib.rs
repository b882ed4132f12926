//! The types that a policy and its host share: ids, values, the policy's input and its verdict.
//!
//! Everything here crosses the WASM boundary or stands inside hashed and signed bytes, so each type has
//! exactly one encoding: Borsh, decoded strictly by [`decode`]. A policy in another language needs this
//! crate's layout and nothing else of DSM.
//!
//! Left out on purpose: hashing, cryptography, I/O, clocks, JSON. The `serde` feature adds derived faces for
//! people; nothing that is hashed goes through them.
#![no_std]
extern crate alloc;

mod case;
mod codec;
mod describe;
mod evidence;
mod id;
pub mod import;
mod input;
pub mod limit;
mod state;
mod suite;
mod value;
mod verdict;

pub use case::{Call, Expected, NativeAnswers, Situation, StateMap, Verification};
pub use codec::{DecodeError, decode, encode};
pub use describe::{
    Argument, DenialCode, Description, EvidenceKind, ForeignRead, ForeignTarget, Method, Parameter,
};
pub use evidence::{Evidence, Observation, Trust};
pub use id::{
    AccountId, BridgeId, CreditId, Digest, HoldId, KeyId, NetworkId, PolicyId, StateId, TokenId,
    TokenStateId, TransitionId,
};
pub use input::{
    Action, ForeignBalance, Hold, HoldKind, Input, Leg, Party, SignedKey, Signer, TokenView, ViewInput,
};
pub use state::ReadState;
pub use suite::{SignatureError, Suite, VerifySignature};
pub use value::{Value, ValueType};
pub use verdict::{Answer, Denial, Effect, Field, Verdict};

/// The version of the interface between policy and host that this crate describes.
pub const ABI_VERSION: u8 = 1;

/// The lanes of the outbox.
pub mod lane {
    /// Contracts on an EVM chain.
    pub const EVM: u32 = 1;
}
