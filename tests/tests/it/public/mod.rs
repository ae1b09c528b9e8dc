//! Public paths and `#[public]` routes.
//!
//! - `paths`: entries of `public_paths`, and paths that middleware rewrites
//! - `routes`: `#[public]` in layouts of scopes, guards and middleware

mod paths;
mod routes;
