//! `dsm policy build`: from a project's source to a module that the gate admits, with what identifies it.

use super::project::{LOCK, Project};
use super::toolchain::{How, Named, Toolchain};
use super::{engine, gate_failure};
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe};
use dsm_abi::{Digest, import::hash_alg, limit};
use dsm_host::engine::{AdmitError, Engine, Module};
use dsm_sdk::package::module_cid;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of `dsm policy build`.
#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Build everything anew, from the lock file as it is, and record what came of it in dsm-policy.lock
    #[arg(long)]
    canonical: bool,
    /// Write a second module beside it that keeps the names of functions, for `profile` and `mutate`; never publish it
    #[arg(long)]
    names: bool,
}

/// The answer of `build`.
#[derive(Serialize)]
struct Built {
    name: String,
    version: String,
    summary: String,
    file: PathBuf,
    bytes: usize,
    module: Digest,
    cid: String,
    exports: Vec<String>,
    describe_fuel: u64,
    compiler: String,
    linker: String,
    canonical: bool,
    /// The module with names, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    named: Option<PathBuf>,
}

impl Show for Built {
    fn text(&self) -> String {
        rows([
            ("built", format!("{} {}: {}", safe(&self.name), safe(&self.version), safe(&self.summary))),
            ("file", self.file.display().to_string()),
            ("size", format!("{} bytes of at most {}", self.bytes, limit::MODULE_BYTES_MAX)),
            ("module", self.module.to_string()),
            ("cid", self.cid.clone()),
            ("exports", self.exports.join(" ")),
            ("describe", format!("{} fuel", self.describe_fuel)),
            ("compiler", self.compiler.clone()),
            ("linker", self.linker.clone()),
            ("with names", self.named.as_ref().map_or_else(String::new, |file| file.display().to_string())),
        ])
    }
}

/// A module that was built here and that the gate admits.
pub(super) struct Made {
    pub(super) project: Project,
    pub(super) toolchain: Toolchain,
    pub(super) bytes: Vec<u8>,
    pub(super) module: Arc<Module>,
}

/// Builds the project in `folder`: canonically into a folder that is gone afterwards, or where cargo keeps what it has.
pub(super) fn make(folder: &Path, canonical: bool) -> Result<Made, Failure> {
    let folder = Project::folder(folder)?;
    let toolchain = Toolchain::find(&folder)?;
    let project = Project::open(&folder, &toolchain)?;
    let fresh = canonical.then(tempfile::tempdir).transpose();
    let fresh = fresh.map_err(|error| file_failure(&std::env::temp_dir(), &error))?;
    let target = fresh.as_ref().map_or(project.target.as_path(), tempfile::TempDir::path);
    let how = How { locked: canonical, named: Named::No };
    let bytes = toolchain.build(&project, target, how)?;
    let engine = engine()?;
    let module = match engine.admit(&bytes) {
        Ok(module) => module,
        Err(error) => return Err(refused(&engine, &toolchain, &project, target, error)),
    };
    Ok(Made { project, toolchain, bytes, module })
}

/// What the gate says of a module, with the names of functions: a canonical module has none, so it is built once more.
fn refused(
    engine: &Engine,
    toolchain: &Toolchain,
    project: &Project,
    target: &Path,
    error: AdmitError,
) -> Failure {
    let named = toolchain.build(project, target, How { locked: false, named: Named::InOnePiece });
    let named = named.ok().and_then(|bytes| engine.admit(&bytes).err());
    let codes: Vec<&str> = error.findings().iter().map(|finding| finding.code).collect();
    let mut findings = named.map(|error| error.findings().to_vec()).unwrap_or_default();
    findings.retain(|finding| codes.contains(&finding.code));
    for finding in &mut findings {
        finding.offset = None; // of other bytes
    }
    let error = if findings.is_empty() { error } else { AdmitError::Refused { findings } };
    let mut failure = gate_failure(error);
    failure.message = format!("{}: {}", project.folder.join("src/lib.rs").display(), failure.message);
    failure
}

pub(super) fn build(session: &Session, args: &BuildArgs) -> Result<(), Failure> {
    let made = make(&args.folder, args.canonical)?;
    let file = made.project.module();
    let io = |error: std::io::Error| file_failure(&file, &error);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    std::fs::write(&file, &made.bytes).map_err(io)?;
    let cid = module_cid(&made.bytes).to_string();
    if args.canonical {
        let lock = made.project.folder.join(LOCK);
        std::fs::write(&lock, record(&made, &cid)).map_err(|error| file_failure(&lock, &error))?;
    }
    let named = args.names.then(|| with_names(&made, &file)).transpose()?;
    let about = made.module.description();
    // The path as a person in this folder would name it.
    let here = std::env::current_dir().ok();
    let shown = |file: PathBuf| match here.as_ref().and_then(|here| file.strip_prefix(here).ok()) {
        Some(below) => below.to_path_buf(),
        None => file,
    };
    session.show(&Built {
        name: about.name.clone(),
        version: about.version.clone(),
        summary: about.summary.clone(),
        named: named.map(shown),
        file: shown(file),
        bytes: made.bytes.len(),
        module: made.module.hash(),
        cid,
        exports: made.module.exports().to_vec(),
        describe_fuel: made.module.describe_fuel(),
        compiler: made.toolchain.compiler,
        linker: made.toolchain.linker,
        canonical: args.canonical,
    })
}

/// The same code once more, with the names of its functions, beside the module.
fn with_names(made: &Made, module: &Path) -> Result<PathBuf, Failure> {
    let how = How { locked: false, named: Named::Yes };
    let bytes = made.toolchain.build(&made.project, &made.project.target, how)?;
    let file = module.with_extension("names.wasm");
    std::fs::write(&file, bytes).map_err(|error| file_failure(&file, &error))?;
    Ok(file)
}

/// What a canonical build gave, in the form of `policies/dist.lock`.
fn record(made: &Made, cid: &str) -> String {
    let sha256 = dsm_crypto::hash_guest(hash_alg::SHA256, &made.bytes).unwrap_or_default();
    format!(
        "# Written by `dsm policy build --canonical`: what this source gives, and what compiled and linked it.\n\
         compiler = \"{}\"\nlinker = \"{}\"\n\n[[module]]\nfile = \"{}.wasm\"\nbytes = {}\nsha256 = \"{}\"\ncid = \"{cid}\"\n",
        made.toolchain.compiler,
        made.toolchain.linker,
        made.project.name,
        made.bytes.len(),
        hex::encode(sha256),
    )
}
