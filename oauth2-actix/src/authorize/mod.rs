//! Requirements.

mod claims;
pub(crate) mod middleware;
pub mod requirement;
mod values;
