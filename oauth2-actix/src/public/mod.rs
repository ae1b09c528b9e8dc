//! What needs no token: paths of the configuration, and routes marked with `#[public]`.

mod dispatch;
mod paths;
mod pattern;
mod rewrite;
mod table;

pub use self::{
    dispatch::register,
    table::{PublicRoute, ROUTES, public_routes},
};
pub(crate) use self::{
    dispatch::{KnownPatterns, Mark, is_admitted},
    paths::{Openness, PublicPaths},
    rewrite::PathWatch,
};
