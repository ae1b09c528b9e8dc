//! The rate of log lines that a client can cause.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::util::clock::Clock;

/// A limiter that allows one log line in ten seconds.
#[derive(Debug)]
pub(crate) struct Throttle {
    clock: Clock,
    last: Mutex<Option<Duration>>,
}

impl Throttle {
    pub(crate) const fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::new(None) }
    }

    pub(crate) fn allows(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        let allowed = last.is_none_or(|last| now.saturating_sub(last) >= INTERVAL);
        if allowed {
            *last = Some(now);
        }
        allowed
    }
}

/// The rates of warnings about the keys of one provider, or of all tenants.
#[derive(Debug)]
pub(crate) struct Warnings {
    pub(crate) failures: Throttle,
    /// The rate of warnings about unusable keys. An earlier failure must not suppress their reason.
    pub(crate) skipped: Throttle,
}

impl Warnings {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { failures: Throttle::new(clock.clone()), skipped: Throttle::new(clock.clone()) }
    }
}

const INTERVAL: Duration = Duration::from_secs(10);

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::util::manual_clock::ManualClock;

    #[test]
    fn throttle_allows_once_in_ten_seconds_of_its_clock() {
        let clock = ManualClock::new();
        let throttle = Throttle::new(Clock::Manual(clock.clone()));
        assert!(throttle.allows());
        assert!(!throttle.allows());
        clock.advance(INTERVAL - Duration::from_millis(1));
        assert!(!throttle.allows());
        clock.advance(Duration::from_millis(1));
        assert!(throttle.allows());
        assert!(!throttle.allows());
    }
}
