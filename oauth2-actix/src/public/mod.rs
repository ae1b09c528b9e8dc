//! What needs no token: paths of the configuration, and routes marked with `#[public]`.

mod dispatch;
mod paths;
mod table;

pub(crate) use self::{
    dispatch::{KnownPatterns, Mark, is_admitted},
    paths::PublicPaths,
};
pub use self::{
    dispatch::{register, warn_unless_wrapped},
    table::{PublicRoute, ROUTES, public_routes},
};
