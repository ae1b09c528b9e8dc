//! The responses of an introspection endpoint (RFC 7662 §2.2, RFC 9701 §5).

use std::time::Duration;

use serde_json::Value;

use crate::{
    error::{Error, ErrorKind},
    http::fetch::Posted,
    jose::jws::MessageType,
    json::object::Object,
    outbound::failure::Severity,
    provider::ResolvedProvider,
    token::{
        confirmation::Confirmation,
        lifetime::{self, Lifetime, TimeLimits},
        validation,
    },
};

/// What the endpoint says of one token.
#[derive(Debug)]
pub(super) enum Answer {
    Active(Object),
    Inactive,
}

/// Why a response is invalid.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResponseError {
    #[error("the status is {status}, not 200{}", hint(*.status))]
    Status { status: reqwest::StatusCode },
    #[error(
        "the status is {status}, not 200: the endpoint does not accept how this API authenticates ({code})"
    )]
    Client { status: reqwest::StatusCode, code: &'static str },
    #[error("the response has the media type {found:?}, expected {expected}")]
    MediaType { found: String, expected: &'static str },
    #[error("the response cannot be read: {0}")]
    Unreadable(serde_json::Error),
    #[error("`active` is missing or not a boolean (RFC 7662 §2.2)")]
    NotBoolean,
    #[error("the signed response is not accepted: {0}")]
    Signed(&'static str),
    #[error("the signature of the response is not accepted: {0}")]
    Signature(Error),
}

impl ResponseError {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Client { .. } => Severity::Endpoint,
            Self::Status { status } => Severity::of_status(*status),
            _ => Severity::Call,
        }
    }
}

fn hint(status: reqwest::StatusCode) -> &'static str {
    match status.as_u16() {
        400 => ": the endpoint does not introspect this token",
        401 | 403 => ": the endpoint may not accept how this API authenticates",
        404 | 405 => ": the endpoint may be at another URL",
        _ => "",
    }
}

/// Checks the status and the media type of a response, and returns its body.
pub(super) fn body_of(posted: Posted, expected: &'static str) -> Result<Vec<u8>, ResponseError> {
    let status = posted.status;
    if status != reqwest::StatusCode::OK {
        return Err(match client_error(&posted.body).filter(|_| status.is_client_error()) {
            Some(code) => ResponseError::Client { status, code },
            None => ResponseError::Status { status },
        });
    }
    match posted.content_type {
        Some(found) if found != expected => {
            let found = found.chars().take(MAX_SHOWN).collect();
            Err(ResponseError::MediaType { found, expected })
        }
        None if expected != JSON => {
            Err(ResponseError::MediaType { found: "none".to_owned(), expected })
        }
        _ => Ok(posted.body),
    }
}

/// Returns the code of an error that is about this API and not about the token (RFC 6749 §5.2).
fn client_error(body: &[u8]) -> Option<&'static str> {
    let error = Object::parse(body).ok()?;
    match error.get("error").and_then(Value::as_str)? {
        "invalid_client" => Some("invalid_client"),
        "unauthorized_client" => Some("unauthorized_client"),
        _ => None,
    }
}

/// Reads a response in JSON.
pub(super) fn read(body: &[u8]) -> Result<Answer, ResponseError> {
    of_object(Object::parse(body).map_err(ResponseError::Unreadable)?)
}

/// Any other `active` than true and false is a failure of the endpoint. Other members are ignored unless the token is active.
fn of_object(members: Object) -> Result<Answer, ResponseError> {
    match members.get("active") {
        Some(Value::Bool(true)) => Ok(Answer::Active(members)),
        Some(Value::Bool(false)) => Ok(Answer::Inactive),
        _ => Err(ResponseError::NotBoolean),
    }
}

/// Reads the claims of a signed response, whose signature was verified.
pub(super) fn read_signed(
    claims: &Object,
    issuers: &[String],
    client_id: &str,
    now: Duration,
    leeway: Duration,
) -> Result<Answer, ResponseError> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    if !issuer.is_some_and(|issuer| issuers.iter().any(|one| one == issuer)) {
        return Err(ResponseError::Signed("its `iss` is not the issuer of the provider"));
    }
    if !validation::has_only_text(claims, "aud")
        || !validation::audiences(claims, "aud").any(|audience| audience == client_id)
    {
        return Err(ResponseError::Signed("its `aud` is not the client id of this API"));
    }
    if !lifetime::is_recent(claims, "iat", Duration::ZERO, leeway.max(MIN_LEEWAY), now) {
        return Err(ResponseError::Signed("its `iat` is missing, in the future or too old"));
    }
    // They would make the response look like a token (RFC 9701 §5).
    if claims.contains("sub") || claims.contains("exp") {
        return Err(ResponseError::Signed(
            "it has `sub` or `exp` outside of `token_introspection`",
        ));
    }
    let Some(members @ Value::Object(_)) = claims.get("token_introspection") else {
        return Err(ResponseError::Signed("`token_introspection` is missing or not an object"));
    };
    let members = serde_json::to_vec(members).and_then(|text| Object::parse(&text));
    of_object(members.map_err(ResponseError::Unreadable)?)
}

/// The checks of an active token.
pub(super) struct Checks<'a> {
    pub(super) provider: &'a ResolvedProvider,
    pub(super) issuers: &'a [String],
    pub(super) dangerous_without_audience: bool,
    pub(super) time_limits: TimeLimits,
    pub(super) now: Duration,
}

impl Checks<'_> {
    /// Checks the claims of an active token, and returns its lifetime and what it is bound to.
    pub(super) fn check(
        &self,
        claims: &Object,
    ) -> Result<(Lifetime, Option<Box<Confirmation>>), Error> {
        validation::check_types(claims)?;
        match claims.get("iss") {
            None => {}
            Some(Value::String(issuer)) if self.issuers.iter().any(|one| one == issuer) => {}
            Some(Value::String(_)) => {
                return Err(ErrorKind::UnknownIssuer { difference: None }.into());
            }
            Some(_) => return Err(ErrorKind::ClaimInvalid { claim: "iss" }.into()),
        }
        let has_audience = claims.contains(&self.provider.audience_claim) || claims.contains("aud");
        if !self.provider.names_audience(claims)
            && (has_audience || !self.dangerous_without_audience)
        {
            return Err(Error::from(ErrorKind::AudienceMismatch { difference: None }));
        }
        let lifetime = lifetime::check_times_of_answer(claims, self.now, self.time_limits)?;
        check_is_access_token(claims)?;
        let confirmation = self.provider.check_confirmation(claims)?;
        let is_dpop = token_type(claims)?.is_some_and(|typ| typ.eq_ignore_ascii_case("DPoP"));
        let has_key = confirmation.as_ref().is_some_and(|bound| bound.key.is_some());
        if is_dpop && !has_key {
            // The binding is not known, so that no proof could be checked (RFC 9449 §6.2).
            return Err(ErrorKind::SenderConstrained.into());
        }
        Ok((lifetime, confirmation))
    }
}

/// Rejects a token that is active, but not an access token. Endpoints introspect refresh tokens too (RFC 7662 §2.1).
fn check_is_access_token(claims: &Object) -> Result<(), Error> {
    const EXPECTED: &str = "an access token";
    let is_one_of = |name: &str, accepted: &[&str]| match claims.get(name) {
        None => true,
        Some(Value::String(text)) => accepted.iter().any(|one| one.eq_ignore_ascii_case(text)),
        Some(_) => false,
    };
    let is_access_token = is_one_of("token_type", &["Bearer", "DPoP", "access_token"])
        // Ory Hydra.
        && is_one_of("token_use", &["access_token", "access"])
        // Keycloak has the type of the token there, other servers the `typ` of its header.
        && is_one_of("typ", &["Bearer", "DPoP", "at+jwt", "application/at+jwt", "JWT"]);
    if is_access_token {
        return Ok(());
    }
    Err(Error::from(ErrorKind::TypeNotAllowed).with_expected(EXPECTED))
}

fn token_type(claims: &Object) -> Result<Option<&str>, Error> {
    match claims.get("token_type") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ErrorKind::ClaimInvalid { claim: "token_type" }.into()),
    }
}

/// The media type of a response.
pub(super) const JSON: &str = "application/json";
/// The media type of a signed response (RFC 9701 §5).
pub(super) const JWT: &str = "application/token-introspection+jwt";
/// The `typ` of a signed response, which no access token may have (RFC 9701 §8.1).
pub(super) const TYPE: MessageType =
    MessageType { names: &["token-introspection+jwt"], is_optional: false };

/// The most characters of a media type that are logged.
const MAX_SHOWN: usize = 64;

/// The least tolerated clock skew of a signed response.
const MIN_LEEWAY: Duration = Duration::from_secs(60);
