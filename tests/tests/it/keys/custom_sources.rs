//! Keys from a source that the developer implements.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use oauth2_actix::{
    Algorithm, ErrorKind, KeySource, Keys, OAuth2,
    status::KeyState,
    testing::{ManualClock, SigningKey},
};
use oauth2_actix_tests::{
    keys::key,
    log, policy,
    wait::{advance_until, until},
};
use serde_json::json;
use tokio::sync::Notify;

use super::shared::*;

/// The behavior of a source in `load`.
#[derive(Clone)]
enum Reply {
    Text(String),
    Fault(&'static str),
    Panic,
    Never,
}

/// A source with scripted replies.
struct Source(Arc<Shared>);

struct Shared {
    reply: Mutex<Reply>,
    calls: AtomicUsize,
    /// Loads that were dropped before they ended.
    abandoned: AtomicUsize,
    change: Notify,
    always_changed: bool,
    dropped: AtomicBool,
}

impl Source {
    fn replying(reply: Reply, always_changed: bool) -> (Keys, Arc<Shared>) {
        let shared = Arc::new(Shared {
            reply: Mutex::new(reply),
            calls: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
            change: Notify::new(),
            always_changed,
            dropped: AtomicBool::new(false),
        });
        (Keys::source(Self(Arc::clone(&shared))), shared)
    }

    fn of(key: &SigningKey) -> (Keys, Arc<Shared>) {
        Self::replying(Reply::Text(set(&[key])), false)
    }
}

impl Shared {
    fn reply(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }
}

impl KeySource for Source {
    async fn load(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let reply = self.0.reply.lock().unwrap().clone();
        match reply {
            Reply::Text(text) => Ok(text),
            Reply::Fault(fault) => Err(fault.into()),
            Reply::Panic => panic!("a source of a test panics"),
            Reply::Never => {
                let _abandoned = Abandoned(&self.0);
                std::future::pending().await
            }
        }
    }

    async fn changed(&self) {
        if !self.0.always_changed {
            self.0.change.notified().await;
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::SeqCst);
    }
}

struct Abandoned<'a>(&'a Shared);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.abandoned.fetch_add(1, Ordering::SeqCst);
    }
}

fn policy(name: &str, keys: Keys, refresh: Option<Duration>, clock: &ManualClock) -> OAuth2 {
    let mut provider = provider(ISSUER, keys);
    if let Some(refresh) = refresh {
        provider = provider.key_refresh(refresh);
    }
    policy::builder()
        .provider(name, provider)
        .fetch_timeout(PATIENCE)
        .clock(clock.clone())
        .build()
        .unwrap()
}

#[tokio::test]
async fn source_is_loaded_at_the_first_request_and_each_refresh() {
    log::keep();
    let (first, second) = (new_key("1"), new_key("2"));
    let (keys, source) = Source::of(&first);
    assert_eq!(format!("{keys:?}"), "Keys(custom source)");
    let clock = ManualClock::new();
    let oauth2 = policy("loaded", keys, Some(HOUR), &clock);
    assert_eq!(status(&oauth2).source, "custom source");
    assert_eq!(verify(&oauth2, ISSUER, &first).await, Ok(()));
    assert_eq!(verify(&oauth2, ISSUER, &first).await, Ok(()));
    assert_eq!(source.calls(), 1);
    // An unknown key causes a load at once.
    source.reply(Reply::Text(set(&[&second])));
    assert_eq!(verify(&oauth2, ISSUER, &second).await, Ok(()));
    assert_eq!(source.calls(), 2);
    for refreshes in 3..6 {
        clock.advance(HOUR);
        until("a refresh", || status(&oauth2).fetches.succeeded == refreshes).await;
        assert_eq!(source.calls() as u64, refreshes);
    }
    // Without a refresh it is loaded once, without a warning, since it can signal changes.
    let (keys, source) = Source::of(&first);
    let oauth2 = policy("loaded-once", keys, None, &clock);
    assert_eq!(source.calls(), 0);
    for _ in 0..3 {
        clock.advance(24 * HOUR);
        assert_eq!(verify(&oauth2, ISSUER, &first).await, Ok(()));
        assert_eq!(verify(&oauth2, ISSUER, &second).await, Err(ErrorKind::UnknownKey));
    }
    assert_eq!(source.calls(), 1);
    assert!(log::lines_with(&["no key refresh", "loaded-once"]).is_empty());
}

#[tokio::test]
async fn error_of_a_source_is_reported() {
    log::keep();
    let key = new_key("1");
    let (keys, source) = Source::replying(Reply::Fault("the vault is sealed"), false);
    let clock = ManualClock::new();
    let oauth2 = policy("sealed", keys, Some(HOUR), &clock);
    assert!(unavailable(&verify(&oauth2, ISSUER, &key).await));
    let rejected = status(&oauth2);
    assert_eq!(rejected.state, KeyState::Unavailable);
    assert_eq!(rejected.last_error.unwrap().cause, "the source of keys says: the vault is sealed");
    let logged =
        log::lines_with(&["WARN", "keys cannot be fetched", "sealed", "the vault is sealed"]);
    assert_eq!(logged.len(), 1);
    let error = oauth2.warm_up().await.unwrap_err();
    assert_eq!(
        error.failures().collect::<Vec<_>>(),
        [("sealed", "the source of keys says: the vault is sealed")]
    );
    // The loads are retried in the background.
    source.reply(Reply::Text(set(&[&key])));
    advance_until(&clock, STEP, "keys", || status(&oauth2).state == KeyState::Fresh).await;
    // A later failure keeps the keys.
    source.reply(Reply::Fault("the vault is sealed again"));
    assert!(oauth2.refresh_keys().await.is_err());
    assert_eq!(status(&oauth2).state, KeyState::Failing);
    assert_eq!(verify(&oauth2, ISSUER, &key).await, Ok(()));
}

#[tokio::test]
async fn change_whose_load_fails_is_loaded_again_without_a_refresh() {
    let (first, second) = (new_key("1"), new_key("2"));
    let (keys, source) = Source::of(&first);
    let clock = ManualClock::new();
    let oauth2 = policy("changed", keys, None, &clock);
    assert_eq!(verify(&oauth2, ISSUER, &first).await, Ok(()));
    source.reply(Reply::Fault("the store is closed"));
    source.change.notify_one();
    for failures in 1..4 {
        until("a load is due", || status(&oauth2).next_refresh_seconds.is_some()).await;
        clock.advance(30 * SECOND);
        until("the load fails", || status(&oauth2).fetches.failed == failures).await;
        assert_eq!(verify(&oauth2, ISSUER, &first).await, Ok(()));
    }
    source.reply(Reply::Text(set(&[&second])));
    until("a retry is due", || status(&oauth2).next_refresh_seconds.is_some()).await;
    clock.advance(30 * SECOND);
    until("the change is loaded", || status(&oauth2).fetches.succeeded == 2).await;
    assert_eq!(verify(&oauth2, ISSUER, &second).await, Ok(()));
}

#[tokio::test]
async fn panic_in_a_source_is_a_failed_fetch() {
    let key = new_key("1");
    let (keys, source) = Source::replying(Reply::Panic, false);
    let (good, _) = Source::of(&key);
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider("panics", provider(ISSUER, keys))
        .provider("good", provider("https://good.test", good))
        .key_refresh_minutes(60)
        .fetch_timeout(PATIENCE)
        .clock(clock.clone())
        .build()
        .unwrap();
    for calls in 1..4 {
        assert!(unavailable(&verify(&oauth2, ISSUER, &key).await));
        until("the failure", || status(&oauth2).fetches.failed == calls).await;
        assert!(status(&oauth2).last_error.unwrap().cause.contains("panicked"));
        assert_eq!(verify(&oauth2, "https://good.test", &key).await, Ok(()));
        advance_until(&clock, STEP, "one more call", || source.calls() as u64 > calls).await;
    }
    source.reply(Reply::Text(set(&[&key])));
    advance_until(&clock, STEP, "keys", || status(&oauth2).state == KeyState::Fresh).await;
    assert_eq!(verify(&oauth2, ISSUER, &key).await, Ok(()));
}

#[tokio::test]
async fn hanging_source_times_out() {
    let key = new_key("1");
    let (keys, source) = Source::replying(Reply::Never, false);
    let clock = ManualClock::new();
    let oauth2 = policy("silent", keys, None, &clock);
    let waiting = tokio::spawn({
        let (oauth2, key) = (oauth2.clone(), key.clone());
        async move { verify(&oauth2, ISSUER, &key).await }
    });
    until("it is loaded", || source.calls() == 1).await;
    clock.advance(PATIENCE - Duration::from_millis(100));
    assert!(!waiting.is_finished());
    assert_eq!(source.abandoned.load(Ordering::SeqCst), 0);
    clock.advance(Duration::from_millis(100));
    assert!(unavailable(&waiting.await.unwrap()));
    assert!(status(&oauth2).last_error.unwrap().cause.contains("no complete answer within 60 s"));
    assert_eq!(source.abandoned.load(Ordering::SeqCst), 1);
    source.reply(Reply::Text(set(&[&key])));
    clock.advance(SECOND);
    assert_eq!(verify(&oauth2, ISSUER, &key).await, Ok(()));
}

#[tokio::test]
async fn change_signal_loads_the_source_again() {
    let (first, second) = (new_key("1"), new_key("2"));
    for refresh in [None, Some(HOUR)] {
        let (keys, source) = Source::of(&first);
        let clock = ManualClock::new();
        let oauth2 = policy("says", keys, refresh, &clock);
        assert_eq!(verify(&oauth2, ISSUER, &first).await, Ok(()));
        // More than a second after the last load, it is loaded without advancing the clock.
        clock.advance(Duration::from_secs(2));
        source.reply(Reply::Text(set(&[&second])));
        source.change.notify_one();
        until("the new keys", || kids(&oauth2) == ["2"]).await;
        assert_eq!(source.calls(), 2);
        assert_eq!(verify(&oauth2, ISSUER, &first).await, Err(ErrorKind::UnknownKey));
        // Within a second of that load, the next one waits.
        source.reply(Reply::Text(set(&[&first])));
        source.change.notify_one();
        until("it is due", || status(&oauth2).next_refresh_seconds == Some(1)).await;
        // With a refresh, the unknown key above caused a load too.
        assert_eq!(source.calls(), 2 + usize::from(refresh.is_some()));
        clock.advance(SECOND);
        until("the new keys", || kids(&oauth2) == ["1"]).await;
    }
}

#[tokio::test]
async fn failed_load_after_a_change_signal_is_retried_at_the_next() {
    let (first, second) = (new_key("1"), new_key("2"));
    let (keys, source) = Source::of(&first);
    let clock = ManualClock::new();
    let oauth2 = policy("fails-once", keys, None, &clock);
    assert_eq!(verify(&oauth2, ISSUER, &first).await, Ok(()));
    source.reply(Reply::Fault("not now"));
    source.change.notify_one();
    clock.advance(SECOND);
    until("the failure", || status(&oauth2).state == KeyState::Failing).await;
    assert_eq!(verify(&oauth2, ISSUER, &first).await, Ok(()));
    source.reply(Reply::Text(set(&[&second])));
    source.change.notify_one();
    advance_until(&clock, STEP, "the new keys", || kids(&oauth2) == ["2"]).await;
}

#[tokio::test]
async fn constant_change_signals_load_once_a_second() {
    let key = new_key("1");
    let (keys, source) = Source::replying(Reply::Text(set(&[&key])), true);
    // Each token of this provider passes the fetching thread, and shows whether it spins.
    let (passing, passes) = Source::of(&key);
    let clock = ManualClock::new();
    let oauth2 = policy::builder()
        .provider("signals", provider(ISSUER, keys))
        .provider("passing", provider("https://passing.test", passing).key_refresh(Duration::ZERO))
        .fetch_timeout(PATIENCE)
        .clock(clock.clone())
        .build()
        .unwrap();
    let pass = async || {
        for _ in 0..50 {
            assert_eq!(verify(&oauth2, "https://passing.test", &key).await, Ok(()));
        }
    };
    assert_eq!(verify(&oauth2, ISSUER, &key).await, Ok(()));
    for seconds in 1..=5 {
        pass().await;
        assert_eq!(source.calls(), seconds);
        clock.advance(Duration::from_millis(999));
        pass().await;
        assert_eq!(source.calls(), seconds);
        clock.advance(Duration::from_millis(1));
        until("the next call", || source.calls() == seconds + 1).await;
    }
    pass().await;
    // For a failing source, the signal overrides the backoff, at most once a second.
    source.reply(Reply::Fault("signals"));
    for failures in 1..=5 {
        clock.advance(Duration::from_millis(999));
        pass().await;
        assert_eq!(status(&oauth2).fetches.failed, failures - 1);
        clock.advance(Duration::from_millis(1));
        until("a failure", || status(&oauth2).fetches.failed == failures).await;
    }
    assert_eq!(source.calls(), 11);
    assert!(passes.calls() >= 500);
}

#[tokio::test]
async fn keys_of_a_source_are_checked_as_fetched_keys_are() {
    let (good, secret) = (key(Algorithm::ES256), key(Algorithm::HS256));
    let mixed = json!({"keys": [secret.public_jwk(), good.public_jwk()]}).to_string();
    let (keys, _) = Source::replying(Reply::Text(mixed), false);
    let oauth2 = policy("mixed", keys, None, &ManualClock::new());
    assert_eq!(verify(&oauth2, ISSUER, good).await, Ok(()));
    assert!(verify(&oauth2, ISSUER, secret).await.is_err());
    assert_eq!(kids(&oauth2), [good.kid()]);

    let set = good.jwk_set().to_string();
    for (text, cause) in [
        (secret.jwk_set().to_string(), "no usable key"),
        (good.private_pem(), "private key"),
        (String::new(), "empty"),
        ("https://idp.test/jwks.json".to_owned(), "neither JSON nor PEM"),
        (format!("{set}{}", " ".repeat(1024 * 1024)), "larger than"),
    ] {
        let (keys, _) = Source::replying(Reply::Text(text), false);
        let error = policy("bad", keys, None, &ManualClock::new()).warm_up().await.unwrap_err();
        assert!(error.to_string().contains(cause), "{error}");
    }
    let (keys, _) = Source::of(secret);
    let named = provider(ISSUER, keys).algorithms([Algorithm::HS256]);
    let error = policy::builder().provider("p", named).build().unwrap_err();
    assert_eq!((error.provider(), error.field()), (Some("p"), "algorithms"));
}

#[tokio::test]
async fn source_may_use_tokio_and_its_blocking_threads() {
    struct Blocking(String);
    impl KeySource for Blocking {
        async fn load(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
            let text = self.0.clone();
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(tokio::task::spawn_blocking(move || text).await?)
        }
    }
    let key = new_key("1");
    let oauth2 = policy("blocks", Keys::source(Blocking(set(&[&key]))), None, &ManualClock::new());
    assert_eq!(verify(&oauth2, ISSUER, &key).await, Ok(()));
}

#[tokio::test]
async fn source_is_dropped_with_the_policy() {
    let key = new_key("1");
    // Before it is loaded, during a load, and while a change is awaited.
    for (name, reply, requested) in [
        ("unasked", Reply::Never, false),
        ("in-progress", Reply::Never, true),
        ("watched", Reply::Text(set(&[&key])), true),
    ] {
        let (keys, source) = Source::replying(reply, false);
        let oauth2 = policy(name, keys, Some(HOUR), &ManualClock::new());
        let clone = oauth2.clone();
        let waiting = requested.then(|| {
            let (oauth2, key) = (oauth2.clone(), key.clone());
            tokio::spawn(async move { verify(&oauth2, ISSUER, &key).await })
        });
        if requested {
            until("it is loaded", || source.calls() == 1).await;
        }
        drop(oauth2);
        if let Some(waiting) = waiting {
            if name == "watched" {
                assert_eq!(waiting.await.unwrap(), Ok(()));
            } else {
                waiting.abort();
                assert!(waiting.await.unwrap_err().is_cancelled());
            }
        }
        assert!(!source.is_dropped(), "{name}: a clone keeps the source");
        drop(clone);
        until("it is dropped", || source.is_dropped()).await;
    }
}
