//! Time, logs and metrics.

pub(crate) mod clock;
pub(crate) mod log_rate;
pub(crate) mod places;
pub(crate) mod spiffe;
pub(crate) mod telemetry;
