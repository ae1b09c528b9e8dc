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
    clock::Clock,
    cooldown::{Cooldown, SoughtKids},
    discovery::Issuer,
    error::{Error, ErrorKind},
    jwk::KeyPolicy,
    key_engine::{Command, EngineHandle},
    key_set::KeySet,
    key_source::AnySource,
    key_url::KeyUrl,
    places::Place,
    throttle::Warnings,
};

/// Where keys are fetched from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Url(KeyUrl),
    /// Where the issuer's own document says.
    Issuer(Issuer),
    /// Our user's, or a file.
    Custom(Arc<dyn AnySource>),
}

impl Source {
    /// For logs.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Url(url) => url.shown().to_owned(),
            Self::Issuer(issuer) => format!("discovery of {}", issuer.as_str()),
            Self::Custom(source) => source.shown(),
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

/// One provider's fetched keys. Shared between the request path and the key engine.
#[derive(Debug)]
pub(crate) struct RemoteKeys {
    /// By which the engine knows it.
    pub(crate) id: u64,
    pub(crate) provider: Arc<str>,
    pub(crate) source: Source,
    pub(crate) policy: KeyPolicy,
    pub(crate) timing: Timing,
    pub(crate) warnings: Arc<Warnings>,
    snapshot: ArcSwapOption<Snapshot>,
    changes: watch::Sender<()>,
    gate: Mutex<Gate>,
    report: Mutex<Report>,
    sought: Mutex<SoughtKids>,
    waiters: Arc<AtomicUsize>,
    poked: AtomicBool,
    retired: AtomicBool,
}

/// Keys as one fetch brought them.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) keys: Arc<KeySet>,
    /// When the last fetch that found them began.
    pub(crate) fetched_at: Duration,
    /// From when on these keys are no longer trusted.
    pub(crate) stale_at: Option<Duration>,
}

/// What has become of the attempts, for [`OAuth2::status`](crate::OAuth2::status). Written by the
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
    pub(crate) fetched: u64,
    pub(crate) unchanged: u64,
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
        if self.flying || cause == Cause::Fresh {
            None
        } else if now < self.retry_at {
            Some(Err(unavailable(self.retry_at - now)))
        } else if let Cause::UnknownKey { is_new } = cause {
            let remaining = self.cooldown.remaining(is_new, now)?;
            Some(if self.failing { Err(unavailable(remaining)) } else { Ok(Waited::CoolingDown) })
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
    /// Whoever asks wants those that a fetch brings which begins now or later.
    Fresh,
}

/// How a wait for keys ended well.
#[derive(Debug)]
pub(crate) enum Waited {
    /// A fetch succeeded. `after_request`: it began after the request had arrived.
    Fetched { snapshot: Arc<Snapshot>, after_request: bool },
    /// No fetch: the last one that an unknown key caused was good, and too short ago.
    CoolingDown,
}

impl RemoteKeys {
    pub(crate) fn new(
        provider: Arc<str>,
        source: Source,
        policy: KeyPolicy,
        timing: Timing,
        warnings: Arc<Warnings>,
    ) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            provider,
            source,
            policy,
            timing,
            warnings,
            snapshot: ArcSwapOption::empty(),
            changes: watch::Sender::new(()),
            gate: Mutex::default(),
            report: Mutex::default(),
            sought: Mutex::default(),
            waiters: Arc::default(),
            poked: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
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
        let generation = snapshot.keys.generation();
        let before = self.snapshot.swap(Some(snapshot));
        if before.is_none_or(|before| before.keys.generation() != generation) {
            self.changes.send_replace(());
        }
    }

    /// Tells when there are other keys.
    #[cfg(feature = "websocket")]
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
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
    pub(crate) fn unknown(&self, kid: Option<&str>) -> Cause {
        // Of a token without a kid it cannot be said.
        Cause::UnknownKey { is_new: kid.is_none_or(|kid| !self.sought().contains(kid)) }
    }

    /// Key ids that were looked for in vain, or were withdrawn.
    pub(crate) fn sought(&self) -> MutexGuard<'_, SoughtKids> {
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

    /// A fetch at our user's own word: nothing holds it back.
    pub(crate) async fn fetch_now(self: &Arc<Self>, engine: &EngineHandle) -> Result<(), Error> {
        self.ask(engine, Cause::Fresh, engine.ticket(), None).await.map(drop)
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
