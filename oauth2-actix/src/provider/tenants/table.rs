//! What was looked up, and for how long it counts.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    config::tenants::{Tenant, Tenants},
    provider::ResolvedProvider,
    util::clock::Clock,
};

/// What is known of an issuer.
#[derive(Clone, Debug)]
pub(crate) enum IssuerLookup {
    Tenant(Arc<ResolvedProvider>),
    /// It is not the issuer of a tenant.
    NotATenant,
    /// The lookup failed. It may be repeated after this time.
    Unavailable(Duration),
    /// It has not been looked up.
    NotLookedUp,
}

/// Read by requests, written where lookups end.
#[derive(Debug)]
pub(super) struct Table {
    clock: Clock,
    capacity: usize,
    lifetime: Duration,
    refusal_lifetime: Duration,
    /// How long ago a lookup may have failed for its tenant to serve beyond its lifetime.
    grace: Duration,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tenants: HashMap<String, Entry>,
    /// No lookup before this moment, and what requests hear until then.
    refused: HashMap<String, (Duration, Refused)>,
}

#[derive(Clone, Copy, Debug)]
enum Refused {
    NotATenant,
    Unavailable,
}

/// A tenant. Moments are in milliseconds.
#[derive(Debug)]
struct Entry {
    tenant: Tenant,
    policy: Arc<ResolvedProvider>,
    looked_up: Duration,
    /// When it could last not be looked up again.
    failed: AtomicU64,
    /// When it may be looked up again in the background; put off by each attempt.
    due: AtomicU64,
    /// When it was last found.
    used: AtomicU64,
    waiters: Arc<AtomicUsize>,
}

impl Table {
    pub(super) fn new(tenants: &Tenants, timeout: Duration, clock: Clock) -> Self {
        Self {
            clock,
            capacity: tenants.capacity,
            lifetime: tenants.lifetime,
            refusal_lifetime: tenants.refusal_lifetime,
            grace: timeout + RETRY_INTERVAL * 3,
            known: RwLock::default(),
        }
    }

    /// The second value is whether it should be looked up in the background.
    pub(super) fn find(&self, issuer: &str) -> (IssuerLookup, bool) {
        let now = self.clock.monotonic();
        let known = self.read();
        if let Some(entry) = known.tenants.get(issuer) {
            entry.used.store(millis(now), Ordering::Relaxed);
            let age = now.saturating_sub(entry.looked_up);
            // Not merely for want of an answer: a lookup must have failed, and lately.
            let failed = entry.failed.load(Ordering::Relaxed);
            let excused = failed > 0 && millis(now) < failed.saturating_add(millis(self.grace));
            if age >= self.lifetime && !(excused && age < STALE_WINDOW) {
                return (IssuerLookup::NotLookedUp, false);
            }
            let due = entry.due.load(Ordering::Relaxed);
            let later = millis(now + RETRY_INTERVAL);
            let relaxed = Ordering::Relaxed;
            let is_due = millis(now) >= due
                && entry.due.compare_exchange(due, later, relaxed, relaxed).is_ok();
            return (IssuerLookup::Tenant(Arc::clone(&entry.policy)), is_due);
        }
        let found = match known.refused.get(issuer) {
            Some((until, Refused::NotATenant)) if now < *until => IssuerLookup::NotATenant,
            Some((until, Refused::Unavailable)) if now < *until => {
                IssuerLookup::Unavailable(*until - now)
            }
            _ => IssuerLookup::NotLookedUp,
        };
        (found, false)
    }

    /// Where those who wait for a tenant that was known are counted.
    pub(super) fn waiters(&self, issuer: &str) -> Option<Arc<AtomicUsize>> {
        self.read().tenants.get(issuer).map(|entry| Arc::clone(&entry.waiters))
    }

    pub(super) fn is_known(&self, issuer: &str) -> bool {
        self.read().tenants.contains_key(issuer)
    }

    pub(super) fn tenants(&self) -> Vec<Arc<ResolvedProvider>> {
        self.read().tenants.values().map(|entry| Arc::clone(&entry.policy)).collect()
    }

    /// What was made of a tenant, if it was this one.
    pub(super) fn policy_of(&self, issuer: &str, tenant: &Tenant) -> Option<Arc<ResolvedProvider>> {
        let known = self.read();
        let entry = known.tenants.get(issuer)?;
        (entry.tenant == *tenant).then(|| Arc::clone(&entry.policy))
    }

    /// A lookup found this tenant. Returns what has to go for it.
    pub(super) fn found(
        &self,
        issuer: String,
        tenant: Tenant,
        policy: Arc<ResolvedProvider>,
    ) -> Option<Arc<ResolvedProvider>> {
        let now = self.clock.monotonic();
        let mut known = self.write();
        known.refused.remove(&issuer);
        let before = known.tenants.remove(&issuer);
        let entry = Entry {
            tenant,
            policy: Arc::clone(&policy),
            looked_up: now,
            failed: AtomicU64::new(0),
            due: AtomicU64::new(millis(now + self.lifetime.mul_f64(0.8))),
            // To look it up is no use of it.
            used: before.as_ref().map_or_else(
                || AtomicU64::new(millis(now)),
                |before| AtomicU64::new(before.used.load(Ordering::Relaxed)),
            ),
            waiters: before.as_ref().map(|before| Arc::clone(&before.waiters)).unwrap_or_default(),
        };
        known.tenants.insert(issuer.clone(), entry);
        if let Some(before) = before {
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
    pub(super) fn refused(&self, issuer: String) -> Option<Arc<ResolvedProvider>> {
        let now = self.clock.monotonic();
        let mut known = self.write();
        let gone = known.tenants.remove(&issuer);
        known.refuse(issuer, now + self.refusal_lifetime, Refused::NotATenant, now);
        gone.map(|entry| entry.policy)
    }

    /// A lookup failed. Returns what has to go: an answer that is too old to serve.
    pub(super) fn failed(&self, issuer: String) -> Option<Arc<ResolvedProvider>> {
        let now = self.clock.monotonic();
        let mut known = self.write();
        if let Some(entry) = known.tenants.get(&issuer)
            && now.saturating_sub(entry.looked_up) < STALE_WINDOW
        {
            // Never 0, which says that none failed.
            entry.failed.store(millis(now).max(1), Ordering::Relaxed);
            entry.due.store(millis(now + RETRY_INTERVAL), Ordering::Relaxed);
            return None;
        }
        let gone = known.tenants.remove(&issuer);
        known.refuse(issuer, now + RETRY_INTERVAL, Refused::Unavailable, now);
        gone.map(|entry| entry.policy)
    }

    /// Takes out what nobody has used for long. Returns what has to go.
    pub(super) fn sweep(&self) -> Vec<Arc<ResolvedProvider>> {
        let now = self.clock.monotonic();
        let since = millis(now.saturating_sub(self.lifetime.max(IDLE)));
        let mut known = self.write();
        known.refused.retain(|_, (until, _)| now < *until);
        known
            .tenants
            .extract_if(|_, entry| entry.used.load(Ordering::Relaxed) < since)
            .map(|(_, entry)| entry.policy)
            .collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn refuse(&mut self, issuer: String, until: Duration, why: Refused, now: Duration) {
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

/// Issuers that are known to be nobody's.
const MAX_REFUSED: usize = 4096;

/// After a failed lookup of an issuer.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// For how long the last answer serves while lookups fail.
const STALE_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A tenant that nobody used for this long is forgotten, and its keys are no longer fetched.
const IDLE: Duration = Duration::from_secs(60 * 60);
