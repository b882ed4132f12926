//! `dsm policy export`: a signed policy as a CAR file, for tools that move content by its hash.

use super::source;
use crate::cli::failure::Failure;
use crate::cli::out::OutArgs;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows};
use dsm_sdk::api::PolicyCid;
use dsm_sdk::car;
use dsm_sdk::package::{VerifiedPackage, module_cid};
use serde::Serialize;
use std::path::PathBuf;

/// The answer of `export`.
#[derive(Serialize)]
struct Exported {
    policy: PolicyCid,
    module: String,
    car: PathBuf,
    bytes: usize,
}

impl Show for Exported {
    fn text(&self) -> String {
        rows([
            ("policy", self.policy.to_string()),
            ("module", self.module.clone()),
            ("file", format!("{} ({} bytes, CAR version 1)", self.car.display(), self.bytes)),
            ("next", format!("dsm policy inspect {}", self.car.display())),
        ])
    }
}

pub(super) fn export(session: &Session, policy: &str, out: &OutArgs) -> Result<(), Failure> {
    out.check()?;
    let found = source::find(session, policy)?;
    let Some(package) = found.package.as_ref().map(VerifiedPackage::package) else {
        return Err(Failure::refused("policy_unsigned", format!("{policy} is a bare module"))
            .help("sign it first: `dsm policy sign FILE --author KEY --out PACKAGE`"));
    };
    let bytes = car::write(package);
    out.write(&bytes)?;
    session.show(&Exported {
        policy: PolicyCid(package.envelope.policy),
        module: module_cid(&package.module).to_string(),
        car: out.file.clone(),
        bytes: bytes.len(),
    })
}
