//! Proofs of locks: headers judged by their seals, the way from a trusted set to a newer one, and the proof itself.
//!
//! One code for the relayer and for whoever proves a lock by hand. Nothing here is believed from an endpoint; one that
//! is caught is named with [`Evm::distrust`], and the question is asked again.

use crate::evm::{Evm, EvmError, Header, Shown, Word};
use dsm_core::{BridgeConfig, BridgeState, Finality};
use dsm_crypto::recover_address;
use dsm_evm_proof::{
    Advance, EvmLockProof, Lock, Mode, QbftError, QbftHeader, RecoverSigner, Rules, SealedHeader, TrustedSet,
    ValidatorContract, ValidatorSetProof, keccak256, lock_storage_key,
};

/// Headers in one way from set to set: each needs f+1 of the one before, so a way through all sets of a year is short.
const ADVANCES_MAX: usize = 64;
/// Headers that are looked at to find one way.
const LOOKS_MAX: usize = 256;

/// secp256k1, as `dsm-crypto` has it.
pub(crate) struct Recover;

impl RecoverSigner for Recover {
    fn recover(&self, digest: &[u8; 32], signature: &[u8; 65]) -> Option<[u8; 20]> {
        recover_address(digest, signature)
    }
}

/// What makes blocks of the chain believable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Seals of a trusted set.
    Sealed {
        /// How headers are judged.
        rules: Rules,
        /// The set.
        set: TrustedSet,
    },
    /// Statements of keys, and endpoints that agree.
    Attested,
}

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The EVM side.
    #[error(transparent)]
    Evm(#[from] EvmError),
    /// A header that was offered is not believable; whoever gave it rests.
    #[error("block {height} is not believable: {reason}")]
    Header {
        /// Its height.
        height: u64,
        /// The check that failed.
        reason: QbftError,
    },
    /// No way leads from the trusted set to the header.
    #[error("no way leads from the trusted set of block {from} to block {to}")]
    NoWay {
        /// The trusted height.
        from: u64,
        /// The header's height.
        to: u64,
    },
    /// There is no such lock in that block.
    #[error("there is no lock {nonce} in block {height}")]
    Absent {
        /// The lock.
        nonce: u64,
        /// The block.
        height: u64,
    },
    /// What an endpoint called the lock is not what the contract stores.
    #[error("lock {nonce} is not what it was said to be")]
    OtherLock {
        /// The lock.
        nonce: u64,
    },
    /// The configuration is none.
    #[error("the bridge's trusted set: {0}")]
    Set(QbftError),
}

impl ProveError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ProveError::Evm(error) => error.code(),
            ProveError::Header { .. } => "header_not_believable",
            ProveError::NoWay { .. } => "no_way",
            ProveError::Absent { .. } => "lock_absent",
            ProveError::OtherLock { .. } => "other_lock",
            ProveError::Set(_) => "trusted_set",
        }
    }
}

/// How headers of a bridge are judged, if seals decide.
pub fn rules(config: &BridgeConfig) -> Option<Rules> {
    match &config.finality {
        Finality::Qbft { trusting_period_s, clock_drift_s, .. } => Some(Rules {
            mode: Mode::Header,
            trusting_period_s: *trusting_period_s,
            clock_drift_s: *clock_drift_s,
        }),
        Finality::QbftContract {
            trusting_period_s, clock_drift_s, validator_contract, array_slot, ..
        } => Some(Rules {
            mode: Mode::Contract(ValidatorContract { address: *validator_contract, array_slot: *array_slot }),
            trusting_period_s: *trusting_period_s,
            clock_drift_s: *clock_drift_s,
        }),
        Finality::Attested { .. } => None,
    }
}

impl Trust {
    /// What the ledger's own state of the bridge trusts.
    ///
    /// # Errors
    /// [`ProveError::Set`].
    pub fn of(state: &BridgeState) -> Result<Trust, ProveError> {
        let Some(rules) = rules(&state.config) else { return Ok(Trust::Attested) };
        let time_s = state.trusted_ms / 1000;
        let set = TrustedSet::new(state.validators.clone(), state.height, time_s).map_err(ProveError::Set)?;
        Ok(Trust::Sealed { rules, set })
    }

    /// What a bridge trusts before anybody opened it.
    ///
    /// # Errors
    /// [`ProveError::Set`].
    pub fn first(config: &BridgeConfig, now_s: u64) -> Result<Trust, ProveError> {
        let Some(rules) = rules(config) else { return Ok(Trust::Attested) };
        let (validators, height) = match &config.finality {
            Finality::Qbft { validators, height, .. } | Finality::QbftContract { validators, height, .. } => {
                (validators.clone(), *height)
            }
            Finality::Attested { .. } => return Ok(Trust::Attested),
        };
        let set = TrustedSet::new(validators, height, now_s).map_err(ProveError::Set)?;
        Ok(Trust::Sealed { rules, set })
    }

    /// Judges a header by its seals; where keys attest, endpoints have agreed already.
    ///
    /// # Errors
    /// [`QbftError`].
    pub fn judge(&self, header: &Header, now_s: u64) -> Result<Option<SealedHeader>, QbftError> {
        match self {
            Trust::Attested => Ok(None),
            Trust::Sealed { rules, set } => {
                let decoded = QbftHeader::decode(&header.rlp)?;
                set.verify_header(rules, decoded, now_s, &Recover).map(Some)
            }
        }
    }

    /// Whether a sealed header says something about the set that the ledger should learn: another list, or that the
    /// set is still in force when half of its time is over.
    pub fn is_news(&self, header: &SealedHeader, now_s: u64) -> bool {
        let Trust::Sealed { rules, set } = self else { return false };
        if header.number() <= set.height() {
            return false;
        }
        let other_list =
            matches!(rules.mode, Mode::Header) && header.header().extra().validators != set.validators();
        let half = rules.trusting_period_s / 2;
        other_list || (rules.trusting_period_s > 0 && now_s > set.time_s().saturating_add(half))
    }
}

/// The newest header that is believable, or on the way to be: with the moves that the ledger needs before it believes
/// it too. Endpoints whose headers lead nowhere are named.
///
/// # Errors
/// [`ProveError`].
pub fn newest(evm: &dyn Evm, trust: &Trust, now_s: u64) -> Result<(Header, Vec<Advance>), ProveError> {
    let mut last = None;
    // Each round names one liar, so so many rounds are enough.
    for _ in 0..=evm.sources() {
        let header = match evm.newest() {
            Ok(header) => header,
            Err(error) => return Err(last.unwrap_or(ProveError::Evm(error))),
        };
        match way(evm, trust, &header, now_s) {
            Ok(advances) => return Ok((header, advances)),
            Err(ProveError::Evm(error)) => return Err(ProveError::Evm(error)),
            Err(error) => {
                evm.distrust(header.source, &error.to_string());
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or(ProveError::Evm(EvmError::NoAnswer("nobody has a header".to_owned()))))
}

/// The moves that lead from a trusted set to a header: none if the set itself sealed it.
fn way(evm: &dyn Evm, trust: &Trust, target: &Header, now_s: u64) -> Result<Vec<Advance>, ProveError> {
    let Trust::Sealed { rules, set } = trust else { return Ok(Vec::new()) };
    let mut trust = Trust::Sealed { rules: *rules, set: set.clone() };
    let (mut advances, mut looks) = (Vec::new(), 0);
    loop {
        match trust.judge(target, now_s) {
            Ok(Some(sealed)) if trust.is_news(&sealed, now_s) => {
                advances.push(advance(evm, rules, target)?);
                return Ok(advances);
            }
            Ok(_) => return Ok(advances),
            Err(QbftError::Overlap { .. }) => {}
            // In contract mode only the state says who seals: a header of another set has strangers' seals, or too few.
            Err(QbftError::SealByStranger { .. } | QbftError::Quorum { .. })
                if matches!(rules.mode, Mode::Contract(_)) => {}
            Err(reason) => return Err(ProveError::Header { height: target.number, reason }),
        }
        let Trust::Sealed { set, .. } = &trust else { return Ok(advances) };
        let from = set.height();
        let no_way = ProveError::NoWay { from, to: target.number };
        if advances.len() == ADVANCES_MAX || target.number <= from {
            return Err(no_way);
        }
        // The highest block between that the set believes, by halving.
        let (mut low, mut high) = (from, target.number);
        let mut found = None;
        while low + 1 < high {
            looks += 1;
            if looks > LOOKS_MAX {
                return Err(no_way);
            }
            let middle = low + (high - low) / 2;
            let header = evm.header(middle)?;
            match trust.judge(&header, now_s) {
                Ok(Some(sealed)) => {
                    low = middle;
                    found = Some((header, sealed));
                }
                Ok(None) | Err(_) => high = middle,
            }
        }
        let Some((header, sealed)) = found else { return Err(no_way) };
        let step = advance(evm, rules, &header)?;
        let next = set.advance(rules, &sealed, step.set.as_ref());
        let next = next.map_err(|reason| ProveError::Header { height: header.number, reason })?;
        if next.validators() == set.validators() && next.height() + 1 >= target.number {
            // The set itself says nothing new, and still the next block is not its own.
            return Err(no_way);
        }
        advances.push(step);
        trust = Trust::Sealed { rules: *rules, set: next };
    }
}

/// A move to the set that a header names, with the proof of the set where a contract keeps it.
fn advance(evm: &dyn Evm, rules: &Rules, header: &Header) -> Result<Advance, ProveError> {
    let set = match rules.mode {
        Mode::Header => None,
        Mode::Contract(contract) => Some(set_proof(evm, header, &contract)?),
    };
    Ok(Advance { header: header.rlp.clone(), set })
}

fn set_proof(
    evm: &dyn Evm,
    header: &Header,
    contract: &ValidatorContract,
) -> Result<ValidatorSetProof, ProveError> {
    let none = || ProveError::Header { height: header.number, reason: QbftError::NoValidators };
    let Shown::Present { value, account, storage: length, .. } =
        evm.prove(header, contract.address, contract.array_slot)?
    else {
        return Err(none());
    };
    let count = crate::contract::read_number(&value)
        .filter(|count| *count <= dsm_evm_proof::VALIDATORS_MAX as u128)
        .ok_or_else(none)?;
    let first = keccak256(&[&contract.array_slot]);
    let mut elements = Vec::new();
    for element in 0..count {
        let shown = evm.prove(header, contract.address, plus(first, element))?;
        let Shown::Present { storage, .. } = shown else { return Err(none()) };
        elements.push(storage);
    }
    Ok(ValidatorSetProof { account, length, elements })
}

/// `slot + index`, modulo 2^256.
fn plus(slot: Word, index: u128) -> Word {
    let mut sum = crate::contract::number(index);
    let mut carry = 0;
    for (digit, slot) in sum.iter_mut().zip(slot).rev() {
        let total = u16::from(*digit) + u16::from(slot) + carry;
        *digit = total as u8;
        carry = total >> 8;
    }
    sum
}

/// The proof of a lock under a header that is believable. The attestations are left empty.
///
/// # Errors
/// [`ProveError`]; [`ProveError::Absent`] is shown by the state, never by silence.
pub fn prove_lock(
    evm: &dyn Evm,
    config: &BridgeConfig,
    header: &Header,
    lock: &Lock,
) -> Result<EvmLockProof, ProveError> {
    let nonce = lock.nonce;
    let slot = lock_storage_key(nonce, &config.outbox_slot);
    match evm.prove(header, config.contract, slot)? {
        Shown::Absent => Err(ProveError::Absent { nonce, height: header.number }),
        Shown::Present { value, account, storage, .. } => {
            if value != lock.commitment(config.chain_id, &config.contract) {
                return Err(ProveError::OtherLock { nonce });
            }
            let header = header.rlp.clone();
            Ok(EvmLockProof { header, attestations: Vec::new(), account, storage, lock: *lock })
        }
    }
}
