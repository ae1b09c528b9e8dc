//! A store that the policies of one process share.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::watch;

use super::{
    entry::RevocationEntry,
    store::{LoadedEntries, RevocationStore, StoreError},
};

/// A [`RevocationStore`] in the memory of the process, as a stand-in for a shared one in tests. A clone is the same store.
///
/// A single process needs none: [`DenyList::new`](super::DenyList::new) keeps its entries in memory already.
///
/// ```
/// use oauth2_actix::revocation::{DenyList, MemoryRevocationStore};
///
/// // Two policies, as if they were in two processes.
/// let store = MemoryRevocationStore::new();
/// let one = DenyList::with_store(store.clone());
/// let other = DenyList::with_store(store);
/// # drop((one, other));
/// ```
#[derive(Clone)]
pub struct MemoryRevocationStore(Arc<Inner>);

struct Inner {
    entries: Mutex<Log>,
    changed: watch::Sender<()>,
}

/// The entries by the number of their addition, from 1.
#[derive(Default)]
struct Log {
    entries: BTreeMap<u64, RevocationEntry>,
    last: u64,
}

impl MemoryRevocationStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner { entries: Mutex::default(), changed: watch::Sender::new(()) }))
    }

    fn append(&self, entry: RevocationEntry) {
        let mut log = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if log.last.is_multiple_of(SWEEP_AFTER) {
            // By the system's clock: an entry of a test's own clock is kept.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            log.entries.retain(|_, entry| now < entry.until());
        }
        log.last += 1;
        let number = log.last;
        log.entries.insert(number, entry);
        drop(log);
        self.0.changed.send_replace(());
    }

    fn read(&self, after: Option<u64>) -> LoadedEntries {
        let log = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let position = log.last.to_be_bytes();
        match after {
            Some(after) if after <= log.last => {
                let later = log.entries.range(after + 1..);
                LoadedEntries::later(later.map(|(_, entry)| *entry).collect(), position)
            }
            _ => LoadedEntries::all(log.entries.values().copied().collect(), position),
        }
    }
}

impl RevocationStore for MemoryRevocationStore {
    fn add(&self, entry: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>> {
        let store = self.clone();
        async move {
            store.append(entry);
            Ok(())
        }
        .boxed()
    }

    fn load(&self, after: Option<&[u8]>) -> BoxFuture<'static, Result<LoadedEntries, StoreError>> {
        let after = after.and_then(|position| position.try_into().ok()).map(u64::from_be_bytes);
        let store = self.clone();
        async move { Ok(store.read(after)) }.boxed()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut changed = self.0.changed.subscribe();
        async move {
            // The sender is a part of the store, which the caller has.
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

impl Default for MemoryRevocationStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryRevocationStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryRevocationStore").finish_non_exhaustive()
    }
}

/// After this many additions, expired entries are removed.
const SWEEP_AFTER: u64 = 1024;
