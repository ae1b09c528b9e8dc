//! The helpers of the suites: an API over real TCP, clients for it, key servers, and the captured log.

// Helpers of tests panic when their own assumptions fail.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod alone;
pub mod api;
pub mod client;
pub mod fetched;
pub mod forge;
pub mod key_server;
pub mod keys;
pub mod log;
pub mod mcp;
pub mod policy;
pub mod redis_server;
pub mod socket;
pub mod tls;
pub mod wait;

// The code of the pages compiles, and that of `configuration.md` and `providers.md` also runs.

#[cfg(doctest)]
#[doc = include_str!("../../docs/api-keys.md")]
mod api_keys_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/authorization.md")]
mod authorization_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/configuration.md")]
mod configuration_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/cors.md")]
mod cors_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/dpop.md")]
mod dpop_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/mcp.md")]
mod mcp_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/mtls.md")]
mod mtls_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/providers.md")]
mod providers_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/introspection.md")]
mod introspection_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/revocation.md")]
mod revocation_page {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/public-routes.md")]
mod public_routes_page {}
