//! One table of dependencies and one of lints: a member names what it uses, versions stand in one place.

use crate::project::{policies, read, root, workspace};
use cargo_metadata::Metadata;
use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

fn manifest(path: &Path) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn workspace_table(path: &str, name: &str) -> Table {
    let manifest = manifest(&root().join(path));
    manifest["workspace"][name].as_table().unwrap_or_else(|| panic!("{path} has no {name}")).clone()
}

/// All dependencies of a manifest, those for one platform included.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let mut found = Vec::new();
    for table in tables {
        for name in DEPENDENCY_TABLES {
            let entries = table.get(name).and_then(Value::as_table).into_iter().flatten();
            found.extend(entries.map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    found
}

fn manifests(metadata: &Metadata) -> impl Iterator<Item = &Path> {
    metadata.packages.iter().map(|package| package.manifest_path.as_std_path())
}

#[test]
fn members_take_their_dependencies_from_the_one_table() {
    let mut seen = 0;
    for path in manifests(workspace()).chain(manifests(policies())) {
        for (name, value) in dependencies(&manifest(path)) {
            let at = format!("{}: {name}", path.display());
            let table = value.as_table().unwrap_or_else(|| panic!("{at} has a version of its own"));
            assert_eq!(table.get("workspace"), Some(&Value::Boolean(true)), "{at} is not from the table");
            let extra =
                table.keys().find(|key| !["workspace", "features", "optional"].contains(&key.as_str()));
            assert_eq!(extra, None, "{at}");
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} dependencies found: this test reads the wrong files");
}

#[test]
fn the_one_table_has_no_row_that_nobody_uses() {
    let used: BTreeSet<String> =
        manifests(workspace()).flat_map(|path| dependencies(&manifest(path))).map(|(name, _)| name).collect();
    let table = workspace_table("Cargo.toml", "dependencies");
    let unused: Vec<_> = table.keys().filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "nobody uses {unused:?}");
}

#[test]
fn members_take_lints_edition_and_license_from_the_workspace() {
    for path in manifests(workspace()).chain(manifests(policies())) {
        let manifest = manifest(path);
        let at = path.display();
        let inherited = Table::from_iter([("workspace".to_owned(), Value::Boolean(true))]);
        assert_eq!(manifest.get("lints").and_then(Value::as_table), Some(&inherited), "{at}: lints");
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            let value = manifest["package"].get(key).and_then(Value::as_table);
            assert_eq!(value, Some(&inherited), "{at}: {key}");
        }
        let description = manifest["package"].get("description").and_then(Value::as_str);
        assert!(description.is_some_and(|text| text.ends_with('.')), "{at} does not say what it is");
    }
}

#[test]
fn policies_are_linted_as_everything_else() {
    let (ours, theirs) =
        (workspace_table("Cargo.toml", "lints"), workspace_table("policies/Cargo.toml", "lints"));
    assert_eq!(ours["rust"], theirs["rust"]);
    let clippy = ours["clippy"].as_table().expect("a table of lints");
    for (lint, level) in theirs["clippy"].as_table().expect("a table of lints") {
        assert_eq!(clippy.get(lint), Some(level), "{lint}");
    }
    for (lint, level) in clippy.iter().filter(|(_, level)| level.as_str() != Some("allow")) {
        assert_eq!(theirs["clippy"].get(lint), Some(level), "{lint}");
    }
}
