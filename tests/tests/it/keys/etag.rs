//! Conditional fetches: `If-None-Match`, and 304 (RFC 9110 §13.1.2, §15.4.5).

use std::time::Duration;

use oauth2_actix::{
    ErrorKind, Keys, OAuth2, Provider,
    status::KeyState,
    testing::{ManualClock, SigningKey},
};
use oauth2_actix_tests::{
    fetched::{Fetched, fetch_counts, is_unavailable, new_key},
    key_server::{Answer, KeyServer},
    policy,
    wait::until,
};
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);

/// Advances the clock to the next background refresh, and waits until it has ended.
async fn refresh(oauth2: &OAuth2, clock: &ManualClock) {
    refresh_after(oauth2, clock, HOUR).await;
}

/// Waits for one refresh, however far the clock is advanced.
async fn refresh_after(oauth2: &OAuth2, clock: &ManualClock, time: Duration) {
    let ended = || fetch_counts(oauth2).iter().sum::<u64>();
    let before = ended();
    clock.advance(time);
    until("a refresh", || ended() > before).await;
}

/// The entity tag that the last request sent.
fn if_none_match(server: &KeyServer) -> Option<String> {
    let request = server.last_request();
    let values: Vec<&str> =
        request.lines().filter_map(|line| line.strip_prefix("if-none-match: ")).collect();
    assert!(values.len() <= 1, "{request}");
    values.first().map(|value| (*value).to_owned())
}

fn tagged(key: &SigningKey, etag: &str) -> Answer {
    Answer::body(200, &[("etag", etag)], key.jwk_set().to_string().as_bytes())
}

#[tokio::test]
async fn background_refresh_sends_if_none_match() {
    let key = new_key("1");
    for etag in ["\"v1\"", "W/\"v1\"", "\"\"", "bare", "\"with, comma\""] {
        let setup = Fetched::start(tagged(&key, etag), Some(HOUR));
        assert_eq!(setup.verify(&key).await, Ok(()));
        assert_eq!(if_none_match(&setup.server), None, "the first request has no entity tag");
        setup.server.answer(Answer::status(304));
        for refreshes in 1..=3 {
            setup.clock.advance(HOUR);
            until("a refresh", || setup.counts() == [1, refreshes, 0]).await;
            assert_eq!(if_none_match(&setup.server).as_deref(), Some(etag));
            assert_eq!(setup.verify(&key).await, Ok(()));
        }
        let status = setup.status();
        assert_eq!((status.state, status.age_seconds), (KeyState::Fresh, Some(0)));
        assert_eq!(status.last_success, Some(setup.clock.unix_seconds()));
    }
}

#[tokio::test]
async fn fetch_without_an_etag_sends_no_if_none_match() {
    let key = new_key("1");
    let setup = Fetched::start(Answer::json(&key.jwk_set()), None);
    for fetches in 1..=3 {
        setup.oauth2.refresh_keys().await.unwrap();
        assert_eq!((if_none_match(&setup.server), setup.counts()), (None, [fetches, 0, 0]));
    }
}

#[tokio::test]
async fn not_modified_response_renews_the_stale_window() {
    let key = new_key("1");
    let setup = Fetched::start(tagged(&key, "\"v1\""), Some(HOUR));
    assert_eq!(setup.verify(&key).await, Ok(()));
    setup.clock.advance(20 * HOUR);
    until("a refresh", || setup.counts()[0] == 2).await;
    setup.server.answer(Answer::status(304));
    setup.clock.advance(20 * HOUR);
    until("a refresh", || setup.counts() == [2, 1, 0]).await;
    assert_eq!(setup.status().stale_in_seconds, Some(24 * 3600));
    // A day from the 304, not from the last 200.
    setup.server.answer(Answer::status(500));
    setup.clock.advance(24 * HOUR - Duration::from_secs(1));
    until("a failure", || setup.counts()[2] > 0).await;
    assert_eq!(setup.verify(&key).await, Ok(()));
    setup.clock.advance(Duration::from_secs(1));
    assert!(is_unavailable(&setup.verify(&key).await));
}

#[tokio::test]
async fn new_keys_replace_the_etag() {
    let (first, second, third) = (new_key("1"), new_key("2"), new_key("3"));
    let setup = Fetched::start(tagged(&first, "\"v1\""), Some(HOUR));
    setup.oauth2.warm_up().await.unwrap();
    setup.server.answer(tagged(&second, "\"v2\""));
    refresh(&setup.oauth2, &setup.clock).await;
    assert_eq!(if_none_match(&setup.server).as_deref(), Some("\"v1\""));
    assert_eq!(setup.verify(&second).await, Ok(()));
    assert_eq!(setup.verify(&first).await, Err(ErrorKind::UnknownKey));
    // A 304 may have an entity tag of its own, or none.
    setup.server.answer(Answer::body(304, &[("etag", "\"v2-b\"")], b""));
    refresh(&setup.oauth2, &setup.clock).await;
    assert_eq!(if_none_match(&setup.server).as_deref(), Some("\"v2\""));
    setup.server.answer(Answer::status(304));
    for _ in 0..2 {
        refresh(&setup.oauth2, &setup.clock).await;
        assert_eq!(if_none_match(&setup.server).as_deref(), Some("\"v2-b\""));
    }
    assert_eq!(setup.verify(&second).await, Ok(()));
    // Keys without an entity tag remove the old one.
    setup.server.answer(Answer::json(&third.jwk_set()));
    refresh(&setup.oauth2, &setup.clock).await;
    assert_eq!(setup.verify(&third).await, Ok(()));
    refresh(&setup.oauth2, &setup.clock).await;
    assert_eq!((if_none_match(&setup.server), setup.counts()), (None, [5, 3, 0]));
}

#[tokio::test]
async fn unsolicited_304_is_a_failure() {
    let key = new_key("1");
    let setup = Fetched::start(Answer::status(304), None);
    assert!(is_unavailable(&setup.verify(&key).await));
    let cause = setup.status().last_error.unwrap().cause;
    assert!(cause.contains("status is 304"), "{cause}");
    // Also with keys that have no entity tag.
    setup.server.answer(Answer::json(&key.jwk_set()));
    setup.oauth2.refresh_keys().await.unwrap();
    setup.server.answer(Answer::body(304, &[("etag", "\"v1\"")], b""));
    assert!(setup.oauth2.refresh_keys().await.is_err());
    assert_eq!((setup.status().state, setup.counts()), (KeyState::Failing, [1, 0, 2]));
    assert_eq!(setup.verify(&key).await, Ok(()));
}

#[tokio::test]
async fn unknown_key_causes_an_unconditional_fetch() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Fetched::start(tagged(&first, "\"v1\""), Some(HOUR));
    assert_eq!(setup.verify(&first).await, Ok(()));
    // A provider that changes its keys but not its entity tag.
    setup.server.answer(tagged(&second, "\"v1\""));
    assert_eq!(setup.verify(&second).await, Ok(()));
    assert_eq!((if_none_match(&setup.server), setup.counts()), (None, [2, 0, 0]));
    // A 304 to an unconditional fetch is a failure.
    setup.server.answer(Answer::status(304));
    setup.clock.advance(Duration::from_secs(10));
    assert!(is_unavailable(&setup.verify(&first).await));
    assert_eq!(setup.counts(), [2, 0, 1]);
}

#[tokio::test]
async fn retry_after_a_failure_is_unconditional() {
    let (first, second) = (new_key("1"), new_key("2"));
    for failure in [
        Answer::status(500),
        Answer::status(404),
        Answer::reset(),
        Answer::body(200, &[("etag", "\"v2\"")], b"<html>"),
        Answer::body(200, &[("etag", "\"v2\"")], br#"{"keys": []}"#),
        Answer::redirect(302, "/"),
    ] {
        let setup = Fetched::start(tagged(&first, "\"v1\""), Some(HOUR));
        assert_eq!(setup.verify(&first).await, Ok(()));
        setup.server.answer(failure);
        assert!(setup.oauth2.refresh_keys().await.is_err());
        setup.server.answer(tagged(&second, "\"v1\""));
        // The backoff of a first failure.
        setup.clock.advance(Duration::from_secs(1));
        until("a retry", || setup.counts() == [2, 0, 1]).await;
        assert_eq!((if_none_match(&setup.server), setup.server.requests()), (None, 3));
        assert_eq!(setup.verify(&second).await, Ok(()));
        // Later refreshes are conditional again.
        refresh(&setup.oauth2, &setup.clock).await;
        assert_eq!(if_none_match(&setup.server).as_deref(), Some("\"v1\""));
    }
}

#[tokio::test]
async fn etag_over_256_bytes_is_not_sent() {
    let key = new_key("1");
    let of_length = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    for (length, sent) in [(256, true), (257, false), (8_000, false)] {
        let etag = of_length(length);
        let setup = Fetched::start(tagged(&key, &etag), Some(HOUR));
        assert_eq!(setup.verify(&key).await, Ok(()));
        refresh(&setup.oauth2, &setup.clock).await;
        assert_eq!(if_none_match(&setup.server), sent.then_some(etag), "{length}");
        assert_eq!(setup.counts(), [2, 0, 0]);
    }
}

#[tokio::test]
async fn max_age_of_a_304_shortens_the_interval() {
    let key = new_key("1");
    let setup = Fetched::start(tagged(&key, "\"v1\""), Some(10 * HOUR));
    assert_eq!(setup.verify(&key).await, Ok(()));
    let expected = |seconds: u64| seconds * 71 / 100..=seconds * 4 / 5;
    let due_is = async |seconds: u64| {
        until(&format!("due within {seconds} s"), || {
            setup.status().next_refresh_seconds.is_some_and(|due| expected(seconds).contains(&due))
        })
        .await;
    };
    due_is(36_000).await;
    for (cache_control, seconds) in
        [("max-age=300", 300), ("public, max-age=1", 60), ("no-cache", 36_000)]
    {
        setup.server.answer(Answer::body(304, &[("cache-control", cache_control)], b""));
        setup.clock.advance(10 * HOUR);
        due_is(seconds).await;
    }
    assert_eq!(setup.counts(), [1, 3, 0]);
}

#[tokio::test]
async fn refresh_of_zero_sends_if_none_match_for_each_request() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Fetched::start(tagged(&first, "\"v1\""), Some(Duration::ZERO));
    assert_eq!(setup.verify(&first).await, Ok(()));
    setup.server.answer(Answer::status(304));
    for unchanged in 1..=3 {
        assert_eq!(setup.verify(&first).await, Ok(()));
        assert_eq!(if_none_match(&setup.server).as_deref(), Some("\"v1\""));
        assert_eq!(setup.counts(), [1, unchanged, 0]);
    }
    setup.server.answer(tagged(&second, "\"v2\""));
    assert_eq!(setup.verify(&first).await, Err(ErrorKind::UnknownKey));
    assert_eq!(setup.verify(&second).await, Ok(()));
}

#[tokio::test]
async fn etag_is_sent_only_to_its_url() {
    let (first, second) = (new_key("1"), new_key("2"));
    let (old, new) = (
        KeyServer::start(Answer::status(404)).unwrap(),
        KeyServer::start(tagged(&second, "\"v1\"")).unwrap(),
    );
    let issuer = old.url_of("/x");
    let publish = |keys: &str| {
        let document = json!({"issuer": issuer, "jwks_uri": keys}).to_string();
        let document = Answer::body(200, &[("etag", "\"document\"")], document.as_bytes());
        old.answer_at("/x/.well-known/openid-configuration", document);
    };
    publish(&old.url());
    old.answer_at("/jwks.json", tagged(&first, "\"v1\""));
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider("p", Provider::new().issuer(&issuer).audience("api").keys(Keys::discover()))
        .key_refresh(HOUR)
        .clock(clock.clone())
        .build()
        .unwrap();
    oauth2.warm_up().await.unwrap();
    refresh(&oauth2, &clock).await;
    assert_eq!(if_none_match(&old).as_deref(), Some("\"v1\""));
    publish(&new.url());
    refresh_after(&oauth2, &clock, 24 * HOUR).await;
    assert_eq!(if_none_match(&old), None, "the document is always fetched unconditionally");
    assert_eq!((new.requests(), if_none_match(&new)), (1, None));
    refresh(&oauth2, &clock).await;
    assert_eq!(if_none_match(&new).as_deref(), Some("\"v1\""));
}
