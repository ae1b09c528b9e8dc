//! What a dropped policy leaves behind.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures_util::poll;
use oauth2_actix::{
    Algorithm, OAuth2Builder, Provider,
    testing::{ManualClock, SigningKey, Token},
};
use oauth2_actix_tests::{
    alone,
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
    wait::PATIENCE,
};

const ISSUER: &str = "https://idp.test";
const HOUR: Duration = Duration::from_secs(3600);

fn signing_key() -> &'static SigningKey {
    key(Algorithm::ES256)
}

fn keys() -> Answer {
    Answer::json(&signing_key().jwk_set())
}

fn provider(server: &KeyServer) -> Provider {
    Provider::new().issuer(ISSUER).audience("api").keys(server.url())
}

fn builder(server: &KeyServer) -> OAuth2Builder {
    policy::builder().provider("idp", provider(server)).key_refresh(HOUR)
}

fn token() -> String {
    Token::new(ISSUER, "api").expires_in(90 * 86_400).sign(signing_key())
}

/// Returns the ids of the fetching threads of this process.
fn key_threads() -> Vec<String> {
    let name = |thread: &Path| std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .filter(|thread| name(&thread.path()).trim() == "oauth2-keys")
        .map(|thread| thread.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Threads and connections are counted for the whole process.
#[test]
fn dropped_policies_leave_no_threads_or_descriptors() {
    alone::run(module_path!(), "alone_dropped_policies_leave_no_threads_or_descriptors");
}

#[test]
#[ignore = "in a process of its own, started by `dropped_policies_leave_no_threads_or_descriptors`"]
fn alone_dropped_policies_leave_no_threads_or_descriptors() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let server = KeyServer::start(Answer::hang()).unwrap();
    let settle = |threads: usize, most_descriptors: usize| {
        let deadline = Instant::now() + PATIENCE;
        while key_threads().len() != threads || descriptors() > most_descriptors {
            assert!(
                Instant::now() < deadline,
                "{} threads, {} descriptors",
                key_threads().len(),
                descriptors()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let before = descriptors();
    for round in 0..8 {
        let clock = ManualClock::new();
        let oauth2 = builder(&server).clock(clock.clone()).build().unwrap();
        settle(1, usize::MAX);
        let token = token();
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // A runtime is dropped during a fetch, with requests that wait.
        let dropped = runtime();
        for _ in 0..10 {
            let (oauth2, token) = (oauth2.clone(), token.clone());
            dropped.spawn(async move { oauth2.verify(&token).await });
        }
        dropped.block_on(tokio::task::yield_now());
        server.wait_for_requests(3 * round + 1);
        drop(dropped);
        // The fetch continues without them until its timeout, and the next one succeeds.
        server.answer(keys());
        runtime().block_on(async {
            let mut refresh = Box::pin(oauth2.refresh_keys());
            assert!(poll!(refresh.as_mut()).is_pending());
            clock.advance(Duration::from_secs(5));
            tokio::time::timeout(PATIENCE, refresh).await.expect("an end").unwrap();
            assert!(oauth2.verify(&token).await.is_ok());
        });
        server.answer(Answer::hang());
        // The last clone is dropped during a fetch.
        let last = runtime();
        let clone = oauth2.clone();
        let waiting = last.spawn(async move { clone.refresh_keys().await });
        last.block_on(tokio::task::yield_now());
        server.wait_for_requests(3 * round + 3);
        drop((oauth2, last, waiting));
        settle(0, before + 2);
    }
}
