//! Wall time for token checks, monotonic time for the age of keys, and a way to wait for a moment.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The clock that the middleware uses. Only tests use another clock than the system's.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    #[cfg(feature = "testing")]
    Manual(super::manual_clock::ManualClock),
}

impl Clock {
    /// Returns the time since the Unix epoch, for `exp` and `nbf`.
    pub(crate) fn unix_time(&self) -> Duration {
        match self {
            // A system clock before 1970 counts as the far future, where every token is expired.
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX),
            #[cfg(feature = "testing")]
            Self::Manual(clock) => clock.unix_time(),
        }
    }

    /// Returns the time since a fixed moment, which never decreases, for ages, cooldowns and backoff.
    pub(crate) fn monotonic(&self) -> Duration {
        match self {
            Self::System => {
                static START: OnceLock<Instant> = OnceLock::new();
                START.get_or_init(Instant::now).elapsed()
            }
            #[cfg(feature = "testing")]
            Self::Manual(clock) => clock.monotonic(),
        }
    }

    /// Converts a moment of [`Clock::monotonic`] to the time since the Unix epoch.
    pub(crate) fn unix_time_of(&self, moment: Duration) -> Duration {
        let (now, unix) = (self.monotonic(), self.unix_time());
        match moment.checked_sub(now) {
            Some(ahead) => unix.saturating_add(ahead),
            None => unix.saturating_sub(now - moment),
        }
    }

    /// Completes once [`Clock::monotonic`] has reached `moment`.
    pub(crate) async fn sleep_until(&self, moment: Duration) {
        match self {
            Self::System => tokio::time::sleep(moment.saturating_sub(self.monotonic())).await,
            #[cfg(feature = "testing")]
            Self::Manual(clock) => clock.sleep_until(moment).await,
        }
    }
}
