//! Tests about the repository itself.

mod environment;
mod floors;
mod public_api;
mod suites;
