//! `dsm policy`: check a module against the gate, say what a policy is, publish it.

mod check;
mod inspect;
mod publish;

use super::failure::{Failure, file_failure};
use super::session::Session;
use dsm_abi::{ABI_VERSION, KeyId};
use dsm_crypto::{Signer, Verifier, hash_guest, verify_guest};
use dsm_host::engine::{AdmitError, Engine, EngineConfig, FUEL_LIMIT_DEFAULT, GuestCrypto};
use dsm_sdk::package::{Package, PackageError, PolicyDocument, module_cid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to do with a policy.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PolicyVerb {
    /// Check a module (or package) against the static gate and list every finding
    Check {
        /// A .wasm file, or a package as `publish --package-to` writes it
        file: PathBuf,
    },
    /// Say in plain words what a policy is, who signed it and what it may do
    Inspect {
        /// A .wasm file, a package, or a published policy's CID, id or name in this wallet
        policy: String,
    },
    /// Package a module, sign it, give it to the node and publish it
    Publish(Box<publish::PublishArgs>),
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
    let config = EngineConfig { instances: 1, ..EngineConfig::default() };
    Engine::new(&config, Arc::new(Crypto)).map_err(|error| Failure::refused("engine", error))
}

pub(crate) fn run(session: &Session, verb: &PolicyVerb) -> Result<(), Failure> {
    match verb {
        PolicyVerb::Check { file } => check::check(session, file),
        PolicyVerb::Inspect { policy } => inspect::inspect(session, policy),
        PolicyVerb::Publish(args) => publish::publish(session, args),
    }
}

/// A file's module, and its package if it is one.
fn read(file: &Path) -> Result<(Vec<u8>, Option<Package>), Failure> {
    let bytes = std::fs::read(file).map_err(|error| file_failure(file, &error))?;
    if bytes.starts_with(b"\0asm") {
        return Ok((bytes, None));
    }
    let package = Package::decode(&bytes).map_err(package_failure)?;
    let verified = package.verify(&Verifier::new()).map_err(package_failure)?;
    Ok((verified.package().module.clone(), Some(verified.package().clone())))
}

fn package_failure(error: PackageError) -> Failure {
    Failure::integrity(error.code(), error)
        .help("give a .wasm module, or a package that `dsm policy publish` wrote")
}

fn gate_failure(error: AdmitError) -> Failure {
    let findings: Vec<String> = error.findings().iter().map(ToString::to_string).collect();
    let message = match &error {
        AdmitError::Refused { .. } => format!("the gate refuses the module: {} findings", findings.len()),
        AdmitError::Host(fault) => fault.to_string(),
    };
    let mut failure = Failure::refused("module_refused", message)
        .help("each finding names its way out; `policies/` has four modules that pass");
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
