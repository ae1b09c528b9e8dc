//! The stores on Redis, with servers of Redis that each test starts on loopback ports.
//!
//! - `cluster.rs`: three masters; one that ends
//! - `connection.rs`: logins, TLS, limits, and what is logged
//! - `loss.rs`: servers that lose data, by a restart, a command or an old file
//! - `outage.rs`: servers that are paused, full or not there
//! - `repetition.rs`: the size of the deny list
//! - `replay.rs`: the store of used proofs with a server that works
//! - `revocation.rs`: the deny list that processes share
//! - `sentinel.rs`: a failover

#![allow(missing_docs, clippy::unwrap_used)]

mod cluster;
mod connection;
mod loss;
mod outage;
mod repetition;
mod replay;
mod revocation;
mod sentinel;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oauth2_actix::{
    dpop::{Insertion, RedisReplayStore, ReplayStore, UsedProof},
    store::{RedisConnection, RedisServer},
};
use oauth2_actix_tests::{redis_server::Server, wait};

/// What a store has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Fresh,
    Seen,
    Unavailable(String),
}

impl Found {
    fn reason(&self) -> &str {
        match self {
            Self::Unavailable(reason) => reason,
            other => panic!("{other:?}"),
        }
    }
}

async fn insert(store: &RedisReplayStore, proof: UsedProof) -> Found {
    found(store.insert_once(proof).await)
}

fn found(insertion: Insertion) -> Found {
    match insertion {
        Insertion::Fresh => Found::Fresh,
        Insertion::Seen => Found::Seen,
        Insertion::Unavailable(reason) => Found::Unavailable(reason.to_string()),
        other => panic!("{other:?}"),
    }
}

/// Settings whose limits a busy machine does not reach.
fn patient(server: RedisServer) -> RedisServer {
    server.response_timeout(Duration::from_secs(5)).connection_timeout(Duration::from_secs(10))
}

fn settings(server: &Server) -> RedisServer {
    patient(RedisServer::new(server.url()))
}

/// Connects, and waits until the server is connected.
async fn connect(server: RedisServer) -> RedisConnection {
    let connection = server.connect().unwrap();
    wait::until("the connection", || connection.is_ready()).await;
    connection
}

/// A proof of now, with this number.
fn proof(number: u64) -> UsedProof {
    proof_since(number, now())
}

/// A proof that a client made at this time. Its bucket depends on its number.
fn proof_since(number: u64, since: Duration) -> UsedProof {
    let mut id = [0; 32];
    id[0] = u8::try_from(number % 64).unwrap() << 2;
    id[1..9].copy_from_slice(&number.to_be_bytes());
    UsedProof::new(id, [7; 32], since..since + Duration::from_secs(60), now())
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
