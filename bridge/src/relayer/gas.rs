//! Transactions of the gas account: one nonce after another, each version's hash kept, fees raised until one is mined.
//!
//! A row is durable before its transaction is sent, so a crash in between sends the same bytes again. Any hash that a
//! row ever had may be the one that was mined. The contract makes each call's effect happen once, whoever sends it.

use super::{Relayer, Stall};
use crate::evm::{Address, Call, EvmError, Fees};
use crate::state::{Purpose, TxRow};
use crate::tx::{self, Unsigned};
use dsm_crypto::Secp256k1Key;

/// Transactions under way at once.
const QUEUE_MAX: usize = 16;
/// A queue is read whole.
const QUEUE_ROWS_MAX: usize = 256;
/// Versions of one transaction.
const VERSIONS_MAX: usize = 64;

/// The account that pays for gas.
pub(crate) struct Gas {
    pub(crate) key: Secp256k1Key,
    pub(crate) chain_id: u64,
    /// Wei for a unit of gas at most.
    pub(crate) price_max: u128,
    /// A transaction that is not mined for so long gets a higher fee.
    pub(crate) bump_after_ms: u64,
}

impl Gas {
    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    fn sign(&self, row: &mut TxRow) {
        let unsigned = Unsigned {
            chain_id: self.chain_id,
            nonce: row.nonce,
            fees: Fees { max: row.fee, tip: row.tip },
            gas: row.gas,
            to: Some(row.to),
            value: 0,
            data: row.data.clone(),
        };
        let signed = tx::sign(&self.key, &unsigned);
        row.raw = signed.raw;
        row.hashes.push(signed.hash);
    }

    fn fits(&self, fees: Fees) -> Result<Fees, Stall> {
        if fees.max <= self.price_max {
            return Ok(fees);
        }
        let (found, max) = (fees.max, self.price_max);
        Err(Stall::Wait(format!("gas costs {found} wei, and at most {max} may be paid")))
    }
}

impl Relayer {
    /// Whether a transaction for this purpose is under way.
    pub(super) fn is_queued(&self, purpose: &Purpose) -> Result<bool, Stall> {
        let rows = self.store.queue(0, QUEUE_ROWS_MAX)?;
        Ok(rows.iter().any(|(_, row)| match (&row.purpose, purpose) {
            (Purpose::Checkpoint { .. }, Purpose::Checkpoint { .. }) => true,
            (one, other) => one.index().is_some() && one.index() == other.index(),
        }))
    }

    /// Queues a call and sends it.
    pub(super) fn enqueue(&mut self, now_ms: u64, purpose: Purpose, data: Vec<u8>) -> Result<(), Stall> {
        let rows = self.store.queue(0, QUEUE_ROWS_MAX)?;
        if rows.len() >= QUEUE_MAX {
            return Err(Stall::Wait(format!("{QUEUE_MAX} transactions are under way")));
        }
        let (from, to) = (self.gas.address(), self.terms.contract);
        let gas = self.evm.estimate(from, &Call { to, data: data.clone() })?;
        let fees = self.gas.fits(self.evm.fees()?)?;
        let mined = self.evm.account_nonce(from)?;
        let nonce = rows.last().map_or(mined, |(last, _)| mined.max(last + 1));
        let mut row = TxRow {
            nonce,
            purpose,
            to,
            data,
            // What the estimate saw may change by the block in which it is mined.
            gas: gas.saturating_add(gas / 4),
            fee: fees.max,
            tip: fees.tip,
            raw: Vec::new(),
            hashes: Vec::new(),
            sent_ms: now_ms,
        };
        self.gas.sign(&mut row);
        self.store.step("tx.before", "tx.queued", |step| step.put_queued(nonce, &row))?;
        self.send(&row)?;
        self.store.reach("tx.sent")?;
        self.did("transactions");
        Ok(())
    }

    fn send(&mut self, row: &TxRow) -> Result<(), Stall> {
        match self.evm.send(&row.raw) {
            // "Known already" and "nonce too low" say that it, or another version, is there: receipts tell which.
            Ok(()) | Err(EvmError::NotTaken(_)) => {
                self.sent.insert(row.nonce);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Looks after the transactions under way.
    pub(super) fn drive_queue(&mut self, now_ms: u64) -> Result<(), Stall> {
        let rows = self.store.queue(0, QUEUE_ROWS_MAX)?;
        let Some((first, _)) = rows.first() else { return Ok(()) };
        let mined = self.evm.account_nonce(self.gas.address())?;
        let gap = *first > mined;
        let mut reason = None;
        for (nonce, row) in rows {
            let waited = now_ms.saturating_sub(row.sent_ms) >= self.gas.bump_after_ms;
            let outcome = if nonce < mined {
                self.resolve(now_ms, row, waited)
            } else if !self.sent.contains(&nonce) {
                // Queued before the last start: the same bytes once more.
                self.send(&row)
            } else if waited && gap {
                self.fill_gap(now_ms, row, mined)
            } else if waited {
                self.bump(now_ms, row)
            } else {
                Ok(())
            };
            match outcome {
                Ok(()) => {}
                Err(Stall::State(error)) => return Err(error.into()),
                Err(stall) => reason = Some(stall),
            }
        }
        reason.map_or(Ok(()), Err)
    }

    /// A transaction whose nonce is used: one of its versions was mined, or somebody else used the key.
    fn resolve(&mut self, now_ms: u64, row: TxRow, waited: bool) -> Result<(), Stall> {
        let mut receipt = None;
        for hash in row.hashes.iter().rev() {
            if let Some(found) = self.evm.receipt(*hash)? {
                receipt = Some(found);
                break;
            }
        }
        if receipt.is_none() && !waited {
            return Err(Stall::Wait(format!("nonce {} is used, and no receipt tells by what", row.nonce)));
        }
        let failed = match &receipt {
            Some(receipt) if receipt.success => None,
            Some(_) => Some("the transaction was reverted".to_owned()),
            None => Some("another transaction used the nonce".to_owned()),
        };
        let index = row.purpose.index();
        let leaf = index.map(|index| self.store.out(index)).transpose()?.flatten();
        self.store.step("tx.resolving", "tx.done", |step| {
            step.remove_queued(row.nonce)?;
            if let (Some(index), Some(mut leaf), Some(reason)) = (index, leaf, &failed) {
                leaf.retry.failed(now_ms, reason);
                step.put_out(index, &leaf)?;
            }
            if receipt.is_none() {
                let detail =
                    format!("nonce {} of the gas account was used by another transaction", row.nonce);
                step.raise(now_ms, "foreign_nonce", &detail)?;
            }
            Ok(())
        })?;
        self.sent.remove(&row.nonce);
        if failed.is_some() && index.is_none() {
            self.checkpoint_retry.failed(now_ms, "the transaction failed");
        }
        self.did(if failed.is_some() { "transactions_failed" } else { "transactions_mined" });
        Ok(())
    }

    /// Offers more for a transaction that nobody mines.
    fn bump(&mut self, now_ms: u64, mut row: TxRow) -> Result<(), Stall> {
        if row.hashes.len() >= VERSIONS_MAX {
            return Err(Stall::Wait(format!("nonce {} has had {VERSIONS_MAX} versions", row.nonce)));
        }
        let fees = self.evm.fees()?;
        let max = tx::bumped(row.fee, fees.max);
        let tip = row.tip.map(|tip| tx::bumped(tip, fees.tip.unwrap_or(0)).min(max));
        let fees = self.gas.fits(Fees { max, tip })?;
        (row.fee, row.tip, row.sent_ms) = (fees.max, fees.tip, now_ms);
        self.gas.sign(&mut row);
        self.store.step("tx.bumping", "tx.bumped", |step| step.put_queued(row.nonce, &row))?;
        self.send(&row)?;
        self.did("fee_bumps");
        Ok(())
    }

    /// A transaction that waits behind a nonce that nobody fills takes that nonce itself.
    fn fill_gap(&mut self, now_ms: u64, mut row: TxRow, mined: u64) -> Result<(), Stall> {
        let before = row.nonce;
        if before == mined || self.store.queued(mined)?.is_some() {
            return Ok(());
        }
        row.nonce = mined;
        row.hashes.clear();
        row.sent_ms = now_ms;
        self.gas.sign(&mut row);
        self.store.step("tx.moving", "tx.moved", |step| {
            step.remove_queued(before)?;
            step.put_queued(mined, &row)
        })?;
        self.sent.remove(&before);
        self.send(&row)
    }
}
