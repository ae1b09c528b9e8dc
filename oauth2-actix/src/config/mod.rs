//! The settings, their ranges and their errors.
//!
//! It imports `authorize`, `http`, `jose`, `keys`, `token` and `util`.
//!
//! - `binding.rs`: whether tokens are bound to their client
//! - `client_authentication.rs`: how this API authenticates as a client
//! - `error.rs`: the errors of a configuration
//! - `fapi2.rs`: what the FAPI 2.0 Security Profile requires of a provider
//! - `introspection.rs`: [`Introspection`](introspection::Introspection)
//! - `keys.rs`: [`Keys`](keys::Keys), the sources of keys
//! - `limits.rs`: the ranges of durations and numbers
//! - `missing_token.rs`: the status for a request without a token
//! - `names.rs`: the names of the settings in the serde form
//! - `provider.rs`: [`Provider`](provider::Provider), an identity provider
//! - `resource.rs`: [`Resource`](resource::Resource), the protected resource and its metadata
//! - `resource_uri.rs`: the identifier of a protected resource
//! - `status_list.rs`: [`StatusList`](status_list::StatusList), which looks tokens up
//! - `tenants.rs`: [`Tenants`](tenants::Tenants), the providers that are looked up by issuer
//! - `token_cache.rs`: the limits of the cache of verified tokens
//! - `token_exchange.rs`: [`TokenExchange`](token_exchange::TokenExchange), which gets tokens for other services

pub(crate) mod binding;
pub(crate) mod client_authentication;
pub(crate) mod error;
pub(crate) mod fapi2;
pub(crate) mod introspection;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod missing_token;
pub(crate) mod names;
pub(crate) mod provider;
pub(crate) mod resource;
pub(crate) mod resource_uri;
pub(crate) mod status_list;
pub mod tenants;
pub(crate) mod token_cache;
pub(crate) mod token_exchange;
