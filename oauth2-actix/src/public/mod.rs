//! What needs no token: paths of the configuration, and routes marked with `#[public]`.

mod admission;
mod hidden;
mod known;
mod paths;
mod pattern;
mod rewrite;
mod shapes;
mod table;

pub use self::{
    admission::PublicAccess,
    table::{PublicRoute, routes},
};
#[doc(hidden)]
pub use self::{admission::PublicResource, table::ROUTES};
pub(crate) use self::{
    admission::{Admission, has_public_access, must_be_routed},
    hidden::HiddenRoutes,
    known::KnownRoutes,
    paths::{PathAccess, PublicPaths, ScopeHint},
    rewrite::PathWatch,
};
