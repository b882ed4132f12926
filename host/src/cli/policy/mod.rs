//! `dsm policy`: check a module against the gate, say what a policy is, publish it.

mod build;
mod check;
mod diff;
mod export;
mod fuzz;
mod inspect;
mod live;
mod mutate;
mod new;
mod profile;
mod project;
mod publish;
mod sdk;
mod sign;
mod simulate;
mod source;
mod test;
mod toolchain;
mod trying;
mod verify_build;

use super::failure::Failure;
use super::out::OutArgs;
use super::session::Session;
use dsm_abi::{ABI_VERSION, KeyId};
use dsm_crypto::{Signer, hash_guest, verify_guest};
use dsm_host::engine::{AdmitError, Engine, EngineConfig, FUEL_LIMIT_DEFAULT, GuestCrypto};
use dsm_sdk::package::{Package, PackageError, PolicyDocument, module_cid};
use std::path::PathBuf;
use std::sync::Arc;

/// What to do with a policy.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PolicyVerb {
    /// Make a policy's project from a template, with all that its build needs besides Rust
    New(new::NewArgs),
    /// Build a project's module and put it to the static gate
    Build(build::BuildArgs),
    /// Check a module (or package) against the static gate and list every finding
    Check {
        /// A .wasm file, a package as `sign` writes it, or a CAR file
        file: PathBuf,
    },
    /// Run every case natively and as WASM, and demand the same verdicts
    Test(test::TestArgs),
    /// Try one operation: what the policy decides, why, and what it looked at
    Simulate(Box<simulate::SimulateArgs>),
    /// Tell where the fuel goes, by function
    Profile(profile::ProfileArgs),
    /// Try random sequences of operations against what must always hold
    Fuzz(fuzz::FuzzArgs),
    /// Turn one comparison of a module at a time: the cases must notice
    Mutate(mutate::MutateArgs),
    /// Say in plain words what a policy is, who signed it and what it may do
    Inspect {
        /// A .wasm file, a package, a CAR file, or a published policy's CID, id or name in this wallet
        policy: String,
    },
    /// Sign a module: write the package that its author answers for, without a node
    Sign(sign::SignArgs),
    /// Give a policy to the node and publish it: a module that is signed now, or a package or CAR file as it is
    Publish(Box<publish::PublishArgs>),
    /// Write a signed policy as a CAR file, for tools that move content by its hash
    Export {
        /// A package, a CAR file, or a published policy's CID, id or name in this wallet
        policy: String,
        #[command(flatten)]
        out: OutArgs,
    },
    /// Tell what changed between two versions of a policy
    Diff {
        /// The version before, as `inspect` takes it
        old: String,
        /// The version after
        new: String,
        /// Run these cases under both and compare verdicts, effects and fuel
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
    /// Build a source canonically and tell whether a policy comes from it
    VerifyBuild(verify_build::VerifyBuildArgs),
}

/// The cryptography that policies may call.
struct Crypto;

impl GuestCrypto for Crypto {
    fn hash(&self, algorithm: u32, bytes: &[u8]) -> Option<[u8; 32]> {
        hash_guest(algorithm, bytes)
    }

    fn verify(&self, algorithm: u32, key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        verify_guest(algorithm, key, message, signature)
    }
}

pub(super) fn engine() -> Result<Engine, Failure> {
    engine_with(None)
}

/// An engine that compiles in a child of `compiler`, if there is one.
pub(super) fn engine_with(compiler: Option<PathBuf>) -> Result<Engine, Failure> {
    let config = EngineConfig { instances: 1, compiler, ..EngineConfig::default() };
    Engine::new(&config, Arc::new(Crypto)).map_err(|error| Failure::refused("engine", error))
}

pub(crate) fn run(session: &Session, verb: &PolicyVerb) -> Result<(), Failure> {
    match verb {
        PolicyVerb::New(args) => new::new(session, args),
        PolicyVerb::Build(args) => build::build(session, args),
        PolicyVerb::Check { file } => check::check(session, file),
        PolicyVerb::Test(args) => test::test(session, args),
        PolicyVerb::Simulate(args) => simulate::simulate(session, args),
        PolicyVerb::Profile(args) => profile::profile(session, args),
        PolicyVerb::Fuzz(args) => fuzz::fuzz(session, args),
        PolicyVerb::Mutate(args) => mutate::mutate(session, args),
        PolicyVerb::Inspect { policy } => inspect::inspect(session, policy),
        PolicyVerb::Sign(args) => sign::sign(session, args),
        PolicyVerb::Publish(args) => publish::publish(session, args),
        PolicyVerb::Export { policy, out } => export::export(session, policy, out),
        PolicyVerb::Diff { old, new, cases } => diff::diff(session, old, new, cases.as_deref()),
        PolicyVerb::VerifyBuild(args) => verify_build::verify_build(session, args),
    }
}

/// Whether these bytes are a module and not a package or CAR file around one.
fn bare(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm")
}

fn package_failure(error: PackageError) -> Failure {
    Failure::integrity(error.code(), error).help(
        "give a .wasm module, a package that `dsm policy sign` wrote, or a CAR file of `dsm policy export`",
    )
}

fn gate_failure(error: AdmitError) -> Failure {
    let findings: Vec<String> = error.findings().iter().map(ToString::to_string).collect();
    let message = match &error {
        AdmitError::Refused { .. } => format!("the gate refuses the module: {} findings", findings.len()),
        AdmitError::Host(fault) => fault.to_string(),
    };
    let mut failure = Failure::refused("module_refused", message)
        .help("each finding names its way out; `dsm policy new` makes a project that passes");
    failure.findings = findings;
    failure
}

/// Admits a module, describes it by its own words and signs the package.
pub(crate) fn package(
    engine: &Engine,
    module: Vec<u8>,
    author: &dyn Signer,
    license: &str,
    source: &str,
) -> Result<Package, Failure> {
    let admitted = engine.admit(&module).map_err(gate_failure)?;
    let document = PolicyDocument {
        abi: ABI_VERSION,
        module: module_cid(&module),
        author: KeyId::default(),
        description: admitted.description().clone(),
        fuel_limit: FUEL_LIMIT_DEFAULT,
        license: license.to_owned(),
        source: source.to_owned(),
    };
    Package::sign(module, document, author).map_err(|error| Failure::refused("sign_failed", error))
}
