//! Servers that lose data: no proof is accepted twice because of it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use oauth2_actix::dpop::RedisReplayStore;
use oauth2_actix_tests::{
    redis_server::Server,
    wait::{self, PATIENCE},
};

use crate::{Found, connect, insert, now, proof, proof_since, settings};

/// Clients that send each proof again and again, through two processes.
struct Load {
    stores: [RedisReplayStore; 2],
    made: Mutex<HashMap<u64, Duration>>,
    fresh: Mutex<HashMap<u64, u32>>,
    count: AtomicU64,
    ended: AtomicBool,
}

impl Load {
    fn start(stores: [RedisReplayStore; 2]) -> (Arc<Self>, Vec<tokio::task::JoinHandle<()>>) {
        let load = Arc::new(Self {
            stores,
            made: Mutex::default(),
            fresh: Mutex::default(),
            count: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let clients = (0..8).map(|client| tokio::spawn(Arc::clone(&load).send(client))).collect();
        (load, clients)
    }

    /// Sends a new proof, and then old ones of any client.
    async fn send(self: Arc<Self>, client: u64) {
        let mut turn = client;
        while !self.ended.load(Ordering::SeqCst) {
            let number = self.count.fetch_add(1, Ordering::SeqCst);
            self.made.lock().unwrap().insert(number, now());
            for back in [0, turn % 97, turn % 997, turn % (number + 1)] {
                let number = number.saturating_sub(back);
                let Some(made) = self.made.lock().unwrap().get(&number).copied() else { continue };
                let store = &self.stores[(turn % 2) as usize];
                turn += 1;
                if insert(store, proof_since(number, made)).await == Found::Fresh {
                    *self.fresh.lock().unwrap().entry(number).or_default() += 1;
                }
            }
            // A server that is down answers at once.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Returns how many proofs were accepted. Fails if one was accepted twice.
    fn accepted(&self) -> usize {
        let fresh = self.fresh.lock().unwrap();
        for (number, count) in &*fresh {
            assert_eq!(*count, 1, "proof {number} was accepted more than once");
        }
        fresh.len()
    }

    async fn until_more_are_accepted(&self) {
        let before = self.accepted();
        wait::until("accepted proofs", || self.accepted() > before + 200).await;
    }

    async fn end(&self, clients: Vec<tokio::task::JoinHandle<()>>) {
        self.ended.store(true, Ordering::SeqCst);
        for client in clients {
            client.await.unwrap();
        }
        self.accepted();
    }
}

/// Sends proofs while `lose` lets the server lose data, and until new proofs are accepted again.
async fn lose_under_load(mut server: Server, lose: impl FnOnce(&mut Server)) {
    server.remember_long();
    let (one, two) = (connect(settings(&server)).await, connect(settings(&server)).await);
    let stores = [RedisReplayStore::new(&one), RedisReplayStore::new(&two)];
    let (load, clients) = Load::start(stores);
    load.until_more_are_accepted().await;
    let lost = Instant::now();
    let before = load.accepted();
    lose(&mut server);
    load.until_more_are_accepted().await;
    // Old proofs are refused by time, also those of the last moment before the loss.
    assert!(lost.elapsed() >= Duration::from_secs(6), "{:?}", lost.elapsed());
    assert!(load.accepted() > before);
    load.end(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_and_restarted_empty_under_load_replays_nothing() {
    lose_under_load(Server::start(), |server| {
        server.kill();
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_restarted_with_an_old_file_replays_nothing() {
    let mut server = Server::start();
    server.remember_long();
    let connection = connect(settings(&server)).await;
    let store = RedisReplayStore::new(&connection);
    assert_eq!(insert(&store, proof(1)).await, Found::Fresh);
    server.run(&["SAVE"]);
    assert!(server.directory().join("dump.rdb").exists());
    let used_after_the_file = proof(2);
    assert_eq!(insert(&store, used_after_the_file.clone()).await, Found::Fresh);
    server.kill();
    server.restart();
    // The file has a marker, but of another run of the server.
    wait::until("the new connection", || connection.is_ready()).await;
    assert_eq!(server.run(&["EXISTS", "oauth2-actix:dpop:{2}:since"]), "1");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match insert(&store, proof_since(2, used_after_the_file.since)).await {
            Found::Unavailable(reason) => {
                if reason.contains("may have been used before") {
                    break;
                }
                assert!(Instant::now() < deadline, "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    // What is known is refused as a replay.
    assert_eq!(insert(&store, proof(1)).await, Found::Seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_with_a_file_for_each_second_killed_under_load_replays_nothing() {
    let server = Server::with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    lose_under_load(server, |server| {
        server.kill();
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed_server_replays_nothing() {
    lose_under_load(Server::start(), |server| {
        server.run(&["FLUSHALL"]);
    })
    .await;
}

#[tokio::test]
async fn missing_marker_refuses_what_is_older() {
    let server = Server::start();
    server.remember_long();
    let store = RedisReplayStore::new(&connect(settings(&server)).await);
    assert_eq!(insert(&store, proof(3)).await, Found::Fresh);
    server.run(&["DEL", "oauth2-actix:dpop:{3}:since"]);
    let answer = insert(&store, proof(3 + 64)).await;
    assert!(answer.reason().contains("its earlier data may be missing"), "{answer:?}");
    // Another bucket is not concerned, and what is stored is still known.
    assert_eq!(insert(&store, proof(4)).await, Found::Fresh);
    assert!(matches!(insert(&store, proof(3)).await, Found::Seen | Found::Unavailable(_)));
    server.wait_for("1", &["EXISTS", "oauth2-actix:dpop:{3}:since"]);
    assert_eq!(insert(&store, proof(3)).await, Found::Seen);
}

#[tokio::test]
async fn new_process_on_a_running_server_needs_no_wait() {
    let server = Server::start();
    let first = connect(settings(&server)).await;
    let store = RedisReplayStore::new(&first);
    wait::until("all markers", || server.run(&["DBSIZE"]) == "64").await;
    let marker = server.run(&["GET", "oauth2-actix:dpop:{5}:since"]);
    let second = RedisReplayStore::new(&connect(settings(&server)).await);
    let answer = insert(&second, proof(5)).await;
    assert!(answer.reason().contains("may have been used before"), "{answer:?}");
    assert_eq!(server.run(&["GET", "oauth2-actix:dpop:{5}:since"]), marker);
    // The new server accepts proofs when those from before its start are too old.
    let deadline = Instant::now() + PATIENCE;
    for number in 0.. {
        let number = 5 + 64 * (number + 1);
        if insert(&store, proof(number)).await == Found::Fresh {
            assert_eq!(insert(&second, proof(number)).await, Found::Seen);
            break;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
