//! Why a token was not exchanged, and what the client of this API gets then.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header::RETRY_AFTER},
};
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
}

/// The reason of an [`ExchangeError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExchangeErrorKind {
    /// The provider of the token has no [`token_exchange`](crate::Provider::token_exchange). Response: 500.
    NotConfigured,
    /// The claims have no token, as those of `testing::claims`. Response: 500.
    NoToken,
    /// The caller has passed a target that cannot be asked for. Response: 500.
    InvalidTarget {
        /// What is wrong.
        problem: &'static str,
    },
    /// The token that should be exchanged is not accepted any longer: it has expired or was revoked. The response is that
    /// of the [`Error`]: 401.
    Subject(Error),
    /// The provider refuses to exchange this token for this target
    /// ([RFC 8693 §2.2.2](https://www.rfc-editor.org/rfc/rfc8693#section-2.2.2)), such as with `invalid_target`,
    /// `invalid_scope`, `invalid_request` or `invalid_grant`. It is not asked the same again for 5 s. Response: 403
    /// `access_denied`, since another token of the same kind does not help.
    Rejected {
        /// `error` of the response.
        code: String,
        /// `error_description` of the response, without what looks like a token. At most 500 characters.
        description: Option<String>,
    },
    /// The provider cannot be asked, has not answered in time, or its answer cannot be used, so that a later attempt may
    /// succeed. This includes `invalid_client`: the credentials of this API are wrong. Response: 503 with
    /// `Retry-After`.
    Unavailable {
        /// After which time an attempt may succeed. The header has whole seconds, rounded up.
        retry_after: Duration,
    },
}

impl ExchangeError {
    pub(super) fn new(kind: ExchangeErrorKind, provider: &Arc<str>) -> Self {
        Self(Box::new(Inner { kind, provider: Arc::clone(provider), cause: None }))
    }

    pub(super) fn with_cause(mut self, cause: impl Into<Arc<str>>) -> Self {
        self.0.cause = Some(cause.into());
        self
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

    /// Returns the name of the provider that has issued the token.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.0.provider
    }
}

/// For logs: it says what the provider has answered, and shows no token.
impl fmt::Display for ExchangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ExchangeErrorKind as Kind;
        let Inner { kind, provider, cause } = &*self.0;
        match kind {
            Kind::NotConfigured => {
                write!(
                    formatter,
                    "provider {provider:?} has no token_exchange in the configuration"
                )
            }
            Kind::NoToken => formatter.write_str("the claims are not those of a token"),
            Kind::InvalidTarget { problem } => {
                write!(formatter, "the target of the exchange is not valid: {problem}")
            }
            Kind::Subject(error) => write!(formatter, "the token is not exchanged: {error}"),
            Kind::Rejected { code, description } => {
                write!(formatter, "provider {provider:?} refuses to exchange the token: {code}")?;
                match description {
                    Some(description) => write!(formatter, " ({description})"),
                    None => Ok(()),
                }
            }
            Kind::Unavailable { retry_after } => {
                write!(
                    formatter,
                    "provider {provider:?} does not exchange tokens now; it may be asked again in {} s",
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
        match &self.0.kind {
            ExchangeErrorKind::Subject(error) => Some(error),
            _ => None,
        }
    }
}

/// The client of this API learns nothing of the provider or of the other service.
impl ResponseError for ExchangeError {
    fn status_code(&self) -> StatusCode {
        use ExchangeErrorKind as Kind;
        match &self.0.kind {
            Kind::NotConfigured | Kind::NoToken | Kind::InvalidTarget { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Kind::Subject(error) => error.status(),
            Kind::Rejected { .. } => StatusCode::FORBIDDEN,
            Kind::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        use ExchangeErrorKind as Kind;
        let mut response = HttpResponse::build(self.status_code());
        match &self.0.kind {
            Kind::NotConfigured | Kind::NoToken | Kind::InvalidTarget { .. } => response.finish(),
            Kind::Subject(error) => error.error_response(),
            Kind::Rejected { .. } => response.json(json!({
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
