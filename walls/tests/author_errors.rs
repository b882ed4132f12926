//! What an author of a policy is told, and where: source with one mistake each, and beside the mistake the message
//! that must stand at that line.
//!
//! The macros' own files are compiled into this program, because only outside of a compiler do tokens know their
//! lines. Each row is the text of a small file; a line that ends in `//~ WORDS` must have an error that contains the
//! words, and no other line may have one.

#[path = "../../sdk/policy/macros/src/check.rs"]
mod check;
#[path = "../../sdk/policy/macros/src/denials.rs"]
mod denials;
#[path = "../../sdk/policy/macros/src/docs.rs"]
mod docs;
#[path = "../../sdk/policy/macros/src/params.rs"]
mod params;
#[path = "../../sdk/policy/macros/src/policy.rs"]
mod policy;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use std::path::Path;
use syn::{Attribute, Item};

/// What the macros say of a file: lines, counted from one, with their messages; or the expanded code.
fn expand(source: &str) -> Result<Vec<TokenStream>, Vec<(usize, String)>> {
    let file = syn::parse_file(source).expect("a row is Rust as far as its form goes");
    let (mut expanded, mut findings) = (Vec::new(), Vec::new());
    for item in file.items {
        let outcome = match item {
            Item::Impl(mut item) => {
                let attribute = item.attrs.remove(0);
                policy::expand(arguments(&attribute), item.to_token_stream())
            }
            Item::Enum(item) => denials::expand(item.to_token_stream()),
            Item::Struct(item) => params::expand(item.to_token_stream()),
            _ => continue,
        };
        match outcome {
            Ok(tokens) => expanded.push(tokens),
            Err(error) => {
                findings.extend(error.into_iter().map(|one| (one.span().start().line, one.to_string())));
            }
        }
    }
    if findings.is_empty() { Ok(expanded) } else { Err(findings) }
}

fn arguments(attribute: &Attribute) -> TokenStream {
    attribute.meta.require_list().expect("`#[policy(...)]`").tokens.clone()
}

/// The lines that a row marks, with the words that must stand there.
fn marked(source: &str) -> Vec<(usize, &str)> {
    let lines = source.lines().enumerate();
    lines.filter_map(|(at, line)| Some((at + 1, line.split_once("//~ ")?.1.trim()))).collect()
}

/// A policy with nothing wrong, in which each row makes one mistake.
const GOOD: &str = r#"
#[policy(name = "limit", summary = "Limits every transfer.", denials = Denied, evidence = [OracleRound],
         foreign = [(rates, 0)])]
impl Limit {
    fn create(&self, _: &mut Context<'_>) -> Outcome {
        Ok(())
    }
    fn transfer(&self, context: &mut Context<'_>, transfer: Transfer) -> Outcome {
        let pair = ((1_u8, 2_u8), 0xE5_u64);
        let _ = pair.0.1 + 5_u8;
        let median = context.rounds().next().and_then(|round| round.median());
        let rate = context.foreign_get::<u128>(0, b"r");
        self.enough(context, median, rate)
    }
    fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome {
        self.enough(context, None, None)
    }
    fn bystander(&self, _: &mut Context<'_>, _: Invoke<'_>) -> Outcome {
        Ok(())
    }
    fn upgrade(&self, _: &mut Context<'_>, _: Upgrade) -> Outcome {
        Ok(())
    }
    fn enough(&self, context: &mut Context<'_>, _: Option<i128>, _: Option<u128>) -> Outcome {
        Ok(())
    }
    /// Ends it.
    #[method]
    fn end(&self, context: &mut Context<'_>, account: AccountId) -> Outcome {
        Ok(())
    }
    /// What is left.
    #[query]
    fn left(&self, view: &View<'_>) -> Fields {
        Fields::new()
    }
}

#[derive(Clone, Copy, Denials)]
enum Denied {
    /// Too much.
    OverLimit = 100,
    /// Too late.
    Late = 101,
}

#[derive(Params)]
struct Limit {
    /// Base units.
    max: u128,
    /// The feed.
    rates: TokenId,
}
"#;

#[test]
fn a_policy_without_mistakes_expands() {
    assert_eq!(expand(GOOD).unwrap().len(), 3);
    assert_eq!(expand("#[derive(Params)] struct Nothing;").unwrap().len(), 1);
}

/// A name, the line of [`GOOD`] that is replaced (as it begins, without indentation), and what stands there instead.
const ROWS: &[(&str, &str, &str)] = &[
    (
        "a float in a method's signature",
        "fn end(",
        "fn end(&self, c: &mut Context<'_>, share: f64) -> Outcome { //~ floats do not pass the gate: amounts are `u128`",
    ),
    (
        "a float in an answer",
        "fn left(",
        "fn left(&self, view: &View<'_>) -> f32 { //~ floats do not pass the gate",
    ),
    ("a float in the code", "let _ = pair", "let _ = amount as f64; //~ floats do not pass the gate"),
    ("a float as a number", "let _ = pair", "let _ = 1.5; //~ `math::mul_div` says how it rounds"),
    ("a float with an exponent", "let _ = pair", "let _ = check(&[1e3]); //~ floats do not pass the gate"),
    ("a float as a parameter", "max: u128,", "max: f64, //~ floats do not pass the gate"),
    (
        "an action with a typing error",
        "fn hold(",
        "fn hodl(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome { //~ `hodl` is no action, and nothing calls it: is it `hold`?",
    ),
    (
        "an action in another tense",
        "fn hold(",
        "fn holds(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome { //~ is it `hold`?",
    ),
    (
        "a successor with a typing error",
        "fn upgrade(",
        "fn upgraded(&self, _: &mut Context<'_>, _: Upgrade) -> Outcome { //~ is it `upgrade`?",
    ),
    (
        "a successor that is not told whom it replaces",
        "fn upgrade(",
        "fn upgrade(&self, _: &mut Context<'_>) -> Outcome { //~ `fn upgrade(&self, context: &mut Context<'_>, upgrade: Upgrade) -> Outcome`",
    ),
    (
        "a method without its mark",
        "#[method]",
        "\n    fn pause(&self, context: &mut Context<'_>) -> Outcome { Ok(()) } //~ put `#[method]` on it\n    /// Ends it.\n    #[method]",
    ),
    (
        "an action shown a number",
        "fn hold(",
        "fn hold(&self, context: &mut Context<'_>, amount: u128) -> Outcome { //~ `hold` is shown a `NewHold`",
    ),
    (
        "an action shown another's",
        "fn hold(",
        "fn hold(&self, context: &mut Context<'_>, hold: Transfer) -> Outcome { //~ `hold` is shown a `NewHold`",
    ),
    (
        "an action shown nothing",
        "fn hold(",
        "fn hold(&self, context: &mut Context<'_>) -> Outcome { //~ an action is judged by `fn hold(&self, context: &mut Context<'_>, hold: NewHold) -> Outcome`",
    ),
    (
        "an action shown too much",
        "fn create(",
        "fn create(&self, _: &mut Context<'_>, _: Mint) -> Outcome { //~ `fn create(&self, context: &mut Context<'_>) -> Outcome`",
    ),
    (
        "an action without `&self`",
        "fn hold(",
        "fn hold(context: &mut Context<'_>, hold: NewHold) -> Outcome { //~ the first argument is `&self`: the token's parameters",
    ),
    (
        "a method without `&self`",
        "fn end(",
        "fn end(context: &mut Context<'_>, account: AccountId) -> Outcome { //~ the first argument is `&self`",
    ),
    (
        "a method that takes its parameters",
        "fn end(",
        "fn end(self, context: &mut Context<'_>) -> Outcome { //~ the first argument is `&self`",
    ),
    (
        "a method without a context",
        "fn end(",
        "fn end(&self) -> Outcome { //~ the second argument is `&mut Context<'_>`",
    ),
    (
        "a method that has its arguments first",
        "fn end(",
        "fn end(&self, account: AccountId, c: &mut Context<'_>) -> Outcome { //~ the second argument is `&mut Context<'_>`",
    ),
    (
        "a query with a context",
        "fn left(",
        "fn left(&self, c: &mut Context<'_>) -> Fields { //~ the second argument is `&View<'_>`",
    ),
    (
        "an argument without a name",
        "fn end(",
        "fn end(&self, c: &mut Context<'_>, (a, b): (u64, u64)) -> Outcome { //~ arguments need plain names",
    ),
    ("a method without a word about it", "/// Ends it.", "\n\n//~^^"),
    (
        "a method that is a query too",
        "#[query]",
        "#[query] #[method]\n    // beside its name, as the next line has it:",
    ),
    (
        "a policy without denials",
        "#[policy(",
        "#[policy(name = \"limit\", summary = \"s\", //~ a policy needs `denials = ...`\n evidence = [OracleRound],",
    ),
    (
        "a policy without a name",
        "#[policy(",
        "#[policy(summary = \"s\", denials = Denied, //~ a policy needs `name = ...`\n evidence = [OracleRound],",
    ),
    (
        "an unknown word in the attribute",
        "#[policy(",
        "#[policy(name = \"limit\", summary = \"s\", denials = Denied, evidence = [OracleRound],\n denial = Denied, //~ known here: name, summary, version, denials, evidence, foreign\n",
    ),
    (
        "an unknown kind of evidence",
        "#[policy(",
        "#[policy(name = \"limit\", summary = \"s\", denials = Denied,\n evidence = [OracleRound,\n Oracle], //~ `Oracle` is no kind of evidence: Credential, HashPreimage, Attestation, BridgeProof, OracleRound\n",
    ),
    (
        "evidence that is not declared",
        "let _ = pair",
        "let _ = context.credentials().count(); //~ add `evidence = [Credential]` to `#[policy(...)]`",
    ),
    (
        "a foreign read that is not declared",
        "let _ = pair",
        "let _ = context.foreign_get::<u64>(1, b\"r\"); //~ the policy declares 1 foreign reads, so there is none at position 1",
    ),
    (
        "a foreign balance that is not declared",
        "let _ = pair",
        "let _ = check(context.foreign_balance(7, account)); //~ there is none at position 7",
    ),
    ("a code twice", "Late = 101,", "Late = 100, //~ code 100 is already that of `OverLimit`"),
    ("a code of the SDK", "Late = 101,", "Late = 99, //~ codes below 100 belong to dsm-policy itself"),
    ("no code", "Late = 101,", "Late, //~ a denial needs its stable code, such as `Paused = 100`"),
    (
        "a code that is computed",
        "Late = 101,",
        "Late = 100 + 1, //~ a code is a number, so that it never changes by itself",
    ),
    ("a code beyond 16 bits", "Late = 101,", "Late = 70_000, //~ number too large"),
    (
        "a denial with a field",
        "Late = 101,",
        "Late(u64), //~ a denial has no fields; give its details with `.because(...)`",
    ),
    ("a denial that says nothing", "/// Too late.", "\n\n//~^^"),
    ("a parameter that says nothing", "/// Base units.", "\n\n//~^^"),
];

/// Rows whose mistake is what is missing on the line after: the line that begins so, and the words.
const MISSING: &[(&str, &str, &str)] = &[
    ("a method without a word about it", "fn end(", "a method needs a doc comment"),
    ("a method that is a query too", "fn left(", "either a method or a query, not both"),
    ("a denial that says nothing", "Late = 101,", "a denial needs a doc comment"),
    ("a parameter that says nothing", "max: u128,", "a parameter needs a doc comment"),
];

#[test]
fn each_mistake_has_one_message_at_its_own_line() {
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    for (name, replaced, by) in ROWS {
        assert!(names.insert(name), "{name}");
        let line = GOOD.lines().find(|line| line.trim_start().starts_with(replaced));
        let line = line.unwrap_or_else(|| panic!("{name}: no line begins with {replaced}"));
        // The attribute of the policy goes over two lines.
        let tail = if *replaced == "#[policy(" { "foreign = [(rates, 0)])]" } else { "" };
        let whole = match tail {
            "" => line.to_owned(),
            tail => format!("{line}\n         {tail}"),
        };
        let by = by.replace("//~^^", "");
        let source = GOOD.replacen(&whole, &format!("{by}{tail}"), 1);
        assert_ne!(source, GOOD, "{name}");
        let mut expected = marked(&source);
        for (_, begins, words) in MISSING.iter().filter(|(row, ..)| row == name) {
            let at = source.lines().position(|line| line.trim_start().starts_with(begins));
            expected.push((at.unwrap_or_else(|| panic!("{name}: {begins}")) + 1, words));
        }
        assert_eq!(expected.len(), 1, "{name}");
        let found = expand(&source).err().unwrap_or_default();
        let agree = found.len() == 1 && found[0].0 == expected[0].0 && found[0].1.contains(expected[0].1);
        if !agree {
            wrong.push(format!("{name}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Beside a mistake the author's functions stay, so that no import of theirs is called unused.
#[test]
fn a_mistake_takes_nothing_away() {
    let file = syn::parse_file(GOOD).unwrap();
    let Some(Item::Impl(mut item)) = file.items.into_iter().next() else { panic!("`impl` comes first") };
    item.attrs.clear();
    let kept = policy::unmarked(item.to_token_stream());
    let kept: syn::ItemImpl = syn::parse2(kept).unwrap();
    let names = |item: &syn::ItemImpl| -> Vec<String> {
        let functions = item.items.iter().filter_map(|item| match item {
            syn::ImplItem::Fn(function) => Some(function.sig.ident.to_string()),
            _ => None,
        });
        functions.collect()
    };
    assert_eq!(names(&kept), names(&item));
    let text = kept.to_token_stream().to_string();
    assert!(!text.contains("[method]") && !text.contains("[query]") && text.contains("Ends it"), "{text}");
    assert!(policy::unmarked("struct Nothing;".parse().unwrap()).is_empty());
}

/// All mistakes of one block are told at once.
#[test]
fn mistakes_do_not_hide_each_other() {
    let source = GOOD
        .replace("fn hold(", "fn hodl(")
        .replace("evidence = [OracleRound]", "evidence = [Rounds]")
        .replace("let _ = pair.0.1 + 5_u8;", "let _ = 0.5;")
        .replace("OverLimit = 100", "OverLimit = 7")
        .replace("Late = 101", "Late");
    let found = expand(&source).unwrap_err();
    let words =
        ["no kind of evidence", "floats do not pass", "is it `hold`?", "declared kinds only", "below 100"];
    for words in words.into_iter().chain(["needs its stable code"]) {
        assert!(found.iter().any(|(_, message)| message.contains(words)), "{words}: {found:?}");
    }
    assert_eq!(found.len(), 6, "{found:?}");
}

/// What only the compiler can know, a type that does not cross the boundary or a parameter that is not there, it is
/// asked at the author's own line.
#[test]
fn what_the_compiler_checks_stands_at_the_authors_line() {
    type Row = (&'static str, &'static str, &'static str, &'static str);
    let rows: [Row; 5] = [
        ("a method's argument of a wrong type", "account: AccountId", "account: u32", "Typed"),
        ("a parameter of a wrong type", "max: u128", "max: Vec<u64>", "Typed"),
        ("a foreign read of a parameter that is not there", "(rates, 0)", "(prices, 0)", "prices"),
        ("a query that answers a number", "-> Fields {", "-> u64 {", "IntoFields"),
        ("a method that answers nothing", "AccountId) -> Outcome", "AccountId) -> bool", "end"),
    ];
    for (name, from, to, asked) in rows {
        let source = GOOD.replacen(from, to, 1);
        assert_ne!(source, GOOD, "{name}");
        let line = source.lines().position(|line| line.contains(to)).unwrap() + 1;
        let expanded = expand(&source).unwrap();
        let asked_there = expanded.into_iter().any(|tokens| {
            // The author's own code comes first; what is asked of the compiler stands in the generated rest.
            let generated = tokens.into_iter().skip_while(|token| !is_block(token)).skip(1).collect();
            stands(generated, asked, line)
        });
        assert!(asked_there, "{name}: `{asked}` at line {line}\n{source}");
    }
}

fn is_block(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace)
        || matches!(token, TokenTree::Ident(ident) if ident == "Params")
}

fn stands(tokens: TokenStream, word: &str, line: usize) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => stands(group.stream(), word, line),
        TokenTree::Ident(ident) => ident == word && ident.span().start().line == line,
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The macros cannot ask the interface for its kinds of evidence: this test does.
#[test]
fn the_macros_know_every_kind_of_evidence() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/abi/src/describe.rs");
    let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
    let kinds = file.items.iter().find_map(|item| match item {
        Item::Enum(item) if item.ident == "EvidenceKind" => Some(item),
        _ => None,
    });
    let kinds: Vec<String> = kinds.unwrap().variants.iter().map(|kind| kind.ident.to_string()).collect();
    assert_eq!(kinds, check::EVIDENCE.map(|(kind, _)| kind));
}
