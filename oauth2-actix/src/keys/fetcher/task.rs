//! The fetcher of one source: which requests wait, which fetch is in progress, and when the next one is due.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

use super::{
    Answer, Context, FetchRequest, Reply,
    attempt::{Attempt, AttemptMemory, FetchOutcome, Obtained},
};
use crate::{
    jose::key_document::{KeyDocument, Skipped},
    keys::{
        error::FetchError,
        remote::{
            FetchReason, GateDecision, Refresh, RemoteKeySet, Snapshot, SnapshotOrigin, Source,
        },
    },
    util::backoff::{backoff, random},
};

pub(super) struct Fetcher {
    remote: Arc<RemoteKeySet>,
    context: Context,
    in_progress: Option<InProgress>,
    /// The task of the fetch in progress. A task of its own, since a source of the developer may panic.
    fetch: JoinSet<FetchOutcome>,
    /// The requests that wait for the fetch in progress.
    waiting: Vec<Waiting>,
    /// The monotonic time at which the background refresh or retry is due.
    due: Option<Duration>,
    /// The monotonic time at which the keys become stale, unless a fetch succeeds before.
    stale_at: Option<Duration>,
    memory: AttemptMemory,
    /// The task that ends when the source reports that its keys have changed.
    watcher: JoinSet<()>,
    /// The ticket of the fetch that returned the present snapshot.
    snapshot_ticket: u64,
    /// The monotonic time at which the last fetch began.
    last_began_at: Duration,
    failures: u32,
    /// Whether the source has reported a change that no fetch has loaded yet.
    has_changed: bool,
    skipped: Vec<Skipped>,
}

#[derive(Clone, Copy)]
struct InProgress {
    ticket: u64,
    began_at: Duration,
}

struct Waiting {
    arrived: u64,
    reply: Reply,
}

impl Fetcher {
    pub(super) fn new(remote: Arc<RemoteKeySet>, context: Context) -> Self {
        Self {
            // Keys of the configuration or of an earlier process.
            stale_at: remote.snapshot().and_then(|snapshot| snapshot.stale_at),
            remote,
            context,
            in_progress: None,
            fetch: JoinSet::new(),
            waiting: Vec::new(),
            due: None,
            memory: AttemptMemory::default(),
            watcher: JoinSet::new(),
            snapshot_ticket: 0,
            last_began_at: Duration::ZERO,
            failures: 0,
            has_changed: false,
            skipped: Vec::new(),
        }
    }

    /// Runs until the source is removed. Dropping the future ends the fetch in progress.
    pub(super) async fn run(mut self, mut requests: mpsc::UnboundedReceiver<FetchRequest>) {
        loop {
            let deadline = [self.due, self.stale_at].into_iter().flatten().min();
            let clock = self.context.clock.clone();
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.handle(request),
                    None => return,
                },
                Some(ended) = self.fetch.join_next() => self.finish_fetch(ended),
                Some(ended) = self.watcher.join_next() => self.keys_changed(ended),
                () = async move { clock.sleep_until(deadline.unwrap_or_default()).await }, if deadline.is_some() => {
                    self.deadline_passed();
                }
            }
        }
    }

    fn deadline_passed(&mut self) {
        let now = self.context.clock.monotonic();
        if self.stale_at.is_some_and(|moment| moment <= now) {
            self.stale_at = None;
            self.log_stale();
        }
        if self.due.is_some_and(|due| due <= now) {
            self.schedule(None);
            if self.in_progress.is_none() {
                self.start_fetch(None);
            }
        }
    }

    /// Sets when the next background fetch is due.
    fn schedule(&mut self, due: Option<Duration>) {
        self.due = due;
        self.remote.state().report.due = due;
    }

    fn handle(&mut self, FetchRequest { reason, arrived, reply }: FetchRequest) {
        if self.remote.is_retired() {
            return;
        }
        let clock = &self.context.clock;
        let now = clock.monotonic();
        let Some(reply) = reply else {
            // The end of a fetch clears the request.
            if self.in_progress.is_none() {
                let is_needed = matches!(reason, FetchReason::UnknownKey { .. })
                    || !self.remote.was_fetched()
                    || self.remote.usable(clock).is_none();
                let decision = self.remote.state().gate.decide(reason, now);
                if is_needed && decision == GateDecision::Open {
                    self.start_fetch(Some(reason));
                } else {
                    self.remote.clear_refresh_request();
                }
            }
            return;
        };
        if self.in_progress.is_some() {
            self.waiting.push(Waiting { arrived, reply });
            return;
        }
        // The fetch of another request may have ended in the meantime.
        let after_request = self.snapshot_ticket > arrived;
        let is_enough = after_request
            || (matches!(reason, FetchReason::Missing | FetchReason::Start)
                && self.remote.usable(clock).is_some());
        if is_enough && let Some(snapshot) = self.remote.snapshot() {
            reply.send(Answer::Fetched { snapshot, after_request });
            return;
        }
        let decision = self.remote.state().gate.decide(reason, now);
        if decision != GateDecision::Open {
            reply.send(Answer::Held(decision));
            return;
        }
        self.waiting.push(Waiting { arrived, reply });
        self.start_fetch(Some(reason));
    }

    /// Schedules a fetch after the source has reported that its keys have changed. The interval is bounded.
    fn keys_changed(&mut self, ended: Result<(), JoinError>) {
        let pause = match ended {
            Ok(()) => MIN_CHANGE_INTERVAL,
            // A fetch has begun, and watches again when it ends.
            Err(error) if error.is_cancelled() => return,
            // The watcher panicked: fall back to polling.
            Err(_) => BROKEN_WATCH_INTERVAL,
        };
        if self.in_progress.is_some() {
            return;
        }
        self.has_changed = true;
        let due = self.context.clock.monotonic().max(self.last_began_at + pause);
        self.schedule(Some(self.due.map_or(due, |before| before.min(due))));
    }

    /// Starts a fetch. `None` is the background refresh.
    fn start_fetch(&mut self, reason: Option<FetchReason>) {
        let timing = self.remote.timing;
        // A conditional fetch may be answered by *not modified*. With a zero refresh interval, every fetch for fresh
        // keys is conditional. With another interval, only the operator asks for fresh keys, and gets the whole
        // document.
        let is_conditional = match reason {
            None => true,
            Some(reason) => reason == FetchReason::Fresh && timing.refresh == Refresh::Always,
        };
        self.schedule(None);
        // The new keys are watched once they are fetched.
        self.watcher = JoinSet::new();
        let began_at = self.context.clock.monotonic();
        let ticket = self.context.order.fetch_add(1, Ordering::Relaxed);
        self.remote.state().gate.begin(reason, began_at, timing.cooldown);
        let attempt = Attempt {
            remote: Arc::clone(&self.remote),
            clients: Arc::clone(&self.context.clients),
            clock: self.context.clock.clone(),
            memory: std::mem::take(&mut self.memory),
            began_at,
            conditional: is_conditional && self.remote.snapshot().is_some(),
        };
        self.fetch.spawn(attempt.run());
        self.last_began_at = began_at;
        self.in_progress = Some(InProgress { ticket, began_at });
    }

    fn finish_fetch(&mut self, ended: Result<FetchOutcome, JoinError>) {
        let Some(fetch) = self.in_progress.take() else { return };
        // A key source of the developer may panic.
        let FetchOutcome { memory, outcome } = ended.unwrap_or_else(|_| FetchOutcome {
            memory: AttemptMemory::default(),
            outcome: Err(FetchError::Panicked),
        });
        self.memory = memory;
        let took = self.context.clock.monotonic().saturating_sub(fetch.began_at);
        self.remote.metrics.fetch_took(took);
        let (result, due) = match outcome.and_then(|obtained| self.succeeded(fetch, obtained)) {
            Ok((snapshot, due)) => (Ok(snapshot), due),
            Err(error) => {
                let (retry_after, due) = self.failed(&error);
                (Err(retry_after), due)
            }
        };
        self.remote.clear_refresh_request();
        // After the snapshot: a request that sees no fetch in progress sees the keys of the last one.
        self.remote.state().gate.in_progress = false;
        if let Source::Custom(source) = &self.remote.source {
            let (source, clock) = (Arc::clone(source), self.context.clock.clone());
            self.watcher.spawn(async move { source.changed(&clock).await });
        }
        self.schedule(due);
        if let Ok(snapshot) = &result {
            self.stale_at = snapshot.stale_at;
        }
        for Waiting { arrived, reply } in std::mem::take(&mut self.waiting) {
            let after_request = fetch.ticket > arrived;
            reply.send(match &result {
                Ok(snapshot) => Answer::Fetched { snapshot: Arc::clone(snapshot), after_request },
                Err(retry_after) => Answer::Failed { retry_after: *retry_after, after_request },
            });
        }
    }

    /// Replaces the snapshot by the obtained keys. The second value is when the next fetch is due.
    fn succeeded(
        &mut self,
        fetch: InProgress,
        obtained: Obtained,
    ) -> Result<(Arc<Snapshot>, Option<Duration>), FetchError> {
        let Obtained { document, text, max_age } = obtained;
        let clock = &self.context.clock;
        let (provider, source) = (&self.remote.provider, &self.remote.shown);
        let not_modified = document.is_none();
        let before = self.remote.snapshot();
        let keys = match document {
            Some(KeyDocument { mut keys, skipped }) => {
                // A warning that exceeds the rate is logged after the next fetch.
                if skipped != self.skipped
                    && Skipped::log(&skipped, provider, &self.remote.warnings.skipped)
                {
                    self.skipped = skipped;
                }
                match &before {
                    // Tokens that these keys have verified stay in the cache.
                    Some(before) if before.keys.is_same_as(&keys) => Arc::clone(&before.keys),
                    Some(before) => {
                        keys.keep_bindings_of(&before.keys);
                        Arc::new(keys)
                    }
                    None => Arc::new(keys),
                }
            }
            // An entity tag is only sent if there are keys that came with it.
            None => Arc::clone(&before.as_ref().ok_or(FetchError::Panicked)?.keys),
        };
        let (is_first, count) = (!self.remote.was_fetched(), keys.len());
        if is_first && !self.remote.is_tenant {
            tracing::info!(target: "oauth2_actix", %provider, %source, keys = count, "keys fetched");
        } else {
            tracing::debug!(
                target: "oauth2_actix", %provider, %source, keys = count, unchanged = not_modified,
                "keys fetched"
            );
            if self.failures > 0 {
                tracing::info!(
                    target: "oauth2_actix", %provider, %source, failures = self.failures,
                    "keys are fetched again"
                );
            }
        }
        self.failures = 0;
        self.has_changed = false;
        let timing = &self.remote.timing;
        let (mut stale_at, mut due) = (None, None);
        if let Refresh::Every(interval) = timing.refresh {
            stale_at = Some(fetch.began_at + timing.stale_window);
            let interval = match max_age {
                Some(max_age) => interval.min(max_age.max(MIN_MAX_AGE)),
                None => interval,
            };
            // Early rather than late: at 72 to 80 % of the interval.
            due = Some(fetch.began_at + interval.mul_f64(0.8 - 0.08 * random()));
        }
        if let Some(file) = &self.remote.snapshot_file {
            let document = text.map(|text| (text, Arc::clone(&keys)));
            file.write(document, clock.unix_time_of(fetch.began_at), self.remote.policy);
        }
        {
            let mut state = self.remote.state();
            state.gate.retry_at = Duration::ZERO;
            state.gate.failing = false;
            if let Some(before) = before {
                for withdrawn in before.keys.kids().filter(|kid| !keys.has(kid)) {
                    state.missing_kids.insert(Some(withdrawn), (b"", b""));
                }
            }
        }
        let origin = SnapshotOrigin::Fetch { began_at: fetch.began_at };
        let snapshot = Arc::new(Snapshot { keys, origin, stale_at });
        self.remote.replace(Arc::clone(&snapshot));
        // Before the report, so that the metrics are never behind the status.
        let stale_at = stale_at.map(|moment| clock.unix_time_of(moment));
        self.remote.metrics.fetched(clock.unix_time(), not_modified, stale_at);
        {
            let report = &mut self.remote.state().report;
            report.last_success = Some(clock.unix_time());
            report.discovered = self.memory.discovered_url().map(str::to_owned);
            if not_modified {
                report.not_modified += 1;
            } else {
                report.succeeded += 1;
            }
        }
        self.snapshot_ticket = fetch.ticket;
        Ok((snapshot, due))
    }

    /// Keeps the present keys, and backs off for the returned time. The second value is when the next fetch is due.
    fn failed(&mut self, error: &FetchError) -> (Duration, Option<Duration>) {
        let clock = &self.context.clock;
        let now = clock.monotonic();
        self.failures = self.failures.saturating_add(1);
        let backoff = backoff(self.failures);
        // Before the report, as in `succeeded`.
        self.remote.metrics.not_fetched();
        {
            let mut state = self.remote.state();
            state.gate.retry_at = now + backoff;
            state.gate.failing = true;
            state.report.last_failure = Some((clock.unix_time(), error.to_string()));
            state.report.failed += 1;
        }
        let (provider, source) = (&self.remote.provider, &self.remote.shown);
        let keys_age_seconds = self.keys_age_seconds();
        let (failures, next_try_seconds) = (self.failures, backoff.as_secs_f64());
        // Requests of clients can cause fetches, so warnings have a rate.
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
            // Every request must fetch, so there is no backoff.
            Refresh::Always => {
                self.remote.metrics.unusable();
                (Duration::ZERO, None)
            }
            Refresh::Never if self.remote.was_fetched() && !self.has_changed => (backoff, None),
            // The first fetch, and one after a change, is retried until it succeeds.
            Refresh::Never if self.remote.was_fetched() => {
                (backoff, Some(now + backoff.max(MIN_CHANGE_INTERVAL)))
            }
            Refresh::Never | Refresh::Every(_) => (backoff, Some(now + backoff)),
        }
    }

    /// Logs that the keys have become stale. Once in an outage, since only a success sets the next time.
    fn log_stale(&self) {
        let (provider, source) = (&self.remote.provider, &self.remote.shown);
        let (keys_age_seconds, failures) = (self.keys_age_seconds(), self.failures);
        self.remote.metrics.unusable();
        // Tenants share one rate of log lines, since their number is not bounded.
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

    fn keys_age_seconds(&self) -> Option<u64> {
        Some(self.remote.snapshot()?.age(&self.context.clock)?.as_secs())
    }
}

/// A provider's `max-age` shortens the refresh interval to no less than this.
const MIN_MAX_AGE: Duration = Duration::from_secs(60);

/// The least time between two fetches that a source's report of changes causes.
const MIN_CHANGE_INTERVAL: Duration = Duration::from_secs(1);

/// The time between two fetches where the watcher of a source fails.
const BROKEN_WATCH_INTERVAL: Duration = Duration::from_secs(60);
