//! The actor that fetches keys.
//!
//! actix's workers run one thing at a time: a fetch driven by a worker would stand still with that
//! worker's blocking handler, and die with it. The engine runs on a thread of its own, and owns
//! all timers and flights: requests send it commands and wait for answers.

mod flight;
mod slot;

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
};

use self::{
    flight::{Attempt, Landing},
    slot::{Flight, Slot, Waiting},
};
use crate::{
    keys::{
        http::{client::Clients, fetch::FetchError},
        remote::{Cause, Refresh, RemoteKeySet, Reply, Source, Waited, unavailable},
    },
    util::clock::Clock,
};

/// The engine's end in the policy. The engine ends when all of these are dropped.
#[derive(Clone, Debug)]
pub(crate) struct EngineHandle {
    messages: mpsc::UnboundedSender<Message>,
    order: Arc<AtomicU64>,
    clock: Clock,
}

#[derive(Debug)]
enum Message {
    Command(Command),
    /// The provider of this id is no longer there.
    Forget(u64),
}

/// A wish for keys.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) remote: Arc<RemoteKeySet>,
    pub(crate) cause: Cause,
    /// The request's ticket.
    pub(crate) arrived: u64,
    /// None: nobody waits.
    pub(crate) reply: Option<Reply>,
}

impl EngineHandle {
    /// A handle, and the engine that it commands, to be run. Nothing is fetched yet.
    pub(crate) fn new(clients: Arc<Clients>, clock: Clock) -> (Self, impl Future<Output = ()>) {
        let (messages, inbox) = mpsc::unbounded_channel();
        let order = Arc::new(AtomicU64::new(1));
        let engine = Engine {
            slots: HashMap::new(),
            dues: BTreeSet::new(),
            stales: BTreeSet::new(),
            flights: JoinSet::new(),
            flying: HashMap::new(),
            watchers: JoinSet::new(),
            watching: HashMap::new(),
            order: Arc::clone(&order),
            clients,
            clock: clock.clone(),
        };
        (Self { messages, order, clock }, engine.run(inbox))
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the engine still runs. It ends before the policy does only by a fault of ours.
    pub(crate) fn is_alive(&self) -> bool {
        !self.messages.is_closed()
    }

    /// A place in the order of requests and fetches.
    pub(crate) fn ticket(&self) -> u64 {
        self.order.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn send(&self, command: Command) {
        // A dead engine drops the command, and the request that waits learns it by that.
        let _ = self.messages.send(Message::Command(command));
    }

    /// Ends all work for a provider, for good.
    pub(crate) fn forget(&self, remote: &RemoteKeySet) {
        remote.retire();
        let _ = self.messages.send(Message::Forget(remote.id));
    }
}

struct Engine {
    slots: HashMap<u64, Slot>,
    /// Every slot's due moment.
    dues: BTreeSet<(Duration, u64)>,
    /// When the keys of each slot become stale.
    stales: BTreeSet<(Duration, u64)>,
    flights: JoinSet<Landing>,
    flying: HashMap<Id, u64>,
    /// Each ends when a source says that its keys have changed.
    watchers: JoinSet<()>,
    watching: HashMap<Id, u64>,
    order: Arc<AtomicU64>,
    clients: Arc<Clients>,
    clock: Clock,
}

/// Why a flight begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Somebody waits for it: the answer must be whole.
    Needed,
    /// To see whether anything has changed.
    Refresh,
}

impl Engine {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        loop {
            let firsts = [self.dues.first(), self.stales.first()];
            let due = firsts.into_iter().flatten().map(|(moment, _)| *moment).min();
            let clock = self.clock.clone();
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(Message::Command(command)) => self.handle(command),
                    Some(Message::Forget(id)) => self.forget(id),
                    None => return,
                },
                Some(landed) = self.flights.join_next_with_id() => self.land(landed),
                Some(changed) = self.watchers.join_next_with_id() => self.changed(changed),
                () = async move { clock.sleep_until(due.unwrap_or_default()).await }, if due.is_some() => {
                    self.start_due();
                }
            }
        }
    }

    fn start_due(&mut self) {
        let now = self.clock.monotonic();
        while let Some((moment, id)) = self.stales.first().copied()
            && moment <= now
        {
            self.set_stale_at(id, None);
            if let Some(slot) = self.slots.get(&id) {
                slot.became_stale(&self.clock);
            }
        }
        while let Some((due, id)) = self.dues.first().copied()
            && due <= now
        {
            self.dues.remove(&(due, id));
            self.schedule(id, None);
            if self.slots.get(&id).is_some_and(|slot| slot.flight.is_none()) {
                self.launch(id, Why::Refresh);
            }
        }
    }

    /// Sets when a slot's next background attempt is due.
    fn schedule(&mut self, id: u64, due: Option<Duration>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut slot.due, due) {
            self.dues.remove(&(before, id));
        }
        if let Some(due) = due {
            self.dues.insert((due, id));
        }
        slot.remote.report().due = due;
    }

    /// Sets when a slot's keys become stale.
    fn set_stale_at(&mut self, id: u64, moment: Option<Duration>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut slot.stale_at, moment) {
            self.stales.remove(&(before, id));
        }
        if let Some(moment) = moment {
            self.stales.insert((moment, id));
        }
    }

    fn forget(&mut self, id: u64) {
        self.schedule(id, None);
        self.set_stale_at(id, None);
        if let Some(slot) = self.slots.remove(&id)
            && let Some(flight) = &slot.flight
        {
            self.flying.remove(&flight.abort.id());
        }
    }

    fn handle(&mut self, command: Command) {
        let Command { remote, cause, arrived, reply } = command;
        if remote.is_retired() {
            return;
        }
        let id = remote.id;
        let now = self.clock.monotonic();
        if let Entry::Vacant(vacant) = self.slots.entry(id) {
            // Keys of the configuration or of an earlier process.
            let stale_at = remote.snapshot().and_then(|snapshot| snapshot.stale_at);
            vacant.insert(Slot::new(remote));
            self.set_stale_at(id, stale_at);
        }
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(reply) = reply else {
            // Landing says that a poke is done.
            if slot.flight.is_none() {
                let wanted = matches!(cause, Cause::UnknownKey { .. })
                    || !slot.remote.was_fetched()
                    || slot.remote.usable(&self.clock).is_none();
                let answer = slot.remote.gate().answer(cause, now);
                if wanted && answer.is_none() {
                    self.launch_for(id, cause);
                } else {
                    slot.remote.poke_done();
                }
            }
            return;
        };
        let waiting = Waiting { arrived, reply };
        if let Some(flight) = &slot.flight {
            if cause == Cause::Fresh && flight.began < arrived {
                slot.next.push(waiting);
            } else {
                slot.waiting.push(waiting);
            }
            return;
        }
        // Another request's fetch may have ended meanwhile.
        let newer = slot.snapshot_began > arrived
            || (matches!(cause, Cause::Missing | Cause::Start)
                && slot.remote.usable(&self.clock).is_some());
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
        self.launch_for(id, cause);
    }

    /// A source says that its keys have changed. It is asked at once, but not without end.
    fn changed(&mut self, changed: Result<(Id, ()), JoinError>) {
        let (task, pause) = match changed {
            Ok((task, ())) => (task, MIN_CHANGE_INTERVAL),
            Err(lost) if lost.is_cancelled() => {
                self.watching.remove(&lost.id());
                return;
            }
            // It panicked. Who cannot say that something has changed is asked now and then.
            Err(lost) => (lost.id(), BROKEN_WATCH_INTERVAL),
        };
        let Some(id) = self.watching.remove(&task) else { return };
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.watcher = None;
        if slot.flight.is_some() {
            // Landing watches again.
            return;
        }
        let due = self.clock.monotonic().max(slot.attempted_at + pause);
        let due = slot.due.map_or(due, |before| before.min(due));
        self.schedule(id, Some(due));
    }

    fn launch_for(&mut self, id: u64, cause: Cause) {
        let Some(slot) = self.slots.get(&id) else { return };
        let is_per_request = slot.remote.timing.refresh == Refresh::Always;
        if let Cause::UnknownKey { is_new } = cause {
            let (now, length) = (self.clock.monotonic(), slot.remote.timing.cooldown);
            slot.remote.gate().cooldown.start(is_new, now, length);
        }
        // Where each request fetches, its fetch is the refresh. An operator wants the whole.
        let refreshes = cause == Cause::Fresh && is_per_request;
        self.launch(id, if refreshes { Why::Refresh } else { Why::Needed });
    }

    fn launch(&mut self, id: u64, why: Why) {
        self.schedule(id, None);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let began_at = self.clock.monotonic();
        if let Some(watcher) = slot.watcher.take() {
            watcher.abort();
        }
        slot.remote.gate().flying = true;
        let attempt = Attempt {
            remote: Arc::clone(&slot.remote),
            clients: Arc::clone(&self.clients),
            clock: self.clock.clone(),
            memory: std::mem::take(&mut slot.memory),
            began_at,
            conditional: why == Why::Refresh && slot.remote.snapshot().is_some(),
        };
        let began = self.order.fetch_add(1, Ordering::Relaxed);
        let abort = self.flights.spawn(attempt.run());
        self.flying.insert(abort.id(), id);
        slot.attempted_at = began_at;
        slot.flight = Some(Flight { began, began_at, abort });
    }

    fn land(&mut self, landed: Result<(Id, Landing), JoinError>) {
        let (task, landing) = match landed {
            Ok((task, landing)) => (task, landing),
            // It panicked, in a source of our user's.
            Err(lost) => {
                (lost.id(), Landing { memory: Default::default(), outcome: Err(FetchError::Lost) })
            }
        };
        let Some(id) = self.flying.remove(&task) else { return };
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(flight) = slot.flight.take() else { return };
        let Landing { memory, outcome } = landing;
        slot.memory = memory;
        let took = self.clock.monotonic().saturating_sub(flight.began_at);
        slot.remote.metrics.fetch_took(took);
        let outcome = outcome.and_then(|obtained| slot.succeeded(&flight, obtained, &self.clock));
        let (answer, due) = match outcome {
            Ok((snapshot, due)) => (Ok(snapshot), due),
            Err(error) => {
                let (retry_after, due) = slot.failed(&error, &self.clock);
                (Err(retry_after), due)
            }
        };
        let answered = std::mem::replace(&mut slot.waiting, std::mem::take(&mut slot.next));
        slot.waiting.retain(|waiting| !waiting.reply.is_abandoned());
        let again = !slot.waiting.is_empty();
        slot.remote.poke_done();
        // After the snapshot: whoever sees no flight sees what the last one brought.
        slot.remote.gate().flying = false;
        if let Source::Custom(source) = &slot.remote.source {
            let (source, clock) = (Arc::clone(source), self.clock.clone());
            let watcher = self.watchers.spawn(async move { source.changed(&clock).await });
            self.watching.insert(watcher.id(), id);
            slot.watcher = Some(watcher);
        }
        self.schedule(id, due);
        if let Ok(snapshot) = &answer {
            self.set_stale_at(id, snapshot.stale_at);
        }
        for waiting in answered {
            waiting.reply.send(match &answer {
                Ok(snapshot) => Ok(Waited::Fetched {
                    snapshot: Arc::clone(snapshot),
                    after_request: flight.began > waiting.arrived,
                }),
                Err(retry_after) => Err(unavailable(*retry_after)),
            });
        }
        if again {
            self.launch_for(id, Cause::Fresh);
        }
    }
}

/// Between two attempts that a source's word causes.
const MIN_CHANGE_INTERVAL: Duration = Duration::from_secs(1);

/// Between two attempts where a source cannot say when its keys change.
const BROKEN_WATCH_INTERVAL: Duration = Duration::from_secs(60);
