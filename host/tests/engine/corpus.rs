//! The hostile corpus: 81 modules and the recursion ladder, each with one pinned outcome.

use crate::guest::{Guest, engine, input, state};
use crate::pace::{slowness, spent_on};
use dsm_host::engine::{AdmitError, Engine, FUEL_LIMIT_DEFAULT, Outcome};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// What became of a module, in one word, and the fuel.
fn outcome(engine: &Engine, wasm: &[u8]) -> (String, u64) {
    match engine.probe(wasm, "run", FUEL_LIMIT_DEFAULT) {
        Err(AdmitError::Refused { findings }) => {
            let mut codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
            codes.dedup();
            (format!("reject:{}", codes.join(",")), 0)
        }
        Err(AdmitError::Host(fault)) => panic!("no verdict: {fault}"),
        Ok(probe) => match probe.result {
            Ok(value) => (format!("ok:{value}"), probe.fuel),
            Err(fault) => (fault.to_string().replace(' ', ""), probe.fuel),
        },
    }
}

/// Whether `outcome` is one of the classes in the manifest.
fn is_expected(expected: &str, outcome: &str) -> bool {
    expected.split('|').any(|class| match class {
        "any" => true,
        "reject" => outcome.starts_with("reject:"),
        "stack" => outcome == "depth",
        "trap" => outcome.starts_with("trap:") || outcome == "memory",
        "ok-bounded" => outcome.starts_with("ok:"),
        exact => outcome == exact,
    })
}

#[test]
fn every_hostile_module_has_its_pinned_outcome() {
    let engine = engine();
    let folder = vectors("wasm-adversarial");
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest.len(), 81);
    let mut lines = String::new();
    let mut slowest = (Duration::ZERO, String::new());
    for row in &manifest {
        let text = |key: &str| row[key].as_str().unwrap();
        let file = text("file");
        let wasm = std::fs::read(folder.join("modules").join(file)).unwrap();
        assert_eq!(blake3::hash(&wasm).to_hex().as_str(), text("blake3"), "{file}");
        let (took, (outcome, fuel)) = spent_on(|| outcome(&engine, &wasm));
        assert!(took < Duration::from_secs(1).mul_f64(slowness()), "{file} took {took:?}");
        slowest = slowest.max((took, file.to_owned()));
        assert!(is_expected(text("expect"), &outcome), "{file}: {outcome}, expected {}", text("expect"));
        lines.push_str(&format!("{file} {outcome} {fuel}\n"));
        assert!(matches!(engine.admit(&wasm), Err(AdmitError::Refused { .. })), "{file} is no policy");
    }
    let mut ladder: Vec<PathBuf> =
        std::fs::read_dir(vectors("wasm-determinism")).unwrap().map(|e| e.unwrap().path()).collect();
    ladder.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    ladder.sort();
    for path in ladder {
        let (outcome, fuel) = outcome(&engine, &std::fs::read(&path).unwrap());
        lines.push_str(&format!("{} {outcome} {fuel}\n", path.file_name().unwrap().to_str().unwrap()));
    }
    println!("slowest: {slowest:?}");
    let golden = vectors("engine-golden").join("outcomes.txt");
    if std::env::var_os("DSM_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&golden, &lines).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&golden).unwrap(), lines, "see engine-golden/ORIGIN.txt");
    still_works(&engine);
}

/// After all that, an honest policy gets its verdict.
fn still_works(engine: &Engine) {
    let module = Guest::accepting_after("").admit(engine);
    let found = engine.evaluate(&module, &input(), &state(), &[], FUEL_LIMIT_DEFAULT).unwrap();
    assert_eq!(found.outcome, Outcome::Accept(vec![]));
}

/// Native stacks of two processors judged this ladder differently; the meter has one answer.
#[test]
fn the_recursion_ladder_has_one_outcome_and_one_fuel() {
    let engine = engine();
    let mut found = Vec::new();
    for depth in [10900, 10917, 10918, 10919, 10920, 10950] {
        let wasm = std::fs::read(vectors("wasm-determinism").join(format!("recurse-{depth}.wasm"))).unwrap();
        found.push(outcome(&engine, &wasm));
    }
    assert_eq!(found[0].0, "depth");
    assert!(found.iter().all(|row| *row == found[0]), "{found:?}");
}

/// Every prefix and every single-byte change of an honest policy is judged without a panic or a host fault.
#[test]
fn damaged_policies_are_judged() {
    let engine = engine();
    let wasm = Guest::accepting_after("").wasm();
    for length in 0..wasm.len() {
        // The module is whole where only the section with debug names is cut off.
        let whole = wasm[length..].starts_with(&[0]) && wasm[length + 2..].starts_with(b"\x04name");
        assert_eq!(engine.admit(&wasm[..length]).is_ok(), whole, "a prefix of {length} bytes");
    }
    for at in 0..wasm.len().min(400) {
        for change in [1, 0x80] {
            let mut damaged = wasm.clone();
            damaged[at] ^= change;
            match engine.admit(&damaged) {
                Ok(_) | Err(AdmitError::Refused { .. }) => {}
                Err(AdmitError::Host(fault)) => panic!("byte {at}: {fault}"),
            }
        }
    }
}

/// The most work for the compiler that the gate lets through, as far as known: what P5 bounds to one second.
#[test]
fn what_the_gate_lets_through_compiles_in_bounded_time() {
    let rows = |count: usize, row: &dyn Fn(usize) -> String| (0..count).map(row).collect::<String>();
    let live = rows(2_000, &|i| {
        format!("(i64.store (i32.const {}) (i64.mul (local.get 0) (i64.const {})))", 8 * (i % 100), i + 3)
    });
    let values_across_calls = format!("(func (param i64) {live} (call 0 (i64.const 0)) {live})");
    let set = rows(127, &|i| format!("(local.set {} (i64.mul (local.get {i}) (i64.const 3)))", i + 1));
    let mix = rows(1_900, &|i| {
        format!(
            "(block (br_if 0 (i64.eqz (local.get {}))) (local.set {} (i64.add (local.get {}) (local.get 1))))",
            i % 127,
            (i * 7) % 127,
            (i * 5) % 127
        )
    });
    let live_locals = format!(
        "(func (param i64) (local {}) (loop $l {set} {mix} (br_if $l (i64.eqz (local.get 9)))))",
        "i64 ".repeat(127)
    );
    let targets = format!(
        "(func (param i64) {} (br_table {} (i32.wrap_i64 (local.get 0))) {})",
        "block ".repeat(100),
        rows(1_000, &|i| format!("{} ", i % 100)),
        "end ".repeat(100)
    );
    let targets = targets
        .replace("(br_table", "local.get 0 i32.wrap_i64 br_table")
        .replace("(i32.wrap_i64 (local.get 0)))", "");
    let bombs = [
        ("values across calls", values_across_calls.repeat(4)),
        ("live locals", live_locals.repeat(4)),
        ("br_table", targets.repeat(4)),
        ("many functions", "(func (param i64) (call 0 (local.get 0)))".repeat(1_900)),
        (
            "straight line",
            format!(
                "(func (param i64) {})",
                "(i64.store (i32.const 8) (i64.div_u (i64.load (i32.const 8)) (i64.load (i32.const 16))))"
                    .repeat(3_600)
            )
            .repeat(4),
        ),
    ];
    let engine = engine();
    for (name, functions) in bombs {
        let text =
            format!("(module (memory 1) {functions} (func (export \"run\") (result i32) (i32.const 1)))");
        let wasm = wat::parse_str(&text).unwrap();
        // Of several runs the least, where others on the machine took the processor's caches away.
        let mut least = Duration::MAX;
        // One second on the machine that the limits were measured on, and as much again for those that are not alike.
        let bound = Duration::from_secs(2).mul_f64(slowness());
        for run in 0..5 {
            if run == 0 || least >= bound {
                let (took, (outcome, _)) = spent_on(|| outcome(&engine, &wasm));
                assert_eq!(outcome, "ok:1", "{name}");
                least = least.min(took);
            }
        }
        println!("{name}: {} bytes, {:.2} CPU s", wasm.len(), least.as_secs_f64());
        assert!(least < bound, "{name} took {least:?} of a processor");
    }
}
