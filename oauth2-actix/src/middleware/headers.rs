//! The headers that the middleware sets on responses.

use actix_web::{
    HttpMessage,
    dev::ServiceResponse,
    error::InternalError,
    http::header::{
        ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING,
        CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
        HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE,
    },
};

#[cfg(feature = "websocket")]
use actix_web::http::{StatusCode, header::SEC_WEBSOCKET_PROTOCOL};

use crate::{
    error::response::DPOP_NONCE, policy::possession::FreshNonce, request::bearer::TokenSource,
};

/// Sets the response headers that the token's source requires.
pub(super) fn set_token_source_headers<B>(response: &mut ServiceResponse<B>, source: TokenSource) {
    match source {
        TokenSource::Header | TokenSource::DpopHeader => {}
        TokenSource::NamedHeader | TokenSource::Cookie | TokenSource::Query => {
            restrict_caching(response.headers_mut(), source);
        }
        // A browser that offered protocols fails a handshake that selects none.
        #[cfg(feature = "websocket")]
        TokenSource::Subprotocol | TokenSource::DpopSubprotocol => {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS
                && !response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL)
            {
                let marker = HeaderValue::from_static(match source {
                    TokenSource::DpopSubprotocol => crate::request::upgrade::DPOP_MARKER,
                    _ => crate::request::upgrade::MARKER,
                });
                response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, marker);
            }
        }
    }
}

/// Adds the nonce for the client's next proof, and lets scripts of other origins read it. The response is then not
/// cacheable, since the nonce of a cached one would be old (RFC 9449 §8.2).
pub(super) fn set_fresh_nonce<B>(response: &mut ServiceResponse<B>) {
    let nonce = response.request().extensions_mut().remove::<FreshNonce>();
    let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce.0).ok()) else { return };
    let is_cross_origin = response.request().headers().contains_key(ORIGIN);
    let headers = response.headers_mut();
    if headers.contains_key(DPOP_NONCE) {
        return;
    }
    headers.insert(DPOP_NONCE, nonce);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_cross_origin {
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("DPoP-Nonce"));
    }
}

/// Sets `Cache-Control`. A shared cache stores no response to a request with `Authorization` (RFC 9111 §3.5),
/// but does not recognize tokens from other sources.
fn restrict_caching(headers: &mut HeaderMap, source: TokenSource) {
    match source {
        // A URL with a token must not be stored at all (RFC 6750 §2.3).
        TokenSource::Query => {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        TokenSource::NamedHeader | TokenSource::Cookie if !headers.contains_key(CACHE_CONTROL) => {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        }
        _ => {}
    }
}

/// Sets the response headers that the token's source requires, on a response that is an error.
pub(super) fn set_token_source_headers_on_error(
    error: actix_web::Error,
    source: TokenSource,
) -> actix_web::Error {
    if !matches!(source, TokenSource::Query | TokenSource::NamedHeader | TokenSource::Cookie) {
        return error;
    }
    let mut response = error.error_response();
    restrict_caching(response.headers_mut(), source);
    InternalError::from_response(error, response).into()
}

/// The headers that describe a body.
const BODY_HEADERS: [HeaderName; 7] = [
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_TYPE,
];

/// Copies the headers that inner middleware has added, except for those that describe the body.
pub(super) fn keep_headers(from: &HeaderMap, into: &mut HeaderMap) {
    let own: Vec<HeaderName> = into.keys().cloned().collect();
    for (name, value) in from {
        if !own.contains(name) && name != WWW_AUTHENTICATE && !BODY_HEADERS.contains(name) {
            into.append(name.clone(), value.clone());
        }
    }
}
