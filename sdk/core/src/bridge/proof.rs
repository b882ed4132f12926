//! From headers and proofs of strangers to what a bridge may believe, as it stood when they were judged: only the link
//! check can tell whether it still stands there, and whether the blocks' times fit.

use crate::evidence::EvidenceContext;
use crate::verify::Sealed;
use crate::{BridgeState, Finality, OperationKind, PublicKey, SignKind, VerifiedEvidence, signing_message};
use alloc::{sync::Arc, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{
    AccountId, BridgeId, Digest, Evidence, NetworkId, SignatureError, TokenId, VerifySignature, encode,
};
use dsm_evm_proof::{
    Address, Advance, EvmLockProof, Hash, Header, HeaderError, LockError, Mode, QbftError, QbftHeader,
    RecoverSigner, Rules, Seal, Shown, TrustedSet, ValidatorContract,
};

/// A header with what makes it final: seals in place, or statements of keys beside it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalHeader {
    /// The header's RLP, with seals in place.
    pub header: Vec<u8>,
    /// Statements that the block is final, by the attestors' positions, ascending; empty where seals decide.
    pub attestations: Vec<(u8, Vec<u8>)>,
}

/// Why a header or a proof of a bridge does not count: the first check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// There is no such bridge.
    #[error("bridge {0} does not exist")]
    Unknown(BridgeId),
    /// The bridge's trusted set sealed two blocks of one height: nothing of it is believed any more.
    #[error("bridge {0} is frozen")]
    Frozen(BridgeId),
    /// More headers than a transition may bring.
    #[error("a transition brings at most {} headers", crate::limit::HEADERS_MAX)]
    TooManyHeaders,
    /// A header is none, or too few sealed it.
    #[error(transparent)]
    Header(#[from] QbftError),
    /// Attestations beside a sealed header.
    #[error("a sealed header has no attestations")]
    NotAttested,
    /// Not exactly as many attestations as the threshold, in ascending order, of known keys.
    #[error("exactly {threshold} attestations of distinct known keys are needed, in ascending order")]
    Attestations {
        /// The threshold.
        threshold: u8,
    },
    /// An attestation does not verify.
    #[error("the attestation of key {key}: {source}")]
    Attestation {
        /// The key's position.
        key: u8,
        /// Why.
        source: SignatureError,
    },
    /// Where keys attest there is no set that could move.
    #[error("keys attest this chain's blocks: there is no trusted set to move")]
    NoSet,
    /// The two headers are not of two blocks at one height.
    #[error("the headers are not of two blocks at one height")]
    NoConviction,
    /// The proof shows another lock, or nothing.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The contract has no lock of this number.
    #[error("the contract has no lock of this number")]
    LockAbsent,
    /// The deadline is beyond what can be counted in ms.
    #[error("the lock's deadline is out of range")]
    Deadline,
}

impl From<HeaderError> for BridgeError {
    fn from(error: HeaderError) -> BridgeError {
        BridgeError::Header(QbftError::Header(error))
    }
}

impl BridgeError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            BridgeError::Unknown(_) => "unknown_bridge",
            BridgeError::Frozen(_) => "bridge_frozen",
            BridgeError::TooManyHeaders => "too_many_headers",
            BridgeError::Header(QbftError::Height { .. }) => "block_not_newer",
            BridgeError::Header(_) => "bad_header",
            BridgeError::NotAttested | BridgeError::Attestations { .. } | BridgeError::Attestation { .. } => {
                "bad_block_attestation"
            }
            BridgeError::NoSet => "no_trusted_set",
            BridgeError::NoConviction => "no_conviction",
            BridgeError::Lock(_) | BridgeError::Deadline => "bad_lock_proof",
            BridgeError::LockAbsent => "lock_absent",
        }
    }

    /// The code of the check that failed, of `dsm-evm-proof` where it was one of its checks.
    pub fn check(&self) -> &'static str {
        match self {
            BridgeError::Header(error) => error.code(),
            BridgeError::Lock(error) => error.not_shown().map_or(error.code(), |reason| reason.code()),
            other => other.code(),
        }
    }
}

/// A block that a bridge may believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) height: u64,
    /// Seconds since the Unix epoch.
    pub(crate) time_s: u64,
    hash: Hash,
    state_root: Hash,
}

/// What verified headers say of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BridgeVerdict {
    /// It stands at `last`, with these validators.
    Advance { first: u64, last: u64, time_s: u64, validators: Vec<Address> },
    /// It sealed two blocks of one height.
    Convict { height: u64, a: Hash, b: Hash },
}

/// Verified headers about a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeMove {
    pub(crate) bridge: BridgeId,
    /// The trusted set that judged them: [`BridgeState::set`].
    pub(crate) set: Digest,
    /// The times of their blocks, in seconds since the Unix epoch.
    pub(crate) times_s: Vec<u64>,
    pub(crate) verdict: BridgeVerdict,
}

/// The headers of one transition that were judged: each is judged once, and only so many of them.
#[derive(Default)]
pub(crate) struct Judged(Vec<(BridgeId, FinalHeader, Block)>, usize);

impl Judged {
    fn count(&mut self) -> Result<(), BridgeError> {
        self.1 += 1;
        if self.1 > crate::limit::HEADERS_MAX { Err(BridgeError::TooManyHeaders) } else { Ok(()) }
    }
}

/// Asks the caller's cryptography who signed.
struct Recover<'a>(&'a dyn VerifySignature);

impl RecoverSigner for Recover<'_> {
    fn recover(&self, digest: &Hash, signature: &Seal) -> Option<Address> {
        self.0.recover(digest, signature)
    }
}

fn find(bridge: BridgeId, context: &EvidenceContext<'_>) -> Result<Arc<BridgeState>, BridgeError> {
    let state = context.keys.bridge(&bridge).ok_or(BridgeError::Unknown(bridge))?;
    if state.frozen.is_some() { Err(BridgeError::Frozen(bridge)) } else { Ok(state) }
}

impl BridgeState {
    /// How its headers are judged, and by whom; nothing where keys attest. Time is the link check's business.
    fn trusted(&self) -> Result<Option<(Rules, TrustedSet)>, QbftError> {
        let mode = match self.config.finality {
            Finality::Qbft { .. } => Mode::Header,
            Finality::QbftContract { validator_contract: address, array_slot, .. } => {
                Mode::Contract(ValidatorContract { address, array_slot })
            }
            Finality::Attested { .. } => return Ok(None),
        };
        let rules = Rules { mode, trusting_period_s: 0, clock_drift_s: 0 };
        let set = TrustedSet::new(self.validators.clone(), self.height, self.trusted_ms / 1000)?;
        Ok(Some((rules, set)))
    }

    /// The block, if its seals or attestations make it final. Without cryptography it is believed.
    fn judge(
        &self,
        bridge: BridgeId,
        header: &FinalHeader,
        context: &EvidenceContext<'_>,
    ) -> Result<Block, BridgeError> {
        let mut judged = context.judged.borrow_mut();
        let known = judged.0.iter().find(|(at, known, _)| *at == bridge && known == header);
        if let Some((.., block)) = known {
            return Ok(*block);
        }
        judged.count()?;
        let block = match (self.trusted()?, &self.config.finality) {
            (Some((rules, set)), _) => {
                if !header.attestations.is_empty() {
                    return Err(BridgeError::NotAttested);
                }
                let decoded = QbftHeader::decode(&header.header)?;
                let (hash, fields) = (decoded.block_hash(), decoded.header());
                let (height, time_s, state_root) = (fields.number, fields.timestamp, fields.state_root);
                if let Some(verifier) = context.verifier {
                    set.verify_seals(&rules, decoded, &Recover(verifier))?;
                }
                Block { height, time_s, hash, state_root }
            }
            (None, Finality::Attested { keys, threshold }) => {
                let fields = Header::decode(&header.header)?;
                let hash = fields.hash();
                let attestations = &header.attestations;
                check_attestations((bridge, hash), attestations, (keys, *threshold), context)?;
                Block { height: fields.number, time_s: fields.timestamp, hash, state_root: fields.state_root }
            }
            (None, Finality::Qbft { .. } | Finality::QbftContract { .. }) => return Err(BridgeError::NoSet),
        };
        judged.0.push((bridge, header.clone(), block));
        Ok(block)
    }
}

/// What an attestor of a bridge signs about a block that it saw final.
pub fn block_message(network: NetworkId, key: &PublicKey, bridge: BridgeId, block_hash: Hash) -> Vec<u8> {
    signing_message(key.suite, network, SignKind::BridgeBlock, &encode(&(bridge, block_hash)))
}

fn check_attestations(
    (bridge, hash): (BridgeId, Hash),
    attestations: &[(u8, Vec<u8>)],
    (keys, threshold): (&[PublicKey], u8),
    context: &EvidenceContext<'_>,
) -> Result<(), BridgeError> {
    let ascending = attestations.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if !ascending || attestations.len() != usize::from(threshold) {
        return Err(BridgeError::Attestations { threshold });
    }
    for (index, signature) in attestations {
        let key = keys.get(usize::from(*index)).ok_or(BridgeError::Attestations { threshold })?;
        let Some(verifier) = context.verifier else { continue };
        let message = block_message(context.network, key, bridge, hash);
        verifier
            .verify_signature(key.suite, &key.bytes, &message, signature)
            .map_err(|source| BridgeError::Attestation { key: *index, source })?;
    }
    Ok(())
}

/// Judges the headers of an operation about a bridge; nothing for other operations.
pub(crate) fn verify_move(
    kind: &OperationKind,
    context: &EvidenceContext<'_>,
) -> Result<Option<BridgeMove>, BridgeError> {
    match kind {
        OperationKind::AdvanceBridge { bridge, headers } => {
            let state = find(*bridge, context)?;
            verify_advance(*bridge, &state, headers, context).map(Some)
        }
        OperationKind::ConvictBridge { bridge, a, b } => {
            let state = find(*bridge, context)?;
            let (a, b) = (state.judge(*bridge, a, context)?, state.judge(*bridge, b, context)?);
            if a.height != b.height || a.hash == b.hash {
                return Err(BridgeError::NoConviction);
            }
            let verdict = BridgeVerdict::Convict { height: a.height, a: a.hash, b: b.hash };
            // A conviction counts whatever the blocks say of the time.
            Ok(Some(BridgeMove { bridge: *bridge, set: state.set(), times_s: Vec::new(), verdict }))
        }
        OperationKind::CreateAccount { .. }
        | OperationKind::RotateKeys { .. }
        | OperationKind::Precommit { .. }
        | OperationKind::Recover { .. }
        | OperationKind::Revoke
        | OperationKind::Publish { .. }
        | OperationKind::CreateToken { .. }
        | OperationKind::Upgrade { .. }
        | OperationKind::Mint { .. }
        | OperationKind::Burn { .. }
        | OperationKind::Transfer { .. }
        | OperationKind::Claim { .. }
        | OperationKind::Hold { .. }
        | OperationKind::Release { .. }
        | OperationKind::Execute { .. }
        | OperationKind::Invoke { .. }
        | OperationKind::OpenBridge { .. }
        | OperationKind::Emit { .. } => Ok(None),
    }
}

/// Each header is judged by the set of the one before it.
fn verify_advance(
    bridge: BridgeId,
    state: &BridgeState,
    headers: &[Advance],
    context: &EvidenceContext<'_>,
) -> Result<BridgeMove, BridgeError> {
    let (rules, mut set) = state.trusted()?.ok_or(BridgeError::NoSet)?;
    let mut times_s = Vec::new();
    let mut first = None;
    for step in headers {
        context.judged.borrow_mut().count()?;
        let header = QbftHeader::decode(&step.header)?;
        times_s.push(header.header().timestamp);
        first = first.or(Some(header.header().number));
        set = match context.verifier {
            Some(verifier) => {
                let sealed = set.verify_seals(&rules, header, &Recover(verifier))?;
                set.advance(&rules, &sealed, step.set.as_ref())?
            }
            None => set.replay_advance(&rules, step)?,
        };
    }
    let verdict = BridgeVerdict::Advance {
        first: first.ok_or(BridgeError::NoSet)?,
        last: set.height(),
        time_s: set.time_s(),
        validators: set.validators().to_vec(),
    };
    Ok(BridgeMove { bridge, set: state.set(), times_s, verdict })
}

/// Judges the proof of a lock. Without cryptography header and lock are believed.
pub(crate) fn verify_lock(
    bridge: BridgeId,
    proof: &EvmLockProof,
    context: &EvidenceContext<'_>,
) -> Result<VerifiedEvidence, BridgeError> {
    let state = find(bridge, context)?;
    let config = &state.config;
    let lock = &proof.lock;
    lock.check()?;
    let header = FinalHeader { header: proof.header.clone(), attestations: proof.attestations.clone() };
    let block = state.judge(bridge, &header, context)?;
    if context.verifier.is_some() {
        match proof.verify(&block.state_root, &config.contract, &config.outbox_slot, config.chain_id)? {
            Shown::Present(_) => {}
            Shown::Absent => return Err(BridgeError::LockAbsent),
        }
    }
    let token = TokenId(lock.token);
    Ok(VerifiedEvidence {
        view: Evidence::BridgeProof {
            bridge,
            chain_id: config.chain_id,
            contract: config.contract,
            nonce: lock.nonce,
            kind: lock.kind as u8,
            asset: lock.asset,
            sender: lock.sender,
            token,
            recipient: AccountId(lock.recipient),
            amount: lock.amount,
            deadline_ms: lock.deadline_s.checked_mul(1000).ok_or(BridgeError::Deadline)?,
            commitment: Digest(lock.commitment(config.chain_id, &config.contract)),
            height: block.height,
            trust: config.trust(),
        },
        signed_by: Vec::new(),
        expires_ms: None,
        nullifier: Some(config.nullifier(lock.nonce, &token)),
        sealed: Some(Sealed { bridge, set: state.set(), block_s: block.time_s }),
    })
}
