//! Rejects a WebSocket upgrade: completes the handshake, and sends one close frame with the reason.
//!
//! A browser's script sees neither status nor headers of a failed handshake, only 1006. It does
//! see the code and reason of a close frame (RFC 6455 §7.4).

use actix_http::ws;
use actix_web::{
    HttpResponse,
    dev::RequestHead,
    http::{
        StatusCode, Version,
        header::{
            HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
            SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING, UPGRADE,
        },
    },
};

use crate::{
    error::{Error, ErrorKind},
    request::bearer::is_http_token,
};

/// The header values that complete the handshake of a request.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
}

impl Handshake {
    /// Reads a valid handshake (RFC 6455 §4.2.1). Returns None for any other request, whose rejection is a
    /// plain HTTP response.
    // Inlined, as are the other steps of every request: the generic middleware is compiled in the developer's
    // crate, which inlines nothing else of this crate.
    #[inline]
    pub(crate) fn of(head: &RequestHead) -> Option<Self> {
        if is_handshake(head) { Self::read(head) } else { None }
    }

    fn read(head: &RequestHead) -> Option<Self> {
        let key = head.headers().get(SEC_WEBSOCKET_KEY)?;
        Some(Self {
            accept: HeaderValue::from_bytes(&ws::hash_key(key.as_bytes())).ok()?,
            // A browser that offered protocols fails a handshake that selects none.
            protocol: echoed_protocol(head.headers())
                .and_then(|protocol| HeaderValue::from_str(protocol).ok()),
        })
    }

    /// Returns the response that completes the handshake, with the close frame for `error`.
    pub(crate) fn close(&self, error: &Error) -> Option<HttpResponse> {
        if matches!(error.kind(), ErrorKind::NotConfigured) {
            return None;
        }
        let mut response = HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS);
        response.upgrade("websocket").insert_header((SEC_WEBSOCKET_ACCEPT, self.accept.clone()));
        if let Some(protocol) = &self.protocol {
            response.insert_header((SEC_WEBSOCKET_PROTOCOL, protocol.clone()));
        }
        let (code, reason) = error.answer().close;
        Some(response.body(close_frame(code, reason)))
    }
}

/// Builds an unmasked close frame (RFC 6455 §5.5.1). Reasons are short constants: a control frame holds
/// at most 125 bytes.
fn close_frame(code: u16, reason: &'static str) -> Vec<u8> {
    let length = (2 + reason.len()).min(125);
    let mut frame = vec![0x88, length as u8];
    frame.extend(code.to_be_bytes());
    frame.extend(&reason.as_bytes()[..length - 2]);
    frame
}

/// Returns whether this is a valid WebSocket handshake (RFC 6455 §4.2.1).
pub(crate) fn is_handshake(head: &RequestHead) -> bool {
    // Must not be true where actix does not upgrade, since actix then parses the client's frames as the next
    // request: a request with a body, or with more than one protocol in `Upgrade`. HTTP/1.0 has no upgrade
    // (RFC 9110 §7.8), and HTTP/2 has another one (RFC 8441).
    head.version == Version::HTTP_11
        // First, since this runs for every request and few have the header.
        && is_websocket_upgrade(head.headers())
        && head.upgrade()
        && !head.headers().contains_key(TRANSFER_ENCODING)
        && ws::verify_handshake(head).is_ok()
}

fn is_websocket_upgrade(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(&UPGRADE);
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    values.next().is_some_and(is_websocket) && values.next().is_none()
}

/// Returns the subprotocols that the client offers, in its order (RFC 6455 §4.1).
pub(crate) fn offered_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Returns the first offered subprotocol that is not a token and does not look like one, since a response
/// must not contain a token. Returns the token's marker if there is no other.
fn echoed_protocol(headers: &HeaderMap) -> Option<&str> {
    let mut marker = None;
    let mut offered = offered_protocols(headers);
    while let Some(protocol) = offered.next() {
        if protocol == MARKER {
            marker = Some(protocol);
            offered.next();
        } else if protocol == DPOP_MARKER {
            marker = Some(protocol);
            // The token and its proof.
            offered.next();
            offered.next();
        } else if is_http_token(protocol) && !looks_like_token(protocol) {
            return Some(protocol);
        }
    }
    marker
}

/// Returns whether a subprotocol may be a token. The JSON of a JOSE header begins with `eyJ` in base64url.
fn looks_like_token(protocol: &str) -> bool {
    protocol.contains("eyJ") || (protocol.len() > 40 && protocol.matches('.').count() >= 2)
}

/// The subprotocol that a client offers directly before its token.
pub(crate) const MARKER: &str = "bearer";

/// The subprotocol that a client offers directly before its token and the proof for it.
pub(crate) const DPOP_MARKER: &str = "dpop";

/// Returns the proof among the offered protocols: the second after [`DPOP_MARKER`].
pub(crate) fn offered_proof(headers: &HeaderMap) -> Option<&str> {
    let mut offered = offered_protocols(headers);
    offered.find(|protocol| *protocol == DPOP_MARKER)?;
    offered.nth(1)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_close_frame_contains_code_and_reason() {
        assert_eq!(close_frame(1008, "token expired"), b"\x88\x0f\x03\xf0token expired");
    }

    #[test]
    fn the_first_protocol_that_is_not_a_token_is_echoed() {
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        let opaque = "0123456789.0123456789.01234567890123456789";
        for (offer, echoed) in [
            ("chat", Some("chat")),
            ("v12.stomp, v11.stomp", Some("v12.stomp")),
            ("bearer, TOKEN", Some("bearer")),
            ("bearer, TOKEN, chat", Some("chat")),
            ("chat, bearer, TOKEN", Some("chat")),
            ("bearer, opaque-and-short, chat", Some("chat")),
            ("bearer", Some("bearer")),
            ("bearer, x, bearer, y", Some("bearer")),
            ("dpop, TOKEN, PROOF, chat", Some("chat")),
            ("chat, dpop, TOKEN, PROOF", Some("chat")),
            ("dpop, short-token, short-proof", Some("dpop")),
            ("dpop, TOKEN", Some("dpop")),
            ("TOKEN, chat.v2", Some("chat.v2")),
            ("TOKEN", None),
            ("base64url.bearer.authorization.k8s.io.TOKEN", None),
            (opaque, None),
            ("", None),
            (" , \"x\"", None),
        ] {
            let offer = offer.replace("TOKEN", token);
            let request = TestRequest::get()
                .insert_header((SEC_WEBSOCKET_PROTOCOL, offer.as_str()))
                .to_http_request();
            assert_eq!(echoed_protocol(request.headers()), echoed, "{offer}");
        }
    }

    #[test]
    fn an_invalid_handshake_is_not_completed() {
        let handshake = || {
            TestRequest::get()
                .insert_header(("connection", "Upgrade"))
                .insert_header(("upgrade", "websocket"))
                .insert_header(("sec-websocket-version", "13"))
                .insert_header(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
        };
        assert!(Handshake::of(handshake().to_http_request().head()).is_some());
        for request in [
            TestRequest::get(),
            handshake().method(actix_web::http::Method::POST),
            handshake().insert_header(("sec-websocket-version", "8")),
            handshake().insert_header(("sec-websocket-key", "short")),
            handshake().insert_header(("upgrade", "h2c")),
            handshake().insert_header(("upgrade", "websocket, other")),
            handshake().insert_header(("upgrade", "websockets")),
            handshake().append_header(("upgrade", "other")),
            handshake().insert_header(("transfer-encoding", "chunked")),
            handshake().version(Version::HTTP_10),
            handshake().version(Version::HTTP_2),
            TestRequest::get().insert_header(("upgrade", "websocket")),
        ] {
            assert!(Handshake::of(request.to_http_request().head()).is_none());
        }
        let not_configured = Error::from(ErrorKind::NotConfigured);
        let handshake = Handshake::of(handshake().to_http_request().head()).expect("a handshake");
        assert!(handshake.close(&not_configured).is_none());
    }
}
