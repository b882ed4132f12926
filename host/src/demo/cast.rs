//! Who plays in the demonstration: accounts with fresh keys that live in memory only.

use crate::cli::failure::Failure;
use crate::cli::session::Session;
use dsm_abi::{AccountId, Digest, Field, KeyId, NetworkId, Suite, Value};
use dsm_core::{CredentialPresentation, Genesis};
use dsm_crypto::{SecretKey, Signer};
use dsm_sdk::draft::{CredentialTerms, issue, key_set, public_key};

/// What credentials say that the gate of the demonstration admits by.
pub(super) const SCHEMA: &str = "kyc/1";
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// An account with its keys. Any one key speaks for the account; policies may ask for more.
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) account: AccountId,
    pub(super) genesis: Genesis,
    pub(super) keys: Vec<SecretKey>,
}

impl Actor {
    pub(super) fn new(
        name: &'static str,
        network: NetworkId,
        suite: Suite,
        keys: usize,
    ) -> Result<Actor, Failure> {
        let keys: Result<Vec<SecretKey>, _> = (0..keys).map(|_| SecretKey::generate(suite)).collect();
        let keys = keys.map_err(|error| Failure::refused("no_randomness", error))?;
        let set = key_set(keys.iter().map(|key| (public_key(key), 0)), 1);
        let genesis = Genesis { network, keys: set, salt: Session::random()? };
        Ok(Actor { name, account: genesis.account(), genesis, keys })
    }

    /// The ids of its keys.
    pub(super) fn key_ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(|key| public_key(key).id()).collect()
    }

    /// Its first `count` keys, ready to sign.
    pub(super) fn signers(&self, count: usize) -> Vec<(AccountId, &dyn Signer, u8)> {
        let numbered = (0u8..).zip(&self.keys).take(count);
        numbered.map(|(index, key)| (self.account, key as &dyn Signer, index)).collect()
    }
}

/// What `issuer` says of `subject`, shown in part: the country; the name stays behind its salted hash.
pub(super) fn vouch(
    network: NetworkId,
    issuer: &Actor,
    subject: &Actor,
) -> Result<CredentialPresentation, Failure> {
    let claim = |name: &str, value: &str| -> Result<(Field, [u8; 16]), Failure> {
        Ok((Field { name: name.into(), value: Value::Text(value.into()) }, Session::random()?))
    };
    let terms = CredentialTerms {
        issuer: issuer.account,
        subject: subject.account,
        schema: SCHEMA.into(),
        serial: Digest(Session::random()?),
        expires_ms: Session::now_ms() + YEAR_MS,
        claims: vec![claim("country", "LU")?, claim("name", subject.name)?],
    };
    let mut presentation =
        issue(network, terms, &issuer.keys[0], 0).map_err(|error| Failure::refused("sign_failed", error))?;
    presentation.disclosed.retain(|one| one.claim.name == "country");
    Ok(presentation)
}

/// Everybody.
pub(super) struct Cast {
    /// Writes and publishes policies, under suite 0x02.
    pub(super) author: Actor,
    /// Keeps the securities register with three keys, of which two must sign.
    pub(super) registrar: Actor,
    /// Issues cash with two keys, lends against securities.
    pub(super) bank: Actor,
    /// Vouches for participants.
    pub(super) issuer: Actor,
    /// Sells.
    pub(super) alice: Actor,
    /// Buys.
    pub(super) bob: Actor,
}

impl Cast {
    pub(super) fn new(network: NetworkId) -> Result<Cast, Failure> {
        let actor = |name, keys| Actor::new(name, network, Suite::MlDsa65, keys);
        Ok(Cast {
            author: Actor::new("author", network, Suite::Ed25519MlDsa65, 1)?,
            registrar: actor("registrar", 3)?,
            bank: actor("bank", 2)?,
            issuer: actor("issuer", 1)?,
            alice: actor("alice", 1)?,
            bob: actor("bob", 1)?,
        })
    }
}
