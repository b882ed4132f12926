//! Sentences with amounts in them, without the formatting machinery of `core`, which is larger than a policy.

use crate::abi::{AccountId, Digest, KeyId, TokenId};
use alloc::string::String;

/// Joins pieces into one `String`.
///
/// ```
/// let (left, max) = (3_u128, 10_u128);
/// let text = dsm_policy::text!["only ", left, " of ", max, " base units are left today"];
/// assert_eq!(text, "only 3 of 10 base units are left today");
/// ```
#[macro_export]
macro_rules! text {
    ($($piece:expr),* $(,)?) => {{
        let mut text = $crate::generated::String::new();
        $($crate::Piece::push_to(&$piece, &mut text);)*
        text
    }};
}

/// Something that can stand in a sentence made by [`text!`](crate::text!).
///
/// ```
/// use dsm_policy::{Piece, text};
///
/// /// A price in cents, as people write it.
/// struct Cents(u64);
///
/// impl Piece for Cents {
///     fn push_to(&self, text: &mut String) {
///         (self.0 / 100).push_to(text);
///         text.push_str(if self.0 % 100 < 10 { ".0" } else { "." });
///         (self.0 % 100).push_to(text);
///     }
/// }
///
/// assert_eq!(text!["EUR ", Cents(1_205)], "EUR 12.05");
/// ```
pub trait Piece {
    /// Appends itself.
    fn push_to(&self, text: &mut String);
}

impl Piece for &str {
    fn push_to(&self, text: &mut String) {
        text.push_str(self);
    }
}

impl Piece for String {
    fn push_to(&self, text: &mut String) {
        text.push_str(self);
    }
}

impl Piece for u64 {
    fn push_to(&self, text: &mut String) {
        u128::from(*self).push_to(text);
    }
}

impl Piece for u128 {
    fn push_to(&self, text: &mut String) {
        let mut digits = [0_u8; 39];
        let (mut rest, mut start) = (*self, digits.len());
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        digits[start..].iter().for_each(|digit| text.push(char::from(*digit)));
    }
}

macro_rules! hex_pieces {
    ($($id:ty)*) => {$(
        impl Piece for $id {
            /// The first eight bytes in hex: enough to recognise, short enough for a reason.
            fn push_to(&self, text: &mut String) {
                push_hex(&self.0[..8], text);
            }
        }
    )*};
}
hex_pieces!(AccountId Digest KeyId TokenId);

fn push_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}
