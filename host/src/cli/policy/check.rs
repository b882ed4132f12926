//! `dsm policy check`: a module, or a package, against the static gate.

use super::{engine, gate_failure, source};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe};
use dsm_abi::Digest;
use serde::Serialize;
use std::path::{Path, PathBuf};

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

pub(super) fn check(session: &Session, file: &Path) -> Result<(), Failure> {
    let source::Source { module, package, .. } = source::read(file)?;
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
