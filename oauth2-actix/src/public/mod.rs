//! Routes and paths that need no token: those marked with `#[public]`, and those in `public_paths`.

// Owns every decision that a request needs no token. It imports `authorize` and `token`.
//
// - `admission`: routes a request without a valid token, and drops it unless the router reaches a public
//   resource.
// - `hidden`: warns of `#[public]` routes that a middleware hides from the router.
// - `known`: the patterns of public routes that requests have reached. A request for one of them is routed at
//   once instead of waiting for keys.
// - `paths`: matches a path against the exact entries and the patterns of `public_paths`.
// - `pattern`: parses an entry of `public_paths`.
// - `rewrite`: detects that an inner middleware changes the path of a request.
// - `ruled`: tells the access rule of a request that is routed without a valid token.
// - `shapes`: rules out most private requests without routing them.
// - `table`: the link-time table of all `#[public]` routes.

mod admission;
mod hidden;
mod known;
mod paths;
mod pattern;
mod rewrite;
mod ruled;
mod shapes;
mod table;

pub use self::{
    admission::PublicAccess,
    table::{PublicRoute, routes},
};
#[doc(hidden)]
pub use self::{admission::PublicResource, ruled::RuledRoute, table::ROUTES};
pub(crate) use self::{
    admission::{Admission, grant_admission, has_public_access, must_be_routed},
    hidden::HiddenRoutes,
    known::KnownRoutes,
    paths::{PathAccess, PublicPaths, ScopeHint},
    rewrite::PathWatch,
};
