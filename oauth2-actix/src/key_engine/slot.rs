//! One provider, as the engine sees it: who waits, what is under way, and when the next attempt
//! is due.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::task::AbortHandle;

use super::flight::{Memory, Obtained};
use crate::{
    clock::Clock,
    fetch::FetchError,
    key_form::{KeyDocument, Skipped},
    remote_keys::{Refresh, RemoteKeys, Reply, Snapshot},
    telemetry,
};

pub(super) struct Slot {
    pub(super) remote: Arc<RemoteKeys>,
    pub(super) flight: Option<Flight>,
    /// Wait for the flight under way.
    pub(super) waiting: Vec<Waiting>,
    /// Arrived after the flight under way began, and want one that began later.
    pub(super) next: Vec<Waiting>,
    /// When the background refresh or retry is due.
    pub(super) due: Option<Duration>,
    pub(super) memory: Memory,
    /// Waits for the source to say that its keys have changed.
    pub(super) watcher: Option<AbortHandle>,
    /// The ticket of the flight that brought the present snapshot.
    pub(super) snapshot_began: u64,
    /// When the last attempt began.
    pub(super) attempted_at: Duration,
    failures: u32,
    skipped: Vec<Skipped>,
}

pub(super) struct Flight {
    /// Its ticket.
    pub(super) began: u64,
    pub(super) began_at: Duration,
    pub(super) abort: AbortHandle,
}

pub(super) struct Waiting {
    pub(super) arrived: u64,
    pub(super) reply: Reply,
}

impl Slot {
    pub(super) fn new(remote: Arc<RemoteKeys>) -> Self {
        Self {
            remote,
            flight: None,
            waiting: Vec::new(),
            next: Vec::new(),
            due: None,
            memory: Memory::default(),
            watcher: None,
            snapshot_began: 0,
            attempted_at: Duration::ZERO,
            failures: 0,
            skipped: Vec::new(),
        }
    }

    /// Puts the obtained keys in place. The second value is when the next attempt is due.
    pub(super) fn succeeded(
        &mut self,
        flight: &Flight,
        obtained: Obtained,
        clock: &Clock,
    ) -> Result<(Arc<Snapshot>, Option<Duration>), FetchError> {
        let Obtained { document, max_age } = obtained;
        let provider = &self.remote.provider;
        let unchanged = document.is_none();
        let before = self.remote.snapshot();
        let keys = match document {
            Some(KeyDocument { keys, skipped }) => {
                // What may not be said now is said after the next fetch.
                if skipped != self.skipped
                    && Skipped::log(&skipped, provider, &self.remote.warnings.skipped)
                {
                    self.skipped = skipped;
                }
                match &before {
                    // So that the tokens that they have verified stay good.
                    Some(before) if before.keys.is_same_as(&keys) => Arc::clone(&before.keys),
                    _ => Arc::new(keys),
                }
            }
            // An entity tag is only sent where there are keys that came with it.
            None => Arc::clone(&before.as_ref().ok_or(FetchError::Lost)?.keys),
        };
        tracing::debug!(target: "oauth2_actix", %provider, keys = keys.len(), unchanged, "keys fetched");
        if self.failures > 0 {
            tracing::info!(target: "oauth2_actix", %provider, failures = self.failures, "keys are fetched again");
        }
        self.failures = 0;
        {
            let mut gate = self.remote.gate();
            gate.retry_at = Duration::ZERO;
            gate.failing = false;
        }
        let timing = &self.remote.timing;
        let (mut stale_at, mut due) = (None, None);
        if let Refresh::Every(interval) = timing.refresh {
            stale_at = Some(flight.began_at + timing.stale_window);
            let interval = match max_age {
                Some(max_age) => interval.min(max_age.max(MIN_MAX_AGE)),
                None => interval,
            };
            // Early rather than late: at 72 to 80 % of the interval.
            due = Some(flight.began_at + interval.mul_f64(0.8 - 0.08 * random()));
        }
        if let Some(before) = before {
            let mut sought = self.remote.sought();
            before.keys.kids().filter(|kid| !keys.has(kid)).for_each(|kid| sought.insert(kid));
        }
        let snapshot = Arc::new(Snapshot { keys, fetched_at: flight.began_at, stale_at });
        self.remote.replace(Arc::clone(&snapshot));
        {
            let mut report = self.remote.report();
            report.last_success = Some(clock.unix_time());
            report.discovered =
                self.memory.discovered.as_ref().map(|(url, _)| url.shown().to_owned());
            if unchanged {
                report.unchanged += 1;
            } else {
                report.fetched += 1;
            }
        }
        telemetry::keys_fetched(provider, clock.unix_time(), unchanged);
        self.snapshot_began = flight.began;
        Ok((snapshot, due))
    }

    /// Keeps the keys there are, and backs off: by the first value. The second is when the next
    /// attempt is due.
    pub(super) fn failed(
        &mut self,
        error: &FetchError,
        clock: &Clock,
    ) -> (Duration, Option<Duration>) {
        let now = clock.monotonic();
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_BACKOFF * 2_u32.saturating_pow((self.failures - 1).min(16));
        let backoff = doubled.min(MAX_BACKOFF).mul_f64(1.0 - 0.2 * random());
        {
            let mut gate = self.remote.gate();
            gate.retry_at = now + backoff;
            gate.failing = true;
        }
        {
            let mut report = self.remote.report();
            report.last_failure = Some((clock.unix_time(), error.to_string()));
            report.failed += 1;
        }
        let provider = &self.remote.provider;
        telemetry::keys_not_fetched(provider);
        let source = self.remote.source.shown();
        let keys_age =
            self.remote.snapshot().map(|snapshot| now.saturating_sub(snapshot.fetched_at));
        // A stranger's requests can cause attempts, so warnings have a rate.
        if self.remote.warnings.failures.allows() {
            tracing::warn!(
                target: "oauth2_actix", %provider, source, cause = %error, failures = self.failures,
                ?keys_age, "keys cannot be fetched"
            );
        } else {
            tracing::debug!(
                target: "oauth2_actix", %provider, source, cause = %error, failures = self.failures,
                "keys cannot be fetched"
            );
        }
        match self.remote.timing.refresh {
            // Where every request fetches, none is held back.
            Refresh::Always => (Duration::ZERO, None),
            Refresh::Never => (backoff, None),
            Refresh::Every(_) => (backoff, Some(now + backoff)),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let flight = self.flight.as_ref().map(|flight| &flight.abort);
        for task in flight.into_iter().chain(&self.watcher) {
            task.abort();
        }
    }
}

/// From 0 to 1. The standard library's hasher keys are random; nothing secret hangs on this.
fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// A provider's `max-age` shortens the refresh interval to no less than this.
const MIN_MAX_AGE: Duration = Duration::from_secs(60);
