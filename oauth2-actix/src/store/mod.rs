//! The Redis servers that the processes of an API share.
//!
//! A store, such as [`RedisReplayStore`](crate::dpop::RedisReplayStore), uses a [`RedisConnection`], which is made of
//! the settings of a [`RedisServer`]. All stores and workers of a process share one connection.

// Owns the connection to Redis. It imports `util`.
//
// - `address.rs`: addresses and credentials in URLs
// - `buckets.rs`: the keys of one store, and since when a server has lost none of them
// - `cluster.rs`: the servers of a Cluster, and the slots that they have
// - `connection.rs`: the handle of a process to its servers
// - `link.rs`: one connection to one server
// - `node.rs`: one server: reconnects, and fails immediately while the server cannot be reached
// - `notices.rs`: subscriptions to notices of changes
// - `server.rs`: settings
// - `thread.rs`: the thread that sends all commands

mod address;
pub(crate) mod buckets;
mod cluster;
pub(crate) mod connection;
mod link;
mod node;
mod notices;
mod server;
mod thread;

pub use self::{
    connection::RedisConnection,
    server::{RedisServer, RedisServerError},
};
