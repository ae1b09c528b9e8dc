//! OAuth2 resource-server middleware for actix-web. With one line, `App::wrap(oauth2)`, every request must
//! have an access token that is genuine, meant for this API and not expired.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, get};
//! use oauth2_actix::{Claims, OAuth2, Provider, public, require_claim};
//!
//! #[get("/me")]
//! async fn me(claims: Claims) -> String {
//!     claims.subject().unwrap_or("an unnamed user").to_owned()
//! }
//!
//! #[get("/admin")]
//! #[require_claim("role", "admin")]
//! async fn admin() -> &'static str {
//!     "hello"
//! }
//!
//! #[public]
//! #[get("/health")]
//! async fn health() -> &'static str {
//!     "up"
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let oauth2 = OAuth2::builder()
//!         .provider(
//!             "google",
//!             Provider::new()
//!                 .issuer("https://accounts.google.com")
//!                 .audience("1234.apps.googleusercontent.com")
//!                 .keys("https://www.googleapis.com/oauth2/v3/certs"),
//!         )
//!         .key_refresh_minutes(30)
//!         .build()?;
//!     let app = move || {
//!         App::new().wrap(oauth2.clone()).service(me).service(admin).service(health)
//!     };
//!     HttpServer::new(app)
//!         .bind("127.0.0.1:8080")?
//!         .run()
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! # What is checked
//!
//! 1. The token is a JWT in JWS compact form, at most 16 KiB, in strict base64url and JSON.
//! 2. Its `iss` and `aud` are those of a configured provider.
//! 3. `exp` is in the future and `nbf`, if present, in the past; other registered claims have the right type.
//! 4. One of that provider's keys verifies it, with an algorithm that this key allows.
//!
//! With [introspection], opaque tokens are accepted too, if their issuer reports them as
//! active. With [API keys](crate::api_keys), a token with their prefix is accepted if its hash is known. With
//! [`Provider::dpop`] or [`Provider::certificate_bound`], a token that is bound to a key or certificate of the client
//! needs its proof or certificate.
//!
//! Not checked by default: whether the token was revoked ([`revocation`]), and which client sends it. What the token
//! permits is checked by [`require_claim`](macro@require_claim), [`require_scope`](macro@require_scope) and
//! [`require`](macro@require) on a handler, by a [`Requirement`](requirement::Requirement) around a scope, or
//! through [`Claims`].
//!
//! # Responses
//!
//! | Situation | HTTP | WebSocket |
//! | --- | --- | --- |
//! | no `Authorization` header | 400 (401 by [`MissingToken`]) | 101, then close 1008 |
//! | header malformed | 400 `invalid_request` | 101, then close 1008 |
//! | token rejected | 401 `invalid_token` | 101, then close 1008 |
//! | another or a more recent authentication required | 401 `insufficient_user_authentication` | 101, then close 1008 |
//! | scope or claim missing | 403 `insufficient_scope` | 101, then close 1008 |
//! | keys, introspection endpoint, deny list, status list, source of API keys, store of used DPoP proofs, or a check of the application not available | 503 with `Retry-After` | 101, then close 1013 |
//! | claims extracted without the middleware | 500, empty | 500, empty |
//!
//! # Features
//!
//! - `websocket` (default): upgrades are rejected by a close frame that a browser's script can read.
//! - `metrics`: counters and timings on the facade of the [`metrics`](https://docs.rs/metrics) crate.
//! - `rustls-0_23`, `openssl`: the client's certificate of listeners with this TLS library: see [`mtls`].
//! - `redis`: the stores that the processes of an API share:
//!   [`RedisReplayStore`](crate::dpop::RedisReplayStore) for used DPoP proofs, and
//!   [`RedisRevocationStore`](crate::revocation::RedisRevocationStore) for the deny list.
//! - `testing`: keys, tokens, a small identity provider, for tests and development.
//! - `utoipa`: the access rules in OpenAPI documents of the crate [`utoipa`](https://docs.rs/utoipa).
//! - `vendored-openssl`: builds OpenSSL from source.
//!
//! # Pages
//!
//! [`_docs`] has the pages of the repository's `docs` folder: recipes, operations, WebSockets, CORS, …

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod __fuzz;
#[doc(hidden)]
pub mod __private;
pub mod access;
pub mod api_keys;
mod authorize;
mod builder;
mod config;
pub mod dpop;
mod error;
pub mod exchange;
mod http;
pub mod introspection;
mod jose;
mod json;
mod keys;
pub mod logout;
pub mod mcp;
mod middleware;
pub mod mtls;
mod outbound;
mod policy;
mod protected_resource;
mod provider;
pub mod public;
mod request;
mod response;
pub mod revocation;
pub mod status;
pub mod status_list;
#[cfg(feature = "redis")]
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
mod util;
#[cfg(feature = "websocket")]
pub mod ws;

/// The pages of the repository's `docs` folder. Only in the documentation.
#[cfg(all(doc, not(doctest)))]
#[allow(rustdoc::invalid_rust_codeblocks)] // Some code is shortened.
pub mod _docs {
    // The first definition of a link is the one that is used: here the module of the page.
    #[doc = "[revocation.md]: crate::_docs::revocation\n"]
    #[doc = include_str!("../docs/api-keys.md")]
    pub mod api_keys {}

    #[doc = "[public-routes.md]: crate::_docs::public_routes\n"]
    #[doc = include_str!("../docs/authorization.md")]
    pub mod authorization {}

    #[doc = "[authorization.md]: crate::_docs::authorization\n"]
    #[doc = "[operations.md]: crate::_docs::operations\n"]
    #[doc = "[providers.md]: crate::_docs::providers\n"]
    #[doc = "[public-routes.md]: crate::_docs::public_routes\n"]
    #[doc = "[responses.md]: crate::_docs::responses\n"]
    #[doc = "[websockets.md]: crate::_docs::websockets\n"]
    #[doc = "[when-the-provider-fails.md]: crate::_docs::when_the_provider_fails\n"]
    #[doc = "[dpop.md]: crate::_docs::dpop\n"]
    #[doc = "[mtls.md]: crate::_docs::mtls\n"]
    #[doc = "[security.md]: crate::_docs::security\n"]
    #[doc = "[revocation.md]: crate::_docs::revocation\n"]
    #[doc = "[introspection.md]: crate::_docs::introspection\n"]
    #[doc = "[token-exchange.md]: crate::_docs::token_exchange\n"]
    #[doc = "[api-keys.md]: crate::_docs::api_keys\n"]
    #[doc = include_str!("../docs/configuration.md")]
    pub mod configuration {}

    #[doc = "[dpop.md]: crate::_docs::dpop\n"]
    #[doc = "[websockets.md]: crate::_docs::websockets\n"]
    #[doc = include_str!("../docs/cors.md")]
    pub mod cors {}

    #[doc = "[public-routes.md]: crate::_docs::public_routes\n"]
    #[doc = "[recipes.md]: crate::_docs::recipes\n"]
    #[doc = "[when-the-provider-fails.md]: crate::_docs::when_the_provider_fails\n"]
    #[doc = "[revocation.md]: crate::_docs::revocation\n"]
    #[doc = "[introspection.md]: crate::_docs::introspection\n"]
    #[doc = include_str!("../docs/operations.md")]
    pub mod operations {}

    #[doc = "[configuration.md]: crate::_docs::configuration\n"]
    #[doc = "[cors.md]: crate::_docs::cors\n"]
    #[doc = "[websockets.md]: crate::_docs::websockets\n"]
    #[doc = include_str!("../docs/dpop.md")]
    pub mod dpop {}

    #[doc = "[configuration.md]: crate::_docs::configuration\n"]
    #[doc = "[dpop.md]: crate::_docs::dpop\n"]
    #[doc = "[mtls.md]: crate::_docs::mtls\n"]
    #[doc = "[operations.md]: crate::_docs::operations\n"]
    #[doc = "[revocation.md]: crate::_docs::revocation\n"]
    #[doc = include_str!("../docs/introspection.md")]
    pub mod introspection {}

    #[doc = "[authorization.md]: crate::_docs::authorization\n"]
    #[doc = "[cors.md]: crate::_docs::cors\n"]
    #[doc = include_str!("../docs/mcp.md")]
    pub mod mcp {}

    #[doc = "[configuration.md]: crate::_docs::configuration\n"]
    #[doc = include_str!("../docs/mtls.md")]
    pub mod mtls {}

    #[doc = "[configuration.md]: crate::_docs::configuration\n"]
    #[doc = "[operations.md]: crate::_docs::operations\n"]
    #[doc = include_str!("../docs/providers.md")]
    pub mod providers {}

    #[doc = "[recipes.md]: crate::_docs::recipes\n"]
    #[doc = include_str!("../docs/public-routes.md")]
    pub mod public_routes {}

    #[doc = "[providers.md]: crate::_docs::providers\n"]
    #[doc = "[public-routes.md]: crate::_docs::public_routes\n"]
    #[doc = "[when-the-provider-fails.md]: crate::_docs::when_the_provider_fails\n"]
    #[doc = "[token-exchange.md]: crate::_docs::token_exchange\n"]
    #[doc = include_str!("../docs/recipes.md")]
    pub mod recipes {}

    #[doc = "[authorization.md]: crate::_docs::authorization\n"]
    #[doc = "[cors.md]: crate::_docs::cors\n"]
    #[doc = "[public-routes.md]: crate::_docs::public_routes\n"]
    #[doc = "[recipes.md]: crate::_docs::recipes\n"]
    #[doc = "[websockets.md]: crate::_docs::websockets\n"]
    #[doc = "[dpop.md]: crate::_docs::dpop\n"]
    #[doc = "[revocation.md]: crate::_docs::revocation\n"]
    #[doc = "[api-keys.md]: crate::_docs::api_keys\n"]
    #[doc = include_str!("../docs/responses.md")]
    pub mod responses {}

    #[doc = "[operations.md]: crate::_docs::operations\n"]
    #[doc = "[when-the-provider-fails.md]: crate::_docs::when_the_provider_fails\n"]
    #[doc = include_str!("../docs/revocation.md")]
    pub mod revocation {}

    #[doc = include_str!("../docs/security.md")]
    pub mod security {}

    #[doc = "[configuration.md]: crate::_docs::configuration\n"]
    #[doc = "[introspection.md]: crate::_docs::introspection\n"]
    #[doc = "[revocation.md]: crate::_docs::revocation\n"]
    #[doc = include_str!("../docs/token-exchange.md")]
    pub mod token_exchange {}

    #[doc = "[api-keys.md]: crate::_docs::api_keys\n"]
    #[doc = "[dpop.md]: crate::_docs::dpop\n"]
    #[doc = "[introspection.md]: crate::_docs::introspection\n"]
    #[doc = "[revocation.md]: crate::_docs::revocation\n"]
    #[doc = include_str!("../docs/websockets.md")]
    pub mod websockets {}

    #[doc = "[configuration.md]: crate::_docs::configuration\n"]
    #[doc = "[operations.md]: crate::_docs::operations\n"]
    #[doc = "[recipes.md]: crate::_docs::recipes\n"]
    #[doc = "[revocation.md]: crate::_docs::revocation\n"]
    #[doc = "[api-keys.md]: crate::_docs::api_keys\n"]
    #[doc = include_str!("../docs/when-the-provider-fails.md")]
    pub mod when_the_provider_fails {}
}

/// Compiles the programs of README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use crate::{
    authorize::requirement,
    builder::{
        OAuth2Builder,
        oauth2::{KeyFetchError, OAuth2},
    },
    config::{
        binding::Binding,
        client_authentication::ClientAuthentication,
        error::{ConfigError, ConfigErrorKind, ConfigFault},
        keys::Keys,
        missing_token::MissingToken,
        provider::Provider,
        resource::Resource,
        tenants,
        token_cache::TokenCacheConfig,
    },
    error::{Error, ErrorKind, difference::Difference},
    jose::{
        algorithm::{Algorithm, UnknownAlgorithm},
        header::JoseHeader,
        key_policy::CryptoBackend,
    },
    keys::source::KeySource,
    protected_resource::service::ResourceMetadata,
    request::token_source::TokenRequests,
    token::{
        actor::Actor,
        claims::{Claims, OptionalClaims, TypedClaims},
        expiring_body::{ExpiringBody, until_expiry},
        principal::{Principal, PrincipalError},
        principal_key::PrincipalKey,
    },
};
/// The HTTP client whose builder [`OAuth2Builder::configure_http_client`] adjusts, in the version that this
/// crate uses.
pub use reqwest;

#[doc(hidden)]
pub use crate::{
    authorize::middleware::{RequirementFuture, RequirementMiddleware},
    middleware::{OAuth2Future, OAuth2Middleware},
};
#[doc(inline)]
pub use oauth2_actix_macros::{
    authenticated, deny_delegated, guarded, public, require, require_acr, require_actor,
    require_auth_age, require_authorization_detail, require_claim, require_dpop, require_policy,
    require_scope,
};
