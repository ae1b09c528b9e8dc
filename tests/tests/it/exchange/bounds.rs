//! The cache, shared calls, limits and the breaker.

use futures_util::future::join_all;
use oauth2_actix_tests::wait::{advance_until, until};

use super::*;

#[tokio::test]
async fn token_is_cached_until_a_tenth_of_its_life_or_30_seconds_are_left() {
    for (life, cached) in [(10, 9), (100, 90), (300, 270), (1000, 970)] {
        let setup = Setup::start(issued("one", json!({"expires_in": life})));
        let claims = setup.claims("ann").await;
        let first = setup.exchange(&claims).await.unwrap();
        assert_eq!(first.time_left(), Some(seconds(life)));
        setup.server.answer(issued("two", json!({})));
        setup.clock.advance(seconds(cached) - Duration::from_millis(1));
        let last = setup.exchange(&claims).await.unwrap();
        assert_eq!(last.expose_token(), "one", "{life}");
        assert_eq!(last.expires_at(), first.expires_at());
        setup.clock.advance(Duration::from_millis(1));
        assert_eq!(setup.exchange(&claims).await.unwrap().expose_token(), "two", "{life}");
        assert_eq!(setup.server.requests(), 2);
    }
}

#[tokio::test]
async fn token_without_a_lifetime_is_not_cached() {
    let setup = Setup::start(issued("one", json!({"expires_in": null})));
    let claims = setup.claims("ann").await;
    for _ in 0..3 {
        let token = setup.exchange(&claims).await.unwrap();
        assert_eq!((token.expires_at(), token.time_left()), (None, None));
    }
    assert_eq!(setup.server.requests(), 3);
}

#[tokio::test]
async fn cache_can_be_off_and_full() {
    let setup = Setup::with(issued("one", json!({})), |exchange| exchange.max_entries(0));
    let claims = setup.claims("ann").await;
    for _ in 0..3 {
        setup.exchange(&claims).await.unwrap();
    }
    assert_eq!(setup.server.requests(), 3);

    let setup = Setup::with(issued("one", json!({})), |exchange| exchange.max_entries(2));
    let claims = setup.claims("ann").await;
    let exchange = async |audience: &str| {
        setup.oauth2.exchange(&claims, audience, ["x"]).await.map(drop).unwrap();
        setup.server.requests()
    };
    assert_eq!((exchange("a").await, exchange("b").await, exchange("a").await), (1, 2, 2));
    assert_eq!((exchange("c").await, exchange("b").await), (3, 3));
    assert_eq!(exchange("a").await, 4, "the oldest was evicted");
}

/// The cached token would outlive it.
#[tokio::test]
async fn expired_token_is_not_exchanged_although_its_result_is_cached() {
    let setup = Setup::start(issued("one", json!({"expires_in": 3600})));
    let claims = setup.claims_of(&setup.token("ann", 10)).await;
    setup.exchange(&claims).await.unwrap();
    setup.clock.advance(seconds(10));
    let error = setup.exchange(&claims).await.unwrap_err();
    assert!(matches!(error.kind(), ExchangeErrorKind::Subject(_)), "{error}");
    assert_eq!(status_of(&error), 401);
    assert_eq!(setup.server.requests(), 1);
}

#[tokio::test]
async fn revoked_token_is_not_exchanged_although_its_result_is_cached() {
    use oauth2_actix::{
        ErrorKind,
        revocation::{DenyList, Revocation},
    };
    let server = KeyServer::start(issued("one", json!({}))).unwrap();
    let provider = issuer().token_exchange(at(&server));
    let oauth2 =
        policy::builder().provider("p", provider).deny_list(DenyList::new()).build().unwrap();
    let token = Token::new(ISSUER, "api").sign(key(Algorithm::ES256));
    let claims = oauth2.verify(&token).await.unwrap();
    oauth2.exchange(&claims, "stock", ["x"]).await.unwrap();
    oauth2.revoke(Revocation::token(&claims)).await.unwrap();
    let error = oauth2.exchange(&claims, "stock", ["x"]).await.unwrap_err();
    let ExchangeErrorKind::Subject(rejection) = error.kind() else { panic!("{error}") };
    assert_eq!(rejection.kind(), &ErrorKind::TokenRevoked);
    assert_eq!(server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_requests_at_once_share_one_call() {
    let (held, release) = issued("one", json!({})).held();
    let setup = Setup::start(held);
    let claims = setup.claims("ann").await;
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let (oauth2, claims) = (setup.oauth2.clone(), claims.clone());
            tokio::spawn(async move { oauth2.exchange(&claims, "stock", ["stock:read"]).await })
        })
        .collect();
    setup.server.wait_for_requests(1);
    release.release();
    for result in join_all(requests).await {
        assert_eq!(result.unwrap().unwrap().expose_token(), "one");
    }
    assert_eq!(setup.server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_are_limited() {
    let setup = Setup::with(Answer::hang(), |exchange| exchange.max_calls(4));
    let claims = setup.claims("ann").await;
    let exchange = |audience: String| {
        let (oauth2, claims) = (setup.oauth2.clone(), claims.clone());
        tokio::spawn(async move { oauth2.exchange(&claims, &audience, ["x"]).await })
    };
    let running: Vec<_> = (0..4).map(|index| exchange(format!("a{index}"))).collect();
    setup.server.wait_for_requests(4);
    let queued: Vec<_> = (4..20).map(|index| exchange(format!("a{index}"))).collect();
    until("the others wait", || setup.clock.sleepers() >= 16).await;
    assert_eq!(setup.server.requests(), 4);
    let all: Vec<_> = running.into_iter().chain(queued).collect();
    let are_finished = || all.iter().all(tokio::task::JoinHandle::is_finished);
    advance_until(&setup.clock, seconds(5), "the end of all", are_finished).await;
    for result in join_all(all).await {
        unavailable(result.unwrap());
    }
}

#[tokio::test]
async fn rejection_is_cached_for_5_seconds_and_does_not_stop_other_exchanges() {
    let setup = Setup::start(refused(400, "invalid_grant"));
    let claims = setup.claims("ann").await;
    for _ in 0..20 {
        let error = setup.exchange(&claims).await.unwrap_err();
        assert!(matches!(error.kind(), ExchangeErrorKind::Rejected { .. }), "{error}");
    }
    assert_eq!(setup.server.requests(), 1);
    // Rejections do not count as failures of the endpoint.
    for index in 0..20 {
        let result = setup.oauth2.exchange(&claims, &format!("a{index}"), ["x"]).await;
        assert!(matches!(result.unwrap_err().kind(), ExchangeErrorKind::Rejected { .. }));
    }
    setup.server.answer(issued("one", json!({})));
    let other = setup.claims("bob").await;
    setup.exchange(&other).await.unwrap();
    setup.clock.advance(seconds(5) - Duration::from_millis(1));
    assert!(setup.exchange(&claims).await.is_err());
    setup.clock.advance(Duration::from_millis(1));
    setup.exchange(&claims).await.unwrap();
}

#[tokio::test]
async fn one_failed_exchange_does_not_open_the_breaker() {
    let setup = Setup::start(Answer::status(500));
    let claims = setup.claims("ann").await;
    for _ in 0..20 {
        unavailable(setup.exchange(&claims).await);
    }
    assert_eq!(setup.server.requests(), 1, "the exchange is not repeated at once");
    setup.server.answer(issued("one", json!({})));
    setup.exchange(&setup.claims("bob").await).await.unwrap();
    setup.clock.advance(seconds(5));
    setup.exchange(&claims).await.unwrap();
}

#[tokio::test]
async fn endpoint_that_rejects_this_api_opens_the_breaker_and_recovers() {
    let setup = Setup::start(refused(401, "invalid_client"));
    let (ann, bob) = (setup.claims("ann").await, setup.claims("bob").await);
    let (_, text) = unavailable(setup.exchange(&ann).await);
    assert!(text.contains("this API was rejected: invalid_client (Why.)"), "{text}");
    for claims in [&ann, &bob] {
        unavailable(setup.exchange(claims).await);
    }
    assert_eq!(setup.server.requests(), 1);
    setup.server.answer(issued("one", json!({})));
    setup.clock.advance(seconds(1));
    setup.exchange(&bob).await.unwrap();
    setup.exchange(&ann).await.unwrap();
}

#[tokio::test]
async fn cached_token_is_used_during_an_outage() {
    let setup = Setup::start(issued("one", json!({})));
    let (ann, bob) = (setup.claims("ann").await, setup.claims("bob").await);
    setup.exchange(&ann).await.unwrap();
    setup.server.answer(Answer::status(401));
    unavailable(setup.exchange(&bob).await);
    assert_eq!(setup.exchange(&ann).await.unwrap().expose_token(), "one");
}

fn status_of(error: &ExchangeError) -> u16 {
    actix_web::ResponseError::status_code(error).as_u16()
}

/// Otherwise a client whose large token a firewall rejects could stop all exchanges.
#[tokio::test]
async fn rejections_by_a_firewall_do_not_open_the_breaker() {
    for status in [400, 403, 404, 405, 413] {
        let setup = Setup::start(Answer::status(status));
        let claims = setup.claims("ann").await;
        for index in 0..50 {
            for _ in 0..2 {
                unavailable(setup.oauth2.exchange(&claims, &format!("a{index}"), ["x"]).await);
            }
        }
        assert_eq!(setup.server.requests(), 50, "{status}");
        setup.server.answer(issued("one", json!({})));
        setup.exchange(&claims).await.unwrap();
    }
}

#[tokio::test]
async fn errors_are_cached_although_tokens_are_not() {
    for answer in [Answer::status(500), refused(400, "invalid_grant")] {
        let setup = Setup::with(answer, |exchange| exchange.max_entries(0));
        let claims = setup.claims("ann").await;
        for _ in 0..20 {
            assert!(setup.exchange(&claims).await.is_err());
        }
        assert_eq!(setup.server.requests(), 1);
        setup.server.answer(issued("one", json!({})));
        for _ in 0..2 {
            setup.exchange(&setup.claims("bob").await).await.unwrap();
        }
        assert_eq!(setup.server.requests(), 3);
    }
}
