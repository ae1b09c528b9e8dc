//! Requirements on the claims of a token: as values, in handlers and as middleware.
//!
//! Owns the decision that a verified token permits a request. The attribute macros `#[require_claim]`,
//! `#[require_scope]` and `#[require]` call it through `__private`; their parser and expansion lie in
//! `oauth2-actix-macros`. It imports `error` and `token`.
//!
//! - `claims`: the methods of `Claims` that check requirements.
//! - `middleware`: a requirement that wraps a scope or a resource.
//! - `policies`: requirements that have a name.
//! - `requirement`: the type `Requirement`, its constructors, its evaluation, its errors and its text.
//! - `rule`: the access rule of a handler, from the attributes on it, and the table of all handlers with one.
//! - `values`: the values that a requirement accepts for a claim.

mod claims;
pub(crate) mod middleware;
pub(crate) mod policies;
pub mod requirement;
pub(crate) mod rule;
mod values;
