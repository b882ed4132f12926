//! The way of one call: bytes in, policy, bytes out. The same on wasm32 and natively.

use crate::abi::{Answer, DenialCode, Description, Input, Parameter, Value, Verdict, ViewInput};
use crate::{Context, Denials, Deny, Fields, Outcome, Refused, Typed, Values, View, deny, wire};
use alloc::{string::String, vec::Vec};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Host<'a> = &'a dyn crate::bench::Calls;
#[cfg(target_arch = "wasm32")]
pub(crate) type Host<'a> = crate::guest::Imports<'a>;

/// The parameters that a token gives to a policy. Derived: each field is a parameter, its doc comment the text.
///
/// ```
/// use dsm_policy::{Params, TokenId, Value, ValueType};
///
/// #[derive(Debug, PartialEq, Params)]
/// struct Terms {
///     /// Base units that one transfer may move.
///     max: u128,
///     /// The token that pays; none if zero.
///     cash: Option<TokenId>,
/// }
///
/// assert_eq!(Terms::describe()[0].value_type, ValueType::U128);
/// let terms = Terms::from_values(vec![Value::U128(5), Value::Token(TokenId::NONE)]).unwrap();
/// assert_eq!(terms, Terms { max: 5, cash: None });
/// let denial = Terms::from_values(vec![Value::U64(5)]).unwrap_err().into_denial();
/// assert_eq!((denial.code, denial.field.as_str()), (4, "max"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no parameters",
    label = "not the parameters of a policy",
    note = "put `#[derive(Params)]` on the struct; one without fields is a policy without parameters"
)]
pub trait Params: Sized {
    /// What the description says of them.
    fn describe() -> Vec<Parameter>;

    /// The typed parameters.
    ///
    /// # Errors
    /// [`Refused::BadParameters`], naming the parameter.
    fn from_values(values: Vec<Value>) -> Result<Self, Deny>;
}

/// A policy. Written by [`crate::policy`], never by hand.
///
/// ```
/// # use dsm_policy::{Context, Denials, Outcome, Params, Transfer, ensure, policy};
/// #
/// # #[derive(Params)]
/// # struct Limit {
/// #     /// Base units that one transfer may move.
/// #     max: u128,
/// # }
/// #
/// # #[derive(Clone, Copy, Denials)]
/// # enum Denied {
/// #     /// The transfer moves more than the limit.
/// #     OverLimit = 100,
/// # }
/// #
/// # #[policy(name = "limit", summary = "Limits every transfer.", denials = Denied)]
/// # impl Limit {
/// #     fn transfer(&self, _: &mut Context<'_>, transfer: Transfer) -> Outcome {
/// #         ensure(transfer.amount <= self.max, Denied::OverLimit)
/// #     }
/// # }
/// use dsm_policy::Policy;
///
/// let about = Limit::description();
/// assert_eq!((about.name.as_str(), about.params[0].name.as_str()), ("limit", "max"));
/// assert!(about.denials.iter().any(|denial| denial.name == "over_limit"));
/// ```
pub trait Policy: Params {
    /// What the policy says of itself.
    fn description() -> Description;

    /// Judges one leg.
    ///
    /// # Errors
    /// The denial.
    fn judge(&self, context: &mut Context<'_>) -> Outcome;

    /// Answers one query.
    ///
    /// # Errors
    /// The denial, also for an unknown query.
    fn answer(&self, view: &View<'_>, args: Vec<Value>) -> Result<Fields, Deny>;
}

/// The encoded verdict of `P` on the encoded input. Panics, which the host sees as a fault, if `bytes` are not
/// an input: only the host writes them.
pub fn evaluate<P: Policy>(bytes: &[u8], host: Host<'_>) -> Vec<u8> {
    let mut input: Input = wire::read(bytes);
    let params = core::mem::take(&mut input.params);
    let mut context = Context::new(&input, host);
    let verdict = match P::from_values(params).and_then(|policy| policy.judge(&mut context)) {
        Ok(()) => Verdict::Accept(context.into_effects()),
        Err(deny) => Verdict::Reject(deny.into_denial()),
    };
    let bytes = wire::write(&verdict);
    // A guest's instance ends with the call: dropping piece by piece would be work for nothing.
    #[cfg(target_arch = "wasm32")]
    core::mem::forget((input, verdict));
    bytes
}

/// The encoded answer of `P` to the encoded query. Panics as [`evaluate`] does.
pub fn view<P: Policy>(bytes: &[u8], host: Host<'_>) -> Vec<u8> {
    let mut input: ViewInput = wire::read(bytes);
    let params = core::mem::take(&mut input.params);
    let args = core::mem::take(&mut input.args);
    let view = View::new(&input, host);
    wire::write(&match P::from_values(params).and_then(|policy| policy.answer(&view, args)) {
        Ok(fields) => Answer::Fields(fields.into_vec()),
        Err(deny) => Answer::Reject(deny.into_denial()),
    })
}

/// The next argument of a method or query.
pub fn take<T: Typed>(values: &mut Values, name: &str) -> Result<T, Deny> {
    values.take(name)
}

/// Refuses calls whose number of arguments is not the described one.
pub fn bad_argument_count(values: Values) -> Outcome {
    values.end()
}

/// Refuses an action for which the policy has no function.
pub fn unsupported(action: &str) -> Deny {
    Refused::UnsupportedAction.because(crate::text!["the policy has no rule that allows `", action, "`"])
}

/// Refuses a method that the policy does not have.
pub fn unknown_method(method: &str) -> Deny {
    Refused::UnknownMethod.because(crate::text!["the policy has no method `", method, "`"]).field("method")
}

/// The built-in denials, then the policy's own.
pub fn describe_denials<D: Denials>() -> Vec<DenialCode> {
    deny::described::<Refused>().chain(deny::described::<D>()).collect()
}

impl crate::Piece for &String {
    fn push_to(&self, text: &mut String) {
        text.push_str(self);
    }
}
