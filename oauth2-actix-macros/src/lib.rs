//! Attribute macros of `oauth2-actix`, which re-exports and documents them: depend on that crate,
//! not on this.
//!
//! Each file is one stage: `args` parses the arguments, `item` checks the function, `route` reads the routing
//! macros below an attribute, `rule` merges stacked attributes, `expand` and `public` generate the tokens, and
//! `guarded` checks a module. After an error, the developer's function is emitted unchanged, so that one
//! mistake causes one message.

mod args;
mod expand;
mod guarded;
mod item;
mod public;
mod route;
mod rule;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::ToTokens;

use crate::rule::Part;

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
    expand_rule("require_claim", args, function)
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
    expand_rule("require_scope", args, function)
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
    expand_rule("require", args, function)
}

/// Requires a valid token, and nothing else of it.
///
/// ```
/// use actix_web::get;
/// use oauth2_actix::{Claims, authenticated};
///
/// #[authenticated]
/// #[get("/me")]
/// async fn me(claims: Claims) -> String {
///     claims.subject().unwrap_or("an unnamed user").to_owned()
/// }
/// ```
///
/// Every route inside `OAuth2` needs a valid token anyway. The attribute says that this is meant: the route is
/// listed in `access::routes()`, and accepted by [`macro@guarded`]. On a public path,
/// a request without a valid token is rejected with 400 or 401, as on a private route. It takes no arguments.
#[proc_macro_attribute]
pub fn authenticated(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_rule("authenticated", args, function)
}

/// Requires that the claims satisfy a policy of `OAuth2Builder::policy`.
///
/// ```standalone_crate
/// use actix_web::{get, HttpResponse};
/// use oauth2_actix::{OAuth2, require_policy, requirement};
///
/// #[require_policy("back-office")]
/// #[get("/refunds")]
/// async fn refunds() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
///
/// let builder = OAuth2::builder().policy(
///     "back-office",
///     requirement::all([requirement::claim("role", "staff"), requirement::scopes(["refunds"])]),
/// );
/// # drop(builder);
/// ```
///
/// The name is a literal or a constant. `OAuth2Builder::build` fails if the
/// program has a handler with the name of a policy that is not defined. The rest is the same as for
/// [`macro@require_claim`].
#[proc_macro_attribute]
pub fn require_policy(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_rule("require_policy", args, function)
}

/// Requires that the subject authenticated in one of these ways: the token's `acr` equals one of the values (RFC
/// 9470).
///
/// ```
/// use actix_web::{HttpResponse, post};
/// use oauth2_actix::{require_acr, require_auth_age, require_scope};
///
/// #[require_scope("payments:write")]
/// #[require_acr("urn:example:hardware-key", "urn:example:otp")]
/// #[require_auth_age(300)]
/// #[post("/payments")]
/// async fn pay() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// The values are literals or constants, in the order of preference, and one of them is enough. A token that does
/// not satisfy it gets 401 `insufficient_user_authentication`, before 403 for a missing scope or claim, or close 1008
/// for a WebSocket. The challenge has `acr_values`, `max_age` and `scope` of the whole rule, so that the client can
/// ask the provider for what is missing. A value that cannot be in `acr_values` is a compile error. The rest is the
/// same as for [`macro@require_claim`].
#[proc_macro_attribute]
pub fn require_acr(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_rule("require_acr", args, function)
}

/// Requires that the subject authenticated at most this number of seconds ago, by `auth_time` (RFC 9470), at each
/// request.
///
/// ```
/// use actix_web::{HttpResponse, post};
/// use oauth2_actix::require_auth_age;
///
/// #[require_auth_age(300)]
/// #[post("/password")]
/// async fn change() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// The number is a literal or a constant of type `u64`, and at least 1. The leeway of the policy is added. An
/// `auth_time` that is missing, of another type or in the future does not satisfy it. The rest is the same as for
/// [`macro@require_acr`].
#[proc_macro_attribute]
pub fn require_auth_age(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_rule("require_auth_age", args, function)
}

/// Requires that one of these subjects acts for the token's subject: `sub` of the outermost `act` (RFC 8693 §4.1).
///
/// ```
/// use actix_web::{HttpResponse, post};
/// use oauth2_actix::require_actor;
///
/// #[require_actor("billing-agent")]
/// #[post("/invoices")]
/// async fn invoice() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// The subjects are literals or constants, of the token's own issuer; for another issuer, use
/// `requirement::actor_of` in a policy. The rest is the same as for [`macro@require_claim`].
#[proc_macro_attribute]
pub fn require_actor(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_rule("require_actor", args, function)
}

/// Requires that the subject itself acts: the token has no `act` (RFC 8693 §4.1).
///
/// ```
/// use actix_web::{HttpResponse, delete};
/// use oauth2_actix::deny_delegated;
///
/// #[deny_delegated]
/// #[delete("/account")]
/// async fn close() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// An `act` of any type counts. It takes no arguments. The rest is the same as for [`macro@require_claim`].
#[proc_macro_attribute]
pub fn deny_delegated(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_rule("deny_delegated", args, function)
}

/// Requires a token that is bound to a DPoP key, whose proof the request has (RFC 9449 §7).
///
/// ```
/// use actix_web::{HttpResponse, post};
/// use oauth2_actix::require_dpop;
///
/// #[require_dpop]
/// #[post("/transfers")]
/// async fn transfer() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// Another token gets 401 with the challenge of `DPoP`. It takes no arguments. The rest is the same as for
/// [`macro@require_claim`].
#[proc_macro_attribute]
pub fn require_dpop(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_rule("require_dpop", args, function)
}

/// Requires an object of this `type` in `authorization_details` (RFC 9396) that a function of the application accepts.
///
/// ```
/// use actix_web::{HttpResponse, post};
/// use oauth2_actix::require_authorization_detail;
/// use serde_json::Value;
///
/// fn in_euros(detail: &Value) -> bool {
///     detail["instructedAmount"]["currency"] == "EUR"
/// }
///
/// #[require_authorization_detail("payment_initiation", in_euros)]
/// #[post("/payments")]
/// async fn pay() -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
/// ```
///
/// The type is a literal or a constant. The function gets the objects that `Claims::authorization_details` returns,
/// and one that it accepts is enough. It must not block. To compare an object with the request, read it in the
/// handler. The rest is the same as for [`macro@require_claim`].
#[proc_macro_attribute]
pub fn require_authorization_detail(args: TokenStream, function: TokenStream) -> TokenStream {
    expand_rule("require_authorization_detail", args, function)
}

/// Denies by default: a handler of the module that has a routing macro and no access rule is a compile error.
///
/// ```
/// use oauth2_actix::guarded;
///
/// #[guarded]
/// mod api {
///     use actix_web::{get, post};
///     use oauth2_actix::{authenticated, public, require_scope};
///
///     #[public]
///     #[get("/health")]
///     pub async fn health() -> &'static str {
///         "up"
///     }
///
///     #[authenticated]
///     #[get("/me")]
///     pub async fn me() -> &'static str {
///         "a valid token"
///     }
///
///     #[post("/orders")]
///     #[require_scope("orders:write")]
///     pub async fn create() -> &'static str {
///         "created"
///     }
/// }
///
/// # let app = actix_web::App::new().service(api::health).service(api::me).service(api::create);
/// # drop(app);
/// ```
///
/// The access rules are [`macro@public`], [`macro@authenticated`], [`macro@deny_delegated`], [`macro@require`],
/// [`macro@require_scope`], [`macro@require_claim`] and the other `require_…`, in any order with the routing
/// macro. Nested modules and functions are checked too. The module has braces; it may be one of actix's
/// `#[scope("/prefix")]` modules, in either order.
///
/// A handler that this check cannot see is an error: in a macro, in a module of another file, or with a routing
/// macro that the module imports under another name. Two limits remain: a routing macro that another module
/// exports under another name, and an attribute of another crate that is named like an access rule.
/// `testing::assert_every_route_has_an_access_rule` finds both. Handlers without a routing macro, which are registered by
/// `.route(…)`, are checked by that function too.
#[proc_macro_attribute]
pub fn guarded(args: TokenStream, module: TokenStream) -> TokenStream {
    match guarded::parse(module.clone()) {
        Ok(parsed) => match guarded::expand(&args.into(), parsed) {
            (module, None) => module.into_token_stream().into(),
            (_, Some(errors)) => with_errors(module, &errors),
        },
        Err(error) => with_errors(module, &error),
    }
}

fn expand_rule(name: &str, args: TokenStream, function: TokenStream) -> TokenStream {
    let args = args.into();
    if rule::is_merged(&args) {
        // The attribute that was merged has its check as an argument. Any other function has none.
        return match item::parse(function.clone()) {
            Ok(item) if item::has_check(&item) => function,
            Ok(item) => {
                let problem = format!(
                    "this `#[{name}]` is lost: another macro has taken the check of the attribute above; write \
                     the access rules below that macro"
                );
                with_errors(function, &syn::Error::new_spanned(&item.sig.ident, problem))
            }
            Err(error) => with_errors(function, &error),
        };
    }
    let part = Part::parse(name, args);
    let item = item::parse(function.clone())
        .and_then(|item| item::check_handler(&item, name).map(|()| item));
    match args::both(part, item) {
        Ok((part, mut item)) => {
            let mut parts = vec![part];
            parts.extend(rule::take_parts(&mut item));
            expand::with_rule(item, &parts, Span::call_site()).into()
        }
        Err(errors) => with_errors(function, &errors),
    }
}

/// Returns the developer's item unchanged, and the errors.
fn with_errors(item: TokenStream, errors: &syn::Error) -> TokenStream {
    let mut tokens = item;
    tokens.extend(TokenStream::from(errors.to_compile_error()));
    tokens
}
