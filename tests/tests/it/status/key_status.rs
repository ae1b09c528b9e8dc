//! Warm-up, manual refresh, readiness and the status of keys.

use std::time::{Duration, Instant};

use futures_util::poll;
use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, OAuth2Builder, Provider,
    status::{KeyState, KeyStatus},
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
    wait::PATIENCE,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn signing_key() -> &'static SigningKey {
    key(Algorithm::ES256)
}

fn keys() -> Answer {
    Answer::json(&signing_key().jwk_set())
}

fn provider(server: &KeyServer) -> Provider {
    Provider::new().issuer(ISSUER).audience("api").keys(server.url())
}

fn builder(server: &KeyServer) -> OAuth2Builder {
    policy::builder().provider("idp", provider(server)).key_refresh(HOUR)
}

fn token() -> String {
    Token::new(ISSUER, "api").expires_in(90 * 86_400).sign(signing_key())
}

async fn kind(oauth2: &OAuth2, token: &str) -> Option<ErrorKind> {
    oauth2.verify(token).await.err().map(|error| error.kind().clone())
}

fn status(oauth2: &OAuth2) -> KeyStatus {
    oauth2.key_status().remove(0)
}

/// Waits until the fetching thread has reached this condition.
async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn warm_up_fetches_missing_keys_and_reports_failures() {
    let (good, bad) =
        (KeyServer::start(keys()).unwrap(), KeyServer::start(Answer::status(500)).unwrap());
    let oauth2 = builder(&good)
        .provider("broken", provider(&bad).audience("other").issuer("https://other.test"))
        .provider(
            "inline",
            Provider::new()
                .issuer("https://inline.test")
                .audience("api")
                .keys(signing_key().jwk_set()),
        )
        .build()
        .unwrap_err();
    // The second provider has the issuer and audience of the first.
    assert_eq!(oauth2.provider(), Some("broken"));

    let broken = Provider::new().issuer("https://other.test").audience("api").keys(bad.url());
    let inline =
        Provider::new().issuer("https://inline.test").audience("api").keys(signing_key().jwk_set());
    // Without a refresh, so that nothing is fetched at build.
    let oauth2 = policy::builder()
        .provider("idp", provider(&good))
        .provider("broken", broken)
        .provider("inline", inline)
        .clock(ManualClock::new())
        .build()
        .unwrap();
    let ready = |oauth2: &OAuth2| -> Vec<bool> {
        oauth2.key_status().iter().map(KeyStatus::is_ready).collect()
    };
    assert_eq!(ready(&oauth2), [false, false, true]);
    let error = oauth2.warm_up().await.unwrap_err();
    let failures: Vec<_> = error.failures().collect();
    assert_eq!(failures, [("broken", "the status is 500 Internal Server Error, not 200")]);
    assert_eq!(
        error.to_string(),
        "keys could not be fetched: provider \"broken\": the status is 500 Internal Server Error, \
         not 200"
    );
    assert_eq!(ready(&oauth2), [true, false, true]);
    // Only missing keys are fetched again, without a backoff.
    bad.answer(keys());
    oauth2.warm_up().await.unwrap();
    assert_eq!((good.requests(), bad.requests()), (1, 2));
    assert_eq!(ready(&oauth2), [true, true, true]);
    assert_eq!(kind(&oauth2, &token()).await, None);
    assert_eq!(good.requests(), 1);
}

#[tokio::test]
async fn warm_up_ends_at_the_fetch_timeout() {
    let server = KeyServer::start(Answer::hang()).unwrap();
    let clock = ManualClock::new();
    let oauth2 = builder(&server)
        .fetch_timeout(Duration::from_secs(3))
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut warm_up = Box::pin(oauth2.warm_up());
    assert!(poll!(warm_up.as_mut()).is_pending());
    server.wait_for_requests(1);
    clock.advance(Duration::from_secs(3));
    let error = warm_up.await.unwrap_err();
    assert_eq!(error.failures().next(), Some(("idp", "no complete answer within 3 s")));
}

#[tokio::test]
async fn manual_refresh_ignores_backoff_and_shares_fetches() {
    let old = SigningKey::generate(Algorithm::ES256, "old");
    for refresh in [None, Some(HOUR)] {
        let server = KeyServer::start(Answer::json(&old.jwk_set())).unwrap();
        let mut provider = provider(&server);
        provider = match refresh {
            Some(refresh) => provider.key_refresh(refresh),
            None => provider,
        };
        let oauth2 =
            policy::builder().provider("idp", provider).clock(ManualClock::new()).build().unwrap();
        let old_token = Token::new(ISSUER, "api").sign(&old);
        assert_eq!(kind(&oauth2, &old_token).await, None);
        // A failed refresh keeps the keys and causes no backoff.
        server.answer(Answer::status(503));
        assert!(oauth2.refresh_keys().await.is_err());
        assert!(oauth2.refresh_keys().await.is_err());
        assert_eq!(server.requests(), 3);
        assert_eq!(kind(&oauth2, &old_token).await, None);
        server.answer(keys());
        oauth2.refresh_keys().await.unwrap();
        assert_eq!(kind(&oauth2, &old_token).await, Some(ErrorKind::UnknownKey));
        assert_eq!(kind(&oauth2, &token()).await, None);
        // Concurrent calls share a fetch that began after them.
        let (answer, release) = keys().held();
        server.answer(answer);
        let requested = server.requests();
        let mut calls: Vec<_> = (0..5).map(|_| Box::pin(oauth2.refresh_keys())).collect();
        for call in &mut calls {
            assert!(poll!(call.as_mut()).is_pending());
        }
        server.wait_for_requests(requested + 1);
        release.release();
        for call in calls {
            call.await.unwrap();
        }
        assert!(server.requests() <= requested + 2);
    }
}

#[tokio::test]
async fn key_status_is_complete_and_serializable() {
    log::keep();
    let server = KeyServer::start(Answer::status(404)).unwrap();
    let clock = ManualClock::new();
    let provider = Provider::new()
        .issuer(ISSUER)
        .audience("api")
        .keys(format!("{}?secret=hunter2", server.url()));
    let state = |oauth2: &OAuth2| status(oauth2).state;
    let without = policy::builder().provider("idp", provider.clone()).build().unwrap();
    let shown = serde_json::to_value(without.key_status()).unwrap();
    assert_eq!(
        shown,
        json!([{
            "provider": "idp", "tenant": false, "source": server.url(), "state": "not_fetched", "keys": [],
            "age_seconds": null, "last_success": null, "last_error": null,
            "next_refresh_seconds": null, "stale_in_seconds": null,
            "fetches": {"succeeded": 0, "not_modified": 0, "failed": 0},
        }])
    );
    let (answer, release) = Answer::status(404).held();
    server.answer(answer);
    let oauth2 = policy::builder()
        .provider("idp", provider)
        .key_refresh(HOUR)
        .clock(clock.clone())
        .build()
        .unwrap();
    // `warm_up` waits for the first fetch, which has begun.
    server.wait_for_requests(1);
    let mut warm_up = Box::pin(oauth2.warm_up());
    assert!(poll!(warm_up.as_mut()).is_pending());
    release.release();
    assert!(warm_up.await.is_err());
    assert_eq!(server.requests(), 1);
    assert_eq!(state(&oauth2), KeyState::Unavailable);
    let failed_at = clock.unix_seconds();
    server.answer(Answer::json(&json!({"keys": [
        signing_key().public_jwk(), key(Algorithm::RS256).bare_jwk(), {"kty": "unheard-of"},
    ]})));
    // `warm_up` ignores the backoff.
    oauth2.warm_up().await.unwrap();
    let fetched_at = clock.unix_seconds();
    clock.advance(10 * MINUTE);
    let mut shown = serde_json::to_value(oauth2.key_status()).unwrap();
    let next = shown[0]["next_refresh_seconds"].take().as_u64().unwrap();
    assert!((43 * 60 - 600..=48 * 60 - 600).contains(&next), "{next}");
    assert_eq!(
        shown,
        json!([{
            "provider": "idp", "tenant": false, "source": server.url(), "state": "fresh",
            "keys": [
                {"kid": "ES256", "algorithms": ["ES256"]},
                {"kid": null, "algorithms": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]},
            ],
            "age_seconds": 600, "last_success": fetched_at,
            "last_error": {"at": failed_at, "cause": "the status is 404 Not Found, not 200"},
            "next_refresh_seconds": Value::Null, "stale_in_seconds": 24 * 3600 - 600,
            "fetches": {"succeeded": 1, "not_modified": 0, "failed": 1},
        }])
    );
    server.answer(Answer::reset());
    clock.advance(50 * MINUTE);
    until(|| state(&oauth2) == KeyState::Failing).await;
    assert!(status(&oauth2).is_ready());
    assert!(status(&oauth2).last_error.unwrap().cause.contains("no response"));
    clock.advance(24 * HOUR);
    assert_eq!(state(&oauth2), KeyState::Unavailable);
    assert!(!status(&oauth2).is_ready());
    // The query of the URL, which may hold a secret, is in neither.
    assert!(!format!("{:?}", oauth2.key_status()).contains("hunter2"));
    assert!(!log::lines_with(&["keys cannot be fetched", &server.url(), "404"]).is_empty());
    assert!(log::lines_with(&["hunter2"]).is_empty());
}

#[tokio::test]
async fn key_state_of_refresh_zero_and_inline_keys() {
    let server = KeyServer::start(keys()).unwrap();
    let always = policy::builder()
        .provider("idp", provider(&server).key_refresh(Duration::ZERO))
        .build()
        .unwrap();
    always.warm_up().await.unwrap();
    assert_eq!(server.requests(), 1, "it checks that the provider is reachable");
    assert_eq!(status(&always).state, KeyState::PerRequest);
    let inline = policy::builder()
        .provider("p", Provider::new().issuer("i").audience("a").keys(signing_key().jwk_set()))
        .build()
        .unwrap();
    inline.warm_up().await.unwrap();
    inline.refresh_keys().await.unwrap();
    let shown = serde_json::to_value(inline.key_status()).unwrap();
    assert_eq!((&shown[0]["state"], &shown[0]["source"]), (&json!("inline"), &json!("inline")));
    assert_eq!(shown[0]["keys"][0]["kid"], "ES256");
}

/// A service that is only probed: no runtime, no request, no refresh and no `warm_up`.
#[test]
fn readiness_check_starts_the_first_fetch_until_it_succeeds() {
    let server = KeyServer::start(Answer::status(503)).unwrap();
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider("idp", provider(&server))
        .fetch_timeout(MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    assert!(!oauth2.is_ready());
    server.wait_for_requests(1);
    let deadline = Instant::now() + PATIENCE;
    while status(&oauth2).fetches.failed < 1 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    // Within the backoff, probes cause nothing.
    assert!((0..100).all(|_| !oauth2.is_ready()));
    assert_eq!(server.requests(), 1);
    clock.advance(Duration::from_secs(1));
    server.wait_for_requests(2);
    server.answer(keys());
    while !oauth2.is_ready() {
        assert!(Instant::now() < deadline);
        clock.advance(Duration::from_millis(100));
        std::thread::sleep(Duration::from_millis(1));
    }
    let requested = server.requests();
    clock.advance(100 * HOUR);
    assert!(oauth2.is_ready());
    assert_eq!(server.requests(), requested, "keys without refresh never expire");
}

#[tokio::test]
async fn refresh_setting_starts_the_first_fetch_at_build() {
    let server = KeyServer::start(keys()).unwrap();
    let at = |path: &str| {
        let issuer = format!("https://{}.test", path.trim_start_matches('/'));
        Provider::new().issuer(issuer).audience("api").keys(server.url_of(path))
    };
    let oauth2 = policy::builder()
        .provider("none", at("/none"))
        .provider("zero", at("/zero").key_refresh(Duration::ZERO))
        .provider("hour", at("/hour").key_refresh(HOUR))
        .build()
        .unwrap();
    until(|| oauth2.key_status()[2].state == KeyState::Fresh).await;
    assert_eq!(oauth2.key_status()[0].state, KeyState::NotFetched);
    let requested = ["/none", "/zero", "/hour"].map(|path| server.requests_at(path));
    assert_eq!(requested, [0, 0, 1]);
    // With a refresh of zero, a probe does not fetch.
    assert!(!oauth2.is_ready());
    until(|| oauth2.key_status()[0].state == KeyState::Fresh).await;
    assert!(!oauth2.is_ready());
    let requested = ["/none", "/zero", "/hour"].map(|path| server.requests_at(path));
    assert_eq!(requested, [1, 0, 1]);
}

#[tokio::test]
async fn failed_first_fetch_is_retried_without_refresh() {
    for is_warmed in [true, false] {
        let server = KeyServer::start(Answer::status(500)).unwrap();
        let clock = ManualClock::new();
        let oauth2 = policy::builder()
            .provider("idp", provider(&server))
            .fetch_timeout(MINUTE)
            .clock(clock.clone())
            .build()
            .unwrap();
        if is_warmed {
            assert!(oauth2.warm_up().await.is_err());
        } else {
            assert!(kind(&oauth2, &token()).await.is_some());
        }
        let mut seen = 0;
        for attempt in 2..=4 {
            until(|| {
                let status = status(&oauth2);
                status.fetches.failed > seen && status.next_refresh_seconds.is_some()
            })
            .await;
            seen = status(&oauth2).fetches.failed;
            clock.advance(Duration::from_secs(8));
            server.wait_for_requests(attempt);
        }
        server.answer(keys());
        until(|| {
            clock.advance(Duration::from_millis(200));
            status(&oauth2).state == KeyState::Fresh
        })
        .await;
        until(|| status(&oauth2).next_refresh_seconds.is_none()).await;
        assert_eq!(kind(&oauth2, &token()).await, None);
    }
}

#[tokio::test]
async fn stale_keys_are_logged_as_an_error_once() {
    log::keep();
    let server = KeyServer::start(keys()).unwrap();
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider("stale-once", provider(&server))
        .key_refresh(HOUR)
        .stale_window(2 * HOUR)
        .fetch_timeout(MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    let lines = || log::lines_with(&["ERROR", "past their stale window", "provider=stale-once"]);
    for outage in 1..=2 {
        oauth2.refresh_keys().await.unwrap();
        let failed = status(&oauth2).fetches.failed;
        server.answer(Answer::status(503));
        clock.advance(HOUR);
        until(|| status(&oauth2).fetches.failed > failed).await;
        clock.advance(HOUR - Duration::from_secs(1));
        assert!(status(&oauth2).is_ready());
        assert_eq!(lines().len(), outage - 1);
        clock.advance(Duration::from_secs(1));
        until(|| lines().len() == outage).await;
        assert!(matches!(kind(&oauth2, &token()).await, Some(ErrorKind::KeysUnavailable { .. })));
        for _ in 0..5 {
            let failed = status(&oauth2).fetches.failed;
            clock.advance(MINUTE);
            until(|| status(&oauth2).fetches.failed > failed).await;
        }
        assert_eq!(lines().len(), outage);
        server.answer(keys());
    }
    // Fields are numbers with units, without Rust notation.
    assert!(lines()[0].contains("keys_age_seconds=7200"), "{:?}", lines());
    let all = log::lines_with(&["provider=stale-once"]);
    assert!(all.iter().all(|line| !line.contains("Some(") && !line.contains("None")), "{all:?}");
    assert!(!log::lines_with(&["WARN", "provider=stale-once", "next_try_seconds="]).is_empty());
}
