//! The store of used proofs with a server that works.

use std::time::{Duration, Instant};

use oauth2_actix::dpop::{RedisReplayStore, ReplayStore, UsedProof};

use oauth2_actix_tests::redis_server::Server;

use crate::{Found, connect, found, insert, now, proof, proof_since, settings};

#[tokio::test]
async fn proof_is_fresh_once_and_then_seen_by_every_process() {
    let server = Server::start();
    server.remember_long();
    // Each connection is what a process has.
    let (one, two) = (connect(settings(&server)).await, connect(settings(&server)).await);
    let (one, two) = (RedisReplayStore::new(&one), RedisReplayStore::new(&two));
    for number in 0..200 {
        let (first, second) = if number % 2 == 0 { (&one, &two) } else { (&two, &one) };
        assert_eq!(insert(first, proof(number)).await, Found::Fresh, "{number}");
        assert_eq!(insert(second, proof(number)).await, Found::Seen, "{number}");
        assert_eq!(insert(first, proof(number)).await, Found::Seen, "{number}");
    }
}

#[tokio::test]
async fn proof_sent_to_two_processes_at_once_is_fresh_once() {
    let server = Server::start();
    server.remember_long();
    let (one, two) = (connect(settings(&server)).await, connect(settings(&server)).await);
    let (one, two) = (RedisReplayStore::new(&one), RedisReplayStore::new(&two));
    for number in 0..50 {
        let attempts = (0..10).map(|attempt| {
            let store = if attempt % 2 == 0 { &one } else { &two };
            store.insert_once(proof(number))
        });
        let answers = futures_util::future::join_all(attempts).await;
        let answers: Vec<Found> = answers.into_iter().map(found).collect();
        let fresh = answers.iter().filter(|answer| **answer == Found::Fresh).count();
        let seen = answers.iter().filter(|answer| **answer == Found::Seen).count();
        assert_eq!((fresh, seen), (1, 9), "{number}");
    }
}

#[tokio::test]
async fn proofs_that_differ_in_one_bit_are_two_proofs() {
    let server = Server::start();
    server.remember_long();
    let store = RedisReplayStore::new(&connect(settings(&server)).await);
    let first = proof(1);
    assert_eq!(insert(&store, first.clone()).await, Found::Fresh);
    for bit in [0, 1, 5, 8, 127] {
        let mut id = first.id;
        id[bit / 8] ^= 0x80 >> (bit % 8);
        let other = UsedProof::new(id, first.key, first.since..first.until, first.now);
        assert_eq!(insert(&store, other).await, Found::Fresh, "{bit}");
    }
}

#[tokio::test]
async fn proof_is_kept_until_no_process_accepts_it_and_then_forgotten() {
    let server = Server::start();
    server.remember_long();
    let store = RedisReplayStore::new(&connect(settings(&server)).await);
    let long = proof(1);
    let rest = (long.until - long.now).as_millis() as i64;
    assert_eq!(insert(&store, long).await, Found::Fresh);
    let key = server.run(&["KEYS", "oauth2-actix:dpop:{1}:[^s]*"]);
    let kept: i64 = server.run(&["PTTL", &key]).parse().unwrap();
    assert!((rest..=rest + 10_000).contains(&kept), "{kept} ms");

    // The clocks of two processes may differ by 10 s.
    let expired = || UsedProof::new([0xF0; 32], [7; 32], now()..now(), now());
    let start = Instant::now();
    assert_eq!(insert(&store, expired()).await, Found::Fresh);
    loop {
        match insert(&store, expired()).await {
            Found::Seen => assert!(start.elapsed() < Duration::from_secs(40)),
            Found::Fresh => break,
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(start.elapsed() >= Duration::from_secs(10));
}

#[tokio::test]
async fn process_with_a_wrong_clock_accepts_nothing() {
    let server = Server::start();
    server.remember_long();
    let store = RedisReplayStore::new(&connect(settings(&server)).await);
    for (number, behind) in [(1, false), (2, true)] {
        let right = proof(number);
        let shift = Duration::from_secs(8);
        let wrong = if behind { right.now - shift } else { right.now + shift };
        let wrong = UsedProof::new(right.id, right.key, right.since - shift..right.until, wrong);
        let answer = insert(&store, wrong).await;
        assert!(answer.reason().contains("clocks"), "{answer:?}");
    }
}

#[tokio::test]
async fn apis_with_different_prefixes_share_nothing() {
    let server = Server::start();
    server.remember_long();
    let one = RedisReplayStore::new(&connect(settings(&server)).await);
    let two = RedisReplayStore::new(&connect(settings(&server).key_prefix("orders")).await);
    assert_eq!(insert(&one, proof(1)).await, Found::Fresh);
    // The second API has just begun to use the server.
    let later = proof_since(1, now() + Duration::from_secs(4));
    let answer = insert(&two, later).await;
    assert!(answer.reason().contains("before Redis was restarted"), "{answer:?}");
    assert_eq!(server.run(&["EXISTS", "orders:dpop:{1}:since"]), "1");
}

#[test]
fn store_outlives_the_runtimes_that_use_it() {
    let server = Server::start();
    server.remember_long();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime().block_on(async {
        let store = RedisReplayStore::new(&connect(settings(&server)).await);
        assert_eq!(insert(&store, proof(1)).await, Found::Fresh);
        store
    });
    assert_eq!(runtime().block_on(insert(&store, proof(1))), Found::Seen);
    // Any executor can poll the future.
    assert_eq!(found(block_on_without_tokio(store.insert_once(proof(2)))), Found::Fresh);
}

#[tokio::test]
async fn connection_ends_with_its_last_handle() {
    let server = Server::start();
    let clients = || {
        let list = server.run(&["CLIENT", "LIST", "TYPE", "normal"]);
        list.lines().filter(|line| !line.contains("cmd=client")).count()
    };
    let connection = connect(settings(&server)).await;
    let store = RedisReplayStore::new(&connection);
    assert_eq!(clients(), 1);
    drop(connection);
    insert(&store, proof(1)).await;
    assert_eq!(clients(), 1);
    drop(store);
    oauth2_actix_tests::wait::until("the end of the connection", || clients() == 0).await;
}

fn block_on_without_tokio<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}
