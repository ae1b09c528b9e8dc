//! Time, logs and metrics.

pub(crate) mod clock;
pub(crate) mod log_rate;
#[cfg(feature = "testing")]
pub(crate) mod manual_clock;
pub(crate) mod places;
pub(crate) mod spiffe;
pub(crate) mod telemetry;
pub(crate) mod units;
