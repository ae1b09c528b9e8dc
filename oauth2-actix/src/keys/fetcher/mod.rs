//! The fetchers: one task for each source, which loads its keys.
//!
//! actix's workers run one thing at a time: a fetch driven by a worker would stop while that worker's handler blocks,
//! and end with the worker. The fetchers run on a thread of their own and own all timers and fetches. Requests send
//! them messages and wait for the result.
//!
//! - `attempt.rs`: one attempt, from discovery to the parsed document; when the metadata document is
//!   read again, and which requests carry the token of a file
//! - `task.rs`: the fetcher of one source: the schedule, and what a success, a 304, a failure
//!   or a panic of a source of the developer changes
//! - `wait.rs`: requests that wait for keys, and how many may

mod attempt;
mod task;
mod wait;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::JoinSet,
};

use self::task::Fetcher;
pub(crate) use self::wait::TokenParts;
use crate::{
    http::client::Clients,
    keys::remote::{FetchReason, GateDecision, RemoteKeySet, Snapshot},
    util::clock::Clock,
};

/// The policy's handle to the fetchers. They end when all of its clones are dropped.
#[derive(Clone, Debug)]
pub(crate) struct Fetchers {
    messages: mpsc::UnboundedSender<Message>,
    order: Arc<AtomicU64>,
    clock: Clock,
}

#[derive(Debug)]
enum Message {
    Fetch(Arc<RemoteKeySet>, FetchRequest),
    /// The source of this id is removed.
    Remove(u64),
}

/// Asks a fetcher for keys.
#[derive(Debug)]
struct FetchRequest {
    reason: FetchReason,
    /// The ticket of the request.
    arrived: u64,
    /// None for a refresh that no request waits for.
    reply: Option<Reply>,
}

/// Where a fetcher sends its answer. It holds the permit of the waiter until then, also if the request is dropped
/// before, so that the number of permits bounds the fetcher's memory.
#[derive(Debug)]
struct Reply {
    sender: oneshot::Sender<Answer>,
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl Reply {
    fn send(self, answer: Answer) {
        // The request may have been dropped.
        let _ = self.sender.send(answer);
    }
}

/// What a fetcher answers. `after_request`: the fetch began after the request had arrived.
#[derive(Debug)]
enum Answer {
    Fetched { snapshot: Arc<Snapshot>, after_request: bool },
    Failed { retry_after: Duration, after_request: bool },
    Held(GateDecision),
}

impl Fetchers {
    /// Returns a handle, and the future that runs the fetchers. Nothing is fetched yet.
    pub(crate) fn new(clients: Arc<Clients>, clock: Clock) -> (Self, impl Future<Output = ()>) {
        let (messages, inbox) = mpsc::unbounded_channel();
        let order = Arc::new(AtomicU64::new(1));
        let context = Context { clients, clock: clock.clone(), order: Arc::clone(&order) };
        (Self { messages, order, clock }, supervise(inbox, context))
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns whether the fetchers run. They end before the policy only by a bug of this crate.
    pub(crate) fn is_alive(&self) -> bool {
        !self.messages.is_closed()
    }

    /// Returns a position in the order of requests and fetches.
    pub(crate) fn ticket(&self) -> u64 {
        self.order.fetch_add(1, Ordering::Relaxed)
    }

    /// Requests a fetch without waiting for it. At most one such request is pending for each source. Cooldown and
    /// backoff apply as for a request that waits.
    pub(crate) fn request_refresh(&self, remote: &Arc<RemoteKeySet>, reason: FetchReason) {
        let is_open =
            || remote.state().gate.decide(reason, self.clock.monotonic()) == GateDecision::Open;
        if reason != FetchReason::Fresh && is_open() && remote.note_refresh_request() {
            self.send(remote, FetchRequest { reason, arrived: 0, reply: None });
        }
    }

    /// Ends all fetches of a source.
    pub(crate) fn remove(&self, remote: &RemoteKeySet) {
        remote.retire();
        let _ = self.messages.send(Message::Remove(remote.id));
    }

    fn send(&self, remote: &Arc<RemoteKeySet>, request: FetchRequest) {
        // If the fetchers have ended, the request is dropped, and its waiter sees the closed channel.
        let _ = self.messages.send(Message::Fetch(Arc::clone(remote), request));
    }
}

/// What all fetchers of a policy share.
#[derive(Clone)]
struct Context {
    clients: Arc<Clients>,
    clock: Clock,
    order: Arc<AtomicU64>,
}

/// Passes each request to the fetcher of its source, and starts that fetcher with the first one.
async fn supervise(mut inbox: mpsc::UnboundedReceiver<Message>, context: Context) {
    let mut requests: HashMap<u64, mpsc::UnboundedSender<FetchRequest>> = HashMap::new();
    let mut fetchers = JoinSet::new();
    loop {
        tokio::select! {
            message = inbox.recv() => match message {
                Some(Message::Fetch(remote, request)) => {
                    if remote.is_retired() {
                        continue;
                    }
                    let sender = requests.entry(remote.id).or_insert_with(|| {
                        let (sender, receiver) = mpsc::unbounded_channel();
                        fetchers.spawn(Fetcher::new(remote, context.clone()).run(receiver));
                        sender
                    });
                    let _ = sender.send(request);
                }
                // Without a sender, the fetcher ends.
                Some(Message::Remove(id)) => drop(requests.remove(&id)),
                None => return,
            },
            Some(ended) = fetchers.join_next() => {
                // A bug of this crate ends the whole thread, which the log and the status show.
                if let Err(error) = ended && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }
}
