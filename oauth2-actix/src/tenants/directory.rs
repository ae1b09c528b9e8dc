//! What is known of issuers that were looked up, and a way to wait for one that was not.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Tenant, Tenants,
    lookups::{Ask, Lookups},
};
use crate::{
    clock::Clock,
    key_engine::EngineHandle,
    places::Place,
    provider_policy::{Defaults, ProviderPolicy},
};

/// The policy's end of the tenants.
#[derive(Debug)]
pub(crate) struct Directory {
    table: Arc<Table>,
    asks: mpsc::UnboundedSender<Ask>,
    waiters: Arc<AtomicUsize>,
}

/// What is known of an issuer.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Tenant(Arc<ProviderPolicy>),
    /// It is not that of a tenant.
    Nobody,
    /// Whose it is cannot be known now.
    Unavailable,
    /// It must be looked up.
    Unknown,
}

impl Directory {
    /// The directory, and what makes its lookups, to be run.
    pub(crate) fn new(
        tenants: Tenants,
        defaults: Defaults,
        taken: HashSet<String>,
        engine: EngineHandle,
    ) -> (Self, impl Future<Output = ()>) {
        let (asks, inbox) = mpsc::unbounded_channel();
        let table = Arc::new(Table {
            clock: engine.clock().clone(),
            capacity: tenants.capacity,
            lifetime: tenants.lifetime,
            refusal_lifetime: tenants.refusal_lifetime,
            known: RwLock::default(),
        });
        let lookups = Lookups::new(tenants.lookup, Arc::clone(&table), defaults, taken, engine);
        (Self { table, asks, waiters: Arc::default() }, lookups.run(inbox))
    }

    /// What is known of an issuer now. Asks for more in the background, where that is due.
    pub(crate) fn find(&self, issuer: &str) -> Found {
        if issuer.len() > MAX_ISSUER {
            return Found::Nobody;
        }
        let (found, is_due) = self.table.find(issuer);
        if is_due {
            self.ask(issuer, true, None);
        }
        found
    }

    /// Has an issuer looked up, without waiting for it.
    pub(crate) fn poke(&self, issuer: &str) {
        self.ask(issuer, false, None);
    }

    /// Waits for an issuer to be looked up.
    pub(crate) async fn look_up(&self, issuer: &str) -> Found {
        let (reply, answer) = oneshot::channel();
        self.ask(issuer, false, Some(reply));
        answer.await.unwrap_or(Found::Unavailable)
    }

    /// Drops the reply if too many wait already.
    fn ask(&self, issuer: &str, again: bool, reply: Option<oneshot::Sender<Found>>) {
        let Some(place) = Place::take(&self.waiters) else {
            tracing::debug!(target: "oauth2_actix", "too many requests wait for lookups of tenants");
            return;
        };
        let _ = self.asks.send(Ask { issuer: issuer.to_owned(), again, reply, place });
    }

    /// The tenants at hand.
    pub(crate) fn tenants(&self) -> Vec<Arc<ProviderPolicy>> {
        self.table.read().tenants.values().map(|entry| Arc::clone(&entry.policy)).collect()
    }
}

/// What was looked up. Read by requests, written where lookups end.
#[derive(Debug)]
pub(super) struct Table {
    clock: Clock,
    capacity: usize,
    lifetime: Duration,
    refusal_lifetime: Duration,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tenants: HashMap<String, Entry>,
    /// No lookup before this moment, and what requests hear until then.
    refused: HashMap<String, (Duration, Found)>,
}

#[derive(Debug)]
struct Entry {
    tenant: Tenant,
    policy: Arc<ProviderPolicy>,
    looked_up: Duration,
    /// Whether the last attempt to look it up again failed.
    failing: AtomicBool,
    /// When it may be looked up again in the background, in milliseconds; put off by each attempt.
    due: AtomicU64,
    /// When it was last found, in milliseconds.
    used: AtomicU64,
}

impl Table {
    /// The second value is whether it should be looked up in the background.
    pub(super) fn find(&self, issuer: &str) -> (Found, bool) {
        let now = self.clock.monotonic();
        let known = self.read();
        if let Some(entry) = known.tenants.get(issuer) {
            entry.used.store(millis(now), Ordering::Relaxed);
            let age = now.saturating_sub(entry.looked_up);
            let serves = age < self.lifetime
                || (age < STALE_WINDOW && entry.failing.load(Ordering::Relaxed));
            if !serves {
                return (Found::Unknown, false);
            }
            let due = entry.due.load(Ordering::Relaxed);
            let later = millis(now + RETRY_INTERVAL);
            let is_due = millis(now) >= due
                && entry
                    .due
                    .compare_exchange(due, later, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            return (Found::Tenant(Arc::clone(&entry.policy)), is_due);
        }
        match known.refused.get(issuer) {
            Some((until, found)) if now < *until => (found.clone(), false),
            _ => (Found::Unknown, false),
        }
    }

    /// The tenant of an issuer as it was looked up last, and what was made of it.
    pub(super) fn known(&self, issuer: &str) -> Option<(Tenant, Arc<ProviderPolicy>)> {
        let known = self.read();
        let entry = known.tenants.get(issuer)?;
        Some((entry.tenant.clone(), Arc::clone(&entry.policy)))
    }

    /// A lookup found this tenant. Returns what has to go for it.
    pub(super) fn found(
        &self,
        issuer: String,
        tenant: Tenant,
        policy: Arc<ProviderPolicy>,
    ) -> Option<Arc<ProviderPolicy>> {
        let now = self.clock.monotonic();
        let mut known = self.write();
        known.refused.remove(&issuer);
        let entry = Entry {
            tenant,
            policy: Arc::clone(&policy),
            looked_up: now,
            failing: AtomicBool::new(false),
            due: AtomicU64::new(millis(now + self.lifetime.mul_f64(0.8))),
            used: AtomicU64::new(millis(now)),
        };
        if let Some(before) = known.tenants.insert(issuer.clone(), entry) {
            return (!Arc::ptr_eq(&before.policy, &policy)).then_some(before.policy);
        }
        if known.tenants.len() <= self.capacity {
            return None;
        }
        let oldest = known
            .tenants
            .iter()
            .filter(|(other, _)| **other != issuer)
            .min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed))
            .map(|(other, _)| other.clone())?;
        known.tenants.remove(&oldest).map(|entry| entry.policy)
    }

    /// A lookup found nobody. Returns what has to go.
    pub(super) fn refused(&self, issuer: String) -> Option<Arc<ProviderPolicy>> {
        let until = self.clock.monotonic() + self.refusal_lifetime;
        let mut known = self.write();
        let gone = known.tenants.remove(&issuer);
        known.refuse(issuer, until, Found::Nobody, self.clock.monotonic());
        gone.map(|entry| entry.policy)
    }

    /// A lookup failed. Returns what has to go: an answer that is too old to serve.
    pub(super) fn failed(&self, issuer: String) -> Option<Arc<ProviderPolicy>> {
        let now = self.clock.monotonic();
        let mut known = self.write();
        if let Some(entry) = known.tenants.get(&issuer)
            && now.saturating_sub(entry.looked_up) < STALE_WINDOW
        {
            entry.failing.store(true, Ordering::Relaxed);
            entry.due.store(millis(now + RETRY_INTERVAL), Ordering::Relaxed);
            return None;
        }
        let gone = known.tenants.remove(&issuer);
        known.refuse(issuer, now + RETRY_INTERVAL, Found::Unavailable, now);
        gone.map(|entry| entry.policy)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn refuse(&mut self, issuer: String, until: Duration, why: Found, now: Duration) {
        if self.refused.len() >= MAX_REFUSED && !self.refused.contains_key(&issuer) {
            self.refused.retain(|_, (until, _)| now < *until);
            // Strangers fill this. Some of their issuers are then looked up once more.
            if self.refused.len() >= MAX_REFUSED {
                let some: Vec<String> =
                    self.refused.keys().take(MAX_REFUSED / 4).cloned().collect();
                for issuer in some {
                    self.refused.remove(&issuer);
                }
            }
        }
        self.refused.insert(issuer, (until, why));
    }
}

fn millis(moment: Duration) -> u64 {
    moment.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Bytes of an issuer that is looked up.
const MAX_ISSUER: usize = 512;

/// Issuers that are known to be nobody's.
const MAX_REFUSED: usize = 4096;

/// After a failed lookup of an issuer.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// For how long the last answer serves while lookups fail.
const STALE_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
