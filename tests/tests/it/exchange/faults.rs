//! Endpoints that do not issue a token: 403 or 503, and never a token.

use actix_web::ResponseError;

use super::*;

#[tokio::test]
async fn answer_without_a_usable_token_is_unavailable() {
    let good = json!({
        "access_token": "one", "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 60,
    });
    let good = good.to_string();
    let json_type = &[("content-type", "application/json")];
    let with = |body: &str| Answer::body(200, json_type, body.as_bytes());
    for (name, answer, cause) in [
        ("201", Answer::body(201, json_type, good.as_bytes()), "the status is 201"),
        ("401", Answer::body(401, json_type, b"{}"), "how this API authenticates"),
        ("404", Answer::status(404), "another URL"),
        ("500", Answer::body(500, json_type, good.as_bytes()), "the status is 500"),
        ("302", Answer::redirect(302, "https://elsewhere.test/token"), "redirects"),
        ("307", Answer::redirect(307, "https://elsewhere.test/token"), "redirects"),
        (
            "html",
            Answer::body(200, &[("content-type", "text/html")], good.as_bytes()),
            "media type",
        ),
        ("page", with("<html>"), "not a JSON object"),
        ("empty", with(""), "not a JSON object"),
        ("list", with("[]"), "not a JSON object"),
        ("twice", with(r#"{"access_token": "a", "access_token": "b"}"#), "unique member names"),
        ("large", with(&format!("{{\"x\": \"{}\"}}", "x".repeat(70_000))), "larger"),
        ("cut", with(&good).truncated(150), "broke off"),
        ("reset", Answer::reset(), "no response"),
        ("no token", issued("", json!({})), "`access_token`"),
        ("line", issued("a\r\nb", json!({})), "`access_token`"),
        ("DPoP", issued("one", json!({"token_type": "DPoP"})), "DPoP, expected Bearer"),
        ("N_A", issued("one", json!({"token_type": "N_A"})), "not Bearer"),
        ("no type", issued("one", json!({"issued_token_type": null})), "`issued_token_type`"),
        ("expired", issued("one", json!({"expires_in": 0})), "`expires_in`"),
    ] {
        let setup = Setup::start(answer);
        let claims = setup.claims("ann").await;
        let (_, text) = unavailable(setup.exchange(&claims).await);
        assert!(text.contains(cause), "{name}: {text}");
        assert!(setup.server.requests() >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_that_hangs_or_drips_is_unavailable_after_the_time_limit() {
    for answer in [Answer::hang(), issued("one", json!({})).dripping(seconds(1))] {
        let setup = Setup::start(answer);
        let claims = setup.claims("ann").await;
        let waiting = tokio::spawn({
            let oauth2 = setup.oauth2.clone();
            async move { oauth2.exchange(&claims, "stock", ["x"]).await }
        });
        setup.server.wait_for_requests(1);
        setup.clock.advance(seconds(5));
        let (_, text) = unavailable(waiting.await.unwrap());
        assert!(text.contains("longer than 5 s"), "{text}");
    }
}

#[tokio::test]
async fn endpoint_that_asks_for_time_gets_it_and_so_does_the_client() {
    let setup = Setup::start(Answer::body(503, &[("retry-after", "30")], b""));
    let claims = setup.claims("ann").await;
    let error = setup.exchange(&claims).await.unwrap_err();
    let response = error.error_response();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers().get("retry-after").unwrap(), "30");
    setup.server.answer(issued("one", json!({})));
    let other = setup.claims("bob").await;
    setup.clock.advance(seconds(29));
    assert_eq!(unavailable(setup.exchange(&other).await).0, seconds(1));
    setup.clock.advance(seconds(1));
    setup.exchange(&other).await.unwrap();
}

#[tokio::test]
async fn no_token_is_in_errors_or_debug() {
    let setup = Setup::start(issued("a-new-token", json!({})));
    let token = setup.token("ann", 3600);
    let claims = setup.claims_of(&token).await;
    let exchanged = setup.exchange(&claims).await.unwrap();
    assert!(!format!("{exchanged:?} {:?}", setup.oauth2).contains("a-new-token"));

    let body = json!({"error": "invalid_grant", "error_description": format!("Bad: {token}")});
    let answer =
        Answer::body(400, &[("content-type", "application/json")], body.to_string().as_bytes());
    let setup = Setup::start(answer);
    let claims = setup.claims_of(&token).await;
    let error = setup.exchange(&claims).await.unwrap_err();
    let signature = token.rsplit('.').next().unwrap();
    assert!(!format!("{error} {error:?}").contains(signature), "{error:?}");
    assert!(error.to_string().contains("invalid_grant"));
}

#[tokio::test]
async fn endpoint_is_discovered_again_after_a_failure() {
    const DOCUMENT: &str = "/.well-known/openid-configuration";
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let issuer = server.url_of("");
    let document = |path: &str| {
        Answer::json(&json!({"issuer": issuer, "token_endpoint": server.url_of(path)}))
    };
    server.answer_at(DOCUMENT, document("/old"));
    server.answer_at("/old", issued("one", json!({"expires_in": null})));
    let clock = ManualClock::new();
    let provider = Provider::new()
        .issuer(&issuer)
        .audience("api")
        .keys(key(Algorithm::ES256).jwk_set())
        .token_exchange(TokenExchange::discover().authentication(client()));
    let oauth2 = builder(&clock).provider("p", provider).build().unwrap();
    let token = Token::new(&issuer, "api").sign(key(Algorithm::ES256));
    let claims = oauth2.verify(&token).await.unwrap();
    for _ in 0..3 {
        oauth2.exchange(&claims, "stock", ["x"]).await.unwrap();
    }
    assert_eq!((server.requests_at(DOCUMENT), server.requests_at("/old")), (1, 3));
    server.answer_at(DOCUMENT, document("/new"));
    server.answer_at("/old", Answer::status(404));
    server.answer_at("/new", issued("two", json!({})));
    unavailable(oauth2.exchange(&claims, "stock", ["x"]).await);
    clock.advance(seconds(60));
    let found = oauth2.exchange(&claims, "stock", ["x"]).await.unwrap();
    assert_eq!(found.expose_token(), "two");
}
