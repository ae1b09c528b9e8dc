//! What needs no token: paths of the configuration, and routes marked with `#[public]`.

mod dispatch;
mod paths;
mod pattern;
mod rewrite;
mod table;

pub(crate) use self::{
    dispatch::{KnownPatterns, Mark, is_admitted},
    paths::{Openness, PublicPaths},
    rewrite::PathWatch,
};
pub use self::{
    dispatch::{register, warn_unless_wrapped},
    table::{PublicRoute, ROUTES, public_routes},
};
