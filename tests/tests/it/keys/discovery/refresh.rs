//! When the document is fetched again.

use super::*;

#[tokio::test]
async fn refresh_fetches_keys_without_the_document() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(Some(HOUR));
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
    for refreshes in 1..=10 {
        issuer.clock.advance(HOUR);
        until("a refresh", || status(&oauth2).fetches.succeeded == refreshes + 1).await;
        assert_eq!(issuer.requested(), [1, 0, refreshes + 1]);
    }
    // An unknown key too.
    let unknown = SigningKey::generate(Algorithm::ES256, "unknown");
    assert_eq!(issuer.verify(&oauth2, &unknown).await, Err(ErrorKind::UnknownKey));
    assert_eq!(issuer.requested(), [1, 0, 12]);
}

#[tokio::test]
async fn moved_jwks_uri_is_followed_within_one_fetch() {
    let next = SigningKey::generate(Algorithm::ES256, "next");
    let elsewhere = KeyServer::start(Answer::json(&next.jwk_set())).unwrap();
    let elsewhere_url = elsewhere.url_of("/v2/keys");
    for gone in [
        Answer::status(404),
        Answer::status(500),
        Answer::reset(),
        Answer::redirect(302, &elsewhere.url()),
        Answer::body(200, &[], b"<html>moved</html>"),
        Answer::json(&json!({"keys": []})),
    ] {
        let issuer = Issuer::with_document("/x");
        let oauth2 = issuer.policy(Some(HOUR));
        assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
        let before = elsewhere.requests();
        issuer.server.answer_at(JWKS, gone);
        issuer.publish(&elsewhere_url);
        assert_eq!(issuer.verify(&oauth2, &next).await, Ok(()), "in the same request");
        assert_eq!(issuer.requested(), [2, 0, 2]);
        assert_eq!(status(&oauth2).discovered.as_ref(), Some(&elsewhere_url));
        // Later fetches use the new address only.
        oauth2.refresh_keys().await.unwrap();
        assert_eq!(issuer.requested(), [2, 0, 2]);
        assert_eq!(elsewhere.requests(), before + 2);
        assert_eq!(status(&oauth2).fetches.failed, 0);
    }
}

#[tokio::test]
async fn failed_keys_at_an_unchanged_jwks_uri_are_fetched_once() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(Some(HOUR));
    oauth2.warm_up().await.unwrap();
    issuer.server.answer_at(JWKS, Answer::status(503));
    let error = oauth2.refresh_keys().await.unwrap_err().to_string();
    assert!(error.contains("status is 503"), "{error}");
    assert_eq!(issuer.requested(), [2, 0, 2], "the document names the same address");
    let status = status(&oauth2);
    assert_eq!((status.state, status.fetches.failed), (KeyState::Failing, 1));
    // The cached keys still verify tokens.
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
}

#[tokio::test]
async fn failure_of_keys_and_document_reports_both() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(Some(HOUR));
    oauth2.warm_up().await.unwrap();
    issuer.server.answer_at(JWKS, Answer::status(503));
    issuer.server.answer_at(&issuer.openid(), Answer::status(502));
    let error = oauth2.refresh_keys().await.unwrap_err().to_string();
    assert!(error.contains("status is 503") && error.contains("status is 502"), "{error}");
}

#[tokio::test]
async fn document_is_fetched_again_after_a_day() {
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(None);
    oauth2.warm_up().await.unwrap();
    // The keys have moved, and the old address still has keys.
    issuer.publish(&elsewhere.url());
    issuer.clock.advance(24 * HOUR - Duration::from_millis(1));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.requested(), elsewhere.requests()), ([1, 0, 2], 0));
    issuer.clock.advance(Duration::from_millis(1));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.requested(), elsewhere.requests()), ([2, 0, 2], 1));
    assert_eq!(status(&oauth2).discovered, Some(elsewhere.url()));
    // The next time is a day later.
    issuer.clock.advance(24 * HOUR - Duration::from_millis(1));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.requested(), elsewhere.requests()), ([2, 0, 2], 2));
    issuer.clock.advance(Duration::from_millis(1));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.requested(), elsewhere.requests()), ([3, 0, 2], 3));
}

#[tokio::test]
async fn keys_are_refreshed_while_the_document_is_missing() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(Some(10 * HOUR));
    assert_eq!(issuer.verify(&oauth2, key(Algorithm::ES256)).await, Ok(()));
    let next = SigningKey::generate(Algorithm::ES256, "next");
    issuer.server.answer_at(JWKS, Answer::json(&next.jwk_set()));
    for (index, gone) in [
        Answer::status(404),
        Answer::reset(),
        Answer::json(&json!({"issuer": "https://other.example"})),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.server.answer_at(&issuer.openid(), gone);
        for _ in 0..4 {
            let before = status(&oauth2).fetches.succeeded;
            issuer.clock.advance(8 * HOUR);
            until("a refresh", || status(&oauth2).fetches.succeeded == before + 1).await;
        }
        assert!(issuer.requested()[0] > index as u64 + 1, "the document is requested");
    }
    assert_eq!(issuer.verify(&oauth2, &next).await, Ok(()));
    assert_eq!(status(&oauth2).fetches.failed, 0);
}

#[tokio::test]
async fn document_and_keys_share_one_timeout() {
    let issuer = Issuer::at("/x");
    let (document, release) = issuer.document(&issuer.server.url()).held();
    issuer.server.answer_at(&issuer.openid(), document);
    issuer.server.answer_at(JWKS, Answer::hang());
    let oauth2 = issuer.policy(None);
    let warming = tokio::spawn({
        let oauth2 = oauth2.clone();
        async move { oauth2.warm_up().await }
    });
    until("the document is requested", || issuer.requested()[0] == 1).await;
    issuer.clock.advance(Duration::from_millis(4_900));
    release.release();
    until("the keys are requested", || issuer.requested()[2] == 1).await;
    assert!(!warming.is_finished());
    issuer.clock.advance(Duration::from_millis(100));
    let error = warming.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("no complete answer within 5 s"), "{error}");
}

#[tokio::test]
async fn document_is_fetched_first_after_a_failure() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(None);
    oauth2.warm_up().await.unwrap();
    // The old address does not respond in time.
    issuer.server.answer_at(JWKS, Answer::hang());
    let refreshing = tokio::spawn({
        let oauth2 = oauth2.clone();
        async move { oauth2.refresh_keys().await }
    });
    until("the keys are requested", || issuer.requested()[2] == 2).await;
    issuer.clock.advance(Duration::from_secs(5));
    assert!(refreshing.await.unwrap().is_err());
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    issuer.publish(&elsewhere.url());
    oauth2.refresh_keys().await.unwrap();
    assert_eq!((issuer.requested(), elsewhere.requests()), ([2, 0, 2], 1));
}

#[tokio::test]
async fn hanging_document_does_not_prevent_a_refresh() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(None);
    oauth2.warm_up().await.unwrap();
    let next = SigningKey::generate(Algorithm::ES256, "next");
    issuer.server.answer_at(JWKS, Answer::json(&next.jwk_set()));
    issuer.server.answer_at(&issuer.openid(), Answer::hang());
    for requested in 2..4 {
        issuer.clock.advance(24 * HOUR);
        let refreshing = tokio::spawn({
            let oauth2 = oauth2.clone();
            async move { oauth2.refresh_keys().await }
        });
        until("the document is requested", || issuer.requested()[0] == requested).await;
        // The document has half of the time.
        issuer.clock.advance(Duration::from_millis(2_500));
        let refreshed = tokio::time::timeout(PATIENCE, refreshing).await;
        refreshed.expect("in time").unwrap().unwrap();
        assert_eq!(issuer.requested(), [requested, 0, requested]);
    }
    assert_eq!(issuer.verify(&oauth2, &next).await, Ok(()));
}

#[tokio::test]
async fn keys_recover_before_the_document_does() {
    let issuer = Issuer::with_document("/x");
    let oauth2 = issuer.policy(None);
    oauth2.warm_up().await.unwrap();
    issuer.server.answer_at(&issuer.openid(), Answer::status(404));
    issuer.server.answer_at(JWKS, Answer::status(503));
    for _ in 0..2 {
        let error = oauth2.refresh_keys().await.unwrap_err().to_string();
        assert!(error.contains("status is 503") && error.contains("status is 404"), "{error}");
    }
    // The keys are back before the document is.
    let next = SigningKey::generate(Algorithm::ES256, "next");
    issuer.server.answer_at(JWKS, Answer::json(&next.jwk_set()));
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(issuer.verify(&oauth2, &next).await, Ok(()));
    assert_eq!(status(&oauth2).discovered, Some(issuer.server.url()));
    // The document counts again as soon as it is available.
    let elsewhere = KeyServer::start(good_keys()).unwrap();
    issuer.publish(&elsewhere.url());
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(elsewhere.requests(), 1);
}
