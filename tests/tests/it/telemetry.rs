//! What is counted and measured with the feature `metrics`.

use std::time::Duration;

use metrics_util::{
    CompositeKey,
    debugging::{DebugValue, DebuggingRecorder},
};
use oauth2_actix::{
    Algorithm, OAuth2, Provider, TokenCache,
    testing::{Answer, KeyServer, ManualClock, Token},
};
use oauth2_actix_tests::{api::Api, client, keys::key, wait::until};

/// All tests of this process share a recorder, so this one runs in a process of its own.
#[test]
fn what_is_counted_and_measured() {
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "telemetry::alone_what_is_counted_and_measured", "--ignored"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && output.contains("1 passed"), "{output}");
}

fn label(key: &CompositeKey) -> String {
    let labels: Vec<String> =
        key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{} {}", key.key().name(), labels.join(" "))
}

#[tokio::test]
#[ignore = "in a process of its own, started by `what_is_counted_and_measured`"]
async fn alone_what_is_counted_and_measured() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    let es256 = key(Algorithm::ES256);
    let body = es256.jwk_set().to_string();
    let tagged = Answer::body(200, &[("etag", "\"1\"")], body.as_bytes());
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let clock = ManualClock::new();
    let provider = Provider::new().issuer("https://idp.test").audience("api").keys(server.url());
    let oauth2 = OAuth2::builder()
        .provider("idp", provider)
        .public_paths(["/public"])
        .key_refresh_minutes(10)
        .clock(clock.clone())
        .token_cache(TokenCache::new())
        .build()
        .unwrap();
    let api = Api::start(oauth2.clone());
    let token = || Token::new("https://idp.test", "api");
    let get = async |path: &str, token: Option<String>| {
        client::get(&api.url(path), token.as_deref()).await.status
    };
    assert_eq!(get("/me", Some(token().sign(es256))).await, 503);
    clock.advance(Duration::from_secs(2));
    server.answer(tagged);
    oauth2.refresh_now().await.unwrap();
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
    let stranger = oauth2_actix::testing::SigningKey::generate(Algorithm::ES256, "made-up");
    assert_eq!(get("/me", Some(token().sign(&stranger))).await, 401);
    server.answer(Answer::status(304));
    let asked = server.requests();
    clock.advance(Duration::from_secs(480));
    server.wait_for_requests(asked + 1);
    until("unchanged keys", || oauth2.status()[0].fetches.unchanged > 0).await;

    let seen: Vec<(String, DebugValue)> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| (label(&key), value))
        .collect();
    let counter = |name: &str| match seen.iter().find(|(key, _)| key == name) {
        Some((_, DebugValue::Counter(count))) => *count,
        other => panic!("{name}: {other:?} in {seen:?}"),
    };
    assert_eq!(counter("oauth2_requests_total outcome=accepted reason="), 6);
    assert_eq!(counter("oauth2_requests_total outcome=public reason="), 1);
    for reason in
        ["keys_unavailable", "token_absent", "expired", "scope_insufficient", "key_unknown"]
    {
        assert_eq!(counter(&format!("oauth2_requests_total outcome=refused reason={reason}")), 1);
    }
    assert_eq!(counter("oauth2_token_cache_lookups_total result=hit"), 2);
    assert_eq!(counter("oauth2_token_cache_lookups_total result=miss"), 8);
    assert_eq!(counter("oauth2_key_lookups_total result=hit"), 5);
    assert_eq!(counter("oauth2_key_lookups_total result=missing"), 1);
    assert_eq!(counter("oauth2_key_lookups_total result=unknown"), 1);
    assert!(counter("oauth2_key_fetches_total provider=idp outcome=fetched") >= 2);
    assert!(counter("oauth2_key_fetches_total provider=idp outcome=failed") >= 1);
    assert_eq!(counter("oauth2_key_fetches_total provider=idp outcome=unchanged"), 1);
    let find = |name: &str| &seen.iter().find(|(key, _)| key == name).unwrap().1;
    match find("oauth2_keys_fetched_timestamp_seconds provider=idp") {
        DebugValue::Gauge(at) => assert!((at.0 - clock.unix_seconds() as f64).abs() < 2.0),
        other => panic!("{other:?}"),
    }
    match find("oauth2_key_fetch_duration_seconds provider=idp") {
        DebugValue::Histogram(durations) => assert!(durations.len() >= 4),
        other => panic!("{other:?}"),
    }
}
