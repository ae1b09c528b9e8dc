//! Registration.

use oauth2_actix_tests::client::{client, send};
use serde_json::{Value, json};

use super::{REDIRECT, ask, authorize, json_of, register, registered, start};

#[tokio::test]
async fn registration_has_the_defaults_of_rfc_7591_and_shows_what_is_registered() {
    let idp = start();
    let answer = register(&idp, &json!({"redirect_uris": [REDIRECT], "unknown": 1})).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let registered = json_of(&answer);
    assert_eq!(registered["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    assert_eq!(registered["response_types"], json!(["code"]));
    assert_eq!(registered["redirect_uris"], json!([REDIRECT]));
    assert!(registered["client_secret"].as_str().unwrap().len() >= 43);
    assert!(registered["client_id_issued_at"].is_u64());

    // A grant type that this provider does not have is left out.
    let device = "urn:ietf:params:oauth:grant-type:device_code";
    let metadata = json!({
        "redirect_uris": ["cursor://app/cb"],
        "grant_types": ["authorization_code", "refresh_token", device],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "client_name": "An agent",
    });
    let registered = json_of(&register(&idp, &metadata).await);
    assert_eq!(registered["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(
        (&registered["client_name"], registered.get("client_secret")),
        (&json!("An agent"), None)
    );
}

#[tokio::test]
async fn invalid_registration_is_refused() {
    let idp = start();
    let with = |name: &str, value: Value| {
        let mut metadata = json!({"redirect_uris": [REDIRECT]});
        metadata[name] = value;
        metadata
    };
    let many = vec![REDIRECT; 11];
    for (metadata, error) in [
        (json!({}), "invalid_redirect_uri"),
        (json!([]), "invalid_client_metadata"),
        (with("redirect_uris", json!([])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(REDIRECT)), "invalid_redirect_uri"),
        (with("redirect_uris", json!([REDIRECT, 1])), "invalid_redirect_uri"),
        (with("redirect_uris", json!([REDIRECT, "javascript:alert(1)"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["http://app.test/cb"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!([format!("{REDIRECT}#x")])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(many)), "invalid_redirect_uri"),
        (with("grant_types", json!(["implicit"])), "invalid_client_metadata"),
        (with("grant_types", json!("authorization_code")), "invalid_client_metadata"),
        (with("response_types", json!(["token"])), "invalid_client_metadata"),
        (with("token_endpoint_auth_method", json!("private_key_jwt")), "invalid_client_metadata"),
        (with("token_endpoint_auth_method", json!(1)), "invalid_client_metadata"),
        (with("client_name", json!(1)), "invalid_client_metadata"),
        (with("client_name", json!("x".repeat(201))), "invalid_client_metadata"),
        (with("other", json!("x".repeat(17_000))), "invalid_client_metadata"),
        (
            json!({"token_endpoint_auth_method": "none", "grant_types": ["client_credentials"]}),
            "invalid_client_metadata",
        ),
    ] {
        let refused = register(&idp, &metadata).await;
        assert_eq!((refused.status, refused.error().as_str()), (400, error), "{metadata}");
    }
    let body = r#"{"redirect_uris":["https://a.test/"],"redirect_uris":["https://b.test/"]}"#;
    let request = client().post(format!("{}/register", idp.issuer())).body(body);
    assert_eq!(send(request).await.error(), "invalid_client_metadata");
    let request = client().post(format!("{}/register", idp.issuer())).body("x".repeat(100_000));
    assert_eq!(send(request).await.status, 413);
}

#[tokio::test]
async fn after_100_registrations_the_oldest_client_is_forgotten() {
    let idp = start();
    let (first, second) = (registered(&idp).await, registered(&idp).await);
    for _ in 0..98 {
        registered(&idp).await;
    }
    assert_eq!(authorize(&idp, &ask(&first)).await.status, 200);
    registered(&idp).await;
    assert_eq!(authorize(&idp, &ask(&first)).await.status, 400);
    assert_eq!(authorize(&idp, &ask(&second)).await.status, 200);
}
