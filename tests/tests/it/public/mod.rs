//! Public paths and `#[public]` routes.

mod paths;
mod routes;
