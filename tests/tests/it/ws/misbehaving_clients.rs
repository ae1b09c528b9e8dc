//! WebSocket clients that are slow or break the rules: what they are told, and that nothing of them is
//! left in the server.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::Service, rt, web};
use futures_util::{FutureExt, future::join_all};
use oauth2_actix::{
    Algorithm, OAuth2, Provider, TokenCacheConfig,
    testing::{LocalServer, ManualClock, Token},
    ws,
};
use oauth2_actix_tests::{
    keys::key,
    policy,
    wait::{PATIENCE, until},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

const ISSUER: &str = "https://idp.test";
const MINUTE: Duration = Duration::from_secs(60);
const EXPIRED: &[u8] = b"\x88\x0f\x03\xf0token expired";

/// Counts itself as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[derive(Clone, Default)]
struct Counts {
    /// Handlers that ever ran.
    begun: Arc<AtomicUsize>,
    /// Handlers' tasks.
    tasks: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    /// Messages that came to handlers.
    heard: Arc<AtomicUsize>,
    /// Messages that `/flood` sent.
    sent: Arc<AtomicUsize>,
    /// Requests that came as far as the middleware.
    requests: Arc<AtomicUsize>,
    /// Lets the task of `/keeps` go.
    release: Arc<Notify>,
}

/// What the path says: `/flood` only sends, `/feed` sends and hears apart, `/keeps` does neither, `/whole`
/// puts messages together, `/tolerant` passes over errors; the others echo, renew, and answer pings.
async fn session(
    request: HttpRequest,
    body: web::Payload,
    oauth2: web::Data<OAuth2>,
    counts: web::Data<Counts>,
) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = ws::upgrade(&request, body).start()?;
    counts.begun.fetch_add(1, SeqCst);
    let alive = Counted::new(&counts.tasks);
    match request.path() {
        "/flood" => {
            rt::spawn(async move {
                let _all = (alive, messages);
                while session.text("x".repeat(60_000)).await.is_ok() {
                    counts.sent.fetch_add(1, SeqCst);
                }
            });
        }
        "/feed" => {
            let mut feed = session.clone();
            let also = Counted::new(&counts.tasks);
            rt::spawn(async move {
                let _alive = also;
                while feed.text("tick").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            rt::spawn(async move {
                let _alive = alive;
                while let Some(Ok(_)) = messages.recv().await {}
            });
        }
        "/keeps" => {
            rt::spawn(async move {
                let _all = (alive, session, messages);
                counts.release.notified().await;
            });
        }
        "/whole" => {
            let mut messages = messages.aggregate_continuations();
            rt::spawn(async move {
                let _alive = alive;
                while let Some(Ok(_)) = messages.recv().await {
                    counts.heard.fetch_add(1, SeqCst);
                }
            });
        }
        "/tolerant" => {
            rt::spawn(async move {
                let _alive = alive;
                while let Some(message) = messages.recv().await {
                    let said = if message.is_ok() { "heard" } else { "what?" };
                    let _ = session.text(said).await;
                }
            });
        }
        _ => {
            rt::spawn(async move {
                let _alive = alive;
                while let Some(Ok(message)) = messages.recv().await {
                    counts.heard.fetch_add(1, SeqCst);
                    let sent = match message {
                        ws::Message::Ping(bytes) => session.pong(&bytes).await,
                        ws::Message::Text(text) => {
                            let words: Vec<&str> = text.split(' ').collect();
                            let answer = match words.as_slice() {
                                ["renew", token] => match session.renew(&oauth2, token).await {
                                    Ok(_) => "renewed".to_owned(),
                                    Err(error) => error.kind_name().to_owned(),
                                },
                                ["race", first, second] => {
                                    race(&session, &oauth2, first, second);
                                    session.claims().get("jti").unwrap().to_string()
                                }
                                _ => format!("echo {text}"),
                            };
                            session.text(answer).await
                        }
                        _ => Ok(()),
                    };
                    if sent.is_err() {
                        break;
                    }
                }
            });
        }
    }
    Ok(response)
}

/// Renews on two threads at once, many times.
fn race(session: &ws::Session, oauth2: &OAuth2, first: &str, second: &str) {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        for token in [first, second] {
            let session = session.clone();
            scope.spawn(|| {
                let session = session;
                for _ in 0..100 {
                    start.wait();
                    session.renew(oauth2, token).now_or_never().unwrap().unwrap();
                }
            });
        }
    });
}

struct Setup {
    server: LocalServer,
    counts: Counts,
    clock: ManualClock,
    oauth2: OAuth2,
}

impl Setup {
    fn new() -> Self {
        Self::with_request_timeout(Duration::from_secs(30))
    }

    fn with_request_timeout(request_timeout: Duration) -> Self {
        let clock = ManualClock::new();
        let counts = Counts::default();
        let keys = key(Algorithm::ES256).jwk_set();
        let oauth2 = policy::builder()
            .provider("p", Provider::new().issuer(ISSUER).audience("api").keys(keys))
            .token_cache(TokenCacheConfig::new())
            .leeway(Duration::ZERO)
            .clock(clock.clone())
            .build()
            .unwrap();
        let (shared, policy) = (counts.clone(), oauth2.clone());
        let server = LocalServer::start(move |listener| {
            let connections = Arc::clone(&shared.connections);
            let app = move || {
                let requests = Arc::clone(&shared.requests);
                App::new()
                    .wrap(policy.clone())
                    .wrap_fn(move |request, service| {
                        requests.fetch_add(1, SeqCst);
                        service.call(request)
                    })
                    .app_data(web::Data::new(shared.clone()))
                    .app_data(web::Data::new(policy.clone()))
                    .default_service(web::get().to(session))
            };
            Ok(HttpServer::new(app)
                .workers(1)
                .client_request_timeout(request_timeout)
                .on_connect(move |_, extensions| {
                    extensions.insert(Counted::new(&connections));
                })
                .listen(listener)?
                .run())
        })
        .unwrap();
        Self { server, counts, clock, oauth2 }
    }

    fn token(&self, lives: Duration) -> Token {
        let now = self.clock.unix_seconds();
        Token::new(ISSUER, "api").claim("iat", now).claim("exp", now + lives.as_secs())
    }

    async fn connect(&self) -> Client {
        Client::connect(self.server.address()).await
    }

    /// A session whose token lives for a minute.
    async fn open(&self, path: &str) -> Client {
        let mut client = self.connect().await;
        client.send(handshake(path, &sign(&self.token(MINUTE))).as_bytes()).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// `/flood` has filled every buffer on the way: nothing was sent for a while, in which the only
    /// worker has served many others.
    async fn stalls(&self) {
        let filling = async {
            let (mut last, mut since, mut turns) = (0, Instant::now(), 0);
            while last == 0 || turns < 50 || since.elapsed() < Duration::from_millis(300) {
                let mut other = self.connect().await;
                other.send(b"GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n").await;
                assert!(other.rest().await.starts_with(b"HTTP/1.1 400 "));
                turns += 1;
                let sent = self.counts.sent.load(SeqCst);
                if sent != last {
                    (last, since, turns) = (sent, Instant::now(), 0);
                }
            }
        };
        timeout(PATIENCE, filling).await.expect("nothing more can be sent");
        until("the others have gone", || self.counts.connections.load(SeqCst) == 1).await;
    }

    /// Nothing is left of any client.
    async fn is_empty(&self) {
        until("the handlers have ended", || self.counts.tasks.load(SeqCst) == 0).await;
        until("no timer is left", || self.clock.sleepers() == 0).await;
        until("no connection is left", || self.counts.connections.load(SeqCst) == 0).await;
    }
}

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

fn handshake(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

/// A masked frame whose first byte is this.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65_536 => {
            frame.push(0xfe);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0xff);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;

struct Client(TcpStream);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.0.write_all(bytes)).await.expect("it takes it").unwrap();
    }

    /// Whether the server still took it.
    async fn try_send(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.0.write_all(bytes)).await.expect("it takes it or is gone").is_ok()
    }

    async fn byte(&mut self) -> u8 {
        timeout(PATIENCE, self.0.read_u8()).await.expect("it says something").unwrap()
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte().await);
        }
        String::from_utf8(head).unwrap()
    }

    /// The next frame: its first byte and payload.
    async fn hear(&mut self) -> (u8, Vec<u8>) {
        let first = self.byte().await;
        let length = match self.byte().await {
            126 => usize::from(self.byte().await) << 8 | usize::from(self.byte().await),
            length @ ..126 => usize::from(length),
            length => panic!("{length} is no length of ours"),
        };
        let mut payload = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut payload)).await.expect("all of it").unwrap();
        (first, payload)
    }

    async fn hear_text(&mut self) -> String {
        let (first, payload) = self.hear().await;
        assert_eq!(first, TEXT);
        String::from_utf8(payload).unwrap()
    }

    /// Everything until the other side closes; a reset is an end as well.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("it ends");
        rest
    }
}

#[tokio::test]
async fn client_that_ignores_the_close_frame_is_disconnected() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    setup.clock.advance(MINUTE);
    assert_eq!(client.hear().await, (CLOSE, EXPIRED[2..].to_vec()));
    // It says nothing and leaves its side open. actix gives it a second.
    setup.is_empty().await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn half_closed_connection_ends_with_its_token() {
    let setup = Setup::new();
    let mut client = setup.open("/feed").await;
    assert_eq!(client.hear_text().await, "tick");
    client.0.shutdown().await.unwrap();
    until("the half that hears has ended", || setup.counts.tasks.load(SeqCst) == 1).await;
    assert_eq!(client.hear_text().await, "tick");
    setup.clock.advance(MINUTE);
    assert!(client.rest().await.ends_with(EXPIRED));
    setup.is_empty().await;
}

#[tokio::test]
async fn connection_after_a_protocol_error_ends_with_its_token() {
    let setup = Setup::new();
    let mut client = setup.open("/feed").await;
    client.send(&frame(0x83, b"a reserved opcode")).await;
    until("the half that hears has ended", || setup.counts.tasks.load(SeqCst) == 1).await;
    assert_eq!(client.hear_text().await, "tick");
    setup.clock.advance(MINUTE);
    assert!(client.rest().await.ends_with(EXPIRED));
    setup.is_empty().await;
}

#[tokio::test]
async fn session_without_a_connection_keeps_no_timer() {
    let setup = Setup::new();
    let client = setup.open("/keeps").await;
    until("a timer waits for its end", || setup.clock.sleepers() == 1).await;
    client.0.set_zero_linger().unwrap();
    drop(client);
    until("no timer is left", || setup.clock.sleepers() == 0).await;
    // Though the handler still has the session.
    assert_eq!(setup.counts.tasks.load(SeqCst), 1);
    setup.counts.release.notify_one();
    setup.is_empty().await;
}

#[tokio::test]
async fn stream_of_messages_ends_after_an_error() {
    // Also by a handler that passes over it, which would else hear it for ever.
    let setup = Setup::new();
    for wrong in [&frame(0x83, b"reserved")[..], b"\x81\x01x", &frame(0x82, &[0; 70_000])] {
        let mut client = setup.open("/tolerant").await;
        client.send(wrong).await;
        client.try_send(&frame(TEXT, b"one")).await;
        assert_eq!(client.hear_text().await, "what?");
        assert_eq!(client.rest().await, b"");
    }
    setup.is_empty().await;
}

#[tokio::test]
async fn client_that_reads_nothing_keeps_no_task() {
    let setup = Setup::new();
    let client = setup.open("/flood").await;
    setup.stalls().await;
    setup.clock.advance(MINUTE);
    until("the handler has ended", || setup.counts.tasks.load(SeqCst) == 0).await;
    until("no timer is left", || setup.clock.sleepers() == 0).await;
    // What was sent before waits in actix for the client to take it, or to leave.
    assert_eq!(setup.counts.connections.load(SeqCst), 1);
    drop(client);
    setup.is_empty().await;
}

#[tokio::test]
async fn frames_against_the_protocol_end_the_session() {
    let setup = Setup::new();
    let wrong = [
        ("not masked", b"\x81\x01x".to_vec()),
        ("a reserved opcode", frame(0x83, b"x")),
        ("a reserved control opcode", frame(0x8b, b"x")),
        ("a reserved bit", frame(0xc1, b"x")),
        ("longer than 64 KiB", frame(0x82, &[0; 65_537])),
        ("a long ping", frame(PING, &[0; 126])),
        ("a ping in parts", frame(0x09, b"x")),
        ("the middle of nothing", frame(0x00, b"x")),
        ("the end of nothing", frame(0x80, b"x")),
        ("a beginning within a message", [frame(0x01, b"x"), frame(TEXT, b"y")].concat()),
        ("no UTF-8", frame(TEXT, b"\xff")),
        ("a close code of one byte", frame(CLOSE, b"\x03")),
        ("a close code below 1000", frame(CLOSE, b"\x03\xe7")),
        ("a close code that is none on the wire", frame(CLOSE, b"\x03\xed")),
        ("a close reason that is no UTF-8", frame(CLOSE, b"\x03\xe8\xff")),
        ("a length of 2^63", b"\x82\xff\x80\0\0\0\0\0\0\0mask".to_vec()),
    ];
    let count = wrong.len();
    let setup = &setup;
    join_all(wrong.map(|(what, wrong)| async move {
        let mut client = setup.open("/").await;
        client.send(&wrong).await;
        assert_eq!(client.rest().await, b"", "{what}");
    }))
    .await;
    assert_eq!(setup.counts.begun.load(SeqCst), count);
    // The beginning of a message may be.
    assert!(setup.counts.heard.load(SeqCst) <= 1);
    setup.is_empty().await;
}

#[tokio::test]
async fn frame_over_the_size_limit_ends_the_session_at_once() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    // Of a terabyte, nothing comes.
    client.send(b"\x82\xff\0\0\x01\0\0\0\0\0mask").await;
    until("the handler has ended", || setup.counts.tasks.load(SeqCst) == 0).await;
    assert_eq!(setup.counts.heard.load(SeqCst), 0);
    assert_eq!(client.rest().await, b"");
    setup.is_empty().await;
}

#[tokio::test]
async fn message_over_the_size_limit_ends_the_session() {
    let setup = Setup::new();
    let mut client = setup.open("/whole").await;
    // 1 MiB is the most.
    client.send(&frame(0x02, &[0; 65_536])).await;
    for _ in 0..15 {
        client.send(&frame(0x00, &[0; 65_536])).await;
    }
    client.send(&frame(PING, b"")).await;
    until("all of it is there", || setup.counts.heard.load(SeqCst) == 1).await;
    client.send(&frame(0x00, &[0; 1])).await;
    until("the handler has ended", || setup.counts.tasks.load(SeqCst) == 0).await;
    assert_eq!(setup.counts.heard.load(SeqCst), 1);
    assert_eq!(client.rest().await, b"");
    setup.is_empty().await;
}

#[tokio::test]
async fn pings_sent_at_once_are_answered_in_order() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    let pings: Vec<u8> =
        (0..5000_u16).flat_map(|number| frame(PING, &number.to_be_bytes())).collect();
    client.send(&pings).await;
    for number in 0..5000_u16 {
        assert_eq!(client.hear().await, (0x8a, number.to_be_bytes().to_vec()));
    }
    client.send(&frame(TEXT, b"still here")).await;
    assert_eq!(client.hear_text().await, "echo still here");
    drop(client);
    setup.is_empty().await;
}

#[tokio::test]
async fn handshake_sent_byte_by_byte_is_decided_once() {
    let setup = Setup::new();
    for (token, answer) in [
        (sign(&setup.token(MINUTE)), &b""[..]),
        (sign(&setup.token(MINUTE).claim("aud", "another")), b"\x88\x0f\x03\xf0invalid token"),
    ] {
        let before = setup.counts.requests.load(SeqCst);
        let mut client = setup.connect().await;
        for byte in handshake("/", &token).as_bytes() {
            client.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        client.send(&frame(CLOSE, b"")).await;
        client.0.shutdown().await.unwrap();
        assert_eq!(client.rest().await, answer);
        assert_eq!(setup.counts.requests.load(SeqCst), before + 1);
    }
    assert_eq!(setup.counts.begun.load(SeqCst), 1);
    setup.is_empty().await;
}

#[tokio::test]
async fn incomplete_handshake_times_out() {
    let setup = Setup::with_request_timeout(Duration::from_millis(300));
    let mut client = setup.connect().await;
    let handshake = handshake("/", &sign(&setup.token(MINUTE)));
    // All but the last byte.
    client.send(&handshake.as_bytes()[..handshake.len() - 1]).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(setup.counts.requests.load(SeqCst), 0);
    setup.is_empty().await;
}

#[tokio::test]
async fn frames_sent_with_the_handshake_are_received() {
    let setup = Setup::new();
    let mut client = setup.connect().await;
    let handshake = handshake("/", &sign(&setup.token(MINUTE)));
    client.send(&[handshake.as_bytes(), &frame(TEXT, b"one"), &frame(TEXT, b"two")].concat()).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.hear_text().await, "echo one");
    assert_eq!(client.hear_text().await, "echo two");
    drop(client);
    setup.is_empty().await;
}

#[tokio::test]
async fn bytes_after_a_rejected_handshake_are_no_request() {
    let setup = Setup::new();
    let refused = handshake("/", "x.y.z");
    let next = handshake("/", &sign(&setup.token(MINUTE)));
    for follows in [frame(TEXT, b"one"), next.into_bytes()] {
        let before = setup.counts.requests.load(SeqCst);
        let mut client = setup.connect().await;
        client.send(&[refused.as_bytes(), &follows].concat()).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        assert_eq!(client.rest().await, b"\x88\x0f\x03\xf0invalid token");
        assert_eq!(setup.counts.requests.load(SeqCst), before + 1);
    }
    assert_eq!(setup.counts.begun.load(SeqCst), 0);
    setup.is_empty().await;
}

#[tokio::test]
async fn request_that_actix_does_not_upgrade_gets_a_plain_response() {
    let setup = Setup::new();
    for (from, into) in [
        // More than one protocol: what follows is read as a request.
        ("Upgrade: websocket", "Upgrade: websocket, other"),
        ("Upgrade: websocket", "Upgrade: websockets"),
        ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: other"),
        // RFC 9110 §7.8
        ("HTTP/1.1", "HTTP/1.0"),
    ] {
        for (token, status) in [("x.y.z", "401"), (&sign(&setup.token(MINUTE)), "400")] {
            let mut client = setup.connect().await;
            client.send(handshake("/", token).replacen(from, into, 1).as_bytes()).await;
            let head = client.head().await;
            assert_eq!(head.split(' ').nth(1), Some(status), "{into} {head}");
        }
    }
    assert_eq!(setup.counts.begun.load(SeqCst), 0);
    setup.is_empty().await;
}

#[tokio::test]
async fn rejected_renewals_leave_session_and_cache_unchanged() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    let bad = setup.token(60 * MINUTE).claim("aud", "another");
    for number in 0..3000 {
        let (token, reason) = match number % 3 {
            0 => (sign(&bad.clone().claim("jti", number.to_string())), "audience_mismatch"),
            1 => (format!("{number}.y.z"), "token_malformed"),
            _ => ("x".repeat(20_000), "token_too_long"),
        };
        client.send(&frame(TEXT, format!("renew {token}").as_bytes())).await;
        assert_eq!(client.hear_text().await, reason);
    }
    // None of them is remembered.
    assert_eq!(setup.oauth2.token_cache_status().entries, 1);
    setup.clock.advance(MINUTE);
    assert_eq!(client.rest().await, EXPIRED);
    setup.is_empty().await;
}

#[tokio::test]
async fn concurrent_renewals_leave_claims_and_end_of_one_token() {
    let setup = Setup::new();
    let mut client = setup.open("/").await;
    let token =
        |jti: &str, minutes: u32| sign(&setup.token(minutes * MINUTE).claim("jti", jti.to_owned()));
    let race = format!("race {} {}", token("ten", 10), token("twenty", 20));
    client.send(&frame(TEXT, race.as_bytes())).await;
    let lasts = match client.hear_text().await.as_str() {
        "\"ten\"" => 10,
        "\"twenty\"" => 20,
        other => panic!("{other}"),
    };
    setup.clock.advance(lasts * MINUTE - Duration::from_secs(1));
    client.send(&frame(TEXT, b"one")).await;
    assert_eq!(client.hear_text().await, "echo one");
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(client.rest().await, EXPIRED);
    setup.is_empty().await;
}
