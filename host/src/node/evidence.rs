//! Cutting an evidence package out of the log: the transitions that are asked about, every record that has to do with
//! them, the hashes of the records between, and the paths that show that nothing was left out.

use super::{Node, NodeError, StageError};
use dsm_abi::{AccountId, Digest, PolicyId, TokenId, TransitionId};
use dsm_core::{
    Checkpoint, Entry, LogSlice, Logged, PathProof, SignedCheckpoint, Snapshot, Stretch, Touched,
};
use dsm_sdk::evidence::{EVIDENCE_BYTES_MAX, EVIDENCE_TRANSITIONS_MAX, EvidencePackage, Said};
use dsm_store::LogError;
use std::collections::{BTreeMap, BTreeSet};

/// Records that are looked through for one package: a few seconds of reading, a few hundred megabytes at the worst.
/// Longer histories are shown by a backup.
const RECORDS_MAX: u64 = 1 << 17;

/// Why there is no evidence package.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceCutError {
    /// The history cannot be read.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A policy's package cannot be read.
    #[error(transparent)]
    Package(#[from] StageError),
    /// The log has no such transition.
    #[error("there is no accepted transition {0}")]
    Unknown(TransitionId),
    /// None, or more than a package is about.
    #[error("an evidence package is about 1 to {EVIDENCE_TRANSITIONS_MAX} transitions, not {0}")]
    Count(usize),
    /// The history that the transitions depend on is too long for one file.
    #[error("the history that these transitions depend on is too long for an evidence package: {0}")]
    TooLong(&'static str),
    /// The package of a published policy is not here.
    #[error("the package of policy {0} is missing")]
    PackageMissing(PolicyId),
}

impl EvidenceCutError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            EvidenceCutError::Node(error) => error.code(),
            EvidenceCutError::Package(error) => error.code(),
            EvidenceCutError::Unknown(_) => "not_found",
            EvidenceCutError::Count(_) => "malformed_request",
            EvidenceCutError::TooLong(_) => "evidence_too_long",
            EvidenceCutError::PackageMissing(_) => "packages_missing",
        }
    }
}

impl From<LogError> for EvidenceCutError {
    fn from(error: LogError) -> EvidenceCutError {
        EvidenceCutError::Node(NodeError::Log(error))
    }
}

/// A record as the log has it, and what it has to do with.
struct Seen {
    payload: Digest,
    /// The log's chain digest before it.
    before: Digest,
    writes: BTreeSet<Touched>,
    reads: BTreeSet<Touched>,
}

/// Everything up to a checkpoint.
struct Past {
    /// Record `n` stands at `n - 1`.
    records: Vec<Seen>,
    /// The checkpoints in the log, by the last record that each covers.
    checkpoints: BTreeMap<u64, SignedCheckpoint>,
}

impl Node {
    /// Everything that a stranger needs to judge these transitions again, under the last checkpoint; with `whole`, the
    /// whole log up to it.
    ///
    /// # Errors
    /// [`EvidenceCutError`]; [`NodeError::NotCheckpointed`] if a transition is newer than the last checkpoint.
    pub fn evidence(
        &self,
        transitions: &[TransitionId],
        whole: bool,
    ) -> Result<EvidencePackage, EvidenceCutError> {
        let asked: BTreeSet<TransitionId> = transitions.iter().copied().collect();
        if asked.is_empty() || asked.len() > EVIDENCE_TRANSITIONS_MAX {
            return Err(EvidenceCutError::Count(asked.len()));
        }
        let (checkpoint, snapshot) =
            self.0.shared.last_checkpoint.read().clone().ok_or(NodeError::NoCheckpoint)?;
        let last = checkpoint.checkpoint.log_position;
        let mut roots = BTreeSet::new();
        for id in &asked {
            let (position, _) = self.transition(id)?.ok_or(EvidenceCutError::Unknown(*id))?;
            if position > last {
                return Err(NodeError::NotCheckpointed.into());
            }
            roots.insert(position);
        }
        let past = self.past(&checkpoint.checkpoint)?;
        let (mut needed, touched) = self.closure(&past, roots);
        // What a bridge is follows from the whole log only: nothing in a checkpoint shows one bridge.
        if whole || touched.iter().any(|one| matches!(one, Touched::Bridge(_))) {
            needed = (1..=last).collect();
        }
        let touched =
            if needed.len() as u64 == last { self.closure(&past, needed.clone()).1 } else { touched };
        let slice = self.slice(&past, &needed, &touched, &checkpoint, &snapshot)?;
        let outbox = self.said(&asked, &slice, &checkpoint.checkpoint)?;
        let packages = self.packages(&touched, &past)?;
        let package = EvidencePackage::new(asked.into_iter().collect(), slice, outbox, packages);
        if package.encode().len() > EVIDENCE_BYTES_MAX {
            return Err(EvidenceCutError::TooLong("more bytes than one file may have"));
        }
        Ok(package)
    }

    /// Reads the log up to a checkpoint.
    fn past(&self, last: &Checkpoint) -> Result<Past, EvidenceCutError> {
        if last.log_position > RECORDS_MAX {
            return Err(EvidenceCutError::TooLong("more records than are looked through"));
        }
        let reader = self.0.shared.history.reader();
        let mut past = Past { records: Vec::new(), checkpoints: BTreeMap::new() };
        let mut before = Digest::default();
        for record in reader.iter(1)?.take(last.log_position as usize) {
            let record = record?;
            let (mut writes, mut reads) = (BTreeSet::new(), BTreeSet::new());
            match super::history::decode_entry(record.position, &record.payload)? {
                Entry::Accepted(accepted) => (writes, reads) = (accepted.writes(), accepted.reads()),
                Entry::Checkpoint(signed) => {
                    past.checkpoints.insert(signed.checkpoint.log_position, *signed);
                }
                Entry::Genesis(_) | Entry::Equivocation(_) => {}
            }
            let payload = Digest(*blake3::hash(&record.payload).as_bytes());
            past.records.push(Seen { payload, before, writes, reads });
            before = Digest(record.digest);
        }
        if past.records.len() as u64 != last.log_position || before != last.log_digest {
            return Err(NodeError::Record(last.log_position).into());
        }
        Ok(past)
    }

    /// The records that have to do with `roots`, directly or not, and everything that they touch.
    fn closure(&self, past: &Past, roots: BTreeSet<u64>) -> (BTreeSet<u64>, BTreeSet<Touched>) {
        let mut writers: BTreeMap<Touched, Vec<u64>> = BTreeMap::new();
        for (seen, position) in past.records.iter().zip(1..) {
            seen.writes.iter().for_each(|one| writers.entry(*one).or_default().push(position));
        }
        let (mut needed, mut touched) = (roots.clone(), BTreeSet::new());
        let mut open: Vec<u64> = roots.into_iter().collect();
        while let Some(position) = open.pop() {
            let seen = &past.records[position as usize - 1];
            let mut new: Vec<Touched> = seen.writes.iter().chain(&seen.reads).copied().collect();
            while let Some(one) = new.pop() {
                if !touched.insert(one) {
                    continue;
                }
                let Some(writers) = writers.get(&one) else { continue };
                open.extend(writers.iter().copied().filter(|position| needed.insert(*position)));
                if let Touched::Token(token) = one {
                    let (foreign, _) = self.read(|ledger| ledger.foreign_reads(&token));
                    new.extend(foreign.into_iter().map(Touched::Token));
                }
            }
        }
        (needed, touched)
    }

    fn slice(
        &self,
        past: &Past,
        needed: &BTreeSet<u64>,
        touched: &BTreeSet<Touched>,
        last: &SignedCheckpoint,
        snapshot: &Snapshot,
    ) -> Result<LogSlice, EvidenceCutError> {
        let mut stretches = Vec::new();
        let mut bytes = 0;
        let mut begin = 1;
        let ends = past.checkpoints.iter().map(|(end, signed)| (*end, signed));
        let (end, node) = (last.checkpoint.log_position, &self.genesis().node);
        for (end, signed) in ends.filter(|(covered, _)| *covered < end).chain([(end, last)]) {
            let first = needed.range(begin..=end).next().copied();
            begin = end + 1;
            let is_last = signed.checkpoint == last.checkpoint;
            let first = match first {
                Some(first) => first,
                None if is_last => begin,
                None => continue,
            };
            let before =
                past.records.get(first as usize - 1).map_or(last.checkpoint.log_digest, |seen| seen.before);
            let mut records = Vec::new();
            for position in first..=end {
                records.push(if needed.contains(&position) {
                    let payload = self.0.shared.history.reader().read(position)?.payload;
                    bytes += payload.len();
                    Logged::Whole(payload)
                } else {
                    Logged::Hash(past.records[position as usize - 1].payload)
                });
            }
            if bytes > EVIDENCE_BYTES_MAX {
                return Err(EvidenceCutError::TooLong("more bytes than one file may have"));
            }
            let mut checkpoint = signed.clone();
            checkpoint.signatures.retain(|signature| signature.key == *node);
            stretches.push(Stretch { first, before, records, checkpoint });
        }
        let (accounts, tokens) = paths(touched, snapshot);
        Ok(LogSlice { genesis: self.genesis().clone(), stretches, accounts, tokens })
    }

    /// What the transitions put into the outbox, proven under the checkpoint, in the order of the log.
    fn said(
        &self,
        asked: &BTreeSet<TransitionId>,
        slice: &LogSlice,
        last: &Checkpoint,
    ) -> Result<Vec<Said>, EvidenceCutError> {
        let records = slice.stretches.iter().flat_map(|stretch| &stretch.records);
        let in_order = records.filter_map(|record| match record {
            Logged::Whole(bytes) => match super::history::decode_entry(0, bytes) {
                Ok(Entry::Accepted(accepted)) => Some(accepted.signed.transition.id()),
                Ok(_) | Err(_) => None,
            },
            Logged::Hash(_) => None,
        });
        let (said, _) = self.read(|ledger| {
            let outbox = ledger.outbox();
            let mut said = Vec::new();
            for id in in_order.filter(|id| asked.contains(id)) {
                for entry in outbox.entries_of(&id) {
                    let siblings = outbox.prove(entry.index, last.outbox_size)?;
                    said.push(Said { entry: entry.clone(), siblings });
                }
            }
            Ok::<_, dsm_core::OutboxError>(said)
        });
        Ok(said.map_err(NodeError::from)?)
    }

    /// The packages of all policies that the records publish.
    fn packages(&self, touched: &BTreeSet<Touched>, past: &Past) -> Result<Vec<Vec<u8>>, EvidenceCutError> {
        let written: BTreeSet<&Touched> = past.records.iter().flat_map(|seen| &seen.writes).collect();
        let mut packages = Vec::new();
        for one in touched {
            if let (Touched::Policy(policy), true) = (one, written.contains(one)) {
                packages.push(self.package(policy)?.ok_or(EvidenceCutError::PackageMissing(*policy))?);
            }
        }
        Ok(packages)
    }
}

fn paths(
    touched: &BTreeSet<Touched>,
    snapshot: &Snapshot,
) -> (BTreeMap<AccountId, PathProof>, BTreeMap<TokenId, PathProof>) {
    let (mut accounts, mut tokens) = (BTreeMap::new(), BTreeMap::new());
    for one in touched {
        match one {
            Touched::Account(account) => {
                accounts.insert(*account, snapshot.prove_account(account).1);
            }
            Touched::Token(token) => {
                tokens.insert(*token, snapshot.prove_token(token).1);
            }
            Touched::Policy(_) | Touched::Credit(_) | Touched::Hold(_) | Touched::Bridge(_) => {}
        }
    }
    (accounts, tokens)
}
