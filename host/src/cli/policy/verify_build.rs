//! `dsm policy verify-build`: whether a policy comes from a source, and if not, in what they differ.

use super::build::{Made, make};
use super::project::LOCK;
use super::{sdk, source};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{Show, rows, safe};
use dsm_abi::{Description, Digest};
use dsm_sdk::package::module_cid;
use serde::Serialize;
use std::path::PathBuf;

/// Options of `dsm policy verify-build`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyBuildArgs {
    /// A published policy's CID, id or name in this wallet, or a .wasm file or package
    policy: String,
    /// The folder of the source that it is said to come from
    #[arg(long, value_name = "DIR")]
    source: PathBuf,
}

/// The answer of `verify-build`.
#[derive(Serialize)]
struct Verified {
    same: bool,
    policy: String,
    source: PathBuf,
    module: Digest,
    cid: String,
    built_module: Digest,
    built_cid: String,
    compiler: String,
    linker: String,
    differences: Vec<String>,
}

impl Show for Verified {
    fn text(&self) -> String {
        let verdict = if self.same { "yes" } else { "no" };
        let words = if self.same { "comes byte for byte from" } else { "does not come from" };
        let mut text = format!(
            "{verdict}: {} {words} {}\n{}",
            safe(&self.policy),
            self.source.display(),
            rows([
                ("module", self.module.to_string()),
                ("cid", self.cid.clone()),
                ("built", if self.same { String::new() } else { self.built_module.to_string() }),
                ("compiler", self.compiler.clone()),
                ("linker", self.linker.clone()),
            ])
        );
        for difference in &self.differences {
            text += &format!("\n  - {}", safe(difference));
        }
        text
    }
}

pub(super) fn verify_build(session: &Session, args: &VerifyBuildArgs) -> Result<(), Failure> {
    let policy = source::find(session, &args.policy)?;
    let (admitted, description) = policy.admit()?;
    let module = policy.module;
    let made = make(&args.source, true)?;
    let same = made.bytes == module;
    let mut differences = Vec::new();
    if !same {
        differences.extend(toolchain(&made));
        differences.push(bytes(&module, &made.bytes));
        differences.extend(descriptions(&description, made.module.description()));
    }
    session.show(&Verified {
        same,
        policy: args.policy.clone(),
        source: args.source.clone(),
        module: admitted.hash(),
        cid: module_cid(&module).to_string(),
        built_module: made.module.hash(),
        built_cid: module_cid(&made.bytes).to_string(),
        compiler: made.toolchain.compiler,
        linker: made.toolchain.linker,
        differences,
    })?;
    if same { Ok(()) } else { Err(Failure::told()) }
}

/// The toolchain that the source's record names, where it is not this one.
fn toolchain(made: &Made) -> Vec<String> {
    let records = [made.project.folder.join(LOCK), made.project.workspace.join("dist.lock")];
    let Some(text) = records.iter().find_map(|file| std::fs::read_to_string(file).ok()) else {
        return vec![format!(
            "toolchain: the source does not say what it was built with (no {LOCK}); here are {} and {}",
            made.toolchain.compiler, made.toolchain.linker
        )];
    };
    let rows = [("compiler", &made.toolchain.compiler), ("linker", &made.toolchain.linker)];
    let rows = rows.iter().filter_map(|(key, found)| {
        let expected = sdk::value(&text, key).unwrap_or("not named");
        (expected != found.as_str()).then(|| format!("{key}: {expected} is expected, {found} is here"))
    });
    rows.collect()
}

fn bytes(module: &[u8], built: &[u8]) -> String {
    let shared = module.iter().zip(built).take_while(|(one, other)| one == other).count();
    format!("bytes: {} are published, {} were built, the first {shared} agree", module.len(), built.len())
}

/// What the modules say of themselves, where they do not say the same.
fn descriptions(published: &Description, built: &Description) -> Vec<String> {
    let list = |names: Vec<&str>| format!("[{}]", names.join(", "));
    let names = |about: &Description| {
        [
            ("name", about.name.clone()),
            ("version", about.version.clone()),
            ("summary", about.summary.clone()),
            ("parameters", list(about.params.iter().map(|one| one.name.as_str()).collect())),
            ("methods", list(about.methods.iter().map(|one| one.name.as_str()).collect())),
            ("queries", list(about.queries.iter().map(|one| one.name.as_str()).collect())),
            ("denials", list(about.denials.iter().map(|one| one.name.as_str()).collect())),
        ]
    };
    let pairs = names(published).into_iter().zip(names(built));
    let differing = pairs.filter(|((_, one), (_, other))| one != other);
    let mut found: Vec<String> = differing
        .map(|((what, one), (_, other))| {
            format!("description: {what} is {one} as published, {other} as built")
        })
        .collect();
    if found.is_empty() && published != built {
        found.push("description: types, texts or declared reads differ".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_differs() {
        assert_eq!(bytes(b"abcd", b"abX"), "bytes: 4 are published, 3 were built, the first 2 agree");
        let module = std::fs::read(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/dist/cash.wasm"),
        );
        let engine = crate::cli::policy::engine().unwrap();
        let about = engine.admit(&module.unwrap()).unwrap().description().clone();
        assert_eq!(descriptions(&about, &about), Vec::<String>::new());
        let other = Description { version: "9.9.9".into(), queries: vec![], ..about.clone() };
        let found = descriptions(&about, &other);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("description: version is ") && found[0].ends_with("9.9.9 as built"));
        assert!(found[1].starts_with("description: queries is [") && found[1].ends_with("[] as built"));
        let other = Description { params: about.params.iter().rev().cloned().collect(), ..about.clone() };
        assert_eq!(descriptions(&about, &other).len(), 1);
    }
}
