//! The newest believable header, what the ledger must learn to believe it too, and blocks that are not what they were.

use super::{Relayer, Stall};
use crate::evm::{EvmError, Header};
use crate::prove::{self, Trust};
use crate::state::{Brakes, HeaderRow, LockState};
use crate::writer::Request;
use dsm_core::limit::HEADERS_MAX;

/// Headers that one turn goes back when the chain was reorganised.
const BACK_MAX: usize = 128;

impl Relayer {
    pub(super) fn look(&mut self, now_ms: u64) -> Result<(), Stall> {
        self.view = None;
        self.head = None;
        let now_s = now_ms / 1000;
        let Some(state) = self.dsm.bridge()? else {
            self.trust = None;
            return self.open_bridge(now_ms);
        };
        self.progress.lock().trusted = Some((state.height, state.validators.len()));
        let trust = Trust::of(&state)?;
        self.trust = Some(trust.clone());
        if state.frozen.is_some() {
            self.freeze(
                now_ms,
                "bridge_frozen",
                "the ledger has frozen the bridge: its validators sealed two chains",
            )?;
        }
        self.check_last(now_ms, &trust)?;
        let (header, advances) = prove::newest(self.evm.as_ref(), &trust, now_s)?;
        if let Some(before) = self.store.header(header.number)?
            && before.hash != header.hash
        {
            return self.other_block(now_ms, &trust, &before, &header);
        }
        if !advances.is_empty() {
            if !self.may_write()? {
                return Err(Stall::Wait(
                    "the trusted set has to move, but the service is stopped".to_owned(),
                ));
            }
            for part in advances.chunks(HEADERS_MAX) {
                let request = Request::Advance(part.to_vec());
                self.writer.carry_out(
                    self.dsm.as_ref(),
                    &self.store,
                    now_ms,
                    &request,
                    self.bridge,
                    |_, _| Ok(()),
                )?;
                self.did("advances");
            }
            let state = self.dsm.bridge()?;
            self.trust = state.map(|state| Trust::of(&state)).transpose()?;
        }
        let known = self.store.header(header.number)?.is_some();
        if !known {
            let row = HeaderRow { height: header.number, hash: header.hash, rlp: header.rlp.clone() };
            self.store.step("head.before", "head.after", |step| {
                step.put_header(row.height, &row)?;
                step.prune_headers()
            })?;
        }
        self.progress.lock().head = Some((header.number, header.hash, header.time_s));
        self.head = Some(header);
        Ok(())
    }

    fn open_bridge(&mut self, now_ms: u64) -> Result<(), Stall> {
        if !self.may_write()? {
            return Err(Stall::Wait("the bridge is not open yet, and the service is stopped".to_owned()));
        }
        let terms = self.terms.clone();
        let request = Request::Open(&terms);
        self.writer.carry_out(
            self.dsm.as_ref(),
            &self.store,
            now_ms,
            &request,
            self.bridge,
            |_, _| Ok(()),
        )?;
        Err(Stall::Wait("the bridge was just opened".to_owned()))
    }

    /// Whether the last header that counted is still part of the chain.
    fn check_last(&mut self, now_ms: u64, trust: &Trust) -> Result<(), Stall> {
        let Some(last) = self.store.newest_headers(1)?.pop() else { return Ok(()) };
        match self.evm.header(last.height) {
            Ok(header) if header.hash == last.hash => Ok(()),
            Ok(header) => self.other_block(now_ms, trust, &last, &header),
            // Where seals decide, whoever does not know the block is merely behind.
            Err(EvmError::NoAnswer(_)) if matches!(trust, Trust::Sealed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Another block at a height that counted already.
    fn other_block(
        &mut self,
        now_ms: u64,
        trust: &Trust,
        before: &HeaderRow,
        header: &Header,
    ) -> Result<(), Stall> {
        match trust {
            Trust::Sealed { .. } => {
                if let Err(reason) = trust.judge(header, now_ms / 1000) {
                    self.evm.distrust(header.source, &format!("block {}: {reason}", header.number));
                    return Err(Stall::Wait("an endpoint shows a block that nobody sealed".to_owned()));
                }
                if self.brakes()?.frozen.is_some() {
                    return Err(Stall::Wait("the trusted validators sealed two chains".to_owned()));
                }
                let pair = (before.rlp.clone(), header.rlp.clone());
                let detail = format!(
                    "the trusted validators sealed two blocks of height {}: {} and {}",
                    before.height,
                    hex::encode(before.hash),
                    hex::encode(header.hash)
                );
                self.store.step("convict.before", "convict.found", |step| {
                    step.put_conviction(&Some(pair))?;
                    let brakes = step.brakes()?;
                    step.put_brakes(&Brakes { frozen: Some(detail.clone()), ..brakes })?;
                    step.raise(now_ms, "equivocation", &detail)
                })?;
                Err(Stall::Wait(detail))
            }
            Trust::Attested => self.roll_back(now_ms),
        }
    }

    /// The chain was reorganised: what was seen in blocks that are gone was not seen. A lock that was credited from
    /// such a block stops everything.
    fn roll_back(&mut self, now_ms: u64) -> Result<(), Stall> {
        let mut fork = None;
        for row in self.store.newest_headers(BACK_MAX)? {
            if self.evm.header(row.height)?.hash == row.hash {
                break;
            }
            fork = Some(row.height);
        }
        let Some(fork) = fork else { return Ok(()) };
        let done = self.store.locks_done()?.unwrap_or(0);
        let mut undone = Vec::new();
        let mut below = None;
        let mut from = 0;
        loop {
            let rows = self.store.locks(from, super::ROWS_PER_TURN)?;
            let Some((last, _)) = rows.last() else { break };
            from = last + 1;
            for (nonce, row) in rows {
                match row.state {
                    LockState::Proven { height, .. } if height >= fork => undone.push((nonce, row)),
                    LockState::Seen if row.block >= fork => undone.push((nonce, row)),
                    LockState::Credited { under: Some((height, _)), .. } if height >= fork => {
                        below = Some(nonce)
                    }
                    _ => {}
                }
            }
        }
        self.store.step("reorg.before", "reorg.after", |step| {
            step.remove_headers_from(fork)?;
            for (nonce, _) in &undone {
                step.remove_lock(*nonce)?;
            }
            let first = undone.first().map(|(nonce, _)| *nonce);
            if let Some(first) = first {
                step.put_locks_known(&first)?;
                step.put_locks_done(&done.min(first))?;
            }
            step.put_outs_done(&0)?;
            if let Some(nonce) = below {
                let detail = format!(
                    "the chain was reorganised from block {fork} on, below lock {nonce}, which is credited"
                );
                let brakes = step.brakes()?;
                step.put_brakes(&Brakes { frozen: Some(detail.clone()), ..brakes })?;
                step.raise(now_ms, "reorg_below_credit", &detail)?;
            }
            Ok(())
        })?;
        self.hints.clear();
        self.did("reorganisations");
        Err(Stall::Wait(format!("the chain was reorganised from block {fork} on")))
    }

    fn freeze(&self, now_ms: u64, code: &str, detail: &str) -> Result<(), Stall> {
        if self.brakes()?.frozen.is_some() {
            return Ok(());
        }
        self.store.step("freeze.before", "freeze.after", |step| {
            let brakes = step.brakes()?;
            step.put_brakes(&Brakes { frozen: Some(detail.to_owned()), ..brakes })?;
            step.raise(now_ms, code, detail)
        })?;
        Ok(())
    }

    /// Hands the ledger what convicts the validators, if that was found. No brake holds this up.
    pub(super) fn convict(&mut self, now_ms: u64) -> Result<(), Stall> {
        let Some(Some((a, b))) = self.store.conviction()? else { return Ok(()) };
        let request = Request::Convict(a, b);
        let handed = self.writer.carry_out(
            self.dsm.as_ref(),
            &self.store,
            now_ms,
            &request,
            self.bridge,
            |step, _| step.put_conviction(&None),
        );
        match handed {
            Ok(_) => {
                self.did("convictions");
                Ok(())
            }
            // Somebody else was faster.
            Err(_) if self.dsm.bridge()?.is_some_and(|state| state.frozen.is_some()) => {
                self.store.step("convict.known", "convict.cleared", |step| step.put_conviction(&None))?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
