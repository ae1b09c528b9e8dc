//! The results of lookups, and how long each is valid.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::{
    config::tenants::{Tenant, Tenants},
    keys::remote::MAX_WAITERS,
    provider::ResolvedProvider,
    util::clock::Clock,
};

/// The result of the last lookup of an issuer.
#[derive(Clone, Debug)]
pub(crate) enum IssuerLookup {
    Tenant(Arc<ResolvedProvider>),
    /// The issuer is not that of a tenant.
    NotATenant,
    /// The lookup failed. It may be retried after this time.
    Unavailable(Duration),
    /// The issuer was not looked up, or the result is no longer valid.
    NotLookedUp,
}

/// The table of results: requests read it, and lookups write it.
#[derive(Debug)]
pub(super) struct Table {
    clock: Clock,
    capacity: usize,
    lifetime: Duration,
    rejection_lifetime: Duration,
    /// A tenant past its lifetime is still used if a lookup of it has failed within this time.
    grace: Duration,
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    tenants: HashMap<String, Entry>,
    /// Issuers that are not looked up before a moment, and the result until then.
    rejected: HashMap<String, (Duration, Rejection)>,
}

#[derive(Clone, Copy, Debug)]
enum Rejection {
    NotATenant,
    Unavailable,
}

/// A tenant in the table. Moments are in milliseconds.
#[derive(Debug)]
struct Entry {
    tenant: Tenant,
    provider: Arc<ResolvedProvider>,
    looked_up: Duration,
    /// The moment of the last failed refresh; 0 if none has failed.
    failed: AtomicU64,
    /// The moment from which it is looked up again in the background; each attempt postpones it.
    due: AtomicU64,
    /// The moment of its last use.
    used: AtomicU64,
    waiters: Arc<Semaphore>,
}

impl Table {
    pub(super) fn new(tenants: &Tenants, timeout: Duration, clock: Clock) -> Self {
        Self {
            clock,
            capacity: tenants.capacity,
            lifetime: tenants.lifetime,
            rejection_lifetime: tenants.rejection_lifetime,
            grace: timeout + RETRY_INTERVAL * 3,
            entries: RwLock::default(),
        }
    }

    /// Returns the result for an issuer, and whether it should be refreshed in the background.
    pub(super) fn find(&self, issuer: &str) -> (IssuerLookup, bool) {
        let now = self.clock.monotonic();
        let entries = self.read();
        if let Some(entry) = entries.tenants.get(issuer) {
            entry.used.store(millis(now), Ordering::Relaxed);
            let age = now.saturating_sub(entry.looked_up);
            // A pending lookup is not enough: one must have failed, and recently.
            let failed = entry.failed.load(Ordering::Relaxed);
            let is_failing = failed > 0 && millis(now) < failed.saturating_add(millis(self.grace));
            if age >= self.lifetime && !(is_failing && age < STALE_WINDOW) {
                return (IssuerLookup::NotLookedUp, false);
            }
            let due = entry.due.load(Ordering::Relaxed);
            let later = millis(now + RETRY_INTERVAL);
            let relaxed = Ordering::Relaxed;
            let is_due = millis(now) >= due
                && entry.due.compare_exchange(due, later, relaxed, relaxed).is_ok();
            return (IssuerLookup::Tenant(Arc::clone(&entry.provider)), is_due);
        }
        let found = match entries.rejected.get(issuer) {
            Some((until, Rejection::NotATenant)) if now < *until => IssuerLookup::NotATenant,
            Some((until, Rejection::Unavailable)) if now < *until => {
                IssuerLookup::Unavailable(*until - now)
            }
            _ => IssuerLookup::NotLookedUp,
        };
        (found, false)
    }

    /// Returns the semaphore that limits the requests which wait for a tenant in the table.
    pub(super) fn waiters(&self, issuer: &str) -> Option<Arc<Semaphore>> {
        self.read().tenants.get(issuer).map(|entry| Arc::clone(&entry.waiters))
    }

    pub(super) fn is_known(&self, issuer: &str) -> bool {
        self.read().tenants.contains_key(issuer)
    }

    pub(super) fn tenants(&self) -> Vec<Arc<ResolvedProvider>> {
        self.read().tenants.values().map(|entry| Arc::clone(&entry.provider)).collect()
    }

    /// Returns the resolved provider of a tenant, if the tenant is unchanged.
    pub(super) fn provider_of(
        &self,
        issuer: &str,
        tenant: &Tenant,
    ) -> Option<Arc<ResolvedProvider>> {
        let entries = self.read();
        let entry = entries.tenants.get(issuer)?;
        (entry.tenant == *tenant).then(|| Arc::clone(&entry.provider))
    }

    /// Stores a tenant that a lookup has found. Returns the provider that it replaces or evicts.
    pub(super) fn insert(
        &self,
        issuer: String,
        tenant: Tenant,
        provider: Arc<ResolvedProvider>,
    ) -> Option<Arc<ResolvedProvider>> {
        let now = self.clock.monotonic();
        let mut entries = self.write();
        entries.rejected.remove(&issuer);
        let previous = entries.tenants.remove(&issuer);
        let entry = Entry {
            tenant,
            provider: Arc::clone(&provider),
            looked_up: now,
            failed: AtomicU64::new(0),
            due: AtomicU64::new(millis(now + self.lifetime.mul_f64(0.8))),
            // A lookup does not count as a use.
            used: previous.as_ref().map_or_else(
                || AtomicU64::new(millis(now)),
                |previous| AtomicU64::new(previous.used.load(Ordering::Relaxed)),
            ),
            waiters: previous.as_ref().map_or_else(
                || Arc::new(Semaphore::new(MAX_WAITERS)),
                |previous| Arc::clone(&previous.waiters),
            ),
        };
        entries.tenants.insert(issuer.clone(), entry);
        if let Some(previous) = previous {
            return (!Arc::ptr_eq(&previous.provider, &provider)).then_some(previous.provider);
        }
        if entries.tenants.len() <= self.capacity {
            return None;
        }
        let least_recently_used = entries
            .tenants
            .iter()
            .filter(|(other, _)| **other != issuer)
            .min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed))
            .map(|(other, _)| other.clone())?;
        entries.tenants.remove(&least_recently_used).map(|entry| entry.provider)
    }

    /// Stores that an issuer has no tenant. Returns the provider that is removed.
    pub(super) fn reject(&self, issuer: String) -> Option<Arc<ResolvedProvider>> {
        let now = self.clock.monotonic();
        let mut entries = self.write();
        let removed = entries.tenants.remove(&issuer);
        entries.insert_rejection(issuer, now + self.rejection_lifetime, Rejection::NotATenant, now);
        removed.map(|entry| entry.provider)
    }

    /// Stores that a lookup failed. Returns the provider that is removed, if its last lookup is too old.
    pub(super) fn record_failure(&self, issuer: String) -> Option<Arc<ResolvedProvider>> {
        let now = self.clock.monotonic();
        let mut entries = self.write();
        if let Some(entry) = entries.tenants.get(&issuer)
            && now.saturating_sub(entry.looked_up) < STALE_WINDOW
        {
            // Never 0, which means that none has failed.
            entry.failed.store(millis(now).max(1), Ordering::Relaxed);
            entry.due.store(millis(now + RETRY_INTERVAL), Ordering::Relaxed);
            return None;
        }
        let removed = entries.tenants.remove(&issuer);
        entries.insert_rejection(issuer, now + RETRY_INTERVAL, Rejection::Unavailable, now);
        removed.map(|entry| entry.provider)
    }

    /// Removes tenants that were not used for a long time. Returns their providers.
    pub(super) fn sweep(&self) -> Vec<Arc<ResolvedProvider>> {
        let now = self.clock.monotonic();
        let since = millis(now.saturating_sub(self.lifetime.max(IDLE)));
        let mut entries = self.write();
        entries.rejected.retain(|_, (until, _)| now < *until);
        entries
            .tenants
            .extract_if(|_, entry| entry.used.load(Ordering::Relaxed) < since)
            .map(|(_, entry)| entry.provider)
            .collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn insert_rejection(
        &mut self,
        issuer: String,
        until: Duration,
        reason: Rejection,
        now: Duration,
    ) {
        if self.rejected.len() >= MAX_REJECTED && !self.rejected.contains_key(&issuer) {
            self.rejected.retain(|_, (until, _)| now < *until);
            // Clients with made-up issuers fill this map. Some of these issuers are then looked up again.
            if self.rejected.len() >= MAX_REJECTED {
                let some: Vec<String> =
                    self.rejected.keys().take(MAX_REJECTED / 4).cloned().collect();
                for issuer in some {
                    self.rejected.remove(&issuer);
                }
            }
        }
        self.rejected.insert(issuer, (until, reason));
    }
}

fn millis(moment: Duration) -> u64 {
    moment.as_millis().try_into().unwrap_or(u64::MAX)
}

/// The most issuers without a tenant that are cached.
const MAX_REJECTED: usize = 4096;

/// The time until a failed lookup is retried.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The time for which the last result is used while lookups fail.
const STALE_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A tenant that was not used for this long is removed, and its keys are no longer fetched.
const IDLE: Duration = Duration::from_secs(60 * 60);
