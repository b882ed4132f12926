//! Checkpoints: where all chains stand, signed; and the proofs that hang from them.

use crate::account::asset_leaf;
use crate::{
    AccountState, Compact, Ledger, PathProof, PublicKey, SignKind, TokenState, Trie, hash, signing_message,
    tag,
};
use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{AccountId, Digest, NetworkId, SignatureError, TokenId, VerifySignature, encode};

/// Where all chains stand.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Checkpoint {
    /// The network.
    pub network: NetworkId,
    /// 1 for the first, then greater each time: by one, or more where a crash used up what was signed.
    pub epoch: u64,
    /// The last record of the log that it covers.
    pub log_position: u64,
    /// The log's chain digest at that record.
    pub log_digest: Digest,
    /// Root over the heads of all accounts.
    pub accounts_root: Digest,
    /// Root over the heads of all tokens.
    pub tokens_root: Digest,
    /// Root over all unclaimed credits.
    pub credits_root: Digest,
    /// Root over the states of all bridges.
    pub bridges_root: Digest,
    /// Root of the outbox, by keccak-256; zero while it is empty.
    pub outbox_root: Digest,
    /// Entries of the outbox.
    pub outbox_size: u64,
    /// The time of the checkpoint before, in ms since the Unix epoch.
    pub from_ms: u64,
    /// The time of the last transition that it covers, in ms since the Unix epoch.
    pub to_ms: u64,
    /// The checkpoint before, or zero.
    pub parent: Digest,
}

impl Checkpoint {
    /// The digest of these bytes.
    pub fn id(&self) -> Digest {
        hash(tag::CHECKPOINT, &[&encode(self)])
    }

    /// The same roots, placed behind the checkpoint before them and at a place of the log.
    pub fn after(self, before: Option<&Checkpoint>, log_position: u64, log_digest: Digest) -> Checkpoint {
        Checkpoint {
            epoch: before.map_or(1, |before| before.epoch + 1),
            log_position,
            log_digest,
            from_ms: before.map_or(0, |before| before.to_ms),
            parent: before.map_or(Digest::default(), Checkpoint::id),
            ..self
        }
    }

    /// The exact bytes that a key of this suite signs.
    pub fn signing_message(&self, suite: dsm_abi::Suite) -> Vec<u8> {
        signing_message(suite, self.network, SignKind::Checkpoint, &encode(self))
    }
}

/// A signature under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CheckpointSignature {
    /// The key.
    pub key: PublicKey,
    /// The signature.
    pub bytes: Vec<u8>,
}

/// A checkpoint with the signatures under it: the node's first, then those of storage nodes.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The signatures.
    pub signatures: Vec<CheckpointSignature>,
}

/// The tries as they were at a checkpoint.
#[derive(Debug, Clone)]
pub struct Snapshot {
    accounts: Trie<Compact>,
    tokens: Trie<Compact>,
}

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The trusted key did not sign the checkpoint.
    #[error("the checkpoint is not signed by the trusted key")]
    NotSigned,
    /// The trusted key's signature does not count.
    #[error("the checkpoint's signature: {0}")]
    Signature(SignatureError),
    /// The path does not lead to the checkpoint's root.
    #[error("the path does not lead to the checkpoint's root")]
    Root,
    /// The path does not lead to the state that the proof shows.
    #[error("the path does not lead to what the proof shows")]
    Leaf,
}

impl ProofError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            ProofError::NotSigned => "checkpoint_not_signed",
            ProofError::Signature(_) => "bad_signature",
            ProofError::Root => "proof_root_mismatch",
            ProofError::Leaf => "proof_leaf_mismatch",
        }
    }
}

impl SignedCheckpoint {
    /// Checks that `trusted` signed it.
    ///
    /// # Errors
    /// [`ProofError::NotSigned`], [`ProofError::Signature`].
    pub fn verify(
        &self,
        trusted: &PublicKey,
        verifier: &dyn VerifySignature,
    ) -> Result<&Checkpoint, ProofError> {
        let found = self.signatures.iter().find(|signature| signature.key == *trusted);
        let signature = found.ok_or(ProofError::NotSigned)?;
        let message = self.checkpoint.signing_message(trusted.suite);
        verifier
            .verify_signature(trusted.suite, &trusted.bytes, &message, &signature.bytes)
            .map_err(ProofError::Signature)?;
        Ok(&self.checkpoint)
    }
}

/// Shows the head of an account at a checkpoint, or that there was no such account.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AccountProof {
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The account.
    pub account: AccountId,
    /// Its head's content.
    pub state: Option<AccountState>,
    /// The path in the trie of accounts.
    pub path: PathProof,
}

/// Shows an account's balance at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AssetProof {
    /// The account's head.
    pub account: AccountProof,
    /// The token.
    pub token: TokenId,
    /// Base units; zero is shown by absence.
    pub amount: u128,
    /// The path in the account's trie of assets.
    pub path: PathProof,
}

/// Shows the head of a token at a checkpoint, or that there was no such token.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TokenProof {
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The token.
    pub token: TokenId,
    /// Its head's content.
    pub state: Option<TokenState>,
    /// The path in the trie of tokens.
    pub path: PathProof,
}

impl AccountProof {
    /// What the proof shows under the trusted key.
    ///
    /// # Errors
    /// [`ProofError`], naming the check that failed.
    pub fn verify(
        &self,
        trusted: &PublicKey,
        verifier: &dyn VerifySignature,
    ) -> Result<Option<&AccountState>, ProofError> {
        let checkpoint = self.checkpoint.verify(trusted, verifier)?;
        let leaf = self.state.as_ref().map(|state| (state.account.0, Digest(state.id().0)));
        check_path(&self.path, &self.account.0, leaf, checkpoint.accounts_root)?;
        Ok(self.state.as_ref())
    }
}

impl AssetProof {
    /// The balance that the proof shows under the trusted key, in base units.
    ///
    /// # Errors
    /// [`ProofError`], naming the check that failed.
    pub fn verify(&self, trusted: &PublicKey, verifier: &dyn VerifySignature) -> Result<u128, ProofError> {
        let Some(state) = self.account.verify(trusted, verifier)? else {
            return if self.amount == 0 { Ok(0) } else { Err(ProofError::Leaf) };
        };
        let leaf = (self.amount > 0).then(|| (self.token.0, asset_leaf(&self.token, self.amount)));
        check_path(&self.path, &self.token.0, leaf, state.assets_root)?;
        Ok(self.amount)
    }
}

impl TokenProof {
    /// What the proof shows under the trusted key.
    ///
    /// # Errors
    /// [`ProofError`], naming the check that failed.
    pub fn verify(
        &self,
        trusted: &PublicKey,
        verifier: &dyn VerifySignature,
    ) -> Result<Option<&TokenState>, ProofError> {
        let checkpoint = self.checkpoint.verify(trusted, verifier)?;
        let leaf = self.state.as_ref().map(|state| (state.token.0, Digest(state.id().0)));
        check_path(&self.path, &self.token.0, leaf, checkpoint.tokens_root)?;
        Ok(self.state.as_ref())
    }
}

fn check_path(
    path: &PathProof,
    key: &[u8; 32],
    leaf: Option<([u8; 32], Digest)>,
    root: Digest,
) -> Result<(), ProofError> {
    let (found_root, found) = path.conclude::<Compact>(key).ok_or(ProofError::Leaf)?;
    if found_root != root {
        return Err(ProofError::Root);
    }
    let shown = match leaf {
        Some((leaf_key, _)) if leaf_key != *key => return Err(ProofError::Leaf),
        Some((_, value)) => Some(value),
        None => None,
    };
    if found == shown { Ok(()) } else { Err(ProofError::Leaf) }
}

impl Ledger {
    /// Where all chains stand now, for a log whose last record is at `log_position`, and the tries to prove from.
    pub fn checkpoint(
        &mut self,
        before: Option<&Checkpoint>,
        log_position: u64,
        log_digest: Digest,
    ) -> (Checkpoint, Snapshot) {
        let (network, to_ms) = (self.network(), self.time_ms());
        let (outbox_root, outbox_size) = (self.outbox().root(), self.outbox().size());
        let bridges_root = self.bridges_root();
        let (accounts, tokens, credits) = self.tries();
        let roots = Checkpoint {
            network,
            epoch: 0,
            log_position: 0,
            log_digest: Digest::default(),
            accounts_root: accounts.root(),
            tokens_root: tokens.root(),
            credits_root: credits.root(),
            bridges_root,
            outbox_root,
            outbox_size,
            from_ms: 0,
            to_ms,
            parent: Digest::default(),
        };
        let checkpoint = roots.after(before, log_position, log_digest);
        (checkpoint, Snapshot { accounts: accounts.clone(), tokens: tokens.clone() })
    }
}

impl Snapshot {
    /// The head of `account` at the checkpoint and the path to it.
    pub fn prove_account(&self, account: &AccountId) -> (Option<Digest>, PathProof) {
        (self.accounts.get(&account.0), self.accounts.prove(&account.0))
    }

    /// The head of `token` at the checkpoint and the path to it.
    pub fn prove_token(&self, token: &TokenId) -> (Option<Digest>, PathProof) {
        (self.tokens.get(&token.0), self.tokens.prove(&token.0))
    }
}

impl crate::Account {
    /// The path to the balance of `token` under the head's `assets_root`.
    pub fn prove_asset(&self, token: &TokenId) -> PathProof {
        self.assets.prove(&token.0)
    }
}
