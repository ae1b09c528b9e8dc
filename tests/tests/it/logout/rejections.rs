//! Messages and requests that revoke nothing.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::{Algorithm, ErrorKind, testing::SigningKey};
use oauth2_actix_tests::{
    client::{client, send},
    forge::{b64, by, forge, parts},
    keys::key,
};
use serde_json::{Value, json};

use super::{Api, CLIENT, LOGOUT, body, builder, form, sign};

/// Sends a logout token that must be rejected, and checks that it has revoked nothing.
async fn assert_rejected(api: &Api, token: &str, what: &str) {
    let answer = api.post(token).await;
    assert_eq!(answer.status, 400, "{what}: {}", answer.body);
    let expected =
        json!({"error": "invalid_request", "error_description": "The message is not accepted."});
    assert_eq!(body(&answer), expected, "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert!(answer.header("www-authenticate").is_none(), "{what}");
    assert_eq!(api.entries(), 0, "{what}");
}

#[tokio::test]
async fn message_with_one_wrong_claim_is_rejected() {
    let api = Api::start(builder());
    let now = api.clock.unix_seconds();
    for (name, value) in [
        ("iss", json!("https://unknown.test")),
        ("iss", json!("https://idp.test/")),
        ("aud", json!("api")),
        ("aud", json!("other-app")),
        ("aud", json!([])),
        ("aud", json!([CLIENT, 1])),
        ("aud", json!("Orders-App")),
        ("iat", json!(now + 61)),
        ("iat", json!(now - 3600)),
        ("exp", json!(now)),
        ("jti", json!(1)),
        ("sub", json!(["ann"])),
        ("sid", json!("")),
        ("nonce", json!("n-1")),
        ("events", json!({})),
        ("events", json!([LOGOUT])),
        ("events", json!({LOGOUT: true})),
    ] {
        let token = api.logout_token().claim(name, value.clone());
        assert_rejected(&api, &sign(&token), &format!("{name} {value}")).await;
    }
    for name in ["iss", "aud", "iat", "exp", "jti", "events"] {
        assert_rejected(&api, &sign(&api.logout_token().without(name)), name).await;
    }
    let neither = api.logout_token().without("sub").without("sid");
    assert_rejected(&api, &sign(&neither), "neither sub nor sid").await;
    assert_eq!(api.post(&sign(&api.logout_token())).await.status, 200, "the control");
}

#[tokio::test]
async fn message_of_another_type_is_rejected() {
    let api = Api::start(builder());
    for typ in ["at+jwt", "secevent+jwt", "id_token+jwt", "logout", "logout+jwt+x", "JOSE", ""] {
        assert_rejected(&api, &sign(&api.logout_token().header("typ", typ)), typ).await;
    }
}

#[tokio::test]
async fn message_that_its_provider_has_not_signed_is_rejected() {
    let api = Api::start(builder());
    let es256 = key(Algorithm::ES256);
    let good = sign(&api.logout_token());
    let payload = URL_SAFE_NO_PAD.decode(parts(&good)[1]).unwrap();
    let of =
        |alg: &str, kid: &str| json!({"alg": alg, "kid": kid, "typ": "logout+jwt"}).to_string();
    let stolen_kid = SigningKey::generate(Algorithm::ES256, es256.kid());
    for (what, forged) in [
        ("another provider's key", api.logout_token().sign(key(Algorithm::ES384))),
        ("another key with the same kid", api.logout_token().sign(&stolen_kid)),
        ("none", format!("{}.{}.", b64(of("none", es256.kid())), b64(&payload))),
        ("none with a signature", forge(of("none", es256.kid()), &payload, by(es256))),
        ("HMAC by the public key", {
            let secret = es256.public_pem();
            let hmac = SigningKey::from_secret(Algorithm::HS256, es256.kid(), secret.as_bytes());
            forge(of("HS256", es256.kid()), &payload, by(&hmac))
        }),
        ("HMAC by the JWK", {
            let secret = es256.public_jwk().to_string();
            let hmac = SigningKey::from_secret(Algorithm::HS256, es256.kid(), secret.as_bytes());
            forge(of("HS256", es256.kid()), &payload, by(&hmac))
        }),
        ("a key in the header", {
            let attacker = SigningKey::generate(Algorithm::ES256, "attacker");
            let header = json!({"alg": "ES256", "jwk": attacker.public_jwk(), "typ": "logout+jwt"});
            forge(header.to_string(), &payload, by(&attacker))
        }),
        ("changed claims", {
            let [header, _, signature] = parts(&good);
            let mut changed: Value = serde_json::from_slice(&payload).unwrap();
            changed["sid"] = json!("s-2");
            format!("{header}.{}.{signature}", b64(changed.to_string()))
        }),
        ("a cut signature", good[..good.len() - 4].to_owned()),
        ("no signature", format!("{}.", good.rsplit_once('.').unwrap().0)),
        ("nothing", String::new()),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned()),
    ] {
        assert_rejected(&api, &forged, what).await;
    }
}

/// A token of one kind is never accepted as another.
#[tokio::test]
async fn access_token_and_id_token_are_not_logout_tokens() {
    let api = Api::start(builder());
    let access =
        api.access_token("ann", "s-1").claim("jti", "1").claim("aud", json!(["api", CLIENT]));
    for (what, token) in [
        ("access token", access.clone()),
        ("access token with events", access.clone().claim("events", json!({LOGOUT: {}}))),
        ("id_token", access.clone().header("typ", "JWT").claim("nonce", "n-1")),
        ("id_token without nonce", access.header("typ", "JWT")),
    ] {
        assert_rejected(&api, &sign(&token), what).await;
    }
}

#[tokio::test]
async fn logout_token_is_not_an_access_token_even_for_the_audience_of_the_api() {
    let api = Api::start(builder());
    for (typ, events) in [
        ("logout+jwt", json!({LOGOUT: {}})),
        ("JWT", json!({LOGOUT: {}})),
        ("JWT", json!({"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}})),
        ("secevent+jwt", json!({})),
    ] {
        let token = api.logout_token().claim("aud", "api").header("typ", typ);
        let error = api.oauth2.verify(&sign(&token.claim("events", events))).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::TypeNotAllowed, "{typ}");
    }
    // A claim of the same name with another meaning is the application's business.
    let token = api.access_token("ann", "s-1").claim("events", json!({"concert": {}}));
    assert!(api.accepts(&sign(&token)).await);
}

#[tokio::test]
async fn request_of_another_form_is_rejected() {
    let api = Api::start(builder());
    let token = sign(&api.logout_token());
    for (what, fields) in [
        ("no field", vec![]),
        ("another field", vec![("token", token.as_str())]),
        ("two", vec![("logout_token", token.as_str()), ("logout_token", token.as_str())]),
        ("an empty one", vec![("logout_token", "")]),
    ] {
        assert_eq!(api.form(&fields).await.status, 400, "{what}");
    }
    let url = api.server.url("/backchannel-logout");
    let json = client().post(&url).header("content-type", "application/json");
    let object = json!({"logout_token": token}).to_string();
    assert_eq!(send(json.body(object)).await.status, 400);
    let query = client().post(format!("{url}?logout_token={token}")).header("content-length", 0);
    assert_eq!(send(query).await.status, 400);
    let text = client().post(&url).header("content-type", "text/plain");
    assert_eq!(send(text.body(format!("logout_token={token}"))).await.status, 400);
    assert_eq!(api.entries(), 0);
}

#[tokio::test]
async fn body_that_is_too_large_is_rejected_before_it_is_read() {
    let api = Api::start(builder());
    let large = format!("{}&logout_token={}", "x=1&".repeat(5000), sign(&api.logout_token()));
    let url = api.server.url("/backchannel-logout");
    let form = "application/x-www-form-urlencoded";
    let answer = send(client().post(&url).header("content-type", form).body(large)).await;
    assert_eq!((answer.status, answer.error().as_str()), (413, "invalid_request"));
    // A token of the greatest length is read.
    let claim = "x".repeat(11_000);
    let long = sign(&api.logout_token().claim("padding", claim));
    assert!(long.len() > 14_000);
    assert_eq!(api.post(&long).await.status, 200);
}

#[tokio::test]
async fn message_of_an_attacker_with_an_access_token_is_rejected() {
    let api = Api::start(builder());
    let forged = api.logout_token().sign(key(Algorithm::ES384));
    let bearer = sign(&api.access_token("ann", "s-1"));
    let request = client().post(api.server.url("/backchannel-logout")).bearer_auth(bearer);
    assert_eq!(send(form(request, &[("logout_token", &forged)])).await.status, 400);
    assert_eq!(api.entries(), 0);
}
