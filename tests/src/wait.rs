//! Polls for the effects of other threads, within a limit.

use std::time::{Duration, Instant};

use oauth2_actix::testing::ManualClock;

/// The longest wait for something that takes milliseconds on an idle machine. It only ends a test that hangs:
/// the speed of the machine decides nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition holds, for at most [`PATIENCE`].
///
/// # Panics
///
/// If it does not hold by then.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Advances the clock in steps until the condition holds.
///
/// # Panics
///
/// If it does not hold after [`PATIENCE`] of the system's clock.
pub async fn advance_until(
    clock: &ManualClock,
    step: Duration,
    what: &str,
    mut is_so: impl FnMut() -> bool,
) {
    until(what, || {
        let so = is_so();
        if !so {
            clock.advance(step);
        }
        so
    })
    .await;
}
