//! Time, the rate of warnings, metrics and SPIFFE IDs.
//!
//! It imports `error`.
//!
//! - `backoff.rs`: the time between attempts that fail
//! - `clock.rs`: wall time, monotonic time, and waiting for a moment
//! - `log_rate.rs`: the rate of warnings about keys and tenants
//! - `manual_clock.rs`: the clock of tests
//! - `spiffe.rs`: SPIFFE IDs and trust domains
//! - `telemetry.rs`: the metrics of the feature `metrics`
//! - `units.rs`: durations as text

pub(crate) mod backoff;
pub(crate) mod clock;
pub(crate) mod log_rate;
#[cfg(feature = "testing")]
pub(crate) mod manual_clock;
pub(crate) mod spiffe;
pub(crate) mod telemetry;
pub(crate) mod units;
