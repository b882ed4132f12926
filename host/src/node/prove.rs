//! Proofs that hang from the last checkpoint.

use super::{Node, NodeError};
use dsm_abi::{AccountId, StateId, TokenId};
use dsm_core::{AccountProof, AssetProof, OutboxProof, PathProof, SignedCheckpoint, Snapshot, TokenProof};
use std::sync::Arc;

impl Node {
    fn snapshot(&self) -> Result<(SignedCheckpoint, Arc<Snapshot>), NodeError> {
        self.0.shared.last_checkpoint.read().clone().ok_or(NodeError::NoCheckpoint)
    }

    /// Shows the head of an account at the last checkpoint, or that there was none.
    ///
    /// # Errors
    /// [`NodeError::NoCheckpoint`], or what reading the log gives.
    pub fn prove_account(&self, account: &AccountId) -> Result<AccountProof, NodeError> {
        let (checkpoint, snapshot) = self.snapshot()?;
        let (head, path) = snapshot.prove_account(account);
        let state = match head {
            None => None,
            Some(head) => self.0.shared.history.state(account, &StateId(head.0))?,
        };
        Ok(AccountProof { checkpoint, account: *account, state, path })
    }

    /// Shows an account's balance at the last checkpoint.
    ///
    /// # Errors
    /// [`NodeError::MovedSinceCheckpoint`] if the account has moved; take a checkpoint and try again.
    pub fn prove_asset(&self, account: &AccountId, token: &TokenId) -> Result<AssetProof, NodeError> {
        let proof = self.prove_account(account)?;
        let nothing = PathProof { siblings: Vec::new(), end: None };
        let (amount, path) = match &proof.state {
            None => (0, nothing),
            Some(state) => {
                let ledger = self.0.shared.ledger.read();
                let found = ledger.account(account).filter(|found| found.head() == state.id());
                let found = found.ok_or(NodeError::MovedSinceCheckpoint)?;
                (found.balance(token), found.prove_asset(token))
            }
        };
        Ok(AssetProof { account: proof, token: *token, amount, path })
    }

    /// Shows the head of a token at the last checkpoint, or that there was none.
    ///
    /// # Errors
    /// [`NodeError::NoCheckpoint`], or what reading the log gives.
    pub fn prove_token(&self, token: &TokenId) -> Result<TokenProof, NodeError> {
        let (checkpoint, snapshot) = self.snapshot()?;
        let (head, path) = snapshot.prove_token(token);
        let state = match head {
            None => None,
            Some(head) => self.token_state(token, head)?,
        };
        Ok(TokenProof { checkpoint, token: *token, state, path })
    }

    /// Shows an entry of the outbox at the last checkpoint.
    ///
    /// # Errors
    /// [`NodeError::NoCheckpoint`]; [`NodeError::NotCheckpointed`] if the entry is newer: take a checkpoint and try
    /// again; [`NodeError::Outbox`] if there is no such entry.
    pub fn prove_outbox(&self, index: u64) -> Result<OutboxProof, NodeError> {
        let last = self.last_checkpoint();
        let checkpoint = last.or_else(|| self.0.shared.earlier_checkpoint.clone());
        let ledger = self.0.shared.ledger.read();
        let outbox = ledger.outbox();
        let size = outbox.size();
        let entry = outbox.entry(index).ok_or(dsm_core::OutboxError::Index { index, size })?.clone();
        let checkpoint = checkpoint.ok_or(NodeError::NoCheckpoint)?;
        let covered = checkpoint.checkpoint.outbox_size;
        if index >= covered {
            return Err(NodeError::NotCheckpointed);
        }
        Ok(OutboxProof { siblings: outbox.prove(index, covered)?, entry, checkpoint })
    }

    /// The state of a token with this id: its present head or an earlier one, sought backwards.
    fn token_state(
        &self,
        token: &TokenId,
        head: dsm_abi::Digest,
    ) -> Result<Option<dsm_core::TokenState>, NodeError> {
        let (height, _) = self.read(|ledger| ledger.token(token).map(|found| found.state().height));
        for height in (0..=height.unwrap_or(0)).rev() {
            let Some((_, record)) = self.0.shared.history.at_height(&token.0, height)? else { continue };
            let found = record.tokens.into_iter().find(|state| state.id().0 == head.0);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
