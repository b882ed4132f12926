//! What a policy answers.

use crate::{AccountId, HoldId, HoldKind, PolicyId, Value};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

/// A policy's verdict on one leg. A trap, exhausted fuel or malformed output is not a verdict but a fault,
/// which only the host can state; both refuse.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Verdict {
    /// The leg may happen, with these effects.
    Accept(Vec<Effect>),
    /// The leg may not happen.
    Reject(Denial),
}

/// Why a policy refuses.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Denial {
    /// The policy's own stable code, listed in its description.
    pub code: u16,
    /// At most [`crate::limit::REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// The field of the operation that is at fault, or empty.
    pub field: String,
    /// What would make it acceptable, or empty.
    pub hint: String,
}

/// A change that a policy asks for. The host checks every one: a policy can never create, move or free
/// value against the host's rules.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Sets a key of this policy's state.
    SetState {
        /// 1 to [`crate::limit::STATE_KEY_BYTES_MAX`] bytes.
        key: Vec<u8>,
        /// At most [`crate::limit::STATE_VALUE_BYTES_MAX`] bytes.
        value: Vec<u8>,
    },
    /// Deletes a key of this policy's state; an absent key stays absent.
    DeleteState {
        /// 1 to [`crate::limit::STATE_KEY_BYTES_MAX`] bytes.
        key: Vec<u8>,
    },
    /// Puts a hold on a signer's available balance of this token.
    CreateHold {
        /// The account that is held; it must have signed.
        owner: AccountId,
        /// Who may release or execute it.
        beneficiary: AccountId,
        /// Base units.
        amount: u128,
        /// What the hold permits.
        kind: HoldKind,
        /// When it ends by itself, in ms since the Unix epoch.
        expires_ms: Option<u64>,
    },
    /// Moves the end of a hold of this token to a later time, or removes the end.
    ExtendHold {
        /// The hold.
        hold: HoldId,
        /// The new end, in ms since the Unix epoch.
        expires_ms: Option<u64>,
    },
    /// Ends a hold of this token in the owner's favour.
    ReleaseHold {
        /// The hold.
        hold: HoldId,
    },
    /// Ends a hold of this token by moving the amount to the beneficiary.
    ExecuteHold {
        /// The hold.
        hold: HoldId,
    },
    /// Adds an entry to the event stream.
    Event {
        /// At most 64 bytes.
        topic: String,
        /// At most [`crate::limit::EVENT_BYTES_MAX`] bytes.
        payload: Vec<u8>,
    },
    /// The account can no longer send or receive this token.
    Freeze {
        /// The account.
        account: AccountId,
    },
    /// Undoes [`Effect::Freeze`].
    Unfreeze {
        /// The account.
        account: AccountId,
    },
    /// Requests new base units for an account, within the token's cap. The token's other policies judge it.
    Mint {
        /// Receives a credit.
        to: AccountId,
        /// Base units.
        amount: u128,
    },
    /// Requests the destruction of a signer's available units. The token's other policies judge it.
    Burn {
        /// Must have signed.
        from: AccountId,
        /// Base units.
        amount: u128,
    },
    /// Requests a movement of a signer's available units. The token's other policies judge it.
    Transfer {
        /// Must have signed.
        from: AccountId,
        /// Receives a credit, or the units at once if it signed too.
        to: AccountId,
        /// Base units.
        amount: u128,
    },
    /// Appends an entry to the outbox, which other chains read by proof. The host writes the token, the acting
    /// account and the transition into it.
    Emit {
        /// Whom it is for: see [`crate::lane`].
        lane: u32,
        /// At most [`crate::limit::EMIT_BYTES_MAX`] bytes.
        payload: Vec<u8>,
    },
    /// Schedules another policy for a position of the token's list. Only the policy that the token's terms name may,
    /// and the delay that they name must pass first; then anybody may put it in force.
    ScheduleUpgrade {
        /// The position.
        policy_index: u8,
        /// The published policy that comes.
        policy: PolicyId,
        /// Its parameters, in the order of its description.
        params: Vec<Value>,
        /// From when on it may be put in force, in ms since the Unix epoch.
        due_ms: u64,
    },
    /// Takes a scheduled upgrade back. Only the policy that the token's terms name may.
    CancelUpgrade {
        /// The position.
        policy_index: u8,
    },
}

/// A named value in the answer to a query.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Field {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// The answer of `dsm_view`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// Named values.
    Fields(Vec<Field>),
    /// The query is unknown or cannot be answered.
    Reject(Denial),
}
