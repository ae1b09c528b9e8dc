//! `#[public]`: the routes that the macros below it make, read from their arguments, and the service
//! that registers them once more under their mark.

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
    let mut errors: Vec<Error> = Vec::new();
    if !args.is_empty() {
        errors.push(Error::new_spanned(
            args,
            "#[public] takes no arguments: the path is the routing macro's",
        ));
    }
    if let Some(demand) = function.attrs.iter().find(|attribute| item::is_demand(attribute)) {
        errors.push(Error::new_spanned(
            demand,
            "a #[public] handler demands nothing; remove one of the two",
        ));
    }
    let routes = routes(&function.attrs);
    if routes.is_empty() && errors.is_empty() {
        errors.push(Error::new(
            span,
            "#[public] stands above a routing macro such as #[get(\"/\")], and none is below it; \
             if one is above it, change their order",
        ));
    }
    match errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        Some(errors) => Err(errors),
        None => Ok(tokens(function, &routes, span)),
    }
}

/// The function, with a guard on its routes that notices a missing `.wrap(oauth2)`.
fn watched(function: &ItemFn) -> ItemFn {
    let mut function = function.clone();
    for attribute in &mut function.attrs {
        if routes(std::slice::from_ref(attribute)).is_empty() {
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

/// The routes of the routing macros among these attributes; none of an attribute that actix itself
/// will complain about.
fn routes(attributes: &[Attribute]) -> Vec<Route> {
    let mut routes = Vec::new();
    for attribute in attributes {
        let Some(name) = attribute.path().segments.last().map(|last| last.ident.to_string()) else {
            continue;
        };
        let method = match name.as_str() {
            "get" | "post" | "put" | "delete" | "head" | "connect" | "options" | "trace"
            | "patch" => Some(LitStr::new(&name.to_uppercase(), attribute.path().span())),
            "route" => None,
            _ => continue,
        };
        // Another crate's `#[trace]`, say. Of a routing macro that is wrong, actix itself complains.
        let Meta::List(list) = &attribute.meta else { continue };
        let Ok(RouteArgs { pattern, options }) = RouteArgs::parse.parse2(list.tokens.clone())
        else {
            continue;
        };
        let methods = method.into_iter().chain(options.iter().filter_map(method_option)).collect();
        routes.push(Route { pattern, methods });
    }
    routes
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
