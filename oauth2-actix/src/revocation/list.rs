//! The list at run time: the check of a token, and the addition of an entry.

use std::{
    collections::HashSet,
    fmt, io, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::{
    entry::{Key, Revocation, RevocationEntry, TokenKeys},
    store::{RevocationStore, StoreError},
    sync,
    table::{Insertion, Now, Table},
    watchers::{Watch, Watchers},
};
use crate::{
    error::ErrorKind,
    util::{clock::Clock, telemetry},
};

/// The list of a process, which policies share.
pub(crate) struct Revocations {
    table: Table,
    watchers: Watchers,
    /// Increases after each new entry. A token that was not revoked in the present generation need not be looked up.
    generation: AtomicU64,
    /// The monotonic time, in milliseconds, until which the list may be used: see
    /// [`WhenUnavailable`](super::WhenUnavailable). `ALWAYS` without a store.
    usable_until: AtomicU64,
    /// The monotonic time, in milliseconds, at which the last successful load began, plus 1. 0 before the first.
    loaded_at: AtomicU64,
    is_reachable: AtomicBool,
    /// Receives true after the first load.
    was_loaded: watch::Sender<bool>,
    /// The monotonic time, in seconds, at which expired entries were removed for the last time.
    swept_at: AtomicU64,
    limits: Limits,
    store: Option<Store>,
    clock: Clock,
    /// Whether a token that outlives entries was logged.
    long_lived: AtomicBool,
}

/// The settings of the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) token_lifetime: Duration,
    pub(crate) max_entries: usize,
    /// How old the list may be.
    pub(crate) max_age: Duration,
}

/// The store, and what it does not have yet.
struct Store {
    store: Arc<dyn RevocationStore>,
    writes: Mutex<Writes>,
    /// Wakes the thread for them. The thread ends when it is dropped.
    wake: mpsc::Sender<()>,
}

/// The entries that the store may not have yet.
#[derive(Default)]
struct Writes {
    /// Those that are being added.
    adding: Vec<RevocationEntry>,
    /// Those that could not be added. The thread adds them.
    unsaved: HashSet<RevocationEntry>,
    /// Those of them that the thread is adding.
    saving: HashSet<RevocationEntry>,
}

impl Writes {
    fn contains(&self, entry: &RevocationEntry) -> bool {
        self.unsaved.contains(entry) || self.saving.contains(entry) || self.adding.contains(entry)
    }

    fn len(&self) -> usize {
        self.unsaved.len() + self.saving.len() + self.adding.len()
    }
}

/// Why [`OAuth2::revoke`](crate::OAuth2::revoke) has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// No deny list is configured: see [`OAuth2Builder::deny_list`](crate::OAuth2Builder::deny_list). Nothing was revoked.
    #[error("no deny list is configured; expected `deny_list` of the builder")]
    NoDenyList,
    /// The list is full: see [`DenyList::max_entries`](super::DenyList::max_entries). Nothing was revoked.
    #[error("the deny list is full; expected at most max_entries = {max_entries}")]
    Full {
        /// The setting.
        max_entries: usize,
    },
    /// The store has not confirmed the entry. This process rejects the tokens. It adds the entry again as soon as the store
    /// can be reached. Other processes may accept the tokens until then.
    #[error("the store of the deny list has not confirmed the entry")]
    NotStored(#[source] StoreError),
}

/// The state of a deny list, for readiness probes and dashboards: see
/// [`OAuth2::deny_list_status`](crate::OAuth2::deny_list_status).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DenyListStatus {
    /// The number of entries. Expired ones count until they are removed, within a minute of the next addition.
    pub entries: usize,
    /// The maximum number of entries.
    pub max_entries: usize,
    /// The number of entries that the store has not confirmed yet.
    pub unsaved: usize,
    /// Seconds since the last successful load began. None without a store, and before the first load.
    pub age_seconds: Option<f64>,
    /// Whether the last load has succeeded. True without a store.
    pub is_reachable: bool,
    /// Whether tokens can be checked now. If not, requests with a token get 503.
    pub is_usable: bool,
}

impl Revocations {
    /// Creates the list and, with a store, starts the thread that loads it.
    pub(super) fn start(
        limits: Limits,
        store: Option<Arc<dyn RevocationStore>>,
        clock: Clock,
    ) -> io::Result<Arc<Self>> {
        let (wake, woken) = mpsc::channel(1);
        let list = Arc::new(Self {
            table: Table::new(),
            watchers: Watchers::new(),
            generation: AtomicU64::new(1),
            usable_until: AtomicU64::new(if store.is_some() { 0 } else { ALWAYS }),
            loaded_at: AtomicU64::new(0),
            is_reachable: AtomicBool::new(store.is_none()),
            was_loaded: watch::Sender::new(store.is_none()),
            swept_at: AtomicU64::new(0),
            limits,
            store: store.clone().map(|store| Store { store, writes: Mutex::default(), wake }),
            long_lived: AtomicBool::new(false),
            clock: clock.clone(),
        });
        telemetry::deny_list_entries(0);
        if let Some(store) = store {
            telemetry::deny_list_loaded(Duration::ZERO);
            store.set_max_entries(limits.max_entries);
            sync::start(Arc::downgrade(&list), store, clock, woken)?;
        }
        Ok(list)
    }

    /// Checks that a token is not revoked. `checked` is the last generation in which it was not.
    #[inline]
    pub(crate) fn check(&self, token: &TokenKeys, checked: &AtomicU64) -> Result<(), ErrorKind> {
        let usable_until = self.usable_until.load(Ordering::Relaxed);
        // Read before the table: an entry that is added in the meantime has a later generation.
        let generation = self.generation.load(Ordering::Acquire);
        if usable_until == ALWAYS && checked.load(Ordering::Relaxed) == generation {
            return Ok(());
        }
        self.look_up(token, checked, generation, usable_until)
    }

    fn look_up(
        &self,
        token: &TokenKeys,
        checked: &AtomicU64,
        generation: u64,
        usable_until: u64,
    ) -> Result<(), ErrorKind> {
        if checked.load(Ordering::Relaxed) != generation {
            if self.table.revokes(token, millis(self.clock.unix_time())) {
                return Err(ErrorKind::TokenRevoked);
            }
            // If the wall clock was set forward by mistake, an entry that has expired is in force again later.
            if !self.table.revokes(token, 0) {
                checked.store(generation, Ordering::Relaxed);
            }
        }
        if usable_until == ALWAYS || millis(self.clock.monotonic()) < usable_until {
            return Ok(());
        }
        Err(ErrorKind::RevocationStatusUnavailable)
    }

    /// Begins to watch for entries that revoke a token.
    pub(crate) fn watch<'a>(&'a self, token: &'a TokenKeys) -> Watch<'a> {
        self.watchers.watch(token)
    }

    /// Returns the monotonic time until which the list may be used, unless it is loaded again. None if there is no end.
    pub(crate) fn usable_until(&self) -> Option<Duration> {
        let until = self.usable_until.load(Ordering::Relaxed);
        (until != ALWAYS).then(|| Duration::from_millis(until))
    }

    /// Adds an entry: to this list, and then to the store.
    pub(crate) async fn add(&self, revocation: &Revocation) -> Result<(), RevokeError> {
        match self.insert(revocation)? {
            Some(addition) => addition.store().await,
            None => Ok(()),
        }
    }

    /// Adds several entries, and returns the first error. All of them are in force in this process before the first wait.
    /// An entry that cannot be added does not keep the others from it.
    pub(crate) async fn add_all(&self, revocations: &[Revocation]) -> Result<(), RevokeError> {
        let inserted: Vec<_> =
            revocations.iter().map(|revocation| self.insert(revocation)).collect();
        let stored = inserted.into_iter().map(|inserted| async {
            match inserted? {
                Some(addition) => addition.store().await,
                None => Ok(()),
            }
        });
        join_all(stored).await.into_iter().collect()
    }

    /// Adds an entry to this list. Returns its addition to the store, unless there is no store, or nothing to add.
    fn insert(&self, revocation: &Revocation) -> Result<Option<Addition<'_>>, RevokeError> {
        let now = self.now();
        self.sweep(now);
        let entry = revocation.resolve(self.clock.unix_time(), self.limits.token_lifetime);
        if entry.until <= now.unix {
            return Ok(None);
        }
        let max_entries = self.limits.max_entries;
        let mut inserted = self.table.insert(&entry, now, max_entries);
        if inserted == Insertion::Full {
            self.table.remove_expired(now);
            inserted = self.table.insert(&entry, now, max_entries);
        }
        match inserted {
            Insertion::Full => {
                telemetry::revocation("full");
                return Err(RevokeError::Full { max_entries });
            }
            Insertion::Known => {}
            Insertion::New => self.publish(&[entry.key]),
        }
        let Some(store) = &self.store else {
            telemetry::revocation("added");
            return Ok(None);
        };
        // Most repetitions cost the store nothing.
        if inserted == Insertion::Known && self.is_stored(store, &entry) {
            telemetry::revocation("added");
            return Ok(None);
        }
        Ok(Some(Addition::new(self, store, entry)))
    }

    /// Returns whether the store has confirmed an entry that covers this one.
    fn is_stored(&self, store: &Store, entry: &RevocationEntry) -> bool {
        let covering = self.table.covering(entry);
        let writes = store.lock();
        covering.iter().any(|entry| !writes.contains(entry))
    }

    /// Lets requests and sessions see new entries with these keys.
    fn publish(&self, keys: &[Key]) {
        telemetry::deny_list_entries(self.table.len());
        self.generation.fetch_add(1, Ordering::Release);
        keys.iter().for_each(|key| self.watchers.wake(key));
    }

    /// Adds what was loaded. Returns false if there is no room for all of it: the list must not be used then. More is
    /// accepted than `max_entries`, since several processes may have added the last entries at once.
    pub(super) fn insert_loaded(&self, entries: &[RevocationEntry]) -> bool {
        let now = self.now();
        self.sweep(now);
        let max = self.limits.max_entries.saturating_mul(2);
        let (mut new, mut is_full) = (Vec::new(), false);
        for entry in entries {
            match self.table.insert(entry, now, max) {
                Insertion::New => new.push(entry.key),
                Insertion::Known => {}
                Insertion::Full => is_full = true,
            }
        }
        if !new.is_empty() {
            self.publish(&new);
        }
        !is_full
    }

    /// Returns the entries in force that others do not cover.
    pub(super) fn missing_from(&self, others: &Table) -> Vec<RevocationEntry> {
        let now = self.now();
        let mut known = self.table.in_force(now.unix);
        known.retain(|entry| others.insert(entry, now, usize::MAX) == Insertion::New);
        known
    }

    /// Notes that a load has succeeded that began at this monotonic time.
    pub(super) fn note_load(&self, began: Duration) {
        // First, so that the metric is never behind the status.
        telemetry::deny_list_loaded(self.clock.unix_time());
        let until = millis(began.saturating_add(self.limits.max_age));
        self.usable_until.fetch_max(until.min(ALWAYS - 1), Ordering::Relaxed);
        self.loaded_at.fetch_max(millis(began).saturating_add(1), Ordering::Relaxed);
        self.is_reachable.store(true, Ordering::Relaxed);
        self.was_loaded.send_if_modified(|was_loaded| !mem::replace(was_loaded, true));
    }

    pub(super) fn note_failure(&self) {
        self.is_reachable.store(false, Ordering::Relaxed);
    }

    /// Takes the entries that could not be added to the store. They count as not stored until
    /// [`end_saving`](Self::end_saving).
    pub(super) fn take_unsaved(&self) -> Vec<RevocationEntry> {
        let Some(store) = &self.store else { return Vec::new() };
        let mut writes = store.lock();
        writes.saving = mem::take(&mut writes.unsaved);
        writes.saving.iter().copied().collect()
    }

    /// Notes that the store has confirmed the entries that were taken, except these.
    pub(super) fn end_saving(&self, unsaved: impl IntoIterator<Item = RevocationEntry>) {
        self.keep_unsaved(unsaved);
        if let Some(store) = &self.store {
            store.lock().saving.clear();
        }
    }

    /// Keeps entries that the store does not have.
    pub(super) fn keep_unsaved(&self, entries: impl IntoIterator<Item = RevocationEntry>) {
        let Some(store) = &self.store else { return };
        let mut writes = store.lock();
        writes.unsaved.extend(entries);
        if writes.unsaved.len() > self.limits.max_entries {
            // Some of them are covered by others. The table has only those that are not.
            writes.unsaved = self.table.in_force(self.now().unix).into_iter().collect();
        }
    }

    /// Returns how many of these entries the store had confirmed.
    pub(super) fn count_confirmed(&self, entries: &[RevocationEntry]) -> usize {
        let Some(store) = &self.store else { return 0 };
        let writes = store.lock();
        entries.iter().filter(|entry| !writes.contains(entry)).count()
    }

    /// Notes the remaining life of a token that was just accepted: entries must not end before it.
    pub(crate) fn note_lifetime(&self, remaining: Duration) {
        if remaining > self.limits.token_lifetime && !self.long_lived.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                target: "oauth2_actix",
                token_lifetime_seconds = self.limits.token_lifetime.as_secs(),
                remaining_seconds = remaining.as_secs(),
                "tokens live longer than token_lifetime of the deny list: a token that is not revoked by its own id may be \
                 accepted again before it expires (logged once)"
            );
        }
    }

    /// Returns whether the list was loaded, or needs no store.
    pub(crate) fn was_loaded(&self) -> bool {
        *self.was_loaded.borrow()
    }

    /// Waits for the first load, at most for 5 s.
    pub(crate) async fn first_load(&self) {
        let mut was_loaded = self.was_loaded.subscribe();
        let _ =
            tokio::time::timeout(FIRST_LOAD_TIMEOUT, was_loaded.wait_for(|loaded| *loaded)).await;
    }

    pub(crate) fn status(&self) -> DenyListStatus {
        let now = millis(self.clock.monotonic());
        let age = self.loaded_at.load(Ordering::Relaxed).checked_sub(1);
        let age = age.map(|loaded_at| now.saturating_sub(loaded_at) as f64 / 1000.0);
        let unsaved = |store: &Store| store.lock().len();
        DenyListStatus {
            entries: self.table.len(),
            max_entries: self.limits.max_entries,
            unsaved: self.store.as_ref().map_or(0, unsaved),
            age_seconds: age,
            is_reachable: self.is_reachable.load(Ordering::Relaxed),
            is_usable: now < self.usable_until.load(Ordering::Relaxed),
        }
    }

    pub(super) fn max_entries(&self) -> usize {
        self.limits.max_entries
    }

    pub(super) fn now(&self) -> Now {
        Now { unix: millis(self.clock.unix_time()), monotonic: self.clock.monotonic() }
    }

    /// Removes expired entries, once in a minute.
    fn sweep(&self, now: Now) {
        let (now_seconds, before) =
            (now.monotonic.as_secs(), self.swept_at.load(Ordering::Relaxed));
        if now_seconds.saturating_sub(before) < SWEEP_INTERVAL {
            return;
        }
        let swapped = self.swept_at.compare_exchange(
            before,
            now_seconds,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if swapped.is_ok() {
            self.table.remove_expired(now);
        }
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Revocations")
            .field("entries", &self.table.len())
            .finish_non_exhaustive()
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry that is being added to the store. If it is dropped before the store has confirmed the entry, the thread adds
/// the entry.
struct Addition<'a> {
    list: &'a Revocations,
    store: &'a Store,
    entry: RevocationEntry,
    is_confirmed: bool,
}

impl<'a> Addition<'a> {
    fn new(list: &'a Revocations, store: &'a Store, entry: RevocationEntry) -> Self {
        store.lock().adding.push(entry);
        Self { list, store, entry, is_confirmed: false }
    }

    async fn store(mut self) -> Result<(), RevokeError> {
        let added = tokio::time::timeout(ADD_TIMEOUT, self.store.store.add(self.entry)).await;
        match added.unwrap_or_else(|_| Err("no response of the store within 5 s".into())) {
            Ok(()) => {
                self.is_confirmed = true;
                telemetry::revocation("added");
                Ok(())
            }
            Err(error) => {
                telemetry::revocation("not_stored");
                Err(RevokeError::NotStored(error))
            }
        }
    }
}

impl Drop for Addition<'_> {
    fn drop(&mut self) {
        let mut writes = self.store.lock();
        if let Some(index) = writes.adding.iter().position(|entry| *entry == self.entry) {
            writes.adding.swap_remove(index);
        }
        drop(writes);
        if !self.is_confirmed {
            self.list.keep_unsaved([self.entry]);
            // Fails if the thread was woken already.
            let _ = self.store.wake.try_send(());
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The list may always be used.
const ALWAYS: u64 = u64::MAX;

/// The time for the store to confirm an entry.
const ADD_TIMEOUT: Duration = Duration::from_secs(5);

/// The time that the start of a program waits for the list.
const FIRST_LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Seconds between two removals of expired entries.
const SWEEP_INTERVAL: u64 = 60;
