//! Generates the tokens. Nothing here can fail, since the input was checked before.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, ItemFn, spanned::Spanned};

use crate::{
    args::{ClaimArgs, ClaimValue, Combine, FunctionArgs, ScopeArgs, Text, Values},
    item,
};

/// Returns the function with an additional argument: an extractor that is ready at once and whose error is
/// the rejection. It is the first argument, so no other extractor's future is polled before it.
pub(crate) fn with_check(mut function: ItemFn, check: &TokenStream) -> TokenStream {
    // Each attribute adds an argument, so the count distinguishes stacked attributes.
    let name = format_ident!(
        "__oauth2_actix_check_{}_{}",
        function.sig.inputs.len(),
        function.sig.ident,
        span = Span::mixed_site(),
    );
    function
        .sig
        .inputs
        .insert(0, syn::parse_quote! { _: ::oauth2_actix::__private::Checked<#name> });
    let visibility = &function.vis;
    let (claims, request) = (claims(), request());
    let conditions: Vec<_> = item::conditions(&function).collect();
    quote! {
        #(#conditions)*
        #[doc(hidden)]
        #[allow(non_camel_case_types, missing_debug_implementations)]
        #visibility struct #name;

        #(#conditions)*
        #[automatically_derived]
        impl ::oauth2_actix::__private::Check for #name {
            fn check(
                #claims: &::oauth2_actix::Claims,
                #request: &::oauth2_actix::__private::HttpRequest,
            ) -> ::core::result::Result<(), ::oauth2_actix::Error> {
                #check
            }
        }

        #[allow(clippy::too_many_arguments)]
        #function
    }
}

/// Generates `::oauth2_actix::requirement::claim(…)`.
pub(crate) fn claim(ClaimArgs { name, values }: &ClaimArgs) -> TokenStream {
    let name = text(name, "claim_name");
    let values = match values {
        Values::Present => quote! { ::oauth2_actix::requirement::ClaimValues::present() },
        Values::One(value) => claim_value(value),
        Values::Any(values) => {
            let values = values.iter().map(claim_value);
            quote! { ::oauth2_actix::requirement::ClaimValues::any_of([#(#values),*]) }
        }
        Values::All(values) => {
            let values = values.iter().map(claim_value);
            quote! { ::oauth2_actix::requirement::ClaimValues::all_of([#(#values),*]) }
        }
    };
    check_requirement(&quote! { ::oauth2_actix::requirement::claim((#name), (#values)) })
}

/// Generates `::oauth2_actix::requirement::scopes(…)`, or `any_scope`.
pub(crate) fn scope(ScopeArgs { combine, scopes }: &ScopeArgs) -> TokenStream {
    let name = match combine {
        Combine::Any => "any_scope",
        Combine::All => "scopes",
    };
    let name = Ident::new(name, Span::mixed_site());
    let scopes = scopes.iter().map(|scope| text(scope, "scope"));
    check_requirement(&quote! { ::oauth2_actix::requirement::#name([#((#scopes)),*]) })
}

/// Generates a literal unchanged, and a constant with a check at compile time by a `const fn` of `__private`.
fn text(text: &Text, check: &str) -> TokenStream {
    match text {
        Text::Literal(literal) => quote! { #literal },
        Text::Constant(path) => {
            let check = Ident::new(check, path.span());
            // An item, since rustc evaluates items even if the code around them is not generated.
            quote_spanned! { path.span() => {
                const __OAUTH2_ACTIX_TEXT: &::core::primitive::str =
                    ::oauth2_actix::__private::#check(#path);
                __OAUTH2_ACTIX_TEXT
            } }
        }
    }
}

/// Generates a call of the developer's function.
pub(crate) fn function(FunctionArgs { function }: &FunctionArgs) -> TokenStream {
    let (claims, request) = (claims(), request());
    // rustc reports a function of another form at its path.
    quote_spanned! { function.span() =>
        ::oauth2_actix::__private::call_predicate(#function, #claims, #request)
    }
}

/// Generates a static requirement, which is built once and checked at every request. The developer's paths
/// are inside the static, so its name is one that none of their constants has.
fn check_requirement(requirement: &TokenStream) -> TokenStream {
    let (claims, request) = (claims(), request());
    quote! {
        static __OAUTH2_ACTIX_REQUIREMENT: ::oauth2_actix::__private::LazyLock<::oauth2_actix::requirement::Requirement> =
            ::oauth2_actix::__private::LazyLock::new(|| (#requirement));
        let _ = #request;
        ::oauth2_actix::Claims::require(#claims, &__OAUTH2_ACTIX_REQUIREMENT)
    }
}

/// Returns the name of an argument of `check`. It must not be the name of a handler: actix turns a handler into a unit
/// struct, and an argument of the same name would be a pattern that matches that struct.
fn claims() -> Ident {
    Ident::new("__oauth2_actix_claims", Span::mixed_site())
}

fn request() -> Ident {
    Ident::new("__oauth2_actix_request", Span::mixed_site())
}

fn claim_value(value: &ClaimValue) -> TokenStream {
    let value = match value {
        ClaimValue::Text(text) => quote! { (#text) },
        ClaimValue::Bool(value) => quote! { (#value) },
        ClaimValue::Integer(value) => {
            let value = Literal::i64_suffixed(*value);
            quote! { (#value) }
        }
        ClaimValue::Constant(path) => {
            return quote_spanned! { path.span() =>
                ::oauth2_actix::__private::claim_value(#path)
            };
        }
    };
    quote! { ::oauth2_actix::requirement::ClaimValue::from(#value) }
}
