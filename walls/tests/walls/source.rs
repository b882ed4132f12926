//! What may not be named where: source is read as tokens, so comments and strings do not count, and test modules
//! are left out.

use crate::project::{folder, package, parse, sources_below};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use syn::visit_mut::{self, VisitMut};

/// Names that bring in a clock, a file, a socket, a thread, randomness, an executor, JSON or a float.
const IMPURE: &[&str] = &[
    "std",
    "tokio",
    "rand",
    "getrandom",
    "SystemTime",
    "Instant",
    "async",
    "await",
    "serde_json",
    "thread_local",
    "f32",
    "f64",
];

/// Where wasmtime may be named.
const RUNTIME: &str = "host/src/engine/runtime.rs";

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg") && list.is_ok_and(|list| list.tokens.to_string() == "test"))
    })
}

/// Takes items that exist only in tests out of a file.
struct WithoutTests;

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !is_test_only(attributes(item)));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_test_only(attributes(item)));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        _ => &[],
    }
}

/// The identifiers in a file outside its tests, keywords included.
fn names(mut file: syn::File) -> BTreeSet<String> {
    WithoutTests.visit_file_mut(&mut file);
    let mut found = BTreeSet::new();
    collect(file.into_token_stream(), &mut found);
    found
}

fn collect(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                found.insert(name.to_string());
            }
            TokenTree::Group(group) => collect(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn is_no_std(file: &syn::File) -> bool {
    file.attrs.iter().any(|attribute| attribute.to_token_stream().to_string().contains("no_std"))
}

#[test]
fn the_pure_crates_name_no_clock_file_socket_thread_randomness_executor_or_float() {
    let pure = [
        ("dsm-abi", "sdk/abi/src"),
        ("dsm-core", "sdk/core/src"),
        ("dsm-proto", "storage-node/proto/src"),
        ("dsm-evm-proof", "bridge/evm-proof/src"),
    ];
    for (name, source) in pure {
        assert!(folder(package(name)).join("src").ends_with(source));
        assert!(is_no_std(&parse(&Path::new(source).join("lib.rs"))), "{name} is not no_std");
        for (path, file) in sources_below(source) {
            let found = names(file);
            let impure: Vec<_> = IMPURE.iter().filter(|name| found.contains(**name)).collect();
            assert!(impure.is_empty(), "{} is pure and names {impure:?}", path.display());
        }
    }
}

#[test]
fn wasmtime_is_named_in_one_module() {
    let mut named = BTreeSet::new();
    for folder in ["host", "sdk", "storage-node", "benches"] {
        for (path, file) in sources_below(folder) {
            let uses = names(file).contains("wasmtime");
            named.extend(uses.then_some(path));
        }
    }
    assert_eq!(named, BTreeSet::from([PathBuf::from(RUNTIME)]));
}

#[test]
fn only_the_demonstration_has_storage_nodes() {
    let named: BTreeSet<PathBuf> = sources_below("host/src")
        .into_iter()
        .filter(|(_, file)| names(file.clone()).contains("dsm_storage_node"))
        .map(|(path, _)| path)
        .collect();
    assert!(!named.is_empty(), "this test reads the wrong files");
    for path in named {
        assert!(path.starts_with("host/src/demo"), "{} names the storage node", path.display());
    }
}

#[test]
fn only_the_bridge_s_verbs_and_demonstration_know_it() {
    let rooms = ["dsm_bridge", "dsm_contracts", "dsm_qbft_shim"];
    let places =
        ["host/src/cli/bridge", "host/src/cli/bridge.rs", "host/src/demo/bridge", "host/src/demo/bridge.rs"];
    let mut named = 0;
    for (path, file) in sources_below("host/src") {
        let found = names(file);
        if let Some(room) = rooms.iter().find(|room| found.contains(**room)) {
            let here = places.iter().any(|place| path.starts_with(place));
            assert!(here, "{} names {room}", path.display());
            named += 1;
        }
    }
    assert!(named > 0, "this test reads the wrong files");
}

#[test]
fn modules_are_read_as_wasm_only_in_the_engine() {
    for (path, file) in sources_below("host/src") {
        let found = names(file);
        let reads = found.contains("wasmparser") || found.contains("wasm_encoder");
        assert!(!reads || path.starts_with("host/src/engine"), "{} reads modules", path.display());
    }
}

#[test]
fn unsafe_code_stands_in_two_places() {
    // A policy's exports and imports are raw pointers by nature. Loading compiled code is a matter of trust in who
    // compiled it, which wasmtime calls unsafe. Nothing else of ours is.
    let allowed = [Path::new("sdk/policy"), Path::new(RUNTIME)];
    for folder in ["host", "sdk", "storage-node", "benches", "policies"] {
        for (path, file) in sources_below(folder) {
            let found = names(file);
            let blocks = found.contains("unsafe");
            let here = allowed.iter().any(|place| path.starts_with(place));
            assert!(!blocks || here, "{} has unsafe code", path.display());
        }
    }
}

#[test]
fn the_scan_sees_names_and_overlooks_comments_strings_and_tests() {
    let text = "//! std\nfn a() { b(\"tokio\"); { rand::c() } }\n#[cfg(test)] mod tests { use std::fs; }";
    let found = names(syn::parse_file(text).unwrap());
    assert!(found.contains("rand"));
    assert!(!found.contains("std") && !found.contains("tokio"));
}

/// The fields that events of a stream of tokens name: `a` and `b.c` in `warn!(a, %b.c = d, "…")`.
fn event_fields(tokens: TokenStream, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let before: Vec<String> = tokens[at.saturating_sub(2)..at].iter().map(ToString::to_string).collect();
        let is_event = before.get(1).is_some_and(|mark| mark == "!")
            && ["trace", "debug", "info", "warn", "error", "event"].contains(&before[0].as_str());
        if is_event {
            let inside: Vec<TokenTree> = group.stream().into_iter().collect();
            for argument in inside.split(|token| token.to_string() == ",") {
                let name =
                    argument.iter().skip_while(|token| ["%", "?"].contains(&token.to_string().as_str()));
                let name: Vec<String> =
                    name.map(ToString::to_string).take_while(|word| word != "=").collect();
                let is_name = |word: &String| word == "." || syn::parse_str::<syn::Ident>(word).is_ok();
                found.extend(name.iter().all(is_name).then(|| name.concat()).filter(|name| !name.is_empty()));
            }
        }
        event_fields(group.stream(), found);
    }
}

#[test]
fn no_event_has_a_field_that_the_line_has_of_itself() {
    let line = parse(Path::new("sdk/logs/src/line.rs"));
    let own = line.items.iter().find_map(|item| match item {
        syn::Item::Const(item) if item.ident == "OWN" => Some(item.expr.to_token_stream().to_string()),
        _ => None,
    });
    let own: BTreeSet<String> =
        own.expect("the names stand there").split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(own.contains("level") && own.contains("request"), "{own:?}");
    let mut all = BTreeSet::new();
    for folder in ["host", "sdk", "storage-node", "bridge"] {
        for (path, file) in sources_below(folder) {
            let mut found = BTreeSet::new();
            event_fields(file.into_token_stream(), &mut found);
            let both: Vec<_> = own.intersection(&found).collect();
            assert!(
                both.is_empty(),
                "{}: {both:?} would stand in the line as `{}_`",
                path.display(),
                both[0]
            );
            all.append(&mut found);
        }
    }
    assert!(all.contains("error") && all.contains("log_level"), "the scan overlooks fields: {all:?}");
}

#[test]
fn the_scan_for_fields_sees_all_ways_to_name_one() {
    let text = "fn a() { tracing::warn!(%level, ?time, file = %b.c, b.c = 1, \"{}\", \"x\"); if d { info!(request) } }";
    let mut found = BTreeSet::new();
    event_fields(syn::parse_str(text).unwrap(), &mut found);
    assert_eq!(found, ["b.c", "file", "level", "request", "time"].map(str::to_owned).into());
}
