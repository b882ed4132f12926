//! The macros of `dsm-policy`. Every error points at the author's own line.

mod check;
mod denials;
mod docs;
mod params;
mod policy;

use proc_macro::TokenStream;

/// Turns an inherent `impl` into a policy. See `dsm_policy::policy`.
///
/// ```text
/// #[policy(name = "fungible", summary = "One sentence.", denials = Denied, evidence = [Credential],
///          foreign = [(cash, 0)], version = "1.0.0")]
/// ```
///
/// `version` defaults to the crate's; `evidence` and `foreign` (name of a token parameter, policy index) to none.
///
/// Functions named `create`, `mint`, `burn`, `transfer`, `claim`, `hold`, `release`, `execute` and `bystander`
/// judge those actions; functions with `#[method]` are reached by `Invoke`, those with `#[query]` by
/// `dsm_view`; all others are the author's own. An action without a function is refused; a call of another
/// policy of the token is accepted unless `bystander` refuses it.
#[proc_macro_attribute]
pub fn policy(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = policy::expand(attribute.into(), item.clone().into()).unwrap_or_else(|error| {
        let mut told = error.into_compile_error();
        told.extend(policy::unmarked(item.into()));
        told
    });
    expanded.into()
}

/// Makes a struct's fields the parameters of a policy. Each needs a doc comment: it becomes help for people.
#[proc_macro_derive(Params)]
pub fn derive_params(item: TokenStream) -> TokenStream {
    params::expand(item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes a fieldless enum the denials of a policy. Each variant needs a code of 100 or more, `Paused = 100`, and
/// a doc comment: it becomes the reason that people read.
#[proc_macro_derive(Denials)]
pub fn derive_denials(item: TokenStream) -> TokenStream {
    denials::expand(item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
