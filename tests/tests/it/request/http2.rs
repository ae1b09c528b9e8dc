//! HTTP/2: the same responses as over HTTP/1.1, and no WebSockets.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use h2::client::handshake;
use oauth2_actix::{
    Algorithm, Claims, Provider,
    testing::{LocalServer, Token},
    ws,
};
use oauth2_actix_tests::{client, keys::key, policy, wait::PATIENCE};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::http::{Request, Version};

/// A server of both versions, which the first bytes of a connection tell apart.
struct Setup {
    server: LocalServer,
    /// The number of WebSocket handlers that ran.
    sessions: Arc<AtomicUsize>,
}

impl Setup {
    fn new() -> Self {
        let keys = key(Algorithm::ES256).jwk_set();
        let oauth2 = policy::builder()
            .provider("p", Provider::new().issuer("https://idp.test").audience("api").keys(keys))
            .build()
            .unwrap();
        let sessions = Arc::new(AtomicUsize::new(0));
        let count = web::Data::from(Arc::clone(&sessions));
        let server = LocalServer::start(move |listener| {
            let app = move || {
                App::new()
                    .wrap(oauth2.clone())
                    .app_data(count.clone())
                    .route("/me", web::get().to(me))
                    .route("/ws", web::to(session))
            };
            Ok(HttpServer::new(app).workers(1).listen_auto_h2c(listener)?.run())
        })
        .unwrap();
        Self { server, sessions }
    }
}

async fn me(claims: Claims) -> String {
    claims.subject().unwrap().to_owned()
}

async fn session(
    request: HttpRequest,
    body: web::Payload,
    sessions: web::Data<AtomicUsize>,
) -> actix_web::Result<HttpResponse> {
    sessions.fetch_add(1, SeqCst);
    Ok(ws::upgrade(&request, body).start()?.0)
}

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

fn good() -> Token {
    Token::new("https://idp.test", "api")
}

/// A valid token, and one for another audience.
fn tokens() -> [String; 2] {
    [sign(&good()), sign(&good().claim("aud", "another"))]
}

#[tokio::test]
async fn request_over_http_2_gets_the_response_of_http_1() {
    let setup = Setup::new();
    let [good, bad] = tokens();
    for (token, status) in [(Some(&good), 200), (None, 400), (Some(&bad), 401)] {
        let stream = TcpStream::connect(setup.server.address()).await.unwrap();
        let (mut client, connection) = handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = Request::get(setup.server.url("/me")).version(Version::HTTP_2);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        let (head, mut body) = timeout(PATIENCE, answer).await.unwrap().unwrap().into_parts();
        let mut text = Vec::new();
        while let Some(part) = body.data().await {
            text.extend(part.unwrap());
        }
        let of_http_1 = client::get(&setup.server.url("/me"), token.map(String::as_str)).await;
        assert_eq!((head.status.as_u16(), of_http_1.status), (status, status));
        assert_eq!(String::from_utf8(text).unwrap(), of_http_1.body);
        let challenge = head.headers.get("www-authenticate").map(|value| value.to_str().unwrap());
        assert_eq!(challenge, of_http_1.header("www-authenticate"));
        assert_eq!(challenge.is_some(), status != 200);
        connection.abort();
    }
}

/// A connection of raw frames (RFC 9113 §4.1), for requests that no library sends.
struct Frames(TcpStream);

impl Frames {
    async fn open(setup: &Setup) -> Self {
        let mut stream = TcpStream::connect(setup.server.address()).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut frames = Self(stream);
        frames.send(SETTINGS, 0, 0, b"").await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, payload].concat()).await.unwrap();
    }

    /// Sends a request without a body.
    async fn request(&mut self, stream: u32, headers: &[(&str, &str)]) {
        let block: Vec<u8> =
            headers.iter().flat_map(|(name, value)| literal(name, value)).collect();
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &block).await;
    }

    /// Returns kind, stream and payload of the next frame.
    async fn next(&mut self) -> (u8, u32, Vec<u8>) {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.expect("a frame").unwrap();
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.unwrap();
        (kind, u32::from_be_bytes(stream), payload)
    }

    /// Returns the next frame that matches.
    async fn next_of(&mut self, is_wanted: impl Fn(u8, u32) -> bool) -> (u8, u32, Vec<u8>) {
        loop {
            let frame = self.next().await;
            if is_wanted(frame.0, frame.1) {
                return frame;
            }
        }
    }
}

/// Encodes a header literally, without index or Huffman code (RFC 7541 §6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        match text.len() {
            length @ ..127 => field.push(length as u8),
            length => {
                let mut rest = length - 127;
                field.push(127);
                while rest >= 128 {
                    field.push(rest as u8 | 128);
                    rest >>= 7;
                }
                field.push(rest as u8);
            }
        }
        field.extend(text.as_bytes());
    }
    field
}

#[tokio::test]
async fn settings_frame_does_not_offer_websockets() {
    let setup = Setup::new();
    let mut frames = Frames::open(&setup).await;
    let (_, _, settings) = frames.next_of(|kind, _| kind == SETTINGS).await;
    let ids: Vec<u16> =
        settings.chunks(6).map(|setting| u16::from_be_bytes([setting[0], setting[1]])).collect();
    assert!(!ids.is_empty());
    assert!(!ids.contains(&ENABLE_CONNECT_PROTOCOL), "{ids:?}");
}

#[tokio::test]
async fn upgrade_over_http_2_is_a_stream_error() {
    let setup = Setup::new();
    for token in tokens() {
        let bearer = format!("Bearer {token}");
        let send = |method, more: &[(&'static str, &'static str)]| {
            let mut headers = vec![(":method", method), (":scheme", "http"), (":path", "/ws")];
            headers.extend([(":authority", "api")]);
            headers.extend(more);
            headers.extend([
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ]);
            headers
        };
        for headers in [
            // RFC 8441, which the server does not announce.
            send("CONNECT", &[(":protocol", "websocket")]),
            // The upgrade of HTTP/1.1, which is malformed here (RFC 9113 §8.2.2).
            send("GET", &[("upgrade", "websocket"), ("connection", "upgrade")]),
            send("GET", &[("connection", "upgrade")]),
            send("GET", &[("upgrade", "websocket")]),
        ] {
            let mut headers = headers;
            headers.push(("authorization", &bearer));
            let mut frames = Frames::open(&setup).await;
            frames.request(1, &headers).await;
            let (kind, _, payload) = frames.next_of(|_, stream| stream == 1).await;
            assert_eq!((kind, payload), (RST_STREAM, PROTOCOL_ERROR.to_vec()), "{headers:?}");
            // The connection stays open.
            let rest = [(":scheme", "http"), (":authority", "api"), (":path", "/me")];
            frames.request(3, &[&[(":method", "GET")], &rest[..]].concat()).await;
            let (kind, ..) = frames.next_of(|_, stream| stream == 3).await;
            assert_eq!(kind, HEADERS);
        }
    }
    assert_eq!(setup.sessions.load(SeqCst), 0);
}

#[tokio::test]
async fn handshake_without_upgrade_headers_is_a_plain_request() {
    let setup = Setup::new();
    for (token, status) in tokens().iter().zip([400, 401]) {
        let stream = TcpStream::connect(setup.server.address()).await.unwrap();
        let (mut client, connection) = handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get(setup.server.url("/ws"))
            .version(Version::HTTP_2)
            .header("authorization", format!("Bearer {token}"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
        assert_eq!(answer.status().as_u16(), status);
        connection.abort();
    }
}
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
