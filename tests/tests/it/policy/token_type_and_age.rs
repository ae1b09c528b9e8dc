//! Options that restrict tokens: by type, and by age.

use std::time::Duration;

use oauth2_actix::{
    Algorithm, ErrorKind, OAuth2, OAuth2Builder, Provider, requirement,
    testing::{ManualClock, SigningKey, Token},
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

/// An access token of RFC 9068.
fn access_token() -> Token {
    token().claim("sub", "ann").claim("client_id", "shop").claim("jti", "1")
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
        assert_eq!(kind(&strict, &access_token().header("typ", typ)).await, None, "{typ}");
    }
    for typ in [json!("JWT"), json!("application/jwt"), Value::Null] {
        let token = access_token().header("typ", typ.clone());
        assert_eq!(kind(&strict, &token).await, Some(ErrorKind::TypeNotAllowed), "{typ}");
        assert_eq!(kind(&lenient, &token).await, None, "{typ}");
    }
    let api = Api::start(strict);
    let id_token = access_token().header("typ", "JWT").sign(key(Algorithm::ES256));
    let answer = client::get(&api.url("/me"), Some(&id_token)).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    assert_eq!(api.private_calls(), 0);
}

/// RFC 9068 §2.2: claims that an access token has, and §2.2.1: types of others.
#[tokio::test]
async fn require_at_jwt_rejects_a_token_without_a_claim_of_the_profile() {
    let strict = settings(json!({}), json!({"require_at_jwt": true})).build().unwrap();
    for claim in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let without = access_token().without(claim);
        let null = access_token().claim(claim, Value::Null);
        for token in [without, null] {
            assert!(kind(&strict, &token).await.is_some(), "{claim}");
        }
    }
    for claim in ["client_id", "jti", "iat"] {
        let rejected = kind(&strict, &access_token().without(claim)).await;
        assert_eq!(rejected, Some(ErrorKind::ClaimInvalid { claim }), "{claim}");
    }
    for (claim, value) in [
        ("client_id", json!(7)),
        ("iat", json!("1")),
        ("auth_time", json!("yesterday")),
        ("acr", json!(["a"])),
        ("amr", json!("pwd")),
        ("amr", json!([1])),
    ] {
        let rejected = kind(&strict, &access_token().claim(claim, value.clone())).await;
        assert_eq!(rejected, Some(ErrorKind::ClaimInvalid { claim }), "{claim} {value}");
    }
    let full = access_token()
        .claim("auth_time", 1_700_000_000)
        .claim("acr", "urn:mfa")
        .claim("amr", json!(["pwd", "otp"]));
    assert_eq!(kind(&strict, &full).await, None);
}

#[tokio::test]
async fn clients_restrict_the_tokens_of_a_provider() {
    let limited = settings(json!({}), json!({"clients": ["shop", "app"]})).build().unwrap();
    for name in ["client_id", "azp", "appid", "cid"] {
        assert_eq!(kind(&limited, &token().claim(name, "app")).await, None, "{name}");
        for other in [json!("App"), json!("shop "), json!(["app"]), Value::Null] {
            let rejected = kind(&limited, &token().claim(name, other.clone())).await;
            assert_eq!(rejected, Some(ErrorKind::ClientNotAllowed), "{name} {other}");
        }
    }
    assert_eq!(kind(&limited, &token()).await, Some(ErrorKind::ClientNotAllowed));
    // The first claim counts, so that a second one adds no client.
    let two = token().claim("client_id", "evil").claim("azp", "app");
    assert_eq!(kind(&limited, &two).await, Some(ErrorKind::ClientNotAllowed));
    let api = Api::start(limited);
    let rejected = token().claim("azp", "evil").sign(key(Algorithm::ES256));
    let answer = client::get(&api.url("/me"), Some(&rejected)).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    assert!(!answer.challenge().contains("client"), "{}", answer.challenge());
}

#[tokio::test]
async fn subjects_restrict_the_tokens_of_a_provider() {
    let limited = settings(json!({}), json!({"subjects": "billing-job"})).build().unwrap();
    assert_eq!(kind(&limited, &token().claim("sub", "billing-job")).await, None);
    for other in ["ann", "", "billing-job2"] {
        let rejected = kind(&limited, &token().claim("sub", other)).await;
        assert_eq!(rejected, Some(ErrorKind::SubjectNotAllowed), "{other}");
    }
    assert_eq!(kind(&limited, &token().without("sub")).await, Some(ErrorKind::SubjectNotAllowed));
}

#[tokio::test]
async fn requirement_of_every_token_is_checked_with_and_without_the_cache() {
    let of_all = json!({"require": {"claim": "tenant", "value": "ours"}});
    let of_provider =
        json!({"require": {"any": [{"scopes": ["api"]}, {"claim": "admin", "value": true}]}});
    for cache in [true, false] {
        let mut policy = of_all.clone();
        policy["token_cache"] = json!(cache);
        let oauth2 = settings(policy, of_provider.clone()).build().unwrap();
        let good = token().claim("tenant", "ours").claim("scope", "api");
        for _ in 0..3 {
            assert_eq!(kind(&oauth2, &good).await, None);
            assert_eq!(
                kind(&oauth2, &token().claim("tenant", "ours").claim("admin", true)).await,
                None
            );
            let other = kind(&oauth2, &good.clone().claim("tenant", "theirs")).await;
            let required = "claim tenant = \"ours\"".to_owned();
            assert_eq!(other, Some(ErrorKind::RequirementNotMet { required }));
            let neither = kind(&oauth2, &token().claim("tenant", "ours")).await;
            assert!(matches!(neither, Some(ErrorKind::RequirementNotMet { .. })), "{neither:?}");
        }
    }
}

/// Otherwise anyone could find out which clients and subjects are allowed.
#[tokio::test]
async fn token_that_is_not_genuine_tells_nothing_of_clients_and_subjects() {
    let limited =
        settings(json!({}), json!({"clients": ["shop"], "subjects": ["ann"]})).build().unwrap();
    let forger = SigningKey::generate(Algorithm::ES256, key(Algorithm::ES256).kid());
    for (client, subject) in [("shop", "ann"), ("shop", "eve"), ("evil", "ann"), ("evil", "eve")] {
        let forged = token().claim("client_id", client).claim("sub", subject).sign(&forger);
        let error = limited.verify(&forged).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::SignatureInvalid, "{client} {subject}");
    }
}

#[tokio::test]
async fn unmet_requirement_of_one_provider_leaves_the_token_to_another() {
    let provider = |audience: &str| {
        Provider::new()
            .issuer("https://idp.test")
            .audience(audience)
            .keys(key(Algorithm::ES256).jwk_set())
    };
    let strict = provider("a").require(requirement::claim("tenant", "ours"));
    for first in [true, false] {
        let builder = policy::builder();
        let builder = if first {
            builder.provider("strict", strict.clone()).provider("open", provider("b"))
        } else {
            builder.provider("open", provider("b")).provider("strict", strict.clone())
        };
        let oauth2 = builder.build().unwrap();
        let both = token().claim("aud", json!(["a", "b"])).sign(key(Algorithm::ES256));
        assert_eq!(oauth2.verify(&both).await.unwrap().provider(), "open");
        let only = token().claim("aud", "a").sign(key(Algorithm::ES256));
        let error = oauth2.verify(&only).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::RequirementNotMet { .. }), "{error:?}");
        assert_eq!(error.provider(), Some("strict"));
    }
}

#[test]
fn empty_lists_of_clients_and_subjects_are_build_errors() {
    for (field, value) in [
        ("clients", json!([])),
        ("clients", json!([""])),
        ("subjects", json!([])),
        ("require", json!({})),
        ("require", json!({"scopes": []})),
        ("require", json!({"claim": "a", "value": 1.5})),
        ("require", json!({"claim": "a", "value": 1, "any_of": [1]})),
        ("require", json!({"claim": "a", "values": 1})),
        ("require", json!({"scopes": ["a"], "claim": "b"})),
        ("require", json!({"all": [{"any": []}]})),
        ("require", json!("scopes")),
    ] {
        let mut settings = json!({"providers": {"idp": {
            "issuer": "https://idp.test", "audience": "api",
            "keys": key(Algorithm::ES256).jwk_set(),
        }}});
        settings["providers"]["idp"][field] = value.clone();
        let error = match policy::from_json(settings) {
            Ok(builder) => builder.build().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(field), "{value}: {error}");
    }
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
