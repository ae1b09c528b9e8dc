//! The thread that sends all commands. The workers of an API, whose runtimes end with them, hold no connection.

use std::{
    cell::RefCell,
    io, panic,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::{
    sync::mpsc,
    task::LocalSet,
    time::{Instant, timeout_at},
};

use crate::store::{
    buckets::{Answer, Bucket},
    cluster::Cluster,
    connection::{Job, Message, Unavailable},
    link::Link,
    node::{Location, Node},
    notices,
    server::{Resolved, ResolvedTarget},
};

/// Starts the thread. It ends when the sender of the messages is dropped.
pub(super) fn start(
    settings: Resolved,
    inbox: mpsc::UnboundedReceiver<Message>,
    is_ready: Arc<AtomicBool>,
) -> io::Result<()> {
    let (started, start) = std::sync::mpsc::channel();
    thread::Builder::new().name("oauth2-redis".into()).spawn(move || {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                let tasks = LocalSet::new();
                let run = || tasks.block_on(&runtime, run(settings, inbox, Arc::clone(&is_ready)));
                if panic::catch_unwind(panic::AssertUnwindSafe(run)).is_err() {
                    tracing::error!(
                        target: "oauth2_actix",
                        "the thread of the connection to Redis has panicked: requests that need Redis get \
                         503 until a restart"
                    );
                }
                is_ready.store(false, Ordering::Relaxed);
                drop(tasks);
                // Does not wait for a name resolution that is in progress.
                runtime.shutdown_background();
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    })?;
    start.recv().map_err(io::Error::other)?
}

/// What the tasks of the thread share.
pub(super) struct Shared {
    pub(super) settings: Resolved,
    stores: RefCell<Vec<Arc<str>>>,
    servers: Servers,
    is_ready: Arc<AtomicBool>,
}

enum Servers {
    One(Rc<Node>),
    Cluster(Rc<Cluster>),
}

impl Shared {
    pub(super) fn stores(&self) -> Vec<Arc<str>> {
        self.stores.borrow().clone()
    }

    pub(super) fn update_readiness(&self) {
        let is_ready = match &self.servers {
            Servers::One(node) => node.up().is_some(),
            Servers::Cluster(cluster) => cluster.is_ready(),
        };
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Writes markers that are missing, without waiting for it.
    pub(super) fn mark_later(
        self: &Rc<Self>,
        node: &Rc<Node>,
        link: &Rc<Link>,
        stores: Vec<Arc<str>>,
        buckets: Vec<Bucket>,
    ) {
        let (shared, node, link) = (Rc::clone(self), Rc::clone(node), Rc::clone(link));
        tokio::task::spawn_local(async move {
            if let Err(failure) = node.mark(&link, &shared, &stores, &buckets).await {
                node.failed(&link, failure);
            }
        });
    }

    pub(super) async fn node(&self, bucket: Bucket) -> Result<Rc<Node>, Unavailable> {
        match &self.servers {
            Servers::One(node) => Ok(Rc::clone(node)),
            Servers::Cluster(cluster) => cluster.node(bucket).await,
        }
    }

    fn nodes(&self) -> Vec<Rc<Node>> {
        match &self.servers {
            Servers::One(node) => vec![Rc::clone(node)],
            Servers::Cluster(cluster) => cluster.nodes(),
        }
    }
}

async fn run(
    settings: Resolved,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    is_ready: Arc<AtomicBool>,
) {
    let every_bucket = Bucket::all().collect();
    let servers = match settings.target.clone() {
        ResolvedTarget::One(endpoint) => {
            Servers::One(Rc::new(Node::new(Location::Fixed(endpoint), every_bucket, None)))
        }
        ResolvedTarget::Sentinel { sentinels, service } => {
            let location = Location::Sentinel { sentinels, service };
            Servers::One(Rc::new(Node::new(location, every_bucket, None)))
        }
        ResolvedTarget::Cluster(seeds) => Servers::Cluster(Rc::new(Cluster::new(seeds))),
    };
    let shared = Rc::new(Shared { settings, stores: RefCell::default(), servers, is_ready });
    match &shared.servers {
        Servers::One(node) => {
            tokio::task::spawn_local(Rc::clone(node).supervise(Rc::clone(&shared)));
        }
        Servers::Cluster(cluster) => {
            tokio::task::spawn_local(Rc::clone(cluster).supervise(Rc::clone(&shared)));
        }
    }
    while let Some(message) = inbox.recv().await {
        match message {
            Message::Run(job) => {
                tokio::task::spawn_local(execute(Rc::clone(&shared), job));
            }
            Message::Register(store) => register(&shared, store),
            Message::Subscribe(subscription) => {
                tokio::task::spawn_local(notices::listen(Rc::clone(&shared), subscription));
            }
        }
    }
}

fn register(shared: &Rc<Shared>, store: Arc<str>) {
    if shared.stores.borrow().contains(&store) {
        return;
    }
    shared.stores.borrow_mut().push(Arc::clone(&store));
    for node in shared.nodes() {
        if let Some(link) = node.up() {
            let buckets = node.buckets.borrow().clone();
            shared.mark_later(&node, &link, vec![Arc::clone(&store)], buckets);
        }
    }
}

/// Runs one job until its deadline, and sends its response.
async fn execute(shared: Rc<Shared>, job: Job) {
    let limit = shared.settings.response_timeout;
    let used = RefCell::new(None);
    let deadline = Instant::from_std(job.start + limit);
    let answer = match timeout_at(deadline, attempt(&shared, &job, &used)).await {
        Ok(answer) => answer,
        Err(_) => {
            if let Some::<Rc<Link>>(link) = used.take() {
                link.note_timeout();
            }
            Err(Unavailable::Late(limit))
        }
    };
    // The request may be gone.
    let _ = job.reply.send(answer);
}

async fn attempt(
    shared: &Rc<Shared>,
    job: &Job,
    used: &RefCell<Option<Rc<Link>>>,
) -> Result<Answer, Unavailable> {
    let node = shared.node(job.bucket).await?;
    let link = node.link().await?;
    used.replace(Some(Rc::clone(&link)));
    match link.send(&job.commands).await {
        Err(failure) => Err(node.failed(&link, failure)),
        Ok(values) => {
            let answer = Answer::read(values, &link.run_id);
            if matches!(answer, Err(Unavailable::Lost))
                && let Some(reservation) = link.reserve_mark(&job.store, job.bucket)
            {
                let (stores, buckets) = (vec![Arc::clone(&job.store)], vec![job.bucket]);
                let (shared, node) = (Rc::clone(shared), Rc::clone(&node));
                tokio::task::spawn_local(async move {
                    if let Err(failure) = node.mark(&link, &shared, &stores, &buckets).await {
                        node.failed(&link, failure);
                    }
                    drop(reservation);
                });
            }
            answer
        }
    }
}
