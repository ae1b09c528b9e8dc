//! `#[public]`: the routes that the routing macros below it make, read from their arguments, and the
//! service that registers them once more under their mark.

use std::mem;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, Expr, ExprLit, Ident, ItemFn, Lit, LitStr, Meta, Result, Token,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
    spanned::Spanned,
};

use crate::item;

/// One route of a handler.
struct Route {
    pattern: LitStr,
    methods: Vec<LitStr>,
}

/// The arguments of a routing macro: a pattern, and `method = "…"` among others.
struct RouteArgs {
    pattern: LitStr,
    options: Punctuated<Expr, Token![,]>,
}

impl Parse for RouteArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let pattern = input.parse()?;
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
        Ok(Self { pattern, options: Punctuated::parse_terminated(input)? })
    }
}

/// What `#[public]` makes of a function.
pub(crate) fn expand(args: &TokenStream, function: &ItemFn, span: Span) -> Result<TokenStream> {
    let is_placed = args.to_string() == PLACED;
    let mut errors: Vec<Error> = Vec::new();
    if !args.is_empty() && !is_placed {
        errors.push(Error::new_spanned(
            args,
            "`#[public]` takes no arguments; the path is that of the routing macro",
        ));
    }
    for attribute in &function.attrs {
        if let Some(demand) = item::demand(attribute) {
            errors.push(item::public_with_demand(attribute, demand));
        } else if attribute.path().is_ident("public") {
            errors.push(Error::new_spanned(attribute, "`#[public]` is repeated; remove one"));
        }
    }
    let routes = routes(&function.attrs);
    if routes.is_empty() && errors.is_empty() {
        errors.push(Error::new(
            span,
            "`#[public]` must be above a routing macro such as `#[get(\"/\")]`, and there is none \
             below it: if it is above, swap the two; for `.route(…)` use `public_paths`",
        ));
    }
    if let Some(errors) = errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        return Err(errors);
    }
    Ok(match foreign_attributes_end(&function.attrs) {
        Some(end) if !is_placed => placed(function.clone(), end, span),
        _ => tokens(function, &routes, span),
    })
}

/// The same function, with `#[public]` moved below the first `end` attributes, which are other
/// crates' and so come first: what `#[utoipa::path]` adds beside the function would otherwise be
/// hidden within [`tokens`]'s output.
fn placed(mut function: ItemFn, end: usize, span: Span) -> TokenStream {
    let below = function.attrs.split_off(end);
    let above = mem::replace(&mut function.attrs, below);
    let placed = Ident::new(PLACED, span);
    let public = quote_spanned! { span => #[::oauth2_actix::public(#placed)] };
    quote! {
        #(#above)*
        #public
        #function
    }
}

/// Where the attributes before the first routing macro end, if one of them may be another crate's
/// macro.
fn foreign_attributes_end(attributes: &[Attribute]) -> Option<usize> {
    const BUILT_IN: [&str; 7] = ["doc", "cfg", "allow", "expect", "warn", "deny", "forbid"];
    let end = attributes.iter().position(is_routing_macro)?;
    let is_built_in =
        |attribute: &Attribute| BUILT_IN.iter().any(|name| attribute.path().is_ident(name));
    (!attributes[..end].iter().all(is_built_in)).then_some(end)
}

/// The function, with a guard on its routes that notices a missing `.wrap(oauth2)`.
fn watched(function: &ItemFn) -> ItemFn {
    let mut function = function.clone();
    for attribute in &mut function.attrs {
        if route(attribute).is_none() {
            continue;
        }
        let Meta::List(list) = &mut attribute.meta else { continue };
        let arguments = &list.tokens;
        let ends_with_comma = matches!(
            arguments.clone().into_iter().last(),
            Some(TokenTree::Punct(last)) if last.as_char() == ','
        );
        let comma = (!ends_with_comma).then(|| quote!(,));
        list.tokens = quote! {
            #arguments #comma guard = "::oauth2_actix::__private::warn_unless_wrapped"
        };
    }
    function
}

fn tokens(function: &ItemFn, routes: &[Route], span: Span) -> TokenStream {
    let watched = watched(function);
    let name = &function.sig.ident;
    let visibility = &function.vis;
    let conditions: Vec<_> = item::conditions(function).collect();
    let docs = function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
    let handler = name.to_string();
    let handler = handler.strip_prefix("r#").unwrap_or(&handler);
    let config = Ident::new("__oauth2_actix_config", Span::mixed_site());
    let rows = routes.iter().map(|Route { pattern, methods }| {
        // The place that `line!()` names is that of the attribute.
        quote_spanned! { span =>
            const _: () = {
                #[::oauth2_actix::__private::linkme::distributed_slice(
                    ::oauth2_actix::__private::ROUTES
                )]
                #[linkme(crate = ::oauth2_actix::__private::linkme)]
                static ROUTE: ::oauth2_actix::PublicRoute = ::oauth2_actix::PublicRoute::new(
                    &[#(#methods),*],
                    #pattern,
                    ::core::concat!(::core::module_path!(), "::", #handler),
                    ::core::file!(),
                    ::core::line!(),
                    __OAUTH2_ACTIX_PUBLIC_ID,
                );
            };
        }
    });
    let id = quote_spanned! { span =>
        const __OAUTH2_ACTIX_PUBLIC_ID: &::core::primitive::str = ::core::concat!(
            ::core::module_path!(), "-", #handler, "-", ::core::line!(), "-", ::core::column!()
        );
    };
    quote! {
        #(#conditions)*
        #(#docs)*
        #[allow(non_camel_case_types, missing_debug_implementations)]
        #visibility struct #name;

        #(#conditions)*
        #[automatically_derived]
        impl ::oauth2_actix::__private::HttpServiceFactory for #name {
            fn register(self, #config: &mut ::oauth2_actix::__private::AppService) {
                #id
                #(#rows)*
                #watched
                ::oauth2_actix::__private::register(
                    #config, __OAUTH2_ACTIX_PUBLIC_ID, #name, #name
                );
            }
        }
    }
}

/// The routes of the routing macros among these attributes. An attribute that actix itself rejects has
/// none.
fn routes(attributes: &[Attribute]) -> Vec<Route> {
    attributes.iter().filter_map(route).collect()
}

/// The route of a routing macro; none of another crate's `#[trace]`, for example.
fn route(attribute: &Attribute) -> Option<Route> {
    let name = attribute.path().segments.last()?.ident.to_string();
    let method = match name.as_str() {
        "get" | "post" | "put" | "delete" | "head" | "connect" | "options" | "trace" | "patch"
        | "query" => Some(LitStr::new(&name.to_uppercase(), attribute.path().span())),
        "route" => None,
        _ => return None,
    };
    let Meta::List(list) = &attribute.meta else { return None };
    let RouteArgs { pattern, options } = RouteArgs::parse.parse2(list.tokens.clone()).ok()?;
    let methods = method.into_iter().chain(options.iter().filter_map(method_option)).collect();
    Some(Route { pattern, methods })
}

fn is_routing_macro(attribute: &Attribute) -> bool {
    let is_routes =
        attribute.path().segments.last().is_some_and(|segment| segment.ident == "routes");
    is_routes || route(attribute).is_some()
}

/// The value of `method = "…"`.
fn method_option(option: &Expr) -> Option<LitStr> {
    let Expr::Assign(assignment) = option else { return None };
    match (&*assignment.left, &*assignment.right) {
        (Expr::Path(left), Expr::Lit(ExprLit { lit: Lit::Str(method), .. }))
            if left.path.is_ident("method") =>
        {
            Some(method.clone())
        }
        _ => None,
    }
}

/// The argument of a `#[public]` that [`placed`] has moved: it stays where it is.
const PLACED: &str = "__placed";
