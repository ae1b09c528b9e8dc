//! Requirements.

pub(crate) mod middleware;
pub(crate) mod requirement;
