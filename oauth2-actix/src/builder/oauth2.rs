//! The handle to a finished policy, which is cheap to clone.

use std::{fmt, io, sync::Arc};

use futures_util::{StreamExt, stream};

#[cfg(feature = "utoipa")]
use crate::access::openapi;
use crate::{
    access::{AccessReport, Routes},
    builder::OAuth2Builder,
    error::Error,
    keys::remote::{FetchReason, RemoteKeySet},
    logout::LogoutReceivers,
    policy::{Decision, Policy, possession},
    protected_resource::service::ResourceMetadata,
    provider::ResolvedProvider,
    request::bearer::Credentials,
    revocation::{DenyListStatus, Revocation, RevokeError},
    status::{IntrospectionStatus, KeyStatus},
    token::{
        cache::{TokenCacheStatus, VerifiedTokens},
        claims::Claims,
    },
    util::clock::Clock,
};

/// The middleware: `App::new().wrap(oauth2.clone())`.
///
/// Build it once, outside the closure of `HttpServer::new`, which runs for every worker: clones share the
/// keys. Wrap it after all other middleware except CORS, so that it sees the same path as the router, and its
/// rejections get CORS headers.
///
/// ```
/// use actix_web::{App, HttpResponse, web};
/// use oauth2_actix::{Claims, OAuth2, Provider};
///
/// async fn me(claims: Claims) -> String {
///     claims.subject().unwrap_or("an unnamed user").to_owned()
/// }
///
/// let oauth2 = OAuth2::builder()
///     .provider(
///         "auth0",
///         Provider::new()
///             .issuer("https://tenant.eu.auth0.com/")
///             .audience("https://api.example.com")
///             .keys("https://tenant.eu.auth0.com/.well-known/jwks.json"),
///     )
///     .key_refresh_minutes(30)
///     .public_paths(["/health"])
///     .build()?;
///
/// let app = App::new().wrap(oauth2.clone()).route("/me", web::get().to(me));
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OAuth2(pub(crate) Arc<Policy>);

impl OAuth2 {
    /// Returns a builder for a configuration in code. [`OAuth2Builder`] implements `Deserialize` for a
    /// configuration through serde.
    pub fn builder() -> OAuth2Builder {
        OAuth2Builder::default()
    }

    /// Returns the routes of the program with their access rules, as [`access::routes`](crate::access::routes)
    /// does. A policy is shown by its name and the requirement that this `OAuth2` defines for it. The paths of
    /// [`logout_receivers`](Self::logout_receivers) are among them, which need no token.
    ///
    /// ```
    /// # let oauth2 = oauth2_actix::testing::policy();
    /// print!("{}", oauth2.access_routes());
    /// ```
    #[must_use]
    pub fn access_routes(&self) -> Routes {
        let mut routes = Routes::of_program(Some(&self.0.rules));
        for (path, handler) in self.0.receivers.routes() {
            routes.add_public("POST", path, handler);
        }
        routes
    }

    /// Adds the access rules of the program to an OpenAPI document, as
    /// [`OpenApiSecurity`](crate::access::OpenApiSecurity) does, with the scopes of the named policies of this
    /// `OAuth2`. Needs the feature `utoipa`.
    #[cfg(feature = "utoipa")]
    pub fn add_security_to(&self, document: &mut utoipa::openapi::OpenApi) {
        openapi::add_security(document, &self.0.rules);
    }

    /// Returns the scopes that tokens had and no route requires, and the access rules that no token has
    /// satisfied, since the start. None unless
    /// [`OAuth2Builder::access_report`] is on.
    ///
    /// ```
    /// # let oauth2 = oauth2_actix::testing::policy();
    /// if let Some(report) = oauth2.access_report() {
    ///     print!("{report}");
    /// }
    /// ```
    #[must_use]
    pub fn access_report(&self) -> Option<AccessReport> {
        self.0.scope_counts.as_ref().map(|counts| counts.report(&self.0.rules))
    }

    /// Checks a token that was not sent in a request, such as one in a message.
    ///
    /// Makes all checks of the middleware, except those on the token's location in a request and, with several
    /// [`resource`s](OAuth2Builder::resource), on the resource that a path is in. It does not call
    /// [`principal`](OAuth2Builder::principal), and neither does the renewal of a WebSocket session. A token that is
    /// bound to a key or certificate of the client is rejected, since there is no proof of it.
    ///
    /// ```
    /// # use oauth2_actix::{ErrorKind, testing};
    /// # #[actix_web::main]
    /// # async fn main() {
    /// # let oauth2 = testing::policy();
    /// let error = oauth2.verify("no.such.token").await.unwrap_err();
    /// assert!(matches!(error.kind(), ErrorKind::TokenMalformed { .. }));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The reason for which the token is rejected, as for a request.
    pub async fn verify(&self, token: &str) -> Result<Claims, Error> {
        let claims = self.decide_text(token).await?;
        possession::check_unbound(&claims)?;
        Ok(claims)
    }

    /// Checks a token as [`OAuth2::verify`] does. One that is bound to a key or certificate is accepted: the caller
    /// checks that.
    pub(crate) async fn decide_text(&self, token: &str) -> Result<Claims, Error> {
        self.decide(&Credentials::from_text(token, self.0.max_token_length)?).await
    }

    pub(crate) async fn decide(&self, credentials: &Credentials<'_>) -> Result<Claims, Error> {
        match self.0.decide(credentials) {
            Decision::Accepted(claims) => Ok(claims),
            Decision::Rejected(error) => Err(error),
            Decision::Waiting(pending) => self.0.resolve(pending).await,
        }
    }

    /// Refuses tokens from now on: in this process at once and, if the deny list has a store, in every other process
    /// within a second. Live WebSocket sessions end with 1008 `token revoked`, and streams with an error.
    ///
    /// Returns when this process refuses the tokens and the store has confirmed the entry. It waits at most 5 s, and a
    /// caller that gives up earlier revokes nevertheless.
    ///
    /// ```
    /// use oauth2_actix::{ErrorKind, revocation::{DenyList, Revocation}};
    /// # use oauth2_actix::{Algorithm, OAuth2, Provider, testing::{SigningKey, Token}};
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = SigningKey::generate(Algorithm::ES256, "key-1");
    /// # let issuer = "https://login.example.com";
    /// # let provider = Provider::new().issuer(issuer).audience("api").keys(key.jwk_set());
    /// let oauth2 = OAuth2::builder().provider("login", provider).deny_list(DenyList::new()).build()?;
    /// # let token = Token::new(issuer, "api").sign(&key);
    /// let claims = oauth2.verify(&token).await?;
    ///
    /// oauth2.revoke(Revocation::token(&claims)).await?;
    /// let error = oauth2.verify(&token).await.unwrap_err();
    /// assert_eq!(error.kind(), &ErrorKind::TokenRevoked);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RevokeError`]: there is no deny list, it is full, or its store has not confirmed the entry.
    pub async fn revoke(&self, revocation: Revocation) -> Result<(), RevokeError> {
        match &self.0.revocations {
            Some(list) => list.add(&revocation).await,
            None => Err(RevokeError::NoDenyList),
        }
    }

    /// Returns the state of the deny list. None if there is no deny list.
    ///
    /// ```
    /// # let oauth2 = oauth2_actix::testing::policy();
    /// if let Some(status) = oauth2.deny_list_status() {
    ///     println!("{} entries, {:?} s old", status.entries, status.age_seconds);
    /// }
    /// ```
    #[must_use]
    pub fn deny_list_status(&self) -> Option<DenyListStatus> {
        self.0.revocations.as_ref().map(|list| list.status())
    }

    /// Fetches the keys of every provider that has none yet, so that the first requests do not wait, and a
    /// program that cannot check any token can exit before it listens.
    ///
    /// Waits until one attempt for each source has ended, at most 64 at once; a fetch that is in progress
    /// counts. Without it, keys are fetched in the background if a refresh is set, and otherwise when they
    /// are first needed. Sources with [initial keys](crate::Provider::initial_keys) or a
    /// [snapshot](OAuth2Builder::key_snapshot) have keys already, and are not waited for.
    /// [Tenants](crate::tenants::Tenants) are looked up when their first token is received.
    ///
    /// ```
    /// # use oauth2_actix::{OAuth2, Provider, testing::IdentityProvider};
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let idp = IdentityProvider::start("api")?;
    /// # let provider = Provider::new().issuer(idp.issuer()).audience("api").keys(idp.jwks_url());
    /// let oauth2 = OAuth2::builder().provider("idp", provider).key_refresh_minutes(30).build()?;
    /// if let Err(error) = oauth2.warm_up().await {
    ///     // The error names the providers that failed, and the cause. Start anyway, or exit.
    ///     eprintln!("{error}");
    /// }
    /// assert!(oauth2.key_status().iter().all(|provider| provider.is_ready()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With a [`resource`](OAuth2Builder::resource), it also compares the settings with the metadata documents of
    /// the authorization servers ([RFC 8414](https://www.rfc-editor.org/rfc/rfc8414)), and logs at warn what will
    /// fail: an identifier that is missing in `protected_resources`, algorithms, scopes, PKCE, and a clock that
    /// differs by 5 s or more. It does not fail for that, nor for a document that cannot be fetched.
    ///
    /// It also waits for the first load of a [deny list](OAuth2Builder::deny_list) that has a store, at most for 5 s.
    /// [`OAuth2::is_ready`] tells whether that has succeeded.
    ///
    /// # Errors
    ///
    /// The providers whose keys could not be fetched, each with the cause. The others have their keys. Failed
    /// fetches are retried in the background until they succeed, even without a refresh.
    pub async fn warm_up(&self) -> Result<(), KeyFetchError> {
        let fetch =
            self.fetch_all(FetchReason::Start, |remote, clock| remote.usable(clock).is_none());
        let first_load = async {
            if let Some(list) = &self.0.revocations {
                list.first_load().await;
            }
        };
        let (fetched, ()) = futures_util::future::join(fetch, first_load).await;
        if let Some(comparison) = &self.0.comparison {
            comparison.log(&self.0.resources).await;
        }
        fetched
    }

    /// Fetches the keys of every provider now, regardless of refresh interval, cooldown and backoff: for an
    /// operator who has changed keys. Also works without a refresh. If a fetch fails, the old keys are kept.
    ///
    /// ```
    /// # use oauth2_actix::{OAuth2, Provider, testing::IdentityProvider};
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let idp = IdentityProvider::start("api")?;
    /// # let provider = Provider::new().issuer(idp.issuer()).audience("api").keys(idp.jwks_url());
    /// # let oauth2 = OAuth2::builder().provider("idp", provider).key_refresh_minutes(30).build()?;
    /// oauth2.warm_up().await?;
    /// let withdrawn = idp.token().sign(&idp.key());
    /// idp.rotate_key();
    /// oauth2.refresh_keys().await?;
    /// assert!(oauth2.verify(&withdrawn).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The providers whose keys could not be fetched, each with the cause.
    pub async fn refresh_keys(&self) -> Result<(), KeyFetchError> {
        self.fetch_all(FetchReason::Fresh, |_, _| true).await
    }

    /// Returns the service that sends the metadata document of each [`resource`](OAuth2Builder::resource)
    /// ([RFC 9728 §3](https://www.rfc-editor.org/rfc/rfc9728#section-3)), to be added to the `App` itself and not to
    /// a scope. It sends nothing if no resource is configured.
    ///
    /// ```
    /// use actix_web::{App, test};
    /// use oauth2_actix::{Algorithm, OAuth2, Provider, testing::SigningKey};
    ///
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let key = SigningKey::generate(Algorithm::ES256, "key-1");
    /// let provider = Provider::new().issuer("https://login.example.com").keys(key.jwk_set());
    /// let oauth2 = OAuth2::builder()
    ///     .provider("login", provider)
    ///     .resource("https://api.example.com/mcp")
    ///     .build()?;
    /// let app = App::new().service(oauth2.resource_metadata()).wrap(oauth2);
    /// let app = test::init_service(app).await;
    ///
    /// let path = "/.well-known/oauth-protected-resource/mcp";
    /// let request = test::TestRequest::get().uri(path).to_request();
    /// let document: serde_json::Value = test::call_and_read_body_json(&app, request).await;
    /// assert_eq!(document["resource"], "https://api.example.com/mcp");
    /// assert_eq!(document["authorization_servers"][0], "https://login.example.com");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The documents need no token, and are readable for pages of every origin. The document of the only resource
    /// is also at `/.well-known/oauth-protected-resource`, where clients look for it if they have seen no challenge.
    /// It may be cached for 5 minutes. It is made from the configuration and the access rules alone, never from a
    /// request.
    pub fn resource_metadata(&self) -> ResourceMetadata {
        ResourceMetadata::new(&self.0.resources)
    }

    /// Returns the services that receive the messages of providers that end sessions: see
    /// [`backchannel_logout`](OAuth2Builder::backchannel_logout) and
    /// [`security_events`](OAuth2Builder::security_events). They receive nothing if neither is configured.
    ///
    /// ```
    /// use actix_web::App;
    /// # let oauth2 = oauth2_actix::testing::policy();
    /// let app = App::new().service(oauth2.logout_receivers()).wrap(oauth2);
    /// # drop(app);
    /// ```
    ///
    /// Add them inside the middleware of the same `OAuth2`, which lets requests without a token through to them and to
    /// nothing else.
    pub fn logout_receivers(&self) -> LogoutReceivers {
        LogoutReceivers::new(&self.0.receivers)
    }

    /// Returns the status of each key source: those of the providers in the order of the configuration, then
    /// those of the tenants in memory. The result can be serialized. Takes microseconds for each source, and
    /// never waits.
    ///
    /// ```
    /// use actix_web::{HttpResponse, get, web};
    /// use oauth2_actix::{OAuth2, public};
    ///
    /// /// For a load balancer: whether this instance can check tokens.
    /// #[public]
    /// #[get("/health")]
    /// async fn health(oauth2: web::Data<OAuth2>) -> HttpResponse {
    ///     if oauth2.is_ready() {
    ///         HttpResponse::Ok().finish()
    ///     } else {
    ///         HttpResponse::ServiceUnavailable().finish()
    ///     }
    /// }
    /// # fn main() {}
    /// ```
    /// Only [`OAuth2::is_ready`] and a refresh start the first fetch: a readiness probe that only reads this
    /// status never succeeds without a refresh.
    #[must_use]
    pub fn key_status(&self) -> Vec<KeyStatus> {
        let fetchers = self.0.keys.as_ref().map(|keys| &keys.fetchers);
        self.providers()
            .iter()
            .flat_map(|provider| KeyStatus::of(provider, fetchers, &self.0.clock))
            .collect()
    }

    /// Returns the status of each provider with introspection
    /// ([`Provider::introspection`](crate::Provider::introspection)), in the order of the configuration. The result can
    /// be serialized. It never waits.
    ///
    /// ```
    /// # use oauth2_actix::testing;
    /// # #[actix_web::main]
    /// # async fn main() {
    /// # let oauth2 = testing::policy();
    /// for provider in oauth2.introspection_status() {
    ///     println!("{}: available {}", provider.provider, provider.is_available());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn introspection_status(&self) -> Vec<IntrospectionStatus> {
        let introspectors = self.0.introspectors.as_ref();
        introspectors
            .into_iter()
            .flat_map(|all| all.iter().map(|one| IntrospectionStatus::of(one)))
            .collect()
    }

    /// Returns the size of the cache of verified tokens, which is zero if the cache is disabled.
    ///
    /// ```
    /// # use oauth2_actix::testing;
    /// # #[actix_web::main]
    /// # async fn main() {
    /// # let oauth2 = testing::policy();
    /// assert_eq!(oauth2.token_cache_status().entries, 0);
    /// # }
    /// ```
    #[must_use]
    pub fn token_cache_status(&self) -> TokenCacheStatus {
        self.0.verified.as_ref().map(VerifiedTokens::status).unwrap_or_default()
    }

    /// Returns whether the tokens of every configured provider can be checked now, without a fetch: for a
    /// readiness probe.
    ///
    /// A provider is ready if at least one of its sources has usable keys, and a fetch of each other source
    /// was attempted: one failing source of several does not take the API out of service. Neither do tenants,
    /// each of which serves one customer.
    ///
    /// If nothing was fetched yet, this starts the first fetch in the background. It is retried until it
    /// succeeds, after 1 s to 60 s, so that a service that receives only probes becomes ready; see also
    /// [`OAuth2::warm_up`]. False while keys are stale, and always with a refresh of zero. Also false until the
    /// [deny list](OAuth2Builder::deny_list) has been loaded for the first time.
    ///
    /// ```
    /// # use oauth2_actix::{OAuth2, Provider, testing::IdentityProvider};
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let idp = IdentityProvider::start("api")?;
    /// # let provider = Provider::new().issuer(idp.issuer()).audience("api").keys(idp.jwks_url());
    /// let oauth2 = OAuth2::builder().provider("idp", provider).build()?;
    /// while !oauth2.is_ready() {
    ///     actix_web::rt::time::sleep(std::time::Duration::from_millis(10)).await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_ready(&self) -> bool {
        if let Some(keys) = &self.0.keys {
            self.0.providers.iter().for_each(|provider| keys.fetch_first(provider));
        }
        self.0.revocations.as_ref().is_none_or(|list| list.was_loaded())
            && self.0.providers.iter().all(|provider| provider.is_ready(&self.0.clock))
    }

    fn providers(&self) -> Vec<Arc<ResolvedProvider>> {
        let tenants = self.0.keys.as_ref().and_then(|keys| keys.tenants.as_ref());
        let tenants = tenants.map(|tenants| tenants.tenants()).unwrap_or_default();
        self.0.providers.iter().cloned().chain(tenants).collect()
    }

    async fn fetch_all(
        &self,
        cause: FetchReason,
        is_selected: fn(&RemoteKeySet, &Clock) -> bool,
    ) -> Result<(), KeyFetchError> {
        let Some(keys) = &self.0.keys else { return Ok(()) };
        let remotes: Vec<(Arc<RemoteKeySet>, bool)> = self
            .providers()
            .iter()
            .flat_map(|provider| {
                let is_alone = provider.keys.len() == 1;
                provider.remotes().map(move |remote| (Arc::clone(remote), is_alone))
            })
            .filter(|(remote, _)| is_selected(remote, &self.0.clock))
            .collect();
        let failures: Vec<(String, String)> = stream::iter(remotes)
            .map(|(remote, is_alone)| async move {
                let error = keys.fetchers.fetch_now(&remote, cause).await.err()?;
                let cause = remote.state().report.last_failure.clone().map(|(_, cause)| cause);
                let cause = cause.unwrap_or_else(|| error.to_string());
                // Names the source if there are several.
                let cause = if is_alone { cause } else { format!("{}: {cause}", remote.shown) };
                Some((remote.provider.to_string(), cause))
            })
            .buffer_unordered(MAX_CONCURRENT_FETCHES)
            .filter_map(std::future::ready)
            .collect()
            .await;
        if failures.is_empty() { Ok(()) } else { Err(KeyFetchError { failures }) }
    }
}

/// The providers whose keys could not be fetched, each with the cause.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFetchError {
    failures: Vec<(String, String)>,
}

impl KeyFetchError {
    /// Returns each provider's name, and why its keys could not be fetched.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.failures.iter().map(|(provider, cause)| (provider.as_str(), cause.as_str()))
    }
}

impl fmt::Display for KeyFetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("keys could not be fetched")?;
        for (index, (provider, cause)) in self.failures().enumerate() {
            let before = if index == 0 { ": " } else { "; " };
            write!(formatter, "{before}provider {provider:?}: {cause}")?;
        }
        Ok(())
    }
}

/// The same as `Display`, since a `main` that returns an error prints its `Debug`.
impl fmt::Debug for KeyFetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for KeyFetchError {}

impl From<KeyFetchError> for io::Error {
    fn from(errors: KeyFetchError) -> Self {
        Self::other(errors)
    }
}

/// The most concurrent fetches of [`OAuth2::warm_up`] and [`OAuth2::refresh_keys`].
const MAX_CONCURRENT_FETCHES: usize = 64;
