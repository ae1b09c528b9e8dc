//! The one thread on which keys are fetched.
//!
//! actix's workers run one thing at a time: a fetch driven by a worker would stand still with that
//! worker's blocking handler, and die with it. The engine has a thread and a runtime of its own,
//! and one actor that owns all timers and flights: requests send it commands and wait for answers.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Client;
use tokio::{
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
};

use crate::{
    clock::Clock,
    fetch::{self, FetchError, Fetched},
    key_form::{KeyDocument, Skipped},
    remote_keys::{Cause, Refresh, RemoteKeys, Reply, Snapshot, Waited, unavailable},
};

/// The engine's end in the policy. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct EngineHandle {
    commands: mpsc::UnboundedSender<Command>,
    order: Arc<AtomicU64>,
    clock: Clock,
}

/// A request's wish for keys.
#[derive(Debug)]
pub(crate) struct Command {
    /// Which of the engine's providers.
    pub(crate) slot: usize,
    pub(crate) cause: Cause,
    /// The request's ticket.
    pub(crate) arrived: u64,
    /// None: nobody waits.
    pub(crate) reply: Option<Reply>,
}

impl EngineHandle {
    /// Starts the thread for these providers, each with its client. Nothing is fetched yet.
    pub(crate) fn start(
        providers: Vec<(Arc<RemoteKeys>, Client)>,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let order = Arc::new(AtomicU64::new(1));
        let engine = Engine {
            slots: providers.into_iter().map(Slot::new).collect(),
            flights: JoinSet::new(),
            flying: HashMap::new(),
            order: Arc::clone(&order),
            clock: clock.clone(),
        };
        let (started, start) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("oauth2-keys".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(engine.run(inbox));
                    // Not to wait for a name that is still being resolved.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        start.recv().map_err(std::io::Error::other)??;
        Ok(Self { commands, order, clock })
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A place in the order of requests and fetches.
    pub(crate) fn ticket(&self) -> u64 {
        self.order.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn send(&self, command: Command) {
        // A dead engine drops the command, and the request that waits learns it by that.
        let _ = self.commands.send(command);
    }
}

/// What a flight brings: keys, and how long the provider says that they are fresh.
type Outcome = Result<(KeyDocument, Option<Duration>), FetchError>;

struct Engine {
    slots: Vec<Slot>,
    flights: JoinSet<Outcome>,
    flying: HashMap<Id, usize>,
    order: Arc<AtomicU64>,
    clock: Clock,
}

/// One provider, as the engine sees it.
struct Slot {
    remote: Arc<RemoteKeys>,
    client: Client,
    flight: Option<Flight>,
    /// Wait for the flight under way.
    waiting: Vec<Waiting>,
    /// Arrived after the flight under way began, and want one that began later.
    next: Vec<Waiting>,
    /// When the background refresh or retry is due.
    due: Option<Duration>,
    failures: u32,
    /// The ticket of the flight that brought the present snapshot.
    snapshot_began: u64,
    skipped: Vec<Skipped>,
    warned_at: Option<Duration>,
}

struct Flight {
    began: u64,
    began_at: Duration,
}

struct Waiting {
    arrived: u64,
    reply: Reply,
}

impl Engine {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        loop {
            let due = self.slots.iter().filter_map(|slot| slot.due).min();
            let clock = self.clock.clone();
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.handle(command),
                    None => return,
                },
                Some(landed) = self.flights.join_next_with_id() => self.land(landed),
                () = async move { clock.sleep_until(due.unwrap_or_default()).await }, if due.is_some() => {
                    self.start_due();
                }
            }
        }
    }

    fn start_due(&mut self) {
        let now = self.clock.monotonic();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.due.is_some_and(|due| due <= now) {
                slot.due = None;
                if slot.flight.is_none() {
                    self.launch(index);
                }
            }
        }
    }

    fn handle(&mut self, command: Command) {
        let Command { slot: index, cause, arrived, reply } = command;
        let now = self.clock.monotonic();
        let slot = &mut self.slots[index];
        let Some(reply) = reply else {
            // Landing says that a poke is done.
            if slot.flight.is_none() {
                let wanted =
                    cause == Cause::UnknownKey || slot.remote.usable(&self.clock).is_none();
                let answer = slot.remote.gate().answer(cause, now);
                if wanted && answer.is_none() {
                    self.launch_for(index, cause);
                } else {
                    slot.remote.poke_done();
                }
            }
            return;
        };
        let waiting = Waiting { arrived, reply };
        if let Some(flight) = &slot.flight {
            if cause == Cause::Always && flight.began < arrived {
                slot.next.push(waiting);
            } else {
                slot.waiting.push(waiting);
            }
            return;
        }
        // Another request's fetch may have ended meanwhile.
        let newer = slot.snapshot_began > arrived
            || (cause == Cause::Missing && slot.remote.usable(&self.clock).is_some());
        if newer && let Some(snapshot) = slot.remote.snapshot() {
            let after_request = slot.snapshot_began > arrived;
            waiting.reply.send(Ok(Waited::Fetched { snapshot, after_request }));
            return;
        }
        if let Some(answer) = slot.remote.gate().answer(cause, now) {
            waiting.reply.send(answer);
            return;
        }
        slot.waiting.push(waiting);
        self.launch_for(index, cause);
    }

    fn launch_for(&mut self, index: usize, cause: Cause) {
        if cause == Cause::UnknownKey {
            let cooldown_until = self.clock.monotonic() + COOLDOWN;
            self.slots[index].remote.gate().cooldown_until = cooldown_until;
        }
        self.launch(index);
    }

    fn launch(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let began_at = self.clock.monotonic();
        slot.flight = Some(Flight { began: self.order.fetch_add(1, Ordering::Relaxed), began_at });
        slot.due = None;
        slot.remote.gate().flying = true;
        let (remote, client) = (Arc::clone(&slot.remote), slot.client.clone());
        let clock = self.clock.clone();
        let id = self
            .flights
            .spawn(async move {
                let Fetched { body, max_age } = tokio::select! {
                    fetched = fetch::get(&client, &remote.url) => fetched?,
                    () = clock.sleep_until(began_at + fetch::TIMEOUT) => {
                        return Err(FetchError::Timeout);
                    }
                };
                Ok((KeyDocument::parse(&body, remote.policy)?, max_age))
            })
            .id();
        self.flying.insert(id, index);
    }

    fn land(&mut self, landed: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match landed {
            Ok((id, outcome)) => (id, outcome),
            Err(lost) => (lost.id(), Err(FetchError::Lost)),
        };
        let Some(index) = self.flying.remove(&id) else { return };
        let now = self.clock.monotonic();
        let slot = &mut self.slots[index];
        let Some(flight) = slot.flight.take() else { return };
        let answer = match outcome {
            Ok((document, max_age)) => Ok(slot.succeeded(&flight, document, max_age)),
            Err(error) => Err(slot.failed(now, &error)),
        };
        for waiting in slot.waiting.drain(..) {
            waiting.reply.send(match &answer {
                Ok(snapshot) => Ok(Waited::Fetched {
                    snapshot: Arc::clone(snapshot),
                    after_request: flight.began > waiting.arrived,
                }),
                Err(retry_after) => Err(unavailable(*retry_after)),
            });
        }
        slot.remote.poke_done();
        // After the snapshot: whoever sees no flight sees what the last one brought.
        slot.remote.gate().flying = false;
        slot.waiting = std::mem::take(&mut slot.next);
        slot.waiting.retain(|waiting| !waiting.reply.is_abandoned());
        if !slot.waiting.is_empty() {
            self.launch(index);
        }
    }
}

impl Slot {
    fn new((remote, client): (Arc<RemoteKeys>, Client)) -> Self {
        Self {
            remote,
            client,
            flight: None,
            waiting: Vec::new(),
            next: Vec::new(),
            due: None,
            failures: 0,
            snapshot_began: 0,
            skipped: Vec::new(),
            warned_at: None,
        }
    }

    fn succeeded(
        &mut self,
        flight: &Flight,
        document: KeyDocument,
        max_age: Option<Duration>,
    ) -> Arc<Snapshot> {
        let KeyDocument { keys, skipped } = document;
        let provider = &self.remote.provider;
        if skipped != self.skipped {
            Skipped::log(&skipped, provider);
            self.skipped = skipped;
        }
        tracing::debug!(target: "oauth2_actix", %provider, keys = keys.len(), "keys fetched");
        if self.failures > 0 {
            tracing::info!(target: "oauth2_actix", %provider, failures = self.failures, "keys are fetched again");
        }
        self.failures = 0;
        {
            let mut gate = self.remote.gate();
            gate.retry_at = Duration::ZERO;
            gate.failing = false;
        }
        let mut stale_at = None;
        if let Refresh::Every(interval) = self.remote.refresh {
            stale_at = Some(flight.began_at + stale_window(interval));
            let interval = match max_age {
                Some(max_age) => interval.min(max_age.max(MIN_MAX_AGE)),
                None => interval,
            };
            // Early rather than late: at 72 to 80 % of the interval.
            self.due = Some(flight.began_at + interval.mul_f64(0.8 - 0.08 * random()));
        }
        let snapshot = Arc::new(Snapshot { keys, fetched_at: flight.began_at, stale_at });
        self.remote.replace(Arc::clone(&snapshot));
        self.snapshot_began = flight.began;
        snapshot
    }

    /// Keeps the keys there are, and backs off.
    fn failed(&mut self, now: Duration, error: &FetchError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_BACKOFF * 2_u32.saturating_pow((self.failures - 1).min(16));
        let backoff = doubled.min(MAX_BACKOFF).mul_f64(1.0 - 0.2 * random());
        {
            let mut gate = self.remote.gate();
            gate.retry_at = now + backoff;
            gate.failing = true;
        }
        if matches!(self.remote.refresh, Refresh::Every(_)) {
            self.due = Some(now + backoff);
        }
        let provider = &self.remote.provider;
        let url = self.remote.url.shown();
        let age = self.remote.snapshot().map(|snapshot| now.saturating_sub(snapshot.fetched_at));
        // A stranger's requests can cause attempts, so warnings have a rate.
        if self.warned_at.is_none_or(|moment| now >= moment + WARN_INTERVAL) {
            self.warned_at = Some(now);
            tracing::warn!(
                target: "oauth2_actix", %provider, url, cause = %error, failures = self.failures,
                keys_age = ?age, "keys cannot be fetched"
            );
        } else {
            tracing::debug!(
                target: "oauth2_actix", %provider, url, cause = %error, failures = self.failures,
                "keys cannot be fetched"
            );
        }
        // Where every request fetches, none is held back.
        if self.remote.refresh == Refresh::Always { Duration::ZERO } else { backoff }
    }
}

/// How long keys serve after the last success.
fn stale_window(interval: Duration) -> Duration {
    STALE_WINDOW.max(interval * 2)
}

/// From 0 to 1. The standard library's hasher keys are random; nothing secret hangs on this.
fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Between two attempts that unknown keys cause.
const COOLDOWN: Duration = Duration::from_secs(10);

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// A provider's `max-age` shortens the refresh interval to no less than this.
const MIN_MAX_AGE: Duration = Duration::from_secs(60);

const STALE_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

const WARN_INTERVAL: Duration = Duration::from_secs(10);
