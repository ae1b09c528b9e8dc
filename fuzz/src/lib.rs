//! The fuzz targets, as a library, so that the corpora can be replayed without a fuzzer.

#![forbid(unsafe_code)]

pub mod authorization_header;
pub mod challenge;
pub mod claims;
pub mod compact_jws;
pub mod discovery_document;
pub mod dpop_proof;
pub mod key_document;
pub mod mcp_message;
pub mod public_paths;
pub mod public_routes;
pub mod verifiers;

mod app;
