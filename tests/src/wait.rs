//! Waiting for what another thread does: asked again and again, and not without end.

use std::time::{Duration, Instant};

use oauth2_actix::testing::ManualClock;

/// Waits until this is so, for at most 10 s.
///
/// # Panics
///
/// If it is not by then.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Moves the clock on in steps until this is so.
///
/// # Panics
///
/// If it is not after 10 s, by a clock that nobody moves.
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
