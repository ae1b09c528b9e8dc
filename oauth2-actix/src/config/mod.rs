//! The settings, their ranges and their errors.
//!
//! It is on floor 5: it may import `keys` and everything below.
//!
//! - `error.rs`: the errors of a configuration
//! - `keys.rs`: [`Keys`](keys::Keys), the sources of keys
//! - `limits.rs`: the ranges of durations and numbers
//! - `missing_token.rs`: the status for a request without a token
//! - `names.rs`: the names of the settings in the serde form
//! - `provider.rs`: [`Provider`](provider::Provider), an identity provider
//! - `tenants.rs`: [`Tenants`](tenants::Tenants), the providers that are looked up by issuer

pub(crate) mod error;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod missing_token;
pub(crate) mod names;
pub(crate) mod provider;
pub mod tenants;
