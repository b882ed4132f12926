//! From bytes to evidence: a [`VerifiedTransition`] exists only if every required signature verified.

use crate::bridge::{BridgeMove, verify_move};
use crate::evidence::EvidenceContext;
use crate::{
    BridgeError, BridgeState, EvidenceError, KeySet, KeySetId, ShapeError, SignKind, SignedBy,
    SignedTransition, Transition, signing_message,
};
use alloc::{sync::Arc, vec::Vec};
use dsm_abi::{
    AccountId, BridgeId, DecodeError, Digest, Evidence, KeyId, NetworkId, SignatureError, SignedKey, Suite,
    TransitionId, VerifySignature, encode,
};

/// Where keys and trusted sets are found: the head of each account, the state of each bridge.
pub trait KeyDirectory {
    /// The key set of `account` at its head, with its id.
    fn key_set(&self, account: &AccountId) -> Option<(KeySetId, Arc<KeySet>)>;

    /// The ids of the keys in that set, in order, where they are remembered; without them they are hashed anew.
    fn key_ids(&self, account: &AccountId) -> Option<Arc<[KeyId]>> {
        let _ = account;
        None
    }

    /// Where a bridge stands.
    fn bridge(&self, bridge: &BridgeId) -> Option<Arc<BridgeState>> {
        let _ = bridge;
        None
    }
}

/// Why bytes do not become a verified transition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// Not canonical bytes.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// Malformed.
    #[error("{0}")]
    Shape(#[from] ShapeError),
    /// Signed for another network.
    #[error("the transition belongs to network {found}, this is {expected}")]
    WrongNetwork {
        /// This network.
        expected: NetworkId,
        /// The transition's.
        found: NetworkId,
    },
    /// A signer does not exist.
    #[error("account {0} does not exist")]
    UnknownAccount(AccountId),
    /// Too many signatures, or not in ascending order of (account, key).
    #[error(
        "signatures must be distinct, in ascending order of account and key, and at most {}",
        crate::limit::SIGNATURES_MAX
    )]
    SignatureOrder,
    /// A signature names an account or key that is not there.
    #[error("signature {signature} names a signer or key that does not exist")]
    UnknownKey {
        /// Its position.
        signature: usize,
    },
    /// A signature's suite is not its key's.
    #[error("signature {signature} is of suite {found:?}, its key of {expected:?}")]
    WrongSuite {
        /// Its position.
        signature: usize,
        /// The key's suite.
        expected: Suite,
        /// The signature's.
        found: Suite,
    },
    /// A signature does not count.
    #[error("signature {signature} of account {account}: {source}")]
    Signature {
        /// Its position.
        signature: usize,
        /// The signer.
        account: AccountId,
        /// Why.
        source: SignatureError,
    },
    /// An account has fewer signatures than its threshold.
    #[error("account {account} has {found} of {threshold} signatures")]
    MissingSignature {
        /// The account.
        account: AccountId,
        /// Its threshold.
        threshold: u8,
        /// Signatures present.
        found: usize,
    },
    /// The account has no recovery keys.
    #[error("account {0} has no recovery keys")]
    NoRecovery(AccountId),
    /// A header of a bridge does not count.
    #[error("operation {operation}: {source}")]
    Bridge {
        /// The operation's position.
        operation: usize,
        /// Why.
        source: BridgeError,
    },
    /// A piece of evidence does not count.
    #[error("evidence {index}: {source}")]
    Evidence {
        /// Its position.
        index: usize,
        /// Why.
        source: EvidenceError,
    },
}

impl AdmitError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            AdmitError::Decode(DecodeError::TooLong { .. }) => "too_long",
            AdmitError::Decode(DecodeError::Malformed) => "malformed_bytes",
            AdmitError::Shape(error) => error.code(),
            AdmitError::WrongNetwork { .. } => "wrong_network",
            AdmitError::UnknownAccount(_) => "unknown_account",
            AdmitError::SignatureOrder => "signature_order",
            AdmitError::UnknownKey { .. } => "unknown_key",
            AdmitError::WrongSuite { .. } => "wrong_suite",
            AdmitError::Signature { source: SignatureError::SuiteOff, .. } => "suite_off",
            AdmitError::Signature { .. } => "bad_signature",
            AdmitError::MissingSignature { .. } => "missing_signature",
            AdmitError::NoRecovery(_) => "no_recovery_keys",
            AdmitError::Bridge { source, .. }
            | AdmitError::Evidence { source: EvidenceError::Bridge(source), .. } => source.code(),
            AdmitError::Evidence { .. } => "bad_evidence",
        }
    }
}

/// An account whose signatures reached its threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSigner {
    /// The account.
    pub account: AccountId,
    /// The key set that the signatures were verified by.
    pub key_set: KeySetId,
    /// Which part of it signed.
    pub by: SignedBy,
    /// The keys that signed.
    pub keys: Vec<SignedKey>,
}

/// Evidence that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEvidence {
    pub(crate) view: Evidence,
    pub(crate) signed_by: Vec<(AccountId, KeySetId)>,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) nullifier: Option<Digest>,
    pub(crate) sealed: Option<Sealed>,
}

/// What the proof of a lock was verified by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) bridge: BridgeId,
    /// The trusted set that sealed the block: [`BridgeState::set`].
    pub(crate) set: Digest,
    /// The block's time in seconds since the Unix epoch.
    pub(crate) block_s: u64,
}

/// A transition whose signatures and evidence verified under the key sets it names. Only the link check can
/// tell whether these are still the accounts' key sets.
#[derive(Debug, Clone)]
pub struct VerifiedTransition {
    id: TransitionId,
    signed: SignedTransition,
    signers: Vec<VerifiedSigner>,
    evidence: Vec<VerifiedEvidence>,
    bridge_moves: Vec<BridgeMove>,
}

impl VerifiedTransition {
    /// The id.
    pub fn id(&self) -> TransitionId {
        self.id
    }

    /// The body.
    pub fn transition(&self) -> &Transition {
        &self.signed.transition
    }

    /// The body with its signatures.
    pub fn signed(&self) -> &SignedTransition {
        &self.signed
    }

    /// The body with its signatures, by value.
    pub fn into_signed(self) -> SignedTransition {
        self.signed
    }

    /// The signers, in ascending order of accounts.
    pub fn signers(&self) -> &[VerifiedSigner] {
        &self.signers
    }

    pub(crate) fn evidence(&self) -> &[VerifiedEvidence] {
        &self.evidence
    }

    pub(crate) fn bridge_moves(&self) -> &[BridgeMove] {
        &self.bridge_moves
    }

    /// A transition that this node verified before it wrote it to its own log.
    pub(crate) fn recorded(
        signed: SignedTransition,
        keys: &dyn KeyDirectory,
    ) -> Result<VerifiedTransition, AdmitError> {
        let network = signed.transition.network;
        admit(signed, network, keys, None)
    }
}

impl SignedTransition {
    /// Checks shape, network, every signature and all evidence.
    ///
    /// # Errors
    /// [`AdmitError`]; nothing was changed.
    pub fn verify(
        self,
        network: NetworkId,
        keys: &dyn KeyDirectory,
        verifier: &dyn VerifySignature,
    ) -> Result<VerifiedTransition, AdmitError> {
        admit(self, network, keys, Some(verifier))
    }

    /// Checks that `account` signed this, whoever else did.
    ///
    /// # Errors
    /// [`AdmitError`].
    pub fn verify_account(
        &self,
        account: AccountId,
        keys: &dyn KeyDirectory,
        verifier: &dyn VerifySignature,
    ) -> Result<(), AdmitError> {
        // A genesis inside the transition brings keys of its own: only a well-formed one speaks for its account.
        self.transition.check_shape()?;
        check_signature_order(self)?;
        let unknown = AdmitError::UnknownAccount(account);
        let position = self.transition.parents.iter().position(|(parent, _)| *parent == account);
        let body = encode(&self.transition);
        admit_signer(self, position.ok_or(unknown)?, &body, keys, Some(verifier)).map(|_| ())
    }
}

fn admit(
    signed: SignedTransition,
    network: NetworkId,
    keys: &dyn KeyDirectory,
    verifier: Option<&dyn VerifySignature>,
) -> Result<VerifiedTransition, AdmitError> {
    let transition = &signed.transition;
    if transition.network != network {
        return Err(AdmitError::WrongNetwork { expected: network, found: transition.network });
    }
    transition.check_shape()?;
    let body = encode(transition);
    check_signature_order(&signed)?;
    let signers = (0..transition.parents.len())
        .map(|index| admit_signer(&signed, index, &body, keys, verifier))
        .collect::<Result<Vec<_>, _>>()?;
    let context = EvidenceContext { network, keys, verifier, judged: Default::default() };
    let evidence = transition
        .evidence
        .iter()
        .enumerate()
        .map(|(index, proof)| proof.verify(&context).map_err(|source| AdmitError::Evidence { index, source }))
        .collect::<Result<Vec<_>, _>>()?;
    let mut bridge_moves = Vec::new();
    for (operation, found) in transition.operations.iter().enumerate() {
        let verified =
            verify_move(&found.kind, &context).map_err(|source| AdmitError::Bridge { operation, source })?;
        bridge_moves.extend(verified);
    }
    let id = TransitionId(crate::hash(crate::tag::TRANSITION, &[&body]).0);
    Ok(VerifiedTransition { id, signed, signers, evidence, bridge_moves })
}

fn check_signature_order(signed: &SignedTransition) -> Result<(), AdmitError> {
    let signatures = &signed.signatures;
    let ascending =
        signatures.windows(2).all(|pair| (pair[0].account, pair[0].key) < (pair[1].account, pair[1].key));
    if !ascending || signatures.len() > crate::limit::SIGNATURES_MAX {
        return Err(AdmitError::SignatureOrder);
    }
    let known = signed.transition.parents.len();
    match signatures.iter().position(|one| usize::from(one.account) >= known) {
        Some(signature) => Err(AdmitError::UnknownKey { signature }),
        None => Ok(()),
    }
}

/// Checks all signatures of the signer at `index` of the parents.
fn admit_signer(
    signed: &SignedTransition,
    index: usize,
    body: &[u8],
    directory: &dyn KeyDirectory,
    verifier: Option<&dyn VerifySignature>,
) -> Result<VerifiedSigner, AdmitError> {
    let transition = &signed.transition;
    let account = transition.parents[index].0;
    let (key_set, keys) = match transition.genesis_of(&account) {
        Some(genesis) => (genesis.keys.id(), Arc::new(genesis.keys.clone())),
        None => directory.key_set(&account).ok_or(AdmitError::UnknownAccount(account))?,
    };
    let by = transition.signed_by(&account);
    let threshold = keys.threshold(by).ok_or(AdmitError::NoRecovery(account))?;
    let created = transition.genesis_of(&account).is_some();
    let remembered = if by == SignedBy::Keys && !created { directory.key_ids(&account) } else { None };
    // A directory that answers between two changes of keys may give ids of another set; the link check then
    // finds that the set changed.
    let key_id = |index: u8, key: &crate::PublicKey| match &remembered {
        Some(ids) if ids.len() == keys.keys.len() => ids[usize::from(index)],
        Some(_) | None => key.id(),
    };
    let mut signed_keys = Vec::new();
    let own = signed.signatures.iter().enumerate().filter(|(_, one)| usize::from(one.account) == index);
    for (position, signature) in own {
        let unknown = AdmitError::UnknownKey { signature: position };
        let (key, role) = keys.key(by, signature.key).ok_or(unknown)?;
        if key.suite != signature.suite {
            let (expected, found) = (key.suite, signature.suite);
            return Err(AdmitError::WrongSuite { signature: position, expected, found });
        }
        if let Some(verifier) = verifier {
            let message = signing_message(key.suite, transition.network, SignKind::Transition, body);
            verifier
                .verify_signature(key.suite, &key.bytes, &message, &signature.bytes)
                .map_err(|source| AdmitError::Signature { signature: position, account, source })?;
        }
        signed_keys.push(SignedKey { key: key_id(signature.key, key), role });
    }
    let found = signed_keys.len();
    if found < usize::from(threshold) {
        return Err(AdmitError::MissingSignature { account, threshold, found });
    }
    Ok(VerifiedSigner { account, key_set, by, keys: signed_keys })
}
