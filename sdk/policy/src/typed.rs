//! The Rust types that parameters, arguments and answers may have.

use crate::abi::{AccountId, Digest, KeyId, TokenId, Value, ValueType};
use crate::{Denials, Deny, Refused};
use alloc::{string::String, vec, vec::Vec};

/// A Rust type that crosses the boundary as a [`Value`].
///
/// ```
/// use dsm_policy::{Typed, Value, ValueType};
/// assert_eq!(<u128 as Typed>::TYPE, ValueType::U128);
/// assert_eq!(u128::from_value(Value::U128(5)), Some(5));
/// assert_eq!(u128::from_value(Value::U64(5)), None);
/// assert_eq!(vec![1_u8].into_value(), Value::Bytes(vec![1]));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter, an argument or an answer of a policy",
    label = "no type that crosses the boundary",
    note = "there are bool, u64, u128, i128, String, Vec<u8>, Digest, AccountId, TokenId, Option<TokenId>, KeyId, \
            Vec<AccountId>, Vec<KeyId> and Vec<String>; amounts are u128 base units, never floats"
)]
pub trait Typed: Sized {
    /// How descriptions call it.
    const TYPE: ValueType;

    /// The typed value, or `None` if `value` has another type.
    fn from_value(value: Value) -> Option<Self>;

    /// The untyped value.
    fn into_value(self) -> Value;
}

macro_rules! typed {
    ($($rust:ty = $name:ident)*) => {$(
        impl Typed for $rust {
            const TYPE: ValueType = ValueType::$name;
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$name(inner) => Some(inner),
                    _ => None,
                }
            }
            fn into_value(self) -> Value {
                Value::$name(self)
            }
        }
    )*};
}

typed! {
    bool = Bool
    u64 = U64
    u128 = U128
    i128 = I128
    String = Text
    Vec<u8> = Bytes
    Digest = Digest
    AccountId = Account
    TokenId = Token
    KeyId = Key
    Vec<AccountId> = Accounts
    Vec<KeyId> = Keys
    Vec<String> = Texts
}

/// A token that need not be named: [`TokenId::NONE`] stands for none.
impl Typed for Option<TokenId> {
    const TYPE: ValueType = ValueType::Token;

    fn from_value(value: Value) -> Option<Self> {
        TokenId::from_value(value).map(|token| (token != TokenId::NONE).then_some(token))
    }

    fn into_value(self) -> Value {
        Value::Token(self.unwrap_or(TokenId::NONE))
    }
}

/// Values to be taken one by one, in the order of a description.
///
/// ```
/// use dsm_policy::{Refused, Value, Values};
/// let mut values = Values::new(vec![Value::U64(5), Value::Bool(true)], Refused::BadArguments);
/// assert_eq!(values.take::<u64>("count").unwrap(), 5);
/// assert_eq!(values.take::<String>("name").unwrap_err().into_denial().field, "name");
/// values.end().unwrap();
/// ```
pub struct Values {
    left: vec::IntoIter<Value>,
    refused: Refused,
}

impl Values {
    /// Starts with `values`; anything wrong is denied as `refused`.
    pub fn new(values: Vec<Value>, refused: Refused) -> Self {
        Values { left: values.into_iter(), refused }
    }

    /// Takes the next value.
    ///
    /// # Errors
    /// The denial given at the start, naming `name`, if it is missing or has another type.
    pub fn take<T: Typed>(&mut self, name: &str) -> Result<T, Deny> {
        match self.left.next() {
            None => Err(self.refused.because("a value is missing").field(name)),
            Some(value) => T::from_value(value).ok_or_else(|| wrong_type(self.refused, name, T::TYPE)),
        }
    }

    /// Ends the list.
    ///
    /// # Errors
    /// The denial given at the start, if values are left over.
    pub fn end(self) -> Result<(), Deny> {
        match self.left.len() {
            0 => Ok(()),
            _ => Err(self.refused.because("there are more values than the policy describes")),
        }
    }
}

fn wrong_type(refused: Refused, name: &str, expected: ValueType) -> Deny {
    refused.because(crate::text!["not a value of type ", expected.word()]).field(name)
}
