//! Doc comments as sentences for people.

use proc_macro2::Span;
use syn::{Attribute, Error, Expr, ExprLit, Lit, Meta, Result};

/// The first paragraph of the doc comment, on one line.
///
/// # Errors
/// At `span`, if there is none.
pub(crate) fn first_paragraph(attributes: &[Attribute], span: Span, what: &str) -> Result<String> {
    let lines = attributes.iter().filter_map(line).map(|line| line.trim().to_owned());
    let paragraph: Vec<_> = lines.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect();
    if paragraph.is_empty() {
        return Err(Error::new(
            span,
            format!("{what} needs a doc comment: people read it in help and errors"),
        ));
    }
    Ok(paragraph.join(" "))
}

fn line(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}
