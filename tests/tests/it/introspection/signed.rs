//! Signed answers (RFC 9701).

use oauth2_actix::{Algorithm, testing::SigningKey};
use oauth2_actix_tests::{forge, keys::key};

use super::*;

const TYPE: &str = "token-introspection+jwt";

fn signing() -> &'static SigningKey {
    key(Algorithm::ES256)
}

fn setup() -> Setup {
    setup_with(&ManualClock::new())
}

fn setup_with(clock: &ManualClock) -> Setup {
    Setup::with_clock(
        clock.clone(),
        Answer::status(500),
        |introspection| introspection.signed(true),
        |provider| provider.keys(signing().jwk_set()),
    )
}

fn claims(setup: &Setup) -> Value {
    json!({
        "iss": ISSUER,
        "aud": "orders-api",
        "iat": setup.clock.unix_seconds(),
        "token_introspection": members_of(&setup.clock, json!({"scope": "a"})),
    })
}

fn signed_as(typ: &str, claims: &Value, by: &SigningKey) -> String {
    let header = json!({"alg": by.algorithm().name(), "kid": by.kid(), "typ": typ});
    forge::sealed(&forge::b64(header.to_string()), &forge::b64(claims.to_string()), forge::by(by))
}

fn answer(text: &str) -> Answer {
    Answer::body(200, &[("content-type", "application/token-introspection+jwt")], text.as_bytes())
}

#[tokio::test]
async fn signed_response_is_accepted_and_a_plain_one_is_not() {
    let setup = setup();
    setup.server.answer(answer(&signed_as(TYPE, &claims(&setup), signing())));
    let claims = setup.oauth2.verify("opaque").await.unwrap();
    assert!(claims.has_scope("a"));
    assert!(setup.server.last_request().contains("accept: application/token-introspection+jwt"));
    setup.server.answer(setup.active(json!({})));
    assert!(is_unavailable(&setup.verify("plain").await));
    let inactive = json!({
        "iss": ISSUER, "aud": ["x", "orders-api"], "iat": setup.clock.unix_seconds(),
        "token_introspection": {"active": false},
    });
    setup.clock.advance(seconds(10));
    setup.server.answer(answer(&signed_as(TYPE, &inactive, signing())));
    assert_eq!(setup.verify("inactive").await, Err(ErrorKind::TokenInactive));
}

#[tokio::test]
async fn signed_response_for_another_api_is_rejected() {
    let other = SigningKey::generate(Algorithm::ES256, signing().kid());
    // One clock, since these times are at the limits of what is accepted.
    let clock = ManualClock::new();
    let base = claims(&setup_with(&clock));
    let now = clock.unix_seconds();
    let with = |name: &str, value: Value| {
        let mut claims = base.clone();
        claims[name] = value;
        signed_as(TYPE, &claims, signing())
    };
    let hmac_header = json!({"alg": "HS256", "kid": signing().kid(), "typ": TYPE});
    let public = signing().public_pem();
    let by_hmac = forge::sealed(
        &forge::b64(hmac_header.to_string()),
        &forge::b64(base.to_string()),
        |message| forge::hmac("sha256", public.as_bytes(), message),
    );
    let good = signed_as(TYPE, &base, signing());
    let unsigned = {
        let [_, payload, _] = forge::parts(&good);
        format!("{}.{payload}.", forge::b64(json!({"alg": "none", "typ": TYPE}).to_string()))
    };
    for (name, text) in [
        ("issuer", with("iss", json!("https://other.test"))),
        ("no issuer", with("iss", Value::Null)),
        ("audience", with("aud", json!("api"))),
        ("no audience", with("aud", Value::Null)),
        ("audience of other types", with("aud", json!(["orders-api", 7]))),
        ("old", with("iat", json!(now - 61))),
        ("future", with("iat", json!(now + 61))),
        ("no time", with("iat", Value::Null)),
        ("sub", with("sub", json!("ann"))),
        ("exp", with("exp", json!(now + 60))),
        ("no object", with("token_introspection", json!("active"))),
        ("active is text", with("token_introspection", json!({"active": "true"}))),
        ("type of a token", signed_as("at+jwt", &base, signing())),
        ("type JWT", signed_as("JWT", &base, signing())),
        ("another key", signed_as(TYPE, &base, &other)),
        ("HMAC with the public key", by_hmac),
        ("unsigned", unsigned),
        ("JSON", json!({"active": true, "aud": "api"}).to_string()),
        ("nothing", String::new()),
    ] {
        let setup = setup_with(&clock);
        setup.server.answer(answer(&text));
        let result = setup.verify("token").await;
        assert!(is_unavailable(&result), "{name}: {result:?}");
    }
    for good in [good, with("iat", json!(now - 60)), with("iat", json!(now + 60))] {
        let setup = setup_with(&clock);
        setup.server.answer(answer(&good));
        assert_eq!(setup.verify("token").await, Ok(()));
    }
}

/// RFC 9701 §8.1.
#[tokio::test]
async fn signed_answer_is_no_access_token() {
    let setup = setup();
    let now = setup.clock.unix_seconds();
    let claims = json!({
        "iss": ISSUER, "aud": "api", "iat": now, "exp": now + 60, "sub": "ann",
        "token_introspection": {"active": true},
    });
    let text = signed_as(TYPE, &claims, signing());
    let error = setup.oauth2.verify(&text).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TypeNotAllowed), "{error}");
    assert_eq!(setup.server.requests(), 0);
}

/// The keys that verify answers are fetched, and looked for again when they are unknown.
#[tokio::test]
async fn keys_of_answers_are_fetched_and_rotate() {
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let clock = ManualClock::new();
    let old = SigningKey::generate(Algorithm::ES256, "old");
    let new = SigningKey::generate(Algorithm::ES256, "new");
    server.answer_at("/jwks.json", Answer::json(&old.jwk_set()));
    let provider =
        introspected(at(&server).signed(true)).keys(server.url()).key_refresh_minutes(60);
    let oauth2 = builder(&clock).provider("p", provider).build().unwrap();
    let claims = |iat: u64| {
        json!({
            "iss": ISSUER, "aud": "orders-api", "iat": iat,
            "token_introspection": {"active": true, "aud": "api"},
        })
    };
    server.answer_at(PATH, answer(&signed_as(TYPE, &claims(clock.unix_seconds()), &old)));
    oauth2.verify("one").await.unwrap();
    server.answer_at("/jwks.json", Answer::json(&new.jwk_set()));
    server.answer_at(PATH, answer(&signed_as(TYPE, &claims(clock.unix_seconds()), &new)));
    oauth2.verify("two").await.unwrap();
}
