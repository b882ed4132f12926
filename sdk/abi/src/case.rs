//! One call of a policy as data: what is replayed natively and as WASM, and passed between the two.

use crate::{Effect, Field, Input, ViewInput};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

/// A policy's state.
pub type StateMap = BTreeMap<Vec<u8>, Vec<u8>>;

/// A call of a policy.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Call {
    /// `dsm_evaluate`.
    Evaluate(Input),
    /// `dsm_view`.
    View(ViewInput),
}

/// What must come of a call.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Expected {
    /// Exactly these effects.
    Accept(Vec<Effect>),
    /// A denial with this code.
    Reject(u16),
    /// Exactly these values.
    Answer(Vec<Field>),
}

/// A call with all that it may read, and the answers of the host's cryptography to it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Situation {
    /// The policy's state before the call.
    pub state: StateMap,
    /// The policy states of the declared foreign reads, by position.
    pub foreign: Vec<StateMap>,
    /// The call.
    pub call: Call,
    /// What `hash` answered where the call was made before: algorithm, bytes, digest.
    pub hashes: Vec<(u32, Vec<u8>, [u8; 32])>,
    /// What `verify` answered there: algorithm, key, message, signature, whether it verified.
    pub verifications: Vec<Verification>,
}

/// One answer of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Verification {
    /// One of [`crate::import::verify_alg`].
    pub algorithm: u32,
    /// The key.
    pub key: Vec<u8>,
    /// The message.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// Whether it verified.
    pub verified: bool,
}

/// What a policy's native side tells the host: its own cases, and an answer to every situation.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NativeAnswers {
    /// The cases that its own code states: name, state, foreign states, call, expectation.
    pub cases: Vec<(String, StateMap, Vec<StateMap>, Call, Expected)>,
    /// For each situation asked about the encoded verdict or answer, or what the code said when it panicked.
    pub answers: Vec<Result<Vec<u8>, String>>,
}
