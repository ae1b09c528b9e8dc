//! What a restarted service uses, and what confirms a snapshot.

use super::*;

#[tokio::test]
async fn restart_during_an_outage_uses_the_snapshot() {
    log::keep();
    let (known, next) = (new_key("known"), new_key("next"));
    let setup = Setup::new("restart", jwk_set(&[&known]));
    setup.write_and_stop().await;
    setup.clock.advance(10 * MINUTE);
    for round in 1..=3 {
        let oauth2 = setup.start();
        assert!(oauth2.is_ready());
        oauth2.warm_up().await.unwrap();
        assert_eq!(verify(&oauth2, &known).await, Ok(()));
        assert!(unavailable(&verify(&oauth2, &next).await), "unknown keys are unavailable");
        assert_eq!(verify(&oauth2, &new_key("known")).await, Err(ErrorKind::SignatureInvalid));
        until("the fetch fails", || status(&oauth2).fetches.failed > 0).await;
        let status = status(&oauth2);
        assert_eq!(status.state, KeyState::Snapshot);
        assert_eq!(serde_json::to_value(status.state).unwrap(), json!("snapshot"));
        // Restarts and failures do not renew it.
        assert_eq!(status.age_seconds, Some(600 * round));
        assert_eq!(status.stale_in_seconds, Some(24 * 3600 - 600 * round));
        assert_eq!(status.last_success, None);
        setup.clock.advance(10 * MINUTE);
    }
    assert_eq!(
        log::lines_with(&["INFO", "keys of the snapshot are used", "provider=restart"]).len(),
        3
    );
    // The provider recovers with other keys, which replace the snapshot.
    let oauth2 = setup.start();
    setup.server.answer(jwk_set(&[&next]));
    advance_until(&setup.clock, Duration::from_secs(1), "keys are fetched", || {
        status(&oauth2).state == KeyState::Fresh
    })
    .await;
    assert_eq!(verify(&oauth2, &next).await, Ok(()));
    assert_eq!(verify(&oauth2, &known).await, Err(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn snapshot_without_refresh_is_used_until_stale() {
    let (known, next) = (new_key("known"), new_key("next"));
    let setup = Setup::new("no-refresh", jwk_set(&[&known]));
    setup.write_and_stop().await;
    let without = || {
        policy::builder()
            .provider(&setup.name, setup.provider())
            .key_snapshot(&setup.directory)
            .fetch_timeout(MINUTE)
            .clock(setup.clock.clone())
            .build()
            .unwrap()
    };
    setup.clock.advance(23 * HOUR);
    let oauth2 = without();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    // A snapshot that was not renewed for a day is stale.
    setup.clock.advance(HOUR);
    assert!(unavailable(&verify(&oauth2, &known).await));
    drop(oauth2);
    let oauth2 = without();
    assert!(unavailable(&verify(&oauth2, &known).await));
    setup.server.answer(jwk_set(&[&next]));
    advance_until(&setup.clock, Duration::from_secs(1), "keys are fetched", || {
        status(&oauth2).state == KeyState::Fresh
    })
    .await;
    setup.clock.advance(1000 * HOUR);
    assert_eq!(verify(&oauth2, &next).await, Ok(()), "fetched keys without refresh never expire");
}

#[tokio::test]
async fn not_modified_response_renews_the_snapshot() {
    let known = new_key("known");
    let body = json!({"keys": [known.public_jwk()]}).to_string();
    let setup = Setup::new("unchanged", Answer::body(200, &[("etag", "\"1\"")], body.as_bytes()));
    let oauth2 = setup.start();
    oauth2.warm_up().await.unwrap();
    setup.until_written().await;
    setup.server.answer(Answer::status(304));
    let requested = setup.server.requests();
    setup.clock.advance(HOUR);
    setup.server.wait_for_requests(requested + 1);
    setup.until_written().await;
    setup.server.answer(Answer::status(500));
    drop(oauth2);
    let oauth2 = setup.start();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    assert_eq!(status(&oauth2).age_seconds, Some(0));
}

#[tokio::test]
async fn tenants_have_snapshots() {
    struct One(Provider);
    impl TenantLookup for One {
        async fn find_by_issuer(
            &self,
            issuer: &str,
        ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
            Ok((issuer == ISSUER).then(|| Tenant::new("../tenant", self.0.clone())))
        }
    }
    let (known, next) = (new_key("known"), new_key("next"));
    let setup = Setup::new("tenant", jwk_set(&[&known]));
    let start = || {
        policy::builder()
            .tenants(Tenants::new(One(setup.provider())))
            .key_refresh(HOUR)
            .key_snapshot(&setup.directory)
            .fetch_timeout(MINUTE)
            .clock(setup.clock.clone())
            .build()
            .unwrap()
    };
    let oauth2 = start();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    setup.until_written().await;
    drop(oauth2);
    setup.server.answer(Answer::status(500));
    let oauth2 = start();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    assert_eq!(status(&oauth2).state, KeyState::Snapshot);
    assert!(status(&oauth2).tenant);
    // The snapshot is replaced without waiting requests.
    setup.server.answer(jwk_set(&[&next]));
    advance_until(&setup.clock, Duration::from_secs(1), "keys are fetched", || {
        status(&oauth2).state == KeyState::Fresh
    })
    .await;
    assert_eq!(verify(&oauth2, &known).await, Err(ErrorKind::UnknownKey));
}

#[tokio::test]
async fn snapshots_hold_custom_sources_but_not_files() {
    struct Vault(Option<String>);
    impl KeySource for Vault {
        async fn load(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
            self.0.clone().ok_or_else(|| "sealed".into())
        }
    }
    let known = new_key("known");
    let text = known.jwk_set().to_string();
    let setup = Setup::new("vault", jwk_set(&[]));
    let of = |keys: Keys| Provider::new().issuer(ISSUER).audience("api").keys(keys);
    let oauth2 = setup.builder(of(Keys::source(Vault(Some(text.clone()))))).build().unwrap();
    oauth2.warm_up().await.unwrap();
    setup.until_written().await;
    drop(oauth2);
    let oauth2 = setup.builder(of(Keys::source(Vault(None)))).build().unwrap();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));

    let setup = Setup::new("file", jwk_set(&[]));
    let path = std::env::temp_dir().join(format!("oauth2-actix-kept-{}", std::process::id()));
    fs::write(&path, text).unwrap();
    let oauth2 = setup.builder(of(Keys::file(&path))).build().unwrap();
    oauth2.warm_up().await.unwrap();
    drop(oauth2);
    fs::remove_file(&path).unwrap();
    let oauth2 = setup.builder(of(Keys::file(&path))).build().unwrap();
    assert!(unavailable(&verify(&oauth2, &known).await), "a removed file is not restored");
    assert_eq!(setup.files(), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn removed_directory_is_logged_and_does_not_affect_requests() {
    log::keep();
    let known = new_key("known");
    let setup = Setup::new("gone", jwk_set(&[&known]));
    let oauth2 = setup.start();
    fs::remove_dir_all(&setup.directory).unwrap();
    oauth2.refresh_keys().await.unwrap();
    assert_eq!(verify(&oauth2, &known).await, Ok(()));
    until("it is logged", || {
        log::lines_with(&["WARN", "the key snapshot was not written", "provider=gone"]).len() == 1
    })
    .await;
}

#[test]
fn path_that_is_not_a_directory_is_a_build_error() {
    let path =
        std::env::temp_dir().join(format!("oauth2-actix-no-directory-{}", std::process::id()));
    fs::write(&path, "x").unwrap();
    let provider = || Provider::new().issuer(ISSUER).audience("api").keys("https://idp.test/jwks");
    for path in [path.clone(), path.join("below")] {
        let builder = policy::builder().provider("p", provider()).key_snapshot(&path);
        let error = builder.build().unwrap_err();
        assert_eq!((error.provider(), error.field()), (None, "key_snapshot"), "{error}");
        let config = json!({
            "providers": {"p": {"issuer": ISSUER, "audience": "api", "keys": "https://idp.test/jwks"}},
            "key_snapshot": path,
        });
        let builder: OAuth2Builder = serde_json::from_value(config).unwrap();
        assert_eq!(builder.build().unwrap_err().field(), "key_snapshot");
    }
    fs::remove_file(path).unwrap();
}
