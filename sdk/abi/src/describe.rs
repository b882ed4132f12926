//! What a policy says of itself: the answer of `dsm_describe`, from which documents, command-line help and
//! the API's schemas are made.

use crate::{TokenId, ValueType};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! described {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }
    )*};
}

described! {
    /// A policy's description of itself.
    struct Description {
        /// The interface version it was built for.
        abi: u8,
        /// A short name, such as `fungible`.
        name: String,
        /// Its version, as in its crate.
        version: String,
        /// One sentence for people.
        summary: String,
        /// The parameters that a token gives at creation, in order.
        params: Vec<Parameter>,
        /// The methods that `Invoke` reaches.
        methods: Vec<Method>,
        /// The queries that `dsm_view` answers.
        queries: Vec<Method>,
        /// Every code it can deny with.
        denials: Vec<DenialCode>,
        /// The kinds of evidence it looks at.
        evidence: Vec<EvidenceKind>,
        /// What it reads of other tokens. Anything else is a fault.
        foreign_reads: Vec<ForeignRead>,
    }

    /// A parameter of a token.
    struct Parameter {
        /// Its name.
        name: String,
        /// Its type.
        value_type: ValueType,
        /// One sentence for people, with the unit.
        doc: String,
    }

    /// A method or query.
    struct Method {
        /// Its name.
        name: String,
        /// Its arguments, in order.
        args: Vec<Argument>,
        /// One sentence for people.
        doc: String,
    }

    /// An argument of a method.
    struct Argument {
        /// Its name.
        name: String,
        /// Its type.
        value_type: ValueType,
    }

    /// A code that the policy can deny with.
    struct DenialCode {
        /// The code.
        code: u16,
        /// A stable word, such as `over_cap`.
        name: String,
        /// One sentence for people.
        text: String,
    }

    /// A read of another token's policy state and of the parties' balances there.
    struct ForeignRead {
        /// Which token.
        target: ForeignTarget,
        /// Which of that token's policies, by position.
        policy_index: u8,
    }
}

/// The token of a [`ForeignRead`].
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ForeignTarget {
    /// This token.
    Token(TokenId),
    /// The token that the named parameter holds.
    Parameter(String),
}

/// A kind of [`crate::Evidence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum EvidenceKind {
    /// [`crate::Evidence::Credential`].
    Credential,
    /// [`crate::Evidence::HashPreimage`].
    HashPreimage,
    /// [`crate::Evidence::Attestation`].
    Attestation,
    /// [`crate::Evidence::BridgeProof`].
    BridgeProof,
    /// [`crate::Evidence::OracleRound`].
    OracleRound,
}
