//! The outbox: what policies and accounts say to other chains, in one append-only tree that a contract can check.

use crate::settle::Emission;
use crate::{ProofError, PublicKey, SignedCheckpoint};
use alloc::{collections::BTreeMap, vec::Vec};
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{AccountId, Digest, NetworkId, TokenId, TransitionId, VerifySignature};
use dsm_evm_proof::{Entry, OutboxError, OutboxTree, verify_inclusion};

/// An entry of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OutboxEntry {
    /// Its position, from 0, in the order in which transitions were accepted.
    pub index: u64,
    /// Whom it is for: see [`dsm_abi::lane`].
    pub lane: u32,
    /// The token whose policy emitted it, or [`TokenId::NONE`] for what an account said for itself.
    pub token: TokenId,
    /// The account that acted.
    pub actor: AccountId,
    /// The transition.
    pub transition: TransitionId,
    /// At most [`dsm_abi::limit::EMIT_BYTES_MAX`] bytes.
    pub payload: Vec<u8>,
}

impl OutboxEntry {
    /// The entry as a contract reads it.
    pub fn evm(&self, network: NetworkId) -> Entry {
        Entry {
            network: network.0,
            index: self.index,
            lane: self.lane,
            token: self.token.0,
            actor: self.actor.0,
            transition: self.transition.0,
            payload: self.payload.clone(),
        }
    }
}

/// All entries so far, with the tree over them.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    entries: Vec<OutboxEntry>,
    /// The first entry of each transition that made any.
    firsts: BTreeMap<TransitionId, u64>,
    tree: OutboxTree,
}

impl Outbox {
    pub(crate) fn append(
        &mut self,
        network: NetworkId,
        transition: TransitionId,
        emission: Emission,
    ) -> OutboxEntry {
        let Emission { lane, token, actor, payload } = emission;
        let entry = OutboxEntry { index: self.size(), lane, token, actor, transition, payload };
        self.firsts.entry(transition).or_insert(entry.index);
        self.tree.append(entry.evm(network).leaf());
        self.entries.push(entry.clone());
        entry
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The root; zero for nothing.
    pub fn root(&self) -> Digest {
        Digest(self.tree.root(self.size()).expect("a tree has its own size"))
    }

    /// The entry at `index`.
    pub fn entry(&self, index: u64) -> Option<&OutboxEntry> {
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The entries from `index` on.
    pub fn entries_from(&self, index: u64) -> impl Iterator<Item = &OutboxEntry> {
        self.entries.iter().skip(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// The entries that `transition` made.
    pub fn entries_of(&self, transition: &TransitionId) -> impl Iterator<Item = &OutboxEntry> {
        let first = self.firsts.get(transition).copied().unwrap_or(self.size());
        self.entries_from(first).take_while(move |entry| entry.transition == *transition)
    }

    /// The siblings that show the entry at `index` in the outbox of `size` entries, from the leaf upwards.
    ///
    /// # Errors
    /// [`OutboxError`] if there is no such entry, or not so many.
    pub fn prove(&self, index: u64, size: u64) -> Result<Vec<Digest>, OutboxError> {
        Ok(self.tree.prove_inclusion(index, size)?.into_iter().map(Digest).collect())
    }

    /// The hashes that show that the outbox of `to` entries continues that of `from`.
    ///
    /// # Errors
    /// [`OutboxError`] if the sizes are none of this outbox or fall.
    pub fn prove_consistency(&self, from: u64, to: u64) -> Result<Vec<Digest>, OutboxError> {
        Ok(self.tree.prove_consistency(from, to)?.into_iter().map(Digest).collect())
    }

    /// The root over the first `size` entries.
    ///
    /// # Errors
    /// [`OutboxError`] if there are not so many.
    pub fn root_at(&self, size: u64) -> Result<Digest, OutboxError> {
        self.tree.root(size).map(Digest)
    }
}

/// Shows an entry of the outbox at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OutboxProof {
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The entry.
    pub entry: OutboxEntry,
    /// The siblings from the leaf upwards.
    pub siblings: Vec<Digest>,
}

impl OutboxProof {
    /// The entry that the proof shows under the trusted key.
    ///
    /// # Errors
    /// [`ProofError`], naming the check that failed.
    pub fn verify(
        &self,
        trusted: &PublicKey,
        verifier: &dyn VerifySignature,
    ) -> Result<&OutboxEntry, ProofError> {
        let checkpoint = self.checkpoint.verify(trusted, verifier)?;
        let leaf = self.entry.evm(checkpoint.network).leaf();
        let siblings: Vec<[u8; 32]> = self.siblings.iter().map(|sibling| sibling.0).collect();
        let (size, root) = (checkpoint.outbox_size, checkpoint.outbox_root.0);
        match verify_inclusion(&leaf, self.entry.index, size, &siblings, &root) {
            Ok(()) => Ok(&self.entry),
            Err(OutboxError::Root) => Err(ProofError::Root),
            Err(_) => Err(ProofError::Leaf),
        }
    }
}
