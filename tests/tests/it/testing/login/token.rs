//! Codes, refresh tokens, and the claims of the tokens.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use oauth2_actix::testing::ManualClock;
use oauth2_actix_tests::client::{client, send};
use serde_json::json;

use super::{
    API, FORM, Form, REDIRECT, ask, code, exchange, json_of, refresh, register, registered,
    signed_in, start, token, verified,
};

#[tokio::test]
async fn code_with_a_wrong_request_is_refused_and_used_up() {
    let idp = start();
    let (id, other) = (registered(&idp).await, registered(&idp).await);
    for (name, value) in [
        ("code_verifier", "x".repeat(43)),
        ("code_verifier", VERIFIER_WITH_OTHER_CASE.to_owned()),
        // Hashes to nothing that could match, but is also too short.
        ("code_verifier", "short".to_owned()),
        ("redirect_uri", "http://127.0.0.1:33419/callback".to_owned()),
        ("client_id", other),
    ] {
        let code = code(&idp, &ask(&id)).await;
        let good = exchange(&id, &code);
        let refused = token(&idp, &good.clone().set(name, &value)).await;
        assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_grant"), "{name}");
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        assert_eq!(token(&idp, &good).await.error(), "invalid_grant", "{name}");
    }
    // The parameters are the cause: with the right ones, the same client gets a token.
    signed_in(&idp, &ask(&id)).await;
}

#[tokio::test]
async fn code_without_a_required_parameter_is_refused() {
    let idp = start();
    let id = registered(&idp).await;
    let code = code(&idp, &ask(&id)).await;
    let good = exchange(&id, &code);
    for (name, error) in [
        ("grant_type", "invalid_request"),
        ("code", "invalid_request"),
        ("code_verifier", "invalid_request"),
        ("redirect_uri", "invalid_request"),
        ("client_id", "invalid_client"),
    ] {
        assert_eq!(token(&idp, &good.clone().without(name)).await.error(), error, "{name}");
    }
    assert_eq!(token(&idp, &good.clone().with("code", "x")).await.error(), "invalid_request");
    assert_eq!(token(&idp, &good).await.status, 200);
}

#[tokio::test]
async fn code_that_is_used_twice_revokes_its_refresh_token() {
    let idp = start();
    let id = registered(&idp).await;
    let code = code(&idp, &ask(&id)).await;
    let issued = json_of(&token(&idp, &exchange(&id, &code)).await);
    let next = json_of(&token(&idp, &refresh(&id, &issued)).await);
    assert_eq!(token(&idp, &exchange(&id, &code)).await.error(), "invalid_grant");
    assert_eq!(token(&idp, &refresh(&id, &next)).await.error(), "invalid_grant");
}

#[tokio::test]
async fn code_is_valid_for_less_than_60_seconds() {
    let idp = start();
    let clock = ManualClock::new();
    idp.set_clock(clock.clone());
    let id = registered(&idp).await;
    let (early, late) = (code(&idp, &ask(&id)).await, code(&idp, &ask(&id)).await);
    clock.advance(Duration::from_secs(59));
    assert_eq!(token(&idp, &exchange(&id, &early)).await.status, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(token(&idp, &exchange(&id, &late)).await.error(), "invalid_grant");
}

#[tokio::test]
async fn refresh_token_is_replaced_at_each_use_and_the_second_use_revokes_the_next_one() {
    let idp = start();
    let clock = ManualClock::new();
    idp.set_clock(clock.clone());
    let id = registered(&idp).await;
    let asked = ask(&id).with("scope", "a b").with("resource", API).with("acr_values", "two one");
    let first = signed_in(&idp, &asked).await;
    let signed_in_at = clock.unix_seconds();

    clock.advance(Duration::from_secs(3600));
    let second = json_of(&token(&idp, &refresh(&id, &first)).await);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    // What the user approved is in the new token too, with the time of the approval.
    let claims = claims(&second);
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!(API), &json!("a b")));
    assert_eq!((&claims["sub"], &claims["acr"]), (&json!("ann"), &json!("two")));
    assert_eq!(claims["auth_time"], signed_in_at);
    assert_eq!(claims["iat"], signed_in_at + 3600);

    let third = json_of(&token(&idp, &refresh(&id, &second)).await);
    assert_eq!(token(&idp, &refresh(&id, &first)).await.error(), "invalid_grant");
    assert_eq!(token(&idp, &refresh(&id, &third)).await.error(), "invalid_grant");
}

#[tokio::test]
async fn refresh_token_of_another_client_is_refused_and_revoked() {
    let idp = start();
    let (id, other) = (registered(&idp).await, registered(&idp).await);
    let issued = signed_in(&idp, &ask(&id)).await;
    assert_eq!(token(&idp, &refresh(&other, &issued)).await.error(), "invalid_grant");
    assert_eq!(token(&idp, &refresh(&id, &issued)).await.error(), "invalid_grant");
}

#[tokio::test]
async fn refresh_can_narrow_scopes_and_resources_but_not_widen_them() {
    let idp = start();
    let id = registered(&idp).await;
    let other = "https://other.test/";
    let asked = ask(&id).with("scope", "a b").with("resource", API).with("resource", other);
    let issued = signed_in(&idp, &asked).await;
    assert_eq!(claims(&issued)["aud"], json!([API, other]));

    let good = refresh(&id, &issued);
    let wider = good.clone().with("scope", "a c");
    assert_eq!(token(&idp, &wider).await.error(), "invalid_scope");
    let wider = good.clone().with("resource", "https://third.test/");
    assert_eq!(token(&idp, &wider).await.error(), "invalid_target");

    let narrow = json_of(&token(&idp, &good.with("scope", "b").with("resource", other)).await);
    assert_eq!(narrow["scope"], "b");
    assert_eq!((&claims(&narrow)["scope"], &claims(&narrow)["aud"]), (&json!("b"), &json!(other)));
    // The next refresh token still has all that was approved.
    let whole = json_of(&token(&idp, &refresh(&id, &narrow)).await);
    assert_eq!(
        (&claims(&whole)["scope"], &claims(&whole)["aud"]),
        (&json!("a b"), &json!([API, other]))
    );
}

#[tokio::test]
async fn client_without_the_grant_type_gets_no_refresh_token() {
    let idp = start();
    let metadata = json!({"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"});
    let registered = json_of(&register(&idp, &metadata).await);
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    let asked = ask(registered["client_id"].as_str().unwrap()).with("scope", "offline_access");
    let issued = signed_in(&idp, &asked).await;
    assert!(issued["access_token"].is_string() && issued.get("refresh_token").is_none());
}

#[tokio::test]
async fn audience_is_the_resource_and_by_default_the_providers_own() {
    let idp = start();
    let id = registered(&idp).await;
    let by_default = signed_in(&idp, &ask(&id)).await;
    assert_eq!(claims(&by_default)["aud"], "api");
    assert!(claims(&by_default).get("scope").is_none() && by_default.get("scope").is_none());
    assert_eq!(verified(&idp, "api", &by_default).await.subject(), Some("ann"));

    // A client may write the resource in another form of the same URI.
    idp.set_protected_resources(["https://api.test"]);
    let asked = ask(&id).with("resource", "HTTPS://api.test/");
    assert_eq!(claims(&signed_in(&idp, &asked).await)["aud"], "https://api.test");

    let code = code(&idp, &ask(&id)).await;
    let added = exchange(&id, &code).with("resource", "https://api.test");
    assert_eq!(token(&idp, &added).await.error(), "invalid_target");
}

#[tokio::test]
async fn lifetime_of_tokens_is_set() {
    let idp = start();
    idp.set_token_lifetime(Duration::from_secs(20));
    let id = registered(&idp).await;
    let issued = signed_in(&idp, &ask(&id)).await;
    let claims = claims(&issued);
    assert_eq!(issued["expires_in"], 20);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 20);
}

#[tokio::test]
async fn confidential_client_must_authenticate() {
    let idp = start();
    let metadata = json!({
        "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code", "client_credentials"],
    });
    let registered = json_of(&register(&idp, &metadata).await);
    let id = registered["client_id"].as_str().unwrap();
    let secret = registered["client_secret"].as_str().unwrap();
    assert_eq!(registered["client_secret_expires_at"], 0);

    let code = code(&idp, &ask(id)).await;
    let request = exchange(id, &code);
    for wrong in [
        request.clone(),
        request.clone().with("client_secret", "wrong"),
        request.clone().with("client_secret", &secret[1..]),
        request.clone().set("client_id", "unknown").with("client_secret", secret),
    ] {
        let refused = token(&idp, &wrong).await;
        assert_eq!((refused.status, refused.error().as_str()), (401, "invalid_client"));
    }
    let basic = |credentials: String, form: &Form| {
        client()
            .post(format!("{}/token", idp.issuer()))
            .header("authorization", format!("Basic {}", STANDARD.encode(credentials)))
            .header("content-type", FORM)
            .body(form.encoded())
    };
    let refused = send(basic(format!("{id}:wrong"), &request)).await;
    assert_eq!((refused.status, refused.challenge()), (401, "Basic realm=\"identity provider\""));
    let twice = request.clone().with("client_secret", secret);
    let refused = send(basic(format!("{id}:{secret}"), &twice)).await;
    assert_eq!(refused.error(), "invalid_request");
    let issued = send(basic(format!("{id}:{secret}"), &request.without("client_id"))).await;
    assert_eq!(issued.status, 200, "{}", issued.body);

    let own = Form::new(&[
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
        ("resource", API),
    ]);
    let issued = json_of(&token(&idp, &own).await);
    assert_eq!((&claims(&issued)["client_id"], &claims(&issued)["aud"]), (&json!(id), &json!(API)));
}

#[tokio::test]
async fn client_credentials_of_quickstart_get_any_claims_and_no_cors_header() {
    let idp = start();
    let request = Form::new(&[
        ("grant_type", "client_credentials"),
        ("client_id", "quickstart"),
        ("client_secret", "quickstart"),
        ("scope", "a"),
        ("expires_in", "-10"),
        ("claims", "{\"role\":\"admin\"}"),
    ]);
    let answer = token(&idp, &request).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let claims = claims(&json_of(&answer));
    assert_eq!((&claims["role"], &claims["scope"]), (&json!("admin"), &json!("a")));
    assert_eq!(claims["sub"], "user-1");
    assert_eq!(claims["iat"].as_i64().unwrap() - claims["exp"].as_i64().unwrap(), 10);

    for (name, value, error) in [
        ("claims", "[]", "invalid_request"),
        ("expires_in", "soon", "invalid_request"),
        ("client_secret", "other", "invalid_client"),
        ("grant_type", "password", "unsupported_grant_type"),
        ("grant_type", "authorization_code", "invalid_request"),
    ] {
        let refused = token(&idp, &request.clone().set(name, value)).await;
        assert_eq!(refused.error(), error, "{name}={value}");
    }
    let body = client().post(format!("{}/token", idp.issuer())).body("{}");
    let refused = send(body.header("content-type", "application/json")).await;
    assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_request"));
}

/// The claims of an access token, which is not verified.
fn claims(issued: &serde_json::Value) -> serde_json::Value {
    let token = issued["access_token"].as_str().unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// The verifier of these tests with its first letter in the other case.
const VERIFIER_WITH_OTHER_CASE: &str = "DBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
