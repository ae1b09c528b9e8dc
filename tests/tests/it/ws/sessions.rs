//! WebSocket sessions: they end with their token, and another token renews them.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use oauth2_actix::{
    Algorithm, OAuth2, OAuth2Builder, Provider, requirement,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{LocalServer, ManualClock, SigningKey, Token},
    ws,
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
    socket::Socket,
    wait::until,
};
use serde_json::json;

const ISSUER: &str = "https://idp.test";
const MINUTE: Duration = Duration::from_secs(60);

/// State that the handlers share.
#[derive(Default)]
struct Room {
    /// Sessions whose task is alive.
    alive: AtomicUsize,
    /// Messages that handlers received.
    received: AtomicUsize,
    /// Whether handlers only send.
    talks_only: AtomicBool,
}

struct Alive(Arc<Room>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Echoes, renews, reports the `jti`; `/strict` requires a scope, `/follow` revalidates.
async fn session(
    request: HttpRequest,
    body: web::Payload,
    oauth2: web::Data<OAuth2>,
    room: web::Data<Room>,
) -> actix_web::Result<HttpResponse> {
    let mut upgrade = ws::upgrade(&request, body);
    if request.path() == "/strict" {
        upgrade = upgrade.require(requirement::scopes(["chat"]));
    }
    if request.path() == "/follow" {
        upgrade = upgrade.revalidate_on_key_change(&oauth2);
    }
    let (response, mut session, mut messages) = upgrade.start()?;
    let room = room.into_inner();
    room.alive.fetch_add(1, Ordering::SeqCst);
    let alive = Alive(room);
    rt::spawn(async move {
        let room = &alive.0;
        if room.talks_only.load(Ordering::SeqCst) {
            while session.text("x".repeat(60_000)).await.is_ok() {}
            return;
        }
        while let Some(Ok(message)) = messages.recv().await {
            room.received.fetch_add(1, Ordering::SeqCst);
            let ws::Message::Text(text) = message else { continue };
            let answer = match text.split_once(' ') {
                Some(("renew", token)) => match session.renew(&oauth2, token).await {
                    Ok(claims) => format!("renewed {}", claims.subject().unwrap()),
                    Err(error) => error.kind_name().to_owned(),
                },
                _ if text == "who" => session.claims().get("jti").unwrap().to_string(),
                _ => format!("echo {text}"),
            };
            if session.text(answer).await.is_err() {
                break;
            }
        }
        assert!(!session.has_ended() || session.text("after the end").await.is_err());
    });
    Ok(response)
}

struct Setup {
    server: LocalServer,
    room: web::Data<Room>,
    clock: ManualClock,
    oauth2: OAuth2,
}

impl Setup {
    fn new(builder: OAuth2Builder) -> Self {
        let clock = ManualClock::new();
        let oauth2 = builder.clock(clock.clone()).build().unwrap();
        let room = web::Data::new(Room::default());
        let (data, policy) = (room.clone(), oauth2.clone());
        let server = LocalServer::start(move |listener| {
            let app = move || {
                App::new()
                    .wrap(policy.clone())
                    .app_data(data.clone())
                    .app_data(web::Data::new(policy.clone()))
                    .default_service(web::get().to(session))
            };
            Ok(HttpServer::new(app).workers(2).listen(listener)?.run())
        })
        .unwrap();
        Self { server, room, clock, oauth2 }
    }

    fn inline() -> Self {
        let provider = |issuer: &str| {
            let keys = key(Algorithm::ES256).jwk_set();
            Provider::new().issuer(issuer).audience("api").keys(keys)
        };
        Self::new(
            policy::builder()
                .provider("p", provider(ISSUER))
                .provider("other", provider("https://other.test"))
                .leeway(Duration::from_secs(5)),
        )
    }

    /// Returns a token that is valid for this time by the setup's clock.
    fn token(&self, lives: Duration) -> Token {
        let now = self.clock.unix_seconds();
        Token::new(ISSUER, "api").claim("iat", now).claim("exp", now + lives.as_secs())
    }

    async fn open(&self, path: &str, token: &str) -> Socket {
        let bearer = format!("Bearer {token}");
        Socket::open(&self.server.url(path), &[("authorization", &bearer)]).await
    }

    async fn all_gone(&self) {
        until("all sessions have ended", || self.room.alive.load(Ordering::SeqCst) == 0).await;
    }
}

fn sign(token: &Token) -> String {
    token.sign(key(Algorithm::ES256))
}

#[tokio::test]
async fn session_ends_at_exp_plus_leeway() {
    let setup = Setup::inline();
    let mut socket = setup.open("/", &sign(&setup.token(MINUTE))).await;
    socket.send("one").await;
    assert_eq!(socket.receive().await, "echo one");
    setup.clock.advance(Duration::from_secs(64));
    socket.send("two").await;
    assert_eq!(socket.receive().await, "echo two");
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(socket.receive().await, "1008 token expired");
    setup.all_gone().await;
}

/// A policy with a maximum age and a leeway that no other test uses.
pub(crate) fn with_maximum_age() -> OAuth2Builder {
    let keys = key(Algorithm::ES256).jwk_set();
    policy::builder()
        .provider("p", Provider::new().issuer(ISSUER).audience("api").keys(keys))
        .max_token_age(Duration::from_secs(61))
        .leeway(Duration::from_secs(7))
}

/// The lifetime of a token in seconds, the second in which it is rejected, and the reason.
pub(crate) const REASONS: [(u64, u64, &str); 2] = [
    (3600, 68, "the token was issued 68 s ago, more than the maximum age of 61 s"),
    (59, 66, "the token expired 7 s ago"),
];

#[tokio::test]
async fn log_says_whether_a_session_ends_by_exp_or_by_the_maximum_age() {
    log::keep();
    for (lives, end, reason) in REASONS {
        let setup = Setup::new(with_maximum_age());
        let mut socket = setup.open("/", &sign(&setup.token(Duration::from_secs(lives)))).await;
        setup.clock.advance(Duration::from_secs(end - 1));
        socket.send("one").await;
        assert_eq!(socket.receive().await, "echo one");
        setup.clock.advance(Duration::from_secs(1));
        // The client receives the same reason for both.
        assert_eq!(socket.receive().await, "1008 token expired");
        let lines = log::lines_with(&["a WebSocket session ends", reason]);
        assert_eq!(lines.len(), 1, "{reason}: {lines:?}");
    }
}

#[tokio::test]
async fn messages_after_the_end_are_not_delivered() {
    let setup = Setup::inline();
    let mut socket = setup.open("/", &sign(&setup.token(MINUTE))).await;
    setup.clock.advance(2 * MINUTE);
    setup.all_gone().await;
    let received = setup.room.received.load(Ordering::SeqCst);
    socket.send("late").await;
    assert_eq!(socket.receive().await, "1008 token expired");
    assert_eq!(setup.room.received.load(Ordering::SeqCst), received);
}

#[tokio::test]
async fn renewal_replaces_claims_and_end() {
    let setup = Setup::inline();
    let mut socket = setup.open("/", &sign(&setup.token(MINUTE).claim("jti", "first"))).await;
    setup.clock.advance(Duration::from_secs(50));
    socket.send(&format!("renew {}", sign(&setup.token(5 * MINUTE).claim("jti", "second")))).await;
    assert_eq!(socket.receive().await, "renewed user-1");
    setup.clock.advance(4 * MINUTE);
    socket.send("who").await;
    assert_eq!(socket.receive().await, "\"second\"");
    // The end moves to that of the new token, sooner too.
    socket.send(&format!("renew {}", sign(&setup.token(Duration::from_secs(10))))).await;
    assert_eq!(socket.receive().await, "renewed user-1");
    setup.clock.advance(Duration::from_secs(15));
    assert_eq!(socket.receive().await, "1008 token expired");
}

#[tokio::test]
async fn rejected_renewal_changes_nothing() {
    let setup = Setup::inline();
    let mut socket = setup.open("/", &sign(&setup.token(MINUTE).claim("jti", "first"))).await;
    let long = setup.token(60 * MINUTE);
    let attacker = SigningKey::generate(Algorithm::ES256, key(Algorithm::ES256).kid());
    for (token, reason) in [
        (sign(&long.clone().claim("sub", "user-2")), "subject_mismatch"),
        (sign(&long.clone().without("sub")), "subject_mismatch"),
        (sign(&long.clone().claim("act", json!({"sub": "agent"}))), "subject_mismatch"),
        (sign(&long.clone().claim("iss", "https://other.test")), "subject_mismatch"),
        (sign(&long.clone().claim("aud", "another")), "audience_mismatch"),
        (sign(&setup.token(MINUTE).claim("exp", 1)), "expired"),
        (long.sign(&attacker), "signature_invalid"),
        ("x.y.z".to_owned(), "token_malformed"),
        (String::new(), "request_malformed"),
    ] {
        socket.send(&format!("renew {token}")).await;
        assert_eq!(socket.receive().await, reason);
    }
    socket.send("who").await;
    assert_eq!(socket.receive().await, "\"first\"");
    setup.clock.advance(Duration::from_secs(65));
    assert_eq!(socket.receive().await, "1008 token expired");
}

#[tokio::test]
async fn renewal_for_another_audience_of_the_same_issuer_is_rejected() {
    let provider = |audience: &str| {
        let keys = key(Algorithm::ES256).jwk_set();
        Provider::new().issuer(ISSUER).audience(audience).keys(keys)
    };
    let setup = Setup::new(
        policy::builder().provider("one", provider("api")).provider("two", provider("other")),
    );
    let mut socket = setup.open("/", &sign(&setup.token(MINUTE))).await;
    let token = setup.token(60 * MINUTE).claim("aud", "other");
    socket.send(&format!("renew {}", sign(&token))).await;
    assert_eq!(socket.receive().await, "subject_mismatch");
}

/// Tenants of different issuers with one name.
struct SameName;

impl TenantLookup for SameName {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        let keys = key(Algorithm::ES256).jwk_set();
        let provider = Provider::new().issuer(issuer).audience("api").keys(keys);
        Ok(Some(Tenant::new("customer", provider)))
    }
}

#[tokio::test]
async fn renewal_by_another_tenant_of_the_same_name_is_rejected() {
    let setup =
        Setup::new(policy::builder().tenants(Tenants::new(SameName)).key_refresh_minutes(60));
    let of = |issuer: &str| sign(&setup.token(MINUTE).claim("iss", issuer));
    let mut socket = setup.open("/", &of("https://one.test")).await;
    socket.send(&format!("renew {}", of("https://two.test"))).await;
    assert_eq!(socket.receive().await, "subject_mismatch");
    socket.send(&format!("renew {}", of("https://one.test"))).await;
    assert_eq!(socket.receive().await, "renewed user-1");
}

#[tokio::test]
async fn renewal_without_a_subject_is_rejected() {
    let setup = Setup::inline();
    let without_subject = setup.token(MINUTE).without("sub");
    let mut socket = setup.open("/", &sign(&without_subject)).await;
    socket.send(&format!("renew {}", sign(&without_subject.claim("jti", "again")))).await;
    assert_eq!(socket.receive().await, "subject_mismatch");
}

/// A JWT-SVID may have no issuer: provider, subject and the absence of an issuer are compared.
#[tokio::test]
async fn renewal_of_an_svid_session_by_another_subject_is_rejected() {
    let provider = || {
        let keys = key(Algorithm::ES256).jwk_set();
        Provider::new().audience("api").keys(keys)
    };
    let setup = Setup::new(
        policy::builder()
            .provider("spire", provider().spiffe_trust_domain("example.org").issuer(ISSUER))
            .provider("other", provider().spiffe_trust_domain("other.example")),
    );
    let svid = |lives: Duration, subject: &str| {
        setup.token(lives).without("iss").header("typ", "JOSE").claim("sub", subject)
    };
    let own = "spiffe://example.org/svc";
    let mut socket = setup.open("/", &sign(&svid(MINUTE, own).claim("jti", "first"))).await;
    let long = 60 * MINUTE;
    for (token, reason) in [
        (svid(long, "spiffe://example.org/other"), "subject_mismatch"),
        (svid(long, "spiffe://other.example/svc"), "subject_mismatch"),
        (svid(long, own).claim("iss", ISSUER), "subject_mismatch"),
        (svid(long, "user-1"), "claim_invalid"),
        (svid(long, own).claim("iss", serde_json::Value::Null), "claim_invalid"),
    ] {
        socket.send(&format!("renew {}", sign(&token))).await;
        assert_eq!(socket.receive().await, reason);
    }
    socket.send(&format!("renew {}", sign(&svid(2 * MINUTE, own)))).await;
    assert_eq!(socket.receive().await, format!("renewed {own}"));
    setup.clock.advance(2 * MINUTE);
    assert_eq!(socket.receive().await, "1008 token expired");
    setup.all_gone().await;
}

#[tokio::test]
async fn requirement_of_a_session_is_checked_for_each_token() {
    let setup = Setup::inline();
    let plain = setup.token(MINUTE);
    let may = plain.clone().claim("scope", "chat");
    let mut rejected = setup.open("/strict", &sign(&plain)).await;
    assert_eq!(rejected.receive().await, "1008 insufficient scope");
    let mut socket = setup.open("/strict", &sign(&may)).await;
    socket
        .send(&format!("renew {}", sign(&plain.claim("exp", setup.clock.unix_seconds() + 600))))
        .await;
    assert_eq!(socket.receive().await, "insufficient_scope");
    socket.send(&format!("renew {}", sign(&may.claim("jti", "again")))).await;
    assert_eq!(socket.receive().await, "renewed user-1");
}

#[tokio::test]
async fn handler_that_only_sends_is_ended() {
    let setup = Setup::inline();
    setup.room.talks_only.store(true, Ordering::SeqCst);
    // The client reads nothing, so that every buffer is full and the handler waits.
    let silent = setup.open("/", &sign(&setup.token(MINUTE))).await;
    until("the session is there", || setup.room.alive.load(Ordering::SeqCst) == 1).await;
    setup.clock.advance(2 * MINUTE);
    setup.all_gone().await;
    drop(silent);
}

#[tokio::test]
async fn closed_session_leaves_no_task_or_timer() {
    let setup = Setup::inline();
    for _ in 0..20 {
        let mut socket = setup.open("/", &sign(&setup.token(MINUTE))).await;
        socket.send("one").await;
        assert_eq!(socket.receive().await, "echo one");
    }
    setup.all_gone().await;
    // No timer waits on the clock any more.
    until("no timer is left", || setup.clock.sleepers() == 0).await;
}

fn fetched(server: &KeyServer) -> Setup {
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    Setup::new(policy::builder().provider("p", provider).key_refresh_minutes(60))
}

fn keys(keys: &[&SigningKey]) -> Answer {
    let keys: Vec<_> = keys.iter().map(|key| key.public_jwk()).collect();
    Answer::json(&json!({"keys": keys}))
}

#[tokio::test]
async fn withdrawn_key_ends_sessions_that_revalidate() {
    let (old, new) = (key(Algorithm::ES256), SigningKey::generate(Algorithm::ES256, "new"));
    let server = KeyServer::start(keys(&[old])).unwrap();
    let setup = fetched(&server);
    let token = setup.token(60 * MINUTE);
    let mut follows = setup.open("/follow", &sign(&token)).await;
    let mut stays = setup.open("/", &sign(&token)).await;
    // An added key changes nothing.
    server.answer(keys(&[old, &new]));
    setup.oauth2.refresh_keys().await.unwrap();
    for socket in [&mut follows, &mut stays] {
        socket.send("one").await;
        assert_eq!(socket.receive().await, "echo one");
    }
    server.answer(keys(&[&new]));
    setup.oauth2.refresh_keys().await.unwrap();
    assert_eq!(follows.receive().await, "1008 invalid token");
    stays.send("two").await;
    assert_eq!(stays.receive().await, "echo two");
}

/// The renewing token is the first with the new key, so that the same fetch withdraws the old one.
#[tokio::test]
async fn renewal_with_a_new_key_survives_the_refresh_that_it_causes() {
    for round in 0..200 {
        let old = SigningKey::generate(Algorithm::ES256, "old");
        let new = SigningKey::generate(Algorithm::ES256, "new");
        let server = KeyServer::start(keys(&[&old])).unwrap();
        let setup = fetched(&server);
        let token = setup.token(60 * MINUTE).claim("sub", "alice");
        let mut socket = setup.open("/follow", &token.clone().sign(&old)).await;
        socket.send("one").await;
        assert_eq!(socket.receive().await, "echo one");
        server.answer(keys(&[&new]));
        // The cooldown is over.
        setup.clock.advance(MINUTE);
        socket.send(&format!("renew {}", token.sign(&new))).await;
        match &*socket.receive().await {
            "renewed alice" => {
                socket.send("two").await;
                assert_eq!(socket.receive().await, "echo two", "round {round}");
            }
            received => assert_eq!(received, "1008 invalid token", "round {round}"),
        }
    }
}

#[tokio::test]
async fn stale_keys_end_sessions_that_revalidate() {
    let server = KeyServer::start(keys(&[key(Algorithm::ES256)])).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    let setup = Setup::new(
        policy::builder().provider("p", provider).key_refresh_minutes(60).stale_window(60 * MINUTE),
    );
    let token = sign(&setup.token(600 * MINUTE));
    let mut follows = setup.open("/follow", &token).await;
    server.answer(Answer::status(500));
    setup.clock.advance(61 * MINUTE);
    assert_eq!(follows.receive().await, "1013 try again later");
}

#[tokio::test]
async fn fetch_in_progress_does_not_prolong_a_session() {
    let server = KeyServer::start(keys(&[key(Algorithm::ES256)])).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    let setup = Setup::new(
        policy::builder().provider("p", provider).key_refresh_minutes(60).stale_window(60 * MINUTE),
    );
    let token = sign(&setup.token(61 * MINUTE + Duration::from_secs(2)));
    let mut follows = setup.open("/follow", &token).await;
    server.answer(Answer::hang());
    let requested = server.requests();
    setup.clock.advance(61 * MINUTE);
    until("the keys are requested", || server.requests() > requested).await;
    setup.clock.advance(Duration::from_secs(2));
    assert_eq!(follows.receive().await, "1008 token expired");
}

/// A tenant that exists until the flag is cleared.
struct Customer(Arc<AtomicBool>);

impl TenantLookup for Customer {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        let keys = key(Algorithm::ES256).jwk_set();
        let provider = Provider::new().issuer(issuer).audience("api").keys(keys);
        Ok(self.0.load(Ordering::SeqCst).then(|| Tenant::new("customer", provider)))
    }
}

#[tokio::test]
async fn removed_tenant_ends_sessions_that_revalidate() {
    let exists = Arc::new(AtomicBool::new(true));
    let tenants = Tenants::new(Customer(Arc::clone(&exists))).lifetime(10 * MINUTE);
    let setup = Setup::new(policy::builder().tenants(tenants).key_refresh_minutes(60));
    let token = setup.token(600 * MINUTE).claim("iss", "https://customer.test");
    let mut follows = setup.open("/follow", &sign(&token)).await;
    exists.store(false, Ordering::SeqCst);
    setup.clock.advance(11 * MINUTE);
    assert_eq!(follows.receive().await, "1008 invalid token");
}

#[tokio::test]
async fn session_without_claims_is_rejected() {
    // A public path, and no token.
    let setup = Setup::new(
        policy::builder()
            .provider(
                "p",
                Provider::new()
                    .issuer(ISSUER)
                    .audience("api")
                    .keys(key(Algorithm::ES256).jwk_set()),
            )
            .public_paths(["/open"]),
    );
    let mut socket = Socket::open(&setup.server.url("/open"), &[]).await;
    assert_eq!(socket.receive().await, "1008 token missing");
    assert_eq!(setup.room.alive.load(Ordering::SeqCst), 0);
    // A request that is not a handshake gets the response of actix.
    let bearer = sign(&setup.token(MINUTE));
    let answer = oauth2_actix_tests::client::get(&setup.server.url("/open"), Some(&bearer)).await;
    assert_eq!(answer.status, 400);
}
