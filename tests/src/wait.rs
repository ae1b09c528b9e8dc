//! Waiting for what another thread does: asked again and again, and not without end.

use std::time::{Duration, Instant};

use oauth2_actix::testing::ManualClock;

/// The longest wait for something that takes milliseconds on an idle machine. It only ends a test
/// that hangs: how fast the machine is decides nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until this is so, for at most [`PATIENCE`].
///
/// # Panics
///
/// If it is not by then.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Moves the clock on in steps until this is so.
///
/// # Panics
///
/// If it is not after [`PATIENCE`] by the system's clock.
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
