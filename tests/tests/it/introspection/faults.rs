//! Endpoints that fail or send invalid responses: 503, never 401, and never acceptance.

use oauth2_actix_tests::wait::until;

use super::*;

const DOCUMENT: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn invalid_response_causes_503() {
    let good = json!({"active": true, "aud": "api", "iss": ISSUER}).to_string();
    let json_type = &[("content-type", "application/json")];
    let with = |body: &str| Answer::body(200, json_type, body.as_bytes());
    for (name, answer, cause) in [
        ("400", Answer::body(400, json_type, good.as_bytes()), "does not introspect this token"),
        (
            "400 about the client",
            Answer::body(400, json_type, br#"{"error":"invalid_client"}"#),
            "how this API authenticates (invalid_client)",
        ),
        ("401", Answer::body(401, json_type, good.as_bytes()), "how this API authenticates"),
        ("403", Answer::body(403, json_type, good.as_bytes()), "how this API authenticates"),
        ("404", Answer::body(404, json_type, good.as_bytes()), "another URL"),
        ("201", Answer::body(201, json_type, good.as_bytes()), "the status is 201"),
        ("500", Answer::body(500, json_type, good.as_bytes()), "the status is 500"),
        ("503", Answer::body(503, json_type, good.as_bytes()), "the status is 503"),
        ("302", Answer::redirect(302, "https://elsewhere.test/introspect"), "redirects"),
        (
            "html",
            Answer::body(200, &[("content-type", "text/html")], good.as_bytes()),
            "media type",
        ),
        ("not JSON", with("<html>"), "cannot be read"),
        ("empty", with(""), "cannot be read"),
        ("list", with("[]"), "cannot be read"),
        ("twice", with(r#"{"active": false, "active": true, "aud": "api"}"#), "cannot be read"),
        ("no active", with(r#"{"aud": "api"}"#), "`active`"),
        ("text", with(r#"{"active": "true", "aud": "api"}"#), "`active`"),
        ("number", with(r#"{"active": 1, "aud": "api"}"#), "`active`"),
        ("null", with(r#"{"active": null, "aud": "api"}"#), "`active`"),
        ("object", with(r#"{"active": {}, "aud": "api"}"#), "`active`"),
        (
            "large",
            with(&format!("{{\"active\": true, \"x\": \"{}\"}}", "x".repeat(300_000))),
            "larger",
        ),
        ("cut", with(&good).truncated(120), "broke off"),
        ("reset", Answer::reset(), "no response"),
        (
            "signed",
            Answer::body(200, &[("content-type", "application/token-introspection+jwt")], b"e.e.e"),
            "media type",
        ),
    ] {
        let setup = Setup::start(answer);
        let result = setup.verify("token").await;
        assert!(is_unavailable(&result), "{name}: {result:?}");
        let status = setup.oauth2.introspection_status().remove(0);
        let found = status.last_error.unwrap().cause;
        assert!(found.contains(cause), "{name}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_that_hangs_or_drips_is_unavailable_after_the_time_limit() {
    let drip = Answer::json(&json!({"active": true, "aud": "api"})).dripping(seconds(1));
    for answer in [Answer::hang(), drip] {
        let setup = Setup::start(answer);
        let waiting = tokio::spawn({
            let oauth2 = setup.oauth2.clone();
            async move { oauth2.verify("token").await.map(drop).map_err(|error| error.kind().clone()) }
        });
        setup.server.wait_for_requests(1);
        setup.clock.advance(seconds(5));
        let result = waiting.await.unwrap();
        assert!(is_unavailable(&result), "{result:?}");
        let cause = setup.oauth2.introspection_status().remove(0).last_error.unwrap().cause;
        assert!(cause.contains("longer than 5 s"), "{cause}");
    }
}

#[tokio::test]
async fn endpoint_that_cannot_be_reached_opens_the_breaker_and_recovers() {
    let setup = Setup::start(Answer::status(401));
    assert!(is_unavailable(&setup.verify("one").await));
    assert_eq!(setup.server.requests(), 1);
    // Other tokens are not introspected while the breaker is open.
    for token in ["one", "two", "three"] {
        assert!(is_unavailable(&setup.verify(token).await));
    }
    assert_eq!(setup.server.requests(), 1);
    assert!(!setup.oauth2.introspection_status()[0].is_available());
    setup.server.answer(setup.active(json!({})));
    setup.clock.advance(seconds(1));
    assert_eq!(setup.verify("two").await, Ok(()));
    assert!(setup.oauth2.introspection_status()[0].is_available());
}

#[tokio::test]
async fn one_failed_request_does_not_open_the_breaker() {
    let setup = Setup::start(Answer::status(500));
    for _ in 0..20 {
        assert!(is_unavailable(&setup.verify("poison").await));
    }
    assert_eq!(setup.server.requests(), 1, "the request is not repeated at once");
    setup.server.answer(setup.active(json!({})));
    assert_eq!(setup.verify("good").await, Ok(()));
    assert!(is_unavailable(&setup.verify("poison").await));
    setup.clock.advance(seconds(5));
    assert_eq!(setup.verify("poison").await, Ok(()));
}

/// A firewall may respond with any of these to what a client has chosen as its token.
#[tokio::test]
async fn rejections_by_a_firewall_do_not_open_the_breaker() {
    for status in [400, 403, 404, 405, 413, 414, 422, 451] {
        let setup = Setup::start(Answer::status(status));
        for index in 0..50 {
            for _ in 0..2 {
                let token = format!("../../../../etc/passwd{index}");
                assert!(is_unavailable(&setup.verify(&token).await));
            }
        }
        assert_eq!(setup.server.requests(), 50, "{status}");
        setup.server.answer(setup.active(json!({})));
        assert_eq!(setup.verify("good").await, Ok(()), "{status}");
    }
    // Of other failures, a client needs five in a row.
    for answer in [Answer::status(500), Answer::redirect(302, "https://blocked.test/")] {
        let setup = Setup::start(answer);
        for index in 0..4 {
            assert!(is_unavailable(&setup.verify(&format!("token-{index}")).await));
        }
        setup.server.answer(setup.active(json!({})));
        assert_eq!(setup.verify("good").await, Ok(()));
    }
}

#[tokio::test]
async fn error_about_the_client_opens_the_breaker_whatever_its_status() {
    for (status, code) in [(400, "invalid_client"), (401, "x"), (403, "unauthorized_client")] {
        let body = json!({"error": code}).to_string();
        let setup = Setup::start(Answer::body(status, &[], body.as_bytes()));
        assert!(is_unavailable(&setup.verify("token").await));
        assert!(!setup.oauth2.introspection_status()[0].is_available(), "{status} {code}");
    }
}

/// Otherwise a client whose tokens make the endpoint fail could keep the breaker open.
#[tokio::test]
async fn half_open_breaker_sends_a_random_token_and_none_of_a_client() {
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection.token_prefix("acme_"),
        |provider| provider,
    );
    for index in 0..5 {
        assert!(is_unavailable(&setup.verify(&format!("acme_{index}")).await));
    }
    assert!(!setup.oauth2.introspection_status()[0].is_available());
    setup.clock.advance(seconds(1));
    assert!(is_unavailable(&setup.verify("acme_poison").await));
    assert_eq!(setup.server.requests(), 6, "the probe alone");
    let probe = setup.server.last_request();
    assert!(probe.contains("token=acme_") && !probe.contains("poison"), "{probe}");
    // The endpoint has never issued it, and any valid response shows that the endpoint works.
    for answer in [Answer::json(&json!({"active": false})), Answer::status(400)] {
        setup.server.answer(answer);
        setup.clock.advance(seconds(60));
        let result = setup.verify("acme_poison").await;
        assert!(setup.oauth2.introspection_status()[0].is_available(), "{result:?}");
    }
}

#[tokio::test]
async fn cached_token_is_accepted_during_an_outage_until_its_response_expires() {
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({})));
    assert_eq!(setup.verify("token").await, Ok(()));
    setup.server.answer(Answer::status(500));
    setup.clock.advance(seconds(59));
    let cached = setup.verify("token").await;
    setup.clock.advance(seconds(1));
    assert!(is_unavailable(&setup.verify("token").await));
    if std::env::var_os(policy::TOKEN_CACHE).is_none() {
        assert_eq!(cached, Ok(()));
    }
}

#[tokio::test]
async fn retry_after_of_the_endpoint_opens_the_breaker() {
    let setup = Setup::start(Answer::body(429, &[("retry-after", "30")], b""));
    let Err(ErrorKind::IntrospectionUnavailable { retry_after }) = setup.verify("one").await else {
        panic!("accepted or rejected");
    };
    assert_eq!(retry_after, seconds(30));
    setup.server.answer(setup.active(json!({})));
    setup.clock.advance(seconds(29));
    assert!(is_unavailable(&setup.verify("two").await));
    setup.clock.advance(seconds(1));
    assert_eq!(setup.verify("two").await, Ok(()));
}

#[tokio::test]
async fn endpoint_is_discovered_again_after_a_failure() {
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let issuer = server.url_of("");
    let document = |path: &str| {
        Answer::json(&json!({"issuer": issuer, "introspection_endpoint": server.url_of(path)}))
    };
    server.answer_at(DOCUMENT, document("/old"));
    let clock = ManualClock::new();
    let answer = active(&clock, json!({"iss": issuer}));
    server.answer_at("/old", answer.clone());
    let provider = Provider::new()
        .issuer(&issuer)
        .audience("api")
        .introspection(Introspection::discover().authentication(client()));
    let oauth2 = builder(&clock).provider("p", provider).build().unwrap();
    assert_eq!(server.requests(), 0, "nothing is sent at the start");
    oauth2.verify("one").await.unwrap();
    oauth2.verify("two").await.unwrap();
    assert_eq!(server.requests_at(DOCUMENT), 1);
    server.answer_at("/old", Answer::status(404));
    server.answer_at(DOCUMENT, document("/new"));
    server.answer_at("/new", answer);
    assert!(oauth2.verify("three").await.is_err());
    // The document is read again at most once a minute.
    clock.advance(seconds(59));
    assert!(oauth2.verify("three").await.is_err());
    assert_eq!(server.requests_at(DOCUMENT), 1);
    clock.advance(seconds(5));
    oauth2.verify("three").await.unwrap();
    assert_eq!(server.requests_at(DOCUMENT), 2);
}

#[tokio::test]
async fn last_url_stays_in_use_while_the_document_cannot_be_read() {
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let issuer = server.url_of("");
    let document =
        json!({"issuer": issuer, "introspection_endpoint": server.url_of("/introspect")});
    server.answer_at(DOCUMENT, Answer::json(&document));
    let clock = ManualClock::new();
    server.answer_at("/introspect", active(&clock, json!({"iss": issuer, "exp": null})));
    let provider = Provider::new()
        .issuer(&issuer)
        .audience("api")
        .introspection(Introspection::discover().authentication(client()));
    let oauth2 = builder(&clock).provider("p", provider).build().unwrap();
    oauth2.verify("first").await.unwrap();
    // The last is the document of another issuer, which is not used.
    let evil =
        json!({"issuer": "https://evil.test", "introspection_endpoint": "https://evil.test/"});
    for (number, failure) in
        [Answer::status(500), Answer::reset(), Answer::json(&evil)].into_iter().enumerate()
    {
        server.answer_at(DOCUMENT, failure);
        clock.advance(seconds(25 * 3600));
        let before = server.requests_at(DOCUMENT);
        for token in 0..3 {
            oauth2.verify(&format!("{number}-{token}")).await.unwrap();
        }
        let read = server.requests_at(DOCUMENT) - before;
        assert!(
            (1..=2).contains(&read),
            "{read}: OpenID Connect and RFC 8414 have one document each"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_read_the_document_once() {
    for status in [200, 500] {
        let server = KeyServer::start(Answer::status(500)).unwrap();
        let issuer = server.url_of("");
        let document =
            json!({"issuer": issuer, "introspection_endpoint": server.url_of("/introspect")});
        let body = document.to_string();
        let json_type = &[("content-type", "application/json")];
        let (answer, release) = Answer::body(status, json_type, body.as_bytes()).held();
        server.answer_at(DOCUMENT, answer);
        let clock = ManualClock::new();
        server.answer_at("/introspect", active(&clock, json!({"iss": issuer})));
        let provider = Provider::new()
            .issuer(&issuer)
            .audience("api")
            .introspection(Introspection::discover().authentication(client()));
        let oauth2 = builder(&clock).provider("p", provider).build().unwrap();
        let requests: Vec<_> = (0..20)
            .map(|number| {
                let oauth2 = oauth2.clone();
                tokio::spawn(async move { oauth2.verify(&format!("token-{number}")).await })
            })
            .collect();
        server.wait_for_requests(1);
        until("all requests", || oauth2.introspection_status()[0].in_progress == 20).await;
        release.release();
        for request in requests {
            assert_eq!(request.await.unwrap().is_ok(), status == 200);
        }
        assert_eq!(server.requests_at(DOCUMENT), 1, "{status}");
    }
}

#[tokio::test]
async fn request_gets_503_with_retry_after_and_the_log_the_cause_without_the_token() {
    use oauth2_actix_tests::{api::Api, client::client, log};
    log::keep();
    let setup = Setup::start(Answer::status(500));
    let api = Api::start(setup.oauth2.clone());
    let request = client().get(api.url("/private")).bearer_auth("a-token-that-is-secret");
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let lines = || log::lines_with(&["token introspection failed", "status is 500"]);
    until("a log line", || !lines().is_empty()).await;
    assert!(!log::text().contains("a-token-that-is-secret"));
}
