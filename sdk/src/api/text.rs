//! Texts that stand in JSON for what JSON has no type for: bytes, wide integers, content addresses.

use crate::api::limit;
use crate::package::{parse_policy, policy_cid};
use dsm_abi::{AccountId, Digest, Field, KeyId, PolicyId, TokenId, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Bytes; lower-case hex in JSON.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hex(pub Vec<u8>);

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hex({self})")
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(de::Error::custom("bytes are lower-case hex digits"));
        }
        hex::decode(text.as_ref()).map(Hex).map_err(|_| de::Error::custom("bytes are lower-case hex digits"))
    }
}

/// A policy; in text its CIDv1 (dag-cbor, blake3, base32). The 64 hex digits of its digest are read as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyCid(pub PolicyId);

/// Text that names no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy is named by its CIDv1 (dag-cbor, blake3) or by 64 lower-case hex digits")]
pub struct PolicyCidError;

impl fmt::Display for PolicyCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        policy_cid(&self.0).fmt(f)
    }
}

impl FromStr for PolicyCid {
    type Err = PolicyCidError;
    fn from_str(text: &str) -> Result<Self, PolicyCidError> {
        parse_policy(text).map(PolicyCid).ok_or(PolicyCidError)
    }
}

impl Serialize for PolicyCid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyCid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One typed value: `{"u128": "1000"}`. Integers are decimal text, bytes are hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueView {
    /// True or false.
    Bool(bool),
    /// A count or a time in milliseconds.
    #[serde(with = "decimal")]
    U64(u64),
    /// An amount in base units.
    #[serde(with = "decimal")]
    U128(u128),
    /// A signed quantity.
    #[serde(with = "decimal")]
    I128(i128),
    /// UTF-8 text.
    Text(String),
    /// Raw bytes.
    Bytes(Hex),
    /// A digest.
    Digest(Digest),
    /// An account.
    Account(AccountId),
    /// A token.
    Token(TokenId),
    /// A public key.
    Key(KeyId),
    /// A list of accounts.
    Accounts(Vec<AccountId>),
    /// A list of public keys.
    Keys(Vec<KeyId>),
    /// A list of texts.
    Texts(Vec<String>),
}

impl From<Value> for ValueView {
    fn from(value: Value) -> ValueView {
        match value {
            Value::Bool(value) => ValueView::Bool(value),
            Value::U64(value) => ValueView::U64(value),
            Value::U128(value) => ValueView::U128(value),
            Value::I128(value) => ValueView::I128(value),
            Value::Text(value) => ValueView::Text(value),
            Value::Bytes(value) => ValueView::Bytes(Hex(value)),
            Value::Digest(value) => ValueView::Digest(value),
            Value::Account(value) => ValueView::Account(value),
            Value::Token(value) => ValueView::Token(value),
            Value::Key(value) => ValueView::Key(value),
            Value::Accounts(value) => ValueView::Accounts(value),
            Value::Keys(value) => ValueView::Keys(value),
            Value::Texts(value) => ValueView::Texts(value),
        }
    }
}

impl From<ValueView> for Value {
    fn from(value: ValueView) -> Value {
        match value {
            ValueView::Bool(value) => Value::Bool(value),
            ValueView::U64(value) => Value::U64(value),
            ValueView::U128(value) => Value::U128(value),
            ValueView::I128(value) => Value::I128(value),
            ValueView::Text(value) => Value::Text(value),
            ValueView::Bytes(value) => Value::Bytes(value.0),
            ValueView::Digest(value) => Value::Digest(value),
            ValueView::Account(value) => Value::Account(value),
            ValueView::Token(value) => Value::Token(value),
            ValueView::Key(value) => Value::Key(value),
            ValueView::Accounts(value) => Value::Accounts(value),
            ValueView::Keys(value) => Value::Keys(value),
            ValueView::Texts(value) => Value::Texts(value),
        }
    }
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldView {
    /// The name.
    pub name: String,
    /// The value.
    pub value: ValueView,
}

impl From<Field> for FieldView {
    fn from(field: Field) -> FieldView {
        FieldView { name: field.name, value: field.value.into() }
    }
}

/// At most [`limit::BATCH_ITEMS_MAX`] items; decoding ends at the first beyond, whatever else there is.
pub(super) fn at_most_a_batch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hex>, D::Error> {
    struct Items;

    impl<'de> de::Visitor<'de> for Items {
        type Value = Vec<Hex>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {} transitions", limit::BATCH_ITEMS_MAX)
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Hex>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                if items.len() == limit::BATCH_ITEMS_MAX {
                    let most = limit::BATCH_ITEMS_MAX;
                    return Err(de::Error::custom(format_args!("a batch has at most {most} transitions")));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Items)
}

/// Integers as decimal text.
pub(super) mod decimal {
    use super::{Cow, Deserialize, Deserializer, FromStr, Serializer, de, fmt};

    pub(in super::super) fn serialize<T: fmt::Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, T: FromStr + fmt::Display, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        match text.parse::<T>() {
            // One text for one number: no plus sign, no leading zeros.
            Ok(value) if value.to_string() == text => Ok(value),
            Ok(_) | Err(_) => Err(de::Error::custom("an integer is decimal text without leading zeros")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_one_cid_and_one_hex_form() {
        let policy = PolicyCid(PolicyId([7; 32]));
        let text = policy.to_string();
        assert!(text.starts_with("bafyr4i"), "{text}");
        assert_eq!(text.parse(), Ok(policy));
        assert_eq!(policy.0.to_string().parse(), Ok(policy));
        let module = crate::package::module_cid(b"module").to_string();
        for refused in ["", "bafy", &module, &PolicyId([0xab; 32]).to_string().to_uppercase()] {
            assert_eq!(refused.parse::<PolicyCid>(), Err(PolicyCidError), "{refused}");
        }
    }

    #[test]
    fn values_survive_json_and_keep_every_bit() {
        let rows = [
            (Value::U64(u64::MAX), r#"{"u64":"18446744073709551615"}"#),
            (Value::U128(u128::MAX), r#"{"u128":"340282366920938463463374607431768211455"}"#),
            (Value::I128(i128::MIN), r#"{"i128":"-170141183460469231731687303715884105728"}"#),
            (Value::Bytes(vec![0, 255]), r#"{"bytes":"00ff"}"#),
            (Value::Bool(true), r#"{"bool":true}"#),
            (Value::Texts(vec!["a".into()]), r#"{"texts":["a"]}"#),
        ];
        for (value, json) in rows {
            let view = ValueView::from(value.clone());
            assert_eq!(serde_json::to_string(&view).unwrap(), json);
            let read: ValueView = serde_json::from_str(json).unwrap();
            assert_eq!(Value::from(read), value);
        }
        let refused =
            [r#"{"u64":5}"#, r#"{"u64":"+5"}"#, r#"{"u64":"05"}"#, r#"{"u64":"1e3"}"#, r#"{"bytes":"FF"}"#];
        for json in refused {
            assert!(serde_json::from_str::<ValueView>(json).is_err(), "{json}");
        }
    }
}
