//! A load of requests with DPoP proofs over HTTP: no proof is accepted twice, and no good one is rejected.
//!
//! `cargo run --release -p oauth2-actix-bench --bin proofs [SECONDS]`, with the store in memory;
//! with `--features redis` also with a server of Redis that it starts.

// A measuring program panics where its own assumptions fail.
#![allow(clippy::unwrap_used)]

use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use oauth2_actix::{
    Algorithm, Binding, OAuth2, Provider,
    dpop::{Dpop, MemoryReplayStore},
    testing::{DpopProof, LocalServer, SigningKey, Token},
};
use oauth2_actix_bench::{report::Report, statistics};

/// The requests in a second.
const RATE: u32 = 5_000;
/// The connections of the clients, each in a thread.
const CONNECTIONS: u32 = 16;
/// The keys of a connection's clients, which they use in turn.
const KEYS: usize = 4;
/// One request of so many is sent again.
const REPLAYED: u32 = 50;

fn main() -> ExitCode {
    let seconds = env::args().nth(1).map_or(60, |seconds| seconds.parse().unwrap());
    let duration = Duration::from_secs(seconds);
    let mut report = Report::default();
    report.heading(format_args!("the store in memory, {RATE} proofs/s for {seconds} s"));
    run(&mut report, Dpop::new().replay_store(MemoryReplayStore::new()), duration);
    #[cfg(feature = "redis")]
    {
        use oauth2_actix::{dpop::RedisReplayStore, store::RedisServer};

        let server = oauth2_actix_tests::redis_server::Server::start();
        server.remember_long();
        let redis = RedisServer::new(server.url()).connect().unwrap();
        report.heading(format_args!("the store in Redis, {RATE} proofs/s for {seconds} s"));
        run(&mut report, Dpop::new().replay_store(RedisReplayStore::new(&redis)), duration);
    }
    report.end()
}

fn run(report: &mut Report, dpop: Dpop, duration: Duration) {
    let issuer = SigningKey::generate(Algorithm::ES256, "1");
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .keys(issuer.jwk_set())
        .dpop(Binding::Required);
    let oauth2 = OAuth2::builder()
        .provider("idp", provider)
        .dpop(dpop.base_url("https://api.test"))
        .build()
        .unwrap();
    let server = LocalServer::start(move |listener| {
        let app =
            move || App::new().route("/", web::get().to(HttpResponse::Ok)).wrap(oauth2.clone());
        Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
    })
    .unwrap();
    wait_until_ready(server.address(), &issuer);
    let started = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (address, issuer) = (server.address(), issuer.clone());
            thread::spawn(move || Client::new(address, &issuer).send(duration))
        })
        .collect();
    let results: Vec<Results> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let rate = f64::from(results.iter().map(|it| it.accepted).sum::<u32>())
        / started.elapsed().as_secs_f64();
    let sum = |count: fn(&Results) -> u32| results.iter().map(count).sum::<u32>();
    let expected = f64::from(RATE) * 0.98;
    let reached = format!("{rate:.0}/s");
    report.bound(
        "good proofs accepted",
        reached,
        format_args!("at least {expected:.0}/s"),
        rate >= expected,
    );
    let rejected = sum(|it| it.rejected);
    report.bound("good proofs rejected", rejected, "none", rejected == 0);
    let replays = format!("{} of {}", sum(|it| it.replays_accepted), sum(|it| it.replays));
    report.bound("replays accepted", replays, "none", sum(|it| it.replays_accepted) == 0);
    let mut times: Vec<Duration> = results.into_iter().flat_map(|it| it.times).collect();
    times.sort_unstable();
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let time = statistics::percentile(share, &times);
        report.figure(name, format_args!("{:.2} ms", time.as_secs_f64() * 1e3));
    }
}

/// A new Redis is asked for some seconds before it can say that nothing was forgotten.
fn wait_until_ready(address: SocketAddr, issuer: &SigningKey) {
    let mut client = Client::new(address, issuer);
    let deadline = Instant::now() + Duration::from_secs(60);
    while client.request(0).0 != 200 {
        assert!(Instant::now() < deadline, "the API is not ready");
        thread::sleep(Duration::from_millis(100));
    }
}

#[derive(Default)]
struct Results {
    accepted: u32,
    rejected: u32,
    replays: u32,
    replays_accepted: u32,
    /// From the first byte of a request to the last of its response.
    times: Vec<Duration>,
}

struct Client {
    stream: TcpStream,
    keys: Vec<(SigningKey, String)>,
}

impl Client {
    fn new(address: SocketAddr, issuer: &SigningKey) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let key = || {
            let key = SigningKey::generate(Algorithm::ES256, "client");
            let token = Token::new("https://idp.test", "api").expires_in(3_600).bound_to(&key);
            let token = token.sign(issuer);
            (key, token)
        };
        Self { stream, keys: (0..KEYS).map(|_| key()).collect() }
    }

    fn send(mut self, duration: Duration) -> Results {
        let mut results = Results::default();
        let start = Instant::now();
        let interval = Duration::from_secs(1) * CONNECTIONS / RATE;
        for number in 0.. {
            let due = interval * number;
            if due >= duration {
                break;
            }
            thread::sleep(due.saturating_sub(start.elapsed()));
            let (status, bytes, time) = self.request(number as usize);
            results.times.push(time);
            if status == 200 {
                results.accepted += 1;
            } else {
                results.rejected += 1;
            }
            if number % REPLAYED == 0 {
                results.replays += 1;
                results.replays_accepted += u32::from(self.exchange(&bytes) == 200);
            }
        }
        results
    }

    /// Sends a request with a fresh proof.
    fn request(&mut self, number: usize) -> (u16, Vec<u8>, Duration) {
        let (key, token) = &self.keys[number % KEYS];
        let proof = DpopProof::new("GET", "https://api.test/", token).sign(key);
        let bytes = format!(
            "GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n\r\n"
        )
        .into_bytes();
        let start = Instant::now();
        let status = self.exchange(&bytes);
        (status, bytes, start.elapsed())
    }

    /// Returns the status of the response.
    fn exchange(&mut self, bytes: &[u8]) -> u16 {
        self.stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the server has closed the connection");
            answer.extend(&buffer[..count]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return head[9..12].parse().unwrap();
            }
        }
    }
}
