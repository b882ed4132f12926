//! A slice of a log: the records on which some transitions depend, whole, and the hashes of those between them. Enough to
//! work out again the states that these transitions met, to judge them again, and to show that nothing was left out.
//!
//! Three things hold it together. Every stretch of records hashes to a chain digest that the node signed. Every record
//! that is whole is judged again from the genesis on. Every account and token that these records read or move ends at
//! the head that a path shows under the last checkpoint, and heads are hash chains: a record that was left out would
//! show as another head.
//!
//! Left out on purpose: which records a slice needs (the node that cuts it knows), where policies come from (a
//! [`Judge`]), and one-time evidence: that no record outside the slice used it is the node's word alone.

use crate::{
    Accepted, Applied, Compact, EquivocationError, EvidenceProof, Judge, Ledger, NetworkGenesis,
    OperationKind, PathProof, ProofError, PublicKey, RecordError, SignedCheckpoint, hash, tag,
};
use crate::{Checkpoint, Entry};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{
    AccountId, BridgeId, CreditId, Digest, Effect, HoldId, PolicyId, TokenId, VerifySignature, decode,
};

/// The kind under which logs keep entries.
pub const RECORD_KIND: u8 = 1;
/// Bytes of one record, as logs allow them.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// A record of a log, or its hash.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Logged {
    /// BLAKE3-256 of its bytes: nothing in the slice depends on it.
    Hash(Digest),
    /// Its bytes: the canonical bytes of an [`Entry`].
    Whole(Vec<u8>),
}

/// Records without gaps, up to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Stretch {
    /// The position of the first record.
    pub first: u64,
    /// The log's chain digest before it.
    pub before: Digest,
    /// The records.
    pub records: Vec<Logged>,
    /// Signed by the node, and by it alone: the last record is the last that it covers.
    pub checkpoint: SignedCheckpoint,
}

/// A slice of a log.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LogSlice {
    /// How the network began.
    pub genesis: NetworkGenesis,
    /// At least one, in ascending order; the paths hang from the last one's checkpoint.
    pub stretches: Vec<Stretch>,
    /// For every account that the whole records read or move, the path to its head, or to where it would be.
    pub accounts: BTreeMap<AccountId, PathProof>,
    /// The same for tokens, those that policies read besides among them.
    pub tokens: BTreeMap<TokenId, PathProof>,
}

/// Something that a record reads or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// An account.
    Account(AccountId),
    /// A token.
    Token(TokenId),
    /// A policy.
    Policy(PolicyId),
    /// A credit.
    Credit(CreditId),
    /// A hold.
    Hold(HoldId),
    /// A bridge.
    Bridge(BridgeId),
}

/// Why a slice shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SliceError {
    /// The network's genesis names another node than the trusted one.
    #[error("the network's genesis names another node than the trusted key")]
    OtherNode,
    /// A checkpoint is not what the node signed.
    #[error("the checkpoint at {position}: {source}")]
    Checkpoint {
        /// The last record that it covers.
        position: u64,
        /// Why.
        source: ProofError,
    },
    /// A checkpoint carries more than the node's signature, or belongs to another network.
    #[error("the checkpoint at {position} is another network's, or not signed by the node alone")]
    CheckpointShape {
        /// The last record that it covers.
        position: u64,
    },
    /// Stretches overlap, run backwards, or do not end at their checkpoints; or there is none.
    #[error("stretch {stretch} is not in order, or does not end at its checkpoint")]
    Order {
        /// Which, from 0.
        stretch: usize,
    },
    /// The records do not hash to what the node signed.
    #[error("the records {first} to {last} do not hash to the log's digest that the node signed")]
    Chain {
        /// The first of the stretch.
        first: u64,
        /// The last of the stretch.
        last: u64,
    },
    /// A record is no entry of a log, or a genesis that is not the network's.
    #[error("record {position} is no entry of this log")]
    Entry {
        /// Its position.
        position: u64,
    },
    /// A record does not follow from those before it.
    #[error("record {position}: {source}")]
    Record {
        /// Its position.
        position: u64,
        /// Why.
        source: RecordError,
    },
    /// A checkpoint in the log is not signed by the node.
    #[error("record {position}: {source}")]
    RecordedCheckpoint {
        /// Its position.
        position: u64,
        /// Why.
        source: ProofError,
    },
    /// A proof of equivocation shows none.
    #[error("record {position}: {source}")]
    Equivocation {
        /// Its position.
        position: u64,
        /// Why.
        source: EquivocationError,
    },
    /// There is a path too few or too many.
    #[error("{0} has no path, or a path and no part in the slice")]
    Paths(Digest),
    /// A path leads elsewhere than to the checkpoint's root and the head that the slice leads to.
    #[error("{id}: {source}")]
    Head {
        /// The account or token.
        id: Digest,
        /// Why.
        source: ProofError,
    },
    /// Records of a bridge are shown with the whole log only.
    #[error("the records depend on bridge {0}, whose state is shown by the whole log only")]
    Bridge(BridgeId),
    /// The whole log leads to other roots than the node signed.
    #[error("the whole log leads to other roots than the node signed")]
    Roots,
}

impl SliceError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            SliceError::OtherNode => "checkpoint_not_signed",
            SliceError::Checkpoint { source, .. } | SliceError::Head { source, .. } => source.code(),
            SliceError::CheckpointShape { .. } | SliceError::Order { .. } | SliceError::Entry { .. } => {
                "evidence_malformed"
            }
            SliceError::Chain { .. } => "evidence_log",
            SliceError::Record { .. } => "replay_record",
            SliceError::RecordedCheckpoint { .. } => "replay_checkpoint_signature",
            SliceError::Equivocation { .. } => "replay_equivocation",
            SliceError::Paths(_) | SliceError::Bridge(_) => "evidence_incomplete",
            SliceError::Roots => "replay_checkpoint",
        }
    }
}

/// A record with its place, whose bytes the node's signature covers.
#[derive(Debug)]
struct Placed {
    position: u64,
    log_digest: Digest,
    entry: Entry,
}

/// A slice whose records are those of the node's log.
#[derive(Debug)]
pub struct ReadSlice<'a> {
    slice: &'a LogSlice,
    records: Vec<Placed>,
    hashed: u64,
    last: &'a Checkpoint,
}

/// A transition that was judged again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejudged {
    /// Its position in the log.
    pub position: u64,
    /// The log's chain digest through it.
    pub log_digest: Digest,
    /// What it did, then and now.
    pub applied: Applied,
}

/// A slice whose transitions were judged again, with the outcome that the log says.
#[derive(Debug)]
pub struct RejudgedSlice<'a> {
    slice: &'a LogSlice,
    ledger: Ledger,
    touched: BTreeSet<Touched>,
    whole: bool,
    last: &'a Checkpoint,
    /// The transitions, in the order of the log.
    pub transitions: Vec<Rejudged>,
}

/// What holds of a slice that leaves nothing out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// Accounts whose heads, or whose absence, the last checkpoint shows.
    pub accounts: usize,
    /// Tokens, likewise.
    pub tokens: usize,
    /// Whether the slice is the whole log, so that every root agrees.
    pub whole: bool,
}

impl LogSlice {
    /// Checks that `trusted` is the network's node, that it signed every checkpoint, and that the records hash to what it
    /// signed.
    ///
    /// # Errors
    /// [`SliceError`].
    pub fn read(
        &self,
        trusted: &PublicKey,
        verifier: &dyn VerifySignature,
    ) -> Result<ReadSlice<'_>, SliceError> {
        if self.genesis.node != *trusted {
            return Err(SliceError::OtherNode);
        }
        let network = self.genesis.network();
        let (mut end, mut records, mut hashed) = (0, Vec::new(), 0);
        for (number, stretch) in self.stretches.iter().enumerate() {
            let order = SliceError::Order { stretch: number };
            let last = stretch.checkpoint.checkpoint.log_position;
            let fits = last.checked_add(1).and_then(|next| next.checked_sub(stretch.records.len() as u64));
            if stretch.first <= end || fits != Some(stretch.first) {
                return Err(order);
            }
            if stretch.checkpoint.signatures.len() != 1 || stretch.checkpoint.checkpoint.network != network {
                return Err(SliceError::CheckpointShape { position: last });
            }
            stretch
                .checkpoint
                .verify(trusted, verifier)
                .map_err(|source| SliceError::Checkpoint { position: last, source })?;
            hashed += stretch.read(&self.genesis, &mut records)?;
            end = last;
        }
        let last = self.stretches.last().ok_or(SliceError::Order { stretch: 0 })?;
        Ok(ReadSlice { slice: self, records, hashed, last: &last.checkpoint.checkpoint })
    }
}

impl Stretch {
    /// Hashes the records, decodes those that are whole, and counts the others.
    fn read(&self, genesis: &NetworkGenesis, records: &mut Vec<Placed>) -> Result<u64, SliceError> {
        let (mut digest, mut hashed, from) = (self.before, 0, records.len());
        for (record, position) in self.records.iter().zip(self.first..) {
            let payload = match record {
                Logged::Hash(hash) => *hash,
                Logged::Whole(bytes) => Digest(*blake3::hash(bytes).as_bytes()),
            };
            digest = hash(tag::LOG, &[&digest.0, &position.to_le_bytes(), &[RECORD_KIND], &payload.0]);
            let Logged::Whole(bytes) = record else {
                hashed += 1;
                continue;
            };
            let entry = decode(bytes, RECORD_BYTES_MAX).map_err(|_| SliceError::Entry { position })?;
            match &entry {
                Entry::Genesis(found) if position == 1 && found == genesis => {}
                Entry::Genesis(_) => return Err(SliceError::Entry { position }),
                Entry::Accepted(_) | Entry::Checkpoint(_) | Entry::Equivocation(_) => {}
            }
            records.push(Placed { position, log_digest: digest, entry });
        }
        let checkpoint = &self.checkpoint.checkpoint;
        if digest == checkpoint.log_digest {
            return Ok(hashed);
        }
        records.truncate(from);
        Err(SliceError::Chain { first: self.first, last: checkpoint.log_position })
    }
}

impl<'a> ReadSlice<'a> {
    /// Records that are there as a hash.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    /// Records that are there whole.
    pub fn whole(&self) -> u64 {
        self.records.len() as u64
    }

    /// The last checkpoint.
    pub fn checkpoint(&self) -> &'a Checkpoint {
        self.last
    }

    /// Verifies every signature, runs every policy, and compares effects and heads with what the log says.
    ///
    /// # Errors
    /// [`SliceError`], naming the record.
    pub fn rejudge(
        self,
        verifier: &dyn VerifySignature,
        judge: &mut dyn Judge,
    ) -> Result<RejudgedSlice<'a>, SliceError> {
        let mut ledger = Ledger::new(&self.slice.genesis);
        let (mut touched, mut transitions) = (BTreeSet::new(), Vec::new());
        // The last checkpoint covers as many records as there are whole ones, so none is missing.
        let whole = self.records.len() as u64 == self.last.log_position;
        for Placed { position, log_digest, entry } in self.records {
            match entry {
                Entry::Genesis(_) => {}
                Entry::Accepted(record) => {
                    touched.extend(record.reads().into_iter().chain(record.writes()));
                    let applied = ledger
                        .replay_verifying(*record, verifier, judge)
                        .map_err(|source| SliceError::Record { position, source })?;
                    transitions.push(Rejudged { position, log_digest, applied });
                }
                Entry::Checkpoint(signed) => {
                    signed
                        .verify(&self.slice.genesis.node, verifier)
                        .map_err(|source| SliceError::RecordedCheckpoint { position, source })?;
                }
                Entry::Equivocation(proof) => {
                    proof.verify(verifier).map_err(|source| SliceError::Equivocation { position, source })?;
                }
            }
        }
        let tokens: Vec<TokenId> = ledger.tokens().map(|(token, _)| *token).collect();
        for token in tokens {
            touched.extend(ledger.foreign_reads(&token).into_iter().map(Touched::Token));
        }
        Ok(RejudgedSlice { slice: self.slice, ledger, touched, whole, last: self.last, transitions })
    }
}

impl RejudgedSlice<'_> {
    /// The policies that the records publish.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &PolicyId> {
        self.ledger.policies().map(|record| &record.policy)
    }

    /// Compares every head with the last checkpoint: nothing that these records read or move was left out.
    ///
    /// # Errors
    /// [`SliceError`], naming the account or token.
    pub fn prove(&mut self) -> Result<Proven, SliceError> {
        let slice = self.slice;
        let (mut accounts, mut tokens) = (BTreeMap::new(), BTreeMap::new());
        for one in &self.touched {
            match one {
                Touched::Account(id) => {
                    let head = self.ledger.account(id).map(|found| Digest(found.head().0));
                    accounts.insert(*id, head);
                }
                Touched::Token(id) => {
                    let head = self.ledger.token(id).map(|found| Digest(found.head().0));
                    tokens.insert(*id, head);
                }
                Touched::Bridge(bridge) if !self.whole => return Err(SliceError::Bridge(*bridge)),
                Touched::Bridge(_) | Touched::Policy(_) | Touched::Credit(_) | Touched::Hold(_) => {}
            }
        }
        let named = |id: &AccountId| Digest(id.0);
        check_paths(&accounts, &slice.accounts, named, self.last.accounts_root)?;
        let named = |id: &TokenId| Digest(id.0);
        check_paths(&tokens, &slice.tokens, named, self.last.tokens_root)?;
        if self.whole {
            self.check_roots()?;
        }
        Ok(Proven { accounts: accounts.len(), tokens: tokens.len(), whole: self.whole })
    }

    fn check_roots(&mut self) -> Result<(), SliceError> {
        let (found, _) = self.ledger.checkpoint(None, self.last.log_position, self.last.log_digest);
        let Checkpoint { epoch, from_ms, parent, .. } = self.last;
        let expected = Checkpoint { epoch: *epoch, from_ms: *from_ms, parent: *parent, ..found };
        if expected == *self.last { Ok(()) } else { Err(SliceError::Roots) }
    }
}

/// The same keys on both sides, and each path leads to its head, or to nothing where there is none.
fn check_paths<K: Ord + Copy>(
    heads: &BTreeMap<K, Option<Digest>>,
    paths: &BTreeMap<K, PathProof>,
    named: impl Fn(&K) -> Digest,
    root: Digest,
) -> Result<(), SliceError> {
    let odd = |(one, other): (&BTreeSet<K>, &BTreeSet<K>)| one.symmetric_difference(other).next().copied();
    let (needed, given) = (heads.keys().copied().collect(), paths.keys().copied().collect());
    if let Some(odd) = odd((&needed, &given)) {
        return Err(SliceError::Paths(named(&odd)));
    }
    for ((key, head), path) in heads.iter().zip(paths.values()) {
        let id = named(key);
        let failed = |source| SliceError::Head { id, source };
        let (found_root, found) = path.conclude::<Compact>(&id.0).ok_or(failed(ProofError::Leaf))?;
        if found_root != root {
            return Err(failed(ProofError::Root));
        }
        if found != *head {
            return Err(failed(ProofError::Leaf));
        }
    }
    Ok(())
}

impl Accepted {
    /// What it changed or made.
    pub fn writes(&self) -> BTreeSet<Touched> {
        let mut touched = BTreeSet::new();
        touched.extend(self.accounts.iter().map(|state| Touched::Account(state.account)));
        touched.extend(self.tokens.iter().map(|state| Touched::Token(state.token)));
        touched.extend(self.credits.iter().map(|credit| Touched::Credit(credit.id)));
        touched.extend(self.holds.iter().map(|hold| Touched::Hold(hold.id)));
        for operation in &self.signed.transition.operations {
            match &operation.kind {
                OperationKind::Publish { policy, .. } => touched.insert(Touched::Policy(*policy)),
                OperationKind::OpenBridge { config } => touched.insert(Touched::Bridge(config.id())),
                OperationKind::AdvanceBridge { bridge, .. } | OperationKind::ConvictBridge { bridge, .. } => {
                    touched.insert(Touched::Bridge(*bridge))
                }
                _ => false,
            };
        }
        touched
    }

    /// What its acceptance depended on, as far as it names it: whoever needs to judge it again needs the records that
    /// made and moved these. Of a token that is also what its policies read of others: [`Ledger::foreign_reads`].
    pub fn reads(&self) -> BTreeSet<Touched> {
        let transition = &self.signed.transition;
        let mut touched: BTreeSet<Touched> =
            transition.parents.iter().map(|(account, _)| Touched::Account(*account)).collect();
        transition.operations.iter().for_each(|operation| operation_reads(&operation.kind, &mut touched));
        transition.evidence.iter().for_each(|evidence| evidence_reads(evidence, &mut touched));
        for given in &self.effects {
            touched.insert(Touched::Token(given.token));
            given.effects.iter().for_each(|effect| effect_reads(effect, &mut touched));
        }
        for credit in &self.credits {
            touched.extend([Touched::Account(credit.from), Touched::Account(credit.to)]);
            touched.insert(Touched::Token(credit.token));
        }
        for hold in &self.holds {
            touched.extend([Touched::Account(hold.owner), Touched::Account(hold.beneficiary)]);
            touched.insert(Touched::Token(hold.token));
        }
        touched.remove(&Touched::Token(TokenId::NONE));
        touched
    }
}

fn operation_reads(kind: &OperationKind, touched: &mut BTreeSet<Touched>) {
    match kind {
        OperationKind::CreateAccount { .. }
        | OperationKind::RotateKeys { .. }
        | OperationKind::Precommit { .. }
        | OperationKind::Recover { .. }
        | OperationKind::Revoke
        | OperationKind::Publish { .. }
        | OperationKind::OpenBridge { .. }
        | OperationKind::Emit { .. } => {}
        OperationKind::CreateToken { policies, .. } => {
            touched.extend(policies.iter().map(|policy| Touched::Policy(*policy)));
        }
        OperationKind::Mint { token, to, .. } | OperationKind::Transfer { token, to, .. } => {
            touched.extend([Touched::Token(*token), Touched::Account(*to)]);
        }
        OperationKind::Burn { token, .. }
        | OperationKind::Invoke { token, .. }
        | OperationKind::Upgrade { token, .. } => {
            touched.insert(Touched::Token(*token));
        }
        OperationKind::Claim { credit } => {
            touched.insert(Touched::Credit(*credit));
        }
        OperationKind::Hold { token, beneficiary, .. } => {
            touched.extend([Touched::Token(*token), Touched::Account(*beneficiary)]);
        }
        OperationKind::Release { hold } | OperationKind::Execute { hold } => {
            touched.insert(Touched::Hold(*hold));
        }
        OperationKind::AdvanceBridge { bridge, .. } | OperationKind::ConvictBridge { bridge, .. } => {
            touched.insert(Touched::Bridge(*bridge));
        }
    }
}

fn evidence_reads(evidence: &EvidenceProof, touched: &mut BTreeSet<Touched>) {
    match evidence {
        EvidenceProof::Credential(presentation) => {
            touched.insert(Touched::Account(presentation.credential.issuer));
        }
        EvidenceProof::HashPreimage(_) => {}
        EvidenceProof::Attestation { attestation, .. } => {
            touched.insert(Touched::Account(attestation.account));
        }
        EvidenceProof::Bridge { bridge, .. } => {
            touched.insert(Touched::Bridge(*bridge));
        }
        EvidenceProof::OracleRound { observations, .. } => {
            touched.extend(observations.iter().map(|one| Touched::Account(one.account)));
        }
    }
}

fn effect_reads(effect: &Effect, touched: &mut BTreeSet<Touched>) {
    match effect {
        Effect::SetState { .. }
        | Effect::DeleteState { .. }
        | Effect::Event { .. }
        | Effect::Emit { .. }
        | Effect::CancelUpgrade { .. } => {}
        Effect::ScheduleUpgrade { policy, .. } => {
            touched.insert(Touched::Policy(*policy));
        }
        Effect::CreateHold { owner, beneficiary, .. } => {
            touched.extend([Touched::Account(*owner), Touched::Account(*beneficiary)]);
        }
        Effect::ExtendHold { hold, .. } | Effect::ReleaseHold { hold } | Effect::ExecuteHold { hold } => {
            touched.insert(Touched::Hold(*hold));
        }
        Effect::Freeze { account } | Effect::Unfreeze { account } => {
            touched.insert(Touched::Account(*account));
        }
        Effect::Mint { to, .. } => {
            touched.insert(Touched::Account(*to));
        }
        Effect::Burn { from, .. } => {
            touched.insert(Touched::Account(*from));
        }
        Effect::Transfer { from, to, .. } => {
            touched.extend([Touched::Account(*from), Touched::Account(*to)]);
        }
    }
}

impl Ledger {
    /// The other tokens that the policies of `token` may read, those included whose upgrade waits and those that were
    /// replaced. Nothing for a token that does not exist.
    pub fn foreign_reads(&self, token: &TokenId) -> BTreeSet<TokenId> {
        let Some(found) = self.token(token) else { return BTreeSet::new() };
        let waiting = found.upgrades().values().map(|upgrade| &upgrade.to);
        let bound = found.bound().iter().chain(&found.replaced).chain(waiting);
        let reads = bound.filter_map(|bound| self.foreign_tokens(bound).ok()).flatten();
        reads.map(|(token, _)| token).filter(|token| *token != TokenId::NONE).collect()
    }
}
