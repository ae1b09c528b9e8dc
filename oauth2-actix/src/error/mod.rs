//! The errors of rejected requests, and the plain response to each.
//!
//! [`ErrorKind`] has a variant for each reason. [`Error`] adds what the log shows, and `Error::answer` is the
//! only map from a kind to the status, code, description and WebSocket close that a client gets.
//!
//! It imports no other folder.
//!
//! - `answer.rs`: status, code, description and WebSocket close of each kind
//! - `challenge.rs`: the syntax of the `WWW-Authenticate` header
//! - `difference.rs`: the difference between an issuer or audience of a token and a configured one
//! - `response.rs`: the status, the parameters of the challenge, the other headers and the JSON body

mod answer;
pub(crate) mod challenge;
pub(crate) mod difference;
pub(crate) mod response;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use actix_web::{HttpResponse, ResponseError, http::StatusCode};

use self::difference::Difference;

/// Why a request was rejected.
///
/// The client gets a status, a code and a fixed sentence. [`Error::kind`] is the exact reason, for your logs.
/// The kind, `Debug` and `Display` never contain any part of a token.
///
/// The error of a rejected request is in the response's extensions, so that middleware outside this
/// one can count or log it:
///
/// ```
/// use actix_web::{App, HttpResponse, dev::Service, web};
/// use oauth2_actix::{Error, ErrorKind, testing};
///
/// # #[actix_web::main]
/// # async fn main() {
/// # let oauth2 = testing::policy();
/// let app = App::new().wrap(oauth2).wrap_fn(|request, service| {
///     let response = service.call(request);
///     async move {
///         let response = response.await?;
///         if let Some(error) = response.response().extensions().get::<Error>() {
///             println!("rejected: {error}");
/// #           assert!(matches!(error.kind(), ErrorKind::TokenMissing));
///         }
///         Ok(response)
///     }
/// });
/// # let app = actix_web::test::init_service(app.route("/", web::get().to(HttpResponse::Ok))).await;
/// # let request = actix_web::test::TestRequest::get().uri("/").to_request();
/// # assert_eq!(actix_web::test::call_service(&app, request).await.status(), 400);
/// # }
/// ```
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    details: Option<Arc<Details>>,
}

/// The parts of an error that the log shows beside its kind: only settings, never the content of a token.
#[derive(Clone, Default)]
struct Details {
    provider: Option<Arc<str>>,
    expected: Option<Arc<str>>,
    hint: Option<Cow<'static, str>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// The scopes that a token for the route needs, for the challenge of a missing or rejected token.
    scopes: Option<Arc<str>>,
    /// Whether the client must not learn why the token is rejected.
    is_undisclosed: bool,
}

impl Error {
    /// Returns the exact reason.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Returns the status of the plain HTTP response, which [`MissingToken`](crate::MissingToken) may change.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.answer().status
    }

    /// Returns the `error` code of the response's body: a code of RFC 6750 §3.1 or RFC 9470 §3, or
    /// `temporarily_unavailable`. Returns `None` where the response has no body.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        Some(self.answer().code).filter(|code| !code.is_empty())
    }

    /// Returns the fixed sentence of the response's body.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.answer().description
    }

    /// Returns the configured name of the provider that rejected the token, if a provider was selected.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.details.as_ref()?.provider.as_deref()
    }

    /// Returns what would have been accepted: the configured issuers, audiences or algorithms, or the claim or
    /// scope that the route requires. It contains only settings, never the content of a token.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        self.details.as_ref()?.expected.as_deref()
    }

    /// Returns what the developer or operator probably has to change. It contains no part of a token.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.details.as_ref()?.hint.as_deref()
    }

    /// Returns the name of the kind, such as `unknown_key`, for use as a label of metrics.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        use ErrorKind as Kind;
        match &self.kind {
            Kind::AlgorithmNotAllowed => "algorithm_not_allowed",
            Kind::ApiKeyUnknown => "api_key_unknown",
            Kind::ApiKeysUnavailable => "api_keys_unavailable",
            Kind::AudienceMismatch { .. } => "audience_mismatch",
            Kind::CertificateMismatch { .. } => "certificate_mismatch",
            Kind::CheckUnavailable => "check_unavailable",
            Kind::ClaimInvalid { .. } => "claim_invalid",
            Kind::ClientNotAllowed => "client_not_allowed",
            Kind::Expired { .. } => "expired",
            Kind::InsufficientAuthentication { .. } => "insufficient_authentication",
            Kind::InsufficientClaims { .. } => "insufficient_claims",
            Kind::InsufficientScope { .. } => "insufficient_scope",
            Kind::IntrospectionUnavailable { .. } => "introspection_unavailable",
            Kind::KeysUnavailable { .. } => "keys_unavailable",
            Kind::KeysUntried { .. } => "keys_untried",
            Kind::NonceRequired => "nonce_required",
            Kind::NotCertificateBound => "not_certificate_bound",
            Kind::NotConfigured => "not_configured",
            Kind::NotDpopBound => "not_dpop_bound",
            Kind::NotYetValid { .. } => "not_yet_valid",
            Kind::OriginNotAllowed => "origin_not_allowed",
            Kind::PrincipalForbidden => "principal_forbidden",
            Kind::PrincipalUnauthorized => "principal_unauthorized",
            Kind::ProofInvalid { .. } => "proof_invalid",
            Kind::ProofKeyMismatch => "proof_key_mismatch",
            Kind::ProofReplayed => "proof_replayed",
            Kind::ReplayStoreUnavailable => "replay_store_unavailable",
            Kind::RequestMalformed { .. } => "request_malformed",
            Kind::RequirementNotMet { .. } => "requirement_not_met",
            Kind::RevocationStatusUnavailable => "revocation_status_unavailable",
            Kind::SenderConstrained => "sender_constrained",
            Kind::SignatureInvalid => "signature_invalid",
            Kind::SubjectMismatch => "subject_mismatch",
            Kind::SubjectNotAllowed => "subject_not_allowed",
            Kind::TokenInactive => "token_inactive",
            Kind::TokenMalformed { .. } => "token_malformed",
            Kind::TokenMissing => "token_missing",
            Kind::TokenRevoked => "token_revoked",
            Kind::TokenTooLong { .. } => "token_too_long",
            Kind::TokenTooOld { .. } => "token_too_old",
            Kind::TypeNotAllowed => "type_not_allowed",
            Kind::UnknownIssuer { .. } => "unknown_issuer",
            Kind::UnknownKey => "unknown_key",
        }
    }

    /// Returns whether a retry may succeed, since something else than the token is the reason.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.status() == StatusCode::SERVICE_UNAVAILABLE
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.details_mut().source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_provider(mut self, provider: &Arc<str>) -> Self {
        self.details_mut().provider = Some(Arc::clone(provider));
        self
    }

    pub(crate) fn with_expected(mut self, expected: impl Into<Arc<str>>) -> Self {
        self.details_mut().expected = Some(expected.into());
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.details_mut().hint = Some(hint.into());
        self
    }

    /// Gives the client the same answer as for a token that is not active: it must not learn from this API that a
    /// token is active elsewhere (RFC 7662 §4).
    pub(crate) fn undisclosed(mut self) -> Self {
        self.details_mut().is_undisclosed = true;
        self
    }

    /// Sets the scopes that a token for the route needs, separated by spaces.
    pub(crate) fn with_scopes(mut self, scopes: impl Into<Arc<str>>) -> Self {
        self.details_mut().scopes = Some(scopes.into());
        self
    }

    /// Returns the scopes that the challenge names.
    fn challenged_scopes(&self) -> Option<&str> {
        match &self.kind {
            ErrorKind::InsufficientScope { required } => Some(required),
            // The scopes are those that the token may well have.
            ErrorKind::InsufficientClaims { .. }
            | ErrorKind::PrincipalForbidden
            | ErrorKind::OriginNotAllowed => None,
            _ => self.details.as_ref()?.scopes.as_deref(),
        }
    }

    fn details_mut(&mut self) -> &mut Details {
        Arc::make_mut(self.details.get_or_insert_default())
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, details: None }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = std::error::Error::source(self).map(ToString::to_string);
        formatter
            .debug_struct("Error")
            .field("kind", &self.kind)
            .field("provider", &self.provider())
            .field("expected", &self.expected())
            .field("hint", &self.hint())
            .field("source", &source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(formatter)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.details.as_ref()?.source.as_deref().map(|source| source as _)
    }
}

/// The middleware replaces this response by one with the realm, the hook and the WebSocket close of its
/// policy. A client gets this one where no middleware is mounted.
impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        response::plain(self, response::Api::default(), self.status())
    }
}

/// The exact reason why a request or its token was rejected.
///
/// ```
/// use oauth2_actix::ErrorKind;
///
/// fn worth_a_metric(kind: &ErrorKind) -> bool {
///     matches!(kind, ErrorKind::KeysUnavailable { .. } | ErrorKind::SignatureInvalid)
/// }
/// # assert!(worth_a_metric(&ErrorKind::SignatureInvalid));
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The token's `alg` is not one that the provider allows, or does not fit the key
    /// ([RFC 8725 §3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1)).
    #[error("the token's algorithm is not allowed for this provider or key")]
    AlgorithmNotAllowed,
    /// The token has the prefix of API keys, and is not one of them: see [`api_keys`](crate::OAuth2Builder::api_keys).
    #[error("unknown API key")]
    ApiKeyUnknown,
    /// The source of the API keys was not called, has failed, or has not responded in time. The cause is the source. See
    /// [`ApiKeys::source`](crate::api_keys::ApiKeys::source).
    #[error("the source of the API keys is unavailable")]
    ApiKeysUnavailable,
    /// No provider of the token's issuer has an audience that the token names
    /// ([RFC 7519 §4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3)).
    #[error("the token is for another audience{}", difference::hint(*.difference))]
    AudienceMismatch {
        /// The only difference from a configured audience, if it is a small one.
        difference: Option<Difference>,
    },
    /// The token is bound to a client certificate, and the client has not shown it
    /// ([RFC 8705 §3](https://www.rfc-editor.org/rfc/rfc8705#section-3)).
    #[error("the token is bound to a client certificate: {problem}")]
    CertificateMismatch {
        /// The problem.
        problem: &'static str,
    },
    /// A check of the application failed or took too long: an asynchronous function of
    /// [`require`](macro@crate::require), or the [`principal`](crate::OAuth2Builder::principal). Its error is
    /// the source.
    #[error("a check of the application failed or took too long")]
    CheckUnavailable,
    /// A registered claim is missing, or has the wrong type or form, or is out of range.
    #[error("the token's claim `{claim}` is missing, has the wrong type or is out of range")]
    ClaimInvalid {
        /// The name of the claim, which is one that this crate reads.
        claim: &'static str,
    },
    /// The token was issued to a client that [`clients`](crate::Provider::clients) does not name.
    #[error("the token was issued to a client that is not allowed")]
    ClientNotAllowed,
    /// The token's `exp` has passed ([RFC 7519 §4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4)).
    #[error("the token expired {:.0} s ago{}", now - exp, leeway_hint(now - exp, *.leeway))]
    Expired {
        /// The claim, in seconds since the epoch.
        exp: f64,
        /// The time of the check, in seconds since the epoch.
        now: f64,
        /// The configured leeway, in seconds.
        leeway: f64,
    },
    /// The subject did not authenticate in a way that the route requires, or too long ago
    /// ([RFC 9470 §3](https://www.rfc-editor.org/rfc/rfc9470#section-3)). Stepping up helps: a new authorization
    /// request with what the challenge names.
    #[error(
        "the authentication of the token's subject does not satisfy the requirement: {}",
        required_authentication(.acr_values, *.max_age)
    )]
    InsufficientAuthentication {
        /// The values of `acr` of which one is required, in the order of preference. Empty if any is accepted.
        acr_values: Vec<String>,
        /// The longest time since `auth_time` that is accepted.
        max_age: Option<Duration>,
    },
    /// A claim that the route requires is missing or has another value.
    #[error("the token does not satisfy the requirement: {required}")]
    InsufficientClaims {
        /// The requirement that is not met, as the developer wrote it, such as
        /// `claim role = "admin"`.
        required: Cow<'static, str>,
    },
    /// The token lacks a scope that the route requires.
    #[error("the token lacks a required scope: {required}")]
    InsufficientScope {
        /// The required scopes, separated by spaces: the challenge names them.
        required: String,
    },
    /// The token was not introspected, or the introspection request has failed. The cause is the source.
    #[error(
        "token introspection is unavailable; retry in {} s",
        whole_seconds(*.retry_after)
    )]
    IntrospectionUnavailable {
        /// The time after which a retry may succeed.
        retry_after: Duration,
    },
    /// The provider's keys were never fetched, or are stale.
    #[error("the provider's keys are not available; the next fetch may begin in {} s", whole_seconds(*.retry_after))]
    KeysUnavailable {
        /// The time after which a retry may succeed.
        retry_after: Duration,
    },
    /// More keys fit the token than are tried for one token, and none of the keys that were tried verifies
    /// its signature. Give each key a `kid` of its own, and name it in the header of tokens
    /// ([RFC 7515 §4.1.4](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.4)).
    #[error(
        "only {tried} of the {fitting} keys that fit the token were tried, and none of them verifies its \
         signature: keys and tokens need a `kid`"
    )]
    KeysUntried {
        /// The number of keys that were tried.
        tried: usize,
        /// The number of keys that fit.
        fitting: usize,
    },
    /// The DPoP proof has no nonce of this service, or an old one
    /// ([RFC 9449 §9](https://www.rfc-editor.org/rfc/rfc9449#section-9)). The response has a fresh one.
    #[error("the DPoP proof has no nonce of this service, or an old one")]
    NonceRequired,
    /// The token is not bound to a client certificate, and
    /// [`Provider::certificate_bound`](crate::Provider::certificate_bound) requires it.
    #[error("the token is not bound to a client certificate (`cnf.x5t#S256`), which is required")]
    NotCertificateBound,
    /// A handler extracts claims on a route that no `OAuth2` middleware is mounted around.
    #[error(
        "claims were requested, but no OAuth2 middleware is mounted here: add `.wrap(oauth2)` to the App"
    )]
    NotConfigured,
    /// The token is not bound to a DPoP key, and the route or [`Provider::dpop`](crate::Provider::dpop) requires
    /// it, or the request has the scheme `DPoP`
    /// ([RFC 9449 §7.1](https://www.rfc-editor.org/rfc/rfc9449#section-7.1)).
    #[error("the token is not bound to a DPoP key (`cnf.jkt`), which is required")]
    NotDpopBound,
    /// The token's `nbf` is in the future ([RFC 7519 §4.1.5](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.5)).
    #[error("the token is not valid for another {:.0} s{}", nbf - now, leeway_hint(nbf - now, *.leeway))]
    NotYetValid {
        /// The claim, in seconds since the epoch.
        nbf: f64,
        /// The time of the check, in seconds since the epoch.
        now: f64,
        /// The configured leeway, in seconds.
        leeway: f64,
    },
    /// The request does not come from an origin that may send it: its token is in a cookie
    /// ([RFC 6455 §10.2](https://www.rfc-editor.org/rfc/rfc6455#section-10.2)), or it is for an endpoint of
    /// [`mcp`](crate::mcp).
    #[error("the request's origin is not allowed")]
    OriginNotAllowed,
    /// The [`principal`](crate::OAuth2Builder::principal) callback rejected the caller with 403. Its text is the
    /// source.
    #[error("the application does not permit this caller")]
    PrincipalForbidden,
    /// The [`principal`](crate::OAuth2Builder::principal) callback rejected the token with 401. Its text is the
    /// source.
    #[error("the application does not accept the token's subject")]
    PrincipalUnauthorized,
    /// The DPoP proof is missing, malformed, old, or not for this request and token
    /// ([RFC 9449 §4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3)).
    #[error("the DPoP proof is not accepted: {problem}")]
    ProofInvalid {
        /// The problem.
        problem: &'static str,
    },
    /// The key of the DPoP proof is not the one that the token is bound to
    /// ([RFC 9449 §6.1](https://www.rfc-editor.org/rfc/rfc9449#section-6.1)).
    #[error("the key of the DPoP proof is not the one that the token is bound to")]
    ProofKeyMismatch,
    /// The DPoP proof was used before ([RFC 9449 §11.1](https://www.rfc-editor.org/rfc/rfc9449#section-11.1)).
    #[error("the DPoP proof was used before")]
    ProofReplayed,
    /// The store of used DPoP proofs is full or cannot be reached. The cause is the source.
    #[error("the store of used DPoP proofs is not available")]
    ReplayStoreUnavailable,
    /// The request has several `Authorization` headers, one that is not `Bearer` and a token, or more than
    /// one token ([RFC 6750 §2](https://www.rfc-editor.org/rfc/rfc6750#section-2)).
    #[error("the request's token is malformed: {problem}")]
    RequestMalformed {
        /// The problem.
        problem: &'static str,
    },
    /// The token does not satisfy what every token of its provider must:
    /// [`Provider::require`](crate::Provider::require), or
    /// [`OAuth2Builder::require`](crate::OAuth2Builder::require).
    #[error("the token does not satisfy the requirement on every token: {required}")]
    RequirementNotMet {
        /// The requirement, as the developer wrote it.
        required: String,
    },
    /// The deny list is not known, or too old, because its store cannot be reached: see
    /// [`DenyList::when_unavailable`](crate::revocation::DenyList::when_unavailable). Or the status list of the token
    /// cannot be fetched or used: see [`Provider::status_list`](crate::Provider::status_list); the source says why.
    #[error(
        "it is not known whether the token was revoked: the deny list or its status list was not loaded yet, or is too old"
    )]
    RevocationStatusUnavailable,
    /// The token has a `cnf` claim: it is bound to a DPoP key
    /// ([RFC 9449 §7.2](https://www.rfc-editor.org/rfc/rfc9449#section-7.2)) or to a client certificate
    /// ([RFC 8705 §3](https://www.rfc-editor.org/rfc/rfc8705#section-3)), and no proof of possession
    /// was checked.
    #[error(
        "the token has a `cnf` claim, so it is sender-constrained (RFC 9449, RFC 8705), and no proof of \
         possession was checked"
    )]
    SenderConstrained,
    /// No key that fits the token verifies its signature.
    #[error("the token's signature is invalid")]
    SignatureInvalid,
    /// The token's `sub` is not one that [`subjects`](crate::Provider::subjects) names.
    #[error("the token's subject is not allowed")]
    SubjectNotAllowed,
    /// The token that was sent to renew a session has another provider, issuer, subject, actor or resource than the
    /// session, or has no subject.
    #[error("the token's provider, issuer, subject, actor or resource is not the session's")]
    SubjectMismatch,
    /// The provider says that the token is not active
    /// ([RFC 7662 §2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2)): it has expired, was revoked, or was never
    /// issued.
    #[error("the provider says that the token is not active")]
    TokenInactive,
    /// The token is not a JWT in JWS compact form
    /// ([RFC 7515 §7.1](https://www.rfc-editor.org/rfc/rfc7515#section-7.1)).
    #[error("the token is malformed: {problem}")]
    TokenMalformed {
        /// The problem.
        problem: &'static str,
    },
    /// The request has no bearer token.
    #[error("the request has no bearer token")]
    TokenMissing,
    /// The token was revoked before it has expired: see [`revocation`](crate::revocation). It is an invalid token
    /// ([RFC 6750 §3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1)).
    #[error("the token was revoked")]
    TokenRevoked,
    /// The token is longer than the policy's limit, and was not parsed.
    #[error("the token has {length} bytes, more than the limit of {limit}")]
    TokenTooLong {
        /// The token's length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The token was issued longer ago than [`OAuth2Builder::max_token_age`](crate::OAuth2Builder::max_token_age) allows.
    #[error("the token was issued {:.0} s ago, more than the maximum age of {max_age:.0} s", now - iat)]
    TokenTooOld {
        /// The claim, in seconds since the epoch.
        iat: f64,
        /// The time of the check, in seconds since the epoch.
        now: f64,
        /// The configured maximum age, in seconds.
        max_age: f64,
    },
    /// The header's `typ` is neither that of a JWT or an access token, nor `JOSE`, which JWT-SVIDs may have;
    /// or the provider requires `at+jwt`, and the `typ` is another one
    /// ([RFC 8725 §3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11)).
    #[error("the token's `typ` is not accepted")]
    TypeNotAllowed,
    /// No configured provider has the token's `iss`
    /// ([RFC 7519 §4.1.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.1)).
    #[error("no configured provider has the token's issuer{}", difference::hint(*.difference))]
    UnknownIssuer {
        /// The only difference from a configured issuer, if it is a small one.
        difference: Option<Difference>,
    },
    /// The provider has no key that the token names.
    #[error("the provider has no key for the token")]
    UnknownKey,
}

fn required_authentication(acr_values: &[String], max_age: Option<Duration>) -> String {
    let acr = (!acr_values.is_empty()).then(|| format!("acr {}", acr_values.join(" or ")));
    let age = max_age.map(|age| format!("within {:.0} s", age.as_secs_f64()));
    acr.into_iter().chain(age).collect::<Vec<_>>().join(" and ")
}

/// Rounds up to whole seconds, so that a client that waits for them does not retry too early.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Returns a hint at the leeway if the time differs by so little that clock skew is the likely cause.
fn leeway_hint(missed_by: f64, leeway: f64) -> String {
    const CLOCK_SKEW: f64 = 60.0;
    if missed_by <= CLOCK_SKEW {
        format!(" (the leeway is {leeway:.0} s; see leeway_seconds)")
    } else {
        String::new()
    }
}

/// Joins settings for a log line: at most the first eight.
pub(crate) fn listed<'a>(values: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let mut text = String::new();
    let mut more = 0;
    for (index, value) in values.enumerate() {
        if index >= SHOWN {
            more += 1;
            continue;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(value);
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
