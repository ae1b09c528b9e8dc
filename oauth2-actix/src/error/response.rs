//! The plain HTTP response to an error: status, challenge and JSON body.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};

use super::{Error, ErrorKind, challenge::Challenge, whole_seconds};

/// What a challenge says about the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api<'a> {
    pub(crate) realm: &'a str,
    /// The URL of the metadata document, if there is one.
    pub(crate) metadata_url: Option<&'a str>,
    /// The scopes that a client without an accepted token asks for, if the error names none.
    pub(crate) scopes: Option<&'a str>,
}

impl Default for Api<'_> {
    fn default() -> Self {
        Self { realm: DEFAULT_REALM, metadata_url: None, scopes: None }
    }
}

/// Builds the response from the error alone, without the request.
pub(crate) fn plain(error: &Error, api: Api<'_>, status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    let answer = error.answer();
    if matches!(error.kind(), ErrorKind::NotConfigured) {
        return response.finish();
    }
    match error.kind() {
        ErrorKind::KeysUnavailable { retry_after } => {
            let seconds = whole_seconds(*retry_after);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        ErrorKind::CheckUnavailable => {
            response.insert_header((header::RETRY_AFTER, "1"));
        }
        kind => {
            let mut challenge = Challenge::new();
            if let Some(url) = api.metadata_url {
                challenge = challenge.resource_metadata(url);
            }
            if let Some(scopes) = error.challenged_scopes().or(default_scopes(error, api)) {
                challenge = challenge.scope(scopes);
            }
            challenge = challenge.realm(api.realm);
            // RFC 6750 §3.1: a request without a token gets no error code.
            if !matches!(kind, ErrorKind::TokenMissing) {
                challenge = challenge.error(answer.code);
                if let ErrorKind::InsufficientAuthentication { acr_values, max_age } = kind {
                    challenge = challenge.authentication(acr_values, *max_age);
                }
                challenge = challenge.description(answer.description);
            }
            response.insert_header((header::WWW_AUTHENTICATE, challenge.finish()));
        }
    }
    response.json(serde_json::json!({
        "error": answer.code,
        "error_description": answer.description,
    }))
}

/// Returns the scopes for a client that has no accepted token.
fn default_scopes<'a>(error: &Error, api: Api<'a>) -> Option<&'a str> {
    let needs_token = match error.kind() {
        ErrorKind::TokenMissing => true,
        // The token was accepted. These scopes may be fewer than it has.
        ErrorKind::InsufficientAuthentication { .. } => false,
        _ => error.status() == StatusCode::UNAUTHORIZED,
    };
    api.scopes.filter(|_| needs_token)
}

/// The realm of a challenge where no policy is mounted, or the policy has no realm.
pub(crate) const DEFAULT_REALM: &str = "api";
