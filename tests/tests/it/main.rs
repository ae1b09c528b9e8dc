//! One binary for all suites: linking takes longer than running.

#![allow(missing_docs, clippy::unwrap_used)]

mod algorithms;
mod answers;
mod claims;
mod configuration;
mod cors;
mod crypto_libraries;
mod discovery;
mod etag;
mod faults;
mod fetching;
mod http2;
mod http_client;
mod key_attacks;
mod key_forms;
mod key_selection;
mod operation;
mod public_paths;
mod public_routes;
mod refresh;
mod require;
mod sources;
mod stricter;
mod telemetry;
mod tenants;
mod token_cache;
mod token_places;
mod websocket;
mod ws_rude;
mod ws_sessions;
