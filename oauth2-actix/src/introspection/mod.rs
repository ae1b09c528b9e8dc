//! Token introspection: requests to a provider that ask whether a token is active
//! ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662), [RFC 9701](https://www.rfc-editor.org/rfc/rfc9701)).
//!
//! See [`Provider::introspection`](crate::Provider::introspection), [`Introspection`], and the page
//! `docs/introspection.md` of the repository.

// Owns introspection requests, the validation of responses, and the choice of the provider. It imports `config`, `error`,
// `http`, `jose`, `json`, `keys`, `outbound`, `provider`, `revocation`, `token` and `util`.
//
// - this file: the introspection at one provider, and the limits of its requests
// - `answer.rs`: the response, and the checks of an active token
// - `routing.rs`: the provider that introspects a token

mod answer;
mod routing;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{FutureExt, future::BoxFuture};

use self::answer::{Answer, Checks, ResponseError};
pub(crate) use self::routing::Introspectors;
pub use crate::config::introspection::Introspection;
use crate::{
    error::{Error, ErrorKind},
    json::object::Object,
    keys::fetcher::Fetchers,
    outbound::{
        authentication::Form,
        breaker::{Breaker, Pass},
        endpoint::Endpoint,
        failure::{self, Severity},
        rejections::Rejections,
        shared_calls::{CallKey, SharedCallError, SharedCalls},
        thread::CallThread,
    },
    provider::ResolvedProvider,
    revocation::Revocations,
    token::{
        claims::Claims,
        lifetime::TimeLimits,
        revocable::revocable,
        verified::{Introspected, Revalidate, VerifiedBy, VerifiedToken},
    },
    util::{
        clock::Clock,
        log_rate::Throttle,
        telemetry::{self, Introspected as Outcome},
    },
};

/// A provider with introspection.
pub(crate) struct Introspector {
    provider: Arc<ResolvedProvider>,
    issuers: Vec<String>,
    endpoint: Endpoint,
    token_prefix: Option<String>,
    introspects_every_token: bool,
    signed: bool,
    dangerous_without_audience: bool,
    cache: Duration,
    time_limits: TimeLimits,
    calls: SharedCalls<Result<Claims, Error>>,
    breaker: Breaker,
    rejections: Rejections<Error>,
    /// The tokens whose introspection request has failed most recently.
    failed_calls: Rejections<Error>,
    revocations: Option<Arc<Revocations>>,
    thread: Arc<CallThread>,
    /// The fetchers of the keys that verify signed responses. None if all keys are inline.
    fetchers: Option<Fetchers>,
    /// Called with the claims of each active token.
    on_active: OnceLock<OnActive>,
    warnings: Throttle,
    clock: Clock,
}

/// A function that keeps the claims of an active token.
type OnActive = Arc<dyn Fn(&Claims) + Send + Sync>;

/// What an introspector is made of, besides its settings.
pub(crate) struct Parts {
    pub(crate) provider: Arc<ResolvedProvider>,
    pub(crate) issuers: Vec<String>,
    pub(crate) endpoint: Endpoint,
    pub(crate) introspects_every_token: bool,
    pub(crate) time_limits: TimeLimits,
    pub(crate) revocations: Option<Arc<Revocations>>,
    pub(crate) thread: Arc<CallThread>,
    pub(crate) fetchers: Option<Fetchers>,
    pub(crate) clock: Clock,
}

/// The introspection of one token.
pub(crate) struct IntrospectionCall {
    introspector: Arc<Introspector>,
    id: CallKey,
    token: Box<[u8]>,
}

impl Introspector {
    pub(crate) fn new(settings: &Introspection, parts: Parts) -> Self {
        let negative = settings.negative_cache.unwrap_or(DEFAULT_NEGATIVE_CACHE);
        Self {
            token_prefix: settings.token_prefix.clone(),
            signed: settings.signed,
            dangerous_without_audience: settings.dangerous_without_audience,
            cache: settings.cache.unwrap_or(DEFAULT_CACHE),
            calls: SharedCalls::new(settings.max_calls.unwrap_or(DEFAULT_CALLS), &parts.clock),
            breaker: Breaker::new(&parts.clock),
            rejections: Rejections::new(negative),
            failed_calls: Rejections::new(FAILED_CALL_LIFETIME),
            on_active: OnceLock::new(),
            warnings: Throttle::new(parts.clock.clone()),
            provider: parts.provider,
            issuers: parts.issuers,
            endpoint: parts.endpoint,
            introspects_every_token: parts.introspects_every_token,
            time_limits: parts.time_limits,
            revocations: parts.revocations,
            thread: parts.thread,
            fetchers: parts.fetchers,
            clock: parts.clock,
        }
    }

    /// Returns the introspection of a token. The error says why no request is sent: the token was just rejected, or the
    /// endpoint fails.
    pub(crate) fn introspect(self: &Arc<Self>, token: &str) -> Result<IntrospectionCall, Error> {
        let token: Box<[u8]> = token.as_bytes().into();
        let id = call_key(&token);
        let now = self.clock.monotonic();
        if let Some(rejection) = self.rejections.find(&id, now) {
            return Err(rejection);
        }
        if let Some(wait) = self.breaker.wait() {
            return Err(self.unavailable(wait));
        }
        if let Some(failed) = self.failed_calls.find(&id, now) {
            return Err(failed);
        }
        Ok(IntrospectionCall { introspector: Arc::clone(self), id, token })
    }

    pub(crate) fn provider(&self) -> &str {
        &self.provider.name
    }

    /// Returns the endpoint for logs and the status.
    pub(crate) fn shown(&self) -> String {
        self.endpoint.shown()
    }

    /// Returns the number of introspection requests in progress.
    pub(crate) fn in_progress(&self) -> usize {
        self.calls.in_progress()
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Sends an introspection request, and validates the response.
    async fn call(self: Arc<Self>, id: CallKey, token: Box<[u8]>) -> Result<Claims, Error> {
        let pass = match self.breaker.enter() {
            Ok(pass) => pass,
            Err(wait) => return Err(self.unavailable(wait)),
        };
        let pass = if pass.is_probe() { self.probe(pass).await? } else { pass };
        let started = self.clock.monotonic();
        let requested_at = (self.clock.unix_time(), started);
        let answer = self.send(&token).await;
        telemetry::introspection_took(
            &self.provider.name,
            self.clock.monotonic().saturating_sub(started),
        );
        let result = match answer {
            Ok(Answer::Active(claims)) => {
                self.breaker.succeeded(pass);
                self.accept(claims, token, requested_at)
            }
            Ok(Answer::Inactive) => {
                self.breaker.succeeded(pass);
                Err(self.rejected(ErrorKind::TokenInactive.into()))
            }
            Err(failure) => {
                let error = self.failed(pass, &failure);
                if failure.severity() != Severity::Endpoint {
                    // Otherwise one client could open the breaker by repeating its request.
                    self.failed_calls.add(id, error.clone(), self.clock.monotonic());
                }
                Err(error)
            }
        };
        let outcome = match &result {
            Ok(_) => Outcome::Active,
            Err(error) if matches!(error.kind(), ErrorKind::TokenInactive) => Outcome::Inactive,
            Err(error) if error.is_unavailable() => Outcome::Failed,
            Err(_) => Outcome::Rejected,
        };
        telemetry::introspected(&self.provider.name, outcome);
        match (&result, self.on_active.get()) {
            (Ok(claims), Some(on_active)) => on_active(claims),
            (Ok(_), None) => {}
            (Err(error), _) if error.is_unavailable() => {}
            (Err(error), _) => self.rejections.add(id, error.clone(), self.clock.monotonic()),
        }
        result
    }

    /// Sends an introspection request for a random token, and closes the breaker if the endpoint responds. A client could
    /// have chosen its token so that the endpoint fails at it.
    async fn probe(&self, pass: Pass) -> Result<Pass, Error> {
        let mut random = [0; 32];
        // Without random bytes it is still a token that no provider has issued.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let prefix = self.token_prefix.as_deref().unwrap_or_default();
        let token = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random));
        match self.send(token.as_bytes()).await {
            Ok(_) => self.breaker.succeeded(pass),
            Err(failure) if failure.severity() == Severity::Request => {
                self.breaker.succeeded(pass);
            }
            Err(failure) => return Err(self.failed(pass, &failure)),
        }
        self.breaker.enter().map_err(|wait| self.unavailable(wait))
    }

    async fn send(&self, token: &[u8]) -> Result<Answer, Failure> {
        let mut form = Form::default();
        // A token is ASCII.
        form.add("token", String::from_utf8_lossy(token));
        form.add("token_type_hint", "access_token");
        let media_type = if self.signed { answer::JWT } else { answer::JSON };
        let posted = self.endpoint.post(form, media_type, MAX_RESPONSE).await?;
        let retry_after = posted.retry_after;
        let of_response = |error: ResponseError| {
            let severity = error.severity();
            Failure::Response { error, severity, retry_after }
        };
        let body = answer::body_of(posted, media_type).map_err(of_response)?;
        let answer = if self.signed { self.read_signed(&body).await } else { answer::read(&body) };
        answer.map_err(of_response)
    }

    async fn read_signed(&self, body: &[u8]) -> Result<Answer, ResponseError> {
        let text =
            std::str::from_utf8(body).map_err(|_| ResponseError::Signed("it is not a JWT"))?;
        let fetchers = self.fetchers.as_ref();
        let verified =
            self.provider.verify_message(text.trim(), answer::TYPE, fetchers, &self.clock).await;
        let claims = verified.map_err(ResponseError::Signature)?;
        let client_id = self.endpoint.authenticator.client_id();
        let (now, leeway) = (self.clock.unix_time(), self.time_limits.leeway);
        answer::read_signed(&claims, &self.issuers, client_id, now, leeway)
    }

    /// Validates an active token. `requested_at`: the response is not older than this time since the Unix epoch, which is this
    /// monotonic time.
    fn accept(
        self: &Arc<Self>,
        claims: Object,
        token: Box<[u8]>,
        requested_at: (Duration, Duration),
    ) -> Result<Claims, Error> {
        let checks = Checks {
            provider: &self.provider,
            issuers: &self.issuers,
            dangerous_without_audience: self.dangerous_without_audience,
            time_limits: self.time_limits,
            now: self.clock.unix_time(),
        };
        let text = String::from_utf8_lossy(&token);
        self.provider.check_introspected_type(&text).map_err(|error| self.rejected(error))?;
        let claims = self.with_issuer(claims);
        let (lifetime, confirmation) =
            checks.check(&claims).map_err(|error| self.rejected(error))?;
        let issuer: Arc<dyn Revalidate> = Arc::new(Issuer(Arc::clone(self)));
        let introspected = Introspected::new(requested_at, self.cache, issuer);
        let verified_by = VerifiedBy::Introspection(Arc::new(introspected));
        self.provider
            .check_verified(&claims, (verified_by.clone(), lifetime), &confirmation, &self.clock)
            .map_err(|error| self.rejected(error))?;
        let revocable = self.revocations.as_ref().map(|list| {
            list.note_lifetime(lifetime.remaining(self.clock.unix_time()));
            revocable(list, &claims, &token, &verified_by)
        });
        Ok(Claims::new(VerifiedToken {
            by: self.provider.accepted_by(),
            verified_by,
            lifetime,
            claims,
            confirmation: confirmation.map(|confirmation| confirmation.of_token(&token)),
            token,
            principal: OnceLock::new(),
            revocable,
            status: None,
            clock: self.clock.clone(),
        }))
    }

    /// Returns the claims with `iss`, which a response may lack. The response is that of this provider.
    fn with_issuer(&self, claims: Object) -> Object {
        let Some(issuer) = self.issuers.first().filter(|_| !claims.contains("iss")) else {
            return claims;
        };
        let mut members = claims.to_map();
        members.insert("iss".to_owned(), issuer.clone().into());
        let text = serde_json::to_vec(&members);
        text.and_then(|text| Object::parse(&text)).unwrap_or(claims)
    }

    fn rejected(&self, error: Error) -> Error {
        error.undisclosed().with_provider(&self.provider.name)
    }

    fn unavailable(&self, wait: Duration) -> Error {
        let retry_after = wait.max(Duration::from_secs(1));
        let error = Error::from(ErrorKind::IntrospectionUnavailable { retry_after });
        error.with_provider(&self.provider.name)
    }

    /// Notes and logs that an introspection request has failed.
    fn failed(&self, pass: Pass, failure: &Failure) -> Error {
        let (severity, cause) = (failure.severity(), failure.to_string());
        let wait = self.breaker.failed(pass, severity, failure.retry_after(), &cause);
        let wait =
            if severity == Severity::Request { wait.max(FAILED_CALL_LIFETIME) } else { wait };
        let (provider, endpoint) = (&self.provider.name, self.endpoint.shown());
        let next_try_seconds = wait.as_secs_f64();
        // Clients cause introspection requests, so the warning has a rate.
        if self.warnings.allows() {
            tracing::warn!(
                target: "oauth2_actix", %provider, endpoint, cause, next_try_seconds,
                "token introspection failed: requests with uncached tokens get 503"
            );
        } else {
            tracing::debug!(
                target: "oauth2_actix", %provider, endpoint, cause, next_try_seconds,
                "token introspection failed: requests with uncached tokens get 503"
            );
        }
        self.unavailable(wait).with_source(cause)
    }
}

/// Introspects the token of a session again.
struct Issuer(Arc<Introspector>);

impl Revalidate for Issuer {
    fn revalidate(&self, token: &[u8]) -> BoxFuture<'static, Result<Duration, Error>> {
        let introspector = Arc::clone(&self.0);
        let token = String::from_utf8_lossy(token).into_owned();
        async move {
            let claims = introspector.introspect(&token)?.response().await?;
            let introspected = claims.verified().verified_by.introspected();
            Ok(introspected.map_or(Duration::ZERO, |introspected| introspected.until_monotonic))
        }
        .boxed()
    }
}

impl IntrospectionCall {
    /// Waits for the response, which concurrent requests with the same token share.
    pub(crate) async fn response(self) -> Result<Claims, Error> {
        let Self { introspector, id, token } = self;
        let call = || Arc::clone(&introspector).call(id, token);
        match introspector.calls.result(&introspector.thread, id, call).await {
            Ok(result) => result,
            Err(error) => {
                let cause = match error {
                    SharedCallError::TooMany => {
                        "too many introspection requests in progress and in the queue"
                    }
                    SharedCallError::Cancelled => "the introspection request was cancelled",
                };
                tracing::debug!(target: "oauth2_actix", provider = %introspector.provider.name, "{cause}");
                Err(introspector.unavailable(Duration::ZERO).with_source(cause))
            }
        }
    }

    /// Sends the request without waiting for the response. Returns the error for the request of the client.
    pub(crate) fn start_in_background(&self) -> Error {
        let introspector = &self.introspector;
        let call = || Arc::clone(introspector).call(self.id, self.token.clone());
        // At the limit, a later request starts it.
        let _ = introspector.calls.start(&introspector.thread, self.id, call);
        introspector.unavailable(Duration::ZERO)
    }

    /// Returns the error for a request of a client that must not wait.
    pub(crate) fn undecided(&self) -> Error {
        self.introspector.unavailable(Duration::ZERO)
    }
}

type Failure = failure::Failure<ResponseError>;

/// Returns the SHA-256 of a token.
fn call_key(token: &[u8]) -> CallKey {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token);
    let mut id = [0; 32];
    id.copy_from_slice(digest.as_ref());
    id
}

impl fmt::Debug for Introspector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Introspector")
            .field("provider", &self.provider.name)
            .field("endpoint", &self.endpoint.shown())
            .finish_non_exhaustive()
    }
}

const DEFAULT_CACHE: Duration = Duration::from_secs(60);
const DEFAULT_NEGATIVE_CACHE: Duration = Duration::from_secs(5);
const DEFAULT_CALLS: usize = 64;

/// How long a failed introspection request is not repeated for the same token.
const FAILED_CALL_LIFETIME: Duration = Duration::from_secs(5);

/// The longest response in bytes.
const MAX_RESPONSE: usize = 256 * 1024;
