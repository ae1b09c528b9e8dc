//! Providers that are looked up by the issuer of a token.
//!
//! - this file: lookups, their lifetime and their failures
//! - `capacity`: bounds on issuers, tenants and lookups

mod capacity;

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::poll;
use oauth2_actix::{
    Algorithm, Difference, ErrorKind, Keys, OAuth2, Provider, requirement,
    tenants::{Tenant, TenantLookup, Tenants},
    testing::{IdentityProvider, ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    api::Api,
    client,
    key_server::{Answer, KeyServer},
    log, policy,
    wait::PATIENCE,
};
use tokio::sync::Notify;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A database of tenants.
#[derive(Clone, Default)]
struct Customers(Arc<Database>);

#[derive(Default)]
struct Database {
    rows: Mutex<HashMap<String, Tenant>>,
    down: Mutex<Option<&'static str>>,
    lookups: AtomicUsize,
    most_at_once: AtomicUsize,
    at_once: AtomicUsize,
    /// The gate that lookups wait for, if any.
    held: Mutex<Option<Arc<Notify>>>,
}

impl Customers {
    fn add(&self, issuer: &str, tenant: Tenant) {
        self.0.rows.lock().unwrap().insert(issuer.to_owned(), tenant);
    }

    fn remove(&self, issuer: &str) {
        self.0.rows.lock().unwrap().remove(issuer);
    }

    fn fail(&self, with: Option<&'static str>) {
        *self.0.down.lock().unwrap() = with;
    }

    fn hold(&self) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        *self.0.held.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    fn lookups(&self) -> usize {
        self.0.lookups.load(Ordering::SeqCst)
    }

    fn wait_for_lookups(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.lookups() < count {
            assert!(Instant::now() < deadline, "{} of {count} lookups", self.lookups());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl TenantLookup for Customers {
    async fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
        let at_once = self.0.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let held = self.0.held.lock().unwrap().clone();
        let mut opened = std::pin::pin!(held.as_ref().map(|gate| gate.notified()));
        // Before the lookup is counted, since the count may cause a test to open the gate.
        if let Some(opened) = opened.as_mut().as_pin_mut() {
            opened.enable();
        }
        self.0.lookups.fetch_add(1, Ordering::SeqCst);
        if let Some(opened) = opened.as_pin_mut() {
            opened.await;
        }
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
        let down = *self.0.down.lock().unwrap();
        match down {
            Some("panic") => panic!("the lookup is broken"),
            Some(why) => return Err(why.into()),
            None => {}
        }
        Ok(self.0.rows.lock().unwrap().get(issuer).cloned())
    }
}

struct Setup {
    customers: Customers,
    clock: ManualClock,
    oauth2: OAuth2,
}

impl Setup {
    fn new() -> Self {
        Self::with(|tenants| tenants)
    }

    fn with(adjust: impl FnOnce(Tenants) -> Tenants) -> Self {
        let customers = Customers::default();
        let clock = ManualClock::new();
        let oauth2 = policy::builder()
            .tenants(adjust(Tenants::new(customers.clone())))
            .key_refresh_minutes(60)
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { customers, clock, oauth2 }
    }

    async fn kind(&self, issuer: &str, key: &SigningKey) -> Option<ErrorKind> {
        let token = Token::new(issuer, "api").expires_in(90 * 86_400).sign(key);
        self.oauth2.verify(&token).await.err().map(|error| error.kind().clone())
    }
}

fn tenant(name: &str, issuer: &str, key: &SigningKey) -> Tenant {
    let keys = key.jwk_set();
    Tenant::new(name, Provider::new().issuer(issuer).audience("api").keys(keys))
}

fn issuer(index: usize) -> String {
    format!("https://tenant-{index}.test")
}

fn new_key() -> SigningKey {
    SigningKey::generate(Algorithm::ES256, "1")
}

fn unknown_issuer() -> Option<ErrorKind> {
    Some(ErrorKind::UnknownIssuer { difference: None })
}

fn is_unavailable(kind: &Option<ErrorKind>) -> bool {
    matches!(kind, Some(ErrorKind::KeysUnavailable { .. }))
}

#[tokio::test]
async fn tenant_is_looked_up_once_and_its_keys_are_fetched_once() {
    let setup = Setup::new();
    let (one, two) =
        (IdentityProvider::start("api").unwrap(), IdentityProvider::start("api").unwrap());
    for (name, idp) in [("one", &one), ("two", &two)] {
        let provider = Provider::new().issuer(idp.issuer()).audience("api").keys(Keys::discover());
        setup.customers.add(idp.issuer(), Tenant::new(name, provider));
    }
    for _ in 0..5 {
        for (name, idp) in [("one", &one), ("two", &two)] {
            let claims = setup.oauth2.verify(&idp.token().sign(&idp.key())).await.unwrap();
            assert_eq!((claims.provider(), claims.issuer()), (name, idp.issuer()));
        }
    }
    assert_eq!(setup.customers.lookups(), 2);
    assert_eq!((one.key_requests(), two.key_requests()), (1, 1));
    // The keys of one tenant do not verify tokens of another.
    let forged = two.token().sign(&one.key());
    assert!(setup.oauth2.verify(&forged).await.is_err());
    let mut names: Vec<String> =
        setup.oauth2.key_status().into_iter().map(|status| status.provider).collect();
    names.sort();
    assert_eq!(names, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_of_a_new_tenant_share_a_lookup_and_a_fetch() {
    let setup = Setup::new();
    let idp = IdentityProvider::start("api").unwrap();
    let provider = Provider::new().issuer(idp.issuer()).audience("api").keys(idp.jwks_url());
    setup.customers.add(idp.issuer(), Tenant::new("one", provider));
    let gate = setup.customers.hold();
    let api = Api::start(setup.oauth2.clone());
    let client = client::client();
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let request = client.get(api.url("/me")).bearer_auth(idp.token().sign(&idp.key()));
            tokio::spawn(client::send(request))
        })
        .collect();
    setup.customers.wait_for_lookups(1);
    *setup.customers.0.held.lock().unwrap() = None;
    gate.notify_one();
    for request in requests {
        let answer = request.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains(r#""provider":"one""#));
    }
    assert_eq!((setup.customers.lookups(), idp.key_requests()), (1, 1));
    // A token of an unknown issuer.
    let unknown = Token::new("https://unknown.test", "api").sign(&idp.key());
    let answer = client::get(&api.url("/me"), Some(&unknown)).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_token"));
    assert!(!answer.challenge().contains("anonymous"));
}

#[tokio::test]
async fn unknown_issuer_is_rejected_for_a_minute_without_a_lookup() {
    let setup = Setup::new();
    let key = new_key();
    for _ in 0..10 {
        assert_eq!(setup.kind("https://unknown.test", &key).await, unknown_issuer());
    }
    assert_eq!(setup.customers.lookups(), 1);
    // The issuer becomes a tenant.
    setup.customers.add("https://unknown.test", tenant("customer", "https://unknown.test", &key));
    setup.clock.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(setup.kind("https://unknown.test", &key).await, unknown_issuer());
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!(setup.kind("https://unknown.test", &key).await, None);
    assert_eq!(setup.customers.lookups(), 2);
}

#[tokio::test]
async fn token_that_fails_a_claim_check_causes_no_lookup() {
    let setup = Setup::new();
    let key = new_key();
    let token = || Token::new("https://unknown.test", "api");
    for token in [
        token().expires_in(-10),
        token().without("exp"),
        token().without("iss"),
        token().claim("iss", 7),
        token().claim("iss", "x".repeat(513)),
        token().claim("aud", 7),
        token().claim("nbf", 4e9),
        token().header("alg", "none"),
    ] {
        assert!(setup.oauth2.verify(&token.sign(&key)).await.is_err());
    }
    assert_eq!(setup.customers.lookups(), 0);
}

#[tokio::test]
async fn configured_provider_is_never_looked_up() {
    let customers = Customers::default();
    let key = new_key();
    let own = Provider::new().issuer("https://own.test").audience("api").keys(key.jwk_set());
    // The lookup would return another provider for the same issuer.
    let other = new_key();
    customers.add("https://own.test", tenant("evil", "https://own.test", &other));
    let oauth2 = policy::builder()
        .provider("own", own)
        .tenants(Tenants::new(customers.clone()))
        .build()
        .unwrap();
    let token = |key| Token::new("https://own.test", "api").sign(key);
    assert_eq!(oauth2.verify(&token(&key)).await.unwrap().provider(), "own");
    let error = oauth2.verify(&token(&other)).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::SignatureInvalid);
    let wrong_audience = Token::new("https://own.test", "other").sign(&key);
    let error = oauth2.verify(&wrong_audience).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::AudienceMismatch { difference: None });
    assert_eq!(customers.lookups(), 0);
    // An additional slash is looked up, and the error still names the difference.
    let slash = Token::new("https://own.test/", "api").sign(&key);
    for _ in 0..2 {
        let error = oauth2.verify(&slash).await.unwrap_err();
        assert_eq!(
            error.kind(),
            &ErrorKind::UnknownIssuer { difference: Some(Difference::TrailingSlash) }
        );
    }
    assert_eq!(customers.lookups(), 1);
    // A tenant must not have the name of a configured provider.
    customers.add("https://a.test", tenant("own", "https://a.test", &key));
    let same_name = Token::new("https://a.test", "api").sign(&key);
    let error = oauth2.verify(&same_name).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::UnknownIssuer { difference: None });
}

#[tokio::test]
async fn removed_tenant_is_rejected_and_refresh_of_a_used_one_never_waits() {
    let setup = Setup::new();
    let key = new_key();
    setup.customers.add("https://a.test", tenant("a", "https://a.test", &key));
    assert_eq!(setup.kind("https://a.test", &key).await, None);
    // At 80 % of its lifetime, it is looked up in the background without delaying requests.
    setup.clock.advance(8 * MINUTE);
    let gate = setup.customers.hold();
    let token = Token::new("https://a.test", "api").expires_in(86_400).sign(&key);
    for _ in 0..10 {
        let mut request = Box::pin(setup.oauth2.verify(&token));
        assert!(poll!(request.as_mut()).is_ready());
    }
    setup.customers.wait_for_lookups(2);
    *setup.customers.0.held.lock().unwrap() = None;
    gate.notify_one();
    // The inline keys are the same, so that nothing else changes; the ten minutes start again.
    let deadline = Instant::now() + PATIENCE;
    setup.clock.advance(7 * MINUTE);
    while setup.kind("https://a.test", &key).await.is_some() {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(setup.customers.lookups(), 2);
    setup.customers.remove("https://a.test");
    setup.clock.advance(10 * MINUTE);
    assert_eq!(setup.kind("https://a.test", &key).await, unknown_issuer());
    assert_eq!(setup.customers.lookups(), 3);
    assert!(setup.oauth2.key_status().is_empty());
}

#[tokio::test]
async fn unchanged_lookup_result_keeps_the_keys_and_another_replaces_them() {
    let setup = Setup::new();
    let (old, new) = (new_key(), new_key());
    let servers = [&old, &new].map(|key| KeyServer::start(Answer::json(&key.jwk_set())).unwrap());
    let at = |server: &KeyServer| {
        let provider = Provider::new().issuer("https://a.test").audience("api").keys(server.url());
        Tenant::new("a", provider)
    };
    setup.customers.add("https://a.test", at(&servers[0]));
    for _ in 0..3 {
        assert_eq!(setup.kind("https://a.test", &old).await, None);
        setup.clock.advance(11 * MINUTE);
    }
    assert_eq!(setup.customers.lookups(), 3);
    assert_eq!(servers[0].requests(), 1);
    setup.customers.add("https://a.test", at(&servers[1]));
    assert_eq!(setup.kind("https://a.test", &new).await, None);
    assert!(setup.kind("https://a.test", &old).await.is_some());
    assert_eq!(servers[1].requests(), 1);
    // The old keys are not refreshed any more.
    setup.clock.advance(6 * HOUR);
    assert_eq!(setup.kind("https://a.test", &new).await, None);
    servers[1].wait_for_requests(2);
    assert_eq!(servers[0].requests(), 1);
}

#[tokio::test]
async fn last_lookup_result_is_used_for_a_day_while_lookups_fail() {
    log::keep();
    let setup = Setup::new();
    let key = new_key();
    setup.customers.add("https://a.test", tenant("a", "https://a.test", &key));
    assert_eq!(setup.kind("https://a.test", &key).await, None);
    setup.customers.fail(Some("the database of tenants is on fire"));
    for _ in 0..(24 * 60 - 20) / 20 {
        setup.clock.advance(20 * MINUTE);
        assert_eq!(setup.kind("https://a.test", &key).await, None);
    }
    // Retried in the background.
    setup.customers.wait_for_lookups(10);
    assert!(!log::lines_with(&["WARN", "the database of tenants is on fire"]).is_empty());
    // A new tenant is unavailable, not invalid.
    assert!(is_unavailable(&setup.kind("https://b.test", &key).await));
    let requested = setup.customers.lookups();
    assert!(is_unavailable(&setup.kind("https://b.test", &key).await));
    assert_eq!(setup.customers.lookups(), requested, "not retried at once");
    setup.clock.advance(20 * MINUTE);
    assert!(is_unavailable(&setup.kind("https://a.test", &key).await));
    setup.customers.fail(None);
    setup.clock.advance(Duration::from_secs(5));
    assert_eq!(setup.kind("https://a.test", &key).await, None);
}

#[tokio::test]
async fn lookup_that_panics_or_hangs_is_a_failed_lookup() {
    let setup = Setup::new();
    let key = new_key();
    setup.customers.add("https://a.test", tenant("a", "https://a.test", &key));
    setup.customers.fail(Some("panic"));
    assert!(is_unavailable(&setup.kind("https://a.test", &key).await));
    setup.customers.fail(None);
    setup.clock.advance(Duration::from_secs(5));
    let _never = setup.customers.hold();
    let token = Token::new("https://a.test", "api").expires_in(86_400).sign(&key);
    let mut request = Box::pin(setup.oauth2.verify(&token));
    assert!(poll!(request.as_mut()).is_pending());
    setup.customers.wait_for_lookups(2);
    *setup.customers.0.held.lock().unwrap() = None;
    // The lookup may have begun before the thread reads the clock again.
    setup.clock.advance(Duration::from_secs(5));
    assert!(request.await.is_err());
    setup.clock.advance(Duration::from_secs(5));
    assert_eq!(setup.kind("https://a.test", &key).await, None);
}

#[tokio::test]
async fn tenant_of_another_issuer_or_unusable_is_rejected() {
    log::keep();
    let setup = Setup::new();
    let key = new_key();
    // The lookup returns a provider of another issuer, or an incomplete one.
    setup.customers.add("https://a.test", tenant("mixed-up", "https://b.test", &key));
    let nothing = Provider::new().issuer("https://c.test");
    setup.customers.add("https://c.test", Tenant::new("incomplete", nothing));
    let plain = Provider::new()
        .issuer("https://d.test")
        .audience("api")
        .keys("http://10.0.0.1/latest/meta-data");
    setup.customers.add("https://d.test", Tenant::new("metadata", plain));
    // An age that would be judged once and then cached with the token.
    let recent = Provider::new()
        .issuer("https://e.test")
        .audience("api")
        .keys(key.jwk_set())
        .require(requirement::auth_age(HOUR));
    setup.customers.add("https://e.test", Tenant::new("aging", recent));
    for issuer in ["https://a.test", "https://c.test", "https://d.test", "https://e.test"] {
        assert_eq!(setup.kind(issuer, &key).await, unknown_issuer(), "{issuer}");
    }
    assert!(!log::lines_with(&["a tenant cannot be used", "mixed-up", "issuer"]).is_empty());
    assert!(!log::lines_with(&["a tenant cannot be used", "aging", "require"]).is_empty());
    assert_eq!(setup.customers.lookups(), 4);
}

/// A pattern is an error for a tenant too, although its issuer is in the token.
#[tokio::test]
async fn tenant_with_a_pattern_as_issuer_or_audience_is_rejected() {
    log::keep();
    for (index, (issuer, audience, field, words)) in [
        ("https://login.test/{tenantid}/v2.0", "api", "issuer", "placeholder in braces"),
        ("https://login.test/*", "api", "issuer", "there is no wildcard"),
        ("https://a.test", "orders-*", "audience", "there is no wildcard"),
        ("https://a.test", "*", "audience", "there is no wildcard"),
        ("https://a.test", "api://{x}", "audience", "placeholder in braces"),
    ]
    .into_iter()
    .enumerate()
    {
        let (setup, key) = (Setup::new(), new_key());
        let provider = Provider::new().issuer(issuer).audience("api").keys(key.jwk_set());
        let name = format!("pattern-{index}-");
        setup.customers.add(issuer, Tenant::new(&name, provider.audience(audience)));
        assert_eq!(setup.kind(issuer, &key).await, unknown_issuer(), "{issuer} {audience}");
        let lines = log::lines_with(&["a tenant cannot be used", &name, words]);
        assert_eq!(lines.len(), 1, "{issuer} {audience}");
        assert!(lines[0].contains(field) && !lines[0].contains("login.test"), "{lines:?}");
    }
}

#[tokio::test]
async fn public_request_starts_a_lookup_without_waiting() {
    let setup = Setup::new();
    let key = new_key();
    setup.customers.add("https://a.test", tenant("a", "https://a.test", &key));
    let oauth2 = policy::builder()
        .tenants(Tenants::new(setup.customers.clone()))
        .public_paths(["/optional"])
        .build()
        .unwrap();
    let gate = setup.customers.hold();
    let api = Api::start(oauth2);
    let token = Token::new("https://a.test", "api").sign(&key);
    let answer = client::get(&api.url("/optional"), Some(&token)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "anonymous"));
    setup.customers.wait_for_lookups(1);
    *setup.customers.0.held.lock().unwrap() = None;
    gate.notify_one();
    let deadline = Instant::now() + PATIENCE;
    while client::get(&api.url("/optional"), Some(&token)).await.body != "user-1" {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(setup.customers.lookups(), 1);
}

#[test]
fn tenant_settings_out_of_range_are_build_errors() {
    const LIFETIME: &str = "tenants.lifetime: must be between 1 s and 1 day";
    const REJECTION_LIFETIME: &str = "tenants.rejection_lifetime: must be between 1 s and 1 day";
    let build = |adjust: fn(Tenants) -> Tenants| {
        let tenants = adjust(Tenants::new(Customers::default()));
        policy::builder().tenants(tenants).build().map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(build(|tenants| tenants), Ok(()));
    for (error, adjust) in [
        (
            "tenants.capacity: must be at least 1",
            (|tenants| tenants.capacity(0)) as fn(Tenants) -> Tenants,
        ),
        (LIFETIME, |tenants| tenants.lifetime(Duration::from_millis(999))),
        (LIFETIME, |tenants| tenants.lifetime(25 * HOUR)),
        (REJECTION_LIFETIME, |tenants| tenants.rejection_lifetime(Duration::ZERO)),
        (REJECTION_LIFETIME, |tenants| tenants.rejection_lifetime(25 * HOUR)),
    ] {
        assert_eq!(build(adjust), Err(error.to_owned()));
    }
}
