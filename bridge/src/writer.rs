//! The relayer's own account on DSM: it signs, writes down what it signed, submits, and settles what a crash left open.
//!
//! A transition is durable here before its signature leaves, and the last-signed record is claimed before it is sent.
//! After a crash the same bytes are submitted again: the core node answers them with the receipt that they have, or
//! refuses them. So nothing is done twice, and the account never signs two successors of one state.

use crate::dsm::{Accepted, Dsm, DsmError};
use crate::state::{PendingRow, StateError, Step, Store};
use dsm_abi::{AccountId, BridgeId, NetworkId, StateId, TransitionId};
use dsm_core::{BridgeConfig, FinalHeader, Genesis, KeySet, SignedTransition};
use dsm_crypto::{LastSigned, LastSignedError, SecretKey, Signer, fill_random};
use dsm_evm_proof::{Advance, EvmLockProof};
use dsm_sdk::draft::{Draft, DraftError, Window, public_key};
use std::path::Path;

/// Attempts at one height that the last-signed record tells apart: those that the core node refused by name.
const ATTEMPT_BITS: u32 = 16;

/// What the relayer writes on DSM.
#[derive(Debug, Clone)]
pub(crate) enum Request<'r> {
    /// Makes the bridge.
    Open(&'r BridgeConfig),
    /// Moves its trusted set.
    Advance(Vec<Advance>),
    /// Freezes it.
    Convict(Vec<u8>, Vec<u8>),
    /// Credits a lock.
    Credit(&'r EvmLockProof),
    /// Has a lock refunded: the policy `wrapped` stands at this place among the token's.
    Refund(&'r EvmLockProof, u8),
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Dsm(#[from] DsmError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the last-signed record: {0}")]
    Record(#[from] LastSignedError),
    #[error("the transition: {0}")]
    Draft(#[from] DraftError),
    #[error("the core node offers height {0}, for which this account has signed already")]
    WouldEquivocate(u64),
    #[error("no randomness")]
    Random,
}

fn genesis(network: NetworkId, key: &dyn Signer) -> Genesis {
    Genesis { network, keys: KeySet::single(public_key(key)), salt: *b"dsm-bridge relayer account, v. 1" }
}

/// The account that a relayer with this key has on a network; it opens it when it first needs it.
pub fn relayer_account(network: NetworkId, key: &dyn Signer) -> AccountId {
    genesis(network, key).account()
}

/// The relayer's account.
pub(crate) struct Writer {
    key: SecretKey,
    genesis: Genesis,
    account: AccountId,
    record: LastSigned,
}

impl Writer {
    /// The account of `key`, which only this service uses. The record of what it signed is in `record`.
    pub(crate) fn open(network: NetworkId, key: SecretKey, record: &Path) -> Result<Writer, LastSignedError> {
        let genesis = Genesis {
            network,
            keys: KeySet::single(public_key(&key)),
            salt: *b"dsm-bridge relayer account salt1",
        };
        let account = genesis.account();
        if !record.exists() {
            LastSigned::create(record)?;
        }
        Ok(Writer { key, genesis, account, record: LastSigned::open(record)? })
    }

    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// Finds out what became of the transition that was signed last, if that is not known.
    pub(crate) fn settle(&mut self, dsm: &dyn Dsm, store: &Store) -> Result<(), WriteError> {
        let Some(Some(pending)) = store.pending()? else { return Ok(()) };
        self.claim(&pending)?;
        match dsm.submit(&pending.signed) {
            Ok(_) | Err(DsmError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        store.step("settle.before", "settle.after", |step| step.put_pending(&None))?;
        Ok(())
    }

    fn claim(&mut self, pending: &PendingRow) -> Result<(), WriteError> {
        let Ok(signed) = SignedTransition::decode(&pending.signed) else {
            return Err(StateError::Damaged { table: "cursor" }.into());
        };
        Ok(self.record.claim(pending.sequence, signed.transition.id().0)?)
    }

    /// Carries out a request. `done` writes its outcome in the same step that forgets the pending transition.
    ///
    /// The points `credit.signed`, `credit.sent` and `credit.done` name every kind of request.
    pub(crate) fn carry_out(
        &mut self,
        dsm: &dyn Dsm,
        store: &Store,
        now_ms: u64,
        request: &Request<'_>,
        bridge: BridgeId,
        done: impl FnOnce(&mut Step<'_>, Accepted) -> Result<(), StateError>,
    ) -> Result<Accepted, WriteError> {
        self.settle(dsm, store)?;
        let head = match dsm.account(&self.account)? {
            Some(head) => head,
            None => self.open_account(dsm, store, now_ms)?,
        };
        let draft = Draft::new(self.genesis.network, Window::around(now_ms), random()?);
        let draft = self.add(draft.signer(self.account, head.0), request, bridge);
        self.submit(dsm, store, draft, head.1 + 1, done)
    }

    fn add(&self, draft: Draft, request: &Request<'_>, bridge: BridgeId) -> Draft {
        let actor = self.account;
        match request {
            Request::Open(config) => draft.open_bridge(actor, (*config).clone()),
            Request::Advance(headers) => draft.advance_bridge(actor, bridge, headers.clone()),
            Request::Convict(a, b) => {
                let header = |rlp: &Vec<u8>| FinalHeader { header: rlp.clone(), attestations: Vec::new() };
                draft.convict_bridge(actor, bridge, header(a), header(b))
            }
            Request::Credit(proof) => draft.credit_lock(actor, bridge, (*proof).clone()),
            Request::Refund(proof, policy) => draft.refund_lock(actor, *policy, bridge, (*proof).clone()),
        }
    }

    fn open_account(
        &mut self,
        dsm: &dyn Dsm,
        store: &Store,
        now_ms: u64,
    ) -> Result<(StateId, u64), WriteError> {
        let draft = Draft::new(self.genesis.network, Window::around(now_ms), random()?);
        let draft = draft.open(self.genesis.clone());
        self.submit(dsm, store, draft, 0, |_, _| Ok(()))?;
        let head = dsm.account(&self.account)?;
        head.ok_or_else(|| DsmError::Protocol("an account that was just opened is not there".into()).into())
    }

    fn submit(
        &mut self,
        dsm: &dyn Dsm,
        store: &Store,
        draft: Draft,
        height: u64,
        done: impl FnOnce(&mut Step<'_>, Accepted) -> Result<(), StateError>,
    ) -> Result<Accepted, WriteError> {
        let sequence = self.next_sequence(height)?;
        let signed = draft.sign_with(&[(self.account, &self.key as &dyn Signer, 0)])?;
        let transition = signed.transition.id();
        let pending = PendingRow { signed: dsm_abi::encode(&signed), sequence };
        store.step("credit.before", "credit.signed", |step| step.put_pending(&Some(pending.clone())))?;
        self.record.claim(sequence, transition.0)?;
        let answer = dsm.submit(&pending.signed);
        store.reach("credit.sent")?;
        match answer {
            Ok(accepted) if TransitionId(accepted.transition) == transition => {
                store.step("credit.accepted", "credit.done", |step| {
                    step.put_pending(&None)?;
                    done(step, accepted)
                })?;
                Ok(accepted)
            }
            Ok(_) => Err(DsmError::Protocol("the receipt of another transition".into()).into()),
            Err(error @ DsmError::Refused { .. }) => {
                store.step("credit.refused", "credit.cleared", |step| step.put_pending(&None))?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn next_sequence(&self, height: u64) -> Result<u64, WriteError> {
        let first = height << ATTEMPT_BITS;
        let next = self.record.record().map_or(first, |last| first.max(last.sequence + 1));
        if next >> ATTEMPT_BITS == height { Ok(next) } else { Err(WriteError::WouldEquivocate(height)) }
    }
}

fn random() -> Result<[u8; 32], WriteError> {
    let mut bytes = [0; 32];
    fill_random(&mut bytes).map_err(|_| WriteError::Random)?;
    Ok(bytes)
}
