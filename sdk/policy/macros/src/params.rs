//! `#[derive(Params)]`.

use crate::check::{all, floats};
use crate::docs::first_paragraph;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Result};

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let ident = &item.ident;
    let Data::Struct(data) = &item.data else {
        return Err(Error::new(ident.span(), "parameters are a struct with named fields, or a unit struct"));
    };
    let mut findings = Vec::new();
    floats(data.fields.to_token_stream(), &mut findings);
    all(findings)?;
    let (mut described, mut taken) = (Vec::new(), Vec::new());
    match &data.fields {
        Fields::Unit => {}
        Fields::Named(fields) => {
            for field in &fields.named {
                let (name, value_type) = (field.ident.as_ref().expect("named"), &field.ty);
                let text = first_paragraph(&field.attrs, name.span(), "a parameter")?;
                let word = name.to_string();
                described.push(quote_spanned! {value_type.span()=> ::dsm_policy::abi::Parameter {
                    name: ::core::convert::Into::into(#word),
                    value_type: <#value_type as ::dsm_policy::Typed>::TYPE,
                    doc: ::core::convert::Into::into(#text),
                }});
                taken.push(quote!(#name: ::dsm_policy::generated::take(&mut values, #word)?));
            }
        }
        Fields::Unnamed(fields) => {
            return Err(Error::new(
                fields.span(),
                "parameters need names: people read them in help and errors",
            ));
        }
    }
    let built = if matches!(data.fields, Fields::Unit) { quote!(Self) } else { quote!(Self { #(#taken),* }) };
    Ok(quote! {
        impl ::dsm_policy::Params for #ident {
            fn describe() -> ::dsm_policy::generated::Vec<::dsm_policy::abi::Parameter> {
                ::dsm_policy::generated::vec![#(#described),*]
            }

            fn from_values(
                values: ::dsm_policy::generated::Vec<::dsm_policy::Value>,
            ) -> ::core::result::Result<Self, ::dsm_policy::Deny> {
                #[allow(unused_mut)]
                let mut values = ::dsm_policy::Values::new(values, ::dsm_policy::Refused::BadParameters);
                let params = #built;
                values.end()?;
                ::core::result::Result::Ok(params)
            }
        }
    })
}
