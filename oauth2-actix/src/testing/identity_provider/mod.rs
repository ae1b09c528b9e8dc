//! A small identity provider: JWK set, discovery document, token endpoint, and an endpoint that rotates its
//! key. For development only: it issues tokens to any client on loopback.

use std::{
    fmt, io,
    net::TcpListener,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    error::InternalError,
    http::header::{AUTHORIZATION, CACHE_CONTROL},
    web,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{LocalServer, ManualClock, SigningKey, Token};
use crate::{jose::algorithm::Algorithm, util::clock::Clock};

/// A small identity provider for development: it signs with ES256, and issues a token with any claims to the
/// client `quickstart` with the secret `quickstart`.
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
#[derive(Clone)]
pub struct IdentityProvider(Arc<State>);

struct State {
    issuer: String,
    audience: String,
    /// The clock that determines `iat` and `exp` of the tokens.
    clock: Mutex<Clock>,
    keys: Mutex<Keys>,
    key_requests: AtomicU64,
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
        let now = self.clock().unix_time().as_secs();
        Token::issued_at(&self.0.issuer, &self.0.audience, now)
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

    /// Adds its routes to another app: `/jwks.json`, `/.well-known/openid-configuration`, `POST /token` and
    /// `POST /rotate`.
    pub fn configure(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(web::Data::new(self.clone()))
            .app_data(web::FormConfig::default().error_handler(|error, _| {
                // The error of RFC 6749 §5.2 for a body that is not a token request.
                let answer =
                    token_error("invalid_request", "The body is not a form of a token request.");
                InternalError::from_response(error, answer).into()
            }))
            .route("/jwks.json", web::get().to(jwks))
            .route("/.well-known/openid-configuration", web::get().to(discovery))
            .route("/token", web::post().to(token))
            .route("/rotate", web::post().to(rotate));
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

async fn jwks(provider: web::Data<IdentityProvider>) -> HttpResponse {
    provider.0.key_requests.fetch_add(1, Ordering::SeqCst);
    let keys: Vec<Value> = provider.keys().published.iter().map(SigningKey::public_jwk).collect();
    HttpResponse::Ok().json(json!({"keys": keys}))
}

async fn discovery(provider: web::Data<IdentityProvider>) -> HttpResponse {
    let issuer = provider.issuer();
    HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "jwks_uri": provider.jwks_url(),
        "token_endpoint": format!("{issuer}/token"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    }))
}

/// A token request (RFC 6749 §4.4.2), and two parameters for development.
#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    scope: Option<String>,
    /// A JSON object of claims to put into the token.
    claims: Option<String>,
    /// The lifetime in seconds; negative for an expired token.
    expires_in: Option<i64>,
}

async fn token(
    provider: web::Data<IdentityProvider>,
    request: HttpRequest,
    form: web::Form<TokenRequest>,
) -> HttpResponse {
    let form = form.into_inner();
    if form.grant_type != "client_credentials" {
        return token_error("unsupported_grant_type", "The only grant type is client_credentials.");
    }
    let (id, secret) = match basic_credentials(&request) {
        Some(credentials) => credentials,
        None => (form.client_id.unwrap_or_default(), form.client_secret.unwrap_or_default()),
    };
    if (id.as_str(), secret.as_str()) != CLIENT {
        return HttpResponse::Unauthorized().json(json!({"error": "invalid_client"}));
    }
    let claims = match form.claims.as_deref().map(serde_json::from_str::<Map<String, Value>>) {
        None => Map::new(),
        Some(Ok(claims)) => claims,
        Some(Err(_)) => return token_error("invalid_request", "claims is not a JSON object."),
    };
    let lifetime = form.expires_in.unwrap_or(300).clamp(-86_400, 86_400);
    let mut token = provider.token().claim("client_id", id).expires_in(lifetime);
    if let Some(scope) = &form.scope {
        token = token.claim("scope", scope.as_str());
    }
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({
        "access_token": token.claims(claims).sign(&provider.key()),
        "token_type": "Bearer",
        "expires_in": lifetime,
        "scope": form.scope,
    }))
}

async fn rotate(provider: web::Data<IdentityProvider>) -> HttpResponse {
    provider.rotate_key();
    HttpResponse::Ok().json(json!({"kid": provider.key().kid()}))
}

fn token_error(error: &str, description: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(json!({"error": error, "error_description": description}))
}

fn basic_credentials(request: &HttpRequest) -> Option<(String, String)> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// The id and the secret of the only client.
const CLIENT: (&str, &str) = ("quickstart", "quickstart");
