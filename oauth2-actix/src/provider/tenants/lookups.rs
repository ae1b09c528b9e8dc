//! The actor that looks issuers up, with one lookup at a time for each, on the thread that fetches keys.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
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
    util::{clock::Clock, log_rate::Throttle, units::Unit},
};

/// A request to look an issuer up.
#[derive(Debug)]
pub(super) struct LookupRequest {
    pub(super) issuer: String,
    /// Whether the table has a tenant of this issuer already.
    pub(super) is_refresh: bool,
    /// None if no request waits for the result.
    pub(super) reply: Option<Reply>,
    /// Held until the lookup has ended, even if the request was dropped before.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

type Reply = oneshot::Sender<IssuerLookup>;
type Waiter = (Option<Reply>, Option<OwnedSemaphorePermit>);

pub(super) struct Lookups {
    context: Arc<LookupContext>,
    fetchers: Fetchers,
    /// The waiters for each issuer, whether its lookup is running or queued.
    waiters: HashMap<String, Vec<Waiter>>,
    /// The queue of issuers of tenants in the table, each with the moment at which its waiters time out. They
    /// do not wait behind unknown issuers.
    known_issuers: VecDeque<(String, Duration)>,
    /// The queue of all other issuers.
    unknown_issuers: VecDeque<(String, Duration)>,
    running: JoinSet<LookupResult>,
    issuers: HashMap<Id, String>,
    sweep_at: Duration,
    warnings: Throttle,
}

/// The data that a running lookup needs.
struct LookupContext {
    lookup: Arc<dyn AnyLookup>,
    table: Arc<Table>,
    defaults: Defaults,
    /// The names of the configured providers, which no tenant may have.
    reserved_names: HashSet<String>,
    clock: Clock,
}

/// The result of a lookup. All error texts are made in its own task: code of the developer that panics there
/// ends only that task.
type LookupResult = Result<Option<(Tenant, Arc<ResolvedProvider>)>, Failure>;

enum Failure {
    Lookup(String),
    /// A tenant was found, but its provider cannot be used.
    Unusable(String),
}

impl Lookups {
    pub(super) fn new(
        lookup: Arc<dyn AnyLookup>,
        table: Arc<Table>,
        defaults: Defaults,
        reserved_names: HashSet<String>,
        fetchers: Fetchers,
    ) -> Self {
        let clock = fetchers.clock().clone();
        Self {
            sweep_at: clock.monotonic() + SWEEP_INTERVAL,
            warnings: Throttle::new(clock.clone()),
            context: Arc::new(LookupContext { lookup, table, defaults, reserved_names, clock }),
            fetchers,
            waiters: HashMap::new(),
            known_issuers: VecDeque::new(),
            unknown_issuers: VecDeque::new(),
            running: JoinSet::new(),
            issuers: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<LookupRequest>) {
        loop {
            let clock = self.context.clock.clone();
            let overdue = [&self.known_issuers, &self.unknown_issuers]
                .into_iter()
                .filter_map(VecDeque::front);
            let next = overdue.map(|(_, overdue)| *overdue).fold(self.sweep_at, Duration::min);
            tokio::select! {
                request = inbox.recv() => match request {
                    Some(request) => self.enqueue(request),
                    None => return,
                },
                Some(outcome) = self.running.join_next_with_id() => self.complete(outcome),
                () = async move { clock.sleep_until(next).await } => self.tidy(),
            }
            self.start_queued();
        }
    }

    fn enqueue(&mut self, LookupRequest { issuer, is_refresh, reply, permit }: LookupRequest) {
        // Another request's lookup may have ended in the meantime.
        if !is_refresh {
            let (found, _) = self.context.table.find(&issuer);
            if !matches!(found, IssuerLookup::NotLookedUp) {
                if let Some(reply) = reply {
                    let _ = reply.send(found);
                }
                return;
            }
        }
        if !self.waiters.contains_key(&issuer) {
            let is_known = self.context.table.is_known(&issuer);
            let queue = if is_known { &mut self.known_issuers } else { &mut self.unknown_issuers };
            let overdue = self.context.clock.monotonic() + self.context.defaults.timeout;
            queue.push_back((issuer.clone(), overdue));
        }
        self.waiters.entry(issuer).or_default().push((reply, permit));
    }

    fn start_queued(&mut self) {
        loop {
            let running = self.running.len();
            let next = if running < MAX_RUNNING && !self.known_issuers.is_empty() {
                self.known_issuers.pop_front()
            } else if running < MAX_UNKNOWN_RUNNING {
                self.unknown_issuers.pop_front()
            } else {
                None
            };
            let Some((issuer, _)) = next else { return };
            let context = Arc::clone(&self.context);
            let lookup_issuer = issuer.clone();
            let task = self.running.spawn(async move { context.look_up(&lookup_issuer).await });
            self.issuers.insert(task.id(), issuer);
        }
    }

    /// Answers the waiters that have timed out, and sweeps the table at intervals.
    fn tidy(&mut self) {
        let now = self.context.clock.monotonic();
        let mut timed_out = Vec::new();
        for queue in [&mut self.known_issuers, &mut self.unknown_issuers] {
            while queue.front().is_some_and(|(_, overdue)| *overdue <= now) {
                timed_out.extend(queue.pop_front().map(|(issuer, _)| issuer));
            }
        }
        for issuer in timed_out {
            self.reply(&issuer, &IssuerLookup::Unavailable(Duration::ZERO));
        }
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_INTERVAL;
            for removed in self.context.table.sweep() {
                self.forget(&removed);
            }
        }
    }

    fn complete(&mut self, outcome: Result<(Id, LookupResult), JoinError>) {
        let (task, result) = match outcome {
            Ok(outcome) => outcome,
            Err(lost) => (lost.id(), Err(Failure::Lookup("the lookup panicked".to_owned()))),
        };
        let Some(issuer) = self.issuers.remove(&task) else { return };
        let found = self.store_result(&issuer, result);
        self.reply(&issuer, &found);
    }

    fn reply(&mut self, issuer: &str, found: &IssuerLookup) {
        for (reply, _permit) in self.waiters.remove(issuer).unwrap_or_default() {
            if let Some(reply) = reply {
                let _ = reply.send(found.clone());
            }
        }
    }

    /// Stores the result of a lookup, and returns the result for its waiters.
    fn store_result(&self, issuer: &str, result: LookupResult) -> IssuerLookup {
        let table = &self.context.table;
        let removed = match result {
            Ok(Some((tenant, mut provider))) => {
                // The tenant's entry, and its keys with it, may have been removed since the lookup ended.
                if provider.remotes().any(|remote| remote.is_retired()) {
                    match self.context.resolve_provider(issuer, &tenant) {
                        Ok(rebuilt) => provider = rebuilt,
                        Err(error) => {
                            self.warn(
                                "the provider of a tenant cannot be used",
                                &error.to_string(),
                            );
                            return IssuerLookup::Unavailable(Duration::ZERO);
                        }
                    }
                }
                let removed = table.insert(issuer.to_owned(), tenant, Arc::clone(&provider));
                removed.iter().for_each(|removed| self.forget(removed));
                // Initial keys and snapshots are replaced at once, since requests do not wait for newer keys.
                for remote in provider.remotes() {
                    if remote.snapshot().is_some() && !remote.was_fetched() {
                        self.fetchers.request_refresh(remote, FetchReason::Missing);
                    }
                }
                return IssuerLookup::Tenant(provider);
            }
            Ok(None) => table.reject(issuer.to_owned()),
            Err(Failure::Unusable(cause)) => {
                self.warn("the provider of a tenant cannot be used", &cause);
                table.reject(issuer.to_owned())
            }
            Err(Failure::Lookup(cause)) => {
                self.warn("an issuer cannot be looked up", &cause);
                table.record_failure(issuer.to_owned())
            }
        };
        removed.iter().for_each(|removed| self.forget(removed));
        // After a failure, this may still be the last result.
        match table.find(issuer).0 {
            IssuerLookup::NotLookedUp => IssuerLookup::Unavailable(Duration::ZERO),
            found => found,
        }
    }

    fn forget(&self, removed: &ResolvedProvider) {
        removed.remotes().for_each(|remote| self.fetchers.remove(remote));
    }

    /// Logs a warning without the issuer, which an attacker may have written. Clients can cause lookups, so
    /// warnings have a rate limit.
    fn warn(&self, what: &str, cause: &str) {
        if self.warnings.allows() {
            tracing::warn!(target: "oauth2_actix", cause, "{what}");
        } else {
            tracing::debug!(target: "oauth2_actix", cause, "{what}");
        }
    }
}

impl LookupContext {
    async fn look_up(&self, issuer: &str) -> LookupResult {
        let timeout = self.defaults.timeout;
        let deadline = self.clock.monotonic() + timeout;
        let tenant = tokio::select! {
            result = self.lookup.find_by_issuer(issuer) => {
                result.map_err(|error| Failure::Lookup(error.to_string()))?
            }
            () = self.clock.sleep_until(deadline) => {
                return Err(Failure::Lookup(format!("the lookup did not end within {}", Unit(timeout))));
            }
        };
        let Some(tenant) = tenant else { return Ok(None) };
        // An unchanged tenant keeps its keys.
        let provider = match self.table.provider_of(issuer, &tenant) {
            Some(provider) => provider,
            None => {
                let provider = self
                    .resolve_provider(issuer, &tenant)
                    .map_err(|error| Failure::Unusable(error.to_string()))?;
                self.restore(&provider, deadline).await;
                provider
            }
        };
        Ok(Some((tenant, provider)))
    }

    /// Reads the snapshots of a new tenant's keys, unless that takes too long.
    async fn restore(&self, provider: &Arc<ResolvedProvider>, deadline: Duration) {
        if !provider.has_snapshots() {
            return;
        }
        let (provider, clock) = (Arc::clone(provider), self.clock.clone());
        let restoring = tokio::task::spawn_blocking(move || provider.restore(&clock));
        tokio::select! {
            _ = restoring => {}
            () = self.clock.sleep_until(deadline) => {}
        }
    }

    fn resolve_provider(
        &self,
        issuer: &str,
        tenant: &Tenant,
    ) -> Result<Arc<ResolvedProvider>, ConfigError> {
        // A lookup by the provider's name must not return another provider.
        if self.reserved_names.contains(&tenant.name) {
            let problem = "a configured provider has this name";
            return Err(ConfigError::of_provider(&tenant.name, "providers", problem));
        }
        if !tenant.provider.issuers.iter().any(|own| own == issuer) {
            let problem = "the tenant's issuer is not the one that was looked up";
            return Err(ConfigError::of_provider(&tenant.name, "issuer", problem));
        }
        ResolvedProvider::of_tenant(&tenant.name, &tenant.provider, &self.defaults).map(Arc::new)
    }
}

/// The most lookups at once.
const MAX_RUNNING: usize = 32;

/// With so many lookups running, none is started for an unknown issuer: the rest is for known tenants.
const MAX_UNKNOWN_RUNNING: usize = 24;

/// The interval at which unused tenants are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
