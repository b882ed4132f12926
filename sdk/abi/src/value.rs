//! Values that cross between people and policies: parameters of a token, arguments of a method, claims.

use crate::{AccountId, Digest, KeyId, TokenId};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! values {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = $word:literal)*) => {
        /// One typed value. There is no nesting, so decoding needs no stack.
        #[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum Value {
            $($(#[$doc])* #[cfg_attr(feature = "serde", serde(rename = $word))] $name($inner),)*
        }

        /// The type of a [`Value`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum ValueType {
            $($(#[$doc])* #[cfg_attr(feature = "serde", serde(rename = $word))] $name,)*
        }

        impl Value {
            /// The type of this value.
            pub const fn value_type(&self) -> ValueType {
                match self { $(Value::$name(_) => ValueType::$name,)* }
            }
        }

        impl ValueType {
            /// All types, in the order of their tags.
            pub const ALL: &'static [ValueType] = &[$(ValueType::$name,)*];

            /// The word for this type in documents, on the command line and in errors.
            pub const fn word(self) -> &'static str {
                match self { $(ValueType::$name => $word,)* }
            }
        }
    };
}

values! {
    /// True or false.
    Bool(bool) = "bool"
    /// A count or a time in milliseconds.
    U64(u64) = "u64"
    /// An amount in base units.
    U128(u128) = "u128"
    /// A signed quantity, such as an oracle's answer.
    I128(i128) = "i128"
    /// UTF-8 text.
    Text(String) = "text"
    /// Raw bytes.
    Bytes(Vec<u8>) = "bytes"
    /// A digest.
    Digest(Digest) = "digest"
    /// An account.
    Account(AccountId) = "account"
    /// A token.
    Token(TokenId) = "token"
    /// A public key.
    Key(KeyId) = "key"
    /// A list of accounts.
    Accounts(Vec<AccountId>) = "accounts"
    /// A list of public keys.
    Keys(Vec<KeyId>) = "keys"
    /// A list of texts.
    Texts(Vec<String>) = "texts"
}
