//! Where a policy comes from: a bare module, a signed package, a CAR file, or a node that has it published. Whatever the
//! way, hashes and signature are checked before anybody looks at it.

use super::{bare, engine, gate_failure, package_failure};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::Session;
use dsm_abi::{AccountId, Description, Digest, PolicyId};
use dsm_crypto::Verifier;
use dsm_host::engine::{Engine, Module};
use dsm_sdk::car;
use dsm_sdk::package::{Package, PolicyDocument, VerifiedPackage};
use serde::Serialize;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// The ways in which a policy comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    Module,
    Package,
    Car,
    Published,
}

impl Form {
    /// What it is, for people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Form::Module => "a bare module: nobody has signed it",
            Form::Package => "a package, signed by its author",
            Form::Car => "a CAR file, signed by its author",
            Form::Published => "published, signed by its author",
        }
    }
}

/// A policy that was found, with whatever vouches for it checked.
pub(super) struct Source {
    pub(super) form: Form,
    pub(super) module: Vec<u8>,
    pub(super) package: Option<VerifiedPackage>,
    /// The account that published it, and this wallet's name for it.
    pub(super) publisher: Option<(AccountId, Option<String>)>,
}

impl Source {
    pub(super) fn policy(&self) -> Option<PolicyId> {
        self.package.as_ref().map(VerifiedPackage::policy)
    }

    pub(super) fn document(&self) -> Option<&PolicyDocument> {
        self.package.as_ref().map(VerifiedPackage::document)
    }

    pub(super) fn digest(&self) -> Digest {
        Digest(*blake3::hash(&self.module).as_bytes())
    }

    /// The module, through the gate, and what it says of itself, which its document has to say too.
    pub(super) fn admit(&self) -> Result<(Arc<Module>, Description), Failure> {
        self.admit_by(&engine()?)
    }

    /// The same, by an engine that others share.
    pub(super) fn admit_by(&self, engine: &Engine) -> Result<(Arc<Module>, Description), Failure> {
        let admitted = engine.admit(&self.module).map_err(gate_failure)?;
        let description = admitted.description().clone();
        if self.document().is_some_and(|document| document.description != description) {
            let message = "the module describes itself otherwise than its document does";
            return Err(Failure::integrity("description_mismatch", message)
                .help("do not use it: its author signed a description of something else"));
        }
        Ok((admitted, description))
    }
}

/// The bytes of a file that may hold a policy: no more than the longest form of one has.
pub(super) fn bytes_of(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| file_failure(file, &error);
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(car::CAR_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > car::CAR_BYTES_MAX {
        let most = car::CAR_BYTES_MAX;
        return Err(Failure::usage(format!("{} has more than {most} bytes: no policy has", file.display()))
            .help("give the .wasm file, a package or a CAR file"));
    }
    Ok(bytes)
}

/// The policy in a file: a module, a package or a CAR file.
pub(super) fn read(file: &Path) -> Result<Source, Failure> {
    let bytes = bytes_of(file)?;
    if bare(&bytes) {
        return Ok(Source { form: Form::Module, module: bytes, package: None, publisher: None });
    }
    let (form, package) = if car::is_car(&bytes) {
        let package = car::read(&bytes).map_err(|error| {
            Failure::integrity(error.code(), error)
                .help("fetch the file again, or have it exported again with `dsm policy export`")
        })?;
        (Form::Car, package)
    } else {
        (Form::Package, Package::decode(&bytes).map_err(package_failure)?)
    };
    verified(form, package, None)
}

/// The policy that a text names: a file, else a published policy by CID, id or this wallet's name.
pub(super) fn find(session: &Session, text: &str) -> Result<Source, Failure> {
    let file = Path::new(text);
    if file.is_file() {
        return read(file);
    }
    let (client, wallet) = (session.client()?, session.wallet()?);
    let policy = wallet.policy_id(text)?;
    let publisher = client.policy(&policy)?.publisher;
    let package = Package::decode(&client.package(&policy)?).map_err(package_failure)?;
    let found = verified(Form::Published, package, Some((publisher, wallet.name_of(&publisher))))?;
    if found.policy() != Some(policy) {
        return Err(Failure::integrity("policy_cid_mismatch", "the node gave the package of another policy")
            .help("ask another node; this one answers with what was not asked for"));
    }
    Ok(found)
}

fn verified(
    form: Form,
    package: Package,
    publisher: Option<(AccountId, Option<String>)>,
) -> Result<Source, Failure> {
    let verified = package.verify(&Verifier::new()).map_err(package_failure)?;
    let module = verified.package().module.clone();
    Ok(Source { form, module, package: Some(verified), publisher })
}
