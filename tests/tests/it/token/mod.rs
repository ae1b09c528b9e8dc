//! Claims of a verified token, and the cache of verified tokens.
//!
//! - `cache`: what is cached and evicted, and that a cached token is decided as any other
//! - `claims`: what handlers read
//! - `expiring_body`: streaming bodies that end with their token
//! - `exp`, `nbf`, `iat` and the leeway are tested in `token/lifetime.rs`, and `aud` in `token/validation.rs`; tokens that break the rules
//!   are in `attacks/claims.rs`. How scopes are read is tested in `token/scope.rs`

mod cache;
mod claims;
mod expiring_body;
