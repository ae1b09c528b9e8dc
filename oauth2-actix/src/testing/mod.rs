//! What tests and examples need: keys, signed tokens, a small identity provider, a key server that
//! misbehaves on demand, a clock that you move. Behind the feature `testing`; it adds to the crate
//! and changes none of its checks. For development only.
//!
//! With `OAUTH2_ACTIX_TOKEN_CACHE=off` in the environment, policies for which no
//! [`TokenCache`](crate::TokenCache) is set have none, so that a suite can be run both ways; with
//! `OAUTH2_ACTIX_CRYPTO_LIBRARY=openssl`, OpenSSL checks all signatures where nothing else is set.
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

// A kit for tests says so when its own assumptions fail.
#![allow(clippy::missing_panics_doc)]

mod clock;
mod identity_provider;
mod key_server;
mod local_server;
mod signing_key;
mod token;

pub use self::{
    clock::ManualClock,
    identity_provider::{IdentityProvider, RunningIdentityProvider},
    key_server::{Answer, KeyServer, Release},
    local_server::LocalServer,
    signing_key::SigningKey,
    token::Token,
};

/// Whether the environment says so.
pub(crate) fn says(variable: &str, value: &str) -> bool {
    std::env::var_os(variable).is_some_and(|found| found == value)
}

/// A policy with one provider and a key that nobody has: for documentation.
#[doc(hidden)]
#[must_use]
pub fn policy() -> crate::OAuth2 {
    let key = SigningKey::generate(crate::Algorithm::ES256, "key-1");
    let provider =
        crate::Provider::new().issuer("https://idp.test").audience("api").keys(key.jwk_set());
    crate::OAuth2::builder().provider("test", provider).build().expect("a policy")
}
