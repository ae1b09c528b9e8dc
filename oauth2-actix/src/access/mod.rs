//! The access rules of all routes of a program, as one table: for reviews, snapshots and documents.
//!
//! Each `#[public]`, `#[authenticated]`, `#[deny_delegated]`, `#[require]` and `#[require_…]` adds the routes of its
//! handler when the program is linked.
//!
//! ```
//! use actix_web::{get, post};
//! use oauth2_actix::{access, public, require_scope};
//!
//! #[public]
//! #[get("/health")]
//! async fn health() -> &'static str {
//!     "up"
//! }
//!
//! #[require_scope("refunds:write")]
//! #[post("/refunds")]
//! async fn refund() -> &'static str {
//!     "done"
//! }
//!
//! # fn main() {
//! let table = access::routes().to_string();
//! assert!(table.contains("GET /health public"), "{table}");
//! assert!(table.contains("POST /refunds scope refunds:write"), "{table}");
//! # }
//! ```
//!
//! An attribute sees the routing macros below it. Write it above them, or put [`guarded`](macro@crate::guarded)
//! on the module: otherwise its row has neither methods nor a pattern. Patterns lack the prefixes of scopes, which
//! are known only when an app is built. Routes of a crate that is not linked into the program are missing.

// It imports `authorize`, `public` and `token`.
//
// - `difference`: what changed between two tables, in words.
// - `openapi`: the rules in an OpenAPI document.
// - `report`: scopes that tokens have and no route requires, and rules that no token satisfied.
// - `routes`: the table.

mod difference;
#[cfg(feature = "utoipa")]
pub(crate) mod openapi;
pub(crate) mod report;
mod routes;

#[cfg(feature = "utoipa")]
pub use self::openapi::OpenApiSecurity;
pub use self::{
    difference::{Change, Effect},
    report::AccessReport,
    routes::{Route, Routes, routes},
};
