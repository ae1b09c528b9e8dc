//! Calls that requests cause: introspection, token exchange, status lists and sources of API keys.
//!
//! Each call is bounded in time and size. Concurrent requests with the same content share one call. It imports `config`,
//! `http`, `jose`, `keys` and `util`.
//!
//! - `authentication.rs`: how this API authenticates as a client
//! - `breaker.rs`: a circuit breaker
//! - `discovered_url.rs`: the URL of an endpoint from the metadata document of its issuer
//! - `endpoint.rs`: an endpoint that this API calls as a client
//! - `failure.rs`: why a call has failed, and how the failure counts
//! - `rejections.rs`: a cache of rejections
//! - `shared_calls.rs`: one call for concurrent requests with the same content, and the limits
//! - `thread.rs`: the thread that makes the calls

pub(crate) mod authentication;
pub(crate) mod breaker;
pub(crate) mod discovered_url;
pub(crate) mod endpoint;
pub(crate) mod failure;
pub(crate) mod rejections;
pub(crate) mod shared_calls;
pub(crate) mod thread;
