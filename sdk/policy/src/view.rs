//! Read-only queries: what a policy sees and how it answers.

use crate::abi::{Digest, Field, NetworkId, TokenView, ViewInput};
use crate::run::Host;
use crate::{Denials, Deny, Refused, State, Typed};
use alloc::{string::String, vec::Vec};

/// One query to answer.
///
/// ```
/// use dsm_policy::{Fields, View, bench::Scene};
///
/// /// What a query of a policy does: it reads and answers, and changes nothing.
/// fn paused(view: &View<'_>) -> Fields {
///     Fields::new().with("paused", view.state().has(b"paused"))
/// }
///
/// let token = Scene::new(vec![]);
/// assert_eq!(token.look(paused), Fields::new().with("paused", false));
/// assert_eq!(token.state(b"paused", &()).look(paused), Fields::new().with("paused", true));
/// ```
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

    /// The digest of `bytes` by one of [`crate::hash_alg`]; an unknown algorithm is a fault.
    pub fn hash(&self, algorithm: u32, bytes: &[u8]) -> Digest {
        Digest(self.host.hash(algorithm, bytes))
    }

    #[doc(hidden)]
    pub fn query(&self) -> &'a str {
        &self.input.query
    }
}

/// Named values, in the order in which people should read them.
///
/// ```
/// use dsm_policy::{Fields, Value};
/// let fields = Fields::new().with("day", 21_990_u64).with("paid", 5_u128).into_vec();
/// assert_eq!((fields[1].name.as_str(), &fields[1].value), ("paid", &Value::U128(5)));
/// ```
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
///
/// ```
/// use dsm_policy::{Denials, Deny, Fields, IntoFields, Refused};
///
/// fn offer(found: Option<u128>) -> Result<Fields, Deny> {
///     let price = found.ok_or_else(|| Refused::BadArguments.because("there is no such offer"))?;
///     Ok(Fields::new().with("price", price))
/// }
///
/// assert!(offer(None).into_fields().is_err());
/// assert_eq!(offer(Some(3)).into_fields(), Ok(Fields::new().with("price", 3_u128)));
/// ```
#[diagnostic::on_unimplemented(
    message = "a query answers `Fields` or `Result<Fields, Deny>`, not `{Self}`",
    label = "not an answer",
    note = "write `Fields::new().with(\"name\", value)`"
)]
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
