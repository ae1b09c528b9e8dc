//! How much unknown issuers and many tenants may cost.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_unknown_issuers_is_bounded_and_evicts_no_tenant() {
    let setup = Setup::new();
    let key = new_key();
    setup.customers.add("https://a.test", tenant("a", "https://a.test", &key));
    assert_eq!(setup.kind("https://a.test", &key).await, None);
    let gate = setup.customers.hold();
    let requests: Vec<_> = (0..3000)
        .map(|index| {
            let oauth2 = setup.oauth2.clone();
            let token = Token::new(&issuer(index), "api").sign(&key);
            tokio::spawn(async move { oauth2.verify(&token).await.map(drop) })
        })
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while requests.iter().filter(|request| request.is_finished()).count() < 3000 - 1024 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    // The first lookup was for the tenant.
    setup.customers.wait_for_lookups(25);
    assert_eq!(setup.customers.0.most_at_once.load(Ordering::SeqCst), 24);
    // The known tenant is still accepted.
    assert_eq!(setup.kind("https://a.test", &key).await, None);
    *setup.customers.0.held.lock().unwrap() = None;
    gate.notify_waiters();
    for request in requests {
        assert!(request.await.unwrap().is_err());
    }
    // Many more in sequence: the memory for them is bounded.
    for index in 3000..12_000 {
        assert_eq!(setup.kind(&issuer(index), &key).await, unknown_issuer());
    }
    assert_eq!(setup.kind("https://a.test", &key).await, None);
    assert_eq!(setup.oauth2.key_status().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_of_unknown_issuers_do_not_block_an_earlier_tenant() {
    let setup = Setup::new();
    let key = new_key();
    setup.customers.add("https://a.test", tenant("a", "https://a.test", &key));
    assert_eq!(setup.kind("https://a.test", &key).await, None);
    // It was idle, so that its next request waits for a lookup, while unknown issuers fill the waiters.
    setup.clock.advance(11 * MINUTE);
    let gate = setup.customers.hold();
    let unknown: Vec<_> = (0..1100)
        .map(|index| {
            let oauth2 = setup.oauth2.clone();
            let token = Token::new(&issuer(index), "api").expires_in(86_400).sign(&key);
            tokio::spawn(async move { oauth2.verify(&token).await.map(drop) })
        })
        .collect();
    // The first lookup was for the tenant.
    setup.customers.wait_for_lookups(25);
    let deadline = Instant::now() + PATIENCE;
    while unknown.iter().filter(|request| request.is_finished()).count() < 1100 - 1024 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    *setup.customers.0.held.lock().unwrap() = None;
    assert_eq!(setup.kind("https://a.test", &key).await, None);
    gate.notify_waiters();
    for request in unknown {
        assert!(request.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn tenant_over_the_capacity_evicts_the_least_recently_used() {
    let setup = Setup::with(|tenants| tenants.capacity(10).lifetime(24 * HOUR));
    let key = new_key();
    let server = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    for index in 0..11 {
        let provider = Provider::new().issuer(issuer(index)).audience("api").keys(server.url());
        setup.customers.add(&issuer(index), Tenant::new(index.to_string(), provider));
    }
    for index in 0..10 {
        assert_eq!(setup.kind(&issuer(index), &key).await, None);
        setup.clock.advance(Duration::from_secs(1));
    }
    // All tenants except the second are used again.
    for index in (0..10).filter(|index| *index != 1) {
        assert_eq!(setup.kind(&issuer(index), &key).await, None);
    }
    assert_eq!(setup.customers.lookups(), 10);
    assert_eq!(setup.kind(&issuer(10), &key).await, None);
    let names: Vec<String> =
        setup.oauth2.key_status().into_iter().map(|status| status.provider).collect();
    assert_eq!(names.len(), 10);
    assert!(!names.contains(&"1".to_owned()), "{names:?}");
    assert_eq!(server.requests(), 11);
    // Its next request evicts another tenant, and causes a lookup and a fetch.
    assert_eq!(setup.kind(&issuer(1), &key).await, None);
    assert_eq!((setup.customers.lookups(), server.requests()), (12, 12));
}

#[tokio::test]
async fn tenant_evicted_during_its_lookup_fetches_its_keys_again() {
    for other_first in [true, false] {
        let setup = Setup::with(|tenants| tenants.capacity(1));
        let (old, new) = (new_key(), SigningKey::generate(Algorithm::ES256, "2"));
        let server = KeyServer::start(Answer::json(&old.jwk_set())).unwrap();
        let remote = Provider::new().issuer("https://a.test").audience("api").keys(server.url());
        setup.customers.add("https://a.test", Tenant::new("a", remote));
        setup.customers.add("https://b.test", tenant("b", "https://b.test", &old));
        assert_eq!(setup.kind("https://a.test", &old).await, None);
        setup.clock.advance(8 * MINUTE);
        // The lookup of another tenant ends at the same time as that in the background.
        let gate = setup.customers.hold();
        let of_b = Token::new("https://b.test", "api").expires_in(86_400).sign(&old);
        let mut other = Box::pin(setup.oauth2.verify(&of_b));
        if other_first {
            assert!(poll!(other.as_mut()).is_pending());
            setup.customers.wait_for_lookups(2);
        }
        assert_eq!(setup.kind("https://a.test", &old).await, None);
        assert!(poll!(other.as_mut()).is_pending());
        setup.customers.wait_for_lookups(3);
        *setup.customers.0.held.lock().unwrap() = None;
        gate.notify_waiters();
        assert!(other.await.is_ok());
        // In either order, its keys are fetched when they are needed.
        server.answer(Answer::json(&new.jwk_set()));
        assert_eq!(setup.kind("https://a.test", &new).await, None, "{other_first}");
    }
}
