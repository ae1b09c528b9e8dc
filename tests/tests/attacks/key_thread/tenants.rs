//! Attacks by clients and removed tenants, where providers are looked up.

use std::task::Poll;

use super::*;

#[tokio::test]
async fn flood_of_unknown_issuers_does_not_reject_a_known_tenant() {
    let key = new_key();
    let jwks = key.jwk_set();
    let clock = ManualClock::new();
    // A database that never responds for unknown issuers, and responds at once for known ones.
    let lookup = Lookup(move |issuer: &str| {
        (issuer == "https://known.test").then(|| Ok(Some(tenant("known", issuer, jwks.clone()))))
    });
    let oauth2 =
        builder(Tenants::new(lookup), &clock).provider("passing", passing(&key)).build().unwrap();
    assert_eq!(kind(&oauth2, "https://known.test", &key).await, None);
    // One client that does not wait: each request is dropped at once.
    let mut sent = 0;
    let mut flood = |count: usize| {
        let requests: Vec<String> = (0..count)
            .map(|_| {
                sent += 1;
                Token::new(&format!("https://made-up-{sent}.test"), "api")
                    .expires_in(86_400)
                    .sign(&key)
            })
            .collect();
        let oauth2 = oauth2.clone();
        async move {
            for token in requests {
                let mut request = Box::pin(oauth2.verify(&token));
                let _ = poll!(request.as_mut());
            }
        }
    };
    flood(1100).await;
    // The tenant is used continuously.
    let mut rejected = Vec::new();
    for second in (0..12 * 60).step_by(4) {
        clock.advance(4 * S);
        turns(4, &oauth2, &key).await;
        flood(40).await;
        let token = Token::new("https://known.test", "api").expires_in(90 * 86_400).sign(&key);
        let mut request = Box::pin(oauth2.verify(&token));
        match poll!(request.as_mut()) {
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => rejected.push((second, error.to_string())),
            Poll::Pending => rejected.push((second, "waits".into())),
        }
    }
    assert!(rejected.is_empty(), "{} of 180 failed: {:?} …", rejected.len(), rejected.first());
}

#[tokio::test]
async fn lookup_error_that_fails_to_display_does_not_stop_the_thread() {
    let key = new_key();
    let server = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    let oauth2 = with_failing_lookups(&server, || Box::new(FailsToDisplay));
    log::keep();
    assert!(kind(&oauth2, "https://broken.test", &key).await.is_some());
    assert_eq!(kind(&oauth2, "https://good.test", &key).await, None);
}

#[tokio::test]
async fn removed_tenant_causes_no_more_fetches() {
    let key = new_key();
    let server = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    let url = server.url();
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    let clock = ManualClock::new();
    let oauth2 = builder(
        tenants(move |issuer: &str| {
            (!is_gone.load(Ordering::SeqCst)).then(|| tenant("gone", issuer, url.clone()))
        }),
        &clock,
    )
    .build()
    .unwrap();
    assert_eq!(kind(&oauth2, "https://a.test", &key).await, None);
    gone.store(true, Ordering::SeqCst);
    for _ in 0..30 * 24 {
        clock.advance(60 * MINUTE);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    advance_until(&clock, 60 * MINUTE, "it is removed", || oauth2.key_status().is_empty()).await;
    assert!(server.requests() < 30, "{} fetches in 30 days", server.requests());
}

#[tokio::test]
async fn warnings_of_failing_tenants_are_rate_limited() {
    log::keep();
    let key = new_key();
    let clock = ManualClock::new();
    let server = KeyServer::start(Answer::status(500)).unwrap();
    let url = server.url();
    let oauth2 = policy::builder()
        .tenants(
            tenants(move |issuer: &str| Some(tenant("warned-of", issuer, url.clone()))).capacity(1),
        )
        .clock(clock.clone())
        .build()
        .unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        for issuer in ["https://a.test", "https://b.test"] {
            let _ = kind(&oauth2, issuer, &key).await;
        }
    }
    let lines = log::lines_with(&["WARN", "warned-of"]);
    // One in ten seconds of the system's clock.
    let most = 4 + began.elapsed().as_secs() as usize / 10;
    assert!(lines.len() <= most, "{} warnings: {:#?}", lines.len(), &lines[..2]);
}

#[test]
fn key_settings_are_checked_at_build_with_tenants_only() {
    let builder = || policy::builder().tenants(tenants(|_| None));
    assert!(builder().key_refresh(Duration::from_millis(10)).build().is_err(), "key_refresh");
    assert!(
        builder().key_refresh(60 * MINUTE).stale_window(MINUTE).build().is_err(),
        "stale_window"
    );
}

#[tokio::test]
async fn token_of_a_failing_tenant_does_not_make_the_instance_unready() {
    let key = new_key();
    let own = Provider::new().issuer("https://own.test").audience("api").keys(key.jwk_set());
    let dead = KeyServer::start(Answer::status(404)).unwrap();
    let url = dead.url();
    let oauth2 = policy::builder()
        .provider("own", own)
        .tenants(tenants(move |issuer: &str| {
            (issuer == "https://acme.test").then(|| tenant("acme", issuer, url.clone()))
        }))
        .key_refresh_minutes(5)
        .build()
        .unwrap();
    let ready = || oauth2.is_ready();
    assert!(ready());
    let _ = kind(&oauth2, "https://acme.test", &SigningKey::generate(Algorithm::ES256, "x")).await;
    assert!(ready(), "the failed provider of one tenant makes the readiness probe fail");
    let acme = oauth2.key_status().pop().unwrap();
    assert!(acme.tenant && !acme.is_ready());
}

#[tokio::test]
async fn source_of_a_tenant_keeps_its_keys_over_a_lookup() {
    struct Vault(String, Arc<AtomicUsize>);
    impl KeySource for Vault {
        async fn load(&self) -> Result<String, Boxed> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(self.0.clone())
        }
    }
    let key = new_key();
    let requested = Arc::new(AtomicUsize::new(0));
    let (jwks, count) = (key.jwk_set().to_string(), Arc::clone(&requested));
    let clock = ManualClock::new();
    // Created once, as documented.
    let keys = Keys::source(Vault(jwks, count));
    let oauth2 = policy::builder()
        .tenants(tenants(move |issuer: &str| Some(tenant("a", issuer, keys.clone()))))
        .key_refresh_minutes(24 * 60)
        .clock(clock.clone())
        .build()
        .unwrap();
    for _ in 0..6 {
        assert_eq!(kind(&oauth2, "https://a.test", &key).await, None);
        clock.advance(11 * MINUTE);
    }
    assert_eq!(requested.load(Ordering::SeqCst), 1);
}

/// Requests that wait for keys of a tenant that changes get a result, and no stale key verifies them.
#[tokio::test]
async fn waiters_of_a_replaced_tenant_get_a_result() {
    let (old, new) = (new_key(), new_key());
    let (held, release) = Answer::json(&old.jwk_set()).held();
    let slow = KeyServer::start(held).unwrap();
    let jwks = new.jwk_set();
    let replaced = Arc::new(AtomicBool::new(false));
    let (is_replaced, url) = (Arc::clone(&replaced), slow.url());
    let clock = ManualClock::new();
    let oauth2 = builder(
        tenants(move |issuer: &str| {
            Some(if is_replaced.load(Ordering::SeqCst) {
                tenant("a", issuer, jwks.clone())
            } else {
                tenant("a", issuer, url.clone())
            })
        })
        .lifetime(S),
        &clock,
    )
    .build()
    .unwrap();
    let token = Token::new("https://a.test", "api").sign(&old);
    let mut waiting = Box::pin(oauth2.verify(&token));
    assert!(poll!(waiting.as_mut()).is_pending());
    let deadline = Instant::now() + PATIENCE;
    while slow.requests() < 1 {
        let _ = poll!(waiting.as_mut());
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    replaced.store(true, Ordering::SeqCst);
    clock.advance(S);
    assert_eq!(kind(&oauth2, "https://a.test", &new).await, None);
    release.release();
    let answer = tokio::time::timeout(PATIENCE, waiting).await.expect("answered");
    println!("{answer:?}");
    assert!(answer.is_err());
    assert!(kind(&oauth2, "https://a.test", &old).await.is_some());
}

#[derive(Debug)]
struct PanicsInDisplay;
impl fmt::Display for PanicsInDisplay {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no text")
    }
}

impl Error for PanicsInDisplay {}

#[tokio::test]
async fn lookup_error_that_panics_in_display_does_not_stop_the_thread() {
    log::keep();
    let key = new_key();
    let server = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    let oauth2 = with_failing_lookups(&server, || Box::new(PanicsInDisplay));
    assert!(kind(&oauth2, "https://broken.test", &key).await.is_some());
    assert_eq!(kind(&oauth2, "https://good.test", &key).await, None);
}

#[tokio::test]
async fn new_tenant_under_a_flood_waits_for_one_lookup_timeout() {
    let key = new_key();
    let jwks = key.jwk_set();
    let clock = ManualClock::new();
    let oauth2 = builder(
        Tenants::new(Lookup(move |issuer: &str| {
            (issuer == "https://new.test").then(|| Ok(Some(tenant("new", issuer, jwks.clone()))))
        })),
        &clock,
    )
    .provider("passing", passing(&key))
    .build()
    .unwrap();
    for index in 0..1000 {
        let token = Token::new(&format!("https://{index}.test"), "api").sign(&key);
        let mut request = Box::pin(oauth2.verify(&token));
        let _ = poll!(request.as_mut());
    }
    let token = Token::new("https://new.test", "api").expires_in(86_400).sign(&key);
    let mut request = Box::pin(oauth2.verify(&token));
    assert!(poll!(request.as_mut()).is_pending());
    turns(40, &oauth2, &key).await;
    clock.advance(5 * S);
    let _ = tokio::time::timeout(PATIENCE, request).await.expect("an answer after 5 s");
}

/// A tenant is removed while its token waits for keys, in many interleavings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_removed_tenant_verify_no_later_token() {
    let key = new_key();
    let server = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    let (url, here) = (server.url(), Arc::new(AtomicBool::new(true)));
    let is_here = Arc::clone(&here);
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .tenants(
            tenants(move |issuer: &str| {
                is_here.load(Ordering::SeqCst).then(|| tenant("a", issuer, url.clone()))
            })
            .lifetime(S)
            .rejection_lifetime(S),
        )
        .key_refresh(S)
        .stale_window(24 * 60 * MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    for round in 0..200 {
        here.store(true, Ordering::SeqCst);
        clock.advance(S);
        assert_eq!(kind(&oauth2, "https://a.test", &key).await, None, "{round}");
        here.store(false, Ordering::SeqCst);
        clock.advance(S);
        let unknown = SigningKey::generate(Algorithm::ES256, "2");
        let tokens: Vec<String> = (0..8)
            .map(|index| {
                let key = if index % 2 == 0 { &key } else { &unknown };
                Token::new("https://a.test", "api").expires_in(86_400).sign(key)
            })
            .collect();
        let tasks: Vec<_> = tokens
            .into_iter()
            .map(|token| {
                let oauth2 = oauth2.clone();
                tokio::spawn(async move { oauth2.verify(&token).await.is_ok() })
            })
            .collect();
        for task in tasks {
            assert!(!tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap(), "{round}");
        }
        assert!(oauth2.key_status().is_empty());
    }
}

#[tokio::test]
async fn removed_tenant_cannot_prolong_its_access_by_a_flood() {
    let key = new_key();
    let jwks = key.jwk_set();
    let clock = ManualClock::new();
    // 0: a tenant. 1: the database fails. 2: the database has recovered, and the tenant is removed.
    let phase = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&phase);
    let lookup = Lookup(move |issuer: &str| {
        // Lookups of all other issuers never end.
        (issuer == "https://removed.test").then(|| match now.load(Ordering::SeqCst) {
            0 => Ok(Some(tenant("removed", issuer, jwks.clone()))),
            1 => Err("a blip".into()),
            _ => Ok(None),
        })
    });
    let oauth2 =
        builder(Tenants::new(lookup), &clock).provider("passing", passing(&key)).build().unwrap();
    let genuine = Token::new("https://removed.test", "api").expires_in(90 * 86_400).sign(&key);
    assert!(oauth2.verify(&genuine).await.is_ok());
    // One failed lookup, of a second.
    phase.store(1, Ordering::SeqCst);
    clock.advance(9 * MINUTE);
    assert!(oauth2.verify(&genuine).await.is_ok());
    turns(4, &oauth2, &key).await;
    phase.store(2, Ordering::SeqCst);
    // The removed tenant floods with made-up issuers, and never waits for a response.
    let mut sent = 0;
    let mut accepted_at = Duration::ZERO;
    let mut elapsed = Duration::ZERO;
    let step = 4 * S;
    for round in 0..(30 * 60 / 4) {
        for _ in 0..(if round == 0 { 1100 } else { 50 }) {
            sent += 1;
            let token = Token::new(&format!("https://made-up-{sent}.test"), "api")
                .expires_in(86_400)
                .sign(&key);
            let mut request = Box::pin(oauth2.verify(&token));
            let _ = poll!(request.as_mut());
        }
        let mut request = Box::pin(oauth2.verify(&genuine));
        if let Poll::Ready(Ok(_)) = poll!(request.as_mut()) {
            accepted_at = elapsed;
        }
        turns(if round == 0 { 40 } else { 4 }, &oauth2, &key).await;
        clock.advance(step);
        elapsed += step;
        turns(4, &oauth2, &key).await;
    }
    assert!(
        accepted_at <= 12 * MINUTE,
        "still accepted {accepted_at:?} after its removal, while the database was up"
    );
}
