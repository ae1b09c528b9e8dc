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
    jose::key_document::{KeyDocument, Skipped},
    keys::{
        http::fetch::FetchError,
        remote::{Refresh, RemoteKeySet, Reply, Snapshot, SnapshotOrigin},
    },
    util::clock::Clock,
};

pub(super) struct Slot {
    pub(super) remote: Arc<RemoteKeySet>,
    pub(super) flight: Option<Flight>,
    /// Wait for the flight under way.
    pub(super) waiting: Vec<Waiting>,
    /// Arrived after the flight under way began, and want one that began later.
    pub(super) next: Vec<Waiting>,
    /// When the background refresh or retry is due.
    pub(super) due: Option<Duration>,
    /// When the keys become stale, unless a fetch succeeds before.
    pub(super) stale_at: Option<Duration>,
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
    pub(super) fn new(remote: Arc<RemoteKeySet>) -> Self {
        Self {
            remote,
            flight: None,
            waiting: Vec::new(),
            next: Vec::new(),
            due: None,
            stale_at: None,
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
        let Obtained { document, text, max_age } = obtained;
        let (provider, source) = (&self.remote.provider, &self.remote.shown);
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
        let (is_first, count) = (!self.remote.was_fetched(), keys.len());
        if is_first && !self.remote.is_tenant {
            tracing::info!(target: "oauth2_actix", %provider, %source, keys = count, "keys fetched");
        } else {
            tracing::debug!(
                target: "oauth2_actix", %provider, %source, keys = count, unchanged, "keys fetched"
            );
            if self.failures > 0 {
                tracing::info!(
                    target: "oauth2_actix", %provider, %source, failures = self.failures,
                    "keys are fetched again"
                );
            }
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
            let withdrawn = before.keys.kids().filter(|kid| !keys.has(kid));
            withdrawn.for_each(|kid| sought.insert(Some(kid), (b"", b"")));
        }
        if let Some(file) = &self.remote.snapshot_file {
            let document = text.map(|text| (text, Arc::clone(&keys)));
            file.write(document, clock.unix_time_of(flight.began_at), self.remote.policy);
        }
        let origin = SnapshotOrigin::Fetch { began_at: flight.began_at };
        let snapshot = Arc::new(Snapshot { keys, origin, stale_at });
        self.remote.replace(Arc::clone(&snapshot));
        {
            let mut report = self.remote.report();
            report.last_success = Some(clock.unix_time());
            report.discovered =
                self.memory.discovered.as_ref().map(|(url, _)| url.shown().to_owned());
            if unchanged {
                report.not_modified += 1;
            } else {
                report.succeeded += 1;
            }
        }
        let stale_at = stale_at.map(|moment| clock.unix_time_of(moment));
        self.remote.metrics.fetched(clock.unix_time(), unchanged, stale_at);
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
        let (provider, source) = (&self.remote.provider, &self.remote.shown);
        self.remote.metrics.not_fetched();
        let snapshot = self.remote.snapshot();
        let keys_age_seconds =
            snapshot.and_then(|snapshot| snapshot.age(clock)).map(|age| age.as_secs());
        let (failures, next_try_seconds) = (self.failures, backoff.as_secs_f64());
        // A client's requests can cause attempts, so warnings have a rate.
        if self.remote.warnings.failures.allows() {
            tracing::warn!(
                target: "oauth2_actix", %provider, %source, cause = %error, failures, keys_age_seconds,
                next_try_seconds, "keys cannot be fetched"
            );
        } else {
            tracing::debug!(
                target: "oauth2_actix", %provider, %source, cause = %error, failures, keys_age_seconds,
                next_try_seconds, "keys cannot be fetched"
            );
        }
        match self.remote.timing.refresh {
            // Where every request fetches, none is held back.
            Refresh::Always => {
                self.remote.metrics.unusable();
                (Duration::ZERO, None)
            }
            Refresh::Never if self.remote.was_fetched() => (backoff, None),
            // The first fetch is repeated until it succeeds.
            Refresh::Never | Refresh::Every(_) => (backoff, Some(now + backoff)),
        }
    }

    /// The keys have just become stale. Once in an outage: the next success sets another moment.
    pub(super) fn became_stale(&self, clock: &Clock) {
        let (provider, source) = (&self.remote.provider, &self.remote.shown);
        let snapshot = self.remote.snapshot();
        let keys_age_seconds =
            snapshot.and_then(|snapshot| snapshot.age(clock)).map(|age| age.as_secs());
        let failures = self.failures;
        self.remote.metrics.unusable();
        // A tenant's outage is the tenant's: its log lines have a rate.
        if !self.remote.is_tenant {
            tracing::error!(
                target: "oauth2_actix", %provider, %source, keys_age_seconds, failures,
                "the keys are past their stale window: tokens that need them get 503 until a fetch succeeds"
            );
        } else if self.remote.warnings.failures.allows() {
            tracing::warn!(
                target: "oauth2_actix", %provider, %source, keys_age_seconds, failures,
                "the keys of a tenant are past their stale window: its tokens get 503"
            );
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
