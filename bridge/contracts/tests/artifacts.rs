//! The committed artifacts are those of the committed sources, without a compiler.

mod evm;

use alloy_primitives::{Address, U256};
use evm::Evm;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn artifacts() -> Vec<Value> {
    let files = std::fs::read_dir(root().join("artifacts")).expect("artifacts/");
    let mut paths: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

fn solidity_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            solidity_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "sol") {
            let below = path.strip_prefix(root()).expect("below the root");
            found.insert(below.to_str().expect("our names are text").replace('\\', "/"));
        }
    }
}

/// The EVM's own SHA-256, the precompile at address 2.
fn sha256(evm: &mut Evm, bytes: Vec<u8>) -> String {
    let done = evm.ask(Address::with_last_byte(2), bytes).expect_ok();
    hex::encode(&done.output)
}

#[test]
fn artifacts_were_built_from_these_sources() {
    let mut evm = Evm::new();
    let mut covered = BTreeSet::new();
    for artifact in artifacts() {
        for (path, expected) in artifact["sources"].as_object().expect("hashes") {
            let text = std::fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let found = sha256(&mut evm, text);
            assert_eq!(Some(found.as_str()), expected.as_str(), "{path} was edited: run build.sh");
            covered.insert(path.clone());
        }
    }
    let mut sources = BTreeSet::new();
    solidity_below(&root().join("src"), &mut sources);
    assert_eq!(covered, sources, "a source that no artifact was built from");
}

#[test]
fn the_outbox_is_where_the_compiler_put_it() {
    let slots: Vec<_> =
        artifacts().iter().filter_map(|artifact| artifact["outboxSlot"].as_u64()).map(U256::from).collect();
    assert_eq!(slots, [U256::from_be_bytes(dsm_contracts::OUTBOX_SLOT)]);
}

#[test]
fn artifacts_and_forge_use_one_compiler_with_one_setting() {
    let forge = std::fs::read_to_string(root().join("foundry.toml")).expect("readable");
    for artifact in artifacts() {
        let compiler = &artifact["compiler"];
        assert!(compiler["version"].as_str().is_some_and(|version| version.starts_with("0.8.37+")));
        let runs = &compiler["optimizer"]["runs"];
        assert_eq!(compiler["optimizer"]["enabled"], true);
        assert_eq!(compiler["metadata"]["bytecodeHash"], "none");
        assert_eq!(compiler["evmVersion"], "london");
        for line in [
            format!("optimizer_runs = {runs}"),
            "optimizer = true".to_owned(),
            "evm_version = \"london\"".to_owned(),
            "bytecode_hash = \"none\"".to_owned(),
        ] {
            assert!(forge.lines().any(|found| found == line), "foundry.toml says otherwise: {line}");
        }
    }
}

#[test]
fn every_contract_can_be_deployed() {
    // EIP-170 and EIP-3860: chains after London refuse more.
    for artifact in artifacts() {
        let name = artifact["contract"].as_str().expect("a name");
        let bytecode = artifact["bytecode"].as_str().expect("hex");
        assert!(bytecode.len() > 2 && bytecode.len() / 2 < 49_152, "{name}");
        assert!(artifact["deployedBytes"].as_u64().is_some_and(|bytes| bytes <= 24_576), "{name}");
    }
}

#[test]
fn every_error_has_a_sentence_and_every_sentence_an_error() {
    let mut declared = BTreeSet::from(["Panic(uint256 code)".to_owned()]);
    for artifact in artifacts() {
        let abi = artifact["abi"].as_array().expect("a list");
        for error in abi.iter().filter(|entry| entry["type"] == "error") {
            let inputs = error["inputs"].as_array().expect("a list").iter();
            let text = |input: &Value| {
                format!("{} {}", input["type"].as_str().expect("text"), input["name"].as_str().expect("text"))
            };
            let inputs: Vec<_> = inputs.map(text).collect();
            declared.insert(format!("{}({})", error["name"].as_str().expect("text"), inputs.join(", ")));
        }
    }
    let told: BTreeSet<_> =
        dsm_contracts::REFUSALS.iter().map(|(declaration, _)| (*declaration).to_owned()).collect();
    assert_eq!(told, declared);
    assert_eq!(told.len(), dsm_contracts::REFUSALS.len(), "a row twice");
}

#[test]
fn refusals_are_told_in_words() {
    use dsm_contracts::{DsmBridge, SolError as _, refusal};
    let rows: [(Vec<u8>, &str); 7] = [
        (
            DsmBridge::LeafSpent { index: 7 }.abi_encode(),
            "LeafSpent: this leaf of the outbox has been used (index 7)",
        ),
        (
            DsmBridge::SizeShrinks { size: 1, latest: 2 }.abi_encode(),
            "SizeShrinks: the outbox would shrink (size 1, latest 2)",
        ),
        (
            DsmBridge::UnknownAction { selector: [1, 2, 3, 4].into() }.abi_encode(),
            "UnknownAction: no function of the time lock (selector 0x01020304)",
        ),
        (alloy_sol_types::Revert::from("no\u{1b}[31m").abi_encode(), "refused: no[31m"),
        (vec![], "refused without a reason: out of gas, or no such contract"),
        (vec![1, 2], "refused with 2 bytes that are no error"),
        (vec![1, 2, 3, 4, 5], "refused with an unknown error 0x01020304"),
    ];
    for (answer, expected) in rows {
        assert_eq!(refusal(&answer), expected);
    }
    // Cut off after the selector: the sentence without its arguments.
    assert_eq!(
        refusal(&DsmBridge::LeafSpent { index: 7 }.abi_encode()[..4]),
        "LeafSpent: this leaf of the outbox has been used"
    );
}
