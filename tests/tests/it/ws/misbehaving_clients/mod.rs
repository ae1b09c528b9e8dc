//! WebSocket clients that are slow or break the protocol: the response to them, and that they leave nothing
//! in the server.
//!
//! - `floods_of_renewals`: many renewals at the same time
//! - `frames`: invalid frames, and clients that neither read nor close
//! - `handshakes`: slow, incomplete or invalid handshakes

mod floods_of_renewals;
mod frames;
mod handshakes;

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

/// Counts itself until it is dropped.
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
    /// Handlers that ran.
    begun: Arc<AtomicUsize>,
    /// Tasks of handlers that are alive.
    tasks: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    /// Messages that handlers received.
    received: Arc<AtomicUsize>,
    /// Messages that `/flood` sent.
    sent: Arc<AtomicUsize>,
    /// Requests that reached the middleware.
    requests: Arc<AtomicUsize>,
    /// Ends the task of `/keeps`.
    release: Arc<Notify>,
}

/// The path selects the behavior: `/flood` only sends, `/feed` sends and receives in two tasks, `/keeps` does
/// neither, `/whole` aggregates messages, `/tolerant` ignores errors; the others echo, renew, and answer
/// pings.
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
                    counts.received.fetch_add(1, SeqCst);
                }
            });
        }
        "/tolerant" => {
            rt::spawn(async move {
                let _alive = alive;
                while let Some(message) = messages.recv().await {
                    let said = if message.is_ok() { "received" } else { "error" };
                    let _ = session.text(said).await;
                }
            });
        }
        _ => {
            rt::spawn(async move {
                let _alive = alive;
                while let Some(Ok(message)) = messages.recv().await {
                    counts.received.fetch_add(1, SeqCst);
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

/// Renews on two threads at the same time, repeatedly.
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

    /// Opens a session whose token is valid for a minute.
    async fn open(&self, path: &str) -> Client {
        let mut client = self.connect().await;
        client.send(handshake(path, &sign(&self.token(MINUTE))).as_bytes()).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// Waits until `/flood` has filled every buffer: nothing was sent for a while, in which the only worker
    /// served many other requests.
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
        until("the other connections are closed", || self.counts.connections.load(SeqCst) == 1)
            .await;
    }

    /// Waits until nothing is left of any client.
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

/// Builds a masked frame with this first byte.
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
        timeout(PATIENCE, self.0.write_all(bytes)).await.expect("the server reads").unwrap();
    }

    /// Returns whether the server still read it.
    async fn try_send(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.0.write_all(bytes))
            .await
            .expect("the server reads or closes")
            .is_ok()
    }

    async fn byte(&mut self) -> u8 {
        timeout(PATIENCE, self.0.read_u8()).await.expect("a message").unwrap()
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte().await);
        }
        String::from_utf8(head).unwrap()
    }

    /// Returns the first byte and the payload of the next frame.
    async fn receive(&mut self) -> (u8, Vec<u8>) {
        let first = self.byte().await;
        let length = match self.byte().await {
            126 => usize::from(self.byte().await) << 8 | usize::from(self.byte().await),
            length @ ..126 => usize::from(length),
            length => panic!("{length} is not an expected length"),
        };
        let mut payload = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut payload)).await.expect("all of it").unwrap();
        (first, payload)
    }

    async fn receive_text(&mut self) -> String {
        let (first, payload) = self.receive().await;
        assert_eq!(first, TEXT);
        String::from_utf8(payload).unwrap()
    }

    /// Reads until the other side closes or resets the connection.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("it ends");
        rest
    }
}
