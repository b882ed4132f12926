//! What an author does who has only `dsm` and Rust: new projects of every template, their builds in two places, what
//! `verify-build` says of other sources, and mistakes that only a compiler can show. It takes a WASM toolchain and cargo's
//! registry, so it runs where DSM_WASM_REQUIRED says that both are there.

#![allow(clippy::unwrap_used)] // helpers of tests may panic as tests do

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, Weak};
use tempfile::TempDir;

fn is_required(what: &str) -> bool {
    let required = std::env::var_os("DSM_WASM_REQUIRED").is_some();
    if !required {
        eprintln!("skipped: DSM_WASM_REQUIRED=1 tries {what}");
    }
    required
}

fn dsm(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dsm"));
    // Where the README's author has `core` and `alloc`.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.args(words).current_dir(folder).output().unwrap()
}

/// A folder for projects that share what cargo compiles for them: its `target`. Their names differ, because cargo keeps
/// a module under its name alone. It is gone when nobody works there any more.
fn workshop() -> Arc<TempDir> {
    static OPEN: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut open = OPEN.lock().unwrap();
    if let Some(folder) = open.upgrade() {
        return folder;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".cargo")).unwrap();
    let settings = format!("[build]\ntarget-dir = {:?}\n", folder.path().join("target"));
    std::fs::write(folder.path().join(".cargo/config.toml"), settings).unwrap();
    let folder = Arc::new(folder);
    *open = Arc::downgrade(&folder);
    folder
}

/// Runs a verb with `--json`: whether it did what it was asked, its answer, and what stood on stderr.
fn json(folder: &Path, words: &[&str]) -> (bool, Value, String) {
    let output = dsm(folder, &[words, &["--json"]].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let value = serde_json::from_slice(&output.stdout);
    (output.status.success(), value.unwrap_or_else(|error| panic!("{words:?}: {error}: {output:?}")), told)
}

fn ok(folder: &Path, words: &[&str]) -> Value {
    let (done, value, told) = json(folder, words);
    assert!(done, "{words:?}: {value:#}\n{told}");
    value
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from:?}", file.display());
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn every_template_builds_and_its_cases_hold_natively_and_as_wasm() {
    if !is_required("every template") {
        return;
    }
    let folder = workshop();
    for template in ["empty", "fungible", "spend-limit", "credential-gate", "escrow"] {
        let name = format!("my-{template}");
        ok(folder.path(), &["policy", "new", &name, "--template", template]);
        let built = ok(folder.path(), &["policy", "build", &name]);
        assert_eq!(built["name"], Value::String(name.clone()));
        let tested = dsm(folder.path(), &["policy", "test", &name]);
        let text = String::from_utf8_lossy(&tested.stdout);
        assert!(tested.status.success() && text.contains("natively and as WASM"), "{template}: {tested:?}");
    }
}

#[test]
fn a_source_gives_the_same_bytes_in_another_place_and_another_source_does_not() {
    if !is_required("two builds of one source") {
        return;
    }
    let folder = workshop();
    let there = folder.path().join("a/much deeper/place");
    std::fs::create_dir_all(&there).unwrap();
    ok(folder.path(), &["policy", "new", "cap"]);
    ok(&there, &["policy", "new", "cap"]);
    let built = ok(folder.path(), &["policy", "build", "cap", "--canonical"]);
    assert_eq!(built["canonical"], true);
    assert!(built["describe_fuel"].as_u64().unwrap() > 0 && built["bytes"].as_u64().unwrap() > 8);
    let exports = built["exports"].as_array().unwrap();
    assert!(exports.iter().any(|name| name == "dsm_evaluate"), "{exports:?}");
    let elsewhere = ok(&there, &["policy", "build", "cap"]);
    assert_eq!(built["cid"], elsewhere["cid"], "the folder shows in the bytes");
    let module = folder.path().join("target/policy/cap.wasm");
    let module = module.to_str().unwrap();
    let lock = std::fs::read_to_string(folder.path().join("cap/dsm-policy.lock")).unwrap();
    assert!(lock.contains(built["cid"].as_str().unwrap()) && lock.contains("compiler = "), "{lock}");

    let source = there.join("cap");
    let verify = ["policy", "verify-build", module, "--source", source.to_str().unwrap()];
    assert_eq!(ok(folder.path(), &verify)["same"], true);
    std::fs::write(source.join("dsm-policy.lock"), "compiler = \"rustc 1.0\"\nlinker = \"ld 1\"\n").unwrap();
    edit(&source.join("src/lib.rs"), "Units come from the issuer", "Units come from anybody");
    let (same, verified, told) = json(folder.path(), &verify);
    assert!(!same && verified["same"] == false, "{verified:#}\n{told}");
    let differences = verified["differences"].to_string();
    for part in
        ["compiler: rustc 1.0 is expected, rustc 1.", "linker: ld 1 is expected", "bytes: ", "summary is"]
    {
        assert!(differences.contains(part), "{differences} does not say {part}");
    }
}

#[test]
fn mistakes_are_told_with_the_file_the_line_or_the_function() {
    if !is_required("mistakes of authors") {
        return;
    }
    let folder = workshop();
    ok(folder.path(), &["policy", "new", "slip"]);
    let source = folder.path().join("slip/src/lib.rs");
    let whole = std::fs::read_to_string(&source).unwrap();
    let within = "transfer.amount <= self.transfer_max,";
    let end = "#[policy(";
    // The mistake, what is replaced, by what, the code, and what is told.
    let rows: [(&str, &str, &str, &str, &[&str]); 4] = [
        (
            "a word that Rust does not know",
            "Ok(())",
            "Ok(nothing)",
            "build_failed",
            &["src/lib.rs:", "nothing"],
        ),
        ("std", "extern crate alloc;", "extern crate alloc;\nextern crate std;", "build_failed", &["std"]),
        (
            "a float in a function of one's own",
            within,
            "fee(transfer.amount) <= self.transfer_max,",
            "module_refused",
            &["src/lib.rs", "float", "fee", "use integers"],
        ),
        (
            "no policy",
            end,
            "#[cfg(any())]\n#[policy(",
            "module_refused",
            &["export_missing", "put #[policy("],
        ),
    ];
    for (mistake, from, to, code, parts) in rows {
        std::fs::write(&source, &whole).unwrap();
        edit(&source, from, to);
        let fee =
            "\n#[inline(never)]\nfn fee(amount: u128) -> u128 {\n    (amount as f64 * 1.05) as u128\n}\n";
        edit(&source, "\n/// Why this policy refuses.", &format!("{fee}\n/// Why this policy refuses."));
        let (built, value, told) = json(folder.path(), &["policy", "build", "slip"]);
        let error = &value["error"];
        assert!(!built && error["code"] == code && error["help"].is_string(), "{mistake}: {value:#}\n{told}");
        for part in parts {
            assert!(format!("{value}{told}").contains(part), "{mistake}: {part}: {value:#}\n{told}");
        }
    }
}
