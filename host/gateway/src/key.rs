//! API keys: random words of which only a digest is kept.

use crate::scope::{Scopes, UnknownScope};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Keys in one file.
const KEYS_MAX: usize = 10_000;
/// Bytes of a key's secret part.
const SECRET_BYTES: usize = 32;
const PREFIX: &str = "dsm";

/// A key as it is kept: who has it and what for, and a digest that does not give the key away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Eight hex digits, the public part.
    pub id: String,
    /// Whose it is; the client's name in logs and limits.
    pub name: String,
    /// Words of [`crate::Scope`], with spaces between.
    pub scopes: String,
    /// How many times the ordinary limits it has.
    #[serde(default = "once")]
    pub limit_times: u32,
    /// Hex digits of the digest of the secret part.
    pub digest: String,
}

fn once() -> u32 {
    1
}

/// A key that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What is kept.
    pub kept: ApiKey,
    /// What its holder sends; shown once.
    pub text: String,
}

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not JSON of the known shape.
    #[error("the file of API keys: {0}")]
    Malformed(String),
    /// Two keys have one id or one name.
    #[error("two API keys are called {0}")]
    Twice(String),
    /// A scope that does not exist.
    #[error("API key {0}: {1}")]
    Scope(String, UnknownScope),
    /// A digest that is not 64 hex digits.
    #[error("API key {0} has no valid digest")]
    Digest(String),
    /// Too many.
    #[error("more than {KEYS_MAX} API keys")]
    TooMany,
}

/// All keys, by id.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: BTreeMap<String, (ApiKey, Scopes, [u8; 32])>,
    names: BTreeSet<String>,
}

impl NewKey {
    /// A key from random bytes that the caller draws.
    pub fn make(
        name: &str,
        scopes: Scopes,
        limit_times: u32,
        id: [u8; 4],
        secret: [u8; SECRET_BYTES],
    ) -> NewKey {
        let id = hex::encode(id);
        let digest = digest(&id, &hex::encode(secret)).to_hex().to_string();
        let text = format!("{PREFIX}_{id}_{}", hex::encode(secret));
        let kept = ApiKey { id, name: name.to_owned(), scopes: scopes.to_string(), limit_times, digest };
        NewKey { kept, text }
    }
}

impl KeyRing {
    /// Reads a JSON array of [`ApiKey`].
    ///
    /// # Errors
    /// [`KeyError`]: one bad key and none is believed.
    pub fn parse(json: &str) -> Result<KeyRing, KeyError> {
        let kept: Vec<ApiKey> =
            serde_json::from_str(json).map_err(|error| KeyError::Malformed(error.to_string()))?;
        if kept.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        let mut ring = KeyRing::default();
        for key in kept {
            ring.add(key)?;
        }
        Ok(ring)
    }

    /// With one more key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn with(mut self, key: ApiKey) -> Result<KeyRing, KeyError> {
        self.add(key)?;
        Ok(self)
    }

    fn add(&mut self, key: ApiKey) -> Result<(), KeyError> {
        let scopes = Scopes::parse(&key.scopes).map_err(|error| KeyError::Scope(key.name.clone(), error))?;
        let mut digest = [0; 32];
        hex::decode_to_slice(&key.digest, &mut digest).map_err(|_| KeyError::Digest(key.name.clone()))?;
        if self.names.contains(&key.name) || self.keys.contains_key(&key.id) {
            return Err(KeyError::Twice(key.name));
        }
        self.names.insert(key.name.clone());
        self.keys.insert(key.id.clone(), (key, scopes, digest));
        Ok(())
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key that `text` is, with its scopes.
    pub fn find(&self, text: &str) -> Option<(&ApiKey, Scopes)> {
        let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        let (key, scopes, kept) = self.keys.get(id)?;
        // Digests of 256 random bits: how long the comparison takes tells nothing that helps. Hash values compare in
        // constant time in this crate all the same.
        (digest(id, secret) == blake3::Hash::from_bytes(*kept)).then_some((key, *scopes))
    }
}

fn digest(id: &str, secret: &str) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"DSM/api-key\0");
    hasher.update(id.as_bytes());
    hasher.update(b"_");
    hasher.update(secret.as_bytes());
    hasher.finalize()
}
