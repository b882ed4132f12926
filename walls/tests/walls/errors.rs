//! Every stable code of an error is a line of `host/ERRORS.md`, and every line is a code.
//!
//! Codes are what programs branch on. They are collected from the source itself: the strings in each `fn code` that
//! returns a string, and the codes given to those who make problems and failures.

use crate::project::{parse, read, root, sources_below};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::visit::{self, Visit};

/// Functions that are given a code, with the position of that argument and their names from the last.
const MAKERS: &[(usize, [&str; 2])] = &[
    (2, ["new", "Problem"]),
    (1, ["new", "Failure"]),
    (0, ["refused", "Failure"]),
    (0, ["integrity", "Failure"]),
    (0, ["coded", "Failure"]),
];

const DOCUMENT: &str = "host/ERRORS.md";
/// Where `status_of` gives each code its HTTP status.
const STATUSES: &str = "host/src/api/problem.rs";

/// The codes in one file.
#[derive(Default)]
struct Codes(BTreeSet<String>);

/// All strings in a piece of source.
struct Strings<'s>(&'s mut BTreeSet<String>);

impl<'a> Visit<'a> for Strings<'_> {
    fn visit_lit_str(&mut self, text: &'a syn::LitStr) {
        self.0.insert(text.value());
    }
}

impl Codes {
    fn add_all(&mut self, block: &syn::Block) {
        Strings(&mut self.0).visit_block(block);
    }

    fn add_pattern(&mut self, pattern: &syn::Pat) {
        Strings(&mut self.0).visit_pat(pattern);
    }
}

fn returns_text(signature: &syn::Signature) -> bool {
    match &signature.output {
        syn::ReturnType::Type(_, kind) => match kind.as_ref() {
            syn::Type::Reference(to) => {
                matches!(&*to.elem, syn::Type::Path(path) if path.path.is_ident("str"))
            }
            _ => false,
        },
        syn::ReturnType::Default => false,
    }
}

impl<'a> Visit<'a> for Codes {
    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        if function.sig.ident == "code" && returns_text(&function.sig) {
            self.add_all(&function.block);
        }
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        if call.method == "with_code"
            && let Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(code), .. })) = call.args.first()
        {
            self.0.insert(code.value());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        let position = match &*call.func {
            syn::Expr::Path(path) => {
                let names = path.path.segments.iter().rev().take(2).map(|segment| segment.ident.to_string());
                MAKERS.iter().find(|(_, maker)| names.clone().eq(maker.iter().copied())).map(|(at, _)| *at)
            }
            _ => None,
        };
        if let Some(position) = position
            && let Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(code), .. })) =
                call.args.iter().nth(position)
        {
            self.0.insert(code.value());
        }
        visit::visit_expr_call(self, call);
    }
}

fn codes_in_source() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for folder in ["host/src", "host/gateway", "storage-node/link/src/https.rs", "sdk"] {
        let ours = sources_below(folder).into_iter();
        let ours = ours.filter(|(path, _)| path.components().any(|part| part.as_os_str() == "src"));
        for (path, file) in ours.filter(|(path, _)| !path.starts_with("sdk/policy")) {
            let mut codes = Codes::default();
            codes.visit_file(&file);
            all.extend(codes.0.into_iter().map(|code| (code, path.display().to_string())));
        }
    }
    all
}

/// The first cell of each row of the document's tables: a code in backticks.
fn codes_in_document() -> Vec<String> {
    let text = read(&root().join(DOCUMENT));
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(code, _)| code.to_owned()).collect()
}

#[test]
fn every_code_is_documented_and_every_documented_code_exists() {
    let source = codes_in_source();
    assert!(source.len() > 80, "only {} codes found: this test reads the wrong files", source.len());
    let document = codes_in_document();
    let documented: BTreeSet<&String> = document.iter().collect();
    let missing: Vec<_> = source.iter().filter(|(code, _)| !documented.contains(code)).collect();
    assert!(missing.is_empty(), "{DOCUMENT} has no row for {missing:#?}");
    let extra: Vec<_> = documented.iter().filter(|code| !source.contains_key(**code)).collect();
    assert!(extra.is_empty(), "{DOCUMENT} has rows for codes that do not exist: {extra:#?}");
    assert_eq!(document.len(), documented.len(), "{DOCUMENT} has a code twice");
}

#[test]
fn codes_are_words_that_programs_can_rely_on() {
    for (code, path) in codes_in_source() {
        let plain =
            code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(plain && !code.is_empty(), "{path}: {code:?}");
    }
}

#[test]
fn the_rows_are_complete() {
    let text = read(&root().join(Path::new(DOCUMENT)));
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
}

/// The arms of `status_of`: for each code its status by name, and the status of all others.
#[derive(Default)]
struct Statuses {
    codes: BTreeMap<String, String>,
    others: Option<String>,
}

impl<'a> Visit<'a> for Statuses {
    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        if function.sig.ident == "status_of" {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_impl(&mut self, _: &'a syn::ItemImpl) {}

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        let syn::Expr::Path(status) = &*arm.body else { panic!("an arm of status_of names a status") };
        let status = status.path.segments.last().expect("a path has an end").ident.to_string();
        let mut codes = Codes::default();
        if matches!(arm.pat, syn::Pat::Wild(_)) {
            self.others = Some(status);
        } else {
            codes.add_pattern(&arm.pat);
            self.codes.extend(codes.0.into_iter().map(|code| (code, status.clone())));
        }
    }
}

fn status_number(name: &str) -> &'static str {
    match name {
        "BAD_REQUEST" => "400",
        "NOT_FOUND" => "404",
        "METHOD_NOT_ALLOWED" => "405",
        "REQUEST_TIMEOUT" => "408",
        "CONFLICT" => "409",
        "PAYLOAD_TOO_LARGE" => "413",
        "UNSUPPORTED_MEDIA_TYPE" => "415",
        "UNPROCESSABLE_ENTITY" => "422",
        "TOO_MANY_REQUESTS" => "429",
        "INTERNAL_SERVER_ERROR" => "500",
        "SERVICE_UNAVAILABLE" => "503",
        "INSUFFICIENT_STORAGE" => "507",
        other => panic!("{other} is not in this table"),
    }
}

#[test]
fn the_documented_statuses_are_those_of_the_api() {
    let mut statuses = Statuses::default();
    statuses.visit_file(&parse(Path::new(STATUSES)));
    let others = statuses.others.expect("status_of has an arm for all others");
    assert!(statuses.codes.len() > 10, "{STATUSES} has another shape than this test reads");
    // Codes of requests are given their status where they arise; their rows stand in a section of their own.
    let text = read(&root().join(DOCUMENT));
    let sections = text.split("\n## ").filter(|section| !section.starts_with("Requests"));
    for row in sections.flat_map(str::lines).filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (code, status) = (cells[0].trim_matches('`'), cells[2]);
        let expected = statuses.codes.get(code).unwrap_or(&others);
        assert!(status == "–" || status == status_number(expected), "{row}: the API answers {expected}");
        assert!(status != "–" || !statuses.codes.contains_key(code), "{row}: the API answers {expected}");
    }
}
