//! Calls to other machines over HTTP: clients, URLs, content codings bounded GET and POST.
//!
//! It imports `jose`.
//!
//! - `client.rs`: the clients that fetch, with the settings of the developer
//! - `content_coding.rs`: the decoding of compressed bodies
//! - `fetch.rs`: a GET or POST, bounded in time and size
//! - `resolver.rs`: the addresses of hosts that a document names
//! - `url.rs`: which URLs may be fetched

pub(crate) mod client;
mod content_coding;
pub(crate) mod fetch;
pub(crate) mod resolver;
pub(crate) mod url;
