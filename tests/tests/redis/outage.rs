//! Servers that are paused, full or not there.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use oauth2_actix::{
    dpop::{RedisReplayStore, ReplayStore},
    revocation::{RedisRevocationStore, RevocationEntry, RevocationStore},
    store::RedisServer,
};
use oauth2_actix_tests::{
    log,
    redis_server::{Server, free_port},
    wait,
};

use crate::{Found, connect, found, insert, proof, settings};

#[tokio::test]
async fn paused_server_costs_a_bounded_time_and_then_none() {
    log::keep();
    let server = Server::start();
    server.remember_long();
    let settings = settings(&server).response_timeout(Duration::from_secs(1));
    let connection = connect(settings).await;
    let store = RedisReplayStore::new(&connection);
    assert_eq!(insert(&store, proof(1)).await, Found::Fresh);

    server.pause();
    for number in 0..5 {
        let start = Instant::now();
        let answer = insert(&store, proof(100 + number)).await;
        assert!(answer.reason().contains("within 1 s"), "{answer:?}");
        assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    wait::until("the end of the connection", || !connection.is_ready()).await;
    // 100 requests take no time: none waits.
    let start = Instant::now();
    for number in 0..100 {
        let answer = insert(&store, proof(200 + number)).await;
        assert!(answer.reason().contains("cannot be reached"), "{answer:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

    server.resume();
    wait::until("the new connection", || connection.is_ready()).await;
    // The answer that was not waited for may have stored the proof. A new one is fresh.
    assert_ne!(insert(&store, proof(100)).await, Found::Fresh);
    assert_eq!(insert(&store, proof(300)).await, Found::Fresh);
    let name = format!("127.0.0.1:{}", server.port);
    assert_eq!(log::lines_with(&["WARN", "Redis cannot be used", &name]).len(), 1);
    assert_eq!(log::lines_with(&["INFO", "Redis can be used again", &name]).len(), 1);
}

#[tokio::test]
async fn idle_connection_to_a_paused_server_is_noticed() {
    let server = Server::start();
    let settings = RedisServer::new(server.url()).connection_timeout(Duration::from_secs(1));
    let connection = connect(settings).await;
    server.pause();
    wait::until("the end of the connection", || !connection.is_ready()).await;
    server.resume();
    wait::until("the new connection", || connection.is_ready()).await;
}

#[tokio::test]
async fn full_server_accepts_nothing_and_forgets_nothing() {
    log::keep();
    let server = Server::start();
    server.remember_long();
    let connection = connect(settings(&server)).await;
    let store = RedisReplayStore::new(&connection);
    server.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let info = server.run(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let limit = used.trim().parse::<u64>().unwrap() + 300_000;
    server.run(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    let mut accepted = Vec::new();
    let refused = loop {
        let number = accepted.len() as u64;
        assert!(number < 100_000);
        match insert(&store, proof(number)).await {
            Found::Fresh => accepted.push(number),
            other => break other,
        }
    };
    assert!(refused.reason().contains("OOM"), "{refused:?}");
    assert!(!accepted.is_empty());
    for number in &accepted {
        let answer = insert(&store, proof(*number)).await;
        assert_ne!(answer, Found::Fresh, "{number}");
    }
    let name = format!("127.0.0.1:{}", server.port);
    assert_eq!(log::lines_with(&["WARN", "Redis refuses a command", &name]).len(), 1);

    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    for number in &accepted {
        assert_eq!(insert(&store, proof(*number)).await, Found::Seen, "{number}");
    }
    assert_eq!(insert(&store, proof(accepted.len() as u64)).await, Found::Fresh);
}

#[tokio::test]
async fn server_that_was_full_from_its_start_accepts_nothing() {
    let server = Server::with(&["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"]);
    let connection = settings(&server).connect().unwrap();
    let store = RedisReplayStore::new(&connection);
    for number in 0..20 {
        let answer = insert(&store, proof(number)).await;
        assert!(answer.reason().contains("OOM"), "{answer:?}");
    }
}

#[tokio::test]
async fn absent_server_is_no_error_at_start_and_used_once_it_is_there() {
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let connection = crate::patient(RedisServer::new(url)).connect().unwrap();
    let store = RedisReplayStore::new(&connection);
    let answer = insert(&store, proof(1)).await;
    assert!(answer.reason().contains("cannot be reached"), "{answer:?}");
    assert!(!connection.is_ready());
    let server = Server::at(port);
    wait::until("the connection", || connection.is_ready()).await;
    drop(server);
    wait::until("the end of the connection", || !connection.is_ready()).await;
}

#[tokio::test]
async fn commands_over_the_maximum_fail_at_once() {
    let server = Server::start();
    server.remember_long();
    let connection = connect(settings(&server).max_waiting(3)).await;
    let store = RedisReplayStore::new(&connection);
    server.pause();
    let waiting: Vec<_> = (0..3).map(|number| store.insert_once(proof(number))).collect();
    let answer = insert(&store, proof(3)).await;
    assert!(answer.reason().contains("3 commands wait"), "{answer:?}");
    server.resume();
    for answer in waiting {
        assert_eq!(found(answer.await), Found::Fresh);
    }
    assert_eq!(insert(&store, proof(3)).await, Found::Fresh);
}

/// The deny list has commands in reserve: for loads, and for additions.
#[tokio::test]
async fn deny_list_is_not_kept_from_a_slow_server_by_proofs() {
    let server = Server::start();
    server.remember_long();
    let connection = connect(settings(&server).max_waiting(3)).await;
    let (replay, list) =
        (RedisReplayStore::new(&connection), RedisRevocationStore::new(&connection));
    list.load(None).await.unwrap();
    server.pause();
    let waiting: Vec<_> = (0..3).map(|number| replay.insert_once(proof(number))).collect();
    let answer = insert(&replay, proof(3)).await;
    assert!(answer.reason().contains("3 commands wait"), "{answer:?}");
    let entry = |number| {
        let mut bytes = [0xff; RevocationEntry::LENGTH];
        bytes[0] = number;
        RevocationEntry::from_bytes(&bytes).unwrap()
    };
    // Those beyond the reserve fail. Each is sent when it is polled.
    let mut additions: Vec<_> = (0..100).map(|number| list.add(entry(number))).collect();
    let failed = additions.iter_mut().filter_map(FutureExt::now_or_never).count();
    assert_eq!(failed, 100 - 64);
    let load = list.load(None);
    let resumed = async { server.resume() };
    let (loaded, ()) = futures_util::join!(load, resumed);
    loaded.unwrap();
    for answer in waiting {
        assert_eq!(found(answer.await), Found::Fresh);
    }
}

#[tokio::test]
async fn server_that_is_a_replica_accepts_nothing() {
    let master = Server::start();
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let connection = settings(&replica).connect().unwrap();
    let store = RedisReplayStore::new(&connection);
    let answer = insert(&store, proof(1)).await;
    assert!(answer.reason().contains("is a replica"), "{answer:?}");
}

#[tokio::test]
async fn master_that_becomes_a_replica_is_left() {
    let (server, other) = (Server::start(), Server::start());
    server.remember_long();
    let connection = connect(settings(&server)).await;
    let store = RedisReplayStore::new(&connection);
    assert_eq!(insert(&store, proof(1)).await, Found::Fresh);
    server.run(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    let answer = insert(&store, proof(2)).await;
    assert!(answer.reason().contains("READONLY"), "{answer:?}");
    wait::until("the end of the connection", || !connection.is_ready()).await;
}
