//! Proof files: what one party hands to another so that it can be verified without asking anyone.
//!
//! A file is magic bytes, a version, and one proof. It brings its own headers but no trust: the set of validators to
//! begin with, or the root that a ledger signed, comes from the reader. The verification is a report, so that a
//! person sees what was checked, what failed first, and what was therefore not looked at.

use crate::outbox::verify_inclusion;
use crate::{
    Address, Advance, Entry, EvmLockProof, Hash, Header, LockError, Payload, ProvenLock, QbftHeader,
    RecoverSigner, Rules, SIBLINGS_MAX, SealedHeader, Shown, TrustedSet, bounded,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use borsh::io::{Read, Result as IoResult};
use borsh::{BorshDeserialize, BorshSerialize};

/// The first bytes of a proof file.
const MAGIC: [u8; 8] = *b"DSMproof";
/// The version that is written and read.
const VERSION: u8 = 1;
/// Advances in one file: from the first set of a bridge over every change since.
pub const HEADERS_MAX: usize = 64;
/// Bytes of a bridge's configuration, which is not read here.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a signed checkpoint, which is not read here.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a proof file.
pub const PROOF_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A proof that stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ProofFile {
    /// That value was locked on an EVM chain.
    Lock(LockFile) = 1,
    /// That the ledger said something to an EVM chain.
    Outbox(OutboxFile) = 2,
}

/// That value was locked on an EVM chain.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct LockFile {
    /// The chain.
    pub chain_id: u64,
    /// The bridge contract.
    pub contract: Address,
    /// The slot of its mapping of locks.
    pub outbox_slot: Hash,
    /// The bridge's configuration as the ledger encodes it; opaque here. Its hash is the bridge's id.
    pub config: Vec<u8>,
    /// From the configuration's set to the one that sealed the proof's header; empty if it is the same.
    pub advances: Vec<Advance>,
    /// The proof.
    pub proof: EvmLockProof,
}

/// That the ledger said something to an EVM chain.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct OutboxFile {
    /// What it said.
    pub entry: Entry,
    /// Entries of the outbox under the root.
    pub size: u64,
    /// From the leaf upwards.
    pub siblings: Vec<Hash>,
    /// The outbox's root.
    pub root: Hash,
    /// The ledger's checkpoint with this root and its signatures, as the ledger encodes it; opaque here.
    pub checkpoint: Vec<u8>,
}

impl BorshDeserialize for LockFile {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<LockFile> {
        let (chain_id, contract, outbox_slot) = BorshDeserialize::deserialize_reader(reader)?;
        let config = bounded::bytes(reader, CONFIG_BYTES_MAX)?;
        let advances = bounded::items(reader, HEADERS_MAX, Advance::deserialize_reader)?;
        let proof = BorshDeserialize::deserialize_reader(reader)?;
        Ok(LockFile { chain_id, contract, outbox_slot, config, advances, proof })
    }
}

impl BorshDeserialize for OutboxFile {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<OutboxFile> {
        let (entry, size) = BorshDeserialize::deserialize_reader(reader)?;
        let siblings = bounded::items(reader, SIBLINGS_MAX, Hash::deserialize_reader)?;
        let root = BorshDeserialize::deserialize_reader(reader)?;
        let checkpoint = bounded::bytes(reader, CHECKPOINT_BYTES_MAX)?;
        Ok(OutboxFile { entry, size, siblings, root, checkpoint })
    }
}

/// Why bytes are not a proof file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// More bytes than any proof has.
    #[error("{found} bytes; a proof file has at most {PROOF_FILE_BYTES_MAX}")]
    TooLong {
        /// The bytes offered.
        found: usize,
    },
    /// The file does not begin as one.
    #[error("not a proof file")]
    Magic,
    /// Written by a later version of this program.
    #[error("a proof file of version {found}; this program reads version {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// Truncated, damaged, or beyond a limit.
    #[error("a damaged proof file")]
    Malformed,
}

impl FileError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            FileError::TooLong { .. } => "proof_file_too_long",
            FileError::Magic => "proof_file_magic",
            FileError::Version { .. } => "proof_file_version",
            FileError::Malformed => "proof_file_malformed",
        }
    }
}

impl ProofFile {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.append(&mut bounded::encode(self));
        bytes
    }

    /// The proof that stands in a file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn decode(bytes: &[u8]) -> Result<ProofFile, FileError> {
        if bytes.len() > PROOF_FILE_BYTES_MAX {
            return Err(FileError::TooLong { found: bytes.len() });
        }
        match bytes.strip_prefix(&MAGIC).ok_or(FileError::Magic)? {
            [VERSION, proof @ ..] => bounded::decode(proof, PROOF_FILE_BYTES_MAX).ok_or(FileError::Malformed),
            [found, ..] => Err(FileError::Version { found: *found }),
            [] => Err(FileError::Malformed),
        }
    }
}

/// What became of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It held.
    Passed {
        /// What was found.
        found: String,
    },
    /// It failed.
    Failed {
        /// The stable code.
        code: &'static str,
        /// The reason, for people.
        reason: String,
    },
    /// An earlier check failed.
    Skipped,
}

/// One check of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked, in a few words.
    pub name: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// What verifying a file found, check by check, in the order in which trust flows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// A report without checks, to which a caller adds its own.
    pub fn new() -> Report {
        Report::default()
    }

    /// The checks.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether every check held; never so for a report of nothing.
    pub fn is_valid(&self) -> bool {
        let passed = |check: &Check| matches!(check.outcome, Outcome::Passed { .. });
        !self.checks.is_empty() && self.checks.iter().all(passed)
    }

    /// The name and the code of the first check that failed.
    pub fn first_failed(&self) -> Option<(&'static str, &'static str)> {
        self.checks.iter().find_map(|check| match check.outcome {
            Outcome::Failed { code, .. } => Some((check.name, code)),
            Outcome::Passed { .. } | Outcome::Skipped => None,
        })
    }

    /// Adds a check that held.
    pub fn pass(&mut self, name: &'static str, found: impl Into<String>) {
        self.checks.push(Check { name, outcome: Outcome::Passed { found: found.into() } });
    }

    /// Adds a check that failed.
    pub fn fail(&mut self, name: &'static str, code: &'static str, reason: impl Into<String>) {
        self.checks.push(Check { name, outcome: Outcome::Failed { code, reason: reason.into() } });
    }

    /// Adds a check that was not looked at, because an earlier one failed.
    pub fn skip(&mut self, name: &'static str) {
        self.checks.push(Check { name, outcome: Outcome::Skipped });
    }

    /// Adds a check: its finding and its value, or its code and reason. Skipped, with no value, if `before` has none.
    fn check<B, T>(
        &mut self,
        name: &'static str,
        before: Option<B>,
        check: impl FnOnce(B) -> Result<(T, String), (&'static str, String)>,
    ) -> Option<T> {
        match before.map(check) {
            None => self.skip(name),
            Some(Err((code, reason))) => self.fail(name, code, reason),
            Some(Ok((value, found))) => {
                self.pass(name, found);
                return Some(value);
            }
        }
        None
    }
}

/// Code and sentence of an error.
macro_rules! told {
    () => {
        |error| (error.code(), error.to_string())
    };
}

impl LockFile {
    /// Verifies everything from `trusted` on, at the time `now_s`: each advance, the header, and what the nodes show.
    pub fn verify(
        &self,
        trusted: &TrustedSet,
        rules: &Rules,
        now_s: u64,
        recover: &dyn RecoverSigner,
    ) -> (Report, Option<ProvenLock>) {
        let mut report = Report::new();
        let set = report.check("advances", Some(trusted.clone()), |mut set| {
            for advance in &self.advances {
                set = set.verify_advance(rules, advance, now_s, recover).map_err(told!())?;
            }
            let found = format!("{} advances to height {}", self.advances.len(), set.height());
            Ok((set, found))
        });
        let form = report.check("header", set, |set| {
            let header = QbftHeader::decode(&self.proof.header).map_err(told!())?;
            let found = format!("block {} with {} seals", header.header().number, header.extra().seals.len());
            Ok(((set, header), found))
        });
        let sealed = report.check("seals", form, |(set, header)| {
            let seals = header.extra().seals.len();
            let sealed = set.verify_header(rules, header, now_s, recover).map_err(told!())?;
            Ok((sealed, format!("{seals} seals; {} validators are trusted", set.validators().len())))
        });
        let proven = self.check_state(&mut report, sealed.as_ref().map(SealedHeader::state_root));
        (report, proven)
    }

    /// Verifies what the nodes show under a header whose block hash is known to be `block_hash`, on a chain that
    /// hashes whole headers.
    pub fn verify_under(&self, block_hash: &Hash) -> (Report, Option<ProvenLock>) {
        let mut report = Report::new();
        let header = report.check("header", Some(()), |()| {
            let header = Header::decode(&self.proof.header).map_err(told!())?;
            let found = format!("block {}", header.number);
            Ok((header, found))
        });
        let root = report.check("block hash", header, |header| {
            if header.hash() == *block_hash {
                return Ok((header.state_root, "the trusted block".to_string()));
            }
            Err(("header_hash", "the header is not the trusted block's".to_string()))
        });
        let proven = self.check_state(&mut report, root);
        (report, proven)
    }

    fn check_state(&self, report: &mut Report, state_root: Option<Hash>) -> Option<ProvenLock> {
        report.check("lock", state_root, |root| {
            match self.proof.verify(&root, &self.contract, &self.outbox_slot, self.chain_id) {
                Ok(Shown::Present(proven)) => {
                    let lock = proven.lock();
                    let found = format!("lock {} of {} until {} s", lock.nonce, lock.amount, lock.deadline_s);
                    Ok((proven, found))
                }
                Ok(Shown::Absent) => {
                    Err(("lock_absent", "the contract has no lock of this number".to_string()))
                }
                Err(error) => Err(told_of_nodes(error)),
            }
        })
    }
}

/// The innermost code: which rule of the nodes was broken says more than that one was.
fn told_of_nodes(error: LockError) -> (&'static str, String) {
    (error.not_shown().map_or(error.code(), |reason| reason.code()), error.to_string())
}

impl OutboxFile {
    /// Verifies that the entry is where the root has it, and that a contract can read it. Whether the ledger signed
    /// the root is for a caller who can read its checkpoint.
    pub fn verify(&self) -> Report {
        let mut report = Report::new();
        report.check("payload", Some(()), |()| {
            let payload = Payload::decode(&self.entry.payload).map_err(told!())?;
            let found = match payload {
                Payload::Release(release) => {
                    format!("release of {} on chain {}", release.amount, release.chain_id)
                }
                Payload::Refund(refund) => {
                    format!("refund of lock {} on chain {}", refund.nonce, refund.chain_id)
                }
            };
            Ok(((), found))
        });
        report.check("inclusion", Some(()), |()| {
            let (leaf, index) = (self.entry.leaf(), self.entry.index);
            verify_inclusion(&leaf, index, self.size, &self.siblings, &self.root).map_err(told!())?;
            Ok(((), format!("entry {index} of {}", self.size)))
        });
        report
    }
}
