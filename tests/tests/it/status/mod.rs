//! What operators can see.
//!
//! - `deny_list_metrics`: the metrics of the deny list
//! - `endpoint_metrics`: the metrics of introspection, token exchange, API keys, status lists and receivers
//! - `key_status`: warm-up, manual refresh, readiness and the status of keys
//! - `metrics`: the metrics of the feature `metrics`
//! - `slow_recorder`: a slow recorder of metrics

mod deny_list_metrics;
mod endpoint_metrics;
mod key_status;
mod metrics;
mod slow_recorder;
