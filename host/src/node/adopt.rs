//! Records of this node's own history that only its storage nodes still have: taken over, believing nothing.
//!
//! A node that finds a storage node ahead of it takes no submissions until it has them. Every signature is verified,
//! every policy run and every head compared, on a copy of the ledger that replaces the ledger only when all of a
//! chunk agreed; then the committer appends the same bytes.

use super::committer::{Adoption, Item, RECORD_KIND, receipt};
use super::history::{decode_entry, index_entry};
use super::sequencer::{Event, Sequencer};
use super::{Node, Shared};
use dsm_abi::Digest;
use dsm_core::{Entry, Ledger, SignedCheckpoint, Snapshot};
use dsm_crypto::Verifier;
use dsm_store::IndexEntry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// A record as a storage node keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adopted {
    /// Its kind.
    pub(crate) kind: u8,
    /// Its bytes.
    pub(crate) payload: Vec<u8>,
    /// The head that it follows.
    pub(crate) after: (u64, Digest),
}

/// Why records are not taken over. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AdoptError {
    /// A record does not follow from this node's history.
    #[error("record {position}: {reason}")]
    Record {
        /// Its position.
        position: u64,
        /// Why.
        reason: String,
    },
    /// The node moved meanwhile, or has stopped.
    #[error("the node has moved or stopped meanwhile")]
    Moved,
}

/// Where the outcome goes.
pub(super) type AdoptReply = oneshot::Sender<Result<(), AdoptError>>;

impl Node {
    /// Takes over records that follow this node's log, and waits until they are durable.
    pub(crate) async fn adopt(&self, records: Vec<Adopted>) -> Result<(), AdoptError> {
        let (reply, answer) = oneshot::channel();
        if !self.0.intake.send(Event::Adopt(records, reply)) {
            return Err(AdoptError::Moved);
        }
        answer.await.unwrap_or(Err(AdoptError::Moved))
    }
}

impl Sequencer {
    /// Checks a chunk of records; all of them move the heads, or none.
    pub(super) fn adopt(&mut self, records: Vec<Adopted>, reply: AdoptReply) {
        let shared = Arc::clone(&self.shared);
        let verifier = shared.shelf.verifier();
        let mut ledger = shared.ledger.read().clone();
        let mut adoptions = Vec::with_capacity(records.len());
        for record in records {
            let position = record.after.0 + 1;
            match follow(&shared, &mut ledger, &verifier, record) {
                Ok(adoption) => adoptions.push(adoption),
                Err(reason) => {
                    // Whoever asked may have gone away.
                    drop(reply.send(Err(AdoptError::Record { position, reason })));
                    return;
                }
            }
        }
        for adoption in &adoptions {
            self.since_checkpoint = if adoption.checkpoint.is_some() { 0 } else { self.since_checkpoint + 1 };
        }
        let mut held = shared.ledger.write();
        ledger.policies().for_each(|record| shared.shelf.published(&record.policy));
        *held = ledger;
        let version = shared.version.fetch_add(1, Ordering::Release) + 1;
        drop(held);
        self.outgoing.push(Item::Adopted { adoptions, version, reply });
    }
}

/// What one record does to the ledger, and what the committer has to know of it.
fn follow(
    shared: &Shared,
    ledger: &mut Ledger,
    verifier: &Verifier,
    record: Adopted,
) -> Result<Adoption, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    if record.kind != RECORD_KIND {
        return Err(format!("kind {}", record.kind));
    }
    let entry = decode_entry(record.after.0 + 1, &record.payload).map_err(|error| text(&error))?;
    let mut adoption = Adoption {
        payload: record.payload,
        after: record.after.0,
        index: IndexEntry::default(),
        checkpoint: None,
        equivocation: None,
    };
    match entry {
        Entry::Genesis(_) => return Err("a second genesis".into()),
        Entry::Accepted(accepted) => {
            let receipt = receipt(accepted.signed.transition.id(), &accepted);
            adoption.index = index_entry(&receipt, &accepted);
            let mut judge = shared.shelf.judge(&shared.metrics);
            ledger.replay_verifying(*accepted, verifier, &mut judge).map_err(|error| text(&error))?;
        }
        Entry::Checkpoint(signed) => {
            let snapshot = check(shared, ledger, verifier, &signed, record.after)?;
            adoption.checkpoint = Some((signed, Arc::new(snapshot)));
        }
        Entry::Equivocation(proof) => {
            proof.verify(verifier).map_err(|error| text(&error))?;
            adoption.equivocation = Some((proof.account(), proof.state()));
        }
    }
    Ok(adoption)
}

/// This node's own signature over this place and these roots: it was signed here and nowhere else.
fn check(
    shared: &Shared,
    ledger: &mut Ledger,
    verifier: &Verifier,
    signed: &SignedCheckpoint,
    after: (u64, Digest),
) -> Result<Snapshot, String> {
    let found = signed.verify(&shared.genesis.node, verifier).map_err(|error| error.to_string())?;
    let (roots, snapshot) = ledger.checkpoint(None, after.0, after.1);
    let same = (found.log_position, found.log_digest) == after
        && found.network == roots.network
        && found.accounts_root == roots.accounts_root
        && found.tokens_root == roots.tokens_root
        && found.credits_root == roots.credits_root
        && found.to_ms == roots.to_ms;
    if same { Ok(snapshot) } else { Err("the checkpoint does not agree".into()) }
}
