//! Who may depend on whom: the arrows of ARCHITECTURE.md, read from the manifests.

use crate::project::{all_dependencies, dependencies, package, policies, workspace};
use cargo_metadata::DependencyKind;
use std::collections::BTreeSet;

/// For each room the rooms it may depend on. A crate that has no row here has no place yet: draw it first.
const ARROWS: &[(&str, &[&str])] = &[
    ("dsm-abi", &[]),
    ("dsm-policy-macros", &[]),
    ("dsm-policy", &["dsm-abi", "dsm-policy-macros"]),
    ("dsm-evm-proof", &[]),
    ("dsm-contracts", &[]),
    ("dsm-core", &["dsm-abi", "dsm-evm-proof"]),
    ("dsm-crypto", &["dsm-abi", "dsm-core", "dsm-evm-proof"]),
    ("dsm-sdk", &["dsm-abi", "dsm-core", "dsm-crypto"]),
    ("dsm-gateway", &[]),
    ("dsm-settings", &[]),
    ("dsm-logs", &[]),
    ("dsm-store", &[]),
    ("dsm-proto", &["dsm-abi", "dsm-core"]),
    ("dsm-link", &["dsm-abi", "dsm-core", "dsm-crypto"]),
    (
        "dsm-storage-node",
        &[
            "dsm-abi",
            "dsm-core",
            "dsm-crypto",
            "dsm-sdk",
            "dsm-settings",
            "dsm-logs",
            "dsm-store",
            "dsm-proto",
            "dsm-link",
        ],
    ),
    ("dsm-qbft-shim", &["dsm-crypto"]),
    (
        "dsm-host",
        // The storage node for the demonstration alone, see `only_the_demonstration_has_storage_nodes`; the bridge for
        // its verbs and its demonstration, see `only_the_bridge_s_verbs_and_demonstration_know_it`.
        &[
            "dsm-abi",
            "dsm-bridge",
            "dsm-contracts",
            "dsm-core",
            "dsm-crypto",
            "dsm-evm-proof",
            "dsm-gateway",
            "dsm-link",
            "dsm-logs",
            "dsm-proto",
            "dsm-qbft-shim",
            "dsm-sdk",
            "dsm-settings",
            "dsm-storage-node",
            "dsm-store",
        ],
    ),
    (
        "dsm-bridge",
        &[
            "dsm-abi",
            "dsm-core",
            "dsm-crypto",
            "dsm-evm-proof",
            "dsm-gateway",
            "dsm-link",
            "dsm-logs",
            "dsm-sdk",
            "dsm-settings",
        ],
    ),
    (
        "dsm-benches",
        &[
            "dsm-abi",
            "dsm-core",
            "dsm-crypto",
            "dsm-sdk",
            "dsm-store",
            "dsm-proto",
            "dsm-link",
            "dsm-storage-node",
            "dsm-host",
            "dsm-policy",
        ],
    ),
    ("dsm-walls", &[]),
];

/// Everything that the pure crates may name from outside: encodings, one hash, an error derive, a cell without
/// threads. None of them reads a clock, a file, a socket or a source of randomness.
const PURE: &[(&str, &[&str])] = &[
    ("dsm-abi", &["borsh", "serde"]),
    ("dsm-core", &["blake3", "borsh", "dsm-abi", "dsm-evm-proof", "once_cell", "serde", "thiserror"]),
    ("dsm-policy", &["borsh", "dsm-abi", "dsm-policy-macros"]),
    ("dsm-evm-proof", &["borsh", "sha3", "thiserror"]),
    ("dsm-proto", &["blake3", "borsh", "dsm-abi", "dsm-core", "thiserror"]),
];

/// Signatures, key encapsulation, authenticated encryption, key derivation, and where their randomness comes from.
const CRYPTOGRAPHY: &[&str] = &[
    "argon2",
    "aws-lc-rs",
    "aws-lc-sys",
    "chacha20poly1305",
    "ed25519-dalek",
    "getrandom",
    "hkdf",
    "k256",
    "ml-dsa",
    "ml-kem",
    "p256",
    "rand",
    "ring",
    "rsa",
    "rustls",
    "scrypt",
    "secp256k1",
    "sha3",
    "slh-dsa",
    "x25519-dalek",
];

fn is_cryptography(name: &str) -> bool {
    CRYPTOGRAPHY.contains(&name)
        || ["pqcrypto", "aes", "chacha", "fips20"].iter().any(|start| name.starts_with(start))
}

#[test]
fn arrows_run_from_types_to_rules_to_shells() {
    for package in &workspace().packages {
        let row = ARROWS.iter().find(|(name, _)| *name == package.name.as_str());
        let (name, allowed) = row.unwrap_or_else(|| panic!("{} has no place among the rooms", package.name));
        for dependency in dependencies(package, DependencyKind::Normal) {
            let room = dependency.starts_with("dsm-");
            assert!(!room || allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_pure_crates_depend_on_nothing_that_touches_the_world() {
    for (name, allowed) in PURE {
        let found = dependencies(package(name), DependencyKind::Normal);
        let extra: BTreeSet<_> = found.iter().filter(|found| !allowed.contains(found)).collect();
        assert!(extra.is_empty(), "{name} is pure and must not depend on {extra:?}");
        let built = dependencies(package(name), DependencyKind::Build);
        assert!(built.is_empty(), "{name} has a build script's dependencies: {built:?}");
    }
}

#[test]
fn only_dsm_crypto_names_cryptography() {
    let mut named = 0;
    for package in &workspace().packages {
        // Tests and benches of any room may draw randomness; they may not bring their own signatures, but for the
        // contracts': they compare ours with those of another crate.
        let kinds = [DependencyKind::Normal, DependencyKind::Build];
        let direct = kinds.iter().flat_map(|kind| dependencies(package, *kind));
        for dependency in direct.filter(|name| is_cryptography(name)) {
            // TLS is cryptography in use, not a choice of algorithms: what signs and verifies is still dsm-crypto's.
            let transport = package.name.as_str() == "dsm-link" && dependency == "rustls";
            // Keccak-256 is how EVM chains name things: a hash without keys, and no choice of ours.
            let names = package.name.as_str() == "dsm-evm-proof" && dependency == "sha3";
            let allowed = transport || names || package.name == "dsm-crypto";
            assert!(allowed, "{} names {dependency}", package.name);
            named += 1;
        }
    }
    assert!(named > 0, "dsm-crypto names no cryptography: this list is out of date");
}

#[test]
fn only_dsm_link_names_quic_and_tls() {
    for package in &workspace().packages {
        for dependency in all_dependencies(package) {
            let transport =
                ["quinn", "rustls", "tokio-rustls"].iter().any(|name| dependency.starts_with(name));
            assert!(!transport || package.name == "dsm-link", "{} names {dependency}", package.name);
        }
    }
    assert!(all_dependencies(package("dsm-link")).is_superset(&BTreeSet::from(["quinn", "rustls"])));
}

#[test]
fn only_the_host_has_a_wasm_runtime() {
    for package in &workspace().packages {
        for dependency in all_dependencies(package) {
            let runtime = dependency.starts_with("wasmtime") || dependency.starts_with("cranelift");
            let allowed = package.name.as_str() == "dsm-host" && dependency == "wasmtime";
            assert!(!runtime || allowed, "{} names {dependency}", package.name);
        }
    }
    assert!(all_dependencies(package("dsm-host")).contains("wasmtime"));
}

#[test]
fn a_storage_node_runs_no_policy_and_knows_no_core_node() {
    // Tests of its own included: whatever a storage node can do, it can do without the host.
    let found = all_dependencies(package("dsm-storage-node"));
    for room in ["dsm-host", "dsm-policy", "wasmtime", "wasmparser", "wasm-encoder"] {
        assert!(!found.contains(room), "a storage node must not depend on {room}");
    }
}

#[test]
fn the_store_interprets_nothing() {
    let found = all_dependencies(package("dsm-store"));
    let rooms: Vec<_> = found.iter().filter(|name| name.starts_with("dsm-")).collect();
    assert!(rooms.is_empty(), "the store keeps bytes and hashes; it must not know {rooms:?}");
    for codec in ["borsh", "serde", "serde_json", "serde_ipld_dagcbor", "wasmparser", "tokio"] {
        assert!(
            !found.contains(codec),
            "the store keeps bytes; {codec} would interpret them or wait for them"
        );
    }
}

#[test]
fn policies_depend_on_dsm_policy_alone() {
    assert!(policies().packages.len() >= 4, "the standard policies are four");
    for policy in &policies().packages {
        let found = all_dependencies(policy);
        assert_eq!(found, BTreeSet::from(["dsm-policy"]), "{}", policy.name);
    }
}
