//! The policies that this node holds: verified packages on disk, admitted modules in memory, and the [`Judge`]
//! that runs them.

use super::metrics::{Metrics, count};
use super::{NodeConfig, StageError};
use crate::engine::{CacheStats, Engine, GuestCrypto, HostFault, Module, ModuleCache, Outcome, State};
use dsm_abi::{Description, Digest, Input, KeyId, PolicyId, encode};
use dsm_core::{Judge, Judgement, NoVerdict, StateSpace};
use dsm_crypto::Verifier;
use dsm_sdk::package::{Package, PolicyDocument, VerifiedPackage};
use dsm_store::{BlobError, Blobs};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Cryptography for policies.
pub(super) struct PolicyCrypto;

impl GuestCrypto for PolicyCrypto {
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        dsm_crypto::hash_guest(algorithm, bytes)
    }

    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        dsm_crypto::verify_guest(algorithm, key, message, signature)
    }
}

/// A package that was verified and whose module was admitted.
struct Held {
    document: PolicyDocument,
    description: Arc<Description>,
    module: Digest,
    blob: [u8; 32],
}

/// The policies that this node holds.
pub struct Shelf {
    cache: ModuleCache,
    blobs: Blobs,
    held: RwLock<BTreeMap<PolicyId, Arc<Held>>>,
    /// Staged and not published.
    staged: RwLock<BTreeSet<PolicyId>>,
    staged_max: usize,
    /// Published, and the package is not here or cannot be read.
    missing: RwLock<BTreeSet<PolicyId>>,
    lost: Notify,
    verifier: Verifier,
}

impl Shelf {
    /// Reads all packages again: hashes, signatures. Modules are admitted when they are first needed.
    pub(super) fn open(
        engine: Engine,
        blobs: Blobs,
        config: &NodeConfig,
        verifier: Verifier,
    ) -> Result<Shelf, BlobError> {
        let ttl = Duration::from_secs(config.policy_ttl_s);
        let shelf = Shelf {
            cache: ModuleCache::new(Arc::new(engine), config.policy_cache_size, ttl),
            blobs,
            held: RwLock::default(),
            staged: RwLock::default(),
            staged_max: config.staged_max,
            missing: RwLock::default(),
            lost: Notify::new(),
            verifier,
        };
        for blob in shelf.blobs.list()? {
            let bytes = shelf.blobs.get(&blob)?;
            match Package::decode(&bytes).and_then(|package| package.verify(&shelf.verifier)) {
                Ok(verified) => shelf.hold(&verified, blob),
                // Its hash is right, so it was stored by another version that admitted what this one does not.
                Err(error) => tracing::warn!(%error, "a stored package is not accepted any more"),
            }
        }
        Ok(shelf)
    }

    /// The engine that runs policies.
    pub fn engine(&self) -> &Engine {
        self.cache.engine()
    }

    /// What the cache of compiled modules has done.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Changes the size of the cache and the age at which it drops a module.
    pub fn configure_cache(&self, size: usize, ttl: Duration) {
        self.cache.configure(size, ttl, Instant::now());
    }

    fn hold(&self, verified: &VerifiedPackage, blob: [u8; 32]) {
        let document = verified.document().clone();
        let description = Arc::new(document.description.clone());
        let held = Held { document, description, module: verified.module_digest(), blob };
        self.staged.write().insert(verified.policy());
        self.held.write().insert(verified.policy(), Arc::new(held));
    }

    /// The policy is published: it does not count as staged any more.
    pub(super) fn published(&self, policy: &PolicyId) {
        self.staged.write().remove(policy);
        if !self.held.read().contains_key(policy) {
            self.missing.write().insert(*policy);
        }
    }

    /// Policies that are published and cannot be run, because their packages are not here.
    pub fn missing(&self) -> Vec<PolicyId> {
        self.missing.read().iter().copied().collect()
    }

    /// Returns when another package is found missing.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// Takes a package that somebody sent if it is one of a policy that is missing: verified, admitted and stored as
    /// if it were staged. `None` if it is not missing.
    ///
    /// # Errors
    /// [`StageError`]; nothing was stored.
    pub(crate) fn adopt(&self, bytes: &[u8]) -> Result<Option<PolicyId>, StageError> {
        let verified = Package::decode(bytes)?.verify(&self.verifier)?;
        let policy = verified.policy();
        if !self.missing.read().contains(&policy) {
            return Ok(None);
        }
        let blob = self.admit(&verified)?;
        self.hold(&verified, blob);
        self.staged.write().remove(&policy);
        self.missing.write().remove(&policy);
        Ok(Some(policy))
    }

    /// The names of the packages of all published policies that are here, by the hash of their bytes.
    pub(crate) fn readable(&self) -> Vec<Digest> {
        let (held, staged, missing) = (self.held.read(), self.staged.read(), self.missing.read());
        let published =
            held.iter().filter(|(policy, _)| !staged.contains(*policy) && !missing.contains(*policy));
        published.map(|(_, held)| Digest(held.blob)).collect()
    }

    /// A package by the hash of its bytes, which are hashed again.
    ///
    /// # Errors
    /// [`BlobError`].
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        self.blobs.get(&digest.0)
    }

    /// Where the packages lie.
    pub(super) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The hash of the bytes of a policy's package, if it is here.
    pub(super) fn blob_name(&self, policy: &PolicyId) -> Option<[u8; 32]> {
        let here = !self.missing.read().contains(policy);
        self.held.read().get(policy).filter(|_| here).map(|held| held.blob)
    }

    pub(crate) fn verifier(&self) -> Verifier {
        self.verifier
    }

    /// Verifies and admits a package and stores it durably, so that it can be published.
    pub(super) fn stage(&self, bytes: &[u8]) -> Result<PolicyId, StageError> {
        let verified = Package::decode(bytes)?.verify(&self.verifier)?;
        let policy = verified.policy();
        if self.held.read().contains_key(&policy) {
            return Ok(policy);
        }
        if self.staged.read().len() >= self.staged_max {
            return Err(StageError::StagedFull(self.staged_max));
        }
        let blob = self.admit(&verified)?;
        self.hold(&verified, blob);
        Ok(policy)
    }

    /// Passes the module through the gate and stores the package.
    fn admit(&self, verified: &VerifiedPackage) -> Result<[u8; 32], StageError> {
        let module = self.engine().admit(&verified.package().module)?;
        if *module.description() != verified.document().description {
            return Err(StageError::DescriptionMismatch);
        }
        Ok(self.blobs.put(&encode(verified.package()))?)
    }

    /// The package of a policy, hashed again.
    pub(super) fn package(&self, policy: &PolicyId) -> Result<Option<Vec<u8>>, BlobError> {
        let Some(held) = self.held.read().get(policy).cloned() else { return Ok(None) };
        self.blobs.get(&held.blob).map(Some)
    }

    /// The document of a policy.
    pub fn document(&self, policy: &PolicyId) -> Option<PolicyDocument> {
        self.held.read().get(policy).map(|held| held.document.clone())
    }

    fn module(&self, policy: &PolicyId, held: &Held) -> Result<Arc<Module>, String> {
        let load = || match self.blobs.get(&held.blob) {
            Ok(bytes) => Some(Package::decode(&bytes).ok()?.module),
            Err(error) => {
                tracing::error!(%error, policy = %policy, "the package of a policy cannot be read");
                self.missing.write().insert(*policy);
                self.lost.notify_one();
                None
            }
        };
        self.cache.module(held.module, Instant::now(), load).map_err(|error| error.to_string())
    }

    /// The policy's module and fuel limit.
    pub(super) fn runnable(&self, policy: &PolicyId) -> Result<(Arc<Module>, u64), String> {
        let held = self.held.read().get(policy).cloned();
        let held = held.ok_or_else(|| format!("the package of policy {policy} is missing"))?;
        Ok((self.module(policy, &held)?, held.document.fuel_limit))
    }

    /// A judge over these policies that counts what it does.
    pub(super) fn judge<'a>(&'a self, metrics: &'a Metrics) -> ShelfJudge<'a> {
        ShelfJudge { shelf: self, metrics }
    }
}

/// Runs the policies of a [`Shelf`].
pub(super) struct ShelfJudge<'a> {
    shelf: &'a Shelf,
    metrics: &'a Metrics,
}

impl Judge for ShelfJudge<'_> {
    fn describe(&self, policy: &PolicyId) -> Option<(Digest, KeyId, Arc<Description>)> {
        let held = self.shelf.held.read().get(policy).cloned()?;
        Some((held.module, held.document.author, Arc::clone(&held.description)))
    }

    fn judge(
        &mut self,
        policy: &PolicyId,
        input: &Input,
        state: &Arc<StateSpace>,
        foreign: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict> {
        let judged = self.evaluate(policy, input, state, foreign);
        self.metrics.verdicts.count(policy, &judged);
        judged
    }
}

impl ShelfJudge<'_> {
    fn evaluate(
        &self,
        policy: &PolicyId,
        input: &Input,
        state: &Arc<StateSpace>,
        foreign: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict> {
        let start = Instant::now();
        let (module, fuel_limit) = self.shelf.runnable(policy).map_err(NoVerdict)?;
        let state: State = Arc::clone(state) as State;
        let foreign: Vec<State> = foreign.iter().map(|space| Arc::clone(space) as State).collect();
        let evaluation = match self.shelf.engine().evaluate(&module, input, &state, &foreign, fuel_limit) {
            Ok(evaluation) => evaluation,
            // Follows from the transition and the ledger alone, so it is the same everywhere.
            Err(HostFault::InputTooLong { .. }) => return Ok(Judgement::Fault("input_too_long".into())),
            Err(fault) => return Err(NoVerdict(fault.to_string())),
        };
        count(&self.metrics.evaluations);
        self.metrics.fuel.fetch_add(evaluation.fuel, Ordering::Relaxed);
        self.metrics.evaluate.observe(start.elapsed());
        Ok(match evaluation.outcome {
            Outcome::Accept(effects) => Judgement::Accept(effects),
            Outcome::Reject(denial) => Judgement::Reject(denial),
            Outcome::Fault(fault) => Judgement::Fault(fault.code().into()),
        })
    }
}
