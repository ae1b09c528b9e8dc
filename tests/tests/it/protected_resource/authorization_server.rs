//! What the log says at start of settings that differ from an authorization server's metadata.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header::HttpDate;
use oauth2_actix::{Algorithm, Provider, Resource, testing::ManualClock};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    log, policy,
};
use serde_json::{Value, json};

use super::MCP;

const DOCUMENT: &str = "/.well-known/openid-configuration";

/// Warms a policy up whose authorization server has these members and this `Date`, and returns the log lines about it.
async fn warm_up(members: Value, clock_ahead: i64) -> Vec<String> {
    log::keep();
    let server = KeyServer::start(Answer::json(&key(Algorithm::ES256).jwk_set())).unwrap();
    let clock = ManualClock::new();
    let mut document = json!({"issuer": server.url_of(""), "jwks_uri": server.url()});
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let now = UNIX_EPOCH + Duration::from_secs(clock.unix_seconds());
    let date = if clock_ahead < 0 {
        now - Duration::from_secs(clock_ahead.unsigned_abs())
    } else {
        now + Duration::from_secs(clock_ahead.unsigned_abs())
    };
    let date = HttpDate::from(date).to_string();
    let answer = Answer::body(200, &[("date", &date)], document.to_string().as_bytes());
    server.answer_at(DOCUMENT, answer);
    let provider =
        Provider::new().issuer(server.url_of("")).keys(server.url()).algorithms([Algorithm::ES256]);
    let name = format!("idp-{}", server.url_of("").rsplit(':').next().unwrap());
    let oauth2 = policy::builder()
        .provider(&name, provider)
        .resource(Resource::new(MCP).scopes(["orders:read"]))
        .clock(clock)
        .build()
        .unwrap();
    oauth2.warm_up().await.unwrap();
    assert_eq!(server.requests_at(DOCUMENT), 1);
    log::lines_with(&[&name, "metadata"])
}

fn complete() -> Value {
    json!({
        "authorization_endpoint": "https://idp.test/authorize",
        "code_challenge_methods_supported": ["S256"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "scopes_supported": ["openid", "orders:read"],
        "protected_resources": ["https://other.example", "HTTPS://API.example.com/mcp"],
    })
}

#[actix_web::test]
async fn metadata_that_fits_the_settings_is_not_mentioned() {
    for members in [complete(), json!({})] {
        let lines = warm_up(members, 2).await;
        assert!(lines.is_empty(), "{lines:?}");
    }
}

#[actix_web::test]
async fn each_difference_is_logged_in_words() {
    for (member, value, words) in [
        ("protected_resources", json!(["https://other.example"]), "does not list https://api"),
        ("id_token_signing_alg_values_supported", json!(["RS256"]), "it signs with RS256, and"),
        ("scopes_supported", json!(["openid"]), "`scopes_supported` lacks orders:read"),
        ("code_challenge_methods_supported", json!(["plain"]), "MCP clients will refuse"),
        ("code_challenge_methods_supported", json!(null), "MCP clients will refuse"),
    ] {
        let mut members = complete();
        members[member] = value;
        let lines = warm_up(members, 0).await;
        assert_eq!(lines.len(), 1, "{member}: {lines:?}");
        assert!(lines[0].contains("WARN") && lines[0].contains(words), "{lines:?}");
    }
}

#[actix_web::test]
async fn clock_that_differs_is_logged() {
    for (ahead, words) in [
        (60, "its clock is 60 s ahead of this one: tokens will be rejected as not valid yet"),
        (-60, "its clock is 60 s behind this one: tokens will be rejected as expired too early"),
    ] {
        let lines = warm_up(complete(), ahead).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(words), "{lines:?}");
    }
}

#[actix_web::test]
async fn document_that_cannot_be_fetched_does_not_fail_the_start() {
    log::keep();
    let server = KeyServer::start(Answer::json(&key(Algorithm::ES256).jwk_set())).unwrap();
    for answer in [
        Answer::status(404),
        Answer::body(200, &[], b"<html>"),
        Answer::json(&json!({"issuer": "https://evil.example"})),
        Answer::reset(),
    ] {
        server.answer_at(DOCUMENT, answer.clone());
        server.answer_at("/.well-known/oauth-authorization-server", answer);
        let provider = Provider::new().issuer(server.url_of("")).keys(server.url());
        let oauth2 = policy::builder().provider("unfetched", provider).resource(MCP);
        oauth2.build().unwrap().warm_up().await.unwrap();
    }
    let lines = log::lines_with(&["unfetched", "cannot be compared with the settings"]);
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[actix_web::test]
async fn metadata_is_not_fetched_without_a_resource() {
    let server = KeyServer::start(Answer::json(&key(Algorithm::ES256).jwk_set())).unwrap();
    let provider = Provider::new().issuer(server.url_of("")).audience("api").keys(server.url());
    policy::builder().provider("idp", provider).build().unwrap().warm_up().await.unwrap();
    assert_eq!((server.requests(), server.requests_at(DOCUMENT)), (1, 0));
}
