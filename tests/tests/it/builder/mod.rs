//! Settings, from the builder and through serde.
//!
//! - `configuration`: settings that are read, from files and environment variables, and their errors
//! - `fapi2`: what the FAPI 2.0 Security Profile does not allow
//! - `mounting`: mistakes in mounting the middleware

mod configuration;
mod fapi2;
mod mounting;
