//! The configuration in code: `OAuth2Builder` and `Provider`. Everything is checked in `build()`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    ops::RangeInclusive,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse};
use reqwest::Client;

#[cfg(feature = "websocket")]
use crate::token_places::{CookieToken, QueryToken, TokenPlaces};
use crate::{
    BuildError, CryptoLibrary, Error, OAuth2, Provider, Tenants, TokenCache,
    clock::Clock,
    http_client::AdjustClient,
    key_thread::{self, KeyThread},
    policy::{Policy, RefusalHook},
    provider_policy::ProviderPolicy,
    public::PublicPaths,
    refusal::DEFAULT_REALM,
    telemetry,
    validation::TimeLimits,
};

/// The configuration of [`OAuth2`]: in code by the methods here, or through serde from JSON, TOML,
/// YAML or whatever you use.
///
/// ```
/// use oauth2_actix::OAuth2Builder;
///
/// let builder: OAuth2Builder = toml::from_str(r#"
///     public_paths = ["/health", "/docs/{tail:.*}"]
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
/// Unknown fields and names that stand twice are refused. The serde form has, besides those shown,
/// `missing_token` (`"bad_request"` or `"unauthorized"`), `max_token_length`, `max_token_age_seconds`,
/// `token_cache` (false, or a map of `max_entries` and `max_bytes`), `crypto_library`, `stale_window_minutes`,
/// `unknown_key_cooldown_seconds`, `fetch_timeout_seconds` and `key_snapshot`, and for a provider
/// `audience_claim`, `initial_keys`, `require_at_jwt` and `dangerous_allow_http`. [`Keys`](crate::Keys) lists
/// the forms of `keys`.
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
    pub(crate) max_token_length: Option<usize>,
    pub(crate) token_cache: Option<TokenCache>,
    pub(crate) crypto_library: Option<CryptoLibrary>,
    #[cfg(feature = "websocket")]
    pub(crate) token_places: TokenPlaces,
    pub(crate) stale_window: Option<Duration>,
    pub(crate) unknown_key_cooldown: Option<Duration>,
    pub(crate) fetch_timeout: Option<Duration>,
    pub(crate) key_snapshot: Option<PathBuf>,
    pub(crate) adjust_client: Option<AdjustClient>,
    pub(crate) ready_client: Option<Client>,
    tenants: Option<Tenants>,
    on_refusal: Option<RefusalHook>,
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
    /// A path is compared with what actix's router sees: the request's path, percent-decoded but
    /// for `%25`, `%2F` and `%2B`, from the root whatever scope `OAuth2` is wrapped around. A
    /// middleware that rewrites paths (`NormalizePath`) and is wrapped *inside* `OAuth2` changes
    /// the path after the decision: wrap it outside, that is after `OAuth2`.
    ///
    /// A path with a segment `.` or `..` is not public by a pattern: some handlers, `actix_files` for
    /// one, would resolve it to another.
    ///
    /// A public request whose token is valid has its claims; a bad token there is the same as none.
    /// It never waits for keys: where a refresh of zero wants fresh keys for every request, it has
    /// no claims.
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
    pub fn missing_token(mut self, status: MissingToken) -> Self {
        self.missing_token = status;
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
        self.token_places.subprotocol = true;
        self
    }

    /// Lets a token stand in the query, as `access_token`
    /// ([RFC 6750 §2.3](https://www.rfc-editor.org/rfc/rfc6750#section-2.3)). Answers then have `Cache-Control: no-store`.
    ///
    /// In serde `token_from_query`: `"web_socket"` or `"every_request"`. Default: nowhere. **Addresses are logged** by
    /// proxies, by actix's `Logger` and by providers of analytics, and whoever reads them has the token
    /// until it expires: take it only where nothing else works, and log paths without their query.
    #[cfg(feature = "websocket")]
    pub fn token_from_query(mut self, requests: QueryToken) -> Self {
        self.token_places.query = Some(requests);
        self
    }

    /// Lets a WebSocket's client send its token in a cookie of this name, if the upgrade comes from one of
    /// these origins.
    ///
    /// In serde `token_from_cookie`: a map of `name` and `origins`. Browsers send cookies whoever
    /// asks, so without the origins any page could open a socket in the name of your user
    /// ([RFC 6455 §10.2](https://www.rfc-editor.org/rfc/rfc6455#section-10.2)). Origins are as browsers write them: `https://app.example.com`.
    /// Other requests take no token from a cookie. Set it with `HttpOnly; Secure; SameSite=Strict` and a name that
    /// begins with `__Host-`, so that no subdomain can plant another.
    ///
    /// ```
    /// let builder = oauth2_actix::OAuth2::builder()
    ///     .token_from_cookie("__Host-token", ["https://app.example.com"]);
    /// # drop(builder);
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` refuses a name that cannot be a cookie's, no origins, and what is no origin.
    #[cfg(feature = "websocket")]
    pub fn token_from_cookie<O: Into<String>>(
        mut self,
        name: impl Into<String>,
        origins: impl IntoIterator<Item = O>,
    ) -> Self {
        let origins = origins.into_iter().map(Into::into).collect();
        self.token_places.cookie = Some(CookieToken { name: name.into(), origins });
        self
    }

    /// Bounds the cache of verified tokens, or switches it off. See [`TokenCache`].
    pub fn token_cache(mut self, cache: TokenCache) -> Self {
        self.token_cache = Some(cache);
        self
    }

    /// Sets what checks signatures. In serde `crypto_library`: `"aws_lc"`, the default, or `"openssl"`.
    pub fn crypto_library(mut self, library: CryptoLibrary) -> Self {
        self.crypto_library = Some(library);
        self
    }

    /// Sets a hook that may change or replace the answer to a refused request: it gets the request,
    /// the reason and the answer as it would leave, and returns the one that leaves.
    ///
    /// WebSocket upgrades are refused by a close frame and do not come here, nor do errors that
    /// middleware inside `OAuth2` returns as `Err`, since their request is gone. `ErrorHandlers`
    /// inside `OAuth2` does not see the final answer: use this hook, or wrap it outside. The reason
    /// is in the response's extensions whatever the hook returns. It runs on an actix worker: it
    /// must not block.
    ///
    /// ```
    /// use actix_web::HttpResponse;
    /// use oauth2_actix::OAuth2;
    ///
    /// let builder = OAuth2::builder().on_refusal(|_request, error, answer| {
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
    pub fn on_refusal<F>(mut self, hook: F) -> Self
    where
        F: Fn(&HttpRequest, &Error, HttpResponse) -> HttpResponse + Send + Sync + 'static,
    {
        self.on_refusal = Some(Arc::new(hook));
        self
    }

    /// Makes the policy read its time from a clock that a test moves.
    #[cfg(feature = "testing")]
    pub fn clock(mut self, clock: crate::testing::ManualClock) -> Self {
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
    /// # Errors
    ///
    /// [`BuildError`], naming the provider and the setting: something missing, empty, contradictory
    /// or given twice; a key URL that is not https; keys of which none is usable; a public path
    /// that can never match; no system resources for the thread or the HTTP client.
    pub fn build(self) -> Result<OAuth2, BuildError> {
        if self.providers.is_empty() && self.tenants.is_none() {
            return Err(BuildError::of_policy("providers", "there is none"));
        }
        if let Some(unknown) =
            self.key_refresh_of.keys().find(|name| self.providers.iter().all(|(n, _)| n != *name))
        {
            return Err(BuildError::of_provider(
                unknown,
                "key_refresh_minutes",
                "there is no provider of this name",
            ));
        }
        if self.leeway > MAX_LEEWAY {
            return Err(BuildError::of_policy(
                "leeway_seconds",
                format_args!("it is more than {} s", MAX_LEEWAY.as_secs()),
            ));
        }
        if self.max_token_age.is_some_and(|age| !TOKEN_AGES.contains(&age)) {
            let problem = "it is not between 1 s and 365 days";
            return Err(BuildError::of_policy("max_token_age_seconds", problem));
        }
        if self.max_token_length == Some(0) {
            return Err(BuildError::of_policy("max_token_length", "no token is that short"));
        }
        let realm = self.realm.clone().unwrap_or_else(|| DEFAULT_REALM.to_owned());
        if realm.is_empty() || !realm.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(BuildError::of_policy("realm", "it is not printable ASCII, or empty"));
        }
        let public = PublicPaths::new(self.public_paths.iter().map(String::as_str)).map_err(
            |(path, problem)| {
                BuildError::of_policy("public_paths", format_args!("{path:?}: {problem}"))
            },
        )?;
        #[cfg(feature = "websocket")]
        self.token_places.check()?;
        let verified = self.token_cache.unwrap_or_else(TokenCache::by_default).build()?;
        telemetry::describe();
        key_thread::warn_on_worker();
        let defaults = self.defaults()?;
        if let Some(tenants) = &self.tenants {
            tenants.check()?;
            defaults.check_for_tenants()?;
        }

        let mut providers = Vec::new();
        let mut seen = HashMap::new();
        let mut names = HashSet::new();
        let mut by_issuer: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, (name, provider)) in self.providers.iter().enumerate() {
            if !names.insert(name) {
                return Err(BuildError::of_provider(name, "providers", "this name stands twice"));
            }
            let mut provider = provider.clone();
            provider.key_refresh =
                provider.key_refresh.or_else(|| self.key_refresh_of.get(name).copied());
            let policy = ProviderPolicy::new(name, &provider, &defaults)?;
            let claim = policy.audience_claim.clone();
            for issuer in provider.issuers {
                for audience in &policy.audiences {
                    let pair = (issuer.clone(), audience.clone(), claim.clone());
                    if let Some(earlier) = seen.insert(pair, name) {
                        return Err(BuildError::of_provider(
                            name,
                            "audience",
                            format_args!(
                                "{issuer:?} with {audience:?} is provider {earlier:?} already"
                            ),
                        ));
                    }
                }
                by_issuer.entry(issuer).or_default().push(index);
            }
            providers.push(Arc::new(policy));
        }
        let has_remote = providers.iter().any(|provider| provider.remotes().next().is_some());
        let keys = if has_remote || self.tenants.is_some() {
            let names = names.into_iter().cloned().collect();
            let tenants = self.tenants.map(|tenants| (tenants, names));
            Some(KeyThread::start(defaults, tenants, self.clock.clone()).map_err(|error| {
                BuildError::of_policy(
                    "providers",
                    format_args!("no thread for fetching keys: {error}"),
                )
            })?)
        } else {
            None
        };
        if let Some(keys) = &keys {
            providers.iter().for_each(|provider| keys.start_fetching(provider));
        }
        Ok(OAuth2(Arc::new(Policy {
            providers,
            by_issuer,
            time_limits: TimeLimits { leeway: self.leeway, max_age: self.max_token_age },
            max_token_length: self.max_token_length.unwrap_or(DEFAULT_MAX_TOKEN_LENGTH),
            #[cfg(feature = "websocket")]
            token_places: self.token_places.if_any(),
            realm,
            missing_token: self.missing_token,
            public,
            verified,
            on_refusal: self.on_refusal,
            clock: self.clock,
            keys,
            preflight_explained: AtomicBool::new(false),
            stray_explained: AtomicBool::new(false),
        })))
    }
}

impl fmt::Debug for OAuth2Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OAuth2Builder")
            .field("providers", &self.providers)
            .field("public_paths", &self.public_paths)
            .field("key_refresh", &self.key_refresh)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

/// The status for a request without any `Authorization` header.
///
/// ```
/// use oauth2_actix::{MissingToken, OAuth2};
///
/// let builder = OAuth2::builder().missing_token(MissingToken::Unauthorized);
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingToken {
    /// 400: the request is incomplete.
    #[default]
    BadRequest,
    /// 401 ([RFC 6750 §3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1)), which some
    /// clients wait for before they send a token.
    Unauthorized,
}

const DEFAULT_MAX_TOKEN_LENGTH: usize = 16 * 1024;
const TOKEN_AGES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 60 * 60);
const MAX_LEEWAY: Duration = Duration::from_secs(600);
