//! The hostile corpus: 81 modules and the recursion ladder, each with one pinned outcome.

use crate::guest::{Guest, engine, input, state};
use dsm_host::engine::{AdmitError, Engine, FUEL_LIMIT_DEFAULT, Outcome};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
        let started = Instant::now();
        let (outcome, fuel) = outcome(&engine, &wasm);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(1), "{file} took {took:?}");
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
