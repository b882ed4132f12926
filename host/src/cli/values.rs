//! Amounts and typed values as people write them on a command line, read strictly.

use super::failure::Failure;
use super::wallet::Wallet;
use dsm_abi::{Value, ValueType};
use dsm_sdk::cases::time::{span, written};

/// Reads an amount: without a point it counts base units, with one it counts display units of `decimals` places.
pub(crate) fn parse_amount(text: &str, decimals: u8) -> Result<u128, Failure> {
    units(text, decimals).map_err(|why| {
        Failure::usage(format!("{text:?} is not an amount of this token: {why}")).help(format!(
            "12 counts base units, 12.{} counts display units of this token",
            "0".repeat(usize::from(decimals.max(1)))
        ))
    })
}

/// Reads what was observed: without a point it counts units of the last decimal place, with one it is the number.
pub(crate) fn parse_answer(text: &str, decimals: u8) -> Result<i128, Failure> {
    let (digits, sign) = text.strip_prefix('-').map_or((text, 1), |digits| (digits, -1));
    let read = units(digits, decimals)
        .and_then(|size| i128::try_from(size).map_err(|_| "too large".to_owned()))
        .map(|size| sign * size);
    read.map_err(|why| {
        Failure::usage(format!("{text:?} is not an answer of this feed: {why}")).help(format!(
            "12 counts units of the last decimal place, 12.{} is the number itself; -12 is below zero",
            "0".repeat(usize::from(decimals.max(1)))
        ))
    })
}

/// Units of the last of so many decimal places, or what is wrong.
fn units(text: &str, decimals: u8) -> Result<u128, String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let too_large = |_| "too large".to_owned();
    let Some((whole, fraction)) = text.split_once('.') else {
        return if digits(text) { text.parse().map_err(too_large) } else { Err("not digits".to_owned()) };
    };
    if !digits(whole) || !digits(fraction) {
        return Err("digits must stand before and after the point".to_owned());
    }
    let places = usize::from(decimals);
    if fraction.len() > places {
        return Err(format!("it has {decimals} decimal places"));
    }
    let padded = format!("{whole}{fraction}{}", "0".repeat(places - fraction.len()));
    padded.parse().map_err(too_large)
}

/// What was observed, as the number that it is.
pub(crate) fn display_answer(answer: i128, decimals: u8) -> String {
    let sign = if answer < 0 { "-" } else { "" };
    format!("{sign}{}", display_amount(answer.unsigned_abs(), decimals))
}

/// Base units in display units.
pub(crate) fn display_amount(amount: u128, decimals: u8) -> String {
    if decimals == 0 {
        return amount.to_string();
    }
    let places = usize::from(decimals);
    let digits = format!("{amount:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    format!("{whole}.{fraction}")
}

/// Reads a span of time such as `90s`, `12h` or `7d`, in ms.
pub(crate) fn parse_span(text: &str) -> Result<u64, String> {
    span(text).ok_or_else(|| format!("{text:?} is not a time such as 90s, 12h or 7d"))
}

/// A time for people.
pub(crate) fn time_words(ms: u64) -> String {
    written(ms).unwrap_or_else(|| format!("{ms} ms"))
}

/// Reads a value of a type that a policy's description names. Lists are separated by commas; names of accounts,
/// keys and tokens are this wallet's; `feed:EUR/USD` is the digest that stands for a feed.
pub(crate) fn parse_value(text: &str, value_type: ValueType, wallet: &Wallet) -> Result<Value, Failure> {
    let bad = || {
        Failure::usage(format!("{text:?} is not of type {}", value_type.word())).help(
            "`dsm policy inspect` lists what a policy takes; lists are separated by commas, bytes are hex, \
             a feed's digest is feed:NAME",
        )
    };
    let decimal = |text: &str, signed: bool| {
        let digits = if signed { text.strip_prefix('-').unwrap_or(text) } else { text };
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let list = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let key = |item: &str| match item.parse() {
        Ok(id) => Ok(id),
        Err(_) => wallet.key(item).map(|own| own.key.id()),
    };
    Ok(match value_type {
        ValueType::Bool => Value::Bool(text.parse().map_err(|_| bad())?),
        ValueType::U64 if decimal(text, false) => Value::U64(text.parse().map_err(|_| bad())?),
        ValueType::U128 if decimal(text, false) => Value::U128(text.parse().map_err(|_| bad())?),
        ValueType::I128 if decimal(text, true) => Value::I128(text.parse().map_err(|_| bad())?),
        ValueType::U64 | ValueType::U128 | ValueType::I128 => return Err(bad()),
        ValueType::Text => Value::Text(text.to_owned()),
        ValueType::Bytes => Value::Bytes(hex::decode(text).map_err(|_| bad())?),
        ValueType::Digest => Value::Digest(match text.strip_prefix("feed:") {
            Some(name) => dsm_core::feed_id(name),
            None => text.parse().map_err(|_| bad())?,
        }),
        ValueType::Account => Value::Account(wallet.account_id(text)?),
        ValueType::Token => Value::Token(wallet.token_id(text)?),
        ValueType::Key => Value::Key(key(text)?),
        ValueType::Accounts => {
            Value::Accounts(list().map(|item| wallet.account_id(item)).collect::<Result<_, _>>()?)
        }
        ValueType::Keys => Value::Keys(list().map(key).collect::<Result<_, _>>()?),
        ValueType::Texts => Value::Texts(list().map(str::to_owned).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_strictly() {
        let rows = [
            ("0", 2, Some(0)),
            ("12", 2, Some(12)),
            ("12.50", 2, Some(1250)),
            ("12.5", 2, Some(1250)),
            ("0.01", 2, Some(1)),
            ("12.505", 2, None),
            ("12.0", 0, None),
            ("12.", 2, None),
            (".5", 2, None),
            ("+5", 2, None),
            ("-5", 2, None),
            ("1_000", 2, None),
            ("1,000", 2, None),
            (" 5", 2, None),
            ("1e3", 2, None),
            ("", 2, None),
            ("340282366920938463463374607431768211455", 0, Some(u128::MAX)),
            ("340282366920938463463374607431768211456", 0, None),
            ("3402823669209384634633746074317682114.55", 2, Some(u128::MAX)),
            ("3402823669209384634633746074317682114.56", 2, None),
        ];
        for (text, decimals, expected) in rows {
            assert_eq!(parse_amount(text, decimals).ok(), expected, "{text} with {decimals}");
        }
    }

    #[test]
    fn display_units_read_back_as_the_same_amount() {
        for amount in [0, 1, 99, 100, 12_345, u128::MAX] {
            for decimals in [1, 2, 6, 18] {
                assert_eq!(parse_amount(&display_amount(amount, decimals), decimals).ok(), Some(amount));
            }
            assert_eq!(display_amount(amount, 0), amount.to_string());
        }
    }

    #[test]
    fn answers_may_be_below_zero_and_read_back() {
        let rows = [
            ("1.0825", 4, Some(10_825)),
            ("10825", 4, Some(10_825)),
            ("-0.5", 4, Some(-5_000)),
            ("-1", 0, Some(-1)),
            ("0", 18, Some(0)),
            ("--1", 0, None),
            ("-", 0, None),
            ("+1", 0, None),
            ("1.08255", 4, None),
            ("170141183460469231731687303715884105727", 0, Some(i128::MAX)),
            ("170141183460469231731687303715884105728", 0, None),
        ];
        for (text, decimals, expected) in rows {
            assert_eq!(parse_answer(text, decimals).ok(), expected, "{text} with {decimals}");
        }
        for answer in [0, 1, -1, -99, 12_345, i128::MAX, -i128::MAX] {
            let shown = display_answer(answer, 6);
            assert_eq!(parse_answer(&shown, 6).ok(), Some(answer), "{shown}");
        }
    }

    #[test]
    fn values_are_read_by_their_type() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::open(folder.path()).unwrap();
        let read = |text: &str, value_type| parse_value(text, value_type, &wallet).ok();
        assert_eq!(read("true", ValueType::Bool), Some(Value::Bool(true)));
        assert_eq!(read("yes", ValueType::Bool), None);
        assert_eq!(read("7", ValueType::U64), Some(Value::U64(7)));
        assert_eq!(read("-7", ValueType::U64), None);
        assert_eq!(read("+7", ValueType::U128), None);
        assert_eq!(read("-7", ValueType::I128), Some(Value::I128(-7)));
        assert_eq!(read("a, b,", ValueType::Texts), Some(Value::Texts(vec!["a".into(), "b".into()])));
        assert_eq!(read("00ff", ValueType::Bytes), Some(Value::Bytes(vec![0, 255])));
        assert_eq!(read("0", ValueType::Bytes), None);
        assert_eq!(read("nobody", ValueType::Account), None);
        let id = "11".repeat(32);
        assert_eq!(read(&id, ValueType::Account), Some(Value::Account(dsm_abi::AccountId([0x11; 32]))));
        assert_eq!(read("", ValueType::Keys), Some(Value::Keys(Vec::new())));
        let feed = dsm_core::feed_id("EUR/USD");
        assert_eq!(read("feed:EUR/USD", ValueType::Digest), Some(Value::Digest(feed)));
        assert_eq!(read(&feed.to_string(), ValueType::Digest), Some(Value::Digest(feed)));
        assert_eq!(read("EUR/USD", ValueType::Digest), None);
    }
}
