//! The routing macros of actix-web that are below an attribute: their methods and patterns, and one more
//! `wrap` for each.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Expr, ExprLit, ItemFn, Lit, LitStr, Meta, Result, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
    spanned::Spanned,
};

/// One route of a handler.
pub(crate) struct Route {
    pub(crate) pattern: LitStr,
    pub(crate) methods: Vec<LitStr>,
    /// The value of `name = "…"`.
    pub(crate) name: Option<LitStr>,
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

/// Returns the routes of the routing macros on a function.
pub(crate) fn routes(function: &ItemFn) -> Vec<Route> {
    function.attrs.iter().filter_map(route).collect()
}

/// Adds a middleware to each routing macro on a function, as its last and so outermost one.
pub(crate) fn wrap(function: &mut ItemFn, middleware: &str) {
    for attribute in function.attrs.iter_mut().filter(|attribute| route(attribute).is_some()) {
        let Meta::List(list) = &mut attribute.meta else { continue };
        let arguments = &list.tokens;
        let ends_with_comma = matches!(
            arguments.clone().into_iter().last(),
            Some(TokenTree::Punct(last)) if last.as_char() == ','
        );
        let comma = (!ends_with_comma).then(|| quote!(,));
        list.tokens = quote! { #arguments #comma wrap = #middleware };
    }
}

/// Returns whether an attribute has the name of a routing macro, also if its arguments are invalid.
pub(crate) fn is_routing_macro(name: &str) -> bool {
    method(name).is_some() || matches!(name, "route" | "routes")
}

/// Parses the route of a routing macro. None for another attribute such as another crate's `#[trace]`, or one
/// that actix itself rejects.
fn route(attribute: &Attribute) -> Option<Route> {
    let name = attribute.path().segments.last()?.ident.unraw().to_string();
    let method = match method(&name) {
        Some(method) => Some(LitStr::new(&method, attribute.path().span())),
        None if name == "route" => None,
        None => return None,
    };
    let Meta::List(list) = &attribute.meta else { return None };
    let RouteArgs { pattern, options } = RouteArgs::parse.parse2(list.tokens.clone()).ok()?;
    let option = |name: &'static str| options.iter().filter_map(move |option| text(option, name));
    let name = option("name").next();
    Some(Route { pattern, methods: method.into_iter().chain(option("method")).collect(), name })
}

/// Returns the method of a routing macro of one method.
fn method(name: &str) -> Option<String> {
    let has_one_method = matches!(
        name,
        "get"
            | "post"
            | "put"
            | "delete"
            | "head"
            | "connect"
            | "options"
            | "trace"
            | "patch"
            | "query"
    );
    has_one_method.then(|| name.to_uppercase())
}

/// Returns the value of an option such as `method = "…"`.
fn text(option: &Expr, name: &str) -> Option<LitStr> {
    let Expr::Assign(assignment) = option else { return None };
    match (&*assignment.left, &*assignment.right) {
        (Expr::Path(left), Expr::Lit(ExprLit { lit: Lit::Str(value), .. }))
            if left.path.is_ident(name) =>
        {
            Some(value.clone())
        }
        _ => None,
    }
}

/// The path of a handler, such as `my_api::routes::health`, as an expression.
pub(crate) fn handler_path(function: &ItemFn) -> TokenStream {
    let handler = handler_name(function);
    quote! { ::core::concat!(::core::module_path!(), "::", #handler) }
}

/// The name of a handler, without `r#`.
pub(crate) fn handler_name(function: &ItemFn) -> String {
    let name = function.sig.ident.to_token_stream().to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}
