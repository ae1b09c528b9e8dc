//! Keys of a database, and the bounds of its calls.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use oauth2_actix::api_keys::ApiKeyClaims;
use oauth2_actix_tests::wait::until;
use tokio::sync::Semaphore;

use super::*;

/// A database whose answers a test sets.
#[derive(Clone)]
struct Database {
    rows: Arc<Mutex<HashMap<ApiKeyHash, ApiKeyClaims>>>,
    calls: Arc<AtomicUsize>,
    is_down: Arc<Mutex<bool>>,
    /// Each call takes a permit, and waits for one.
    gate: Arc<Semaphore>,
}

impl Database {
    fn with(texts: &[&str]) -> Self {
        let claims = || ApiKeyClaims::new("billing-job").claims(json!({"scope": "invoices:read"}));
        let rows = texts.iter().map(|text| (ApiKeyHash::of(text), claims())).collect();
        Self {
            rows: Arc::new(Mutex::new(rows)),
            calls: Arc::default(),
            is_down: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    async fn find(self, hash: ApiKeyHash) -> Result<Option<ApiKeyClaims>, String> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.map_err(|error| error.to_string())?.forget();
        if *self.is_down.lock().unwrap() {
            return Err("the database is down".to_owned());
        }
        Ok(self.rows.lock().unwrap().get(&hash).cloned())
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn policy(&self, clock: &ManualClock, change: fn(ApiKeys) -> ApiKeys) -> OAuth2 {
        let database = self.clone();
        let keys = change(ApiKeys::new(PREFIX).source(move |hash| database.clone().find(hash)));
        let builder = builder(clock).check_timeout(Duration::from_millis(500));
        builder.api_keys("shop-keys", keys).build().unwrap()
    }
}

#[tokio::test]
async fn key_of_a_source_is_accepted_and_a_removed_one_is_rejected_after_the_cache_time() {
    let (clock, database) = (ManualClock::new(), Database::with(&[OLD]));
    let builder = database.policy(&clock, |keys| keys.cache(Duration::from_secs(30)));
    let claims = builder.verify(OLD).await.unwrap();
    assert_eq!((claims.provider(), claims.subject()), ("shop-keys", Some("billing-job")));
    assert!(claims.has_scope("invoices:read"));
    database.rows.lock().unwrap().clear();
    clock.advance(Duration::from_secs(30));
    assert_eq!(kind(&builder, OLD).await, Some("api_key_unknown"));
}

#[tokio::test]
async fn answer_is_used_for_the_cache_time() {
    let (clock, database) = (ManualClock::new(), Database::with(&[OLD]));
    let keys = |keys: ApiKeys| keys.cache(Duration::from_secs(30));
    let oauth2 = database.policy(&clock, keys);
    for _ in 0..3 {
        assert_eq!(kind(&oauth2, OLD).await, None);
    }
    // The suite also runs without the cache.
    let is_cached = oauth2.token_cache_status().entries == 1;
    assert_eq!(database.calls(), if is_cached { 1 } else { 3 });
    clock.advance(Duration::from_secs(30));
    let before = database.calls();
    assert_eq!(kind(&oauth2, OLD).await, None);
    assert_eq!(database.calls(), before + 1);
}

#[tokio::test]
async fn unknown_key_is_looked_up_once_in_the_negative_time() {
    let (clock, database) = (ManualClock::new(), Database::with(&[]));
    let oauth2 = database.policy(&clock, |keys| keys);
    for _ in 0..3 {
        assert_eq!(kind(&oauth2, OLD).await, Some("api_key_unknown"));
    }
    assert_eq!(database.calls(), 1);
    clock.advance(Duration::from_secs(5));
    assert_eq!(kind(&oauth2, OLD).await, Some("api_key_unknown"));
    assert_eq!(database.calls(), 2);
}

#[tokio::test]
async fn source_that_fails_is_called_less_often_and_recovers() {
    let (clock, database) = (ManualClock::new(), Database::with(&[OLD]));
    let oauth2 = database.policy(&clock, |keys| keys);
    *database.is_down.lock().unwrap() = true;
    for _ in 0..20 {
        assert_eq!(kind(&oauth2, OLD).await, Some("api_keys_unavailable"));
    }
    assert_eq!(database.calls(), 1, "the failed call is not repeated at once");
    for index in 0..20 {
        let text = format!("{PREFIX}another-{index}");
        assert_eq!(kind(&oauth2, &text).await, Some("api_keys_unavailable"));
    }
    assert_eq!(database.calls(), 5, "the breaker is open");
    *database.is_down.lock().unwrap() = false;
    clock.advance(Duration::from_secs(1));
    assert_eq!(kind(&oauth2, OLD).await, None);
}

#[tokio::test]
async fn source_that_fails_hangs_panics_or_returns_reserved_claims_is_503_and_never_401() {
    let (clock, database) = (ManualClock::new(), Database::with(&[OLD]));
    let oauth2 = database.policy(&clock, |keys| keys);
    *database.is_down.lock().unwrap() = true;
    let error = oauth2.verify(OLD).await.unwrap_err();
    assert_eq!((error.kind_name(), error.status().as_u16()), ("api_keys_unavailable", 503));
    *database.is_down.lock().unwrap() = false;
    clock.advance(Duration::from_secs(1));
    assert_eq!(kind(&oauth2, OLD).await, None);

    let hangs = Database { gate: Arc::new(Semaphore::new(0)), ..database.clone() };
    assert_eq!(kind(&hangs.policy(&clock, |keys| keys), OLD).await, Some("api_keys_unavailable"));

    let panics = ApiKeys::new(PREFIX)
        .source(|_| -> std::future::Ready<Result<_, String>> { panic!("a bug of the developer") });
    let panics = builder(&clock).api_keys("k", panics).build().unwrap();
    assert_eq!(kind(&panics, OLD).await, Some("api_keys_unavailable"));

    let reserved = ApiKeyClaims::new("job").claims(json!({"iss": ISSUER}));
    let reserved = ApiKeys::new(PREFIX).source(move |_| {
        let claims = reserved.clone();
        async move { Ok::<_, String>(Some(claims)) }
    });
    let reserved = builder(&clock).api_keys("k", reserved).build().unwrap();
    assert_eq!(kind(&reserved, OLD).await, Some("api_keys_unavailable"));
}

#[tokio::test]
async fn requests_with_one_key_share_a_call_and_another_waits() {
    let (clock, database) = (ManualClock::new(), Database::with(&[OLD, NEW]));
    let gated = Database { gate: Arc::new(Semaphore::new(0)), ..database };
    let oauth2 = gated.policy(&clock, |keys| keys.max_calls(1));
    let all = join_all((0..20).map(|_| kind(&oauth2, OLD)));
    let released = async {
        until("the only call", || gated.calls() == 1).await;
        gated.gate.add_permits(2);
    };
    // The call for the other key waits in the queue.
    let (all, other, ()) = tokio::join!(all, kind(&oauth2, NEW), released);
    assert!(all.iter().all(Option::is_none), "{all:?}");
    assert_eq!(other, None);
    assert_eq!(gated.calls(), 2);
}

#[tokio::test]
async fn key_without_its_checksum_is_not_looked_up() {
    let (clock, database) = (ManualClock::new(), Database::with(&[OLD]));
    let oauth2 = database.policy(&clock, |keys| keys.require_checksum(true));
    assert_eq!(kind(&oauth2, OLD).await, Some("api_key_unknown"));
    assert_eq!(database.calls(), 0);
    let generated = ApiKey::generate(PREFIX).unwrap();
    assert_eq!(kind(&oauth2, generated.expose_text()).await, Some("api_key_unknown"));
    assert_eq!(database.calls(), 1);
}
