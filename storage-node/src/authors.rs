//! Author checks: every record is signed by those it speaks for, and continues the chains that it moves.
//!
//! The state machine is not run here: amounts, policies and rules are the core node's business, and whoever doubts it
//! replays the log. What a storage node refuses is a record whose authors did not sign it, whichever core node ships
//! it: the genesis must be the network's, each transition must carry the signatures that its accounts' keys demand and
//! must stand on their heads, checkpoints the node's signature over the chain digest before them, and proofs of
//! equivocation must prove.
//!
//! One pass in order follows the accounts and collects the signatures; several threads then verify them. For each
//! account some 150 bytes are kept in memory; its keys are read from the log where it changed them last. Before
//! retention removes that record, the keys are put into a file of the account's own. A log that begins behind a
//! checkpoint never held the keys of accounts that are older: their transitions are appended and counted as unchecked
//! until they change their keys.

use crate::small;
use dsm_abi::{
    AccountId, NetworkId, PolicyId, SignatureError, StateId, Suite, VerifySignature, decode, encode,
};
use dsm_core::{
    Accepted, AdmitError, Entry, EquivocationError, EvidenceError, KeyDirectory, KeySet, KeySetId,
    NetworkGenesis, OperationKind, ProofError, PublicKey, SignedCheckpoint, Transition,
};
use dsm_crypto::Verifier;
use dsm_store::{Digest, Disk, LogError, LogReader, Record};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

/// Bytes of one record, as the core node bounds them.
pub(crate) const RECORD_BYTES_MAX: usize = 16 << 20;
/// Key sets at hand, in each of two generations: 8,192 sets of one key are 16 MB.
const KEY_SETS_MAX: usize = 8192;
/// Fewer signatures than this are verified where they were collected.
const SIGNATURES_ALONE_MAX: usize = 4;

/// Why a record is not appended.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// Not the canonical bytes of a record.
    #[error("not a record of this state machine")]
    Malformed,
    /// A genesis behind the first position, or something else at it.
    #[error("a log begins with its network's genesis and holds no other")]
    Genesis,
    /// The genesis is another network's.
    #[error("the genesis begins network {found}, not {expected}")]
    OtherNetwork {
        /// The network that this node keeps.
        expected: NetworkId,
        /// The genesis's.
        found: NetworkId,
    },
    /// The genesis names another core node than the one that this node trusts.
    #[error("the genesis names another core node")]
    OtherNode,
    /// The authors did not sign it.
    #[error("{0}")]
    Admit(#[from] AdmitError),
    /// A signature does not count.
    #[error("a signature: {0}")]
    Signature(SignatureError),
    /// A transition does not stand on the head of an account that it moves.
    #[error("account {0} is not continued from its head")]
    Head(AccountId),
    /// The new head of an account names other keys than the transition gives it.
    #[error("the new head of account {0} names other keys than the transition does")]
    Keys(AccountId),
    /// The node did not sign the checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(ProofError),
    /// The checkpoint is not about the log before it.
    #[error("the checkpoint is not about the log before it")]
    CheckpointPlace,
    /// The proof proves nothing.
    #[error("the proof of equivocation: {0}")]
    Equivocation(#[from] EquivocationError),
    /// The log itself cannot be read.
    #[error("reading the log: {0}")]
    Log(#[from] LogError),
}

impl AuthorError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            AuthorError::Malformed => "malformed_bytes",
            AuthorError::Genesis => "genesis_place",
            AuthorError::OtherNetwork { .. } => "wrong_network",
            AuthorError::OtherNode => "other_node",
            AuthorError::Admit(error) => error.code(),
            AuthorError::Signature(_) => "bad_signature",
            AuthorError::Head(_) => "stale_parent",
            AuthorError::Keys(_) => "keys_changed",
            AuthorError::Checkpoint(error) => error.code(),
            AuthorError::CheckpointPlace => "checkpoint_place",
            AuthorError::Equivocation(_) => "bad_equivocation",
            AuthorError::Log(_) => "storage",
        }
    }
}

/// A record as it arrived, with the chain digest before it.
pub(crate) struct Arrived<'a> {
    pub(crate) position: u64,
    pub(crate) prev: Digest,
    pub(crate) payload: &'a [u8],
}

/// What a batch of records brought.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Signatures verified.
    pub(crate) signatures: u64,
    /// Transitions whose authors' keys are older than this log.
    pub(crate) unchecked: u64,
    /// Policies published.
    pub(crate) published: Vec<PolicyId>,
}

/// An account as far as authorship goes.
#[derive(Debug, Clone, Copy)]
struct Chain {
    head: StateId,
    keys: KeySetId,
    /// The record that gave the account these keys; 0 if it is not kept.
    keys_at: u64,
}

/// Follows the accounts of a log and checks who signed its records.
pub(crate) struct Authors {
    verifier: Verifier,
    threads: usize,
    /// Keys of accounts whose records are gone, a file for each account.
    older: Arc<dyn Disk>,
    network: Option<NetworkId>,
    /// The ML-DSA-65 key by which the core node is known on the wire.
    core: Option<Vec<u8>>,
    /// The core node's whole key, once the genesis or a checkpoint showed it.
    node: Option<PublicKey>,
    /// Whether the log holds everything from its genesis on.
    complete: bool,
    head: u64,
    accounts: BTreeMap<AccountId, Chain>,
    /// What positions not yet durable replaced, oldest first.
    undo: VecDeque<(u64, AccountId, Option<Chain>)>,
    /// The position up to which nothing can be undone.
    settled: u64,
    key_sets: RefCell<KeySets>,
}

/// Key sets at hand: those of records that are not durable yet, and two generations of others.
#[derive(Default)]
struct KeySets {
    fresh: BTreeMap<(u64, KeySetId), Arc<KeySet>>,
    young: BTreeMap<KeySetId, Arc<KeySet>>,
    old: BTreeMap<KeySetId, Arc<KeySet>>,
}

impl KeySets {
    fn get(&mut self, at: u64, id: &KeySetId) -> Option<Arc<KeySet>> {
        if let Some(keys) = self.fresh.get(&(at, *id)).or_else(|| self.young.get(id)) {
            return Some(Arc::clone(keys));
        }
        let keys = self.old.get(id).cloned()?;
        self.remember(*id, Arc::clone(&keys));
        Some(keys)
    }

    fn remember(&mut self, id: KeySetId, keys: Arc<KeySet>) {
        if self.young.len() >= KEY_SETS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, keys);
    }
}

/// Where keys are found while one batch is checked.
struct View<'a> {
    authors: &'a Authors,
    reader: &'a LogReader,
    failed: RefCell<Option<LogError>>,
}

impl KeyDirectory for View<'_> {
    fn key_set(&self, account: &AccountId) -> Option<(KeySetId, Arc<KeySet>)> {
        let chain = self.authors.accounts.get(account).copied();
        if let Some(chain) = chain {
            if let Some(keys) = self.authors.key_sets.borrow_mut().get(chain.keys_at, &chain.keys) {
                return Some((chain.keys, keys));
            }
            if let Some(keys) = self.recorded(&chain) {
                self.authors.key_sets.borrow_mut().remember(chain.keys, Arc::clone(&keys));
                return Some((chain.keys, keys));
            }
        }
        let keys = self.authors.older(account)?;
        let id = keys.id();
        if chain.is_some_and(|chain| chain.keys != id) {
            return None;
        }
        self.authors.key_sets.borrow_mut().remember(id, Arc::clone(&keys));
        Some((id, keys))
    }
}

impl View<'_> {
    /// The keys as the log has them; `None` if their record is not kept.
    fn recorded(&self, chain: &Chain) -> Option<Arc<KeySet>> {
        if chain.keys_at == 0 {
            return None;
        }
        let record = match self.reader.read(chain.keys_at) {
            Ok(record) => record,
            Err(LogError::NotDurable { .. }) => return None,
            Err(error) => {
                *self.failed.borrow_mut() = Some(error);
                return None;
            }
        };
        let Ok(Entry::Accepted(accepted)) = decode::<Entry>(&record.payload, RECORD_BYTES_MAX) else {
            return None;
        };
        let found = new_keys(&accepted.signed.transition).find(|(_, keys)| keys.id() == chain.keys)?;
        Some(Arc::new(found.1.clone()))
    }
}

/// A signature that waits for its turn.
struct Waiting {
    suite: Suite,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// Takes signatures down instead of verifying them: the caller verifies all of them before anything counts.
struct Collector {
    verifier: Verifier,
    waiting: RefCell<Vec<Waiting>>,
}

impl VerifySignature for Collector {
    fn digest(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        self.verifier.digest(algorithm, bytes)
    }

    fn verify_signature(
        &self,
        suite: Suite,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if !self.verifier.accepts(suite) {
            return Err(SignatureError::SuiteOff);
        }
        self.waiting.borrow_mut().push(Waiting {
            suite,
            key: public_key.to_vec(),
            message: message.to_vec(),
            signature: signature.to_vec(),
        });
        Ok(())
    }
}

impl Authors {
    /// Knows nothing yet: the log begins with its genesis.
    pub(crate) fn new(
        verifier: Verifier,
        threads: usize,
        core: Option<Vec<u8>>,
        older: Arc<dyn Disk>,
    ) -> Authors {
        Authors {
            verifier,
            threads: threads.max(1),
            older,
            network: None,
            core,
            node: None,
            complete: true,
            head: 0,
            accounts: BTreeMap::new(),
            undo: VecDeque::new(),
            settled: 0,
            key_sets: RefCell::default(),
        }
    }

    /// Which network this log is, once a signed topology has said so. The genesis says it as well.
    pub(crate) fn trust(&mut self, network: NetworkId) {
        self.network = Some(network);
    }

    /// The network, once known.
    pub(crate) fn network(&self) -> Option<NetworkId> {
        self.network
    }

    /// The position of the last record looked at.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Forgets everything: the log starts anew behind `position`.
    pub(crate) fn begin(&mut self, position: u64) {
        self.accounts.clear();
        self.undo.clear();
        self.key_sets = RefCell::default();
        self.complete = position == 0;
        (self.head, self.settled) = (position, position);
    }

    /// Follows the durable log anew up to `until`, believing its signatures, and gives the policies it
    /// published. Each record goes through `seen`.
    ///
    /// # Errors
    /// [`AuthorError`]: the log cannot be read, or is not one of this state machine.
    pub(crate) fn follow(
        &mut self,
        reader: &LogReader,
        until: u64,
        mut seen: impl FnMut(&Record),
    ) -> Result<Vec<PolicyId>, AuthorError> {
        let first = reader.first();
        self.begin(first - 1);
        let mut checked = Checked::default();
        for record in reader.iter(first)? {
            let record = record?;
            if record.position > until {
                break;
            }
            let arrived = Arrived { position: record.position, prev: record.prev, payload: &record.payload };
            self.walk(&arrived, reader, None, &mut checked)?;
            seen(&record);
            if record.position.is_multiple_of(1024) {
                self.settle(record.position);
            }
        }
        self.settle(self.head);
        Ok(checked.published)
    }

    /// Checks a batch that follows position `prev`; nothing of it counts unless all of it does.
    ///
    /// # Errors
    /// The position of the first record that is refused, and why.
    pub(crate) fn check(
        &mut self,
        prev: u64,
        records: &[Arrived<'_>],
        reader: &LogReader,
    ) -> Result<Checked, (u64, AuthorError)> {
        self.rewind(prev, reader).map_err(|error| (prev, error))?;
        let outcome = self.check_batch(records, reader);
        if outcome.is_err() {
            // Its own changes are not durable, so they are all still there to be undone.
            self.undo_behind(prev);
        }
        outcome
    }

    fn check_batch(
        &mut self,
        records: &[Arrived<'_>],
        reader: &LogReader,
    ) -> Result<Checked, (u64, AuthorError)> {
        let collector = Collector { verifier: self.verifier, waiting: RefCell::default() };
        let mut checked = Checked::default();
        let mut ends = Vec::with_capacity(records.len());
        for record in records {
            self.walk(record, reader, Some(&collector), &mut checked)
                .map_err(|error| (record.position, error))?;
            ends.push(collector.waiting.borrow().len());
        }
        let waiting = collector.waiting.into_inner();
        checked.signatures = waiting.len() as u64;
        match verify_all(self.verifier, &waiting, self.threads) {
            None => Ok(checked),
            Some((nth, error)) => {
                let record = ends.partition_point(|end| *end <= nth);
                Err((records[record].position, AuthorError::Signature(error)))
            }
        }
    }

    /// Puts the keys of all accounts whose record lies before `from` into files of their own, durably, so that the
    /// records may be removed.
    ///
    /// # Errors
    /// What the device says; nothing may be removed then.
    pub(crate) fn retire(&mut self, from: u64, reader: &LogReader) -> io::Result<()> {
        let old = |chain: &Chain| chain.keys_at > 0 && chain.keys_at < from;
        let accounts: Vec<AccountId> =
            self.accounts.iter().filter(|(_, chain)| old(chain)).map(|(account, _)| *account).collect();
        for account in accounts {
            let view = View { authors: self, reader, failed: RefCell::default() };
            let found = view.key_set(&account);
            if let Some(error) = view.failed.into_inner() {
                return Err(io::Error::other(error));
            }
            if let Some((_, keys)) = found {
                small::replace(self.older.as_ref(), &hex::encode(account.0), &encode(&*keys))?;
            }
            if let Some(chain) = self.accounts.get_mut(&account) {
                chain.keys_at = 0;
            }
        }
        self.complete = false;
        Ok(())
    }

    /// The keys of an account whose record is gone.
    fn older(&self, account: &AccountId) -> Option<Arc<KeySet>> {
        match small::read(self.older.as_ref(), &hex::encode(account.0)) {
            Ok(bytes) => decode(&bytes?, RECORD_BYTES_MAX).ok().map(Arc::new),
            Err(error) => {
                tracing::warn!(%account, %error, "the keys of an account cannot be read");
                None
            }
        }
    }

    /// Nothing at or before `durable` will be undone.
    pub(crate) fn settle(&mut self, durable: u64) {
        while self.undo.front().is_some_and(|(position, ..)| *position <= durable) {
            self.undo.pop_front();
        }
        self.settled = self.settled.max(durable.min(self.head));
        let mut key_sets = self.key_sets.borrow_mut();
        while let Some(entry) = key_sets.fresh.first_entry().filter(|entry| entry.key().0 <= durable) {
            let ((_, id), keys) = entry.remove_entry();
            key_sets.remember(id, keys);
        }
    }

    /// Goes back to where the log ended at `position`.
    fn rewind(&mut self, position: u64, reader: &LogReader) -> Result<(), AuthorError> {
        if position == self.head {
            return Ok(());
        }
        if position < self.head && position >= self.settled {
            self.undo_behind(position);
            return Ok(());
        }
        self.follow(reader, position, |_| ()).map(|_| ())
    }

    fn undo_behind(&mut self, position: u64) {
        while let Some((_, account, before)) = self.undo.pop_back_if(|(at, ..)| *at > position) {
            match before {
                Some(chain) => self.accounts.insert(account, chain),
                None => self.accounts.remove(&account),
            };
        }
        self.key_sets.borrow_mut().fresh.retain(|(at, _), _| *at <= position);
        self.head = position;
    }

    /// Looks at one record and takes its changes over.
    fn walk(
        &mut self,
        record: &Arrived<'_>,
        reader: &LogReader,
        collector: Option<&Collector>,
        checked: &mut Checked,
    ) -> Result<(), AuthorError> {
        let entry: Entry = decode(record.payload, RECORD_BYTES_MAX).map_err(|_| AuthorError::Malformed)?;
        let position = record.position;
        match entry {
            Entry::Genesis(genesis) => self.genesis(position, &genesis)?,
            _ if position == 1 => return Err(AuthorError::Genesis),
            Entry::Accepted(accepted) => self.accepted(position, *accepted, reader, collector, checked)?,
            Entry::Checkpoint(signed) => self.checkpoint(record, &signed, collector)?,
            Entry::Equivocation(proof) => {
                if let Some(collector) = collector {
                    proof.verify(collector)?;
                }
            }
        }
        self.head = position;
        Ok(())
    }

    fn genesis(&mut self, position: u64, genesis: &NetworkGenesis) -> Result<(), AuthorError> {
        if position != 1 {
            return Err(AuthorError::Genesis);
        }
        let found = genesis.network();
        if let Some(expected) = self.network.filter(|expected| *expected != found) {
            return Err(AuthorError::OtherNetwork { expected, found });
        }
        let transport = transport_half(&genesis.node);
        if self.core.as_deref().is_some_and(|core| transport != Some(core)) {
            return Err(AuthorError::OtherNode);
        }
        self.network = Some(found);
        self.node = Some(genesis.node.clone());
        Ok(())
    }

    fn checkpoint(
        &mut self,
        record: &Arrived<'_>,
        signed: &SignedCheckpoint,
        collector: Option<&Collector>,
    ) -> Result<(), AuthorError> {
        let checkpoint = &signed.checkpoint;
        let here = checkpoint.log_position == record.position - 1 && checkpoint.log_digest.0 == record.prev;
        if !here || self.network.is_some_and(|network| network != checkpoint.network) {
            return Err(AuthorError::CheckpointPlace);
        }
        let Some(collector) = collector else { return Ok(()) };
        // Behind the genesis the core node is known by the half of its key that it uses on the wire.
        let known = |key: &&PublicKey| self.core.is_some() && transport_half(key) == self.core.as_deref();
        let shown = signed.signatures.iter().map(|signature| &signature.key).find(known);
        let node = self.node.as_ref().or(shown).ok_or(AuthorError::Checkpoint(ProofError::NotSigned))?;
        signed.verify(node, collector).map_err(AuthorError::Checkpoint)?;
        Ok(())
    }

    fn accepted(
        &mut self,
        position: u64,
        accepted: Accepted,
        reader: &LogReader,
        collector: Option<&Collector>,
        checked: &mut Checked,
    ) -> Result<(), AuthorError> {
        let Accepted { signed, accounts, .. } = accepted;
        let transition = signed.transition.clone();
        let id = transition.id();
        if let Some(collector) = collector {
            let network = self.network.unwrap_or(transition.network);
            let view = View { authors: self, reader, failed: RefCell::default() };
            let outcome = signed.verify(network, &view, collector);
            if let Some(error) = view.failed.into_inner() {
                return Err(AuthorError::Log(error));
            }
            match outcome {
                Ok(_) => {}
                Err(error) if !self.complete && is_unknown_account(&error) => checked.unchecked += 1,
                Err(error) => return Err(error.into()),
            }
        }
        for (account, parent) in &transition.parents {
            let moved = accounts.iter().any(|state| state.account == *account && state.parent == *parent);
            if !moved {
                return Err(AuthorError::Head(*account));
            }
        }
        let keys: BTreeMap<AccountId, &KeySet> = new_keys(&transition).collect();
        for state in &accounts {
            let account = state.account;
            let before = self.accounts.get(&account).copied();
            let head = match before {
                Some(chain) => Some(chain.head),
                None => self.complete.then_some(StateId::NONE),
            };
            if state.transition != id || head.is_some_and(|head| head != state.parent) {
                return Err(AuthorError::Head(account));
            }
            let (key_set, keys_at) = match (keys.get(&account), before) {
                (Some(new), _) => (new.id(), position),
                (None, Some(chain)) => (chain.keys, chain.keys_at),
                (None, None) if !self.complete => (state.keys, 0),
                (None, None) => return Err(AuthorError::Keys(account)),
            };
            if key_set != state.keys {
                return Err(AuthorError::Keys(account));
            }
            if let Some(new) = keys.get(&account) {
                let fresh = Arc::new((*new).clone());
                self.key_sets.borrow_mut().fresh.insert((position, key_set), fresh);
            }
            let chain = Chain { head: state.id(), keys: key_set, keys_at };
            self.undo.push_back((position, account, self.accounts.insert(account, chain)));
        }
        checked.published.extend(published(&transition));
        Ok(())
    }
}

/// The half of a node's key by which it is known on the wire: ML-DSA-65.
pub(crate) fn transport_half(key: &PublicKey) -> Option<&[u8]> {
    match key.suite {
        Suite::MlDsa65 => Some(&key.bytes),
        Suite::Ed25519MlDsa65 => key.bytes.get(32..),
        Suite::Dilithium3 | Suite::SlhDsaSha2128s => None,
    }
}

/// The policies that a transition publishes.
fn published(transition: &Transition) -> impl Iterator<Item = PolicyId> {
    transition.operations.iter().filter_map(|operation| match &operation.kind {
        OperationKind::Publish { policy, .. } => Some(*policy),
        _ => None,
    })
}

fn new_keys(transition: &Transition) -> impl Iterator<Item = (AccountId, &KeySet)> {
    transition.operations.iter().filter_map(|operation| match &operation.kind {
        OperationKind::CreateAccount { genesis } => Some((operation.actor, &genesis.keys)),
        OperationKind::RotateKeys { keys } | OperationKind::Recover { keys } => Some((operation.actor, keys)),
        _ => None,
    })
}

fn is_unknown_account(error: &AdmitError) -> bool {
    matches!(
        error,
        AdmitError::UnknownAccount(_) | AdmitError::Evidence { source: EvidenceError::UnknownAccount(_), .. }
    )
}

/// Verifies all signatures; the first that does not count.
fn verify_all(verifier: Verifier, waiting: &[Waiting], threads: usize) -> Option<(usize, SignatureError)> {
    let verify = |part: &[Waiting], offset: usize| {
        part.iter().enumerate().find_map(|(nth, one)| {
            let outcome = verifier.verify_signature(one.suite, &one.key, &one.message, &one.signature);
            outcome.err().map(|error| (offset + nth, error))
        })
    };
    if waiting.len() <= SIGNATURES_ALONE_MAX || threads == 1 {
        return verify(waiting, 0);
    }
    let length = waiting.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let parts = waiting.chunks(length).enumerate();
        let running: Vec<_> =
            parts.map(|(nth, part)| scope.spawn(move || verify(part, nth * length))).collect();
        let found = running.into_iter().map(|thread| thread.join().expect("verifying does not panic"));
        found.flatten().min_by_key(|(nth, _)| *nth)
    })
}

#[cfg(test)]
mod tests;
