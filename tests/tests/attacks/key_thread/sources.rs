//! Attacks by providers and faulty code of the developer, where keys are fetched.

use super::*;

#[tokio::test]
async fn source_error_that_fails_to_display_does_not_stop_the_thread() {
    let key = new_key();
    let server = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    let oauth2 = policy::builder()
        .provider(
            "good",
            Provider::new().issuer("https://good.test").audience("api").keys(server.url()),
        )
        .provider(
            "broken",
            Provider::new()
                .issuer("https://broken.test")
                .audience("api")
                .keys(Keys::source(Broken)),
        )
        .key_refresh_minutes(5)
        .build()
        .unwrap();
    assert!(kind(&oauth2, "https://broken.test", &key).await.is_some());
    assert_eq!(kind(&oauth2, "https://good.test", &key).await, None);
}

#[tokio::test]
async fn debug_output_holds_no_query_or_fragment() {
    let provider = Provider::new()
        .issuer("https://idp.test")
        .audience("api")
        .keys("https://idp.test/jwks?api_key=hunter2#hunter3");
    assert!(!format!("{provider:?}").contains("hunter2"));
    let builder = policy::builder().provider("p", provider.clone()).key_refresh_minutes(5);
    assert!(!format!("{builder:?}").contains("hunter2"));
    let fragment = format!("{provider:?}").contains("hunter3");
    let oauth2 = builder.build().unwrap();
    let shown = format!("{oauth2:?}");
    assert!(!shown.contains("hunter2") && !fragment, "fragment in Provider: {fragment}; {shown}");
}

#[tokio::test]
async fn discovered_loopback_or_unspecified_address_is_not_fetched() {
    for host in ["127.0.0.1", "0.0.0.0", "[::ffff:0.0.0.0]", "[::]"] {
        let key = new_key();
        let inside = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
        let port = inside.url().split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
        let idp = KeyServer::start(Answer::status(500)).unwrap();
        let idp_port: u16 =
            idp.url().split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
        let issuer = format!("http://idp.test:{idp_port}");
        idp.answer(Answer::json(
            &json!({"issuer": issuer, "jwks_uri": format!("http://{host}:{port}/jwks.json")}),
        ));
        let provider = Provider::new()
            .issuer(&issuer)
            .audience("api")
            .keys(Keys::discover())
            .dangerous_allow_http(true);
        let oauth2 = policy::builder()
            .provider("p", provider)
            .configure_http_client(move |client| {
                client.no_proxy().resolve("idp.test", ([127, 0, 0, 1], idp_port).into())
            })
            .key_refresh_minutes(5)
            .build()
            .unwrap();
        let answer = kind(&oauth2, &issuer, &key).await;
        println!("{host}: {answer:?} {:?}", oauth2.key_status()[0].last_error);
        assert_eq!(inside.requests(), 0, "{host} was requested");
    }
}

#[tokio::test]
async fn hanging_document_after_a_day_does_not_prevent_a_refresh() {
    let key = new_key();
    let jwks = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    let idp = KeyServer::start(Answer::status(500)).unwrap();
    let issuer = idp.url().trim_end_matches("/jwks.json").to_owned();
    idp.answer(Answer::json(&json!({"issuer": issuer, "jwks_uri": jwks.url()})));
    let clock = ManualClock::new();
    let provider = Provider::new().issuer(&issuer).audience("api").keys(Keys::discover());
    let oauth2 = policy::builder()
        .provider("p", provider)
        .key_refresh_minutes(60)
        .clock(clock.clone())
        .build()
        .unwrap();
    assert_eq!(kind(&oauth2, &issuer, &key).await, None);
    // The host of the issuer hangs from here on; the keys, at another host, are available.
    idp.answer(Answer::hang());
    let counts = || oauth2.key_status()[0].fetches;
    for round in 2..=30 {
        clock.advance(48 * MINUTE);
        until("a day of good refreshes", || counts().succeeded == round).await;
    }
    assert_eq!((idp.requests(), jwks.requests(), counts().failed), (1, 30, 0));
    // After a day, the document is fetched again.
    for attempt in 1..=20 {
        clock.advance(if attempt == 1 { 48 * MINUTE } else { MINUTE });
        until("fetched again", || idp.requests() > attempt || counts().succeeded > 30).await;
        // Half of the limit is for the document, half for the keys.
        clock.advance(5 * S / 2);
        until("ended", || counts().failed >= attempt || counts().succeeded > 30).await;
    }
    assert!(
        counts().succeeded > 30,
        "the key URL works, and was not fetched again: {:?}, {:?}, {} requests for keys",
        counts(),
        oauth2.key_status()[0].last_error,
        jwks.requests()
    );
}

struct ChangedPanics {
    text: Mutex<String>,
    panicked: AtomicBool,
    notify: tokio::sync::Notify,
    requested: AtomicUsize,
}

#[derive(Clone)]
struct Shared(Arc<ChangedPanics>);

impl KeySource for Shared {
    async fn load(&self) -> Result<String, Boxed> {
        self.0.requested.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.text.lock().unwrap().clone())
    }

    async fn changed(&self) {
        assert!(self.0.panicked.swap(true, Ordering::SeqCst), "the connection is lost");
        self.0.notify.notified().await;
    }
}

#[tokio::test]
async fn change_signal_that_panics_is_awaited_again() {
    let key = new_key();
    let source = Shared(Arc::new(ChangedPanics {
        text: Mutex::new(key.jwk_set().to_string()),
        panicked: AtomicBool::new(false),
        notify: tokio::sync::Notify::new(),
        requested: AtomicUsize::new(0),
    }));
    let clock = ManualClock::new();
    let provider =
        Provider::new().issuer("https://a.test").audience("api").keys(Keys::source(source.clone()));
    let oauth2 = policy::builder().provider("p", provider).clock(clock.clone()).build().unwrap();
    assert_eq!(kind(&oauth2, "https://a.test", &key).await, None);
    let second = SigningKey::generate(Algorithm::ES256, "2");
    *source.0.text.lock().unwrap() = second.jwk_set().to_string();
    // The clock moves only while no fetch is in progress, since a fetch counts the time as its own.
    let status = || oauth2.key_status().remove(0);
    until("polling is scheduled", || status().next_refresh_seconds.is_some()).await;
    clock.advance(MINUTE);
    until("the source is polled", || status().fetches.succeeded == 2).await;
    assert_eq!(kind(&oauth2, "https://a.test", &second).await, None);
    let third = SigningKey::generate(Algorithm::ES256, "3");
    *source.0.text.lock().unwrap() = third.jwk_set().to_string();
    source.0.notify.notify_one();
    until("the change is scheduled", || status().next_refresh_seconds.is_some()).await;
    clock.advance(S);
    until("the change is loaded", || status().fetches.succeeded == 3).await;
    assert_eq!(kind(&oauth2, "https://a.test", &third).await, None);
}

#[tokio::test]
async fn new_file_is_read_within_a_second() {
    let key = new_key();
    let path = std::env::temp_dir().join(format!("hc-{}.json", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let clock = ManualClock::new();
    let provider = Provider::new().issuer("https://a.test").audience("api").keys(Keys::file(&path));
    let oauth2 = policy::builder()
        .provider("p", provider)
        .key_refresh_minutes(60)
        .clock(clock.clone())
        .build()
        .unwrap();
    assert!(kind(&oauth2, "https://a.test", &key).await.is_some());
    for _ in 0..300 {
        clock.advance(S);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("{:?}", oauth2.key_status());
    std::fs::write(&path, key.jwk_set().to_string()).unwrap();
    let mut waited = 0;
    while oauth2.key_status()[0].fetches.succeeded == 0 {
        assert!(waited < 3, "not noticed after {waited} s");
        clock.advance(S);
        waited += 1;
        // One second is enough, unless the thread of a slow machine had not begun to wait.
        let deadline = Instant::now() + PATIENCE / 6;
        while oauth2.key_status()[0].fetches.succeeded == 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(kind(&oauth2, "https://a.test", &key).await, None);
}

#[tokio::test]
async fn manual_refresh_is_unconditional() {
    let old = new_key();
    let body = old.jwk_set().to_string();
    let server = KeyServer::start(Answer::body(
        200,
        &[("etag", "\"same-mtime-and-size\"")],
        body.as_bytes(),
    ))
    .unwrap();
    let provider = Provider::new().issuer("https://a.test").audience("api").keys(server.url());
    let oauth2 = policy::builder().provider("p", provider).key_refresh_minutes(60).build().unwrap();
    assert_eq!(kind(&oauth2, "https://a.test", &old).await, None);
    server.answer(Answer::status(304));
    // A 304 to a fetch without an entity tag is an error, which shows that none was sent.
    assert!(oauth2.refresh_keys().await.is_err(), "If-None-Match was sent, and 304 accepted");
}

#[derive(Clone)]
struct Counted(Arc<CountedState>);
struct CountedState {
    text: String,
    live: AtomicUsize,
    most: AtomicUsize,
    notify: tokio::sync::Notify,
}

struct Live(Arc<CountedState>);
impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl KeySource for Counted {
    async fn load(&self) -> Result<String, Boxed> {
        Ok(self.0.text.clone())
    }
    async fn changed(&self) {
        let live = self.0.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(live, Ordering::SeqCst);
        let _live = Live(Arc::clone(&self.0));
        self.0.notify.notified().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_watchers_of_changes_are_dropped() {
    let key = new_key();
    let source = Counted(Arc::new(CountedState {
        text: key.jwk_set().to_string(),
        live: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        notify: tokio::sync::Notify::new(),
    }));
    let provider =
        Provider::new().issuer("https://a.test").audience("api").keys(Keys::source(source.clone()));
    let oauth2 = policy::builder().provider("p", provider).build().unwrap();
    for _ in 0..10_000 {
        source.0.notify.notify_one();
        oauth2.refresh_keys().await.unwrap();
    }
    // The replaced watchers are dropped.
    until("one watcher is left", || source.0.live.load(Ordering::SeqCst) <= 1).await;
    // A new watcher may start before the runtime has dropped the one that it replaces.
    let most = source.0.most.load(Ordering::SeqCst);
    assert!(most <= 3, "{most} watchers at once");
}

#[tokio::test]
async fn request_for_several_hanging_sources_ends_at_one_fetch_timeout() {
    let key = new_key();
    let clock = ManualClock::new();
    let servers: Vec<KeyServer> =
        (0..4).map(|_| KeyServer::start(Answer::hang()).unwrap()).collect();
    let mut builder = policy::builder().key_refresh_minutes(60).clock(clock.clone());
    for (index, server) in servers.iter().enumerate() {
        builder = builder.provider(
            format!("p{index}"),
            Provider::new()
                .issuer("https://a.test")
                .audience(format!("a{index}"))
                .keys(server.url()),
        );
    }
    let oauth2 = builder.build().unwrap();
    let token =
        Token::new("https://a.test", "x").claim("aud", json!(["a0", "a1", "a2", "a3"])).sign(&key);
    let request = tokio::spawn(async move { oauth2.verify(&token).await.is_err() });
    until("all are fetched", || servers.iter().all(|server| server.requests() == 1)).await;
    assert!(!request.is_finished());
    clock.advance(5 * S);
    let rejected = tokio::time::timeout(PATIENCE, request).await.expect("an answer after 5 s");
    assert!(rejected.unwrap());
}

/// The stale window may be as short as the interval.
#[tokio::test]
async fn keys_past_a_window_of_one_interval_are_rejected() {
    let key = new_key();
    let clock = ManualClock::new();
    let server = KeyServer::start(Answer::json(&key.jwk_set())).unwrap();
    let provider = Provider::new().issuer("https://a.test").audience("api").keys(server.url());
    let oauth2 = policy::builder()
        .provider("p", provider)
        .key_refresh(60 * MINUTE)
        .stale_window(60 * MINUTE)
        .clock(clock.clone())
        .build()
        .unwrap();
    assert_eq!(kind(&oauth2, "https://a.test", &key).await, None);
    server.answer(Answer::status(500));
    clock.advance(60 * MINUTE);
    tokio::time::sleep(Duration::from_millis(100)).await;
    println!("{:?}", oauth2.key_status()[0].state);
    assert!(kind(&oauth2, "https://a.test", &key).await.is_some());
}
