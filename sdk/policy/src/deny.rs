//! Denials: stable codes with a sentence for people.

use crate::abi::{Denial, DenialCode, limit};
use alloc::string::String;

/// What judging a leg gives: `Ok` accepts, with the effects collected by the context.
///
/// ```
/// use dsm_policy::{Context, Denials, Outcome};
/// # #[derive(Clone, Copy, Denials)]
/// # enum Denied {
/// #     /// The token is paused.
/// #     Paused = 100,
/// # }
///
/// fn running(context: &Context<'_>) -> Outcome {
///     if context.state().has(b"paused") { Err(Denied::Paused.into()) } else { Ok(()) }
/// }
/// ```
pub type Outcome = Result<(), Deny>;

/// A policy's own denials, usually derived:
///
/// ```
/// # use dsm_policy::Denials;
/// #[derive(Clone, Copy, Denials)]
/// enum Denied {
///     /// The token is paused.
///     Paused = 100,
/// }
/// assert_eq!(Denied::Paused.code(), 100);
/// ```
///
/// Codes below 100 belong to [`Refused`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of denials",
    label = "not the denials of a policy",
    note = "put `#[derive(Clone, Copy, Denials)]` on an enum without fields, each variant with a code of 100 or more"
)]
pub trait Denials: Copy {
    /// Every denial with its code, stable word and sentence.
    const ALL: &'static [(u16, &'static str, &'static str)];

    /// The stable code.
    fn code(self) -> u16;

    /// The stable word, such as `over_cap`.
    fn word(self) -> &'static str {
        let code = self.code();
        Self::ALL.iter().find(|(c, _, _)| *c == code).map_or("", |(_, word, _)| word)
    }

    /// The sentence for people.
    fn sentence(self) -> &'static str {
        let code = self.code();
        Self::ALL.iter().find(|(c, _, _)| *c == code).map_or("", |(_, _, text)| text)
    }

    /// This denial with a reason of its own, cut to 256 bytes.
    fn because(self, reason: impl Into<String>) -> Deny {
        Deny::from(self).because(reason)
    }

    /// This denial, naming the field of the operation that is at fault.
    fn field(self, field: &str) -> Deny {
        Deny::from(self).field(field)
    }
}

/// A refusal on its way to the host: code, reason, field at fault, hint.
///
/// ```
/// use dsm_policy::{Denials, Refused, text};
/// let denial = Refused::Arithmetic
///     .because(text!["the fee of ", 7_u64, " exceeds the amount"])
///     .field("amount")
///     .hint("send more than 7 base units")
///     .into_denial();
/// assert_eq!((denial.code, denial.field.as_str()), (5, "amount"));
/// assert_eq!(denial.reason, "the fee of 7 exceeds the amount");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deny(Denial);

impl Deny {
    /// Replaces the reason; cut to [`limit::REASON_BYTES_MAX`] bytes.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = cut(reason.into(), limit::REASON_BYTES_MAX);
        self
    }

    /// Names the field of the operation that is at fault; cut to [`limit::FIELD_BYTES_MAX`] bytes.
    #[must_use]
    pub fn field(mut self, field: &str) -> Self {
        self.0.field = cut(field.into(), limit::FIELD_BYTES_MAX);
        self
    }

    /// Says what would make the operation acceptable; cut to [`limit::HINT_BYTES_MAX`] bytes.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = cut(hint.into(), limit::HINT_BYTES_MAX);
        self
    }

    /// The denial as the host sees it.
    pub fn into_denial(self) -> Denial {
        self.0
    }
}

impl<D: Denials> From<D> for Deny {
    fn from(denied: D) -> Self {
        Deny(Denial {
            code: denied.code(),
            reason: denied.sentence().into(),
            field: String::new(),
            hint: String::new(),
        })
    }
}

/// `Ok` if `condition` holds, else the denial.
///
/// ```
/// use dsm_policy::{Denials, Refused, ensure};
/// assert!(ensure(1 < 2, Refused::Arithmetic).is_ok());
/// assert_eq!(ensure(2 < 1, Refused::Arithmetic.field("amount")).unwrap_err().into_denial().code, 5);
/// ```
///
/// # Errors
/// `denied`, if `condition` is false.
pub fn ensure(condition: bool, denied: impl Into<Deny>) -> Outcome {
    if condition { Ok(()) } else { Err(denied.into()) }
}

/// The denials that every policy has without writing them.
///
/// ```
/// use dsm_policy::{Denials, Refused};
/// assert_eq!(Refused::ALL.len(), 6);
/// assert_eq!((Refused::BadArguments.code(), Refused::BadArguments.word()), (3, "bad_arguments"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The policy has no function for this action.
    UnsupportedAction = 1,
    /// The policy has no method of this name.
    UnknownMethod = 2,
    /// An argument has the wrong type, or there are too few or too many.
    BadArguments = 3,
    /// The token's parameters do not have the types that the policy describes.
    BadParameters = 4,
    /// A sum, difference or quotient does not exist in base units.
    Arithmetic = 5,
    /// The policy has no query of this name.
    UnknownQuery = 6,
}

impl Denials for Refused {
    const ALL: &'static [(u16, &'static str, &'static str)] = &[
        (1, "unsupported_action", "The policy has no rule that allows this action."),
        (2, "unknown_method", "The policy has no method of this name."),
        (3, "bad_arguments", "The arguments do not have the types that the policy describes."),
        (4, "bad_parameters", "The token's parameters do not have the types that the policy describes."),
        (5, "arithmetic", "The amounts leave the range of base units."),
        (6, "unknown_query", "The policy has no query of this name."),
    ];

    fn code(self) -> u16 {
        self as u16
    }
}

pub(crate) fn described<D: Denials>() -> impl Iterator<Item = DenialCode> {
    D::ALL.iter().map(|(code, name, text)| DenialCode {
        code: *code,
        name: (*name).into(),
        text: (*text).into(),
    })
}

fn cut(mut text: String, bytes_max: usize) -> String {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
