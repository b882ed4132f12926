//! `#[policy]` on an inherent `impl`.

use crate::check::{check, last_segment, output_span};
use crate::docs::first_paragraph;
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Error, Expr, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, LitInt, Pat, Path, ReceiverKind, Result,
    Token, Type, bracketed, parenthesized,
};

/// What stands in the parentheses of the attribute.
pub(crate) struct Header {
    name: Expr,
    summary: Expr,
    version: Option<Expr>,
    denials: Path,
    pub(crate) evidence: Vec<Ident>,
    pub(crate) foreign: Vec<(Ident, LitInt)>,
}

/// A method or a query: what is described and how it is called.
struct Call {
    described: TokenStream,
    arm: TokenStream,
}

/// The actions, with the fields that their functions take.
pub(crate) const ACTIONS: [(&str, &str, &[&str]); 9] = [
    ("create", "Create", &[]),
    ("mint", "Mint", &["to", "amount"]),
    ("burn", "Burn", &["amount"]),
    ("transfer", "Transfer", &["to", "amount", "bilateral"]),
    ("claim", "Claim", &["credit", "from", "amount"]),
    ("hold", "Hold", &["beneficiary", "amount", "kind", "expires_ms"]),
    ("release", "Release", &["hold"]),
    ("execute", "Execute", &["hold"]),
    ("upgrade", "Upgrade", &["from"]),
];

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let header: Header = syn::parse2(attribute)?;
    let mut item: ItemImpl = syn::parse2(item)?;
    if let Some((path, _)) = &item.trait_ {
        return Err(Error::new(path.span(), "a policy is an inherent `impl`, not one of a trait"));
    }
    check(&header, &item)?;
    let (mut methods, mut queries, mut judged, mut bystander) = (Vec::new(), Vec::new(), Vec::new(), None);
    for item in &mut item.items {
        let ImplItem::Fn(function) = item else { continue };
        let (method, query) = (take_attribute(function, "method"), take_attribute(function, "query"));
        let name = function.sig.ident.to_string();
        let action = ACTIONS.iter().any(|(action, ..)| *action == name) || name == "bystander";
        match (method, query) {
            (true, true) => {
                return Err(Error::new(function.sig.ident.span(), "either a method or a query, not both"));
            }
            (true, false) => methods.push(call(function, true)?),
            (false, true) => queries.push(call(function, false)?),
            (false, false) if name == "bystander" => bystander = Some(output_span(function)),
            (false, false) if action => judged.push((function.sig.ident.clone(), output_span(function))),
            (false, false) => {}
        }
    }
    let (judge, answer) = (judge(&judged, bystander, &methods), answer(&queries));
    let description = description(&header, &methods, &queries);
    let exports = exports(&item.self_ty);
    let subject = &item.self_ty;
    Ok(quote! {
        #item

        impl ::dsm_policy::Policy for #subject {
            #description
            #judge
            #answer
        }

        #exports
    })
}

/// The author's functions without the macro's marks, to stand beside its errors: without them the compiler would go
/// on to name each import that only they use.
pub(crate) fn unmarked(item: TokenStream) -> TokenStream {
    let Ok(mut item) = syn::parse2::<ItemImpl>(item) else { return TokenStream::new() };
    for item in &mut item.items {
        let ImplItem::Fn(function) = item else { continue };
        take_attribute(function, "method");
        take_attribute(function, "query");
    }
    quote!(#[allow(dead_code)] #item)
}

fn judge(judged: &[(Ident, Span)], bystander: Option<Span>, methods: &[Call]) -> TokenStream {
    let actions = ACTIONS.iter().map(|(function, variant, fields)| {
        let variant = format_ident!("{variant}");
        let Some((found, span)) = judged.iter().find(|(ident, _)| ident == function) else {
            return quote!(Action::#variant { .. } => ::core::result::Result::Err(
                ::dsm_policy::generated::unsupported(#function)
            ));
        };
        if fields.is_empty() {
            let called = quote_spanned!(*span=> Self::#found(self, context));
            return quote!(Action::#variant => #called);
        }
        let fields: Vec<_> = fields.iter().map(|field| format_ident!("{field}")).collect();
        let shown = if variant == "Hold" { format_ident!("NewHold") } else { variant.clone() };
        let shown = quote!(::dsm_policy::#shown { #(#fields: *#fields),* });
        let called = quote_spanned!(*span=> Self::#found(self, context, #shown));
        quote!(Action::#variant { #(#fields,)* .. } => { #called })
    });
    let bystander = match bystander {
        Some(span) => {
            let shown = quote!(::dsm_policy::Invoke {
                policy_index: *policy_index,
                method: method.as_str(),
                args: args.as_slice(),
            });
            quote_spanned!(span=> Self::bystander(self, context, #shown))
        }
        None => quote!(::core::result::Result::Ok(())),
    };
    let arms = methods.iter().map(|method| &method.arm);
    quote! {
        fn judge(&self, context: &mut ::dsm_policy::Context<'_>) -> ::dsm_policy::Outcome {
            use ::dsm_policy::Action;
            match &context.leg().action {
                #(#actions,)*
                Action::Invoke { policy_index, method, args } if *policy_index != context.policy_index() => {
                    let _ = (method, args);
                    #bystander
                }
                Action::Invoke { method, args, .. } => {
                    #[allow(unused_mut)]
                    let mut values = ::dsm_policy::Values::new(
                        ::core::clone::Clone::clone(args),
                        ::dsm_policy::Refused::BadArguments,
                    );
                    match method.as_str() {
                        #(#arms)*
                        unknown => {
                            let _ = values;
                            ::core::result::Result::Err(::dsm_policy::generated::unknown_method(unknown))
                        }
                    }
                }
                Action::Other => ::core::result::Result::Err(::dsm_policy::generated::unsupported("other")),
            }
        }
    }
}

fn answer(queries: &[Call]) -> TokenStream {
    let arms = queries.iter().map(|query| &query.arm);
    quote! {
        fn answer(
            &self,
            context: &::dsm_policy::View<'_>,
            args: ::dsm_policy::generated::Vec<::dsm_policy::Value>,
        ) -> ::core::result::Result<::dsm_policy::Fields, ::dsm_policy::Deny> {
            #[allow(unused_mut)]
            let mut values = ::dsm_policy::Values::new(args, ::dsm_policy::Refused::BadArguments);
            match context.query() {
                #(#arms)*
                _ => {
                    let _ = values;
                    ::core::result::Result::Err(::dsm_policy::generated::unknown_query())
                }
            }
        }
    }
}

fn description(header: &Header, methods: &[Call], queries: &[Call]) -> TokenStream {
    let Header { name, summary, denials, evidence, .. } = header;
    let version = match &header.version {
        Some(version) => quote!(#version),
        None => quote!(::core::env!("CARGO_PKG_VERSION")),
    };
    let (methods, queries) = (methods.iter().map(|m| &m.described), queries.iter().map(|q| &q.described));
    let foreign = header.foreign.iter().map(|(param, index)| {
        let word = param.to_string();
        quote!(::dsm_policy::abi::ForeignRead {
            target: ::dsm_policy::abi::ForeignTarget::Parameter(::core::convert::Into::into(#word)),
            policy_index: #index,
        })
    });
    // A foreign read of a parameter that does not exist does not compile, at the author's name.
    let checks = header.foreign.iter().map(
        |(param, _)| quote_spanned!(param.span()=> let _ = |policy: &Self| { let _ = &policy.#param; };),
    );
    quote! {
        fn description() -> ::dsm_policy::abi::Description {
            #(#checks)*
            ::dsm_policy::abi::Description {
                abi: ::dsm_policy::abi::ABI_VERSION,
                name: ::core::convert::Into::into(#name),
                version: ::core::convert::Into::into(#version),
                summary: ::core::convert::Into::into(#summary),
                params: <Self as ::dsm_policy::Params>::describe(),
                methods: ::dsm_policy::generated::vec![#(#methods),*],
                queries: ::dsm_policy::generated::vec![#(#queries),*],
                denials: ::dsm_policy::generated::describe_denials::<#denials>(),
                evidence: ::dsm_policy::generated::vec![#(::dsm_policy::abi::EvidenceKind::#evidence),*],
                foreign_reads: ::dsm_policy::generated::vec![#(#foreign),*],
            }
        }
    }
}

/// The exports exist on wasm32 only, so several policies can be linked into one native program.
fn exports(subject: &Type) -> TokenStream {
    quote! {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)] // exporting a symbol is unsafe by definition; each name occurs once in a module
        const _: () = {
            #[unsafe(no_mangle)]
            extern "C" fn dsm_buf(len: i32) -> i32 {
                ::dsm_policy::guest::buf(len)
            }

            #[unsafe(no_mangle)]
            extern "C" fn dsm_evaluate(len: i32) -> i64 {
                ::dsm_policy::guest::evaluate_export::<#subject>(len)
            }

            #[unsafe(no_mangle)]
            extern "C" fn dsm_view(len: i32) -> i64 {
                ::dsm_policy::guest::view_export::<#subject>(len)
            }

            #[unsafe(no_mangle)]
            extern "C" fn dsm_describe() -> i64 {
                ::dsm_policy::guest::describe_export(&<#subject as ::dsm_policy::Policy>::description())
            }
        };
    }
}

fn call(function: &ImplItemFn, method: bool) -> Result<Call> {
    let ident = &function.sig.ident;
    let word = ident.to_string();
    let doc = first_paragraph(&function.attrs, ident.span(), if method { "a method" } else { "a query" })?;
    let mut inputs = function.sig.inputs.iter();
    if !matches!(inputs.next(), Some(FnArg::Receiver(receiver)) if matches!(receiver.kind, ReceiverKind::Reference(..)))
    {
        return Err(Error::new(ident.span(), "the first argument is `&self`: the token's parameters"));
    }
    let (second, shown) = if method { ("`&mut Context<'_>`", "Context") } else { ("`&View<'_>`", "View") };
    match inputs.next() {
        Some(FnArg::Typed(argument)) if last_segment(&argument.ty).as_deref() == Some(shown) => {}
        Some(other) => return Err(Error::new(other.span(), format!("the second argument is {second}"))),
        None => return Err(Error::new(ident.span(), format!("the second argument is {second}"))),
    }
    let (mut described, mut taken, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for input in inputs {
        let FnArg::Typed(argument) = input else {
            return Err(Error::new(input.span(), "only the first argument is `&self`"));
        };
        let Pat::Ident(pattern) = &*argument.pat else {
            return Err(Error::new(argument.pat.span(), "arguments need plain names: people type them"));
        };
        let (name, value_type) = (&pattern.ident, &argument.ty);
        let word = name.to_string();
        described.push(quote_spanned! {value_type.span()=> ::dsm_policy::abi::Argument {
            name: ::core::convert::Into::into(#word),
            value_type: <#value_type as ::dsm_policy::Typed>::TYPE,
        }});
        taken.push(quote_spanned! {value_type.span()=>
            let #name: #value_type = ::dsm_policy::generated::take(&mut values, #word)?;
        });
        names.push(name);
    }
    let span = output_span(function);
    let called = if method {
        quote_spanned!(span=> Self::#ident(self, context, #(#names),*))
    } else {
        quote_spanned!(span=>
            ::dsm_policy::IntoFields::into_fields(Self::#ident(self, context, #(#names),*))
        )
    };
    Ok(Call {
        described: quote!(::dsm_policy::abi::Method {
            name: ::core::convert::Into::into(#word),
            args: ::dsm_policy::generated::vec![#(#described),*],
            doc: ::core::convert::Into::into(#doc),
        }),
        arm: quote!(#word => {
            #(#taken)*
            ::dsm_policy::generated::bad_argument_count(values)?;
            #called
        }),
    })
}

fn take_attribute(function: &mut ImplItemFn, name: &str) -> bool {
    let before = function.attrs.len();
    function.attrs.retain(|attribute| !attribute.path().is_ident(name));
    function.attrs.len() < before
}

impl Parse for Header {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut name, mut summary, mut version, mut denials) = (None, None, None, None);
        let (mut evidence, mut foreign) = (Vec::new(), Vec::new());
        let start = input.span();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "name" => name = Some(input.parse()?),
                "summary" => summary = Some(input.parse()?),
                "version" => version = Some(input.parse()?),
                "denials" => denials = Some(input.parse()?),
                "evidence" => {
                    let list;
                    bracketed!(list in input);
                    evidence = Punctuated::<Ident, Token![,]>::parse_terminated(&list)?.into_iter().collect();
                }
                "foreign" => {
                    let list;
                    bracketed!(list in input);
                    foreign = Punctuated::<ForeignPair, Token![,]>::parse_terminated(&list)?
                        .into_iter()
                        .map(|pair| (pair.0, pair.1))
                        .collect();
                }
                _ => {
                    return Err(Error::new(
                        key.span(),
                        "known here: name, summary, version, denials, evidence, foreign",
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let missing = |what: &str| Error::new(start, format!("a policy needs `{what} = ...`"));
        Ok(Header {
            name: name.ok_or_else(|| missing("name"))?,
            summary: summary.ok_or_else(|| missing("summary"))?,
            version,
            denials: denials.ok_or_else(|| missing("denials"))?,
            evidence,
            foreign,
        })
    }
}

/// `(parameter, policy index)`.
struct ForeignPair(Ident, LitInt);

impl Parse for ForeignPair {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let pair;
        parenthesized!(pair in input);
        let parameter = pair.parse()?;
        pair.parse::<Token![,]>()?;
        Ok(ForeignPair(parameter, pair.parse()?))
    }
}
