//! A clock that stands still until it is moved.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

/// A clock for [`OAuth2Builder::clock`](crate::OAuth2Builder::clock): wall and monotonic time move
/// together, and only when told to. It starts at the system's time.
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
}

impl ManualClock {
    /// A clock that stands at the system's present time, in whole seconds.
    #[must_use]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = Duration::from_secs(now.as_secs());
        Self(Arc::new(Inner { start, elapsed: watch::Sender::new(Duration::ZERO) }))
    }

    /// Moves the clock on, and wakes every task whose moment has now passed. Advance it when no fetch of
    /// keys is in progress: such a fetch counts the time as its own, and may time out.
    pub fn advance(&self, by: Duration) {
        self.0.elapsed.send_modify(|elapsed| *elapsed += by);
    }

    /// How many wait for a moment to come: what ought to be zero when a test leaves nothing behind.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.0.elapsed.receiver_count()
    }

    /// The clock's time in whole seconds since the Unix epoch.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.unix_time().as_secs()
    }

    pub(crate) fn unix_time(&self) -> Duration {
        self.0.start + self.monotonic()
    }

    pub(crate) fn monotonic(&self) -> Duration {
        *self.0.elapsed.borrow()
    }

    pub(crate) async fn sleep_until(&self, moment: Duration) {
        // The sender lives in self, so this ends by the clock alone.
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
