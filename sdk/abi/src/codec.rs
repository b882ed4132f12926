//! Canonical bytes: Borsh, with the size bounded before anything is read and trailing bytes refused.

use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};

/// Why bytes are not the canonical encoding of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// More bytes than the caller allows for this type.
    TooLong {
        /// The caller's limit, in bytes.
        limit: usize,
        /// The bytes offered.
        found: usize,
    },
    /// A length, tag or string is malformed, or the input ends early, or bytes are left over.
    Malformed,
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            DecodeError::TooLong { limit, found } => {
                write!(f, "{found} bytes where at most {limit} are allowed")
            }
            DecodeError::Malformed => f.write_str("not a canonical encoding"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// The canonical bytes of `value`.
pub fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory does not fail and no length here exceeds u32")
}

/// The value whose canonical encoding is exactly `bytes`.
///
/// # Errors
/// [`DecodeError::TooLong`] before anything is read if `bytes` is longer than `limit` bytes;
/// [`DecodeError::Malformed`] for anything that [`encode`] would not have written.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { limit, found: bytes.len() });
    }
    T::try_from_slice(bytes).map_err(|_| DecodeError::Malformed)
}
