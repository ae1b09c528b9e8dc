//! What operators may know of keys and cache.

mod key_status;
mod metrics;
