//! Compilation in a child process: the same verdicts, and nothing believed that the child did not make (P5, P10).

use crate::guest::{Guest, TestCrypto, engine, input, state};
use dsm_abi::{Verdict, encode};
use dsm_host::engine::{AdmitError, Engine, EngineConfig};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

fn compiling_with(program: PathBuf) -> Engine {
    let config = EngineConfig { instances: 2, compiler: Some(program), ..EngineConfig::default() };
    Engine::new(&config, Arc::new(TestCrypto)).unwrap()
}

fn accepting() -> Vec<u8> {
    Guest::answering(encode(&Verdict::Accept(vec![]))).wasm()
}

#[test]
fn a_child_compiles_to_the_same_verdict_and_fuel() {
    let (here, there) = (engine(), compiling_with(env!("CARGO_BIN_EXE_dsm").into()));
    let wasm = accepting();
    let verdict = |engine: &Engine| {
        let module = engine.admit(&wasm).unwrap();
        engine.evaluate(&module, &input(), &state(), &[], 1_000_000).unwrap()
    };
    assert_eq!(verdict(&here), verdict(&there));
    assert_eq!(here.profile(), there.profile());
}

#[test]
fn a_child_that_lies_dies_or_is_not_there_makes_nothing_run() {
    let folder = tempfile::tempdir().unwrap();
    // Written by another process: a child that another test starts meanwhile would keep this one's file open for
    // writing, and such a file is not run.
    let script = |name: &str, body: &str| {
        let path = folder.path().join(name);
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"";
        let wrote = Command::new("sh").args(["-c", write]).arg(&path).arg(body).status().unwrap();
        assert!(wrote.success());
        path
    };
    let rows = [
        ("answers with its input", script("echo", "cat"), false),
        ("answers with nothing", script("nothing", "cat > /dev/null"), false),
        ("is not there", folder.path().join("missing"), false),
        ("fails", script("fails", "cat > /dev/null; exit 3"), true),
        ("aborts", script("aborts", "cat > /dev/null; kill -ABRT $$"), false),
        ("is killed by its limit", script("killed", "cat > /dev/null; kill -XCPU $$"), true),
    ];
    for (name, program, refuses) in rows {
        let error = compiling_with(program).admit(&accepting()).map(|_| ()).expect_err(name);
        assert_eq!(matches!(error, AdmitError::Refused { .. }), refuses, "{name}: {error}");
    }
}
