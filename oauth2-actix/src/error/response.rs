//! The plain HTTP response to an error: status, challenge and JSON body.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};

use super::{Error, ErrorKind, challenge::Challenge, whole_seconds};

/// Builds the response from the error alone, without the request.
pub(crate) fn plain(error: &Error, realm: &str, status: StatusCode) -> HttpResponse {
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
            let mut challenge = Challenge::new(realm);
            // RFC 6750 §3.1: a request without a token gets no error code.
            if !matches!(kind, ErrorKind::TokenMissing) {
                challenge = challenge.error(answer.code, answer.description);
            }
            if let Some(scopes) = error.challenged_scopes() {
                challenge = challenge.scope(scopes);
            }
            response.insert_header((header::WWW_AUTHENTICATE, challenge.finish()));
        }
    }
    response.json(serde_json::json!({
        "error": answer.code,
        "error_description": answer.description,
    }))
}

/// The realm of a challenge where no policy is mounted, or the policy has no realm.
pub(crate) const DEFAULT_REALM: &str = "api";
