//! The target of the attacks: a real server, and the assertions after every attack.

use std::collections::HashSet;

use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider,
    testing::{SigningKey, Token},
};
use oauth2_actix_tests::{
    api::{Api, PUBLIC_PATHS},
    client::{Answer, Connection, raw},
    forge,
    keys::{EVERY, key},
    policy,
};
use serde_json::{Map, Value, json};

pub(crate) const ISSUER: &str = "https://idp.test";
pub(crate) const AUDIENCE: &str = "api";
/// A part of every text that an attacker chooses. It must not be in any response.
pub(crate) const CANARY: &str = "canary";

/// The key that signs good tokens.
pub(crate) fn es256() -> &'static SigningKey {
    key(Algorithm::ES256)
}

/// All public keys of the provider, one for each algorithm.
pub(crate) fn jwk_set() -> Value {
    let keys: Vec<Value> = EVERY
        .iter()
        .filter(|key| !key.algorithm().is_symmetric())
        .map(SigningKey::public_jwk)
        .collect();
    json!({"keys": keys})
}

pub(crate) fn provider() -> Provider {
    Provider::new().issuer(ISSUER).audience(AUDIENCE).keys(jwk_set())
}

pub(crate) fn builder() -> OAuth2Builder {
    policy::builder().provider("test", provider()).public_paths(PUBLIC_PATHS)
}

/// Returns a valid token, to be changed.
pub(crate) fn good() -> Token {
    Token::new(ISSUER, AUDIENCE).claim("sub", "canary-subject").claim("jti", "canary-jti")
}

/// Returns the claims of a valid token.
pub(crate) fn claims() -> Map<String, Value> {
    let token = good().sign(es256());
    let payload = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        forge::parts(&token)[1],
    );
    serde_json::from_slice(&payload.unwrap()).unwrap()
}

/// Returns the claims of a valid token as text.
pub(crate) fn payload() -> String {
    Value::Object(claims()).to_string()
}

/// Signs a token with the ES256 key, with members of the header added or replaced.
pub(crate) fn with_header(members: &Value) -> String {
    let mut header = forge::header(es256());
    header.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    forge::forge(header.to_string(), payload(), forge::by(es256()))
}

/// Signs a token with the ES256 key, with any bytes as the payload.
pub(crate) fn with_payload(payload: impl AsRef<[u8]>) -> String {
    forge::forge(forge::header(es256()).to_string(), payload, forge::by(es256()))
}

/// The response to a rejected request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rejection {
    NoToken,
    MalformedHeader,
    Malformed,
    Signature,
    WrongResource,
    Expired,
    NotYetValid,
    NotPermitted,
    Revoked,
    Unavailable,
    /// The token was introspected, and is not active.
    Inactive,
}

impl Rejection {
    /// Returns status, code, description, close code and close reason.
    fn text(self) -> (u16, &'static str, &'static str, u16, &'static str) {
        let invalid = |description| (401, "invalid_token", description, 1008_u16, "invalid token");
        match self {
            Self::NoToken => {
                (400, "invalid_request", "A bearer token is required.", 1008, "token missing")
            }
            Self::MalformedHeader => (
                400,
                "invalid_request",
                "Send one access token, as Authorization: Bearer TOKEN.",
                1008,
                "invalid request",
            ),
            Self::Malformed => invalid("The token is not an acceptable JWT."),
            Self::Signature => invalid("The token's signature is not accepted."),
            Self::WrongResource => invalid("The token is not meant for this resource."),
            Self::Inactive => invalid("The token is not active, or not meant for this resource."),
            Self::NotYetValid => invalid("The token is not valid yet."),
            Self::Expired => {
                (401, "invalid_token", "The token has expired.", 1008, "token expired")
            }
            Self::Revoked => {
                (401, "invalid_token", "The token was revoked.", 1008, "token revoked")
            }
            Self::NotPermitted => (
                403,
                "insufficient_scope",
                "The token does not permit this.",
                1008,
                "insufficient scope",
            ),
            Self::Unavailable => (
                503,
                "temporarily_unavailable",
                "Tokens cannot be checked at the moment.",
                1013,
                "try again later",
            ),
        }
    }
}

/// A server under attack.
pub(crate) struct Target {
    pub(crate) api: Api,
    good: String,
}

impl Target {
    /// Starts a server with keys for all asymmetric algorithms.
    pub(crate) fn start() -> Self {
        Self::behind(builder().build().unwrap())
    }

    /// Starts a server with another policy, which accepts [`good`] tokens signed with ES256.
    pub(crate) fn behind(oauth2: OAuth2) -> Self {
        Self::with_good(oauth2, good().expires_in(86_400).sign(es256()))
    }

    /// Starts a server with another policy, and a token that it accepts.
    pub(crate) fn with_good(oauth2: OAuth2, good: String) -> Self {
        let target = Self { api: Api::start(oauth2), good };
        target.still_works("before anything");
        target
    }

    /// Asserts that the server accepts a valid token.
    #[track_caller]
    pub(crate) fn still_works(&self, attack: &str) {
        self.accepts(&format!("after {attack}"), &self.good);
    }

    #[track_caller]
    pub(crate) fn accepts(&self, what: &str, token: &str) {
        let before = self.api.private_calls();
        let answer = self.send("/me", &[bearer(token)]);
        assert_eq!((answer.status, answer.header("www-authenticate")), (200, None), "{what}");
        assert_eq!(self.api.private_calls(), before + 1, "{what}");
    }

    /// Sends a GET with these header lines.
    pub(crate) fn send(&self, path: &str, lines: &[Vec<u8>]) -> Answer {
        raw(self.api.server().address(), &request("GET", path, lines))
    }

    /// Asserts that the middleware rejects the token over HTTP and over WebSocket. The handlers extract no
    /// claims.
    #[track_caller]
    pub(crate) fn rejects(&self, attack: &str, token: &str, rejection: Rejection) {
        self.rejects_at(attack, "/bare", "/ws-bare", &[bearer(token)], rejection);
    }

    /// Asserts that the request with these header lines is rejected.
    #[track_caller]
    pub(crate) fn rejects_lines(&self, attack: &str, lines: &[Vec<u8>], rejection: Rejection) {
        self.rejects_at(attack, "/bare", "/ws-bare", lines, rejection);
    }

    /// Asserts that requests for these paths are rejected.
    #[track_caller]
    pub(crate) fn rejects_at(
        &self,
        attack: &str,
        path: &str,
        socket: &str,
        lines: &[Vec<u8>],
        rejection: Rejection,
    ) {
        let before = self.api.private_calls();
        let answer = self.send(path, lines);
        is_rejection(attack, &answer, rejection);
        let text = format!("{answer:?}");
        let close = self.close_of(attack, socket, lines, &text);
        let (_, _, _, code, reason) = rejection.text();
        assert_eq!(close, (code, reason.to_owned()), "{attack}");
        assert_eq!(self.api.private_calls(), before, "{attack}: a handler ran");
        self.still_works(attack);
    }

    /// Returns code and reason of the close frame in response to a WebSocket handshake with these lines.
    #[track_caller]
    pub(crate) fn close_of(
        &self,
        attack: &str,
        path: &str,
        lines: &[Vec<u8>],
        plain: &str,
    ) -> (u16, String) {
        let handshake: [&[u8]; 4] = [
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let all: Vec<Vec<u8>> =
            handshake.iter().map(|line| line.to_vec()).chain(lines.iter().cloned()).collect();
        let mut connection = Connection::open(self.api.server().address());
        connection.send(&request("GET", path, &all));
        let answer = connection.answer();
        assert_eq!(answer.status, 101, "{attack}: {answer:?}");
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let head = connection.read(2);
        assert_eq!(head[0], 0x88, "{attack}: no close frame");
        let frame = connection.read(usize::from(head[1]));
        let reason = String::from_utf8(frame[2..].to_vec()).unwrap();
        let shown = format!("{plain} {answer:?} {reason}");
        for line in lines {
            holds_nothing_of(attack, &shown, line);
        }
        (u16::from_be_bytes([frame[0], frame[1]]), reason)
    }
}

/// Asserts that the plain response is exactly this rejection.
#[track_caller]
pub(crate) fn is_rejection(attack: &str, answer: &Answer, rejection: Rejection) {
    let (status, code, description, _, _) = rejection.text();
    assert_eq!(answer.status, status, "{attack}: {answer:?}");
    let mut names: Vec<&str> = answer
        .headers
        .iter()
        // actix adds it where a body is unread or an upgrade was requested.
        .filter(|(name, value)| {
            !(name == "connection" && ["close", "upgrade"].contains(&value.as_str()))
        })
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    let last = match rejection {
        Rejection::Unavailable => "retry-after",
        _ => "www-authenticate",
    };
    assert_eq!(names, ["content-length", "content-type", "date", last], "{attack}");
    let challenge = match rejection {
        Rejection::Unavailable => String::new(),
        Rejection::NoToken => r#"Bearer realm="api""#.to_owned(),
        _ => {
            format!(r#"Bearer realm="api", error="{code}", error_description="{description}""#)
        }
    };
    assert_eq!(answer.challenge(), challenge, "{attack}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{attack}");
    let body = json!({"error": code, "error_description": description}).to_string();
    assert_eq!(answer.body, body, "{attack}");
}

/// Asserts that the text holds no canary, and no twelve consecutive bytes of the request.
#[track_caller]
pub(crate) fn holds_nothing_of(attack: &str, shown: &str, sent: &[u8]) {
    assert!(!shown.to_ascii_lowercase().contains(CANARY), "{attack}: {shown}");
    let sent = match sent.iter().position(|byte| *byte == b':') {
        Some(colon) => &sent[colon + 1..],
        None => sent,
    };
    let seen: HashSet<&[u8]> = shown.as_bytes().windows(WINDOW).collect();
    let echo = sent.windows(WINDOW).find(|window| seen.contains(window));
    assert!(echo.is_none(), "{attack}: {:?} in {shown}", echo.map(<[u8]>::escape_ascii));
}

pub(crate) const WINDOW: usize = 12;

pub(crate) fn bearer(token: &str) -> Vec<u8> {
    format!("Authorization: Bearer {token}").into_bytes()
}

/// Builds a request without a body.
pub(crate) fn request(method: &str, path: &str, lines: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: api\r\n").into_bytes();
    for line in lines {
        bytes.extend(line);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"\r\n");
    bytes
}
