//! Endpoints that do not answer, or answer with something else: 503, never 401, and never acceptance.

use oauth2_actix_tests::wait::until;

use super::*;

#[tokio::test]
async fn answer_that_is_none_is_unavailable() {
    let good = json!({"active": true, "aud": "api", "iss": ISSUER}).to_string();
    let json_type = &[("content-type", "application/json")];
    let with = |body: &str| Answer::body(200, json_type, body.as_bytes());
    for (name, answer, cause) in [
        ("400", Answer::body(400, json_type, good.as_bytes()), "does not answer for this token"),
        (
            "400 about the client",
            Answer::body(400, json_type, br#"{"error":"invalid_client"}"#),
            "how this API authenticates",
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
        ("reset", Answer::reset(), "no answer"),
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
    // Other tokens are not asked about meanwhile.
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
async fn one_question_that_fails_does_not_stop_the_others() {
    let setup = Setup::start(Answer::status(500));
    for _ in 0..20 {
        assert!(is_unavailable(&setup.verify("poison").await));
    }
    assert_eq!(setup.server.requests(), 1, "the question is not repeated at once");
    setup.server.answer(setup.active(json!({})));
    assert_eq!(setup.verify("good").await, Ok(()));
    assert!(is_unavailable(&setup.verify("poison").await));
    setup.clock.advance(seconds(5));
    assert_eq!(setup.verify("poison").await, Ok(()));
}

/// A firewall before the endpoint may answer so for what the client has chosen as its token.
#[tokio::test]
async fn one_refusal_of_a_firewall_does_not_stop_the_others() {
    for status in [403, 404, 405, 413, 500] {
        let setup = Setup::start(Answer::status(status));
        for _ in 0..20 {
            assert!(is_unavailable(&setup.verify("../../../../etc/passwd").await));
        }
        assert_eq!(setup.server.requests(), 1, "{status}");
        setup.server.answer(setup.active(json!({})));
        assert_eq!(setup.verify("good").await, Ok(()), "{status}");
    }
}

/// Some providers answer 400 for tokens that they do not introspect, such as JWTs. Clients choose the token.
#[tokio::test]
async fn tokens_that_the_endpoint_does_not_answer_for_do_not_stop_the_others() {
    let setup = Setup::start(Answer::body(400, &[], br#"{"error":"unsupported_token_type"}"#));
    for index in 0..50 {
        assert!(is_unavailable(&setup.verify(&format!("token-{index}")).await));
    }
    assert_eq!(setup.server.requests(), 50);
    setup.server.answer(setup.active(json!({})));
    assert_eq!(setup.verify("good").await, Ok(()));
    // It is the misconfiguration of this API if the response says so.
    setup.server.answer(Answer::body(400, &[], br#"{"error":"invalid_client"}"#));
    assert!(is_unavailable(&setup.verify("another").await));
    assert!(!setup.oauth2.introspection_status()[0].is_available());
}

#[tokio::test]
async fn cached_token_is_accepted_during_an_outage_until_its_answer_is_old() {
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
async fn endpoint_that_asks_for_time_gets_it() {
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
async fn endpoint_is_discovered_and_looked_for_again_after_a_failure() {
    const DOCUMENT: &str = "/.well-known/openid-configuration";
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
    assert_eq!(server.requests(), 0, "nothing is asked at the start");
    oauth2.verify("one").await.unwrap();
    oauth2.verify("two").await.unwrap();
    assert_eq!(server.requests_at(DOCUMENT), 1);
    server.answer_at("/old", Answer::status(404));
    server.answer_at(DOCUMENT, document("/new"));
    server.answer_at("/new", answer);
    assert!(oauth2.verify("three").await.is_err());
    clock.advance(seconds(5));
    oauth2.verify("three").await.unwrap();
    assert_eq!(server.requests_at(DOCUMENT), 2);
    // A document of another issuer is not used.
    server.answer_at(DOCUMENT, Answer::json(&json!({"issuer": "https://evil.test"})));
    clock.advance(seconds(25 * 3600));
    let error = oauth2.verify("four").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::IntrospectionUnavailable { .. }), "{error}");
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
    let lines = || {
        log::lines_with(&["the provider does not say whether a token is active", "status is 500"])
    };
    until("a log line", || !lines().is_empty()).await;
    assert!(!log::text().contains("a-token-that-is-secret"));
}
