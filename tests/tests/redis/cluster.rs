//! A Redis Cluster of three masters.

use std::process::Command;

use oauth2_actix::{dpop::RedisReplayStore, store::RedisServer};
use oauth2_actix_tests::{redis_server::Server, wait};

use crate::{Found, connect, insert, patient, proof};

pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let servers: Vec<_> = (0..3).map(|_| Server::with(&settings)).collect();
        let addresses = servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
        let output = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        for server in &servers {
            server.wait_for("cluster_state:ok", &["CLUSTER", "INFO"]);
        }
        let cluster = Self { servers };
        cluster.remember_long();
        cluster
    }

    /// Writes the markers of servers that have run for a long time.
    fn remember_long(&self) {
        for bucket in 0..64 {
            let key = format!("oauth2-actix:dpop:{{{bucket}}}:since");
            for server in &self.servers {
                let info = server.run(&["INFO", "server"]);
                let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap();
                let marker = format!("{}:0", run_id.trim_end());
                // Another server answers MOVED.
                if server.run(&["SET", &key, &marker]) == "OK" {
                    break;
                }
            }
        }
    }

    pub(crate) fn settings(&self) -> RedisServer {
        patient(RedisServer::cluster(self.servers.iter().map(Server::url)))
    }
}

#[tokio::test]
async fn proofs_are_fresh_once_on_every_server_of_a_cluster() {
    let cluster = Cluster::start();
    let (one, two) = (connect(cluster.settings()).await, connect(cluster.settings()).await);
    let (one, two) = (RedisReplayStore::new(&one), RedisReplayStore::new(&two));
    for number in 0..128 {
        assert_eq!(insert(&one, proof(number)).await, Found::Fresh, "{number}");
        assert_eq!(insert(&two, proof(number)).await, Found::Seen, "{number}");
    }
    for server in &cluster.servers {
        let keys: u64 = server.run(&["DBSIZE"]).parse().unwrap();
        assert!(keys > 10, "{keys}");
    }
}

#[tokio::test]
async fn server_of_a_cluster_that_ends_stops_only_its_own_proofs() {
    let mut cluster = Cluster::start();
    for server in &cluster.servers {
        server.run(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let connection = connect(cluster.settings()).await;
    let store = RedisReplayStore::new(&connection);
    let mut lost = cluster.servers.remove(0);
    lost.kill();
    wait::until("the end of one connection", || !connection.is_ready()).await;
    let mut fresh = 0;
    for number in 0..64 {
        match insert(&store, proof(number)).await {
            Found::Fresh => fresh += 1,
            Found::Unavailable(_) => {}
            Found::Seen => panic!("{number}"),
        }
    }
    assert!((20..64).contains(&fresh), "{fresh}");

    lost.restart();
    wait::until("the new connection", || connection.is_ready()).await;
    for number in 0..64 {
        // The server that was restarted accepts nothing from before, the others know their proofs.
        assert_ne!(insert(&store, proof(number)).await, Found::Fresh, "{number}");
    }
}

#[tokio::test]
async fn slot_that_moves_to_another_server_replays_nothing() {
    let cluster = Cluster::start();
    let connection = connect(cluster.settings()).await;
    let store = RedisReplayStore::new(&connection);
    assert_eq!(insert(&store, proof(0)).await, Found::Fresh);
    let slot = cluster.servers[0].run(&["CLUSTER", "KEYSLOT", "{0}"]);
    let owns = |server: &&Server| !server.run(&["GET", "{0}"]).contains("MOVED");
    let from = cluster.servers.iter().find(owns).unwrap();
    let to = cluster.servers.iter().find(|server| !owns(server)).unwrap();
    let (from_id, to_id) = (from.run(&["CLUSTER", "MYID"]), to.run(&["CLUSTER", "MYID"]));
    // The keys are left behind, as by an operator's mistake.
    let keys = from.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
    for key in keys.lines() {
        from.run(&["DEL", key]);
    }
    to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    for server in [to, from] {
        server.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    let used = proof(0);
    let deadline = std::time::Instant::now() + wait::PATIENCE;
    loop {
        let answer = insert(&store, used.clone()).await;
        assert_ne!(answer, Found::Fresh);
        // The new server has stored it now.
        if answer == Found::Seen {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
