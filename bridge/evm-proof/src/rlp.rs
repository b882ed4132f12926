//! RLP with one spelling for each value: minimal lengths, no leading zeros, nothing left over.
//!
//! A lenient reader is a second preimage: two byte strings that mean one thing hash to two things. Every reader here
//! borrows; nothing is allocated before its length was compared with the bytes that are there.

use crate::{Address, Hash};
use alloc::vec::Vec;

/// Why bytes are not the one RLP spelling of what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RlpError {
    /// An item is longer than the bytes that are there.
    #[error("the bytes end inside an item")]
    Truncated,
    /// Bytes are left after the item.
    #[error("bytes are left after the item")]
    Trailing,
    /// A length or a single byte is written longer than it need be.
    #[error("an item is not written in its shortest form")]
    NotMinimal,
    /// A list stands where bytes are expected.
    #[error("a list where bytes are expected")]
    UnexpectedList,
    /// Bytes stand where a list is expected.
    #[error("bytes where a list is expected")]
    UnexpectedBytes,
    /// A field of a fixed length has another.
    #[error("{found} bytes where {expected} are expected")]
    WrongLength {
        /// The length that the field has.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A number begins with a zero byte.
    #[error("a number with a leading zero")]
    LeadingZero,
    /// A number has more bytes than its field allows.
    #[error("a number too large for its field")]
    TooLarge,
    /// A list has fewer items than expected.
    #[error("a list with too few items")]
    MissingItem,
    /// A list has more items than expected.
    #[error("a list with too many items")]
    ExtraItem,
}

impl RlpError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RlpError::Truncated => "rlp_truncated",
            RlpError::Trailing => "rlp_trailing",
            RlpError::NotMinimal => "rlp_not_minimal",
            RlpError::UnexpectedList => "rlp_unexpected_list",
            RlpError::UnexpectedBytes => "rlp_unexpected_bytes",
            RlpError::WrongLength { .. } => "rlp_wrong_length",
            RlpError::LeadingZero => "rlp_leading_zero",
            RlpError::TooLarge => "rlp_too_large",
            RlpError::MissingItem => "rlp_missing_item",
            RlpError::ExtraItem => "rlp_extra_item",
        }
    }
}

/// One item: bytes, or a list of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A byte string.
    Bytes(&'a [u8]),
    /// A list.
    List(Items<'a>),
}

/// The items of a list that have not been read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items<'a> {
    rest: &'a [u8],
}

/// The item that `bytes` are, all of them.
///
/// # Errors
/// [`RlpError`] for the outermost item; what is inside a list is judged when it is read.
pub fn item(bytes: &[u8]) -> Result<Item<'_>, RlpError> {
    let (item, _, rest) = split(bytes)?;
    if rest.is_empty() { Ok(item) } else { Err(RlpError::Trailing) }
}

/// The items of the list that `bytes` are, all of them.
///
/// # Errors
/// As [`item`], and [`RlpError::UnexpectedBytes`].
pub fn list(bytes: &[u8]) -> Result<Items<'_>, RlpError> {
    match item(bytes)? {
        Item::List(items) => Ok(items),
        Item::Bytes(_) => Err(RlpError::UnexpectedBytes),
    }
}

/// The byte string that `bytes` are, all of them.
///
/// # Errors
/// As [`item`], and [`RlpError::UnexpectedList`].
pub fn bytes(bytes: &[u8]) -> Result<&[u8], RlpError> {
    match item(bytes)? {
        Item::Bytes(content) => Ok(content),
        Item::List(_) => Err(RlpError::UnexpectedList),
    }
}

impl<'a> Items<'a> {
    /// Whether all items are read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next item, with the bytes that spell it.
    ///
    /// # Errors
    /// [`RlpError::MissingItem`] if all are read; whatever is wrong with the spelling.
    pub fn item(&mut self) -> Result<(Item<'a>, &'a [u8]), RlpError> {
        if self.rest.is_empty() {
            return Err(RlpError::MissingItem);
        }
        let (item, raw, rest) = split(self.rest)?;
        self.rest = rest;
        Ok((item, raw))
    }

    /// The next item, which is a byte string.
    ///
    /// # Errors
    /// As [`Items::item`], and [`RlpError::UnexpectedList`].
    pub fn bytes(&mut self) -> Result<&'a [u8], RlpError> {
        match self.item()?.0 {
            Item::Bytes(content) => Ok(content),
            Item::List(_) => Err(RlpError::UnexpectedList),
        }
    }

    /// The next item, which is a list.
    ///
    /// # Errors
    /// As [`Items::item`], and [`RlpError::UnexpectedBytes`].
    pub fn list(&mut self) -> Result<Items<'a>, RlpError> {
        match self.item()?.0 {
            Item::List(items) => Ok(items),
            Item::Bytes(_) => Err(RlpError::UnexpectedBytes),
        }
    }

    /// The next item, which is a byte string of `N` bytes.
    ///
    /// # Errors
    /// As [`Items::bytes`], and [`RlpError::WrongLength`].
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], RlpError> {
        let content = self.bytes()?;
        content.try_into().map_err(|_| RlpError::WrongLength { expected: N, found: content.len() })
    }

    /// The next item, which is a number of at most 32 bytes, as a word.
    ///
    /// # Errors
    /// As [`Items::bytes`], [`RlpError::LeadingZero`], [`RlpError::TooLarge`].
    pub fn word(&mut self) -> Result<Hash, RlpError> {
        number(self.bytes()?)
    }

    /// The next item, which is a number below 2^128.
    ///
    /// # Errors
    /// As [`Items::word`].
    pub fn u128(&mut self) -> Result<u128, RlpError> {
        crate::word_number(&self.word()?).ok_or(RlpError::TooLarge)
    }

    /// The next item, which is a number below 2^64.
    ///
    /// # Errors
    /// As [`Items::word`].
    pub fn u64(&mut self) -> Result<u64, RlpError> {
        self.u128()?.try_into().map_err(|_| RlpError::TooLarge)
    }

    /// The next item, which is a number below 2^32.
    ///
    /// # Errors
    /// As [`Items::word`].
    pub fn u32(&mut self) -> Result<u32, RlpError> {
        self.u128()?.try_into().map_err(|_| RlpError::TooLarge)
    }

    /// The next item, which is an address.
    ///
    /// # Errors
    /// As [`Items::fixed`].
    pub fn address(&mut self) -> Result<Address, RlpError> {
        self.fixed()
    }

    /// Ends the list.
    ///
    /// # Errors
    /// [`RlpError::ExtraItem`] if an item is left.
    pub fn finish(self) -> Result<(), RlpError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RlpError::ExtraItem) }
    }
}

/// The number that the content of an item spells: big-endian, at most 32 bytes, no leading zero; nothing is zero.
///
/// # Errors
/// [`RlpError::LeadingZero`], [`RlpError::TooLarge`].
pub fn number(content: &[u8]) -> Result<Hash, RlpError> {
    if content.len() > 32 {
        return Err(RlpError::TooLarge);
    }
    if content.first() == Some(&0) {
        return Err(RlpError::LeadingZero);
    }
    let mut word = [0; 32];
    word[32 - content.len()..].copy_from_slice(content);
    Ok(word)
}

/// The first item of `input`, the bytes that spell it, and what follows.
fn split(input: &[u8]) -> Result<(Item<'_>, &[u8], &[u8]), RlpError> {
    let (&first, tail) = input.split_first().ok_or(RlpError::Truncated)?;
    let (is_list, header, length) = match first {
        0..=0x7f => (false, 0, 1),
        0x80..=0xb7 => (false, 1, usize::from(first - 0x80)),
        0xb8..=0xbf => (false, 1 + usize::from(first - 0xb7), long_length(tail, first - 0xb7)?),
        0xc0..=0xf7 => (true, 1, usize::from(first - 0xc0)),
        0xf8..=0xff => (true, 1 + usize::from(first - 0xf7), long_length(tail, first - 0xf7)?),
    };
    let content = &input[header..];
    if content.len() < length {
        return Err(RlpError::Truncated);
    }
    let (raw, rest) = input.split_at(header + length);
    let content = &raw[header..];
    if is_list {
        return Ok((Item::List(Items { rest: content }), raw, rest));
    }
    if header == 1 && length == 1 && content[0] < 0x80 {
        return Err(RlpError::NotMinimal);
    }
    Ok((Item::Bytes(content), raw, rest))
}

/// A length that is itself written in `size` bytes: only for what does not fit in 55, without leading zeros.
fn long_length(tail: &[u8], size: u8) -> Result<usize, RlpError> {
    let digits = tail.get(..usize::from(size)).ok_or(RlpError::Truncated)?;
    if digits[0] == 0 {
        return Err(RlpError::NotMinimal);
    }
    let length = digits.iter().fold(0_u64, |length, digit| length << 8 | u64::from(*digit));
    if length <= 55 {
        return Err(RlpError::NotMinimal);
    }
    // A length beyond the address space is beyond the input too.
    usize::try_from(length).map_err(|_| RlpError::Truncated)
}

/// Writes items one after another.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Nothing written.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, content: &[u8]) -> &mut Writer {
        match content {
            [byte] if *byte < 0x80 => self.out.push(*byte),
            _ => {
                self.length(0x80, content.len());
                self.out.extend_from_slice(content);
            }
        }
        self
    }

    /// Writes a number.
    pub fn number(&mut self, number: u128) -> &mut Writer {
        let digits = number.to_be_bytes();
        self.bytes(&digits[number.leading_zeros() as usize / 8..])
    }

    /// Writes a list of what `write` writes.
    pub fn list(&mut self, write: impl FnOnce(&mut Writer)) -> &mut Writer {
        let mut inner = Writer::new();
        write(&mut inner);
        self.length(0xc0, inner.out.len());
        self.out.append(&mut inner.out);
        self
    }

    /// Writes an item that is already spelled.
    pub fn raw(&mut self, item: &[u8]) -> &mut Writer {
        self.out.extend_from_slice(item);
        self
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn length(&mut self, base: u8, length: usize) {
        if length <= 55 {
            self.out.push(base + length as u8);
            return;
        }
        let digits = length.to_be_bytes();
        let digits = &digits[length.leading_zeros() as usize / 8..];
        self.out.push(base + 55 + digits.len() as u8);
        self.out.extend_from_slice(digits);
    }
}

/// The spelling of one list.
pub fn write_list(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.list(write);
    writer.finish()
}
