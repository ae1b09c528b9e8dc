//! The actor that looks issuers up, one lookup for each at a time, on the thread that fetches keys.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
};

use super::{
    AnyLookup, LookupResult, Tenant,
    directory::{Found, Table},
};
use crate::{
    BuildError,
    key_engine::EngineHandle,
    places::Place,
    provider_policy::{Defaults, ProviderPolicy},
    throttle::Throttle,
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
    pub(super) place: Place,
}

type Reply = oneshot::Sender<Found>;

pub(super) struct Lookups {
    lookup: Arc<dyn AnyLookup>,
    table: Arc<Table>,
    defaults: Defaults,
    /// The names of the providers known from the start.
    taken: HashSet<String>,
    engine: EngineHandle,
    /// Who waits for which issuer, whether it is being looked up or in the queue.
    waiting: HashMap<String, Vec<(Option<Reply>, Place)>>,
    queue: VecDeque<String>,
    running: JoinSet<LookupResult>,
    issuers: HashMap<Id, String>,
    warnings: Throttle,
}

impl Lookups {
    pub(super) fn new(
        lookup: Arc<dyn AnyLookup>,
        table: Arc<Table>,
        defaults: Defaults,
        taken: HashSet<String>,
        engine: EngineHandle,
    ) -> Self {
        Self {
            lookup,
            table,
            defaults,
            taken,
            engine,
            waiting: HashMap::new(),
            queue: VecDeque::new(),
            running: JoinSet::new(),
            issuers: HashMap::new(),
            warnings: Throttle::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Ask>) {
        loop {
            tokio::select! {
                ask = inbox.recv() => match ask {
                    Some(ask) => self.ask(ask),
                    None => return,
                },
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
            }
            while self.running.len() < MAX_RUNNING
                && let Some(issuer) = self.queue.pop_front()
            {
                self.start(issuer);
            }
        }
    }

    fn ask(&mut self, Ask { issuer, again, reply, place }: Ask) {
        // Another request's lookup may have ended meanwhile.
        if !again {
            let (found, _) = self.table.find(&issuer);
            if !matches!(found, Found::Unknown) {
                if let Some(reply) = reply {
                    let _ = reply.send(found);
                }
                return;
            }
        }
        let waiting = self.waiting.entry(issuer).or_insert_with_key(|issuer| {
            self.queue.push_back(issuer.clone());
            Vec::new()
        });
        waiting.push((reply, place));
    }

    fn start(&mut self, issuer: String) {
        let lookup = Arc::clone(&self.lookup);
        let clock = self.engine.clock().clone();
        let timeout = self.defaults.timeout;
        let asked = issuer.clone();
        let task = self.running.spawn(async move {
            let deadline = clock.monotonic() + timeout;
            tokio::select! {
                answer = lookup.tenant(&asked) => answer,
                () = clock.sleep_until(deadline) => Err(format!("no answer within {timeout:?}").into()),
            }
        });
        self.issuers.insert(task.id(), issuer);
    }

    fn ended(&mut self, ended: Result<(Id, LookupResult), JoinError>) {
        let (task, result) = match ended {
            Ok(ended) => ended,
            Err(lost) => (lost.id(), Err("the lookup panicked".into())),
        };
        let Some(issuer) = self.issuers.remove(&task) else { return };
        let answer = self.conclude(&issuer, result);
        for (reply, _place) in self.waiting.remove(&issuer).unwrap_or_default() {
            if let Some(reply) = reply {
                let _ = reply.send(answer.clone());
            }
        }
    }

    /// Puts down what a lookup said, and what requests hear.
    fn conclude(&self, issuer: &str, result: LookupResult) -> Found {
        match result {
            Ok(Some(tenant)) => match self.policy(issuer, &tenant) {
                Ok(policy) => {
                    self.forget(self.table.found(issuer.to_owned(), tenant, Arc::clone(&policy)));
                    return Found::Tenant(policy);
                }
                Err(error) => {
                    self.warn("the provider of a tenant cannot be used", &error);
                    self.forget(self.table.refused(issuer.to_owned()));
                }
            },
            Ok(None) => self.forget(self.table.refused(issuer.to_owned())),
            Err(error) => {
                self.warn("an issuer cannot be looked up", &error);
                self.forget(self.table.failed(issuer.to_owned()));
            }
        }
        // After a failure, that may be the last answer.
        self.table.find(issuer).0
    }

    /// What a tenant's provider comes to: what it came to before, if it is still the same.
    fn policy(&self, issuer: &str, tenant: &Tenant) -> Result<Arc<ProviderPolicy>, BuildError> {
        if let Some((before, policy)) = self.table.known(issuer)
            && before == *tenant
        {
            return Ok(policy);
        }
        // Whoever asks for the provider by its name must not get somebody else's.
        if self.taken.contains(&tenant.name) {
            let problem = "a provider known from the start has this name";
            return Err(BuildError::of_provider(&tenant.name, "providers", problem));
        }
        if !tenant.provider.issuers.iter().any(|own| own == issuer) {
            let problem = "it is not the one that was looked up";
            return Err(BuildError::of_provider(&tenant.name, "issuer", problem));
        }
        ProviderPolicy::new(&tenant.name, &tenant.provider, &self.defaults).map(Arc::new)
    }

    fn forget(&self, gone: Option<Arc<ProviderPolicy>>) {
        if let Some(remote) = gone.as_ref().and_then(|policy| policy.remote()) {
            self.engine.forget(remote);
        }
    }

    /// Without the issuer, which is a stranger's text. A stranger can cause lookups, so warnings have
    /// a rate.
    fn warn(&self, what: &str, cause: &dyn std::fmt::Display) {
        if self.warnings.allows() {
            tracing::warn!(target: "oauth2_actix", %cause, "{what}");
        } else {
            tracing::debug!(target: "oauth2_actix", %cause, "{what}");
        }
    }
}

/// Lookups at once.
const MAX_RUNNING: usize = 32;
