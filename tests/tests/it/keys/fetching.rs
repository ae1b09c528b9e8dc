//! Keys from a URL: one fetch for many requests, bounded, and on a thread of its own.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use actix_web::{App, HttpServer, web};
use oauth2_actix::{
    Algorithm, ErrorKind, Keys, OAuth2, Provider,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{LocalServer, ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    api::{self, Api},
    client::{self, Connection},
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
    wait::PATIENCE,
};
use serde_json::json;

const ISSUER: &str = "https://idp.test";

fn provider(server: &KeyServer) -> Provider {
    Provider::new().issuer(ISSUER).audience("api").keys(server.url())
}

fn good_keys() -> Answer {
    Answer::json(&key(Algorithm::ES256).jwk_set())
}

fn good_token() -> String {
    Token::new(ISSUER, "api").expires_in(100 * 86_400).sign(key(Algorithm::ES256))
}

async fn kind(oauth2: &OAuth2, token: &str) -> Option<ErrorKind> {
    oauth2.verify(token).await.err().map(|error| error.kind().clone())
}

fn is_unavailable(kind: &Option<ErrorKind>) -> bool {
    matches!(kind, Some(ErrorKind::KeysUnavailable { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_at_cold_start_cause_one_fetch() {
    let (answer, release) = good_keys().held();
    let server = KeyServer::start(answer).unwrap();
    let oauth2 = policy::builder()
        .provider("p", provider(&server))
        .clock(ManualClock::new())
        .build()
        .unwrap();
    assert_eq!(server.requests(), 0, "nothing is fetched before a request needs it");
    let api = Api::start(oauth2);
    let client = client::client();
    let requests: Vec<_> = (0..500)
        .map(|_| {
            let request = client.get(api.url("/me")).bearer_auth(good_token());
            tokio::spawn(client::send(request))
        })
        .collect();
    server.wait_for_requests(1);
    release.release();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(server.requests(), 1);
    assert_eq!(api.private_calls(), 500);
}

#[tokio::test]
async fn blocked_worker_does_not_delay_the_fetch_of_another() {
    let (answer, release) = good_keys().held();
    let server = KeyServer::start(answer).unwrap();
    let oauth2 = policy::builder()
        .provider("p", provider(&server))
        .public_paths(["/worker", "/block"])
        .clock(ManualClock::new())
        .build()
        .unwrap();
    // The blocking handler signals that it blocks, and continues on a signal.
    let (blocked, is_blocked) = mpsc::channel::<()>();
    let (unblock, resume) = mpsc::channel::<()>();
    let block = web::Data::new((Mutex::new(blocked), Mutex::new(resume)));
    type Block = (Mutex<mpsc::Sender<()>>, Mutex<mpsc::Receiver<()>>);
    let api = LocalServer::start(move |listener| {
        let app = move || {
            App::new()
                .app_data(block.clone())
                .configure(api::routes)
                .route(
                    "/worker",
                    web::get().to(|| async { format!("{:?}", std::thread::current().id()) }),
                )
                .route(
                    "/block",
                    web::get().to(|block: web::Data<Block>| async move {
                        block.0.lock().unwrap().send(()).unwrap();
                        let _ = block.1.lock().unwrap().recv_timeout(2 * PATIENCE);
                        "unblocked"
                    }),
                )
                .wrap(oauth2.clone())
        };
        Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
    })
    .unwrap();

    // Connections stay with their worker: two of one worker, and one of the other.
    let mut by_worker: HashMap<String, Vec<Connection>> = HashMap::new();
    for _ in 0..16 {
        let mut connection = Connection::open(api.address());
        connection.get("/worker", None);
        let worker = connection.answer().body;
        by_worker.entry(worker).or_default().push(connection);
    }
    let mut workers = by_worker.into_values();
    let (mut one, mut other) = (workers.next().unwrap(), workers.next().unwrap());
    let (mut fetches, mut blocks, mut waits) =
        (one.pop().unwrap(), one.pop().unwrap(), other.pop().unwrap());

    // A request of one worker causes the fetch, and a handler then blocks that worker.
    fetches.get("/me", Some(&good_token()));
    server.wait_for_requests(1);
    blocks.get("/block", None);
    is_blocked.recv_timeout(PATIENCE).unwrap();
    waits.get("/me", Some(&good_token()));
    release.release();
    // The first worker is still blocked: it continues below, or after more time than this waits.
    assert_eq!(waits.answer().status, 200);
    unblock.send(()).unwrap();
    assert_eq!(fetches.answer().status, 200);
    assert_eq!(blocks.answer().body, "unblocked");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn dropped_request_does_not_cancel_the_fetch() {
    let (answer, release) = good_keys().held();
    let server = KeyServer::start(answer).unwrap();
    let oauth2 = policy::builder()
        .provider("p", provider(&server))
        .clock(ManualClock::new())
        .build()
        .unwrap();
    let first = tokio::spawn({
        let oauth2 = oauth2.clone();
        async move { oauth2.verify(&good_token()).await }
    });
    let server = tokio::task::spawn_blocking(move || {
        server.wait_for_requests(1);
        server
    });
    let server = server.await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    release.release();
    // The server has no keys any more, so that they are from the first fetch.
    server.answer(Answer::status(500));
    assert_eq!(kind(&oauth2, &good_token()).await, None);
}

#[tokio::test]
async fn invalid_document_is_503_and_logged_and_retried() {
    log::keep();
    let document = key(Algorithm::ES256).jwk_set().to_string();
    let endless = |length: usize| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        bytes.resize(bytes.len() + length, b' ');
        bytes
    };
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 50 * 1024 * 1024);
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    for (index, (answer, cause)) in [
        (Answer::body(200, &[("content-type", "text/html")], b"<html>x</html>"), "neither JSON"),
        (Answer::body(200, &[], b""), "empty"),
        (Answer::body(200, &[], &document.as_bytes()[..document.len() - 2]), "not valid JSON"),
        (Answer::json(&json!({"keys": []})), "no keys"),
        (Answer::json(&json!({"keys": [{"kty": "oct", "k": "AA"}]})), "no usable key"),
        (Answer::json(&json!({"error": "x"})), "neither a JWK set"),
        (good_keys().truncated(150), "body of the response broke off"),
        (Answer::raw(endless(2 * 1024 * 1024)), "larger than"),
        (Answer::raw(announced), "larger than"),
        (
            Answer::body(200, &[("content-encoding", "gzip")], b"\x1f\x8b\x08\x00"),
            "decoded as gzip",
        ),
        (Answer::redirect(301, &elsewhere.url()), "redirects"),
        (Answer::redirect(302, &elsewhere.url()), "redirects"),
        (Answer::redirect(307, "http://169.254.169.254/"), "redirects"),
        (Answer::redirect(308, "/jwks.json"), "redirects"),
        (Answer::status(204), "status is 204"),
        (Answer::status(404), "status is 404"),
        (Answer::status(500), "status is 500"),
        (Answer::body(201, &[], document.as_bytes()), "status is 201"),
        (Answer::raw("SSH-2.0-OpenSSH_9\r\n"), "no response"),
        (Answer::raw(""), "no response"),
        (Answer::reset(), "no response"),
    ]
    .into_iter()
    .enumerate()
    {
        let server = KeyServer::start(answer).unwrap();
        let clock = ManualClock::new();
        let name = format!("bad-document-{index}-");
        let oauth2 = policy::builder()
            .provider(&name, provider(&server))
            .clock(clock.clone())
            .build()
            .unwrap();
        let rejected = kind(&oauth2, &good_token()).await;
        assert!(is_unavailable(&rejected), "{cause}: {rejected:?}");
        let logged = log::lines_with(&["WARN", "keys cannot be fetched", &name, cause]);
        assert_eq!(logged.len(), 1, "{cause}: {:?}", log::lines_with(&[&name]));

        // Nothing is fetched within the backoff; the next request after it succeeds.
        server.answer(good_keys());
        assert!(is_unavailable(&kind(&oauth2, &good_token()).await));
        assert_eq!(server.requests(), 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(kind(&oauth2, &good_token()).await, None, "{cause}");
        assert_eq!(server.requests(), 2);
    }
    assert_eq!(elsewhere.requests(), 0, "redirects are not followed");
}

#[tokio::test]
async fn slow_server_times_out_after_five_seconds() {
    log::keep();
    for (name, answer) in
        [("hangs-", Answer::hang()), ("drips-", good_keys().dripping(Duration::from_millis(200)))]
    {
        let server = KeyServer::start(answer).unwrap();
        let clock = ManualClock::new();
        let oauth2 = policy::builder()
            .provider(name, provider(&server))
            .clock(clock.clone())
            .build()
            .unwrap();
        let waiting = tokio::spawn({
            let oauth2 = oauth2.clone();
            async move { kind(&oauth2, &good_token()).await }
        });
        let server = tokio::task::spawn_blocking(move || {
            server.wait_for_requests(1);
            server
        })
        .await
        .unwrap();
        clock.advance(Duration::from_millis(4_900));
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_millis(100));
        assert!(is_unavailable(&waiting.await.unwrap()), "{name}");
        assert_eq!(log::lines_with(&["WARN", name, "no complete answer within 5 s"]).len(), 1);
        drop(server);
    }
}

#[tokio::test]
async fn unreachable_server_is_503_with_the_cause_in_the_log() {
    log::keep();
    let server = KeyServer::start(good_keys()).unwrap();
    let url = server.url();
    drop(server);
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(url);
    let oauth2 = policy::builder().provider("not-there", provider).build().unwrap();
    // The listener may close with a delay.
    let deadline = Instant::now() + PATIENCE;
    while log::lines_with(&["not-there", "refused"]).is_empty() {
        assert!(is_unavailable(&kind(&oauth2, &good_token()).await));
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test]
async fn addresses_in_a_token_are_never_fetched() {
    let trap = KeyServer::start(good_keys()).unwrap();
    let server = KeyServer::start(good_keys()).unwrap();
    let oauth2 =
        policy::builder().provider("p", provider(&server)).key_refresh_minutes(30).build().unwrap();
    let forged = SigningKey::generate(Algorithm::ES256, "ES256");
    for (name, value) in [
        ("jku", json!(trap.url())),
        ("x5u", json!(trap.url())),
        ("jwk", forged.public_jwk()),
        ("x5c", json!([forged.certificate_pem()])),
        ("kid", json!(trap.url())),
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!("\u{0}\r\n")),
        ("kid", json!("x".repeat(10_000))),
    ] {
        let token = Token::new(ISSUER, "api").header(name, value).sign(&forged);
        assert!(oauth2.verify(&token).await.is_err());
        let token = Token::new(&trap.url(), "api").sign(&forged);
        assert!(oauth2.verify(&token).await.is_err());
    }
    assert_eq!(trap.requests(), 0);
    assert_eq!(kind(&oauth2, &good_token()).await, None);
}

#[tokio::test]
async fn token_that_fails_a_claim_check_causes_no_fetch() {
    let server = KeyServer::start(good_keys()).unwrap();
    let oauth2 = policy::builder()
        .provider("p", provider(&server))
        .key_refresh(Duration::ZERO)
        .build()
        .unwrap();
    let good = || Token::new(ISSUER, "api");
    for token in [
        good().expires_in(-1),
        good().claim("nbf", 4_000_000_000_u64),
        good().claim("aud", "x"),
        good().claim("iss", "x"),
        good().header("alg", "HS256"),
        good().header("alg", "none"),
        good().header("typ", "x"),
    ] {
        assert!(oauth2.verify(&token.sign(key(Algorithm::ES256))).await.is_err());
    }
    assert!(oauth2.verify("x.y.z").await.is_err());
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn public_request_starts_a_fetch_without_waiting() {
    let (answer, release) = good_keys().held();
    let server = KeyServer::start(answer).unwrap();
    let oauth2 = policy::builder()
        .provider("p", provider(&server))
        .public_paths(["/optional"])
        .clock(ManualClock::new())
        .build()
        .unwrap();
    let api = Api::start(oauth2);
    let url = api.url("/optional");
    for _ in 0..3 {
        assert_eq!(client::get(&url, Some(&good_token())).await.body, "anonymous");
    }
    server.wait_for_requests(1);
    release.release();
    let deadline = Instant::now() + PATIENCE;
    while client::get(&url, Some(&good_token())).await.body != "user-1" {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(server.requests(), 1);
}

#[test]
fn fetching_thread_ends_with_the_last_clone() {
    // Other tests of this process have such threads too, so that only large numbers are compared.
    let server = KeyServer::start(Answer::hang()).unwrap();
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.trim() == "oauth2-keys")
            .count()
    };
    let policies: Vec<OAuth2> = (0..200)
        .map(|_| policy::builder().provider("p", provider(&server)).build().unwrap())
        .collect();
    let clones = policies.clone();
    assert!(threads() >= 200);
    drop(policies);
    assert!(threads() >= 200, "clones keep the thread");
    drop(clones);
    let deadline = Instant::now() + PATIENCE;
    while threads() >= 100 {
        assert!(Instant::now() < deadline, "{} threads are left", threads());
        std::thread::sleep(Duration::from_millis(5));
    }
    // Without anything to fetch, there is no thread. No other test builds 100 policies at once.
    let inline =
        || Provider::new().issuer(ISSUER).audience("api").keys(key(Algorithm::ES256).jwk_set());
    let policies: Vec<OAuth2> =
        (0..200).map(|_| policy::builder().provider("p", inline()).build().unwrap()).collect();
    assert!(threads() < 100);
    drop(policies);
}

#[test]
fn policy_dropped_during_a_fetch_ends_its_waiters() {
    let server = KeyServer::start(Answer::hang()).unwrap();
    let oauth2 = policy::builder().provider("p", provider(&server)).build().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.spawn({
        let oauth2 = oauth2.clone();
        async move { oauth2.verify(&good_token()).await }
    });
    server.wait_for_requests(1);
    // The runtime of the request is dropped during the wait; nothing panics or hangs.
    runtime.shutdown_timeout(PATIENCE);
    drop(oauth2);
}

/// A tenant for each issuer, with keys from this server or inline.
struct SetOf(String, serde_json::Value);

impl TenantLookup for SetOf {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        let keys = match issuer {
            "https://fetched.test" => Keys::from(self.0.clone()),
            _ => Keys::from(self.1.clone()),
        };
        let provider = Provider::new().issuer(issuer).audience("api").keys(keys);
        Ok(Some(Tenant::new(issuer, provider)))
    }
}

#[tokio::test]
async fn key_set_of_a_tenant_over_64_keys_is_rejected() {
    let good = key(Algorithm::ES256);
    for (count, is_read) in [(64, true), (65, false)] {
        let set = json!({"keys": vec![good.public_jwk(); count]});
        let server = KeyServer::start(Answer::json(&set)).unwrap();
        let oauth2 = policy::builder()
            .provider("p", provider(&server))
            .tenants(Tenants::new(SetOf(server.url(), set)))
            .key_refresh_minutes(60)
            .build()
            .unwrap();
        for issuer in ["https://fetched.test", "https://inline.test"] {
            let accepted = oauth2.verify(&Token::new(issuer, "api").sign(good)).await.is_ok();
            assert_eq!(accepted, is_read, "{count} keys of {issuer}");
        }
        // A configured provider may have more.
        assert_eq!(kind(&oauth2, &good_token()).await, None);
    }
}
