//! Evidence as a policy sees it: already verified by the host, never a caller's claim.

use crate::{AccountId, BridgeId, Digest, Field, KeyId, TokenId};
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
    /// A lock that stands in the storage of a bridge's contract on an EVM chain. Consumed once: the host demands
    /// that exactly one mint of the transition credits it, or exactly one emission pays it back.
    BridgeProof {
        /// The bridge whose trusted set sealed the block.
        bridge: BridgeId,
        /// The EVM chain.
        chain_id: u64,
        /// The bridge's contract there.
        contract: [u8; 20],
        /// The lock's number in that contract.
        nonce: u64,
        /// 1 native coin, 2 ERC-20, 3 burn of wrapped units.
        kind: u8,
        /// What was locked; zero for the native coin.
        asset: [u8; 20],
        /// Who locked it.
        sender: [u8; 20],
        /// The token that it is to be credited in.
        token: TokenId,
        /// The account that it is to be credited to.
        recipient: AccountId,
        /// Base units that arrived in the contract.
        amount: u128,
        /// From then on it is not credited but refunded, in ms since the Unix epoch.
        deadline_ms: u64,
        /// What the contract stores for it.
        commitment: Digest,
        /// The block under whose state root it was proven.
        height: u64,
        /// What the block's finality rests on.
        trust: Trust,
    },
    /// A round of a feed: observations that keys of several accounts signed about one quantity. Consumed once.
    /// The host has verified each signature. Who may observe, how many must, how fresh an observation has to be
    /// and whether the round is the next one is the policy's decision.
    OracleRound {
        /// The feed.
        feed: Digest,
        /// The round's number.
        round: u64,
        /// Decimal places of every answer: at most [`crate::limit::ROUND_DECIMALS_MAX`].
        decimals: u8,
        /// 1 to [`crate::limit::OBSERVATIONS_MAX`] observations of distinct accounts, in ascending order of them.
        observations: Vec<Observation>,
    },
}

/// What one account observed in a round of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Observation {
    /// The account whose key signed it.
    pub account: AccountId,
    /// The key.
    pub key: KeyId,
    /// The role that the account's key set gives this key.
    pub role: u8,
    /// What it observed, in units of 10^-decimals.
    pub answer: i128,
    /// When it observed, by its own word, in ms since the Unix epoch.
    pub observed_ms: u64,
}

/// What the finality of a bridge's blocks rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Trust {
    /// Seals of a quorum of QBFT validators, named by the blocks themselves.
    Qbft,
    /// The same, with validators that a contract of the chain names.
    QbftContract,
    /// Statements of k of n keys: nothing that the chain itself signed.
    Attested,
}

impl Trust {
    /// The word for it in answers, metrics and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Trust::Qbft => "qbft",
            Trust::QbftContract => "qbft-contract",
            Trust::Attested => "attested",
        }
    }
}
