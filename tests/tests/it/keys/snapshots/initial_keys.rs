//! Keys of the configuration that are used until the first fetch.

use super::*;

#[tokio::test]
async fn initial_keys_verify_until_the_first_successful_fetch() {
    log::keep();
    let (initial, shared, next) = (new_key("initial"), new_key("shared"), new_key("next"));
    for (name, refresh) in [("initial-never", None), ("initial-hour", Some(HOUR))] {
        let setup = Setup::new(name, Answer::status(503));
        let keys = json!({"keys": [initial.public_jwk(), shared.public_jwk()]});
        let mut provider = setup.provider().initial_keys(keys.clone());
        if let Some(refresh) = refresh {
            provider = provider.key_refresh(refresh);
        }
        let oauth2 = policy::builder()
            .provider(name, provider)
            .fetch_timeout(MINUTE)
            .clock(setup.clock.clone())
            .build()
            .unwrap();
        assert_eq!(status(&oauth2).state, KeyState::Initial);
        assert!(oauth2.is_ready());
        oauth2.warm_up().await.unwrap();
        assert_eq!(verify(&oauth2, &initial).await, Ok(()));
        assert_eq!(verify(&oauth2, &new_key("initial")).await, Err(ErrorKind::SignatureInvalid));
        // Without a successful fetch, unknown keys are unavailable.
        assert!(unavailable(&verify(&oauth2, &next).await));
        setup.server.wait_for_requests(1);
        let shown = serde_json::to_value(oauth2.key_status()).unwrap();
        assert_eq!(
            (&shown[0]["state"], &shown[0]["age_seconds"]),
            (&json!("initial"), &json!(null))
        );
        // The fetches are retried with or without a refresh and requests.
        setup.server.answer(jwk_set(&[&shared, &next]));
        advance_until(&setup.clock, Duration::from_secs(1), "keys are fetched", || {
            status(&oauth2).state == KeyState::Fresh
        })
        .await;
        for (key, expected) in
            [(&shared, Ok(())), (&next, Ok(())), (&initial, Err(ErrorKind::UnknownKey))]
        {
            assert_eq!(verify(&oauth2, key).await, expected, "{name} {}", key.kid());
        }
    }
    assert_eq!(log::lines_with(&["INFO", "keys fetched", "provider=initial-"]).len(), 2);
}

#[tokio::test]
async fn unknown_key_beside_initial_keys_is_fetched_in_the_same_request() {
    let (initial, next) = (new_key("initial"), new_key("next"));
    let setup = Setup::new("first-need", jwk_set(&[&next]));
    let provider = setup.provider().initial_keys(initial.jwk_set());
    let oauth2 = policy::builder().provider("p", provider).build().unwrap();
    assert_eq!(verify(&oauth2, &next).await, Ok(()));
    assert_eq!(verify(&oauth2, &initial).await, Err(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn initial_keys_become_stale_only_with_refresh() {
    let initial = new_key("initial");
    let setup = Setup::new("initial-stale", Answer::status(500));
    let start = |refresh: Option<Duration>| {
        let mut provider = setup.provider().initial_keys(initial.jwk_set());
        if let Some(refresh) = refresh {
            provider = provider.key_refresh(refresh);
        }
        let builder = policy::builder().provider("p", provider).clock(setup.clock.clone());
        builder.build().unwrap()
    };
    let (refreshed, permanent) = (start(Some(HOUR)), start(None));
    setup.clock.advance(24 * HOUR - Duration::from_secs(1));
    assert_eq!(verify(&refreshed, &initial).await, Ok(()));
    setup.clock.advance(Duration::from_secs(1));
    assert!(unavailable(&verify(&refreshed, &initial).await));
    assert_eq!(status(&refreshed).state, KeyState::Unavailable);
    assert_eq!(verify(&permanent, &initial).await, Ok(()));
}

#[tokio::test]
async fn snapshot_takes_precedence_over_initial_keys() {
    let (initial, known) = (new_key("initial"), new_key("known"));
    let setup = Setup::new("precedence", jwk_set(&[&known]));
    setup.write_and_stop().await;
    let start = || setup.builder(setup.provider().initial_keys(initial.jwk_set())).build().unwrap();
    let oauth2 = start();
    assert_eq!(status(&oauth2).state, KeyState::Snapshot);
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    assert!(unavailable(&verify(&oauth2, &initial).await));
    setup.clock.advance(24 * HOUR);
    let oauth2 = start();
    assert_eq!(status(&oauth2).state, KeyState::Initial, "the snapshot is stale");
    assert_eq!(verify(&oauth2, &initial).await, Ok(()));
}

#[test]
fn unusable_initial_keys_are_build_errors() {
    let (url, good) = ("https://idp.test/jwks", key(Algorithm::ES256).jwk_set());
    let secret = key(Algorithm::HS256).jwk_set();
    for (keys, initial, more, word) in [
        (json!(url), json!("https://idp.test/initial"), json!({}), "are not inline"),
        (json!(url), json!({"file": "/etc/keys.json"}), json!({}), "are not inline"),
        (json!(url), json!([good, {"url": url}]), json!({}), "are not inline"),
        (json!(url), json!({"keys": []}), json!({}), "no keys"),
        (json!(url), json!("/etc/keys.json"), json!({}), "the path of a file"),
        (json!(url), json!(7), json!({}), "neither text nor JSON keys"),
        (json!(good), json!(good), json!({}), "all keys are given inline"),
        // HMAC requires inline keys, and initial keys replace fetched ones.
        (
            json!([url, secret]),
            json!(secret),
            json!({"algorithms": ["HS256", "ES256"]}),
            "no usable key",
        ),
    ] {
        let mut provider =
            json!({"issuer": ISSUER, "audience": "api", "keys": keys, "initial_keys": initial});
        provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = json!({"providers": {"p": provider}});
        let error = match serde_json::from_value::<OAuth2Builder>(config) {
            Err(error) => error.to_string(),
            Ok(builder) => builder.build().expect_err(word).to_string(),
        };
        assert!(
            error.contains("provider \"p\": initial_keys: ") && error.contains(word),
            "{error}"
        );
    }
    let always =
        Provider::new().issuer(ISSUER).audience("api").keys(url).key_refresh(Duration::ZERO);
    let error = policy::builder().provider("p", always.initial_keys(good)).build().unwrap_err();
    assert_eq!(error.field(), "initial_keys");
}
