//! Requirements.

mod claims;
pub(crate) mod middleware;
pub(crate) mod requirement;
