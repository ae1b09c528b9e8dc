//! The configuration in code: `OAuth2Builder`. Everything is checked in `build()`.

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
    token::{cache::TokenCacheConfig, validation::TimeLimits},
    util::{clock::Clock, telemetry},
};

/// The configuration of [`OAuth2`]: in code by the methods here, or through serde from JSON, TOML,
/// YAML or whatever you use.
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
/// Both forms have the same settings, except for what is code (`configure_http_client`, `tenants`,
/// `on_rejection` and the like). `docs/configuration.md` in the repository lists them, and shows how
/// to take them from environment variables. Unknown and duplicate names are errors, and null stands
/// for the default. `OAuth2Builder::try_from` reads a [`serde_json::Value`], with an error whose
/// faults a program can read.
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
    /// Adds an identity provider under a name of your choice. [`Claims::provider`] tells which one
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
    /// They are whole paths from the root, whatever scope a route or `OAuth2` is in. A path is compared
    /// as actix's router sees it: percent-decoded but for `%25`, `%2F` and `%2B`. A pattern matches only
    /// paths that contain its text outside braces; `*` is not a wildcard, except in `{tail}*`.
    ///
    /// A path is public only if its normal forms are too: with slashes merged, and without a slash at
    /// its end. Otherwise a `NormalizePath` wrapped *inside* `OAuth2` would route the request to another
    /// handler. So `/docs/` is public by `/docs` and `/docs/{tail:.*}` together, and by neither alone; the
    /// log names the pattern to add. Where a middleware inside changes the path, for example by adding a
    /// slash (`TrailingSlash::Always`), the path with that slash must be public too. Wrap such a
    /// middleware outside, that is after `OAuth2`.
    ///
    /// A path with a segment `.` or `..` is not public by a pattern: some handlers, such as
    /// `actix_files`, would resolve it to another.
    ///
    /// A public request with a valid token has its claims; an invalid token counts as a missing one. It
    /// never waits for keys: with a refresh of zero, which fetches keys for every request, it has no
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

    /// Looks up providers that are not known at build time, by the issuer of a token. See [`Tenants`].
    pub fn tenants(mut self, tenants: Tenants) -> Self {
        self.tenants = Some(tenants);
        self
    }

    /// Sets by how much `exp` and `nbf` may be missed, for clocks that differ
    /// ([RFC 7519 §4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4)).
    ///
    /// Default 0, at most 10 minutes; in serde `leeway_seconds`. 30 s is plenty where clocks are
    /// synchronised. A token lives longer by it.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets how long after its `iat` a token is accepted, whatever its `exp`
    /// ([RFC 7519 §4.1.6](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.6)).
    ///
    /// In serde `max_token_age_seconds`. From 1 s to 365 days; the leeway is added. Default: none. With
    /// it, a token without `iat` is refused. For providers whose tokens live longer than you would have
    /// them. Too short, and tokens are refused that clients believe to be good.
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.max_token_age = Some(age);
        self
    }

    /// Sets the realm that challenges name ([RFC 9110 §11.5](https://www.rfc-editor.org/rfc/rfc9110#section-11.5)).
    ///
    /// Printable ASCII. Default `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Sets the status for a request without any `Authorization` header. Default 400.
    pub fn missing_token_status(mut self, status: MissingToken) -> Self {
        self.missing_token = status;
        self
    }

    /// Routes each request without a valid token before it is rejected. `false` unless set.
    ///
    /// Otherwise only requests whose method and path look like those of a `#[public]` route are. Set it
    /// where a middleware inside `OAuth2` rewrites methods or paths in another way than `NormalizePath`
    /// does (method override, path prefixes), so that a request may be for a public route that it does
    /// not look like. Each rejection then costs routing, and its response has a copy of the request: see
    /// [`on_rejection`](Self::on_rejection).
    pub fn route_before_rejection(mut self, all: bool) -> Self {
        self.route_before_rejection = all;
        self
    }

    /// Sets the length in bytes above which a token is refused unread.
    ///
    /// Default 16 KiB. Tokens with hundreds of groups can be longer; actix's limit for all headers
    /// together is 128 KiB. The work that a request can cause grows with it.
    pub fn max_token_length(mut self, bytes: usize) -> Self {
        self.max_token_length = Some(bytes);
        self
    }

    /// Lets a WebSocket's client send its token as a subprotocol, since a browser's script can set no
    /// header there: `new WebSocket(url, ["bearer", token, "chat"])`.
    ///
    /// The pair is `bearer` and, after it, the token; in serde `token_from_subprotocol`. Default false. The
    /// token is never echoed: the protocol that your handler picks is, and `bearer` if it picks
    /// none. Proxies may log the header `Sec-WebSocket-Protocol`.
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

    /// Takes a token from the query parameter `access_token` too
    /// ([RFC 6750 §2.3](https://www.rfc-editor.org/rfc/rfc6750#section-2.3)). Responses then have
    /// `Cache-Control: no-store`.
    ///
    /// In serde `token_from_query`: `"websocket"` or `"every_request"`. Default: not taken. **URLs are
    /// logged** by proxies, by actix's `Logger` and by analytics services, and anyone who reads such a
    /// log has the token until it expires. Use it only where nothing else works, and log paths without
    /// their query.
    pub fn token_from_query(mut self, requests: TokenRequests) -> Self {
        self.token_sources.query = Some(requests);
        self
    }

    /// Takes a token from a header of this name too, with the scheme `Bearer` or without a scheme: where
    /// an access proxy or gateway sends it, such as `Cf-Access-Jwt-Assertion`,
    /// `X-Goog-IAP-JWT-Assertion` or `X-Forwarded-Authorization`.
    ///
    /// In serde `token_from_header`. Default: none. The header is as trustworthy as the token in it,
    /// which is checked as any other. A bearer token in `Authorization` beside it makes two tokens, which
    /// is 400; credentials of another scheme there, such as a gateway's `Basic`, are ignored. Responses
    /// without a `Cache-Control` get `private`, since caches know only of `Authorization`
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

    /// Takes the token of a WebSocket upgrade from a cookie of this name, if the upgrade comes from one
    /// of these origins.
    ///
    /// In serde `token_from_cookie`: a map of `name` and `origins`. A browser sends a cookie with the
    /// requests of any page, so without the origins any page could open a socket in the name of the user
    /// ([RFC 6455 §10.2](https://www.rfc-editor.org/rfc/rfc6455#section-10.2)). Origins are written as
    /// browsers send them: `https://app.example.com`. Other requests take no token from a cookie: see
    /// [`OAuth2Builder::token_from_cookie_on_every_request`]. Set the cookie with
    /// `HttpOnly; Secure; SameSite=Strict` and a name that begins with `__Host-`, so that no subdomain can
    /// set another. An empty cookie counts as none.
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

    /// Takes the token of every request from a cookie of this name: for images, downloads and pages of
    /// an application whose token is in an `HttpOnly` cookie.
    ///
    /// In serde `token_from_cookie` with `"requests": "every_request"`. A cookie is sent with the requests
    /// of any page ([RFC 6750 §5.3](https://www.rfc-editor.org/rfc/rfc6750#section-5.3) warns of that), so
    /// it counts only for requests whose browser says where they come from:
    ///
    /// | `Sec-Fetch-Site` | Accepted |
    /// | --- | --- |
    /// | `same-origin` | always |
    /// | `none`: an address that the user typed, a bookmark | for GET and HEAD |
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

    /// Bounds the cache of verified tokens, or switches it off. See [`TokenCacheConfig`].
    pub fn token_cache(mut self, cache: TokenCacheConfig) -> Self {
        self.token_cache = Some(cache);
        self
    }

    /// Sets what checks signatures. In serde `crypto_backend`: `"aws_lc"`, the default, or `"openssl"`.
    pub fn crypto_backend(mut self, library: CryptoBackend) -> Self {
        self.crypto_backend = Some(library);
        self
    }

    /// Sets a hook that may change or replace the answer to a refused request: it gets the request,
    /// the reason and the answer as it would leave, and returns the one that leaves.
    ///
    /// WebSocket upgrades are refused by a close frame and do not come here, nor do errors that
    /// middleware inside `OAuth2` returns as `Err`, since their request is gone. A request that might be
    /// for a [`public`](macro@crate::public) route is routed before it is refused; then the hook gets a
    /// copy of it, with method, URI, headers and peer address but without what the app and the
    /// connection add (extensions, app data, the matched pattern). `ErrorHandlers`
    /// inside `OAuth2` does not see the final answer: use this hook, or wrap it outside. The reason
    /// is in the response's extensions whatever the hook returns. It runs on an actix worker: it
    /// must not block.
    ///
    /// ```
    /// use actix_web::HttpResponse;
    /// use oauth2_actix::OAuth2;
    ///
    /// let builder = OAuth2::builder().on_rejection(|_request, error, answer| {
    ///     // problem+json (RFC 9457) with the status and challenge of the default answer.
    ///     let mut problem = HttpResponse::build(answer.status());
    ///     for header in answer.headers() {
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

    /// Makes the policy read its time from a clock that a test moves.
    #[cfg(feature = "testing")]
    pub fn clock(mut self, clock: crate::util::manual_clock::ManualClock) -> Self {
        self.clock = Clock::Manual(clock);
        self
    }

    /// Checks everything and makes the middleware. Does not wait for keys, and needs no async runtime.
    ///
    /// Where a [refresh](OAuth2Builder::key_refresh), [initial keys](Provider::initial_keys) or a
    /// [snapshot](OAuth2Builder::key_snapshot) is set, the first fetch begins now, in the background;
    /// otherwise when keys are first needed. A first fetch that fails is repeated until it succeeds. If
    /// there is anything to fetch, a thread is started for it; it ends with the last clone.
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
    /// [`ConfigError`] with every fault, each with the provider and the setting: something missing,
    /// empty, contradictory or given twice; a value outside its range; a key URL that is not https;
    /// keys of which none is usable; a public path that can never match; no system resources for
    /// the thread or the HTTP client.
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

    /// Every fault of the settings so far that shows without the keys and without the system: first
    /// of the policy, then of the providers in turn.
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
                        format_args!("{audience:?} or the issuer {issuer:?} is there twice");
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

    /// The index of the provider of each SPIFFE trust domain.
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

    /// The providers with their keys, and for each issuer the indexes of its providers.
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
            // Where keys are discovered depends on the issuer.
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
