//! No dead files, no empty files, no notes to a later self, no paths of one machine.

use crate::project::{files, files_with, parse, policies, read, root, workspace};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use syn::visit::{self, Visit};

/// Files that are taken as their makers publish them.
fn is_foreign(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "vectors" || part.as_os_str() == "fixtures")
}

/// Our own texts: everything that is UTF-8, without lock files and without others' vectors.
fn our_texts() -> impl Iterator<Item = (&'static PathBuf, String)> {
    let ours = files().iter().filter(|path| !is_foreign(path));
    let ours = ours.filter(|path| path.file_name().is_some_and(|name| name != "Cargo.lock"));
    ours.filter_map(|path| {
        let bytes = std::fs::read(root().join(path)).expect("git lists it");
        Some((path, String::from_utf8(bytes).ok()?))
    })
}

/// What a source file draws in: modules of their own file, and files that macros include.
struct Draws {
    /// Where `mod x;` looks: the folder, with the inline modules around it.
    folder: PathBuf,
    /// Where `#[path]` and `include!` look.
    beside: PathBuf,
    found: Vec<PathBuf>,
}

impl<'a> Visit<'a> for Draws {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_some() {
            let outer = std::mem::replace(&mut self.folder, PathBuf::new());
            self.folder = outer.join(&name);
            visit::visit_item_mod(self, module);
            self.folder = outer;
        } else if let Some(path) = path_attribute(&module.attrs) {
            self.found.push(self.beside.join(path));
        } else {
            self.found.push(self.folder.join(format!("{name}.rs")));
            self.found.push(self.folder.join(name).join("mod.rs"));
        }
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if name.starts_with("include")
            && let Ok(path) = call.parse_body::<syn::LitStr>()
        {
            self.found.push(self.beside.join(path.value()));
        }
        visit::visit_macro(self, call);
    }
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    let path = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    match &path.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// The files that a source file draws in. `is_root` says that cargo names it: its modules stand beside it.
fn draws(path: &Path, is_root: bool) -> Vec<PathBuf> {
    let beside = path.parent().expect("a file is in a folder").to_owned();
    let stem = path.file_stem().expect("a source file has a name");
    let folder = if is_root || stem == "mod" { beside.clone() } else { beside.join(stem) };
    let mut draws = Draws { folder, beside, found: Vec::new() };
    draws.visit_file(&parse(path));
    draws.found.iter().map(|path| without_dots(path)).filter(|path| files().contains(path)).collect()
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

fn targets() -> BTreeSet<PathBuf> {
    let packages = workspace().packages.iter().chain(&policies().packages);
    let targets = packages.flat_map(|package| &package.targets);
    let relative = |path: &Path| path.strip_prefix(root()).expect("a target of this project").to_owned();
    targets.map(|target| relative(target.src_path.as_std_path())).collect()
}

#[test]
fn every_source_file_is_reached() {
    let targets = targets();
    let mut reached = BTreeSet::new();
    let mut open: Vec<PathBuf> = targets.iter().cloned().collect();
    while let Some(path) = open.pop() {
        if path.extension().is_some_and(|extension| extension == "rs") && reached.insert(path.clone()) {
            open.extend(draws(&path, targets.contains(&path)));
        }
    }
    let dead: Vec<_> =
        files_with("rs").filter(|path| !is_foreign(path) && !reached.contains(*path)).collect();
    assert!(dead.is_empty(), "no `mod` and no target reaches {dead:#?}");
    assert!(reached.len() > 100, "only {} files reached: this test reads the wrong ones", reached.len());
}

#[test]
fn no_file_is_empty() {
    for path in files() {
        let bytes = std::fs::metadata(root().join(path)).expect("git lists it").len();
        // Hostile modules may well be empty.
        assert!(bytes > 0 || is_foreign(path), "{} is empty", path.display());
    }
}

#[test]
fn nothing_is_left_for_a_later_day() {
    // Put together here, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("for", " now"),
        concat!("place", "holder"),
        concat!("dbg", "!("),
    ];
    // Drills that need root are run by name, by `.ci/run` too, where there is root.
    let drilled = |path: &Path, line: &str| {
        path.starts_with("host/tests/drills") && line.contains(concat!("#[ig", "nore = \"needs root"))
    };
    for (path, text) in our_texts() {
        for (number, line) in text.lines().enumerate() {
            if drilled(path, line) {
                continue;
            }
            let word = words.iter().find(|word| line.contains(**word));
            assert_eq!(word, None, "{}:{}", path.display(), number + 1);
        }
    }
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let places = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/tm", "p/"),
        concat!("crates", ".io"),
        concat!("npm", "js.org"),
        concat!("py", "pi.org"),
        concat!("debian", ".org"),
    ];
    for (path, text) in our_texts() {
        for (number, line) in text.lines().enumerate() {
            let place = places.iter().find(|place| line.contains(**place));
            assert_eq!(place, None, "{}:{}", path.display(), number + 1);
        }
    }
}

#[test]
fn a_module_says_in_its_first_line_what_it_is() {
    for path in files_with("rs").filter(|path| !is_foreign(path)) {
        let text = read(&root().join(path));
        assert!(text.starts_with("//! "), "{}: no first line that says what it is", path.display());
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    for path in files_with("md").filter(|path| !is_foreign(path)) {
        let text = read(&root().join(path));
        let folder = path.parent().expect("a file is in a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            let found = root().join(folder).join(target);
            assert!(found.exists(), "{} links to {link}, which is not there", path.display());
        }
    }
}
