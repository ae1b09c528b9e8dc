//! A failover by Redis Sentinel.

use std::{
    fs,
    time::{Duration, Instant},
};

use oauth2_actix::{dpop::RedisReplayStore, store::RedisServer};
use oauth2_actix_tests::{
    redis_server::{Server, free_port},
    wait::{self, PATIENCE},
};

use crate::{Found, connect, insert, patient, proof, proof_since};

#[tokio::test]
async fn failover_to_a_replica_replays_nothing() {
    let mut master = Server::start();
    master.remember_long();
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    replica.wait_for("master_link_status:up", &["INFO", "replication"]);
    let sentinel = Sentinel::start(master.port);
    sentinel.server.wait_for("slaves=1", &["INFO", "sentinel"]);
    let absent = format!("redis://127.0.0.1:{}", free_port());
    let settings = patient(RedisServer::sentinel([absent, sentinel.server.url()], "mymaster"));
    let connection = connect(settings).await;
    let store = RedisReplayStore::new(&connection);
    let used = proof(1);
    assert_eq!(insert(&store, used.clone()).await, Found::Fresh);

    // A proof that did not reach the replica before the failover.
    let unreplicated = proof(2);
    assert_eq!(insert(&store, unreplicated.clone()).await, Found::Fresh);
    let key = master.run(&["KEYS", "oauth2-actix:dpop:{2}:[^s]*"]);
    replica.wait_for("1", &["EXISTS", &key]);
    replica.run(&["CONFIG", "SET", "replica-read-only", "no"]);
    assert_eq!(replica.run(&["DEL", &key]), "1");
    assert_eq!(replica.run(&["EXISTS", "oauth2-actix:dpop:{2}:since"]), "1");
    master.kill();
    wait::until("the end of the connection", || !connection.is_ready()).await;
    wait::until("the failover", || connection.is_ready()).await;
    assert!(replica.run(&["INFO", "replication"]).contains("role:master"));

    let deadline = Instant::now() + PATIENCE;
    for number in 10.. {
        for old in [&used, &unreplicated] {
            let number = if old.id == used.id { 1 } else { 2 };
            let answer = insert(&store, proof_since(number, old.since)).await;
            assert_ne!(answer, Found::Fresh, "{number}");
        }
        if insert(&store, proof(number)).await == Found::Fresh {
            break;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn service_that_the_sentinel_does_not_know_is_named_as_the_cause() {
    let master = Server::start();
    let sentinel = Sentinel::start(master.port);
    let settings = patient(RedisServer::sentinel([sentinel.server.url()], "other"));
    let store = RedisReplayStore::new(&settings.connect().unwrap());
    let answer = insert(&store, proof(1)).await;
    assert!(answer.reason().contains("no service has this name"), "{answer:?}");
}

pub(crate) struct Sentinel {
    pub(crate) server: Server,
}

impl Sentinel {
    /// Starts a sentinel that alone decides on a failover.
    pub(crate) fn start(master: u16) -> Self {
        let server = Server::sentinel(|file| {
            let settings = format!(
                "sentinel monitor mymaster 127.0.0.1 {master} 1\n\
                 sentinel down-after-milliseconds mymaster 500\n\
                 sentinel failover-timeout mymaster 5000\n"
            );
            fs::write(file, settings).unwrap();
        });
        Self { server }
    }
}
