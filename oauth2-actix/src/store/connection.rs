//! The handle of a process to its Redis servers.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use redis::Pipeline;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::{
    store::{
        buckets::{Answer, Bucket},
        notices::Subscription,
        server::Resolved,
        thread,
    },
    util::units::Unit,
};

/// A connection to Redis, which all workers and stores of a process share. Clones are cheap, and are the same connection.
///
/// A separate thread connects, and reconnects after a failure: immediately, and then after 100 ms, which double up to 5 s,
/// with jitter. Until then, commands fail immediately.
///
/// ```
/// use oauth2_actix::{dpop::RedisReplayStore, store::RedisServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = RedisServer::new("redis://127.0.0.1:6379").connect()?;
/// let replay = RedisReplayStore::new(&redis);
/// // For a readiness probe.
/// let is_ready = redis.is_ready();
/// # drop((replay, is_ready));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisConnection {
    shared: Arc<Shared>,
}

struct Shared {
    messages: mpsc::UnboundedSender<Message>,
    /// For all commands, of which there are `max_waiting`.
    permits: Arc<Semaphore>,
    max_waiting: usize,
    /// For the deny list alone. A list that cannot be loaded makes all requests fail, however many others wait.
    loads: Arc<Semaphore>,
    additions: Arc<Semaphore>,
    key_prefix: String,
    is_ready: Arc<AtomicBool>,
}

impl RedisConnection {
    /// Starts the thread.
    pub(super) fn start(settings: Resolved) -> io::Result<Self> {
        let (messages, inbox) = mpsc::unbounded_channel();
        let is_ready = Arc::new(AtomicBool::new(false));
        let shared = Shared {
            messages,
            permits: Arc::new(Semaphore::new(settings.max_waiting)),
            max_waiting: settings.max_waiting,
            loads: Arc::new(Semaphore::new(RESERVED_LOADS)),
            additions: Arc::new(Semaphore::new(RESERVED_ADDITIONS)),
            key_prefix: settings.key_prefix.clone(),
            is_ready: Arc::clone(&is_ready),
        };
        thread::start(settings, inbox, is_ready)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns whether the server, or every master of the Cluster, is connected now. It does not connect.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready.load(Ordering::Relaxed)
    }

    pub(super) fn key_prefix(&self) -> &str {
        &self.shared.key_prefix
    }

    /// Makes each server note since when it has lost no keys of the store with this name.
    pub(super) fn register(&self, store: Arc<str>) {
        // Fails only after a panic of the thread, and then each command fails.
        let _ = self.shared.messages.send(Message::Register(store));
    }

    /// Listens to a channel, as long as there is a receiver. A notice may be lost.
    pub(super) fn subscribe(&self, bucket: Bucket, channel: String) -> watch::Receiver<()> {
        let (changed, receiver) = watch::channel(());
        let subscription = Subscription { bucket, channel, changed };
        // Fails only after a panic of the thread, and then each command fails.
        let _ = self.shared.messages.send(Message::Subscribe(subscription));
        receiver
    }

    /// Sends the commands, which are a transaction. [`Answer`] is read from the response to the last one.
    pub(super) fn submit(
        &self,
        store: Arc<str>,
        bucket: Bucket,
        commands: Pipeline,
        reserve: Reserve,
    ) -> Result<oneshot::Receiver<Result<Answer, Unavailable>>, Unavailable> {
        let reserved = match reserve {
            Reserve::None => None,
            Reserve::Loads => Some(&self.shared.loads),
            Reserve::Additions => Some(&self.shared.additions),
        };
        let mut permits = reserved.into_iter().chain([&self.shared.permits]);
        let permit = permits
            .find_map(|permits| Arc::clone(permits).try_acquire_owned().ok())
            .ok_or(Unavailable::Busy(self.shared.max_waiting))?;
        let (reply, answer) = oneshot::channel();
        let job = Job { store, bucket, commands, start: Instant::now(), reply, _permit: permit };
        self.shared.messages.send(Message::Run(job)).map_err(|_| Unavailable::Ended)?;
        Ok(answer)
    }
}

impl fmt::Debug for RedisConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisConnection")
            .field("is_ready", &self.is_ready())
            .field("key_prefix", &self.shared.key_prefix)
            .finish_non_exhaustive()
    }
}

/// Which commands may wait in addition to `max_waiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// None of them.
    None,
    /// Loads of the deny list.
    Loads,
    /// Additions to the deny list.
    Additions,
}

pub(super) enum Message {
    Register(Arc<str>),
    Subscribe(Subscription),
    Run(Job),
}

/// A transaction, and the receiver of its response.
pub(super) struct Job {
    pub(super) store: Arc<str>,
    pub(super) bucket: Bucket,
    pub(super) commands: Pipeline,
    pub(super) start: Instant,
    pub(super) reply: oneshot::Sender<Result<Answer, Unavailable>>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// How many commands of each reserve may wait.
const RESERVED_LOADS: usize = 8;
const RESERVED_ADDITIONS: usize = 64;
/// All reserves.
pub(super) const RESERVED: usize = RESERVED_LOADS + RESERVED_ADDITIONS;

/// Why there is no response. A message of Redis in it contains no credentials.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("Redis cannot be reached: {0}")]
    Down(Arc<str>),
    #[error("Redis did not respond within {}", Unit(*.0))]
    Late(Duration),
    #[error("Redis refused a command: {0}")]
    Refused(Arc<str>),
    #[error("{0} commands wait for Redis already; expected fewer than max_waiting")]
    Busy(usize),
    #[error(
        "Redis was restarted, lost its data or is another server now: its earlier data may be missing"
    )]
    Lost,
    #[error("the thread of the connection to Redis has ended")]
    Ended,
}
