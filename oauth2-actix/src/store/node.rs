//! One server: reconnects, and fails immediately while the server cannot be reached.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use crate::{
    store::{
        address::{Endpoint, Service},
        buckets::Bucket,
        connection::Unavailable,
        link::{End, Failure, Link, Wire, text},
        server::Resolved,
        thread::Shared,
    },
    util::{clock::Clock, log_rate::Throttle, units::Unit},
};

/// A server, or the master that sentinels return.
pub(super) struct Node {
    location: Location,
    /// The name in the log.
    name: String,
    state: watch::Sender<State>,
    /// The buckets whose keys it has.
    pub(super) buckets: RefCell<Vec<Bucket>>,
    /// Asks for the servers of the Cluster again.
    changed: Option<Rc<Notify>>,
    /// The rates of log lines.
    outages: Throttle,
    refusals: Throttle,
}

pub(super) enum Location {
    Fixed(Endpoint),
    Sentinel { sentinels: Vec<Endpoint>, service: Service },
}

#[derive(Clone)]
enum State {
    Connecting,
    Up(Rc<Link>),
    Down(Arc<str>),
}

impl Node {
    pub(super) fn new(
        location: Location,
        buckets: Vec<Bucket>,
        changed: Option<Rc<Notify>>,
    ) -> Self {
        let name = match &location {
            Location::Fixed(endpoint) => endpoint.address.to_string(),
            Location::Sentinel { service, .. } => service.name.clone(),
        };
        Self {
            location,
            name,
            state: watch::Sender::new(State::Connecting),
            buckets: RefCell::new(buckets),
            changed,
            outages: Throttle::new(Clock::System),
            refusals: Throttle::new(Clock::System),
        }
    }

    /// Waits for the connection while it is being made. Fails at once while the server cannot be reached.
    pub(super) async fn link(&self) -> Result<Rc<Link>, Unavailable> {
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Connecting)).await;
        match state.as_deref() {
            Ok(State::Up(link)) => Ok(Rc::clone(link)),
            Ok(State::Down(cause)) => Err(Unavailable::Down(Arc::clone(cause))),
            Ok(State::Connecting) | Err(_) => Err(Unavailable::Ended),
        }
    }

    /// Returns the connection, if there is one.
    pub(super) fn up(&self) -> Option<Rc<Link>> {
        match &*self.state.borrow() {
            State::Up(link) => Some(Rc::clone(link)),
            _ => None,
        }
    }

    /// Waits until this is no longer the connection.
    pub(super) async fn replaced(&self, link: &Rc<Link>) {
        let mut state = self.state.subscribe();
        let is_replaced =
            |state: &State| !matches!(state, State::Up(current) if Rc::ptr_eq(current, link));
        // Fails if the node was dropped, which its caller has.
        let _ = state.wait_for(is_replaced).await;
    }

    /// Lets those fail that wait for a server which the Cluster no longer has.
    pub(super) fn remove(&self) {
        self.state.send_replace(State::Down("the Cluster no longer has the server".into()));
    }

    /// Connects, again and again.
    pub(super) async fn supervise(self: Rc<Self>, shared: Rc<Shared>) {
        let limit = shared.settings.connection_timeout;
        let (mut failures, mut is_logged) = (0_u32, false);
        loop {
            let opened = timeout(limit, self.open(&shared)).await;
            let opened = opened.unwrap_or_else(|_| {
                Err(format!("the server did not respond within {}", Unit(limit)).into())
            });
            let cause = match opened {
                Ok((link, marked)) => {
                    self.set(State::Up(Rc::clone(&link)), &shared);
                    // Stores that were created while the markers were written.
                    let added = shared.stores().split_off(marked);
                    if !added.is_empty() {
                        let buckets = self.buckets.borrow().clone();
                        shared.mark_later(&self, &link, added, buckets);
                    }
                    if std::mem::take(&mut is_logged) {
                        tracing::info!(
                            target: "oauth2_actix",
                            server = self.name,
                            "Redis can be used again"
                        );
                    }
                    let end = link.ended(limit).await;
                    let has_worked = link.has_worked();
                    if has_worked {
                        failures = 0;
                    }
                    match end {
                        End::Closed(cause) if has_worked => {
                            tracing::debug!(
                                target: "oauth2_actix",
                                server = self.name,
                                %cause,
                                "the connection to Redis is made again"
                            );
                            self.set(State::Connecting, &shared);
                            continue;
                        }
                        End::Closed(cause) | End::Silent(cause) => cause,
                    }
                }
                Err(cause) => cause,
            };
            failures = failures.saturating_add(1);
            if !is_logged && self.outages.allows() {
                is_logged = true;
                tracing::warn!(
                    target: "oauth2_actix",
                    server = self.name,
                    %cause,
                    "Redis cannot be used: requests that need it get 503 until it can"
                );
            }
            self.set(State::Down(cause), &shared);
            if let Some(changed) = &self.changed {
                changed.notify_one();
            }
            sleep(backoff(failures)).await;
        }
    }

    fn set(&self, state: State, shared: &Shared) {
        self.state.send_replace(state);
        shared.update_readiness();
    }

    /// Connects, and writes the markers. Returns for how many stores.
    async fn open(&self, shared: &Shared) -> Result<(Rc<Link>, usize), Arc<str>> {
        let link = match &self.location {
            Location::Fixed(endpoint) => Link::open(endpoint, &shared.settings).await?,
            Location::Sentinel { sentinels, service } => {
                let endpoint = master(sentinels, service, &shared.settings).await?;
                Link::open(&endpoint, &shared.settings).await?
            }
        };
        if let Some(policy) = &link.evicts_by {
            tracing::error!(
                target: "oauth2_actix",
                server = %link.endpoint.address,
                maxmemory_policy = policy,
                "Redis may forget keys before their end, which lets clients replay requests: set \
                 maxmemory-policy to noeviction"
            );
        }
        let (stores, buckets) = (shared.stores(), self.buckets.borrow().clone());
        let marked = self.mark(&link, shared, &stores, &buckets).await;
        marked.map_err(|failure| failure.text)?;
        Ok((Rc::new(link), stores.len()))
    }

    /// Writes the markers that are missing.
    pub(super) async fn mark(
        &self,
        link: &Link,
        shared: &Shared,
        stores: &[Arc<str>],
        buckets: &[Bucket],
    ) -> Result<(), Failure> {
        let written = link.mark(&shared.settings.key_prefix, stores, buckets).await?;
        if written > 0 {
            tracing::info!(
                target: "oauth2_actix",
                server = %link.endpoint.address,
                buckets = written,
                "Redis is new, was restarted, lost data or took over: its earlier data may be missing, and \
                 requests from before may get 503"
            );
        }
        Ok(())
    }

    /// Handles a command without a result.
    pub(super) fn failed(&self, link: &Link, failure: Failure) -> Unavailable {
        let has = |codes: &[&str]| failure.is_one_of(codes);
        let cause = Arc::clone(&failure.text);
        if failure.is_broken {
            link.end(End::Closed(Arc::clone(&cause)));
            return Unavailable::Down(cause);
        }
        if has(&NO_MASTER) {
            link.end(End::Closed(Arc::clone(&cause)));
        }
        if let Some(changed) = &self.changed
            && (has(&NO_MASTER) || has(&OTHER_SERVER))
        {
            changed.notify_one();
        } else if self.refusals.allows() {
            tracing::warn!(
                target: "oauth2_actix",
                server = self.name,
                %cause,
                "Redis refuses a command: requests that need it get 503"
            );
        }
        Unavailable::Refused(cause)
    }
}

/// Queries the sentinels for the master.
async fn master(
    sentinels: &[Endpoint],
    service: &Service,
    settings: &Resolved,
) -> Result<Endpoint, Arc<str>> {
    // A sentinel that does not respond leaves time for the others.
    let share =
        settings.connection_timeout / u32::try_from(sentinels.len() + 1).unwrap_or(u32::MAX);
    let mut cause: Arc<str> = "there is no sentinel".into();
    for sentinel in sentinels {
        let asked = timeout(share, async {
            let wire = Wire::open(&sentinel.address, &sentinel.access, settings).await?;
            let mut command = redis::cmd("SENTINEL");
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(&service.name);
            wire.ask::<Option<(String, u16)>>(&command).await.map_err(|error| text(&error))
        });
        let problem: Arc<str> = match asked.await {
            Ok(Ok(Some((host, port)))) => {
                let address = crate::store::address::Address { host, port };
                return Ok(Endpoint { address, access: service.access.clone() });
            }
            Ok(Ok(None)) => "no service has this name".into(),
            Ok(Err(problem)) => problem,
            Err(_) => format!("no response within {}", Unit(share)).into(),
        };
        cause = format!("sentinel {}: {problem}", sentinel.address).into();
    }
    Err(cause)
}

/// Returns the time until the next attempt, after this many failures.
pub(super) fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(MAX_BACKOFF).mul_f64(0.5 + random() / 2.0)
}

/// Returns a number from 0 to 1. The keys of the standard library's hasher are random, which is enough for jitter.
fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The codes of errors of a server that is not, or not yet, a master that works.
const NO_MASTER: [&str; 4] = ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN"];

/// The codes of errors of a server of a Cluster that does not have the key.
const OTHER_SERVER: [&str; 3] = ["MOVED", "ASK", "TRYAGAIN"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_maximum_with_jitter() {
        for (failures, most) in
            [(1, 100), (2, 200), (3, 400), (6, 3200), (7, 5000), (u32::MAX, 5000)]
        {
            for _ in 0..100 {
                let millis = backoff(failures).as_millis();
                assert!((most / 2..=most).contains(&millis), "{failures}: {millis} ms");
            }
        }
    }
}
