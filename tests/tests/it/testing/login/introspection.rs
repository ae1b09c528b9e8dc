//! Opaque tokens, which APIs introspect at the identity provider.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2_actix::testing::{IdentityProvider, ManualClock};
use oauth2_actix_tests::{
    client::{Answer, client, send},
    policy,
};
use serde_json::json;

use super::{FORM, Form, json_of, post, register, registered, start};

#[tokio::test]
async fn opaque_token_is_active_with_its_claims_from_nbf_to_exp() {
    let idp = start();
    let clock = ManualClock::new();
    idp.set_clock(clock.clone());
    let claims = idp.token().claim("scope", "orders:read").expires_in(60);
    let issued = idp.token().sign(&idp.key());
    let now = payload(&issued)["iat"].as_u64().unwrap();
    let token = idp.opaque_token(claims.clone().claim("nbf", now + 10));
    assert_eq!(json_of(&introspect(&idp, &token).await), json!({"active": false}));

    clock.advance(Duration::from_secs(10));
    let answer = introspect(&idp, &token).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let answer = json_of(&answer);
    for (name, value) in [
        ("active", json!(true)),
        ("token_type", json!("Bearer")),
        ("scope", json!("orders:read")),
        ("aud", json!("api")),
        ("exp", json!(now + 60)),
    ] {
        assert_eq!(answer[name], value, "{name}");
    }
    let bound = idp.opaque_token(claims.claim("cnf", json!({"jkt": "x"})));
    assert_eq!(json_of(&introspect(&idp, &bound).await)["token_type"], "DPoP");

    clock.advance(Duration::from_secs(50));
    assert_eq!(json_of(&introspect(&idp, &token).await), json!({"active": false}));
}

#[tokio::test]
async fn unknown_token_and_revoked_one_are_inactive() {
    let idp = start();
    let token = idp.opaque_token(idp.token());
    assert!(idp.revoke_opaque(&token) && !idp.revoke_opaque(&token));
    for token in [&token, "unknown", &idp.token().sign(&idp.key())] {
        assert_eq!(json_of(&introspect(&idp, token).await), json!({"active": false}), "{token}");
    }
}

#[tokio::test]
async fn only_a_client_with_a_secret_may_introspect() {
    let idp = start();
    let token = idp.opaque_token(idp.token());
    let public = registered(&idp).await;
    let form = |pairs: &[(&str, &str)]| Form::new(pairs).with("token", &token);
    for credentials in [
        form(&[]),
        form(&[("client_id", &public)]),
        form(&[("client_id", "quickstart")]),
        form(&[("client_id", "quickstart"), ("client_secret", "wrong")]),
    ] {
        let refused = post(&idp, "/introspect", &credentials).await;
        let result = (refused.status, refused.error());
        assert_eq!(result, (401, "invalid_client".into()), "{credentials:?}");
    }
    let registered = register(
        &idp,
        &json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "client_secret_post"}),
    )
    .await;
    let registered = json_of(&registered);
    let text = |name: &str| registered[name].as_str().unwrap().to_owned();
    let answer = post(
        &idp,
        "/introspect",
        &form(&[("client_id", &text("client_id")), ("client_secret", &text("client_secret"))]),
    )
    .await;
    assert_eq!(json_of(&answer)["active"], true);
    let secret = idp.client_secret("orders-api");
    let own = form(&[("client_id", "orders-api"), ("client_secret", &secret)]);
    assert_eq!(json_of(&post(&idp, "/introspect", &own).await)["active"], true);
    assert_eq!(idp.introspection_requests(), 6);
}

#[tokio::test]
async fn credentials_in_the_header_are_form_decoded() {
    let idp = start();
    let token = idp.opaque_token(idp.token());
    let request = client()
        .post(idp.introspection_url())
        .header("content-type", FORM)
        .basic_auth("%71uickstart", Some("quick%73tart"))
        .body(format!("token={token}"));
    assert_eq!(json_of(&send(request).await)["active"], true);
}

#[tokio::test]
async fn client_that_asks_for_a_signed_answer_gets_one_that_no_api_takes_for_a_token() {
    let idp = start();
    let token = idp.opaque_token(idp.token());
    let request = request(&idp, &token).header("accept", "application/token-introspection+jwt");
    let answer = send(request).await;
    assert_eq!(answer.header("content-type"), Some("application/token-introspection+jwt"));
    let provider = oauth2_actix::Provider::new()
        .issuer(idp.issuer())
        .audience("quickstart")
        .keys(idp.jwks_url());
    let oauth2 =
        policy::builder().provider("idp", provider).key_refresh_minutes(5).build().unwrap();
    let rejected = oauth2.verify(&answer.body).await.expect_err("not an access token");
    assert!(rejected.to_string().contains("typ"), "{rejected}");
}

/// The payload of a JWT.
fn payload(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Introspects as the client `quickstart`.
async fn introspect(idp: &IdentityProvider, token: &str) -> Answer {
    let answer = send(request(idp, token)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

fn request(idp: &IdentityProvider, token: &str) -> reqwest::RequestBuilder {
    client()
        .post(idp.introspection_url())
        .header("content-type", FORM)
        .basic_auth("quickstart", Some("quickstart"))
        .body(format!("token={token}"))
}
