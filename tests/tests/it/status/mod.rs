//! What operators can see.
//!
//! - `key_status`: warm-up, manual refresh, readiness and the status of keys
//! - `metrics`: the metrics of the feature `metrics`

mod key_status;
mod metrics;
