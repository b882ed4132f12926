//! What the node knows of the past: records of the log, found through the index and hashed again when read.

use super::committer::receipt;
use super::error::NodeError;
use dsm_abi::{AccountId, Digest, StateId, TransitionId, decode};
use dsm_core::{
    Accepted, AccountState, Entry, EquivocationProof, KeyDirectory, KeySet, KeySetId, OperationKind,
    SignedBy, SignedTransition, Transition,
};
use dsm_sdk::receipt::Receipt;
use dsm_store::{Appended, Index, IndexEntry, IndexError, LogError, LogReader};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of one record: a signed transition, its effects and heads.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// Proofs of equivocation kept for one account: one would do to convict it.
const EQUIVOCATIONS_MAX: usize = 16;

/// Reads the past.
pub(super) struct History {
    reader: LogReader,
    index: RwLock<Option<Index>>,
    /// For each account the states with two successors, and where their proofs are.
    equivocations: Mutex<BTreeMap<AccountId, Vec<(StateId, u64)>>>,
}

impl From<IndexError> for NodeError {
    fn from(error: IndexError) -> NodeError {
        NodeError::Index(error.to_string())
    }
}

/// What a record of an accepted transition adds to the index: the transition, the states and key sets that it
/// made, and its place on every chain that it moved.
pub(super) fn index_entry(receipt: &Receipt, record: &Accepted) -> IndexEntry {
    let mut ids = Vec::with_capacity(1 + receipt.accounts.len());
    ids.push(receipt.transition.0);
    ids.extend(receipt.accounts.iter().map(|head| head.state.0));
    ids.extend(new_key_sets(&record.signed.transition).map(|keys| keys.id().0));
    let accounts = receipt.accounts.iter().map(|head| (head.account.0, head.height));
    let tokens = receipt.tokens.iter().map(|head| (head.token.0, head.height));
    IndexEntry { ids, links: accounts.chain(tokens).collect() }
}

fn new_key_sets(transition: &Transition) -> impl Iterator<Item = &KeySet> {
    transition.operations.iter().filter_map(|operation| match &operation.kind {
        OperationKind::CreateAccount { genesis } => Some(&genesis.keys),
        OperationKind::RotateKeys { keys } | OperationKind::Recover { keys } => Some(keys),
        _ => None,
    })
}

/// Decodes a record's payload.
pub(crate) fn decode_entry(position: u64, payload: &[u8]) -> Result<Entry, NodeError> {
    decode(payload, RECORD_BYTES_MAX).map_err(|_| NodeError::Record(position))
}

impl History {
    pub(super) fn new(reader: LogReader, index: Index) -> History {
        History { reader, index: RwLock::new(Some(index)), equivocations: Mutex::default() }
    }

    /// Adds what a durable record leads to.
    pub(super) fn add(&self, appended: &Appended, entry: &IndexEntry) -> Result<(), NodeError> {
        self.with_index(|index| index.add(appended.position, appended.digest, entry))
    }

    /// Remembers where a proof is.
    pub(super) fn add_equivocation(&self, account: AccountId, state: StateId, position: u64) {
        self.equivocations.lock().entry(account).or_default().push((state, position));
    }

    /// Makes the index durable; nothing can be looked up after.
    pub(super) fn close(&self) -> Result<(), NodeError> {
        match self.index.write().take() {
            Some(index) => Ok(index.close()?),
            None => Ok(()),
        }
    }

    fn with_index<R>(&self, ask: impl FnOnce(&Index) -> Result<R, IndexError>) -> Result<R, NodeError> {
        let index = self.index.read();
        let index = index.as_ref().ok_or_else(|| NodeError::Stopped("the node is closed".into()))?;
        Ok(ask(index)?)
    }

    /// Reads the durable log from any thread.
    pub(super) fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// The last durable record.
    pub(super) fn durable(&self) -> u64 {
        self.reader.durable().0
    }

    /// The durable record at `position`, hashed again, with the log's chain digest through it.
    pub(super) fn entry(&self, position: u64) -> Result<(Entry, Digest), NodeError> {
        let record = self.reader.read(position)?;
        Ok((decode_entry(position, &record.payload)?, Digest(record.digest)))
    }

    fn accepted(&self, position: u64) -> Result<(Accepted, Digest), NodeError> {
        match self.entry(position)? {
            (Entry::Accepted(record), digest) => Ok((*record, digest)),
            _ => Err(NodeError::Record(position)),
        }
    }

    /// At most `limit` durable records from `from` on.
    pub(super) fn entries(&self, from: u64, limit: usize) -> Result<Vec<(u64, Entry)>, NodeError> {
        let from = from.max(self.reader.first());
        if from > self.durable() {
            return Ok(Vec::new());
        }
        let records = self.reader.iter(from)?.take(limit);
        records
            .map(|record| {
                let record = record?;
                Ok((record.position, decode_entry(record.position, &record.payload)?))
            })
            .collect()
    }

    /// The record that an id of a transition, state or key set leads to, if it is durable.
    fn find(&self, id: &[u8; 32]) -> Result<Option<(u64, Accepted, Digest)>, NodeError> {
        let Some(position) = self.with_index(|index| index.position_of(id))? else { return Ok(None) };
        match self.accepted(position) {
            Ok((record, digest)) => Ok(Some((position, record, digest))),
            Err(NodeError::Log(LogError::NotDurable { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An accepted transition with its position.
    pub(super) fn transition(&self, id: &TransitionId) -> Result<Option<(u64, Accepted)>, NodeError> {
        let found = self.find(&id.0)?.filter(|(_, record, _)| record.signed.transition.id() == *id);
        Ok(found.map(|(position, record, _)| (position, record)))
    }

    /// The receipt of an accepted transition.
    pub(super) fn receipt(&self, id: &TransitionId) -> Result<Option<Receipt>, NodeError> {
        let found = self.find(&id.0)?.filter(|(_, record, _)| record.signed.transition.id() == *id);
        Ok(found.map(|(position, record, log_digest)| Receipt {
            position,
            log_digest,
            ..receipt(*id, &record)
        }))
    }

    /// The state of an account with this id.
    pub(super) fn state(
        &self,
        account: &AccountId,
        state: &StateId,
    ) -> Result<Option<AccountState>, NodeError> {
        let Some((_, record, _)) = self.find(&state.0)? else { return Ok(None) };
        Ok(record.accounts.into_iter().find(|found| found.account == *account && found.id() == *state))
    }

    /// The record that moved a chain to `height`.
    pub(super) fn at_height(
        &self,
        chain: &[u8; 32],
        height: u64,
    ) -> Result<Option<(u64, Accepted)>, NodeError> {
        let Some(position) = self.with_index(|index| index.position_at(chain, height))? else {
            return Ok(None);
        };
        Ok(Some((position, self.accepted(position)?.0)))
    }

    fn key_set(&self, id: &KeySetId) -> Result<Option<KeySet>, NodeError> {
        let Some((_, record, _)) = self.find(&id.0)? else { return Ok(None) };
        Ok(new_key_sets(&record.signed.transition).find(|keys| keys.id() == *id).cloned())
    }

    /// The keys of all signers at the states that they name as parents. What cannot be found is absent.
    pub(super) fn keys_at_parents(&self, transition: &Transition) -> KeysAtParents {
        let keys = transition.parents.iter().filter_map(|(account, parent)| {
            let state = self.state(account, parent).ok()??;
            let keys = self.key_set(&state.keys).ok()??;
            Some((*account, (state.keys, Arc::new(keys))))
        });
        KeysAtParents(keys.collect())
    }

    /// Looks for a durable transition that one of the signers signed for the same parent, and whether its proof
    /// is new.
    pub(super) fn find_equivocation(
        &self,
        second: SignedTransition,
    ) -> Result<Option<(Box<EquivocationProof>, bool)>, NodeError> {
        for (account, parent) in &second.transition.parents {
            let Some(state) = self.state(account, parent)? else { continue };
            let Some((_, record)) = self.at_height(&account.0, state.height + 1)? else { continue };
            let by_keys = |transition: &Transition| transition.signed_by(account) == SignedBy::Keys;
            let same = record.signed.transition.parent_of(account) == Some(*parent);
            if !same || !by_keys(&record.signed.transition) || !by_keys(&second.transition) {
                continue;
            }
            let Some(keys) = self.key_set(&state.keys)? else { continue };
            let is_new = {
                let known = self.equivocations.lock();
                let known = known.get(account);
                known.is_none_or(|known| {
                    known.len() < EQUIVOCATIONS_MAX && known.iter().all(|(state, _)| state != parent)
                })
            };
            let proof = EquivocationProof { parent: state, keys, first: record.signed, second };
            return Ok(Some((Box::new(proof), is_new)));
        }
        Ok(None)
    }

    /// The proofs kept about an account.
    pub(super) fn equivocations(&self, account: &AccountId) -> Result<Vec<EquivocationProof>, NodeError> {
        let positions: Vec<u64> = {
            let known = self.equivocations.lock();
            known.get(account).into_iter().flatten().map(|(_, position)| *position).collect()
        };
        let durable = self.durable();
        positions
            .into_iter()
            .filter(|position| *position <= durable)
            .map(|position| match self.entry(position)?.0 {
                Entry::Equivocation(proof) => Ok(*proof),
                _ => Err(NodeError::Record(position)),
            })
            .collect()
    }
}

/// Keys of accounts at states that may be history.
pub(super) struct KeysAtParents(BTreeMap<AccountId, (KeySetId, Arc<KeySet>)>);

impl KeyDirectory for KeysAtParents {
    fn key_set(&self, account: &AccountId) -> Option<(KeySetId, Arc<KeySet>)> {
        self.0.get(account).cloned()
    }
}
