//! The tokens of live sessions and streams, which a new entry wakes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::entry::{Key, TokenKeys};

/// The sessions that wait for an entry, by key. An entry wakes only those whose tokens it revokes, so its cost does not
/// depend on the number of other sessions.
pub(super) struct Watchers {
    shards: Box<[Mutex<Shard>]>,
    next_id: AtomicU64,
}

/// By key and number. One of many with the same key is removed without a search.
type Shard = BTreeMap<(Key, u64), Arc<Notify>>;

impl Watchers {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), next_id: AtomicU64::new(0) }
    }

    /// Begins to watch for entries that revoke a token.
    pub(super) fn watch<'a>(&'a self, token: &'a TokenKeys) -> Watch<'a> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let notify = Arc::new(Notify::new());
        for key in token.iter() {
            self.lock(key).insert((*key, id), Arc::clone(&notify));
        }
        Watch { watchers: self, token, id, notify }
    }

    /// Wakes those that watch for entries with this key.
    pub(super) fn wake(&self, key: &Key) {
        // Collected first: the lock is not held while tasks are scheduled.
        let woken: Vec<_> = {
            let shard = self.lock(key);
            let of_key = shard.range((*key, 0)..=(*key, u64::MAX));
            of_key.map(|(_, notify)| Arc::clone(notify)).collect()
        };
        woken.iter().for_each(|notify| notify.notify_one());
    }

    /// Returns how many keys are watched.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    fn lock(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(key.0[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches for entries that revoke a token, until it is dropped.
pub(crate) struct Watch<'a> {
    watchers: &'a Watchers,
    token: &'a TokenKeys,
    id: u64,
    notify: Arc<Notify>,
}

impl Watch<'_> {
    /// Completes when an entry was added since the last time, or since the watch began.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        for key in self.token.iter() {
            self.watchers.lock(key).remove(&(*key, self.id));
        }
    }
}

const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::revocation::entry::{Kind, TokenFacts};

    fn token(jti: &'static str) -> TokenKeys {
        TokenKeys::of(&TokenFacts {
            issuer: "i",
            token_id: Some(jti),
            text: b"".as_slice().into(),
            subject: Some("s"),
            session: None,
            client: None,
            issued_at: None,
        })
    }

    #[test]
    fn key_wakes_those_that_watch_it_and_no_others() {
        let watchers = Watchers::new();
        let (one, other) = (token("1"), token("2"));
        let watches = [watchers.watch(&one), watchers.watch(&other)];
        let woken = || watches.each_ref().map(|watch| watch.changed().now_or_never().is_some());
        assert_eq!(woken(), [false, false]);
        watchers.wake(&Key::of(Kind::TokenId, "i", b"2"));
        assert_eq!(woken(), [false, true]);
        assert_eq!(woken(), [false, false]);
        for (kind, value) in [(Kind::Subject, "s"), (Kind::Issuer, "")] {
            watchers.wake(&Key::of(kind, "i", value.as_bytes()));
            assert_eq!(woken(), [true, true], "{kind:?}");
        }
        watchers.wake(&Key::of(Kind::Session, "i", b"s"));
        assert_eq!(woken(), [false, false]);
    }

    #[test]
    fn watch_that_ends_leaves_nothing_behind() {
        let watchers = Watchers::new();
        let token = token("1");
        let watches: Vec<_> = (0..100).map(|_| watchers.watch(&token)).collect();
        assert_eq!(watchers.len(), 300);
        drop(watches);
        assert_eq!(watchers.len(), 0);
    }
}
