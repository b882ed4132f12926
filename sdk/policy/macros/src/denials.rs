//! `#[derive(Denials)]`.

use crate::check::all;
use crate::docs::first_paragraph;
use proc_macro2::TokenStream;
use quote::quote;
use std::collections::BTreeMap;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Fields, Lit, Result, Variant};

/// Codes below this one are the SDK's own.
const FIRST_CODE: u16 = 100;

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let Data::Enum(data) = &item.data else {
        return Err(Error::new(item.ident.span(), "denials are an enum without fields"));
    };
    let (mut rows, mut arms, mut seen, mut findings) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
    for variant in &data.variants {
        let (code, text) =
            match (code(variant), first_paragraph(&variant.attrs, variant.ident.span(), "a denial")) {
                (Ok(code), Ok(text)) => (code, text),
                (code, text) => {
                    findings.extend(code.err().into_iter().chain(text.err()));
                    continue;
                }
            };
        if let Some(first) = seen.insert(code, &variant.ident) {
            let at = variant.discriminant.as_ref().map_or(variant.ident.span(), |(_, number)| number.span());
            findings.push(Error::new(at, format!("code {code} is already that of `{first}`")));
        }
        let (ident, name) = (&variant.ident, snake(&variant.ident.to_string()));
        rows.push(quote!((#code, #name, #text)));
        arms.push(quote!(Self::#ident => #code));
    }
    all(findings)?;
    let ident = &item.ident;
    Ok(quote! {
        impl ::dsm_policy::Denials for #ident {
            const ALL: &'static [(u16, &'static str, &'static str)] = &[#(#rows),*];

            fn code(self) -> u16 {
                match self { #(#arms,)* }
            }
        }
    })
}

fn code(variant: &Variant) -> Result<u16> {
    if !matches!(variant.fields, Fields::Unit) {
        return Err(Error::new(
            variant.fields.span(),
            "a denial has no fields; give its details with `.because(...)`",
        ));
    }
    match &variant.discriminant {
        Some((_, Expr::Lit(ExprLit { lit: Lit::Int(number), .. }))) => match number.base10_parse::<u16>()? {
            code if code >= FIRST_CODE => Ok(code),
            _ => Err(Error::new(number.span(), "codes below 100 belong to dsm-policy itself")),
        },
        Some((_, other)) => {
            Err(Error::new(other.span(), "a code is a number, so that it never changes by itself"))
        }
        None => {
            Err(Error::new(variant.ident.span(), "a denial needs its stable code, such as `Paused = 100`"))
        }
    }
}

/// `OverCap` as `over_cap`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
