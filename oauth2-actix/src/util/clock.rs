//! Wall time for token checks, monotonic time for key ages, and a way to wait for a moment.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where the middleware reads its time. Only tests ever use another than the system's.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    #[cfg(feature = "testing")]
    Manual(super::manual_clock::ManualClock),
}

impl Clock {
    /// Time since the Unix epoch, for `exp` and `nbf`.
    pub(crate) fn unix_time(&self) -> Duration {
        match self {
            // A system clock before 1970 reads as the far future: every token is expired then.
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX),
            #[cfg(feature = "testing")]
            Self::Manual(clock) => clock.unix_time(),
        }
    }

    /// Time since some fixed moment, never going back, for ages, cooldowns and backoff.
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

    /// The time since the Unix epoch at a moment of [`Clock::monotonic`].
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
