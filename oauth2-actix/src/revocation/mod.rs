//! The deny list: tokens that are rejected before they expire.
//!
//! A signed token is accepted until it expires, even if its issuer has revoked it in the meantime. With a [`DenyList`],
//! [`OAuth2::revoke`](crate::OAuth2::revoke) revokes tokens earlier: a single one, or all of a subject, a session, a client
//! or an issuer. Every request is checked, even if its token is cached, and live WebSocket sessions and streams end.
//!
//! ```
//! use std::time::SystemTime;
//! use actix_web::{HttpResponse, post, web};
//! use oauth2_actix::{Claims, OAuth2, require_scope, revocation::Revocation};
//!
//! /// Revokes every token of a user that was issued until now.
//! #[post("/users/{id}/logout")]
//! #[require_scope("users:admin")]
//! async fn logout(claims: Claims, id: web::Path<String>, oauth2: web::Data<OAuth2>) -> HttpResponse {
//!     let revocation =
//!         Revocation::subject(claims.issuer(), &id).issued_before(SystemTime::now());
//!     match oauth2.revoke(revocation).await {
//!         Ok(()) => HttpResponse::NoContent().finish(),
//!         Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
//!     }
//! }
//! # fn main() {}
//! ```

// Owns the deny list. It imports `error`, `store` and `util`. `token/revocable.rs` reads the values of a token.
//
// - `entry.rs`: what is revoked, and the hashes by which entries and tokens are compared
// - `list.rs`: the list at run time: the check of a token, and the addition of an entry
// - `memory.rs`: a store that the policies of one process share
// - `redis.rs`: a store that several processes share (a feature)
// - `settings.rs`: the settings
// - `store.rs`: the interface of stores
// - `sync.rs`: the thread that loads the list from a store
// - `table.rs`: the entries in memory
// - `tests.rs`: tests of the list as a whole
// - `token.rs`: what a verified token keeps for the list
// - `watchers.rs`: the tokens of live sessions and streams

mod entry;
mod list;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod settings;
mod store;
mod sync;
mod table;
#[cfg(test)]
mod tests;
mod token;
mod watchers;

#[cfg(feature = "redis")]
pub use self::redis::RedisRevocationStore;
pub(crate) use self::{entry::TokenFacts, list::Revocations, token::Revocable};
pub use self::{
    entry::{Revocation, RevocationEntry},
    list::{DenyListStatus, RevokeError},
    memory::MemoryRevocationStore,
    settings::{DenyList, WhenUnavailable},
    store::{LoadedEntries, RevocationStore, StoreError},
};
