//! The policy's own ordered key–value space.
//!
//! Reads see the state as it was before the transition, never a write of the same evaluation: one rule for
//! `get`, `scan` and every leg. Two legs of one transition that write one key make the host refuse it all.

use crate::abi::{AccountId, Digest, HoldId, KeyId, TokenId, limit};
use crate::run::Host;
use crate::wire::fault;
use alloc::vec::Vec;
use borsh::BorshDeserialize;

/// A state key, built without allocating: a prefix byte, then fixed-width parts, so keys of one prefix sort by
/// their parts and no two different keys collide.
///
/// ```
/// use dsm_policy::{Key, bench::account};
///
/// const PAUSED: Key = Key::new(b'p');
/// fn outflow(n: u8, day: u64) -> Key {
///     Key::new(b'd').account(account(n)).number(day)
/// }
/// assert_eq!(PAUSED.as_ref(), b"p");
/// assert!(outflow(1, 9).as_ref() < outflow(1, 10).as_ref() && outflow(1, 10).as_ref() < outflow(2, 0).as_ref());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Key {
    bytes: [u8; limit::STATE_KEY_BYTES_MAX],
    len: usize,
}

impl Key {
    /// A key that starts with `prefix`.
    pub const fn new(prefix: u8) -> Self {
        let mut bytes = [0; limit::STATE_KEY_BYTES_MAX];
        bytes[0] = prefix;
        Key { bytes, len: 1 }
    }

    /// Appends raw bytes. Panics, which the host sees as a fault, beyond 64 bytes.
    #[must_use]
    pub fn bytes(mut self, part: &[u8]) -> Self {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
        self
    }

    /// Appends an account.
    #[must_use]
    pub fn account(self, id: AccountId) -> Self {
        self.bytes(&id.0)
    }

    /// Appends a public key.
    #[must_use]
    pub fn key(self, id: KeyId) -> Self {
        self.bytes(&id.0)
    }

    /// Appends a token.
    #[must_use]
    pub fn token(self, id: TokenId) -> Self {
        self.bytes(&id.0)
    }

    /// Appends a hold.
    #[must_use]
    pub fn hold(self, id: HoldId) -> Self {
        self.bytes(&id.0)
    }

    /// Appends a digest.
    #[must_use]
    pub fn digest(self, digest: Digest) -> Self {
        self.bytes(&digest.0)
    }

    /// Appends a number, big-endian, so that keys sort by it.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Reads of the state. Writes are effects: [`crate::Context::set`] and [`crate::Context::delete`].
///
/// ```
/// use dsm_policy::{BorshDeserialize, BorshSerialize, bench::Scene, borsh};
///
/// #[derive(Debug, PartialEq, BorshSerialize, BorshDeserialize)]
/// #[borsh(crate = "borsh")]
/// struct Offer {
///     price: u128,
/// }
///
/// let scene = Scene::new(vec![]).state(b"o1", &Offer { price: 5 }).state(b"o2", &Offer { price: 6 });
/// scene.judge(|context| {
///     let state = context.state();
///     assert_eq!(state.get(b"o1"), Some(Offer { price: 5 }));
///     // A page of two: the next one starts after the last key of this one.
///     let page = state.scan::<Offer>(b"o", b"", 2);
///     assert_eq!(page.len(), 2);
///     assert!(state.scan::<Offer>(b"o", &page[1].0, 2).is_empty());
///     Ok(())
/// });
/// ```
pub struct State<'a> {
    host: Host<'a>,
}

impl<'a> State<'a> {
    pub(crate) fn new(host: Host<'a>) -> Self {
        State { host }
    }

    /// The value at `key` before the transition. Panics, which the host sees as a fault, if the stored bytes
    /// are not a `T`: this policy wrote them, or took them over.
    pub fn get<T: BorshDeserialize>(&self, key: impl AsRef<[u8]>) -> Option<T> {
        self.host.get(key.as_ref()).map(|bytes| decode(&bytes))
    }

    /// The stored bytes at `key` before the transition, whatever policy wrote them: what the rule for an upgrade looks
    /// at, where [`State::get`] would be a fault.
    ///
    /// ```
    /// use dsm_policy::bench::Scene;
    /// let scene = Scene::new(vec![]).state(b"n", &7_u16);
    /// scene.judge(|context| {
    ///     let found = context.state().bytes(b"n");
    ///     assert_eq!(found.as_deref(), Some(&[7, 0][..]));
    ///     Ok(())
    /// });
    /// ```
    pub fn bytes(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.host.get(key.as_ref())
    }

    /// Whether `key` had a value before the transition.
    pub fn has(&self, key: impl AsRef<[u8]>) -> bool {
        self.host.get(key.as_ref()).is_some()
    }

    /// At most `limit` entries whose key starts with `prefix` and is greater than `after` (empty: from the
    /// first), in key order. Each entry counts against the 64 reads of one evaluation.
    pub fn scan<T: BorshDeserialize>(
        &self,
        prefix: impl AsRef<[u8]>,
        after: &[u8],
        limit: u32,
    ) -> Vec<(Vec<u8>, T)> {
        let entries = self.host.scan(prefix.as_ref(), after, limit);
        entries.into_iter().map(|(key, value)| (key, decode(&value))).collect()
    }
}

fn decode<T: BorshDeserialize>(bytes: &[u8]) -> T {
    let mut left = bytes;
    match T::deserialize(&mut left) {
        Ok(value) if left.is_empty() => value,
        _ => fault("a stored value is not of the type that is read"),
    }
}
