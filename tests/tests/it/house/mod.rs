//! Tests about the repository itself.

mod attack_index;
mod floors;
mod public_api;
mod suites;
mod words;
