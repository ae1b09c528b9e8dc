//! Why a token was not exchanged, and the response for the client of this API.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::error::{Error, whole_seconds};

/// Why a token was not exchanged.
///
/// It is a response of actix: a handler can return it by `?`. [`ExchangeError::kind`] says which response that is.
///
/// ```
/// use actix_web::{HttpResponse, get, web};
/// use oauth2_actix::{Claims, OAuth2, exchange::ExchangeError};
///
/// #[get("/orders/{id}/stock")]
/// async fn stock(claims: Claims, oauth2: web::Data<OAuth2>) -> Result<HttpResponse, ExchangeError> {
///     let token = oauth2.exchange(&claims, "stock", ["stock:read"]).await?;
///     // … sends it to the other service.
/// #   drop(token);
///     Ok(HttpResponse::Ok().finish())
/// }
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct ExchangeError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ExchangeErrorKind,
    provider: Arc<str>,
    /// For logs.
    cause: Option<Arc<str>>,
    /// The claims challenge, as JSON.
    claims: Option<Arc<str>>,
}

/// The reason of an [`ExchangeError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExchangeErrorKind {
    /// The provider of the token has no [`token_exchange`](crate::Provider::token_exchange). Response: 500.
    NotConfigured,
    /// The client has sent an API key, or a token of a tenant that is looked up: there is no provider that could exchange
    /// it. Response: 403 `access_denied`.
    NotExchangeable,
    /// The claims carry no token, for example claims from `testing::claims`. Response: 500.
    NoToken,
    /// The caller has passed an invalid target. Response: 500.
    InvalidTarget {
        /// What is wrong.
        problem: &'static str,
    },
    /// The token that should be exchanged is no longer accepted: it has expired or was revoked. The response is that of the
    /// policy for this [`Error`]: 401.
    Subject(Error),
    /// The provider rejects the exchange of this token for this target
    /// ([RFC 8693 §2.2.2](https://www.rfc-editor.org/rfc/rfc8693#section-2.2.2)), such as with `invalid_target`,
    /// `invalid_scope`, `invalid_request` or `invalid_grant`. The same exchange is rejected for 5 s without a request to the
    /// provider. Response: 403 `access_denied`, since another token of the same kind does not help. With a
    /// [claims challenge](ExchangeError::claims_challenge), 401 with `insufficient_claims`.
    Rejected {
        /// `error` of the response.
        code: String,
        /// `error_description` of the response, without what looks like a token. At most 500 characters.
        description: Option<String>,
    },
    /// The provider cannot be reached, has not responded in time, or its response is invalid. A later attempt may succeed.
    /// Further causes: the credentials of this API are wrong (`invalid_client`), too many exchanges are in progress, or the
    /// revocation status of the token is unavailable. Response: 503 with `Retry-After`.
    Unavailable {
        /// After which time an attempt may succeed. The header has whole seconds, rounded up.
        retry_after: Duration,
    },
}

impl ExchangeError {
    pub(super) fn new(kind: ExchangeErrorKind, provider: &Arc<str>) -> Self {
        let provider = Arc::clone(provider);
        Self(Box::new(Inner { kind, provider, cause: None, claims: None }))
    }

    pub(super) fn with_cause(mut self, cause: impl Into<Arc<str>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    pub(super) fn with_claims(mut self, claims: Option<String>) -> Self {
        self.0.claims = claims.map(Into::into);
        self
    }

    /// Returns why the token of the request is not accepted, if this is the reason.
    pub(crate) fn rejection(&self) -> Option<&Error> {
        match &self.0.kind {
            ExchangeErrorKind::Subject(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the reason.
    ///
    /// ```
    /// use oauth2_actix::exchange::{ExchangeError, ExchangeErrorKind};
    ///
    /// fn is_forbidden(error: &ExchangeError) -> bool {
    ///     matches!(error.kind(), ExchangeErrorKind::Rejected { code, .. } if code == "invalid_target")
    /// }
    /// # drop(is_forbidden);
    /// ```
    #[must_use]
    pub fn kind(&self) -> &ExchangeErrorKind {
        &self.0.kind
    }

    /// Returns the claims challenge of the provider, as JSON: what its user must do before the token can be exchanged, for
    /// example sign in with a second factor. Entra sends one with `interaction_required`, when conditional access applies to
    /// the other service.
    ///
    /// The response has it already, as `insufficient_claims` with the challenge in base64. A client library of Entra then
    /// signs the user in again, and sends a token that satisfies it.
    ///
    /// ```
    /// use oauth2_actix::exchange::ExchangeError;
    ///
    /// fn needs_the_user(error: &ExchangeError) -> bool {
    ///     error.claims_challenge().is_some()
    /// }
    /// # drop(needs_the_user);
    /// ```
    #[must_use]
    pub fn claims_challenge(&self) -> Option<&str> {
        self.0.claims.as_deref()
    }

    /// Returns the name of the provider that has issued the token.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.0.provider
    }
}

/// For logs: it has the error of the provider, and no token.
impl fmt::Display for ExchangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ExchangeErrorKind as Kind;
        let Inner { kind, provider, cause, .. } = &*self.0;
        match kind {
            Kind::NotConfigured => {
                write!(
                    formatter,
                    "provider {provider:?} has no token_exchange in the configuration; expected one"
                )
            }
            Kind::NotExchangeable => write!(
                formatter,
                "the credential of {provider:?} cannot be exchanged; expected a token of a configured provider"
            ),
            Kind::NoToken => {
                formatter.write_str("the claims carry no token; expected the claims of a request")
            }
            Kind::InvalidTarget { problem } => {
                write!(formatter, "the target of the exchange is not valid: {problem}")
            }
            Kind::Subject(error) => write!(formatter, "the token is not exchanged: {error}"),
            Kind::Rejected { code, description } => {
                write!(formatter, "provider {provider:?} rejected the token exchange: {code}")?;
                match description {
                    Some(description) => write!(formatter, " ({description})"),
                    None => Ok(()),
                }
            }
            Kind::Unavailable { retry_after } => {
                write!(
                    formatter,
                    "token exchange is unavailable at provider {provider:?}; retry in {} s",
                    whole_seconds(*retry_after)
                )?;
                match cause {
                    Some(cause) => write!(formatter, ": {cause}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for ExchangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExchangeError")
            .field("kind", &self.0.kind)
            .field("provider", &self.0.provider)
            .field("cause", &self.0.cause)
            .finish()
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.rejection().map(|error| error as _)
    }
}

/// The client of this API learns nothing of the provider or of the other service, except from a claims challenge.
impl ResponseError for ExchangeError {
    fn status_code(&self) -> StatusCode {
        use ExchangeErrorKind as Kind;
        match &self.0.kind {
            Kind::NotConfigured | Kind::NoToken | Kind::InvalidTarget { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Kind::Subject(error) => error.status(),
            Kind::Rejected { .. } if self.0.claims.is_some() => StatusCode::UNAUTHORIZED,
            Kind::Rejected { .. } | Kind::NotExchangeable => StatusCode::FORBIDDEN,
            Kind::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        use ExchangeErrorKind as Kind;
        let mut response = HttpResponse::build(self.status_code());
        if let Some(claims) = &self.0.claims {
            let claims = STANDARD.encode(claims.as_bytes());
            let challenge = format!("Bearer error=\"insufficient_claims\", claims=\"{claims}\"");
            return response.insert_header((WWW_AUTHENTICATE, challenge)).json(json!({
                "error": "insufficient_claims",
                "error_description": "The user must sign in again, as the claims of the challenge require.",
            }));
        }
        match &self.0.kind {
            Kind::NotConfigured | Kind::NoToken | Kind::InvalidTarget { .. } => response.finish(),
            Kind::Subject(error) => error.error_response(),
            Kind::Rejected { .. } | Kind::NotExchangeable => response.json(json!({
                "error": "access_denied",
                "error_description": "The token cannot be used at a service that this request needs.",
            })),
            Kind::Unavailable { retry_after } => response
                .insert_header((RETRY_AFTER, whole_seconds(*retry_after).to_string()))
                .json(json!({
                    "error": "temporarily_unavailable",
                    "error_description": "A service that this request needs cannot be called at the moment.",
                })),
        }
    }
}
