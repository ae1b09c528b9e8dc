//! Options that restrict tokens: by type, and by age.

use std::time::Duration;

use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, OAuth2Builder, Provider,
    testing::{ManualClock, Token},
};
use oauth2_actix_tests::{api::Api, client, keys::key, policy};
use serde_json::{Value, json};

fn settings(policy: Value, provider: Value) -> OAuth2Builder {
    let mut settings = json!({"providers": {"idp": {
        "issuer": "https://idp.test", "audience": "api", "keys": key(Algorithm::ES256).jwk_set(),
    }}});
    settings.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
    let idp = settings["providers"]["idp"].as_object_mut().unwrap();
    idp.extend(provider.as_object().unwrap().clone());
    policy::from_json(settings).unwrap()
}

fn token() -> Token {
    Token::new("https://idp.test", "api")
}

async fn kind(oauth2: &OAuth2, token: &Token) -> Option<ErrorKind> {
    let token = token.sign(key(Algorithm::ES256));
    oauth2.verify(&token).await.err().map(|error| error.kind().clone())
}

#[tokio::test]
async fn require_at_jwt_rejects_other_types() {
    let strict = settings(json!({}), json!({"require_at_jwt": true})).build().unwrap();
    let lenient = settings(json!({}), json!({})).build().unwrap();
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/At+Jwt"] {
        assert_eq!(kind(&strict, &token().header("typ", typ)).await, None, "{typ}");
    }
    for typ in [json!("JWT"), json!("application/jwt"), Value::Null] {
        let token = token().header("typ", typ.clone());
        assert_eq!(kind(&strict, &token).await, Some(ErrorKind::TypeNotAllowed), "{typ}");
        assert_eq!(kind(&lenient, &token).await, None, "{typ}");
    }
    let api = Api::start(strict);
    let id_token = token().header("typ", "JWT").sign(key(Algorithm::ES256));
    let answer = client::get(&api.url("/me"), Some(&id_token)).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    assert_eq!(api.private_calls(), 0);
}

#[tokio::test]
async fn require_at_jwt_applies_to_its_provider_only() {
    let provider = |issuer: &str| {
        Provider::new().issuer(issuer).audience("api").keys(key(Algorithm::ES256).jwk_set())
    };
    let oauth2 = policy::builder()
        .provider("strict", provider("https://idp.test").require_at_jwt(true))
        .provider("lenient", provider("https://other.test"))
        .build()
        .unwrap();
    let plain = |issuer: &str| token().claim("iss", issuer).header("typ", "JWT");
    assert!(kind(&oauth2, &plain("https://idp.test")).await.is_some());
    assert_eq!(kind(&oauth2, &plain("https://other.test")).await, None);
}

#[tokio::test]
async fn token_over_the_maximum_age_is_rejected_before_exp() {
    let clock = ManualClock::new();
    let oauth2 = settings(json!({"max_token_age_seconds": 60, "leeway_seconds": 5}), json!({}))
        .clock(clock.clone())
        .build()
        .unwrap();
    let now = clock.unix_seconds();
    let token = token().claim("iat", now).claim("exp", now + 3600);
    clock.advance(Duration::from_secs(64));
    assert_eq!(kind(&oauth2, &token).await, None);
    clock.advance(Duration::from_secs(1));
    assert!(matches!(kind(&oauth2, &token).await, Some(ErrorKind::TokenTooOld { .. })));
    let without = token.clone().without("iat");
    assert_eq!(kind(&oauth2, &without).await, Some(ErrorKind::ClaimInvalid { claim: "iat" }));
    let api = Api::start(oauth2);
    let answer = client::get(&api.url("/me"), Some(&token.sign(key(Algorithm::ES256)))).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
}

#[tokio::test]
async fn time_left_ends_at_exp_or_the_maximum_age_and_counts_the_leeway() {
    let clock = ManualClock::new();
    let oauth2 = settings(json!({"max_token_age_seconds": 600, "leeway_seconds": 5}), json!({}))
        .clock(clock.clone())
        .build()
        .unwrap();
    let token = token().claim("iat", clock.unix_seconds());
    let claims = async |lifetime: u64| {
        let token = token.clone().claim("exp", clock.unix_seconds() + lifetime);
        oauth2.verify(&token.sign(key(Algorithm::ES256))).await.unwrap()
    };
    assert_eq!(claims(60).await.time_left(), Duration::from_secs(65));
    let claims = claims(3600).await;
    assert_eq!(claims.time_left(), Duration::from_secs(605));
    clock.advance(Duration::from_secs(604));
    assert_eq!(claims.time_left(), Duration::from_secs(1));
    clock.advance(Duration::from_secs(2));
    assert_eq!(claims.time_left(), Duration::ZERO);
}

#[test]
fn maximum_age_out_of_range_is_a_build_error() {
    for (seconds, good) in [(0, false), (1, true), (365 * 86_400, true), (365 * 86_401, false)] {
        let built = settings(json!({"max_token_age_seconds": seconds}), json!({})).build();
        assert_eq!(built.is_ok(), good, "{seconds}");
        if let Err(error) = built {
            assert_eq!(error.field(), "max_token_age_seconds");
        }
    }
}
