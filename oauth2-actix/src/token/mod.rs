//! The token after it was parsed: validation, verified tokens, their claims and their cache.
//!
//! Owns the checks on claims that need no key, the type [`Claims`](claims::Claims) that handlers get, and the
//! cache of verified tokens. It imports `error`, `jose`, `json`, `revocation` and `util`.
//!
//! - `actor`: who acts for the subject of a delegated token.
//! - `authorization_details`: the objects in `authorization_details`.
//! - `cache`: the cache of verified tokens, and its status.
//! - `claims`: the claims of a verified token, and the extractors.
//! - `confirmation`: the key or certificate that a token is bound to.
//! - `expiring_body`: a streaming body that ends when the token of its request expires.
//! - `lifetime`: the checks on `exp`, `nbf` and `iat`, the range of dates, when a token expires and why it is not valid.
//! - `principal`: the caller as a type of the application.
//! - `principal_key`: a key that is the same for all tokens of one caller.
//! - `revocable`: what entries of the deny list are compared with.
//! - `rules`: the scope hierarchy and the named policies, as claims refer to them.
//! - `scope`: the scopes in `scope` and `scp`.
//! - `status`: the status of a token in a list of its issuer.
//! - `validation`: the checks on `aud` and the types of registered claims.
//! - `verified`: a verified token, the keys that verified it and its lifetime.

pub(crate) mod actor;
mod authorization_details;
pub(crate) mod cache;
pub(crate) mod claims;
pub(crate) mod confirmation;
pub(crate) mod expiring_body;
pub(crate) mod lifetime;
pub(crate) mod principal;
pub(crate) mod principal_key;
pub(crate) mod revocable;
pub(crate) mod rules;
pub(crate) mod scope;
pub(crate) mod status;
pub(crate) mod validation;
pub(crate) mod verified;
