//! Settings.

pub(crate) mod error;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod missing_token;
pub(crate) mod provider;
pub mod tenants;
