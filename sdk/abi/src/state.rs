//! Reading a policy's state: an ordered space of keys and values.

use alloc::vec::Vec;

/// A read-only ordered key–value space, frozen for the time of one evaluation.
pub trait ReadState {
    /// The value at `key`.
    fn get(&self, key: &[u8]) -> Option<&[u8]>;

    /// At most `limit` entries whose key starts with `prefix` and is greater than `after`, in key order.
    /// An empty `after` starts at the first.
    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Vec<(&[u8], &[u8])>;
}

impl ReadState for alloc::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        alloc::collections::BTreeMap::get(self, key).map(Vec::as_slice)
    }

    fn scan(&self, prefix: &[u8], after: &[u8], limit: usize) -> Vec<(&[u8], &[u8])> {
        use core::ops::Bound::{Excluded, Included, Unbounded};
        let start = if after.is_empty() || after < prefix { Included(prefix) } else { Excluded(after) };
        self.range::<[u8], _>((start, Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
            .collect()
    }
}
