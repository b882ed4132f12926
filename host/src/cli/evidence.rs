//! `dsm evidence`: what accounts sign, or know, for policies to see; and packages: one file with everything that a
//! stranger needs to judge some transitions again, and judging them again without the node.

pub(crate) mod sign;

use super::failure::{Exit, Failure, file_failure};
use super::node::compiler;
use super::out::OutArgs;
use super::proof::trusted_key;
use super::session::Session;
use super::show::{Show, rows, safe, short};
use dsm_abi::TransitionId;
use dsm_crypto::Verifier;
use dsm_host::engine::Engine;
use dsm_host::evidence::{EvidenceError, EvidenceReport, Step};
use dsm_sdk::evidence::EVIDENCE_BYTES_MAX;
use serde::Serialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What is done with evidence, and with packages of it.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum EvidenceVerb {
    /// Sign what an account observed in a round of a feed
    Observe(sign::ObserveArgs),
    /// Collect the observations of one round in one file
    Round(sign::RoundArgs),
    /// Sign a statement, which one transition of somebody may carry
    Attest(sign::AttestArgs),
    /// Sign that an account has some properties, which it may show as often as it likes until then
    Credential(sign::CredentialArgs),
    /// Put the preimage of a digest into a file, which one transition of somebody may carry
    Preimage(sign::PreimageArgs),
    /// Tell what a file of evidence holds, without asking anybody
    Show {
        /// A file of one of the verbs before
        file: PathBuf,
    },
    /// Write a package about some transitions, with every record that has to do with them
    Export {
        /// An accepted transition; give it again for more
        #[arg(long = "transition", value_name = "ID", required = true)]
        transitions: Vec<TransitionId>,
        #[command(flatten)]
        out: OutArgs,
        /// Put in the whole log up to the checkpoint
        #[arg(long)]
        whole: bool,
        /// Have the node take a checkpoint first
        #[arg(long)]
        checkpoint: bool,
    },
    /// Judge a package again, without the node: hashes, signatures, the gate, every policy, every head
    Verify {
        /// The file
        file: PathBuf,
        /// The node's key: a file that holds it (such as the output of `dsm status --json`), or its hex digits, suite first
        #[arg(long, value_name = "FILE|HEX")]
        trust: Option<String>,
        /// The network accepts signatures of Dilithium3
        #[arg(long)]
        accept_dilithium3: bool,
    },
}

/// The answer of `export`.
#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    bytes: usize,
    transitions: usize,
}

impl Show for Exported {
    fn text(&self) -> String {
        rows([
            ("file", self.file.display().to_string()),
            ("bytes", self.bytes.to_string()),
            ("transitions", self.transitions.to_string()),
        ])
    }
}

/// The answer of `verify`.
#[derive(Serialize)]
struct Verified {
    /// Whether the caller named the key. If not, the package agrees with itself and shows nothing more.
    trusted: bool,
    #[serde(flatten)]
    report: EvidenceReport,
}

impl Show for Verified {
    fn text(&self) -> String {
        let report = &self.report;
        let steps = report.steps.iter();
        let mut lines: Vec<String> = steps
            .map(|one| format!("{} {:<12} agrees  {}", one.step.number(), one.step.name(), one.detail))
            .collect();
        lines.extend(report.transitions.iter().map(|one| {
            format!(
                "  {} at {}, {} ms: {} operations, {} effects, {} accounts and {} tokens moved, {} entries for other chains",
                short(one.transition),
                one.position,
                one.time_ms,
                one.operations,
                one.effects,
                one.accounts,
                one.tokens,
                one.emitted
            )
        }));
        lines.push(format!(
            "verified: network {} ({}), checkpoint {}, log position {}",
            report.network,
            safe(&report.network_name),
            report.epoch,
            report.log_position
        ));
        if !self.trusted {
            lines.push(
                "no key was given with --trust: the package agrees with itself, whoever made it".to_owned(),
            );
        }
        lines.join("\n")
    }
}

impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Failure {
        let help = match (error.step, error.source.code()) {
            (_, "no_verdict") => "this machine could not run a policy; try again",
            (Step::Log, "checkpoint_not_signed") => "check that --trust is the key of the network's node",
            (Step::Transitions, "replay_record") => {
                "the package was altered, or cut by a node whose engine has another profile; `dsm status --json` tells it"
            }
            _ => "the package was altered or is not whole; ask the node for it again",
        };
        Failure::new(Exit::Integrity, error.source.code(), &error).help(help)
    }
}

pub(crate) fn run(session: &Session, verb: &EvidenceVerb) -> Result<(), Failure> {
    match verb {
        EvidenceVerb::Observe(args) => sign::observe(session, args),
        EvidenceVerb::Round(args) => sign::round(session, args),
        EvidenceVerb::Attest(args) => sign::attest(session, args),
        EvidenceVerb::Credential(args) => sign::credential(session, args),
        EvidenceVerb::Preimage(args) => sign::preimage(session, args),
        EvidenceVerb::Show { file } => sign::show(session, file),
        EvidenceVerb::Export { transitions, out, whole, checkpoint } => {
            out.check()?;
            let client = session.client()?;
            if *checkpoint {
                client.take_checkpoint()?;
            }
            let bytes = client.evidence(transitions, *whole)?;
            out.write(&bytes)?;
            let (file, bytes, transitions) = (out.file.clone(), bytes.len(), transitions.len());
            session.show(&Exported { file, bytes, transitions })
        }
        EvidenceVerb::Verify { file, trust, accept_dilithium3 } => {
            let verifier = if *accept_dilithium3 { Verifier::accepting_legacy() } else { Verifier::new() };
            let report = verify_file(file, trust.as_deref(), &verifier)?;
            session.show(&Verified { trusted: trust.is_some(), report })
        }
    }
}

/// Judges the package in a file again, with an engine that compiles in a child process: modules are strangers' bytes.
pub(crate) fn verify_file(
    file: &Path,
    trust: Option<&str>,
    verifier: &Verifier,
) -> Result<EvidenceReport, Failure> {
    let trusted = trust.map(|text| trusted_key("--trust", Some(text))).transpose()?;
    let bytes = read(file)?;
    let engine: Engine = super::policy::engine_with(compiler())?;
    Ok(dsm_host::evidence::verify(&bytes, trusted.as_ref(), verifier, &engine)?)
}

/// A file of at most as many bytes as a package may have, and one more, so that a longer one is told.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| file_failure(file, &error);
    let mut bytes = Vec::new();
    let limit = EVIDENCE_BYTES_MAX as u64 + 1;
    std::fs::File::open(file).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
