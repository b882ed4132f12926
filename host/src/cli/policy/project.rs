//! Where an author works: the crate of a policy, its workspace, and the folder that all its own sources lie in.

use super::toolchain::Toolchain;
use crate::cli::failure::{Failure, file_failure};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The record of what a canonical build gave, beside the manifest.
pub(super) const LOCK: &str = "dsm-policy.lock";

/// The crate of a policy.
#[derive(Debug)]
pub(super) struct Project {
    /// Its folder.
    pub(super) folder: PathBuf,
    /// The package's name.
    pub(super) package: String,
    /// The library's name, as a word of Rust.
    pub(super) library: String,
    /// The module's name: the library's, with hyphens.
    pub(super) name: String,
    /// Where cargo builds.
    pub(super) target: PathBuf,
    /// The folder of the workspace.
    pub(super) workspace: PathBuf,
    /// The folder that has all sources of this project, those of the SDK too.
    pub(super) root: PathBuf,
}

impl Project {
    /// The folder of a project: one with a manifest.
    pub(super) fn folder(folder: &Path) -> Result<PathBuf, Failure> {
        let plain = folder.canonicalize().map_err(|error| file_failure(folder, &error))?;
        if plain.join("Cargo.toml").is_file() {
            return Ok(plain);
        }
        let message = format!("{} is no policy's project: it has no Cargo.toml", plain.display());
        let above = plain.ancestors().skip(1).find(|above| above.join("dsm-policy.toml").is_file());
        Err(Failure::new(crate::cli::failure::Exit::Usage, "not_a_project", message).help(match above {
            Some(above) => format!("the project is {0}: `dsm policy build {0}`", above.display()),
            None => "go to the project's folder or name it; `dsm policy new NAME` makes one".to_owned(),
        }))
    }

    /// Reads the project in `folder`, as cargo understands it.
    pub(super) fn open(folder: &Path, toolchain: &Toolchain) -> Result<Project, Failure> {
        let folder = Project::folder(folder)?;
        let mut cargo = toolchain.cargo(&folder);
        cargo.args(["metadata", "--format-version", "1", "--no-deps", "--quiet"]);
        let output = cargo.output().map_err(|error| file_failure(&folder, &error))?;
        let manifest = folder.join("Cargo.toml");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            return Err(not_a_project(format!(
                "cargo does not read {}: {}",
                manifest.display(),
                said.join(" ")
            ))
            .help("mend what cargo names; `dsm policy new NAME` makes a manifest that works"));
        }
        let about: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| not_a_project(format!("cargo's answer cannot be read: {error}")))?;
        read(&about, &folder).ok_or_else(|| {
            not_a_project(format!("{} has no library that becomes a policy", manifest.display())).help(
                "it needs a [package] with [lib] crate-type = [\"cdylib\", \"rlib\"]; \
                 `dsm policy new NAME` makes one",
            )
        })
    }

    /// Where `build` writes the module.
    pub(super) fn module(&self) -> PathBuf {
        self.target.join("policy").join(format!("{}.wasm", self.name))
    }
}

fn not_a_project(message: String) -> Failure {
    Failure::new(crate::cli::failure::Exit::Usage, "not_a_project", message)
}

/// Takes the package in `folder` out of what `cargo metadata` says.
fn read(about: &Value, folder: &Path) -> Option<Project> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let packages = about["packages"].as_array()?;
    let manifest = folder.join("Cargo.toml");
    let package =
        packages.iter().find(|one| one["manifest_path"].as_str().map(Path::new) == Some(&manifest))?;
    let is_module = |target: &&Value| {
        target["crate_types"].as_array().is_some_and(|types| types.iter().any(|one| one == "cdylib"))
    };
    let library = text(&package["targets"].as_array()?.iter().find(is_module)?["name"])?.replace('-', "_");
    let workspace = PathBuf::from(text(&about["workspace_root"])?);
    let mut root = workspace.clone();
    for package in packages {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        for path in dependencies.filter_map(|one| one["path"].as_str()).map(Path::new) {
            while !path.starts_with(&root) && root.pop() {}
        }
    }
    Some(Project {
        folder: folder.to_owned(),
        package: text(&package["name"])?,
        name: library.replace('_', "-"),
        library,
        target: PathBuf::from(text(&about["target_directory"])?),
        workspace,
        root,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(kinds: &[&str], dependency: &str) -> Value {
        serde_json::json!({
            "packages": [{
                "name": "cap", "manifest_path": "/a/b/cap/Cargo.toml",
                "targets": [{ "name": "native", "crate_types": ["bin"] }, { "name": "my-cap", "crate_types": kinds }],
                "dependencies": [{ "name": "dsm-policy", "path": dependency }, { "name": "borsh" }],
            }],
            "workspace_root": "/a/b/cap", "target_directory": "/a/b/cap/target",
        })
    }

    #[test]
    fn a_project_is_the_package_of_its_folder_and_its_root_has_all_sources() {
        let folder = Path::new("/a/b/cap");
        let module = ["cdylib", "rlib"];
        for (dependency, root) in [
            ("/a/b/cap/.dsm/sdk/policy", "/a/b/cap"),
            ("/a/b/sdk/policy", "/a/b"),
            ("/a/bc/sdk", "/a"),
            ("/elsewhere", "/"),
        ] {
            let project = read(&metadata(&module, dependency), folder).unwrap();
            assert_eq!(project.root, Path::new(root), "{dependency}");
            assert_eq!((project.library.as_str(), project.name.as_str()), ("my_cap", "my-cap"));
            assert!(project.module().ends_with("cap/target/policy/my-cap.wasm"));
        }
        assert!(read(&metadata(&["rlib"], "/a"), folder).is_none(), "no module");
        assert!(read(&metadata(&module, "/a"), Path::new("/a/b")).is_none(), "a workspace without a package");
    }

    #[test]
    fn a_folder_without_a_manifest_is_answered_with_the_project_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("cap/src");
        std::fs::create_dir_all(&inner).unwrap();
        let failure = Project::folder(&inner).unwrap_err();
        assert_eq!(failure.code, "not_a_project");
        assert!(failure.help.unwrap().contains("dsm policy new"));
        for file in ["cap/Cargo.toml", "cap/dsm-policy.toml"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        assert!(Project::folder(&inner).unwrap_err().help.unwrap().contains("/cap`"));
        assert!(Project::folder(inner.parent().unwrap()).is_ok());
        assert_eq!(Project::folder(&folder.path().join("nowhere")).unwrap_err().code, "usage");
    }
}
