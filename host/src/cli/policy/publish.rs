//! `dsm policy publish`: package a module, sign it, give it to the node and publish it.

use super::{engine, package, package_failure};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::{Outcome, Session, SignArgs};
use crate::cli::show::{Show, rows};
use crate::cli::wallet::Named;
use dsm_abi::{Digest, encode};
use dsm_core::OperationKind;
use dsm_sdk::api::PolicyCid;
use dsm_sdk::package::PolicyDocument;
use serde::Serialize;
use std::path::PathBuf;

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

pub(super) fn publish(session: &Session, args: &PublishArgs) -> Result<(), Failure> {
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
