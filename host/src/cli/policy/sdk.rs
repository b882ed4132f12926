//! The guest side of the SDK inside the binary: what a policy's project needs besides Rust.
//!
//! A project gets these sources as `.dsm/sdk`, so that it builds the same bytes wherever it lies and whatever becomes of
//! this repository. The manifest of their workspace and the lock file are cut out of this project's own, so that there is
//! one table of versions.

/// The root's manifest, which has the one table of dependencies.
const ROOT: &str = include_str!("../../../../Cargo.toml");
/// The standard policies' manifest, which has the canonical profile.
const POLICIES: &str = include_str!("../../../../policies/Cargo.toml");
/// The standard policies' lock file.
const LOCK: &str = include_str!("../../../../policies/Cargo.lock");

macro_rules! sources {
    ($($path:literal)*) => {
        [$(($path, include_str!(concat!("../../../../sdk/", $path)))),*]
    };
}

/// Every file of the guest side, by its path below `sdk/`. A test compares it with the folders.
pub(super) const SOURCES: &[(&str, &str)] = &sources![
    "abi/ABI.md"
    "abi/Cargo.toml"
    "abi/dsm1.wit"
    "abi/src/case.rs"
    "abi/src/codec.rs"
    "abi/src/describe.rs"
    "abi/src/evidence.rs"
    "abi/src/id.rs"
    "abi/src/import.rs"
    "abi/src/input.rs"
    "abi/src/lib.rs"
    "abi/src/limit.rs"
    "abi/src/state.rs"
    "abi/src/suite.rs"
    "abi/src/value.rs"
    "abi/src/verdict.rs"
    "policy/CASES.md"
    "policy/Cargo.toml"
    "policy/README.md"
    "policy/macros/Cargo.toml"
    "policy/macros/src/check.rs"
    "policy/macros/src/denials.rs"
    "policy/macros/src/docs.rs"
    "policy/macros/src/lib.rs"
    "policy/macros/src/params.rs"
    "policy/macros/src/policy.rs"
    "policy/src/bench.rs"
    "policy/src/context.rs"
    "policy/src/deny.rs"
    "policy/src/feed.rs"
    "policy/src/guest.rs"
    "policy/src/leg.rs"
    "policy/src/lib.rs"
    "policy/src/math.rs"
    "policy/src/native.rs"
    "policy/src/run.rs"
    "policy/src/state.rs"
    "policy/src/text.rs"
    "policy/src/typed.rs"
    "policy/src/view.rs"
    "policy/src/wire.rs"
];

/// The manifest of the workspace that the sources make in a project.
pub(super) fn workspace() -> String {
    let named = |name: &str| {
        let manifests = SOURCES.iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
        let mut lines = manifests.flat_map(|(_, text)| text.lines());
        lines.any(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['.', ' ']) && rest.contains("workspace"))
        })
    };
    let rows = section(ROOT, "workspace.dependencies");
    let rows = rows.lines().filter(|row| row.split_once(" = ").is_some_and(|(name, _)| named(name)));
    let rows: String = rows.map(|row| row.replace("\"sdk/", "\"") + "\n").collect();
    format!(
        "# The guest side of DSM's SDK, as `dsm policy new` wrote it. It is part of the policy's source: leave it as it is.\n\
         [workspace]\nresolver = \"3\"\nmembers = [\"abi\", \"policy\", \"policy/macros\"]\n\n\
         [workspace.package]\n{}\n[workspace.dependencies]\n{rows}\n[workspace.lints.rust]\n{}\n[workspace.lints.clippy]\n{}",
        section(ROOT, "workspace.package"),
        section(ROOT, "workspace.lints.rust"),
        section(ROOT, "workspace.lints.clippy"),
    )
}

/// The canonical profile, as the standard policies are built.
pub(super) fn profile() -> String {
    format!("[profile.release]\n{}", section(POLICIES, "profile.release"))
}

/// The oldest compiler that builds the sources.
pub(super) fn rust_version() -> &'static str {
    value(ROOT, "rust-version").unwrap_or_default()
}

/// The version of the guest side.
pub(super) fn version() -> &'static str {
    value(ROOT, "version").unwrap_or_default()
}

/// The lock file of a project: what the standard policies are locked to, and the project instead of them.
pub(super) fn lock(name: &str, version: &str) -> String {
    let (head, packages) = LOCK.split_once("[[package]]").unwrap_or((LOCK, ""));
    let mut packages: Vec<String> = packages
        .split("[[package]]")
        .filter(|package| !package_name(package).is_some_and(is_standard_policy))
        .map(|package| package.trim().to_owned())
        .collect();
    packages
        .push(format!("name = \"{name}\"\nversion = \"{version}\"\ndependencies = [\n \"dsm-policy\",\n]"));
    packages.sort_by(|one, other| package_name(one).cmp(&package_name(other)));
    let packages: Vec<String> = packages.iter().map(|package| format!("[[package]]\n{package}\n")).collect();
    format!("{head}{}", packages.join("\n"))
}

/// Whether a crate of this name is locked already, or is one of the SDK's.
pub(super) fn is_taken(name: &str) -> bool {
    LOCK.split("[[package]]")
        .skip(1)
        .filter_map(package_name)
        .any(|taken| taken == name && !is_standard_policy(taken))
}

fn is_standard_policy(name: &str) -> bool {
    name.starts_with("dsm-policy-") && name != "dsm-policy-macros"
}

fn package_name(package: &str) -> Option<&str> {
    value(package, "name")
}

/// The text of the first row `key = "text"`.
pub(super) fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut rows = text.lines().filter_map(|row| row.split_once(" = "));
    rows.find(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('"'))
}

/// The rows of a table of a manifest, with their comments.
fn section(manifest: &str, name: &str) -> String {
    let head = format!("[{name}]");
    let rows = manifest.lines().skip_while(|line| *line != head).skip(1);
    rows.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()).fold(
        String::new(),
        |mut rows, line| {
            rows.push_str(line);
            rows.push('\n');
            rows
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn files_below(folder: &Path, found: &mut BTreeSet<String>, root: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                // What only this project's own tests need.
                if !["tests", "examples", "benches", "c", "target"].contains(&name) {
                    files_below(&path, found, root);
                }
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn the_binary_has_every_file_of_the_guest_side() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
        let mut found = BTreeSet::new();
        for folder in ["abi", "policy"] {
            files_below(&root.join(folder), &mut found, &root);
        }
        let embedded: BTreeSet<String> = SOURCES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(embedded, found);
        assert_eq!(embedded.len(), SOURCES.len(), "a file twice");
    }

    #[test]
    fn the_workspace_has_a_row_for_each_dependency_and_no_other() {
        let text = workspace();
        for name in ["borsh", "dsm-abi", "dsm-policy-macros", "proc-macro2", "quote", "serde", "syn"] {
            assert!(text.contains(&format!("\n{name} = ")), "{name}: {text}");
        }
        assert!(text.contains("dsm-abi = { path = \"abi\" }") && !text.contains("wasmtime"), "{text}");
        assert!(text.contains("edition = \"2024\"") && text.contains("unsafe_code = "), "{text}");
        assert!(profile().contains("lto = \"fat\""), "{}", profile());
        assert!(rust_version().starts_with("1.") && version().split('.').count() == 3);
    }

    #[test]
    fn a_project_is_locked_to_what_the_standard_policies_are() {
        let text = lock("cap", "0.1.0");
        assert!(text.starts_with(LOCK.lines().next().unwrap()) && text.ends_with("]\n"));
        let names: Vec<&str> = text.split("[[package]]").skip(1).filter_map(package_name).collect();
        assert!(names.is_sorted() && names.contains(&"cap") && names.contains(&"borsh"), "{names:?}");
        assert!(!names.iter().any(|name| is_standard_policy(name)), "{names:?}");
        assert!(is_taken("syn") && is_taken("dsm-policy") && !is_taken("cash") && !is_taken("cap"));
    }
}
