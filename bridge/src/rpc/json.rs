//! Hexadecimal words of JSON-RPC, read strictly: quantities without leading zeros, data with whole bytes.

use super::RpcError;
use crate::evm::{Address, Word};
use serde_json::Value;

fn malformed(name: &str) -> RpcError {
    RpcError::Malformed(format!("{name} is not what it should be"))
}

fn digits<'v>(value: &'v Value, name: &str) -> Result<&'v str, RpcError> {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    text.filter(|text| text.is_ascii()).ok_or_else(|| malformed(name))
}

/// A number that fits 128 bits.
pub(super) fn quantity(value: &Value, name: &str) -> Result<u128, RpcError> {
    let text = digits(value, name)?;
    let minimal = text == "0" || (!text.is_empty() && !text.starts_with('0'));
    if !minimal || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed(name));
    }
    u128::from_str_radix(text, 16).map_err(|_| malformed(name))
}

/// A number that fits 64 bits.
pub(super) fn number(value: &Value, name: &str) -> Result<u64, RpcError> {
    u64::try_from(quantity(value, name)?).map_err(|_| malformed(name))
}

/// Bytes, at most so many.
pub(super) fn data(value: &Value, name: &str, bytes_max: usize) -> Result<Vec<u8>, RpcError> {
    let text = digits(value, name)?;
    if text.len() > 2 * bytes_max {
        return Err(malformed(name));
    }
    hex::decode(text).map_err(|_| malformed(name))
}

/// Exactly so many bytes.
pub(super) fn fixed<const N: usize>(value: &Value, name: &str) -> Result<[u8; N], RpcError> {
    data(value, name, N)?.try_into().map_err(|_| malformed(name))
}

pub(super) fn word(value: &Value, name: &str) -> Result<Word, RpcError> {
    fixed::<32>(value, name)
}

pub(super) fn address(value: &Value, name: &str) -> Result<Address, RpcError> {
    fixed::<20>(value, name)
}

/// A list of proof nodes.
pub(super) fn nodes(value: &Value, name: &str) -> Result<Vec<Vec<u8>>, RpcError> {
    /// A branch of sixteen hashes has 532 bytes; a leaf under a short path holds an account.
    const NODE_BYTES_MAX: usize = 1024;
    /// A path has 64 nibbles.
    const NODES_MAX: usize = 66;
    let list = value.as_array().filter(|list| list.len() <= NODES_MAX).ok_or_else(|| malformed(name))?;
    list.iter().map(|node| data(node, name, NODE_BYTES_MAX)).collect()
}

/// `0x` and a number.
pub(super) fn hex_number(number: u64) -> String {
    format!("{number:#x}")
}

/// `0x` and bytes.
pub(super) fn hex_data(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn b11_words_that_are_not_exactly_what_they_should_be_are_refused() {
        for wrong in [
            json!(null),
            json!(1),
            json!("1"),
            json!("0x"),
            json!("0x00"),
            json!("0x01"),
            json!("0x+1"),
            json!("0xg"),
            json!("0x1_0"),
        ] {
            assert!(quantity(&wrong, "x").is_err(), "{wrong}");
        }
        assert!(number(&json!("0x10000000000000000"), "x").is_err());
        assert_eq!(number(&json!("0x0"), "x"), Ok(0));
        assert_eq!(number(&json!("0x8a"), "x"), Ok(138));
        for wrong in [json!("0x1"), json!("0xzz"), json!("01"), json!("0x010203"), json!({})] {
            assert!(data(&wrong, "x", 2).is_err(), "{wrong}");
        }
        assert!(word(&json!("0x01"), "x").is_err());
        assert_eq!(data(&json!("0x"), "x", 0), Ok(vec![]));
    }
}
