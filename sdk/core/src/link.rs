//! The link check: does the transition continue the chains of its signers, now?

use crate::{BridgeState, Ledger, Refusal, SignedBy, Status, VerifiedTransition};
use alloc::collections::BTreeSet;
use dsm_abi::{BridgeId, Digest, Evidence};

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
        self.check_evidence(verified, time_ms)?;
        self.check_bridge_moves(verified, time_ms)
    }

    /// Checks that what judged the seals of each header still does, and that the blocks' times fit.
    fn check_bridge_moves(&self, verified: &VerifiedTransition, time_ms: u64) -> Result<(), Refusal> {
        for found in verified.bridge_moves() {
            let state = self.check_trust(found.bridge, found.set, time_ms)?;
            for time_s in &found.times_s {
                check_drift(found.bridge, state, *time_s, time_ms)?;
            }
        }
        Ok(())
    }

    /// The bridge, if it is not frozen, still has the trusted set `set`, and is within its trusting period.
    fn check_trust(&self, bridge: BridgeId, set: Digest, time_ms: u64) -> Result<&BridgeState, Refusal> {
        let state = self.bridge_state(&bridge).ok_or(Refusal::UnknownBridge(bridge))?;
        if state.frozen.is_some() {
            return Err(Refusal::BridgeFrozen(bridge));
        }
        if state.set() != set {
            return Err(Refusal::BridgeMoved(bridge));
        }
        match state.trusted_until_ms() {
            Some(until_ms) if time_ms >= until_ms => {
                Err(Refusal::BridgeExpired { bridge, until_ms, time_ms })
            }
            Some(_) | None => Ok(state),
        }
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
        let mut locks = BTreeSet::new();
        for (index, evidence) in verified.evidence().iter().enumerate() {
            if let Some(expires_ms) = evidence.expires_ms
                && time_ms >= expires_ms
            {
                return Err(Refusal::EvidenceExpired { index, expires_ms });
            }
            for &(account, key_set) in evidence.signed_by() {
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
            if let Some(sealed) = evidence.sealed {
                let state = self.check_trust(sealed.bridge, sealed.set, time_ms)?;
                check_drift(sealed.bridge, state, sealed.block_s, time_ms)?;
            }
            // One number of one bridge is one lock, whatever token it names.
            if let Evidence::BridgeProof { bridge, nonce, .. } = &evidence.view
                && (self.lock_use(bridge, *nonce).is_some() || !locks.insert((*bridge, *nonce)))
            {
                return Err(Refusal::EvidenceConsumed { index });
            }
        }
        Ok(())
    }
}

fn check_drift(bridge: BridgeId, state: &BridgeState, block_s: u64, time_ms: u64) -> Result<(), Refusal> {
    match state.clock_drift_s() {
        Some(drift_s) if block_s > (time_ms / 1000).saturating_add(drift_s) => {
            Err(Refusal::BlockFromFuture { bridge, block_s, time_ms })
        }
        Some(_) | None => Ok(()),
    }
}
