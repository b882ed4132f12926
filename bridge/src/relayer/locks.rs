//! Locks: found by their events, proven by their storage, credited by the ledger or refunded after their deadline.

use super::{LOCKS_PER_TURN, ROWS_PER_TURN, ROWS_REPAIRED, Relayer, Stall};
use crate::dsm::DsmError;
use crate::evm::Header;
use crate::prove::{self, ProveError, Trust};
use crate::state::{LockRow, LockState, Retry, StateError};
use crate::writer::{Request, WriteError};
use dsm_abi::{TokenId, VerifySignature as _};
use dsm_core::{Finality, SignKind, signing_message};
use dsm_crypto::Verifier;
use dsm_evm_proof::{EvmLockProof, QbftHeader, Shown};

impl Relayer {
    pub(super) fn carry_locks(&mut self, now_ms: u64) -> Result<(), Stall> {
        let found = self.discover(now_ms);
        let mut done = self.store.locks_done()?.unwrap_or(0);
        let before = done;
        let rows = self.store.locks(done, ROWS_PER_TURN)?;
        let mut reason = None;
        let mut taken = 0;
        for (nonce, row) in rows {
            let mut is_final = row.state.is_final();
            if !is_final && row.retry.is_due(now_ms) && taken < LOCKS_PER_TURN {
                taken += 1;
                match self.carry_lock(now_ms, nonce, row) {
                    Ok(state) => is_final = state,
                    Err(Stall::State(error)) => return Err(error.into()),
                    Err(stall) => reason = Some(stall),
                }
            }
            if is_final && nonce == done {
                done += 1;
            }
        }
        if done > before {
            self.store.step("locks.before", "locks.after", |step| step.put_locks_done(&done))?;
        }
        found?;
        reason.map_or(Ok(()), Err)
    }

    /// Looks for the events of locks that the contract counts and this service does not know.
    fn discover(&mut self, now_ms: u64) -> Result<(), Stall> {
        let size = self.view()?.outbox_size;
        let mut known = self.store.locks_known()?.unwrap_or(0);
        let before = known;
        let mut looked = 0;
        let mut block = match known.checked_sub(1) {
            Some(last) => self.store.lock(last)?.map_or(self.first_block, |row| row.block),
            None => self.first_block,
        };
        let end = size.min(known.saturating_add(ROWS_PER_TURN as u64));
        let mut silent = None;
        let first = known;
        for nonce in first..end {
            let mut is_known = match self.store.lock(nonce)? {
                Some(row) => {
                    block = row.block;
                    true
                }
                None => false,
            };
            let is_due = self.missing.get(&nonce).is_none_or(|retry| retry.is_due(now_ms));
            if !is_known && is_due && looked < LOCKS_PER_TURN {
                looked += 1;
                // A hint about an earlier lock may have lied about its block: a second look starts at the beginning.
                let from = if self.missing.contains_key(&nonce) { self.first_block } else { block };
                match self.evm.lock_hint(nonce, from)? {
                    Some(hint) => {
                        let row = LockRow {
                            lock: hint.lock,
                            block: hint.block,
                            transaction: hint.transaction,
                            state: LockState::Seen,
                            proof: Vec::new(),
                            retry: Retry::default(),
                        };
                        self.store.step("lock.before", "lock.seen", |step| step.put_lock(nonce, &row))?;
                        self.hints.insert(nonce, hint.source);
                        self.missing.remove(&nonce);
                        block = hint.block;
                        is_known = true;
                    }
                    None => {
                        let retry = self.missing.entry(nonce).or_default();
                        retry.failed(now_ms, "no endpoint tells of it");
                    }
                }
            }
            if !is_known {
                silent.get_or_insert(nonce);
            } else if nonce == known {
                known += 1;
            }
        }
        if known > before {
            self.store.step("known.before", "known.after", |step| step.put_locks_known(&known))?;
        }
        match silent {
            Some(nonce) => Err(Stall::Wait(format!("no endpoint tells of lock {nonce}"))),
            None => Ok(()),
        }
    }

    /// Takes one lock as far as it goes now. Tells whether nothing further happens to it.
    fn carry_lock(&mut self, now_ms: u64, nonce: u64, mut row: LockRow) -> Result<bool, Stall> {
        if self.settled(nonce, &mut row)? {
            return Ok(true);
        }
        if !self.may_write()? {
            return Err(Stall::Wait("the service is stopped".to_owned()));
        }
        let Some(header) = self.head.clone() else {
            return Err(Stall::Wait("there is no believable block".to_owned()));
        };
        if row.state == LockState::Seen {
            match self.prove(&header, nonce, &mut row) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(stall) => return self.failed(now_ms, nonce, row, stall),
            }
        }
        let Some(proof) = EvmLockProof::decode(&row.proof) else {
            return Err(StateError::Damaged { table: "evm_lock" }.into());
        };
        match self.write_lock(now_ms, nonce, &mut row, &proof) {
            Ok(()) => Ok(true),
            Err(Stall::Dsm(DsmError::Refused { code, detail })) => {
                // Somebody else was faster, or the ledger knows better: then the next proof is under a newer block.
                if self.settled(nonce, &mut row)? {
                    return Ok(true);
                }
                row.state = LockState::Seen;
                row.proof = Vec::new();
                self.failed(now_ms, nonce, row, DsmError::Refused { code, detail }.into())
            }
            Err(stall) => self.failed(now_ms, nonce, row, stall),
        }
    }

    /// Whether the ledger has used the lock already; writes it down.
    fn settled(&mut self, nonce: u64, row: &mut LockRow) -> Result<bool, Stall> {
        let Some(used) = self.dsm.lock_use(nonce)? else { return Ok(false) };
        let under = match row.state {
            LockState::Proven { height, hash } => Some((height, hash)),
            LockState::Seen | LockState::Credited { .. } | LockState::Refunded { .. } => None,
        };
        let transition = used.transition;
        row.state = if used.credited {
            LockState::Credited { transition, under }
        } else {
            LockState::Refunded { transition }
        };
        row.retry.cleared();
        self.store.step("lock.settling", "lock.settled", |step| step.put_lock(nonce, row))?;
        self.hints.remove(&nonce);
        Ok(true)
    }

    fn failed(&mut self, now_ms: u64, nonce: u64, mut row: LockRow, stall: Stall) -> Result<bool, Stall> {
        if let Stall::State(error) = stall {
            return Err(error.into());
        }
        row.retry.failed(now_ms, &stall.to_string());
        self.store.step("lock.failing", "lock.failed", |step| step.put_lock(nonce, &row))?;
        Err(stall)
    }

    /// Proves a lock under the newest header. `false`: the hint was a lie, and the lock is looked for again.
    fn prove(&mut self, header: &Header, nonce: u64, row: &mut LockRow) -> Result<bool, Stall> {
        match prove::prove_lock(self.evm.as_ref(), &self.terms, header, &row.lock) {
            Ok(mut proof) => {
                if let Finality::Attested { threshold, .. } = &self.terms.finality {
                    let threshold = usize::from(*threshold);
                    proof.attestations = self.attestors.blocks(&self.terms, header, threshold)?;
                }
                row.proof = proof.encode();
                row.state = LockState::Proven { height: header.number, hash: header.hash };
                self.store.step("lock.proving", "lock.proven", |step| step.put_lock(nonce, row))?;
                self.did("proofs");
                Ok(true)
            }
            // It may stand in a block that is newer than the newest believable one.
            Err(error @ ProveError::Absent { .. }) if row.block > header.number => Err(error.into()),
            Err(error @ (ProveError::OtherLock { .. } | ProveError::Absent { .. })) => {
                if let Some(source) = self.hints.remove(&nonce) {
                    self.evm.distrust(source, &format!("it invented lock {nonce}: {error}"));
                }
                let known = self.store.locks_known()?.unwrap_or(0).min(nonce);
                self.store.step("lock.removing", "lock.removed", |step| {
                    step.remove_lock(nonce)?;
                    step.put_locks_known(&known)
                })?;
                self.missing.entry(nonce).or_default();
                self.did("invented_locks");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has the ledger credit the lock, or refund it once its deadline is over.
    fn write_lock(
        &mut self,
        now_ms: u64,
        nonce: u64,
        row: &mut LockRow,
        proof: &EvmLockProof,
    ) -> Result<(), Stall> {
        let under = match row.state {
            LockState::Proven { height, hash } => Some((height, hash)),
            LockState::Seen | LockState::Credited { .. } | LockState::Refunded { .. } => None,
        };
        let late = now_ms >= proof.lock.deadline_s.saturating_mul(1000);
        let request = if late {
            Request::Refund(proof, self.dsm.wrapped_policy(&TokenId(proof.lock.token))?)
        } else {
            Request::Credit(proof)
        };
        let written = row.clone();
        let outcome = self.writer.carry_out(
            self.dsm.as_ref(),
            &self.store,
            now_ms,
            &request,
            self.bridge,
            move |step, accepted| {
                let mut row = written;
                let transition = accepted.transition;
                row.state = if late {
                    LockState::Refunded { transition }
                } else {
                    LockState::Credited { transition, under }
                };
                row.retry.cleared();
                step.put_lock(nonce, &row)
            },
        );
        match outcome {
            Ok(_) => {
                self.hints.remove(&nonce);
                self.did(if late { "refunds" } else { "credits" });
                Ok(())
            }
            Err(WriteError::State(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// A proof that somebody brought: verified like one's own, then carried on.
    pub(super) fn take_proof(&mut self, now_ms: u64, proof: &EvmLockProof) -> Result<(), Stall> {
        let nonce = proof.lock.nonce;
        let row = match self.store.lock(nonce)? {
            Some(row) if row.state.is_final() => return Ok(()),
            Some(row) if matches!(row.state, LockState::Proven { .. }) => row,
            Some(_) | None => {
                let state =
                    self.dsm.bridge()?.ok_or_else(|| Stall::Wait("the bridge is not open".to_owned()))?;
                let (height, hash) = check_proof(&self.terms, &Trust::of(&state)?, proof, now_ms / 1000)
                    .map_err(|(_, reason)| Stall::Wait(reason))?;
                let row = LockRow {
                    lock: proof.lock,
                    block: height,
                    transaction: [0; 32],
                    state: LockState::Proven { height, hash },
                    proof: proof.encode(),
                    retry: Retry::default(),
                };
                self.store.step("lock.proving", "lock.proven", |step| step.put_lock(nonce, &row))?;
                row
            }
        };
        let mut row = row;
        if self.settled(nonce, &mut row)? {
            return Ok(());
        }
        if !self.may_write()? {
            return Err(Stall::Wait("the service is stopped".to_owned()));
        }
        let proof = EvmLockProof::decode(&row.proof).unwrap_or_else(|| proof.clone());
        match self.write_lock(now_ms, nonce, &mut row, &proof) {
            Ok(()) => Ok(()),
            Err(Stall::Dsm(refused @ DsmError::Refused { .. })) => {
                if self.settled(nonce, &mut row)? {
                    Ok(())
                } else {
                    Err(refused.into())
                }
            }
            Err(stall) => Err(stall),
        }
    }

    /// Compares the newest locks with the ledger: it decides.
    pub(super) fn repair_locks(&mut self, now_ms: u64) -> Result<(), Stall> {
        let done = self.store.locks_done()?.unwrap_or(0);
        for (nonce, mut row) in self.store.locks(done.saturating_sub(ROWS_REPAIRED), ROWS_PER_TURN)? {
            let used = self.dsm.lock_use(nonce)?;
            match (&row.state, used) {
                (state, None) if state.is_final() => {
                    let detail =
                        format!("the ledger does not know that lock {nonce} is {}", row.state.word());
                    row.state = LockState::Seen;
                    row.proof = Vec::new();
                    self.store.step("repair.before", "repair.after", |step| {
                        step.put_lock(nonce, &row)?;
                        step.put_locks_done(&done.min(nonce))?;
                        step.raise(now_ms, "credit_missing", &detail)
                    })?;
                }
                (state, Some(_)) if !state.is_final() => {
                    self.settled(nonce, &mut row)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The block that a proof hangs from, if everything in it can be believed; else the code and the sentence of the first
/// check that failed.
pub(crate) fn check_proof(
    terms: &dsm_core::BridgeConfig,
    trust: &Trust,
    proof: &EvmLockProof,
    now_s: u64,
) -> Result<(u64, [u8; 32]), (&'static str, String)> {
    let (height, hash, state_root) = match trust {
        Trust::Sealed { rules, set } => {
            let bad = |error: dsm_evm_proof::QbftError| (error.code(), error.to_string());
            let header = QbftHeader::decode(&proof.header).map_err(bad)?;
            let sealed = set.verify_header(rules, header, now_s, &prove::Recover).map_err(bad)?;
            (sealed.number(), sealed.block_hash(), sealed.state_root())
        }
        Trust::Attested => {
            let header = dsm_evm_proof::Header::decode(&proof.header);
            let header = header.map_err(|error| (error.code(), error.to_string()))?;
            check_attestations(terms, &header.hash(), &proof.attestations)?;
            (header.number, header.hash(), header.state_root)
        }
    };
    match proof.verify(&state_root, &terms.contract, &terms.outbox_slot, terms.chain_id) {
        Ok(Shown::Present(_)) => Ok((height, hash)),
        Ok(Shown::Absent) => Err(("lock_absent", "the contract has no lock of this number".to_owned())),
        Err(error) => Err((error.code(), error.to_string())),
    }
}

/// Whether enough of the bridge's keys state that a block is final.
fn check_attestations(
    terms: &dsm_core::BridgeConfig,
    hash: &[u8; 32],
    attestations: &[(u8, Vec<u8>)],
) -> Result<(), (&'static str, String)> {
    let Finality::Attested { keys, threshold } = &terms.finality else { return Ok(()) };
    let bad = |reason: &str| ("bad_block_attestation", reason.to_owned());
    let ascending = attestations.is_sorted_by(|(one, _), (next, _)| one < next);
    if !ascending || attestations.len() != usize::from(*threshold) {
        return Err(bad("exactly as many statements as the threshold are needed, in ascending order"));
    }
    let body = dsm_abi::encode(&(terms.id(), *hash));
    for (index, signature) in attestations {
        let key = keys.get(usize::from(*index)).ok_or_else(|| bad("there is no such key"))?;
        let message = signing_message(key.suite, terms.network, SignKind::BridgeBlock, &body);
        Verifier::new()
            .verify_signature(key.suite, &key.bytes, &message, signature)
            .map_err(|_| bad("a statement does not verify"))?;
    }
    Ok(())
}
