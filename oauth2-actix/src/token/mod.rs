//! What was verified.

pub(crate) mod cache;
pub(crate) mod claims;
pub(crate) mod expiring_body;
pub(crate) mod scope;
pub(crate) mod validation;
pub(crate) mod verified;
