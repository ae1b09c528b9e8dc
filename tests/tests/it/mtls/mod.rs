//! The certificate of a client, over real TLS and behind a proxy.
//!
//! - `bound_tokens`: tokens that are bound to a certificate, with and without a proxy
//! - `connections`: the certificate of a connection, with rustls and with OpenSSL
//! - `proxies`: the certificate that a proxy sends, and what attackers send in its header
//! - `client`, `server`: TLS clients and servers of these tests
//! - how headers are read and which peers are trusted is tested in `mtls/formats.rs` and `mtls/forwarded/tests.rs`

mod bound_tokens;
mod client;
mod connections;
mod proxies;
mod server;
