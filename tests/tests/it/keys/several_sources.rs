//! One provider with several sources of keys, which are independent and may all verify a token.

use std::time::Duration;

use futures_util::poll;
use oauth2_actix::{
    Algorithm, ErrorKind, Keys, OAuth2, Provider,
    status::KeyState,
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::{EVERY, key},
    log, policy,
    wait::{advance_until, until},
};
use serde_json::{Value, json};

const ISSUER: &str = "https://p.example/auth/v1";
const HOUR: Duration = Duration::from_secs(3600);

fn provider() -> Provider {
    Provider::new().issuer(ISSUER).audience("authenticated")
}

fn token(key: &SigningKey) -> String {
    Token::new(ISSUER, "authenticated").expires_in(365 * 86_400).sign(key)
}

async fn verify(oauth2: &OAuth2, token: &str) -> Result<(), ErrorKind> {
    oauth2.verify(token).await.map(drop).map_err(|error| error.kind().clone())
}

fn new_key(kid: &str) -> SigningKey {
    SigningKey::generate(Algorithm::ES256, kid)
}

fn jwk_set(keys: &[&SigningKey]) -> Answer {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    Answer::json(&json!({"keys": keys}))
}

fn server(answer: Answer) -> KeyServer {
    KeyServer::start(answer).unwrap()
}

/// Returns each source with its state.
fn states(oauth2: &OAuth2) -> Vec<(String, KeyState)> {
    oauth2.key_status().into_iter().map(|status| (status.source, status.state)).collect()
}

fn build(keys: &Value, algorithms: &Value) -> Result<OAuth2, String> {
    let config = json!({
        "providers": {
            "p": {"issuer": ISSUER, "audience": "authenticated", "keys": keys, "algorithms": algorithms},
        },
    });
    let builder = policy::from_json(config);
    builder.map_err(|error| error.to_string())?.build().map_err(|error| error.to_string())
}

/// An old HS256 secret, and the ES256 keys that replace it, for one issuer and audience.
#[tokio::test]
async fn inline_secret_and_url_of_one_issuer_both_verify() {
    let (old, new) = (key(Algorithm::HS256), key(Algorithm::ES256));
    let published = server(Answer::json(&new.jwk_set()));
    let both = [Algorithm::HS256, Algorithm::ES256];
    let builder = |provider: Provider| {
        policy::builder().provider("p", provider.algorithms(both)).build().unwrap()
    };
    let secret = || Keys::inline(old.jwk_set());
    for oauth2 in [
        builder(provider().keys(published.url()).keys(secret())),
        builder(provider().keys([Keys::url(published.url()), secret()])),
        builder(provider().keys(vec![secret(), Keys::from(published.url())])),
        build(&json!([published.url(), old.jwk_set()]), &json!(["HS256", "ES256"])).unwrap(),
        build(
            &json!([{"url": published.url()}, {"inline": old.public_jwk()}]),
            &json!(["HS256", "ES256"]),
        )
        .unwrap(),
    ] {
        let before = published.requests();
        assert_eq!(verify(&oauth2, &token(old)).await, Ok(()));
        assert_eq!(published.requests(), before, "the inline secret needs no fetch");
        assert_eq!(verify(&oauth2, &token(new)).await, Ok(()));
        assert_eq!(verify(&oauth2, &token(old)).await, Ok(()));
        assert_eq!(published.requests(), before + 1);
        let mut states = states(&oauth2);
        states.sort_by_key(|(source, _)| source.clone());
        let expected =
            [(published.url(), KeyState::Fresh), ("inline".to_owned(), KeyState::Inline)];
        assert_eq!(states, expected);
    }
}

#[tokio::test]
async fn sources_of_every_kind_verify_beside_each_other() {
    let keys: Vec<SigningKey> = ["inline", "url", "discovery", "file"].map(new_key).into();
    let at = server(Answer::status(404));
    at.answer_at("/keys", jwk_set(&[&keys[1]]));
    at.answer_at("/jwks", jwk_set(&[&keys[2]]));
    at.answer_at(
        "/.well-known/openid-configuration",
        Answer::json(&json!({"issuer": ISSUER, "jwks_uri": at.url_of("/jwks")})),
    );
    let path = std::env::temp_dir().join(format!("oauth2-actix-several-{}", std::process::id()));
    std::fs::write(&path, keys[3].jwk_set().to_string()).unwrap();
    let sources = json!([
        keys[0].jwk_set(), at.url_of("/keys"), {"discover": at.url_of("")}, {"file": path},
    ]);
    let oauth2 = build(&sources, &json!(["ES256"])).unwrap();
    for key in keys.iter().rev() {
        assert_eq!(verify(&oauth2, &token(key)).await, Ok(()), "{}", key.kid());
    }
    std::fs::remove_file(path).unwrap();
    assert!(matches!(verify(&oauth2, &token(&new_key("none"))).await, Err(ErrorKind::UnknownKey)));
    let kids: Vec<_> =
        oauth2.key_status().into_iter().map(|status| status.keys[0].kid.clone()).collect();
    assert_eq!(kids, keys.iter().map(|key| Some(key.kid().to_owned())).collect::<Vec<_>>());
}

#[tokio::test]
async fn failing_source_does_not_affect_others() {
    let (good, other) = (new_key("good"), new_key("other"));
    let (up, down) = (server(jwk_set(&[&good])), server(Answer::hang()));
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider("p", provider().keys([down.url(), up.url()]))
        .key_refresh(HOUR)
        .clock(clock.clone())
        .build()
        .unwrap();
    until("the good source is fetched", || oauth2.key_status()[1].state == KeyState::Fresh).await;
    down.wait_for_requests(1);
    for _ in 0..3 {
        assert_eq!(verify(&oauth2, &token(&good)).await, Ok(()), "without waiting");
    }
    assert!(!oauth2.is_ready(), "the other source has not responded yet");
    // The other source may have the key that the good one does not have.
    let unknown = token(&other);
    let mut waiting = Box::pin(oauth2.verify(&unknown));
    assert!(poll!(waiting.as_mut()).is_pending());
    until("the good source was fetched", || oauth2.key_status()[1].fetches.succeeded == 2).await;
    clock.advance(Duration::from_secs(5));
    assert!(matches!(waiting.await.unwrap_err().kind(), ErrorKind::KeysUnavailable { .. }));
    until("it has failed", || oauth2.key_status()[0].state == KeyState::Unavailable).await;
    assert!(oauth2.is_ready(), "one source has keys, and the other was fetched");
    let status = oauth2.key_status();
    assert_eq!(status[0].last_error.as_ref().unwrap().cause, "no complete answer within 5 s");
    assert_eq!((status[1].fetches.failed, &status[1].last_error), (0, &None));
    let mut refresh = Box::pin(oauth2.refresh_keys());
    assert!(poll!(refresh.as_mut()).is_pending());
    until("the good one is refreshed", || oauth2.key_status()[1].fetches.succeeded == 3).await;
    down.wait_for_requests(2);
    clock.advance(Duration::from_secs(5));
    let error = refresh.await.unwrap_err();
    let failures: Vec<_> = error.failures().collect();
    assert_eq!(failures.len(), 1, "{error}");
    assert!(failures[0].1.starts_with(&format!("{}: no complete", down.url())), "{error}");
    // The source recovers without a restart.
    down.answer(jwk_set(&[&other]));
    advance_until(&clock, Duration::from_millis(100), "the other is fetched", || {
        oauth2.key_status()[0].state == KeyState::Fresh
    })
    .await;
    assert_eq!(verify(&oauth2, &unknown).await, Ok(()));
}

#[tokio::test]
async fn rotation_at_one_source_is_followed_while_another_hangs() {
    let keys: Vec<SigningKey> = ["1", "2"].map(new_key).into();
    let (one, other) = (server(jwk_set(&[&keys[0]])), server(jwk_set(&[&new_key("other")])));
    let oauth2 = policy::builder()
        .provider("p", provider().keys([other.url(), one.url()]))
        .key_refresh(HOUR)
        .clock(ManualClock::new())
        .build()
        .unwrap();
    oauth2.warm_up().await.unwrap();
    other.answer(Answer::hang());
    one.answer(jwk_set(&[&keys[1]]));
    assert_eq!(verify(&oauth2, &token(&keys[1])).await, Ok(()), "the first response counts");
}

#[tokio::test]
async fn invalid_signature_of_a_key_of_one_source_causes_no_fetch_at_another() {
    let (known, elsewhere) = (new_key("known"), new_key("elsewhere"));
    let (one, other) = (server(jwk_set(&[&known])), server(jwk_set(&[&elsewhere])));
    let oauth2 = policy::builder()
        .provider("p", provider().keys([one.url(), other.url()]))
        .key_refresh(HOUR)
        .clock(ManualClock::new())
        .build()
        .unwrap();
    oauth2.warm_up().await.unwrap();
    for (kid, genuine) in [("known", &known), ("elsewhere", &elsewhere)] {
        assert_eq!(verify(&oauth2, &token(genuine)).await, Ok(()));
        for _ in 0..3 {
            assert_eq!(
                verify(&oauth2, &token(&new_key(kid))).await,
                Err(ErrorKind::SignatureInvalid)
            );
        }
    }
    assert_eq!((one.requests(), other.requests()), (1, 1));
    // A made-up key id is searched for at both, once.
    for _ in 0..3 {
        assert_eq!(verify(&oauth2, &token(&new_key("made-up"))).await, Err(ErrorKind::UnknownKey));
    }
    assert_eq!((one.requests(), other.requests()), (2, 2));
}

#[tokio::test]
async fn key_withdrawn_at_one_source_ends_its_tokens_only() {
    let keys: Vec<SigningKey> = ["one", "other", "next"].map(new_key).into();
    let (one, other) = (server(jwk_set(&[&keys[0]])), server(jwk_set(&[&keys[1]])));
    let oauth2 = policy::builder()
        .provider("p", provider().keys([one.url(), other.url()]))
        .key_refresh(HOUR)
        .clock(ManualClock::new())
        .build()
        .unwrap();
    oauth2.warm_up().await.unwrap();
    let tokens = [token(&keys[0]), token(&keys[1])];
    // Twice, so that they are cached.
    for token in tokens.iter().chain(&tokens) {
        assert_eq!(verify(&oauth2, token).await, Ok(()));
    }
    one.answer(jwk_set(&[&keys[2]]));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(verify(&oauth2, &tokens[0]).await, Err(ErrorKind::UnknownKey));
    assert_eq!(verify(&oauth2, &tokens[1]).await, Ok(()));
    // A key of two sources is valid until both have withdrawn it.
    other.answer(jwk_set(&[&keys[1], &keys[2]]));
    oauth2.refresh_keys().await.unwrap();
    let shared = token(&keys[2]);
    for _ in 0..2 {
        assert_eq!(verify(&oauth2, &shared).await, Ok(()));
    }
    one.answer(jwk_set(&[&keys[0]]));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(verify(&oauth2, &shared).await, Ok(()));
    other.answer(jwk_set(&[&keys[1]]));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(verify(&oauth2, &shared).await, Err(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn refresh_of_zero_fetches_only_for_tokens_without_an_inline_key() {
    let (inline, published) = (new_key("inline"), new_key("published"));
    let at = server(jwk_set(&[&published]));
    let oauth2 = policy::builder()
        .provider("p", provider().keys([Keys::inline(inline.jwk_set()), Keys::url(at.url())]))
        .key_refresh(Duration::ZERO)
        .build()
        .unwrap();
    for _ in 0..3 {
        assert_eq!(verify(&oauth2, &token(&inline)).await, Ok(()));
    }
    assert_eq!(at.requests(), 0);
    for _ in 0..3 {
        assert_eq!(verify(&oauth2, &token(&published)).await, Ok(()));
    }
    assert_eq!(at.requests(), 3);
    assert!(!oauth2.is_ready());
}

#[tokio::test]
async fn list_is_either_of_keys_or_of_sources() {
    let published = server(Answer::json(&key(Algorithm::ES256).jwk_set()));
    let (es256, rs256) = (key(Algorithm::ES256), key(Algorithm::RS256));
    let (jwk, url) = (es256.public_jwk(), published.url());
    let set = rs256.jwk_set();
    let sources = |keys: Value| {
        build(&keys, &json!(["ES256", "RS256"])).map(|oauth2| oauth2.key_status().len())
    };
    // A list of keys is one source.
    assert_eq!(sources(json!([jwk, rs256.public_jwk()])), Ok(1));
    assert_eq!(sources(json!([jwk, {}, 1])), Ok(1));
    // A list of sources, also of one.
    assert_eq!(sources(json!([url])), Ok(1));
    assert_eq!(sources(json!([set])), Ok(1));
    assert_eq!(sources(json!([set, es256.jwk_set()])), Ok(2));
    assert_eq!(sources(json!([url, set, {"inline": jwk}])), Ok(3));
    assert_eq!(sources(json!([{"url": url}, {"file": "/etc/keys.json"}])), Ok(2));
    assert_eq!(sources(json!([{"discover": "true"}, {"inline": [jwk]}])), Ok(2));
    let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    for (keys, word) in [
        (json!([url, jwk]), "item 2 of the list is a single key, and others are sources"),
        (json!([pem, url]), "item 1 of the list is a single key, and others are sources"),
        (json!([url, {"discover": false}]), "item 2 of the list: `discover`"),
        (json!([url, 1]), "item 2 of the list is not a source of keys"),
        (json!([url, "/etc/keys.json"]), "item 2 of the list is not a source of keys"),
        (json!([url, [jwk]]), "item 2 of the list is not a source of keys"),
        (json!([url, {}]), "item 2 of the list is not a source of keys"),
        (json!([url, url]), "is listed twice"),
        (json!([{"url": url}, url]), "is listed twice"),
        (json!([]), "no keys"),
        (json!(vec![json!({"file": "x"}); 17]), "17 sources, more than 16"),
        (json!({"url": url, "x": 1}), "\"x\" does not belong beside `url`"),
    ] {
        let error = sources(keys.clone()).expect_err(word);
        assert!(error.starts_with("provider \"p\": keys: "), "{error}");
        assert!(error.contains(word), "{keys}: {error}");
    }
    // The same in code: `build` reports invalid sources.
    let unreadable = provider().keys(json!({"discover": false}));
    let error = policy::builder().provider("p", unreadable).build().unwrap_err();
    assert_eq!(error.field(), "keys");
}

#[test]
fn text_that_is_no_key_document_is_diagnosed() {
    for (text, word) in [
        ("file:///etc/keys.json", "`file:` URL"),
        ("/etc/keys.json", "the path of a file"),
        ("./keys.pem", "the path of a file"),
        ("keys.jwks", "the path of a file"),
        ("idp.example/jwks", "URL without its scheme"),
        ("localhost:8080/jwks", "URL without its scheme"),
        ("host/jwks.json", "the path of a file"),
        ("ftp://idp.example/jwks", "neither `https` nor `http`"),
        ("super-secret-jwt-token-with-at-least-32-characters", "{\"kty\": \"oct\""),
        ("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA", "neither a URL, JSON nor PEM"),
        ("no document at all", "neither a URL, JSON nor PEM"),
    ] {
        let error = build(&json!(text), &json!(["ES256"])).expect_err(text);
        assert!(error.contains(word), "{text}: {error}");
        assert!(!error.contains(text), "{error}");
    }
}

#[test]
fn hmac_with_fetched_keys_is_a_build_error() {
    let secret = key(Algorithm::HS256).jwk_set();
    let url = "https://idp.example/jwks";
    for (keys, algorithms, word) in [
        (
            json!([url, "https://idp.example/more"]),
            json!(["HS256", "ES256"]),
            "HS256 needs an inline",
        ),
        (json!([url, secret]), json!(["HS256", "HS512"]), "only HMAC is named"),
        (json!([{"discover": true}, secret]), json!(["HS256"]), "only HMAC is named"),
    ] {
        let error = build(&keys, &algorithms).expect_err(word);
        assert!(error.starts_with("provider \"p\": algorithms: "), "{error}");
        assert!(error.contains(word), "{error}");
    }
    // A secret beside a URL is not used unless its algorithm is named.
    let unnamed = provider().keys([Keys::url(url), Keys::inline(secret)]);
    let error = policy::builder().provider("p", unnamed).build().unwrap_err();
    assert_eq!(error.field(), "keys");
}

#[tokio::test]
async fn sources_of_one_name_are_numbered() {
    log::keep();
    let at = server(Answer::json(&key(Algorithm::ES256).jwk_set()));
    let url = |tenant: &str| format!("{}?tenant={tenant}", at.url());
    let several = provider().keys([url("one"), url("two")]);
    let oauth2 = policy::builder().provider("same-name", several).build().unwrap();
    oauth2.warm_up().await.unwrap();
    let sources: Vec<_> = oauth2.key_status().into_iter().map(|status| status.source).collect();
    assert_eq!(sources, [at.url(), format!("{} (2)", at.url())]);
    // One info line at the first successful fetch of each source.
    oauth2.refresh_keys().await.unwrap();
    let lines = log::lines_with(&["INFO", "keys fetched", "provider=same-name", "keys=1"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("(2)")).count(), 1);
    assert!(log::lines_with(&["tenant=one"]).is_empty());
}

#[tokio::test]
async fn inline_sources_are_ready_at_once() {
    for key in EVERY.iter() {
        let both = provider()
            .algorithms([key.algorithm()])
            .keys([Keys::inline(key.jwk_set()), Keys::inline(key.bare_jwk())]);
        let oauth2 = policy::builder().provider("p", both).build().unwrap();
        assert!(oauth2.is_ready());
        assert_eq!(verify(&oauth2, &token(key)).await, Ok(()), "{}", key.algorithm());
    }
}
