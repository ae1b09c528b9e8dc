//! The configuration in code and through serde, its checks, and the assembly of the policy.
//!
//! Owns `OAuth2Builder`, whose `build()` checks all settings at once, and `OAuth2`, the handle to the
//! finished policy. It may import floors 1 to 9, and imports nearly all of them.
//!
//! - this file: the settings of a policy in code, their checks, and `build()`.
//! - `deserialize`: the same settings through serde, as tables.
//! - `key_settings`: the settings in code for fetching keys.
//! - `oauth2`: the handle `OAuth2`: verifies tokens, fetches keys, reports the status.
//! - `startup`: the log lines of a new policy.

mod deserialize;
mod key_settings;
pub(crate) mod oauth2;
mod startup;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse};
use reqwest::Client;

use crate::{
    builder::{deserialize::nearest, oauth2::OAuth2},
    config::{
        error::{ConfigError, ConfigErrorKind, Faults, PROVIDERS},
        limits::{COOLDOWN, FETCH_TIMEOUT, KEY_REFRESH, LEEWAY, STALE_WINDOW, TOKEN_AGE},
        missing_token::MissingToken,
        provider::Provider,
        tenants::Tenants,
    },
    error::{Error, response::DEFAULT_REALM},
    jose::key_policy::CryptoBackend,
    keys::http::client::AdjustClient,
    policy::{Policy, RejectionHook, in_order},
    provider::{
        Defaults, ResolvedProvider,
        background::{self, KeyThread},
    },
    public::{HiddenRoutes, PublicPaths},
    request::token_source::{CookieToken, TokenRequests, TokenSources},
    token::{cache::TokenCacheConfig, lifetime::TimeLimits},
    util::{clock::Clock, telemetry},
};

/// The configuration of [`OAuth2`]: in code by the methods here, or through serde from JSON, TOML, YAML or
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
    pub(crate) missing_token: MissingToken,
    pub(crate) route_before_rejection: bool,
    pub(crate) max_token_length: Option<usize>,
    pub(crate) token_cache: Option<TokenCacheConfig>,
    pub(crate) crypto_backend: Option<CryptoBackend>,
    pub(crate) token_sources: TokenSources,
    pub(crate) stale_window: Option<Duration>,
    pub(crate) unknown_key_cooldown: Option<Duration>,
    pub(crate) fetch_timeout: Option<Duration>,
    pub(crate) key_snapshot: Option<PathBuf>,
    pub(crate) adjust_client: Option<AdjustClient>,
    pub(crate) ready_client: Option<Client>,
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
    /// Printable ASCII. Default `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Sets the status for a request without a bearer token, also if its `Authorization` header has another scheme.
    /// Default 400.
    pub fn missing_token_status(mut self, status: MissingToken) -> Self {
        self.missing_token = status;
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

    /// Checks all settings and builds the middleware. Does not wait for keys, and needs no async runtime.
    ///
    /// If a [refresh](OAuth2Builder::key_refresh), [initial keys](Provider::initial_keys) or a
    /// [snapshot](OAuth2Builder::key_snapshot) is set, the first fetch starts now, in the background;
    /// otherwise when keys are first needed. A first fetch that fails is retried until it succeeds. If there
    /// is anything to fetch, a thread is started for it; it ends with the last clone.
    ///
    /// Call it once, outside the closure of `HttpServer::new`: that closure runs on each worker, and each
    /// would have its own keys and cache.
    ///
    /// Logs one line at info (target `oauth2_actix`) with the providers and the number of public
    /// paths and `#[public]` routes, and one for each provider whose id_tokens would be accepted as
    /// access tokens.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every fault, each with the provider and the setting: something missing, empty,
    /// contradictory or duplicate; a value outside its range; a key URL that is not https; keys of which none
    /// is usable; a public path that can never match; no system resources for the thread or the HTTP client.
    pub fn build(self) -> Result<OAuth2, ConfigError> {
        let mut faults = Faults::default();
        if self.providers.is_empty() && self.tenants.is_none() {
            let problem = "at least one provider is required";
            faults
                .push(ConfigError::of_policy(PROVIDERS, problem).of_kind(ConfigErrorKind::Missing));
        }
        faults.push_all(self.faults());
        telemetry::describe();
        let defaults = self.defaults(&mut faults);
        let verified = faults.take(self.token_cache.unwrap_or_default().build());
        if self.tenants.is_some() {
            faults.take(defaults.check_for_tenants());
        }
        let (providers, by_issuer) = self.resolve(&defaults, &mut faults);
        let by_trust_domain = self.by_trust_domain();
        faults.into_result()?;
        let public = self.public().unwrap_or_default();

        background::warn_on_worker();
        let has_remote = providers.iter().any(|provider| provider.remotes().next().is_some());
        let keys = if has_remote || self.tenants.is_some() {
            let names = self.providers.iter().map(|(name, _)| name.clone()).collect();
            let tenants = self.tenants.clone().map(|tenants| (tenants, names));
            Some(KeyThread::start(defaults, tenants, self.clock.clone()).map_err(|error| {
                let problem = format_args!("the thread that fetches keys cannot start: {error}");
                ConfigError::of_policy(PROVIDERS, problem).of_kind(ConfigErrorKind::System)
            })?)
        } else {
            None
        };
        if let Some(keys) = &keys {
            providers.iter().for_each(|provider| keys.start_fetching(provider));
        }
        startup::log(&self.providers, &self.public_paths, self.tenants.is_some());
        Ok(OAuth2(Arc::new(Policy {
            providers,
            issuers: in_order(&by_issuer),
            by_issuer,
            by_trust_domain,
            time_limits: TimeLimits { leeway: self.leeway, max_age: self.max_token_age },
            max_token_length: self.max_token_length.unwrap_or(DEFAULT_MAX_TOKEN_LENGTH),
            token_sources: self.token_sources.if_configured(),
            realm: self.realm.unwrap_or_else(|| DEFAULT_REALM.to_owned()),
            missing_token: self.missing_token,
            public,
            verified: verified.flatten(),
            on_rejection: self.on_rejection,
            clock: self.clock,
            keys,
            preflight_warned: AtomicBool::new(false),
            hidden_routes: HiddenRoutes::default(),
            routes_all: self.route_before_rejection,
        })))
    }

    /// Returns every fault of the settings that can be found without the keys and the system: first those of
    /// the policy, then those of the providers in turn.
    pub(crate) fn faults(&self) -> Faults {
        use ConfigErrorKind::{Conflict, Duplicate, Empty, OutOfRange, Unknown};
        let mut faults = Faults::default();
        if let Err(unusable) = self.public() {
            for (path, problem) in unusable {
                let problem = format_args!("{path:?}: {problem}");
                faults.push(ConfigError::of_policy("public_paths", problem));
            }
        }
        for (limit, value) in [
            (KEY_REFRESH, self.key_refresh),
            (LEEWAY, Some(self.leeway)),
            (TOKEN_AGE, self.max_token_age),
            (STALE_WINDOW, self.stale_window),
            (COOLDOWN, self.unknown_key_cooldown),
            (FETCH_TIMEOUT, self.fetch_timeout),
        ] {
            faults.take(limit.check_if_set(None, value));
        }
        match self.realm.as_deref() {
            Some("") => {
                faults.push(ConfigError::of_policy("realm", "must not be empty").of_kind(Empty));
            }
            Some(realm) if !realm.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                faults.push(ConfigError::of_policy("realm", "must be printable ASCII"));
            }
            _ => {}
        }
        if self.max_token_length == Some(0) {
            let problem = "must be greater than zero";
            faults.push(ConfigError::of_policy("max_token_length", problem).of_kind(OutOfRange));
        }
        faults.take(self.token_sources.check());
        if let Some(tenants) = &self.tenants {
            faults.take(tenants.check());
        }
        for (name, interval) in &self.key_refresh_of {
            let of_provider = |problem: &dyn fmt::Display| {
                ConfigError::of_provider(name, "key_refresh_minutes", problem)
            };
            match self.providers.iter().find(|(known, _)| known == name) {
                Some((_, provider)) if provider.key_refresh.is_some() => {
                    let problem = "is set twice: inside the provider and beside `providers`";
                    faults.push(of_provider(&problem).of_kind(Conflict));
                }
                Some(_) => {
                    faults.take(KEY_REFRESH.check(Some(name), *interval));
                }
                None => {
                    let names = self.providers.iter().map(|(name, _)| name.as_str());
                    let hint = nearest(name, names)
                        .map(|meant| format!(", did you mean {meant:?}?"))
                        .unwrap_or_default();
                    let problem = format_args!("no provider has this name{hint}");
                    faults.push(of_provider(&problem).of_kind(Unknown));
                }
            }
        }
        let mut names = HashSet::new();
        let mut accepted = HashMap::new();
        let mut trust_domains = HashMap::new();
        for (name, provider) in &self.providers {
            if !names.insert(name) {
                let error = ConfigError::of_provider(name, PROVIDERS, "duplicate provider name");
                faults.push(error.of_kind(Duplicate));
                continue;
            }
            let mut own = provider.faults(Some(name));
            let namesake = self
                .providers
                .iter()
                .map(|(other, _)| other)
                .find(|other| *other != name && other.eq_ignore_ascii_case(name));
            if let Some(other) = namesake {
                own.explain_missing(format_args!(
                    "provider {other:?} differs in case only; names from environment variables are in \
                     lower case"
                ));
            }
            faults.push_all(own);
            if let Some(trust_domain) = &provider.spiffe_trust_domain
                && let Some(earlier) = trust_domains.insert(trust_domain, name)
            {
                let problem = format_args!(
                    "{trust_domain:?} is the trust domain of provider {earlier:?} already: give one \
                     provider both audiences, and both sources as a list in `keys`"
                );
                let error = ConfigError::of_provider(name, "spiffe_trust_domain", problem);
                faults.push(error.of_kind(Conflict));
            }
            let pairs = provider.issuers.iter().flat_map(|issuer| {
                provider.audiences.iter().map(move |audience| (issuer, audience))
            });
            for (issuer, audience) in pairs {
                let claim = provider.audience_claim_name();
                let Some(earlier) = accepted.insert((issuer, audience, claim), name) else {
                    continue;
                };
                let error = |problem: &dyn fmt::Display| {
                    ConfigError::of_provider(name, "audience", problem)
                };
                faults.push(if earlier == name {
                    let problem =
                        format_args!("{audience:?} or the issuer {issuer:?} is listed twice");
                    error(&problem).of_kind(Duplicate)
                } else {
                    let problem = format_args!(
                        "tokens of {issuer:?} for {audience:?} are accepted by provider {earlier:?} \
                         already: give one provider both sources, as a list in `keys`"
                    );
                    error(&problem).of_kind(Conflict)
                });
            }
        }
        faults
    }

    /// Returns the index of the provider of each SPIFFE trust domain.
    fn by_trust_domain(&self) -> HashMap<String, usize> {
        let providers = self.providers.iter().enumerate();
        providers
            .filter_map(|(index, (_, provider))| {
                Some((provider.spiffe_trust_domain.clone()?, index))
            })
            .collect()
    }

    fn public(&self) -> Result<PublicPaths, Vec<(&str, Cow<'static, str>)>> {
        PublicPaths::new(self.public_paths.iter().map(String::as_str))
    }

    /// Resolves the providers and their keys, and the indexes of the providers of each issuer.
    fn resolve(
        &self,
        defaults: &Defaults,
        faults: &mut Faults,
    ) -> (Vec<Arc<ResolvedProvider>>, HashMap<String, Vec<usize>>) {
        let mut providers = Vec::new();
        let mut by_issuer: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, (name, provider)) in self.providers.iter().enumerate() {
            let mut provider = provider.clone();
            provider.key_refresh =
                provider.key_refresh.or_else(|| self.key_refresh_of.get(name).copied());
            // The location of discovery depends on the issuer.
            if !faults.concern(name, "issuer") {
                match ResolvedProvider::new(index, name, &provider, defaults) {
                    Ok(policy) => providers.push(Arc::new(policy)),
                    Err(error) => faults.push_uncovered(error.into()),
                }
            }
            for issuer in provider.issuers {
                by_issuer.entry(issuer).or_default().push(index);
            }
        }
        (providers, by_issuer)
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
            .field("tenants", &self.tenants)
            .field("token_sources", &self.token_sources)
            .finish_non_exhaustive()
    }
}

const DEFAULT_MAX_TOKEN_LENGTH: usize = 16 * 1024;
