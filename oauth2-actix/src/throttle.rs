//! A rate for what the log says and a stranger can cause.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Allows something once in ten seconds.
#[derive(Debug)]
pub(crate) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn allows(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let allowed = last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
        if allowed {
            *last = Some(now);
        }
        allowed
    }
}

/// The rates of what is said of one provider's keys, or of those of all tenants.
#[derive(Debug)]
pub(crate) struct Warnings {
    pub(crate) failures: Throttle,
    /// Keys that are not used. A failure just before must not hide why.
    pub(crate) skipped: Throttle,
}

impl Warnings {
    pub(crate) const fn new() -> Self {
        Self { failures: Throttle::new(), skipped: Throttle::new() }
    }
}

const INTERVAL: Duration = Duration::from_secs(10);
