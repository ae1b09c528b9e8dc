//! Tests about the repository itself.

mod environment;
mod suites;
