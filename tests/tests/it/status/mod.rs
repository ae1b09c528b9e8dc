//! The status of keys for operators, and the metrics.

mod key_status;
mod metrics;
