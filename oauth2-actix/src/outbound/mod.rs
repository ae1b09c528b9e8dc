//! Calls to an authorization server that requests cause: introspection, token exchange and status lists.
//!
//! Each call is bounded in time and size, and made once for all requests that ask the same. It imports `config`,
//! `error`, `http`, `jose`, `keys` and `util`.
//!
//! - `authentication.rs`: how this API authenticates as a client
//! - `breaker.rs`: no calls for a while after failures
//! - `endpoint.rs`: an endpoint that this API calls as a client
//! - `rejections.rs`: the tokens that were rejected most recently
//! - `shared_calls.rs`: one call for all requests that ask the same, and how many may ask
//! - `thread.rs`: the thread that makes the calls

pub(crate) mod authentication;
pub(crate) mod breaker;
pub(crate) mod endpoint;
pub(crate) mod rejections;
pub(crate) mod shared_calls;
pub(crate) mod thread;
