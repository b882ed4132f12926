//! One token on both sides of a bridge to an EVM chain.
//!
//! *Home 0*: the asset on the EVM is the original. Units exist here for what the bridge's contract holds there, and
//! for nothing else: they are credited for proven locks and withdrawn by burning them into the outbox. *Home 1*: the
//! units here are the original. The issuer issues them within the token's cap; those that were withdrawn are counted
//! as outside, where the contract mints wrapped units for them, and never more than these come back.
//!
//! A lock that nobody credited by its deadline is paid back over there: its proof lets this policy emit a refund, and
//! one record for each lock's number makes credit and refund exclude each other. A plain burn is refused, because
//! the other side would stay locked for ever.
#![no_std]
extern crate alloc;

use alloc::vec::Vec;
use dsm_policy::{
    Action, BorshDeserialize, BorshSerialize, Burn, Claim, Context, Denials, Deny, Digest, Execute, Fields,
    Key, Lock, Mint, NewHold, Outcome, Params, Release, State, Transfer, View, borsh, ensure, lane, math,
    policy, text,
};

#[cfg(not(target_arch = "wasm32"))]
mod cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::cases;

/// The terms of one wrapped token.
#[derive(Debug, Clone, Params)]
pub struct Wrapped {
    /// The bridge whose proofs count.
    pub bridge: Digest,
    /// 0: the asset on the EVM is the original; 1: this token is.
    pub home: u64,
    /// The ERC-20 on the EVM, 20 bytes; zero for the native coin, and for home 1.
    pub asset: Vec<u8>,
    /// The EVM chain.
    pub chain_id: u64,
    /// The bridge's contract there, 20 bytes.
    pub contract: Vec<u8>,
}

/// Why this policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Denials)]
pub enum Denied {
    /// No lock that came with the transition proves these units.
    NoProof = 100,
    /// The lock belongs to another bridge, chain, contract, token or asset.
    OtherLock = 101,
    /// The lock was credited or refunded before.
    LockUsed = 102,
    /// The lock's deadline has passed: it can only be refunded.
    PastDeadline = 103,
    /// The lock's deadline has not passed: it can only be credited.
    NotDue = 104,
    /// Several locks prove equal units: call `credit` for each.
    Ambiguous = 105,
    /// Units are burned by `withdraw` alone, which releases what they stand for.
    PlainBurn = 106,
    /// Only the issuer issues units of a token whose home is here.
    NotIssuer = 107,
    /// More units would exist, here and outside, than the token's cap allows.
    OverCap = 108,
    /// More units would come back than are outside.
    ReturnExceedsOutside = 109,
    /// The receiving address is not 20 bytes, or zero, or the bridge's contract itself.
    BadAddress = 110,
    /// The amount is zero.
    ZeroAmount = 111,
    /// The terms need home 0 or 1, a chain, a contract of 20 bytes, and an asset of 20 bytes, zero for home 1.
    BadTerms = 112,
}

/// What became of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "borsh")]
pub struct Used {
    /// Whether it was credited; otherwise it was refunded.
    pub credited: bool,
    /// Base units.
    pub amount: u128,
}

/// Base units of a home 1 token that are outside.
pub(crate) const OUTSIDE: [u8; 1] = [b'o'];
/// keccak-256 of `DSM/release/1`.
const RELEASE_TAG: [u8; 32] = [
    0xda, 0x9f, 0x72, 0xdc, 0x6a, 0x5e, 0x63, 0xd8, 0x65, 0xa2, 0xb2, 0x3c, 0xff, 0x99, 0x9f, 0xcd, 0x58,
    0x1e, 0x06, 0xa7, 0xda, 0x88, 0x01, 0x68, 0x24, 0x6e, 0x60, 0xf7, 0x86, 0x8b, 0x3c, 0xb8,
];
/// keccak-256 of `DSM/refund/1`.
const REFUND_TAG: [u8; 32] = [
    0x2e, 0x21, 0x4e, 0xcf, 0x77, 0xec, 0xc8, 0x3e, 0x89, 0x15, 0x26, 0x50, 0xca, 0x66, 0x7f, 0x86, 0xbf,
    0xa2, 0x39, 0x47, 0xf4, 0xf7, 0x14, 0xeb, 0x58, 0x2d, 0x2b, 0x53, 0x7d, 0x2b, 0x2a, 0xba,
];
/// Kinds of locks and releases, as the contract counts them.
const NATIVE: u8 = 1;
const ERC20: u8 = 2;
const WRAPPED: u8 = 3;

pub(crate) fn lock_key(nonce: u64) -> Key {
    Key::new(b'l').number(nonce)
}

#[policy(
    name = "wrapped",
    summary = "One token on both sides of a bridge: credited for proven locks, withdrawn by releases.",
    denials = Denied,
    evidence = [BridgeProof]
)]
impl Wrapped {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        let asset = self.asset.len() == 20 && (self.home == 0 || self.asset.iter().all(|byte| *byte == 0));
        let contract = self.contract.len() == 20 && self.contract.iter().any(|byte| *byte != 0);
        ensure(self.home <= 1 && self.chain_id != 0 && asset && contract, Denied::BadTerms)
    }

    /// New units: for a lock that came with the transition or, where the home is here, by the issuer.
    fn mint(&self, context: &mut Context<'_>, mint: Mint) -> Outcome {
        let token = context.token().id;
        let mut locks = context
            .locks()
            .filter(|lock| lock.token == token && lock.recipient == mint.to && lock.amount == mint.amount);
        match (locks.next(), locks.next()) {
            (Some(lock), None) => self.take(context, &lock, true),
            (Some(_), Some(_)) => {
                Err(Denied::Ambiguous.field("amount").hint("call `credit` with the number of each lock"))
            }
            (None, _) if self.home == 1 => self.issue(context),
            (None, _) => Err(no_proof("amount")),
        }
    }

    fn burn(&self, _: &mut Context<'_>, _: Burn) -> Outcome {
        Err(Denied::PlainBurn.field("amount").hint("call `withdraw` with an address on the EVM"))
    }

    fn transfer(&self, _: &mut Context<'_>, _: Transfer) -> Outcome {
        Ok(())
    }

    fn claim(&self, _: &mut Context<'_>, _: Claim) -> Outcome {
        Ok(())
    }

    fn hold(&self, _: &mut Context<'_>, _: NewHold) -> Outcome {
        Ok(())
    }

    fn release(&self, _: &mut Context<'_>, _: Release) -> Outcome {
        Ok(())
    }

    fn execute(&self, _: &mut Context<'_>, _: Execute) -> Outcome {
        Ok(())
    }

    /// Credits the lock of this number, whose proof came with the transition, to its recipient. Anybody may call it.
    #[method]
    fn credit(&self, context: &mut Context<'_>, nonce: u64) -> Outcome {
        let lock = self.proven(context, nonce)?;
        self.take(context, &lock, true)?;
        context.request_mint(lock.recipient, lock.amount);
        Ok(())
    }

    /// Burns units of the caller and releases what they stand for to an address on the EVM.
    #[method]
    fn withdraw(&self, context: &mut Context<'_>, to: Vec<u8>, amount: u128) -> Outcome {
        let real = to.len() == 20 && to.iter().any(|byte| *byte != 0) && to != self.contract;
        let hint = "20 bytes, and neither zero nor the bridge's contract";
        ensure(real, Denied::BadAddress.field("to").hint(hint))?;
        ensure(amount > 0, Denied::ZeroAmount.field("amount"))?;
        if self.home == 1 {
            let outside = math::add(outside(&context.state()), amount)?;
            context.set(OUTSIDE, &outside);
        }
        context.request_burn(context.actor(), amount);
        context.emit(lane::EVM, &self.release_payload(&to, amount));
        Ok(())
    }

    /// Pays the lock of this number back on the EVM: its proof came with the transition and its deadline has passed.
    /// Anybody may call it.
    #[method]
    fn refund(&self, context: &mut Context<'_>, nonce: u64) -> Outcome {
        let lock = self.proven(context, nonce)?;
        self.take(context, &lock, false)?;
        context.emit(lane::EVM, &self.refund_payload(&lock));
        Ok(())
    }

    /// What became of the lock of this number here: unknown, credited or refunded, and its amount.
    #[query]
    fn credited(&self, view: &View<'_>, nonce: u64) -> Fields {
        let used: Option<Used> = view.state().get(lock_key(nonce));
        let word = match used {
            None => "unknown",
            Some(used) if used.credited => "credited",
            Some(_) => "refunded",
        };
        let amount = used.map_or(0, |used| used.amount);
        Fields::new().with("lock", alloc::string::String::from(word)).with("amount", amount)
    }

    /// Base units that were withdrawn and may come back; always 0 where the home is on the EVM.
    #[query]
    fn outside(&self, view: &View<'_>) -> Fields {
        Fields::new().with("outside", outside(&view.state()))
    }

    /// The lock of this number that came with the transition.
    fn proven(&self, context: &Context<'_>, nonce: u64) -> Result<Lock, Deny> {
        let bridge = self.bridge;
        let mut locks = context.locks().filter(|lock| lock.nonce == nonce && lock.bridge.0 == bridge.0);
        locks.next().ok_or_else(|| no_proof("nonce"))
    }

    /// Uses up a lock of this token, for its credit or for its refund.
    fn take(&self, context: &mut Context<'_>, lock: &Lock, credited: bool) -> Outcome {
        let kind = match (self.home, lock.asset == [0; 20]) {
            (0, true) => NATIVE,
            (0, false) => ERC20,
            (_, _) => WRAPPED,
        };
        let own = lock.bridge.0 == self.bridge.0
            && lock.chain_id == self.chain_id
            && lock.contract == *self.contract
            && lock.token == context.token().id
            && lock.kind == kind
            && (self.home == 1 || lock.asset == *self.asset);
        ensure(own, Denied::OtherLock.field("evidence"))?;
        if context.state().has(lock_key(lock.nonce)) {
            let reason = text!["lock ", lock.nonce, " was credited or refunded before"];
            return Err(Denied::LockUsed.because(reason).field("evidence").hint("ask `credited`"));
        }
        let past = context.time_ms() >= lock.deadline_ms;
        if credited && past {
            let reason = text!["the deadline was ", lock.deadline_ms, ", now is ", context.time_ms()];
            return Err(Denied::PastDeadline.because(reason).field("evidence").hint("call `refund`"));
        }
        if !credited && !past {
            let reason = text!["the deadline is ", lock.deadline_ms, ", now is ", context.time_ms()];
            return Err(Denied::NotDue.because(reason).field("evidence").hint("call `credit`"));
        }
        if credited && self.home == 1 {
            let outside = outside(&context.state());
            let Some(left) = outside.checked_sub(lock.amount) else {
                let reason = text![lock.amount, " units would come back, ", outside, " are outside"];
                return Err(Denied::ReturnExceedsOutside.because(reason).field("evidence"));
            };
            context.set(OUTSIDE, &left);
        }
        context.set(lock_key(lock.nonce), &Used { credited, amount: lock.amount });
        Ok(())
    }

    /// New units of a token whose home is here. What is outside counts against the cap, because it may come back.
    fn issue(&self, context: &Context<'_>) -> Outcome {
        let token = context.token();
        let hint = "mint as the issuer, or bring the proof of a lock";
        ensure(context.actor() == token.issuer, Denied::NotIssuer.field("actor").hint(hint))?;
        let Some(cap) = token.cap else { return Ok(()) };
        let mints = context.legs().iter().filter(|leg| leg.token == token.id);
        let mut units = math::add(token.supply, outside(&context.state()))?;
        for leg in mints {
            if let Action::Mint { amount, .. } = leg.action {
                units = math::add(units, amount)?;
            }
        }
        if units > cap {
            let reason = text![units, " units would exist here and outside, the cap is ", cap];
            return Err(Denied::OverCap.because(reason).field("amount"));
        }
        Ok(())
    }

    fn release_payload(&self, to: &[u8], amount: u128) -> Vec<u8> {
        let native = self.asset.iter().all(|byte| *byte == 0);
        let kind = match (self.home, native) {
            (0, true) => NATIVE,
            (0, false) => ERC20,
            (_, _) => WRAPPED,
        };
        let mut payload = Words::new(&RELEASE_TAG, self.chain_id, &self.contract);
        payload.right(&[kind]);
        payload.right(&self.asset);
        payload.right(to);
        payload.right(&amount.to_be_bytes());
        payload.0
    }

    fn refund_payload(&self, lock: &Lock) -> Vec<u8> {
        let mut payload = Words::new(&REFUND_TAG, self.chain_id, &self.contract);
        payload.right(&lock.nonce.to_be_bytes());
        payload.right(&lock.commitment.0);
        payload.0
    }
}

/// Words of 32 bytes, as `abi.encode` writes static values.
struct Words(Vec<u8>);

impl Words {
    fn new(tag: &[u8; 32], chain_id: u64, contract: &[u8]) -> Words {
        let mut words = Words(Vec::with_capacity(7 * 32));
        words.right(tag);
        words.right(&chain_id.to_be_bytes());
        words.right(contract);
        words
    }

    /// One word: zeros, then the value.
    fn right(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&[0; 32][value.len()..]);
        self.0.extend_from_slice(value);
    }
}

fn no_proof(field: &str) -> Deny {
    Denied::NoProof.field(field).hint("bring the proof of a lock with this token, recipient and amount")
}

fn outside(state: &State<'_>) -> u128 {
    state.get(OUTSIDE).unwrap_or(0)
}
