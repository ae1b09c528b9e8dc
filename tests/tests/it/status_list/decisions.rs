//! Which tokens a list revokes, and which claims are rejected.

use std::time::Duration;

use actix_web::{App, HttpResponse, test, web};
use oauth2_actix::{ErrorKind, OptionalClaims, TokenCacheConfig};
use serde_json::json;

use super::{Api, builder, sign};

#[tokio::test]
async fn token_whose_status_is_not_zero_is_revoked() {
    let api = Api::start();
    api.publish(&[0, 1, 2, 3, 255]);
    assert_eq!(api.decide(&api.token(0)).await, "accepted");
    for index in 1..=4 {
        let error = api.oauth2.verify(&api.token(index)).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::TokenRevoked, "{index}");
        assert_eq!((error.status().as_u16(), error.code()), (401, Some("invalid_token")));
        assert_eq!(error.provider(), Some("idp"));
    }
    assert_eq!(api.fetches(), 1);
}

#[tokio::test]
async fn index_that_is_not_in_the_list_is_rejected() {
    let api = Api::start();
    for index in [json!(4), json!(1_u64 << 53), json!(u64::MAX)] {
        let token = api.token_with(json!({"status_list": {"idx": index, "uri": api.uri()}}));
        assert_eq!(api.decide(&sign(&token)).await, "claim_invalid", "{index}");
    }
    let fetches = api.fetches();
    for index in [json!(-1), json!(0.5), json!(0.0), json!("0"), json!(null), json!([0])] {
        let token = api.token_with(json!({"status_list": {"idx": index, "uri": api.uri()}}));
        assert_eq!(api.decide(&sign(&token)).await, "claim_invalid", "{index}");
    }
    assert_eq!(api.fetches(), fetches);
}

#[tokio::test]
async fn status_in_another_form_is_rejected() {
    let api = Api::start();
    for status in [
        json!(null),
        json!("active"),
        json!({}),
        json!([]),
        json!({"status_list": null}),
        json!({"status_list": {"idx": 0}}),
        json!({"status_list": {"uri": api.uri()}}),
        json!({"status_list": {"idx": 0, "uri": [api.uri()]}}),
        json!({"identifier_list": {"id": "1", "uri": api.uri()}}),
    ] {
        let token = sign(&api.token_with(status.clone()));
        assert_eq!(api.decide(&token).await, "claim_invalid", "{status}");
    }
    assert_eq!(api.fetches(), 0);
}

#[tokio::test]
async fn uri_that_is_not_at_an_allowed_host_is_rejected_and_not_called() {
    let api = Api::start();
    let host = super::authority(&api.server);
    let port = host.rsplit_once(':').unwrap().1;
    for uri in [
        "https://status.evil.test/lists/1".to_owned(),
        format!("http://{host}@evil.test/lists/1"),
        format!("http://user@{host}/lists/1"),
        format!("http://user:pass@{host}/lists/1"),
        format!("http://evil.test:{port}/lists/1"),
        format!("http://localhost:{port}/lists/1"),
        format!("http://[::1]:{port}/lists/1"),
        "http://127.0.0.1:1/lists/1".to_owned(),
        "http://127.0.0.1/lists/1".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        format!("http://{host}/lists/1#fragment"),
        format!("ftp://{host}/lists/1"),
        "file:///etc/passwd".to_owned(),
        "/lists/1".to_owned(),
        String::new(),
        format!("http://{host}/{}", "x".repeat(2048)),
    ] {
        let token = api.token_with(json!({"status_list": {"idx": 0, "uri": uri}}));
        let error = api.oauth2.verify(&sign(&token)).await.unwrap_err();
        assert_eq!(error.kind_name(), "claim_invalid", "{uri}");
        assert!(error.expected().is_some_and(|expected| expected.contains(&host)), "{uri}");
    }
    assert_eq!(api.server.requests(), 0);
}

#[tokio::test]
async fn token_without_a_status_is_accepted_unless_one_is_required() {
    for (required, expected) in [(false, "accepted"), (true, "claim_invalid")] {
        let api = Api::with(|lists| lists.required(required));
        let token = api.token_with(json!(1)).without("status");
        assert_eq!(api.decide(&sign(&token)).await, expected);
        assert_eq!(api.decide(&api.token(0)).await, "accepted");
    }
}

/// The list is fetched for tokens alone that are right in all else.
#[tokio::test]
async fn token_that_is_wrong_causes_no_fetch() {
    let api = Api::start();
    let token = || api.token_with(json!({"status_list": {"idx": 0, "uri": api.uri()}}));
    for (token, expected) in [
        (sign(&token().claim("aud", "other")), "audience_mismatch"),
        (sign(&token().claim("exp", 1)), "expired"),
        (
            token().sign(oauth2_actix_tests::keys::key(oauth2_actix::Algorithm::ES384)),
            "unknown_key",
        ),
    ] {
        assert_eq!(api.decide(&token).await, expected);
    }
    assert_eq!(api.fetches(), 0);
}

#[tokio::test]
async fn list_is_no_access_token_and_access_token_is_no_list() {
    let api = Api::start();
    let list = api.list(&[0]).claim("aud", "api");
    assert_eq!(api.decide(&sign(&list)).await, "type_not_allowed");
    api.serve(&api.token(0));
    assert_eq!(api.decide(&api.token(0)).await, "revocation_status_unavailable");
}

/// A token in the cache is looked up with every request.
#[tokio::test]
async fn cached_token_is_revoked_by_the_next_list() {
    for cache in [TokenCacheConfig::new(), TokenCacheConfig::disabled()] {
        let server = Api::start();
        let lists =
            oauth2_actix::status_list::StatusList::hosts([super::authority(&server.server)]);
        let policy = builder(lists).clock(server.clock.clone()).token_cache(cache);
        let api = Api { oauth2: policy.build().unwrap(), ..server };
        let token = api.token(0);
        assert_eq!(api.decide(&token).await, "accepted");
        api.publish(&[1]);
        api.clock.advance(Duration::from_secs(95));
        assert_eq!(api.decide(&token).await, "accepted");
        assert_eq!(api.fetches(), 1);
        // At the end of its ttl, in any case.
        api.clock.advance(Duration::from_secs(25));
        assert_eq!(api.decide(&token).await, "token_revoked");
    }
}

#[actix_web::test]
async fn public_request_does_not_wait_for_a_list() {
    let api = Api::start();
    let lists = oauth2_actix::status_list::StatusList::hosts([super::authority(&api.server)]);
    let oauth2 = builder(lists).clock(api.clock.clone()).public_paths(["/public"]).build().unwrap();
    let handler = |claims: OptionalClaims| async move {
        HttpResponse::Ok().body(if claims.0.is_some() { "claims" } else { "none" })
    };
    let app = App::new().route("/public", web::get().to(handler)).wrap(oauth2);
    let app = test::init_service(app).await;
    let token = api.token(0);
    let request = || {
        let bearer = ("authorization", format!("Bearer {token}"));
        test::TestRequest::get().uri("/public").insert_header(bearer).to_request()
    };
    assert_eq!(test::call_and_read_body(&app, request()).await, "none");
    // It has started to fetch the list.
    for _ in 0..1000 {
        if test::call_and_read_body(&app, request()).await == "claims" {
            return;
        }
        actix_web::rt::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the list was not fetched in the background");
}
