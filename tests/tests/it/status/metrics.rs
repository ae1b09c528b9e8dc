//! The metrics of the feature `metrics`.

use std::{future::ready, time::Duration};

use actix_web::{
    App,
    dev::{Service, ServiceResponse},
    error::ErrorImATeapot,
    test::{TestRequest, init_service},
};
use metrics_util::debugging::DebugValue;
use oauth2_actix::{
    Algorithm, Keys, Provider, TokenCacheConfig,
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{
    alone,
    api::Api,
    client,
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
    wait::until,
};

use super::slow_recorder;

/// The recorder is global, so that this test needs a process of its own.
#[test]
fn requests_fetches_and_lookups_are_counted() {
    alone::run(module_path!(), "alone_requests_fetches_and_lookups_are_counted");
}

#[tokio::test]
#[ignore = "in a process of its own, started by `requests_fetches_and_lookups_are_counted`"]
async fn alone_requests_fetches_and_lookups_are_counted() {
    log::keep();
    let snapshotter = slow_recorder::install();
    let es256 = key(Algorithm::ES256);
    let body = es256.jwk_set().to_string();
    let tagged = Answer::body(200, &[("etag", "\"1\"")], body.as_bytes());
    let (answer, release) = Answer::status(500).held();
    let server = KeyServer::start(answer).unwrap();
    let unused_url = format!("{}?secret=hunter2", server.url_of("/unused"));
    let clock = ManualClock::new();
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .keys(server.url())
        .key_refresh_minutes(10);
    let unused = Provider::new().issuer("https://unused.test").audience("api");
    let oauth2 = policy::builder()
        .provider("idp", provider)
        .provider("unused", unused.keys([Keys::url(&unused_url), Keys::inline(es256.jwk_set())]))
        .public_paths(["/public"])
        .clock(clock.clone())
        .token_cache(TokenCacheConfig::new())
        .build()
        .unwrap();
    let read = || -> Vec<(String, DebugValue)> {
        let seen = slow_recorder::read(&snapshotter).into_iter();
        seen.map(|(name, value)| (name.replace(&server.url_of(""), ""), value)).collect()
    };
    let gauge = |seen: &[(String, DebugValue)], name: &str| match seen
        .iter()
        .find(|(key, _)| key == name)
    {
        Some((_, DebugValue::Gauge(value))) => value.0,
        other => panic!("{name}: {other:?}"),
    };
    // A source that was never fetched has its series too. Reading resets counters.
    server.wait_for_requests(1);
    let seen = read();
    release.release();
    let labels = "provider=unused source=/unused";
    for outcome in ["fetched", "unchanged", "failed"] {
        let name = format!("oauth2_key_fetches_total {labels} outcome={outcome}");
        let count = seen.iter().find(|(key, _)| *key == name);
        assert!(matches!(count, Some((_, DebugValue::Counter(0)))), "{name}: {count:?}");
    }
    for name in [
        "oauth2_keys_fetched_timestamp_seconds",
        "oauth2_keys_stale_timestamp_seconds",
        "oauth2_keys_usable",
    ] {
        assert_eq!(gauge(&seen, &format!("{name} {labels}")), 0.0, "{name}");
    }
    assert_eq!(gauge(&seen, "oauth2_keys_usable provider=unused source=inline"), 1.0);
    assert_eq!(server.requests_at("/unused"), 0);

    let api = Api::start(oauth2.clone());
    let token = || Token::new("https://idp.test", "api");
    let get = async |path: &str, token: Option<String>| {
        client::get(&api.url(path), token.as_deref()).await.status
    };
    assert_eq!(get("/me", Some(token().sign(es256))).await, 503);
    clock.advance(Duration::from_secs(2));
    server.answer(tagged);
    oauth2.refresh_keys().await.unwrap();
    for _ in 0..3 {
        assert_eq!(get("/me", Some(token().sign(es256))).await, 200);
    }
    let again = token().sign(es256);
    for _ in 0..3 {
        assert_eq!(get("/me", Some(again.clone())).await, 200);
    }
    assert_eq!(get("/public", None).await, 200);
    assert_eq!(get("/me", None).await, 400);
    assert_eq!(get("/me", Some(token().expires_in(-60).sign(es256))).await, 401);
    assert_eq!(get("/scope", Some(token().sign(es256))).await, 403);
    let of_unknown_issuer = Token::new("https://unknown.test", "api").sign(es256);
    assert_eq!(get("/me", Some(of_unknown_issuer)).await, 401);
    let attacker = oauth2_actix::testing::SigningKey::generate(Algorithm::ES256, "made-up");
    assert_eq!(get("/me", Some(token().sign(&attacker))).await, 401);
    // An inner middleware returns an error of its own.
    let broken = App::new()
        .wrap_fn(|_, _| ready(Err::<ServiceResponse, _>(ErrorImATeapot("broken"))))
        .wrap(oauth2.clone());
    let broken = init_service(broken).await;
    for (path, token) in [("/me", Some(again.clone())), ("/public", None)] {
        let mut request = TestRequest::get().uri(path);
        if let Some(token) = token {
            request = request.insert_header(("authorization", format!("Bearer {token}")));
        }
        let error = broken.call(request.to_request()).await.unwrap_err();
        assert_eq!(error.as_response_error().status_code(), 418);
    }
    server.answer(Answer::status(304));
    let requested = server.requests();
    clock.advance(Duration::from_secs(480));
    server.wait_for_requests(requested + 1);
    until("the refresh ends", || oauth2.key_status()[0].fetches.not_modified > 0).await;

    let seen = read();
    assert!(seen.iter().all(|(key, _)| !key.contains("hunter2")), "{seen:?}");
    let counter = |name: &str| match seen.iter().find(|(key, _)| key == name) {
        Some((_, DebugValue::Counter(count))) => *count,
        other => panic!("{name}: {other:?} in {seen:?}"),
    };
    assert_eq!(counter("oauth2_requests_total outcome=accepted reason= provider=idp"), 7);
    assert_eq!(counter("oauth2_requests_total outcome=public reason= provider="), 2);
    for (reason, provider) in [
        ("keys_unavailable", "idp"),
        ("token_missing", ""),
        ("expired", "idp"),
        ("insufficient_scope", "idp"),
        ("unknown_key", "idp"),
        ("unknown_issuer", ""),
    ] {
        let labels = format!("outcome=rejected reason={reason} provider={provider}");
        assert_eq!(counter(&format!("oauth2_requests_total {labels}")), 1, "{labels}");
    }
    assert_eq!(counter("oauth2_token_cache_lookups_total result=hit"), 3);
    assert_eq!(counter("oauth2_token_cache_lookups_total result=miss"), 9);
    assert_eq!(counter("oauth2_key_lookups_total result=hit"), 5);
    assert_eq!(counter("oauth2_key_lookups_total result=missing"), 1);
    assert_eq!(counter("oauth2_key_lookups_total result=unknown"), 1);
    let labels = "provider=idp source=/jwks.json";
    assert!(counter(&format!("oauth2_key_fetches_total {labels} outcome=fetched")) >= 2);
    assert!(counter(&format!("oauth2_key_fetches_total {labels} outcome=failed")) >= 1);
    assert_eq!(counter(&format!("oauth2_key_fetches_total {labels} outcome=unchanged")), 1);
    let now = clock.unix_seconds() as f64;
    let of_idp =
        |seen: &[(String, DebugValue)], name: &str| gauge(seen, &format!("{name} {labels}"));
    assert!((of_idp(&seen, "oauth2_keys_fetched_timestamp_seconds") - now).abs() < 2.0);
    assert_eq!(of_idp(&seen, "oauth2_keys_usable"), 1.0);
    assert!((of_idp(&seen, "oauth2_keys_stale_timestamp_seconds") - now - 86_400.0).abs() < 2.0);
    match seen.iter().find(|(key, _)| *key == format!("oauth2_key_fetch_duration_seconds {labels}"))
    {
        Some((_, DebugValue::Histogram(durations))) => assert!(durations.len() >= 4),
        other => panic!("{other:?}"),
    }
    // Past the stale window, the keys are not usable. Reading has reset the gauges too.
    server.answer(Answer::json(&es256.jwk_set()));
    oauth2.refresh_keys().await.unwrap();
    let stale_at = (clock.unix_seconds() + 24 * 3600) as f64;
    server.answer(Answer::status(500));
    clock.advance(Duration::from_secs(24 * 3600));
    let stale = ["past their stale window", "provider=idp"];
    until("the keys are stale", || !log::lines_with(&stale).is_empty()).await;
    let seen = read();
    assert_eq!(of_idp(&seen, "oauth2_keys_usable"), 0.0);
    assert!((of_idp(&seen, "oauth2_keys_stale_timestamp_seconds") - stale_at).abs() < 2.0);
}
