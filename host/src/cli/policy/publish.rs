//! `dsm policy publish`: give a signed policy to the node and publish it. A bare module is packaged and signed first; a
//! package or CAR file that its author signed elsewhere goes as it is.

use super::sign::{DocumentArgs, sign_module};
use super::source::bytes_of;
use super::{bare, source};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::{Outcome, Session, SignArgs};
use crate::cli::show::{Show, rows};
use crate::cli::wallet::Named;
use dsm_abi::{Digest, KeyId, encode};
use dsm_core::OperationKind;
use dsm_crypto::Verifier;
use dsm_sdk::api::PolicyCid;
use dsm_sdk::package::VerifiedPackage;
use serde::Serialize;
use std::path::PathBuf;

/// Options of `dsm policy publish`.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    /// A .wasm file, a package as `sign` writes it, or a CAR file
    file: PathBuf,
    /// The account that publishes
    #[arg(long = "as", value_name = "ACCOUNT")]
    account: String,
    /// For a .wasm file: the key of this wallet that signs the package
    #[arg(long, value_name = "KEY")]
    author: Option<String>,
    #[command(flatten)]
    document: DocumentArgs,
    /// A name for it in this wallet [default: the name in its description]
    #[arg(long)]
    name: Option<String>,
    /// Write the signed package to this file too
    #[arg(long, value_name = "FILE")]
    package_to: Option<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
}

/// The answer of `publish`.
#[derive(Serialize)]
struct Published {
    policy: PolicyCid,
    name: String,
    author: KeyId,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Show for Published {
    fn text(&self) -> String {
        let head = [
            ("policy", self.policy.to_string()),
            ("name", self.name.clone()),
            ("signed by key", self.author.to_string()),
        ];
        format!("{}\n{}", rows(head), self.outcome.text())
    }
}

pub(super) fn publish(session: &Session, args: &PublishArgs) -> Result<(), Failure> {
    let wallet = session.wallet()?;
    let account = wallet.own_account(&args.account)?;
    let verified = signed(session, args)?;
    let (package, document) = (verified.package(), verified.document());
    let name = args.name.clone().unwrap_or_else(|| document.description.name.clone());
    let bytes = encode(package);
    if let Some(file) = &args.package_to {
        std::fs::write(file, &bytes).map_err(|error| file_failure(file, &error))?;
    }
    let policy = session.client()?.stage(&bytes)?.policy;
    let (module, author): (Digest, KeyId) = (verified.module_digest(), document.author);
    let outcome = session.sign(&account, &args.sign, |draft| {
        draft.operation(account.account, OperationKind::Publish { policy: policy.0, module, author })
    })?;
    wallet.name_id(Named::Policy, &name, &policy.to_string())?;
    session.show(&Published { policy, name, author, outcome })
}

/// The package to publish: what the file holds if it is signed, else what the author's key signs now.
fn signed(session: &Session, args: &PublishArgs) -> Result<VerifiedPackage, Failure> {
    let bytes = bytes_of(&args.file)?;
    match (bare(&bytes), &args.author) {
        (true, Some(author)) => {
            let package = sign_module(session, &args.file, bytes, author, &args.document)?;
            package.verify(&Verifier::new()).map_err(super::package_failure)
        }
        (true, None) => Err(Failure::usage("a bare module needs --author KEY: who answers for it")
            .help("`dsm key list` shows the keys of this wallet")),
        (false, Some(_)) => Err(Failure::usage(format!("{} is signed already", args.file.display()))
            .help("leave out --author; `dsm policy inspect` shows who signed it")),
        (false, None) => source::read(&args.file)?
            .package
            .ok_or_else(|| Failure::refused("policy_unsigned", "the file carries no signature")),
    }
}
