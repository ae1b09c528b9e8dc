//! Registration and client ID metadata documents.

use std::time::Duration;

use oauth2_actix_tests::{
    client::{client, send},
    key_server::{Answer, KeyServer},
};
use serde_json::{Value, json};

use super::{
    REDIRECT, ask, authorize, code, exchange, json_of, refresh, register, registered, signed_in,
    start, token, verified,
};

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

/// A client ID metadata document for its URL.
fn document(id: &str) -> Value {
    json!({
        "client_id": id,
        "client_name": "An agent with a document",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

#[tokio::test]
async fn client_with_a_metadata_document_signs_a_user_in_without_registration() {
    let idp = start();
    let site = KeyServer::start(Answer::status(404)).unwrap();
    let id = site.url_of("/client.json");
    site.answer_at("/client.json", Answer::json(&document(&id)));

    let page = authorize(&idp, &ask(&id)).await;
    assert!(page.body.contains("An agent with a document") && page.body.contains(&id));
    let issued = signed_in(&idp, &ask(&id)).await;
    let claims = verified(&idp, "api", &issued).await;
    assert_eq!(claims.client_id(), Some(id.as_str()));
    // One for each page, and none for the tokens.
    assert_eq!(site.requests_at("/client.json"), 2);
    let next = json_of(&token(&idp, &refresh(&id, &issued)).await);
    assert!(next["refresh_token"].is_string());

    let elsewhere = ask(&id).set("redirect_uri", "http://127.0.0.1:33418/other");
    assert_eq!(authorize(&idp, &elsewhere).await.status, 400);
    // Its code is its own, and a secret is none of its credentials.
    let other = site.url_of("/other.json");
    let code_of_it = code(&idp, &ask(&id)).await;
    let stolen = token(&idp, &exchange(&other, &code_of_it)).await;
    assert_eq!(stolen.error(), "invalid_grant");
    let code_of_it = code(&idp, &ask(&id)).await;
    let secret = exchange(&id, &code_of_it).with("client_secret", "x");
    assert_eq!(token(&idp, &secret).await.error(), "invalid_client");
}

#[tokio::test]
async fn metadata_document_that_is_not_the_clients_own_is_refused() {
    let idp = start();
    let site = KeyServer::start(Answer::status(404)).unwrap();
    let id = site.url_of("/client.json");
    let with = |name: &str, value: Value| {
        let mut document = document(&id);
        document[name] = value;
        Answer::json(&document)
    };
    let twice = format!("{{\"client_id\":\"https://a.test/x\",{}", &document(&id).to_string()[1..]);
    site.answer_at("/good.json", Answer::json(&document(&id)));
    for (answer, why) in [
        (with("client_id", json!(site.url_of("/other.json"))), "another client_id"),
        (with("client_id", json!(id.to_uppercase())), "another client_id"),
        (with("client_id", Value::Null), "another client_id"),
        (with("client_secret", json!("x")), "not public"),
        (with("token_endpoint_auth_method", json!("client_secret_post")), "not public"),
        (with("redirect_uris", json!([])), "redirect_uris"),
        (with("redirect_uris", json!(["javascript:alert(1)"])), "redirect_uris"),
        (with("grant_types", json!(["client_credentials"])), "client_credentials"),
        (with("more", json!("x".repeat(5 * 1024))), "5 KiB"),
        (Answer::body(200, &[], twice.as_bytes()), "unique member names"),
        (Answer::body(200, &[], b"<html>"), "not a JSON object"),
        (Answer::redirect(302, &site.url_of("/good.json")), "another status"),
        (Answer::status(404), "another status"),
        (Answer::json(&document(&id)).truncated(150), "broke off"),
        (Answer::reset(), "no response"),
    ] {
        site.answer_at("/client.json", answer);
        let page = authorize(&idp, &ask(&id)).await;
        assert_eq!((page.status, page.header("location")), (400, None), "{why}");
        assert!(page.body.contains(why), "{why}: {}", page.body);
    }
    assert_eq!(site.requests_at("/good.json"), 0);
    site.answer_at("/client.json", Answer::json(&document(&id)));
    assert_eq!(authorize(&idp, &ask(&id)).await.status, 200);
}

#[tokio::test]
async fn client_id_that_is_a_url_without_tls_or_path_is_refused_without_a_fetch() {
    let idp = start();
    let site = KeyServer::start(Answer::status(404)).unwrap();
    for id in [
        site.url_of("/"),
        site.url_of("/client.json#x"),
        site.url_of("/a/../client.json"),
        site.url_of("/client.json").replace("http://", "http://user@"),
        "http://app.test/client.json".to_owned(),
        "http://0.0.0.0/client.json".to_owned(),
    ] {
        let page = authorize(&idp, &ask(&id)).await;
        assert_eq!(page.status, 400, "{id}");
        assert!(page.body.contains("no URL of a client ID metadata document"), "{id}");
    }
    assert_eq!(site.requests(), 0);
}

#[tokio::test]
async fn slow_metadata_document_ends_in_an_error_and_few_are_fetched_at_once() {
    let idp = start();
    let site = KeyServer::start(Answer::hang()).unwrap();
    let id = site.url_of("/client.json");
    let asked = ask(&id);
    let four = futures_util::future::join_all((0..4).map(|_| authorize(&idp, &asked)));
    let fifth = async {
        let site = &site;
        oauth2_actix_tests::wait::until("4 fetches", || site.requests() == 4).await;
        authorize(&idp, &asked).await
    };
    let started = std::time::Instant::now();
    let (four, fifth) = futures_util::future::join(four, fifth).await;
    assert!(fifth.body.contains("are being fetched"), "{}", fifth.body);
    for page in four {
        assert_eq!(page.status, 400);
        assert!(page.body.contains("no response"), "{}", page.body);
    }
    assert!(started.elapsed() >= Duration::from_secs(5));
    // The slots are free again.
    site.answer(Answer::json(&document(&id)));
    assert_eq!(authorize(&idp, &asked).await.status, 200);
}
