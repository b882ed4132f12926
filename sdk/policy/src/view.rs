//! Read-only queries: what a policy sees and how it answers.

use crate::abi::{Field, NetworkId, TokenView, ViewInput};
use crate::run::Host;
use crate::{Denials, Deny, Refused, State, Typed};
use alloc::{string::String, vec::Vec};

/// One query to answer.
pub struct View<'a> {
    input: &'a ViewInput,
    host: Host<'a>,
}

impl<'a> View<'a> {
    pub(crate) fn new(input: &'a ViewInput, host: Host<'a>) -> Self {
        View { input, host }
    }

    /// The time of the last transition, in ms since the Unix epoch.
    pub fn time_ms(&self) -> u64 {
        self.input.time_ms
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.input.network
    }

    /// The token.
    pub fn token(&self) -> &'a TokenView {
        &self.input.token
    }

    /// The position of this policy in the token's list.
    pub fn policy_index(&self) -> u8 {
        self.input.policy_index
    }

    /// The policy's state.
    pub fn state(&self) -> State<'a> {
        State::new(self.host)
    }

    #[doc(hidden)]
    pub fn query(&self) -> &'a str {
        &self.input.query
    }
}

/// Named values, in the order in which people should read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// No values.
    pub const fn new() -> Self {
        Fields(Vec::new())
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Typed) -> Self {
        self.0.push(Field { name: name.into(), value: value.into_value() });
        self
    }

    /// The values.
    pub fn into_vec(self) -> Vec<Field> {
        self.0
    }
}

/// What a query may return.
pub trait IntoFields {
    /// The answer.
    ///
    /// # Errors
    /// The denial, if the query cannot be answered.
    fn into_fields(self) -> Result<Fields, Deny>;
}

impl IntoFields for Fields {
    fn into_fields(self) -> Result<Fields, Deny> {
        Ok(self)
    }
}

impl IntoFields for Result<Fields, Deny> {
    fn into_fields(self) -> Result<Fields, Deny> {
        self
    }
}

#[doc(hidden)]
pub fn unknown_query() -> Deny {
    Refused::UnknownQuery.field("query")
}
