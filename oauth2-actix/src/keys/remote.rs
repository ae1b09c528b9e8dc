//! The keys of a provider that are fetched, as the request path sees them: a snapshot to read, and
//! a way to wait for a newer one. The fetching is the key engine's.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::{oneshot, watch};

use crate::{
    error::{Error, ErrorKind},
    jose::{key_policy::KeyPolicy, key_set::KeySet},
    keys::{
        cooldown::{Cooldown, Parts, SoughtTokens},
        discovery::Issuer,
        fetcher::{Command, EngineHandle},
        http::url::KeyUrl,
        snapshot::{SnapshotFile, Stored},
        source::{AnySource, TokenFile},
    },
    util::{clock::Clock, log_rate::Warnings, places::Place, telemetry::SourceMetrics},
};

/// Where keys are fetched from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Url(KeyUrl),
    /// Where the issuer's own document says.
    Issuer(Issuer),
    /// The developer's, or a file.
    Custom(Arc<dyn AnySource>),
}

impl Source {
    /// For logs.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Url(url) => url.shown().to_owned(),
            Self::Issuer(issuer) => issuer.shown(),
            Self::Custom(source) => source.shown(),
        }
    }

    /// The configured URL, if there is one.
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
    /// Never: the keys fetched first stay for good.
    Never,
    /// In the background before this age, and when a token names a key that is not there.
    Every(Duration),
    /// For every request.
    Always,
}

/// The times that rule a provider's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) refresh: Refresh,
    /// How long keys serve after the last success, where they are refreshed.
    pub(crate) stale_window: Duration,
    /// Between two attempts that unknown keys cause.
    pub(crate) cooldown: Duration,
    /// For the whole of an attempt.
    pub(crate) timeout: Duration,
}

/// What is set for the keys of one source.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) provider: Arc<str>,
    pub(crate) is_tenant: bool,
    pub(crate) source: Source,
    /// The source, for logs.
    pub(crate) shown: Arc<str>,
    /// What the fetches send to the host of the source's URL, and to no other.
    pub(crate) token_file: Option<TokenFile>,
    pub(crate) policy: KeyPolicy,
    pub(crate) timing: Timing,
    pub(crate) warnings: Arc<Warnings>,
    /// Notified when any source of the provider has other keys.
    pub(crate) changes: Arc<watch::Sender<()>>,
    pub(crate) snapshot_file: Option<SnapshotFile>,
    pub(crate) metrics: SourceMetrics,
}

/// The keys of one source that fetches them. Shared between the request path and the key engine.
#[derive(Debug)]
pub(crate) struct RemoteKeySet {
    /// By which the engine knows it.
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
    snapshot: ArcSwapOption<Snapshot>,
    changes: Arc<watch::Sender<()>>,
    gate: Mutex<Gate>,
    report: Mutex<Report>,
    sought: Mutex<SoughtTokens>,
    waiters: Arc<AtomicUsize>,
    poked: AtomicBool,
    retired: AtomicBool,
}

/// The keys that are used now.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) keys: Arc<KeySet>,
    pub(crate) origin: SnapshotOrigin,
    /// From when on these keys are no longer trusted, on the monotonic clock.
    pub(crate) stale_at: Option<Duration>,
}

/// Where the keys that are used now came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotOrigin {
    /// A fetch of this process. The last one that found them began at this monotonic moment.
    Fetch { began_at: Duration },
    /// The configuration, until the first fetch succeeds.
    Configuration,
    /// A file that an earlier process wrote, until the first fetch succeeds. They were fetched at this
    /// time since the Unix epoch.
    Disk { fetched_at: Duration },
}

impl Snapshot {
    /// Whether a fetch of this process brought the keys.
    pub(crate) fn is_fetched(&self) -> bool {
        matches!(self.origin, SnapshotOrigin::Fetch { .. })
    }

    /// How long ago the fetch that found the keys began.
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

/// What has become of the attempts, for [`OAuth2::key_status`](crate::OAuth2::key_status). Written by the
/// engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Where an issuer's document says that its keys are.
    pub(crate) discovered: Option<String>,
    /// In time since the Unix epoch, as the next.
    pub(crate) last_success: Option<Duration>,
    pub(crate) last_failure: Option<(Duration, String)>,
    /// When the next background attempt is due, on the monotonic clock.
    pub(crate) due: Option<Duration>,
    /// Attempts by their outcome.
    pub(crate) succeeded: u64,
    pub(crate) not_modified: u64,
    pub(crate) failed: u64,
}

/// What keeps requests from causing fetches. Written by the engine, read off the hot path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gate {
    /// No attempt before this moment, because of failures.
    pub(crate) retry_at: Duration,
    /// Between attempts for unknown keys.
    pub(crate) cooldown: Cooldown,
    /// Whether the last attempt failed.
    pub(crate) failing: bool,
    /// Whether an attempt is under way.
    pub(crate) flying: bool,
}

impl Gate {
    /// What a request hears that may not cause a fetch now. None: it may, or join one.
    pub(crate) fn answer(&self, cause: Cause, now: Duration) -> Option<Result<Waited, Error>> {
        if self.flying || matches!(cause, Cause::Fresh | Cause::Start) {
            None
        } else if let Cause::UnknownKey { is_new } = cause {
            let backoff = self.retry_at.checked_sub(now).filter(|wait| !wait.is_zero());
            let retry_after = backoff.or_else(|| self.cooldown.remaining(is_new, now))?;
            // The last attempt failed, or looked for other keys: nothing is known of this one.
            let is_known_missing = !is_new && !self.failing;
            let retry_after = (!is_known_missing).then_some(retry_after);
            Some(Ok(Waited::NotNow { retry_after }))
        } else if now < self.retry_at {
            Some(Err(unavailable(self.retry_at - now)))
        } else {
            None
        }
    }
}

/// Why a request asks for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// There are none, or none fresh enough.
    Missing,
    /// The token's key is not among them. `is_new`: it was not looked for in vain before.
    UnknownKey { is_new: bool },
    /// The operator wants those of the first fetch, whatever the backoff.
    Start,
    /// Only the keys of a fetch that begins now or later will do.
    Fresh,
}

/// How a wait for keys ended well.
#[derive(Debug)]
pub(crate) enum Waited {
    /// A fetch succeeded. `after_request`: it began after the request had arrived.
    Fetched { snapshot: Arc<Snapshot>, after_request: bool },
    /// No fetch may look for the token's key now. `retry_after`: when one may, if nothing is known of
    /// the key; none if it was looked for in vain.
    NotNow { retry_after: Option<Duration> },
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
            gate: Mutex::default(),
            report: Mutex::default(),
            sought: Mutex::default(),
            waiters: Arc::default(),
            poked: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// Uses keys of the configuration until the first fetch succeeds.
    pub(crate) fn begin_with(&self, keys: Arc<KeySet>, clock: &Clock) {
        let stale_at = match self.timing.refresh {
            Refresh::Every(_) => Some(clock.monotonic() + self.timing.stale_window),
            Refresh::Never | Refresh::Always => None,
        };
        let origin = SnapshotOrigin::Configuration;
        self.replace(Arc::new(Snapshot { keys, origin, stale_at }));
    }

    /// Uses the keys that an earlier process has left, if they are not too old. Blocks.
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
        // Also where keys are never refreshed: the provider has not confirmed these.
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
        // A disk may be slow: a fetch that has ended meanwhile brought newer ones.
        let before = self.snapshot.load();
        if before.as_ref().is_none_or(|before| !before.is_fetched()) {
            self.snapshot.compare_and_swap(&before, Some(Arc::new(snapshot)));
        }
    }

    /// Whether a fetch has succeeded.
    pub(crate) fn was_fetched(&self) -> bool {
        self.snapshot.load().as_ref().is_some_and(|snapshot| snapshot.is_fetched())
    }

    /// Whether an unknown key may be looked for: not in keys that are there for good.
    pub(crate) fn looks_for_unknown_keys(&self) -> bool {
        self.timing.refresh != Refresh::Never || !self.was_fetched()
    }

    /// The keys at hand, if they may be used now.
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

    /// Whether no keys at hand are fresh enough.
    pub(crate) fn is_always_fetched(&self) -> bool {
        self.timing.refresh == Refresh::Always
    }

    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        // Plain values: there is no state in which a panic could have left them.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a token asks whose key is not there.
    pub(crate) fn unknown(&self, kid: Option<&str>, token: Parts<'_>) -> Cause {
        Cause::UnknownKey { is_new: !self.sought().contains(kid, token) }
    }

    /// The key ids that were looked for in vain, or were withdrawn.
    pub(crate) fn sought(&self) -> MutexGuard<'_, SoughtTokens> {
        self.sought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing is fetched for it.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    pub(crate) fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for keys without waiting for them. Once at a time, and no sooner than a request that
    /// waits might.
    pub(crate) fn poke(self: &Arc<Self>, engine: &EngineHandle, cause: Cause) {
        if cause != Cause::Fresh
            && self.gate().answer(cause, engine.clock().monotonic()).is_none()
            && !self.poked.swap(true, Ordering::Relaxed)
        {
            engine.send(Command { remote: Arc::clone(self), cause, arrived: 0, reply: None });
        }
    }

    pub(crate) fn poke_done(&self) {
        self.poked.store(false, Ordering::Relaxed);
    }

    /// Waits for keys. `arrived` is the request's place in the engine's order of events.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        engine: &EngineHandle,
        cause: Cause,
        arrived: u64,
    ) -> Result<Waited, Error> {
        // A flood of made-up key ids, or of requests while there are no keys, ends here, without
        // a word to the engine.
        let gate = *self.gate();
        if let Some(answer) = gate.answer(cause, engine.clock().monotonic()) {
            return answer;
        }
        let Some(place) = Place::take(&self.waiters) else {
            tracing::debug!(target: "oauth2_actix", provider = %self.provider, "too many requests wait for keys");
            return Err(unavailable(Duration::ZERO));
        };
        self.ask(engine, cause, arrived, Some(place)).await
    }

    /// A fetch for the operator: nothing holds it back. With [`Cause::Start`], one that is under way
    /// will do.
    pub(crate) async fn fetch_now(
        self: &Arc<Self>,
        engine: &EngineHandle,
        cause: Cause,
    ) -> Result<(), Error> {
        self.ask(engine, cause, engine.ticket(), None).await.map(drop)
    }

    async fn ask(
        self: &Arc<Self>,
        engine: &EngineHandle,
        cause: Cause,
        arrived: u64,
        place: Option<Place>,
    ) -> Result<Waited, Error> {
        let (reply, answer) = oneshot::channel();
        let reply = Reply { reply, _place: place };
        engine.send(Command { remote: Arc::clone(self), cause, arrived, reply: Some(reply) });
        // The engine drops what it cannot answer.
        answer.await.unwrap_or_else(|_| Err(unavailable(Duration::ZERO)))
    }
}

/// 503 with a moment to come back at.
pub(crate) fn unavailable(retry_after: Duration) -> Error {
    ErrorKind::KeysUnavailable { retry_after: retry_after.max(Duration::from_secs(1)) }.into()
}

/// Where the answer to a request that waits goes. It has its place until it is answered, also when
/// the request is gone before: the engine's memory is bounded by places.
#[derive(Debug)]
pub(crate) struct Reply {
    reply: oneshot::Sender<Result<Waited, Error>>,
    _place: Option<Place>,
}

impl Reply {
    pub(crate) fn send(self, answer: Result<Waited, Error>) {
        // Whoever asked may be gone.
        let _ = self.reply.send(answer);
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}
