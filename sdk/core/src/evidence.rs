//! Evidence as it travels inside a transition: signed by others, verified by the host, shown to policies.

use crate::bridge::{Judged, verify_lock};
use crate::limit::{EVIDENCE_CLAIMS_MAX, EVIDENCE_PAYLOAD_BYTES_MAX, EVIDENCE_TOPIC_BYTES_MAX};
use crate::{
    BridgeError, EvmLockProof, KeySet, KeySetId, SignKind, VerifiedEvidence, hash, merkle, signing_message,
    tag,
};
use alloc::{string::String, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{
    AccountId, BridgeId, Digest, Evidence, Field, NetworkId, Observation, SignatureError, Suite,
    VerifySignature, encode, limit,
};

/// What an issuer signs about a subject.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Credential {
    /// The account that issues it.
    pub issuer: AccountId,
    /// The account it is about.
    pub subject: AccountId,
    /// The kind of credential, such as `kyc/1`, at most 64 bytes.
    pub schema: String,
    /// The issuer's serial, for revocation.
    pub serial: Digest,
    /// When it ends, in ms since the Unix epoch.
    pub expires_ms: u64,
    /// How many claims there are.
    pub claims: u16,
    /// The root of the tree that [`claims_tree`] makes.
    pub claims_root: Digest,
}

/// A claim with what proves that it is under the credential's root.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DisclosedClaim {
    /// Its position.
    pub index: u16,
    /// The claim.
    pub claim: Field,
    /// Hides claims that are not disclosed from guessing.
    pub salt: [u8; 16],
    /// The siblings, nearest first.
    pub path: Vec<Digest>,
}

/// A credential with the claims that its subject chooses to show.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CredentialPresentation {
    /// The credential.
    pub credential: Credential,
    /// The issuer's key: an index into its key set.
    pub key: u8,
    /// The key's suite.
    pub suite: Suite,
    /// The issuer's signature over the credential.
    pub signature: Vec<u8>,
    /// The shown claims.
    pub disclosed: Vec<DisclosedClaim>,
}

/// A statement that a key of an account signs for one transition of somebody to carry.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Attestation {
    /// The account whose key signs.
    pub account: AccountId,
    /// What the statement is about, at most 64 bytes.
    pub topic: String,
    /// At most 1,024 bytes.
    pub payload: Vec<u8>,
    /// Makes it one-time.
    pub nonce: [u8; 32],
}

/// A preimage of a digest.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HashPreimage {
    /// One of [`dsm_abi::import::hash_alg`].
    pub algorithm: u32,
    /// The digest.
    pub digest: Digest,
    /// At most 1,024 bytes.
    pub preimage: Vec<u8>,
}

/// What a key of an account signs about one round of a feed. The account stands inside, so that a key of two
/// accounts is never counted for both by one signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ObservationStatement {
    /// The account whose key signs.
    pub account: AccountId,
    /// The feed: see [`feed_id`].
    pub feed: Digest,
    /// The round's number.
    pub round: u64,
    /// Decimal places of the answer.
    pub decimals: u8,
    /// What it observed, in units of 10^-decimals.
    pub answer: i128,
    /// When it observed, in ms since the Unix epoch.
    pub observed_ms: u64,
}

/// One account's observation in a round that travels; feed, round and decimals stand once for all.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedObservation {
    /// The account.
    pub account: AccountId,
    /// The key: an index into the account's key set.
    pub key: u8,
    /// The key's suite.
    pub suite: Suite,
    /// The signature over the [`ObservationStatement`].
    pub signature: Vec<u8>,
    /// What it observed, in units of 10^-decimals.
    pub answer: i128,
    /// When it observed, in ms since the Unix epoch.
    pub observed_ms: u64,
}

/// The feed that has this name, such as `EUR/USD`.
pub fn feed_id(name: &str) -> Digest {
    hash(tag::FEED, &[name.as_bytes()])
}

/// Evidence inside a transition.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EvidenceProof {
    /// May be shown as often as its subject likes.
    Credential(CredentialPresentation),
    /// Consumed once.
    HashPreimage(HashPreimage),
    /// Consumed once.
    Attestation {
        /// The statement.
        attestation: Attestation,
        /// The key: an index into the account's key set.
        key: u8,
        /// The key's suite.
        suite: Suite,
        /// The signature over the statement.
        signature: Vec<u8>,
    },
    /// A lock in the storage of a bridge's contract. Consumed once.
    Bridge {
        /// The bridge.
        bridge: BridgeId,
        /// The proof.
        proof: EvmLockProof,
    },
    /// A round of a feed. Consumed once, with the same observations by whatever signatures.
    OracleRound {
        /// The feed.
        feed: Digest,
        /// The round's number.
        round: u64,
        /// Decimal places of every answer: at most [`limit::ROUND_DECIMALS_MAX`].
        decimals: u8,
        /// 1 to [`limit::OBSERVATIONS_MAX`], in ascending order of accounts, each account once.
        observations: Vec<SignedObservation>,
    },
}

/// Why evidence does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// A size or count breaks its limit.
    #[error("malformed or too long")]
    Malformed,
    /// The account that signed it does not exist.
    #[error("its account {0} does not exist")]
    UnknownAccount(AccountId),
    /// The key index or suite is not the account's.
    #[error("the account has no such key")]
    UnknownKey,
    /// The signature does not count.
    #[error("{0}")]
    Signature(SignatureError),
    /// A disclosed claim is not under the root.
    #[error("a disclosed claim is not part of the credential")]
    Claim,
    /// The preimage does not hash to the digest.
    #[error("the preimage does not hash to the digest")]
    Preimage,
    /// A round has none or too many observations.
    #[error("a round has 1 to {} observations, not {found}", limit::OBSERVATIONS_MAX)]
    ObservationCount {
        /// How many there are.
        found: usize,
    },
    /// Observations of a round are not of distinct accounts in ascending order.
    #[error("the observations must be of distinct accounts, in ascending order of them")]
    ObservationOrder,
    /// The key index or suite of an observation is not its account's.
    #[error("the observing account {0} has no such key")]
    ObservationKey(AccountId),
    /// The signature of an observation does not count.
    #[error("the observation of {account}: {source}")]
    ObservationSignature {
        /// The account.
        account: AccountId,
        /// Why.
        source: SignatureError,
    },
    /// The proof of a lock shows none.
    #[error("{0}")]
    Bridge(BridgeError),
}

/// The root and, for each claim, its disclosure: what an issuer computes before it signs.
pub fn claims_tree(claims: &[(Field, [u8; 16])]) -> (Digest, Vec<DisclosedClaim>) {
    let leaves: Vec<Digest> = claims.iter().map(|(claim, salt)| claim_leaf(claim, salt)).collect();
    let disclosed = claims
        .iter()
        .enumerate()
        .map(|(index, (claim, salt))| DisclosedClaim {
            index: index as u16,
            claim: claim.clone(),
            salt: *salt,
            path: merkle::path(&leaves, index),
        })
        .collect();
    (merkle::root(&leaves), disclosed)
}

fn claim_leaf(claim: &Field, salt: &[u8; 16]) -> Digest {
    merkle::leaf(&encode(&(claim, salt)))
}

/// What verifying evidence needs: the network, the keys of its account, and cryptography unless the evidence
/// was verified before it was written to the log.
pub(crate) struct EvidenceContext<'a> {
    pub(crate) network: NetworkId,
    pub(crate) keys: &'a dyn crate::KeyDirectory,
    pub(crate) verifier: Option<&'a dyn VerifySignature>,
    /// The headers of bridges that were judged so far.
    pub(crate) judged: core::cell::RefCell<Judged>,
}

impl EvidenceProof {
    pub(crate) fn verify(&self, context: &EvidenceContext<'_>) -> Result<VerifiedEvidence, EvidenceError> {
        match self {
            EvidenceProof::Credential(presentation) => verify_credential(presentation, context),
            EvidenceProof::HashPreimage(preimage) => verify_preimage(preimage, context),
            EvidenceProof::Attestation { attestation, key, suite, signature } => {
                verify_attestation(attestation, (*key, *suite, signature), context)
            }
            EvidenceProof::Bridge { bridge, proof } => {
                verify_lock(*bridge, proof, context).map_err(EvidenceError::Bridge)
            }
            EvidenceProof::OracleRound { feed, round, decimals, observations } => {
                verify_round((*feed, *round, *decimals), observations, context)
            }
        }
    }
}

fn verify_credential(
    presentation: &CredentialPresentation,
    context: &EvidenceContext<'_>,
) -> Result<VerifiedEvidence, EvidenceError> {
    let credential = &presentation.credential;
    if credential.schema.len() > EVIDENCE_TOPIC_BYTES_MAX
        || presentation.disclosed.len() > EVIDENCE_CLAIMS_MAX
    {
        return Err(EvidenceError::Malformed);
    }
    let (set_id, keys) =
        context.keys.key_set(&credential.issuer).ok_or(EvidenceError::UnknownAccount(credential.issuer))?;
    verify_signature(
        context,
        &keys,
        (presentation.key, presentation.suite, &presentation.signature),
        SignKind::Credential,
        &encode(credential),
    )?;
    for disclosed in &presentation.disclosed {
        let leaf = claim_leaf(&disclosed.claim, &disclosed.salt);
        let root = merkle::root_of(
            leaf,
            usize::from(disclosed.index),
            usize::from(credential.claims),
            &disclosed.path,
        );
        if root != Some(credential.claims_root) {
            return Err(EvidenceError::Claim);
        }
    }
    Ok(VerifiedEvidence {
        view: Evidence::Credential {
            issuer: credential.issuer,
            subject: credential.subject,
            schema: credential.schema.clone(),
            serial: credential.serial,
            expires_ms: credential.expires_ms,
            claims: presentation.disclosed.iter().map(|disclosed| disclosed.claim.clone()).collect(),
        },
        signed_by: alloc::vec![(credential.issuer, set_id)],
        expires_ms: Some(credential.expires_ms),
        nullifier: None,
        sealed: None,
    })
}

fn verify_preimage(
    preimage: &HashPreimage,
    context: &EvidenceContext<'_>,
) -> Result<VerifiedEvidence, EvidenceError> {
    if preimage.preimage.len() > EVIDENCE_PAYLOAD_BYTES_MAX {
        return Err(EvidenceError::Malformed);
    }
    if let Some(verifier) = context.verifier
        && verifier.digest(preimage.algorithm, &preimage.preimage) != Some(preimage.digest.0)
    {
        return Err(EvidenceError::Preimage);
    }
    Ok(VerifiedEvidence {
        view: Evidence::HashPreimage {
            algorithm: preimage.algorithm,
            digest: preimage.digest,
            preimage: preimage.preimage.clone(),
        },
        signed_by: Vec::new(),
        expires_ms: None,
        nullifier: Some(hash(
            tag::NULLIFIER,
            &[b"preimage", &preimage.algorithm.to_le_bytes(), &preimage.digest.0],
        )),
        sealed: None,
    })
}

fn verify_attestation(
    attestation: &Attestation,
    signature: (u8, Suite, &[u8]),
    context: &EvidenceContext<'_>,
) -> Result<VerifiedEvidence, EvidenceError> {
    if attestation.topic.len() > EVIDENCE_TOPIC_BYTES_MAX
        || attestation.payload.len() > EVIDENCE_PAYLOAD_BYTES_MAX
    {
        return Err(EvidenceError::Malformed);
    }
    let (set_id, keys) = context
        .keys
        .key_set(&attestation.account)
        .ok_or(EvidenceError::UnknownAccount(attestation.account))?;
    let bytes = encode(attestation);
    verify_signature(context, &keys, signature, SignKind::Attestation, &bytes)?;
    let entry = keys.keys.get(usize::from(signature.0)).ok_or(EvidenceError::UnknownKey)?;
    Ok(VerifiedEvidence {
        view: Evidence::Attestation {
            account: attestation.account,
            key: entry.key.id(),
            role: entry.role,
            topic: attestation.topic.clone(),
            payload: attestation.payload.clone(),
        },
        signed_by: alloc::vec![(attestation.account, set_id)],
        expires_ms: None,
        nullifier: Some(hash(tag::NULLIFIER, &[b"attestation", &bytes])),
        sealed: None,
    })
}

fn verify_round(
    (feed, round, decimals): (Digest, u64, u8),
    observations: &[SignedObservation],
    context: &EvidenceContext<'_>,
) -> Result<VerifiedEvidence, EvidenceError> {
    // Counts and order before the first signature: what is malformed costs no cryptography.
    if decimals > limit::ROUND_DECIMALS_MAX {
        return Err(EvidenceError::Malformed);
    }
    if observations.is_empty() || observations.len() > limit::OBSERVATIONS_MAX {
        return Err(EvidenceError::ObservationCount { found: observations.len() });
    }
    if !observations.windows(2).all(|pair| pair[0].account < pair[1].account) {
        return Err(EvidenceError::ObservationOrder);
    }
    let (mut seen, mut signed_by, mut statements) = (Vec::new(), Vec::new(), Vec::new());
    for given in observations {
        let &SignedObservation { account, key, suite, answer, observed_ms, .. } = given;
        let (set_id, keys) = context.keys.key_set(&account).ok_or(EvidenceError::UnknownAccount(account))?;
        let statement = encode(&ObservationStatement { account, feed, round, decimals, answer, observed_ms });
        let signature = (key, suite, given.signature.as_slice());
        verify_signature(context, &keys, signature, SignKind::Observation, &statement).map_err(|error| {
            match error {
                EvidenceError::UnknownKey => EvidenceError::ObservationKey(account),
                EvidenceError::Signature(source) => EvidenceError::ObservationSignature { account, source },
                other => other,
            }
        })?;
        let entry = keys.keys.get(usize::from(key)).ok_or(EvidenceError::ObservationKey(account))?;
        seen.push(Observation { account, key: entry.key.id(), role: entry.role, answer, observed_ms });
        signed_by.push((account, set_id));
        statements.extend_from_slice(&statement);
    }
    Ok(VerifiedEvidence {
        view: Evidence::OracleRound { feed, round, decimals, observations: seen },
        signed_by,
        expires_ms: None,
        nullifier: Some(hash(tag::NULLIFIER, &[b"oracle-round", &statements])),
        sealed: None,
    })
}

fn verify_signature(
    context: &EvidenceContext<'_>,
    keys: &KeySet,
    (key, suite, signature): (u8, Suite, &[u8]),
    kind: SignKind,
    body: &[u8],
) -> Result<(), EvidenceError> {
    let entry = keys.keys.get(usize::from(key)).ok_or(EvidenceError::UnknownKey)?;
    if entry.key.suite != suite {
        return Err(EvidenceError::UnknownKey);
    }
    let Some(verifier) = context.verifier else { return Ok(()) };
    let message = signing_message(suite, context.network, kind, body);
    verifier.verify_signature(suite, &entry.key.bytes, &message, signature).map_err(EvidenceError::Signature)
}

impl VerifiedEvidence {
    /// The accounts whose keys signed the evidence, each with the key set by which it was verified.
    pub fn signed_by(&self) -> &[(AccountId, KeySetId)] {
        &self.signed_by
    }
}
