//! `dsm policy new`: a project that builds, with cases that hold, in a folder that was not there before.
//!
//! Templates are the standard policies themselves, so whatever is true of those (every case natively and as WASM) is true
//! of a new project; `empty` is the least that a policy can be.

use super::sdk;
use crate::cli::failure::{Failure, file_failure};
use crate::cli::session::Session;
use crate::cli::show::{Show, rows};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of `dsm policy new`.
#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The policy's name: lower-case letters, digits and hyphens
    name: String,
    /// What to begin with: empty, fungible, spend-limit, credential-gate or escrow
    #[arg(long, default_value = "empty")]
    template: String,
    /// Make the project's folder in this one
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// A policy to begin with.
struct Template {
    name: &'static str,
    /// The name that its own sources have.
    policy: &'static str,
    /// Its type.
    rules: &'static str,
    /// One line for people.
    about: &'static str,
    source: &'static str,
    cases: &'static str,
    case_file: &'static str,
    /// What `dsm policy fuzz` tries to break.
    invariants: &'static str,
}

const TEMPLATES: [Template; 5] = [
    Template {
        name: "empty",
        policy: "empty",
        rules: "Empty",
        about: "units come from the issuer and move freely: the least that a policy can be",
        source: include_str!("templates/empty.rs"),
        cases: include_str!("templates/empty_cases.rs"),
        case_file: include_str!("templates/empty.toml"),
        invariants: include_str!("templates/empty.invariants.toml"),
    },
    Template {
        name: "fungible",
        policy: "fungible",
        rules: "Fungible",
        about: "minted by m of n keys, paused and frozen by them, capped",
        source: include_str!("../../../../policies/fungible/src/lib.rs"),
        cases: include_str!("../../../../policies/fungible/src/cases.rs"),
        case_file: include_str!("templates/fungible.toml"),
        invariants: include_str!("../../../../policies/fungible/invariants.toml"),
    },
    Template {
        name: "spend-limit",
        policy: "spend-limit",
        rules: "SpendLimit",
        about: "limits what one account sends, per transfer and per UTC day",
        source: include_str!("../../../../policies/spend-limit/src/lib.rs"),
        cases: include_str!("../../../../policies/spend-limit/src/cases.rs"),
        case_file: include_str!("templates/spend-limit.toml"),
        invariants: include_str!("../../../../policies/spend-limit/invariants.toml"),
    },
    Template {
        name: "credential-gate",
        policy: "credential-gate",
        rules: "CredentialGate",
        about: "only who shows a credential that an issuer signed may hold and move",
        source: include_str!("../../../../policies/credential-gate/src/lib.rs"),
        cases: include_str!("../../../../policies/credential-gate/src/cases.rs"),
        case_file: include_str!("templates/credential-gate.toml"),
        invariants: include_str!("../../../../policies/credential-gate/invariants.toml"),
    },
    Template {
        name: "escrow",
        policy: "escrow-market",
        rules: "EscrowMarket",
        about: "work against money set aside: offer, delivery, payment, arbitration, refund",
        source: include_str!("../../../../policies/escrow-market/src/lib.rs"),
        cases: include_str!("../../../../policies/escrow-market/src/cases.rs"),
        case_file: include_str!("templates/escrow.toml"),
        invariants: include_str!("../../../../policies/escrow-market/invariants.toml"),
    },
];

/// The version that a new project has.
const VERSION: &str = "0.1.0";
const NAME_BYTES_MAX: usize = 40;
/// Crates of the compiler, targets of cargo and words of Rust: none can be the name of a library.
const RESERVED: [&str; 46] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "native",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "type",
];

/// The answer of `new`.
#[derive(Serialize)]
struct Made {
    name: String,
    template: &'static str,
    folder: PathBuf,
    files: Vec<String>,
    sdk: &'static str,
}

impl Show for Made {
    fn text(&self) -> String {
        let own: Vec<&str> =
            self.files.iter().map(String::as_str).filter(|file| !file.starts_with(".dsm/")).collect();
        let folder = self.folder.display();
        rows([
            ("made", format!("{} from the template {}", self.name, self.template)),
            ("folder", folder.to_string()),
            ("files", own.join(" ")),
            ("sdk", format!("{} in .dsm/sdk, part of the source", self.sdk)),
            ("next", format!("cd {folder} && dsm policy build && dsm policy test")),
        ])
    }
}

pub(super) fn new(session: &Session, args: &NewArgs) -> Result<(), Failure> {
    check_name(&args.name)?;
    let template = TEMPLATES.iter().find(|one| one.name == args.template).ok_or_else(|| {
        let known: Vec<String> =
            TEMPLATES.iter().map(|one| format!("{} ({})", one.name, one.about)).collect();
        Failure::usage(format!("there is no template {:?}", args.template)).help(known.join("; "))
    })?;
    let here = args.dir == Path::new(".");
    let folder = if here { PathBuf::from(&args.name) } else { args.dir.join(&args.name) };
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::refused("project_exists", format!("{} is there already", folder.display()))
            .help("choose another name, or another folder with --dir; nothing was written"));
    }
    let files = files(&args.name, template);
    write(&args.dir, &folder, &files)?;
    session.show(&Made {
        name: args.name.clone(),
        template: template.name,
        folder,
        files: files.into_iter().map(|(path, _)| path).collect(),
        sdk: sdk::version(),
    })
}

fn check_name(name: &str) -> Result<(), Failure> {
    let letters = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    let reason = if name.is_empty() || name.len() > NAME_BYTES_MAX {
        format!("has 1 to {NAME_BYTES_MAX} characters")
    } else if !name.chars().all(letters) || !name.starts_with(|one: char| one.is_ascii_lowercase()) {
        "is made of lower-case letters, digits and hyphens, and begins with a letter".to_owned()
    } else if name.ends_with('-') || name.contains("--") {
        "has single hyphens between words".to_owned()
    } else if RESERVED.contains(&name) || sdk::is_taken(name) {
        "is not a word of Rust and no crate that policies are made of".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!("{name:?} cannot be a policy's name: a name {reason}"))
        .help("choose another one, such as spend-cap; nothing was written"))
}

/// Everything that a project has, by its path.
fn files(name: &str, template: &Template) -> Vec<(String, String)> {
    let library = name.replace('-', "_");
    let fill = |text: &str| {
        text.replace("NAME", name)
            .replace("LIBRARY", &library)
            .replace("RULES", template.rules)
            .replace("ABOUT", template.about)
            .replace("TEMPLATE", template.name)
            .replace("SDK_VERSION", sdk::version())
    };
    let renamed = |text: &str, key: &str| {
        text.replacen(&format!("{key} = \"{}\"", template.policy), &format!("{key} = \"{name}\""), 1)
    };
    let source = renamed(template.source, "name");
    let rust = format!("rust-version = \"{}\"\n", sdk::rust_version());
    let manifest = fill(include_str!("templates/Cargo.toml.txt")) + &sdk::profile();
    let manifest = manifest.replace("rust-version = \"\"\n", &rust);
    let mut files = vec![
        ("Cargo.toml".to_owned(), manifest),
        ("Cargo.lock".to_owned(), sdk::lock(name, VERSION)),
        (".gitignore".to_owned(), "/target\n".to_owned()),
        ("dsm-policy.toml".to_owned(), fill(include_str!("templates/dsm-policy.toml"))),
        ("README.md".to_owned(), fill(include_str!("templates/README.md.txt"))),
        ("cases.toml".to_owned(), template.case_file.replace("\"NAME\"", &format!("\"{name}\""))),
        ("src/lib.rs".to_owned(), source),
        ("src/cases.rs".to_owned(), template.cases.to_owned()),
        ("tests/cases.rs".to_owned(), fill(include_str!("templates/tests.rs.txt"))),
        ("examples/native.rs".to_owned(), fill(include_str!("templates/native.rs.txt"))),
        ("invariants.toml".to_owned(), renamed(template.invariants, "policy")),
        (".dsm/sdk/Cargo.toml".to_owned(), sdk::workspace()),
    ];
    files.extend(sdk::SOURCES.iter().map(|(path, text)| (format!(".dsm/sdk/{path}"), (*text).to_owned())));
    files
}

/// Writes the project beside its place and moves it there, so that it is there whole or not at all.
fn write(above: &Path, folder: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    let work = tempfile::Builder::new().prefix(".dsm-new-").tempdir_in(above);
    let work = work.map_err(|error| file_failure(above, &error))?;
    let made = work.path().join("project");
    for (path, text) in files {
        let file = made.join(path);
        let io = |error: std::io::Error| file_failure(&file, &error);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        std::fs::write(&file, text).map_err(io)?;
    }
    std::fs::rename(&made, folder).map_err(|error| file_failure(folder, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_is_told_why() {
        for name in ["cap", "spend-cap", "a1", "cash", "fungible"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for (name, why) in [
            ("", "1 to 40"),
            (long.as_str(), "1 to 40"),
            ("Cap", "lower-case"),
            ("1st", "begins with a letter"),
            ("a_b", "lower-case"),
            ("../cap", "lower-case"),
            ("cap-", "single hyphens"),
            ("a--b", "single hyphens"),
            ("match", "word of Rust"),
            ("dsm-policy", "no crate"),
            ("borsh", "no crate"),
        ] {
            let failure = check_name(name).unwrap_err();
            assert!(failure.message.contains(why), "{name}: {}", failure.message);
            assert!(failure.help.is_some());
        }
    }

    #[test]
    fn every_template_is_whole_and_has_the_project_s_name() {
        for template in &TEMPLATES {
            let files = files("my-cap", template);
            let text = |path: &str| {
                let found = files.iter().find(|(one, _)| one == path);
                found.map(|(_, text)| text.as_str()).unwrap_or_else(|| panic!("{}: no {path}", template.name))
            };
            assert!(text("src/lib.rs").contains("name = \"my-cap\""), "{}", template.name);
            assert!(text("src/lib.rs").contains(&format!("impl {} {{", template.rules)), "{}", template.name);
            assert!(text("cases.toml").contains("policy = \"my-cap\""), "{}", template.name);
            assert!(text("invariants.toml").contains("policy = \"my-cap\""), "{}", template.name);
            let promises = dsm_sdk::cases::CaseFile::read(text("invariants.toml")).unwrap();
            assert!(promises.fuzz().is_some() && promises.invariants().count() > 0, "{}", template.name);
            assert!(text("examples/native.rs").contains(&format!("my_cap::{}", template.rules)));
            assert!(text("Cargo.toml").contains("lto = \"fat\""));
            assert!(text("Cargo.lock").contains("name = \"my-cap\"\nversion = \"0.1.0\""));
            assert!(text(".dsm/sdk/policy/src/lib.rs").starts_with("//! "));
            for (path, text) in files.iter().filter(|(path, _)| !path.starts_with(".dsm/")) {
                for word in ["NAME", "LIBRARY", "RULES", "ABOUT", "TEMPLATE", "SDK_VERSION"] {
                    let own = path.starts_with("src/");
                    assert!(own || !text.contains(word), "{}: {path} has {word}", template.name);
                }
            }
        }
    }

    #[test]
    fn a_project_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (above, place) = (folder.path(), folder.path().join("cap"));
        write(above, &place, &[("a/b".into(), "x".into())]).unwrap();
        assert_eq!(std::fs::read_to_string(place.join("a/b")).unwrap(), "x");
        assert!(
            write(above, &place, &[("c".into(), "y".into())]).is_err(),
            "never into a folder that is there"
        );
        assert!(write(&above.join("nowhere"), &place, &[]).is_err());
        let left: Vec<_> =
            std::fs::read_dir(above).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["cap"]);
    }
}
