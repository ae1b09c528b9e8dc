//! WebSocket handshakes: a valid token reaches the handler, any other gets a close frame.

use futures_util::{SinkExt, StreamExt};
use oauth2_actix::{Algorithm, OAuth2, Provider, testing::Token};
use oauth2_actix_tests::{
    api::{Api, PUBLIC_PATHS},
    client::{Connection, raw},
    key_server::{Answer as Script, KeyServer},
    keys::key,
    policy,
    wait::PATIENCE,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::CloseFrame},
};

fn oauth2(keys: &str) -> OAuth2 {
    policy::builder()
        .provider("test", Provider::new().issuer("https://idp.test").audience("api").keys(keys))
        .public_paths(PUBLIC_PATHS)
        .build()
        .unwrap()
}

fn start() -> Api {
    Api::start(oauth2(&key(Algorithm::ES256).jwk_set().to_string()))
}

fn good() -> Token {
    Token::new("https://idp.test", "api")
}

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

/// Connects, and returns the first message and the protocol that the server selected.
async fn first_message(
    api: &Api,
    path: &str,
    authorization: Option<&str>,
    protocols: Option<&str>,
) -> (Message, Option<String>) {
    let mut request = api.url(path).replace("http://", "ws://").into_client_request().unwrap();
    if let Some(value) = authorization {
        request.headers_mut().insert("authorization", value.parse().unwrap());
    }
    if let Some(value) = protocols {
        request.headers_mut().insert("sec-websocket-protocol", value.parse().unwrap());
    }
    let (mut socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.status(), 101);
    let protocol = response
        .headers()
        .get("sec-websocket-protocol")
        .map(|value| value.to_str().unwrap().to_owned());
    let _ = socket.send(Message::text("hello")).await;
    let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    (message.unwrap().unwrap(), protocol)
}

fn closed(message: &Message) -> (u16, String) {
    match message {
        Message::Close(Some(CloseFrame { code, reason })) => {
            (u16::from(*code), reason.as_str().to_owned())
        }
        other => panic!("{other:?} is not a close frame"),
    }
}

#[tokio::test]
async fn handshake_with_a_valid_token_reaches_the_handler() {
    let api = start();
    let bearer = format!("Bearer {}", sign(&good()));
    let (message, _) = first_message(&api, "/ws", Some(&bearer), None).await;
    assert_eq!(message, Message::text("user-1 says hello"));
    assert_eq!(api.private_calls(), 1);
}

#[tokio::test]
async fn rejected_handshake_is_closed_with_1008_and_a_reason() {
    let api = start();
    let bearer = |token: &Token| Some(format!("Bearer {}", sign(token)));
    for (path, authorization, reason) in [
        ("/ws", None, "token missing"),
        ("/no-such-route", None, "token missing"),
        ("/ws", Some("Basic YTpi".to_owned()), "token missing"),
        ("/ws", Some("Bearer".to_owned()), "invalid request"),
        ("/ws", Some("Bearer x.y.z".to_owned()), "invalid token"),
        ("/ws", bearer(&good().claim("aud", "other")), "invalid token"),
        ("/ws", bearer(&good().expires_in(-1)), "token expired"),
        // From a requirement of the handler, after the middleware accepted the token.
        ("/ws-role", bearer(&good()), "insufficient scope"),
        ("/authenticated-by", bearer(&good()), "insufficient user authentication"),
        ("/authenticated-recently", bearer(&good()), "insufficient user authentication"),
        ("/actor", bearer(&good()), "insufficient scope"),
        // From an extractor on a public path.
        ("/claims-on-public", None, "token missing"),
    ] {
        let (message, _) = first_message(&api, path, authorization.as_deref(), None).await;
        assert_eq!(closed(&message), (1008, reason.to_owned()), "{path} {reason}");
    }
    assert_eq!(api.private_calls(), 0);
}

#[tokio::test]
async fn handshake_without_keys_is_closed_with_1013() {
    let server = KeyServer::start(Script::status(500)).unwrap();
    let api = Api::start(oauth2(&server.url()));
    let bearer = format!("Bearer {}", sign(&good()));
    let (message, _) = first_message(&api, "/ws", Some(&bearer), None).await;
    assert_eq!(closed(&message), (1013, "try again later".to_owned()));
}

#[tokio::test]
async fn rejected_handshake_selects_an_offered_protocol_but_never_a_token() {
    let api = start();
    let token = sign(&good());
    for (offer, picked) in [
        ("chat, superchat".to_owned(), Some("chat")),
        (format!("bearer, {token}"), Some("bearer")),
        (format!("{token}, chat"), Some("chat")),
    ] {
        let (message, protocol) = first_message(&api, "/ws", None, Some(&offer)).await;
        assert_eq!(closed(&message), (1008, "token missing".to_owned()));
        assert_eq!(protocol.as_deref(), picked);
    }
    // A token alone: nothing can be selected, and a strict client fails the handshake.
    let answer = raw(
        api.server().address(),
        handshake(&[&format!("Sec-WebSocket-Protocol: {token}")]).as_bytes(),
    );
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), None);
}

fn handshake(lines: &[&str]) -> String {
    let mut request =
        "GET /ws HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            .to_owned();
    for line in lines {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request + "\r\n"
}

#[test]
fn rejected_handshake_gets_one_frame_and_is_closed() {
    let api = start();
    let mut connection = Connection::open(api.server().address());
    connection.send(handshake(&[]).as_bytes());
    let answer = connection.answer();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.header("content-length"), None);
    assert_eq!(connection.rest(), b"\x88\x0f\x03\xf0token missing");
}

#[test]
fn invalid_handshake_gets_a_plain_error_response() {
    let api = start();
    for request in [
        handshake(&[]).replace("Version: 13", "Version: 8"),
        handshake(&[]).replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        handshake(&[]).replace("Sec-WebSocket-Version: 13\r\n", ""),
        handshake(&[]).replace("Connection: Upgrade\r\n", ""),
        handshake(&[]).replace("GET", "POST"),
        handshake(&["Transfer-Encoding: chunked"]) + "0\r\n\r\nGET /public HTTP/1.1\r\n\r\n",
        handshake(&[]).replace("Upgrade: websocket", "Upgrade: h2c"),
    ] {
        let answer = raw(api.server().address(), request.as_bytes());
        assert_eq!((answer.status, answer.error()), (400, "invalid_request".into()), "{request}");
    }
}
