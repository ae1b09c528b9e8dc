//! Requests that wait for keys, and how many may.

use std::time::{Duration, Instant};

use futures_util::poll;
use oauth2_actix_tests::{
    fetched::{Fetched, is_unavailable, jwk_set, new_key, token},
    key_server::Answer,
    wait::PATIENCE,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn waiters_over_the_limit_are_rejected() {
    let key = new_key("1");
    let setup = Fetched::start(Answer::hang(), Some(HOUR));
    let requests: Vec<_> = (0..1500)
        .map(|_| {
            let (oauth2, token) = (setup.oauth2.clone(), token(&key));
            tokio::spawn(async move { oauth2.verify(&token).await.is_err() })
        })
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while requests.iter().filter(|request| request.is_finished()).count() < 1500 - 1024 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    setup.clock.advance(Duration::from_secs(5));
    for request in requests {
        assert!(request.await.unwrap());
    }
    assert_eq!(setup.server.requests(), 1);
}

#[tokio::test]
async fn dropped_requests_count_as_waiters_until_the_fetch_ends() {
    let key = new_key("1");
    let setup = Fetched::start(Answer::hang(), Some(HOUR));
    let token = token(&key);
    for _ in 0..1024 {
        let mut waiting = Box::pin(setup.oauth2.verify(&token));
        assert!(poll!(waiting.as_mut()).is_pending());
    }
    // All of them are dropped, and still count.
    assert!(is_unavailable(&setup.verify(&key).await));
    setup.server.wait_for_requests(1);
    setup.server.answer(jwk_set(&[&key]));
    setup.clock.advance(Duration::from_secs(5));
    setup.advance_to_request(2).await;
    setup.until_accepted(&key).await;
}
