//! Bounds on what attackers cause: memory, descriptors, threads, retained requests.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use actix_web::{App, HttpMessage, HttpServer, dev::Service};
use oauth2_actix::{
    Algorithm, OAuth2, Provider, TokenCacheConfig,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{LocalServer, SigningKey},
};
use oauth2_actix_tests::{
    alone, api,
    client::Connection,
    forge,
    key_server::{Answer, KeyServer},
    keys::key,
    wait::PATIENCE,
};
use serde_json::json;

use crate::target::{AUDIENCE, ISSUER, bearer, builder, es256, good, request};

#[test]
fn flood_of_tokens_kids_and_issuers_does_not_grow_memory() {
    alone::run(module_path!(), "alone_flood_of_tokens_kids_and_issuers_does_not_grow_memory");
}

struct NoTenants;

impl TenantLookup for NoTenants {
    async fn find_by_issuer(
        &self,
        _: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        Ok(None)
    }
}

/// Returns the resident memory of this process in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "in a process of its own, started by `flood_of_tokens_kids_and_issuers_does_not_grow_memory`"]
fn alone_flood_of_tokens_kids_and_issuers_does_not_grow_memory() {
    const EACH: usize = 6_000;
    const FILLER: usize = 8_000;
    let server = KeyServer::start(Answer::json(&es256().jwk_set())).unwrap();
    let fetched =
        Provider::new().issuer("https://fetched.test").audience(AUDIENCE).keys(server.url());
    let secret = key(Algorithm::HS256);
    let hmac = Provider::new()
        .issuer("https://hmac.test")
        .audience(AUDIENCE)
        .algorithms([Algorithm::HS256])
        .keys(secret.jwk_set());
    let oauth2 = builder()
        .provider("fetched", fetched)
        .provider("hmac", hmac)
        .tenants(Tenants::new(NoTenants))
        .key_refresh_minutes(60)
        .token_cache(TokenCacheConfig::new().max_bytes(8 << 20))
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let filler = "x".repeat(FILLER);
    let flood = |from: usize, count: usize| {
        let mut good_ones = 0;
        for index in from..from + count {
            let token = |issuer: &str, kid: &str| {
                let claims = json!({
                    "iss": issuer, "aud": AUDIENCE, "exp": 4_000_000_000_u64, "jti": format!("{index}"),
                    "filler": filler,
                });
                let header = json!({"alg": "HS256", "kid": kid}).to_string();
                forge::forge(header, claims.to_string(), forge::by(secret))
            };
            let forged = |issuer: &str, kid: &str| {
                let claims = json!({"iss": issuer, "aud": AUDIENCE, "exp": 4_000_000_000_u64});
                let header = json!({"alg": "ES256", "kid": kid}).to_string();
                forge::forge(header, claims.to_string(), |_| vec![7; 64])
            };
            let kid = format!("{index}-{filler}");
            for token in [
                token("https://hmac.test", secret.kid()),
                token(ISSUER, "ES256"),
                forged("https://fetched.test", &kid),
                // Longer ones are not looked up.
                forged(&format!("https://{index}.test/{}", &filler[..480]), "ES256"),
                forged(&format!("https://{index}.test/{filler}"), "ES256"),
                format!("{index}.{filler}.{filler}"),
            ] {
                good_ones += usize::from(runtime.block_on(oauth2.verify(&token)).is_ok());
            }
        }
        assert_eq!(good_ones, count);
    };
    let started = Instant::now();
    // Everything that stays in memory is full after this.
    flood(0, EACH / 3);
    let before = resident();
    flood(EACH, EACH);
    let after = resident();
    // 48 MB of each kind, 240 MB in total.
    let sent = EACH * FILLER * 5;
    assert!(sent > 200 << 20);
    let grown = after.saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more after {sent}, {before} before");
    // The cooldown allows one fetch in 10 s, however long a slow machine takes.
    let allowed = 3 + started.elapsed().as_secs() / 10;
    assert!(server.requests() <= allowed, "{} fetches of {allowed}", server.requests());
}

#[test]
fn rejected_handshakes_leave_no_descriptors_threads_or_memory() {
    alone::run(module_path!(), "alone_rejected_handshakes_leave_no_descriptors_threads_or_memory");
}

fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
#[ignore = "in a process of its own, started by `rejected_handshakes_leave_no_descriptors_threads_or_memory`"]
fn alone_rejected_handshakes_leave_no_descriptors_threads_or_memory() {
    let oauth2: OAuth2 = builder().build().unwrap();
    let kept = Arc::new(());
    let calls = Arc::new(AtomicUsize::new(0));
    let (marker, counted) = (Arc::clone(&kept), Arc::clone(&calls));
    let server = LocalServer::start(move |listener| {
        let app = move || {
            let (marker, counted) = (Arc::clone(&marker), Arc::clone(&counted));
            App::new().configure(api::routes).wrap(oauth2.clone()).wrap_fn(
                move |request, service| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    // Dropped with the request, in any task.
                    request.extensions_mut().insert(Arc::clone(&marker));
                    service.call(request)
                },
            )
        };
        Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
    })
    .unwrap();
    let attacker = SigningKey::generate(Algorithm::ES256, "ES256");
    let token = |index: usize| match index % 4 {
        0 => good().sign(&attacker),
        1 => good().expires_in(-1).sign(es256()),
        2 => "a.b.c".to_owned(),
        _ => good().claim("aud", "canary").sign(es256()),
    };
    let upgrade = |index: usize| {
        let lines = [
            b"Connection: Upgrade".to_vec(),
            b"Upgrade: websocket".to_vec(),
            b"Sec-WebSocket-Version: 13".to_vec(),
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_vec(),
            bearer(&token(index)),
        ];
        let mut connection = Connection::open(server.address());
        connection.send(&request("GET", "/ws", &lines));
        // One third disconnects at once, one third within the response, and one third reads all of it.
        if !index.is_multiple_of(3) {
            assert_eq!(connection.answer().status, 101);
        }
        if index % 3 == 1 {
            assert_eq!(connection.read(4)[..], [0x88, 15, 3, 0xf0]);
        }
    };
    let settled = |calls_wanted: usize, descriptors: usize, references: usize| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = (
                calls.load(Ordering::SeqCst) >= calls_wanted,
                count("/proc/self/fd") <= descriptors,
                Arc::strong_count(&kept) <= references,
            );
            if now == (true, true, true) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} calls, {} descriptors of {descriptors}, {} references of {references}",
                calls.load(Ordering::SeqCst),
                count("/proc/self/fd"),
                Arc::strong_count(&kept),
            );
            std::thread::yield_now();
        }
    };
    // The worker runs, and has served and closed a connection.
    let mut first = Connection::open(server.address());
    first.send(&request("GET", "/public", &[b"Connection: close".to_vec()]));
    assert!(first.rest().ends_with(b"public"));
    drop(first);
    let idle = (count("/proc/self/fd"), Arc::strong_count(&kept));
    for index in 0..20 {
        upgrade(index);
    }
    // actix reuses the memory of requests, but not their content.
    settled(14, idle.0, idle.1);
    let threads = count("/proc/self/task");
    let memory = resident();
    for index in 0..1_000 {
        upgrade(index);
    }
    settled(1_000 * 2 / 3, idle.0, idle.1);
    assert_eq!(count("/proc/self/task"), threads);
    let grown = resident().saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes more");
}
