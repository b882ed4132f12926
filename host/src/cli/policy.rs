//! `dsm policy`: check a module against the gate, say what a policy is, publish it.

use super::failure::{Failure, file_failure};
use super::session::{Outcome, Session, SignArgs};
use super::show::{Show, rows, safe};
use super::wallet::Named;
use dsm_abi::{ABI_VERSION, Description, Digest, EvidenceKind, ForeignTarget, KeyId, Method, encode};
use dsm_core::OperationKind;
use dsm_crypto::{Signer, Verifier, hash_guest, verify_guest};
use dsm_host::engine::{AdmitError, Engine, EngineConfig, FUEL_LIMIT_DEFAULT, GuestCrypto};
use dsm_sdk::api::PolicyCid;
use dsm_sdk::package::{Package, PackageError, PolicyDocument, module_cid};
use serde::Serialize;
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
    Publish(Box<PublishArgs>),
}

/// Options of `dsm policy publish`.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// The .wasm file
    module: PathBuf,
    /// The account that publishes
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: String,
    /// The key of this wallet that signs the package
    #[arg(long, value_name = "KEY")]
    author: String,
    /// An SPDX expression
    #[arg(long, default_value = "MIT OR Apache-2.0")]
    license: String,
    /// Where the source is
    #[arg(long, default_value = "")]
    source: String,
    /// A name for it in this wallet [default: the name in its description]
    #[arg(long)]
    name: Option<String>,
    /// Write the signed package to this file too
    #[arg(long, value_name = "FILE")]
    package_to: Option<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
}

/// The answer of `check`.
#[derive(Serialize)]
struct Checked {
    file: PathBuf,
    module: Digest,
    bytes: usize,
    name: String,
    version: String,
    compiled_bytes: usize,
    engine_profile: Digest,
    signed: bool,
}

impl Show for Checked {
    fn text(&self) -> String {
        rows([
            ("accepted", format!("{} {}", safe(&self.name), safe(&self.version))),
            ("module", format!("{} ({} bytes, {} compiled)", self.module, self.bytes, self.compiled_bytes)),
            ("signature", if self.signed { "verified".into() } else { "none in a bare module".into() }),
            ("engine", self.engine_profile.to_string()),
        ])
    }
}

/// The answer of `inspect`.
#[derive(Serialize)]
struct Inspected {
    policy: Option<PolicyCid>,
    module: Digest,
    author: Option<KeyId>,
    publisher: Option<dsm_abi::AccountId>,
    fuel_limit: Option<u64>,
    license: Option<String>,
    source: Option<String>,
    description: Description,
}

impl Show for Inspected {
    fn text(&self) -> String {
        let about = &self.description;
        let mut lines = vec![
            format!("{} {}: {}", safe(&about.name), safe(&about.version), safe(&about.summary)),
            rows([
                (
                    "policy",
                    self.policy.map_or_else(|| "not packaged yet".into(), |policy| policy.to_string()),
                ),
                ("module", self.module.to_string()),
                ("signed by key", self.author.map_or_else(|| "nobody".into(), |key| key.to_string())),
                ("published by", self.publisher.map_or_else(String::new, |account| account.to_string())),
                ("fuel limit", self.fuel_limit.map_or_else(String::new, |fuel| fuel.to_string())),
                ("license", self.license.as_deref().map_or_else(String::new, safe)),
                ("source", self.source.as_deref().map_or_else(String::new, safe)),
            ]),
        ];
        let params = about
            .params
            .iter()
            .map(|one| (one.name.as_str(), format!("{}: {}", one.value_type.word(), safe(&one.doc))));
        section(&mut lines, "a token gives it", params.collect());
        section(&mut lines, "it can be asked to", about.methods.iter().map(method).collect());
        section(&mut lines, "it answers", about.queries.iter().map(method).collect());
        let denials = about.denials.iter();
        let denials = denials.map(|one| (one.name.as_str(), format!("{}: {}", one.code, safe(&one.text))));
        section(&mut lines, "it refuses with", denials.collect());
        lines.push(may(about));
        lines.join("\n\n")
    }
}

fn section(lines: &mut Vec<String>, title: &str, entries: Vec<(&str, String)>) {
    if !entries.is_empty() {
        lines.push(format!("{title}:\n  {}", rows(entries).replace('\n', "\n  ")));
    }
}

fn method(one: &Method) -> (&str, String) {
    let args: Vec<String> =
        one.args.iter().map(|arg| format!("{}: {}", safe(&arg.name), arg.value_type.word())).collect();
    (&one.name, format!("({}) {}", args.join(", "), safe(&one.doc)))
}

/// What a policy may do at all, and what this one declares to look at.
fn may(about: &Description) -> String {
    let evidence: Vec<&str> = about
        .evidence
        .iter()
        .map(|kind| match kind {
            EvidenceKind::Credential => "credentials that issuers signed",
            EvidenceKind::HashPreimage => "preimages of digests",
            EvidenceKind::Attestation => "statements that keys signed",
            EvidenceKind::BridgeProof => "locks on an EVM chain",
        })
        .collect();
    let foreign: Vec<String> = about
        .foreign_reads
        .iter()
        .map(|read| match &read.target {
            ForeignTarget::Token(token) => format!("policy {} of token {token}", read.policy_index),
            ForeignTarget::Parameter(name) => {
                format!("policy {} of the token in parameter {}", read.policy_index, safe(name))
            }
        })
        .collect();
    let or_nothing = |list: String| if list.is_empty() { "nothing".to_owned() } else { list };
    rows([
        ("it may", "accept or refuse every operation on its tokens, keep state of its own,\nask the host for holds, freezes, and movements of units of accounts that signed".to_owned()),
        ("it may not", "read clocks, files or networks, call other policies,\nmove units of an account that did not sign, break a cap, a hold or conservation".to_owned()),
        ("it looks at", or_nothing(evidence.join(", "))),
        ("it reads of others", or_nothing(foreign.join(", "))),
    ])
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
        PolicyVerb::Check { file } => check(session, file),
        PolicyVerb::Inspect { policy } => inspect(session, policy),
        PolicyVerb::Publish(args) => publish(session, args),
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

fn check(session: &Session, file: &Path) -> Result<(), Failure> {
    let (module, package) = read(file)?;
    let engine = engine()?;
    let admitted = engine.admit(&module).map_err(gate_failure)?;
    let about = admitted.description();
    session.show(&Checked {
        file: file.to_path_buf(),
        module: admitted.hash(),
        bytes: module.len(),
        name: about.name.clone(),
        version: about.version.clone(),
        compiled_bytes: admitted.compiled_bytes(),
        engine_profile: admitted.profile(),
        signed: package.is_some(),
    })
}

fn inspect(session: &Session, text: &str) -> Result<(), Failure> {
    let file = Path::new(text);
    if file.is_file() {
        let (module, package) = read(file)?;
        let description = engine()?.admit(&module).map_err(gate_failure)?.description().clone();
        let document = package.as_ref().map(|package| PolicyDocument::decode(&package.document));
        let document = document.transpose().map_err(package_failure)?;
        return session.show(&Inspected {
            policy: package.as_ref().map(|package| PolicyCid(package.envelope.policy)),
            module: Digest(*blake3::hash(&module).as_bytes()),
            author: document.as_ref().map(|document| document.author),
            publisher: None,
            fuel_limit: document.as_ref().map(|document| document.fuel_limit),
            license: document.as_ref().map(|document| document.license.clone()),
            source: document.map(|document| document.source),
            description,
        });
    }
    let (client, policy) = (session.client()?, session.wallet()?.policy_id(text)?);
    let info = client.policy(&policy)?;
    let package = Package::decode(&client.package(&policy)?).map_err(package_failure)?;
    let verified = package.verify(&Verifier::new()).map_err(package_failure)?;
    if verified.policy() != policy {
        return Err(Failure::integrity("policy_cid_mismatch", "the node gave the package of another policy"));
    }
    let document = verified.document().clone();
    session.show(&Inspected {
        policy: Some(PolicyCid(policy)),
        module: verified.module_digest(),
        author: Some(document.author),
        publisher: Some(info.publisher),
        fuel_limit: Some(document.fuel_limit),
        license: Some(document.license),
        source: Some(document.source),
        description: document.description,
    })
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

/// The answer of `publish`.
#[derive(Serialize)]
struct Published {
    policy: PolicyCid,
    name: String,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Show for Published {
    fn text(&self) -> String {
        format!(
            "{}\n{}",
            rows([("policy", self.policy.to_string()), ("name", self.name.clone())]),
            self.outcome.text()
        )
    }
}

fn publish(session: &Session, args: &PublishArgs) -> Result<(), Failure> {
    let wallet = session.wallet()?;
    let account = wallet.own_account(&args.account)?;
    let author = wallet.key(&args.author)?.keystore.unlock(session.passphrase()?)?;
    let module = std::fs::read(&args.module).map_err(|error| file_failure(&args.module, &error))?;
    let package = package(&engine()?, module, &author, &args.license, &args.source)?;
    let document = PolicyDocument::decode(&package.document).map_err(package_failure)?;
    let name = args.name.clone().unwrap_or_else(|| document.description.name.clone());
    let bytes = encode(&package);
    if let Some(file) = &args.package_to {
        std::fs::write(file, &bytes).map_err(|error| file_failure(file, &error))?;
    }
    let policy = session.client()?.stage(&bytes)?.policy;
    let (module, author) = (Digest(*blake3::hash(&package.module).as_bytes()), package.envelope.key.id());
    let outcome = session.sign(&account, &args.sign, |draft| {
        draft.operation(account.account, OperationKind::Publish { policy: policy.0, module, author })
    })?;
    wallet.name_id(Named::Policy, &name, &policy.to_string())?;
    session.show(&Published { policy, name, outcome })
}
