//! `#[public]`: adds a middleware to the routing macros below it, and a row for each of their routes to the
//! table of public routes.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, Expr, ExprLit, ItemFn, Lit, LitStr, Meta, Result, Token,
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

/// Expands `#[public]` on a function.
pub(crate) fn expand(args: &TokenStream, function: &ItemFn, span: Span) -> Result<TokenStream> {
    check(args, function, span)?;
    let mut function = function.clone();
    let rows: Vec<TokenStream> =
        function.attrs.iter().filter_map(route).map(|route| row(&route, &function, span)).collect();
    function
        .attrs
        .iter_mut()
        .filter(|attribute| route(attribute).is_some())
        .for_each(add_public_middleware);
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
    if errors.is_empty() && !function.attrs.iter().any(|attribute| route(attribute).is_some()) {
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

/// Adds the middleware that makes a resource public to a routing macro, as its last and so outermost one.
fn add_public_middleware(attribute: &mut Attribute) {
    let Meta::List(list) = &mut attribute.meta else { return };
    let arguments = &list.tokens;
    let ends_with_comma = matches!(
        arguments.clone().into_iter().last(),
        Some(TokenTree::Punct(last)) if last.as_char() == ','
    );
    let comma = (!ends_with_comma).then(|| quote!(,));
    list.tokens = quote! {
        #arguments #comma wrap = "::oauth2_actix::__private::PublicResource"
    };
}

/// Generates the row of a route in the link-time table.
fn row(Route { pattern, methods }: &Route, function: &ItemFn, span: Span) -> TokenStream {
    let conditions = item::conditions(function);
    let handler = function.sig.ident.to_string();
    let handler = handler.strip_prefix("r#").unwrap_or(&handler);
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
                ::core::concat!(::core::module_path!(), "::", #handler),
                ::core::file!(),
                ::core::line!(),
            );
        };
    }
}

/// Parses the route of a routing macro. None for another attribute such as another crate's `#[trace]`, or one
/// that actix itself rejects.
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

/// Returns the value of `method = "…"`.
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
