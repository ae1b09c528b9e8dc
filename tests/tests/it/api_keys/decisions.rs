//! Which keys are accepted, wherever a token is checked.

use std::time::{Duration, SystemTime};

use actix_web::{App, HttpResponse, get, http::header::HeaderName, test};
use oauth2_actix::{
    Claims, ErrorKind, require_dpop, require_scope, requirement,
    revocation::{DenyList, Revocation},
};
use oauth2_actix_tests::key_server::{Answer, KeyServer};

use super::*;

#[get("/me")]
async fn me(claims: Claims) -> String {
    format!("{:?} of {}, issuer {:?}", claims.subject(), claims.provider(), claims.issuer())
}

#[get("/invoices")]
#[require_scope("invoices:read")]
async fn invoices() -> &'static str {
    "invoices"
}

#[get("/refunds")]
#[require_scope("refunds:write")]
async fn refunds() -> &'static str {
    "refunds"
}

#[get("/bound")]
#[require_dpop]
async fn bound() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Sends a request with a header, and returns the status and the body.
async fn get(oauth2: &OAuth2, path: &str, header: (HeaderName, String)) -> (u16, String) {
    let app = App::new().wrap(oauth2.clone()).service(me).service(invoices);
    let app = test::init_service(app.service(refunds).service(bound)).await;
    let request = test::TestRequest::get().uri(path).insert_header(header).to_request();
    let response = test::call_service(&app, request).await;
    let status = response.status().as_u16();
    (status, String::from_utf8(test::read_body(response).await.to_vec()).unwrap())
}

fn bearer(token: &str) -> (HeaderName, String) {
    (HeaderName::from_static("authorization"), format!("Bearer {token}"))
}

#[actix_web::test]
async fn key_has_claims_and_satisfies_requirements_as_a_token_does() {
    let clock = ManualClock::new();
    let builder = builder(&clock).provider("idp", provider()).api_keys("shop-keys", keys(&[OLD]));
    let oauth2 = builder.token_from_header("X-Key").build().unwrap();
    let expected = r#"Some("billing-job") of shop-keys, issuer """#;
    let header = (HeaderName::from_static("x-key"), OLD.to_owned());
    // The second request is answered from the cache.
    for header in [bearer(OLD), bearer(OLD), header] {
        assert_eq!(get(&oauth2, "/me", header).await, (200, expected.to_owned()));
    }
    assert_eq!(get(&oauth2, "/invoices", bearer(OLD)).await.0, 200);
    assert_eq!(get(&oauth2, "/refunds", bearer(OLD)).await.0, 403);
    assert_eq!(get(&oauth2, "/bound", bearer(OLD)).await.0, 401);
    let (status, body) = get(&oauth2, "/me", bearer(NEW)).await;
    assert_eq!(status, 401);
    assert!(body.contains("invalid_token") && !body.contains("shop_live_"), "{body}");
    assert_eq!(get(&oauth2, "/me", bearer(&jwt(&clock))).await.0, 200);
}

#[tokio::test]
async fn both_keys_are_accepted_during_a_rotation_and_the_removed_one_not_after_it() {
    let clock = ManualClock::new();
    let during =
        builder(&clock).api_keys("shop-keys", keys(&[OLD, NEW])).build().expect("a policy");
    for key in [OLD, NEW] {
        let claims = during.verify(key).await.unwrap();
        assert_eq!(claims.subject(), Some("billing-job"));
    }
    let after = builder(&clock).api_keys("shop-keys", keys(&[NEW])).build().unwrap();
    assert_eq!(kind(&after, NEW).await, None);
    assert_eq!(kind(&after, OLD).await, Some("api_key_unknown"));
}

#[tokio::test]
async fn key_expires_at_its_time_also_if_it_is_cached() {
    let clock = ManualClock::new();
    let ends = clock.unix_seconds() + 100;
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(ends);
    let keys = ApiKeys::new(PREFIX).key(job(&[OLD]).expires(ends));
    let oauth2 = builder(&clock).api_keys("shop-keys", keys).build().unwrap();
    assert_eq!(oauth2.verify(OLD).await.unwrap().expires_at(), ends);
    clock.advance(Duration::from_secs(99));
    assert_eq!(kind(&oauth2, OLD).await, None);
    clock.advance(Duration::from_secs(1));
    assert_eq!(kind(&oauth2, OLD).await, Some("expired"));
}

#[tokio::test]
async fn token_that_resembles_a_key_is_neither_accepted_nor_sent_to_a_provider() {
    let clock = ManualClock::new();
    let server = KeyServer::start(Answer::json(&json!({"active": true}))).unwrap();
    let client = oauth2_actix::ClientAuthentication::basic("orders-api", "a-secret");
    let introspection =
        oauth2_actix::introspection::Introspection::at(server.url_of("/introspect"))
            .authentication(client);
    let introspected = Provider::new().issuer(ISSUER).audience("api").introspection(introspection);
    let builder = builder(&clock).provider("idp", introspected).api_keys("shop-keys", keys(&[OLD]));
    let staging = ApiKeys::new("shop_test_").key(job(&["shop_test_key-of-a-test"]));
    let oauth2 = builder.api_keys("test-keys", staging).build().unwrap();
    assert_eq!(kind(&oauth2, OLD).await, None);
    let jws = format!("{PREFIX}.{}", jwt(&clock).split_once('.').unwrap().1);
    for token in [
        PREFIX,
        &OLD[..OLD.len() - 1],
        &format!("{OLD}0"),
        &format!("{OLD}="),
        &format!("{OLD}.a.b"),
        &format!("{PREFIX}{OLD}"),
        &OLD.replace("live", "test"),
        &OLD.to_uppercase(),
        &OLD.replace("shop", "Shop"),
        "shop_live_test_key-of-a-test",
        "SHOP_TEST_key-of-a-test",
        &jws,
    ] {
        assert_eq!(kind(&oauth2, token).await, Some("api_key_unknown"), "{token}");
    }
    let long = format!("{PREFIX}{}", "a".repeat(16 * 1024));
    assert_eq!(kind(&oauth2, &long).await, Some("token_too_long"));
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn key_without_its_checksum_is_rejected_where_it_is_required() {
    let generated = ApiKey::generate(PREFIX).unwrap();
    let text = generated.expose_text();
    let cut = &text[..text.len() - 1];
    let keys = keys(&[text, cut]).require_checksum(true);
    let oauth2 = builder(&ManualClock::new()).api_keys("shop-keys", keys).build().unwrap();
    assert_eq!(kind(&oauth2, text).await, None);
    // Its hash is known.
    assert_eq!(kind(&oauth2, cut).await, Some("api_key_unknown"));
}

#[tokio::test]
async fn key_is_revoked_by_its_hash_its_subject_or_its_claims() {
    let clock = ManualClock::new();
    let policy = || {
        let builder = builder(&clock).deny_list(DenyList::new());
        builder.api_keys("shop-keys", keys(&[OLD, NEW])).build().unwrap()
    };
    let oauth2 = policy();
    assert_eq!(kind(&oauth2, OLD).await, None);
    oauth2.revoke(Revocation::api_key(ApiKeyHash::of(OLD).as_bytes())).await.unwrap();
    assert_eq!(kind(&oauth2, OLD).await, Some("token_revoked"));
    assert_eq!(kind(&oauth2, NEW).await, None);
    // No later than the key itself.
    clock.advance(Duration::from_secs(400 * 24 * 60 * 60));
    assert_eq!(kind(&oauth2, OLD).await, Some("token_revoked"));

    let oauth2 = policy();
    let claims = oauth2.verify(OLD).await.unwrap();
    oauth2.revoke(Revocation::token(&claims)).await.unwrap();
    assert_eq!(kind(&oauth2, OLD).await, Some("token_revoked"));
    assert_eq!(kind(&oauth2, NEW).await, None);

    let oauth2 = policy();
    oauth2.revoke(Revocation::subject("", "billing-job")).await.unwrap();
    assert_eq!(kind(&oauth2, OLD).await, Some("token_revoked"));
    assert_eq!(kind(&oauth2, NEW).await, Some("token_revoked"));
}

#[tokio::test]
async fn requirement_on_every_token_is_one_on_keys_too() {
    let clock = ManualClock::new();
    for (scope, is_met) in [("invoices:read", true), ("refunds:write", false)] {
        let builder = builder(&clock).require(requirement::scopes([scope]));
        let oauth2 = builder.api_keys("shop-keys", keys(&[OLD])).build().unwrap();
        let expected = (!is_met).then_some("requirement_not_met");
        assert_eq!(kind(&oauth2, OLD).await, expected);
    }
}

#[tokio::test]
async fn with_several_resources_a_key_is_for_those_that_it_names() {
    let clock = ManualClock::new();
    let key = job(&[OLD]).claims(json!({"aud": "https://api.example/a"}));
    let keys = ApiKeys::new(PREFIX).key(key).key(ApiKey::new("other", [ApiKeyHash::of(NEW)]));
    let builder = builder(&clock).provider("idp", provider()).api_keys("shop-keys", keys);
    let builder = builder.resource("https://api.example/a").resource("https://api.example/b");
    let oauth2 = builder.build().unwrap();
    let app = App::new().wrap(oauth2).default_service(actix_web::web::to(HttpResponse::Ok));
    let app = test::init_service(app).await;
    for (key, path, expected) in [(OLD, "/a", 200), (OLD, "/b", 401), (NEW, "/a", 401)] {
        let request = test::TestRequest::get().uri(path).insert_header(bearer(key)).to_request();
        assert_eq!(test::call_service(&app, request).await.status().as_u16(), expected, "{path}");
    }
}

#[tokio::test]
async fn error_and_debug_output_hold_no_part_of_a_key() {
    let keys = keys(&[OLD]).key(ApiKey::new("wrong", [NEW]));
    let shown = format!("{keys:?} {:?}", ApiKey::generate(PREFIX).unwrap());
    assert!(!shown.contains("new-key") && !shown.contains("old-key"), "{shown}");
    assert!(!format!("{keys:?}").contains(&ApiKeyHash::of(OLD).to_string()), "{keys:?}");
    let oauth2 = builder(&ManualClock::new()).api_keys("shop-keys", keys).build();
    let error = oauth2.unwrap_err().to_string();
    assert!(
        error.contains("api_keys.shop-keys.keys.wrong") && !error.contains("new-key"),
        "{error}"
    );
    let oauth2 = builder(&ManualClock::new()).api_keys("k", super::keys(&[OLD])).build().unwrap();
    let error = oauth2.verify(NEW).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::ApiKeyUnknown);
    assert_eq!(error.provider(), Some("k"));
    assert!(!format!("{error:?} {error}").contains("new-key"));
}
