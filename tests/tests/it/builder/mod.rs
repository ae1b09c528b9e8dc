//! Settings, from the builder and through serde.
//!
//! - `configuration`: settings that are read, from files and environment variables, and their errors
//! - `mounting`: mistakes in mounting the middleware

mod configuration;
mod mounting;
