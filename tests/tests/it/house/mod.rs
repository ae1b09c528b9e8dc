//! Tests about the repository itself.
//!
//! - `attack_index`: the index of the attacks
//! - `floors`: which folder imports which
//! - `public_api`: the snapshot of the public surface
//! - `suites`: the suites run without the cache and with OpenSSL too
//! - `words`: words that are not used

mod attack_index;
mod floors;
mod public_api;
mod suites;
mod words;
