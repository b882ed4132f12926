//! Admission: the codes that authors see, all at once, with names escaped.

use crate::guest::{Guest, description, engine};
use dsm_abi::encode;
use dsm_host::engine::Finding;

fn findings(wasm: &[u8]) -> Vec<Finding> {
    engine().admit(wasm).expect_err("this module must be refused").findings().to_vec()
}

fn codes(wasm: &[u8]) -> Vec<&'static str> {
    findings(wasm).iter().map(|finding| finding.code).collect()
}

/// The usual policy with `more` in it.
fn with(more: &str) -> Vec<u8> {
    Guest { more: more.into(), ..Guest::accepting_after("") }.wasm()
}

#[test]
fn each_rule_has_its_code() {
    let nested = format!("(func {} {})", "(block ".repeat(130), ")".repeat(130));
    let tall = format!("(func {} {})", "(i32.const 1) ".repeat(257), "drop ".repeat(257));
    let locals = format!("(func (local {}))", "i32 ".repeat(129));
    let blocks = format!("(func (local {}) {})", "i32 ".repeat(128), "(block) ".repeat(2_000));
    let targets = format!("(func (block (br_table {} (i32.const 0))))", "0 ".repeat(4_098));
    let rows = [
        (with("(func (drop (f32.const 1)))"), "float"),
        (with("(func (param f64))"), "float"),
        (with("(func (local f32))"), "float"),
        (with("(global f64 (f64.const 0))"), "float"),
        (with("(func (result i32 i32) (i32.const 1) (i32.const 1))"), "feature"),
        (with("(func return_call 0)").clone(), "feature"),
        (with("(func (drop (v128.const i64x2 0 0)))"), "feature"),
        (with("(memory 1)"), "too_many"),
        (with("(table 1 1 funcref) (table 1 1 funcref)"), "too_many"),
        (with("(table 1 2 funcref)"), "table"),
        (with("(table 1025 1025 funcref)"), "table"),
        (with("(func $s) (start $s)"), "start"),
        (with("(global (export \"g\") (mut i32) (i32.const 0))"), "export"),
        (with("(func (export \"dsm:depth\"))"), "export"),
        (with("(data \"passive\")"), "data"),
        (with("(data (i32.const 131072) \"x\")"), "data"),
        (with("(table 1 1 funcref) (func $f) (elem (i32.const 1) $f)"), "element"),
        (with("(table 1 1 funcref) (func $f) (elem func $f)"), "element"),
        (with("(@custom \"secret\" \"x\")"), "custom"),
        (with(&nested), "too_complex"),
        (with(&tall), "too_complex"),
        (with(&locals), "too_many"),
        (with(&blocks), "too_complex"),
        (with(&targets), "too_complex"),
        (Guest { memory: "5".into(), ..Guest::accepting_after("") }.wasm(), "memory"),
        (Guest { memory: "1 65".into(), ..Guest::accepting_after("") }.wasm(), "memory"),
        (
            Guest { imports: r#"(import "dsm1" "clock" (func))"#.into(), ..Guest::default() }.wasm(),
            "import_unknown",
        ),
        (
            Guest {
                imports: r#"(import "env" "note" (func (param i32 i32 i32)))"#.into(),
                ..Guest::default()
            }
            .wasm(),
            "import_unknown",
        ),
        (
            Guest { imports: r#"(import "dsm1" "note" (func (param i32 i32)))"#.into(), ..Guest::default() }
                .wasm(),
            "import_signature",
        ),
        (
            Guest { imports: r#"(import "dsm1" "hash" (global i32))"#.into(), ..Guest::default() }.wasm(),
            "import_kind",
        ),
        (b"(module)".to_vec(), "magic"),
        (b"\x7fELF\x02\x01\x01\0".to_vec(), "magic"),
        (vec![], "magic"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "component"),
        (b"\0asm\x02\0\0\0".to_vec(), "version"),
        (vec![0; 256 * 1024 + 1], "size"),
    ];
    for (row, (wasm, code)) in rows.iter().enumerate() {
        let found = codes(wasm);
        assert!(found.contains(code), "row {row}: {found:?}, expected {code}");
    }
}

#[test]
fn the_required_exports_are_exact() {
    assert_eq!(codes(&wat::parse_str("(module)").unwrap()), ["export_missing"; 2]);
    let wrong = r#"(module (memory (export "memory") 1) (global (export "dsm_view") i32 (i32.const 0))
        (func (export "dsm_buf") (result i32) (i32.const 0)) (func (export "dsm_describe") (result i64) (i64.const 0))
        (func (export "dsm_evaluate") (param i32) (result i32) (i32.const 0)))"#;
    assert_eq!(codes(&wat::parse_str(wrong).unwrap()), ["export_signature"; 3]);
    let memory = r#"(module (func (export "memory")))"#;
    assert_eq!(codes(&wat::parse_str(memory).unwrap()), ["export_missing"; 2]);
}

#[test]
fn all_findings_come_at_once_and_name_their_place() {
    let more = "(func $start) (start $start)
        (func $helper (result i32) (i32.trunc_f32_s (f32.const 1)))
        (func $caller (result i32) (call $helper))
        (func (export \"entry\") (drop (call $caller)))
        (func $second (drop (f64.const 0)))
        (@custom \"x\" \"\")";
    let wasm = Guest {
        more: more.into(),
        imports: "(import \"wasi_snapshot_preview1\" \"clock_time_get\" (func))".into(),
        ..Guest::default()
    }
    .wasm();
    let found = findings(&wasm);
    let codes: Vec<&str> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["import_unknown", "start", "float", "float", "custom"], "{found:#?}");
    assert_eq!(found[2].function.as_deref(), Some("helper"));
    assert!(found[2].reason.contains("called from caller"), "{}", found[2].reason);
    assert!(found[2].offset.is_some() && !found[2].help.is_empty());
    assert_eq!(found[3].function.as_deref(), Some("second"));
}

#[test]
fn names_are_shown_escaped() {
    let wasm =
        Guest { imports: "(import \"env\\u{202e}\\07\" \"a\\\\b\" (func))".into(), ..Guest::default() }
            .wasm();
    let found = &findings(&wasm)[0];
    assert_eq!(found.code, "import_unknown");
    assert!(found.reason.is_ascii(), "{}", found.reason);
    assert!(found.reason.contains("env\\u{202e}\\u{7}.a\\u{5c}b"), "{}", found.reason);
}

#[test]
fn the_description_is_judged_at_admission() {
    let other = dsm_abi::Description { abi: 2, ..description(0) };
    let rows = [
        (Guest { description: encode(&other), ..Guest::default() }, "abi"),
        (Guest { description: vec![1, 2, 3], ..Guest::default() }, "describe"),
        (Guest { describe: Some("(i64.const -1)".into()), ..Guest::default() }, "describe"),
        (Guest { describe: Some("(loop $l (br $l)) (i64.const 0)".into()), ..Guest::default() }, "describe"),
        (Guest { describe: Some("unreachable".into()), ..Guest::default() }, "describe"),
        (Guest { buf: "(i32.const 0)".into(), ..Guest::default() }, "describe"),
        (Guest { buf: "(i32.const -5)".into(), ..Guest::default() }, "describe"),
        (Guest { memory: "0".into(), output: vec![], description: vec![], ..Guest::default() }, "data"),
    ];
    for (row, (guest, code)) in rows.iter().enumerate() {
        let found = codes(&guest.wasm());
        assert!(found.contains(code), "row {row}: {found:?}, expected {code}");
    }
}

/// P11: another custom section is another policy, harmless: the hash is over the exact bytes.
#[test]
fn the_hash_is_of_the_exact_bytes() {
    let engine = engine();
    let plain = with("");
    let padded = with("(@custom \"producers\" \"\\00\")");
    let (first, second) = (engine.admit(&plain).unwrap(), engine.admit(&padded).unwrap());
    assert_eq!(first.hash().0, *blake3::hash(&plain).as_bytes());
    assert_ne!(first.hash(), second.hash());
    assert_eq!(first.description(), &description(0));
}

/// The version in the engine profile is the one that the lock file has.
#[test]
fn the_profile_names_the_locked_engine() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let source = include_str!("../../src/engine/runtime.rs");
    let version = lock.split("name = \"wasmtime\"\nversion = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(source.contains(&format!("WASMTIME_VERSION: &str = \"{version}\"")), "{version}");
}
