//! Keys, signed tokens, a small identity provider and a clock that tests can move, for tests and examples.
//! Requires the feature `testing`, which adds to the crate and changes none of its checks. For development
//! only.
//!
//! ```
//! use actix_web::{App, HttpResponse, test, web};
//! use oauth2_actix::{OAuth2, Provider, testing::{SigningKey, Token}};
//!
//! # #[actix_web::main]
//! # async fn main() {
//! let key = SigningKey::generate(oauth2_actix::Algorithm::ES256, "key-1");
//! let oauth2 = OAuth2::builder()
//!     .provider(
//!         "test",
//!         Provider::new().issuer("https://idp.test").audience("api").keys(key.jwk_set()),
//!     )
//!     .build()
//!     .expect("a policy");
//! let app = App::new().wrap(oauth2).route("/", web::get().to(HttpResponse::Ok));
//! let app = test::init_service(app).await;
//!
//! let token = Token::new("https://idp.test", "api").claim("role", "admin").sign(&key);
//! let request = test::TestRequest::get()
//!     .insert_header(("authorization", format!("Bearer {token}")))
//!     .to_request();
//! assert_eq!(test::call_service(&app, request).await.status(), 200);
//! # }
//! ```

// It imports `builder`, and may import every folder; other folders import it only in unit tests.
//
// - this file: claims without a token, and a policy for documentation.
// - `access`: assertions on the access rules of an app.
// - `dpop_proof`: DPoP proofs with any header and claims.
// - `identity_provider`: a small identity provider, at which users sign in without a password.
// - `local_server`: an actix server on a loopback port.
// - `resource_map`: the resources that an app's router knows.
// - `signing_key`: keys that sign tokens, and their public halves in every form.
// - `token`: tokens with any header and claims.

// Test utilities panic when their own assumptions fail.
#![allow(clippy::missing_panics_doc)]

mod access;
mod dpop_proof;
mod identity_provider;
mod local_server;
mod resource_map;
mod signing_key;
mod token;

pub use self::{
    access::{
        assert_access_snapshot, assert_every_route_has_an_access_rule,
        assert_every_route_has_an_access_rule_except,
    },
    dpop_proof::DpopProof,
    identity_provider::{IdentityProvider, RunningIdentityProvider},
    local_server::LocalServer,
    signing_key::SigningKey,
    token::Token,
};
pub use crate::util::manual_clock::ManualClock;

/// Returns claims for a unit test of a handler or of a function of `&Claims`, without a key, a token or a
/// policy. Their provider is `test`; `iss`, `aud`, `sub`, `iat` and `exp` are added if they are missing.
///
/// In a request's extensions they work like those that [`OAuth2`](crate::OAuth2) inserts, so that the
/// extractors and the `require` attributes accept them:
///
/// ```
/// use actix_web::{App, HttpMessage, get, test};
/// use oauth2_actix::{Claims, require_scope, testing};
/// use serde_json::json;
///
/// #[get("/orders")]
/// #[require_scope("orders:read")]
/// async fn orders(claims: Claims) -> String {
///     format!("orders of {}", claims.subject().unwrap_or_default())
/// }
///
/// # #[actix_web::main]
/// # async fn main() {
/// let app = test::init_service(App::new().service(orders)).await;
/// let request = test::TestRequest::get().uri("/orders").to_request();
/// request.extensions_mut().insert(testing::claims(json!({"sub": "ann", "scope": "orders:read"})));
/// let response = test::call_and_read_body(&app, request).await;
/// assert_eq!(response, "orders of ann");
/// # }
/// ```
///
/// # Panics
///
/// Panics if `claims` is not a JSON object, or is nested deeper than a token may be.
#[must_use]
pub fn claims(claims: serde_json::Value) -> crate::token::claims::Claims {
    let mut claims = match claims {
        serde_json::Value::Object(claims) => claims,
        _ => panic!("claims must be a JSON object"),
    };
    let token = Token::new("https://idp.test", "api");
    for (name, value) in token.into_claims() {
        claims.entry(name).or_insert(value);
    }
    let text = serde_json::Value::Object(claims).to_string();
    let claims = crate::json::object::Object::parse(text.as_bytes()).expect("claims as in a token");
    crate::token::claims::Claims::new(crate::token::verified::VerifiedToken::of("test", claims))
}

/// Returns a policy with one provider and a key that signs no token: for documentation.
#[doc(hidden)]
#[must_use]
pub fn policy() -> crate::builder::oauth2::OAuth2 {
    let key = SigningKey::generate(crate::jose::algorithm::Algorithm::ES256, "key-1");
    let provider = crate::config::provider::Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .keys(key.jwk_set());
    crate::builder::oauth2::OAuth2::builder().provider("test", provider).build().expect("a policy")
}
