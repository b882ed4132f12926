//! Bridges: what the ledger believes of an EVM chain, and how that belief moves: by sealed headers alone.
//!
//! A bridge's id is the digest of its configuration, so chain, contract, slot and first trusted set are bound by the
//! id that a token names. Nothing here is configured on a node.

mod proof;

pub use dsm_evm_proof::{Address, Advance, EvmLockProof, Lock, LockKind, VALIDATORS_MAX, ValidatorSetProof};
pub use proof::{BridgeError, FinalHeader, block_message};
pub(crate) use proof::{BridgeMove, BridgeVerdict, Judged, verify_lock, verify_move};

use crate::{PublicKey, hash, tag};
use alloc::{collections::BTreeSet, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{BridgeId, Digest, NetworkId, TokenId, TransitionId, Trust, encode};

/// What a bridge is, for good.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BridgeConfig {
    /// The network that the bridge belongs to.
    pub network: NetworkId,
    /// The EVM chain.
    pub chain_id: u64,
    /// The bridge's contract there.
    pub contract: Address,
    /// The slot of the contract's mapping of locks, from the compiler's storage layout.
    pub outbox_slot: [u8; 32],
    /// What the finality of the chain's blocks rests on.
    pub finality: Finality,
    /// Keeps bridges of one configuration apart.
    pub salt: [u8; 32],
}

/// What the finality of a chain's blocks rests on.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Finality {
    /// QBFT; the blocks name their validators.
    Qbft {
        /// The first trusted validators, 1 to [`VALIDATORS_MAX`].
        validators: Vec<Address>,
        /// The block at which they were the validators.
        height: u64,
        /// Seconds without a newer trusted block after which nothing is believed any more; 0 for never.
        trusting_period_s: u64,
        /// Seconds that a block may be ahead of the sequencer's time.
        clock_drift_s: u64,
    },
    /// QBFT; a contract of the chain names the validators, and the blocks' lists are empty.
    QbftContract {
        /// The first trusted validators, 1 to [`VALIDATORS_MAX`].
        validators: Vec<Address>,
        /// The block at which they were the validators.
        height: u64,
        /// Seconds without a newer trusted block after which nothing is believed any more; 0 for never.
        trusting_period_s: u64,
        /// Seconds that a block may be ahead of the sequencer's time.
        clock_drift_s: u64,
        /// The contract that names the validators.
        validator_contract: Address,
        /// The slot of its array of validators.
        array_slot: [u8; 32],
    },
    /// Chains without seals that can be checked: keys state which block they saw final.
    Attested {
        /// 1 to [`ATTESTORS_MAX`] distinct keys.
        keys: Vec<PublicKey>,
        /// How many of them must state a block.
        threshold: u8,
    },
}

/// Keys that attest blocks.
pub const ATTESTORS_MAX: usize = 16;

/// Why a configuration makes no bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BridgeConfigError {
    /// It names another network.
    #[error("the bridge belongs to another network")]
    Network,
    /// The chain id or the contract is zero.
    #[error("the chain id and the contract must not be zero")]
    Chain,
    /// The validators are none, too many, zero or not distinct.
    #[error("1 to {VALIDATORS_MAX} distinct validators are needed, none of them zero")]
    Validators,
    /// A period is longer than a century: its end could not be computed.
    #[error("a period is longer than {PERIOD_S_MAX} seconds")]
    Period,
    /// The attesting keys or their threshold do not fit.
    #[error("1 to {ATTESTORS_MAX} distinct keys and a threshold between 1 and their number are needed")]
    Attestors,
}

/// A century in seconds.
const PERIOD_S_MAX: u64 = 100 * 366 * 24 * 60 * 60;

impl BridgeConfig {
    /// The bridge that this configuration makes.
    pub fn id(&self) -> BridgeId {
        BridgeId(hash(tag::BRIDGE, &[&encode(self)]).0)
    }

    /// What its finality rests on.
    pub fn trust(&self) -> Trust {
        match self.finality {
            Finality::Qbft { .. } => Trust::Qbft,
            Finality::QbftContract { .. } => Trust::QbftContract,
            Finality::Attested { .. } => Trust::Attested,
        }
    }

    /// Checks everything that needs no state.
    ///
    /// # Errors
    /// [`BridgeConfigError`].
    pub fn check(&self, network: NetworkId) -> Result<(), BridgeConfigError> {
        if self.network != network {
            return Err(BridgeConfigError::Network);
        }
        if self.chain_id == 0 || self.contract == [0; 20] {
            return Err(BridgeConfigError::Chain);
        }
        match &self.finality {
            Finality::Qbft { validators, trusting_period_s, clock_drift_s, .. }
            | Finality::QbftContract { validators, trusting_period_s, clock_drift_s, .. } => {
                if !is_set(validators) {
                    return Err(BridgeConfigError::Validators);
                }
                let fits = *trusting_period_s <= PERIOD_S_MAX && *clock_drift_s <= PERIOD_S_MAX;
                if fits { Ok(()) } else { Err(BridgeConfigError::Period) }
            }
            Finality::Attested { keys, threshold } => {
                let distinct: BTreeSet<_> = keys.iter().map(PublicKey::id).collect();
                let fits = (1..=ATTESTORS_MAX).contains(&keys.len())
                    && distinct.len() == keys.len()
                    && keys.iter().all(|key| key.bytes.len() == key.suite.public_key_bytes())
                    && (1..=keys.len()).contains(&usize::from(*threshold));
                if fits { Ok(()) } else { Err(BridgeConfigError::Attestors) }
            }
        }
    }

    /// What a lock of this contract uses up. The token belongs to it: otherwise whoever opens a bridge of validators
    /// of his own could use up a genuine lock in a token of his own.
    pub fn nullifier(&self, nonce: u64, token: &TokenId) -> Digest {
        let parts: [&[u8]; 5] =
            [b"bridge", &self.chain_id.to_le_bytes(), &self.contract, &nonce.to_le_bytes(), &token.0];
        hash(tag::NULLIFIER, &parts)
    }
}

/// Whether these can be validators.
fn is_set(validators: &[Address]) -> bool {
    let distinct: BTreeSet<_> = validators.iter().collect();
    (1..=VALIDATORS_MAX).contains(&validators.len())
        && distinct.len() == validators.len()
        && !distinct.contains(&[0; 20])
}

/// Where a bridge stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BridgeState {
    /// What it is.
    pub config: BridgeConfig,
    /// The trusted validators; empty where keys attest.
    pub validators: Vec<Address>,
    /// The newest block that moved the bridge.
    pub height: u64,
    /// Since when the set is trusted, in ms since the Unix epoch: the opening, then the time of that block.
    pub trusted_ms: u64,
    /// What froze the bridge for good.
    pub frozen: Option<Conviction>,
}

/// Two blocks of one height that the trusted set sealed.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Conviction {
    /// The height.
    pub height: u64,
    /// The hash of the one.
    pub a: [u8; 32],
    /// The hash of the other.
    pub b: [u8; 32],
    /// The transition that carries both headers.
    pub transition: TransitionId,
}

impl BridgeState {
    /// A bridge that is opened at `time_ms`.
    pub(crate) fn new(config: BridgeConfig, time_ms: u64) -> BridgeState {
        let (validators, height) = match &config.finality {
            Finality::Qbft { validators, height, .. } | Finality::QbftContract { validators, height, .. } => {
                (validators.clone(), *height)
            }
            Finality::Attested { .. } => (Vec::new(), 0),
        };
        BridgeState { config, validators, height, trusted_ms: time_ms, frozen: None }
    }

    /// The digest that checkpoints commit to.
    pub fn digest(&self) -> Digest {
        hash(tag::BRIDGE_STATE, &[&encode(self)])
    }

    /// The digest of the trusted validators: what a verified seal depends on.
    pub fn set(&self) -> Digest {
        hash(tag::BRIDGE_SET, &[&encode(&self.validators)])
    }

    /// When the trusted set is believed no more, in ms since the Unix epoch.
    pub fn trusted_until_ms(&self) -> Option<u64> {
        match self.config.finality {
            Finality::Qbft { trusting_period_s, .. } | Finality::QbftContract { trusting_period_s, .. } => {
                (trusting_period_s > 0).then(|| self.trusted_ms.saturating_add(trusting_period_s * 1000))
            }
            Finality::Attested { .. } => None,
        }
    }

    /// Seconds that a block may be ahead of the sequencer's time.
    pub(crate) fn clock_drift_s(&self) -> Option<u64> {
        match self.config.finality {
            Finality::Qbft { clock_drift_s, .. } | Finality::QbftContract { clock_drift_s, .. } => {
                Some(clock_drift_s)
            }
            Finality::Attested { .. } => None,
        }
    }
}

/// What became of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LockUse {
    /// Whether it was credited; otherwise it was refunded.
    pub credited: bool,
    /// The token.
    pub token: TokenId,
    /// What the contract stores for the lock.
    pub commitment: Digest,
    /// The transition that used it.
    pub transition: TransitionId,
}
