//! The actor that looks issuers up, one lookup for each at a time, on the thread that fetches keys.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
};

use super::table::{IssuerLookup, Table};
use crate::{
    config::{
        error::ConfigError,
        tenants::{AnyLookup, Tenant},
    },
    keys::{fetcher::Fetchers, remote::FetchReason},
    provider::{Defaults, ResolvedProvider},
    util::{clock::Clock, log_rate::Throttle, places::Place, units::Unit},
};

/// A wish to have an issuer looked up.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) issuer: String,
    /// Whether something is known of it already.
    pub(super) again: bool,
    /// None: nobody waits.
    pub(super) reply: Option<Reply>,
    /// Kept until the lookup has ended, also when the request is gone before.
    pub(super) place: Option<Place>,
}

type Reply = oneshot::Sender<IssuerLookup>;
type Waiting = (Option<Reply>, Option<Place>);

pub(super) struct Lookups {
    asking: Arc<Asking>,
    fetchers: Fetchers,
    /// Who waits for which issuer, whether it is being looked up or in a queue.
    waiting: HashMap<String, Vec<Waiting>>,
    /// Issuers of tenants that were known, each with the moment at which it has waited for too long.
    /// They do not wait behind unknown_issuers.
    known: VecDeque<(String, Duration)>,
    /// Others.
    unknown_issuers: VecDeque<(String, Duration)>,
    running: JoinSet<Answer>,
    issuers: HashMap<Id, String>,
    sweep_at: Duration,
    warnings: Throttle,
}

/// What a lookup needs, on its way.
struct Asking {
    lookup: Arc<dyn AnyLookup>,
    table: Arc<Table>,
    defaults: Defaults,
    /// The names of the providers known from the start.
    taken: HashSet<String>,
    clock: Clock,
}

/// How a lookup ended. All texts are made in its own task: code of our user's that panics there ends
/// that task alone.
type Answer = Result<Option<(Tenant, Arc<ResolvedProvider>)>, Failure>;

enum Failure {
    Lookup(String),
    /// There is a tenant, but its provider cannot be used.
    Unusable(String),
}

impl Lookups {
    pub(super) fn new(
        lookup: Arc<dyn AnyLookup>,
        table: Arc<Table>,
        defaults: Defaults,
        taken: HashSet<String>,
        fetchers: Fetchers,
    ) -> Self {
        let clock = fetchers.clock().clone();
        Self {
            sweep_at: clock.monotonic() + SWEEP_INTERVAL,
            warnings: Throttle::new(clock.clone()),
            asking: Arc::new(Asking { lookup, table, defaults, taken, clock }),
            fetchers,
            waiting: HashMap::new(),
            known: VecDeque::new(),
            unknown_issuers: VecDeque::new(),
            running: JoinSet::new(),
            issuers: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Ask>) {
        loop {
            let clock = self.asking.clock.clone();
            let overdue =
                [&self.known, &self.unknown_issuers].into_iter().filter_map(VecDeque::front);
            let next = overdue.map(|(_, overdue)| *overdue).fold(self.sweep_at, Duration::min);
            tokio::select! {
                ask = inbox.recv() => match ask {
                    Some(ask) => self.ask(ask),
                    None => return,
                },
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                () = async move { clock.sleep_until(next).await } => self.tidy(),
            }
            self.start_waiting();
        }
    }

    fn ask(&mut self, Ask { issuer, again, reply, place }: Ask) {
        // Another request's lookup may have ended meanwhile.
        if !again {
            let (found, _) = self.asking.table.find(&issuer);
            if !matches!(found, IssuerLookup::NotLookedUp) {
                if let Some(reply) = reply {
                    let _ = reply.send(found);
                }
                return;
            }
        }
        if !self.waiting.contains_key(&issuer) {
            let is_known = self.asking.table.is_known(&issuer);
            let queue = if is_known { &mut self.known } else { &mut self.unknown_issuers };
            let overdue = self.asking.clock.monotonic() + self.asking.defaults.timeout;
            queue.push_back((issuer.clone(), overdue));
        }
        self.waiting.entry(issuer).or_default().push((reply, place));
    }

    fn start_waiting(&mut self) {
        loop {
            let running = self.running.len();
            let next = if running < MAX_RUNNING && !self.known.is_empty() {
                self.known.pop_front()
            } else if running < MAX_STRANGERS_RUNNING {
                self.unknown_issuers.pop_front()
            } else {
                None
            };
            let Some((issuer, _)) = next else { return };
            let asking = Arc::clone(&self.asking);
            let asked = issuer.clone();
            let task = self.running.spawn(async move { asking.answer(&asked).await });
            self.issuers.insert(task.id(), issuer);
        }
    }

    /// Answers who has waited for too long, and sweeps the table now and then.
    fn tidy(&mut self) {
        let now = self.asking.clock.monotonic();
        let mut late = Vec::new();
        for queue in [&mut self.known, &mut self.unknown_issuers] {
            while queue.front().is_some_and(|(_, overdue)| *overdue <= now) {
                late.extend(queue.pop_front().map(|(issuer, _)| issuer));
            }
        }
        for issuer in late {
            self.reply(&issuer, &IssuerLookup::Unavailable(Duration::ZERO));
        }
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_INTERVAL;
            for gone in self.asking.table.sweep() {
                self.forget(&gone);
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, Answer), JoinError>) {
        let (task, answer) = match ended {
            Ok(ended) => ended,
            Err(lost) => (lost.id(), Err(Failure::Lookup("the lookup panicked".to_owned()))),
        };
        let Some(issuer) = self.issuers.remove(&task) else { return };
        let found = self.conclude(&issuer, answer);
        self.reply(&issuer, &found);
    }

    fn reply(&mut self, issuer: &str, found: &IssuerLookup) {
        for (reply, _place) in self.waiting.remove(issuer).unwrap_or_default() {
            if let Some(reply) = reply {
                let _ = reply.send(found.clone());
            }
        }
    }

    /// Puts down what a lookup said, and what requests hear.
    fn conclude(&self, issuer: &str, answer: Answer) -> IssuerLookup {
        let table = &self.asking.table;
        let gone = match answer {
            Ok(Some((tenant, mut policy))) => {
                // Between the lookup's end and now, its entry may have gone, and its keys with it.
                if policy.remotes().any(|remote| remote.is_retired()) {
                    match self.asking.policy(issuer, &tenant) {
                        Ok(anew) => policy = anew,
                        Err(_) => return IssuerLookup::Unavailable(Duration::ZERO),
                    }
                }
                let gone = table.found(issuer.to_owned(), tenant, Arc::clone(&policy));
                gone.iter().for_each(|gone| self.forget(gone));
                // Keys to begin with are replaced at once, since requests do not wait for others.
                for remote in policy.remotes() {
                    if remote.snapshot().is_some() && !remote.was_fetched() {
                        self.fetchers.request_refresh(remote, FetchReason::Missing);
                    }
                }
                return IssuerLookup::Tenant(policy);
            }
            Ok(None) => table.refused(issuer.to_owned()),
            Err(Failure::Unusable(cause)) => {
                self.warn("the provider of a tenant cannot be used", &cause);
                table.refused(issuer.to_owned())
            }
            Err(Failure::Lookup(cause)) => {
                self.warn("an issuer cannot be looked up", &cause);
                table.failed(issuer.to_owned())
            }
        };
        gone.iter().for_each(|gone| self.forget(gone));
        // After a failure, that may be the last answer.
        match table.find(issuer).0 {
            IssuerLookup::NotLookedUp => IssuerLookup::Unavailable(Duration::ZERO),
            found => found,
        }
    }

    fn forget(&self, gone: &ResolvedProvider) {
        gone.remotes().for_each(|remote| self.fetchers.remove(remote));
    }

    /// Without the issuer, which is a stranger's text. A stranger can cause lookups, so warnings have
    /// a rate.
    fn warn(&self, what: &str, cause: &str) {
        if self.warnings.allows() {
            tracing::warn!(target: "oauth2_actix", cause, "{what}");
        } else {
            tracing::debug!(target: "oauth2_actix", cause, "{what}");
        }
    }
}

impl Asking {
    async fn answer(&self, issuer: &str) -> Answer {
        let timeout = self.defaults.timeout;
        let deadline = self.clock.monotonic() + timeout;
        let tenant = tokio::select! {
            answer = self.lookup.find_by_issuer(issuer) => {
                answer.map_err(|error| Failure::Lookup(error.to_string()))?
            }
            () = self.clock.sleep_until(deadline) => {
                return Err(Failure::Lookup(format!("no answer within {}", Unit(timeout))));
            }
        };
        let Some(tenant) = tenant else { return Ok(None) };
        // The same tenant keeps its keys.
        let policy = match self.table.policy_of(issuer, &tenant) {
            Some(policy) => policy,
            None => {
                let policy = self
                    .policy(issuer, &tenant)
                    .map_err(|error| Failure::Unusable(error.to_string()))?;
                self.restore(&policy, deadline).await;
                policy
            }
        };
        Ok(Some((tenant, policy)))
    }

    /// Reads the snapshots of a new tenant's keys, unless that takes too long.
    async fn restore(&self, policy: &Arc<ResolvedProvider>, deadline: Duration) {
        if !policy.has_snapshots() {
            return;
        }
        let (policy, clock) = (Arc::clone(policy), self.clock.clone());
        let restoring = tokio::task::spawn_blocking(move || policy.restore(&clock));
        tokio::select! {
            _ = restoring => {}
            () = self.clock.sleep_until(deadline) => {}
        }
    }

    fn policy(&self, issuer: &str, tenant: &Tenant) -> Result<Arc<ResolvedProvider>, ConfigError> {
        // Whoever asks for the provider by its name must not get somebody else's.
        if self.taken.contains(&tenant.name) {
            let problem = "a provider known from the start has this name";
            return Err(ConfigError::of_provider(&tenant.name, "providers", problem));
        }
        if !tenant.provider.issuers.iter().any(|own| own == issuer) {
            let problem = "it is not the one that was looked up";
            return Err(ConfigError::of_provider(&tenant.name, "issuer", problem));
        }
        ResolvedProvider::of_tenant(&tenant.name, &tenant.provider, &self.defaults).map(Arc::new)
    }
}

/// Lookups at once.
const MAX_RUNNING: usize = 32;

/// As long as so many run, none is begun for a stranger: the rest is for tenants.
const MAX_STRANGERS_RUNNING: usize = 24;

/// How often tenants that nobody uses are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
