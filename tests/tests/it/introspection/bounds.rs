//! Caches, shared questions, limits.

use futures_util::future::join_all;
use oauth2_actix_tests::wait::until;

use super::*;

fn has_cache() -> bool {
    std::env::var_os(policy::TOKEN_CACHE).is_none()
}

#[tokio::test]
async fn answer_is_used_for_its_time_and_no_longer() {
    if !has_cache() {
        return;
    }
    let setup = Setup::start(Answer::status(500));
    setup.server.answer(setup.active(json!({})));
    for _ in 0..10 {
        assert_eq!(setup.verify("token").await, Ok(()));
    }
    assert_eq!(setup.server.requests(), 1);
    setup.server.answer(Answer::json(&json!({"active": false})));
    setup.clock.advance(seconds(60) - Duration::from_millis(1));
    assert_eq!(setup.verify("token").await, Ok(()));
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!(setup.verify("token").await, Err(ErrorKind::TokenInactive));
    assert_eq!(setup.server.requests(), 2);
}

#[tokio::test]
async fn answer_is_never_used_beyond_the_end_of_the_token() {
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection.cache(seconds(3600)),
        |provider| provider,
    );
    let exp = setup.clock.unix_seconds() + 10;
    setup.server.answer(setup.active(json!({"exp": exp})));
    assert_eq!(setup.verify("token").await, Ok(()));
    setup.clock.advance(seconds(10));
    assert!(matches!(setup.verify("token").await, Err(ErrorKind::Expired { .. })));
}

#[tokio::test]
async fn without_a_cache_time_each_request_asks() {
    let setup = Setup::with(
        Answer::status(500),
        |introspection| introspection.cache(Duration::ZERO).negative_cache(Duration::ZERO),
        |provider| provider,
    );
    setup.server.answer(setup.active(json!({})));
    for _ in 0..3 {
        assert_eq!(setup.verify("token").await, Ok(()));
    }
    setup.server.answer(Answer::json(&json!({"active": false})));
    for _ in 0..3 {
        assert_eq!(setup.verify("token").await, Err(ErrorKind::TokenInactive));
    }
    assert_eq!(setup.server.requests(), 6);
    assert_eq!(setup.oauth2.token_cache_status().entries, 0);
}

#[tokio::test]
async fn rejected_token_is_not_asked_about_again_for_seconds() {
    let setup = Setup::start(Answer::json(&json!({"active": false})));
    for _ in 0..100 {
        assert_eq!(setup.verify("token").await, Err(ErrorKind::TokenInactive));
    }
    assert_eq!(setup.server.requests(), 1);
    setup.server.answer(setup.active(json!({})));
    setup.clock.advance(seconds(5));
    assert_eq!(setup.verify("token").await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_with_one_token_share_one_question() {
    let clock = ManualClock::new();
    let (held, release) = active(&clock, json!({})).held();
    let setup = Setup::start(held);
    let requests = (0..500).map(|_| {
        let oauth2 = setup.oauth2.clone();
        tokio::spawn(async move { oauth2.verify("token").await.map(drop) })
    });
    let requests: Vec<_> = requests.collect();
    setup.server.wait_for_requests(1);
    until("waiting requests", || setup.oauth2.introspection_status()[0].in_progress == 1).await;
    release.release();
    for result in join_all(requests).await {
        result.unwrap().unwrap();
    }
    assert!(setup.server.requests() <= 2, "{}", setup.server.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_and_waiting_requests_are_limited() {
    let setup = Setup::with(
        Answer::hang(),
        |introspection| introspection.max_calls(8),
        |provider| provider,
    );
    let ask = |token: String| {
        let oauth2 = setup.oauth2.clone();
        tokio::spawn(async move {
            oauth2.verify(&token).await.map(drop).map_err(|it| it.kind().clone())
        })
    };
    let running: Vec<_> = (0..8).map(|index| ask(format!("token-{index}"))).collect();
    setup.server.wait_for_requests(8);
    for index in 8..50 {
        assert!(is_unavailable(&ask(format!("token-{index}")).await.unwrap()));
    }
    assert_eq!(setup.server.requests(), 8);
    setup.clock.advance(seconds(5));
    for result in join_all(running).await {
        assert!(is_unavailable(&result.unwrap()));
    }
}

/// An issuer may accept several texts for one token, such as with and without a prefix.
#[tokio::test]
async fn revoked_token_is_refused_in_every_text_that_the_issuer_takes_for_it() {
    use oauth2_actix::revocation::{DenyList, Revocation};
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let clock = ManualClock::new();
    let now = clock.unix_seconds();
    server.answer(active(&clock, json!({"iat": now, "client_id": "shop"})));
    let oauth2 = builder(&clock)
        .provider("p", introspected(at(&server)))
        .deny_list(DenyList::new())
        .build()
        .unwrap();
    let claims = oauth2.verify("at_KEY.SIG").await.unwrap();
    assert!(oauth2.verify("KEY.SIG").await.is_ok());
    oauth2.revoke(Revocation::token(&claims)).await.unwrap();
    for text in ["at_KEY.SIG", "KEY.SIG", "at_KEY.SIH"] {
        let error = oauth2.verify(text).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::TokenRevoked, "{text}");
    }
    // A token of which the issuer says something else is another one.
    server.answer(active(&clock, json!({"iat": now + 1, "client_id": "shop"})));
    assert!(oauth2.verify("another").await.is_ok());
}

/// A public request never waits: the next one has claims.
#[tokio::test]
async fn public_request_asks_in_the_background() {
    use actix_web::{App, test, web};
    use oauth2_actix::OptionalClaims;
    if !has_cache() {
        return;
    }
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let clock = ManualClock::new();
    server.answer(active(&clock, json!({})));
    let oauth2 = builder(&clock)
        .provider("p", introspected(at(&server)))
        .public_paths(["/open"])
        .build()
        .unwrap();
    let handler = async |claims: OptionalClaims| {
        claims.0.map_or("anonymous".to_owned(), |claims| claims.subject().unwrap_or("?").to_owned())
    };
    let app = App::new().wrap(oauth2.clone()).route("/open", web::get().to(handler));
    let app = test::init_service(app).await;
    let get = || {
        let request = test::TestRequest::get().uri("/open");
        request.insert_header(("authorization", "Bearer token")).to_request()
    };
    assert_eq!(test::call_and_read_body(&app, get()).await, "anonymous");
    server.wait_for_requests(1);
    until("the answer", || oauth2.introspection_status()[0].in_progress == 0).await;
    assert_eq!(test::call_and_read_body(&app, get()).await, "ann");
    assert_eq!(server.requests(), 1);
}
