//! How bridges and the outbox look to people, with the canonical bytes beside what only summarises them.

use crate::api::{Hex, KeyView, limit};
use dsm_abi::{AccountId, BridgeId, DecodeError, Digest, NetworkId, TokenId, TransitionId, Trust, decode};
use dsm_core::{BridgeConfig, BridgeState, Finality, LockUse, OutboxEntry, OutboxProof};
use serde::{Deserialize, Serialize};

/// What a bridge is, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeConfigView {
    /// The network that the bridge belongs to.
    pub network: NetworkId,
    /// The EVM chain.
    pub chain_id: u64,
    /// The bridge's contract there.
    pub contract: Hex,
    /// The slot of the contract's mapping of locks.
    pub outbox_slot: Digest,
    /// What the finality of the chain's blocks rests on.
    pub finality: FinalityView,
    /// Keeps bridges of one configuration apart.
    pub salt: Digest,
}

/// What the finality of a chain's blocks rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trust", rename_all = "kebab-case")]
#[allow(missing_docs)] // field for field the faces of dsm_core::Finality, documented there
pub enum FinalityView {
    /// Seals of QBFT validators that the blocks name.
    Qbft { validators: Vec<Hex>, height: u64, trusting_period_s: u64, clock_drift_s: u64 },
    /// Seals of QBFT validators that a contract names.
    QbftContract {
        validators: Vec<Hex>,
        height: u64,
        trusting_period_s: u64,
        clock_drift_s: u64,
        validator_contract: Hex,
        array_slot: Digest,
    },
    /// Statements of k of n keys.
    Attested { keys: Vec<KeyView>, threshold: u8 },
}

fn hex(address: &[u8; 20]) -> Hex {
    Hex(address.to_vec())
}

fn all(addresses: &[[u8; 20]]) -> Vec<Hex> {
    addresses.iter().map(hex).collect()
}

impl From<&BridgeConfig> for BridgeConfigView {
    fn from(config: &BridgeConfig) -> BridgeConfigView {
        let finality = match &config.finality {
            Finality::Qbft { validators, height, trusting_period_s, clock_drift_s } => FinalityView::Qbft {
                validators: all(validators),
                height: *height,
                trusting_period_s: *trusting_period_s,
                clock_drift_s: *clock_drift_s,
            },
            Finality::QbftContract {
                validators,
                height,
                trusting_period_s,
                clock_drift_s,
                validator_contract,
                array_slot,
            } => FinalityView::QbftContract {
                validators: all(validators),
                height: *height,
                trusting_period_s: *trusting_period_s,
                clock_drift_s: *clock_drift_s,
                validator_contract: hex(validator_contract),
                array_slot: Digest(*array_slot),
            },
            Finality::Attested { keys, threshold } => FinalityView::Attested {
                keys: keys.iter().map(|key| KeyView::new(key, 0)).collect(),
                threshold: *threshold,
            },
        };
        BridgeConfigView {
            network: config.network,
            chain_id: config.chain_id,
            contract: hex(&config.contract),
            outbox_slot: Digest(config.outbox_slot),
            finality,
            salt: Digest(config.salt),
        }
    }
}

/// Two blocks of one height that a bridge's trusted set sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvictionView {
    /// The height.
    pub height: u64,
    /// The hash of the one block.
    pub a: Digest,
    /// The hash of the other.
    pub b: Digest,
    /// The transition that carries both headers.
    pub transition: TransitionId,
}

/// A bridge, where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeView {
    /// The bridge: the digest of its configuration.
    pub bridge: BridgeId,
    /// What the finality of its blocks rests on.
    pub trust: Trust,
    /// What it is, for good.
    pub config: BridgeConfigView,
    /// The trusted validators; empty where keys attest.
    pub validators: Vec<Hex>,
    /// The newest block that moved it.
    pub height: u64,
    /// Since when the set is trusted, in ms since the Unix epoch.
    pub trusted_ms: u64,
    /// When it is believed no more, in ms since the Unix epoch, if ever.
    pub trusted_until_ms: Option<u64>,
    /// What froze it for good.
    pub frozen: Option<ConvictionView>,
    /// The canonical bytes of the [`BridgeState`].
    pub state: Hex,
}

impl From<&BridgeState> for BridgeView {
    fn from(state: &BridgeState) -> BridgeView {
        BridgeView {
            bridge: state.config.id(),
            trust: state.config.trust(),
            config: (&state.config).into(),
            validators: all(&state.validators),
            height: state.height,
            trusted_ms: state.trusted_ms,
            trusted_until_ms: state.trusted_until_ms(),
            frozen: state.frozen.as_ref().map(|found| ConvictionView {
                height: found.height,
                a: Digest(found.a),
                b: Digest(found.b),
                transition: found.transition,
            }),
            state: Hex(dsm_abi::encode(state)),
        }
    }
}

impl BridgeView {
    /// The state itself: configuration, trusted set, height.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no state of a bridge.
    pub fn decode(&self) -> Result<BridgeState, DecodeError> {
        decode(&self.state.0, limit::PROOF_BYTES_MAX)
    }
}

/// Some bridges, in order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgesPage {
    /// The bridges.
    pub bridges: Vec<BridgeView>,
    /// What to give as `after` for the next page, if there is one.
    pub next: Option<BridgeId>,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// What became of a lock here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockState {
    /// No transition used it.
    Unknown,
    /// Credited.
    Credited,
    /// Refunded: an entry of the outbox pays it back.
    Refunded,
}

/// A lock of a bridge, as far as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    /// The bridge.
    pub bridge: BridgeId,
    /// The lock's number in the bridge's contract.
    pub nonce: u64,
    /// What became of it.
    pub state: LockState,
    /// What the bridge's finality rests on.
    pub trust: Trust,
    /// The token, if it was used.
    pub token: Option<TokenId>,
    /// What the contract stores for it, if it was used.
    pub commitment: Option<Digest>,
    /// The transition that used it.
    pub transition: Option<TransitionId>,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

impl LockView {
    /// The face of a lock of a bridge with this trust.
    pub fn new(
        bridge: BridgeId,
        nonce: u64,
        trust: Trust,
        found: Option<&LockUse>,
        time_ms: u64,
    ) -> LockView {
        let state = match found {
            None => LockState::Unknown,
            Some(found) if found.credited => LockState::Credited,
            Some(_) => LockState::Refunded,
        };
        LockView {
            bridge,
            nonce,
            state,
            trust,
            token: found.map(|found| found.token),
            commitment: found.map(|found| found.commitment),
            transition: found.map(|found| found.transition),
            time_ms,
        }
    }
}

/// An entry of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntryView {
    /// Its position, from 0.
    pub index: u64,
    /// Whom it is for; 1 for EVM chains.
    pub lane: u32,
    /// The token whose policy emitted it, or zero.
    pub token: TokenId,
    /// The account that acted.
    pub actor: AccountId,
    /// The transition.
    pub transition: TransitionId,
    /// What it says.
    pub payload: Hex,
    /// Its hash in the tree, keccak-256.
    pub leaf: Digest,
}

impl OutboxEntryView {
    /// The face of an entry of the outbox of a network.
    pub fn new(network: NetworkId, entry: &OutboxEntry) -> OutboxEntryView {
        OutboxEntryView {
            index: entry.index,
            lane: entry.lane,
            token: entry.token,
            actor: entry.actor,
            transition: entry.transition,
            payload: Hex(entry.payload.clone()),
            leaf: Digest(entry.evm(network).leaf()),
        }
    }

    /// The entry itself.
    pub fn entry(&self) -> OutboxEntry {
        OutboxEntry {
            index: self.index,
            lane: self.lane,
            token: self.token,
            actor: self.actor,
            transition: self.transition,
            payload: self.payload.0.clone(),
        }
    }
}

/// Some entries of the outbox, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxPage {
    /// The entries.
    pub entries: Vec<OutboxEntryView>,
    /// What to give as `from` for the next page, if there is one.
    pub next: Option<u64>,
    /// Entries of the outbox.
    pub size: u64,
    /// Its root, by keccak-256; zero while it is empty.
    pub root: Digest,
    /// The time of the last transition that this reflects, in ms since the Unix epoch.
    pub time_ms: u64,
}

/// Shows that the outbox of a later checkpoint continues that of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyView {
    /// The earlier size.
    pub from: u64,
    /// The later size.
    pub to: u64,
    /// The root at the earlier size.
    pub from_root: Digest,
    /// The root at the later size.
    pub to_root: Digest,
    /// The hashes that lead to both.
    pub hashes: Vec<Digest>,
}

/// The way from an entry to the root of the outbox at a size, for whoever trusts that root already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxPathView {
    /// The entry.
    pub entry: OutboxEntryView,
    /// The siblings from the leaf upwards.
    pub siblings: Vec<Digest>,
    /// Entries of the outbox.
    pub size: u64,
    /// The outbox's root at that size.
    pub root: Digest,
}

/// Shows an entry of the outbox at a signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxProofView {
    /// The entry.
    pub entry: OutboxEntryView,
    /// The siblings from the leaf upwards.
    pub siblings: Vec<Digest>,
    /// Entries of the outbox at the checkpoint.
    pub size: u64,
    /// The outbox's root at the checkpoint.
    pub root: Digest,
    /// The checkpoint's epoch.
    pub epoch: u64,
    /// The checkpoint's position in the log.
    pub log_position: u64,
    /// The canonical bytes of the proof, checkpoint included: the rest is a summary that proves nothing.
    pub proof: Hex,
}

impl From<&OutboxProof> for OutboxProofView {
    fn from(proof: &OutboxProof) -> OutboxProofView {
        let checkpoint = &proof.checkpoint.checkpoint;
        OutboxProofView {
            entry: OutboxEntryView::new(checkpoint.network, &proof.entry),
            siblings: proof.siblings.clone(),
            size: checkpoint.outbox_size,
            root: checkpoint.outbox_root,
            epoch: checkpoint.epoch,
            log_position: checkpoint.log_position,
            proof: Hex(dsm_abi::encode(proof)),
        }
    }
}

impl OutboxProofView {
    /// The proof itself, for checking.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are no such proof.
    pub fn decode(&self) -> Result<OutboxProof, DecodeError> {
        decode(&self.proof.0, limit::PROOF_BYTES_MAX)
    }
}
