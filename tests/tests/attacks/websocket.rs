//! Attacks by WebSocket handshakes. (The other modules make their attacks over WebSocket too.)

use oauth2_actix::testing::{SigningKey, Token};
use oauth2_actix_tests::client::{Connection, raw};

use crate::target::{
    Rejection, Target, bearer, es256, good, holds_nothing_of, is_rejection, request,
};

const HANDSHAKE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

fn lines(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|line| line.as_bytes().to_vec()).collect()
}

fn with(more: &[Vec<u8>]) -> Vec<Vec<u8>> {
    [lines(&HANDSHAKE), more.to_vec()].concat()
}

/// No token, an invalid token, the wrong role: 101, one close frame of 1008 with an offered protocol echoed,
/// and the end; the handler does not run. A token in the subprotocol is never echoed, and does not
/// authenticate. `Origin` decides nothing here, since the policy enables no cookie.
#[test]
fn rejected_handshake_is_closed_and_echoes_no_token() {
    let target = Target::start();
    let token = good().sign(es256());
    let bad = good().sign(&SigningKey::generate(oauth2_actix::Algorithm::ES256, "ES256"));
    target.rejects_lines("no token", &[], Rejection::NoToken);
    target.rejects("a bad token", &bad, Rejection::Signature);
    target.rejects_at(
        "a wrong role",
        "/role",
        "/ws-role",
        &[bearer(&good().claim("role", "canary").sign(es256()))],
        Rejection::NotPermitted,
    );
    for (offer, echoed) in [
        ("chat".to_owned(), Some("chat")),
        ("chat, superchat".to_owned(), Some("chat")),
        (format!("bearer, {token}"), Some("bearer")),
        (format!("{token}, chat"), Some("chat")),
        (format!("chat, {token}"), Some("chat")),
        (format!("access_token.{token}, chat"), Some("chat")),
        (format!("base64url.bearer.authorization.k8s.io.{token}"), None),
        (token.clone(), None),
        (format!("{token}, {bad}"), None),
    ] {
        for authorization in [vec![], vec![bearer(&bad)]] {
            let mut connection = Connection::open(target.api.server().address());
            let mut more = vec![format!("Sec-WebSocket-Protocol: {offer}").into_bytes()];
            more.extend(authorization.clone());
            connection.send(&request("GET", "/ws", &with(&more)));
            let answer = connection.answer();
            assert_eq!(answer.status, 101);
            assert_eq!(answer.header("sec-websocket-protocol"), echoed, "{offer}");
            let reason: &[u8] =
                if authorization.is_empty() { b"token missing" } else { b"invalid token" };
            let frame = [&[0x88, 15, 3, 0xf0], reason].concat();
            assert_eq!(connection.read(frame.len()), frame, "{offer}");
            let shown = format!("{answer:?}");
            holds_nothing_of("the token", &shown, token.as_bytes());
            holds_nothing_of("the bad one", &shown, bad.as_bytes());
        }
    }
    // The response has the headers of a handshake only, and the connection closes after the frame.
    let mut connection = Connection::open(target.api.server().address());
    connection.send(&request("GET", "/ws", &with(&[bearer(&bad)])));
    // Bytes that the client sends at once are not read.
    connection.send(b"\x81\x86\x00\x00\x00\x00canary");
    let answer = connection.answer();
    let mut names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["connection", "date", "sec-websocket-accept", "upgrade"]);
    assert_eq!(connection.rest(), b"\x88\x0f\x03\xf0invalid token");
    // Cross-site: no cookie is a token, for any origin.
    for origin in ["https://canary.test", "null", "http://api"] {
        let more = [
            format!("Origin: {origin}").into_bytes(),
            format!("Cookie: access_token={token}; token={token}").into_bytes(),
        ];
        let mut connection = Connection::open(target.api.server().address());
        connection.send(&request("GET", "/ws", &with(&more)));
        assert_eq!(connection.answer().status, 101);
        assert_eq!(connection.read(17), b"\x88\x0f\x03\xf0token missing", "{origin}");
    }
    assert_eq!(target.api.private_calls(), 4, "only the valid tokens between");
    // A valid token is accepted.
    let mut connection = Connection::open(target.api.server().address());
    connection.send(&request("GET", "/ws", &with(&[bearer(&token)])));
    assert_eq!(connection.answer().status, 101);
    connection.send(b"\x81\x82\x00\x00\x00\x00hi");
    let said = b"canary-subject says hi";
    assert_eq!(connection.read(2 + said.len())[2..], *said);
    assert_eq!(target.api.private_calls(), 5);
}

/// `Upgrade` without a key, with another version, and other invalid handshakes: a plain response, not 101,
/// and no handler.
#[test]
fn invalid_handshake_gets_a_plain_error_response() {
    let target = Target::start();
    let bad: Token = good().expires_in(-5);
    let bad = bad.sign(es256());
    let address = target.api.server().address();
    for (change, to) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 14"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: canary"),
        ("Sec-WebSocket-Version: 13", "X-Version: 13"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X-Key: canary"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: "),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: canary"),
        ("Connection: Upgrade", "Connection: keep-alive"),
        ("Connection: Upgrade", "X-Connection: Upgrade"),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Upgrade: websocket", "Upgrade: canary"),
        ("Upgrade: websocket", "X-Upgrade: websocket"),
    ] {
        let changed: Vec<&str> =
            HANDSHAKE.iter().map(|line| if *line == change { to } else { line }).collect();
        for (more, rejection) in
            [(vec![], Rejection::NoToken), (vec![bearer(&bad)], Rejection::Expired)]
        {
            let all = [lines(&changed), more].concat();
            let answer = raw(address, &request("GET", "/ws", &all));
            is_rejection(to, &answer, rejection);
            holds_nothing_of(to, &format!("{answer:?}"), bad.as_bytes());
        }
    }
    for method in ["POST", "PUT", "OPTIONS", "DELETE"] {
        let answer = raw(address, &request(method, "/ws", &with(&[])));
        is_rejection(method, &answer, Rejection::NoToken);
    }
    // A body that hides another request.
    let hidden = "0\r\n\r\nGET /me HTTP/1.1\r\nHost: api\r\n\r\n";
    let chunked = request("GET", "/ws", &with(&[b"Transfer-Encoding: chunked".to_vec()]));
    let answer = raw(address, &[&chunked, hidden.as_bytes()].concat());
    is_rejection("a body", &answer, Rejection::NoToken);
    target.still_works("no handshakes");
    assert_eq!(target.api.private_calls(), 2);
}
