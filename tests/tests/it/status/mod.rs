//! What operators can see.
//!
//! - `deny_list_metrics`: the metrics of the deny list
//! - `key_status`: warm-up, manual refresh, readiness and the status of keys
//! - `metrics`: the metrics of the feature `metrics`

mod deny_list_metrics;
mod key_status;
mod metrics;
