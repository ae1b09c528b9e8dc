//! A small identity provider, on which users sign in without a password. For development only: it issues tokens
//! to any client on loopback.
//!
//! - this file: the provider with its settings, keys and routes
//! - `authorize`: the authorization endpoint
//! - `clients`: the clients, and how they register
//! - `documents`: client ID metadata documents
//! - `exchange`: token exchange at the token endpoint
//! - `grants`: forms that wait for an answer, codes, refresh tokens and opaque tokens
//! - `introspection`: the introspection endpoint
//! - `metadata`: the keys and the metadata that it publishes
//! - `page`: the HTML pages
//! - `parameters`: what the endpoints share
//! - `proof`: DPoP proofs at the token endpoint
//! - `token`: the token endpoint

use std::{
    fmt, io,
    net::TcpListener,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpResponse, HttpServer, Route,
    error::InternalError,
    http::Method,
    web::{self, method},
};
use serde_json::json;
use url::Url;

use self::{
    clients::{MAX_METADATA, Registered},
    documents::Documents,
    grants::Grants,
    parameters::{Parameters, Problem, preflight},
};
use super::{LocalServer, ManualClock, SigningKey, Token};
use crate::{jose::algorithm::Algorithm, util::clock::Clock};

mod authorize;
mod clients;
mod documents;
mod exchange;
mod grants;
mod introspection;
mod metadata;
mod page;
mod parameters;
mod proof;
mod token;

/// A small identity provider for development: it signs with ES256, and issues a token with any claims to the
/// client `quickstart` with the secret `quickstart`. Users sign in at it without a password, see
/// [below](#users-sign-in).
///
/// ```
/// use oauth2_actix::{OAuth2, Provider, testing::IdentityProvider};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let idp = IdentityProvider::start("my-api")?;
/// let oauth2 = OAuth2::builder()
///     .provider(
///         "local",
///         Provider::new().issuer(idp.issuer()).audience("my-api").keys(idp.jwks_url()),
///     )
///     .key_refresh_minutes(5)
///     .build()?;
///
/// let claims = oauth2.verify(&idp.token().claim("role", "admin").sign(&idp.key())).await?;
/// assert!(claims.has_claim("role", "admin"));
/// assert_eq!(idp.key_requests(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Users sign in
///
/// A client that finds an authorization server by its metadata, such as a client of the Model Context Protocol
/// or an OAuth library, can sign a user in without an account. It uses the authorization code grant (RFC 6749
/// §4.1) with PKCE by the method S256 (RFC 7636), and is one of
///
/// - a client that registers itself at `POST /register` (RFC 7591), public or with a secret; the last 100 are
///   known,
/// - a client whose id is the URL of its client ID metadata document, public, which is fetched within 5 s and
///   has at most 5 KiB. The URL is `https`, or `http` to a loopback host.
///
/// `GET /authorize` shows a page with the client's name, where the user goes back to, the audiences and the
/// scopes. The user types any name, which becomes `sub`, and approves. The client exchanges its code, which is
/// valid once and for 60 s, for an access token (RFC 9068) with `auth_time` and `acr`. The audience is the
/// `resource` of the request (RFC 8707). A client that has registered the grant type also gets a refresh token,
/// which is valid once. There are no ID tokens. All that is known of clients and users is in memory, and bounded.
///
/// # Opaque tokens, and tokens for other services
///
/// [`opaque_token`](Self::opaque_token) issues a token that only `POST /introspect` knows (RFC 7662). A client with a
/// secret, such as that of [`client_secret`](Self::client_secret), exchanges a token at `POST /token` (RFC 8693): the new
/// one is for each `audience` and `resource` of the request, has scopes of the first one, and does not outlive it.
///
/// # DPoP
///
/// A token request with a DPoP proof (RFC 9449 §5) gets a token that is bound to the key of the proof, and the
/// `token_type` is `DPoP`. A refresh token of a public client is then bound to the same key. An invalid proof gets 400
/// `invalid_dpop_proof`. The algorithms are ES256, EdDSA, Ed25519, PS256 and RS256; nonces are not required.
///
/// ```
/// use oauth2_actix::testing::IdentityProvider;
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let idp = IdentityProvider::start("http://127.0.0.1:8080/mcp")?;
///
/// // A client does this by itself.
/// let http = reqwest::Client::builder().no_proxy().build()?;
/// let metadata = r#"{
///     "client_name": "An agent",
///     "redirect_uris": ["http://127.0.0.1/callback"],
///     "token_endpoint_auth_method": "none"
/// }"#;
/// let registered = http.post(format!("{}/register", idp.issuer())).body(metadata).send().await?;
/// let registered: serde_json::Value = serde_json::from_str(&registered.text().await?)?;
///
/// // And it opens this page in the browser of the user.
/// let page = format!(
///     "{}/authorize?response_type=code&client_id={}&redirect_uri=http://127.0.0.1:50123/callback\
///      &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
///     idp.issuer(),
///     registered["client_id"].as_str().expect("an id"),
/// );
/// let page = http.get(page).send().await?.text().await?;
/// assert!(page.contains("<strong>An agent</strong> asks to act for you"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct IdentityProvider(Arc<State>);

struct State {
    issuer: String,
    audience: String,
    /// The clock that determines `iat` and `exp` of the tokens.
    clock: Mutex<Clock>,
    keys: Mutex<Keys>,
    key_requests: AtomicU64,
    introspection_requests: AtomicU64,
    exchange_requests: AtomicU64,
    settings: Mutex<Settings>,
    clients: Mutex<Registered>,
    grants: Mutex<Grants>,
    documents: Documents,
}

struct Settings {
    scopes: Vec<String>,
    acr_values: Vec<String>,
    protected_resources: Vec<String>,
    /// The lifetime of access tokens in seconds.
    token_lifetime: i64,
}

struct Keys {
    current: SigningKey,
    published: Vec<SigningKey>,
    generated: u64,
}

impl IdentityProvider {
    /// Creates a provider with this `issuer`, a URL without a trailing slash, that issues tokens for
    /// `audience`. It is not served yet: see [`IdentityProvider::configure`].
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        let current = SigningKey::generate(Algorithm::ES256, "key-1");
        Self(Arc::new(State {
            issuer: issuer.into(),
            audience: audience.into(),
            clock: Mutex::default(),
            keys: Mutex::new(Keys { published: vec![current.clone()], current, generated: 1 }),
            key_requests: AtomicU64::new(0),
            introspection_requests: AtomicU64::new(0),
            exchange_requests: AtomicU64::new(0),
            settings: Mutex::default(),
            clients: Mutex::default(),
            grants: Mutex::default(),
            documents: Documents::default(),
        }))
    }

    /// Starts a provider on a loopback port, which is served until the result is dropped.
    ///
    /// # Errors
    ///
    /// An error if there is no free port or thread.
    pub fn start(audience: &str) -> io::Result<RunningIdentityProvider> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let provider = Self::new(&format!("http://{}", listener.local_addr()?), audience);
        let served = provider.clone();
        let server = LocalServer::listen(listener, move |listener| {
            let app = move || App::new().configure(|config| served.configure(config));
            Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
        })?;
        Ok(RunningIdentityProvider { provider, _server: server })
    }

    /// Returns its issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Returns the URL at which it publishes its keys.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("{}/jwks.json", self.issuer())
    }

    /// Returns the key that it signs with now.
    #[must_use]
    pub fn key(&self) -> SigningKey {
        self.keys().current.clone()
    }

    /// Returns a token of its issuer and for its audience, to be changed and signed.
    #[must_use]
    pub fn token(&self) -> Token {
        Token::issued_at(&self.0.issuer, &self.0.audience, self.now().as_secs())
    }

    /// Sets the clock by which tokens are issued, instead of the system's. Give the same clock to
    /// [`OAuth2Builder::clock`](crate::OAuth2Builder::clock), so that both sides agree on the time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use oauth2_actix::{OAuth2, Provider, testing::{IdentityProvider, ManualClock}};
    ///
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let idp = IdentityProvider::start("my-api")?;
    /// idp.set_clock(clock.clone());
    /// let provider = Provider::new().issuer(idp.issuer()).audience("my-api").keys(idp.jwks_url());
    /// let oauth2 = OAuth2::builder()
    ///     .provider("local", provider)
    ///     .key_refresh_minutes(5)
    ///     .clock(clock.clone())
    ///     .build()?;
    /// // A fetch in progress would time out when the clock is moved.
    /// oauth2.warm_up().await?;
    ///
    /// let token = idp.token().expires_in(60).sign(&idp.key());
    /// clock.advance(Duration::from_secs(59));
    /// oauth2.verify(&token).await?;
    /// clock.advance(Duration::from_secs(1));
    /// assert!(oauth2.verify(&token).await.is_err());
    /// let next = idp.token().expires_in(60).sign(&idp.key());
    /// oauth2.verify(&next).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_clock(&self, clock: ManualClock) {
        *self.clock() = Clock::Manual(clock);
    }

    /// Signs with a new key from now on, and publishes no other: tokens that were signed before cannot be
    /// verified any more.
    pub fn rotate_key(&self) {
        self.keys().rotate(false);
    }

    /// Signs with a new key from now on, and still publishes the last one.
    pub fn rotate_key_with_overlap(&self) {
        self.keys().rotate(true);
    }

    /// Returns how often its keys were requested.
    #[must_use]
    pub fn key_requests(&self) -> u64 {
        self.0.key_requests.load(Ordering::SeqCst)
    }

    /// Sets the scopes that users can grant, which the metadata publishes. A client that asks for another one
    /// gets `invalid_scope`. By default, users can grant every scope.
    ///
    /// ```
    /// use oauth2_actix::testing::IdentityProvider;
    ///
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let idp = IdentityProvider::start("my-api")?;
    /// idp.set_scopes(["orders:read", "orders:write"]);
    /// let url = format!("{}/.well-known/oauth-authorization-server", idp.issuer());
    /// let http = reqwest::Client::builder().no_proxy().build()?;
    /// let metadata = http.get(url).send().await?.text().await?;
    /// let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    /// assert_eq!(metadata["scopes_supported"][1], "orders:write");
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_scopes<S: Into<String>>(&self, scopes: impl IntoIterator<Item = S>) {
        self.settings().scopes = scopes.into_iter().map(Into::into).collect();
    }

    /// Sets the `acr_values_supported` of the metadata (RFC 8414 §2, RFC 9470 §7). The default is `1`. A token
    /// has the first of the `acr_values` that its client asks for, whether listed or not, and otherwise `1`.
    ///
    /// ```
    /// # let idp = oauth2_actix::testing::IdentityProvider::new("http://127.0.0.1:8081", "my-api");
    /// idp.set_acr_values(["1", "two-factors"]);
    /// ```
    pub fn set_acr_values<S: Into<String>>(&self, values: impl IntoIterator<Item = S>) {
        self.settings().acr_values = values.into_iter().map(Into::into).collect();
    }

    /// Sets the resources that it issues tokens for, beside its audience: absolute URIs without a fragment. The
    /// metadata publishes them (RFC 9728 §4), and a client that asks for another one gets `invalid_target`
    /// (RFC 8707 §2). By default, a client gets a token for any resource.
    ///
    /// A resource becomes the audience of the token, as it is written here.
    ///
    /// ```
    /// # let idp = oauth2_actix::testing::IdentityProvider::new("http://127.0.0.1:8081", "my-api");
    /// idp.set_protected_resources(["http://127.0.0.1:8080/mcp"]);
    /// ```
    pub fn set_protected_resources<S: Into<String>>(&self, resources: impl IntoIterator<Item = S>) {
        self.settings().protected_resources = resources.into_iter().map(Into::into).collect();
    }

    /// Sets the lifetime of the access tokens that it issues from now on, in whole seconds. The default is 300 s.
    /// It does not apply to [`token`](Self::token).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let idp = oauth2_actix::testing::IdentityProvider::new("http://127.0.0.1:8081", "my-api");
    /// // To see how a client refreshes its token.
    /// idp.set_token_lifetime(Duration::from_secs(10));
    /// ```
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(MAX_LIFETIME);
        self.settings().token_lifetime = seconds.min(MAX_LIFETIME);
    }

    /// Adds its routes to another app: `/jwks.json`, `/.well-known/oauth-authorization-server`,
    /// `/.well-known/openid-configuration`, `/authorize`, `POST /token`, `POST /introspect`, `POST /register` and
    /// `POST /rotate`.
    pub fn configure(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(web::Data::new(self.clone()))
            .app_data(web::FormConfig::default().error_handler(|error, _| {
                // The error of RFC 6749 §5.2 for a body that is not a form.
                let answer = Problem::request("The body is not a form.").response();
                InternalError::from_response(error, answer).into()
            }))
            .route("/jwks.json", web::get().to(metadata::jwks))
            .route("/authorize", web::get().to(authorize::show))
            .route("/authorize", web::post().to(authorize::answer))
            .route("/introspect", web::post().to(introspection::introspect))
            .route("/rotate", web::post().to(rotate));
        let readable = |path: &str, route: Route| {
            web::resource(path).route(route).route(method(Method::OPTIONS).to(preflight))
        };
        config
            .service(readable(
                "/.well-known/oauth-authorization-server",
                web::get().to(metadata::metadata),
            ))
            .service(readable(
                "/.well-known/openid-configuration",
                web::get().to(metadata::metadata),
            ))
            .service(readable("/token", web::post().to(token::token)))
            .service(
                readable("/register", web::post().to(clients::register))
                    .app_data(web::PayloadConfig::new(2 * MAX_METADATA)),
            );
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.0.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients(&self) -> MutexGuard<'_, Registered> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        self.0.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time since the Unix epoch.
    fn now(&self) -> Duration {
        self.clock().unix_time()
    }

    /// Returns the resources of a request (RFC 8707 §2), each once. One that is known is returned as it was
    /// written in the settings, since clients write `https://host` also as `https://host/`.
    fn resources(&self, parameters: &Parameters) -> Result<Vec<String>, Problem> {
        let settings = self.settings();
        let mut resources = Vec::new();
        for asked in parameters.all("resource") {
            let url = Url::parse(asked).ok().filter(|url| url.fragment().is_none());
            let url = url.ok_or(Problem::new(
                "invalid_target",
                "A resource is not an absolute URI without a fragment.",
            ))?;
            let mut known = settings.protected_resources.iter().chain([&self.0.audience]);
            let known = known.find(|known| Url::parse(known).is_ok_and(|known| known == url));
            let resource = match known {
                Some(known) => known.clone(),
                None if settings.protected_resources.is_empty() => asked.to_owned(),
                None => {
                    return Err(Problem::new(
                        "invalid_target",
                        "A resource is not one of this provider's protected_resources.",
                    ));
                }
            };
            if !resources.contains(&resource) {
                resources.push(resource);
            }
        }
        Ok(resources)
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.0.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for IdentityProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "IdentityProvider({})", self.issuer())
    }
}

impl Settings {
    /// Checks that users can grant these scopes.
    fn check_scopes(&self, scopes: &[String]) -> Result<(), Problem> {
        if self.scopes.is_empty() || scopes.iter().all(|scope| self.scopes.contains(scope)) {
            return Ok(());
        }
        Err(Problem::new(
            "invalid_scope",
            "A scope is not one of this provider's scopes_supported.",
        ))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scopes: Vec::new(),
            acr_values: vec!["1".into()],
            protected_resources: Vec::new(),
            token_lifetime: 300,
        }
    }
}

impl Keys {
    fn rotate(&mut self, overlap: bool) {
        self.generated += 1;
        let next = SigningKey::generate(Algorithm::ES256, &format!("key-{}", self.generated));
        let last = std::mem::replace(&mut self.current, next.clone());
        self.published = if overlap { vec![next, last] } else { vec![next] };
    }
}

/// An [`IdentityProvider`] that is served on loopback until this is dropped.
#[derive(Debug)]
pub struct RunningIdentityProvider {
    provider: IdentityProvider,
    _server: LocalServer,
}

impl Deref for RunningIdentityProvider {
    type Target = IdentityProvider;

    fn deref(&self) -> &IdentityProvider {
        &self.provider
    }
}

async fn rotate(provider: web::Data<IdentityProvider>) -> HttpResponse {
    provider.rotate_key();
    HttpResponse::Ok().json(json!({"kid": provider.key().kid()}))
}

/// The longest lifetime of an access token in seconds, a year.
const MAX_LIFETIME: i64 = 365 * 24 * 3600;
