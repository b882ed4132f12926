//! Equivocation: two signed successors of one state. The proof stands alone: whoever holds it can check it
//! without asking anyone.

use crate::verify::KeyDirectory;
use crate::{AccountState, AdmitError, KeySet, KeySetId, SignedBy, SignedTransition};
use alloc::sync::Arc;
use borsh::{BorshDeserialize, BorshSerialize};
use dsm_abi::{AccountId, StateId, VerifySignature};

/// Two transitions that one account signed for one parent.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EquivocationProof {
    /// The state that both name as the account's parent.
    pub parent: AccountState,
    /// The keys that the parent commits to.
    pub keys: KeySet,
    /// The first.
    pub first: SignedTransition,
    /// The second.
    pub second: SignedTransition,
}

/// Why a proof shows no equivocation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// The keys are not those that the parent commits to.
    #[error("the keys are not those of the parent state")]
    Keys,
    /// Both are the same transition.
    #[error("both are the same transition")]
    Same,
    /// One of them does not name the parent.
    #[error("one of the transitions does not name this parent")]
    Parent,
    /// One of them is signed by the account's recovery keys, which may always overtake the others.
    #[error("recovery keys may overtake a transition of the account's keys")]
    Recovery,
    /// The account's signatures on one of them do not count.
    #[error("a signature does not count: {0}")]
    Signature(AdmitError),
}

impl EquivocationProof {
    /// The account that equivocated.
    pub fn account(&self) -> AccountId {
        self.parent.account
    }

    /// The state that has two successors.
    pub fn state(&self) -> StateId {
        self.parent.id()
    }

    /// Checks everything; only the account's own signatures count.
    ///
    /// # Errors
    /// [`EquivocationError`].
    pub fn verify(&self, verifier: &dyn VerifySignature) -> Result<(), EquivocationError> {
        if self.keys.id() != self.parent.keys {
            return Err(EquivocationError::Keys);
        }
        if self.first.transition.id() == self.second.transition.id() {
            return Err(EquivocationError::Same);
        }
        let (account, state) = (self.account(), self.state());
        for signed in [&self.first, &self.second] {
            if signed.transition.parent_of(&account) != Some(state) {
                return Err(EquivocationError::Parent);
            }
            if signed.transition.signed_by(&account) == SignedBy::Recovery {
                return Err(EquivocationError::Recovery);
            }
            self.verify_one(signed, verifier)?;
        }
        Ok(())
    }

    /// Verifies only the signatures of the account: cosigners' keys are not part of the proof.
    fn verify_one(
        &self,
        signed: &SignedTransition,
        verifier: &dyn VerifySignature,
    ) -> Result<(), EquivocationError> {
        let account = self.account();
        let directory = OneAccount { account, id: self.parent.keys, keys: Arc::new(self.keys.clone()) };
        signed.verify_account(account, &directory, verifier).map_err(EquivocationError::Signature)
    }
}

struct OneAccount {
    account: AccountId,
    id: KeySetId,
    keys: Arc<KeySet>,
}

impl KeyDirectory for OneAccount {
    fn key_set(&self, account: &AccountId) -> Option<(KeySetId, Arc<KeySet>)> {
        (*account == self.account).then(|| (self.id, Arc::clone(&self.keys)))
    }
}
