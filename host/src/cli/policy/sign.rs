//! `dsm policy sign`: a module becomes a package that its author answers for. Nothing leaves this machine.

use super::source::bytes_of;
use super::{bare, engine, package};
use crate::cli::failure::Failure;
use crate::cli::out::OutArgs;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows};
use dsm_abi::{Digest, KeyId, encode};
use dsm_sdk::api::PolicyCid;
use dsm_sdk::package::Package;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a document says besides the module's own words.
#[derive(Debug, clap::Args)]
pub(crate) struct DocumentArgs {
    /// An SPDX expression
    #[arg(long, default_value = "MIT OR Apache-2.0")]
    license: String,
    /// Where the source is
    #[arg(long, default_value = "")]
    source: String,
}

/// Options of `dsm policy sign`.
#[derive(Debug, clap::Args)]
pub(crate) struct SignArgs {
    /// The .wasm file
    module: PathBuf,
    /// The key of this wallet that signs
    #[arg(long, value_name = "KEY")]
    author: String,
    #[command(flatten)]
    out: OutArgs,
    #[command(flatten)]
    document: DocumentArgs,
}

/// The answer of `sign`.
#[derive(Serialize)]
struct Signed {
    policy: PolicyCid,
    module: Digest,
    author: KeyId,
    package: PathBuf,
    bytes: usize,
}

impl Show for Signed {
    fn text(&self) -> String {
        rows([
            ("policy", self.policy.to_string()),
            ("module", self.module.to_string()),
            ("signed by key", self.author.to_string()),
            ("package", format!("{} ({} bytes)", self.package.display(), self.bytes)),
            ("next", format!("dsm policy publish {} --as ACCOUNT", self.package.display())),
        ])
    }
}

pub(super) fn sign(session: &Session, args: &SignArgs) -> Result<(), Failure> {
    args.out.check()?;
    let module = bytes_of(&args.module)?;
    let package = sign_module(session, &args.module, module, &args.author, &args.document)?;
    let bytes = encode(&package);
    args.out.write(&bytes)?;
    session.show(&Signed {
        policy: PolicyCid(package.envelope.policy),
        module: Digest(*blake3::hash(&package.module).as_bytes()),
        author: package.envelope.key.id(),
        package: args.out.file.clone(),
        bytes: bytes.len(),
    })
}

/// The package of a module, signed with a key of this wallet.
pub(super) fn sign_module(
    session: &Session,
    file: &Path,
    module: Vec<u8>,
    author: &str,
    document: &DocumentArgs,
) -> Result<Package, Failure> {
    if !bare(&module) {
        return Err(Failure::usage(format!("{} is not a module", file.display()))
            .help("give the .wasm file; a package or a CAR file is signed already: `dsm policy inspect` shows by whom"));
    }
    let author = session.wallet()?.key(author)?.keystore.unlock(session.passphrase()?)?;
    package(&engine()?, module, &author, &document.license, &document.source)
}
