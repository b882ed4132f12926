//! Judging an evidence package again, without the node that wrote it: everything is hashed again, every signature
//! verified, every module admitted by the gate, every policy run by the engine, and what comes out compared with what
//! the log says.
//!
//! Nothing in the package is believed but the trusted key: [`verify`] says step by step what agrees, and the first step
//! that does not is the error.

use crate::engine::{AdmitError as GateError, Engine, HostFault, Module, Outcome, State};
use dsm_abi::{Description, Digest, Input, KeyId, NetworkId, PolicyId, TransitionId, VerifySignature};
use dsm_core::{
    Checkpoint, Judge, Judgement, LogSlice, NoVerdict, OutboxProof, ProofError, PublicKey, Rejudged,
    SliceError, StateSpace,
};
use dsm_sdk::evidence::{EvidenceFormatError, EvidencePackage, Said};
use dsm_sdk::package::{Package, PackageError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The steps of a verification, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Canonical bytes within their limits.
    Format,
    /// The node's signatures, and the records that they cover.
    Log,
    /// Hashes and signatures of policy packages, and the gate.
    Policies,
    /// Every signature, every verdict, every effect, every head.
    Transitions,
    /// Nothing was left out: the heads at the checkpoint.
    Heads,
    /// What the transitions said to other chains.
    Outbox,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Step; 6] =
        [Step::Format, Step::Log, Step::Policies, Step::Transitions, Step::Heads, Step::Outbox];

    /// Its number, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Step::Format => "format",
            Step::Log => "log",
            Step::Policies => "policies",
            Step::Transitions => "transitions",
            Step::Heads => "heads",
            Step::Outbox => "outbox",
        }
    }
}

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agreed {
    /// The step.
    pub step: Step,
    /// What agrees.
    pub detail: String,
}

/// A transition that was asked about, as its records and their places show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownTransition {
    /// Its id.
    pub transition: TransitionId,
    /// Its position in the log.
    pub position: u64,
    /// The log's chain digest through it.
    pub log_digest: Digest,
    /// The time that the sequencer gave it, in ms since the Unix epoch.
    pub time_ms: u64,
    /// Operations.
    pub operations: usize,
    /// Effects that the policies asked for, then and now.
    pub effects: usize,
    /// Accounts that it moved.
    pub accounts: usize,
    /// Tokens that it moved.
    pub tokens: usize,
    /// Entries of the outbox that it made.
    pub emitted: usize,
}

/// Everything agrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceReport {
    /// The network.
    pub network: NetworkId,
    /// Its name, in its founder's words.
    pub network_name: String,
    /// The checkpoint's number.
    pub epoch: u64,
    /// The last record that the checkpoint covers.
    pub log_position: u64,
    /// Whether the package holds the whole log up to the checkpoint.
    pub whole: bool,
    /// Runs of policies.
    pub evaluations: u64,
    /// Fuel that they used.
    pub fuel: u64,
    /// What each step found.
    pub steps: Vec<Agreed>,
    /// The transitions that were asked about, in the order of the log.
    pub transitions: Vec<ShownTransition>,
}

/// The step at which a package shows nothing, and why.
#[derive(Debug, thiserror::Error)]
#[error("step {}, {}: {source}", .step.number(), .step.name())]
pub struct EvidenceError {
    /// The step.
    pub step: Step,
    /// Why.
    pub source: EvidenceFault,
}

/// Why a package shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceFault {
    /// No package.
    #[error(transparent)]
    Format(#[from] EvidenceFormatError),
    /// The slice of the log shows nothing.
    #[error(transparent)]
    Slice(#[from] SliceError),
    /// A policy package is not what it should be.
    #[error("policy package {number}: {source}")]
    Package {
        /// Which, from 1.
        number: usize,
        /// Why.
        source: PackageError,
    },
    /// The gate refuses a module, or this host could not judge it.
    #[error("policy {policy}: {source}")]
    Gate {
        /// The policy.
        policy: PolicyId,
        /// Why.
        source: GateError,
    },
    /// A module describes itself otherwise than its document does.
    #[error("policy {0}: the module describes itself otherwise than the document does")]
    Description(PolicyId),
    /// Policy packages are out of order, repeated, or not those that the records publish.
    #[error("the policy packages are not those that the records publish, each once and in order")]
    Packages,
    /// A transition that the package is about is not among the records.
    #[error("transition {0} is not among the records")]
    Missing(TransitionId),
    /// An entry of the outbox is not under the checkpoint's root.
    #[error("entry {index} of the outbox: {source}")]
    Said {
        /// Its index.
        index: u64,
        /// Why.
        source: ProofError,
    },
    /// The outbox is not what the transitions said.
    #[error("the outbox's entries are not what the transitions said")]
    OtherWords,
}

impl EvidenceFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            EvidenceFault::Format(_) => "evidence_malformed",
            EvidenceFault::Slice(error) => error.code(),
            EvidenceFault::Package { source, .. } => source.code(),
            EvidenceFault::Gate { source: GateError::Refused { .. }, .. } => "module_refused",
            EvidenceFault::Gate { source: GateError::Host(_), .. } => "no_verdict",
            EvidenceFault::Description(_) => "description_mismatch",
            EvidenceFault::Packages | EvidenceFault::Missing(_) => "evidence_incomplete",
            EvidenceFault::Said { source, .. } => source.code(),
            EvidenceFault::OtherWords => "evidence_outbox",
        }
    }
}

fn at<E: Into<EvidenceFault>>(step: Step) -> impl FnOnce(E) -> EvidenceError {
    move |source| EvidenceError { step, source: source.into() }
}

/// Judges a package again. Without a trusted key the network's own genesis is asked for it, which shows that the
/// package agrees with itself and nothing more.
///
/// # Errors
/// [`EvidenceError`], with the first step that does not agree.
pub fn verify(
    bytes: &[u8],
    trusted: Option<&PublicKey>,
    verifier: &dyn VerifySignature,
    engine: &Engine,
) -> Result<EvidenceReport, EvidenceError> {
    let mut steps = Vec::new();
    let mut agreed = |step, detail| steps.push(Agreed { step, detail });
    let package = EvidencePackage::decode(bytes).map_err(at(Step::Format))?;
    let (slice, asked) = (&package.slice, &package.transitions);
    agreed(
        Step::Format,
        format!("bytes: {}, canonical; transitions that they are about: {}", bytes.len(), asked.len()),
    );

    let trusted = trusted.unwrap_or(&slice.genesis.node);
    let read = slice.read(trusted, verifier).map_err(at(Step::Log))?;
    let last = read.checkpoint();
    agreed(Step::Log, log_words(slice, last, read.whole(), read.hashed()));

    let mut judge = Policies::admit(&package, verifier, engine).map_err(at(Step::Policies))?;
    agreed(
        Step::Policies,
        format!("{} policies: hashed, signed by their authors, admitted by the gate", judge.held.len()),
    );

    let mut rejudged = read.rejudge(verifier, &mut judge).map_err(at(Step::Transitions))?;
    if !rejudged.policies().eq(judge.held.keys()) {
        return Err(at(Step::Transitions)(EvidenceFault::Packages));
    }
    let found = |id: &TransitionId| rejudged.transitions.iter().any(|one| one.applied.transition == *id);
    if let Some(missing) = asked.iter().find(|id| !found(id)) {
        return Err(at(Step::Transitions)(EvidenceFault::Missing(*missing)));
    }
    agreed(
        Step::Transitions,
        format!(
            "judged again: {}, in {} runs of policies; the same effects, the same heads",
            rejudged.transitions.len(),
            judge.evaluations
        ),
    );

    let proven = rejudged.prove().map_err(at(Step::Heads))?;
    let all = if proven.whole { ", every root" } else { "" };
    agreed(
        Step::Heads,
        format!(
            "accounts: {}, tokens: {}{all}; as the checkpoint has them, so nothing is left out",
            proven.accounts, proven.tokens
        ),
    );

    let shown: Vec<&Rejudged> = rejudged
        .transitions
        .iter()
        .filter(|one| asked.binary_search(&one.applied.transition).is_ok())
        .collect();
    check_outbox(&package, &shown, trusted, verifier).map_err(at(Step::Outbox))?;
    agreed(Step::Outbox, format!("entries: {}, as the transitions said them", package.outbox.len()));

    Ok(EvidenceReport {
        network: slice.genesis.network(),
        network_name: slice.genesis.name.clone(),
        epoch: last.epoch,
        log_position: last.log_position,
        whole: proven.whole,
        evaluations: judge.evaluations,
        fuel: judge.fuel,
        transitions: shown.into_iter().map(shown_transition).collect(),
        steps,
    })
}

fn log_words(slice: &LogSlice, last: &Checkpoint, whole: u64, hashed: u64) -> String {
    format!(
        "records: {whole}, and the hashes of {hashed}; checkpoints that the node signed: {}, the last at {}",
        slice.stretches.len(),
        last.log_position
    )
}

fn shown_transition(one: &Rejudged) -> ShownTransition {
    let applied = &one.applied;
    ShownTransition {
        transition: applied.transition,
        position: one.position,
        log_digest: one.log_digest,
        time_ms: applied.time_ms,
        operations: applied.signed.transition.operations.len(),
        effects: applied.effects.iter().map(|given| given.effects.len()).sum(),
        accounts: applied.accounts.len(),
        tokens: applied.tokens.len(),
        emitted: applied.emitted.len(),
    }
}

/// Every entry is under the checkpoint's root, and says what a transition said. Its index is the outbox's, which a slice
/// does not know; the root does.
fn check_outbox(
    package: &EvidencePackage,
    shown: &[&Rejudged],
    trusted: &PublicKey,
    verifier: &dyn VerifySignature,
) -> Result<(), EvidenceFault> {
    let Some(last) = package.slice.stretches.last() else { return Ok(()) };
    let mut said = shown.iter().flat_map(|one| &one.applied.emitted);
    let mut before = None;
    for Said { entry, siblings } in &package.outbox {
        let proof = OutboxProof {
            checkpoint: last.checkpoint.clone(),
            entry: entry.clone(),
            siblings: siblings.clone(),
        };
        let index = entry.index;
        proof.verify(trusted, verifier).map_err(|source| EvidenceFault::Said { index, source })?;
        let expected = said.next().map(|expected| dsm_core::OutboxEntry { index, ..expected.clone() });
        if expected.as_ref() != Some(entry) || before.is_some_and(|before| before >= index) {
            return Err(EvidenceFault::OtherWords);
        }
        before = Some(index);
    }
    if said.next().is_some() { Err(EvidenceFault::OtherWords) } else { Ok(()) }
}

/// A package that was verified and whose module was admitted.
struct Held {
    module: Arc<Module>,
    digest: Digest,
    author: KeyId,
    description: Arc<Description>,
    fuel_limit: u64,
}

/// Runs the policies of a package.
struct Policies<'a> {
    engine: &'a Engine,
    held: BTreeMap<PolicyId, Held>,
    evaluations: u64,
    fuel: u64,
}

impl<'a> Policies<'a> {
    fn admit(
        package: &EvidencePackage,
        verifier: &dyn VerifySignature,
        engine: &'a Engine,
    ) -> Result<Policies<'a>, EvidenceFault> {
        let mut held: BTreeMap<PolicyId, Held> = BTreeMap::new();
        for (bytes, number) in package.packages.iter().zip(1..) {
            let failed = |source| EvidenceFault::Package { number, source };
            let verified = Package::decode(bytes).and_then(|found| found.verify(verifier)).map_err(failed)?;
            let policy = verified.policy();
            if held.last_key_value().is_some_and(|(last, _)| *last >= policy) {
                return Err(EvidenceFault::Packages);
            }
            let module = engine
                .admit(&verified.package().module)
                .map_err(|source| EvidenceFault::Gate { policy, source })?;
            let document = verified.document();
            if *module.description() != document.description {
                return Err(EvidenceFault::Description(policy));
            }
            let one = Held {
                module,
                digest: verified.module_digest(),
                author: document.author,
                description: Arc::new(document.description.clone()),
                fuel_limit: document.fuel_limit,
            };
            held.insert(policy, one);
        }
        Ok(Policies { engine, held, evaluations: 0, fuel: 0 })
    }
}

impl Judge for Policies<'_> {
    fn describe(&self, policy: &PolicyId) -> Option<(Digest, KeyId, Arc<Description>)> {
        let held = self.held.get(policy)?;
        Some((held.digest, held.author, Arc::clone(&held.description)))
    }

    fn judge(
        &mut self,
        policy: &PolicyId,
        input: &Input,
        state: &Arc<StateSpace>,
        foreign: &[Arc<StateSpace>],
    ) -> Result<Judgement, NoVerdict> {
        let held = self.held.get(policy);
        let held = held.ok_or_else(|| NoVerdict(format!("the package of policy {policy} is missing")))?;
        let state: State = Arc::clone(state) as State;
        let foreign: Vec<State> = foreign.iter().map(|space| Arc::clone(space) as State).collect();
        let evaluation = match self.engine.evaluate(&held.module, input, &state, &foreign, held.fuel_limit) {
            Ok(evaluation) => evaluation,
            // Follows from the transition and the ledger alone, so it is the same everywhere.
            Err(HostFault::InputTooLong { .. }) => return Ok(Judgement::Fault("input_too_long".into())),
            Err(fault) => return Err(NoVerdict(fault.to_string())),
        };
        self.evaluations += 1;
        self.fuel += evaluation.fuel;
        Ok(match evaluation.outcome {
            Outcome::Accept(effects) => Judgement::Accept(effects),
            Outcome::Reject(denial) => Judgement::Reject(denial),
            Outcome::Fault(fault) => Judgement::Fault(fault.code().into()),
        })
    }
}
