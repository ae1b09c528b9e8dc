//! The configuration in code and through serde, its checks, and the assembly of the policy.
//!
//! Owns `OAuth2Builder`, whose `build()` checks all settings at once, and `OAuth2`, the handle to the
//! finished policy. It imports nearly all folders.
//!
//! - this file: the settings of a policy in code.
//! - `access_settings`: the settings in code for access rules.
//! - `api_key_settings`: the settings in code for API keys.
//! - `build`: the checks of all settings, and the assembly of the policy.
//! - `deserialize`: the same settings through serde, as tables.
//! - `endpoints`: the endpoints of providers that this API calls as a client.
//! - `exchange_settings`: the providers at which tokens are exchanged, and the methods of
//!   `OAuth2` that exchange one.
//! - `fapi2_settings`: the FAPI 2.0 Security Profile: what it requires of the settings.
//! - `introspection_settings`: the providers with introspection.
//! - `key_settings`: the settings in code for fetching keys.
//! - `possession_settings`: the settings in code for tokens that are bound to their client.
//! - `resource_settings`: the settings in code for protected resources.
//! - `revocation_settings`: the settings in code for revoked tokens.
//! - `logout_settings`: the settings in code for the receivers of logouts.
//! - `oauth2`: the handle `OAuth2`: verifies tokens, fetches keys, reports the status.
//! - `status_list_settings`: the status lists of providers.
//! - `startup`: the log lines of a new policy.

mod access_settings;
mod api_key_settings;
mod build;
mod deserialize;

mod endpoints;
mod exchange_settings;
mod fapi2_settings;
mod introspection_settings;
mod key_settings;
mod logout_settings;
pub(crate) mod oauth2;
mod possession_settings;
mod resource_settings;
mod revocation_settings;
mod startup;
mod status_list_settings;

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse};
use reqwest::Client;

use crate::{
    api_keys::ApiKeys,
    authorize::requirement::Requirement,
    config::{
        missing_token::MissingToken, provider::Provider, resource::Resource, tenants::Tenants,
        token_cache::TokenCacheConfig,
    },
    dpop::settings::Dpop,
    error::Error,
    http::client::AdjustClient,
    jose::key_policy::CryptoBackend,
    logout::{BackchannelLogout, SecurityEvents},
    mtls::ForwardedCertificate,
    policy::{RejectionHook, principal::PrincipalCallback},
    request::token_source::{CookieToken, TokenRequests, TokenSources},
    revocation::DenyList,
    util::clock::Clock,
};

/// The configuration of [`OAuth2`](crate::OAuth2): in code by the methods here, or through serde from JSON, TOML, YAML or
/// another format.
///
/// ```
/// use oauth2_actix::OAuth2Builder;
///
/// let builder: OAuth2Builder = toml::from_str(r#"
///     public_paths = ["/health", "/docs", "/docs/{tail:.*}"]
///     key_refresh_minutes = 30        # for all, or: { keycloak = 30 }
///     leeway_seconds = 30
///     realm = "orders"
///
///     [providers.keycloak]
///     issuer = "https://sso.example.com/realms/shop"
///     audience = ["orders", "orders-internal"]
///     keys = "https://sso.example.com/realms/shop/protocol/openid-connect/certs"
///     algorithms = ["RS256"]          # default: all asymmetric ones
/// "#)?;
/// let oauth2 = builder.build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Both forms have the same settings, except for those that are code (`configure_http_client`, `tenants`,
/// `on_rejection` and others). `docs/configuration.md` in the repository lists them, and shows how to read
/// them from environment variables. Unknown and duplicate names are errors, and null means the default.
/// `OAuth2Builder::try_from` reads a [`serde_json::Value`], with an error whose faults a program can read.
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct OAuth2Builder {
    pub(crate) providers: Vec<(String, Provider)>,
    pub(crate) public_paths: Vec<String>,
    pub(crate) key_refresh: Option<Duration>,
    /// The per-provider form of serde's `key_refresh_minutes`.
    pub(crate) key_refresh_of: BTreeMap<String, Duration>,
    pub(crate) leeway: Duration,
    pub(crate) max_token_age: Option<Duration>,
    pub(crate) realm: Option<String>,
    pub(crate) missing_token: Option<MissingToken>,
    pub(crate) route_before_rejection: bool,
    pub(crate) max_token_length: Option<usize>,
    pub(crate) token_cache: Option<TokenCacheConfig>,
    pub(crate) crypto_backend: Option<CryptoBackend>,
    pub(crate) token_sources: TokenSources,
    pub(crate) stale_window: Option<Duration>,
    pub(crate) unknown_key_cooldown: Option<Duration>,
    pub(crate) fetch_timeout: Option<Duration>,
    pub(crate) key_snapshot: Option<PathBuf>,
    pub(crate) scope_implies: Vec<(String, Vec<String>)>,
    pub(crate) policies: Vec<(String, Requirement)>,
    pub(crate) check_timeout: Option<Duration>,
    pub(crate) access_report: bool,
    pub(crate) resources: Vec<Resource>,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) principal: Option<PrincipalCallback>,
    pub(crate) principal_lifetime: Option<Duration>,
    pub(crate) adjust_client: Option<AdjustClient>,
    pub(crate) ready_client: Option<Client>,
    pub(crate) dpop: Option<Dpop>,
    pub(crate) forwarded_certificate: Option<ForwardedCertificate>,
    pub(crate) fapi2: bool,
    dangerous_without_revocation_status: bool,
    pub(crate) deny_list: Option<DenyList>,
    pub(crate) backchannel_logout: Option<BackchannelLogout>,
    pub(crate) security_events: Option<SecurityEvents>,
    pub(crate) api_keys: Vec<(String, ApiKeys)>,
    tenants: Option<Tenants>,
    on_rejection: Option<RejectionHook>,
    pub(crate) clock: Clock,
}

impl OAuth2Builder {
    /// Adds an identity provider under a name of your choice. [`Claims::provider`] returns the one that
    /// accepted a token.
    ///
    /// [`Claims::provider`]: crate::Claims::provider
    pub fn provider(mut self, name: impl Into<String>, provider: Provider) -> Self {
        self.providers.push((name.into(), provider));
        self
    }

    /// Adds paths that need no token, for every method: exact ones such as `/health`, or actix
    /// patterns such as `/docs/{tail:.*}`.
    ///
    /// They are whole paths from the root, whatever scope a route or `OAuth2` is in. A path is compared as
    /// actix's router sees it: percent-decoded except for `%25`, `%2F` and `%2B`. A pattern matches only
    /// paths that contain its text outside braces; `*` is not a wildcard, except in `{tail}*`.
    ///
    /// A path is public only if its normal forms are too: with slashes merged, and without a trailing slash.
    /// Otherwise a `NormalizePath` wrapped *inside* `OAuth2` would route the request to another handler. So
    /// `/docs/` is public by `/docs` and `/docs/{tail:.*}` together, and by neither alone; the log names the
    /// pattern to add. If an inner middleware changes the path, for example by adding a slash
    /// (`TrailingSlash::Always`), the path with that slash must be public too. Wrap such a middleware
    /// outside, that is, after `OAuth2`.
    ///
    /// A path with a segment `.` or `..` is not public by a pattern: some handlers, such as `actix_files`,
    /// would resolve it to another path.
    ///
    /// A public request with a valid token has its claims; an invalid token counts as a missing one. A public
    /// request never waits for keys: with a refresh of zero, which fetches keys for every request, it has no
    /// claims.
    ///
    /// ```
    /// use oauth2_actix::OAuth2;
    ///
    /// let builder = OAuth2::builder().public_paths(["/health", "/docs", "/docs/{tail:.*}"]);
    /// # drop(builder);
    /// ```
    pub fn public_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.public_paths.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Looks up providers that are not configured at build time, by the issuer of a token. See [`Tenants`].
    pub fn tenants(mut self, tenants: Tenants) -> Self {
        self.tenants = Some(tenants);
        self
    }

    /// Sets the clock skew that is tolerated for `exp` and `nbf`
    /// ([RFC 7519 §4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4)).
    ///
    /// Default 0, at most 10 minutes; in serde `leeway_seconds`. 30 s is plenty with synchronised clocks. It
    /// extends the life of every token.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets how long after its `iat` a token is accepted, whatever its `exp`
    /// ([RFC 7519 §4.1.6](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.6)).
    ///
    /// In serde `max_token_age_seconds`. From 1 s to 365 days; the leeway is added. Default: none. With it, a
    /// token without `iat` is rejected. For providers whose tokens live longer than the API permits. If it is
    /// too short, tokens are rejected that clients consider valid.
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.max_token_age = Some(age);
        self
    }

    /// Sets the realm in challenges ([RFC 9110 §11.5](https://www.rfc-editor.org/rfc/rfc9110#section-11.5)).
    ///
    /// Printable ASCII without the name of another parameter, such as `scope=`, which some clients search the
    /// challenge for. Default `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Sets the status for a request without a bearer token, also if its `Authorization` header has another scheme.
    /// Default 400; with a [`resource`](Self::resource) 401, which clients of protected resources wait for.
    pub fn missing_token_status(mut self, status: MissingToken) -> Self {
        self.missing_token = Some(status);
        self
    }

    /// Routes each request without a valid token before it is rejected. Default `false`.
    ///
    /// By default, only requests whose method and path look like those of a `#[public]` route are routed. Set
    /// it if a middleware inside `OAuth2` rewrites methods or paths in another way than `NormalizePath` does
    /// (method override, path prefixes), so that a request may be for a public route that it does not look
    /// like. Each rejection then costs routing, and its response has a copy of the request: see
    /// [`on_rejection`](Self::on_rejection).
    pub fn route_before_rejection(mut self, all: bool) -> Self {
        self.route_before_rejection = all;
        self
    }

    /// Sets the length in bytes above which a token is rejected unread.
    ///
    /// Default 16 KiB. Tokens with hundreds of groups can be longer; actix's limit for all headers
    /// together is 128 KiB. The work that a request can cause grows with it.
    pub fn max_token_length(mut self, bytes: usize) -> Self {
        self.max_token_length = Some(bytes);
        self
    }

    /// Lets a WebSocket client send its token as a subprotocol, since a browser's script cannot set a header
    /// there: `new WebSocket(url, ["bearer", token, "chat"])`.
    ///
    /// The pair is `bearer` and, after it, the token; in serde `token_from_subprotocol`. Default false. The
    /// token is never echoed: the response names the protocol that your handler selects, and `bearer` if it
    /// selects none. Proxies may log the header `Sec-WebSocket-Protocol`.
    ///
    /// ```
    /// let builder = oauth2_actix::OAuth2::builder().token_from_subprotocol();
    /// # drop(builder);
    /// ```
    #[cfg(feature = "websocket")]
    pub fn token_from_subprotocol(mut self) -> Self {
        self.token_sources.subprotocol = true;
        self
    }

    /// Also reads a token from the query parameter `access_token`
    /// ([RFC 6750 §2.3](https://www.rfc-editor.org/rfc/rfc6750#section-2.3)). Responses then have
    /// `Cache-Control: no-store`.
    ///
    /// In serde `token_from_query`: `"websocket"` or `"every_request"`. Default: off. **URLs are logged** by
    /// proxies, by actix's `Logger` and by analytics services, and anyone who reads such a log has the token
    /// until it expires. Use it only if nothing else works, and log paths without their query.
    pub fn token_from_query(mut self, requests: TokenRequests) -> Self {
        self.token_sources.query = Some(requests);
        self
    }

    /// Also reads a token from a header of this name, with the scheme `Bearer` or without a scheme, such as
    /// an access proxy or gateway sends: `Cf-Access-Jwt-Assertion`, `X-Goog-IAP-JWT-Assertion` or
    /// `X-Forwarded-Authorization`.
    ///
    /// In serde `token_from_header`. Default: none. The header is as trustworthy as the token in it, which is
    /// checked like any other. Together with a bearer token in `Authorization` there are two tokens, which is
    /// 400; credentials of another scheme there, such as a gateway's `Basic`, are ignored. Responses without
    /// a `Cache-Control` get `private`, since caches only recognize `Authorization`
    /// ([RFC 9111 §3.5](https://www.rfc-editor.org/rfc/rfc9111#section-3.5)).
    ///
    /// ```
    /// let builder = oauth2_actix::OAuth2::builder().token_from_header("Cf-Access-Jwt-Assertion");
    /// # drop(builder);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if the name is not a valid header name, or is `Authorization` or `Cookie`.
    pub fn token_from_header(mut self, name: impl Into<String>) -> Self {
        self.token_sources.header = Some(name.into());
        self
    }

    /// Reads the token of a WebSocket upgrade from a cookie of this name, if the upgrade is from one of these
    /// origins.
    ///
    /// In serde `token_from_cookie`: a map of `name` and `origins`. A browser sends a cookie with the
    /// requests of any page, so without the origins any page could open a socket on behalf of the user
    /// ([RFC 6455 §10.2](https://www.rfc-editor.org/rfc/rfc6455#section-10.2)). Origins are written as
    /// browsers send them: `https://app.example.com`. The cookie is ignored on all other requests: see
    /// [`OAuth2Builder::token_from_cookie_on_every_request`]. Set the cookie with
    /// `HttpOnly; Secure; SameSite=Strict` and a name that begins with `__Host-`, so that no subdomain can
    /// set another. An empty cookie counts as missing.
    ///
    /// ```
    /// let builder = oauth2_actix::OAuth2::builder()
    ///     .token_from_cookie("__Host-token", ["https://app.example.com"]);
    /// # drop(builder);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if the name is not a valid cookie name, the list of origins is empty, or an origin
    /// is malformed.
    pub fn token_from_cookie<O: Into<String>>(
        self,
        name: impl Into<String>,
        origins: impl IntoIterator<Item = O>,
    ) -> Self {
        self.token_cookie(name.into(), origins, TokenRequests::WebSocket)
    }

    /// Reads the token of every request from a cookie of this name: for images, downloads and pages of an
    /// application whose token is in an `HttpOnly` cookie.
    ///
    /// In serde `token_from_cookie` with `"requests": "every_request"`. A cookie is sent with the requests of
    /// any page ([RFC 6750 §5.3](https://www.rfc-editor.org/rfc/rfc6750#section-5.3) warns of that), so it is
    /// accepted only for requests whose browser states their origin:
    ///
    /// | `Sec-Fetch-Site` | Accepted |
    /// | --- | --- |
    /// | `same-origin` | always |
    /// | `none`: an address that was typed, a bookmark | for GET and HEAD |
    /// | `same-site`, or no such header | with an `Origin` from the list |
    /// | `cross-site`, or any other value | never |
    ///
    /// Others get 403. A WebSocket upgrade needs an `Origin` from the list, as with
    /// [`OAuth2Builder::token_from_cookie`]. The list may be empty. Responses without a `Cache-Control` get
    /// `private`.
    ///
    /// ```
    /// let builder = oauth2_actix::OAuth2::builder()
    ///     .token_from_cookie_on_every_request("__Host-token", ["https://app.example.com"]);
    /// # drop(builder);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` fails if the name is not a valid cookie name, or an origin is malformed.
    pub fn token_from_cookie_on_every_request<O: Into<String>>(
        self,
        name: impl Into<String>,
        origins: impl IntoIterator<Item = O>,
    ) -> Self {
        self.token_cookie(name.into(), origins, TokenRequests::EveryRequest)
    }

    fn token_cookie<O: Into<String>>(
        mut self,
        name: String,
        origins: impl IntoIterator<Item = O>,
        requests: TokenRequests,
    ) -> Self {
        let origins = origins.into_iter().map(Into::into).collect();
        self.token_sources.cookie = Some(CookieToken { name, origins, requests });
        self
    }

    /// Limits the cache of verified tokens, or disables it. See [`TokenCacheConfig`].
    pub fn token_cache(mut self, cache: TokenCacheConfig) -> Self {
        self.token_cache = Some(cache);
        self
    }

    /// Sets the library that checks signatures. In serde `crypto_backend`: `"aws_lc"`, the default, or
    /// `"openssl"`.
    pub fn crypto_backend(mut self, library: CryptoBackend) -> Self {
        self.crypto_backend = Some(library);
        self
    }

    /// Sets a hook that may change or replace the response to a rejected request: it gets the request, the
    /// reason and the response, and returns the response to send.
    ///
    /// WebSocket upgrades are rejected by a close frame and do not call the hook, nor do errors that
    /// middleware inside `OAuth2` returns as `Err`, since their request is gone. A request that might be for
    /// a [`public`](macro@crate::public) route is routed before it is rejected; then the hook gets a copy of
    /// it, with method, URI, headers and peer address but without what the app and the connection add
    /// (extensions, app data, the matched pattern). `ErrorHandlers` inside `OAuth2` does not see the final
    /// response: use this hook, or wrap it outside. The reason is in the response's extensions whatever the
    /// hook returns. The hook runs on an actix worker: it must not block.
    ///
    /// ```
    /// use actix_web::HttpResponse;
    /// use oauth2_actix::OAuth2;
    ///
    /// let builder = OAuth2::builder().on_rejection(|_request, error, response| {
    ///     // problem+json (RFC 9457) with the status and challenge of the default response.
    ///     let mut problem = HttpResponse::build(response.status());
    ///     for header in response.headers() {
    ///         problem.append_header(header);
    ///     }
    ///     problem
    ///         .insert_header(("content-type", "application/problem+json"))
    ///         .body(serde_json::json!({"title": error.description()}).to_string())
    /// });
    /// # drop(builder);
    /// ```
    pub fn on_rejection<F>(mut self, hook: F) -> Self
    where
        F: Fn(&HttpRequest, &Error, HttpResponse) -> HttpResponse + Send + Sync + 'static,
    {
        self.on_rejection = Some(Arc::new(hook));
        self
    }

    /// Sets a clock that a test can move.
    #[cfg(feature = "testing")]
    pub fn clock(mut self, clock: crate::util::manual_clock::ManualClock) -> Self {
        self.clock = Clock::Manual(clock);
        self
    }
}

impl fmt::Debug for OAuth2Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OAuth2Builder")
            .field("providers", &self.providers)
            .field("public_paths", &self.public_paths)
            .field("key_refresh", &self.key_refresh)
            .field("key_refresh_of", &self.key_refresh_of)
            .field("leeway", &self.leeway)
            .field("max_token_age", &self.max_token_age)
            .field("realm", &self.realm)
            .field("missing_token_status", &self.missing_token)
            .field("route_before_rejection", &self.route_before_rejection)
            .field("max_token_length", &self.max_token_length)
            .field("token_cache", &self.token_cache)
            .field("crypto_backend", &self.crypto_backend)
            .field("stale_window", &self.stale_window)
            .field("unknown_key_cooldown", &self.unknown_key_cooldown)
            .field("fetch_timeout", &self.fetch_timeout)
            .field("key_snapshot", &self.key_snapshot)
            .field("scope_implies", &self.scope_implies)
            .field("policies", &self.policies)
            .field("check_timeout", &self.check_timeout)
            .field("access_report", &self.access_report)
            .field("resource", &self.resources)
            .field("require", &self.requirements)
            .field("principal_lifetime", &self.principal_lifetime)
            .field("dpop", &self.dpop)
            .field("forwarded_certificate", &self.forwarded_certificate)
            .field("fapi2", &self.fapi2)
            .field("dangerous_without_revocation_status", &self.dangerous_without_revocation_status)
            .field("deny_list", &self.deny_list)
            .field("backchannel_logout", &self.backchannel_logout)
            .field("security_events", &self.security_events)
            .field("api_keys", &self.api_keys)
            .field("tenants", &self.tenants)
            .field("token_sources", &self.token_sources)
            .finish_non_exhaustive()
    }
}
