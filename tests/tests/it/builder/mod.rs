//! Settings, from the builder and through serde.

mod configuration;
mod mounting;
