//! Exchanges the tokens of clients for tokens that this API may send to other services
//! ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)).
//!
//! A token of a client is for this API alone: another service must reject it, and this API must not forward it
//! ([MCP](https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization/security-considerations)). The
//! provider issues another token, for the same subject and the other service.
//!
//! See [`OAuth2::exchange`](crate::OAuth2::exchange), [`Provider::token_exchange`](crate::Provider::token_exchange), and
//! the page `docs/token-exchange.md` of the repository.

// Owns token exchange requests, the validation of responses, and the cache of tokens. It imports `config`, `error`, `http`,
// `json`, `outbound`, `token` and `util`.
//
// - this file: token exchange at one provider, and the limits of its calls
// - `answer.rs`: the response of the token endpoint
// - `cache.rs`: the tokens that were exchanged
// - `error.rs`: why a token was not exchanged
// - `target.rs`: the requested audience, resource and scopes
// - `token.rs`: the token that was issued

mod answer;
mod cache;
mod error;
mod target;
mod token;

use std::{fmt, sync::Arc, time::Duration};

use self::{
    answer::{Answer, ResponseError},
    cache::{ExchangedTokens, Time},
    token::Issued,
};
pub use self::{
    error::{ExchangeError, ExchangeErrorKind},
    target::ExchangeTarget,
    token::ExchangedToken,
};
pub use crate::config::token_exchange::{ExchangeGrant, RequestedTokenType, TokenExchange};
use crate::{
    outbound::{
        breaker::{Breaker, Pass},
        endpoint::Endpoint,
        failure::{self, Severity},
        rejections::Rejections,
        shared_calls::{CallKey, SharedCallError, SharedCalls},
        thread::CallThread,
    },
    token::{claims::Claims, verified::ProviderId},
    util::{
        clock::Clock,
        log_rate::Throttle,
        telemetry::{self, Exchanged as Outcome},
    },
};

/// The providers at which tokens are exchanged, by their indexes.
#[derive(Debug, Default)]
pub(crate) struct Exchangers(Vec<Option<Arc<Exchanger>>>);

/// A provider at which tokens are exchanged.
pub(crate) struct Exchanger {
    provider: Arc<str>,
    issuers: Vec<String>,
    endpoint: Endpoint,
    grant: ExchangeGrant,
    requested: RequestedTokenType,
    calls: SharedCalls<Result<ExchangedToken, ExchangeError>>,
    breaker: Breaker,
    tokens: ExchangedTokens,
    /// Why exchanges were rejected, or failed, most recently.
    errors: Rejections<ExchangeError>,
    thread: Arc<CallThread>,
    warnings: Throttle,
    clock: Clock,
}

/// What an exchanger is made of, besides its settings.
pub(crate) struct Parts {
    pub(crate) provider: Arc<str>,
    pub(crate) issuers: Vec<String>,
    pub(crate) endpoint: Endpoint,
    pub(crate) thread: Arc<CallThread>,
    pub(crate) clock: Clock,
}

impl Exchangers {
    pub(crate) fn new(by_index: Vec<Option<Arc<Exchanger>>>) -> Self {
        Self(by_index)
    }

    /// Exchanges the token of these claims.
    pub(crate) async fn exchange(
        &self,
        claims: &Claims,
        target: &ExchangeTarget,
    ) -> Result<ExchangedToken, ExchangeError> {
        match self.find(claims) {
            Some(exchanger) => exchanger.exchange(claims, target).await,
            None => {
                let by = &claims.verified().by;
                let kind = match by.provider {
                    ProviderId::Configured(_) => ExchangeErrorKind::NotConfigured,
                    // The client has chosen with which credential it calls.
                    ProviderId::ApiKeys(_) | ProviderId::Tenant(_) => {
                        ExchangeErrorKind::NotExchangeable
                    }
                };
                Err(ExchangeError::new(kind, &by.name))
            }
        }
    }

    /// Finds the provider that has issued the token, which must not be sent to another one: the claims may be of another
    /// policy.
    fn find(&self, claims: &Claims) -> Option<&Arc<Exchanger>> {
        let by = &claims.verified().by;
        let ProviderId::Configured(index) = by.provider else { return None };
        let exchanger = self.0.get(index)?.as_ref()?;
        let issuer = claims.issuer();
        let is_issuer = issuer.is_empty() || exchanger.issuers.iter().any(|known| known == issuer);
        (exchanger.provider == by.name && is_issuer).then_some(exchanger)
    }
}

impl Exchanger {
    pub(crate) fn new(settings: &TokenExchange, parts: Parts) -> Self {
        Self {
            grant: settings.grant,
            requested: settings.requested_token_type,
            calls: SharedCalls::new(settings.max_calls.unwrap_or(DEFAULT_CALLS), &parts.clock),
            breaker: Breaker::new(&parts.clock),
            tokens: ExchangedTokens::new(settings.max_entries.unwrap_or(DEFAULT_ENTRIES)),
            errors: Rejections::new(ERROR_LIFETIME),
            warnings: Throttle::new(parts.clock.clone()),
            provider: parts.provider,
            issuers: parts.issuers,
            endpoint: parts.endpoint,
            thread: parts.thread,
            clock: parts.clock,
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        claims: &Claims,
        target: &ExchangeTarget,
    ) -> Result<ExchangedToken, ExchangeError> {
        let error = |kind| ExchangeError::new(kind, &self.provider);
        let check_subject = || {
            let checked = claims.verified().check_again();
            checked.map_err(|rejection| {
                // The revocation status is unavailable, which says nothing of the token.
                if rejection.is_unavailable() {
                    return self.unavailable(Duration::ZERO).with_cause(rejection.to_string());
                }
                error(ExchangeErrorKind::Subject(rejection))
            })
        };
        check_subject()?;
        target
            .check(self.grant)
            .map_err(|problem| error(ExchangeErrorKind::InvalidTarget { problem }))?;
        let token = std::str::from_utf8(&claims.verified().token).unwrap_or_default();
        if token.is_empty() {
            return Err(error(ExchangeErrorKind::NoToken));
        }
        let id = target.call_key(token);
        if let Some(token) = self.tokens.find(&id, Time::now(&self.clock)) {
            telemetry::exchanged(&self.provider, Outcome::Cached);
            return Ok(token);
        }
        if let Some(error) = self.errors.find(&id, self.clock.monotonic()) {
            return Err(error);
        }
        if let Some(wait) = self.breaker.wait() {
            return Err(self.unavailable(wait));
        }
        let subject_ends = Time::now(&self.clock).plus(claims.time_left());
        let call = || {
            let (exchanger, target, token) = (Arc::clone(self), target.clone(), token.to_owned());
            async move { exchanger.call(id, &token, &target, subject_ends).await }
        };
        let result = match self.calls.result(&self.thread, id, call).await {
            Ok(result) => result,
            Err(SharedCallError::TooMany) => Err(self
                .unavailable(Duration::ZERO)
                .with_cause("too many token exchanges in progress and in the queue")),
            Err(SharedCallError::Cancelled) => {
                Err(self.unavailable(Duration::ZERO).with_cause("the exchange was cancelled"))
            }
        };
        check_subject()?;
        result
    }

    /// Sends the request to the provider, and caches the result.
    async fn call(
        &self,
        id: CallKey,
        token: &str,
        target: &ExchangeTarget,
        subject_ends: Time,
    ) -> Result<ExchangedToken, ExchangeError> {
        // A call with the same key may have ended since the cache was read.
        let requested_at = Time::now(&self.clock);
        if let Some(token) = self.tokens.find(&id, requested_at) {
            return Ok(token);
        }
        if let Some(error) = self.errors.find(&id, requested_at.monotonic) {
            return Err(error);
        }
        let pass = match self.breaker.enter() {
            Ok(pass) => pass,
            Err(wait) => return Err(self.unavailable(wait)),
        };
        // The lifetime of the token has not begun before `requested_at`.
        let answer = self.send(token, target).await;
        let now = Time::now(&self.clock);
        let duration = now.monotonic.saturating_sub(requested_at.monotonic);
        telemetry::exchange_took(&self.provider, duration);
        match answer {
            Ok(answer) => {
                self.breaker.succeeded(pass);
                telemetry::exchanged(&self.provider, Outcome::Issued);
                let until = answer.expires_in.map(|life| requested_at.plus(usable(life)));
                let issued = ExchangedToken::new(Issued {
                    token: answer.token,
                    scopes: answer.scopes.unwrap_or_else(|| target.requested_scopes().to_vec()),
                    issued_token_type: answer.issued_token_type,
                    expires_at: answer
                        .expires_in
                        .map(|life| requested_at.unix.saturating_add(life)),
                    clock: self.clock.clone(),
                });
                if let Some(until) = until {
                    self.tokens.add(id, issued.clone(), until.min(subject_ends), now);
                }
                Ok(issued)
            }
            Err(Failure::Response {
                error: ResponseError::Rejected { code, description, claims },
                ..
            }) => {
                self.breaker.succeeded(pass);
                telemetry::exchanged(&self.provider, Outcome::Rejected);
                let kind = ExchangeErrorKind::Rejected { code, description };
                let error = ExchangeError::new(kind, &self.provider).with_claims(claims);
                self.log(&error, Duration::ZERO);
                self.errors.add(id, error.clone(), now.monotonic);
                Err(error)
            }
            Err(failure) => {
                telemetry::exchanged(&self.provider, Outcome::Failed);
                let error = self.failed(pass, &failure);
                if failure.severity() != Severity::Endpoint {
                    // Otherwise one client could open the breaker by repeating its request.
                    self.errors.add(id, error.clone(), now.monotonic);
                }
                Err(error)
            }
        }
    }

    async fn send(&self, token: &str, target: &ExchangeTarget) -> Result<Answer, Failure> {
        let form = target.form(token, self.grant, self.requested);
        let posted = self.endpoint.post(form, answer::JSON, MAX_RESPONSE).await?;
        let retry_after = posted.retry_after;
        answer::read(&posted, self.grant)
            .map_err(|error| error.without_tokens(&[Some(token), target.actor()]))
            .map_err(|error| {
                let severity = error.severity();
                Failure::Response { error, severity, retry_after }
            })
    }

    fn unavailable(&self, wait: Duration) -> ExchangeError {
        let retry_after = wait.max(Duration::from_secs(1));
        ExchangeError::new(ExchangeErrorKind::Unavailable { retry_after }, &self.provider)
    }

    /// Notes and logs that an exchange has failed.
    fn failed(&self, pass: Pass, failure: &Failure) -> ExchangeError {
        let (severity, cause) = (failure.severity(), failure.to_string());
        let wait = self.breaker.failed(pass, severity, failure.retry_after(), &cause);
        let wait = if severity == Severity::Request { wait.max(ERROR_LIFETIME) } else { wait };
        let error = self.unavailable(wait).with_cause(cause);
        self.log(&error, wait);
        error
    }

    /// Logs at warn, at most once in 10 s, since clients cause exchanges.
    fn log(&self, error: &ExchangeError, wait: Duration) {
        let (provider, endpoint) = (&self.provider, self.endpoint.shown());
        let (cause, next_try_seconds) = (error.to_string(), wait.as_secs_f64());
        if self.warnings.allows() {
            tracing::warn!(
                target: "oauth2_actix", %provider, endpoint, cause, next_try_seconds,
                "a token was not exchanged"
            );
        } else {
            tracing::debug!(
                target: "oauth2_actix", %provider, endpoint, cause, next_try_seconds,
                "a token was not exchanged"
            );
        }
    }
}

impl fmt::Debug for Exchanger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Exchanger")
            .field("provider", &self.provider)
            .field("endpoint", &self.endpoint.shown())
            .finish_non_exhaustive()
    }
}

type Failure = failure::Failure<ResponseError>;

/// Returns how long a token with this lifetime is served from the cache, so that it is still valid when the other service
/// gets it.
fn usable(life: Duration) -> Duration {
    life - (life / 10).min(LONGEST_MARGIN)
}

const DEFAULT_CALLS: usize = 64;
const DEFAULT_ENTRIES: usize = 10_000;

/// The lifetime that a cached token has left at least, unless a tenth of its lifetime is less.
const LONGEST_MARGIN: Duration = Duration::from_secs(30);

/// How long an exchange that was rejected, or failed, is not repeated.
const ERROR_LIFETIME: Duration = Duration::from_secs(5);

/// The longest response in bytes.
const MAX_RESPONSE: usize = 64 * 1024;
