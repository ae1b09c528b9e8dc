//! The middleware as users hold it: a cheap clone of the finished policy.

use std::{fmt, io, sync::Arc};

use futures_util::{StreamExt, stream};

use crate::{
    builder::OAuth2Builder,
    error::Error,
    keys::remote::{FetchReason, RemoteKeySet},
    policy::{Decision, Policy},
    provider::ResolvedProvider,
    request::bearer::Credentials,
    status::KeyStatus,
    token::{
        cache::{TokenCacheStatus, VerifiedTokens},
        claims::Claims,
    },
    util::clock::Clock,
};

/// The middleware: `App::new().wrap(oauth2.clone())`.
///
/// Build it once, outside the closure of `HttpServer::new`, which runs for every worker: clones
/// share the keys. Wrap it last but for CORS, so that it sees the path that the router sees and
/// CORS headers reach its refusals too.
///
/// ```
/// use actix_web::{App, HttpResponse, web};
/// use oauth2_actix::{Claims, OAuth2, Provider};
///
/// async fn me(claims: Claims) -> String {
///     claims.subject().unwrap_or("nobody").to_owned()
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
    /// Starts a configuration in code. The same through serde is [`OAuth2Builder`]'s `Deserialize`.
    pub fn builder() -> OAuth2Builder {
        OAuth2Builder::default()
    }

    /// Checks a token that did not come in a request's header, such as one in a message.
    ///
    /// All that the middleware checks is checked here; nothing is said of how the token came.
    ///
    /// ```
    /// # use oauth2_actix::{ErrorKind, testing};
    /// # #[actix_web::main]
    /// # async fn main() {
    /// # let oauth2 = testing::policy();
    /// let refused = oauth2.verify("no.such.token").await.unwrap_err();
    /// assert!(matches!(refused.kind(), ErrorKind::TokenMalformed { .. }));
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Why the token is refused, as for a request.
    pub async fn verify(&self, token: &str) -> Result<Claims, Error> {
        self.decide(&Credentials::from_text(token, self.0.max_token_length)?).await
    }

    pub(crate) async fn decide(&self, credentials: &Credentials<'_>) -> Result<Claims, Error> {
        match self.0.decide(credentials) {
            Decision::Accepted(claims) => Ok(claims),
            Decision::Rejected(error) => Err(error),
            Decision::Waiting(pending) => self.0.resolve(pending).await,
        }
    }

    /// Fetches the keys of every provider that has none yet, so that the first requests do not wait, and
    /// a program that cannot check any token need not start to listen.
    ///
    /// Waits until one attempt for each source has ended, at most 64 at once; one that is under way already
    /// will do. Without it, keys are fetched in the background where a refresh is set, and otherwise when
    /// they are first needed. [Initial keys](crate::Provider::initial_keys) and a
    /// [snapshot](OAuth2Builder::key_snapshot) are keys: what they stand in for is not waited for.
    /// [Tenants](crate::tenants::Tenants) are looked up when they come.
    ///
    /// ```
    /// # use oauth2_actix::{OAuth2, Provider, testing::IdentityProvider};
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let idp = IdentityProvider::start("api")?;
    /// # let provider = Provider::new().issuer(idp.issuer()).audience("api").keys(idp.jwks_url());
    /// let oauth2 = OAuth2::builder().provider("idp", provider).key_refresh_minutes(30).build()?;
    /// if let Err(error) = oauth2.warm_up().await {
    ///     // Start all the same, or not: this says which providers failed, and why.
    ///     eprintln!("{error}");
    /// }
    /// assert!(oauth2.key_status().iter().all(|provider| provider.is_ready()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The providers whose keys could not be fetched, each with the cause. The others have theirs. Failed
    /// ones are tried again in the background until they succeed, also where no refresh is set.
    pub async fn warm_up(&self) -> Result<(), KeyFetchError> {
        self.fetch_all(FetchReason::Start, |remote, clock| remote.usable(clock).is_none()).await
    }

    /// Fetches the keys of every provider now, whatever its refresh interval, cooldown or backoff: for
    /// an operator who knows that keys have changed. Also where no refresh is set. Keys whose fetch
    /// fails stay.
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

    /// What is known of each source of keys: those of the providers in the order of the configuration, then
    /// those of the tenants in memory. Ready to be serialised. Costs microseconds for each, and waits for
    /// nothing.
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
    /// Only [`OAuth2::is_ready`] and a set refresh start the first fetch: a readiness probe that asks
    /// `status` alone stays red where no refresh is set.
    #[must_use]
    pub fn key_status(&self) -> Vec<KeyStatus> {
        let fetchers = self.0.keys.as_ref().map(|keys| &keys.fetchers);
        self.providers()
            .iter()
            .flat_map(|provider| KeyStatus::of(provider, fetchers, &self.0.clock))
            .collect()
    }

    /// How full the cache of verified tokens is. Of no tokens where it is off.
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

    /// Whether the tokens of every provider known from the start can be checked now, without a fetch: for a
    /// readiness probe.
    ///
    /// A provider is ready if one of its sources at least has keys that may be used, and each other one has
    /// been asked: a source that fails beside another does not take you out of service. Nor do tenants,
    /// each of which is one customer's.
    ///
    /// Where nothing was fetched yet, this starts the first fetch in the background. It is repeated until
    /// it succeeds, after 1 s to 60 s, so that a service that is only probed becomes ready; see also
    /// [`OAuth2::warm_up`]. False while keys are stale, and always with a refresh of zero.
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
        self.0.providers.iter().all(|provider| provider.is_ready(&self.0.clock))
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
                // Of several sources, which one.
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
    /// Each provider's name, and why its keys could not be fetched.
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

/// As `Display`: a `main` that returns an error prints its `Debug`.
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

/// Fetches at once at our user's word.
const MAX_CONCURRENT_FETCHES: usize = 64;
