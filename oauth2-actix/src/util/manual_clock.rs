//! A clock that only tests advance.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

/// A clock for [`OAuth2Builder::clock`](crate::OAuth2Builder::clock). It starts at the system's time. Wall
/// time and monotonic time advance together, and only by [`advance`](Self::advance).
///
/// ```
/// use std::time::Duration;
/// use oauth2_actix::testing::ManualClock;
///
/// let clock = ManualClock::new();
/// let before = clock.unix_seconds();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.unix_seconds(), before + 3600);
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Inner>);

struct Inner {
    start: Duration,
    elapsed: watch::Sender<Duration>,
    /// How far the wall time is ahead, in seconds.
    #[cfg(test)]
    ahead: std::sync::atomic::AtomicU64,
}

impl ManualClock {
    /// Creates a clock that shows the system's current time, in whole seconds.
    #[must_use]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = Duration::from_secs(now.as_secs());
        Self(Arc::new(Inner {
            start,
            elapsed: watch::Sender::new(Duration::ZERO),
            #[cfg(test)]
            ahead: std::sync::atomic::AtomicU64::new(0),
        }))
    }

    /// Advances the clock, and wakes every task whose moment has passed. Call it while no fetch of keys is in
    /// progress: the time counts towards the timeout of such a fetch.
    pub fn advance(&self, by: Duration) {
        self.0.elapsed.send_modify(|elapsed| *elapsed += by);
    }

    /// Returns the number of tasks that wait for a moment. It is zero if a test left no task behind.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.0.elapsed.receiver_count()
    }

    /// Returns the clock's time in whole seconds since the Unix epoch.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.unix_time().as_secs()
    }

    pub(crate) fn unix_time(&self) -> Duration {
        self.0.start + self.monotonic() + self.ahead()
    }

    #[cfg(not(test))]
    fn ahead(&self) -> Duration {
        Duration::ZERO
    }

    #[cfg(test)]
    fn ahead(&self) -> Duration {
        Duration::from_secs(self.0.ahead.load(std::sync::atomic::Ordering::SeqCst))
    }

    /// Sets the wall time ahead by this many seconds, as a mistake does. The monotonic time goes on.
    #[cfg(test)]
    pub(crate) fn set_ahead(&self, seconds: u64) {
        self.0.ahead.store(seconds, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn monotonic(&self) -> Duration {
        *self.0.elapsed.borrow()
    }

    pub(crate) async fn sleep_until(&self, moment: Duration) {
        // The sender is a field of `self`, so this cannot fail while it waits.
        let _ = self.0.elapsed.subscribe().wait_for(|elapsed| *elapsed >= moment).await;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ManualClock({:?})", self.unix_time())
    }
}
