//! The faces of the HTTP API: what is asked and answered in JSON. Every answer says what its truth rests on.

use crate::evm::Word;
use crate::rpc::EndpointView;
use crate::state::{AlarmRow, LockRow, LockState, OutRow, OutState};
use dsm_core::BridgeConfig;
use dsm_evm_proof::{LockKind, Payload};
use dsm_sdk::api::Hex;
use dsm_sdk::receipt::Amount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The word for what blocks of the bridge's chain rest on: `qbft`, `qbft-contract` or `attested`.
pub fn trust_level(terms: &BridgeConfig) -> &'static str {
    match terms.finality {
        dsm_core::Finality::Qbft { .. } => "qbft",
        dsm_core::Finality::QbftContract { .. } => "qbft-contract",
        dsm_core::Finality::Attested { .. } => "attested",
    }
}

/// Asks an attestor for its name under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationBody {
    /// The canonical bytes of DSM's signed checkpoint.
    pub checkpoint: Hex,
    /// The contract's set of attestors.
    pub set_id: u64,
}

/// An attestor's name under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestationView {
    /// Its place in the set.
    pub index: u8,
    /// The checkpoint's epoch.
    pub epoch: u64,
    /// The EIP-712 digest that it signed.
    pub digest: Hex,
    /// r ‖ s ‖ v with v 0 or 1.
    pub ecdsa: Hex,
    /// Its SLH-DSA-SHA2-128s signature, if it has such a key.
    pub slh_dsa: Option<Hex>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// Asks an attestor whether a block is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockAttestationBody {
    /// The height.
    pub height: u64,
    /// The hash.
    pub hash: Hex,
}

/// An attestor's statement that a block is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockAttestationView {
    /// Its place among the bridge's keys.
    pub index: u8,
    /// Its signature.
    pub signature: Hex,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// A proof of a lock that somebody brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofBody {
    /// The canonical bytes of the `EvmLockProof`.
    pub proof: Hex,
}

/// A signed transition that withdraws.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalBody {
    /// Its canonical bytes.
    pub signed: Hex,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    /// Its number in the contract.
    pub nonce: u64,
    /// `seen`, `proven`, `credited` or `refunded`.
    pub state: String,
    /// `native`, `erc20` or `burn`.
    pub kind: String,
    /// The asset's contract.
    pub asset: Hex,
    /// Who locked it.
    pub sender: Hex,
    /// The DSM token.
    pub token: Hex,
    /// The DSM account.
    pub recipient: Hex,
    /// Base units.
    pub amount: Amount,
    /// Seconds since the Unix epoch.
    pub deadline_s: u64,
    /// The block that it is said to be in.
    pub block: u64,
    /// The block that its proof hangs from.
    pub proven_at: Option<u64>,
    /// The transition that credited or refunded it.
    pub transition: Option<Hex>,
    /// Why it is not further, after a failure.
    pub reason: Option<String>,
    /// When it is tried again, in ms since the Unix epoch.
    pub next_try_ms: Option<u64>,
    /// The canonical bytes of its proof; in a single answer only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proof: Option<Hex>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

fn when<T>(is: bool, value: T) -> Option<T> {
    is.then_some(value)
}

impl LockView {
    pub(crate) fn new(row: &LockRow, terms: &BridgeConfig, with_proof: bool) -> LockView {
        let (proven_at, transition) = match row.state {
            LockState::Seen => (None, None),
            LockState::Proven { height, .. } => (Some(height), None),
            LockState::Credited { transition, under } => (under.map(|(height, _)| height), Some(transition)),
            LockState::Refunded { transition } => (None, Some(transition)),
        };
        let lock = &row.lock;
        let failed = !row.retry.reason.is_empty();
        LockView {
            nonce: lock.nonce,
            state: row.state.word().to_owned(),
            kind: match lock.kind {
                LockKind::Native => "native",
                LockKind::Erc20 => "erc20",
                LockKind::Burn => "burn",
            }
            .to_owned(),
            asset: Hex(lock.asset.to_vec()),
            sender: Hex(lock.sender.to_vec()),
            token: Hex(lock.token.to_vec()),
            recipient: Hex(lock.recipient.to_vec()),
            amount: Amount(lock.amount),
            deadline_s: lock.deadline_s,
            block: row.block,
            proven_at,
            transition: transition.map(|transition: Word| Hex(transition.to_vec())),
            reason: when(failed, row.retry.reason.clone()),
            next_try_ms: when(failed, row.retry.next_ms),
            proof: when(with_proof && !row.proof.is_empty(), Hex(row.proof.clone())),
            trust_level: trust_level(terms).to_owned(),
        }
    }
}

/// A page of locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocksPage {
    /// The locks, by nonce.
    pub locks: Vec<LockView>,
    /// What to give as `from` for the next page, if there is one.
    pub next: Option<u64>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// A leaf of DSM's outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutView {
    /// Its position.
    pub index: u64,
    /// `leaf`, `checkpointed`, `queued`, `released` or `elsewhere`.
    pub state: String,
    /// Whom it is for.
    pub lane: u32,
    /// The token whose policy emitted it.
    pub token: Hex,
    /// The account that acted.
    pub actor: Hex,
    /// The transition.
    pub transition: Hex,
    /// `release`, `refund`, or absent.
    pub kind: Option<String>,
    /// Who is paid, for a release.
    pub to: Option<Hex>,
    /// How much, for a release.
    pub amount: Option<Amount>,
    /// The lock that is paid back, for a refund.
    pub nonce: Option<u64>,
    /// The payload.
    pub payload: Hex,
    /// From when on a queued release may be executed, in seconds since the Unix epoch.
    pub ready_s: Option<u64>,
    /// Why it is not further, after a failure.
    pub reason: Option<String>,
    /// When it is tried again, in ms since the Unix epoch.
    pub next_try_ms: Option<u64>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

impl OutView {
    pub(crate) fn new(row: &OutRow, terms: &BridgeConfig) -> OutView {
        let entry = &row.entry;
        let payload = Payload::decode(&entry.payload).ok();
        let (kind, to, amount, nonce) = match &payload {
            Some(Payload::Release(release)) => {
                ("release", Some(Hex(release.to.to_vec())), Some(Amount(release.amount)), None)
            }
            Some(Payload::Refund(refund)) => ("refund", None, None, Some(refund.nonce)),
            None => ("", None, None, None),
        };
        let failed = !row.retry.reason.is_empty();
        OutView {
            index: entry.index,
            state: row.state.word().to_owned(),
            lane: entry.lane,
            token: Hex(entry.token.to_vec()),
            actor: Hex(entry.actor.to_vec()),
            transition: Hex(entry.transition.to_vec()),
            kind: payload.map(|_| kind.to_owned()),
            to,
            amount,
            nonce,
            payload: Hex(entry.payload.clone()),
            ready_s: match row.state {
                OutState::Queued { ready_s } => Some(ready_s),
                _ => None,
            },
            reason: when(failed, row.retry.reason.clone()),
            next_try_ms: when(failed, row.retry.next_ms),
            trust_level: trust_level(terms).to_owned(),
        }
    }
}

/// A leaf with its siblings under a root that the contract has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutProofView {
    /// The leaf.
    pub index: u64,
    /// Its hash.
    pub leaf: Hex,
    /// The contract's epoch that the proof is for.
    pub epoch: u64,
    /// Leaves under that epoch's root.
    pub size: u64,
    /// The root.
    pub root: Hex,
    /// The siblings, from the leaf upwards.
    pub siblings: Vec<Hex>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// Where checkpoints stand, on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointsView {
    /// The contract's newest epoch, if it is known.
    pub contract_epoch: Option<u64>,
    /// Leaves under it.
    pub contract_size: Option<u64>,
    /// Its root.
    pub contract_root: Option<Hex>,
    /// DSM's newest checkpoint, if it is known.
    pub dsm_epoch: Option<u64>,
    /// Leaves of the outbox at it.
    pub dsm_size: Option<u64>,
    /// What this service attested, newest first.
    pub attested: Vec<AttestedView>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// What this service attested for an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttestedView {
    /// The epoch.
    pub epoch: u64,
    /// The digest that it signed.
    pub digest: Hex,
    /// Leaves under the root.
    pub size: u64,
    /// The root.
    pub root: Hex,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// Transfers both ways that are in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransfersView {
    /// From the EVM chain to DSM.
    pub locks: Vec<LockView>,
    /// From DSM to the EVM chain.
    pub releases: Vec<OutView>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// The contract's limits of one asset, and what else is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsView {
    /// The asset; zero for the native coin.
    pub asset: Hex,
    /// The most that one lock or release moves.
    pub transfer_max: Amount,
    /// The most that may be outstanding.
    pub outstanding_max: Amount,
    /// The bucket of locks.
    pub in_capacity: Amount,
    /// Units that flow into it in a second.
    pub in_refill: Amount,
    /// The bucket of releases.
    pub out_capacity: Amount,
    /// Units that flow into it in a second.
    pub out_refill: Amount,
    /// Releases above this wait in the queue.
    pub queue_above: Amount,
    /// Whether the guardian has paused locks.
    pub deposits_paused: bool,
    /// Whether the guardian has paused releases.
    pub withdrawals_paused: bool,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmView {
    /// Its number.
    pub number: u64,
    /// A stable word.
    pub code: String,
    /// One sentence.
    pub detail: String,
    /// When it was raised, in ms since the Unix epoch.
    pub time_ms: u64,
}

impl AlarmView {
    pub(crate) fn new(number: u64, row: AlarmRow) -> AlarmView {
        AlarmView { number, code: row.code, detail: row.detail, time_ms: row.time_ms }
    }
}

/// All alarms, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmsView {
    /// Why the service is frozen, if it is.
    pub frozen: Option<String>,
    /// The alarms.
    pub alarms: Vec<AlarmView>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// A withdrawal that was relayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawalView {
    /// The transition.
    pub transition: Hex,
    /// Its place in DSM's log.
    pub position: u64,
    /// Its leaves, as far as they are known.
    pub leaves: Vec<OutView>,
    /// What blocks of the chain rest on.
    pub trust_level: String,
}

/// How the service does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The program's version.
    pub version: String,
    /// The bridge.
    pub bridge: String,
    /// DSM's network.
    pub network: String,
    /// The EVM chain.
    pub chain_id: u64,
    /// The contract.
    pub contract: Hex,
    /// What blocks of the chain rest on.
    pub trust_level: String,
    /// `relayer`, `attestor`, both or none.
    pub roles: Vec<String>,
    /// The relayer's account on DSM.
    pub account: Option<String>,
    /// The account that pays for gas.
    pub gas_account: Option<Hex>,
    /// The attestor's place in the contract's set and its ECDSA address.
    pub attestor: Option<(u8, Hex)>,
    /// Why the service is frozen, if it is.
    pub frozen: Option<String>,
    /// Whether its admin has paused it.
    pub paused: bool,
    /// The newest believable block.
    pub head: Option<u64>,
    /// Its hash.
    pub head_hash: Option<Hex>,
    /// The block of the validators that the ledger trusts.
    pub trusted_height: Option<u64>,
    /// How many they are.
    pub trusted_validators: Option<usize>,
    /// Locks that the contract counts.
    pub contract_locks: Option<u64>,
    /// The contract's newest epoch.
    pub contract_epoch: Option<u64>,
    /// Leaves under it.
    pub contract_size: Option<u64>,
    /// Locks that are known.
    pub locks: u64,
    /// Locks below this are credited or refunded.
    pub locks_done: u64,
    /// Leaves that are known.
    pub leaves: u64,
    /// Leaves below this are released.
    pub leaves_done: u64,
    /// Transactions under way.
    pub transactions: u64,
    /// Alarms that were raised.
    pub alarms: u64,
    /// Parts of a turn that did not come to their end, and why.
    pub stalled: BTreeMap<String, String>,
    /// How the endpoints do.
    pub endpoints: Vec<EndpointView>,
    /// Turns since the start.
    pub turns: u64,
    /// When the last one ended, in ms since the Unix epoch.
    pub last_turn_ms: u64,
    /// Why the service has ended, if it has.
    pub ended: Option<String>,
    /// Seconds since the start.
    pub uptime_s: u64,
}
