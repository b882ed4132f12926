//! The project as cargo and git see it: both workspaces, their members, the files under version control.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The project's first folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the project")
}

/// A file's text.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The main workspace.
pub(crate) fn workspace() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| metadata("Cargo.toml"))
}

/// The workspace of the standard policies.
pub(crate) fn policies() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| metadata("policies/Cargo.toml"))
}

fn metadata(manifest: &str) -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join(manifest)).no_deps();
    command.exec().unwrap_or_else(|error| panic!("{manifest}: {error}"))
}

/// What a package depends on directly, by kind.
pub(crate) fn dependencies(package: &Package, kind: DependencyKind) -> BTreeSet<&str> {
    package.dependencies.iter().filter(|dep| dep.kind == kind).map(|dep| dep.name.as_str()).collect()
}

/// What a package depends on directly, tests and build scripts included.
pub(crate) fn all_dependencies(package: &Package) -> BTreeSet<&str> {
    package.dependencies.iter().map(|dep| dep.name.as_str()).collect()
}

/// A package of the main workspace.
pub(crate) fn package(name: &str) -> &'static Package {
    let found = workspace().packages.iter().find(|package| package.name.as_str() == name);
    found.unwrap_or_else(|| panic!("there is no package {name}"))
}

/// The folder of a package.
pub(crate) fn folder(package: &Package) -> &Path {
    package.manifest_path.parent().expect("a manifest is in a folder").as_std_path()
}

/// The project's files, relative to its first folder: under version control, or new and not ignored.
pub(crate) fn files() -> &'static BTreeSet<PathBuf> {
    static FILES: OnceLock<BTreeSet<PathBuf>> = OnceLock::new();
    FILES.get_or_init(|| {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").current_dir(root()).args(arguments).output();
        let output = output.expect("these tests read the list of files from git: run them in a clone");
        assert!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("paths of this project are UTF-8");
        let all = text.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
        let files: BTreeSet<PathBuf> = all.filter(|path| root().join(path).is_file()).collect();
        assert!(files.contains(Path::new("Cargo.toml")), "git lists no Cargo.toml");
        files
    })
}

/// The project's files with an extension.
pub(crate) fn files_with(extension: &str) -> impl Iterator<Item = &'static PathBuf> {
    files().iter().filter(move |path| path.extension().is_some_and(|found| found == extension))
}

/// The files below a folder that end in `.rs`, with their parsed source.
pub(crate) fn sources_below(folder: &str) -> BTreeMap<PathBuf, syn::File> {
    let below = files_with("rs").filter(|path| path.starts_with(folder));
    let parsed: BTreeMap<PathBuf, syn::File> = below.map(|path| (path.clone(), parse(path))).collect();
    assert!(!parsed.is_empty(), "there is no source below {folder}");
    parsed
}

/// The parsed source of one of the project's files.
pub(crate) fn parse(path: &Path) -> syn::File {
    let path = root().join(path);
    syn::parse_file(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
