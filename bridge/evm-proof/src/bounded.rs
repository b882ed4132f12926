//! Borsh vectors with a limit, compared before anything is allocated.

use crate::{NODE_BYTES_MAX, NODES_MAX};
use alloc::vec;
use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result};
use borsh::{BorshDeserialize, BorshSerialize};

/// A malformed value.
pub(crate) fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

fn length<R: Read>(reader: &mut R, max: usize) -> Result<usize> {
    let length = u32::deserialize_reader(reader)? as usize;
    if length > max { Err(invalid("longer than its limit")) } else { Ok(length) }
}

/// At most `max` bytes.
pub(crate) fn bytes<R: Read>(reader: &mut R, max: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length(reader, max)?];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// At most `max` items, each read by `item`.
pub(crate) fn items<R: Read, T>(
    reader: &mut R,
    max: usize,
    mut item: impl FnMut(&mut R) -> Result<T>,
) -> Result<Vec<T>> {
    let length = length(reader, max)?;
    // Not reserved in advance: an item takes bytes before the next place is made.
    let mut items = Vec::new();
    for _ in 0..length {
        items.push(item(reader)?);
    }
    Ok(items)
}

/// The nodes of one Merkle-Patricia proof.
pub(crate) fn nodes<R: Read>(reader: &mut R) -> Result<Vec<Vec<u8>>> {
    items(reader, NODES_MAX, |reader| bytes(reader, NODE_BYTES_MAX))
}

/// The canonical bytes of `value`.
pub(crate) fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory does not fail and no length here exceeds u32")
}

/// The value whose canonical bytes these are; `None` beyond `max` bytes and for any other spelling.
pub(crate) fn decode<T: BorshDeserialize>(bytes: &[u8], max: usize) -> Option<T> {
    if bytes.len() > max { None } else { T::try_from_slice(bytes).ok() }
}
