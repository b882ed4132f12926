//! Public keys, and the sets of keys that speak for an account.

use crate::{hash, tag};
use alloc::{collections::BTreeSet, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{Digest, KeyId, Suite, encode};

/// A public key and the suite it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PublicKey {
    /// The suite. One key, one suite.
    pub suite: Suite,
    /// The raw public key, [`Suite::public_key_bytes`] long.
    pub bytes: Vec<u8>,
}

impl PublicKey {
    /// The id of this key: suite and bytes hashed.
    pub fn id(&self) -> KeyId {
        KeyId(hash(tag::KEY, &[&encode(self)]).0)
    }
}

/// A key of an account with the role that the account gives it. Roles are numbers that policies read.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct KeyEntry {
    /// The key.
    pub key: PublicKey,
    /// The role; 0 for none.
    pub role: u8,
}

/// Keys that can replace an account's keys, and do nothing else.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Recovery {
    /// One to [`KeySet::KEYS_MAX`] distinct keys.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u8,
}

/// The keys that speak for an account.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct KeySet {
    /// One to [`KeySet::KEYS_MAX`] distinct keys.
    pub keys: Vec<KeyEntry>,
    /// How many of them must sign a transition.
    pub threshold: u8,
    /// Keys kept apart for the loss or theft of the others.
    pub recovery: Option<Recovery>,
}

/// The digest of a [`KeySet`]; account states carry it in place of the keys.
pub type KeySetId = Digest;

/// Which part of a key set a signature comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedBy {
    /// The account's keys.
    Keys,
    /// The recovery keys.
    Recovery,
}

/// Why a key set is not well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// None or too many keys.
    #[error("a key set has 1 to {} keys, not {found}", KeySet::KEYS_MAX)]
    Count {
        /// How many there are.
        found: usize,
    },
    /// The threshold is zero or more than there are keys.
    #[error("the threshold {threshold} does not fit {keys} keys")]
    Threshold {
        /// The threshold.
        threshold: u8,
        /// How many keys there are.
        keys: usize,
    },
    /// A key's length is not its suite's.
    #[error("a public key of {suite:?} has {} bytes, not {found}", suite.public_key_bytes())]
    KeyLength {
        /// The suite.
        suite: Suite,
        /// The key's length.
        found: usize,
    },
    /// One key stands twice.
    #[error("a key stands twice in the set")]
    Duplicate,
}

impl KeySet {
    /// Keys of one set: enough for any board, small enough for one transition.
    pub const KEYS_MAX: usize = 8;

    /// A set of one key.
    pub fn single(key: PublicKey) -> KeySet {
        KeySet { keys: alloc::vec![KeyEntry { key, role: 0 }], threshold: 1, recovery: None }
    }

    /// The digest of the set.
    pub fn id(&self) -> KeySetId {
        hash(tag::KEY_SET, &[&encode(self)])
    }

    /// The key at `index` with its role.
    pub fn key(&self, by: SignedBy, index: u8) -> Option<(&PublicKey, u8)> {
        match by {
            SignedBy::Keys => self.keys.get(usize::from(index)).map(|entry| (&entry.key, entry.role)),
            SignedBy::Recovery => self.recovery.as_ref()?.keys.get(usize::from(index)).map(|key| (key, 0)),
        }
    }

    /// How many keys must sign.
    pub fn threshold(&self, by: SignedBy) -> Option<u8> {
        match by {
            SignedBy::Keys => Some(self.threshold),
            SignedBy::Recovery => self.recovery.as_ref().map(|recovery| recovery.threshold),
        }
    }

    /// Checks counts, thresholds, lengths and distinctness.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn check(&self) -> Result<(), KeySetError> {
        check_keys(self.keys.iter().map(|entry| &entry.key), self.threshold)?;
        match &self.recovery {
            Some(recovery) => check_keys(recovery.keys.iter(), recovery.threshold),
            None => Ok(()),
        }
    }
}

fn check_keys<'a>(
    keys: impl ExactSizeIterator<Item = &'a PublicKey>,
    threshold: u8,
) -> Result<(), KeySetError> {
    let count = keys.len();
    if count == 0 || count > KeySet::KEYS_MAX {
        return Err(KeySetError::Count { found: count });
    }
    if threshold == 0 || usize::from(threshold) > count {
        return Err(KeySetError::Threshold { threshold, keys: count });
    }
    let mut seen = BTreeSet::new();
    for key in keys {
        if key.bytes.len() != key.suite.public_key_bytes() {
            return Err(KeySetError::KeyLength { suite: key.suite, found: key.bytes.len() });
        }
        if !seen.insert(key.id()) {
            return Err(KeySetError::Duplicate);
        }
    }
    Ok(())
}
