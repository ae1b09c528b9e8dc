//! One binary for all suites: linking takes longer than running.

#![allow(missing_docs, clippy::unwrap_used)]

mod api_keys;
mod authorize;
mod builder;
mod dpop;
mod exchange;
mod house;
mod introspection;
mod jose;
mod keys;
mod logout;
mod mcp;
mod mtls;
mod policy;
mod protected_resource;
mod provider;
mod public;
mod request;
mod response;
mod revocation;
mod status;
mod status_list;
mod testing;
mod token;
mod ws;
