//! The plain HTTP response to an error: status, challenges and JSON body.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};

use super::{
    Error, ErrorKind,
    challenge::{Challenge, Scheme},
    whole_seconds,
};

/// What a challenge says about the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api<'a> {
    pub(crate) realm: &'a str,
    /// The URL of the metadata document, if there is one.
    pub(crate) metadata_url: Option<&'a str>,
    /// The scopes that a client without an accepted token asks for, if the error names none.
    pub(crate) scopes: Option<&'a str>,
    /// The scheme of the request's token.
    pub(crate) scheme: Scheme,
    /// What is said about DPoP. None unless it is on.
    pub(crate) dpop: Option<DpopApi<'a>>,
}

/// What a challenge says about DPoP (RFC 9449 §7.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct DpopApi<'a> {
    /// The algorithms of proofs, separated by spaces.
    pub(crate) algorithms: &'a str,
    /// Whether every token must be bound, so that no bearer token is accepted.
    pub(crate) is_required: bool,
    /// A fresh nonce, if proofs must have one.
    pub(crate) nonce: Option<&'a str>,
}

impl Default for Api<'_> {
    fn default() -> Self {
        let (metadata_url, scopes) = (None, None);
        Self { realm: DEFAULT_REALM, metadata_url, scopes, scheme: Scheme::Bearer, dpop: None }
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
        ErrorKind::KeysUnavailable { retry_after }
        | ErrorKind::IntrospectionUnavailable { retry_after } => {
            let seconds = whole_seconds(*retry_after);
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        ErrorKind::ApiKeysUnavailable
        | ErrorKind::CheckUnavailable
        | ErrorKind::ReplayStoreUnavailable
        | ErrorKind::RevocationStatusUnavailable => {
            response.insert_header((header::RETRY_AFTER, "1"));
            set_nonce(&mut response, error, api);
        }
        _ => {
            for challenge in challenges(error, api) {
                response.append_header((header::WWW_AUTHENTICATE, challenge));
            }
            set_nonce(&mut response, error, api);
        }
    }
    response.json(serde_json::json!({
        "error": answer.code,
        "error_description": answer.description,
    }))
}

/// Returns the challenges: that of bearer tokens first, since some clients read only the first. The error is in the
/// one of the request's scheme (RFC 9449 §7.1).
fn challenges(error: &Error, api: Api<'_>) -> Vec<HeaderValue> {
    let Some(dpop) = api.dpop else { return vec![challenge(error, api, Scheme::Bearer, true)] };
    // No bearer token would be accepted.
    if dpop.is_required || matches!(error.kind(), ErrorKind::NotDpopBound) {
        return vec![challenge(error, api, Scheme::Dpop, true)];
    }
    // The token was accepted with its scheme.
    if error.status() == StatusCode::FORBIDDEN {
        return vec![challenge(error, api, api.scheme, true)];
    }
    // Which one the client meant is not known.
    let is_of_both = matches!(error.kind(), ErrorKind::RequestMalformed { .. });
    [Scheme::Bearer, Scheme::Dpop]
        .map(|scheme| challenge(error, api, scheme, is_of_both || scheme == api.scheme))
        .into()
}

fn challenge(error: &Error, api: Api<'_>, scheme: Scheme, has_error: bool) -> HeaderValue {
    let (kind, answer) = (error.kind(), error.answer());
    let mut challenge = Challenge::new(scheme);
    if let Some(url) = api.metadata_url {
        challenge = challenge.resource_metadata(url);
    }
    if let Some(scopes) = error.challenged_scopes().or(default_scopes(error, api)) {
        challenge = challenge.scope(scopes);
    }
    challenge = challenge.realm(api.realm);
    if let (Scheme::Dpop, Some(dpop)) = (scheme, api.dpop) {
        challenge = challenge.algs(dpop.algorithms);
    }
    // RFC 6750 §3.1: a request without a token gets no error code.
    if has_error && !matches!(kind, ErrorKind::TokenMissing) {
        challenge = challenge.error(answer.code);
        if let ErrorKind::InsufficientAuthentication { acr_values, max_age } = kind {
            challenge = challenge.authentication(acr_values, *max_age);
        }
        challenge = challenge.description(answer.description);
    }
    challenge.finish()
}

/// Adds the nonce for the next proof of a client that has sent one, or must send one. A store that has lost its data
/// accepts only proofs with a nonce of a later time.
fn set_nonce(response: &mut HttpResponseBuilder, error: &Error, api: Api<'_>) {
    let is_rejected = error.status() == StatusCode::UNAUTHORIZED && api.scheme == Scheme::Dpop;
    let is_needed = is_rejected
        || matches!(error.kind(), ErrorKind::NonceRequired | ErrorKind::ReplayStoreUnavailable);
    if let Some(nonce) = api.dpop.and_then(|dpop| dpop.nonce).filter(|_| is_needed) {
        response.insert_header((DPOP_NONCE, nonce));
        response.insert_header((header::CACHE_CONTROL, "no-store"));
    }
}

/// Returns the scopes for a client that has no accepted token.
fn default_scopes<'a>(error: &Error, api: Api<'a>) -> Option<&'a str> {
    let needs_token = match error.kind() {
        ErrorKind::TokenMissing => true,
        // The token was accepted. These scopes may be fewer than it has.
        ErrorKind::InsufficientAuthentication { .. }
        | ErrorKind::NonceRequired
        | ErrorKind::ProofInvalid { .. }
        | ErrorKind::ProofReplayed => false,
        _ => error.status() == StatusCode::UNAUTHORIZED,
    };
    api.scopes.filter(|_| needs_token)
}

/// The realm of a challenge where no policy is mounted, or the policy has no realm.
pub(crate) const DEFAULT_REALM: &str = "api";

/// The header with a nonce for the next proof (RFC 9449 §8).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
