//! The state machine of DSM: transitions, states, the rules that the host keeps whatever a policy says,
//! and the proofs that follow from them.
//!
//! The way of one transition is written in the types: [`SignedTransition`] → [`VerifiedTransition`]
//! (signatures) → [`Approved`] (policies) → [`Changes`] (the host's rules) → [`Applied`] (new heads). Each step
//! takes the step before as its permission.
//!
//! Left out on purpose: files, sockets, clocks, randomness, threads, JSON and every signature scheme. Time and
//! cryptography arrive as arguments.
#![no_std]
extern crate alloc;

mod account;
mod bridge;
mod checkpoint;
mod equivocation;
mod evidence;
mod hash;
mod judge;
mod key;
mod ledger;
mod link;
mod outbox;
mod record;
mod refusal;
mod settle;
mod shape;
mod sign;
mod slice;
mod token;
mod transition;
mod trie;
mod verify;

pub use account::{Account, AccountState, Precommitment, Status};
pub use bridge::{
    ATTESTORS_MAX, Address, Advance, BridgeConfig, BridgeConfigError, BridgeError, BridgeState, Conviction,
    EvmLockProof, FinalHeader, Finality, Lock, LockKind, LockUse, VALIDATORS_MAX, ValidatorSetProof,
    block_message,
};
pub use checkpoint::{
    AccountProof, AssetProof, Checkpoint, CheckpointSignature, ProofError, SignedCheckpoint, Snapshot,
    TokenProof,
};
pub use dsm_evm_proof::OutboxError;
pub use equivocation::{EquivocationError, EquivocationProof};
pub use evidence::{
    Attestation, Credential, CredentialPresentation, DisclosedClaim, EvidenceError, EvidenceProof,
    HashPreimage, ObservationStatement, SignedObservation, claims_tree, feed_id,
};
pub use hash::{hash, merkle, tag};
pub use judge::{
    Approved, Judge, Judgement, NoVerdict, PolicyEffects, ViewCall, foreign_reads_of, parties_of,
};
pub use key::{KeyEntry, KeySet, KeySetError, KeySetId, PublicKey, Recovery, SignedBy};
pub use ledger::{Applied, Credit, Ledger, PolicyRecord, Totals, UsedLock};
pub use outbox::{Outbox, OutboxEntry, OutboxProof};
pub use record::{Accepted, Entry, NetworkGenesis, RecordError};
pub use refusal::Refusal;
pub use settle::{Changes, Event};
pub use shape::{ShapeError, limit};
pub use sign::{SignKind, signing_message};
pub use slice::{
    LogSlice, Logged, Proven, RECORD_KIND, ReadSlice, Rejudged, RejudgedSlice, SliceError, Stretch, Touched,
};
pub use token::{Bound, StateSpace, Token, TokenState, TokenTerms, Upgrade, UpgradeTerms};
pub use transition::{Genesis, Operation, OperationKind, Signature, SignedTransition, Transition};
pub use trie::{Compact, PathProof, Relationship, Rule, Trie, relationship_key};
pub use verify::{AdmitError, KeyDirectory, VerifiedEvidence, VerifiedSigner, VerifiedTransition};
