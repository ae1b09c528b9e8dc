//! The keys of one fetched source, as the request path sees them: a snapshot to read, and the state of its
//! fetches. The fetcher writes both.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::{Semaphore, watch};

use crate::{
    error::{Error, ErrorKind},
    http::url::KeyUrl,
    jose::{key_policy::KeyPolicy, key_set::KeySet},
    keys::{
        cooldown::{Cooldown, MissingKids, Parts},
        discovery::Issuer,
        snapshot::{SnapshotFile, Stored},
        source::{AnySource, TokenFile},
    },
    util::{clock::Clock, log_rate::Warnings, telemetry::SourceMetrics},
};

/// Where keys are fetched from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Url(KeyUrl),
    /// The `jwks_uri` of the issuer's metadata document.
    Issuer(Issuer),
    /// A file, or code of the developer.
    Custom(Arc<dyn AnySource>),
}

impl Source {
    /// Returns the text for logs.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Url(url) => url.shown().to_owned(),
            Self::Issuer(issuer) => issuer.shown(),
            Self::Custom(source) => source.shown(),
        }
    }

    /// Returns the configured URL, if there is one.
    pub(crate) fn url(&self) -> Option<&KeyUrl> {
        match self {
            Self::Url(url) => Some(url),
            Self::Issuer(issuer) => Some(issuer.url()),
            Self::Custom(_) => None,
        }
    }
}

/// When keys are fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// Never: the keys of the first fetch are used until the process ends.
    Never,
    /// In the background before they reach this age, and when a token names an unknown key.
    Every(Duration),
    /// For every request.
    Always,
}

/// The times that apply to the keys of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) refresh: Refresh,
    /// How long keys are used after the last successful fetch, where they are refreshed.
    pub(crate) stale_window: Duration,
    /// The least time between two fetches that unknown keys cause.
    pub(crate) cooldown: Duration,
    /// The limit for a whole fetch.
    pub(crate) timeout: Duration,
}

/// The settings of one source.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) provider: Arc<str>,
    pub(crate) is_tenant: bool,
    pub(crate) source: Source,
    /// The source, for logs.
    pub(crate) shown: Arc<str>,
    /// The token that fetches send to the host of the source's URL, and to no other.
    pub(crate) token_file: Option<TokenFile>,
    pub(crate) policy: KeyPolicy,
    pub(crate) timing: Timing,
    pub(crate) warnings: Arc<Warnings>,
    /// Notified when the keys of any source of the provider change.
    pub(crate) changes: Arc<watch::Sender<()>>,
    pub(crate) snapshot_file: Option<SnapshotFile>,
    pub(crate) metrics: SourceMetrics,
}

/// The keys of one fetched source. Shared by the request path and the fetcher.
#[derive(Debug)]
pub(crate) struct RemoteKeySet {
    /// Identifies the set to the fetchers.
    pub(crate) id: u64,
    pub(crate) provider: Arc<str>,
    pub(crate) is_tenant: bool,
    pub(crate) source: Source,
    /// The source, for logs.
    pub(crate) shown: Arc<str>,
    pub(crate) token_file: Option<TokenFile>,
    pub(crate) policy: KeyPolicy,
    pub(crate) timing: Timing,
    pub(crate) warnings: Arc<Warnings>,
    pub(crate) snapshot_file: Option<SnapshotFile>,
    pub(crate) metrics: SourceMetrics,
    /// Bounds the requests that wait for this source.
    pub(super) waiters: Arc<Semaphore>,
    snapshot: ArcSwapOption<Snapshot>,
    changes: Arc<watch::Sender<()>>,
    state: Mutex<FetchState>,
    refresh_requested: AtomicBool,
    retired: AtomicBool,
}

/// The keys that are used now.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) keys: Arc<KeySet>,
    pub(crate) origin: SnapshotOrigin,
    /// The monotonic time at which these keys become stale.
    pub(crate) stale_at: Option<Duration>,
}

/// Where the keys of a snapshot came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotOrigin {
    /// A fetch of this process. The last fetch that returned these keys began at this monotonic time.
    Fetch { began_at: Duration },
    /// The configuration, until the first fetch succeeds.
    Configuration,
    /// A file that an earlier process wrote, until the first fetch succeeds. The keys were fetched at this
    /// time since the Unix epoch.
    Disk { fetched_at: Duration },
}

impl Snapshot {
    /// Returns whether a fetch of this process returned the keys.
    pub(crate) fn is_fetched(&self) -> bool {
        matches!(self.origin, SnapshotOrigin::Fetch { .. })
    }

    /// Returns the time since the fetch of the keys began.
    pub(crate) fn age(&self, clock: &Clock) -> Option<Duration> {
        match self.origin {
            SnapshotOrigin::Fetch { began_at } => Some(clock.monotonic().saturating_sub(began_at)),
            SnapshotOrigin::Disk { fetched_at } => {
                Some(clock.unix_time().saturating_sub(fetched_at))
            }
            SnapshotOrigin::Configuration => None,
        }
    }
}

/// The state of a source's fetches. The fetcher writes it; requests read it off the hot path.
#[derive(Debug, Default)]
pub(crate) struct FetchState {
    pub(crate) gate: FetchGate,
    pub(crate) report: FetchReport,
    /// The key ids that no fetch has found, or that were withdrawn.
    pub(crate) missing_kids: MissingKids,
}

/// The outcome of the fetches so far, for [`OAuth2::key_status`](crate::OAuth2::key_status).
#[derive(Clone, Debug, Default)]
pub(crate) struct FetchReport {
    /// The `jwks_uri` of the issuer's document.
    pub(crate) discovered: Option<String>,
    /// Since the Unix epoch, as the time of the last failure.
    pub(crate) last_success: Option<Duration>,
    pub(crate) last_failure: Option<(Duration, String)>,
    /// The monotonic time at which the next background fetch is due.
    pub(crate) due: Option<Duration>,
    /// The number of fetches by outcome.
    pub(crate) succeeded: u64,
    pub(crate) not_modified: u64,
    pub(crate) failed: u64,
}

/// Decides whether a request may cause a fetch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FetchGate {
    /// No fetch before this monotonic time, because of failures.
    pub(crate) retry_at: Duration,
    /// The time between fetches for unknown keys.
    pub(crate) cooldown: Cooldown,
    /// Whether the last fetch failed.
    pub(crate) failing: bool,
    /// Whether a fetch is in progress.
    pub(crate) in_progress: bool,
}

/// What a request may do about keys that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateDecision {
    /// It may start a fetch, or join the one in progress.
    Open,
    /// No fetch may look for the token's key now. `retry_after` is the time until one may. It is `None` if an
    /// earlier fetch has looked for this key without success: the token is rejected.
    Cooldown { retry_after: Option<Duration> },
    /// Fetches fail. The next one may begin after this time.
    Backoff(Duration),
}

impl FetchGate {
    /// Notes that a fetch begins. The cooldown starts in the same step: between the two, a request for the key that this
    /// fetch looks for would be refused.
    pub(crate) fn begin(&mut self, reason: Option<FetchReason>, now: Duration, cooldown: Duration) {
        if let Some(FetchReason::UnknownKey { is_new }) = reason {
            self.cooldown.start(is_new, now, cooldown);
        }
        self.in_progress = true;
    }

    pub(crate) fn decide(&self, reason: FetchReason, now: Duration) -> GateDecision {
        if self.in_progress || matches!(reason, FetchReason::Fresh | FetchReason::Start) {
            return GateDecision::Open;
        }
        if let FetchReason::UnknownKey { is_new } = reason {
            let backoff = self.retry_at.checked_sub(now).filter(|wait| !wait.is_zero());
            return match backoff.or_else(|| self.cooldown.remaining(is_new, now)) {
                None => GateDecision::Open,
                // The last fetch failed, or looked for other keys: this key may still exist.
                Some(wait) if is_new || self.failing => {
                    GateDecision::Cooldown { retry_after: Some(wait) }
                }
                Some(_) => GateDecision::Cooldown { retry_after: None },
            };
        }
        if now < self.retry_at {
            return GateDecision::Backoff(self.retry_at - now);
        }
        GateDecision::Open
    }
}

/// Why a request needs a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchReason {
    /// There are no usable keys.
    Missing,
    /// The token's key is unknown. `is_new`: no earlier fetch has looked for it without success.
    UnknownKey { is_new: bool },
    /// The operator requires that there are keys. No backoff applies.
    Start,
    /// The caller requires keys from a fetch that starts after this request.
    Fresh,
}

impl RemoteKeySet {
    pub(crate) fn new(settings: Settings) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            provider: settings.provider,
            is_tenant: settings.is_tenant,
            source: settings.source,
            shown: settings.shown,
            token_file: settings.token_file,
            policy: settings.policy,
            timing: settings.timing,
            warnings: settings.warnings,
            snapshot_file: settings.snapshot_file,
            metrics: settings.metrics,
            snapshot: ArcSwapOption::empty(),
            changes: settings.changes,
            waiters: Arc::new(Semaphore::new(MAX_WAITERS)),
            state: Mutex::default(),
            refresh_requested: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// Sets the keys of the configuration, which are used until the first fetch succeeds.
    pub(crate) fn begin_with(&self, keys: Arc<KeySet>, clock: &Clock) {
        let stale_at = match self.timing.refresh {
            Refresh::Every(_) => Some(clock.monotonic() + self.timing.stale_window),
            Refresh::Never | Refresh::Always => None,
        };
        let origin = SnapshotOrigin::Configuration;
        self.replace(Arc::new(Snapshot { keys, origin, stale_at }));
    }

    /// Sets the keys of the snapshot file, if they are not stale. Blocks.
    pub(crate) fn restore(&self, clock: &Clock) {
        let Some(file) = &self.snapshot_file else { return };
        let (provider, source) = (&self.provider, &self.shown);
        let Stored { keys, fetched_at } = match file.read(self.policy) {
            Ok(Some(stored)) => stored,
            Ok(None) => return,
            Err(cause) => {
                let file = file.shown();
                tracing::warn!(
                    target: "oauth2_actix", %provider, %source, file, cause, "the key snapshot is not used"
                );
                return;
            }
        };
        let now = clock.unix_time();
        let Some(age) = now.checked_sub(fetched_at) else {
            let file = file.shown();
            tracing::warn!(
                target: "oauth2_actix", %provider, %source, file,
                "the key snapshot is not used: its time lies in the future"
            );
            return;
        };
        let keys_age_seconds = age.as_secs();
        // This applies also without a refresh, since the provider has not confirmed these keys.
        let Some(left) = self.timing.stale_window.checked_sub(age).filter(|left| !left.is_zero())
        else {
            tracing::warn!(
                target: "oauth2_actix", %provider, %source, keys_age_seconds,
                stale_window_seconds = self.timing.stale_window.as_secs(),
                "the key snapshot is not used: it is older than the stale window"
            );
            return;
        };
        tracing::info!(
            target: "oauth2_actix", %provider, %source, keys = keys.len(), keys_age_seconds,
            "keys of the snapshot are used until a fetch succeeds"
        );
        let snapshot = Snapshot {
            keys: Arc::new(keys),
            origin: SnapshotOrigin::Disk { fetched_at },
            stale_at: Some(clock.monotonic() + left),
        };
        // A slow disk must not replace the keys of a fetch that has ended in the meantime.
        let before = self.snapshot.load();
        if before.as_ref().is_none_or(|before| !before.is_fetched()) {
            self.snapshot.compare_and_swap(&before, Some(Arc::new(snapshot)));
        }
    }

    /// Returns whether a fetch has succeeded.
    pub(crate) fn was_fetched(&self) -> bool {
        self.snapshot.load().as_ref().is_some_and(|snapshot| snapshot.is_fetched())
    }

    /// Returns whether a fetch may look for an unknown key. Not where fetched keys are never refreshed.
    pub(crate) fn looks_for_unknown_keys(&self) -> bool {
        self.timing.refresh != Refresh::Never || !self.was_fetched()
    }

    /// Returns the keys, if they may be used now.
    pub(crate) fn usable(&self, clock: &Clock) -> Option<Guard<Option<Arc<Snapshot>>>> {
        if self.timing.refresh == Refresh::Always {
            return None;
        }
        let guard = self.snapshot.load();
        let snapshot = guard.as_ref()?;
        let stale = snapshot.stale_at.is_some_and(|moment| clock.monotonic() >= moment);
        (!stale).then_some(guard)
    }

    pub(crate) fn replace(&self, snapshot: Arc<Snapshot>) {
        let key_set_id = snapshot.keys.id();
        let before = self.snapshot.swap(Some(snapshot));
        if before.is_none_or(|before| before.keys.id() != key_set_id) {
            self.changes.send_replace(());
        }
    }

    /// Returns whether every request needs a fetch of its own.
    pub(crate) fn is_always_fetched(&self) -> bool {
        self.timing.refresh == Refresh::Always
    }

    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// Locks the state of the fetches.
    pub(crate) fn state(&self) -> MutexGuard<'_, FetchState> {
        // It holds plain values, which no panic leaves half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reason for a fetch for a token whose key is unknown.
    pub(crate) fn unknown_key(&self, kid: Option<&str>, token: Parts<'_>) -> FetchReason {
        FetchReason::UnknownKey { is_new: !self.state().missing_kids.contains(kid, token) }
    }

    /// Marks the source as removed, so that no fetch starts any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Returns whether no refresh was requested since the last fetch ended, and notes that one is now.
    pub(super) fn note_refresh_request(&self) -> bool {
        !self.refresh_requested.swap(true, Ordering::Relaxed)
    }

    pub(super) fn clear_refresh_request(&self) {
        self.refresh_requested.store(false, Ordering::Relaxed);
    }
}

/// Returns the error for a request that cannot be decided without keys: 503 with `Retry-After`.
pub(crate) fn unavailable(retry_after: Duration) -> Error {
    ErrorKind::KeysUnavailable { retry_after: retry_after.max(Duration::from_secs(1)) }.into()
}

/// The number of requests that may wait for one source at once. A waiter holds its connection and a parsed token;
/// further requests get 503.
pub(crate) const MAX_WAITERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_for_a_new_key_joins_the_fetch_that_has_just_begun() {
        let now = Duration::from_secs(100);
        let unknown = FetchReason::UnknownKey { is_new: true };
        let mut gate = FetchGate::default();
        gate.begin(Some(unknown), now, Duration::from_secs(10));
        assert_eq!(gate.decide(unknown, now), GateDecision::Open);
        gate.in_progress = false;
        let retry_after = Some(Duration::from_secs(10));
        assert_eq!(gate.decide(unknown, now), GateDecision::Cooldown { retry_after });
    }
}
