//! The link check: does the transition continue the chains of its signers, now?

use crate::{Ledger, Refusal, SignedBy, Status, VerifiedTransition};
use alloc::collections::BTreeSet;

impl Ledger {
    /// Checks time, heads, keys, precommitments and evidence against the present heads.
    pub(crate) fn check_link(&self, verified: &VerifiedTransition, time_ms: u64) -> Result<(), Refusal> {
        let transition = verified.transition();
        let (valid_from_ms, valid_until_ms) = (transition.valid_from_ms, transition.valid_until_ms);
        for signer in verified.signers() {
            self.check_parent(verified, signer, time_ms)?;
        }
        if time_ms < valid_from_ms {
            return Err(Refusal::NotYetValid { valid_from_ms, time_ms });
        }
        if time_ms >= valid_until_ms {
            return Err(Refusal::Expired { valid_until_ms, time_ms });
        }
        self.check_evidence(verified, time_ms)
    }

    fn check_parent(
        &self,
        verified: &VerifiedTransition,
        signer: &crate::VerifiedSigner,
        time_ms: u64,
    ) -> Result<(), Refusal> {
        let transition = verified.transition();
        let account = signer.account;
        let parent = transition.parent_of(&account).expect("signers are made from the parents");
        let created = transition.genesis_of(&account).is_some();
        let found = match (self.account(&account), created) {
            (None, true) => return Ok(()),
            (None, false) => return Err(Refusal::UnknownAccount(account)),
            (Some(_), true) => return Err(Refusal::AccountExists(account)),
            (Some(found), false) => found,
        };
        if found.head() != parent {
            let (head, height) = (found.head(), found.state().height);
            return Err(Refusal::StaleParent { account, head, height, found: parent });
        }
        if found.state().keys != signer.key_set {
            return Err(Refusal::KeysChanged(account));
        }
        if found.state().status == Status::Revoked {
            return Err(Refusal::Revoked(account));
        }
        match found.state().precommitment {
            // Recovery keys are not bound: whoever stole the others could lock the account for good.
            Some(bound)
                if signer.by == SignedBy::Keys
                    && time_ms < bound.until_ms
                    && transition.shape() != bound.shape =>
            {
                Err(Refusal::Precommitted { account, shape: bound.shape, until_ms: bound.until_ms })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_evidence(&self, verified: &VerifiedTransition, time_ms: u64) -> Result<(), Refusal> {
        let mut consumed = BTreeSet::new();
        for (index, evidence) in verified.evidence().iter().enumerate() {
            if let Some(expires_ms) = evidence.expires_ms
                && time_ms >= expires_ms
            {
                return Err(Refusal::EvidenceExpired { index, expires_ms });
            }
            if let Some((account, key_set)) = evidence.signed_by() {
                let now = self.account(&account).ok_or(Refusal::UnknownAccount(account))?;
                if now.state().keys != key_set {
                    return Err(Refusal::KeysChanged(account));
                }
                if now.state().status == Status::Revoked {
                    return Err(Refusal::Revoked(account));
                }
            }
            if let Some(nullifier) = evidence.nullifier
                && (self.is_consumed(&nullifier) || !consumed.insert(nullifier))
            {
                return Err(Refusal::EvidenceConsumed { index });
            }
        }
        Ok(())
    }
}
