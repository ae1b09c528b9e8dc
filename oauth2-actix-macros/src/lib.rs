//! Attribute macros of `oauth2-actix`, which re-exports and documents them: depend on that crate,
//! not on this.
//!
//! Each file is one stage: `args` parses the arguments, `item` checks the function, `expand` and `public`
//! generate the tokens. After an error, the developer's function is emitted unchanged, so that one mistake
//! causes one message.

mod args;
mod expand;
mod item;
mod public;

use proc_macro::TokenStream;
use proc_macro2::Span;
use syn::parse::{Parse, Parser};

/// Makes a route public: the route of the routing macro below it, for that macro's methods, in every scope in
/// which it is registered.
///
/// ```
/// use actix_web::{get, post, web, App};
/// use oauth2_actix::public;
///
/// #[public]
/// #[get("/health")]
/// async fn health() -> &'static str {
///     "up"
/// }
///
/// /// The same path with another method: private.
/// #[post("/health")]
/// async fn report() -> &'static str {
///     "thanks"
/// }
///
/// // No prefix to repeat: /api/v1/health and /api/v2/health are public.
/// let app = App::new().service(web::scope("/api/{version}").service(health).service(report));
/// # drop(app);
/// ```
///
/// Write it above `#[get]`, …, `#[query]`, `#[route]` or `#[routes]`, also inside a `#[scope]` module. It
/// takes no arguments. Attributes of other crates may be above or below it. Register the handler with
/// `.service(health)`; for handlers in `.route(…)`, scopes and `Files` use `PublicAccess`, or `public_paths`.
/// `#[get]` does not answer HEAD: for both, use `#[route("/health", method = "GET", method = "HEAD")]`.
///
/// actix's router decides: a request without a valid token is served if the router takes it to this handler,
/// and otherwise rejected before any handler or extractor runs. So a private route that is registered first
/// and also matches gets the request.
///
/// A request with a valid token has its claims; an invalid token counts as a missing one.
/// `public::routes()` lists all public routes of a program.
///
/// A request for a public route is rejected, with a warning in the log, if a middleware inside `OAuth2` waits
/// before it calls the next service (`from_fn`, sessions) or responds itself: wrap such a middleware around
/// the App, after `OAuth2`.
#[proc_macro_attribute]
pub fn public(args: TokenStream, function: TokenStream) -> TokenStream {
    let expanded = item::parse(function.clone())
        .and_then(|item| public::expand(&args.into(), &item, Span::call_site()));
    match expanded {
        Ok(tokens) => tokens.into(),
        Err(errors) => with_errors(function, &errors),
    }
}

/// Requires a claim before a handler runs.
///
/// ```
/// use actix_web::{get, HttpResponse};
/// use oauth2_actix::require_claim;
///
/// #[get("/admin")]
/// #[require_claim("role", "admin")]
/// async fn admin() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// | Form | Requires that the claim |
/// | --- | --- |
/// | `("role", "admin")` | equals the value, or is a list that contains it |
/// | `("level", 7)`, `("active", true)` | the same for an integer or a bool |
/// | `("role", any_of("admin", "support"))` | is or contains one of them |
/// | `("groups", all_of("ops", "on-call"))` | contains all of them |
/// | `("email")` | is present and not null |
/// | `(ROLES, any_of(ADMIN, Role::Support))` | the same with constants |
///
/// A name that starts with `/` is a JSON pointer (RFC 6901): `"/realm_access/roles"`. A part of a string or a
/// value of another type never matches. Several attributes mean *and*. The attribute may be above or below
/// the routing macro and other crates' attributes, or on a plain function for `web::get().to(…)`, and uses
/// one of the 16 arguments that actix allows. `any_of` and `all_of` accept an array too.
///
/// A constant is a `&'static str`, an integer or a `bool`; as a value it may also have a type of the
/// application that converts into a `ClaimValue`:
///
/// ```
/// use actix_web::{get, HttpResponse};
/// use oauth2_actix::{require_claim, requirement::ClaimValue};
///
/// const ROLES: &str = "/realm_access/roles";
///
/// enum Role {
///     Admin,
///     Support,
/// }
///
/// impl From<Role> for ClaimValue {
///     fn from(role: Role) -> Self {
///         Self::from(match role {
///             Role::Admin => "admin",
///             Role::Support => "support",
///         })
///     }
/// }
///
/// #[get("/tickets")]
/// #[require_claim(ROLES, any_of(Role::Admin, Role::Support))]
/// async fn tickets() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// A rejection is 403 `insufficient_scope`, or close 1008 for a WebSocket, before any part of the body is
/// read; on a public request without a valid token 400 or 401, and without the middleware 500.
#[proc_macro_attribute]
pub fn require_claim(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_requirement("require_claim", args, function, expand::claim)
}

/// Requires scopes before a handler runs: in `scope` or `scp`, each a space-separated string or a list (RFC
/// 6749 §3.3).
///
/// ```
/// use actix_web::{get, HttpResponse};
/// use oauth2_actix::require_scope;
///
/// #[get("/orders")]
/// #[require_scope("orders:read")]
/// async fn orders() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
///
/// #[get("/reports")]
/// #[require_scope(any_of("reports", ADMIN))]
/// async fn reports() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
///
/// const ADMIN: &str = "admin";
/// ```
///
/// `("a", "b")` requires all of them, `(any_of("a", "b"))` one. A scope is a literal or a constant, and one
/// that is not a scope-token is a compile error. The rest is the same as for [`macro@require_claim`], and the
/// challenge names the scopes.
#[proc_macro_attribute]
pub fn require_scope(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_requirement("require_scope", args, function, expand::scope)
}

/// Requires that a function of the application accepts the request, before a handler runs.
///
/// ```
/// use actix_web::{get, HttpRequest, HttpResponse};
/// use oauth2_actix::{Claims, require};
///
/// fn verified(claims: &Claims) -> bool {
///     claims.has_claim("email_verified", true)
/// }
///
/// fn owner(claims: &Claims, request: &HttpRequest) -> Result<(), &'static str> {
///     if claims.subject() == request.match_info().get("user") { Ok(()) } else { Err("not the owner") }
/// }
///
/// #[get("/users/{user}")]
/// #[require(verified)]
/// #[require(owner)]
/// async fn profile() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// The function takes `&Claims`, or `&Claims` and `&HttpRequest`, and returns a bool, or a `Result` whose
/// error is a text for the log; the client gets the fixed text of 403. It must not block.
#[proc_macro_attribute]
pub fn require(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_requirement("require", args, function, expand::function)
}

fn expand_requirement<A: Parse>(
    name: &str,
    args: TokenStream,
    function: TokenStream,
    check: fn(&A) -> proc_macro2::TokenStream,
) -> TokenStream {
    let args = A::parse.parse(args);
    let item = item::parse(function.clone())
        .and_then(|item| item::check_handler(&item, name).map(|()| item));
    match args::both(args, item) {
        Ok((args, item)) => expand::with_check(item, &check(&args)).into(),
        Err(errors) => with_errors(function, &errors),
    }
}

/// Returns the developer's item unchanged, and the errors.
fn with_errors(item: TokenStream, errors: &syn::Error) -> TokenStream {
    let mut tokens = item;
    tokens.extend(TokenStream::from(errors.to_compile_error()));
    tokens
}
