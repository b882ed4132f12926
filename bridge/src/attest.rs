//! Attestations: what an attestor checks before it puts its name to a checkpoint or a block, and how they are collected.
//!
//! An attestor signs a checkpoint for the contract if the network's own key signed it, the outbox only grew since the
//! checkpoint that it attested before, the root is over exactly the leaves that it has seen, and it never signed
//! another one of that epoch. What it signs is durable before the signature leaves.

use crate::api::{AttestationBody, AttestationView, BlockAttestationBody, BlockAttestationView};
use crate::config::{AttestationKind, AttestorConfig};
use crate::dsm::{Dsm, DsmError};
use crate::evm::{Evm, EvmError, Header, Word};
use crate::relayer::Stall;
use crate::state::{Brakes, HeaderRow, OutRow, OutState, Retry, SignedRow, StateError, Store};
use dsm_core::{BridgeConfig, PublicKey, SignedCheckpoint};
use dsm_crypto::{Signer as _, Verifier, recover_address};
use dsm_evm_proof::{
    Checkpoint, LANE_EVM, OutboxError, OutboxTree, PAYLOAD_BYTES_MAX, Payload, verify_consistency,
};
use dsm_sdk::api::{Hex, Problem};
use dsm_sdk::draft::attest_block;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;

/// Entries that are asked for at once.
const ENTRIES_PER_PAGE: usize = 256;
/// Bytes of an attestor's answer: two signatures in hexadecimal digits.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// How long an attestor may take: it follows the outbox and signs.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of an SLH-DSA-SHA2-128s signature.
const SLH_DSA_BYTES: usize = 7_856;

/// DSM's outbox as this service has followed it: rows on disk, the tree in memory.
pub(crate) struct Outbox {
    dsm: Arc<dyn Dsm>,
    store: Arc<Store>,
    terms: BridgeConfig,
    tree: RwLock<OutboxTree>,
    following: Mutex<()>,
}

impl Outbox {
    /// Reads the leaves that are known.
    pub(crate) fn open(
        dsm: Arc<dyn Dsm>,
        store: Arc<Store>,
        terms: BridgeConfig,
    ) -> Result<Outbox, StateError> {
        let mut tree = OutboxTree::new();
        loop {
            let rows = store.outs(tree.size(), 1024)?;
            if rows.is_empty() {
                break;
            }
            for (index, row) in rows {
                if index != tree.size() {
                    return Err(StateError::Damaged { table: "dsm_out" });
                }
                tree.append(row.entry.leaf());
            }
        }
        Ok(Outbox { dsm, store, terms, tree: RwLock::new(tree), following: Mutex::new(()) })
    }

    /// The tree as far as it was followed.
    pub(crate) fn tree(&self) -> parking_lot::RwLockReadGuard<'_, OutboxTree> {
        self.tree.read()
    }

    /// Takes over what the outbox has and this service does not, up to `size` or all of it.
    pub(crate) fn follow(&self, size: Option<u64>) -> Result<(), Stall> {
        let _one = self.following.lock();
        loop {
            let from = self.tree.read().size();
            if size.is_some_and(|size| from >= size) {
                return Ok(());
            }
            let entries = self.dsm.outbox(from, ENTRIES_PER_PAGE)?;
            if entries.is_empty() {
                return Ok(());
            }
            let mut rows = Vec::with_capacity(entries.len());
            for (index, entry) in (from..).zip(entries) {
                let is_next = entry.index == index && entry.network == self.terms.network.0;
                if !is_next || entry.payload.len() > PAYLOAD_BYTES_MAX {
                    return Err(DsmError::Protocol(format!("entry {index} of the outbox is none")).into());
                }
                let state = if self.is_ours(&entry) { OutState::Leaf } else { OutState::Elsewhere };
                rows.push(OutRow { entry, state, retry: Retry::default() });
            }
            self.store.step("follow.before", "follow.after", |step| {
                rows.iter().try_for_each(|row| step.put_out(row.entry.index, row))
            })?;
            let mut tree = self.tree.write();
            for row in &rows {
                tree.append(row.entry.leaf());
            }
        }
    }

    /// Whether the contract could do anything with a leaf.
    fn is_ours(&self, entry: &dsm_evm_proof::Entry) -> bool {
        let (chain_id, contract) = (self.terms.chain_id, self.terms.contract);
        let is_here = match Payload::decode(&entry.payload) {
            Ok(Payload::Release(release)) => release.chain_id == chain_id && release.bridge == contract,
            Ok(Payload::Refund(refund)) => refund.chain_id == chain_id && refund.bridge == contract,
            Err(_) => false,
        };
        entry.lane == LANE_EVM && entry.token != [0; 32] && is_here
    }
}

/// Why an attestor does not sign.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// It is frozen or paused.
    #[error("the attestor is stopped: {0}")]
    Stopped(String),
    /// It does not attest this.
    #[error("this service does not attest {0}")]
    NotMine(&'static str),
    /// The bytes are no checkpoint.
    #[error("these bytes are no signed checkpoint")]
    Malformed,
    /// Another network.
    #[error("the checkpoint is of another network")]
    OtherNetwork,
    /// The network's key did not sign it.
    #[error("the network's key has not signed this checkpoint")]
    NotSigned,
    /// Nothing stands under it.
    #[error("the checkpoint's outbox is empty")]
    Empty,
    /// The contract has another set of attestors.
    #[error("the contract's set of attestors is {expected}, not {asked}")]
    OtherSet {
        /// The contract's.
        expected: u64,
        /// The one asked for.
        asked: u64,
    },
    /// An epoch at or below one that was signed.
    #[error("epoch {asked} was asked for, and {signed} has been signed")]
    SignedBefore {
        /// The newest epoch signed.
        signed: u64,
        /// The one asked for.
        asked: u64,
    },
    /// Another checkpoint of this epoch was signed.
    #[error("another checkpoint of epoch {0} has been signed")]
    Equivocation(u64),
    /// The outbox has not only grown.
    #[error("the outbox does not continue what was attested: {0}")]
    Rewritten(OutboxError),
    /// The root is over other leaves.
    #[error("the root is not over the outbox's {0} leaves")]
    OtherLeaves(u64),
    /// The block is not the one that this attestor's endpoints agree on.
    #[error("block {0} is another one here")]
    OtherBlock(u64),
    /// The block is not final here.
    #[error("block {0} is not final here yet")]
    NotFinal(u64),
    /// The DSM side.
    #[error(transparent)]
    Dsm(#[from] DsmError),
    /// The EVM side.
    #[error(transparent)]
    Evm(#[from] EvmError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// Something else has to come first.
    #[error("{0}")]
    Wait(String),
    /// The signature could not be made.
    #[error("the signature could not be made")]
    Sign,
}

impl AttestError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            AttestError::Stopped(_) => "stopped",
            AttestError::NotMine(_) => "not_attestor",
            AttestError::Malformed => "malformed_bytes",
            AttestError::OtherNetwork => "other_network",
            AttestError::NotSigned => "checkpoint_not_signed",
            AttestError::Empty => "outbox_empty",
            AttestError::OtherSet { .. } => "other_set",
            AttestError::SignedBefore { .. } => "signed_before",
            AttestError::Equivocation(_) => "would_equivocate",
            AttestError::Rewritten(_) => "outbox_rewritten",
            AttestError::OtherLeaves(_) => "outbox_other_leaves",
            AttestError::OtherBlock(_) => "other_block",
            AttestError::NotFinal(_) => "not_final",
            AttestError::Dsm(error) => error.code(),
            AttestError::Evm(error) => error.code(),
            AttestError::State(_) => "state",
            AttestError::Wait(_) => "not_yet",
            AttestError::Sign => "sign_failed",
        }
    }
}

impl From<Stall> for AttestError {
    fn from(stall: Stall) -> AttestError {
        match stall {
            Stall::State(error) => AttestError::State(error),
            Stall::Dsm(error) => AttestError::Dsm(error),
            Stall::Evm(error) => AttestError::Evm(error),
            other => AttestError::Wait(other.to_string()),
        }
    }
}

/// The attestor: keys, and what it has signed.
pub(crate) struct Attestor {
    pub(crate) config: AttestorConfig,
    pub(crate) terms: BridgeConfig,
    pub(crate) evm: Arc<dyn Evm>,
    pub(crate) dsm: Arc<dyn Dsm>,
    pub(crate) store: Arc<Store>,
    pub(crate) outbox: Arc<Outbox>,
    /// One at a time, with the last answer: whoever asks again costs no second signature.
    pub(crate) last: Mutex<Option<(Word, AttestationView)>>,
    pub(crate) node_key: Mutex<Option<PublicKey>>,
}

impl Attestor {
    fn stopped(&self) -> Result<(), AttestError> {
        match self.store.brakes()?.unwrap_or_default() {
            Brakes { frozen: Some(reason), .. } => Err(AttestError::Stopped(reason)),
            Brakes { paused: true, .. } => Err(AttestError::Stopped("paused by its admin".to_owned())),
            Brakes { frozen: None, paused: false } => Ok(()),
        }
    }

    fn node_key(&self) -> Result<PublicKey, DsmError> {
        let mut key = self.node_key.lock();
        match &*key {
            Some(key) => Ok(key.clone()),
            None => Ok(key.insert(self.dsm.node_key()?).clone()),
        }
    }

    /// Signs a checkpoint for the contract, once an epoch.
    pub(crate) fn attest(&self, request: &AttestationRequest) -> Result<AttestationView, AttestError> {
        let mut last = self.last.lock();
        self.stopped()?;
        let signed = &request.checkpoint;
        let checkpoint = &signed.checkpoint;
        if checkpoint.network != self.terms.network {
            return Err(AttestError::OtherNetwork);
        }
        signed.verify(&self.node_key()?, &Verifier::new()).map_err(|_| AttestError::NotSigned)?;
        let (epoch, size, root) = (checkpoint.epoch, checkpoint.outbox_size, checkpoint.outbox_root.0);
        if size == 0 || root == [0; 32] {
            return Err(AttestError::Empty);
        }
        let statement = Checkpoint {
            epoch,
            size,
            root,
            set_id: request.set_id,
            network: checkpoint.network.0,
            position: checkpoint.log_position,
        };
        let digest = statement.digest(self.terms.chain_id, &self.terms.contract);
        if let Some((before, view)) = &*last
            && *before == digest
        {
            return Ok(view.clone());
        }
        let expected = self.evm.contract()?.set_id;
        if request.set_id != expected {
            return Err(AttestError::OtherSet { expected, asked: request.set_id });
        }
        self.check_growth(size, &root)?;
        self.sign_once(epoch, SignedRow { digest, size, root })?;
        let ecdsa = self.config.ecdsa.sign_prehash(&digest);
        let slh_dsa = match &self.config.slh_dsa {
            Some(key) => Some(Hex(key.sign(&digest).map_err(|_| AttestError::Sign)?)),
            None => None,
        };
        self.store.reach("attest.signed")?;
        let view = AttestationView {
            index: self.config.index,
            epoch,
            digest: Hex(digest.to_vec()),
            ecdsa: Hex(ecdsa.to_vec()),
            slh_dsa,
            trust_level: crate::api::trust_level(&self.terms).to_owned(),
        };
        *last = Some((digest, view.clone()));
        Ok(view)
    }

    /// The outbox only grew since the last attestation, and the root is over exactly the leaves that were followed.
    fn check_growth(&self, size: u64, root: &Word) -> Result<(), AttestError> {
        if let Some((_, before)) = self.store.newest_signed()? {
            if size < before.size {
                let shrinks = OutboxError::Size { old: before.size, new: size };
                return Err(AttestError::Rewritten(shrinks));
            }
            let hashes = self.dsm.outbox_consistency(before.size, size)?;
            verify_consistency(before.size, &before.root, size, root, &hashes)
                .map_err(AttestError::Rewritten)?;
        }
        self.outbox.follow(Some(size))?;
        match self.outbox.tree().root(size) {
            Ok(found) if found == *root => Ok(()),
            Ok(_) | Err(_) => Err(AttestError::OtherLeaves(size)),
        }
    }

    /// Makes what is about to be signed durable. Decided and written in one transaction.
    fn sign_once(&self, epoch: u64, row: SignedRow) -> Result<(), AttestError> {
        let refusal = self.store.step("attest.before", "attest.durable", |step| {
            if let Some(before) = step.signed(epoch)? {
                return Ok((before.digest != row.digest).then_some(AttestError::Equivocation(epoch)));
            }
            if let Some((signed, _)) = step.newest_signed()?
                && signed >= epoch
            {
                return Ok(Some(AttestError::SignedBefore { signed, asked: epoch }));
            }
            step.put_signed(epoch, &row)?;
            Ok(None)
        })?;
        refusal.map_or(Ok(()), Err)
    }

    /// States that a block is final, if this attestor's own endpoints agree on it. One block a height.
    pub(crate) fn attest_block(
        &self,
        request: &BlockAttestationBody,
    ) -> Result<BlockAttestationView, AttestError> {
        let _one = self.last.lock();
        self.stopped()?;
        let Some((index, key)) = &self.config.blocks else { return Err(AttestError::NotMine("blocks")) };
        let hash: Word = request.hash.0.as_slice().try_into().map_err(|_| AttestError::Malformed)?;
        let height = request.height;
        if self.evm.newest()?.number < height {
            return Err(AttestError::NotFinal(height));
        }
        let header = self.evm.header(height)?;
        if header.hash != hash {
            return Err(AttestError::OtherBlock(height));
        }
        let row = HeaderRow { height, hash, rlp: header.rlp };
        let refused =
            self.store.step("block.before", "block.durable", |step| match step.header(height)? {
                Some(before) => Ok(before.hash != hash),
                None => {
                    step.put_header(height, &row)?;
                    step.prune_headers()?;
                    Ok(false)
                }
            })?;
        if refused {
            return Err(AttestError::OtherBlock(height));
        }
        let signature = attest_block(self.terms.network, self.terms.id(), hash, key);
        Ok(BlockAttestationView {
            index: *index,
            signature: Hex(signature.map_err(|_| AttestError::Sign)?),
            trust_level: crate::api::trust_level(&self.terms).to_owned(),
        })
    }
}

/// What an attestor is asked to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationRequest {
    /// DSM's checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The contract's set of attestors.
    pub set_id: u64,
}

/// Those who attest, as the relayer sees them.
pub trait Attestors: Send + Sync {
    /// Records for the contract over `digest`, one an attestor, by their index; and why others gave none.
    fn checkpoint(&self, request: &AttestationRequest, digest: &Word) -> (Vec<Vec<u8>>, Vec<String>);

    /// Statements of `threshold` keys that a block is final, by the keys' positions.
    ///
    /// # Errors
    /// Too few were had, and why.
    fn blocks(
        &self,
        terms: &BridgeConfig,
        header: &Header,
        threshold: usize,
    ) -> Result<Vec<(u8, Vec<u8>)>, AttestError>;
}

/// Attestors that answer over HTTP.
pub(crate) struct HttpAttestors {
    urls: Vec<String>,
    agent: Agent,
    kind: AttestationKind,
}

impl HttpAttestors {
    pub(crate) fn new(urls: &[String], kind: AttestationKind) -> Result<HttpAttestors, String> {
        for url in urls {
            let plain = url.strip_prefix("http://").is_some_and(|host| {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@".contains(&byte))
            });
            if !plain {
                return Err(format!("{url:?} is not of the form http://host:port"));
            }
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(ANSWER_TIME_MAX))
            .build()
            .new_agent();
        Ok(HttpAttestors { urls: urls.to_vec(), agent, kind })
    }

    /// Asks all of them at once.
    fn ask<T: serde::de::DeserializeOwned + Send>(
        &self,
        path: &str,
        body: &(impl serde::Serialize + Sync),
    ) -> Vec<(String, Result<T, String>)> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = self
                .urls
                .iter()
                .map(|url| {
                    (
                        url,
                        scope.spawn(move || self.post(&format!("{}{path}", url.trim_end_matches('/')), body)),
                    )
                })
                .collect();
            let ended = |_| Err("the question ended".to_owned());
            asked.into_iter().map(|(url, one)| (url.clone(), one.join().unwrap_or_else(ended))).collect()
        })
    }

    fn post<T: serde::de::DeserializeOwned>(
        &self,
        url: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let body = serde_json::to_vec(body).map_err(|error| text(&error))?;
        let request = self.agent.post(url).header("content-type", "application/json");
        let answer = request.send(body.as_slice()).map_err(|error| text(&error))?;
        let status = answer.status();
        let bytes = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let bytes = bytes.map_err(|error| text(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| text(&error));
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(format!("{}: {}", problem.code, problem.detail)),
            Err(_) => Err(format!("HTTP {status}")),
        }
    }

    fn record(&self, view: &AttestationView, digest: &Word) -> Result<Vec<u8>, String> {
        if view.digest.0 != digest {
            return Err("it signed something else".to_owned());
        }
        let ecdsa = || -> Result<Vec<u8>, String> {
            let signature = <[u8; 65]>::try_from(view.ecdsa.0.as_slice()).ok();
            let signature = signature.filter(|signature| recover_address(digest, signature).is_some());
            let mut signature = signature.ok_or("its ECDSA signature is none")?;
            signature[64] += 27;
            Ok(signature.to_vec())
        };
        let slh_dsa = || -> Result<&[u8], String> {
            let signature = view.slh_dsa.as_ref().filter(|signature| signature.0.len() == SLH_DSA_BYTES);
            Ok(&signature.ok_or("it gave no SLH-DSA signature")?.0)
        };
        let mut record = vec![view.index];
        match self.kind {
            AttestationKind::Ecdsa => record.extend(ecdsa()?),
            AttestationKind::SlhDsa => record.extend(slh_dsa()?),
            AttestationKind::Hybrid => {
                record.extend(ecdsa()?);
                record.extend(slh_dsa()?);
            }
        }
        Ok(record)
    }
}

impl Attestors for HttpAttestors {
    fn checkpoint(&self, request: &AttestationRequest, digest: &Word) -> (Vec<Vec<u8>>, Vec<String>) {
        let checkpoint = Hex(dsm_abi::encode(&request.checkpoint));
        let body = AttestationBody { checkpoint, set_id: request.set_id };
        let (mut records, mut refusals): (Vec<Vec<u8>>, _) = (Vec::new(), Vec::new());
        for (url, answer) in self.ask::<AttestationView>("/v1/attestations", &body) {
            match answer.and_then(|view| self.record(&view, digest)) {
                // The first answer under an index counts.
                Ok(record) if records.iter().all(|other| other[0] != record[0]) => records.push(record),
                Ok(_) => refusals.push(format!("{url}: it has another's index")),
                Err(reason) => refusals.push(format!("{url}: {reason}")),
            }
        }
        records.sort();
        (records, refusals)
    }

    fn blocks(
        &self,
        _: &BridgeConfig,
        header: &Header,
        threshold: usize,
    ) -> Result<Vec<(u8, Vec<u8>)>, AttestError> {
        let body = BlockAttestationBody { height: header.number, hash: Hex(header.hash.to_vec()) };
        let (mut found, mut refusals): (Vec<(u8, Vec<u8>)>, _) = (Vec::new(), Vec::new());
        for (url, answer) in self.ask::<BlockAttestationView>("/v1/attestations/blocks", &body) {
            match answer {
                Ok(view) if found.iter().all(|(index, _)| *index != view.index) => {
                    found.push((view.index, view.signature.0));
                }
                Ok(_) => refusals.push(format!("{url}: it has another's index")),
                Err(reason) => refusals.push(format!("{url}: {reason}")),
            }
        }
        found.sort();
        if found.len() < threshold {
            let reasons = refusals.join("; ");
            return Err(AttestError::Wait(format!(
                "{} of {threshold} keys stated it: {reasons}",
                found.len()
            )));
        }
        found.truncate(threshold);
        Ok(found)
    }
}
