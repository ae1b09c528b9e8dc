//! When keys are fetched again, on a clock that the tests advance.

use std::time::Duration;

use futures_util::poll;
use oauth2_actix::{
    ErrorKind, Provider,
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    fetched::{Fetched, ISSUER, is_unavailable, jwk_set, new_key, token},
    key_server::{Answer, KeyServer},
    policy,
};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn first_keys_without_refresh_never_expire() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Fetched::start(jwk_set(&[&first]), None);
    assert_eq!(setup.verify(&first).await, Ok(()));
    setup.server.answer(jwk_set(&[&second]));
    for _ in 0..10 {
        setup.clock.advance(24 * HOUR);
        assert_eq!(setup.verify(&first).await, Ok(()));
        assert_eq!(setup.verify(&second).await, Err(ErrorKind::UnknownKey));
    }
    assert_eq!(setup.server.requests(), 1);
}

#[tokio::test]
async fn refresh_runs_in_the_background_before_keys_expire() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Fetched::start(jwk_set(&[&first]), Some(10 * MINUTE));
    assert_eq!(setup.verify(&first).await, Ok(()));
    setup.server.answer(jwk_set(&[&first, &second]));
    setup.clock.advance(7 * MINUTE);
    assert_eq!(setup.verify(&first).await, Ok(()));
    assert_eq!(setup.server.requests(), 1, "too early");
    setup.clock.advance(MINUTE);
    setup.server.wait_for_requests(2);
    // No request waited for it, and the refreshes continue without requests.
    for fetches in 3..6 {
        setup.until_accepted(&second).await;
        setup.advance_to_request(fetches).await;
    }
}

#[tokio::test]
async fn max_age_shortens_the_interval_to_a_minute_at_least() {
    let key = new_key("1");
    let body = json!({"keys": [key.public_jwk()]}).to_string();
    let answer = |max_age: u32| {
        let value = format!("public, max-age={max_age}");
        Answer::body(200, &[("cache-control", &value)], body.as_bytes())
    };
    for (max_age, early, due) in [
        (300, Duration::from_secs(215), Duration::from_secs(25)),
        (1, Duration::from_secs(43), Duration::from_secs(5)),
        (0, Duration::from_secs(43), Duration::from_secs(5)),
        (86_400, 7 * MINUTE, MINUTE),
    ] {
        let setup = Fetched::start(answer(max_age), Some(10 * MINUTE));
        assert_eq!(setup.verify(&key).await, Ok(()));
        setup.clock.advance(early);
        assert_eq!(setup.verify(&key).await, Ok(()));
        assert_eq!(setup.server.requests(), 1, "max-age={max_age}");
        setup.clock.advance(due);
        setup.server.wait_for_requests(2);
    }
}

#[tokio::test]
async fn unknown_key_is_fetched_in_the_same_request() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Fetched::start(jwk_set(&[&first]), Some(HOUR));
    assert_eq!(setup.verify(&first).await, Ok(()));
    setup.server.answer(jwk_set(&[&second]));
    assert_eq!(setup.verify(&second).await, Ok(()));
    assert_eq!(setup.server.requests(), 2);
    // The provider has withdrawn the first one.
    assert_eq!(setup.verify(&first).await, Err(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_in_ten_seconds() {
    let (known, unknown) = (new_key("1"), new_key("made-up"));
    let setup = Fetched::start(jwk_set(&[&known]), Some(HOUR));
    assert_eq!(setup.verify(&known).await, Ok(()));
    for _ in 0..100 {
        assert_eq!(setup.verify(&unknown).await, Err(ErrorKind::UnknownKey));
    }
    assert_eq!(setup.server.requests(), 2);
    setup.clock.advance(Duration::from_millis(9_999));
    assert_eq!(setup.verify(&unknown).await, Err(ErrorKind::UnknownKey));
    assert_eq!(setup.server.requests(), 2);
    setup.clock.advance(Duration::from_millis(1));
    for _ in 0..100 {
        assert_eq!(setup.verify(&unknown).await, Err(ErrorKind::UnknownKey));
    }
    assert_eq!(setup.server.requests(), 3);
}

#[tokio::test]
async fn invalid_signature_of_a_known_key_causes_no_fetch() {
    let known = new_key("1");
    let setup = Fetched::start(jwk_set(&[&known]), Some(HOUR));
    assert_eq!(setup.verify(&known).await, Ok(()));
    let forged = new_key("1");
    for _ in 0..10 {
        assert_eq!(setup.verify(&forged).await, Err(ErrorKind::SignatureInvalid));
    }
    assert_eq!(setup.server.requests(), 1);
}

#[tokio::test]
async fn unknown_key_after_a_failed_fetch_is_503_and_known_keys_still_verify() {
    let (known, next) = (new_key("1"), new_key("2"));
    let setup = Fetched::start(jwk_set(&[&known]), Some(HOUR));
    assert_eq!(setup.verify(&known).await, Ok(()));
    setup.server.answer(Answer::status(500));
    for _ in 0..10 {
        assert!(is_unavailable(&setup.verify(&next).await));
        assert_eq!(setup.verify(&known).await, Ok(()));
    }
    assert_eq!(setup.server.requests(), 2);
    setup.server.answer(jwk_set(&[&next]));
    // The background retry is due within the backoff of a first failure.
    setup.advance_to_request(3).await;
    setup.until_accepted(&next).await;
}

#[tokio::test]
async fn request_that_joins_an_older_fetch_causes_another() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Fetched::start(jwk_set(&[&first]), Some(10 * MINUTE));
    assert_eq!(setup.verify(&first).await, Ok(()));
    // A background fetch is in progress and returns the old keys, while the provider rotates.
    let (old_keys, release) = jwk_set(&[&first]).held();
    setup.server.answer(old_keys);
    setup.clock.advance(8 * MINUTE);
    setup.server.wait_for_requests(2);
    setup.server.answer(jwk_set(&[&second]));
    let token = token(&second);
    let mut waiting = Box::pin(setup.oauth2.verify(&token));
    assert!(poll!(waiting.as_mut()).is_pending());
    release.release();
    assert!(waiting.await.is_ok());
    assert_eq!(setup.server.requests(), 3);
}

#[tokio::test]
async fn rotation_without_kids_is_followed_in_the_same_request() {
    let (first, second) = (new_key("1"), new_key("2"));
    let bare = |key: &SigningKey| Answer::json(&json!({"keys": [key.bare_jwk()]}));
    let without_kid =
        |key: &SigningKey| Token::new(ISSUER, "api").header("kid", Value::Null).sign(key);
    let setup = Fetched::start(bare(&first), Some(HOUR));
    assert_eq!(setup.verify_text(&without_kid(&first)).await, Ok(()));
    setup.server.answer(bare(&second));
    assert_eq!(setup.verify_text(&without_kid(&second)).await, Ok(()));
    assert_eq!(setup.server.requests(), 2);
    // A forgery without kid counts as an unknown key, with the same cooldown.
    let forged = without_kid(&first);
    for _ in 0..10 {
        assert!(is_unavailable(&setup.verify_text(&forged).await));
    }
    assert_eq!(setup.server.requests(), 2);
    setup.clock.advance(Duration::from_secs(10));
    for _ in 0..10 {
        assert_eq!(setup.verify_text(&forged).await, Err(ErrorKind::SignatureInvalid));
    }
    let another = setup.verify_text(&without_kid(&first)).await;
    assert!(is_unavailable(&another), "{another:?}");
    assert_eq!(setup.server.requests(), 3);
}

#[tokio::test]
async fn unknown_key_within_the_cooldown_is_401_only_if_already_searched_for() {
    let keys: Vec<SigningKey> = ["1", "2", "3", "made-up"].map(new_key).into();
    let setup = Fetched::start(jwk_set(&[&keys[0]]), Some(HOUR));
    assert_eq!(setup.verify(&keys[0]).await, Ok(()));
    // One made-up key id starts the cooldown, and the provider rotates.
    assert_eq!(setup.verify(&keys[3]).await, Err(ErrorKind::UnknownKey));
    setup.server.answer(jwk_set(&[&keys[1]]));
    setup.clock.advance(Duration::from_secs(3));
    let retry_after = Duration::from_secs(7);
    assert_eq!(
        setup.verify(&keys[1]).await,
        Err(ErrorKind::KeysUnavailable { retry_after }),
        "a genuine token is not rejected as invalid"
    );
    assert_eq!(setup.verify(&keys[3]).await, Err(ErrorKind::UnknownKey), "already searched for");
    assert_eq!(setup.server.requests(), 2);
    setup.clock.advance(retry_after);
    assert_eq!(setup.verify(&keys[1]).await, Ok(()));
    assert_eq!(setup.server.requests(), 3);
    // The last fetch showed that the key was withdrawn.
    assert_eq!(setup.verify(&keys[0]).await, Err(ErrorKind::UnknownKey));
    // A refresh without the key changes nothing.
    setup.oauth2.refresh_keys().await.unwrap();
    assert_eq!(setup.verify(&keys[3]).await, Err(ErrorKind::UnknownKey));
    // After a failed fetch, an unknown key may be a new one.
    setup.server.answer(Answer::status(500));
    assert!(setup.oauth2.refresh_keys().await.is_err());
    for unknown in [&keys[2], &keys[3], &keys[0]] {
        assert!(is_unavailable(&setup.verify(unknown).await));
    }
    assert_eq!(setup.verify(&keys[1]).await, Ok(()));
}

#[tokio::test]
async fn invalid_document_never_replaces_keys() {
    let key = new_key("1");
    let setup = Fetched::start(jwk_set(&[&key]), Some(10 * MINUTE));
    assert_eq!(setup.verify(&key).await, Ok(()));
    let mut fetches = 1;
    for bad in [
        Answer::status(500),
        Answer::json(&json!({"keys": []})),
        Answer::body(200, &[], b"<html>"),
        Answer::raw(""),
    ] {
        setup.server.answer(bad);
        fetches += 1;
        setup.advance_to_request(fetches).await;
        assert_eq!(setup.verify(&key).await, Ok(()));
        setup.server.answer(jwk_set(&[&key]));
        fetches += 1;
        setup.advance_to_request(fetches).await;
        assert_eq!(setup.verify(&key).await, Ok(()));
    }
}

#[tokio::test]
async fn keys_verify_for_a_day_after_the_last_fetch() {
    let key = new_key("1");
    let setup = Fetched::start(jwk_set(&[&key]), Some(10 * MINUTE));
    assert_eq!(setup.verify(&key).await, Ok(()));
    setup.server.answer(Answer::status(503));
    setup.clock.advance(24 * HOUR - MINUTE);
    assert_eq!(setup.verify(&key).await, Ok(()));
    setup.clock.advance(MINUTE);
    assert!(is_unavailable(&setup.verify(&key).await));
    // The keys are fetched again without a restart.
    setup.server.answer(jwk_set(&[&key]));
    setup.advance_to_request(setup.server.requests() + 1).await;
    setup.until_accepted(&key).await;
}

#[tokio::test]
async fn failed_fetches_back_off_to_a_minute() {
    let key = new_key("1");
    let setup = Fetched::start(Answer::status(500), None);
    let mut waits = Vec::new();
    for attempt in 1..=10 {
        let Err(ErrorKind::KeysUnavailable { retry_after }) = setup.verify(&key).await else {
            panic!("unavailable")
        };
        assert_eq!(setup.server.requests(), attempt);
        // Nothing is fetched within the backoff.
        assert!(is_unavailable(&setup.verify(&key).await));
        assert_eq!(setup.server.requests(), attempt);
        setup.clock.advance(retry_after);
        waits.push(retry_after.as_secs_f64());
    }
    for (index, wait) in waits.iter().enumerate() {
        let full = f64::powi(2.0, index.try_into().unwrap()).min(60.0);
        assert!((full * 0.8..=full).contains(wait) || (*wait - 1.0).abs() < 1e-9, "{waits:?}");
    }
    assert!(waits[9] >= 48.0);
}

#[tokio::test]
async fn refresh_of_zero_fetches_for_every_request() {
    let (first, second) = (new_key("1"), new_key("2"));
    let setup = Fetched::start(jwk_set(&[&first]), Some(Duration::ZERO));
    assert_eq!(setup.verify(&first).await, Ok(()));
    assert_eq!(setup.verify(&first).await, Ok(()));
    assert_eq!(setup.server.requests(), 2);
    setup.server.answer(jwk_set(&[&second]));
    assert_eq!(setup.verify(&first).await, Err(ErrorKind::UnknownKey), "withdrawn at once");
    assert_eq!(setup.verify(&second).await, Ok(()));
    assert_eq!(setup.server.requests(), 4);
    // A failed fetch is 503 despite earlier keys, without a backoff for the next request.
    setup.server.answer(Answer::status(500));
    assert!(is_unavailable(&setup.verify(&second).await));
    assert!(is_unavailable(&setup.verify(&second).await));
    assert_eq!(setup.server.requests(), 6);
    setup.server.answer(jwk_set(&[&second]));
    assert_eq!(setup.verify(&second).await, Ok(()));
    // No background loop.
    let fetches = setup.server.requests();
    setup.clock.advance(48 * HOUR);
    assert_eq!(setup.verify(&second).await, Ok(()));
    assert_eq!(setup.server.requests(), fetches + 1);
}

#[tokio::test]
async fn refresh_of_zero_shares_a_fetch_that_began_after_the_request() {
    let (first, second) = (new_key("1"), new_key("2"));
    let (answer, release) = jwk_set(&[&first]).held();
    let setup = Fetched::start(answer, Some(Duration::ZERO));
    let (old, new) = (token(&first), token(&second));
    let mut one = Box::pin(setup.oauth2.verify(&old));
    assert!(poll!(one.as_mut()).is_pending());
    setup.server.wait_for_requests(1);
    // These requests arrive during an older fetch, which returns older keys.
    let mut later: Vec<_> = (0..100)
        .map(|index| Box::pin(setup.oauth2.verify(if index % 2 == 0 { &new } else { &old })))
        .collect();
    for request in &mut later {
        assert!(poll!(request.as_mut()).is_pending());
    }
    setup.server.answer(jwk_set(&[&second]));
    release.release();
    assert!(one.await.is_ok());
    for (index, request) in later.into_iter().enumerate() {
        assert_eq!(request.await.is_ok(), index % 2 == 0, "the old key is withdrawn");
    }
    assert_eq!(setup.server.requests(), 2);
}

#[tokio::test]
async fn unavailable_provider_does_not_affect_others() {
    let key = new_key("1");
    let (down, up) =
        (KeyServer::start(Answer::hang()).unwrap(), KeyServer::start(jwk_set(&[&key])).unwrap());
    let provider = |issuer: &str, server: &KeyServer| {
        Provider::new().issuer(issuer).audience("api").keys(server.url())
    };
    let oauth2 = policy::builder()
        .provider("down", provider("https://down.test", &down))
        .provider("up", provider("https://up.test", &up))
        .key_refresh_minutes(5)
        .clock(ManualClock::new())
        .build()
        .unwrap();
    let waiting = tokio::spawn({
        let (oauth2, token) = (oauth2.clone(), Token::new("https://down.test", "api").sign(&key));
        async move { oauth2.verify(&token).await }
    });
    tokio::task::yield_now().await;
    for _ in 0..10 {
        let token = Token::new("https://up.test", "api").sign(&key);
        assert_eq!(oauth2.verify(&token).await.unwrap().provider(), "up");
    }
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn rotation_without_kids_beside_several_old_keys_is_followed() {
    let keys = [new_key("1"), new_key("2"), new_key("3")];
    let bare = |keys: &[SigningKey]| {
        let keys: Vec<Value> = keys.iter().map(SigningKey::bare_jwk).collect();
        Answer::json(&json!({"keys": keys}))
    };
    let without_kid =
        |key: &SigningKey| Token::new(ISSUER, "api").header("kid", Value::Null).sign(key);
    let setup = Fetched::start(bare(&keys[..2]), Some(HOUR));
    assert_eq!(setup.verify_text(&without_kid(&keys[1])).await, Ok(()));
    setup.server.answer(bare(&keys));
    assert_eq!(setup.verify_text(&without_kid(&keys[2])).await, Ok(()), "in the same request");
    assert_eq!(setup.server.requests(), 2);
}

#[tokio::test]
async fn futures_that_fetch_are_send() {
    let key = new_key("1");
    let setup = Fetched::start(jwk_set(&[&key]), None);
    let (one, other) = (setup.oauth2.clone(), setup.oauth2.clone());
    tokio::spawn(async move { one.warm_up().await }).await.unwrap().unwrap();
    tokio::spawn(async move { other.refresh_keys().await }).await.unwrap().unwrap();
    assert_eq!(setup.server.requests(), 2);
}

#[tokio::test]
async fn tokens_of_a_withdrawn_key_do_not_delay_a_new_key() {
    let keys: Vec<SigningKey> = ["1", "2", "3", "4"].map(new_key).into();
    let setup = Fetched::start(jwk_set(&[&keys[0]]), Some(HOUR));
    assert_eq!(setup.verify(&keys[0]).await, Ok(()));
    setup.server.answer(jwk_set(&[&keys[1]]));
    assert_eq!(setup.verify(&keys[1]).await, Ok(()));
    // Tokens of the first key are still sent, and cause fetches after each cooldown.
    let before = setup.server.requests();
    for _ in 0..25 {
        for _ in 0..10 {
            assert_eq!(setup.verify(&keys[0]).await, Err(ErrorKind::UnknownKey));
        }
        setup.clock.advance(Duration::from_secs(1));
    }
    let requested = setup.server.requests() - before;
    assert!((2..=3).contains(&requested), "{requested}");
    // The next rotation is still followed at once.
    setup.server.answer(jwk_set(&[&keys[2]]));
    assert_eq!(setup.verify(&keys[2]).await, Ok(()));
    // Made-up keys have no such exception after that.
    let before = setup.server.requests();
    for _ in 0..20 {
        assert!(is_unavailable(&setup.verify(&new_key("made-up")).await));
        assert_eq!(setup.verify(&keys[0]).await, Err(ErrorKind::UnknownKey));
    }
    assert_eq!(setup.server.requests(), before);
}

#[tokio::test]
async fn first_token_of_a_withdrawn_key_does_not_delay_a_new_key() {
    let keys: Vec<SigningKey> = ["1", "2", "3"].map(new_key).into();
    let setup = Fetched::start(jwk_set(&[&keys[0]]), Some(10 * MINUTE));
    assert_eq!(setup.verify(&keys[0]).await, Ok(()));
    setup.server.answer(jwk_set(&[&keys[1]]));
    setup.advance_to_request(2).await;
    setup.until_accepted(&keys[1]).await;
    // Withdrawn by a background refresh, before any token of it was rejected.
    assert_eq!(setup.verify(&keys[0]).await, Err(ErrorKind::UnknownKey));
    setup.server.answer(jwk_set(&[&keys[2]]));
    assert_eq!(setup.verify(&keys[2]).await, Ok(()));
}

#[tokio::test]
async fn rotation_with_or_without_overlap_is_followed_at_the_first_request() {
    let keys: Vec<SigningKey> = ["1", "2", "3", "4"].map(new_key).into();
    for overlap in [true, false] {
        let setup = Fetched::start(jwk_set(&[&keys[0]]), Some(HOUR));
        assert_eq!(setup.verify(&keys[0]).await, Ok(()));
        for next in 1..keys.len() {
            let published: Vec<&SigningKey> =
                keys[next - usize::from(overlap)..=next].iter().collect();
            setup.server.answer(jwk_set(&published));
            assert_eq!(setup.verify(&keys[next]).await, Ok(()), "at the first request");
            let last = setup.verify(&keys[next - 1]).await;
            assert_eq!(last.is_ok(), overlap, "{last:?}");
            if next > 1 {
                assert_eq!(setup.verify(&keys[next - 2]).await, Err(ErrorKind::UnknownKey));
            }
            assert_eq!(setup.server.requests(), next as u64 + 1);
            // Past the cooldown of unknown keys.
            setup.clock.advance(Duration::from_secs(10));
        }
    }
}
