//! DSM's outbox: its leaves, the checkpoints that attestors put their names to, and the releases under them.

use super::{LEAVES_PER_TURN, ROWS_PER_TURN, ROWS_REPAIRED, Relayer, Stall};
use crate::attest::AttestationRequest;
use crate::contract;
use crate::evm::{ContractView, EvmError, Spent};
use crate::state::{OutRow, OutState, Purpose, Retry};
use dsm_core::SignedCheckpoint;
use dsm_crypto::Verifier;
use dsm_evm_proof::{Checkpoint, Payload};

/// A root that is not DSM's is an alarm once it was seen so often in a row: endpoints lie, contracts do not.
const ROOT_DOUBTS_MAX: u32 = 3;

impl Relayer {
    pub(super) fn carry_outbox(&mut self, now_ms: u64) -> Result<(), Stall> {
        self.outbox.follow(None)?;
        let view = self.view()?;
        let handed = self.hand_in_checkpoint(now_ms, &view);
        let released = self.carry_leaves(now_ms, &view);
        if let Err(Stall::State(error)) = handed {
            return Err(error.into());
        }
        released?;
        handed
    }

    /// DSM's newest checkpoint, with the signature of the network's own key.
    fn checkpoint(&mut self) -> Result<Option<SignedCheckpoint>, Stall> {
        let Some(signed) = self.dsm.checkpoint()? else { return Ok(None) };
        let key = match &self.node_key {
            Some(key) => key.clone(),
            None => self.node_key.insert(self.dsm.node_key()?).clone(),
        };
        let is_sound =
            signed.checkpoint.network == self.terms.network && signed.verify(&key, &Verifier::new()).is_ok();
        if !is_sound {
            return Err(Stall::Wait(
                "the core node's checkpoint has no signature of the network's key".to_owned(),
            ));
        }
        let checkpoint = &signed.checkpoint;
        self.progress.lock().checkpoint = Some((checkpoint.epoch, checkpoint.outbox_size));
        Ok(Some(signed))
    }

    /// Has attestors sign a checkpoint that covers leaves which the contract does not know, and hands it in.
    fn hand_in_checkpoint(&mut self, now_ms: u64, view: &ContractView) -> Result<(), Stall> {
        let Some(signed) = self.checkpoint()? else { return self.ask_for_checkpoint(now_ms, 0) };
        let newest = &signed.checkpoint;
        let is_new = newest.epoch > view.epoch && newest.outbox_size > view.size;
        if !is_new || !self.has_leaves(view.size, newest.outbox_size)? {
            return self.ask_for_checkpoint(now_ms, newest.outbox_size.max(view.size));
        }
        let purpose = Purpose::Checkpoint { epoch: newest.epoch };
        if !self.may_write()? || self.is_queued(&purpose)? || !self.checkpoint_retry.is_due(now_ms) {
            return Ok(());
        }
        let outcome =
            self.attested(view, &signed).and_then(|calls| self.first_accepted(now_ms, &purpose, calls));
        match outcome {
            Ok(()) => {
                self.checkpoint_retry.cleared();
                self.did("checkpoints");
                Ok(())
            }
            Err(Stall::State(error)) => Err(error.into()),
            Err(stall) => {
                self.checkpoint_retry.failed(now_ms, &stall.to_string());
                Err(stall)
            }
        }
    }

    /// Leaves above `size` need a checkpoint: the core node takes one by itself from time to time, or when asked.
    fn ask_for_checkpoint(&mut self, now_ms: u64, size: u64) -> Result<(), Stall> {
        let end = self.outbox.tree().size();
        if !self.checkpoint_retry.is_due(now_ms) || !self.has_leaves(size, end)? {
            return Ok(());
        }
        self.checkpoint_retry.failed(now_ms, "no checkpoint covers the newest leaves");
        match self.dsm.take_checkpoint() {
            Ok(()) => {
                self.checkpoint_retry.cleared();
                Ok(())
            }
            // It takes one by itself when its time comes.
            Err(crate::dsm::DsmError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether one of the leaves is for this contract.
    fn has_leaves(&self, from: u64, to: u64) -> Result<bool, Stall> {
        let mut from = from;
        while from < to {
            let rows = self.store.outs(from, ROWS_PER_TURN)?;
            let Some((last, _)) = rows.last() else { return Ok(false) };
            from = last + 1;
            if rows.iter().any(|(index, row)| *index < to && row.state != OutState::Elsewhere) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The calls that hand the checkpoint in, with the signatures of different attestors.
    fn attested(&self, view: &ContractView, signed: &SignedCheckpoint) -> Result<Vec<Vec<u8>>, Stall> {
        let newest = &signed.checkpoint;
        let checkpoint = Checkpoint {
            epoch: newest.epoch,
            size: newest.outbox_size,
            root: newest.outbox_root.0,
            set_id: view.set_id,
            network: self.terms.network.0,
            position: newest.log_position,
        };
        let digest = checkpoint.digest(self.terms.chain_id, &self.terms.contract);
        let request = AttestationRequest { checkpoint: signed.clone(), set_id: view.set_id };
        let (records, refusals) = self.attestors.checkpoint(&request, &digest);
        let needed = usize::from(view.threshold);
        if needed == 0 || records.len() < needed {
            let reasons = refusals.join("; ");
            return Err(Stall::Wait(format!("{} of {needed} attestors signed: {reasons}", records.len())));
        }
        // More than needed: one whose signature the contract does not take must not hold the others up.
        let choices = if records.len() == needed { 1 } else { records.len() };
        let mut calls = Vec::new();
        for start in 0..choices {
            let mut chosen: Vec<_> = records.iter().cycle().skip(start).take(needed).collect();
            chosen.sort_by_key(|record| record.first().copied());
            let attestation: Vec<u8> = chosen.into_iter().flatten().copied().collect();
            calls.push(contract::submit_checkpoint(&checkpoint, &attestation));
        }
        Ok(calls)
    }

    fn first_accepted(&mut self, now_ms: u64, purpose: &Purpose, calls: Vec<Vec<u8>>) -> Result<(), Stall> {
        let mut last = Stall::Wait("no call".to_owned());
        for call in calls {
            match self.enqueue(now_ms, purpose.clone(), call) {
                Err(Stall::Evm(EvmError::Reverted(reason))) => {
                    last = EvmError::Reverted(contract::explain(&reason)).into();
                }
                other => return other,
            }
        }
        Err(last)
    }

    /// Takes leaves that are under a root of the contract's as far as they go.
    fn carry_leaves(&mut self, now_ms: u64, view: &ContractView) -> Result<(), Stall> {
        let mut done = self.store.outs_done()?.unwrap_or(0);
        let before = done;
        let mut reason = None;
        let mut taken = 0;
        for (index, row) in self.store.outs(done, ROWS_PER_TURN)? {
            let mut is_final = row.state.is_final();
            let is_due = index < view.size && row.retry.is_due(now_ms);
            if !is_final && is_due && taken < LEAVES_PER_TURN {
                taken += 1;
                match self.carry_leaf(now_ms, view, index, row) {
                    Ok(state) => is_final = state,
                    Err(Stall::State(error)) => return Err(error.into()),
                    Err(stall) => reason = Some(stall),
                }
            }
            if is_final && index == done {
                done += 1;
            }
        }
        if done > before {
            self.store.step("outs.before", "outs.after", |step| step.put_outs_done(&done))?;
        }
        reason.map_or(Ok(()), Err)
    }

    fn carry_leaf(
        &mut self,
        now_ms: u64,
        view: &ContractView,
        index: u64,
        mut row: OutRow,
    ) -> Result<bool, Stall> {
        let state = match self.evm.spent(index)? {
            Spent::Yes => OutState::Released,
            Spent::Queued { ready_s } => OutState::Queued { ready_s },
            Spent::No => OutState::Checkpointed,
        };
        if state != row.state {
            row.state = state;
            row.retry = if state == OutState::Released { Retry::default() } else { row.retry };
            self.store.step("leaf.before", "leaf.after", |step| step.put_out(index, &row))?;
            if state == OutState::Released {
                self.did("releases");
            }
        }
        if state == OutState::Released {
            return Ok(true);
        }
        if !self.release || !self.may_write()? {
            return Ok(false);
        }
        match self.release_leaf(now_ms, view, index, &row) {
            Ok(()) => Ok(false),
            Err(Stall::State(error)) => Err(error.into()),
            Err(stall) => {
                let stall = match stall {
                    Stall::Evm(EvmError::Reverted(reason)) => {
                        EvmError::Reverted(contract::explain(&reason)).into()
                    }
                    other => other,
                };
                row.retry.failed(now_ms, &stall.to_string());
                self.store.step("leaf.failing", "leaf.failed", |step| step.put_out(index, &row))?;
                Err(stall)
            }
        }
    }

    fn release_leaf(
        &mut self,
        now_ms: u64,
        view: &ContractView,
        index: u64,
        row: &OutRow,
    ) -> Result<(), Stall> {
        if self.is_queued(&Purpose::Release { index })? {
            return Ok(());
        }
        if view.withdrawals_paused {
            return Err(Stall::Wait("the contract's guardian has paused releases".to_owned()));
        }
        if let OutState::Queued { ready_s } = row.state {
            let is_ready = self.head.as_ref().is_some_and(|head| head.time_s >= ready_s);
            if is_ready {
                let call = contract::execute_queued(index);
                return self.enqueue(now_ms, Purpose::Execute { index }, call);
            }
            return Ok(());
        }
        let proof = self.inclusion(now_ms, view, index)?;
        match Payload::decode(&row.entry.payload) {
            Ok(Payload::Release(payment)) => {
                let call = contract::release(&row.entry, &payment, &proof, view.epoch);
                self.enqueue(now_ms, Purpose::Release { index }, call)
            }
            Ok(Payload::Refund(refund)) => {
                let lock = self.store.lock(refund.nonce)?;
                let lock = lock.ok_or_else(|| Stall::Wait(format!("lock {} is not known", refund.nonce)))?;
                let call = contract::refund(&row.entry, &lock.lock, &proof, view.epoch);
                self.enqueue(now_ms, Purpose::Refund { index }, call)
            }
            Err(error) => Err(Stall::Wait(error.to_string())),
        }
    }

    /// The siblings of a leaf under the contract's root, which has to be DSM's own.
    fn inclusion(&mut self, now_ms: u64, view: &ContractView, index: u64) -> Result<Vec<[u8; 32]>, Stall> {
        let tree = self.outbox.tree();
        let wait = |error: dsm_evm_proof::OutboxError| Stall::Wait(error.to_string());
        if tree.root(view.size).map_err(wait)? == view.root {
            self.root_doubts = 0;
            return tree.prove_inclusion(index, view.size).map_err(wait);
        }
        drop(tree);
        self.root_doubts += 1;
        let detail = format!(
            "the contract's root of epoch {} over {} leaves is not DSM's: either an endpoint lies, or the attestors did",
            view.epoch, view.size
        );
        if self.root_doubts == ROOT_DOUBTS_MAX {
            self.store
                .step("doubt.before", "doubt.after", |step| step.raise(now_ms, "foreign_root", &detail))?;
        }
        Err(Stall::Wait(detail))
    }

    /// Compares the newest leaves with the contract: it decides.
    pub(super) fn repair_leaves(&mut self) -> Result<(), Stall> {
        let done = self.store.outs_done()?.unwrap_or(0);
        for (index, mut row) in self.store.outs(done.saturating_sub(ROWS_REPAIRED), ROWS_PER_TURN)? {
            if row.state == OutState::Released && self.evm.spent(index)? == Spent::No {
                row.state = OutState::Checkpointed;
                self.store.step("repair.before", "repair.after", |step| {
                    step.put_out(index, &row)?;
                    step.put_outs_done(&done.min(index))
                })?;
            }
        }
        Ok(())
    }
}
