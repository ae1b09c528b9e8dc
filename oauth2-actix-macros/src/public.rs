//! `#[public]`: adds a middleware to the routing macros below it, and a row for each of their routes to the
//! table of public routes.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, ItemFn, LitStr, Result};

use crate::{
    item,
    route::{self, Route, routes},
};

/// Expands `#[public]` on a function.
pub(crate) fn expand(args: &TokenStream, function: &ItemFn, span: Span) -> Result<TokenStream> {
    check(args, function, span)?;
    let mut function = function.clone();
    let rows: Vec<TokenStream> =
        routes(&function).iter().map(|route| row(route, &function, span)).collect();
    route::wrap(&mut function, "::oauth2_actix::__private::PublicResource");
    Ok(quote! {
        #function
        #(#rows)*
    })
}

fn check(args: &TokenStream, function: &ItemFn, span: Span) -> Result<()> {
    let mut errors: Vec<Error> = Vec::new();
    if !args.is_empty() {
        errors.push(Error::new_spanned(
            args,
            "`#[public]` takes no arguments; the path is that of the routing macro",
        ));
    }
    for attribute in &function.attrs {
        if let Some(other) = item::require_attribute(attribute) {
            errors.push(item::public_and_required(attribute, other));
        } else if attribute.path().is_ident("public") {
            errors.push(Error::new_spanned(attribute, "`#[public]` is repeated; remove one"));
        }
    }
    if errors.is_empty() && routes(function).is_empty() {
        errors.push(Error::new(
            span,
            "`#[public]` must be above a routing macro such as `#[get(\"/\")]`, and there is none \
             below it: if it is above, swap the two; if the routing macro is imported under another \
             name, use its own; for `.route(…)` use `.wrap(PublicAccess)` on a resource, or `public_paths`",
        ));
    }
    match errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        Some(errors) => Err(errors),
        None => Ok(()),
    }
}

/// Generates the row of a route in the link-time table.
fn row(Route { pattern, methods, name }: &Route, function: &ItemFn, span: Span) -> TokenStream {
    let conditions = item::conditions(function);
    let handler = route::handler_path(function);
    let name = name.as_ref().map_or_else(|| route::handler_name(function), LitStr::value);
    // With this span, `line!()` is the line of the attribute.
    quote_spanned! { span =>
        #(#conditions)*
        const _: () = {
            #[::oauth2_actix::__private::linkme::distributed_slice(
                ::oauth2_actix::__private::ROUTES
            )]
            #[linkme(crate = ::oauth2_actix::__private::linkme)]
            static ROUTE: ::oauth2_actix::public::PublicRoute = ::oauth2_actix::public::PublicRoute::new(
                &[#(#methods),*],
                #pattern,
                #handler,
                #name,
                ::core::file!(),
                ::core::line!(),
            );
        };
    }
}
