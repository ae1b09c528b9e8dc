//! Caches, shared requests and limits.

use futures_util::{FutureExt, future::join_all};
use oauth2_actix_tests::wait::{advance_until, until};

use super::*;

fn has_cache() -> bool {
    std::env::var_os(policy::TOKEN_CACHE).is_none()
}

#[tokio::test]
async fn response_is_cached_for_its_time_and_no_longer() {
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
async fn response_is_never_used_beyond_exp() {
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
async fn rejection_is_cached_for_5_seconds() {
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
async fn concurrent_requests_share_one_introspection_request() {
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
async fn introspection_requests_and_waiting_requests_are_limited() {
    const MAX_CALLS: usize = 8;
    const QUEUE: usize = 1024;
    let setup = Setup::with(
        Answer::hang(),
        |introspection| introspection.max_calls(MAX_CALLS),
        |provider| provider,
    );
    let verify = |token: String| {
        let oauth2 = setup.oauth2.clone();
        tokio::spawn(async move {
            oauth2.verify(&token).await.map(drop).map_err(|it| it.kind().clone())
        })
    };
    let waiting: Vec<_> =
        (0..MAX_CALLS + QUEUE).map(|index| verify(format!("token-{index}"))).collect();
    setup.server.wait_for_requests(MAX_CALLS as u64);
    // Only those beyond the queue end at once.
    let mut more = 0;
    until("a full queue", || {
        more += 1;
        let beyond = setup.oauth2.verify(&format!("more-{more}")).now_or_never();
        beyond.is_some_and(|result| result.is_err())
    })
    .await;
    assert_eq!(setup.server.requests(), MAX_CALLS as u64);
    assert_eq!(setup.oauth2.introspection_status()[0].in_progress, MAX_CALLS);
    let are_finished = || waiting.iter().all(tokio::task::JoinHandle::is_finished);
    advance_until(&setup.clock, seconds(5), "the end of all", are_finished).await;
    for result in join_all(waiting).await {
        assert!(is_unavailable(&result.unwrap()));
    }
}

/// After a restart, no token is cached.
#[tokio::test(flavor = "multi_thread")]
async fn more_tokens_than_calls_are_introspected_one_after_another() {
    let (answer, release) = Answer::json(&members_of(&ManualClock::new(), json!({}))).held();
    let setup =
        Setup::with(answer, |introspection| introspection.max_calls(2), |provider| provider);
    let waiting: Vec<_> = (0..100)
        .map(|index| {
            let oauth2 = setup.oauth2.clone();
            tokio::spawn(async move { oauth2.verify(&format!("token-{index}")).await })
        })
        .collect();
    setup.server.wait_for_requests(2);
    release.release();
    for result in join_all(waiting).await {
        result.unwrap().unwrap();
    }
    assert_eq!(setup.server.requests(), 100);
}

/// An issuer may accept several texts for one token, for example with and without a prefix. It may also change its response.
#[tokio::test]
async fn revoked_token_stays_revoked_in_every_text_and_after_every_response() {
    use oauth2_actix::revocation::{DenyList, Revocation};
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let clock = ManualClock::new();
    let now = clock.unix_seconds();
    let answer = |members: Value| server.answer(active(&clock, members));
    answer(json!({
        "iat": now, "client_id": "shop", "username": "ann", "scope": "a b", "aud": ["api", "x"],
    }));
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
    for (name, value) in [
        ("scope", json!("b a")),
        ("aud", json!(["x", "api"])),
        ("username", json!("ann-2")),
        ("exp", json!(now + 7200)),
        ("nbf", json!(now)),
    ] {
        let mut members = json!({"iat": now, "client_id": "shop"});
        members[name] = value;
        answer(members);
        clock.advance(seconds(60));
        let error = oauth2.verify("at_KEY.SIG").await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::TokenRevoked, "{name}");
    }
    for (name, value) in
        [("iat", json!(now + 1)), ("sub", json!("bob")), ("client_id", json!("app"))]
    {
        let mut members = json!({"iat": now, "client_id": "shop"});
        members[name] = value;
        answer(members);
        assert!(oauth2.verify(&format!("another-{name}")).await.is_ok(), "{name}");
    }
}

/// A public request never waits: the next one has claims.
#[tokio::test]
async fn public_request_is_introspected_in_the_background() {
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
