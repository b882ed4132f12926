//! The one writer: gives each verified transition its time, asks the policies, applies the rules and moves the
//! heads in memory. Everything it does is in [`Event`]; everything that follows goes to the committer, in order.

use super::adopt::{AdoptReply, Adopted};
use super::committer::Item;
use super::intake::Arrival;
use super::metrics::count;
use super::{Clock, Shared, SubmitError};
use crossbeam_channel::{Receiver, Sender};
use dsm_core::{Applied, OperationKind, Refusal, SignedCheckpoint, VerifiedTransition};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Everything that can happen to the sequencer.
pub(super) enum Event {
    /// A transition whose signatures verified.
    Verified(Box<VerifiedTransition>, Arrival),
    /// Somebody wants a checkpoint now.
    Checkpoint(CheckpointReply),
    /// A storage node has records that this node lacks.
    Adopt(Vec<Adopted>, AdoptReply),
}

/// Where a checkpoint is sent once it is durable; dropped without an answer if the node stops.
pub(super) type CheckpointReply = tokio::sync::oneshot::Sender<SignedCheckpoint>;

impl Event {
    /// Answers that the node has stopped.
    pub(super) fn stopped(self) {
        match self {
            Event::Verified(_, arrival) => arrival.answer(Err(SubmitError::Stopped)),
            Event::Checkpoint(reply) => drop(reply),
            Event::Adopt(_, reply) => drop(reply),
        }
    }
}

/// The sequencer's own state.
pub(super) struct Sequencer {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) committer: Sender<Vec<Item>>,
    /// What goes to the committer when the events in hand are done.
    pub(super) outgoing: Vec<Item>,
    /// Transitions since the last checkpoint.
    pub(super) since_checkpoint: u64,
    pub(super) checkpoint_transitions: u64,
}

impl Sequencer {
    /// Handles events until all senders are gone.
    pub(super) fn run(mut self, events: &Receiver<Vec<Event>>) {
        for together in events {
            for event in together {
                match event {
                    Event::Verified(verified, arrival) => self.transition(*verified, arrival),
                    Event::Checkpoint(reply) => self.checkpoint(Some(reply)),
                    Event::Adopt(records, reply) => self.adopt(records, reply),
                }
            }
            self.hand_over();
        }
    }

    fn transition(&mut self, verified: VerifiedTransition, arrival: Arrival) {
        let start = Instant::now();
        let stale = self.shared.ledger.read().is_stale(&verified).then(|| verified.signed().clone());
        match self.accept(verified) {
            Ok((applied, version)) => {
                self.shared.metrics.sequence.observe(start.elapsed());
                self.send(Item::Accepted { applied: Box::new(applied), version, arrival });
                self.since_checkpoint += 1;
                if self.since_checkpoint >= self.checkpoint_transitions {
                    self.checkpoint(None);
                }
            }
            Err(refusal @ (Refusal::StaleParent { .. } | Refusal::AccountExists(_)))
                if let Some(signed) = stale =>
            {
                self.send(Item::Stale { signed: Box::new(signed), refusal, arrival });
            }
            Err(refusal) => {
                self.count_refusal(&refusal);
                arrival.answer(Err(SubmitError::Refused(refusal)));
            }
        }
    }

    fn accept(&self, verified: VerifiedTransition) -> Result<(Applied, u64), Refusal> {
        let shared = &self.shared;
        let changes = {
            let ledger = shared.ledger.read();
            let time_ms = self.clock.now_ms().max(ledger.time_ms());
            let approved = ledger.judge(verified, time_ms, &mut shared.shelf.judge(&shared.metrics))?;
            ledger.settle(approved)?
        };
        // Between the two locks nobody else writes: this thread is the only writer.
        let mut ledger = shared.ledger.write();
        let applied = ledger.commit(changes);
        let version = shared.version.fetch_add(1, Ordering::Release) + 1;
        drop(ledger);
        let metrics = &shared.metrics;
        for used in &applied.locks {
            count(if used.use_of.credited { &metrics.locks_credited } else { &metrics.locks_refunded });
        }
        metrics.emissions.fetch_add(applied.emitted.len() as u64, Ordering::Relaxed);
        metrics.bridge_moves.fetch_add(applied.bridges.len() as u64, Ordering::Relaxed);
        for operation in &applied.signed.transition.operations {
            metrics.operations.count(&operation.kind);
            if let OperationKind::Publish { policy, .. } = &operation.kind {
                shared.shelf.published(policy);
            }
        }
        Ok((applied, version))
    }

    fn checkpoint(&mut self, reply: Option<CheckpointReply>) {
        if self.since_checkpoint == 0 && self.shared.last_checkpoint.read().is_some() {
            return self.send(Item::LastCheckpoint { reply });
        }
        let (checkpoint, snapshot) = self.shared.ledger.write().checkpoint(None, 0, Default::default());
        self.since_checkpoint = 0;
        self.send(Item::Checkpoint { checkpoint: Box::new(checkpoint), snapshot: Arc::new(snapshot), reply });
    }

    fn count_refusal(&self, refusal: &Refusal) {
        let metrics = &self.shared.metrics;
        match refusal {
            Refusal::Denied { .. } => count(&metrics.denied),
            Refusal::Fault { .. } => count(&metrics.faults),
            Refusal::NoVerdict(_) => count(&metrics.no_verdicts),
            _ => count(&metrics.refused),
        }
    }

    fn send(&mut self, item: Item) {
        self.outgoing.push(item);
    }

    /// The committer ends only after the sequencer, or after a failure.
    fn hand_over(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        if let Err(unsent) = self.committer.send(std::mem::take(&mut self.outgoing)) {
            unsent.into_inner().into_iter().for_each(Item::stopped);
        }
    }
}
