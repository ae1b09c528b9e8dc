//! Generates the tokens. Nothing here can fail, since the input was checked before.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Ident, ItemFn, LitStr, Path, spanned::Spanned};

use crate::{
    args::{
        AcrArgs, ActorArgs, AuthAgeArgs, ClaimArgs, ClaimValue, Combine, DetailArgs, FunctionArgs,
        PolicyArgs, ScopeArgs, Text, Values,
    },
    item,
    route::{self, Route},
    rule::Part,
};

/// Returns the function with an additional argument: an extractor whose error is the rejection. It is the
/// first argument, and ready at once unless a function of the rule is asynchronous. The routing macros below
/// get a middleware that tells the rule of a request without a token.
pub(crate) fn with_rule(mut function: ItemFn, parts: &[Part], span: Span) -> TokenStream {
    // An attribute that is not merged adds an argument, so the count distinguishes them.
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
    let rows = rows(&function, &name, span);
    route::wrap(&mut function, &format!("::oauth2_actix::__private::RuledRoute::<{name}>::new()"));
    let visibility = &function.vis;
    let (claims, request, pending) = (claims(), request(), pending());
    let conditions: Vec<_> = item::conditions(&function).collect();
    let rule = rule(parts);
    let calls = parts.iter().filter_map(|part| match part {
        Part::Function(FunctionArgs { function }) => Some(call(function)),
        _ => None,
    });
    quote! {
        #(#conditions)*
        #[doc(hidden)]
        #[allow(non_camel_case_types, missing_debug_implementations)]
        #visibility struct #name;

        #(#conditions)*
        #[automatically_derived]
        impl ::oauth2_actix::__private::Check for #name {
            fn rule() -> &'static ::oauth2_actix::__private::AccessRule {
                // The developer's paths are inside this static, so its name is one that none of their
                // constants has.
                static __OAUTH2_ACTIX_RULE: ::oauth2_actix::__private::AccessRule = #rule;
                &__OAUTH2_ACTIX_RULE
            }

            fn check(
                #claims: &::oauth2_actix::Claims,
                #request: &::oauth2_actix::__private::HttpRequest,
                #pending: &mut ::oauth2_actix::__private::PendingChecks,
            ) -> ::core::result::Result<(), ::oauth2_actix::Error> {
                let _ = (#request, &#pending);
                ::oauth2_actix::__private::AccessRule::check(<Self as ::oauth2_actix::__private::Check>::rule(), #claims)?;
                #(#calls)*
                ::core::result::Result::Ok(())
            }
        }

        #(#rows)*

        #[allow(clippy::too_many_arguments)]
        #function
    }
}

/// Generates the constructor of a rule. The requirement is built when it is first used.
fn rule(parts: &[Part]) -> TokenStream {
    let requirements = parts.iter().filter_map(|part| match part {
        Part::Claim(args) => Some(claim(args)),
        Part::Scope(args) => Some(scope(args)),
        Part::Policy(args) => Some(policy(args)),
        Part::Acr(args) => Some(acr(args)),
        Part::AuthAge(args) => Some(auth_age(args)),
        Part::Actor(args) => Some(actor(args)),
        Part::NotDelegated => Some(quote! { ::oauth2_actix::requirement::not_delegated() }),
        Part::Dpop => Some(quote! { ::oauth2_actix::requirement::dpop() }),
        Part::Detail(args) => Some(detail(args)),
        Part::Authenticated | Part::Function(_) => None,
    });
    let policies = parts.iter().filter_map(|part| match part {
        // The requirement checks a constant.
        Part::Policy(PolicyArgs { name }) => Some(match name {
            Text::Literal(literal) => quote! { #literal },
            Text::Constant(path) => quote! { #path },
        }),
        _ => None,
    });
    let functions = parts.iter().filter_map(|part| match part {
        Part::Function(FunctionArgs { function }) => Some(path_text(function)),
        _ => None,
    });
    quote! {
        ::oauth2_actix::__private::AccessRule::new(
            || ::oauth2_actix::__private::requirements([#(#requirements),*]),
            || {
                const __OAUTH2_ACTIX_POLICIES: &[&::core::primitive::str] = &[#((#policies)),*];
                __OAUTH2_ACTIX_POLICIES
            },
            &[#(#functions),*],
        )
    }
}

/// Generates the rows of the access table: one for each route, or one without a route if no routing macro is
/// below the attribute.
fn rows(function: &ItemFn, check: &Ident, span: Span) -> Vec<TokenStream> {
    let handler = route::handler_path(function);
    let conditions: Vec<_> = item::conditions(function).collect();
    let row = |methods: &[LitStr], pattern: &TokenStream, name: &str| {
        // With this span, `line!()` is the line of the attribute.
        quote_spanned! { span =>
            #(#conditions)*
            const _: () = {
                #[::oauth2_actix::__private::linkme::distributed_slice(
                    ::oauth2_actix::__private::RULED_ROUTES
                )]
                #[linkme(crate = ::oauth2_actix::__private::linkme)]
                static ROUTE: ::oauth2_actix::__private::RuledRouteRow =
                    ::oauth2_actix::__private::RuledRouteRow::new(
                        &[#(#methods),*],
                        #pattern,
                        #handler,
                        #name,
                        <#check as ::oauth2_actix::__private::Check>::rule,
                        ::core::file!(),
                        ::core::line!(),
                    );
            };
        }
    };
    let own_name = route::handler_name(function);
    let routes = route::routes(function);
    if routes.is_empty() {
        return vec![row(&[], &quote! { ::core::option::Option::None }, &own_name)];
    }
    routes
        .iter()
        .map(|Route { methods, pattern, name }| {
            let name = name.as_ref().map_or_else(|| own_name.clone(), LitStr::value);
            row(methods, &quote! { ::core::option::Option::Some(#pattern) }, &name)
        })
        .collect()
}

/// Generates `::oauth2_actix::requirement::claim(…)`.
fn claim(ClaimArgs { name, values }: &ClaimArgs) -> TokenStream {
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
    quote! { ::oauth2_actix::requirement::claim((#name), (#values)) }
}

/// Generates `::oauth2_actix::requirement::scopes(…)`, or `any_scope`.
fn scope(ScopeArgs { combine, scopes }: &ScopeArgs) -> TokenStream {
    let name = match combine {
        Combine::Any => "any_scope",
        Combine::All => "scopes",
    };
    let name = Ident::new(name, Span::mixed_site());
    let scopes = scopes.iter().map(|scope| text(scope, "scope"));
    quote! { ::oauth2_actix::requirement::#name([#((#scopes)),*]) }
}

/// Generates `::oauth2_actix::requirement::policy(…)`.
fn policy(PolicyArgs { name }: &PolicyArgs) -> TokenStream {
    let name = text(name, "policy_name");
    quote! { ::oauth2_actix::requirement::policy((#name)) }
}

/// Generates `::oauth2_actix::requirement::acr(…)`.
fn acr(AcrArgs { values }: &AcrArgs) -> TokenStream {
    let values = values.iter().map(|value| text(value, "acr"));
    quote! { ::oauth2_actix::requirement::acr([#((#values)),*]) }
}

/// Generates `::oauth2_actix::requirement::auth_age(…)`.
fn auth_age(args: &AuthAgeArgs) -> TokenStream {
    let age = match args {
        AuthAgeArgs::Seconds(seconds) => {
            let seconds = Literal::u64_suffixed(*seconds);
            quote! { ::oauth2_actix::__private::auth_age(#seconds) }
        }
        AuthAgeArgs::Constant(path) => quote_spanned! { path.span() => {
            // An item, as for a text.
            const __OAUTH2_ACTIX_AGE: ::core::time::Duration =
                ::oauth2_actix::__private::auth_age(#path);
            __OAUTH2_ACTIX_AGE
        } },
    };
    quote! { ::oauth2_actix::requirement::auth_age((#age)) }
}

/// Generates `::oauth2_actix::requirement::actor(…)`.
fn actor(ActorArgs { subjects }: &ActorArgs) -> TokenStream {
    let subjects = subjects.iter().map(|subject| text(subject, "actor"));
    quote! { ::oauth2_actix::requirement::actor([#((#subjects)),*]) }
}

/// Generates `::oauth2_actix::requirement::authorization_detail(…)` with the path of the function as its name.
fn detail(DetailArgs { detail_type, function }: &DetailArgs) -> TokenStream {
    let (detail_type, path) = (text(detail_type, "detail_type"), path_text(function));
    // rustc reports a function of another form at its path.
    quote_spanned! { function.span() =>
        ::oauth2_actix::__private::authorization_detail(#detail_type, #function, #path)
    }
}

/// Returns the path of a function as the developer wrote it.
fn path_text(function: &Path) -> LitStr {
    let path = function.to_token_stream().to_string().replace(' ', "");
    LitStr::new(&path, Span::mixed_site())
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
fn call(function: &Path) -> TokenStream {
    let (claims, request, pending) = (claims(), request(), pending());
    // rustc reports a function of another form at its path.
    quote_spanned! { function.span() =>
        ::oauth2_actix::__private::call_predicate(#function, #claims, #request, #pending)?;
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

fn pending() -> Ident {
    Ident::new("__oauth2_actix_pending", Span::mixed_site())
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
