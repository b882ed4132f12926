//! What an author writes by mistake and the compiler alone would not see, or would show at another place: every
//! finding at once, each at the author's own words.

use crate::policy::{ACTIONS, Header};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, ImplItem, ImplItemFn, ItemImpl, Pat, ReceiverKind, Result, ReturnType, Type, Visibility,
};

/// The kinds of evidence, each with the function of `Context` that gives it.
pub(crate) const EVIDENCE: [(&str, &str); 5] = [
    ("Credential", "credentials"),
    ("HashPreimage", "preimages"),
    ("Attestation", "attestations"),
    ("BridgeProof", "locks"),
    ("OracleRound", "rounds"),
];

/// Types that stand where an action's own type belongs, and are certainly not it.
const NEVER_AN_ACTION: [&str; 12] =
    ["bool", "u8", "u16", "u32", "u64", "u128", "i128", "String", "AccountId", "TokenId", "Digest", "Vec"];

/// What is wrong with a policy as written.
///
/// # Errors
/// All findings, combined.
pub(crate) fn check(header: &Header, item: &ItemImpl) -> Result<()> {
    let mut findings = Vec::new();
    for kind in &header.evidence {
        if !EVIDENCE.iter().any(|(known, _)| kind == known) {
            let known = EVIDENCE.map(|(known, _)| known).join(", ");
            findings.push(Error::new(kind.span(), format!("`{kind}` is no kind of evidence: {known}")));
        }
    }
    floats(item.to_token_stream(), &mut findings);
    let functions: Vec<&ImplItemFn> = item
        .items
        .iter()
        .filter_map(|item| match item {
            ImplItem::Fn(function) => Some(function),
            _ => None,
        })
        .collect();
    for function in &functions {
        if let Some(expected) = action(function) {
            judges(function, expected, &mut findings);
        } else if is_forgotten(function, &functions) {
            findings.push(forgotten(&function.sig.ident));
        }
        undeclared(header, function, &mut findings);
    }
    all(findings)
}

/// One error of many.
pub(crate) fn all(findings: Vec<Error>) -> Result<()> {
    let combined = findings.into_iter().reduce(|mut first, next| {
        first.combine(next);
        first
    });
    combined.map_or(Ok(()), Err)
}

/// Finds floats: types by their names, and literals that are not the two indices of `pair.0.1`.
pub(crate) fn floats(tokens: TokenStream, findings: &mut Vec<Error>) {
    let mut after_dot = false;
    for token in tokens {
        let float = match &token {
            TokenTree::Group(group) => {
                floats(group.stream(), findings);
                false
            }
            TokenTree::Ident(ident) => ident == "f32" || ident == "f64",
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                !after_dot && text.starts_with(|first: char| first.is_ascii_digit()) && is_float(&text)
            }
            TokenTree::Punct(_) => false,
        };
        if float {
            let why = "floats do not pass the gate: amounts are `u128` base units, other quantities `i128`, and \
                       `math::mul_div` says how it rounds";
            findings.push(Error::new(token.span(), why));
        }
        after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
    }
}

fn is_float(literal: &str) -> bool {
    let other_base = ["0x", "0b", "0o"].iter().any(|prefix| literal.starts_with(prefix));
    !other_base
        && (literal.contains(['.', 'e', 'E']) || literal.ends_with("f32") || literal.ends_with("f64"))
        && !literal.ends_with("size")
}

/// The type that the function's third argument must have, if it is named like an action; `""` if it has none.
fn action(function: &ImplItemFn) -> Option<&'static str> {
    let name = function.sig.ident.to_string();
    match name.as_str() {
        "bystander" => Some("Invoke"),
        "hold" => Some("NewHold"),
        "create" => Some(""),
        _ => ACTIONS.iter().find(|(action, ..)| *action == name).map(|(_, variant, _)| *variant),
    }
}

/// Checks the arguments of a function that judges an action.
fn judges(function: &ImplItemFn, expected: &str, findings: &mut Vec<Error>) {
    let name = &function.sig.ident;
    if function.attrs.iter().any(|one| one.path().is_ident("method") || one.path().is_ident("query")) {
        return;
    }
    let inputs: Vec<&FnArg> = function.sig.inputs.iter().collect();
    let form = match expected {
        "" => format!("`fn {name}(&self, context: &mut Context<'_>) -> Outcome`"),
        expected => format!("`fn {name}(&self, context: &mut Context<'_>, {name}: {expected}) -> Outcome`"),
    };
    let borrows_self = matches!(inputs.first(), Some(FnArg::Receiver(receiver))
        if matches!(receiver.kind, ReceiverKind::Reference(..)));
    if !borrows_self {
        let why = format!("the first argument is `&self`: the token's parameters; {form}");
        findings.push(Error::new(name.span(), why));
    } else if inputs.len() != if expected.is_empty() { 2 } else { 3 } {
        findings.push(Error::new(name.span(), format!("an action is judged by {form}")));
    } else if let Some(FnArg::Typed(argument)) = inputs.get(2)
        && let Some(found) = last_segment(&argument.ty)
        && found != expected
        && (is_leg(&found) || NEVER_AN_ACTION.contains(&found.as_str()))
    {
        findings.push(Error::new(argument.ty.span(), format!("`{name}` is shown a `{expected}`: {form}")));
    }
}

fn is_leg(name: &str) -> bool {
    name == "NewHold" || name == "Invoke" || ACTIONS.iter().any(|(_, variant, _)| *variant == name)
}

/// The last word of a path type, through references.
pub(crate) fn last_segment(value_type: &Type) -> Option<String> {
    match value_type {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Reference(reference) => last_segment(&reference.elem),
        _ => None,
    }
}

/// Whether a private function that is shown a `Context` to change is reached by nothing: an action with a typing
/// error, or a method without `#[method]`.
fn is_forgotten(function: &ImplItemFn, functions: &[&ImplItemFn]) -> bool {
    let is_marked = |name: &str| function.attrs.iter().any(|attribute| attribute.path().is_ident(name));
    let changes = function.sig.inputs.iter().any(|input| match input {
        FnArg::Typed(argument) => matches!(&*argument.ty, Type::Reference(reference)
            if reference.mutability.is_some() && last_segment(&reference.elem).as_deref() == Some("Context")),
        FnArg::Receiver(_) => false,
    });
    let private = matches!(function.vis, Visibility::Inherited);
    let has_self = matches!(function.sig.inputs.first(), Some(FnArg::Receiver(_)));
    private
        && has_self
        && changes
        && !["method", "query", "allow", "expect", "cfg"].iter().any(|name| is_marked(name))
        && !functions.iter().any(|other| mentions(other.block.to_token_stream(), &function.sig.ident))
}

fn mentions(tokens: TokenStream, name: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

fn forgotten(name: &Ident) -> Error {
    let near = ACTIONS.iter().map(|(action, ..)| *action).chain(["bystander"]);
    let near = near.map(|action| (distance(action, &name.to_string()), action)).min();
    let why = match near {
        Some((0..=2, action)) => format!("`{name}` is no action, and nothing calls it: is it `{action}`?"),
        _ => {
            format!(
                "`{name}` is no action, and nothing calls it: put `#[method]` on it to have `Invoke` reach it"
            )
        }
    };
    Error::new(name.span(), why)
}

/// How many letters have to be put in, left out or changed to get from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, against) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(letter != against);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Finds questions to the context that the policy does not declare: evidence that the host then never shows, and
/// foreign reads that are a fault.
fn undeclared(header: &Header, function: &ImplItemFn, findings: &mut Vec<Error>) {
    let contexts: BTreeSet<String> = function
        .sig
        .inputs
        .iter()
        .filter_map(|input| match input {
            FnArg::Typed(argument) if last_segment(&argument.ty).as_deref() == Some("Context") => {
                match &*argument.pat {
                    Pat::Ident(pattern) => Some(pattern.ident.to_string()),
                    _ => None,
                }
            }
            _ => None,
        })
        .collect();
    calls(function.block.to_token_stream(), &contexts, &mut |name, arguments| {
        let kind = EVIDENCE.iter().find(|(_, function)| name == function).map(|(kind, _)| *kind);
        if let Some(kind) = kind
            && !header.evidence.iter().any(|declared| declared == kind)
        {
            let why =
                format!("the host shows declared kinds only: add `evidence = [{kind}]` to `#[policy(...)]`");
            findings.push(Error::new(name.span(), why));
        }
        if (name == "foreign_get" || name == "foreign_balance")
            && let Some((position, span)) = first_number(arguments)
            && position >= header.foreign.len() as u64
        {
            let declared = header.foreign.len();
            let why = format!(
                "the policy declares {declared} foreign reads, so there is none at position {position}: add \
                 `foreign = [(parameter, policy index)]` to `#[policy(...)]`"
            );
            findings.push(Error::new(span, why));
        }
    });
}

/// Every call `context.name(...)` of one of `contexts`.
fn calls(tokens: TokenStream, contexts: &BTreeSet<String>, found: &mut impl FnMut(&Ident, &Group)) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            calls(group.stream(), contexts, found);
        }
        let [TokenTree::Ident(context), TokenTree::Punct(dot), TokenTree::Ident(name), rest @ ..] =
            &tokens[at..]
        else {
            continue;
        };
        // `foreign_get::<T>(0, ...)`: the arguments are the first parentheses after the name.
        let arguments = rest.iter().find_map(|token| match token {
            TokenTree::Group(group) => Some(group),
            _ => None,
        });
        if dot.as_char() == '.'
            && contexts.contains(&context.to_string())
            && let Some(arguments) = arguments
            && arguments.delimiter() == Delimiter::Parenthesis
        {
            found(name, arguments);
        }
    }
}

fn first_number(arguments: &Group) -> Option<(u64, Span)> {
    let first = arguments.stream().into_iter().next()?;
    let TokenTree::Literal(literal) = &first else { return None };
    let digits = literal.to_string();
    Some((digits.trim_end_matches("u8").parse().ok()?, literal.span()))
}

/// Where a mistake in what a function returns is shown: at its type, or at its name if there is none.
pub(crate) fn output_span(function: &ImplItemFn) -> Span {
    match &function.sig.output {
        ReturnType::Type(_, value_type) => value_type.span(),
        ReturnType::Default => function.sig.ident.span(),
    }
}
