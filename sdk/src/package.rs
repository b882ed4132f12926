//! Policy packages: a module, the document that describes it, and the author's signature over the document.
//!
//! The document is DAG-CBOR, so that content-addressed tools can follow its link to the module; its CID is the
//! policy's id. Nothing in a package is believed: [`Package::verify`] hashes both parts again and checks the
//! signature, and only a [`VerifiedPackage`] can go to the static gate.

use borsh::{BorshDeserialize, BorshSerialize};
use cid::Cid;
use cid::multihash::Multihash;
use dsm_abi::{
    Description, Digest, KeyId, NetworkId, PolicyId, SignatureError, Suite, VerifySignature, limit,
};
use dsm_core::{PublicKey, SignKind, signing_message};
use dsm_crypto::Signer;
use serde::{Deserialize, Serialize};

/// Multicodec of raw bytes.
pub(crate) const RAW: u64 = 0x55;
/// Multicodec of DAG-CBOR.
pub(crate) const DAG_CBOR: u64 = 0x71;
/// Multihash code of BLAKE3-256.
const BLAKE3: u64 = 0x1e;
/// Bytes of a document: a description and a few texts.
pub const DOCUMENT_BYTES_MAX: usize = limit::DESCRIPTION_BYTES_MAX + 8 * 1024;
/// Bytes of a package.
pub const PACKAGE_BYTES_MAX: usize = limit::MODULE_BYTES_MAX + DOCUMENT_BYTES_MAX + 16 * 1024;

/// What a policy is, for people and machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// [`dsm_abi::ABI_VERSION`].
    pub abi: u8,
    /// The module.
    pub module: Cid,
    /// The key that must sign the package.
    pub author: KeyId,
    /// What the module says of itself.
    pub description: Description,
    /// Fuel that one evaluation may use.
    pub fuel_limit: u64,
    /// An SPDX expression.
    pub license: String,
    /// Where the source is.
    pub source: String,
}

/// The author's signature over the policy's id.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Envelope {
    /// The policy.
    pub policy: PolicyId,
    /// The author's key.
    pub key: PublicKey,
    /// The signature over [`Envelope::signing_message`]; empty if the package is not signed yet.
    pub signature: Vec<u8>,
}

/// A policy as it travels and is stored.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Package {
    /// The module's bytes.
    pub module: Vec<u8>,
    /// The document's bytes, DAG-CBOR.
    pub document: Vec<u8>,
    /// The author's signature.
    pub envelope: Envelope,
}

/// A package whose hashes and signature were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPackage {
    policy: PolicyId,
    document: PolicyDocument,
    package: Package,
}

/// Why a package is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// Not canonical bytes of a package.
    #[error("not a package: {0}")]
    Malformed(#[from] dsm_abi::DecodeError),
    /// The document is not canonical DAG-CBOR of a document.
    #[error("the document is malformed: {0}")]
    Document(String),
    /// The document is of another version of the ABI.
    #[error("the document is for version {found} of the ABI, this is version {}", dsm_abi::ABI_VERSION)]
    Abi {
        /// Its version.
        found: u8,
    },
    /// The document's bytes are not what the envelope names.
    #[error("the document is {found}, the signature is for {expected}")]
    PolicyMismatch {
        /// What the envelope names.
        expected: PolicyId,
        /// What the document hashes to.
        found: PolicyId,
    },
    /// The module's bytes are not what the document names.
    #[error("the module is {found}, the document names {expected}")]
    ModuleMismatch {
        /// What the document names.
        expected: Box<Cid>,
        /// What the module hashes to.
        found: Box<Cid>,
    },
    /// There is no signature.
    #[error("the package is not signed")]
    Unsigned,
    /// It is signed by another key than the document's author.
    #[error("the package is signed by {found}, its document names the author {expected}")]
    OtherAuthor {
        /// The author.
        expected: KeyId,
        /// The key in the envelope.
        found: KeyId,
    },
    /// The signature does not count.
    #[error("the author's signature: {0}")]
    Signature(SignatureError),
}

impl PackageError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            PackageError::Malformed(_) => "package_malformed",
            PackageError::Document(_) => "document_malformed",
            PackageError::Abi { .. } => "abi_version",
            PackageError::PolicyMismatch { .. } => "policy_cid_mismatch",
            PackageError::ModuleMismatch { .. } => "module_cid_mismatch",
            PackageError::Unsigned => "policy_unsigned",
            PackageError::OtherAuthor { .. } => "policy_other_author",
            PackageError::Signature(_) => "policy_bad_signature",
        }
    }
}

/// The content address of a module: CIDv1, raw, BLAKE3-256.
pub fn module_cid(module: &[u8]) -> Cid {
    cid(RAW, blake3::hash(module).as_bytes())
}

/// The content address of a policy's document: CIDv1, DAG-CBOR, BLAKE3-256.
pub fn policy_cid(policy: &PolicyId) -> Cid {
    cid(DAG_CBOR, &policy.0)
}

/// The policy that a text names: its CID, or 64 hex digits.
pub fn parse_policy(text: &str) -> Option<PolicyId> {
    if let Ok(policy) = text.parse() {
        return Some(policy);
    }
    let cid = Cid::try_from(text).ok()?;
    if cid.version() != cid::Version::V1 || cid.codec() != DAG_CBOR || cid.hash().code() != BLAKE3 {
        return None;
    }
    cid.hash().digest().try_into().ok().map(PolicyId)
}

/// CIDv1 of a BLAKE3-256 digest.
pub(crate) fn cid(codec: u64, digest: &[u8; 32]) -> Cid {
    let hash = Multihash::wrap(BLAKE3, digest).expect("32 bytes fit a multihash of 64");
    Cid::new_v1(codec, hash)
}

impl PolicyDocument {
    /// The document's bytes: canonical DAG-CBOR.
    pub fn encode(&self) -> Vec<u8> {
        serde_ipld_dagcbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// Decodes bytes that [`PolicyDocument::encode`] wrote, and no others.
    ///
    /// # Errors
    /// [`PackageError::Document`].
    pub fn decode(bytes: &[u8]) -> Result<PolicyDocument, PackageError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(PackageError::Document(format!("longer than {DOCUMENT_BYTES_MAX} bytes")));
        }
        let document: PolicyDocument = serde_ipld_dagcbor::from_slice(bytes)
            .map_err(|error| PackageError::Document(error.to_string()))?;
        if document.encode() != bytes {
            return Err(PackageError::Document("not canonical".into()));
        }
        Ok(document)
    }

    /// The policy that these bytes of a document are.
    pub fn policy(bytes: &[u8]) -> PolicyId {
        PolicyId(*blake3::hash(bytes).as_bytes())
    }
}

impl Envelope {
    /// What the author signs. A policy belongs to every network, so the network is zero.
    pub fn signing_message(suite: Suite, policy: &PolicyId) -> Vec<u8> {
        signing_message(suite, NetworkId::default(), SignKind::Policy, &policy.0)
    }
}

impl Package {
    /// Makes and signs a package. The document's module and author are filled in.
    ///
    /// # Errors
    /// [`dsm_crypto::SignError`].
    pub fn sign(
        module: Vec<u8>,
        document: PolicyDocument,
        author: &dyn Signer,
    ) -> Result<Package, dsm_crypto::SignError> {
        let key = PublicKey { suite: author.suite(), bytes: author.public_key().to_vec() };
        let document = PolicyDocument { module: module_cid(&module), author: key.id(), ..document }.encode();
        let policy = PolicyDocument::policy(&document);
        let signature = author.sign(&Envelope::signing_message(key.suite, &policy))?;
        Ok(Package { module, document, envelope: Envelope { policy, key, signature } })
    }

    /// Decodes a package of at most [`PACKAGE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`PackageError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Package, PackageError> {
        Ok(dsm_abi::decode(bytes, PACKAGE_BYTES_MAX)?)
    }

    /// Hashes both parts again and checks the author's signature.
    ///
    /// # Errors
    /// [`PackageError`], naming the check that failed.
    pub fn verify(self, verifier: &dyn VerifySignature) -> Result<VerifiedPackage, PackageError> {
        let policy = PolicyDocument::policy(&self.document);
        if policy != self.envelope.policy {
            return Err(PackageError::PolicyMismatch { expected: self.envelope.policy, found: policy });
        }
        let document = PolicyDocument::decode(&self.document)?;
        if document.abi != dsm_abi::ABI_VERSION {
            return Err(PackageError::Abi { found: document.abi });
        }
        let found = module_cid(&self.module);
        if found != document.module {
            return Err(PackageError::ModuleMismatch {
                expected: Box::new(document.module),
                found: Box::new(found),
            });
        }
        let Envelope { key, signature, .. } = &self.envelope;
        if signature.is_empty() {
            return Err(PackageError::Unsigned);
        }
        if key.id() != document.author {
            return Err(PackageError::OtherAuthor { expected: document.author, found: key.id() });
        }
        let message = Envelope::signing_message(key.suite, &policy);
        verifier
            .verify_signature(key.suite, &key.bytes, &message, signature)
            .map_err(PackageError::Signature)?;
        Ok(VerifiedPackage { policy, document, package: self })
    }
}

impl VerifiedPackage {
    /// The policy.
    pub fn policy(&self) -> PolicyId {
        self.policy
    }

    /// What it is.
    pub fn document(&self) -> &PolicyDocument {
        &self.document
    }

    /// BLAKE3-256 of the module's bytes.
    pub fn module_digest(&self) -> Digest {
        Digest(*blake3::hash(&self.package.module).as_bytes())
    }

    /// The package itself.
    pub fn package(&self) -> &Package {
        &self.package
    }
}
