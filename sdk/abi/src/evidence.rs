//! Evidence as a policy sees it: already verified by the host, never a caller's claim.

use crate::{AccountId, Digest, Field, KeyId};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};

/// Verified evidence.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Claims that an issuer's account signed about a subject. The host has verified the issuer's signature,
    /// the Merkle path of each disclosed claim and the period. Whether the issuer is trusted and the serial
    /// unrevoked is the policy's decision.
    Credential {
        /// The account that issued it.
        issuer: AccountId,
        /// The account it is about.
        subject: AccountId,
        /// The kind of credential, such as `kyc/1`.
        schema: String,
        /// The issuer's serial, for revocation.
        serial: Digest,
        /// When it ends, in ms since the Unix epoch; it had not ended when the host verified it.
        expires_ms: u64,
        /// The disclosed claims.
        claims: Vec<Field>,
    },
    /// The preimage of a digest. Consumed once.
    HashPreimage {
        /// One of [`crate::import::hash_alg`].
        algorithm: u32,
        /// The digest.
        digest: Digest,
        /// At most 1,024 bytes that hash to it.
        preimage: Vec<u8>,
    },
    /// A statement that a key of an account signed. Consumed once.
    Attestation {
        /// The account whose key signed.
        account: AccountId,
        /// The key.
        key: KeyId,
        /// The role that the account's key set gives this key.
        role: u8,
        /// What the statement is about.
        topic: String,
        /// At most 1,024 bytes.
        payload: Vec<u8>,
    },
}
