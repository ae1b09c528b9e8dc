//! Providers at run time.
//!
//! - `tenants`: providers that are looked up by issuer
//! - the thread that fetches keys is tested in `keys`

mod tenants;
